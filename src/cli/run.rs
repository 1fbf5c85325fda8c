//! `podgate run`.

use super::gate::{self, OnTimeout, PaceArgs};
use super::given::{Given, switch, url, value};
use super::http::HttpArgs;
use super::membership::{IdentityArgs, PolicyArgs};
use super::output::{FailureArgs, OutputArgs};
use super::relation::{self, FinishArgs, QuitsArgs};
use super::stop::{self, BudgetArgs};
use super::tls::TlsArgs;
use crate::core::check::{self, Check};
use crate::core::digits;
use crate::core::duration::{self, Limit};
use crate::core::endpoint;
use crate::core::member::Name;
use crate::core::signal::{self, Mapping};
use clap::{ArgAction, Args};
use std::ffi::OsString;
use std::net::SocketAddr;

pub(super) const START: &str = "Start";

#[derive(Debug, Args)]
#[group(skip)]
pub struct RunArgs {
    /// The container's own command, which podgate supervises
    #[arg(last = true, value_name = "CMD")]
    pub cmd: Vec<OsString>,

    #[command(flatten)]
    pub identity: IdentityArgs,

    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Start CMD when this passes (repeatable)
    #[arg(long, help_heading = START, value_name = "CHECK", value_parser = url(check::parse))]
    pub after: Vec<Given<Check>>,

    /// Give up on --after after this time, with exit code 124 (none: no limit)
    #[arg(long, help_heading = START, value_name = "TIME", default_value = "60s")]
    #[arg(value_parser = value(duration::limit))]
    pub after_timeout: Given<Limit>,

    /// Start CMD when this member is ready, and stop CMD with exit code 69 when the
    /// member ends (repeatable)
    #[arg(long, help_heading = START, value_name = "NAME", value_parser = value(Name::parse))]
    #[arg(verbatim_doc_comment)]
    pub needs: Vec<Given<Name>>,

    /// Publish ready when this passes; notify passes when CMD has sent READY=1 by
    /// sd_notify (repeatable) [default: ready is running]
    #[arg(long, help_heading = START, value_name = "CHECK", verbatim_doc_comment)]
    #[arg(value_parser = url(check::parse_run_ready))]
    pub ready: Vec<Given<Check>>,

    #[command(flatten)]
    pub finish: FinishArgs,

    /// Count this exit code of CMD as 0 (repeatable)
    #[arg(long, help_heading = relation::HEADING, value_name = "CODE")]
    #[arg(value_parser = value(exit_code))]
    pub ok_exit: Vec<Given<u8>>,

    #[command(flatten)]
    pub quits: QuitsArgs,

    /// Let POST /quitquitquit stop CMD, from this pod only: 127.0.0.1:PORT,
    /// [::1]:PORT, or :PORT for 127.0.0.1
    #[arg(long, help_heading = relation::HEADING, value_name = "ADDRESS", verbatim_doc_comment)]
    #[arg(value_parser = value(endpoint::address))]
    pub listen: Option<Given<SocketAddr>>,

    /// Hold back the stop of CMD while this member lives (repeatable)
    #[arg(long, help_heading = stop::HEADING, value_name = "NAME")]
    #[arg(value_parser = value(Name::parse))]
    pub outlive: Vec<Given<Name>>,

    #[command(flatten)]
    pub budget: BudgetArgs,

    /// The signal that stops CMD
    #[arg(long, help_heading = stop::HEADING, value_name = "SIGNAL", default_value = "TERM")]
    #[arg(value_parser = value(signal::deliverable))]
    pub stop_signal: Given<u8>,

    /// Forward a signal as another, such as TERM=QUIT, or drop it, such as HUP=none
    /// (repeatable)
    #[arg(long, help_heading = stop::HEADING, value_name = "FROM=TO")]
    #[arg(verbatim_doc_comment, value_parser = value(signal::mapping))]
    pub map_signal: Vec<Given<Mapping>>,

    /// Forward signals to the whole process group of CMD
    #[arg(long, help_heading = stop::HEADING, action = ArgAction::SetTrue, value_parser = switch())]
    pub signal_group: Given<bool>,

    #[command(flatten)]
    pub pace: PaceArgs,

    /// If the gate does not open: fail, or run CMD anyway
    #[arg(long, help_heading = gate::HEADING, value_name = "fail|run", default_value = "fail")]
    #[arg(value_parser = value(OnTimeout::parse))]
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

fn exit_code(text: &str) -> Result<u8, String> {
    digits::number(text)
        .ok_or_else(|| "expected an exit code from 0 to 255, such as 143".to_owned())
}
