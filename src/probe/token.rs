//! Reads the file of `--http-bearer-token-file`, at each attempt: tokens rotate, and the kubelet
//! replaces the symbolic link that leads to the file.

use crate::core::errno::Errno;
use crate::core::outcome::Reason;
use crate::core::token::{self, MOST_TOKEN, TokenError};
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The token that the file holds now.
///
/// # Errors
/// The file cannot be read, or holds no token. A later attempt may find one.
pub(super) fn read(path: &Path) -> Result<String, Reason> {
    let failed = |error| Reason::Token(path.to_owned(), error);
    let file = contents(path, MOST_TOKEN).map_err(|error| {
        failed(match error {
            Some(error) => TokenError::System(Errno::of(&error)),
            None => TokenError::NotAFile,
        })
    })?;
    token::read(&file).map(str::to_owned).map_err(failed)
}

/// The contents of a regular file, and one byte more than `most` at the most. It waits neither for
/// the writer of a FIFO nor for a device.
///
/// # Errors
/// A system call failed. `None`: it is not a regular file.
pub(super) fn contents(path: &Path, most: usize) -> Result<Vec<u8>, Option<io::Error>> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(None);
    }
    let mut contents = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut contents)?;
    Ok(contents)
}
