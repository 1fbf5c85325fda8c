//! Signals, children, and the exec of CMD. Knows nothing of checks.
//!
//! PID 1 has no default signal actions (signal(7), pid_namespaces(7)): a signal that nobody handles is dropped by the kernel. So the
//! first thing that podgate does is to block the signals that end it and to read them from a signalfd. No handler is ever
//! installed, so no disposition needs to be put back (but SIGCHLD's, see `sys`).

pub(crate) mod sys;
pub(crate) mod watchdog;

use crate::process::sys::{Death, Original, as_we_were};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{
    Pid, dup2_stderr, dup2_stdin, dup2_stdout, getpgrp, setsid, tcgetpgrp, tcsetpgrp,
};
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The signals that end podgate: those that a container is stopped with (an image's STOPSIGNAL may be QUIT, USR1, …), and those
/// of a terminal. Their default action would end it as well, but PID 1 has none.
const ENDING: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTERM,
    Signal::SIGPWR,
];
/// The STOPSIGNAL of images with systemd in them: SIGRTMIN+3 as the kernel and glibc count.
const SYSTEMD_STOP: i32 = 37;

/// The last real-time signal.
const LAST_SIGNAL: i32 = 64;

/// How long killed children may take to be gone.
const GONE_WITHIN: Duration = Duration::from_millis(500);

/// The signals as a stream, and how they were before.
#[derive(Debug)]
pub(crate) struct Signals {
    stream: SignalFd,
    ending: SigSet,
    original: Original,
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// A signal that ends podgate: its number.
    Ending(u8),
    /// Another one, which `run` passes on: its number.
    Other(u8),
    /// A child changed its state.
    Child,
}

/// Which signals are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that end podgate; the others keep their actions.
    Ending,
    /// All that can be: `run` passes them on.
    All,
}

impl Signals {
    /// Takes the signals over: those that end podgate, or all. To be called before anything else.
    ///
    /// # Errors
    /// Those of signalfd(2): no descriptor is left (EMFILE, ENFILE), or memory.
    pub(crate) fn take(which: Which) -> Result<Self, Errno> {
        let mut taken: Vec<i32> = ENDING.iter().map(|signal| *signal as i32).collect();
        if is_pid_1() {
            taken.push(SYSTEMD_STOP);
            // The STOPSIGNAL of Apache's images. On a terminal it tells of another size.
            if !io::stdin().is_terminal() {
                taken.push(Signal::SIGWINCH as i32);
            }
        }
        let ending = sys::signal_set(taken.iter().copied());
        let taken = match which {
            Which::Ending => sys::signal_set(taken.into_iter().chain([Signal::SIGCHLD as i32])),
            Which::All => sys::signal_set(1..=LAST_SIGNAL),
        };
        let mask = taken.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let ignores_child = sys::mind_children()?;
        let stream = SignalFd::with_flags(&taken, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self {
            stream,
            ending,
            original: Original {
                mask,
                ignores_child,
            },
        })
    }

    /// The next signal that has arrived, if any. Never blocks.
    pub(crate) fn next(&self) -> Option<Arrived> {
        loop {
            let info = self.stream.read_signal().ok()??;
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            if number == Signal::SIGCHLD as i32 {
                return Some(Arrived::Child);
            }
            // Our own write to a pipe that nobody reads, or to a log that has reached RLIMIT_FSIZE, sends us a signal: it is meant for nobody.
            // Any other from this pid was sent before an exec, by the program that became podgate.
            let is_by_writing = [Signal::SIGPIPE as i32, Signal::SIGXFSZ as i32].contains(&number);
            if !is_by_writing || i32::try_from(info.ssi_pid) != Ok(Pid::this().as_raw()) {
                let number = u8::try_from(number).unwrap_or(u8::MAX);
                return Some(if self.ends(number) {
                    Arrived::Ending(number)
                } else {
                    Arrived::Other(number)
                });
            }
        }
    }

    /// Is it one of those that end podgate?
    fn ends(&self, number: u8) -> bool {
        // Real-time ones are no `Signal`.
        match Signal::try_from(i32::from(number)) {
            Ok(signal) => self.ending.contains(signal),
            Err(_) => is_pid_1() && i32::from(number) == SYSTEMD_STOP,
        }
    }

    /// Another descriptor, for the signals that end podgate alone.
    fn ending(&self) -> Result<SignalFd, Errno> {
        SignalFd::with_flags(&self.ending, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
    }

    /// How they were before.
    pub(crate) const fn original(&self) -> Original {
        self.original
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Becomes `command`: same pid, the original signal mask and dispositions, environment and arguments untouched. Returns only if that
/// failed.
pub(crate) fn become_command(
    name: &OsString,
    arguments: &[OsString],
    original: Original,
) -> io::Error {
    let mut command = Command::new(name);
    command.args(arguments);
    as_we_were(&mut command, original, Death::Survives);
    let error = command.exec();
    sys::ignore_pipe();
    error
}

/// Has this process the duties of an init?
pub(crate) fn is_pid_1() -> bool {
    Pid::this().as_raw() == 1
}

/// Sends PID 1 of this container a signal, by number.
///
/// # Errors
/// EPERM: it is another user's.
pub(crate) fn signal_init(number: u8) -> Result<(), Errno> {
    sys::send(Pid::from_raw(1), i32::from(number))
}

/// Is this the only child that PID 1 has left? Then it may be waiting for us: some masters (HAProxy's) end when all their children have.
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

/// Is PID 1 another container's (shareProcessNamespace)? `None` where the kernel does not tell. By the mount that `/` is: containers of
/// one pod may share everything but their mount namespaces (proc(5), mountinfo).
pub(crate) fn shares_pid_namespace() -> Option<bool> {
    let root = |process: &str| {
        let text = fs::read_to_string(format!("/proc/{process}/mountinfo")).ok()?;
        let mut lines = text.lines().map(|line| line.split(' '));
        let line = lines.find(|line| line.clone().nth(4) == Some("/"));
        line.and_then(|mut words| words.next().map(str::to_owned))
    };
    Some(!is_pid_1() && root("1")? != root("self")?)
}

/// Leaves whoever started this process: a session of its own, nothing on stdin, stdout and stderr, and no descriptor but `kept`.
pub(crate) fn leave_home(kept: &[BorrowedFd<'_>]) {
    // Fails for the leader of a group only, which a forked process is not.
    let _ = setsid();
    let _ = std::env::set_current_dir("/");
    if let Ok(null) = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
    {
        let _ = dup2_stdin(&null)
            .and_then(|()| dup2_stdout(&null))
            .and_then(|()| dup2_stderr(&null));
    }
    sys::close_all_but(kept);
}

/// Who gets a signal that is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// CMD.
    Child,
    /// Its whole process group: `--signal-group`.
    Group,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// The commands of checks, each the leader of a process group of its own, and `run`'s CMD. The only place that waits for children: a
/// second one would steal the first one's statuses.
#[derive(Debug)]
pub(crate) struct Children {
    original: Original,
    living: Vec<Pid>,
    ended: Vec<(Pid, End)>,
    /// Those of `living` that were killed: nobody asks how they ended, and their number may be another's then.
    abandoned: Vec<Pid>,
    /// Groups that were killed and may not be gone yet.
    killed: Vec<Pid>,
    /// How it was before the first command was started.
    before: Option<Before>,
    /// Is it an init, which reaps all that it gets?
    is_init: bool,
    main: Option<Pid>,
    main_end: Option<End>,
    /// Was the terminal given to CMD's group? Then it is taken back.
    gave_terminal: bool,
}

/// How a process was before its first command.
#[derive(Debug)]
struct Before {
    is_subreaper: bool,
    /// Had it no children? Then all that it gets are a command's. Else it has them from before an exec (`daemon & exec podgate …`): they
    /// and what they leave behind are its next program's business.
    had_none: bool,
}

impl Children {
    /// None yet.
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
            main_end: None,
            gave_terminal: false,
        }
    }

    /// Becomes an init: reaps every orphan from now on, as a subreaper where it is not PID 1 (prctl(2)).
    pub(crate) fn be_init(&mut self) {
        self.is_init = true;
        if !is_pid_1() {
            // Only a kernel before 3.4 refuses.
            let _ = prctl::set_child_subreaper(true);
        }
    }

    /// Starts CMD: with the signals, the descriptors and the environment that podgate got, in a process group of its own, which gets the
    /// terminal if podgate has it. The kernel kills it when podgate dies, unless it changes its user (PR_SET_PDEATHSIG, prctl(2)).
    ///
    /// # Errors
    /// Those of fork(2), execve(2) and pipe(2).
    pub(crate) fn spawn_main(&mut self, name: &OsString, arguments: &[OsString]) -> io::Result<()> {
        let mut command = Command::new(name);
        command.args(arguments).process_group(0);
        if tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp()) {
            sys::hand_over_terminal(&mut command);
            self.gave_terminal = true;
        }
        as_we_were(&mut command, self.original, Death::Dies);
        let child = command.spawn().inspect_err(|_| self.take_terminal_back())?;
        self.main = Some(Pid::from_raw(
            i32::try_from(child.id()).map_err(io::Error::other)?,
        ));
        Ok(())
    }

    /// Takes the terminal back from CMD, which has ended: a script that called podgate could not read from it any more, for its group
    /// is ours. A shell with job control does that by itself.
    fn take_terminal_back(&mut self) {
        if std::mem::take(&mut self.gave_terminal) {
            // SIGTTOU is blocked. Without the terminal nobody reads from it.
            let _ = tcsetpgrp(io::stdin(), getpgrp());
        }
    }

    /// How CMD ended, once.
    pub(crate) fn take_main_end(&mut self) -> Option<End> {
        self.main_end.take()
    }

    /// Sends CMD a signal, by number; nothing if it has ended.
    pub(crate) fn signal_main(&self, number: u8, reach: Reach) {
        if let Some(pid) = self.main {
            let to = match reach {
                Reach::Child => pid,
                Reach::Group => Pid::from_raw(pid.as_raw().saturating_neg()),
            };
            // ESRCH: it is dead and waits to be reaped. EPERM: it has changed its user; then the kubelet's SIGKILL is left.
            let _ = sys::send(to, i32::from(number));
        }
    }

    /// Kills CMD, and waits until it is dead: others must not learn of an end while it lives.
    pub(crate) fn kill_main(&mut self, reach: Reach) {
        let patience = Instant::now();
        self.signal_main(Signal::SIGKILL as u8, reach);
        self.reap();
        while self.main.is_some() && patience.elapsed() < GONE_WITHIN {
            std::thread::sleep(Duration::from_millis(1));
            self.reap();
        }
    }

    /// Starts a command in a process group of its own, with nothing to read.
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
            // What a killed command leaves behind comes to us, so that it can be reaped (prctl(2)). CMD must not inherit that: `clear`.
            if had_none {
                let _ = prctl::set_child_subreaper(true);
            }
        }
        command.stdin(Stdio::null()).process_group(0);
        as_we_were(command, self.original, Death::Dies);
        let child = command.spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        self.living.push(pid);
        Ok(pid)
    }

    /// Reaps all that has ended; as PID 1, also what others left behind. What is left of an ended command's group is killed while
    /// its leader, not yet reaped, keeps the group's number from being used again.
    pub(crate) fn reap(&mut self) {
        for pid in self.living.clone() {
            if sys::ended(Some(pid)) == Some(pid) {
                self.kill_group(pid);
                self.bury(pid);
            }
        }
        if let Some(pid) = self.main
            && let Some(end) = sys::reap(pid)
        {
            self.main = None;
            self.main_end = Some(end);
            self.take_terminal_back();
        }
        if is_pid_1() || self.is_init || self.before.as_ref().is_some_and(|before| before.had_none)
        {
            while let Some(pid) = sys::ended(None) {
                // One that we know and that has ended just now: the next signal tells of it again.
                if self.living.contains(&pid) || self.main == Some(pid) || sys::reap(pid).is_none()
                {
                    break;
                }
            }
        }
        self.killed.retain(|group| killpg(*group, None).is_ok());
    }

    /// Takes the end of one of the living.
    fn bury(&mut self, pid: Pid) {
        // Nobody else waits for it, so it is there.
        let end = sys::reap(pid).unwrap_or(End::Killed(0));
        self.living.retain(|it| *it != pid);
        match self.abandoned.iter().position(|it| *it == pid) {
            Some(index) => drop(self.abandoned.swap_remove(index)),
            None => self.ended.push((pid, end)),
        }
    }

    /// How this one ended, once.
    pub(crate) fn take_end(&mut self, pid: Pid) -> Option<End> {
        let index = self.ended.iter().position(|(it, _)| *it == pid)?;
        Some(self.ended.swap_remove(index).1)
    }

    /// Kills this one and its group. It is reaped when it is dead.
    pub(crate) fn kill(&mut self, pid: Pid) {
        self.ended.retain(|(it, _)| *it != pid);
        if self.living.contains(&pid) {
            self.kill_group(pid);
            self.abandoned.push(pid);
            self.reap();
        }
    }

    /// Kills and reaps all that is left, and is no reaper of orphans any more.
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

    /// Kills what commands put into sessions of their own (setsid(2)) and left behind; CMD would find it among its children. An init
    /// cannot tell it from the orphans of others, and leaves it. `false`: there is none.
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
            // ESRCH: it has ended meanwhile.
            let _ = kill(*pid, Signal::SIGKILL);
        }
        !strays.is_empty()
    }

    fn kill_group(&mut self, leader: Pid) {
        // ESRCH: all of it is gone. Nothing else can happen to a group of our own.
        if killpg(leader, Signal::SIGKILL).is_ok() && !self.killed.contains(&leader) {
            self.killed.push(leader);
        }
    }
}

/// The children of this process (proc(5)); none where the kernel does not tell.
fn own_children() -> Vec<Pid> {
    let me = Pid::this();
    let text = fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
    text.split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .map(Pid::from_raw)
        .collect()
}
