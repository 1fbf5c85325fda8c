//! `reset` and `install --reset` in an init container: an old success does not count in a new round
//! (RestartAllContainers), and still counts in a new sandbox (P6.15).

use crate::support::kubelet::{Phase, Play, RestartPolicy, Role};
use crate::support::pod::{Container, IMAGE, Pod};
#[cfg(target_arch = "x86_64")]
use crate::support::tracer::{Fault, Point, Trace, Traced};
use crate::support::{
    Done, Folder, PODGATE, Podgate, Program, eventually, inside, namespaces, podgate,
};
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;

/// The IPC namespace of a pod, which lives as long as its sandbox.
struct Sandbox(Program);

impl Sandbox {
    /// A new one. `None` where this machine cannot make namespaces.
    fn new() -> Option<Self> {
        namespaces().then(|| {
            let child = Program::start(Command::new("unshare").args(["--ipc", "sleep", "1000"]));
            let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/ipc")).ok();
            let pid = child.pid().to_string();
            eventually("the namespace", || {
                (space(&pid) != space("self")).then_some(())
            });
            Self(child)
        })
    }

    fn enter(&self) -> Vec<String> {
        let ipc = format!("--ipc=/proc/{}/ns/ipc", self.0.pid());
        vec!["nsenter".to_owned(), ipc]
    }

    /// A podgate in it.
    fn podgate(&self, words: &[&str]) -> Podgate {
        let starter = self.enter();
        let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
        inside(&starter, words)
    }

    fn reset(&self, folder: &Folder) -> Done {
        let dir = folder.text("");
        let words = ["reset", "--dir", &dir, "--allow-plain-dir"];
        self.podgate(&words).run()
    }
}

/// A member that ends with this code.
fn member(folder: &Folder, name: &str, code: u8) {
    let (dir, script) = (folder.text(""), format!("exit {code}"));
    let words = [
        "run",
        "--name",
        name,
        "--dir",
        &dir,
        "--allow-plain-dir",
        "--",
        "sh",
        "-c",
    ];
    podgate(words.into_iter().chain([&*script]))
        .run()
        .code(code.into());
}

/// The exit code of `check succeeded:NAME`.
fn has_succeeded(folder: &Folder, name: &str) -> bool {
    let (dir, check) = (folder.text(""), format!("succeeded:{name}"));
    let done = podgate(["check", "--dir", &dir, "--allow-plain-dir", &check]).run();
    assert!(matches!(done.status.code(), Some(0 | 1)), "{done}");
    done.status.code() == Some(0)
}

fn exists(folder: &Folder, file: &str) -> bool {
    fs::symlink_metadata(folder.join(file)).is_ok()
}

fn line(folder: &Folder, file: &str, key: &str) -> String {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{key}: ")));
    value
        .unwrap_or_else(|| panic!("no {key} in {text}"))
        .to_owned()
}

#[test]
fn an_old_success_does_not_count_in_a_new_round() {
    let Some(sandbox) = Sandbox::new() else {
        return;
    };
    let folder = Folder::new();
    sandbox
        .reset(&folder)
        .code(0)
        .says("round 1 of this pod begins");
    member(&folder, "main", 0);
    assert!(has_succeeded(&folder, "main"));
    sandbox
        .reset(&folder)
        .code(0)
        .says("round 2 of this pod begins")
        .says("(main)");
    assert!(!has_succeeded(&folder, "main"));
    assert!(exists(&folder, "main.lock"), "lock files stay");
    assert!(!exists(&folder, "main.record"));
    sandbox
        .reset(&folder)
        .code(0)
        .says("round 2 of this pod continues");
}

#[test]
fn an_old_success_still_counts_in_a_new_sandbox() {
    let (Some(sandbox), Some(other)) = (Sandbox::new(), Sandbox::new()) else {
        return;
    };
    let folder = Folder::new();
    sandbox.reset(&folder).code(0);
    member(&folder, "main", 0);
    member(&folder, "failed", 3);
    other
        .reset(&folder)
        .code(0)
        .says("in a new sandbox: all records are kept");
    assert!(has_succeeded(&folder, "main"));
    // The kubelet starts the init container again, which may fail any number of times.
    for _ in 0..3 {
        other.reset(&folder).code(0).says("nothing is removed");
        assert!(has_succeeded(&folder, "main"));
    }
    // One more crash, before any container has started.
    let third = Sandbox::new().unwrap();
    third.reset(&folder).code(0).says("in a new sandbox");
    assert!(has_succeeded(&folder, "main"));
    // The failed one starts again, and then all containers do.
    member(&folder, "failed", 3);
    third
        .reset(&folder)
        .code(0)
        .says("round 2 of this pod begins");
    assert!(!has_succeeded(&folder, "main"));
    assert!(!exists(&folder, "failed.record"));
}

#[test]
fn the_first_reset_of_a_pod_changes_nothing_else() {
    let Some(sandbox) = Sandbox::new() else {
        return;
    };
    let folder = Folder::new();
    member(&folder, "main", 0);
    let record = fs::read(folder.join("main.record")).unwrap();
    sandbox.reset(&folder).code(0);
    assert_eq!(fs::read(folder.join("main.record")).unwrap(), record);
    let mode = fs::metadata(folder.join("round"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o644);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        3,
        "no copy is left"
    );
    assert_eq!(line(&folder, "round", "podgate"), "1");
    assert_eq!(line(&folder, "round", "round"), "1");
}

#[test]
fn a_new_round_removes_all_files_of_a_dead_member_except_its_lock() {
    let Some(sandbox) = Sandbox::new() else {
        return;
    };
    let folder = Folder::new();
    sandbox.reset(&folder).code(0);
    member(&folder, "main", 0);
    for file in [
        "main.acted",
        "main.next.0123456789abcdef.0123456789abcdef",
        "main.quit.0123456789abcdef.0123456789abcdef",
        "gone.quit.0123456789abcdef.0123456789abcdef",
    ] {
        folder.file(file, "");
    }
    // Files that are no member's stay.
    for file in ["main", "notes.txt", "UPPER.record", ".hidden", "main.else"] {
        folder.file(file, "");
    }
    sandbox.reset(&folder).code(0).says("(gone, main)");
    let mut left: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let expected = [
        ".hidden",
        "UPPER.record",
        "main",
        "main.else",
        "main.lock",
        "notes.txt",
        "round",
    ];
    assert_eq!(left, expected);
}

#[test]
fn a_living_member_is_kept_in_a_new_round() {
    let Some(sandbox) = Sandbox::new() else {
        return;
    };
    let folder = Folder::new();
    let dir = folder.text("");
    sandbox.reset(&folder).code(0);
    member(&folder, "main", 0);
    let words = [
        "run",
        "--name",
        "proxy",
        "--dir",
        &dir,
        "--allow-plain-dir",
        "--",
        "sleep",
        "99",
    ];
    let proxy = podgate(words).start();
    eventually("the proxy to run", || {
        let record = fs::read_to_string(folder.join("proxy.record")).ok()?;
        record.contains("state: ready").then_some(())
    });
    let done = sandbox.reset(&folder);
    done.code(0)
        .says("(main)")
        .says("kept, because alive: proxy");
    assert_eq!(line(&folder, "proxy.record", "state"), "ready");
    drop(proxy);
    sandbox
        .reset(&folder)
        .code(0)
        .says("round 3")
        .says("(proxy)");
    assert!(!exists(&folder, "proxy.record"));
}

#[test]
fn starts_are_counted_over_rounds_for_the_back_off_goes_on() {
    let Some(sandbox) = Sandbox::new() else {
        return;
    };
    let folder = Folder::new();
    sandbox.reset(&folder).code(0);
    for start in 1..=6 {
        member(&folder, "main", 3);
        assert_eq!(
            line(&folder, "main.record", "incarnation"),
            start.to_string()
        );
        if start % 2 == 0 {
            sandbox.reset(&folder).code(0).says("(main)");
            assert_eq!(line(&folder, "round", "starts-main"), start.to_string());
        }
    }
}

#[test]
fn a_round_of_another_pod_does_not_count() {
    let Some(sandbox) = Sandbox::new() else {
        return;
    };
    let folder = Folder::new();
    sandbox.reset(&folder).code(0);
    member(&folder, "main", 0);
    for file in ["round", "main.record"] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let host = line(&folder, file, "host");
        let text = text.replace(&format!("host: {host}"), "host: elsewhere");
        fs::write(folder.join(file), text + "starts-main: 70\n").unwrap();
    }
    sandbox
        .reset(&folder)
        .code(0)
        .says("round 1 of this pod begins");
    sandbox.reset(&folder).code(0).says("nothing is removed");
    assert!(exists(&folder, "main.record"), "it is another pod's");
    member(&folder, "main", 0);
    assert_eq!(line(&folder, "main.record", "incarnation"), "1");
}

#[test]
fn a_file_that_is_no_round_is_an_error_that_names_it() {
    let Some(sandbox) = Sandbox::new() else {
        return;
    };
    let folder = Folder::new();
    sandbox.reset(&folder).code(0);
    let good = fs::read_to_string(folder.join("round")).unwrap();
    member(&folder, "main", 0);
    let target = folder.file("target", &good);
    let path = folder.join("round");
    let is_refused = |cause: &str| {
        let done = sandbox.reset(&folder);
        done.code(125).says("/round\"").says(cause);
        assert!(has_succeeded(&folder, "main"), "nothing is removed");
        // A member takes part all the same.
        member(&folder, "other", 0);
        fs::remove_file(folder.join("other.record")).unwrap();
    };
    let newer = good.replacen("podgate: 1", "podgate: 2", 1);
    let cut = good.split_once("state").unwrap().0.to_owned();
    for (text, cause) in [
        ("\u{1F41A}", "does not begin with podgate:"),
        ("", "does not begin with podgate:"),
        (&*cut, "a line is missing or wrong"),
        (&*newer, "version 2"),
        (&*"x".repeat(70_000), "too long"),
    ] {
        fs::write(&path, text).unwrap();
        is_refused(cause);
    }
    fs::remove_file(&path).unwrap();
    symlink(target, &path).unwrap();
    is_refused("symbolic link");
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    is_refused("not a regular file");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    is_refused("not a regular file");
}

#[test]
fn members_of_other_users_are_removed_where_the_directory_lets_them() {
    let Some(sandbox) = Sandbox::new() else {
        return;
    };
    let folder = Folder::new();
    let binary = folder.text("copy");
    podgate(["install", &binary]).run().code(0);
    let volume = Folder::new();
    let dir = volume.text("");
    let as_other = || {
        let pid = sandbox.enter();
        let mut starter: Vec<&str> = pid.iter().map(String::as_str).collect();
        starter.extend([
            "setpriv",
            "--reuid=65532",
            "--regid=65532",
            "--clear-groups",
            &binary,
        ]);
        // podgate starts the installed copy of itself, which that user can read.
        let mut command = Command::new(starter[0]);
        crate::support::without_own_variables(&mut command);
        command
            .args(&starter[1..])
            .args(["reset", "--dir", &dir, "--allow-plain-dir"]);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    };
    for path in [folder.path(), volume.path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    assert_eq!(as_other().0, Some(0));
    for name in ["a", "main", "z"] {
        member(&volume, name, 0);
        chown(volume.join(&format!("{name}.record")), Some(1000), None).unwrap();
    }
    // A sticky directory of root: only the owner of a file may remove it.
    chown(volume.join("a.record"), Some(65532), None).unwrap();
    chown(volume.join("z.record"), Some(65532), None).unwrap();
    fs::set_permissions(volume.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    for _ in 0..2 {
        let (code, text) = as_other();
        assert_eq!(code, Some(125), "{text}");
        let cause = "main.record\" of uid 1000 as uid 65532: Operation not permitted";
        assert!(text.contains(cause), "{text}");
        assert!(text.contains("runAsUser: 1000"), "{text}");
    }
    fs::set_permissions(volume.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (code, text) = as_other();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("round 2"), "{text}");
    for name in ["a", "main", "z"] {
        assert!(!exists(&volume, &format!("{name}.record")));
    }
}

#[test]
fn install_resets_after_it_has_installed() {
    let Some(sandbox) = Sandbox::new() else {
        return;
    };
    let (folder, volume) = (Folder::new(), Folder::new());
    let (dest, dir) = (folder.text("podgate"), volume.text(""));
    let install = |dest: &str, dir: &str| {
        sandbox
            .podgate(&["install", dest, "--reset", dir, "--allow-plain-dir"])
            .run()
    };
    install(&dest, &dir)
        .code(0)
        .says("installed")
        .says("round 1");
    member(&volume, "main", 0);
    // A failed install resets nothing, and a failed reset fails the init container.
    install(&folder.text("no/folder"), &dir)
        .code(125)
        .says_not("round");
    assert!(has_succeeded(&volume, "main"));
    let done = install(&dest, &volume.text("nowhere"));
    done.code(125).says("installed").says("it does not exist");
    install(&dest, &dir).code(0).says("round 2").says("(main)");
    assert!(!has_succeeded(&volume, "main"));
    // The name of another file that resets is an option of install, and a variable.
    sandbox
        .podgate(&["install", &dest])
        .env("PODGATE_RESET", &dir)
        .env("PODGATE_ALLOW_PLAIN_DIR", "true")
        .run()
        .code(0)
        .says("nothing is removed");
    podgate(["install", &dest, "--allow-plain-dir"])
        .run()
        .code(2)
        .says("--allow-plain-dir is about --reset");
    podgate(["install", &dest, "--reset", "run"])
        .run()
        .code(2)
        .says("--reset \"run\"")
        .says("/run/podgate");
}

#[test]
fn a_directory_that_is_no_volume_is_not_reset() {
    let folder = Folder::new();
    let dir = folder.text("");
    if podgate(["check", "--dir", &dir, "gone:main"])
        .run()
        .status
        .code()
        == Some(0)
    {
        // The folder of the tests is on another mount than the root file system.
        return;
    }
    podgate(["reset", "--dir", &dir])
        .run()
        .code(125)
        .says("--allow-plain-dir");
    let dest = folder.text("podgate");
    let done = podgate(["install", &dest, "--reset", &dir]).run();
    done.code(125).says("--allow-plain-dir");
    assert!(!exists(&folder, "round"));
}

#[test]
fn disabled_members_are_not_reset() {
    let folder = Folder::new();
    let dir = folder.text("nowhere");
    for off in ["members", "all", "1"] {
        let reset = podgate(["reset", "--dir", &dir]).env("PODGATE_DISABLE", off);
        reset.run().code(0).says("not resetting");
    }
    let dest = folder.text("podgate");
    podgate(["install", &dest, "--reset", &dir])
        .env("PODGATE_DISABLE", "members")
        .run()
        .code(0)
        .says("installed")
        .says("not resetting");
    podgate(["reset", "--dir", &dir])
        .env("PODGATE_DISABLE", "gates")
        .run()
        .code(125);
    podgate(["reset", "--dir", "none"])
        .run()
        .code(2)
        .says("no members to reset");
}

/// A reset that is traced, with a fault at one of its system calls.
#[cfg(target_arch = "x86_64")]
fn traced(sandbox: &Sandbox, folder: &Folder, fault: Option<(Point, Fault)>) -> (Trace, i32) {
    let mut words = sandbox.enter();
    let dir = folder.text("");
    let own = [
        PODGATE,
        "reset",
        "--dir",
        &dir,
        "--allow-plain-dir",
        "--termination-log",
    ];
    words.extend(own.map(str::to_owned));
    words.push(folder.text("log.txt"));
    let stderr = fs::File::create(folder.join("stderr.txt")).unwrap();
    let mut traced = Traced::start(&words, PODGATE.as_ref(), stderr, fault.clone());
    let code = crate::support::eventually_or("its end", || traced.ended(), || format!("{fault:?}"));
    (traced.finish(), code)
}

/// A volume in the middle of a pod's life: its sandbox, and a member that succeeded in it.
#[cfg(target_arch = "x86_64")]
fn stage() -> Option<(Sandbox, Folder)> {
    let (sandbox, folder) = (Sandbox::new()?, Folder::new());
    sandbox.reset(&folder).code(0);
    member(&folder, "main", 0);
    member(&folder, "proxy", 3);
    Some((sandbox, folder))
}

/// The system calls that others can see, or that read what others have written. A kill between two
/// of them is the same as a kill at the second one.
#[cfg(target_arch = "x86_64")]
const OUTSIDE: &[i64] = {
    use nix::libc::{
        SYS_fchmod, SYS_fcntl, SYS_fstat, SYS_fsync, SYS_getdents64, SYS_lstat, SYS_newfstatat,
        SYS_open, SYS_openat, SYS_read, SYS_rename, SYS_semget, SYS_stat, SYS_statx, SYS_unlink,
        SYS_write,
    };
    &[
        SYS_fchmod,
        SYS_fcntl,
        SYS_fstat,
        SYS_fsync,
        SYS_getdents64,
        SYS_lstat,
        SYS_newfstatat,
        SYS_open,
        SYS_openat,
        SYS_read,
        SYS_rename,
        SYS_semget,
        SYS_stat,
        SYS_statx,
        SYS_unlink,
        SYS_write,
    ]
};

/// Strikes at every such system call of a reset, one after the other. `judge` gets the volume after
/// it, and the code.
#[cfg(target_arch = "x86_64")]
fn at_every_call(
    is_new_sandbox: bool,
    faults: &[Fault],
    judge: impl Fn(&Sandbox, &Folder, i32) -> bool,
) {
    let pod = |_: ()| {
        let (sandbox, folder) = stage()?;
        let sandbox = if is_new_sandbox {
            Sandbox::new()?
        } else {
            sandbox
        };
        Some((sandbox, folder))
    };
    let Some((sandbox, folder)) = pod(()) else {
        return;
    };
    let mut points = traced(&sandbox, &folder, None).0.calls;
    points.retain(|it| OUTSIDE.contains(&it.number));
    // The last one wakes the thread of the watchdog by an eventfd, which cannot fail.
    let writes = |it: &Point| it.number == nix::libc::SYS_write;
    points.remove(points.iter().rposition(writes).unwrap());
    assert!(points.len() > 40, "{} calls", points.len());
    let (mut struck, mut failed) = (0, 0);
    for (point, fault) in points
        .iter()
        .flat_map(|it| faults.iter().map(move |fault| (it, fault)))
    {
        let (sandbox, folder) = pod(()).unwrap();
        let (trace, code) = traced(&sandbox, &folder, Some((point.clone(), *fault)));
        struck += usize::from(trace.struck);
        let is_right = judge(&sandbox, &folder, code);
        failed += usize::from(code != 0);
        assert!(is_right, "{point:?} {fault:?}: {code}\n{}", show(&folder));
    }
    println!(
        "{} calls, {struck} struck, {failed} ended otherwise than with 0",
        points.len()
    );
    assert!(struck > 40, "{struck}");
}

#[cfg(target_arch = "x86_64")]
fn show(folder: &Folder) -> String {
    let files = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        format!("--- {:?}\n{text}", entry.file_name())
    });
    files.collect()
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_reset_that_is_killed_at_any_system_call_is_finished_by_the_next_one() {
    at_every_call(false, &[Fault::Death], |sandbox, folder, _| {
        sandbox.reset(folder).code(0);
        let left = |it: &str| exists(folder, it);
        let starts = ["main", "proxy"].map(|name| line(folder, "round", &format!("starts-{name}")));
        !left("main.record") && !left("proxy.record") && starts == ["1", "1"]
    });
    // It may also be killed, and the sandbox with it.
    at_every_call(false, &[Fault::Death], |_, folder, _| {
        let has_begun = line(folder, "round", "round") == "2";
        let other = Sandbox::new().unwrap();
        other.reset(folder).code(0);
        // Either the new round had begun, or this is a new sandbox.
        has_succeeded(folder, "main") != has_begun
    });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_reset_in_a_new_sandbox_that_is_killed_at_any_system_call_loses_no_success() {
    at_every_call(true, &[Fault::Death], |sandbox, folder, _| {
        sandbox.reset(folder).code(0);
        sandbox.reset(folder).code(0);
        has_succeeded(folder, "main") && exists(folder, "proxy.record")
    });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_reset_whose_system_call_fails_does_its_work_or_ends_with_125() {
    let faults = [Fault::Error(nix::errno::Errno::EIO)];
    at_every_call(false, &faults, |sandbox, folder, code| {
        // A reader of 0 may rely on it.
        let is_done = !exists(folder, "main.record");
        let was_right = code != 0 || is_done;
        sandbox.reset(folder).code(0);
        was_right && !exists(folder, "main.record")
    });
    at_every_call(true, &faults, |sandbox, folder, _| {
        sandbox.reset(folder).code(0);
        has_succeeded(folder, "main")
    });
}

/// A Job: main works when migrate has succeeded, until the test allows its end, and a sidecar ends
/// with `until`. migrate becomes a member after the others have started, as after a slow pull of
/// its image. `resets`: whether the init container resets the volume.
fn job(pod: &Pod, policy: RestartPolicy, until: &str, resets: bool) -> Play {
    let until = format!("--until={until}");
    let word = match policy {
        RestartPolicy::Never => "--restart-policy=never",
        RestartPolicy::OnFailure => "--restart-policy=on-failure",
        RestartPolicy::Always => "--restart-policy=always",
    };
    let work = "echo works; until test -e /run/podgate/go; do sleep 0.02; done; echo worked";
    let serve = "trap 'exit 0' TERM; echo serves; sleep 100 & wait";
    let migrate = format!("sleep 0.5; exec {IMAGE} run --name=migrate {word} -- echo migrated");
    let init = match resets {
        true => Container::podgate("init", ["reset"]),
        false => Container::sh("init", "exit 0"),
    };
    let main = [
        "run",
        "--name=main",
        word,
        "--after=succeeded:migrate",
        "--",
        "sh",
        "-c",
        work,
    ];
    let sidecar = [
        "run",
        "--name=sidecar",
        word,
        &until,
        "--",
        "sh",
        "-c",
        serve,
    ];
    let containers = [
        (Role::Init, init),
        (Role::Main, Container::podgate("main", main)),
        (Role::Main, Container::podgate("sidecar", sidecar)),
        (Role::Main, Container::sh("migrate", &migrate)),
    ];
    pod.play_all(policy, containers)
}

/// Starts a job, lets its migrate succeed and its main work.
fn working_job(policy: RestartPolicy, until: &str, resets: bool) -> Option<(Pod, Play)> {
    let pod = Pod::new()?;
    let play = job(&pod, policy, until, resets);
    play.life("main").prints("works");
    play.life("sidecar").prints("serves");
    eventually("the end of migrate", || {
        (play.codes("migrate") == [0]).then_some(())
    });
    Some((pod, play))
}

/// In the second round migrate takes its time before main may start.
#[test]
fn in_a_new_round_a_gate_waits_for_the_new_success() {
    for resets in [true, false] {
        let Some((pod, play)) = working_job(RestartPolicy::OnFailure, "main", resets) else {
            return;
        };
        play.restarts_all_containers();
        let main = play.nth_life("main", 1);
        let works = main.prints("works");
        let migrated = play.nth_life("migrate", 1).prints("migrated");
        if resets {
            assert!(migrated < works, "{play}");
        } else {
            assert!(
                works < migrated,
                "the control: the old success counts\n{play}"
            );
        }
        play.nth_life("sidecar", 1).prints("serves");
        fs::write(pod.volume().join("go"), "").unwrap();
        assert_eq!(play.finish(), Phase::Succeeded, "{play}");
        for name in ["migrate", "main", "sidecar"] {
            assert_eq!(play.lives(name).len(), 2, "{name}\n{play}");
        }
    }
}

#[test]
fn in_a_new_round_a_sidecar_serves_the_new_main_although_the_old_one_had_succeeded() {
    for policy in [RestartPolicy::Never, RestartPolicy::OnFailure] {
        // The sidecar of migrate has ended with it. migrate starts again, and so must its sidecar.
        for resets in [true, false] {
            let pod = Pod::new();
            let Some(pod) = pod else { return };
            let play = job(&pod, policy, "migrate", resets);
            play.life("main").prints("works");
            play.life("sidecar").code(0);
            play.restarts_all_containers();
            let sidecar = play.nth_life("sidecar", 1);
            sidecar.code(0);
            let is_told = sidecar.stderr().contains("done, with success");
            assert!(is_told, "{play}");
            let served = sidecar.stdout().contains("serves");
            let is_late = sidecar.stderr().contains("not started");
            assert_eq!((served, is_late), (resets, !resets), "{play}");
        }
    }
}

#[test]
fn in_a_new_sandbox_the_old_success_opens_the_gate_and_the_job_completes() {
    let Some((pod, play)) = working_job(RestartPolicy::OnFailure, "main", true) else {
        return;
    };
    play.gets_a_new_sandbox();
    play.nth_life("main", 1).prints("works");
    play.nth_life("sidecar", 1).prints("serves");
    fs::write(pod.volume().join("go"), "").unwrap();
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    assert_eq!(play.lives("migrate").len(), 1, "{play}");
    assert_eq!(play.codes("sidecar"), [137, 0], "{play}");
    assert_eq!(play.codes("init"), [0, 0], "{play}");
}

#[test]
fn after_a_new_sandbox_all_containers_may_still_start_again() {
    let Some((pod, play)) = working_job(RestartPolicy::OnFailure, "main", true) else {
        return;
    };
    play.gets_a_new_sandbox();
    play.nth_life("main", 1).prints("works");
    play.nth_life("sidecar", 1).prints("serves");
    play.restarts_all_containers();
    let works = play.nth_life("main", 2).prints("works");
    assert!(
        play.nth_life("migrate", 1).prints("migrated") < works,
        "{play}"
    );
    fs::write(pod.volume().join("go"), "").unwrap();
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    assert_eq!(play.codes("sidecar"), [137, 137, 0], "{play}");
}
