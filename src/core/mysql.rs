//! `mysql://`: whether a server greets, as MySQL's page "Protocol::Handshake" and MariaDB's page
//! "Connection" have it. The greeting of protocol 10 passes. An error packet in its place has the
//! reason, such as `Too many connections`.
//!
//! A server counts a client that goes away after the greeting as a connection error of its host.
//! After 100 of them (`max_connect_errors`) it blocks the host. It does not count a login that
//! fails. So the farewell is a login as `podgate` without a password. The server may ask for it
//! once more, in the form of another plugin (AuthSwitchRequest). The second packet answers that. It
//! is sent at once, so that no attempt waits for the end of the login.

use super::database::{MOST, ended, not_yet, refuses, stranger};
use super::dialogue::Dialogue;
use super::outcome::{DatabaseAnswer, Outcome};
use super::protocol::Protocol;

/// A HandshakeResponse41 as packet 1, and an empty packet 3. Packet 2 is the server's. The flags
/// are LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION and PLUGIN_AUTH; then the largest packet, the
/// character set (utf8) and 23 reserved bytes, the user, an empty password, and the plugin.
const FAREWELL: &[u8] = b"\x3f\0\0\x01\x01\x82\x08\0\0\0\0\x01\x21\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
    podgate\0\0mysql_native_password\0\0\0\0\x03";
const HEADER: usize = 4;

/// The beginning of a session.
#[derive(Debug, Default)]
pub struct Mysql {
    kept: Vec<u8>,
    /// All bytes so far.
    count: usize,
}

impl Dialogue for Mysql {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Outcome> {
        for byte in bytes {
            if self.kept.len() < MOST {
                self.kept.push(*byte);
            }
            self.count = self.count.saturating_add(1);
            let outcome = self.packet(out);
            if outcome.is_some() {
                return outcome;
            }
        }
        None
    }

    fn end(&mut self) -> Outcome {
        match self.kept.as_slice() {
            [_, _, 0, 0, 10 | 255, ..] => not_yet(Protocol::Mysql, DatabaseAnswer::Closed),
            first => ended(Protocol::Mysql, first),
        }
    }
}

impl Mysql {
    /// Judges the first packet so far.
    fn packet(&self, out: &mut Vec<u8>) -> Option<Outcome> {
        let [low, high, top, number, body @ ..] = self.kept.as_slice() else {
            return None;
        };
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let kind = body.first()?;
        if *top != 0 || *number != 0 || !matches!(kind, 9 | 10 | 255) || length < HEADER {
            return stranger(Protocol::Mysql, &self.kept);
        }
        // All of it is read, because unread bytes would make the kernel reset the connection.
        if self.count < length.saturating_add(HEADER) {
            return None;
        }
        let body = body.get(..length).unwrap_or(body);
        match body {
            // The text of the server's version ends with NUL.
            [10, rest @ ..] if rest.contains(&0) => {
                out.extend_from_slice(FAREWELL);
                Some(Outcome::Pass)
            }
            [9, rest @ ..] if rest.contains(&0) => {
                Some(not_yet(Protocol::Mysql, DatabaseAnswer::Version(9)))
            }
            [255, low, high, words @ ..] => {
                let code = u16::from_le_bytes([*low, *high]);
                // An SQLSTATE has a # before it.
                let words = match words {
                    [b'#', _, _, _, _, _, rest @ ..] => rest,
                    _ => words,
                };
                let code = format!("error {code}: ").into_bytes();
                Some(refuses(Protocol::Mysql, &[&code, words].concat()))
            }
            _ => stranger(Protocol::Mysql, &self.kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::database::tests::{
        closed, ends_with, is_bounded, never_panics, says, silent, speaks,
    };
    use super::super::outcome::{DatabaseAnswer, Outcome, Reason};
    use super::super::protocol::Protocol as P;
    use super::{FAREWELL, Mysql};
    use proptest::prelude::*;

    /// What MariaDB 10.11 sends.
    const GREETING: &[u8] =
        b"\n5.5.5-10.11.19-MariaDB-0+deb12u1\0\xf0\x01\0\0?#1lN!Yz\0\xfe\xf7\x08\
        \x02\0\xff\x81\x15\0\0\0\0\0\0\x1d\0\0\0{|zpB:9QlJlb\0mysql_native_password\0";

    fn packet(number: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        [&length[..3], &[number], body].concat()
    }

    fn outcome(bytes: &[u8], farewell: &[u8]) -> Option<Outcome> {
        ends_with::<Mysql>(bytes, farewell)
    }

    #[test]
    fn the_farewell_is_two_whole_packets() {
        let length = usize::from(FAREWELL[0]);
        assert_eq!(FAREWELL[1..4], [0, 0, 1]);
        assert_eq!(FAREWELL[4 + length..], [0, 0, 0, 3]);
        assert!(FAREWELL[4 + 32..].starts_with(b"podgate\0\0mysql_native_password\0"));
    }

    #[test]
    fn a_greeting_passes_when_all_of_it_has_arrived() {
        let bytes = packet(0, GREETING);
        assert_eq!(outcome(&bytes, FAREWELL), Some(Outcome::Pass));
        assert_eq!(outcome(&bytes[..bytes.len() - 1], b""), None);
        assert_eq!(silent::<Mysql>(&bytes[..bytes.len() - 1]), closed(P::Mysql));
        // With a long version.
        let long = [b"\n", &[b'8'; 300][..], &[0; 300]].concat();
        assert_eq!(outcome(&packet(0, &long), FAREWELL), Some(Outcome::Pass));
    }

    #[test]
    fn an_error_in_place_of_the_greeting_is_not_yet_with_its_words() {
        for (body, expected) in [
            (
                &b"\xff\x10\x04Too many connections"[..],
                "error 1040: Too many connections",
            ),
            (
                b"\xff\x10\x04#08004Too many connections",
                "error 1040: Too many connections",
            ),
            (
                b"\xffi\x04Host '192.0.2.2' is blocked because of many connection errors",
                "error 1129: Host '192.0.2.2' is blocked because of many connection errors",
            ),
        ] {
            assert_eq!(
                outcome(&packet(0, body), b""),
                Some(says(P::Mysql, expected))
            );
        }
    }

    #[test]
    fn another_version_or_another_server_is_named() {
        let nine = Outcome::NotYet(Reason::Database(P::Mysql, DatabaseAnswer::Version(9)));
        assert_eq!(
            outcome(&packet(0, b"\x093.20.1\0\x01\0\0\0"), b""),
            Some(nine)
        );
        let hello = b"\x05\0\0\0\x0b\x08\x05\x1a\0";
        assert_eq!(outcome(hello, b""), Some(speaks(P::Mysql, P::MysqlX)));
        assert_eq!(
            outcome(b"SSH-2.0-x\r\n", b""),
            Some(speaks(P::Mysql, P::Ssh))
        );
        let error = b"E\0\0\0\x50SFATAL\0";
        assert_eq!(outcome(error, b""), Some(speaks(P::Mysql, P::Postgres)));
        assert_eq!(silent::<Mysql>(b""), closed(P::Mysql));
        // Not the first packet of a connection, and no version.
        assert_ne!(outcome(&packet(1, GREETING), b""), Some(Outcome::Pass));
        assert_ne!(outcome(&packet(0, &[10; 80]), b""), Some(Outcome::Pass));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_nothing_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..700),
            length in 0_u16..700,
            kind in proptest::sample::select(&[9_u8, 10, 255, 0][..]),
        ) {
            never_panics::<Mysql>(&bytes);
            let begun = [&length.to_le_bytes()[..], &[0, 0, kind], &bytes].concat();
            never_panics::<Mysql>(&begun);
            is_bounded(&begun, |talk: &Mysql| talk.kept.capacity());
        }
    }
}
