//! A number of errno(3), as a plain value.

use std::fmt;
use std::io;

/// Why a system call failed. Errors keep this number until a message prints it; no code compares
/// the system's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    pub const EPERM: Self = Self(1);
    pub const ENOENT: Self = Self(2);
    pub const EIO: Self = Self(5);
    pub const EAGAIN: Self = Self(11);
    pub const EACCES: Self = Self(13);
    pub const ENOTDIR: Self = Self(20);
    pub const EISDIR: Self = Self(21);
    pub const ENFILE: Self = Self(23);
    pub const EMFILE: Self = Self(24);
    pub const ENOSPC: Self = Self(28);
    pub const EROFS: Self = Self(30);
    pub const ENOTEMPTY: Self = Self(39);
    pub const ELOOP: Self = Self(40);
    pub const EDQUOT: Self = Self(122);

    /// The number of an error of std. An error without a number, such as a write of no bytes,
    /// counts as EIO.
    pub fn of(error: &io::Error) -> Self {
        error.raw_os_error().map_or(Self::EIO, Self)
    }

    /// The system's words in lower case, without the number: `permission denied`.
    pub fn words(self) -> String {
        let text = self.to_string();
        let words = text
            .split_once(" (os error")
            .map_or(&*text, |(words, _)| words);
        // musl's texts are ASCII.
        words.to_ascii_lowercase()
    }
}

/// The system's words with the number: `Permission denied (os error 13)`.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;
    use nix::libc;
    use std::io;

    #[test]
    fn the_numbers_are_those_of_linux() {
        for (errno, number) in [
            (Errno::EPERM, libc::EPERM),
            (Errno::ENOENT, libc::ENOENT),
            (Errno::EIO, libc::EIO),
            (Errno::EACCES, libc::EACCES),
            (Errno::ENOTDIR, libc::ENOTDIR),
            (Errno::EISDIR, libc::EISDIR),
            (Errno::ENFILE, libc::ENFILE),
            (Errno::EMFILE, libc::EMFILE),
            (Errno::ENOSPC, libc::ENOSPC),
            (Errno::EROFS, libc::EROFS),
            (Errno::ENOTEMPTY, libc::ENOTEMPTY),
            (Errno::ELOOP, libc::ELOOP),
            (Errno::EDQUOT, libc::EDQUOT),
        ] {
            assert_eq!(errno.0, number);
        }
    }

    #[test]
    fn an_errno_prints_the_words_of_the_system() {
        assert_eq!(Errno::EACCES.to_string(), "Permission denied (os error 13)");
        assert_eq!(Errno::EACCES.words(), "permission denied");
        assert_eq!(Errno::of(&io::Error::other("no number")), Errno::EIO);
    }
}
