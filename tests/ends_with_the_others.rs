//! A container ends with the others: each row of the table of exit codes, under each restart
//! policy, with real containers.

use crate::support::cast::{
    NEVER, comes, goes_before, job, job_in_lives, let_end, line, onlooker, podgate_in, record,
    rules, run, server, slow_server, stubborn_server,
};
use crate::support::kubelet::{Phase, RestartPolicy};
use crate::support::pod::{Container, IMAGE, Life, Pod, VOLUME};
use crate::support::server::{Server, free_port};
use crate::support::{needs, program};
use nix::sys::signal::Signal;
use podgate::core::linger::Linger;
use std::fs;
use std::time::Duration;

/// Only a failing test takes this long.
const LONG: Duration = Duration::from_secs(15);
/// A `--linger` that is longer than the test.
const LINGERS: &str = "--restart-policy on-failure --linger 10m";

/// How a main container ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    With(i32),
    /// SIGKILL to the whole container.
    Lost,
}

impl Ends {
    fn code(self) -> i32 {
        match self {
            Self::With(code) => code,
            Self::Lost => 137,
        }
    }
}

/// Lets a job of [`job`] end that way.
fn end(pod: &Pod, main: &Life, ends: Ends) {
    main.prints("up");
    match ends {
        Ends::With(_) => let_end(pod, "main"),
        Ends::Lost => main.kill(),
    }
    main.code(ends.code());
}

/// Waits until all of them are up.
fn up<'a>(lives: impl IntoIterator<Item = &'a Life>) {
    for life in lives {
        life.prints("up");
    }
}

fn main_that(ends: Ends, options: &str) -> Container {
    run("main", options, &job("main", ends.code()))
}

#[test]
fn cmds_own_end_gives_the_code() {
    let Some(pod) = Pod::new() else { return };
    for (script, options, code) in [
        ("exit 0", "", 0),
        ("exit 3", "", 3),
        ("exit 255", "", 255),
        ("kill -9 $$", "", 137),
        ("kill -TERM $$", "", 143),
        ("kill -TERM $$", "--ok-exit 143", 0),
        ("exit 3", "--ok-exit 143 --ok-exit 3", 0),
        ("exit 4", "--until other", 4),
        ("exit 5", "--restart-policy never", 5),
    ] {
        let life = pod.start(&run("a", options, script));
        life.code(code);
        let told = (line(&pod, "a", "state"), line(&pod, "a", "exit"));
        assert_eq!(
            told,
            (Some("exited".to_owned()), Some(code.to_string())),
            "{script}\n{life}"
        );
    }
    assert_eq!(line(&pod, "a", "incarnation").as_deref(), Some("9"));
}

#[test]
fn when_nothing_is_restarted() {
    for (policy, ends, expected) in [
        ("auto", Ends::With(0), Some(0)),
        ("auto", Ends::With(3), Some(3)),
        ("auto", Ends::Lost, Some(137)),
        ("never", Ends::With(0), Some(0)),
        ("never", Ends::With(3), Some(0)),
        ("never", Ends::Lost, Some(0)),
        ("on-failure", Ends::With(0), Some(0)),
        ("on-failure", Ends::With(3), Some(3)),
        ("on-failure", Ends::Lost, Some(137)),
        ("always", Ends::With(0), None),
        ("always", Ends::With(3), None),
        ("always", Ends::Lost, None),
    ] {
        let Some(pod) = Pod::new() else { return };
        let what = format!("{policy}, main ends {ends:?}");
        let options = format!("--until main --linger 300ms --restart-policy {policy}");
        // The exit code of its command does not matter.
        let play = pod.play(
            rules(NEVER),
            [run("proxy", &options, &server(9)), main_that(ends, "")],
        );
        let proxy = play.life("proxy");
        proxy.prints("up");
        end(&pod, &play.life("main"), ends);
        proxy.says(if ends == Ends::Lost {
            "main was lost"
        } else {
            "main ended with exit code"
        });
        let Some(code) = expected else {
            assert_eq!(play.phase(), Phase::Running, "{what}\n{play}");
            // The proxy reported the end and did not act on it. It still handles its stop signal.
            proxy.signal(Signal::SIGTERM);
            proxy.code(9);
            continue;
        };
        let phase = play.finish();
        assert_eq!(play.codes("proxy"), [code], "{what}\n{play}");
        assert_eq!(
            line(&pod, "proxy", "exit"),
            Some(code.to_string()),
            "{what}"
        );
        let is_fine = ends == Ends::With(0);
        assert_eq!(
            phase,
            if is_fine {
                Phase::Succeeded
            } else {
                Phase::Failed
            },
            "{what}\n{play}"
        );
    }
}

#[test]
fn when_what_failed_is_restarted() {
    for (policy, proxy, says) in [
        // Both are restarted.
        ("auto", &[3, 0][..], "the exit code will be 3"),
        // The proxy stays through the failure.
        (LINGERS, &[0], "main ended with exit code 3"),
        // The wrong policy for this pod: the retry runs without a sidecar.
        ("never", &[0], "main is done, with exit code 3"),
    ] {
        let Some(pod) = Pod::new() else { return };
        let policy = policy.strip_prefix("--restart-policy ").unwrap_or(policy);
        let options = format!("--until main --restart-policy {policy}");
        let play = pod.play(
            rules(RestartPolicy::OnFailure),
            [
                run("proxy", &options, &server(9)),
                run("main", "", &job_in_lives("main", &[3, 0])),
            ],
        );
        assert_eq!(play.finish(), Phase::Succeeded, "{policy}\n{play}");
        assert_eq!(play.codes("main"), [3, 0], "{policy}\n{play}");
        assert_eq!(play.codes("proxy"), proxy, "{policy}\n{play}");
        assert!(
            play.lives("proxy")[0].stderr().contains(says),
            "{policy}\n{play}"
        );
    }
}

#[test]
fn a_main_that_is_killed_and_restarted_is_waited_for() {
    for (policy, proxy) in [("auto", &[137, 0][..]), ("on-failure --linger 10m", &[0])] {
        let Some(pod) = Pod::new() else { return };
        let options = format!("--until main --restart-policy {policy}");
        let play = pod.play(
            rules(RestartPolicy::OnFailure),
            [
                run("proxy", &options, &server(0)),
                main_that(Ends::With(0), ""),
            ],
        );
        play.life("proxy").prints("up");
        end(&pod, &play.nth_life("main", 0), Ends::Lost);
        play.nth_life("main", 1).prints("up");
        if proxy.len() > 1 {
            play.nth_life("proxy", 1).prints("up");
        }
        let_end(&pod, "main");
        assert_eq!(play.finish(), Phase::Succeeded, "{play}");
        assert_eq!(
            (play.codes("proxy"), play.codes("main")),
            (proxy.to_vec(), vec![137, 0]),
            "{play}"
        );
    }
}

#[test]
fn on_failure_stays_through_three_failures_and_ends_with_the_success() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(RestartPolicy::OnFailure),
        [
            run("proxy", &format!("--until main {LINGERS}"), &server(7)),
            run("main", "", &job_in_lives("main", &[1, 2, 3, 0])),
        ],
    );
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    assert_eq!(
        (play.codes("proxy"), play.codes("main")),
        (vec![0], vec![1, 2, 3, 0]),
        "{play}"
    );
    assert!(play.ends("proxy")[0].at >= play.ends("main")[2].at);
    assert_eq!(line(&pod, "main", "incarnation").as_deref(), Some("4"));
}

/// A main that exits 0 on SIGTERM in its first life, and by itself in its second.
fn polite_main(options: &str) -> Container {
    let script = format!(
        "echo life >>{VOLUME}/lives-main; test $(wc -l <{VOLUME}/lives-main) = 2 && exit 0; {}",
        server(0)
    );
    run("main", options, &script)
}

#[test]
fn a_main_that_a_liveness_probe_stops_and_that_exits_0_is_restarted_and_finds_its_sidecar() {
    for (policy, main_states, codes) in [
        ("on-failure", "", &[0][..]),
        ("auto", "--restart-policy on-failure", &[0]),
        ("auto", "", &[143, 0]),
    ] {
        let Some(pod) = Pod::new() else { return };
        let options = format!("--until main --restart-policy {policy}");
        let play = pod.play(
            rules(RestartPolicy::OnFailure),
            [run("proxy", &options, &server(0)), polite_main(main_states)],
        );
        play.life("proxy").prints("up");
        play.life("main").prints("up");
        comes(&pod, "main", "ready");
        play.fails_its_liveness_probe("main");
        play.life("main").code(0);
        play.nth_life("main", 1).code(0);
        assert_eq!(play.finish(), Phase::Succeeded, "{policy}\n{play}");
        assert_eq!(play.codes("proxy"), codes, "{policy} {main_states}\n{play}");
        play.nth_life("proxy", 0)
            .says("main ended with exit code 0 after a stop signal from outside");
    }
}

#[test]
fn a_main_that_was_stopped_and_does_not_come_back_is_done_with_success() {
    for (policy, codes) in [
        ("on-failure --linger 300ms", &[0][..]),
        ("auto --linger 300ms", &[143, 0]),
        ("never", &[0]),
    ] {
        let Some(pod) = Pod::new() else { return };
        let options = format!("--until main --restart-policy {policy}");
        let play = pod.play(
            rules(RestartPolicy::OnFailure),
            [run("proxy", &options, &server(0)), polite_main("")],
        );
        play.life("proxy").prints("up");
        play.life("main").prints("up");
        // The signal is not from a probe, so the kubelet does not start main again.
        play.life("main").signal(Signal::SIGTERM);
        assert_eq!(play.finish(), Phase::Succeeded, "{policy}\n{play}");
        assert_eq!(play.codes("main"), [0], "{policy}\n{play}");
        assert_eq!(play.codes("proxy"), codes, "{policy}\n{play}");
    }
}

#[test]
fn the_record_says_that_a_stop_signal_was_the_cause() {
    let Some(pod) = Pod::new() else { return };
    let a = pod.start(&run("a", "", &server(0)));
    a.prints("up");
    a.signal(Signal::SIGTERM);
    a.code(0);
    assert_eq!(line(&pod, "a", "cause").as_deref(), Some("stop-signal"));
    pod.start(&run("a", "", "exit 0")).code(0);
    assert_eq!(line(&pod, "a", "cause"), None);
}

#[test]
fn the_default_linger_is_longer_than_the_kubelets_back_off_before_each_restart() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(RestartPolicy::OnFailure),
        [
            run(
                "proxy",
                "--until main --restart-policy on-failure",
                &server(0),
            ),
            run("main", "", &job("main", 1)),
        ],
    );
    // The real lengths of the kubelet's back-off. The kubelet of the test has shorter ones.
    for (restarts, back_off) in (0_u64..).zip([0, 10, 20, 40, 80, 160, 300, 300]) {
        let life = play.nth_life("main", usize::try_from(restarts).unwrap());
        life.prints("up");
        let starts = line(&pod, "main", "incarnation").unwrap().parse().unwrap();
        let linger = Linger::Auto.after(Some(starts));
        assert_eq!(
            linger,
            Duration::from_secs(back_off + 60),
            "{starts} starts"
        );
        life.kill();
    }
    assert_eq!(play.restarts("proxy"), 0, "{play}");
    play.delete(LONG);
    play.finish();
}

#[test]
fn on_failure_gives_up_after_its_linger() {
    let Some(pod) = Pod::new() else { return };
    let proxy = pod.start(&run(
        "proxy",
        "--until main --restart-policy on-failure --linger 700ms",
        &server(0),
    ));
    let main = pod.start(&main_that(Ends::With(4), ""));
    proxy.prints("up");
    end(&pod, &main, Ends::With(4));
    let seen = proxy
        .says("main ended with exit code 4; waiting up to 700ms for it to come back (--linger)");
    let done = proxy.says("the exit code will be 4");
    proxy.code(4);
    assert!(
        done.duration_since(seen) >= Duration::from_millis(650),
        "{proxy}"
    );
}

#[test]
fn always_stays_whatever_happens() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(RestartPolicy::Always),
        [
            run("proxy", "--until main --restart-policy always", &server(0)),
            run("main", "", &job_in_lives("main", &[0, 1, 0])),
        ],
    );
    play.nth_life("main", 3);
    assert_eq!(play.restarts("proxy"), 0, "{play}");
    play.life("proxy").says(
        "main ended with exit code 0; under --restart-policy always --until does not end this \
         container",
    );
    play.delete(LONG);
    play.finish();
    assert_eq!(play.codes("proxy"), [0]);
}

#[test]
fn a_main_that_is_always_restarted_ends_by_its_own_policy() {
    for (policy, first) in [("auto", 3), ("never", 0), ("on-failure --linger 10m", 0)] {
        let Some(pod) = Pod::new() else { return };
        let options = format!("--until main --restart-policy {policy}");
        let play = pod.play(
            rules(RestartPolicy::Always),
            [
                run("proxy", &options, &server(9)),
                run("main", "", &job_in_lives("main", &[3, 0])),
            ],
        );
        play.nth_life("proxy", 1);
        assert_eq!(play.codes("proxy")[0], first, "{policy}\n{play}");
        assert_eq!(play.phase(), Phase::Running);
    }
    // A sidecar under `always` does not end with a main that states nothing else.
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(RestartPolicy::OnFailure),
        [
            run("proxy", "--until main --restart-policy always", &server(0)),
            run("main", "", &job_in_lives("main", &[3, 0])),
        ],
    );
    play.life("proxy").says("main ended with exit code 0");
    play.nth_life("main", 1).code(0);
    assert_eq!(
        (play.phase(), play.codes("main")),
        (Phase::Running, vec![3, 0]),
        "{play}"
    );
}

#[test]
fn the_policy_that_the_main_states_goes_before_the_sidecars() {
    for (main, proxy, code) in [
        ("--restart-policy never", "", 0),
        (
            "--restart-policy never",
            "--restart-policy on-failure --linger 10m",
            0,
        ),
        ("--restart-policy OnFailure", "--linger 100ms", 3),
    ] {
        let Some(pod) = Pod::new() else { return };
        let proxy = pod.start(&run("proxy", &format!("--until main {proxy}"), &server(8)));
        proxy.prints("up");
        end(
            &pod,
            &pod.start(&main_that(Ends::With(3), main)),
            Ends::With(3),
        );
        proxy.code(code);
    }
    let Some(pod) = Pod::new() else { return };
    let proxy = pod.start(&run(
        "proxy",
        "--until main --restart-policy never",
        &server(8),
    ));
    end(
        &pod,
        &pod.start(&main_that(Ends::With(0), "--restart-policy always")),
        Ends::With(0),
    );
    proxy.says("main ended with exit code 0");
    proxy.signal(Signal::SIGTERM);
    proxy.code(8);
}

#[test]
fn asked_to_quit() {
    let listen = format!("--listen 127.0.0.1:{}", free_port());
    for (options, code) in [
        ("", 6),
        ("--ready file:///", 6),
        ("--until absent", 0),
        ("--outlive absent", 0),
        ("--needs other", 6),
        (listen.as_str(), 0),
    ] {
        let Some(pod) = Pod::new() else { return };
        let other = pod.start(&run("other", "", &server(0)));
        comes(&pod, "other", "ready");
        let a = pod.start(&run("a", options, &server(6)));
        a.prints("up");
        let done = podgate_in(&other, "quit member:a");
        done.code(0).says("has quit after");
        a.says("asked to quit");
        a.code(code);
        assert_eq!(
            line(&pod, "a", "exit"),
            Some(code.to_string()),
            "{options}\n{a}"
        );
        // The request is removed.
        assert!(
            !files(&pod).iter().any(|file| file.contains(".quit.")),
            "{:?}",
            files(&pod)
        );
    }
}

fn files(pod: &Pod) -> Vec<String> {
    let names = fs::read_dir(pod.volume())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn a_quit_is_not_held_back() {
    let Some(pod) = Pod::new() else { return };
    // There is no hold, although the member to outlive is alive.
    let app = pod.start(&run("app", "", &server(0)));
    let proxy = pod.start(&run("proxy", "--outlive app", &server(0)));
    proxy.prints("up");
    comes(&pod, "app", "ready");
    podgate_in(&app, "quit member:proxy").code(0);
    proxy.code(0);
    assert!(app.is_running());
}

#[test]
fn sigterm_before_and_after_ready() {
    let ready = |pod: &Pod| fs::write(pod.volume().join("is-ready"), "").unwrap();
    let check = format!("--ready file://{VOLUME}/is-ready");
    for (options, is_ready, cmd, code) in [
        ("", true, 0, 0),
        ("", true, 5, 5),
        (check.as_str(), true, 0, 0),
        (check.as_str(), true, 5, 5),
        (check.as_str(), false, 0, 143),
        (check.as_str(), false, 5, 5),
    ] {
        let Some(pod) = Pod::new() else { return };
        let a = pod.start(&run("a", options, &server(cmd)));
        a.prints("up");
        comes(
            &pod,
            "a",
            if options.is_empty() {
                "ready"
            } else {
                "running"
            },
        );
        if is_ready {
            ready(&pod);
            comes(&pod, "a", "ready");
        }
        a.signal(Signal::SIGTERM);
        a.code(code);
        assert_eq!(
            line(&pod, "a", "exit"),
            Some(code.to_string()),
            "{options:?} {is_ready}\n{a}"
        );
    }
}

#[test]
fn a_main_that_is_stopped_before_it_is_ready_is_restarted() {
    let Some(pod) = Pod::new() else { return };
    let main = run(
        "main",
        &format!("--ready file://{VOLUME}/is-ready"),
        &server(0),
    );
    let play = pod.play(rules(RestartPolicy::OnFailure), [main]);
    let first = play.life("main");
    first.prints("up");
    comes(&pod, "main", "running");
    // This is what a failed liveness probe does.
    first.signal(Signal::SIGTERM);
    first.code(143);
    play.nth_life("main", 1).prints("up");
    fs::write(pod.volume().join("is-ready"), "").unwrap();
    comes(&pod, "main", "ready");
    play.nth_life("main", 1).signal(Signal::SIGTERM);
    assert_eq!(play.finish(), Phase::Succeeded);
    assert_eq!(play.codes("main"), [143, 0]);
}

#[test]
fn a_main_that_cannot_start_completes_the_sidecar() {
    let taken = Server::status(200);
    let listen = format!("--listen 127.0.0.1:{}", taken.port());
    let podgate =
        |words: &[&str]| Container::podgate("main", [&["run", "--name", "main"], words].concat());
    for (main, code, says) in [
        (
            podgate(&[
                "--after",
                "file:///no",
                "--after-timeout",
                "100ms",
                "--",
                "true",
            ]),
            124,
            "raise --after-timeout",
        ),
        (
            podgate(&["--needs", "db", "--after-timeout", "100ms", "--", "true"]),
            124,
            "ready:db",
        ),
        (podgate(&["--grace", "soon", "--", "true"]), 2, "--grace"),
        (podgate(&["--until", "Main!", "--", "true"]), 2, "--until"),
        (podgate(&[]), 2, "needs a command"),
        (
            podgate(&["--untill", "x", "--", "true"]),
            2,
            "did you mean --until?",
        ),
        (
            podgate(&["--grace", "--", "true"]),
            2,
            "--grace needs a value",
        ),
        (podgate(&["--quiet=yes", "--", "true"]), 2, "takes no value"),
        (
            podgate(&["--log-format", "xml", "--", "true"]),
            2,
            "--log-format",
        ),
        (
            podgate(&["--grace", "3s", "--grace", "4s", "--", "true"]),
            2,
            "given twice",
        ),
        (
            podgate(&["one-word", "--", "true"]),
            2,
            "unexpected argument \"one-word\"; put the command after `--`",
        ),
        (
            podgate(&["--dir=/run/podgate", "--ready", "db:5432", "--", "true"]),
            2,
            "tcp://db:5432",
        ),
        (
            podgate(&["--", "true"]).env("PODGATE_GRACE", "soon"),
            2,
            "PODGATE_GRACE",
        ),
        (podgate(&["--", "/etc/passwd"]), 126, "it is not executable"),
        (
            podgate(&["--", "no-such-program"]),
            127,
            "command not found",
        ),
        (
            podgate(&[
                listen.split_once(' ').unwrap().0,
                listen.split_once(' ').unwrap().1,
                "--",
                "true",
            ]),
            125,
            "listen",
        ),
    ] {
        let Some(pod) = Pod::new() else { return };
        let play = pod.play(
            rules(NEVER),
            [run("proxy", "--until main", &server(0)), main],
        );
        assert_eq!(play.finish(), Phase::Failed, "{play}");
        assert_eq!(
            (play.codes("main"), play.codes("proxy")),
            (vec![code], vec![code]),
            "{says}\n{play}"
        );
        assert!(play.life("main").stderr().contains(says), "{says}\n{play}");
        assert_eq!(line(&pod, "main", "exit"), Some(code.to_string()), "{play}");
    }
}

#[test]
fn sigterm_while_it_waits_ends_it_with_143() {
    let Some(pod) = Pod::new() else { return };
    let proxy = pod.start(&run("proxy", "--until main", &server(0)));
    let main = pod.start(&run(
        "main",
        &format!("--after file://{VOLUME}/no"),
        "echo started",
    ));
    proxy.prints("up");
    comes(&pod, "main", "waiting");
    main.says("waiting for ");
    main.signal(Signal::SIGTERM);
    main.code(143);
    assert_eq!(main.stdout(), "");
    assert_eq!(line(&pod, "main", "exit").as_deref(), Some("143"));
    proxy.code(143);
}

#[test]
fn a_quit_while_it_waits() {
    for (options, code) in [("", 143), ("--outlive proxy", 0)] {
        let Some(pod) = Pod::new() else { return };
        let proxy = pod.start(&run("proxy", "", &server(0)));
        proxy.prints("up");
        let main = pod.start(&run(
            "main",
            &format!("--after file://{VOLUME}/no {options}"),
            "echo started",
        ));
        comes(&pod, "main", "waiting");
        podgate_in(&proxy, "quit member:main").code(0);
        main.code(code);
        main.says("while waiting for \"file:///run/podgate/no\": ");
        let said = main.stderr();
        assert!(
            said.contains("asked to quit after ") && said.contains("; the command is not started"),
            "{main}"
        );
        assert_eq!(main.stdout(), "");
    }
}

#[test]
fn a_completion_before_the_gate_opens_does_not_start_the_command() {
    let Some(pod) = Pod::new() else { return };
    pod.start(&run("main", "", "exit 3")).code(3);
    let proxy = pod.start(&run(
        "proxy",
        &format!("--until main --after file://{VOLUME}/no"),
        "echo started",
    ));
    proxy.code(3);
    proxy.says(
        "main is done, with exit code 3: the command is not started; the exit code will be 3",
    );
    assert_eq!(proxy.stdout(), "");
}

#[test]
fn a_quit_between_the_first_record_and_the_watch_is_not_lost() {
    if !needs("strace", program("strace", &[]).is_some()) {
        return;
    }
    let Some(pod) = Pod::new() else { return };
    let proxy = pod.start(&onlooker("proxy"));
    // The watch begins half a second after the record is written.
    let slow = "exec strace -f -qq -o /dev/null -e trace=inotify_init1 \
                -e inject=inotify_init1:delay_enter=500000";
    let main = format!("{slow} {IMAGE} run --name main --after file://{VOLUME}/no -- true");
    let main = pod.start(&Container::sh("main", &main));
    comes(&pod, "main", "waiting");
    podgate_in(&proxy, "quit member:main").code(0);
    main.code(143);
}

#[test]
fn a_need_that_is_lost_stops_cmd_with_69() {
    for is_lost in [true, false] {
        let Some(pod) = Pod::new() else { return };
        let proxy = pod.start(&run("proxy", "", &server(0)));
        let main = pod.start(&run("main", "--needs proxy", &slow_server(0, 0.1)));
        main.prints("up");
        if is_lost {
            proxy.kill()
        } else {
            proxy.signal(Signal::SIGTERM)
        }
        main.says("proxy has ended, and the command needs it (--needs)");
        main.code(69);
        assert_eq!(main.stdout(), "up\ntold\nended\n");
        assert_eq!(line(&pod, "main", "exit").as_deref(), Some("69"));
    }
}

#[test]
fn a_need_that_is_gone_before_the_gate_opens_keeps_cmd_from_starting() {
    let Some(pod) = Pod::new() else { return };
    let proxy = pod.start(&run("proxy", "", &server(0)));
    let main = pod.start(&run(
        "main",
        &format!("--needs proxy --after file://{VOLUME}/go"),
        "echo started",
    ));
    main.says("\"ready:proxy\" passed");
    proxy.signal(Signal::SIGTERM);
    proxy.code(0);
    main.says("proxy ended with exit code 0");
    assert!(main.is_running(), "the gate still waits: {main}");
    fs::write(pod.volume().join("go"), "").unwrap();
    main.code(69);
    main.says("the command is not started: exit code 69");
    assert_eq!(main.stdout(), "");
    assert_eq!(line(&pod, "main", "exit").as_deref(), Some("69"));
}

#[test]
fn a_need_is_waited_for() {
    let Some(pod) = Pod::new() else { return };
    let main = pod.start(&run("main", "--needs proxy", "echo started"));
    comes(&pod, "main", "waiting");
    let proxy = pod.start(&run(
        "proxy",
        &format!("--ready file://{VOLUME}/is-ready"),
        &server(0),
    ));
    proxy.prints("up");
    comes(&pod, "proxy", "running");
    assert_eq!(main.stdout(), "");
    fs::write(pod.volume().join("is-ready"), "").unwrap();
    main.code(0);
    assert_eq!(main.stdout(), "started\n");
}

#[test]
fn the_normal_pair_has_no_cycle() {
    for (code, phase) in [(0, Phase::Succeeded), (3, Phase::Failed)] {
        let Some(pod) = Pod::new() else { return };
        let ends = Ends::With(code);
        // The main starts first, and waits for the other.
        let play = pod.play(
            rules(NEVER),
            [
                main_that(ends, "--needs proxy"),
                run("proxy", "--until main", &slow_server(0, 0.1)),
            ],
        );
        end(&pod, &play.life("main"), ends);
        assert_eq!(play.finish(), phase, "{play}");
        assert_eq!(
            (play.codes("main"), play.codes("proxy")),
            (vec![code], vec![code]),
            "{play}"
        );
    }
    // When the sidecar dies under OnFailure, the main ends with 69 and both come back.
    let Some(pod) = Pod::new() else { return };
    let main = main_that(Ends::With(0), "--needs proxy");
    let play = pod.play(
        rules(RestartPolicy::OnFailure),
        [
            main,
            run("proxy", &format!("--until main {LINGERS}"), &server(0)),
        ],
    );
    play.life("main").prints("up");
    play.life("proxy").kill();
    play.nth_life("main", 0).code(69);
    play.nth_life("main", 1).prints("up");
    let_end(&pod, "main");
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    assert_eq!(
        (play.codes("main"), play.codes("proxy")),
        (vec![69, 0], vec![137, 0]),
        "{play}"
    );
}

#[test]
fn the_normal_pair_is_deleted_in_its_order() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(NEVER),
        [
            run("main", "--needs proxy", &slow_server(0, 0.3)),
            run(
                "proxy",
                "--until main --grace 20s --stop-margin 1s",
                &server(0),
            ),
        ],
    );
    play.life("main").prints("up");
    comes(&pod, "main", "ready");
    play.delete(LONG);
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    goes_before(&pod, "main", "proxy");
}

#[test]
fn a_need_that_never_came_is_not_lost_if_cmd_runs_without_it() {
    let Some(pod) = Pod::new() else { return };
    let main = pod.start(&run(
        "main",
        "--needs proxy --after-timeout 100ms --on-timeout run",
        &server(0),
    ));
    main.prints("up");
    // A need that has come can be lost.
    let proxy = pod.start(&run("proxy", "", &server(0)));
    main.says("proxy is ready");
    proxy.prints("up");
    proxy.signal(Signal::SIGTERM);
    proxy.code(0);
    main.code(69);
    // A need that never comes changes nothing.
    fs::remove_file(pod.volume().join("proxy.record")).unwrap();
    let main = pod.start(&run(
        "main",
        "--needs proxy --after-timeout 100ms --on-timeout run",
        &job("main", 3),
    ));
    main.prints("up");
    comes(&pod, "main", "ready");
    let_end(&pod, "main");
    main.code(3);
}

#[test]
fn a_sidecar_that_still_waits_completes_too() {
    for code in [0, 3] {
        let Some(pod) = Pod::new() else { return };
        let proxy = pod.start(&run(
            "proxy",
            &format!("--until main --after file://{VOLUME}/no"),
            "echo started",
        ));
        comes(&pod, "proxy", "waiting");
        pod.start(&run("main", "", &format!("exit {code}")))
            .code(code);
        proxy.code(code);
        assert_eq!(proxy.stdout(), "");
    }
}

#[test]
fn all_mains_have_to_be_done() {
    for ([a, b], code) in [([0, 0], 0), ([0, 4], 4), ([3, 0], 3), ([3, 4], 3)] {
        let Some(pod) = Pod::new() else { return };
        let proxy = pod.start(&run("proxy", "--until a --until b", &server(0)));
        let mains =
            [("a", a), ("b", b)].map(|(name, code)| pod.start(&run(name, "", &job(name, code))));
        up(&mains);
        // The exit code is that of the member that is named first, not of the one that ended first.
        let_end(&pod, "b");
        mains[1].code(b);
        proxy.says(&format!("b ended with exit code {b}"));
        assert!(proxy.is_running() && line(&pod, "proxy", "state").as_deref() == Some("ready"));
        let_end(&pod, "a");
        proxy.code(code);
    }
}

#[test]
fn a_chain_stops_in_its_order() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(NEVER),
        [
            run("a", "--until b", &slow_server(0, 0.1)),
            run("b", "--until c", &slow_server(0, 0.3)),
            run("c", "", &job("c", 0)),
        ],
    );
    let [a, b, c] = ["a", "b", "c"].map(|name| play.life(name));
    up([&*a, &b, &c]);
    let_end(&pod, "c");
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    let at = |name, key| line(&pod, name, key).unwrap();
    let moments = [
        at("c", "exited"),
        at("b", "stopping"),
        at("b", "exited"),
        at("a", "stopping"),
        at("a", "exited"),
    ];
    assert!(moments.is_sorted(), "{moments:?}");
    assert!(at("b", "stopping") < at("b", "exited"), "{moments:?}");
}

#[test]
fn a_chain_passes_a_failure_on() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(NEVER),
        [
            run("a", "--until b", &server(0)),
            run("b", "--until c", &server(0)),
            run("c", "", "exit 3"),
        ],
    );
    assert_eq!(play.finish(), Phase::Failed);
    assert_eq!(
        ["a", "b", "c"].map(|name| play.codes(name)),
        [[3], [3], [3]],
        "{play}"
    );
}

#[test]
fn a_sidecar_that_is_killed_and_restarted_before_the_end_still_ends_with_the_main() {
    for (code, phase) in [(0, Phase::Succeeded), (3, Phase::Failed)] {
        let Some(pod) = Pod::new() else { return };
        let play = pod.play(
            rules(RestartPolicy::OnFailure),
            [run("proxy", "--until main", &server(0))],
        );
        play.nth_life("proxy", 0).prints("up");
        play.nth_life("proxy", 0).kill();
        play.nth_life("proxy", 1).prints("up");
        let main = pod.start(&main_that(Ends::With(code), "--restart-policy never"));
        end(&pod, &main, Ends::With(code));
        // The main states that it is not restarted, so its end is final with any exit code.
        assert_eq!(play.finish(), Phase::Succeeded, "{phase:?}\n{play}");
        assert_eq!(play.codes("proxy"), [137, 0], "{play}");
    }
}

#[test]
fn an_end_that_was_missed_is_acted_on() {
    for ends in [Ends::With(0), Ends::With(3), Ends::Lost] {
        let Some(pod) = Pod::new() else { return };
        let proxy = || run("proxy", "--until main", &server(0));
        let first = pod.start(&proxy());
        first.prints("up");
        let main = pod.start(&main_that(ends, ""));
        main.prints("up");
        first.kill();
        first.code(137);
        end(&pod, &main, ends);
        // No member saw it end.
        pod.start(&proxy()).code(ends.code());
        // A new member acts on it as well, although it has not seen it end either.
        pod.start(&run("late", "--until main", &server(0)))
            .code(ends.code());
    }
}

#[test]
fn a_failure_is_not_acted_on_twice() {
    for ends in [Ends::With(3), Ends::Lost] {
        let Some(pod) = Pod::new() else { return };
        let proxy = || pod.start(&run("proxy", "--until main", &server(0)));
        let first = proxy();
        first.prints("up");
        end(&pod, &pod.start(&main_that(ends, "")), ends);
        first.code(ends.code());
        // The sidecar is back before the main, and waits for it. Otherwise it would end with the
        // old code.
        fs::remove_file(pod.volume().join("go-main")).ok();
        let second = proxy();
        second.says(if ends == Ends::Lost {
            "main was lost"
        } else {
            "main ended with exit code 3"
        });
        second
            .says("; this container has already ended once for that, and waits for its next start");
        second.prints("up");
        let main = pod.start(&main_that(Ends::With(0), ""));
        second.says("main is ready");
        end(&pod, &main, Ends::With(0));
        second.code(0);
        // A success is final, even if it is seen late.
        proxy().code(0);
    }
}

#[test]
fn a_second_failure_is_acted_on_again() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(RestartPolicy::OnFailure),
        [
            run("proxy", "--until main", &server(0)),
            run(
                "main",
                "--after ready:proxy",
                &job_in_lives("main", &[3, 4, 0]),
            ),
        ],
    );
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    assert_eq!(play.codes("main"), [3, 4, 0], "{play}");
    assert_eq!(play.codes("proxy"), [3, 4, 0], "{play}");
}

#[test]
fn a_sidecar_that_is_killed_while_it_stops_completes_after_its_restart() {
    for code in [0, 3] {
        let Some(pod) = Pod::new() else { return };
        let play = pod.play(
            rules(RestartPolicy::OnFailure),
            [run(
                "proxy",
                "--until main --grace 60s",
                &format!(
                    "test -e {VOLUME}/second && exec sleep 100; {}",
                    stubborn_server()
                ),
            )],
        );
        let first = play.life("proxy");
        first.prints("up");
        end(
            &pod,
            &pod.start(&main_that(Ends::With(code), "")),
            Ends::With(code),
        );
        first.prints("told");
        fs::write(pod.volume().join("second"), "").unwrap();
        first.kill();
        if code == 0 {
            assert_eq!(play.finish(), Phase::Succeeded, "{play}");
            assert_eq!(play.codes("proxy"), [137, 0], "{play}");
        } else {
            // The sidecar has acted on that failure, and waits for the restart.
            let second = play.nth_life("proxy", 1);
            second.says("main ended with exit code 3");
            fs::remove_file(pod.volume().join("go-main")).unwrap();
            end(
                &pod,
                &pod.start(&main_that(Ends::With(0), "")),
                Ends::With(0),
            );
            assert_eq!(play.finish(), Phase::Succeeded, "{play}");
        }
    }
}

#[test]
fn files_of_an_earlier_life_do_no_harm() {
    let Some(pod) = Pod::new() else { return };
    // The node was restarted: both were killed at once while a request was pending.
    let lives = [
        pod.start(&run("proxy", "--until main", &server(0))),
        pod.start(&main_that(Ends::With(0), "")),
    ];
    up(&lives);
    comes(&pod, "proxy", "ready");
    let id = line(&pod, "proxy", "id").unwrap();
    lives.iter().for_each(|life| life.kill());
    for life in &lives {
        life.code(137);
    }
    fs::write(
        pod.volume()
            .join(format!("proxy.quit.{id}.0123456789abcdef")),
        "",
    )
    .unwrap();
    // The main comes back first.
    let main = pod.start(&main_that(Ends::With(0), ""));
    main.prints("up");
    let proxy = pod.start(&run("proxy", "--until main", &server(0)));
    proxy.prints("up");
    proxy.says("main is ready");
    let_end(&pod, "main");
    proxy.code(0);
    assert_eq!(line(&pod, "proxy", "incarnation").as_deref(), Some("2"));
    // No temporary record and no request is left.
    let left: Vec<_> = files(&pod)
        .into_iter()
        .filter(|file| file.contains(".next.") || file.contains(".quit."))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn another_pods_records_do_not_count() {
    let Some(pod) = Pod::new() else { return };
    pod.start(&run("main", "", "exit 0").host_name("other-pod"))
        .code(0);
    assert_eq!(line(&pod, "main", "host").as_deref(), Some("other-pod"));
    let proxy = pod.start(&run("proxy", "--until main", &server(0)));
    proxy.says("is another pod's (host \"other-pod\"");
    proxy.prints("up");
    let main = pod.start(&main_that(Ends::With(3), ""));
    proxy.says("main is ready");
    end(&pod, &main, Ends::With(3));
    proxy.code(3);
}

#[test]
fn an_absent_main_is_waited_for_and_the_members_that_are_there_are_named() {
    let Some(pod) = Pod::new() else { return };
    let proxy = pod.start(&run("proxy", "--until mian", &server(0)));
    let main = pod.start(&run("main", "", "exit 0"));
    main.code(0);
    proxy.says("still waiting for mian to come: absent is not done (seen here: main)");
    proxy.signal(Signal::SIGTERM);
    proxy.code(0);
    let proxy = pod.start(&run(
        "proxy",
        "--until mian --absent-timeout 300ms",
        &server(0),
    ));
    proxy.says("gave up after 300ms: mian never came (seen here: main)");
    proxy.code(124);
    // A record that cannot be used is not the member.
    fs::write(pod.volume().join("mian.record"), "garbage").unwrap();
    let proxy = pod.start(&run(
        "proxy",
        "--until mian --absent-timeout 300ms",
        &server(0),
    ));
    proxy.says("gave up after 300ms: mian never came (seen here: main)");
    proxy.code(124);
}

#[test]
fn a_name_that_another_pod_has_on_a_shared_volume() {
    let Some(pod) = Pod::new() else { return };
    let other = pod.start(&run("app", "", &server(0)).host_name("other-pod"));
    other.prints("up");
    comes(&pod, "app", "ready");
    let app = pod.start(&run("app", "", "echo started"));
    app.code(125);
    app.says("the app of another pod is alive on this volume (host \"other-pod\"");
    assert_eq!(app.stdout(), "");
}

#[test]
fn two_with_one_name() {
    let Some(pod) = Pod::new() else { return };
    let first = pod.start(&run("app", "", &server(0)).user(1234, 1234));
    first.prints("up");
    comes(&pod, "app", "ready");
    let before = record(&pod, "app");
    let second = pod.start(&run("app", "", "echo started"));
    let end = second.finish();
    assert_eq!(end.code, 125, "{second}");
    assert!(end.at.duration_since(second.started()) < LONG, "{second}");
    second.says("another container of this pod is app and is alive (uid 1234, since ");
    assert_eq!(second.stdout(), "");
    // The first one is not affected.
    assert_eq!(record(&pod, "app"), before);
    let proxy = pod.start(&run("proxy", "--until app", &server(0)));
    proxy.says("app is ready");
    first.signal(Signal::SIGTERM);
    proxy.code(143);
}

#[test]
fn a_name_is_free_again_as_soon_as_its_owner_is_dead() {
    let Some(pod) = Pod::new() else { return };
    for incarnation in 1..=5 {
        let life = pod.start(&run("app", "", &server(0)));
        life.prints("up");
        comes(&pod, "app", "ready");
        assert_eq!(
            line(&pod, "app", "incarnation"),
            Some(incarnation.to_string())
        );
        // The next one starts although this one may not have been reaped.
        life.kill();
    }
}

#[test]
fn the_first_cause_decides() {
    let Some(pod) = Pod::new() else { return };
    // Neither a SIGTERM nor the end of a need changes the code after the members are done.
    let main = pod.start(&main_that(Ends::With(3), ""));
    let dependency = pod.start(&run("db", "", &server(0)));
    let proxy = pod.start(&run(
        "proxy",
        "--until main --needs db",
        &slow_server(0, 0.4),
    ));
    proxy.prints("up");
    end(&pod, &main, Ends::With(3));
    proxy.prints("told");
    dependency.signal(Signal::SIGTERM);
    dependency.code(0);
    proxy.signal(Signal::SIGTERM);
    proxy.code(3);
}

#[test]
fn a_cmd_that_ignores_its_stop_signal_is_killed_and_the_code_stays() {
    let Some(pod) = Pod::new() else { return };
    let proxy = pod.start(&run(
        "proxy",
        "--until main --grace 600ms --stop-margin 300ms",
        &stubborn_server(),
    ));
    proxy.prints("up");
    pod.start(&run("main", "", "exit 0")).code(0);
    proxy.says("has not ended within the grace period of 600ms");
    proxy.code(0);
}

#[test]
fn the_quit_endpoint_ends_it_with_success() {
    let Some(pod) = Pod::new() else { return };
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/quitquitquit");
    let proxy = pod.start(&run(
        "proxy",
        &format!("--listen 127.0.0.1:{port} --ready file://{VOLUME}/yes"),
        &server(9),
    ));
    proxy.prints("up");
    let onlooker = pod.start(&onlooker("onlooker"));
    podgate_in(&onlooker, &format!("check http://127.0.0.1:{port}/ready"))
        .code(1)
        .says("503");
    fs::write(pod.volume().join("yes"), "").unwrap();
    comes(&pod, "proxy", "ready");
    podgate_in(&onlooker, &format!("check http://127.0.0.1:{port}/ready")).code(0);
    podgate_in(&onlooker, &format!("quit {url}"))
        .code(0)
        .says("has quit after");
    proxy.code(0);
    assert_eq!(line(&pod, "proxy", "exit").as_deref(), Some("0"));
}
