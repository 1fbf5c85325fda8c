//! Takes part in the pod: opens the shared volume and takes a name on it.

use crate::core::exit::Exit;
use crate::core::member::Name;
use crate::core::plain_dir::Plain;
use crate::core::volume_error::MembershipError;
use crate::members::{Membership, Refusal, Statement, Volume, is_plain, mount_id};
use crate::message::{self, LogEvent, Message};
use crate::process::Signals;
use crate::report::Report;
use nix::unistd::{AccessFlags, access};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

/// This binary, whatever its name is (proc(5)).
const MYSELF: &str = "/proc/self/exe";

/// Why a container does not take part.
pub(crate) enum Refused {
    Failed(Message),
    /// A signal ended the wait for its name.
    Stopped(Message, Exit),
}

impl From<Message> for Refused {
    fn from(message: Message) -> Self {
        Self::Failed(message)
    }
}

impl Refused {
    /// Reports the reason. Returns the exit code.
    pub(crate) fn report(&self, report: &mut Report) -> Exit {
        match self {
            Self::Failed(message) => {
                report.failure(message);
                Exit::Internal
            }
            Self::Stopped(message, exit) => {
                report.line(message);
                *exit
            }
        }
    }
}

/// The signals that end the wait for a name.
#[derive(Clone, Copy)]
pub(crate) struct Stop<'a> {
    pub(crate) signals: &'a Signals,
    /// `--stop-signal`, if it was given to `run`.
    pub(crate) given: Option<u8>,
}

/// Opens the volume for observing.
///
/// # Errors
/// There is no volume (`--dir none`), or `dir` cannot be used as a volume.
pub(crate) fn open_volume(dir: Option<&Path>, plain: Plain) -> Result<Rc<Volume>, MembershipError> {
    let dir = dir.ok_or(MembershipError::NoDir)?;
    Volume::open(dir, plain)
        .map(Rc::new)
        .map_err(|error| MembershipError::Dir {
            dir: dir.to_owned(),
            error,
        })
}

/// Opens the volume if `uses_volume`, and takes a name on it if there is a `statement`. For `run`.
///
/// # Errors
/// Those of [`open_volume`] and [`take_name`].
pub(crate) fn take_part(
    uses_volume: bool,
    dir: Option<&Path>,
    plain: Plain,
    statement: Option<Statement>,
    stop: Stop<'_>,
    report: &mut Report,
) -> Result<(Option<Rc<Volume>>, Option<Membership>), Refused> {
    if !uses_volume {
        return Ok((None, None));
    }
    let event = LogEvent::Volume;
    let failed = |error| message::volume::failed(event, &error);
    let volume = open_volume(dir, plain).map_err(failed)?;
    let member = match statement {
        Some(statement) => Some(take_name(&volume, statement, event, stop, report)?),
        None => None,
    };
    Ok((Some(volume), member))
}

/// Takes a name on the volume, and warns if a neighbour can replace this binary.
///
/// # Errors
/// A living member has the name, or the volume cannot be used. Or a signal ended the wait until the
/// name is free.
pub(crate) fn take_name(
    volume: &Rc<Volume>,
    statement: Statement,
    event: LogEvent,
    stop: Stop<'_>,
    report: &mut Report,
) -> Result<Membership, Refused> {
    if let Some(binary) = replaceable(Some(volume.path())) {
        let is_on_members_volume = binary.is_on_members_volume;
        report.line(&message::volume::binary_is_replaceable(
            &binary.path,
            is_on_members_volume,
        ));
    }
    let (name, is_joined) = (statement.name.clone(), statement.is_joined);
    let start = Instant::now();
    let pending = || stop.signals.pending(stop.given);
    let taken = Membership::take(volume, statement, &|| pending().is_some());
    taken.map_err(|refusal| {
        let number = pending().filter(|_| matches!(refusal, Refusal::Taken { .. }));
        let cause = message::volume::failed(event, &refused(volume, name, refusal));
        let Some(number) = number else {
            return Refused::Failed(cause);
        };
        let stopped = if is_joined {
            message::gate::stopped
        } else {
            message::gate::stopped_before_cmd
        };
        let exit = if stop.given == Some(number) {
            Exit::Terminated
        } else {
            Exit::Signal(number)
        };
        Refused::Stopped(stopped(number, start.elapsed(), &cause.text), exit)
    })
}

fn refused(volume: &Volume, name: Name, refusal: Refusal) -> MembershipError {
    match refusal {
        Refusal::Volume(error) => MembershipError::Volume { name, error },
        Refusal::Taken { holder, by } => MembershipError::Taken {
            name,
            host: volume.host().to_owned(),
            holder,
            by,
        },
    }
}

/// The path of this binary. `None` without /proc.
pub(crate) fn own_path() -> Option<PathBuf> {
    fs::read_link(MYSELF).ok()
}

/// This binary, where a neighbour can replace it.
pub(crate) struct Replaceable {
    pub(crate) path: PathBuf,
    /// It lies where members meet, else on another volume.
    pub(crate) is_on_members_volume: bool,
}

/// Can a neighbour replace this binary? It can on a volume that is mounted writable here: what this
/// container may write, another one may write as well. The root file system belongs to this
/// container alone.
pub(crate) fn replaceable(members_dir: Option<&Path>) -> Option<Replaceable> {
    let path = own_path().unwrap_or_else(|| PathBuf::from(MYSELF));
    let folder = path.parent()?;
    let mount = mount_id(&path)?;
    if members_dir.and_then(mount_id) == Some(mount) && is_plain(folder) == Some(false) {
        return Some(Replaceable {
            path,
            is_on_members_volume: true,
        });
    }
    // A file that is itself a mount (subPath) cannot be replaced through its folder.
    let place = if mount_id(folder) == Some(mount) {
        folder
    } else {
        path.as_path()
    };
    let is_writable = is_plain(place) == Some(false) && access(place, AccessFlags::W_OK).is_ok();
    is_writable.then_some(Replaceable {
        path,
        is_on_members_volume: false,
    })
}
