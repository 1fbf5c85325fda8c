//! Attempts that follow each other, one at a time: when the next one is due, when its time is over,
//! and whether it was cancelled.
//!
//! | state | tick |
//! | --- | --- |
//! | Due(t) | t ≤ now, and [`Limits::end`] is not reached: **Begin** → Running |
//! | Running | its time is over, or [`Limits::end`] is reached: **Cancel** → Cancelling |
//! | Cancelling | — |
//!
//! A process can be paused past the end of everything: by `docker pause`, in a frozen virtual
//! machine, or by a CPU limit. So at the end the machines ask [`Attempt::is_overdue`], and make one
//! last attempt if it is.

use super::outcome::{Phase, Reason};
use super::time::Time;
use std::time::Duration;

/// How late the end of an attempt is noticed by a process that was paused. The attempt has had its
/// time, so a busy machine alone is no reason for another one.
const PAUSED: Duration = Duration::from_millis(100);

/// The state of the attempts at one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The next attempt begins at this time.
    Due(Time),
    /// An attempt is under way.
    Running {
        since: Time,
        /// When its time is over.
        until: Time,
    },
    /// An attempt was cancelled, and its end is not reported yet.
    Cancelling {
        since: Time,
        /// When it was cancelled, or its time was over if that was earlier.
        until: Time,
    },
}

/// How much time attempts have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long one attempt may take.
    pub attempt: Duration,
    /// When everything ends. An attempt under way is cancelled then, and no other one begins.
    pub end: Option<Time>,
}

impl Limits {
    /// Whether the end of everything is reached.
    pub fn is_over(&self, now: Time) -> bool {
        self.end.is_some_and(|end| end <= now)
    }
}

/// What to do about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Begin one. Its time is over at `until`.
    Begin { until: Time },
    /// Cancel the one that is under way.
    Cancel,
}

impl Attempt {
    /// When the next [`Attempt::tick`] has something to do.
    pub const fn deadline(self) -> Option<Time> {
        match self {
            Self::Due(at) => Some(at),
            Self::Running { until, .. } => Some(until),
            Self::Cancelling { .. } => None,
        }
    }

    /// When the attempt that is under way began.
    pub const fn since(self) -> Option<Time> {
        match self {
            Self::Due(_) => None,
            Self::Running { since, .. } | Self::Cancelling { since, .. } => Some(since),
        }
    }

    /// Whether the attempt that is due, or the end of the one under way, was missed because the
    /// process did not run. `pace` is the pause before the attempt that is due: without a pause of
    /// the process, the latest attempt is never older than twice that.
    pub fn is_overdue(self, now: Time, pace: Duration) -> bool {
        match self {
            Self::Due(at) => at.plus(pace) <= now,
            Self::Running { until, .. } => until.plus(pace.max(PAUSED)) <= now,
            Self::Cancelling { .. } => false,
        }
    }

    /// Begins the attempt that is due, or cancels the one whose time is over.
    pub fn tick(&mut self, now: Time, limits: Limits) -> Option<Step> {
        let is_over = limits.is_over(now);
        match *self {
            Self::Due(at) if at <= now && !is_over => {
                let until = now.plus(limits.attempt);
                let until = limits.end.map_or(until, |end| until.min(end));
                *self = Self::Running { since: now, until };
                Some(Step::Begin { until })
            }
            Self::Running { since, until } if is_over || until <= now => {
                let until = until.min(now);
                *self = Self::Cancelling { since, until };
                Some(Step::Cancel)
            }
            Self::Due(_) | Self::Running { .. } | Self::Cancelling { .. } => None,
        }
    }

    /// Why an attempt that was cancelled did not pass. `None` if it was not cancelled.
    pub fn timed_out(self, phase: Phase, said: String) -> Option<Reason> {
        match self {
            Self::Cancelling { since, until } => Some(Reason::TimedOut {
                phase,
                after: until.since(since),
                said,
            }),
            Self::Due(_) | Self::Running { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Attempt, Limits, Step};
    use crate::core::outcome::{Phase, Reason};
    use crate::core::time::Time;
    use std::time::Duration;

    fn at(millis: u64) -> Time {
        Time::at(Duration::from_millis(millis))
    }

    const LIMITS: Limits = Limits {
        attempt: Duration::from_millis(1000),
        end: None,
    };

    fn timed_out(attempt: Attempt) -> Option<Reason> {
        attempt.timed_out(Phase::Answer, "said".to_owned())
    }

    #[test]
    fn an_attempt_begins_when_it_is_due_and_is_cancelled_when_its_time_is_over() {
        let mut attempt = Attempt::Due(at(100));
        assert_eq!(attempt.deadline(), Some(at(100)));
        assert_eq!(attempt.tick(at(99), LIMITS), None);
        let until = at(1150);
        assert_eq!(attempt.tick(at(150), LIMITS), Some(Step::Begin { until }));
        assert_eq!(
            (attempt.deadline(), attempt.since()),
            (Some(until), Some(at(150)))
        );
        assert_eq!(attempt.tick(at(1149), LIMITS), None);
        assert_eq!(timed_out(attempt), None);
        assert_eq!(attempt.tick(at(1200), LIMITS), Some(Step::Cancel));
        assert_eq!((attempt.deadline(), attempt.since()), (None, Some(at(150))));
        assert_eq!(attempt.tick(at(9999), LIMITS), None);
        let reason = Reason::TimedOut {
            phase: Phase::Answer,
            after: Duration::from_millis(1000),
            said: "said".to_owned(),
        };
        assert_eq!(timed_out(attempt), Some(reason));
    }

    #[test]
    fn an_attempt_is_overdue_when_the_latest_one_is_older_than_twice_its_pace() {
        let pace = Duration::from_millis(200);
        // The latest attempt ended at 800.
        let due = Attempt::Due(at(1000));
        assert!(!due.is_overdue(at(1199), pace) && due.is_overdue(at(1200), pace));
        let running = Attempt::Running {
            since: at(0),
            until: at(1000),
        };
        assert!(!running.is_overdue(at(1199), pace) && running.is_overdue(at(1200), pace));
        let pace = Duration::from_millis(1);
        assert!(!running.is_overdue(at(1099), pace) && running.is_overdue(at(1100), pace));
        let cancelling = Attempt::Cancelling {
            since: at(0),
            until: at(1000),
        };
        assert!(!cancelling.is_overdue(at(9000), pace));
    }

    #[test]
    fn at_the_end_no_attempt_begins_and_a_running_one_is_cancelled() {
        let limits = Limits {
            end: Some(at(500)),
            ..LIMITS
        };
        let mut attempt = Attempt::Due(at(0));
        let until = at(500);
        assert_eq!(attempt.tick(at(0), limits), Some(Step::Begin { until }));
        assert_eq!(attempt.tick(at(500), limits), Some(Step::Cancel));
        assert_eq!(Attempt::Due(at(0)).tick(at(500), limits), None);
        // The end is earlier than the time of the attempt.
        let mut attempt = Attempt::Running {
            since: at(0),
            until: at(1000),
        };
        assert_eq!(attempt.tick(at(500), limits), Some(Step::Cancel));
        let cancelled = Attempt::Cancelling {
            since: at(0),
            until: at(500),
        };
        assert_eq!(attempt, cancelled);
    }
}
