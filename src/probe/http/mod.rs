//! `http://`, `https://` and `http+unix://`: one GET as the kubelet does it (`pkg/probe/http`),
//! with ureq.
//!
//! The bytes go through a [`Link`], which never blocks. `core::answer` finds the end of the answer,
//! and ureq reads it then ([`library`]). Redirects, proxies, keep-alive, headers and limits are
//! decided here, not by ureq.

mod library;

use self::library::Call;
use super::attempt::{Probe, Step};
use super::dial::{Address, Destination};
use super::link::{Heard, Link, Secure};
use super::resolve::Resolver;
use super::tls::{Alpn, Trust};
use super::token;
use crate::core::answer::{AnswerReader, End};
use crate::core::http::{self as rules, Answer, Request};
use crate::core::outcome::{BadAnswer, Outcome, Phase, Reason};
use crate::core::protocol;
use crate::core::url::{Scheme, Server, Url};
use crate::event_loop::Interest;
use std::sync::Arc;
use std::time::Instant;

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
    /// The addresses of the host. A redirect stays on this host, but may lead to another port.
    addresses: Vec<Address>,
    until: Instant,
    /// The bytes of the first request. Each attempt sends the same, unless the token has changed.
    first: Vec<u8>,
    /// What `--http-bearer-token-file` had at the beginning of the attempt.
    token: Option<String>,
    /// The last answer to the first request, as ureq got it and read it. A server that is not ready
    /// gives the same answer again, and ureq need not read it again.
    last: Option<(Vec<u8>, library::Answer)>,
    hop: Option<Hop>,
}

/// One request and its answer. A redirect is followed by another one.
struct Hop {
    url: Url,
    method: String,
    /// How many redirects were followed.
    followed: u32,
    is_given_host: bool,
    link: Link,
    exchange: Exchange,
}

/// An answer that arrives.
struct Exchange {
    request: Vec<u8>,
    is_secure: bool,
    reader: AnswerReader,
    /// What the reader makes of it for ureq.
    answer: Vec<u8>,
    /// The length of the head in `answer`. 0: it is not complete.
    head: usize,
    failed: Option<Reason>,
    /// The server sent the request back.
    is_echo: bool,
}

/// What an answer means.
enum Meaning {
    Ends(Outcome),
    /// A redirect to follow.
    Follow {
        url: Url,
        method: String,
        is_relative: bool,
    },
}

impl Http {
    pub(super) fn new(url: Url, ask: Ask) -> Self {
        let destination = match &url.server {
            Server::Host(host, _) => Destination::Host(Resolver::new(host, url.port())),
            Server::Socket(path) => Destination::Socket(path.clone()),
        };
        Self {
            url,
            ask,
            destination,
            addresses: Vec::new(),
            until: Instant::now(),
            first: Vec::new(),
            token: None,
            last: None,
            hop: None,
        }
    }

    /// Begins the first request of an attempt. `None`: the addresses are not known yet.
    fn begin(&mut self) -> Result<Option<Hop>, Outcome> {
        let Some(addresses) = self.destination.resolve(self.until)? else {
            return Ok(None);
        };
        let token = self.ask.request.bearer.as_deref().map(token::read);
        let token = token.transpose().map_err(Outcome::NotYet)?;
        if self.first.is_empty() || token != self.token {
            self.token = token;
            let call = self.call(&self.url, &self.ask.request.method, true);
            self.first = call.bytes().map_err(not_http)?;
        }
        self.addresses = addresses;
        let method = self.ask.request.method.clone();
        Ok(Some(self.hop(
            self.url.clone(),
            method,
            self.first.clone(),
            0,
            true,
        )))
    }

    fn call<'a>(&'a self, url: &'a Url, method: &'a str, is_given_host: bool) -> Call<'a> {
        Call {
            request: &self.ask.request,
            url,
            method,
            is_given_host,
            token: self.token.as_deref(),
        }
    }

    fn hop(
        &self,
        url: Url,
        method: String,
        request: Vec<u8>,
        followed: u32,
        is_given_host: bool,
    ) -> Hop {
        let mut addresses = self.addresses.clone();
        for address in &mut addresses {
            if let Address::Net(address) = address {
                address.set_port(url.port());
            }
        }
        let secure = match url.scheme {
            Scheme::Plain => None,
            Scheme::Tls => Some(Secure {
                host: url.host(),
                trust: Arc::clone(&self.ask.trust),
                alpn: Alpn::Http1,
            }),
        };
        let is_secure = secure.is_some();
        let link = Link::new(addresses, secure, request.clone(), self.until, false);
        Hop {
            exchange: Exchange::new(request, &method, is_secure),
            url,
            method,
            followed,
            is_given_host,
            link,
        }
    }

    /// The request that a redirect leads to.
    fn next(
        &self,
        hop: &Hop,
        url: Url,
        method: String,
        is_relative: bool,
    ) -> Result<Hop, BadAnswer> {
        let is_given_host = hop.is_given_host && is_relative;
        let mut call = self.call(&url, &method, is_given_host);
        // In a pod another port is another container.
        if url.origin() != self.url.origin() {
            call.token = None;
        }
        let request = call.bytes()?;
        let followed = hop.followed.saturating_add(1);
        Ok(self.hop(url, method, request, followed, is_given_host))
    }
}

fn not_yet(reason: Reason) -> Meaning {
    Meaning::Ends(Outcome::NotYet(reason))
}

fn not_http(how: BadAnswer) -> Outcome {
    Outcome::NotYet(Reason::NotHttp(how))
}

impl Probe for Http {
    fn start(&mut self, until: Instant) -> Step {
        self.until = until;
        self.hop = None;
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        let mut hop = match self.hop.take() {
            Some(hop) => hop,
            None => match self.begin() {
                Ok(Some(hop)) => hop,
                Ok(None) => return Step::Wait,
                Err(outcome) => return Step::Done(outcome),
            },
        };
        loop {
            let exchange = &mut hop.exchange;
            match hop.link.proceed(&mut |heard, _| exchange.hear(heard)) {
                Ok(true) => {}
                Ok(false) => {
                    self.hop = Some(hop);
                    return Step::Wait;
                }
                Err(reason) => return Step::Done(Outcome::NotYet(reason)),
            }
            if exchange.is_echo && hop.link.is_to_itself() {
                return Step::Done(Outcome::NotYet(Reason::Refused));
            }
            let meaning = hop.meaning(&self.ask.request, &mut self.last);
            hop = match meaning.unwrap_or_else(not_yet) {
                Meaning::Ends(outcome) => return Step::Done(outcome),
                Meaning::Follow {
                    url,
                    method,
                    is_relative,
                } => match self.next(&hop, url, method, is_relative) {
                    Ok(next) => next,
                    Err(how) => return Step::Done(not_http(how)),
                },
            };
        }
    }

    fn release(&mut self) {
        self.hop = None;
        self.last = None;
        self.destination.release();
    }

    fn cancel(&mut self) -> Phase {
        match self.hop.take() {
            None => Phase::Resolving,
            Some(hop) if hop.exchange.reader.is_in_body() => Phase::Body,
            Some(hop) => hop.link.phase(),
        }
    }

    fn interest(&self) -> Option<Interest<'_>> {
        match &self.hop {
            None => self.destination.interest(),
            Some(hop) => hop.link.interest(),
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        match &self.hop {
            None => self.destination.wake_at(),
            Some(hop) => hop.link.wake_at(),
        }
    }
}

impl Exchange {
    fn new(request: Vec<u8>, method: &str, is_secure: bool) -> Self {
        Self {
            request,
            is_secure,
            reader: AnswerReader::new(method),
            answer: Vec::new(),
            head: 0,
            failed: None,
            is_echo: false,
        }
    }

    /// Takes what arrives. Returns whether it is enough.
    fn hear(&mut self, heard: Heard<'_>) -> bool {
        match heard {
            Heard::Bytes(bytes) => match self.reader.feed(bytes, &mut self.answer) {
                Ok(()) => self.is_enough(),
                Err(how) => {
                    self.is_echo = self.answer.is_empty() && self.request.starts_with(bytes);
                    self.fail(Reason::NotHttp(how))
                }
            },
            Heard::Closed => match self.reader.end() {
                End::Complete => true,
                End::Nothing if self.is_secure => self.fail(Reason::ClosedAfterHandshake),
                End::Nothing => self.fail(Reason::Closed),
                End::Broken(how) => self.fail(Reason::NotHttp(how)),
            },
            Heard::Broken if self.reader.is_in_body() => {
                self.fail(Reason::NotHttp(BadAnswer::BrokenBody))
            }
            Heard::Broken if self.is_secure && self.reader.end() == End::Nothing => {
                self.fail(Reason::ClosedAfterHandshake)
            }
            Heard::Broken => self.fail(Reason::Closed),
        }
    }

    fn fail(&mut self, reason: Reason) -> bool {
        self.failed = Some(reason);
        true
    }

    /// Whether the answer is complete, or the part of its body that is read.
    fn is_enough(&mut self) -> bool {
        const END: &[u8] = b"\r\n\r\n";
        if self.head == 0 {
            let end = self.answer.windows(END.len()).position(|it| it == END);
            self.head = end.map_or(0, |end| end.saturating_add(END.len()));
        }
        let body = self.answer.len().saturating_sub(self.head);
        self.reader.is_done()
            || (self.head > 0 && u64::try_from(body).unwrap_or(u64::MAX) >= rules::MOST_BODY)
    }
}

impl Hop {
    /// What the answer means. `last` is the last answer to the first request.
    fn meaning(
        &mut self,
        request: &Request,
        last: &mut Option<(Vec<u8>, library::Answer)>,
    ) -> Result<Meaning, Reason> {
        let bytes = std::mem::take(&mut self.exchange.answer);
        let failed = self.exchange.failed.take();
        if bytes.is_empty() {
            return Err(failed.unwrap_or(Reason::Closed));
        }
        let is_first = self.followed == 0;
        let answer = match last.take().filter(|(known, _)| is_first && *known == bytes) {
            Some((_, answer)) => answer,
            None => {
                let call = Call {
                    request,
                    url: &self.url,
                    method: &self.method,
                    is_given_host: self.is_given_host,
                    // It does not change how an answer is read.
                    token: None,
                };
                call.read(bytes.clone()).map_err(Reason::NotHttp)?
            }
        };
        let meaning = self.judge(request, &answer, failed);
        if is_first {
            *last = Some((bytes, answer));
        }
        meaning
    }

    fn judge(
        &self,
        request: &Request,
        answer: &library::Answer,
        failed: Option<Reason>,
    ) -> Result<Meaning, Reason> {
        let status = answer.status;
        let location = answer.location.as_deref();
        match rules::answer(&self.url, status, location, &request.pass, self.followed) {
            Answer::Fails(reason) => Err(reason),
            Answer::Decides => self.body(request, status, &answer.body, failed),
            Answer::Follow { next, is_relative } => Ok(Meaning::Follow {
                url: *next,
                method: rules::next_method(status, &self.method).to_owned(),
                is_relative,
            }),
        }
    }

    /// Judges an answer that is no redirect. If its body breaks off, the attempt does not pass,
    /// whatever the status is.
    fn body(
        &self,
        request: &Request,
        status: u16,
        body: &[u8],
        failed: Option<Reason>,
    ) -> Result<Meaning, Reason> {
        if !request.pass.contain(status) {
            let is_plain = self.url.scheme == Scheme::Plain;
            return Err(if is_plain && protocol::wants_https(status, body) {
                Reason::HttpsPort(status)
            } else {
                Reason::Status(status)
            });
        }
        if let Some(reason) = failed {
            return Err(reason);
        }
        match &request.body_contains {
            Some(text) if !contains(body, text.as_bytes()) => Err(Reason::BodyLacks(status)),
            Some(_) | None => Ok(Meaning::Ends(Outcome::Pass)),
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::{Exchange, contains};
    use crate::core::check::{Kind, parse};
    use crate::probe::link::Heard;
    use proptest::prelude::*;

    /// Whether these bytes, in pieces, are taken for the request.
    fn is_echo(pieces: &[&[u8]]) -> bool {
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
        let mut exchange = Exchange::new(request, "GET", false);
        for piece in pieces {
            exchange.hear(Heard::Bytes(piece));
        }
        exchange.is_echo
    }

    #[test]
    fn a_request_that_comes_back_is_noticed() {
        let own = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert!(is_echo(&[own]));
        assert!(!is_echo(&[b"HTTP/1.1 503 \r\n\r\n"]));
        // Another client's request is not our own.
        assert!(!is_echo(&[b"GET /x HTTP/1.1\r\n\r\n"]));
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
