//! Replaces `tls` in a build without TLS (`--no-default-features`). It refuses https checks at the
//! start.

use super::stream::Stream;
use crate::core::outcome::{BadRedirect, Reason};
use crate::core::trust::{TrustError, TrustSpec};
use crate::core::url::Host;
use std::io;

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

/// The protocol that is spoken over TLS.
#[derive(Debug, Clone, Copy)]
pub(super) enum Alpn {
    Http1,
    Http2,
}

/// A connection with TLS, which this build never has.
pub(super) enum Session {}

impl Session {
    pub(super) fn new(
        _stream: Stream,
        _host: &Host,
        _trust: &Trust,
        _alpn: Alpn,
    ) -> Result<Self, Reason> {
        let how = BadRedirect::NoTrust(TrustError::NoTls);
        Err(Reason::BadRedirect(how))
    }

    pub(super) fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub(super) fn stream(&self) -> &Stream {
        match *self {}
    }

    pub(super) fn wants_write(&self) -> bool {
        match *self {}
    }

    pub(super) fn shake_hands(&mut self) -> Result<bool, Reason> {
        match *self {}
    }

    pub(super) fn read(&mut self, _buffer: &mut [u8]) -> Result<io::Result<usize>, Reason> {
        match *self {}
    }

    pub(super) fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        match *self {}
    }
}
