//! Odd and broken answers pass exactly where they pass for the kubelet, whose client is Go's
//! net/http (P4.7).

use crate::support::podgate;
use crate::support::server::{Server, answer, head};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What Go's client makes of each answer.
const TABLE: &str = include_str!("support/answers_of_go.txt");

struct Case {
    passes: bool,
    answer: Vec<u8>,
    name: String,
}

fn cases() -> Vec<Case> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let [verdict, answer, name] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            assert!(matches!(verdict, "+" | "-"), "{line}");
            Case {
                passes: verdict == "+",
                answer: unescaped(answer),
                name: format!("{name}: {answer}"),
            }
        })
        .collect()
}

/// The bytes that a text of the table stands for.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[1..];
        let repeated = rest
            .get(1..)
            .filter(|it| letter == '(' && it.starts_with('*'));
        if let Some((count, after)) = repeated.and_then(|it| it[1..].split_once(')'))
            && let Ok(count) = count.parse()
        {
            bytes.extend(rest[..1].repeat(count).bytes());
            rest = after;
            continue;
        }
        if letter != '\\' {
            bytes.push(u8::try_from(letter).unwrap());
            continue;
        }
        let kind = &rest[..1];
        rest = &rest[1..];
        bytes.push(match kind {
            "r" => b'\r',
            "n" => b'\n',
            "t" => b'\t',
            "x" => {
                let digits = &rest[..2];
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).unwrap()
            }
            _ => b'\\',
        });
    }
    bytes
}

/// Answers `GET /` with these bytes, and other paths with 200.
fn server(bytes: Vec<u8>) -> Server {
    let port = Arc::new(Mutex::new(0));
    let ours = Arc::clone(&port);
    let server = Server::raw(move |mut stream| {
        let is_first = head(&mut stream).starts_with("GET / ");
        let text = String::from("@PORT@").into_bytes();
        let number = ours.lock().unwrap().to_string().into_bytes();
        let bytes = match bytes.windows(text.len()).position(|it| it == text) {
            Some(at) => [&bytes[..at], &number, &bytes[at + text.len()..]].concat(),
            None => bytes.clone(),
        };
        let _ = stream.write_all(if is_first { &bytes } else { b"" });
        if !is_first {
            let _ = stream.write_all(&answer(200, &[], ""));
        }
    });
    *port.lock().unwrap() = server.port();
    server
}

#[test]
fn an_answer_passes_exactly_where_it_passes_for_the_kubelet() {
    let cases = cases();
    assert!(cases.len() > 350, "{}", cases.len());
    let mut wrong = String::new();
    for case in cases {
        let server = server(case.answer);
        let done = podgate(["check", "--attempt-timeout", "5s", &server.url("/")]).run();
        let is_known = matches!(done.status.code(), Some(0 | 1));
        if !is_known || done.status.success() != case.passes {
            wrong.push_str(&format!("{} ({})\n", case.name, done.stderr.trim()));
        }
    }
    assert!(wrong.is_empty(), "other than Go:\n{wrong}");
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_read_like_one_that_comes_at_once() {
    let answers: [(&[u8], i32); 5] = [
        (
            b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
            0,
        ),
        (
            b"HTTP/1.1 103 E\r\nX: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok",
            0,
        ),
        (
            b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nA: b\r\n\r\n",
            0,
        ),
        (
            b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n",
            1,
        ),
        (
            b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
            1,
        ),
    ];
    for (bytes, code) in answers {
        let server = Server::raw(move |mut stream| {
            head(&mut stream);
            for byte in bytes {
                let _ = stream.write_all(&[*byte]);
                thread::sleep(Duration::from_micros(300));
            }
        });
        podgate(["check", "--attempt-timeout", "5s", &server.url("/")])
            .run()
            .code(code);
    }
}

#[test]
fn a_folded_header_does_not_hide_the_text_of_the_body() {
    let server = Server::http(|_| {
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nTransfer-Encoding: chunked\r\n\r\n\
          3\r\nall\r\n5\r\n well\r\n0\r\n\r\n"
            .to_vec()
    });
    let found = [
        "check",
        "--http-body-contains",
        "all well",
        &server.url("/"),
    ];
    podgate(found).run().code(0);
}

#[test]
fn http_at_a_port_of_another_protocol_names_what_answered() {
    for (bytes, text, remedy) in [
        (
            &b"\x15\x03\x01\x00\x02\x02\x46"[..],
            "the server speaks TLS",
            "use https://",
        ),
        (
            b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64",
            "speaks HTTP/2 only",
            "tcp://",
        ),
        (
            b"-ERR wrong number of arguments for 'get' command\r\n",
            "the Redis protocol",
            "tcp://",
        ),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "speaks SSH", "tcp://"),
        (b"220 mail.example ESMTP\r\n", "speaks SMTP", "tcp://"),
        (
            b"J\0\0\0\x0a8.0.36\0\x08\0\0\0",
            "the MySQL protocol",
            "exec:",
        ),
        (
            b"E\0\0\0\x50SFATAL\0C0A000\0",
            "the PostgreSQL protocol",
            "exec:",
        ),
        (b"ERROR\r\nERROR\r\n", "the memcached protocol", "tcp://"),
        (b"* OK IMAP4 ready\r\n", "speaks IMAP", "tcp://"),
        (b"hello\r\n", "it begins with \"hello\"", "check the port"),
        (
            b"\x00\x9f\x92\n",
            "it begins with the bytes 00 9f 92 0a",
            "check the port",
        ),
    ] {
        // Some servers keep the connection open.
        let server = Server::raw(move |mut stream| {
            let _ = stream.write_all(bytes);
            thread::sleep(Duration::from_secs(3));
        });
        podgate(["check", "--attempt-timeout", "2s", &server.url("/")])
            .run()
            .code(1)
            .says("not an HTTP answer: ")
            .says(text)
            .says(remedy)
            .within(Duration::from_millis(1500));
    }
}

#[test]
fn an_https_port_that_answers_http_with_400_gets_the_remedy_https() {
    for words in [
        "Client sent an HTTP request to an HTTPS server.\n",
        "<center>The plain HTTP request was sent to HTTPS port</center>",
    ] {
        let server = Server::http(move |_| answer(400, &[], words));
        podgate(["check", &server.url("/")])
            .run()
            .code(1)
            .says("HTTP status 400: this port is for https; use https://");
    }
}
