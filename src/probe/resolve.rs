//! Resolves a host to its addresses: from `/etc/hosts`, else from the name servers of
//! `/etc/resolv.conf`. Both files are read for each look-up, because they can change in a pod.
//!
//! A look-up costs no thread, and ends with its attempt. musl's resolver gives up at SERVFAIL, and
//! cannot be cancelled. If an attempt is shorter than [`SHORTEST`], its look-up goes on and serves
//! the next attempts.

use super::name_server::Query;
use crate::core::errno::Errno;
use crate::core::lookup::{Config, Server, Spec, in_hosts, patience};
use crate::core::outcome::{NameError, Operation, Outcome, Reason};
use crate::core::url::Host;
use crate::event_loop::Interest;
use nix::net::if_::if_nametoindex;
use nix::unistd::gethostname;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

/// How many addresses of one name are tried at most.
const MOST_ADDRESSES: usize = 8;

/// How long an answer is used: the longest pause between two attempts. So not every attempt costs a
/// search through all domains of resolv.conf.
const FRESH: Duration = Duration::from_millis(250);

/// The shortest time that a look-up has. A name server that needs longer than an attempt has can
/// still be of use to the next one.
const SHORTEST: Duration = Duration::from_secs(1);

/// The port of name servers.
const DNS: u16 = 53;

/// The addresses of one host.
pub(super) struct Resolver {
    host: Host,
    port: u16,
    known: Vec<SocketAddr>,
    /// The end of the validity of `known`. `None`: it stays valid.
    until: Option<Instant>,
    under_way: Option<Box<UnderWay>>,
}

/// A look-up that has not ended.
struct UnderWay {
    query: Query,
    /// The end of the attempt that began it.
    attempt: Instant,
    end: Instant,
}

pub(super) enum Resolved {
    /// At least one address.
    Addresses(Vec<SocketAddr>),
    Wait,
    /// The name has no address, or no name server can be asked.
    Failed(Outcome),
}

impl Resolver {
    /// An address is its own answer, and `localhost` is read from `/etc/hosts`. Both stay valid.
    pub(super) fn new(host: &Host, port: u16) -> Self {
        let known = match host {
            Host::Address(address) => vec![SocketAddr::new(*address, port)],
            Host::Name(name) if name == "localhost" => localhost(port),
            Host::Name(_) => Vec::new(),
        };
        Self {
            host: host.clone(),
            port,
            known,
            until: None,
            under_way: None,
        }
    }

    /// Returns the addresses, or asks for them. `until` is the end of the attempt.
    pub(super) fn resolve(&mut self, until: Instant) -> Resolved {
        let now = Instant::now();
        if !self.known.is_empty() && self.until.is_none_or(|until| now < until) {
            return Resolved::Addresses(self.known.clone());
        }
        if let Some(mut earlier) = self.under_way.take_if(|it| it.attempt != until) {
            match earlier.query.proceed() {
                Some(Ok(found)) => return self.found(found),
                None if now < earlier.end => {
                    self.under_way = Some(earlier);
                    return Resolved::Wait;
                }
                // A failure was that of the earlier attempt.
                Some(Err(_)) | None => {}
            }
        }
        let mut current = match self.under_way.take() {
            Some(current) => current,
            None => match self.begin(now, until) {
                Ok(Begun::Asks(query)) => query,
                Ok(Begun::Knows(found)) => return self.found(found),
                Err(error) => {
                    let reason = Reason::System(Operation::Resolve, Errno::of(&error));
                    return Resolved::Failed(Outcome::NotYet(reason));
                }
            },
        };
        match current.query.proceed() {
            Some(Ok(found)) => self.found(found),
            Some(Err(error)) => failed(error),
            None => {
                self.under_way = Some(current);
                Resolved::Wait
            }
        }
    }

    fn begin(&self, now: Instant, until: Instant) -> io::Result<Begun> {
        let name = self.host.to_string();
        let known = in_hosts(&text("/etc/hosts"), &name);
        if !known.is_empty() {
            return Ok(Begun::Knows(known));
        }
        let host_name = gethostname().unwrap_or_default();
        let config = Config::parse(&text("/etc/resolv.conf"), &host_name.to_string_lossy());
        let names = config.names(&name);
        let time = until.saturating_duration_since(now);
        let spec = Spec {
            patience: patience(time, names.len(), config.servers.len(), config.timeout),
            names,
            servers: config.servers.len(),
            first: 0,
            attempts: config.attempts,
        };
        let servers = config.servers.iter().map(address).collect();
        let shortest = now.checked_add(SHORTEST).unwrap_or(until);
        Ok(Begun::Asks(Box::new(UnderWay {
            query: Query::new(spec, servers, config.uses_tcp, config.rotates)?,
            attempt: until,
            end: until.max(shortest),
        })))
    }

    fn found(&mut self, found: Vec<IpAddr>) -> Resolved {
        let found = found.into_iter().take(MOST_ADDRESSES);
        self.known = found
            .map(|address| SocketAddr::new(address, self.port))
            .collect();
        self.until = Instant::now().checked_add(FRESH);
        Resolved::Addresses(self.known.clone())
    }

    /// Closes the sockets.
    pub(super) fn release(&mut self) {
        self.under_way = None;
    }

    /// Ready when a name server may have answered.
    pub(super) fn interest(&self) -> Option<Interest<'_>> {
        self.under_way.as_ref().map(|it| it.query.interest())
    }

    /// When to call [`Resolver::resolve`] at the latest.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.under_way.as_ref().and_then(|it| it.query.wake_at())
    }
}

enum Begun {
    /// `/etc/hosts` has the name.
    Knows(Vec<IpAddr>),
    Asks(Box<UnderWay>),
}

fn failed(error: NameError) -> Resolved {
    Resolved::Failed(Outcome::NotYet(Reason::Unresolved(error)))
}

/// The content of a file. Empty if it cannot be read, as for glibc.
fn text(path: &str) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn address(server: &Server) -> SocketAddr {
    match (server.address, &server.zone) {
        (IpAddr::V6(address), Some(zone)) => {
            let number = || if_nametoindex(zone.as_str()).ok();
            let scope = zone.parse().ok().or_else(number).unwrap_or(0);
            SocketAddrV6::new(address, DNS, 0, scope).into()
        }
        (address, _) => SocketAddr::new(address, DNS),
    }
}

/// The addresses of `localhost`: those in `/etc/hosts`, else both loopback addresses (RFC 6761,
/// 6.3). No name server is asked.
fn localhost(port: u16) -> Vec<SocketAddr> {
    let mut addresses = in_hosts(&text("/etc/hosts"), "localhost");
    if addresses.is_empty() {
        addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    addresses
        .into_iter()
        .take(MOST_ADDRESSES)
        .map(|address| SocketAddr::new(address, port))
        .collect()
}
