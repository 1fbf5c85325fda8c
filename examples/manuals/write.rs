//! Man pages and completions, from the definitions that podgate reads its command line by.

use clap_complete::{Shell, generate_to};
use std::fs;
use std::io;
use std::path::Path;

/// Writes `podgate.1`, `podgate-COMMAND.1` for each command, and a file for each shell.
///
/// # Errors
/// The folder or a file in it cannot be written.
pub(crate) fn all(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut podgate::cli::definition(), "podgate", folder)?;
    }
    clap_mangen::generate_to(podgate::cli::definition(), folder)
}
