//! Becomes CMD, and finds the reason if a command cannot be executed.

use super::sys::{self, Death, Original, restore_signals};
use crate::core::errno::Errno;
use crate::core::exec_error::ExecError;
use nix::libc;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Becomes the command `name`, with the same pid and environment, and with the signal mask and
/// dispositions from before podgate. Returns only if that failed.
pub(crate) fn become_command(
    name: &OsString,
    arguments: &[OsString],
    original: Original,
) -> io::Error {
    let mut command = Command::new(name);
    command.args(arguments);
    restore_signals(&mut command, original, Death::Survives);
    let error = command.exec();
    sys::ignore_pipe();
    error
}

/// Why the command `name` could not be started, from an error of fork(2), execve(2) or pipe(2).
pub(crate) fn exec_error(name: &OsStr, error: &io::Error) -> ExecError {
    let errno = Errno::of(error);
    match errno.0 {
        // The file exists, so its interpreter is missing.
        libc::ENOENT if name.as_bytes().contains(&b'/') && Path::new(name).exists() => {
            ExecError::NoInterpreter
        }
        libc::ENOENT | libc::ENOTDIR => ExecError::NotFound,
        libc::EACCES => ExecError::NotPermitted,
        libc::ENOEXEC => ExecError::WrongFormat,
        libc::ETXTBSY => ExecError::Busy,
        libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE => ExecError::NoResources(errno),
        _ => ExecError::Other(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::exec_error;
    use crate::core::errno::Errno;
    use crate::core::exec_error::ExecError;
    use nix::libc;
    use std::ffi::OsStr;
    use std::io;

    #[test]
    fn each_errno_of_execve_has_one_meaning() {
        for (name, errno, expected) in [
            ("nosuch", libc::ENOENT, ExecError::NotFound),
            ("/nosuch", libc::ENOENT, ExecError::NotFound),
            // A script whose interpreter is missing: execve(2) returns ENOENT although the file
            // exists.
            ("/proc/self/exe", libc::ENOENT, ExecError::NoInterpreter),
            ("/proc/self/exe/x", libc::ENOTDIR, ExecError::NotFound),
            ("/etc", libc::EACCES, ExecError::NotPermitted),
            ("/x", libc::ENOEXEC, ExecError::WrongFormat),
            ("/x", libc::ETXTBSY, ExecError::Busy),
            (
                "/x",
                libc::EMFILE,
                ExecError::NoResources(Errno(libc::EMFILE)),
            ),
            ("/x", libc::E2BIG, ExecError::Other(Errno(libc::E2BIG))),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(
                exec_error(OsStr::new(name), &error),
                expected,
                "{name} {error}"
            );
        }
    }
}
