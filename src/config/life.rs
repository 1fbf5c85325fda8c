//! What `run` and `join` were meant to do: one life, and its relations to others.

use super::{
    Disabled, OnTimeout, Place, QUIT_TIMEOUT, Quitting, bad, disabled, http, place, switch, trust,
    value, word,
};
use crate::cli::{Command, Given, Source, Stop, Typed};
use crate::core::check::{self, Check, Fact, Kind};
use crate::core::duration::{self, Limit};
use crate::core::endpoint;
use crate::core::gate::{Need, Spec};
use crate::core::life::{self, Relation};
use crate::core::member::{Name, Policy};
use crate::core::quit::Timeouts;
use crate::core::redact;
use crate::core::schedule::Pace;
use crate::core::signal::{self, Mapping};
use crate::core::url::Url;
use crate::probe::http::Ask;
use crate::process::Reach;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// `--after-timeout`, unless it is given; `--timeout` of `join --wait`, too.
const AFTER_TIMEOUT: Duration = Duration::from_secs(60);
/// `--attempt-timeout`: the kubelet's `timeoutSeconds`.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// The kubelet's longest back-off is 5 minutes.
const LINGER: Duration = Duration::from_secs(360);
/// Kubernetes' own default of terminationGracePeriodSeconds.
const GRACE: Duration = Duration::from_secs(30);
const MARGIN: Duration = Duration::from_secs(5);

/// A life, as it was meant.
pub struct Life {
    /// `--name`: `None` without membership.
    pub(crate) name: Option<Name>,
    /// Where members meet.
    pub(crate) place: Place,
    /// `--after` and `--needs`: CMD starts when these pass.
    pub after: Vec<Check>,
    /// When, and for how long.
    pub(crate) after_gate: Spec,
    /// What to do when they do not.
    pub(crate) on_timeout: OnTimeout,
    /// `--ready`: `ready` is published when these pass.
    pub ready: Vec<Check>,
    /// When.
    pub(crate) ready_gate: Spec,
    /// What HTTP checks ask.
    pub(crate) ask: Ask,
    /// The other members, in the order in which they were named first; as many as `spec.relations`.
    pub members: Vec<Name>,
    /// What they are to this one, and how long all may take.
    pub spec: life::Spec,
    /// The restart policy that is stated in the record.
    pub(crate) stated: Option<Policy>,
    /// What CMD is sent to stop.
    pub(crate) stop_signal: u8,
    /// What other signals become.
    pub(crate) mappings: Vec<Mapping>,
    /// Who gets them.
    pub(crate) reach: Reach,
    /// Codes of CMD that count as 0.
    pub(crate) ok_exits: Vec<u8>,
    /// `--quit` and `--sidecar`: who is asked to quit when CMD has ended.
    pub quits: Option<Quitting>,
    /// `--listen`: where others may ask CMD to quit.
    pub(crate) listen: Option<SocketAddr>,
    /// `join --wait`: for how long.
    pub(crate) wait: Option<Limit>,
    /// What `PODGATE_DISABLE` takes away, in words.
    pub skipped: Vec<String>,
}

/// Reads a life.
///
/// # Errors
/// A bad value, or values that contradict each other.
pub fn life(typed: &Typed) -> Result<Life, Stop> {
    let is_joined = typed.command == Command::Join;
    let off = disabled()?;
    let place = place(typed)?;
    let name = value(typed, "name", Name::parse)?;
    if is_joined && name.is_none() {
        return Err(Stop::Wrong(
            "join needs a name; say podgate join --name main --restart-policy never".to_owned(),
        ));
    }
    if !is_joined && typed.cmd.is_empty() {
        return Err(Stop::Wrong(
            "run needs a command; say podgate run --name main -- /app --serve".to_owned(),
        ));
    }
    let until = names(typed, "until")?;
    let outlive = names(typed, "outlive")?;
    let needs = names(typed, "needs")?;
    if is_joined && let Some((source, _)) = &outlive {
        let cause = "cannot be kept by join: the signal goes to PID 1, past podgate; say it with run, or hold the container with a \
                     preStop: podgate wait gone:NAME";
        return Err(Stop::Wrong(format!("{source} {cause}")));
    }
    for (source, _) in [&until, &outlive].into_iter().flatten() {
        if name.is_none() {
            return Err(Stop::Wrong(format!(
                "{source} needs a --name of this one, too; say --name proxy"
            )));
        }
    }
    if let Some((own_source, own)) = &name {
        for (source, given) in [&until, &outlive, &needs].into_iter().flatten() {
            if given.contains(own) {
                return Err(bad(
                    source,
                    own.as_str(),
                    &format!("is this member itself ({own_source}); name another one"),
                ));
            }
        }
    }
    let (members, relations) = relations(&until, &outlive, &needs);

    let policy = value(typed, "restart-policy", Policy::parse)?;
    if is_joined
        && policy
            .as_ref()
            .is_none_or(|(_, policy)| *policy == Policy::Auto)
    {
        return Err(Stop::Wrong(
            "join needs --restart-policy never, on-failure or always, the pod's own: it cannot know with which code PID 1 ends".to_owned(),
        ));
    }
    let policy = policy.map_or(Policy::Auto, |(_, policy)| policy);

    let mut after = checks(typed, "after")?;
    let sidecars = checks(typed, "sidecar")?;
    if let (Some(check), Some(given)) = (
        sidecars.iter().find(|check| check.preset.is_none()),
        typed.get("sidecar")?,
    ) {
        let cause = "is no preset; say --sidecar istio, or --after CHECK and --quit TARGET";
        return Err(bad(&given.source, &check.name, cause));
    }
    after.extend(sidecars);
    let quits = quits(typed, policy)?;
    let ready = checks(typed, "ready")?;
    let needed = needs.iter().flat_map(|(_, names)| names);
    after.extend(needed.map(|name| Check::of(Kind::Member(Fact::Ready, name.clone()))));
    let all: Vec<Check> = after.iter().chain(&ready).cloned().collect();
    let request = http(typed, &all)?;
    let urls: Vec<&Url> = all.iter().filter_map(Check::url).collect();
    let ask = Ask {
        request: Arc::new(request),
        trust: Arc::new(trust(typed, &urls, !off.gates)?),
    };

    let attempt_timeout = value(typed, "attempt-timeout", duration::positive)?
        .map_or(ATTEMPT_TIMEOUT, |(_, timeout)| timeout);
    let interval = value(typed, "interval", duration::positive)?;
    let spec = |checks: &[Check], timeout: Option<Duration>| Spec {
        floors: checks.iter().map(|check| check.kind.floor()).collect(),
        need: Need::All,
        pace: interval
            .as_ref()
            .map_or(Pace::Proportional, |(_, it)| Pace::Every(*it)),
        success_threshold: 1,
        failure_threshold: None,
        initial_delay: Duration::ZERO,
        attempt_timeout,
        timeout,
    };
    let after_timeout = value(typed, "after-timeout", duration::limit)?
        .map_or(Limit::After(AFTER_TIMEOUT), |(_, timeout)| timeout);
    let on_timeout = match value(typed, "on-timeout", super::on_timeout)? {
        Some((_, on_timeout)) => on_timeout,
        None => OnTimeout::Fail,
    };

    let grace = value(typed, "grace", duration::positive)?;
    let margin = value(typed, "stop-margin", duration::delay)?;
    let (grace, margin) = if is_joined {
        // It cannot hold a stop back, so nothing is to be kept of the grace.
        (grace.map_or(GRACE, |(_, grace)| grace), Duration::ZERO)
    } else {
        budget(grace, margin)?
    };
    let absent_timeout = value(typed, "absent-timeout", duration::limit)?;
    if let (Some((source @ Source::Flag(_), _)), None) = (&absent_timeout, &until) {
        return Err(Stop::Wrong(format!(
            "{source} is about the members of --until, and there is none; say --until main"
        )));
    }
    let serves = until.is_some() || outlive.is_some() || typed.get("listen")?.is_some();

    let mappings = list(typed, "map-signal", signal::mapping)?;
    let stop_signal = value(typed, "stop-signal", signal::deliverable)?;
    // Who says that TERM means QUIT to CMD means a stop, too.
    let stop_signal = stop_signal.map_or_else(
        || signal::mapped(&mappings, signal::TERM).unwrap_or(signal::TERM),
        |(_, signal)| signal,
    );
    let wait = match (
        switch(typed, "wait")?,
        value(typed, "timeout", duration::limit)?,
    ) {
        (Some(_), timeout) if is_joined => {
            Some(timeout.map_or(Limit::After(AFTER_TIMEOUT), |(_, timeout)| timeout))
        }
        (None, Some((source @ Source::Flag(_), _))) if is_joined => {
            return Err(Stop::Wrong(format!(
                "{source} is about --wait, which is not given; say --wait, too"
            )));
        }
        (Some(_) | None, _) => None,
    };

    let mut life = Life {
        spec: life::Spec {
            relations,
            policy,
            linger: value(typed, "linger", duration::delay)?.map_or(LINGER, |(_, linger)| linger),
            grace,
            margin,
            absent_timeout: absent_timeout.and_then(|(_, timeout)| timeout.duration()),
            has_ready: !ready.is_empty(),
            serves,
            // Where CMD runs all the same, the gate has seen nobody.
            gate_proves_needs: needs.is_some() && on_timeout == OnTimeout::Fail,
            is_joined,
            acted: Vec::new(),
        },
        after_gate: spec(&after, after_timeout.duration()),
        ready_gate: spec(&ready, None),
        name: name.map(|(_, name)| name),
        place,
        after,
        on_timeout,
        ready,
        ask,
        members,
        stated: (policy != Policy::Auto).then_some(policy),
        stop_signal,
        mappings,
        reach: if switch(typed, "signal-group")?.is_some() {
            Reach::Group
        } else {
            Reach::Child
        },
        ok_exits: list(typed, "ok-exit", exit_code)?,
        quits,
        listen: value(typed, "listen", endpoint::address)?.map(|(_, address)| address),
        wait,
        skipped: Vec::new(),
    };
    life.skip(off);
    life.needs_a_volume(typed)?;
    Ok(life)
}

impl Life {
    /// Takes away what `PODGATE_DISABLE` says, and remembers what.
    fn skip(&mut self, off: Disabled) {
        if off.gates && !(self.after.is_empty() && self.ready.is_empty()) {
            let names: Vec<&str> = self
                .after
                .iter()
                .chain(&self.ready)
                .map(|check| check.name.as_str())
                .collect();
            self.skipped.push(format!("not waiting for {names:?}"));
            self.after.clear();
            self.ready.clear();
        }
        if off.members {
            let is_member = |check: &Check| check.kind.member().is_some();
            let asks = self
                .quits
                .as_ref()
                .is_some_and(|quits| !quits.members.is_empty());
            if self.name.is_some()
                || !self.members.is_empty()
                || asks
                || self.after.iter().chain(&self.ready).any(is_member)
            {
                self.skipped
                    .push("taking no part as a member, and looking at none".to_owned());
            }
            self.name = None;
            self.members.clear();
            self.spec.relations.clear();
            self.after.retain(|check| !is_member(check));
            self.ready.retain(|check| !is_member(check));
            self.quits
                .iter_mut()
                .for_each(|quits| quits.members.clear());
        }
        if let Some(quits) = self.quits.take_if(|_| off.quits) {
            self.skipped
                .push(format!("not asking {:?} to quit", quits.names()));
        }
        self.after_gate.floors = self.after.iter().map(|check| check.kind.floor()).collect();
        self.ready_gate.floors = self.ready.iter().map(|check| check.kind.floor()).collect();
        self.spec.has_ready = !self.ready.is_empty();
        self.spec.gate_proves_needs = self.spec.gate_proves_needs && !off.gates && !off.members;
    }

    /// Does it look at members, or is it one?
    pub(crate) fn uses_volume(&self) -> bool {
        let is_member = |check: &Check| check.kind.member().is_some();
        self.name.is_some()
            || !self.members.is_empty()
            || self.after.iter().chain(&self.ready).any(is_member)
            || self
                .quits
                .as_ref()
                .is_some_and(|quits| !quits.members.is_empty())
    }

    /// `--dir none` is for images that have `run --name` baked in: the name goes, and what needs members is an error.
    fn needs_a_volume(&mut self, typed: &Typed) -> Result<(), Stop> {
        if self.place.dir.is_some() {
            return Ok(());
        }
        if typed.command == Command::Join {
            return Err(Stop::Wrong(
                "--dir none: join is about members and needs their volume; say --dir /run/podgate"
                    .to_owned(),
            ));
        }
        self.name = None;
        if self.uses_volume() {
            return Err(Stop::Wrong(
                "--dir none: there are no members, but an option names some; leave it away, or say --dir /run/podgate"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

/// Reads and compares `--grace` and `--stop-margin`.
pub(super) fn budget(
    grace: Option<(Source, Duration)>,
    margin: Option<(Source, Duration)>,
) -> Result<(Duration, Duration), Stop> {
    let given = grace.as_ref().map_or(GRACE, |(_, grace)| *grace);
    match margin {
        Some((source, margin)) if margin >= given => {
            let cause = format!(
                "leaves nothing of --grace {}; say --stop-margin 1s, or raise both",
                duration::show(given)
            );
            Err(bad(&source, &duration::show(margin), &cause))
        }
        Some((_, margin)) => Ok((given, margin)),
        None if MARGIN >= given => {
            let source = grace.map_or(Source::Flag("--grace".to_owned()), |(source, _)| source);
            let cause = format!(
                "is not longer than --stop-margin {}; say --stop-margin 1s, too",
                duration::show(MARGIN)
            );
            Err(bad(&source, &duration::show(given), &cause))
        }
        None => Ok((given, MARGIN)),
    }
}

/// Reads `--quit` and `--sidecar`, which need to know whether an end is one: a proxy that was asked to quit does not come back for the retry.
fn quits(typed: &Typed, policy: Policy) -> Result<Option<Quitting>, Stop> {
    let mut all = Vec::new();
    for option in ["quit", "sidecar"] {
        let Some(given) = typed.get(option)? else {
            continue;
        };
        let source = &given.source;
        match policy {
            Policy::Never | Policy::OnFailure => {}
            Policy::Auto => {
                return Err(Stop::Wrong(format!(
                    "{source} needs the pod's --restart-policy: under never the sidecar is asked to quit after any end, under on-failure \
                     after success only; say --restart-policy never or --restart-policy on-failure"
                )));
            }
            Policy::Always => {
                return Err(Stop::Wrong(format!(
                    "{source} makes no sense with --restart-policy always: the command is started again, and needs its sidecar; leave it away"
                )));
            }
        }
        all.push(given);
    }
    let (mut targets, mut members) = (Vec::new(), Vec::new());
    for given in &all {
        let (more, names) = super::targets(given)?;
        targets.extend(more);
        members.extend(names);
    }
    if let (Some((source, name)), Some(given)) = (value(typed, "name", Name::parse)?, all.first())
        && members.contains(&name)
    {
        let cause = format!("is this member itself ({source}); name another one");
        return Err(bad(&given.source, &format!("member:{name}"), &cause));
    }
    let timeout = value(typed, "quit-timeout", duration::limit)?
        .map_or(Limit::After(QUIT_TIMEOUT), |(_, it)| it);
    let attempt =
        value(typed, "attempt-timeout", duration::positive)?.map_or(ATTEMPT_TIMEOUT, |(_, it)| it);
    let urls: Vec<&Url> = targets
        .iter()
        .filter(|it| it.preset.is_none())
        .map(|it| &it.url)
        .collect();
    let trust = Arc::new(trust(typed, &urls, !disabled()?.quits)?);
    let limits = Timeouts {
        attempt,
        all: timeout.duration(),
        option: "--quit-timeout",
    };
    Ok((!all.is_empty()).then_some(Quitting {
        targets,
        members,
        limits,
        trust,
        is_disabled: false,
        skipped: Vec::new(),
    }))
}

/// Of a call that is wrong elsewhere: who is to be asked to quit after any end, and where members meet.
pub(crate) fn quits_after_usage(typed: &Typed) -> Option<(Quitting, Place)> {
    let (_, policy) = value(typed, "restart-policy", Policy::parse).ok()??;
    let off = disabled().ok()?;
    if policy != Policy::Never || off.quits {
        return None;
    }
    if checks(typed, "sidecar")
        .ok()?
        .iter()
        .any(|check| check.preset.is_none())
    {
        return None;
    }
    let mut quits = quits(typed, policy).ok()??;
    if off.members {
        quits.members.clear();
    }
    Some((quits, place(typed).ok()?))
}

type Named = Option<(Source, Vec<Name>)>;

fn names(typed: &Typed, option: &str) -> Result<Named, Stop> {
    let Some(Given { source, values }) = typed.get(option)? else {
        return Ok(None);
    };
    let one = |text: &String| Name::parse(text).map_err(|cause| bad(&source, text, &cause));
    let names = values.iter().map(one).collect::<Result<_, _>>()?;
    Ok(Some((source, names)))
}

/// Every member that is named, once, and what it is to this one.
fn relations(until: &Named, outlive: &Named, needs: &Named) -> (Vec<Name>, Vec<Relation>) {
    let (mut members, mut relations): (Vec<Name>, Vec<Relation>) = (Vec::new(), Vec::new());
    let until_is = Relation {
        until: true,
        outlives: true,
        needs: false,
    };
    let outlive_is = Relation {
        until: false,
        outlives: true,
        needs: false,
    };
    let need_is = Relation {
        until: false,
        outlives: false,
        needs: true,
    };
    for (named, more) in [(until, until_is), (outlive, outlive_is), (needs, need_is)] {
        for name in named.iter().flat_map(|(_, names)| names) {
            let at = members.iter().position(|it| it == name).unwrap_or_else(|| {
                members.push(name.clone());
                relations.push(Relation::default());
                members.len().saturating_sub(1)
            });
            if let Some(it) = relations.get_mut(at) {
                it.until |= more.until;
                it.outlives |= more.outlives;
                it.needs |= more.needs;
            }
        }
    }
    (members, relations)
}

fn checks(typed: &Typed, option: &str) -> Result<Vec<Check>, Stop> {
    let Some(Given { source, values }) = typed.get(option)? else {
        return Ok(Vec::new());
    };
    let one = |text: &String| {
        check::parse(text).map_err(|cause| bad(&source, &redact::refused(text), &cause))
    };
    values.iter().map(one).collect()
}

fn list<T>(
    typed: &Typed,
    option: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Stop> {
    let Some(Given { source, values }) = typed.get(option)? else {
        return Ok(Vec::new());
    };
    values
        .iter()
        .map(|text| read(text).map_err(|cause| bad(&source, text, &cause)))
        .collect()
}

fn exit_code(text: &str) -> Result<u8, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| "is no exit code from 0 to 255; say 143".to_owned())
}

/// `--name` and `--dir` of a call whose options are wrong: enough to publish that end, too.
pub fn identity(typed: &Typed) -> Option<(Name, Place, Option<Policy>)> {
    let name = Name::parse(&word(typed, "name").ok()??.1).ok()?;
    let policy = word(typed, "restart-policy")
        .ok()
        .flatten()
        .and_then(|(_, text)| Policy::parse(&text).ok());
    let off = disabled().is_ok_and(|off| off.members);
    let place = place(typed)
        .ok()
        .filter(|place| place.dir.is_some() && !off)?;
    Some((name, place, policy.filter(|policy| *policy != Policy::Auto)))
}
