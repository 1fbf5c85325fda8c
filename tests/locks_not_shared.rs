//! A volume that shares its files between containers and not their locks (P6.14): gVisor without
//! mount annotations, desktop and FUSE bind mounts. bindfs stands in for them: each container
//! mounts the same folder through a bindfs of its own, with its own table of locks.

use crate::support::cast::{onlooker, podgate_in, run, server, stubborn_server};
use crate::support::pod::{Access, Container, IMAGE, Life, Pod, VOLUME};
use crate::support::{Done, Folder, Program, eventually, inside, needs, program};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const WARNING: &str = "locks are not shared on \"/run/podgate\": main is alive (its socket \
                       exists), and its lock is free here";
const REMEDY: &str =
    "use an emptyDir with medium: Memory, and with gVisor also its mount annotations";
/// Longer than a contradiction must last to be reported.
const LASTS: Duration = Duration::from_millis(2_500);
/// The end of a socket is noticed by a poll of 100 ms. The rest is for a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// One folder, and mounts of it that share no locks.
struct Volume {
    pod: Pod,
    folder: Folder,
    mounted: Vec<(PathBuf, Program)>,
}

impl Volume {
    /// `None` where this machine has no bindfs or cannot make containers.
    fn new() -> Option<Self> {
        let bindfs = program("bindfs", &[]);
        let can_mount = bindfs.is_some() && Path::new("/dev/fuse").exists() && geteuid().is_root();
        if !needs("bindfs, /dev/fuse and root", can_mount) {
            return None;
        }
        let folder = Folder::new();
        fs::create_dir(folder.join("real")).unwrap();
        let mut mounted = Vec::new();
        for name in ["a", "b"] {
            let target = folder.join(name);
            fs::create_dir(&target).unwrap();
            let mut command = Command::new(bindfs.as_ref().unwrap());
            let server = Program::start(
                command
                    .args(["-f", "--perms=a+rwX"])
                    .args([&folder.join("real"), &target])
                    .stdout(Stdio::null()),
            );
            mounted.push((target, server));
        }
        fs::write(folder.join("real/mounted"), "").unwrap();
        for (target, _) in &mounted {
            eventually("bindfs", || target.join("mounted").exists().then_some(()));
        }
        fs::remove_file(folder.join("real/mounted")).unwrap();
        // Its namespace gets a copy of the mounts.
        let pod = Pod::new()?;
        Some(Self {
            pod,
            folder,
            mounted,
        })
    }

    /// Starts a container with the volume by this mount, `a` or `b`.
    fn start(&self, mount: &str, container: Container) -> Life {
        let source = self.folder.join(mount);
        let container = container.no_volume();
        self.pod
            .start(&container.mount(&source, VOLUME, Access::ReadWrite))
    }

    fn record(&self, name: &str) -> String {
        let path = self.folder.join(&format!("real/{name}.record"));
        fs::read_to_string(path).unwrap_or_default()
    }

    fn line(&self, name: &str, key: &str) -> Option<String> {
        let record = self.record(name);
        let of_key = |line: &str| {
            line.strip_prefix(key)?
                .strip_prefix(": ")
                .map(str::to_owned)
        };
        record.lines().find_map(of_key)
    }

    #[track_caller]
    fn comes(&self, name: &str, state: &str) {
        eventually(&format!("{name} to be {state}"), || {
            (self.line(name, "state").as_deref() == Some(state)).then_some(())
        });
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        for (target, _) in &self.mounted {
            let _ = Command::new("umount").arg("-l").arg(target).status();
        }
    }
}

/// A container that does nothing, in which podgate is executed.
fn observer(volume: &Volume) -> Life {
    volume.start("b", onlooker("o"))
}

/// Binds the socket of an incarnation, as a hostile neighbour may.
fn bind(id: &str) -> UnixDatagram {
    let name = format!("podgate.{id}");
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap()
}

#[test]
fn a_living_main_is_not_lost_although_its_lock_is_not_seen() {
    for (policy, end) in [("auto", 3), ("never", 0), ("on-failure", 3)] {
        let Some(volume) = Volume::new() else { return };
        let script = format!("until test -e {VOLUME}/go; do sleep 0.02; done; exit 3");
        let main = volume.start("a", run("main", "", &script));
        volume.comes("main", "ready");
        let options = format!("--until main --linger 10ms --restart-policy {policy}");
        let sidecar = volume.start("b", run("sidecar", &options, &server(0)));
        sidecar.says(WARNING);
        thread::sleep(Duration::from_millis(500));
        assert!(sidecar.is_running() && main.is_running(), "{sidecar}");
        fs::write(volume.folder.join("real/go"), "").unwrap();
        main.code(3);
        sidecar.code(end);
        let log = sidecar.stderr();
        assert_eq!(log.matches("locks are not shared").count(), 1, "{log}");
        assert!(log.contains(REMEDY), "{log}");
    }
}

#[test]
fn a_main_that_is_killed_is_lost_when_its_socket_is_gone() {
    let Some(volume) = Volume::new() else { return };
    let main = volume.start("a", run("main", "", &server(0)));
    volume.comes("main", "ready");
    let sidecar = volume.start("b", run("sidecar", "--until main", &server(0)));
    sidecar.prints("up");
    thread::sleep(LASTS);
    assert!(sidecar.is_running(), "{sidecar}");
    let killed = Instant::now();
    main.kill();
    sidecar.code(137);
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
}

#[test]
fn a_stop_is_held_back_while_the_other_lives_and_its_lock_is_not_seen() {
    let Some(volume) = Volume::new() else { return };
    let app = volume.start("a", run("app", "", &server(0)));
    volume.comes("app", "ready");
    let proxy = volume.start("b", run("proxy", "--outlive app", &server(0)));
    proxy.prints("up");
    proxy.signal(Signal::SIGTERM);
    proxy.says("holding SIGTERM back from the command until app has ended");
    thread::sleep(LASTS);
    assert!(proxy.is_running(), "{proxy}");
    app.kill();
    proxy.code(0);
}

#[test]
fn a_need_whose_lock_is_not_seen_is_lost_only_when_it_is_dead() {
    let Some(volume) = Volume::new() else { return };
    let proxy = volume.start("a", run("proxy", "", &server(0)));
    let main = volume.start("b", run("main", "--needs proxy", &server(0)));
    volume.comes("main", "ready");
    thread::sleep(LASTS);
    assert!(main.is_running(), "{main}");
    proxy.kill();
    main.code(69);
}

#[test]
fn a_name_whose_owner_lives_is_refused_although_its_lock_can_be_taken() {
    let Some(volume) = Volume::new() else { return };
    let main = volume.start("a", run("main", "", &server(0)));
    volume.comes("main", "ready");
    let before = volume.record("main");
    let start = Instant::now();
    let second = volume.start("b", run("main", "", "echo runs"));
    second.code(125);
    assert!(start.elapsed() >= Duration::from_secs(2));
    second.says("cannot take part as main: another container of this pod is main and is alive");
    second.says("although its lock is free here: locks are not shared between the containers");
    second.says(REMEDY);
    assert!(!second.stdout().contains("runs"), "{second}");
    // A call with wrong options must not publish its end in the place of the living main.
    volume
        .start("b", run("main", "--grace 1parsec", "true"))
        .code(2);
    assert_eq!(volume.record("main"), before, "unchanged");
    main.kill();
    main.code(137);
    volume.start("b", run("main", "", "exit 4")).code(4);
}

#[test]
fn a_name_is_free_again_while_its_last_owner_dies() {
    let Some(volume) = Volume::new() else { return };
    let main = volume.start("a", run("main", "", "sleep 1.5"));
    volume.comes("main", "ready");
    let ready = Instant::now();
    volume.start("b", run("main", "", "exit 4")).code(4);
    assert!(ready.elapsed() > Duration::from_secs(1), "one at a time");
    main.code(0);
}

#[test]
fn checks_see_a_member_whose_lock_is_not_seen() {
    let Some(volume) = Volume::new() else { return };
    let main = volume.start("a", run("main", "", &server(0)));
    volume.comes("main", "ready");
    let o = observer(&volume);
    podgate_in(&o, "check started:main ready:main").code(0);
    podgate_in(&o, "check gone:main")
        .code(1)
        .says("still alive, although its lock is free here: locks are not shared");
    podgate_in(&o, "check succeeded:main")
        .code(1)
        .says("still running");
    let wait = o.start_exec([IMAGE, "wait", "--timeout", "20s", "gone:main"]);
    thread::sleep(LASTS);
    let killed = Instant::now();
    main.kill();
    wait.finish().code(0);
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    podgate_in(&o, "check gone:main").code(0);
}

#[test]
fn a_quit_waits_for_the_end_of_a_member_whose_lock_is_not_seen() {
    let Some(volume) = Volume::new() else { return };
    // Its wrapper publishes the end, and then waits 2 s for a helper that does not quit.
    let _helper = volume.start("a", run("helper", "", &stubborn_server()));
    volume.comes("helper", "ready");
    let slow = "trap 'sleep 1; exit 0' TERM; sleep 100 & wait";
    let quits = "--quit member:helper --quit-timeout 2s --restart-policy never";
    let main = volume.start("a", run("main", quits, slow));
    volume.comes("main", "ready");
    let o = observer(&volume);
    podgate_in(&o, "quit --timeout 300ms member:main")
        .code(1)
        .says("is still alive");
    volume.comes("main", "exited");
    podgate_in(&o, "quit --timeout 20s member:main").code(0);
    // The kernel frees the signs of life a moment before the container has ended.
    let over = Instant::now() + Duration::from_millis(500);
    assert!(main.code(0).at <= over, "the quit ended before the member");
    podgate_in(&o, "quit member:main")
        .code(0)
        .says("already gone");
}

#[test]
fn status_shows_a_member_whose_lock_is_not_seen_as_alive() {
    let Some(volume) = Volume::new() else { return };
    let main = volume.start("a", run("main", "", &server(0)));
    volume.comes("main", "ready");
    let o = observer(&volume);
    let done = podgate_in(&o, "status");
    done.code(0).says(WARNING).says(REMEDY);
    let row = done.stdout.lines().nth(1).unwrap();
    assert!(row.starts_with("main  ready "), "{done}");
    assert!(row.ends_with("  yes, but its lock is not shared"), "{done}");
    let json = podgate_in(&o, "status --json").code(0).stdout.clone();
    let end = "\"exit_code\":null,\"alive\":true,\"lock_is_shared\":false}";
    assert!(
        json.contains("\"state\":\"ready\"") && json.contains(end),
        "{json}"
    );
    main.kill();
    main.code(137);
    let json = podgate_in(&o, "status --json").code(0).stdout.clone();
    assert!(json.contains("\"alive\":false}"), "{json}");
}

#[track_caller]
fn doctor(life: &Life, code: i32, says: &str) -> Done {
    let done = podgate_in(life, "doctor");
    done.code(code);
    assert!(done.stdout.contains(says), "no {says:?}\n{done}");
    done
}

#[test]
fn doctor_finds_out_in_a_pod_with_two_members_whether_locks_are_shared() {
    let Some(volume) = Volume::new() else { return };
    let unknown = "note  locks: no member of another container is alive";
    let not_shared = "WRONG locks: they are not shared on \"/run/podgate\": ";
    let main = volume.start("a", run("main", "", &server(0)));
    volume.comes("main", "ready");
    // A container sees its own lock. That proves nothing about two containers.
    doctor(&main, 0, unknown);
    let sidecar = volume.start("b", run("sidecar", "", &server(0)));
    volume.comes("sidecar", "ready");
    for (life, other) in [(&main, "sidecar"), (&sidecar, "main")] {
        let done = doctor(life, 1, &format!("{not_shared}{other} is alive"));
        assert!(done.stdout.contains(REMEDY), "{done}");
    }
    sidecar.kill();
    sidecar.code(137);
    doctor(&main, 0, unknown);
    // Both by one mount: the locks are shared.
    let near = volume.start("a", onlooker("near"));
    doctor(&near, 0, "ok    locks: they are shared with main");
}

#[test]
fn a_joined_member_is_seen_although_its_lock_is_not() {
    let Some(volume) = Volume::new() else { return };
    let app = volume.start("a", Container::sh("app", &server(0)));
    app.exec([IMAGE, "join", "--name", "main", "--restart-policy", "never"])
        .code(0);
    let sidecar = volume.start("b", run("sidecar", "--until main", &server(0)));
    sidecar.says(WARNING);
    assert!(sidecar.is_running(), "{sidecar}");
    // A hook that runs twice finds the member.
    app.exec([IMAGE, "join", "--name", "main", "--restart-policy", "never"])
        .code(0)
        .says("already");
    app.kill();
    sidecar.code(0);
}

#[test]
fn a_living_member_whose_record_disappears_is_not_lost() {
    let Some(volume) = Volume::new() else { return };
    let main = volume.start("a", run("main", "", &server(0)));
    volume.comes("main", "ready");
    let sidecar = volume.start("b", run("sidecar", "--until main", &server(0)));
    sidecar.says(WARNING);
    let path = volume.folder.join("real/main.record");
    for garbage in [None, Some("garbage")] {
        match garbage {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        thread::sleep(Duration::from_millis(500));
        assert!(sidecar.is_running(), "{sidecar}");
    }
    main.kill();
    sidecar.code(137);
}

#[test]
fn a_neighbour_with_the_socket_of_a_dead_member_causes_no_hang() {
    let Some(pod) = Pod::new() else { return };
    let main = pod.start(&run("main", "", &server(0)));
    let id = eventually("main", || {
        let record = fs::read_to_string(pod.volume().join("main.record")).ok()?;
        let line = record.lines().find_map(|line| line.strip_prefix("id: "));
        line.map(str::to_owned)
    });
    main.kill();
    main.code(137);
    let hostile = bind(&id);
    // The queue is full.
    let neighbour = UnixDatagram::unbound().unwrap();
    neighbour.set_nonblocking(true).unwrap();
    let address = hostile.local_addr().unwrap();
    while neighbour.send_to_addr(&[0; 9], &address).is_ok() {}
    // The dead member seems alive, and no more: the hold ends with its time.
    let o = pod.start(&onlooker("o"));
    podgate_in(&o, "wait --timeout 1s gone:main")
        .code(124)
        .within(SOON);
    let sidecar = pod.start(&run("sidecar", "--outlive main --grace 6s", &server(0)));
    sidecar.prints("up");
    sidecar.signal(Signal::SIGTERM);
    sidecar.code(0);
    pod.start(&run("main", "", "true")).code(125);
    drop(hostile);
    podgate_in(&o, "check gone:main").code(0);
    pod.start(&run("main", "", "true")).code(0);
}

#[test]
fn in_another_network_namespace_the_lock_decides() {
    let folder = Folder::new();
    let volume = folder.text("");
    let options = |name: &str| {
        ["run", "--name", name, "--dir", &volume, "--allow-plain-dir"].map(str::to_owned)
    };
    if !crate::support::namespaces() {
        return;
    }
    let with = |name: &str, more: &[&str], script: &str| {
        let more = more.iter().map(|word| (*word).to_owned());
        let cmd = ["--", "sh", "-c", script].map(str::to_owned);
        options(name)
            .into_iter()
            .chain(more)
            .chain(cmd)
            .collect::<Vec<_>>()
    };
    let main = inside(&["unshare", "--net"], with("main", &[], "sleep 100")).start();
    let record = folder.join("main.record");
    eventually("main", || {
        let text = fs::read_to_string(&record).ok()?;
        text.contains("state: ready").then_some(())
    });
    let sidecar = inside(&[], with("sidecar", &["--until", "main"], &server(0))).start();
    thread::sleep(Duration::from_millis(300));
    main.signal(Signal::SIGKILL);
    let done = sidecar.finish();
    done.code(137).says_not("locks are not shared");
}

#[test]
fn if_the_kernel_does_not_tell_of_sockets_the_lock_decides() {
    if !needs("strace", program("strace", &[]).is_some()) {
        return;
    }
    for fault in [
        "socket:error=EMFILE",
        "socket:error=EACCES",
        "bind:error=EADDRINUSE",
        "bind:error=ENOSYS",
        "connect:error=EPERM",
        "connect:error=ENOSYS",
        "connect:error=EINTR",
    ] {
        let folder = Folder::new();
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e"];
        let inject = format!("inject={fault}");
        let starter = [&strace[..], &[inject.as_str()]].concat();
        let start = |name: &str, more: &[&str], script: &str| {
            let volume = folder.text("");
            let options = ["run", "--name", name, "--dir", &volume, "--allow-plain-dir"];
            let cmd = ["--", "sh", "-c", script];
            inside(&starter, [&options[..], more, &cmd].concat()).start()
        };
        // strace lives as long as its last process.
        let nap = "echo up; exec sleep 100";
        let main = start("main", &[], nap);
        eventually("main", || main.stdout().contains("up").then_some(()));
        let sidecar = start("sidecar", &["--until", "main"], nap);
        eventually("a sidecar", || {
            sidecar.stdout().contains("up").then_some(())
        });
        nix::sys::signal::kill(main.podgate_pid(), Signal::SIGKILL).unwrap();
        let done = sidecar.finish();
        done.code(137).says_not("shared");
        done.says_not("socket");
    }
}

#[test]
fn where_locks_are_shared_the_death_of_a_member_is_no_contradiction() {
    let Some(pod) = Pod::new() else { return };
    for _ in 0..5 {
        let main = pod.start(&run("main", "", &server(0)));
        main.prints("up");
        let sidecar = pod.start(&run("sidecar", "--until main", &server(0)));
        sidecar.prints("up");
        let o = pod.start(&onlooker("o"));
        let doctor = podgate_in(&o, "doctor");
        doctor.code(0);
        let shared = "ok    locks: they are shared with main, sidecar";
        assert!(doctor.stdout.contains(shared), "{doctor}");
        main.kill();
        sidecar.code(137);
        let log = sidecar.stderr();
        assert!(!log.contains("not shared"), "{log}");
    }
}
