//! What was meant: typed text (`cli`) becomes values that need no more looking at. Every refusal names the option, the value and a
//! right example, and exits 2; nothing that was given is ignored.

pub mod life;

use crate::cli::{Command, Given, Source, Stop, Typed};
use crate::core::check::{self, Check};
use crate::core::duration::{self, Limit};
use crate::core::gate::{Need, Spec};
use crate::core::http as rules;
use crate::core::http::{Header, Request, Statuses};
use crate::core::member::Name;
use crate::core::quit::{self, Asked, Target, Timeouts};
use crate::core::redact;
use crate::core::schedule::Pace;
use crate::core::url::{Scheme, Url};
use crate::members::Plain;
use crate::probe::http::Ask;
use crate::probe::tls::{self, Roots, Trust};
use crate::report::{Format, Level, LogTo};
use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// `--dir`, unless it is given.
const DIR: &str = "/run/podgate";
/// `--timeout`, unless it is given.
const TIMEOUT: Duration = Duration::from_secs(60);
/// `--timeout` of `quit`.
const QUIT_TIMEOUT: Duration = Duration::from_secs(10);
/// `--attempt-timeout` of `wait` and `quit`: the kubelet's `timeoutSeconds`.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// `--attempt-timeout` of `check`: its reason is printed before the kubelet's second is over.
const CHECK_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(800);

/// How lines are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Text or JSON.
    pub(crate) format: Format,
    /// How much.
    pub(crate) level: Level,
    /// Where to.
    pub(crate) to: LogTo,
    /// `--termination-log`.
    pub(crate) termination: Option<PathBuf>,
}

impl Logging {
    /// What the log is called in messages.
    pub fn path(&self) -> String {
        match &self.to {
            LogTo::Stderr => "stderr".to_owned(),
            LogTo::Container => "container".to_owned(),
            LogTo::File(path) => redact::value(&path.to_string_lossy()),
        }
    }
}

/// What `wait` does when the gate does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnTimeout {
    /// Exit with the gate's code.
    Fail,
    /// Go on as if it had opened.
    Run,
}

/// Is the gate to be waited for at all?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gates {
    /// Yes.
    On,
    /// No: `PODGATE_DISABLE` says so.
    Disabled,
}

/// What `PODGATE_DISABLE` takes away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Disabled {
    /// Waiting.
    pub(crate) gates: bool,
    /// Asking others to quit.
    pub(crate) quits: bool,
    /// Being a member, and looking at members.
    pub(crate) members: bool,
}

/// Where members meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `--dir`; `None`: nowhere.
    pub(crate) dir: Option<PathBuf>,
    /// `--allow-plain-dir`.
    pub(crate) plain: Plain,
}

/// A whole call.
pub struct Settings {
    /// What must be true.
    pub checks: Vec<Check>,
    /// When to ask, and what for.
    pub gate: Spec,
    /// What HTTP checks ask.
    pub(crate) ask: Ask,
    /// What to do when the gate does not open.
    pub(crate) on_timeout: OnTimeout,
    /// Whether to wait at all.
    pub(crate) gates: Gates,
    /// Where members meet.
    pub(crate) place: Place,
    /// What `PODGATE_DISABLE` takes away besides, in words.
    pub skipped: Option<String>,
}

/// Reads how lines are to be printed; first of all, so that the rest can be told.
///
/// # Errors
/// A bad value.
pub fn logging(typed: &Typed) -> Result<Logging, Stop> {
    let format = match word(typed, "log-format")? {
        None => Format::Text,
        Some((_, value)) if value == "text" => Format::Text,
        Some((_, value)) if value == "json" => Format::Json,
        Some((source, value)) => {
            return Err(bad(&source, &value, "is no format; say text or json"));
        }
    };
    let level = match (switch(typed, "quiet")?, switch(typed, "verbose")?) {
        (None, None) => Level::Normal,
        (Some(_), None) => Level::Quiet,
        (None, Some(_)) => Level::Verbose,
        // A flag goes before the variable of the other.
        (Some(Source::Flag(_)), Some(Source::Variable(_))) => Level::Quiet,
        (Some(Source::Variable(_)), Some(Source::Flag(_))) => Level::Verbose,
        (Some(quiet), Some(verbose)) => {
            return Err(Stop::Wrong(format!(
                "{quiet} and {verbose} contradict each other; say one of them"
            )));
        }
    };
    let to = match word(typed, "log-to")? {
        None => LogTo::Stderr,
        Some((_, value)) if value == "stderr" => LogTo::Stderr,
        Some((_, value)) if value == "container" => LogTo::Container,
        Some((_, value)) if value.contains('/') => LogTo::File(PathBuf::from(value)),
        Some((source, value)) => {
            return Err(bad(
                &source,
                &value,
                "is neither stderr nor container nor a path; say stderr, container or /run/podgate.log",
            ));
        }
    };
    let termination = match word(typed, "termination-log")? {
        None => None,
        Some((_, value)) if value.starts_with('/') => Some(PathBuf::from(value)),
        Some((source, value)) => {
            return Err(bad(
                &source,
                &value,
                "is no absolute path; say /dev/termination-log",
            ));
        }
    };
    Ok(Logging {
        format,
        level,
        to,
        termination,
    })
}

/// Reads the rest.
///
/// # Errors
/// A bad value, or values that contradict each other.
pub fn read(typed: &Typed) -> Result<Settings, Stop> {
    let off = disabled()?;
    let gates = if off.gates {
        Gates::Disabled
    } else {
        Gates::On
    };
    let mut checks = checks(typed)?;
    let mut gate = gate(typed, &checks)?;
    let request = http(typed, &checks)?;
    let urls: Vec<&Url> = checks.iter().filter_map(Check::url).collect();
    // A gate that is disabled needs no CA: its image may be without the mesh that has it.
    let trust = trust(
        typed,
        &urls,
        typed.command != Command::Wait || gates == Gates::On,
    )?;
    let ask = Ask {
        request: Arc::new(request),
        trust: Arc::new(trust),
    };
    let on_timeout = value(typed, "on-timeout", on_timeout)?.map_or(OnTimeout::Fail, |(_, it)| it);
    let place = place(typed)?;
    let members: Vec<String> = checks
        .iter()
        .filter(|check| check.kind.member().is_some())
        .map(|check| check.name.clone())
        .collect();
    let mut skipped = None;
    if off.members && !members.is_empty() {
        checks.retain(|check| check.kind.member().is_none());
        gate.floors = checks.iter().map(|check| check.kind.floor()).collect();
        skipped = Some(format!(
            "PODGATE_DISABLE is set: not looking at {members:?}"
        ));
    } else if let (None, Some(member)) = (&place.dir, members.first()) {
        return Err(Stop::Wrong(format!(
            "{member:?} is about a member, and --dir none says that there are none; say --dir /run/podgate"
        )));
    }
    Ok(Settings {
        checks,
        gate,
        ask,
        on_timeout,
        gates,
        place,
        skipped,
    })
}

/// Who is asked to quit, and how long that may take.
#[derive(Clone)]
pub struct Quitting {
    /// Those that are asked over HTTP.
    pub(crate) targets: Vec<Asked>,
    /// Those that are asked on the volume.
    pub(crate) members: Vec<Name>,
    /// How long it may take.
    pub(crate) limits: Timeouts,
    /// Whom TLS trusts.
    pub(crate) trust: Arc<Trust>,
    /// Does `PODGATE_DISABLE` say that nobody is asked?
    pub(crate) is_disabled: bool,
    /// The members that are not asked, because `PODGATE_DISABLE` says that there are none.
    pub(crate) skipped: Vec<Name>,
}

impl Quitting {
    /// Who is asked, for messages.
    pub fn names(&self) -> Vec<String> {
        let members = self.members.iter().map(|name| format!("member:{name}"));
        self.targets
            .iter()
            .map(|target| target.name.clone())
            .chain(members)
            .collect()
    }
}

/// Reads all of `quit`'s.
///
/// # Errors
/// A bad value, or values that contradict each other.
pub fn quitting(typed: &Typed) -> Result<(Quitting, Place), Stop> {
    let off = disabled()?;
    let Some(given) = &typed.checks else {
        return Err(Stop::Wrong(
            "quit needs a target; say podgate quit istio, or a URL".to_owned(),
        ));
    };
    let place = place(typed)?;
    let (targets, mut members) = targets(given)?;
    if let (None, Some(member)) = (&place.dir, members.first()) {
        let cause =
            "is on the volume, and --dir none says that there is none; say --dir /run/podgate";
        return Err(bad(&given.source, &format!("member:{member}"), cause));
    }
    let skipped = if off.members && !off.quits {
        std::mem::take(&mut members)
    } else {
        Vec::new()
    };
    let urls: Vec<&Url> = targets
        .iter()
        .filter(|it| it.preset.is_none())
        .map(|it| &it.url)
        .collect();
    let trust = Arc::new(trust(typed, &urls, !off.quits)?);
    let limits = Timeouts {
        attempt: value(typed, "attempt-timeout", duration::positive)?
            .map_or(ATTEMPT_TIMEOUT, |(_, it)| it),
        all: value(typed, "timeout", duration::limit)?
            .map_or(Limit::After(QUIT_TIMEOUT), |(_, it)| it)
            .duration(),
        option: "--timeout",
    };
    Ok((
        Quitting {
            targets,
            members,
            limits,
            trust,
            is_disabled: off.quits,
            skipped,
        },
        place,
    ))
}

/// Reads targets.
fn targets(given: &Given) -> Result<(Vec<Asked>, Vec<Name>), Stop> {
    let (mut targets, mut members) = (Vec::new(), Vec::new());
    for text in &given.values {
        match quit::target(text)
            .map_err(|cause| bad(&given.source, &redact::refused(text), &cause))?
        {
            Target::Http(asked) => targets.push(asked),
            Target::Member(name) => members.push(name),
        }
    }
    Ok((targets, members))
}

fn on_timeout(text: &str) -> Result<OnTimeout, String> {
    match text {
        "fail" => Ok(OnTimeout::Fail),
        "run" => Ok(OnTimeout::Run),
        _ => Err("is neither fail nor run; say fail or run".to_owned()),
    }
}

/// Reads `--dir` and `--allow-plain-dir`.
///
/// # Errors
/// A bad value.
pub fn place(typed: &Typed) -> Result<Place, Stop> {
    let dir = match word(typed, "dir")? {
        None => Some(PathBuf::from(DIR)),
        Some((_, text)) if text == "none" => None,
        Some((_, text)) if text.starts_with('/') => Some(PathBuf::from(text)),
        Some((source, text)) => {
            return Err(bad(
                &source,
                &text,
                "is no absolute path; say /run/podgate, or none for no members",
            ));
        }
    };
    let plain = if switch(typed, "allow-plain-dir")?.is_some() {
        Plain::Allowed
    } else {
        Plain::Refused
    };
    Ok(Place { dir, plain })
}

/// Reads `PODGATE_DISABLE`.
pub(crate) fn disabled() -> Result<Disabled, Stop> {
    const NAME: &str = "PODGATE_DISABLE";
    let value = env::var_os(NAME).unwrap_or_default();
    let value = value.to_str().ok_or_else(|| {
        Stop::Wrong(format!(
            "{NAME}: the value is not UTF-8; say all, or gates,quits,members"
        ))
    })?;
    let mut off = Disabled::default();
    for word in value.split([',', '\n']).map(str::trim) {
        match word {
            "" | "0" | "false" => {}
            "1" | "all" => {
                off = Disabled {
                    gates: true,
                    quits: true,
                    members: true,
                }
            }
            "gates" => off.gates = true,
            "quits" => off.quits = true,
            "members" => off.members = true,
            _ => {
                let source = Source::Variable(NAME.to_owned());
                return Err(bad(
                    &source,
                    word,
                    "is nothing that can be disabled; say all, or some of gates,quits,members",
                ));
            }
        }
    }
    Ok(off)
}

fn checks(typed: &Typed) -> Result<Vec<Check>, Stop> {
    let Some(given) = &typed.checks else {
        if typed.command == Command::Check || typed.cmd.is_empty() {
            let name = typed.command.name();
            return Err(Stop::Wrong(format!(
                "{name} needs a check; say podgate {name} tcp://localhost:5432, or set PODGATE_CHECKS"
            )));
        }
        return Ok(Vec::new());
    };
    // `-H X-Token: secret` without quotes makes the secret a CHECK.
    let is_unquoted = match typed.get("http-header")? {
        Some(headers) => headers.values.iter().any(|header| header.ends_with(':')),
        None => false,
    };
    let one = |text: &String| {
        check::parse(text).map_err(|cause| {
            if is_unquoted {
                return Stop::Wrong(format!(
                    "{} (not shown): is no check; quote a header: -H 'NAME: VALUE'",
                    given.source
                ));
            }
            bad(&given.source, &redact::refused(text), &cause)
        })
    };
    given.values.iter().map(one).collect()
}

fn gate(typed: &Typed, checks: &[Check]) -> Result<Spec, Stop> {
    let attempt = match typed.command {
        Command::Wait => ATTEMPT_TIMEOUT,
        Command::Check
        | Command::Quit
        | Command::Install
        | Command::Run
        | Command::Join
        | Command::Status
        | Command::Doctor => CHECK_ATTEMPT_TIMEOUT,
    };
    let attempt_timeout =
        value(typed, "attempt-timeout", duration::positive)?.map_or(attempt, |(_, it)| it);
    let need = if switch(typed, "any")?.is_some() {
        Need::Any
    } else {
        Need::All
    };
    let floors = checks.iter().map(|check| check.kind.floor()).collect();
    let once = Spec {
        floors,
        need,
        pace: Pace::Once,
        success_threshold: 1,
        failure_threshold: None,
        initial_delay: Duration::ZERO,
        attempt_timeout,
        timeout: None,
    };
    if typed.command == Command::Check {
        return Ok(once);
    }
    let interval = value(typed, "interval", duration::positive)?;
    let success = value(typed, "success-threshold", count)?;
    let failure = value(typed, "failure-threshold", count_or_none)?;
    let needs_interval = |source: &Source, threshold: u32| {
        let cause = "counts attempts in a row, and needs to know how far apart they are; say --interval 1s, too";
        if threshold > 1 && interval.is_none() {
            Err(bad(source, &threshold.to_string(), cause))
        } else {
            Ok(())
        }
    };
    if let Some((source, threshold)) = &success {
        needs_interval(source, *threshold)?;
    }
    if let Some((source, Some(threshold))) = &failure {
        needs_interval(source, *threshold)?;
    }
    let timeout = value(typed, "timeout", duration::limit)?
        .map_or(Limit::After(TIMEOUT), |(_, it)| it)
        .duration();
    let initial_delay = value(typed, "initial-delay", duration::delay)?;
    if let (Some((source, delay)), Some(timeout)) = (&initial_delay, timeout)
        && *delay >= timeout
    {
        let cause = format!(
            "is not shorter than --timeout {}; raise --timeout, or say --initial-delay 1s",
            duration::show(timeout)
        );
        return Err(bad(source, &duration::show(*delay), &cause));
    }
    Ok(Spec {
        pace: interval.map_or(Pace::Proportional, |(_, it)| Pace::Every(it)),
        success_threshold: success.map_or(1, |(_, it)| it),
        failure_threshold: failure.and_then(|(_, it)| it),
        initial_delay: initial_delay.map_or(Duration::ZERO, |(_, it)| it),
        timeout,
        ..once
    })
}

fn http(typed: &Typed, checks: &[Check]) -> Result<Request, Stop> {
    let mut origins: Vec<_> = checks
        .iter()
        .filter_map(Check::url)
        .map(Url::origin)
        .collect();
    origins.dedup();
    let has_http = !origins.is_empty();
    let headers = headers(typed, &origins.len())?;
    let cause = match checks.iter().find(|check| check.preset.is_some()) {
        None => "is about HTTP checks, and there is none; say it with http://localhost:8080/ready",
        Some(_) => {
            "is about HTTP checks, and does not apply to presets: they ask a plain GET; say the URL in full, as in \
             http://localhost:15021/healthz/ready"
        }
    };
    for option in [
        "http-header",
        "http-method",
        "http-status",
        "http-body-contains",
    ] {
        needs(typed, option, has_http, cause)?;
    }
    let body_contains = word(typed, "http-body-contains")?;
    let method = value(typed, "http-method", rules::method)?;
    if let (Some((source, text)), Some((_, method))) = (&body_contains, &method)
        && method == "HEAD"
    {
        return Err(bad(
            source,
            text,
            "looks into the body, and the answer to HEAD has none; say --http-method GET",
        ));
    }
    Ok(Request {
        method: method.map_or_else(|| "GET".to_owned(), |(_, it)| it),
        headers,
        pass: value(typed, "http-status", rules::statuses)?.map_or(Statuses::Kubelet, |(_, it)| it),
        body_contains: body_contains.map(|(_, it)| it),
    })
}

/// Headers may be secrets: they go to one host, and no message shows them.
fn headers(typed: &Typed, hosts: &usize) -> Result<Vec<Header>, Stop> {
    let Some(given) = typed.get("http-header")? else {
        return Ok(Vec::new());
    };
    if *hosts > 1 {
        let cause =
            "would go to every HTTP host of this call, and there are several; ask one host a call";
        return Err(Stop::Wrong(format!("{} {cause}", given.source)));
    }
    let one = |text: &String| {
        rules::header(text).map_err(|cause| Stop::Wrong(format!("{} {cause}", given.source)))
    };
    let headers: Vec<Header> = given.values.iter().map(one).collect::<Result<_, _>>()?;
    if headers.iter().filter(|header| header.is("Host")).count() > 1 {
        return Err(Stop::Wrong(format!(
            "{} names two hosts; a request has one Host",
            given.source
        )));
    }
    Ok(headers)
}

fn trust(typed: &Typed, urls: &[&Url], is_used: bool) -> Result<Trust, Stop> {
    let cause = "is about https, and there is no URL; say it with https://localhost:8443/ready";
    for option in ["tls-ca", "tls-insecure", "tls-server-name"] {
        needs(typed, option, !urls.is_empty(), cause)?;
    }
    let ca = word(typed, "tls-ca")?;
    let insecure = switch(typed, "tls-insecure")?;
    let server_name = value(typed, "tls-server-name", tls::name)?.map(|(_, name)| name);
    let roots = match (insecure, ca) {
        (Some(insecure @ Source::Flag(_)), Some((ca @ Source::Flag(_), _)))
        | (Some(insecure @ Source::Variable(_)), Some((ca @ Source::Variable(_), _))) => {
            return Err(Stop::Wrong(format!(
                "{insecure} and {ca} contradict each other; say one of them"
            )));
        }
        (Some(Source::Flag(_)), Some((Source::Variable(_), _))) | (Some(_), None) => Roots::Anyone,
        (_, Some((source, path))) => Roots::File(PathBuf::from(path), source.to_string()),
        (None, None) => match env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
            Some(path) => Roots::File(PathBuf::from(path), "SSL_CERT_FILE".to_owned()),
            None => Roots::System,
        },
    };
    let trust = Trust::new(roots, server_name);
    if is_used && urls.iter().any(|url| url.scheme == Scheme::Tls) {
        trust.ready().map_err(Stop::Wrong)?;
    }
    Ok(trust)
}

/// Is this switch on?
///
/// # Errors
/// A bad value.
pub fn is_on(typed: &Typed, option: &str) -> Result<bool, Stop> {
    Ok(switch(typed, option)?.is_some())
}

/// Reads `--grace` and `--stop-margin` for `doctor`, which tells whether they add up.
///
/// # Errors
/// A bad value.
pub fn budget(typed: &Typed) -> Result<Result<(Duration, Duration), Stop>, Stop> {
    let grace = value(typed, "grace", duration::positive)?;
    let margin = value(typed, "stop-margin", duration::delay)?;
    Ok(life::budget(grace, margin))
}

/// Refuses a flag that has nothing to act on. A variable may be meant for another call of the same container.
fn needs(typed: &Typed, option: &str, has: bool, cause: &str) -> Result<(), Stop> {
    match typed.get(option)? {
        Some(Given {
            source: source @ Source::Flag(_),
            ..
        }) if !has => Err(Stop::Wrong(format!("{source} {cause}"))),
        Some(_) | None => Ok(()),
    }
}

/// The one value of an option, as it was typed.
fn word(typed: &Typed, option: &str) -> Result<Option<(Source, String)>, Stop> {
    let Some(Given { source, values }) = typed.get(option)? else {
        return Ok(None);
    };
    Ok(values.into_iter().next().map(|value| (source, value)))
}

/// The one value of an option, as it was meant.
fn value<T>(
    typed: &Typed,
    option: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<(Source, T)>, Stop> {
    let Some((source, text)) = word(typed, option)? else {
        return Ok(None);
    };
    match read(&text) {
        Ok(value) => Ok(Some((source, value))),
        Err(cause) => Err(bad(&source, &text, &cause)),
    }
}

/// A switch that is on, and where it was given.
fn switch(typed: &Typed, option: &str) -> Result<Option<Source>, Stop> {
    match word(typed, option)? {
        None => Ok(None),
        Some((source, value)) => match value.as_str() {
            "true" | "1" => Ok(Some(source)),
            "false" | "0" => Ok(None),
            _ => Err(bad(
                &source,
                &value,
                "is neither true nor false; say true or false",
            )),
        },
    }
}

fn count(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|count| digits && *count > 0)
        .ok_or_else(|| "is no number from 1 on; say 3".to_owned())
}

fn count_or_none(text: &str) -> Result<Option<u32>, String> {
    if text == "none" {
        return Ok(None);
    }
    count(text)
        .map(Some)
        .map_err(|cause| format!("{cause}, or none for no end"))
}

/// A URL that stands where another value should has a password all the same.
fn bad(source: &Source, value: &str, cause: &str) -> Stop {
    let shown = redact::value(value);
    Stop::Wrong(format!("{source} {shown:?}: {cause}"))
}
