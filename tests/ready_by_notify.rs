//! `run --ready notify`: CMD says by sd_notify(3) when it is ready. The programs that say it here
//! are HAProxy, Redis, PostgreSQL, systemd-notify, and a script for what they never send.

use crate::support::cast::{comes, line, onlooker, podgate_in, run};
use crate::support::pod::{Access, Container, Life, Pod, VOLUME, words};
use crate::support::server::{ClosedPort, free_port};
use crate::support::{Folder, eventually, eventually_or, needs, output, podgate, program, python3};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const NOBODY: u32 = 65534;
/// A member that is not ready after this time has not been taken for ready.
const SETTLED: Duration = Duration::from_millis(500);

/// The script of `tests/support/notify.py`, at a path that every user can read.
struct Script {
    _folder: Folder,
    call: String,
}

fn script() -> Option<Script> {
    python3().then_some(())?;
    let folder = Folder::new();
    let path = folder.file("notify.py", include_str!("support/notify.py"));
    let call = format!("/usr/bin/env python3 {path}");
    Some(Script {
        _folder: folder,
        call,
    })
}

impl Script {
    /// Its words for [`Life::exec`].
    fn words(&self, actions: &[&str]) -> Vec<String> {
        let call = self.call.split(' ').map(str::to_owned);
        call.chain(actions.iter().map(|it| (*it).to_owned()))
            .collect()
    }
}

fn systemd_notify() -> bool {
    needs("systemd-notify", program("systemd-notify", &[]).is_some())
}

/// A shell's loop until the test calls [`go`].
fn until_go(name: &str) -> String {
    format!("until test -e {VOLUME}/go-{name}; do sleep 0.02; done")
}

fn go(pod: &Pod, name: &str) {
    fs::write(pod.volume().join(format!("go-{name}")), "").unwrap();
}

fn state(pod: &Pod, name: &str) -> Option<String> {
    line(pod, name, "state")
}

/// The member runs, and is not taken for ready.
#[track_caller]
fn stays_running(pod: &Pod, name: &str) {
    comes(pod, name, "running");
    thread::sleep(SETTLED);
    assert_eq!(state(pod, name).as_deref(), Some("running"));
}

/// The number of open descriptors of a process.
fn descriptors(life: &Life) -> usize {
    fs::read_dir(format!("/proc/{}/fd", life.pid()))
        .unwrap()
        .count()
}

#[test]
fn a_member_is_ready_when_a_child_of_its_command_runs_systemd_notify() {
    let Some(pod) = Pod::new() else { return };
    if !systemd_notify() {
        return;
    }
    let script = format!(
        "(systemd-notify --status=loading; {}; systemd-notify --ready && echo said) & \
         echo up; sleep 100",
        until_go("a")
    );
    let a = pod.start(&run("a", "--ready notify -v", &script));
    let waiter = pod.start(&onlooker("o"));
    a.says("waiting for \"notify\": the command has not sent READY=1");
    a.says("status of the command: \"loading\"");
    stays_running(&pod, "a");
    podgate_in(&waiter, "check ready:a").code(1);
    go(&pod, "a");
    comes(&pod, "a", "ready");
    // systemd-notify waits until its message was read (sd_notify_barrier(3)).
    a.prints("said");
    a.says("\"notify\" passed");
    podgate_in(&waiter, "check ready:a").code(0);
}

#[test]
fn a_message_that_is_not_ready_1_makes_no_member_ready() {
    let (Some(pod), Some(script)) = (Pod::new(), script()) else {
        return;
    };
    let near = [
        "send",
        "READY=0",
        "send",
        "READY=10",
        "send",
        "STATUS=READY=1",
        "send",
        "ready=1",
        "send",
        "STOPPING=1",
        "send",
        "RELOADING=1",
        "send",
        "MAINPID=1",
        "send",
        "WATCHDOG=1",
        "send",
        "",
        "send",
        "\\x00READY=1",
        "send",
        "READY=1\\x00x",
    ];
    let near = shell_words::join(near);
    let call = &script.call;
    let text = format!(
        "{call} {near}; echo near; {}; {call} send 'MAINPID=7\\nREADY=1\\nSTATUS=up'; sleep 100",
        until_go("a")
    );
    let a = pod.start(&run("a", "--ready notify", &text));
    a.prints("near");
    stays_running(&pod, "a");
    go(&pod, "a");
    comes(&pod, "a", "ready");
}

#[test]
fn a_neighbour_container_cannot_say_that_the_command_is_ready() {
    // With its own network, so that it finds only the socket of this pod.
    let (Some(pod), Some(script)) = (Pod::with_network("size=4m"), script()) else {
        return;
    };
    let text = format!("echo $NOTIFY_SOCKET; {}; sleep 100", until_go("a"));
    let a = pod.start(&run("a", "--ready notify", &text));
    let neighbour = pod.start(&onlooker("b"));
    let name = eventually("the address", || {
        a.stdout().lines().next().map(str::to_owned)
    });
    assert!(name.starts_with("@podgate.notify."), "{name}");
    for actions in [
        ["send", "READY=1"],
        ["as", "READY=1"],
        ["with", "3,READY=1"],
    ] {
        let found = [&["--found"][..], &actions[..], &["barrier", "5"][..]].concat();
        let done = neighbour.exec(script.words(&found));
        // It was received, and is not to be blocked.
        done.code(0).prints("barrier passed\n");
    }
    stays_running(&pod, "a");
    // The same call in the container of the command counts: nothing but the sender differs.
    a.exec(script.words(&["--found", "send", "READY=1"]))
        .code(0);
    comes(&pod, "a", "ready");
}

#[test]
fn a_flood_of_garbage_delays_nothing_and_leaves_nothing_open() {
    let (Some(pod), Some(script)) = (Pod::with_network("size=4m"), script()) else {
        return;
    };
    let call = &script.call;
    let text = format!(
        "trap 'echo told; exit 5' TERM; {call} flood 3 & {}; {call} send READY=1; echo said; \
         while :; do sleep 0.05; done",
        until_go("a")
    );
    let a = pod.start(&run("a", "--ready notify -v", &text));
    let neighbour = pod.start(&onlooker("b"));
    comes(&pod, "a", "running");
    let before = descriptors(&a);
    let mut flood = neighbour.start_exec(script.words(&["--found", "flood", "3"]));
    let mut most = 0;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        most = most.max(descriptors(&a));
        thread::sleep(Duration::from_millis(5));
    }
    assert!(
        most <= before,
        "{most} descriptors, {before} before the flood"
    );
    assert_eq!(state(&pod, "a").as_deref(), Some("running"), "{a}");
    // In the middle of the flood its own message arrives.
    go(&pod, "a");
    comes(&pod, "a", "ready");
    assert!(flood.done().is_none(), "the flood ended early");
    a.signal(Signal::SIGTERM);
    a.code(5);
    assert!(flood.done().is_none(), "the flood ended early");
    // The log is not filled by it.
    let lines = a.stderr().lines().count();
    assert!(lines < 60, "{lines} lines");
    // The flood was one: thousands of datagrams.
    let flooded = flood.finish().stdout;
    let count = flooded
        .trim()
        .rsplit(' ')
        .next()
        .and_then(|it| it.parse::<u64>().ok());
    assert!(count.is_some_and(|count| count > 1000), "{flooded}");
}

#[test]
fn messages_are_read_as_long_as_the_command_runs() {
    let (Some(pod), Some(script)) = (Pod::new(), script()) else {
        return;
    };
    let call = &script.call;
    let text = format!("{call} send READY=1 many 2000 barrier 5; sleep 100");
    let a = pod.start(&run("a", "--ready notify", &text));
    comes(&pod, "a", "ready");
    a.prints("many sent");
    a.prints("barrier passed");
    // Negative control: a socket that nobody reads takes only a few.
    let folder = Folder::new();
    let path = folder.text("unread");
    let _unread = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let words = script.words(&["fill", "2000"]);
    let taken = output(
        Command::new(&words[0])
            .args(&words[1..])
            .env("NOTIFY_SOCKET", &path),
    );
    let count: u32 = taken.split(' ').next().unwrap().parse().unwrap();
    assert!(count < 2000, "{taken}");
}

#[test]
fn descriptors_that_a_command_sends_are_closed_at_once() {
    let (Some(pod), Some(script)) = (Pod::new(), script()) else {
        return;
    };
    let call = &script.call;
    let text = format!(
        "{call} with 1,FDSTORE=1 with '253,FDSTORE=1' barrier 5; {}; {call} with 253,READY=1; \
         sleep 100",
        until_go("a")
    );
    let a = pod.start(&run("a", "--ready notify", &text));
    comes(&pod, "a", "running");
    let before = descriptors(&a);
    a.prints("barrier passed");
    assert_eq!(descriptors(&a), before);
    // A message counts although descriptors came with it.
    go(&pod, "a");
    comes(&pod, "a", "ready");
    assert_eq!(descriptors(&a), before);
}

#[test]
fn a_command_that_ends_before_it_is_ready_is_never_published_as_ready() {
    let Some(pod) = Pod::new() else { return };
    let o = pod.start(&onlooker("o"));
    pod.start(&run("a", "--ready notify --restart-policy never", "exit 3"))
        .code(3);
    podgate_in(&o, "wait --timeout 30s ready:a")
        .code(1)
        .says("ended with exit code 3");
    // A stop before it is ready.
    for (code, expected) in [(0, 143), (7, 7)] {
        let script = format!("trap 'exit {code}' TERM; echo up; while :; do sleep 0.02; done");
        let b = pod.start(&run("b", "--ready notify", &script));
        b.prints("up");
        b.signal(Signal::SIGTERM);
        b.code(expected);
    }
}

#[test]
fn notify_is_refused_where_there_is_no_command_to_notify() {
    const HINT: &str = "only run gives its CMD a NOTIFY_SOCKET: podgate run --ready notify -- CMD";
    for call in [
        "wait notify",
        "check notify",
        "check not:notify",
        "wait tcp://h:1 notify -- true",
        "run --after notify -- true",
        "join --name a --restart-policy never --ready notify",
    ] {
        podgate(call.split(' ')).run().code(2).says(HINT);
    }
    podgate(["run", "--ready", "not:notify", "--", "true"])
        .run()
        .code(2)
        .says("does not show that CMD is ready");
    podgate(["join", "--name", "a", "--restart-policy", "never"])
        .env("PODGATE_READY", "notify")
        .run()
        .code(2)
        .says("PODGATE_READY")
        .says(HINT);
    podgate(["wait"])
        .env("PODGATE_CHECKS", "notify")
        .run()
        .code(2)
        .says(HINT);
    podgate(["run", "--ready", "Notify", "--", "true"])
        .run()
        .code(2);
    podgate(["quit", "notify"]).run().code(2);
    // Negative control.
    for value in ["notify", " notify ", "file:///\nnotify"] {
        podgate(["run", "--", "true"])
            .env("PODGATE_READY", value)
            .run()
            .code(0);
    }
}

#[test]
fn the_order_in_which_ready_1_and_other_checks_pass_does_not_matter() {
    let (Some(pod), Some(script)) = (Pod::new(), script()) else {
        return;
    };
    for (name, is_first) in [("first", true), ("last", false)] {
        let options = format!("--ready notify --ready file://{VOLUME}/there-{name}");
        let text = format!(
            "{}; {} send READY=1; echo said; sleep 100",
            until_go(name),
            script.call
        );
        let a = pod.start(&run(name, &options, &text));
        let file = pod.volume().join(format!("there-{name}"));
        if is_first {
            go(&pod, name);
            a.prints("said");
        } else {
            fs::write(&file, "").unwrap();
            a.says("there-last\" passed");
        }
        stays_running(&pod, name);
        if is_first {
            fs::write(&file, "").unwrap();
        } else {
            go(&pod, name);
        }
        comes(&pod, name, "ready");
    }
}

#[test]
fn an_interval_does_not_delay_ready_1() {
    let (Some(pod), Some(script)) = (Pod::new(), script()) else {
        return;
    };
    let text = format!("{}; {} send READY=1; sleep 100", until_go("a"), script.call);
    let options = "--ready notify --interval 1h";
    let _a = pod.start(&run("a", options, &text));
    stays_running(&pod, "a");
    go(&pod, "a");
    comes(&pod, "a", "ready");
}

/// How often this process went to sleep.
fn sleeps(life: &Life) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", life.pid())).unwrap();
    let of = |line: &str| {
        line.strip_prefix("voluntary_ctxt_switches:")?
            .trim()
            .parse()
            .ok()
    };
    status.lines().find_map(of).unwrap()
}

#[test]
fn nothing_is_polled_while_the_command_is_not_ready() {
    let Some(pod) = Pod::new() else { return };
    let closed = ClosedPort::new();
    let polls = format!("--ready notify --ready {}", closed.tcp());
    let waits = pod.start(&run("a", "--ready notify", "sleep 100"));
    // Negative control: the kernel does not report that a port is open.
    let polls = pod.start(&run("b", &polls, "sleep 100"));
    comes(&pod, "a", "running");
    comes(&pod, "b", "running");
    // The first heartbeats come after 1 and 3 s.
    thread::sleep(Duration::from_millis(3_500));
    let before = (sleeps(&waits), sleeps(&polls));
    thread::sleep(Duration::from_secs(3));
    let counted = (sleeps(&waits) - before.0, sleeps(&polls) - before.1);
    assert!(counted.0 <= 4, "{counted:?}");
    assert!(counted.1 > 10, "{counted:?}");
}

#[test]
fn notify_socket_is_podgates_with_notify_and_as_it_was_otherwise() {
    let shows = ["--", "sh", "-c", "echo ${NOTIFY_SOCKET-none}"];
    let call = |options: &[&str]| podgate([&["run"], options, &shows].concat());
    for options in [&[][..], &["--ready", "file:///"][..]] {
        call(options)
            .env("NOTIFY_SOCKET", "/x")
            .run()
            .code(0)
            .prints("/x\n");
        call(options).run().code(0).prints("none\n");
    }
    let off = |what: &str| {
        call(&["--ready", "notify"])
            .env("PODGATE_DISABLE", what)
            .env("NOTIFY_SOCKET", "/x")
            .run()
    };
    off("gates").code(0).prints("/x\n").says("notify");
    off("all").code(0).prints("/x\n");
    let done = off("quits");
    assert!(
        done.code(0).stdout.starts_with("@podgate.notify."),
        "{done}"
    );
    // The command of a check is not CMD.
    let check = "exec:sh -c 'test \"$NOTIFY_SOCKET\" = /x'";
    call(&["--after", check, "--ready", "notify"])
        .env("NOTIFY_SOCKET", "/x")
        .run()
        .code(0);
}

#[test]
fn a_status_is_one_line_and_shown_with_verbose_only() {
    let Some(script) = script() else { return };
    let text = format!("{} send 'STATUS=a\\x1b[31mb\\tc' barrier 5", script.call);
    let call = |options: &[&str]| {
        let command = ["--ready", "notify", "--", "sh", "-c", &text];
        podgate([&["run"], options, &command].concat()).run()
    };
    call(&["-v"])
        .code(0)
        .says("podgate: status of the command: \"a [31mb c\"\n");
    call(&["-v", "--log-format", "json"])
        .code(0)
        .says("\"event\":\"status\"")
        .says("\"status\":\"a [31mb c\"");
    call(&[]).code(0).says_not("status of the command");
}

#[test]
fn it_works_as_a_user_without_rights_on_a_read_only_root() {
    let (Some(pod), Some(script)) = (Pod::new(), script()) else {
        return;
    };
    let text = format!(
        "touch /tmp/x 2>/dev/null && exit 99; {}; {} send READY=1 barrier 5; sleep 100",
        until_go("a"),
        script.call
    );
    let container = run("a", "--ready notify", &text);
    let _a = pod.start(&container.user(1000, 1000).hardened().read_only_root());
    stays_running(&pod, "a");
    go(&pod, "a");
    comes(&pod, "a", "ready");
}

/// A server of another project, which says by itself when it is ready.
struct Server {
    folder: Folder,
    /// Its call, and the same without a word to systemd.
    says: Vec<String>,
    says_not: Vec<String>,
}

impl Server {
    fn container(&self, name: &str, call: &[String]) -> Container {
        let options = words(["run", "--name", name, "--ready", "notify", "-v", "--"]);
        let path = self.folder.path();
        // Its data stays writable where the root file system is not.
        Container::podgate(name, [options, call.to_owned()].concat())
            .working_dir(path.to_str().unwrap())
            .mount(path, path.to_str().unwrap(), Access::ReadWrite)
    }

    /// It becomes ready, and a second one that says nothing does not, although it serves.
    #[track_caller]
    fn is_ready_by_itself(&self, user: Option<u32>, port: u16) {
        let Some(pod) = Pod::new() else { return };
        let with_user = |container: Container| match user {
            Some(user) => container.user(user, user),
            None => container,
        };
        let silent = pod.start(&with_user(self.container("silent", &self.says_not)));
        let served = || podgate(["check", &format!("tcp://127.0.0.1:{port}")]).run();
        eventually_or(
            "the server",
            || served().status.success().then_some(()),
            || silent.to_string(),
        );
        stays_running(&pod, "silent");
        silent.kill();
        silent.code(137);
        // PostgreSQL's: its pid may be that of another process in the next container.
        let _ = fs::remove_file(self.folder.join("data/postmaster.pid"));
        let server = pod.start(&with_user(self.container("server", &self.says)).read_only_root());
        eventually_or(
            "the server to be ready",
            || (state(&pod, "server").as_deref() == Some("ready")).then_some(()),
            || server.to_string(),
        );
        served().code(0);
    }
}

/// A folder that everyone may write.
fn folder() -> Folder {
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// `more` is for the global section.
fn haproxy(more: &str) -> Option<(Server, u16)> {
    let haproxy = program("haproxy", &[]);
    needs("HAProxy", haproxy.is_some()).then_some(())?;
    let (folder, port) = (folder(), free_port());
    let config = format!(
        "global\n{more}\ndefaults\n mode http\n timeout client 5s\n timeout server 5s\n \
         timeout connect 5s\nfrontend f\n bind 127.0.0.1:{port}\n \
         http-request return status 200 content-type text/plain string ok\n"
    );
    let config = folder.file("haproxy.cfg", &config);
    let path = haproxy?.to_str()?.to_owned();
    let call = |mode: &str| words([&path, mode, "-f", &config]);
    let (says, says_not) = (call("-Ws"), call("-W"));
    let server = Server {
        folder,
        says,
        says_not,
    };
    Some((server, port))
}

#[test]
fn haproxy_is_ready_when_its_workers_are() {
    if let Some((server, port)) = haproxy("") {
        server.is_ready_by_itself(Some(NOBODY), port);
    }
}

#[test]
fn an_haproxy_that_drops_its_user_is_ready_when_its_workers_are() {
    if let Some((server, port)) = haproxy(" user nobody\n group nogroup") {
        server.is_ready_by_itself(None, port);
    }
}

#[test]
fn redis_is_ready_when_it_has_read_its_data() {
    let redis = program("redis-server", &[]);
    if !needs("Redis", redis.is_some()) {
        return;
    }
    let (folder, port) = (folder(), free_port());
    let redis = redis.unwrap().to_str().unwrap().to_owned();
    let call = |supervised: &str| {
        words([
            &redis,
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
        ])
        .into_iter()
        .chain(words(["--supervised", supervised]))
        .collect()
    };
    let (says, says_not) = (call("systemd"), call("no"));
    let server = Server {
        folder,
        says,
        says_not,
    };
    server.is_ready_by_itself(Some(NOBODY), port);
}

#[test]
fn postgres_is_ready_when_it_accepts_connections() {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let bin = versions.map(|entry| entry.path().join("bin")).max();
    let is_there = bin.as_ref().is_some_and(|bin| bin.join("initdb").exists());
    let is_root = nix::unistd::geteuid().is_root();
    if !needs("PostgreSQL", is_there) || !needs("root, to run PostgreSQL as nobody", is_root) {
        return;
    }
    let (bin, folder, port) = (bin.unwrap(), folder(), free_port());
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let user = NOBODY.to_string();
    let mut initdb = Command::new("setpriv");
    initdb.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    initdb.arg(bin.join("initdb")).current_dir(folder.path());
    output(
        initdb
            .args(["-D", &folder.text("data"), "-A", "trust", "--no-sync"])
            .stderr(Stdio::null()),
    );
    let call = words([
        bin.join("postgres").to_str().unwrap(),
        "-D",
        &folder.text("data"),
        // No unix socket: the lock file of one that was killed may name a process that exists.
        "-k",
        "",
        "-p",
        &port.to_string(),
    ]);
    let more = words([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "fsync=off",
        // It must leave nothing in /dev/shm when it is killed.
        "-c",
        "dynamic_shared_memory_type=mmap",
    ]);
    let says = [call, more].concat();
    let says_not = [words(["env", "-u", "NOTIFY_SOCKET"]), says.clone()].concat();
    let server = Server {
        folder,
        says,
        says_not,
    };
    server.is_ready_by_itself(Some(NOBODY), port);
}
