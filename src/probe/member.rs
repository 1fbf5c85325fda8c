//! `started:`, `ready:`, `gone:`, `succeeded:`: what is true of a member of the pod, seen on the volume. Woken by inotify where that tells.

use super::file::Watcher;
use super::{Leaf, Step};
use crate::core::check::Fact;
use crate::core::member::{Name, Policy, Stage};
use crate::core::observation::{End, Observation, observe};
use crate::core::outcome::{Outcome, Phase, Reason};
use crate::core::record::{Record, Unreadable};
use crate::core::schedule::{NEAR, Wake};
use crate::members::Volume;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

/// How many names are listed.
const NAMED: usize = 8;

/// The check.
pub(super) struct Member {
    fact: Fact,
    name: Name,
    volume: Option<Rc<Volume>>,
    watcher: Option<Rc<RefCell<Watcher>>>,
    again: Option<Instant>,
    said: String,
}

impl Member {
    pub(super) fn new(
        fact: Fact,
        name: &Name,
        volume: Option<Rc<Volume>>,
        watcher: Option<Rc<RefCell<Watcher>>>,
    ) -> Self {
        Self {
            fact,
            name: name.clone(),
            volume,
            watcher,
            again: None,
            said: String::new(),
        }
    }

    fn look(&mut self) -> Outcome {
        let Some(volume) = &self.volume else {
            return Outcome::Never(Reason::Member(
                "cannot be seen: there is no --dir".to_owned(),
            ));
        };
        let not_yet = |what: &str| Outcome::NotYet(Reason::Member(what.to_owned()));
        let Some(found) = volume.look(&self.name) else {
            return not_yet("cannot be looked at just now");
        };
        let observation = observe(&found, volume.host());
        match (self.fact, observation) {
            (Fact::Gone, Observation::Alive { .. }) => not_yet("is alive"),
            (Fact::Gone, Observation::Absent | Observation::Unreadable) => {
                self.said = match &found.record {
                    None => absent(volume, &self.name),
                    Some(record) => of_no_use(volume, &self.name, record),
                };
                Outcome::Pass
            }
            (Fact::Gone, Observation::Ended { .. })
            | (
                Fact::Started,
                Observation::Alive {
                    stage: Some(Stage::Running | Stage::Ready),
                    ..
                },
            )
            | (
                Fact::Ready,
                Observation::Alive {
                    stage: Some(Stage::Ready),
                    ..
                },
            )
            | (
                Fact::Succeeded,
                Observation::Ended {
                    end: End::Code(0), ..
                },
            ) => Outcome::Pass,
            (_, Observation::Absent) => not_yet(&match &found.record {
                Some(record) => of_no_use(volume, &self.name, record),
                None => absent(volume, &self.name),
            }),
            (_, Observation::Unreadable | Observation::Alive { stage: None, .. }) => {
                match &found.record {
                    Some(record @ Err(_)) => not_yet(&of_no_use(volume, &self.name, record)),
                    Some(Ok(_)) | None => not_yet("is starting"),
                }
            }
            (Fact::Succeeded, Observation::Ended { end, policy, .. }) => {
                let reason = Reason::Member(ended(end));
                // Who knows no code will never tell one; who is not restarted will not do better.
                let is_final = policy == Some(Policy::Never) || end == End::Unknown;
                if is_final {
                    Outcome::Never(reason)
                } else {
                    Outcome::NotYet(reason)
                }
            }
            (_, Observation::Ended { end, .. }) => Outcome::NotYet(Reason::Member(ended(end))),
            (
                _,
                Observation::Alive {
                    stage: Some(Stage::Waiting),
                    ..
                },
            ) => not_yet("waits for others itself"),
            (
                _,
                Observation::Alive {
                    stage: Some(Stage::Running),
                    ..
                },
            ) => not_yet("runs, and is not ready"),
            (
                _,
                Observation::Alive {
                    stage: Some(Stage::Ready),
                    ..
                },
            ) => not_yet("still runs"),
        }
    }
}

fn ended(end: End) -> String {
    match end {
        End::Code(code) => format!("ended with exit code {code}"),
        End::Lost => "was lost: it died without a word".to_owned(),
        End::Unknown => "ended, and its exit code is not known (it joined)".to_owned(),
    }
}

/// What to say of a record that does not count.
fn of_no_use(volume: &Volume, name: &Name, record: &Result<Record, Unreadable>) -> String {
    let path = volume.record_path(name);
    match record {
        Ok(record) => format!(
            "is absent: {path:?} is from another host, {:?}",
            record.host
        ),
        Err(error) => format!("cannot be known: {path:?} {error}"),
    }
}

/// What to say of a name that was never seen: it may be a wrong one.
fn absent(volume: &Volume, name: &Name) -> String {
    let mut names = volume.names().unwrap_or_default();
    // A lock that nobody holds, and no record.
    names.retain(|it| it != name);
    let seen: Vec<&str> = names.iter().take(NAMED).map(Name::as_str).collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    match seen.as_slice() {
        [] => "is absent, as is every other member".to_owned(),
        seen => format!("is absent; seen here: {}{more}", seen.join(", ")),
    }
}

impl Leaf for Member {
    fn start(&mut self, _until: Instant) -> Step {
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        self.again = None;
        self.said.clear();
        let outcome = self.look();
        // A lock that was just closed is free in a moment.
        let is_closing = self
            .watcher
            .as_ref()
            .is_some_and(|watcher| watcher.borrow().is_closing());
        if is_closing && outcome != Outcome::Pass {
            self.again = Instant::now().checked_add(NEAR);
            return Step::Wait;
        }
        Step::Done(outcome)
    }

    fn cancel(&mut self) -> Phase {
        self.again = None;
        Phase::Path
    }

    fn said(&self) -> String {
        self.said.clone()
    }

    fn wake_at(&self) -> Option<Instant> {
        self.again
    }

    fn wake(&self) -> Wake {
        let is_watched = self
            .watcher
            .as_ref()
            .is_some_and(|watcher| watcher.borrow().watches_members());
        if is_watched {
            Wake::Watched
        } else {
            Wake::Unwatched
        }
    }
}
