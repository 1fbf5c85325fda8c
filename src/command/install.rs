//! `podgate install`: copies this binary, for init containers of images without cp.

use crate::core::exit::Exit;
use crate::message::{LogEvent, Message, Severity};
use crate::report::Report;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// This very binary, whatever it is called and wherever it was started from (proc(5)).
const MYSELF: &str = "/proc/self/exe";
/// The mode of the copy: whoever runs it is often another user.
const MODE: u32 = 0o755;

/// Runs the command.
pub(super) fn run(dest: &Path, report: &mut Report) -> Exit {
    let dest = if dest.is_dir() {
        dest.join("podgate")
    } else {
        dest.to_owned()
    };
    match install(&dest) {
        Ok(()) => {
            report.line(&Message::new(
                Severity::Info,
                LogEvent::Installed,
                format!("installed {dest:?}"),
            ));
            Exit::Passed
        }
        Err(Failed::ToRead(error)) => {
            let text = format!(
                "cannot read this binary, {MYSELF}: {error}; see that /proc is mounted here"
            );
            report.failure(&Message::new(Severity::Error, LogEvent::Install, text));
            Exit::Internal
        }
        Err(Failed::ToWrite(error))
            if error.kind() == io::ErrorKind::NotFound
                || error.kind() == io::ErrorKind::NotADirectory =>
        {
            let text = format!(
                "cannot install {dest:?}: its directory is not there; name a volume that is mounted here"
            );
            report.failure(&Message::new(Severity::Error, LogEvent::Install, text));
            Exit::Internal
        }
        Err(Failed::ToWrite(error)) => {
            let text = format!(
                "cannot install {dest:?}: {error}; see that its directory is a volume that this user can write"
            );
            report.failure(&Message::new(Severity::Error, LogEvent::Install, text));
            Exit::Internal
        }
    }
}

enum Failed {
    ToRead(io::Error),
    ToWrite(io::Error),
}

/// Copies to a name of its own and renames (rename(2)): who starts DEST starts the old binary or the new one, never half, and an old
/// one that runs is no obstacle (ETXTBSY).
fn install(dest: &Path) -> Result<(), Failed> {
    let mut myself = File::open(MYSELF).map_err(Failed::ToRead)?;
    let name = dest
        .file_name()
        .ok_or_else(|| Failed::ToWrite(io::Error::other("it names no file")))?;
    let folder = dest
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let temporary: PathBuf = folder.join(format!(
        ".{}.{}",
        name.to_string_lossy(),
        std::process::id()
    ));
    // Left by an init container with the same pid that was killed half-way.
    let _ = fs::remove_file(&temporary);
    let written = write(&mut myself, &temporary).and_then(|()| fs::rename(&temporary, dest));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(Failed::ToWrite)
}

fn write(from: &mut File, path: &Path) -> io::Result<()> {
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(path)?;
    io::copy(from, &mut to)?;
    // Whatever the umask.
    to.set_permissions(Permissions::from_mode(MODE))?;
    to.sync_all()
}
