//! `podgate join`, called by a postStart hook, registers a container as a member although its
//! entrypoint is not podgate.

use crate::support::cast::{
    NEVER, comes, job, let_end, line, onlooker, podgate_in, record, rules, run, server,
};
use crate::support::kubelet::{Hook, Phase, RestartPolicy};
use crate::support::pod::{Container, IMAGE, Life, Pod, Process, VOLUME, words};
use crate::support::server::Server;
use crate::support::{Done, eventually};
use nix::sys::signal::{Signal, kill};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(15);
/// A user who owns no files.
const USER: u32 = 4321;

/// The command line of a hook that calls join.
fn hook(name: &str, options: &str) -> Vec<String> {
    let words = [IMAGE, "join", "--name", name]
        .into_iter()
        .chain(options.split_ascii_whitespace());
    words.map(str::to_owned).collect()
}

/// A container with an ordinary entrypoint and a hook that calls join.
fn joined(name: &str, options: &str, script: &str) -> Container {
    Container::sh(name, script).post_start(hook(name, options))
}

/// The background process that the hook started.
fn agent(life: &Life) -> Process {
    life.process("podgate")
}

fn join(life: &Life, name: &str, options: &str) -> Done {
    life.exec(hook(name, options))
}

#[test]
fn join_registers_before_it_returns() {
    for container in [
        Container::sh("main", &server(0)),
        Container::sh("main", &server(0))
            .user(USER, USER)
            .hardened()
            .read_only_root()
            .umask("0077"),
        Container::new(
            "main",
            [
                "python3",
                "-c",
                "print('up', flush=True)\nimport time\ntime.sleep(100)",
            ],
        ),
    ] {
        let Some(pod) = Pod::new() else { return };
        let main = pod.start(&container);
        main.prints("up");
        join(&main, "main", "--restart-policy never")
            .code(0)
            .says("main has joined")
            .within(LONG);
        let record = record(&pod, "main");
        assert!(
            record.contains("kind: join\nrestart-policy: never\n")
                && record.contains("state: ready\n"),
            "{record}"
        );
        // Any user can see the member.
        let onlooker = pod.start(&onlooker("o").user(USER + 1, USER + 1).read_only_volume());
        podgate_in(&onlooker, "check ready:main started:main").code(0);
        podgate_in(&onlooker, "check gone:main").code(1);
        main.kill();
        main.code(137);
        // The kernel releases the lock at once.
        podgate_in(&onlooker, "check gone:main").code(0);
        assert!(main.processes().is_empty());
    }
}

#[test]
fn readiness_is_published_when_the_server_is_ready() {
    let Some(pod) = Pod::new() else { return };
    let (server_, switch) = Server::switched();
    let main = pod.start(&Container::sh("main", &server(0)));
    let options = format!("--restart-policy never --ready {}", server_.url("/"));
    join(&main, "main", &options).code(0);
    assert_eq!(line(&pod, "main", "state").as_deref(), Some("running"));
    podgate_in(&main, "check ready:main")
        .code(1)
        .says("running, but not ready");
    switch.set(200);
    comes(&pod, "main", "ready");
}

#[test]
fn with_wait_the_hook_returns_when_the_container_is_ready() {
    let Some(pod) = Pod::new() else { return };
    let (server_, switch) = Server::switched();
    let options = format!("--restart-policy never --wait --ready {}", server_.url("/"));
    let play = pod.play(
        rules(NEVER),
        [
            joined("proxy", &options, &server(0)),
            run("app", "", &server(0)),
        ],
    );
    comes(&pod, "proxy", "running");
    eventually("attempts", || (server_.connections() > 3).then_some(()));
    assert!(play.lives("app").is_empty());
    switch.set(200);
    play.post_start("proxy").code(0);
    play.life("app").prints("up");
}

#[test]
fn wait_ends_at_its_timeout() {
    let Some(pod) = Pod::new() else { return };
    let options =
        format!("--restart-policy never --wait --timeout 300ms --ready file://{VOLUME}/no");
    let play = pod.play(rules(NEVER), [joined("proxy", &options, &server(0))]);
    play.post_start("proxy")
        .code(124)
        .says("gave up after 300ms");
    // The kubelet kills a container whose hook fails.
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
}

#[test]
fn a_hook_may_run_twice() {
    let Some(pod) = Pod::new() else { return };
    let main = pod.start(&Container::sh("main", &server(0)));
    join(&main, "main", "--restart-policy never").code(0);
    let (before, first) = (line(&pod, "main", "id"), agent(&main).pid);
    join(&main, "main", "--restart-policy never")
        .code(0)
        .says("has already joined");
    join(
        &main,
        "main",
        "--restart-policy never --wait -- echo hooked",
    )
    .code(0)
    .prints("hooked\n");
    assert_eq!(
        (line(&pod, "main", "id"), agent(&main).pid),
        (before, first)
    );
    // A second container cannot have the same name.
    let other = pod.start(&Container::sh("other", &server(0)));
    join(&other, "main", "--restart-policy never")
        .code(125)
        .says("another container of this pod is main")
        .within(LONG);
}

#[test]
fn a_restart_of_the_container_runs_the_hook_again() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(RestartPolicy::Always),
        [joined("main", "--restart-policy always", &server(0)).user(USER, USER)],
    );
    for incarnation in 1..=3 {
        let life = play.nth_life("main", incarnation - 1);
        life.prints("up");
        eventually("the incarnation", || {
            (line(&pod, "main", "incarnation")? == incarnation.to_string()
                && line(&pod, "main", "state")? == "ready")
                .then_some(())
        });
        eventually("the hook", || {
            (play.hooks("main", Hook::PostStart).len() == incarnation).then_some(())
        });
        if incarnation == 2 {
            life.kill()
        } else {
            life.signal(Signal::SIGTERM)
        }
    }
    assert!(
        play.hooks("main", Hook::PostStart)
            .iter()
            .all(|hook| hook.status.success()),
        "{play}"
    );
}

#[test]
fn the_command_of_the_hook_is_executed() {
    let Some(pod) = Pod::new() else { return };
    let main = pod.start(&Container::sh("main", &server(0)).env("GREETING", "hello you"));
    let script = "echo $#; printf '%s\\n' \"$@\" \"$GREETING\"; exit 7";
    let before = words(["--", "sh", "-c", script, "sh", "one two", "", "-n"]);
    let done = main.exec([hook("main", "--restart-policy never"), before].concat());
    done.code(7).prints("3\none two\n\n-n\nhello you\n");
    assert!(agent(&main).inside > 1);
    let done = main.exec(
        [
            hook("main", "--restart-policy never"),
            words(["--", "no-such-hook"]),
        ]
        .concat(),
    );
    done.code(127).says("no-such-hook");
    // The command is not a child of the agent, and has the usual signal mask and dispositions.
    let show = ["--", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"];
    let done = main.exec([hook("main", "--restart-policy never"), words(show)].concat());
    assert_eq!(done.stdout, main.exec(&show[1..]).stdout);
}

#[test]
fn the_background_process_keeps_nothing_of_the_hook() {
    let Some(pod) = Pod::new() else { return };
    let main = pod.start(
        &Container::sh("main", &server(0))
            .user(USER, USER)
            .hardened(),
    );
    // The hook has extra open descriptors, as runtimes and shells leave them.
    let script = format!(
        "exec 7</etc/passwd 8>&1; {}",
        hook("main", "--restart-policy never").join(" ")
    );
    main.exec(["sh", "-c", &script]).code(0);
    let agent = agent(&main);
    let link = |fd: &str| {
        fs::read_link(format!("/proc/{}/fd/{fd}", agent.pid))
            .unwrap()
            .display()
            .to_string()
    };
    let fds: Vec<String> = fs::read_dir(format!("/proc/{}/fd", agent.pid))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(["0", "1", "2"].map(link), ["/dev/null"; 3]);
    let open: Vec<String> = fds.iter().map(|fd| link(fd)).collect();
    assert!(
        open.iter().any(|file| file.ends_with("main.lock")),
        "{open:?}"
    );
    assert!(
        !open
            .iter()
            .any(|file| file.contains("passwd") || file.contains("output")),
        "{open:?}"
    );
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid)).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let (parent, session) = (fields[1], fields[3]);
    assert_eq!(
        (parent, session),
        (&*main.pid().to_string(), &*agent.pid.to_string()),
        "{stat}"
    );
    assert_eq!(
        fs::read_link(format!("/proc/{}/cwd", agent.pid))
            .unwrap()
            .to_str(),
        Some("/")
    );
}

#[test]
fn a_signal_to_all_processes_does_not_end_the_background_process() {
    let Some(pod) = Pod::new() else { return };
    // The broadcast also ends the `sleep` processes of this script.
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 100 & wait; done";
    let main = pod.start(&Container::sh("main", script));
    main.prints("up");
    join(&main, "main", "--restart-policy never").code(0);
    let agent = agent(&main);
    main.exec(["sh", "-c", "kill -HUP -1"]);
    main.exec(["sh", "-c", "kill -INT -1"]);
    main.exec(["sh", "-c", "kill -TERM -1"]);
    for signal in [
        Signal::SIGTERM,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGPIPE,
    ] {
        kill(agent.pid, signal).unwrap();
    }
    let onlooker = pod.start(&onlooker("o"));
    podgate_in(&onlooker, "check ready:main").code(0);
    assert_eq!(main.process("podgate").pid, agent.pid);
    // The background process does not delay the end of the container.
    main.signal(Signal::SIGTERM);
    main.code(0);
    podgate_in(&onlooker, "check gone:main").code(0);
}

#[test]
fn until_sends_the_stop_signal_to_pid_1() {
    for (options, signal) in [
        ("", "TERM"),
        ("--stop-signal QUIT", "QUIT"),
        ("--stop-signal USR1", "USR1"),
    ] {
        let Some(pod) = Pod::new() else { return };
        let script =
            format!("trap 'echo got {signal}; exit 0' {signal}; echo up; sleep 100 & wait");
        let options = format!("--restart-policy never --until main {options}");
        let proxy = joined("proxy", &options, &script)
            .user(USER, USER)
            .hardened();
        let play = pod.play(rules(NEVER), [proxy, run("main", "", &job("main", 0))]);
        play.life("proxy").prints("up");
        play.life("main").prints("up");
        let_end(&pod, "main");
        assert_eq!(play.finish(), Phase::Succeeded, "{play}");
        play.life("proxy").prints(&format!("got {signal}"));
        assert!(
            play.life("proxy")
                .stderr()
                .contains(&format!("sending SIG{signal} to PID 1")),
            "{play}"
        );
    }
}

#[test]
fn a_pid_1_that_ignores_the_stop_signal_is_reported() {
    for script in ["exec sleep 100", "trap '' TERM; echo up; sleep 100 & wait"] {
        let Some(pod) = Pod::new() else { return };
        let options = "--restart-policy never --until main --grace 400ms";
        let play = pod.play(
            rules(NEVER),
            [joined("proxy", options, script), run("main", "", "exit 0")],
        );
        let proxy = play.life("proxy");
        proxy.says(
            "PID 1 has not ended within 400ms of SIGTERM, and cannot be killed from inside its \
             container",
        );
        assert!(proxy.is_running());
        // The container stays a member while it lives.
        let onlooker = pod.start(&onlooker("o"));
        podgate_in(&onlooker, "check started:proxy").code(0);
    }
}

#[test]
fn a_request_to_quit_stops_pid_1() {
    let Some(pod) = Pod::new() else { return };
    let main = pod.start(&Container::sh("main", &server(5)).user(USER, USER));
    main.prints("up");
    join(&main, "main", "--restart-policy never").code(0);
    let onlooker = pod.start(&onlooker("o").user(USER + 1, USER));
    podgate_in(&onlooker, "quit member:main")
        .code(0)
        .says("has quit after");
    main.code(5);
}

#[test]
fn until_is_refused_in_a_shared_pid_namespace() {
    let Some(pod) = Pod::new() else { return };
    // The hook has another mount namespace than PID 1, as if PID 1 belonged to another container.
    let other = pod.start(&onlooker("pause"));
    let shared = |options: &str| {
        other.exec([words(["unshare", "--mount"]), hook("proxy", options)].concat())
    };
    let done = shared("--restart-policy never --until main");
    done.code(125)
        .says("PID 1 is not this container's own (shareProcessNamespace)");
    assert_eq!(record(&pod, "proxy"), "");
    // Without --until, join only registers the member.
    shared("--restart-policy never").code(0);
    assert!(other.is_running());
}

#[test]
fn a_hook_may_run_as_another_user_than_pid_1() {
    let Some(pod) = Pod::new() else { return };
    // The entrypoint switches to another user, as many do. The hook runs as the container's user,
    // root, and may send signals to it.
    let script = format!("exec setpriv --reuid={USER} --regid={USER} --clear-groups sh -c \"$0\"");
    let proxy = Container::new("proxy", ["sh", "-c", &script, &server(0)])
        .post_start(hook("proxy", "--restart-policy never --until main"));
    let play = pod.play(rules(NEVER), [proxy, run("main", "", &job("main", 0))]);
    play.life("proxy").prints("up");
    play.life("main").prints("up");
    let_end(&pod, "main");
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");

    // A hook that runs as another user may not send signals to PID 1.
    let Some(pod) = Pod::new() else { return };
    let proxy = pod.start(&Container::sh("proxy", &server(0)));
    proxy.prints("up");
    let log = format!("{VOLUME}/log");
    let become_user = [
        "setpriv",
        "--reuid=4321",
        "--regid=4321",
        "--clear-groups",
        "--",
    ];
    let as_user = |options: &str| {
        let options = format!("--restart-policy never --log-to {log} {options}");
        proxy.exec([words(become_user), hook("proxy", &options)].concat())
    };
    as_user("--until main").code(125);
    let text = fs::read_to_string(pod.volume().join("log")).unwrap();
    assert!(
        text.contains(
            "cannot join with --until: uid 4321 may not signal PID 1; run the hook as the same \
             user as PID 1"
        ),
        "{text}"
    );
    assert_eq!(record(&pod, "proxy"), "");
    // Without --until, join only registers the member. A request to quit fails, which is logged.
    as_user("").code(0);
    podgate_in(&proxy, "quit --timeout 300ms member:proxy").code(1);
    eventually("the log", || {
        let text = fs::read_to_string(pod.volume().join("log")).ok()?;
        text.contains("cannot send SIGTERM to PID 1: Operation not permitted")
            .then_some(())
    });
    assert!(proxy.is_running());
}

#[test]
fn wrong_options_are_refused_before_anything_is_done() {
    let Some(pod) = Pod::new() else { return };
    let main = pod.start(&onlooker("main"));
    for (options, says) in [
        ("", "--restart-policy"),
        ("--restart-policy auto", "--restart-policy"),
        (
            "--restart-policy never --outlive app",
            "does not work with join",
        ),
        ("--restart-policy never --dir none", "--dir none"),
        ("--restart-policy never --timeout 3s", "--wait"),
        ("--restart-policy never --after file:///", "--after"),
        ("--restart-policy never --needs app", "--needs"),
    ] {
        join(&main, "main", options).code(2).says(says);
    }
    let bare = pod.start(&onlooker("bare").no_volume());
    join(&bare, "main", "--restart-policy never")
        .code(125)
        .says("it does not exist; mount one emptyDir");
    let plain = pod.start(&onlooker("plain").plain_directory());
    join(&plain, "main", "--restart-policy never")
        .code(125)
        .says("it is not a volume but a directory");
    let reads = pod.start(&onlooker("reads").read_only_volume());
    join(&reads, "main", "--restart-policy never")
        .code(125)
        .says("mount the volume without readOnly");
    let files: Vec<_> = fs::read_dir(pod.volume()).unwrap().collect();
    assert!(files.is_empty(), "{files:?}");
}

/// How the main container of an unmodified pair ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Main {
    Exits(i32),
    Killed,
}

/// Plays a Job of two unmodified images. The main container ends when the test lets it.
fn job_of_two(
    pod: &Pod,
    kubelet: RestartPolicy,
    policy: &str,
    main: Main,
) -> Arc<crate::support::kubelet::Play> {
    let code = if let Main::Exits(code) = main {
        code
    } else {
        0
    };
    let options = format!("--restart-policy {policy}");
    // The next run of the container succeeds.
    let script = format!(
        "test -e {VOLUME}/went && exit 0; {}",
        job("main", code).replace("; exit", &format!("; touch {VOLUME}/went; exit"))
    );
    let proxy = joined("proxy", &format!("{options} --until main"), &server(0))
        .user(USER, USER)
        .hardened();
    let main_ = joined("main", &options, &script)
        .user(USER + 1, USER + 1)
        .hardened();
    let play = Arc::new(pod.play(rules(kubelet), [proxy, main_]));
    play.life("main").prints("up");
    play.life("proxy").prints("up");
    comes(pod, "main", "ready");
    match main {
        Main::Exits(_) => let_end(pod, "main"),
        Main::Killed => {
            fs::write(pod.volume().join("went"), "").unwrap();
            play.life("main").kill();
        }
    }
    play
}

#[test]
fn an_unmodified_job_completes_under_never() {
    for (main, phase) in [
        (Main::Exits(0), Phase::Succeeded),
        (Main::Exits(3), Phase::Failed),
        (Main::Killed, Phase::Failed),
    ] {
        let Some(pod) = Pod::new() else { return };
        let play = job_of_two(&pod, NEVER, "never", main);
        assert_eq!(play.finish(), phase, "{main:?}\n{play}");
        assert_eq!(play.codes("proxy"), [0], "{main:?}\n{play}");
        let proxy = play.life("proxy");
        proxy.prints("told");
        // Neither main's exit code nor that of the sidecar's own PID 1 can be known.
        proxy.says("main is done, with an exit code that is not known (it joined)");
        for word in ["success", "exit code will be"] {
            assert!(!proxy.stderr().contains(word), "{play}");
        }
    }
}

#[test]
fn an_unmodified_job_completes_under_on_failure() {
    for (main, codes) in [
        (Main::Exits(0), &[0][..]),
        (Main::Exits(3), &[3, 0]),
        (Main::Killed, &[137, 0]),
    ] {
        let Some(pod) = Pod::new() else { return };
        // The exit code is not known. The main counts as done because it does not come back.
        let play = job_of_two(
            &pod,
            RestartPolicy::OnFailure,
            "on-failure --linger 1500ms",
            main,
        );
        let begin = Instant::now();
        assert_eq!(play.finish(), Phase::Succeeded, "{main:?}\n{play}");
        assert_eq!(
            (play.codes("main"), play.codes("proxy")),
            (codes.to_vec(), vec![0]),
            "{main:?}\n{play}"
        );
        assert!(begin.elapsed() >= Duration::from_millis(1200), "{play}");
    }
}

#[test]
fn a_joined_main_and_a_sidecar_under_run() {
    for (code, policy) in [(0, "never"), (3, "never")] {
        let Some(pod) = Pod::new() else { return };
        let play = pod.play(
            rules(NEVER),
            [
                run("proxy", "--until main", &server(9)),
                joined(
                    "main",
                    &format!("--restart-policy {policy}"),
                    &job("main", code),
                ),
            ],
        );
        play.life("main").prints("up");
        comes(&pod, "main", "ready");
        let_end(&pod, "main");
        play.finish();
        // The exit code of a joined member is not known.
        assert_eq!(
            (play.codes("proxy"), play.codes("main")),
            (vec![0], vec![code]),
            "{play}"
        );
        assert!(
            play.life("proxy")
                .stderr()
                .contains("ended, and its exit code is not known"),
            "{play}"
        );
        play.life("proxy").says(
            "main is done, with an exit code that is not known (it joined): stopping the command \
             with SIGTERM; the exit code will be 0",
        );
    }
}

/// The kernel may give the mount namespace of a new container the number of the previous one while
/// the dying agent of the previous container still holds its lock.
#[test]
fn a_dying_agent_of_an_earlier_container_does_not_count_as_joined() {
    let Some(pod) = Pod::new() else { return };
    let main = pod.start(&Container::sh("main", &server(0)));
    join(&main, "main", "--restart-policy never").code(0);
    kill(agent(&main).pid, Signal::SIGKILL).unwrap();
    eventually("the agent's death", || {
        main.processes()
            .iter()
            .all(|it| it.name != "podgate")
            .then_some(())
    });
    // Hold the lock for as long as a process takes to die on a busy machine.
    let dying = main.start_exec([
        "python3",
        "-c",
        &format!(
            "import fcntl, struct, time
f = open('{VOLUME}/main.lock', 'r+')
fcntl.fcntl(f, 37, struct.pack('hhqqi', fcntl.F_WRLCK, 0, 0, 1, 0))
open('{VOLUME}/held', 'w').close()
time.sleep(0.2)"
        ),
    ]);
    eventually("the lock", || {
        pod.volume().join("held").exists().then_some(())
    });
    join(&main, "main", "--restart-policy never")
        .code(0)
        .says("main has joined")
        .says_not("already");
    dying.finish().code(0);
    assert_eq!(line(&pod, "main", "incarnation").as_deref(), Some("2"));
    agent(&main);
    // The negative control: a living agent is found, and its container does not join twice.
    join(&main, "main", "--restart-policy never")
        .code(0)
        .says("main has already joined");
}

#[test]
fn disabled_members_do_not_join_but_the_command_of_the_hook_runs() {
    let Some(pod) = Pod::new() else { return };
    let main = pod.start(&Container::sh("main", &server(0)).env("PODGATE_DISABLE", "members"));
    let done = main.exec(
        [
            hook("main", "--restart-policy never --wait"),
            words(["--", "echo", "hooked"]),
        ]
        .concat(),
    );
    done.code(0)
        .prints("hooked\n")
        .says("PODGATE_DISABLE is set");
    assert_eq!(record(&pod, "main"), "");
}
