//! Whether a member that is waited for is done, and what its end means, by restart policies and
//! incarnations (P6.6 and P7.4).
//!
//! Absent is not done: a sidecar waits for a main that has not started yet. An end counts by the
//! policy that the member stated itself, else by the observer's:
//!
//! | policy | exit 0 | exit 0 after a stop from outside | any other end | without a code (`join`) |
//! | --- | --- | --- | --- | --- |
//! | never | done | done | done | done |
//! | on-failure | done | done, if it has not come back after `--linger` | the same | the same |
//! | always | not done | not done | not done | not done |
//! | auto | done | done, as a failure with 143 | done | done |
//!
//! A stop from outside is the pod's deletion, or a probe that failed. After a failed probe the
//! kubelet starts the container again under on-failure, whatever its exit code is. Under auto the
//! observer ends with 143, once, so that the pod's policy decides about both. A deletion signals
//! the observer, too, and that is the cause of its own end then.

use super::exit::Exit;
use super::linger::Linger;
use super::member::Policy;
use super::observation::{End, Observation};
use super::time::Time;

/// What one observer knows of one member: the latest observation, and what it remembers from
/// earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Watched {
    observation: Observation,
    /// When this observation was first made.
    since: Time,
    has_come: bool,
}

/// How an observer reads the end of a member.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The restart policy of a member that states none.
    pub policy: Policy,
    pub linger: Linger,
    /// The failures that the observer has acted on.
    pub acted: &'a [u64],
}

/// Whether a member is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Not done. If it stays as it is, it will be done at this time, if any.
    NotDone(Option<Time>),
    Succeeded,
    /// It ended, and its exit code is not known (`join`). That counts as a success.
    Unknown,
    Failed(Failure),
}

/// A failure that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Failure {
    /// The incarnation that failed.
    pub id: u64,
    pub end: End,
    /// Its exit code; 137 if it was lost, as container runtimes report SIGKILL; 143 if it exited 0
    /// after a stop from outside.
    pub code: u8,
    /// Whether the pod restarts what failed, so that an observer that ends with the same code is
    /// restarted, too.
    pub passes_on: bool,
}

impl Failure {
    /// Whether it is in `acted`. Members that were lost before they published an id share one, so
    /// each of them counts as new.
    pub fn was_acted_on(&self, acted: &[u64]) -> bool {
        self.id != UNKNOWN_ID && acted.contains(&self.id)
    }
}

/// The incarnation id of a member that was lost before it published its own. A random id is hardly
/// ever 0.
pub const UNKNOWN_ID: u64 = 0;

impl Watched {
    /// Nothing is known yet.
    pub const fn absent() -> Self {
        Self {
            observation: Observation::Absent,
            since: Time::ZERO,
            has_come: false,
        }
    }

    /// Takes a new observation. A member that was alive, and now is absent or unreadable, is dead:
    /// its lock is free.
    pub fn see(&mut self, now: Time, observation: Observation) {
        let lost = |id| Observation::Ended {
            id,
            incarnation: None,
            end: End::Lost,
            policy: None,
        };
        let gone = matches!(observation, Observation::Absent | Observation::Unreadable);
        let observation = match (self.observation, observation) {
            // Without an id it died before it published one, or its record is of an unknown format.
            (Observation::Alive { id, .. }, _) if gone => lost(id.unwrap_or(UNKNOWN_ID)),
            (ended @ Observation::Ended { .. }, _) if gone => ended,
            // The lock is held and the record is gone: this is still the incarnation that was here.
            (
                alive @ Observation::Alive { id: Some(_), .. },
                Observation::Alive { id: None, .. },
            ) => alive,
            (_, new) => new,
        };
        self.has_come = self.has_come
            || matches!(
                observation,
                Observation::Alive { .. } | Observation::Ended { .. }
            );
        if observation != self.observation {
            self.since = now;
            self.observation = observation;
        }
    }

    /// The latest observation, with earlier ones taken into account.
    pub const fn observation(&self) -> Observation {
        self.observation
    }

    /// Whether the member was ever seen, dead or alive.
    pub const fn has_come(&self) -> bool {
        self.has_come
    }

    /// Whether the member is done, for this reader.
    pub fn answer(&self, now: Time, reader: &Reader<'_>) -> Answer {
        let Observation::Ended {
            id,
            incarnation,
            end,
            policy,
        } = self.observation
        else {
            return Answer::NotDone(None);
        };
        let policy = policy.unwrap_or(reader.policy);
        let failed = |code| {
            Answer::Failed(Failure {
                id,
                end,
                code,
                passes_on: policy != Policy::Never,
            })
        };
        let lingers = self.since.plus(reader.linger.after(incarnation));
        let unless_it_returns = |answer| match now < lingers {
            true => Answer::NotDone(Some(lingers)),
            false => answer,
        };
        match (policy, end) {
            (Policy::Always, _) => Answer::NotDone(None),
            (_, End::Code(0)) | (Policy::Never, End::Stopped) => Answer::Succeeded,
            (Policy::OnFailure, End::Stopped) => unless_it_returns(Answer::Succeeded),
            // Only a probe makes the kubelet start it again, and this observer cannot see that.
            (Policy::Auto, End::Stopped) if reader.acted.contains(&id) => {
                unless_it_returns(Answer::Succeeded)
            }
            (Policy::Auto, End::Stopped) => failed(Exit::Terminated.code()),
            (Policy::OnFailure, End::Unknown) => unless_it_returns(Answer::Unknown),
            (Policy::Never | Policy::Auto, End::Unknown) => Answer::Unknown,
            (Policy::OnFailure, End::Code(code)) => unless_it_returns(failed(code)),
            (Policy::Never | Policy::Auto, End::Code(code)) => failed(code),
            (Policy::OnFailure, End::Lost) => unless_it_returns(failed(Exit::Killed.code())),
            (Policy::Never | Policy::Auto, End::Lost) => failed(Exit::Killed.code()),
        }
    }
}

/// All members that are waited for are done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Completion {
    /// The failures, in the order in which the members were named.
    pub failures: Vec<Failure>,
    /// Whether one of them ended with an exit code that is not known.
    pub has_unknown: bool,
}

impl Completion {
    /// The exit code of the member that waited: P7.14, "all `--until` are done".
    pub fn code(&self) -> u8 {
        match self.failures.first() {
            Some(failure) if failure.passes_on => failure.code,
            Some(_) | None => Exit::Passed.code(),
        }
    }
}

/// The result, if all members are done and the result was not acted on before. `acted` has the
/// failures that were acted on.
///
/// Only failures are remembered. A success is final, and a member that was killed while it stopped
/// must still complete after its restart. If all are done and every failure among them was acted on
/// already, the failed members are waited for: they are being restarted.
pub fn completion(answers: impl IntoIterator<Item = Answer>, acted: &[u64]) -> Option<Completion> {
    let mut failures = Vec::new();
    let (mut is_any, mut has_unknown) = (false, false);
    for answer in answers {
        is_any = true;
        match answer {
            Answer::NotDone(_) => return None,
            Answer::Succeeded => {}
            Answer::Unknown => has_unknown = true,
            Answer::Failed(failure) => failures.push(failure),
        }
    }
    let is_new = failures.iter().any(|failure| !failure.was_acted_on(acted));
    (is_any && (failures.is_empty() || is_new)).then_some(Completion {
        failures,
        has_unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::{Answer, Failure, Reader, Watched, completion};
    use crate::core::linger::Linger;
    use crate::core::member::{Policy, Stage};
    use crate::core::observation::{End, Observation};
    use crate::core::time::Time;
    use std::time::Duration;

    const fn reader(policy: Policy) -> Reader<'static> {
        Reader {
            policy,
            linger: Linger::For(Duration::from_secs(360)),
            acted: &[],
        }
    }

    fn at(secs: u64) -> Time {
        Time::at(Duration::from_secs(secs))
    }

    fn ended(end: End) -> Observation {
        Observation::Ended {
            id: 7,
            incarnation: Some(3),
            end,
            policy: None,
        }
    }

    fn alive(id: u64) -> Observation {
        Observation::Alive {
            id: Some(id),
            stage: Some(Stage::Running),
        }
    }

    fn answer(end: End, policy: Policy, after: u64) -> Answer {
        let mut watched = Watched::absent();
        watched.see(at(100), ended(end));
        watched.answer(at(100 + after), &reader(policy))
    }

    #[test]
    fn a_failure_without_an_id_is_new_each_time() {
        let failure = Answer::Failed(Failure {
            id: super::UNKNOWN_ID,
            end: End::Lost,
            code: 137,
            passes_on: true,
        });
        assert!(completion([failure], &[super::UNKNOWN_ID]).is_some());
    }

    #[test]
    fn each_policy_reads_each_end() {
        let failed = |end, code, passes_on| {
            Answer::Failed(Failure {
                id: 7,
                end,
                code,
                passes_on,
            })
        };
        let later = Answer::NotDone(Some(at(460)));
        let stopped = failed(End::Stopped, 143, true);
        for (end, policy, soon, late) in [
            (
                End::Code(0),
                Policy::Never,
                Answer::Succeeded,
                Answer::Succeeded,
            ),
            (
                End::Code(3),
                Policy::Never,
                failed(End::Code(3), 3, false),
                failed(End::Code(3), 3, false),
            ),
            (
                End::Lost,
                Policy::Never,
                failed(End::Lost, 137, false),
                failed(End::Lost, 137, false),
            ),
            (
                End::Unknown,
                Policy::Never,
                Answer::Unknown,
                Answer::Unknown,
            ),
            (
                End::Stopped,
                Policy::Never,
                Answer::Succeeded,
                Answer::Succeeded,
            ),
            (
                End::Code(0),
                Policy::OnFailure,
                Answer::Succeeded,
                Answer::Succeeded,
            ),
            (
                End::Code(3),
                Policy::OnFailure,
                later,
                failed(End::Code(3), 3, true),
            ),
            (
                End::Lost,
                Policy::OnFailure,
                later,
                failed(End::Lost, 137, true),
            ),
            (End::Unknown, Policy::OnFailure, later, Answer::Unknown),
            (End::Stopped, Policy::OnFailure, later, Answer::Succeeded),
            (
                End::Stopped,
                Policy::Always,
                Answer::NotDone(None),
                Answer::NotDone(None),
            ),
            (End::Stopped, Policy::Auto, stopped, stopped),
            (End::Unknown, Policy::Auto, Answer::Unknown, Answer::Unknown),
            (
                End::Code(0),
                Policy::Always,
                Answer::NotDone(None),
                Answer::NotDone(None),
            ),
            (
                End::Lost,
                Policy::Always,
                Answer::NotDone(None),
                Answer::NotDone(None),
            ),
            (
                End::Code(0),
                Policy::Auto,
                Answer::Succeeded,
                Answer::Succeeded,
            ),
            (
                End::Code(3),
                Policy::Auto,
                failed(End::Code(3), 3, true),
                failed(End::Code(3), 3, true),
            ),
            (
                End::Lost,
                Policy::Auto,
                failed(End::Lost, 137, true),
                failed(End::Lost, 137, true),
            ),
        ] {
            assert_eq!(answer(end, policy, 0), soon, "{end:?} {policy:?}");
            assert_eq!(
                answer(end, policy, 360),
                late,
                "{end:?} {policy:?} after the linger"
            );
        }
    }

    #[test]
    fn under_auto_an_observer_acts_on_a_stopped_member_once() {
        let mut watched = Watched::absent();
        watched.see(at(100), ended(End::Stopped));
        let reader = Reader {
            acted: &[7],
            ..reader(Policy::Auto)
        };
        let later = Answer::NotDone(Some(at(460)));
        assert_eq!(watched.answer(at(100), &reader), later);
        assert_eq!(watched.answer(at(460), &reader), Answer::Succeeded);
    }

    #[test]
    fn the_linger_of_a_member_that_ended_depends_on_its_incarnation() {
        for (incarnation, seconds) in [(Some(1), 60), (Some(3), 80), (Some(9), 360), (None, 360)] {
            let mut watched = Watched::absent();
            let end = End::Code(1);
            watched.see(
                at(100),
                Observation::Ended {
                    id: 7,
                    incarnation,
                    end,
                    policy: None,
                },
            );
            let reader = Reader {
                linger: Linger::Auto,
                ..reader(Policy::OnFailure)
            };
            let until = at(100 + seconds);
            assert_eq!(
                watched.answer(at(100), &reader),
                Answer::NotDone(Some(until))
            );
            assert_ne!(watched.answer(until, &reader), Answer::NotDone(Some(until)));
        }
    }

    #[test]
    fn the_policy_of_the_member_overrides_the_observers() {
        let mut watched = Watched::absent();
        watched.see(
            at(0),
            Observation::Ended {
                id: 7,
                incarnation: Some(1),
                end: End::Code(3),
                policy: Some(Policy::Always),
            },
        );
        assert_eq!(
            watched.answer(at(0), &reader(Policy::Never)),
            Answer::NotDone(None)
        );
    }

    #[test]
    fn absent_living_and_unreadable_members_are_not_done() {
        for observation in [
            Observation::Absent,
            alive(7),
            Observation::Alive {
                id: None,
                stage: None,
            },
            Observation::Unreadable,
        ] {
            let mut watched = Watched::absent();
            watched.see(at(0), observation);
            assert_eq!(
                watched.answer(at(1000), &reader(Policy::Auto)),
                Answer::NotDone(None)
            );
            assert_eq!(watched.has_come(), observation.is_alive());
        }
    }

    #[test]
    fn the_linger_counts_from_the_latest_end() {
        let mut watched = Watched::absent();
        watched.see(at(0), ended(End::Code(1)));
        watched.see(at(10), alive(8));
        assert_eq!(
            watched.answer(at(400), &reader(Policy::OnFailure)),
            Answer::NotDone(None)
        );
        watched.see(
            at(500),
            Observation::Ended {
                id: 8,
                incarnation: Some(1),
                end: End::Code(1),
                policy: None,
            },
        );
        assert_eq!(
            watched.answer(at(859), &reader(Policy::OnFailure)),
            Answer::NotDone(Some(at(860)))
        );
    }

    #[test]
    fn an_end_is_not_missed_when_the_record_is_destroyed() {
        let lost = Observation::Ended {
            id: 7,
            incarnation: None,
            end: End::Lost,
            policy: None,
        };
        for gone in [Observation::Absent, Observation::Unreadable] {
            let mut watched = Watched::absent();
            watched.see(at(0), alive(7));
            watched.see(
                at(1),
                Observation::Alive {
                    id: None,
                    stage: None,
                },
            );
            assert!(watched.observation().is_alive());
            watched.see(at(2), gone);
            assert_eq!(watched.observation(), lost);
            watched.see(at(3), gone);
            assert_eq!(watched.observation(), lost, "and stays so");
        }
    }

    #[test]
    fn a_member_that_dies_between_its_lock_and_its_first_record_is_lost() {
        for gone in [Observation::Absent, Observation::Unreadable] {
            let mut watched = Watched::absent();
            watched.see(
                at(0),
                Observation::Alive {
                    id: None,
                    stage: None,
                },
            );
            assert!(watched.has_come());
            watched.see(at(1), gone);
            let lost = Answer::Failed(Failure {
                id: 0,
                end: End::Lost,
                code: 137,
                passes_on: true,
            });
            assert_eq!(watched.answer(at(1), &reader(Policy::Auto)), lost);
        }
    }

    #[test]
    fn all_done_is_complete_unless_every_failure_was_acted_on() {
        let failed = |id| {
            Answer::Failed(Failure {
                id,
                end: End::Code(3),
                code: 3,
                passes_on: true,
            })
        };
        let complete = |answers: &[Answer], acted: &[u64]| {
            completion(answers.iter().copied(), acted).is_some()
        };
        assert!(!complete(&[], &[]));
        assert!(!complete(&[Answer::Succeeded, Answer::NotDone(None)], &[]));
        assert!(complete(&[Answer::Succeeded, Answer::Succeeded], &[]));
        assert!(complete(&[failed(1), Answer::Succeeded], &[]));
        assert!(!complete(&[failed(1), Answer::Succeeded], &[1]), "acted on");
        assert!(complete(&[failed(1), failed(2)], &[1]), "one is new");
    }

    #[test]
    fn the_first_failed_member_gives_the_exit_code() {
        let failed = |code, passes_on| {
            Answer::Failed(Failure {
                id: u64::from(code),
                end: End::Code(code),
                code,
                passes_on,
            })
        };
        let code =
            |answers: &[Answer]| completion(answers.iter().copied(), &[]).map(|it| it.code());
        assert_eq!(code(&[Answer::Succeeded]), Some(0));
        assert_eq!(
            code(&[Answer::Succeeded, failed(4, true), failed(5, true)]),
            Some(4)
        );
        assert_eq!(code(&[failed(4, false)]), Some(0));
    }
}
