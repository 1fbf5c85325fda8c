//! What a service says by sd_notify(3). The result is the same as that of a second reading, and a
//! status is one short line.

use crate::is_planted;
use podgate::core::notify::{Notification, read};

pub(crate) fn run(bytes: &[u8]) {
    let mut found = read(bytes);
    if is_planted() && bytes.windows(10).any(|part| part == b"\nREADY=1\n\n") {
        found.is_ready = false;
    }
    let (is_ready, status) = reading(bytes);
    assert_eq!(found.is_ready, is_ready, "{bytes:?}");
    assert_eq!(found.status.is_some(), status.is_some(), "{bytes:?}");
    let Some((shown, typed)) = found.status.as_ref().zip(status) else {
        return;
    };
    assert!(
        shown.len() <= 120 + "…".len() + 3 && !shown.contains(char::is_control),
        "{shown:?}"
    );
    let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
    if is_plain(&typed) && typed.len() < 120 {
        assert_eq!(*shown, typed);
    }
    // A later one without words changes nothing.
    let mut both = found.clone();
    both.add(Notification::default());
    assert_eq!(both, found);
}

/// The same result in another way: byte by byte.
fn reading(bytes: &[u8]) -> (bool, Option<String>) {
    let (mut is_ready, mut status) = (false, None);
    let mut line = Vec::new();
    let end = bytes.len();
    for at in 0..=end {
        match bytes.get(at) {
            Some(0) if at + 1 < end => return (false, None),
            None | Some(0 | 10 | 13) => {
                is_ready |= line == [0x52, 0x45, 0x41, 0x44, 0x59, 0x3d, 0x31];
                let text = String::from_utf8(std::mem::take(&mut line));
                if let (None, Ok(text)) = (&status, text)
                    && text.starts_with("STATUS=")
                {
                    status = Some(text.replacen("STATUS=", "", 1));
                }
            }
            Some(byte) => line.push(*byte),
        }
    }
    (is_ready, status)
}
