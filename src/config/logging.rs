//! The settings of the log and the termination message.

use crate::cli::{FailureArgs, OutputArgs, Place};
use crate::core::logging::{Format, Level, LogTo};
use crate::core::redact;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    pub format: Format,
    pub level: Level,
    pub to: LogTo,
    /// `--termination-log`; `None` if it is not given.
    pub termination: Option<PathBuf>,
}

impl Logging {
    /// The name of the log in messages.
    pub fn path(&self) -> String {
        match &self.to {
            LogTo::Stderr => "stderr".to_owned(),
            LogTo::Container => "container".to_owned(),
            LogTo::File(path) => redact::value(&path.to_string_lossy()),
        }
    }
}

/// Reads the settings of the log. clap has refused `--quiet` together with `--verbose`.
pub fn logging(output: &OutputArgs, failure: Option<&FailureArgs>) -> Logging {
    let level = match (output.quiet.value, output.verbose.value) {
        (true, _) => Level::Quiet,
        (false, true) => Level::Verbose,
        (false, false) => Level::Normal,
    };
    let termination = failure.map(|it| &it.termination_log);
    let given = termination.filter(|path| path.source.place != Place::Default);
    Logging {
        format: output.log_format.value,
        level,
        to: output.log_to.value.clone(),
        termination: given.map(|path| path.value.clone()),
    }
}
