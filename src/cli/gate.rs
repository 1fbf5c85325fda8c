//! The options of a gate: how often its checks are tried, and what follows if it does not open.

use super::given::{Given, value};
use crate::core::{digits, duration};
use clap::Args;
use std::time::Duration;

pub(super) const HEADING: &str = "When the gate opens";

// `wait`, `run` and `join` share these.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = HEADING)]
pub struct PaceArgs {
    /// How long one attempt may take
    #[arg(long, value_name = "TIME", default_value = "1s")]
    #[arg(value_parser = value(duration::positive))]
    pub attempt_timeout: Given<Duration>,

    /// Time from the start of one attempt to the start of the next
    /// [default: 2% of the time waited so far, at least 1ms (20ms for exec: and
    /// for other hosts), at most 250ms]
    #[arg(short, long, value_name = "TIME", value_parser = value(duration::positive))]
    #[arg(verbatim_doc_comment)]
    pub interval: Option<Given<Duration>>,
}

/// What follows if the gate does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTimeout {
    /// Exit with the gate's code.
    Fail,
    /// Continue as if the gate had opened.
    Run,
}

impl OnTimeout {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "fail" => Ok(Self::Fail),
            "run" => Ok(Self::Run),
            _ => Err("expected fail or run".to_owned()),
        }
    }
}

/// A number of attempts.
pub(super) fn count(text: &str) -> Result<u32, String> {
    digits::number(text)
        .filter(|count| *count > 0)
        .ok_or_else(|| "expected a number from 1, such as 3".to_owned())
}

/// A number of attempts, or `none`.
pub(super) fn count_or_none(text: &str) -> Result<Option<u32>, String> {
    if text == "none" {
        return Ok(None);
    }
    count(text)
        .map(Some)
        .map_err(|cause| format!("{cause}, or none for no limit"))
}
