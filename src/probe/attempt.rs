//! What every probe can do: attempts of one check, one at a time.

use crate::core::outcome::{MemberState, Outcome, Phase, Wake};
use crate::event_loop::Interest;
use std::time::Instant;

/// How far an attempt is.
#[derive(Debug)]
pub enum Step {
    Done(Outcome),
    /// The attempt continues when [`Probe::interest`] or [`Probe::wake_at`] say so.
    Wait,
}

/// Attempts of one check, one at a time.
pub trait Probe {
    /// Begins an attempt that has to end before `until`. No attempt is under way.
    fn start(&mut self, until: Instant) -> Step;

    /// Continues the attempt, whether or not anything that it waits for has happened.
    fn proceed(&mut self) -> Step;

    /// Ends the attempt, and returns what it was doing.
    fn cancel(&mut self) -> Phase;

    /// The last line that the command of a cancelled attempt printed. Empty if there is none.
    fn output(&self) -> String {
        String::new()
    }

    /// What a member was like, where a check passed that says nothing of it: `gone:` of a name that
    /// was never seen.
    fn member_state(&self) -> Option<MemberState> {
        None
    }

    /// Gives back what is kept between attempts. Called when the check has passed, and there will
    /// hardly be another attempt.
    fn release(&mut self) {}

    /// The descriptor that the attempt under way waits for, if it waits for one.
    fn interest(&self) -> Option<Interest<'_>> {
        None
    }

    /// When the attempt under way has to continue at the latest.
    fn wake_at(&self) -> Option<Instant> {
        None
    }

    /// Does the attempt under way wait for a child to end?
    fn waits_for_child(&self) -> bool {
        false
    }

    /// After an attempt: will the kernel report that the check may pass?
    fn wake(&self) -> Wake {
        Wake::Asked
    }
}
