//! `file://`: does the path exist? Woken by inotify(7) where that can tell, else asked by the schedule.
//!
//! No wake-up is lost: first watch, then look, then wait. inotify tells nothing where another machine makes the file (NFS, 9p, FUSE),
//! where the path goes over a symbolic link that may change elsewhere, or where no instance can be had (EMFILE: the limit is per user
//! of the whole node); then the schedule asks. Where it does tell, a slow poll stays on all the same.

use super::{Leaf, Step};
use crate::core::outcome::{Outcome, Phase, Reason};
use crate::core::schedule::Wake;
use crate::event_loop::Interest;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::statfs::{self, BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC};
use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

/// The check.
pub(super) struct Exists {
    path: PathBuf,
    index: usize,
    watcher: Option<Rc<RefCell<Watcher>>>,
    wake: Wake,
}

impl Exists {
    pub(super) fn new(path: &str, index: usize, watcher: Option<Rc<RefCell<Watcher>>>) -> Self {
        Self { path: PathBuf::from(path), index, watcher, wake: Wake::Asked }
    }

    fn look(&self) -> Outcome {
        match fs::metadata(&self.path) {
            Ok(_) => Outcome::Pass,
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT | Errno::ENOTDIR) => Outcome::NotYet(Reason::NoFile),
                Some(errno) => Outcome::NotYet(Reason::System("looked up", errno.desc().to_lowercase())),
                None => Outcome::NotYet(Reason::System("looked up", error.to_string())),
            },
        }
    }
}

impl Leaf for Exists {
    fn start(&mut self, _until: Instant) -> Step {
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        // Mostly it is there already, or not at all: look before an inotify instance is asked for.
        let first = self.look();
        let Some(watcher) = self.watcher.as_ref().filter(|_| first != Outcome::Pass) else { return Step::Done(first) };
        let watched = watcher.borrow_mut().watch(&self.path, self.index);
        self.wake = if watched { Wake::Watched } else { Wake::Asked };
        Step::Done(self.look())
    }

    fn cancel(&mut self) -> Phase {
        Phase::Answer
    }

    fn interests<'a>(&'a self, _interests: &mut Vec<Interest<'a>>) {}

    fn wake(&self) -> Wake {
        self.wake
    }
}

/// One inotify instance for all the files of a call.
#[derive(Debug)]
pub(crate) struct Watcher {
    inotify: Inotify,
    watches: Vec<Watch>,
}

/// A directory in which a name is waited for.
#[derive(Debug)]
struct Watch {
    index: usize,
    folder: WatchDescriptor,
    name: OsString,
}

impl Watcher {
    /// Asks the kernel for an instance.
    ///
    /// # Errors
    /// Those of inotify_init1(2): EMFILE and ENOMEM.
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self { inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?, watches: Vec::new() })
    }

    /// Watches for the first part of `path` that is not there, and calls it `index`. `false`: it cannot be watched.
    fn watch(&mut self, path: &Path, index: usize) -> bool {
        // Each round, the deepest folder may have got the part that was missing before it was watched.
        for _ in 0..64 {
            let Some((folder, name)) = missing(path) else { return true };
            if !is_plain(&folder) || !tells(&folder) {
                break;
            }
            let flags = AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_ATTRIB
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_ONLYDIR;
            let Ok(descriptor) = self.inotify.add_watch(&folder, flags) else { break };
            let is_new = !self.watches.iter().any(|it| it.index == index && it.folder == descriptor && it.name == name);
            if is_new {
                self.forget(index);
                self.watches.push(Watch { index, folder: descriptor, name: name.clone() });
            }
            if fs::symlink_metadata(folder.join(&name)).is_err() {
                return true;
            }
        }
        self.forget(index);
        false
    }

    fn forget(&mut self, index: usize) {
        let Some(at) = self.watches.iter().position(|it| it.index == index) else { return };
        let folder = self.watches.swap_remove(at).folder;
        if !self.watches.iter().any(|it| it.folder == folder) {
            // EINVAL: the folder is gone, and its watch with it.
            let _ = self.inotify.rm_watch(folder);
        }
    }

    /// Which checks may pass now.
    pub(crate) fn woken(&mut self) -> Vec<usize> {
        let mut woken = Vec::new();
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                // Without a name it is about the folder itself, or the queue has overflowed.
                let about = |watch: &&Watch| match &event.name {
                    Some(name) => watch.folder == event.wd && watch.name == *name,
                    None => watch.folder == event.wd || event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW),
                };
                woken.extend(self.watches.iter().filter(about).map(|watch| watch.index));
            }
        }
        woken.sort_unstable();
        woken.dedup();
        woken
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// The deepest folder of `path` that is there, and the name that is missing in it.
fn missing(path: &Path) -> Option<(PathBuf, OsString)> {
    let mut name: Option<&OsStr> = None;
    for folder in path.ancestors() {
        match fs::symlink_metadata(folder) {
            // Something that is no folder cannot get names, but it can be replaced by one.
            Ok(found) if found.is_dir() => return name.map(|name| (folder.to_owned(), name.to_owned())),
            Ok(_) | Err(_) => name = folder.file_name(),
        }
    }
    None
}

/// Is it reached without a symbolic link?
fn is_plain(folder: &Path) -> bool {
    fs::canonicalize(folder).is_ok_and(|real| real == folder)
}

/// Does inotify tell all there? It does on local file systems; on others, another machine or a server makes the files.
fn tells(folder: &Path) -> bool {
    /// nix has no name for it with musl (linux/magic.h).
    const XFS: FsType = FsType(0x5846_5342);
    let local = [BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, XFS];
    statfs::statfs(folder).map_err(io::Error::from).is_ok_and(|found| local.contains(&found.filesystem_type()))
}

#[cfg(test)]
mod tests {
    use super::{Watcher, is_plain, missing};
    use std::fs;
    use std::path::Path;

    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("podgate-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder");
            Self(fs::canonicalize(path).expect("its path"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_first_missing_part_is_found() {
        let folder = Folder::new("missing");
        let path = folder.0.join("a/b/c");
        assert_eq!(missing(&path), Some((folder.0.clone(), "a".into())));
        fs::create_dir_all(folder.0.join("a/b")).expect("folders");
        assert_eq!(missing(&path), Some((folder.0.join("a/b"), "c".into())));
        assert_eq!(missing(Path::new("/")), None);
    }

    #[test]
    fn a_file_wakes_its_check_and_a_neighbour_does_not() {
        let folder = Folder::new("wakes");
        let mut watcher = Watcher::new().expect("an inotify instance");
        assert!(watcher.watch(&folder.0.join("ready"), 7));
        fs::write(folder.0.join("other"), "").expect("a file");
        assert!(watcher.woken().is_empty());
        fs::write(folder.0.join("ready"), "").expect("a file");
        assert_eq!(watcher.woken(), [7]);
    }

    #[test]
    fn a_path_over_a_symbolic_link_is_not_watched() {
        let folder = Folder::new("link");
        fs::create_dir(folder.0.join("real")).expect("a folder");
        std::os::unix::fs::symlink(folder.0.join("real"), folder.0.join("link")).expect("a link");
        assert!(is_plain(&folder.0.join("real")) && !is_plain(&folder.0.join("link")));
        let mut watcher = Watcher::new().expect("an inotify instance");
        assert!(!watcher.watch(&folder.0.join("link/ready"), 0));
        std::os::unix::fs::symlink(folder.0.join("gone"), folder.0.join("dangling")).expect("a link");
        assert!(!watcher.watch(&folder.0.join("dangling"), 0));
    }
}
