//! PID 1 of this container: podgate itself, or the program beside which a hook runs.

use super::sys;
use nix::errno::Errno;
use nix::unistd::Pid;
use std::fs;

/// Whether this process is PID 1, with the duties of an init.
pub(crate) fn is_pid_1() -> bool {
    Pid::this().as_raw() == 1
}

/// Sends PID 1 of this container a signal, by number.
///
/// # Errors
/// EPERM: PID 1 belongs to another user.
pub(crate) fn signal_init(number: u8) -> Result<(), Errno> {
    sys::send(Pid::from_raw(1), i32::from(number))
}

/// Whether this user may send PID 1 signals (kill(2)).
pub(crate) fn may_signal_init() -> bool {
    signal_init(0) != Err(Errno::EPERM)
}

/// Whether this process is the only child of PID 1. Then PID 1 may be waiting for it: some servers
/// (HAProxy's master) end only when all their children have ended.
pub(crate) fn is_only_child_of_init() -> bool {
    let Ok(threads) = fs::read_dir("/proc/1/task") else {
        return false;
    };
    let children = |thread: fs::DirEntry| {
        fs::read_to_string(thread.path().join("children")).unwrap_or_default()
    };
    let all: Vec<String> = threads.flatten().map(children).collect();
    let own = Pid::this().to_string();
    all.iter()
        .flat_map(|list| list.split_ascii_whitespace())
        .eq([own.as_str()])
}

/// Whether PID 1 belongs to another container (shareProcessNamespace). `None` if that is not known.
/// Compares the mounts of `/`, because containers of one pod always have different mount namespaces
/// (proc(5), mountinfo).
pub(crate) fn shares_pid_namespace() -> Option<bool> {
    let root = |process: &str| {
        let text = fs::read_to_string(format!("/proc/{process}/mountinfo")).ok()?;
        let mut lines = text.lines().map(|line| line.split(' '));
        let line = lines.find(|line| line.clone().nth(4) == Some("/"));
        line.and_then(|mut words| words.next().map(str::to_owned))
    };
    Some(!is_pid_1() && root("1")? != root("self")?)
}
