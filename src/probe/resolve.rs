//! Resolves a host to its addresses. The resolver of musl can block for seconds and cannot be
//! cancelled, so it runs in a worker. If it does not return, the next attempt waits for it, too. So
//! there is at most one worker for each check.

use super::worker::Worker;
use crate::core::errno::Errno;
use crate::core::outcome::{Operation, Outcome, Reason, one_line};
use crate::core::url::Host;
use crate::event_loop::Interest;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How many addresses of one name are tried at most.
const MOST_ADDRESSES: usize = 8;

/// How long an answer is used: the longest pause between two attempts. So not every attempt costs a
/// search through all domains of resolv.conf.
const FRESH: Duration = Duration::from_millis(250);

/// The addresses of one host.
#[derive(Debug)]
pub(super) struct Resolver {
    host: Host,
    port: u16,
    known: Vec<SocketAddr>,
    /// The end of the validity of `known`. `None`: it stays valid.
    until: Option<Instant>,
    worker: Worker<io::Result<Vec<SocketAddr>>>,
}

pub(super) enum Resolved {
    /// At least one address.
    Addresses(Vec<SocketAddr>),
    Wait,
    /// The name has no address, or the resolver cannot be asked.
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
            worker: Worker::new(),
        }
    }

    /// Returns the addresses, or asks the resolver for them.
    pub(super) fn resolve(&mut self) -> Resolved {
        if !self.known.is_empty() && self.until.is_none_or(|until| Instant::now() < until) {
            return Resolved::Addresses(self.known.clone());
        }
        if !self.worker.is_busy() {
            let name = (self.host.to_string(), self.port);
            let ask = move || {
                name.to_socket_addrs()
                    .map(|found| found.take(MOST_ADDRESSES).collect())
            };
            if let Err(error) = self.worker.start(ask) {
                let reason = Reason::System(Operation::Resolve, Errno::of(&error));
                return Resolved::Failed(Outcome::NotYet(reason));
            }
        }
        match self.worker.take() {
            None => Resolved::Wait,
            Some(Ok(addresses)) if !addresses.is_empty() => {
                self.known.clone_from(&addresses);
                self.until = Instant::now().checked_add(FRESH);
                Resolved::Addresses(addresses)
            }
            Some(Ok(_)) => Resolved::Failed(Outcome::NotYet(Reason::NoAddress)),
            Some(Err(error)) => {
                let cause = error.to_string();
                let cause = cause
                    .rsplit_once(": ")
                    .map_or(cause.as_str(), |(_, cause)| cause);
                Resolved::Failed(Outcome::NotYet(Reason::Unresolved(one_line(cause, 100))))
            }
        }
    }

    /// Abandons the thread.
    pub(super) fn release(&mut self) {
        self.worker.abandon();
    }

    /// Ready when the resolver has answered.
    pub(super) fn interest(&self) -> Option<Interest<'_>> {
        self.worker.interest()
    }
}

/// The addresses of `localhost`: those in `/etc/hosts`, else both loopback addresses (RFC 6761,
/// 6.3). No name server is asked. So this needs no thread, and works without a name server.
fn localhost(port: u16) -> Vec<SocketAddr> {
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut addresses = addresses_in(&hosts, "localhost");
    if addresses.is_empty() {
        addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    addresses
        .into_iter()
        .take(MOST_ADDRESSES)
        .map(|address| SocketAddr::new(address, port))
        .collect()
}

/// The addresses of a name in the text of a hosts(5) file.
fn addresses_in(hosts: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in hosts.lines() {
        let line = line.split_once('#').map_or(line, |(line, _)| line);
        let mut words = line.split_ascii_whitespace();
        if let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>)
            && words.any(|word| word.eq_ignore_ascii_case(name))
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::addresses_in;

    #[test]
    fn a_hosts_file_is_read() {
        let hosts = "# localhost 9.9.9.9\n127.0.0.1\tlocalhost x # y\n\
                     ::1 LocalHost ip6-localhost\nbad localhost\n127.0.0.1 localhost\n";
        let found: Vec<String> = addresses_in(hosts, "localhost")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["127.0.0.1", "::1"]);
        assert!(addresses_in(hosts, "y").is_empty());
    }
}
