//! `listen://`: a process of this network namespace listens on the port. This is read from
//! `/proc/net/tcp` and `tcp6` (proc(5)), so the server sees no connection. Containers of a pod
//! share the network namespace, so the sockets of a sidecar are visible.

use super::attempt::{Probe, Step};
use crate::core::errno::Errno;
use crate::core::listening;
use crate::core::outcome::{Operation, Outcome, Phase, Reason};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::IpAddr;
use std::time::Instant;

/// One of this many attempts reads the whole file.
const WHOLE_FILE: u32 = 16;

#[derive(Debug)]
pub(super) struct Listen {
    address: Option<IpAddr>,
    port: u16,
    attempts: u32,
}

impl Listen {
    pub(super) const fn new(address: Option<IpAddr>, port: u16) -> Self {
        Self {
            address,
            port,
            attempts: 0,
        }
    }

    /// Whether this file lists the socket. Linux lists listening sockets first (`tcp_seq_start`),
    /// so most attempts stop at the first other socket. A gateway has thousands of these. Another
    /// kernel may have another order, so some attempts read the whole file.
    fn is_in(&self, path: &str) -> io::Result<bool> {
        let mut file = BufReader::with_capacity(4096, File::open(path)?);
        let reads_on = self.attempts.is_multiple_of(WHOLE_FILE);
        let mut line = String::with_capacity(192);
        let mut is_header = true;
        while file.read_line(&mut line)? > 0 {
            match listening::parse(&line) {
                Some(listener) if listener.accepts(self.address, self.port) => return Ok(true),
                None if !is_header && !reads_on => return Ok(false),
                Some(_) | None => {}
            }
            is_header = false;
            line.clear();
        }
        Ok(false)
    }
}

impl Probe for Listen {
    fn start(&mut self, _until: Instant) -> Step {
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        // tcp6 is missing if IPv6 is off. Both are missing if /proc is not mounted.
        let outcome = match (self.is_in("/proc/net/tcp"), self.is_in("/proc/net/tcp6")) {
            (Ok(true), _) | (_, Ok(true)) => Outcome::Pass,
            (Err(error), Err(_)) => {
                Outcome::NotYet(Reason::System(Operation::ListSockets, Errno::of(&error)))
            }
            (Ok(false), _) | (_, Ok(false)) => Outcome::NotYet(Reason::NotListening),
        };
        self.attempts = self.attempts.wrapping_add(1);
        Step::Done(outcome)
    }

    fn cancel(&mut self) -> Phase {
        Phase::Answer
    }
}
