//! Reads options from the environment: `--attempt-timeout` is also `PODGATE_ATTEMPT_TIMEOUT`.
//!
//! A flag goes before a variable, and a list of flags before the variable's list. A variable that
//! is not an option of the command is ignored: a Service named podgate makes Kubernetes inject
//! `PODGATE_PORT` and the like.

use crate::core::boolean;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Looks up a variable: one of this process, or one of a test.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A word that begins with this was read from a variable. Neither an argument nor a variable of a
/// process can hold a NUL, so it cannot be typed.
pub(super) const FROM_VARIABLE: &str = "\0";

/// Arguments that have no variable. A probe must not inherit the attempt timeout of a gate.
const WITHOUT: [&str; 6] = [
    "probe_attempt_timeout",
    "targets",
    "cmd",
    "dest",
    "help",
    "version",
];

/// The variable of an argument, named after its id: `--timeout` of `quit` has the id
/// `quit_timeout`, because `PODGATE_TIMEOUT` belongs to the gate.
pub(super) fn name(arg: &Arg) -> Option<String> {
    let id = arg.get_id().as_str();
    (!WITHOUT.contains(&id)).then(|| format!("PODGATE_{}", id.to_ascii_uppercase()))
}

/// An argument whose variable is set.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) id: String,
    pub(super) is_switch: bool,
    /// A flag that contradicts the variable is given. The variable does not count then.
    pub(super) is_overruled: bool,
    /// The arguments that give the same values on a command line.
    pub(super) words: Vec<OsString>,
}

/// The variables of this command that are set and that no flag in `given` replaces. An empty
/// variable counts as unset: templates write such variables.
pub(super) fn set(command: &Command, given: &ArgMatches, all: Variables<'_>) -> Vec<Variable> {
    let is_given =
        |arg: &Arg| given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    command
        .get_arguments()
        .filter(|arg| !is_given(arg))
        .filter_map(|arg| {
            let against = command.get_arg_conflicts_with(arg);
            let is_overruled = against.into_iter().any(is_given);
            variable(arg, &all(&name(arg)?)?, is_overruled)
        })
        .collect()
}

fn variable(arg: &Arg, value: &OsStr, is_overruled: bool) -> Option<Variable> {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let is_list = matches!(arg.get_action(), ArgAction::Append);
    let values: Vec<&[u8]> = value
        .as_bytes()
        .split(|byte| is_list && *byte == b'\n')
        .map(trimmed)
        .filter(|value| !value.is_empty())
        .filter(|value| !(is_switch && is_false(value)))
        .collect();
    let words = values.into_iter().map(|value| word(arg, value)).collect();
    let id = arg.get_id().to_string();
    Some(Variable {
        id,
        is_switch,
        is_overruled,
        words,
    })
    .filter(|it| !it.words.is_empty())
}

fn is_false(value: &[u8]) -> bool {
    str::from_utf8(value).is_ok_and(|text| boolean::parse(text) == Some(false))
}

fn trimmed(value: &[u8]) -> &[u8] {
    // A value that is not UTF-8 is refused as it is.
    str::from_utf8(value).map_or(value, |text| text.trim().as_bytes())
}

fn word(arg: &Arg, value: &[u8]) -> OsString {
    let mut word = OsString::new();
    if let Some(long) = arg.get_long() {
        word.push("--");
        word.push(long);
        word.push("=");
    }
    word.push(FROM_VARIABLE);
    word.push(OsStr::from_bytes(value));
    word
}
