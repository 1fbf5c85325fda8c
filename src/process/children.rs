//! The children of this process. Only this module starts and reaps them.

use super::job::Terminal;
use super::pid_1::is_pid_1;
use super::sys::{self, Death, End, Original, restore_signals};
use crate::core::job_control::Foreground;
use crate::core::signal::{self, Reach};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgrp};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long killed children may take to end.
const GONE_WITHIN: Duration = Duration::from_millis(500);

/// The commands of checks, each the leader of its own process group, and CMD of `run`. There is
/// only one, because two would steal the exit codes of each other's children.
#[derive(Debug)]
pub(crate) struct Children {
    original: Original,
    living: Vec<Pid>,
    ended: Vec<(Pid, End)>,
    /// Those of `living` that were killed. Their end is not stored: when it would be read, the pid
    /// may belong to another process.
    abandoned: Vec<Pid>,
    /// Process groups that were killed and may not have ended yet.
    killed: Vec<Pid>,
    /// The state of this process before the first command was started.
    before: Option<Before>,
    /// This process reaps every orphan, as an init does.
    is_init: bool,
    main: Option<Pid>,
    /// Which processes get the signals for CMD.
    reach: Reach,
    main_end: Option<MainEnd>,
    /// CMD was stopped, and podgate has not continued it.
    is_main_stopped: bool,
    /// The signals that were sent to CMD, a bit each.
    sent: u64,
    terminal: Option<Terminal>,
    /// The process group of CMD has the terminal, which is taken back when CMD ends.
    gave_terminal: bool,
}

/// How CMD ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MainEnd {
    pub(crate) how: End,
    /// CMD was killed by a signal that neither podgate nor its terminal has sent.
    pub(crate) is_unexpected: bool,
}

/// The state of this process before its first command.
#[derive(Debug)]
struct Before {
    is_subreaper: bool,
    /// The process had no children, so every later child belongs to a command. Otherwise it has
    /// children from before an exec (`daemon & exec podgate …`), which the next program reaps.
    had_none: bool,
}

impl Children {
    pub(crate) const fn new(original: Original) -> Self {
        Self {
            original,
            living: Vec::new(),
            ended: Vec::new(),
            abandoned: Vec::new(),
            killed: Vec::new(),
            before: None,
            is_init: false,
            main: None,
            reach: Reach::Child,
            main_end: None,
            is_main_stopped: false,
            sent: 0,
            terminal: None,
            gave_terminal: false,
        }
    }

    /// Reaps every orphan from now on, as a subreaper where this process is not PID 1 (prctl(2)).
    pub(crate) fn become_subreaper(&mut self) {
        self.is_init = true;
        if !is_pid_1() {
            // This fails only on kernels before 3.4.
            let _ = prctl::set_child_subreaper(true);
        }
    }

    /// Starts CMD with the signals, the descriptors and the environment of podgate, in its own
    /// process group. The group gets the terminal if podgate has it. The kernel kills CMD when
    /// podgate dies, except if CMD changes its user (PR_SET_PDEATHSIG, prctl(2)). `reach`: which
    /// processes get the signals for CMD. `notify`: the value of its NOTIFY_SOCKET, if that is not
    /// podgate's.
    ///
    /// # Errors
    /// Those of fork(2), execve(2) and pipe(2).
    pub(crate) fn spawn_main(
        &mut self,
        name: &OsString,
        arguments: &[OsString],
        reach: Reach,
        notify: Option<&str>,
    ) -> io::Result<()> {
        self.reach = reach;
        self.terminal = Terminal::find();
        let mut command = Command::new(name);
        command.args(arguments).process_group(0);
        if let Some(address) = notify {
            command.env("NOTIFY_SOCKET", address);
        }
        if let Some(terminal) = self.terminal.as_ref().filter(|it| it.is_for_cmd_now()) {
            sys::hand_over_terminal(&mut command, terminal.as_fd());
            self.gave_terminal = true;
        }
        restore_signals(&mut command, self.original, Death::Dies);
        let child = command.spawn().inspect_err(|_| self.take_terminal_back())?;
        self.main = Some(Pid::from_raw(
            i32::try_from(child.id()).map_err(io::Error::other)?,
        ));
        Ok(())
    }

    /// Takes the terminal back after CMD has ended. A script that called podgate is in the process
    /// group of podgate, and could not read from the terminal otherwise. A shell with job control
    /// takes it back by itself.
    fn take_terminal_back(&mut self) {
        if std::mem::take(&mut self.gave_terminal)
            && let Some(terminal) = &self.terminal
        {
            terminal.give(getpgrp());
        }
    }

    /// Which process group has the terminal.
    pub(crate) fn foreground(&self) -> Foreground {
        match &self.terminal {
            Some(terminal) => terminal.foreground(self.main),
            None => Foreground::Missing,
        }
    }

    /// Gives CMD's process group the terminal.
    pub(crate) fn give_terminal(&mut self) {
        if let (Some(terminal), Some(group)) = (&self.terminal, self.main) {
            terminal.give(group);
            self.gave_terminal = true;
        }
    }

    /// Gives podgate's own process group the terminal, and continues the group.
    pub(crate) fn share_terminal(&mut self) {
        self.gave_terminal = true;
        self.take_terminal_back();
        let _ = sys::send(Pid::from_raw(0), i32::from(signal::CONT));
    }

    /// Finds out who has the terminal, after podgate was stopped: a shell may have taken it, and
    /// may have given it to podgate's group.
    pub(crate) fn resume_terminal(&mut self) {
        self.gave_terminal = self.foreground() == Foreground::Cmd;
        if self.terminal.as_ref().is_some_and(Terminal::is_for_cmd_now) {
            self.give_terminal();
        }
    }

    /// The signal that has stopped CMD since the last call. `None` as PID 1, because no shell could
    /// continue it.
    pub(crate) fn take_main_stop(&mut self) -> Option<u8> {
        let signal = sys::stopped(self.main.filter(|_| !is_pid_1())?)?;
        self.is_main_stopped = true;
        Some(signal)
    }

    /// Continues CMD's process group. Returns whether CMD was stopped.
    pub(crate) fn continue_main(&mut self) -> bool {
        let was_stopped = std::mem::take(&mut self.is_main_stopped);
        if was_stopped {
            self.signal_main(signal::CONT, Reach::Group);
        }
        was_stopped
    }

    /// How CMD ended. `None` on later calls.
    pub(crate) fn take_main_end(&mut self) -> Option<MainEnd> {
        self.main_end.take()
    }

    /// Whether CMD was killed by a signal that neither podgate nor its terminal has sent.
    fn is_unexpected(&self, how: End) -> bool {
        let End::Killed(number) = how else {
            return false;
        };
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        // Ctrl-C, Ctrl-\ and the end of the terminal.
        let is_typed = matches!(number, signal::INT | signal::QUIT | signal::HUP);
        self.sent & bit(number) == 0 && !(is_typed && self.gave_terminal)
    }

    /// Sends CMD the signal of this number. Does nothing if CMD has ended.
    pub(crate) fn signal_main(&mut self, number: u8, reach: Reach) {
        if let Some(pid) = self.main {
            self.sent |= bit(number);
            let to = match reach {
                Reach::Child => pid,
                Reach::Group => Pid::from_raw(pid.as_raw().saturating_neg()),
            };
            // ESRCH: CMD is dead and not reaped yet. EPERM: CMD has changed its user, and only the
            // kubelet's SIGKILL can end it.
            let _ = sys::send(to, i32::from(number));
        }
    }

    /// Kills CMD, and waits until it is dead. No end may be published while CMD lives.
    pub(crate) fn kill_main(&mut self) {
        let patience = Instant::now();
        self.signal_main(signal::KILL, self.reach);
        self.reap();
        while self.main.is_some() && patience.elapsed() < GONE_WITHIN {
            std::thread::sleep(Duration::from_millis(1));
            self.reap();
        }
    }

    /// Starts the command of a check in its own process group. The caller has set its stdin.
    ///
    /// # Errors
    /// Those of fork(2), execve(2) and pipe(2).
    pub(crate) fn spawn(&mut self, command: &mut Command) -> io::Result<Pid> {
        if self.before.is_none() {
            let is_subreaper = prctl::get_child_subreaper().unwrap_or(false);
            let had_none = own_children().is_empty();
            self.before = Some(Before {
                is_subreaper,
                had_none,
            });
            // A subreaper gets the processes that a killed command leaves behind (prctl(2)). CMD
            // must not inherit that: see `clear`.
            if had_none {
                let _ = prctl::set_child_subreaper(true);
            }
        }
        command.process_group(0);
        restore_signals(command, self.original, Death::Dies);
        let child = command.spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        self.living.push(pid);
        Ok(pid)
    }

    /// Reaps all children that have ended, and as PID 1 also orphans. When a command has ended, the
    /// rest of its group is killed before the leader is reaped: until then no other group can have
    /// the number of this one.
    pub(crate) fn reap(&mut self) {
        for pid in self.living.clone() {
            if sys::ended(Some(pid)) == Some(pid) {
                self.kill_group(pid);
                self.record_exit(pid);
            }
        }
        self.reap_main();
        if is_pid_1() || self.is_init || self.before.as_ref().is_some_and(|before| before.had_none)
        {
            while let Some(pid) = sys::ended(None) {
                // A known child has ended just now. The next SIGCHLD reports it again.
                if self.living.contains(&pid) || self.main == Some(pid) || sys::reap(pid).is_none()
                {
                    break;
                }
            }
        }
        self.killed.retain(|group| killpg(*group, None).is_ok());
    }

    /// Reaps CMD if it has ended. With `--signal-group`, the rest of its process group gets SIGTERM
    /// first, because the number of the group may belong to another one afterwards. As PID 1,
    /// podgate's own end kills the rest.
    fn reap_main(&mut self) {
        let Some(pid) = self.main.filter(|pid| sys::ended(Some(*pid)).is_some()) else {
            return;
        };
        if self.reach == Reach::Group && !is_pid_1() {
            // ESRCH: CMD has left its group.
            let _ = killpg(pid, Signal::SIGTERM);
        }
        if let Some(how) = sys::reap(pid) {
            // CMD may have taken the terminal by itself.
            self.gave_terminal |= self.foreground() == Foreground::Cmd;
            let is_unexpected = self.is_unexpected(how);
            self.main = None;
            self.main_end = Some(MainEnd { how, is_unexpected });
            self.take_terminal_back();
        }
    }

    /// Reaps a command that has ended, and stores how it ended.
    fn record_exit(&mut self, pid: Pid) {
        // No other code waits for children, so it is still to be reaped.
        let end = sys::reap(pid).unwrap_or(End::Killed(0));
        self.living.retain(|it| *it != pid);
        match self.abandoned.iter().position(|it| *it == pid) {
            Some(index) => drop(self.abandoned.swap_remove(index)),
            None => self.ended.push((pid, end)),
        }
    }

    /// How this command ended. `None` while it runs, and on later calls.
    pub(crate) fn take_end(&mut self, pid: Pid) -> Option<End> {
        let index = self.ended.iter().position(|(it, _)| *it == pid)?;
        Some(self.ended.swap_remove(index).1)
    }

    /// Kills this command and its process group. [`Children::reap`] reaps it later.
    pub(crate) fn kill(&mut self, pid: Pid) {
        self.ended.retain(|(it, _)| *it != pid);
        if self.living.contains(&pid) {
            self.kill_group(pid);
            self.abandoned.push(pid);
            self.reap();
        }
    }

    /// Kills and reaps all children that are left, and stops being a subreaper.
    pub(crate) fn clear(&mut self) {
        self.living
            .clone()
            .into_iter()
            .for_each(|pid| self.kill_group(pid));
        let patience = Instant::now();
        self.reap();
        while (self.kill_strays() || !self.living.is_empty() || !self.killed.is_empty())
            && patience.elapsed() < GONE_WITHIN
        {
            std::thread::sleep(Duration::from_millis(1));
            self.reap();
        }
        self.ended.clear();
        if let Some(before) = self.before.take() {
            let _ = prctl::set_child_subreaper(before.is_subreaper);
        }
    }

    /// Kills processes that commands put into other sessions (setsid(2)) and left behind. Otherwise
    /// CMD would get them as its children. An init cannot tell them from other orphans, and keeps
    /// them. `false`: there was none.
    fn kill_strays(&self) -> bool {
        if is_pid_1() || self.is_init || self.before.as_ref().is_none_or(|before| !before.had_none)
        {
            return false;
        }
        let strays: Vec<Pid> = own_children()
            .into_iter()
            .filter(|pid| !self.living.contains(pid))
            .collect();
        for pid in &strays {
            // ESRCH: the process has ended in the meantime.
            let _ = kill(*pid, Signal::SIGKILL);
        }
        !strays.is_empty()
    }

    fn kill_group(&mut self, leader: Pid) {
        // ESRCH: the whole group has ended. No other error is possible for a group of podgate.
        if killpg(leader, Signal::SIGKILL).is_ok() && !self.killed.contains(&leader) {
            self.killed.push(leader);
        }
    }
}

/// The place of this signal in a set.
fn bit(number: u8) -> u64 {
    let shift = u32::from(number).saturating_sub(1);
    1_u64.checked_shl(shift).unwrap_or(0)
}

/// The children of this process (proc(5)). Empty if the kernel does not list them.
fn own_children() -> Vec<Pid> {
    let me = Pid::this();
    let text = fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
    text.split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .map(Pid::from_raw)
        .collect()
}
