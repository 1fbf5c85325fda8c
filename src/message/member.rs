//! The state of a member, in words.

use super::volume::unreadable;
use crate::core::member::{Name, Stage};
use crate::core::observation::{End, Observation};
use crate::core::outcome::MemberState;

/// The state in one word, for `status`: the words of a record, and `absent`, `lost`, `unknown`.
pub const fn word(observation: Observation) -> &'static str {
    match observation {
        Observation::Absent => "absent",
        Observation::Alive {
            stage: Some(Stage::Waiting),
            ..
        } => "waiting",
        Observation::Alive {
            stage: Some(Stage::Running),
            ..
        } => "running",
        Observation::Alive {
            stage: Some(Stage::Ready),
            ..
        } => "ready",
        Observation::Alive { stage: None, .. } | Observation::Unreadable => "unknown",
        Observation::Ended {
            end: End::Code(_) | End::Stopped | End::Unknown,
            ..
        } => "exited",
        Observation::Ended { end: End::Lost, .. } => "lost",
    }
}

/// What a member does or how it ended, as the end of a sentence that begins with its name.
pub fn phrase(observation: Observation) -> String {
    match observation {
        Observation::Absent => "is absent".to_owned(),
        Observation::Unreadable => "has a record that cannot be read".to_owned(),
        Observation::Alive { stage, .. } => format!("is {}", doing(stage)),
        Observation::Ended { end, .. } => ended(end),
    }
}

/// Why a member is not as a check asks, as the part of a message after the check's name and a
/// colon.
pub fn state(state: &MemberState) -> String {
    match state {
        MemberState::NoVolume => "members cannot be seen without --dir".to_owned(),
        MemberState::Unknown => "the volume cannot be read at the moment".to_owned(),
        MemberState::Absent { seen, .. } if seen.is_empty() => {
            "absent; no member has come yet".to_owned()
        }
        MemberState::Absent { seen, has_more } => {
            let names: Vec<&str> = seen.iter().map(Name::as_str).collect();
            let more = if *has_more { ", …" } else { "" };
            format!("absent; seen here: {}{more}", names.join(", "))
        }
        MemberState::OtherHost(path, host) => {
            format!("absent: {path:?} is from another host, {host:?}")
        }
        MemberState::Unreadable(path, why) => format!("unknown: {path:?} {}", unreadable(*why)),
        MemberState::Starting => doing(None).to_owned(),
        MemberState::Waiting => doing(Some(Stage::Waiting)).to_owned(),
        MemberState::Running => doing(Some(Stage::Running)).to_owned(),
        MemberState::Ready => "still running".to_owned(),
        MemberState::Alive => "still alive".to_owned(),
        MemberState::AliveWithoutLock => {
            "still alive, although its lock is free here: locks are not shared between the \
             containers"
                .to_owned()
        }
        MemberState::Ended(end) => ended(*end),
    }
}

/// What a living member does, after the word `is`. `None`: it has not published its stage.
const fn doing(stage: Option<Stage>) -> &'static str {
    match stage {
        None => "starting",
        Some(Stage::Waiting) => "waiting for others",
        Some(Stage::Running) => "running, but not ready",
        Some(Stage::Ready) => "ready",
    }
}

/// How a member ended, as the end of a sentence that begins with its name.
fn ended(end: End) -> String {
    match end {
        End::Code(code) => format!("ended with exit code {code}"),
        End::Stopped => "ended with exit code 0 after a stop signal from outside".to_owned(),
        End::Lost => "was lost: it left no exit code (SIGKILL, or out of memory)".to_owned(),
        End::Unknown => "ended, and its exit code is not known (it joined)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{phrase, state, word};
    use crate::core::member::{Name, Stage};
    use crate::core::observation::{End, Observation};
    use crate::core::outcome::MemberState;
    use crate::core::record::Unreadable;

    #[test]
    fn every_state_has_a_word_and_a_phrase() {
        let alive = |stage| Observation::Alive { id: Some(1), stage };
        let over = |end| Observation::Ended {
            id: 1,
            incarnation: Some(1),
            end,
            policy: None,
        };
        for (observation, one, many) in [
            (Observation::Absent, "absent", "is absent"),
            (
                Observation::Unreadable,
                "unknown",
                "has a record that cannot be read",
            ),
            (alive(None), "unknown", "is starting"),
            (
                alive(Some(Stage::Waiting)),
                "waiting",
                "is waiting for others",
            ),
            (
                alive(Some(Stage::Running)),
                "running",
                "is running, but not ready",
            ),
            (alive(Some(Stage::Ready)), "ready", "is ready"),
            (over(End::Code(3)), "exited", "ended with exit code 3"),
            (
                over(End::Stopped),
                "exited",
                "ended with exit code 0 after a stop signal from outside",
            ),
            (
                over(End::Lost),
                "lost",
                "was lost: it left no exit code (SIGKILL, or out of memory)",
            ),
            (
                over(End::Unknown),
                "exited",
                "ended, and its exit code is not known (it joined)",
            ),
        ] {
            assert_eq!(word(observation), one);
            assert_eq!(phrase(observation), many);
        }
    }

    #[test]
    fn the_state_of_a_member_says_why_a_check_does_not_pass() {
        let name = |text: &str| Name::parse(text).expect("a name");
        let absent = |names: &[&str], has_more| MemberState::Absent {
            seen: names.iter().map(|text| name(text)).collect(),
            has_more,
        };
        for (found, expected) in [
            (absent(&[], false), "absent; no member has come yet"),
            (absent(&["a", "b"], false), "absent; seen here: a, b"),
            (absent(&["a"], true), "absent; seen here: a, …"),
            (
                MemberState::OtherHost("/run/a.record".into(), "b".to_owned()),
                "absent: \"/run/a.record\" is from another host, \"b\"",
            ),
            (MemberState::Starting, "starting"),
            (MemberState::Waiting, "waiting for others"),
            (MemberState::Running, "running, but not ready"),
            (MemberState::Alive, "still alive"),
            (
                MemberState::AliveWithoutLock,
                "still alive, although its lock is free here: locks are not shared between the \
                 containers",
            ),
            (MemberState::Ended(End::Code(3)), "ended with exit code 3"),
            (
                MemberState::Ended(End::Lost),
                "was lost: it left no exit code (SIGKILL, or out of memory)",
            ),
        ] {
            assert_eq!(state(&found), expected);
        }
        let unreadable = MemberState::Unreadable("/run/a.record".into(), Unreadable::Newer(2));
        assert!(state(&unreadable).starts_with("unknown: \"/run/a.record\" is of version 2"));
    }
}
