//! `podgate quit`: asks sidecars and members to quit. The exit code is 0 when all are gone, and 1
//! when one is not.

use super::call::{Call, variable, wrong};
use crate::cli::QuitArgs;
use crate::config::{self, MembersDir, Quitting};
use crate::core::exit::Exit;
use crate::core::quit::member_target;
use crate::driver::membership::open_volume;
use crate::driver::quit::Quits;
use crate::members::Volume;
use crate::message::{self, LogEvent, Message};
use crate::probe::tls::Trust;
use crate::process::{Children, Signals};
use crate::report::Report;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

pub(super) fn perform(args: &QuitArgs, call: &mut Call<'_>) -> Result<Exit, Message> {
    call.open_log(&args.output, Some(&args.failure))?;
    let (quitting, dir) = config::quit(args, &variable).map_err(wrong)?;
    let trust = call.trust(&quitting.trust)?;
    let (report, signals) = (&mut call.report, call.signals);
    Ok(run(quitting, trust, &dir, report, signals))
}

fn run(
    settings: Quitting,
    trust: Arc<Trust>,
    dir: &MembersDir,
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    if settings.is_disabled {
        report.line(&message::disabled::quits(&settings.names()));
        return Exit::Passed;
    }
    if !settings.skipped.is_empty() {
        let skipped: Vec<String> = settings.skipped.iter().map(member_target).collect();
        report.line(&message::disabled::quits(&skipped));
    }
    let needs_volume = !settings.members.is_empty();
    let volume = needs_volume.then(|| open_volume(dir.path.as_deref(), dir.plain));
    let volume = match volume.transpose() {
        Ok(volume) => volume,
        Err(error) => {
            report.failure(&message::volume::failed(LogEvent::Volume, &error));
            return Exit::Internal;
        }
    };
    let children = RefCell::new(Children::new(signals.original()));
    let volume = volume.as_ref();
    ask(settings, trust, volume, report, signals, &children, None)
}

/// Asks, and waits until all are gone. `kept` is the exit code of CMD if CMD has ended before.
pub(super) fn ask(
    settings: Quitting,
    trust: Arc<Trust>,
    volume: Option<&Rc<Volume>>,
    report: &mut Report,
    signals: &Signals,
    children: &RefCell<Children>,
    kept: Option<Exit>,
) -> Exit {
    let (members, limits) = (settings.members, settings.limits);
    Quits::new(settings.targets, &members, volume, limits, trust)
        .run(report, signals, children, kept)
}
