//! `podgate install`.

use super::{LogEvent, Message, Severity};
use crate::core::errno::Errno;
use std::path::Path;

/// Why the binary was not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallError {
    /// The running binary cannot be read.
    Read(Errno),
    /// The destination does not name a file.
    NoFileName,
    /// The copy cannot be written.
    Write(Errno),
}

pub fn installed(dest: &Path) -> Message {
    let text = format!("installed {dest:?}");
    Message::new(Severity::Info, LogEvent::Installed, text)
}

/// The binary `source` cannot be copied to `dest`.
pub fn failed(source: &Path, dest: &Path, error: InstallError) -> Message {
    let text = match error {
        InstallError::Read(errno) => {
            format!("cannot read this binary {source:?}: {errno}; check that /proc is mounted here")
        }
        InstallError::NoFileName => {
            format!(
                "cannot install {dest:?}: it does not name a file; use a path such as \
                 /podgate-bin/podgate"
            )
        }
        InstallError::Write(Errno::ENOENT | Errno::ENOTDIR) => format!(
            "cannot install {dest:?}: its directory does not exist; use a volume that is mounted \
             here"
        ),
        InstallError::Write(errno @ (Errno::ENOSPC | Errno::EDQUOT)) => {
            format!("cannot install {dest:?}: {errno}; the volume is full: raise its sizeLimit")
        }
        InstallError::Write(errno @ Errno::EROFS) => format!(
            "cannot install {dest:?}: {errno}; mount the volume without readOnly in this container"
        ),
        InstallError::Write(errno) => format!(
            "cannot install {dest:?}: {errno}; check that its directory is a volume that this user \
             can write"
        ),
    };
    Message::new(Severity::Error, LogEvent::Install, text)
}

#[cfg(test)]
mod tests {
    use super::{InstallError, failed};
    use crate::core::errno::Errno;
    use std::path::Path;

    #[test]
    fn a_copy_that_fails_has_a_cause_and_a_remedy() {
        for (error, text) in [
            (
                InstallError::Read(Errno::ENOENT),
                "cannot read this binary \"/proc/self/exe\": No such file or directory (os error \
                 2); check that /proc is mounted here",
            ),
            (
                InstallError::NoFileName,
                "cannot install \"/v/podgate\": it does not name a file; use a path such as \
                 /podgate-bin/podgate",
            ),
            (
                InstallError::Write(Errno::ENOENT),
                "cannot install \"/v/podgate\": its directory does not exist; use a volume that is \
                 mounted here",
            ),
            (
                InstallError::Write(Errno::EROFS),
                "cannot install \"/v/podgate\": Read-only file system (os error 30); mount the \
                 volume without readOnly in this container",
            ),
            (
                InstallError::Write(Errno::ENOSPC),
                "cannot install \"/v/podgate\": No space left on device (os error 28); the volume \
                 is full: raise its sizeLimit",
            ),
            (
                InstallError::Write(Errno::EACCES),
                "cannot install \"/v/podgate\": Permission denied (os error 13); check that its \
                 directory is a volume that this user can write",
            ),
        ] {
            let message = failed(Path::new("/proc/self/exe"), Path::new("/v/podgate"), error);
            assert_eq!(message.text, text);
        }
    }
}
