//! The whole protocol, in every order of its steps: members that start, look, act, end, are killed
//! and are restarted, on one volume.
//!
//! The decisions are those of the shipped code: [`Life`](podgate::core::life::Life),
//! [`observe`](podgate::core::observation::observe) and what they use. The model is the driver
//! around it ([`world`]), as a sequence of atomic steps: take the lock, write a record, narrow the
//! lock, each of the reads of a look, each action of a life, lose the lock, lose the socket, be
//! dead. The gate before CMD makes its own observations, as in podgate. A decision follows at once
//! from what a member has learnt. Between any two steps of one container all others may take
//! theirs. A container or its CMD may be killed, a member may be asked to quit or be sent the stop
//! signal, a file may not be written, and the pod may be deleted. In some pods the containers do
//! not see each other's locks. [`judge`] states what must hold, from the state of the containers;
//! [`search`] tries every order.
//!
//! **Time** is abstract. Everything happens at one moment, and what takes time is a step of its
//! own:
//! - A hold, a wait at a gate and a wait for an absent member may end at any time. The grace period
//!   of a CMD that ignores its stop signal does end.
//! - `--linger` is over when the member does not come back. If the kubelet's back-off for that
//!   restart, at its real length, and a minute are not shorter than it, it may be over before.
//! - A change is looked at eventually (inotify, or the slow poll), however late.
//! - A restart by the kubelet takes longer than a turn of podgate (milliseconds). So no member is
//!   restarted between a look and what follows from it. With [`Pod::is_eager`] restarts may happen
//!   at any time, as on a node so busy that a turn takes longer.
//!
//! **Rounds**: with RestartAllContainers all containers are killed at once, and with
//! [`reset`](podgate::core::round) the next round begins with no files. A new sandbox kills all
//! containers, too, but keeps the files, and what had succeeded does not start again. Both are one
//! step: init containers run while no member lives.
//!
//! **In the end**: a step that is only possible (a kill, a deletion) need not happen; all others
//! do. In every order they lead to a world in which nothing is left to do: the search proves that
//! no world is reached twice, and no container lives more than twice. A container that would have
//! to live a third time has reached its Job's `backoffLimit`, and the pod is deleted. In the end,
//! no sidecar may be left over.
//!
//! **Not modelled**: a record that cannot be read or written, a look that cannot be made, `--quit`,
//! forwarded signals, more than one need, and a joined process that dies without its container.
//! Tests with real processes cover those.

// A test reports what is wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    clippy::arithmetic_side_effects
)]
#![allow(
    clippy::print_stdout,
    reason = "the tests print how much they have tried"
)]

mod judge;
mod member;
mod search;
mod world;

use podgate::core::life::Relation;
use podgate::core::linger::Linger;
use podgate::core::member::Policy::{self, Always, Auto, Never, OnFailure};
use search::search;
use std::time::Duration;

/// A container's settings, and what it may do.
#[derive(Clone, Debug)]
struct Role {
    name: &'static str,
    /// Its relations to others, by their indices in the pod.
    relations: Vec<(usize, Relation)>,
    /// The value of `--restart-policy`. The record states it unless it is `auto`.
    policy: Policy,
    /// The codes with which CMD may end by itself. Empty: it ends only on its stop signal.
    ends: &'static [u8],
    /// The code with which CMD ends on its stop signal, if it obeys that.
    stop_code: u8,
    obeys: bool,
    has_ready: bool,
    has_absent_timeout: bool,
    /// Whether the start of CMD may fail.
    may_not_start: bool,
    /// Whether it is a `join`: CMD is PID 1, and podgate runs beside it.
    is_joined: bool,
}

/// A pod, and what may happen to it. Numbers say how often.
#[derive(Clone, Debug)]
struct Pod {
    name: &'static str,
    roles: Vec<Role>,
    /// The pod's own restartPolicy.
    restarts: Policy,
    kills: u8,
    may_be_deleted: bool,
    /// Stop signals to one container alone, from a liveness probe or from somewhere else.
    probes: u8,
    /// Requests to quit.
    quits: u8,
    /// Failures to write down which failures are acted on.
    forgets: u8,
    /// RestartAllContainers.
    rounds: u8,
    /// Crashes of the sandbox.
    crashes: u8,
    /// Whether the kubelet may restart a container before others have seen that it ended.
    is_eager: bool,
    /// Whether a record may change so often that a look gives up.
    is_hasty: bool,
    /// Whether containers see each other's locks.
    shares_locks: bool,
    /// Whether each look is judged, or only its consequences.
    judges_looks: bool,
    /// The value of `--linger`.
    linger: Linger,
    /// How often each container was started before.
    starts_before: u8,
    flaw: Flaw,
}

/// A mistake made on purpose, to prove that the search finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// The look does not read the record a second time.
    ReadsOnce,
    /// A starting member takes the narrow lock at once, which states that the record is its own.
    NarrowLock,
    /// The member does not write down which failures it acted on.
    Forgets,
    /// The member writes down which failures it acts on after it has acted.
    ActsFirst,
    /// An absent member counts as done.
    AbsentIsDone,
    /// The member never looks again after a change.
    IgnoresChanges,
    /// A stop is not held back.
    NeverHolds,
    /// The life does not know what the gate saw when CMD starts. (This was a bug once.)
    GateLooksAlone,
    /// A signal that arrived before the start of CMD is ignored.
    IgnoresEarlySignal,
    /// The exit code is always CMD's.
    ExitsAsCmd,
    /// The member looks again after every look.
    LooksForever,
    /// A record does not say that a stop signal was the cause of the end.
    ForgetsStop,
    /// A free lock alone means dead.
    LockAlone,
    /// A member whose socket has outlived its lock is not looked at again.
    ForgetsSockets,
    /// A new round finds the files of the last one.
    KeepsRound,
    /// A new sandbox finds no files.
    ForgetsRound,
}

const UNTIL: Relation = Relation {
    until: true,
    outlives: true,
    needs: false,
};
const OUTLIVE: Relation = Relation {
    until: false,
    outlives: true,
    needs: false,
};
const NEED: Relation = Relation {
    until: false,
    outlives: false,
    needs: true,
};

/// A pair whose main exits 0 on its stop signal.
fn polite(restarts: Policy, main: Policy, sidecar: Policy) -> Pod {
    let mut pod = pair(restarts, main, sidecar);
    pod.roles[0].stop_code = 0;
    Pod {
        name: "a main that exits 0 when it is stopped, and its sidecar",
        probes: 1,
        ..pod
    }
}

fn main_with(policy: Policy) -> Role {
    Role {
        name: "main",
        relations: Vec::new(),
        policy,
        ends: &[0, 3],
        stop_code: 143,
        obeys: true,
        has_ready: false,
        has_absent_timeout: false,
        may_not_start: false,
        is_joined: false,
    }
}

fn server(name: &'static str, relations: &[(usize, Relation)], policy: Policy) -> Role {
    Role {
        name,
        relations: relations.to_vec(),
        ends: &[],
        stop_code: 0,
        ..main_with(policy)
    }
}

fn pod(name: &'static str, restarts: Policy, roles: Vec<Role>) -> Pod {
    Pod {
        name,
        roles,
        restarts,
        kills: 0,
        may_be_deleted: false,
        probes: 0,
        quits: 0,
        forgets: 0,
        rounds: 0,
        crashes: 0,
        is_eager: false,
        is_hasty: false,
        shares_locks: true,
        judges_looks: true,
        linger: Linger::Auto,
        starts_before: 0,
        flaw: Flaw::None,
    }
}

/// A main, and a sidecar that ends with it. The policies are the pod's own, the main's and the
/// sidecar's.
fn pair(restarts: Policy, main: Policy, sidecar: Policy) -> Pod {
    let name = "a main and its sidecar";
    pod(
        name,
        restarts,
        vec![main_with(main), server("sidecar", &[(0, UNTIL)], sidecar)],
    )
}

/// The same, and the main needs the sidecar.
fn needing(restarts: Policy, policy: Policy) -> Pod {
    let main = Role {
        relations: vec![(1, NEED)],
        ..main_with(policy)
    };
    let sidecar = Role {
        has_ready: true,
        ..server("sidecar", &[(0, UNTIL)], policy)
    };
    pod(
        "a main that needs its sidecar",
        restarts,
        vec![main, sidecar],
    )
}

/// A log shipper that ends with a proxy that ends with the main.
fn chain(restarts: Policy, policy: Policy) -> Pod {
    let roles = vec![
        main_with(policy),
        server("proxy", &[(0, UNTIL)], policy),
        server("shipper", &[(1, UNTIL)], policy),
    ];
    pod("a chain of two sidecars", restarts, roles)
}

/// Two mains, and a sidecar that ends with both.
fn two_mains(restarts: Policy, policy: Policy) -> Pod {
    let other = Role {
        name: "other",
        ..main_with(policy)
    };
    let roles = vec![
        main_with(policy),
        other,
        server("sidecar", &[(0, UNTIL), (1, UNTIL)], policy),
    ];
    pod("two mains and their sidecar", restarts, roles)
}

/// A proxy that needs a database and ends with the main; the database ends with the proxy.
fn in_between(restarts: Policy, policy: Policy) -> Pod {
    let proxy = server("proxy", &[(0, UNTIL), (2, NEED)], policy);
    let roles = vec![
        main_with(policy),
        proxy,
        server("database", &[(1, UNTIL)], policy),
    ];
    pod("a sidecar that needs another", restarts, roles)
}

/// Two servers, one of which outlives the other.
fn servers(restarts: Policy) -> Pod {
    let roles = vec![
        server("server", &[], Policy::Auto),
        server("proxy", &[(0, OUTLIVE)], Policy::Auto),
    ];
    pod("a server and its proxy", restarts, roles)
}

/// A server that needs its proxy, which outlives it.
fn essential(restarts: Policy) -> Pod {
    let server = Role {
        relations: vec![(1, NEED)],
        ..server("server", &[], Policy::Auto)
    };
    let proxy = Role {
        name: "proxy",
        relations: vec![(0, OUTLIVE)],
        has_ready: true,
        ..server.clone()
    };
    pod(
        "a server and its essential proxy",
        restarts,
        vec![server, proxy],
    )
}

/// A main and a sidecar whose images are not changed, with `join` in both.
fn joined(restarts: Policy, policy: Policy) -> Pod {
    let pod = pair(restarts, policy, policy);
    let roles = pod
        .roles
        .into_iter()
        .map(|role| Role {
            is_joined: true,
            ..role
        })
        .collect();
    Pod {
        name: "a joined main and its joined sidecar",
        roles,
        ..pod
    }
}

/// Asserts that nothing is wrong in any order, and that the search visited many worlds.
fn holds(pod: &Pod, at_least: usize) {
    let found = search(pod);
    let policies: Vec<&str> = pod.roles.iter().map(|role| role.policy.word()).collect();
    let may = [
        (pod.kills, "killed"),
        (u8::from(pod.may_be_deleted), "deleted"),
        (pod.probes, "stopped alone"),
        (pod.quits, "asked to quit"),
        (pod.forgets, "failures to write"),
        (pod.rounds, "all restarted"),
        (pod.crashes, "new sandboxes"),
        (u8::from(pod.is_eager), "restarted at once"),
        (u8::from(pod.is_hasty), "records change quickly"),
        (u8::from(!pod.shares_locks), "locks are not shared"),
    ];
    let may: Vec<String> = may
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!(", {what}: {count}"))
        .collect();
    println!(
        "{} (pod {}: {}{}): {} worlds, {} steps, {} ends",
        pod.name,
        pod.restarts.word(),
        policies.join(" "),
        may.concat(),
        found.worlds,
        found.steps,
        found.ends
    );
    if let Some(wrong) = found.wrong {
        panic!("{}:\n{wrong}", pod.name);
    }
    assert!(
        found.worlds >= at_least && found.ends > 0,
        "{} worlds only",
        found.worlds
    );
}

#[test]
fn a_main_and_its_sidecar_in_every_order() {
    holds(
        &Pod {
            kills: 2,
            may_be_deleted: true,
            ..pair(Never, Auto, Auto)
        },
        24_000,
    );
    holds(
        &Pod {
            kills: 1,
            may_be_deleted: true,
            ..pair(Never, Never, Auto)
        },
        17_000,
    );
    holds(
        &Pod {
            kills: 1,
            may_be_deleted: true,
            ..pair(Never, Auto, Never)
        },
        17_000,
    );
    holds(
        &Pod {
            kills: 1,
            may_be_deleted: true,
            ..pair(OnFailure, Auto, Auto)
        },
        195_000,
    );
    holds(
        &Pod {
            kills: 1,
            ..pair(OnFailure, OnFailure, Auto)
        },
        17_000,
    );
    holds(
        &Pod {
            kills: 1,
            ..pair(OnFailure, Auto, OnFailure)
        },
        20_000,
    );
    holds(
        &Pod {
            kills: 1,
            ..pair(Always, Always, Always)
        },
        26_000,
    );
    holds(
        &Pod {
            kills: 1,
            ..pair(Always, Auto, Auto)
        },
        64_000,
    );
}

#[test]
fn a_pair_with_one_fault_in_every_order() {
    holds(
        &Pod {
            quits: 1,
            ..pair(OnFailure, Auto, Auto)
        },
        26_000,
    );
    holds(
        &Pod {
            kills: 1,
            forgets: 1,
            ..pair(OnFailure, Auto, Auto)
        },
        67_000,
    );
    holds(
        &Pod {
            probes: 1,
            ..pair(OnFailure, Auto, Auto)
        },
        37_000,
    );
    holds(
        &Pod {
            kills: 1,
            is_hasty: true,
            ..pair(OnFailure, Auto, Auto)
        },
        43_000,
    );
    let mut pod = pair(Never, Auto, Auto);
    pod.roles[0].may_not_start = true;
    pod.roles[1].has_absent_timeout = true;
    pod.roles[1].obeys = false;
    holds(
        &Pod {
            kills: 1,
            may_be_deleted: true,
            ..pod
        },
        39_000,
    );
}

#[test]
fn a_main_that_a_probe_stops_and_that_exits_0_in_every_order() {
    for policy in [Never, OnFailure, Auto] {
        holds(&polite(OnFailure, policy, policy), 1_000);
        holds(&polite(Never, policy, policy), 1_000);
    }
    holds(&polite(OnFailure, Auto, OnFailure), 1_000);
    holds(&polite(Always, Always, Always), 1_000);
}

#[test]
fn a_retry_after_any_back_off_finds_its_sidecar_in_every_order() {
    for starts_before in 0..9 {
        for (main, sidecar) in [(OnFailure, OnFailure), (OnFailure, Auto)] {
            let pair = Pod {
                kills: 1,
                starts_before,
                ..pair(OnFailure, main, sidecar)
            };
            holds(&pair, 1_000);
        }
        let joined = Pod {
            starts_before,
            ..joined(OnFailure, OnFailure)
        };
        holds(&joined, 1_000);
    }
}

/// Pods with these numbers of rounds after the first, and of crashes.
fn restarted_as_a_whole(rounds: u8, crashes: u8) {
    for policy in [Never, OnFailure] {
        let pods = [
            pair(policy, policy, policy),
            pair(policy, Auto, Auto),
            joined(policy, policy),
        ];
        for pod in pods {
            let pod = Pod {
                rounds,
                crashes,
                ..pod
            };
            holds(&pod, 2_000);
        }
    }
}

#[test]
fn a_pod_whose_containers_all_start_again_in_every_order() {
    restarted_as_a_whole(1, 0);
}

#[test]
fn a_pod_whose_sandbox_crashes_in_every_order() {
    restarted_as_a_whole(0, 1);
}

#[test]
#[ignore = "larger: `cargo test --test protocol -- --ignored --nocapture of_more`"]
fn a_pod_whose_sandbox_crashes_before_or_after_a_round_in_every_order_of_more() {
    restarted_as_a_whole(1, 1);
}

#[test]
fn a_kubelet_that_restarts_at_once_in_every_order() {
    holds(
        &Pod {
            kills: 1,
            is_eager: true,
            ..pair(OnFailure, Auto, Auto)
        },
        66_000,
    );
    holds(
        &Pod {
            kills: 1,
            is_eager: true,
            ..pair(OnFailure, OnFailure, Auto)
        },
        44_000,
    );
    holds(
        &Pod {
            is_eager: true,
            ..needing(OnFailure, OnFailure)
        },
        15_000,
    );
}

#[test]
fn a_member_that_needs_another_in_every_order() {
    holds(
        &Pod {
            kills: 1,
            may_be_deleted: true,
            ..needing(Never, Never)
        },
        56_000,
    );
    holds(&needing(OnFailure, OnFailure), 8_000);
    holds(
        &Pod {
            kills: 1,
            ..essential(Always)
        },
        64_000,
    );
}

#[test]
fn a_server_and_its_proxy_in_every_order() {
    holds(
        &Pod {
            kills: 1,
            may_be_deleted: true,
            ..servers(Always)
        },
        24_000,
    );
    holds(
        &Pod {
            may_be_deleted: true,
            probes: 1,
            ..servers(OnFailure)
        },
        17_000,
    );
}

#[test]
fn members_that_joined_in_every_order() {
    holds(
        &Pod {
            kills: 1,
            may_be_deleted: true,
            ..joined(Never, Never)
        },
        3_000,
    );
    holds(
        &Pod {
            kills: 1,
            ..joined(OnFailure, OnFailure)
        },
        17_000,
    );
    let mut pod = joined(Never, Never);
    pod.roles[0].is_joined = false;
    holds(
        &Pod {
            kills: 1,
            may_be_deleted: true,
            name: "a main and its joined sidecar",
            ..pod
        },
        6_000,
    );
    let mut pod = joined(Never, Never);
    pod.roles[1].is_joined = false;
    holds(
        &Pod {
            kills: 1,
            may_be_deleted: true,
            name: "a joined main and its sidecar",
            ..pod
        },
        11_000,
    );
}

#[test]
fn members_that_do_not_see_each_others_locks_in_every_order() {
    for pod in [
        Pod {
            kills: 1,
            may_be_deleted: true,
            ..pair(Never, Auto, Auto)
        },
        Pod {
            kills: 1,
            ..pair(OnFailure, Auto, Auto)
        },
        Pod {
            kills: 1,
            is_eager: true,
            ..pair(OnFailure, OnFailure, Auto)
        },
        Pod {
            probes: 1,
            ..pair(OnFailure, OnFailure, OnFailure)
        },
        Pod {
            kills: 1,
            ..needing(Never, Never)
        },
        Pod {
            kills: 1,
            may_be_deleted: true,
            ..servers(Always)
        },
        Pod {
            kills: 1,
            ..joined(OnFailure, OnFailure)
        },
    ] {
        holds(
            &Pod {
                shares_locks: false,
                ..pod
            },
            15_000,
        );
    }
}

#[test]
fn three_members_in_every_order() {
    holds(&chain(Never, Auto), 58_000);
    holds(&two_mains(Never, Auto), 107_000);
    holds(&in_between(Never, Auto), 263_000);
}

#[test]
#[ignore = "larger: `cargo test --test protocol -- --ignored --nocapture of_more`"]
fn pairs_in_every_order_of_more() {
    for (restarts, main, sidecar) in [
        (Never, Auto, Auto),
        (Never, Never, Never),
        (Never, Never, Auto),
        (Never, OnFailure, OnFailure),
        (OnFailure, Auto, Auto),
        (OnFailure, OnFailure, OnFailure),
        (OnFailure, OnFailure, Auto),
        (OnFailure, Auto, OnFailure),
        (Always, Always, Always),
        (Always, Auto, Auto),
    ] {
        holds(
            &Pod {
                kills: 2,
                may_be_deleted: true,
                forgets: 1,
                ..pair(restarts, main, sidecar)
            },
            10_000,
        );
    }
}

#[test]
#[ignore = "larger: `cargo test --test protocol -- --ignored --nocapture of_more`"]
fn pairs_with_several_faults_in_every_order_of_more() {
    for (restarts, policy) in [
        (Never, Auto),
        (Never, Never),
        (OnFailure, Auto),
        (OnFailure, OnFailure),
    ] {
        holds(
            &Pod {
                quits: 1,
                probes: 1,
                kills: 1,
                ..pair(restarts, policy, policy)
            },
            10_000,
        );
        holds(
            &Pod {
                is_eager: true,
                kills: 1,
                may_be_deleted: true,
                ..pair(restarts, policy, policy)
            },
            10_000,
        );
        holds(
            &Pod {
                kills: 1,
                may_be_deleted: true,
                ..needing(restarts, policy)
            },
            10_000,
        );
        holds(
            &Pod {
                kills: 1,
                is_eager: true,
                ..needing(restarts, policy)
            },
            10_000,
        );
    }
}

#[test]
#[ignore = "larger: `cargo test --test protocol -- --ignored --nocapture of_more`"]
fn servers_and_joined_members_in_every_order_of_more() {
    holds(
        &Pod {
            kills: 2,
            may_be_deleted: true,
            ..servers(Always)
        },
        10_000,
    );
    holds(
        &Pod {
            kills: 1,
            probes: 2,
            may_be_deleted: true,
            ..servers(OnFailure)
        },
        10_000,
    );
    holds(
        &Pod {
            kills: 2,
            may_be_deleted: true,
            ..essential(Always)
        },
        10_000,
    );
    holds(
        &Pod {
            kills: 1,
            quits: 1,
            probes: 1,
            ..essential(OnFailure)
        },
        10_000,
    );
    holds(
        &Pod {
            kills: 2,
            may_be_deleted: true,
            probes: 1,
            quits: 1,
            ..joined(OnFailure, OnFailure)
        },
        10_000,
    );
}

#[test]
#[ignore = "larger: `cargo test --test protocol -- --ignored --nocapture of_more`"]
fn three_members_in_every_order_of_more() {
    for make in [chain, two_mains, in_between] {
        holds(
            &Pod {
                may_be_deleted: true,
                ..make(Never, Auto)
            },
            10_000,
        );
        holds(
            &Pod {
                kills: 1,
                ..make(Never, Never)
            },
            10_000,
        );
        holds(&make(OnFailure, OnFailure), 10_000);
    }
}

#[test]
fn every_flaw_is_found() {
    let restarted = || Pod {
        kills: 1,
        ..pair(OnFailure, Auto, Auto)
    };
    let again = || Pod {
        rounds: 1,
        ..pair(OnFailure, OnFailure, OnFailure)
    };
    let unjudged = |pod: Pod| Pod {
        judges_looks: false,
        ..pod
    };
    for (flaw, pod, what) in [
        (
            Flaw::ReadsOnce,
            restarted(),
            "main is Lives(17), and is observed as",
        ),
        (
            Flaw::ReadsOnce,
            unjudged(restarted()),
            "main, which has published its end, is considered lost",
        ),
        (
            Flaw::NarrowLock,
            restarted(),
            "main is Starts, and is observed as",
        ),
        (
            Flaw::NarrowLock,
            unjudged(Pod {
                kills: 1,
                ..needing(OnFailure, OnFailure)
            }),
            "CMD is started, and sidecar, which it needs, is not ready",
        ),
        (
            Flaw::KeepsRound,
            again(),
            "main is Absent, and is observed as Ended",
        ),
        (
            Flaw::KeepsRound,
            unjudged(again()),
            "done, and main has not ended",
        ),
        (
            Flaw::ForgetsRound,
            unjudged(Pod {
                crashes: 1,
                ..pair(OnFailure, OnFailure, OnFailure)
            }),
            "sidecar never ends",
        ),
        (Flaw::Forgets, restarted(), "a failure is acted on twice"),
        (
            Flaw::ActsFirst,
            restarted(),
            "it acts on a failure that it has not written down",
        ),
        (
            Flaw::AbsentIsDone,
            restarted(),
            "done, and main has not ended",
        ),
        (
            Flaw::IgnoresChanges,
            Pod {
                kills: 1,
                ..pair(Never, Auto, Auto)
            },
            "sidecar never ends",
        ),
        (
            Flaw::NeverHolds,
            Pod {
                may_be_deleted: true,
                ..servers(Always)
            },
            "CMD is stopped, and server lives",
        ),
        (
            Flaw::GateLooksAlone,
            needing(Never, Never),
            "sidecar is considered lost, and lives",
        ),
        (
            Flaw::IgnoresEarlySignal,
            Pod {
                may_be_deleted: true,
                ..restarted()
            },
            "its gate opens after a signal to end",
        ),
        (
            Flaw::ExitsAsCmd,
            restarted(),
            "exit code 0, expected one of [137]",
        ),
        (
            Flaw::LooksForever,
            restarted(),
            "from here it may never come to an end",
        ),
        (
            Flaw::ForgetsStop,
            polite(OnFailure, OnFailure, OnFailure),
            "done, and main was stopped and will be restarted",
        ),
        (
            Flaw::None,
            Pod {
                linger: Linger::For(Duration::from_secs(60)),
                starts_before: 2,
                ..pair(OnFailure, OnFailure, OnFailure)
            },
            "done, and main has failed and will be restarted",
        ),
        (
            Flaw::LockAlone,
            Pod {
                shares_locks: false,
                ..pair(Never, Auto, Auto)
            },
            "done, and main has not ended",
        ),
        (
            Flaw::LockAlone,
            Pod {
                shares_locks: false,
                may_be_deleted: true,
                ..servers(Always)
            },
            "server is Lives(17), and is observed as",
        ),
        (
            Flaw::ForgetsSockets,
            Pod {
                kills: 1,
                ..pair(Never, Auto, Auto)
            },
            "sidecar never ends",
        ),
    ] {
        let found = search(&Pod { flaw, ..pod });
        let wrong = found.wrong.unwrap_or_default();
        println!("{flaw:?}, found after {} worlds:\n{wrong}\n", found.worlds);
        assert!(
            wrong.contains(&format!("wrong: {what}")),
            "{flaw:?}: {wrong}"
        );
    }
}
