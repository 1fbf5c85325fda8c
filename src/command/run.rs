//! `podgate run`: the container's entrypoint. Gates CMD's start, publishes its state, and ends it with others.
//!
//! The decisions are `core::life`'s. Here they meet the world: signals and children, the volume, the two gates, the quit endpoint.

use crate::cli::Typed;
use crate::config::life::{Life as Settings, identity, quits_after_usage};
use crate::core::exit::Exit;
use crate::core::member::Policy;
use crate::core::volume_error::MembershipError;
use crate::driver::gate::Around;
use crate::driver::life::live;
use crate::driver::membership;
use crate::members::{Membership, Refusal, Statement, Volume};
use crate::message::{self, LogEvent, Message, Severity};
use crate::process::{Children, Signals};
use crate::report::Report;
use std::cell::RefCell;
use std::ffi::OsString;
use std::rc::Rc;

/// Runs the command.
pub(super) fn run(
    settings: &Settings,
    cmd: &[OsString],
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    for skipped in &settings.skipped {
        report.line(&Message::new(
            Severity::Info,
            LogEvent::Disabled,
            format!("PODGATE_DISABLE is set: {skipped}"),
        ));
    }
    let children = Rc::new(RefCell::new(Children::new(signals.original())));
    children.borrow_mut().become_subreaper();
    // The lock is held to the last.
    let (code, volume, _own) = match take_part(settings, report) {
        Ok((volume, own)) => {
            let around = Around {
                children: Rc::clone(&children),
                volume,
            };
            let driven = super::life::settings(settings);
            let (code, own) = live(&driven, settings.listen, cmd, &around, own, report, signals);
            (code, around.volume, own)
        }
        Err(error) => {
            report.failure(&message::volume::failed(LogEvent::Volume, &error));
            (Exit::Internal.code(), None, None)
        }
    };
    // After any end, or after success only: what failed is started again, and needs them.
    let follows = code == 0 || settings.spec.policy == Policy::Never;
    if let Some(quits) = settings.quits.as_ref().filter(|_| follows) {
        // How that ends changes nothing of how CMD ended.
        let _ = super::quit::ask(
            quits.clone(),
            volume.as_ref(),
            report,
            signals,
            &children,
            Some(Exit::Main(code)),
        );
    }
    Exit::Main(code)
}

/// Opens the volume and takes the name, as the settings say.
fn take_part(
    settings: &Settings,
    report: &mut Report,
) -> Result<(Option<Rc<Volume>>, Option<Membership>), MembershipError> {
    let place = &settings.place;
    let statement = settings.name.as_ref().map(|name| Statement {
        name: name.clone(),
        policy: settings.stated,
        is_joined: settings.spec.is_joined,
    });
    let (uses, dir) = (settings.uses_volume(), place.dir.as_deref());
    membership::take_part(uses, dir, place.plain, statement, report)
}

/// A call whose options are wrong is an end, too, where they tell whose: who waits for this member must not wait for ever.
pub(super) fn publish_usage(typed: &Typed, report: &mut Report) {
    let Some((name, place, policy)) = identity(typed) else {
        return;
    };
    let Ok(volume) = membership::open_volume(place.dir.as_deref(), place.plain) else {
        return;
    };
    let published = Membership::take(
        &volume,
        Statement {
            name,
            policy,
            is_joined: false,
        },
    )
    .map(|mut own| own.exit(Exit::Usage.code()));
    let cause = match published {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(Refusal::Volume(error)) => message::volume::volume_error(&error),
        Err(Refusal::Taken(_)) => "another container with this --name lives".to_owned(),
    };
    let text = format!(
        "cannot publish on the volume that this call was wrong: {cause}; whoever waits for it goes on waiting"
    );
    report.line(&Message::new(Severity::Warning, LogEvent::Volume, text));
}

/// An end follows any other under `never`, and one whose options are wrong is an end: who is to be asked to quit then, where that is clear.
pub(super) fn quit_after_usage(typed: &Typed, report: &mut Report, signals: &Signals) {
    let Some((quits, place)) = quits_after_usage(typed) else {
        return;
    };
    let volume = if quits.members.is_empty() {
        None
    } else {
        membership::open_volume(place.dir.as_deref(), place.plain).ok()
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
