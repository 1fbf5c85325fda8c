//! The help of each command: what it is for, its options from the table, and examples.

use super::Command;
use super::options::{OPTIONS, Opt, Shape};

/// What comes before `--`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// Nothing.
    None,
    /// Any number: checks or targets.
    Many,
    /// One: where to install.
    One,
}

/// A command, for the parser and for people.
pub(super) struct About {
    pub(super) command: Command,
    /// One sentence.
    about: &'static str,
    usage: &'static str,
    /// Which words it takes, and what they are called.
    pub(super) words: (Words, &'static str, &'static str),
    /// What CMD after `--` is; `None`: there is none.
    pub(super) cmd: Option<&'static str>,
    after: &'static [&'static str],
}

/// Every command.
pub(super) const COMMANDS: &[About] = &[
    About {
        command: Command::Wait,
        about: "Block until all checks pass; then become CMD, if one is given",
        usage: "podgate wait [OPTIONS] [CHECK]... [-- CMD...]",
        words: (
            Words::Many,
            "CHECK",
            "What must be true [default: $PODGATE_CHECKS, one a line]",
        ),
        cmd: Some("Becomes this process when the gate opens"),
        after: &[CHECKS_HELP, WAIT_EXAMPLES],
    },
    About {
        command: Command::Check,
        about: "Try each check once, for probes: exit 0 or 1",
        usage: "podgate check [OPTIONS] CHECK...",
        words: (
            Words::Many,
            "CHECK",
            "What must be true [default: $PODGATE_CHECKS, one a line]",
        ),
        cmd: None,
        after: &[CHECKS_HELP, CHECK_EXAMPLES],
    },
    About {
        command: Command::Run,
        about: "Supervise CMD: gate its start, publish its state, end it with others",
        usage: "podgate run [OPTIONS] -- CMD...",
        words: (Words::None, "", ""),
        cmd: Some("The container's own command"),
        after: &[CHECKS_HELP, RUN_EXAMPLES],
    },
    About {
        command: Command::Join,
        about: "Take part in a container whose entrypoint stays as it is, from its postStart hook",
        usage: "podgate join --name NAME --restart-policy POLICY [OPTIONS] [-- HOOK...]",
        words: (Words::None, "", ""),
        cmd: Some("The hook that was there before: becomes this process afterwards"),
        after: &[CHECKS_HELP, JOIN_EXAMPLES],
    },
    About {
        command: Command::Quit,
        about: "Ask sidecars to stop, and see that they did: exit 0 or 1",
        usage: "podgate quit [OPTIONS] TARGET...",
        words: (Words::Many, "TARGET", "Who is to quit"),
        cmd: None,
        after: &[QUIT_EXAMPLES],
    },
    About {
        command: Command::Status,
        about: "Who is in this pod, in what state",
        usage: "podgate status [--json]",
        words: (Words::None, "", ""),
        cmd: None,
        after: &[STATUS_EXAMPLES],
    },
    About {
        command: Command::Doctor,
        about: "Is this container set up right for podgate? One line a finding: exit 0 or 1",
        usage: "podgate doctor [OPTIONS]",
        words: (Words::None, "", ""),
        cmd: None,
        after: &[],
    },
    About {
        command: Command::Install,
        about: "Copy this binary to DEST, for init containers without cp",
        usage: "podgate install DEST",
        words: (Words::One, "DEST", "A file, or a directory that is there"),
        cmd: None,
        after: &[INSTALL_EXAMPLES],
    },
];

/// What `podgate --version` says.
pub(super) const VERSION: &str = if cfg!(feature = "tls") {
    concat!("podgate ", env!("CARGO_PKG_VERSION"), " (with TLS)\n")
} else {
    concat!("podgate ", env!("CARGO_PKG_VERSION"), " (without TLS)\n")
};

/// The help of podgate itself.
pub(super) fn of_all() -> String {
    let mut text = "Starts a container when its sidecars are ready, and ends it with them\n\nUsage: podgate <COMMAND>\n\nCommands:\n".to_owned();
    for about in COMMANDS {
        row(&mut text, 2, about.command.name(), 11, about.about);
    }
    text.push_str("\nOptions:\n  -h, --help     Print help, also of a command\n  -V, --version  Print version\n\n");
    text.push_str(BEGIN);
    text
}

/// The help of one command.
pub(super) fn of(about: &About) -> String {
    let mut text = format!("{}\n\nUsage: {}\n", about.about, about.usage);
    let (words, name, help) = about.words;
    if words != Words::None || about.cmd.is_some() {
        text.push_str("\nArguments:\n");
    }
    if words != Words::None {
        let name = if words == Words::Many {
            format!("[{name}]...")
        } else {
            format!("<{name}>")
        };
        row(&mut text, 2, &name, 14, help);
    }
    if let Some(cmd) = about.cmd {
        row(&mut text, 2, "[CMD]...", 14, cmd);
    }
    let mut headings: Vec<&str> = Vec::new();
    for opt in shown(about.command) {
        if !headings.contains(&opt.heading) {
            headings.push(opt.heading);
        }
    }
    for heading in headings {
        text.push_str(&format!("\n{heading}:\n"));
        for opt in shown(about.command).filter(|opt| opt.heading == heading) {
            let letter = opt
                .short
                .map_or("    ".to_owned(), |letter| format!("-{letter}, "));
            let value = match opt.shape {
                Shape::Switch => String::new(),
                Shape::Value(name) | Shape::List(name) => format!(" <{name}>"),
            };
            // Nobody can guess it for who has joined.
            let is_required = about.command == Command::Join && opt.flag() == "restart-policy";
            let help = if is_required {
                "The pod's: never, on-failure or always (required)"
            } else {
                opt.help
            };
            row(
                &mut text,
                2,
                &format!("{letter}--{}{value}", opt.flag()),
                0,
                help,
            );
        }
    }
    text.push_str("\n  -h, --help\n          Print help\n");
    for part in about.after {
        text.push('\n');
        text.push_str(part);
    }
    text
}

/// The options of a command.
pub(super) fn of_command(command: Command) -> impl Iterator<Item = &'static Opt> {
    OPTIONS
        .iter()
        .filter(move |opt| opt.commands.contains(&command))
}

/// Those that its help shows: `join` takes --outlive only to say why it refuses it.
fn shown(command: Command) -> impl Iterator<Item = &'static Opt> {
    of_command(command).filter(move |opt| command != Command::Join || opt.flag() != "outlive")
}

/// One row: what it is called, and what it is; on a line of its own if `width` is 0.
fn row(text: &mut String, indent: usize, name: &str, width: usize, help: &str) {
    text.push_str(&format!("{:indent$}{name:width$}", ""));
    if width == 0 {
        for line in help.lines() {
            text.push_str("\n          ");
            text.push_str(line);
        }
    } else {
        text.push_str(help);
    }
    text.push('\n');
}

/// What `podgate` alone says.
pub(super) const BEGIN: &str = "\
podgate starts a container when its sidecars are ready, and ends it with them. Begin with one of these:

  podgate check tcp://localhost:5432                        one attempt: exit 0 or 1, for probes
  podgate wait http://localhost:15021/healthz/ready         until it is ready, for postStart
  podgate wait http://localhost:15021/healthz/ready -- app  then become app, as an entrypoint

  podgate run --name main --after ready:proxy -- app        supervise it: others see when it is ready, and how it ends
  podgate run --name proxy --until main -- envoy            a sidecar that ends with main, however main ends
  podgate quit istio                                        ask a sidecar to stop, and see that it did

More: podgate --help, and podgate wait --help, podgate run --help and so on
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
  started:NAME, ready:NAME             the member NAME is alive and runs, is alive and ready
  gone:NAME, succeeded:NAME            it is not alive (or never came); it ended with exit code 0
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
  member:NAME                          a member of this pod, asked on the volume
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

const RUN_EXAMPLES: &str = "\
Exit codes: CMD's own, 128+n for signal n · 0 all of --until are done with success, or asked to quit (with --until, --outlive, --listen)
            c when one of --until failed with c, 137 when it was lost (0 under --restart-policy never) · 143 told to stop before it was
            ready · 69 a member of --needs ended · 124 timed out · 1 a check can never pass · 2 usage · 125 podgate failed
            126 CMD cannot be executed · 127 CMD not found
Every option is also a variable: --until is PODGATE_UNTIL; lists have one item a line.
PODGATE_DISABLE=all (or 1, or some of gates,quits,members) takes that away: one image, with and without its mesh.

Examples:
  # a Job's main container: starts when the proxy is ready
  podgate run --name main --after ready:proxy -- /job

  # its proxy: ends when main is done, also when main was OOM-killed; on pod deletion it lives as long as main does
  podgate run --name proxy --until main --ready http://localhost:9901/ready -- envoy -c /etc/envoy.yaml

  # a Job beside a sidecar that is not wrapped: waits for it, and asks it to quit in the end
  podgate run --sidecar istio --restart-policy never -- /job

  # nginx beside an app in a Deployment: serves until the app is gone
  podgate run --name nginx --outlive app --stop-signal QUIT -- nginx -g 'daemon off;'
";

const JOIN_EXAMPLES: &str = "\
A small process stays behind in the container; it holds the member's lock, and dies with the container. With --until it sends PID 1 the
stop signal; PID 1 must end then, because nobody can kill it from inside. Its exit code cannot be known: others see that it ended.
Exit codes: 0 joined (or HOOK's) · 2 usage · 124 not ready within --timeout · 125 podgate failed · 128+n ended by signal n

Examples:
  # postStart of an unmodified main container of a Job
  podgate join --name main --restart-policy never

  # postStart of its unmodified sidecar: ready when it answers, ended when main is done
  podgate join --name proxy --restart-policy never --ready tcp://localhost:5432 --wait --until main
";

const STATUS_EXAMPLES: &str = "\
States: waiting (for others) · running · ready · exited · lost (died without a word) · absent · unknown (its record cannot be read)
";
