//! Signals, children, and the exec of CMD. Knows nothing of checks.
//!
//! PID 1 has no default signal actions (signal(7), pid_namespaces(7)): a signal that nobody handles is dropped by the kernel. So the
//! first thing that podgate does is to block the signals that end it and to read them from a signalfd. No handler is ever
//! installed, so no disposition needs to be put back (but SIGCHLD's, see `sys`).

pub(crate) mod sys;

use crate::process::sys::{Death, Original, as_we_were};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The signals that end podgate: those that a container is stopped with (an image's STOPSIGNAL may be QUIT, USR1, …), and those
/// of a terminal. Their default action would end it as well, but PID 1 has none.
const ENDING: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTERM];

/// How long killed children may take to be gone.
const GONE_WITHIN: Duration = Duration::from_millis(500);

/// The signals as a stream, and how they were before.
#[derive(Debug)]
pub(crate) struct Signals {
    stream: SignalFd,
    original: Original,
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// A signal that ends podgate.
    Ending(Signal),
    /// A child changed its state.
    Child,
}

impl Signals {
    /// Takes the signals over. To be called before anything else.
    ///
    /// # Errors
    /// Those of signalfd(2): no descriptor is left (EMFILE, ENFILE), or memory.
    pub(crate) fn take() -> Result<Self, Errno> {
        let mut taken = SigSet::empty();
        ENDING.iter().for_each(|signal| taken.add(*signal));
        taken.add(Signal::SIGCHLD);
        let mask = taken.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let ignores_child = sys::mind_children()?;
        let stream = SignalFd::with_flags(&taken, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { stream, original: Original { mask, ignores_child } })
    }

    /// The next signal that has arrived, if any. Never blocks.
    pub(crate) fn next(&self) -> Option<Arrived> {
        loop {
            let info = self.stream.read_signal().ok()??;
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
            match signal {
                Some(Signal::SIGCHLD) => return Some(Arrived::Child),
                Some(signal) => return Some(Arrived::Ending(signal)),
                None => {}
            }
        }
    }

    /// How they were before.
    pub(crate) const fn original(&self) -> Original {
        self.original
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Becomes `command`: same pid, the original signal mask and dispositions, environment and arguments untouched. Returns only if that
/// failed.
pub(crate) fn become_command(name: &OsString, arguments: &[OsString], original: Original) -> io::Error {
    let mut command = Command::new(name);
    command.args(arguments);
    as_we_were(&mut command, original, Death::Survives);
    command.exec()
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// The commands of checks, each the leader of a process group of its own. The only place that waits for children: a second one
/// would steal the first one's statuses.
#[derive(Debug)]
pub(crate) struct Children {
    original: Original,
    living: Vec<Pid>,
    ended: Vec<(Pid, End)>,
    /// Groups that were killed and may not be gone yet.
    killed: Vec<Pid>,
}

impl Children {
    /// None yet.
    pub(crate) const fn new(original: Original) -> Self {
        Self { original, living: Vec::new(), ended: Vec::new(), killed: Vec::new() }
    }

    /// Starts a command in a process group of its own, with nothing to read.
    ///
    /// # Errors
    /// Those of fork(2), execve(2) and pipe(2).
    pub(crate) fn spawn(&mut self, command: &mut Command) -> io::Result<Pid> {
        // What a killed command leaves behind comes to us, so that it can be reaped (prctl(2)). CMD must not inherit that: `clear`.
        let _ = prctl::set_child_subreaper(true);
        command.stdin(Stdio::null()).process_group(0);
        as_we_were(command, self.original, Death::Dies);
        let child = command.spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        self.living.push(pid);
        Ok(pid)
    }

    /// Reaps all that has ended. What is left of an ended command's group is killed while its leader, not yet reaped, keeps the
    /// group's number from being used again.
    pub(crate) fn reap(&mut self) {
        if self.living.is_empty() && self.killed.is_empty() {
            return;
        }
        let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Some(pid) = waitid(Id::All, peek).ok().and_then(|status| status.pid()) {
            let ours = self.living.iter().position(|it| *it == pid);
            if ours.is_some() {
                self.kill_group(pid);
            }
            let end = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => End::Exited(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => End::Killed(signal as i32),
                Ok(_) | Err(_) => break,
            };
            if let Some(index) = ours {
                self.living.swap_remove(index);
                self.ended.push((pid, end));
            }
        }
        self.killed.retain(|group| killpg(*group, None).is_ok());
    }

    /// How this one ended, once.
    pub(crate) fn take_end(&mut self, pid: Pid) -> Option<End> {
        let index = self.ended.iter().position(|(it, _)| *it == pid)?;
        Some(self.ended.swap_remove(index).1)
    }

    /// Kills this one and its group. It is reaped when it is dead.
    pub(crate) fn kill(&mut self, pid: Pid) {
        if self.living.contains(&pid) {
            self.kill_group(pid);
            self.reap();
            self.ended.retain(|(it, _)| *it != pid);
        }
    }

    /// Kills and reaps all that is left, and is no reaper of orphans any more.
    pub(crate) fn clear(&mut self) {
        self.living.clone().into_iter().for_each(|pid| self.kill_group(pid));
        let patience = Instant::now();
        self.reap();
        while !(self.living.is_empty() && self.killed.is_empty()) && patience.elapsed() < GONE_WITHIN {
            std::thread::sleep(Duration::from_millis(1));
            self.reap();
        }
        self.ended.clear();
        let _ = prctl::set_child_subreaper(false);
    }

    fn kill_group(&mut self, leader: Pid) {
        // ESRCH: all of it is gone. Nothing else can happen to a group of our own.
        if killpg(leader, Signal::SIGKILL).is_ok() && !self.killed.contains(&leader) {
            self.killed.push(leader);
        }
    }
}
