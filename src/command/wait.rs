//! `podgate wait`: blocks until the gate opens; then becomes CMD, if one is given.

use super::gate::Driver;
use crate::core::check::Check;
use crate::core::duration::show;
use crate::core::exit::Exit;
use crate::core::gate::{Need, Spec, Verdict};
use crate::core::schedule::Pace;
use crate::process::{Arrived, Children, Signals, become_command};
use crate::report::{Line, Report, Severity};
use crate::settings::{Gates, OnTimeout, Settings};
use nix::errno::Errno;
use std::ffi::OsString;
use std::path::Path;

/// Runs the command.
pub(super) fn run(settings: Settings, cmd: &[OsString], report: &mut Report, signals: &Signals) -> Exit {
    let Settings { checks, gate, ask, on_timeout, gates } = settings;
    if gates == Gates::Disabled {
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        let text = format!("PODGATE_DISABLE is set: not waiting for {names:?}");
        report.line(&Line::new(Severity::Info, "disabled", text));
        return go_on(cmd, report, signals);
    }
    if checks.is_empty() {
        report.line(&Line::new(
            Severity::Info,
            "nothing",
            "nothing to wait for: no CHECK is given and PODGATE_CHECKS is empty",
        ));
        return go_on(cmd, report, signals);
    }
    report.line(&Line::new(Severity::Debug, "start", plan(&checks, &gate)));
    let mut driver = Driver::new(&checks, gate, ask, signals, report);
    let answer = driver.run();
    let verdict = match answer.verdict {
        Ok(verdict) => verdict,
        Err(error) => {
            let text = format!("cannot wait for events: {error}; this is not about the checks");
            driver.report().failure(&Line::new(Severity::Error, "failed", text));
            return Exit::Own;
        }
    };
    let exit = match verdict {
        Verdict::Opened => return go_on(cmd, report, signals),
        Verdict::Stopped(number) => {
            let not_started = if cmd.is_empty() { "" } else { "; the command was not started" };
            let text = format!(
                "stopped by signal {number} after {}: {}{not_started}",
                show(answer.waited),
                driver.waited_for()
            );
            report.line(&Line::new(Severity::Warning, "stopped", text));
            return Exit::Signal(number);
        }
        Verdict::TimedOut => Exit::TimedOut,
        Verdict::Failed(_) => Exit::NotPassed,
    };
    let mut line = driver.failure(verdict, answer.waited);
    match on_timeout {
        OnTimeout::Fail => {
            report.failure(&line);
            exit
        }
        OnTimeout::Run => {
            line.severity = Severity::Warning;
            line.text.push_str("; going on all the same, as --on-timeout run says");
            report.line(&line);
            go_on(cmd, report, signals)
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
    let failures = gate.failure_threshold.map_or("none".to_owned(), |most| most.to_string());
    format!(
        "waiting for {need} of {names:?}: {pace}, timeout {timeout}, attempt timeout {}, initial delay {}, success threshold {}, \
         failure threshold {failures}",
        show(gate.attempt_timeout),
        show(gate.initial_delay),
        gate.success_threshold
    )
}

/// Becomes CMD; without one, this was all.
fn go_on(cmd: &[OsString], report: &mut Report, signals: &Signals) -> Exit {
    let Some((name, arguments)) = cmd.split_first() else { return Exit::Passed };
    // CMD gets no zombie from us.
    Children::new(signals.original()).reap();
    // A signal that came while the gate opened must not be lost: PID 1 drops it between here and CMD's own handler.
    if let Some(number) = ending(signals) {
        let text = format!("stopped by signal {number}; the command was not started");
        report.line(&Line::new(Severity::Warning, "stopped", text));
        return Exit::Signal(number);
    }
    let error = become_command(name, arguments, signals.original());
    let shown = name.to_string_lossy();
    let (exit, cause) = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) if shown.contains('/') && Path::new(name).exists() => (
            Exit::NotExecutable,
            "it is there, but the interpreter of its #! line, or its dynamic loader, is not in this image".to_owned(),
        ),
        Some(Errno::ENOENT | Errno::ENOTDIR) => (
            Exit::NotFound,
            "there is no such command; give its full path, and see that it is in this image".to_owned(),
        ),
        Some(Errno::EACCES) => (
            Exit::NotExecutable,
            "it cannot be executed; see its mode, and that its volume is not mounted noexec".to_owned(),
        ),
        Some(Errno::ENOEXEC) => (
            Exit::NotExecutable,
            "it is no program for this machine; see its architecture, and that a script begins with #!".to_owned(),
        ),
        Some(_) | None => (Exit::NotExecutable, error.to_string()),
    };
    report.failure(&Line::new(Severity::Error, "exec", format!("cannot run {shown:?}: {cause}")));
    exit
}

fn ending(signals: &Signals) -> Option<u8> {
    loop {
        match signals.next()? {
            Arrived::Ending(number) => return Some(number),
            Arrived::Child => {}
        }
    }
}
