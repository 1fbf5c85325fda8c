//! The only place that blocks, except in worker threads: ppoll(2) waits until a descriptor is ready
//! or the time has come.
//!
//! Each descriptor is registered under a token, and its readiness comes back as that token.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

/// The pause before another try when the kernel has no memory.
const BREATH: Duration = Duration::from_millis(10);

/// A descriptor, and the events that are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Interest<'a> {
    fd: BorrowedFd<'a>,
    flags: PollFlags,
}

impl<'a> Interest<'a> {
    pub const fn readable(fd: BorrowedFd<'a>) -> Self {
        Self {
            fd,
            flags: PollFlags::POLLIN,
        }
    }

    pub const fn writable(fd: BorrowedFd<'a>) -> Self {
        Self {
            fd,
            flags: PollFlags::POLLOUT,
        }
    }
}

/// One wait for several descriptors. Two descriptors may share a token.
#[derive(Debug)]
pub struct Poller<'a, T> {
    polled: Vec<PollFd<'a>>,
    /// The token of each descriptor, in the same order.
    tokens: Vec<T>,
}

impl<T: Copy> Default for Poller<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, T: Copy> Poller<'a, T> {
    pub const fn new() -> Self {
        Self {
            polled: Vec::new(),
            tokens: Vec::new(),
        }
    }

    /// Registers a descriptor for the next wait.
    pub fn add(&mut self, interest: Interest<'a>, token: T) {
        self.polled.push(PollFd::new(interest.fd, interest.flags));
        self.tokens.push(token);
    }

    /// Waits until a descriptor is ready or `until` has come (`None`: no end). Returns the tokens
    /// of the ready descriptors, in the order in which they were added.
    ///
    /// The result can be empty before `until`: after a signal handler has run (EINTR), and while
    /// the kernel has no memory (ENOMEM). If the limit on descriptors was lowered below their
    /// number (EINVAL, prlimit(1)), each descriptor is polled alone, in turn.
    ///
    /// # Errors
    /// Those of ppoll(2). With valid descriptors this is only EINVAL, for a limit of 0.
    pub fn wait(mut self, until: Option<Instant>) -> Result<Vec<T>, Errno> {
        let timeout =
            until.map(|until| TimeSpec::from(until.saturating_duration_since(Instant::now())));
        match poll(&mut self.polled, timeout) {
            Err(Errno::EINVAL) => {
                thread::sleep(BREATH);
                for fd in &mut self.polled {
                    poll(
                        std::slice::from_mut(fd),
                        Some(TimeSpec::from(Duration::ZERO)),
                    )?;
                }
            }
            answer => answer?,
        }
        let ready = self.polled.iter().zip(self.tokens);
        Ok(ready
            .filter(|(fd, _)| fd.any().unwrap_or(true))
            .map(|(_, token)| token)
            .collect())
    }
}

/// Polls once. Afterwards each entry has its events.
fn poll(polled: &mut [PollFd<'_>], timeout: Option<TimeSpec>) -> Result<(), Errno> {
    match ppoll(polled, timeout, None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(Errno::ENOMEM) => {
            thread::sleep(BREATH);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Waits until one descriptor is ready, for at most `patience`.
pub fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags, patience: Duration) -> bool {
    let mut poller = Poller::new();
    poller.add(Interest { fd, flags }, ());
    let until = Instant::now().checked_add(patience);
    poller.wait(until).is_ok_and(|ready| !ready.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Interest, Poller};
    use std::io::{self, Write};
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    #[test]
    fn readiness_comes_back_by_token() {
        let (silent, _other_end) = io::pipe().expect("a pipe");
        let (first, mut input) = io::pipe().expect("a pipe");
        input.write_all(b"x").expect("written");
        let (_reader, second) = io::pipe().expect("a pipe");
        for is_reversed in [false, true] {
            let mut interests = vec![
                (Interest::readable(silent.as_fd()), "silent"),
                (Interest::readable(first.as_fd()), "readable"),
                (Interest::writable(second.as_fd()), "writable"),
            ];
            let mut expected = vec!["readable", "writable"];
            if is_reversed {
                interests.reverse();
                expected.reverse();
            }
            let mut poller = Poller::new();
            for (interest, token) in interests {
                poller.add(interest, token);
            }
            assert_eq!(poller.wait(None), Ok(expected));
        }
    }

    #[test]
    fn the_wait_ends_at_its_deadline_with_nothing_ready() {
        let (silent, _other_end) = io::pipe().expect("a pipe");
        let mut poller = Poller::new();
        poller.add(Interest::readable(silent.as_fd()), ());
        let start = Instant::now();
        let until = start + Duration::from_millis(30);
        assert_eq!(poller.wait(Some(until)), Ok(vec![]));
        assert!(Instant::now() >= until);
    }
}
