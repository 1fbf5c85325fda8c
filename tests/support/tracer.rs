//! Follows podgate from system call to system call (ptrace(2)), and makes one call fail, or kills
//! the process there.
//!
//! Only podgate's own calls count: those of its threads, and those of its children until they
//! execute another program, which is not followed. A program that starts podgate (a shell,
//! `unshare`) is followed only until it becomes podgate.
//!
//! For x86_64 only: a call is replaced through its registers.

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A process or thread of podgate: `podgate` itself, `thread 1`, `child 1`, …, numbered in the
/// order of their creation.
pub type Who = String;

/// The longest time that a call is delayed.
const STALL: Duration = Duration::from_millis(100);

/// Instead of an exit code: the process has become another program.
pub const EXECUTED: i32 = -1;

/// One system call of a run: the `nth` call (from 1) with this number that `who` makes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    pub who: Who,
    pub number: i64,
    pub nth: usize,
}

/// What happens at that call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is not made and fails. close(2) is made nevertheless: Linux closes the descriptor
    /// whatever it returns.
    Error(Errno),
    /// SIGKILL; the call is not made.
    Death,
    /// The thread is stopped after this many more instructions, until podgate has forked, but for
    /// at most [`STALL`]. A scheduler may do this at any time.
    Stall(u32),
}

/// What was observed of a run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The calls, in order.
    pub calls: Vec<Point>,
    /// Was the point of the fault reached?
    pub struck: bool,
    /// How the threads and processes of podgate ended, as a shell reports it: 128+n for signal n.
    pub ends: Vec<(Who, i32)>,
}

/// A podgate that is traced.
pub struct Traced {
    end: Receiver<i32>,
    code: Option<i32>,
    root: Pid,
    tasks: Arc<Mutex<BTreeSet<Pid>>>,
    ends: Arc<Mutex<Vec<(Who, i32)>>>,
    follower: Option<JoinHandle<Trace>>,
}

impl Traced {
    /// Starts `words`, which are podgate, or become or start it, and applies the fault there.
    pub fn start(
        words: &[String],
        image: &Path,
        stderr: fs::File,
        strike: Option<(Point, Fault)>,
    ) -> Self {
        let (tell_root, root) = channel();
        let (tell_end, end) = channel();
        let tasks: Arc<Mutex<BTreeSet<Pid>>> = Arc::default();
        let ends: Arc<Mutex<Vec<(Who, i32)>>> = Arc::default();
        let (words, image, shared, told) = (
            words.to_vec(),
            image.to_owned(),
            Arc::clone(&tasks),
            Arc::clone(&ends),
        );
        // A tracer is a thread (ptrace(2)). This one has no other children, so it may wait for any
        // child.
        let follower = thread::spawn(move || {
            let mut command = Command::new("sh");
            super::without_own_variables(&mut command);
            // Its pid is waited for together with all others.
            #[allow(clippy::zombie_processes)]
            let mut child = command
                .args(["-c", "read -r go && exec \"$@\" </dev/null", "sh"])
                .args(&words)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(stderr)
                .spawn()
                .unwrap();
            let root = Pid::from_raw(i32::try_from(child.id()).unwrap());
            let options = Options::PTRACE_O_TRACESYSGOOD
                | Options::PTRACE_O_TRACEFORK
                | Options::PTRACE_O_TRACEVFORK
                | Options::PTRACE_O_TRACECLONE
                | Options::PTRACE_O_TRACEEXEC
                | Options::PTRACE_O_EXITKILL;
            ptrace::seize(root, options).unwrap();
            child.stdin.take().unwrap().write_all(b"go\n").unwrap();
            tell_root.send(root).unwrap();
            let mut follower = Follower {
                image,
                strike,
                root,
                tell_end: Some(Box::new(move |code| {
                    tell_end.send(code).unwrap_or_default()
                })),
                tasks: BTreeMap::from([(root, Task::outside())]),
                parked: Vec::new(),
                stalled: None,
                counts: BTreeMap::new(),
                born: BTreeMap::new(),
                trace: Trace::default(),
                shared,
                ends: told,
            };
            follower.shared.lock().unwrap().insert(root);
            follower.follow();
            follower.trace.ends = follower.ends.lock().unwrap().clone();
            follower.trace
        });
        let root = root.recv().unwrap();
        Self {
            end,
            code: None,
            root,
            tasks,
            ends,
            follower: Some(follower),
        }
    }

    /// The pid of the started program.
    pub fn pid(&self) -> Pid {
        self.root
    }

    /// The exit code of the started program, once it has ended: 128+n for signal n.
    pub fn ended(&mut self) -> Option<i32> {
        self.code = self.code.or_else(|| self.end.try_recv().ok());
        self.code
    }

    /// Has this process or thread of podgate ended, other than by executing another program?
    pub fn died(&self, who: &str) -> bool {
        self.ends
            .lock()
            .unwrap()
            .iter()
            .any(|(it, code)| it == who && *code != EXECUTED)
    }

    /// Returns what was observed. Waits until everything that is traced has ended, and kills what
    /// goes on running.
    pub fn finish(mut self) -> Trace {
        self.kill_all();
        self.follower.take().unwrap().join().unwrap()
    }

    fn kill_all(&self) {
        for task in self.tasks.lock().unwrap().iter() {
            let _ = kill(*task, Signal::SIGKILL);
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.kill_all();
        if let Some(follower) = self.follower.take() {
            let _ = follower.join();
        }
    }
}

/// One traced thread.
struct Task {
    /// `None`: it is not podgate, or not yet.
    who: Option<Who>,
    /// Between the entry into a call and the exit from it.
    is_inside: bool,
    /// The result that replaces the call's own.
    answer: Option<Errno>,
}

impl Task {
    fn outside() -> Self {
        Self {
            who: None,
            is_inside: false,
            answer: None,
        }
    }
}

/// Lets it execute one instruction. `false`: the instruction is not over, because the thread sleeps
/// in a call.
fn stepped(pid: Pid) -> bool {
    let patience = Instant::now();
    let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
    let mut stopped = ptrace::step(pid, None).and_then(|()| waitpid(pid, Some(flags)));
    while stopped == Ok(WaitStatus::StillAlive) && patience.elapsed() < Duration::from_millis(20) {
        thread::yield_now();
        stopped = waitpid(pid, Some(flags));
    }
    matches!(stopped, Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)))
}

struct Follower {
    image: PathBuf,
    strike: Option<(Point, Fault)>,
    root: Pid,
    tell_end: Option<Box<dyn FnOnce(i32) + Send>>,
    tasks: BTreeMap<Pid, Task>,
    /// Threads that stopped before their parent's event arrived.
    parked: Vec<Pid>,
    stalled: Option<(Pid, Instant)>,
    counts: BTreeMap<(Who, i64), usize>,
    born: BTreeMap<&'static str, usize>,
    trace: Trace,
    shared: Arc<Mutex<BTreeSet<Pid>>>,
    ends: Arc<Mutex<Vec<(Who, i32)>>>,
}

impl Follower {
    fn follow(&mut self) {
        loop {
            let mut flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            if let Some((pid, since)) = self.stalled {
                flags |= WaitPidFlag::WNOHANG;
                if since.elapsed() >= STALL {
                    self.stalled = None;
                    self.resume(pid, None);
                }
            }
            match waitpid(None, Some(flags)) {
                Err(Errno::EINTR) => {}
                // No thread is left.
                Err(_) => return,
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => self.ended(pid, 128 + signal as i32),
                Ok(WaitStatus::PtraceSyscall(pid)) => self.call(pid),
                Ok(WaitStatus::PtraceEvent(pid, _, event)) => self.event(pid, event),
                // The trap of a single step. podgate itself raises no SIGTRAP.
                Ok(WaitStatus::Stopped(pid, Signal::SIGTRAP)) => self.resume(pid, None),
                Ok(WaitStatus::Stopped(pid, signal)) => self.resume(pid, Some(signal)),
                Ok(WaitStatus::StillAlive) => thread::sleep(Duration::from_micros(200)),
                Ok(WaitStatus::Continued(_)) => {}
            }
        }
    }

    fn ended(&mut self, pid: Pid, code: i32) {
        if let Some(who) = self.tasks.remove(&pid).and_then(|task| task.who) {
            self.ends.lock().unwrap().push((who, code));
        }
        self.shared.lock().unwrap().remove(&pid);
        if pid == self.root
            && let Some(tell) = self.tell_end.take()
        {
            tell(code);
        }
    }

    /// Resumes the thread. ESRCH: it was killed in the meantime, which the next event reports.
    fn resume(&mut self, pid: Pid, signal: Option<Signal>) {
        let is_podgate = self.tasks.get(&pid).is_some_and(|task| task.who.is_some());
        let _ = if is_podgate {
            ptrace::syscall(pid, signal)
        } else {
            ptrace::cont(pid, signal)
        };
    }

    fn event(&mut self, pid: Pid, event: i32) {
        const FORK: i32 = ptrace::Event::PTRACE_EVENT_FORK as i32;
        const VFORK: i32 = ptrace::Event::PTRACE_EVENT_VFORK as i32;
        const CLONE: i32 = ptrace::Event::PTRACE_EVENT_CLONE as i32;
        const EXEC: i32 = ptrace::Event::PTRACE_EVENT_EXEC as i32;
        match event {
            FORK | VFORK | CLONE => {
                if let Ok(new) = ptrace::getevent(pid) {
                    self.born(
                        pid,
                        Pid::from_raw(i32::try_from(new).unwrap()),
                        event == CLONE,
                    );
                }
                self.resume(pid, None);
                if let Some((stalled, _)) = self.stalled.take_if(|_| event == FORK) {
                    self.resume(stalled, None);
                }
            }
            EXEC => self.executed(pid),
            // The first stop of a new thread, or a group stop.
            _ if self.tasks.contains_key(&pid) => self.resume(pid, None),
            _ => self.parked.push(pid),
        }
    }

    fn born(&mut self, parent: Pid, new: Pid, is_thread: bool) {
        let is_podgate = self
            .tasks
            .get(&parent)
            .is_some_and(|task| task.who.is_some());
        let who = is_podgate.then(|| {
            let kind = if is_thread { "thread" } else { "child" };
            let count = self.born.entry(kind).or_default();
            *count += 1;
            format!("{kind} {count}")
        });
        self.tasks.insert(
            new,
            Task {
                who,
                ..Task::outside()
            },
        );
        self.shared.lock().unwrap().insert(new);
        if let Some(at) = self.parked.iter().position(|it| *it == new) {
            self.parked.swap_remove(at);
            self.resume(new, None);
        }
    }

    fn executed(&mut self, pid: Pid) {
        let is_podgate =
            fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path == self.image);
        let task = self.tasks.entry(pid).or_insert_with(Task::outside);
        if is_podgate {
            // The next stop is the exit from execve(2), which is no longer podgate's.
            task.is_inside = true;
            task.answer = None;
            let count = self.born.entry("podgate").or_default();
            *count += 1;
            task.who = Some(if *count == 1 {
                "podgate".to_owned()
            } else {
                format!("podgate {count}")
            });
        } else if let Some(who) = task.who.take() {
            // A CMD, whose calls do not count.
            self.ends.lock().unwrap().push((who, EXECUTED));
            if pid != self.root {
                self.tasks.remove(&pid);
                self.shared.lock().unwrap().remove(&pid);
                let _ = ptrace::detach(pid, None);
                return;
            }
        }
        self.resume(pid, None);
    }

    fn call(&mut self, pid: Pid) {
        let (Some(task), Ok(mut registers)) = (self.tasks.get_mut(&pid), ptrace::getregs(pid))
        else {
            self.resume(pid, None);
            return;
        };
        let Some(who) = task.who.clone() else {
            self.resume(pid, None);
            return;
        };
        if task.is_inside {
            task.is_inside = false;
            if let Some(errno) = task.answer.take() {
                registers.rax = u64::MAX - u64::try_from(errno as i32).unwrap() + 1;
                let _ = ptrace::setregs(pid, registers);
            }
            self.resume(pid, None);
            return;
        }
        task.is_inside = true;
        let number = i64::try_from(registers.orig_rax).unwrap_or(-1);
        let nth = self.counts.entry((who.clone(), number)).or_default();
        *nth += 1;
        let point = Point {
            who,
            number,
            nth: *nth,
        };
        if let Some((_, fault)) = self
            .strike
            .as_ref()
            .filter(|(at, _)| *at == point && !self.trace.struck)
        {
            self.trace.struck = true;
            match fault {
                Fault::Death => drop(kill(pid, Signal::SIGKILL)),
                Fault::Stall(steps) => {
                    // The first step ends the call.
                    task.is_inside = *steps == 0;
                    if (0..*steps).all(|_| stepped(pid)) {
                        self.stalled = Some((pid, Instant::now()));
                    } else {
                        // It sleeps in a call, so there is nothing to delay. The next event is the
                        // trap of the last step.
                        self.trace.calls.push(point);
                        return;
                    }
                }
                Fault::Error(errno) => {
                    let is_close = number == nix::libc::SYS_close;
                    let of_folder = |fd| {
                        fs::metadata(format!("/proc/{pid}/fd/{fd}")).is_ok_and(|it| it.is_dir())
                    };
                    // Closing a directory has no result that a file system could report.
                    task.answer = Some(*errno).filter(|_| !(is_close && of_folder(registers.rdi)));
                    if !is_close {
                        registers.orig_rax = u64::MAX;
                        let _ = ptrace::setregs(pid, registers);
                    }
                }
            }
        }
        self.trace.calls.push(point);
        self.resume(pid, None);
    }
}
