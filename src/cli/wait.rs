//! `podgate wait`.

use super::gate::{HEADING, OnTimeout, PaceArgs, count, count_or_none};
use super::given::{Given, switch, url, value};
use super::http::HttpArgs;
use super::membership::DirArgs;
use super::output::{FailureArgs, OutputArgs};
use super::tls::TlsArgs;
use crate::core::check::{self, Check};
use crate::core::duration::{self, Limit};
use clap::{ArgAction, Args};
use std::ffi::OsString;
use std::time::Duration;

#[derive(Debug, Args)]
#[group(skip)]
pub struct WaitArgs {
    /// The checks that must pass [default: $PODGATE_CHECKS, one per line]
    #[arg(value_name = "CHECK", value_parser = url(check::parse))]
    pub checks: Vec<Given<Check>>,

    /// The command that this process becomes when the gate opens
    #[arg(last = true, value_name = "CMD")]
    pub cmd: Vec<OsString>,

    #[command(flatten)]
    pub dir: DirArgs,

    /// Open when one check passes [default: all must pass]
    #[arg(long, help_heading = HEADING, action = ArgAction::SetTrue, value_parser = switch())]
    pub any: Given<bool>,

    /// Give up after this time, with exit code 124 (none: no limit)
    #[arg(short, long, help_heading = HEADING, value_name = "TIME", default_value = "60s")]
    #[arg(value_parser = value(duration::limit))]
    pub timeout: Given<Limit>,

    #[command(flatten)]
    pub pace: PaceArgs,

    /// Wait this long before the first attempt
    #[arg(long, help_heading = HEADING, value_name = "TIME", default_value = "0s")]
    #[arg(value_parser = value(duration::delay))]
    pub initial_delay: Given<Duration>,

    /// How many attempts in a row must pass (more than 1 needs --interval)
    #[arg(long, help_heading = HEADING, value_name = "N", default_value = "1")]
    #[arg(value_parser = value(count))]
    pub success_threshold: Given<u32>,

    /// Give up with exit code 1 after this many failed attempts in a row
    /// (more than 1 needs --interval)
    #[arg(long, help_heading = HEADING, value_name = "N", default_value = "none")]
    #[arg(verbatim_doc_comment, value_parser = value(count_or_none))]
    pub failure_threshold: Given<Option<u32>>,

    /// If the gate does not open: fail, or run CMD anyway
    /// (without CMD: exit with 0)
    #[arg(long, help_heading = HEADING, value_name = "fail|run", default_value = "fail")]
    #[arg(verbatim_doc_comment, value_parser = value(OnTimeout::parse))]
    pub on_timeout: Given<OnTimeout>,

    #[command(flatten)]
    pub http: HttpArgs,

    #[command(flatten)]
    pub tls: TlsArgs,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub failure: FailureArgs,
}
