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
        if let Some(own) = &mut self.0
            && let Err(error) = own.publish(stage)
        {
            let (path, errno) = (own.record_path(), Errno::of(&error));
            report.line(&message::life::cannot_publish_stage(&path, errno));
        }
    }

    pub(super) fn publish_end(&mut self, code: u8, report: &mut Report) {
        if let Some(own) = &mut self.0
            && let Err(error) = own.exit(code)
        {
            let (path, errno) = (own.record_path(), Errno::of(&error));
            report.line(&message::life::cannot_publish_end(code, &path, errno));
        }
    }

    /// Stores the failures that this member has acted on, for its next incarnation.
    pub(super) fn remember(&mut self, ids: &[u64], report: &mut Report) {
        if let Some(own) = &mut self.0
            && let Err(error) = own.remember(ids)
        {
            let (path, errno) = (own.memory_path(), Errno::of(&error));
            report.line(&message::life::cannot_remember(&path, errno));
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
