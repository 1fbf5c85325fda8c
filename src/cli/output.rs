//! How and where podgate prints.

use super::given::{Given, switch, value};
use crate::core::logging::{Format, LogTo};
use clap::{ArgAction, Args};
use std::path::PathBuf;

pub(super) const HEADING: &str = "Output";

// What all commands share.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct OutputArgs {
    /// stderr, container (the log of this container, from a hook), or a file
    #[arg(long, value_name = "WHERE", default_value = "stderr", value_parser = value(log_to))]
    pub log_to: Given<LogTo>,

    /// One line, or one JSON object, for each event
    #[arg(long, value_name = "text|json", default_value = "text", value_parser = value(format))]
    pub log_format: Given<Format>,

    /// Print failures and warnings only
    #[arg(short, long, action = ArgAction::SetTrue, value_parser = switch())]
    #[arg(conflicts_with = "verbose")]
    pub quiet: Given<bool>,

    /// Also print what is going to be done
    #[arg(short, long, action = ArgAction::SetTrue, value_parser = switch())]
    #[arg(conflicts_with = "quiet")]
    pub verbose: Given<bool>,
}

// What all commands share whose failure may end a container.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct FailureArgs {
    /// Where the pod's terminationMessagePath is [default: /dev/termination-log]
    #[arg(long, value_name = "FILE", value_parser = value(termination_log))]
    pub termination_log: Option<Given<PathBuf>>,
}

fn log_to(text: &str) -> Result<LogTo, String> {
    match text {
        "stderr" => Ok(LogTo::Stderr),
        "container" => Ok(LogTo::Container),
        _ if text.contains('/') => Ok(LogTo::File(PathBuf::from(text))),
        _ => Err("expected stderr, container, or a path as /run/podgate.log".to_owned()),
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
        Err("expected an absolute path, as /dev/termination-log".to_owned())
    }
}
