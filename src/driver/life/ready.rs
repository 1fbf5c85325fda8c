//! Waits for the descriptors of all parts of a life, each with its token.

use super::gates::Gates;
use crate::driver::gate;
use crate::driver::observer::Observer;
use crate::event_loop::{Interest, Poller};
use crate::process::sys::give_back_code;
use crate::process::{NotifySocket, Signals};
use crate::quit_endpoint::Endpoint;
use std::os::fd::AsFd;
use std::time::Instant;

/// The part whose descriptor is ready.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Signals,
    /// The watch on the volume.
    Volume,
    AfterGate(gate::Token),
    ReadyGate(gate::Token),
    /// The quit endpoint or one of its connections.
    Endpoint,
    /// The socket at which CMD reports that it is ready.
    Notify,
}

/// What is ready after a wait, in the order in which a turn handles it.
#[derive(Default)]
pub(super) struct Ready {
    pub(super) has_signal: bool,
    pub(super) has_change: bool,
    pub(super) has_notification: bool,
    pub(super) after: Vec<gate::Token>,
    pub(super) ready: Vec<gate::Token>,
}

impl Ready {
    /// Sleeps until something is ready, or until `deadline`. With `gives_back` it gives the pages
    /// of the code back right before the sleep: code that runs after that is resident again.
    pub(super) fn wait(
        signals: &Signals,
        observer: &Observer<'_>,
        gates: &Gates<'_>,
        endpoint: Option<&Endpoint>,
        notify: Option<&NotifySocket>,
        deadline: Option<Instant>,
        gives_back: bool,
    ) -> Result<Self, nix::Error> {
        let mut poller = Poller::new();
        poller.add(Interest::readable(signals.as_fd()), Token::Signals);
        if let Some(interest) = observer.interest() {
            poller.add(interest, Token::Volume);
        }
        gates.interests(&mut poller, Token::AfterGate, Token::ReadyGate);
        if let Some(endpoint) = endpoint {
            endpoint.interests(&mut poller, Token::Endpoint);
        }
        if let Some(notify) = notify {
            poller.add(Interest::readable(notify.as_fd()), Token::Notify);
        }
        let mut ready = Self::default();
        if gives_back {
            give_back_code();
        }
        for token in poller.wait(deadline)? {
            match token {
                Token::Signals => ready.has_signal = true,
                Token::Volume => ready.has_change = true,
                Token::Notify => ready.has_notification = true,
                Token::AfterGate(token) => ready.after.push(token),
                Token::ReadyGate(token) => ready.ready.push(token),
                // Every turn serves the endpoint.
                Token::Endpoint => {}
            }
        }
        Ok(ready)
    }
}
