//! `file://`: the path exists, and `nonempty://`: the path is a file with something in it.
//! inotify(7) wakes the check where it works. Elsewhere the path is looked up on the schedule.
//!
//! A look-up can hang if the server of a network or FUSE file system is gone. So it runs in a
//! worker, and the next attempt waits for the same worker.
//!
//! No wake-up is lost: first watch, then look up, then wait. A watch counts only from the first
//! look-up that began after it. inotify does not work in three cases: another machine creates the
//! file (NFS, 9p, FUSE), the path goes through a symbolic link, which may change elsewhere, or no
//! instance is available (EMFILE: the limit is for each user of the whole node). Where inotify
//! works, the path is still looked up at long intervals as a safety net.
//!
//! While the path does not exist, the folder is watched in which it, or its first part, is missing.
//! Otherwise the file itself is watched: for content, or with `not:` for its end.

use super::attempt::{Probe, Step};
use super::worker::Worker;
use crate::core::errno::Errno;
use crate::core::member::Name;
use crate::core::outcome::{Operation, Outcome, Phase, Reason, Wake};
use crate::event_loop::Interest;
use crate::members::watch::{CHANGES, CLOSING, MASK_ADD, tells};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long the kernel takes to free what attached a watch to its directory: mostly below 0.1 ms.
const FREED: Duration = Duration::from_micros(200);

/// What a check wants of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// That it exists.
    Path,
    /// That it is a file with something in it.
    Content,
}

/// The change that an attempt waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Begin,
    /// With `not:`.
    End,
}

pub(super) struct Exists {
    path: PathBuf,
    wants: Wants,
    change: Change,
    index: usize,
    watcher: Option<Rc<RefCell<Watcher>>>,
    worker: Worker<Found>,
    wake: Wake,
}

/// The result of a look-up.
struct Found {
    outcome: Outcome,
    /// The directory that is watched now, and the name in it that is missing. An empty name: the
    /// path itself is watched.
    watch: Option<(WatchDescriptor, OsString)>,
}

impl Exists {
    pub(super) fn new(
        path: &str,
        wants: Wants,
        change: Change,
        index: usize,
        watcher: Option<Rc<RefCell<Watcher>>>,
    ) -> Self {
        Self {
            path: PathBuf::from(path),
            wants,
            change,
            index,
            watcher,
            worker: Worker::new(),
            wake: Wake::Asked,
        }
    }
}

/// Looks up the path, and watches it if the change has not come.
fn look_up(path: &Path, wants: Wants, change: Change, inotify: Option<&Inotify>) -> Found {
    // Usually the change has come already, and no watch is needed.
    let outcome = holds(path, wants);
    let has_come = (outcome == Outcome::Pass) == (change == Change::Begin);
    match inotify {
        Some(inotify) if !has_come => {
            let watch = if fs::symlink_metadata(path).is_ok() {
                watch_itself(inotify, path, wants, change)
            } else {
                watch(inotify, path)
            };
            Found {
                outcome: holds(path, wants),
                watch,
            }
        }
        Some(_) | None => Found {
            outcome,
            watch: None,
        },
    }
}

fn holds(path: &Path, wants: Wants) -> Outcome {
    match fs::metadata(path) {
        Ok(_) if wants == Wants::Path => Outcome::Pass,
        Ok(found) if !found.is_file() => Outcome::NotYet(Reason::NotAFile),
        Ok(found) if found.len() == 0 => Outcome::NotYet(Reason::NoContent),
        Ok(_) => Outcome::Pass,
        Err(error) => Outcome::NotYet(match Errno::of(&error) {
            Errno::ENOENT | Errno::ENOTDIR => Reason::NoFile,
            errno => Reason::System(Operation::LookUpPath, errno),
        }),
    }
}

/// Watches what `path` is now. `None`: inotify cannot report its changes.
fn watch_itself(
    inotify: &Inotify,
    path: &Path,
    wants: Wants,
    change: Change,
) -> Option<(WatchDescriptor, OsString)> {
    // A symbolic link stays when the file behind it changes.
    if !is_plain(path) || !tells(path) {
        return None;
    }
    let content = match (wants, change) {
        (Wants::Path, Change::Begin | Change::End) => AddWatchFlags::empty(),
        (Wants::Content, Change::Begin) => AddWatchFlags::IN_MODIFY,
        // A file is closed after it was emptied, and a file that only grows causes no wake-up.
        (Wants::Content, Change::End) => AddWatchFlags::IN_CLOSE_WRITE,
    };
    let flags = content
        // The number of links changes when a file is removed that a process has open.
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_DONT_FOLLOW
        // The same directory may also be watched for members.
        | MASK_ADD;
    let descriptor = inotify.add_watch(path, flags).ok()?;
    Some((descriptor, OsString::new()))
}

/// Watches for the first part of `path` that does not exist. `None`: inotify cannot report it.
fn watch(inotify: &Inotify, path: &Path) -> Option<(WatchDescriptor, OsString)> {
    let (folder, name) = missing(path)?;
    // A dangling link, or a file where a folder is expected: inotify does not report what follows.
    let is_there = || fs::symlink_metadata(folder.join(&name)).is_ok();
    if is_there() || !is_plain(&folder) || !tells(&folder) {
        return None;
    }
    let flags = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        // The same directory may also be watched for members.
        | MASK_ADD
        | AddWatchFlags::IN_ONLYDIR;
    let descriptor = inotify.add_watch(&folder, flags).ok()?;
    if is_there() {
        None
    } else {
        Some((descriptor, name))
    }
}

impl Probe for Exists {
    fn start(&mut self, _until: Instant) -> Step {
        // A result of an earlier attempt, which was cancelled, is out of date.
        drop(self.worker.take());
        self.proceed()
    }

    fn release(&mut self) {
        self.worker.abandon();
    }

    fn proceed(&mut self) -> Step {
        // If a look-up of an earlier attempt still hangs, this attempt waits for it.
        if !self.worker.is_busy() {
            let path = self.path.clone();
            let (wants, change) = (self.wants, self.change);
            let inotify = self
                .watcher
                .as_ref()
                .map(|watcher| Arc::clone(&watcher.borrow().inotify));
            if let Err(error) = self
                .worker
                .start(move || look_up(&path, wants, change, inotify.as_deref()))
            {
                let reason = Reason::System(Operation::LookUpPath, Errno::of(&error));
                return Step::Done(Outcome::NotYet(reason));
            }
        }
        let Some(found) = self.worker.take() else {
            return Step::Wait;
        };
        let known = self
            .watcher
            .as_ref()
            .is_some_and(|watcher| watcher.borrow_mut().keep(self.index, found.watch));
        self.wake = if known { Wake::Watched } else { Wake::Asked };
        Step::Done(found.outcome)
    }

    fn cancel(&mut self) -> Phase {
        Phase::Path
    }

    fn interest(&self) -> Option<Interest<'_>> {
        self.worker.interest()
    }

    fn wake(&self) -> Wake {
        self.wake
    }
}

/// One inotify instance for all files and members of a call.
#[derive(Debug)]
pub(crate) struct Watcher {
    inotify: Arc<Inotify>,
    watches: Vec<Watch>,
    members: Option<Members>,
    /// When a watch was last removed.
    forgotten: Option<Instant>,
}

/// The members that checks wait for.
#[derive(Debug)]
struct Members {
    volume: WatchDescriptor,
    /// The index of a check, and the first part of the names of its member's files.
    prefixes: Vec<(usize, String)>,
    /// The time when a lock was last closed.
    closed: Option<Instant>,
}

/// A directory, and the name in it that the check `index` waits for.
#[derive(Debug)]
struct Watch {
    index: usize,
    folder: WatchDescriptor,
    name: OsString,
}

impl Watcher {
    /// # Errors
    /// Those of inotify_init1(2): EMFILE and ENOMEM.
    pub(crate) fn new() -> nix::Result<Self> {
        let inotify = Arc::new(Inotify::init(
            InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK,
        )?);
        Ok(Self {
            inotify,
            watches: Vec::new(),
            members: None,
            forgotten: None,
        })
    }

    /// The instance, for a poller.
    pub(crate) fn inotify(&self) -> Arc<Inotify> {
        Arc::clone(&self.inotify)
    }

    /// Watches a volume for members, each with the index of its check. Does nothing if inotify
    /// cannot report changes there.
    pub(crate) fn watch_members<'a>(
        &mut self,
        volume: &Path,
        members: impl Iterator<Item = (usize, &'a Name)>,
    ) {
        let prefixes: Vec<_> = members
            .map(|(index, name)| (index, format!("{name}.")))
            .collect();
        if !prefixes.is_empty() && tells(volume) {
            let watch = self.inotify.add_watch(volume, CHANGES | MASK_ADD);
            self.members = watch.ok().map(|volume| Members {
                volume,
                prefixes,
                closed: None,
            });
        }
    }

    pub(super) const fn watches_members(&self) -> bool {
        self.members.is_some()
    }

    /// Whether a lock was closed so recently that it may still seem to be held.
    pub(super) fn is_closing(&self) -> bool {
        let closed = self.members.as_ref().and_then(|members| members.closed);
        closed.is_some_and(|closed| closed.elapsed() < CLOSING)
    }

    /// Keeps the watch of the check `index`. `true`: it was known before the look-up, so no change
    /// was missed.
    fn keep(&mut self, index: usize, found: Option<(WatchDescriptor, OsString)>) -> bool {
        let at = self.watches.iter().position(|it| it.index == index);
        let before = at.map(|at| self.watches.swap_remove(at));
        let known = match (&before, &found) {
            (Some(before), Some((folder, name))) => {
                before.folder == *folder && before.name == *name
            }
            (Some(_), None) | (None, Some(_) | None) => false,
        };
        self.watches.extend(found.map(|(folder, name)| Watch {
            index,
            folder,
            name,
        }));
        if let Some(before) = before {
            self.forget(before.folder);
        }
        known
    }

    /// Removes the watch of `folder` if no check needs it.
    fn forget(&mut self, folder: WatchDescriptor) {
        let is_volume = self.members.as_ref().is_some_and(|it| it.volume == folder);
        if !is_volume && self.watches.iter().all(|it| it.folder != folder) {
            // EINVAL: the folder was removed, and the watch with it.
            let _ = self.inotify.rm_watch(folder);
            self.forgotten = Some(Instant::now());
        }
    }

    /// Removes all watches.
    pub(crate) fn clear(&mut self) {
        let folders: Vec<_> = self.watches.drain(..).map(|it| it.folder).collect();
        let volume = self.members.take().map(|it| it.volume);
        for folder in folders.into_iter().chain(volume) {
            self.forget(folder);
        }
    }

    /// Waits until the kernel has probably freed the watches that were removed.
    ///
    /// The kernel frees a watch, and what attached it to its directory, after a grace period each
    /// (SRCU). close(2), exit(2) and execve(2) wait for that of the watch. It takes 0.03 ms, but 12
    /// ms or more if the other one has begun and not ended, as it has right after the removal. So a
    /// watch is removed as early as possible (Linux 6.18, CONFIG_HZ=250).
    pub(crate) fn settle(&self) {
        let left = self
            .forgotten
            .and_then(|it| FREED.checked_sub(it.elapsed()));
        if let Some(left) = left {
            thread::sleep(left);
        }
    }

    /// The checks whose path or member has changed.
    ///
    /// The watch of a file is removed with its first report. The next look-up adds it again if the
    /// file does not exist. See [`Watcher::settle`] for the reason.
    pub(crate) fn woken(&mut self) -> Vec<usize> {
        let mut woken = Vec::new();
        while let Ok(events) = self.inotify.read_events() {
            for event in events {
                // Without a name, the event is about the folder itself, or the queue is full.
                let about = |watch: &mut Watch| match &event.name {
                    Some(name) => watch.folder == event.wd && watch.name == *name,
                    None => {
                        watch.folder == event.wd
                            || event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)
                    }
                };
                let changed: Vec<_> = self.watches.extract_if(.., about).collect();
                for watch in changed {
                    add(&mut woken, watch.index);
                    self.forget(watch.folder);
                }
                if let Some(members) = &mut self.members {
                    members.changed(&event, &mut woken);
                }
            }
        }
        woken
    }
}

impl Members {
    fn changed(&mut self, event: &InotifyEvent, woken: &mut Vec<usize>) {
        let about = |(_, prefix): &&(usize, String)| match &event.name {
            Some(name) => {
                event.wd == self.volume
                    && name
                        .to_str()
                        .is_some_and(|name| name.starts_with(prefix.as_str()))
            }
            None => event.wd == self.volume || event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW),
        };
        for (index, _) in self.prefixes.iter().filter(about) {
            add(woken, *index);
            if event.mask.contains(AddWatchFlags::IN_CLOSE_WRITE) {
                self.closed = Some(Instant::now());
            }
        }
    }
}

/// Adds a check to a list that is in order and has each check once.
fn add(checks: &mut Vec<usize>, index: usize) {
    if let Err(place) = checks.binary_search(&index) {
        checks.insert(place, index);
    }
}

/// The deepest existing folder of `path`, and the name that is missing in it.
fn missing(path: &Path) -> Option<(PathBuf, OsString)> {
    let mut name: Option<&OsStr> = None;
    for folder in path.ancestors() {
        match fs::symlink_metadata(folder) {
            // A file where a folder is expected can be replaced by a folder.
            Ok(found) if found.is_dir() => {
                return name.map(|name| (folder.to_owned(), name.to_owned()));
            }
            Ok(_) | Err(_) => name = folder.file_name(),
        }
    }
    None
}

/// Whether the path leads to the folder without a symbolic link.
fn is_plain(folder: &Path) -> bool {
    fs::canonicalize(folder).is_ok_and(|real| real == folder)
}

#[cfg(test)]
mod tests {
    use super::{Change, Wants, Watcher, is_plain, look_up, missing, watch};
    use crate::core::outcome::Outcome;
    use std::fs;
    use std::os::fd::{AsFd, AsRawFd};
    use std::path::{Path, PathBuf};

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
    fn the_first_missing_part_of_a_path_is_found() {
        let folder = Folder::new("missing");
        let path = folder.0.join("a/b/c");
        assert_eq!(missing(&path), Some((folder.0.clone(), "a".into())));
        fs::create_dir_all(folder.0.join("a/b")).expect("folders");
        assert_eq!(missing(&path), Some((folder.0.join("a/b"), "c".into())));
        assert_eq!(missing(Path::new("/")), None);
    }

    /// The limit on instances is for each user of the machine, and other programs may have reached
    /// it for a moment.
    fn watcher() -> Watcher {
        let tries = (0..300).map(|_| {
            Watcher::new()
                .inspect_err(|_| std::thread::sleep(std::time::Duration::from_millis(100)))
        });
        tries.flatten().next().expect("an inotify instance")
    }

    #[test]
    fn a_file_wakes_its_own_check_only() {
        let folder = Folder::new("wakes");
        let mut watcher = watcher();
        let path = folder.0.join("ready");
        let found = || look_up(&path, Wants::Path, Change::Begin, Some(&watcher.inotify)).watch;
        let (first, second) = (found(), found());
        assert!(first.is_some() && first == second);
        assert!(
            !watcher.keep(7, first),
            "a look-up before the watch was known may have missed a change"
        );
        assert!(watcher.keep(7, second));
        fs::write(folder.0.join("other"), "").expect("a file");
        assert!(watcher.woken().is_empty());
        fs::write(&path, "").expect("a file");
        assert_eq!(watcher.woken(), [7]);
        assert_eq!(
            look_up(&path, Wants::Path, Change::Begin, Some(&watcher.inotify)).outcome,
            Outcome::Pass
        );
    }

    /// Each step changes the file. Only the last one is what the check waits for.
    #[test]
    fn a_change_of_the_file_itself_wakes_its_check() {
        let folder = Folder::new("itself");
        let path = folder.0.join("file");
        let write = |text: &str| fs::write(&path, text).expect("a file");
        let append = || {
            let mut open = fs::OpenOptions::new();
            let mut file = open.append(true).open(&path).expect("a file");
            std::io::Write::write_all(&mut file, b"x").expect("more");
            // Not closed, so that IN_MODIFY is the only event.
            std::mem::forget(file);
        };
        let rename = || fs::rename(&path, folder.0.join("other")).expect("a rename");
        let replace = || {
            fs::write(folder.0.join("new"), "").expect("a file");
            fs::rename(folder.0.join("new"), &path).expect("a rename");
        };
        let remove = || {
            let open = fs::File::open(&path).expect("a file");
            fs::remove_file(&path).expect("removed");
            std::mem::forget(open);
        };
        let empty = || write("");
        let (path_, content) = (Wants::Path, Wants::Content);
        type Case<'a> = (&'a str, Wants, Change, &'a str, &'a dyn Fn(), bool);
        let cases: [Case<'_>; 8] = [
            ("filled", content, Change::Begin, "", &append, true),
            ("gone", path_, Change::End, "x", &remove, true),
            ("renamed", path_, Change::End, "x", &rename, true),
            (
                "grown, and still there",
                path_,
                Change::End,
                "",
                &append,
                false,
            ),
            ("emptied", content, Change::End, "x", &empty, true),
            (
                "replaced by an empty one",
                content,
                Change::End,
                "x",
                &replace,
                true,
            ),
            (
                "without content, and gone",
                content,
                Change::End,
                "x",
                &remove,
                true,
            ),
            ("grown", content, Change::End, "x", &append, false),
        ];
        for (what, wants, change, before, step, wakes) in cases {
            write(before);
            let mut watcher = watcher();
            let (first, second) = {
                let found = || look_up(&path, wants, change, Some(&watcher.inotify)).watch;
                (found(), found())
            };
            assert!(first.is_some() && first == second, "{what}");
            assert!(!watcher.keep(7, first), "{what}");
            assert!(watcher.keep(7, second), "{what}");
            step();
            assert_eq!(watcher.woken().contains(&7), wakes, "{what}");
        }
    }

    /// The watches that the kernel has of this instance (proc_pid_fdinfo(5)).
    fn kernels(watcher: &Watcher) -> usize {
        let fd = watcher.inotify.as_fd().as_raw_fd();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("its info");
        info.matches("inotify wd:").count()
    }

    #[test]
    fn a_watch_is_removed_with_its_first_report_and_added_by_the_next_look_up() {
        let folder = Folder::new("removed");
        let mut watcher = watcher();
        let paths = [folder.0.join("a"), folder.0.join("b")];
        let look = |path: &PathBuf| {
            look_up(path, Wants::Path, Change::Begin, Some(&watcher.inotify)).watch
        };
        let found = paths.each_ref().map(look);
        for (index, found) in found.into_iter().enumerate() {
            watcher.keep(index, found);
        }
        fs::write(&paths[0], "").expect("a file");
        assert_eq!(watcher.woken(), [0]);
        assert_eq!(kernels(&watcher), 1, "the other check needs the same watch");
        assert_eq!(watcher.forgotten, None);
        fs::write(&paths[1], "").expect("a file");
        assert_eq!(watcher.woken(), [1]);
        assert_eq!(kernels(&watcher), 0);
        assert!(watcher.forgotten.is_some());
        fs::remove_file(&paths[1]).expect("the file");
        let again = || {
            look_up(
                &paths[1],
                Wants::Path,
                Change::Begin,
                Some(&watcher.inotify),
            )
            .watch
        };
        let (first, second) = (again(), again());
        assert_eq!(kernels(&watcher), 1);
        assert!(
            !watcher.keep(1, first),
            "the file may have come and gone without a watch"
        );
        assert!(watcher.keep(1, second));
        watcher.clear();
        assert_eq!(kernels(&watcher), 0);
    }

    #[test]
    fn a_path_through_a_symbolic_link_is_not_watched() {
        let folder = Folder::new("link");
        fs::create_dir(folder.0.join("real")).expect("a folder");
        std::os::unix::fs::symlink(folder.0.join("real"), folder.0.join("link")).expect("a link");
        assert!(is_plain(&folder.0.join("real")) && !is_plain(&folder.0.join("link")));
        let watcher = watcher();
        std::os::unix::fs::symlink(folder.0.join("gone"), folder.0.join("dangling"))
            .expect("a link");
        for path in ["link/ready", "dangling"] {
            assert!(
                watch(&watcher.inotify, &folder.0.join(path)).is_none(),
                "{path}"
            );
        }
    }
}
