//! `podgate run`: the container's entrypoint. Starts CMD when its gate opens, publishes its state,
//! and ends it with other members.

use crate::config::life::Life;
use crate::core::exit::Exit;
use crate::core::member::Policy;
use crate::driver::gate::Shared;
use crate::driver::life::{Driver, MainProcess};
use crate::driver::membership::take_part;
use crate::message::{self, LogEvent};
use crate::process::{Children, Signals};
use crate::report::Report;
use std::cell::RefCell;
use std::ffi::OsString;
use std::rc::Rc;

pub(super) fn run(
    settings: &Life,
    cmd: &[OsString],
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    for skipped in &settings.skipped {
        report.line(&message::life::disabled(skipped));
    }
    let children = Rc::new(RefCell::new(Children::new(signals.original())));
    children.borrow_mut().become_subreaper();
    let mut shared = Shared {
        children,
        volume: None,
    };
    // `_own` holds the lock until podgate ends.
    let (code, _own) = match take_part(
        settings.uses_volume(),
        settings.place.dir.as_deref(),
        settings.place.plain,
        super::life::statement(settings),
        report,
    ) {
        Ok((volume, own)) => {
            shared.volume = volume;
            let life = super::life::settings(settings);
            Driver::new(
                &life,
                MainProcess::Child(cmd),
                own,
                &shared,
                signals,
                report,
            )
            .run()
        }
        Err(error) => {
            report.failure(&message::volume::failed(LogEvent::Volume, &error));
            (Exit::Internal.code(), None)
        }
    };
    let exit = Exit::Main(code);
    // Under `never` quits follow any end. Otherwise they follow success alone, because a container
    // that failed is started again and needs its sidecars.
    let quits_follow = code == 0 || settings.spec.policy == Policy::Never;
    if let Some(quits) = settings.quits.as_ref().filter(|_| quits_follow) {
        let (volume, children) = (shared.volume.as_ref(), &shared.children);
        // The exit code stays CMD's, however the quits end.
        let _ = super::quit::ask(quits.clone(), volume, report, signals, children, Some(exit));
    }
    exit
}
