//! What was typed: commands, options, their variables, and the help. What it means is `settings`' business.
//!
//! One table ([`options::OPTIONS`]) names every option once; flags, variables and help come from it. A variable is called as its option
//! is: `--attempt-timeout` is `PODGATE_ATTEMPT_TIMEOUT`. Flags go before variables; a list replaces the variable's list. Variables that
//! are no option of ours are ignored: a Service named podgate makes Kubernetes inject `PODGATE_PORT` and the like.
//!
//! The words are taken apart by lexopt, not by clap: clap weighs 190 KB, a fifth of the binary without TLS, and its messages were ours.

mod help;
mod options;

use crate::core::check;
use crate::core::redact;
use help::{About, BEGIN, COMMANDS, Words, of_command};
use lexopt::Arg;
use options::{Opt, Shape};
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Block until ready; then exec CMD if given.
    Wait,
    /// One attempt each.
    Check,
    /// Supervise CMD.
    Run,
    /// The same for a container whose entrypoint is not ours.
    Join,
    /// Who is in this pod.
    Status,
    /// Is this container set up right?
    Doctor,
    /// Ask sidecars to stop.
    Quit,
    /// Copy this binary.
    Install,
}

impl Command {
    /// Its word on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Check => "check",
            Self::Run => "run",
            Self::Join => "join",
            Self::Status => "status",
            Self::Doctor => "doctor",
            Self::Quit => "quit",
            Self::Install => "install",
        }
    }
}

/// Where a value comes from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line: `--timeout`.
    Flag(String),
    /// The environment: `PODGATE_TIMEOUT`.
    Variable(String),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
        }
    }
}

/// What was typed for one option: never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// Where.
    pub(crate) source: Source,
    /// What; for a switch, `true`.
    pub(crate) values: Vec<String>,
}

/// A whole command line with its environment.
#[derive(Debug)]
pub struct Typed {
    /// Which command.
    pub command: Command,
    /// The checks, or `quit`'s targets, and where they were given.
    pub(crate) checks: Option<Given>,
    /// CMD and its arguments, as they are; empty without `--`.
    pub(crate) cmd: Vec<OsString>,
    /// DEST of `install`.
    pub(crate) dest: Option<PathBuf>,
    /// The options that were given, with their values as they are.
    given: Vec<(&'static Opt, Vec<OsString>)>,
}

/// A command line that is not to be run.
#[derive(Debug)]
pub enum Stop {
    /// Something to read was asked for: print it, exit 0.
    Read(String),
    /// Nothing was asked for: where to begin.
    Begin(String),
    /// It is wrong.
    Wrong(String),
}

/// Reads the command line and the environment.
///
/// # Errors
/// [`Stop`]: help was asked for, or something is wrong.
pub fn parse(arguments: Vec<OsString>) -> Result<Typed, Stop> {
    // What is meant for CMD is nobody else's: it is not even looked at.
    let mut arguments = arguments.into_iter().skip(1);
    let before: Vec<OsString> = arguments.by_ref().take_while(|word| word != "--").collect();
    let cmd: Vec<OsString> = arguments.collect();
    let mut parser = lexopt::Parser::from_args(before);
    let about = match parser.next() {
        Ok(None) => return Err(Stop::Begin(BEGIN.to_owned())),
        Ok(Some(Arg::Short('h') | Arg::Long("help"))) => return Err(Stop::Read(help::of_all())),
        Ok(Some(Arg::Short('V') | Arg::Long("version"))) => {
            return Err(Stop::Read(help::VERSION.to_owned()));
        }
        Ok(Some(Arg::Value(word))) => command(&word)?,
        Ok(Some(Arg::Short(letter))) => {
            return Err(Stop::Wrong(format!(
                "unknown option {:?}; say podgate --help",
                format!("-{letter}")
            )));
        }
        Ok(Some(Arg::Long(name))) => {
            return Err(Stop::Wrong(format!(
                "unknown option {:?}; say podgate --help",
                redact::refused(&format!("--{name}"))
            )));
        }
        Err(error) => return Err(Stop::Wrong(format!("{error}; say podgate --help"))),
    };
    let (mut given, mut words) = (Vec::new(), Vec::new());
    while let Some(arg) = parser.next().map_err(|error| unreadable(about, &error))? {
        let opt = match arg {
            Arg::Short('h') | Arg::Long("help") => return Err(Stop::Read(help::of(about))),
            Arg::Short(letter) => of_command(about.command)
                .find(|opt| opt.short == Some(letter))
                .ok_or_else(|| unknown(about, &format!("-{letter}")))?,
            Arg::Long(name) => of_command(about.command)
                .find(|opt| opt.flag() == name)
                .ok_or_else(|| unknown(about, &format!("--{name}")))?,
            Arg::Value(word) => {
                words.push(word);
                continue;
            }
        };
        let value = value(opt, &mut parser)?;
        keep(opt, value, &mut given)?;
    }
    typed(about, given, words, cmd)
}

/// Of a `run` whose command line is wrong: what tells whose end that is, and who is to be asked to quit after it. Nothing else is looked at, and what is not clear tells nothing.
pub fn gist(arguments: Vec<OsString>) -> Option<Typed> {
    const TELLING: [&str; 7] = [
        "name",
        "dir",
        "allow-plain-dir",
        "restart-policy",
        "quit",
        "sidecar",
        "quit-timeout",
    ];
    let mut words = arguments
        .into_iter()
        .skip(1)
        .take_while(|word| word != "--")
        .peekable();
    words.next().filter(|word| word == Command::Run.name())?;
    let mut given = Vec::new();
    while let Some(word) = words.next() {
        let Some(text) = word.to_str().and_then(|word| word.strip_prefix("--")) else {
            continue;
        };
        let (flag, attached) = text
            .split_once('=')
            .map_or((text, None), |(flag, value)| (flag, Some(value)));
        if !TELLING.contains(&flag) {
            continue;
        }
        let opt = of_command(Command::Run).find(|opt| opt.flag() == flag)?;
        let value = match (opt.shape, attached) {
            (Shape::Switch, _) => OsString::from("true"),
            (Shape::Value(_) | Shape::List(_), Some(value)) => OsString::from(value),
            (Shape::Value(_) | Shape::List(_), None) => {
                words.next_if(|next| !next.to_string_lossy().starts_with('-'))?
            }
        };
        keep(opt, value, &mut given).ok()?;
    }
    Some(Typed {
        command: Command::Run,
        checks: None,
        cmd: Vec::new(),
        dest: None,
        given,
    })
}

fn command(word: &OsString) -> Result<&'static About, Stop> {
    let text = word.to_str().ok_or_else(|| not_utf8("the command"))?;
    if let Some(about) = COMMANDS.iter().find(|about| about.command.name() == text) {
        return Ok(about);
    }
    let names = COMMANDS.iter().map(|about| about.command.name());
    let shown = redact::refused(text);
    Err(Stop::Wrong(
        match (check::parse(text), nearest(text, names)) {
            (Ok(_), _) => {
                // What has spaces would need quotes, and what has control characters is not for a terminal.
                let again = if shown
                    .contains(|letter: char| letter.is_whitespace() || letter.is_control())
                {
                    "CHECK"
                } else {
                    shown.as_str()
                };
                format!(
                    "{shown:?} is a check, not a command; say podgate wait {again} or podgate check {again}"
                )
            }
            (Err(_), Some(name)) => {
                format!("{shown:?} is no command; did you mean podgate {name}?")
            }
            (Err(_), None) => format!(
                "{shown:?} is no command; say podgate wait, podgate run, or podgate --help for all"
            ),
        },
    ))
}

/// The value of an option: attached, or the next word.
fn value(opt: &Opt, parser: &mut lexopt::Parser) -> Result<OsString, Stop> {
    let flag = opt.flag();
    if opt.shape == Shape::Switch {
        // One that is attached all the same is what the parser stumbles over next.
        return Ok(OsString::from("true"));
    }
    if let Some(value) = parser.optional_value() {
        return Ok(value);
    }
    let lacks = || Stop::Wrong(format!("--{flag} needs a value; see the command's --help"));
    let mut rest = parser.raw_args().map_err(|_| lacks())?;
    let next = rest.peek().map(|word| word.to_string_lossy().into_owned());
    // An option is no value: who forgot the value would lose both.
    match next.as_deref().map(|word| {
        word.strip_prefix('-')
            .filter(|rest| !rest.is_empty())
            .map(|rest| rest.chars().next())
    }) {
        None => Err(lacks()),
        Some(Some(Some('0'..='9'))) => {
            let shown = redact::value(next.as_deref().unwrap_or_default());
            Err(Stop::Wrong(format!(
                "--{flag} {shown:?}: no value is negative; say 30s or 3"
            )))
        }
        Some(Some(_)) => Err(lacks()),
        Some(None) => rest.next().ok_or_else(lacks),
    }
}

fn keep(
    opt: &'static Opt,
    value: OsString,
    given: &mut Vec<(&'static Opt, Vec<OsString>)>,
) -> Result<(), Stop> {
    let before = given.iter_mut().find(|(it, _)| it.flag() == opt.flag());
    match (before, opt.shape) {
        (None, _) => given.push((opt, vec![value])),
        (Some((_, values)), Shape::List(_)) => values.push(value),
        (Some(_), Shape::Switch | Shape::Value(_)) => {
            return Err(Stop::Wrong(format!(
                "--{} is given twice; say it once",
                opt.flag()
            )));
        }
    }
    Ok(())
}

fn typed(
    about: &'static About,
    given: Vec<(&'static Opt, Vec<OsString>)>,
    words: Vec<OsString>,
    cmd: Vec<OsString>,
) -> Result<Typed, Stop> {
    let command = about.command;
    let (kind, called, _) = about.words;
    if about.cmd.is_none() && !cmd.is_empty() {
        let name = command.name();
        return Err(Stop::Wrong(format!(
            "{name} becomes no CMD; say podgate wait CHECK -- CMD, or podgate run -- CMD"
        )));
    }
    let most = match kind {
        Words::None => 0,
        Words::One => 1,
        Words::Many => usize::MAX,
    };
    if words.len() > most {
        return Err(Stop::Wrong(match about.cmd {
            Some(_) => format!(
                "an argument too many; CMD goes after --: podgate {} -- CMD",
                command.name()
            ),
            None => format!(
                "an argument too many; see podgate {} --help",
                command.name()
            ),
        }));
    }
    let dest = match kind {
        Words::One if words.iter().all(|word| word.is_empty()) => {
            return Err(Stop::Wrong(
                "install needs a destination; say podgate install /podgate-bin/podgate".to_owned(),
            ));
        }
        Words::One => words.first().map(PathBuf::from),
        Words::None | Words::Many => None,
    };
    let texts = |words: &[OsString]| {
        let text = |word: &OsString| {
            word.to_str()
                .map(str::to_owned)
                .ok_or_else(|| not_utf8(called))
        };
        words
            .iter()
            .map(text)
            .collect::<Result<Vec<String>, Stop>>()
    };
    let checks = match kind {
        Words::Many if !words.is_empty() => Some(Given {
            source: Source::Flag(called.to_owned()),
            values: texts(&words)?,
        }),
        Words::Many if command != Command::Quit => variable("PODGATE_CHECKS", Shape::List(""))?,
        Words::Many | Words::None | Words::One => None,
    };
    Ok(Typed {
        command,
        checks,
        cmd,
        dest,
        given,
    })
}

impl Typed {
    /// What was typed for this option; `None` if nothing was.
    ///
    /// # Errors
    /// The value is not UTF-8.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Given>, Stop> {
        let Some(opt) = of_command(self.command).find(|opt| opt.flag() == name) else {
            return Ok(None);
        };
        if let Some((_, values)) = self.given.iter().find(|(it, _)| it.flag() == name) {
            let source = format!("--{name}");
            let text = |value: &OsString| {
                value
                    .to_str()
                    .map(str::to_owned)
                    .ok_or_else(|| not_utf8(&source))
            };
            let values = values.iter().map(text).collect::<Result<_, _>>()?;
            return Ok(Some(Given {
                source: Source::Flag(source),
                values,
            }));
        }
        match opt.variable() {
            Some(name) => variable(&name, opt.shape),
            None => Ok(None),
        }
    }
}

/// The variable of an option.
pub(crate) fn variable_name(option: &str) -> String {
    format!(
        "PODGATE_{}",
        option.to_ascii_uppercase().replace(['-', ':'], "_")
    )
}

/// Reads a variable. An empty one is one that is not set: templates write them.
fn variable(name: &str, shape: Shape) -> Result<Option<Given>, Stop> {
    let Some(value) = env::var_os(name) else {
        return Ok(None);
    };
    let value = value.into_string().map_err(|_| not_utf8(name))?;
    let values = match shape {
        Shape::Switch | Shape::Value(_) => vec![value.trim().to_owned()],
        Shape::List(_) => value.lines().map(|line| line.trim().to_owned()).collect(),
    };
    let values: Vec<String> = values
        .into_iter()
        .filter(|value| !value.is_empty())
        .collect();
    Ok(if values.is_empty() {
        None
    } else {
        Some(Given {
            source: Source::Variable(name.to_owned()),
            values,
        })
    })
}

fn not_utf8(what: &str) -> Stop {
    Stop::Wrong(format!(
        "{what}: the value is not UTF-8; write it in ASCII, percent-encoded in a URL"
    ))
}

fn unknown(about: &About, option: &str) -> Stop {
    let flags = of_command(about.command).map(Opt::flag);
    if option
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
    {
        return Stop::Wrong(format!(
            "{option:?} is no option, and no value is negative; say 30s or 3"
        ));
    }
    let name = about.command.name();
    let near = nearest(option.trim_start_matches('-'), flags);
    // A URL that dashes have come before.
    let option = redact::refused(option);
    Stop::Wrong(match near {
        Some(flag) => format!(
            "unknown option {option:?}; did you mean --{flag}? what is meant for CMD goes after --"
        ),
        None => format!(
            "unknown option {option:?}; see podgate {name} --help; what is meant for CMD goes after --"
        ),
    })
}

fn unreadable(about: &About, error: &lexopt::Error) -> Stop {
    if let lexopt::Error::UnexpectedValue { option, .. } = error {
        return Stop::Wrong(format!("{option} takes no value; say {option}"));
    }
    Stop::Wrong(format!(
        "this command line cannot be read; see podgate {} --help",
        about.command.name()
    ))
}

/// The name that was probably meant: at most a third of it has to be typed anew.
fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.map(|name| (distance(typed, name), name)).min()?;
    let (distance, name) = near;
    (distance.saturating_mul(3) <= name.len().max(3)
        || (typed.len() > 3 && typed.starts_with(name)))
    .then_some(name)
}

/// How many letters must be added, dropped, changed or swapped with their neighbour (Damerau and Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut older: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut before = None;
    for (row, letter) in from.chars().enumerate() {
        let mut line = vec![row.saturating_add(1)];
        for (column, other) in to.iter().enumerate() {
            let at = |line: &[usize], column: usize| {
                line.get(column).copied().unwrap_or(usize::MAX).min(1 << 20)
            };
            let changed = at(&last, column).saturating_add(usize::from(letter != *other));
            let next = column.saturating_add(1);
            let one_more = at(&last, next).min(at(&line, column)).saturating_add(1);
            let swaps = column
                .checked_sub(1)
                .filter(|left| before == Some(*other) && to.get(*left) == Some(&letter))
                .map_or(usize::MAX, |left| at(&older, left).saturating_add(1));
            line.push(changed.min(one_more).min(swaps));
        }
        older = std::mem::replace(&mut last, line);
        before = Some(letter);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::help::{COMMANDS, of, of_command};
    use super::options::OPTIONS;
    use super::{Typed, distance, nearest, parse, variable_name};
    use crate::cli::Stop;

    fn parsed(words: &[&str]) -> Result<Typed, Stop> {
        parse(words.iter().map(Into::into).collect())
    }

    #[test]
    fn no_two_options_of_a_command_are_called_alike() {
        for about in COMMANDS {
            let mut flags: Vec<&str> = of_command(about.command).map(super::Opt::flag).collect();
            let mut letters: Vec<char> = of_command(about.command)
                .filter_map(|opt| opt.short)
                .collect();
            let count = (flags.len(), letters.len());
            flags.sort_unstable();
            flags.dedup();
            letters.sort_unstable();
            letters.dedup();
            assert_eq!(
                (flags.len(), letters.len()),
                count,
                "{}",
                about.command.name()
            );
            assert!(!letters.contains(&'h') && !flags.contains(&"help"));
        }
    }

    #[test]
    fn no_option_is_called_as_what_kubernetes_injects_for_a_service() {
        for option in OPTIONS {
            let name = variable_name(option.flag());
            assert!(
                !name.starts_with("PODGATE_PORT") && !name.starts_with("PODGATE_SERVICE"),
                "{name}"
            );
        }
        assert_eq!(variable_name("attempt-timeout"), "PODGATE_ATTEMPT_TIMEOUT");
        assert_eq!(variable_name("quit:timeout"), "PODGATE_QUIT_TIMEOUT");
    }

    #[test]
    fn options_stand_where_they_like_and_cmd_is_left_alone() {
        let typed = parsed(&[
            "podgate",
            "wait",
            "-qt5s",
            "tcp://a:1",
            "--any",
            "tcp://b:2",
            "--",
            "app",
            "--any",
            "--",
        ]);
        let typed = typed.unwrap_or_else(|stop| panic!("{stop:?}"));
        let get = |name: &str| typed.get(name).expect("UTF-8").map(|given| given.values);
        assert_eq!(get("timeout"), Some(vec!["5s".to_owned()]));
        assert!(get("any").is_some() && get("quiet").is_some());
        assert_eq!(
            typed.checks.as_ref().map(|given| given.values.len()),
            Some(2)
        );
        assert_eq!(typed.cmd, ["app", "--any", "--"]);
    }

    /// What fuzzing found: before the command, an unknown option was printed as it is, and so was a check in a command's place.
    #[test]
    fn what_stands_in_the_commands_place_cannot_drive_the_terminal() {
        for (word, begin) in [
            ("--a\u{1b}[31m", "unknown option \"--a"),
            ("-\u{7}", "unknown option \"-"),
            ("exec:a\nb", "\"exec:a"),
        ] {
            match parsed(&["podgate", word]) {
                Err(Stop::Wrong(text)) => {
                    assert!(
                        text.starts_with(begin) && !text.contains(char::is_control),
                        "{text:?}"
                    )
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn typing_errors_are_understood() {
        assert_eq!(distance("timeuot", "timeout"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        let names = || ["wait", "check", "run", "timeout"].into_iter();
        assert_eq!(nearest("waiting", names()), Some("wait"));
        assert_eq!(nearest("chekc", names()), Some("check"));
        assert_eq!(nearest("x", names()), None);
    }

    #[test]
    fn every_command_has_a_help_that_names_its_options() {
        for about in COMMANDS {
            let help = of(about);
            for opt in of_command(about.command) {
                assert!(
                    help.contains(&format!("--{}", opt.flag())),
                    "{}",
                    opt.flag()
                );
            }
        }
    }
}
