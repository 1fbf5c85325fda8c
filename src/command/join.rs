//! `podgate join`: a member in a container whose entrypoint is not podgate, from a postStart hook.

use crate::config::Logging;
use crate::config::life::Life;
use crate::core::exit::Exit;
use crate::driver::exec::exec_or_exit;
use crate::driver::join::Join;
use crate::message;
use crate::process::Signals;
use crate::report::{LogTo, Report};
use std::ffi::OsString;

pub(super) fn run(
    settings: &Life,
    logging: &Logging,
    hook: &[OsString],
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    for skipped in &settings.skipped {
        report.line(&message::life::disabled(skipped));
    }
    let Some(statement) = super::life::statement(settings) else {
        return exec_or_exit(hook, report, signals);
    };
    let (name, life) = (statement.name.clone(), super::life::settings(settings));
    let join = Join {
        life: &life,
        statement,
        dir: settings.place.dir.as_deref(),
        plain: settings.place.plain,
        agent_log: (logging.to == LogTo::Stderr).then_some((logging.format, logging.level)),
    };
    let volume = match join.register(report, signals) {
        Ok(volume) => volume,
        Err(failure) => {
            report.failure(&failure);
            return Exit::Internal;
        }
    };
    if let Some(limit) = settings.wait {
        let waited = Join::wait(&life, &name, limit.duration(), volume, report, signals);
        if let Err(exit) = waited {
            return exit;
        }
    }
    exec_or_exit(hook, report, signals)
}
