//! A connected socket that does not block.

use nix::sys::socket::{MsgFlags, send};
#[cfg(feature = "tls")]
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// How many of the first bytes of an answer are kept. They are enough to see what a server speaks.
const FIRST: usize = 256;

#[derive(Debug)]
pub(super) struct Stream {
    socket: OwnedFd,
    /// The first bytes that were read, if they are kept.
    first: Option<Vec<u8>>,
}

impl Stream {
    pub(super) const fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
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
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends as much as the kernel takes. A closed connection is an error (EPIPE), not a signal.
pub(super) fn send_some(socket: &OwnedFd, bytes: &[u8]) -> nix::Result<usize> {
    loop {
        match send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Err(nix::Error::EINTR) => {}
            result => return result,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            match unistd::read(&self.socket, buffer) {
                Err(nix::Error::EINTR) => {}
                result => break result?,
            }
        };
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
        Ok(send_some(&self.socket, buffer)?)
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
