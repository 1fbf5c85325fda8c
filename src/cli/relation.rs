//! Relations of a member to other members and sidecars.

use super::given::{Given, secret, url, value};
use crate::core::check::{self, Check};
use crate::core::duration::{self, Limit};
use crate::core::http::{self, Header};
use crate::core::linger::Linger;
use crate::core::member::Name;
use crate::core::preset;
use crate::core::quit::{self, Target};
use clap::Args;

pub(super) const HEADING: &str = "Finish";

// `run` and `join` share these. `Kind::augment` replaces what does not hold for `join`.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct FinishArgs {
    /// Stop CMD when all of these members are done; implies --outlive (repeatable)
    #[arg(long, value_name = "NAME", value_parser = value(Name::parse))]
    pub until: Vec<Given<Name>>,

    /// Give up if a member of --until has not come in this time after CMD's start,
    /// with exit code 124
    #[arg(long, value_name = "TIME", default_value = "none", value_parser = value(duration::limit))]
    #[arg(verbatim_doc_comment)]
    pub absent_timeout: Given<Limit>,

    /// How long a member that failed or was stopped may take to come back under
    /// on-failure (auto: the kubelet's back-off for that restart, and 60s)
    #[arg(long, value_name = "TIME", default_value = "auto", value_parser = value(Linger::parse))]
    #[arg(verbatim_doc_comment)]
    pub linger: Given<Linger>,
}

// `run` asks these to quit when CMD has ended.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct QuitsArgs {
    /// Ask this target to quit when CMD has ended: a URL, a preset or member:NAME
    /// (repeatable; needs --restart-policy)
    #[arg(long, value_name = "TARGET", verbatim_doc_comment, value_parser = url(quit::target))]
    pub quit: Vec<Given<Target>>,

    /// How long all of --quit may take together (none: no limit)
    /// [with consul-dataplane: 40s]
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = value(duration::limit))]
    pub quit_timeout: Given<Limit>,

    /// The same as --after PRESET and --quit PRESET (repeatable)
    #[arg(long, value_name = "PRESET", value_parser = url(sidecar))]
    pub sidecar: Vec<Given<Sidecar>>,

    #[command(flatten)]
    pub header: QuitHeaderArgs,
}

// `run` and `quit` share these.
#[derive(Debug, Args)]
pub struct QuitHeaderArgs {
    /// Send this header with the quit (repeatable)
    #[arg(long, value_name = "'NAME: VALUE'", value_parser = secret(http::header))]
    pub quit_header: Vec<Given<Header>>,
}

/// A preset, as a check of its readiness and as a target of a quit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    pub check: Check,
    pub target: Target,
}

fn sidecar(text: &str) -> Result<Sidecar, String> {
    if preset::parse(text).is_none() {
        let name = preset::nearest(text).unwrap_or("istio");
        return Err(format!(
            "not a preset; use --sidecar {name}, or --after CHECK and --quit TARGET"
        ));
    }
    let (check, target) = (check::parse(text)?, quit::target(text)?);
    Ok(Sidecar { check, target })
}
