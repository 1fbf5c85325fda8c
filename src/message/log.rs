//! The places where lines and the termination message go.

use super::{LogEvent, Message, Severity};
use crate::core::errno::Errno;
use std::path::Path;

/// Why a log cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogError {
    /// It is a block device, which is not written line by line.
    BlockDevice,
    System(Errno),
}

/// Why a log cannot be used, in words.
pub fn cause(error: LogError) -> String {
    match error {
        LogError::BlockDevice => "it is a block device".to_owned(),
        LogError::System(errno) => errno.to_string(),
    }
}

/// `--log-to container` does not work here.
pub fn no_container_log(path: &str, error: LogError) -> Message {
    let cause = cause(error);
    let text = format!("cannot write to the container's log {path:?}: {cause}; logging to stderr");
    Message::new(Severity::Warning, LogEvent::Log, text)
}

/// The path of `--termination-log` cannot be written.
pub fn no_termination_message(path: &Path, errno: Errno) -> Message {
    let text = format!("cannot write the termination message {path:?}: {errno}");
    Message::new(Severity::Warning, LogEvent::Termination, text)
}

#[cfg(test)]
mod tests {
    use super::{LogError, no_container_log, no_termination_message};
    use crate::core::errno::Errno;
    use std::path::Path;

    #[test]
    fn a_log_that_cannot_be_used_is_named_with_the_cause() {
        assert_eq!(
            no_container_log("/proc/1/fd/2", LogError::System(Errno::EACCES)).text,
            "cannot write to the container's log \"/proc/1/fd/2\": Permission denied (os error \
             13); logging to stderr"
        );
        assert_eq!(
            no_container_log("/proc/1/fd/2", LogError::BlockDevice).text,
            "cannot write to the container's log \"/proc/1/fd/2\": it is a block device; logging \
             to stderr"
        );
        assert_eq!(
            no_termination_message(Path::new("/x"), Errno::ENOENT).text,
            "cannot write the termination message \"/x\": No such file or directory (os error 2)"
        );
    }
}
