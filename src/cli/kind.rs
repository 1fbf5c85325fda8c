//! The commands by their names, and the definition of each.

use super::check::CheckArgs;
use super::doctor::DoctorArgs;
use super::install::InstallArgs;
use super::join::JoinArgs;
use super::quit::QuitArgs;
use super::reset::ResetArgs;
use super::run::RunArgs;
use super::status::StatusArgs;
use super::texts;
use super::wait::WaitArgs;
use clap::{Arg, Args, Command};
use std::ffi::OsString;

/// A command without its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Wait,
    Check,
    Run,
    Join,
    Quit,
    Status,
    Doctor,
    Reset,
    Install,
}

impl Kind {
    /// In the order of the help.
    pub const ALL: [Self; 9] = [
        Self::Wait,
        Self::Check,
        Self::Run,
        Self::Join,
        Self::Quit,
        Self::Status,
        Self::Doctor,
        Self::Reset,
        Self::Install,
    ];

    /// The command that the first word of a command line names.
    pub fn of(words: &[OsString]) -> Option<Self> {
        let word = words.get(1)?;
        Self::ALL.into_iter().find(|kind| word == kind.name())
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Check => "check",
            Self::Run => "run",
            Self::Join => "join",
            Self::Quit => "quit",
            Self::Status => "status",
            Self::Doctor => "doctor",
            Self::Reset => "reset",
            Self::Install => "install",
        }
    }

    /// Whether the command takes CMD after `--`.
    pub const fn takes_cmd(self) -> bool {
        match self {
            Self::Wait | Self::Run | Self::Join => true,
            Self::Check
            | Self::Quit
            | Self::Status
            | Self::Doctor
            | Self::Reset
            | Self::Install => false,
        }
    }

    /// The definition of the command, without its arguments.
    pub(super) fn bare(self) -> Command {
        let (about, after) = self.texts();
        Command::new(self.name())
            .bin_name(format!("podgate {}", self.name()))
            .about(about)
            .after_help(after)
            .next_line_help(true)
    }

    pub(super) fn augment(self, command: Command) -> Command {
        match self {
            Self::Wait => WaitArgs::augment_args(command),
            Self::Check => CheckArgs::augment_args(command),
            Self::Run => RunArgs::augment_args(command),
            Self::Join => {
                let command = JoinArgs::augment_args(command);
                let command = change(command, "until", |arg| arg.help(texts::JOIN_UNTIL));
                change(command, "absent_timeout", |arg| {
                    arg.help(texts::JOIN_ABSENT_TIMEOUT)
                })
            }
            Self::Quit => QuitArgs::augment_args(command),
            Self::Status => StatusArgs::augment_args(command),
            Self::Doctor => DoctorArgs::augment_args(command),
            Self::Reset => ResetArgs::augment_args(command),
            Self::Install => InstallArgs::augment_args(command),
        }
    }

    /// The same for its help and manual page. clap must not require an argument, because our own
    /// message about one that is missing has an example.
    pub(super) fn for_help(self, command: Command) -> Command {
        let required = match self {
            Self::Run => "cmd",
            Self::Quit => "targets",
            Self::Install => "dest",
            Self::Wait | Self::Check | Self::Join | Self::Status | Self::Doctor | Self::Reset => {
                return command;
            }
        };
        change(command, required, |arg| arg.required(true))
    }

    /// The purpose of the command, and the end of its help.
    fn texts(self) -> (&'static str, String) {
        let (about, after): (_, &[&str]) = match self {
            Self::Wait => (
                "Wait until all checks pass; then become CMD, if one is given",
                &[texts::CHECKS, texts::TIME, texts::WAIT],
            ),
            Self::Check => (
                "Try each check once, for probes: exit code 0 or 1",
                &[texts::CHECKS, texts::TIME, texts::CHECK],
            ),
            Self::Run => (
                "Supervise CMD: start it at its gate, publish its state, end it with others",
                &[texts::CHECKS, texts::TIME, texts::RUN],
            ),
            Self::Join => (
                "Make a container a member from its postStart hook; its entrypoint stays as it is",
                &[texts::CHECKS, texts::TIME, texts::JOIN],
            ),
            Self::Quit => (
                "Ask sidecars to stop, and wait until they are gone: exit code 0 or 1",
                &[texts::QUIT_TARGETS, texts::TIME, texts::QUIT],
            ),
            Self::Status => (
                "Show the members of this pod and their states",
                &[texts::STATUS],
            ),
            Self::Doctor => (
                "Examine how this container is set up for podgate: exit code 0 or 1",
                &[texts::TIME, texts::DOCTOR],
            ),
            Self::Reset => (
                "Forget the members of an earlier round, in an init container",
                &[texts::RESET],
            ),
            Self::Install => (
                "Copy this binary to DEST, for init containers without cp",
                &[texts::INSTALL],
            ),
        };
        (about, after.concat())
    }
}

/// Changes one argument. A function pointer keeps the binary small: `mut_arg` exists once.
pub(super) fn change(command: Command, id: &str, how: fn(Arg) -> Arg) -> Command {
    command.mut_arg(id, how)
}
