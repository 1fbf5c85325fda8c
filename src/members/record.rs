//! Reads and creates the files of members. A hostile neighbour cannot mislead or block: no link is
//! followed, no call blocks, and sizes have limits.

use crate::core::errno::Errno as Number;
use crate::core::member::Name;
use crate::core::record::{Garbage, LONGEST, Record, Unreadable};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The mode of files that others read. The umask does not apply to it.
pub(super) const MODE: u32 = 0o644;

/// Reads the record of a member. `None` if there is none.
pub(super) fn read_record(path: &Path, name: &Name) -> Option<Result<Record, Unreadable>> {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(Unreadable::System(Number::ENOENT)) => return None,
        Err(error) => return Some(Err(error)),
    };
    let record = Record::decode(&bytes);
    Some(match record {
        Ok(record) if record.name != *name => Err(Unreadable::Garbage(Garbage::OtherName)),
        Ok(_) | Err(_) => record,
    })
}

/// Reads a small file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    read_up_to(path, LONGEST)
}

/// Reads a file of at most this many bytes.
pub(super) fn read_up_to(path: &Path, longest: usize) -> Result<Vec<u8>, Unreadable> {
    let opened = open_read(path).map_err(|errno| match errno == Errno::ELOOP {
        true => Unreadable::Garbage(Garbage::Symlink),
        false => Unreadable::System(Number(errno as i32)),
    });
    let file = opened?.ok_or(Unreadable::Garbage(Garbage::NotAFile))?;
    let mut bytes = Vec::new();
    let most = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| Unreadable::System(Number::of(&error)))?;
    if bytes.len() > longest {
        Err(Unreadable::Garbage(Garbage::TooLong))
    } else {
        Ok(bytes)
    }
}

/// Opens a file that a neighbour may have replaced. `None` if it is not a regular file.
pub(super) fn open_read(path: &Path) -> Result<Option<File>, Errno> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let errno = |error: io::Error| Errno::from_raw(Number::of(&error).0);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(errno)?;
    let is_file = file.metadata().map_err(errno)?.is_file();
    Ok(is_file.then_some(file))
}

/// Creates a new file that others can read. The umask does not apply to it.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .custom_flags(flags.bits())
        .open(path)?;
    file.set_permissions(fs::Permissions::from_mode(MODE))?;
    Ok(file)
}

/// A random number, which no other incarnation has: std seeds its hashers from getrandom(2).
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
