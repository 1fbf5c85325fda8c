//! `podgate check`: one attempt of each check, for probes. One line a check; exit 0 or 1.

use crate::config::Settings;
use crate::core::duration::show;
use crate::core::exit::Exit;
use crate::core::gate::Verdict;
use crate::core::signal;
use crate::driver::gate::{Around, Driver, Tells};
use crate::members::Volume;
use crate::message::{LogEvent, Message, Severity};
use crate::process::{Children, Signals};
use crate::report::Report;
use std::cell::RefCell;
use std::rc::Rc;

/// Runs the command.
pub(super) fn run(
    settings: Settings,
    volume: Option<Rc<Volume>>,
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    let Settings {
        checks, gate, ask, ..
    } = settings;
    // `PODGATE_DISABLE` has taken all of them away, and said so: there is nothing that could fail.
    if checks.is_empty() {
        return Exit::Passed;
    }
    let around = Around {
        children: Rc::new(RefCell::new(Children::new(signals.original()))),
        volume,
    };
    let mut driver = Driver::new(&checks, gate, &ask, Tells::Nothing, &around, report);
    let answer = driver.run(signals, report);
    let lines = driver.ends(answer.waited);
    match answer.verdict {
        Ok(Verdict::Stopped(number)) => {
            let text = format!(
                "stopped by {} after {}",
                signal::name(number),
                show(answer.waited)
            );
            report.line(&Message::new(Severity::Warning, LogEvent::Stopped, text));
            Exit::Signal(number)
        }
        Ok(verdict) => {
            lines.iter().for_each(|line| report.line(line));
            match verdict {
                Verdict::Opened => Exit::Passed,
                Verdict::TimedOut | Verdict::Failed(_) | Verdict::Stopped(_) => Exit::NotPassed,
            }
        }
        Err(error) => {
            report.line(&Message::new(
                Severity::Error,
                LogEvent::Failed,
                format!("cannot wait for events: {error}; this is not about the checks"),
            ));
            Exit::Internal
        }
    }
}
