//! Every sentence that a person reads, as functions of plain data, and the events that programs
//! read.
//!
//! A function here takes values and returns a [`Message`] or a part of one. It prints nothing and
//! looks nothing up. `report` is the only module that prints messages.
//!
//! Two kinds of text are elsewhere: the help is in `cli`, and the cause of a refused value ("has no
//! unit; use 30s") is beside the reader of that value, in `core` or `cli`. [`usage`] puts the cause
//! into its sentence.

pub mod check;
pub mod disabled;
pub mod doctor;
pub mod exec;
pub mod gate;
pub mod install;
pub mod join;
pub mod json;
pub mod life;
pub mod log;
pub mod member;
pub mod process;
pub mod quit;
pub mod reason;
pub mod reset;
pub mod status;
pub mod tls;
pub mod usage;
pub mod volume;

/// How bad a message is: the `level` of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Shown only with `--verbose`.
    Debug,
    /// Not shown with `--quiet`.
    Info,
    /// Always shown.
    Warning,
    /// Always shown. Usually the reason why podgate ends.
    Error,
}

/// What happened, for programs: the `event` of JSON. A name never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEvent {
    /// A sidecar has acknowledged the request to quit.
    Acknowledged,
    /// `PODGATE_DISABLE` turns something off.
    Disabled,
    /// All members of `--until` are done.
    Done,
    /// A signal is not passed on, because `--map-signal` drops it.
    Dropped,
    /// CMD has ended.
    Ended,
    /// CMD cannot be executed or was not found.
    Exec,
    /// podgate itself failed (exit code 125), or a target that is asked over HTTP did not quit.
    Failed,
    /// A gate did not open.
    GaveUp,
    /// A target of a quit is gone.
    Gone,
    /// A system call does not return, so podgate ends without it.
    Hangs,
    /// podgate still waits, and nothing has changed.
    Heartbeat,
    /// CMD or PID 1 ignores its stop signal.
    IgnoredStopSignal,
    /// The stop signal is held back while another member is alive.
    Holding,
    /// The hold ends early, because of a second stop signal or a quit.
    Hurried,
    /// The binary cannot be copied.
    Install,
    /// The binary was copied.
    Installed,
    /// `join` cannot register the container.
    Join,
    /// `join` has registered the container.
    Joined,
    /// CMD was killed by a signal that podgate did not send.
    Killed,
    /// The background process of `join` ends.
    Leaving,
    /// The address of `--listen` cannot be used.
    Listen,
    /// The container's log cannot be used.
    Log,
    /// The state of another member has changed.
    Member,
    /// A member of `--needs` has ended.
    NeedLost,
    /// A member of `--until` did not come within `--absent-timeout`.
    NeverCame,
    /// A word of an `exec:` check looks like shell syntax.
    NoShell,
    /// A member that is asked to quit is still alive, or cannot be asked.
    NotGone,
    /// A check did not pass.
    NotPassed,
    /// There is no check to wait for.
    Nothing,
    /// The hold ends because the grace period is nearly over.
    OutOfGrace,
    /// A check passed.
    Passed,
    /// A member or a request to the quit endpoint asked CMD to end.
    Quit,
    /// A record on the volume cannot be used.
    Record,
    /// A neighbour can replace this binary.
    Replaceable,
    /// `reset` has examined the volume, or cannot reset it.
    Reset,
    /// A gate or a quit starts: its plan.
    Start,
    /// CMD has described its state by sd_notify(3).
    Status,
    /// CMD or PID 1 is sent its stop signal, or cannot be sent it.
    Stop,
    /// A signal from outside may be the stop signal, and no option names it.
    StopSignal,
    /// A signal ended podgate.
    Stopped,
    /// The termination message cannot be written.
    Termination,
    /// The command line or a variable is wrong: exit code 2.
    Usage,
    /// The shared volume cannot be used.
    Volume,
    /// The reason for waiting is new or has changed.
    Waiting,
}

impl LogEvent {
    /// Every event, in the order of its name.
    pub const ALL: [Self; 44] = [
        Self::Acknowledged,
        Self::Disabled,
        Self::Done,
        Self::Dropped,
        Self::Ended,
        Self::Exec,
        Self::Failed,
        Self::GaveUp,
        Self::Gone,
        Self::Hangs,
        Self::Heartbeat,
        Self::IgnoredStopSignal,
        Self::Holding,
        Self::Hurried,
        Self::Install,
        Self::Installed,
        Self::Join,
        Self::Joined,
        Self::Killed,
        Self::Leaving,
        Self::Listen,
        Self::Log,
        Self::Member,
        Self::NeedLost,
        Self::NeverCame,
        Self::NoShell,
        Self::NotGone,
        Self::NotPassed,
        Self::Nothing,
        Self::OutOfGrace,
        Self::Passed,
        Self::Quit,
        Self::Record,
        Self::Replaceable,
        Self::Reset,
        Self::Start,
        Self::Status,
        Self::Stop,
        Self::StopSignal,
        Self::Stopped,
        Self::Termination,
        Self::Usage,
        Self::Volume,
        Self::Waiting,
    ];

    /// The word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Disabled => "disabled",
            Self::Done => "done",
            Self::Dropped => "dropped",
            Self::Ended => "ended",
            Self::Exec => "exec",
            Self::Failed => "failed",
            Self::GaveUp => "gave_up",
            Self::Gone => "gone",
            Self::Hangs => "hangs",
            Self::Heartbeat => "heartbeat",
            Self::IgnoredStopSignal => "heedless",
            Self::Holding => "holding",
            Self::Hurried => "hurried",
            Self::Install => "install",
            Self::Installed => "installed",
            Self::Join => "join",
            Self::Joined => "joined",
            Self::Killed => "killed",
            Self::Leaving => "leaving",
            Self::Listen => "listen",
            Self::Log => "log",
            Self::Member => "member",
            Self::NeedLost => "need_lost",
            Self::NeverCame => "never_came",
            Self::NoShell => "no_shell",
            Self::NotGone => "not_gone",
            Self::NotPassed => "not_passed",
            Self::Nothing => "nothing",
            Self::OutOfGrace => "out_of_grace",
            Self::Passed => "passed",
            Self::Quit => "quit",
            Self::Record => "record",
            Self::Replaceable => "replaceable",
            Self::Reset => "reset",
            Self::Start => "start",
            Self::Status => "status",
            Self::Stop => "stop",
            Self::StopSignal => "stop_signal",
            Self::Stopped => "stopped",
            Self::Termination => "termination",
            Self::Usage => "usage",
            Self::Volume => "volume",
            Self::Waiting => "waiting",
        }
    }
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub severity: Severity,
    pub event: LogEvent,
    /// The sentence, on one line, without `podgate: ` and without a full stop.
    pub text: String,
    /// More for programs, in JSON only.
    pub fields: Vec<(&'static str, Field)>,
}

/// A value for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Text(String),
    Number(u128),
}

/// A list of checks or targets, each in quotes.
fn quoted(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|it| format!("{it:?}")).collect();
    quoted.join(", ")
}

impl Message {
    /// A message without fields.
    pub fn new(severity: Severity, event: LogEvent, text: impl Into<String>) -> Self {
        Self {
            severity,
            event,
            text: text.into(),
            fields: Vec::new(),
        }
    }

    /// The same message with one more field.
    #[must_use]
    pub fn with(mut self, name: &'static str, field: Field) -> Self {
        self.fields.push((name, field));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::LogEvent;
    use std::fs;

    #[test]
    fn events_are_in_the_order_of_their_names_and_no_name_is_used_twice() {
        let names = LogEvent::ALL.map(LogEvent::name);
        assert!(names.is_sorted());
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn each_event_is_used_by_a_message() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/message");
        let files = fs::read_dir(folder).expect("a folder").map(|entry| {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("text");
            let code = text.split("#[cfg(test)]").next().map(str::to_owned);
            code.filter(|_| !path.ends_with("mod.rs"))
        });
        let code: String = files.flatten().collect();
        let is_used = |event: &LogEvent| {
            code.split(&format!("LogEvent::{event:?}"))
                .skip(1)
                .any(|after| !after.starts_with(char::is_alphanumeric))
        };
        for event in LogEvent::ALL {
            assert!(is_used(&event), "{event:?}");
        }
    }
}
