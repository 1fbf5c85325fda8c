//! `notify`: CMD has sent `READY=1`. The driver of CMD's life has the socket, and reports it.

use super::attempt::{Probe, Step};
use crate::core::outcome::{Outcome, Phase, Reason, Wake};
use std::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Notified {
    is_ready: bool,
}

impl Probe for Notified {
    fn start(&mut self, _until: Instant) -> Step {
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        Step::Done(if self.is_ready {
            Outcome::Pass
        } else {
            Outcome::NotYet(Reason::NotNotified)
        })
    }

    fn cancel(&mut self) -> Phase {
        Phase::Answer
    }

    fn notified(&mut self) {
        self.is_ready = true;
    }

    fn wake(&self) -> Wake {
        Wake::Reported
    }
}
