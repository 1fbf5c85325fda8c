//! What was typed: one struct of typed values for each command, made by clap.
//!
//! Every option is stated once, in the struct of its command or in a group that commands share: its
//! name, its value's name, its default, how its text is read, and what it cannot be given with. The
//! help, the variables, man pages and completions come from the same definitions. `config` decides
//! whether the values fit together. No file is opened here. The text beside the options, such as
//! the list of checks, the exit codes and the examples, is in `texts`.
//!
//! Only the command that is called is built, which makes the start faster. clap would also define a
//! group for each struct. No argument refers to one, so `#[group(skip)]` leaves it out.

mod check;
mod doctor;
mod gate;
mod given;
mod http;
mod install;
mod join;
mod kind;
mod membership;
mod output;
mod parse;
mod quit;
mod refusal;
mod relation;
mod reset;
mod run;
mod salvage;
mod status;
mod stop;
mod texts;
mod tls;
mod variables;
mod wait;

pub use check::CheckArgs;
pub use doctor::DoctorArgs;
pub use gate::{OnTimeout, PaceArgs};
pub use given::{Given, Place, Source};
pub use http::HttpArgs;
pub use install::InstallArgs;
pub use join::JoinArgs;
pub use kind::Kind;
pub use membership::{DirArgs, IdentityArgs, PolicyArgs};
pub use output::{FailureArgs, OutputArgs, early_format};
pub use parse::Stop;
pub use quit::QuitArgs;
pub use refusal::UsageError;
pub use relation::{FinishArgs, QuitsArgs};
pub use reset::ResetArgs;
pub use run::RunArgs;
pub use salvage::{EndArgs, salvage, salvage_end};
pub use status::StatusArgs;
pub use stop::{BudgetArgs, GraceArgs};
pub use tls::TlsArgs;
pub use variables::Variables;
pub use wait::WaitArgs;

use clap::error::ErrorKind;
use clap::{ArgMatches, FromArgMatches};
use parse::matches;
use std::ffi::{OsStr, OsString};

/// A command with its arguments.
#[derive(Debug)]
pub enum Command {
    Wait(Box<WaitArgs>),
    Check(Box<CheckArgs>),
    Run(Box<RunArgs>),
    Join(Box<JoinArgs>),
    Quit(Box<QuitArgs>),
    Status(Box<StatusArgs>),
    Doctor(Box<DoctorArgs>),
    Reset(Box<ResetArgs>),
    Install(Box<InstallArgs>),
}

/// The whole command line, for man pages and completions, and for what comes before a command.
pub fn definition() -> clap::Command {
    let commands = Kind::ALL.map(|kind| kind.for_help(kind.augment(kind.bare())));
    root().subcommands(commands)
}

fn root() -> clap::Command {
    clap::Command::new("podgate")
        .about(texts::ABOUT)
        .version(texts::VERSION)
        .after_help(texts::BEGIN)
        .disable_help_subcommand(true)
        .subcommand_required(true)
}

/// The text of `podgate` without arguments.
pub const BEGIN: &str = texts::BEGIN;

/// The words of a call without white space at the ends of the command and of options. An item of a
/// list in YAML often ends with a line end. Values are trimmed by their readers, and the words
/// after `--` belong to CMD.
pub fn without_line_ends(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut is_own = true;
    let trimmed = |(index, word): (usize, OsString)| {
        let text = word.to_str().map(str::trim).filter(|text| {
            let is_option = text.starts_with('-') && !text.contains('=');
            is_own && (index == 1 || is_option)
        });
        let trimmed = text.map(OsString::from).unwrap_or(word);
        is_own = is_own && trimmed != "--";
        trimmed
    };
    words.into_iter().enumerate().map(trimmed).collect()
}

/// Reads the command line and the variables.
///
/// # Errors
/// [`Stop`]: a text was asked for, or something is wrong.
pub fn parse(words: &[OsString], variables: Variables<'_>) -> Result<Command, Stop> {
    let Some(kind) = Kind::of(words) else {
        return Err(without_command(words));
    };
    let own = words.get(2..).unwrap_or_default();
    let build = || kind.augment(kind.bare());
    let found = if kind.takes_cmd() {
        let found = matches(kind, &build, own, variables)?;
        // `-- $CMD`, and the variable is empty.
        let cmd = own.splitn(2, |word| word == "--").nth(1);
        if kind != Kind::Run && cmd.is_some_and(<[_]>::is_empty) {
            return Err(Stop::Wrong(UsageError::EmptyCmd { call: kind.name() }));
        }
        found
    } else {
        // The words after `--` are for CMD: they are not parsed as checks or targets.
        let mut parts = own.splitn(2, |word| word == "--");
        let found = matches(kind, &build, parts.next().unwrap_or_default(), variables)?;
        if parts.next().is_some_and(|cmd| !cmd.is_empty()) {
            return Err(Stop::Wrong(UsageError::NoCmd { call: kind.name() }));
        }
        found
    };
    let call = kind.name();
    typed(kind, found).map_err(|_| Stop::Wrong(UsageError::Unreadable { call }))
}

fn typed(kind: Kind, mut found: ArgMatches) -> Result<Command, clap::Error> {
    let found = &mut found;
    Ok(match kind {
        Kind::Wait => Command::Wait(FromArgMatches::from_arg_matches_mut(found)?),
        Kind::Check => Command::Check(FromArgMatches::from_arg_matches_mut(found)?),
        Kind::Run => Command::Run(FromArgMatches::from_arg_matches_mut(found)?),
        Kind::Join => Command::Join(FromArgMatches::from_arg_matches_mut(found)?),
        Kind::Quit => Command::Quit(FromArgMatches::from_arg_matches_mut(found)?),
        Kind::Status => Command::Status(FromArgMatches::from_arg_matches_mut(found)?),
        Kind::Doctor => Command::Doctor(FromArgMatches::from_arg_matches_mut(found)?),
        Kind::Reset => Command::Reset(FromArgMatches::from_arg_matches_mut(found)?),
        Kind::Install => Command::Install(FromArgMatches::from_arg_matches_mut(found)?),
    })
}

/// A call whose first word is not a command.
fn without_command(words: &[OsString]) -> Stop {
    // Words after `--` are for CMD.
    let Some(word) = words.get(1).filter(|word| *word != "--") else {
        return Stop::Begin;
    };
    let commands = Kind::ALL.map(Kind::bare);
    let Err(error) = root().subcommands(commands).try_get_matches_from(words) else {
        // Not reached: this word is not a command.
        return Stop::Begin;
    };
    if is_text(error.kind()) {
        return Stop::Read(error.render().to_string());
    }
    Stop::Wrong(match OsStr::to_str(word) {
        Some(word) => refusal::command(word, &error),
        None => UsageError::NotUtf8 {
            source: "the command".to_owned(),
        },
    })
}

fn is_text(kind: ErrorKind) -> bool {
    kind == ErrorKind::DisplayHelp || kind == ErrorKind::DisplayVersion
}

#[cfg(test)]
mod tests;
