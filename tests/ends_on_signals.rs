//! SIGTERM, SIGINT and SIGHUP end a wait at once, in every phase, and CMD is not started. The wait
//! dies by the signal itself; as PID 1 it exits with 128+n.

use crate::support::server::{ClosedPort, Server, head};
use crate::support::{
    AS_PID_1, Done, Folder, PODGATE, Running, eventually, inside, namespaces, podgate, python3,
};
use nix::sys::signal::{Signal, kill, killpg};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A phase of a wait, and a server that keeps podgate in it.
fn phases() -> Vec<(&'static str, String, Server)> {
    let hang = |serve: fn(std::net::TcpStream)| Server::raw(serve);
    let silent = hang(|_stream| thread::sleep(Duration::from_secs(20)));
    let body = hang(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab");
        thread::sleep(Duration::from_secs(20));
    });
    let down = Server::status(503);
    let mut phases = vec![
        ("between attempts", down.url("/"), down),
        ("waiting for an answer", silent.url("/"), silent),
        ("in the body", body.url("/"), body),
    ];
    if cfg!(feature = "tls") {
        let tls = hang(|_stream| thread::sleep(Duration::from_secs(20)));
        phases.push((
            "in the TLS handshake",
            format!("https://{}/", tls.address),
            tls,
        ));
    }
    phases
}

const SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Sends the signal and asserts that podgate dies by it.
fn ends(running: Running, pid: nix::unistd::Pid, signal: Signal, what: &str) {
    ends_somehow(running, pid, signal, what).killed_by(signal);
}

fn ends_somehow(running: Running, pid: nix::unistd::Pid, signal: Signal, what: &str) -> Done {
    let sent = std::time::Instant::now();
    kill(pid, signal).unwrap();
    let done = running.finish();
    assert!(
        sent.elapsed() < Duration::from_secs(5),
        "{what}: {:?}\n{done}",
        sent.elapsed()
    );
    done.prints("").says("the command was not started");
    done
}

#[test]
fn a_signal_ends_a_wait_in_every_phase() {
    for (what, url, server) in phases() {
        for signal in SIGNALS {
            let before = server.connections();
            let call = [
                "wait",
                "--timeout",
                "20s",
                "--attempt-timeout",
                "20s",
                "--tls-insecure",
                &url,
                "--",
                "echo",
                "no",
            ];
            let running = podgate(call).start();
            eventually("an attempt", || {
                (server.connections() > before).then_some(())
            });
            thread::sleep(Duration::from_millis(30));
            let pid = running.pid();
            ends(running, pid, signal, what);
        }
    }
}

#[test]
fn a_signal_ends_a_wait_as_pid_1() {
    if !namespaces() {
        return;
    }
    for (what, url, server) in phases() {
        let before = server.connections();
        let call = [
            "wait",
            "--timeout",
            "20s",
            "--attempt-timeout",
            "20s",
            "--tls-insecure",
            &url,
            "--",
            "echo",
            "no",
        ];
        let running = inside(AS_PID_1, call).start();
        eventually("an attempt", || {
            (server.connections() > before).then_some(())
        });
        let pid = running.podgate_pid();
        assert!(
            std::fs::read_to_string(format!("/proc/{pid}/status"))
                .unwrap()
                .contains("\t1\n"),
            "it is PID 1"
        );
        // PID 1 cannot kill itself by a signal. unshare reports its exit code.
        ends_somehow(running, pid, Signal::SIGTERM, what).code(143);
    }
}

#[test]
fn pid_1_ignores_signals_without_a_handler() {
    // The negative control of the test above: SIGTERM does nothing to a PID 1 without a handler.
    if !namespaces() {
        return;
    }
    let mut sleeper = crate::support::Program::start(
        Command::new(AS_PID_1[0])
            .args(&AS_PID_1[1..])
            .args(["sleep", "60"]),
    );
    let children = format!("/proc/{0}/task/{0}/children", sleeper.pid());
    let child = eventually("sleep", || {
        let pid: i32 = std::fs::read_to_string(&children)
            .ok()?
            .trim()
            .parse()
            .ok()?;
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .ok()
            .filter(|name| name.trim() == "sleep")
            .map(|_| pid)
    });
    kill(nix::unistd::Pid::from_raw(child), Signal::SIGTERM).unwrap();
    thread::sleep(Duration::from_millis(300));
    assert!(sleeper.has_ended().is_none());
}

#[test]
fn a_signal_ends_a_wait_whose_exec_command_ignores_it() {
    let folder = Folder::new();
    let pids = folder.text("pids");
    let script = folder.script(
        "stubborn",
        &format!("trap '' TERM INT HUP; echo $$ >> {pids}; sleep 100"),
    );
    for signal in SIGNALS {
        let _ = std::fs::remove_file(&pids);
        let running = podgate([
            "wait",
            "--attempt-timeout",
            "20s",
            &format!("exec:{script}"),
            "--",
            "echo",
            "no",
        ])
        .start();
        let pid = eventually("the command", || {
            std::fs::read_to_string(&pids)
                .ok()?
                .trim()
                .parse::<i32>()
                .ok()
        });
        let podgate = running.pid();
        ends(running, podgate, signal, "in an exec check");
        eventually("the command to be gone", || {
            (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
        });
    }
}

#[test]
fn signals_that_the_parent_blocks_or_ignores_still_end_a_wait() {
    if !python3() {
        return;
    }
    let closed = ClosedPort::new();
    let ignoring = ["sh", "-c", "trap '' TERM INT HUP; exec \"$@\"", "sh"];
    let blocking = [
        "python3",
        "-c",
        "import os,signal,sys\n\
         signal.pthread_sigmask(\
         signal.SIG_BLOCK,{signal.SIGTERM,signal.SIGINT,signal.SIGHUP})\n\
         os.execvp(sys.argv[1],sys.argv[1:])",
    ];
    for starter in [&ignoring[..], &blocking[..]] {
        for signal in SIGNALS {
            let running = inside(starter, ["wait", &closed.tcp(), "--", "echo", "no"]).start();
            running.says("refused");
            let pid = running.pid();
            ends(running, pid, signal, "blocked or ignored");
        }
    }
}

#[test]
fn signals_that_images_name_as_stopsignal_end_a_wait() {
    // nginx uses QUIT and HAProxy USR1. A PID 1 without a handler ignores them.
    let closed = ClosedPort::new();
    for signal in [
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGPWR,
    ] {
        let running = podgate(["wait", &closed.tcp(), "--", "echo", "no"]).start();
        running.says("refused");
        let pid = running.pid();
        ends(running, pid, signal, "a stop signal");
    }
    if !namespaces() {
        return;
    }
    // Apache uses WINCH, and images with systemd use RTMIN+3.
    for number in ["WINCH", "37"] {
        let running = inside(AS_PID_1, ["wait", &closed.tcp(), "--", "echo", "no"]).start();
        running.says("refused");
        let pid = running.podgate_pid();
        crate::support::output(Command::new("kill").args(["-s", number, &pid.to_string()]));
        let done = running.finish();
        done.within(Duration::from_secs(10)).prints("");
        assert!(matches!(done.status.code(), Some(156 | 165)), "{done}");
    }
}

#[test]
fn pid_1_reaps_orphans() {
    if !namespaces() {
        return;
    }
    // `sh` leaves an orphan to PID 1, which then becomes podgate. CMD finds no zombie among its
    // children.
    let script = "(sleep 0.2 &) ; exec \"$@\"";
    let starter: Vec<&str> = AS_PID_1
        .iter()
        .copied()
        .chain(["sh", "-c", script, "sh"])
        .collect();
    let show = "ps -o stat=,args= --ppid 1 | grep -c ^Z";
    let done = inside(
        &starter,
        [
            "wait",
            "--initial-delay",
            "600ms",
            "file:///",
            "--",
            "sh",
            "-c",
            show,
        ],
    )
    .run();
    done.prints("0\n");
}

#[test]
fn a_signal_ends_a_check() {
    let server = Server::raw(|_stream| thread::sleep(Duration::from_secs(20)));
    let running = podgate(["check", "--attempt-timeout", "20s", &server.url("/")]).start();
    eventually("an attempt", || (server.connections() > 0).then_some(()));
    running.signal(Signal::SIGTERM);
    running
        .finish()
        .killed_by(Signal::SIGTERM)
        .says("stopped by SIGTERM")
        .within(Duration::from_secs(10));
}

#[test]
fn a_signal_ends_quit_and_a_waiting_join() {
    let silent = Server::raw(|_stream| thread::sleep(Duration::from_secs(20)));
    for signal in SIGNALS {
        let before = silent.connections();
        let running = podgate(["quit", "--attempt-timeout", "20s", &silent.url("/")]).start();
        eventually("the request", || {
            (silent.connections() > before).then_some(())
        });
        running.signal(signal);
        let done = running.finish();
        done.killed_by(signal)
            .says(&format!("stopped by {}", signal.as_str()));
    }
    if !namespaces() {
        return;
    }
    // join starts a background process that ends with PID 1. Here PID 1 is Python: it runs join,
    // sends SIGTERM while join waits, and prints how join ended. -15 means "by SIGTERM".
    let script = "import subprocess,sys\n\
        join=subprocess.Popen(sys.argv[1:],stderr=subprocess.PIPE,text=True)\n\
        for line in join.stderr:\n if 'waiting' in line: break\n\
        join.send_signal(15)\nprint(join.wait(),join.stderr.read())";
    let folder = Folder::new();
    let dir = folder.text("volume");
    std::fs::create_dir(&dir).unwrap();
    let starter: Vec<&str> = AS_PID_1
        .iter()
        .copied()
        .chain(["python3", "-c", script])
        .collect();
    let join = [
        "join",
        "--name",
        "sidecar",
        "--dir",
        &dir,
        "--allow-plain-dir",
        "--restart-policy",
        "never",
        "--ready",
        "file:///no/such/file",
        "--wait",
        "--timeout",
        "20s",
    ];
    let done = inside(&starter, join).run();
    assert!(done.stdout.starts_with("-15 "), "{done}");
    assert!(done.stdout.contains("stopped by SIGTERM"), "{done}");
}

#[test]
fn run_reports_a_signal_as_its_exit_code() {
    // Restart policies and podFailurePolicy read the exit code of a container.
    let closed = ClosedPort::new();
    for signal in SIGNALS {
        let running = podgate(["run", "--after", &closed.tcp(), "--", "echo", "no"]).start();
        running.says("refused");
        let pid = running.pid();
        ends_somehow(running, pid, signal, "run").code(128 + signal as i32);
    }
}

/// Starts podgate, and waits until it waits for the name `main`.
fn waiting_for_a_name(starter: &[&str], words: &[&str], dir: &str) -> Running {
    let options = ["--name", "main", "--dir", dir, "--allow-plain-dir"];
    let call = words[..1].iter().chain(&options).chain(&words[1..]);
    let running = inside(starter, call).start();
    let files = format!("/proc/{}/fd", running.podgate_pid());
    eventually("the lock file to be open", || {
        let mut files = std::fs::read_dir(&files).ok()?.flatten();
        let is_lock = |file: &std::path::PathBuf| file.ends_with("main.lock");
        files.find(|it| {
            std::fs::read_link(it.path())
                .ok()
                .is_some_and(|it| is_lock(&it))
        })
    });
    thread::sleep(Duration::from_millis(30));
    running
}

#[test]
fn a_signal_ends_the_wait_for_a_name_that_another_process_has() {
    let folder = Folder::new();
    let dir = folder.text("volume");
    std::fs::create_dir(&dir).unwrap();
    let holder = ["run", "--name", "main", "--dir", &dir, "--allow-plain-dir"];
    let holder = podgate(
        holder
            .iter()
            .chain(&["--", "sh", "-c", "echo up; sleep 100"]),
    )
    .start();
    eventually("the holder", || {
        holder.stdout().contains("up").then_some(())
    });
    let cause = "another container of this pod is main and is alive";
    let run = ["run", "--", "echo", "no"];
    for signal in SIGNALS {
        let running = waiting_for_a_name(&[], &run, &dir);
        let pid = running.pid();
        ends_somehow(running, pid, signal, "run")
            .code(128 + signal as i32)
            .says(&format!("stopped by {}", signal.as_str()))
            .says(cause);
        let running = waiting_for_a_name(&[], &["join", "--restart-policy", "never"], &dir);
        kill(running.pid(), signal).unwrap();
        let done = running.finish();
        done.killed_by(signal).prints("").says(cause);
        done.says(&format!("stopped by {}", signal.as_str()));
    }
    // A stop signal of which only an option knows.
    let run_with = ["run", "--stop-signal", "WINCH", "--", "echo", "no"];
    let running = waiting_for_a_name(&[], &run_with, &dir);
    let pid = running.pid();
    ends_somehow(running, pid, Signal::SIGWINCH, "run").code(143);
    // A wrong call publishes its end under its name.
    let wrong = ["run", "--until", "main", "--", "echo", "no"];
    let running = waiting_for_a_name(&[], &wrong, &dir);
    let sent = Instant::now();
    running.signal(Signal::SIGTERM);
    let done = running.finish();
    done.code(2)
        .says("--until \"main\": this is the member itself");
    assert!(sent.elapsed() < Duration::from_millis(1_500), "{done}");
    if namespaces() {
        let running = waiting_for_a_name(AS_PID_1, &run, &dir);
        let pid = running.podgate_pid();
        ends_somehow(running, pid, Signal::SIGTERM, "PID 1")
            .code(143)
            .says(cause);
    }
}

#[test]
fn a_signal_from_before_the_start_is_reported() {
    if !python3() {
        return;
    }
    let script = "import os,signal,sys\n\
         signal.pthread_sigmask(signal.SIG_BLOCK,{signal.SIGTERM})\n\
         os.kill(os.getpid(),signal.SIGTERM)\n\
         os.execvp(sys.argv[1],sys.argv[1:])";
    let starter = ["python3", "-c", script];
    for options in [&[][..], &["--after", "file:///"]] {
        let call = ["run"].iter().chain(options).chain(&["--", "echo", "no"]);
        let done = inside(&starter, call).run();
        done.code(143)
            .prints("")
            .says("podgate: stopped by SIGTERM; the command was not started\n");
    }
}

#[test]
fn ctrl_c_stops_a_shell_loop_around_it() {
    // The shell and podgate share a process group, as on a terminal. Dash and bash continue a loop
    // when a command handled SIGINT and exited. They stop the loop when the command died by SIGINT.
    let closed = ClosedPort::new();
    let folder = Folder::new();
    let rounds = folder.text("rounds");
    let script = format!(
        "while :; do {PODGATE} wait --timeout 20s {}; echo $? >>{rounds}; done",
        closed.tcp()
    );
    for shell in shells() {
        let _ = std::fs::remove_file(&rounds);
        let mut command = Command::new(shell);
        command.args(["-c", &script]).stderr(Stdio::piped());
        command.process_group(0);
        let mut looping = command.spawn().unwrap();
        let group = nix::unistd::Pid::from_raw(i32::try_from(looping.id()).unwrap());
        let mut stderr = BufReader::new(looping.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.contains("refused"), "{shell}: {line}");
        killpg(group, Signal::SIGINT).unwrap();
        let sent = Instant::now();
        let status = loop {
            if let Some(status) = looping.try_wait().unwrap() {
                break status;
            }
            if sent.elapsed() > Duration::from_secs(10) {
                let _ = killpg(group, Signal::SIGKILL);
                let _ = looping.wait();
                panic!("{shell}: the loop continues");
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.signal(), Some(Signal::SIGINT as i32), "{shell}");
        // The loop ran no further round.
        assert!(!std::path::Path::new(&rounds).exists(), "{shell}");
    }
}

/// The installed shells that wait for a command's status before they act on SIGINT.
fn shells() -> Vec<&'static str> {
    let here = |shell: &&str| Command::new(shell).args(["-c", ":"]).status().is_ok();
    ["bash", "sh"].into_iter().filter(here).collect()
}

#[test]
fn a_signal_at_any_moment_ends_podgate_or_reaches_cmd() {
    // The signal is never lost: either podgate dies by it, or CMD does.
    let server = Server::status(200);
    for round in 0..60_u64 {
        let running = podgate([
            "wait",
            "-q",
            &server.url("/"),
            "exec:true",
            "--",
            "sleep",
            "20",
        ])
        .start();
        thread::sleep(Duration::from_micros(round * 150));
        running.signal(Signal::SIGTERM);
        let done = running.finish();
        done.within(Duration::from_secs(10));
        let by_signal = done.status.signal() == Some(15);
        assert!(by_signal, "{done}");
    }
}

#[test]
fn a_command_that_stops_slowly_is_not_interrupted() {
    // The watchdog guards the opening of files that options name. It must not run while CMD runs.
    let folder = Folder::new();
    let (bundle, log) = (folder.file("bundle.pem", ""), folder.text("log"));
    let script = "trap 'sleep 2; exit 7' TERM; echo up >&2; while :; do sleep 0.02; done";
    let running: Vec<Running> = [&["run"][..], &["run", "--log-to", &log]]
        .iter()
        .map(|options| {
            let rest = ["--", "sh", "-c", script];
            podgate(options.iter().chain(&rest))
                .env("SSL_CERT_FILE", &bundle)
                .start()
        })
        .collect();
    for running in &running {
        running.says("up");
        running.signal(Signal::SIGTERM);
    }
    for running in running {
        running.finish().code(7);
    }
}
