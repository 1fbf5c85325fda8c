//! STUB, only on the branch i14-grammar: gRPC and databases are not asked yet.

use super::attempt::{Probe, Step};
use crate::core::outcome::{Outcome, Phase, Reason};
use std::time::Instant;

pub(super) struct Stub;

impl Probe for Stub {
    fn start(&mut self, _until: Instant) -> Step {
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        Step::Done(Outcome::NotYet(Reason::Closed))
    }

    fn cancel(&mut self) -> Phase {
        Phase::Connecting
    }
}
