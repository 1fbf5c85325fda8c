//! podgate's own process: what it could not do before it read its options.

use super::{LogEvent, Message, Severity};
use crate::core::errno::Errno;

/// The signals cannot be taken over, so that podgate could not be stopped.
pub fn cannot_take_signals(errno: Errno) -> Message {
    let text = format!(
        "cannot take over the signals: {errno}; raise the limit of open files (ulimit -n) if it is \
         reached"
    );
    Message::new(Severity::Error, LogEvent::Failed, text)
}

/// A panic: `cause` is its message and place.
pub fn bug(cause: &str) -> Message {
    let text = format!("a bug in podgate: {cause}; please report it");
    Message::new(Severity::Error, LogEvent::Failed, text)
}

#[cfg(test)]
mod tests {
    use super::{bug, cannot_take_signals};
    use crate::core::errno::Errno;

    #[test]
    fn a_failure_of_podgate_itself_tells_what_to_do() {
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
    }
}
