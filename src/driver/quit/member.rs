//! One member that is asked to quit by a request on the volume. Its lock and its socket show when
//! it is gone.

use crate::core::member::Name;
use crate::core::observation::{Observation, Snapshot, observe};
use crate::core::quit::Timeouts;
use crate::core::volume_error::VolumeError;
use crate::members::{Request, Volume};
use crate::message::Message;
use crate::message::quit::{self, MemberEnd};
use crate::probe::unseen;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub(super) struct Member {
    pub(super) name: Name,
    volume: Rc<Volume>,
    limits: Timeouts,
    start: Instant,
    /// The request, and the id of the incarnation that was asked. It is withdrawn when it is
    /// dropped, which happens when the answer is known.
    request: Option<(u64, Request)>,
    /// `None`: not known yet.
    pub(super) is_gone: Option<bool>,
}

impl Member {
    pub(super) const fn new(
        name: Name,
        volume: Rc<Volume>,
        limits: Timeouts,
        start: Instant,
    ) -> Self {
        Self {
            name,
            volume,
            limits,
            start,
            request: None,
            is_gone: None,
        }
    }

    /// Observes the member, and asks it if it was not asked yet. Returns a message if there is
    /// news.
    pub(super) fn proceed(&mut self) -> Option<Message> {
        if self.is_gone.is_some() {
            return None;
        }
        let waited = self.start.elapsed();
        let found = self.volume.look(&self.name);
        match found.as_ref().map(|found| self.end(found)) {
            Some(Err(error)) => return Some(self.finish(MemberEnd::CannotAsk(&error), waited)),
            Some(Ok(Some(MemberEnd::AlreadyGone(_)))) => {
                let found = found.filter(|it| {
                    let seen = observe(it, self.volume.host());
                    !matches!(seen, Observation::Ended { .. })
                });
                let state = found.map(|it| unseen(&self.volume, &self.name, it.record));
                return Some(self.finish(MemberEnd::AlreadyGone(state.as_ref()), waited));
            }
            Some(Ok(Some(end))) => return Some(self.finish(end, waited)),
            Some(Ok(None)) | None => {}
        }
        if self.limits.all.is_none_or(|all| waited < all) {
            return None;
        }
        let unreadable = found.and_then(|found| found.record).and_then(Result::err);
        let path = self.volume.record_path(&self.name);
        let option = self.limits.option.clone();
        let end = match unreadable {
            Some(why) if self.request.is_none() => MemberEnd::Unreadable(&path, why),
            Some(_) | None => MemberEnd::StillAlive(&option),
        };
        Some(self.finish(end, waited))
    }

    /// Returns how the member ended, if it did. Asks it if it lives and was not asked.
    fn end(&mut self, found: &Snapshot) -> Result<Option<MemberEnd<'static>>, VolumeError> {
        let asked = self.request.as_ref().map(|(id, _)| *id);
        Ok(match (observe(found, self.volume.host()), asked) {
            // It has published its end, but lives as long as it has a sign of life.
            (Observation::Ended { .. }, _) if self.volume.is_alive(found) => None,
            (Observation::Absent | Observation::Ended { .. } | Observation::Unreadable, None) => {
                Some(MemberEnd::AlreadyGone(None))
            }
            (
                Observation::Absent | Observation::Ended { .. } | Observation::Unreadable,
                Some(_),
            ) => Some(MemberEnd::Gone),
            (Observation::Alive { id: Some(id), .. }, Some(before)) if id != before => {
                Some(MemberEnd::StartedAgain)
            }
            (Observation::Alive { id: Some(id), .. }, None) => {
                self.request = Some((id, self.volume.ask(&self.name, id)?));
                None
            }
            (Observation::Alive { .. }, _) => None,
        })
    }

    fn finish(&mut self, end: MemberEnd<'_>, waited: Duration) -> Message {
        self.is_gone = Some(match end {
            MemberEnd::AlreadyGone(_) | MemberEnd::Gone | MemberEnd::StartedAgain => true,
            MemberEnd::CannotAsk(_) | MemberEnd::StillAlive(_) | MemberEnd::Unreadable(..) => false,
        });
        self.request = None;
        quit::member(&self.name, end, waited)
    }
}
