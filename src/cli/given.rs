//! Values with the place where each was given, and the readers of their texts.

use super::variables::{self, FROM_VARIABLE};
use clap::builder::TypedValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, Command, Error};
use std::ffi::OsStr;
use std::fmt;

use crate::core::{boolean, redact};

/// The place where a value was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it is the default that the help shows.
    Default,
    /// On the command line.
    Flag,
    /// In the environment.
    Variable,
}

/// The place where a value was given, and the name of the option or variable, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub place: Place,
    /// `--timeout`, `CHECK` or `PODGATE_TIMEOUT`.
    pub name: String,
}

impl Source {
    /// A flag is meant for this call. A variable may be meant for another call in the container.
    pub fn is_flag(&self) -> bool {
        self.place == Place::Flag
    }

    fn of(arg: Option<&Arg>, place: Place) -> Self {
        let of_variable = arg.filter(|_| place == Place::Variable);
        let variable = of_variable.and_then(variables::name);
        let name = variable.or_else(|| arg.map(typed_name)).unwrap_or_default();
        Self { place, name }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The name of an argument on the command line: `--timeout`, or `CHECK` for one without a flag.
pub(super) fn typed_name(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_value_names()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some([name, ..])) => name.to_string(),
        (None, Some([]) | None) => arg.get_id().to_string(),
    }
}

/// A value, and the place where it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given<T> {
    pub value: T,
    pub source: Source,
}

/// The part of a refused text that a message may show.
#[derive(Debug, Clone, Copy)]
enum Show {
    /// All but the user info of a URL, which may stand here by mistake.
    Value,
    /// All but the text before an `@`, which may be a password.
    Url,
    /// Nothing.
    Nothing,
}

/// Reads the text of one value. The error of `read` is the cause, with a correct example.
pub(super) struct Reader<T> {
    read: fn(&str) -> Result<T, String>,
    show: Show,
    /// Whether white space at both ends is removed first: a value from YAML often ends with a line
    /// end.
    trims: bool,
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

/// Reads the value of an ordinary option.
pub(super) const fn value<T>(read: fn(&str) -> Result<T, String>) -> Reader<T> {
    reader(read, Show::Value)
}

/// Reads a value that is a URL or may be one.
pub(super) const fn url<T>(read: fn(&str) -> Result<T, String>) -> Reader<T> {
    reader(read, Show::Url)
}

/// Reads a value that may be a secret.
pub(super) const fn secret<T>(read: fn(&str) -> Result<T, String>) -> Reader<T> {
    reader(read, Show::Nothing)
}

const fn reader<T>(read: fn(&str) -> Result<T, String>, show: Show) -> Reader<T> {
    Reader {
        read,
        show,
        trims: true,
    }
}

/// Reads a switch. clap gives `true` or `false`, and a variable may hold any text.
pub(super) const fn switch() -> Reader<bool> {
    value(|text| boolean::parse(text).ok_or_else(|| "expected true or false".to_owned()))
}

/// Accepts any text, as it is.
pub(super) const fn text() -> Reader<String> {
    Reader {
        trims: false,
        ..value(|text| Ok(text.to_owned()))
    }
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Reader<T> {
    type Value = Given<T>;

    fn parse_ref(
        &self,
        cmd: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Given<T>, Error> {
        self.parse_ref_(cmd, arg, value, ValueSource::CommandLine)
    }

    fn parse_ref_(
        &self,
        _cmd: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<Given<T>, Error> {
        let bytes = value.as_encoded_bytes();
        let place = if source == ValueSource::DefaultValue {
            Place::Default
        } else if bytes.starts_with(FROM_VARIABLE.as_bytes()) {
            Place::Variable
        } else {
            Place::Flag
        };
        let source = Source::of(arg, place);
        let Some(text) = value.to_str() else {
            return Err(refusal(ErrorKind::InvalidUtf8, &source, None, None));
        };
        let text = text.strip_prefix(FROM_VARIABLE).unwrap_or(text);
        let text = if self.trims { text.trim() } else { text };
        match (self.read)(text) {
            Ok(value) => Ok(Given { value, source }),
            Err(cause) => {
                let shown = match self.show {
                    Show::Value => Some(redact::value(text)),
                    Show::Url => Some(redact::refused(text)),
                    Show::Nothing => None,
                };
                Err(refusal(
                    ErrorKind::ValueValidation,
                    &source,
                    shown,
                    Some(cause),
                ))
            }
        }
    }
}

/// Our own errors name the source, what may be shown of the value, and the cause.
fn refusal(
    kind: ErrorKind,
    source: &Source,
    shown: Option<String>,
    cause: Option<String>,
) -> Error {
    let mut error = Error::new(kind);
    let parts = [
        (ContextKind::InvalidArg, Some(source.name.clone())),
        (ContextKind::InvalidValue, shown),
        (ContextKind::Custom, cause),
    ];
    for (kind, text) in parts {
        if let Some(text) = text {
            error.insert(kind, ContextValue::String(text));
        }
    }
    error
}
