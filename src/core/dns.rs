//! DNS messages: the bytes of a question, and what the bytes of an answer mean (RFC 1035, 4).
//!
//! A name server is not trusted. Bytes that do not answer the question that was asked are no
//! answer, and the wait for one goes on.

use std::net::IpAddr;

/// The longest name in bytes, with the length of each label and the final zero (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 255;
const LONGEST_LABEL: usize = 63;
/// The most aliases that are followed for one name.
const MOST_ALIASES: usize = 16;
/// The most addresses that are taken from one answer.
const MOST_ADDRESSES: usize = 16;

/// The class IN.
const INTERNET: u16 = 1;
const CNAME: u16 = 5;

/// The response code of a name that does not exist.
const NXDOMAIN: u8 = 3;

/// Which addresses a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

impl Family {
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The type of its records.
    const fn record(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }

    /// The address in a record's data.
    fn address(self, data: &[u8]) -> Option<IpAddr> {
        match self {
            Self::V4 => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
            Self::V6 => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
        }
    }
}

/// What an answer means for its question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// At least one address of this family.
    Addresses(Vec<IpAddr>),
    /// The name does not exist (NXDOMAIN).
    NoName,
    /// The name exists, and has no address of this family.
    NoAddress,
    /// The server does not answer this question. The number is the response code, or 0 for a server
    /// that knows nothing of the name and asks no other server about it.
    Failed(u8),
    /// The answer was too long for a datagram. TCP has the whole answer.
    Truncated,
}

/// Whether a name server can be asked for this name.
pub fn is_name(name: &str) -> bool {
    encoded(name).is_some()
}

/// The bytes of a question. `None` if the name, or a label of it, is empty or too long.
pub fn question(id: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.extend(id.to_be_bytes());
    // The only flag is "recursion desired", and there is one question.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend(encoded(name)?);
    bytes.extend(family.record().to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    Some(bytes)
}

/// Reads the answer to a question. `None` if the bytes do not answer it, or are malformed.
pub fn answer(bytes: &[u8], id: u16, name: &str, family: Family) -> Option<Answer> {
    let mut reader = Reader { bytes, at: 0 };
    let header = Header::read(&mut reader)?;
    if header.id != id || !header.is_answer() {
        return None;
    }
    let code = header.code();
    let has_failed = code != 0 && code != NXDOMAIN;
    let asked = encoded(name)?;
    match header.questions {
        1 => {
            let is_mine = reader.name()? == asked
                && reader.number()? == family.record()
                && reader.number()? == INTERNET;
            if !is_mine {
                return None;
            }
        }
        // Some servers leave the question out when they refuse it.
        0 if has_failed => {}
        _ => return None,
    }
    Some(match code {
        _ if has_failed => Answer::Failed(code),
        _ if header.is_truncated() => Answer::Truncated,
        NXDOMAIN => Answer::NoName,
        _ => {
            let found = Records::read(&mut reader, header.answers, family)?.of(asked);
            if !found.is_empty() {
                Answer::Addresses(found)
            } else if header.is_referral() {
                Answer::Failed(0)
            } else {
                Answer::NoAddress
            }
        }
    })
}

/// A name as in a message: in lower case, each label behind its length, with a zero at the end.
fn encoded(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if label.is_empty() || label.len() > LONGEST_LABEL {
            return None;
        }
        bytes.push(length);
        bytes.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    bytes.push(0);
    (bytes.len() <= LONGEST_NAME).then_some(bytes)
}

struct Header {
    id: u16,
    flags: u16,
    questions: u16,
    answers: u16,
    additional: u16,
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let id = reader.number()?;
        let flags = reader.number()?;
        let questions = reader.number()?;
        let answers = reader.number()?;
        let _authority = reader.number()?;
        let additional = reader.number()?;
        Some(Self {
            id,
            flags,
            questions,
            answers,
            additional,
        })
    }

    /// Whether it is an answer (QR) to a standard query (the opcode is 0).
    const fn is_answer(&self) -> bool {
        self.flags & 0xf800 == 0x8000
    }

    const fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }

    const fn code(&self) -> u8 {
        (self.flags & 0xf) as u8
    }

    /// Whether the server only names other servers, as glibc and Go judge it: it has no answer and
    /// no additional record, is not authoritative (AA), and does not ask other servers (RA).
    const fn is_referral(&self) -> bool {
        self.flags & 0x0480 == 0 && self.answers == 0 && self.additional == 0
    }
}

/// The records of an answer that matter. Names are in the form of [`encoded`].
#[derive(Default)]
struct Records {
    /// A name, and the name that it is an alias for.
    aliases: Vec<(Vec<u8>, Vec<u8>)>,
    addresses: Vec<(Vec<u8>, IpAddr)>,
}

impl Records {
    fn read(reader: &mut Reader<'_>, count: u16, family: Family) -> Option<Self> {
        let mut found = Self::default();
        for _ in 0..count {
            let owner = reader.name()?;
            let kind = reader.number()?;
            let class = reader.number()?;
            let _time_to_live = reader.taken(4)?;
            let length = reader.number()?;
            let mut data = Reader { ..*reader };
            let bytes = reader.taken(usize::from(length))?;
            if class != INTERNET {
                continue;
            }
            if kind == CNAME {
                found.aliases.push((owner, data.name()?));
            } else if kind == family.record() {
                found.addresses.push((owner, family.address(bytes)?));
            }
        }
        Some(found)
    }

    /// The addresses of a name, or of the name that it is an alias for.
    fn of(&self, mut name: Vec<u8>) -> Vec<IpAddr> {
        for _ in 0..=MOST_ALIASES {
            let own = self.addresses.iter().filter(|(owner, _)| *owner == name);
            let own: Vec<IpAddr> = own.map(|(_, it)| *it).take(MOST_ADDRESSES).collect();
            if !own.is_empty() {
                return own;
            }
            match self.aliases.iter().find(|(owner, _)| *owner == name) {
                Some((_, target)) => name.clone_from(target),
                None => break,
            }
        }
        Vec::new()
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn taken(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.taken(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.taken(2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    /// Reads a name, in the form of [`encoded`]. The rest of a name can stand earlier in the
    /// message (RFC 1035, 4.1.4). Each pointer must lead further back than the one before, so this
    /// ends.
    fn name(&mut self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        let mut reader = *self;
        let mut earliest = self.at;
        let mut has_jumped = false;
        loop {
            let length = reader.byte()?;
            match length >> 6 {
                0 => {
                    let label = reader.taken(usize::from(length))?;
                    name.push(length);
                    name.extend(label.iter().map(u8::to_ascii_lowercase));
                }
                3 => {
                    let to = u16::from_be_bytes([length & 0x3f, reader.byte()?]).into();
                    if !has_jumped {
                        self.at = reader.at;
                        has_jumped = true;
                    }
                    if to >= earliest {
                        return None;
                    }
                    (earliest, reader.at) = (to, to);
                    continue;
                }
                _ => return None,
            }
            if name.len() > LONGEST_NAME {
                return None;
            }
            if length == 0 {
                if !has_jumped {
                    self.at = reader.at;
                }
                return Some(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Family, answer, is_name, question};
    use proptest::prelude::*;
    use std::net::IpAddr;

    const ID: u16 = 0x1234;
    const V4: Family = Family::V4;
    /// A pointer to the name of the question, which follows the header.
    const NAME: &[u8] = &[0xc0, 12];

    /// An answer about `db.example`, with these flags and these records.
    fn message(flags: u16, family: Family, records: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = question(ID, "db.example", family).expect("a name");
        bytes[2..4].copy_from_slice(&flags.to_be_bytes());
        bytes[6..8].copy_from_slice(&u16::try_from(records.len()).expect("few").to_be_bytes());
        bytes.extend(records.concat());
        bytes
    }

    fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = owner.to_vec();
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]);
        bytes.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        bytes.extend(data);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Answer> {
        answer(bytes, ID, "db.example", V4)
    }

    fn addresses(texts: &[&str]) -> Option<Answer> {
        let found = texts.iter().map(|it| it.parse::<IpAddr>().expect(it));
        Some(Answer::Addresses(found.collect()))
    }

    #[test]
    fn a_question_is_that_of_rfc_1035() {
        let expected = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02db\x07example\x00\
                         \x00\x01\x00\x01";
        for name in ["db.example", "db.example.", "DB.Example"] {
            assert_eq!(question(ID, name, V4).expect(name), expected);
        }
        let label = "a".repeat(63);
        let long = [label.as_str(), &label, &label, &"a".repeat(61)].join(".");
        for name in ["a_b", "-", &label, &long] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "a..b",
            ".a",
            &format!("{label}a"),
            &format!("{long}a"),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn each_answer_has_its_meaning() {
        let four = || record(NAME, 1, &[10, 0, 0, 7]);
        let six = record(NAME, 28, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        for (flags, records, expected) in [
            (0x8180, vec![four()], addresses(&["10.0.0.7"])),
            (
                0x8180,
                vec![four(), four()],
                addresses(&["10.0.0.7", "10.0.0.7"]),
            ),
            (0x8180, vec![], Some(Answer::NoAddress)),
            (0x8180, vec![six.clone()], Some(Answer::NoAddress)),
            (0x8183, vec![], Some(Answer::NoName)),
            (0x8182, vec![], Some(Answer::Failed(2))),
            (0x8185, vec![four()], Some(Answer::Failed(5))),
            (0x8380, vec![four()], Some(Answer::Truncated)),
            (0x8382, vec![], Some(Answer::Failed(2))),
            (0x8400, vec![], Some(Answer::NoAddress)),
            // A server that names other servers and does not ask them.
            (0x8000, vec![], Some(Answer::Failed(0))),
            // A question, another opcode.
            (0x0100, vec![four()], None),
            (0x8980, vec![four()], None),
        ] {
            assert_eq!(read(&message(flags, V4, &records)), expected, "{flags:x}");
        }
        let bytes = message(0x8180, Family::V6, &[six]);
        assert_eq!(
            answer(&bytes, ID, "DB.example.", Family::V6),
            addresses(&["::1"])
        );
    }

    #[test]
    fn aliases_are_followed_in_any_order() {
        let (a, b) = (b"\x01a\x00", b"\x01b\x00");
        let address = record(b, 1, &[10, 0, 0, 8]);
        let first = record(NAME, 5, a);
        let second = record(b"\x01A\x00", 5, b);
        for records in [
            [first.clone(), second.clone(), address.clone()],
            [address.clone(), second.clone(), first.clone()],
        ] {
            let bytes = message(0x8180, V4, &records);
            assert_eq!(read(&bytes), addresses(&["10.0.0.8"]));
        }
        // The address of another name, and aliases in a circle.
        let bytes = message(0x8180, V4, &[first.clone(), address]);
        assert_eq!(read(&bytes), Some(Answer::NoAddress));
        let circle = record(a, 5, NAME);
        let bytes = message(0x8180, V4, &[first, circle]);
        assert_eq!(read(&bytes), Some(Answer::NoAddress));
    }

    #[test]
    fn bytes_that_do_not_answer_the_question_are_ignored() {
        let good = message(0x8180, V4, &[record(NAME, 1, &[10, 0, 0, 7])]);
        assert!(read(&good).is_some());
        assert_eq!(answer(&good, ID + 1, "db.example", V4), None);
        assert_eq!(answer(&good, ID, "db.exampl", V4), None);
        assert_eq!(answer(&good, ID, "db.example", Family::V6), None);
        for end in 0..good.len() {
            assert_eq!(read(&good[..end]), None, "cut off at {end}");
        }
        for (what, record) in [
            (
                "a pointer to itself",
                record(&[0xc0, 28], 1, &[10, 0, 0, 7]),
            ),
            ("a pointer forwards", record(&[0xc0, 40], 1, &[10, 0, 0, 7])),
            (
                "a pointer outside",
                record(&[0xff, 0xff], 1, &[10, 0, 0, 7]),
            ),
            (
                "a label of an unknown kind",
                record(&[0x80, 0], 1, &[10, 0, 0, 7]),
            ),
            (
                "an alias that points at itself",
                record(NAME, 5, &[0xc0, 40]),
            ),
            ("an address of three bytes", record(NAME, 1, &[10, 0, 0])),
            (
                "a name that is too long",
                record(&[[63; 64]; 5].concat(), 1, &[10, 0, 0, 7]),
            ),
        ] {
            assert_eq!(read(&message(0x8180, V4, &[record])), None, "{what}");
        }
        // A refusal may come without the question. Nothing else may.
        let header = |flags: u16| {
            let mut bytes = ID.to_be_bytes().to_vec();
            bytes.extend(flags.to_be_bytes());
            bytes.extend([0; 8]);
            bytes
        };
        assert_eq!(read(&header(0x8185)), Some(Answer::Failed(5)));
        assert_eq!(read(&header(0x8183)), None);
        assert_eq!(read(&header(0x8180)), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut whole = message(0x8180, V4, &[]);
            whole[7] = 3;
            whole.extend(&bytes);
            let _ = (read(&whole), read(&bytes));
        }

        #[test]
        fn a_name_is_read_back_from_its_question(name in "[a-z0-9_.-]{1,80}") {
            if let Some(mut bytes) = question(ID, &name, V4) {
                bytes[2] = 0x84;
                prop_assert_eq!(answer(&bytes, ID, &name, V4), Some(Answer::NoAddress));
            }
        }
    }
}
