//! The lock of a member: an OFD lock (fcntl(2)) on its lock file, held until the process is dead.

use super::record::{MODE, open_read};
use crate::core::errno::Errno as Number;
use crate::core::volume_error::{Intruder, Operation, VolumeError};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::unistd::geteuid;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a start waits for a name that another process has: the old container may be dying.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// The pause between two attempts to take it.
pub(super) const RETRY: Duration = Duration::from_millis(5);

/// The part of a lock file that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// None: the member is dead.
    Free,
    /// The whole file: the member has not written its record yet.
    Whole,
    /// The first byte: the record is that of this incarnation.
    First,
}

/// A lock on a whole file.
pub(super) fn whole_file(kind: i32) -> libc::flock {
    let kind = i16::try_from(kind).unwrap_or_default();
    let set = i16::try_from(libc::SEEK_SET).unwrap_or_default();
    libc::flock {
        l_type: kind,
        l_whence: set,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Which part of the lock file is held exclusively. Only a process that may write the file can hold
/// it, so a neighbour that may only read it cannot seem alive.
///
/// # Errors
/// The lock cannot be read. A path that does not exist or is not a regular file is not a member's
/// lock, and counts as free.
pub(super) fn hold(path: &Path) -> Result<Hold, Errno> {
    let file = match open_read(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(Hold::Free),
        // A device, a socket or a link instead of the file, or a file instead of the volume.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENXIO | Errno::ELOOP) => return Ok(Hold::Free),
        Err(errno) => return Err(errno),
    };
    let mut asked = whole_file(libc::F_RDLCK);
    let free = i16::try_from(libc::F_UNLCK).unwrap_or_default();
    match fcntl(&file, FcntlArg::F_OFD_GETLK(&mut asked)) {
        Ok(_) if asked.l_type == free => Ok(Hold::Free),
        // A length of 0 means the whole file, even if it grows.
        Ok(_) if asked.l_len == 0 => Ok(Hold::Whole),
        Ok(_) => Ok(Hold::First),
        // A file system without locks: no process holds one there.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => Ok(Hold::Free),
        Err(errno) => Err(errno),
    }
}

/// Why a lock was not taken.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// Another process holds it.
    Held,
    Failed(VolumeError),
}

/// Locks the whole file at `path`, and creates it if it does not exist. Waits for another holder,
/// but no longer once `is_stopped`.
pub(super) fn take(path: &Path, is_stopped: &dyn Fn() -> bool) -> Result<File, NotTaken> {
    let patience = Instant::now();
    let mut file = open(path).map_err(NotTaken::Failed)?;
    loop {
        let taken = fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK)));
        match taken {
            // Another process may have replaced the file in the meantime.
            Ok(_) if is_same(&file, path) && hold(path) != Ok(Hold::Free) => return Ok(file),
            Ok(_) if is_same(&file, path) => {
                let path = path.to_owned();
                return Err(NotTaken::Failed(VolumeError::KeepsNoLocks { path }));
            }
            Ok(_) | Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => {}
            Err(errno) => {
                let errno = Number(errno as i32);
                return Err(NotTaken::Failed(system_error(Operation::Lock, path, errno)));
            }
        }
        if patience.elapsed() >= PATIENCE || is_stopped() {
            return Err(NotTaken::Held);
        }
        thread::sleep(RETRY);
        // Opened again only if it is another file, because each close wakes the observers that wait
        // for a death.
        if !is_same(&file, path) {
            file = open(path).map_err(NotTaken::Failed)?;
        }
    }
}

/// Releases the lock except for its first byte. From now on the record is that of this
/// incarnation.
pub(super) fn narrow(lock: &File) -> io::Result<()> {
    let rest = libc::flock {
        l_start: 1,
        ..whole_file(libc::F_UNLCK)
    };
    fcntl(lock, FcntlArg::F_OFD_SETLK(&rest))?;
    Ok(())
}

fn open(path: &Path) -> Result<File, VolumeError> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let open = |is_new| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(is_new)
            .mode(MODE)
            .custom_flags(flags.bits())
            .open(path)
    };
    // First without O_CREAT: with it, open(2) fails in a sticky directory for another user's file
    // (proc(5), protected_regular).
    let opened = open(false).or_else(|error| match error.kind() == io::ErrorKind::NotFound {
        // Another process may have created it in the meantime.
        true => open(true).or_else(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                open(false)
            } else {
                Err(error)
            }
        }),
        false => Err(error),
    });
    let file = opened.map_err(|error| open_error(path, Number::of(&error)))?;
    match file.metadata() {
        Ok(found) if found.is_file() => {
            // The umask does not apply to this. Another owner's file keeps its mode.
            if found.mode() & 0o777 != MODE {
                let _ = file.set_permissions(fs::Permissions::from_mode(MODE));
            }
            Ok(file)
        }
        Ok(_) => Err(VolumeError::NotAFile {
            path: path.to_owned(),
            found: Intruder::Special,
        }),
        Err(error) => Err(system_error(Operation::Inspect, path, Number::of(&error))),
    }
}

/// The meaning of an errno of open(2) for a lock file.
fn open_error(path: &Path, errno: Number) -> VolumeError {
    let not_a_file = |found| VolumeError::NotAFile {
        path: path.to_owned(),
        found,
    };
    let exists = || fs::symlink_metadata(path).is_ok();
    match errno {
        Number::ELOOP => not_a_file(Intruder::Symlink),
        Number::EISDIR => not_a_file(Intruder::Directory),
        Number::EACCES | Number::EPERM if exists() => owned_by_other(path),
        Number::EACCES | Number::EPERM | Number::EROFS | Number::ENOSPC | Number::EDQUOT => {
            system_error(Operation::Create, path, errno)
        }
        _ => system_error(Operation::Open, path, errno),
    }
}

/// Checks that this user may write the record at `path`, if there is one.
///
/// # Errors
/// The file belongs to another user.
pub(super) fn check_owner(path: &Path) -> Result<(), VolumeError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) | Err(_) => return Ok(()),
    }
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    match OpenOptions::new()
        .write(true)
        .custom_flags(flags.bits())
        .open(path)
    {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(owned_by_other(path)),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn owned_by_other(path: &Path) -> VolumeError {
    VolumeError::OwnedByOther {
        path: path.to_owned(),
        owner: fs::symlink_metadata(path).map_or(0, |found| found.uid()),
        uid: own_uid(),
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    let there = fs::symlink_metadata(path);
    file.metadata().is_ok_and(|here| {
        there.is_ok_and(|there| (here.dev(), here.ino()) == (there.dev(), there.ino()))
    })
}

/// A failed system call of this user.
pub(super) fn system_error(operation: Operation, path: &Path, errno: Number) -> VolumeError {
    VolumeError::System {
        operation,
        path: path.to_owned(),
        errno,
        uid: own_uid(),
    }
}

pub(super) fn own_uid() -> u32 {
    geteuid().as_raw()
}
