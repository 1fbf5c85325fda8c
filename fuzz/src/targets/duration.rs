//! Durations. The three readers agree, a refused text gets a valid example, and a printed duration
//! can be read.

use crate::input::examples;
use crate::is_planted;
use podgate::core::duration::{Limit, delay, limit, positive, show};
use std::time::Duration;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let read = delay(text);
    if let Ok(duration) = &read {
        assert!(*duration <= Duration::from_secs(1000 * 24 * 60 * 60));
        let printed = humantime::format_duration(*duration).to_string();
        assert_eq!(delay(&printed), Ok(*duration), "{printed}");
        shown(*duration);
    }
    match positive(text) {
        Ok(duration) => assert!(read == Ok(duration) && duration >= Duration::from_millis(1)),
        Err(cause) => right(&cause, text, |text| positive(text).is_ok()),
    }
    match limit(text) {
        Ok(Limit::None) => assert_eq!(text, "none"),
        Ok(Limit::After(duration)) => assert!(read == Ok(duration) && !duration.is_zero()),
        Err(cause) => right(&cause, text, |text| limit(text).is_ok()),
    }
    if let Err(cause) = read {
        right(&cause, text, |text| delay(text).is_ok());
    }
}

fn right(cause: &str, typed: &str, is_read: impl Fn(&str) -> bool) {
    let examples = examples(cause);
    assert!(!examples.is_empty(), "{typed:?} {cause}");
    for example in examples {
        assert!(
            is_read(&example),
            "{typed:?} {cause}: {example:?} is no right example"
        );
    }
}

/// A log line rounds down to the precision that it shows, and not further.
fn shown(duration: Duration) {
    let text = show(duration);
    let unit = match duration {
        it if it < Duration::from_secs(1) => 1,
        it if it < Duration::from_secs(60) => 100,
        _ => 1000,
    };
    let mut expected = duration.as_millis() / unit * unit;
    if is_planted() && duration.as_secs() % 10 == 7 {
        expected += 1;
    }
    let millis = match (
        text.strip_prefix('<'),
        text.strip_suffix('s').and_then(|it| it.split_once('.')),
    ) {
        (Some(_), _) => 0,
        (None, Some((seconds, tenths))) => {
            seconds.parse::<u128>().unwrap() * 1000 + tenths.parse::<u128>().unwrap() * 100
        }
        (None, None) => delay(&text)
            .unwrap_or_else(|cause| panic!("{text:?} {cause}"))
            .as_millis(),
    };
    assert_eq!(millis, expected, "{duration:?} is shown as {text:?}");
}
