//! What `podgate join` reports.

use super::{LogEvent, Message, Severity};
use crate::core::errno::Errno;
use crate::core::member::Name;
use std::path::Path;

/// Why a container cannot join.
#[derive(Debug, Clone, Copy)]
pub enum Refusal<'a> {
    /// PID 1 is another container's, so it cannot be stopped for `--until`.
    SharedPidNamespace,
    /// PID 1 belongs to another user than this one, so it cannot be stopped either.
    OtherUser(u32),
    /// The record of this member cannot be written.
    CannotPublish {
        name: &'a Name,
        record: &'a Path,
        errno: Errno,
    },
    /// pipe(2) or fork(2) failed.
    CannotStartAgent(Errno),
}

pub fn refused(refusal: Refusal<'_>) -> Message {
    let text = match refusal {
        Refusal::SharedPidNamespace => {
            "cannot join with --until: PID 1 is not this container's own (shareProcessNamespace), \
             so its stop signal would end another container; unset shareProcessNamespace, or wrap \
             the command with podgate run"
                .to_owned()
        }
        Refusal::OtherUser(uid) => format!(
            "cannot join with --until: uid {uid} may not signal PID 1; run the hook as the same \
             user as PID 1"
        ),
        Refusal::CannotPublish {
            name,
            record,
            errno,
        } => format!("cannot publish {name} in {record:?}: {errno}"),
        Refusal::CannotStartAgent(errno) => format!(
            "cannot start the background process: {errno}; check the limit on the number of \
             processes"
        ),
    };
    Message::new(Severity::Error, LogEvent::Join, text)
}

pub fn joined(name: &Name) -> Message {
    let text = format!("{name} has joined");
    Message::new(Severity::Info, LogEvent::Joined, text)
}

/// The hook ran before in this container.
pub fn already_joined(name: &Name) -> Message {
    let text = format!("{name} has already joined, in an earlier run of this hook");
    Message::new(Severity::Info, LogEvent::Joined, text)
}

/// The system call of the background process that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentFailure {
    BlockSignals(Errno),
    Wait(Errno),
}

/// The background process ends.
pub fn agent_failed(failure: AgentFailure) -> Message {
    let (what, errno) = match failure {
        AgentFailure::BlockSignals(errno) => ("block the signals", errno),
        AgentFailure::Wait(errno) => ("wait for events", errno),
    };
    let text = format!(
        "cannot {what}: {errno}; this container is no longer a member, and podgate will not stop it"
    );
    Message::new(Severity::Error, LogEvent::Failed, text)
}

#[cfg(test)]
mod tests {
    use super::{AgentFailure, Refusal, agent_failed, already_joined, joined, refused};
    use crate::core::errno::Errno;
    use crate::core::member::Name;
    use std::path::Path;

    #[test]
    fn each_end_of_a_join_is_one_line() {
        let name = Name::parse("main").expect("a name");
        for (message, expected) in [
            (joined(&name), "main has joined"),
            (
                already_joined(&name),
                "main has already joined, in an earlier run of this hook",
            ),
            (
                refused(Refusal::SharedPidNamespace),
                "cannot join with --until: PID 1 is not this container's own \
                 (shareProcessNamespace), so its stop signal would end another container; unset \
                 shareProcessNamespace, or wrap the command with podgate run",
            ),
            (
                refused(Refusal::OtherUser(7)),
                "cannot join with --until: uid 7 may not signal PID 1; run the hook as the same \
                 user as PID 1",
            ),
            (
                refused(Refusal::CannotPublish {
                    name: &name,
                    record: Path::new("/run/main.record"),
                    errno: Errno::ENOSPC,
                }),
                "cannot publish main in \"/run/main.record\": No space left on device (os error \
                 28)",
            ),
            (
                refused(Refusal::CannotStartAgent(Errno::EAGAIN)),
                "cannot start the background process: Resource temporarily unavailable (os error \
                 11); check the limit on the number of processes",
            ),
            (
                agent_failed(AgentFailure::BlockSignals(Errno::EAGAIN)),
                "cannot block the signals: Resource temporarily unavailable (os error 11); this \
                 container is no longer a member, and podgate will not stop it",
            ),
            (
                agent_failed(AgentFailure::Wait(Errno(22))),
                "cannot wait for events: Invalid argument (os error 22); this container \
                 is no longer a member, and podgate will not stop it",
            ),
        ] {
            assert_eq!(message.text, expected);
        }
    }
}
