//! One attempt's talk with a server over a connection that exists: which bytes are sent, and what
//! the answer means. `probe` has the connection, with TLS or without.

use super::outcome::Outcome;

/// A talk from its beginning to its outcome. Whatever the server sends, it keeps a bounded number
/// of bytes.
pub trait Dialogue {
    /// Appends what is sent first to `out`. Called once, when the connection exists.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Takes the next bytes of the server, in pieces of any size, and appends what is sent to
    /// `out`. Returns the outcome when it is known. What `out` has then is a farewell: it is sent
    /// if that needs no waiting.
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Outcome>;

    /// What it means that the server has closed the connection, or broken it off.
    fn end(&mut self) -> Outcome;
}
