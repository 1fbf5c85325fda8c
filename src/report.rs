//! The only place that prints (P9). Lines on stderr, in the container's log or in a file, as text or JSON; one live line on a
//! terminal; and for podgate's own failures the termination message.
//!
//! Printing never holds anything up: what nobody takes is dropped. It never shows a header's value, a URL's user info, or a variable
//! that is not an option: callers pass names that are redacted already (`core::check`).

use crate::event_loop::is_ready;
use crate::message::json::Object;
use crate::message::{Field, LogEvent, Message, Severity};
use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where a container's own output goes, seen from a hook or a probe in the same container: the kubelet keeps no hook's output, but
/// what is written here is in `kubectl logs`.
const CONTAINER_LOG: &str = "/proc/1/fd/2";
/// Where the kubelet reads why a container ended, unless the pod says `terminationMessagePath`.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// The most that the kubelet reads of it.
const LONGEST_TERMINATION: usize = 4096;
/// What a pipe takes whole, once it is ready (pipe(7)).
const PIPE_BUF: usize = 4096;
/// How long a line may wait until somebody takes it.
const PATIENCE: Duration = Duration::from_millis(100);
/// The live line is cut here, so that it stays one line.
const LIVE_WIDTH: usize = 78;

/// `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `podgate: …`
    Text,
    /// One object a line.
    Json,
}

/// `--quiet`, `--verbose`, or neither. What is shown: everything up to this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Failures and warnings.
    Quiet,
    /// And changes and heartbeats.
    Normal,
    /// And what is going to be done.
    Verbose,
}

/// `--log-to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogTo {
    /// Our own stderr.
    Stderr,
    /// The container's log.
    Container,
    /// Appended to this file.
    File(PathBuf),
}

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Report {
    sink: Option<File>,
    format: Format,
    level: Level,
    terminal: bool,
    live_is_shown: bool,
    /// Nobody takes what is printed: do not wait for every line.
    stalled: bool,
    /// A line was cut off.
    torn: bool,
    /// Where the termination message goes: `None` for probes, which do not end the container.
    termination: Option<(PathBuf, Origin)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Default,
    Named,
}

impl Report {
    /// On stderr, with the usual termination message, before anything is known.
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
            termination,
        }
    }

    /// As the options say. A container log that cannot be opened is a warning: a hook must not fail because its lines are lost.
    ///
    /// # Errors
    /// A file that cannot be opened, with the cause.
    pub(crate) fn open(format: Format, level: Level, to: &LogTo) -> Result<Self, String> {
        let mut report = Self {
            level,
            ..Self::plain(format)
        };
        match to {
            LogTo::Stderr => {
                report.terminal = format == Format::Text && level > Level::Quiet && io::stderr().is_terminal()
            }
            LogTo::File(path) => report.sink = Some(append(path, true).map_err(|error| error.to_string())?),
            LogTo::Container => match append(Path::new(CONTAINER_LOG), false) {
                Ok(file) => report.sink = Some(file),
                Err(error) => report.line(&Message::new(
                    Severity::Warning,
                    LogEvent::Log,
                    format!("cannot write to the container's log {CONTAINER_LOG:?}: {error}; logging to stderr"),
                )),
            },
        }
        Ok(report)
    }

    /// Another one that writes to the same places, for another thread.
    pub(crate) fn twin(&self) -> Self {
        let sink = self.sink.as_ref().and_then(|file| file.try_clone().ok());
        Self {
            sink,
            termination: self.termination.clone(),
            ..*self
        }
    }

    /// The descriptor that it writes to, where it has one of its own.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.sink.as_ref().map(AsFd::as_fd)
    }

    /// Writes the termination message there instead.
    pub(crate) fn set_termination_log(&mut self, path: PathBuf) {
        self.termination = Some((path, Origin::Named));
    }

    /// Writes no termination message: a probe that fails does not end the container.
    pub(crate) fn without_termination_log(&mut self) {
        self.termination = None;
    }

    /// Is there a live line to keep up to date?
    pub(crate) const fn is_live(&self) -> bool {
        self.terminal
    }

    /// Shows the live line.
    pub(crate) fn live(&mut self, text: &str) {
        if self.terminal {
            let text: String = text.chars().take(LIVE_WIDTH).collect();
            self.live_is_shown = true;
            self.put(format!("\r\u{1b}[K{text}").as_bytes());
        }
    }

    /// Takes the live line away.
    pub(crate) fn clear_live(&mut self) {
        if self.live_is_shown {
            self.live_is_shown = false;
            self.put(b"\r\x1b[K");
        }
    }

    /// Prints a line, if it is one to be shown.
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
        text.push('\n');
        self.put(text.as_bytes());
    }

    /// Prints why podgate fails, and writes it to the termination message.
    pub(crate) fn failure(&mut self, line: &Message) {
        // First what the kubelet reads: the log may be broken.
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
        // The kubelet makes the file; where it did not, only a path that was named is made.
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
            let text = format!("cannot write the termination message {path:?}: {error}");
            self.line(&Message::new(
                Severity::Warning,
                LogEvent::Termination,
                text,
            ));
        }
    }

    /// Writes without ever waiting for long: a pipe that nobody reads must not keep a container from its end. What is not taken within
    /// the first line's patience is dropped. Pieces of PIPE_BUF, because a pipe that is ready promises no more (pipe(7)); lines that
    /// are shorter do not mix with those of other processes.
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

/// Opens a log to append to. O_NONBLOCK: a FIFO without a reader is an error, and a full one loses lines, but nothing blocks.
fn append(path: &Path, create: bool) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .append(true)
        .create(create)
        .custom_flags(flags.bits())
        .open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_block_device() {
        return Err(io::Error::other("is a block device"));
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
        let expected = r#"{"time":"1970-01-01T00:00:01.500Z","level":"warning","event":"log","msg":"a \"b\"\u000a\\ü\u001b","check":"tcp://x:1","attempts":3}"#;
        assert_eq!(json(&line, time), expected);
    }
}
