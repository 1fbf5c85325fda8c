//! Reads from a wrong call of `run` what is clear about its end. The end of a member is published
//! even if its call is wrong, because other members would wait for it without end.

use super::dir::MembersDir;
use super::disable::Disabled;
use super::quit::{Life, Quitting, after_end};
use crate::cli::{
    IdentityArgs, Kind, PaceArgs, PolicyArgs, QuitsArgs, TlsArgs, Variables, salvage,
};
use crate::core::member::{Name, Policy};
use std::ffi::OsString;

/// The clear parts of a wrong call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrongRun {
    /// The member that ends, and the directory where that is published.
    pub member: Option<(Name, MembersDir)>,
    /// The restart policy that is published in the record.
    pub stated: Option<Policy>,
    /// The quits after the end. Under `never` they follow every end.
    pub quits: Option<(Quitting, MembersDir)>,
}

/// Reads the clear parts of a wrong call, if it is a call of `run`.
pub fn wrong_run(words: &[OsString], variables: Variables<'_>) -> Option<WrongRun> {
    Kind::of(words).filter(|kind| *kind == Kind::Run)?;
    let off = Disabled::read(variables).ok();
    let identity = salvage::<IdentityArgs>(words, variables);
    let policy = salvage::<PolicyArgs>(words, variables).map(|it| it.restart_policy.value);
    // If `PODGATE_DISABLE` itself is wrong, others may still wait for this member.
    let takes_part = off.is_none_or(|off| !off.members);
    let member = identity.as_ref().filter(|_| takes_part).and_then(|it| {
        let dir = MembersDir::of(&it.dir);
        let name = it.name.as_ref().filter(|_| dir.path.is_some())?;
        Some((name.value.clone(), dir))
    });
    let quits = off.filter(|off| !off.quits && policy == Some(Policy::Never));
    Some(WrongRun {
        member,
        stated: policy.filter(|policy| *policy != Policy::Auto),
        quits: quits.and_then(|off| quits_of(words, identity.as_ref()?, off, variables)),
    })
}

fn quits_of(
    words: &[OsString],
    identity: &IdentityArgs,
    off: Disabled,
    variables: Variables<'_>,
) -> Option<(Quitting, MembersDir)> {
    let args = salvage::<QuitsArgs>(words, variables)?;
    let none = |_: &str| None;
    let pace = salvage::<PaceArgs>(words, variables).or_else(|| salvage(&[], &none))?;
    let tls = salvage::<TlsArgs>(words, variables).or_else(|| salvage(&[], &none))?;
    let life = Life {
        name: identity.name.as_ref(),
        policy: Policy::Never,
        pace: &pace,
        tls: &tls,
        off,
    };
    let mut quits = after_end(&args, &life, variables).ok()??;
    if off.members {
        quits.members.clear();
    }
    Some((quits, MembersDir::of(&identity.dir)))
}
