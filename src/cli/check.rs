//! `podgate check`.

use super::given::{Given, switch, url, value};
use super::http::HttpArgs;
use super::membership::DirArgs;
use super::output::OutputArgs;
use super::tls::TlsArgs;
use crate::core::check::{self, Check};
use crate::core::duration;
use clap::{ArgAction, Args};
use std::time::Duration;

const HEADING: &str = "Attempt";

#[derive(Debug, Args)]
#[group(skip)]
pub struct CheckArgs {
    /// The checks that must pass [default: $PODGATE_CHECKS, one per line]
    #[arg(value_name = "CHECK", value_parser = url(check::parse))]
    pub checks: Vec<Given<Check>>,

    #[command(flatten)]
    pub dir: DirArgs,

    /// Pass when one check passes [default: all must pass]
    #[arg(long, help_heading = HEADING, action = ArgAction::SetTrue, value_parser = switch())]
    pub any: Given<bool>,

    /// How long the attempt may take
    // The kubelet's default timeout is 1 s: the reason is printed before that.
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
