//! The one place with `unsafe`: what nix has no safe call for.

#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, signal, sigprocmask};
use nix::unistd::{Pid, getppid};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Signal mask and dispositions as podgate found them: CMD and the commands of checks get them back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Original {
    pub(super) mask: SigSet,
    pub(super) ignores_child: bool,
}

/// What becomes of a child when podgate dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// It goes on, as CMD does, which *is* podgate's process.
    Survives,
    /// The kernel kills it, too (PR_SET_PDEATHSIG): the command of a check. Spawn it from the main thread: the signal is sent when
    /// the spawning *thread* dies (prctl(2)).
    Dies,
}

/// Gives SIGCHLD its default action, and tells whether it was ignored: where it is, the kernel reaps children by itself and nobody
/// learns how they ended (wait(2), NOTES).
///
/// # Errors
/// Those of sigaction(2); none is known to happen.
pub(super) fn mind_children() -> Result<bool, Errno> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: SIG_DFL runs no code of ours, and nothing else in this process has set a handler for SIGCHLD.
    let before = unsafe { sigaction(Signal::SIGCHLD, &default) }?;
    Ok(matches!(before.handler(), SigHandler::SigIgn))
}

/// Ignores SIGPIPE, as Rust's runtime does at the start: an exec that failed has given it its default action back, and the next line
/// that nobody reads would kill us instead of telling why.
pub(super) fn ignore_pipe() {
    // SAFETY: SIG_IGN runs no code of ours.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
}

/// These signals, by number: nix has no names for the real-time ones.
pub(super) fn signal_set(numbers: &[i32]) -> SigSet {
    let mut set = *SigSet::empty().as_ref();
    for number in numbers {
        // SAFETY: `set` is an initialised sigset_t of our own; sigaddset(3) refuses numbers that are no signals.
        unsafe { libc::sigaddset(&raw mut set, *number) };
    }
    // SAFETY: `set` was made by sigemptyset(3) and sigaddset(3) alone.
    unsafe { SigSet::from_sigset_t_unchecked(set) }
}

/// Makes `command`, when it is executed or spawned, start with the original signal mask and dispositions. SIGPIPE, which Rust's
/// runtime ignores, is set back to its default by `Command` itself.
pub(crate) fn as_we_were(command: &mut Command, original: Original, death: Death) {
    let parent = Pid::this();
    let prepare = move || -> io::Result<()> {
        if death == Death::Dies {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the call above.
            if getppid() != parent {
                return Err(Errno::ESRCH.into());
            }
        }
        if original.ignores_child {
            let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
            // SAFETY: SIG_IGN runs no code, and sigaction is async-signal-safe.
            unsafe { sigaction(Signal::SIGCHLD, &ignore) }?;
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&original.mask), None)?;
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls may be made (signal-safety(7)). prctl, getppid, sigaction and
    // sigprocmask are plain system calls; the closure does not allocate, lock or panic.
    unsafe { command.pre_exec(prepare) };
}
