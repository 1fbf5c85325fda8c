//! Every sentence that a person reads, as functions of plain data, and the events that programs
//! read.
//!
//! A function here takes values and returns a [`Message`]; nothing is printed, and nothing is
//! looked up. `report` prints messages, and is the only place that does.

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
pub mod status;
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
    /// A sidecar has acknowledged a quit.
    Acknowledged,
    /// `PODGATE_DISABLE` takes something away.
    Disabled,
    /// All members of `--until` are done.
    Done,
    /// A signal is not passed on, as `--map-signal` asks.
    Dropped,
    /// A target of a quit has ended.
    Ended,
    /// CMD cannot be started.
    Exec,
    /// podgate itself failed: exit code 125.
    Failed,
    /// A gate did not open.
    GaveUp,
    /// A target of a quit is gone.
    Gone,
    /// The kernel does not answer for a path.
    Hangs,
    /// Still waiting.
    Heartbeat,
    /// CMD ignores its stop signal.
    IgnoredStopSignal,
    /// The stop of CMD is held back while another member lives.
    Holding,
    /// The hold ends early.
    Hurried,
    /// The binary cannot be copied.
    Install,
    /// The binary was copied.
    Installed,
    /// `join` cannot register.
    Join,
    /// `join` has registered.
    Joined,
    /// The background process of `join` ends.
    Leaving,
    /// `--listen` cannot be used.
    Listen,
    /// `--log-to` cannot be used.
    Log,
    /// The state of another member has changed.
    Member,
    /// A member of `--needs` has ended.
    NeedLost,
    /// A member of `--until` never came.
    NeverCame,
    /// A word of an `exec:` check looks like shell syntax.
    NoShell,
    /// A target of a quit lives on.
    NotGone,
    /// A check did not pass, or a target did not quit.
    NotPassed,
    /// There is nothing to wait for.
    Nothing,
    /// The grace period is nearly over and another member still lives.
    OutOfGrace,
    /// A check passes.
    Passed,
    /// A quit is asked for or answered.
    Quit,
    /// A record cannot be used.
    Record,
    /// A neighbour can replace this binary.
    Replaceable,
    /// A gate or CMD starts.
    Start,
    /// CMD is sent its stop signal.
    Stop,
    /// A signal ended podgate.
    Stopped,
    /// The termination message cannot be written.
    Termination,
    /// The command line or a variable is wrong: exit code 2.
    Usage,
    /// The shared volume cannot be used as asked.
    Volume,
    /// The reason for waiting is new or has changed.
    Waiting,
}

impl LogEvent {
    /// Every event, in the order of its name.
    pub const ALL: [Self; 40] = [
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
        Self::Start,
        Self::Stop,
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
            Self::Start => "start",
            Self::Stop => "stop",
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

    #[test]
    fn events_have_names_of_their_own_in_order() {
        let names = LogEvent::ALL.map(LogEvent::name);
        assert!(names.is_sorted());
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
