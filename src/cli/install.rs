//! `podgate install`.

use super::given::{Given, switch, value};
use super::membership::HEADING;
use super::output::{FailureArgs, OutputArgs};
use clap::{ArgAction, Args};
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[group(skip)]
pub struct InstallArgs {
    /// The path of the copy, or an existing directory
    // clap does not require it: our own message about a missing DEST has an example.
    #[arg(value_name = "DEST", value_parser = clap::value_parser!(OsString))]
    pub dest: Option<OsString>,

    /// Also reset the volume of the members, as podgate reset --dir DIR does
    #[arg(long, help_heading = HEADING, value_name = "DIR", value_parser = value(volume))]
    pub reset: Option<Given<PathBuf>>,

    /// Accept a --reset DIR that is not a volume: for tests on one machine
    #[arg(long, help_heading = HEADING, action = ArgAction::SetTrue, value_parser = switch())]
    pub allow_plain_dir: Given<bool>,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub failure: FailureArgs,
}

fn volume(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        Ok(PathBuf::from(text))
    } else {
        Err("expected an absolute path, such as /run/podgate".to_owned())
    }
}
