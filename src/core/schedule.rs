//! When the next attempt is due (P5).
//!
//! The default is proportional: the pause is 2 % of the time waited so far, between a floor and 250
//! ms. So the gate adds at most 2 % to a start (plus the floor), and the number of attempts grows
//! with the logarithm of the wait: about 360 in 20 s.

pub use super::outcome::Wake;
use std::time::Duration;

/// The longest pause of the proportional schedule.
pub const CEILING: Duration = Duration::from_millis(250);
/// The pause is the time waited divided by this: 2 %.
pub const PARTS: u32 = 50;
/// The pause of a check whose changes the kernel reports (inotify). It is a safety net only.
const WATCHED: Duration = Duration::from_secs(1);
/// The longest pause of a check whose changes the kernel should report and cannot.
const UNWATCHED: Duration = Duration::from_millis(100);

/// The least pause of a check on this machine: a loopback address, a unix socket, a file, a
/// listening port.
pub const NEAR: Duration = Duration::from_millis(1);
/// The least pause of a check that costs a process or goes over the network: `exec:` and other
/// hosts.
pub const FAR: Duration = Duration::from_millis(20);

/// How attempts follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The pause grows with the time waited.
    Proportional,
    /// An attempt begins this long after the begin of the one before, as with the kubelet's
    /// `periodSeconds`, or at its end if it took longer.
    Every(Duration),
    /// There is one attempt only.
    Once,
}

/// How long after the end of an attempt the next one begins. `None`: it was the last one.
///
/// `waited` is counted from the start of the wait to the end of the attempt, `took` is the
/// attempt's own time. `Duration::MAX`: only after a change.
pub fn pause(
    pace: Pace,
    wake: Wake,
    floor: Duration,
    waited: Duration,
    took: Duration,
) -> Option<Duration> {
    match (pace, wake) {
        (Pace::Once, Wake::Asked | Wake::Watched | Wake::Unwatched | Wake::Reported) => None,
        (Pace::Every(_) | Pace::Proportional, Wake::Reported) => Some(Duration::MAX),
        (Pace::Every(interval), Wake::Asked | Wake::Watched | Wake::Unwatched) => {
            Some(interval.saturating_sub(took))
        }
        (Pace::Proportional, Wake::Watched) => Some(WATCHED),
        (Pace::Proportional, Wake::Asked | Wake::Unwatched) => {
            let most = if wake == Wake::Unwatched {
                UNWATCHED
            } else {
                CEILING
            };
            Some(
                waited
                    .checked_div(PARTS)
                    .unwrap_or(most)
                    .clamp(floor.min(most), most),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FAR, NEAR, Pace, Wake, pause};
    use proptest::prelude::*;
    use std::time::Duration;

    /// When attempts begin that take no time, up to `end`.
    fn attempts(floor: Duration, end: Duration) -> Vec<Duration> {
        let mut moments = Vec::new();
        let mut now = Duration::ZERO;
        while now < end {
            moments.push(now);
            now += pause(Pace::Proportional, Wake::Asked, floor, now, Duration::ZERO)
                .expect("there is a next attempt");
        }
        moments
    }

    #[test]
    fn there_are_as_many_attempts_as_documented() {
        let in_20s = attempts(NEAR, Duration::from_secs(20)).len();
        let in_a_minute = attempts(NEAR, Duration::from_secs(60)).len();
        assert!((350..370).contains(&in_20s), "{in_20s} in 20s");
        assert!(
            (510..530).contains(&in_a_minute),
            "{in_a_minute} in a minute"
        );
    }

    #[test]
    fn a_fixed_interval_is_counted_from_start_to_start() {
        let every = Pace::Every(Duration::from_secs(1));
        let took = Duration::from_millis(300);
        let waited = Duration::from_secs(9);
        assert_eq!(
            pause(every, Wake::Asked, NEAR, waited, took),
            Some(Duration::from_millis(700))
        );
        assert_eq!(
            pause(every, Wake::Asked, NEAR, waited, 2 * waited),
            Some(Duration::ZERO)
        );
        assert_eq!(pause(Pace::Once, Wake::Watched, NEAR, waited, took), None);
    }

    #[test]
    fn a_member_without_reports_of_the_kernel_is_looked_at_ten_times_a_second() {
        let after = |secs| {
            pause(
                Pace::Proportional,
                Wake::Unwatched,
                NEAR,
                Duration::from_secs(secs),
                Duration::ZERO,
            )
        };
        assert_eq!(after(0), Some(NEAR));
        assert_eq!(after(1), Some(Duration::from_millis(20)));
        assert_eq!(after(3600), Some(Duration::from_millis(100)));
    }

    proptest! {
        #[test]
        fn the_gate_adds_two_percent_and_the_floor_at_most(
            ready_us in 0_u64..3_600_000_000,
            far in any::<bool>(),
        ) {
            let ready = Duration::from_micros(ready_us);
            let floor = if far { FAR } else { NEAR };
            let seen = attempts(floor, ready + Duration::from_secs(1))
                .into_iter()
                .find(|at| *at >= ready);
            let late = seen.expect("an attempt after ready") - ready;
            prop_assert!(late <= ready / 50 + floor, "{late:?} late after {ready:?}");
            prop_assert!(late <= Duration::from_millis(250));
        }

        #[test]
        fn attempts_grow_with_the_logarithm_until_the_ceiling_and_then_by_four_a_second(
            secs in 1_u64..7200,
        ) {
            let end = Duration::from_secs(secs);
            let count = attempts(NEAR, end).len() as f64;
            // 1 ms steps up to 50 ms, then a growth of 2 % a step up to 12.5 s, then 250 ms steps.
            let growing = (end.as_secs_f64().min(12.5) / 0.05).ln().max(0.0) / 1.02_f64.ln();
            let level = (end.as_secs_f64() - 12.5).max(0.0) * 4.0;
            prop_assert!(
                count <= 50.0 + growing + level + 5.0,
                "{count} attempts in {end:?}"
            );
        }

        #[test]
        fn pauses_keep_their_bounds(waited_ms in any::<u32>(), floor_ms in 0_u64..1000) {
            let floor = Duration::from_millis(floor_ms);
            let pause = pause(
                Pace::Proportional,
                Wake::Asked,
                floor,
                Duration::from_millis(waited_ms.into()),
                Duration::ZERO,
            );
            prop_assert!(pause.expect("a pause") <= Duration::from_millis(250));
            prop_assert!(pause.expect("a pause") >= floor.min(Duration::from_millis(250)));
        }
    }
}
