//! Ends podgate where it cannot end itself: a path on a network or FUSE file system whose server is gone makes connect(2) and execve(2)
//! hang for ever. A hang of that kind is killable, so ending the process from another thread works.

use super::Signals;
use crate::event_loop::is_ready;
use nix::poll::PollFlags;
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// It does nothing that needs a deep stack, but print one line.
const STACK: usize = 128 * 1024;
/// Longer than any wait.
const FOR_EVER: Duration = Duration::from_secs(1000 * 24 * 60 * 60);

/// Watches until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    over: Arc<AtomicBool>,
    up: Receiver<Infallible>,
}

impl Watchdog {
    /// Calls `bite` in a thread of its own if a signal that ends podgate, or `end`, has come, and `chance` later the watchdog is still
    /// there. It gets the signal's number, if it was a signal. Without a thread or a descriptor to be had, nobody watches.
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
                // A wake-up without a cause is possible.
                loop {
                    let left = end.map_or(FOR_EVER, |end| {
                        end.saturating_duration_since(Instant::now())
                    });
                    if left.is_zero() || is_ready(ending.as_fd(), PollFlags::POLLIN, left) {
                        break;
                    }
                }
                // The main thread reads the signal meanwhile, if it can.
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

    /// Ends the watch, and leaves a thread behind that may be forked from. While Rust's runtime starts a thread it holds locks of its own,
    /// which nobody would open in the new process: the first thread that was started there would hang.
    pub(crate) fn leave(self) {
        // There is nothing to receive: the other end is dropped when the thread is up, or was never made.
        let _ = self.up.recv();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
