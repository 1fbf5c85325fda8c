//! One attempt of each kind of check. A leaf knows only its own subject: nothing of gates, schedules, pods, or how to print.
//!
//! A leaf never blocks. What blocks by nature (the resolver, an HTTP exchange) runs in a thread of its own that is left behind when
//! its time is over; so a signal ends podgate in every phase.

mod dial;
mod exec;
pub(crate) mod file;
pub mod http;
mod listener;
mod member;
mod resolve;
mod stream;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
pub mod tls;
mod worker;

use crate::core::check::{Check, Kind};
use crate::core::http::{Request, Statuses};
use crate::core::outcome::{Outcome, Phase};
use crate::core::schedule::Wake;
use crate::core::url::{Server, Url};
use crate::event_loop::Interest;
use crate::members::Volume;
use crate::probe::file::Watcher;
use crate::probe::http::Ask;
use crate::process::Children;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

/// How far an attempt is.
#[derive(Debug)]
pub enum Step {
    /// It has ended.
    Done(Outcome),
    /// It goes on when [`Leaf::interest`] or [`Leaf::wake_at`] say so.
    Wait,
}

/// What a check can do: be tried.
pub trait Leaf {
    /// Begins an attempt that has to end before `until`. No attempt is under way.
    fn start(&mut self, until: Instant) -> Step;

    /// Goes on: something it waits for has happened, or nothing has.
    fn proceed(&mut self) -> Step;

    /// Ends the attempt, and tells what it was doing.
    fn cancel(&mut self) -> Phase;

    /// What the last attempt has to say besides its outcome, or what one that was cancelled has said, if anything.
    fn said(&self) -> String {
        String::new()
    }

    /// Gives back what it holds between attempts: it has passed, and there will hardly be another.
    fn rest(&mut self) {}

    /// The descriptor that the attempt under way waits for, if it waits for one.
    fn interest(&self) -> Option<Interest<'_>> {
        None
    }

    /// When the attempt under way wants to go on at the latest.
    fn wake_at(&self) -> Option<Instant> {
        None
    }

    /// Does the attempt under way wait for a child to end?
    fn waits_for_child(&self) -> bool {
        false
    }

    /// Who tells when the check may pass, after an attempt.
    fn wake(&self) -> Wake {
        Wake::Asked
    }
}

/// What leaves share.
pub(crate) struct Shared {
    /// The commands of `exec:` checks.
    pub(crate) children: Rc<RefCell<Children>>,
    /// The inotify instance of `file://` checks; `None` where the schedule is fixed and nobody listens to it.
    pub(crate) watcher: Option<Rc<RefCell<Watcher>>>,
    /// What HTTP checks ask.
    pub(crate) ask: Ask,
    /// Where members meet.
    pub(crate) volume: Option<Rc<Volume>>,
}

/// The leaf for a check. `index` is what the watcher calls it by.
pub(crate) fn leaf(check: &Check, index: usize, shared: &Shared) -> Box<dyn Leaf> {
    match &check.kind {
        Kind::Http(url) => {
            let ask = match check.preset {
                Some(_) => shared.ask.with(Request::plain("GET", Statuses::Kubelet)),
                None => shared.ask.clone(),
            };
            Box::new(http::Http::new(url.clone(), ask))
        }
        Kind::Tcp(host, port) => Box::new(dial::Accepts::host(host, *port)),
        Kind::Unix(path) => Box::new(dial::Accepts::socket(path)),
        Kind::Listen(address, port) => Box::new(listener::Listen::new(*address, *port)),
        Kind::File(path) => Box::new(file::Exists::new(path, index, shared.watcher.clone())),
        Kind::Member(fact, name) => Box::new(member::Member::new(
            *fact,
            name,
            shared.volume.clone(),
            shared.watcher.clone(),
        )),
        Kind::Exec(words) => Box::new(exec::Exec::new(words, Rc::clone(&shared.children))),
    }
}

/// The leaf that asks this URL.
pub fn ask(url: &Url, ask: Ask) -> Box<dyn Leaf> {
    Box::new(http::Http::new(url.clone(), ask))
}

/// The leaf that sees whether a connection is accepted there.
pub(crate) fn accepts(server: &Server, port: u16) -> Box<dyn Leaf> {
    Box::new(match server {
        Server::Host(host, _) => dial::Accepts::host(host, port),
        Server::Socket(path) => dial::Accepts::socket(path),
    })
}
