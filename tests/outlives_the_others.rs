//! A container outlives the others when the pod is deleted: all get SIGTERM at once, and the
//! sidecar ends last.

use crate::support::cast::{
    NEVER, comes, goes_before, job, let_end, line, onlooker, podgate_in, rules, run, server,
    slow_server, stubborn_server,
};
use crate::support::eventually;
use crate::support::kubelet::{Hook, Phase, Play, RestartPolicy};
use crate::support::pod::{Container, IMAGE, Life, Pod, VOLUME};
use nix::sys::signal::Signal;
use std::process::Command;
use std::time::{Duration, Instant};

/// The grace period of a pod that has time. Only a failing test takes this long.
const GRACE: Duration = Duration::from_secs(20);
const AMPLE: &str = "--grace 20s --stop-margin 1s";

/// Deletes a pod when its containers are up, and waits for its end.
fn delete(pod: &Pod, play: &Play, names: &[&str], grace: Duration) -> Phase {
    for name in names {
        play.life(name).prints("up");
        comes(pod, name, "ready");
    }
    play.delete(grace);
    play.finish()
}

#[test]
fn at_a_deletion_the_sidecar_stays_until_the_app_has_ended() {
    for relation in ["--until", "--outlive"] {
        let Some(pod) = Pod::new() else { return };
        let play = pod.play(
            rules(RestartPolicy::Always),
            [
                run("proxy", &format!("{relation} app {AMPLE}"), &server(0)),
                run("app", "", &slow_server(0, 0.5)),
            ],
        );
        let phase = delete(&pod, &play, &["proxy", "app"], GRACE);
        assert_eq!(phase, Phase::Succeeded, "{play}");
        let (proxy, app) = (play.life("proxy"), play.life("app"));
        goes_before(&pod, "app", "proxy");
        // It got its signal at the same time, and held that back from CMD.
        assert!(
            proxy
                .says("holding SIGTERM back from the command until app has ended, for at most 19s")
                < app.prints("ended")
        );
        // CMD was stopped as soon as that was possible.
        let after = proxy.prints("told").duration_since(app.prints("ended"));
        assert!(after < Duration::from_secs(2), "{after:?}\n{play}");
    }
}

#[test]
fn its_exit_code_is_the_commands_own() {
    let Some(pod) = Pod::new() else { return };
    // The app is slow, so that it is not done before the proxy gets its signal.
    let app = run("app", "", &slow_server(6, 0.5));
    let play = pod.play(
        rules(NEVER),
        [
            run("proxy", &format!("--until app {AMPLE}"), &server(5)),
            app,
        ],
    );
    assert_eq!(delete(&pod, &play, &["proxy", "app"], GRACE), Phase::Failed);
    // The signal came first and the end second: the first cause decides.
    assert_eq!(
        (play.codes("proxy"), play.codes("app")),
        (vec![5], vec![6]),
        "{play}"
    );
}

#[test]
fn without_a_relation_both_stop_at_once() {
    // The negative control.
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(NEVER),
        [
            run("proxy", "", &server(0)),
            run("app", "", &slow_server(0, 0.5)),
        ],
    );
    delete(&pod, &play, &["proxy", "app"], GRACE);
    assert!(
        play.life("proxy").prints("told") < play.life("app").prints("ended"),
        "{play}"
    );
}

#[test]
fn a_chain_stops_in_its_order() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(NEVER),
        [
            run("net", &format!("--outlive proxy {AMPLE}"), &server(0)),
            run(
                "proxy",
                &format!("--outlive app {AMPLE}"),
                &slow_server(0, 0.2),
            ),
            run("app", "", &slow_server(0, 0.2)),
        ],
    );
    assert_eq!(
        delete(&pod, &play, &["net", "proxy", "app"], GRACE),
        Phase::Succeeded,
        "{play}"
    );
    goes_before(&pod, "app", "proxy");
    goes_before(&pod, "proxy", "net");
}

#[test]
fn every_member_that_is_outlived_holds_the_stop_back() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(NEVER),
        [
            run(
                "proxy",
                &format!("--outlive a --outlive b {AMPLE}"),
                &server(0),
            ),
            run("a", "", &slow_server(0, 0.4)),
            run("b", "", &slow_server(0, 0.1)),
        ],
    );
    assert_eq!(
        delete(&pod, &play, &["proxy", "a", "b"], GRACE),
        Phase::Succeeded,
        "{play}"
    );
    goes_before(&pod, "a", "proxy");
    goes_before(&pod, "b", "proxy");
}

#[test]
fn a_second_signal_ends_the_hold() {
    for second in [Signal::SIGTERM, Signal::SIGQUIT] {
        let Some(pod) = Pod::new() else { return };
        let app = pod.start(&run("app", "", &server(0)));
        app.prints("up");
        let script = "trap 'echo told; exit 4' QUIT; echo up; sleep 100 & wait";
        let proxy = pod.start(&run(
            "proxy",
            &format!("--outlive app --stop-signal QUIT {AMPLE}"),
            script,
        ));
        proxy.prints("up");
        comes(&pod, "app", "ready");
        proxy.signal(Signal::SIGTERM);
        proxy.says("holding SIGQUIT back");
        assert!(!proxy.stdout().contains("told"));
        proxy.signal(second);
        proxy.code(4);
        proxy.says(
            "asked to stop again: no longer waiting for app; stopping the command with SIGQUIT",
        );
        assert!(app.is_running());
    }
}

#[test]
fn the_stop_signal_of_the_image_begins_the_hold_too() {
    let Some(pod) = Pod::new() else { return };
    let script = "trap 'echo told; exit 0' QUIT; echo up; sleep 100 & wait";
    let proxy = run(
        "proxy",
        &format!("--outlive app --stop-signal QUIT {AMPLE}"),
        script,
    )
    .stop_signal(Signal::SIGQUIT);
    let play = pod.play(rules(NEVER), [proxy, run("app", "", &slow_server(0, 0.3))]);
    assert_eq!(
        delete(&pod, &play, &["proxy", "app"], GRACE),
        Phase::Succeeded,
        "{play}"
    );
    goes_before(&pod, "app", "proxy");
}

/// A server that says which signal has ended it, and what it got before.
const SAYS_STOP: &str = "for it in INT QUIT USR1 USR2 PWR WINCH ALRM RTMIN+3 TERM; do \
                         trap \"echo told-$it; exit 4\" $it; done; trap 'echo reload' HUP; \
                         echo up; while :; do sleep 0.02; done";

/// The app, alive and ready, and a proxy that outlives it.
fn app_and_proxy(pod: &Pod, options: &str) -> (Life, Life) {
    let app = pod.start(&run("app", "", &server(0)));
    app.prints("up");
    comes(pod, "app", "ready");
    let words = ["run", "--name", "proxy", "--outlive", "app"];
    let words = words
        .into_iter()
        .chain(AMPLE.split(' '))
        .chain(options.split_whitespace());
    let call = words.chain(["--", "bash", "-c", SAYS_STOP]);
    let proxy = pod.start(&Container::podgate("proxy", call));
    proxy.prints("up");
    (app, proxy)
}

/// The stop signals of images that have another one than TERM, and a few that no image has.
const OTHER_STOPS: [(i32, &str); 8] = [
    (2, "INT"),
    (3, "QUIT"),
    (10, "USR1"),
    (12, "USR2"),
    (14, "ALRM"),
    (28, "WINCH"),
    (30, "PWR"),
    (37, "RTMIN+3"),
];

/// Sends a signal by number. The test is outside the container's PID namespace.
fn send(life: &Life, number: i32) {
    let to = life.pid().to_string();
    let call = ["-c", &format!("kill -{number} {to}")];
    assert!(Command::new("bash").args(call).status().unwrap().success());
}

#[test]
fn a_stop_signal_that_no_option_names_keeps_the_hold() {
    let Some(pod) = Pod::new() else { return };
    for (number, name) in OTHER_STOPS {
        let (app, proxy) = app_and_proxy(&pod, "");
        send(&proxy, number);
        proxy.says(&format!(
            "holding SIG{name} back from the command until app has ended"
        ));
        proxy.says(&format!("SIG{name} came from outside this container"));
        proxy.says(&format!("--stop-signal {name}"));
        assert!(!proxy.stdout().contains("told"), "{proxy}");
        app.signal(Signal::SIGTERM);
        app.code(0);
        proxy.code(4);
        assert_eq!(proxy.stdout(), format!("up\ntold-{name}\n"));
    }
}

#[test]
fn a_stop_signal_that_an_option_names_is_the_only_other_one() {
    let Some(pod) = Pod::new() else { return };
    for (options, number, name) in [
        ("--stop-signal TERM", 3, "QUIT"),
        ("--stop-signal USR1", 37, "RTMIN+3"),
        ("--map-signal USR1=QUIT", 10, "QUIT"),
    ] {
        let (app, proxy) = app_and_proxy(&pod, options);
        send(&proxy, number);
        proxy.code(4);
        assert_eq!(proxy.stdout(), format!("up\ntold-{name}\n"));
        assert!(!proxy.stderr().contains("holding"), "{proxy}");
        app.signal(Signal::SIGTERM);
        app.code(0);
    }
}

#[test]
fn a_signal_from_a_neighbour_in_the_container_is_forwarded_at_once() {
    let Some(pod) = Pod::new() else { return };
    for (number, name) in OTHER_STOPS {
        let (app, proxy) = app_and_proxy(&pod, "");
        let _ = proxy.exec(["bash", "-c", &format!("kill -{number} 1")]);
        proxy.code(4);
        assert_eq!(proxy.stdout(), format!("up\ntold-{name}\n"));
        let log = proxy.stderr();
        assert!(
            !log.contains("holding") && !log.contains("outside"),
            "{proxy}"
        );
        app.signal(Signal::SIGTERM);
        app.code(0);
    }
}

#[test]
fn without_a_hold_every_signal_is_forwarded_at_once() {
    let Some(pod) = Pod::new() else { return };
    for (number, name) in OTHER_STOPS {
        let call = ["run", "--name", "proxy", "--", "bash", "-c", SAYS_STOP];
        let proxy = pod.start(&Container::podgate("proxy", call));
        proxy.prints("up");
        send(&proxy, number);
        proxy.code(4);
        assert_eq!(proxy.stdout(), format!("up\ntold-{name}\n"));
        assert!(!proxy.stderr().contains("outside"), "{proxy}");
    }
}

#[test]
fn the_first_stop_signal_that_no_option_names_decides() {
    let Some(pod) = Pod::new() else { return };
    for (first, second, told) in [(3, 15, "QUIT"), (15, 3, "TERM"), (10, 3, "USR1")] {
        let (app, proxy) = app_and_proxy(&pod, "");
        send(&proxy, first);
        proxy.says("holding");
        send(&proxy, second);
        proxy.says("asked to stop again");
        proxy.code(4);
        assert_eq!(proxy.stdout(), format!("up\ntold-{told}\n"));
        app.signal(Signal::SIGTERM);
        app.code(0);
    }
}

#[test]
fn a_reload_from_outside_is_forwarded_and_names_the_option() {
    let Some(pod) = Pod::new() else { return };
    let (app, proxy) = app_and_proxy(&pod, "");
    send(&proxy, 1);
    proxy.prints("reload");
    proxy.says(
        "SIGHUP came from outside this container, and was forwarded at once although app is alive",
    );
    proxy.says("--stop-signal HUP");
    assert!(
        proxy.is_running() && !proxy.stderr().contains("holding"),
        "{proxy}"
    );
    // From a neighbour it is an ordinary reload.
    let lines = proxy.stderr().lines().count();
    let _ = proxy.exec(["bash", "-c", "kill -HUP 1"]);
    let all = || (proxy.stdout().matches("reload").count() == 2).then_some(());
    eventually("the second reload", all);
    assert_eq!(proxy.stderr().lines().count(), lines, "{proxy}");
    // Without a member that is alive, no hold is lost.
    app.signal(Signal::SIGTERM);
    app.code(0);
    proxy.says("app ended");
    let lines = proxy.stderr().lines().count();
    send(&proxy, 1);
    let all = || (proxy.stdout().matches("reload").count() == 3).then_some(());
    eventually("the third reload", all);
    assert_eq!(proxy.stderr().lines().count(), lines, "{proxy}");
}

#[test]
fn a_hold_says_that_a_shorter_grace_period_cannot_be_seen() {
    let Some(pod) = Pod::new() else { return };
    let (_app, proxy) = app_and_proxy(&pod, "");
    send(&proxy, 15);
    proxy.says(
        "for at most 19s (--grace 20s less --stop-margin 1s; a deletion with a shorter grace \
         period kills earlier, and podgate cannot see it)",
    );
}

#[test]
fn a_hold_that_runs_out_is_a_warning_and_ends() {
    let Some(pod) = Pod::new() else { return };
    let app = pod.start(&run("app", "", &server(0)));
    app.prints("up");
    comes(&pod, "app", "ready");
    let proxy = pod.start(&run(
        "proxy",
        "--outlive app --grace 1500ms --stop-margin 700ms",
        &server(5),
    ));
    proxy.prints("up");
    proxy.signal(Signal::SIGTERM);
    let begin =
        proxy.says("holding SIGTERM back from the command until app has ended, for at most 800ms");
    let end = proxy.says("the grace period is nearly over and app is still alive");
    proxy.says("and --grace with it (now 1.5s)");
    assert!(
        end.duration_since(begin) >= Duration::from_millis(750),
        "{proxy}"
    );
    proxy.code(5);
    assert!(
        proxy.prints("told") >= end - Duration::from_millis(50) && app.is_running(),
        "{proxy}"
    );
}

#[test]
fn the_rest_of_the_grace_period_is_for_the_commands_own_stop() {
    let Some(pod) = Pod::new() else { return };
    let app = pod.start(&run("app", "", &server(0)));
    app.prints("up");
    comes(&pod, "app", "ready");
    // The hold takes 300 of 900 ms, so CMD is killed 600 ms after its stop signal, not 900.
    let proxy = pod.start(&run(
        "proxy",
        "--outlive app --grace 900ms --stop-margin 600ms",
        &stubborn_server(),
    ));
    proxy.prints("up");
    let begin = Instant::now();
    proxy.signal(Signal::SIGTERM);
    proxy.prints("told");
    proxy.says("has not ended within the grace period of 900ms");
    proxy.code(137);
    assert!(begin.elapsed() >= Duration::from_millis(850), "{proxy}");
    assert_eq!(line(&pod, "proxy", "exit").as_deref(), Some("137"));
}

#[test]
fn at_the_end_of_the_grace_the_kubelet_kills_both() {
    let Some(pod) = Pod::new() else { return };
    // --grace is longer than the pod's grace period, and the app ignores its signal.
    let play = pod.play(
        rules(NEVER),
        [
            run("proxy", &format!("--outlive app {AMPLE}"), &server(0)),
            run("app", "", &stubborn_server()),
        ],
    );
    assert_eq!(
        delete(&pod, &play, &["proxy", "app"], Duration::from_secs(1)),
        Phase::Failed,
        "{play}"
    );
    assert_eq!(
        (play.codes("proxy"), play.codes("app")),
        (vec![137], vec![137]),
        "{play}"
    );
    assert!(play.life("app").stdout().contains("told"));
}

#[test]
fn a_member_that_is_not_alive_does_not_hold_the_stop_back() {
    let Some(pod) = Pod::new() else { return };
    // One member ended, one failed and may come back, one was lost, and one never came.
    pod.start(&run("ended", "", "exit 0")).code(0);
    pod.start(&run("failed", "--restart-policy on-failure", "exit 3"))
        .code(3);
    let lost = pod.start(&run("lost", "", &server(0)));
    comes(&pod, "lost", "ready");
    lost.kill();
    lost.code(137);
    for options in [
        "--outlive absent --outlive ended --outlive failed --outlive lost",
        "--until absent --until ended --until failed --restart-policy on-failure",
    ] {
        let proxy = pod.start(&run("proxy", &format!("{options} {AMPLE}"), &server(5)));
        proxy.prints("up");
        let begin = Instant::now();
        proxy.signal(Signal::SIGTERM);
        proxy.code(5);
        assert!(
            begin.elapsed() < Duration::from_secs(10) && !proxy.stderr().contains("holding"),
            "{proxy}"
        );
    }
}

#[test]
fn an_app_that_waits_for_others_is_alive() {
    let Some(pod) = Pod::new() else { return };
    let app = pod.start(&run("app", &format!("--after file://{VOLUME}/no"), "true"));
    comes(&pod, "app", "waiting");
    let proxy = pod.start(&run("proxy", &format!("--outlive app {AMPLE}"), &server(0)));
    proxy.prints("up");
    proxy.signal(Signal::SIGTERM);
    proxy.says("holding SIGTERM back");
    app.signal(Signal::SIGTERM);
    app.code(143);
    proxy.code(0);
}

#[test]
fn an_app_that_is_lost_during_the_hold_ends_it() {
    let Some(pod) = Pod::new() else { return };
    let app = pod.start(&run("app", "", &stubborn_server()));
    app.prints("up");
    comes(&pod, "app", "ready");
    let proxy = pod.start(&run("proxy", &format!("--outlive app {AMPLE}"), &server(0)));
    proxy.prints("up");
    proxy.signal(Signal::SIGTERM);
    proxy.says("holding");
    let killed = Instant::now();
    app.kill();
    proxy.code(0);
    assert!(killed.elapsed() < Duration::from_secs(3), "{proxy}");
}

#[test]
fn an_app_that_comes_back_during_the_hold_holds_the_stop_back() {
    let Some(pod) = Pod::new() else { return };
    let app = || run("app", "", &server(0));
    let other = pod.start(&run("other", "", &server(0)));
    other.prints("up");
    comes(&pod, "other", "ready");
    let proxy = pod.start(&run(
        "proxy",
        &format!("--outlive app --outlive other {AMPLE}"),
        &server(0),
    ));
    proxy.prints("up");
    proxy.signal(Signal::SIGTERM);
    proxy.says("until other has ended");
    let app = pod.start(&app());
    app.prints("up");
    proxy.says("app is ready");
    other.signal(Signal::SIGTERM);
    other.code(0);
    proxy.says("other ended with exit code 0");
    assert!(
        proxy.is_running() && !proxy.stdout().contains("told"),
        "{proxy}"
    );
    app.signal(Signal::SIGTERM);
    proxy.code(0);
}

#[test]
fn an_unwrapped_sidecar_waits_in_its_pre_stop() {
    let Some(pod) = Pod::new() else { return };
    let proxy = Container::sh("proxy", &server(0)).pre_stop([IMAGE, "wait", "gone:app"]);
    let play = pod.play(rules(NEVER), [proxy, run("app", "", &slow_server(0, 0.4))]);
    for name in ["proxy", "app"] {
        play.life(name).prints("up");
    }
    comes(&pod, "app", "ready");
    play.delete(GRACE);
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    let slack = Duration::from_millis(200);
    assert!(
        play.life("app").prints("ended") <= play.life("proxy").prints("told") + slack,
        "{play}"
    );
    play.hooks("proxy", Hook::PreStop)[0]
        .code(0)
        .not_before(Duration::from_millis(300));
}

#[test]
fn a_pre_stop_never_waits_for_an_absent_member() {
    let Some(pod) = Pod::new() else { return };
    let proxy = Container::sh("proxy", &server(0))
        .read_only_volume()
        .pre_stop([IMAGE, "wait", "gone:mian", "gone:app"]);
    let play = pod.play(rules(NEVER), [proxy, run("app", "", "exit 0")]);
    play.life("app").code(0);
    play.life("proxy").prints("up");
    play.delete(GRACE);
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    let hook = &play.hooks("proxy", Hook::PreStop)[0];
    // The name may be wrong, so the message lists the members that are there.
    hook.code(0)
        .within(Duration::from_secs(10))
        .says("seen here: app");
}

#[test]
fn a_job_that_is_deleted_while_it_works() {
    let Some(pod) = Pod::new() else { return };
    // The app handles no signal. It is not PID 1, so it dies by the signal.
    let play = pod.play(
        rules(RestartPolicy::OnFailure),
        [
            run("proxy", &format!("--until main {AMPLE}"), &server(0)),
            run("main", "", &job("main", 0)),
        ],
    );
    assert_eq!(
        delete(&pod, &play, &["proxy", "main"], GRACE),
        Phase::Failed,
        "{play}"
    );
    assert_eq!(
        (play.codes("main"), play.codes("proxy")),
        (vec![143], vec![0]),
        "{play}"
    );
    assert_eq!((play.restarts("main"), play.restarts("proxy")), (0, 0));
}

#[test]
fn a_stop_goes_before_an_end_at_the_same_moment() {
    let Some(pod) = Pod::new() else { return };
    let app = pod.start(&run("app", "", &server(6)));
    let proxy = pod.start(&run("proxy", &format!("--until app {AMPLE}"), &server(5)));
    proxy.prints("up");
    proxy.says("app is ready");
    // No time passes between the signal and the end of the other member.
    proxy.signal(Signal::SIGSTOP);
    proxy.signal(Signal::SIGTERM);
    app.prints("up");
    app.signal(Signal::SIGTERM);
    app.code(6);
    proxy.signal(Signal::SIGCONT);
    proxy.code(5);
}

#[test]
fn the_grace_counts_from_the_signal_not_from_the_end_of_the_app() {
    let Some(pod) = Pod::new() else { return };
    let app = pod.start(&run("app", "", &job("app", 0)));
    app.prints("up");
    comes(&pod, "app", "ready");
    let proxy = pod.start(&run(
        "proxy",
        "--outlive app --grace 1500ms --stop-margin 200ms",
        &stubborn_server(),
    ));
    proxy.prints("up");
    let begin = Instant::now();
    proxy.signal(Signal::SIGTERM);
    proxy.says("holding");
    let_end(&pod, "app");
    proxy.prints("told");
    proxy.code(137);
    let took = begin.elapsed();
    assert!(
        took >= Duration::from_millis(1400) && took < Duration::from_secs(8),
        "{took:?}\n{proxy}"
    );
}

#[test]
fn the_readiness_of_the_sidecar_does_not_matter_to_the_hold() {
    let Some(pod) = Pod::new() else { return };
    let app = pod.start(&run("app", "", &server(0)));
    app.prints("up");
    comes(&pod, "app", "ready");
    let options = format!("--outlive app --ready file://{VOLUME}/no {AMPLE}");
    let proxy = pod.start(&run("proxy", &options, &server(0)));
    proxy.prints("up");
    proxy.signal(Signal::SIGTERM);
    proxy.says("holding");
    let onlooker = pod.start(&onlooker("onlooker"));
    podgate_in(&onlooker, "check started:proxy").code(0);
    app.signal(Signal::SIGTERM);
    // The stop came before the member was ready.
    proxy.code(143);
}
