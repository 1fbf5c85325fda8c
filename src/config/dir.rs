//! The directory where members meet.

use crate::cli::DirArgs;
use crate::core::plain_dir::Plain;
use std::path::PathBuf;

/// The directory where members meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersDir {
    /// `None`: there are no members.
    pub path: Option<PathBuf>,
    pub plain: Plain,
}

impl MembersDir {
    pub fn of(args: &DirArgs) -> Self {
        let plain = if args.allow_plain_dir.value {
            Plain::Allowed
        } else {
            Plain::Refused
        };
        Self {
            path: args.dir.value.clone(),
            plain,
        }
    }
}
