//! `podgate wait`: waits until the gate opens. Then becomes CMD, if one is given.

use super::call::{Call, variable, wrong};
use crate::cli::{OnTimeout, Source, WaitArgs};
use crate::config::{self, Gates, Settings};
use crate::core::check::Check;
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::core::gate::{GaveUp, Spec, Verdict};
use crate::driver::exec::exec_or_exit;
use crate::driver::gate::{Driver, Shared, Verbosity};
use crate::members::Volume;
use crate::message::process::{Wait, cannot_wait};
use crate::message::{self, Message};
use crate::probe::http::Ask;
use crate::process::Signals;
use crate::report::Report;
use std::ffi::OsString;
use std::rc::Rc;

pub(super) fn perform(args: &WaitArgs, call: &mut Call<'_>) -> Result<Exit, Message> {
    call.open_log(&args.output, Some(&args.failure))?;
    let settings = config::wait(args, &variable).map_err(wrong)?;
    let ask = call.ask(&settings.request, &settings.trust)?;
    Ok(match call.open_members(&settings) {
        Ok(volume) => {
            let (report, signals) = (&mut call.report, call.signals);
            run(settings, args, &ask, volume, report, signals)
        }
        Err(exit) => exit,
    })
}

fn run(
    settings: Settings,
    args: &WaitArgs,
    ask: &Ask,
    volume: Option<Rc<Volume>>,
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    let Settings {
        checks,
        gate,
        on_timeout,
        gates,
        skipped,
        ..
    } = settings;
    let cmd = &args.cmd;
    if gates == Gates::Disabled {
        let names: Vec<String> = checks.into_iter().map(|check| check.name).collect();
        report.line(&message::disabled::gates(&names));
        return exec_or_exit(cmd, report, signals);
    }
    if checks.is_empty() {
        // The checks that `PODGATE_DISABLE` takes away were reported before.
        if skipped.is_empty() {
            report.line(&message::gate::nothing_to_wait_for());
        }
        return exec_or_exit(cmd, report, signals);
    }
    let gate = GateOfCmd {
        checks: &checks,
        spec: gate,
        on_timeout,
        limit: &args.timeout.source,
        cmd,
    };
    gate.wait(ask, volume, report, signals)
}

/// A gate, and the command that follows it.
struct GateOfCmd<'a> {
    checks: &'a [Check],
    spec: Spec,
    on_timeout: OnTimeout,
    /// Where its time limit was set.
    limit: &'a Source,
    cmd: &'a [OsString],
}

impl GateOfCmd<'_> {
    fn wait(
        self,
        ask: &Ask,
        volume: Option<Rc<Volume>>,
        report: &mut Report,
        signals: &Signals,
    ) -> Exit {
        report.line(&message::gate::plan(self.checks, &self.spec));
        let shared = Shared::new(signals, volume);
        let mut driver = Driver::new(self.checks, self.spec, ask, Verbosity::All, &shared, report);
        let answer = driver.run(signals, report);
        let verdict = match answer.verdict {
            Ok(verdict) => verdict,
            Err(error) => {
                report.failure(&cannot_wait(Wait::Checks, Errno(error as i32)));
                return Exit::Internal;
            }
        };
        let reason = match verdict {
            Verdict::Opened => return exec_or_exit(self.cmd, report, signals),
            Verdict::Stopped(number) => {
                let (waited, checks) = (answer.waited, driver.waited_for());
                report.line(&if self.cmd.is_empty() {
                    message::gate::stopped(number, waited, &checks)
                } else {
                    message::gate::stopped_before_cmd(number, waited, &checks)
                });
                return Exit::Signal(number);
            }
            Verdict::GaveUp(reason) => reason,
        };
        let failure = driver.failure(reason, answer.waited, &self.limit.name);
        match self.on_timeout {
            OnTimeout::Fail => {
                report.failure(&failure);
                match reason {
                    GaveUp::TimedOut => Exit::TimedOut,
                    GaveUp::Failed(_) => Exit::NotPassed,
                }
            }
            OnTimeout::Run => {
                report.line(&message::gate::continued(failure));
                exec_or_exit(self.cmd, report, signals)
            }
        }
    }
}
