//! `podgate check`.

use super::gate::HEADING;
use super::given::{Given, switch, url, value};
use super::http::HttpArgs;
use super::membership::DirArgs;
use super::output::OutputArgs;
use super::tls::TlsArgs;
use crate::core::check::{self, Check};
use crate::core::duration;
use clap::{ArgAction, Args};
use std::time::Duration;

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// What must be true [default: $PODGATE_CHECKS, one a line]
    #[arg(value_name = "CHECK", value_parser = url(check::parse))]
    pub checks: Vec<Given<Check>>,

    #[command(flatten)]
    pub dir: DirArgs,

    /// One check that passes is enough [default: all must]
    #[arg(long, help_heading = HEADING, action = ArgAction::SetTrue, value_parser = switch())]
    pub any: Given<bool>,

    /// How long the attempt may take
    // The reason is printed before the kubelet's second is over.
    #[arg(long = "attempt-timeout", help_heading = HEADING, value_name = "TIME")]
    #[arg(default_value = "800ms", value_parser = value(duration::positive))]
    pub probe_attempt_timeout: Given<Duration>,

    #[command(flatten)]
    pub http: HttpArgs,

    #[command(flatten)]
    pub tls: TlsArgs,

    #[command(flatten)]
    pub output: OutputArgs,
}
