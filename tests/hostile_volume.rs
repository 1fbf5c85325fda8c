//! Faults of the shared volume cause no crash, no hang, and no exit code from a damaged record
//! (P6.4 to P6.9).
//!
//! Two things are not tested. Network and FUSE file systems (9p, NFS, virtiofs) need a server that
//! is not installed. Instead, a seccomp filter makes locks fail, and ramfs serves as a file system
//! that podgate does not trust to report all changes through inotify. The wall clock is not set
//! back either. Instead, the times in records are changed.

use crate::support::pod::{Access, Container, IMAGE, Life, Pod, VOLUME};
use crate::support::{Folder, PODGATE, eventually, inside, needs, output, podgate, program};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Long enough for a busy machine, and shorter than a wait that has no end.
const SOON: Duration = Duration::from_secs(12);

const NAP: &str = "trap 'exit 0' TERM; sleep 100 & wait";

fn run(name: &str, options: &[&str], script: &str) -> Container {
    let words = [
        &["run", "--name", name],
        options,
        &["--", "sh", "-c", script],
    ]
    .concat();
    Container::podgate(name, words)
}

fn sidecar() -> Container {
    run("sidecar", &["--until", "main", "--grace", "6s"], NAP)
}

fn status(life: &Life) -> String {
    let done = life.exec(["/run/image/podgate", "status"]);
    assert!(!done.stderr.contains("panicked"), "{done}");
    done.code(0).stdout.clone()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_directory_that_is_not_a_volume_is_refused() {
    let Some(pod) = Pod::new() else { return };
    let missing = pod.start(&run("main", &[], "true").no_volume());
    missing.code(125);
    missing.says("it does not exist; mount one emptyDir");
    let plain = pod.start(&run("main", &[], "true").plain_directory());
    plain.code(125);
    plain.says("it is not a volume but a directory of this container's own root file system");
    pod.start(&run("main", &["--allow-plain-dir"], "exit 3").plain_directory())
        .code(3);
    // A directory on the same device as /, bind-mounted there. It is a volume, because its mount id
    // differs.
    let folder = Folder::new();
    pod.start(&run("main", &[], "exit 4").no_volume().mount(
        folder.path(),
        VOLUME,
        Access::ReadWrite,
    ))
    .code(4);
    assert!(folder.join("main.record").exists());
    let file = pod.start(&run("main", &["--dir", "/etc/passwd"], "true"));
    file.code(125);
    file.says("it is not a directory");
}

#[test]
fn a_member_refuses_a_read_only_volume_and_an_observer_does_not() {
    let Some(pod) = Pod::new() else { return };
    let main = pod.start(&run("main", &[], NAP));
    let refused = pod.start(&run("other", &[], "true").read_only_volume());
    refused.code(125);
    refused.says("mount the volume without readOnly");
    let observer = pod.start(
        &Container::podgate("o", ["wait", "ready:main", "--timeout", "10s"]).read_only_volume(),
    );
    observer.code(0);
    let gone = pod.start(
        &Container::podgate("o", ["wait", "gone:main", "--timeout", "20s"]).read_only_volume(),
    );
    gone.says("still waiting");
    main.kill();
    main.code(137);
    gone.code(0);
}

#[test]
fn a_volume_that_is_full_before_the_start_is_refused() {
    for options in ["size=4k", "size=8k", "size=16k"] {
        let Some(pod) = Pod::with_volume(options) else {
            return;
        };
        let life = pod.start(&run("main", &[], "echo started"));
        life.code(125);
        life.says("the volume is full");
        assert_eq!(life.stdout(), "");
        assert!(
            files(&pod.volume())
                .iter()
                .all(|file| !file.contains(".next.")),
            "{:?}",
            files(&pod.volume())
        );
        // A member that waits for this one sees that it ended.
        let observer = pod.start(&Container::new("o", ["sleep", "100"]));
        let text = status(&observer);
        assert!(
            text.contains(if options == "size=4k" {
                "lost"
            } else {
                "exited"
            }),
            "{options}: {text}"
        );
    }
    let Some(pod) = Pod::with_volume("nr_inodes=3") else {
        return;
    };
    let life = pod.start(&run("main", &[], "echo started"));
    life.code(125);
    life.says("the volume is full");
    assert!(
        files(&pod.volume())
            .iter()
            .all(|file| !file.contains(".next."))
    );
}

#[test]
fn a_volume_that_becomes_full_loses_no_state() {
    let Some(pod) = Pod::with_volume("size=128k") else {
        return;
    };
    let sidecar = pod.start(&sidecar());
    let script = "echo up; until test -e /run/end; do sleep 0.01; done; exit 7";
    let main = pod.start(&run("main", &["--ready", "file:///run/go-ready"], script));
    main.prints("up");
    sidecar.says("main is running, but not ready");
    // Replacing a record frees some space, so the volume is filled again before each change of
    // state.
    let fill = |file: &str| {
        let write = [
            "dd",
            "if=/dev/zero",
            "bs=1k",
            &format!("of={VOLUME}/{file}"),
        ];
        main.exec(write).code(1).says("No space left");
    };
    fill("big");
    main.exec(["touch", "/run/go-ready"]).code(0);
    eventually("ready", || status(&sidecar).contains("ready").then_some(()));
    sidecar.says("main is ready");
    fill("more");
    main.exec(["touch", "/run/end"]).code(0);
    main.code(7);
    assert!(
        fs::read_to_string(pod.volume().join("main.record"))
            .unwrap()
            .contains("exit: 7\n")
    );
    sidecar.code(7);
}

type Plant = (&'static str, fn(&Path));

const PLANTS: &[Plant] = &[
    ("a fifo", |path| {
        output(Command::new("mkfifo").arg(path));
    }),
    ("a link to outside", |path| {
        symlink("/etc/passwd", path).unwrap()
    }),
    ("a dangling link", |path| symlink("/no/such", path).unwrap()),
    ("a link to itself", |path| {
        symlink(path.file_name().unwrap(), path).unwrap()
    }),
    ("a directory", |path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("x"), "").unwrap();
    }),
    ("a socket", |path| {
        // The path is too long for a sockaddr_un, so the socket is bound elsewhere and copied.
        let folder = Folder::new();
        drop(std::os::unix::net::UnixListener::bind(folder.join("s")).unwrap());
        output(Command::new("cp").arg("-a").arg(folder.join("s")).arg(path));
    }),
    ("a device", |path| {
        output(Command::new("mknod").arg(path).args(["c", "1", "5"]));
    }),
    ("garbage", |path| {
        fs::write(path, b"\xff\x00state: exited\nexit: 0\n").unwrap()
    }),
    ("an empty file", |path| fs::write(path, "").unwrap()),
    ("1 GiB", |path| {
        fs::File::create(path).unwrap().set_len(1 << 30).unwrap()
    }),
];

const KINDS: &[&str] = &[
    "lock",
    "record",
    "acted",
    "next.0123456789abcdef.0123456789abcdef",
    "quit.0123456789abcdef.1",
];

#[test]
fn files_planted_before_the_start_are_named_or_do_not_matter() {
    let Some(pod) = Pod::new() else { return };
    for (what, plant) in PLANTS {
        for kind in KINDS {
            let path = pod.volume().join(format!("main.{kind}"));
            plant(&path);
            let life = pod.start(&run("main", &[], "exit 3"));
            let end = life.finish();
            assert!(
                end.at.duration_since(life.started()) < SOON,
                "{what} as {kind}\n{life}"
            );
            assert!(!life.stderr().contains("panicked"), "{life}");
            let is_named = life.stderr().contains(&format!("main.{kind}"))
                || life.stderr().contains("main.record");
            assert!(
                end.code == 3 || (end.code == 125 && is_named),
                "{what} as {kind}\n{life}"
            );
            output(
                Command::new("sh")
                    .args(["-c", &format!("rm -rf {}/main.*", pod.volume().display())]),
            );
        }
    }
}

#[test]
fn a_sidecar_that_sees_garbage_stays_and_completes_with_the_real_main() {
    let Some(pod) = Pod::new() else { return };
    for (what, plant) in PLANTS {
        let path = pod.volume().join("main.record");
        plant(&path);
        let sidecar = pod.start(&sidecar());
        sidecar.says("main.record\" ");
        thread::sleep(Duration::from_millis(50));
        assert!(sidecar.is_running(), "{what}\n{sidecar}");
        assert!(status(&sidecar).contains("unknown"), "{what}");
        output(Command::new("rm").arg("-rf").arg(&path));
        pod.start(&run("main", &[], "exit 5")).code(5);
        assert_eq!(sidecar.finish().code, 5, "{what}\n{sidecar}");
        output(Command::new("sh").args(["-c", &format!("rm -rf {}/*", pod.volume().display())]));
    }
}

#[test]
fn files_planted_while_both_run_change_no_exit_code() {
    for (what, plant) in PLANTS {
        let Some(pod) = Pod::new() else { return };
        let sidecar = pod.start(&sidecar());
        let main = pod.start(&run("main", &[], NAP));
        sidecar.says("main is ready");
        let record = pod.volume().join("main.record");
        fs::remove_file(&record).unwrap();
        plant(&record);
        thread::sleep(Duration::from_millis(50));
        assert!(
            sidecar.is_running() && main.is_running(),
            "{what}\n{sidecar}{main}"
        );
        main.signal(Signal::SIGTERM);
        main.code(0);
        // podgate cannot overwrite some of these. What remains is not a valid record, and the free
        // lock shows that the member is dead.
        let code = sidecar.finish().code;
        let is_written = fs::read_to_string(&record).is_ok_and(|text| text.contains("exit: 0\n"));
        assert_eq!(
            code,
            // Under auto, an exit 0 after a stop signal from outside is a failure with 143.
            if is_written { 143 } else { 137 },
            "{what}\n{sidecar}{main}"
        );
    }
}

#[test]
fn a_lock_that_another_process_holds_is_waited_for_and_then_refused() {
    let Some(pod) = Pod::new() else { return };
    let lock = pod.volume().join("main.lock");
    fs::write(&lock, "").unwrap();
    let hold = |kind: &str, mode: &str| {
        format!(
            "import fcntl, struct, time\nf = open('{VOLUME}/main.lock', '{mode}')\n\
             fcntl.{kind}\nprint('held', flush=True)\ntime.sleep(100)"
        )
    };
    let exclusive = hold("lockf(f, fcntl.LOCK_EX)", "r+");
    let shared = hold("lockf(f, fcntl.LOCK_SH)", "r");
    for (container, is_refused) in [
        (Container::new("holds", ["python3", "-c", &exclusive]), true),
        (
            Container::new("holds", ["python3", "-c", &shared]).read_only_volume(),
            true,
        ),
        // podgate never looks at this other kind of lock.
        (
            Container::new(
                "holds",
                ["python3", "-c", &hold("flock(f, fcntl.LOCK_EX)", "r")],
            )
            .read_only_volume(),
            false,
        ),
    ] {
        let holder = pod.start(&container);
        holder.prints("held");
        let life = pod.start(&run("main", &[], "exit 3"));
        let end = life.code(if is_refused { 125 } else { 3 });
        let took = end.at.duration_since(life.started());
        assert!(
            took < SOON && (!is_refused || took >= Duration::from_secs(2)),
            "{took:?}\n{life}"
        );
        if is_refused {
            life.says("another container of this pod is main and is alive");
        }
        holder.kill();
        holder.finish();
    }
}

/// The record of a main that ended with 0.
fn ended(host: &str) -> String {
    format!(
        "podgate: 1\nname: main\nstate: exited\nexit: 0\nstage: ready\nincarnation: 1\n\
         id: 0123456789abcdef\nhost: {host}\n\
         container: 1\nuid: 0\nkind: run\nwaiting: 2099-01-01T00:00:00.000Z\n\
         exited: 1999-01-01T00:00:00.000Z\nmood: fine\n"
    )
}

#[test]
fn a_record_counts_with_any_times_but_not_from_another_pod_or_version() {
    let Some(pod) = Pod::new() else { return };
    let record = pod.volume().join("main.record");
    let here = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    // The times are impossible and one key is unknown. No decision depends on them.
    fs::write(&record, ended(here.trim())).unwrap();
    pod.start(&sidecar()).code(0);
    for (text, says) in [
        (
            ended("another-pod"),
            "is another pod's (host \"another-pod\"",
        ),
        (
            ended(here.trim()).replace("podgate: 1", "podgate: 2"),
            "is of version 2, newer than this podgate knows",
        ),
    ] {
        fs::write(&record, text).unwrap();
        let sidecar = pod.start(&sidecar());
        sidecar.says(says);
        thread::sleep(Duration::from_millis(100));
        assert!(sidecar.is_running(), "{sidecar}");
        pod.start(&run("main", &[], "exit 6")).code(6);
        sidecar.code(6);
    }
}

#[test]
fn a_name_of_another_user_is_refused_with_both_uids() {
    let Some(pod) = Pod::new() else { return };
    pod.start(&run("main", &[], "exit 0").user(1000, 1000))
        .code(0);
    let life = pod.start(&run("main", &[], "exit 0").user(2000, 2000).hardened());
    life.code(125);
    life.says("belongs to uid 1000, and this is uid 2000");
}

#[test]
fn a_sidecar_ends_although_the_volume_was_wiped() {
    for is_killed in [true, false] {
        let Some(pod) = Pod::new() else { return };
        let (sidecar, main) = (pod.start(&sidecar()), pod.start(&run("main", &[], NAP)));
        sidecar.says("main is ready");
        output(Command::new("sh").args(["-c", &format!("rm -rf {}/*", pod.volume().display())]));
        if is_killed {
            main.kill();
            main.code(137);
        } else {
            main.signal(Signal::SIGTERM);
            main.code(0);
        }
        let code = sidecar.finish().code;
        // Without a record and a lock, the exit code of a death is unknown. With a record, an exit
        // 0 after a stop signal from outside is a failure with 143.
        assert!(
            [143, 137].contains(&code) && !sidecar.stderr().contains("panicked"),
            "{sidecar}"
        );
    }
}

#[test]
fn ten_thousand_foreign_files_do_not_matter() {
    let Some(pod) = Pod::with_volume("size=64m") else {
        return;
    };
    for number in 0..10_000 {
        fs::write(pod.volume().join(format!("foreign-{number}.next.x")), "").unwrap();
    }
    let sidecar = pod.start(&sidecar());
    let main = pod.start(&run("main", &[], "exit 3"));
    let end = main.code(3);
    assert!(
        end.at.duration_since(main.started()) < Duration::from_secs(5),
        "{main}"
    );
    let after = sidecar.code(3).at;
    assert!(
        after.saturating_duration_since(end.at) < Duration::from_secs(5),
        "{sidecar}"
    );
}

#[test]
fn restarts_do_not_increase_the_number_of_files() {
    let folder = Folder::new();
    let dir = folder.path().to_str().unwrap();
    let mut most = 0;
    for round in 0..200_u64 {
        let words = [
            "run",
            "--dir",
            dir,
            "--allow-plain-dir",
            "--name",
            "main",
            "--",
            "sleep",
            "100",
        ];
        let running = podgate(words).start();
        thread::sleep(Duration::from_millis(round % 20));
        running.signal(Signal::SIGKILL);
        running.finish();
        most = most.max(files(folder.path()).len());
    }
    // The lock, the record, the spare files, and one file that was about to be written.
    assert!(most <= 8, "{most}: {:?}", files(folder.path()));
}

/// Runs `first`, then a doctor, a sidecar and a main in this directory. Returns their output.
fn ends_by_polling(starter: &[&str], dir: &str, first: &str) -> String {
    let script = format!(
        "{first} || exit 99
{PODGATE} doctor --dir {dir} --allow-plain-dir
{PODGATE} run --dir {dir} --allow-plain-dir --name sidecar --until main -- sleep 100 &
{PODGATE} run --dir {dir} --allow-plain-dir --name main -- sh -c 'sleep 0.5; exit 3'
date +main:%s%N; wait $!; echo code:$?; date +sidecar:%s%N"
    );
    let text = output(
        Command::new("unshare")
            .args(starter)
            .args(["sh", "-c", &script]),
    );
    assert!(text.contains("code:3"), "{text}");
    let at = |name: &str| -> u64 {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.parse().ok())
            .unwrap()
    };
    assert!(
        at("sidecar:").saturating_sub(at("main:")) < 3_000_000_000,
        "{text}"
    );
    text
}

#[test]
fn without_inotify_podgate_polls() {
    if !crate::support::namespaces() {
        return;
    }
    let folder = Folder::new();
    let dir = folder.path().to_str().unwrap();
    // A user namespace that allows no inotify instance.
    let none = "echo 0 >/proc/sys/user/max_inotify_instances";
    let text = ends_by_polling(&["--user", "--map-root-user"], dir, none);
    assert!(text.contains("inotify: not available"), "{text}");
    let folder = Folder::new();
    let dir = folder.path().to_str().unwrap();
    // A file system that podgate does not trust to report all changes through inotify.
    let text = ends_by_polling(&["--mount"], dir, &format!("mount -n -t ramfs ram {dir}"));
    assert!(
        text.contains("inotify: the volume's file system does not report all changes"),
        "{text}"
    );
}

#[test]
fn a_need_that_comes_between_two_polls_is_not_lost() {
    if !crate::support::namespaces() {
        return;
    }
    let folder = Folder::new();
    let dir = folder.path().to_str().unwrap();
    // The gate checks every few milliseconds, the life only ten times a second. So the gate is the
    // first to see that the sidecar is ready. That happened in only about every second run, so
    // eight pairs run at once.
    let script = format!(
        "echo 0 >/proc/sys/user/max_inotify_instances || exit 99
pids=
for i in 1 2 3 4 5 6 7 8; do
    mkdir {dir}/$i
    {PODGATE} run --dir {dir}/$i --allow-plain-dir --name main --needs proxy -- sleep 0.3 &
    pids=\"$pids $!\"
done
for i in 1 2 3 4 5 6 7 8; do until [ -e {dir}/$i/main.record ]; do sleep 0.01; done; done
for i in 1 2 3 4 5 6 7 8; do
    {PODGATE} run --dir {dir}/$i --allow-plain-dir --name proxy --until main -- sleep 100 &
done
for pid in $pids; do wait $pid; echo code:$?; done
wait"
    );
    let text =
        output(Command::new("unshare").args(["--user", "--map-root-user", "sh", "-c", &script]));
    assert_eq!(text.matches("code:0\n").count(), 8, "{text}");
}

#[test]
fn files_planted_under_a_sidecars_names_change_no_exit_code() {
    let Some(pod) = Pod::new() else { return };
    pod.start(&run("main", &[], "exit 3")).code(3);
    for (what, plant) in PLANTS {
        for kind in KINDS {
            let path = pod.volume().join(format!("sidecar.{kind}"));
            plant(&path);
            let life = pod.start(&sidecar());
            let end = life.finish();
            assert!(
                end.at.duration_since(life.started()) < SOON,
                "{what} as {kind}\n{life}"
            );
            let is_named = life.stderr().contains(&format!("sidecar.{kind}"))
                || life.stderr().contains("sidecar.record");
            assert!(
                end.code == 3 || (end.code == 125 && is_named),
                "{what} as {kind}\n{life}"
            );
            output(Command::new("sh").args([
                "-c",
                &format!("rm -rf {}/sidecar.*", pod.volume().display()),
            ]));
        }
    }
}

/// Runs a program for which OFD locks fail with this error, as on a file system without them:
/// `nolocks ERRNO PROGRAM…`.
const NO_LOCKS: &str = r#"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **words) {
    (void)count;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 37, 0, 1), /* F_OFD_SETLK */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | atoi(words[1])),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof code / sizeof *code, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) return 99;
    execv(words[2], words + 2);
    return 98;
}
"#;

#[test]
fn a_file_system_without_locks_is_refused() {
    if !needs("gcc", program("gcc", &[]).is_some()) {
        return;
    }
    let folder = Folder::new();
    let source = folder.file("nolocks.c", NO_LOCKS);
    let helper = folder.text("nolocks");
    output(Command::new("gcc").args(["-o", &helper, &source]));
    let volume = Folder::new();
    let call = [
        "run",
        "--name",
        "main",
        "--dir",
        volume.path().to_str().unwrap(),
        "--allow-plain-dir",
        "--",
        "echo",
        "ran",
    ];
    // ENOLCK (37) comes from NFS without a lock daemon, and EOPNOTSUPP (95) from file systems
    // without locks. 0 stands for a file system that reports success and keeps no lock.
    for (error, what) in [
        ("37", "cannot lock"),
        ("95", "cannot lock"),
        ("0", "keeps no locks"),
    ] {
        let done = inside(&[&helper, error], call).run();
        done.code(125)
            .says(what)
            .says("main.lock")
            .says("use an emptyDir")
            .prints("");
    }
    podgate(call).run().code(0).prints("ran\n");
}

#[test]
fn a_plain_directory_that_cannot_be_read_is_refused_too() {
    let Some(pod) = Pod::new() else { return };
    let script = format!(
        "mkdir -m 1733 /run/plain && exec setpriv --reuid 65534 --regid 65534 --clear-groups \
         {IMAGE} run --dir /run/plain --name m -- true"
    );
    let life = pod.start(&Container::sh("m", &script).plain_directory());
    life.code(125);
    assert!(life.stderr().contains("it is not a volume"), "{life}");
}
