//! What an observer knows of a member at one moment: its record and its two signs of life, and what
//! they mean together.
//!
//! A member is alive while it has its lock or its socket, and the record has the rest. [`observe`]
//! puts them together.

use super::member::{Policy, Stage};
use super::record::{Record, Unreadable};

/// What shows that a member is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Lock,
    /// Its socket, although its lock is free: locks are not shared.
    Socket,
}

/// How an incarnation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// With this exit code of its container, other than after a stop that ended with 0.
    Code(u8),
    /// With exit code 0 after a stop signal from outside. The kubelet starts a container whose
    /// liveness probe failed again, even if it exits 0.
    Stopped,
    /// Without a code: SIGKILL, the OOM killer, or a container that was killed.
    Lost,
    /// A joined member ended. It cannot know the exit code of PID 1.
    Unknown,
}

/// The state of a member, as an observer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Observation {
    /// There is no member of that name, or none of this pod.
    Absent,
    /// It has a sign of life.
    Alive {
        /// The incarnation. `None` where the record does not have it.
        id: Option<u64>,
        /// How far it is. `None` where the record does not have it.
        stage: Option<Stage>,
    },
    /// It is dead.
    Ended {
        /// The incarnation.
        id: u64,
        /// The number of its starts, this one included. `None`: it is not known.
        incarnation: Option<u64>,
        end: End,
        /// The restart policy that it stated itself.
        policy: Option<Policy>,
    },
    /// There is a record that cannot be read, and the lock is free.
    Unreadable,
}

impl Observation {
    /// Whether the member has a sign of life.
    pub const fn is_alive(&self) -> bool {
        matches!(self, Self::Alive { .. })
    }
}

/// The content of the volume under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The record, or why it cannot be read. `None`: there is no record.
    pub record: Option<Result<Record, Unreadable>>,
    /// Whether its lock is held, as far as this container sees it.
    pub is_held: bool,
    /// Whether its socket exists, although its lock is free: the second sign of life. `false` also
    /// where this is not known (another network namespace), and then the lock decides.
    pub is_bound: bool,
}

impl Snapshot {
    /// Whether the member has a sign of life.
    pub const fn is_alive(&self) -> bool {
        self.is_held || self.is_bound
    }

    /// The two signs contradict each other. The member dies at this moment, or locks are not shared
    /// between its container and this one.
    pub const fn contradicts_itself(&self) -> bool {
        self.is_bound && !self.is_held
    }
}

/// The meaning of a snapshot to an observer on `host`.
///
/// A record from another host is another pod's (a PVC, a hostPath): absent. A held lock without a
/// record is a member between its first two steps. A record with an exit code counts whether or not
/// its writer is still alive: CMD has ended. Without one, the member is dead only if it has no sign
/// of life (P6.14).
pub fn observe(snapshot: &Snapshot, host: &str) -> Observation {
    let unknown = Observation::Alive {
        id: None,
        stage: None,
    };
    match &snapshot.record {
        None if snapshot.is_held => unknown,
        None => Observation::Absent,
        Some(Err(_)) if snapshot.is_held => unknown,
        Some(Err(_)) => Observation::Unreadable,
        Some(Ok(record)) if record.host != host => Observation::Absent,
        Some(Ok(record)) => {
            let ended = |end| Observation::Ended {
                id: record.id,
                incarnation: Some(record.incarnation),
                end,
                policy: record.policy,
            };
            match (record.exit, snapshot.is_alive()) {
                (Some(0), _) if record.is_stopped => ended(End::Stopped),
                (Some(code), _) => ended(End::Code(code)),
                (None, true) => Observation::Alive {
                    id: Some(record.id),
                    stage: Some(record.stage),
                },
                (None, false) if record.is_joined => ended(End::Unknown),
                (None, false) => ended(End::Lost),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Observation, Snapshot, observe};
    use crate::core::member::Stage;
    use crate::core::record::tests::record;
    use crate::core::record::{Garbage, Record, Unreadable};

    fn snapshot(record: Record, is_held: bool, is_bound: bool) -> Snapshot {
        Snapshot {
            record: Some(Ok(record)),
            is_held,
            is_bound,
        }
    }

    #[test]
    fn a_member_is_dead_only_if_its_lock_and_its_socket_both_say_so() {
        let running = record(Stage::Running, None);
        for (is_held, is_bound, is_alive, is_contradiction) in [
            (true, false, true, false),
            (true, true, true, false),
            (false, true, true, true),
            (false, false, false, false),
        ] {
            for is_joined in [true, false] {
                let record = Record {
                    is_joined,
                    ..running.clone()
                };
                let found = snapshot(record, is_held, is_bound);
                assert_eq!(observe(&found, "pod").is_alive(), is_alive, "{found:?}");
                assert_eq!(found.is_alive(), is_alive, "{found:?}");
                assert_eq!(found.contradicts_itself(), is_contradiction, "{found:?}");
            }
        }
        let exited = Record {
            exit: Some(3),
            ..running.clone()
        };
        let other = Record {
            host: "other".to_owned(),
            ..running
        };
        let ended = Observation::Ended {
            id: exited.id,
            incarnation: Some(exited.incarnation),
            end: End::Code(3),
            policy: None,
        };
        assert_eq!(observe(&snapshot(exited, false, true), "pod"), ended);
        assert_eq!(
            observe(&snapshot(other, false, true), "pod"),
            Observation::Absent
        );
    }

    #[test]
    fn without_a_socket_the_lock_decides_whether_a_member_is_alive() {
        let see = |record: Option<Result<Record, Unreadable>>, is_held| {
            let is_bound = false;
            observe(
                &Snapshot {
                    record,
                    is_held,
                    is_bound,
                },
                "pod",
            )
        };
        let running = || record(Stage::Running, None);
        let id = running().id;
        let alive = |stage| Observation::Alive {
            id: Some(id),
            stage: Some(stage),
        };
        let ended = |end| Observation::Ended {
            id,
            incarnation: Some(running().incarnation),
            end,
            policy: None,
        };
        assert_eq!(see(None, false), Observation::Absent);
        assert_eq!(
            see(None, true),
            Observation::Alive {
                id: None,
                stage: None
            }
        );
        assert_eq!(see(Some(Ok(running())), true), alive(Stage::Running));
        assert_eq!(see(Some(Ok(running())), false), ended(End::Lost));
        assert_eq!(
            see(
                Some(Ok(Record {
                    is_joined: true,
                    ..running()
                })),
                false
            ),
            ended(End::Unknown)
        );
        for is_held in [true, false] {
            assert_eq!(
                see(
                    Some(Ok(Record {
                        exit: Some(3),
                        ..running()
                    })),
                    is_held
                ),
                ended(End::Code(3))
            );
            for (exit, expected) in [(0, End::Stopped), (143, End::Code(143))] {
                let stopped = Record {
                    exit: Some(exit),
                    is_stopped: true,
                    ..running()
                };
                assert_eq!(see(Some(Ok(stopped)), is_held), ended(expected));
            }
            let foreign = Record {
                host: "other".to_owned(),
                ..running()
            };
            assert_eq!(see(Some(Ok(foreign)), is_held), Observation::Absent);
        }
        assert_eq!(
            see(Some(Err(Unreadable::Newer(2))), true),
            Observation::Alive {
                id: None,
                stage: None
            }
        );
        assert_eq!(
            see(Some(Err(Unreadable::Garbage(Garbage::NotUtf8))), false),
            Observation::Unreadable
        );
    }
}
