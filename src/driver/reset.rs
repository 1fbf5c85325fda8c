//! Resets the volume when the init containers run: carries out what `core::round` decides.
//!
//! Every step may be the last one, because the init container may be killed and started again. The
//! file is written before the first removal and after the last one, and each write replaces it.

use crate::core::round::{Found, Round, State, Verdict, verdict};
use crate::core::volume_error::VolumeError;
use crate::members::Volume;
use crate::message::reset::{self, Reset};
use crate::process::sandbox;
use crate::report::Report;

/// Resets the volume, and reports what it did.
///
/// # Errors
/// A file cannot be read, written or removed. A later reset goes on from there.
pub(crate) fn reset(volume: &Volume, report: &mut Report) -> Result<(), VolumeError> {
    let last = volume.round()?;
    let members = volume.left()?;
    let is_same = last
        .as_ref()
        .is_some_and(|last| sandbox::is_here(&last.sandbox));
    let verdict = verdict(last.as_ref(), is_same, &members);
    let sandbox = match &last {
        Some(last) if is_same => last.sandbox.clone(),
        Some(_) | None => sandbox::mark(),
    };
    for warning in [
        sandbox.semaphore.is_none().then(reset::no_semaphore),
        sandbox::is_of_the_node(&sandbox).then(reset::host_ipc),
    ] {
        warning.iter().for_each(|warning| report.line(warning));
    }
    let last = last.unwrap_or_else(|| Round::first(volume.host().to_owned(), sandbox.clone()));
    let (mut removed, mut alive) = (Vec::new(), Vec::new());
    let round = match verdict {
        Verdict::First | Verdict::Again => last,
        Verdict::NewSandbox => last.kept(sandbox, &members),
        Verdict::NewRound | Verdict::Unfinished => {
            let mut round = last.next(sandbox, &members);
            volume.write_round(&round)?;
            for Found {
                name, has_files, ..
            } in members
            {
                if !has_files {
                    continue;
                }
                if volume.remove(&name)? {
                    removed.push(name);
                } else {
                    alive.push(name);
                }
            }
            round.state = State::Begun;
            round
        }
    };
    if verdict != Verdict::Again {
        volume.write_round(&round)?;
    }
    report.line(&reset::done(&Reset {
        verdict,
        dir: volume.path(),
        number: round.number,
        removed: &removed,
        alive: &alive,
    }));
    Ok(())
}
