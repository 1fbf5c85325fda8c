//! Where and how podgate prints.

use super::given::{Given, switch, value};
use super::variables::Variables;
use crate::core::logging::{Format, LogTo, TERMINATION_LOG};
use clap::{ArgAction, Args};
use std::path::PathBuf;

pub(super) const HEADING: &str = "Output";

// All commands share these.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = HEADING)]
pub struct OutputArgs {
    /// Write to stderr, container (this container's log, for hooks) or a file
    #[arg(long, value_name = "WHERE", default_value = "stderr", value_parser = value(log_to))]
    pub log_to: Given<LogTo>,

    /// Print each event as a line of text or as a JSON object
    #[arg(long, value_name = "text|json", default_value = "text", value_parser = value(format))]
    pub log_format: Given<Format>,

    /// Print only failures and warnings
    #[arg(short, long, action = ArgAction::SetTrue, value_parser = switch())]
    #[arg(conflicts_with = "verbose")]
    pub quiet: Given<bool>,

    /// Also print what podgate is about to do
    #[arg(short, long, action = ArgAction::SetTrue, value_parser = switch())]
    #[arg(conflicts_with = "quiet")]
    pub verbose: Given<bool>,
}

// All commands share these whose failure may end a container.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = HEADING)]
pub struct FailureArgs {
    /// The container's terminationMessagePath
    #[arg(long, value_name = "FILE", default_value = TERMINATION_LOG)]
    #[arg(value_parser = value(termination_log))]
    pub termination_log: Given<PathBuf>,
}

/// The variable of `--log-format`.
pub(super) const LOG_FORMAT: &str = "PODGATE_LOG_FORMAT";

/// The format that the environment asks for. It is for messages from before the options are read,
/// and costs no definition of the options.
pub fn early_format(variables: Variables<'_>) -> Format {
    let value = variables(LOG_FORMAT).unwrap_or_default();
    let text = value.to_str().unwrap_or_default();
    format(text.trim()).unwrap_or(Format::Text)
}

fn log_to(text: &str) -> Result<LogTo, String> {
    match text {
        "stderr" => Ok(LogTo::Stderr),
        "container" => Ok(LogTo::Container),
        _ if text.contains('/') => Ok(LogTo::File(PathBuf::from(text))),
        _ => Err("expected stderr, container, or a path such as /run/podgate.log".to_owned()),
    }
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("expected text or json".to_owned()),
    }
}

fn termination_log(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        Ok(PathBuf::from(text))
    } else {
        Err("expected an absolute path, such as /dev/termination-log".to_owned())
    }
}
