//! `podgate check`: one attempt of each check, for probes. Prints one line for each check. The exit
//! code is 0 if they pass and 1 if they do not.

use super::call::{Call, variable, wrong};
use crate::cli::CheckArgs;
use crate::config::{self, Settings};
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::core::gate::Verdict;
use crate::driver::gate::{Driver, Shared, Verbosity};
use crate::members::Volume;
use crate::message::process::{Wait, cannot_wait};
use crate::message::{self, Message};
use crate::probe::http::Ask;
use crate::process::Signals;
use crate::report::Report;
use std::rc::Rc;

pub(super) fn perform(args: &CheckArgs, call: &mut Call<'_>) -> Result<Exit, Message> {
    call.open_log(&args.output, None)?;
    let settings = config::check(args, &variable).map_err(wrong)?;
    let ask = call.ask(&settings.request, &settings.trust)?;
    Ok(match call.open_members(&settings) {
        Ok(volume) => run(settings, &ask, volume, &mut call.report, call.signals),
        Err(exit) => exit,
    })
}

fn run(
    settings: Settings,
    ask: &Ask,
    volume: Option<Rc<Volume>>,
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    let Settings { checks, gate, .. } = settings;
    // `PODGATE_DISABLE` has taken all checks away, which was reported. None is left to fail.
    if checks.is_empty() {
        return Exit::Passed;
    }
    let shared = Shared::new(signals, volume);
    let mut driver = Driver::new(&checks, gate, ask, Verbosity::Nothing, &shared, report);
    let answer = driver.run(signals, report);
    let exit = match answer.verdict {
        Ok(Verdict::Opened) => Exit::Passed,
        Ok(Verdict::GaveUp(_)) => Exit::NotPassed,
        Ok(Verdict::Stopped(number)) => {
            report.line(&message::check::stopped(number, answer.waited));
            return Exit::Signal(number);
        }
        Err(error) => {
            report.line(&cannot_wait(Wait::Checks, Errno(error as i32)));
            return Exit::Internal;
        }
    };
    for message in driver.ends(answer.waited) {
        report.line(&message);
    }
    exit
}
