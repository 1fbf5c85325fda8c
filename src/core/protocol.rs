//! What a server speaks, by the first bytes of its answer. It names the cause where a port is asked
//! by the wrong protocol.

/// A protocol that servers of pods speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tls,
    Http,
    Http2,
    Redis,
    Ssh,
    Smtp,
    Ftp,
    /// Both greet with `220`.
    SmtpOrFtp,
    Pop3,
    Imap,
    Mysql,
    /// The X protocol of MySQL, on port 33060.
    MysqlX,
    Postgres,
    Memcached,
    Amqp,
    Nats,
}

/// The first words of protocols of text. Each is a whole word or ends with a character that no
/// other protocol sends there.
const WORDS: &[(&[u8], Protocol)] = &[
    (b"HTTP/", Protocol::Http),
    (b"SSH-", Protocol::Ssh),
    (b"-ERR ", Protocol::Redis),
    (b"-DENIED ", Protocol::Redis),
    (b"-NOAUTH ", Protocol::Redis),
    (b"-LOADING ", Protocol::Redis),
    (b"-MISCONF ", Protocol::Redis),
    (b"-NOPERM ", Protocol::Redis),
    (b"+PONG\r", Protocol::Redis),
    (b"+OK ", Protocol::Pop3),
    (b"+OK\r", Protocol::Pop3),
    (b"* OK ", Protocol::Imap),
    (b"* PREAUTH ", Protocol::Imap),
    (b"ERROR\r\n", Protocol::Memcached),
    (b"CLIENT_ERROR ", Protocol::Memcached),
    (b"SERVER_ERROR ", Protocol::Memcached),
    (b"AMQP\x00", Protocol::Amqp),
    (b"INFO {", Protocol::Nats),
    (b"-ERR 'Unknown", Protocol::Nats),
];

/// The protocol of the server that sent these bytes first. `None` if they are too few, or from
/// another protocol.
pub fn of(bytes: &[u8]) -> Option<Protocol> {
    // NATS and Redis begin alike, so the longest word decides.
    let word = WORDS
        .iter()
        .filter(|(word, _)| bytes.starts_with(word))
        .max_by_key(|(word, _)| word.len());
    if let Some((_, found)) = word {
        return Some(*found);
    }
    if let Some(rest) = bytes
        .strip_prefix(b"220 ")
        .or_else(|| bytes.strip_prefix(b"220-"))
    {
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let has = |word: &[u8]| {
            line.windows(word.len())
                .any(|it| it.eq_ignore_ascii_case(word))
        };
        return match (has(b"smtp"), has(b"ftp"), rest.contains(&b'\n')) {
            (true, _, _) => Some(Protocol::Smtp),
            (false, true, true) => Some(Protocol::Ftp),
            (false, false, true) => Some(Protocol::SmtpOrFtp),
            (false, _, false) => None,
        };
    }
    match bytes {
        // A TLS record (RFC 8446, 5.1): an alert or a part of a handshake.
        [21 | 22, 3, 0..=4, _, _, ..] => Some(Protocol::Tls),
        // A frame of HTTP/2 (RFC 9113, 4.1) on stream 0: SETTINGS, PING, GOAWAY.
        [_, _, _, 4 | 6 | 7, 0 | 1, 0, 0, 0, 0, ..] => Some(Protocol::Http2),
        // The notice with which MySQL's X plugin greets.
        [5, 0, 0, 0, 11, 8, 5, 26, 0, ..] => Some(Protocol::MysqlX),
        // A greeting or an error, the first packet of a connection.
        [_, _, 0, 0, 10 | 255, ..] => Some(Protocol::Mysql),
        // An ErrorResponse, whose first field is the severity.
        [b'E', 0, 0, _, _, b'S', ..] => Some(Protocol::Postgres),
        _ => None,
    }
}

/// Whether the body of an HTTP answer reports that the port is for https. These are the words of
/// nginx, Go, Apache, Envoy, Jetty and HAProxy.
pub fn wants_https(status: u16, body: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"plain HTTP request was sent to HTTPS port",
        b"sent an HTTP request to an HTTPS server",
        b"speaking plain HTTP to an SSL-enabled server port",
        b"This combination of host and port requires TLS",
    ];
    let has = |word: &&[u8]| body.windows(word.len()).any(|it| it == *word);
    (status == 400 || status == 497) && WORDS.iter().any(has)
}

#[cfg(test)]
mod tests {
    use super::{Protocol, of, wants_https};
    use proptest::prelude::*;

    #[test]
    fn a_server_is_known_by_its_first_bytes() {
        use Protocol as P;
        for (bytes, expected) in [
            (&b"\x15\x03\x01\x00\x02\x02\x46"[..], Some(P::Tls)),
            (b"\x15\x03\x03\x00\x02", Some(P::Tls)),
            (b"\x16\x03\x03\x00\x7a\x02", Some(P::Tls)),
            (b"\x15\x03", None),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03", Some(P::Http2)),
            (b"\0\0\0\x04\x01\0\0\0\0", Some(P::Http2)),
            (b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0", Some(P::Http2)),
            (b"\0\0\x12\x04\0\0\0\0", None),
            (
                b"-ERR wrong number of arguments for 'get' command\r\n",
                Some(P::Redis),
            ),
            (
                b"-DENIED Redis is running in protected mode",
                Some(P::Redis),
            ),
            (b"-NOAUTH Authentication required.\r\n", Some(P::Redis)),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", Some(P::Ssh)),
            (b"220 mail.example ESMTP Postfix\r\n", Some(P::Smtp)),
            (b"220-mail.example ESMTP\r\n220 x\r\n", Some(P::Smtp)),
            (b"220 ProFTPD Server\r\n", Some(P::Ftp)),
            (b"220 ready\r\n", Some(P::SmtpOrFtp)),
            (b"220 rea", None),
            (b"+OK Dovecot ready.\r\n", Some(P::Pop3)),
            (b"* OK [CAPABILITY IMAP4rev1]\r\n", Some(P::Imap)),
            (b"J\0\0\0\x0a8.0.36\0", Some(P::Mysql)),
            (b"E\0\0\0\xff\x69\x04Too many connections", Some(P::Mysql)),
            (b"\x05\0\0\0\x0b\x08\x05\x1a\0", Some(P::MysqlX)),
            (b"E\0\0\0\x50SFATAL\0", Some(P::Postgres)),
            (b"ERROR\r\n", Some(P::Memcached)),
            (b"AMQP\0\0\x09\x01", Some(P::Amqp)),
            (b"INFO {\"server_id\":\"x\"}\r\n", Some(P::Nats)),
            (b"-ERR 'Unknown Protocol Operation'\r\n", Some(P::Nats)),
            (b"HTTP/1.1 200 OK\r\n", Some(P::Http)),
            (b"hello\r\n", None),
            (b"", None),
        ] {
            assert_eq!(
                of(bytes),
                expected,
                "{:?}",
                bytes.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn a_server_that_asks_for_https_is_known_by_its_words() {
        for (status, body, expected) in [
            (
                400,
                "Client sent an HTTP request to an HTTPS server.\n",
                true,
            ),
            (
                400,
                "<p>The plain HTTP request was sent to HTTPS port</p>",
                true,
            ),
            (
                400,
                "You're speaking plain HTTP to an SSL-enabled server port.",
                true,
            ),
            (
                200,
                "Client sent an HTTP request to an HTTPS server.\n",
                false,
            ),
            (400, "bad request", false),
        ] {
            assert_eq!(wants_https(status, body.as_bytes()), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = of(&bytes);
        }
    }
}
