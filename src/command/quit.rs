//! `podgate quit`: asks sidecars and members to quit. Exit code 0 when all are gone, 1 when one is
//! not.

use crate::config::{Place, Quitting};
use crate::core::exit::Exit;
use crate::driver::membership::open_volume;
use crate::driver::quit::Quits;
use crate::members::Volume;
use crate::message::{self, LogEvent};
use crate::process::{Children, Signals};
use crate::report::Report;
use std::cell::RefCell;
use std::rc::Rc;

pub(super) fn run(
    settings: Quitting,
    place: &Place,
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    if settings.is_disabled {
        report.line(&message::quit::disabled(&settings.names()));
        return Exit::Passed;
    }
    if !settings.skipped.is_empty() {
        let skipped = settings.skipped.iter();
        let skipped: Vec<String> = skipped.map(|name| format!("member:{name}")).collect();
        report.line(&message::quit::disabled(&skipped));
    }
    let needs_volume = !settings.members.is_empty();
    let volume = needs_volume.then(|| open_volume(place.dir.as_deref(), place.plain));
    let volume = match volume.transpose() {
        Ok(volume) => volume,
        Err(error) => {
            report.failure(&message::volume::failed(LogEvent::Volume, &error));
            return Exit::Internal;
        }
    };
    let children = RefCell::new(Children::new(signals.original()));
    ask(settings, volume.as_ref(), report, signals, &children, None)
}

/// Asks, and waits until all are gone. `kept` is the exit code of CMD where it has ended before.
pub(super) fn ask(
    settings: Quitting,
    volume: Option<&Rc<Volume>>,
    report: &mut Report,
    signals: &Signals,
    children: &RefCell<Children>,
    kept: Option<Exit>,
) -> Exit {
    let (members, limits) = (settings.members, settings.limits);
    Quits::new(settings.targets, &members, volume, limits, settings.trust)
        .run(report, signals, children, kept)
}
