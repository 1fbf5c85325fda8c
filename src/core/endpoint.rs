//! The decisions of the quit endpoint (P7.8, `--listen`): how a request is answered, and whether
//! CMD is to quit.
//!
//! Only a complete request counts: its head, and as many bytes of body as it announces. This reads
//! as much of HTTP/1 (RFC 9112) as such requests need. It is strict where leniency allows request
//! smuggling: folded lines, a space before a colon, two lengths and transfer codings are refused.
//! httparse reads the headers; the rules on top of it are here. An answer depends on the bytes
//! alone, and not on the pieces in which they arrive.
//!
//! | | from this container's pod, by loopback | from elsewhere |
//! | --- | --- | --- |
//! | POST /quitquitquit | 200, and quits | 403 |
//! | any other method on it | 405 | 405 |
//! | GET, HEAD /ready | 200, or 503 | the same |
//! | GET, HEAD /status | 200 with JSON | the same |
//! | any other method on these | 405 | 405 |
//! | anything else | 404 | 404 |

use super::digits;
use super::http::is_token;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The longest request in bytes, its body included.
pub const LONGEST: usize = 8 * 1024;

/// The state that the answers report.
#[derive(Clone, Copy)]
pub struct State<'a> {
    pub is_ready: bool,
    /// Makes the JSON of `/status`. It is called only for a request of it.
    pub status: &'a dyn Fn() -> String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Head and body.
    pub bytes: Vec<u8>,
    /// Whether CMD is to quit.
    pub quits: bool,
}

/// The status of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    LengthRequired,
    ContentTooLarge,
    HeadersTooLarge,
    ServiceUnavailable,
    VersionNotSupported,
}

impl Status {
    const fn line(self) -> (u16, &'static str) {
        match self {
            Self::Ok => (200, "OK"),
            Self::BadRequest => (400, "Bad Request"),
            Self::Forbidden => (403, "Forbidden: only a request by loopback quits"),
            Self::NotFound => (404, "Not Found"),
            Self::MethodNotAllowed => (405, "Method Not Allowed"),
            Self::RequestTimeout => (408, "Request Timeout"),
            Self::LengthRequired => (411, "Length Required"),
            Self::ContentTooLarge => (413, "Content Too Large"),
            Self::HeadersTooLarge => (431, "Request Header Fields Too Large"),
            Self::ServiceUnavailable => (503, "Service Unavailable"),
            Self::VersionNotSupported => (505, "HTTP Version Not Supported"),
        }
    }
}

/// Why the bytes are not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// It is not complete yet.
    More,
    /// Answer with this status.
    Refuse(Status),
}

/// Answers a request. `None`: it is not complete yet. `is_local`: it came by the loopback
/// interface.
pub fn answer(bytes: &[u8], is_local: bool, state: State<'_>) -> Option<Answer> {
    match request(bytes) {
        Err(Stop::More) => None,
        Err(Stop::Refuse(status)) => Some(reply(status, None, false)),
        Ok((method, path)) => Some(reply_to(method, path, is_local, state)),
    }
}

/// The answer to a client that was too slow.
pub fn too_slow() -> Answer {
    reply(Status::RequestTimeout, None, false)
}

fn reply_to(method: &[u8], path: &[u8], is_local: bool, state: State<'_>) -> Answer {
    let is_head = method == b"HEAD";
    let reads = is_head || method == b"GET";
    match path {
        b"/quitquitquit" if method == b"POST" && is_local => Answer {
            quits: true,
            ..reply(Status::Ok, None, false)
        },
        b"/quitquitquit" if method == b"POST" => reply(Status::Forbidden, None, false),
        b"/quitquitquit" => reply(Status::MethodNotAllowed, Some("Allow: POST"), is_head),
        b"/ready" | b"/status" if !reads => {
            reply(Status::MethodNotAllowed, Some("Allow: GET, HEAD"), is_head)
        }
        b"/ready" if state.is_ready => reply(Status::Ok, None, is_head),
        b"/ready" => reply(Status::ServiceUnavailable, None, is_head),
        b"/status" => full(
            Status::Ok,
            Some("Content-Type: application/json"),
            (state.status)().trim_end(),
            is_head,
        ),
        _ => reply(Status::NotFound, None, is_head),
    }
}

fn reply(status: Status, header: Option<&str>, is_head: bool) -> Answer {
    full(status, header, "", is_head)
}

/// An answer with this body. If the body is empty, it is the words of the status.
fn full(status: Status, header: Option<&str>, body: &str, is_head: bool) -> Answer {
    let (code, words) = status.line();
    let body = if body.is_empty() { words } else { body };
    let (header, end) = header.map_or(("", ""), |header| (header, "\r\n"));
    let length = body.len().saturating_add(1);
    let mut text = format!(
        "HTTP/1.1 {code} {words}\r\nContent-Length: {length}\r\nConnection: close\r\n\
         {header}{end}\r\n"
    );
    if !is_head {
        text.push_str(body);
        text.push('\n');
    }
    Answer {
        bytes: text.into_bytes(),
        quits: false,
    }
}

/// Reads a request: method and path.
fn request(bytes: &[u8]) -> Result<(&[u8], &[u8]), Stop> {
    let known = bytes.get(..LONGEST).unwrap_or(bytes);
    let more = if bytes.len() > LONGEST {
        Stop::Refuse(Status::HeadersTooLarge)
    } else {
        Stop::More
    };
    // RFC 9112, 2.2: an empty line before the request is skipped. One is enough.
    let start = known
        .strip_prefix(b"\r\n")
        .or_else(|| known.strip_prefix(b"\n"))
        .unwrap_or(known);
    let (first, rest) = line(start, more)?;
    let (method, path) = request_line(first)?;
    // Each header has a line, and httparse needs room for one more.
    let lines = rest.iter().filter(|byte| **byte == b'\n').count();
    let mut headers = vec![httparse::EMPTY_HEADER; lines.saturating_add(1)];
    let head = match httparse::parse_headers(rest, &mut headers) {
        Ok(httparse::Status::Complete((head, _))) => Some(head),
        Ok(httparse::Status::Partial) => None,
        Err(_) => return Err(Stop::Refuse(Status::BadRequest)),
    };
    // The headers of an incomplete head are there already, and a wrong length is refused at once.
    let body = body_length(headers.iter().take_while(|header| !header.name.is_empty()))?;
    let body_so_far = head.and_then(|head| rest.get(head..)).ok_or(more)?;
    let length = body.ok_or(Stop::Refuse(Status::LengthRequired))?;
    let before = known.len().saturating_sub(body_so_far.len());
    if length > LONGEST.saturating_sub(before) {
        return Err(Stop::Refuse(Status::ContentTooLarge));
    }
    if body_so_far.len() < length {
        Err(Stop::More)
    } else {
        Ok((method, path))
    }
}

/// How many bytes of body the headers announce. `None`: there is a transfer coding, so the number
/// is not known.
fn body_length<'a>(
    headers: impl Iterator<Item = &'a httparse::Header<'a>>,
) -> Result<Option<usize>, Stop> {
    let (mut length, mut has_coding) = (None, false);
    for header in headers {
        has_coding = has_coding || header.name.eq_ignore_ascii_case("transfer-encoding");
        if header.name.eq_ignore_ascii_case("content-length") {
            let this = number(header.value).ok_or(Stop::Refuse(Status::BadRequest))?;
            if length.is_some_and(|length| length != this) {
                return Err(Stop::Refuse(Status::BadRequest));
            }
            length = Some(this);
        }
    }
    Ok(Some(length.unwrap_or(0)).filter(|_| !has_coding))
}

/// The first line without its end, and what follows it. A byte that no line can have is refused
/// before the line has ended: a TLS handshake has no lines.
fn line(bytes: &[u8], more: Stop) -> Result<(&[u8], &[u8]), Stop> {
    let is_text = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    let end = bytes.iter().position(|byte| !is_text(*byte)).ok_or(more)?;
    let (line, tail) = bytes.split_at_checked(end).ok_or(more)?;
    match tail {
        [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] => Ok((line, after)),
        [b'\r'] => Err(more),
        [..] => Err(Stop::Refuse(Status::BadRequest)),
    }
}

/// `METHOD TARGET HTTP/1.1`: method and path. httparse accepts 1.0 and 1.1 only, but RFC 9112, 2.3
/// allows every minor version.
fn request_line(line: &[u8]) -> Result<(&[u8], &[u8]), Stop> {
    let bad = Stop::Refuse(Status::BadRequest);
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad);
    };
    let [
        b'H',
        b'T',
        b'T',
        b'P',
        b'/',
        major @ b'0'..=b'9',
        b'.',
        b'0'..=b'9',
    ] = version
    else {
        return Err(bad);
    };
    if !is_token(method) {
        return Err(bad);
    }
    let path = match target {
        [b'/', ..] | b"*" => target,
        // A client that takes podgate for a proxy sends a full URL (RFC 9112, 3.2.2).
        [..] => {
            let rest = target.strip_prefix(b"http://").ok_or(bad)?;
            let slash = rest.iter().position(|byte| *byte == b'/');
            slash
                .and_then(|slash| rest.get(slash..))
                .unwrap_or_default()
        }
    };
    if *major != b'1' {
        return Err(Stop::Refuse(Status::VersionNotSupported));
    }
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    Ok((method, path))
}

/// Digits only. A number that does not fit is the largest one.
fn number(text: &[u8]) -> Option<usize> {
    let digits = str::from_utf8(text).ok()?;
    digits::are_all(text).then(|| digits.parse().unwrap_or(usize::MAX))
}

/// Whether a connection came by the loopback interface. Both of its ends must have a loopback
/// address: a mesh's proxy forwards requests from outside with a loopback source address (Istio's
/// is 127.0.0.6) to the pod's own address.
pub fn is_local(peer: IpAddr, own: IpAddr) -> bool {
    [peer, own]
        .iter()
        .all(|address| address.to_canonical().is_loopback())
}

/// Reads the value of `--listen`.
///
/// # Errors
/// The cause and a right example.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let read = digits::number(port)
        .map(local)
        .or_else(|| text.parse().ok());
    read.filter(|address| address.port() > 0).ok_or_else(|| {
        "is not an address to listen on; use 127.0.0.1:9099, [::1]:9099, or :9099 for 127.0.0.1"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::{Answer, LONGEST, State, address, answer, is_local};
    use proptest::prelude::*;

    fn asked(bytes: &[u8], is_local: bool) -> Option<Answer> {
        answer(
            bytes,
            is_local,
            State {
                is_ready: true,
                status: &|| "{\"state\":\"ready\"}".to_owned(),
            },
        )
    }

    fn status(answer: &Answer) -> u16 {
        String::from_utf8_lossy(&answer.bytes)[9..12]
            .parse()
            .expect("a status")
    }

    #[track_caller]
    fn status_of(text: &str) -> u16 {
        status(&asked(text.as_bytes(), true).expect("an answer"))
    }

    #[test]
    fn each_path_and_method_has_its_status() {
        for (line, near, far) in [
            ("POST /quitquitquit", 200, 403),
            ("POST /quitquitquit?now", 200, 403),
            ("POST http://localhost:9099/quitquitquit", 200, 403),
            ("GET /quitquitquit", 405, 405),
            ("HEAD /quitquitquit", 405, 405),
            ("PUT /quitquitquit", 405, 405),
            ("post /quitquitquit", 405, 405),
            ("GET /ready", 200, 200),
            ("HEAD /ready", 200, 200),
            ("POST /ready", 405, 405),
            ("GET /status", 200, 200),
            ("DELETE /status", 405, 405),
            ("GET /", 404, 404),
            ("POST /quitquitquit/", 404, 404),
            ("POST /QUITQUITQUIT", 404, 404),
            ("OPTIONS *", 404, 404),
            ("GET http://localhost", 404, 404),
        ] {
            let text = format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
            let near_answer = asked(text.as_bytes(), true).expect(line);
            let far_answer = asked(text.as_bytes(), false).expect(line);
            assert_eq!(
                (status(&near_answer), status(&far_answer)),
                (near, far),
                "{line}"
            );
            assert_eq!(
                near_answer.quits,
                line.starts_with("POST") && near == 200,
                "{line}"
            );
            assert!(!far_answer.quits, "{line}");
        }
    }

    #[test]
    fn an_answer_has_a_head_and_a_body() {
        let text = |line: &str| {
            let answer = asked(format!("{line} HTTP/1.0\n\n").as_bytes(), true).expect(line);
            String::from_utf8(answer.bytes).expect("text")
        };
        assert_eq!(
            text("GET /ready"),
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nOK\n"
        );
        assert_eq!(
            text("HEAD /ready"),
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
        );
        assert!(
            text("GET /status")
                .ends_with("Content-Type: application/json\r\n\r\n{\"state\":\"ready\"}\n")
        );
        assert!(text("GET /quitquitquit").contains("\r\nAllow: POST\r\n"));
        assert!(text("POST /status").contains("\r\nAllow: GET, HEAD\r\n"));
        let state = State {
            is_ready: false,
            status: &String::new,
        };
        assert_eq!(
            status(&answer(b"GET /ready HTTP/1.1\r\n\r\n", false, state).expect("an answer")),
            503
        );
    }

    #[test]
    fn only_a_complete_request_counts() {
        for text in [
            "",
            "\r\n",
            "POST",
            "POST /quitquitquit HTTP/1.1\r\n",
            "POST /quitquitquit HTTP/1.1\r\nHost: x\r\n",
            "POST /quitquitquit HTTP/1.1\r\nHost: x\r\n\r",
            "POST /quitquitquit HTTP/1.1\r\nContent-Length: 3\r\n\r\nab",
        ] {
            assert_eq!(asked(text.as_bytes(), true), None, "{text:?}");
        }
        assert_eq!(
            status_of("POST /quitquitquit HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
            200
        );
        assert_eq!(
            status_of("POST /quitquitquit HTTP/1.1\r\nContent-Length: 1\r\n\r\nabc"),
            200
        );
        assert_eq!(status_of("\r\nPOST /quitquitquit HTTP/1.0\r\n\r\n"), 200);
    }

    #[test]
    fn a_text_that_is_not_a_request_is_refused_with_its_status() {
        let post = "POST /quitquitquit HTTP/1.1\r\n";
        for (text, expected) in [
            (
                format!("{post}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                411,
            ),
            (
                format!("{post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
                411,
            ),
            (
                format!("{post}Content-Length: 3\r\nContent-Length: 4\r\n"),
                400,
            ),
            (format!("{post}Content-Length: 3, 3\r\n"), 400),
            (format!("{post}Content-Length: +3\r\n"), 400),
            (format!("{post}Content-Length: -1\r\n"), 400),
            (format!("{post}Content-Length:\r\n"), 400),
            (format!("{post}Content-Length: 8192\r\n\r\n"), 413),
            (
                format!("{post}Content-Length: 99999999999999999999999\r\n\r\n"),
                413,
            ),
            (
                format!("{post}Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
                200,
            ),
            (format!("{post}Host : x\r\n"), 400),
            (format!("{post} folded\r\n"), 400),
            (format!("{post}nocolon\r\n"), 400),
            (format!("{post}A: b\rc\r\n"), 400),
            (format!("{post}A: b\0"), 400),
            ("\x16\x03\x01\x02".to_owned(), 400),
            ("GET\r\n".to_owned(), 400),
            ("GET /ready\r\n".to_owned(), 400),
            ("GET  /ready HTTP/1.1\r\n".to_owned(), 400),
            ("GET ready HTTP/1.1\r\n".to_owned(), 400),
            ("GET /ready HTTP/1.1 \r\n".to_owned(), 400),
            ("G(T /ready HTTP/1.1\r\n".to_owned(), 400),
            ("PRI * HTTP/2.0\r\n".to_owned(), 505),
            ("\r\n\r\nGET /ready HTTP/1.1\r\n".to_owned(), 400),
            (format!("GET /{}", "a".repeat(LONGEST)), 431),
            (format!("{post}A: {}", "a".repeat(LONGEST)), 431),
        ] {
            let found =
                asked(text.as_bytes(), true).unwrap_or_else(|| panic!("no answer to {text:?}"));
            assert_eq!(
                (status(&found), found.quits),
                (expected, expected == 200),
                "{text:?}"
            );
        }
        let longest = format!("{post}A: {}\r\n\r\n", "a".repeat(LONGEST - post.len() - 7));
        assert_eq!((longest.len(), status_of(&longest)), (LONGEST, 200));
    }

    #[test]
    fn a_connection_is_local_if_both_ends_are_loopback_addresses() {
        for (peer, own, local) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1", true),
            ("::1", "::1", true),
            ("10.0.0.7", "10.0.0.7", false),
            ("127.0.0.6", "10.0.0.7", false),
            ("::ffff:10.0.0.7", "::ffff:127.0.0.1", false),
        ] {
            assert_eq!(
                is_local(peer.parse().unwrap(), own.parse().unwrap()),
                local,
                "{peer} {own}"
            );
        }
    }

    #[test]
    fn a_port_alone_is_on_the_loopback_address() {
        for (text, expected) in [
            ("9099", "127.0.0.1:9099"),
            (":9099", "127.0.0.1:9099"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:1", "[::1]:1"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::]:1", "[::]:1"),
        ] {
            assert_eq!(address(text), Ok(expected.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            ":",
            "0",
            ":0",
            "65536",
            "127.0.0.1",
            "127.0.0.1:0",
            "localhost:1",
            "::1:9099",
            "*:1",
            "+1",
            " 1",
        ] {
            assert!(
                address(text).is_err_and(|error| error.contains("use 127.0.0.1:9099")),
                "{text}"
            );
        }
    }

    /// Requests, and texts that are nearly requests.
    fn nearly_a_request() -> impl Strategy<Value = Vec<u8>> {
        let line = "(GET|POST|HEAD|PRI|g t) \
                    (/ready|/status|/quitquitquit|\\*|http://a/ready|x)(\\?a)? HTTP/[12]\\.[01]";
        let header = prop_oneof![
            "(Host|A|Content-Type): [a-z]{0,5}",
            "Content-Length: [0-9]{1,5}",
            "[Cc]ontent-length:[0-9]",
            "Transfer-Encoding: chunked",
            "[ -~]{0,12}",
        ];
        let end = prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")];
        (
            line,
            proptest::collection::vec((header, end.clone()), 0..5),
            end,
            proptest::collection::vec(any::<u8>(), 0..12),
            0_usize..9000,
        )
            .prop_map(|(line, headers, end, body, padding)| {
                let mut text = format!("{line}{end}");
                headers
                    .iter()
                    .for_each(|(header, end)| text.push_str(&format!("{header}{end}")));
                if padding > 7500 {
                    text.push_str(&format!("P: {}\r\n", "p".repeat(padding)));
                }
                [text.as_bytes(), end.as_bytes(), &body].concat()
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn the_pieces_in_which_a_request_arrives_make_no_difference(bytes in nearly_a_request()) {
            let whole = asked(&bytes, true);
            let pieces = (0..=bytes.len()).find_map(|end| asked(&bytes[..end], true));
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn no_bytes_make_it_panic_and_no_remote_request_quits(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            request in nearly_a_request(),
        ) {
            prop_assert!(asked(&bytes, true).is_none_or(|answer| !answer.quits));
            prop_assert!(asked(&request, false).is_none_or(|answer| !answer.quits));
            let quits = asked(&request, true).is_some_and(|answer| answer.quits);
            prop_assert!(!quits || request.starts_with(b"POST "));
        }
    }
}
