//! The pod player keeps the kubelet's rules (see the table in `support::kubelet`). No podgate runs
//! in these pods. `pod_harness` also tests main containers, their hooks and their restarts.

use crate::support::kubelet::{Hook, Phase};
use crate::support::player::{Image, Manifest, Played, app, app_in_lives, fake};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Plays a pod with this spec, in YAML's flow style.
#[track_caller]
fn play(spec: &str, images: &[(&str, Image)]) -> Option<Played> {
    manifest(spec).play(images)
}

fn manifest(spec: &str) -> Manifest {
    // A container that gets SIGTERM before it has set its trap must not delay the test for long.
    let grace = if spec.contains("Grace") {
        ""
    } else {
        ", terminationGracePeriodSeconds: 10"
    };
    Manifest::new(
        "the test's pod",
        &format!("{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{{spec}{grace}}}}}"),
    )
}

/// An image whose program is this script.
fn image<'a>(name: &'a str, script: &str) -> (&'a str, Image) {
    (name, Image::new(&format!("/{name}"), script))
}

/// An image that notes its start and its SIGTERM, and then ends with 0.
fn server(name: &str) -> (&str, Image) {
    slow_server(name, 0.0, 0)
}

/// The same, but it takes this many seconds to end, and ends with this code.
fn slow_server(name: &str, seconds: f32, code: i32) -> (&str, Image) {
    let end = format!("note {name} told; sleep {seconds}; note {name} ended; exit {code}");
    image(
        name,
        &format!("trap '{end}' TERM; note {name} up; sleep 1000 & wait"),
    )
}

/// An image that notes SIGTERM and goes on running.
fn stubborn(name: &str) -> (&str, Image) {
    image(
        name,
        &format!("trap 'note {name} told' TERM; note {name} up; while :; do sleep 0.1; done"),
    )
}

/// An image that ends at once.
fn ends(name: &str, code: i32) -> (&str, Image) {
    image(
        name,
        &format!("note {name} up; note {name} ended; exit {code}"),
    )
}

/// The number of the IPC namespace, which each container notes.
const IPC: &str = "note $(readlink /proc/self/ns/ipc)";

#[test]
fn all_containers_start_again_in_the_same_sandbox_after_their_init_containers() {
    let spec = format!(
        "restartPolicy: OnFailure, volumes: [{{name: v, emptyDir: {{}}}}], initContainers: \
         [{{name: init, image: init, volumeMounts: [{{name: v, mountPath: /v}}]}}, {{name: s, \
         image: s, restartPolicy: Always}}], containers: [{{name: done, image: done}}, {{name: \
         main, image: main, lifecycle: {{preStop: {}}}}}]",
        waits_for("never")
    );
    let images = [
        image(
            "init",
            &format!("{IPC}\nnote init $(ls /v)\ntouch /v/kept\nnote init ended"),
        ),
        server("s"),
        ends("done", 0),
        image(
            "main",
            "note main up\ntrap 'note main told' TERM\nsleep 100 & wait",
        ),
    ];
    let Some(played) = play(&spec, &images) else {
        return;
    };
    played.comes("main up");
    played.comes("done ended");
    crate::support::eventually("the end of done", || {
        (played.codes("done") == [0]).then_some(())
    });
    let ipc = played.happenings()[0].what.clone();
    played.restarts_all_containers();
    played.comes_again("main up", 2);
    played.comes_again("done ended", 2);
    assert_eq!(
        played.codes("main"),
        [137],
        "at once, without its preStop\n{played}"
    );
    played.never_happened("main told");
    assert_eq!(played.codes("s"), [137], "{played}");
    assert_eq!(played.codes("init"), [0, 0], "{played}");
    assert_eq!(played.count(&ipc), 2, "the same IPC namespace\n{played}");
    played.happened(&[
        "init",
        "init ended",
        "main up",
        "init kept",
        "init ended",
        "s up",
        "main up",
    ]);
}

#[test]
fn in_a_new_sandbox_a_container_that_had_exited_0_does_not_start_again() {
    let spec = "volumes: [{name: v, emptyDir: {}}], initContainers: [{name: init, image: init, \
                volumeMounts: [{name: v, mountPath: /v}]}], containers: [{name: done, image: \
                done}, {name: main, image: main}]";
    let images = [
        image("init", &format!("{IPC}\nnote init $(ls /v)\ntouch /v/kept")),
        ends("done", 0),
        server("main"),
    ];
    for (policy, dones) in [("OnFailure", 1), ("Always", 2)] {
        let Some(played) = play(&format!("restartPolicy: {policy}, {spec}"), &images) else {
            return;
        };
        played.comes("main up");
        played.comes("done ended");
        crate::support::eventually("the end of done", || {
            (!played.codes("done").is_empty()).then_some(())
        });
        let ipc = played.happenings()[0].what.clone();
        played.gets_a_new_sandbox();
        played.comes_again("main up", 2);
        played.comes_again("done ended", dones);
        played.happened(&["init", "main up", "init kept", "main up"]);
        assert_eq!(played.count(&ipc), 1, "another IPC namespace\n{played}");
        assert_eq!(played.codes("main"), [137], "{played}");
        if policy == "OnFailure" {
            assert_eq!(played.codes("done"), [0], "{played}");
        }
    }
    let Some(played) = play(&format!("restartPolicy: Never, {spec}"), &images) else {
        return;
    };
    played.comes("main up");
    played.gets_a_new_sandbox();
    assert_eq!(played.finish(), Phase::Failed, "{played}");
    assert_eq!(played.codes("init"), [0], "{played}");
}

/// A hook or probe that passes when the test allows it.
fn waits_for(name: &str) -> String {
    format!("{{exec: {{command: [sh, -c, 'until test -e /test/{name}; do sleep 0.01; done']}}}}")
}

const SIDECAR: &str =
    "{name: a, image: a, restartPolicy: Always}, {name: b, image: b, restartPolicy: Always}";
const MAIN: &str = "containers: [{name: main, image: main}]";

#[test]
fn init_containers_run_one_after_the_other_before_the_main_containers() {
    let spec = format!(
        "restartPolicy: Never, initContainers: [{{name: a, image: a}}, {{name: b, image: b}}], \
         {MAIN}"
    );
    let slow = image("a", "note a up; sleep 0.3; note a ended");
    let Some(played) = play(&spec, &[slow, ends("b", 0), ends("main", 0)]) else {
        return;
    };
    played.ends_as(
        Phase::Succeeded,
        &[("a", &[0]), ("b", &[0]), ("main", &[0])],
    );
    played.happened(&["a up", "a ended", "b up", "b ended", "main up"]);
    assert!(played.passed("a") < played.passed("b"));
}

#[test]
fn an_init_container_that_fails_is_restarted_and_under_never_the_pod_fails() {
    let spec = format!(
        "initContainers: [{{name: s, image: s, restartPolicy: Always}}, {{name: a, image: a}}], \
         {MAIN}"
    );
    let images = [
        server("s"),
        image("a", &app_in_lives("a", &[3, 4, 0])),
        ends("main", 0),
    ];
    // The sidecar may get SIGTERM before it has set its trap.
    let spec = format!("terminationGracePeriodSeconds: 1, {spec}");
    for policy in ["OnFailure", "Always"] {
        let Some(played) = play(&format!("restartPolicy: {policy}, {spec}"), &images) else {
            return;
        };
        played.comes("main up");
        assert_eq!(played.codes("a"), [3, 4, 0], "{played}");
        played.happened(&[
            "a up", "a ended", "a up", "a ended", "a up", "a ended", "main up",
        ]);
        assert_eq!(played.count("s up"), 1, "{played}");
        // The end of an init container is final under Always, too.
        played.delete_it();
        played.finish();
        assert_eq!(played.count("a up"), 3, "{played}");
    }
    let Some(played) = play(&format!("restartPolicy: Never, {spec}"), &images) else {
        return;
    };
    assert_eq!(played.finish(), Phase::Failed, "{played}");
    assert_eq!(
        (played.codes("a"), played.ends("s").len()),
        (vec![3], 1),
        "{played}"
    );
    played.never_happened("main up");
}

#[test]
fn a_native_sidecar_holds_back_later_containers_until_its_probe_and_its_hook_have_passed() {
    for gate in [
        format!("lifecycle: {{postStart: {}}}", waits_for("go")),
        "startupProbe: {exec: {command: [test, -e, /test/go]}, periodSeconds: 1, \
         failureThreshold: 100}"
            .to_owned(),
        // With both, the probe does not start before the hook has passed, and both must pass.
        format!(
            "lifecycle: {{postStart: {}}}, startupProbe: {}",
            waits_for("go"),
            "{exec: {command: [test, -e, /test/go]}}"
        ),
    ] {
        let spec = format!(
            "restartPolicy: Never, initContainers: [{{name: a, image: a, restartPolicy: Always, \
             {gate}}}, {{name: b, image: b}}], {MAIN}"
        );
        let Some(played) = play(&spec, &[server("a"), ends("b", 0), ends("main", 0)]) else {
            return;
        };
        played.comes("a up");
        std::thread::sleep(Duration::from_millis(200));
        played.never_happened("b up");
        assert_eq!(
            (played.passed("a"), played.phase()),
            (None, Phase::Pending),
            "{played}"
        );
        played.allow("go");
        played.ends_as(
            Phase::Succeeded,
            &[("a", &[0]), ("b", &[0]), ("main", &[0])],
        );
        played.happened(&["a up", "b up", "main up", "main ended", "a told", "a ended"]);
    }
}

#[test]
fn a_native_sidecar_without_a_gate_holds_nothing_back() {
    let spec = format!("restartPolicy: Never, initContainers: [{SIDECAR}], {MAIN}");
    let Some(played) = play(
        &spec,
        &[
            server("a"),
            server("b"),
            image("main", &app("main", 0, 0.0)),
        ],
    ) else {
        return;
    };
    for what in ["a up", "b up", "main up"] {
        played.comes(what);
    }
    played.allow("end-main");
    played.ends_as(Phase::Succeeded, &[("main", &[0])]);
}

#[test]
fn a_native_sidecar_is_restarted_under_each_policy_and_later_containers_go_on() {
    for policy in ["Never", "OnFailure", "Always"] {
        let spec = format!("restartPolicy: {policy}, initContainers: [{SIDECAR}], {MAIN}");
        let images = [
            server("a"),
            server("b"),
            image("main", &app("main", 0, 0.0)),
        ];
        let Some(played) = play(&spec, &images) else {
            return;
        };
        for what in ["a up", "b up", "main up"] {
            played.comes(what);
        }
        played.life("a").kill();
        played.comes_again("a up", 2);
        assert_eq!(
            (
                played.count("b up"),
                played.count("main up"),
                played.count("main told")
            ),
            (1, 1, 0),
            "{played}"
        );
        played.delete_it();
        played.ends_as(
            Phase::Succeeded,
            &[("a", &[137, 0]), ("b", &[0]), ("main", &[0])],
        );
    }
}

#[test]
fn no_container_starts_after_a_native_sidecar_whose_hook_fails() {
    let hook = "lifecycle: {postStart: {exec: {command: [test, -e, /test/go]}}}";
    let spec = format!(
        "restartPolicy: Never, terminationGracePeriodSeconds: 1, initContainers: [{{name: a, \
         image: a, restartPolicy: Always, {hook}}}], {MAIN}"
    );
    let Some(played) = play(&spec, &[server("a"), ends("main", 0)]) else {
        return;
    };
    played.nth_life("a", 2);
    played.never_happened("main up").allow("go");
    assert_eq!(played.finish(), Phase::Succeeded, "{played}");
    assert!(
        !played.hooks("a", Hook::PostStart)[0].status.success(),
        "{played}"
    );
}

#[test]
fn a_startup_probe_stops_its_container_at_its_failure_threshold() {
    let probe = "startupProbe: {exec: {command: [sh, -c, 'note asked; exit 1']}, \
                 periodSeconds: 1, failureThreshold: 2}";
    let spec = format!(
        "restartPolicy: Never, initContainers: [{{name: a, image: a, restartPolicy: Always, \
         {probe}}}], {MAIN}"
    );
    let Some(played) = play(&spec, &[server("a"), ends("main", 0)]) else {
        return;
    };
    played.comes_again("a up", 2);
    played
        .happened(&["asked", "asked", "a told", "a ended", "a up"])
        .never_happened("main up");
    let asked: Vec<_> = played
        .happenings()
        .into_iter()
        .filter(|its| its.what == "asked")
        .map(|its| its.at)
        .collect();
    // Two attempts are a second apart.
    assert!(
        asked[1] - asked[0] >= Duration::from_millis(900),
        "{played}"
    );
    assert_eq!(
        played
            .happenings()
            .iter()
            .take_while(|its| its.what != "a told")
            .filter(|its| its.what == "asked")
            .count(),
        2
    );
}

#[test]
fn a_startup_probe_that_times_out_is_killed_and_fails() {
    let command = "[sh, -c, 'note asked; test -e /test/go || exec tail -f /dev/null']";
    let probe = format!(
        "startupProbe: {{exec: {{command: {command}}}, periodSeconds: 1, timeoutSeconds: 1, \
         failureThreshold: 9}}"
    );
    let spec = format!(
        "restartPolicy: Never, initContainers: [{{name: a, image: a, restartPolicy: Always, \
         {probe}}}], {MAIN}"
    );
    let Some(played) = play(&spec, &[server("a"), ends("main", 0)]) else {
        return;
    };
    let life = played.life("a");
    let first = life.process("tail");
    played.comes_again("asked", 2);
    assert!(
        life.processes()
            .iter()
            .all(|process| process.pid != first.pid || process.state == 'Z'),
        "{:?}",
        life.processes()
    );
    played.never_happened("main up").allow("go");
    played.ends_as(Phase::Succeeded, &[("a", &[0]), ("main", &[0])]);
}

#[test]
fn a_startup_probe_waits_for_its_initial_delay() {
    let probe = "startupProbe: {exec: {command: [note, asked]}, initialDelaySeconds: 1}";
    let spec = format!(
        "restartPolicy: Never, initContainers: [{{name: a, image: a, restartPolicy: Always, \
         {probe}}}], {MAIN}"
    );
    let Some(played) = play(&spec, &[server("a"), ends("main", 0)]) else {
        return;
    };
    played.finish();
    assert!(
        played.passed("a").unwrap() - played.begin() >= Duration::from_secs(1),
        "{played}"
    );
    played.happened(&["asked", "main up"]);
}

#[test]
fn a_startup_probe_of_a_main_container_delays_nothing_and_stops_it_when_it_fails() {
    let probe =
        "startupProbe: {exec: {command: ['false']}, initialDelaySeconds: 1, failureThreshold: 1}";
    let spec = format!(
        "restartPolicy: Never, containers: [{{name: a, image: a, {probe}}}, {{name: main, \
         image: main}}]"
    );
    let slow = image(
        "a",
        "trap 'note a told; exit 6' TERM; note a up; sleep 100 & wait",
    );
    let Some(played) = play(&spec, &[slow, ends("main", 0)]) else {
        return;
    };
    played.comes("main up");
    assert_eq!(played.finish(), Phase::Failed, "{played}");
}

#[test]
fn main_containers_start_in_order_also_after_a_hook_that_fails() {
    let hook = format!("lifecycle: {{postStart: {}}}", waits_for("go"));
    let fails = "lifecycle: {postStart: {exec: {command: ['false']}}}";
    let spec = format!(
        "restartPolicy: Never, terminationGracePeriodSeconds: 1, \
         containers: [{{name: a, image: a, {hook}}}, {{name: b, image: b, {fails}}}, {{name: main, \
         image: main}}]"
    );
    let stubborn = image("b", "trap '' TERM; note b up; sleep 100");
    let Some(played) = play(&spec, &[server("a"), stubborn, ends("main", 0)]) else {
        return;
    };
    played.comes("a up");
    std::thread::sleep(Duration::from_millis(200));
    assert!(
        played.lives("b").is_empty() && played.phase() == Phase::Pending,
        "{played}"
    );
    played.allow("go");
    played.life("main").code(0);
    assert_eq!(
        (played.codes("b"), played.phase()),
        (vec![137], Phase::Running),
        "{played}"
    );
    assert!(
        played.life("main").started() >= played.ends("b")[0].at,
        "{played}"
    );
    played.delete_it();
    played.ends_as(Phase::Failed, &[("a", &[0])]);
}

#[test]
fn the_back_off_grows_to_its_limit() {
    let spec = format!("restartPolicy: OnFailure, {MAIN}");
    let Some(played) = play(
        &spec,
        &[image("main", &app_in_lives("main", &[1, 1, 1, 1, 1, 1, 0]))],
    ) else {
        return;
    };
    assert_eq!(played.finish(), Phase::Succeeded, "{played}");
    let (lives, ends) = (played.lives("main"), played.ends("main"));
    for (number, least) in [100, 200, 400, 800, 800, 800].into_iter().enumerate() {
        let pause = lives[number + 1].started() - ends[number].at;
        assert!(
            pause >= Duration::from_millis(least),
            "{pause:?} before restart {number}\n{played}"
        );
        assert!(
            pause < Duration::from_millis(least) * 10,
            "{pause:?} before restart {number}\n{played}"
        );
    }
}

#[test]
fn each_policy_restarts_the_containers_that_it_should() {
    for (policy, code, restarts) in [
        ("Never", 3, false),
        ("OnFailure", 0, false),
        ("OnFailure", 3, true),
        ("Always", 0, true),
        ("Always", 3, true),
    ] {
        let spec = format!(
            "restartPolicy: {policy}, containers: [{{name: main, image: main}}, {{name: a, \
             image: a}}]"
        );
        let Some(played) = play(
            &spec,
            &[image("main", &app_in_lives("main", &[code])), server("a")],
        ) else {
            return;
        };
        played.comes("a up");
        // A program may note its start before the kubelet knows that its container runs.
        played.life("a");
        played.life("main").code(code);
        if restarts {
            played.nth_life("main", 1);
        } else {
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(
                (played.restarts("main"), played.phase()),
                (0, Phase::Running),
                "{policy}\n{played}"
            );
        }
    }
}

#[test]
fn a_pod_whose_main_containers_are_done_ends_its_native_sidecars_in_reverse() {
    for (code, phase) in [(0, Phase::Succeeded), (3, Phase::Failed)] {
        let spec = format!("restartPolicy: Never, initContainers: [{SIDECAR}], {MAIN}");
        let images = [
            slow_server("a", 0.0, 7),
            slow_server("b", 0.3, 8),
            image("main", &app("main", code, 0.0)),
        ];
        let Some(played) = play(&spec, &images) else {
            return;
        };
        played.comes("a up");
        played.comes("b up");
        played.comes("main up");
        played.life("main");
        assert_eq!(played.phase(), Phase::Running, "{played}");
        played.allow("end-main");
        // The exit codes of native sidecars do not count.
        played.ends_as(phase, &[("main", &[code]), ("a", &[7]), ("b", &[8])]);
        played.happened(&["main ended", "b told", "b ended", "a told", "a ended"]);
    }
}

#[test]
fn deletion_stops_main_containers_at_once_and_then_native_sidecars_in_reverse() {
    let spec = format!(
        "initContainers: [{SIDECAR}], containers: [{{name: main, image: main}}, {{name: other, \
         image: other}}]"
    );
    let images = [
        server("a"),
        slow_server("b", 0.3, 0),
        image("main", &app("main", 0, 0.5)),
        image("other", &app("other", 0, 0.5)),
    ];
    let Some(played) = play(&spec, &images) else {
        return;
    };
    for what in ["a up", "b up", "main up", "other up"] {
        played.comes(what);
    }
    played.delete_it();
    // Nothing is restarted, although the policy is Always.
    played.ends_as(
        Phase::Succeeded,
        &[("a", &[0]), ("b", &[0]), ("main", &[0]), ("other", &[0])],
    );
    played.happened(&[
        "main told",
        "other ended",
        "b told",
        "b ended",
        "a told",
        "a ended",
    ]);
    played.happened(&["other told", "main ended", "b told"]);
}

#[test]
fn each_pre_stop_runs_at_once_and_delays_only_the_signal_of_its_container() {
    let hook = |name: &str| {
        format!("lifecycle: {{preStop: {{exec: {{command: [note, {name}, hooked]}}}}}}")
    };
    let spec = format!(
        "initContainers: [{{name: a, image: a, restartPolicy: Always, {}}}], \
         containers: [{{name: main, image: main, \
         lifecycle: {{preStop: {}}}}}, {{name: other, image: other}}]",
        hook("a"),
        waits_for("go")
    );
    let images = [
        server("a"),
        image("main", &app("main", 0, 0.0)),
        image("other", &app("other", 0, 0.0)),
    ];
    let Some(played) = play(&spec, &images) else {
        return;
    };
    for what in ["a up", "main up", "other up"] {
        played.comes(what);
    }
    played.delete_it();
    played.comes("a hooked");
    played.comes("other ended");
    played
        .never_happened("main told")
        .never_happened("a told")
        .allow("go");
    played.ends_as(
        Phase::Succeeded,
        &[("a", &[0]), ("main", &[0]), ("other", &[0])],
    );
    played.happened(&["a hooked", "main told", "main ended", "a told"]);
}

#[test]
fn containers_are_killed_after_the_grace_period_and_a_native_sidecar_still_gets_sigterm() {
    let spec = format!("terminationGracePeriodSeconds: 2, initContainers: [{SIDECAR}], {MAIN}");
    let images = [
        server("a"),
        stubborn("b"),
        image("main", "trap '' TERM; note main up; sleep 100"),
    ];
    let Some(played) = play(&spec, &images) else {
        return;
    };
    for what in ["a up", "b up", "main up"] {
        played.comes(what);
    }
    let begin = std::time::Instant::now();
    played.delete_it();
    played.ends_as(
        Phase::Failed,
        &[("a", &[0]), ("b", &[137]), ("main", &[137])],
    );
    // Sidecar a gets SIGTERM only after the grace period, because b and main have not ended before.
    played
        .happened(&["b told"])
        .happened(&["a told", "a ended"]);
    let after = |name: &str| played.ends(name)[0].at - begin;
    assert!(
        after("main") >= Duration::from_secs(2) && after("b") >= Duration::from_secs(4),
        "{played}"
    );
}

#[test]
fn a_pod_is_deleted_while_its_init_container_runs() {
    let spec = format!("initContainers: [{{name: a, image: a}}], {MAIN}");
    let Some(played) = play(&spec, &[image("a", &app("a", 0, 0.0)), ends("main", 0)]) else {
        return;
    };
    played.comes("a up");
    played.delete_it();
    played.ends_as(Phase::Failed, &[("a", &[0]), ("main", &[])]);
}

#[test]
fn a_container_has_its_images_entrypoint_unless_the_manifest_names_a_command() {
    let main = image("main", "note entrypoint: \"$*\".")
        .1
        .with("other", "note other: \"$*\".");
    for (words, noted) in [
        ("", "entrypoint: ."),
        ("args: [a, b]", "entrypoint: a b."),
        ("command: [other]", "other: ."),
        ("command: [other, a], args: [b]", "other: a b."),
    ] {
        let spec =
            format!("restartPolicy: Never, containers: [{{name: main, image: main, {words}}}]");
        let Some(played) = play(&spec, &[("main", main.clone())]) else {
            return;
        };
        assert_eq!(played.finish(), Phase::Succeeded, "{played}");
        assert_eq!(played.happenings()[0].what, noted, "{played}");
    }
}

#[test]
fn volumes_are_shared_as_they_are_mounted() {
    let spec =
        "restartPolicy: Never, volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {}}], \
                initContainers: [
        {name: a, image: a, securityContext: {runAsUser: 7}, volumeMounts: [{name: v, \
        mountPath: /deep/er}]}], containers: [
        {name: main, image: main, volumeMounts: [{name: v, mountPath: /v, readOnly: true}, \
        {name: w, mountPath: /w}]}]";
    let writes = image("a", "echo hello >/deep/er/note");
    let reads = "cat /v/note; stat -c %u /v/note; ls /w | wc -l; echo x >/v/new || echo refused; \
                 echo x >/w/new && echo written; \
                 ls / | grep -c deep";
    let Some(played) = play(spec, &[writes, image("main", reads)]) else {
        return;
    };
    played.finish();
    assert_eq!(
        played.life("main").stdout(),
        "hello\n7\n0\nrefused\nwritten\n0\n",
        "{played}"
    );
    assert!(
        played
            .life("main")
            .stderr()
            .contains("Read-only file system"),
        "{played}"
    );
}

#[test]
fn an_image_volume_is_read_only_whatever_its_mount_says() {
    let spec = "restartPolicy: Never, volumes: [{name: v, image: {reference: 'podgate:0.1.0'}}], \
                containers: [
        {name: main, image: main, volumeMounts: [{name: v, mountPath: /v, readOnly: false}]}]";
    let Some(played) = play(
        spec,
        &[image("main", "ls /v; echo x >/v/podgate || echo refused")],
    ) else {
        return;
    };
    played.finish();
    assert_eq!(
        played.life("main").stdout(),
        "podgate\nrefused\n",
        "{played}"
    );
}

#[test]
fn a_container_has_the_user_and_the_rights_of_its_security_context() {
    let show = "id -u; id -g; grep CapBnd /proc/self/status | cut -f2; \
                grep NoNewPrivs /proc/self/status | cut -f2; \
                echo x 2>/dev/null >/new && echo wrote; echo \"$A-$B\"; pwd; true";
    let of = |pod: &str, container: &str, image_user: Option<(u32, u32)>| {
        let spec = format!(
            "restartPolicy: Never, {pod} containers: [{{name: main, image: main, {container}}}]"
        );
        let mut its = image("main", show).1;
        if let Some((user, group)) = image_user {
            its = its.user(user, group);
        }
        let played = play(&spec, &[("main", its)])?;
        assert_eq!(played.finish(), Phase::Succeeded, "{played}");
        Some(
            played
                .life("main")
                .stdout()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    };
    let hard = "readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, \
                capabilities: {drop: [ALL]}";
    let none = "0000000000000000";
    let Some(plain) = of("", "", None) else {
        return;
    };
    assert_eq!(
        (&plain[..2], &plain[3..]),
        (
            &["0".into(), "0".into()][..],
            &["0".into(), "wrote".into(), "-".into(), "/".into()][..]
        )
    );
    assert_ne!(plain[2], none);
    let user = of("", "", Some((65532, 65532))).unwrap();
    assert_eq!(user[..2], ["65532", "65532"]);
    let pods = of(
        "securityContext: {runAsUser: 5, runAsGroup: 6},",
        "",
        Some((65532, 65532)),
    )
    .unwrap();
    assert_eq!(pods[..2], ["5", "6"]);
    let own = of(
        "securityContext: {runAsUser: 5, runAsNonRoot: true},",
        &format!(
            "env: [{{name: A, value: x}}, {{name: B}}], workingDir: /usr, \
             securityContext: {{runAsUser: 8, runAsGroup: 9, {hard}}}"
        ),
        None,
    );
    assert_eq!(own.unwrap(), ["8", "9", none, "1", "x-", "/usr"]);
}

#[test]
fn a_pod_that_must_not_run_as_root_is_refused() {
    let spec = format!("securityContext: {{runAsNonRoot: true}}, {MAIN}");
    if play(MAIN, &[ends("main", 0)]).is_none() {
        return;
    }
    assert!(refused(|| play(&spec, &[ends("main", 0)])).contains("runs as root"));
    assert!(play(&spec, &[("main", ends("main", 0).1.user(5, 5))]).is_some());
}

/// The message of the panic that this causes.
fn refused<T>(attempt: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(attempt)) else {
        panic!("no panic")
    };
    panic
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_else(|| (*panic.downcast_ref::<&str>().unwrap()).to_owned())
}

#[test]
fn each_pod_has_its_own_network_with_loopback_only() {
    let spec = "restartPolicy: Never, containers: [{name: s, image: s}, {name: main, image: main}]";
    let asks = "until wget -q -O /dev/null http://127.0.0.1:9901/ready || \
                python3 -c 'import urllib.request as u; \
                u.urlopen(\"http://localhost:9901/ready\")' 2>/dev/null; \
                do sleep 0.05; done; note main has its answer; grep -c : /proc/net/dev";
    let images = [
        image("s", &fake("s --ready 9901/ready")),
        image("main", asks),
    ];
    // Two pods use the same port at the same time.
    let (Some(one), Some(two)) = (play(spec, &images), play(spec, &images)) else {
        return;
    };
    for played in [one, two] {
        played.comes("main has its answer");
        let interfaces = played.life("main");
        interfaces.code(0);
        // Some kernels give each namespace tunnel devices. These are down.
        assert!(
            interfaces.stdout().trim().parse::<u32>().unwrap() >= 1,
            "{played}"
        );
        let net = |pid| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        assert_ne!(
            net(std::process::id()),
            net(u32::try_from(played.life("s").pid().as_raw()).unwrap())
        );
    }
}

#[test]
fn a_field_that_the_player_does_not_play_is_an_error() {
    let main = |more: &str| format!("containers: [{{name: main, image: main, {more}}}]");
    for (spec, error) in [
        (
            main("livenessProbe: {exec: {command: [a]}}"),
            "container.livenessProbe is not played",
        ),
        (
            main("lifecycle: {postStart: {httpGet: {port: 1}}}"),
            "handler.httpGet is not played",
        ),
        (
            main("lifecycle: {preStop: {sleep: {seconds: 1}}}"),
            "handler.sleep is not played",
        ),
        (
            main("startupProbe: {httpGet: {port: 1}}"),
            "a startupProbe without a command is not played",
        ),
        (
            main("startupProbe: {exec: {command: [a]}, successThreshold: 1}"),
            "startupProbe.successThreshold is not played",
        ),
        (
            main("volumeMounts: [{name: v, mountPath: /v}]"),
            "there is no volume \"v\"",
        ),
        (
            main("volumeMounts: [{name: v, mountPath: /v, subPath: a}]"),
            "volumeMount.subPath is not played",
        ),
        (
            main("env: [{name: A, valueFrom: {}}]"),
            "env.valueFrom is not played",
        ),
        (main("envFrom: []"), "container.envFrom is not played"),
        (main("command: ['$(A)']"), "is expanded"),
        (main("command: a"), "not a list of texts"),
        (
            main("restartPolicy: Always"),
            "container.restartPolicy is not played",
        ),
        (
            main("securityContext: {privileged: true}"),
            "securityContext.privileged is not played",
        ),
        (
            main("securityContext: {capabilities: {add: [A]}}"),
            "capabilities.add is not played",
        ),
        (
            main("securityContext: {capabilities: {drop: [A]}}"),
            "only ALL",
        ),
        (
            format!("{MAIN}, shareProcessNamespace: true"),
            "pod.shareProcessNamespace is not played",
        ),
        (
            format!("{MAIN}, securityContext: {{fsGroup: 1}}"),
            "securityContext.fsGroup is not played",
        ),
        (
            format!("{MAIN}, volumes: [{{name: v, hostPath: {{}}}}]"),
            "volume.hostPath is not played",
        ),
        (format!("{MAIN}, restartPolicy: Sometimes"), "Sometimes"),
        (
            format!("{MAIN}, initContainers: [{{name: a, image: a, restartPolicy: Never}}]"),
            "only \"Always\"",
        ),
        (
            format!(
                "{MAIN}, initContainers: [{{name: a, image: a, lifecycle: {{preStop: {}}}}}]",
                waits_for("a")
            ),
            "neither hooks nor",
        ),
    ] {
        let found = manifest(&spec)
            .read()
            .err()
            .unwrap_or_else(|| panic!("{spec} is played"));
        assert!(found.contains(error), "{spec}: {found}");
    }
    for (text, error) in [
        ("{kind: Service, spec: {}}", "Service is not played"),
        (
            "{kind: Job, spec: {parallelism: 2, template: {spec: {}}}}",
            "Job.parallelism is not played",
        ),
        (
            "{kind: Job, spec: {template: {spec: {}}}}",
            "a Job's restartPolicy",
        ),
        (
            "{kind: CronJob, spec: {jobTemplate: {spec: {template: {spec: {restartPolicy: \
             Always}}}}}}",
            "a Job's restartPolicy",
        ),
        ("{kind: Pod, status: {}}", "object.status is not played"),
        ("[]", "not a mapping"),
        ("", "0 objects"),
    ] {
        let found = Manifest::new("a", text)
            .read()
            .err()
            .unwrap_or_else(|| panic!("{text} is played"));
        assert!(found.contains(error), "{text}: {found}");
    }
    // The negative control: the same manifest without those fields is accepted.
    assert!(manifest(&main("")).read().is_ok());
}

#[test]
fn a_text_to_replace_must_occur_in_the_manifest() {
    assert!(refused(|| manifest(MAIN).shortened(&[("60s", "1s")])).contains("has no \"60s\""));
    assert!(manifest(MAIN).shortened(&[("main", "a")]).read().is_ok());
}

#[test]
fn events_in_another_order_are_an_error() {
    let Some(played) = play(
        &format!("restartPolicy: Never, {MAIN}"),
        &[image("main", "note a; note b; note b")],
    ) else {
        return;
    };
    played.finish();
    played.happened(&["a", "b", "b"]).never_happened("c");
    assert_eq!(played.count("b"), 2);
    assert!(refused(|| played.happened(&["b", "a"])).contains("\"a\" did not happen in its place"));
    assert!(refused(|| played.happened(&["a", "a"])).contains("did not happen"));
    assert!(refused(|| played.never_happened("b")).contains("\"b\" happened"));
    assert!(refused(|| played.ends_as(Phase::Failed, &[])).contains("Succeeded"));
    assert!(refused(|| played.ends_as(Phase::Succeeded, &[("main", &[1])])).contains("main"));
}

#[test]
fn an_image_without_a_program_is_an_error_of_the_test() {
    if play(MAIN, &[ends("main", 0)]).is_some() {
        assert!(refused(|| play(MAIN, &[])).contains("no image \"main\""));
    }
}
