//! When to report that a wait goes on: after 1 s, then at doubling distances up to 60 s.

use super::time::Time;
use std::time::Duration;

/// The distance from the start to the first report.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// The doubling schedule of the reports of one wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    next: Time,
    distance: Duration,
}

impl Heartbeat {
    /// The schedule of a wait that starts at `start`.
    pub const fn new(start: Time) -> Self {
        Self {
            next: start.plus(FIRST),
            distance: FIRST,
        }
    }

    /// When the next report is due.
    pub const fn next(&self) -> Time {
        self.next
    }

    /// Whether a report is due. If so, the next one is scheduled from `now`.
    pub fn beat(&mut self, now: Time) -> bool {
        let is_due = self.next <= now;
        if is_due {
            self.distance = self.distance.saturating_mul(2).min(LONGEST);
            self.next = now.plus(self.distance);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::Heartbeat;
    use crate::core::time::Time;
    use std::time::Duration;

    fn at(secs: u64) -> Time {
        Time::at(Duration::from_secs(secs))
    }

    #[test]
    fn reports_become_rarer_up_to_one_a_minute() {
        let mut heartbeat = Heartbeat::new(at(10));
        let beats: Vec<u64> = (10..300)
            .filter(|second| heartbeat.beat(at(*second)))
            .collect();
        assert_eq!(beats, [11, 13, 17, 25, 41, 73, 133, 193, 253]);
        assert_eq!(heartbeat.next(), at(313));
    }

    #[test]
    fn a_late_report_delays_the_next_one() {
        let mut heartbeat = Heartbeat::new(at(0));
        assert!(heartbeat.beat(at(5)));
        assert_eq!(heartbeat.next(), at(7));
        assert!(!heartbeat.beat(at(6)));
    }
}
