//! `podgate run`: the container's entrypoint. Starts CMD when its gate opens, publishes its state,
//! and ends it with other members.

use super::call::{Call, variable, wrong};
use crate::cli::RunArgs;
use crate::config::{self, Life, Quitting};
use crate::core::exit::Exit;
use crate::core::member::Policy;
use crate::driver::gate::Shared;
use crate::driver::life::{Driver, MainProcess};
use crate::driver::membership::{Stop, take_part};
use crate::members::Membership;
use crate::message::Message;
use crate::probe::http::Ask;
use crate::probe::tls::Trust;
use crate::process::{Children, Signals};
use crate::report::Report;
use std::cell::RefCell;
use std::ffi::OsString;
use std::rc::Rc;
use std::sync::Arc;

pub(super) fn perform(args: &RunArgs, call: &mut Call<'_>) -> Result<Exit, Message> {
    call.open_log(&args.output, Some(&args.failure))?;
    let life = config::run(args, &variable).map_err(wrong)?;
    let ask = call.ask(&life.request, &life.trust)?;
    let quits = match &life.quits {
        Some(quits) => Some((quits, call.trust(&quits.trust)?)),
        None => None,
    };
    call.report_skipped(&life);
    let (report, signals) = (&mut call.report, call.signals);
    Ok(run(&life, &ask, quits, &args.cmd, report, signals))
}

fn run(
    settings: &Life,
    ask: &Ask,
    quits: Option<(&Quitting, Arc<Trust>)>,
    cmd: &[OsString],
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    let children = Rc::new(RefCell::new(Children::new(signals.original())));
    children.borrow_mut().become_subreaper();
    let mut shared = Shared {
        children,
        volume: None,
    };
    // `_own` holds the lock until podgate ends.
    let (code, _own) = live(settings, ask, cmd, &mut shared, report, signals);
    let exit = Exit::Main(code);
    // Under `never` quits follow every end. Otherwise they follow only success, because a container
    // that failed is started again and needs its sidecars.
    let quits_follow = code == 0 || settings.spec.policy == Policy::Never;
    if let Some((quits, trust)) = quits.filter(|_| quits_follow) {
        let (volume, children) = (shared.volume.as_ref(), &shared.children);
        // The result of the quits does not change the exit code.
        let _ = super::quit::ask(
            quits.clone(),
            trust,
            volume,
            report,
            signals,
            children,
            Some(exit),
        );
    }
    exit
}

/// Takes part in the pod, and runs CMD to its end. Returns the exit code and the membership.
fn live(
    settings: &Life,
    ask: &Ask,
    cmd: &[OsString],
    shared: &mut Shared,
    report: &mut Report,
    signals: &Signals,
) -> (u8, Option<Membership>) {
    let (volume, own) = match take_part(
        settings.uses_volume,
        settings.dir.path.as_deref(),
        settings.dir.plain,
        super::life::statement(settings),
        Stop {
            signals,
            given: settings.given_stop,
        },
        report,
    ) {
        Ok(taken) => taken,
        Err(refused) => return (refused.report(report).code(), None),
    };
    shared.volume = volume;
    let life = super::life::settings(settings, ask);
    let process = MainProcess::Child(cmd);
    Driver::new(&life, process, own, shared, signals, report).run()
}
