//! Each system call in the life of a member fails once, or the process is killed at it, and the
//! promises hold all the same (P6 and P7). Each round has one fault. The other member of the pod
//! runs without faults.
//!
//! A recording run lists the points: each system call of each thread and process of podgate, with
//! its count. Each point is played with SIGKILL and with each error that the call can really
//! return: the errors of its man page without those that only a bug could cause. By default a
//! random sample of the rounds is played. `PODGATE_FAULTS=all` plays all of them,
//! `PODGATE_FAULTS_ROUNDS` and `PODGATE_FAULTS_SEED` choose another sample, and
//! `PODGATE_FAULTS_ONLY` (a part of a round's name) selects rounds.
//!
//! The test looks from outside: each CMD writes its begin, its end and its stop signal into one
//! file, in the order in which they happen.

use crate::support::tracer::{Fault, Point, Trace, Traced};
use crate::support::{
    Folder, LIMIT, PODGATE, Program, eventually, musl, namespaces, without_own_variables,
};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The number of rounds that run at the same time. A round mostly waits.
const AT_ONCE: usize = 4;

/// The errors that a call may return without a bug in podgate or in the kernel, and how much
/// podgate depends on the call.
struct Call {
    number: i64,
    name: &'static str,
    errors: &'static [Errno],
    weight: Weight,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// podgate continues, at most with a warning.
    Optional,
    /// The call allocates memory. If it fails, Rust's runtime ends the process, or podgate reports
    /// the error and ends. Both are like any other death.
    Memory,
    /// podgate may need the call. It then ends with its own exit code and a message.
    Needed,
}

use Errno::{
    E2BIG, EACCES, EAGAIN, EBUSY, EDQUOT, EINTR, EINVAL, EIO, EMFILE, ENFILE, ENOENT, ENOLCK,
    ENOMEM, ENOSPC, ENOSYS, ENOTTY, EPERM, EROFS, ESRCH, ETXTBSY,
};

const fn call(number: i64, name: &'static str, weight: Weight, errors: &'static [Errno]) -> Call {
    Call {
        number,
        name,
        errors,
        weight,
    }
}

/// Every call that podgate makes. A call that is missing here fails the test, so that its errors
/// and its weight get decided.
const CALLS: &[Call] = &[
    // The file system. EINTR comes from network file systems that are mounted with `intr`, or FUSE.
    call(
        libc::SYS_open,
        "open",
        Weight::Needed,
        &[EIO, EMFILE, ENFILE, ENOMEM, ENOSPC, EINTR],
    ),
    call(libc::SYS_read, "read", Weight::Needed, &[EIO, EINTR]),
    call(
        libc::SYS_write,
        "write",
        Weight::Needed,
        &[EIO, ENOSPC, EINTR, EAGAIN],
    ),
    call(libc::SYS_close, "close", Weight::Optional, &[EIO, EINTR]),
    call(
        libc::SYS_fcntl,
        "fcntl",
        Weight::Needed,
        &[EIO, ENOLCK, EINTR, EMFILE],
    ),
    call(libc::SYS_stat, "stat", Weight::Needed, &[EIO, ENOMEM]),
    call(libc::SYS_lstat, "lstat", Weight::Needed, &[EIO, ENOMEM]),
    call(libc::SYS_fstat, "fstat", Weight::Needed, &[EIO]),
    call(libc::SYS_statfs, "statfs", Weight::Optional, &[EIO, ENOSYS]),
    call(libc::SYS_getdents64, "getdents64", Weight::Needed, &[EIO]),
    call(
        libc::SYS_readlink,
        "readlink",
        Weight::Optional,
        &[EIO, ENOENT, EACCES],
    ),
    call(
        libc::SYS_fchmod,
        "fchmod",
        Weight::Needed,
        &[EIO, EPERM, EROFS],
    ),
    call(
        libc::SYS_ftruncate,
        "ftruncate",
        Weight::Needed,
        &[EIO, ENOSPC, EINTR],
    ),
    call(
        libc::SYS_rename,
        "rename",
        Weight::Needed,
        &[EIO, ENOSPC, EDQUOT, EBUSY],
    ),
    call(libc::SYS_unlink, "unlink", Weight::Needed, &[EIO, EBUSY]),
    call(libc::SYS_chdir, "chdir", Weight::Optional, &[EIO]),
    // Waiting and notifications. EINVAL: the limit on descriptors was lowered.
    call(libc::SYS_poll, "poll", Weight::Memory, &[EINTR, ENOMEM]),
    call(
        libc::SYS_ppoll,
        "ppoll",
        Weight::Needed,
        &[EINTR, ENOMEM, EINVAL],
    ),
    call(
        libc::SYS_inotify_init1,
        "inotify_init1",
        Weight::Optional,
        &[EMFILE, ENFILE, ENOMEM, ENOSYS],
    ),
    call(
        libc::SYS_inotify_add_watch,
        "inotify_add_watch",
        Weight::Optional,
        &[ENOSPC, ENOMEM],
    ),
    call(
        libc::SYS_inotify_rm_watch,
        "inotify_rm_watch",
        Weight::Optional,
        &[],
    ),
    call(
        libc::SYS_signalfd4,
        "signalfd4",
        Weight::Needed,
        &[EMFILE, ENFILE, ENOMEM],
    ),
    call(
        libc::SYS_eventfd2,
        "eventfd2",
        Weight::Needed,
        &[EMFILE, ENFILE, ENOMEM],
    ),
    call(
        libc::SYS_pipe2,
        "pipe2",
        Weight::Needed,
        &[EMFILE, ENFILE, ENOMEM],
    ),
    call(
        libc::SYS_socketpair,
        "socketpair",
        Weight::Needed,
        &[EMFILE, ENFILE, ENOMEM],
    ),
    // The second sign of life. Without it the lock decides.
    call(
        libc::SYS_socket,
        "socket",
        Weight::Optional,
        &[EMFILE, ENFILE, ENOMEM, EACCES],
    ),
    call(
        libc::SYS_bind,
        "bind",
        Weight::Optional,
        &[ENOMEM, EPERM, EACCES, ENOSYS],
    ),
    call(
        libc::SYS_connect,
        "connect",
        Weight::Optional,
        &[EAGAIN, EINTR, EPERM, EACCES, ENOSYS],
    ),
    call(libc::SYS_recvfrom, "recvfrom", Weight::Needed, &[EINTR]),
    call(libc::SYS_nanosleep, "nanosleep", Weight::Optional, &[EINTR]),
    call(
        libc::SYS_clock_nanosleep,
        "clock_nanosleep",
        Weight::Optional,
        &[EINTR],
    ),
    call(
        libc::SYS_getrandom,
        "getrandom",
        Weight::Optional,
        &[EINTR, ENOSYS],
    ),
    call(libc::SYS_ioctl, "ioctl", Weight::Optional, &[ENOTTY, EIO]),
    // Processes. A wait for a child with WNOHANG cannot fail. A signal to a child that is not
    // reaped can fail only if CMD has changed its user.
    call(libc::SYS_fork, "fork", Weight::Needed, &[EAGAIN, ENOMEM]),
    call(libc::SYS_vfork, "vfork", Weight::Needed, &[EAGAIN, ENOMEM]),
    call(libc::SYS_clone, "clone", Weight::Needed, &[EAGAIN, ENOMEM]),
    call(
        libc::SYS_execve,
        "execve",
        Weight::Needed,
        &[EACCES, EAGAIN, EIO, ENOENT, ENOMEM, E2BIG, ETXTBSY],
    ),
    call(libc::SYS_prctl, "prctl", Weight::Needed, &[EPERM]),
    call(libc::SYS_setpgid, "setpgid", Weight::Needed, &[EPERM]),
    call(libc::SYS_setsid, "setsid", Weight::Optional, &[EPERM]),
    call(libc::SYS_dup2, "dup2", Weight::Needed, &[EBUSY, EINTR]),
    call(libc::SYS_dup3, "dup3", Weight::Needed, &[EBUSY, EINTR]),
    call(libc::SYS_kill, "kill", Weight::Needed, &[EPERM, ESRCH]),
    call(libc::SYS_tkill, "tkill", Weight::Optional, &[]),
    call(libc::SYS_wait4, "wait4", Weight::Optional, &[]),
    call(libc::SYS_waitid, "waitid", Weight::Optional, &[]),
    call(libc::SYS_exit, "exit", Weight::Optional, &[]),
    call(libc::SYS_exit_group, "exit_group", Weight::Optional, &[]),
    // Memory.
    call(libc::SYS_mmap, "mmap", Weight::Memory, &[ENOMEM]),
    call(libc::SYS_mremap, "mremap", Weight::Memory, &[ENOMEM]),
    call(libc::SYS_mprotect, "mprotect", Weight::Memory, &[ENOMEM]),
    call(libc::SYS_munmap, "munmap", Weight::Memory, &[ENOMEM]),
    call(
        libc::SYS_madvise,
        "madvise",
        Weight::Optional,
        &[ENOMEM, EAGAIN],
    ),
    call(libc::SYS_brk, "brk", Weight::Memory, &[]),
    // Calls that do not fail if their arguments are valid.
    call(libc::SYS_arch_prctl, "arch_prctl", Weight::Needed, &[]),
    call(
        libc::SYS_set_tid_address,
        "set_tid_address",
        Weight::Needed,
        &[],
    ),
    call(libc::SYS_sigaltstack, "sigaltstack", Weight::Needed, &[]),
    call(libc::SYS_rt_sigaction, "rt_sigaction", Weight::Needed, &[]),
    call(
        libc::SYS_rt_sigprocmask,
        "rt_sigprocmask",
        Weight::Needed,
        &[],
    ),
    call(libc::SYS_futex, "futex", Weight::Needed, &[]),
    call(libc::SYS_uname, "uname", Weight::Needed, &[]),
    call(libc::SYS_lseek, "lseek", Weight::Needed, &[]),
    call(libc::SYS_getpid, "getpid", Weight::Needed, &[]),
    call(libc::SYS_getppid, "getppid", Weight::Needed, &[]),
    call(libc::SYS_getpgrp, "getpgrp", Weight::Needed, &[]),
    call(libc::SYS_getpgid, "getpgid", Weight::Needed, &[]),
    call(libc::SYS_gettid, "gettid", Weight::Needed, &[]),
    call(libc::SYS_geteuid, "geteuid", Weight::Needed, &[]),
];

fn decided(number: i64) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.number == number)
}

/// The member that has the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// `run --name sidecar --until main --ready …`
    Sidecar,
    /// `run --name main --after ready:sidecar`
    Main,
    /// `join --name sidecar --until main`, and its background process.
    Join,
    /// The sidecar of a main that fails at first. The sidecar ends with the main's code, is
    /// restarted with the main, and must not act on the old failure again.
    Restarted,
}

#[derive(Clone, Debug)]
struct Round {
    victim: Victim,
    strike: Option<(Point, Fault)>,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((point, fault)) = &self.strike else {
            return write!(f, "{:?} unharmed", self.victim);
        };
        let name = decided(point.number).map_or("?", |call| call.name);
        write!(f, "{:?}/{}/{name}#{}/", self.victim, point.who, point.nth)?;
        match fault {
            Fault::Death => write!(f, "SIGKILL"),
            Fault::Stall(steps) => write!(f, "stalled+{steps}"),
            Fault::Error(errno) => write!(f, "{errno:?}"),
        }
    }
}

/// The files of a pod.
struct World {
    folder: Folder,
}

impl World {
    fn new() -> Self {
        let folder = Folder::new();
        fs::create_dir(folder.join("volume")).unwrap();
        mkfifo(&folder.join("never"), Mode::S_IRWXU).unwrap();
        Self { folder }
    }

    fn words(&self, command: &str, options: &[&str], cmd: &[&str]) -> Vec<String> {
        let volume = self.folder.text("volume");
        let all = [
            &[PODGATE, command, "--dir", &volume, "--allow-plain-dir"],
            options,
            &["--"],
            cmd,
        ]
        .concat();
        all.into_iter().map(str::to_owned).collect()
    }

    /// A shell command that appends a line to the log of events.
    fn note(&self, line: &str) -> String {
        format!("echo {line} >>{}", self.folder.text("log"))
    }

    /// The CMD of a sidecar: it is ready at once and runs until its stop signal. The shell starts
    /// no other process, so nothing outlives it.
    fn sidecar_script(&self) -> String {
        let (ready, pids, never) = (
            self.folder.text("ready"),
            self.folder.text("pids"),
            self.folder.text("never"),
        );
        let (begin, stop) = (self.note("sidecar begin"), self.note("sidecar stop"));
        format!(
            "trap '{stop}; exit 0' TERM\n{begin}\necho $$ >>{pids}\n: >{ready}\n\
             while :; do read -r x <>{never}; done"
        )
    }

    fn sidecar(&self) -> Vec<String> {
        let ready = format!("file://{}", self.folder.text("ready"));
        let options = [
            "--name",
            "sidecar",
            "--until",
            "main",
            "--ready",
            &ready,
            "--grace",
            "2s",
            "--stop-margin",
            "1s",
        ];
        self.words("run", &options, &["sh", "-c", &self.sidecar_script()])
    }

    fn main(&self) -> Vec<String> {
        self.main_with(0)
    }

    /// The main, which ends with this code.
    fn main_with(&self, code: i32) -> Vec<String> {
        let (begin, end, pids) = (
            self.note("main begin"),
            self.note("main end"),
            self.folder.text("pids"),
        );
        let script = format!("{begin}\necho $$ >>{pids}\nsleep 0.03\n{end}\nexit {code}");
        let options = [
            "--name",
            "main",
            "--after",
            "ready:sidecar",
            "--grace",
            "2s",
            "--stop-margin",
            "1s",
        ];
        self.words("run", &options, &["sh", "-c", &script])
    }

    /// A container whose entrypoint and PID 1 is a shell, and whose hook calls join.
    fn joined(&self) -> Vec<String> {
        let ready = format!("file://{}", self.folder.text("ready"));
        let options = [
            "--name",
            "sidecar",
            "--until",
            "main",
            // It is started again after a fault.
            "--restart-policy",
            "on-failure",
            "--ready",
            &ready,
            "--log-to",
            "stderr",
        ];
        let hook = shell_words::join(self.words("join", &options, &["true"]));
        let log_code = format!("echo hook $? >>{}", self.folder.text("log"));
        let script = self
            .sidecar_script()
            .replace("while :", &format!("{hook}\n{log_code}\nwhile :"));
        let words = [
            "unshare",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "--",
            "sh",
            "-c",
            &script,
        ];
        words.map(str::to_owned).to_vec()
    }

    fn log(&self) -> Vec<String> {
        fs::read_to_string(self.folder.join("log"))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The value of a field in the member's record, if there is a record.
    fn record(&self, member: &str, field: &str) -> Option<String> {
        let text = fs::read_to_string(self.folder.join(&format!("volume/{member}.record"))).ok()?;
        Some(
            text.lines()
                .find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))?
                .to_owned(),
        )
    }

    /// The CMDs that live. Their command lines contain the folder of this pod.
    fn living_cmds(&self) -> Vec<Pid> {
        let pids = fs::read_to_string(self.folder.join("pids")).unwrap_or_default();
        let folder = self.folder.path().to_str().unwrap();
        let lives = |pid: &i32| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|it| String::from_utf8_lossy(&it).contains(folder))
        };
        pids.lines()
            .filter_map(|pid| pid.parse().ok())
            .filter(lives)
            .map(Pid::from_raw)
            .collect()
    }

    fn add_to_log(&self, line: &str) {
        let mut log = File::options()
            .append(true)
            .create(true)
            .open(self.folder.join("log"))
            .unwrap();
        // A single write, because the members append to this file, too.
        log.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Waits until every CMD has ended.
    fn are_all_gone(&self) {
        let gone = Instant::now();
        while !self.living_cmds().is_empty() {
            assert!(
                gone.elapsed() < Duration::from_secs(5),
                "a CMD outlives its podgate: {}",
                show(self)
            );
            pause();
        }
    }

    fn stderr(&self, of: &str) -> File {
        File::options()
            .create(true)
            .append(true)
            .open(self.folder.join(of))
            .unwrap()
    }

    fn said(&self, of: &str) -> String {
        fs::read_to_string(self.folder.join(of)).unwrap_or_default()
    }
}

/// A container, traced or not.
enum Part {
    Traced(Traced),
    Plain(Program),
}

impl Part {
    fn start(
        world: &World,
        words: &[String],
        said: &str,
        strike: Option<Option<(Point, Fault)>>,
    ) -> Self {
        let stderr = world.stderr(said);
        match strike {
            Some(strike) => Self::Traced(Traced::start(words, Path::new(PODGATE), stderr, strike)),
            None => {
                let mut command = Command::new(&words[0]);
                without_own_variables(&mut command);
                command
                    .args(&words[1..])
                    .stdout(Stdio::null())
                    .stderr(stderr);
                Self::Plain(Program::start(&mut command))
            }
        }
    }

    fn pid(&self) -> Pid {
        match self {
            Self::Traced(traced) => traced.pid(),
            Self::Plain(program) => program.pid(),
        }
    }

    fn ended(&mut self) -> Option<i32> {
        match self {
            Self::Traced(traced) => traced.ended(),
            Self::Plain(program) => program.has_ended().map(|status| {
                status
                    .code()
                    .unwrap_or_else(|| 128 + status.signal().unwrap())
            }),
        }
    }
}

/// The result of a round.
struct Played {
    trace: Trace,
    sidecar: Vec<i32>,
    main: i32,
    /// Did the sidecar end because the pod was deleted? This is the case if its main never came, or
    /// if its agent could not stop PID 1.
    is_deleted: bool,
}

impl Round {
    /// Plays the round like a kubelet with `restartPolicy: OnFailure` for the sidecar and `Never`
    /// for the main.
    fn play(&self, world: &World) -> Played {
        let strike = |who| (self.victim == who).then(|| self.strike.clone());
        let start = Instant::now();
        let late = |what: &str, world: &World| {
            assert!(start.elapsed() < LIMIT, "{what}: {}", show(world));
        };
        let first = match self.victim {
            Victim::Join => {
                Part::start(world, &world.joined(), "sidecar-says", strike(Victim::Join))
            }
            Victim::Sidecar | Victim::Main | Victim::Restarted => Part::start(
                world,
                &world.sidecar(),
                "sidecar-says",
                strike(Victim::Sidecar),
            ),
        };
        let mut lives = vec![first];
        let comes = Instant::now();
        while world.record("sidecar", "state").is_none()
            && lives[0].ended().is_none()
            && comes.elapsed() < Duration::from_millis(100)
        {
            pause();
        }
        let mut main = Part::start(world, &world.main(), "main-says", strike(Victim::Main));
        let mut codes = Vec::new();
        let mut is_deleted = false;
        loop {
            let (count, main_ended) = (lives.len(), main.ended());
            let life = lives.last_mut().unwrap();
            match life.ended() {
                Some(code) if codes.len() < count => {
                    codes.push(code);
                    world.add_to_log("sidecar over");
                }
                Some(_) if main_ended.is_some() => break,
                // The sidecar ended with 0, or with its main's code, and the end of the main is not
                // seen yet.
                Some(code) if code == 0 || self.victim == Victim::Main => {}
                Some(_) if count < 3 => {
                    // The next life has no fault.
                    let words = if self.victim == Victim::Join {
                        world.joined()
                    } else {
                        world.sidecar()
                    };
                    lives.push(Part::start(world, &words, "sidecar-says", None));
                }
                Some(_) => panic!("the sidecar ended too often: {codes:?} {}", show(world)),
                None => {
                    let hook = world
                        .log()
                        .iter()
                        .rev()
                        .find_map(|line| line.strip_prefix("hook ")?.parse::<i32>().ok());
                    let agent_died = match life {
                        Part::Traced(traced) => traced.died("child 1"),
                        Part::Plain(_) => false,
                    };
                    // The end of a container that got its stop signal also ends its agent.
                    let is_told = world.log().iter().any(|line| line == "sidecar stop");
                    let fails = hook.is_some_and(|code| code != 0 || (agent_died && !is_told));
                    // The agent may not send signals to PID 1, and has reported this.
                    let is_helpless = world
                        .said("sidecar-says")
                        .contains("cannot send SIGTERM to PID 1");
                    if self.victim == Victim::Join && fails && count == 1 {
                        // The kubelet kills a container whose hook fails. If an agent is out of
                        // memory, the kernel kills the whole container (cgroup v2). A container
                        // whose agent alone is killed would stay until a person notices it.
                        let _ = kill(life.pid(), Signal::SIGKILL);
                    } else if main_ended.is_some()
                        && !is_deleted
                        && (is_helpless || world.record("main", "state").is_none())
                    {
                        // The main never came, or the agent cannot stop PID 1: delete the pod.
                        is_deleted = true;
                        if self.victim == Victim::Join {
                            signal_inside(life.pid());
                        } else {
                            let _ = kill(life.pid(), Signal::SIGTERM);
                        }
                    }
                }
            }
            late("the round hangs", world);
            pause();
        }
        let main_code = main.ended().unwrap();
        world.are_all_gone();
        let mut trace = Trace::default();
        for part in lives.into_iter().chain([main]) {
            if let Part::Traced(traced) = part {
                trace = traced.finish();
            }
        }
        Played {
            trace,
            sidecar: codes,
            main: main_code,
            is_deleted,
        }
    }

    /// Plays a pod with `restartPolicy: OnFailure`. The main fails with 3, and then the sidecar.
    /// Both are restarted, the sidecar first, and the main succeeds.
    fn play_restarts(&self, world: &World) -> Played {
        let start = Instant::now();
        let mut lives = vec![Part::start(
            world,
            &world.sidecar(),
            "sidecar-says",
            Some(self.strike.clone()),
        )];
        let mut mains = vec![Part::start(world, &world.main_with(3), "main-says", None)];
        let (mut codes, mut main_codes) = (Vec::new(), Vec::new());
        let (mut settles, mut has_acted) = (Instant::now(), false);
        while main_codes.len() < 2 || codes.last() != Some(&0) {
            if let Some(code) = lives.last_mut().unwrap().ended() {
                codes.push(code);
                world.add_to_log("sidecar over");
                settles = Instant::now();
                // A sidecar that is killed after it has recorded the failure counts as one that has
                // acted on it.
                has_acted |= code == 3 || world.folder.join("volume/sidecar.acted").exists();
                if code != 0 {
                    lives.push(Part::start(world, &world.sidecar(), "sidecar-says", None));
                } else if main_codes.len() < 2 {
                    // A sidecar that ended with 0 is not restarted. The end of its main is not seen
                    // yet, or the sidecar ended too early.
                    main_codes.push(eventually("the end of the main", || {
                        mains.last_mut().unwrap().ended()
                    }));
                    break;
                }
            }
            if let Some(code) = mains.get_mut(main_codes.len()).and_then(Part::ended) {
                main_codes.push(code);
                settles = Instant::now();
            }
            // One sidecar has acted on the failure and ended. The next one has had enough time to
            // act on the same failure.
            if mains.len() == 1
                && main_codes.len() == 1
                && has_acted
                && settles.elapsed() > Duration::from_millis(100)
            {
                mains.push(Part::start(world, &world.main(), "main-says", None));
            }
            assert!(
                start.elapsed() < LIMIT,
                "the round hangs: {codes:?} {main_codes:?} {}",
                show(world)
            );
            pause();
        }
        world.are_all_gone();
        let first = lives.swap_remove(0);
        let Part::Traced(first) = first else {
            unreachable!("the first life is traced")
        };
        Played {
            trace: first.finish(),
            sidecar: codes,
            main: main_codes.last().copied().unwrap_or(-1),
            is_deleted: false,
        }
    }

    /// Asserts the promises for a main that fails and its sidecar.
    fn verify_restarts(&self, world: &World, played: &Played) {
        let log = world.log();
        let is_excused = self.is_excused();
        let mut lives = false;
        for line in &log {
            match line.as_str() {
                "main begin" => lives = true,
                "main end" => lives = false,
                "sidecar stop" => assert!(!lives, "stopped while the main lives"),
                "sidecar over" => assert!(!lives || is_excused, "ended while the main lives"),
                _ => {}
            }
        }
        let count = |line: &str| log.iter().filter(|it| *it == line).count();
        assert_eq!(
            (played.main, count("main begin"), count("main end")),
            (0, 2, 2),
            "the main fails once and then succeeds"
        );
        assert_eq!(
            played.sidecar.last(),
            Some(&0),
            "the sidecar succeeds with its main"
        );
        let acts = played.sidecar.iter().filter(|code| **code == 3).count();
        let is_told = world.said("sidecar-says").contains("cannot remember");
        assert!(
            acts <= 1 + usize::from(is_told),
            "a failure is acted on twice: {:?}",
            played.sidecar
        );
        let others: Vec<_> = played
            .sidecar
            .iter()
            .filter(|code| ![0, 3].contains(*code))
            .collect();
        if !played.trace.struck {
            assert_eq!(
                (acts, others.len()),
                (1, 0),
                "there was no fault: {:?}",
                played.sidecar
            );
        }
        assert!(
            others.len() <= 1,
            "a life without a fault has failed: {:?}",
            played.sidecar
        );
    }

    /// May the member end although its main lives? It may if it is killed or gets no memory.
    fn is_excused(&self) -> bool {
        self.strike.as_ref().is_some_and(|(point, fault)| {
            *fault == Fault::Death
                || decided(point.number).is_some_and(|call| call.weight == Weight::Memory)
        })
    }

    /// Asserts the promises.
    fn verify(&self, world: &World, played: &Played) {
        let log = world.log();
        let said = [world.said("sidecar-says"), world.said("main-says")];
        let at = |line: &str| log.iter().position(|it| it == line);
        // A sidecar never stops while a main lives. If the podgate of a main failed or died, its
        // CMD was killed and wrote no end.
        if let (Some(begin), Some(stop)) = (at("main begin"), at("sidecar stop")) {
            let died = played.main != 0 && self.victim == Victim::Main;
            match at("main end") {
                Some(end) => assert!(stop > end || stop < begin, "stopped while the main lives"),
                None => assert!(died, "stopped, but the main did not end"),
            }
        }
        // A sidecar does not end while a main lives either, unless it is killed or gets no memory.
        if let (Victim::Sidecar, Some(begin), Some(over)) =
            (self.victim, at("main begin"), at("sidecar over"))
        {
            let lives = begin < over && at("main end").is_none_or(|end| over < end);
            assert!(!lives || self.is_excused(), "ended while the main lives");
        }
        // There is no false success, and a member without a fault does not fail.
        assert!(
            played.main != 0 || at("main end").is_some(),
            "a false success of the main"
        );
        if self.victim != Victim::Main {
            assert_eq!(played.main, 0, "the main has no fault");
        }
        let exit = world.record("main", "exit");
        let sidecar = *played.sidecar.last().unwrap();
        if self.victim == Victim::Main {
            let expected: &[i32] = match exit.as_deref().and_then(|code| code.parse().ok()) {
                // 137: the main is lost. It held its lock and died before it wrote its record.
                _ if played.is_deleted => &[0, 143, 137],
                Some(0) => &[0],
                Some(125) => &[125],
                Some(126) => &[126],
                Some(127) => &[127],
                Some(137) | None => &[137],
                Some(code) => panic!("the main's record has exit code {code}"),
            };
            assert!(
                expected.contains(&sidecar),
                "the sidecar ended with {sidecar}, the main's record has exit code {exit:?}"
            );
            assert_eq!(played.sidecar.len(), 1, "the sidecar has no fault");
        } else {
            // The member with the fault was restarted once at most.
            assert!(played.sidecar.len() < 3);
        }
        let victim = match self.victim {
            Victim::Main => played.main,
            Victim::Sidecar | Victim::Join | Victim::Restarted => played.sidecar[0],
        };
        let Some((point, fault)) = self.strike.as_ref().filter(|_| played.trace.struck) else {
            assert_eq!((played.main, sidecar), (0, 0), "there was no fault");
            return;
        };
        let call = decided(point.number).unwrap();
        let is_hook = self.victim == Victim::Join;
        let of_podgate = played
            .trace
            .ends
            .iter()
            .find(|(who, _)| who == "podgate")
            .map_or(0, |(_, code)| (*code).max(0));
        match fault {
            // A child that dies before its exec counts as a killed CMD.
            Fault::Death if point.who.starts_with("child") && !is_hook => assert_eq!(victim, 137),
            Fault::Death if is_hook => {}
            Fault::Stall(_) => assert_eq!((victim, played.sidecar.len()), (0, 1)),
            Fault::Death => assert_eq!(victim, 137),
            Fault::Error(_) => {
                let code = if is_hook { of_podgate } else { victim };
                let is_exec = call.name == "execve" || point.who.starts_with("child");
                let allowed = match (code, call.weight) {
                    (0, _) => true,
                    (_, Weight::Optional) => false,
                    (134 | 139 | 101, Weight::Memory) => true,
                    (125, _) => {
                        let says = &said[usize::from(self.victim == Victim::Main)];
                        // Memory: Rust's runtime ends the process and prints the reason.
                        let is_word = |line: &str| {
                            line.starts_with("podgate: cannot")
                                || (call.weight == Weight::Memory && line.starts_with("podgate: "))
                        };
                        assert!(says.lines().any(is_word), "125 without a message");
                        true
                    }
                    (126 | 127, _) => is_exec,
                    _ => false,
                };
                assert!(allowed, "podgate ended with {code}");
            }
        }
    }

    /// Asserts that the next life on the same volume works. The main starts first, so that the
    /// sidecar does not act on the old record.
    fn live_again(&self, world: &World) {
        let _ = fs::remove_file(world.folder.join("log"));
        let _ = fs::remove_file(world.folder.join("ready"));
        let before = world.record("main", "id");
        let mut main = Part::start(world, &world.main(), "again-says", None);
        eventually("the new main", || {
            (world.record("main", "id") != before).then_some(())
        });
        let mut sidecar = Part::start(world, &world.sidecar(), "again-says", None);
        let main = eventually("the end of the next main", || main.ended());
        let sidecar = eventually("the end of the next sidecar", || sidecar.ended());
        assert_eq!((main, sidecar), (0, 0), "the next life");
        let order = world.log();
        assert_eq!(
            order,
            ["sidecar begin", "main begin", "main end", "sidecar stop"],
            "the next life"
        );
        let left: BTreeSet<String> = fs::read_dir(world.folder.join("volume"))
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        let left: Vec<_> = left
            .iter()
            .filter(|name| !name.ends_with(".acted"))
            .collect();
        assert_eq!(
            left,
            ["main.lock", "main.record", "sidecar.lock", "sidecar.record"],
            "left on the volume"
        );
    }

    fn run(&self) -> Trace {
        let world = World::new();
        let mut ends = String::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let is_restarted = self.victim == Victim::Restarted;
            let played = if is_restarted {
                self.play_restarts(&world)
            } else {
                self.play(&world)
            };
            ends = format!(
                "sidecar {:?}, main {}, {:?}",
                played.sidecar, played.main, played.trace.ends
            );
            if is_restarted {
                self.verify_restarts(&world, &played);
            } else {
                self.verify(&world, &played);
            }
            self.live_again(&world);
            played.trace
        }));
        result.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            panic!(
                "{self}: {}\n{ends}\n{}",
                text.unwrap_or_default(),
                show(&world)
            )
        })
    }
}

/// Sends SIGTERM to PID 1 of the namespace that this `unshare` has made: its only child.
fn signal_inside(unshare: Pid) {
    let children =
        fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap_or_default();
    if let Some(init) = children
        .split_ascii_whitespace()
        .next()
        .and_then(|pid| pid.parse().ok())
    {
        let _ = kill(Pid::from_raw(init), Signal::SIGTERM);
    }
}

fn show(world: &World) -> String {
    let mut text = format!("--- log\n{}\n", world.log().join("\n"));
    for of in ["sidecar-says", "main-says", "again-says"] {
        text += &format!("--- {of}\n{}", world.said(of));
    }
    for member in ["sidecar", "main"] {
        let record = fs::read_to_string(world.folder.join(&format!("volume/{member}.record")));
        text += &format!("--- {member}.record\n{}", record.unwrap_or_default());
    }
    text
}

fn pause() {
    thread::sleep(Duration::from_millis(2));
}

/// All points in the life of a victim. The number of its wake-ups depends on the timing, so this
/// takes several recordings.
fn points(victim: Victim) -> Vec<Point> {
    let mut most: BTreeMap<(String, i64), usize> = BTreeMap::new();
    for _ in 0..3 {
        for point in (Round {
            victim,
            strike: None,
        })
        .run()
        .calls
        {
            let count = most.entry((point.who, point.number)).or_default();
            *count = point.nth.max(*count);
        }
    }
    let undecided: Vec<_> = most
        .keys()
        .filter(|(_, number)| decided(*number).is_none())
        .collect();
    assert!(
        undecided.is_empty(),
        "CALLS lacks these calls: {undecided:?}"
    );
    let all = most.into_iter().flat_map(|((who, number), count)| {
        (1..=count).map(move |nth| Point {
            who: who.clone(),
            number,
            nth,
        })
    });
    all.collect()
}

/// Prints even if the test passes. libtest would capture the output of `println!`.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn rounds(victim: Victim) -> Vec<Round> {
    let first_of_thread = Point {
        who: "thread 1".to_owned(),
        number: libc::SYS_rt_sigprocmask,
        nth: 1,
    };
    let faults = |point: &Point| {
        let errors = decided(point.number)
            .unwrap()
            .errors
            .iter()
            .map(|errno| Fault::Error(*errno));
        // A thread that runs while its process forks may hold a lock that the child needs.
        let is_first =
            victim == Victim::Join && point.who == "thread 1" && *point == first_of_thread;
        let stalls = (0..if is_first { 60 } else { 0 }).map(|step| Fault::Stall(step * 25));
        [Fault::Death]
            .into_iter()
            .chain(stalls)
            .chain(errors)
            .collect::<Vec<_>>()
    };
    let points = points(victim);
    let rounds: Vec<Round> = points
        .iter()
        .flat_map(|point| {
            faults(point).into_iter().map(|fault| Round {
                victim,
                strike: Some((point.clone(), fault)),
            })
        })
        .collect();
    say(&format!(
        "{victim:?}: {} points, {} faults",
        points.len(),
        rounds.len()
    ));
    assert!(
        points.len() > 250,
        "{victim:?} has only {} points: does the tracer see its calls?",
        points.len()
    );
    rounds
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// A random sample, made with splitmix64.
fn sample(mut rounds: Vec<Round>, share: u64) -> Vec<Round> {
    if let Ok(only) = std::env::var("PODGATE_FAULTS_ONLY") {
        rounds.retain(|round| round.to_string().contains(&only));
        return rounds;
    }
    if std::env::var("PODGATE_FAULTS").is_ok_and(|which| which == "all") {
        return rounds;
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let (mut seed, count) = (
        number("PODGATE_FAULTS_SEED", now),
        number("PODGATE_FAULTS_ROUNDS", share),
    );
    say(&format!(
        "PODGATE_FAULTS_SEED={seed} PODGATE_FAULTS_ROUNDS={count}"
    ));
    for at in 0..rounds.len() {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let left = u64::try_from(rounds.len() - at).unwrap();
        rounds.swap(
            at,
            at + usize::try_from((mixed ^ (mixed >> 31)) % left).unwrap(),
        );
    }
    rounds.truncate(usize::try_from(count).unwrap());
    rounds
}

fn every_call_of(victim: Victim) {
    if !musl() || !namespaces() {
        return;
    }
    let all = rounds(victim);
    let rounds = sample(all, 60);
    let (next, struck, failures) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        Mutex::new(Vec::new()),
    );
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(round) = rounds.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match catch_unwind(AssertUnwindSafe(|| round.run())) {
                        Ok(trace) => {
                            let _ = struck.fetch_add(usize::from(trace.struck), Ordering::SeqCst);
                        }
                        Err(panic) => {
                            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                            failures.lock().unwrap().push(text);
                        }
                    }
                }
            });
        }
    });
    let (struck, failures) = (struck.into_inner(), failures.into_inner().unwrap());
    let (count, failed) = (rounds.len(), failures.len());
    say(&format!(
        "{victim:?}: {count} rounds, {struck} struck, {failed} failed, {:?}",
        start.elapsed()
    ));
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    // The number of wake-ups depends on the timing, so some faults never happen.
    assert!(
        struck * 3 >= rounds.len(),
        "only {struck} of {} rounds",
        rounds.len()
    );
}

/// A negative control: the fault happens at the chosen call and has its effect.
#[test]
fn a_fault_has_its_effect_only_if_its_call_happens() {
    // musl forks with fork(2), glibc with clone(2).
    if !musl() {
        return;
    }
    let strike = |number, nth, fault| {
        let folder = Folder::new();
        let words = [PODGATE, "run", "--", "true"].map(str::to_owned);
        let stderr = File::create(folder.join("says")).unwrap();
        let point = Point {
            who: "podgate".to_owned(),
            number,
            nth,
        };
        let mut traced = Traced::start(&words, Path::new(PODGATE), stderr, Some((point, fault)));
        let code = eventually("its end", || traced.ended());
        (
            code,
            traced.finish().struck,
            fs::read_to_string(folder.join("says")).unwrap(),
        )
    };
    let (code, struck, said) = strike(libc::SYS_signalfd4, 1, Fault::Error(EMFILE));
    assert_eq!((code, struck), (125, true), "{said}");
    assert!(said.contains("cannot take over the signals"), "{said}");
    assert_eq!(
        strike(libc::SYS_signalfd4, 1, Fault::Death),
        (137, true, String::new())
    );
    assert_eq!(strike(libc::SYS_fork, 1, Fault::Error(EAGAIN)).0, 125);
    assert_eq!(
        strike(libc::SYS_signalfd4, 99, Fault::Death),
        (0, false, String::new())
    );
}

/// Another negative control: the assertions find a violation.
#[test]
fn a_sidecar_that_does_not_wait_for_its_main_is_caught() {
    let world = World::new();
    let round = Round {
        victim: Victim::Sidecar,
        strike: None,
    };
    fs::write(
        world.folder.join("log"),
        "sidecar begin\nmain begin\nsidecar stop\nmain end\n",
    )
    .unwrap();
    let played = Played {
        trace: Trace::default(),
        sidecar: vec![0],
        main: 0,
        is_deleted: false,
    };
    let caught = catch_unwind(AssertUnwindSafe(|| round.verify(&world, &played))).unwrap_err();
    assert_eq!(
        caught.downcast_ref::<&str>(),
        Some(&"stopped while the main lives")
    );
    fs::write(world.folder.join("log"), "sidecar begin\nmain begin\n").unwrap();
    assert!(
        catch_unwind(AssertUnwindSafe(|| round.verify(&world, &played))).is_err(),
        "a false success"
    );
    fs::write(
        world.folder.join("log"),
        "sidecar begin\nmain begin\nmain end\nsidecar stop\n",
    )
    .unwrap();
    round.verify(&world, &played);
    let caught = |result: std::thread::Result<()>| *result.unwrap_err().downcast::<&str>().unwrap();
    fs::write(
        world.folder.join("log"),
        "sidecar begin\nmain begin\nsidecar over\nmain end\n",
    )
    .unwrap();
    let verified = catch_unwind(AssertUnwindSafe(|| round.verify(&world, &played)));
    assert_eq!(caught(verified), "ended while the main lives");
    // The main was restarted, and the sidecar acted on the old failure again.
    let round = Round {
        victim: Victim::Restarted,
        strike: None,
    };
    let twice = "main begin\nmain end\nsidecar stop\nsidecar over\n".repeat(2);
    fs::write(world.folder.join("log"), twice).unwrap();
    let played = |sidecar| Played {
        trace: Trace::default(),
        sidecar,
        main: 0,
        is_deleted: false,
    };
    round.verify_restarts(&world, &played(vec![3, 0]));
    assert!(
        catch_unwind(AssertUnwindSafe(
            || round.verify_restarts(&world, &played(vec![3, 3, 0]))
        ))
        .is_err()
    );
}

#[test]
fn the_promises_hold_when_a_system_call_of_the_sidecar_fails() {
    every_call_of(Victim::Sidecar);
}

#[test]
fn the_promises_hold_when_a_system_call_of_a_sidecar_with_a_restarted_main_fails() {
    every_call_of(Victim::Restarted);
}

#[test]
fn the_promises_hold_when_a_system_call_of_the_main_fails() {
    every_call_of(Victim::Main);
}

#[test]
fn the_promises_hold_when_a_system_call_of_a_joined_sidecar_fails() {
    every_call_of(Victim::Join);
}
