//! `listen://`: a process of this network namespace listens on the port. The kernel is asked for
//! the sockets of this port (NETLINK_SOCK_DIAG of sock_diag(7)), so the server sees no connection.
//! Containers of a pod share the network namespace, so the sockets of a sidecar are visible.
//!
//! Some kernels and sandboxes refuse netlink: then `/proc/net/tcp` and `tcp6` are read (proc(5)).
//! That costs milliseconds, because the kernel searches its whole table of connections.

use super::attempt::{Probe, Step};
use crate::core::errno::Errno;
use crate::core::listening::{self, Listener};
use crate::core::outcome::{Operation, Outcome, Phase, Reason};
use crate::core::sock_diag::{self, Family, Sequence};
use nix::errno::Errno as NixErrno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    socket,
};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

/// One of this many attempts reads the whole file.
const WHOLE_FILE: u32 = 16;

/// The kernel sends at most this many bytes at once: NLMSG_GOODSIZE of `linux/netlink.h`.
const DATAGRAM: usize = 8192;

#[derive(Debug)]
pub(super) struct Listen {
    address: Option<IpAddr>,
    port: u16,
    attempts: u32,
    netlink: Netlink,
}

/// The connection to the kernel.
#[derive(Debug)]
enum Netlink {
    Closed,
    Open(OwnedFd),
    /// The kernel does not answer such questions.
    Refused,
}

impl Listen {
    pub(super) const fn new(address: Option<IpAddr>, port: u16) -> Self {
        Self {
            address,
            port,
            attempts: 0,
            netlink: Netlink::Closed,
        }
    }

    fn is_it(&self, listener: Listener) -> bool {
        listener.accepts(self.address, self.port)
    }

    /// Whether the kernel has the socket. `None` if it does not answer.
    fn ask_kernel(&mut self) -> Option<bool> {
        let socket = match std::mem::replace(&mut self.netlink, Netlink::Refused) {
            Netlink::Closed => open(),
            Netlink::Open(socket) => Ok(socket),
            Netlink::Refused => return None,
        };
        let socket = match socket {
            Ok(socket) => socket,
            Err(NixErrno::EMFILE | NixErrno::ENFILE | NixErrno::ENOMEM | NixErrno::ENOBUFS) => {
                self.netlink = Netlink::Closed;
                return None;
            }
            Err(_) => return None,
        };
        for family in [Family::Ipv4, Family::Ipv6] {
            if self.is_listed(&socket, family).ok()? {
                // The rest of the answer is not read, so the socket is of no use any more.
                self.netlink = Netlink::Closed;
                return Some(true);
            }
        }
        self.netlink = Netlink::Open(socket);
        Some(false)
    }

    /// Asks for the sockets of this family. The kernel has its answer ready when `send` returns.
    fn is_listed(&self, socket: &OwnedFd, family: Family) -> Result<bool, Errno> {
        let errno = |error: NixErrno| Errno(error as i32);
        let sequence: Sequence = self.attempts;
        let question = sock_diag::question(family, self.port, sequence);
        send(socket.as_raw_fd(), &question, MsgFlags::empty()).map_err(errno)?;
        let mut buffer = [0; DATAGRAM];
        loop {
            let count = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).map_err(errno)?;
            let part = sock_diag::read(buffer.get(..count).unwrap_or_default(), sequence)?;
            let is_listed = part.listeners.into_iter().any(|it| self.is_it(it));
            if is_listed || part.is_last {
                return Ok(is_listed);
            }
        }
    }

    fn read_proc(&self) -> Outcome {
        // tcp6 is missing if IPv6 is off. Both are missing if /proc is not mounted.
        match (self.is_in("/proc/net/tcp"), self.is_in("/proc/net/tcp6")) {
            (Ok(true), _) | (_, Ok(true)) => Outcome::Pass,
            (Err(error), Err(_)) => {
                Outcome::NotYet(Reason::System(Operation::ListSockets, Errno::of(&error)))
            }
            (Ok(false), _) | (_, Ok(false)) => Outcome::NotYet(Reason::NotListening),
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
                Some(listener) if self.is_it(listener) => return Ok(true),
                None if !is_header && !reads_on => return Ok(false),
                Some(_) | None => {}
            }
            is_header = false;
            line.clear();
        }
        Ok(false)
    }
}

/// Opens a connection that receives messages from the kernel only: its number is 0 (netlink(7)).
fn open() -> Result<OwnedFd, NixErrno> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkSockDiag,
    )?;
    connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

impl Probe for Listen {
    fn start(&mut self, _until: Instant) -> Step {
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        let outcome = match self.ask_kernel() {
            Some(true) => Outcome::Pass,
            Some(false) => Outcome::NotYet(Reason::NotListening),
            None => self.read_proc(),
        };
        self.attempts = self.attempts.wrapping_add(1);
        Step::Done(outcome)
    }

    fn cancel(&mut self) -> Phase {
        Phase::Answer
    }

    fn release(&mut self) {
        if let Netlink::Open(_) = self.netlink {
            self.netlink = Netlink::Closed;
        }
    }
}
