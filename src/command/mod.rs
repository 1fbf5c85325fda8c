//! The commands: here, and only here, the machines of `core` meet effects.

mod check;
mod doctor;
mod install;
mod join;
mod life;
mod quit;
mod run;
mod status;
mod wait;
mod wrong_call;

use crate::cli::{self, Command, Stop, Typed};
use crate::config::{self, Gates};
use crate::core::exit::Exit;
use crate::core::signal;
use crate::driver::membership::open_volume;
use crate::message::{self, LogEvent, Message, Severity};
use crate::process::watchdog::Watchdog;
use crate::process::{Signals, Which, end_by_signal};
use crate::report::{Format, Report};
use std::io::Write;
use std::time::Duration;

/// A report for what happens before the options are read, or outside of what they say.
pub(crate) fn early_report() -> Report {
    let is_json = std::env::var_os("PODGATE_LOG_FORMAT").is_some_and(|format| format == "json");
    let mut report = Report::plain(if is_json { Format::Json } else { Format::Text });
    // A probe that fails, or is typed wrongly, must not overwrite why the app ended.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|command| command == Command::Check.name())
    {
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
        match typed.command {
            Command::Wait | Command::Check => {
                let settings = config::read(typed)?;
                // From here on the gate has one of its own, where it needs one.
                drop(watchdog);
                if let Some(skipped) = &settings.skipped {
                    report.line(&Message::new(
                        Severity::Info,
                        LogEvent::Disabled,
                        skipped.clone(),
                    ));
                }
                let is_skipped =
                    typed.command == Command::Wait && settings.gates == Gates::Disabled;
                let looks = settings
                    .checks
                    .iter()
                    .any(|check| check.kind.member().is_some())
                    && !is_skipped;
                let place = &settings.place;
                let opened = looks.then(|| open_volume(place.dir.as_deref(), place.plain));
                let volume = match opened.transpose() {
                    Ok(volume) => volume,
                    Err(error) => {
                        report.failure(&message::volume::failed(LogEvent::Volume, &error));
                        return Ok(Exit::Internal);
                    }
                };
                Ok(match typed.command {
                    Command::Wait => wait::run(settings, volume, &typed.cmd, report, signals),
                    Command::Check
                    | Command::Install
                    | Command::Run
                    | Command::Join
                    | Command::Quit
                    | Command::Status
                    | Command::Doctor => check::run(settings, volume, report, signals),
                })
            }
            Command::Run => {
                let life = config::life::life(typed)?;
                // All files that options name are read. A signal is CMD's matter now, which may take its time.
                drop(watchdog);
                Ok(run::run(&life, &typed.cmd, report, signals))
            }
            Command::Join => {
                let logging = config::logging(typed)?;
                let life = config::life::life(typed)?;
                watchdog.into_iter().for_each(Watchdog::leave);
                Ok(join::run(&life, &logging, &typed.cmd, report, signals))
            }
            Command::Status => {
                let is_json = config::is_on(typed, "json")?;
                let place = config::place(typed)?;
                if place.dir.is_none() {
                    return Err(Stop::Wrong(
                        "--dir none: there are no members to tell of; say --dir /run/podgate"
                            .to_owned(),
                    ));
                }
                Ok(status::run(&place, is_json, report))
            }
            Command::Doctor => {
                let budget = config::budget(typed)?;
                let budget = budget.map_err(|stop| match stop {
                    Stop::Wrong(text) | Stop::Read(text) | Stop::Begin(text) => text,
                });
                Ok(doctor::run(&config::place(typed)?, budget))
            }
            Command::Quit => {
                let (settings, place) = config::quitting(typed)?;
                drop(watchdog);
                Ok(quit::run(settings, &place, report, signals))
            }
            Command::Install => Err(Stop::Wrong("install needs a destination".to_owned())),
        }
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
            let gist = cli::gist(std::env::args_os().collect());
            if let Some(typed) = &gist {
                wrong_call::publish(typed, &mut report);
            }
            report.failure(&Message::new(Severity::Error, LogEvent::Usage, text));
            if let Some(typed) = &gist {
                wrong_call::quit(typed, &mut report, signals);
            }
            Exit::Usage
        }
    }
}

/// Watches while files are opened that options name: on a file system that does not answer, a signal could not end podgate.
fn watchdog(typed: &Typed, signals: &Signals) -> Result<Option<Watchdog>, Stop> {
    const CHANCE: Duration = Duration::from_secs(1);
    let names = ["log-to", "tls-ca"]
        .into_iter()
        .map(|option| typed.get(option));
    let given = names
        .collect::<Result<Vec<_>, _>>()?
        .iter()
        .any(Option::is_some);
    if !given && typed.dest.is_none() && std::env::var_os("SSL_CERT_FILE").is_none() {
        return Ok(None);
    }
    let which = signals.which();
    Ok(Some(Watchdog::start(
        signals,
        None,
        CHANCE,
        move |signal| {
            let number = signal.unwrap_or_default();
            let text = format!(
                "stopped by {}: a file that an option names cannot be opened; see whether its server is gone",
                signal::name(number)
            );
            early_report().failure(&Message::new(Severity::Error, LogEvent::Hangs, text));
            if which == Which::Ending {
                end_by_signal(number);
            }
            std::process::exit(Exit::Signal(number).code().into());
        },
    )))
}

/// Opens the report as the options say.
fn open(typed: &Typed, report: &mut Report) -> Result<(), Stop> {
    if typed.command == Command::Check {
        report.without_termination_log();
    }
    let logging = config::logging(typed)?;
    let mut opened = Report::open(logging.format, logging.level, &logging.to).map_err(|error| {
        let (name, cause) = (logging.path(), message::log::cause(error));
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
