//! Words as a pod spec, a template or a script gives them: line ends, white space, booleans, and a
//! command in one word (P1.9).

use crate::support::server::{ClosedPort, Server};
use crate::support::{Done, Folder, inside, needs, podgate, program};
use std::fs;

#[test]
fn white_space_around_an_argument_is_removed_as_around_a_variable() {
    let folder = Folder::new();
    let server = Server::status(200);
    let port = server.port();
    let file = folder.file("file", "");
    let dir = folder.text("members");
    fs::create_dir(&dir).unwrap();
    let line = |text: &str| format!("{text}\n");
    let values: &[&[&str]] = &[
        &["wait", &line(&format!("tcp://127.0.0.1:{port}"))],
        &["check", &format!(" http://127.0.0.1:{port}/\r\n")],
        &["check", &format!("\tlisten://:{port} ")],
        &["check", &line(&format!("file://{file}"))],
        &["check", "exec:true\n"],
        &["check", "exec:test 'a b' = 'a b' \n"],
        &["wait", "--timeout", "5s\n", "file:///"],
        &["wait", "--timeout=5s\n", "file:///"],
        &["wait", "-t5s\n", "file:///"],
        &[
            "wait",
            "--success-threshold",
            "1\n",
            "--on-timeout",
            "run\n",
            "file:///",
        ],
        &[
            "wait",
            "--attempt-timeout",
            " 1s",
            "--initial-delay",
            "1ms ",
            "file:///",
        ],
        &[
            "check",
            "-H",
            "X-Probe: a b\n",
            "--http-method",
            "GET\n",
            &server.url("/"),
        ],
        &["check", "--http-status", "200-299\n", &server.url("/")],
        &[
            "check",
            "--dir",
            &line(&dir),
            "--allow-plain-dir",
            "gone:nobody\n",
        ],
        &[
            "check",
            "--log-format",
            "json\n",
            "--log-to",
            "stderr\n",
            "file:///",
        ],
        &[
            "run",
            "--after",
            "file:///\n",
            "--after-timeout",
            "5s\n",
            "--stop-signal",
            "TERM\n",
            "--map-signal",
            "HUP=none\n",
            "--ok-exit",
            "3\n",
            "--grace",
            "30s\n",
            "--",
            "true",
        ],
        &[
            "run",
            "--dir",
            &dir,
            "--allow-plain-dir",
            "--name",
            "main\n",
            "--restart-policy",
            "never\n",
            "--outlive",
            "other\n",
            "--termination-log",
            "/dev/null\n",
            "--",
            "true",
        ],
        &["quit", "-t", "5s\n", "http://127.0.0.1:1/quit\n"],
        // The command, options and `--`.
        &["check\n", "--any\n", "file:///"],
        &["wait", "-q\n", "file:///", "--\n", "true"],
        &["--version\n"],
    ];
    for words in values {
        podgate(*words).run().code(0);
    }
    // A secret in a header arrives as it is inside.
    let heads = server.requests();
    let is_intact = |head: &String| head.to_lowercase().contains("x-probe: a b\r\n");
    assert!(heads.iter().any(is_intact), "{heads:?}");
    podgate(["install", &line(&folder.text("copy"))])
        .run()
        .code(0);
    assert!(folder.join("copy").exists());
    // Not the words of CMD, and not the text of a body.
    podgate(["wait", "file:///", "--", "printf", "%s", " a\n"])
        .run()
        .code(0)
        .prints(" a\n");
    let spaced = Server::http(|_| crate::support::server::answer(200, &[], "yes\nno"));
    let body =
        |text: &str| podgate(["check", "--http-body-contains", text, &spaced.url("/")]).run();
    body("yes\n").code(0);
    body("no\n").code(1);
}

#[test]
fn a_bad_value_with_a_line_end_is_shown_without_it() {
    podgate(["wait", "db:5432\n"])
        .run()
        .code(2)
        .says("\"db:5432\"")
        .says("use tcp://db:5432");
    podgate(["wait", "--timeout", "soon\n", "file:///"])
        .run()
        .code(2)
        .says("\"soon\"");
}

#[test]
fn nothing_after_the_dashes_is_a_wrong_call() {
    let refused = |words: &[&str], variable: &str, text: &str| {
        let call = podgate(words).env("PODGATE_CHECKS", variable);
        call.run().code(2).says(text);
    };
    let (no_cmd, needs) = ("there is no command after `--`", "run needs a command");
    refused(&["wait", "file:///", "--"], "", no_cmd);
    refused(&["wait", "file:///", "--\n"], "", no_cmd);
    refused(&["wait", "--"], "file:///", no_cmd);
    refused(&["wait", "--"], "", no_cmd);
    refused(
        &["join", "--name", "a", "--restart-policy", "never", "--"],
        "",
        no_cmd,
    );
    refused(&["run", "--"], "", needs);
    refused(&["run", "--after", "file:///", "--"], "", needs);
}

#[test]
fn a_switch_in_a_variable_is_a_boolean_as_in_yaml() {
    let (up, down) = (Server::status(200), ClosedPort::new());
    for (text, code) in [
        ("true", 0),
        ("True", 0),
        ("yes", 0),
        ("ON", 0),
        ("1", 0),
        ("false", 1),
        ("False", 1),
        ("no", 1),
        ("Off", 1),
        ("0", 1),
        ("", 1),
        ("2", 2),
    ] {
        podgate(["check", &down.tcp(), &up.url("/")])
            .env("PODGATE_ANY", text)
            .run()
            .code(code);
    }
}

#[test]
fn a_command_in_one_word_gets_a_hint() {
    let hint = "no shell splits it: give each as a word of its own";
    for start in [&["run", "--"][..], &["wait", "file:///", "--"]] {
        let start = |name| start.iter().copied().chain([name]);
        podgate(start("node server.js"))
            .run()
            .code(127)
            .says("cannot run \"node server.js\": command not found")
            .says(hint);
        podgate(start("/bin/echo hello")).run().code(127).says(hint);
        podgate(start("true\n"))
            .run()
            .code(127)
            .says("white space, such as a line end");
        podgate(start("")).run().code(127).says("its name is empty");
        podgate(start("no-such-command"))
            .run()
            .code(127)
            .says_not("word");
    }
    podgate(["check", "exec:'test -e /'"])
        .run()
        .code(1)
        .says(hint);
}

/// Runs a check whose stderr is a file.
fn to_a_file(redirection: &str, log: &str, checks: &str) -> String {
    let script = format!("\"$@\" check {checks} {redirection} {log}; exit 0");
    let done = inside(&["sh", "-c", &script, "sh"], [""; 0]).run();
    done.code(0);
    fs::read_to_string(log).unwrap()
}

#[test]
fn the_message_of_a_probe_ends_without_a_line_end() {
    let closed = ClosedPort::new();
    let (tcp, listen) = (closed.tcp(), format!("listen://:{}", closed.port()));
    let lines = |done: &Done, count| {
        assert!(
            !done.stderr.ends_with('\n') && !done.stderr.is_empty(),
            "{done}"
        );
        assert_eq!(done.stderr.lines().count(), count, "{done}");
        assert!(done.stderr.lines().all(|line| line.len() > 10), "{done}");
    };
    lines(podgate(["check", &tcp]).run().code(1), 1);
    lines(podgate(["check", "file:///"]).run().code(0), 1);
    lines(
        podgate(["check", &tcp, &listen, "file:///"]).run().code(1),
        3,
    );
    lines(
        podgate(["check", "--log-format", "json", &tcp, &listen])
            .run()
            .code(1),
        2,
    );
    lines(
        podgate(["check", "--log-to", "stderr", &tcp]).run().code(1),
        1,
    );
    lines(podgate(["check", "db:5432"]).run().code(2), 1);
    // A file that is not appended to holds one message.
    let folder = Folder::new();
    let text = to_a_file("2>", &folder.text("new"), &tcp);
    assert!(
        text.contains("refused") && !text.ends_with('\n'),
        "{text:?}"
    );
}

#[test]
fn lines_in_a_log_end_with_a_line_end() {
    let closed = ClosedPort::new();
    let folder = Folder::new();
    let log = folder.text("log");
    for round in 1..3 {
        let text = to_a_file("2>>", &log, &closed.tcp());
        assert!(
            text.ends_with('\n') && text.lines().count() == round,
            "{text:?}"
        );
    }
    let file = folder.text("file");
    podgate(["check", "--log-to", &file, &closed.tcp()])
        .run()
        .code(1);
    assert!(fs::read_to_string(&file).unwrap().ends_with('\n'));
    let done = podgate(["wait", "-t", "50ms", &closed.tcp()]).run();
    done.code(124);
    assert!(done.stderr.ends_with('\n'), "{done}");
    if !needs(
        "script of util-linux",
        program("script", &["/usr/bin"]).is_some(),
    ) {
        return;
    }
    // On a terminal.
    let call = format!("{} check {}", crate::support::PODGATE, closed.tcp());
    let done = std::process::Command::new("script")
        .args(["-qec", &call, "/dev/null"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(text.contains("refused") && text.ends_with('\n'), "{text:?}");
}

#[test]
fn a_check_in_the_entrypoint_of_a_container_ends_its_line() {
    if !crate::support::namespaces() {
        return;
    }
    // PID 1 is the shell, and podgate has its output.
    let closed = ClosedPort::new();
    let script = format!(
        "\"$@\" check {}; \"$@\" check file:///; exit 0",
        closed.tcp()
    );
    let starter = [
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "sh",
        "-c",
        &script,
        "sh",
    ];
    let done = inside(&starter, [""; 0]).run();
    done.code(0);
    assert_eq!(done.stderr.lines().count(), 2, "{done}");
    assert!(done.stderr.ends_with('\n'), "{done}");
}
