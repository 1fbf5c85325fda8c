//! `podgate status`.

use super::given::{Given, switch};
use super::membership::DirArgs;
use super::output::{self, OutputArgs};
use clap::{ArgAction, Args};

#[derive(Debug, Args)]
#[group(skip)]
pub struct StatusArgs {
    #[command(flatten)]
    pub dir: DirArgs,

    /// Print JSON instead of a table
    #[arg(long, help_heading = output::HEADING, action = ArgAction::SetTrue)]
    #[arg(value_parser = switch())]
    pub json: Given<bool>,

    #[command(flatten)]
    pub output: OutputArgs,
}
