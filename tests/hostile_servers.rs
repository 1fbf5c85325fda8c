//! A server that is slow, hangs, resets, or sends an endless or malformed response costs one
//! attempt its timeout and a bounded amount of memory, and nothing else.

use crate::support::server::{Server, answer, head};
use crate::support::{eventually, podgate};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Writes the same bytes until the client stops reading, for at most ten seconds.
fn pour(stream: &mut TcpStream, bytes: &[u8]) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) && stream.write_all(bytes).is_ok() {}
}

/// What a server does to a client, the server, and the reason that the client prints.
fn attacks() -> Vec<(&'static str, Server, &'static str)> {
    let raw = |serve: fn(TcpStream)| Server::raw(serve);
    vec![
        (
            "hangs before it answers",
            raw(|mut stream| {
                head(&mut stream);
                thread::sleep(Duration::from_secs(10));
            }),
            "while waiting for the answer",
        ),
        (
            "sends its headers slowly",
            raw(|mut stream| {
                head(&mut stream);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
                for _ in 0..1000 {
                    if stream.write_all(b"X").is_err() {
                        return;
                    }
                    thread::sleep(Duration::from_millis(10));
                }
            }),
            "while waiting for the answer",
        ),
        (
            "sends its body slowly",
            raw(|mut stream| {
                head(&mut stream);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n");
                for _ in 0..1000 {
                    if stream.write_all(b"X").is_err() {
                        return;
                    }
                    thread::sleep(Duration::from_millis(10));
                }
            }),
            "while reading the body",
        ),
        (
            "sends endless headers",
            raw(|mut stream| {
                head(&mut stream);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Filler: ");
                pour(&mut stream, &[b'x'; 65536]);
            }),
            "headers of more than 64 KiB",
        ),
        (
            "sends endless header lines",
            raw(|mut stream| {
                head(&mut stream);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
                pour(&mut stream, "A: b\r\n".repeat(1000).as_bytes());
            }),
            "not an HTTP answer",
        ),
        (
            "sends endless informational answers",
            raw(|mut stream| {
                head(&mut stream);
                pour(
                    &mut stream,
                    "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"
                        .repeat(100)
                        .as_bytes(),
                );
            }),
            "while waiting for the answer",
        ),
        (
            "sends garbage",
            raw(|mut stream| {
                head(&mut stream);
                pour(&mut stream, &[0, 159, 146, 150, 13, 10, 27]);
            }),
            "not an HTTP answer",
        ),
        (
            "speaks another protocol",
            raw(|mut stream| {
                let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
                thread::sleep(Duration::from_secs(2));
            }),
            "not an HTTP answer",
        ),
        (
            "closes at once",
            raw(drop),
            "connection closed before an answer",
        ),
        (
            "closes after the request",
            raw(|mut stream| {
                head(&mut stream);
            }),
            "connection closed before an answer",
        ),
        (
            "resets",
            raw(|mut stream| {
                let mut byte = [0];
                let _ = stream.read(&mut byte);
                // Closing with unread data makes the kernel send a reset.
                drop(stream);
            }),
            "connection closed before an answer",
        ),
        (
            "never reads",
            raw(|stream| {
                let _ = stream.shutdown(Shutdown::Write);
                thread::sleep(Duration::from_secs(2));
            }),
            "connection closed before an answer",
        ),
        (
            "sends malformed chunks",
            Server::http(|_| {
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\nabc".to_vec()
            }),
            "not an HTTP answer",
        ),
        (
            "sends two different lengths",
            Server::http(|_| {
                b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde".to_vec()
            }),
            "not an HTTP answer",
        ),
        (
            "sends a status that is not a number",
            Server::http(|_| b"HTTP/1.1 abc OK\r\n\r\n".to_vec()),
            "not an HTTP answer",
        ),
        (
            "redirects to a malformed URL",
            Server::http(|_| crate::support::server::redirect(302, "http://[::1")),
            "not a URL",
        ),
    ]
}

#[test]
fn each_attack_costs_one_attempt_and_no_more() {
    for (name, server, reason) in attacks() {
        let done = podgate(["check", "--attempt-timeout", "400ms", &server.url("/")]).run();
        done.within(Duration::from_secs(8));
        done.code(1);
        assert!(!reason.is_empty(), "{name}: no reason to look for");
        done.says(reason);
    }
}

#[test]
fn an_endless_body_is_cut_off_and_passes() {
    let server = Server::raw(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        pour(&mut stream, &[b'x'; 65536]);
    });
    podgate(["check", &server.url("/")])
        .run()
        .code(0)
        .within(Duration::from_secs(5));
}

#[test]
fn a_wait_goes_on_after_each_attack() {
    let server = Server::raw({
        let count = std::sync::atomic::AtomicUsize::new(0);
        move |mut stream| {
            let turn = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if turn == 4 {
                head(&mut stream);
                let _ = stream.write_all(&answer(200, &[], ""));
                return;
            }
            match turn % 4 {
                0 => drop(stream),
                1 => thread::sleep(Duration::from_secs(2)),
                2 => {
                    head(&mut stream);
                    pour(&mut stream, b"garbage");
                }
                _ => {
                    head(&mut stream);
                    let _ = stream.write_all(&answer(500, &[], ""));
                }
            }
        }
    });
    podgate([
        "wait",
        "--attempt-timeout",
        "300ms",
        "--timeout",
        "20s",
        &server.url("/"),
    ])
    .run()
    .code(0)
    .says("5 attempts");
}

/// The peak memory of a running process, in KiB (proc(5), VmHWM).
fn peak_kib(pid: nix::unistd::Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn memory_and_threads_stay_bounded_over_many_bad_answers() {
    let server = Server::raw(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        pour(&mut stream, &[b'x'; 65536]);
    });
    let running = podgate([
        "wait",
        "--timeout",
        "none",
        "--interval",
        "1ms",
        "--attempt-timeout",
        "2s",
        &server.url("/"),
    ])
    .start();
    eventually("20 attempts", || (server.connections() >= 20).then_some(()));
    let early = peak_kib(running.pid());
    eventually("400 attempts", || {
        (server.connections() >= 400).then_some(())
    });
    let late = peak_kib(running.pid());
    assert!(
        late < early + 1024,
        "{early} KiB after 20 attempts, {late} KiB after 400"
    );
    let threads = fs::read_dir(format!("/proc/{}/task", running.pid()))
        .unwrap()
        .count();
    assert!(threads <= 4, "{threads} threads");
    let files = fs::read_dir(format!("/proc/{}/fd", running.pid()))
        .unwrap()
        .count();
    assert!(files <= 12, "{files} descriptors");
}

#[test]
fn attempts_that_hang_leave_nothing_behind() {
    let server = Server::raw(|_stream| thread::sleep(Duration::from_secs(20)));
    let running = podgate([
        "wait",
        "--timeout",
        "none",
        "--interval",
        "1ms",
        "--attempt-timeout",
        "20ms",
        &server.url("/"),
    ])
    .start();
    eventually("50 attempts", || (server.connections() >= 50).then_some(()));
    let threads = fs::read_dir(format!("/proc/{}/task", running.pid()))
        .unwrap()
        .count();
    let files = fs::read_dir(format!("/proc/{}/fd", running.pid()))
        .unwrap()
        .count();
    assert!(
        threads <= 6 && files <= 20,
        "{threads} threads, {files} descriptors"
    );
}
