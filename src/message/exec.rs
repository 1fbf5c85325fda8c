//! A command that cannot be started.

use super::reason::{limit, one_word, shortage};
use super::{LogEvent, Message, Severity};
use crate::core::exec_error::ExecError;
use crate::core::signal::name;
use std::ffi::OsStr;

/// Why a command cannot be started, and the remedy: for CMD of `run` and `wait`.
pub fn cause(error: ExecError) -> String {
    match error {
        ExecError::NotFound => {
            "command not found; give its full path, and check that it is in this image".to_owned()
        }
        ExecError::NoInterpreter => {
            "the file exists, but the interpreter of its #! line or its dynamic loader does not; \
             add that to this image"
                .to_owned()
        }
        ExecError::NotPermitted => {
            "it is not executable; check its mode, and that its volume is not mounted noexec"
                .to_owned()
        }
        ExecError::WrongFormat => {
            "it is not a program for this machine; check its architecture, and that a script \
             begins with #!"
                .to_owned()
        }
        ExecError::Busy => "it is still being written; start it when it is complete".to_owned(),
        ExecError::NoResources(errno) => match limit(errno) {
            Some(limit) => format!("{}; {limit}", shortage(errno)),
            None => errno.to_string(),
        },
        ExecError::Other(errno) => errno.to_string(),
    }
}

/// CMD cannot be started.
pub fn cannot_run(name: &OsStr, error: ExecError) -> Message {
    let name = name.to_string_lossy();
    let cause = match (error, one_word(&name)) {
        (ExecError::NotFound, Some(hint)) => format!("command not found; {hint}"),
        (ExecError::NotFound, None) => cause(error),
        (
            ExecError::NoInterpreter
            | ExecError::NotPermitted
            | ExecError::WrongFormat
            | ExecError::Busy
            | ExecError::NoResources(_)
            | ExecError::Other(_),
            _,
        ) => cause(error),
    };
    let text = format!("cannot run {name:?}: {cause}");
    Message::new(Severity::Error, LogEvent::Exec, text)
}

/// A signal arrived just before CMD was started.
pub fn stopped(number: u8) -> Message {
    let text = format!("stopped by {}; the command was not started", name(number));
    Message::new(Severity::Warning, LogEvent::Stopped, text)
}

#[cfg(test)]
mod tests {
    use super::{cannot_run, stopped};
    use crate::core::errno::Errno;
    use crate::core::exec_error::ExecError;
    use std::ffi::OsStr;

    #[test]
    fn a_command_in_one_word_has_a_hint() {
        for (name, part) in [
            ("node server.js", "give each as a word of its own"),
            ("/bin/sh -c 'x'\n", "give each as a word of its own"),
            ("app\n", "remove that"),
            (" app", "remove that"),
            ("", "is empty"),
            (" ", "is empty"),
            ("app", "give its full path"),
        ] {
            let text = cannot_run(OsStr::new(name), ExecError::NotFound).text;
            assert!(text.contains("command not found; "), "{text}");
            assert!(text.contains(part), "{text}");
        }
        let text = cannot_run(OsStr::new("a b"), ExecError::NotPermitted).text;
        assert!(text.contains("not executable"), "{text}");
    }

    #[test]
    fn a_signal_before_the_start_is_named() {
        assert_eq!(
            stopped(15).text,
            "stopped by SIGTERM; the command was not started"
        );
    }

    #[test]
    fn a_command_that_cannot_be_started_has_a_cause_and_a_remedy() {
        for (error, text) in [
            (
                ExecError::NotFound,
                "cannot run \"/app\": command not found; give its full path, and check that it is \
                 in this image",
            ),
            (
                ExecError::NoInterpreter,
                "cannot run \"/app\": the file exists, but the interpreter of its #! line or its \
                 dynamic loader does not; add that to this image",
            ),
            (
                ExecError::NotPermitted,
                "cannot run \"/app\": it is not executable; check its mode, and that its volume \
                 is not mounted noexec",
            ),
            (
                ExecError::WrongFormat,
                "cannot run \"/app\": it is not a program for this machine; check its \
                 architecture, and that a script begins with #!",
            ),
            (
                ExecError::Busy,
                "cannot run \"/app\": it is still being written; start it when it is complete",
            ),
            (
                ExecError::NoResources(Errno::EAGAIN),
                "cannot run \"/app\": no more processes or threads are allowed (EAGAIN); raise the \
                 limit on processes that is reached: pids.max of this container or its node, or \
                 RLIMIT_NPROC of its user",
            ),
            (
                ExecError::Other(Errno(7)),
                "cannot run \"/app\": Argument list too long (os error 7)",
            ),
        ] {
            assert_eq!(cannot_run(OsStr::new("/app"), error).text, text);
        }
    }
}
