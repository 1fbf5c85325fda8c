//! `podgate install`: copies this binary, for init containers of images without cp.

use super::call::{Call, variable, wrong};
use super::reset;
use crate::cli::InstallArgs;
use crate::config::{self, Installing, Resetting};
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::message::install::InstallError;
use crate::message::{self, Message};
use crate::report::Report;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// This binary, whatever its name and path are (proc(5)).
const MYSELF: &str = "/proc/self/exe";
/// The mode of the copy. Another user often runs it.
const MODE: u32 = 0o755;

pub(super) fn perform(args: &InstallArgs, call: &mut Call<'_>) -> Result<Exit, Message> {
    call.open_log(&args.output, Some(&args.failure))?;
    let settings = config::install(args, &variable).map_err(wrong)?;
    let watchdog = call.watchdog();
    let exit = run(&settings, &mut call.report);
    watchdog.leave();
    Ok(exit)
}

/// Installs, then resets. Both may be done again if the init container is started again.
fn run(settings: &Installing, report: &mut Report) -> Exit {
    match (copy(&settings.dest, report), &settings.reset) {
        (Exit::Passed, Resetting::Volume(dir)) => reset::run(Some(dir), report),
        (Exit::Passed, Resetting::Disabled) => reset::run(None, report),
        (exit, _) => exit,
    }
}

fn copy(dest: &Path, report: &mut Report) -> Exit {
    let dest = if dest.is_dir() {
        dest.join("podgate")
    } else {
        dest.to_owned()
    };
    match install(&dest) {
        Ok(()) => {
            report.line(&message::install::installed(&dest));
            Exit::Passed
        }
        Err(error) => {
            report.failure(&message::install::failed(Path::new(MYSELF), &dest, error));
            Exit::Internal
        }
    }
}

/// Copies to a temporary name, then renames it (rename(2)). So a container that starts DEST gets
/// the old binary or the new one, never a part of it, and an old one may be running (ETXTBSY).
fn install(dest: &Path) -> Result<(), InstallError> {
    let mut myself = File::open(MYSELF).map_err(|error| InstallError::Read(Errno::of(&error)))?;
    let name = dest.file_name().ok_or(InstallError::NoFileName)?;
    let folder = dest
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let temporary: PathBuf = folder.join(format!(
        ".{}.{}",
        name.to_string_lossy(),
        std::process::id()
    ));
    // An init container with the same pid may have left it when it was killed.
    let _ = fs::remove_file(&temporary);
    let written = write(&mut myself, &temporary).and_then(|()| fs::rename(&temporary, dest));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|error| InstallError::Write(Errno::of(&error)))
}

fn write(from: &mut File, path: &Path) -> io::Result<()> {
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(path)?;
    io::copy(from, &mut to)?;
    // The umask does not apply to this.
    to.set_permissions(Permissions::from_mode(MODE))?;
    to.sync_all()
}
