//! The shared volume: where the members of a pod meet (P6). Files and locks; what they mean is `core`'s business.
//!
//! | file | writer | what |
//! | --- | --- | --- |
//! | `NAME.lock` | NAME | holds an exclusive OFD lock from before it says anything until it is dead: on all of it until its record is its own, then on the first byte. Never removed |
//! | `NAME.record` | NAME | its state, replaced by rename(2) |
//! | `NAME.acted` | NAME | the failures that it has acted on; survives its restarts |
//! | `NAME.next.ID.N` | NAME | space kept for the records to come |
//! | `NAME.quit.ID.ASKER` | who asks | a request to incarnation ID of NAME; being there is all that it says |
//!
//! No name holds a dot, so no two members' files meet. Observers need nothing but to read: `F_OFD_GETLK` tells of a lock without
//! touching it, on a descriptor that is open for reading only (fcntl(2)).

mod membership;
pub(crate) mod watch;

pub(crate) use membership::{Own, Refusal, Statement};

use crate::core::member::Name;
use crate::core::observation::Snapshot;
#[cfg(test)]
use crate::core::observation::{Observation, observe};
use crate::core::record::{LONGEST, Record, Unreadable};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::sys::stat::Mode;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The mode of what others read, whatever the umask.
const MODE: u32 = 0o644;

/// May `--dir` be a directory on the container's own root file system?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// No: then every container has another one.
    Refused,
    /// Yes: `--allow-plain-dir`, for a laptop.
    Allowed,
}

/// How often a member is looked at that changes meanwhile.
const LOOKS: usize = 8;

/// A volume, to look at.
#[derive(Debug)]
pub(crate) struct Volume {
    path: PathBuf,
    host: String,
}

impl Volume {
    /// Opens it for looking. Nothing is written.
    ///
    /// # Errors
    /// It is not there, no directory, or no volume: the cause, and what to do.
    pub(crate) fn open(path: &Path, plain: Plain) -> Result<Self, String> {
        let folder = fs::metadata(path).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                return "it is not there; mount one emptyDir at this path in every container that takes part"
                    .to_owned();
            }
            format!("{error}; see the volume's mount")
        })?;
        if !folder.is_dir() {
            return Err(
                "it is no directory; mount one emptyDir at this path in every container that takes part".to_owned()
            );
        }
        if plain == Plain::Refused && is_plain(path) == Some(true) {
            return Err("it is no volume but a directory of this container's own root file system, which no other container sees; mount one \
                 emptyDir there in every container that takes part, or say --allow-plain-dir if all run in one file system"
                .to_owned());
        }
        let host = nix::unistd::gethostname()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // A record is lines of text.
        let host = host
            .split(|letter: char| letter.is_whitespace() || letter.is_control())
            .collect::<Vec<_>>()
            .join("-");
        Ok(Self {
            path: path.to_owned(),
            host: if host.is_empty() {
                "-".to_owned()
            } else {
                host
            },
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The host name that records of this pod carry.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    fn file(&self, name: &Name, kind: &str) -> PathBuf {
        self.path.join(format!("{name}.{kind}"))
    }

    /// The file of a member's record, for messages.
    pub(crate) fn record_path(&self, name: &Name) -> PathBuf {
        self.file(name, "record")
    }

    /// Looks at a member. `None`: one cannot look just now (no descriptor, no memory, an error of the disk). That is no news of it, least of
    /// all of its death.
    pub(crate) fn look(&self, name: &Name) -> Option<Snapshot> {
        let lock = self.file(name, "lock");
        let mut record = self.record(name);
        let mut cause = None;
        for _ in 0..LOOKS {
            let hold = match hold(&lock) {
                Ok(hold) => hold,
                Err(errno) => {
                    cause = Some(errno);
                    continue;
                }
            };
            cause = None;
            // Who publishes its end and dies between the two looks is not lost: a lock goes with a record that was the same before and
            // after it.
            let after = self.record(name);
            if after == record {
                // Who takes the whole file has not written its record yet: what is there is its earlier incarnation's.
                let record = if hold == Hold::Whole { None } else { record };
                return Some(Snapshot {
                    record,
                    is_held: hold != Hold::Free,
                });
            }
            record = after;
        }
        // It changes faster than one can look: somebody lives.
        cause.is_none().then_some(Snapshot {
            record,
            is_held: true,
        })
    }

    /// What `look` means here.
    #[cfg(test)]
    pub(crate) fn observe(&self, name: &Name) -> Option<Observation> {
        self.look(name).map(|found| observe(&found, &self.host))
    }

    /// Every name that has a record or a lock here.
    ///
    /// # Errors
    /// The volume cannot be read.
    pub(crate) fn names(&self) -> io::Result<Vec<Name>> {
        let entries = fs::read_dir(&self.path)?;
        let name = |file: &OsStr| {
            let (name, kind) = file.to_str()?.split_once('.')?;
            if matches!(kind, "record" | "lock") {
                Name::parse(name).ok()
            } else {
                None
            }
        };
        let mut names: Vec<Name> = entries
            .flatten()
            .filter_map(|entry| name(&entry.file_name()))
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn record(&self, name: &Name) -> Option<Result<Record, Unreadable>> {
        let bytes = match read(&self.record_path(name)) {
            Ok(bytes) => bytes,
            Err(Unreadable::System(cause)) if cause == Errno::ENOENT.desc() => return None,
            Err(error) => return Some(Err(error)),
        };
        let record = Record::decode(&bytes);
        Some(match record {
            Ok(record) if record.name != *name => {
                Err(Unreadable::Garbage("it is another member's"))
            }
            Ok(_) | Err(_) => record,
        })
    }

    /// Asks an incarnation of a member to end.
    ///
    /// # Errors
    /// The request cannot be written.
    pub(crate) fn ask(&self, name: &Name, id: u64) -> io::Result<Request> {
        let path = self.file(name, &format!("quit.{id:016x}.{:016x}", random()));
        create(&path)?;
        Ok(Request(path))
    }
}

/// A request, taken back when it is dropped.
#[derive(Debug)]
pub(crate) struct Request(PathBuf);

impl Drop for Request {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes a new file that others can read.
fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::PermissionsExt;
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

/// Opens a file that a neighbour may have put there: no link is followed, and nothing blocks.
/// `None`: it is no regular file.
fn open_read(path: &Path) -> Result<Option<File>, Errno> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let errno = |error: io::Error| {
        error
            .raw_os_error()
            .map_or(Errno::UnknownErrno, Errno::from_raw)
    };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(errno)?;
    let is_file = file.metadata().map_err(errno)?.is_file();
    Ok(is_file.then_some(file))
}

/// Reads a small file.
fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    let opened = open_read(path).map_err(|errno| match errno == Errno::ELOOP {
        true => Unreadable::Garbage("it is a symbolic link"),
        false => Unreadable::System(errno.desc()),
    });
    let file = opened?.ok_or(Unreadable::Garbage("it is no regular file"))?;
    let mut bytes = Vec::new();
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|_| Unreadable::System("input/output error"))?;
    if bytes.len() > LONGEST {
        Err(Unreadable::Garbage("it is far too long"))
    } else {
        Ok(bytes)
    }
}

/// A lock on a whole file.
fn lock(kind: i32) -> libc::flock {
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

/// How much of a lock's file is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Nothing: nobody lives.
    Free,
    /// All of it: by one that has not written its record yet.
    Whole,
    /// The first byte: by one whose record is its own.
    First,
}

/// Does somebody hold it exclusively? Only who may write the file can, so a neighbour who may only read cannot seem alive.
///
/// # Errors
/// One cannot look. What is not there or is no regular file is no member's lock, and free.
fn hold(path: &Path) -> Result<Hold, Errno> {
    let file = match open_read(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(Hold::Free),
        // A device or a socket in its place, a link, a folder in the place of the volume.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENXIO | Errno::ELOOP) => return Ok(Hold::Free),
        Err(errno) => return Err(errno),
    };
    let mut asked = lock(libc::F_RDLCK);
    let free = i16::try_from(libc::F_UNLCK).unwrap_or_default();
    match fcntl(&file, FcntlArg::F_OFD_GETLK(&mut asked)) {
        Ok(_) if asked.l_type == free => Ok(Hold::Free),
        // A length of 0 is: to the end, however long the file becomes.
        Ok(_) if asked.l_len == 0 => Ok(Hold::Whole),
        Ok(_) => Ok(Hold::First),
        // A file system that keeps no locks: nobody holds one there.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => Ok(Hold::Free),
        Err(errno) => Err(errno),
    }
}

/// A number that nobody else has: std seeds its hashers from getrandom(2).
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Is `path` on the same mount as `/`? `None` where the kernel does not tell. By mount id (proc(5), fdinfo), because a volume may be a
/// directory of the same device.
pub(crate) fn is_plain(path: &Path) -> Option<bool> {
    let root = Path::new("/");
    match (mount_id(path), mount_id(root)) {
        (Some(own), Some(root)) => Some(own == root),
        // Without /proc. A volume has another device than the container's own root file system, which is an overlay.
        (_, _) => Some(fs::metadata(path).ok()?.dev() == fs::metadata(root).ok()?.dev()),
    }
}

/// Which mount a path is on.
pub(crate) fn mount_id(path: &Path) -> Option<u64> {
    // Not by std: it takes O_PATH away, which musl counts as a part of O_ACCMODE, and then a right to read is needed.
    let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    line.trim().parse().ok()
}

/// This container: the inode of its mount namespace; 0 where the kernel does not tell.
pub(crate) fn container() -> u64 {
    fs::metadata("/proc/self/ns/mnt").map_or(0, |found| found.ino())
}

#[cfg(test)]
mod tests {
    use super::{Own, Plain, Statement, Volume, lock};
    use crate::core::member::{Name, Stage};
    use crate::core::observation::{End, Observation};
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    use std::fs::{self, OpenOptions};
    use std::path::PathBuf;
    use std::rc::Rc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("podgate-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }

        fn volume(&self) -> Rc<Volume> {
            Rc::new(Volume::open(&self.0, Plain::Allowed).expect("a volume"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn name() -> Name {
        Name::parse("main").expect("a name")
    }

    fn take(volume: &Rc<Volume>) -> Own {
        Own::take(
            volume,
            Statement {
                name: name(),
                policy: None,
                is_joined: false,
            },
        )
        .expect("the name")
    }

    #[test]
    fn the_last_failures_that_were_acted_on_are_remembered_across_restarts_and_no_more() {
        let folder = Folder::new("acted");
        let volume = folder.volume();
        for restart in 0..100 {
            let mut own = take(&volume);
            own.remember(&[2 * restart, 2 * restart + 1])
                .expect("a memory");
            own.exit(3).expect("an end");
        }
        assert_eq!(take(&volume).acted(), (136..200).collect::<Vec<u64>>());
        let length = fs::metadata(folder.0.join("main.acted"))
            .expect("a file")
            .len();
        assert!(length < 2048, "{length} bytes");
    }

    #[test]
    fn a_life_is_seen_as_it_goes() {
        let folder = Folder::new("life");
        let volume = folder.volume();
        assert_eq!(volume.observe(&name()), Some(Observation::Absent));
        let mut own = take(&volume);
        let id = own.record().id;
        let alive = |stage| {
            Some(Observation::Alive {
                id: Some(id),
                stage: Some(stage),
            })
        };
        assert_eq!(volume.observe(&name()), alive(Stage::Waiting));
        own.publish(Stage::Ready).expect("a record");
        assert_eq!(volume.observe(&name()), alive(Stage::Ready));
        own.exit(3).expect("a record");
        assert_eq!(
            volume.observe(&name()),
            Some(Observation::Ended {
                id,
                end: End::Code(3),
                policy: None
            })
        );
        drop(own);
        let again = take(&volume);
        assert_eq!(again.record().incarnation, 2);
        drop(again);
        let id = volume
            .look(&name())
            .expect("a look")
            .record
            .expect("a record")
            .expect("a good one")
            .id;
        assert_eq!(
            volume.observe(&name()),
            Some(Observation::Ended {
                id,
                end: End::Lost,
                policy: None
            })
        );
        assert_eq!(
            fs::read_dir(&folder.0).expect("the volume").count(),
            6,
            "lock, record, and four kept by who was lost"
        );
        take(&volume).exit(0).expect("a record");
        assert_eq!(
            fs::read_dir(&folder.0).expect("the volume").count(),
            2,
            "swept by the next one"
        );
    }

    #[test]
    fn who_has_the_lock_and_no_record_of_its_own_is_not_what_the_old_record_says() {
        let folder = Folder::new("whole");
        let volume = folder.volume();
        take(&volume).publish(Stage::Ready).expect("a record");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(folder.0.join("main.lock"))
            .expect("the lock");
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock(libc::F_WRLCK))).expect("held as at a start");
        assert_eq!(
            volume.observe(&name()),
            Some(Observation::Alive {
                id: None,
                stage: None
            })
        );
    }

    #[test]
    fn who_cannot_look_sees_no_death() {
        let folder = Folder::new("look");
        let volume = folder.volume();
        let own = take(&volume);
        assert!(volume.look(&name()).is_some_and(|found| found.is_held));
        // A name that is too long stands for all that keeps one from looking (EMFILE, ENOMEM, EIO): it is not ENOENT.
        assert_eq!(
            super::hold(&folder.0.join("x".repeat(300))),
            Err(nix::errno::Errno::ENAMETOOLONG)
        );
        assert_eq!(
            super::hold(&folder.0.join("nobody.lock")),
            Ok(super::Hold::Free)
        );
        assert_eq!(
            super::hold(&folder.0.join("main.lock")),
            Ok(super::Hold::First)
        );
        drop(own);
        assert_eq!(
            super::hold(&folder.0.join("main.lock")),
            Ok(super::Hold::Free)
        );
    }

    #[test]
    fn who_publishes_its_end_and_dies_is_never_taken_for_lost() {
        let folder = Folder::new("dies");
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let volume = folder.volume();
                for _ in 0..300 {
                    let mut own = take(&volume);
                    own.publish(Stage::Ready).expect("a record");
                    own.exit(0).expect("a record");
                }
                is_over.store(true, Ordering::SeqCst);
            });
            let volume = folder.volume();
            let mut looks = 0_u32;
            while !is_over.load(Ordering::SeqCst) {
                let observation = volume.observe(&name());
                assert!(
                    !matches!(observation, Some(Observation::Ended { end: End::Lost, .. })),
                    "{observation:?}"
                );
                looks += 1;
            }
            assert!(looks > 100, "{looks} looks");
        });
    }
}
