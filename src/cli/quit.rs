//! `podgate quit`.

use super::given::{Given, url, value};
use super::membership::DirArgs;
use super::output::{FailureArgs, OutputArgs};
use super::relation::QuitHeaderArgs;
use super::tls::TlsArgs;
use crate::core::duration::{self, Limit};
use crate::core::quit::{self, Target};
use clap::Args;
use std::time::Duration;

const HEADING: &str = "Until they are gone";

#[derive(Debug, Args)]
#[group(skip)]
pub struct QuitArgs {
    /// The sidecars and members to ask
    #[arg(value_name = "TARGET", value_parser = url(quit::target))]
    pub targets: Vec<Given<Target>>,

    #[command(flatten)]
    pub dir: DirArgs,

    #[command(flatten, next_help_heading = HEADING)]
    pub header: QuitHeaderArgs,

    /// Give up after this time, with exit code 1 (none: no limit)
    /// [with consul-dataplane: 40s]
    // Its variable is PODGATE_QUIT_TIMEOUT, as for `run`, because PODGATE_TIMEOUT is the gate's.
    #[arg(short = 't', long = "timeout", help_heading = HEADING, value_name = "TIME")]
    #[arg(verbatim_doc_comment, default_value = "10s", value_parser = value(duration::limit))]
    pub quit_timeout: Given<Limit>,

    /// How long one attempt may take
    #[arg(long, help_heading = HEADING, value_name = "TIME", default_value = "1s")]
    #[arg(value_parser = value(duration::positive))]
    pub attempt_timeout: Given<Duration>,

    #[command(flatten)]
    pub tls: TlsArgs,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub failure: FailureArgs,
}
