//! A connection with a deadline. Reads and writes do not block longer than the attempt may take,
//! whatever the server does.

use crate::event_loop::is_ready;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, send};
use nix::unistd;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

/// A connected socket that does not block.
#[derive(Debug)]
pub(super) struct Stream {
    socket: OwnedFd,
    until: Instant,
}

impl Stream {
    pub(super) const fn new(socket: OwnedFd, until: Instant) -> Self {
        Self { socket, until }
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
        self.retry(PollFlags::POLLIN, || unistd::read(&self.socket, buffer))
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.retry(PollFlags::POLLOUT, || {
            send(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_NOSIGNAL)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
