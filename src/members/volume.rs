//! A volume, open for observing: its members, and the state of each.

use super::lock::{Hold, hold, system_error};
use super::mount::is_plain;
use super::record::{create, random, read_record};
use super::socket::is_bound;
use crate::core::errno::Errno as Number;
use crate::core::member::Name;
use crate::core::observation::Snapshot;
#[cfg(test)]
use crate::core::observation::{Observation, observe};
use crate::core::plain_dir::Plain;
use crate::core::record::{Record, Unreadable};
use crate::core::volume_error::{DirError, Operation, VolumeError};
use std::cell::OnceCell;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How often an observation is repeated while the record of the member changes.
const LOOKS: usize = 8;

/// A volume, open for observing.
#[derive(Debug)]
pub(crate) struct Volume {
    path: PathBuf,
    host: String,
    /// The name that this process has taken.
    own: OnceCell<Name>,
}

impl Volume {
    /// Opens a volume for observing. Writes nothing.
    ///
    /// # Errors
    /// `path` is not a directory where members can meet.
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
        // In a record, the host name is one word on a line.
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
            own: OnceCell::new(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The host name that records of this pod carry.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn set_own(&self, name: &Name) {
        self.own.get_or_init(|| name.clone());
    }

    pub(crate) fn own(&self) -> Option<&Name> {
        self.own.get()
    }

    pub(super) fn file(&self, name: &Name, kind: &str) -> PathBuf {
        self.path.join(format!("{name}.{kind}"))
    }

    /// The file of a member's record, for messages.
    pub(crate) fn record_path(&self, name: &Name) -> PathBuf {
        self.file(name, "record")
    }

    /// Reads the signs of life and the record of a member. `None` if that is not possible now (no
    /// descriptor, no memory, a disk error). That must not count as the member's death.
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
            // A socket is asked for only where it can tell more than the lock.
            let is_bound = hold == Hold::Free
                && matches!(&record, Some(Ok(record)) if self.may_be_alive(record));
            // A member may publish its end and die between the two reads, and is not lost then. So
            // its signs count only if the record was the same before and after them.
            let after = self.record(name);
            if after == record {
                // A member that holds the whole file has not written its record yet. The record is
                // from its earlier incarnation.
                let record = if hold == Hold::Whole { None } else { record };
                return Some(Snapshot {
                    record,
                    is_held: hold != Hold::Free,
                    is_bound,
                });
            }
            record = after;
        }
        // The record changes faster than it can be read, so the member lives.
        cause.is_none().then_some(Snapshot {
            record,
            is_held: true,
            is_bound: false,
        })
    }

    /// Whether the member of a record has its socket, and has not published its end.
    fn may_be_alive(&self, record: &Record) -> bool {
        record.exit.is_none() && self.has_socket(record)
    }

    /// Whether the process of a member is alive, which it may be for a while after its end was
    /// published.
    pub(crate) fn is_alive(&self, found: &Snapshot) -> bool {
        let record = found.record.as_ref().and_then(|it| it.as_ref().ok());
        found.is_alive() || record.is_some_and(|record| self.has_socket(record))
    }

    /// Whether the incarnation of a record has its socket. A record of another host has none here.
    pub(crate) fn has_socket(&self, record: &Record) -> bool {
        record.host == self.host && is_bound(record.id)
    }

    /// The state of a member, from its lock and its record.
    #[cfg(test)]
    pub(crate) fn observe(&self, name: &Name) -> Option<Observation> {
        self.look(name).map(|found| observe(&found, &self.host))
    }

    /// The names that have a record or a lock file on this volume, in order.
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
        let mut names: Vec<Name> = Vec::new();
        for name in entries.flatten().filter_map(|it| name(&it.file_name())) {
            if let Err(index) = names.binary_search(&name) {
                names.insert(index, name);
            }
        }
        Ok(names)
    }

    pub(super) fn record(&self, name: &Name) -> Option<Result<Record, Unreadable>> {
        read_record(&self.record_path(name), name)
    }

    /// Asks an incarnation of a member to quit.
    ///
    /// # Errors
    /// The request cannot be written.
    pub(crate) fn ask(&self, name: &Name, id: u64) -> Result<Request, VolumeError> {
        let path = self.file(name, &format!("quit.{id:016x}.{:016x}", random()));
        create(&path)
            .map_err(|error| system_error(Operation::Create, &path, Number::of(&error)))?;
        Ok(Request(path))
    }
}

/// A request to quit. It is withdrawn when this is dropped.
#[derive(Debug)]
pub(crate) struct Request(PathBuf);

impl Drop for Request {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
