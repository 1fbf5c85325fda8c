//! Ends podgate if its main thread hangs. connect(2) and execve(2) do not return for a path on a
//! network or FUSE file system whose server is gone. SIGKILL ends such a hang, so another thread
//! can end the process.

use super::arrival::Signals;
use crate::event_loop::is_ready;
use nix::poll::PollFlags;
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The stack in bytes. The thread prints at most one line.
const STACK: usize = 128 * 1024;
/// Longer than any wait.
const FOREVER: Duration = Duration::from_secs(1000 * 24 * 60 * 60);

/// A thread that watches until this is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    over: Arc<AtomicBool>,
    up: Receiver<Infallible>,
}

impl Watchdog {
    /// Starts a thread that calls `bite` if this watchdog still exists `chance` after `end`, or
    /// after the arrival of a signal that ends podgate. `bite` gets the number of that signal. If
    /// the system has no thread or descriptor left, nothing is watched.
    pub(crate) fn start(
        signals: &Signals,
        end: Option<Instant>,
        chance: Duration,
        bite: impl FnOnce(Option<u8>) + Send + 'static,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let (coming, up) = channel();
        if let Ok(ending) = signals.ending() {
            let watch = move || {
                drop(coming);
                loop {
                    let left =
                        end.map_or(FOREVER, |end| end.saturating_duration_since(Instant::now()));
                    if left.is_zero() || is_ready(ending.as_fd(), PollFlags::POLLIN, left) {
                        break;
                    }
                }
                // If the main thread does not hang, it reads the signal in the meantime.
                thread::sleep(chance);
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
            let _ = thread::Builder::new().stack_size(STACK).spawn(watch);
        }
        Self { over, up }
    }

    /// Ends the watch after the thread has started, so that this process may fork. Rust's runtime
    /// holds locks while it starts a thread. In a new process they would stay locked, and the first
    /// thread that is started there would hang.
    pub(crate) fn leave(self) {
        // The other end sends nothing. It is dropped when the thread starts, or cannot be started.
        let _ = self.up.recv();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
