//! Reports changes on the volume with inotify(7), where it is available and complete. Elsewhere
//! observers poll.
//!
//! No wake-up is lost: first watch, then observe, then wait. Only its owner opens a lock file for
//! writing, so IN_CLOSE_WRITE on it reports the owner's death. The event comes a moment before the
//! lock is free (`__fput` in the kernel reports first and unlocks then), so an observer reads the
//! lock a few times more.

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::statfs::{
    self, BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// The pause between two polls where inotify works: they are a safety net.
pub(crate) const SLOW: Duration = Duration::from_secs(2);
/// The pause between two polls where inotify does not work.
pub(crate) const FAST: Duration = Duration::from_millis(100);
/// How long a lock may still seem to be held after its file was closed.
pub(crate) const CLOSING: Duration = Duration::from_millis(100);

/// IN_MASK_ADD of inotify(7) adds to the events of an existing watch. nix has no name for it.
pub(crate) const MASK_ADD: AddWatchFlags = AddWatchFlags::from_bits_retain(0x2000_0000);

/// The events that matter: records and memories are renamed to their names, requests are created,
/// and lock files are closed.
pub(crate) const CHANGES: AddWatchFlags = AddWatchFlags::IN_MOVED_TO
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_ONLYDIR);

/// A change on the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// This file has changed.
    File(String),
    /// Any file may have changed: the queue has overflowed, or the directory is gone.
    Anything,
}

/// Watches one volume.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: Inotify,
}

impl Watch {
    /// Begins to watch a directory.
    ///
    /// # Errors
    /// No instance or no watch is left (EMFILE, ENOSPC: the limits count for a user on the whole
    /// node), or inotify is incomplete on this file system.
    pub(crate) fn new(path: &Path) -> Result<Self, Errno> {
        if !tells(path) {
            return Err(Errno::EOPNOTSUPP);
        }
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(path, CHANGES)?;
        Ok(Self { inotify })
    }

    /// The changes since the last call. Never blocks.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Ok(events) = self.inotify.read_events() {
            let change = |name: Option<std::ffi::OsString>| match name
                .map(std::ffi::OsString::into_string)
            {
                Some(Ok(name)) => Some(Change::File(name)),
                // This is not the name of a member's file.
                Some(Err(_)) => None,
                None => Some(Change::Anything),
            };
            changes.extend(events.into_iter().filter_map(|event| change(event.name)));
        }
        changes
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// Whether inotify reports all changes in `folder`. It does on local file systems. On others,
/// another machine or a server may make changes that it does not see.
pub(crate) fn tells(folder: &Path) -> bool {
    /// nix has no name for it with musl (linux/magic.h).
    const XFS: FsType = FsType(0x5846_5342);
    let local = [
        BTRFS_SUPER_MAGIC,
        EXT4_SUPER_MAGIC,
        OVERLAYFS_SUPER_MAGIC,
        TMPFS_MAGIC,
        XFS,
    ];
    statfs::statfs(folder)
        .map_err(io::Error::from)
        .is_ok_and(|found| local.contains(&found.filesystem_type()))
}
