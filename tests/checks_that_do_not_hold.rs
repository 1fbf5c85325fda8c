//! `not:CHECK` (P3.11): it passes when the check definitely does not hold. The test of each kind
//! has both controls: the check holds, and the attempt cannot tell. `resolves_names` has the same
//! for names, and `core::negation` for every reason.

use crate::support::server::{ClosedPort, Server};
use crate::support::{Folder, Running, podgate};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The check does not hold: it does not pass, and its opposite does.
#[track_caller]
fn does_not_hold(check: &str) {
    podgate(["check", check]).run().code(1);
    podgate(["check", &format!("not:{check}")])
        .run()
        .code(0)
        .says(&format!("\"not:{check}\" passed"));
}

/// The check holds: it passes, and its opposite does not.
#[track_caller]
fn holds(check: &str) {
    podgate(["check", check]).run().code(0);
    podgate(["check", &format!("not:{check}")])
        .run()
        .code(1)
        .says(&format!("\"not:{check}\": {check} still holds"))
        .says("check that something stops or removes it");
}

/// Neither the check nor its opposite passes, because of `reason`.
#[track_caller]
fn cannot_tell(check: &str, reason: &str) {
    podgate(["check", check])
        .run()
        .code(1)
        .says(reason)
        .says_not("cannot tell");
    podgate(["check", &format!("not:{check}")])
        .run()
        .code(1)
        .says(&format!("\"not:{check}\": cannot tell: "))
        .says(reason);
}

/// A name of more than the 255 bytes that a file name can have.
fn too_long(folder: &Folder) -> String {
    folder.text(&"x".repeat(300))
}

/// A unix socket whose backlog is full.
fn full(path: &Path) -> Vec<std::os::fd::OwnedFd> {
    let new = || {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap()
    };
    let address = UnixAddr::new(path).unwrap();
    let listener = new();
    bind(listener.as_raw_fd(), &address).unwrap();
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let mut sockets = vec![listener];
    loop {
        let client = new();
        if connect(client.as_raw_fd(), &address).is_err() {
            return sockets;
        }
        sockets.push(client);
    }
}

fn silent() -> Server {
    Server::raw(|stream| {
        thread::sleep(Duration::from_secs(5));
        drop(stream);
    })
}

#[test]
fn http() {
    let closed = ClosedPort::new();
    does_not_hold(&format!("http://127.0.0.1:{}/", closed.port()));
    for (status, is_well) in [(200, true), (399, true), (404, false), (503, false)] {
        let server = Server::status(status);
        let test = if is_well { holds } else { does_not_hold };
        test(&server.url("/"));
    }
    cannot_tell(&silent().url("/"), "timed out");
    let garbage = Server::raw(|mut stream| {
        let _ = crate::support::server::head(&mut stream);
        let _ = std::io::Write::write_all(&mut stream, b"220 ready\r\n");
    });
    cannot_tell(&garbage.url("/"), "not an HTTP answer");
    let closes = Server::raw(|mut stream| {
        let _ = crate::support::server::head(&mut stream);
    });
    cannot_tell(&closes.url("/"), "closed");
}

#[test]
fn http_with_the_options_about_http() {
    let server = Server::status(503);
    let url = server.url("/");
    let check = |options: &[&str], check: &str| {
        let words = [&["check"][..], options, &[check]].concat();
        podgate(words).run()
    };
    let opposite = format!("not:{url}");
    check(&["--http-status", "503"], &url).code(0);
    check(&["--http-status", "503"], &opposite)
        .code(1)
        .says("still holds");
    check(
        &["--http-status", "503", "--http-body-contains", "hello"],
        &opposite,
    )
    .code(1)
    .says("still holds");
    check(
        &["--http-status", "503", "--http-body-contains", "x"],
        &opposite,
    )
    .code(0);
    let before = server.requests().len();
    check(&["--http-header", "X-Probe: one"], &opposite).code(0);
    let sent = server.requests()[before..].concat().to_ascii_lowercase();
    assert!(sent.contains("x-probe: one"), "{sent}");
}

#[test]
fn http_over_a_unix_socket() {
    let folder = Folder::new();
    let url = |name: &str| format!("http+unix://{}/", folder.text(name).replace('/', "%2F"));
    does_not_hold(&url("missing"));
    let _up = crate::support::server::unix_http(&folder.join("up"), 200);
    holds(&url("up"));
    let _down = crate::support::server::unix_http(&folder.join("down"), 503);
    does_not_hold(&url("down"));
    let _full = full(&folder.join("full"));
    cannot_tell(&url("full"), "the backlog of the socket is full");
}

#[cfg(feature = "tls")]
#[test]
fn https() {
    let closed = ClosedPort::new();
    does_not_hold(&format!("https://127.0.0.1:{}/", closed.port()));
    let server = Server::raw(|mut stream| {
        let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 503 Unavailable\r\n\r\n");
    });
    cannot_tell(
        &format!("https://127.0.0.1:{}/", server.port()),
        "TLS handshake failed",
    );
}

#[test]
fn a_preset() {
    let closed = ClosedPort::new();
    does_not_hold(&format!("envoy:{}", closed.port()));
    let up = Server::status(200);
    holds(&format!("envoy:{}", up.port()));
    let down = Server::status(503);
    does_not_hold(&format!("envoy:{}", down.port()));
    let silent = silent();
    cannot_tell(
        &format!("envoy:{}", silent.port()),
        "it needs an admin address",
    );
}

#[test]
fn tcp() {
    let closed = ClosedPort::new();
    does_not_hold(&closed.tcp());
    let server = silent();
    holds(&format!("tcp://127.0.0.1:{}", server.port()));
    // Wherever this runs, no name server has an address for it (RFC 6761, 6.4).
    cannot_tell("tcp://no-such-name.invalid:1", "name");
}

#[test]
fn unix_sockets() {
    let folder = Folder::new();
    let url = |name: &str| format!("unix://{}", folder.text(name));
    does_not_hold(&url("missing"));
    folder.file("file", "");
    does_not_hold(&url("file"));
    let _listener = UnixListener::bind(folder.join("socket")).unwrap();
    holds(&url("socket"));
    let _full = full(&folder.join("full"));
    cannot_tell(&url("full"), "the backlog of the socket is full");
}

#[test]
fn listening() {
    let closed = ClosedPort::new();
    does_not_hold(&format!("listen://:{}", closed.port()));
    let server = silent();
    holds(&format!("listen://:{}", server.port()));
    does_not_hold(&format!("listen://127.0.0.9:{}", server.port()));
    assert_eq!(server.connections(), 0);
}

#[test]
fn file() {
    let folder = Folder::new();
    let url = |name: &str| format!("file://{}", folder.text(name));
    does_not_hold(&url("missing"));
    folder.file("here", "");
    holds(&url("here"));
    does_not_hold(&url("here/below"));
    cannot_tell(
        &format!("file://{}", too_long(&folder)),
        "cannot look up the path",
    );
}

#[test]
fn nonempty() {
    let folder = Folder::new();
    let url = |name: &str| format!("nonempty://{}", folder.text(name));
    does_not_hold(&url("missing"));
    folder.file("empty", "");
    does_not_hold(&url("empty"));
    fs::create_dir(folder.join("folder")).unwrap();
    does_not_hold(&url("folder"));
    folder.file("full", "x");
    holds(&url("full"));
    std::os::unix::fs::symlink("full", folder.join("link")).unwrap();
    holds(&url("link"));
    cannot_tell(
        &format!("nonempty://{}", too_long(&folder)),
        "cannot look up the path",
    );
    let says = |name: &str, reason: &str| {
        podgate(["check", &url(name)]).run().code(1).says(reason);
    };
    says("missing", "the path does not exist");
    says("empty", "the file is empty");
    says("folder", "the path is not a file");
}

/// Sends these bytes after it has read `asks` bytes at least, and waits until the client leaves.
fn speaking(asks: usize, answer: &'static [u8]) -> Server {
    Server::raw(move |mut stream| {
        let mut asked = vec![0; asks];
        if std::io::Read::read_exact(&mut stream, &mut asked).is_ok() {
            let _ = std::io::Write::write_all(&mut stream, answer);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    })
}

/// Takes a question of at least `asks` bytes and closes.
fn closing(asks: usize) -> Server {
    Server::raw(move |mut stream| {
        let mut asked = vec![0; asks];
        let _ = std::io::Read::read_exact(&mut stream, &mut asked);
    })
}

/// The three controls of a kind whose server answers with bytes.
#[track_caller]
fn answers(scheme: &str, asks: usize, well: &'static [u8], ill: &'static [u8]) {
    let url = |port: u16| format!("{scheme}://127.0.0.1:{port}");
    let closed = ClosedPort::new();
    does_not_hold(&url(closed.port()));
    let server = speaking(asks, well);
    holds(&url(server.port()));
    let server = speaking(asks, ill);
    does_not_hold(&url(server.port()));
    let server = silent();
    cannot_tell(&url(server.port()), "timed out");
    let server = closing(asks);
    cannot_tell(&url(server.port()), "closed");
    let server = speaking(asks, b"220 smtp.example ESMTP ready\r\n");
    cannot_tell(&url(server.port()), "SMTP");
    cannot_tell(&format!("{scheme}://no-such-name.invalid:1"), "name");
}

/// PostgreSQL's protocol 3.0: AuthenticationCleartextPassword, and an ErrorResponse with the code
/// of a server that starts up.
#[test]
fn postgres() {
    let ill = b"E\0\0\0\x38SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
    let mut ill = ill.to_vec();
    ill[4] = u8::try_from(ill.len() - 1).unwrap();
    answers("postgres", 8, b"R\0\0\0\x08\0\0\0\x03", ill.leak());
}

/// MySQL's protocol 10: a greeting, and an error packet (Too many connections).
#[test]
fn mysql() {
    let well: &[u8] = b"\x4a\0\0\0\x0a8.0.36\0\x01\0\0\0abcdefgh\0\xff\xf7\xff\x02\0\xff\xdf\x15\
        \0\0\0\0\0\0\0\0\0\0abcdefghijkl\0caching_sha2_password\0";
    let mut well = well.to_vec();
    well[0] = u8::try_from(well.len() - 4).unwrap();
    let ill = b"\x17\0\0\0\xff\x10\x04Too many connections";
    answers("mysql", 0, well.leak(), ill);
}

#[test]
fn redis() {
    let ill = b"-LOADING Redis is loading the dataset in memory\r\n";
    answers("redis", 14, b"+PONG\r\n", ill);
}

/// SETTINGS; HEADERS with :status 200 and a content-type; DATA with a message of the health
/// service (1 SERVING, 2 NOT_SERVING); HEADERS with grpc-status 0 (RFC 9113, RFC 7541).
#[test]
fn grpc() {
    const WELL: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
        \0\0\x14\x01\x04\0\0\0\x01\x88\x0f\x10\x10application/grpc\
        \0\0\x07\0\0\0\0\0\x01\0\0\0\0\x02\x08\x01\
        \0\0\x0f\x01\x05\0\0\0\x01\0\x0bgrpc-status\x010";
    let mut ill = WELL.to_vec();
    let at = ill.windows(2).rposition(|it| it == [8, 1]).unwrap();
    ill[at + 1] = 2;
    answers("grpc", 24, WELL, ill.leak());
}

#[test]
fn exec() {
    does_not_hold("exec:false");
    does_not_hold("exec:sh -c 'exit 3'");
    holds("exec:true");
    cannot_tell("exec:sh -c 'kill -9 $$'", "killed by signal 9");
    cannot_tell("exec:sleep 5", "timed out");
}

/// A command that is not in the image says nothing, and never will.
#[test]
fn a_command_that_cannot_be_started_is_never() {
    for command in ["exec:no-such-command", "exec:/etc/passwd"] {
        for check in [command.to_owned(), format!("not:{command}")] {
            podgate(["wait", "--timeout", "20s", &check])
                .run()
                .code(1)
                .says("can never pass: ")
                .says_not("cannot tell")
                .within(Duration::from_secs(10));
        }
    }
}

#[test]
fn a_wait_ends_when_the_check_stops_holding() {
    let folder = Folder::new();
    let server = Server::raw(drop);
    let port = server.port();
    for check in [
        format!("not:tcp://127.0.0.1:{port}"),
        format!("not:listen://:{port}"),
    ] {
        podgate(["wait", "--timeout", "300ms", &check])
            .run()
            .code(124)
            .says("still holds");
    }
    let listener = UnixListener::bind(folder.join("socket")).unwrap();
    let check = format!("not:unix://{}", folder.text("socket"));
    let waiting = podgate(["wait", &check]).start();
    waiting.says("still holds");
    fs::remove_file(folder.join("socket")).unwrap();
    waiting.finish().code(0).says("passed after");
    drop(listener);
}

#[test]
fn a_wait_that_cannot_tell_goes_on_and_reports_why() {
    let server = silent();
    let check = format!("not:{}", server.url("/"));
    podgate([
        "wait",
        "--timeout",
        "1s",
        "--attempt-timeout",
        "200ms",
        &check,
    ])
    .run()
    .code(124)
    .says("waiting for")
    .says("cannot tell: timed out after 200ms");
}

#[test]
fn run_starts_its_command_when_the_check_stops_holding() {
    let folder = Folder::new();
    let lock = folder.file("lock", "");
    let check = format!("not:file://{lock}");
    let mut running = podgate(["run", "--after", &check, "--", "echo", "started"]).start();
    running.says("still holds");
    assert!(!running.has_ended());
    fs::remove_file(&lock).unwrap();
    running.finish().code(0).prints("started\n");
}

/// How long after `change` a wait of many seconds sees it.
fn latency(waiting: Running, reason: &str, change: impl FnOnce()) -> Duration {
    waiting.says(reason);
    // The pause between two attempts is 60 ms then.
    thread::sleep(Duration::from_secs(3));
    change();
    let changed = Instant::now();
    waiting.finish().code(0);
    changed.elapsed()
}

/// The best of some trials, because the machine may be busy.
fn best(trial: impl Fn() -> Duration) -> Duration {
    (0..3).map(|_| trial()).min().expect("a trial")
}

#[test]
fn a_file_is_polled_rarely_for_its_content_and_its_end() {
    let folder = Folder::new();
    folder.file("empty", "");
    folder.file("full", "x");
    // The negative control: what is behind a symbolic link cannot be watched.
    symlink(folder.path(), folder.join("link")).unwrap();
    let attempts = |scheme: &str, path: &str| {
        let url = format!("{scheme}://{}", folder.text(path));
        let done = podgate(["wait", "--timeout", "3s", &url]).run();
        let line = done.last_line().to_owned();
        let (before, _) = line.split_once(" attempts").expect("a count");
        let (_, count) = before.rsplit_once('(').expect("a count");
        count.parse::<u32>().expect("a number")
    };
    thread::scope(|scope| {
        for (scheme, file) in [
            ("nonempty", "empty"),
            ("not:file", "empty"),
            ("not:nonempty", "full"),
        ] {
            scope.spawn(move || {
                let watched = attempts(scheme, file);
                assert!(watched <= 20, "{scheme}: {watched}");
                let polled = attempts(scheme, &format!("link/{file}"));
                assert!(polled > 50, "{scheme}: {polled}");
            });
        }
    });
}

#[test]
fn the_kernel_wakes_a_check_of_a_files_content_and_of_its_end() {
    let start = |check: String| podgate(["wait", &check]).start();
    let filled = || {
        let folder = Folder::new();
        let path = folder.file("file", "");
        let waiting = start(format!("nonempty://{path}"));
        latency(waiting, "the file is empty", || {
            fs::write(&path, "x").unwrap()
        })
    };
    let removed = || {
        let folder = Folder::new();
        let path = folder.file("file", "");
        let waiting = start(format!("not:file://{path}"));
        latency(waiting, "still holds", || fs::remove_file(&path).unwrap())
    };
    let renamed = || {
        let folder = Folder::new();
        let path = folder.file("file", "x");
        let waiting = start(format!("not:nonempty://{path}"));
        let change = || fs::rename(&path, folder.join("other")).unwrap();
        latency(waiting, "still holds", change)
    };
    let emptied = || {
        let folder = Folder::new();
        let path = folder.file("file", "x");
        let waiting = start(format!("not:nonempty://{path}"));
        latency(waiting, "still holds", || fs::write(&path, "").unwrap())
    };
    let trials: [(&str, &(dyn Fn() -> Duration + Sync)); 4] = [
        ("filled", &filled),
        ("removed", &removed),
        ("renamed", &renamed),
        ("emptied", &emptied),
    ];
    thread::scope(|scope| {
        for (what, trial) in trials {
            scope.spawn(move || {
                let best = best(trial);
                assert!(best < Duration::from_millis(40), "{what}: {best:?}");
            });
        }
    });
}
