//! How lines are printed.

use crate::cli::{FailureArgs, OutputArgs};
use crate::core::logging::{Format, Level, LogTo};
use crate::core::redact;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    pub format: Format,
    pub level: Level,
    pub to: LogTo,
    /// `--termination-log`.
    pub termination: Option<PathBuf>,
}

impl Logging {
    /// What the log is called in messages.
    pub fn path(&self) -> String {
        match &self.to {
            LogTo::Stderr => "stderr".to_owned(),
            LogTo::Container => "container".to_owned(),
            LogTo::File(path) => redact::value(&path.to_string_lossy()),
        }
    }
}

/// Reads how lines are printed. clap has refused `--quiet` with `--verbose`.
pub fn logging(output: &OutputArgs, failure: Option<&FailureArgs>) -> Logging {
    let level = match (output.quiet.value, output.verbose.value) {
        (true, _) => Level::Quiet,
        (false, true) => Level::Verbose,
        (false, false) => Level::Normal,
    };
    let termination = failure.and_then(|it| it.termination_log.as_ref());
    Logging {
        format: output.log_format.value,
        level,
        to: output.log_to.value.clone(),
        termination: termination.map(|path| path.value.clone()),
    }
}
