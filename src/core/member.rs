//! Who takes part: member names, what a record says, and what an observer sees of a member (DESIGN 6).
//!
//! The lock is the truth about life, the record about the rest. [`sight`] puts the two together.

use super::record::{Record, Unreadable};
use std::fmt;

/// The longest name: a DNS label, as container names are (RFC 1123).
const LONGEST_NAME: usize = 63;

/// The name of a member: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, at most 63 bytes. It holds no dot and no slash, so it can be part of a file
/// name, and none that it is part of leads out of the volume.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// What is wrong, with a right example.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty()
            || text.len() > LONGEST_NAME
            || !text.bytes().all(fine)
            || text.starts_with('-')
            || text.ends_with('-')
        {
            return Err(format!(
                "is no member's name: small letters, digits and - inside, at most {LONGEST_NAME}, as a container's; say main"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a member's end means to those who wait for it: the pod's `restartPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Nothing is restarted: any end is final.
    Never,
    /// What exits 0 is not restarted, and all else is.
    OnFailure,
    /// Everything is restarted: no end is final.
    Always,
    /// Not known: any end counts, and the exit codes let the pod's own policy decide.
    Auto,
}

impl Policy {
    /// As it is written on the command line and in records.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
            Self::Auto => "auto",
        }
    }

    /// Reads one; Kubernetes' own spelling (`OnFailure`) is understood, too.
    ///
    /// # Errors
    /// The right words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let word = text.to_ascii_lowercase();
        let all = [Self::Never, Self::OnFailure, Self::Always, Self::Auto];
        let is_it = |policy: &Self| policy.word() == word || policy.word().replace('-', "") == word;
        all.into_iter()
            .find(is_it)
            .ok_or_else(|| "is no restart policy; say never, on-failure, always or auto".to_owned())
    }
}

/// How far a living member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Its CMD is not started.
    Waiting,
    /// Its CMD runs.
    Running,
    /// And is ready, or was once in this incarnation: a latch, no liveness.
    Ready,
}

/// How an incarnation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// With this exit code of its container.
    Code(u8),
    /// Without a word: SIGKILL, the OOM killer, or a container that was killed.
    Lost,
    /// A joined member, which cannot know PID 1's exit code.
    Unknown,
}

/// What an observer sees of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sighting {
    /// Nobody of that name was here, or nobody of this pod.
    Absent,
    /// It holds its lock.
    Alive {
        /// Which incarnation; `None` where the record does not tell.
        id: Option<u64>,
        /// How far it is; `None` where the record does not tell.
        stage: Option<Stage>,
    },
    /// It is dead.
    Ended {
        /// Which incarnation.
        id: u64,
        /// How.
        end: End,
        /// The restart policy that it stated itself.
        policy: Option<Policy>,
    },
    /// There is a record that cannot be read, and nobody holds the lock.
    Unreadable,
}

impl Sighting {
    /// Does it live? What is waited for at SIGTERM.
    pub const fn is_alive(&self) -> bool {
        matches!(self, Self::Alive { .. })
    }
}

/// What is on the volume under a name: the record, if there is one, and whether somebody holds the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The record, or why it cannot be read.
    pub record: Option<Result<Record, Unreadable>>,
    /// Is the lock held?
    pub is_held: bool,
}

/// What `found` means to an observer on `host`.
///
/// A record from another host is another pod's (a PVC, a hostPath): absent. A held lock without a record is a member between its first
/// two steps. A record that says exited counts, whether or not its writer has left already: CMD has ended.
pub fn sight(found: &Found, host: &str) -> Sighting {
    let unknown = Sighting::Alive {
        id: None,
        stage: None,
    };
    match &found.record {
        None if found.is_held => unknown,
        None => Sighting::Absent,
        Some(Err(_)) if found.is_held => unknown,
        Some(Err(_)) => Sighting::Unreadable,
        Some(Ok(record)) if record.host != host => Sighting::Absent,
        Some(Ok(record)) => {
            let ended = |end| Sighting::Ended {
                id: record.id,
                end,
                policy: record.policy,
            };
            match (record.exit, found.is_held) {
                (Some(code), _) => ended(End::Code(code)),
                (None, true) => Sighting::Alive {
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
    use super::{End, Found, Name, Policy, Sighting, Stage, sight};
    use crate::core::record::tests::record;
    use crate::core::record::{Record, Unreadable};

    #[test]
    fn names_are_dns_labels() {
        for fine in ["a", "main", "a-b", "0", "istio-proxy", &"x".repeat(63)] {
            assert_eq!(Name::parse(fine).expect("a name").as_str(), fine);
        }
        for bad in [
            "",
            "A",
            "-a",
            "a-",
            "a.b",
            "a/b",
            "..",
            "a b",
            "ä",
            "a\n",
            &"x".repeat(64),
        ] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn policies_are_read_in_both_spellings() {
        for (text, policy) in [
            ("never", Policy::Never),
            ("on-failure", Policy::OnFailure),
            ("OnFailure", Policy::OnFailure),
            ("Always", Policy::Always),
            ("auto", Policy::Auto),
        ] {
            assert_eq!(Policy::parse(text), Ok(policy));
        }
        assert!(Policy::parse("sometimes").is_err());
    }

    #[test]
    fn the_lock_is_the_truth_about_life() {
        let see = |record: Option<Result<Record, Unreadable>>, is_held| {
            sight(&Found { record, is_held }, "pod")
        };
        let running = || record(Stage::Running, None);
        let id = running().id;
        let alive = |stage| Sighting::Alive {
            id: Some(id),
            stage: Some(stage),
        };
        let ended = |end| Sighting::Ended {
            id,
            end,
            policy: None,
        };
        assert_eq!(see(None, false), Sighting::Absent);
        assert_eq!(
            see(None, true),
            Sighting::Alive {
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
            let foreign = Record {
                host: "other".to_owned(),
                ..running()
            };
            assert_eq!(see(Some(Ok(foreign)), is_held), Sighting::Absent);
        }
        assert_eq!(
            see(Some(Err(Unreadable::Newer(2))), true),
            Sighting::Alive {
                id: None,
                stage: None
            }
        );
        assert_eq!(
            see(Some(Err(Unreadable::Garbage("x"))), false),
            Sighting::Unreadable
        );
    }
}
