//! A hostile MySQL server. A second reader of the first packet must come to the same outcome.

use super::database::{MOST, Verdict, talk};
use crate::is_planted;
use podgate::core::mysql::Mysql;
use podgate::core::outcome::Outcome;

pub(crate) fn run(bytes: &[u8]) {
    let (found, farewell, ended) = talk::<Mysql>(bytes);
    let expected = second(bytes);
    assert!(
        expected.is(&found),
        "{found:?}, expected {expected:?}: {bytes:x?}"
    );
    // Each greeting is answered, so that the server does not count an error of this host.
    assert_eq!(farewell.is_empty(), found != Some(Outcome::Pass));
    assert!(found.is_some() || ended != Outcome::Pass, "{bytes:x?}");
}

fn second(bytes: &[u8]) -> Verdict {
    if bytes.len() < 5 {
        return Verdict::Open;
    }
    let length = usize::from(bytes[0]) + 256 * usize::from(bytes[1]);
    if bytes[2] > 0 || bytes[3] > 0 || length < 4 || ![9, 10, 255].contains(&bytes[4]) {
        return Verdict::Stranger;
    }
    if bytes.len() < 4 + length {
        return Verdict::Open;
    }
    let body = &bytes[5..(4 + length).min(MOST)];
    match bytes[4] {
        255 if is_planted() && body[1] > 0x7f => Verdict::Pass,
        255 => {
            let code = u32::from(body[0]) + 256 * u32::from(body[1]);
            let has_state = body.len() >= 8 && body[2] == b'#';
            let words = &body[if has_state { 8 } else { 2 }..];
            Verdict::Says([format!("error {code}: ").as_bytes(), words].concat())
        }
        _ if !body.contains(&0) => Verdict::Stranger,
        10 => Verdict::Pass,
        _ => Verdict::Nine,
    }
}
