//! `run` is an init: it handles exit codes, signals, orphans and the terminal, and changes nothing
//! else of CMD. The tests run it as PID 1 and as another process.

use crate::support::pod::{Container, IMAGE, Life, Pod};
use crate::support::server::ClosedPort;
use crate::support::terminal::{Terminal, terminals};
use crate::support::{
    AS_PID_1, Done, Folder, PODGATE, Program, eventually, eventually_or, inside, musl, namespaces,
    needs, output, podgate, program,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// A program that sees every signal of the kernel. It calls the kernel directly, because a libc
/// keeps some signals for itself, and starts no shell.
const HELPER: &str = r#"
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void mask(unsigned long set) { syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, 0, 8); }

/* Whatever it was: a raw struct of zeros is SIG_DFL. */
static void die(int n) {
    long act[4] = {0, 0, 0, 0};
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    syscall(SYS_rt_sigaction, n, act, 0, 8);
    mask(0);
    syscall(SYS_kill, getpid(), n);
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IONBF, 0);
    if (!strcmp(argv[1], "receive")) {
        /* Prints each signal, and ends at the last one, 64. */
        unsigned long all = ~0UL;
        int n;
        mask(all);
        printf("up\n");
        do {
            n = syscall(SYS_rt_sigtimedwait, &all, 0, 0, 8);
            if (n > 0) printf("got %d\n", n);
        } while (n != 64);
        return 0;
    }
    if (!strcmp(argv[1], "send")) {
        for (int i = 3; i < argc; i++)
            if (syscall(SYS_kill, atoi(argv[2]), atoi(argv[i]))) return 1;
        return 0;
    }
    if (!strcmp(argv[1], "die")) {
        die(atoi(argv[2]));
        return 99;
    }
    if (!strcmp(argv[1], "pending")) {
        /* Becomes a program for which signals are pending. */
        int i = 2;
        mask(~0UL);
        for (; strcmp(argv[i], "--"); i++) syscall(SYS_kill, getpid(), atoi(argv[i]));
        execvp(argv[i + 1], argv + i + 1);
        return 1;
    }
    if (!strcmp(argv[1], "orphans")) {
        int count = atoi(argv[2]);
        for (int i = 0; i < count; i++) {
            int pid = fork();
            if (!pid) {
                if (!fork()) {
                    usleep((i * 7919) % 300000);
                    if (i % 3 == 1) die(34 + i % 30);
                    if (i % 3 == 2) die(SIGKILL);
                    _exit(i % 256);
                }
                _exit(0);
            }
            waitpid(pid, 0, 0);
        }
        printf("made\n");
        for (;;) pause();
    }
    return 98;
}
"#;

/// The compiled helper. Tests that run at the same time share it; it is removed after the last one.
struct Helper {
    path: String,
    _folder: Folder,
}

fn helper() -> Option<Arc<Helper>> {
    static SHARED: Mutex<Weak<Helper>> = Mutex::new(Weak::new());
    if !needs("gcc", program("gcc", &[]).is_some()) {
        return None;
    }
    let mut shared = SHARED.lock().unwrap();
    let helper = shared.upgrade().unwrap_or_else(|| {
        let folder = Folder::new();
        let source = folder.file("helper.c", HELPER);
        let path = folder.text("helper");
        output(Command::new("gcc").args(["-O1", "-w", "-o", &path, &source]));
        Arc::new(Helper {
            path,
            _folder: folder,
        })
    });
    *shared = Arc::downgrade(&helper);
    Some(helper)
}

fn send(helper: &str, to: Pid, signals: &[i32]) {
    output(
        Command::new(helper)
            .args(["send", &to.to_string()])
            .args(signals.iter().map(i32::to_string)),
    );
}

/// Every signal that can be forwarded. The last one ends the receiver.
fn forwardable() -> Vec<i32> {
    (1..=64)
        .filter(|number| ![9, 17, 19].contains(number))
        .collect()
}

/// What a receiver got, sorted.
fn received(stdout: &str) -> Vec<i32> {
    let mut all: Vec<i32> = stdout
        .lines()
        .filter_map(|line| line.strip_prefix("got "))
        .map(|number| number.parse().unwrap())
        .collect();
    all.sort_unstable();
    all
}

fn run_in<'a>(pod: &Pod, arguments: impl IntoIterator<Item = &'a str>) -> Life {
    pod.start(&Container::podgate(
        "a",
        ["run"].into_iter().chain(arguments),
    ))
}

/// A field of /proc/PID/status.
fn field(pid: Pid, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?
            .trim()
            .to_owned(),
    )
}

fn children(pid: Pid) -> Vec<Pid> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace()
        .map(|pid| Pid::from_raw(pid.parse().unwrap()))
        .collect()
}

fn is_gone(pid: Pid) -> bool {
    field(pid, "State").is_none_or(|state| state.starts_with('Z'))
}

/// The pid of CMD, once it is executed.
fn cmd_of(pid: Pid, name: &str) -> Pid {
    eventually("CMD", || {
        children(pid)
            .into_iter()
            .find(|it| field(*it, "Name").as_deref() == Some(name))
    })
}

#[test]
fn exit_codes_pass_through() {
    let Some(pod) = Pod::new() else { return };
    let all = format!(
        "for n in $(seq 0 255); do {IMAGE} run -- sh -c \"exit $n\"; is=$?; \
         test $is = $n || echo $n became $is; done"
    );
    let life = pod.start(&Container::sh("all", &all));
    for code in [0, 1, 2, 42, 69, 124, 125, 126, 127, 128, 137, 143, 255] {
        run_in(&pod, ["--", "sh", "-c", &format!("exit {code}")]).code(code);
    }
    life.code(0);
    assert_eq!(life.stdout(), "", "{life}");
}

#[test]
fn a_death_by_a_signal_is_128_and_its_number() {
    let (Some(pod), Some(helper)) = (Pod::new(), helper()) else {
        return;
    };
    let helper = helper.path.as_str();
    // These do not end a process: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH.
    let deadly: Vec<i32> = (1..=64)
        .filter(|number| ![17, 18, 19, 20, 21, 22, 23, 28].contains(number))
        .collect();
    let list = deadly
        .iter()
        .map(i32::to_string)
        .collect::<Vec<_>>()
        .join(" ");
    let all = format!(
        "for n in {list}; do {IMAGE} run -- {helper} die $n; is=$?; \
         test $is = $((128+n)) || echo $n became $is; done"
    );
    let life = pod.start(&Container::sh("all", &all));
    for number in [1, 9, 11, 15, 34, 64] {
        run_in(&pod, ["--", helper, "die", &number.to_string()]).code(128 + number);
    }
    life.code(0);
    assert_eq!(life.stdout(), "", "{life}");
}

#[test]
fn a_command_that_cannot_be_run_has_codes_of_its_own() {
    let Some(pod) = Pod::new() else { return };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (call, code) in [
        (&["--", "/no/such/program"][..], 127),
        (&["--", "no-such-program"], 127),
        (&["--", "/etc/passwd"], 126),
        (&["--", "/etc"], 126),
        (&["--no-such-option", "--", "true"], 2),
        (&["--grace", "x", "--", "true"], 2),
        (&[], 2),
        (&["--listen", &address, "--", "true"], 125),
    ] {
        let life = run_in(&pod, call.iter().copied());
        life.code(code);
        assert!(life.stderr().starts_with("podgate: "), "{life}");
        podgate(["run"].iter().chain(call)).run().code(code);
    }
}

#[test]
fn every_signal_reaches_cmd() {
    // glibc keeps the signals 32 and 33 for itself.
    if !musl() {
        return;
    }
    let (Some(pod), Some(helper)) = (Pod::new(), helper()) else {
        return;
    };
    let helper = helper.path.as_str();
    let life = run_in(&pod, ["--", helper, "receive"]);
    life.prints("up");
    let running = podgate(["run", "--", helper, "receive"]).start();
    eventually("the receiver", || {
        running.stdout().contains("up").then_some(())
    });
    // Real-time signals queue. Signal 64 ends the receiver.
    let mut signals = forwardable();
    for _ in 0..20 {
        signals.extend([34, 35, 50, 63]);
    }
    // CONT and the stop signals discard each other while they are pending (signal(7)), so CONT is
    // sent alone.
    signals.retain(|number| ![18, 64].contains(number));
    signals.sort_unstable();
    let got = |stdout: &dyn Fn() -> String, wanted: &[i32]| {
        let all = || (received(&stdout()) == wanted).then_some(());
        eventually_or("all of them", all, || {
            format!("{wanted:?}\n{:?}", received(&stdout()))
        });
    };
    let receivers: [(Pid, &dyn Fn() -> String); 2] = [
        (life.pid(), &|| life.stdout()),
        (running.pid(), &|| running.stdout()),
    ];
    for (pid, stdout) in receivers {
        send(helper, pid, &signals);
        got(stdout, &signals);
        send(helper, pid, &[18]);
        let mut more = signals.clone();
        more.push(18);
        more.sort_unstable();
        got(stdout, &more);
        send(helper, pid, &[64]);
    }
    life.code(0);
    running.finish().code(0);
}

#[test]
fn a_signal_that_arrives_while_podgate_starts_is_not_lost() {
    let Some(helper) = helper() else { return };
    let helper = helper.path.as_str();
    // These signals are pending when podgate starts. A signal that ends podgate needs no CMD.
    for number in [1, 2, 3, 10, 12, 15] {
        let done = inside(
            &[helper, "pending", &number.to_string(), "--"],
            ["run", "--", "echo", "started"],
        )
        .run();
        done.code(128 + number).prints("");
    }
    // The others are forwarded to CMD if there is no gate. CMD inherits a mask that blocks them, so
    // that it can wait for them.
    let call = ["run", "--", helper, "receive"];
    let done = inside(
        &[
            helper, "pending", "14", "18", "23", "28", "40", "40", "64", "--",
        ],
        call,
    )
    .run();
    assert_eq!(
        received(&done.code(0).stdout),
        [14, 18, 23, 28, 40, 40, 64],
        "{done}"
    );
    // The negative control: without the signals CMD does not end.
    let mut running = inside(&[helper, "pending", "40", "--"], call).start();
    eventually("the receiver's answer", || {
        running.stdout().contains("got 40").then_some(())
    });
    assert!(!running.has_ended());
}

#[test]
fn a_stop_at_any_moment_of_the_start_is_a_stop() {
    for step in 0..60 {
        let running = podgate(["run", "--", "sleep", "100"]).start();
        // The delays reach from before podgate's main to after CMD's exec.
        thread::sleep(Duration::from_micros(100 * step));
        running.signal(Signal::SIGTERM);
        let done = running.finish();
        assert!(
            done.status.code() == Some(143) || done.status.signal() == Some(15),
            "after {step}: {done}"
        );
        done.within(Duration::from_secs(20));
    }
}

#[test]
fn cmd_inherits_everything_unchanged() {
    // glibc keeps the signals 32 and 33 for itself.
    if !musl() {
        return;
    }
    let Some(pod) = Pod::new() else { return };
    let folder = Folder::new();
    let show = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; ls /proc/self/fd; pwd; \
                env | grep -v '^_=' | sort; umask; ulimit -n; \
                cat /proc/self/oom_score_adj; readlink /proc/self/fd/0";
    // CMD gets a few signals blocked and ignored, an inherited descriptor, and its own input.
    let python = "import os,signal,sys\nS=signal\n\
                  S.pthread_sigmask(S.SIG_BLOCK,{S.SIGTERM,S.SIGUSR2,S.SIGCHLD,40})\n\
                  S.signal(S.SIGHUP,S.SIG_IGN)\nS.signal(S.SIGCHLD,S.SIG_IGN)\n\
                  S.signal(41,S.SIG_IGN)\n\
                  S.signal(S.SIGPIPE,S.SIG_DFL)\nS.signal(S.SIGXFSZ,S.SIG_DFL)\n\
                  os.execvp(sys.argv[1],sys.argv[1:])";
    let odd = ["/usr/bin/python3", "-c", python];
    for starter in [&[][..], &odd[..]] {
        let here = folder.text("");
        let container = |words: &[&str]| {
            let words: Vec<&str> = starter.iter().chain(words).copied().collect();
            Container::new("a", words)
                .working_dir(&here)
                .env("A", "b c")
                .env("PODGATE_GRACE", "7s")
                .umask("0027")
        };
        let (plain, wrapped) = (["sh", "-c", show], [IMAGE, "run", "--", "sh", "-c", show]);
        let (plain, wrapped) = (
            pod.start(&container(&plain)),
            pod.start(&container(&wrapped)),
        );
        plain.code(0);
        wrapped.code(0);
        assert_eq!(wrapped.stdout(), plain.stdout());
        // The same where podgate is not PID 1.
        let call = |mut words: Vec<&str>| {
            let mut all = starter.to_vec();
            all.append(&mut words);
            output(
                Command::new(all[0])
                    .args(&all[1..])
                    .stdin(fs::File::open("/etc/passwd").unwrap()),
            )
        };
        assert_eq!(
            call(vec![PODGATE, "run", "--", "sh", "-c", show]),
            call(vec!["sh", "-c", show])
        );
    }
}

#[test]
fn cmd_has_its_own_streams_and_arguments() {
    let strange = OsStr::from_bytes(b"\xff\xfe\n");
    let mut child = Command::new(PODGATE)
        .args([
            "run",
            "--",
            "sh",
            "-c",
            "printf '%s|' \"$@\"; cat; echo complaint >&2",
            "sh",
            "",
            "a b",
            "--",
            "--grace",
            "$HOME",
        ])
        .arg(strange)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"from stdin")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.stdout,
        b"|a b|--|--grace|$HOME|\xff\xfe\n|from stdin"
    );
    assert_eq!(output.stderr, b"complaint\n");
}

#[test]
fn no_orphan_stays_a_zombie() {
    let (Some(pod), Some(helper)) = (Pod::new(), helper()) else {
        return;
    };
    let helper = helper.path.as_str();
    let pid_1 = run_in(&pod, ["--", helper, "orphans", "300"]);
    let elsewhere = podgate(["run", "--", helper, "orphans", "300"]).start();
    // The negative control: a PID 1 that reaps no orphan.
    let careless = pod.start(&Container::sh(
        "careless",
        &format!("{helper} orphans 60 & exec sleep 100"),
    ));
    careless.prints("made");
    eventually("zombies", || {
        (careless
            .processes()
            .iter()
            .filter(|process| process.state == 'Z')
            .count()
            >= 60)
            .then_some(())
    });
    pid_1.prints("made");
    eventually_or(
        "podgate and CMD alone",
        || (pid_1.processes().len() == 2).then_some(()),
        || format!("{:?}", pid_1.processes()),
    );
    assert!(pid_1.is_running());
    let cmd = cmd_of(elsewhere.pid(), "helper");
    eventually("CMD's orphans made", || {
        elsewhere.stdout().contains("made").then_some(())
    });
    eventually_or(
        "CMD alone",
        || (children(elsewhere.pid()) == [cmd]).then_some(()),
        || format!("{:?}", children(elsewhere.pid())),
    );
}

#[test]
fn cmd_does_not_outlive_podgate() {
    let Some(pod) = Pod::new() else { return };
    let life = run_in(&pod, ["--", "sleep", "100"]);
    let inner = life.process("sleep").pid;
    life.kill();
    life.code(137);
    assert!(is_gone(inner));
    let running = podgate(["run", "--", "sleep", "100"]).start();
    let cmd = cmd_of(running.pid(), "sleep");
    running.signal(Signal::SIGKILL);
    assert_eq!(running.finish().status.signal(), Some(9));
    eventually("CMD's end", || is_gone(cmd).then_some(()));
    // The negative control: a shell's child survives the shell.
    let mut shell = Program::start(Command::new("sh").args(["-c", "sleep 100; true"]));
    let orphan = cmd_of(shell.pid(), "sleep");
    kill(shell.pid(), Signal::SIGKILL).unwrap();
    eventually("the shell's end", || shell.has_ended());
    assert!(!is_gone(orphan));
}

/// Prints whether the process is in the foreground: its process group (field 5) and that of its
/// terminal (field 8).
const FOREGROUND: &str =
    "set -- $(cat /proc/$$/stat); test $5 = $8 && echo in-front || echo behind";

#[test]
fn cmd_has_the_terminal_and_gives_it_back() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    let asks = folder.script(
        "asks",
        &format!("{FOREGROUND}; read line; echo \"line is $line\""),
    );
    let mut terminal = Terminal::start(&format!("{PODGATE} run -- {asks}"));
    terminal.shows("in-front");
    terminal.types("hello\n");
    terminal.shows("line is hello");
    assert_eq!(terminal.code(), Some(0));

    // Ctrl-C.
    let mut terminal = Terminal::start(&format!(
        "{PODGATE} run -- sh -c 'trap \"exit 33\" INT; echo up; while :; do sleep 0.05; done'"
    ));
    terminal.shows("up");
    terminal.types("\x03");
    assert_eq!(terminal.code(), Some(33));

    // Afterwards the process that started podgate can read again.
    let after = folder.script(
        "after",
        &format!("{PODGATE} run -- true; {FOREGROUND}; read line; echo \"then $line\""),
    );
    let mut terminal = Terminal::start(&after);
    terminal.shows("in-front");
    terminal.types("more\n");
    terminal.shows("then more");
    assert_eq!(terminal.code(), Some(0));

    // In the background of a shell with job control podgate does not take the terminal.
    let behind = folder.script(
        "behind",
        &format!(
            "set -m; {PODGATE} run -- sh -c '{FOREGROUND}; exit 5' & wait $!; echo \"code $?\"; \
             {FOREGROUND}; read line; echo \"shell has $line\""
        ),
    );
    let mut terminal = Terminal::start(&behind);
    terminal.shows("behind");
    terminal.shows("code 5");
    terminal.shows("in-front");
    terminal.types("mine\n");
    terminal.shows("shell has mine");
    assert_eq!(terminal.code(), Some(0));
}

/// Keeps running, and prints the signals that it gets.
fn says_signals(more: &str) -> String {
    let traps: String = ["HUP", "INT", "QUIT", "USR1", "TERM"]
        .map(|name| format!("trap 'echo got-{name}' {name}; "))
        .concat();
    format!("{traps}{more} echo up; while :; do sleep 0.02; done")
}

#[test]
fn signals_are_mapped_and_dropped() {
    let Some(pod) = Pod::new() else { return };
    let script = says_signals("trap 'echo got-QUIT; exit 3' QUIT;");
    let life = run_in(
        &pod,
        [
            "--map-signal",
            "TERM=QUIT",
            "--map-signal",
            "HUP=none",
            "--",
            "sh",
            "-c",
            &script,
        ],
    );
    life.prints("up");
    life.signal(Signal::SIGHUP);
    life.signal(Signal::SIGUSR1);
    life.prints("got-USR1");
    life.signal(Signal::SIGTERM);
    life.code(3);
    assert_eq!(life.stdout(), "up\ngot-USR1\ngot-QUIT\n");
    // The variable does the same. Without it, HUP arrives.
    let script = says_signals("trap 'exit 4' HUP;");
    let life = pod.start(
        &Container::podgate("a", ["run", "--", "sh", "-c", &script])
            .env("PODGATE_MAP_SIGNAL", "USR1=HUP\nINT=none"),
    );
    life.prints("up");
    life.signal(Signal::SIGINT);
    life.signal(Signal::SIGUSR1);
    life.code(4);
    assert_eq!(life.stdout(), "up\n");
    let life = run_in(&pod, ["--", "sh", "-c", &script]);
    life.prints("up");
    life.signal(Signal::SIGHUP);
    life.code(4);
}

#[test]
fn the_group_gets_signals_only_with_signal_group() {
    let Some(pod) = Pod::new() else { return };
    let script = "trap 'echo outer' USR1; \
                  sh -c 'trap \"echo inner\" USR1; echo inner-up; while :; do sleep 0.02; done' & \
                  while :; do sleep 0.02; done";
    for is_group in [true, false] {
        let option: &[&str] = if is_group { &["--signal-group"] } else { &[] };
        let life = run_in(
            &pod,
            option.iter().copied().chain(["--", "bash", "-c", script]),
        );
        life.prints("inner-up");
        // A sleep in the group dies of the signal. A process with a trap survives.
        life.signal(Signal::SIGUSR1);
        life.prints("outer");
        if is_group {
            life.prints("inner\n");
        } else {
            // A signal to the group would have arrived with the first of three.
            for count in 2..4 {
                life.signal(Signal::SIGUSR1);
                let all = || (life.stdout().matches("outer").count() == count).then_some(());
                eventually_or("the next outer", all, || life.to_string());
            }
            assert!(!life.stdout().contains("inner\n"), "{life}");
        }
    }
}

#[test]
fn with_signal_group_the_rest_of_the_group_gets_sigterm_when_cmd_ends() {
    let folder = Folder::new();
    for (is_group, cause) in [(true, "exit 6"), (true, "kill -KILL $$"), (false, "exit 6")] {
        let file = folder.text("told");
        let _ = fs::remove_file(&file);
        // The one that is left has the pipe, so its end is the end of the stream.
        let script = format!(
            "sh -c 'trap \"echo told >{file}; exit\" TERM; echo \"left $$\"; \
             while :; do sleep 0.02; done' & \
             read line; {cause}"
        );
        let mut call = vec!["run"];
        call.extend(is_group.then_some("--signal-group"));
        call.extend(["--", "sh", "-c", &script]);
        let mut child = Command::new(PODGATE)
            .args(&call)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        let left = Pid::from_raw(line.trim().strip_prefix("left ").unwrap().parse().unwrap());
        child.stdin.take().unwrap().write_all(b"end\n").unwrap();
        let expected = if cause == "exit 6" { 6 } else { 137 };
        assert_eq!(child.wait().unwrap().code(), Some(expected));
        if is_group {
            eventually("the end of the rest", || is_gone(left).then_some(()));
            assert_eq!(fs::read_to_string(&file).unwrap(), "told\n");
        } else {
            // The negative control.
            thread::sleep(Duration::from_millis(300));
            assert!(!is_gone(left));
            kill(left, Signal::SIGKILL).unwrap();
        }
    }
}

#[test]
fn a_death_by_a_signal_that_podgate_did_not_send_is_reported() {
    let (Some(pod), Some(helper)) = (Pod::new(), helper()) else {
        return;
    };
    let helper = helper.path.as_str();
    for (number, name) in [
        (1, "SIGHUP"),
        (6, "SIGABRT"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (15, "SIGTERM"),
        (31, "SIGSYS"),
        (37, "SIGRTMIN+3"),
    ] {
        let text = format!("the command was killed by {name}, which podgate did not send");
        let number_text = number.to_string();
        let call = ["run", "--", helper, "die", &number_text];
        let done = podgate(call).run();
        done.code(128 + number).says(&text);
        let oom = done.stderr.contains("OOM killer");
        assert_eq!(oom, number == 9, "{done}");
        let life = run_in(&pod, ["--", helper, "die", &number_text]);
        life.code(128 + number);
        assert!(life.stderr().contains(&text), "{life}");
    }
    let done = podgate(["run", "--log-format", "json", "--", helper, "die", "9"]).run();
    done.code(137)
        .says("\"event\":\"killed\"")
        .says("\"signal\":\"SIGKILL\"");
    // A neighbour kills CMD, after podgate has sent it another signal.
    let script = "trap 'echo got' USR1; echo up; while :; do sleep 0.02; done";
    let life = run_in(&pod, ["--", "bash", "-c", script]);
    life.prints("up");
    life.signal(Signal::SIGUSR1);
    life.prints("got");
    kill(cmd_of(life.pid(), "bash"), Signal::SIGKILL).unwrap();
    life.code(137);
    life.says("the command was killed by SIGKILL, which podgate did not send");
}

#[test]
fn a_death_by_a_signal_that_podgate_has_sent_is_not_reported() {
    let Some(pod) = Pod::new() else { return };
    let quiet = |life: &Life| assert!(!life.stderr().contains("killed by"), "{life}");
    // A stop, and a signal that is forwarded.
    for (options, signal, code) in [
        (&[][..], Signal::SIGTERM, 143),
        (&["--stop-signal", "USR2"], Signal::SIGTERM, 140),
        (&["--map-signal", "USR1=KILL"], Signal::SIGUSR1, 137),
        (&[], Signal::SIGUSR1, 138),
        (&["--signal-group"], Signal::SIGINT, 130),
    ] {
        let call = options.iter().copied().chain(["--", "sleep", "100"]);
        let life = run_in(&pod, call);
        life.process("sleep");
        life.signal(signal);
        life.code(code);
        quiet(&life);
    }
    // The kill at the end of the grace period.
    let call = [
        "--grace",
        "300ms",
        "--stop-margin",
        "100ms",
        "--",
        "sh",
        "-c",
    ];
    let stubborn = says_signals("");
    let life = run_in(&pod, call.into_iter().chain([stubborn.as_str()]));
    life.prints("up");
    life.signal(Signal::SIGTERM);
    life.code(137);
    quiet(&life);
    // An exit code like that of a death by a signal.
    let life = run_in(&pod, ["--", "sh", "-c", "exit 137"]);
    life.code(137);
    quiet(&life);
}

#[test]
fn a_signal_is_mapped_once_and_a_stop_is_what_arrives() {
    let Some(pod) = Pod::new() else { return };
    // The grace period of a stop is short. A signal that is no stop does not start it.
    let options = |maps: &[&'static str]| {
        let maps = maps.iter().flat_map(|map| ["--map-signal", map]);
        let grace = ["--grace", "600ms", "--stop-margin", "100ms"];
        grace
            .into_iter()
            .chain(maps)
            .chain(["--", "sh", "-c"])
            .collect::<Vec<_>>()
    };
    let script = says_signals("");
    for (maps, stop, other) in [
        (
            &["TERM=INT", "INT=TERM"][..],
            "got-INT",
            (Signal::SIGINT, "got-TERM"),
        ),
        (&["TERM=HUP"], "got-HUP", (Signal::SIGHUP, "got-HUP")),
        (&["TERM=QUIT"], "got-QUIT", (Signal::SIGQUIT, "got-QUIT")),
    ] {
        let life = run_in(&pod, options(maps).into_iter().chain([script.as_str()]));
        life.prints("up");
        life.signal(other.0);
        life.prints(other.1);
        thread::sleep(Duration::from_secs(1));
        assert!(life.is_running(), "{life}");
        let before = life.stdout().matches(stop).count();
        life.signal(Signal::SIGTERM);
        let again = || (life.stdout().matches(stop).count() > before).then_some(());
        eventually_or("the stop", again, || life.to_string());
        life.code(137);
    }
}

#[test]
fn stop_signal_sets_the_signal_that_stops() {
    let Some(pod) = Pod::new() else { return };
    let script = says_signals("trap 'echo got-QUIT; exit 6' QUIT;");
    for signal in [Signal::SIGTERM, Signal::SIGQUIT] {
        let life = run_in(&pod, ["--stop-signal", "QUIT", "--", "sh", "-c", &script]);
        life.prints("up");
        life.signal(signal);
        life.code(6);
        assert_eq!(life.stdout(), "up\ngot-QUIT\n");
    }
    let life = run_in(&pod, ["--ok-exit", "143", "--", "sleep", "100"]);
    life.process("sleep");
    life.signal(Signal::SIGTERM);
    life.code(0);
    let life = run_in(&pod, ["--", "sleep", "100"]);
    life.process("sleep");
    life.signal(Signal::SIGTERM);
    life.code(143);
    run_in(
        &pod,
        [
            "--ok-exit",
            "7",
            "--ok-exit",
            "9",
            "--",
            "sh",
            "-c",
            "exit 9",
        ],
    )
    .code(0);
    run_in(&pod, ["--ok-exit", "7", "--", "sh", "-c", "exit 8"]).code(8);
}

#[test]
fn a_cmd_that_ignores_a_stop_is_killed_after_the_grace_period() {
    let Some(pod) = Pod::new() else { return };
    let call = [
        "--grace",
        "700ms",
        "--stop-margin",
        "100ms",
        "--",
        "sh",
        "-c",
        &says_signals(""),
    ];
    let life = run_in(&pod, call);
    life.prints("up");
    let sent = Instant::now();
    life.signal(Signal::SIGTERM);
    life.prints("got-TERM");
    // A second stop signal is sent as well, and does not extend the grace period.
    life.signal(Signal::SIGTERM);
    let both = || (life.stdout().matches("got-TERM").count() == 2).then_some(());
    eventually_or("the second got-TERM", both, || life.to_string());
    let end = life.code(137);
    assert!(
        end.at.duration_since(sent) >= Duration::from_millis(650),
        "{life}"
    );
    assert!(
        life.stderr()
            .contains("the command has not ended within the grace period of 700ms"),
        "{life}"
    );
    // The default grace period is long.
    let life = run_in(&pod, ["--", "sh", "-c", &says_signals("")]);
    life.prints("up");
    life.signal(Signal::SIGTERM);
    life.prints("got-TERM");
    thread::sleep(Duration::from_secs(1));
    assert!(life.is_running());
}

#[test]
fn gates_have_codes_of_their_own() {
    let Some(pod) = Pod::new() else { return };
    let closed = ClosedPort::new();
    let closed = closed.tcp();
    let quick = "trap 'exit 0' TERM; echo up; while :; do sleep 0.02; done";
    // A stop before the member is ready, and a stop after that.
    let life = run_in(&pod, ["--ready", &closed, "--", "sh", "-c", quick]);
    life.prints("up");
    life.signal(Signal::SIGTERM);
    life.code(143);
    let life = run_in(&pod, ["--", "sh", "-c", quick]);
    life.prints("up");
    life.signal(Signal::SIGTERM);
    life.code(0);
    // A stop while the gate is closed.
    let life = run_in(&pod, ["--after", &closed, "--", "echo", "started"]);
    life.says("refused");
    life.signal(Signal::SIGTERM);
    life.code(143);
    assert_eq!(life.stdout(), "");
    let gate = ["--after", &closed, "--after-timeout", "300ms"];
    let life = run_in(&pod, gate.into_iter().chain(["--", "echo", "started"]));
    life.code(124);
    assert_eq!(life.stdout(), "");
    let life = run_in(
        &pod,
        gate.into_iter().chain([
            "--on-timeout",
            "run",
            "--",
            "sh",
            "-c",
            "echo started; exit 5",
        ]),
    );
    life.code(5);
    assert_eq!(life.stdout(), "started\n");
    run_in(&pod, ["--after", "file:///", "--", "sh", "-c", "exit 5"]).code(5);
}

/// The number of wake-ups, and the CPU time in ticks.
fn effort(pid: Pid) -> (u64, u64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_ascii_whitespace()
        .collect();
    let ticks = after_name[11].parse::<u64>().unwrap() + after_name[12].parse::<u64>().unwrap();
    (
        field(pid, "voluntary_ctxt_switches")
            .unwrap()
            .parse()
            .unwrap(),
        ticks,
    )
}

#[test]
fn it_sleeps_while_nothing_happens() {
    let Some(pod) = Pod::new() else { return };
    let sleeper = |name: &str, options: &[&str]| {
        let words = ["run"].iter().chain(options).chain(&["--", "sleep", "100"]);
        let life = pod.start(&Container::podgate(name, words));
        life.process("sleep");
        life
    };
    let alone = sleeper("alone", &[]);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let named = sleeper("named", &["--name", "named", "--listen", &port.to_string()]);
    // The limit on inotify instances (128 here) counts all processes of a user. Other tests may
    // have used them up, and without an instance podgate polls.
    let has_inotify = |life: &Life| {
        let links = fs::read_dir(format!("/proc/{}/fd", life.pid()))
            .unwrap()
            .flatten();
        links
            .filter_map(|link| fs::read_link(link.path()).ok())
            .any(|to| to.to_string_lossy().contains("inotify"))
    };
    let watches = eventually("an inotify instance", || {
        Some(sleeper(
            "watches",
            &["--name", "watches", "--outlive", "named"],
        ))
        .filter(has_inotify)
    });
    let lives = [&alone, &named, &watches];
    for life in lives {
        eventually("sleep", || {
            field(life.pid(), "State")?.starts_with('S').then_some(())
        });
    }
    // podgate wakes up for the changes of its own files.
    thread::sleep(Duration::from_millis(500));
    let before = lives.map(|life| effort(life.pid()));
    thread::sleep(Duration::from_secs(3));
    let after = lives.map(|life| effort(life.pid()));
    assert_eq!(after[0], before[0], "no relation");
    assert_eq!(after[1], before[1], "only a name and an endpoint");
    let wakes = after[2].0 - before[2].0;
    assert!((1..=6).contains(&wakes), "{wakes} wake-ups in 3 s");
    assert!(
        after[2].1 - before[2].1 <= 1,
        "{:?} {:?}",
        before[2],
        after[2]
    );
}

#[test]
fn a_limit_on_descriptors_that_is_lowered_later_does_no_harm_to_cmd() {
    let Some(pod) = Pod::new() else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string();
    let script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done";
    let options = [
        "run",
        "--name",
        "watches",
        "--outlive",
        "nobody",
        "--listen",
        &port,
        "--",
        "sh",
        "-c",
        script,
    ];
    let life = pod.start(&Container::podgate("watches", options));
    life.prints("up");
    let lowered = Command::new("prlimit")
        .args(["--nofile=1:1", "--pid", &life.pid().to_string()])
        .status()
        .unwrap();
    assert!(lowered.success());
    let before = effort(life.pid()).1;
    thread::sleep(Duration::from_secs(1));
    assert!(life.is_running(), "{life}");
    let used = effort(life.pid()).1 - before;
    assert!(used <= 25, "{used} ticks of the CPU in a second");
    life.signal(Signal::SIGTERM);
    life.code(7);
}

#[test]
fn a_stderr_without_a_reader_does_no_harm() {
    let Some(helper) = helper() else { return };
    let helper = helper.path.as_str();
    let folder = Folder::new();
    for is_full in [false, true] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reader = if is_full {
            // Fills the pipe a page at a time, until there is no room for another line.
            nix::fcntl::fcntl(
                &writer,
                nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK),
            )
            .unwrap();
            while writer.write(&[b'x'; 4096]).is_ok() {}
            while writer.write(b"x").is_ok() {}
            nix::fcntl::fcntl(
                &writer,
                nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty()),
            )
            .unwrap();
            Some(reader)
        } else {
            None
        };
        let told = folder.text(if is_full { "full" } else { "closed" });
        // With -v podgate reports each signal. The receiver would print a SIGPIPE.
        let mut child = Program::start(
            Command::new(PODGATE)
                .args([
                    "run",
                    "-v",
                    "--map-signal",
                    "USR1=none",
                    "--after",
                    "file:///",
                    "--",
                    helper,
                    "receive",
                ])
                .stdout(fs::File::create(&told).unwrap())
                .stderr(writer),
        );
        let got = |text: &str| {
            fs::read_to_string(&told)
                .unwrap()
                .contains(text)
                .then_some(())
        };
        eventually("the receiver", || got("up"));
        for _ in 0..5 {
            send(helper, child.pid(), &[10]);
        }
        send(helper, child.pid(), &[40]);
        eventually_or(
            "a signal that comes after lines",
            || got("got 40"),
            || format!("full: {is_full}"),
        );
        send(helper, child.pid(), &[64]);
        assert_eq!(eventually("its end", || child.has_ended()).code(), Some(0));
        assert_eq!(
            received(&fs::read_to_string(&told).unwrap()),
            [40, 64],
            "full: {is_full}"
        );
        drop(reader);
    }
}

#[test]
fn the_log_options_set_what_is_reported() {
    let closed = ClosedPort::new();
    let closed = closed.tcp();
    let run = |options: &[&str]| -> Done {
        podgate(["run"].iter().chain(options).chain(&[
            "--after",
            &closed,
            "--after-timeout",
            "200ms",
            "--",
            "true",
        ]))
        .run()
    };
    let done = run(&["--log-format", "json"]);
    done.code(124);
    assert!(
        !done.stderr.is_empty()
            && done
                .stderr
                .lines()
                .all(|line| line.starts_with('{') && line.ends_with('}')),
        "{done}"
    );
    let plain = run(&[]);
    plain.code(124).says("podgate: gave up after 200ms");
    podgate(["run", "--quiet", "--", "sh", "-c", "echo mine >&2"])
        .run()
        .code(0)
        .prints("");
    let quiet = run(&["--quiet"]);
    assert!(quiet.code(124).stderr.lines().count() <= 1, "{quiet}");
    // Nothing is reported if all is well.
    let done = podgate(["run", "--", "true"]).run();
    assert_eq!(done.code(0).stderr, "", "{done}");
}

#[test]
fn variables_have_the_same_effect_as_options() {
    let closed = ClosedPort::new();
    let closed = closed.tcp();
    podgate(["run", "--", "true"])
        .env("PODGATE_AFTER", &closed)
        .env("PODGATE_AFTER_TIMEOUT", "100ms")
        .run()
        .code(124);
    podgate(["run", "--", "sh", "-c", "exit 3"])
        .env("PODGATE_OK_EXIT", "4\n3")
        .run()
        .code(0);
    podgate(["run", "--ok-exit", "4", "--", "sh", "-c", "exit 3"])
        .env("PODGATE_OK_EXIT", "3")
        .run()
        .code(3);
    podgate(["run", "--", "true"])
        .env("PODGATE_GRACE", "1.5s")
        .run()
        .code(2)
        .says("PODGATE_GRACE");
    podgate(["run", "--", "true"])
        .env("PODGATE_STOP_SIGNAL", "TREM")
        .run()
        .code(2)
        .says("TREM");
    podgate(["run", "--name", "a", "--", "sh", "-c", "exit 6"])
        .env("PODGATE_DISABLE", "all")
        .run()
        .code(6)
        .says("PODGATE_DISABLE");
    if namespaces() {
        inside(
            AS_PID_1,
            ["run", "--after", &closed, "--", "sh", "-c", "exit 5"],
        )
        .env("PODGATE_DISABLE", "gates")
        .env("PODGATE_AFTER_TIMEOUT", "20s")
        .run()
        .code(5)
        .says("PODGATE_DISABLE")
        .within(Duration::from_secs(10));
    }
}

/// How many KiB of podgate's code and constants are resident (proc(5), smaps).
fn resident_code(pid: Pid) -> u64 {
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut is_code = false;
    let mut total = 0;
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            [_, rights, _, _, _, path] => is_code = !rights.contains('w') && path == PODGATE,
            [range, _, _, _, _] if range.contains('-') => is_code = false,
            ["Rss:", number, "kB"] if is_code => total += number.parse::<u64>().unwrap(),
            _ => {}
        }
    }
    total
}

#[test]
fn the_pages_of_code_are_given_back_when_cmd_is_ready() {
    let folder = Folder::new();
    let ready = folder.text("ready");
    let check = format!("file://{ready}");
    let running = podgate(["run", "--ready", &check, "--", "sleep", "100"]).start();
    // podgate sleeps while it waits for the file, so the number no longer changes.
    let before = eventually("podgate to wait for readiness", || {
        let used = resident_code(running.pid());
        thread::sleep(Duration::from_millis(200));
        (used > 0 && used == resident_code(running.pid())).then_some(used)
    });
    fs::write(&ready, "").unwrap();
    eventually("less code to be resident", || {
        (resident_code(running.pid()) < before).then_some(())
    });
    running.signal(Signal::SIGTERM);
    running.finish().code(143);
}

#[test]
fn nothing_of_the_watchdogs_is_left_when_cmd_runs() {
    let folder = Folder::new();
    let log = folder.text("log");
    // One watchdog watches the opening of the log, and one watches the gate.
    let call = ["run", "--log-to", &log, "--after", "file:///"];
    let running = podgate(call.into_iter().chain(["--", "sleep", "100"])).start();
    let pid = running.pid();
    let has_cmd = || {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        children.is_ok_and(|it| !it.trim().is_empty())
    };
    let entries = |folder: &str| {
        let entries = fs::read_dir(format!("/proc/{pid}/{folder}")).into_iter();
        entries.flatten().flatten().map(|entry| entry.path())
    };
    let counts = || {
        let is_signalfd =
            |path| fs::read_link(path).is_ok_and(|it| it.to_string_lossy().ends_with("[signalfd]"));
        let signalfds = entries("fd").filter(|path| is_signalfd(path.clone()));
        (entries("task").count(), signalfds.count())
    };
    let alone = || (has_cmd() && counts() == (1, 1)).then_some(());
    eventually_or("one thread and one signalfd", alone, || {
        format!("{:?}", counts())
    });
    running.signal(Signal::SIGTERM);
    running.finish().code(143);
}
