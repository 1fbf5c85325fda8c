//! `tcp`, `unix`, `listen`, `file` and `exec` checks, with real sockets, files and processes.

use crate::support::server::{ClosedPort, Server};
#[cfg(target_arch = "x86_64")]
use crate::support::tracer::{EXECUTED, Point, Traced};
use crate::support::{Folder, eventually, podgate};
#[cfg(target_arch = "x86_64")]
use nix::sys::signal::Signal;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[test]
fn tcp_passes_when_a_connection_is_accepted() {
    let closed = ClosedPort::new();
    podgate(["check", &closed.tcp()])
        .run()
        .code(1)
        .says("connection refused");
    let waiting = podgate(["wait", &closed.tcp()]).start();
    waiting.says("connection refused");
    let tcp = closed.tcp();
    let _server = closed.open();
    waiting
        .finish()
        .code(0)
        .says(&format!("{tcp:?} passed after"));
}

#[test]
fn no_check_connects_to_itself() {
    // An outgoing connection to a local port of the ephemeral range may get this very port as its
    // source, and then connects to itself (TCP's simultaneous open). A range of one port makes this
    // certain.
    if !crate::support::namespaces() {
        return;
    }
    let script = "ip link set lo up && \
                  echo '20000 20001' > /proc/sys/net/ipv4/ip_local_port_range && exec \"$@\"";
    let netns = ["unshare", "--net", "sh", "-c", script, "sh"];
    let itself = "import socket\n\
                  for _ in range(50):\n\
                  \x20 s=socket.socket()\n\
                  \x20 try: s.connect(('127.0.0.1',20000)); print('itself'); break\n\
                  \x20 except OSError: pass";
    let control = crate::support::output(
        Command::new(netns[0])
            .args(&netns[1..])
            .args(["python3", "-c", itself]),
    );
    assert_eq!(
        control.trim(),
        "itself",
        "the negative control: a plain client connects to itself"
    );
    let checks = ["tcp", "http", "grpc", "postgres", "mysql", "redis"];
    for scheme in checks {
        let url = format!("{scheme}://127.0.0.1:20000");
        crate::support::inside(&netns, ["wait", "--timeout", "2s", &url])
            .run()
            .code(124)
            .says("refused");
    }
}

/// A server that sends back what it gets is no connection to itself.
#[test]
fn an_echo_is_not_a_refusal() {
    let server = Server::raw(|mut stream| {
        let mut output = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut stream, &mut output);
    });
    let url = server.url("/");
    podgate(["check", &url])
        .run()
        .code(1)
        .says("not an HTTP answer");
    podgate(["check", &format!("not:{url}")])
        .run()
        .code(1)
        .says("cannot tell");
    podgate(["quit", "--timeout", "1s", &url])
        .run()
        .code(1)
        .says_not("already gone");
}

#[test]
fn unix_passes_when_a_connection_is_accepted() {
    let folder = Folder::new();
    let url = format!("unix://{}", folder.text("app.sock"));
    podgate(["check", &url])
        .run()
        .code(1)
        .says("the path does not exist");
    folder.file("file", "");
    podgate(["check", &format!("unix://{}", folder.text("file"))])
        .run()
        .code(1)
        .says("refused");
    let waiting = podgate(["wait", &url]).start();
    waiting.says("the path does not exist");
    let listener = UnixListener::bind(folder.join("app.sock")).unwrap();
    waiting.finish().code(0);
    drop(listener);
    // A child that another test forks at this moment may still hold the listener.
    eventually("a refusal", || {
        podgate(["check", &url])
            .run()
            .stderr
            .contains("refused")
            .then_some(())
    });
}

#[test]
fn listen_finds_a_listener_without_connecting_to_it() {
    let server = Server::raw(|_| {});
    let port = server.port();
    for check in [
        format!("listen://:{port}"),
        format!("listen://127.0.0.1:{port}"),
    ] {
        podgate(["check", &check]).run().code(0);
    }
    podgate(["check", &format!("listen://127.0.0.2:{port}")])
        .run()
        .code(1)
        .says("no process listens on this port");
    podgate(["check", &format!("listen://[::1]:{port}")])
        .run()
        .code(1);
    assert_eq!(server.connections(), 0);
    let bound = ClosedPort::new();
    podgate(["check", &format!("listen://:{}", bound.port())])
        .run()
        .code(1)
        .says("no process listens on this port");
    let waiting = podgate(["wait", &format!("listen://:{}", bound.port())]).start();
    waiting.says("no process listens on this port");
    let opened = bound.open();
    waiting.finish().code(0);
    assert_eq!(opened.connections(), 0);
}

#[test]
fn listen_knows_ipv6_and_wildcards() {
    let Ok(six) = TcpListener::bind("[::1]:0") else {
        panic!("no IPv6 on loopback")
    };
    let port = six.local_addr().unwrap().port();
    podgate(["check", &format!("listen://[::1]:{port}")])
        .run()
        .code(0);
    podgate(["check", &format!("listen://127.0.0.1:{port}")])
        .run()
        .code(1);
    let any = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = any.local_addr().unwrap().port();
    podgate(["check", &format!("listen://127.0.0.1:{port}")])
        .run()
        .code(0);
    podgate(["check", &format!("listen://[::1]:{port}")])
        .run()
        .code(1);
}

#[test]
fn a_connection_is_not_a_listener() {
    let server = Server::raw(|stream| {
        std::thread::sleep(Duration::from_secs(5));
        drop(stream);
    });
    let client = std::net::TcpStream::connect(server.address).unwrap();
    let port = client.local_addr().unwrap().port();
    podgate(["check", &format!("listen://:{port}")])
        .run()
        .code(1);
}

#[test]
fn file_passes_when_the_path_exists() {
    let folder = Folder::new();
    let check = |name: &str| podgate(["check", &format!("file://{}", folder.text(name))]).run();
    check("ready").code(1).says("the path does not exist");
    folder.file("ready", "");
    check("ready").code(0);
    check("").code(0);
    check("ready/below").code(1).says("the path does not exist");
    std::os::unix::fs::symlink("nowhere", folder.join("dangling")).unwrap();
    check("dangling").code(1).says("the path does not exist");
    folder.file("with a space", "");
    check("with a space").code(0);
}

#[test]
fn file_notices_a_path_whose_folders_are_created_one_by_one() {
    let folder = Folder::new();
    let path = folder.text("a/b/c");
    let waiting = podgate(["wait", "--timeout", "25s", &format!("file://{path}")]).start();
    waiting.says("the path does not exist");
    std::thread::sleep(Duration::from_millis(300));
    fs::create_dir_all(folder.join("a/b")).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    fs::write(folder.join("a/b/tmp"), "").unwrap();
    fs::rename(folder.join("a/b/tmp"), &path).unwrap();
    waiting.finish().code(0);
}

#[test]
fn file_is_polled_rarely_while_inotify_watches_it() {
    let folder = Folder::new();
    let path = format!("file://{}", folder.text("never"));
    let watched = podgate(["wait", "--timeout", "3s", &path]).run();
    let attempts = |done: &crate::support::Done| {
        let text = done
            .last_line()
            .split_once(" attempts")
            .expect("a count")
            .0
            .to_owned();
        text.rsplit_once('(')
            .expect("a count")
            .1
            .parse::<u32>()
            .expect("a number")
    };
    assert!(attempts(&watched) <= 10, "{watched}");
    // The negative control: a path that cannot be watched is polled by the schedule.
    std::os::unix::fs::symlink(folder.path(), folder.join("link")).unwrap();
    let polled = podgate([
        "wait",
        "--timeout",
        "1s",
        &format!("file://{}/never", folder.text("link")),
    ])
    .run();
    assert!(attempts(&polled) > 50, "{polled}");
}

/// A process that has a watch ends, and becomes CMD, up to 14 ms late: the kernel frees watches in
/// two steps, and a step that begins right after the other one is slow.
#[cfg(target_arch = "x86_64")]
#[test]
fn watches_are_removed_early_so_that_the_end_does_not_wait_for_them() {
    use nix::libc::{
        SYS_execve, SYS_exit_group, SYS_inotify_rm_watch, SYS_newfstatat, SYS_stat, SYS_statx,
    };
    let folder = Folder::new();
    let (path, dir) = (folder.text("ready"), folder.text(""));
    let file = format!("file://{path}");
    let members = ["--dir", &dir, "--allow-plain-dir", "gone:main"];
    // A file's watch is removed before the look-up that finds the file. A report may also come
    // during a look-up, so this holds for most files.
    let before_look_up = |calls: &[Point]| {
        let is_look_up = |it: &Point| {
            it.who != "podgate" && [SYS_stat, SYS_newfstatat, SYS_statx].contains(&it.number)
        };
        let removed = calls
            .iter()
            .rposition(|it| it.number == SYS_inotify_rm_watch);
        removed.is_some() && removed < calls.iter().rposition(is_look_up)
    };
    for words in [
        vec!["wait", &file],
        vec!["wait", &file, "--", "true"],
        vec!["run", "--after", &file, "--", "true"],
    ] {
        let early = (0..10).any(|_| {
            let calls = calls_until_the_end(&folder, &words, || fs::write(&path, "").unwrap());
            fs::remove_file(&path).unwrap();
            before_look_up(&calls)
        });
        assert!(early, "{words:?}");
    }
    // The watch of a volume is removed before the end.
    for cmd in [&["--", "true"][..], &[]] {
        let words = [&["wait"][..], &members, cmd].concat();
        let words_of_main = ["run", "--name", "main", "--dir", &dir, "--allow-plain-dir"];
        let main = podgate(words_of_main.into_iter().chain(["--", "sleep", "100"])).start();
        eventually("main", || folder.join("main.lock").exists().then_some(()));
        let calls = calls_until_the_end(&folder, &words, || main.signal(Signal::SIGKILL));
        let own: Vec<i64> = calls
            .iter()
            .filter(|it| it.who == "podgate")
            .map(|it| it.number)
            .collect();
        let end = if cmd.is_empty() {
            SYS_exit_group
        } else {
            SYS_execve
        };
        let at = |number| own.iter().rposition(|it| *it == number);
        let removed = at(SYS_inotify_rm_watch);
        assert!(removed.is_some() && removed < at(end), "{words:?}");
    }
    // The negative control: a file that exists needs no watch.
    fs::write(&path, "").unwrap();
    let calls = calls_until_the_end(&folder, &["wait", &file], || {});
    assert!(calls.iter().all(|it| it.number != SYS_inotify_rm_watch));
}

/// The system calls of a wait that passes because of `change`.
#[cfg(target_arch = "x86_64")]
fn calls_until_the_end(folder: &Folder, words: &[&str], change: impl FnOnce()) -> Vec<Point> {
    let said = folder.join("stderr");
    let words: Vec<String> = [crate::support::PODGATE]
        .iter()
        .chain(words)
        .map(|&it| it.into())
        .collect();
    let stderr = fs::File::create(&said).unwrap();
    let mut traced = Traced::start(&words, Path::new(crate::support::PODGATE), stderr, None);
    eventually("its wait", || {
        let said = fs::read_to_string(&said).unwrap();
        (said.contains("waiting for") || said.contains("passed")).then_some(())
    });
    // Then the second look-up knows the watch.
    std::thread::sleep(Duration::from_millis(100));
    change();
    let code = eventually("its end", || traced.ended());
    assert!(code == 0 || code == EXECUTED, "{code}");
    traced.finish().calls
}

#[test]
fn file_is_found_without_inotify() {
    if !crate::support::namespaces() {
        return;
    }
    // A limit of 0 in a new user namespace: inotify_init fails with EMFILE.
    let script = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$@\"";
    let folder = Folder::new();
    let path = folder.text("ready");
    let starter = [
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        script,
        "sh",
    ];
    let waiting = crate::support::inside(&starter, ["wait", &format!("file://{path}")]).start();
    waiting.says("the path does not exist");
    fs::write(&path, "").unwrap();
    waiting.finish().code(0);
}

#[test]
fn exec_passes_when_the_command_exits_0() {
    podgate(["check", "exec:true"]).run().code(0);
    podgate(["check", "exec:false"])
        .run()
        .code(1)
        .says("exit code 1");
    podgate(["check", "exec:sh -c 'echo one; echo two >&2; echo; exit 3'"])
        .run()
        .code(1)
        .says("exit code 3: two");
    podgate(["check", "exec:sh -c 'kill -9 $$'"])
        .run()
        .code(1)
        .says("killed by signal 9");
}

#[test]
fn exec_splits_words_like_a_shell_but_does_not_run_one() {
    let folder = Folder::new();
    let show = folder.script("show", "for word; do echo \"<$word>\"; done > \"$0.out\"");
    podgate([
        "check",
        &format!("exec:{show} a 'b c' \"d $HOME\" e\\ f '|' $X *"),
    ])
    .run()
    .code(0);
    let words = fs::read_to_string(folder.join("show.out")).unwrap();
    assert_eq!(words, "<a>\n<b c>\n<d $HOME>\n<e f>\n<|>\n<$X>\n<*>\n");
}

#[test]
fn exec_with_a_shell_operator_causes_a_warning() {
    let folder = Folder::new();
    let file = folder.text("file");
    podgate(["check", &format!("exec:echo a > {file}")])
        .run()
        .code(0)
        .says("podgate runs no shell")
        .says("exec:sh -c");
    assert!(!Path::new(&file).exists());
    podgate(["check", "exec:sh -c 'true && true'"])
        .run()
        .code(0)
        .says_not("podgate runs no shell");
}

#[test]
fn exec_leaves_no_process_to_cmd() {
    // A process that a check's command moves to a new session would become CMD's child, and later
    // its zombie.
    let show = "sleep 0.2; ps -o comm= --ppid $$ | grep -c sleep || true";
    podgate(["wait", "exec:setsid -f sleep 301", "--", "sh", "-c", show])
        .run()
        .code(0)
        .prints("0\n");
}

#[test]
fn a_child_from_before_the_exec_is_not_killed() {
    let starter = ["sh", "-c", "sleep 302 & echo $! ; exec \"$@\"", "sh"];
    let done = crate::support::inside(&starter, ["wait", "-t", "300ms", "exec:false"]).run();
    done.code(124);
    let pid = nix::unistd::Pid::from_raw(done.stdout.trim().parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it lives");
}

#[test]
fn a_daemon_of_a_child_from_before_the_exec_is_not_killed() {
    let folder = Folder::new();
    let pids = folder.text("pids");
    // The daemon's parent became podgate's child before the exec, and ends while podgate waits.
    let script = format!("(sleep 100 & echo $! > {pids}; sleep 0.3) & exec \"$@\"");
    let starter = ["sh", "-c", &script, "sh"];
    crate::support::inside(
        &starter,
        ["wait", "--attempt-timeout", "5s", "exec:sleep 0.8"],
    )
    .run()
    .code(0);
    let pid =
        nix::unistd::Pid::from_raw(fs::read_to_string(&pids).unwrap().trim().parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it lives");
}

#[test]
fn a_child_from_before_the_exec_is_left_for_cmd_to_reap() {
    // The child ends while podgate runs the command of a check. CMD finds it as a zombie.
    let starter = ["sh", "-c", "(sleep 0.2; exit 7) & exec \"$@\"", "sh"];
    let show = "exec ps -o stat= --ppid $$";
    let call = [
        "wait",
        "--attempt-timeout",
        "5s",
        "exec:sleep 0.5",
        "--",
        "sh",
        "-c",
        show,
    ];
    let done = crate::support::inside(&starter, call).run();
    assert!(done.code(0).stdout.starts_with('Z'), "{done}");
}

#[test]
fn the_end_of_a_killed_command_is_not_taken_for_that_of_a_new_one() {
    // The next command gets the pid of the killed one: `ns_last_pid` sets it in a PID namespace.
    if !crate::support::namespaces() {
        return;
    }
    let folder = Folder::new();
    let pids = folder.text("pids");
    let script = folder.script("hang", &format!("echo $$ >> {pids}; exec sleep 100"));
    let again = format!(
        "\"$@\" & while ! test -s {pids}; do sleep 0.01; done; pid=$(head -n 1 {pids}); \
         while kill -0 $pid 2>/dev/null; do :; done; \
         for try in 1 2 3 4 5; do \
         echo $((pid - 1)) > /proc/sys/kernel/ns_last_pid; sleep 0.3; done; wait"
    );
    let starter: Vec<&str> = crate::support::AS_PID_1
        .iter()
        .copied()
        .chain(["sh", "-c", &again, "sh"])
        .collect();
    let options = [
        "wait",
        "-t",
        "2s",
        "--attempt-timeout",
        "200ms",
        "--interval",
        "400ms",
    ];
    let check = format!("exec:{script}");
    let done = crate::support::inside(&starter, options.into_iter().chain([check.as_str()])).run();
    done.says_not("killed by signal")
        .says("while the command was running");
    let text = fs::read_to_string(&pids).unwrap();
    let mut seen: Vec<&str> = text.lines().collect();
    seen.sort_unstable();
    seen.dedup();
    assert!(
        seen.len() < text.lines().count(),
        "no pid was used twice, so this test shows nothing\n{text}{done}"
    );
}

#[test]
fn exec_that_times_out_reports_the_last_line_of_its_output() {
    let done = podgate([
        "check",
        "--attempt-timeout",
        "500ms",
        "exec:sh -c 'echo step 3 of 7; sleep 20'",
    ])
    .run();
    done.code(1)
        .says("timed out after 500ms while the command was running: step 3 of 7");
}

/// Mounts a FUSE file system whose server never answers at the first argument, and runs the rest as
/// a command. Exits with the command's code, or with [`BY_SIGTERM`].
pub const DEAD: &[&str] = &[
    "unshare",
    "--mount",
    "python3",
    "-c",
    "import ctypes,os,subprocess,sys\n\
     libc=ctypes.CDLL(None,use_errno=True)\n\
     fuse=os.open('/dev/fuse',os.O_RDWR)\n\
     at=sys.argv[1].encode();os.makedirs(at,exist_ok=True)\n\
     options=f'fd={fuse},rootmode=40000,user_id=0,group_id=0'.encode()\n\
     assert libc.mount(b'x',at,b'fuse',0,options)==0\n\
     sys.exit(subprocess.run(sys.argv[2:]).returncode)",
];

/// The exit code of [`DEAD`] for a command that SIGTERM killed: Python's -15 as a byte.
const BY_SIGTERM: i32 = 241;

#[test]
fn a_file_system_that_never_answers_does_not_block_podgate() {
    if !crate::support::namespaces()
        || !crate::support::needs("/dev/fuse", Path::new("/dev/fuse").exists())
    {
        return;
    }
    let folder = Folder::new();
    let dead = folder.text("dead");
    let starter: Vec<&str> = DEAD.iter().copied().chain([dead.as_str()]).collect();
    let inside = |arguments: &[&str]| crate::support::inside(&starter, arguments.iter().copied());
    for kind in ["file://", "unix://", "exec:"] {
        let check = format!("{kind}{dead}/ready");
        inside(&["wait", "-t", "500ms", &check])
            .run()
            .code(124)
            .within(Duration::from_secs(10))
            .says("gave up");
        let termination = folder.file("termination", "before");
        let probe = crate::support::inside(&starter, ["check", &check])
            .env("PODGATE_TERMINATION_LOG", &termination);
        probe
            .run()
            .code(1)
            .within(Duration::from_secs(10))
            .says("ready");
        assert_eq!(fs::read_to_string(&termination).unwrap(), "before");
        inside(&[
            "wait",
            "-t",
            "300ms",
            "--termination-log",
            &termination,
            &check,
        ])
        .run()
        .code(124);
        assert!(
            fs::read_to_string(&termination)
                .unwrap()
                .contains("gave up")
        );
        let running = inside(&["wait", "-t", "20s", &check, "--", "echo", "no"]).start();
        let pid = running.podgate_pid();
        std::thread::sleep(Duration::from_millis(200));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        running
            .finish()
            .code(BY_SIGTERM)
            .within(Duration::from_secs(10))
            .prints("");
    }
    // A file that an option names cannot be opened either. SIGTERM still ends the wait.
    let log = format!("{dead}/log");
    let running = inside(&["wait", "--log-to", &log, "file:///none"]).start();
    let pid = running.podgate_pid();
    std::thread::sleep(Duration::from_millis(200));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    running
        .finish()
        .code(BY_SIGTERM)
        .within(Duration::from_secs(10))
        .says("cannot be opened");
    // Another check is not delayed.
    inside(&["wait", "--any", &format!("file://{dead}/ready"), "file:///"])
        .run()
        .code(0)
        .within(Duration::from_secs(10));
}

#[test]
fn exec_of_a_command_that_cannot_be_executed_fails_at_once() {
    for (check, reason) in [
        ("exec:podgate-has-no-such-command", "not found"),
        ("exec:/etc/passwd", "cannot execute"),
        ("exec:/", "cannot execute"),
    ] {
        let done = podgate(["wait", check, "--", "true"]).run();
        done.code(1)
            .within(Duration::from_secs(10))
            .says("can never pass")
            .says(reason);
        assert_eq!(done.stderr.lines().count(), 1, "{done}");
    }
}

#[test]
fn exec_has_an_empty_stdin_and_its_own_process_group() {
    let folder = Folder::new();
    let out = folder.text("out");
    podgate([
        "check",
        &format!(
            "exec:sh -c 'cat; readlink /proc/self/fd/0; \
             ps -o pgid= -p $$ | tr -d \" \" > {out}; echo $$ >> {out}'"
        ),
    ])
    .run()
    .code(0);
    let text = fs::read_to_string(&out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], lines[1], "the command leads its process group");
}

#[test]
fn exec_is_killed_with_its_process_group_at_its_timeout() {
    let folder = Folder::new();
    let pids = folder.text("pids");
    let script = folder.script(
        "hang",
        &format!(
            "sleep 100 & echo $! >> {pids}; echo $$ >> {pids}; trap '' TERM; echo stuck; sleep 100"
        ),
    );
    let done = podgate([
        "check",
        "--attempt-timeout",
        "300ms",
        &format!("exec:{script}"),
    ])
    .run();
    done.code(1)
        .within(Duration::from_secs(10))
        .says("while the command was running");
    gone(Path::new(&pids), 2);
}

#[test]
fn exec_leaves_no_process_behind_when_it_ends_by_itself() {
    let folder = Folder::new();
    let pids = folder.text("pids");
    let script = folder.script("leaves", &format!("sleep 100 & echo $! >> {pids}; exit 0"));
    podgate(["check", &format!("exec:{script}")])
        .run()
        .code(0)
        .within(Duration::from_secs(10));
    gone(Path::new(&pids), 1);
}

#[test]
fn exec_that_prints_endlessly_still_times_out() {
    podgate(["check", "--attempt-timeout", "300ms", "exec:yes"])
        .run()
        .code(1)
        .within(Duration::from_secs(10));
    podgate([
        "check",
        "exec:sh -c 'head -c 10000000 /dev/zero | tr \"\\0\" x; exit 1'",
        "--attempt-timeout",
        "20s",
    ])
    .run()
    .code(1)
    .says("exit code 1");
}

#[test]
fn exec_dies_with_podgate() {
    let folder = Folder::new();
    let pids = folder.text("pids");
    let script = folder.script("hang", &format!("echo $$ >> {pids}; exec sleep 100"));
    let running = podgate([
        "wait",
        "--attempt-timeout",
        "60s",
        &format!("exec:{script}"),
    ])
    .start();
    eventually("the command", || {
        fs::read_to_string(&pids)
            .ok()
            .filter(|text| text.ends_with('\n'))
    });
    running.signal(nix::sys::signal::Signal::SIGKILL);
    gone(Path::new(&pids), 1);
}

/// Asserts that the file names `count` processes and that none of them exists, not even as a
/// zombie.
#[track_caller]
fn gone(pids: &Path, count: usize) {
    let text = fs::read_to_string(pids).unwrap();
    assert_eq!(text.lines().count(), count, "{text}");
    for pid in text.lines() {
        eventually(&format!("process {pid} to be gone"), || {
            (!Path::new("/proc").join(pid).exists()).then_some(())
        });
    }
}
