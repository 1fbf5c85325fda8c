//! A hostile HTTP server. The real client (`probe::request`, with its thread, its connections and
//! its redirects) sends a request over a unix socket; the input is the server's answer.
//!
//! An input is a byte that selects the request and the server's behaviour, and the answers, one for
//! each connection, with `\n====\n` between them.

use super::SECRET;
use crate::input::{expanded, pieces};
use crate::{is_planted, memory};
use nix::sys::socket::{setsockopt, sockopt};
use podgate::core::check::{Kind, parse};
use podgate::core::http::{Header, MOST_HEADERS, MOST_REDIRECTS, Request, Statuses, statuses};
use podgate::core::outcome::{Outcome, Reason};
use podgate::core::trust::{Roots, TrustSpec};
use podgate::core::url::Url;
use podgate::event_loop::{Interest, Poller};
use podgate::message::reason;
use podgate::probe::http::Ask;
use podgate::probe::tls::Trust;
use podgate::probe::{self, Probe, Step};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// More than an attempt ever needs here. Only a slow machine could make a difference.
const PATIENCE: Duration = Duration::from_secs(4);
/// The most memory that one attempt may use: the headers' buffer while it grows, the headers, the
/// body and the request.
const MOST_MEMORY: usize = 400 * 1024;
/// The most that may be read of one answer without chunks, with what the socket buffers.
const MOST_READ: usize = MOST_HEADERS + 64 * 1024;
const BETWEEN: &[u8] = b"\n====\n";
const NEEDLE: &str = "needle";

/// The meaning of the first byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct How(u8);

impl How {
    /// After its last answer the server keeps on sending.
    const fn is_endless(self) -> bool {
        self.0 & 1 != 0
    }
    const fn is_in_pieces(self) -> bool {
        self.0 & 2 != 0
    }
    const fn method(self) -> &'static str {
        match self.0 >> 2 & 3 {
            0 | 1 => "GET",
            2 => "HEAD",
            _ => "POST",
        }
    }
    const fn wants_needle(self) -> bool {
        self.0 & 16 != 0
    }
    const fn wants_some(self) -> bool {
        self.0 & 32 != 0
    }
    /// The part that selects the client's request; the rest is about the server.
    const fn asked(self) -> Self {
        Self(self.0 & 0b0011_1100)
    }

    fn statuses(self) -> Statuses {
        if self.wants_some() {
            statuses("200-204,302,404").expect("statuses")
        } else {
            Statuses::Kubelet
        }
    }

    fn request(self) -> Request {
        let header = Header {
            name: "X-Token".to_owned(),
            value: SECRET.to_owned(),
        };
        let body_contains = self.wants_needle().then(|| NEEDLE.to_owned());
        Request {
            method: self.method().to_owned(),
            headers: vec![header],
            bearer: None,
            pass: self.statuses(),
            body_contains,
        }
    }
}

struct Server {
    listener: UnixListener,
    url: Url,
    /// One probe for each check, used again and again, as in a gate.
    probes: HashMap<How, Box<dyn Probe>>,
}

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

pub(crate) fn run(bytes: &[u8]) {
    let Some((how, answers)) = bytes.split_first() else {
        return;
    };
    let answers = expanded(answers);
    // A reason shows the server's words. If they have the secret, podgate did not leak it.
    if contains(&answers, SECRET.as_bytes()) {
        return;
    }
    SERVER.with_borrow_mut(|server| {
        attempt(server.get_or_insert_with(Server::new), How(*how), &answers)
    });
}

impl Server {
    fn new() -> Self {
        let folder = std::env::var("FUZZ_FOLDER").expect("FUZZ_FOLDER: where the socket may be");
        let path = format!("{folder}/{}.sock", std::process::id());
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a socket");
        listener.set_nonblocking(true).expect("no waiting");
        let text = format!(
            "http+unix://user:{SECRET}@{}/base?query",
            path.replace('/', "%2F")
        );
        let Ok(Kind::Http(url)) = parse(&text).map(|check| check.kind) else {
            panic!("{text}")
        };
        Self {
            listener,
            url,
            probes: HashMap::new(),
        }
    }
}

/// One connection, from the server's side.
struct Talk {
    stream: UnixStream,
    left: Vec<u8>,
    sent: usize,
    is_endless: bool,
    is_sending: bool,
    asked: Vec<u8>,
}

impl Talk {
    fn new(stream: UnixStream, answer: &[u8], is_endless: bool) -> Self {
        stream.set_nonblocking(true).expect("no waiting");
        // A small buffer, so that not much more is sent than was read.
        setsockopt(&stream, sockopt::SndBuf, &4096).expect("a small buffer");
        Self {
            stream,
            left: answer.to_vec(),
            sent: 0,
            is_endless,
            is_sending: true,
            asked: Vec::new(),
        }
    }

    /// Reads the request, and sends as much as possible.
    fn proceed(&mut self, is_in_pieces: bool) {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = self.stream.read(&mut buffer) {
            self.asked.extend_from_slice(&buffer[..count]);
        }
        while self.is_sending {
            if self.left.is_empty() && self.is_endless {
                self.left = vec![b'a'; 4096];
            }
            if self.left.is_empty() {
                self.is_sending = false;
                let _ = self.stream.shutdown(Shutdown::Write);
                return;
            }
            let piece = if is_in_pieces {
                pieces(&self.left, 700)[0].len()
            } else {
                self.left.len()
            };
            match self.stream.write(&self.left[..piece]) {
                Ok(count) => {
                    self.left.drain(..count);
                    self.sent += count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The client has closed the connection.
                Err(_) => self.is_sending = false,
            }
        }
    }
}

fn attempt(server: &mut Server, how: How, answers: &[u8]) {
    let Server {
        listener,
        url,
        probes,
    } = server;
    let request = how.request();
    let probe = probes.entry(how.asked()).or_insert_with(|| {
        let trust = Trust::new(TrustSpec {
            roots: Roots::System,
            server_name: None,
            client: None,
            is_needed: false,
        });
        probe::request(
            url,
            Ask {
                request: Arc::new(request.clone()),
                trust: Arc::new(trust),
            },
        )
    });
    let mut answers = split(answers);
    let mut talks: Vec<Talk> = Vec::new();
    let mut served: Vec<&[u8]> = Vec::new();
    let began = Instant::now();
    let mark = memory::mark();
    let mut own = 0;
    let mut step = probe.start(began + PATIENCE);
    let mut outcome = loop {
        if let Step::Done(outcome) = step {
            break outcome;
        }
        assert!(began.elapsed() < PATIENCE, "no end: {}", talks.len());
        while let Ok((stream, _)) = listener.accept() {
            let answer = if answers.is_empty() {
                &b""[..]
            } else {
                answers.remove(0)
            };
            served.push(answer);
            own += answer.len() + 64 * 1024;
            talks.push(Talk::new(
                stream,
                answer,
                how.is_endless() && answers.is_empty(),
            ));
        }
        talks
            .iter_mut()
            .for_each(|talk| talk.proceed(how.is_in_pieces()));
        let mut poller = Poller::new();
        poller.add(Interest::readable(listener.as_fd()), ());
        for talk in talks.iter().filter(|talk| talk.is_sending) {
            poller.add(Interest::writable(talk.stream.as_fd()), ());
        }
        if let Some(interest) = probe.interest() {
            poller.add(interest, ());
        }
        poller.wait(Some(began + PATIENCE)).expect("a wait");
        step = probe.proceed();
    };
    let most = memory::most_since(mark).saturating_sub(own);
    // A connection that the client gave up at once: a redirect to https, which this build does not
    // support.
    while let Ok((stream, _)) = listener.accept() {
        talks.push(Talk::new(stream, b"", false));
    }
    talks
        .iter_mut()
        .for_each(|talk| talk.proceed(how.is_in_pieces()));
    let status = served.last().and_then(|answer| status(answer));
    if is_planted() && status.is_some_and(|it| it >= 500) {
        outcome = Outcome::Pass;
    }

    assert!(most < MOST_MEMORY, "{most} bytes of memory");
    assert!(
        talks.len() <= 1 + usize::try_from(MOST_REDIRECTS).unwrap(),
        "{} connections",
        talks.len()
    );
    let is_plain = |answer: &[u8]| !contains(answer, b"chunked") && count(answer, b"HTTP/") == 1;
    for (talk, answer) in talks.iter().zip(&served) {
        assert!(
            !is_plain(answer) || talk.sent <= MOST_READ,
            "{} bytes were read",
            talk.sent
        );
        is_one_request(&talk.asked);
    }
    match outcome {
        Outcome::Pass => {
            let answer = served.last().expect("an answer");
            assert!(
                status.is_some_and(|it| request.pass.contain(it)),
                "{status:?} passed"
            );
            assert!(
                !how.wants_needle() || !is_plain(answer) || contains(answer, NEEDLE.as_bytes()),
                "no needle"
            );
        }
        Outcome::NotYet(reason) => {
            let text = reason::text(&reason);
            assert!(
                !text.contains(SECRET) && !text.contains(char::is_control) && text.len() < 300,
                "{text:?}"
            );
            assert!(!matches!(reason, Reason::TimedOut { .. }), "{text}");
        }
        Outcome::Never(reason) => panic!("never: {reason:?}"),
    }
}

fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let Some(at) = bytes.windows(BETWEEN.len()).position(|it| it == BETWEEN) {
        all.push(&bytes[..at]);
        bytes = &bytes[at + BETWEEN.len()..];
    }
    all.push(bytes);
    all
}

fn count(bytes: &[u8], part: &[u8]) -> usize {
    let windows = bytes.windows(part.len());
    windows.filter(|it| *it == part).count()
}

/// Ignores case.
fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes
        .windows(part.len())
        .any(|it| it.eq_ignore_ascii_case(part))
}

/// The status of the first final answer, as Go's net/http sees it.
fn status(mut bytes: &[u8]) -> Option<u16> {
    loop {
        let version = bytes.strip_prefix(b"HTTP/")?;
        let line = version
            .get(3..)
            .filter(|rest| version[1] == b'.' && rest.starts_with(b" "))?
            .trim_ascii_start();
        let status = std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()?;
        if !(100..200).contains(&status) || status == 101 {
            return Some(status);
        }
        let ends = [&b"\r\n\r\n"[..], b"\n\n", b"\n\r\n"];
        let end = ends
            .iter()
            .filter_map(|end| {
                bytes
                    .windows(end.len())
                    .position(|it| it == *end)
                    .map(|at| at + end.len())
            })
            .min()?;
        bytes = &bytes[end..];
    }
}

/// A server can make the client send another request, but never more than one on a connection.
fn is_one_request(asked: &[u8]) {
    // The client may have closed the connection before everything was read here.
    if asked.is_empty() {
        return;
    }
    let text = std::str::from_utf8(asked).expect("ASCII");
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next().expect("a line").split(' ').collect();
    let [method, target, "HTTP/1.1"] = first[..] else {
        panic!("{first:?}")
    };
    assert!(
        ["GET", "HEAD", "POST"].contains(&method) && target.starts_with('/') && body.is_empty(),
        "{text}"
    );
    let names: Vec<String> = lines
        .map(|line| {
            line.split_once(": ")
                .expect("a header")
                .0
                .to_ascii_lowercase()
        })
        .collect();
    let known = [
        "host",
        "connection",
        "accept",
        "user-agent",
        "authorization",
        "x-token",
        "content-length",
        "content-type",
    ];
    assert!(
        names.iter().all(|name| known.contains(&name.as_str())),
        "{text}"
    );
    assert!(
        head.bytes()
            .all(|byte| byte == b'\r' || byte == b'\n' || (b' '..0x7f).contains(&byte)),
        "{text:?}"
    );
}
