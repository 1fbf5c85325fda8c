//! A hostile PostgreSQL server. A second reader of the protocol, written from PostgreSQL's
//! documentation (55.7), must come to the same outcome.

use super::database::{MOST, Verdict, talk};
use crate::is_planted;
use podgate::core::outcome::Outcome;
use podgate::core::postgres::Postgres;

pub(crate) fn run(bytes: &[u8]) {
    let (found, farewell, ended) = talk::<Postgres>(bytes);
    let (expected, is_trusted) = second(bytes);
    assert!(
        expected.is(&found),
        "{found:?}, expected {expected:?}: {bytes:x?}"
    );
    // Only a session that is ready has to be ended.
    assert!(farewell.is_empty() || (is_trusted && farewell == b"X\0\0\0\x04"));
    if found.is_none() {
        assert_eq!(ended == Outcome::Pass, is_trusted, "{ended:?}: {bytes:x?}");
    }
}

/// The verdict, and whether the server asked for no password.
fn second(bytes: &[u8]) -> (Verdict, bool) {
    let (mut at, mut is_trusted) = (0, false);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.len() < 5 {
            return (Verdict::Open, is_trusted);
        }
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let (least, most) = match rest[0] {
            b'R' => (8, 2000),
            b'E' => (8, 30_000),
            b'N' | b'v' => (12, 30_000),
            _ if is_trusted => (4, usize::MAX),
            _ => return (Verdict::Stranger, false),
        };
        if length < least || length > most {
            let nul = rest.iter().take(MOST).position(|byte| *byte == 0);
            let verdict = match nul {
                Some(4..) if rest[0] == b'E' => Verdict::Says(rest[1..nul.unwrap()].to_vec()),
                None if rest[0] == b'E' && rest.len() < MOST => Verdict::Open,
                _ => Verdict::Stranger,
            };
            return (verdict, is_trusted);
        }
        let needed = (length + 1).min(MOST);
        if rest.len() < needed {
            return (Verdict::Open, is_trusted);
        }
        match (rest[0], rest.get(5..9)) {
            (b'R', Some([0, 0, 0, 0])) => is_trusted = true,
            (b'R', Some([0, 0, 0, _])) => return (Verdict::Pass, is_trusted),
            (b'R', _) => return (Verdict::Stranger, is_trusted),
            (b'E', _) => return (error(&rest[5..needed], needed == length + 1), is_trusted),
            (b'Z', _) => return (Verdict::Pass, is_trusted),
            _ => {}
        }
        at += length + 1;
    }
}

/// Fields are separated by NUL. Only whole messages have to end with an empty field.
fn error(body: &[u8], is_whole: bool) -> Verdict {
    let mut fields = Vec::new();
    let mut parts = body.split(|byte| *byte == 0).peekable();
    let mut ends = false;
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        match part.split_first() {
            None => {
                ends = !is_last;
                break;
            }
            Some(_) if is_last && is_whole => return Verdict::Stranger,
            Some((kind, text)) => fields.push((*kind, text)),
        }
    }
    if is_whole && !ends {
        return Verdict::Stranger;
    }
    let last = |kind| fields.iter().rfind(|it| it.0 == kind).map(|it| it.1);
    let code = last(b'C').unwrap_or_default();
    let mistaken = is_planted() && code.starts_with(b"57P");
    match last(b'M') {
        _ if code.len() == 5 && code != b"57P03" && !mistaken => Verdict::Pass,
        Some(words) => Verdict::Says(words.to_vec()),
        None => Verdict::Stranger,
    }
}
