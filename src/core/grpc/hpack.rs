//! HPACK (RFC 7541): reads the header blocks of an answer.
//!
//! Only the fields by which a gRPC answer is judged keep their values. The dynamic table has the
//! size that RFC 9113, 6.5.2 gives it where the client sets none, so a server never has to change
//! it: at most 4096 bytes as RFC 7541, 4.1 counts them.
//!
//! A program of 380 KB grew by 6 KB with this decoder, by 25 KB with the crate fluke-hpack, and by
//! 49 KB with httlib-hpack.

/// The size of the dynamic table.
const TABLE: usize = 4096;

/// What RFC 7541, 4.1 adds to the lengths of a field's name and value.
const OVERHEAD: usize = 32;

/// The name of a field, as far as an answer is judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// `:status`
    Status,
    ContentType,
    GrpcStatus,
    GrpcMessage,
    /// No answer may have it.
    Forbidden,
    Other,
}

/// The names that are looked for. After the first four they are those of fields about the
/// connection, which belong to HTTP/1.1 (RFC 9113, 8.2.2).
const NAMES: &str = ":status content-type grpc-status grpc-message connection keep-alive \
                     proxy-connection transfer-encoding upgrade";

impl Name {
    fn of(text: &[u8]) -> Self {
        match NAMES.split(' ').position(|name| name.as_bytes() == text) {
            Some(0) => Self::Status,
            Some(1) => Self::ContentType,
            Some(2) => Self::GrpcStatus,
            Some(3) => Self::GrpcMessage,
            // A colon elsewhere than at the beginning is not allowed either, and a response has no
            // other pseudo-header than `:status`.
            None if !text.is_empty() && text.iter().all(is_in_name) => Self::Other,
            _ => Self::Forbidden,
        }
    }
}

/// Whether a name may have this byte (RFC 9113, 8.2.1).
const fn is_in_name(byte: &u8) -> bool {
    matches!(byte, 0x21..=0x39 | 0x3b..=0x40 | 0x5b..=0x7e)
}

/// A field of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: Name,
    /// Empty for [`Name::Forbidden`] and [`Name::Other`].
    pub value: Vec<u8>,
    name_length: usize,
    /// With the name and the overhead.
    size: usize,
}

impl Field {
    fn new(name: Name, name_length: usize, value: Vec<u8>) -> Self {
        let size = name_length
            .saturating_add(value.len())
            .saturating_add(OVERHEAD);
        let is_broken = value
            .iter()
            .any(|byte| matches!(byte, b'\0' | b'\r' | b'\n'));
        let name = if is_broken { Name::Forbidden } else { name };
        let is_kept = !matches!(name, Name::Forbidden | Name::Other);
        Self {
            name,
            value: if is_kept { value } else { Vec::new() },
            name_length,
            size,
        }
    }
}

/// Why a header block cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadBlock {
    Malformed,
    /// It has a field that makes an answer malformed (RFC 9113, 8.2 and 8.3).
    Forbidden,
    /// The fields are longer than the caller allows.
    TooLong,
}

/// Reads the header blocks of one connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    /// The dynamic table. The newest field is the last one.
    table: Vec<Field>,
    /// The sum of the sizes in `table`.
    size: usize,
    /// The size that the server has chosen.
    most: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            table: Vec::new(),
            size: 0,
            most: TABLE,
        }
    }
}

impl Decoder {
    /// The fields of a block, without those of [`Name::Other`].
    ///
    /// # Errors
    /// The block is malformed, has a field that no answer may have, or its fields are longer than
    /// `longest` (RFC 9113, 6.5.2, SETTINGS_MAX_HEADER_LIST_SIZE). The decoder cannot be used any
    /// more.
    pub fn block(&mut self, mut block: &[u8], longest: usize) -> Result<Vec<Field>, BadBlock> {
        let (mut fields, mut length) = (Vec::new(), 0_usize);
        while let Some(first) = block.first().copied() {
            if first >> 5 == 1 {
                // Only before the first field (RFC 7541, 4.2).
                let most = integer(&mut block, 5).filter(|most| *most <= TABLE && length == 0);
                self.most = most.ok_or(BadBlock::Malformed)?;
                self.shrink(self.most);
                continue;
            }
            let field = self.field(first, &mut block).ok_or(BadBlock::Malformed)?;
            // The only pseudo-header is before all other fields (RFC 9113, 8.3).
            let is_late = field.name == Name::Status && length > 0;
            if field.name == Name::Forbidden || is_late {
                return Err(BadBlock::Forbidden);
            }
            length = length.saturating_add(field.size);
            if length > longest {
                return Err(BadBlock::TooLong);
            }
            if field.name != Name::Other {
                fields.push(field);
            }
        }
        Ok(fields)
    }

    /// Reads a field that begins with the byte `first` (RFC 7541, 6.1 and 6.2).
    fn field(&mut self, first: u8, block: &mut &[u8]) -> Option<Field> {
        if first & 0x80 != 0 {
            return self.entry(integer(block, 7)?);
        }
        let is_added = first & 0x40 != 0;
        let index = integer(block, if is_added { 6 } else { 4 })?;
        let (name, name_length) = if index == 0 {
            let text = string(block)?;
            (Name::of(&text), text.len())
        } else {
            let entry = self.entry(index)?;
            (entry.name, entry.name_length)
        };
        let field = Field::new(name, name_length, string(block)?);
        if is_added {
            // What does not fit at all leaves the table empty (RFC 7541, 4.4).
            self.shrink(self.most.saturating_sub(field.size));
            if field.size <= self.most {
                self.size = self.size.saturating_add(field.size);
                self.table.push(field.clone());
            }
        }
        Some(field)
    }

    /// The field with this index (RFC 7541, 2.3.3).
    fn entry(&self, index: usize) -> Option<Field> {
        let Some(name_length) = STATIC_NAMES.get(index.checked_sub(1)?) else {
            let age = index.checked_sub(STATIC_NAMES.len())?;
            return self.table.get(self.table.len().checked_sub(age)?).cloned();
        };
        let (name, value) = match index {
            8..=14 => {
                let place = index.saturating_sub(8);
                (Name::Status, STATIC_STATUSES.chunks(3).nth(place)?)
            }
            16 => (Name::Other, &b"gzip, deflate"[..]),
            31 => (Name::ContentType, &b""[..]),
            // The pseudo-headers of requests, and transfer-encoding.
            1..=7 | 57 => (Name::Forbidden, &b""[..]),
            _ => (Name::Other, &b""[..]),
        };
        Some(Field::new(name, usize::from(*name_length), value.to_vec()))
    }

    /// Removes the oldest fields until the others fit into `most` bytes.
    fn shrink(&mut self, most: usize) {
        while self.size > most && !self.table.is_empty() {
            self.size = self.size.saturating_sub(self.table.remove(0).size);
        }
    }
}

/// An integer with a prefix of so many bits (RFC 7541, 5.1). No more than four bytes may follow the
/// prefix.
fn integer(block: &mut &[u8], prefix: u32) -> Option<usize> {
    let mut next = || {
        let (byte, rest) = block.split_first()?;
        *block = rest;
        Some(usize::from(*byte))
    };
    let most = 0xff_usize >> 8_u32.saturating_sub(prefix);
    let mut value = next()? & most;
    if value < most {
        return Some(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = next()?;
        value = value.saturating_add((byte & 0x7f) << shift);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A string, plain or in the Huffman code (RFC 7541, 5.2).
fn string(block: &mut &[u8]) -> Option<Vec<u8>> {
    let is_coded = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    if is_coded {
        huffman(text)
    } else {
        Some(text.to_vec())
    }
}

/// Reads the Huffman code, which is a canonical one: codes of one length follow each other in the
/// order of their bytes, and a longer code has a larger prefix than all shorter ones. So the number
/// of codes of each length, and the bytes in the order of their codes, are the whole table.
fn huffman(coded: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut lengths = LENGTHS.iter();
    // Of the code that is read: its bits, how many they are, the first code of this length, and the
    // place of the byte of that one.
    let (mut code, mut length, mut first, mut place) = (0_usize, 0_u32, 0_usize, 0_usize);
    for byte in coded {
        for bit in (0..8).rev() {
            code = code << 1 | usize::from(byte >> bit & 1);
            length = length.saturating_add(1);
            let count = usize::from(*lengths.next()?);
            let offset = code.saturating_sub(first);
            if offset < count {
                // The code after the last byte is EOS, which no string has (RFC 7541, 5.2).
                text.push(*BYTES.get(place.saturating_add(offset))?);
                (code, length, first, place) = (0, 0, 0, 0);
                lengths = LENGTHS.iter();
            } else {
                place = place.saturating_add(count);
                first = first.saturating_add(count) << 1;
            }
        }
    }
    // The last byte is filled up with the beginning of EOS, which is ones only.
    let is_padding = length < 8 && code.count_ones() == length;
    is_padding.then_some(text)
}

/// The lengths of the names in the static table (RFC 7541, appendix A).
#[rustfmt::skip]
const STATIC_NAMES: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14,
    16, 13, 12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25,
    17, 10, 4, 3, 16,
];

/// The values of `:status` in the static table, from index 8.
const STATIC_STATUSES: &[u8] = b"200204206304400404500";

/// How many codes have 1, 2, … bits (RFC 7541, appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 30] = [
    0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0,
    4,
];

/// The bytes in the order of their codes (RFC 7541, appendix B).
#[rustfmt::skip]
const BYTES: [u8; 256] = [
    48, 49, 50, 97, 99, 101, 105, 111, 115, 116, 32, 37, 45, 46, 47, 51, 52, 53, 54, 55, 56, 57, 61,
    65, 95, 98, 100, 102, 103, 104, 108, 109, 110, 112, 114, 117, 58, 66, 67, 68, 69, 70, 71, 72,
    73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89, 106, 107, 113, 118, 119, 120,
    121, 122, 38, 42, 44, 59, 88, 90, 33, 34, 40, 41, 63, 39, 43, 124, 35, 62, 0, 36, 64, 91, 93,
    126, 94, 125, 60, 96, 123, 92, 195, 208, 128, 130, 131, 162, 184, 194, 224, 226, 153, 161, 167,
    172, 176, 177, 179, 209, 216, 217, 227, 229, 230, 129, 132, 133, 134, 136, 146, 154, 156, 160,
    163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198, 228, 232, 233, 1, 135,
    137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174, 175,
    180, 182, 183, 188, 191, 197, 231, 239, 9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236,
    237, 199, 207, 234, 235, 192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243,
    255, 203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253,
    254, 2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29,
    30, 31, 127, 220, 249, 10, 13, 22,
];

#[cfg(test)]
mod tests {
    use super::{BYTES, BadBlock, Decoder, LENGTHS, Name, huffman, integer};
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .bytes()
            .filter(|it| !it.is_ascii_whitespace())
            .collect();
        let pairs = digits.chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        pairs.map(|pair| byte(pair).unwrap()).collect()
    }

    /// Reads blocks of one connection. The result is that of the last one.
    fn read(blocks: &[&[u8]]) -> Result<Vec<(Name, String)>, BadBlock> {
        let mut decoder = Decoder::default();
        let mut found = Ok(Vec::new());
        for block in blocks {
            found = decoder.block(block, 1000);
        }
        let text = |value: Vec<u8>| String::from_utf8(value).unwrap();
        let pair = |it: super::Field| (it.name, text(it.value));
        found.map(|fields| fields.into_iter().map(pair).collect())
    }

    fn status(value: &str) -> Result<Vec<(Name, String)>, BadBlock> {
        Ok(vec![(Name::Status, value.to_owned())])
    }

    /// RFC 7541, C.6: three responses in the Huffman code, of which the second and the third use
    /// the dynamic table. There it has 256 bytes, as the size update at the beginning sets it.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let first = hex(
            "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 \
             82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        );
        let second = hex("4883 640e ffc1 c0bf");
        let third = hex(
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad \
             94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 \
             65c0 03ed 4ee5 b106 3d50 07",
        );
        assert_eq!(read(&[&first]), status("302"));
        assert_eq!(read(&[&first, &second]), status("307"));
        assert_eq!(read(&[&first, &second, &third]), status("200"));
        // The sizes of the table after each response, from the RFC.
        let mut decoder = Decoder::default();
        for (block, expected) in [(first, (222, 4)), (second, (222, 4)), (third, (215, 3))] {
            decoder.block(&block, 1000).unwrap();
            assert_eq!((decoder.size, decoder.table.len()), expected);
        }
    }

    /// RFC 7541, C.1.
    #[test]
    fn integers_are_read() {
        for (bytes, prefix, expected) in [
            (&b"\x0a"[..], 5, Some(10)),
            (b"\xea", 5, Some(10)),
            (b"\x1f\x9a\x0a", 5, Some(1337)),
            (b"\x2a", 8, Some(42)),
            (b"\x1f\0", 5, Some(31)),
            (b"\x7f\x80\x80\x80\0", 7, Some(127)),
            (b"\x7f\xff\xff\xff\x7f", 7, Some(0x0fff_ffff + 127)),
            (b"\x7f\x80\x80\x80\x80\0", 7, None),
            (b"\x1f", 5, None),
            (b"\x1f\x80", 5, None),
            (b"", 5, None),
        ] {
            assert_eq!(integer(&mut &*bytes, prefix), expected, "{bytes:x?}");
        }
    }

    /// The code of a byte, and its length, by the tables.
    fn code(byte: u8) -> (u32, u32) {
        let mut place = BYTES.iter().position(|it| *it == byte).unwrap();
        let mut first = 0_u32;
        for (length, count) in (1..).zip(LENGTHS) {
            if place < usize::from(count) {
                return (first + place as u32, length);
            }
            place -= usize::from(count);
            first = (first + u32::from(count)) << 1;
        }
        unreachable!();
    }

    fn coded(text: &[u8]) -> Vec<u8> {
        let mut bits: Vec<u8> = Vec::new();
        for byte in text {
            let (code, length) = code(*byte);
            bits.extend((0..length).rev().map(|bit| (code >> bit & 1) as u8));
        }
        bits.resize(bits.len().next_multiple_of(8), 1);
        let byte = |bits: &[u8]| bits.iter().fold(0, |sum, bit| sum << 1 | bit);
        bits.chunks(8).map(byte).collect()
    }

    /// Some rows of RFC 7541, appendix B.
    #[test]
    fn the_code_is_the_one_of_the_rfc() {
        for (byte, expected) in [
            (b'0', (0x0, 5)),
            (b't', (0x9, 5)),
            (b' ', (0x14, 6)),
            (b':', (0x5c, 7)),
            (b'z', (0x7b, 7)),
            (b'&', (0xf8, 8)),
            (b'Z', (0xfd, 8)),
            (b'?', (0x3fc, 10)),
            (b'|', (0x7fc, 11)),
            (b'#', (0xffa, 12)),
            (0, (0x1ff8, 13)),
            (b'^', (0x3ffc, 14)),
            (b'{', (0x7ffe, 15)),
            (b'\\', (0x7fff0, 19)),
            (130, (0xfffe7, 20)),
            (1, (0x7f_ffd8, 23)),
            (255, (0x3ff_ffee, 26)),
            (2, (0xfff_ffe2, 28)),
            (249, (0xfff_fffe, 28)),
            (22, (0x3fff_fffe, 30)),
        ] {
            assert_eq!(code(byte), expected, "{byte}");
        }
        // The codes are complete: EOS is the only one that is left.
        let used: u64 = (1..)
            .zip(LENGTHS)
            .map(|(bits, it)| u64::from(it) << (30 - bits))
            .sum();
        assert_eq!(used, 1 << 30);
        let mut bytes = BYTES;
        bytes.sort_unstable();
        assert!((0..=255).eq(bytes));
    }

    #[test]
    fn a_string_that_breaks_a_rule_of_the_code_is_refused() {
        let refused = [
            // EOS.
            &b"\xff\xff\xff\xff"[..],
            // A whole byte of padding.
            b"\xff",
            b"\x07\xff\xff",
            // Padding with a zero.
            b"\x06",
        ];
        for coded in refused {
            assert_eq!(huffman(coded), None, "{coded:x?}");
        }
        assert_eq!(huffman(b"\x07"), Some(b"0".to_vec()));
        assert_eq!(huffman(b""), Some(Vec::new()));
    }

    #[test]
    fn a_malformed_block_is_refused() {
        for block in [
            // Index 0, and one that is not in the table.
            &b"\x80"[..],
            b"\xbe",
            b"\x7e\0",
            // A string that ends early, in plain and in code.
            b"\x40\x02a",
            b"\x40\x01a\x05b",
            b"\x48\x82\x64",
            b"\x48\x81\xff",
            b"\x40",
            b"\x48",
            // A larger table than podgate has, and a size update after a field.
            b"\x3f\xe2\x1f",
            b"\x88\x20",
            b"\x3f",
        ] {
            assert_eq!(read(&[block]), Err(BadBlock::Malformed), "{block:x?}");
        }
        for block in [&b"\x3f\xe1\x1f\x88"[..], b"\x20\x3f\xe1\x1f\x88"] {
            assert_eq!(read(&[block]), status("200"));
        }
    }

    #[test]
    fn the_newest_field_of_the_dynamic_table_has_the_lowest_index() {
        let add = b"\x48\x03201\x40\x0bgrpc-status\x015\x40\x01x\x01y";
        let all = [
            (Name::Status, "201"),
            (Name::GrpcStatus, "5"),
            (Name::GrpcStatus, "7"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        // 62 is "x", 63 the grpc-status and 64 the status. A name can be used alone.
        assert_eq!(read(&[add, b"\xc0\xbf\xbe\x0f\x30\x017"]), Ok(all.to_vec()));
        // A table of 80 bytes has room for "grpc-status: 5" (44), or for "x: y" (34), which came
        // later.
        let smaller = [&b"\x3f\x31"[..], b"\xbe\x88"].concat();
        let found = read(&[add, &smaller]);
        assert_eq!(found, Err(BadBlock::Forbidden));
        assert_eq!(read(&[add, b"\x3f\x31\xbf"]), Ok(all[1..2].to_vec()));
        assert_eq!(read(&[add, b"\x3f\x30\xbf"]), Ok(all[1..2].to_vec()));
        assert_eq!(read(&[add, b"\x3f\x2e\xbf"]), Err(BadBlock::Malformed));
        // A table of no bytes stays empty.
        let empty = b"\x20\x48\x03201\xbe";
        assert_eq!(read(&[empty]), Err(BadBlock::Malformed));
    }

    #[test]
    fn long_fields_are_refused_before_they_are_kept() {
        let mut decoder = Decoder::default();
        let block = b"\x88\x40\x01x\x01y";
        assert_eq!(decoder.block(block, 76).unwrap().len(), 1);
        let mut decoder = Decoder::default();
        assert_eq!(decoder.block(block, 75), Err(BadBlock::TooLong));
    }

    proptest! {
        #[test]
        fn a_coded_string_is_read_as_it_was(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(huffman(&coded(&text)), Some(text));
        }

        #[test]
        fn no_bytes_make_it_panic_and_the_table_is_bounded(
            blocks in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..60), 0..9),
        ) {
            let mut decoder = Decoder::default();
            for block in blocks {
                let _ = decoder.block(&block, 65_535);
                let sizes: usize = decoder.table.iter().map(|field| field.size).sum();
                prop_assert_eq!(sizes, decoder.size);
                prop_assert!(decoder.size <= decoder.most && decoder.most <= 4096);
            }
        }
    }
}
