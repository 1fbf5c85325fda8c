//! `podgate reset`, and `podgate install --reset`.

use super::volume::volume_error;
use super::{LogEvent, Message, Severity};
use crate::core::member::Name;
use crate::core::round::Verdict;
use crate::core::volume_error::VolumeError;
use std::path::Path;

/// What a reset did.
#[derive(Debug, Clone, Copy)]
pub struct Reset<'a> {
    pub verdict: Verdict,
    pub dir: &'a Path,
    /// The round that it began or found.
    pub number: u64,
    /// The members whose files were removed.
    pub removed: &'a [Name],
    /// The living members, whose files were kept.
    pub alive: &'a [Name],
}

pub fn done(reset: &Reset<'_>) -> Message {
    let Reset { dir, number, .. } = reset;
    let text = match reset.verdict {
        Verdict::First => format!("round {number} of this pod begins on {dir:?}"),
        Verdict::NewRound | Verdict::Unfinished => {
            let mut text = format!(
                "round {number} of this pod begins on {dir:?}: all containers start again, and the \
                 records of the last round are removed ({})",
                list(reset.removed)
            );
            if !reset.alive.is_empty() {
                text.push_str(&format!("; kept, because alive: {}", list(reset.alive)));
            }
            text
        }
        Verdict::Again => format!(
            "round {number} of this pod continues on {dir:?}: no member has ended in this sandbox \
             since the last reset, and nothing is removed"
        ),
        Verdict::NewSandbox => format!(
            "round {number} of this pod continues on {dir:?}, in a new sandbox: all records are \
             kept, because a container that had succeeded does not start again"
        ),
    };
    Message::new(Severity::Info, LogEvent::Reset, text)
}

fn list(names: &[Name]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    names.join(", ")
}

pub fn failed(dir: &Path, error: &VolumeError) -> Message {
    let text = format!("cannot reset {dir:?}: {}", volume_error(error));
    Message::new(Severity::Error, LogEvent::Reset, text)
}

/// There is no mark in the sandbox.
pub fn no_semaphore() -> Message {
    let text = "this container may not create a System V semaphore, so the number of the IPC \
                namespace, which the kernel may use again, identifies the sandbox; allow semget(2) \
                in the seccomp profile";
    Message::new(Severity::Warning, LogEvent::Reset, text)
}

/// The IPC namespace does not end with the sandbox.
pub fn host_ipc() -> Message {
    let text = "this container uses the IPC namespace of the node, so a new sandbox looks like the \
                old one until the node reboots; remove hostIPC: true";
    Message::new(Severity::Warning, LogEvent::Reset, text)
}

#[cfg(test)]
mod tests {
    use super::{Reset, done, host_ipc, no_semaphore};
    use crate::core::member::Name;
    use crate::core::round::Verdict;
    use crate::message::{LogEvent, Severity};
    use std::path::Path;

    #[test]
    fn a_reset_has_one_line_with_what_it_did() {
        let name = |name| Name::parse(name).expect("a name");
        let (removed, alive) = ([name("main"), name("proxy")], [name("early")]);
        let text = |verdict, removed, alive| {
            let message = done(&Reset {
                verdict,
                dir: Path::new("/run/podgate"),
                number: 2,
                removed,
                alive,
            });
            assert_eq!(message.event, LogEvent::Reset);
            message.text
        };
        assert_eq!(
            text(Verdict::First, &[], &[]),
            "round 2 of this pod begins on \"/run/podgate\""
        );
        assert_eq!(
            text(Verdict::NewRound, &removed, &alive),
            "round 2 of this pod begins on \"/run/podgate\": all containers start again, and the \
             records of the last round are removed (main, proxy); kept, because alive: early"
        );
        assert_eq!(
            text(Verdict::Unfinished, &[], &[]),
            "round 2 of this pod begins on \"/run/podgate\": all containers start again, and the \
             records of the last round are removed (none)"
        );
        assert_eq!(
            text(Verdict::Again, &[], &[]),
            "round 2 of this pod continues on \"/run/podgate\": no member has ended in this \
             sandbox since the last reset, and nothing is removed"
        );
        assert_eq!(
            text(Verdict::NewSandbox, &[], &[]),
            "round 2 of this pod continues on \"/run/podgate\", in a new sandbox: all records are \
             kept, because a container that had succeeded does not start again"
        );
    }

    #[test]
    fn a_sandbox_that_cannot_be_recognised_surely_gets_a_warning_with_a_remedy() {
        for (message, remedy) in [
            (no_semaphore(), "allow semget(2)"),
            (host_ipc(), "remove hostIPC: true"),
        ] {
            assert_eq!(message.severity, Severity::Warning);
            assert!(message.text.contains(remedy), "{}", message.text);
        }
    }
}
