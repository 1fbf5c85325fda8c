//! `redis://`: whether a server answers `PING` (Redis' pages "Redis serialization protocol
//! specification" and "PING"). `+PONG` passes, and so do `-NOAUTH` and `-NOPERM`, because the
//! server answers a client that knows a password. Any other error has the reason: `-LOADING`,
//! `-MASTERDOWN`, `-BUSY`, `-MISCONF`, `-DENIED`, `-ERR max number of clients reached`.
//!
//! No QUIT is sent: it is deprecated since Redis 7.2, and a client that just closes the connection
//! is not logged.

use super::database::{MOST, ended, refuses, stranger};
use super::dialogue::Dialogue;
use super::outcome::Outcome;
use super::protocol::{self, Protocol};

/// An array, not an inline command, because proxies know only this form.
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// One PING.
#[derive(Debug, Default)]
pub struct Redis {
    kept: Vec<u8>,
}

impl Dialogue for Redis {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(PING);
    }

    fn feed(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Option<Outcome> {
        for byte in bytes {
            self.kept.push(*byte);
            let outcome = self.line();
            if outcome.is_some() {
                return outcome;
            }
        }
        None
    }

    fn end(&mut self) -> Outcome {
        ended(Protocol::Redis, &self.kept)
    }
}

impl Redis {
    /// Judges the first line so far.
    fn line(&self) -> Option<Outcome> {
        let is_whole = self.kept.ends_with(b"\n") || self.kept.len() >= MOST;
        match self.kept.as_slice() {
            [b'+' | b'-'] | [b'+' | b'-', b' '..=b'~', ..] if !is_whole => None,
            b"+PONG\r\n" => Some(Outcome::Pass),
            [b'-', words @ ..]
                if words.starts_with(b"NOAUTH ") || words.starts_with(b"NOPERM ") =>
            {
                Some(Outcome::Pass)
            }
            // NATS answers so, too.
            [b'-', words @ ..]
                if matches!(words, [b' '..=b'~', ..])
                    && protocol::of(&self.kept) != Some(Protocol::Nats) =>
            {
                Some(refuses(Protocol::Redis, words))
            }
            first => stranger(Protocol::Redis, first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::database::tests::{
        closed, ends_with, is_bounded, never_panics, says, silent, speaks,
    };
    use super::super::outcome::Outcome;
    use super::super::protocol::Protocol as P;
    use super::Redis;
    use proptest::prelude::*;

    fn outcome(bytes: &[u8]) -> Option<Outcome> {
        ends_with::<Redis>(bytes, b"")
    }

    #[test]
    fn a_server_that_answers_or_asks_for_a_password_passes() {
        for bytes in [
            &b"+PONG\r\n"[..],
            b"-NOAUTH Authentication required.\r\n",
            b"-NOPERM this user has no permissions to run the 'ping' command\r\n",
        ] {
            assert_eq!(outcome(bytes), Some(Outcome::Pass));
            assert_eq!(outcome(&bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn any_other_error_is_not_yet_with_its_words() {
        for words in [
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "BUSY Redis is busy running a script.",
            "ERR max number of clients reached",
            "NOAUTHORITY x",
        ] {
            let bytes = format!("-{words}\r\n");
            assert_eq!(outcome(bytes.as_bytes()), Some(says(P::Redis, words)));
        }
        // A line without an end.
        let long = format!("-DENIED {}", "x".repeat(600));
        let shown = format!("DENIED {}…", "x".repeat(107));
        assert_eq!(outcome(long.as_bytes()), Some(says(P::Redis, &shown)));
    }

    #[test]
    fn another_server_is_named() {
        for (bytes, expected) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\n"[..],
                speaks(P::Redis, P::Http),
            ),
            (
                b"-ERR 'Unknown Protocol Operation'\r\n",
                speaks(P::Redis, P::Nats),
            ),
            (b"J\0\0\0\x0a8.0.36\0", speaks(P::Redis, P::Mysql)),
            (b"\x15\x03\x01\0\x02\x02\x46", speaks(P::Redis, P::Tls)),
            (b"+OK Dovecot ready.\r\n", speaks(P::Redis, P::Pop3)),
        ] {
            assert_eq!(outcome(bytes), Some(expected));
        }
        assert_eq!(silent::<Redis>(b""), closed(P::Redis));
        assert_ne!(outcome(b"+PONG hello\r\n"), Some(Outcome::Pass));
        assert_ne!(outcome(b"$4\r\nPONG\r\n"), Some(Outcome::Pass));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_nothing_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..700),
            first in proptest::sample::select(&["+PONG", "-NOAUTH ", "-LOADING ", "-ERR 'Unk"][..]),
        ) {
            never_panics::<Redis>(&bytes);
            let begun = [first.as_bytes(), &bytes].concat();
            never_panics::<Redis>(&begun);
            is_bounded(&begun, |talk: &Redis| talk.kept.capacity());
        }
    }
}
