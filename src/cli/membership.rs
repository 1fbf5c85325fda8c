//! The membership options: a member's name, and where members meet.

use super::given::{Given, switch, value};
use crate::core::member::{Name, Policy};
use clap::{ArgAction, Args};
use std::path::PathBuf;

pub(super) const HEADING: &str = "Membership";

// All commands that look at members share these.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = HEADING)]
pub struct DirArgs {
    /// Where members meet: a volume that all of them mount (none: there are no
    /// members)
    #[arg(long, value_name = "PATH", default_value = "/run/podgate", value_parser = value(dir))]
    #[arg(verbatim_doc_comment)]
    pub dir: Given<Option<PathBuf>>,

    /// Accept a --dir that is not a volume: for tests on one machine
    #[arg(long, action = ArgAction::SetTrue, value_parser = switch())]
    pub allow_plain_dir: Given<bool>,
}

// All members share these.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = HEADING)]
pub struct IdentityArgs {
    /// Take part as a member with this name, a DNS label like a container's name
    #[arg(long, value_name = "NAME", value_parser = value(Name::parse))]
    pub name: Option<Given<Name>>,

    #[command(flatten)]
    pub dir: DirArgs,
}

// `join` has its own option without a default, because it cannot see how PID 1 ends.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = HEADING)]
pub struct PolicyArgs {
    /// The pod's restartPolicy: never, on-failure, always; auto: not known
    #[arg(long, value_name = "POLICY", default_value = "auto", value_parser = value(Policy::parse))]
    pub restart_policy: Given<Policy>,
}

fn dir(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "none" => Ok(None),
        _ if text.starts_with('/') => Ok(Some(PathBuf::from(text))),
        _ => Err(
            "expected an absolute path, such as /run/podgate, or none for no members".to_owned(),
        ),
    }
}
