//! The trait of all probes.

use crate::core::errno::Errno;
use crate::core::exec_error::ExecError;
use crate::core::outcome::{MemberState, Outcome, Phase, Reason, Wake};
use crate::event_loop::Interest;
use std::time::Instant;

/// The state of an attempt after a step.
#[derive(Debug)]
pub enum Step {
    Done(Outcome),
    /// The attempt continues when [`Probe::interest`] is ready or [`Probe::wake_at`] has come.
    Wait,
}

impl Step {
    /// Whether a command was not started because no more processes are allowed.
    pub(crate) fn lacks_a_process(&self) -> bool {
        let error = match self {
            Self::Done(Outcome::NotYet(Reason::NotExecutable(_, error))) => *error,
            Self::Done(_) | Self::Wait => return false,
        };
        error == ExecError::NoResources(Errno::EAGAIN)
    }
}

/// Attempts of one check, one at a time.
pub trait Probe {
    /// Begins an attempt that has to end before `until`. Call it only if no attempt is under way.
    fn start(&mut self, until: Instant) -> Step;

    /// Continues the attempt. It may be called although nothing has happened.
    fn proceed(&mut self) -> Step;

    /// Ends the attempt. Returns what it was doing. A worker that looks up a path goes on and
    /// serves the next attempt.
    fn cancel(&mut self) -> Phase;

    /// The last line that the command of a cancelled attempt printed. Empty if there is none.
    fn output(&self) -> String {
        String::new()
    }

    /// The state of a member that was never seen, after `gone:` has passed because of that.
    fn member_state(&self) -> Option<MemberState> {
        None
    }

    /// Releases what is kept between attempts. Called when the check has passed, because another
    /// attempt is not likely.
    fn release(&mut self) {}

    /// The descriptor that the attempt under way waits for, if it waits for one.
    fn interest(&self) -> Option<Interest<'_>> {
        None
    }

    /// The time when the attempt under way has to continue at the latest.
    fn wake_at(&self) -> Option<Instant> {
        None
    }

    /// Whether the attempt under way waits for the end of a child.
    fn waits_for_child(&self) -> bool {
        false
    }

    /// CMD has reported that it is ready.
    fn notified(&mut self) {}

    /// After an attempt: whether the kernel reports a change that may let the check pass.
    fn wake(&self) -> Wake {
        Wake::Asked
    }
}
