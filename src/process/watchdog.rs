//! Ends podgate if its main thread hangs. connect(2) and execve(2) do not return for a path on a
//! network or FUSE file system whose server is gone. SIGKILL ends such a hang, so another thread
//! can end the process.

use super::arrival::Signals;
use crate::event_loop::{Interest, Poller};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signalfd::SignalFd;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The stack in bytes. The thread prints at most one line.
const STACK: usize = 128 * 1024;

/// A thread that watches until this is dropped. The thread ends then, too: `run` may live for weeks
/// after its gate.
#[derive(Debug)]
pub(crate) struct Watchdog {
    over: Arc<AtomicBool>,
    /// `None`: nothing is watched.
    thread: Option<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    thread: JoinHandle<()>,
    /// Becomes readable when the watch is over.
    wake: Arc<EventFd>,
}

impl Watchdog {
    /// Starts a thread that calls `bite` if this watchdog still exists `chance` after `end`, or
    /// after the arrival of a signal that ends podgate. `bite` gets the number of that signal. If
    /// the system has no thread or descriptor left, nothing is watched. After `chance`, `more` may
    /// give more time for a reason that came up meanwhile.
    pub(crate) fn start(
        signals: &Signals,
        end: Option<Instant>,
        chance: Duration,
        more: impl FnOnce() -> Duration + Send + 'static,
        bite: impl FnOnce(Option<u8>) + Send + 'static,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_value_and_flags(0, flags).ok().map(Arc::new);
        let thread = signals.ending().ok().zip(wake).and_then(|(ending, wake)| {
            let woken = Arc::clone(&wake);
            let watch = move || {
                wait(Some(&ending), &woken, &is_over, end);
                // If the main thread does not hang, it reads the signal in the meantime.
                wait(None, &woken, &is_over, Instant::now().checked_add(chance));
                if !is_over.load(Ordering::SeqCst) {
                    wait(None, &woken, &is_over, Instant::now().checked_add(more()));
                }
                if !is_over.load(Ordering::SeqCst) {
                    bite(
                        ending
                            .read_signal()
                            .ok()
                            .flatten()
                            .and_then(|info| u8::try_from(info.ssi_signo).ok()),
                    );
                }
            };
            let thread = thread::Builder::new().stack_size(STACK).spawn(watch);
            thread.ok().map(|thread| Watcher { thread, wake })
        });
        Self { over, thread }
    }

    /// Whether there is a thread that watches.
    pub(crate) const fn is_watching(&self) -> bool {
        self.thread.is_some()
    }

    /// Ends the watch and the thread, so that this process may fork. Rust's runtime holds locks
    /// while it starts a thread. In a new process they would stay locked, and the first thread that
    /// is started there would hang.
    pub(crate) fn leave(mut self) {
        let thread = self.thread.take();
        self.over.store(true, Ordering::SeqCst);
        if let Some(watcher) = thread {
            watcher.wake();
            // The thread cannot panic, because a panic ends podgate.
            let _ = watcher.thread.join();
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(watcher) = &self.thread {
            watcher.wake();
        }
    }
}

impl Watcher {
    fn wake(&self) {
        // This cannot fail: the counter goes from 0 to 1.
        let _ = self.wake.write(1);
    }
}

/// Waits until the watch is over, a signal has arrived, or `until` has come (`None`: no end).
fn wait(ending: Option<&SignalFd>, woken: &EventFd, over: &AtomicBool, until: Option<Instant>) {
    loop {
        let mut poller = Poller::new();
        poller.add(Interest::readable(woken.as_fd()), ());
        if let Some(ending) = ending {
            poller.add(Interest::readable(ending.as_fd()), ());
        }
        // After an error (a limit of 0 descriptors), `wait` has slept for a moment.
        let is_ready = poller.wait(until).is_ok_and(|ready| !ready.is_empty());
        let is_late = until.is_some_and(|until| until <= Instant::now());
        if is_ready || is_late || over.load(Ordering::SeqCst) {
            return;
        }
    }
}
