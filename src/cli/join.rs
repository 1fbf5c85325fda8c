//! `podgate join`.

use super::gate::{self, PaceArgs};
use super::given::{Given, switch, url, value};
use super::http::HttpArgs;
use super::membership::{self, IdentityArgs};
use super::output::{FailureArgs, OutputArgs};
use super::relation::FinishArgs;
use super::run::START;
use super::stop::{self, GraceArgs};
use super::tls::TlsArgs;
use crate::core::check::{self, Check};
use crate::core::duration::{self, Limit};
use crate::core::member::{Name, Policy};
use crate::core::signal;
use clap::{ArgAction, Args};
use std::ffi::OsString;

#[derive(Debug, Args)]
#[group(skip)]
pub struct JoinArgs {
    /// The container's original hook, which this process becomes after it has joined
    #[arg(last = true, value_name = "HOOK")]
    pub cmd: Vec<OsString>,

    #[command(flatten)]
    pub identity: IdentityArgs,

    /// The pod's restartPolicy: never, on-failure or always (required)
    #[arg(long, help_heading = membership::HEADING, value_name = "POLICY")]
    #[arg(value_parser = value(Policy::parse))]
    pub restart_policy: Option<Given<Policy>>,

    /// Publish ready when this passes (repeatable) [default: ready is running]
    #[arg(long, help_heading = START, value_name = "CHECK", value_parser = url(check::parse_ready))]
    pub ready: Vec<Given<Check>>,

    /// Return only when this container is ready
    #[arg(long, help_heading = START, action = ArgAction::SetTrue, value_parser = switch())]
    pub wait: Given<bool>,

    #[command(flatten)]
    pub finish: FinishArgs,

    // Known only so that it is refused with a reason.
    #[arg(long, hide = true, value_name = "NAME", value_parser = value(Name::parse))]
    pub outlive: Vec<Given<Name>>,

    #[command(flatten)]
    pub grace: GraceArgs,

    /// The signal that stops PID 1
    #[arg(long, help_heading = stop::HEADING, value_name = "SIGNAL", default_value = "TERM")]
    #[arg(value_parser = value(signal::deliverable))]
    pub stop_signal: Given<u8>,

    /// With --wait: give up after this time, with exit code 124 (none: no limit)
    #[arg(short, long, help_heading = gate::HEADING, value_name = "TIME", default_value = "60s")]
    #[arg(value_parser = value(duration::limit))]
    pub timeout: Given<Limit>,

    #[command(flatten)]
    pub pace: PaceArgs,

    #[command(flatten)]
    pub http: HttpArgs,

    #[command(flatten)]
    pub tls: TlsArgs,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub failure: FailureArgs,
}
