//! The whole protocol, tried in every order of its steps: members that start, look, act, end, are killed and restarted, on one volume.
//!
//! What decides is what ships: [`Life`](super::Life), [`sight`](crate::core::member::sight), and what they rest on. What is modelled is
//! the shell around it ([`world`]), in steps that nothing can divide: to take the lock, to write a record, to narrow the lock, each of the
//! three reads of a look, each action of a life, to let go of the lock and to be dead. The gate before CMD looks for itself, as it does in
//! `command::run`. What a member decides follows at once from what it has learnt. Between any two steps of one container all others may
//! take theirs; a container may be killed, and its CMD, a member be asked to quit or told to stop, a file not be written, and the pod be
//! deleted. What must be so is said by [`judge`], from what the containers are at; [`search`] tries all.
//!
//! **Time** is abstract. All happens at one moment; what takes time is a step of its own:
//! - The end of a hold, and of a wait at a gate or for who is absent, may come at any time. The grace period of a CMD that does not
//!   heed its signal comes to its end.
//! - `--linger` is longer than the longest back-off: it is over when the member does not come back.
//! - What has changed is looked at in the end (inotify, or the slow poll), however late.
//! - The kubelet takes longer for a restart than anybody for a turn (milliseconds), so nobody is restarted between a look and what
//!   follows from it. But for [`Pod::is_eager`]: there restarts come at any time, as on a node so busy that a turn takes longer.
//!
//! **In the end**: a step that is only possible (a kill, a deletion) need not happen; all others do. They lead to a world in which
//! nothing is left to be done, whatever their order: no world is come to twice, which is seen to, and nobody lives more than twice: who
//! would have to live a third time has reached its Job's `backoffLimit`, and the pod is deleted. In the end, no sidecar may be left over.
//!
//! **Not here**: a record that cannot be read or written, a look that cannot be made, `--quit`, signals that are passed on, more than one
//! need, and a joined process that dies without its container. Tests with real processes see to those.

#![allow(
    clippy::print_stdout,
    reason = "the tests tell how much they have tried"
)]

mod judge;
mod member;
mod search;
mod world;

use super::Relation;
use crate::core::member::Policy::{self, Always, Auto, Never, OnFailure};
use search::search;

/// What a container is for.
#[derive(Clone, Debug)]
struct Role {
    name: &'static str,
    /// What others are to it: their places in the pod.
    relations: Vec<(usize, Relation)>,
    /// What `--restart-policy` says, and whether its record says so.
    policy: Policy,
    /// With which codes CMD may end by itself. None: only when it is told to.
    ends: &'static [u8],
    /// With which code it ends when it is told to, if it heeds that.
    told: u8,
    heeds: bool,
    has_ready: bool,
    has_absent_timeout: bool,
    /// May CMD be none that can be executed?
    may_not_start: bool,
    /// Is it `join`'s: CMD is PID 1, and podgate beside it?
    is_joined: bool,
}

/// A pod, and what may happen to it.
#[derive(Clone, Debug)]
struct Pod {
    name: &'static str,
    roles: Vec<Role>,
    /// The pod's own restartPolicy.
    restarts: Policy,
    kills: u8,
    may_be_deleted: bool,
    /// May one container alone be told to stop, as by a liveness probe?
    probes: u8,
    /// How often may a member be asked to quit, and how often can a memory of failures not be written?
    quits: u8,
    forgets: u8,
    /// May the kubelet restart a container while others have not seen yet that it has ended?
    is_eager: bool,
    /// May a record change so often that a look gives up?
    is_hasty: bool,
    /// Is each look judged, too, or only what comes of it?
    judges_looks: bool,
    flaw: Flaw,
}

/// What is made wrong on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// A look does not read the record a second time.
    LooksOnce,
    /// The lock of who starts is at once that of one whose record is its own.
    NarrowLock,
    /// What was acted on is not written down.
    Forgets,
    /// What was acted on is written down after it was acted on.
    ActsFirst,
    /// Absent is done.
    AbsentIsDone,
    /// Nobody looks again when something has changed.
    Deaf,
    /// A stop is not held back.
    HoldsNothing,
    /// What the gate saw is not what the life knows when CMD starts (so it once was).
    GateLooksAlone,
    /// A signal that came before CMD is not taken.
    StartsAllTheSame,
    /// The exit code is CMD's, whatever the life has decided.
    ExitsAsCmd,
    /// Who has looked looks again.
    NeverContent,
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

fn main_with(policy: Policy) -> Role {
    Role {
        name: "main",
        relations: Vec::new(),
        policy,
        ends: &[0, 3],
        told: 143,
        heeds: true,
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
        told: 0,
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
        is_eager: false,
        is_hasty: false,
        judges_looks: true,
        flaw: Flaw::None,
    }
}

/// A main, and a sidecar that ends with it. The policies: the pod's own, the main's, the sidecar's.
fn pair(restarts: Policy, main: Policy, sidecar: Policy) -> Pod {
    let name = "a main and its sidecar";
    pod(
        name,
        restarts,
        vec![main_with(main), server("sidecar", &[(0, UNTIL)], sidecar)],
    )
}

/// The same, and the main cannot do without it.
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

/// A log shipper until a proxy until the main.
fn chain(restarts: Policy, policy: Policy) -> Pod {
    let roles = vec![
        main_with(policy),
        server("proxy", &[(0, UNTIL)], policy),
        server("shipper", &[(1, UNTIL)], policy),
    ];
    pod("a chain of two sidecars", restarts, roles)
}

/// Two mains and the sidecar of both.
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

/// A proxy that cannot do without a database, until the main; the database until the proxy.
fn in_between(restarts: Policy, policy: Policy) -> Pod {
    let proxy = server("proxy", &[(0, UNTIL), (2, NEED)], policy);
    let roles = vec![
        main_with(policy),
        proxy,
        server("database", &[(1, UNTIL)], policy),
    ];
    pod("a sidecar that needs another", restarts, roles)
}

/// Servers, one of which outlives the other.
fn servers(restarts: Policy) -> Pod {
    let roles = vec![
        server("server", &[], Policy::Auto),
        server("proxy", &[(0, OUTLIVE)], Policy::Auto),
    ];
    pod("a server and its proxy", restarts, roles)
}

/// A server that cannot do without its proxy, which outlives it.
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

/// An unmodified main and an unmodified sidecar, with `join` in both.
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

/// Nothing is wrong, whatever the order; and the search was one.
fn holds(pod: &Pod, at_least: usize) {
    let found = search(pod);
    let policies: Vec<&str> = pod.roles.iter().map(|role| role.policy.word()).collect();
    let may = [
        (pod.kills, "killed"),
        (u8::from(pod.may_be_deleted), "deleted"),
        (pod.probes, "told alone"),
        (pod.quits, "asked to quit"),
        (pod.forgets, "forgetful"),
        (u8::from(pod.is_eager), "restarted at once"),
        (u8::from(pod.is_hasty), "hasty"),
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
fn whoever_is_asked_forgets_or_does_not_heed_in_every_order() {
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
    pod.roles[1].heeds = false;
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
fn three_members_in_every_order() {
    holds(&chain(Never, Auto), 58_000);
    holds(&two_mains(Never, Auto), 107_000);
    holds(&in_between(Never, Auto), 263_000);
}

#[test]
#[ignore = "larger: `cargo test --bin podgate -- --ignored --nocapture of_more`"]
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
#[ignore = "larger: `cargo test --bin podgate -- --ignored --nocapture of_more`"]
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
#[ignore = "larger: `cargo test --bin podgate -- --ignored --nocapture of_more`"]
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
#[ignore = "larger: `cargo test --bin podgate -- --ignored --nocapture of_more`"]
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
    let unjudged = |pod: Pod| Pod {
        judges_looks: false,
        ..pod
    };
    for (flaw, pod, what) in [
        (
            Flaw::LooksOnce,
            restarted(),
            "main is Lives(17), and it is seen as",
        ),
        (
            Flaw::LooksOnce,
            unjudged(restarted()),
            "main, which has published its end, is taken for lost",
        ),
        (
            Flaw::NarrowLock,
            restarted(),
            "main is Starts, and it is seen as",
        ),
        (
            Flaw::NarrowLock,
            unjudged(Pod {
                kills: 1,
                ..needing(OnFailure, OnFailure)
            }),
            "CMD is started, and sidecar, which it needs, is not ready",
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
            Flaw::Deaf,
            Pod {
                kills: 1,
                ..pair(Never, Auto, Auto)
            },
            "sidecar never ends",
        ),
        (
            Flaw::HoldsNothing,
            Pod {
                may_be_deleted: true,
                ..servers(Always)
            },
            "CMD is stopped, and server lives",
        ),
        (
            Flaw::GateLooksAlone,
            needing(Never, Never),
            "sidecar is taken for lost, and lives",
        ),
        (
            Flaw::StartsAllTheSame,
            Pod {
                may_be_deleted: true,
                ..restarted()
            },
            "its gate opens after a signal to end",
        ),
        (
            Flaw::ExitsAsCmd,
            restarted(),
            "exit code 0, and it should be one of [137]",
        ),
        (
            Flaw::NeverContent,
            restarted(),
            "from here it may go on for ever",
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
