//! The shared volume: why it cannot be used, and what to do about it.

use super::{LogEvent, Message, Severity};
use crate::core::errno::Errno;
use crate::core::member::Name;
use crate::core::observation::Sign;
use crate::core::record::{Garbage, Record, Unreadable, VERSION};
use crate::core::volume_error::{DirError, Intruder, MembershipError, Operation, VolumeError};
use std::path::Path;

const MOUNT_ONE: &str = "mount one emptyDir at this path in every container that takes part";
const PLAIN_DIR: &str = "set --allow-plain-dir if all run in one file system";
const USE_EMPTY_DIR: &str = "use an emptyDir, on disk or with medium: Memory";
pub(super) const SHARE_LOCKS: &str =
    "use an emptyDir with medium: Memory, and with gVisor also its mount annotations";

/// Why `--dir` cannot be used, and the remedy.
pub fn dir_error(error: DirError) -> String {
    match error {
        DirError::Missing => {
            format!("it does not exist; {MOUNT_ONE}, or create it and {PLAIN_DIR}")
        }
        DirError::NotADirectory => format!("it is not a directory; {MOUNT_ONE}"),
        DirError::OnRootFileSystem => format!(
            "it is not a volume but a directory of this container's own root file system, which no \
             other container sees; {MOUNT_ONE}, or {PLAIN_DIR}"
        ),
        DirError::System(errno) => format!("{errno}; check the volume's mount"),
    }
}

/// What failed for a member's file, why, and the remedy.
pub fn volume_error(error: &VolumeError) -> String {
    match error {
        VolumeError::System {
            operation,
            path,
            errno,
            uid,
        } => {
            let what = match operation {
                Operation::Create => format!("cannot create {path:?} as uid {uid}"),
                Operation::Open => format!("cannot open {path:?} as uid {uid}"),
                Operation::Inspect => format!("cannot read the kind of {path:?}"),
                Operation::Lock => format!("cannot lock {path:?}"),
                Operation::Narrow => format!("cannot narrow the lock of {path:?}"),
                Operation::Write => format!("cannot write {path:?}"),
                Operation::Reserve => {
                    format!("cannot reserve space for the last record of {path:?}")
                }
            };
            format!("{what}: {errno}; {}", remedy(*operation, *errno))
        }
        VolumeError::NotAFile { path, found } => {
            let found = match found {
                Intruder::Symlink => "a symbolic link",
                Intruder::Directory => "a directory",
                Intruder::Special => "not a regular file",
            };
            format!("{path:?} is {found}; remove it: something else writes to the volume")
        }
        VolumeError::OwnedByOther { path, owner, uid } => format!(
            "{path:?} belongs to uid {owner}, and this is uid {uid}; give each container its own \
             --name, or keep runAsUser as it was"
        ),
        VolumeError::Unreadable { path, why } => match why {
            Unreadable::Garbage(what) => format!(
                "{path:?} is not a file of podgate reset: {}; remove it: something else writes to \
                 the volume",
                garbage(*what)
            ),
            Unreadable::Newer(_) | Unreadable::System(_) => {
                format!("{path:?} {}", unreadable(*why))
            }
        },
        VolumeError::NotObserved { path } => format!(
            "{path:?} cannot be read now, so it is not known whether its member is alive; check \
             the limit of open files and the volume's file system"
        ),
        VolumeError::NotRemoved {
            path,
            owner,
            uid,
            errno,
        } => {
            let remedy = match *errno {
                Errno::EACCES | Errno::EPERM => format!(
                    "run this container with runAsUser: {owner}, or use an emptyDir that this user \
                     may write to, without a sticky bit"
                ),
                errno => remedy(Operation::Write, errno).to_owned(),
            };
            format!("cannot remove {path:?} of uid {owner} as uid {uid}: {errno}; {remedy}")
        }
        VolumeError::KeepsNoLocks { path } => {
            format!("{path:?} is on a file system that keeps no locks; {USE_EMPTY_DIR}")
        }
    }
}

fn remedy(operation: Operation, errno: Errno) -> &'static str {
    match (errno, operation) {
        (Errno::ENOSPC | Errno::EDQUOT, _) => {
            "the volume is full: free some space, or raise its sizeLimit"
        }
        (Errno::EROFS, _) => "mount the volume without readOnly in this container",
        (Errno::EMFILE | Errno::ENFILE, _) => "raise the limit of open files (ulimit -n)",
        (_, Operation::Lock) => USE_EMPTY_DIR,
        (Errno::EACCES | Errno::EPERM, _) => {
            "check that this user may write to the volume (fsGroup, or an emptyDir)"
        }
        (Errno::EISDIR | Errno::ENOTEMPTY, _) => {
            "remove that directory: something else writes to the volume"
        }
        (
            _,
            Operation::Create
            | Operation::Open
            | Operation::Inspect
            | Operation::Narrow
            | Operation::Write
            | Operation::Reserve,
        ) => "check the volume's file system",
    }
}

/// Why a container cannot take part, or cannot look at members.
pub fn membership_error(error: &MembershipError) -> String {
    match error {
        MembershipError::NoDir => {
            "there are no members: --dir is none; set --dir /run/podgate".to_owned()
        }
        MembershipError::Dir { dir, error } => {
            format!("cannot use --dir {dir:?}: {}", dir_error(*error))
        }
        MembershipError::Volume { name, error } => {
            format!("cannot take part as {name}: {}", volume_error(error))
        }
        MembershipError::Taken {
            name,
            host,
            holder,
            by,
        } => match holder {
            Some(record) if record.host != *host => format!(
                "cannot take part as {name}: the {name} of another pod is alive on this volume \
                 (host {:?}, and this is {host:?}); give every pod its own volume",
                record.host
            ),
            holder => {
                let holder = holder.as_ref().map_or_else(String::new, |record| {
                    let since = record.times.waiting;
                    let since = since.map_or_else(String::new, |since| format!(", since {since}"));
                    format!(" (uid {}{since})", record.uid)
                });
                let (contradiction, remedy) = match by {
                    Sign::Lock => ("", String::new()),
                    Sign::Socket => (
                        ", although its lock is free here: locks are not shared between the \
                         containers",
                        format!(", and {SHARE_LOCKS}"),
                    ),
                };
                format!(
                    "cannot take part as {name}: another container of this pod is {name} and \
                     is alive{holder}{contradiction}; give each container its own --name{remedy}"
                )
            }
        },
    }
}

/// The locks of these living members are free, so locks are not shared between the containers: the
/// words after `not shared on`, with the remedy.
pub fn not_shared(dir: &Path, names: &[Name]) -> String {
    format!("{}; {SHARE_LOCKS}", signs(dir, names))
}

fn signs(dir: &Path, names: &[Name]) -> String {
    let list: Vec<&str> = names.iter().map(Name::as_str).collect();
    let list = list.join(", ");
    let (are, their, is) = match names {
        [_] => ("is alive (its socket exists)", "its lock", "is"),
        _ => ("are alive (their sockets exist)", "their locks", "are"),
    };
    format!("{dir:?}: {list} {are}, and {their} {is} free here")
}

/// The line about a volume on which locks are not shared. podgate continues with the other sign of
/// life.
pub fn contradiction(dir: &Path, name: &Name) -> Message {
    let text = format!(
        "locks are not shared on {}; {name} counts as alive until its socket is gone; \
         {SHARE_LOCKS}",
        signs(dir, std::slice::from_ref(name))
    );
    Message::new(Severity::Warning, LogEvent::Volume, text)
}

/// The line that ends a command which cannot use the volume.
pub fn failed(event: LogEvent, error: &MembershipError) -> Message {
    Message::new(Severity::Error, event, membership_error(error))
}

/// Why a neighbour can replace this binary, and the remedy.
pub fn replaceable(binary: &Path, is_on_members_volume: bool) -> String {
    if is_on_members_volume {
        format!(
            "{binary:?} lies on the volume where members meet, so that every member can replace \
             it; install it on a second volume, mounted readOnly here"
        )
    } else {
        format!(
            "{binary:?} lies on a volume that is mounted writable here, so that it can be \
             replaced; mount it readOnly: true in every container but the one that installs it"
        )
    }
}

/// The line about a binary that a neighbour can replace.
pub fn binary_is_replaceable(binary: &Path, is_on_members_volume: bool) -> Message {
    let text = replaceable(binary, is_on_members_volume);
    Message::new(Severity::Warning, LogEvent::Replaceable, text)
}

/// Why a record does not count: it cannot be read, or it is another pod's. `None`: it counts.
pub fn unusable_record(
    path: &Path,
    record: &Result<Record, Unreadable>,
    host: &str,
) -> Option<String> {
    match record {
        Err(error) => Some(format!("{path:?} {}", unreadable(*error))),
        Ok(record) if record.host != host => Some(format!(
            "{path:?} is another pod's (host {:?}, and this is {host:?}), and does not count; give \
             every pod its own volume",
            record.host
        )),
        Ok(_) => None,
    }
}

/// A record does not count, for the reason that [`unusable_record`] gave.
pub fn unusable(severity: Severity, cause: String) -> Message {
    Message::new(severity, LogEvent::Record, cause)
}

/// Why a record cannot be read, as the end of a sentence about its file.
pub fn unreadable(why: Unreadable) -> String {
    match why {
        Unreadable::Newer(version) => format!(
            "is of version {version}, newer than this podgate knows ({VERSION}); use the same \
             podgate in all containers"
        ),
        Unreadable::Garbage(what) => format!(
            "is not a record: {}; something else writes to the volume",
            garbage(what)
        ),
        Unreadable::System(errno) => format!("cannot be read: {}", errno.words()),
    }
}

const fn garbage(what: Garbage) -> &'static str {
    match what {
        Garbage::NotUtf8 => "it is not text",
        Garbage::NoVersion => "it does not begin with podgate: and a version",
        Garbage::VersionIsNotANumber => "its version is not a number",
        Garbage::BadLine => "a line is missing or wrong",
        Garbage::TooLong => "it is too long",
        Garbage::OtherName => "it names another member",
        Garbage::Symlink => "it is a symbolic link",
        Garbage::NotAFile => "it is not a regular file",
    }
}

/// The members of a volume cannot be listed.
pub fn cannot_list(dir: &Path, errno: Errno) -> Message {
    Message::new(
        Severity::Error,
        LogEvent::Volume,
        format!("cannot list {dir:?}: {errno}; check that this user may read it"),
    )
}

/// The state of a member cannot be read now: no descriptor, no memory, or a disk error.
pub fn cannot_observe(path: &Path, name: &Name) -> String {
    format!("{path:?} cannot be read now: the state of {name} is not known")
}

#[cfg(test)]
mod tests {
    use super::{
        binary_is_replaceable, contradiction, dir_error, membership_error, replaceable,
        unusable_record, volume_error,
    };
    use crate::core::errno::Errno;
    use crate::core::member::{Name, Stage};
    use crate::core::observation::Sign;
    use crate::core::record::tests::record;
    use crate::core::record::{Garbage, Record, Unreadable};
    use crate::core::volume_error::{DirError, Intruder, MembershipError, Operation, VolumeError};
    use crate::message::LogEvent;
    use std::path::{Path, PathBuf};

    fn path() -> PathBuf {
        PathBuf::from("/run/podgate/main.lock")
    }

    #[test]
    fn a_replaceable_binary_has_a_line() {
        let line = binary_is_replaceable(Path::new("/bin/podgate"), true);
        assert_eq!(line.event, LogEvent::Replaceable);
        assert_eq!(line.text, replaceable(Path::new("/bin/podgate"), true));
    }

    #[test]
    fn a_dir_that_is_not_a_volume_is_refused_with_a_remedy() {
        for (error, text) in [
            (
                DirError::Missing,
                "it does not exist; mount one emptyDir at this path in every container that takes \
                 part, or create it and set --allow-plain-dir if all run in one file system",
            ),
            (
                DirError::NotADirectory,
                "it is not a directory; mount one emptyDir at this path in every container that \
                 takes part",
            ),
            (
                DirError::OnRootFileSystem,
                "it is not a volume but a directory of this container's own root file system, \
                 which no other container sees; mount one emptyDir at this path in every container \
                 that takes part, or set --allow-plain-dir if all run in one file system",
            ),
            (
                DirError::System(Errno::EACCES),
                "Permission denied (os error 13); check the volume's mount",
            ),
        ] {
            assert_eq!(dir_error(error), text);
        }
    }

    #[test]
    fn a_system_error_names_operation_path_errno_and_remedy() {
        for (operation, errno, text) in [
            (
                Operation::Create,
                Errno::EACCES,
                "cannot create \"/run/podgate/main.lock\" as uid 7: Permission denied (os error \
                 13); check that this user may write to the volume (fsGroup, or an emptyDir)",
            ),
            (
                Operation::Create,
                Errno::EROFS,
                "cannot create \"/run/podgate/main.lock\" as uid 7: Read-only file system (os \
                 error 30); mount the volume without readOnly in this container",
            ),
            (
                Operation::Lock,
                Errno(37),
                "cannot lock \"/run/podgate/main.lock\": No locks available (os error 37); use an \
                 emptyDir, on disk or with medium: Memory",
            ),
            (
                Operation::Reserve,
                Errno::ENOSPC,
                "cannot reserve space for the last record of \"/run/podgate/main.lock\": No space \
                 left on device (os error 28); the volume is full: free some space, or raise its \
                 sizeLimit",
            ),
            (
                Operation::Write,
                // EFBIG: musl and glibc have the same words for it.
                Errno(27),
                "cannot write \"/run/podgate/main.lock\": File too large (os error 27); check the \
                 volume's file system",
            ),
        ] {
            let error = VolumeError::System {
                operation,
                path: path(),
                errno,
                uid: 7,
            };
            assert_eq!(volume_error(&error), text);
        }
    }

    #[test]
    fn a_file_that_is_something_else_is_named() {
        for (error, text) in [
            (
                VolumeError::NotAFile {
                    path: path(),
                    found: Intruder::Symlink,
                },
                "\"/run/podgate/main.lock\" is a symbolic link; remove it: something else writes \
                 to the volume",
            ),
            (
                VolumeError::OwnedByOther {
                    path: path(),
                    owner: 1000,
                    uid: 2000,
                },
                "\"/run/podgate/main.lock\" belongs to uid 1000, and this is uid 2000; give each \
                 container its own --name, or keep runAsUser as it was",
            ),
            (
                VolumeError::KeepsNoLocks { path: path() },
                "\"/run/podgate/main.lock\" is on a file system that keeps no locks; use an \
                 emptyDir, on disk or with medium: Memory",
            ),
        ] {
            assert_eq!(volume_error(&error), text);
        }
    }

    #[test]
    fn a_taken_name_is_reported_with_its_holder() {
        let name = Name::parse("main").expect("a name");
        let taken = |holder: Option<Record>| {
            membership_error(&MembershipError::Taken {
                name: name.clone(),
                host: "pod".to_owned(),
                holder: holder.map(Box::new),
                by: Sign::Lock,
            })
        };
        assert_eq!(
            taken(None),
            "cannot take part as main: another container of this pod is main and is alive; give \
             each container its own --name"
        );
        let holder = record(Stage::Running, None);
        assert_eq!(
            taken(Some(holder.clone())),
            "cannot take part as main: another container of this pod is main and is alive (uid \
             65532, since 2023-11-14T22:13:20.123Z); give each container its own --name"
        );
        let host = "elsewhere".to_owned();
        assert_eq!(
            taken(Some(Record { host, ..holder })),
            "cannot take part as main: the main of another pod is alive on this volume (host \
             \"elsewhere\", and this is \"pod\"); give every pod its own volume"
        );
    }

    #[test]
    fn locks_that_are_not_shared_are_named_with_the_remedy() {
        let name = Name::parse("main").expect("a name");
        let taken = membership_error(&MembershipError::Taken {
            name: name.clone(),
            host: "pod".to_owned(),
            holder: None,
            by: Sign::Socket,
        });
        assert_eq!(
            taken,
            "cannot take part as main: another container of this pod is main and is alive, \
             although its lock is free here: locks are not shared between the containers; give \
             each container its own --name, and use an emptyDir with medium: Memory, and with \
             gVisor also its mount annotations"
        );
        assert_eq!(
            contradiction(Path::new("/run/podgate"), &name).text,
            "locks are not shared on \"/run/podgate\": main is alive (its socket exists), and its \
             lock is free here; main counts as alive until its socket is gone; use an emptyDir \
             with medium: Memory, and with gVisor also its mount annotations"
        );
    }

    #[test]
    fn a_record_that_does_not_count_has_a_cause() {
        let path = Path::new("/v/main.record");
        let good = record(Stage::Running, None);
        assert_eq!(unusable_record(path, &Ok(good.clone()), "pod"), None);
        assert_eq!(
            unusable_record(path, &Ok(good), "here").as_deref(),
            Some(
                "\"/v/main.record\" is another pod's (host \"pod\", and this is \"here\"), and \
                 does not count; give every pod its own volume"
            )
        );
        for (why, text) in [
            (
                Unreadable::System(Errno::EACCES),
                "\"/v/main.record\" cannot be read: permission denied",
            ),
            (
                Unreadable::Newer(2),
                "\"/v/main.record\" is of version 2, newer than this podgate knows (1); use the \
                 same podgate in all containers",
            ),
            (
                Unreadable::Garbage(Garbage::Symlink),
                "\"/v/main.record\" is not a record: it is a symbolic link; something else \
                 writes to the volume",
            ),
        ] {
            assert_eq!(
                unusable_record(path, &Err(why), "pod").as_deref(),
                Some(text)
            );
        }
    }

    #[test]
    fn a_binary_that_can_be_replaced_has_a_remedy() {
        let binary = Path::new("/bin/podgate");
        assert!(replaceable(binary, true).contains("install it on a second volume"));
        assert!(replaceable(binary, false).contains("mount it readOnly: true"));
    }
}
