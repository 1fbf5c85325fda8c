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
//! **Not here**: a record that cannot be read or written, `--quit`, signals that are passed on, more than one need, and a joined
//! process that dies without its container. Tests with real processes see to those.

#![allow(clippy::print_stdout, reason = "the tests tell how much they have tried")]

mod judge;
mod search;
mod world;

use super::Relation;
use crate::core::member::Policy;
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

const UNTIL: Relation = Relation { until: true, outlives: true, needs: false };
const OUTLIVE: Relation = Relation { until: false, outlives: true, needs: false };
const NEED: Relation = Relation { until: false, outlives: false, needs: true };

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
    Role { name, relations: relations.to_vec(), ends: &[], told: 0, ..main_with(policy) }
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
    pod(name, restarts, vec![main_with(main), server("sidecar", &[(0, UNTIL)], sidecar)])
}

/// The same, and the main cannot do without it.
fn needing(restarts: Policy, policy: Policy) -> Pod {
    let main = Role { relations: vec![(1, NEED)], ..main_with(policy) };
    let sidecar = Role { has_ready: true, ..server("sidecar", &[(0, UNTIL)], policy) };
    pod("a main that needs its sidecar", restarts, vec![main, sidecar])
}

/// A log shipper until a proxy until the main.
fn chain(restarts: Policy, policy: Policy) -> Pod {
    let roles =
        vec![main_with(policy), server("proxy", &[(0, UNTIL)], policy), server("shipper", &[(1, UNTIL)], policy)];
    pod("a chain of two sidecars", restarts, roles)
}

/// Two mains and the sidecar of both.
fn two_mains(restarts: Policy, policy: Policy) -> Pod {
    let other = Role { name: "other", ..main_with(policy) };
    let roles = vec![main_with(policy), other, server("sidecar", &[(0, UNTIL), (1, UNTIL)], policy)];
    pod("two mains and their sidecar", restarts, roles)
}

/// Servers, one of which outlives the other.
fn servers(restarts: Policy) -> Pod {
    let roles = vec![server("server", &[], Policy::Auto), server("proxy", &[(0, OUTLIVE)], Policy::Auto)];
    pod("a server and its proxy", restarts, roles)
}

/// A server that cannot do without its proxy, which outlives it.
fn essential(restarts: Policy) -> Pod {
    let server = Role { relations: vec![(1, NEED)], ..server("server", &[], Policy::Auto) };
    let proxy = Role { name: "proxy", relations: vec![(0, OUTLIVE)], has_ready: true, ..server.clone() };
    pod("a server and its essential proxy", restarts, vec![server, proxy])
}

/// An unmodified main and an unmodified sidecar, with `join` in both.
fn joined(restarts: Policy, policy: Policy) -> Pod {
    let pod = pair(restarts, policy, policy);
    let roles = pod.roles.into_iter().map(|role| Role { is_joined: true, ..role }).collect();
    Pod { name: "a joined main and its joined sidecar", roles, ..pod }
}

/// Nothing is wrong, whatever the order; and the search was one.
fn holds(pod: &Pod, at_least: usize) {
    let found = search(pod);
    let policies: Vec<&str> = pod.roles.iter().map(|role| role.policy.word()).collect();
    let may = [
        (pod.kills, "kills"),
        (u8::from(pod.may_be_deleted), "deletions"),
        (pod.probes, "told alone"),
        (pod.quits, "quits"),
        (pod.forgets, "lost memories"),
        (u8::from(pod.is_eager), "eager kubelets"),
        (u8::from(pod.is_hasty), "hasty looks"),
    ];
    let may: Vec<String> =
        may.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    println!(
        "{} (pod {}; {}; {}): {} worlds, {} steps, {} ends",
        pod.name,
        pod.restarts.word(),
        policies.join(", "),
        may.join(", "),
        found.worlds,
        found.steps,
        found.ends
    );
    if let Some(wrong) = found.wrong {
        panic!("{}:\n{wrong}", pod.name);
    }
    assert!(found.worlds >= at_least && found.ends > 0, "{} worlds only", found.worlds);
}

use Policy::{Always, Auto, Never, OnFailure};

#[test]
fn a_main_and_its_sidecar_in_every_order() {
    holds(&Pod { kills: 2, may_be_deleted: true, ..pair(Never, Auto, Auto) }, 1);
    holds(&Pod { kills: 1, may_be_deleted: true, ..pair(Never, Never, Auto) }, 1);
    holds(&Pod { kills: 1, ..pair(OnFailure, Auto, Auto) }, 1);
    holds(&Pod { kills: 1, ..pair(OnFailure, OnFailure, Auto) }, 1);
}

#[test]
fn t1() {
    holds(&Pod { kills: 1, is_eager: true, ..pair(OnFailure, Auto, Auto) }, 1);
}
#[test]
fn t2() {
    holds(&Pod { quits: 1, ..pair(OnFailure, Auto, Auto) }, 1);
}
#[test]
fn t3() {
    holds(&Pod { forgets: 1, ..pair(OnFailure, Auto, Auto) }, 1);
}
#[test]
fn t4() {
    holds(&needing(OnFailure, OnFailure), 1);
}
#[test]
fn t5() {
    holds(&Pod { kills: 1, ..essential(Always) }, 1);
}
#[test]
fn t6() {
    holds(&Pod { kills: 1, may_be_deleted: true, ..joined(Never, Never) }, 1);
}
#[test]
fn t7() {
    holds(&joined(OnFailure, OnFailure), 1);
}
#[test]
fn t8() {
    holds(&chain(Never, Auto), 1);
}
#[test]
fn t9() {
    holds(&two_mains(Never, Auto), 1);
}
#[test]
fn ta() {
    holds(&Pod { kills: 1, may_be_deleted: true, ..servers(Always) }, 1);
}
#[test]
fn tb() {
    holds(&Pod { kills: 1, ..needing(Never, Never) }, 1);
}
#[test]
fn tc() {
    holds(&Pod { may_be_deleted: true, probes: 1, ..servers(OnFailure) }, 1);
}
#[test]
fn td() {
    let mut pod = pair(Never, Auto, Auto);
    pod.roles[1].has_absent_timeout = true;
    pod.roles[1].heeds = false;
    pod.roles[0].may_not_start = true;
    holds(&Pod { kills: 1, may_be_deleted: true, ..pod }, 1);
}
#[test]
fn te() {
    holds(&Pod { kills: 1, is_hasty: true, ..pair(Never, Auto, Auto) }, 1);
}
