//! Parses the words of one command, and the variables of its options.

use super::kind::{Kind, change};
use super::refusal::{Refused, UsageError};
use super::variables::{self, Variable, Variables};
use clap::error::ErrorKind;
use clap::{ArgAction, ArgMatches, Command};
use std::ffi::OsString;

/// A call that does not run a command.
#[derive(Debug)]
pub enum Stop {
    /// The help or the version, which goes to stdout with exit code 0.
    Read(String),
    /// podgate was called without arguments.
    Begin,
    Wrong(UsageError),
}

/// Parses the words of one command. Where variables are set that the words do not replace, it
/// parses again with the variables as words before them.
pub(super) fn matches(
    kind: Kind,
    build: &dyn Fn() -> Command,
    words: &[OsString],
    variables: Variables<'_>,
) -> Result<ArgMatches, Stop> {
    let (mut command, found) = take(build(), words);
    let found = found.map_err(|error| stop(error, &mut command, kind, words, &[]))?;
    let set = variables::set(&command, &found, variables);
    let (overruled, set): (Vec<_>, Vec<_>) = set.into_iter().partition(|it| it.is_overruled);
    if !overruled.is_empty() {
        // The value is not used, but a bad value is never ignored.
        let (mut command, found) = take_with(build, &overruled, &[]);
        found.map_err(|error| stop(error, &mut command, kind, &[], &overruled))?;
    }
    if set.is_empty() {
        return Ok(found);
    }
    let (mut command, found) = take_with(build, &set, words);
    found.map_err(|error| stop(error, &mut command, kind, words, &set))
}

/// Parses the variables as words before the others.
fn take_with(
    build: &dyn Fn() -> Command,
    set: &[Variable],
    words: &[OsString],
) -> (Command, Found) {
    // In a variable a switch has a value.
    let switches = set.iter().filter(|variable| variable.is_switch);
    let command = switches.fold(build(), |command, variable| {
        change(command, &variable.id, |arg| arg.action(ArgAction::Set))
    });
    let more = set.iter().flat_map(|variable| &variable.words).chain(words);
    let more: Vec<OsString> = more.cloned().collect();
    take(command, &more)
}

type Found = Result<ArgMatches, clap::Error>;

fn take(command: Command, words: &[OsString]) -> (Command, Found) {
    let mut command = command.no_binary_name(true);
    let found = command.try_get_matches_from_mut(words);
    (command, found)
}

fn stop(
    error: clap::Error,
    command: &mut Command,
    kind: Kind,
    words: &[OsString],
    variables: &[Variable],
) -> Stop {
    let end = words.iter().position(|word| word == "--");
    let words = words.get(..end.unwrap_or(words.len())).unwrap_or_default();
    let asks_for_help = words.iter().any(|word| word == "--help" || word == "-h");
    let refused = Refused {
        error,
        command,
        kind,
        words,
        variables,
    };
    let error = refused.error.kind();
    // clap also reads `-http-header` as `-h`.
    let is_help = error == ErrorKind::DisplayHelp && refused.one_dash().is_none();
    // clap reads a value before it sees a later `--help`. A bad value must not hide the help.
    let about_help = [
        ErrorKind::DisplayHelp,
        ErrorKind::ValueValidation,
        ErrorKind::InvalidUtf8,
    ];
    let is_hidden_help = asks_for_help && about_help.contains(&error);
    if is_help || is_hidden_help {
        let mut command = kind.for_help(std::mem::take(command));
        Stop::Read(command.render_help().to_string())
    } else {
        Stop::Wrong(refused.usage())
    }
}
