//! The list of skipped tests. libtest cannot report a skipped test: it counts as passed.
//! `tests/skipped.rs` counts them at the end of a run.

use std::path::PathBuf;

/// The records of all runs.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/skipped"))
}

/// The record of this run of cargo, which is the parent of every test program that it runs. Each
/// line is the name of a test, a tab, and what the test needs.
pub fn record() -> PathBuf {
    folder().join(nix::unistd::getppid().to_string())
}
