//! Header blocks (RFC 7541). A second reader, with the tables as the RFC prints them, must find the
//! same fields.

use crate::input::Input;
use crate::is_planted;
use podgate::core::grpc::hpack::{BadBlock, Decoder, Name};

/// The most bytes of fields, so that small inputs reach the limit.
const LONGEST: usize = 1000;

/// Each byte that begins a part is the length of a block. All blocks are of one connection.
pub(crate) fn run(bytes: &[u8]) {
    let (mut input, mut first, mut second) = (Input(bytes), Decoder::default(), Second::default());
    while !input.0.is_empty() {
        let length = input.byte();
        let block = input.taken(length.into());
        let found = first.block(block, LONGEST);
        let found = found.map(|it| it.into_iter().map(|it| (it.name, it.value)).collect());
        let mut expected = second.block(block, LONGEST);
        if let Ok(fields) = &mut expected
            && is_planted()
            && fields.iter().any(|(_, value)| value == b"204")
        {
            fields.clear();
        }
        assert_eq!(found, expected, "{block:x?}");
        if found.is_err() {
            return;
        }
    }
}

/// A reader that keeps whole names and values.
pub(crate) struct Second {
    /// The newest field is the first one.
    table: Vec<(Vec<u8>, Vec<u8>)>,
    most: usize,
}

impl Default for Second {
    fn default() -> Self {
        Self {
            table: Vec::new(),
            most: 4096,
        }
    }
}

/// The fields by which an answer is judged.
type Fields = Vec<(Name, Vec<u8>)>;

impl Second {
    pub(crate) fn block(&mut self, block: &[u8], longest: usize) -> Result<Fields, BadBlock> {
        let (mut at, mut all, mut size) = (0, Vec::new(), 0);
        while at < block.len() {
            match block[at] {
                0x20..=0x3f => {
                    let most = number(block, &mut at, 31);
                    let most = most.filter(|it| *it <= 4096 && all.is_empty());
                    self.most = most.ok_or(BadBlock::Malformed)?;
                    self.evict();
                }
                _ => {
                    let field = self.field(block, &mut at).ok_or(BadBlock::Malformed)?;
                    let name = judged(&field, all.is_empty()).ok_or(BadBlock::Forbidden)?;
                    size += field.0.len() + field.1.len() + 32;
                    if size > longest {
                        return Err(BadBlock::TooLong);
                    }
                    all.push((name, field.1));
                }
            }
        }
        all.retain(|(name, _)| *name != Name::Other);
        Ok(all)
    }

    fn field(&mut self, block: &[u8], at: &mut usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let first = block[*at];
        if first >= 0x80 {
            let index = number(block, at, 127)?;
            return self.entry(index);
        }
        let is_added = first >= 0x40;
        let index = number(block, at, if is_added { 63 } else { 15 })?;
        let name = match index {
            0 => text(block, at)?,
            index => self.entry(index)?.0,
        };
        let value = text(block, at)?;
        if is_added {
            self.table.insert(0, (name.clone(), value.clone()));
            self.evict();
        }
        Some((name, value))
    }

    fn entry(&self, index: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        match index {
            0 => None,
            1..=61 => {
                let (name, value) = STATIC[index - 1];
                Some((name.into(), value.into()))
            }
            index => self.table.get(index - 62).cloned(),
        }
    }

    fn evict(&mut self) {
        let size = |it: &(Vec<u8>, Vec<u8>)| it.0.len() + it.1.len() + 32;
        while self.table.iter().map(size).sum::<usize>() > self.most {
            self.table.pop();
        }
    }
}

/// The name of a field as an answer is judged by it. `None` if no answer may have the field.
fn judged((name, value): &(Vec<u8>, Vec<u8>), is_first: bool) -> Option<Name> {
    let of_http1: [&[u8]; 5] = [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    ];
    let is_in_name = |it: &u8| matches!(it, 0x21..=0x7e) && !it.is_ascii_uppercase() && *it != b':';
    if value.iter().any(|it| b"\r\n\0".contains(it)) {
        return None;
    }
    match name.as_slice() {
        b":status" if is_first => Some(Name::Status),
        b"content-type" => Some(Name::ContentType),
        b"grpc-status" => Some(Name::GrpcStatus),
        b"grpc-message" => Some(Name::GrpcMessage),
        b"" => None,
        name if of_http1.contains(&name) || !name.iter().all(is_in_name) => None,
        _ => Some(Name::Other),
    }
}

/// An integer whose prefix has this mask.
fn number(block: &[u8], at: &mut usize, mask: u8) -> Option<usize> {
    let prefix = *block.get(*at)? & mask;
    *at += 1;
    if prefix != mask {
        return Some(prefix.into());
    }
    let (mut value, mut weight) = (u64::from(mask), 1);
    for _ in 0..4 {
        let byte = u64::from(*block.get(*at)?);
        *at += 1;
        value += byte % 128 * weight;
        weight *= 128;
        if byte < 128 {
            return usize::try_from(value).ok();
        }
    }
    None
}

fn text(block: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    let is_coded = *block.get(*at)? >= 0x80;
    let length = number(block, at, 127)?;
    let bytes = block.get(*at..*at + length)?;
    *at += length;
    if !is_coded {
        return Some(bytes.to_vec());
    }
    let bit = |index: usize| u32::from(bytes[index / 8] >> (7 - index % 8) & 1);
    let (mut from, bits, mut text) = (0, bytes.len() * 8, Vec::new());
    'letters: while from < bits {
        let mut code = 0;
        for to in from..bits.min(from + 30) {
            code = code << 1 | bit(to);
            let length = to + 1 - from;
            if let Some(letter) = CODES.iter().position(|it| *it == (code, length)) {
                // 256 is EOS.
                text.push(u8::try_from(letter).ok()?);
                from += length;
                continue 'letters;
            }
        }
        let is_padding = bits - from < 8 && (from..bits).all(|it| bit(it) == 1);
        return is_padding.then_some(text);
    }
    Some(text)
}

/// RFC 7541, appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""),
    ("via", ""), ("www-authenticate", ""),
];

/// RFC 7541, appendix B: the code of each byte and of EOS, and its length in bits.
#[rustfmt::skip]
const CODES: [(u32, usize); 257] = [
    (0x1ff8, 13), (0x7fffd8, 23), (0xfffffe2, 28), (0xfffffe3, 28), (0xfffffe4, 28),
    (0xfffffe5, 28), (0xfffffe6, 28), (0xfffffe7, 28), (0xfffffe8, 28), (0xffffea, 24),
    (0x3ffffffc, 30), (0xfffffe9, 28), (0xfffffea, 28), (0x3ffffffd, 30), (0xfffffeb, 28),
    (0xfffffec, 28), (0xfffffed, 28), (0xfffffee, 28), (0xfffffef, 28), (0xffffff0, 28),
    (0xffffff1, 28), (0xffffff2, 28), (0x3ffffffe, 30), (0xffffff3, 28), (0xffffff4, 28),
    (0xffffff5, 28), (0xffffff6, 28), (0xffffff7, 28), (0xffffff8, 28), (0xffffff9, 28),
    (0xffffffa, 28), (0xffffffb, 28), (0x14, 6), (0x3f8, 10), (0x3f9, 10), (0xffa, 12),
    (0x1ff9, 13), (0x15, 6), (0xf8, 8), (0x7fa, 11), (0x3fa, 10), (0x3fb, 10), (0xf9, 8),
    (0x7fb, 11), (0xfa, 8), (0x16, 6), (0x17, 6), (0x18, 6), (0x0, 5), (0x1, 5), (0x2, 5),
    (0x19, 6), (0x1a, 6), (0x1b, 6), (0x1c, 6), (0x1d, 6), (0x1e, 6), (0x1f, 6), (0x5c, 7),
    (0xfb, 8), (0x7ffc, 15), (0x20, 6), (0xffb, 12), (0x3fc, 10), (0x1ffa, 13), (0x21, 6),
    (0x5d, 7), (0x5e, 7), (0x5f, 7), (0x60, 7), (0x61, 7), (0x62, 7), (0x63, 7), (0x64, 7),
    (0x65, 7), (0x66, 7), (0x67, 7), (0x68, 7), (0x69, 7), (0x6a, 7), (0x6b, 7), (0x6c, 7),
    (0x6d, 7), (0x6e, 7), (0x6f, 7), (0x70, 7), (0x71, 7), (0x72, 7), (0xfc, 8), (0x73, 7),
    (0xfd, 8), (0x1ffb, 13), (0x7fff0, 19), (0x1ffc, 13), (0x3ffc, 14), (0x22, 6), (0x7ffd, 15),
    (0x3, 5), (0x23, 6), (0x4, 5), (0x24, 6), (0x5, 5), (0x25, 6), (0x26, 6), (0x27, 6), (0x6, 5),
    (0x74, 7), (0x75, 7), (0x28, 6), (0x29, 6), (0x2a, 6), (0x7, 5), (0x2b, 6), (0x76, 7),
    (0x2c, 6), (0x8, 5), (0x9, 5), (0x2d, 6), (0x77, 7), (0x78, 7), (0x79, 7), (0x7a, 7), (0x7b, 7),
    (0x7ffe, 15), (0x7fc, 11), (0x3ffd, 14), (0x1ffd, 13), (0xffffffc, 28), (0xfffe6, 20),
    (0x3fffd2, 22), (0xfffe7, 20), (0xfffe8, 20), (0x3fffd3, 22), (0x3fffd4, 22), (0x3fffd5, 22),
    (0x7fffd9, 23), (0x3fffd6, 22), (0x7fffda, 23), (0x7fffdb, 23), (0x7fffdc, 23), (0x7fffdd, 23),
    (0x7fffde, 23), (0xffffeb, 24), (0x7fffdf, 23), (0xffffec, 24), (0xffffed, 24), (0x3fffd7, 22),
    (0x7fffe0, 23), (0xffffee, 24), (0x7fffe1, 23), (0x7fffe2, 23), (0x7fffe3, 23), (0x7fffe4, 23),
    (0x1fffdc, 21), (0x3fffd8, 22), (0x7fffe5, 23), (0x3fffd9, 22), (0x7fffe6, 23), (0x7fffe7, 23),
    (0xffffef, 24), (0x3fffda, 22), (0x1fffdd, 21), (0xfffe9, 20), (0x3fffdb, 22), (0x3fffdc, 22),
    (0x7fffe8, 23), (0x7fffe9, 23), (0x1fffde, 21), (0x7fffea, 23), (0x3fffdd, 22), (0x3fffde, 22),
    (0xfffff0, 24), (0x1fffdf, 21), (0x3fffdf, 22), (0x7fffeb, 23), (0x7fffec, 23), (0x1fffe0, 21),
    (0x1fffe1, 21), (0x3fffe0, 22), (0x1fffe2, 21), (0x7fffed, 23), (0x3fffe1, 22), (0x7fffee, 23),
    (0x7fffef, 23), (0xfffea, 20), (0x3fffe2, 22), (0x3fffe3, 22), (0x3fffe4, 22), (0x7ffff0, 23),
    (0x3fffe5, 22), (0x3fffe6, 22), (0x7ffff1, 23), (0x3ffffe0, 26), (0x3ffffe1, 26), (0xfffeb, 20),
    (0x7fff1, 19), (0x3fffe7, 22), (0x7ffff2, 23), (0x3fffe8, 22), (0x1ffffec, 25), (0x3ffffe2, 26),
    (0x3ffffe3, 26), (0x3ffffe4, 26), (0x7ffffde, 27), (0x7ffffdf, 27), (0x3ffffe5, 26),
    (0xfffff1, 24), (0x1ffffed, 25), (0x7fff2, 19), (0x1fffe3, 21), (0x3ffffe6, 26),
    (0x7ffffe0, 27), (0x7ffffe1, 27), (0x3ffffe7, 26), (0x7ffffe2, 27), (0xfffff2, 24),
    (0x1fffe4, 21), (0x1fffe5, 21), (0x3ffffe8, 26), (0x3ffffe9, 26), (0xffffffd, 28),
    (0x7ffffe3, 27), (0x7ffffe4, 27), (0x7ffffe5, 27), (0xfffec, 20), (0xfffff3, 24), (0xfffed, 20),
    (0x1fffe6, 21), (0x3fffe9, 22), (0x1fffe7, 21), (0x1fffe8, 21), (0x7ffff3, 23), (0x3fffea, 22),
    (0x3fffeb, 22), (0x1ffffee, 25), (0x1ffffef, 25), (0xfffff4, 24), (0xfffff5, 24),
    (0x3ffffea, 26), (0x7ffff4, 23), (0x3ffffeb, 26), (0x7ffffe6, 27), (0x3ffffec, 26),
    (0x3ffffed, 26), (0x7ffffe7, 27), (0x7ffffe8, 27), (0x7ffffe9, 27), (0x7ffffea, 27),
    (0x7ffffeb, 27), (0xffffffe, 28), (0x7ffffec, 27), (0x7ffffed, 27), (0x7ffffee, 27),
    (0x7ffffef, 27), (0x7fffff0, 27), (0x3ffffee, 26), (0x3fffffff, 30),
];
