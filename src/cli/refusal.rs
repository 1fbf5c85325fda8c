//! Why a call is wrong, as values. `message::usage` has the sentences.

use super::given::typed_name;
use super::kind::Kind;
use super::variables::{self, Variable};
use crate::core::check;
use crate::core::hint;
use crate::core::redact;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, Error};
use std::ffi::OsString;
use std::time::Duration;

/// What is wrong with a command line or a variable. A `source` is an option as `--timeout`, an
/// argument as `CHECK`, or a variable as `PODGATE_TIMEOUT`. Secrets are hidden already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageError {
    UnknownCommand {
        word: String,
        near: Option<String>,
    },
    /// A check stands in the place of the command.
    CheckAsCommand {
        check: String,
    },
    UnknownOption {
        call: &'static str,
        takes_cmd: bool,
        option: String,
        near: Option<String>,
    },
    /// A long option with one dash, as in other tools. `option` has both dashes.
    OneDash {
        option: String,
    },
    /// `-wait` or `--wait` before a check, as in dockerize.
    NoWaitOption {
        call: &'static str,
        option: String,
    },
    /// `word` is `None` where it may be a secret.
    UnexpectedArgument {
        call: &'static str,
        takes_cmd: bool,
        word: Option<String>,
    },
    /// Nothing stands after `--`.
    EmptyCmd {
        call: &'static str,
    },
    /// CMD is given to a command that takes none.
    NoCmd {
        call: &'static str,
    },
    /// `source` is `None` where the number follows no option.
    Negative {
        source: Option<String>,
        value: String,
    },
    MissingValue {
        call: &'static str,
        source: String,
    },
    NeedlessValue {
        source: String,
    },
    GivenTwice {
        source: String,
    },
    Conflict {
        one: String,
        other: String,
    },
    NotUtf8 {
        source: String,
    },
    /// `value` is `None` where it may be a secret. `cause` has a right example.
    BadValue {
        source: String,
        value: Option<String>,
        cause: String,
    },
    /// A text that is not a check follows a header. It may be a part of the header that was not
    /// quoted with it, and so a secret.
    UnquotedHeader {
        source: String,
    },
    /// clap refuses the call for a reason that this program does not know.
    Unreadable {
        call: &'static str,
    },

    NeedsCheck {
        call: &'static str,
    },
    NeedsTarget,
    NeedsDestination,
    /// `run` without CMD.
    NeedsCmd,
    /// `join` without `--name`.
    NeedsName,
    /// `join` without `--restart-policy`.
    NeedsPolicy,
    /// `join --outlive`.
    CannotOutlive {
        source: String,
    },
    /// A relation to other members without `--name`.
    RelationNeedsName {
        source: String,
    },
    /// A member names itself.
    NamesItself {
        source: String,
        value: String,
        name: String,
    },
    QuitNeedsPolicy {
        source: String,
    },
    QuitUnderAlways {
        source: String,
    },
    /// An option of HTTP checks without an HTTP check to apply to.
    NoHttpCheck {
        source: String,
        has_preset: bool,
    },
    NoHttpsUrl {
        source: String,
    },
    SeveralHosts {
        source: String,
    },
    /// `--quit-header` without a target that is asked over HTTP.
    NoHttpTarget {
        source: String,
    },
    /// `--quit-header` with targets at several origins.
    SeveralTargets {
        source: String,
    },
    /// A token file, and a URL with a user.
    TokenAndUser {
        source: String,
    },
    /// `--tls-cert` without `--tls-key`, or the other way round.
    NeedsOther {
        source: String,
        other: &'static str,
    },
    TwoHostHeaders {
        source: String,
    },
    BodyOfHead {
        source: String,
        value: String,
    },
    ThresholdNeedsInterval {
        source: String,
        value: u32,
    },
    DelayTooLong {
        source: String,
        delay: Duration,
        timeout: Duration,
    },
    GraceTooShort {
        source: String,
        grace: Duration,
        margin_source: String,
        margin: Duration,
    },
    AbsentTimeoutWithoutUntil {
        source: String,
    },
    TimeoutWithoutWait {
        source: String,
    },
    /// Two mappings are about one signal.
    MappedTwice {
        source: String,
        mapping: String,
        from: u8,
    },
    /// A mapping is about a signal that begins a stop, for which CMD gets `stop`.
    MapsStop {
        source: String,
        mapping: String,
        from: u8,
        stop_source: String,
        stop: u8,
    },
    /// `PODGATE_DISABLE` has this word.
    Disable {
        word: String,
    },
    DisableNotUtf8,
    /// `install --allow-plain-dir` without `--reset`.
    PlainDirWithoutReset {
        source: String,
    },
    /// `reset --dir none`.
    NoMembersToReset,
    /// `status --dir none`.
    NoMembersToShow,
    /// `join --dir none`.
    NoMembersToJoin,
    /// Another option of a life names members, and `--dir none` is given.
    NoMembers,
    /// A check is about a member, and `--dir none` is given.
    NoMembersToCheck {
        check: String,
    },
    NoMembersToQuit {
        source: String,
        target: String,
    },
}

/// What was refused: clap's error, and what it was about.
pub(super) struct Refused<'a> {
    pub(super) error: Error,
    pub(super) command: &'a Command,
    pub(super) kind: Kind,
    /// As typed, without the command's own word.
    pub(super) words: &'a [OsString],
    /// The variables that were put in.
    pub(super) variables: &'a [Variable],
}

impl Refused<'_> {
    /// What is wrong, from the error's context.
    pub(super) fn usage(&self) -> UsageError {
        if let Some(option) = self.one_dash() {
            return UsageError::OneDash { option };
        }
        let call = self.kind.name();
        let about = self.text(ContextKind::InvalidArg).unwrap_or_default();
        match self.error.kind() {
            ErrorKind::ValueValidation => self.bad_value(about),
            ErrorKind::InvalidUtf8 if about.is_empty() => UsageError::Unreadable { call },
            ErrorKind::InvalidUtf8 => UsageError::NotUtf8 { source: about },
            ErrorKind::UnknownArgument => self.unknown(about),
            // A value is missing: the other values are read by us.
            ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
                self.missing(&self.source(&about))
            }
            ErrorKind::TooManyValues => UsageError::NeedlessValue {
                source: self.source(&about),
            },
            ErrorKind::ArgumentConflict => self.conflict(&about),
            ErrorKind::InvalidSubcommand
            | ErrorKind::NoEquals
            | ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion
            | ErrorKind::Io
            | ErrorKind::Format
            | _ => UsageError::Unreadable { call },
        }
    }

    /// The first word that is a long option without its second dash. clap reads it as short
    /// options: `-timeout` as `-t imeout`, and `-help` as `-h`. It is not a value, because no value
    /// of an option begins with a dash.
    pub(super) fn one_dash(&self) -> Option<String> {
        self.words.iter().find_map(|word| {
            let word = word.to_string_lossy();
            let name = word.strip_prefix('-')?.split('=').next();
            let mut options = self.command.get_arguments();
            let option = options.find(|arg| arg.get_long() == name)?;
            (!matches!(option.get_action(), ArgAction::Help)).then(|| typed_name(option))
        })
    }

    fn text(&self, kind: ContextKind) -> Option<String> {
        context(&self.error, kind)
    }

    /// The name of an argument that clap calls `--timeout <TIME>`.
    fn source(&self, about: &str) -> String {
        let is_it = |arg: &&Arg| arg.to_string() == about;
        let Some(arg) = self.command.get_arguments().find(is_it) else {
            return about.to_owned();
        };
        let is_variable = self
            .variables
            .iter()
            .any(|it| arg.get_id() == it.id.as_str());
        match variables::name(arg) {
            Some(name) if is_variable => name,
            Some(_) | None => typed_name(arg),
        }
    }

    fn bad_value(&self, source: String) -> UsageError {
        // clap does not name the word, so any word that is not a check counts.
        let is_typed_check = !source.starts_with('-') && !source.starts_with("PODGATE_");
        if is_typed_check && (0..self.words.len()).any(|at| self.may_end_a_header(at)) {
            return UsageError::UnquotedHeader { source };
        }
        let cause = self.text(ContextKind::Custom).unwrap_or_default();
        let may_be_cmd = is_typed_check && self.kind == Kind::Wait;
        let without = cause.strip_suffix(hint::CMD).filter(|_| !may_be_cmd);
        UsageError::BadValue {
            source,
            value: self.text(ContextKind::InvalidValue),
            cause: without.unwrap_or(&cause).to_owned(),
        }
    }

    fn unknown(&self, word: String) -> UsageError {
        let call = self.kind.name();
        if !word.starts_with('-') {
            return UsageError::UnexpectedArgument {
                call,
                takes_cmd: self.kind.takes_cmd(),
                word: (!self.has_header()).then(|| redact::refused(&word)),
            };
        }
        if is_negative(&word) {
            return self.negative(&word);
        }
        // The value of the option before it is missing, or begins with a dash: it may be a secret.
        if let Some(source) = self.before(&word) {
            return UsageError::MissingValue { call, source };
        }
        if let Some(option) = self.wait_option(&word) {
            return UsageError::NoWaitOption { call, option };
        }
        let follows_header = self.follows_header(self.position(&word));
        let suggested = self.text(ContextKind::SuggestedArg);
        // After a header clap's likeness is not enough: it takes `--s3cr3t` for `--tls-cert`.
        let suggested = suggested.filter(|near| !follows_header || is_slip(&word, near));
        let suggested = self.other_timeout(&word).or(suggested);
        let is_secret = suggested.is_none() && follows_header;
        UsageError::UnknownOption {
            call,
            takes_cmd: self.kind.takes_cmd(),
            near: suggested.map(|near| self.source(&near)),
            option: if is_secret {
                "--…".to_owned()
            } else {
                shown_option(&word)
            },
        }
    }

    /// The option that `--timeout` of other commands is here.
    fn other_timeout(&self, word: &str) -> Option<String> {
        let option = match self.kind {
            Kind::Run => "--after-timeout",
            Kind::Check => "--attempt-timeout",
            Kind::Wait
            | Kind::Join
            | Kind::Quit
            | Kind::Status
            | Kind::Doctor
            | Kind::Reset
            | Kind::Install => return None,
        };
        matches!(word, "--timeout" | "-t").then(|| option.to_owned())
    }

    /// `-wait tcp://db:5432` of dockerize, for a command with checks as words. clap names one
    /// letter of `-wait`.
    fn wait_option(&self, start: &str) -> Option<String> {
        let word = self.word(self.position(start)?)?;
        let option = word.split('=').next().unwrap_or_default();
        let takes_checks = matches!(self.kind, Kind::Wait | Kind::Check);
        (takes_checks && matches!(option, "-wait" | "--wait")).then(|| option.to_owned())
    }

    /// clap names one letter of `-5s`; the message shows the whole word, and the option before it.
    fn negative(&self, start: &str) -> UsageError {
        let at = self.position(start);
        // Of a word with a secret the start is enough.
        let whole = at.and_then(|at| self.word(at));
        let source = self.before(start);
        let is_secret = source.as_deref().is_some_and(is_header) || self.follows_header(at);
        let shown = whole.filter(|word| !is_secret && redact::value(word) == *word);
        UsageError::Negative {
            source,
            value: shown.unwrap_or_else(|| start.to_owned()),
        }
    }

    /// The option whose value should stand where a word stands that begins with `start`.
    fn before(&self, start: &str) -> Option<String> {
        let at = self.position(start)?;
        self.option(&self.word(at.checked_sub(1)?)?)
    }

    /// The place of the first word that begins with `start`.
    fn position(&self, start: &str) -> Option<usize> {
        let is_it = |word: &OsString| word.to_string_lossy().starts_with(start);
        self.words.iter().position(is_it)
    }

    fn word(&self, at: usize) -> Option<String> {
        Some(self.words.get(at)?.to_string_lossy().into_owned())
    }

    fn missing(&self, source: &str) -> UsageError {
        let after = self
            .words
            .iter()
            .skip_while(|word| self.option(&word.to_string_lossy()).as_deref() != Some(source))
            .nth(1)
            .map(|word| word.to_string_lossy().into_owned());
        match after.filter(|word| is_negative(word)) {
            Some(word) => UsageError::Negative {
                source: Some(source.to_owned()),
                value: if is_header(source) {
                    word.chars().take(2).collect()
                } else {
                    redact::value(&word)
                },
            },
            None => UsageError::MissingValue {
                call: self.kind.name(),
                source: source.to_owned(),
            },
        }
    }

    /// The option that takes its value from the next word, if `word` ends with one.
    fn option(&self, word: &str) -> Option<String> {
        let is_it = |arg: &&Arg| {
            let long = word.strip_prefix("--");
            let short = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
            (long.is_some() && long == arg.get_long())
                || short.is_some_and(|letters| arg.get_short() == letters.chars().last())
        };
        let arg = self.command.get_arguments().find(is_it)?;
        arg.get_action().takes_values().then(|| typed_name(arg))
    }

    fn conflict(&self, about: &str) -> UsageError {
        let one = self.source(about);
        let prior = self.text(ContextKind::PriorArg).unwrap_or_default();
        let other = self.source(&prior);
        if one == other {
            UsageError::GivenTwice { source: one }
        } else {
            UsageError::Conflict { one, other }
        }
    }

    /// `-H 'Authorization: Bearer' secret` makes the end of a header an argument of its own.
    fn may_end_a_header(&self, at: usize) -> bool {
        let is_text = |word: String| !word.starts_with('-') && check::parse(&word).is_err();
        self.follows_header(Some(at)) && self.word(at).is_some_and(is_text)
    }

    /// Whether the word at this place stands directly after a header.
    fn follows_header(&self, at: Option<usize>) -> bool {
        let before = |distance| self.word(at?.checked_sub(distance)?);
        let takes_next = |word: &String| self.option(word).as_deref().is_some_and(is_header);
        before(2).is_some_and(|word| takes_next(&word))
            || before(1).is_some_and(|word| has_header(&word) && !takes_next(&word))
    }

    fn has_header(&self) -> bool {
        self.words
            .iter()
            .any(|word| has_header(&word.to_string_lossy()))
    }
}

/// Whether the word is the option for a header, with or without the header.
fn has_header(word: &str) -> bool {
    let short = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
    HEADERS.iter().any(|it| word.starts_with(it))
        || short.is_some_and(|letters| letters.contains('H'))
}

/// The options whose values are never shown.
const HEADERS: [&str; 2] = ["--http-header", "--quit-header"];

fn is_header(option: &str) -> bool {
    HEADERS.contains(&option)
}

/// An unknown option as it may be shown. `--http-header X-Token: secret` in one word is not shown
/// whole.
fn shown_option(word: &str) -> String {
    match word.split_once(char::is_whitespace) {
        Some((name, _)) => format!("{} …", redact::refused(name)),
        None => redact::refused(word),
    }
}

/// The first text of a part of clap's error.
fn context(error: &Error, kind: ContextKind) -> Option<String> {
    let value = error.get(kind)?;
    if let ContextValue::Strings(texts) = value {
        return texts.first().cloned();
    }
    if let ContextValue::String(text) = value {
        return Some(text.clone());
    }
    None
}

/// Whether an option may be `near` with a slip: of the same length, give or take a letter, and with
/// the same first letter.
fn is_slip(word: &str, near: &str) -> bool {
    let name = |option: &str| {
        option
            .split([' ', '='])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let (word, near) = (name(word), name(near));
    word.len().abs_diff(near.len()) <= 1 && word.chars().nth(2) == near.chars().nth(2)
}

fn is_negative(word: &str) -> bool {
    word.strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
}

/// What is wrong where the command should stand.
pub(super) fn command(word: &str, error: &Error) -> UsageError {
    let shown = redact::refused(word);
    if word.starts_with('-') && word != "-" {
        // Its name alone: the value of an option may be a secret.
        let option = context(error, ContextKind::InvalidArg).unwrap_or_default();
        if error.kind() == ErrorKind::TooManyValues {
            return UsageError::NeedlessValue { source: option };
        }
        return UsageError::UnknownOption {
            call: "",
            takes_cmd: false,
            option: shown_option(&option),
            near: context(error, ContextKind::SuggestedArg),
        };
    }
    if check::parse(word).is_ok() {
        return UsageError::CheckAsCommand { check: shown };
    }
    UsageError::UnknownCommand {
        word: shown,
        near: context(error, ContextKind::SuggestedSubcommand),
    }
}
