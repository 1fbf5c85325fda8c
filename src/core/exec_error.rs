//! Why a command cannot be executed, as values: for CMD of `run` and `wait`, and for `exec:`
//! checks.

use super::errno::Errno;
use super::exit::Exit;

/// Why a command was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecError {
    /// No file has this name, in this path or in `PATH`.
    NotFound,
    /// The file exists, but the interpreter of its `#!` line or its dynamic loader does not.
    NoInterpreter,
    /// Its mode or its mount (noexec) forbids it.
    NotPermitted,
    /// It is not a program of this architecture, or a script without a `#!` line.
    WrongFormat,
    /// Another process is writing the file: it will be executable soon.
    Busy,
    /// The system has no process, descriptor or memory left. The command is not the cause.
    NoResources(Errno),
    Other(Errno),
}

impl ExecError {
    /// The exit code of a podgate that cannot start CMD: those of env(1) and `docker run`.
    pub const fn exit(self) -> Exit {
        match self {
            Self::NotFound => Exit::NotFound,
            Self::NoInterpreter
            | Self::NotPermitted
            | Self::WrongFormat
            | Self::Busy
            | Self::Other(_) => Exit::NotExecutable,
            Self::NoResources(_) => Exit::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExecError;
    use crate::core::errno::Errno;

    #[test]
    fn a_missing_command_ends_with_127_and_one_that_cannot_be_executed_with_126() {
        for (error, code) in [
            (ExecError::NotFound, 127),
            (ExecError::NoInterpreter, 126),
            (ExecError::NotPermitted, 126),
            (ExecError::WrongFormat, 126),
            (ExecError::Busy, 126),
            (ExecError::NoResources(Errno::EMFILE), 125),
            (ExecError::Other(Errno::EIO), 126),
        ] {
            assert_eq!(error.exit().code(), code, "{error:?}");
        }
    }
}
