//! `podgate join`: makes a container a member from its postStart hook. Its entrypoint is not
//! podgate.

use super::call::{Call, variable, wrong};
use crate::cli::JoinArgs;
use crate::config::{self, Life, Logging};
use crate::core::exit::Exit;
use crate::core::logging::LogTo;
use crate::driver::exec::exec_or_exit;
use crate::driver::join::Join;
use crate::message::Message;
use crate::probe::http::Ask;
use crate::process::Signals;
use crate::report::Report;
use std::ffi::OsString;

pub(super) fn perform(args: &JoinArgs, call: &mut Call<'_>) -> Result<Exit, Message> {
    let logging = call.open_log(&args.output, Some(&args.failure))?;
    let life = config::join(args, &variable).map_err(wrong)?;
    let ask = call.ask(&life.request, &life.trust)?;
    call.report_skipped(&life);
    let (report, signals) = (&mut call.report, call.signals);
    Ok(run(&life, &ask, &logging, &args.cmd, report, signals))
}

fn run(
    settings: &Life,
    ask: &Ask,
    logging: &Logging,
    hook: &[OsString],
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    let Some(statement) = super::life::statement(settings) else {
        return exec_or_exit(hook, report, signals);
    };
    let (name, life) = (statement.name.clone(), super::life::settings(settings, ask));
    let join = Join {
        life: &life,
        statement,
        dir: settings.dir.path.as_deref(),
        plain: settings.dir.plain,
        agent_log: (logging.to == LogTo::Stderr).then_some((logging.format, logging.level)),
    };
    let volume = match join.register(report, signals) {
        Ok(volume) => volume,
        Err(refused) => return refused.report(report),
    };
    if let Some(limit) = &settings.wait {
        let limit = (limit.value.duration(), &*limit.source.name);
        let waited = Join::wait(&life, &name, limit, volume, report, signals);
        if let Err(exit) = waited {
            return exit;
        }
    }
    exec_or_exit(hook, report, signals)
}
