//! What was meant: typed arguments (`cli`) and variables become the settings of a command. This
//! layer is pure: values in, values out. The commands open the files that options name.
//!
//! No option that was given is ignored: a flag that can have no effect is refused. A variable
//! without effect is accepted, because it may be meant for another call in the same container.

mod dir;
mod disable;
mod gate;
mod http;
mod life;
mod logging;
mod quit;
mod wrong;

pub use dir::MembersDir;
pub use disable::Disabled;
pub use gate::{Gates, Settings, check, wait};
pub use life::{Life, Skipped, budget, join, run};
pub use logging::{Logging, logging};
pub use quit::{Quitting, quit};
pub use wrong::{WrongRun, wrong_run};

use crate::cli::{DirArgs, InstallArgs, UsageError};
use std::path::PathBuf;

/// Reads the directory that `status` shows.
///
/// # Errors
/// There are no members to show.
pub fn status(args: &DirArgs) -> Result<MembersDir, UsageError> {
    let dir = MembersDir::of(args);
    if dir.path.is_none() {
        return Err(UsageError::NoMembersToShow);
    }
    Ok(dir)
}

/// Reads the destination of `install`.
///
/// # Errors
/// DEST is missing.
pub fn install(args: &InstallArgs) -> Result<PathBuf, UsageError> {
    match &args.dest {
        Some(dest) if !dest.is_empty() => Ok(PathBuf::from(dest)),
        Some(_) | None => Err(UsageError::NeedsDestination),
    }
}

#[cfg(test)]
mod tests;
