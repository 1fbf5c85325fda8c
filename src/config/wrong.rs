//! What is clear about the end of a wrong call of `run`. The end of a member is published
//! even if its call is wrong, because other members would wait for it without end.

use super::dir::MembersDir;
use super::disable::Disabled;
use super::quit::{Life, Quitting, after_end};
use crate::cli::{EndArgs, Variables};
use crate::core::member::{Name, Policy};

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

/// Reads the clear parts of a wrong call of `run`.
pub fn wrong_run(args: &EndArgs, variables: Variables<'_>) -> WrongRun {
    let off = Disabled::read(variables).ok();
    let policy = args.policy.as_ref().map(|it| it.restart_policy.value);
    // If `PODGATE_DISABLE` itself is wrong, others may still wait for this member.
    let takes_part = off.is_none_or(|off| !off.members);
    let member = args.identity.as_ref().filter(|_| takes_part);
    let quits = off.filter(|off| !off.quits && policy == Some(Policy::Never));
    WrongRun {
        member: member.and_then(|it| {
            let dir = MembersDir::of(&it.dir);
            let name = it.name.as_ref().filter(|_| dir.path.is_some())?;
            Some((name.value.clone(), dir))
        }),
        stated: policy.filter(|policy| *policy != Policy::Auto),
        quits: quits.and_then(|off| quits_of(args, off, variables)),
    }
}

fn quits_of(
    args: &EndArgs,
    off: Disabled,
    variables: Variables<'_>,
) -> Option<(Quitting, MembersDir)> {
    let identity = args.identity.as_ref()?;
    let life = Life {
        name: identity.name.as_ref(),
        policy: Policy::Never,
        pace: &args.pace,
        tls: &args.tls,
        off,
    };
    let mut quits = after_end(args.quits.as_ref()?, &life, variables).ok()??;
    if off.members {
        quits.members.clear();
    }
    Some((quits, MembersDir::of(&identity.dir)))
}
