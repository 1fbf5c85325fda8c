//! Detaches podgate into the background, or ends it by a signal.

use super::pid_1::is_pid_1;
use super::sys;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Detaches this process from its parent: it gets its own session, /dev/null as stdin, stdout and
/// stderr, and keeps no other descriptors than `kept`. Where there is no /dev/null, it gets pipes
/// without another end: the kubelet waits until the output of a hook is closed.
pub(crate) fn daemonize(kept: &[BorrowedFd<'_>]) {
    // This fails only for the leader of a group, which a forked process is not.
    let _ = setsid();
    let _ = std::env::set_current_dir("/");
    let null = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null");
    let _ = match null {
        Ok(null) => replace(&null, &null),
        Err(_) => match (io::pipe(), io::pipe()) {
            (Ok((input, _)), Ok((_, output))) => replace(&input, &output),
            (Ok(_) | Err(_), _) => Ok(()),
        },
    };
    sys::close_all_but(kept);
}

/// Replaces stdin by `input`, and stdout and stderr by `output`.
fn replace(input: impl AsFd, output: impl AsFd) -> nix::Result<()> {
    dup2_stdin(input)
        .and_then(|()| dup2_stdout(&output))
        .and_then(|()| dup2_stderr(&output))
}

/// Ends this process by the signal of this number, as the signal's default action does. So wait(2)
/// shows the signal, and a shell's loop stops. Returns if that is impossible, and then the caller
/// exits with 128 + `number`:
///
/// - as PID 1, which the kernel protects from default actions (pid_namespaces(7));
/// - for a signal whose default action does not end a process, such as SIGWINCH.
///
/// podgate has blocked the signal in order to read it from a signalfd, so it is unblocked here. The
/// signal may also have been ignored when podgate was started (by nohup(1), or by `&` in a shell
/// without job control). A blocked signal arrives even if it is ignored, and ends podgate, too.
pub(crate) fn end_by_signal(number: u8) {
    if is_pid_1() {
        return;
    }
    // Otherwise SIGQUIT would leave a core file in the app's directory.
    let _ = prctl::set_dumpable(false);
    let number = i32::from(number);
    let _ = sys::signal_set([number]).thread_unblock();
    // This restores the default action and raises the signal, if signal-hook knows the signal.
    let is_unknown = signal_hook::low_level::emulate_default_handler(number).is_err();
    if is_unknown && let Ok(signal @ Signal::SIGPWR) = Signal::try_from(number) {
        sys::die_by(signal);
    }
}
