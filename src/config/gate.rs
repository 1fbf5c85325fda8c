//! The settings of `wait` and `check`, and the schedule of every gate.

use super::dir::MembersDir;
use super::disable::Disabled;
use super::http::{needs_tls, request, trust};
use crate::cli::{
    CheckArgs, DirArgs, Given, HttpArgs, OnTimeout, PaceArgs, Source, TlsArgs, UsageError,
    Variables, WaitArgs,
};
use crate::core::check::Check;
use crate::core::gate::{Need, Spec};
use crate::core::http::Request;
use crate::core::schedule::Pace;
use crate::core::trust::TrustSpec;
use std::time::Duration;

/// Whether podgate waits for the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gates {
    On,
    /// `PODGATE_DISABLE` has `gates`.
    Disabled,
}

/// The settings of `wait` or `check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub checks: Vec<Check>,
    pub gate: Spec,
    pub request: Request,
    pub trust: TrustSpec,
    pub on_timeout: OnTimeout,
    pub gates: Gates,
    pub dir: MembersDir,
    /// The checks of members that `PODGATE_DISABLE` took away.
    pub skipped: Vec<String>,
}

/// When a gate opens and when it gives up, apart from the outcomes of its checks.
pub(super) struct Schedule {
    pub(super) need: Need,
    pub(super) pace: Pace,
    pub(super) success_threshold: u32,
    pub(super) failure_threshold: Option<u32>,
    pub(super) initial_delay: Duration,
    pub(super) attempt_timeout: Duration,
    pub(super) timeout: Option<Duration>,
}

impl Schedule {
    /// All checks must pass once.
    pub(super) fn plain(pace: &PaceArgs, timeout: Option<Duration>) -> Self {
        let interval = pace.interval.as_ref();
        Self {
            need: Need::All,
            pace: interval.map_or(Pace::Proportional, |it| Pace::Every(it.value)),
            success_threshold: 1,
            failure_threshold: None,
            initial_delay: Duration::ZERO,
            attempt_timeout: pace.attempt_timeout.value,
            timeout,
        }
    }

    /// The gate over these checks.
    pub(super) fn of(self, checks: &[Check]) -> Spec {
        Spec {
            floors: checks.iter().map(|check| check.kind.floor()).collect(),
            need: self.need,
            pace: self.pace,
            success_threshold: self.success_threshold,
            failure_threshold: self.failure_threshold,
            initial_delay: self.initial_delay,
            attempt_timeout: self.attempt_timeout,
            timeout: self.timeout,
        }
    }
}

/// Reads the settings of `wait`.
///
/// # Errors
/// Values that contradict each other.
pub fn wait(args: &WaitArgs, variables: Variables<'_>) -> Result<Settings, UsageError> {
    if args.checks.is_empty() && args.cmd.is_empty() {
        return Err(UsageError::NeedsCheck { call: "wait" });
    }
    let off = Disabled::read(variables)?;
    let (gates, is_used) = if off.gates {
        (Gates::Disabled, false)
    } else {
        (Gates::On, true)
    };
    let typed = Typed {
        checks: &args.checks,
        dir: &args.dir,
        http: &args.http,
        tls: &args.tls,
    };
    let mut settings = typed.settings(off, schedule(args)?, is_used, variables)?;
    settings.on_timeout = args.on_timeout.value;
    settings.gates = gates;
    Ok(settings)
}

/// Reads the settings of `check`. A probe is not a gate, so `PODGATE_DISABLE=gates` has no effect.
///
/// # Errors
/// Values that contradict each other.
pub fn check(args: &CheckArgs, variables: Variables<'_>) -> Result<Settings, UsageError> {
    if args.checks.is_empty() {
        return Err(UsageError::NeedsCheck { call: "check" });
    }
    let schedule = Schedule {
        need: need(&args.any),
        pace: Pace::Once,
        success_threshold: 1,
        failure_threshold: None,
        initial_delay: Duration::ZERO,
        attempt_timeout: args.probe_attempt_timeout.value,
        timeout: None,
    };
    let typed = Typed {
        checks: &args.checks,
        dir: &args.dir,
        http: &args.http,
        tls: &args.tls,
    };
    typed.settings(Disabled::read(variables)?, schedule, true, variables)
}

/// The arguments that `wait` and `check` share.
struct Typed<'a> {
    checks: &'a [Given<Check>],
    dir: &'a DirArgs,
    http: &'a HttpArgs,
    tls: &'a TlsArgs,
}

impl Typed<'_> {
    fn settings(
        &self,
        off: Disabled,
        schedule: Schedule,
        is_used: bool,
        variables: Variables<'_>,
    ) -> Result<Settings, UsageError> {
        let mut checks: Vec<Check> = self.checks.iter().map(|it| it.value.clone()).collect();
        let request = request(self.http, &checks)?;
        needs_tls(self.tls, checks.iter().any(Check::may_use_tls))?;
        let uses_tls = is_used && checks.iter().any(Check::uses_tls);
        let trust = trust(self.tls, uses_tls, variables);
        let dir = MembersDir::of(self.dir);
        let members = checks.iter().filter(|check| check.kind.member().is_some());
        let mut skipped: Vec<String> = members.map(|check| check.name.clone()).collect();
        if off.members {
            checks.retain(|check| check.kind.member().is_none());
        } else {
            if let (None, Some(check)) = (&dir.path, skipped.first()) {
                let check = check.clone();
                return Err(UsageError::NoMembersToCheck { check });
            }
            skipped.clear();
        }
        Ok(Settings {
            gate: schedule.of(&checks),
            checks,
            request,
            trust,
            on_timeout: OnTimeout::Fail,
            gates: Gates::On,
            dir,
            skipped,
        })
    }
}

fn need(any: &Given<bool>) -> Need {
    if any.value { Need::Any } else { Need::All }
}

fn schedule(args: &WaitArgs) -> Result<Schedule, UsageError> {
    let (success, failure) = (&args.success_threshold, &args.failure_threshold);
    let counts = [
        (&success.source, Some(success.value)),
        (&failure.source, failure.value),
    ];
    let needs_interval = |(_, count): &(&Source, Option<u32>)| count.is_some_and(|it| it > 1);
    if args.pace.interval.is_none()
        && let Some((source, Some(value))) = counts.into_iter().find(needs_interval)
    {
        let source = source.to_string();
        return Err(UsageError::ThresholdNeedsInterval { source, value });
    }
    let (delay, timeout) = (&args.initial_delay, args.timeout.value.duration());
    if let Some(timeout) = timeout.filter(|timeout| delay.value >= *timeout) {
        return Err(UsageError::DelayTooLong {
            source: delay.source.to_string(),
            delay: delay.value,
            timeout,
        });
    }
    Ok(Schedule {
        need: need(&args.any),
        success_threshold: success.value,
        failure_threshold: failure.value,
        initial_delay: delay.value,
        ..Schedule::plain(&args.pace, timeout)
    })
}
