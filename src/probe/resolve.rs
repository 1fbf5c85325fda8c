//! From a host to its addresses. The resolver of musl blocks for seconds and cannot be cancelled, so it runs in a thread; one that
//! does not come back is waited for by the next attempt too, so there is never more than one a check.

use super::worker::Desk;
use crate::core::outcome::{Outcome, Reason, one_line};
use crate::core::url::Host;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use crate::event_loop::Interest;
use std::time::{Duration, Instant};

/// The most addresses of one name that are tried.
const MOST_ADDRESSES: usize = 8;

/// How long an answer is used: as long as the longest pause between two attempts. So a name that is asked for with every attempt does
/// not cost a thread and a search through all domains of resolv.conf each time.
const FRESH: Duration = Duration::from_millis(250);

/// The addresses of one host.
#[derive(Debug)]
pub(super) struct Resolver {
    host: Host,
    port: u16,
    known: Vec<SocketAddr>,
    /// Until when they are known; for good if `None`.
    until: Option<Instant>,
    desk: Desk<io::Result<Vec<SocketAddr>>>,
}

/// What the resolver says.
pub(super) enum Resolved {
    /// The addresses; at least one.
    Addresses(Vec<SocketAddr>),
    /// No answer yet.
    Wait,
    /// There are none, or the resolver cannot be asked.
    Failed(Outcome),
}

impl Resolver {
    /// For this host. Addresses, and what `/etc/hosts` says of `localhost`, are known at once and for good.
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
            desk: Desk::new(),
        }
    }

    /// Asks, or asks again.
    pub(super) fn resolve(&mut self) -> Resolved {
        if !self.known.is_empty() && self.until.is_none_or(|until| Instant::now() < until) {
            return Resolved::Addresses(self.known.clone());
        }
        if !self.desk.is_busy() {
            let name = (self.host.to_string(), self.port);
            let ask = move || {
                name.to_socket_addrs()
                    .map(|found| found.take(MOST_ADDRESSES).collect())
            };
            if let Err(error) = self.desk.ask(ask) {
                return Resolved::Failed(Outcome::NotYet(Reason::System(
                    "resolved",
                    error.to_string(),
                )));
            }
        }
        match self.desk.take() {
            None => Resolved::Wait,
            Some(Ok(addresses)) if !addresses.is_empty() => {
                self.known.clone_from(&addresses);
                self.until = Instant::now().checked_add(FRESH);
                Resolved::Addresses(addresses)
            }
            Some(Ok(_)) => Resolved::Failed(Outcome::NotYet(Reason::Unresolved(
                "it has no address".to_owned(),
            ))),
            Some(Err(error)) => {
                let cause = error.to_string();
                let cause = cause
                    .rsplit_once(": ")
                    .map_or(cause.as_str(), |(_, cause)| cause);
                Resolved::Failed(Outcome::NotYet(Reason::Unresolved(one_line(cause, 100))))
            }
        }
    }

    /// Gives back the thread.
    pub(super) fn rest(&mut self) {
        self.desk.give_up();
    }

    /// What an answer can be waited for with.
    pub(super) fn interest(&self) -> Option<Interest<'_>> {
        self.desk.interest()
    }
}

/// The addresses of `localhost`: what `/etc/hosts` says, else both loopback addresses (RFC 6761, 6.3). No name server is asked, so
/// this costs no thread, and works where the name server does not.
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
        let hosts = "# localhost 9.9.9.9\n127.0.0.1\tlocalhost x # y\n::1 LocalHost ip6-localhost\nbad localhost\n127.0.0.1 localhost\n";
        let found: Vec<String> = addresses_in(hosts, "localhost")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["127.0.0.1", "::1"]);
        assert!(addresses_in(hosts, "y").is_empty());
    }
}
