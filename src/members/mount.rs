//! The mount of a path, and the identity of this container.

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Whether `path` is on the same mount as `/`. `None` if the kernel does not show that. Compares
/// mount ids (proc(5), fdinfo), because a volume may be a directory of the same device.
pub(crate) fn is_plain(path: &Path) -> Option<bool> {
    let root = Path::new("/");
    match (mount_id(path), mount_id(root)) {
        (Some(own), Some(root)) => Some(own == root),
        // There is no /proc. A volume has another device than the container's root file system,
        // which is an overlay.
        (_, _) => Some(fs::metadata(path).ok()?.dev() == fs::metadata(root).ok()?.dev()),
    }
}

/// The id of the mount of a path.
pub(crate) fn mount_id(path: &Path) -> Option<u64> {
    // Not with std, which removes O_PATH, because musl has it in O_ACCMODE. Without O_PATH the
    // right to read would be needed.
    let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    line.trim().parse().ok()
}

/// The directory above `path` where the mount begins on which `path` lies. `None` if `path` is
/// itself a mount, or if that is not known.
pub(crate) fn mount_above(path: &Path) -> Option<PathBuf> {
    let path = fs::canonicalize(path).ok()?;
    let mount = mount_id(&path)?;
    let above = path.ancestors().skip(1);
    let on_it = above.take_while(|it| mount_id(it) == Some(mount));
    on_it.last().map(Path::to_owned)
}

/// The inode of the mount namespace, which identifies the container. 0 if it is not known.
pub(crate) fn container() -> u64 {
    fs::metadata("/proc/self/ns/mnt").map_or(0, |found| found.ino())
}
