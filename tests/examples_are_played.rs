//! The examples keep the promises of their comments. Each manifest is played by the rules of the
//! kubelet as it is written, with test programs in place of its images.
//!
//! The notes of the programs give the order of events ([`Played::happened`]). Times that are too
//! long for a test are replaced in the text.

use crate::support::kubelet::{Hook, Phase};
use crate::support::player::{Image, Manifest, Played, app, app_in_lives, fake};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

const REPORT: &str = "registry.example/report:1";
const APP: &str = "registry.example/app:1";
const ENVOY: &str = "envoyproxy/envoy:v1.31.0";

/// A grace period that a test can wait for, in the pod and in the options of podgate.
const SHORT_GRACE: &[(&str, &str)] = &[
    (
        "terminationGracePeriodSeconds: 30",
        "terminationGracePeriodSeconds: 3",
    ),
    ("--grace=30s\"", "--grace=3s\", \"--stop-margin=1s\""),
];
const POD_GRACE: &[(&str, &str)] = &[(
    "terminationGracePeriodSeconds: 30",
    "terminationGracePeriodSeconds: 2",
)];
const SHORT_GATE: &[(&str, &str)] = &[("--after-timeout=60s", "--after-timeout=1s")];

/// The part of Envoy's admin interface that the examples use.
fn envoy(arguments: &str) -> (&'static str, Image) {
    let script = fake(&format!("proxy --ready 9901/ready {arguments}"));
    let image = Image::new("envoy", &script);
    // The entrypoint of the image, for a manifest that names no command.
    (ENVOY, image)
}

fn report(script: &str) -> (&'static str, Image) {
    (REPORT, Image::new("/report", script))
}

fn web(script: &str) -> (&'static str, Image) {
    (APP, Image::new("/app", script))
}

/// A report that ends at once with this code.
fn ends(code: i32) -> String {
    format!("note report up; sleep 0.2; note report ended; exit {code}")
}

/// Waits until the lives of a container have ended with these exit codes.
#[track_caller]
fn lives(played: &Played, name: &str, codes: &[i32]) {
    crate::support::eventually_or(
        &format!("{name} to end with {codes:?}"),
        || played.codes(name).starts_with(codes).then_some(()),
        || played.to_string(),
    );
}

// job-wrapped-sidecar.yaml and two with the same promises: with an image volume, and hardened.

const WRAPPED: [&str; 3] = [
    "job-wrapped-sidecar.yaml",
    "image-volume.yaml",
    "hardened-pod.yaml",
];

#[test]
fn a_wrapped_sidecar_starts_before_the_job_and_ends_after_it() {
    for name in WRAPPED {
        // The proxy's exit code after SIGTERM does not matter.
        let images = [
            envoy("--after 0.3 --code 5"),
            report(&app("report", 0, 0.0)),
        ];
        let Some(played) = Manifest::example(name).play(&images) else {
            return;
        };
        played.allow("end-report");
        played.ends_as(Phase::Succeeded, &[("report", &[0]), ("proxy", &[0])]);
        played.happened(&[
            "proxy up",
            "proxy ready",
            "report up",
            "report ended",
            "proxy told",
            "proxy ended",
        ]);
    }
}

#[test]
fn a_wrapped_sidecar_ends_when_the_job_fails() {
    for name in WRAPPED {
        let Some(played) = Manifest::example(name).play(&[envoy(""), report(&ends(7))]) else {
            return;
        };
        played.ends_as(Phase::Failed, &[("report", &[7]), ("proxy", &[0])]);
        played.happened(&["report ended", "proxy told", "proxy ended"]);
    }
}

#[test]
fn a_wrapped_sidecar_ends_when_the_job_is_killed_with_its_container() {
    for name in WRAPPED {
        let Some(played) =
            Manifest::example(name).play(&[envoy(""), report(&app("report", 0, 0.0))])
        else {
            return;
        };
        played.comes("report up");
        played.never_happened("proxy told");
        played.life("report").kill();
        played.ends_as(Phase::Failed, &[("report", &[137]), ("proxy", &[0])]);
        played
            .happened(&["report up", "proxy told", "proxy ended"])
            .never_happened("report ended");
    }
}

#[test]
fn a_wrapped_sidecar_that_is_never_ready_fails_the_job_with_124() {
    for name in WRAPPED {
        let manifest = Manifest::example(name).shortened(SHORT_GATE);
        let Some(played) = manifest.play(&[envoy("--after never"), report(&ends(0))]) else {
            return;
        };
        played.ends_as(Phase::Failed, &[("report", &[124]), ("proxy", &[0])]);
        played
            .never_happened("report up")
            .happened(&["proxy up", "proxy told", "proxy ended"]);
    }
}

#[test]
fn a_wrapped_sidecar_that_dies_before_it_is_ready_fails_the_job_at_once() {
    for name in WRAPPED {
        let images = [envoy("--after never --dies 0.1 --code 9"), report(&ends(0))];
        let Some(played) = Manifest::example(name).shortened(SHORT_GATE).play(&images) else {
            return;
        };
        played.ends_as(Phase::Failed, &[("report", &[1]), ("proxy", &[9])]);
        played.never_happened("report up");
    }
}

#[test]
fn a_wrapped_sidecar_that_dies_later_does_not_end_the_job() {
    for name in WRAPPED {
        let images = [envoy("--dies 0.5 --code 9"), report(&app("report", 0, 0.0))];
        let Some(played) = Manifest::example(name).play(&images) else {
            return;
        };
        played.comes("report up");
        played.life("proxy").code(9);
        played.never_happened("report told").allow("end-report");
        played.ends_as(Phase::Failed, &[("report", &[0]), ("proxy", &[9])]);
    }
}

#[test]
fn a_wrapped_sidecar_that_ignores_sigterm_is_killed_when_its_grace_is_over_and_the_job_succeeds() {
    for name in WRAPPED {
        let manifest = Manifest::example(name).shortened(SHORT_GRACE);
        let Some(played) = manifest.play(&[envoy("--deaf"), report(&ends(0))]) else {
            return;
        };
        played.ends_as(Phase::Succeeded, &[("report", &[0]), ("proxy", &[0])]);
        played
            .happened(&["report ended", "proxy told"])
            .never_happened("proxy ended");
        let waited = played.ends("proxy")[0]
            .at
            .duration_since(played.comes("proxy told").when());
        assert!(waited >= Duration::from_secs(2), "{waited:?}\n{played}");
    }
}

#[test]
fn a_wrapped_sidecar_serves_a_deleted_pod_until_the_job_has_ended() {
    for name in WRAPPED {
        let Some(played) =
            Manifest::example(name).play(&[envoy(""), report(&app("report", 0, 0.5))])
        else {
            return;
        };
        played.comes("report up");
        played.delete_it();
        played.ends_as(Phase::Succeeded, &[("report", &[0]), ("proxy", &[0])]);
        played.happened(&["report told", "report ended", "proxy told", "proxy ended"]);
    }
}

#[test]
fn the_hardened_pod_is_hardened() {
    let show = "note report up; id -u >&2; touch /new 2>/dev/null && echo wrote to root >&2\n\
                touch /podgate-bin/new 2>/dev/null && echo wrote beside podgate >&2\n\
                touch /run/podgate/proxy.record 2>/dev/null && echo forged >&2\n\
                grep -E '^(CapBnd|NoNewPrivs)' /proc/self/status >&2; exit 0";
    let Some(played) = Manifest::example("hardened-pod.yaml").play(&[envoy(""), report(show)])
    else {
        return;
    };
    played.ends_as(Phase::Succeeded, &[("report", &[0]), ("proxy", &[0])]);
    let said = played.life("report").stderr();
    assert!(
        said.contains("\n1002\n") && !said.contains("wrote") && !said.contains("forged"),
        "{said}"
    );
    assert!(
        said.contains("CapBnd:\t0000000000000000") && said.contains("NoNewPrivs:\t1"),
        "{said}"
    );
    // There is no warning that the binary could be replaced. The negative control below has one.
    assert!(!said.contains("replace"), "{said}");
    let open = Manifest::example("hardened-pod.yaml")
        .shortened(&[("readOnly: true}", "readOnly: false}")]);
    let Some(played) = open.play(&[envoy(""), report(show)]) else {
        return;
    };
    played.ends_as(Phase::Succeeded, &[]);
    let said = played.life("report").stderr();
    assert!(
        said.contains("replace")
            && said.contains("wrote beside podgate")
            && !said.contains("to root"),
        "{said}"
    );
    // Another negative control: without readOnlyRootFilesystem a program of root can write to the
    // root file system.
    let soft = [
        (
            "readOnlyRootFilesystem: true",
            "readOnlyRootFilesystem: false",
        ),
        ("runAsUser: 1002", "runAsUser: 0"),
        ("runAsNonRoot: true", "runAsNonRoot: false"),
    ];
    let soft = Manifest::example("hardened-pod.yaml").shortened(&soft);
    let Some(played) = soft.play(&[envoy(""), report(show)]) else {
        return;
    };
    played.ends_as(Phase::Succeeded, &[]);
    assert!(
        played.life("report").stderr().contains("wrote to root"),
        "{played}"
    );
}

// cronjob.yaml

#[test]
fn the_cronjob_is_retried_in_place_and_its_proxy_stays() {
    let images = [
        envoy("--after 0.2"),
        report(&app_in_lives("report", &[3, 4, 0])),
    ];
    let Some(played) = Manifest::example("cronjob.yaml").play(&images) else {
        return;
    };
    played.ends_as(Phase::Succeeded, &[("report", &[3, 4, 0]), ("proxy", &[0])]);
    played.happened(&[
        "proxy ready",
        "report up",
        "report ended",
        "report up",
        "report ended",
        "report up",
        "proxy told",
    ]);
    assert_eq!(played.count("proxy up"), 1, "{played}");
}

#[test]
fn the_cronjob_is_retried_when_its_container_is_killed() {
    let Some(played) =
        Manifest::example("cronjob.yaml").play(&[envoy(""), report(&app("report", 0, 0.0))])
    else {
        return;
    };
    played.comes("report up");
    played.life("report").kill();
    played.comes_again("report up", 2);
    played.never_happened("proxy told").allow("end-report");
    played.ends_as(Phase::Succeeded, &[("report", &[137, 0]), ("proxy", &[0])]);
    played.happened(&["report up", "report up", "report ended", "proxy told"]);
}

#[test]
fn a_cronjob_that_does_not_come_back_within_the_linger_time_counts_as_done() {
    // The back-off of the test kubelet is at least 0.1 s, which is longer than this --linger.
    let short = [("--linger=auto", "--linger=10ms")];
    let manifest = Manifest::example("cronjob.yaml").shortened(&short);
    let Some(played) = manifest.play(&[envoy(""), report(&app_in_lives("report", &[3, 0]))]) else {
        return;
    };
    // The proxy is restarted, too, because it ended with the exit code of report.
    played.ends_as(Phase::Succeeded, &[("report", &[3, 0]), ("proxy", &[3, 0])]);
}

#[test]
fn the_cronjob_is_retried_when_a_liveness_probe_stops_it_and_it_exits_0() {
    // The kubelet starts report again, although it exited 0. Its proxy has stayed.
    let images = [envoy(""), report(&app("report", 0, 0.0))];
    let Some(played) = Manifest::example("cronjob.yaml").play(&images) else {
        return;
    };
    played.comes("report up");
    played.fails_its_liveness_probe("report");
    played.comes_again("report up", 2);
    played.never_happened("proxy told").allow("end-report");
    played.ends_as(Phase::Succeeded, &[("report", &[0, 0]), ("proxy", &[0])]);
}

#[test]
fn the_cronjob_is_retried_when_its_proxy_is_not_ready_in_time_or_dies() {
    let manifest = Manifest::example("cronjob.yaml").shortened(SHORT_GATE);
    let Some(played) = manifest.play(&[envoy("--after ready"), report(&ends(0))]) else {
        return;
    };
    lives(&played, "report", &[124]);
    played.never_happened("report up").allow("ready");
    played.ends_as(Phase::Succeeded, &[("proxy", &[0])]);
    assert_eq!(played.codes("report").last(), Some(&0), "{played}");
    assert_eq!(played.count("proxy up"), 1, "{played}");

    // A proxy that dies before it is ready is restarted, and becomes ready in its second life.
    let script = "test -e /test/again && exec fake proxy --ready 9901/ready; >/test/again; \
                  exec fake proxy --after never --dies 0.1 --code 9";
    let images = [(ENVOY, Image::new("envoy", script)), report(&ends(0))];
    let Some(played) = Manifest::example("cronjob.yaml").play(&images) else {
        return;
    };
    played.ends_as(Phase::Succeeded, &[("report", &[0]), ("proxy", &[9, 0])]);
    played.happened(&[
        "proxy dies",
        "proxy up",
        "proxy ready",
        "report up",
        "report ended",
        "proxy told",
    ]);
}

#[test]
fn the_cronjob_kills_a_proxy_that_ignores_sigterm() {
    let manifest = Manifest::example("cronjob.yaml").shortened(SHORT_GRACE);
    let Some(played) = manifest.play(&[envoy("--deaf"), report(&app_in_lives("report", &[1, 0]))])
    else {
        return;
    };
    played.ends_as(Phase::Succeeded, &[("report", &[1, 0]), ("proxy", &[0])]);
    played.never_happened("proxy ended");
}

// job-join.yaml

/// Unmodified images, with these scripts as their entrypoints.
fn unmodified(proxy: &str, main: &str) -> [(&'static str, Image); 2] {
    [envoy(proxy), report(main)]
}

#[test]
fn joined_containers_start_and_end_in_order() {
    for (code, phase) in [(0, Phase::Succeeded), (7, Phase::Failed)] {
        let images = unmodified("--after 0.3", &app("report", code, 0.0));
        let Some(played) = Manifest::example("job-join.yaml").play(&images) else {
            return;
        };
        played.comes("report up");
        // The container is a member when its hook has ended.
        played.post_start("report").code(0);
        played.allow("end-report");
        played.ends_as(phase, &[("report", &[code]), ("proxy", &[0])]);
        played.happened(&[
            "proxy up",
            "proxy ready",
            "report up",
            "report ended",
            "proxy told",
            "proxy ended",
        ]);
    }
}

#[test]
fn a_joined_sidecar_ends_when_the_job_is_killed_with_its_container() {
    let images = unmodified("", &app("report", 0, 0.0));
    let Some(played) = Manifest::example("job-join.yaml").play(&images) else {
        return;
    };
    played.comes("report up");
    played.post_start("report").code(0);
    played.life("report").kill();
    played.ends_as(Phase::Failed, &[("report", &[137]), ("proxy", &[0])]);
    played.happened(&["report up", "proxy told", "proxy ended"]);
}

#[test]
fn a_joined_sidecar_that_is_never_ready_is_stopped_and_the_job_starts_all_the_same() {
    let manifest =
        Manifest::example("job-join.yaml").shortened(&[("--timeout=60s", "--timeout=3s")]);
    let Some(played) = manifest.play(&unmodified("--after never", &app("report", 0, 0.0))) else {
        return;
    };
    played.comes("report up");
    assert!(!played.post_start("proxy").status.success(), "{played}");
    played.life("proxy").says("gave up after 3");
    played.allow("end-report");
    played.ends_as(Phase::Succeeded, &[("report", &[0]), ("proxy", &[0])]);
    played.happened(&["proxy told", "proxy ended", "report up", "report ended"]);
}

#[test]
fn a_joined_sidecar_that_dies_early_does_not_keep_the_job_from_starting() {
    let images = unmodified("--after never --dies 0.2 --code 9", &app("report", 0, 0.0));
    let Some(played) = Manifest::example("job-join.yaml").play(&images) else {
        return;
    };
    played.comes("report up");
    played.allow("end-report");
    played.ends_as(Phase::Failed, &[("report", &[0]), ("proxy", &[9])]);
    played.happened(&["proxy dies", "report up", "report ended"]);
}

/// No process inside a container can kill its PID 1, so PID 1 stays until the pod is deleted.
#[track_caller]
fn a_joined_sidecar_that_ignores_sigterm_stays(example: &str, main: &str) {
    let manifest = Manifest::example(example).shortened(POD_GRACE);
    let Some(played) = manifest.play(&unmodified("--deaf", &app(main, 0, 0.0))) else {
        return;
    };
    played.comes(&format!("{main} up"));
    played.post_start(main).code(0);
    played.allow(&format!("end-{main}"));
    played.comes("proxy told");
    played.life(main).code(0);
    played
        .life("proxy")
        .says("if PID 1 stays, nothing inside its container can end it");
    assert_eq!(played.phase(), Phase::Running, "{played}");
    played.delete_it();
    played.ends_as(Phase::Failed, &[(main, &[0]), ("proxy", &[137])]);
}

#[test]
fn a_joined_sidecar_that_ignores_sigterm_is_reported_and_one_that_fails_on_it_fails_the_pod() {
    a_joined_sidecar_that_ignores_sigterm_stays("job-join.yaml", "report");

    let images = unmodified("--code 143", &app("report", 0, 0.0));
    let Some(played) = Manifest::example("job-join.yaml").play(&images) else {
        return;
    };
    played.comes("report up");
    played.post_start("report").code(0);
    played.allow("end-report");
    played.ends_as(Phase::Failed, &[("report", &[0]), ("proxy", &[143])]);
}

#[test]
fn a_joined_sidecar_ends_although_the_job_ended_before_its_hook() {
    let manifest = Manifest::example("job-join.yaml")
        .shortened(&[("--absent-timeout=10m", "--absent-timeout=5s")]);
    let Some(played) = manifest.play(&unmodified("", "note report up; exit 0")) else {
        return;
    };
    // This holds whether or not the hook ran before the container ended.
    played.ends_as(Phase::Succeeded, &[("report", &[0]), ("proxy", &[0])]);
    played.happened(&["report up", "proxy told", "proxy ended"]);
}

// job-istio.yaml, job-linkerd.yaml, job-cloud-sql-proxy.yaml

/// The manifest, the container and the image of the proxy, and its documented ports and paths.
/// Istio and Linkerd inject their proxies.
const MESHES: [(&str, &str, &str, &str); 3] = [
    (
        "job-istio.yaml",
        "istio-proxy",
        "istio/proxyv2",
        "--ready 15021/healthz/ready --quit 15020/quitquitquit",
    ),
    (
        "job-linkerd.yaml",
        "linkerd-proxy",
        "linkerd/proxy",
        "--ready 4191/ready --quit 4191/shutdown",
    ),
    (
        "job-cloud-sql-proxy.yaml",
        "cloud-sql-proxy",
        "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.14.0",
        "--ready 9090/startup --quit 9091/quitquitquit",
    ),
];

fn mesh(
    (name, proxy, image, ports): (&str, &str, &'static str, &str),
    more: &str,
) -> (Manifest, (&'static str, Image)) {
    let manifest = Manifest::example(name);
    let manifest = if name == "job-cloud-sql-proxy.yaml" {
        manifest
    } else {
        manifest.injected(proxy, image)
    };
    (
        manifest,
        (
            image,
            Image::new("proxy", &fake(&format!("proxy {ports} {more}"))),
        ),
    )
}

#[test]
fn a_mesh_proxy_starts_before_the_job_and_is_asked_to_quit_after_it() {
    for its in MESHES {
        for (code, phase) in [(0, Phase::Succeeded), (7, Phase::Failed)] {
            let (manifest, proxy) = mesh(its, "--after 0.3 --lasts 0.2");
            let Some(played) = manifest.play(&[proxy, report(&ends(code))]) else {
                return;
            };
            played.ends_as(phase, &[("report", &[code]), (its.1, &[0])]);
            played.happened(&[
                "proxy up",
                "proxy ready",
                "report up",
                "report ended",
                "proxy quit",
                "proxy ended",
            ]);
            played.never_happened("proxy told");
            // podgate waited for the end of the proxy.
            let (report, proxy) = (played.ends("report")[0].at, played.comes("proxy ended"));
            assert!(
                proxy.at >= played.comes("proxy quit").at + Duration::from_millis(150),
                "{played}"
            );
            assert!(
                report > played.begin() && played.life("report").stderr().contains("has quit"),
                "{played}"
            );
        }
    }
}

#[test]
fn a_mesh_proxy_that_is_never_ready_fails_the_job_with_124_and_is_asked_to_quit() {
    for its in MESHES {
        let (manifest, proxy) = mesh(its, "--after never");
        // The proxy is the last container in the list, so give it time to start: a proxy that
        // refuses connections counts as gone.
        let Some(played) = manifest
            .shortened(&[("--after-timeout=60s", "--after-timeout=3s")])
            .play(&[proxy, report(&ends(0))])
        else {
            return;
        };
        played.ends_as(Phase::Failed, &[("report", &[124]), (its.1, &[0])]);
        played
            .never_happened("report up")
            .happened(&["proxy up", "proxy quit", "proxy ended"]);
    }
}

#[test]
fn a_mesh_proxy_that_dies_early_is_not_asked_to_quit_and_the_job_continues() {
    for its in MESHES {
        let (manifest, proxy) = mesh(its, "--dies 0.5 --code 9");
        let Some(played) = manifest.play(&[proxy, report(&app("report", 0, 0.0))]) else {
            return;
        };
        played.comes("report up");
        played.life(its.1).code(9);
        played.allow("end-report");
        played.ends_as(Phase::Failed, &[("report", &[0]), (its.1, &[9])]);
        played.never_happened("proxy quit");
    }
}

#[test]
fn a_mesh_proxy_is_not_asked_to_quit_when_the_job_is_killed_with_its_container() {
    for its in MESHES {
        let (manifest, proxy) = mesh(its, "");
        let Some(played) = manifest.play(&[proxy, report(&app("report", 0, 0.0))]) else {
            return;
        };
        played.comes("report up");
        played.life("report").kill();
        played.life("report").code(137);
        played.life(its.1);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(played.phase(), Phase::Running, "{played}");
        played.never_happened("proxy quit");
        played.delete_it();
        played.ends_as(Phase::Failed, &[("report", &[137]), (its.1, &[0])]);
    }
}

#[test]
fn a_mesh_proxy_that_ignores_sigterm_serves_a_deleted_job_to_its_end() {
    for its in MESHES {
        let (manifest, proxy) = mesh(its, "--deaf");
        let Some(played) = manifest.play(&[proxy, report(&app("report", 0, 0.5))]) else {
            return;
        };
        played.comes("report up");
        played.delete_it();
        // The proxy gets SIGTERM together with the others, and ends at the request to quit.
        played.ends_as(Phase::Succeeded, &[("report", &[0]), (its.1, &[0])]);
        played.happened(&["proxy told", "report ended", "proxy quit", "proxy ended"]);
    }
}

#[test]
fn a_mesh_proxy_that_does_not_quit_is_reported_and_does_not_change_the_jobs_exit_code() {
    // Linkerd without its annotation lacks the path, and the Cloud SQL proxy without --quitquitquit
    // lacks the port.
    for (its, ports) in [
        (MESHES[1], "--ready 4191/ready"),
        (MESHES[2], "--ready 9090/startup"),
    ] {
        let (manifest, proxy) = mesh((its.0, its.1, its.2, ports), "");
        let manifest = manifest.shortened(&[("--quit-timeout=10s", "--quit-timeout=1s")]);
        let Some(played) = manifest.play(&[proxy, report(&ends(7))]) else {
            return;
        };
        played.life("report").code(7);
        played.life("report").says(if its.0 == "job-linkerd.yaml" {
            "404"
        } else {
            "--quitquitquit"
        });
        assert_eq!(played.phase(), Phase::Running, "{played}");
        played.delete_it();
        played.ends_as(Phase::Failed, &[("report", &[7]), (its.1, &[0])]);
    }
}

// deployment-outlive.yaml

#[test]
fn the_proxy_of_a_deployment_outlives_its_app() {
    let images = [envoy("--after 0.3"), web(&app("app", 0, 0.5))];
    let Some(played) = Manifest::example("deployment-outlive.yaml").play(&images) else {
        return;
    };
    played.comes("app up");
    played.delete_it();
    played.ends_as(Phase::Succeeded, &[("app", &[0]), ("proxy", &[0])]);
    played.happened(&[
        "proxy ready",
        "app up",
        "app told",
        "app ended",
        "proxy told",
        "proxy ended",
    ]);
}

#[test]
fn the_proxy_of_a_deployment_outlives_an_app_that_is_restarted_or_killed() {
    let images = [envoy(""), web(&app("app", 3, 0.0))];
    let Some(played) = Manifest::example("deployment-outlive.yaml").play(&images) else {
        return;
    };
    played.comes("app up");
    played.life("app").kill();
    played.comes_again("app up", 2);
    played.allow("end-app");
    lives(&played, "app", &[137, 3, 3]);
    played.never_happened("proxy told");
    assert_eq!(played.lives("proxy").len(), 1, "{played}");
}

#[test]
fn the_app_of_a_deployment_waits_for_a_proxy_that_is_late_or_dies() {
    let manifest = Manifest::example("deployment-outlive.yaml").shortened(SHORT_GATE);
    let Some(played) = manifest.play(&[envoy("--after ready"), web(&app("app", 0, 0.0))]) else {
        return;
    };
    lives(&played, "app", &[124]);
    played.never_happened("app up").allow("ready");
    played.comes("app up");
    // A proxy that dies is restarted, and the app continues.
    played.life("proxy").kill();
    played.comes_again("proxy ready", 2);
    assert_eq!(
        (played.count("app up"), played.count("app told")),
        (1, 0),
        "{played}"
    );
    played.delete_it();
    played.finish();
    played.happened(&[
        "proxy ready",
        "app up",
        "proxy ready",
        "app told",
        "app ended",
        "proxy told",
    ]);
}

#[test]
fn the_hold_of_a_deployments_proxy_ends_before_the_grace_with_a_message() {
    let short = [
        SHORT_GRACE[0],
        ("--grace=30s", "--grace=3s"),
        ("--stop-margin=5s", "--stop-margin=2s"),
    ];
    let manifest = Manifest::example("deployment-outlive.yaml").shortened(&short);
    let Some(played) = manifest.play(&[envoy(""), web(&app("app", 0, 100.0))]) else {
        return;
    };
    played.comes("app up");
    let begin = Instant::now();
    played.delete_it();
    played.ends_as(Phase::Failed, &[("app", &[137]), ("proxy", &[0])]);
    played
        .happened(&["app told", "proxy told", "proxy ended"])
        .never_happened("app ended");
    assert!(
        played.ends("proxy")[0].at.duration_since(begin) >= Duration::from_secs(1),
        "{played}"
    );
    played.life("proxy").says("--grace");
}

#[test]
fn a_deployments_proxy_that_ignores_sigterm_is_killed_at_the_end_of_the_grace() {
    let short = [
        SHORT_GRACE[0],
        ("--grace=30s", "--grace=3s"),
        ("--stop-margin=5s", "--stop-margin=1s"),
    ];
    let manifest = Manifest::example("deployment-outlive.yaml").shortened(&short);
    let Some(played) = manifest.play(&[envoy("--deaf"), web(&app("app", 0, 0.2))]) else {
        return;
    };
    played.comes("app up");
    played.delete_it();
    played.ends_as(Phase::Failed, &[("app", &[0]), ("proxy", &[137])]);
    played
        .happened(&["app told", "app ended", "proxy told"])
        .never_happened("proxy ended");
}

// deployment-prestop.yaml

#[test]
fn a_pre_stop_hook_lets_the_proxy_outlive_its_app() {
    let images = [envoy(""), web(&app("app", 0, 0.5))];
    let Some(played) = Manifest::example("deployment-prestop.yaml").play(&images) else {
        return;
    };
    played.comes("app up");
    played.comes("proxy ready");
    played.post_start("app").code(0);
    played.delete_it();
    played.ends_as(Phase::Succeeded, &[("app", &[0]), ("proxy", &[0])]);
    played.happened(&["app told", "app ended", "proxy told", "proxy ended"]);
    played.hooks("proxy", Hook::PreStop)[0].code(0);
}

#[test]
fn the_pre_stop_hook_does_not_wait_for_an_app_that_is_not_running() {
    // The app ends at once in each life.
    let manifest = Manifest::example("deployment-prestop.yaml");
    let Some(played) = manifest.play(&[envoy(""), web("note app up; exit 3")]) else {
        return;
    };
    lives(&played, "app", &[3, 3, 3]);
    played.comes("proxy ready");
    let begin = Instant::now();
    played.delete_it();
    assert_eq!(played.finish(), Phase::Failed);
    assert!(begin.elapsed() < Duration::from_secs(10), "{played}");
    assert_eq!(played.codes("proxy"), [0], "{played}");
}

#[test]
fn the_pre_stop_hook_gives_up_before_the_grace_is_over() {
    let short = [
        (
            "terminationGracePeriodSeconds: 30",
            "terminationGracePeriodSeconds: 4",
        ),
        ("--timeout=20s", "--timeout=1s"),
    ];
    let manifest = Manifest::example("deployment-prestop.yaml").shortened(&short);
    let Some(played) = manifest.play(&[envoy(""), web(&app("app", 0, 100.0))]) else {
        return;
    };
    played.comes("app up");
    played.comes("proxy ready");
    played.post_start("app").code(0);
    played.delete_it();
    played.ends_as(Phase::Failed, &[("app", &[137]), ("proxy", &[0])]);
    played
        .happened(&["app told", "proxy told", "proxy ended"])
        .never_happened("app ended");
    played.hooks("proxy", Hook::PreStop)[0].code(124);
}

#[test]
fn a_proxy_with_a_pre_stop_hook_that_dies_is_restarted_and_one_that_ignores_sigterm_is_killed() {
    let short = [
        (
            "terminationGracePeriodSeconds: 30",
            "terminationGracePeriodSeconds: 3",
        ),
        ("--timeout=20s", "--timeout=2s"),
    ];
    let manifest = Manifest::example("deployment-prestop.yaml").shortened(&short);
    let Some(played) = manifest.play(&[envoy("--deaf"), web(&app("app", 0, 0.2))]) else {
        return;
    };
    played.comes("app up");
    played.comes("proxy ready");
    played.post_start("app").code(0);
    played.life("proxy").kill();
    played.comes_again("proxy ready", 2);
    // The kubelet runs no preStop hook when a container ends by itself.
    assert!(played.hooks("proxy", Hook::PreStop).is_empty(), "{played}");
    played.never_happened("app told").delete_it();
    played.ends_as(Phase::Failed, &[("app", &[0]), ("proxy", &[137, 137])]);
    played
        .happened(&["app told", "app ended", "proxy told"])
        .never_happened("proxy ended");
    assert_eq!(played.hooks("proxy", Hook::PreStop).len(), 1, "{played}");
}

#[test]
fn an_app_that_is_restarted_joins_again() {
    let Some(played) =
        Manifest::example("deployment-prestop.yaml").play(&[envoy(""), web(&app("app", 0, 0.3))])
    else {
        return;
    };
    played.comes("app up");
    played.post_start("app").code(0);
    played.life("app").kill();
    played.comes_again("app up", 2);
    crate::support::eventually("the second hook", || {
        (played.hooks("app", Hook::PostStart).len() == 2).then_some(())
    });
    played.delete_it();
    played.ends_as(Phase::Succeeded, &[("app", &[137, 0]), ("proxy", &[0])]);
    played.happened(&["app told", "app ended", "proxy told"]);
}

// deployment-prestop-port.yaml

/// An app that listens on its port until `seconds` after SIGTERM.
fn listening(seconds: f32) -> (&'static str, Image) {
    web(&fake(&format!("app --ready 8080/ --lasts {seconds}")))
}

#[test]
fn a_pre_stop_hook_lets_the_proxy_outlive_the_port_of_its_app() {
    let manifest = Manifest::example("deployment-prestop-port.yaml");
    let Some(played) = manifest.play(&[envoy(""), listening(0.5)]) else {
        return;
    };
    played.comes("app ready");
    played.comes("proxy ready");
    played.delete_it();
    played.ends_as(Phase::Succeeded, &[("app", &[0]), ("proxy", &[0])]);
    played.happened(&["app told", "app ended", "proxy told", "proxy ended"]);
    played.hooks("proxy", Hook::PreStop)[0].code(0);
}

#[test]
fn the_kernel_closes_the_port_of_an_app_that_is_killed() {
    let manifest = Manifest::example("deployment-prestop-port.yaml");
    let Some(played) = manifest.play(&[envoy(""), listening(100.0)]) else {
        return;
    };
    played.comes("app ready");
    played.comes("proxy ready");
    let begin = Instant::now();
    played.delete_it();
    played.comes("app told");
    played.never_happened("proxy told");
    played.life("app").kill();
    played.ends_as(Phase::Failed, &[("app", &[137]), ("proxy", &[0])]);
    assert!(begin.elapsed() < Duration::from_secs(10), "{played}");
    played.hooks("proxy", Hook::PreStop)[0].code(0);
}

#[test]
fn the_pre_stop_hook_does_not_wait_for_an_app_that_does_not_listen() {
    let manifest = Manifest::example("deployment-prestop-port.yaml");
    let Some(played) = manifest.play(&[envoy(""), web(&app("app", 0, 0.5))]) else {
        return;
    };
    played.comes("app up");
    played.comes("proxy ready");
    played.delete_it();
    played.ends_as(Phase::Succeeded, &[("app", &[0]), ("proxy", &[0])]);
    played.happened(&["proxy told", "app ended"]);
}

#[test]
fn the_pre_stop_hook_gives_up_on_a_port_before_the_grace_is_over() {
    let short = [
        (
            "terminationGracePeriodSeconds: 30",
            "terminationGracePeriodSeconds: 4",
        ),
        ("--timeout=20s", "--timeout=1s"),
    ];
    let manifest = Manifest::example("deployment-prestop-port.yaml").shortened(&short);
    let Some(played) = manifest.play(&[envoy(""), listening(100.0)]) else {
        return;
    };
    played.comes("app ready");
    played.comes("proxy ready");
    played.delete_it();
    played.ends_as(Phase::Failed, &[("app", &[137]), ("proxy", &[0])]);
    played
        .happened(&["app told", "proxy told", "proxy ended"])
        .never_happened("app ended");
    played.hooks("proxy", Hook::PreStop)[0].code(124);
}

// sidecar-chain.yaml

const VAULT: &str = "hashicorp/vault:1.18";

/// Writes the token when the test allows `token`.
fn vault() -> (&'static str, Image) {
    let script = "trap 'note secrets told; note secrets ended; exit 0' TERM\n\
                  note secrets up\n\
                  until test -e /test/token; do sleep 0.02; done\n\
                  note secrets ready; >/secrets/token\n\
                  sleep 1000 & wait";
    (VAULT, Image::new("vault", script))
}

const UP: [&str; 6] = [
    "secrets up",
    "secrets ready",
    "proxy up",
    "proxy ready",
    "report up",
    "report ended",
];
const DOWN: [&str; 5] = [
    "report ended",
    "proxy told",
    "proxy ended",
    "secrets told",
    "secrets ended",
];

#[test]
fn a_chain_starts_in_order_and_ends_in_reverse() {
    for (code, phase) in [(0, Phase::Succeeded), (7, Phase::Failed)] {
        let images = [
            vault(),
            envoy("--after 0.2 --lasts 0.2"),
            report(&ends(code)),
        ];
        let Some(played) = Manifest::example("sidecar-chain.yaml").play(&images) else {
            return;
        };
        played.comes("secrets up");
        played.never_happened("proxy up").allow("token");
        played.ends_as(
            phase,
            &[("report", &[code]), ("proxy", &[0]), ("secrets", &[0])],
        );
        played.happened(&UP).happened(&DOWN);
    }
}

#[test]
fn a_chain_ends_in_reverse_when_the_job_is_killed_or_the_pod_deleted() {
    for is_killed in [true, false] {
        let images = [
            vault(),
            envoy("--lasts 0.2"),
            report(&app("report", 0, 0.3)),
        ];
        let Some(played) = Manifest::example("sidecar-chain.yaml").play(&images) else {
            return;
        };
        played.allow("token");
        played.comes("report up");
        if is_killed {
            played.life("report").kill()
        } else {
            played.delete_it()
        }
        let (phase, code) = if is_killed {
            (Phase::Failed, 137)
        } else {
            (Phase::Succeeded, 0)
        };
        played.ends_as(
            phase,
            &[("report", &[code]), ("proxy", &[0]), ("secrets", &[0])],
        );
        played.happened(if is_killed { &DOWN[1..] } else { &DOWN });
    }
}

#[test]
fn a_chain_whose_first_link_is_never_ready_fails_link_by_link() {
    let short = [SHORT_GATE[0], ("--after-timeout=2m", "--after-timeout=2s")];
    let manifest = Manifest::example("sidecar-chain.yaml").shortened(&short);
    let Some(played) = manifest.play(&[vault(), envoy(""), report(&ends(0))]) else {
        return;
    };
    played.ends_as(
        Phase::Failed,
        &[("report", &[1]), ("proxy", &[124]), ("secrets", &[0])],
    );
    played
        .never_happened("proxy up")
        .never_happened("report up");
}

#[test]
fn a_chain_whose_middle_link_is_never_ready_fails_from_there() {
    let manifest = Manifest::example("sidecar-chain.yaml")
        .shortened(&[("--after-timeout=2m", "--after-timeout=2s")]);
    let Some(played) = manifest.play(&[vault(), envoy("--after never"), report(&ends(0))]) else {
        return;
    };
    played.allow("token");
    played.ends_as(
        Phase::Failed,
        &[("report", &[124]), ("proxy", &[0]), ("secrets", &[0])],
    );
    played
        .happened(&[
            "secrets ready",
            "proxy up",
            "proxy told",
            "proxy ended",
            "secrets told",
        ])
        .never_happened("report up");
}

#[test]
fn a_chain_waits_for_a_link_that_ignores_sigterm_until_its_grace_is_over() {
    let manifest = Manifest::example("sidecar-chain.yaml").shortened(SHORT_GRACE);
    let Some(played) = manifest.play(&[vault(), envoy("--deaf"), report(&ends(0))]) else {
        return;
    };
    played.allow("token");
    played.ends_as(
        Phase::Succeeded,
        &[("report", &[0]), ("proxy", &[0]), ("secrets", &[0])],
    );
    played
        .happened(&[
            "report ended",
            "proxy told",
            "secrets told",
            "secrets ended",
        ])
        .never_happened("proxy ended");
}

#[test]
fn a_chain_without_its_middle_link_ends() {
    let short = [("--after-timeout=2m", "--after-timeout=2s")];
    let images = [
        vault(),
        envoy("--after never --dies 0.1 --code 9"),
        report(&ends(0)),
    ];
    let Some(played) = Manifest::example("sidecar-chain.yaml")
        .shortened(&short)
        .play(&images)
    else {
        return;
    };
    played.allow("token");
    played.ends_as(
        Phase::Failed,
        &[("report", &[1]), ("proxy", &[9]), ("secrets", &[0])],
    );
    played
        .happened(&["proxy dies", "secrets told"])
        .never_happened("report up");
}

// essential-sidecar.yaml

fn tunnel(arguments: &str) -> (&'static str, Image) {
    (
        "registry.example/tunnel:1",
        Image::new(
            "/tunnel",
            &fake(&format!("tunnel --ready 8081/ready {arguments}")),
        ),
    )
}

#[test]
fn an_essential_sidecar_runs_from_the_start_to_the_end_of_the_job() {
    for (code, phase) in [(0, Phase::Succeeded), (7, Phase::Failed)] {
        let images = [tunnel("--after 0.3"), report(&ends(code))];
        let Some(played) = Manifest::example("essential-sidecar.yaml").play(&images) else {
            return;
        };
        played.ends_as(phase, &[("report", &[code]), ("tunnel", &[0])]);
        played.happened(&[
            "tunnel ready",
            "report up",
            "report ended",
            "tunnel told",
            "tunnel ended",
        ]);
    }
}

#[test]
fn without_its_essential_sidecar_the_job_stops_with_69() {
    for is_killed in [true, false] {
        let images = [
            tunnel(if is_killed { "" } else { "--dies 1 --code 9" }),
            report(&app("report", 0, 0.2)),
        ];
        let Some(played) = Manifest::example("essential-sidecar.yaml").play(&images) else {
            return;
        };
        played.comes("report up");
        if is_killed {
            played.life("tunnel").kill();
        }
        played.ends_as(
            Phase::Failed,
            &[
                ("report", &[69]),
                ("tunnel", &[if is_killed { 137 } else { 9 }]),
            ],
        );
        played.happened(&["report up", "report told", "report ended"]);
    }
}

#[test]
fn the_sigterm_of_a_liveness_probe_is_held_back_while_the_job_lives() {
    // After a failed liveness probe the kubelet sends SIGTERM to the tunnel alone, and kills it
    // after the probe's grace period (`is_killed`). Otherwise podgate ends the hold before the
    // pod's grace period is over.
    let short = [
        SHORT_GRACE[0],
        ("\"--grace=30s\"", "\"--grace=3s\", \"--stop-margin=1s\""),
    ];
    for is_killed in [true, false] {
        let manifest = Manifest::example("essential-sidecar.yaml").shortened(&short);
        let Some(played) = manifest.play(&[tunnel(""), report(&app("report", 0, 0.0))]) else {
            return;
        };
        played.comes("report up");
        let begin = Instant::now();
        played.life("tunnel").signal(Signal::SIGTERM);
        played.life("tunnel").says("holding SIGTERM back");
        if is_killed {
            played
                .never_happened("tunnel told")
                .never_happened("report told");
            played.life("tunnel").kill();
        }
        played.ends_as(
            Phase::Failed,
            &[
                ("report", &[69]),
                ("tunnel", &[if is_killed { 137 } else { 0 }]),
            ],
        );
        played.happened(&["report up", "report told", "report ended"]);
        assert!(
            is_killed || begin.elapsed() >= Duration::from_secs(2),
            "{played}"
        );
    }
}

#[test]
fn a_job_whose_essential_sidecar_is_never_ready_fails_with_124() {
    let manifest = Manifest::example("essential-sidecar.yaml").shortened(SHORT_GATE);
    let Some(played) = manifest.play(&[tunnel("--after never"), report(&ends(0))]) else {
        return;
    };
    played.ends_as(Phase::Failed, &[("report", &[124]), ("tunnel", &[0])]);
    played.never_happened("report up");
}

#[test]
fn a_job_whose_essential_sidecar_dies_before_it_is_ready_fails_at_once() {
    let manifest = Manifest::example("essential-sidecar.yaml").shortened(SHORT_GATE);
    let Some(played) = manifest.play(&[
        tunnel("--after never --dies 0.1 --code 9"),
        report(&ends(0)),
    ]) else {
        return;
    };
    played.ends_as(Phase::Failed, &[("report", &[1]), ("tunnel", &[9])]);
    played.never_happened("report up");
}

#[test]
fn an_essential_sidecar_ends_when_the_job_is_killed_and_is_killed_when_it_ignores_sigterm() {
    let manifest = Manifest::example("essential-sidecar.yaml").shortened(SHORT_GRACE);
    let Some(played) = manifest.play(&[tunnel("--deaf"), report(&app("report", 0, 0.0))]) else {
        return;
    };
    played.comes("report up");
    played.life("report").kill();
    played.ends_as(Phase::Failed, &[("report", &[137]), ("tunnel", &[0])]);
    played
        .happened(&["report up", "tunnel told"])
        .never_happened("tunnel ended");
}

#[test]
fn a_job_that_ignores_sigterm_without_its_essential_sidecar_is_killed() {
    let manifest = Manifest::example("essential-sidecar.yaml").shortened(SHORT_GRACE);
    let stubborn = "trap 'note report told' TERM; note report up; while :; do sleep 0.1; done";
    let Some(played) = manifest.play(&[tunnel(""), report(stubborn)]) else {
        return;
    };
    played.comes("report up");
    played.life("tunnel").kill();
    played.ends_as(Phase::Failed, &[("report", &[69]), ("tunnel", &[137])]);
    played.happened(&["report up", "report told"]);
}

// main-to-main.yaml

fn steps(migrate: &str, load: i32) -> [(&'static str, Image); 3] {
    let load = format!("note load up; note load ended; exit {load}");
    [
        envoy("--after 0.2"),
        (
            "registry.example/migrate:1",
            Image::new("/migrate", migrate),
        ),
        ("registry.example/load:1", Image::new("/load", &load)),
    ]
}

#[test]
fn the_second_main_starts_when_the_first_has_succeeded() {
    for (code, phase) in [(0, Phase::Succeeded), (7, Phase::Failed)] {
        let images = steps(&app("migrate", 0, 0.0), code);
        let Some(played) = Manifest::example("main-to-main.yaml").play(&images) else {
            return;
        };
        played.comes("migrate up");
        played.never_happened("load up").allow("end-migrate");
        played.ends_as(
            phase,
            &[("migrate", &[0]), ("load", &[code]), ("proxy", &[0])],
        );
        played.happened(&[
            "proxy ready",
            "migrate up",
            "migrate ended",
            "load up",
            "load ended",
            "proxy told",
            "proxy ended",
        ]);
    }
}

#[test]
fn the_second_main_waits_for_the_first_again_when_all_containers_start_again() {
    let work = "note migrate up; until test -e /test/$(grep -c ' migrate up$' /test/events); do \
                sleep 0.02; done; note migrate ended";
    let mut images = steps(work, 0);
    images[2].1 = Image::new("/load", &app("load", 0, 0.0));
    let Some(played) = Manifest::example("main-to-main.yaml").play(&images) else {
        return;
    };
    played.allow("1");
    played.comes("load up");
    played.restarts_all_containers();
    played.comes_again("migrate up", 2);
    played.comes_again("proxy ready", 2);
    // Without the reset the old success would open the gate.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(played.count("load up"), 1, "{played}");
    played.allow("2");
    played.comes_again("load up", 2);
    played.allow("end-load");
    played.ends_as(
        Phase::Succeeded,
        &[
            ("migrate", &[0, 0]),
            ("load", &[137, 0]),
            ("proxy", &[137, 0]),
        ],
    );
}

#[test]
fn the_second_main_never_starts_when_the_first_fails_or_is_killed() {
    for is_killed in [true, false] {
        let Some(played) =
            Manifest::example("main-to-main.yaml").play(&steps(&app("migrate", 3, 0.0), 0))
        else {
            return;
        };
        played.comes("migrate up");
        if is_killed {
            played.life("migrate").kill()
        } else {
            played.allow("end-migrate")
        }
        let code = if is_killed { 137 } else { 3 };
        played.ends_as(
            Phase::Failed,
            &[("migrate", &[code]), ("load", &[1]), ("proxy", &[0])],
        );
        played
            .never_happened("load up")
            .happened(&["migrate up", "proxy told", "proxy ended"]);
    }
}

#[test]
fn the_second_main_gives_up_when_the_first_does_not_end() {
    let manifest = Manifest::example("main-to-main.yaml")
        .shortened(&[("--after-timeout=30m", "--after-timeout=2s")]);
    let Some(played) = manifest.play(&steps(&app("migrate", 0, 0.0), 0)) else {
        return;
    };
    played.life("load").code(124);
    played.never_happened("load up").allow("end-migrate");
    played.ends_as(
        Phase::Failed,
        &[("migrate", &[0]), ("load", &[124]), ("proxy", &[0])],
    );
}

#[test]
fn no_main_starts_when_the_proxy_of_both_is_never_ready() {
    let manifest = Manifest::example("main-to-main.yaml").shortened(SHORT_GATE);
    let mut images = steps(&app("migrate", 0, 0.0), 0);
    images[0] = envoy("--after never");
    let Some(played) = manifest.play(&images) else {
        return;
    };
    played.ends_as(
        Phase::Failed,
        &[("migrate", &[124]), ("load", &[1]), ("proxy", &[0])],
    );
    played
        .never_happened("migrate up")
        .never_happened("load up");
}

#[test]
fn two_mains_start_unless_their_proxy_dies_before_it_is_ready() {
    let manifest = Manifest::example("main-to-main.yaml").shortened(SHORT_GATE);
    let mut images = steps(&app("migrate", 0, 0.0), 0);
    images[0] = envoy("--after never --dies 0.1 --code 9");
    let Some(played) = manifest.play(&images) else {
        return;
    };
    played.ends_as(
        Phase::Failed,
        &[("migrate", &[1]), ("load", &[1]), ("proxy", &[9])],
    );
    played
        .never_happened("migrate up")
        .never_happened("load up");

    images[0] = envoy("");
    let Some(played) = Manifest::example("main-to-main.yaml").play(&images) else {
        return;
    };
    played.comes("migrate up");
    played.life("proxy").kill();
    played.life("proxy").code(137);
    played.never_happened("migrate told").allow("end-migrate");
    played.ends_as(
        Phase::Failed,
        &[("migrate", &[0]), ("load", &[0]), ("proxy", &[137])],
    );
    played.happened(&["migrate ended", "load up", "load ended"]);
}

#[test]
fn the_proxy_of_two_mains_ends_when_the_second_is_killed_and_is_killed_if_it_ignores_sigterm() {
    let manifest = Manifest::example("main-to-main.yaml").shortened(SHORT_GRACE);
    let mut images = steps(&app("migrate", 0, 0.0), 0);
    images[0] = envoy("--deaf");
    images[2].1 = Image::new("/load", &app("load", 0, 0.0));
    let Some(played) = manifest.play(&images) else {
        return;
    };
    played.allow("end-migrate");
    played.comes("load up");
    played.never_happened("proxy told").life("load").kill();
    played.ends_as(
        Phase::Failed,
        &[("migrate", &[0]), ("load", &[137]), ("proxy", &[0])],
    );
    played
        .happened(&["migrate ended", "load up", "proxy told"])
        .never_happened("proxy ended");
}

// native-sidecar-startup-probe.yaml

#[test]
fn an_app_starts_when_its_native_sidecar_is_ready() {
    let images = [envoy("--after ready"), web(&app("app", 0, 0.3))];
    let Some(played) = Manifest::example("native-sidecar-startup-probe.yaml").play(&images) else {
        return;
    };
    played.comes("proxy up");
    std::thread::sleep(Duration::from_millis(300));
    played.never_happened("app up").allow("ready");
    let between = played.comes("app up").at - played.comes("proxy ready").at;
    assert!(between < Duration::from_secs(2), "{between:?}\n{played}");
    // The kubelet stops the app first.
    played.delete_it();
    played.ends_as(Phase::Succeeded, &[("app", &[0]), ("proxy", &[0])]);
    played.happened(&[
        "proxy ready",
        "app up",
        "app told",
        "app ended",
        "proxy told",
        "proxy ended",
    ]);
}

#[test]
fn a_native_sidecar_that_is_never_ready_is_restarted_and_the_app_continues_to_wait() {
    let short = [
        (
            "\"--timeout=55s\"",
            "\"--timeout=300ms\", \"--log-to=container\"",
        ),
        ("timeoutSeconds: 60", "timeoutSeconds: 5"),
    ];
    let manifest = Manifest::example("native-sidecar-startup-probe.yaml").shortened(&short);
    let Some(played) = manifest.play(&[envoy("--after ready"), web(&app("app", 0, 0.0))]) else {
        return;
    };
    played.comes_again("proxy up", 2);
    played
        .happened(&["proxy up", "proxy told", "proxy ended", "proxy up"])
        .never_happened("app up");
    assert_eq!(played.phase(), Phase::Pending, "{played}");
    // Each of the three attempts logs its failure here. Without `--log-to=container` only the
    // kubelet would see it.
    assert_eq!(
        played
            .nth_life("proxy", 0)
            .stderr()
            .matches("gave up after")
            .count(),
        3,
        "{played}"
    );
    played.allow("ready");
    played.comes("app up");
}

/// The process of the probe's attempt that runs in the proxy's container at this moment.
fn attempt(played: &Played) -> Option<i32> {
    let processes = played.life("proxy").processes();
    processes
        .into_iter()
        .find(|process| process.name == "podgate")
        .map(|process| process.inside)
}

#[test]
fn the_startup_probe_of_a_native_sidecar_blocks_in_one_attempt() {
    for (command, is_one) in [("\"wait\", \"--timeout=55s\"", true), ("\"check\"", false)] {
        let manifest = Manifest::example("native-sidecar-startup-probe.yaml");
        let manifest = manifest.shortened(&[
            ("\"wait\", \"--timeout=55s\"", command),
            ("failureThreshold: 3", "failureThreshold: 100"),
        ]);
        let Some(played) = manifest.play(&[envoy("--after ready"), web(&app("app", 0, 0.0))])
        else {
            return;
        };
        played.comes("proxy up");
        let first = crate::support::eventually("an attempt", || attempt(&played));
        // Two periods later the same attempt still runs, not a later one.
        std::thread::sleep(Duration::from_millis(2500));
        assert_eq!(attempt(&played) == Some(first), is_one, "{played}");
        played.allow("ready");
        played.comes("app up");
    }
}

#[test]
fn a_native_sidecar_that_dies_is_restarted_and_the_app_continues() {
    // The sidecar dies before it is ready, and again later.
    let script = "test -e /test/again && exec fake proxy --ready 9901/ready; >/test/again; \
                  exec fake proxy --after never --dies 0.1";
    let images = [
        (ENVOY, Image::new("envoy", script)),
        web(&app("app", 0, 0.0)),
    ];
    let Some(played) = Manifest::example("native-sidecar-startup-probe.yaml").play(&images) else {
        return;
    };
    played.comes("app up");
    played.happened(&["proxy dies", "proxy up", "proxy ready", "app up"]);
    played.life("proxy").kill();
    played.comes_again("proxy ready", 2);
    assert_eq!(
        (played.count("app up"), played.count("app told")),
        (1, 0),
        "{played}"
    );
    // A failed app is restarted without its sidecar.
    played.life("app").kill();
    played.comes_again("app up", 2);
    assert_eq!(played.count("proxy up"), 3, "{played}");
}

#[test]
fn a_native_sidecar_that_ignores_sigterm_is_killed_at_the_end_of_the_grace() {
    let manifest = Manifest::example("native-sidecar-startup-probe.yaml").shortened(POD_GRACE);
    let Some(played) = manifest.play(&[envoy("--deaf"), web(&app("app", 0, 0.2))]) else {
        return;
    };
    played.comes("app up");
    played.delete_it();
    played.ends_as(Phase::Succeeded, &[("app", &[0]), ("proxy", &[137])]);
    played
        .happened(&["app told", "app ended", "proxy told"])
        .never_happened("proxy ended");
}

// native-sidecar-post-start.yaml

#[test]
fn a_job_starts_after_the_hook_of_its_native_sidecar_which_ends_after_the_job() {
    for (code, phase) in [(0, Phase::Succeeded), (7, Phase::Failed)] {
        let images = [envoy("--after 0.3 --code 5"), report(&ends(code))];
        let Some(played) = Manifest::example("native-sidecar-post-start.yaml").play(&images) else {
            return;
        };
        // The exit code of a native sidecar does not count.
        played.ends_as(phase, &[("report", &[code]), ("proxy", &[5])]);
        played.happened(&[
            "proxy up",
            "proxy ready",
            "report up",
            "report ended",
            "proxy told",
            "proxy ended",
        ]);
    }
}

#[test]
fn a_native_sidecar_whose_hook_fails_is_restarted_and_the_job_continues_to_wait() {
    let manifest = Manifest::example("native-sidecar-post-start.yaml")
        .shortened(&[("--timeout=60s", "--timeout=3s")]);
    let Some(played) = manifest.play(&[envoy("--after ready"), report(&ends(0))]) else {
        return;
    };
    played.comes_again("proxy up", 2);
    played
        .happened(&["proxy up", "proxy told", "proxy ended", "proxy up"])
        .never_happened("report up");
    played.nth_life("proxy", 0).says("gave up after 3s");
    played.allow("ready");
    assert_eq!(played.finish(), Phase::Succeeded, "{played}");
    played.happened(&["proxy ready", "report up", "report ended", "proxy told"]);
}

#[test]
fn a_native_sidecar_ends_when_the_job_is_killed_and_is_killed_when_it_ignores_sigterm() {
    for (arguments, code) in [("", 0), ("--deaf", 137)] {
        let manifest = Manifest::example("native-sidecar-post-start.yaml").shortened(POD_GRACE);
        let Some(played) = manifest.play(&[envoy(arguments), report(&app("report", 0, 0.0))])
        else {
            return;
        };
        played.comes("report up");
        played.life("report").kill();
        played.ends_as(Phase::Failed, &[("report", &[137]), ("proxy", &[code])]);
        played.happened(&["report up", "proxy told"]);
    }
}

#[test]
fn a_native_sidecar_that_dies_while_the_job_runs_is_restarted() {
    let images = [envoy(""), report(&app("report", 0, 0.0))];
    let Some(played) = Manifest::example("native-sidecar-post-start.yaml").play(&images) else {
        return;
    };
    played.comes("report up");
    played.life("proxy").kill();
    played.comes_again("proxy ready", 2);
    played.allow("end-report");
    played.ends_as(Phase::Succeeded, &[("report", &[0]), ("proxy", &[137, 0])]);
    assert_eq!(played.count("report up"), 1, "{played}");
}

#[test]
fn a_native_sidecar_that_dies_while_its_hook_waits_is_restarted_and_the_job_continues_to_wait() {
    let script = "test -e /test/again && exec fake proxy --ready 9901/ready; >/test/again; \
                  exec fake proxy --after never --dies 0.2";
    let images = [(ENVOY, Image::new("envoy", script)), report(&ends(0))];
    let Some(played) = Manifest::example("native-sidecar-post-start.yaml").play(&images) else {
        return;
    };
    assert_eq!(played.finish(), Phase::Succeeded, "{played}");
    played.happened(&[
        "proxy up",
        "proxy dies",
        "proxy up",
        "proxy ready",
        "report up",
        "report ended",
        "proxy told",
    ]);
}

// kustomize/job.rendered.yaml and kustomize/deployment.rendered.yaml: third-party manifests with
// the component.

#[test]
fn a_third_party_job_completes_with_the_component() {
    for (code, phase) in [(0, Phase::Succeeded), (7, Phase::Failed)] {
        let images = unmodified("--after 0.3", &app("main", code, 0.0));
        let Some(played) = Manifest::example("kustomize/job.rendered.yaml").play(&images) else {
            return;
        };
        played.comes("main up");
        played.post_start("main").code(0);
        played.allow("end-main");
        played.ends_as(phase, &[("main", &[code]), ("proxy", &[0])]);
        played.happened(&[
            "proxy ready",
            "main up",
            "main ended",
            "proxy told",
            "proxy ended",
        ]);
    }
    // The negative control: without the component the proxy does not end.
    let Some(played) =
        Manifest::example("kustomize/job/job.yaml").play(&unmodified("", &app("main", 0, 0.0)))
    else {
        return;
    };
    played.allow("end-main");
    played.life("main").code(0);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        (played.phase(), played.count("proxy told")),
        (Phase::Running, 0),
        "{played}"
    );
}

#[test]
fn a_third_party_job_ends_when_it_is_killed_and_starts_when_its_proxy_is_never_ready() {
    let manifest = Manifest::example("kustomize/job.rendered.yaml");
    let Some(played) = manifest.play(&unmodified("", &app("main", 0, 0.0))) else {
        return;
    };
    played.comes("main up");
    played.post_start("main").code(0);
    played.life("main").kill();
    played.ends_as(Phase::Failed, &[("main", &[137]), ("proxy", &[0])]);

    let manifest = Manifest::example("kustomize/job.rendered.yaml")
        .shortened(&[("--timeout=60s", "--timeout=3s")]);
    let Some(played) = manifest.play(&unmodified("--after never", &app("main", 0, 0.0))) else {
        return;
    };
    played.comes("main up");
    played.allow("end-main");
    played.ends_as(Phase::Succeeded, &[("main", &[0]), ("proxy", &[0])]);
    played.happened(&["proxy told", "main up"]);
}

#[test]
fn a_third_party_job_continues_without_its_proxy_and_a_proxy_that_ignores_sigterm_is_reported() {
    let images = unmodified("--after never --dies 0.2 --code 9", &app("main", 0, 0.0));
    let Some(played) = Manifest::example("kustomize/job.rendered.yaml").play(&images) else {
        return;
    };
    played.comes("main up");
    played.allow("end-main");
    played.ends_as(Phase::Failed, &[("main", &[0]), ("proxy", &[9])]);
    played.happened(&["proxy dies", "main up", "main ended"]);

    a_joined_sidecar_that_ignores_sigterm_stays("kustomize/job.rendered.yaml", "main");
}

#[test]
fn a_third_party_deployment_with_the_component_fails_as_with_the_hooks_alone() {
    let manifest = Manifest::example("kustomize/deployment.rendered.yaml");
    let short = manifest.shortened(&[("--timeout=60s", "--timeout=3s")]);
    let Some(played) = short.play(&[envoy("--after ready"), web(&app("app", 0, 0.0))]) else {
        return;
    };
    played.comes("app up");
    played
        .happened(&["proxy up", "proxy told", "proxy ended", "app up"])
        .never_happened("proxy ready");
    // The proxy becomes ready in a later life. After that each container is restarted alone.
    played.allow("ready");
    played.comes("proxy ready");
    played.life("main").kill();
    played.comes_again("app up", 2);
    played.never_happened("app told");

    let short = [
        (
            "terminationGracePeriodSeconds: 30",
            "terminationGracePeriodSeconds: 3",
        ),
        ("--timeout=20s", "--timeout=2s"),
    ];
    let manifest = Manifest::example("kustomize/deployment.rendered.yaml").shortened(&short);
    let Some(played) = manifest.play(&[envoy("--deaf"), web(&app("app", 0, 0.2))]) else {
        return;
    };
    played.comes("app up");
    played.post_start("main").code(0);
    played.life("proxy").kill();
    played.comes_again("proxy ready", 2);
    played.never_happened("app told").delete_it();
    played.ends_as(Phase::Failed, &[("main", &[0]), ("proxy", &[137, 137])]);
    played
        .happened(&["app told", "app ended", "proxy told"])
        .never_happened("proxy ended");
}

#[test]
fn the_proxy_of_a_third_party_deployment_starts_first_and_ends_last_with_the_component() {
    let images = [envoy("--after 0.3"), web(&app("app", 0, 0.5))];
    let Some(played) = Manifest::example("kustomize/deployment.rendered.yaml").play(&images) else {
        return;
    };
    played.comes("app up");
    played.post_start("main").code(0);
    played.delete_it();
    played.ends_as(Phase::Succeeded, &[("main", &[0]), ("proxy", &[0])]);
    played.happened(&[
        "proxy ready",
        "app up",
        "app told",
        "app ended",
        "proxy told",
        "proxy ended",
    ]);
    // The negative control: without the component the app starts at once, and the proxy gets
    // SIGTERM together with the app.
    let images = [envoy("--after never"), web(&app("app", 0, 0.5))];
    let Some(played) = Manifest::example("kustomize/deployment/deployment.yaml").play(&images)
    else {
        return;
    };
    played.comes("app up");
    played.comes("proxy up");
    played.delete_it();
    played.ends_as(Phase::Succeeded, &[("main", &[0]), ("proxy", &[0])]);
    played
        .never_happened("proxy ready")
        .happened(&["proxy told", "app ended"]);
}

// The negative control of all tests above: podgate's options in the manifest cause the order.

#[test]
fn without_the_options_of_podgate_an_example_does_not_keep_its_promise() {
    let gateless = [
        ("\"--after=ready:proxy\", ", ""),
        ("\"--until=report\", ", ""),
    ];
    let manifest = Manifest::example("job-wrapped-sidecar.yaml").shortened(&gateless);
    let Some(played) = manifest.play(&[envoy("--after ready"), report(&ends(0))]) else {
        return;
    };
    played.comes("report ended");
    played.never_happened("proxy ready");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        (played.phase(), played.count("proxy told")),
        (Phase::Running, 0),
        "{played}"
    );
}

// job-notify.yaml

/// The database of the example. Its entrypoint runs a temporary server at a socket before the
/// server of the pod. Each starts when the test allows it.
fn database(ready: &str) -> (&'static str, Image) {
    let listens = "import os, socket, time; s = socket.socket(socket.AF_UNIX); \
                   s.bind(\"/data/socket\"); s.listen(); time.sleep(1000)";
    let script = format!(
        "trap 'note db told; kill $server; note db ended; exit 0' INT\n\
         [ \"$1 $PGDATA\" = 'postgres /data/pg' ] || exit 9\n\
         NOTIFY_SOCKET= python3 -c '{listens}' & server=$!\n\
         until test -e /data/socket; do sleep 0.02; done\n\
         note db temporary\n\
         until test -e /test/serve; do sleep 0.02; done\n\
         note db ready\n\
         {ready}\n\
         while :; do sleep 0.02; done"
    );
    let image = Image::new("docker-entrypoint.sh", &script).user(999, 999);
    ("postgres:17", image)
}

const NOTIFIES: &str = "systemd-notify --ready";

fn systemd_notify() -> bool {
    let path = crate::support::program("systemd-notify", &[]);
    crate::support::needs("systemd-notify", path.is_some())
}

#[test]
fn a_job_starts_when_its_database_has_told_that_it_is_ready() {
    let images = || [database(NOTIFIES), report(&app("report", 0, 0.0))];
    if !systemd_notify() {
        return;
    }
    let Some(played) = Manifest::example("job-notify.yaml").play(&images()) else {
        return;
    };
    played.comes("db temporary");
    std::thread::sleep(Duration::from_millis(500));
    played.never_happened("report up").allow("serve");
    played.comes("report up");
    played.allow("end-report");
    played.ends_as(Phase::Succeeded, &[("report", &[0]), ("db", &[0])]);
    played.happened(&[
        "db temporary",
        "db ready",
        "report up",
        "report ended",
        "db told",
        "db ended",
    ]);
    // The negative control: a check of the socket passes too early.
    let asks = [("--ready=notify", "--ready=unix:///data/socket")];
    let manifest = Manifest::example("job-notify.yaml").shortened(&asks);
    let Some(played) = manifest.play(&images()) else {
        return;
    };
    played.comes("report up");
    played.never_happened("db ready");
}

#[test]
fn a_database_that_never_tells_that_it_is_ready_fails_its_job_with_124() {
    let manifest = || {
        let short = [("--after-timeout=2m", "--after-timeout=1s")];
        Manifest::example("job-notify.yaml").shortened(&short)
    };
    if !systemd_notify() {
        return;
    }
    // The neighbour's READY=1 does not count.
    let tells = "for name in $(grep -o '@podgate.notify.*' /proc/net/unix); do \
                 NOTIFY_SOCKET=$name systemd-notify --no-block --ready && note report tells; done";
    let neighbour = format!("until test -e /test/serve; do sleep 0.02; done\n{tells}");
    let manifest = manifest().injected("neighbour", "registry.example/neighbour:1");
    let images = [
        database(""),
        report(&ends(0)),
        (
            "registry.example/neighbour:1",
            Image::new("/tells", &neighbour),
        ),
    ];
    let Some(played) = manifest.play(&images) else {
        return;
    };
    played.comes("db temporary");
    played.allow("serve");
    played.comes("report tells");
    lives(&played, "report", &[124]);
    lives(&played, "db", &[0]);
    played
        .never_happened("report up")
        .happened(&["db ready", "db told", "db ended"]);
}

// wait-in-poststart.yaml

#[test]
fn an_app_starts_when_the_hook_of_its_sidecar_has_ended() {
    let images = [envoy("--after 0.3"), web(&app("app", 0, 0.0))];
    let Some(played) = Manifest::example("wait-in-poststart.yaml").play(&images) else {
        return;
    };
    played.comes("app up");
    played.happened(&["proxy up", "proxy ready", "app up"]);
    // The app and the proxy are each restarted alone.
    played.life("app").kill();
    played.comes_again("app up", 2);
    played.life("proxy").kill();
    played.comes_again("proxy ready", 2);
    assert_eq!(
        (played.count("proxy up"), played.count("app up")),
        (2, 2),
        "{played}"
    );
    played.delete_it();
    played.ends_as(
        Phase::Succeeded,
        &[("app", &[137, 0]), ("proxy", &[137, 0])],
    );
}

#[test]
fn a_hook_that_fails_stops_the_sidecar_and_the_app_starts_all_the_same() {
    let manifest =
        Manifest::example("wait-in-poststart.yaml").shortened(&[("--timeout=60s", "--timeout=3s")]);
    let Some(played) = manifest.play(&[envoy("--after ready"), web(&app("app", 0, 0.0))]) else {
        return;
    };
    played.comes("app up");
    played
        .happened(&["proxy up", "proxy told", "proxy ended", "app up"])
        .never_happened("proxy ready");
    // The reason is in the log of the container, because the output of a hook is lost.
    played.nth_life("proxy", 0).says("gave up after 3s");
    // The sidecar is restarted, and becomes ready in a later life.
    played.allow("ready");
    played.comes("proxy ready");
}

#[test]
fn an_app_starts_although_its_sidecar_dies_in_its_hook_or_ignores_sigterm() {
    for (arguments, code) in [("--dies 0.2 --code 9", 9), ("--deaf", 137)] {
        let short = [POD_GRACE[0], ("--timeout=60s", "--timeout=3s")];
        let manifest = Manifest::example("wait-in-poststart.yaml").shortened(&short);
        let images = [
            envoy(&format!("--after never {arguments}")),
            web(&app("app", 0, 0.0)),
        ];
        let Some(played) = manifest.play(&images) else {
            return;
        };
        played.comes("app up");
        lives(&played, "proxy", &[code]);
    }
}

#[test]
fn an_app_that_fails_is_restarted_and_a_sidecar_that_ignores_sigterm_is_killed_with_the_pod() {
    for name in ["wait-in-poststart.yaml", "gate-in-entrypoint.yaml"] {
        let manifest = Manifest::example(name).shortened(POD_GRACE);
        let images = [envoy("--deaf"), web("note app up; sleep 0.1; exit 3")];
        let Some(played) = manifest.play(&images) else {
            return;
        };
        lives(&played, "app", &[3, 3]);
        played
            .happened(&["proxy ready", "app up", "app up"])
            .never_happened("proxy told");
        assert_eq!(played.lives("proxy").len(), 1, "{played}");
        played.delete_it();
        played.finish();
        assert_eq!(played.codes("proxy"), [137], "{played}");
        played
            .happened(&["app up", "proxy told"])
            .never_happened("proxy ended");
    }
}

#[test]
fn a_pod_that_is_deleted_while_a_hook_waits_stays_until_the_hook_has_ended() {
    for (name, main) in [
        ("wait-in-poststart.yaml", APP),
        ("native-sidecar-post-start.yaml", REPORT),
    ] {
        let program = if main == APP { "/app" } else { "/report" };
        let images = [
            envoy("--after ready"),
            (main, Image::new(program, &app("main", 0, 0.0))),
        ];
        let Some(played) = Manifest::example(name).play(&images) else {
            return;
        };
        played.comes("proxy up");
        played.delete_it();
        std::thread::sleep(Duration::from_millis(300));
        played.never_happened("proxy told").allow("ready");
        played.finish();
        played.happened(&["proxy up", "proxy ready", "proxy told", "proxy ended"]);
    }
}

// gate-in-entrypoint.yaml

#[test]
fn the_gate_in_the_entrypoint_becomes_the_app_when_the_sidecar_is_ready() {
    let images = [
        envoy("--after ready"),
        web(&format!("note app up as $$ $*\n{}", app("app", 0, 0.0))),
    ];
    let Some(played) = Manifest::example("gate-in-entrypoint.yaml").play(&images) else {
        return;
    };
    played.comes("proxy up");
    assert_eq!(
        played.life("app").processes()[0].name,
        "podgate",
        "{played}"
    );
    played.allow("ready");
    // The app is the same process and has its arguments. No process of podgate stays.
    played.comes("app up as 1 --serve");
    played.happened(&["proxy up", "proxy ready", "app up as 1 --serve"]);
    assert!(
        played
            .life("app")
            .processes()
            .iter()
            .all(|process| process.name != "podgate"),
        "{played}"
    );
    played.comes("app up");
    played.life("app").kill();
    played.comes_again("app up", 2);
    played.delete_it();
    played.ends_as(Phase::Succeeded, &[("app", &[137, 0]), ("proxy", &[0])]);
}

#[test]
fn the_gate_in_the_entrypoint_stays_closed_when_the_sidecar_is_never_ready_or_dies() {
    for arguments in ["--after ready", "--after ready --dies 0.3"] {
        let manifest = Manifest::example("gate-in-entrypoint.yaml")
            .shortened(&[("--timeout=60s", "--timeout=500ms")]);
        let Some(played) = manifest.play(&[envoy(arguments), web(&app("app", 0, 0.0))]) else {
            return;
        };
        lives(&played, "app", &[124, 124]);
        played.never_happened("app up");
        played.life("app").says("gave up after");
        played.allow("ready");
        played.comes("app up");
        played.happened(&["proxy ready", "app up"]);
    }
}

#[test]
fn a_pod_is_deleted_at_once_while_the_gate_in_its_entrypoint_waits() {
    let images = [envoy("--after never"), web(&app("app", 0, 0.0))];
    let Some(played) = Manifest::example("gate-in-entrypoint.yaml").play(&images) else {
        return;
    };
    played.comes("proxy up");
    played.life("app").says("waiting");
    played.delete_it();
    played.ends_as(Phase::Failed, &[("app", &[143]), ("proxy", &[0])]);
    played.never_happened("app up");
}
