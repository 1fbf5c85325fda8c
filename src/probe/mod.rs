//! One attempt of each kind of check. A probe knows nothing of gates, schedules and pods, and
//! prints nothing.
//!
//! A probe does not block, so a signal can end podgate in every phase. The trait is
//! `attempt::Probe`. Names are resolved by `resolve::Resolver`, and the bytes of HTTP and TLS go
//! through a `link::Link`. Only the look-up of a path can block: it runs in the thread of a
//! `worker::Worker`, for which nobody waits when the attempt's time is over.

mod attempt;
mod conversation;
mod dial;
mod exec;
pub(crate) mod file;
pub mod http;
#[cfg(feature = "tls")]
mod identity;
mod link;
mod listener;
mod member;
mod name;
mod name_server;
mod not;
mod notify;
mod resolve;
mod stream;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
pub mod tls;
mod token;
mod worker;

pub use self::attempt::{Probe, Step};
use self::conversation::Conversation;
pub(crate) use self::member::unseen;
use crate::core::check::{Check, Kind};
use crate::core::http::{Request, Statuses};
use crate::core::url::{Server, Url};
use crate::members::Volume;
use crate::probe::file::Watcher;
use crate::probe::http::Ask;
use crate::process::Children;
use std::cell::RefCell;
use std::rc::Rc;

/// The resources that the probes of a call share.
pub(crate) struct Resources {
    /// Starts the commands of `exec:` checks.
    pub(crate) children: Rc<RefCell<Children>>,
    /// The inotify instance. `None` if the caller does not wait for it.
    pub(crate) watcher: Option<Rc<RefCell<Watcher>>>,
    /// The request of HTTP checks.
    pub(crate) ask: Ask,
    /// The volume where members are observed.
    pub(crate) volume: Option<Rc<Volume>>,
}

/// The probe of a check. The watcher reports changes by `index`.
pub(crate) fn of(check: &Check, index: usize, resources: &Resources) -> Box<dyn Probe> {
    let Kind::Not(inner) = &check.kind else {
        return positive(check, &check.kind, file::Change::Begin, index, resources);
    };
    let probe = positive(check, inner, file::Change::End, index, resources);
    Box::new(not::Not::new(probe, (**inner).clone()))
}

/// The probe of `kind`, which is the check or its opposite.
fn positive(
    check: &Check,
    kind: &Kind,
    change: file::Change,
    index: usize,
    resources: &Resources,
) -> Box<dyn Probe> {
    let file = |path, wants| {
        let watcher = resources.watcher.clone();
        Box::new(file::Exists::new(path, wants, change, index, watcher))
    };
    match kind {
        Kind::Http(url) => {
            let ask = match check.preset {
                Some(_) => resources.ask.with(Request::plain("GET", Statuses::Kubelet)),
                None => resources.ask.clone(),
            };
            request(url, ask)
        }
        Kind::Tcp(host, port) => Box::new(dial::Accepts::host(host, *port)),
        Kind::Unix(path) => Box::new(dial::Accepts::socket(path)),
        Kind::Listen(address, port) => Box::new(listener::Listen::new(*address, *port)),
        Kind::Dns(host) => Box::new(name::Resolves::new(host)),
        Kind::File(path) => file(path, file::Wants::Path),
        Kind::NonEmpty(path) => file(path, file::Wants::Content),
        Kind::Grpc(grpc) => Box::new(Conversation::grpc(grpc, &resources.ask.trust)),
        Kind::Database(database, server) => Box::new(Conversation::database(*database, server)),
        Kind::Member(fact, name) => Box::new(member::Member::new(
            *fact,
            name,
            resources.volume.clone(),
            resources.watcher.clone(),
        )),
        Kind::Notify => Box::new(notify::Notified::default()),
        Kind::Exec(words) => Box::new(exec::Exec::new(words, Rc::clone(&resources.children))),
        // `not:` is never twice.
        Kind::Not(inner) => positive(check, inner, change, index, resources),
    }
}

/// A probe that sends a request to this URL.
pub fn request(url: &Url, ask: Ask) -> Box<dyn Probe> {
    Box::new(http::Http::new(url.clone(), ask))
}

/// A probe that passes if a connection is accepted.
pub(crate) fn accepts(server: &Server, port: u16) -> Box<dyn Probe> {
    Box::new(match server {
        Server::Host(host, _) => dial::Accepts::host(host, port),
        Server::Socket(path) => dial::Accepts::socket(path),
    })
}
