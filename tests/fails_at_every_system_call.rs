//! Every single system call of a member, over a complete life, fails once or is the place where the process dies, and what was promised
//! holds all the same (P6 and P7). One call a round; the other member of the pod runs unharmed.
//!
//! A recording run enumerates the points: per thread and process of podgate, which call, and the how manieth. Each of them is played
//! with SIGKILL, and with each error that the call can really give (its man page's, less those that only a bug could cause). Of the
//! many points a seeded sample is played; `PODGATE_FAULTS=all` plays them all, `PODGATE_FAULTS_ROUNDS` and `PODGATE_FAULTS_SEED`
//! choose another sample, and `PODGATE_FAULTS_ONLY` (a part of a round's name) plays but some.
//!
//! Seen from outside: each CMD writes down that it begins, ends, or is told to stop, into one file, whose order is the order of things.

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

/// Rounds at once: most of a round is waiting.
const AT_ONCE: usize = 4;

/// What a call may do wrong without a bug in podgate or in the kernel, and what of podgate hangs on it.
struct Call {
    number: i64,
    name: &'static str,
    errors: &'static [Errno],
    weight: Weight,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// podgate goes on as if nothing was: at the most it warns.
    Optional,
    /// Memory: who gets none is ended by Rust's runtime or says so, and that is a death as any other.
    Memory,
    /// Some are needed: then podgate ends, with a code of its own and a message.
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

/// Every call that podgate makes. One that is not here fails the test: somebody has to decide what it may do.
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
    // Waiting, and being told. EINVAL: somebody has lowered the limit on descriptors.
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
    // Processes. What waits for a child of one's own with WNOHANG cannot fail, nor can a signal to one that is not reaped, but where CMD
    // has changed its user.
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
    // What no kernel refuses to a program that asks rightly.
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

/// Who is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// `run --name sidecar --until main --ready …`
    Sidecar,
    /// `run --name main --after ready:sidecar`
    Main,
    /// `join --name sidecar --until main`, and what it leaves behind.
    Join,
    /// The sidecar again, of a main that fails at first: it ends with the main's code, is restarted with it, and must not act again on what
    /// is old.
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

/// A pod's files.
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

    /// A line into the file that tells the order of things.
    fn note(&self, line: &str) -> String {
        format!("echo {line} >>{}", self.folder.text("log"))
    }

    /// The CMD of a sidecar: ready at once, and there until it is told to stop. No process but the shell: nothing outlives it.
    fn sidecar_script(&self) -> String {
        let (ready, pids, never) = (
            self.folder.text("ready"),
            self.folder.text("pids"),
            self.folder.text("never"),
        );
        let (begin, stop) = (self.note("sidecar begin"), self.note("sidecar stop"));
        format!(
            "trap '{stop}; exit 0' TERM\n{begin}\necho $$ >>{pids}\n: >{ready}\nwhile :; do read -r x <>{never}; done"
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

    /// The main that ends with this code.
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

    /// A container whose entrypoint is a shell, and whose hook joins; its PID 1 is that shell.
    fn joined(&self) -> Vec<String> {
        let ready = format!("file://{}", self.folder.text("ready"));
        let options = [
            "--name",
            "sidecar",
            "--until",
            "main",
            "--restart-policy",
            "never",
            "--ready",
            &ready,
            "--log-to",
            "stderr",
        ];
        let hook = shell_words::join(self.words("join", &options, &["true"]));
        let told = format!("echo hook $? >>{}", self.folder.text("log"));
        let script = self
            .sidecar_script()
            .replace("while :", &format!("{hook}\n{told}\nwhile :"));
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

    /// What a record says of this, if there is one.
    fn record(&self, member: &str, field: &str) -> Option<String> {
        let text = fs::read_to_string(self.folder.join(&format!("volume/{member}.record"))).ok()?;
        Some(
            text.lines()
                .find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))?
                .to_owned(),
        )
    }

    /// The CMDs that live. Told from others by what they execute.
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
        // At once: the members write into it, too.
        log.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Waits until no CMD lives any more.
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

/// A container: followed, or not.
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

/// How a round went.
struct Played {
    trace: Trace,
    sidecar: Vec<i32>,
    main: i32,
    /// Did the sidecar end because the pod was deleted? Its main never came, or nobody was there to end it.
    is_deleted: bool,
}

impl Round {
    /// Plays it as a kubelet with `restartPolicy: OnFailure` for the sidecar, and `Never` for the main.
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
                // It has ended well, or with its main's code: the main's own end is not seen yet.
                Some(code) if code == 0 || self.victim == Victim::Main => {}
                Some(_) if count < 3 => {
                    // It is not the first one's fault that comes now.
                    let words = if self.victim == Victim::Join {
                        world.joined()
                    } else {
                        world.sidecar()
                    };
                    lives.push(Part::start(world, &words, "sidecar-says", None));
                }
                Some(_) => panic!(
                    "the sidecar ended again and again: {codes:?} {}",
                    show(world)
                ),
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
                    // Who was told to stop takes its agent with it.
                    let is_told = world.log().iter().any(|line| line == "sidecar stop");
                    let fails = hook.is_some_and(|code| code != 0 || (agent_died && !is_told));
                    // The agent's user may not signal PID 1's: it says so.
                    let is_helpless = world
                        .said("sidecar-says")
                        .contains("cannot send SIGTERM to PID 1");
                    if self.victim == Victim::Join && fails && count == 1 {
                        // The kubelet kills the container of a hook that fails; and the kernel that of an agent that is killed for memory
                        // (cgroup v2 kills all of a container). One whose agent is killed alone stays, and somebody has to see it.
                        let _ = kill(life.pid(), Signal::SIGKILL);
                    } else if main_ended.is_some()
                        && !is_deleted
                        && (is_helpless || world.record("main", "state").is_none())
                    {
                        // And a main that never came: the pod is deleted.
                        is_deleted = true;
                        if self.victim == Victim::Join {
                            signal_inside(life.pid());
                        } else {
                            let _ = kill(life.pid(), Signal::SIGTERM);
                        }
                    }
                }
            }
            late("it hangs", world);
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

    /// Plays a pod with OnFailure: the main fails with 3, then the sidecar; both are restarted, the sidecar first, and the main succeeds.
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
                // Who is killed when it has written down what it acts on has acted.
                has_acted |= code == 3 || world.folder.join("volume/sidecar.acted").exists();
                if code != 0 {
                    lives.push(Part::start(world, &world.sidecar(), "sidecar-says", None));
                } else if main_codes.len() < 2 {
                    // Nobody restarts it: its main's end is not seen yet, or it has ended too early.
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
            // One has acted and is over, and the next one has time enough to act on what is old.
            if mains.len() == 1
                && main_codes.len() == 1
                && has_acted
                && settles.elapsed() > Duration::from_millis(100)
            {
                mains.push(Part::start(world, &world.main(), "main-says", None));
            }
            assert!(
                start.elapsed() < LIMIT,
                "it hangs: {codes:?} {main_codes:?} {}",
                show(world)
            );
            pause();
        }
        world.are_all_gone();
        let first = lives.swap_remove(0);
        let Part::Traced(first) = first else {
            unreachable!("the first life is followed")
        };
        Played {
            trace: first.finish(),
            sidecar: codes,
            main: main_codes.last().copied().unwrap_or(-1),
            is_deleted: false,
        }
    }

    /// What was promised of a main that fails, and of its sidecar.
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
            "the main has failed and succeeded"
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
                "nobody was struck: {:?}",
                played.sidecar
            );
        }
        assert!(
            others.len() <= 1,
            "who was not struck has failed: {:?}",
            played.sidecar
        );
    }

    /// It was struck so that it may end whatever lives: it is killed, or gets no memory.
    fn is_excused(&self) -> bool {
        self.strike.as_ref().is_some_and(|(point, fault)| {
            *fault == Fault::Death
                || decided(point.number).is_some_and(|call| call.weight == Weight::Memory)
        })
    }

    /// What was promised.
    fn verify(&self, world: &World, played: &Played) {
        let log = world.log();
        let said = [world.said("sidecar-says"), world.said("main-says")];
        let at = |line: &str| log.iter().position(|it| it == line);
        // A sidecar never stops while a main lives. A main whose podgate has failed or died has no end of its own: it was killed.
        if let (Some(begin), Some(stop)) = (at("main begin"), at("sidecar stop")) {
            let died = played.main != 0 && self.victim == Victim::Main;
            match at("main end") {
                Some(end) => assert!(stop > end || stop < begin, "stopped while the main lives"),
                None => assert!(died, "stopped, and the main never ended"),
            }
        }
        // Nor does it end by itself then: it is killed, or gets no memory.
        if let (Victim::Sidecar, Some(begin), Some(over)) =
            (self.victim, at("main begin"), at("sidecar over"))
        {
            let lives = begin < over && at("main end").is_none_or(|end| over < end);
            assert!(!lives || self.is_excused(), "ended while the main lives");
        }
        // No false success, and no failure of the unharmed.
        assert!(
            played.main != 0 || at("main end").is_some(),
            "the main's success is false"
        );
        if self.victim != Victim::Main {
            assert_eq!(played.main, 0, "the main is unharmed");
        }
        let exit = world.record("main", "exit");
        let sidecar = *played.sidecar.last().unwrap();
        if self.victim == Victim::Main {
            let expected: &[i32] = match exit.as_deref().and_then(|code| code.parse().ok()) {
                // Lost: it was seen with its lock, and died before it could write its record.
                _ if played.is_deleted => &[0, 143, 137],
                Some(0) => &[0],
                Some(125) => &[125],
                Some(126) => &[126],
                Some(127) => &[127],
                Some(137) | None => &[137],
                Some(code) => panic!("the main's record says {code}"),
            };
            assert!(
                expected.contains(&sidecar),
                "the sidecar ended with {sidecar}, the main's record says {exit:?}"
            );
            assert_eq!(played.sidecar.len(), 1, "the sidecar is unharmed");
        } else {
            // Who was struck came again, and then all is well; or was struck when all was over.
            assert!(played.sidecar.len() < 3);
        }
        let victim = match self.victim {
            Victim::Main => played.main,
            Victim::Sidecar | Victim::Join | Victim::Restarted => played.sidecar[0],
        };
        let Some((point, fault)) = self.strike.as_ref().filter(|_| played.trace.struck) else {
            assert_eq!((played.main, sidecar), (0, 0), "nobody was struck");
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
            // A CMD that dies before it is one was killed all the same.
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
                        // Memory: the runtime has failed, and says what with.
                        let is_word = |line: &str| {
                            line.starts_with("podgate: cannot")
                                || (call.weight == Weight::Memory && line.starts_with("podgate: "))
                        };
                        assert!(says.lines().any(is_word), "125 without a word");
                        true
                    }
                    (126 | 127, _) => is_exec,
                    // A signal that cannot be sent: killed after its grace.
                    _ => false,
                };
                assert!(allowed, "podgate ended with {code}");
            }
        }
    }

    /// The next life on the same volume is as good as new: main first, so that nobody acts on what is old.
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

/// SIGTERM to PID 1 of the namespace that this `unshare` has made: its only child.
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

/// All points of a victim's life: of several recordings, because how often it is woken depends on the moment.
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
        "these calls are not decided: {undecided:?}"
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

/// The counts are to be seen, also of a test that passes: not by println, which that swallows.
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
        // A thread that is on its way when its process forks may hold what the new one will need.
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
        "{victim:?} has {} points only: are its calls seen?",
        points.len()
    );
    rounds
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// A sample, by splitmix64.
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
    // How often a member is woken depends on the moment, so the last ones of some calls do not always come.
    assert!(
        struck * 3 >= rounds.len(),
        "{struck} of {} rounds only",
        rounds.len()
    );
}

/// A negative control: what strikes is what was meant, and podgate feels it.
#[test]
fn a_fault_that_strikes_is_felt_and_one_that_does_not_is_not() {
    // musl forks by fork(2), glibc by clone(2).
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

/// Another one: what is looked for is seen where it is.
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
    // Of a main that failed and was restarted: what is old was acted on again.
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
fn the_sidecar_at_every_system_call() {
    every_call_of(Victim::Sidecar);
}

#[test]
fn the_restarted_at_every_system_call() {
    every_call_of(Victim::Restarted);
}

#[test]
fn the_main_at_every_system_call() {
    every_call_of(Victim::Main);
}

#[test]
fn the_joined_at_every_system_call() {
    every_call_of(Victim::Join);
}
