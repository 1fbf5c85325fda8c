//! Failures of podgate's own process.

use super::{LogEvent, Message, Severity};
use crate::core::errno::Errno;
use crate::core::signal;

/// What podgate was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Checks,
    /// Sidecars that are asked to quit.
    Sidecars,
    Cmd,
}

/// The signals cannot be taken over, so that podgate could not be stopped.
pub fn cannot_take_signals(errno: Errno) -> Message {
    let text = format!(
        "cannot take over the signals: {errno}; raise the limit of open files (ulimit -n) if it is \
         reached"
    );
    Message::new(Severity::Error, LogEvent::Failed, text)
}

/// ppoll(2) failed.
pub fn cannot_wait(wait: Wait, errno: Errno) -> Message {
    let consequence = match wait {
        Wait::Checks => "the checks are not the cause",
        Wait::Sidecars => "the sidecars are not the cause",
        Wait::Cmd => "the command is killed",
    };
    let text = format!("cannot wait for events: {errno}; {consequence}");
    Message::new(Severity::Error, LogEvent::Failed, text)
}

/// A file that an option names cannot be opened, because its file system does not answer, and this
/// signal arrived.
pub fn cannot_open_in_time(number: u8) -> Message {
    let text = format!(
        "stopped by {}: a file that an option names cannot be opened; is its server gone?",
        signal::name(number)
    );
    Message::new(Severity::Error, LogEvent::Hangs, text)
}

/// A panic: `cause` is its message and place.
pub fn bug(cause: &str) -> Message {
    let text = format!("a bug in podgate: {cause}; please report it");
    Message::new(Severity::Error, LogEvent::Failed, text)
}

#[cfg(test)]
mod tests {
    use super::{Wait, bug, cannot_open_in_time, cannot_take_signals, cannot_wait};
    use crate::core::errno::Errno;

    #[test]
    fn a_failure_of_podgate_itself_has_a_consequence_or_a_remedy() {
        assert_eq!(
            bug("index out of range").text,
            "a bug in podgate: index out of range; please report it"
        );
        let text = cannot_take_signals(Errno::ENOSPC).text;
        assert!(
            text.starts_with("cannot take over the signals: No space left on device (os error 28)"),
            "{text}"
        );
        assert!(text.ends_with("raise the limit of open files (ulimit -n) if it is reached"));
        assert_eq!(
            cannot_open_in_time(15).text,
            "stopped by SIGTERM: a file that an option names cannot be opened; is its server gone?"
        );
        for (wait, consequence) in [
            (Wait::Checks, "the checks are not the cause"),
            (Wait::Sidecars, "the sidecars are not the cause"),
            (Wait::Cmd, "the command is killed"),
        ] {
            assert_eq!(
                cannot_wait(wait, Errno(22)).text,
                format!("cannot wait for events: Invalid argument (os error 22); {consequence}")
            );
        }
    }
}
