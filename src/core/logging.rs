//! How lines are printed: `--log-format`, `--quiet`, `--verbose` and `--log-to`.

use std::path::PathBuf;

/// The file with the termination message, if the container sets no `terminationMessagePath`.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `podgate: …`
    Text,
    /// One object a line.
    Json,
}

/// What is shown: everything up to this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Failures and warnings.
    Quiet,
    /// Also changes and heartbeats.
    Normal,
    /// Also what is going to be done.
    Verbose,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTo {
    Stderr,
    /// The container's log, seen from a hook.
    Container,
    /// Appended to this file.
    File(PathBuf),
}
