//! Where a path is mounted, and which container this is.

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Is `path` on the same mount as `/`? `None` where the kernel does not tell. Compares mount ids
/// (proc(5), fdinfo), because a volume may be a directory of the same device.
pub(crate) fn is_plain(path: &Path) -> Option<bool> {
    let root = Path::new("/");
    match (mount_id(path), mount_id(root)) {
        (Some(own), Some(root)) => Some(own == root),
        // Without /proc. A volume has another device than the container's own root file system,
        // which is an overlay.
        (_, _) => Some(fs::metadata(path).ok()?.dev() == fs::metadata(root).ok()?.dev()),
    }
}

/// The id of the mount that a path is on.
pub(crate) fn mount_id(path: &Path) -> Option<u64> {
    // Not by std: it takes O_PATH away, which musl counts as a part of O_ACCMODE, and then the
    // right to read is needed.
    let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    line.trim().parse().ok()
}

/// This container: the inode of its mount namespace; 0 where the kernel does not tell.
pub(crate) fn container() -> u64 {
    fs::metadata("/proc/self/ns/mnt").map_or(0, |found| found.ino())
}
