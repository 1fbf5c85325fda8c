//! The shared volume: where the members of a pod meet (P6). Files and locks; `core` decides
//! what they mean.
//!
//! | file | writer | content |
//! | --- | --- | --- |
//! | `NAME.lock` | NAME | the lock, held from before the member writes anything until it is dead: on the whole file until its record is its own, then on the first byte. Never removed |
//! | `NAME.record` | NAME | its state, replaced by rename(2) |
//! | `NAME.acted` | NAME | the failures that it has acted on; survives its restarts |
//! | `NAME.next.ID.N` | NAME | space reserved for the records to come |
//! | `NAME.quit.ID.ASKER` | the asker | a request to incarnation ID of NAME; the file is empty |
//!
//! A name contains no dot, so files of two members never collide. Observers only need to read:
//! `F_OFD_GETLK` tests a lock without touching it, on a descriptor that is open for reading only
//! (fcntl(2)).

mod lock;
mod mount;
mod publish;
mod record;
pub(crate) mod watch;

pub(crate) use mount::{container, is_plain, mount_id};
pub(crate) use publish::{Membership, Statement};

use crate::core::errno::Errno as Number;
use crate::core::member::Name;
use crate::core::observation::Snapshot;
#[cfg(test)]
use crate::core::observation::{Observation, observe};
use crate::core::record::{Record, Unreadable};
use crate::core::volume_error::{DirError, Operation, VolumeError};
use lock::{Hold, hold};
use nix::unistd::geteuid;
use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

/// The mode of files that others read, whatever the umask.
const MODE: u32 = 0o644;

/// May `--dir` be a directory on the container's own root file system?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// No: every container would have another one.
    Refused,
    /// Yes: `--allow-plain-dir`, for a laptop.
    Allowed,
}

/// Why a member cannot take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A living member has the name; its record, if it can be read.
    Taken(Option<Box<Record>>),
    Volume(VolumeError),
}

/// How often one look at a member is repeated while its record changes.
const LOOKS: usize = 8;

/// A volume, open for looking.
#[derive(Debug)]
pub(crate) struct Volume {
    path: PathBuf,
    host: String,
}

impl Volume {
    /// Opens a volume for looking. Writes nothing.
    ///
    /// # Errors
    /// `path` is not a directory that members can meet on.
    pub(crate) fn open(path: &Path, plain: Plain) -> Result<Self, DirError> {
        let folder = fs::metadata(path).map_err(|error| match Number::of(&error) {
            Number::ENOENT => DirError::Missing,
            errno => DirError::System(errno),
        })?;
        if !folder.is_dir() {
            return Err(DirError::NotADirectory);
        }
        if plain == Plain::Refused && is_plain(path) == Some(true) {
            return Err(DirError::OnRootFileSystem);
        }
        let host = nix::unistd::gethostname()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // In a record the host name is one word on a line.
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

    /// Looks at a member. `None`: that is not possible now (no descriptor, no memory, a disk
    /// error), which says nothing about the member, and must not count as its death.
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
            // A member that publishes its end and dies between the two reads is not lost. So a lock
            // counts only with a record that was the same before and after it.
            let after = self.record(name);
            if after == record {
                // A member that holds the whole file has not written its record yet: the record is
                // that of its earlier incarnation.
                let record = if hold == Hold::Whole { None } else { record };
                return Some(Snapshot {
                    record,
                    is_held: hold != Hold::Free,
                });
            }
            record = after;
        }
        // The record changes faster than it can be read, so the member is alive.
        cause.is_none().then_some(Snapshot {
            record,
            is_held: true,
        })
    }

    /// What a look at a member means here.
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
        record::read_record(&self.record_path(name), name)
    }

    /// Requests an incarnation of a member to end.
    ///
    /// # Errors
    /// The request cannot be written.
    pub(crate) fn ask(&self, name: &Name, id: u64) -> io::Result<Request> {
        let path = self.file(name, &format!("quit.{id:016x}.{:016x}", random()));
        record::create(&path)?;
        Ok(Request(path))
    }
}

/// A request, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Request(PathBuf);

impl Drop for Request {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn system_error(operation: Operation, path: &Path, errno: Number) -> VolumeError {
    VolumeError::System {
        operation,
        path: path.to_owned(),
        errno,
        uid: own_uid(),
    }
}

fn own_uid() -> u32 {
    geteuid().as_raw()
}

/// A number that no other incarnation has: std seeds its hashers from getrandom(2).
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::lock::{Hold, hold, whole_file};
    use super::{Membership, Plain, Statement, Volume};
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

    fn take(volume: &Rc<Volume>) -> Membership {
        Membership::take(
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
    fn the_last_64_failures_that_were_acted_on_survive_restarts() {
        let folder = Folder::new("acted");
        let volume = folder.volume();
        for restart in 0..100 {
            let mut member = take(&volume);
            member
                .remember(&[2 * restart, 2 * restart + 1])
                .expect("a memory");
            member.exit(3).expect("an end");
        }
        assert_eq!(take(&volume).acted(), (136..200).collect::<Vec<u64>>());
        let length = fs::metadata(folder.0.join("main.acted"))
            .expect("a file")
            .len();
        assert!(length < 2048, "{length} bytes");
    }

    #[test]
    fn each_state_of_a_member_is_seen() {
        let folder = Folder::new("life");
        let volume = folder.volume();
        assert_eq!(volume.observe(&name()), Some(Observation::Absent));
        let mut member = take(&volume);
        let id = member.record().id;
        let alive = |stage| {
            Some(Observation::Alive {
                id: Some(id),
                stage: Some(stage),
            })
        };
        assert_eq!(volume.observe(&name()), alive(Stage::Waiting));
        member.publish(Stage::Ready).expect("a record");
        assert_eq!(volume.observe(&name()), alive(Stage::Ready));
        member.exit(3).expect("a record");
        assert_eq!(
            volume.observe(&name()),
            Some(Observation::Ended {
                id,
                end: End::Code(3),
                policy: None
            })
        );
        drop(member);
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
            "lock, record, and four spare files of the lost member"
        );
        take(&volume).exit(0).expect("a record");
        assert_eq!(
            fs::read_dir(&folder.0).expect("the volume").count(),
            2,
            "the next incarnation removes them"
        );
    }

    #[test]
    fn a_member_that_holds_the_lock_before_its_own_record_is_not_in_the_state_of_the_old_one() {
        let folder = Folder::new("whole");
        let volume = folder.volume();
        take(&volume).publish(Stage::Ready).expect("a record");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(folder.0.join("main.lock"))
            .expect("the lock");
        fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK)))
            .expect("held as at a start");
        assert_eq!(
            volume.observe(&name()),
            Some(Observation::Alive {
                id: None,
                stage: None
            })
        );
    }

    #[test]
    fn an_observer_that_cannot_look_sees_no_death() {
        let folder = Folder::new("look");
        let volume = folder.volume();
        let member = take(&volume);
        assert!(volume.look(&name()).is_some_and(|found| found.is_held));
        // ENAMETOOLONG stands for all that keeps an observer from looking (EMFILE, ENOMEM, EIO).
        assert_eq!(
            hold(&folder.0.join("x".repeat(300))),
            Err(nix::errno::Errno::ENAMETOOLONG)
        );
        assert_eq!(hold(&folder.0.join("nobody.lock")), Ok(Hold::Free));
        assert_eq!(hold(&folder.0.join("main.lock")), Ok(Hold::First));
        drop(member);
        assert_eq!(hold(&folder.0.join("main.lock")), Ok(Hold::Free));
    }

    #[test]
    fn a_member_that_publishes_its_end_and_dies_is_never_seen_as_lost() {
        let folder = Folder::new("dies");
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let volume = folder.volume();
                for _ in 0..300 {
                    let mut member = take(&volume);
                    member.publish(Stage::Ready).expect("a record");
                    member.exit(0).expect("a record");
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
