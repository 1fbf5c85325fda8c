//! Sidecars by name: their readiness as a check, and their end on request.

use crate::support::server::{ClosedPort, Server, answer, head};
use crate::support::{Folder, Program, eventually, podgate, python3};
use nix::sys::signal::Signal;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Listens until the POST to `last`, answers it with `status`, and closes its port after `drain`.
/// Returns the port.
fn mortal(last: &'static str, status: u16, drain: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let is_last = head(&mut stream).starts_with(&format!("POST {last} HTTP/1.1\r\n"));
            let _ = stream.write_all(&answer(if is_last { status } else { 404 }, &[], "bye"));
            if is_last {
                thread::sleep(drain);
                return;
            }
        }
    });
    port
}

/// A port that accepts connections until `after` has passed.
fn accepts_for(after: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        thread::sleep(after);
        drop(listener);
    });
    port
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/quitquitquit")
}

/// A server that answers with the status that `status` returns for `METHOD PATH`.
fn sidecar(status: impl Fn(&str) -> u16 + Send + Sync + 'static) -> Server {
    Server::http(move |head| {
        let line = head.split(" HTTP/").next().unwrap_or_default();
        answer(status(line), &[], "")
    })
}

#[test]
fn a_preset_as_a_check_tests_readiness() {
    let server = sidecar(|line| {
        if line == "GET /healthz/ready" {
            200
        } else {
            404
        }
    });
    podgate(["check", &format!("istio:{}", server.port())])
        .run()
        .code(0)
        .says(&format!("\"istio:{}\"", server.port()));
    podgate([
        "wait",
        &format!("istio:{}:1", server.port()),
        "--",
        "echo",
        "started",
    ])
    .run()
    .code(0)
    .prints("started\n");
    let done = podgate(["check", &format!("cloud-sql-proxy:{}", server.port())]).run();
    done.code(1).says("HTTP status 404").says("--health-check");
    podgate(["check", &format!("vault-agent:{}", server.port())])
        .run()
        .code(0);
    let closed = ClosedPort::new();
    podgate(["check", &format!("dapr:{}", closed.port())])
        .run()
        .code(1)
        .says("refused")
        .says("its HTTP API");
}

#[test]
fn a_sidecar_without_a_quit_is_awaited_and_not_asked_to_quit() {
    for (preset, path) in [
        ("kuma", "GET /ready"),
        ("otel-collector", "GET /"),
        ("tailscale", "GET /healthz"),
    ] {
        let server = sidecar(move |line| if line == path { 200 } else { 404 });
        let preset = format!("{preset}:{}", server.port());
        podgate(["check", &preset]).run().code(0);
        let run = ["run", "--after", &preset, "--", "echo", "started"];
        podgate(run).run().code(0).prints("started\n");
        for call in [
            &["quit", &preset][..],
            &["quit", "envoy:1", &preset],
            &[
                "run",
                "--restart-policy",
                "never",
                "--quit",
                &preset,
                "--",
                "echo",
                "x",
            ],
            &[
                "run",
                "--restart-policy",
                "never",
                "--sidecar",
                &preset,
                "--",
                "echo",
                "x",
            ],
        ] {
            podgate(call)
                .run()
                .code(2)
                .prints("")
                .says(&format!("{preset:?}: has no quit endpoint"))
                .says("podgate run --name proxy --until main -- CMD")
                .within(SECOND);
        }
        assert!(server.requests().iter().all(|it| it.starts_with("GET ")));
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn consul_dataplane_is_ready_and_gone_by_two_ports_of_ipv4() {
    let drain = Duration::from_millis(300);
    let quit = mortal("/graceful_shutdown", 200, drain);
    let ready = accepts_for(2 * drain);
    let done = podgate(["quit", "-v", &format!("consul-dataplane:{ready}:{quit}")]).run();
    done.code(0)
        .says("asking \"consul-dataplane:")
        .says("to quit: timeout 40s")
        .says(&format!("POST http://127.0.0.1:{quit}/graceful_shutdown"))
        .not_before(drain);
    let server = sidecar(|line| if line == "GET /ready" { 200 } else { 404 });
    podgate(["check", &format!("consul-dataplane:{}:1", server.port())])
        .run()
        .code(0);
}

#[test]
fn options_about_http_checks_never_reach_a_preset() {
    let app = sidecar(|line| if line == "POST /app" { 503 } else { 404 });
    let proxy = sidecar(|line| if line == "GET /ready" { 204 } else { 404 });
    let (url, preset) = (app.url("/app"), format!("envoy:{}", proxy.port()));
    let options = [
        "-H",
        "X-Secret: s3cret",
        "--http-method",
        "POST",
        "--http-status",
        "503",
    ];
    podgate(
        ["check"]
            .iter()
            .chain(&options)
            .copied()
            .chain([url.as_str(), &preset]),
    )
    .run()
    .code(0);
    assert!(
        app.requests()[0]
            .to_lowercase()
            .contains("x-secret: s3cret"),
        "{:?}",
        app.requests()
    );
    let asked = proxy.requests();
    assert!(
        asked[0].starts_with("GET /ready ") && !asked[0].to_lowercase().contains("secret"),
        "{asked:?}"
    );
    // Variables do no harm here: they may be meant for other calls.
    let done = podgate(["check", &preset])
        .env("PODGATE_HTTP_HEADER", "X-Secret: s3cret")
        .env("PODGATE_HTTP_STATUS", "503");
    done.run().code(0);
    assert!(!proxy.requests()[1].contains("s3cret"));
}

#[test]
fn a_sidecar_that_quits_is_gone() {
    let port = mortal("/quitquitquit", 200, Duration::ZERO);
    let done = podgate(["quit", &format!("envoy:{port}")]).run();
    done.code(0)
        .says("acknowledged")
        .says(&format!("\"envoy:{port}\" has quit after"))
        .within(5 * SECOND);
    let done = podgate(["quit", &format!("envoy:{port}")]).run();
    done.code(0)
        .says("is already gone: it accepts no connections")
        .within(SECOND);
}

#[test]
fn a_sidecar_that_drains_is_waited_for_and_not_asked_again() {
    let drain = Duration::from_millis(1200);
    let port = mortal("/shutdown", 204, drain);
    let done = podgate(["quit", &format!("linkerd:{port}")]).run();
    done.code(0)
        .says("still waiting after")
        .says("asked once")
        .not_before(drain)
        .within(drain + 2 * SECOND);
}

#[test]
fn the_request_is_an_empty_post_and_ignores_the_environment() {
    let server = sidecar(|_| 200);
    let secret = url(server.port()).replace("://", "://user:pa55@");
    let done = podgate(["quit", "--timeout", "100ms", &secret])
        .env("PODGATE_HTTP_HEADER", "X-Secret: s3cret")
        .run();
    done.code(1).says("***@127.0.0.1").says_not("pa55");
    let asked = server.requests()[0].to_lowercase();
    assert!(
        asked.starts_with("post /quitquitquit http/1.1\r\n"),
        "{asked}"
    );
    for header in [
        "\r\ncontent-length: 0\r\n",
        "\r\nconnection: close\r\n",
        "\r\nauthorization: basic dxnlcjpwytu1\r\n",
    ] {
        assert!(asked.contains(header), "{asked}");
    }
    assert!(!asked.contains("s3cret"));
}

#[test]
fn an_acknowledged_quit_without_an_end_is_a_failure() {
    let server = sidecar(|_| 200);
    let done = podgate(["quit", "-t", "1s", &url(server.port())]).run();
    done.code(1).not_before(SECOND).within(3 * SECOND);
    assert!(
        done.last_line().contains("gave up after 1s")
            && done.last_line().contains("raise --timeout"),
        "{done}"
    );
    done.says("acknowledged, but it still accepts connections");
    assert_eq!(server.requests().len(), 1, "{:?}", server.requests());
}

#[test]
fn other_answers_are_tried_again_until_the_timeout() {
    for (status, remedy) in [
        (401, "a token"),
        (404, "that its quit endpoint is enabled"),
        (403, "from here"),
        (405, "POST"),
        (503, "its log"),
    ] {
        let server = sidecar(move |_| status);
        // Time for more than a few, also on a busy machine.
        let done = podgate(["quit", "--timeout", "1s", &url(server.port())]).run();
        done.code(1)
            .says(&format!(
                "gave up after 1s: \"{}\": HTTP status {status} (asked",
                url(server.port())
            ))
            .says(remedy);
        let asked = server.requests().len();
        assert!(
            asked > 1 && (status != 503 || asked > 5),
            "{asked} times {status}"
        );
    }
    let server = sidecar(|_| 404);
    let done = podgate([
        "quit",
        "--timeout",
        "300ms",
        &format!("linkerd:{}", server.port()),
    ])
    .run();
    done.code(1)
        .says("HTTP status 404 (asked ")
        .says(": POST http://localhost:")
        .says("proxy.enableShutdownEndpoint");
}

#[test]
fn a_refusal_is_explained_at_once_and_not_asked_again_and_again() {
    for (preset, status, meaning) in [
        ("linkerd", 404, "its shutdown endpoint is not enabled"),
        ("dapr", 401, "it wants its token: set DAPR_API_TOKEN"),
        ("istio", 403, "it accepts a quit only from 127.0.0.1"),
        ("vault-agent", 404, "its quit endpoint is not enabled"),
        ("envoy", 405, "it does not accept a POST at this path"),
        ("consul-dataplane", 410, "HTTP status 410"),
    ] {
        let server = sidecar(move |_| status);
        let port = server.port();
        let target = match preset {
            "istio" | "consul-dataplane" => format!("{preset}:{port}:{port}"),
            _ => format!("{preset}:{port}"),
        };
        let running = podgate(["quit", "--timeout", "3s", &target]).start();
        running.says(&format!("waiting for \"{target}\""));
        running.says(meaning);
        let done = running.finish();
        done.code(1);
        assert!(done.last_line().contains(meaning), "{done}");
        assert!(done.last_line().contains("it needs "), "{done}");
        // At 0, 250, 750 and 1750 ms.
        let asked = server.requests().len();
        assert!((2..=4).contains(&asked), "{preset}: {asked} times in 3 s");
    }
}

#[test]
fn a_target_that_refuses_at_first_can_still_quit() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server = sidecar(
        move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => 404,
            _ => 200,
        },
    );
    let done = podgate(["quit", "--timeout", "1s", &url(server.port())]).run();
    done.code(1).says("acknowledged").says("asked 2 times");
}

#[test]
fn a_preset_that_is_gone_already_may_have_no_quit_endpoint() {
    let (ready, quit) = (ClosedPort::new(), ClosedPort::new());
    let target = format!("cloud-sql-proxy:{}:{}", ready.port(), quit.port());
    podgate(["quit", &target])
        .run()
        .code(0)
        .within(SECOND)
        .says("is already gone: it accepts no connections")
        .says("needs --health-check to be ready, --quitquitquit to quit");
    podgate(["quit", &url(quit.port())])
        .run()
        .code(0)
        .says("is already gone: it accepts no connections\n");
}

#[test]
fn a_connection_closed_instead_of_an_answer_counts_if_it_is_then_refused() {
    if !python3() {
        return;
    }
    // A sidecar that ends before it answers. It is in Python, because it has to end as a process.
    let folder = Folder::new();
    let script = "import http.server, os, sys\n\
                  class H(http.server.BaseHTTPRequestHandler):\n\
                  \x20   def do_POST(self): os._exit(0)\n\
                  s = http.server.HTTPServer(('127.0.0.1', 0), H)\n\
                  open(sys.argv[1] + '.new', 'w').write(str(s.server_port)); \
                  os.rename(sys.argv[1] + '.new', sys.argv[1])\n\
                  s.serve_forever()\n";
    let mut python =
        Program::start(Command::new("python3").args(["-c", script, &folder.text("port")]));
    let port: u16 = eventually("python's port", || {
        std::fs::read_to_string(folder.join("port")).ok()
    })
    .parse()
    .unwrap();
    podgate(["quit", &url(port)])
        .run()
        .code(0)
        .says("has quit after");
    eventually("python's end", || python.has_ended());

    let server = Server::raw(|mut stream| drop(head(&mut stream)));
    let done = podgate(["quit", "--timeout", "1s", &url(server.port())]).run();
    done.code(1).says("connection closed before an answer");
    assert!(server.connections() > 5);
}

#[test]
fn a_quit_port_that_refuses_proves_nothing_if_readiness_has_its_own_port() {
    let (closed, other) = (ClosedPort::new(), ClosedPort::new());
    let ready = sidecar(|_| 200);
    let target = format!("cloud-sql-proxy:{}:{}", ready.port(), closed.port());
    let done = podgate(["quit", "--timeout", "400ms", &target]).run();
    done.code(1)
        .says(&format!(
            "connection refused on its quit port {}, but its readiness port",
            closed.port()
        ))
        .says("--quitquitquit");
    done.says(&format!(
        "but its readiness port {} still accepts connections",
        ready.port()
    ));
    let target = format!("istio:{}:{}", other.port(), closed.port());
    podgate(["quit", &target])
        .run()
        .code(0)
        .says("is already gone")
        .within(SECOND);

    // Both ports have to close. Here the quit port closes first.
    let lingers = Duration::from_millis(700);
    let target = format!(
        "istio:{}:{}",
        accepts_for(lingers),
        mortal("/quitquitquit", 200, Duration::ZERO)
    );
    let done = podgate(["quit", &target]).run();
    done.code(0)
        .says("but its readiness port ")
        .not_before(lingers / 2)
        .within(lingers + 2 * SECOND);
}

#[test]
fn a_unix_socket_is_asked_too() {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.join("s")).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        head(&mut stream);
        stream.write_all(&answer(200, &[], "")).unwrap();
    });
    let target = format!("http+unix://{}/quit", folder.text("s").replace('/', "%2F"));
    podgate(["quit", &target])
        .run()
        .code(0)
        .says("has quit after");
    podgate(["quit", &target])
        .run()
        .code(0)
        .says("is already gone");
    std::fs::remove_file(folder.join("s")).unwrap();
    podgate(["quit", &target])
        .run()
        .code(0)
        .says("is already gone");
}

#[test]
fn a_sidecar_that_does_not_answer_is_not_gone() {
    // A stopped or busy sidecar: it accepts connections and answers nothing.
    let silent = accepts_for(30 * SECOND);
    let done = podgate([
        "quit",
        "--timeout",
        "500ms",
        "--attempt-timeout",
        "200ms",
        &url(silent),
    ])
    .run();
    done.code(1)
        .says("while waiting for the answer")
        .within(3 * SECOND);
    // The backlog of 127.0.0.1 is full, so that it does not answer. The other address of localhost
    // refuses the connection, but that does not prove that the sidecar is gone.
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket,
    };
    use std::os::fd::AsRawFd;
    let full = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    bind(full.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    listen(&full, Backlog::new(0).unwrap()).unwrap();
    let port = getsockname::<SockaddrIn>(full.as_raw_fd()).unwrap().port();
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let held: Vec<_> = (0..3)
        .map(|_| TcpStream::connect_timeout(&address, SECOND / 5))
        .collect();
    assert!(held.iter().any(Result::is_err), "its backlog is full");
    let done = podgate([
        "quit",
        "--timeout",
        "600ms",
        "--attempt-timeout",
        "200ms",
        &format!("http://localhost:{port}/"),
    ]);
    done.run().code(1).says("gave up");
}

#[test]
fn several_are_asked_at_the_same_time() {
    let drain = Duration::from_millis(600);
    let ports: Vec<u16> = (0..3)
        .map(|_| mortal("/quitquitquit", 200, drain))
        .collect();
    let targets: Vec<String> = ports.iter().map(|port| url(*port)).collect();
    let done = podgate(
        ["quit"]
            .into_iter()
            .chain(targets.iter().map(String::as_str)),
    )
    .run();
    done.code(0).within(3 * drain);
    assert_eq!(done.stderr.matches("has quit after").count(), 3, "{done}");
    // A failure does not keep the others from being asked.
    let (server, port) = (
        sidecar(|_| 500),
        mortal("/quitquitquit", 200, Duration::ZERO),
    );
    let done = podgate(["quit", "-t", "300ms", &url(server.port()), &url(port)]).run();
    done.code(1).says("has quit after").says("HTTP status 500");
}

#[test]
fn a_signal_ends_it_at_once() {
    for server in [
        sidecar(|_| 200),
        Server::raw(|mut stream| {
            head(&mut stream);
            thread::sleep(10 * SECOND);
        }),
    ] {
        let running = podgate([
            "quit",
            "-v",
            "--attempt-timeout",
            "20s",
            "--timeout",
            "20s",
            &url(server.port()),
        ])
        .start();
        eventually("the request", || (server.connections() > 0).then_some(()));
        running.signal(Signal::SIGTERM);
        running
            .finish()
            .killed_by(Signal::SIGTERM)
            .says("stopped by SIGTERM")
            .within(5 * SECOND);
    }
}

#[test]
fn the_quit_timeout_has_its_own_variable() {
    let server = sidecar(|_| 404);
    let url = url(server.port());
    let done = podgate(["quit", &url])
        .env("PODGATE_QUIT_TIMEOUT", "200ms")
        .env("PODGATE_TIMEOUT", "1ms")
        .run();
    done.code(1).says("gave up after 200ms");
    podgate(["quit", "-t", "100ms", &url])
        .env("PODGATE_QUIT_TIMEOUT", "20s")
        .run()
        .code(1)
        .says("gave up after 100ms");
    let server = sidecar(|_| 200);
    let url = self::url(server.port());
    podgate(["quit", &url])
        .env("PODGATE_QUIT_TIMEOUT", "200ms")
        .run()
        .code(1)
        .says("raise PODGATE_QUIT_TIMEOUT");
}

#[test]
fn quits_can_be_disabled() {
    let server = sidecar(|_| 200);
    let url = url(server.port());
    for word in ["quits", "all", "1", "gates,quits"] {
        let done = podgate(["quit", "istio", &url])
            .env("PODGATE_DISABLE", word)
            .run();
        done.code(0)
            .says("PODGATE_DISABLE is set: not asking")
            .says("\"istio\"");
        podgate(["quit", "nonsense"])
            .env("PODGATE_DISABLE", word)
            .run()
            .code(2);
    }
    assert_eq!(server.connections(), 0);
    podgate(["quit", "-t", "50ms", &url])
        .env("PODGATE_DISABLE", "gates,members")
        .run()
        .code(1);
    podgate(["check", "file:///"])
        .env("PODGATE_DISABLE", "quits")
        .run()
        .code(0);
}
