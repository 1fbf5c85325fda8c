//! Every option, once: flags, variables and help come from this table.

use super::Command;

/// How an option is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Without a value.
    Switch,
    /// With a value, called so in the help.
    Value(&'static str),
    /// With a value, and repeatable; one a line in its variable.
    List(&'static str),
}

/// An option.
#[derive(Debug)]
pub(super) struct Opt {
    name: &'static str,
    /// Its letter, if it has one.
    pub(super) short: Option<char>,
    /// How it is given.
    pub(super) shape: Shape,
    /// Whose it is.
    pub(super) commands: &'static [Command],
    /// Under which heading the help shows it.
    pub(super) heading: &'static str,
    /// One sentence; line ends are where the help may break it.
    pub(super) help: &'static str,
}

const WAIT: &[Command] = &[Command::Wait];
const RUN: &[Command] = &[Command::Run];
const JOIN: &[Command] = &[Command::Join];
const BOTH: &[Command] = &[Command::Wait, Command::Check];
/// Those that are members.
const LIVES: &[Command] = &[Command::Run, Command::Join];
/// Those with checks.
const CHECKING: &[Command] = &[Command::Wait, Command::Check, Command::Run, Command::Join];
/// Those that may speak TLS.
const ASKING: &[Command] = &[
    Command::Wait,
    Command::Check,
    Command::Run,
    Command::Join,
    Command::Quit,
];
/// Those that look at members.
const MEETING: &[Command] = &[
    Command::Wait,
    Command::Check,
    Command::Run,
    Command::Join,
    Command::Quit,
    Command::Status,
    Command::Doctor,
];
const ALL: &[Command] = &[
    Command::Wait,
    Command::Check,
    Command::Run,
    Command::Join,
    Command::Quit,
    Command::Status,
    Command::Doctor,
    Command::Install,
];
const QUIT: &[Command] = &[Command::Quit];
/// Those whose failure ends a container.
const ENDING: &[Command] = &[
    Command::Wait,
    Command::Run,
    Command::Join,
    Command::Quit,
    Command::Install,
];
const MEMBER: &str = "Membership";
const START: &str = "Start";
const FINISH: &str = "Finish";
const STOP: &str = "Stop";
const GATE: &str = "When the gate opens";
const HTTP: &str = "HTTP checks";
const UNTIL: &str = "Until they are gone";
const OUTPUT: &str = "Output";

/// Every option of every command.
pub(super) const OPTIONS: &[Opt] = &[
    opt(
        "name",
        None,
        Shape::Value("NAME"),
        LIVES,
        MEMBER,
        "Take part as this member: a DNS label, as a container's name",
    ),
    opt(
        "dir",
        None,
        Shape::Value("PATH"),
        MEETING,
        MEMBER,
        "Where members meet: a volume that all of them mount; none: no members [default: /run/podgate]",
    ),
    opt(
        "allow-plain-dir",
        None,
        Shape::Switch,
        MEETING,
        MEMBER,
        "Let --dir be a plain directory: for a laptop, where all run in one file system",
    ),
    opt(
        "restart-policy",
        None,
        Shape::Value("POLICY"),
        LIVES,
        MEMBER,
        "The pod's: never, on-failure, always; auto: not known [default: auto]",
    ),
    opt(
        "after",
        None,
        Shape::List("CHECK"),
        RUN,
        START,
        "Start CMD when this passes (repeatable)",
    ),
    opt(
        "after-timeout",
        None,
        Shape::Value("TIME"),
        RUN,
        START,
        "Give up after this time, with exit code 124; none: never [default: 60s]",
    ),
    opt(
        "needs",
        None,
        Shape::List("NAME"),
        RUN,
        START,
        "Start CMD when this member is ready, and stop it with exit code 69 when the member ends (repeatable)",
    ),
    opt(
        "ready",
        None,
        Shape::List("CHECK"),
        LIVES,
        START,
        "Publish ready when this passes (repeatable) [default: ready is running]",
    ),
    opt(
        "wait",
        None,
        Shape::Switch,
        JOIN,
        START,
        "Return when it is ready, and not before",
    ),
    opt(
        "until",
        None,
        Shape::List("NAME"),
        LIVES,
        FINISH,
        "End CMD when all of these members are done (repeatable); with run it implies --outlive",
    ),
    opt(
        "absent-timeout",
        None,
        Shape::Value("TIME"),
        LIVES,
        FINISH,
        "Give up with exit code 124 when one of --until has not come in this time [default: none]",
    ),
    opt(
        "linger",
        None,
        Shape::Value("TIME"),
        LIVES,
        FINISH,
        "Under on-failure, how long a failed member may take to come back [default: 6m]",
    ),
    opt(
        "ok-exit",
        None,
        Shape::List("CODE"),
        RUN,
        FINISH,
        "This exit code of CMD counts as 0 (repeatable)",
    ),
    opt(
        "outlive",
        None,
        Shape::List("NAME"),
        LIVES,
        STOP,
        "When told to stop, hold CMD's stop back while this member lives (repeatable)",
    ),
    opt(
        "grace",
        None,
        Shape::Value("TIME"),
        &[Command::Run, Command::Join, Command::Doctor],
        STOP,
        "The pod's terminationGracePeriodSeconds [default: 30s]",
    ),
    opt(
        "stop-margin",
        None,
        Shape::Value("TIME"),
        &[Command::Run, Command::Doctor],
        STOP,
        "How much of it is kept back for CMD's own stop [default: 5s]",
    ),
    opt(
        "stop-signal",
        None,
        Shape::Value("SIGNAL"),
        LIVES,
        STOP,
        "What CMD is sent to stop [default: TERM]",
    ),
    opt(
        "map-signal",
        None,
        Shape::List("FROM=TO"),
        RUN,
        STOP,
        "Pass one signal on as another, as TERM=QUIT, or drop it, as HUP=none (repeatable)",
    ),
    opt(
        "quit",
        None,
        Shape::List("TARGET"),
        RUN,
        FINISH,
        "Ask this to quit when CMD has ended: a URL, a preset or member:NAME\n(repeatable; needs --restart-policy)",
    ),
    opt(
        "quit-timeout",
        None,
        Shape::Value("TIME"),
        RUN,
        FINISH,
        "How long that may take; none: for ever [default: 10s]",
    ),
    opt(
        "sidecar",
        None,
        Shape::List("PRESET"),
        RUN,
        FINISH,
        "--after PRESET and --quit PRESET in one (repeatable)",
    ),
    opt(
        "listen",
        None,
        Shape::Value("ADDRESS"),
        RUN,
        FINISH,
        "Let POST /quitquitquit end CMD, from this machine only: 127.0.0.1:PORT, or :PORT for the same",
    ),
    opt(
        "signal-group",
        None,
        Shape::Switch,
        RUN,
        STOP,
        "Pass signals on to CMD's whole process group",
    ),
    opt(
        "any",
        None,
        Shape::Switch,
        BOTH,
        GATE,
        "One check that passes is enough [default: all must]",
    ),
    opt(
        "timeout",
        Some('t'),
        Shape::Value("TIME"),
        &[Command::Wait, Command::Join],
        GATE,
        "Give up after this time, with exit code 124; none: never [default: 60s]",
    ),
    opt(
        "attempt-timeout",
        None,
        Shape::Value("TIME"),
        &[Command::Wait, Command::Run, Command::Join],
        GATE,
        "How long one attempt may take [default: 1s]",
    ),
    // No variable: a probe must not inherit what was meant for the gate.
    opt(
        CHECK_ATTEMPT_TIMEOUT,
        None,
        Shape::Value("TIME"),
        &[Command::Check],
        GATE,
        "How long the attempt may take [default: 800ms]",
    ),
    // `run` has it as --quit-timeout, and the same variable: PODGATE_TIMEOUT is the gate's.
    opt(
        QUIT_TIMEOUT,
        Some('t'),
        Shape::Value("TIME"),
        QUIT,
        UNTIL,
        "Give up after this time, with exit code 1; none: never [default: 10s]",
    ),
    opt(
        "attempt-timeout",
        None,
        Shape::Value("TIME"),
        QUIT,
        UNTIL,
        "How long one attempt may take [default: 1s]",
    ),
    opt(
        "interval",
        Some('i'),
        Shape::Value("TIME"),
        &[Command::Wait, Command::Run, Command::Join],
        GATE,
        "Start an attempt this long after the one before\n[default: 2% of the time waited so far, at least 1ms (20ms for exec: and\nother hosts), at most 250ms]",
    ),
    opt(
        "initial-delay",
        None,
        Shape::Value("TIME"),
        WAIT,
        GATE,
        "Wait this long before the first attempt [default: 0s]",
    ),
    opt(
        "success-threshold",
        None,
        Shape::Value("N"),
        WAIT,
        GATE,
        "Attempts in a row that must pass;\nabove 1 it needs --interval [default: 1]",
    ),
    opt(
        "failure-threshold",
        None,
        Shape::Value("N"),
        WAIT,
        GATE,
        "Give up after so many failed attempts in a row, with exit code 1;\nabove 1 it needs --interval [default: none]",
    ),
    opt(
        "on-timeout",
        None,
        Shape::Value("fail|run"),
        &[Command::Wait, Command::Run],
        GATE,
        "When the gate does not open: fail, or run CMD all the same\n(wait without CMD: exit 0) [default: fail]",
    ),
    opt(
        "http-header",
        Some('H'),
        Shape::List("'NAME: VALUE'"),
        CHECKING,
        HTTP,
        "Send this header (repeatable); Host sets the request's host",
    ),
    opt(
        "http-method",
        None,
        Shape::Value("METHOD"),
        CHECKING,
        HTTP,
        "Ask with this method [default: GET]",
    ),
    opt(
        "http-status",
        None,
        Shape::Value("LIST"),
        CHECKING,
        HTTP,
        "Which statuses pass, as 200-299,401 [default: 200-399]",
    ),
    opt(
        "http-body-contains",
        None,
        Shape::Value("TEXT"),
        CHECKING,
        HTTP,
        "The first 10 KiB of the body must contain this",
    ),
    opt(
        "tls-ca",
        None,
        Shape::Value("FILE"),
        ASKING,
        HTTP,
        "Trust the CAs in this PEM file [default: $SSL_CERT_FILE, else the image's bundle]",
    ),
    opt(
        "tls-insecure",
        None,
        Shape::Switch,
        ASKING,
        HTTP,
        "Accept any certificate, as the kubelet's probes do",
    ),
    opt(
        "tls-server-name",
        None,
        Shape::Value("NAME"),
        ASKING,
        HTTP,
        "The name that the certificate must be for [default: the URL's host]",
    ),
    opt(
        "json",
        None,
        Shape::Switch,
        &[Command::Status],
        OUTPUT,
        "Print JSON, for programs",
    ),
    opt(
        "log-to",
        None,
        Shape::Value("WHERE"),
        ALL,
        OUTPUT,
        "stderr, container (the log of this container, from a hook), or a file [default: stderr]",
    ),
    opt(
        "log-format",
        None,
        Shape::Value("text|json"),
        ALL,
        OUTPUT,
        "One line, or one JSON object, for each event [default: text]",
    ),
    opt(
        "quiet",
        Some('q'),
        Shape::Switch,
        ALL,
        OUTPUT,
        "Print failures and warnings only",
    ),
    opt(
        "verbose",
        Some('v'),
        Shape::Switch,
        ALL,
        OUTPUT,
        "Print what is going to be done, too",
    ),
    opt(
        "termination-log",
        None,
        Shape::Value("FILE"),
        ENDING,
        OUTPUT,
        "Where the pod's terminationMessagePath is [default: /dev/termination-log]",
    ),
];

/// The id of `check`'s own `--attempt-timeout`.
const CHECK_ATTEMPT_TIMEOUT: &str = "check:attempt-timeout";
/// The id of `quit`'s own `--timeout`.
const QUIT_TIMEOUT: &str = "quit:timeout";

const fn opt(
    name: &'static str,
    short: Option<char>,
    shape: Shape,
    commands: &'static [Command],
    heading: &'static str,
    help: &'static str,
) -> Opt {
    Opt {
        name,
        short,
        shape,
        commands,
        heading,
        help,
    }
}

impl Opt {
    /// Its word on the command line, without dashes.
    pub(super) fn flag(&self) -> &'static str {
        self.name.rsplit(':').next().unwrap_or(self.name)
    }

    /// Its variable: none for `check`'s own; `quit:timeout` is PODGATE_QUIT_TIMEOUT.
    pub(super) fn variable(&self) -> Option<String> {
        (!self.name.starts_with("check:")).then(|| super::variable_name(self.name))
    }
}
