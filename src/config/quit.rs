//! The targets of a quit: of `quit`, and of `run` after the end of CMD.

use super::dir::MembersDir;
use super::disable::Disabled;
use super::http::{have_one_origin, needs_tls, trust, with_one_host};
use crate::cli::{
    Given, PaceArgs, Place, QuitArgs, QuitsArgs, Source, TlsArgs, UsageError, Variables,
};
use crate::core::duration::Limit;
use crate::core::http::{self, Header};
use crate::core::member::{Name, Policy};
use crate::core::preset::{DAPR, Sidecar};
use crate::core::quit::{Asked, Target, Timeouts, member_target};
use crate::core::trust::TrustSpec;
use crate::core::url::{Scheme, Url};
use std::time::Duration;

/// The targets of a quit, and its time limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quitting {
    /// The targets that are asked over HTTP.
    pub targets: Vec<Asked>,
    /// The members that are asked on the volume.
    pub members: Vec<Name>,
    pub limits: Timeouts,
    pub trust: TrustSpec,
    /// `PODGATE_DISABLE` has `quits`, so no target is asked.
    pub is_disabled: bool,
    /// The members that are not asked because `PODGATE_DISABLE` has `members`.
    pub skipped: Vec<Name>,
}

impl Quitting {
    /// The names of all targets, for messages.
    pub fn names(&self) -> Vec<String> {
        let members = self.members.iter().map(member_target);
        let targets = self.targets.iter().map(|target| target.name.clone());
        targets.chain(members).collect()
    }

    /// The URLs that the options about TLS apply to.
    pub(super) fn urls(&self) -> Vec<&Url> {
        urls(&self.targets)
    }
}

fn urls(targets: &[Asked]) -> Vec<&Url> {
    let typed = targets.iter().filter(|target| target.preset.is_none());
    typed.map(|target| &target.url).collect()
}

fn use_tls(targets: &[Asked]) -> bool {
    urls(targets).iter().any(|url| url.scheme == Scheme::Tls)
}

/// Reads the settings of `quit`.
///
/// # Errors
/// No target, or values that contradict each other.
pub fn quit(
    args: &QuitArgs,
    variables: Variables<'_>,
) -> Result<(Quitting, MembersDir), UsageError> {
    let off = Disabled::read(variables)?;
    if args.targets.is_empty() {
        return Err(UsageError::NeedsTarget);
    }
    let dir = MembersDir::of(&args.dir);
    let is_member = |it: &&Given<Target>| matches!(it.value, Target::Member(_));
    if let (
        None,
        Some(Given {
            value: Target::Member(name),
            source,
        }),
    ) = (&dir.path, args.targets.iter().find(is_member))
    {
        return Err(UsageError::NoMembersToQuit {
            source: source.to_string(),
            target: member_target(name),
        });
    }
    let (mut targets, mut members) = split(args.targets.iter().map(|it| &it.value));
    add_headers(&mut targets, &args.header.quit_header, variables)?;
    let skipped = if off.members && !off.quits {
        std::mem::take(&mut members)
    } else {
        Vec::new()
    };
    needs_tls(&args.tls, !urls(&targets).is_empty())?;
    let trust = trust(&args.tls, !off.quits && use_tls(&targets), variables);
    let limits = Timeouts {
        attempt: args.attempt_timeout.value,
        all: time_limit(&args.quit_timeout, &targets),
        option: args.quit_timeout.source.to_string(),
    };
    let quitting = Quitting {
        targets,
        members,
        limits,
        trust,
        is_disabled: off.quits,
        skipped,
    };
    Ok((quitting, dir))
}

fn split<'a>(all: impl Iterator<Item = &'a Target>) -> (Vec<Asked>, Vec<Name>) {
    let (mut targets, mut members) = (Vec::new(), Vec::new());
    for target in all {
        match target {
            Target::Http(asked) => targets.push(asked.clone()),
            Target::Member(name) => members.push(name.clone()),
        }
    }
    (targets, members)
}

/// Gives the targets the headers of their requests. A header may be a secret, so it may go to only
/// one host and port.
fn add_headers(
    targets: &mut [Asked],
    given: &[Given<Header>],
    variables: Variables<'_>,
) -> Result<(), UsageError> {
    if let Some(first) = given.first() {
        let source = first.source.to_string();
        if targets.is_empty() && first.source.is_flag() {
            return Err(UsageError::NoHttpTarget { source });
        }
        if !have_one_origin(targets.iter().map(|target| &target.url)) {
            return Err(UsageError::SeveralTargets { source });
        }
    }
    let headers = with_one_host(given)?;
    for target in targets {
        target.headers.clone_from(&headers);
        let (preset, name) = DAPR;
        let is_given = headers.iter().any(|header| header.is(name));
        if target.preset.map(Sidecar::name) == Some(preset) && !is_given {
            target.headers.extend(dapr_token(name, variables));
        }
    }
    Ok(())
}

/// The header that Dapr's API wants where its pod has a token. The variable is Dapr's own.
fn dapr_token(name: &str, variables: Variables<'_>) -> Option<Header> {
    let token = variables("DAPR_API_TOKEN")?.into_string().ok()?;
    let token = token.trim();
    let header = http::header(&format!("{name}: {token}")).ok();
    header.filter(|_| !token.is_empty())
}

/// The time limit of all quits. The default is longer where a target is known to need longer.
fn time_limit(given: &Given<Limit>, targets: &[Asked]) -> Option<Duration> {
    let limit = given.value.duration()?;
    if given.source.place != Place::Default {
        return Some(limit);
    }
    let times = targets.iter().filter_map(|it| it.preset?.quit_time());
    Some(times.fold(limit, Duration::max))
}

/// The options of a life that its quits depend on.
pub(super) struct Life<'a> {
    pub(super) name: Option<&'a Given<Name>>,
    pub(super) policy: Policy,
    pub(super) pace: &'a PaceArgs,
    pub(super) tls: &'a TlsArgs,
    pub(super) off: Disabled,
}

/// Reads `--quit` and `--sidecar` of `run`. They need a restart policy, which shows whether an end
/// is final: a proxy that was asked to quit does not come back for a retry.
pub(super) fn after_end(
    args: &QuitsArgs,
    life: &Life<'_>,
    variables: Variables<'_>,
) -> Result<Option<Quitting>, UsageError> {
    let of_sidecars = args.sidecar.iter().map(|it| (&it.value.target, &it.source));
    let of_quits = args.quit.iter().map(|it| (&it.value, &it.source));
    let all: Vec<(&Target, &Source)> = of_quits.chain(of_sidecars).collect();
    let headers = &args.header.quit_header;
    let Some((_, source)) = all.first() else {
        add_headers(&mut [], headers, variables)?;
        return Ok(None);
    };
    let source = source.to_string();
    match life.policy {
        Policy::Never | Policy::OnFailure => {}
        Policy::Auto => return Err(UsageError::QuitNeedsPolicy { source }),
        Policy::Always => return Err(UsageError::QuitUnderAlways { source }),
    }
    if let Some(own) = life.name {
        let itself = Target::Member(own.value.clone());
        if let Some((_, source)) = all.iter().find(|(target, _)| **target == itself) {
            return Err(UsageError::NamesItself {
                source: source.to_string(),
                value: member_target(&own.value),
                name: own.source.to_string(),
            });
        }
    }
    let (mut targets, members) = split(all.iter().map(|(target, _)| *target));
    add_headers(&mut targets, headers, variables)?;
    let limit = time_limit(&args.quit_timeout, &targets);
    let trust = trust(life.tls, !life.off.quits && use_tls(&targets), variables);
    Ok(Some(Quitting {
        targets,
        members,
        limits: Timeouts {
            attempt: life.pace.attempt_timeout.value,
            all: limit,
            option: args.quit_timeout.source.to_string(),
        },
        trust,
        is_disabled: false,
        skipped: Vec::new(),
    }))
}
