//! A wrong call of `run`. Its end is published, and its quits are asked for: other members wait for
//! both.

use super::call::{Call, variable};
use crate::cli::EndArgs;
use crate::config::{self, MembersDir, Quitting, WrongRun};
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::core::member::{Name, Policy};
use crate::driver::membership::open_volume;
use crate::members::{Membership, Refusal, Statement};
use crate::message::Message;
use crate::message::life::{Unpublished, cannot_publish_wrong_call};
use crate::probe::tls::Trust;
use crate::process::{Children, Signals};
use crate::report::Report;
use std::cell::RefCell;
use std::sync::Arc;

/// Reports why the call is wrong. The end of a wrong `run` counts as the end of its member.
/// `end`: the options that its end depends on; `None` for other commands.
pub(super) fn refuse(call: &mut Call<'_>, end: Option<&EndArgs>, message: &Message) -> Exit {
    let WrongRun {
        member,
        stated,
        quits,
    } = end.map_or_else(WrongRun::default, |end| config::wrong_run(end, &variable));
    if let Some((name, dir)) = member {
        publish(name, &dir, stated, call);
    }
    call.report.failure(message);
    if let Some((quits, dir)) = quits
        && let Ok(trust) = call.trust(&quits.trust)
    {
        quit(quits, trust, &dir, &mut call.report, call.signals);
    }
    Exit::Usage
}

/// Publishes the end of the member if the options tell which one it is. Otherwise other members
/// would wait for it without end.
fn publish(name: Name, dir: &MembersDir, policy: Option<Policy>, call: &mut Call<'_>) {
    let Ok(volume) = open_volume(dir.path.as_deref(), dir.plain) else {
        return;
    };
    let statement = Statement {
        name,
        policy,
        is_joined: false,
    };
    let cause = match Membership::take(&volume, statement, &|| call.is_stopped()) {
        Ok(mut own) => match own.exit(Exit::Usage.code()) {
            Ok(()) => return,
            Err(error) => Unpublished::Record {
                path: own.record_path(),
                errno: Errno::of(&error),
            },
        },
        Err(Refusal::Volume(error)) => Unpublished::Volume(error),
        Err(Refusal::Taken { .. }) => Unpublished::NameIsTaken,
    };
    call.report.line(&cannot_publish_wrong_call(&cause));
}

/// Asks sidecars to quit if the options tell which ones. Under `never` quits follow every end, and
/// a wrong call is an end.
fn quit(
    quits: Quitting,
    trust: Arc<Trust>,
    dir: &MembersDir,
    report: &mut Report,
    signals: &Signals,
) {
    let volume = if quits.members.is_empty() {
        None
    } else {
        open_volume(dir.path.as_deref(), dir.plain).ok()
    };
    let children = RefCell::new(Children::new(signals.original()));
    let _ = super::quit::ask(
        quits,
        trust,
        volume.as_ref(),
        report,
        signals,
        &children,
        Some(Exit::Usage),
    );
}
