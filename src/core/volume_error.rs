//! Why the shared volume cannot be used, as values. `message::volume` has the sentences.

use super::errno::Errno;
use super::member::Name;
use super::observation::Sign;
use super::record::{Record, Unreadable};
use std::path::PathBuf;

/// Why `--dir` is not a volume that members can meet on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirError {
    Missing,
    NotADirectory,
    /// It lies on the container's own root file system, so that every container has another one.
    OnRootFileSystem,
    System(Errno),
}

/// The operation on a member's file that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Create,
    Open,
    /// Its kind is read: fstat(2).
    Inspect,
    /// The lock is taken.
    Lock,
    /// The part of the lock that is held only at the start is released.
    Narrow,
    Write,
    /// Space for the last record is reserved.
    Reserve,
}

/// What stands where a member's file should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intruder {
    Symlink,
    Directory,
    /// A FIFO, a socket or a device.
    Special,
}

/// Why a member cannot use its own files on the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeError {
    /// A system call failed for this user.
    System {
        operation: Operation,
        path: PathBuf,
        errno: Errno,
        uid: u32,
    },
    /// It is not a regular file.
    NotAFile { path: PathBuf, found: Intruder },
    /// The file belongs to another user.
    OwnedByOther { path: PathBuf, owner: u32, uid: u32 },
    /// It cannot be read, or has other content.
    Unreadable { path: PathBuf, why: Unreadable },
    /// The state of the member cannot be read now.
    NotObserved { path: PathBuf },
    /// It cannot be removed. It belongs to `owner`, and this is `uid`.
    NotRemoved {
        path: PathBuf,
        owner: u32,
        uid: u32,
        errno: Errno,
    },
    /// The file system grants locks and does not keep them.
    KeepsNoLocks { path: PathBuf },
}

/// Why a container cannot take part as a member, or look at members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembershipError {
    /// `--dir none`.
    NoDir,
    Dir {
        dir: PathBuf,
        error: DirError,
    },
    /// A living member has the name.
    Taken {
        name: Name,
        /// The host name of this pod.
        host: String,
        /// The living member's record, if it can be read.
        holder: Option<Box<Record>>,
        /// What shows that it is alive.
        by: Sign,
    },
    Volume {
        name: Name,
        error: VolumeError,
    },
}
