//! What was meant: typed arguments (`cli`) and variables become the settings of a command. This
//! layer is pure: values in, values out. The commands open the files that options name.
//!
//! A flag that asks for what this call cannot do is refused, such as `--http-status` without an
//! HTTP check. A variable is accepted there, because it may be meant for another call in the same
//! container. A limit or a schedule of what this call does not do is accepted and has no effect,
//! such as `--after-timeout` without `--after`.

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

use crate::cli::{DirArgs, InstallArgs, ResetArgs, UsageError, Variables};
use crate::core::plain_dir::Plain;
use std::ffi::OsStr;
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

/// Reads the directory that `reset` resets. `None` if members are disabled.
///
/// # Errors
/// There are no members to reset.
pub fn reset(args: &ResetArgs, variables: Variables<'_>) -> Result<Option<MembersDir>, UsageError> {
    let off = Disabled::read(variables)?;
    let dir = MembersDir::of(&args.dir);
    if dir.path.is_none() {
        return Err(UsageError::NoMembersToReset);
    }
    Ok(Some(dir).filter(|_| !off.members))
}

/// The settings of `install`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installing {
    pub dest: PathBuf,
    pub reset: Resetting,
}

/// What `install` resets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resetting {
    Nothing,
    /// Members are disabled.
    Disabled,
    Volume(MembersDir),
}

/// Reads the settings of `install`.
///
/// # Errors
/// DEST is missing, or an option has no effect.
pub fn install(args: &InstallArgs, variables: Variables<'_>) -> Result<Installing, UsageError> {
    // A path that is not UTF-8 is used as it is.
    let dest = args.dest.as_deref().map(|dest| match dest.to_str() {
        Some(text) => OsStr::new(text.trim()),
        None => dest,
    });
    let dest = match dest {
        Some(dest) if !dest.is_empty() => PathBuf::from(dest),
        Some(_) | None => return Err(UsageError::NeedsDestination),
    };
    let plain = &args.allow_plain_dir;
    let reset = match &args.reset {
        None if plain.source.is_flag() => {
            let source = plain.source.to_string();
            return Err(UsageError::PlainDirWithoutReset { source });
        }
        None => Resetting::Nothing,
        Some(_) if Disabled::read(variables)?.members => Resetting::Disabled,
        Some(dir) => Resetting::Volume(MembersDir {
            path: Some(dir.value.clone()),
            plain: if plain.value {
                Plain::Allowed
            } else {
                Plain::Refused
            },
        }),
    };
    Ok(Installing { dest, reset })
}

#[cfg(test)]
mod tests;
