//! `dns://`: the name has an address.

use super::attempt::{Probe, Step};
use super::resolve::{Resolved, Resolver};
use crate::core::outcome::{Outcome, Phase};
use crate::core::url::Host;
use crate::event_loop::Interest;
use std::time::Instant;

pub(super) struct Resolves {
    resolver: Resolver,
    /// The end of the attempt under way.
    until: Instant,
}

impl Resolves {
    pub(super) fn new(host: &Host) -> Self {
        Self {
            // No connection is made, so the port does not matter.
            resolver: Resolver::new(host, 0),
            until: Instant::now(),
        }
    }
}

impl Probe for Resolves {
    fn start(&mut self, until: Instant) -> Step {
        self.until = until;
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        match self.resolver.resolve(self.until) {
            Resolved::Addresses(_) => Step::Done(Outcome::Pass),
            Resolved::Failed(outcome) => Step::Done(outcome),
            Resolved::Wait => Step::Wait,
        }
    }

    fn cancel(&mut self) -> Phase {
        Phase::Resolving
    }

    fn release(&mut self) {
        self.resolver.release();
    }

    fn interest(&self) -> Option<Interest<'_>> {
        self.resolver.interest()
    }

    fn wake_at(&self) -> Option<Instant> {
        self.resolver.wake_at()
    }
}
