//! The only place that blocks: ppoll(2) over descriptors until one is ready or the time has come.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

/// A descriptor, and what is waited for.
pub(crate) type Interest<'a> = (BorrowedFd<'a>, PollFlags);

/// How long to wait for the kernel to have memory again.
const BREATH: Duration = Duration::from_millis(10);

/// Waits until one of `interests` is ready or `until` has come (`None`: no end); tells for each whether it is ready. A wake-up
/// without a cause is possible (EINTR, and ENOMEM, which passes): then none is. The same where somebody has lowered the limit on
/// descriptors below what is waited for (EINVAL, prlimit(1)): each is asked alone then, again and again.
///
/// # Errors
/// Those of ppoll(2); with valid descriptors only EINVAL is left, for a limit of 0.
pub(crate) fn wait(interests: &[Interest<'_>], until: Option<Instant>) -> Result<Vec<bool>, Errno> {
    let timeout =
        until.map(|until| TimeSpec::from(until.saturating_duration_since(Instant::now())));
    match poll(interests, timeout) {
        Err(Errno::EINVAL) => {
            thread::sleep(BREATH);
            let alone = |interest| {
                Ok(poll(
                    std::slice::from_ref(interest),
                    Some(TimeSpec::from(Duration::ZERO)),
                )?
                .contains(&true))
            };
            interests.iter().map(alone).collect()
        }
        answer => answer,
    }
}

fn poll(interests: &[Interest<'_>], timeout: Option<TimeSpec>) -> Result<Vec<bool>, Errno> {
    let mut polled: Vec<PollFd<'_>> = interests
        .iter()
        .map(|(fd, flags)| PollFd::new(*fd, *flags))
        .collect();
    match ppoll(&mut polled, timeout, None) {
        Ok(_) => Ok(polled.iter().map(|fd| fd.any().unwrap_or(true)).collect()),
        Err(Errno::EINTR) => Ok(vec![false; interests.len()]),
        Err(Errno::ENOMEM) => {
            thread::sleep(BREATH);
            Ok(vec![false; interests.len()])
        }
        Err(error) => Err(error),
    }
}

/// Is this one descriptor ready within `patience`?
pub(crate) fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags, patience: Duration) -> bool {
    let until = Instant::now().checked_add(patience);
    matches!(wait(&[(fd, flags)], until).as_deref(), Ok([true]))
}
