//! What other members and sidecars are to this one.

use super::given::{Given, url, value};
use crate::core::check::{self, Check};
use crate::core::duration::{self, Limit};
use crate::core::member::Name;
use crate::core::quit::{self, Target};
use clap::Args;
use std::time::Duration;

pub(super) const HEADING: &str = "Finish";

// What `run` and `join` share.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct FinishArgs {
    /// End CMD when all of these members are done (repeatable); with run it implies --outlive
    #[arg(long, value_name = "NAME", value_parser = value(Name::parse))]
    pub until: Vec<Given<Name>>,

    /// Give up with exit code 124 when a member of --until has not come in this time
    #[arg(long, value_name = "TIME", default_value = "none", value_parser = value(duration::limit))]
    pub absent_timeout: Given<Limit>,

    /// Under on-failure, how long a failed member may take to come back
    // The kubelet's longest back-off is 5 minutes.
    #[arg(long, value_name = "TIME", default_value = "6m", value_parser = value(duration::delay))]
    pub linger: Given<Duration>,
}

// Whom `run` asks to quit when CMD has ended.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct QuitsArgs {
    /// Ask this to quit when CMD has ended: a URL, a preset or member:NAME
    /// (repeatable; needs --restart-policy)
    #[arg(long, value_name = "TARGET", verbatim_doc_comment, value_parser = url(quit::target))]
    pub quit: Vec<Given<Target>>,

    /// How long that may take; none: no limit
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = value(duration::limit))]
    pub quit_timeout: Given<Limit>,

    /// --after PRESET and --quit PRESET in one (repeatable)
    #[arg(long, value_name = "PRESET", value_parser = url(preset))]
    pub sidecar: Vec<Given<Sidecar>>,
}

/// A preset: the check that it is ready, and the target that it is as a sidecar to quit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    pub check: Check,
    pub target: Target,
}

fn preset(text: &str) -> Result<Sidecar, String> {
    let check = check::parse(text)?;
    if check.preset.is_none() {
        return Err(
            "not a preset; use --sidecar istio, or --after CHECK and --quit TARGET".to_owned(),
        );
    }
    let target = quit::target(text)?;
    Ok(Sidecar { check, target })
}
