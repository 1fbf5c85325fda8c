//! What was typed: commands, options, their variables, and the help. What it means is `settings`' business.
//!
//! One table ([`OPTIONS`]) names every option once; flags, variables and help come from it. A variable is called as its option is:
//! `--attempt-timeout` is `PODGATE_ATTEMPT_TIMEOUT`. Flags go before variables; a list replaces the variable's list. Variables that
//! are no option of ours are ignored: a Service named podgate makes Kubernetes inject `PODGATE_PORT` and the like.

use crate::core::check;
use clap::builder::OsStringValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches};
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Block until ready; then exec CMD if given.
    Wait,
    /// One attempt each.
    Check,
    /// Supervise CMD.
    Run,
    /// The same for a container whose entrypoint is not ours.
    Join,
    /// Who is in this pod.
    Status,
    /// Is this container set up right?
    Doctor,
    /// Ask sidecars to stop.
    Quit,
    /// Copy this binary.
    Install,
}

impl Command {
    /// Its word on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Check => "check",
            Self::Run => "run",
            Self::Join => "join",
            Self::Status => "status",
            Self::Doctor => "doctor",
            Self::Quit => "quit",
            Self::Install => "install",
        }
    }
}

/// How an option is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Without a value.
    Switch,
    /// With a value, called so in the help.
    Value(&'static str),
    /// With a value, and repeatable; one a line in its variable.
    List(&'static str),
}

/// An option.
#[derive(Debug)]
struct Opt {
    name: &'static str,
    short: Option<char>,
    shape: Shape,
    commands: &'static [Command],
    heading: &'static str,
    help: &'static str,
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
const ASKING: &[Command] = &[Command::Wait, Command::Check, Command::Run, Command::Join, Command::Quit];
/// Those that look at members.
const MEETING: &[Command] =
    &[Command::Wait, Command::Check, Command::Run, Command::Join, Command::Quit, Command::Status, Command::Doctor];
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
const ENDING: &[Command] = &[Command::Wait, Command::Run, Command::Join, Command::Quit, Command::Install];
const MEMBER: &str = "Membership";
const START: &str = "Start";
const FINISH: &str = "Finish";
const STOP: &str = "Stop";
const GATE: &str = "When the gate opens";
const HTTP: &str = "HTTP checks";
const UNTIL: &str = "Until they are gone";
const OUTPUT: &str = "Output";

/// Every option of every command.
const OPTIONS: &[Opt] = &[
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
    opt("after", None, Shape::List("CHECK"), RUN, START, "Start CMD when this passes (repeatable)"),
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
    opt("wait", None, Shape::Switch, JOIN, START, "Return when it is ready, and not before"),
    opt(
        "until",
        None,
        Shape::List("NAME"),
        LIVES,
        FINISH,
        "End CMD when all of these members are done (repeatable); implies --outlive",
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
    opt("ok-exit", None, Shape::List("CODE"), RUN, FINISH, "This exit code of CMD counts as 0 (repeatable)"),
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
    opt("stop-signal", None, Shape::Value("SIGNAL"), LIVES, STOP, "What CMD is sent to stop [default: TERM]"),
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
    opt("sidecar", None, Shape::List("PRESET"), RUN, FINISH, "--after PRESET and --quit PRESET in one (repeatable)"),
    opt(
        "listen",
        None,
        Shape::Value("ADDRESS"),
        RUN,
        FINISH,
        "Let POST /quitquitquit end CMD, from this machine only: 127.0.0.1:PORT, or :PORT for the same",
    ),
    opt("signal-group", None, Shape::Switch, RUN, STOP, "Pass signals on to CMD's whole process group"),
    opt("any", None, Shape::Switch, BOTH, GATE, "One check that passes is enough [default: all must]"),
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
    opt("attempt-timeout", None, Shape::Value("TIME"), QUIT, UNTIL, "How long one attempt may take [default: 1s]"),
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
    opt("http-method", None, Shape::Value("METHOD"), CHECKING, HTTP, "Ask with this method [default: GET]"),
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
    opt("tls-insecure", None, Shape::Switch, ASKING, HTTP, "Accept any certificate, as the kubelet's probes do"),
    opt(
        "tls-server-name",
        None,
        Shape::Value("NAME"),
        ASKING,
        HTTP,
        "The name that the certificate must be for [default: the URL's host]",
    ),
    opt("json", None, Shape::Switch, &[Command::Status], OUTPUT, "Print JSON, for programs"),
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
    opt("quiet", Some('q'), Shape::Switch, ALL, OUTPUT, "Print failures and warnings only"),
    opt("verbose", Some('v'), Shape::Switch, ALL, OUTPUT, "Print what is going to be done, too"),
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
    Opt { name, short, shape, commands, heading, help }
}

impl Opt {
    fn flag(&self) -> &'static str {
        self.name.rsplit(':').next().unwrap_or(self.name)
    }

    /// None for `check`'s own; `quit:timeout` is PODGATE_QUIT_TIMEOUT.
    fn variable(&self) -> Option<String> {
        (!self.name.starts_with("check:")).then(|| variable_name(self.name))
    }
}

/// Where a value comes from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line: `--timeout`.
    Flag(String),
    /// The environment: `PODGATE_TIMEOUT`.
    Variable(String),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
        }
    }
}

/// What was typed for one option: never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// Where.
    pub(crate) source: Source,
    /// What; for a switch, `true`.
    pub(crate) values: Vec<String>,
}

/// A whole command line with its environment.
#[derive(Debug)]
pub(crate) struct Typed {
    /// Which command.
    pub(crate) command: Command,
    /// The checks, or `quit`'s targets, and where they were given.
    pub(crate) checks: Option<Given>,
    /// CMD and its arguments, as they are; empty without `--`.
    pub(crate) cmd: Vec<OsString>,
    /// DEST of `install`.
    pub(crate) dest: Option<PathBuf>,
    matches: ArgMatches,
}

/// A command line that is not to be run.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something to read was asked for: print it, exit 0.
    Read(String),
    /// Nothing was asked for: where to begin.
    Begin(String),
    /// It is wrong.
    Wrong(String),
}

/// What `podgate` alone says.
const BEGIN: &str = "\
podgate starts a container when its sidecars are ready. Begin with one of these:

  podgate check tcp://localhost:5432                        one attempt: exit 0 or 1, for probes
  podgate wait http://localhost:15021/healthz/ready         until it is ready, for postStart
  podgate wait http://localhost:15021/healthz/ready -- app  then become app, as an entrypoint

  podgate quit istio                                        ask it to stop, and see that it did

More: podgate wait --help, podgate check --help, podgate quit --help, podgate install --help
";

const CHECKS_HELP: &str = "\
Checks:
  http://HOST[:PORT]/PATH, https://…   the answer's status is 200-399, as the kubelet has it
  http+unix://%2Frun%2Fapp.sock/PATH   the same over a unix socket
  tcp://HOST:PORT                      a connection is accepted
  unix:///run/app.sock                 a connection is accepted
  listen://:PORT, listen://ADDR:PORT   something in this pod listens (the server sees no connection)
  file:///PATH                         the path exists
  exec:CMD ARG 'ARG 2'                 the command exits 0 (no shell is run)
  istio, envoy, linkerd, cloud-sql-proxy, dapr, vault-agent, consul-dataplane (NAME[:PORT])
                                       the sidecar's own readiness check passes
A check is printed as it was given, but for the user and password of a URL: put no secret into arguments or a query.
";

const WAIT_EXAMPLES: &str = "\
Exit codes: 0 passed (or CMD's, once it runs) · 1 a check can never pass, or reached --failure-threshold · 2 usage · 124 timed out
            125 podgate failed · 126 CMD cannot be executed · 127 CMD not found · 128+n ended by signal n
Every option is also a variable: --attempt-timeout is PODGATE_ATTEMPT_TIMEOUT; checks are PODGATE_CHECKS, one a line.
PODGATE_DISABLE=gates (or all, or 1) skips the wait: one image, with and without its mesh.

Examples:
  # postStart of a sidecar: the next container starts when the proxy is ready
  podgate wait --log-to container http://localhost:15021/healthz/ready

  # the app's own entrypoint: a hard gate, the app does not start without its database
  podgate wait tcp://localhost:5432 'exec:pg_isready -q -h localhost' -- /app --serve

  # startupProbe of a native sidecar, with timeoutSeconds: 60
  podgate wait --timeout 55s unix:///run/app.sock
";

const CHECK_EXAMPLES: &str = "\
Exit codes: 0 passed · 1 did not pass · 2 usage · 125 podgate failed · 128+n ended by signal n
Variables: as for wait (PODGATE_HTTP_HEADER, …), but --attempt-timeout has none, and schedule and thresholds do not reach a probe.

Examples:
  # readinessProbe, exec: in an image without shell and curl
  podgate check http://localhost:8080/ready

  # livenessProbe of a server that must not see probes in its log
  podgate check listen://:5432

  # a unix socket or the port: one is enough
  podgate check --any http+unix://%2Frun%2Fapp.sock/health http://127.0.0.1:8080/health
";

const QUIT_EXAMPLES: &str = "\
Targets:
  istio, envoy, linkerd, cloud-sql-proxy, dapr, vault-agent, consul-dataplane
                                       a sidecar that podgate knows; other ports: envoy:9902, istio:READY:QUIT
  http://HOST[:PORT]/PATH, https://…   any other, asked with a POST; http+unix://%2Frun%2Fapp.sock/PATH, too
One that refuses connections is gone already. One that answers 2xx has to refuse connections afterwards; any other answer is
tried again until --timeout is over.

Exit codes: 0 all are gone · 1 one is not · 2 usage · 125 podgate failed · 128+n ended by signal n
Every option is also a variable: --attempt-timeout is PODGATE_ATTEMPT_TIMEOUT; --timeout is PODGATE_QUIT_TIMEOUT.
PODGATE_DISABLE=quits (or all, or 1) asks nobody: one image, with and without its mesh.

Examples:
  # the end of a Job's own script, where Istio's proxy would run for ever
  podgate quit istio

  # two at once, and more time than 10s
  podgate quit --timeout 30s cloud-sql-proxy http://localhost:8080/quitquitquit
";

const INSTALL_EXAMPLES: &str = "\
The copy is there at once and whole (mode 0755), also where an older one runs.
Exit codes: 0 copied · 2 usage · 125 it could not be copied

Examples:
  # init container, with the volume mounted at /podgate-bin; the other containers mount it read-only
  podgate install /podgate-bin/podgate

  # into a directory, under its own name
  podgate install /podgate-bin
";

/// Reads the command line and the environment.
///
/// # Errors
/// [`Stop`]: help was asked for, or something is wrong.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Typed, Stop> {
    if arguments.len() < 2 {
        return Err(Stop::Begin(BEGIN.to_owned()));
    }
    let matches = app().try_get_matches_from(arguments).map_err(stop)?;
    let (command, matches) = match matches.subcommand() {
        Some(("wait", matches)) => (Command::Wait, matches.clone()),
        Some(("check", matches)) => (Command::Check, matches.clone()),
        Some((name @ ("run" | "join" | "status" | "doctor"), matches)) => {
            let commands = [Command::Run, Command::Join, Command::Status, Command::Doctor];
            let command = commands.into_iter().find(|command| command.name() == name).unwrap_or(Command::Run);
            let has_cmd = matches!(command, Command::Run | Command::Join);
            let cmd =
                if has_cmd { matches.get_many("CMD").into_iter().flatten().cloned().collect() } else { Vec::new() };
            return Ok(Typed { command, checks: None, cmd, dest: None, matches: matches.clone() });
        }
        Some(("quit", matches)) => {
            let values = matches.get_many::<OsString>("TARGET").into_iter().flatten();
            let values: Vec<String> = values.map(text).collect::<Result<_, _>>()?;
            let given = Given { source: Source::Flag("TARGET".to_owned()), values };
            let checks = Some(given).filter(|given| !given.values.is_empty());
            return Ok(Typed { command: Command::Quit, checks, cmd: Vec::new(), dest: None, matches: matches.clone() });
        }
        Some(("install", matches)) => {
            let dest = matches.get_one::<OsString>("DEST").map(PathBuf::from);
            return Ok(Typed {
                command: Command::Install,
                checks: None,
                cmd: Vec::new(),
                dest,
                matches: matches.clone(),
            });
        }
        Some(_) | None => return Err(Stop::Begin(BEGIN.to_owned())),
    };
    let cmd: Vec<OsString> = matches.get_many("CMD").into_iter().flatten().cloned().collect();
    if command == Command::Check && !cmd.is_empty() {
        return Err(Stop::Wrong("check becomes no CMD; say podgate wait CHECK -- CMD".to_owned()));
    }
    let checks = match matches.get_many::<OsString>("CHECK") {
        Some(values) => Some(Given {
            source: Source::Flag("CHECK".to_owned()),
            values: values.map(text).collect::<Result<_, _>>()?,
        }),
        None => variable("PODGATE_CHECKS", Shape::List(""))?,
    };
    Ok(Typed { command, checks, cmd, dest: None, matches })
}

impl Typed {
    /// What was typed for this option; `None` if nothing was.
    ///
    /// # Errors
    /// The value is not UTF-8.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Given>, Stop> {
        let wanted = |opt: &&Opt| opt.flag() == name && opt.commands.contains(&self.command);
        let Some(opt) = OPTIONS.iter().find(wanted) else { return Ok(None) };
        let source = Source::Flag(format!("--{name}"));
        match opt.shape {
            Shape::Switch if self.matches.get_flag(opt.name) => {
                return Ok(Some(Given { source, values: vec!["true".to_owned()] }));
            }
            Shape::Switch => {}
            Shape::Value(_) | Shape::List(_) => {
                if let Some(values) = self.matches.get_many::<OsString>(opt.name) {
                    let text = |value: &OsString| {
                        value.to_str().map(str::to_owned).ok_or_else(|| not_utf8(&format!("--{name}")))
                    };
                    return Ok(Some(Given { source, values: values.map(text).collect::<Result<_, _>>()? }));
                }
            }
        }
        opt.variable().map_or(Ok(None), |name| variable(&name, opt.shape))
    }
}

/// The variable of an option.
pub(crate) fn variable_name(option: &str) -> String {
    format!("PODGATE_{}", option.to_ascii_uppercase().replace(['-', ':'], "_"))
}

/// Reads a variable. An empty one is one that is not set: templates write them.
fn variable(name: &str, shape: Shape) -> Result<Option<Given>, Stop> {
    let Some(value) = env::var_os(name) else { return Ok(None) };
    let value = value.into_string().map_err(|_| not_utf8(name))?;
    let values = match shape {
        Shape::Switch | Shape::Value(_) => vec![value.trim().to_owned()],
        Shape::List(_) => value.lines().map(|line| line.trim().to_owned()).collect(),
    };
    let values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
    Ok(if values.is_empty() { None } else { Some(Given { source: Source::Variable(name.to_owned()), values }) })
}

fn text(value: &OsString) -> Result<String, Stop> {
    value.to_str().map(str::to_owned).ok_or_else(|| not_utf8("CHECK"))
}

fn not_utf8(what: &str) -> Stop {
    Stop::Wrong(format!("{what}: the value is not UTF-8; write it in ASCII, percent-encoded in a URL"))
}

fn app() -> clap::Command {
    let top = clap::Command::new("podgate")
        .version(if cfg!(feature = "tls") {
            concat!(env!("CARGO_PKG_VERSION"), " (with TLS)")
        } else {
            concat!(env!("CARGO_PKG_VERSION"), " (without TLS)")
        })
        .about("Starts a container when its sidecars are ready")
        .after_help(BEGIN)
        .disable_help_subcommand(true)
        .subcommand_required(true);
    let wait = clap::Command::new("wait")
        .about("Block until all checks pass; then become CMD, if one is given")
        .override_usage("podgate wait [OPTIONS] [CHECK]... [-- CMD...]")
        .after_help(format!("{CHECKS_HELP}\n{WAIT_EXAMPLES}"))
        .arg(checks())
        .arg(cmd());
    let check = clap::Command::new("check")
        .about("Try each check once, for probes: exit 0 or 1")
        .override_usage("podgate check [OPTIONS] CHECK...")
        .after_help(format!("{CHECKS_HELP}\n{CHECK_EXAMPLES}"))
        .arg(checks())
        .arg(cmd().hide(true));
    let quit = clap::Command::new("quit")
        .about("Ask sidecars to stop, and see that they did")
        .override_usage("podgate quit [OPTIONS] TARGET...")
        .after_help(QUIT_EXAMPLES)
        .arg(Arg::new("TARGET").num_args(1..).value_parser(OsStringValueParser::new()).help("Who is to stop"));
    let install = clap::Command::new("install")
        .about("Copy this binary to DEST, for init containers without cp")
        .override_usage("podgate install DEST")
        .after_help(INSTALL_EXAMPLES)
        .arg(
            Arg::new("DEST")
                .required(true)
                .value_parser(OsStringValueParser::new())
                .help("A file, or a directory that is there"),
        );
    let run = clap::Command::new("run")
        .about("Supervise CMD: gate its start, publish its state, end it with others")
        .arg(cmd());
    let join = clap::Command::new("join").about("The same from a postStart hook").arg(cmd());
    let status = clap::Command::new("status").about("Who is in this pod, in what state");
    let doctor = clap::Command::new("doctor").about("Is this container set up right for podgate?");
    top.subcommand(with_options(run, Command::Run))
        .subcommand(with_options(join, Command::Join))
        .subcommand(with_options(status, Command::Status))
        .subcommand(with_options(doctor, Command::Doctor))
        .subcommand(with_options(wait, Command::Wait))
        .subcommand(with_options(check, Command::Check))
        .subcommand(with_options(quit, Command::Quit))
        .subcommand(with_options(install, Command::Install))
}

fn checks() -> Arg {
    Arg::new("CHECK")
        .num_args(1..)
        .value_parser(OsStringValueParser::new())
        .help("What must be true [default: $PODGATE_CHECKS, one a line]")
}

fn cmd() -> Arg {
    Arg::new("CMD")
        .last(true)
        .num_args(1..)
        .value_parser(OsStringValueParser::new())
        .help("Becomes this process when the gate opens")
}

fn with_options(mut command: clap::Command, which: Command) -> clap::Command {
    for opt in OPTIONS.iter().filter(|opt| opt.commands.contains(&which)) {
        let arg = Arg::new(opt.name).long(opt.flag()).help(opt.help).help_heading(opt.heading);
        let arg = match opt.short {
            Some(short) => arg.short(short),
            None => arg,
        };
        command = command.arg(match opt.shape {
            Shape::Switch => arg.action(ArgAction::SetTrue),
            Shape::Value(name) => arg.value_name(name).action(ArgAction::Set).value_parser(OsStringValueParser::new()),
            Shape::List(name) => {
                arg.value_name(name).action(ArgAction::Append).value_parser(OsStringValueParser::new())
            }
        });
    }
    command
}

/// Puts clap's errors in our words: one line, and no value that may be a secret.
fn stop(error: clap::Error) -> Stop {
    let word = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        Some(_) | None => None,
    };
    let kind = error.kind();
    if kind == ErrorKind::DisplayHelp || kind == ErrorKind::DisplayVersion {
        return Stop::Read(error.to_string());
    }
    if kind == ErrorKind::MissingSubcommand {
        return Stop::Begin(BEGIN.to_owned());
    }
    let given = word(ContextKind::InvalidArg).unwrap_or_default();
    if kind == ErrorKind::InvalidSubcommand {
        let given = word(ContextKind::InvalidSubcommand).unwrap_or_default();
        let shown = check::redacted_refusal(&given);
        return Stop::Wrong(match (word(ContextKind::SuggestedSubcommand), check::parse(&given)) {
            (Some(name), _) => format!("{shown:?} is no command; did you mean podgate {name}?"),
            (None, Ok(_)) => {
                format!("{shown:?} is a check, not a command; say podgate wait {shown} or podgate check {shown}")
            }
            (None, Err(_)) => format!("{shown:?} is no command; say podgate wait or podgate check"),
        });
    }
    if kind == ErrorKind::UnknownArgument {
        let option = given.split_once('=').map_or(given.as_str(), |(option, _)| option);
        if given.starts_with('-') && given.chars().nth(1).is_some_and(|letter| letter.is_ascii_digit()) {
            return Stop::Wrong(format!("{option:?} is no option, and no value is negative; say 30s or 3"));
        }
        return Stop::Wrong(match word(ContextKind::SuggestedArg) {
            Some(name) => {
                format!("unknown option {option:?}; did you mean {name}? what is meant for CMD goes after --")
            }
            None if given.starts_with('-') => {
                format!("unknown option {option:?}; see podgate wait --help; what is meant for CMD goes after --")
            }
            None => "an argument too many; CMD goes after --: podgate wait CHECK -- CMD".to_owned(),
        });
    }
    let option = given.split_once(' ').map_or(given.as_str(), |(option, _)| option);
    if kind == ErrorKind::ArgumentConflict {
        return Stop::Wrong(format!("{option} is given twice; say it once"));
    }
    if kind == ErrorKind::MissingRequiredArgument {
        return Stop::Wrong("install needs a destination; say podgate install /podgate-bin/podgate".to_owned());
    }
    if kind == ErrorKind::InvalidValue || kind == ErrorKind::WrongNumberOfValues || kind == ErrorKind::TooFewValues {
        return Stop::Wrong(format!("{option} needs a value; see podgate wait --help"));
    }
    if kind == ErrorKind::TooManyValues {
        return Stop::Wrong(format!("{option} takes no value; say {option}"));
    }
    Stop::Wrong("this command line cannot be read; see podgate wait --help".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{OPTIONS, app, variable_name};

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        app().debug_assert();
    }

    #[test]
    fn no_option_is_called_as_what_kubernetes_injects_for_a_service() {
        for option in OPTIONS {
            let name = option.variable().unwrap_or_default();
            assert!(!name.starts_with("PODGATE_PORT") && !name.starts_with("PODGATE_SERVICE"), "{name}");
        }
        assert_eq!(variable_name("attempt-timeout"), "PODGATE_ATTEMPT_TIMEOUT");
        assert_eq!(variable_name(super::QUIT_TIMEOUT), "PODGATE_QUIT_TIMEOUT");
    }
}
