//! Replaces `tls` in a build without TLS (`--no-default-features`). It refuses https checks at the
//! start.

use super::stream::Stream;
use crate::core::outcome::{BadRedirect, Reason};
use crate::core::trust::{TrustError, TrustSpec};
use crate::core::url::Host;
use std::io::{self, Read, Write};

pub struct Trust(());

impl Trust {
    pub fn new(_spec: TrustSpec) -> Self {
        Self(())
    }

    /// Whether an attempt may read files.
    #[expect(clippy::unused_self, reason = "the same shape as with TLS")]
    pub(crate) const fn reads_files(&self) -> bool {
        false
    }

    /// # Errors
    /// Always: [`TrustError::NoTls`].
    #[expect(clippy::unused_self, reason = "the same shape as with TLS")]
    pub(crate) fn ready(&self) -> Result<(), TrustError> {
        Err(TrustError::NoTls)
    }
}

/// Why the handshake failed.
pub(super) enum Failure {
    /// Never in this build.
    #[expect(dead_code, reason = "the same shape as with TLS")]
    Io(io::Error),
    Reason(Reason),
}

/// A connection with TLS, which this build never has.
pub(super) enum Session {}

pub(super) fn shake_hands(
    _stream: Stream,
    _host: &Host,
    _trust: &Trust,
) -> Result<Session, Failure> {
    let how = BadRedirect::NoTrust(TrustError::NoTls);
    Err(Failure::Reason(Reason::BadRedirect(how)))
}

impl Read for Session {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }
}

impl Write for Session {
    fn write(&mut self, _buffer: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match *self {}
    }
}
