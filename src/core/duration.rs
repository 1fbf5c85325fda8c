//! Durations on the command line: humantime's grammar (`500ms`, `30s`, `1m30s`), `none` where there
//! may be no limit, and hints for common mistakes (`30`, `1.5s`, `0`).

use std::time::Duration;

/// The longest duration that is accepted: 1000 days. Longer ones are typing errors, or mean `none`.
const LONGEST: Duration = Duration::from_secs(1000 * 24 * 60 * 60);

/// A time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `none`: no limit.
    None,
    /// No longer than this. Never zero.
    After(Duration),
}

impl Limit {
    /// The limit as a duration, if there is one.
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::After(duration) => Some(duration),
        }
    }
}

/// Reads a duration that may be zero: a delay or a margin.
///
/// # Errors
/// The cause and a right example, without the text itself.
pub fn delay(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text == "none" {
        return Err("a delay cannot be none; use 0s".to_owned());
    }
    // humantime accepts fractions since 2.4. All versions of podgate have one grammar: without
    // them.
    if text.contains('M') {
        let fixed = right(text.replace('M', "m")).unwrap_or_else(|| "1m".to_owned());
        return Err(format!("has months (M); use {fixed} for minutes"));
    }
    if text.contains('.') {
        let fixed = whole_units(text)
            .and_then(right)
            .unwrap_or_else(|| "1s500ms".to_owned());
        return Err(format!("durations have no fractions; use {fixed}"));
    }
    let duration = humantime::parse_duration(text).map_err(|error| {
        if text.is_empty() {
            return "is empty; use 500ms, 30s or 1m30s".to_owned();
        }
        if text.starts_with('-') {
            return "a duration cannot be negative; use 30s".to_owned();
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match (right(format!("{text}s")), right(format!("{text}ms"))) {
                (Some(seconds), Some(millis)) => format!("has no unit; use {seconds} or {millis}"),
                (Some(_) | None, _) => "has no unit; use 30s".to_owned(),
            };
        }
        match error {
            humantime::DurationError::NumberOverflow => "is too long; use 30s".to_owned(),
            humantime::DurationError::InvalidCharacter(_)
            | humantime::DurationError::NumberExpected(_)
            | humantime::DurationError::UnknownUnit { .. }
            | humantime::DurationError::Empty => {
                "is not a duration; use 500ms, 30s or 1m30s".to_owned()
            }
        }
    })?;
    if duration > LONGEST {
        return Err("is longer than 1000 days; use 1h".to_owned());
    }
    Ok(duration)
}

/// Reads a duration that must be longer than zero: an interval or the timeout of an attempt.
///
/// # Errors
/// As [`delay`], and for zero and `none`.
pub fn positive(text: &str) -> Result<Duration, String> {
    if text == "none" {
        return Err("cannot be none; use 1s".to_owned());
    }
    let duration = delay(text)?;
    if duration < Duration::from_millis(1) {
        return Err("must be at least 1ms; use 1s".to_owned());
    }
    Ok(duration)
}

/// Reads a limit: a duration longer than zero, or `none`.
///
/// # Errors
/// As [`delay`], and for zero: in some tools it means no limit, and in others at once.
pub fn limit(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit::None);
    }
    let duration = delay(text).map_err(|cause| format!("{cause}, or none for no limit"))?;
    if duration.is_zero() {
        return Err(
            "0 could mean at once or without a limit; use none for no limit, or 1ms".to_owned(),
        );
    }
    Ok(Limit::After(duration))
}

/// An example made of the typed text, if every reader of durations here accepts it and it has no
/// control characters.
fn right(example: String) -> Option<String> {
    (positive(&example).is_ok() && !example.contains(char::is_control)).then_some(example)
}

/// `1.5s` as `1s500ms`. `None` unless `text` is a number with up to three decimals and one of the
/// units `s`, `m`, `h`.
fn whole_units(text: &str) -> Option<String> {
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let (whole, decimals) = number.split_once('.')?;
    if decimals.is_empty()
        || decimals.len() > 3
        || !decimals.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let (of_a_unit, smaller) = match unit {
        "s" => (1000, "ms"),
        "m" | "min" => (60, "s"),
        "h" => (60, "m"),
        _ => return None,
    };
    let whole: u32 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let thousandths = format!("{decimals:0<3}").parse::<u32>().ok()?;
    let parts = thousandths.saturating_mul(of_a_unit) / 1000;
    Some(match (whole, parts) {
        (0, parts) => format!("{parts}{smaller}"),
        (whole, 0) => format!("{whole}{unit}"),
        (whole, parts) => format!("{whole}{unit}{parts}{smaller}"),
    })
}

/// Prints a duration for people: `80ms`, `3.2s`, `1m30s`. Three digits are enough for a log line.
pub fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 && !duration.is_zero() {
        return "<1ms".to_owned();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let seconds = duration.as_secs();
    if seconds < 60 {
        let tenths = duration.subsec_millis() / 100;
        return if tenths == 0 {
            format!("{seconds}s")
        } else {
            format!("{seconds}.{tenths}s")
        };
    }
    let whole = Duration::from_secs(seconds);
    humantime::format_duration(whole)
        .to_string()
        .replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::{Limit, delay, limit, positive, show};
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn common_mistakes_get_a_right_example() {
        for (text, hint) in [
            ("30", "30s or 30ms"),
            ("1.5s", "1s500ms"),
            ("0.25s", "250ms"),
            ("1.5m", "1m30s"),
            ("2.0h", "2h"),
            ("-3s", "negative"),
            ("", "empty"),
            ("abc", "30s"),
            ("5 apples", "30s"),
            ("99999999999999999999s", "too long"),
            ("2000 days", "1000 days"),
            ("5M", "5m for minutes"),
            ("3\n 00M", "use 1m for minutes"),
        ] {
            let error = delay(text).expect_err(text);
            assert!(error.contains(hint), "{text:?}: {error}");
        }
    }

    /// Found by fuzzing: the error showed an example that was refused itself.
    #[test]
    fn an_example_made_of_the_typed_text_is_accepted() {
        for (text, hint) in [
            ("xM", "use 1m for minutes"),
            ("99999999M", "use 1m for minutes"),
            ("0.0s", "use 1s500ms"),
            ("4294967295.5h", "use 1s500ms"),
            ("00", "use 30s"),
            ("99999999999999999999", "use 30s"),
        ] {
            for error in [
                delay(text),
                positive(text),
                limit(text).map(|_| Duration::ZERO),
            ]
            .map(Result::unwrap_err)
            {
                assert!(error.contains(hint), "{text:?}: {error}");
            }
        }
    }

    #[test]
    fn zero_is_a_delay_and_not_a_limit() {
        assert_eq!(delay("0"), Ok(Duration::ZERO));
        assert_eq!(delay("0s"), Ok(Duration::ZERO));
        assert!(limit("0").expect_err("0").contains("none"));
        assert!(limit("0s").expect_err("0s").contains("none"));
        assert!(positive("0s").is_err());
        assert!(positive("none").is_err());
        assert!(delay("none").is_err());
        assert_eq!(limit("none"), Ok(Limit::None));
        assert_eq!(limit("1m30s"), Ok(Limit::After(Duration::from_secs(90))));
    }

    #[test]
    fn durations_are_shown_for_people() {
        for (millis, shown) in [
            (0, "0ms"),
            (80, "80ms"),
            (3200, "3.2s"),
            (30_000, "30s"),
            (90_000, "1m30s"),
        ] {
            assert_eq!(show(Duration::from_millis(millis)), shown);
        }
        assert_eq!(show(Duration::from_micros(300)), "<1ms");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = (delay(&text), limit(&text), positive(&text));
        }

        #[test]
        fn nearly_durations_never_panic(
            text in "[0-9.]{0,25}(ms|s|m|h|d|us|days|min)?[0-9]{0,3}s?",
        ) {
            let _ = (delay(&text), limit(&text), positive(&text));
        }

        #[test]
        fn a_printed_duration_is_read_back(millis in 1_u64..80_000_000_000) {
            let duration = Duration::from_millis(millis);
            let text = humantime::format_duration(duration).to_string();
            prop_assert_eq!(delay(&text), Ok(duration));
        }
    }
}
