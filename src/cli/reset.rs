//! `podgate reset`.

use super::membership::DirArgs;
use super::output::{FailureArgs, OutputArgs};
use clap::Args;

#[derive(Debug, Args)]
#[group(skip)]
pub struct ResetArgs {
    #[command(flatten)]
    pub dir: DirArgs,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub failure: FailureArgs,
}
