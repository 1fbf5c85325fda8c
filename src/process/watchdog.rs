//! Ends podgate where its main thread hangs: connect(2) and execve(2) never return for a path on a
//! network or FUSE file system whose server is gone. Such a hang is killable, so another thread can
//! end the process.

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

/// The thread prints one line at most, and needs no deep stack.
const STACK: usize = 128 * 1024;
/// Longer than any wait.
const FOREVER: Duration = Duration::from_secs(1000 * 24 * 60 * 60);

/// A watchdog thread, which watches until this is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    over: Arc<AtomicBool>,
    up: Receiver<Infallible>,
}

impl Watchdog {
    /// Starts a thread that calls `bite` if this watchdog still exists `chance` after a signal that
    /// ends podgate has arrived, or after `end`. `bite` gets the signal's number, if it was a
    /// signal. If the system has no thread or descriptor left, nothing is watched.
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
                // The main thread reads the signal in the meantime, if it can.
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

    /// Ends the watch once the thread has started, so that this process may fork. While Rust's
    /// runtime starts a thread it holds locks, which would stay locked in the new process: the
    /// first thread that is started there would hang.
    pub(crate) fn leave(self) {
        // Nothing is ever sent: the other end is dropped when the thread starts, or could not
        // start.
        let _ = self.up.recv();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
