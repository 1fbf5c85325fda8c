//! ureq, with memory in place of a connection. It writes the request, and reads the answer when the
//! answer is complete. So ureq never waits, and needs no thread.
//!
//! Redirects, proxies, keep-alive, headers and limits are decided by podgate (`core::http`).

use crate::core::http::{self as rules, Header, Request};
use crate::core::outcome::{BadAnswer, one_line};
use crate::core::url::{Scheme, Url, percent_decoded};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use ureq::config::{AutoHeaderValue, Config};
use ureq::http::{self, HeaderValue, header};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// The size of the output buffer in bytes, without the part for options: room for the request line
/// and for our own headers.
const OUTPUT: usize = 4 * 1024;

/// A request to one URL.
pub(super) struct Call<'a> {
    pub(super) request: &'a Request,
    pub(super) url: &'a Url,
    /// The method, which a redirect may have changed.
    pub(super) method: &'a str,
    /// Whether the URL has the host that was given, so that a given `Host` header applies.
    pub(super) is_given_host: bool,
    /// What `--http-bearer-token-file` has.
    pub(super) token: Option<&'a str>,
}

/// What ureq makes of a complete answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<Vec<u8>>,
    /// The first bytes of the body, [`rules::MOST_BODY`] at most.
    pub(super) body: Vec<u8>,
}

impl Call<'_> {
    /// The bytes of the request.
    ///
    /// # Errors
    /// ureq refuses it.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, BadAnswer> {
        let memory = Memory::new(None, self.output());
        // Without an answer ureq ends when the request is written.
        match self.run(&memory) {
            Err(ureq::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(fault(&error)),
            Ok(_) => {}
        }
        Ok(std::mem::take(&mut memory.state().written))
    }

    /// Reads an answer: its head, and a body that ends with `answer`.
    ///
    /// # Errors
    /// It is not HTTP.
    pub(super) fn read(&self, answer: Vec<u8>) -> Result<Answer, BadAnswer> {
        let memory = Memory::new(Some(answer), self.output());
        let mut response = self.run(&memory).map_err(|error| fault(&error))?;
        let location = response.headers().get(header::LOCATION);
        let location = location.map(|value| value.as_bytes().to_vec());
        let mut body = Vec::new();
        response
            .body_mut()
            .as_reader()
            .take(rules::MOST_BODY)
            .read_to_end(&mut body)
            .map_err(|error| fault(&error.into()))?;
        Ok(Answer {
            status: response.status().as_u16(),
            location,
            body,
        })
    }

    fn run(&self, memory: &Memory) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let agent = ureq::Agent::with_parts(self.config(), memory.clone(), Nowhere);
        let request = self.builder();
        if ["POST", "PUT", "PATCH"].contains(&self.method) {
            agent.run(request.body("")?)
        } else {
            agent.run(request.body(())?)
        }
    }

    /// The header of this name that an option gives.
    fn given(&self, name: &str) -> Option<&Header> {
        self.request.headers.iter().find(|it| it.is(name))
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
            .user_agent(ours("User-Agent", rules::USER_AGENT))
            .accept_encoding(AutoHeaderValue::None)
            .build()
    }

    fn builder(&self) -> http::request::Builder {
        let secure = match self.url.scheme {
            Scheme::Plain => "http",
            Scheme::Tls => "https",
        };
        let mut request = http::Request::builder()
            .method(self.method)
            .uri(format!(
                "{secure}://{}{}",
                self.url.authority(),
                self.url.path
            ))
            .header(header::CONNECTION, "close");
        for it in &self.request.headers {
            // As in net/http, `Host` is sent with the first request and after relative redirects.
            let elsewhere = it.is("Host") && !self.is_given_host;
            let is_removal = it.value.is_empty() && (it.is("Accept") || it.is("User-Agent"));
            if !elsewhere && !is_removal {
                request = request.header(it.name.as_str(), it.value.as_bytes());
            }
        }
        if let Some(value) = self
            .url
            .user_info
            .as_deref()
            .filter(|_| self.token.is_none() && self.given("Authorization").is_none())
            .and_then(basic)
        {
            request = request.header(header::AUTHORIZATION, value);
        }
        if let Some(token) = self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request
    }

    /// The size of the output buffer in bytes, which must hold the whole head of the request.
    fn output(&self) -> usize {
        let headers = self.request.headers.iter();
        let given: usize = headers
            .map(|it| it.name.len().saturating_add(it.value.len()))
            .sum();
        let user_info = self.url.user_info.as_ref();
        let user_info = user_info.map_or(0, |it| it.len().saturating_mul(2));
        OUTPUT
            .saturating_add(given)
            .saturating_add(self.token.map_or(0, str::len))
            .saturating_add(user_info)
            .saturating_add(self.url.path.len())
    }
}

/// The fault of an answer in ureq's words.
fn fault(error: &ureq::Error) -> BadAnswer {
    let text = error.to_string();
    let words = text.strip_prefix("protocol: ").unwrap_or(&text);
    BadAnswer::Other(one_line(words, 120))
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

/// The memory that takes the place of a connection.
#[derive(Debug, Clone)]
struct Memory(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The answer, until ureq connects. `None`: there is none yet.
    answer: Option<Vec<u8>>,
    written: Vec<u8>,
    /// The size of ureq's output buffer in bytes.
    output: usize,
}

impl Memory {
    fn new(answer: Option<Vec<u8>>, output: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            answer,
            written: Vec::new(),
            output,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connector<()> for Memory {
    type Out = Connected;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<Connected>, ureq::Error> {
        let mut state = self.state();
        let answer = state.answer.take();
        let output = vec![0; state.output];
        drop(state);
        Ok(Some(Connected {
            is_tls: details.uri.scheme() == Some(&http::uri::Scheme::HTTPS),
            has_answer: answer.is_some(),
            output,
            input: answer.unwrap_or_default(),
            consumed: 0,
            memory: self.clone(),
        }))
    }
}

/// Resolves no name, because nothing is connected.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(
        &self,
        _uri: &http::Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

#[derive(Debug)]
struct Connected {
    is_tls: bool,
    has_answer: bool,
    output: Vec<u8>,
    /// The whole answer.
    input: Vec<u8>,
    /// How much of `input` is consumed.
    consumed: usize,
    memory: Memory,
}

impl Buffers for Connected {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        self.input.get(self.consumed..).unwrap_or_default()
    }

    /// Unused: the input is complete.
    fn input_append_buf(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input_appended(&mut self, _amount: usize) {}

    fn input_consume(&mut self, amount: usize) {
        self.consumed = self.consumed.saturating_add(amount).min(self.input.len());
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        // This is for request bodies, and ours are empty.
        (&mut [], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.consumed < self.input.len()
    }
}

impl Transport for Connected {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self
    }

    fn transmit_output(&mut self, amount: usize, _timeout: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.output.get(..amount).unwrap_or_default();
        self.memory.state().written.extend_from_slice(output);
        Ok(())
    }

    fn await_input(&mut self, _timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if self.has_answer {
            // The end of the connection.
            Ok(false)
        } else {
            Err(io::Error::from(io::ErrorKind::WouldBlock).into())
        }
    }

    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        self.is_tls
    }
}

#[cfg(test)]
mod tests {
    use super::basic;

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
}
