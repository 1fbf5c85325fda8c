//! `podgate install`.

use super::output::{FailureArgs, OutputArgs};
use clap::Args;
use std::ffi::OsString;

#[derive(Debug, Args)]
pub struct InstallArgs {
    /// A file, or a directory that is there
    // Not required for clap: the message about a missing one has an example.
    #[arg(value_name = "DEST", value_parser = clap::value_parser!(OsString))]
    pub dest: Option<OsString>,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub failure: FailureArgs,
}
