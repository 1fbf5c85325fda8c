//! Becomes CMD at the end of `wait` or `join`.

use crate::core::exit::Exit;
use crate::message;
use crate::process::exec::exec_error;
use crate::process::{Arrived, Children, Signals, become_command};
use crate::report::Report;
use std::ffi::OsString;

/// Becomes CMD. Returns an exit code if there is no CMD, or if it cannot be started.
pub(crate) fn exec_or_exit(cmd: &[OsString], report: &mut Report, signals: &Signals) -> Exit {
    let Some((name, arguments)) = cmd.split_first() else {
        return Exit::Passed;
    };
    // CMD must not inherit a zombie from podgate.
    Children::new(signals.original()).reap();
    // A signal that arrived while the gate opened must not be lost. As PID 1, CMD does not get it
    // before it has a handler.
    if let Some(number) = ending(signals) {
        report.line(&message::exec::stopped(number));
        return Exit::Signal(number);
    }
    let error = become_command(name, arguments, signals.original());
    let error = exec_error(name, &error);
    report.failure(&message::exec::cannot_run(name, error));
    error.exit()
}

/// The next signal that ends podgate, if one has arrived.
fn ending(signals: &Signals) -> Option<u8> {
    loop {
        match signals.next()? {
            Arrived::Ending(signal) => return Some(signal.number),
            Arrived::Child | Arrived::Other(_) => {}
        }
    }
}
