//! What stands in for TLS in a binary that was built without it (`--no-default-features`): an https check is refused at the start.

use super::stream::Stream;
use crate::core::outcome::Reason;
use crate::core::url::Host;
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// Whom to trust, as it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// `--tls-insecure`.
    Anyone,
    /// `--tls-ca` or `SSL_CERT_FILE`, and which of them.
    File(PathBuf, String),
    /// Neither.
    System,
}

/// What a server is called: nobody asks.
pub type Name = String;

/// Takes the value of `--tls-server-name`.
///
/// # Errors
/// None; it is not looked at.
#[expect(clippy::unnecessary_wraps, reason = "the same shape as with TLS")]
pub(crate) fn name(text: &str) -> Result<Name, String> {
    Ok(text.to_owned())
}

/// Nobody can be trusted.
pub struct Trust(());

impl Trust {
    /// Takes what was said.
    pub fn new(_roots: Roots, _server_name: Option<Name>) -> Self {
        Self(())
    }

    /// There is no TLS.
    ///
    /// # Errors
    /// Always.
    #[expect(clippy::unused_self, reason = "the same shape as with TLS")]
    pub(crate) fn ready(&self) -> Result<(), String> {
        Err("this podgate was built without TLS and has no https checks; use the full build, or ask over http"
            .to_owned())
    }
}

/// Why there is no session.
pub(super) enum Failure {
    /// The connection failed. Not in this build.
    #[expect(dead_code, reason = "the same shape as with TLS")]
    Io(io::Error),
    /// There is no TLS.
    Reason(Reason),
}

/// There is none.
pub(super) enum Session {}

/// Fails.
pub(super) fn shake_hands(
    _stream: Stream,
    _host: &Host,
    _trust: &Trust,
) -> Result<Session, Failure> {
    Err(Failure::Reason(Reason::BadRedirect(
        "to https, and this podgate was built without TLS".to_owned(),
    )))
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
