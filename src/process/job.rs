//! The terminal of this session, and how podgate stops and continues (P2.6).

use super::pid_1::is_pid_1;
use super::sys;
use crate::core::job_control::{Foreground, stops};
use crate::core::signal::CONT;
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::stat::fstat;
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The controlling terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    device: OwnedFd,
    /// CMD gets the terminal when it starts and continues. Otherwise it gets it when it wants it.
    /// In a pipeline (`podgate run -- producer | less`) the other commands are in podgate's group,
    /// and the last one often needs the terminal.
    is_for_cmd: bool,
}

impl Terminal {
    /// `None`: there is no terminal. As PID 1, only stdin counts.
    pub(super) fn find() -> Option<Self> {
        let stdin = io::stdin();
        let is_stdin = tcgetpgrp(&stdin).is_ok();
        let device = if is_stdin {
            stdin.as_fd().try_clone_to_owned().ok()?
        } else if is_pid_1() {
            return None;
        } else {
            let mut options = fs::OpenOptions::new();
            let device = options.read(true).write(true).open("/dev/tty").ok()?;
            device.into()
        };
        // A CMD that ignores SIGTTIN cannot show that it wants the terminal. bash ignores it for
        // `x=$(podgate run -- CMD)`.
        let is_for_cmd = is_stdin && (is_pid_1() || !is_pipe(io::stdout().as_fd()))
            || sys::is_ignored(Signal::SIGTTIN);
        Some(Self { device, is_for_cmd })
    }

    /// Which group has the terminal; `cmd` is CMD's.
    pub(super) fn foreground(&self, cmd: Option<Pid>) -> Foreground {
        match tcgetpgrp(&self.device) {
            Ok(group) if group == getpgrp() => Foreground::Own,
            Ok(group) if Some(group) == cmd => Foreground::Cmd,
            Ok(_) => Foreground::Other,
            // The terminal is gone.
            Err(_) => Foreground::Missing,
        }
    }

    /// Whether CMD gets the terminal as soon as podgate has it.
    pub(super) fn is_for_cmd_now(&self) -> bool {
        self.is_for_cmd && self.foreground(None) == Foreground::Own
    }

    /// SIGTTOU is blocked. An error means that the terminal or the group is gone.
    pub(super) fn give(&self, group: Pid) {
        let _ = tcsetpgrp(&self.device, group);
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

fn is_pipe(descriptor: BorrowedFd<'_>) -> bool {
    fstat(descriptor).is_ok_and(|it| it.st_mode & libc::S_IFMT == libc::S_IFIFO)
}

/// Stops this process, or its whole process group, by `signal`. Returns when this process is
/// continued; SIGCONT is pending then. `false`: it was not stopped. The kernel ignores the stop
/// signals of a terminal where no shell could continue the group (setpgid(2), orphaned process
/// groups).
pub(crate) fn stop_by(signal: u8, whole_group: bool) -> bool {
    let to = Pid::from_raw(if whole_group { 0 } else { Pid::this().as_raw() });
    let number = i32::from(signal);
    let _ = sys::send(to, number);
    // The signal waits here, because all are blocked. Its default action follows at once.
    let set = sys::signal_set([number]);
    let _ = set.thread_unblock();
    let _ = set.thread_block();
    sys::is_pending(i32::from(CONT))
}

/// Does what the default action of a stop signal does. Does nothing for other signals, and as
/// PID 1.
pub(crate) fn suspend(signal: u8) {
    if stops(signal) && !is_pid_1() {
        stop_by(signal, false);
    }
}
