//! Takes signals over and reads them.
//!
//! PID 1 has no default signal actions (signal(7), pid_namespaces(7)): the kernel drops a signal
//! that has no handler. So podgate first blocks the signals that end it, and reads them from a
//! signalfd. It installs no handler, so CMD needs no disposition restored (except that of SIGCHLD,
//! see `sys`).

use super::pid_1::is_pid_1;
use super::sys::{self, Original};
use crate::core::signal::{Received, Sender};
use nix::errno::Errno;
use nix::libc::{SI_KERNEL, SI_USER, signalfd_siginfo};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};

/// The signals that end podgate: the stop signals of containers (an image's STOPSIGNAL may be QUIT,
/// USR1, …), and those of a terminal. Their default action would also end podgate, but PID 1 has no
/// default actions.
const ENDING: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTERM,
    Signal::SIGPWR,
];

/// The STOPSIGNAL of images with systemd: SIGRTMIN+3, as the kernel and glibc count.
const SYSTEMD_STOP: i32 = 37;

/// The last real-time signal.
const LAST_SIGNAL: i32 = 64;

/// The signals as a stream, and the mask and dispositions from before.
#[derive(Debug)]
pub(crate) struct Signals {
    stream: SignalFd,
    which: Which,
    ending: SigSet,
    original: Original,
}

/// What has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// A signal that ends podgate.
    Ending(Received),
    /// Another signal, which `run` forwards.
    Other(Received),
    /// A child has changed its state.
    Child,
}

/// The signals that podgate takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that end podgate. The others keep their actions.
    Ending,
    /// All that can be blocked, because `run` forwards them.
    All,
}

impl Signals {
    /// Takes signals over. Call this before anything else.
    ///
    /// # Errors
    /// Those of signalfd(2): no descriptor is left (EMFILE, ENFILE), or no memory.
    pub(crate) fn take(which: Which) -> Result<Self, Errno> {
        let mut taken: Vec<i32> = ENDING.iter().map(|signal| *signal as i32).collect();
        if is_pid_1() {
            taken.push(SYSTEMD_STOP);
            // The STOPSIGNAL of Apache's images. On a terminal it reports a new window size
            // instead.
            if !io::stdin().is_terminal() {
                taken.push(Signal::SIGWINCH as i32);
            }
        }
        let ending = sys::signal_set(taken.iter().copied());
        let taken = match which {
            Which::Ending => sys::signal_set(taken.into_iter().chain([Signal::SIGCHLD as i32])),
            Which::All => sys::signal_set(1..=LAST_SIGNAL),
        };
        let mask = taken.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let ignores_child = sys::reset_sigchld()?;
        let stream = SignalFd::with_flags(&taken, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self {
            stream,
            which,
            ending,
            original: Original {
                mask,
                ignores_child,
            },
        })
    }

    /// The next signal that has arrived, if any. Never blocks.
    pub(crate) fn next(&self) -> Option<Arrived> {
        loop {
            let info = self.stream.read_signal().ok()??;
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            if number == Signal::SIGCHLD as i32 {
                return Some(Arrived::Child);
            }
            // A write of podgate to a pipe without a reader, or to a log at RLIMIT_FSIZE, sends
            // podgate a signal, which is not forwarded. Any other signal from this pid was sent
            // before an exec, by the program that became podgate.
            let is_by_writing = [Signal::SIGPIPE as i32, Signal::SIGXFSZ as i32].contains(&number);
            if !is_by_writing || i32::try_from(info.ssi_pid) != Ok(Pid::this().as_raw()) {
                let received = Received {
                    number: u8::try_from(number).unwrap_or(u8::MAX),
                    sender: sender(&info),
                };
                return Some(if self.ends(received.number) {
                    Arrived::Ending(received)
                } else {
                    Arrived::Other(received)
                });
            }
        }
    }

    /// A signal that ends podgate, or `stop`, if it has arrived. It is not taken.
    pub(crate) fn pending(&self, stop: Option<u8>) -> Option<u8> {
        let ends = |number: &u8| self.ends(*number) || stop == Some(*number);
        let mut all = (1..=64).filter(ends);
        all.find(|number| sys::is_pending(i32::from(*number)))
    }

    /// Whether this signal ends podgate.
    fn ends(&self, number: u8) -> bool {
        // nix's `Signal` has no real-time signals.
        match Signal::try_from(i32::from(number)) {
            Ok(signal) => self.ending.contains(signal),
            Err(_) => is_pid_1() && i32::from(number) == SYSTEMD_STOP,
        }
    }

    /// Another descriptor, only for the signals that end podgate.
    pub(super) fn ending(&self) -> Result<SignalFd, Errno> {
        SignalFd::with_flags(&self.ending, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
    }

    /// The signals that were taken over.
    pub(crate) const fn which(&self) -> Which {
        self.which
    }

    /// The signal mask and dispositions before podgate changed them.
    pub(crate) const fn original(&self) -> Original {
        self.original
    }
}

/// Who has sent a signal.
fn sender(info: &signalfd_siginfo) -> Sender {
    match (info.ssi_code, info.ssi_pid) {
        (SI_KERNEL, _) => Sender::Kernel,
        (SI_USER, 0) => Sender::Outside,
        _ => Sender::Neighbour,
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
