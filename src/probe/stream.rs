//! A connection with a deadline. Reads and writes do not block longer than the attempt may take,
//! whatever the server does.

use crate::core::outcome::Reason;
use crate::event_loop::is_ready;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, send};
#[cfg(feature = "tls")]
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd;
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

/// How many of the first bytes of an answer are kept. They are enough to see what a server speaks.
const FIRST: usize = 256;

/// A reason that passes through the HTTP library and the TLS library as an error.
#[derive(Debug)]
pub(super) struct Fault(pub(super) Reason);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is refused")
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}

/// A connected socket that does not block.
#[derive(Debug)]
pub(super) struct Stream {
    socket: OwnedFd,
    until: Instant,
    /// The first bytes that were read, if they are kept.
    first: Option<Vec<u8>>,
}

impl Stream {
    pub(super) const fn new(socket: OwnedFd, until: Instant) -> Self {
        Self {
            socket,
            until,
            first: None,
        }
    }

    /// Sends each write at once, even if an earlier one is not acknowledged yet (TCP_NODELAY).
    #[cfg(feature = "tls")]
    pub(super) fn send_at_once(&self) {
        // A unix socket has no such option, and always does so.
        let _ = setsockopt(&self.socket, sockopt::TcpNoDelay, &true);
    }

    #[cfg(feature = "tls")]
    pub(super) fn keep_first_bytes(&mut self) {
        self.first = Some(Vec::new());
    }

    /// The first bytes that were read since [`Self::keep_first_bytes`].
    #[cfg(feature = "tls")]
    pub(super) fn first_bytes(&self) -> &[u8] {
        self.first.as_deref().unwrap_or_default()
    }

    /// Repeats a non-blocking operation until it succeeds or fails, or the time is over.
    fn retry(
        &self,
        flags: PollFlags,
        mut operation: impl FnMut() -> nix::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match operation().map_err(io::Error::from) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    is_ready(self.socket.as_fd(), flags, left);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.retry(PollFlags::POLLIN, || unistd::read(&self.socket, buffer))?;
        if let Some(first) = &mut self.first {
            let room = FIRST.saturating_sub(first.len());
            let read = buffer.get(..count).unwrap_or_default();
            first.extend(read.iter().take(room));
        }
        Ok(count)
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.retry(PollFlags::POLLOUT, || {
            send(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_NOSIGNAL)
        })
    }

    /// The TLS library hands over its records in parts. They are sent in one packet.
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
        self.write(&parts.concat())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
