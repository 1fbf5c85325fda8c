//! The commands: here, and only here, the machines of `core` meet effects.

mod check;
mod gate;
mod wait;

use crate::cli::{Command, Stop, Typed};
use crate::core::exit::Exit;
use crate::process::Signals;
use crate::report::{Format, Line, Report, Severity};
use crate::settings;
use std::io::Write;

/// Runs what was typed.
pub(crate) fn run(typed: Result<Typed, Stop>, signals: Signals) -> Exit {
    match typed.and_then(|typed| prepare(&typed).map(|ready| (typed, ready))) {
        Ok((typed, (mut report, settings))) => match typed.command {
            Command::Wait => wait::run(settings, &typed.cmd, &mut report, &signals),
            Command::Check => check::run(settings, &mut report, &signals),
        },
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
            let is_json = std::env::var_os("PODGATE_LOG_FORMAT").is_some_and(|format| format == "json");
            let mut report = Report::plain(if is_json { Format::Json } else { Format::Text });
            report.failure(&Line::new(Severity::Error, "usage", text));
            Exit::Usage
        }
    }
}

fn prepare(typed: &Typed) -> Result<(Report, settings::Settings), Stop> {
    let logging = settings::logging(typed)?;
    let opened = Report::open(logging.format, logging.level, &logging.to);
    let mut report = opened.map_err(|cause| {
        Stop::Wrong(format!("cannot write the log {:?}: {cause}; say --log-to stderr, or name a file that can be written", logging.path()))
    })?;
    if typed.command == Command::Check {
        report.without_termination_log();
    } else if let Some(path) = logging.termination {
        report.set_termination_log(path);
    }
    Ok((report, settings::read(typed)?))
}
