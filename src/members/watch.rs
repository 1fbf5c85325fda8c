//! Who tells of a change on the volume: inotify(7), where it can be had and tells all; else nobody, and one has to ask.
//!
//! No wake-up is lost: first watch, then look, then wait. The owner alone opens a lock for writing, so IN_CLOSE_WRITE on it tells of
//! its death; a moment before the lock is free (`__fput` in the kernel tells first, and then lets go), so who hears it looks a few
//! times more.

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::statfs::{
    self, BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// How often to look where inotify tells: a safety net.
pub(crate) const SLOW: Duration = Duration::from_secs(2);
/// How often to look where it does not.
pub(crate) const FAST: Duration = Duration::from_millis(100);
/// How long after a lock's closing it may still seem to be held.
pub(crate) const CLOSING: Duration = Duration::from_millis(100);

/// Adds to what a directory is watched for already (inotify(7)); nix has no name for it.
pub(crate) const MASK_ADD: AddWatchFlags = AddWatchFlags::from_bits_retain(0x2000_0000);

/// What to watch a volume for: records and memories that are renamed to their names, requests that are made, locks that are closed.
pub(crate) const CHANGES: AddWatchFlags = AddWatchFlags::IN_MOVED_TO
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_ONLYDIR);

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// This file.
    File(String),
    /// Nobody knows: the queue has overflowed, or the directory itself is gone.
    Anything,
}

/// Watches one volume.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: Inotify,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// No instance or no watch is left (EMFILE, ENOSPC: the limits are per user of the whole node), or it does not tell all there.
    pub(crate) fn new(path: &Path) -> Result<Self, Errno> {
        if !tells(path) {
            return Err(Errno::EOPNOTSUPP);
        }
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(path, CHANGES)?;
        Ok(Self { inotify })
    }

    /// What has changed since the last call. Never blocks.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Ok(events) = self.inotify.read_events() {
            let change = |name: Option<std::ffi::OsString>| match name
                .map(std::ffi::OsString::into_string)
            {
                Some(Ok(name)) => Some(Change::File(name)),
                // No name of ours.
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

/// Does inotify tell all there? It does on local file systems; on others, another machine or a server makes the files.
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
