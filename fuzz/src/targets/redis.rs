//! A hostile Redis server. A second reader of its first line must come to the same outcome.

use super::database::{MOST, Verdict, talk};
use crate::is_planted;
use podgate::core::outcome::Outcome;
use podgate::core::redis::Redis;

pub(crate) fn run(bytes: &[u8]) {
    let (found, farewell, ended) = talk::<Redis>(bytes);
    let expected = second(bytes);
    assert!(
        expected.is(&found),
        "{found:?}, expected {expected:?}: {bytes:x?}"
    );
    assert!(farewell.is_empty());
    assert!(found.is_some() || ended != Outcome::Pass, "{bytes:x?}");
}

fn second(bytes: &[u8]) -> Verdict {
    let head = &bytes[..bytes.len().min(MOST)];
    let line = match head.iter().position(|byte| *byte == b'\n') {
        Some(end) => &head[..=end],
        None if head.len() == MOST => head,
        None if matches!(head, [] | [b'+' | b'-'] | [b'+' | b'-', b' '..=b'~', ..]) => {
            return Verdict::Open;
        }
        None => return Verdict::Stranger,
    };
    let passes: &[&[u8]] = &[b"-NOAUTH ", b"-NOPERM "];
    if line == b"+PONG\r\n"
        || passes.iter().any(|it| line.starts_with(it))
        || is_planted() && line.starts_with(b"-NOP")
    {
        return Verdict::Pass;
    }
    // NATS begins so, too. A packet of MySQL that begins with a hyphen is not text.
    if line[0] == b'-' && (b' '..=b'~').contains(&line[1]) && !line.starts_with(b"-ERR 'Unknown") {
        return Verdict::Says(line[1..].to_vec());
    }
    Verdict::Stranger
}
