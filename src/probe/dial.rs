//! `tcp://` and `unix://`: is a connection accepted? And the connecting that HTTP begins with.
//!
//! A refused connection costs three system calls (socket, connect, close) and nothing else: no thread, no allocation.

use super::resolve::{Resolved, Resolver};
use super::{Leaf, Step};
use crate::core::outcome::{Outcome, Phase, Reason};
use crate::core::url::Host;
use crate::event_loop::{Interest, Poller};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, connect,
    getpeername, getsockname, getsockopt, socket, sockopt,
};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

/// Whom to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// An address and a port.
    Net(SocketAddr),
    /// The path of a unix socket.
    Socket(String),
}

/// A connection on its way to one of several places, which are tried one after the other.
#[derive(Debug)]
pub(super) struct Dial {
    /// Those still to be tried, the next one last.
    places: Vec<Place>,
    under_way: Option<(OwnedFd, Instant)>,
    until: Instant,
    /// The reason that says most.
    last: Option<(Weight, Reason)>,
}

/// How much a place's failure says about all of them, the least first. What is refused at one address may be silent at another: it is not
/// gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// An address family that this machine has not: `localhost` often has ::1, too.
    NoFamily,
    Refused,
    Other,
}

/// How far it is.
pub(super) enum Dialled {
    /// Accepted. The socket does not block.
    Connected(OwnedFd),
    /// No answer yet.
    Wait,
    /// No place accepted.
    Failed(Reason),
}

impl Dial {
    /// To one of these, before `until`.
    pub(super) fn new(mut places: Vec<Place>, until: Instant) -> Self {
        places.reverse();
        Self {
            places,
            under_way: None,
            until,
            last: None,
        }
    }

    /// Goes on as far as it can without waiting.
    pub(super) fn proceed(&mut self) -> Dialled {
        if let Some((socket, give_up)) = self.under_way.take() {
            match finished(&socket) {
                Ok(true) => return Dialled::Connected(socket),
                // The last place may take all the time there is; then the gate ends the attempt.
                Ok(false) if Instant::now() < give_up || self.places.is_empty() => {
                    self.under_way = Some((socket, give_up));
                    return Dialled::Wait;
                }
                Ok(false) => self.failed(
                    Weight::Other,
                    Reason::System("connected to", "no answer".to_owned()),
                ),
                Err(error) => self.failed(weight(error), refusal(error)),
            }
        }
        while let Some(place) = self.places.pop() {
            match begin(&place) {
                Ok((socket, true)) => return Dialled::Connected(socket),
                Ok((socket, false)) => {
                    self.under_way = Some((socket, self.share()));
                    return Dialled::Wait;
                }
                Err(error) => self.failed(weight(error), refusal(error)),
            }
        }
        Dialled::Failed(
            self.last
                .take()
                .map_or(Reason::Refused, |(_, reason)| reason),
        )
    }

    fn failed(&mut self, weight: Weight, reason: Reason) {
        if self.last.as_ref().is_none_or(|(last, _)| *last <= weight) {
            self.last = Some((weight, reason));
        }
    }

    /// What the answer can be waited for with.
    pub(super) fn interest(&self) -> Option<Interest<'_>> {
        self.under_way
            .as_ref()
            .map(|(socket, _)| Interest::writable(socket.as_fd()))
    }

    /// When to give the place under way up in favour of the next one.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.under_way
            .as_ref()
            .filter(|_| !self.places.is_empty())
            .map(|(_, give_up)| *give_up)
    }

    /// Until when the place that is tried now may take its time: its share of what is left.
    fn share(&self) -> Instant {
        let now = Instant::now();
        let places = u32::try_from(self.places.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let share = self
            .until
            .saturating_duration_since(now)
            .checked_div(places)
            .unwrap_or_default();
        now.checked_add(share).unwrap_or(self.until)
    }
}

/// Begins to connect. `true`: it is done already.
fn begin(place: &Place) -> Result<(OwnedFd, bool), Errno> {
    match place {
        Place::Net(address) => {
            let family = if address.is_ipv4() {
                AddressFamily::Inet
            } else {
                AddressFamily::Inet6
            };
            begin_with(family, &SockaddrStorage::from(*address))
        }
        Place::Socket(path) => begin_with(AddressFamily::Unix, &UnixAddr::new(path.as_str())?),
    }
}

fn begin_with(family: AddressFamily, address: &dyn SockaddrLike) -> Result<(OwnedFd, bool), Errno> {
    let socket = socket(
        family,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    match connect(socket.as_raw_fd(), address) {
        // Not connected any more: it was accepted and is closed again. That was an answer.
        Ok(()) => finished(&socket).map(|_| (socket, true)),
        // On this machine the answer is there already; asking for it costs less than waiting for it.
        Err(Errno::EINPROGRESS) => finished(&socket).map(|done| (socket, done)),
        Err(error) => Err(error),
    }
}

/// Is it connected, and to another socket? A loopback port from which outgoing connections get their numbers can be connected to itself:
/// nobody listens, yet TCP's simultaneous open succeeds. A tool that asks often enough meets it.
fn finished(socket: &OwnedFd) -> Result<bool, Errno> {
    match getsockopt(socket, sockopt::SocketError)? {
        0 => {}
        error => return Err(Errno::from_raw(error)),
    }
    let peer = match getpeername::<SockaddrStorage>(socket.as_raw_fd()) {
        Ok(peer) => peer,
        Err(Errno::ENOTCONN) => return Ok(false),
        Err(error) => return Err(error),
    };
    let is_net = peer.as_sockaddr_in().is_some() || peer.as_sockaddr_in6().is_some();
    if is_net && getsockname::<SockaddrStorage>(socket.as_raw_fd())? == peer {
        return Err(Errno::ECONNREFUSED);
    }
    Ok(true)
}

fn weight(error: Errno) -> Weight {
    if [
        Errno::EAFNOSUPPORT,
        Errno::EADDRNOTAVAIL,
        Errno::ENETUNREACH,
    ]
    .contains(&error)
    {
        Weight::NoFamily
    } else if error == Errno::ECONNREFUSED {
        Weight::Refused
    } else {
        Weight::Other
    }
}

/// Why a connection failed, in a person's words.
fn refusal(error: Errno) -> Reason {
    if error == Errno::ECONNREFUSED {
        return Reason::Refused;
    }
    if error == Errno::ENOENT || error == Errno::ENOTDIR {
        return Reason::NoFile;
    }
    // unix(7): a listener whose backlog is full.
    let cause = if error == Errno::EAGAIN {
        "its backlog is full".to_owned()
    } else {
        error.desc().to_lowercase()
    };
    Reason::System("connected to", cause)
}

/// Waits until one of these places accepts, in a thread that may block.
pub(super) fn dial_blocking(places: Vec<Place>, until: Instant) -> Result<OwnedFd, Reason> {
    let mut dial = Dial::new(places, until);
    loop {
        match dial.proceed() {
            Dialled::Connected(socket) => return Ok(socket),
            Dialled::Failed(reason) => return Err(reason),
            Dialled::Wait => {}
        }
        let mut poller = Poller::new();
        if let Some(interest) = dial.interest() {
            poller.add(interest, ());
        }
        let wake_at = dial.wake_at().unwrap_or(until).min(until);
        if poller.wait(Some(wake_at)).is_err() || Instant::now() >= until {
            return Err(Reason::System(
                "connected to",
                "no answer in time".to_owned(),
            ));
        }
    }
}

/// The check: a connection is accepted.
#[derive(Debug)]
pub(super) struct Accepts {
    to: To,
    dial: Option<Dial>,
    until: Instant,
}

/// Whom to ask.
#[derive(Debug)]
pub(super) enum To {
    Host(Resolver),
    Socket(String),
}

impl To {
    /// The places to dial, as far as they are known.
    pub(super) fn places(&mut self) -> Result<Option<Vec<Place>>, Outcome> {
        match self {
            Self::Socket(path) => Ok(Some(vec![Place::Socket(path.clone())])),
            Self::Host(resolver) => match resolver.resolve() {
                Resolved::Addresses(addresses) => {
                    Ok(Some(addresses.into_iter().map(Place::Net).collect()))
                }
                Resolved::Wait => Ok(None),
                Resolved::Failed(outcome) => Err(outcome),
            },
        }
    }

    /// Gives back the resolver's thread.
    pub(super) fn rest(&mut self) {
        match self {
            Self::Host(resolver) => resolver.rest(),
            Self::Socket(_) => {}
        }
    }

    pub(super) fn interest(&self) -> Option<Interest<'_>> {
        match self {
            Self::Host(resolver) => resolver.interest(),
            Self::Socket(_) => None,
        }
    }
}

impl Accepts {
    /// At this port of this host.
    pub(super) fn host(host: &Host, port: u16) -> Self {
        Self {
            to: To::Host(Resolver::new(host, port)),
            dial: None,
            until: Instant::now(),
        }
    }

    /// At the unix socket with this path.
    pub(super) fn socket(path: &str) -> Self {
        Self {
            to: To::Socket(path.to_owned()),
            dial: None,
            until: Instant::now(),
        }
    }
}

impl Leaf for Accepts {
    fn start(&mut self, until: Instant) -> Step {
        self.dial = None;
        self.until = until;
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        let mut dial = match self.dial.take() {
            Some(dial) => dial,
            None => match self.to.places() {
                Ok(Some(places)) => Dial::new(places, self.until),
                Ok(None) => return Step::Wait,
                Err(outcome) => return Step::Done(outcome),
            },
        };
        match dial.proceed() {
            Dialled::Connected(_) => Step::Done(Outcome::Pass),
            Dialled::Failed(reason) => Step::Done(Outcome::NotYet(reason)),
            Dialled::Wait => {
                self.dial = Some(dial);
                Step::Wait
            }
        }
    }

    fn rest(&mut self) {
        self.to.rest();
    }

    fn cancel(&mut self) -> Phase {
        match self.dial.take() {
            Some(_) => Phase::Connecting,
            None => Phase::Resolving,
        }
    }

    fn interest(&self) -> Option<Interest<'_>> {
        match &self.dial {
            Some(dial) => dial.interest(),
            None => self.to.interest(),
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        self.dial.as_ref().and_then(Dial::wake_at)
    }
}
