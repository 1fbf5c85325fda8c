//! What the black-box tests share: podgate as a process, servers that a test controls, and waiting
//! with a time limit.
//!
//! Everything that is started ends when its handle is dropped. Where the machine cannot run a test,
//! the test calls [`needs`]: under CI and `make` it fails, elsewhere it is skipped with a printed
//! reason.

pub mod cast;
pub mod kubelet;
pub mod player;
pub mod pod;
pub mod server;
pub mod skips;
pub mod source;
pub mod terminal;
#[cfg(target_arch = "x86_64")]
pub mod tracer;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The binary under test. PODGATE_UNDER_TEST can name another one than cargo's when the tests are
/// compiled: ci/emulated names one for another architecture.
pub const PODGATE: &str = match option_env!("PODGATE_UNDER_TEST") {
    Some(path) => path,
    None => env!("CARGO_BIN_EXE_podgate"),
};

/// The target of `/proc/PID/exe` of a podgate: the binary itself, or its emulator.
const EXE: &str = match option_env!("PODGATE_EMULATOR") {
    Some(path) => path,
    None => PODGATE,
};

/// No test waits longer for anything. An emulated program takes several times as long.
pub const LIMIT: Duration = Duration::from_secs(if option_env!("PODGATE_EMULATOR").is_some() {
    120
} else {
    30
});

/// A call of podgate that is not started yet.
pub struct Podgate {
    command: Command,
    words: Vec<String>,
}

/// `podgate` with these arguments, without the PODGATE_ variables of the test's own environment.
pub fn podgate<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Podgate {
    inside(&[], arguments)
}

/// The same, started by another program: `unshare …`, `setpriv …`.
pub fn inside<S: AsRef<OsStr>>(
    starter: &[&str],
    arguments: impl IntoIterator<Item = S>,
) -> Podgate {
    let mut words: Vec<String> = starter.iter().map(|word| (*word).to_owned()).collect();
    words.push(PODGATE.to_owned());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    for argument in arguments {
        words.push(argument.as_ref().to_string_lossy().into_owned());
        command.arg(argument);
    }
    without_own_variables(&mut command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Podgate { command, words }
}

/// Removes variables of the test's own environment that would change what podgate does.
pub fn without_own_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PODGATE_") || name == "SSL_CERT_FILE" {
            command.env_remove(name);
        }
    }
}

impl Podgate {
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn start(mut self) -> Running {
        let started = Instant::now();
        let mut child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}: {error}", self.words));
        let stdout = Stream::of(child.stdout.take());
        let stderr = Stream::of(child.stderr.take());
        Running {
            child,
            words: self.words,
            started,
            stdout,
            stderr,
        }
    }

    /// Runs it until it ends.
    pub fn run(self) -> Done {
        self.start().finish()
    }
}

/// A stream that a thread reads as it arrives.
struct Stream {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn of(stream: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&text);
        let reader = stream.map(|mut stream| {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    into.lock().unwrap().extend_from_slice(&buffer[..count]);
                }
            })
        });
        Self { text, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// All of the stream, if it ends soon: a process that was left behind may keep it open.
    fn all(&mut self) -> String {
        let Some(reader) = self.reader.take() else {
            return String::new();
        };
        let patience = Instant::now();
        while !reader.is_finished() && patience.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(1));
        }
        self.text()
    }
}

/// A running podgate. Killed when dropped.
pub struct Running {
    child: Child,
    words: Vec<String>,
    started: Instant,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    /// The pid of the started program: podgate's, unless a starter stands before it.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// The pid of the first descendant that is podgate, where a starter stands before it.
    pub fn podgate_pid(&self) -> Pid {
        eventually("podgate to be started", || {
            let mut pid = self.pid();
            loop {
                let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
                if path == Path::new(EXE) {
                    return Some(pid);
                }
                let children =
                    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
                pid = Pid::from_raw(children.split_ascii_whitespace().next()?.parse().ok()?);
            }
        })
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until this text is on stderr.
    pub fn says(&self, text: &str) {
        let said = || self.stderr().contains(text).then_some(());
        eventually_or(&format!("{text:?} on stderr"), said, || {
            format!("$ {}\n{}", self.words.join(" "), self.stderr())
        });
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Done {
        let status = eventually_or(
            "its end",
            || self.child.try_wait().unwrap(),
            || format!("$ {}", self.words.join(" ")),
        );
        let took = self.started.elapsed();
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        Done {
            words: std::mem::take(&mut self.words),
            status,
            stdout,
            stderr,
            took,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Done {
    pub words: Vec<String>,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.words.join(" "))?;
        writeln!(
            f,
            "in {}",
            std::env::current_dir().unwrap_or_default().display()
        )?;
        writeln!(f, "{} after {:?}", self.status, self.took)?;
        writeln!(
            f,
            "--- stdout\n{}--- stderr\n{}---",
            self.stdout, self.stderr
        )
    }
}

impl Done {
    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// The process was ended by this signal, as wait(2) shows it, and did not exit with 128+n.
    #[track_caller]
    pub fn killed_by(&self, signal: Signal) -> &Self {
        let ended_by = std::os::unix::process::ExitStatusExt::signal(&self.status);
        assert_eq!(ended_by, Some(signal as i32), "{self}");
        self
    }

    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "no {text:?} on stderr\n{self}");
        self
    }

    #[track_caller]
    pub fn says_not(&self, text: &str) -> &Self {
        assert!(
            !self.stderr.contains(text) && !self.stdout.contains(text),
            "{text:?} is in the output\n{self}"
        );
        self
    }

    #[track_caller]
    pub fn prints(&self, text: &str) -> &Self {
        assert_eq!(self.stdout, text, "{self}");
        self
    }

    /// The process ended well before this limit, so not because of a timeout.
    #[track_caller]
    pub fn within(&self, limit: Duration) -> &Self {
        assert!(self.took < limit, "not within {limit:?}\n{self}");
        self
    }

    #[track_caller]
    pub fn not_before(&self, limit: Duration) -> &Self {
        assert!(self.took >= limit, "before {limit:?}\n{self}");
        self
    }

    pub fn last_line(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}

/// Waits until `look` finds something.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_or(what, look, String::new)
}

#[track_caller]
pub fn eventually_or<T>(
    what: &str,
    mut look: impl FnMut() -> Option<T>,
    or: impl FnOnce() -> String,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        if start.elapsed() > LIMIT {
            panic!("waited {LIMIT:?} for {what}\n{}", or());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// A temporary directory for a test, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "podgate-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = fs::canonicalize(std::env::temp_dir()).unwrap().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of an entry.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.join(name).to_str().unwrap().to_owned()
    }

    /// Creates a file.
    pub fn file(&self, name: &str, content: &str) -> String {
        fs::write(self.join(name), content).unwrap();
        self.text(name)
    }

    /// Creates a shell script.
    pub fn script(&self, name: &str, content: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.file(name, &format!("#!/bin/sh\n{content}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that a test needs. Killed with its process group when dropped.
pub struct Program(Child);

impl Program {
    pub fn start(command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt;
        Self(
            command
                .process_group(0)
                .stdin(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap())
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = nix::sys::signal::killpg(self.pid(), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// Runs a command that has to succeed, and returns its output.
#[track_caller]
pub fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// May the test go on? Where `what` is missing, the test has to return without a failure.
///
/// # Panics
/// `what` is missing, and no test may be skipped: CI is set, or `make` runs the tests.
#[track_caller]
pub fn needs(what: &str, is_there: bool) -> bool {
    if is_there {
        return true;
    }
    let skips_none = std::env::var_os("CI").is_some()
        || std::env::var_os("PODGATE_TESTS").is_some_and(|it| it == "all");
    assert!(
        !skips_none,
        "needs {what}, and no test may be skipped here (CI or PODGATE_TESTS=all is set); \
         ci/setup installs what the tests need"
    );
    let test = thread::current().name().unwrap_or("a test").to_owned();
    // libtest captures `eprintln!`. One write for each line, so that tests that run at the same
    // time do not mix theirs.
    let _ = std::io::stderr().write_all(format!("SKIPPED {test}: needs {what}\n").as_bytes());
    fs::create_dir_all(skips::folder()).unwrap();
    let mut record = OpenOptions::new()
        .create(true)
        .append(true)
        .open(skips::record())
        .unwrap();
    record
        .write_all(format!("{test}\t{what}\n").as_bytes())
        .unwrap();
    false
}

/// The path of a program, if it is installed.
pub fn program(name: &str, also_in: &[&str]) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path
        .split(':')
        .chain(["/usr/sbin", "/sbin"])
        .chain(also_in.iter().copied());
    folders
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
}

/// Is Python installed?
#[track_caller]
pub fn python3() -> bool {
    needs("python3", program("python3", &[]).is_some())
}

/// May this user make namespaces?
pub fn namespaces() -> bool {
    let status = Command::new("unshare")
        .args(["--pid", "--fork", "--mount", "--net", "true"])
        .stderr(Stdio::null())
        .status();
    needs(
        "the right to make namespaces (root, and unshare of util-linux)",
        status.is_ok_and(|status| status.success()),
    )
}

/// Is podgate built for musl, as it is released: a static program, with musl's messages
/// and exec?
#[track_caller]
pub fn musl() -> bool {
    needs(
        "podgate built for musl (cargo test --target ARCH-unknown-linux-musl)",
        cfg!(target_env = "musl"),
    )
}

/// Starts podgate as PID 1 of its own PID namespace.
pub const AS_PID_1: &[&str] = &["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
