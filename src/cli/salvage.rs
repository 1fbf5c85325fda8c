//! Reads from a wrong call what is clear: which member it is, and where to report the failure.

use super::gate::PaceArgs;
use super::kind::Kind;
use super::membership::{IdentityArgs, PolicyArgs};
use super::parse::matches;
use super::relation::QuitsArgs;
use super::run::RunArgs;
use super::tls::TlsArgs;
use super::variables::Variables;
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The options of `run` that other members and sidecars depend on when it ends. They count even if
/// the call is wrong.
#[derive(Debug)]
pub struct EndArgs {
    /// `None`, here and below: these options are wrong themselves.
    pub identity: Option<IdentityArgs>,
    pub policy: Option<PolicyArgs>,
    pub quits: Option<QuitsArgs>,
    /// The defaults if they are wrong themselves.
    pub pace: PaceArgs,
    /// The defaults if they are wrong themselves.
    pub tls: TlsArgs,
}

impl From<RunArgs> for EndArgs {
    fn from(args: RunArgs) -> Self {
        Self {
            identity: Some(args.identity),
            policy: Some(args.policy),
            quits: Some(args.quits),
            pace: args.pace,
            tls: args.tls,
        }
    }
}

/// Reads these options from the words of a call that clap has refused. `None`: it is not a call of
/// `run`.
pub fn salvage_end(words: &[OsString], variables: Variables<'_>) -> Option<EndArgs> {
    Kind::of(words).filter(|kind| *kind == Kind::Run)?;
    let none = |_: &str| None;
    Some(EndArgs {
        identity: salvage(words, variables),
        policy: salvage(words, variables),
        quits: salvage(words, variables),
        pace: salvage(words, variables).or_else(|| salvage(&[], &none))?,
        tls: salvage(words, variables).or_else(|| salvage(&[], &none))?,
    })
}

/// Reads one group of options from a call that may be wrong elsewhere. `None` where the options of
/// the group itself are wrong.
pub fn salvage<A: Args>(words: &[OsString], variables: Variables<'_>) -> Option<A> {
    let mut found = matches_of(A::augment_args, words, variables)?;
    A::from_arg_matches_mut(&mut found).ok()
}

fn matches_of(
    augment: fn(Command) -> Command,
    words: &[OsString],
    variables: Variables<'_>,
) -> Option<ArgMatches> {
    let build = || augment(Command::new("").disable_help_flag(true));
    let kept = known(&build, words);
    matches(Kind::Run, &build, &kept, variables).ok()
}

/// The words that belong to the options of this group.
fn known(build: &dyn Fn() -> Command, words: &[OsString]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let own = words.iter().skip(2).take_while(|word| *word != "--");
    let mut rest = own.peekable();
    while let Some(word) = rest.next() {
        let is_option = word.as_encoded_bytes().starts_with(b"-");
        let read = build().no_binary_name(true).try_get_matches_from([word]);
        match read.map_err(|error| error.kind()) {
            Err(ErrorKind::UnknownArgument) => {}
            // Without the value that stands in the next word.
            Err(ErrorKind::InvalidValue) if is_option => {
                kept.push(word.clone());
                kept.extend(rest.next().cloned());
            }
            // A switch with a value: the call is wrong, but the switch is clear.
            Err(ErrorKind::TooManyValues) if is_option => {
                let bytes = word.as_encoded_bytes();
                let name = bytes.split(|byte| *byte == b'=').next();
                kept.push(OsStr::from_bytes(name.unwrap_or(bytes)).to_owned());
            }
            Ok(_) | Err(_) => kept.push(word.clone()),
        }
    }
    kept
}
