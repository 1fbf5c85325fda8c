//! How long a stop may take.

use super::given::{Given, value};
use crate::core::duration;
use clap::Args;
use std::time::Duration;

pub(super) const HEADING: &str = "Stop";

#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = HEADING)]
pub struct GraceArgs {
    /// The pod's terminationGracePeriodSeconds
    #[arg(long, value_name = "TIME", default_value = "30s")]
    #[arg(value_parser = value(duration::positive))]
    pub grace: Given<Duration>,
}

// `run` and `doctor` share these.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = HEADING)]
pub struct BudgetArgs {
    #[command(flatten)]
    pub grace: GraceArgs,

    /// The part of --grace that is reserved for CMD's own stop
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = value(duration::delay))]
    pub stop_margin: Given<Duration>,
}
