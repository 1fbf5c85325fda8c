//! `postgres://`: whether a server accepts connections, as pg_isready(1) means it. It does if it
//! asks for authentication, or answers with any error but 57P03 (`cannot_connect_now`: it is
//! starting up or shutting down). So a wrong database, a pg_hba.conf that refuses and too many
//! connections pass.
//!
//! The protocol is in PostgreSQL's documentation, 55.2 (message flow), 55.7 (message formats) and
//! 55.8 (fields of errors). The rules are those of `internal_ping` and `PQconnectPoll` in libpq.
//!
//! The server logs nothing if it asks for a password, because a client that ends the connection
//! then is usual. With `trust` it logs that the role `podgate` does not exist, unless there is one.

use super::database::{MOST, ended, refuses, stranger};
use super::dialogue::Dialogue;
use super::outcome::Outcome;
use super::protocol::Protocol;

/// StartupMessage of protocol 3.0. The names are for the server's log. The database is one that
/// exists almost everywhere.
const STARTUP: &[u8] = b"\0\0\0\x41\0\x03\0\0user\0podgate\0database\0postgres\0\
    application_name\0podgate\0\0";
const TERMINATE: &[u8] = b"X\0\0\0\x04";
/// `cannot_connect_now`.
const NOT_NOW: &[u8] = b"57P03";
/// The longest message that libpq takes for an authentication request, and for an error. A longer
/// "error" is a text in the format of protocol 2, which a server sends that cannot start a process.
const MOST_REQUEST: u32 = 2000;
const MOST_ERROR: u32 = 30_000;
/// A shorter NoticeResponse or NegotiateProtocolVersion is a greeting of MySQL.
const LEAST_OTHER: u32 = 12;

/// The beginning of a session.
#[derive(Debug, Default)]
pub struct Postgres {
    /// The beginning of the current message.
    kept: Vec<u8>,
    /// How many bytes of the message before it are still to come.
    skipped: u32,
    /// The server asked for no password (`trust`). It sends this together with what follows: an
    /// error, or its settings and ReadyForQuery. An earlier end of the connection would be an error
    /// in its log.
    is_trusted: bool,
}

impl Dialogue for Postgres {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(STARTUP);
    }

    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Outcome> {
        for byte in bytes {
            if self.skipped > 0 {
                self.skipped = self.skipped.saturating_sub(1);
                continue;
            }
            self.kept.push(*byte);
            let outcome = self.message(out);
            if outcome.is_some() {
                return outcome;
            }
        }
        None
    }

    fn end(&mut self) -> Outcome {
        if self.is_trusted {
            return Outcome::Pass;
        }
        ended(Protocol::Postgres, &self.kept)
    }
}

impl Postgres {
    /// Judges the message so far.
    fn message(&mut self, out: &mut Vec<u8>) -> Option<Outcome> {
        let [kind, a, b, c, d, body @ ..] = self.kept.as_slice() else {
            return None;
        };
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        let is_plausible = match kind {
            b'R' => (8..=MOST_REQUEST).contains(&length),
            b'E' => (8..=MOST_ERROR).contains(&length),
            b'N' | b'v' => (LEAST_OTHER..=MOST_ERROR).contains(&length),
            _ => self.is_trusted && length >= 4,
        };
        if !is_plausible {
            return match (kind, self.kept.as_slice()) {
                // A text as in protocol 2, which ends with NUL.
                (b'E', [_, text @ .., 0]) if !text.contains(&0) => {
                    Some(refuses(Protocol::Postgres, text))
                }
                (b'E', first) if first.len() < MOST && !first.contains(&0) => None,
                (_, first) => stranger(Protocol::Postgres, first),
            };
        }
        // The length counts itself and not the kind.
        let whole = length.saturating_sub(4);
        let body = usize::try_from(whole)
            .ok()
            .and_then(|whole| body.get(..whole))
            .unwrap_or(body);
        let has = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if has < whole && self.kept.len() < MOST {
            return None;
        }
        match (kind, body) {
            (b'R', [0, 0, 0, 0, ..]) => self.is_trusted = true,
            (b'R', [0, 0, 0, _, ..]) => return Some(Outcome::Pass),
            (b'R', _) => return stranger(Protocol::Postgres, &self.kept),
            (b'E', _) => {
                return error(body, has < whole)
                    .or_else(|| stranger(Protocol::Postgres, &self.kept));
            }
            (b'Z', _) => {
                out.extend_from_slice(TERMINATE);
                return Some(Outcome::Pass);
            }
            _ => {}
        }
        self.skipped = whole.saturating_sub(has);
        self.kept.clear();
        None
    }
}

/// What an ErrorResponse means: fields of a letter and a text that ends with NUL, and a NUL.
/// `is_cut`: the end is missing. `None`: it is malformed.
fn error(mut body: &[u8], is_cut: bool) -> Option<Outcome> {
    let (mut code, mut words): (&[u8], Option<&[u8]>) = (b"", None);
    loop {
        match body.split_first() {
            Some((0, _)) => break,
            Some((field, rest)) => {
                let end = rest.iter().position(|byte| *byte == 0);
                let end = end.or(is_cut.then_some(rest.len()))?;
                let (text, after) = rest.split_at_checked(end)?;
                match field {
                    b'C' => code = text,
                    b'M' => words = Some(text),
                    _ => {}
                }
                body = after.get(1..).unwrap_or_default();
            }
            None if is_cut => break,
            None => return None,
        }
    }
    // As for libpq, an error without a code is not one of a server that accepts connections.
    if code.len() == NOT_NOW.len() && code != NOT_NOW {
        return Some(Outcome::Pass);
    }
    Some(refuses(Protocol::Postgres, words?))
}

#[cfg(test)]
mod tests {
    use super::super::database::tests::{
        ends_with, is_bounded, never_panics, says, silent, speaks,
    };
    use super::super::outcome::{DatabaseAnswer, Outcome, Reason};
    use super::super::protocol::Protocol as P;
    use super::{Postgres, STARTUP, TERMINATE};
    use crate::core::dialogue::Dialogue;
    use proptest::prelude::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], &length.to_be_bytes()[..], body].concat()
    }

    fn error(code: &str, words: &str) -> Vec<u8> {
        let body = format!("SFATAL\0VFATAL\0C{code}\0M{words}\0Fmiscinit.c\0L768\0Rx\0\0");
        message(b'E', body.as_bytes())
    }

    /// The outcome of these bytes, which must leave this farewell.
    fn outcome(bytes: &[u8], farewell: &[u8]) -> Option<Outcome> {
        ends_with::<Postgres>(bytes, farewell)
    }

    const AUTHENTICATED: &[u8] = b"R\0\0\0\x08\0\0\0\0";
    const STARTING: &str = "the database system is starting up";

    #[test]
    fn the_startup_message_has_its_length_and_names_podgate() {
        let length = u32::from_be_bytes(STARTUP[..4].try_into().unwrap());
        assert_eq!(usize::try_from(length).unwrap(), STARTUP.len());
        assert_eq!(STARTUP[4..8], [0, 3, 0, 0], "protocol 3.0");
        let mut out = Vec::new();
        Postgres::default().begin(&mut out);
        assert_eq!(out, STARTUP);
    }

    #[test]
    fn a_server_that_asks_for_a_password_passes_without_a_farewell() {
        for body in [
            &b"\0\0\0\x0aSCRAM-SHA-256\0\0"[..],
            b"\0\0\0\x05abcd",
            b"\0\0\0\x03",
        ] {
            let bytes = message(b'R', body);
            assert_eq!(outcome(&bytes, b""), Some(Outcome::Pass));
            assert_eq!(outcome(&bytes[..bytes.len() - 1], b""), None);
        }
    }

    #[test]
    fn any_error_but_57p03_passes() {
        for (code, words) in [
            ("28000", "no pg_hba.conf entry for host \"127.0.0.1\""),
            ("3D000", "database \"postgres\" does not exist"),
            ("53300", "sorry, too many clients already"),
            ("08P01", "no such database: postgres"),
        ] {
            assert_eq!(outcome(&error(code, words), b""), Some(Outcome::Pass));
            let trusted = [AUTHENTICATED, &error(code, words)].concat();
            assert_eq!(outcome(&trusted, b""), Some(Outcome::Pass));
        }
        let says_starting = Some(says(P::Postgres, STARTING));
        assert_eq!(outcome(&error("57P03", STARTING), b""), says_starting);
    }

    #[test]
    fn a_session_without_a_password_is_ended_when_the_server_is_ready() {
        let settings = message(b'S', b"TimeZone\0Etc/UTC\0");
        let ready = message(b'Z', b"I");
        let bytes = [AUTHENTICATED, &settings].concat();
        assert_eq!(outcome(&bytes, b""), None);
        let bytes = [&bytes[..], &ready].concat();
        assert_eq!(outcome(&bytes, TERMINATE), Some(Outcome::Pass));
        let mut talk = Postgres::default();
        assert_eq!(talk.feed(AUTHENTICATED, &mut Vec::new()), None);
        assert_eq!(talk.end(), Outcome::Pass);
        // The negative control: without authentication these are not PostgreSQL's first messages.
        assert_ne!(outcome(&ready, b""), Some(Outcome::Pass));
    }

    #[test]
    fn notices_and_other_versions_are_passed_over() {
        let notice = message(b'N', b"SNOTICE\0MHello\0\0");
        let long = message(b'N', &[b'x'; 20_000]);
        let version = message(b'v', b"\0\0\0\0\0\0\0\0");
        let bytes = [&notice[..], &long, &version, &error("57P03", STARTING)].concat();
        assert_eq!(outcome(&bytes, b""), Some(says(P::Postgres, STARTING)));
    }

    #[test]
    fn an_error_without_a_code_does_not_pass() {
        // A postmaster that cannot fork sends a text, as in protocol 2.
        let fork = b"Ecould not fork new process for connection: Cannot allocate memory\n\0";
        let words = "could not fork new process for connection: Cannot allocate memory";
        assert_eq!(outcome(fork, b""), Some(says(P::Postgres, words)));
        let bytes = message(b'E', b"SFATAL\0Mwords\0\0");
        assert_eq!(outcome(&bytes, b""), Some(says(P::Postgres, "words")));
    }

    #[test]
    fn the_words_are_one_short_line() {
        let bytes = error("57P03", &format!("a\u{1b}[31m\nb{}", "c".repeat(10_000)));
        let Some(Outcome::NotYet(Reason::Database(_, DatabaseAnswer::Refuses(words)))) =
            outcome(&bytes, b"")
        else {
            panic!("the words of the server");
        };
        assert!(words.starts_with("a [31m bccc"), "{words}");
        assert!(words.len() <= 120, "{words}");
    }

    #[test]
    fn another_server_is_named() {
        for (bytes, expected) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\n"[..],
                speaks(P::Postgres, P::Http),
            ),
            (b"E\0\0\0\x0a8.0.36\0\x01\0", speaks(P::Postgres, P::Mysql)),
            (b"R\0\0\0\x0a8.0.36\0\x01\0", speaks(P::Postgres, P::Mysql)),
            (b"N\0\0\0\x0a8.0.36\0\x01\0", speaks(P::Postgres, P::Mysql)),
            (b"v\0\0\0\x0a8.0.36\0\x01\0", speaks(P::Postgres, P::Mysql)),
            (b"\x15\x03\x01\0\x02\x02\x46", speaks(P::Postgres, P::Tls)),
            (b"-ERR unknown command\r\n", speaks(P::Postgres, P::Redis)),
        ] {
            assert_eq!(outcome(bytes, b""), Some(expected));
        }
        assert_eq!(
            silent::<Postgres>(b""),
            super::super::database::tests::closed(P::Postgres)
        );
        let tooshort = silent::<Postgres>(b"E\0\0\0\xff\x10\x04Too many connections");
        assert_eq!(tooshort, speaks(P::Postgres, P::Mysql));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_nothing_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            kind in proptest::sample::select(&b"RENvSKZX"[..]),
            length in 0_u32..700,
            code in 0_u8..14,
        ) {
            never_panics::<Postgres>(&bytes);
            let begun = [&[kind][..], &length.to_be_bytes(), &[0, 0, 0, code], &bytes].concat();
            never_panics::<Postgres>(&begun);
            never_panics::<Postgres>(&[AUTHENTICATED, &begun].concat());
            is_bounded(&begun, |talk: &Postgres| talk.kept.capacity());
        }
    }
}
