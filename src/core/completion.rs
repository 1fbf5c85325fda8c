//! Is a member that is waited for done, and what does its end mean? Restart policies and incarnations (DESIGN 6.6 and 7).
//!
//! Absent is not done: a sidecar waits for a main that has not come yet. An end counts by the policy that the member stated itself,
//! else by the observer's:
//!
//! | policy | exit 0 | any other end | an end without a code (`join`) |
//! | --- | --- | --- | --- |
//! | never | done | done | done |
//! | on-failure | done | done, if it has not come back after `--linger` | the same |
//! | always | not done | not done | not done |
//! | auto | done | done | done |

use super::member::Policy;
use super::observation::{End, Observation};
use super::time::Time;
use std::time::Duration;

/// What one observer knows of one member: the latest observation, and what it remembers from earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Watched {
    observation: Observation,
    /// When this end was first seen.
    since: Time,
    /// Was it ever seen, dead or alive?
    has_come: bool,
}

/// Is it done?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// No; by itself it will be at this time, if any.
    NotDone(Option<Time>),
    /// Yes: well.
    Succeeded,
    /// Yes: badly.
    Failed(Failure),
}

/// A failure that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Failure {
    /// Which incarnation failed.
    pub id: u64,
    /// With which exit code; 137 for one that was lost, as the runtime reports SIGKILL.
    pub code: u8,
    /// Does the pod restart what failed with a code, so that who ends with the same code is restarted, too?
    pub passes_on: bool,
}

/// Stands for an incarnation that nobody knows the number of. A random one is hardly ever 0.
pub const NAMELESS: u64 = 0;
/// The exit code of a container that was killed (128 + SIGKILL).
const KILLED: u8 = 137;

impl Watched {
    /// Nothing is known yet.
    pub const fn absent() -> Self {
        Self {
            observation: Observation::Absent,
            since: Time::ZERO,
            has_come: false,
        }
    }

    /// Takes an observation. What was alive and cannot be read any more, or is not there any more, is dead: the lock is free.
    pub fn see(&mut self, now: Time, observation: Observation) {
        let observation = match (self.observation, observation) {
            (
                Observation::Alive { id: Some(id), .. },
                Observation::Absent | Observation::Unreadable,
            ) => Observation::Ended {
                id,
                end: End::Lost,
                policy: None,
            },
            // It died before it could say who it was, or in words that we do not know.
            (
                Observation::Alive { id: None, .. },
                Observation::Absent | Observation::Unreadable,
            ) => Observation::Ended {
                id: NAMELESS,
                end: End::Lost,
                policy: None,
            },
            (ended @ Observation::Ended { .. }, Observation::Absent | Observation::Unreadable) => {
                ended
            }
            // A held lock whose record is gone: still the one that was here.
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

    /// The latest observation.
    pub const fn observation(&self) -> Observation {
        self.observation
    }

    /// Was it ever seen, dead or alive?
    pub const fn has_come(&self) -> bool {
        self.has_come
    }

    /// Is it done, to an observer with this policy?
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
            // A member that cannot know its code: its policy says that it has not failed for good.
            End::Code(0) | End::Unknown => Answer::Succeeded,
            End::Code(code) => failed(code),
            End::Lost => failed(KILLED),
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

/// All that are waited for are done: how, in the order in which they were named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Completion {
    /// The failures, none if all succeeded.
    pub failures: Vec<Failure>,
}

impl Completion {
    /// The exit code of who waited: DESIGN 7, "all `--until` are done".
    pub fn code(&self) -> u8 {
        match self.failures.first() {
            Some(failure) if failure.passes_on => failure.code,
            Some(_) | None => 0,
        }
    }
}

/// Are all done, in a way that has not been acted on? `acted` are the failures that were.
///
/// Only failures are remembered: a success is final, and a member that was killed while it stopped must still complete after its
/// restart. Several done ones among which every failure is an old one wait for their restart.
pub fn completion(answers: impl IntoIterator<Item = Answer>, acted: &[u64]) -> Option<Completion> {
    let mut failures = Vec::new();
    let mut count = 0_usize;
    for answer in answers {
        count = count.saturating_add(1);
        match answer {
            Answer::NotDone(_) => return None,
            Answer::Succeeded => {}
            Answer::Failed(failure) => failures.push(failure),
        }
    }
    // Those that nobody knows the number of are all called the same: each is a new one.
    let is_new = failures
        .iter()
        .any(|failure| failure.id == NAMELESS || !acted.contains(&failure.id));
    (count > 0 && (failures.is_empty() || is_new)).then_some(Completion { failures })
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
    fn one_without_a_number_is_new_each_time() {
        let failure = Answer::Failed(Failure {
            id: super::NAMELESS,
            code: 137,
            passes_on: true,
        });
        assert!(completion([failure], &[super::NAMELESS]).is_some());
    }

    #[test]
    fn the_table_of_policies() {
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
    fn what_a_member_states_goes_before_the_observers_policy() {
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
    fn absent_living_and_unreadable_are_not_done() {
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
    fn a_restart_within_the_linger_starts_all_anew() {
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
    fn who_dies_between_its_lock_and_its_first_record_was_there() {
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
    fn it_is_complete_when_all_are_done_and_something_is_new() {
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
    fn the_first_failure_named_gives_the_code() {
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
