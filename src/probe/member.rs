//! `started:`, `ready:`, `gone:`, `succeeded:`: the state of a member of the pod, observed on the
//! shared volume. inotify(7) wakes the check where it works.

use super::attempt::{Probe, Step};
use super::file::Watcher;
use crate::core::check::Fact;
use crate::core::member::{Name, Policy, Stage};
use crate::core::observation::{End, Observation, observe};
use crate::core::outcome::{MemberState, Outcome, Phase, Reason, Wake};
use crate::core::record::{Record, Unreadable};
use crate::members::Volume;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How many other names are listed at most if a member is absent.
const NAMED: usize = 8;
/// The pause before a member whose lock was just closed is observed again.
const AGAIN: Duration = Duration::from_millis(1);

pub(super) struct Member {
    fact: Fact,
    name: Name,
    volume: Option<Rc<Volume>>,
    watcher: Option<Rc<RefCell<Watcher>>>,
    again: Option<Instant>,
    /// Its lock is free and its socket exists. No event reports the end of a socket.
    has_socket_only: bool,
    /// The state of the member when `gone:` passed because it was never seen.
    unseen: Option<MemberState>,
}

impl Member {
    pub(super) fn new(
        fact: Fact,
        name: &Name,
        volume: Option<Rc<Volume>>,
        watcher: Option<Rc<RefCell<Watcher>>>,
    ) -> Self {
        Self {
            fact,
            name: name.clone(),
            volume,
            watcher,
            again: None,
            has_socket_only: false,
            unseen: None,
        }
    }

    fn observe(&mut self) -> Outcome {
        let Some(volume) = &self.volume else {
            return Outcome::Never(Reason::Member(MemberState::NoVolume));
        };
        let not_yet = |state| Outcome::NotYet(Reason::Member(state));
        let Some(found) = volume.look(&self.name) else {
            return not_yet(MemberState::Unknown);
        };
        self.has_socket_only = found.contradicts_itself();
        let unseen = |record| unseen(volume, &self.name, record);
        match (self.fact, observe(&found, volume.host())) {
            (Fact::Gone, Observation::Absent | Observation::Unreadable) => {
                self.unseen = Some(unseen(found.record));
                Outcome::Pass
            }
            (_, Observation::Absent) => not_yet(unseen(found.record)),
            (Fact::Gone, Observation::Alive { .. }) if self.has_socket_only => {
                not_yet(MemberState::AliveWithoutLock)
            }
            (Fact::Gone, Observation::Alive { .. }) => not_yet(MemberState::Alive),
            (_, Observation::Unreadable | Observation::Alive { stage: None, .. }) => {
                not_yet(match found.record {
                    Some(record @ Err(_)) => unusable(volume, &self.name, record),
                    Some(Ok(_)) | None => MemberState::Starting,
                })
            }
            (
                fact,
                Observation::Alive {
                    stage: Some(stage), ..
                },
            ) => alive(fact, stage),
            (Fact::Gone, Observation::Ended { .. }) => Outcome::Pass,
            (Fact::Succeeded, Observation::Ended { end, policy, .. }) => success(end, policy),
            (Fact::Started | Fact::Ready, Observation::Ended { end, policy, .. }) => {
                of_ended(end, policy)
            }
        }
    }
}

/// The outcome for a member that lives and has published its stage.
fn alive(fact: Fact, stage: Stage) -> Outcome {
    let not_yet = |state| Outcome::NotYet(Reason::Member(state));
    match (fact, stage) {
        (Fact::Started, Stage::Running | Stage::Ready) | (Fact::Ready, Stage::Ready) => {
            Outcome::Pass
        }
        (_, Stage::Waiting) => not_yet(MemberState::Waiting),
        (_, Stage::Running) => not_yet(MemberState::Running),
        (_, Stage::Ready) => not_yet(MemberState::Ready),
    }
}

/// The outcome of `succeeded:` for a member that has ended.
fn success(end: End, policy: Option<Policy>) -> Outcome {
    match end {
        End::Code(0) => Outcome::Pass,
        // A probe may have stopped it. Then the kubelet starts it again.
        End::Stopped if matches!(policy, Some(Policy::OnFailure | Policy::Always)) => {
            of_ended(end, policy)
        }
        End::Stopped => Outcome::Pass,
        End::Code(_) | End::Lost => of_ended(end, policy),
        // A member that joined never has an exit code.
        End::Unknown => Outcome::Never(Reason::Member(MemberState::Ended(end))),
    }
}

/// The outcome for a member that has ended otherwise than the check asks. A member that is never
/// restarted stays as it is.
fn of_ended(end: End, policy: Option<Policy>) -> Outcome {
    let reason = Reason::Member(MemberState::Ended(end));
    match policy {
        Some(Policy::Never) => Outcome::Never(reason),
        Some(Policy::OnFailure | Policy::Always | Policy::Auto) | None => Outcome::NotYet(reason),
    }
}

/// The state of a member that does not count as seen, with this record.
pub(crate) fn unseen(
    volume: &Volume,
    name: &Name,
    record: Option<Result<Record, Unreadable>>,
) -> MemberState {
    match record {
        None => absent(volume, name),
        Some(record) => unusable(volume, name, record),
    }
}

/// The state of a member whose record cannot be used.
fn unusable(volume: &Volume, name: &Name, record: Result<Record, Unreadable>) -> MemberState {
    let path = volume.record_path(name);
    match record {
        Ok(record) => MemberState::OtherHost(path, record.host),
        Err(why) => MemberState::Unreadable(path, why),
    }
}

/// The state of a member that was never seen, with the names of others that were seen.
fn absent(volume: &Volume, name: &Name) -> MemberState {
    let mut names = volume.names().unwrap_or_default();
    // It may have a lock file that no process holds, and no record.
    names.retain(|it| it != name && Some(it) != volume.own());
    let has_more = names.len() > NAMED;
    names.truncate(NAMED);
    MemberState::Absent {
        seen: names,
        has_more,
    }
}

impl Probe for Member {
    fn start(&mut self, _until: Instant) -> Step {
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        self.again = None;
        self.unseen = None;
        self.has_socket_only = false;
        let outcome = self.observe();
        // A lock that was just closed will be free in a moment.
        let is_closing = self
            .watcher
            .as_ref()
            .is_some_and(|watcher| watcher.borrow().is_closing());
        if is_closing && outcome != Outcome::Pass {
            self.again = Instant::now().checked_add(AGAIN);
            return Step::Wait;
        }
        Step::Done(outcome)
    }

    fn cancel(&mut self) -> Phase {
        self.again = None;
        Phase::Path
    }

    fn member_state(&self) -> Option<MemberState> {
        self.unseen.clone()
    }

    fn wake_at(&self) -> Option<Instant> {
        self.again
    }

    fn wake(&self) -> Wake {
        let is_watched = self
            .watcher
            .as_ref()
            .is_some_and(|watcher| watcher.borrow().watches_members());
        if is_watched && !self.has_socket_only {
            Wake::Watched
        } else {
            Wake::Unwatched
        }
    }
}
