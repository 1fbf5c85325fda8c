//! The frames of HTTP/2 (RFC 9113, 4 and 6), as far as one exchange of a client needs them.

/// The kinds of frames (RFC 9113, 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags. `ACK` is one of SETTINGS and PING only.
pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const HAS_PRIORITY: u8 = 0x20;

/// Error codes (RFC 9113, 7).
pub const NO_ERROR: u32 = 0x0;
pub const PROTOCOL_ERROR: u32 = 0x1;
pub const FLOW_CONTROL_ERROR: u32 = 0x3;
pub const FRAME_SIZE_ERROR: u32 = 0x6;
pub const COMPRESSION_ERROR: u32 = 0x9;
pub const ENHANCE_YOUR_CALM: u32 = 0xb;

/// The length of a frame's header (RFC 9113, 4.1).
pub const HEADER: usize = 9;
/// The longest content of a frame to a peer that has set no SETTINGS_MAX_FRAME_SIZE (RFC 9113,
/// 6.5.2). podgate sets none.
pub const LONGEST: usize = 16_384;

/// All bits but the highest one, which is reserved in the number of a stream and of a window (RFC
/// 9113, 4.1 and 6.9).
pub const RESERVED: u32 = u32::MAX >> 1;

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Of the content.
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    /// `None` if these are too few bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEADER>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & RESERVED,
        })
    }

    pub const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The data of a DATA frame or the part of a header block in a HEADERS frame, without padding
    /// and priority. `None` if they are longer than the frame (RFC 9113, 6.1 and 6.2).
    pub fn content(self, mut bytes: &[u8]) -> Option<&[u8]> {
        if self.has(PADDED) {
            let (padding, rest) = bytes.split_first()?;
            bytes = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
        }
        if self.kind == HEADERS && self.has(HAS_PRIORITY) {
            bytes = bytes.get(5..)?;
        }
        Some(bytes)
    }
}

/// Four bytes as a number. `None` if they are not four.
pub fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// Appends a frame. `content` is at most [`LONGEST`] bytes.
pub fn push(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, content: &[u8]) {
    let [.., a, b, c] = content.len().to_be_bytes();
    out.extend([a, b, c, kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(content);
}

#[cfg(test)]
mod tests {
    use super::{DATA, HEADERS, Head, number, push};

    fn head(kind: u8, flags: u8) -> Head {
        Head {
            length: 0,
            kind,
            flags,
            stream: 1,
        }
    }

    #[test]
    fn a_header_is_read_without_the_reserved_bit() {
        let bytes = [0x01, 0x02, 0x03, 4, 5, 0x80, 0, 0, 7];
        let expected = Head {
            length: 0x0001_0203,
            kind: 4,
            flags: 5,
            stream: 7,
        };
        assert_eq!(Head::of(&bytes), Some(expected));
        assert_eq!(Head::of(&bytes[..8]), None);
        assert_eq!(number(&[0xff, 0, 0, 1]), Some(0xff00_0001));
        assert_eq!(number(&[0; 3]).or(number(&[0; 5])), None);
    }

    #[test]
    fn a_frame_that_is_written_can_be_read() {
        let mut out = Vec::new();
        push(&mut out, HEADERS, 4, 1, &[9; 300]);
        let found = Head::of(&out).unwrap();
        assert_eq!((found.length, found.kind, found.flags), (300, HEADERS, 4));
        assert_eq!((found.stream, &out[9..]), (1, &[9; 300][..]));
    }

    #[test]
    fn padding_and_priority_are_removed() {
        for (kind, flags, bytes, expected) in [
            (DATA, 0, &b"abc"[..], Some(&b"abc"[..])),
            (DATA, 8, b"\x02abc\0\0", Some(b"abc")),
            (DATA, 8, b"\x03\0\0\0", Some(b"")),
            (DATA, 8, b"\x04\0\0\0", None),
            (DATA, 8, b"", None),
            // The flag of a priority has no meaning here.
            (DATA, 0x20, b"abcdef", Some(b"abcdef")),
            (HEADERS, 0x20, b"\0\0\0\0\x10abc", Some(b"abc")),
            (HEADERS, 0x28, b"\x01\0\0\0\0\x10abc\0", Some(b"abc")),
            (HEADERS, 0x20, b"\0\0\0\0", None),
            (HEADERS, 0x28, b"\x01\0\0\0\0\0", None),
        ] {
            assert_eq!(head(kind, flags).content(bytes), expected, "{bytes:?}");
        }
    }
}
