//! `tcp://` and `unix://`: a connection is accepted. HTTP begins with the same step.
//!
//! A refused connection costs four system calls (socket, connect, getsockopt or send, close), no
//! thread and no allocation.

use super::attempt::{Probe, Step};
use super::resolve::{Resolved, Resolver};
use super::stream::send_some;
use crate::core::outcome::{Operation, Outcome, Phase, Reason};
use crate::core::url::Host;
use crate::event_loop::Interest;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, connect,
    getpeername, getsockname, getsockopt, socket, sockopt,
};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Net(SocketAddr),
    /// The path of a unix socket.
    Unix(String),
}

/// A connection to one of several addresses, which are tried one after the other.
#[derive(Debug)]
pub(super) struct Dial {
    /// The addresses that were not tried yet. The next one is the last.
    addresses: Vec<Address>,
    /// The socket of the current address, and the time to give it up for the next address.
    under_way: Option<(OwnedFd, Instant)>,
    until: Instant,
    /// What is sent first. Empty: nothing.
    hello: Vec<u8>,
    /// The reason with the highest weight so far.
    last: Option<(Weight, Reason)>,
}

/// How much the failure of one address shows about all of them, in increasing order. A server that
/// refuses at one address and is silent at another one is not gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// This machine does not have the address family. `localhost` often has ::1 as well.
    NoFamily,
    Refused,
    Other,
}

/// The state of the connection.
pub(super) enum Dialled {
    /// Accepted. The socket does not block. The number of bytes that were sent.
    Connected(OwnedFd, usize),
    Wait,
    /// No address accepted.
    Failed(Reason),
}

impl Dial {
    /// Connects to one of `addresses` before `until`, and sends `hello`. If that is not empty, the
    /// socket may be connected to itself ([`is_to_itself`]): then what is sent comes back.
    pub(super) fn new(mut addresses: Vec<Address>, until: Instant, hello: Vec<u8>) -> Self {
        addresses.reverse();
        Self {
            addresses,
            under_way: None,
            until,
            hello,
            last: None,
        }
    }

    /// Continues as far as possible without waiting.
    pub(super) fn proceed(&mut self) -> Dialled {
        if let Some((socket, give_up)) = self.under_way.take() {
            match finished(&socket, &self.hello) {
                Ok(Some(sent)) => return Dialled::Connected(socket, sent),
                // The last address has all the time that is left. Then the attempt is cancelled.
                Ok(None) if Instant::now() < give_up || self.addresses.is_empty() => {
                    self.under_way = Some((socket, give_up));
                    return Dialled::Wait;
                }
                Ok(None) => self.failed(Weight::Other, no_answer()),
                Err(error) => self.failed(weight(error), refusal(error)),
            }
        }
        while let Some(address) = self.addresses.pop() {
            match begin(&address, &self.hello) {
                Ok((socket, Some(sent))) => return Dialled::Connected(socket, sent),
                Ok((socket, None)) => {
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

    /// Ready when the current address has answered.
    pub(super) fn interest(&self) -> Option<Interest<'_>> {
        self.under_way
            .as_ref()
            .map(|(socket, _)| Interest::writable(socket.as_fd()))
    }

    /// The time to give up the current address for the next one.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.under_way
            .as_ref()
            .filter(|_| !self.addresses.is_empty())
            .map(|(_, give_up)| *give_up)
    }

    /// The end of the next address's time. Each address has an equal share of the time that is
    /// left.
    fn share(&self) -> Instant {
        let now = Instant::now();
        let addresses = u32::try_from(self.addresses.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let share = self
            .until
            .saturating_duration_since(now)
            .checked_div(addresses)
            .unwrap_or_default();
        now.checked_add(share).unwrap_or(self.until)
    }
}

/// Begins to connect. `Some`: the socket is connected already, and so many bytes were sent.
fn begin(address: &Address, hello: &[u8]) -> Result<(OwnedFd, Option<usize>), Errno> {
    match address {
        Address::Net(address) => {
            let family = if address.is_ipv4() {
                AddressFamily::Inet
            } else {
                AddressFamily::Inet6
            };
            begin_with(family, &SockaddrStorage::from(*address), hello)
        }
        Address::Unix(path) => {
            begin_with(AddressFamily::Unix, &UnixAddr::new(path.as_str())?, hello)
        }
    }
}

fn begin_with(
    family: AddressFamily,
    address: &dyn SockaddrLike,
    hello: &[u8],
) -> Result<(OwnedFd, Option<usize>), Errno> {
    let socket = socket(
        family,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    match connect(socket.as_raw_fd(), address) {
        // If the socket has no peer, the connection was accepted and closed. That is an answer.
        Ok(()) => finished(&socket, hello).map(|sent| (socket, sent.or(Some(0)))),
        // A server on this machine has answered already. To ask for that costs less than to wait.
        Err(Errno::EINPROGRESS) => finished(&socket, hello).map(|sent| (socket, sent)),
        Err(error) => Err(error),
    }
}

/// Whether the socket is connected to another socket, and how many bytes of `hello` were sent.
///
/// A socket can connect to itself if the port is in the range of outgoing connections: no process
/// listens, but TCP's simultaneous open succeeds. A tool that connects often will see this. With
/// `hello` the caller has to find it.
fn finished(socket: &OwnedFd, hello: &[u8]) -> Result<Option<usize>, Errno> {
    if !hello.is_empty() {
        return match send_some(socket, hello) {
            Ok(sent) => Ok(Some(sent)),
            Err(Errno::EAGAIN) => Ok(None),
            // The server has accepted, and closed.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(Some(0)),
            Err(error) => Err(error),
        };
    }
    match getsockopt(socket, sockopt::SocketError)? {
        0 => {}
        error => return Err(Errno::from_raw(error)),
    }
    match is_to_itself(socket) {
        Ok(true) => Err(Errno::ECONNREFUSED),
        Ok(false) => Ok(Some(0)),
        Err(Errno::ENOTCONN) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the socket is connected to itself.
pub(super) fn is_to_itself(socket: &impl AsFd) -> Result<bool, Errno> {
    let socket = socket.as_fd().as_raw_fd();
    let peer = getpeername::<SockaddrStorage>(socket)?;
    let is_net = peer.as_sockaddr_in().is_some() || peer.as_sockaddr_in6().is_some();
    Ok(is_net && getsockname::<SockaddrStorage>(socket)? == peer)
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

/// The reason for an error of connect(2).
fn refusal(error: Errno) -> Reason {
    if error == Errno::ECONNREFUSED {
        Reason::Refused
    } else if error == Errno::ENOENT || error == Errno::ENOTDIR {
        Reason::NoFile
    } else {
        Reason::System(Operation::Connect, crate::core::errno::Errno(error as i32))
    }
}

fn no_answer() -> Reason {
    refusal(Errno::ETIMEDOUT)
}

/// The probe of `tcp://` and `unix://`.
pub(super) struct Accepts {
    destination: Destination,
    dial: Option<Dial>,
    until: Instant,
}

/// A server whose addresses may have to be resolved first.
pub(super) enum Destination {
    Host(Resolver),
    Socket(String),
}

impl Destination {
    /// The addresses to dial. `None` if they are not known yet. `until` is the attempt's end.
    pub(super) fn resolve(&mut self, until: Instant) -> Result<Option<Vec<Address>>, Outcome> {
        match self {
            Self::Socket(path) => Ok(Some(vec![Address::Unix(path.clone())])),
            Self::Host(resolver) => match resolver.resolve(until) {
                Resolved::Addresses(addresses) => {
                    Ok(Some(addresses.into_iter().map(Address::Net).collect()))
                }
                Resolved::Wait => Ok(None),
                Resolved::Failed(outcome) => Err(outcome),
            },
        }
    }

    /// Closes the resolver's sockets.
    pub(super) fn release(&mut self) {
        match self {
            Self::Host(resolver) => resolver.release(),
            Self::Socket(_) => {}
        }
    }

    pub(super) fn interest(&self) -> Option<Interest<'_>> {
        match self {
            Self::Host(resolver) => resolver.interest(),
            Self::Socket(_) => None,
        }
    }

    /// When to call [`Destination::resolve`] at the latest.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match self {
            Self::Host(resolver) => resolver.wake_at(),
            Self::Socket(_) => None,
        }
    }
}

impl Accepts {
    pub(super) fn host(host: &Host, port: u16) -> Self {
        Self {
            destination: Destination::Host(Resolver::new(host, port)),
            dial: None,
            until: Instant::now(),
        }
    }

    pub(super) fn socket(path: &str) -> Self {
        Self {
            destination: Destination::Socket(path.to_owned()),
            dial: None,
            until: Instant::now(),
        }
    }
}

impl Probe for Accepts {
    fn start(&mut self, until: Instant) -> Step {
        self.dial = None;
        self.until = until;
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        let mut dial = match self.dial.take() {
            Some(dial) => dial,
            None => match self.destination.resolve(self.until) {
                Ok(Some(addresses)) => Dial::new(addresses, self.until, Vec::new()),
                Ok(None) => return Step::Wait,
                Err(outcome) => return Step::Done(outcome),
            },
        };
        match dial.proceed() {
            Dialled::Connected(..) => Step::Done(Outcome::Pass),
            Dialled::Failed(reason) => Step::Done(Outcome::NotYet(reason)),
            Dialled::Wait => {
                self.dial = Some(dial);
                Step::Wait
            }
        }
    }

    fn release(&mut self) {
        self.destination.release();
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
            None => self.destination.interest(),
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        match &self.dial {
            Some(dial) => dial.wake_at(),
            None => self.destination.wake_at(),
        }
    }
}
