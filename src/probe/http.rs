//! `http://`, `https://` and `http+unix://`: one GET as the kubelet does it (`pkg/probe/http`),
//! with ureq.
//!
//! The main thread connects, so that a refused connection costs no thread and no HTTP agent. Then
//! an exchange begins in a worker, on a transport that ends by itself when the attempt's time is
//! over. Redirects, proxies, keep-alive, headers and limits are decided here, not by ureq.

use super::attempt::{Probe, Step};
use super::dial::{Address, Destination, Dial, Dialled, dial_blocking};
use super::resolve::Resolver;
use super::stream::{Fault, Stream};
use super::tls::{self, Trust};
use super::token;
use super::worker::Worker;
use crate::core::answer::{AnswerReader, End};
use crate::core::errno::Errno;
use crate::core::http::{self as rules, Answer, Header, Request};
use crate::core::outcome::{BadAnswer, Operation, Outcome, Phase, Reason, one_line};
use crate::core::protocol;
use crate::core::url::{Scheme, Server, Url, percent_decoded};
use crate::event_loop::Interest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::config::{AutoHeaderValue, Config};
use ureq::http::request::Builder;
use ureq::http::{self, HeaderValue, header};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver as UreqResolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// As the kubelet's `kube-probe/1.32`.
const USER_AGENT: &str = concat!("podgate/", env!("CARGO_PKG_VERSION"));
/// The size of the output buffer in bytes, without the part for options: room for the request line
/// and for our own headers.
const OUTPUT: usize = 4 * 1024;
/// How much longer an exchange lives than its attempt. So the attempt is cancelled first, when it
/// still knows what it was doing. Then the exchange ends, and its thread with it.
const LINGER: Duration = Duration::from_millis(50);
/// How many bytes are read at a time.
const INPUT: usize = 4 * 1024;

/// A request, and how its server is verified.
#[derive(Clone)]
pub struct Ask {
    pub request: Arc<Request>,
    pub trust: Arc<Trust>,
}

impl Ask {
    /// Another request whose server is verified in the same way.
    pub(crate) fn with(&self, request: Request) -> Self {
        Self {
            request: Arc::new(request),
            trust: Arc::clone(&self.trust),
        }
    }
}

pub(super) struct Http {
    url: Url,
    ask: Ask,
    destination: Destination,
    until: Instant,
    began: Instant,
    state: State,
    worker: Worker<Outcome>,
}

enum State {
    Resolving,
    Dialling(Dial, Vec<Address>),
    Exchanging(Arc<Doing>),
}

/// The phase of an exchange, for the thread that cancels it.
struct Doing(AtomicU8);

impl Doing {
    fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        let now = self.0.load(Ordering::Relaxed);
        [Phase::Connecting, Phase::Handshaking, Phase::Body]
            .into_iter()
            .find(|phase| *phase as u8 == now)
            .unwrap_or(Phase::Answer)
    }
}

impl Http {
    pub(super) fn new(url: Url, ask: Ask) -> Self {
        let destination = match &url.server {
            Server::Host(host, _) => Destination::Host(Resolver::new(host, url.port())),
            Server::Socket(path) => Destination::Socket(path.clone()),
        };
        let now = Instant::now();
        Self {
            url,
            ask,
            destination,
            until: now,
            began: now,
            state: State::Resolving,
            worker: Worker::new(),
        }
    }

    fn exchange(&mut self, socket: OwnedFd, addresses: Vec<Address>) -> Step {
        let doing = Arc::new(Doing(AtomicU8::new(Phase::Answer as u8)));
        let exchange = Exchange {
            ask: self.ask.clone(),
            addresses,
            until: self.until.checked_add(LINGER).unwrap_or(self.until),
            began: self.began,
            doing: Arc::clone(&doing),
        };
        let url = self.url.clone();
        match self
            .worker
            .start(move || exchange.run(socket, url).unwrap_or_else(Outcome::NotYet))
        {
            Ok(()) => {
                self.state = State::Exchanging(doing);
                // There is a result if the exchange ran in place.
                self.worker.take().map_or(Step::Wait, Step::Done)
            }
            Err(error) => Step::Done(Outcome::NotYet(Reason::System(
                Operation::SendRequest,
                Errno::of(&error),
            ))),
        }
    }
}

impl Probe for Http {
    fn start(&mut self, until: Instant) -> Step {
        self.until = until;
        self.began = Instant::now();
        self.state = State::Resolving;
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        if let State::Resolving = self.state {
            match self.destination.resolve(self.until) {
                Ok(Some(addresses)) => {
                    self.state =
                        State::Dialling(Dial::new(addresses.clone(), self.until), addresses)
                }
                Ok(None) => return Step::Wait,
                Err(outcome) => return Step::Done(outcome),
            }
        }
        match &mut self.state {
            State::Resolving => Step::Wait,
            State::Exchanging(_) => self.worker.take().map_or(Step::Wait, Step::Done),
            State::Dialling(dial, addresses) => match dial.proceed() {
                Dialled::Wait => Step::Wait,
                Dialled::Failed(reason) => Step::Done(Outcome::NotYet(reason)),
                Dialled::Connected(socket) => {
                    let addresses = std::mem::take(addresses);
                    self.exchange(socket, addresses)
                }
            },
        }
    }

    fn release(&mut self) {
        self.worker.abandon();
        self.destination.release();
    }

    fn cancel(&mut self) -> Phase {
        match std::mem::replace(&mut self.state, State::Resolving) {
            State::Resolving => Phase::Resolving,
            State::Dialling(..) => Phase::Connecting,
            State::Exchanging(doing) => {
                self.worker.abandon();
                doing.phase()
            }
        }
    }

    fn interest(&self) -> Option<Interest<'_>> {
        match &self.state {
            State::Resolving => self.destination.interest(),
            State::Dialling(dial, _) => dial.interest(),
            State::Exchanging(_) => self.worker.interest(),
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        match &self.state {
            State::Resolving => self.destination.wake_at(),
            State::Dialling(dial, _) => dial.wake_at(),
            State::Exchanging(_) => None,
        }
    }
}

/// The part of an attempt after the connection is accepted. It runs in a worker, and may block
/// until its time is over.
struct Exchange {
    ask: Ask,
    /// The addresses of the host. A redirect stays on this host, but may lead to another port.
    addresses: Vec<Address>,
    until: Instant,
    began: Instant,
    doing: Arc<Doing>,
}

impl Exchange {
    fn run(&self, socket: OwnedFd, mut url: Url) -> Result<Outcome, Reason> {
        let token = self.ask.request.bearer.as_deref().map(token::read);
        let token = token.transpose()?;
        let mut method = self.ask.request.method.clone();
        let mut wire = Some(self.wrap(socket, &url)?);
        let mut followed = 0;
        let mut is_given_host = true;
        loop {
            let wire = match wire.take() {
                Some(wire) => wire,
                None => self.connect(&url)?,
            };
            self.doing.set(Phase::Answer);
            let mut response = self.call(wire, &url, &method, is_given_host, token.as_deref())?;
            let status = response.status().as_u16();
            let location = response
                .headers()
                .get(header::LOCATION)
                .map(HeaderValue::as_bytes);
            match rules::answer(&url, status, location, &self.ask.request.pass, followed) {
                Answer::Fails(reason) => return Err(reason),
                Answer::Decides => {
                    return self.body(&mut response, status, url.scheme == Scheme::Plain);
                }
                Answer::Follow { next, is_relative } => {
                    // If the answer is not read, the server sees a reset and logs an error.
                    let _ = self.read(&mut response);
                    is_given_host = is_given_host && is_relative;
                    followed = followed.saturating_add(1);
                    method = rules::next_method(status, &method).to_owned();
                    url = *next;
                }
            }
        }
    }

    /// Reads the body. If it hangs or breaks off, the attempt does not pass, whatever the status
    /// is.
    fn body(
        &self,
        response: &mut http::Response<ureq::Body>,
        status: u16,
        is_plain: bool,
    ) -> Result<Outcome, Reason> {
        let read = self.read(response);
        if !self.ask.request.pass.contain(status) {
            let body = read.unwrap_or_default();
            return Err(if is_plain && protocol::wants_https(status, &body) {
                Reason::HttpsPort(status)
            } else {
                Reason::Status(status)
            });
        }
        let body = read.map_err(|error| self.io_reason(&error, Phase::Body))?;
        match &self.ask.request.body_contains {
            Some(text) if !contains(&body, text.as_bytes()) => Err(Reason::BodyLacks(status)),
            Some(_) | None => Ok(Outcome::Pass),
        }
    }

    fn read(&self, response: &mut http::Response<ureq::Body>) -> io::Result<Vec<u8>> {
        self.doing.set(Phase::Body);
        let mut body = Vec::new();
        response
            .body_mut()
            .as_reader()
            .take(rules::MOST_BODY)
            .read_to_end(&mut body)?;
        Ok(body)
    }

    fn connect(&self, url: &Url) -> Result<Wire, Reason> {
        self.doing.set(Phase::Connecting);
        let mut addresses = self.addresses.clone();
        for address in &mut addresses {
            if let Address::Net(address) = address {
                address.set_port(url.port());
            }
        }
        self.wrap(dial_blocking(addresses, self.until)?, url)
    }

    fn wrap(&self, socket: OwnedFd, url: &Url) -> Result<Wire, Reason> {
        let stream = Stream::new(socket, self.until);
        Ok(match url.scheme {
            Scheme::Plain => Wire::Plain(stream),
            Scheme::Tls => {
                self.doing.set(Phase::Handshaking);
                let shaken = tls::shake_hands(stream, &url.host(), &self.ask.trust);
                Wire::Tls(shaken.map_err(|error| match error {
                    tls::Failure::Io(error) => self.io_reason(&error, Phase::Handshaking),
                    tls::Failure::Reason(reason) => reason,
                })?)
            }
        })
    }

    /// Sends a request, and reads the answer to the end of its headers.
    fn call(
        &self,
        wire: Wire,
        url: &Url,
        method: &str,
        is_given_host: bool,
        token: Option<&str>,
    ) -> Result<http::Response<ureq::Body>, Reason> {
        let once = Once {
            wire: Mutex::new(Some(wire)),
            output: self.output(url).saturating_add(token.map_or(0, str::len)),
            method: method.to_owned(),
        };
        let agent = ureq::Agent::with_parts(self.config(), once, Nowhere);
        let mut request = self.request(url, method, is_given_host);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let sent = if ["POST", "PUT", "PATCH"].contains(&method) {
            request.body("").map(|request| agent.run(request))
        } else {
            request.body(()).map(|request| agent.run(request))
        };
        match sent {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.reason(error)),
            Err(error) => Err(Reason::NotHttp(BadAnswer::Other(error.to_string()))),
        }
    }

    /// The header of this name that an option gives.
    fn given(&self, name: &str) -> Option<&Header> {
        self.ask.request.headers.iter().find(|it| it.is(name))
    }

    fn config(&self) -> Config {
        // A given header replaces ours, and an empty one removes it (the kubelet's rule for
        // Accept).
        let ours = |name: &str, value: &str| match self.given(name) {
            Some(_) => AutoHeaderValue::None,
            None => AutoHeaderValue::Provided(Arc::new(value.to_owned())),
        };
        Config::builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .max_response_header_size(rules::MOST_HEADERS)
            .accept(ours("Accept", "*/*"))
            .user_agent(ours("User-Agent", USER_AGENT))
            .accept_encoding(AutoHeaderValue::None)
            .build()
    }

    fn request(&self, url: &Url, method: &str, is_given_host: bool) -> Builder {
        let secure = match url.scheme {
            Scheme::Plain => "http",
            Scheme::Tls => "https",
        };
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{secure}://{}{}", url.authority(), url.path))
            .header(header::CONNECTION, "close");
        for it in &self.ask.request.headers {
            // As in net/http, `Host` is sent with the first request and after relative redirects.
            let elsewhere = it.is("Host") && !is_given_host;
            let is_removal = it.value.is_empty() && (it.is("Accept") || it.is("User-Agent"));
            if !elsewhere && !is_removal {
                request = request.header(it.name.as_str(), it.value.as_bytes());
            }
        }
        if let Some(value) = url
            .user_info
            .as_deref()
            .filter(|_| self.given("Authorization").is_none())
            .and_then(basic)
        {
            request = request.header(header::AUTHORIZATION, value);
        }
        request
    }

    /// The size of the output buffer in bytes, which must hold the whole head of the request.
    fn output(&self, url: &Url) -> usize {
        let headers = self.ask.request.headers.iter();
        let given: usize = headers
            .map(|it| it.name.len().saturating_add(it.value.len()))
            .sum();
        let user_info = url
            .user_info
            .as_ref()
            .map_or(0, |it| it.len().saturating_mul(2));
        OUTPUT
            .saturating_add(given)
            .saturating_add(user_info)
            .saturating_add(url.path.len())
    }

    fn reason(&self, error: ureq::Error) -> Reason {
        match sorted(error) {
            Ok(error) => self.io_reason(&error, Phase::Answer),
            Err(error) => Reason::NotHttp(error),
        }
    }

    fn io_reason(&self, error: &io::Error, phase: Phase) -> Reason {
        use io::ErrorKind as Kind;
        let inner = error.get_ref();
        if let Some(Fault(reason)) = inner.and_then(|it| it.downcast_ref::<Fault>()) {
            return reason.clone();
        }
        let kind = error.kind();
        if kind == Kind::TimedOut {
            return Reason::TimedOut {
                phase,
                // The exchange ran in place: otherwise the attempt was cancelled before this.
                after: self
                    .until
                    .saturating_duration_since(self.began)
                    .saturating_sub(LINGER),
                said: String::new(),
            };
        }
        if [
            Kind::ConnectionReset,
            Kind::ConnectionAborted,
            Kind::BrokenPipe,
            Kind::UnexpectedEof,
        ]
        .contains(&kind)
        {
            return if phase == Phase::Body {
                Reason::NotHttp(BadAnswer::BrokenBody)
            } else {
                Reason::Closed
            };
        }
        Reason::NotHttp(BadAnswer::Other(one_line(&error.to_string(), 120)))
    }
}

/// Sorts ureq's errors. `Ok` is an error of the connection, `Err` a fault of the answer.
fn sorted(error: ureq::Error) -> Result<io::Error, BadAnswer> {
    if let ureq::Error::Io(error) = error {
        return Ok(error);
    }
    let text = error.to_string();
    let words = text.strip_prefix("protocol: ").unwrap_or(&text);
    Err(BadAnswer::Other(one_line(words, 120)))
}

/// `Authorization: Basic` for the `user:password` of a URL, as curl does it (RFC 7617).
fn basic(user_info: &str) -> Option<HeaderValue> {
    let plain = percent_decoded(user_info)?;
    let plain = if plain.contains(':') {
        plain
    } else {
        format!("{plain}:")
    };
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// A connection, with TLS or without.
enum Wire {
    Plain(Stream),
    Tls(tls::Session),
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Tls(_) => "Tls",
        })
    }
}

/// Gives the existing connection to ureq, once.
#[derive(Debug)]
struct Once {
    wire: Mutex<Option<Wire>>,
    /// The largest size of the request in bytes.
    output: usize,
    method: String,
}

impl Connector<()> for Once {
    type Out = Connected;

    fn connect(
        &self,
        _details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<Connected>, ureq::Error> {
        let wire = self
            .wire
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Ok(wire.map(|wire| Connected {
            wire,
            buffers: Growing::new(self.output),
            answer: AnswerReader::new(&self.method),
        }))
    }
}

/// Resolves no name, because the connection exists already.
#[derive(Debug)]
struct Nowhere;

impl UreqResolver for Nowhere {
    fn resolve(
        &self,
        _uri: &http::Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

#[derive(Debug)]
struct Connected {
    wire: Wire,
    buffers: Growing,
    /// Reads what the server sends. ureq gets what it makes of it.
    answer: AnswerReader,
}

impl Connected {
    /// Reads until there is something for ureq, or the answer is complete.
    fn read(&mut self) -> io::Result<bool> {
        let mut input = [0; INPUT];
        while !self.answer.is_done() {
            let read = match &mut self.wire {
                Wire::Plain(stream) => stream.read(&mut input),
                Wire::Tls(session) => session.read(&mut input),
            };
            let refused = |how| Err(Fault(Reason::NotHttp(how)).into());
            let count = match read {
                Ok(count) => count,
                Err(error)
                    if error.kind() != io::ErrorKind::TimedOut && self.answer.is_in_body() =>
                {
                    return refused(BadAnswer::BrokenBody);
                }
                Err(error) => return Err(error),
            };
            if count == 0 {
                return match self.answer.end() {
                    End::Complete => Ok(false),
                    End::Nothing if matches!(self.wire, Wire::Tls(_)) => {
                        Err(Fault(Reason::ClosedAfterHandshake).into())
                    }
                    End::Nothing => Err(io::ErrorKind::UnexpectedEof.into()),
                    End::Broken(how) => refused(how),
                };
            }
            let output = self.buffers.append();
            let before = output.len();
            let bytes = input.get(..count).unwrap_or_default();
            if let Err(how) = self.answer.feed(bytes, output) {
                return refused(how);
            }
            if output.len() > before {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Transport for Connected {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _timeout: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.buffers.output.get(..amount).unwrap_or_default();
        match &mut self.wire {
            Wire::Plain(stream) => stream.write_all(output)?,
            Wire::Tls(session) => session.write_all(output).and_then(|()| session.flush())?,
        }
        Ok(())
    }

    fn await_input(&mut self, _timeout: NextTimeout) -> Result<bool, ureq::Error> {
        Ok(self.read()?)
    }

    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        matches!(self.wire, Wire::Tls(_))
    }
}

/// Buffers that begin small and grow, so that a hundred attempts at the same time cost little.
#[derive(Debug)]
struct Growing {
    output: Vec<u8>,
    input: Vec<u8>,
    /// How much of `input` is consumed.
    consumed: usize,
    made_progress: bool,
}

impl Growing {
    fn new(output: usize) -> Self {
        Self {
            output: vec![0; output],
            input: Vec::new(),
            consumed: 0,
            made_progress: false,
        }
    }

    /// The input, to append to it.
    fn append(&mut self) -> &mut Vec<u8> {
        self.input.drain(..self.consumed);
        self.consumed = 0;
        &mut self.input
    }
}

impl Buffers for Growing {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        self.input.get(self.consumed..).unwrap_or_default()
    }

    /// Unused: [`Connected::read`] appends.
    fn input_append_buf(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input_appended(&mut self, _amount: usize) {}

    fn input_consume(&mut self, amount: usize) {
        self.made_progress = amount > 0;
        self.consumed = self.consumed.saturating_add(amount).min(self.input.len());
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        // This is for request bodies, and ours are empty.
        (&mut [], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.consumed < self.input.len() && self.made_progress
    }
}

#[cfg(test)]
mod tests {
    use super::{Growing, basic, contains};
    use crate::core::check::{Kind, parse};
    use proptest::prelude::*;
    use ureq::unversioned::transport::Buffers;

    #[test]
    fn basic_authorization_is_that_of_rfc_7617() {
        for (user_info, value) in [
            (
                "Aladdin:open%20sesame",
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            ),
            ("a:bc", "Basic YTpiYw=="),
            ("a:b", "Basic YTpi"),
            ("user", "Basic dXNlcjo="),
        ] {
            assert_eq!(basic(user_info).expect(user_info), value);
        }
    }

    #[test]
    fn a_text_is_found_anywhere_in_a_body() {
        assert!(
            contains(b"abc", b"bc")
                && contains(b"abc", b"")
                && !contains(b"abc", b"abcd")
                && !contains(b"", b"a")
        );
    }

    #[test]
    fn input_that_is_consumed_is_given_up() {
        let mut buffers = Growing::new(super::OUTPUT);
        buffers.append().extend_from_slice(b"abc");
        buffers.input_consume(2);
        assert_eq!(buffers.input(), b"c");
        buffers.append().extend_from_slice(b"de");
        assert_eq!((buffers.input(), buffers.input.len()), (&b"cde"[..], 3));
    }

    const URL: &str = "https?://([a-z]{1,4}:[a-z%]{0,4}@)?[a-z0-9.-]{1,12}(:[0-9]{1,5})?\
                       (/[!-~]{0,20})?(\\?[!-~]{0,10})?";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// If the HTTP library refused a URL that the grammar accepts, its check could never pass.
        #[test]
        fn every_url_that_is_accepted_can_be_requested(text in URL) {
            if let Ok(check) = parse(&text)
                && let Kind::Http(url) = check.kind
            {
                let full = format!("http://{}{}", url.authority(), url.path);
                prop_assert!(full.parse::<ureq::http::Uri>().is_ok(), "{}", full);
            }
        }
    }
}
