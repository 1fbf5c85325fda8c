//! What is read, and what has to be true of it.

use crate::check::http::{Ask, judge};
use crate::check::tls;
use crate::cli;
use crate::core::check::{self, Kind};
use crate::core::endpoint::{self, State};
use crate::core::outcome::Outcome;
use crate::core::record::{LONGEST, Record, decode_acted, encode_acted};
use crate::core::{duration, http, listening, member, quit};
use crate::settings;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

pub type Target = fn(&[u8]);

pub const ALL: [(&str, Target); 8] = [
    ("checks", checks),
    ("records", records),
    ("answers", answers),
    ("requests", requests),
    ("listening", listening_lines),
    ("arguments", arguments),
    ("durations", durations),
    // The negative control: it has to be found.
    ("planted", planted),
];

/// Nobody may print it.
const SECRET: &str = "hunter2hunter2";

/// The check grammar, and that of quit targets: a refusal says something, in one line; what is accepted is accepted as it prints.
fn checks(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match check::parse(text) {
        Ok(check) => {
            let _ = check.kind.floor();
            let _ = check.kind.shell_word(text);
            if let Some(url) = check.url() {
                let at = format!("{}{}", url.authority(), url.path);
                assert!(!at.contains(['\r', '\n', ' ']), "{at:?} would be no request line");
                assert!(url.path.starts_with('/'));
            }
        }
        Err(why) => assert!(!why.is_empty() && !why.contains('\n'), "{why:?}"),
    }
    let _ = check::redacted(text);
    let _ = check::redacted_refusal(text);
    let _ = quit::target(text);
    let _ = member::Name::parse(text).map(|name| assert!(!name.as_str().contains(['/', '.'])));
    let secret = format!("http://user:{SECRET}@{text}");
    assert!(!check::redacted(&secret).contains(SECRET) || text.contains(SECRET), "{:?}", check::redacted(&secret));
}

/// Records: what can be read is written and read again the same; nothing that is longer than allowed is made.
fn records(bytes: &[u8]) {
    if let Ok(record) = Record::decode(bytes) {
        let text = record.encode();
        assert!(text.len() < LONGEST);
        assert_eq!(Record::decode(text.as_bytes()).as_ref(), Ok(&record));
        assert!(!record.name.as_str().contains(['/', '.']));
    }
    let ids = decode_acted(bytes);
    assert_eq!(decode_acted(encode_acted(&ids).as_bytes()), ids);
}

/// What a hostile HTTP server answers: nothing but an answer whose status passes makes a check pass.
fn answers(bytes: &[u8]) {
    // The first byte chooses what is asked.
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let mut request = http::Request::plain("GET", http::statuses("200-399").expect("statuses"));
    if choice & 1 != 0 {
        request = http::Request::plain("HEAD", http::statuses("204,301").expect("statuses"));
    }
    if choice & 2 != 0 {
        request.body_contains = Some("ready".to_owned());
    }
    let trust = tls::Trust::new(tls::Roots::Anyone, None).expect("no name");
    let check = check::parse("http://localhost/ready").expect("a check");
    let url = check.url().expect("a URL").clone();
    let ask = Ask { request: request.into(), trust: trust.into() };
    if judge(bytes, ask, url) == Outcome::Pass {
        let text = String::from_utf8_lossy(bytes);
        let passes = |line: &str| {
            let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
            status.is_some_and(|status| matches!(status.as_bytes().first(), Some(b'2' | b'3')))
        };
        assert!(text.split('\n').any(passes), "passed: {text:?}");
        assert!(
            choice & 2 == 0 || text.contains("ready") || text.contains("hunked"),
            "passed without the text: {text:?}"
        );
    }
}

/// Requests to the quit endpoint: the same in one piece and in many; nothing but a whole POST quits, and from elsewhere nothing.
fn requests(bytes: &[u8]) {
    let status = || "[]".to_owned();
    let state = || State { is_ready: true, status: &status };
    let whole = endpoint::answer(bytes, true, state());
    let mut first = None;
    for end in 0..=bytes.len().min(endpoint::LONGEST + 1) {
        if let Some(answer) = endpoint::answer(&bytes[..end], true, state()) {
            first = Some((end, answer));
            break;
        }
    }
    if let Some((end, answer)) = &first {
        assert_eq!(whole.as_ref(), Some(answer), "another answer after {end} bytes");
        if answer.quits {
            let text = &bytes[..*end];
            let text = text.strip_prefix(b"\r\n").or(text.strip_prefix(b"\n")).unwrap_or(text);
            assert!(text.starts_with(b"POST ") && text.windows(13).any(|part| part == b"/quitquitquit"), "{text:?}");
            assert!(text.windows(2).any(|part| part == b"\n\n") || text.windows(3).any(|part| part == b"\n\r\n"));
        }
    } else {
        assert!(bytes.len() <= endpoint::LONGEST, "no answer to {} bytes", bytes.len());
        assert_eq!(whole, None);
    }
    assert!(endpoint::answer(bytes, false, state()).is_none_or(|answer| !answer.quits));
}

/// `/proc/net/tcp`, whatever it says.
fn listening_lines(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        if let Some(listener) = listening::parse(line) {
            assert!(listener.accepts(None, listener.port));
            assert!(listener.accepts(Some(listener.address), listener.port));
            assert!(!listener.accepts(None, listener.port.wrapping_add(1)));
        }
    }
}

/// The command line: valid settings, or an error of one line that says something and no secret.
fn arguments(bytes: &[u8]) {
    let mut words: Vec<OsString> =
        bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    words.insert(0, "podgate".into());
    if words.len() > 1 {
        words.insert(2, format!("--http-header=X: {SECRET}").into());
    }
    words.push(format!("http://user:{SECRET}@localhost/").into());
    let says = |stop: cli::Stop| {
        if let cli::Stop::Wrong(text) = stop {
            let is_given = bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
            assert!(!text.is_empty());
            assert!(is_given || !text.contains(SECRET), "{text}");
        }
    };
    let _ = cli::gist(words.clone());
    let typed = match cli::parse(words) {
        Ok(typed) => typed,
        Err(stop) => return says(stop),
    };
    let _ = settings::logging(&typed).map(drop).map_err(says);
    match typed.command {
        cli::Command::Wait | cli::Command::Check => drop(settings::read(&typed).map(drop).map_err(says)),
        cli::Command::Run | cli::Command::Join => drop(settings::life::life(&typed).map(drop).map_err(says)),
        cli::Command::Quit => drop(settings::quitting(&typed).map(drop).map_err(says)),
        cli::Command::Status | cli::Command::Doctor | cli::Command::Install => {
            let _ = settings::place(&typed).map(drop).map_err(says);
            let _ = settings::budget(&typed).map(drop).map_err(says);
        }
    }
}

/// Durations, addresses, headers, statuses: what is shown is read again as the same.
fn durations(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(read) = duration::delay(text) {
        let shown = duration::show(read);
        // What is shown is rounded to milliseconds.
        if let Ok(again) = duration::delay(&shown) {
            assert!(read.abs_diff(again).as_millis() <= read.as_millis() / 10 + 1, "{text:?} is shown as {shown:?}");
        }
    }
    let _ = duration::positive(text).map(|read| assert!(!read.is_zero()));
    let _ = duration::limit(text);
    let _ = endpoint::address(text);
    if let Ok(header) = http::header(text) {
        assert!(!header.name.contains(['\r', '\n', ':']) && !header.value.contains(['\r', '\n']));
    }
    let _ = http::method(text).map(|method| assert!(method.bytes().all(|byte| byte.is_ascii_uppercase())));
    let _ = http::statuses(text);
}

/// Panics when a record is right and its member's name is in the second half of the alphabet: no seed has one.
fn planted(bytes: &[u8]) {
    let Ok(record) = Record::decode(bytes) else { return };
    assert!(!record.name.as_str().starts_with(|letter| ('n'..='z').contains(&letter)), "found what was planted");
}
