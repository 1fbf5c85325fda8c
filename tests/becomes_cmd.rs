//! `-- CMD` calls exec(2): CMD has the same process, arguments, environment, signals and
//! descriptors as podgate at its start.

use crate::support::{Folder, inside, musl, output, podgate, python3, without_own_variables};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Prints its own blocked, ignored and caught signals: `SigBlk`, `SigIgn` and `SigCgt` of
/// /proc/self/status.
const SIGNALS: &[&str] = &["grep", "-E", "^Sig(Blk|Ign|Cgt):", "/proc/self/status"];

#[test]
fn cmd_is_the_same_process() {
    let running = podgate(["wait", "file:///", "--", "sh", "-c", "echo $$"]).start();
    let pid = running.pid();
    running.finish().code(0).prints(&format!("{pid}\n"));
}

#[test]
fn arguments_and_environment_are_unchanged() {
    let strange = OsStr::from_bytes(b"\xff\xfe not UTF-8\n");
    let show = "for word; do printf '%s|' \"$word\"; done";
    let arguments = [
        OsStr::new("wait"),
        "file:///".as_ref(),
        "--".as_ref(),
        "sh".as_ref(),
        "-c".as_ref(),
        show.as_ref(),
        "sh".as_ref(),
    ];
    let more = [
        OsStr::new(""),
        "a b".as_ref(),
        "--".as_ref(),
        "--any".as_ref(),
        "$HOME".as_ref(),
    ];
    podgate(arguments.into_iter().chain(more))
        .run()
        .code(0)
        .prints("|a b|--|--any|$HOME|");
    let done = podgate(arguments.into_iter().chain([strange])).run();
    done.code(0);
    let mut env = Command::new("env");
    without_own_variables(&mut env);
    let plain = output(env.env("PODGATE_TIMEOUT", "5s").env("X", "1 2"));
    let gated = podgate(["wait", "file:///", "--", "env"])
        .env("PODGATE_TIMEOUT", "5s")
        .env("X", "1 2")
        .run();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with("_="))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&gated.stdout), sorted(&plain));
}

#[test]
fn signal_mask_and_dispositions_are_the_original_ones() {
    // glibc reserves two signals for itself, and their dispositions change.
    if !musl() || !python3() {
        return;
    }
    // A child inherits ignored and blocked signals. Test without any, with some ignored, and with
    // some blocked.
    let ignoring = ["sh", "-c", "trap '' HUP CHLD USR1; exec \"$@\"", "sh"];
    let blocking = [
        "python3",
        "-c",
        "import os,signal,sys\n\
         signal.pthread_sigmask(\
         signal.SIG_BLOCK,{signal.SIGTERM,signal.SIGUSR2,signal.SIGCHLD})\n\
         signal.signal(signal.SIGPIPE,signal.SIG_DFL)\n\
         signal.signal(signal.SIGXFSZ,signal.SIG_DFL)\n\
         os.execvp(sys.argv[1],sys.argv[1:])",
    ];
    for starter in [&[][..], &ignoring[..], &blocking[..]] {
        let plain = match starter.split_first() {
            None => output(Command::new(SIGNALS[0]).args(&SIGNALS[1..])),
            Some((first, rest)) => output(Command::new(first).args(rest).args(SIGNALS)),
        };
        for check in ["file:///", "exec:true"] {
            let gated = inside(starter, ["wait", check, "--"].iter().chain(SIGNALS)).run();
            gated.code(0).prints(&plain);
        }
    }
}

#[test]
fn the_command_of_an_exec_check_has_the_original_signals_too() {
    let folder = Folder::new();
    let out = folder.text("out");
    podgate([
        "check",
        &format!("exec:sh -c 'grep -E ^Sig.*: /proc/self/status > {out}'"),
    ])
    .run()
    .code(0);
    let status = fs::read_to_string(&out).unwrap();
    let value = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect(name)
            .trim()
            .to_owned()
    };
    assert_eq!(value("SigBlk:"), "0".repeat(16), "{status}");
    assert_eq!(
        u64::from_str_radix(&value("SigIgn:"), 16).unwrap() & (1 << 12),
        0,
        "SIGPIPE is ignored\n{status}"
    );
}

#[test]
fn sigpipe_ends_cmd() {
    // Rust's runtime ignores SIGPIPE. A CMD that inherited this would not end when its pipe is
    // closed.
    let script = format!(
        "{} wait -q file:/// -- sh -c 'yes; echo $? >&2' | head -n 1",
        crate::support::PODGATE
    );
    let done = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stderr).trim(), "141");
}

#[test]
fn no_descriptor_is_left_open() {
    let plain = output(Command::new("ls").arg("/proc/self/fd"));
    let server = crate::support::server::Server::status(200);
    let checks = [
        server.url("/"),
        "exec:true".to_owned(),
        "file:///".to_owned(),
        format!("tcp://{}", server.address),
    ];
    let arguments = ["wait"]
        .into_iter()
        .chain(checks.iter().map(String::as_str))
        .chain(["--", "ls", "/proc/self/fd"]);
    podgate(arguments).run().code(0).prints(&plain);
}

#[test]
fn cmd_is_not_a_subreaper() {
    if !python3() {
        return;
    }
    // 37 is PR_GET_CHILD_SUBREAPER.
    let show = "import ctypes\n\
                value=ctypes.c_int(-1)\n\
                ctypes.CDLL(None).prctl(37,ctypes.byref(value),0,0,0)\n\
                print(value.value)";
    podgate(["wait", "exec:true", "--", "python3", "-c", show])
        .run()
        .code(0)
        .prints("0\n");
}

#[test]
fn podgate_exits_with_the_exit_code_of_cmd() {
    for code in [0, 1, 42, 124, 255] {
        podgate([
            "wait",
            "file:///",
            "--",
            "sh",
            "-c",
            &format!("exit {code}"),
        ])
        .run()
        .code(code);
    }
}

#[test]
fn a_cmd_that_cannot_be_executed_exits_126_and_a_missing_one_127() {
    let folder = Folder::new();
    podgate(["wait", "file:///", "--", "podgate-has-no-such-command"])
        .run()
        .code(127)
        .says("command not found");
    podgate(["wait", "file:///", "--", &folder.text("none")])
        .run()
        .code(127);
    let plain = folder.file("plain", "hello");
    podgate(["wait", "file:///", "--", &plain])
        .run()
        .code(126)
        .says("it is not executable");
    podgate(["wait", "file:///", "--", "/"]).run().code(126);
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o755)).unwrap();
    // glibc's execvp(3) runs a file without "#!" as a shell script.
    if musl() {
        podgate(["wait", "file:///", "--", &plain])
            .run()
            .code(126)
            .says("#!");
    }
    let lost = folder.file("lost", "#!/no/such/interpreter\n");
    fs::set_permissions(&lost, fs::Permissions::from_mode(0o755)).unwrap();
    podgate(["wait", "file:///", "--", &lost])
        .run()
        .code(126)
        .says("interpreter");
}

#[test]
fn a_gate_that_does_not_open_does_not_start_cmd() {
    let folder = Folder::new();
    let touched = folder.text("touched");
    podgate([
        "wait",
        "-t",
        "100ms",
        "file:///none",
        "--",
        "touch",
        &touched,
    ])
    .run()
    .code(124);
    podgate(["wait", "exec:podgate-no-such", "--", "touch", &touched])
        .run()
        .code(1);
    assert!(!folder.join("touched").exists());
    podgate(["wait", "-t", "100ms", "file:///", "--", "touch", &touched])
        .run()
        .code(0);
    assert!(folder.join("touched").exists(), "the negative control");
}
