//! The connection of an attempt, with TLS or without: from its addresses to the last byte of the
//! answer. Nothing here blocks, and there is no thread.
//!
//! An attempt at a server of this machine costs seven system calls: socket, connect, send, ppoll,
//! read, close, and the ppoll of the pause. The request is sent before it is known that the
//! connection was accepted, because send(2) reports that, too.

use super::dial::{Address, Dial, Dialled, is_to_itself};
use super::stream::Stream;
use super::tls::{self, Alpn, Trust};
use crate::core::outcome::{Phase, Reason};
use crate::core::url::Host;
use crate::event_loop::Interest;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

/// How many bytes are read at a time.
const INPUT: usize = 4 * 1024;
/// The most reads in one step, so that a fast server does not keep others waiting.
const MOST_READS: usize = 16;

/// What a connection brings.
pub(super) enum Heard<'a> {
    Bytes(&'a [u8]),
    /// The server has closed it.
    Closed,
    /// It was broken off.
    Broken,
}

/// How the server is verified, and what is spoken with it.
#[derive(Clone)]
pub(super) struct Secure {
    pub(super) host: Host,
    pub(super) trust: Arc<Trust>,
    pub(super) alpn: Alpn,
}

pub(super) struct Link {
    state: State,
    secure: Option<Secure>,
    /// The bytes that were not sent yet.
    output: Vec<u8>,
    /// There may be more input, which no readiness reports.
    again: Option<Instant>,
}

enum State {
    Dialling(Dial),
    Plain(Stream),
    Tls(Box<tls::Session>),
}

impl Link {
    /// Connects to one of `addresses` before `until`, and sends `hello`. With `is_certain` a
    /// connection to itself is refused. Without it the caller has to notice that its own bytes come
    /// back, and to ask [`Link::is_to_itself`].
    pub(super) fn new(
        addresses: Vec<Address>,
        secure: Option<Secure>,
        hello: Vec<u8>,
        until: Instant,
        is_certain: bool,
    ) -> Self {
        let with = if secure.is_some() || is_certain {
            Vec::new()
        } else {
            hello.clone()
        };
        Self {
            state: State::Dialling(Dial::new(addresses, until, with)),
            secure,
            output: hello,
            again: None,
        }
    }

    /// Whether the socket is connected to itself: no server listens.
    pub(super) fn is_to_itself(&self) -> bool {
        match &self.state {
            State::Plain(stream) => is_to_itself(stream) == Ok(true),
            State::Dialling(_) | State::Tls(_) => false,
        }
    }

    /// Continues as far as possible without waiting. `hear` gets what arrives, and appends what is
    /// to be sent. `hear` returns whether the talk is over, and so does this function.
    ///
    /// # Errors
    /// There is no connection, or no TLS.
    pub(super) fn proceed(
        &mut self,
        hear: &mut dyn FnMut(Heard<'_>, &mut Vec<u8>) -> bool,
    ) -> Result<bool, Reason> {
        if let State::Dialling(dial) = &mut self.state {
            match dial.proceed() {
                Dialled::Wait => return Ok(false),
                Dialled::Failed(reason) => return Err(reason),
                Dialled::Connected(socket, sent) => {
                    self.output.drain(..sent.min(self.output.len()));
                    self.state = self.opened(socket)?;
                    // The answer comes later, if there is something to send.
                    if sent > 0 && self.output.is_empty() {
                        return Ok(false);
                    }
                }
            }
        }
        self.again = None;
        let mut input = [0; INPUT];
        for _ in 0..MOST_READS {
            self.send();
            if let State::Tls(session) = &mut self.state {
                if !session.shake_hands()? {
                    return Ok(false);
                }
                // During the handshake the session takes a limited number of bytes.
                self.send();
            }
            let read = match &mut self.state {
                State::Dialling(_) => return Ok(false),
                State::Plain(stream) => stream.read(&mut input),
                State::Tls(session) => session.read(&mut input)?,
            };
            let heard = match &read {
                Ok(0) => Heard::Closed,
                Ok(count) => Heard::Bytes(input.get(..*count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                // TLS has read something that is not for the talk.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Heard::Broken,
            };
            let is_end = !matches!(heard, Heard::Bytes(_));
            let is_over = hear(heard, &mut self.output);
            if is_over || is_end {
                self.send();
                return Ok(true);
            }
        }
        self.again = Some(Instant::now());
        Ok(false)
    }

    fn opened(&self, socket: OwnedFd) -> Result<State, Reason> {
        let stream = Stream::new(socket);
        Ok(match &self.secure {
            None => State::Plain(stream),
            Some(secure) => State::Tls(Box::new(tls::Session::new(
                stream,
                &secure.host,
                &secure.trust,
                secure.alpn,
            )?)),
        })
    }

    /// Sends as much as possible. If the connection is broken, a read reports it: the server may
    /// have answered before it closed.
    fn send(&mut self) {
        if self.output.is_empty() {
            return;
        }
        let sent = match &mut self.state {
            State::Dialling(_) => return,
            State::Plain(stream) => stream.write(&self.output),
            State::Tls(session) => session.write(&self.output),
        };
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => self.output.len(),
        };
        self.output.drain(..sent.min(self.output.len()));
    }

    /// The current step of the attempt. It is `Answer` when the connection exists.
    pub(super) fn phase(&self) -> Phase {
        match &self.state {
            State::Dialling(_) => Phase::Connecting,
            State::Tls(session) if session.is_handshaking() => Phase::Handshaking,
            State::Plain(_) | State::Tls(_) => Phase::Answer,
        }
    }

    pub(super) fn interest(&self) -> Option<Interest<'_>> {
        let (stream, is_sending) = match &self.state {
            State::Dialling(dial) => return dial.interest(),
            State::Plain(stream) => (stream, !self.output.is_empty()),
            State::Tls(session) => {
                let has_more = !session.is_handshaking() && !self.output.is_empty();
                (session.stream(), session.wants_write() || has_more)
            }
        };
        Some(if is_sending {
            Interest::writable(stream.as_fd())
        } else {
            Interest::readable(stream.as_fd())
        })
    }

    /// When to call [`Link::proceed`] at the latest.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match &self.state {
            State::Dialling(dial) => dial.wake_at(),
            State::Plain(_) | State::Tls(_) => self.again,
        }
    }
}
