//! `run --quit` and `--sidecar`: podgate asks sidecars to stop after CMD's end, and never before.
//! The exit code is CMD's, whether they stop or not.

use crate::checks_that_are_not_http::DEAD;
use crate::support::server::{ClosedPort, Server, answer, head};
use crate::support::{Done, Folder, Running, eventually, inside, namespaces, needs, podgate};
use nix::sys::signal::Signal;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Ready until it is asked to quit. Then it ends and its port is closed. It also ends with its
/// test.
struct Sidecar {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Sidecar {
    fn new() -> Self {
        Self::with(|| {})
    }

    /// `at_quit` runs when the request to quit arrives, before the answer.
    fn with(at_quit: impl Fn() + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, asked) = (
            listener.local_addr().unwrap().port(),
            Arc::new(AtomicUsize::new(0)),
        );
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let is_last = head(&mut stream).starts_with("POST /quitquitquit HTTP/1.1\r\n");
                if is_last {
                    count.fetch_add(1, Ordering::SeqCst);
                    at_quit();
                }
                let _ = stream.write_all(&answer(200, &[], ""));
                if is_last {
                    return;
                }
            }
        });
        Self { port, asked }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/quitquitquit", self.port)
    }

    /// The number of requests to quit so far.
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// `podgate run` with these options and a script as CMD.
fn start(options: &[&str], script: &str) -> Running {
    podgate(
        ["run"]
            .iter()
            .chain(options)
            .copied()
            .chain(["--", "sh", "-c", script]),
    )
    .start()
}

fn run(options: &[&str], script: &str) -> Done {
    start(options, script).finish()
}

const NEVER: [&str; 2] = ["--restart-policy", "never"];
const ON_FAILURE: [&str; 2] = ["--restart-policy", "on-failure"];

#[test]
fn never_asks_after_any_end_and_on_failure_after_a_success() {
    for (policy, script, code, asked) in [
        (NEVER, "exit 0", 0, 1),
        (NEVER, "exit 3", 3, 1),
        (NEVER, "kill -KILL $$", 137, 1),
        (ON_FAILURE, "exit 0", 0, 1),
        (ON_FAILURE, "exit 3", 3, 0),
        (ON_FAILURE, "kill -KILL $$", 137, 0),
    ] {
        let sidecar = Sidecar::new();
        let done = run(&[&policy[..], &["--quit", &sidecar.url()]].concat(), script);
        done.code(code);
        assert_eq!(sidecar.asked(), asked, "{done}");
        if asked == 1 {
            done.says("acknowledged").says("has quit after");
        }
    }
    // The code counts after --ok-exit, so 7 is a success here.
    let sidecar = Sidecar::new();
    run(
        &[
            &ON_FAILURE[..],
            &["--ok-exit", "7", "--quit", &sidecar.url()],
        ]
        .concat(),
        "exit 7",
    )
    .code(0);
    assert_eq!(sidecar.asked(), 1);
}

#[test]
fn sidecar_is_a_gate_and_a_quit() {
    let sidecar = Sidecar::new();
    let down = ClosedPort::new();
    let preset = format!("envoy:{}", sidecar.port);
    run(&[&NEVER[..], &["--sidecar", &preset]].concat(), "exit 4")
        .code(4)
        .says("passed")
        .says("has quit after");
    assert_eq!(sidecar.asked(), 1);
    // The sidecar is a gate: CMD starts only when it is ready.
    let folder = Folder::new();
    let preset = format!("envoy:{}", down.port());
    let running = start(
        &[
            &NEVER[..],
            &["--quit-timeout", "300ms", "--sidecar", &preset],
        ]
        .concat(),
        &format!(": >{}", folder.text("started")),
    );
    running.says("refused");
    assert!(!folder.join("started").exists());
    let server = down.open();
    // This sidecar does not quit. The exit code stays CMD's.
    running.finish().code(0).says("gave up after 300ms");
    assert!(folder.join("started").exists());
    drop(server);
}

#[test]
fn a_failed_quit_never_changes_the_exit_code() {
    let (closed, silent) = (
        ClosedPort::new(),
        Server::raw(|_stream| thread::sleep(20 * SECOND)),
    );
    let (busy, absent) = (Server::status(500), Server::status(404));
    let stays = Server::status(200);
    let targets = [
        (
            format!("http://127.0.0.1:{}/quit", closed.port()),
            "is already gone",
        ),
        (silent.url("/quit"), "gave up after 300ms"),
        (busy.url("/quit"), "HTTP status 500"),
        (absent.url("/quit"), "HTTP status 404"),
        (stays.url("/quit"), "still accepts connections"),
        (
            "http+unix://%2Fno%2Fsuch%2Fsocket/quit".to_owned(),
            "is already gone",
        ),
        (
            "http://no-such-host.invalid/quit".to_owned(),
            "no-such-host.invalid",
        ),
    ];
    for (target, text) in &targets {
        for code in [0, 5] {
            let options = [&NEVER[..], &["--quit-timeout", "300ms", "--quit", target]].concat();
            run(&options, &format!("exit {code}"))
                .code(code)
                .says(text)
                .within(10 * SECOND);
        }
    }
    // All of them at once, and one sidecar that does quit: it is asked in spite of the failures of
    // the others.
    let sidecar = Sidecar::new();
    let url = sidecar.url();
    let all = targets
        .iter()
        .map(|(target, _)| target.as_str())
        .chain([url.as_str()]);
    let all: Vec<&str> = all.flat_map(|target| ["--quit", target]).collect();
    run(
        &[&NEVER[..], &["--quit-timeout", "300ms"], &all].concat(),
        "exit 6",
    )
    .code(6)
    .within(10 * SECOND);
    assert_eq!(sidecar.asked(), 1);
}

#[test]
fn a_socket_on_a_file_system_that_hangs_does_not_change_the_exit_code() {
    if !namespaces() || !needs("/dev/fuse", Path::new("/dev/fuse").exists()) {
        return;
    }
    let folder = Folder::new();
    let dead = folder.text("dead");
    let starter: Vec<&str> = DEAD.iter().copied().chain([dead.as_str()]).collect();
    let target = format!("http+unix://{}%2Fs/quit", dead.replace('/', "%2F"));
    let call = [
        "run",
        "--restart-policy",
        "never",
        "--quit-timeout",
        "300ms",
        "--quit",
        &target,
        "--",
        "sh",
        "-c",
        "exit 3",
    ];
    inside(&starter, call)
        .run()
        .code(3)
        .says("does not return; is the server of its file system gone?")
        .within(20 * SECOND);
}

#[test]
fn sidecars_are_asked_after_a_sigterm_too() {
    for (trap, code) in [
        ("trap 'exit 7' TERM; ", 7),
        ("trap 'exit 0' TERM; ", 0),
        ("", 143),
    ] {
        let sidecar = Sidecar::new();
        let running = start(
            &[&NEVER[..], &["--quit", &sidecar.url()]].concat(),
            &format!("{trap}echo up >&2; while :; do sleep 0.02; done"),
        );
        running.says("up");
        assert_eq!(sidecar.asked(), 0);
        running.signal(Signal::SIGTERM);
        running.finish().code(code).says("has quit after");
        assert_eq!(sidecar.asked(), 1);
    }
    // A failure under on-failure: the sidecar is not asked.
    let sidecar = Sidecar::new();
    let running = start(
        &[&ON_FAILURE[..], &["--quit", &sidecar.url()]].concat(),
        "echo up >&2; exec sleep 100",
    );
    running.says("up");
    running.signal(Signal::SIGTERM);
    running.finish().code(143);
    assert_eq!(sidecar.asked(), 0);
}

#[test]
fn sidecars_are_asked_if_the_command_never_started() {
    let folder = Folder::new();
    let (file, none) = (folder.file("file", ""), folder.text("none"));
    let closed = ClosedPort::new();
    let gate = closed.tcp();
    let not_there: &[&str] = &["--", &none];
    let not_executable: &[&str] = &["--", &file];
    let timed_out: &[&str] = &[
        "--after",
        &gate,
        "--after-timeout",
        "200ms",
        "--",
        "touch",
        &none,
    ];
    let never: &[&str] = &[
        "--after",
        "exec:podgate-has-no-such-command",
        "--",
        "touch",
        &none,
    ];
    let no_volume: &[&str] = &["--name", "main", "--dir", &none, "--", "touch", &none];
    for (rest, code) in [
        (not_there, 127),
        (not_executable, 126),
        (timed_out, 124),
        (never, 1),
        (no_volume, 125),
    ] {
        for (policy, asked) in [(NEVER, 1), (ON_FAILURE, 0)] {
            let sidecar = Sidecar::new();
            let url = sidecar.url();
            let call = [&["run"], &policy[..], &["--quit", &url], rest].concat();
            let done = podgate(call).run();
            done.code(code).within(10 * SECOND);
            assert_eq!(sidecar.asked(), asked, "{done}");
        }
    }
    // SIGTERM while the gate waits.
    for (policy, asked) in [(NEVER, 1), (ON_FAILURE, 0)] {
        let sidecar = Sidecar::new();
        let running = start(
            &[&policy[..], &["--quit", &sidecar.url(), "--after", &gate]].concat(),
            &format!("touch {none}"),
        );
        running.says("refused");
        running.signal(Signal::SIGTERM);
        running
            .finish()
            .code(143)
            .says("the command was not started");
        assert_eq!(sidecar.asked(), asked);
    }
    assert!(!Path::new(&none).exists());
}

#[test]
fn sidecars_are_asked_if_another_option_is_wrong() {
    let folder = Folder::new();
    let script = format!("touch {}", folder.text("started"));
    for (policy, disabled, asked) in [(NEVER, "", 1), (ON_FAILURE, "", 0), (NEVER, "quits", 0)] {
        for wrong in [["--grace", "bogus"], ["--untill", "main"]] {
            let sidecar = Sidecar::new();
            let url = sidecar.url();
            let call = [
                &["run"],
                &policy[..],
                &["--quit", &url],
                &wrong,
                &["--", "sh", "-c", &script],
            ]
            .concat();
            let done = podgate(call).env("PODGATE_DISABLE", disabled).run();
            done.code(2).says(wrong[0]).within(10 * SECOND);
            assert_eq!(sidecar.asked(), asked, "{done}");
        }
    }
    assert!(!folder.join("started").exists());
}

#[test]
fn a_wrong_quit_option_asks_nobody_and_starts_nothing() {
    let sidecar = Sidecar::new();
    let url = sidecar.url();
    let folder = Folder::new();
    let script = format!("touch {}", folder.text("started"));
    for (options, text) in [
        (vec!["--quit", &url], "--restart-policy"),
        (vec!["--sidecar", "istio"], "--restart-policy"),
        (
            vec!["--quit", &url, "--restart-policy", "auto"],
            "--restart-policy",
        ),
        (vec!["--quit", &url, "--restart-policy", "always"], "always"),
        (
            vec![
                "--quit",
                &url,
                "--quit",
                "nonsense",
                "--restart-policy",
                "never",
            ],
            "\"nonsense\"",
        ),
        (
            vec![
                "--quit",
                &url,
                "--sidecar",
                &url,
                "--restart-policy",
                "never",
            ],
            "not a preset",
        ),
        (
            vec![
                "--quit",
                &url,
                "--quit-timeout",
                "0",
                "--restart-policy",
                "never",
            ],
            "none",
        ),
        (
            vec![
                "--quit",
                "member:main",
                "--name",
                "main",
                "--restart-policy",
                "never",
            ],
            "itself",
        ),
    ] {
        run(&options, &script)
            .code(2)
            .says(text)
            .within(10 * SECOND);
    }
    assert_eq!(sidecar.asked(), 0);
    assert!(!folder.join("started").exists());
}

#[test]
fn a_signal_ends_the_quit_requests_and_keeps_the_exit_code() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let stays = Server::status(404);
        let url = stays.url("/quit");
        let options = [&NEVER[..], &["--quit-timeout", "none", "--quit", &url]].concat();
        let running = start(&options, "exit 3");
        running.says("HTTP status 404");
        let sent = Instant::now();
        running.signal(signal);
        running
            .finish()
            .code(3)
            .says(&format!("stopped by {signal}"));
        assert!(sent.elapsed() < 5 * SECOND, "{:?}", sent.elapsed());
    }
}

#[test]
fn orphans_of_cmd_are_reaped_while_others_are_asked() {
    if !namespaces() {
        return;
    }
    let stays = Server::status(404);
    let (url, as_pid_1) = (stays.url("/quit"), crate::support::AS_PID_1);
    // The orphan ends while podgate asks others to quit.
    let script = "sh -c 'sleep 0.3' & exit 3";
    let call = [
        "run",
        "--restart-policy",
        "never",
        "--quit-timeout",
        "20s",
        "--quit",
        &url,
        "--",
        "sh",
        "-c",
        script,
    ];
    let running = inside(as_pid_1, call).start();
    let pid = running.podgate_pid();
    running.says("HTTP status 404");
    let children = || std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok();
    eventually("no child to be left, dead or alive", || {
        children().filter(|all| all.is_empty())
    });
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    running.finish().code(3);
}

#[test]
fn the_end_is_published_before_others_are_asked() {
    let folder = Folder::new();
    let dir = folder.text("");
    let (its, seen) = (dir.clone(), Arc::new(Mutex::new(Vec::new())));
    let sees = Arc::clone(&seen);
    let sidecar = Sidecar::with(move || {
        let place = ["--dir", &its, "--allow-plain-dir"];
        let status = podgate(["status", "--json"].iter().chain(&place)).run();
        let gone = podgate(["check", "gone:main"].iter().chain(&place)).run();
        // CMD has ended. The member itself still asks others to quit, and holds its lock.
        let quit = podgate(
            ["quit", "--timeout", "200ms", "member:main"]
                .iter()
                .chain(&place),
        )
        .run();
        sees.lock().unwrap().extend([status, gone, quit]);
    });
    let place = [
        "--name",
        "main",
        "--dir",
        &dir,
        "--allow-plain-dir",
        "--attempt-timeout",
        "20s",
        "--quit-timeout",
        "25s",
    ];
    run(
        &[&NEVER[..], &place, &["--quit", &sidecar.url()]].concat(),
        "exit 9",
    )
    .code(9);
    let seen = seen.lock().unwrap();
    let [status, gone, quit] = seen.as_slice() else {
        panic!("asked {} times", sidecar.asked())
    };
    assert!(
        status
            .code(0)
            .stdout
            .contains("\"name\":\"main\",\"state\":\"exited\""),
        "{status}"
    );
    assert!(
        status.stdout.contains("\"exit_code\":9,\"alive\":false"),
        "{status}"
    );
    gone.code(0);
    quit.code(1).says("is still alive");
}

#[test]
fn a_failed_quit_leaves_the_termination_message_alone() {
    let folder = Folder::new();
    let (path, stays) = (folder.text("termination"), Server::status(200));
    let options = [
        "--termination-log",
        &path,
        "--quit-timeout",
        "200ms",
        "--quit",
        &stays.url("/quit"),
    ]
    .map(str::to_owned);
    let options: Vec<&str> = NEVER
        .into_iter()
        .chain(options.iter().map(String::as_str))
        .collect();
    run(&options, &format!("echo 'no config' >{path}; exit 3"))
        .code(3)
        .says("still accepts connections");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "no config\n");
}

#[test]
fn a_member_is_asked_through_the_volume() {
    let folder = Folder::new();
    let dir = folder.text("");
    let place = ["--dir", &dir, "--allow-plain-dir"];
    for code in [0, 3] {
        let proxy = start(
            &[&place[..], &["--name", "proxy", "--until", "nobody"]].concat(),
            "echo up >&2; exec sleep 100",
        );
        proxy.says("up");
        let sidecar = Sidecar::new();
        let url = sidecar.url();
        let options = [
            &place[..],
            &NEVER,
            &["--quit", "member:proxy", "--quit", &url],
        ]
        .concat();
        let done = run(&options, &format!("exit {code}"));
        done.code(code)
            .says("\"member:proxy\" has quit")
            .says("has quit after");
        assert_eq!(sidecar.asked(), 1);
        proxy.finish().code(0).says("asked to quit");
    }
    // An absent member counts as gone.
    run(
        &[&place[..], &NEVER, &["--quit", "member:nobody"]].concat(),
        "exit 4",
    )
    .code(4)
    .says("is already gone");
}

#[test]
fn the_time_limit_and_the_targets_have_variables() {
    let (stays, sidecar) = (Server::status(404), Sidecar::new());
    let done = podgate(["run", "--", "sh", "-c", "exit 3"])
        .env("PODGATE_RESTART_POLICY", "never")
        .env(
            "PODGATE_QUIT",
            format!("{}\n{}\n", stays.url("/quit"), sidecar.url()),
        )
        .env("PODGATE_QUIT_TIMEOUT", "200ms")
        .run();
    done.code(3)
        .says("gave up after 200ms")
        .says("has quit after");
    assert_eq!(sidecar.asked(), 1);
}

#[test]
fn quits_can_be_disabled_and_the_gate_of_a_sidecar_stays() {
    let sidecar = Sidecar::new();
    let preset = format!("envoy:{}", sidecar.port);
    let call = [
        "run",
        "--restart-policy",
        "never",
        "--sidecar",
        &preset,
        "--",
        "sh",
        "-c",
        "exit 3",
    ];
    podgate(call)
        .env("PODGATE_DISABLE", "quits")
        .run()
        .code(3)
        .says("not asking")
        .says("passed");
    podgate(call)
        .env("PODGATE_DISABLE", "gates")
        .run()
        .code(3)
        .says("not waiting")
        .says("has quit after");
    assert_eq!(sidecar.asked(), 1);
    podgate(call)
        .env("PODGATE_DISABLE", "all")
        .run()
        .code(3)
        .says("not asking")
        .says("not waiting");
}
