//! A member's own part of the volume: its lock, its record, the space for the records to come, and what it remembers.

use super::{Hold, MODE, Volume, create, hold, lock, random, read};
use crate::core::exit::Exit;
use crate::core::member::{Name, Policy, Stage};
use crate::core::record::{LONGEST, Record, Stamp, Times, decode_acted, encode_acted};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::unistd::geteuid;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a lock that is held at the start is waited for: the old container may be dying.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is tried.
const RETRY: Duration = Duration::from_millis(5);
/// How many records may come after the first: running, ready, exited; and one memory of failures.
const SPARES: usize = 4;
/// How many failures are remembered: the latest ones. Older incarnations are gone for good.
const REMEMBERED: usize = 64;

/// Why a member cannot take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Somebody alive has the name: who, if its record tells.
    Taken(Option<Box<Record>>),
    /// The volume will not do: the cause, and what to do.
    Volume(String),
}

/// What a member states when it starts.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// Its name.
    pub(crate) name: Name,
    /// Its restart policy, if it knows.
    pub(crate) policy: Option<Policy>,
    /// Is it `join`'s?
    pub(crate) is_joined: bool,
}

/// A member's own part.
#[derive(Debug)]
pub(crate) struct Own {
    volume: Rc<Volume>,
    /// Held until the process is dead; never written to.
    lock: File,
    record: Record,
    spares: Vec<PathBuf>,
    acted: Vec<u64>,
}

impl Own {
    /// Takes the name: lock, then a new incarnation's record, then the space for those to come.
    ///
    /// # Errors
    /// Somebody alive has the name, or the volume will not do. Then nothing of another's was changed.
    pub(crate) fn take(volume: &Rc<Volume>, statement: Statement) -> Result<Self, Refusal> {
        let Statement {
            name,
            policy,
            is_joined,
        } = statement;
        let lock = take_lock(volume, &name)?;
        mine(&volume.record_path(&name)).map_err(Refusal::Volume)?;
        let before = volume
            .record(&name)
            .and_then(Result::ok)
            .filter(|record| record.host == volume.host);
        let acted = match &before {
            // Another pod's memory is not ours.
            None => Vec::new(),
            Some(_) => read(&volume.file(&name, "acted"))
                .map(|bytes| decode_acted(&bytes))
                .unwrap_or_default(),
        };
        let record = Record {
            incarnation: before
                .map_or(0, |record| record.incarnation)
                .saturating_add(1),
            id: random(),
            host: volume.host.clone(),
            container: super::container(),
            uid: geteuid().as_raw(),
            policy,
            is_joined,
            stage: Stage::Waiting,
            exit: None,
            times: Times {
                waiting: Some(now()),
                ..Times::default()
            },
            name,
        };
        let mut own = Self {
            volume: Rc::clone(volume),
            lock,
            record,
            spares: Vec::new(),
            acted,
        };
        own.sweep();
        own.write("record", &own.record.encode())
            .map_err(|error| own.refusal("written", &error))?;
        own.narrow()
            .map_err(|error| own.refusal("said to be this one's", &error))?;
        for _ in 0..SPARES {
            let kept = own
                .keep()
                .map_err(|error| own.refusal("given space for its last record", &error));
            match kept {
                Ok(path) => own.spares.push(path),
                Err(refusal) => {
                    if own.record.is_joined {
                        // Its container has an end of its own.
                        own.sweep();
                    } else {
                        // That is an end, too: with what space there is, it is told. If there is none, the free lock says lost.
                        let _ = own.exit(Exit::Internal.code());
                    }
                    return Err(refusal);
                }
            }
        }
        Ok(own)
    }

    /// From now on the record is this incarnation's: lets go of all of the lock but its first byte.
    fn narrow(&self) -> io::Result<()> {
        let rest = libc::flock {
            l_start: 1,
            ..lock(libc::F_UNLCK)
        };
        fcntl(&self.lock, FcntlArg::F_OFD_SETLK(&rest))?;
        Ok(())
    }

    fn refusal(&self, what: &str, error: &io::Error) -> Refusal {
        let path = self.volume.record_path(&self.record.name);
        let remedy = match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC | Errno::EDQUOT) => {
                "the volume is full: free some space, or raise its sizeLimit"
            }
            Some(Errno::EROFS) => "mount the volume without readOnly in this container",
            Some(Errno::EACCES | Errno::EPERM) => {
                "see that this user may write to the volume (fsGroup, or an emptyDir)"
            }
            Some(Errno::EMFILE | Errno::ENFILE) => "raise the limit of open files (ulimit -n)",
            Some(Errno::EISDIR | Errno::ENOTEMPTY) => {
                "something else writes to the volume: remove that directory"
            }
            Some(_) | None => "see the volume's file system",
        };
        Refusal::Volume(format!("{path:?} cannot be {what}: {error}; {remedy}"))
    }

    /// Who this is.
    pub(crate) const fn record(&self) -> &Record {
        &self.record
    }

    /// The failures that an earlier incarnation has acted on.
    pub(crate) fn acted(&self) -> &[u64] {
        &self.acted
    }

    /// Publishes how far it is.
    ///
    /// # Errors
    /// It cannot be written. The lock still tells that it lives.
    pub(crate) fn publish(&mut self, stage: Stage) -> io::Result<()> {
        // The hook of `join` has told it before the process that stays does.
        if self.record.stage == stage && stage != Stage::Waiting {
            return Ok(());
        }
        self.record.stage = stage;
        let times = &mut self.record.times;
        match stage {
            Stage::Waiting => {}
            Stage::Running => times.running = Some(now()),
            Stage::Ready => {
                times.ready = Some(now());
                times.running = times.running.or(times.ready);
            }
        }
        self.write("record", &self.record.encode())
    }

    /// Notes that the stop began; the last record tells it.
    pub(crate) fn stopping(&mut self) {
        self.record.times.stopping.get_or_insert_with(now);
    }

    /// Publishes the end.
    ///
    /// # Errors
    /// It cannot be written. The free lock will still tell that it is dead.
    pub(crate) fn exit(&mut self, code: u8) -> io::Result<()> {
        self.record.exit = Some(code);
        self.record.times.exited = Some(now());
        let written = self.write("record", &self.record.encode());
        self.sweep();
        written
    }

    /// Remembers that these failures are acted on.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn remember(&mut self, ids: &[u64]) -> io::Result<()> {
        let new = ids
            .iter()
            .filter(|id| !self.acted.contains(id))
            .copied()
            .collect::<Vec<_>>();
        self.acted.extend(new);
        let from = self.acted.len().saturating_sub(REMEMBERED);
        self.acted.drain(..from);
        self.write("acted", &encode_acted(&self.acted))
    }

    /// Has somebody asked this incarnation to end?
    pub(crate) fn is_asked(&self) -> bool {
        let prefix = format!("{}.quit.{:016x}.", self.record.name, self.record.id);
        let Ok(entries) = fs::read_dir(&self.volume.path) else {
            return false;
        };
        // A request is a regular file, and nothing else.
        let is_one = |entry: &fs::DirEntry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(&prefix))
                && entry.file_type().is_ok_and(|kind| kind.is_file())
        };
        entries.flatten().any(|entry| is_one(&entry))
    }

    /// The descriptor of the lock, which a background process keeps.
    pub(crate) const fn lock(&self) -> &File {
        &self.lock
    }

    /// Replaces one of the member's files, in space that was kept if there is some: a full disk loses nothing.
    fn write(&mut self, kind: &str, text: &str) -> io::Result<()> {
        let target = self.volume.file(&self.record.name, kind);
        let kept = self.spares.pop().and_then(|path| {
            let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let file = OpenOptions::new()
                .write(true)
                .custom_flags(flags.bits())
                .open(&path)
                .ok()?;
            fill(&file, text)
                .and_then(|()| fs::rename(&path, &target))
                .ok()
        });
        if kept.is_some() {
            return Ok(());
        }
        let path = self.next();
        let file = create(&path)?;
        let written = fill(&file, text).and_then(|()| fs::rename(&path, &target));
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
        written
    }

    /// A file with space for a record.
    fn keep(&self) -> io::Result<PathBuf> {
        let path = self.next();
        let mut file = create(&path)?;
        // Written, not fallocated: not every file system can, and what is written is there.
        match file.write_all(&[b' '; LONGEST]) {
            Ok(()) => Ok(path),
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn next(&self) -> PathBuf {
        self.volume.file(
            &self.record.name,
            &format!("next.{:016x}.{:016x}", self.record.id, random()),
        )
    }

    /// Removes what this member or its earlier incarnations kept, and requests to those: they are dead.
    fn sweep(&mut self) {
        self.spares.clear();
        let Ok(entries) = fs::read_dir(&self.volume.path) else {
            return;
        };
        let (next, quit) = (
            format!("{}.next.", self.record.name),
            format!("{}.quit.", self.record.name),
        );
        let own = format!("{quit}{:016x}.", self.record.id);
        for file in entries.flatten().map(|entry| entry.file_name()) {
            let is_old = file.to_str().is_some_and(|file| {
                file.starts_with(&next) || (file.starts_with(&quit) && !file.starts_with(&own))
            });
            if is_old {
                let _ = fs::remove_file(self.volume.path.join(file));
            }
        }
    }
}

fn fill(mut file: &File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))
}

/// Takes the lock of a name, which is made if it is not there.
fn take_lock(volume: &Volume, name: &Name) -> Result<File, Refusal> {
    let path = volume.file(name, "lock");
    let patience = Instant::now();
    let mut file = open_lock(&path).map_err(Refusal::Volume)?;
    loop {
        let taken = fcntl(&file, FcntlArg::F_OFD_SETLK(&lock(libc::F_WRLCK)));
        match taken {
            // Somebody may have replaced the file meanwhile.
            Ok(_) if is_same(&file, &path) && hold(&path) != Ok(Hold::Free) => return Ok(file),
            Ok(_) if is_same(&file, &path) => {
                return Err(Refusal::Volume(format!(
                    "{path:?} is on a file system that keeps no locks; use an emptyDir, on disk or with medium: Memory"
                )));
            }
            Ok(_) | Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => {}
            Err(error) => {
                return Err(Refusal::Volume(format!(
                    "{path:?} cannot be locked: {}; use an emptyDir, on disk or with medium: Memory",
                    error.desc().to_lowercase()
                )));
            }
        }
        if patience.elapsed() >= PATIENCE {
            return Err(Refusal::Taken(
                volume.record(name).and_then(Result::ok).map(Box::new),
            ));
        }
        thread::sleep(RETRY);
        // Not opened anew as long as it is the same: each closing would wake those who watch for a death.
        if !is_same(&file, &path) {
            file = open_lock(&path).map_err(Refusal::Volume)?;
        }
    }
}

fn open_lock(path: &Path) -> Result<File, String> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    // First what is there: O_CREAT on another one's file is refused in a sticky directory (proc(5), protected_regular).
    let open = |is_new| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(is_new)
            .mode(MODE)
            .custom_flags(flags.bits())
            .open(path)
    };
    let opened = open(false).or_else(|error| match error.kind() == io::ErrorKind::NotFound {
        // Two may make it at the same time: then it is there.
        true => open(true).or_else(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                open(false)
            } else {
                Err(error)
            }
        }),
        false => Err(error),
    });
    let file = opened.map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES | Errno::EPERM) if fs::symlink_metadata(path).is_ok() => owners(path),
        Some(Errno::EACCES | Errno::EPERM) => format!(
            "{path:?} cannot be made by uid {}: {error}; see that this user may write to the volume (fsGroup, or an emptyDir)",
            geteuid()
        ),
        Some(Errno::EROFS) => {
            format!("{path:?} cannot be made: {error}; mount the volume without readOnly in this container")
        }
        Some(Errno::ENOSPC | Errno::EDQUOT) => {
            format!("{path:?} cannot be made: {error}; the volume is full: free some space, or raise its sizeLimit")
        }
        Some(Errno::EMFILE | Errno::ENFILE) => {
            format!("{path:?} cannot be opened: {error}; raise the limit of open files (ulimit -n)")
        }
        Some(Errno::ELOOP) => {
            format!("{path:?} is a symbolic link; something else writes to the volume: remove it")
        }
        Some(Errno::EISDIR) => format!("{path:?} is a directory; something else writes to the volume: remove it"),
        Some(_) | None => format!("{path:?} cannot be opened: {error}; see the volume's file system"),
    })?;
    match file.metadata() {
        Ok(found) if found.is_file() => {
            // Whatever the umask; another owner's file keeps its mode.
            if found.mode() & 0o777 != MODE {
                let _ = file.set_permissions(fs::Permissions::from_mode(MODE));
            }
            Ok(file)
        }
        Ok(_) => Err(format!(
            "{path:?} is no regular file; something else writes to the volume: remove it"
        )),
        Err(error) => Err(format!(
            "{path:?} cannot be looked at: {error}; see the volume's file system"
        )),
    }
}

/// May this user write what is there under the name of its own record?
fn mine(path: &Path) -> Result<(), String> {
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
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(owners(path)),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn owners(path: &Path) -> String {
    let owner = fs::symlink_metadata(path).map_or(0, |found| found.uid());
    format!(
        "{path:?} belongs to uid {owner}, and this is uid {}: has another container this --name, or did the container's user change? \
         give each container its own name, or keep runAsUser",
        geteuid()
    )
}

fn is_same(file: &File, path: &Path) -> bool {
    let there = fs::symlink_metadata(path);
    file.metadata().is_ok_and(|here| {
        there.is_ok_and(|there| (here.dev(), here.ino()) == (there.dev(), there.ino()))
    })
}

/// The wall clock, for people.
fn now() -> Stamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Stamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
