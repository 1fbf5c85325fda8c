//! Whole talks: what a server sends, in one piece and byte by byte, and what comes of it.

use super::super::dialogue::Dialogue;
use super::super::outcome::{
    BadAnswer, BadMessage, GrpcAnswer, Outcome, Reason, ServingStatus as Serving,
};
use super::super::protocol::Protocol;
use super::frame::{
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADERS, LONGEST, NO_ERROR, PING, PRIORITY,
    PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, push,
};
use super::{Health, MOST_BYTES};
use proptest::prelude::*;

/// The flags of a header block that is complete, and of one that ends the answer, too.
const WHOLE: u8 = END_HEADERS;
const LAST: u8 = END_HEADERS | END_STREAM;

const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";

fn health() -> Health {
    Health::new("db:5000", "", false, "podgate/1")
}

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push(&mut out, kind, flags, stream, content);
    out
}

/// A header block of literals without indexing.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        super::literal(&mut block, name);
        super::literal(&mut block, value);
    }
    block
}

fn headers(flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags, 1, &block(fields))
}

fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

fn begin() -> Vec<u8> {
    headers(
        WHOLE,
        &[(":status", "200"), ("content-type", "application/grpc")],
    )
}

fn data(content: &[u8]) -> Vec<u8> {
    frame(DATA, 0, 1, content)
}

fn trailers(status: &str) -> Vec<u8> {
    headers(LAST, &[("grpc-status", status)])
}

/// The outcome of a talk, and what podgate sent in it. `None` if the talk goes on.
fn talk(pieces: &[&[u8]]) -> (Option<Outcome>, Vec<u8>) {
    let (mut health, mut out) = (health(), Vec::new());
    for piece in pieces {
        if let Some(outcome) = health.feed(piece, &mut out) {
            return (Some(outcome), out);
        }
    }
    (None, out)
}

/// The same, of frames after the server's preface. It is the same in one piece and byte by byte.
fn after_preface(frames: &[Vec<u8>]) -> (Option<Outcome>, Vec<u8>) {
    let mut bytes = settings();
    bytes.extend(frames.concat());
    let (outcome, out) = in_any_pieces(&bytes);
    let rest = out.strip_prefix(&frame(SETTINGS, ACK, 0, &[])[..]);
    (outcome, rest.unwrap().to_vec())
}

fn in_any_pieces(bytes: &[u8]) -> (Option<Outcome>, Vec<u8>) {
    let whole = talk(&[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(talk(&single), whole, "{}", bytes.escape_ascii());
    whole
}

fn outcome(frames: &[Vec<u8>]) -> Option<Outcome> {
    after_preface(frames).0
}

fn not_yet(answer: GrpcAnswer) -> Option<Outcome> {
    Some(Outcome::NotYet(Reason::Grpc(answer)))
}

fn broken(code: u32, frame: u8) -> Option<Outcome> {
    not_yet(GrpcAnswer::Broken { code, frame })
}

fn goaway(code: u32) -> Vec<u8> {
    let mut content = vec![0; 4];
    content.extend(code.to_be_bytes());
    frame(GOAWAY, 0, 0, &content)
}

/// The end of the connection after these frames.
fn end(bytes: &[u8]) -> Outcome {
    let (mut health, mut out) = (health(), Vec::new());
    assert_eq!(health.feed(bytes, &mut out), None);
    health.end()
}

#[test]
fn the_request_is_sent_at_once() {
    let mut out = Vec::new();
    Health::new("db:5000", "a.B", false, "podgate/1").begin(&mut out);
    let expected: &[&[u8]] = &[
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\x0c\x04\0\0\0\0\0\0\x02\0\0\0\0\0\x06\0\0\xff\xff",
        b"\0\0\x55\x01\x04\0\0\0\x01\x83\x86\x04\x1c/grpc.health.v1.Health/Check",
        b"\x01\x07db:5000\0\x02te\x08trailers\x0f\x10\x10application/grpc\x0f\x2b\x09podgate/1",
        b"\0\0\x0a\0\x01\0\0\0\x01\0\0\0\0\x05\x0a\x03a.B",
    ];
    assert_eq!(
        out.escape_ascii().to_string(),
        expected.concat().escape_ascii().to_string()
    );
    let mut tls = Vec::new();
    Health::new("db:5000", "a.B", true, "podgate/1").begin(&mut tls);
    let differing = out.iter().zip(&tls).filter(|(a, b)| a != b);
    assert_eq!(differing.collect::<Vec<_>>(), [(&0x86, &0x87)]);
    assert_eq!(out.len(), tls.len());
}

#[test]
fn a_long_value_has_its_length_in_several_bytes() {
    for (length, expected) in [
        (126, &b"\x7e"[..]),
        (127, b"\x7f\0"),
        (254, b"\x7f\x7f"),
        (255, b"\x7f\x80\x01"),
    ] {
        let mut out = Vec::new();
        super::literal(&mut out, &"a".repeat(length));
        assert_eq!(out.len(), expected.len() + length);
        assert!(out.starts_with(expected), "{length}");
    }
}

/// What a server of grpcio 1.85 sent: SETTINGS, WINDOW_UPDATE, an ACK, a PING, the answer.
const GRPCIO: &[u8] =
    b"\0\0\x18\x04\0\0\0\0\0\0\x04\0@\0\0\0\x05\0@\0\0\0\x06\0\0@\0\xfe\x03\0\0\0\
    \x01\0\0\x04\x08\0\0\0\0\0\0?\0\x01\0\0\0\x04\x01\0\0\0\0\0\0\x04\x08\0\0\0\0\0\0\0\0\x05\
    \0\0\x08\x06\0\0\0\0\0\x14\xceok]\xd8\n\xcb\0\0N\x01\x04\0\0\0\x01\x88@\x0ccontent-type\
    \x10application/grpc@\x14grpc-accept-encoding\x17identity, deflate, gzip\0\0\x07\0\0\0\0\0\x01\
    \0\0\0\0\x02\x08\x01\0\0\x1e\x01\x05\0\0\0\x01@\x0bgrpc-status\x010\0\x0cgrpc-message\0";

/// What Envoy 1.40 sent, which was before such a server: its fields are in the Huffman code.
const ENVOY: &[u8] =
    b"\0\0\x18\x04\0\0\0\0\0\0\x01\0\0\x10\0\0\x08\0\0\0\0\0\x03\0\0\x04\0\0\x04\x01\0\0\0\0\0\
    \0\x04\x01\0\0\0\0\0\0\x04\x08\0\0\0\0\0\x01\x7f\0\x01\0\0g\x01\x04\0\0\0\x01\x88_\x8b\
    \x1du\xd0b\x0d&=LMed@\x8e\x9a\xca\xc8\xb0\xc8B\xd6\x95\x8bQ\x0f!\xaa\x9b\x914\x85\xa9&O\
    \xaf\xa5$,\xb4\x0d%\xfaRof\xaf@\x95\xf2\xb1j\xee\x7fK[Z\x13aGJ\xc8-\x9d\xccB\xac\x93R_\
    \x011a\x96\xdc4\xfd('\x94\xd2~\xea\x08\x02q@\xbbq\x90\xdcm\xd51h\xdfv\x84-]\xcf\xeb\0\0\
    \x07\0\0\0\0\0\x01\0\0\0\0\x02\x08\x01\0\0\x18\x01\x05\0\0\0\x01@\x88\x9a\xca\xc8\xb2\
    \x124\xda\x8f\x010@\x89\x9a\xca\xc8\xb5%B\x071\x7f\0";

#[test]
fn an_answer_of_a_proxy_passes() {
    assert_eq!(in_any_pieces(ENVOY).0, Some(Outcome::Pass));
    // The last byte of the status in the trailers.
    let mut other = ENVOY.to_vec();
    let place = other.len() - 13;
    assert_eq!(other[place], b'0');
    other[place] = b'5';
    let found = in_any_pieces(&other).0;
    assert_eq!(found, not_yet(GrpcAnswer::Status(5, String::new())));
}

#[test]
fn a_server_that_is_serving_passes() {
    let (outcome, out) = in_any_pieces(GRPCIO);
    assert_eq!(outcome, Some(Outcome::Pass));
    let sent = [
        frame(SETTINGS, ACK, 0, &[]),
        frame(PING, ACK, 0, b"\x14\xceok]\xd8\n\xcb"),
        goaway(NO_ERROR),
    ];
    assert_eq!(out, sent.concat());
    // It does not pass before the trailers, which have the status.
    for length in 0..GRPCIO.len() {
        assert_eq!(talk(&[&GRPCIO[..length]]).0, None, "{length}");
    }
}

#[test]
fn the_message_has_the_health_status() {
    for (number, expected) in [
        (0, Serving::Unknown),
        (2, Serving::NotServing),
        (3, Serving::ServiceUnknown),
        (7, Serving::Other(7)),
    ] {
        let message = [0, 0, 0, 0, 2, 8, number];
        let found = outcome(&[begin(), data(&message), trailers("0")]);
        assert_eq!(found, not_yet(GrpcAnswer::NotServing(expected)));
    }
    // The message in pieces, with padding, and with empty frames between them.
    let frames = [
        begin(),
        data(b""),
        data(&SERVING[..3]),
        frame(DATA, 8, 1, b"\x02\0\x02\0\0"),
        data(b""),
        data(&SERVING[5..]),
        trailers("0"),
    ];
    assert_eq!(outcome(&frames), Some(Outcome::Pass));
}

#[test]
fn a_message_that_cannot_be_read_is_described() {
    for (message, expected) in [
        (&b""[..], BadMessage::Missing),
        (b"\x01\0\0\0\x02\x08\x01", BadMessage::Compressed),
        (b"\0\0\0\0\x02\x08", BadMessage::Malformed),
        (
            b"\0\0\0\0\x02\x08\x01\0\0\0\0\x02\x08\x01",
            BadMessage::Malformed,
        ),
    ] {
        let found = outcome(&[begin(), data(message), trailers("0")]);
        assert_eq!(found, not_yet(GrpcAnswer::Message(expected)));
    }
}

#[test]
fn a_status_other_than_ok_goes_before_the_message() {
    let found = outcome(&[begin(), data(SERVING), trailers("5")]);
    assert_eq!(found, not_yet(GrpcAnswer::Status(5, String::new())));
    let found = outcome(&[begin(), trailers("12")]);
    let unimplemented = GrpcAnswer::Status(12, String::new());
    assert_eq!(found, Some(Outcome::Never(Reason::Grpc(unimplemented))));
}

/// "Trailers-Only" in PROTOCOL-HTTP2.md.
#[test]
fn an_answer_may_be_its_trailers_only() {
    let only = |fields: &[(&str, &str)]| {
        let mut all = vec![(":status", "200"), ("content-type", "application/grpc")];
        all.extend(fields);
        outcome(&[headers(LAST, &all)])
    };
    let words = ("grpc-message", "no%20healthy\r upstream");
    assert_eq!(
        only(&[("grpc-status", "14"), words]),
        broken(PROTOCOL_ERROR, HEADERS)
    );
    let words = ("grpc-message", "gr%C3%BC%C3%9F%0a%1b[1m 100%, %zz");
    assert_eq!(
        only(&[("grpc-status", "14"), words]),
        not_yet(GrpcAnswer::Status(14, "grüß  [1m 100%, %zz".to_owned()))
    );
    let long = "x".repeat(1000);
    let Some(Outcome::NotYet(Reason::Grpc(GrpcAnswer::Status(13, words)))) =
        only(&[("grpc-status", "13"), ("grpc-message", &long)])
    else {
        panic!("no status 13");
    };
    assert_eq!(words, format!("{}…", "x".repeat(120)));
    assert_eq!(only(&[]), not_yet(GrpcAnswer::NoStatus));
    for status in ["", "-1", "+5", "5 ", "x", "99999999999"] {
        let found = only(&[("grpc-status", status)]);
        assert_eq!(found, not_yet(GrpcAnswer::NoStatus), "{status:?}");
    }
    let missing = not_yet(GrpcAnswer::Message(BadMessage::Missing));
    assert_eq!(only(&[("grpc-status", "0")]), missing);
    assert_eq!(
        only(&[("grpc-status", "77")]),
        not_yet(GrpcAnswer::Status(77, String::new()))
    );
}

#[test]
fn an_answer_without_trailers_has_no_status() {
    let found = outcome(&[begin(), frame(DATA, END_STREAM, 1, SERVING)]);
    assert_eq!(found, not_yet(GrpcAnswer::NoStatus));
}

#[test]
fn an_http_status_other_than_200_is_named_unless_there_is_a_grpc_status() {
    for status in ["404", "503", "302"] {
        let found = outcome(&[headers(
            WHOLE,
            &[(":status", status), ("content-type", "text/html")],
        )]);
        let number = status.parse().unwrap();
        assert_eq!(found, not_yet(GrpcAnswer::HttpStatus(number)));
    }
    // A malformed status is none, and one in the headers does not replace it.
    let fields = [
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("grpc-status", "0"),
    ];
    let found = outcome(&[headers(WHOLE, &fields), data(SERVING), trailers("x")]);
    assert_eq!(found, not_yet(GrpcAnswer::NoStatus));
    // From the static table.
    let found = outcome(&[frame(HEADERS, WHOLE, 1, &[0x8e])]);
    assert_eq!(found, not_yet(GrpcAnswer::HttpStatus(500)));
    let found = outcome(&[headers(WHOLE, &[(":status", "503"), ("grpc-status", "14")])]);
    assert_eq!(found, not_yet(GrpcAnswer::Status(14, String::new())));
    for kind in ["text/html", "application/grpc-web", ""] {
        let found = outcome(&[headers(
            WHOLE,
            &[(":status", "200"), ("content-type", kind)],
        )]);
        assert_eq!(found, not_yet(GrpcAnswer::ContentType(kind.to_owned())));
    }
    for kind in ["application/grpc+proto", "application/grpc;x=y"] {
        let headers = headers(WHOLE, &[(":status", "200"), ("content-type", kind)]);
        let found = outcome(&[headers, data(SERVING), trailers("0")]);
        assert_eq!(found, Some(Outcome::Pass), "{kind}");
    }
}

#[test]
fn an_interim_answer_is_not_the_final_one() {
    let interim = headers(WHOLE, &[(":status", "103"), ("link", "x")]);
    let frames = [
        interim.clone(),
        interim,
        begin(),
        data(SERVING),
        trailers("0"),
    ];
    assert_eq!(outcome(&frames), Some(Outcome::Pass));
    let found = outcome(&[headers(LAST, &[(":status", "103")])]);
    assert_eq!(found, broken(PROTOCOL_ERROR, HEADERS));
}

/// RFC 9113, 8.1 to 8.3.
#[test]
fn malformed_headers_are_refused() {
    let kind = ("content-type", "application/grpc");
    for fields in [
        &[][..],
        &[kind],
        &[(":status", "")],
        &[(":status", "20")],
        &[(":status", "2000")],
        &[(":status", "099")],
        &[(":status", "+20")],
        &[(":status", "200"), (":status", "200"), kind],
        &[kind, (":status", "200")],
        &[(":path", "/"), (":status", "200"), kind],
        &[(":status", "200"), (":path", "/"), kind],
        &[(":status", "200"), ("Content-Type", "application/grpc")],
        &[(":status", "200"), ("connection", "close"), kind],
        &[(":status", "200"), ("transfer-encoding", "chunked"), kind],
        &[(":status", "200"), ("", "x"), kind],
        &[(":status", "200"), ("a b", "x"), kind],
        &[(":status", "200"), ("x", "a\nb"), kind],
        &[(":status", "200"), ("x", "a\0b"), kind],
    ] {
        let found = outcome(&[headers(WHOLE, fields)]);
        assert_eq!(found, broken(PROTOCOL_ERROR, HEADERS), "{fields:?}");
    }
    // Trailers have no status of HTTP, and end the answer.
    let with_status = headers(LAST, &[(":status", "200"), ("grpc-status", "0")]);
    let not_last = headers(WHOLE, &[("grpc-status", "0")]);
    for trailers in [with_status, not_last] {
        let found = outcome(&[begin(), data(SERVING), trailers]);
        assert_eq!(found, broken(PROTOCOL_ERROR, HEADERS));
    }
    // A block that is not HPACK.
    let found = outcome(&[frame(HEADERS, WHOLE, 1, &[0x80])]);
    assert_eq!(found, broken(COMPRESSION_ERROR, HEADERS));
}

/// RFC 9113, 6.2 and 6.10.
#[test]
fn a_header_block_may_come_in_several_frames() {
    let fields = block(&[(":status", "200"), ("content-type", "application/grpc")]);
    let (some, rest) = fields.split_at(9);
    let mut padded = vec![3, 0, 0, 0, 0, 16];
    padded.extend(some);
    padded.extend([0; 3]);
    let frames = [
        frame(HEADERS, 0x28, 1, &padded),
        frame(CONTINUATION, 0, 1, &[]),
        frame(CONTINUATION, 0, 1, &rest[..7]),
        frame(CONTINUATION, WHOLE, 1, &rest[7..]),
        data(SERVING),
        trailers("0"),
    ];
    assert_eq!(outcome(&frames), Some(Outcome::Pass));
    let first = frame(HEADERS, 0, 1, some);
    for (next, kind) in [
        (frame(CONTINUATION, WHOLE, 3, rest), CONTINUATION),
        (frame(HEADERS, WHOLE, 1, rest), HEADERS),
        (data(b""), DATA),
        (frame(PING, 0, 0, &[0; 8]), PING),
        (settings(), SETTINGS),
        (frame(0x20, 0, 0, &[]), 0x20),
    ] {
        let found = outcome(&[first.clone(), next]);
        assert_eq!(found, broken(PROTOCOL_ERROR, kind));
    }
    let found = outcome(&[frame(CONTINUATION, WHOLE, 1, &fields)]);
    assert_eq!(found, broken(PROTOCOL_ERROR, CONTINUATION));
    let end = frame(HEADERS, END_STREAM, 1, &block(&[("grpc-status", "0")]));
    let frames = [
        begin(),
        data(SERVING),
        end,
        frame(CONTINUATION, WHOLE, 1, &[]),
    ];
    assert_eq!(outcome(&frames), Some(Outcome::Pass));
}

/// The rules of RFC 9113, 6, for each kind of frame.
#[test]
fn a_frame_that_breaks_a_rule_ends_the_talk_with_the_error_of_the_rule() {
    let setting = |id: u8, value: u32| {
        let mut content = vec![0, id];
        content.extend(value.to_be_bytes());
        frame(SETTINGS, 0, 0, &content)
    };
    for (bad, code, kind) in [
        (data(b""), PROTOCOL_ERROR, DATA),
        (frame(DATA, 0, 0, b""), PROTOCOL_ERROR, DATA),
        (frame(HEADERS, WHOLE, 0, &[0x88]), PROTOCOL_ERROR, HEADERS),
        (frame(HEADERS, WHOLE, 3, &[0x88]), PROTOCOL_ERROR, HEADERS),
        (frame(HEADERS, 0x8, 1, &[1]), PROTOCOL_ERROR, HEADERS),
        (frame(PRIORITY, 0, 0, &[0; 5]), PROTOCOL_ERROR, PRIORITY),
        (frame(PRIORITY, 0, 1, &[0; 4]), FRAME_SIZE_ERROR, PRIORITY),
        (frame(RST_STREAM, 0, 0, &[0; 4]), PROTOCOL_ERROR, RST_STREAM),
        (frame(RST_STREAM, 0, 2, &[0; 4]), PROTOCOL_ERROR, RST_STREAM),
        (
            frame(RST_STREAM, 0, 1, &[0; 3]),
            FRAME_SIZE_ERROR,
            RST_STREAM,
        ),
        (frame(SETTINGS, 0, 1, &[]), PROTOCOL_ERROR, SETTINGS),
        (frame(SETTINGS, 0, 0, &[0; 5]), FRAME_SIZE_ERROR, SETTINGS),
        (frame(SETTINGS, ACK, 0, &[0; 6]), FRAME_SIZE_ERROR, SETTINGS),
        (setting(2, 1), PROTOCOL_ERROR, SETTINGS),
        (setting(4, 0x8000_0000), FLOW_CONTROL_ERROR, SETTINGS),
        (setting(5, 16_383), PROTOCOL_ERROR, SETTINGS),
        (setting(5, 0x0100_0000), PROTOCOL_ERROR, SETTINGS),
        (
            frame(PUSH_PROMISE, WHOLE, 1, &[0, 0, 0, 2, 0x82]),
            PROTOCOL_ERROR,
            PUSH_PROMISE,
        ),
        (frame(PING, 0, 1, &[0; 8]), PROTOCOL_ERROR, PING),
        (frame(PING, 0, 0, &[0; 7]), FRAME_SIZE_ERROR, PING),
        (frame(GOAWAY, 0, 1, &[0; 8]), PROTOCOL_ERROR, GOAWAY),
        (frame(GOAWAY, 0, 0, &[0; 7]), FRAME_SIZE_ERROR, GOAWAY),
        (
            frame(WINDOW_UPDATE, 0, 0, &[0x80, 0, 0, 0]),
            PROTOCOL_ERROR,
            WINDOW_UPDATE,
        ),
        (
            frame(WINDOW_UPDATE, 0, 1, &[0; 4]),
            PROTOCOL_ERROR,
            WINDOW_UPDATE,
        ),
        (
            frame(WINDOW_UPDATE, 0, 2, &[0, 0, 0, 1]),
            PROTOCOL_ERROR,
            WINDOW_UPDATE,
        ),
        (
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            FRAME_SIZE_ERROR,
            WINDOW_UPDATE,
        ),
        (
            frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]),
            FLOW_CONTROL_ERROR,
            WINDOW_UPDATE,
        ),
    ] {
        let (outcome, sent) = after_preface(std::slice::from_ref(&bad));
        assert_eq!(outcome, broken(code, kind), "{bad:x?}");
        assert_eq!(sent, goaway(code));
    }
    let found = outcome(&[begin(), frame(DATA, 8, 1, &[1])]);
    assert_eq!(found, broken(PROTOCOL_ERROR, DATA));
    let found = outcome(&[begin(), frame(DATA, 0, 3, &[])]);
    assert_eq!(found, broken(PROTOCOL_ERROR, DATA));
}

#[test]
fn frames_that_are_allowed_change_nothing() {
    let frames = [
        frame(
            SETTINGS,
            0,
            0,
            b"\0\x01\0\0\0\0\0\x02\0\0\0\0\0\x03\0\0\0\0",
        ),
        frame(
            SETTINGS,
            0,
            0,
            b"\0\x04\x7f\xff\xff\xff\0\x05\0\xff\xff\xff\xff\xff\0\0\0\0",
        ),
        frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0"),
        frame(SETTINGS, ACK, 0, &[]),
        frame(PING, ACK, 0, &[0; 8]),
        frame(PRIORITY, 0, 9, &[0; 5]),
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0, 0]),
        frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]),
        // Extensions, one of them on a stream that does not exist.
        frame(0x0c, 0xff, 0, b"origin"),
        frame(0xff, 0xff, 77, &[0; 100]),
        begin(),
        frame(WINDOW_UPDATE, 0x55, 1, &[0x80, 0, 0, 1]),
        frame(0x10, 0, 0, &[]),
        data(SERVING),
        trailers("0"),
    ];
    let (outcome, sent) = after_preface(&frames);
    assert_eq!(outcome, Some(Outcome::Pass));
    let acks = frame(SETTINGS, ACK, 0, &[]).repeat(3);
    assert_eq!(sent, [acks, goaway(NO_ERROR)].concat());
}

#[test]
fn a_frame_that_is_too_large_is_refused_by_its_header() {
    let longest = frame(0xff, 0, 0, &vec![0; LONGEST]);
    let frames = [longest, begin(), data(SERVING), trailers("0")];
    assert_eq!(outcome(&frames), Some(Outcome::Pass));
    let larger = frame(DATA, 0, 1, &vec![0; LONGEST + 1]);
    let found = outcome(&[larger[..9].to_vec()]);
    assert_eq!(found, broken(FRAME_SIZE_ERROR, DATA));
}

#[test]
fn a_reset_of_the_stream_is_named() {
    for code in [0, 7, 0xd, u32::MAX] {
        let found = outcome(&[frame(RST_STREAM, 0, 1, &code.to_be_bytes())]);
        assert_eq!(found, not_yet(GrpcAnswer::Reset(code)));
    }
}

#[test]
fn a_server_that_goes_away_may_finish_the_stream_that_it_has_accepted() {
    let going = |last: u32, code: u32| {
        let mut content = last.to_be_bytes().to_vec();
        content.extend(code.to_be_bytes());
        content.extend(b"too\nmany");
        frame(GOAWAY, 0, 0, &content)
    };
    let gone = |code| GrpcAnswer::GoAway(code, "too many".to_owned());
    assert_eq!(outcome(&[going(0, 11)]), not_yet(gone(11)));
    assert_eq!(outcome(&[going(0x8000_0000, 0)]), not_yet(gone(0)));
    // Even before its settings, if it has no room for a connection.
    assert_eq!(in_any_pieces(&going(0, 11)).0, not_yet(gone(11)));
    for last in [1, 0x7fff_ffff] {
        let frames = [going(last, 2), begin(), data(SERVING), trailers("0")];
        assert_eq!(outcome(&frames), Some(Outcome::Pass));
    }
    let ended = |code| end(&[settings(), going(1, code)].concat());
    assert_eq!(Some(ended(2)), not_yet(gone(2)));
    assert_eq!(Some(ended(0)), not_yet(GrpcAnswer::Closed));
}

#[test]
fn a_connection_that_is_closed_early_is_no_answer() {
    for bytes in [
        &b""[..],
        &settings(),
        &[settings(), begin()].concat(),
        &[settings(), begin(), data(SERVING)].concat(),
        &settings()[..9],
        b"\0\0\x06\x04\0\0\0\0\0\0\x04",
    ] {
        assert_eq!(Some(end(bytes)), not_yet(GrpcAnswer::Closed), "{bytes:?}");
    }
}

#[test]
fn a_server_that_does_not_speak_http2_is_named() {
    let text = |text: &str| GrpcAnswer::NotHttp2(BadAnswer::Text(text.to_owned()));
    let speaks = |protocol| GrpcAnswer::NotHttp2(BadAnswer::Speaks(protocol));
    for (bytes, expected) in [
        (
            &b"HTTP/1.1 404 Not Found\r\nServer: x\r\n\r\n"[..],
            GrpcAnswer::Http1(404),
        ),
        (b"HTTP/1.0 400\n", GrpcAnswer::Http1(400)),
        (b"HTTP/1.1 x\r\n", text("HTTP/1.1 x")),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", speaks(Protocol::Ssh)),
        (b"220 mail ESMTP\r\n", speaks(Protocol::Smtp)),
        (b"-ERR unknown command\r\n", speaks(Protocol::Redis)),
        (b"<html><body>\n", text("<html><body>")),
        (b"J\0\0\0\x0a8.0.36\0", speaks(Protocol::Mysql)),
        (b"E\0\0\0\x50SFATAL\0", speaks(Protocol::Postgres)),
        (
            b"\x01\x02\x03\x04\x05\x06\x07\x08\x09",
            GrpcAnswer::NotHttp2(BadAnswer::Bytes("01 02 03 04 05 06 07 08".to_owned())),
        ),
    ] {
        let (outcome, sent) = in_any_pieces(bytes);
        assert_eq!(outcome, not_yet(expected), "{}", bytes.escape_ascii());
        assert_eq!(sent, b"");
    }
    // A line without an end.
    let (long, _) = in_any_pieces(&[b'a'; 200]);
    let shown = format!("{}…", "a".repeat(60));
    assert_eq!(long, not_yet(text(&shown)));
    // Less than a frame's header, and then the end.
    for (bytes, expected) in [
        (&b"\x15\x03\x01\0\x02\x02\x46"[..], speaks(Protocol::Tls)),
        (b"HTTP/1.1 503 x", GrpcAnswer::Http1(503)),
        (b"hi", text("hi")),
    ] {
        assert_eq!(Some(end(bytes)), not_yet(expected));
    }
    // HTTP/2 with another first frame than its settings (RFC 9113, 3.4).
    let ping = frame(PING, 0, 0, &[0; 8]);
    assert_eq!(in_any_pieces(&ping).0, broken(PROTOCOL_ERROR, PING));
}

#[test]
fn a_flood_of_frames_ends_the_talk_and_is_not_answered_without_limit() {
    let header = frame(HEADERS, 0, 1, &[0x88]);
    let floods: [(&[Vec<u8>], Vec<u8>); 8] = [
        (&[], frame(PING, 0, 0, &[0; 8])),
        (&[], settings()),
        (&[], frame(SETTINGS, ACK, 0, &[])),
        (&[], frame(0xff, 0, 0, &[])),
        (&[], headers(WHOLE, &[(":status", "103")])),
        (
            std::slice::from_ref(&header),
            frame(CONTINUATION, 0, 1, &[]),
        ),
        (
            std::slice::from_ref(&header),
            frame(CONTINUATION, 0, 1, &[0; 999]),
        ),
        (&[begin()], data(b"")),
    ];
    for (before, flood) in floods {
        let (mut health, mut out) = (health(), Vec::new());
        let first = [settings(), before.concat()].concat();
        assert_eq!(health.feed(&first, &mut out), None);
        let mut count = 0;
        let outcome = loop {
            count += 1;
            assert!(count * flood.len() < MOST_BYTES + 100, "{flood:?}");
            if let Some(outcome) = health.feed(&flood, &mut out) {
                break outcome;
            }
        };
        assert_eq!(Some(outcome), not_yet(GrpcAnswer::TooLong), "{flood:?}");
        assert!(out.len() <= MOST_BYTES + 17, "{}", out.len());
        assert!(out.ends_with(&goaway(ENHANCE_YOUR_CALM)));
    }
}

#[test]
fn a_few_bytes_cannot_name_many_long_fields() {
    // A field of 4000 bytes in the dynamic table, and 100 references to it.
    let mut long = vec![0x40];
    super::literal(&mut long, "x");
    super::literal(&mut long, &"a".repeat(4000));
    let references = [&[0x88][..], &long, &[0xbe; 100]].concat();
    let found = outcome(&[frame(HEADERS, WHOLE, 1, &references)]);
    assert_eq!(found, not_yet(GrpcAnswer::TooLong));
    let fewer = [&[0x88][..], &long, &[0xbe; 10]].concat();
    let found = outcome(&[frame(HEADERS, WHOLE, 1, &fewer)]);
    assert_eq!(found, not_yet(GrpcAnswer::ContentType(String::new())));
}

/// Frames with likely heads and any content.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let content = proptest::collection::vec(any::<u8>(), 0..20);
    let one = (0_u8..12, any::<u8>(), 0_u32..3, content)
        .prop_map(|(kind, flags, stream, content)| frame(kind, flags, stream, &content));
    let likely = prop_oneof![
        3 => one,
        1 => Just(begin()),
        1 => Just(data(SERVING)),
        1 => Just(trailers("0")),
        1 => proptest::collection::vec(any::<u8>(), 0..30),
    ];
    (any::<bool>(), proptest::collection::vec(likely, 0..12)).prop_map(|(is_preface, frames)| {
        let preface = if is_preface { settings() } else { Vec::new() };
        [preface, frames.concat()].concat()
    })
}

proptest! {
    #[test]
    fn pieces_make_no_difference_and_no_bytes_make_it_panic(bytes in frames()) {
        let (outcome, out) = in_any_pieces(&bytes);
        prop_assert!(out.len() <= bytes.len() + 17);
        if outcome.is_none() {
            let (mut health, mut out) = (health(), Vec::new());
            health.feed(&bytes, &mut out);
            health.end();
        }
    }

    #[test]
    fn memory_is_bounded(bytes in frames(), times in 1_usize..3000) {
        let (mut health, mut out) = (health(), Vec::new());
        for _ in 0..times {
            let outcome = health.feed(&bytes, &mut out);
            let block = health.block.as_ref().map_or(0, |(_, block)| block.len());
            let held = health.frame.len() + health.message.len() + block;
            prop_assert!(held <= MOST_BYTES + LONGEST + 9, "{held}");
            prop_assert!(out.len() <= MOST_BYTES + 17);
            if outcome.is_some() {
                break;
            }
        }
    }
}
