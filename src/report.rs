//! The only place that prints (P9). It prints lines on stderr, in the container's log or in a file,
//! as text or JSON; one live line on a terminal; podgate's own failures to the termination message;
//! and results on stdout.
//!
//! Printing a line does not block for long: a line that is not read in time is dropped. No header
//! value, no user info of a URL and no variable is printed, because callers pass names that `core`
//! has redacted.

use crate::core::errno::Errno;
use crate::core::logging::{Format, Level, LogTo, TERMINATION_LOG};
use crate::event_loop::is_ready;
use crate::message::json::Object;
use crate::message::log::{LogError, no_container_log, no_termination_message};
use crate::message::{Field, Message, Severity};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
use nix::sys::stat::{fstat, stat};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The container's own output, for a hook or a probe in the same container. The kubelet does not
/// keep the output of hooks, but lines that are written here appear in `kubectl logs`.
pub(crate) const CONTAINER_LOG: &str = "/proc/1/fd/2";
/// How much of it the kubelet reads, in bytes.
const LONGEST_TERMINATION: usize = 4096;
/// The number of bytes that a ready pipe takes whole (pipe(7)).
const PIPE_BUF: usize = 4096;
/// How long a line waits for its reader.
const PATIENCE: Duration = Duration::from_millis(100);
/// The live line is cut to this many characters, so that it stays one line.
const LIVE_WIDTH: usize = 78;

/// Prints a result or the help on stdout. It is not a failure if the reader closes its end early,
/// as in `podgate status | head -1`.
pub(crate) fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Prints the text of `podgate` without arguments on stderr.
pub(crate) fn print_to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Report {
    sink: Option<File>,
    format: Format,
    level: Level,
    terminal: bool,
    live_is_shown: bool,
    /// The reader did not read the last line in time, so the next line does not wait.
    stalled: bool,
    /// The last line was cut off.
    torn: bool,
    line_end: LineEnd,
    /// The file for the termination message; `None` for probes, which do not end the container.
    termination: Option<(PathBuf, Origin)>,
}

/// Where the end of a line is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    After,
    /// Before the next line, of which none was printed yet.
    BeforeNext,
    Before,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Default,
    Named,
}

impl Report {
    /// A report to stderr, with the usual termination message, for use before the options are read.
    pub(crate) fn plain(format: Format) -> Self {
        let termination = Some((PathBuf::from(TERMINATION_LOG), Origin::Default));
        Self {
            sink: None,
            format,
            level: Level::Normal,
            terminal: false,
            live_is_shown: false,
            stalled: false,
            torn: false,
            line_end: LineEnd::After,
            termination,
        }
    }

    /// A report that the options ask for. If the container's log cannot be opened, there is only a
    /// warning: a hook must not fail because its lines are lost.
    ///
    /// # Errors
    /// The file of `--log-to` cannot be opened.
    pub(crate) fn open(format: Format, level: Level, to: &LogTo) -> Result<Self, LogError> {
        let mut report = Self {
            level,
            ..Self::plain(format)
        };
        match to {
            LogTo::Stderr => {
                let shows_live = format == Format::Text && level > Level::Quiet;
                report.terminal = shows_live && io::stderr().is_terminal();
            }
            LogTo::File(path) => report.sink = Some(append(path, true)?),
            LogTo::Container => match append(Path::new(CONTAINER_LOG), false) {
                Ok(file) => report.sink = Some(file),
                Err(error) => report.line(&no_container_log(CONTAINER_LOG, error)),
            },
        }
        Ok(report)
    }

    /// Another report that writes to the same places, for another thread.
    pub(crate) fn twin(&self) -> Self {
        let sink = self.sink.as_ref().and_then(|file| file.try_clone().ok());
        Self {
            sink,
            termination: self.termination.clone(),
            ..*self
        }
    }

    /// The descriptor of the log; `None` for stderr.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.sink.as_ref().map(AsFd::as_fd)
    }

    /// Writes the termination message to this file instead.
    pub(crate) fn set_termination_log(&mut self, path: PathBuf) {
        self.termination = Some((path, Origin::Named));
    }

    /// Writes no termination message: a failed probe does not end the container.
    pub(crate) fn without_termination_log(&mut self) {
        self.termination = None;
    }

    /// Prints no line end after the last line, if the reader is a probe's: the kubelet puts all of
    /// a probe's output into an event, and a line end there shows as an empty line. A terminal, a
    /// file that is appended to and the container's own output are for more than one message.
    pub(crate) fn end_without_line_end(&mut self) {
        if self.sink.is_none() && !is_shared(io::stderr().as_fd()) {
            self.line_end = LineEnd::BeforeNext;
        }
    }

    /// Whether this report shows a live line.
    pub(crate) const fn is_live(&self) -> bool {
        self.terminal
    }

    /// Shows or replaces the live line.
    pub(crate) fn live(&mut self, text: &str) {
        if self.terminal {
            let text: String = text.chars().take(LIVE_WIDTH).collect();
            self.live_is_shown = true;
            self.put(format!("\r\u{1b}[K{text}").as_bytes());
        }
    }

    /// Removes the live line.
    pub(crate) fn clear_live(&mut self) {
        if self.live_is_shown {
            self.live_is_shown = false;
            self.put(b"\r\x1b[K");
        }
    }

    /// Prints a line, if the level shows it.
    pub(crate) fn line(&mut self, line: &Message) {
        let least = match line.severity {
            Severity::Debug => Level::Verbose,
            Severity::Info => Level::Normal,
            Severity::Warning | Severity::Error => Level::Quiet,
        };
        if self.level < least {
            return;
        }
        self.clear_live();
        let mut text = match self.format {
            Format::Text => format!("podgate: {}", line.text),
            Format::Json => json(line, SystemTime::now()),
        };
        match self.line_end {
            LineEnd::After => text.push('\n'),
            LineEnd::BeforeNext => self.line_end = LineEnd::Before,
            LineEnd::Before => text.insert(0, '\n'),
        }
        self.put(text.as_bytes());
    }

    /// Prints why podgate fails, and writes it to the termination message.
    pub(crate) fn failure(&mut self, line: &Message) {
        // The kubelet's file comes first, because the log may be broken.
        self.terminate(line);
        self.line(line);
    }

    fn terminate(&mut self, line: &Message) {
        let Some((path, origin)) = &self.termination else {
            return;
        };
        let mut options = OpenOptions::new();
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        options
            .write(true)
            .truncate(true)
            .custom_flags(flags.bits());
        // The kubelet creates the default file. Only a path from an option is created here.
        options.create(*origin == Origin::Named);
        let written = options.open(path).and_then(|mut file| {
            let is_file = file.metadata()?.is_file();
            let text = format!("podgate: {}", line.text);
            let mut end = text.len().min(LONGEST_TERMINATION);
            while !text.is_char_boundary(end) {
                end = end.saturating_sub(1);
            }
            if is_file {
                file.write_all(text.get(..end).unwrap_or_default().as_bytes())
            } else {
                Ok(())
            }
        });
        if let (Err(error), Origin::Named) = (written, origin) {
            let line = no_termination_message(path, Errno::of(&error));
            self.line(&line);
        }
    }

    /// Writes without waiting for long, because a pipe without a reader must not delay the end of a
    /// container. Bytes that are not read within `PATIENCE` are dropped, and then lines do not wait
    /// until the reader is back. Writes pieces of PIPE_BUF bytes, because a ready pipe takes that
    /// many and may not take more (pipe(7)). Lines up to that length do not mix with those of other
    /// processes.
    fn put(&mut self, bytes: &[u8]) {
        let stderr = io::stderr();
        let fd = self
            .sink
            .as_ref()
            .map_or_else(|| stderr.as_fd(), |file| file.as_fd());
        let start: &[u8] = if self.torn { b"\n" } else { b"" };
        for piece in [start]
            .into_iter()
            .chain(bytes.chunks(PIPE_BUF))
            .filter(|piece| !piece.is_empty())
        {
            let patience = if self.stalled {
                Duration::ZERO
            } else {
                PATIENCE
            };
            self.stalled = !is_ready(fd, PollFlags::POLLOUT, patience);
            self.torn = self.stalled || nix::unistd::write(fd, piece) != Ok(piece.len());
            if self.torn {
                return;
            }
        }
    }
}

/// Whether others write to this output, too.
fn is_shared(output: BorrowedFd<'_>) -> bool {
    let appends = || {
        let flags = fcntl(output, FcntlArg::F_GETFL).unwrap_or_default();
        OFlag::from_bits_truncate(flags).contains(OFlag::O_APPEND)
    };
    // Both fail for another user's PID 1: then podgate is not a part of the entrypoint.
    let is_of_pid_1 = |path: &str| {
        let own = fstat(output).map(|stat| (stat.st_dev, stat.st_ino));
        let other = stat(path).map(|stat| (stat.st_dev, stat.st_ino));
        own.is_ok() && own == other
    };
    output.is_terminal() || appends() || is_of_pid_1("/proc/1/fd/1") || is_of_pid_1(CONTAINER_LOG)
}

/// Opens a log for appending. With O_NONBLOCK, a FIFO without a reader is an error and a full FIFO
/// loses lines, but nothing blocks.
fn append(path: &Path, create: bool) -> Result<File, LogError> {
    let errno = |error: io::Error| LogError::System(Errno::of(&error));
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .append(true)
        .create(create)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(errno)?;
    let kind = file.metadata().map_err(errno)?.file_type();
    if kind.is_block_device() {
        return Err(LogError::BlockDevice);
    }
    Ok(file)
}

fn json(line: &Message, now: SystemTime) -> String {
    let level = match line.severity {
        Severity::Debug => "debug",
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let time = humantime::format_rfc3339_millis(now);
    let object = Object::new()
        .text("time", &time.to_string())
        .text("level", level)
        .text("event", line.event.name())
        .text("msg", &line.text);
    let with = |object: Object, (name, field): &(&'static str, Field)| match field {
        Field::Text(text) => object.text(name, text),
        Field::Number(number) => object.number(name, *number),
    };
    line.fields.iter().fold(object, with).finish()
}

#[cfg(test)]
mod tests {
    use super::{Field, Message, Severity, json};
    use crate::message::LogEvent;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_line_of_json_is_one_object() {
        let line = Message::new(Severity::Warning, LogEvent::Log, "a \"b\"\n\\ü\u{1b}")
            .with("check", Field::Text("tcp://x:1".to_owned()))
            .with("attempts", Field::Number(3));
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1500);
        let expected = concat!(
            r#"{"time":"1970-01-01T00:00:01.500Z","level":"warning","event":"log","#,
            r#""msg":"a \"b\"\u000a\\ü\u001b","check":"tcp://x:1","attempts":3}"#,
        );
        assert_eq!(json(&line, time), expected);
    }
}
