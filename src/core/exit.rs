//! Every exit code of podgate, in one table (P7.14).
//!
//! Kubernetes reads exit codes: restart policies, `podFailurePolicy` and container restart rules
//! (KEP-5307) act on them. A number that was published never gets another meaning: a new code is a
//! number that was never used.

use std::process::ExitCode;

/// How podgate ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: passed.
    Passed,
    /// 1: a check did not pass (`check`), reached `--failure-threshold` or can never pass; a
    /// sidecar did not quit (`quit`).
    NotPassed,
    /// 2: the command line or a variable is wrong; nothing was done.
    Usage,
    /// 69: a member of `--needs` ended. `EX_UNAVAILABLE` of sysexits.h.
    NeedLost,
    /// 124: a time limit was reached: the gate did not open, or a member of `--until` did not come.
    /// The code of timeout(1).
    TimedOut,
    /// 125: podgate itself failed. This and the next two are the codes of env(1), nohup(1) and
    /// `docker run`.
    Internal,
    /// 126: CMD was found but cannot be executed.
    NotExecutable,
    /// 127: CMD was not found.
    NotFound,
    /// 137: killed, 128 + SIGKILL. Container runtimes report a killed container with it, so it
    /// stands for a member that left no exit code.
    Killed,
    /// 143: stopped before the command was ready, 128 + SIGTERM.
    Terminated,
    /// 128+n: ended by signal n, as a shell reports it. PID 1 cannot die of a signal, so it is a
    /// code.
    Signal(u8),
    /// The code of a member's life: CMD's own code, or the one that `core::life` decided on.
    Main(u8),
}

impl Exit {
    /// The number that the parent process sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::NotPassed => 1,
            Self::Usage => 2,
            Self::NeedLost => 69,
            Self::TimedOut => 124,
            Self::Internal => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Killed => 137,
            Self::Terminated => 143,
            Self::Signal(number) => 128_u8.saturating_add(number),
            Self::Main(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_codes_are_those_of_the_documentation() {
        let codes = [
            (Exit::Passed, 0),
            (Exit::NotPassed, 1),
            (Exit::Usage, 2),
            (Exit::NeedLost, 69),
            (Exit::TimedOut, 124),
            (Exit::Internal, 125),
            (Exit::NotExecutable, 126),
            (Exit::NotFound, 127),
            (Exit::Killed, 137),
            (Exit::Terminated, 143),
            (Exit::Signal(2), 130),
            (Exit::Signal(15), 143),
            (Exit::Main(3), 3),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }
}
