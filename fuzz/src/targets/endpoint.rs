//! The answers of the quit endpoint. A request stops the container if and only if a second reading
//! of RFC 9112 agrees. It makes no difference whether the request arrives in one piece or in many.
//! A client on another host never stops the container.

use crate::input::{expanded, pieces};
use crate::is_planted;
use podgate::core::endpoint::{Answer, LONGEST, State, answer};

pub(crate) fn run(bytes: &[u8]) {
    let bytes = &expanded(bytes)[..];
    let near = asked(bytes, true);
    let far = asked(bytes, false);
    let mut quits = near.as_ref().is_some_and(|it| it.quits);
    if is_planted() && bytes.ends_with(b"\n\n") && contains(bytes, b"/quitquitquit") {
        quits = near.is_some();
    }
    assert_eq!(
        quits,
        is_request_to_quit(bytes),
        "{:?}",
        String::from_utf8_lossy(bytes)
    );
    assert!(far.as_ref().is_none_or(|it| !it.quits));
    assert_eq!(near.is_some(), far.is_some());
    for it in near.iter().chain(&far) {
        is_whole(it, bytes);
    }
    for most in [1, 7, 100, 3000] {
        // Each piece is read together with all earlier ones, as the endpoint does.
        if bytes.len() > most * 100 {
            continue;
        }
        let mut come = Vec::new();
        let first = pieces(bytes, most).into_iter().find_map(|piece| {
            come.extend_from_slice(piece);
            asked(&come, true)
        });
        assert_eq!(first, near, "in pieces of up to {most}");
    }
}

/// For planted bugs.
pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|it| it == part)
}

pub(crate) fn asked(bytes: &[u8], is_local: bool) -> Option<Answer> {
    answer(bytes, is_local, state())
}

pub(crate) fn state() -> State<'static> {
    State {
        is_ready: true,
        status: &|| "{\"state\":\"ready\"}".to_owned(),
    }
}

/// The body of an answer has the length that its head names. The answer to a valid quit request is
/// a 200.
fn is_whole(answer: &Answer, request: &[u8]) {
    let text = std::str::from_utf8(&answer.bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let length = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .expect("a length");
    let is_head = request.trim_ascii_start().starts_with(b"HEAD ") && body.is_empty();
    assert!(is_head || length == body.len().to_string(), "{text}");
    assert!(
        !answer.quits || text.starts_with("HTTP/1.1 200 OK\r\n"),
        "{text}"
    );
}

/// A complete `POST /quitquitquit` at the beginning, with a head that RFC 9112 allows. Written
/// independently of podgate, from the RFC and the endpoint's documentation.
pub(crate) fn is_request_to_quit(bytes: &[u8]) -> bool {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let text = text
        .strip_prefix("\r\n")
        .or_else(|| text.strip_prefix('\n'))
        .unwrap_or(&text);
    let mut lines = Vec::new();
    let mut rest = text;
    loop {
        let Some((line, after)) = rest.split_once('\n') else {
            return false;
        };
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.contains(|it: char| it.is_ascii_control() && it != '\t') {
            return false;
        }
        rest = after;
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let Some((first, headers)) = lines.split_first() else {
        return false;
    };
    let [method, target, version] = first.split(' ').collect::<Vec<_>>()[..] else {
        return false;
    };
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
        None => target,
    };
    let is_it = path == "/quitquitquit" || path.starts_with("/quitquitquit?");
    let version = version
        .strip_prefix("HTTP/1.")
        .is_some_and(|it| it.len() == 1 && it.as_bytes()[0].is_ascii_digit());
    if method != "POST" || !is_it || !version {
        return false;
    }
    let is_token = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|it| it.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(it))
    };
    let mut lengths = Vec::new();
    for header in headers {
        let Some((name, value)) = header.split_once(':').filter(|(name, _)| is_token(name)) else {
            return false;
        };
        match name.to_ascii_lowercase().as_str() {
            "transfer-encoding" => return false,
            "content-length" => {
                let value = value.trim_matches([' ', '\t']);
                if value.is_empty() || !value.chars().all(|it| it.is_ascii_digit()) {
                    return false;
                }
                lengths.push(value.parse::<usize>().unwrap_or(usize::MAX));
            }
            _ => {}
        }
    }
    lengths.dedup();
    lengths.len() < 2
        && lengths
            .first()
            .is_none_or(|length| *length <= rest.chars().count())
}
