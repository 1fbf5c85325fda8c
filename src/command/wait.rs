//! `podgate wait`: blocks until the gate opens; then becomes CMD, if one is given.

use crate::config::{Gates, OnTimeout, Settings};
use crate::core::check::Check;
use crate::core::duration::show;
use crate::core::exit::Exit;
use crate::core::gate::{Need, Spec, Verdict};
use crate::core::schedule::Pace;
use crate::core::signal;
use crate::driver::exec::exec_or_exit;
use crate::driver::gate::{Around, Driver, Tells};
use crate::members::Volume;
use crate::message::{LogEvent, Message, Severity};
use crate::process::{Children, Signals};
use crate::report::Report;
use std::cell::RefCell;
use std::ffi::OsString;
use std::rc::Rc;

/// Runs the command.
pub(super) fn run(
    settings: Settings,
    volume: Option<Rc<Volume>>,
    cmd: &[OsString],
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    let Settings {
        checks,
        gate,
        ask,
        on_timeout,
        gates,
        skipped,
        ..
    } = settings;
    if gates == Gates::Disabled {
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        let text = format!("PODGATE_DISABLE is set: not waiting for {names:?}");
        report.line(&Message::new(Severity::Info, LogEvent::Disabled, text));
        return exec_or_exit(cmd, report, signals);
    }
    if checks.is_empty() {
        // What was taken away was told already.
        if skipped.is_none() {
            let text = "nothing to wait for: no CHECK is given and PODGATE_CHECKS is empty";
            report.line(&Message::new(Severity::Info, LogEvent::Nothing, text));
        }
        return exec_or_exit(cmd, report, signals);
    }
    report.line(&Message::new(
        Severity::Debug,
        LogEvent::Start,
        plan(&checks, &gate),
    ));
    let around = Around {
        children: Rc::new(RefCell::new(Children::new(signals.original()))),
        volume,
    };
    let mut driver = Driver::new(&checks, gate, &ask, Tells::All, &around, report);
    let answer = driver.run(signals, report);
    let verdict = match answer.verdict {
        Ok(verdict) => verdict,
        Err(error) => {
            let text = format!("cannot wait for events: {error}; this is not about the checks");
            report.failure(&Message::new(Severity::Error, LogEvent::Failed, text));
            return Exit::Internal;
        }
    };
    let exit = match verdict {
        Verdict::Opened => return exec_or_exit(cmd, report, signals),
        Verdict::Stopped(number) => {
            let not_started = if cmd.is_empty() {
                ""
            } else {
                "; the command was not started"
            };
            let text = format!(
                "stopped by {} after {}: {}{not_started}",
                signal::name(number),
                show(answer.waited),
                driver.waited_for()
            );
            report.line(&Message::new(Severity::Warning, LogEvent::Stopped, text));
            return Exit::Signal(number);
        }
        Verdict::TimedOut => Exit::TimedOut,
        Verdict::Failed(_) => Exit::NotPassed,
    };
    let mut line = driver.failure(verdict, answer.waited, "--timeout");
    match on_timeout {
        OnTimeout::Fail => {
            report.failure(&line);
            exit
        }
        OnTimeout::Run => {
            line.severity = Severity::Warning;
            line.text
                .push_str("; going on all the same, as --on-timeout run says");
            report.line(&line);
            exec_or_exit(cmd, report, signals)
        }
    }
}

/// What is going to be done, for `--verbose`.
fn plan(checks: &[Check], gate: &Spec) -> String {
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    let need = match gate.need {
        Need::All => "all",
        Need::Any => "any",
    };
    let pace = match gate.pace {
        Pace::Proportional => "2% of the wait between attempts".to_owned(),
        Pace::Every(interval) => format!("an attempt every {}", show(interval)),
        Pace::Once => "one attempt".to_owned(),
    };
    let timeout = gate.timeout.map_or("none".to_owned(), show);
    let failures = gate
        .failure_threshold
        .map_or("none".to_owned(), |most| most.to_string());
    format!(
        "waiting for {need} of {names:?}: {pace}, timeout {timeout}, attempt timeout {}, initial delay {}, success threshold {}, \
         failure threshold {failures}",
        show(gate.attempt_timeout),
        show(gate.initial_delay),
        gate.success_threshold
    )
}
