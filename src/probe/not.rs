//! `not:CHECK`: the attempt of the check, and the opposite of its outcome.

use super::attempt::{Probe, Step};
use crate::core::check::Kind;
use crate::core::negation::negate;
use crate::core::outcome::{Phase, Wake};
use crate::event_loop::Interest;
use std::time::Instant;

pub(super) struct Not {
    inner: Box<dyn Probe>,
    /// The check after `not:`.
    check: Kind,
}

impl Not {
    pub(super) fn new(inner: Box<dyn Probe>, check: Kind) -> Self {
        Self { inner, check }
    }

    fn negated(&self, step: Step) -> Step {
        match step {
            Step::Done(outcome) => Step::Done(negate(&self.check, outcome)),
            Step::Wait => Step::Wait,
        }
    }
}

impl Probe for Not {
    fn start(&mut self, until: Instant) -> Step {
        let step = self.inner.start(until);
        self.negated(step)
    }

    fn proceed(&mut self) -> Step {
        let step = self.inner.proceed();
        self.negated(step)
    }

    fn cancel(&mut self) -> Phase {
        self.inner.cancel()
    }

    fn output(&self) -> String {
        self.inner.output()
    }

    fn release(&mut self) {
        self.inner.release();
    }

    fn interest(&self) -> Option<Interest<'_>> {
        self.inner.interest()
    }

    fn wake_at(&self) -> Option<Instant> {
        self.inner.wake_at()
    }

    fn waits_for_child(&self) -> bool {
        self.inner.waits_for_child()
    }

    fn wake(&self) -> Wake {
        self.inner.wake()
    }
}
