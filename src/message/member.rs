//! What a member of the pod is like, in words.

use crate::core::member::Stage;
use crate::core::observation::{End, Observation};

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
            end: End::Code(_) | End::Unknown,
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
        Observation::Alive { stage, .. } => match stage {
            None => "is starting",
            Some(Stage::Waiting) => "is waiting for others",
            Some(Stage::Running) => "is running, and is not ready yet",
            Some(Stage::Ready) => "is ready",
        }
        .to_owned(),
        Observation::Ended { end, .. } => ended(end),
    }
}

/// How a member ended, as the end of a sentence that begins with its name.
pub fn ended(end: End) -> String {
    match end {
        End::Code(code) => format!("ended with exit code {code}"),
        End::Lost => "was lost: it died without a word (SIGKILL, or out of memory)".to_owned(),
        End::Unknown => "ended, and its exit code is not known (it joined)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{phrase, word};
    use crate::core::member::Stage;
    use crate::core::observation::{End, Observation};

    #[test]
    fn every_state_has_a_word_and_a_phrase() {
        let alive = |stage| Observation::Alive { id: Some(1), stage };
        let over = |end| Observation::Ended {
            id: 1,
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
                "is running, and is not ready yet",
            ),
            (alive(Some(Stage::Ready)), "ready", "is ready"),
            (over(End::Code(3)), "exited", "ended with exit code 3"),
            (
                over(End::Lost),
                "lost",
                "was lost: it died without a word (SIGKILL, or out of memory)",
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
}
