//! The file `round` of the volume, which only a reset writes, and what a reset removes.

use super::lock::{PATIENCE, RETRY, own_uid, system_error};
use super::record::{create, random, read_up_to};
use super::volume::Volume;
use crate::core::errno::Errno;
use crate::core::member::Name;
use crate::core::record::Unreadable;
use crate::core::round::{Found, LONGEST_ROUND, Round};
use crate::core::volume_error::{Operation, VolumeError};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

/// Its name has no dot, so it is not a member's file.
const FILE: &str = "round";
/// A copy that is not renamed yet. Its name begins with a dot, so it is not a member's file.
const UNFINISHED: &str = ".round.";

impl Volume {
    /// Reads the file. `None` if there is none, or if it is another pod's.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn round(&self) -> Result<Option<Round>, VolumeError> {
        let path = self.path().join(FILE);
        let read = read_up_to(&path, LONGEST_ROUND).and_then(|bytes| Round::decode(&bytes));
        match read {
            Ok(round) => Ok(Some(round).filter(|round| round.host == self.host())),
            Err(Unreadable::System(Errno::ENOENT)) => Ok(None),
            Err(why) => Err(VolumeError::Unreadable { path, why }),
        }
    }

    /// Replaces the file, so that it is whole also after a crash of the node.
    ///
    /// # Errors
    /// It cannot be written. The old one is unchanged.
    pub(crate) fn write_round(&self, round: &Round) -> Result<(), VolumeError> {
        let target = self.path().join(FILE);
        self.sweep_unfinished();
        let path = self.path().join(format!("{UNFINISHED}{:016x}", random()));
        let written = create(&path).and_then(|mut file| {
            file.write_all(round.encode().as_bytes())?;
            file.sync_all()?;
            fs::rename(&path, &target)
        });
        written.map_err(|error| {
            let _ = fs::remove_file(&path);
            system_error(Operation::Write, &target, Errno::of(&error))
        })
    }

    /// Removes what a reset left that was killed while it wrote.
    fn sweep_unfinished(&self) {
        let entries = fs::read_dir(self.path()).into_iter().flatten().flatten();
        for file in entries.map(|entry| entry.file_name()) {
            if file.to_str().is_some_and(|it| it.starts_with(UNFINISHED)) {
                let _ = fs::remove_file(self.path().join(file));
            }
        }
    }

    /// The members of this pod that have files, in the order of their names.
    ///
    /// # Errors
    /// The volume cannot be read, or a member cannot be observed now.
    pub(crate) fn left(&self) -> Result<Vec<Found>, VolumeError> {
        let files = self
            .files()
            .map_err(|error| system_error(Operation::Open, self.path(), Errno::of(&error)))?;
        let mut members = Vec::new();
        for (name, files) in files {
            let is_alive = self.lives(&name)?;
            // A member that starts has the record of its last incarnation, which a look leaves out.
            let record = match self.record(&name) {
                Some(Err(why @ Unreadable::System(_))) => {
                    let path = self.record_path(&name);
                    return Err(VolumeError::Unreadable { path, why });
                }
                record => record.and_then(Result::ok),
            };
            let is_foreign = record.as_ref().is_some_and(|it| it.host != self.host());
            members.push(Found {
                name,
                is_alive,
                incarnation: record.filter(|_| !is_foreign).map(|it| it.incarnation),
                has_files: !is_foreign && !files.is_empty(),
            });
        }
        Ok(members)
    }

    /// Removes the files of a member, but not its lock file, if it is dead. `false` if it is alive.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub(crate) fn remove(&self, name: &Name) -> Result<bool, VolumeError> {
        let all = self
            .files()
            .map_err(|error| system_error(Operation::Open, self.path(), Errno::of(&error)))?;
        // It may have started in the meantime.
        if self.lives(name)? {
            return Ok(false);
        }
        let files = all.into_iter().find(|(other, _)| other == name);
        for path in files.into_iter().flat_map(|(_, files)| files) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(VolumeError::NotRemoved {
                        owner: fs::symlink_metadata(&path).map_or(0, |found| found.uid()),
                        uid: own_uid(),
                        path,
                        errno: Errno::of(&error),
                    });
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(true)
    }

    /// Whether the process of a member is alive. The kernel frees the lock and the socket of a
    /// process that dies a moment apart, so a socket alone is asked for again.
    fn lives(&self, name: &Name) -> Result<bool, VolumeError> {
        let start = Instant::now();
        loop {
            let found = self.look(name).ok_or_else(|| VolumeError::NotObserved {
                path: self.record_path(name),
            })?;
            let is_alive = self.is_alive(&found);
            if !is_alive || found.is_held || start.elapsed() >= PATIENCE {
                return Ok(is_alive);
            }
            thread::sleep(RETRY);
        }
    }

    /// The files of each member that a new round removes, the record first. A member with only a
    /// lock file has none.
    fn files(&self) -> io::Result<Vec<(Name, Vec<PathBuf>)>> {
        let mut all: Vec<(Name, Vec<PathBuf>)> = Vec::new();
        for entry in fs::read_dir(self.path())? {
            let file = entry?.file_name();
            let Some((name, kind)) = file.to_str().and_then(|it| it.split_once('.')) else {
                continue;
            };
            let Ok(name) = Name::parse(name) else {
                continue;
            };
            if !matches!(kind, "lock" | "record") && !is_removed(kind) {
                continue;
            }
            let index = all.partition_point(|(other, _)| *other < name);
            if all.get(index).is_none_or(|(other, _)| *other != name) {
                all.insert(index, (name, Vec::new()));
            }
            if let Some((_, files)) = all.get_mut(index) {
                match kind {
                    "lock" => {}
                    "record" => files.insert(0, self.path().join(&file)),
                    _ => files.push(self.path().join(&file)),
                }
            }
        }
        Ok(all)
    }
}

fn is_removed(kind: &str) -> bool {
    kind == "acted" || kind.starts_with("next.") || kind.starts_with("quit.")
}
