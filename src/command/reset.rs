//! `podgate reset`: forgets the members of an earlier round, in an init container.

use super::call::{Call, variable, wrong};
use crate::cli::ResetArgs;
use crate::config::{self, MembersDir};
use crate::core::exit::Exit;
use crate::driver::membership::open_volume;
use crate::driver::reset::reset;
use crate::message::{self, LogEvent, Message};
use crate::report::Report;

pub(super) fn perform(args: &ResetArgs, call: &mut Call<'_>) -> Result<Exit, Message> {
    call.open_log(&args.output, Some(&args.failure))?;
    let dir = config::reset(args, &variable).map_err(wrong)?;
    let watchdog = call.watchdog();
    let exit = run(dir.as_ref(), &mut call.report);
    watchdog.leave();
    Ok(exit)
}

/// Resets the volume. `None`: members are disabled.
pub(super) fn run(dir: Option<&MembersDir>, report: &mut Report) -> Exit {
    let Some(dir) = dir else {
        report.line(&message::disabled::reset());
        return Exit::Passed;
    };
    let volume = match open_volume(dir.path.as_deref(), dir.plain) {
        Ok(volume) => volume,
        Err(error) => {
            report.failure(&message::volume::failed(LogEvent::Volume, &error));
            return Exit::Internal;
        }
    };
    match reset(&volume, report) {
        Ok(()) => Exit::Passed,
        Err(error) => {
            report.failure(&message::reset::failed(volume.path(), &error));
            Exit::Internal
        }
    }
}
