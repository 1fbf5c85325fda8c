//! Who takes part, and where members meet.

use super::given::{Given, switch, value};
use crate::core::member::{Name, Policy};
use clap::{ArgAction, Args};
use std::path::PathBuf;

pub(super) const HEADING: &str = "Membership";

// What all commands that look at members share.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct DirArgs {
    /// Where members meet: a volume that all of them mount; none: no members
    #[arg(long, value_name = "PATH", default_value = "/run/podgate", value_parser = value(dir))]
    pub dir: Given<Option<PathBuf>>,

    /// Let --dir be a plain directory: for a laptop, where all run in one file system
    #[arg(long, action = ArgAction::SetTrue, value_parser = switch())]
    pub allow_plain_dir: Given<bool>,
}

// What all members share.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct IdentityArgs {
    /// Take part as this member: a DNS label, as a container's name
    #[arg(long, value_name = "NAME", value_parser = value(Name::parse))]
    pub name: Option<Given<Name>>,

    #[command(flatten)]
    pub dir: DirArgs,
}

// `join` has its own, without a default: its container's exit code cannot be known.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct PolicyArgs {
    /// The pod's: never, on-failure, always; auto: not known
    #[arg(long, value_name = "POLICY", default_value = "auto", value_parser = value(Policy::parse))]
    pub restart_policy: Given<Policy>,
}

fn dir(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "none" => Ok(None),
        _ if text.starts_with('/') => Ok(Some(PathBuf::from(text))),
        _ => Err("expected an absolute path, as /run/podgate, or none for no members".to_owned()),
    }
}
