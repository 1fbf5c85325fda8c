//! Checks of servers that speak another protocol than HTTP: an attempt connects, and a
//! [`Dialogue`] decides what is sent and what the answer means.

use super::attempt::{Probe, Step};
use super::dial::Destination;
use super::link::{Heard, Link, Secure};
use crate::core::dialogue::Dialogue;
use crate::core::outcome::{Outcome, Phase, Reason};
use crate::event_loop::Interest;
use std::time::Instant;

pub(super) struct Conversation<D> {
    destination: Destination,
    secure: Option<Secure>,
    /// The dialogue at its beginning. Each attempt has its own copy.
    dialogue: D,
    until: Instant,
    attempt: Option<(Link, D)>,
}

impl<D: Dialogue + Clone> Conversation<D> {
    pub(super) fn new(destination: Destination, secure: Option<Secure>, dialogue: D) -> Self {
        Self {
            destination,
            secure,
            dialogue,
            until: Instant::now(),
            attempt: None,
        }
    }

    fn begin(&mut self) -> Result<Option<(Link, D)>, Outcome> {
        let Some(addresses) = self.destination.resolve(self.until)? else {
            return Ok(None);
        };
        let mut dialogue = self.dialogue.clone();
        let mut hello = Vec::new();
        dialogue.begin(&mut hello);
        let link = Link::new(addresses, self.secure.clone(), hello, self.until, true);
        Ok(Some((link, dialogue)))
    }
}

impl<D: Dialogue + Clone> Probe for Conversation<D> {
    fn start(&mut self, until: Instant) -> Step {
        self.until = until;
        self.attempt = None;
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        let (mut link, mut dialogue) = match self.attempt.take() {
            Some(attempt) => attempt,
            None => match self.begin() {
                Ok(Some(attempt)) => attempt,
                Ok(None) => return Step::Wait,
                Err(outcome) => return Step::Done(outcome),
            },
        };
        let mut outcome = None;
        let went = link.proceed(&mut |heard, output| {
            outcome = match heard {
                Heard::Bytes(bytes) => dialogue.feed(bytes, output),
                Heard::Closed | Heard::Broken => Some(dialogue.end()),
            };
            outcome.is_some()
        });
        match (went, outcome) {
            (Err(reason), _) => Step::Done(Outcome::NotYet(reason)),
            (Ok(_), Some(Outcome::NotYet(Reason::Closed))) if link.is_secure() => {
                Step::Done(Outcome::NotYet(Reason::ClosedAfterHandshake))
            }
            (Ok(_), Some(outcome)) => Step::Done(outcome),
            (Ok(_), None) => {
                self.attempt = Some((link, dialogue));
                Step::Wait
            }
        }
    }

    fn release(&mut self) {
        self.attempt = None;
        self.destination.release();
    }

    fn cancel(&mut self) -> Phase {
        self.attempt
            .take()
            .map_or(Phase::Resolving, |(link, _)| link.phase())
    }

    fn interest(&self) -> Option<Interest<'_>> {
        match &self.attempt {
            None => self.destination.interest(),
            Some((link, _)) => link.interest(),
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        match &self.attempt {
            None => self.destination.wake_at(),
            Some((link, _)) => link.wake_at(),
        }
    }
}
