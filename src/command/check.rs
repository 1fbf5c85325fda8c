//! `podgate check`: one attempt of each check, for probes. Prints one line for each check. Exit
//! code 0 if they pass, 1 if not.

use crate::config::Settings;
use crate::core::exit::Exit;
use crate::core::gate::Verdict;
use crate::driver::gate::{Driver, Shared, Verbosity};
use crate::members::Volume;
use crate::message;
use crate::process::Signals;
use crate::report::Report;
use std::rc::Rc;

pub(super) fn run(
    settings: Settings,
    volume: Option<Rc<Volume>>,
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    let Settings {
        checks, gate, ask, ..
    } = settings;
    // `PODGATE_DISABLE` has taken all checks away, and this was reported. So none can fail.
    if checks.is_empty() {
        return Exit::Passed;
    }
    let shared = Shared::new(signals, volume);
    let mut driver = Driver::new(&checks, gate, &ask, Verbosity::Nothing, &shared, report);
    let answer = driver.run(signals, report);
    match answer.verdict {
        Ok(Verdict::Stopped(number)) => {
            report.line(&message::check::stopped(number, answer.waited));
            Exit::Signal(number)
        }
        Ok(verdict) => {
            for message in driver.ends(answer.waited) {
                report.line(&message);
            }
            match verdict {
                Verdict::Opened => Exit::Passed,
                Verdict::TimedOut | Verdict::Failed(_) | Verdict::Stopped(_) => Exit::NotPassed,
            }
        }
        Err(error) => {
            report.line(&message::gate::cannot_wait(&error));
            Exit::Internal
        }
    }
}
