//! P9: state changes and heartbeats, JSON, the container's log, the termination message, the live
//! line, and no secrets.

use crate::support::server::{ClosedPort, Server};
use crate::support::{AS_PID_1, Folder, inside, namespaces, output, podgate, python3};
use std::fs;
use std::process::Command;
use std::time::Duration;

#[test]
fn a_line_is_printed_for_each_change_and_not_for_each_attempt() {
    let (server, switch) = Server::switched();
    let waiting = podgate(["wait", &server.url("/")]).start();
    waiting.says("HTTP status 503");
    switch.set(404);
    waiting.says("HTTP status 404");
    switch.set(200);
    let done = waiting.finish();
    done.code(0);
    let lines: Vec<&str> = done
        .stderr
        .lines()
        .filter(|line| !line.contains("still waiting"))
        .collect();
    assert_eq!(lines.len(), 3, "{done}");
    assert!(
        lines.iter().all(|line| line.starts_with("podgate: ")),
        "{done}"
    );
}

#[test]
fn the_interval_between_heartbeats_doubles() {
    let closed = ClosedPort::new();
    let done = podgate(["wait", "-t", "3600ms", &closed.tcp()]).run();
    let beats = done
        .stderr
        .lines()
        .filter(|line| line.contains("still waiting after"))
        .count();
    assert_eq!(beats, 2, "after 1 s and 3 s\n{done}");
}

#[test]
fn the_last_line_of_a_failure_has_object_duration_cause_and_hint() {
    let closed = ClosedPort::new();
    let done = podgate(["wait", "-t", "300ms", &closed.tcp()]).run();
    let last = done.last_line();
    for part in [
        "gave up after 300ms",
        &closed.tcp(),
        "connection refused",
        "attempts, the last",
        "listening on this address and port? If it needs longer, raise --timeout",
    ] {
        assert!(last.contains(part), "no {part:?} in {last:?}");
    }
}

#[test]
fn quiet_prints_only_failures_and_verbose_prints_the_plan() {
    let (server, closed) = (Server::status(200), ClosedPort::new());
    let done = podgate(["wait", "-q", &server.url("/")]).run();
    assert_eq!(done.stderr, "", "{done}");
    let done = podgate(["wait", "-q", "-t", "100ms", &closed.tcp()]).run();
    assert_eq!(done.stderr.lines().count(), 1, "{done}");
    podgate(["wait", "-v", &server.url("/")])
        .run()
        .code(0)
        .says("waiting for all of \"")
        .says("timeout 1m, attempt timeout 1s");
    let done = podgate(["check", "-q", &server.url("/")]).run();
    assert_eq!(done.stderr, "", "{done}");
}

#[test]
fn json_is_one_object_per_line() {
    if !python3() {
        return;
    }
    let closed = ClosedPort::new();
    let check = format!(
        "exec:sh -c 'printf \"q\\\"\\\\t\\033[1m\\377 {}\"; exit 1'",
        "x".repeat(50)
    );
    let done = podgate([
        "wait",
        "--log-format",
        "json",
        "-t",
        "1200ms",
        &closed.tcp(),
        &check,
    ])
    .run();
    done.code(124);
    let program = "import json,sys\nfor line in sys.stdin:\n o=json.loads(line)\n \
                   assert {'time','level','event','msg'} <= set(o), o\n print(o['event'])";
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), done.stderr.as_bytes()).unwrap();
    let parsed = child.wait_with_output().unwrap();
    assert!(parsed.status.success(), "{done}");
    let events = String::from_utf8(parsed.stdout).unwrap();
    assert_eq!(events.lines().count(), done.stderr.lines().count());
    for event in ["waiting", "heartbeat", "gave_up"] {
        assert!(events.lines().any(|it| it == event), "no {event}\n{done}");
    }
    podgate(["wait", "x"])
        .env("PODGATE_LOG_FORMAT", "json")
        .run()
        .code(2)
        .says("\"level\":\"error\"");
    podgate(["wait", "--log-format", "json", "x"])
        .run()
        .code(2)
        .says("\"level\":\"error\"");
}

#[test]
fn a_log_file_is_appended_to_and_must_be_writable() {
    let folder = Folder::new();
    let server = Server::status(200);
    let log = folder.file("log", "before\n");
    podgate(["wait", "--log-to", &log, &server.url("/")])
        .run()
        .code(0)
        .says_not("passed");
    let text = fs::read_to_string(&log).unwrap();
    assert!(
        text.starts_with("before\npodgate: ") && text.contains("passed"),
        "{text}"
    );
    podgate([
        "wait",
        "--log-to",
        &folder.text("no/such/log"),
        &server.url("/"),
    ])
    .run()
    .code(2)
    .says("--log-to");
    nix::unistd::mkfifo(&folder.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    podgate(["wait", "--log-to", &folder.text("fifo"), &server.url("/")])
        .run()
        .code(2)
        .within(Duration::from_secs(10));
}

#[test]
fn the_containers_log_gets_the_output_of_a_hook() {
    if !namespaces() {
        return;
    }
    // PID 1 has its stderr on a file, as under a container runtime. The hook is in the same
    // namespace, and its own stderr is another file.
    let folder = Folder::new();
    let (log, hook) = (folder.text("container.log"), folder.text("hook.log"));
    let podgate = crate::support::PODGATE;
    // The redirection is in its own shell, because dash redirects its own stderr for a moment while
    // it vforks a command.
    let script = format!(
        "exec 2>>{log}; sh -c '{podgate} wait --log-to container exec:true 2>>{hook}; :'; \
         echo done >&2"
    );
    output(
        Command::new(AS_PID_1[0])
            .args(&AS_PID_1[1..])
            .args(["sh", "-c", &script]),
    );
    let text = fs::read_to_string(&log).unwrap();
    assert!(
        text.contains("podgate: \"exec:true\" passed") && text.ends_with("done\n"),
        "{text}"
    );
    assert_eq!(fs::read_to_string(&hook).unwrap(), "");
    // If the log cannot be opened, the hook goes on and prints a warning.
    let script = format!("mount -t tmpfs none /proc && {podgate} wait --log-to container file:///");
    let done = Command::new(AS_PID_1[0])
        .args(&AS_PID_1[1..])
        .args(["sh", "-c", &script])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success()
            && text.contains("cannot write to the container's log")
            && text.contains("passed"),
        "{text}"
    );
}

#[test]
fn the_termination_message_has_podgates_own_failures() {
    let folder = Folder::new();
    let path = folder.text("termination");
    let closed = ClosedPort::new();
    let message = |arguments: &[&str], code: i32| {
        fs::write(&path, "before").unwrap();
        podgate(arguments)
            .env("PODGATE_TERMINATION_LOG", &path)
            .run()
            .code(code);
        fs::read_to_string(&path).unwrap()
    };
    assert!(
        message(&["wait", "-t", "100ms", &closed.tcp()], 124)
            .starts_with("podgate: gave up after 100ms")
    );
    assert!(
        message(&["wait", "file:///", "--", "podgate-no-such"], 127).contains("podgate-no-such")
    );
    assert!(message(&["wait", "exec:podgate-no-such"], 1).contains("can never pass"));
    assert_eq!(message(&["wait", "file:///"], 0), "before");
    assert_eq!(
        message(&["check", &closed.tcp()], 1),
        "before",
        "the failure of a probe does not end the container"
    );
    let long = format!("exec:sh -c 'exit 1' {}", "x".repeat(9000));
    assert!(message(&["wait", "-t", "100ms", &long], 124).len() <= 4096);
    let flag = folder.text("by-flag");
    podgate([
        "wait",
        "-t",
        "50ms",
        "--termination-log",
        &flag,
        &closed.tcp(),
    ])
    .run()
    .code(124);
    assert!(fs::read_to_string(&flag).unwrap().contains("gave up"));
}

#[test]
fn the_default_termination_log_is_written_if_the_kubelet_has_made_it() {
    if !namespaces() {
        return;
    }
    let folder = Folder::new();
    let log = folder.file("log", "");
    let script = format!(
        "mount -t tmpfs none /dev && touch /dev/termination-log && \"$@\"; code=$?; \
         cat /dev/termination-log > {log}; exit $code"
    );
    let starter = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    inside(&starter, ["wait", "-t", "50ms", "file:///none"])
        .run()
        .code(124);
    assert!(fs::read_to_string(&log).unwrap().contains("gave up"));
    inside(&starter, ["wait", "nonsense"]).run().code(2);
    assert!(fs::read_to_string(&log).unwrap().contains("nonsense"));
    let bare = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs none /dev && \"$@\"; test ! -e /dev/termination-log",
        "sh",
    ];
    inside(&bare, ["wait", "-t", "50ms", "file:///none"])
        .run()
        .code(0);
}

#[test]
fn a_terminal_shows_one_live_line() {
    // script(1) runs podgate on a terminal.
    if !crate::support::needs(
        "script (bsdutils)",
        crate::support::program("script", &[]).is_some(),
    ) {
        return;
    }
    let closed = ClosedPort::new();
    let command = format!(
        "{} wait -t 1500ms {}",
        crate::support::PODGATE,
        closed.tcp()
    );
    let done = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(124), "{text}");
    assert!(text.matches("\r\u{1b}[Kpodgate: ").count() >= 4, "{text:?}");
    assert!(
        !text.contains("still waiting"),
        "the live line replaces the heartbeat: {text:?}"
    );
    assert!(
        text.contains("\r\u{1b}[Kpodgate: gave up after 1.5s"),
        "{text:?}"
    );
    let piped = podgate(["wait", "-t", "300ms", &closed.tcp()]).run();
    assert!(!piped.stderr.contains('\u{1b}'), "{piped}");
}

#[test]
fn a_log_that_nobody_reads_delays_nothing() {
    if !python3() {
        return;
    }
    let closed = ClosedPort::new();
    let full = ["python3", "-c", NEARLY_FULL, "0"];
    inside(&full, ["wait", "-t", "1s", &closed.tcp()])
        .run()
        .code(124)
        .within(Duration::from_secs(10));
}

/// Runs its arguments with their stderr on a pipe that no process reads, with this many bytes of
/// space left.
const NEARLY_FULL: &str = "import fcntl,os,subprocess,sys\n\
    r,w=os.pipe()\nos.set_blocking(w,False)\n\
    try:\n  while True: os.write(w,b'x'*4096)\n\
    except BlockingIOError: pass\n\
    os.read(r,int(sys.argv[1]))\nos.set_blocking(w,True)\n\
    sys.exit(subprocess.run(sys.argv[2:],stderr=w).returncode)";

#[test]
fn a_long_line_and_many_lines_delay_nothing_either() {
    if !python3() {
        return;
    }
    let closed = ClosedPort::new();
    let page = ["python3", "-c", NEARLY_FULL, "4096"];
    let long = format!("http://127.0.0.1:{}/{}", closed.port(), "a".repeat(6000));
    inside(&page, ["wait", "-t", "300ms", &long])
        .run()
        .code(124)
        .within(Duration::from_secs(10));
    let none = ["python3", "-c", NEARLY_FULL, "0"];
    let folder = Folder::new();
    let files: Vec<String> = (0..60)
        .map(|index| format!("file://{}", folder.file(&index.to_string(), "")))
        .collect();
    let done = inside(
        &none,
        ["wait"]
            .into_iter()
            .chain(files.iter().map(String::as_str))
            .chain(["--", "echo", "ran"]),
    )
    .run();
    done.code(0).prints("ran\n").within(Duration::from_secs(4));
}

#[test]
fn a_closed_log_changes_neither_exit_code_nor_termination_message() {
    if !python3() {
        return;
    }
    let folder = Folder::new();
    let path = folder.text("termination");
    let closing = "import os,subprocess,sys\nr,w=os.pipe()\nos.close(r)\n\
                   sys.exit(subprocess.run(sys.argv[1:],stderr=w).returncode)";
    inside(
        &["python3", "-c", closing],
        [
            "wait",
            "--termination-log",
            &path,
            "file:///",
            "--",
            "/nonexistent",
        ],
    )
    .run()
    .code(127);
    assert!(fs::read_to_string(&path).unwrap().contains("/nonexistent"));
}

#[test]
fn a_wrong_probe_writes_no_termination_message() {
    let folder = Folder::new();
    let path = folder.file("termination", "before");
    for call in [
        &["check", "--bogus"][..],
        &["check", "nonsense"],
        &["check"],
    ] {
        podgate(call)
            .env("PODGATE_TERMINATION_LOG", &path)
            .run()
            .code(2);
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    }
}

#[test]
fn the_live_line_is_not_drawn_at_every_attempt() {
    if !crate::support::needs(
        "script (bsdutils)",
        crate::support::program("script", &[]).is_some(),
    ) {
        return;
    }
    let closed = ClosedPort::new();
    let command = format!("{} wait -t 1s {}", crate::support::PODGATE, closed.tcp());
    let done = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(
        done.stdout.len() < 3000,
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
}

#[test]
fn each_check_of_a_probe_reports_its_own_time() {
    let hang = Server::raw(|_stream| std::thread::sleep(Duration::from_secs(20)));
    let done = podgate(["check", "--log-format", "json", "file:///", &hang.url("/")]).run();
    done.code(1);
    let file = done
        .stderr
        .lines()
        .find(|line| line.contains("file:///"))
        .expect("a line");
    let waited: u32 = file
        .split_once("\"waited_ms\":")
        .expect("a time")
        .1
        .trim_end_matches('}')
        .parse()
        .unwrap();
    assert!(waited < 700, "{done}");
}

#[test]
fn output_of_others_cannot_control_the_terminal() {
    let done = podgate([
        "check",
        "exec:sh -c 'printf \"\\033]0;title\\007\\033[2Jtext\"; exit 1'",
    ])
    .run();
    done.code(1).says("text");
    assert!(
        !done.stderr.contains('\u{1b}') && !done.stderr.contains('\u{7}'),
        "{done}"
    );
}

#[test]
fn no_secret_is_ever_printed() {
    let server = Server::status(401);
    let address = server.address;
    let secret = "s3cr3t-t0ken";
    let url = format!("http://user:{secret}@{address}/");
    let calls: Vec<Vec<String>> = vec![
        vec!["check".into(), "-v".into(), url.clone()],
        vec![
            "wait".into(),
            "-v".into(),
            "-t".into(),
            "100ms".into(),
            url.clone(),
        ],
        vec![
            "wait".into(),
            "--log-format".into(),
            "json".into(),
            "-v".into(),
            "-t".into(),
            "100ms".into(),
            url.clone(),
        ],
        vec![
            "check".into(),
            "-v".into(),
            "-H".into(),
            format!("Authorization: Bearer {secret}"),
            server.url("/"),
        ],
        vec![
            "check".into(),
            "-H".into(),
            secret.to_owned(),
            server.url("/"),
        ],
        vec![
            "check".into(),
            "-H".into(),
            "X-Token:".into(),
            secret.to_owned(),
            server.url("/"),
        ],
        vec![
            "wait".into(),
            server.url("/"),
            "-H".into(),
            "Authorization: Bearer".into(),
            secret.to_owned(),
        ],
        vec![
            "check".into(),
            format!("exec:sh -c \"echo 'http://u:it'{secret}@h/' >&2; exit 1\""),
        ],
        vec![
            "check".into(),
            "-H".into(),
            format!("Bad Name: {secret}"),
            server.url("/"),
        ],
        vec![
            "check".into(),
            "-H".into(),
            format!("X: {secret}\u{7}"),
            server.url("/"),
        ],
        vec![
            "check".into(),
            format!("--http-haeder=Authorization: {secret}"),
            server.url("/"),
        ],
        vec!["check".into(), format!("htps://user:{secret}@host/")],
        vec!["check".into(), format!("user:{secret}@host:80")],
        vec!["check".into(), format!("http://user:{secret}/@host/")],
        vec!["check".into(), format!("tcp://user:{secret}@host:80")],
        vec![format!("http://user:{secret}@host/")],
        vec![
            "check".into(),
            format!("exec:sh -c 'echo http://user:{secret}@host >&2; exit 1'"),
        ],
    ];
    for call in calls {
        let done = podgate(&call).env("SOME_SECRET", secret).run();
        assert_ne!(done.status.code(), Some(0), "{done}");
        assert!(!done.stderr.is_empty(), "{done}");
        done.says_not(secret);
    }
    let done = podgate(["wait", "-v", "-t", "50ms", &server.url("/")])
        .env("PODGATE_HTTP_HEADER", format!("A: {secret}"))
        .run();
    done.code(124).says_not(secret);
}

#[test]
fn help_is_written_for_a_pod_author() {
    let begin = podgate::<&str>([]).run();
    begin
        .code(2)
        .says("podgate wait http://localhost:15021/healthz/ready")
        .says("podgate check");
    for command in ["wait", "check"] {
        let done = podgate([command, "--help"]).run();
        done.code(0);
        let examples = done.stdout.rsplit_once("Examples:").expect("examples").1;
        assert!(
            examples.matches(&format!("podgate {command} ")).count() >= 2,
            "{done}"
        );
    }
    podgate(["--help"]).run().code(0);
    let version = podgate(["--version"]).run();
    assert!(version.stdout.starts_with("podgate 0."), "{version}");
}

#[test]
fn podgate_works_with_closed_streams() {
    let closing = ["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"];
    let server = Server::status(200);
    inside(
        &closing,
        ["wait", &server.url("/"), "exec:true", "--", "true"],
    )
    .run()
    .code(0);
    inside(&closing, ["wait", "-t", "50ms", "file:///none"])
        .run()
        .code(124);
}
