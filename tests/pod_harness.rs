//! The tests' own pods behave as they should: containers, restarts and deletion. No podgate runs in
//! them.

use crate::support::kubelet::{Hook, Phase, Play, RestartPolicy, Rules};
use crate::support::pod::{Access, Container, IMAGE, Life, Namespace, Pod, Process, VOLUME};
use crate::support::{Folder, eventually, musl, output};
use nix::sys::signal::{Signal, kill};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const NOBODY: (u32, u32) = (65534, 65534);
const LONG: Duration = Duration::from_secs(20);

/// Goes on running, and a trap runs at once.
const WAIT: &str = "sleep 100 & wait";

/// Runs until SIGTERM, and then ends with this code.
fn stops_with(code: i32) -> String {
    format!("trap 'exit {code}' TERM; echo up; {WAIT}")
}

/// Waits for a file in the volume.
fn until(file: &str) -> String {
    format!("until test -e {VOLUME}/{file}; do sleep 0.01; done")
}

/// Drops SIGTERM, as a PID 1 without a handler does.
fn stubborn(name: &str) -> Container {
    Container::new(name, ["sleep", "100"])
}

fn names(processes: &[Process]) -> Vec<&str> {
    let mut names: Vec<_> = processes
        .iter()
        .map(|process| process.name.as_str())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn a_container_ends_with_the_code_of_its_program() {
    let Some(pod) = Pod::new() else { return };
    for code in [0, 1, 3, 125, 127, 137, 255] {
        pod.start(&Container::sh("a", &format!("exit {code}")))
            .code(code);
    }
    pod.start(&Container::new("a", ["no-such-program"]))
        .code(127);
    let life = pod.start(&Container::sh("a", &stops_with(143)));
    life.prints("up");
    life.signal(Signal::SIGTERM);
    life.code(143);
    // The kernel kills a PID 1 for a fault (139 is SIGSEGV), but drops a signal that it sends to
    // itself.
    pod.start(&Container::sh("a", "kill -SEGV $$; exit 7"))
        .code(7);
    let python = "import ctypes; ctypes.string_at(0)";
    pod.start(&Container::sh(
        "a",
        &format!("ulimit -c 0; exec python3 -c '{python}'"),
    ))
    .code(139);
}

#[test]
fn a_signal_from_outside_is_dropped_where_pid_1_does_not_handle_it() {
    let Some(pod) = Pod::new() else { return };
    let (ignores, handles) = (
        pod.start(&stubborn("ignores")),
        pod.start(&Container::sh("handles", &stops_with(0))),
    );
    handles.prints("up");
    for life in [&ignores, &handles] {
        life.signal(Signal::SIGTERM);
    }
    handles.code(0);
    assert!(ignores.is_running());
    ignores.kill();
    ignores.code(137);
    // A container that has ended gets no signal, even if another process has its pid now.
    ignores.signal(Signal::SIGTERM);
}

#[test]
fn sigkill_ends_the_whole_container() {
    let Some(pod) = Pod::new() else { return };
    let script = "setsid sleep 101 </dev/null >/dev/null 2>&1 & (sleep 102 &); sleep 103";
    let (dies, stays) = (
        pod.start(&Container::sh("dies", script)),
        pod.start(&Container::sh("stays", script)),
    );
    for life in [&dies, &stays] {
        eventually("three sleepers", || {
            (names(&life.processes()) == ["sh", "sleep", "sleep", "sleep"]).then_some(())
        });
    }
    dies.kill();
    dies.code(137);
    assert_eq!(dies.processes(), []);
    assert_eq!(stays.processes().len(), 4);
    assert!(stays.is_running());
}

#[test]
fn one_process_of_a_container_can_be_killed_alone() {
    let Some(pod) = Pod::new() else { return };
    let life = pod.start(&Container::sh(
        "a",
        "sleep 100; echo child ended with $?; exit 5",
    ));
    let child = life.process("sleep");
    assert_ne!(child.inside, 1);
    kill(child.pid, Signal::SIGKILL).unwrap();
    life.code(5);
    assert_eq!(life.stdout(), "child ended with 137\n");
}

#[test]
fn a_child_that_is_not_reaped_is_visible_as_a_zombie() {
    let Some(pod) = Pod::new() else { return };
    let life = pod.start(&Container::sh("a", "sleep 0 & exec sleep 100"));
    eventually("a zombie", || {
        life.processes()
            .into_iter()
            .find(|process| process.state == 'Z' && process.inside != 1)
    });
}

#[test]
fn the_program_is_pid_1_and_sees_no_other_container() {
    let Some(pod) = Pod::new() else { return };
    let neighbour = pod.start(&stubborn("neighbour"));
    let life = pod.start(&Container::sh(
        "a",
        "echo $$; ls /proc | grep -c '^[0-9]'; exec sleep 100",
    ));
    life.prints("1\n");
    eventually("both lines", || {
        (life.stdout().lines().count() == 2).then_some(())
    });
    // The container sees the shell, ls and grep, and nothing of the test or of its neighbour.
    assert!(
        matches!(life.stdout().as_str(), "1\n2\n" | "1\n3\n"),
        "{life}"
    );
    let status = fs::read_to_string(format!("/proc/{}/status", life.pid())).unwrap();
    let numbers = status
        .lines()
        .find(|line| line.starts_with("NSpid:"))
        .unwrap();
    assert!(
        numbers.contains(&life.pid().to_string()) && numbers.ends_with("\t1"),
        "{numbers}"
    );
    assert_ne!(life.pid(), neighbour.pid());
    // The negative control: the machine sees the processes of the container.
    assert_eq!(names(&neighbour.processes()), ["sleep"]);
}

#[test]
fn pid_1_is_the_program_as_soon_as_start_returns() {
    let Some(pod) = Pod::new() else { return };
    for user in [None, Some(NOBODY)] {
        for _ in 0..20 {
            let mut container = stubborn("a");
            if let Some((user, group)) = user {
                container = container.user(user, group).hardened();
            }
            let life = pod.start(&container);
            assert_eq!(
                fs::read_to_string(format!("/proc/{}/comm", life.pid())).unwrap(),
                "sleep\n"
            );
        }
    }
}

#[test]
fn no_signal_is_blocked_or_ignored_and_no_descriptor_is_left_open() {
    // glibc keeps the signals 32 and 33 for itself.
    if !musl() {
        return;
    }
    let Some(pod) = Pod::new() else { return };
    let execs = pod.start(&stubborn("a"));
    for show in [
        &["grep", "-E", "^Sig(Blk|Ign|Pnd)", "/proc/self/status"][..],
        &["ls", "/proc/self/fd"],
    ] {
        // What every child of this test process inherits.
        let plain = output(
            Command::new(show[0])
                .args(&show[1..])
                .env_clear()
                .stdin(Stdio::null()),
        );
        let life = pod.start(&Container::new("a", show));
        life.code(0);
        assert_eq!(life.stdout(), plain, "{life}");
        execs.exec(show).code(0).prints(&plain);
        if show[0] == "grep" {
            // glibc's `posix_spawn` ignores 32 and 33; nothing else does.
            let values = plain.lines().map(|line| line.split_once(":\t").unwrap().1);
            let values: Vec<_> = values
                .map(|value| u64::from_str_radix(value, 16).unwrap() & !0x1_8000_0000)
                .collect();
            assert_eq!(values, [0; 3], "{plain}");
        }
    }
}

#[test]
fn a_container_has_the_user_and_the_environment_that_were_set() {
    let Some(pod) = Pod::new() else { return };
    let folder = Folder::new();
    let container = stubborn("a")
        .user(1234, 5678)
        .hardened()
        .umask("0027")
        .env("PODGATE_DIR", "a b'c")
        .working_dir(folder.path().to_str().unwrap())
        .host_name("other-pod");
    let show = "id -u; id -g; id -G; umask; echo \"$PODGATE_DIR\"; pwd; uname -n; \
                env | cut -d= -f1 | sort | xargs; \
                grep -E '^(Cap|NoNew)' /proc/self/status";
    let none = "0000000000000000";
    let expected = format!(
        "1234\n5678\n5678\n0027\na b'c\n{}\nother-pod\nPATH PODGATE_DIR PWD\n\
         CapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{none}\nCapAmb:\t{none}\n\
         NoNewPrivs:\t1\n",
        folder.path().display(),
    );
    let life = pod.start(&container);
    life.exec(["sh", "-c", show]).code(0).prints(&expected);
    // The container itself has them, too, and not only an exec in it.
    let status = fs::read_to_string(format!("/proc/{}/status", life.pid())).unwrap();
    assert!(
        status.contains("Uid:\t1234\t1234\t1234\t1234\n") && status.contains("Umask:\t0027\n"),
        "{status}"
    );
    assert!(
        status.contains(&format!("CapBnd:\t{none}\n")) && status.contains("NoNewPrivs:\t1\n"),
        "{status}"
    );
    let variables = fs::read(format!("/proc/{}/environ", life.pid())).unwrap();
    assert!(
        variables
            .windows(19)
            .any(|window| window == b"PODGATE_DIR=a b'c\0P" || window == b"PODGATE_DIR=a b'c\0")
    );

    // The negative control: a container without these settings has none of this.
    let plain = pod.start(&stubborn("a"));
    let done = plain.exec(["sh", "-c", show]);
    assert!(
        done.code(0).stdout.starts_with("0\n0\n0\n0022\n\n/\n"),
        "{done}"
    );
    assert!(
        !done.stdout.contains("other-pod") && done.stdout.contains("NoNewPrivs:\t0\n"),
        "{done}"
    );
    let here = output(Command::new("uname").arg("-n"));
    assert!(done.stdout.contains(&here), "{done}");
}

#[test]
fn containers_share_the_network_and_not_run() {
    let Some(pod) = Pod::new() else { return };
    let here = fs::metadata("/proc/self/ns/net").unwrap().ino();
    let lives = [pod.start(&stubborn("a")), pod.start(&stubborn("b"))];
    for life in &lives {
        assert_eq!(
            fs::metadata(format!("/proc/{}/ns/net", life.pid()))
                .unwrap()
                .ino(),
            here
        );
        life.exec(["sh", "-c", "ls /run | xargs; echo x >/run/mine"])
            .code(0)
            .prints("image podgate\n");
    }
    assert!(!std::path::Path::new("/run/mine").exists() && !std::path::Path::new(VOLUME).exists());
}

#[test]
fn every_user_can_run_podgate() {
    let Some(pod) = Pod::new() else { return };
    let container = Container::podgate("a", ["--version"])
        .user(NOBODY.0, NOBODY.1)
        .hardened();
    let life = pod.start(&container);
    life.code(0);
    assert!(life.stdout().starts_with("podgate "), "{life}");
    // Even root must not be able to write to it. `test -w` asks the kernel without writing, because
    // a write could damage this machine's own binary.
    pod.start(&Container::new("a", ["test", "-w", IMAGE]))
        .code(1);
}

#[test]
fn all_containers_see_the_content_of_the_volume() {
    let Some(pod) = Pod::new() else { return };
    let writer = pod.start(
        &Container::sh("a", &format!("echo hello >{VOLUME}/note; exec sleep 100")).user(1000, 1000),
    );
    writer.finish_writing(&pod);
    let reader = pod.start(
        &stubborn("b")
            .user(2000, 2000)
            .volume_at("/run/deep/er", Access::ReadWrite),
    );
    let show = "cat /run/deep/er/note; stat -c '%u %a' /run/deep/er/note /run/deep/er; \
                test -e /run/podgate || echo none";
    reader
        .exec(["sh", "-c", show])
        .code(0)
        .prints("hello\n1000 644\n0 777\nnone\n");
    reader
        .exec(["sh", "-c", "echo x >>/run/deep/er/note"])
        .code(2)
        .says("Permission denied");
    // The test can read the volume and create files in it, too.
    assert_eq!(
        fs::read_to_string(pod.volume().join("note")).unwrap(),
        "hello\n"
    );
    fs::write(pod.volume().join("planted"), "by the test").unwrap();
    reader
        .exec(["cat", "/run/deep/er/planted"])
        .prints("by the test");
    // Each pod has its own volume.
    let other = Pod::new().unwrap();
    assert_eq!(fs::read_dir(other.volume()).unwrap().count(), 0);
}

impl Life {
    fn finish_writing(&self, pod: &Pod) {
        eventually("the note", || {
            fs::read_to_string(pod.volume().join("note"))
                .ok()
                .filter(|text| text.ends_with('\n'))
        });
        assert!(self.is_running());
    }
}

#[test]
fn a_read_only_volume_refuses_writes_and_shows_writes_of_others() {
    let Some(pod) = Pod::new() else { return };
    let (reads, writes) = (
        pod.start(&stubborn("reads").read_only_volume()),
        pod.start(&stubborn("writes")),
    );
    let write = format!("echo hello >{VOLUME}/note");
    reads
        .exec(["sh", "-c", &write])
        .code(2)
        .says("Read-only file system");
    writes.exec(["sh", "-c", &write]).code(0);
    reads
        .exec(["cat", &format!("{VOLUME}/note")])
        .code(0)
        .prints("hello\n");
}

/// The ids of the mounts at these paths, as a container sees them.
fn mounts(life: &Life, paths: [&str; 2]) -> [u32; 2] {
    paths.map(|path| {
        let script = format!("exec 3<{path}; sed -n 's/^mnt_id:[[:space:]]*//p' /proc/$$/fdinfo/3");
        life.exec(["sh", "-c", &script])
            .code(0)
            .stdout
            .trim()
            .parse()
            .unwrap()
    })
}

#[test]
fn a_volume_is_a_mount_and_a_plain_directory_is_not() {
    let Some(pod) = Pod::new() else { return };
    for (container, is_mount) in [
        (stubborn("a"), true),
        (stubborn("a").read_only_volume(), true),
        (stubborn("a").plain_directory(), false),
        (
            stubborn("a")
                .plain_directory()
                .read_only_root()
                .user(NOBODY.0, NOBODY.1)
                .hardened(),
            false,
        ),
    ] {
        let life = pod.start(&container);
        let [root, volume] = mounts(&life, ["/", VOLUME]);
        assert_eq!(root != volume, is_mount, "{container:?}");
    }
}

#[test]
fn plain_directories_are_not_shared() {
    let Some(pod) = Pod::new() else { return };
    let make = || pod.start(&stubborn("a").plain_directory().user(NOBODY.0, NOBODY.1));
    let lives = [make(), make()];
    for life in &lives {
        let script = format!(
            "ls {VOLUME} | xargs; echo x >{VOLUME}/note; ls -d /old-root 2>/dev/null; \
             {IMAGE} --version"
        );
        let done = life.exec(["sh", "-c", &script]);
        assert!(done.code(0).stdout.starts_with("\npodgate "), "{done}");
    }
    assert_eq!(fs::read_dir(pod.volume()).unwrap().count(), 0);
    // The test's own folders are visible in the container, and it has its own /proc.
    let folder = Folder::new();
    lives[0]
        .exec(["cat", &folder.file("new", "text")])
        .code(0)
        .prints("text");
    lives[0]
        .exec(["sh", "-c", "cat /proc/1/comm"])
        .prints("sleep\n");
}

#[test]
fn without_a_volume_its_path_does_not_exist() {
    let Some(pod) = Pod::new() else { return };
    let life = pod.start(&stubborn("a").no_volume());
    life.exec(["ls", VOLUME])
        .code(2)
        .says("No such file or directory");
    life.exec(["grep", "podgate-volume", "/proc/self/mountinfo"])
        .code(1);
    // The negative control: such a file can be found.
    pod.start(&stubborn("b"))
        .exec(["grep", "-c", "podgate-volume", "/proc/self/mountinfo"])
        .code(0)
        .prints("1\n");
}

#[test]
fn other_directories_and_files_are_mounted() {
    let Some(pod) = Pod::new() else { return };
    let folder = Folder::new();
    let file = folder.file("file", "text");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let container = stubborn("a")
        .mount(folder.path(), "/run/both/rw", Access::ReadWrite)
        .mount(folder.path(), "/run/both/ro", Access::ReadOnly)
        .mount(file.as_ref(), "/run/single/file", Access::ReadOnly)
        .empty_dir("/tmp")
        .user(NOBODY.0, NOBODY.1)
        .read_only_root();
    let life = pod.start(&container);
    life.exec([
        "sh",
        "-c",
        "cat /run/both/rw/file /run/both/ro/file /run/single/file; ls /tmp",
    ])
    .code(0)
    .prints("texttexttext");
    life.exec(["touch", "/run/both/rw/new", "/tmp/new"]).code(0);
    life.exec(["touch", "/run/both/ro/newer"])
        .code(1)
        .says("Read-only file system");
    life.exec(["touch", "/opt/new"])
        .code(1)
        .says("Read-only file system");
    assert!(folder.join("new").exists() && !std::path::Path::new("/tmp/new").exists());
}

#[test]
fn a_small_volume_fills_up_and_can_be_remounted() {
    let Some(pod) = Pod::with_volume("size=4k") else {
        return;
    };
    let life = pod.start(&stubborn("a"));
    let write = [
        "dd",
        "if=/dev/zero",
        "bs=5k",
        "count=1",
        &format!("of={VOLUME}/big"),
    ];
    life.exec(write).code(1).says("No space left on device");
    pod.remount("size=8k");
    life.exec(write).code(0);
    pod.remount("ro");
    life.exec(["touch", &format!("{VOLUME}/new")])
        .code(1)
        .says("Read-only file system");
    assert_eq!(fs::metadata(pod.volume()).unwrap().mode() & 0o7777, 0o777);
}

#[test]
fn a_lock_is_visible_to_other_containers_and_free_after_sigkill() {
    let Some(pod) = Pod::new() else { return };
    let script = format!("exec 9>{VOLUME}/lock; flock 9; echo held; sleep 100");
    let owner = pod.start(&Container::sh("owner", &script).user(1000, 1000));
    let sees = pod.start(&stubborn("sees").user(2000, 2000).read_only_volume());
    owner.prints("held");
    let test = [
        "flock",
        "--nonblock",
        "--shared",
        &format!("{VOLUME}/lock"),
        "true",
    ];
    sees.exec(test).code(1);
    owner.kill();
    owner.code(137);
    // The last process has ended, so the lock is free.
    sees.exec(test).code(0);
}

#[test]
fn a_container_that_cannot_be_set_up_fails_the_test() {
    let Some(pod) = Pod::new() else { return };
    let container =
        Container::new("a", ["true"]).mount("/no/such/source".as_ref(), "/run/x", Access::ReadOnly);
    let start = std::panic::AssertUnwindSafe(|| pod.start(&container));
    let panic = std::panic::catch_unwind(start).err().unwrap();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(
        text.contains("/no/such/source") && text.contains("cannot be set up"),
        "{text}"
    );
}

#[test]
fn output_gets_its_time_when_it_arrives() {
    let Some(pod) = Pod::new() else { return };
    let wait = until("go");
    let life = pod.start(&Container::sh(
        "a",
        &format!("echo first >&2; {wait}; echo second >&2; echo third"),
    ));
    let first = life.says("first\n");
    assert!(!life.stderr().contains("second"));
    let between = Instant::now();
    fs::write(pod.volume().join("go"), "").unwrap();
    let (second, third) = (life.says("second\n"), life.prints("third"));
    let end = life.code(0);
    assert!(
        life.started() < first
            && first < between
            && between < second
            && between < third
            && between < end.at
    );
    assert_eq!(
        life.says("first"),
        first,
        "the time of the first occurrence counts, not of the query"
    );
    assert_eq!(
        (life.stdout().as_str(), life.stderr().as_str()),
        ("third\n", "first\nsecond\n")
    );
}

#[test]
fn an_end_is_reported_after_all_output() {
    let Some(pod) = Pod::new() else { return };
    for _ in 0..10 {
        let life = pod.start(&Container::sh("a", "seq 20000; echo last >&2"));
        life.code(0);
        assert!(life.stdout().ends_with("\n20000\n") && life.stderr() == "last\n");
    }
}

#[test]
fn an_exec_can_go_on_in_the_background_and_ends_with_the_container() {
    let Some(pod) = Pod::new() else { return };
    let life = pod.start(&stubborn("a"));
    // The child holds the exec's streams open. The end of the exec must not wait for that.
    let done = life.exec(["sh", "-c", "sleep 101 & echo out; echo err >&2; exit 9"]);
    done.code(9).prints("out\n").says("err").within(LONG);
    assert_ne!(life.process("sleep").inside, 1);
    let mut running = life.start_exec(["tail", "-f", "/dev/null"]);
    life.process("tail");
    assert!(running.done().is_none());
    life.kill();
    assert!(!running.finish().status.success());
    life.code(137);
    assert_eq!(life.processes(), []);
    // A container that has ended takes no exec.
    assert!(!life.exec(["true"]).status.success());
}

#[test]
fn an_exec_writes_into_the_containers_log_by_pid_1s_stderr() {
    let Some(pod) = Pod::new() else { return };
    let life = pod.start(&stubborn("a").user(1000, 1000).hardened());
    life.exec([
        "sh",
        "-c",
        "echo from the hook >/proc/1/fd/2; echo lost >&2",
    ])
    .code(0);
    life.says("from the hook");
    assert!(!life.stderr().contains("lost"));
}

/// Waits for the pod's end, and returns the exit codes of one of its containers.
fn codes(play: &Play, name: &str) -> Vec<i32> {
    play.finish();
    play.codes(name)
}

#[test]
fn a_post_start_hook_holds_the_next_container_back() {
    let Some(pod) = Pod::new() else { return };
    let (go, wait) = (pod.volume().join("go"), until("go"));
    let play = pod.play(
        RestartPolicy::Never,
        [
            stubborn("proxy").post_start(["sh", "-c", &wait]),
            Container::new("app", ["true"]),
        ],
    );
    let proxy = play.life("proxy");
    proxy.process("sh");
    thread::sleep(Duration::from_millis(200));
    assert!(play.lives("app").is_empty());
    assert_eq!(play.phase(), Phase::Pending);
    let opened = Instant::now();
    fs::write(go, "").unwrap();
    assert!(play.life("app").started() >= opened);
    play.post_start("proxy").code(0);
    play.life("app").code(0);
    assert_eq!(play.phase(), Phase::Running);
    proxy.kill();
    assert_eq!(play.finish(), Phase::Failed);
}

#[test]
fn containers_without_hooks_start_in_the_order_of_the_list() {
    let Some(pod) = Pod::new() else { return };
    let names: Vec<String> = (0..8).map(|number| format!("c{number}")).collect();
    let play = pod.play(
        RestartPolicy::Never,
        names.iter().map(|name| Container::new(name, ["true"])),
    );
    assert_eq!(play.finish(), Phase::Succeeded);
    let starts: Vec<_> = names.iter().map(|name| play.life(name).started()).collect();
    assert!(starts.is_sorted());
}

#[test]
fn a_post_start_hook_that_fails_ends_its_container_and_the_next_one_starts() {
    let Some(pod) = Pod::new() else { return };
    let hook = ["sh", "-c", "echo went wrong >&2; exit 4"];
    let polite = format!("trap 'exit 6' TERM; touch {VOLUME}/up; {WAIT}");
    let play = pod.play(
        Rules {
            grace: Duration::from_secs(1),
            ..RestartPolicy::Never.into()
        },
        [
            Container::sh("polite", &polite).post_start([
                "sh",
                "-c",
                &format!("{}; exit 1", until("up")),
            ]),
            stubborn("ignores").post_start(hook),
            Container::new("app", ["true"]),
        ],
    );
    assert_eq!(play.finish(), Phase::Failed);
    assert_eq!(
        (
            play.codes("polite"),
            play.codes("ignores"),
            play.codes("app")
        ),
        (vec![6], vec![137], vec![0])
    );
    assert!(play.life("app").started() >= play.ends("ignores")[0].at);
    play.post_start("ignores").code(4).says("went wrong");
    // The output of a hook is not part of the container's output.
    assert_eq!(play.life("ignores").stderr(), "");
}

#[test]
fn a_process_that_a_hook_leaves_behind_dies_with_the_container() {
    let Some(pod) = Pod::new() else { return };
    let hook = format!("setsid flock {VOLUME}/lock sleep 100 </dev/null >/dev/null 2>&1 &");
    let play = pod.play(
        RestartPolicy::Never,
        [
            stubborn("proxy")
                .user(1000, 1000)
                .post_start(["sh", "-c", &hook]),
            stubborn("app").read_only_volume(),
        ],
    );
    let (proxy, app) = (play.life("proxy"), play.life("app"));
    play.post_start("proxy").code(0);
    proxy.process("flock");
    let test = [
        "flock",
        "--nonblock",
        "--shared",
        &format!("{VOLUME}/lock"),
        "true",
    ];
    eventually("the lock", || {
        (app.exec(test).status.code() == Some(1)).then_some(())
    });
    assert_eq!(names(&app.processes()), ["sleep"]);
    proxy.kill();
    proxy.code(137);
    assert_eq!(proxy.processes(), []);
    app.exec(test).code(0);
}

#[test]
fn delete_stops_all_at_once_and_kills_the_rest_after_the_grace_period() {
    let Some(pod) = Pod::new() else { return };
    let names = ["a", "b", "c"];
    let play = pod.play(
        RestartPolicy::Always,
        // The container that ignores SIGTERM is stopped first. If they were stopped one after the
        // other, the others would outlive it.
        [stubborn("ignores")]
            .into_iter()
            .chain(names.map(|name| Container::sh(name, &stops_with(0)))),
    );
    for name in names {
        play.life(name).prints("up");
    }
    let ignores = play.life("ignores");
    let begin = Instant::now();
    let grace = Duration::from_secs(2);
    play.delete(grace);
    assert_eq!(play.finish(), Phase::Failed);
    let killed = play.ends("ignores")[0];
    assert_eq!(killed.code, 137);
    assert!(killed.at.duration_since(begin) >= grace, "{play}");
    for name in names {
        assert_eq!(play.codes(name), [0]);
        assert!(play.ends(name)[0].at < killed.at, "{play}");
    }
    // Nothing is restarted, although the policy is Always.
    thread::sleep(Duration::from_millis(200));
    assert_eq!(names.map(|name| play.restarts(name)), [0; 3]);
    assert!(!ignores.is_running());
}

#[test]
fn a_pre_stop_hook_holds_back_the_signal_of_its_own_container_only() {
    let Some(pod) = Pod::new() else { return };
    let hook = format!("echo hooked; {}", until("gone"));
    let app = format!("trap 'sleep 0.2; touch {VOLUME}/gone; exit 0' TERM; echo up; {WAIT}");
    let proxy = format!("trap 'test -e {VOLUME}/gone; exit $?' TERM; echo up; {WAIT}");
    let play = pod.play(
        RestartPolicy::Never,
        [
            Container::sh("proxy", &proxy).pre_stop(["sh", "-c", &hook]),
            Container::sh("app", &app),
        ],
    );
    for name in ["proxy", "app"] {
        play.life(name).prints("up");
    }
    play.delete(LONG);
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    play.hooks("proxy", Hook::PreStop)[0]
        .code(0)
        .prints("hooked\n");
}

#[test]
fn a_pre_stop_hook_that_hangs_uses_up_the_grace_period() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        RestartPolicy::Never,
        [Container::sh("a", &stops_with(3)).pre_stop(["tail", "-f", "/dev/null"])],
    );
    play.life("a").prints("up");
    let (begin, grace) = (Instant::now(), Duration::from_secs(1));
    play.delete(grace);
    assert_eq!(codes(&play, "a"), [3]);
    assert!(play.ends("a")[0].at.duration_since(begin) >= grace);
    assert!(play.hooks("a", Hook::PreStop).is_empty());
}

#[test]
fn the_stop_signal_of_the_image_is_used() {
    let Some(pod) = Pod::new() else { return };
    let script = format!("trap 'exit 15' TERM; trap 'exit 3' QUIT; echo up; {WAIT}");
    let play = pod.play(
        RestartPolicy::Never,
        [Container::sh("a", &script).stop_signal(Signal::SIGQUIT)],
    );
    play.life("a").prints("up");
    play.delete(LONG);
    assert_eq!(codes(&play, "a"), [3]);
}

#[test]
fn a_deletion_waits_for_a_post_start_hook_that_runs() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        RestartPolicy::Never,
        [
            stubborn("a").post_start(["sh", "-c", &until("go")]),
            stubborn("b"),
        ],
    );
    play.life("a").process("sh");
    play.delete(Duration::ZERO);
    thread::sleep(Duration::from_millis(200));
    assert!(play.life("a").is_running());
    fs::write(pod.volume().join("go"), "").unwrap();
    assert_eq!(codes(&play, "a"), [137]);
    assert!(
        play.lives("b").is_empty(),
        "the next container is not started"
    );
}

/// Ends with these codes, one for each life. It counts its lives in the volume.
fn ends_with(name: &str, codes: &[i32]) -> Container {
    let codes: Vec<String> = codes.iter().map(i32::to_string).collect();
    let script = format!(
        "echo life >>{VOLUME}/{name}; set -- $(wc -l <{VOLUME}/{name}) {}; shift $1; exit $1",
        codes.join(" ")
    );
    Container::sh(name, &script)
}

#[test]
fn on_failure_restarts_a_failed_container() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        RestartPolicy::OnFailure,
        [ends_with("fails", &[1, 2, 0]), ends_with("works", &[0, 9])],
    );
    assert_eq!(play.finish(), Phase::Succeeded);
    // The count in the volume shows that the content of the volume survives the restarts.
    assert_eq!(
        (play.codes("fails"), play.restarts("fails")),
        (vec![1, 2, 0], 2)
    );
    assert_eq!((play.codes("works"), play.restarts("works")), (vec![0], 0));
    let lives = play.lives("fails");
    let back_off = Duration::from_millis(100);
    assert!(
        lives[1].started().duration_since(play.ends("fails")[0].at) >= back_off,
        "{play}"
    );
}

#[test]
fn never_restarts_nothing() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        RestartPolicy::Never,
        [ends_with("fails", &[1, 0]), stubborn("other")],
    );
    play.life("fails").code(1);
    play.life("other");
    thread::sleep(Duration::from_millis(300));
    assert_eq!((play.restarts("fails"), play.phase()), (0, Phase::Running));
    play.life("other").kill();
    assert_eq!(play.finish(), Phase::Failed);
}

#[test]
fn always_restarts_everything_with_its_hook_in_new_namespaces() {
    let Some(pod) = Pod::new() else { return };
    let hook = format!("echo hook >>{VOLUME}/hooks; setsid sleep 101 </dev/null >/dev/null 2>&1 &");
    let rules = Rules {
        back_off: Duration::from_millis(10),
        ..RestartPolicy::Always.into()
    };
    let play = pod.play(
        rules,
        [Container::sh("a", &stops_with(0)).post_start(["sh", "-c", &hook])],
    );
    let first = play.life("a");
    first.prints("up");
    play.post_start("a");
    first.signal(Signal::SIGTERM);
    first.code(0);
    let second = play.nth_life("a", 1);
    second.prints("up");
    eventually("the second hook", || {
        (play.hooks("a", Hook::PostStart).len() == 2).then_some(())
    });
    assert_eq!(
        fs::read_to_string(pod.volume().join("hooks")).unwrap(),
        "hook\nhook\n"
    );
    second.kill();
    let third = play.nth_life("a", 2);
    assert_eq!(play.codes("a"), [0, 137]);
    // Nothing of the earlier lives is in the third one.
    assert_eq!((first.processes(), second.processes()), (vec![], vec![]));
    assert!(third.is_running());
    assert_eq!(play.phase(), Phase::Running);
}

#[test]
fn dropping_a_container_leaves_no_process() {
    let Some(pod) = Pod::new() else { return };
    let life = pod.start(&Container::sh("a", "sleep 101 & sleep 102"));
    life.exec(["sh", "-c", "setsid sleep 103 </dev/null >/dev/null 2>&1 &"]);
    let namespace: Namespace = life.namespace();
    assert!(
        namespace.processes().len() >= 2,
        "the negative control: they are visible while they run"
    );
    drop(life);
    assert_eq!(namespace.processes(), []);
}

/// The mounts of this machine, without those that come and go by themselves, and without those of
/// the Docker that `make image` may run at the same time.
fn mounts_here() -> BTreeSet<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_ours = |line: &&str| line.contains("podgate") && !line.contains("/podgate-image.");
    mounts.lines().filter(is_ours).map(str::to_owned).collect()
}

#[test]
fn dropping_a_pod_leaves_nothing() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        RestartPolicy::Always,
        [stubborn("a"), Container::new("b", ["false"])],
    );
    let hung = pod.play(
        RestartPolicy::Always,
        [stubborn("c").post_start(["sleep", "101"])],
    );
    let life = pod.start(&stubborn("d"));
    let (volume, namespaces) = (
        pod.volume(),
        [&play.life("a"), &hung.life("c"), &life].map(|life| life.namespace()),
    );
    assert!(volume.is_dir());
    assert_eq!(
        mounts_here(),
        BTreeSet::new(),
        "nothing is mounted in the test's own namespace"
    );
    // The hardest order: the pod is dropped first, while everything runs.
    drop(pod);
    assert!(!volume.exists());
    for namespace in &namespaces {
        assert_eq!(namespace.processes(), []);
    }
    life.code(137);
    drop((play, hung));
}

#[test]
fn a_panic_leaves_nothing() {
    if Pod::new().is_none() {
        return;
    }
    let (send, receive) = std::sync::mpsc::channel();
    let panicked = thread::spawn(move || {
        let pod = Pod::new().unwrap();
        let play = pod.play(RestartPolicy::Always, [stubborn("a")]);
        send.send(play.life("a").namespace()).unwrap();
        panic!("on purpose");
    });
    let namespace = receive.recv().unwrap();
    assert!(panicked.join().is_err());
    assert_eq!(namespace.processes(), []);
}

/// Set where the test below runs [`holds_a_pod`] in another process.
const HOLD: &str = "HOLD_A_POD";

#[test]
fn holds_a_pod() {
    if std::env::var_os(HOLD).is_none() {
        return;
    }
    let pod = Pod::new().unwrap();
    let life = pod.start(&stubborn("a").user(NOBODY.0, NOBODY.1));
    println!("pid={} {}", life.pid(), pod.volume().display());
    thread::sleep(LONG);
}

#[test]
fn the_death_of_the_test_process_leaves_nothing() {
    if Pod::new().is_none() {
        return;
    }
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pod_harness::holds_a_pod", "--nocapture"])
        .env(HOLD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(test.stdout.take().unwrap()));
    let line = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("pid=").map(|(_, its)| its.to_owned()));
    let (pid, volume) = line.as_deref().unwrap().split_once(' ').unwrap();
    let namespace = format!("/proc/{pid}/ns/pid");
    let folder = std::path::Path::new(volume.split_once("/root").unwrap().1)
        .parent()
        .unwrap();
    assert!(folder.is_dir());
    let before = fs::metadata(&namespace).unwrap().ino();
    test.kill().unwrap();
    test.wait().unwrap();
    eventually("its end", || {
        fs::metadata(&namespace)
            .map_or(true, |its| its.ino() != before)
            .then_some(())
    });
    eventually("its folder to be gone", || (!folder.exists()).then_some(()));
}

#[test]
fn hundreds_of_containers_run_at_once() {
    let Some(pod) = Pod::new() else { return };
    let begin = Instant::now();
    let lives: Vec<Life> = (0..200)
        .map(|number| pod.start(&Container::new(&format!("c{number}"), ["sleep", "100"])))
        .collect();
    println!("{:?} a container", begin.elapsed() / 200);
    assert_eq!(
        lives.iter().map(Life::pid).collect::<BTreeSet<_>>().len(),
        200
    );
    for life in &lives {
        life.kill();
    }
    for life in &lives {
        life.code(137);
    }
}
