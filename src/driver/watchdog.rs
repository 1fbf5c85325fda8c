//! Ends podgate if a system call on a path does not return.

use crate::core::exit::Exit;
use crate::process::watchdog::Watchdog;
use crate::process::{self, Signals, Which};
use std::time::{Duration, Instant};

/// Watches until the watchdog is dropped. podgate ends `patience` after a signal or after `end`, or
/// later by the result of `more`. Before that, `hangs` is called with the signal, if there was one.
/// It reports the end and returns the exit code.
pub(super) fn watch_over(
    signals: &Signals,
    end: Option<Instant>,
    patience: Duration,
    more: impl FnOnce() -> Duration + Send + 'static,
    hangs: impl FnOnce(Option<u8>) -> Exit + Send + 'static,
) -> Watchdog {
    let which = signals.which();
    Watchdog::start(signals, end, patience, more, move |signal| {
        let exit = hangs(signal);
        // `run` ends with 128 + n instead.
        if let (Exit::Signal(number), Which::Ending) = (exit, which) {
            process::end_by_signal(number);
        }
        std::process::exit(exit.code().into())
    })
}
