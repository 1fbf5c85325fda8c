//! `podgate install`.

use super::output::{FailureArgs, OutputArgs};
use clap::Args;
use std::ffi::OsString;

#[derive(Debug, Args)]
pub struct InstallArgs {
    /// The path of the copy, or an existing directory
    // clap does not require it: our own message about a missing DEST has an example.
    #[arg(value_name = "DEST", value_parser = clap::value_parser!(OsString))]
    pub dest: Option<OsString>,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub failure: FailureArgs,
}
