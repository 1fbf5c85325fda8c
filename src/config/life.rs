//! The settings of `run` and `join`: one life, and its relations to other members.

use super::dir::MembersDir;
use super::disable::Disabled;
use super::gate::Schedule;
use super::http::{needs_tls, request, trust};
use super::quit::{self, Quitting, after_end};
use crate::cli::{
    BudgetArgs, FinishArgs, Given, HttpArgs, JoinArgs, OnTimeout, PaceArgs, Place, RunArgs,
    TlsArgs, UsageError, Variables,
};
use crate::core::check::{Check, Fact, Kind};
use crate::core::duration::Limit;
use crate::core::gate::Spec;
use crate::core::http::Request;
use crate::core::life::{self, Relation};
use crate::core::member::{Name, Policy};
use crate::core::signal::{self, Mapping, Reach, Useless};
use crate::core::trust::TrustSpec;
use std::net::SocketAddr;
use std::time::Duration;

/// The settings of `run` or `join`.
#[derive(Debug, Clone)]
pub struct Life {
    /// `None` if this is not a member.
    pub name: Option<Name>,
    pub dir: MembersDir,
    /// `--after`, `--sidecar` and `--needs`: CMD starts when these pass.
    pub after: Vec<Check>,
    pub after_gate: Spec,
    pub on_timeout: OnTimeout,
    /// `ready` is published when these pass.
    pub ready: Vec<Check>,
    pub ready_gate: Spec,
    pub request: Request,
    pub trust: TrustSpec,
    /// The other members, each once, in the order of their first mention. The same order and number
    /// as in `spec.relations`.
    pub members: Vec<Name>,
    pub spec: life::Spec,
    /// The restart policy that is published in the record.
    pub stated: Option<Policy>,
    /// The signal that stops CMD.
    pub stop_signal: u8,
    /// `--stop-signal`, if it was given.
    pub given_stop: Option<u8>,
    /// The signals that are forwarded as another one, or dropped.
    pub mappings: Vec<Mapping>,
    pub reach: Reach,
    /// The exit codes of CMD that count as 0.
    pub ok_exits: Vec<u8>,
    /// The targets that are asked to quit when CMD has ended.
    pub quits: Option<Quitting>,
    /// The address of the quit endpoint.
    pub listen: Option<SocketAddr>,
    /// The time limit of `join --wait`. `None` without `--wait`.
    pub wait: Option<Given<Limit>>,
    /// It is a member, or it observes members.
    pub uses_volume: bool,
    /// The parts that `PODGATE_DISABLE` takes away.
    pub skipped: Vec<Skipped>,
}

/// A part of a life that `PODGATE_DISABLE` takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skipped {
    /// The wait for these checks.
    Gates(Vec<String>),
    /// Membership, and the observation of members.
    Members,
    /// The quits of these targets.
    Quits(Vec<String>),
}

/// Reads the settings of `run`.
///
/// # Errors
/// Values that contradict each other.
pub fn run(args: &RunArgs, variables: Variables<'_>) -> Result<Life, UsageError> {
    let off = Disabled::read(variables)?;
    if args.cmd.is_empty() {
        return Err(UsageError::NeedsCmd);
    }
    let others = others(args);
    others.not_checked(args.after.iter().chain(&args.ready))?;
    let mut parts = Parts::of(&others, after(args), values(&args.ready))?;
    parts.quits = after_end(&args.quits, &of_quits(args, off), variables)?;
    let asks = Asks {
        http: &args.http,
        tls: &args.tls,
    };
    let asks = asks.read(&parts, off, variables)?;
    let (grace, margin) = budget(&args.budget)?;
    let mappings = mappings(args)?;
    let spec = life::Spec {
        grace,
        margin,
        serves: others.serves() || args.listen.is_some(),
        // If CMD runs although the gate did not open, the gate did not see the needs ready.
        gate_proves_needs: args.on_timeout.value == OnTimeout::Fail,
        ..finish(&args.finish, args.policy.restart_policy.value)?
    };
    let dir = MembersDir::of(&args.identity.dir);
    parts.take_away(off);
    if dir.path.is_none() {
        // An image may have `run --name` in its ENTRYPOINT, and run without members.
        parts.name = None;
        if parts.use_volume() {
            return Err(UsageError::NoMembers);
        }
    }
    Ok(Life {
        on_timeout: args.on_timeout.value,
        stop_signal: stop_signal(&args.stop_signal, &mappings),
        given_stop: given(&args.stop_signal).map(|it| it.value),
        mappings,
        reach: if args.signal_group.value {
            Reach::Group
        } else {
            Reach::Child
        },
        ok_exits: values(&args.ok_exit),
        listen: args.listen.as_ref().map(|it| it.value),
        ..parts.life(
            dir,
            spec,
            &args.pace,
            args.after_timeout.value.duration(),
            asks,
        )
    })
}

/// The members that options of `run` name.
fn others(args: &RunArgs) -> Others<'_> {
    Others {
        name: args.identity.name.as_ref(),
        until: &args.finish.until,
        outlive: &args.outlive,
        needs: &args.needs,
    }
}

/// The options of `run` that its quits depend on.
fn of_quits(args: &RunArgs, off: Disabled) -> quit::Life<'_> {
    quit::Life {
        name: args.identity.name.as_ref(),
        policy: args.policy.restart_policy.value,
        pace: &args.pace,
        tls: &args.tls,
        off,
    }
}

/// Reads the settings of `join`.
///
/// # Errors
/// Values that contradict each other.
pub fn join(args: &JoinArgs, variables: Variables<'_>) -> Result<Life, UsageError> {
    let off = Disabled::read(variables)?;
    let name = args.identity.name.as_ref();
    if name.is_none() {
        return Err(UsageError::NeedsName);
    }
    if let Some(outlive) = args.outlive.first() {
        let source = outlive.source.to_string();
        return Err(UsageError::CannotOutlive { source });
    }
    let others = Others {
        name,
        until: &args.finish.until,
        outlive: &[],
        needs: &[],
    };
    others.not_checked(args.ready.iter())?;
    let mut parts = Parts::of(&others, Vec::new(), values(&args.ready))?;
    let policy = args.restart_policy.as_ref().map(|policy| policy.value);
    let Some(policy) = policy.filter(|policy| *policy != Policy::Auto) else {
        return Err(UsageError::NeedsPolicy);
    };
    let asks = Asks {
        http: &args.http,
        tls: &args.tls,
    };
    let asks = asks.read(&parts, off, variables)?;
    let timeout = &args.timeout;
    if !args.wait.value && timeout.source.is_flag() {
        let source = timeout.source.to_string();
        return Err(UsageError::TimeoutWithoutWait { source });
    }
    let spec = life::Spec {
        grace: args.grace.grace.value,
        // `join` cannot hold a stop back, so no part of the grace period is reserved for CMD.
        margin: Duration::ZERO,
        serves: others.serves(),
        is_joined: true,
        ..finish(&args.finish, policy)?
    };
    let dir = MembersDir::of(&args.identity.dir);
    if dir.path.is_none() {
        return Err(UsageError::NoMembersToJoin);
    }
    parts.take_away(off);
    Ok(Life {
        stop_signal: args.stop_signal.value,
        wait: args.wait.value.then(|| timeout.clone()),
        ..parts.life(dir, spec, &args.pace, None, asks)
    })
}

/// Reads `--grace` and `--stop-margin`.
///
/// # Errors
/// `--stop-margin` is not shorter than `--grace`.
pub fn budget(args: &BudgetArgs) -> Result<(Duration, Duration), UsageError> {
    let (grace, margin) = (&args.grace.grace, &args.stop_margin);
    if margin.value >= grace.value {
        return Err(UsageError::GraceTooShort {
            source: grace.source.to_string(),
            grace: grace.value,
            margin_source: margin.source.to_string(),
            margin: margin.value,
        });
    }
    Ok((grace.value, margin.value))
}

fn values<T: Clone>(given: &[Given<T>]) -> Vec<T> {
    given.iter().map(|it| it.value.clone()).collect()
}

/// The checks before CMD's start: `--after`, `--sidecar` and `--needs`.
fn after(args: &RunArgs) -> Vec<Check> {
    let sidecars = args.quits.sidecar.iter().map(|it| it.value.check.clone());
    let ready = |name: &Given<Name>| Check::of(Kind::Member(Fact::Ready, name.value.clone()));
    let needs = args.needs.iter().map(ready);
    let mut after = values(&args.after);
    after.extend(sidecars.chain(needs));
    after
}

/// Reads `--map-signal`.
///
/// # Errors
/// A mapping has no effect.
fn mappings(args: &RunArgs) -> Result<Vec<Mapping>, UsageError> {
    let mappings = values(&args.map_signal);
    let stop = given(&args.stop_signal);
    let Some((index, why)) = signal::useless(&mappings, stop.map(|it| it.value)) else {
        return Ok(mappings);
    };
    let source = args.map_signal.get(index);
    let mapping = mappings.get(index);
    let source = source.map_or_else(String::new, |it| it.source.to_string());
    let (mapping, from) = mapping.map_or_else(Default::default, |it| (it.text(), it.from));
    Err(match (why, stop) {
        (Useless::Stops, Some(stop)) => UsageError::MapsStop {
            source,
            mapping,
            from,
            stop_source: stop.source.to_string(),
            stop: stop.value,
        },
        (Useless::Repeated | Useless::Stops, _) => UsageError::MappedTwice {
            source,
            mapping,
            from,
        },
    })
}

/// A value that is not the default.
const fn given<T>(it: &Given<T>) -> Option<&Given<T>> {
    match it.source.place {
        Place::Default => None,
        Place::Flag | Place::Variable => Some(it),
    }
}

/// The signal that stops CMD. A mapping of the default signal sets it, too.
fn stop_signal(it: &Given<u8>, mappings: &[Mapping]) -> u8 {
    match given(it) {
        None => signal::mapped(mappings, it.value).unwrap_or(it.value),
        Some(given) => given.value,
    }
}

/// The parts of the specification that are about the end, which `run` and `join` share.
fn finish(args: &FinishArgs, policy: Policy) -> Result<life::Spec, UsageError> {
    let absent = &args.absent_timeout;
    if args.until.is_empty() && absent.source.is_flag() {
        let source = absent.source.to_string();
        return Err(UsageError::AbsentTimeoutWithoutUntil { source });
    }
    Ok(life::Spec {
        relations: Vec::new(),
        policy,
        linger: args.linger.value,
        grace: Duration::ZERO,
        margin: Duration::ZERO,
        absent_timeout: absent.value.duration(),
        has_ready: false,
        serves: false,
        gate_proves_needs: false,
        is_joined: false,
        acted: Vec::new(),
    })
}

/// The other members that options name.
struct Others<'a> {
    name: Option<&'a Given<Name>>,
    until: &'a [Given<Name>],
    outlive: &'a [Given<Name>],
    needs: &'a [Given<Name>],
}

impl Others<'_> {
    /// Whether CMD is a server that others end.
    fn serves(&self) -> bool {
        !self.until.is_empty() || !self.outlive.is_empty()
    }

    /// Every member that is named, once, with its relations to this member.
    fn relations(&self) -> Result<(Vec<Name>, Vec<Relation>), UsageError> {
        self.allowed()?;
        let until = Relation {
            until: true,
            outlives: true,
            needs: false,
        };
        let outlive = Relation {
            until: false,
            ..until
        };
        let needs = Relation {
            until: false,
            outlives: false,
            needs: true,
        };
        let (mut members, mut relations): (Vec<Name>, Vec<Relation>) = (Vec::new(), Vec::new());
        for (names, more) in [
            (self.until, until),
            (self.outlive, outlive),
            (self.needs, needs),
        ] {
            for name in names.iter().map(|name| &name.value) {
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
        Ok((members, relations))
    }

    fn allowed(&self) -> Result<(), UsageError> {
        let Some(own) = self.name else {
            return match self.until.first().or(self.outlive.first()) {
                Some(first) => Err(UsageError::RelationNeedsName {
                    source: first.source.to_string(),
                }),
                None => Ok(()),
            };
        };
        let mut all = self.until.iter().chain(self.outlive).chain(self.needs);
        match all.find(|name| name.value == own.value) {
            Some(itself) => Err(names_itself(itself, &own.value, own)),
            None => Ok(()),
        }
    }

    /// A check of this member itself would wait for what comes after it.
    fn not_checked<'b>(
        &self,
        mut checks: impl Iterator<Item = &'b Given<Check>>,
    ) -> Result<(), UsageError> {
        let Some(own) = self.name else {
            return Ok(());
        };
        let member = |it: &Check| {
            it.kind
                .positive()
                .member()
                .map(|(_, name)| name == &own.value)
        };
        match checks.find(|it| member(&it.value) == Some(true)) {
            Some(itself) => Err(names_itself(itself, &itself.value.name, own)),
            None => Ok(()),
        }
    }
}

fn names_itself<T>(it: &Given<T>, value: &impl ToString, own: &Given<Name>) -> UsageError {
    UsageError::NamesItself {
        source: it.source.to_string(),
        value: value.to_string(),
        name: own.source.to_string(),
    }
}

/// The options about HTTP and TLS.
struct Asks<'a> {
    http: &'a HttpArgs,
    tls: &'a TlsArgs,
}

impl Asks<'_> {
    fn read(
        &self,
        parts: &Parts,
        off: Disabled,
        variables: Variables<'_>,
    ) -> Result<(Request, TrustSpec), UsageError> {
        let checks: Vec<Check> = parts.after.iter().chain(&parts.ready).cloned().collect();
        let quits = parts.quits.as_ref().is_some_and(|it| !it.urls().is_empty());
        needs_tls(self.tls, quits || checks.iter().any(Check::may_use_tls))?;
        let request = request(self.http, &checks)?;
        let uses_tls = !off.gates && checks.iter().any(Check::uses_tls);
        Ok((request, trust(self.tls, uses_tls, variables)))
    }
}

/// The parts of a life that `PODGATE_DISABLE` may take away.
struct Parts {
    name: Option<Name>,
    after: Vec<Check>,
    ready: Vec<Check>,
    members: Vec<Name>,
    relations: Vec<Relation>,
    quits: Option<Quitting>,
    /// Whether the gate has seen every member of `--needs` ready when it opens.
    proves_needs: bool,
    skipped: Vec<Skipped>,
}

impl Parts {
    fn of(others: &Others<'_>, after: Vec<Check>, ready: Vec<Check>) -> Result<Self, UsageError> {
        let (members, relations) = others.relations()?;
        Ok(Self {
            name: others.name.map(|name| name.value.clone()),
            after,
            ready,
            members,
            relations,
            quits: None,
            proves_needs: !others.needs.is_empty(),
            skipped: Vec::new(),
        })
    }

    fn checks(&self) -> impl Iterator<Item = &Check> {
        self.after.iter().chain(&self.ready)
    }

    /// Whether it is a member, or observes members.
    fn use_volume(&self) -> bool {
        let asks_member = |quits: &Quitting| !quits.members.is_empty();
        self.name.is_some()
            || !self.members.is_empty()
            || self.checks().any(|check| check.kind.member().is_some())
            || self.quits.as_ref().is_some_and(asks_member)
    }

    /// Takes away the disabled parts, and stores which ones.
    fn take_away(&mut self, off: Disabled) {
        if off.gates && self.checks().next().is_some() {
            let names = self.checks().map(|check| check.name.clone()).collect();
            self.skipped.push(Skipped::Gates(names));
            self.after.clear();
            self.ready.clear();
        }
        if off.members {
            self.take_members_away();
        }
        if let Some(quits) = self.quits.take_if(|_| off.quits) {
            self.skipped.push(Skipped::Quits(quits.names()));
        }
        self.proves_needs &= !off.gates && !off.members;
    }

    fn take_members_away(&mut self) {
        if self.use_volume() {
            self.skipped.push(Skipped::Members);
        }
        self.name = None;
        self.members.clear();
        self.relations.clear();
        for checks in [&mut self.after, &mut self.ready] {
            checks.retain(|check| check.kind.member().is_none());
        }
        if let Some(quits) = &mut self.quits {
            quits.members.clear();
        }
    }

    fn life(
        self,
        dir: MembersDir,
        spec: life::Spec,
        pace: &PaceArgs,
        timeout: Option<Duration>,
        (request, trust): (Request, TrustSpec),
    ) -> Life {
        Life {
            uses_volume: self.use_volume(),
            after_gate: Schedule::plain(pace, timeout).of(&self.after),
            ready_gate: Schedule::plain(pace, None).of(&self.ready),
            spec: life::Spec {
                relations: self.relations,
                has_ready: !self.ready.is_empty(),
                gate_proves_needs: spec.gate_proves_needs && self.proves_needs,
                ..spec
            },
            stated: (spec.policy != Policy::Auto).then_some(spec.policy),
            name: self.name,
            dir,
            after: self.after,
            on_timeout: OnTimeout::Fail,
            ready: self.ready,
            request,
            trust,
            members: self.members,
            stop_signal: signal::TERM,
            given_stop: None,
            mappings: Vec::new(),
            reach: Reach::Child,
            ok_exits: Vec::new(),
            quits: self.quits,
            listen: None,
            wait: None,
            skipped: self.skipped,
        }
    }
}
