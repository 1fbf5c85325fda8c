//! A process that is paused past the end of its wait (`docker pause`, a frozen virtual machine, a
//! CPU limit) looks once more before it gives up (P5.6).

use crate::support::server::{ClosedPort, Server};
use crate::support::{Folder, Running, podgate};
use nix::sys::signal::Signal;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread::sleep;
use std::time::Duration;

/// The time limit of the waits, and a pause that is longer.
const LIMIT: &str = "3s";
const PAUSE: Duration = Duration::from_millis(3500);

/// Pauses these processes until their time limit is over. `change` is done in the meantime.
fn paused_past_the_end(waits: &[Running], change: impl FnOnce()) {
    for wait in waits {
        wait.signal(Signal::SIGSTOP);
    }
    change();
    sleep(PAUSE);
    for wait in waits {
        wait.signal(Signal::SIGCONT);
    }
}

/// Starts a wait for this check, and waits until its first attempt has failed.
fn wait(options: &[&str], check: &str, reason: &str) -> Running {
    let words = ["wait", "-t", LIMIT]
        .into_iter()
        .chain(options.iter().copied());
    let waiting = podgate(words.chain([check, "--", "echo", "started"])).start();
    waiting.says(reason);
    waiting
}

#[test]
fn a_wait_of_each_kind_that_was_paused_past_its_end_looks_once_more() {
    let folder = Folder::new();
    let (server, switch) = Server::switched();
    let (tcp, listen) = (ClosedPort::new(), ClosedPort::new());
    let path = |name: &str| folder.text(name);
    let waits = [
        wait(&[], &server.url("/"), "HTTP status 503"),
        wait(&["-i", "100ms"], &server.url("/"), "HTTP status 503"),
        wait(&[], &tcp.tcp(), "connection refused"),
        wait(
            &[],
            &format!("listen://:{}", listen.port()),
            "no process listens",
        ),
        wait(&[], &format!("unix://{}", path("socket")), "does not exist"),
        wait(&[], &format!("file://{}", path("file")), "does not exist"),
        wait(
            &[],
            &format!("exec:test -e {}", path("file")),
            "exit code 1",
        ),
        // The command is under way, and would end too late.
        wait(
            &["--attempt-timeout", "5s", "tcp://127.0.0.1:1", "--any"],
            &format!("exec:sh -c 'test -e {} || exec sleep 60'", path("file")),
            "connection refused",
        ),
        podgate([
            "run",
            "--after-timeout",
            LIMIT,
            "--after",
            &tcp.tcp(),
            "--",
            "echo",
            "started",
        ])
        .start(),
    ];
    waits[8].says("connection refused");
    let mut kept = None;
    paused_past_the_end(&waits, || {
        switch.set(200);
        folder.file("file", "");
        kept = Some((
            tcp.open(),
            listen.open(),
            UnixListener::bind(folder.join("socket")).unwrap(),
        ));
    });
    for wait in waits {
        wait.finish().code(0).prints("started\n");
    }
}

#[test]
fn a_wait_that_was_paused_past_its_end_gives_up_after_its_last_attempt() {
    let closed = ClosedPort::new();
    // It accepts connections, and answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let waits = [
        wait(&[], &closed.tcp(), "connection refused"),
        wait(&["--attempt-timeout", "300ms"], &silent, "timed out"),
    ];
    paused_past_the_end(&waits, || {});
    for wait in waits {
        wait.finish()
            .code(124)
            .within(PAUSE * 4)
            .says("gave up after 3s");
    }
}

#[test]
fn a_quit_that_was_paused_past_its_end_looks_once_more() {
    let (server, _) = Server::switched();
    let url = server.url("/quitquitquit");
    let quit = podgate(["quit", "-t", LIMIT, &url]).start();
    quit.says("HTTP status 503");
    let quits = [quit];
    paused_past_the_end(&quits, || drop(server));
    let [quit] = quits;
    let done = quit.finish();
    done.code(0);
}
