//! Every exit code of podgate, in one table (DESIGN 7). Kubernetes reads them: restart policies, `podFailurePolicy` and container
//! restart rules (KEP-5307) act on exit codes, so a code never changes its meaning.

use std::process::ExitCode;

/// How podgate ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: passed.
    Passed,
    /// 1: a check did not pass (`check`), reached `--failure-threshold`, or can never pass; a sidecar did not quit (`quit`).
    NotPassed,
    /// 2: the command line or a variable is wrong; nothing was done.
    Usage,
    /// 124: the gate did not open in time. The code of timeout(1).
    TimedOut,
    /// 125: podgate itself failed. This and the next two are the codes of env(1), nohup(1) and `docker run`.
    Own,
    /// 126: CMD was found but cannot be executed.
    NotExecutable,
    /// 127: CMD was not found.
    NotFound,
    /// 128+n: ended by signal n, as a shell reports it. PID 1 cannot die of a signal, so it is a code.
    Signal(u8),
    /// The code of a life: CMD's own, or what `core::life` made of it.
    Of(u8),
}

impl Exit {
    /// The number that the parent sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::NotPassed => 1,
            Self::Usage => 2,
            Self::TimedOut => 124,
            Self::Own => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Signal(number) => 128_u8.saturating_add(number),
            Self::Of(code) => code,
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
    fn the_codes_are_those_of_the_design() {
        let codes = [
            (Exit::Passed, 0),
            (Exit::NotPassed, 1),
            (Exit::Usage, 2),
            (Exit::TimedOut, 124),
            (Exit::Own, 125),
            (Exit::NotExecutable, 126),
            (Exit::NotFound, 127),
            (Exit::Signal(2), 130),
            (Exit::Signal(15), 143),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }
}
