//! Answers of name servers, and resolv.conf. A second reader, written from RFC 1035, must find the
//! same. An answer to another question is not accepted, and each name of the search list is a valid
//! name.

use crate::is_planted;
use podgate::core::dns::{Answer, Family, answer, is_name, question};
use podgate::core::lookup::Config;
use std::net::IpAddr;

const ID: u16 = 0x1234;
const NAME: &str = "db.example";

/// The lowest bit of the first byte is the family. The next two select what the rest is: records
/// after the right question, a whole message, or a resolv.conf.
pub(crate) fn run(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else {
        return;
    };
    let family = Family::BOTH[usize::from(how & 1)];
    match how >> 1 & 3 {
        0 | 1 => {
            let mut message = question(ID, NAME, family).unwrap();
            message[2] = 0x81;
            let (counts, records) = rest.split_at(rest.len().min(3));
            for (at, count) in [3, 7, 11].iter().zip(counts) {
                message[*at] = *count;
            }
            message.extend(records);
            read(&message, family);
        }
        2 => read(rest, family),
        _ => resolv_conf(&String::from_utf8_lossy(rest)),
    }
}

fn read(message: &[u8], family: Family) {
    let found = answer(message, ID, NAME, family);
    let mut expected = second(message, family);
    if let Some(Answer::Addresses(it)) = &mut expected
        && is_planted()
        && it
            .iter()
            .any(|it| matches!(it, IpAddr::V4(it) if it.octets()[3] >= 200))
    {
        it.clear();
    }
    assert_eq!(found, expected, "{message:x?}");
    if found.is_some() {
        assert_eq!(answer(message, ID ^ 1, NAME, family), None);
    }
    // A failure may come without the question, so it can be the answer to any.
    let is_failure = matches!(found, Some(Answer::Failed(1..)));
    if found.is_some() && !is_failure {
        assert_eq!(answer(message, ID, "other.example", family), None);
    }
}

/// The same result in another way: pieces of the message by index, and names by recursion.
fn second(message: &[u8], family: Family) -> Option<Answer> {
    let number =
        |at: usize| Some(u16::from(*message.get(at)?) << 8 | u16::from(*message.get(at + 1)?));
    let (flags, asked, records) = (number(2)?, number(4)?, number(6)?);
    number(10)?;
    if number(0)? != ID || flags >> 11 != 0x10 {
        return None;
    }
    let kind = if family == Family::V4 { 1 } else { 28 };
    let name: Vec<Vec<u8>> = NAME.split('.').map(|it| it.as_bytes().to_vec()).collect();
    let code = flags & 0xf;
    let mut at = 12;
    if asked == 0 && !matches!(code, 0 | 3) {
        return Some(Answer::Failed(code as u8));
    }
    let (labels, end) = labels(message, at, at)?;
    if asked != 1 || labels != name || number(end)? != kind || number(end + 2)? != 1 {
        return None;
    }
    at = end + 4;
    match code {
        0 if flags & 0x200 != 0 => return Some(Answer::Truncated),
        3 if flags & 0x200 != 0 => return Some(Answer::Truncated),
        0 => {}
        3 => return Some(Answer::NoName),
        code => return Some(Answer::Failed(code as u8)),
    }
    let mut rows = Vec::new();
    for _ in 0..records {
        let (owner, end) = self::labels(message, at, at)?;
        let length = usize::from(number(end + 8)?);
        let data = message.get(end + 10..end + 10 + length)?;
        at = end + 10 + length;
        let (record, class) = (number(end)?, number(end + 2)?);
        let address = |data: &[u8]| match data.len() {
            4 if kind == 1 => Some(IpAddr::from(<[u8; 4]>::try_from(data).unwrap())),
            16 if kind == 28 => Some(IpAddr::from(<[u8; 16]>::try_from(data).unwrap())),
            _ => None,
        };
        if class == 1 && record == kind {
            rows.push((owner, Some(address(data)?), Vec::new()));
        } else if class == 1 && record == 5 {
            rows.push((owner, None, self::labels(message, end + 10, end + 10)?.0));
        }
    }
    let mut current = name;
    for _ in 0..17 {
        let own = rows.iter().filter(|(owner, ..)| *owner == current);
        let found: Vec<IpAddr> = own.clone().filter_map(|(_, it, _)| *it).take(16).collect();
        if !found.is_empty() {
            return Some(Answer::Addresses(found));
        }
        let Some((_, _, target)) = own.clone().next() else {
            break;
        };
        current = target.clone();
    }
    let knows_nothing = records == 0 && flags & 0x480 == 0 && number(10)? == 0;
    Some(if knows_nothing {
        Answer::Failed(0)
    } else {
        Answer::NoAddress
    })
}

/// The labels of a name in lower case, and where it ends. A pointer must lead to before `earliest`.
fn labels(message: &[u8], at: usize, earliest: usize) -> Option<(Vec<Vec<u8>>, usize)> {
    let length = usize::from(*message.get(at)?);
    let (mut all, end) = match length {
        0 => (Vec::new(), at + 1),
        1..=63 => {
            let label = message.get(at + 1..at + 1 + length)?.to_ascii_lowercase();
            let (mut rest, end) = labels(message, at + 1 + length, earliest)?;
            rest.insert(0, label);
            (rest, end)
        }
        192.. => {
            let to = (length & 63) << 8 | usize::from(*message.get(at + 1)?);
            if to >= earliest {
                return None;
            }
            (labels(message, to, to)?.0, at + 2)
        }
        _ => return None,
    };
    let size: usize = all.iter().map(|label| label.len() + 1).sum();
    all.truncate(if size < 255 { all.len() } else { 0 });
    (size < 255).then_some((all, end))
}

fn resolv_conf(text: &str) {
    let config = Config::parse(text, "app.example");
    assert!((1..=3).contains(&config.servers.len()), "{config:?}");
    assert!(
        (1..=5).contains(&config.attempts) && config.ndots <= 15,
        "{config:?}"
    );
    for name in ["db", "a.b.c", "absolute."] {
        let names = config.names(name);
        assert!(names.iter().all(|it| is_name(it)), "{names:?}");
        let plain = name.trim_end_matches('.');
        assert!(names.iter().any(|it| it == plain), "{names:?}");
    }
}
