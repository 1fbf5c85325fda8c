//! What a call of `run` with wrong options still owes the other members: its end, and its quits.

use crate::cli::Typed;
use crate::config::life::{identity, quits_after_usage};
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::driver::membership::open_volume;
use crate::members::{Membership, Refusal, Statement};
use crate::message;
use crate::process::{Children, Signals};
use crate::report::Report;
use std::cell::RefCell;

/// Publishes the end of the call if the options tell which member it is, so that no other member
/// waits for it for ever.
pub(super) fn publish(typed: &Typed, report: &mut Report) {
    let Some((name, place, policy)) = identity(typed) else {
        return;
    };
    let Ok(volume) = open_volume(place.dir.as_deref(), place.plain) else {
        return;
    };
    let statement = Statement {
        name,
        policy,
        is_joined: false,
    };
    let cause = match Membership::take(&volume, statement) {
        Ok(mut own) => match own.exit(Exit::Usage.code()) {
            Ok(()) => return,
            Err(error) => Errno::of(&error).to_string(),
        },
        Err(Refusal::Volume(error)) => message::volume::volume_error(&error),
        Err(Refusal::Taken(_)) => message::life::NAME_IS_TAKEN.to_owned(),
    };
    report.line(&message::life::cannot_publish_wrong_call(&cause));
}

/// Asks sidecars to quit if the options tell which ones: under `never` quits follow any end, and a
/// wrong call is one.
pub(super) fn quit(typed: &Typed, report: &mut Report, signals: &Signals) {
    let Some((quits, place)) = quits_after_usage(typed) else {
        return;
    };
    let volume = if quits.members.is_empty() {
        None
    } else {
        open_volume(place.dir.as_deref(), place.plain).ok()
    };
    let children = RefCell::new(Children::new(signals.original()));
    let _ = super::quit::ask(
        quits,
        volume.as_ref(),
        report,
        signals,
        &children,
        Some(Exit::Usage),
    );
}
