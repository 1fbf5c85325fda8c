//! PID 1 of this container: podgate itself, or the program that a hook runs beside.

use super::sys;
use nix::errno::Errno;
use nix::unistd::Pid;
use std::fs;

/// Is this process PID 1, with the duties of an init?
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

/// Is this the only child that PID 1 has left? Then PID 1 may be waiting for it: some masters
/// (HAProxy's) end when all their children have.
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

/// Does PID 1 belong to another container (shareProcessNamespace)? `None` where the kernel does not
/// tell. Compares the mounts of `/`: containers of one pod may share everything but their mount
/// namespaces (proc(5), mountinfo).
pub(crate) fn shares_pid_namespace() -> Option<bool> {
    let root = |process: &str| {
        let text = fs::read_to_string(format!("/proc/{process}/mountinfo")).ok()?;
        let mut lines = text.lines().map(|line| line.split(' '));
        let line = lines.find(|line| line.clone().nth(4) == Some("/"));
        line.and_then(|mut words| words.next().map(str::to_owned))
    };
    Some(!is_pid_1() && root("1")? != root("self")?)
}
