//! Whether a member that is waited for is done, and what its end means, by restart policies and
//! incarnations (P6.6 and P7.4).
//!
//! Absent is not done: a sidecar waits for a main that has not started yet. An end counts by the
//! policy that the member stated itself, else by the observer's:
//!
//! | policy | exit 0 | any other end | an end without a code (`join`) |
//! | --- | --- | --- | --- |
//! | never | done | done | done |
//! | on-failure | done | done, if it has not come back after `--linger` | the same |
//! | always | not done | not done | not done |
//! | auto | done | done | done |

use super::exit::Exit;
use super::member::Policy;
use super::observation::{End, Observation};
use super::time::Time;
use std::time::Duration;

/// What one observer knows of one member: the latest observation, and what it remembers from
/// earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Watched {
    observation: Observation,
    /// When this observation was first made.
    since: Time,
    has_come: bool,
}

/// Whether a member is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Not done. If it stays as it is, it will be done at this time, if any.
    NotDone(Option<Time>),
    Succeeded,
    Failed(Failure),
}

/// A failure that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Failure {
    /// The incarnation that failed.
    pub id: u64,
    /// Its exit code; 137 if it was lost, as container runtimes report SIGKILL.
    pub code: u8,
    /// Whether the pod restarts what failed, so that an observer that ends with the same code is
    /// restarted, too.
    pub passes_on: bool,
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

    /// Whether the member is done, for an observer with this policy.
    pub fn answer(&self, now: Time, observer: Policy, linger: Duration) -> Answer {
        let Observation::Ended { id, end, policy } = self.observation else {
            return Answer::NotDone(None);
        };
        let policy = policy.unwrap_or(observer);
        let failed = |code| {
            Answer::Failed(Failure {
                id,
                code,
                passes_on: policy != Policy::Never,
            })
        };
        let answer = match end {
            // A joined member cannot know its code, so its end counts as a success.
            End::Code(0) | End::Unknown => Answer::Succeeded,
            End::Code(code) => failed(code),
            End::Lost => failed(Exit::Killed.code()),
        };
        let lingers = self.since.plus(linger);
        match policy {
            Policy::Always => Answer::NotDone(None),
            Policy::OnFailure if end != End::Code(0) && now < lingers => {
                Answer::NotDone(Some(lingers))
            }
            Policy::Never | Policy::OnFailure | Policy::Auto => answer,
        }
    }
}

/// All members that are waited for are done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Completion {
    /// The failures, in the order in which the members were named. Empty if all succeeded.
    pub failures: Vec<Failure>,
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
    let mut is_any = false;
    for answer in answers {
        is_any = true;
        match answer {
            Answer::NotDone(_) => return None,
            Answer::Succeeded => {}
            Answer::Failed(failure) => failures.push(failure),
        }
    }
    // Members that were lost before they published an id share one, so each of them counts as new.
    let is_new = failures
        .iter()
        .any(|failure| failure.id == UNKNOWN_ID || !acted.contains(&failure.id));
    (is_any && (failures.is_empty() || is_new)).then_some(Completion { failures })
}

#[cfg(test)]
mod tests {
    use super::{Answer, Failure, Watched, completion};
    use crate::core::member::{Policy, Stage};
    use crate::core::observation::{End, Observation};
    use crate::core::time::Time;
    use std::time::Duration;

    const LINGER: Duration = Duration::from_secs(360);

    fn at(secs: u64) -> Time {
        Time::at(Duration::from_secs(secs))
    }

    fn ended(end: End) -> Observation {
        Observation::Ended {
            id: 7,
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
        watched.answer(at(100 + after), policy, LINGER)
    }

    #[test]
    fn a_failure_without_an_id_is_new_each_time() {
        let failure = Answer::Failed(Failure {
            id: super::UNKNOWN_ID,
            code: 137,
            passes_on: true,
        });
        assert!(completion([failure], &[super::UNKNOWN_ID]).is_some());
    }

    #[test]
    fn each_policy_reads_each_end() {
        let failed = |code, passes_on| {
            Answer::Failed(Failure {
                id: 7,
                code,
                passes_on,
            })
        };
        let later = Answer::NotDone(Some(at(460)));
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
                failed(3, false),
                failed(3, false),
            ),
            (
                End::Lost,
                Policy::Never,
                failed(137, false),
                failed(137, false),
            ),
            (
                End::Unknown,
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
            (End::Code(3), Policy::OnFailure, later, failed(3, true)),
            (End::Lost, Policy::OnFailure, later, failed(137, true)),
            (End::Unknown, Policy::OnFailure, later, Answer::Succeeded),
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
            (End::Code(3), Policy::Auto, failed(3, true), failed(3, true)),
            (
                End::Lost,
                Policy::Auto,
                failed(137, true),
                failed(137, true),
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
    fn the_policy_of_the_member_overrides_the_observers() {
        let mut watched = Watched::absent();
        watched.see(
            at(0),
            Observation::Ended {
                id: 7,
                end: End::Code(3),
                policy: Some(Policy::Always),
            },
        );
        assert_eq!(
            watched.answer(at(0), Policy::Never, LINGER),
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
                watched.answer(at(1000), Policy::Auto, LINGER),
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
            watched.answer(at(400), Policy::OnFailure, LINGER),
            Answer::NotDone(None)
        );
        watched.see(
            at(500),
            Observation::Ended {
                id: 8,
                end: End::Code(1),
                policy: None,
            },
        );
        assert_eq!(
            watched.answer(at(859), Policy::OnFailure, LINGER),
            Answer::NotDone(Some(at(860)))
        );
    }

    #[test]
    fn an_end_is_not_missed_when_the_record_is_destroyed() {
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
            assert_eq!(watched.observation(), ended(End::Lost));
            watched.see(at(3), gone);
            assert_eq!(watched.observation(), ended(End::Lost), "and stays so");
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
                code: 137,
                passes_on: true,
            });
            assert_eq!(watched.answer(at(1), Policy::Auto, LINGER), lost);
        }
    }

    #[test]
    fn all_done_is_complete_unless_every_failure_was_acted_on() {
        let failed = |id| {
            Answer::Failed(Failure {
                id,
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
