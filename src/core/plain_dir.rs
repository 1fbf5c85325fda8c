//! Whether members may meet in a directory of one container.

/// Whether `--dir` may be a directory on the container's own root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// No: every container would have a different one.
    Refused,
    /// Yes: `--allow-plain-dir`, for a test without containers.
    Allowed,
}
