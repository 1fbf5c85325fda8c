//! The rules of HTTP checks (P4) one by one, against a scripted server.

use crate::support::server::{ClosedPort, Server, answer, redirect, unix_http};
use crate::support::{Folder, podgate};
use std::io::Write;
use std::net::{IpAddr, TcpListener};
use std::thread;
use std::time::Duration;

fn check(server: &Server, options: &[&str]) -> crate::support::Done {
    let url = server.url("/");
    podgate(["check"].iter().chain(options).chain(&[url.as_str()])).run()
}

#[test]
fn success_is_200_to_399() {
    for (status, code) in [
        (200, 0),
        (204, 0),
        (299, 0),
        (304, 0),
        (399, 0),
        (400, 1),
        (404, 1),
        (500, 1),
        (503, 1),
    ] {
        let done = check(&Server::status(status), &[]);
        done.code(code);
        if code == 1 {
            done.says(&format!("HTTP status {status}"));
        }
    }
}

#[test]
fn informational_responses_are_skipped() {
    let server = Server::raw(|mut stream| {
        crate::support::server::head(&mut stream);
        let _ = stream.write_all(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        );
        let _ = stream.write_all(&answer(200, &[], "ok"));
    });
    check(&server, &[]).code(0);
    let server = Server::raw(|mut stream| {
        crate::support::server::head(&mut stream);
        let _ = stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        );
    });
    check(&server, &[]).code(1).says("HTTP status 101");
}

#[test]
fn the_request_is_the_same_as_the_kubelets() {
    let server = Server::status(200);
    let url = server.url("/ready?full=1");
    podgate(["check", &url]).run().code(0);
    let request = &server.requests()[0];
    assert!(
        request.starts_with("GET /ready?full=1 HTTP/1.1\r\n"),
        "{request}"
    );
    let lower = request.to_ascii_lowercase();
    for line in [
        format!("host: {}", server.address),
        "accept: */*".to_owned(),
        "connection: close".to_owned(),
    ] {
        assert!(
            lower.contains(&format!("\r\n{line}\r\n")),
            "no {line:?} in\n{request}"
        );
    }
    assert!(lower.contains("\r\nuser-agent: podgate/"), "{request}");
    for absent in [
        "accept-encoding",
        "content-length",
        "transfer-encoding",
        "authorization",
    ] {
        assert!(!lower.contains(absent), "{absent} in\n{request}");
    }
}

#[test]
fn each_attempt_opens_a_new_connection() {
    let server = Server::status(503);
    podgate([
        "wait",
        "--timeout",
        "1s",
        "--interval",
        "20ms",
        &server.url("/"),
    ])
    .run()
    .code(124);
    let (connections, requests) = (server.connections(), server.requests().len());
    assert!(requests > 3);
    // The timeout may have ended the last attempt before it sent its request.
    assert!(
        (requests..=requests + 1).contains(&connections),
        "{connections} connections, {requests} requests"
    );
}

#[test]
fn the_default_port_is_not_in_the_host_header_and_addresses_have_brackets() {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, heads) = std::sync::mpsc::channel();
    let send = std::sync::Mutex::new(send);
    let _server = Server::on(listener, move |mut stream| {
        let _ = send
            .lock()
            .unwrap()
            .send(crate::support::server::head(&mut stream));
        let _ = stream.write_all(&answer(200, &[], ""));
    });
    podgate(["check", &format!("http://[::1]:{port}/")])
        .run()
        .code(0);
    let head = heads
        .recv_timeout(Duration::from_secs(5))
        .unwrap()
        .to_ascii_lowercase();
    assert!(
        head.contains(&format!("\r\nhost: [::1]:{port}\r\n")),
        "{head}"
    );
}

#[test]
fn headers_are_sent_as_given() {
    let server = Server::status(200);
    let options = [
        "-H",
        "Host: app.example",
        "-H",
        "X-A: 1",
        "--http-header",
        "X-A: 2",
        "-H",
        "User-Agent: me",
        "-H",
        "Accept:",
    ];
    check(&server, &options).code(0);
    let request = server.requests()[0].to_ascii_lowercase();
    for line in ["host: app.example", "x-a: 1", "x-a: 2", "user-agent: me"] {
        assert!(
            request.contains(&format!("\r\n{line}\r\n")),
            "no {line:?} in\n{request}"
        );
    }
    assert_eq!(request.matches("host:").count(), 1, "{request}");
    assert!(
        !request.contains("accept:") && !request.contains("podgate"),
        "{request}"
    );
}

#[test]
fn headers_come_from_the_variable_unless_a_flag_replaces_them() {
    let server = Server::status(200);
    podgate(["check", &server.url("/")])
        .env("PODGATE_HTTP_HEADER", "X-A: 1\nX-B: 2\n")
        .run()
        .code(0);
    podgate(["check", "-H", "X-C: 3", &server.url("/")])
        .env("PODGATE_HTTP_HEADER", "X-A: 1")
        .run()
        .code(0);
    let requests: Vec<String> = server
        .requests()
        .iter()
        .map(|it| it.to_ascii_lowercase())
        .collect();
    assert!(
        requests[0].contains("x-a: 1\r\n") && requests[0].contains("x-b: 2\r\n"),
        "{}",
        requests[0]
    );
    assert!(
        !requests[1].contains("x-a") && requests[1].contains("x-c: 3\r\n"),
        "{}",
        requests[1]
    );
}

#[test]
fn headers_are_refused_with_more_than_one_host() {
    let (one, two) = (Server::status(200), Server::status(200));
    podgate([
        "check",
        "-H",
        "Authorization: Bearer s3cr3t",
        &one.url("/"),
        &two.url("/"),
    ])
    .run()
    .code(2)
    .says("--http-header")
    .says_not("s3cr3t");
    assert_eq!(one.connections() + two.connections(), 0);
    podgate(["check", "-H", "X: y", &one.url("/a"), &one.url("/b")])
        .run()
        .code(0);
    podgate(["check", "-H", "X: y", "tcp://127.0.0.1:1"])
        .run()
        .code(2)
        .says("HTTP checks");
    podgate(["check", &format!("tcp://{}", one.address)])
        .env("PODGATE_HTTP_HEADER", "X: y")
        .run()
        .code(0);
}

#[test]
fn user_info_becomes_basic_authorization_and_is_never_shown() {
    let server = Server::http(|head| {
        let fine = head.contains("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        answer(if fine { 200 } else { 401 }, &[], "")
    });
    let address = server.address;
    podgate([
        "check",
        "-v",
        &format!("http://Aladdin:open%20sesame@{address}/"),
    ])
    .run()
    .code(0)
    .says("http://***@")
    .says_not("sesame");
    let wrong = podgate([
        "wait",
        "-t",
        "50ms",
        &format!("http://Aladdin:wr0ng@{address}/x"),
    ])
    .run();
    wrong.code(124).says("HTTP status 401").says_not("wr0ng");
    assert!(server.requests().iter().all(|it| !it.contains('@')));
}

#[test]
fn redirects_are_followed_while_the_host_name_stays_the_same() {
    let other = Server::status(200);
    let elsewhere = other.url("/there");
    let server = Server::http(move |head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        match path {
            "/relative" => redirect(302, "ok"),
            "/absolute" => redirect(301, "/ok?x=1"),
            "/port" => redirect(307, &elsewhere),
            "/cross" => redirect(302, "http://other.invalid/"),
            "/fails" => redirect(302, "/404"),
            "/ftp" => redirect(302, "ftp://127.0.0.1/"),
            "/nowhere" => answer(302, &[], ""),
            "/loop" => redirect(302, "/loop"),
            "/404" => answer(404, &[], ""),
            _ if path.starts_with("/chain") => match path[6..].parse::<u32>() {
                Ok(0) => answer(200, &[], ""),
                Ok(left) => redirect(303, &format!("/chain{}", left - 1)),
                Err(_) => answer(500, &[], ""),
            },
            _ => answer(200, &[], ""),
        }
    });
    let ask = |path: &str| podgate(["check", &server.url(path)]).run();
    ask("/relative").code(0);
    ask("/absolute").code(0);
    ask("/port").code(0);
    assert_eq!(
        other.requests().len(),
        1,
        "the same host name on another port is the same host"
    );
    ask("/cross").code(0);
    ask("/nowhere").code(0);
    ask("/fails").code(1).says("HTTP status 404");
    ask("/ftp").code(1).says("not a URL");
    ask("/loop").code(1).says("more than 10 redirects");
    ask("/chain10").code(0);
    ask("/chain11").code(1).says("more than 10 redirects");
    podgate(["check", "--http-status", "302", &server.url("/relative")])
        .run()
        .code(0);
    podgate(["check", "--http-status", "200", &server.url("/cross")])
        .run()
        .code(1)
        .says("HTTP status 302");
}

#[test]
fn a_host_header_is_sent_with_relative_redirects_only() {
    let port = std::sync::Arc::new(std::sync::atomic::AtomicU16::new(0));
    let own = std::sync::Arc::clone(&port);
    let server = Server::http(
        move |head| match head.split(' ').nth(1).unwrap_or_default() {
            "/" => redirect(302, "/relative"),
            "/relative" => redirect(
                302,
                &format!(
                    "http://127.0.0.1:{}/absolute",
                    own.load(std::sync::atomic::Ordering::SeqCst)
                ),
            ),
            _ => answer(200, &[], ""),
        },
    );
    port.store(server.port(), std::sync::atomic::Ordering::SeqCst);
    check(&server, &["-H", "Host: app.example"]).code(0);
    let hosts: Vec<bool> = server
        .requests()
        .iter()
        .map(|it| it.to_ascii_lowercase().contains("host: app.example"))
        .collect();
    assert_eq!(hosts, [true, true, false]);
}

#[test]
fn a_failing_response_is_read_to_its_end() {
    // Otherwise the server would log "broken pipe" for every attempt.
    let (send, written) = std::sync::mpsc::channel();
    let send = std::sync::Mutex::new(send);
    let server = Server::raw(move |mut stream| {
        crate::support::server::head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 503 No\r\nContent-Length: 4000\r\n\r\n");
        thread::sleep(Duration::from_millis(30));
        let mut fine = stream.write_all(&[b'x'; 2000]);
        thread::sleep(Duration::from_millis(30));
        fine = fine.and_then(|()| stream.write_all(&[b'x'; 2000]));
        let _ = send.lock().unwrap().send(fine.is_ok());
    });
    check(&server, &[]).code(1).says("HTTP status 503");
    assert!(written.recv_timeout(Duration::from_secs(5)).unwrap());
}

#[test]
fn long_requests_are_sent_whole() {
    let server = Server::status(200);
    let long = "x".repeat(20_000);
    podgate([
        "check",
        "-H",
        &format!("Cookie: {long}"),
        &server.url(&format!("/{long}")),
    ])
    .run()
    .code(0);
    assert!(server.requests()[0].len() > 40_000);
    check(&server, &["-H", "Host: a", "-H", "Host: b"])
        .code(2)
        .says("one Host");
}

#[test]
fn proxy_variables_are_ignored() {
    let (server, proxy) = (Server::status(200), Server::status(502));
    let mut call = podgate(["check", &server.url("/")]);
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        call = call.env(name, proxy.url(""));
    }
    call.run().code(0);
    assert_eq!((server.connections(), proxy.connections()), (1, 0));
}

#[test]
fn options_choose_the_method_the_status_and_the_body() {
    let server = Server::http(|head| match head.split(' ').next().unwrap_or_default() {
        "HEAD" => b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n".to_vec(),
        "POST" if head.to_ascii_lowercase().contains("content-length: 0\r\n") => {
            answer(201, &[], "")
        }
        "POST" => answer(411, &[], ""),
        "GET" => answer(401, &[], "status: READY, all of it"),
        _ => answer(405, &[], ""),
    });
    check(&server, &["--http-method", "HEAD"]).code(0);
    check(&server, &["--http-method", "POST", "--http-status", "201"]).code(0);
    check(&server, &["--http-method", "DELETE"])
        .code(1)
        .says("HTTP status 405");
    check(&server, &["--http-status", "200-299,401"]).code(0);
    check(
        &server,
        &["--http-status", "401", "--http-body-contains", "READY"],
    )
    .code(0);
    check(
        &server,
        &["--http-status", "401", "--http-body-contains", "DONE"],
    )
    .code(1)
    .says("does not contain the text");
}

#[test]
fn ten_kibibytes_of_a_body_are_read_at_most() {
    let early = Server::http(|_| answer(200, &[], &format!("{}READY", "x".repeat(10 * 1024 - 5))));
    check(&early, &["--http-body-contains", "READY"]).code(0);
    let late = Server::http(|_| answer(200, &[], &format!("{}READY", "x".repeat(10 * 1024 - 4))));
    check(&late, &["--http-body-contains", "READY"]).code(1);
}

#[test]
fn chunked_bodies_and_bodies_without_a_length_are_read() {
    let chunked = Server::http(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nREA\r\n2\r\nDY\r\n0\r\n\r\n"
            .to_vec()
    });
    check(&chunked, &["--http-body-contains", "READY"]).code(0);
    let until_closed = Server::http(|_| b"HTTP/1.0 200 OK\r\n\r\nREADY".to_vec());
    check(&until_closed, &["--http-body-contains", "READY"]).code(0);
    let broken_off =
        Server::http(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nREADY".to_vec());
    check(&broken_off, &[]).code(1).says("broke off");
}

#[test]
fn http_works_over_unix_sockets() {
    let folder = Folder::new();
    let requests = unix_http(&folder.join("app.sock"), 200);
    let path = folder.text("app.sock").replace('/', "%2F");
    podgate(["check", &format!("http+unix://{path}/health?x")])
        .run()
        .code(0);
    let request = requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(
        request.starts_with("get /health?x http/1.1\r\n")
            && request.contains("\r\nhost: localhost\r\n"),
        "{request}"
    );
    let missing = folder.text("none.sock").replace('/', "%2F");
    podgate(["check", &format!("http+unix://{missing}/")])
        .run()
        .code(1)
        .says("the path does not exist");
}

#[test]
fn the_attempt_timeout_covers_everything() {
    let server = Server::raw(|mut stream| {
        crate::support::server::head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
        thread::sleep(Duration::from_secs(20));
    });
    check(&server, &["--attempt-timeout", "200ms"])
        .code(1)
        .within(Duration::from_secs(5))
        .says("timed out after 200ms")
        .says("body");
}

#[test]
fn localhost_means_all_its_addresses() {
    // confined.rs tests with other /etc/hosts files which addresses are tried.
    let server = Server::status(200);
    podgate(["check", &format!("http://localhost:{}/", server.port())])
        .run()
        .code(0);
    let closed = ClosedPort::new();
    podgate(["check", &format!("http://localhost:{}/", closed.port())])
        .run()
        .code(1)
        .says("refused");
}

#[test]
fn ipv6_and_mapped_addresses_are_reached() {
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _server = Server::on(listener, |mut stream| {
        crate::support::server::head(&mut stream);
        let _ = stream.write_all(&answer(200, &[], ""));
    });
    for host in ["[::1]", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        podgate(["check", &format!("http://{host}:{port}/")])
            .run()
            .code(0);
        podgate(["check", &format!("tcp://{host}:{port}")])
            .run()
            .code(0);
    }
    let _: IpAddr = "::1".parse().unwrap();
}

#[cfg(not(feature = "tls"))]
#[test]
fn without_tls_an_https_check_is_refused() {
    podgate(["check", "https://localhost/"])
        .run()
        .code(2)
        .says("this build of podgate has no TLS");
}
