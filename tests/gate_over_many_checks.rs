//! Several checks in one gate: all, any, thresholds, timeouts, and their `PODGATE_*` variables.

use crate::support::server::{ClosedPort, Server};
use crate::support::{Folder, eventually, podgate};
use std::fs;
use std::time::Duration;

#[test]
fn checks_of_different_kinds_run_side_by_side_and_all_must_pass() {
    let (server, switch) = Server::switched();
    let folder = Folder::new();
    let port = ClosedPort::new();
    let file = format!("file://{}", folder.text("ready"));
    let exec = format!("exec:test -f {}", folder.text("later"));
    let waiting = podgate([
        "wait",
        &server.url("/"),
        &port.tcp(),
        &file,
        &exec,
        "--",
        "echo",
        "started",
    ])
    .start();
    for reason in [
        "HTTP status 503",
        "refused",
        "the path does not exist",
        "exit code 1",
    ] {
        waiting.says(reason);
    }
    folder.file("ready", "");
    waiting.says(&format!("{file:?} passed"));
    switch.set(200);
    let _server = port.open();
    waiting.says("/\" passed");
    std::thread::sleep(Duration::from_millis(100));
    assert!(!waiting.stderr().contains(&format!("{exec:?} passed")));
    folder.file("later", "");
    waiting.finish().code(0).prints("started\n");
}

#[test]
fn any_opens_the_gate_when_one_check_passes() {
    let (up, down) = (Server::status(200), ClosedPort::new());
    podgate(["wait", "--any", &down.tcp(), &up.url("/")])
        .run()
        .code(0);
    podgate(["check", "--any", &down.tcp(), &up.url("/")])
        .run()
        .code(0);
    podgate(["check", &down.tcp(), &up.url("/")])
        .env("PODGATE_ANY", "true")
        .run()
        .code(0);
    podgate(["check", &down.tcp(), &up.url("/")])
        .env("PODGATE_ANY", "false")
        .run()
        .code(1);
    podgate(["wait", "--any", "-t", "200ms", &down.tcp(), "file:///none"])
        .run()
        .code(124)
        .says("none of 2 checks passed");
    podgate(["wait", "--any", "exec:podgate-no-such", &up.url("/")])
        .run()
        .code(0);
    podgate([
        "wait",
        "--any",
        "exec:podgate-no-such",
        "exec:podgate-no-such-either",
    ])
    .run()
    .code(1);
}

#[test]
fn one_call_takes_a_hundred_checks() {
    let servers: Vec<Server> = (0..25).map(|_| Server::status(200)).collect();
    let folder = Folder::new();
    let mut checks = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        let file = folder.file(&format!("file{index}"), "");
        checks.extend([
            server.url("/"),
            format!("tcp://{}", server.address),
            format!("file://{file}"),
            format!("listen://:{}", server.port()),
        ]);
    }
    assert_eq!(checks.len(), 100);
    // All checks must pass within the timeout of a probe. A busy machine may need some tries.
    let check = || {
        podgate(
            ["check"]
                .into_iter()
                .chain(checks.iter().map(String::as_str)),
        )
        .run()
    };
    eventually("a check that passes", || {
        (check().status.code() == Some(0)).then_some(())
    });
    podgate(
        ["wait"]
            .into_iter()
            .chain(checks.iter().map(String::as_str)),
    )
    .run()
    .code(0);
    checks.push(format!("file://{}", folder.text("none")));
    let done = podgate(
        ["wait", "-t", "5s"]
            .into_iter()
            .chain(checks.iter().map(String::as_str)),
    )
    .run();
    done.code(124).says("none\": the path does not exist");
}

#[test]
fn a_hundred_checks_that_hang_take_one_timeout_together() {
    let server = Server::raw(|_stream| std::thread::sleep(Duration::from_secs(20)));
    let checks: Vec<String> = (0..100)
        .map(|index| server.url(&format!("/{index}")))
        .collect();
    let done = podgate(
        ["check", "--attempt-timeout", "1s"]
            .into_iter()
            .chain(checks.iter().map(String::as_str)),
    )
    .run();
    done.code(1).within(Duration::from_secs(10));
    assert_eq!(
        done.stderr.matches("while waiting for the answer").count(),
        100,
        "{done}"
    );
}

#[test]
fn the_success_threshold_counts_in_a_row() {
    let folder = Folder::new();
    let log = folder.text("log");
    // Attempts 2, 4, 5 and 6 pass, so only attempt 6 is the third success in a row.
    let script = folder.script(
        "flap",
        &format!("echo x >> {log}; n=$(wc -l < {log}); test $n != 1 -a $n != 3"),
    );
    podgate([
        "wait",
        "--success-threshold",
        "3",
        "--interval",
        "20ms",
        &format!("exec:{script}"),
    ])
    .run()
    .code(0);
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 6);
}

#[test]
fn the_failure_threshold_ends_the_wait_with_1() {
    let folder = Folder::new();
    let log = folder.text("log");
    let script = folder.script("fail", &format!("echo x >> {log}; exit 1"));
    let done = podgate([
        "wait",
        "--failure-threshold",
        "3",
        "-i",
        "20ms",
        &format!("exec:{script}"),
        "--",
        "echo",
        "no",
    ])
    .run();
    done.code(1)
        .prints("")
        .says("--failure-threshold")
        .says("3 attempts");
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 3);
    podgate(["wait", "--failure-threshold", "1", &ClosedPort::new().tcp()])
        .run()
        .code(1)
        .says("1 attempt");
}

#[test]
fn the_interval_is_fixed_when_it_is_given() {
    let server = Server::status(503);
    podgate(["wait", "-i", "200ms", "-t", "1s", &server.url("/")])
        .run()
        .code(124);
    assert!(
        (3..=6).contains(&server.connections()),
        "{} attempts",
        server.connections()
    );
}

#[test]
fn the_initial_delay_comes_first() {
    let server = Server::status(200);
    podgate(["wait", "--initial-delay", "400ms", &server.url("/")])
        .run()
        .code(0)
        .not_before(Duration::from_millis(400));
    assert_eq!(server.connections(), 1);
}

#[test]
fn the_timeout_covers_the_whole_wait() {
    let server = Server::raw(|_stream| std::thread::sleep(Duration::from_secs(20)));
    let done = podgate([
        "wait",
        "-t",
        "400ms",
        "--attempt-timeout",
        "10s",
        &server.url("/"),
        "--",
        "echo",
        "no",
    ])
    .run();
    done.code(124)
        .prints("")
        .not_before(Duration::from_millis(400))
        .within(Duration::from_secs(10));
    let closed = ClosedPort::new();
    podgate([
        "wait",
        "-t",
        "none",
        "--failure-threshold",
        "2",
        "-i",
        "10ms",
        &closed.tcp(),
    ])
    .run()
    .code(1);
}

#[test]
fn on_timeout_run_continues_after_each_kind_of_failure() {
    let closed = ClosedPort::new();
    let tcp = closed.tcp();
    for options in [
        vec!["-t", "100ms", &tcp],
        vec!["--failure-threshold", "1", &tcp],
        vec!["exec:podgate-no-such"],
    ] {
        let call = |more: &[&str]| podgate(["wait"].iter().chain(&options).chain(more).copied());
        call(&["--on-timeout", "run", "--", "echo", "ran"])
            .run()
            .code(0)
            .prints("ran\n")
            .says("continuing because of --on-timeout run");
        call(&["--", "echo", "ran"])
            .env("PODGATE_ON_TIMEOUT", "run")
            .run()
            .code(0)
            .prints("ran\n");
        call(&["--on-timeout", "run"]).run().code(0).prints("");
        let failed = call(&["--on-timeout", "fail", "--", "echo", "ran"]).run();
        failed.prints("");
        assert!(matches!(failed.status.code(), Some(1 | 124)), "{failed}");
    }
}

#[test]
fn without_checks_the_command_runs_and_the_log_says_so() {
    podgate(["wait", "--", "echo", "ran"])
        .run()
        .code(0)
        .prints("ran\n")
        .says("nothing to wait for");
    podgate(["wait"]).run().code(2).says("needs a check");
    podgate(["check"]).run().code(2).says("needs a check");
}

#[test]
fn podgate_checks_gives_the_checks_to_an_entrypoint() {
    let (server, closed) = (Server::status(200), ClosedPort::new());
    let both = format!("\n  {}\n\n  tcp://{}\n", server.url("/"), server.address);
    podgate(["wait", "--", "echo", "ran"])
        .env("PODGATE_CHECKS", &both)
        .run()
        .code(0)
        .prints("ran\n");
    assert_eq!(server.connections(), 2);
    podgate(["check"])
        .env("PODGATE_CHECKS", &both)
        .run()
        .code(0);
    // A CHECK on the command line replaces the variable.
    podgate(["wait", "-t", "100ms", &closed.tcp()])
        .env("PODGATE_CHECKS", &both)
        .run()
        .code(124);
    podgate(["wait", "--", "true"])
        .env("PODGATE_CHECKS", "db:5432")
        .run()
        .code(2)
        .says("PODGATE_CHECKS")
        .says("tcp://db:5432");
}

#[test]
fn every_option_has_a_variable() {
    let server = Server::status(503);
    let closed = ClosedPort::new();
    let wait = || podgate(["wait", &server.url("/")]);
    wait()
        .env("PODGATE_TIMEOUT", "100ms")
        .run()
        .code(124)
        .says("raise PODGATE_TIMEOUT")
        .within(Duration::from_secs(20));
    wait().env("PODGATE_FAILURE_THRESHOLD", "1").run().code(1);
    wait().env("PODGATE_HTTP_STATUS", "503").run().code(0);
    wait()
        .env("PODGATE_HTTP_STATUS", "503")
        .env("PODGATE_HTTP_METHOD", "HEAD")
        .run()
        .code(0);
    assert!(server.requests().last().unwrap().starts_with("HEAD"));
    wait()
        .env("PODGATE_HTTP_STATUS", "503")
        .env("PODGATE_HTTP_BODY_CONTAINS", "absent")
        .env("PODGATE_TIMEOUT", "50ms")
        .run()
        .code(124);
    wait()
        .env("PODGATE_HTTP_STATUS", "503")
        .env("PODGATE_INITIAL_DELAY", "300ms")
        .run()
        .code(0)
        .not_before(Duration::from_millis(300));
    let done = wait()
        .env("PODGATE_INTERVAL", "10ms")
        .env("PODGATE_SUCCESS_THRESHOLD", "2")
        .env("PODGATE_HTTP_STATUS", "503")
        .run();
    done.code(0).says("2 attempts");
    wait()
        .env("PODGATE_TIMEOUT", "50ms")
        .env("PODGATE_QUIET", "1")
        .run()
        .code(124)
        .says_not("waiting:");
    wait()
        .env("PODGATE_TIMEOUT", "50ms")
        .env("PODGATE_VERBOSE", "true")
        .run()
        .code(124)
        .says("waiting for all of \"");
    wait()
        .env("PODGATE_TIMEOUT", "50ms")
        .env("PODGATE_LOG_FORMAT", "json")
        .run()
        .code(124)
        .says("\"event\":\"gave_up\"");
    let folder = Folder::new();
    let (log, termination) = (folder.text("log"), folder.text("termination"));
    let call = wait()
        .env("PODGATE_TIMEOUT", "50ms")
        .env("PODGATE_LOG_TO", &log)
        .env("PODGATE_TERMINATION_LOG", &termination);
    call.run().code(124).says_not("gave up");
    assert!(
        fs::read_to_string(&log).unwrap().contains("gave up")
            && fs::read_to_string(&termination)
                .unwrap()
                .contains("gave up")
    );
    let hang = Server::raw(|_stream| std::thread::sleep(Duration::from_secs(20)));
    // On a busy machine the attempt may end a little later, and the message gives the longer time.
    eventually("a cut after 50ms", || {
        let call = podgate(["wait", "--failure-threshold", "1", &hang.url("/")]);
        let done = call.env("PODGATE_ATTEMPT_TIMEOUT", "50ms").run();
        done.code(1)
            .stderr
            .contains("timed out after 50ms")
            .then_some(())
    });
    // A flag takes precedence over its variable.
    podgate(["wait", "-t", "100ms", &closed.tcp()])
        .env("PODGATE_TIMEOUT", "20s")
        .run()
        .code(124)
        .within(Duration::from_secs(10));
    // An empty variable counts as unset.
    wait()
        .env("PODGATE_TIMEOUT", "")
        .env("PODGATE_HTTP_STATUS", "503")
        .run()
        .code(0);
}

#[test]
fn check_ignores_schedule_and_thresholds() {
    let (server, closed) = (Server::status(200), ClosedPort::new());
    let variables = [
        ("PODGATE_INITIAL_DELAY", "20s"),
        ("PODGATE_TIMEOUT", "1ms"),
        ("PODGATE_SUCCESS_THRESHOLD", "5"),
        ("PODGATE_INTERVAL", "1s"),
        ("PODGATE_ATTEMPT_TIMEOUT", "1ms"),
        ("PODGATE_ON_TIMEOUT", "nonsense"),
    ];
    let call = |url: &str| {
        variables
            .iter()
            .fold(podgate(["check", url]), |call, (name, value)| {
                call.env(name, value)
            })
    };
    call(&server.url("/"))
        .run()
        .code(0)
        .within(Duration::from_secs(10));
    call(&closed.tcp()).run().code(1);
    assert_eq!(server.connections(), 1);
    let hang = Server::raw(|_stream| std::thread::sleep(Duration::from_secs(20)));
    call(&hang.url("/"))
        .run()
        .code(1)
        .says("timed out after 800ms");
}

#[test]
fn disable_overrides_everything_and_reports_what_it_skips() {
    let closed = ClosedPort::new();
    let tcp = closed.tcp();
    let on = [
        "all",
        "1",
        "true",
        "True",
        "YES",
        "on",
        " true\n",
        "gates",
        "quits,gates",
        "members\ngates",
    ];
    for word in on {
        let done = podgate(["wait", "-t", "20s", &tcp, "--", "echo", "ran"])
            .env("PODGATE_DISABLE", word)
            .run();
        done.code(0)
            .prints("ran\n")
            .says("not waiting")
            .says(&tcp)
            .within(Duration::from_secs(10));
    }
    for word in ["", "0", "false", "False", "NO", "off", "quits", "members"] {
        podgate(["wait", "-t", "50ms", &tcp])
            .env("PODGATE_DISABLE", word)
            .run()
            .code(124);
    }
    podgate(["wait", &tcp])
        .env("PODGATE_DISABLE", "gates")
        .run()
        .code(0);
    podgate(["wait", &tcp])
        .env("PODGATE_DISABLE", "gate")
        .run()
        .code(2)
        .says("PODGATE_DISABLE: unknown value \"gate\"");
    podgate(["check", &tcp])
        .env("PODGATE_DISABLE", "all")
        .run()
        .code(1);
    // A CA file may be missing: a mesh's CA is mounted only where there is a mesh.
    if cfg!(feature = "tls") {
        let call = [
            "wait",
            "--tls-ca",
            "/no/such/ca",
            "https://localhost:1/",
            "--",
            "echo",
            "ran",
        ];
        podgate(call)
            .env("PODGATE_DISABLE", "1")
            .run()
            .code(0)
            .prints("ran\n");
    }
    podgate(["wait", "db:1"])
        .env("PODGATE_DISABLE", "all")
        .run()
        .code(2);
}

#[test]
fn variables_that_are_not_options_are_ignored() {
    let server = Server::status(200);
    podgate(["check", &server.url("/")])
        .env("PODGATE_PORT", "tcp://10.0.0.1:80")
        .env("PODGATE_SERVICE_HOST", "10.0.0.1")
        .env("PODGATE_PORT_80_TCP_ADDR", "10.0.0.1")
        .run()
        .code(0);
}

#[test]
fn the_gate_opens_soon_after_ready() {
    // The schedule allows 2 % of the wait plus its minimum. The limit here leaves room for a loaded
    // machine. See bench/ for measurements.
    let port = ClosedPort::new();
    let waiting = podgate(["wait", &port.tcp()]).start();
    waiting.says("refused");
    std::thread::sleep(Duration::from_millis(1500));
    let opened = std::time::Instant::now();
    let _server = port.open();
    waiting.finish().code(0);
    assert!(
        opened.elapsed() < Duration::from_millis(700),
        "{:?} after ready",
        opened.elapsed()
    );
}

#[test]
fn attempts_become_rarer_while_the_wait_lasts() {
    let server = Server::status(503);
    let waiting = podgate(["wait", "-t", "none", &server.url("/")]).start();
    eventually("the first attempts", || {
        (server.connections() > 10).then_some(())
    });
    std::thread::sleep(Duration::from_secs(3));
    let count = server.connections();
    // The schedule has 257 attempts in 3 s. A loaded machine makes fewer, never more.
    assert!((20..300).contains(&count), "{count} attempts");
    drop(waiting);
}
