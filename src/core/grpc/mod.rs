//! The gRPC health check: one unary call of grpc.health.v1.Health/Check over HTTP/2.
//!
//! | source | |
//! | --- | --- |
//! | RFC 9113 | HTTP/2: frames, streams, errors |
//! | RFC 7541 | HPACK, the header blocks |
//! | PROTOCOL-HTTP2.md of github.com/grpc/grpc | requests and answers of gRPC |
//! | grpc/health/v1/health.proto of github.com/grpc/grpc-proto | the messages |
//!
//! The connection has one stream, 1. All of the request is sent at the beginning, before the
//! server's settings are known. It fits into every flow-control window and frame that a server may
//! start with. Then the talk only reads, and answers PING and SETTINGS.
//!
//! One limit bounds all that a hostile server can cause: frames of [`MOST_BYTES`] bytes. No answer
//! to a frame is longer than the frame. The flow-control window of 65,535 bytes is never used up,
//! so no WINDOW_UPDATE is sent.

pub mod frame;
pub mod hpack;
pub mod message;

use self::frame::{
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADERS, Head, LONGEST, NO_ERROR, PING, PRIORITY,
    PROTOCOL_ERROR, PUSH_PROMISE, RESERVED, RST_STREAM, SETTINGS, WINDOW_UPDATE, number, push,
};
use self::hpack::{BadBlock, Decoder, Field, Name};
use super::answer::{not_http, status_line};
use super::dialogue::Dialogue;
use super::digits;
use super::outcome::{GrpcAnswer, Outcome, Reason, one_line};
use super::protocol::{self, Protocol};
use percent_encoding::percent_decode;
use std::borrow::Cow;

/// The most bytes of frames that are read, and the most bytes of the fields of one header block.
pub const MOST_BYTES: usize = 65_535;

/// How many bytes of a server's own words are shown.
const SHOWN: usize = 120;

/// How many bytes are read of a first line that is not HTTP/2.
const FIRST_LINE: usize = 64;

/// The largest flow-control window (RFC 9113, 6.9.1).
const LARGEST_WINDOW: i64 = 0x7fff_ffff;
/// The size of each window at the beginning (RFC 9113, 6.9.2).
const FIRST_WINDOW: i64 = 65_535;

/// The client's connection preface (RFC 9113, 3.4), with SETTINGS_ENABLE_PUSH 0 and
/// SETTINGS_MAX_HEADER_LIST_SIZE 65,535 (6.5.2).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\x0c\x04\0\0\0\0\0\0\x02\0\0\0\0\0\x06\0\0\xff\xff";

/// The request's fields, in the order of Request-Headers in PROTOCOL-HTTP2.md: POST and the scheme
/// from the static table of RFC 7541, `:path`, and the name of `:authority`. Literals are not
/// indexed (RFC 7541, 6.2.2).
const PATH: &[u8] = b"\x04\x1c/grpc.health.v1.Health/Check\x01";
/// Those behind `:authority`, with the name of `user-agent`.
const FIELDS: &[u8] = b"\0\x02te\x08trailers\x0f\x10\x10application/grpc\x0f\x2b";

/// The only stream.
const STREAM: u32 = 1;

/// The numbers of gRPC statuses.
const OK: u32 = 0;
const UNIMPLEMENTED: u32 = 12;

/// How far the exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing but SETTINGS may come first (RFC 9113, 3.4).
    Preface,
    /// The server does not speak HTTP/2. Its first line is read.
    FirstLine,
    /// The headers of the answer are awaited.
    Headers,
    /// The message and the trailers are awaited.
    Body,
}

/// The talk of one health check.
#[derive(Debug)]
pub struct Health {
    request: Vec<u8>,
    stage: Stage,
    /// The frame that is read, from its first byte.
    frame: Vec<u8>,
    /// The length of all frames so far.
    received: usize,
    decoder: Decoder,
    /// A header block that is not complete, and the head of its HEADERS.
    block: Option<(Head, Vec<u8>)>,
    /// The data of the answer.
    message: Vec<u8>,
    status: Option<(u32, String)>,
    /// A GOAWAY with an error code that lets this stream go on.
    goaway: Option<GrpcAnswer>,
    /// How much may be sent: on the connection, and on the stream.
    windows: [i64; 2],
    /// The server's SETTINGS_INITIAL_WINDOW_SIZE.
    first_window: i64,
}

/// The error is the end of the talk.
type Step = Result<(), Outcome>;

impl Health {
    /// The check of `service` ("" is the whole server) at a server that is called `authority`.
    pub fn new(authority: &str, service: &str, is_tls: bool, user_agent: &str) -> Self {
        let mut headers = vec![0x83, if is_tls { 0x87 } else { 0x86 }];
        headers.extend(PATH);
        literal(&mut headers, authority);
        headers.extend(FIELDS);
        literal(&mut headers, user_agent);
        let message = message::request(service);
        let mut request = PREFACE.to_vec();
        push(&mut request, HEADERS, END_HEADERS, STREAM, &headers);
        push(&mut request, DATA, END_STREAM, STREAM, &message);
        let sent = i64::try_from(message.len()).unwrap_or_default();
        Self {
            request,
            stage: Stage::Preface,
            frame: Vec::new(),
            received: 0,
            decoder: Decoder::default(),
            block: None,
            message: Vec::new(),
            status: None,
            goaway: None,
            windows: [FIRST_WINDOW.saturating_sub(sent); 2],
            first_window: FIRST_WINDOW,
        }
    }

    /// Reads what has come.
    fn read(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Step {
        while !bytes.is_empty() {
            if self.stage == Stage::FirstLine {
                self.first_line(&mut bytes)?;
                continue;
            }
            take(&mut bytes, &mut self.frame, frame::HEADER);
            let Some(head) = Head::of(&self.frame) else {
                break;
            };
            if self.stage == Stage::Preface && !is_preface(head) {
                if protocol::of(&self.frame) == Some(Protocol::Http2) {
                    return Err(broken(PROTOCOL_ERROR, head));
                }
                self.stage = Stage::FirstLine;
                self.first_line(&mut bytes)?;
                continue;
            }
            if head.length > LONGEST {
                return Err(broken(FRAME_SIZE_ERROR, head));
            }
            let length = frame::HEADER.saturating_add(head.length);
            take(&mut bytes, &mut self.frame, length);
            if self.frame.len() < length {
                break;
            }
            self.received = self.received.saturating_add(length);
            if self.received > MOST_BYTES {
                return Err(not_yet(GrpcAnswer::TooLong));
            }
            let frame = std::mem::take(&mut self.frame);
            self.frame(head, frame.get(frame::HEADER..).unwrap_or_default(), out)?;
        }
        Ok(())
    }

    /// Reads a frame (RFC 9113, 6). Errors of the stream end the connection, too, as RFC 9113,
    /// 5.4.1 allows: there is no other stream.
    fn frame(&mut self, head: Head, content: &[u8], out: &mut Vec<u8>) -> Step {
        let bad = |code| Err(broken(code, head));
        // Nothing comes between the frames of a header block (RFC 9113, 6.10).
        let is_place = self.block.is_some() == (head.kind == CONTINUATION);
        let (is_stream, is_length) = match head.kind {
            DATA | HEADERS | CONTINUATION => (head.stream == STREAM, true),
            PRIORITY => (head.stream != 0, content.len() == 5),
            RST_STREAM => (head.stream == STREAM, content.len() == 4),
            SETTINGS if head.has(ACK) => (head.stream == 0, content.is_empty()),
            SETTINGS => (head.stream == 0, content.len().is_multiple_of(6)),
            // Push is disabled (RFC 9113, 8.4).
            PUSH_PROMISE => (false, true),
            PING => (head.stream == 0, content.len() == 8),
            GOAWAY => (head.stream == 0, content.len() >= 8),
            WINDOW_UPDATE => (head.stream <= STREAM, content.len() == 4),
            // Extensions are ignored (RFC 9113, 5.5).
            _ => (true, true),
        };
        if !is_place || !is_stream {
            return bad(PROTOCOL_ERROR);
        }
        if !is_length {
            return bad(FRAME_SIZE_ERROR);
        }
        match head.kind {
            DATA => match head.content(content) {
                Some(data) if self.stage == Stage::Body => {
                    self.message.extend(data);
                    if head.has(END_STREAM) {
                        return Err(self.judge());
                    }
                }
                _ => return bad(PROTOCOL_ERROR),
            },
            HEADERS => match head.content(content) {
                Some(part) => {
                    self.block = Some((head, part.to_vec()));
                    return self.block_part(head);
                }
                None => return bad(PROTOCOL_ERROR),
            },
            CONTINUATION => {
                if let Some((_, block)) = &mut self.block {
                    block.extend(content);
                }
                return self.block_part(head);
            }
            RST_STREAM => {
                let code = number(content).unwrap_or_default();
                return Err(not_yet(GrpcAnswer::Reset(code)));
            }
            SETTINGS if !head.has(ACK) => {
                for setting in content.chunks_exact(6) {
                    self.setting(setting, head)?;
                }
                if self.stage == Stage::Preface {
                    self.stage = Stage::Headers;
                }
                push(out, SETTINGS, ACK, 0, &[]);
            }
            PING if !head.has(ACK) => push(out, PING, ACK, 0, content),
            GOAWAY => return self.goaway(content),
            WINDOW_UPDATE => {
                let more = number(content).unwrap_or_default() & RESERVED;
                let [connection, stream] = &mut self.windows;
                let window = if head.stream == 0 { connection } else { stream };
                *window = window.saturating_add(i64::from(more));
                if more == 0 {
                    return bad(PROTOCOL_ERROR);
                }
                if *window > LARGEST_WINDOW {
                    return bad(FLOW_CONTROL_ERROR);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads one of the settings (RFC 9113, 6.5.2). The others are about requests to come.
    fn setting(&mut self, setting: &[u8], head: Head) -> Step {
        let Some(([0, id], value)) = setting.split_first_chunk::<2>() else {
            return Ok(());
        };
        let value = number(value).unwrap_or_default();
        match (id, value) {
            // SETTINGS_ENABLE_PUSH is the client's.
            (2, 1..) => Err(broken(PROTOCOL_ERROR, head)),
            // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113, 6.9.2).
            (4, _) => {
                let (size, [_, window]) = (i64::from(value), &mut self.windows);
                let change = size.saturating_sub(self.first_window);
                *window = window.saturating_add(change);
                self.first_window = size;
                if size > LARGEST_WINDOW || *window > LARGEST_WINDOW {
                    return Err(broken(FLOW_CONTROL_ERROR, head));
                }
                Ok(())
            }
            // SETTINGS_MAX_FRAME_SIZE
            (5, 0..16_384 | 0x0100_0000..) => Err(broken(PROTOCOL_ERROR, head)),
            _ => Ok(()),
        }
    }

    /// The connection will be closed (RFC 9113, 6.8). A stream that the server has accepted ends
    /// first.
    fn goaway(&mut self, content: &[u8]) -> Step {
        let (last, rest) = content.split_at_checked(4).unwrap_or_default();
        let (code, words) = rest.split_at_checked(4).unwrap_or_default();
        let code = number(code).unwrap_or_default();
        let answer = GrpcAnswer::GoAway(code, shown(words));
        if number(last).unwrap_or_default() & RESERVED < STREAM {
            return Err(not_yet(answer));
        }
        if code != NO_ERROR {
            self.goaway = Some(answer);
        }
        Ok(())
    }

    /// Reads the header block, if this frame of it is the last one.
    fn block_part(&mut self, part: Head) -> Step {
        if !part.has(END_HEADERS) {
            return Ok(());
        }
        let Some((head, block)) = self.block.take() else {
            return Ok(());
        };
        match self.decoder.block(&block, MOST_BYTES) {
            Ok(fields) => self.fields(head, fields),
            Err(BadBlock::Malformed) => Err(broken(COMPRESSION_ERROR, head)),
            Err(BadBlock::Forbidden) => Err(broken(PROTOCOL_ERROR, head)),
            Err(BadBlock::TooLong) => Err(not_yet(GrpcAnswer::TooLong)),
        }
    }

    /// The headers of the answer, or its trailers (Response in PROTOCOL-HTTP2.md; RFC 9113, 8.1).
    fn fields(&mut self, head: Head, fields: Vec<Field>) -> Step {
        let malformed = || Err(broken(PROTOCOL_ERROR, head));
        let is_end = head.has(END_STREAM);
        let (mut http_status, mut status) = (None, None);
        let (mut words, mut kind) = (Vec::new(), Vec::new());
        for field in fields {
            let value = field.value;
            match field.name {
                // Three digits: 0 is none of the ranges below.
                Name::Status if value.len() == 3 => http_status = decimal(&value),
                Name::Status => http_status = Some(0),
                Name::GrpcStatus => status = Some(decimal(&value)),
                Name::GrpcMessage => words = value,
                Name::ContentType => kind = value,
                Name::Forbidden | Name::Other => {}
            }
        }
        if let Some(status) = status {
            let words = shown(&Cow::from(percent_decode(&words)));
            self.status = status.map(|status| (status, words));
        }
        let is_failure = matches!(status, Some(Some(1..)));
        if self.stage == Stage::Body {
            return if http_status.is_none() && is_end {
                Err(self.judge())
            } else {
                malformed()
            };
        }
        let http_status = match http_status {
            // An interim answer. The final one follows (RFC 9110, 15.2).
            Some(100..=199) if !is_end => return Ok(()),
            Some(found @ 200..=999) => found as u16,
            _ => return malformed(),
        };
        self.stage = Stage::Body;
        // A proxy may send its own status with a grpc-status, or without one.
        if is_failure {
            Err(self.judge())
        } else if http_status != 200 {
            Err(not_yet(GrpcAnswer::HttpStatus(http_status)))
        } else if !is_grpc(&kind) {
            Err(not_yet(GrpcAnswer::ContentType(shown(&kind))))
        } else if is_end {
            Err(self.judge())
        } else {
            Ok(())
        }
    }

    /// The outcome of a complete answer.
    fn judge(&mut self) -> Outcome {
        let answer = match self.status.take() {
            None => GrpcAnswer::NoStatus,
            Some((OK, _)) => match message::response(&self.message) {
                Ok(None) => return Outcome::Pass,
                Ok(Some(status)) => GrpcAnswer::NotServing(status),
                Err(how) => GrpcAnswer::Message(how),
            },
            Some((UNIMPLEMENTED, words)) => {
                return Outcome::Never(Reason::Grpc(GrpcAnswer::Status(UNIMPLEMENTED, words)));
            }
            Some((status, words)) => GrpcAnswer::Status(status, words),
        };
        not_yet(answer)
    }

    /// Reads the first line of a server that does not speak HTTP/2. Bytes that are not text have no
    /// line.
    fn first_line(&mut self, bytes: &mut &[u8]) -> Step {
        let is_end = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\r' | b'\t');
        while self.frame.len() < FIRST_LINE && !self.frame.iter().any(is_end) {
            let Some((byte, rest)) = bytes.split_first() else {
                return Ok(());
            };
            self.frame.push(*byte);
            *bytes = rest;
        }
        Err(self.other_protocol())
    }

    fn other_protocol(&self) -> Outcome {
        let line = self.frame.split(|byte| *byte == b'\n').next();
        not_yet(
            match line.and_then(|line| status_line(line.trim_ascii_end())) {
                Some((_, status)) => GrpcAnswer::Http1(status),
                None => GrpcAnswer::NotHttp2(not_http(&self.frame, true)),
            },
        )
    }
}

impl Dialogue for Health {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.request);
    }

    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Outcome> {
        let outcome = self.read(bytes, out).err()?;
        let Some(code) = farewell(&outcome) else {
            return Some(outcome);
        };
        // The server has begun no stream: the last one is 0.
        let [a, b, c, d] = code.to_be_bytes();
        push(out, GOAWAY, 0, 0, &[0, 0, 0, 0, a, b, c, d]);
        Some(outcome)
    }

    fn end(&mut self) -> Outcome {
        let is_unknown = match self.stage {
            Stage::FirstLine => true,
            Stage::Preface => (1..frame::HEADER).contains(&self.frame.len()),
            Stage::Headers | Stage::Body => false,
        };
        if is_unknown {
            return self.other_protocol();
        }
        not_yet(self.goaway.take().unwrap_or(GrpcAnswer::Closed))
    }
}

/// Whether a server's connection preface begins so. A server that has no room for a connection may
/// begin with GOAWAY.
const fn is_preface(head: Head) -> bool {
    (head.kind == SETTINGS && !head.has(ACK) || head.kind == GOAWAY) && head.stream == 0
}

/// Whether this is a content-type of gRPC (Content-Type in PROTOCOL-HTTP2.md).
fn is_grpc(kind: &[u8]) -> bool {
    kind.strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// A server's own words.
fn shown(words: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(words), SHOWN)
}

fn decimal(digits: &[u8]) -> Option<u32> {
    digits::number(std::str::from_utf8(digits).ok()?)
}

const fn not_yet(answer: GrpcAnswer) -> Outcome {
    Outcome::NotYet(Reason::Grpc(answer))
}

/// The server breaks a rule of HTTP/2 with this frame.
const fn broken(code: u32, head: Head) -> Outcome {
    let frame = head.kind;
    not_yet(GrpcAnswer::Broken { code, frame })
}

/// The error code of the GOAWAY after this outcome. `None` if the server does not know what a frame
/// is.
fn farewell(outcome: &Outcome) -> Option<u32> {
    match outcome {
        Outcome::NotYet(Reason::Grpc(GrpcAnswer::NotHttp2(_) | GrpcAnswer::Http1(_))) => None,
        Outcome::NotYet(Reason::Grpc(GrpcAnswer::Broken { code, .. })) => Some(*code),
        Outcome::NotYet(Reason::Grpc(GrpcAnswer::TooLong)) => Some(ENHANCE_YOUR_CALM),
        Outcome::Pass | Outcome::NotYet(_) | Outcome::Never(_) => Some(NO_ERROR),
    }
}

/// Moves bytes until `held` has this length.
fn take(bytes: &mut &[u8], held: &mut Vec<u8>, length: usize) {
    let count = length.saturating_sub(held.len()).min(bytes.len());
    let (some, rest) = bytes.split_at_checked(count).unwrap_or_default();
    held.extend(some);
    *bytes = rest;
}

/// Appends a string that is not coded (RFC 7541, 5.2).
fn literal(out: &mut Vec<u8>, value: &str) {
    let mut length = value.len();
    if let Some(more) = length.checked_sub(0x7f) {
        out.push(0x7f);
        length = more;
        while length > 0x7f {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
    }
    out.push(length as u8);
    out.extend(value.bytes());
}

#[cfg(test)]
mod tests;
