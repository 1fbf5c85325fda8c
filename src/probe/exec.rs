//! `exec:`: a command exits with code 0. It runs in its own process group, with an empty standard
//! input. The whole group is killed when its time is over, and when the command ends and leaves
//! other processes behind (runtimes kill only the first process: containerd#4594).

use super::attempt::{Probe, Step};
use crate::core::exec_error::ExecError;
use crate::core::outcome::{Operation, Outcome, Phase, Reason, one_line};
use crate::core::redact;
use crate::event_loop::Interest;
use crate::process::exec::exec_error;
use crate::process::{Children, End};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::unistd::{self, Pid};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::process::Command;
use std::rc::Rc;
use std::time::Instant;

/// The input of a command: it is empty.
const NULL: &str = "/dev/null";

/// How many bytes of the last line a reason contains.
const LONGEST_LINE: usize = 200;

/// How many bytes of a line are remembered.
const KEPT: usize = 400;

pub(super) struct Exec {
    words: Vec<String>,
    children: Rc<RefCell<Children>>,
    under_way: Option<UnderWay>,
    /// The last line that a cancelled command printed.
    output: String,
}

struct UnderWay {
    pid: Pid,
    output: PipeReader,
    /// The command has closed its output. Only its end is still to come.
    is_closed: bool,
    last: LastLine,
}

impl Exec {
    pub(super) fn new(words: &[String], children: Rc<RefCell<Children>>) -> Self {
        Self {
            words: words.to_vec(),
            children,
            under_way: None,
            output: String::new(),
        }
    }

    /// Starts the command. The error is the end of the attempt.
    fn spawn(&self) -> Result<UnderWay, Outcome> {
        let system = |operation| {
            move |error| {
                let errno = crate::core::errno::Errno::of(&error);
                Outcome::NotYet(Reason::System(operation, errno))
            }
        };
        // What the command itself is not the cause of is prepared first.
        let empty = File::open(NULL).map_err(system(Operation::OpenInput))?;
        let (output, stdout, stderr) = pipe().map_err(system(Operation::OpenOutput))?;
        let mut command = Command::new(self.name());
        command
            .args(self.words.iter().skip(1))
            .stdin(empty)
            .stdout(stdout)
            .stderr(stderr);
        let spawned = self.children.borrow_mut().spawn(&mut command);
        let pid = spawned.map_err(|error| {
            let error = exec_error(self.name().as_ref(), &error);
            not_started(self.name(), error)
        })?;
        Ok(UnderWay {
            pid,
            output,
            is_closed: false,
            last: LastLine::default(),
        })
    }

    fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}

impl Probe for Exec {
    fn start(&mut self, _until: Instant) -> Step {
        match self.spawn() {
            Ok(under_way) => {
                self.under_way = Some(under_way);
                self.proceed()
            }
            Err(outcome) => Step::Done(outcome),
        }
    }

    fn proceed(&mut self) -> Step {
        let Some(under_way) = &mut self.under_way else {
            return Step::Wait;
        };
        // First the end, then the output: so no line from before the end is missed.
        let end = self.children.borrow_mut().take_end(under_way.pid);
        under_way.read();
        let Some(end) = end else { return Step::Wait };
        let line = under_way.last.text();
        self.under_way = None;
        Step::Done(match end {
            End::Exited(0) => Outcome::Pass,
            End::Exited(code) => Outcome::NotYet(Reason::ExitCode(code, line)),
            End::Killed(signal) => Outcome::NotYet(Reason::Killed(signal, line)),
        })
    }

    fn cancel(&mut self) -> Phase {
        if let Some(mut under_way) = self.under_way.take() {
            under_way.read();
            self.output = under_way.last.text();
            self.children.borrow_mut().kill(under_way.pid);
        }
        Phase::Command
    }

    fn output(&self) -> String {
        self.output.clone()
    }

    fn interest(&self) -> Option<Interest<'_>> {
        self.under_way
            .as_ref()
            .filter(|it| !it.is_closed)
            .map(|it| Interest::readable(it.output.as_fd()))
    }

    fn waits_for_child(&self) -> bool {
        self.under_way.is_some()
    }
}

/// A pipe whose reader does not block, with two writers.
fn pipe() -> io::Result<(PipeReader, PipeWriter, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((reader, writer.try_clone()?, writer))
}

/// A command that does not exist now will not exist later in this container. An error that is not
/// about the command's file may pass.
fn not_started(name: &str, error: ExecError) -> Outcome {
    let not_executable = Reason::NotExecutable(name.to_owned(), error);
    match error {
        ExecError::NotFound => Outcome::Never(Reason::NoCommand(name.to_owned())),
        ExecError::Other(errno) if !is_about_the_file(errno) => Outcome::NotYet(not_executable),
        ExecError::Busy | ExecError::NoResources(_) => Outcome::NotYet(not_executable),
        ExecError::NoInterpreter
        | ExecError::NotPermitted
        | ExecError::WrongFormat
        | ExecError::Other(_) => Outcome::Never(not_executable),
    }
}

/// Whether execve(2) returns this error for a file or arguments that it can never execute. The
/// others are about the machine: EIO, ESTALE of a network file system, ESRCH.
fn is_about_the_file(errno: crate::core::errno::Errno) -> bool {
    [
        libc::E2BIG,
        libc::EINVAL,
        libc::EISDIR,
        libc::ELIBBAD,
        libc::ELOOP,
        libc::ENAMETOOLONG,
        libc::EPERM,
    ]
    .contains(&errno.0)
}

impl UnderWay {
    /// Reads the output, but at most as much as a pipe holds, because a command may print without
    /// end.
    fn read(&mut self) {
        let mut buffer = [0; 4096];
        for _ in 0..16 {
            match unistd::read(&self.output, &mut buffer) {
                Ok(0) => {
                    self.is_closed = true;
                    return;
                }
                Ok(count) => self.last.take(buffer.get(..count).unwrap_or_default()),
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// The last line of an output that is not blank.
#[derive(Debug, Default)]
struct LastLine {
    line: Vec<u8>,
    is_complete: bool,
}

impl LastLine {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' || *byte == b'\r' {
                self.is_complete = true;
            } else {
                if self.is_complete && !byte.is_ascii_whitespace() {
                    self.line.clear();
                    self.is_complete = false;
                }
                if !self.is_complete && self.line.len() < KEPT {
                    self.line.push(*byte);
                }
            }
        }
    }

    fn text(&self) -> String {
        let line = String::from_utf8_lossy(&self.line);
        let line = if self.line.len() < KEPT {
            line.into_owned()
        } else {
            without_cut_authority(&line)
        };
        one_line(&redact::urls(&line), LONGEST_LINE)
    }
}

/// Hides the authority of a URL at the end of a line that was cut off. The `@` after its user info
/// may be missing there, so the user info cannot be found and redacted.
fn without_cut_authority(line: &str) -> String {
    match line.rsplit_once("://") {
        Some((before, after))
            if !after.contains(|letter: char| letter == '/' || letter.is_whitespace()) =>
        {
            format!("{before}://***")
        }
        Some(_) | None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{LastLine, not_started};
    use crate::core::errno::Errno;
    use crate::core::exec_error::ExecError;
    use crate::core::outcome::Outcome;
    use nix::libc;

    #[test]
    fn only_an_error_about_the_command_itself_is_never() {
        use ExecError::{Busy, NoInterpreter, NoResources, NotFound, NotPermitted, Other};
        for (error, never) in [
            (NotFound, true),
            (NotPermitted, true),
            (NoInterpreter, true),
            (Other(Errno(libc::E2BIG)), true),
            (Other(Errno(libc::EPERM)), true),
            (Busy, false),
            (NoResources(Errno::EAGAIN), false),
            (NoResources(Errno(libc::ENOMEM)), false),
            (Other(Errno::EIO), false),
            (Other(Errno(libc::ESTALE)), false),
        ] {
            let is_never = matches!(not_started("x", error), Outcome::Never(_));
            assert_eq!(is_never, never, "{error:?}");
        }
    }

    #[test]
    fn a_secret_that_is_cut_off_is_not_shown() {
        let mut last = LastLine::default();
        last.take(format!("error: postgres://app:{}@db/x", "s3cr3t".repeat(200)).as_bytes());
        assert_eq!(last.text(), "error: postgres://***");
    }

    #[test]
    fn the_last_line_that_is_not_blank_is_kept() {
        for (output, line) in [
            ("", ""),
            ("a\nb\n", "b"),
            ("a\nb", "b"),
            ("a\n \n\t\n", "a"),
            ("\n\n  c\n", "c"),
            ("no\rprogress\r\n", "progress"),
        ] {
            let mut last = LastLine::default();
            output
                .as_bytes()
                .chunks(2)
                .for_each(|bytes| last.take(bytes));
            assert_eq!(last.text(), line, "{output:?}");
        }
        let mut last = LastLine::default();
        last.take(&[b'x'; 100_000]);
        assert!(last.text().len() < 300);
    }
}
