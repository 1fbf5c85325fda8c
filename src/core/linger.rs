//! `--linger`: how long an observer waits for a member that ended and may be started again, before
//! it counts the end as final (P7.4).
//!
//! The kubelet starts a container again at once the first time, and then after 10 s, 20 s, 40 s …
//! up to 5 minutes (`pkg/kubelet/kuberuntime`, back-off of crashed containers). The incarnation of
//! the member that ended says which of these it is.

use super::duration;
use std::time::Duration;

/// The kubelet's back-off before the second restart of a container. Each one after it is twice as
/// long.
const SECOND: Duration = Duration::from_secs(10);
/// The kubelet's longest back-off (`MaxContainerBackOff`).
const LONGEST: Duration = Duration::from_secs(300);
/// What a restart may take beyond the back-off: the kubelet's resync, a slow node, an image pull,
/// and a longer back-off because of starts that died before they were counted.
pub const MARGIN: Duration = Duration::from_secs(60);

/// The value of `--linger`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Linger {
    /// As long as the kubelet's back-off for that restart, and [`MARGIN`].
    Auto,
    For(Duration),
}

impl Linger {
    /// Reads `auto`, or a duration that may be zero.
    ///
    /// # Errors
    /// As [`duration::delay`].
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => match duration::delay(text) {
                Ok(duration) => Ok(Self::For(duration)),
                Err(cause) => Err(format!("{cause}, or auto for the kubelet's back-off")),
            },
        }
    }

    /// How long a member may take to come back after the end of this incarnation. The first
    /// incarnation has number 1. `None`: the number is not known.
    pub fn after(self, incarnation: Option<u64>) -> Duration {
        match self {
            Self::Auto => back_off(incarnation).saturating_add(MARGIN),
            Self::For(duration) => duration,
        }
    }
}

/// The kubelet's back-off before the restart that follows the end of this incarnation. The n-th
/// restart follows the n-th incarnation.
pub fn back_off(incarnation: Option<u64>) -> Duration {
    match incarnation {
        Some(0 | 1) => Duration::ZERO,
        Some(number) => {
            let doublings = u32::try_from(number.saturating_sub(2)).unwrap_or(u32::MAX);
            let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
            SECOND.saturating_mul(factor).min(LONGEST)
        }
        None => LONGEST,
    }
}

#[cfg(test)]
mod tests {
    use super::{Linger, MARGIN, back_off};
    use std::time::Duration;

    #[test]
    fn the_back_off_is_the_kubelets() {
        let seconds = [0, 10, 20, 40, 80, 160, 300, 300];
        for (incarnation, seconds) in (1..).zip(seconds) {
            assert_eq!(back_off(Some(incarnation)), Duration::from_secs(seconds));
        }
        assert_eq!(back_off(Some(u64::MAX)), Duration::from_secs(300));
        assert_eq!(back_off(None), Duration::from_secs(300));
    }

    #[test]
    fn auto_adds_a_margin_and_a_given_time_stays_as_it_is() {
        assert_eq!(Linger::Auto.after(Some(1)), MARGIN);
        assert_eq!(
            Linger::Auto.after(Some(3)),
            MARGIN + Duration::from_secs(20)
        );
        let given = Linger::For(Duration::from_secs(1));
        assert_eq!(given.after(Some(9)), Duration::from_secs(1));
        assert_eq!(given.after(None), Duration::from_secs(1));
    }

    #[test]
    fn the_value_is_auto_or_a_duration() {
        assert_eq!(Linger::parse("auto"), Ok(Linger::Auto));
        assert_eq!(Linger::parse("0"), Ok(Linger::For(Duration::ZERO)));
        assert_eq!(
            Linger::parse("6m"),
            Ok(Linger::For(Duration::from_secs(360)))
        );
        let cause = Linger::parse("6").expect_err("no unit");
        assert!(
            cause.ends_with(", or auto for the kubelet's back-off"),
            "{cause}"
        );
    }
}
