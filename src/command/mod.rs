//! The commands: here, and only here, the machines of `core` meet effects.

mod check;
mod gate;
mod install;
mod quit;
mod wait;

use crate::cli::{Command, Stop, Typed};
use crate::core::exit::Exit;
use crate::process::Signals;
use crate::process::watchdog::Watchdog;
use crate::report::{Format, Line, Report, Severity};
use crate::settings;
use std::io::Write;
use std::time::Duration;

/// A report for what happens before the options are read, or outside of what they say.
pub(crate) fn early_report() -> Report {
    let is_json = std::env::var_os("PODGATE_LOG_FORMAT").is_some_and(|format| format == "json");
    let mut report = Report::plain(if is_json { Format::Json } else { Format::Text });
    // A probe that fails, or is typed wrongly, must not overwrite why the app ended.
    if std::env::args_os().nth(1).is_some_and(|command| command == Command::Check.name()) {
        report.without_termination_log();
    }
    report
}

/// Runs what was typed.
pub(crate) fn run(typed: Result<Typed, Stop>, signals: &Signals) -> Exit {
    let mut report = early_report();
    let run = |typed: &Typed, report: &mut Report| -> Result<Exit, Stop> {
        let watchdog = watchdog(typed, signals)?;
        open(typed, report)?;
        if let Some(dest) = &typed.dest {
            return Ok(install::run(dest, report));
        }
        if typed.command == Command::Quit {
            let settings = settings::quitting(typed)?;
            drop(watchdog);
            return Ok(quit::run(settings, report, signals));
        }
        let settings = settings::read(typed)?;
        // From here on the gate has one of its own, where it needs one.
        drop(watchdog);
        Ok(match typed.command {
            Command::Wait => wait::run(settings, &typed.cmd, report, signals),
            Command::Check => check::run(settings, report, signals),
            Command::Quit | Command::Install => return Err(Stop::Wrong("install needs a destination".to_owned())),
        })
    };
    match typed.and_then(|typed| run(&typed, &mut report)) {
        Ok(exit) => exit,
        Err(Stop::Read(text)) => {
            // Nobody may read to the end (`podgate --help | head`).
            let _ = std::io::stdout().write_all(text.as_bytes());
            Exit::Passed
        }
        Err(Stop::Begin(text)) => {
            let _ = std::io::stderr().write_all(text.as_bytes());
            Exit::Usage
        }
        Err(Stop::Wrong(text)) => {
            report.failure(&Line::new(Severity::Error, "usage", text));
            Exit::Usage
        }
    }
}

/// Watches while files are opened that options name: on a file system that does not answer, a signal could not end podgate.
fn watchdog(typed: &Typed, signals: &Signals) -> Result<Option<Watchdog>, Stop> {
    const CHANCE: Duration = Duration::from_secs(1);
    let names = ["log-to", "tls-ca"].into_iter().map(|option| typed.get(option));
    let given = names.collect::<Result<Vec<_>, _>>()?.iter().any(Option::is_some);
    if !given && typed.dest.is_none() && std::env::var_os("SSL_CERT_FILE").is_none() {
        return Ok(None);
    }
    Ok(Some(Watchdog::start(signals, None, CHANCE, |signal| {
        let number = signal.unwrap_or_default();
        let text = format!(
            "stopped by signal {number}: a file that an option names cannot be opened; see whether its server is gone"
        );
        early_report().failure(&Line::new(Severity::Error, "hangs", text));
        std::process::exit(Exit::Signal(number).code().into());
    })))
}

/// Opens the report as the options say.
fn open(typed: &Typed, report: &mut Report) -> Result<(), Stop> {
    if typed.command == Command::Check {
        report.without_termination_log();
    }
    let logging = settings::logging(typed)?;
    let mut opened = Report::open(logging.format, logging.level, &logging.to).map_err(|cause| {
        let name = logging.path();
        Stop::Wrong(format!(
            "--log-to {name:?}: cannot be written: {cause}; say --log-to stderr, or name a file that can be written"
        ))
    })?;
    if typed.command == Command::Check {
        opened.without_termination_log();
    } else if let Some(path) = logging.termination {
        opened.set_termination_log(path);
    }
    *report = opened;
    Ok(())
}
