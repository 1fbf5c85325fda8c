//! The member as which a life publishes itself.

use crate::core::errno::Errno;
use crate::core::member::{Name, Stage};
use crate::members::Membership;
use crate::message;
use crate::report::Report;

/// The member of this process. `None`: the life has no `--name`, and nothing is published.
///
/// If a record cannot be written, the life and its exit code do not change: the lock still shows
/// whether the member lives.
pub(super) struct OwnMember(pub(super) Option<Membership>);

impl OwnMember {
    pub(super) fn name(&self) -> Option<&Name> {
        self.0.as_ref().map(|own| &own.record().name)
    }

    /// Whether another member has asked this one to quit.
    pub(super) fn is_asked_to_quit(&self) -> bool {
        self.0.as_ref().is_some_and(Membership::is_asked_to_quit)
    }

    pub(super) fn publish(&mut self, stage: Stage, report: &mut Report) {
        if let Some(Err(error)) = self.0.as_mut().map(|own| own.publish(stage)) {
            report.line(&message::life::cannot_publish_stage(Errno::of(&error)));
        }
    }

    pub(super) fn publish_end(&mut self, code: u8, report: &mut Report) {
        if let Some(Err(error)) = self.0.as_mut().map(|own| own.exit(code)) {
            report.line(&message::life::cannot_publish_end(code, Errno::of(&error)));
        }
    }

    /// Stores the failures that this member has acted on, for its next incarnation.
    pub(super) fn remember(&mut self, ids: &[u64], report: &mut Report) {
        if let Some(Err(error)) = self.0.as_mut().map(|own| own.remember(ids)) {
            report.line(&message::life::cannot_remember(Errno::of(&error)));
        }
    }

    /// Stores that a stop signal is the cause of the end, for the last record.
    pub(super) fn ends_by_signal(&mut self) {
        if let Some(own) = &mut self.0 {
            own.ends_by_signal();
        }
    }

    /// Stores the time of the stop for the last record.
    pub(super) fn stopping(&mut self) {
        if let Some(own) = &mut self.0 {
            own.stopping();
        }
    }
}
