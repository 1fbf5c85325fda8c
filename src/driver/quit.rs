//! Asks sidecars to quit and sees that they do: several at the same time, each by a machine of `core::quit` and the leaves of `check`.
//!
//! Nothing here blocks. Whoever has a loop waits for [`Quits::interests`] until [`Quits::deadline`], calls [`Quits::proceed`] whenever
//! it wakes up, and drops the whole to end it at once. The clock is read here.

use crate::core::duration::show;
use crate::core::http::{Request, Statuses};
use crate::core::quit::{Action, Asked, Door, Event, Notice, Quit, Subject, Verdict};
use crate::core::time::Time;
use crate::event_loop::Poller;
use crate::message::LogEvent;
use crate::probe::http::Ask;
use crate::probe::tls::Trust;
use crate::probe::{self, Leaf, Step};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// One attempt.
    pub(crate) attempt: Duration,
    /// All of it; no end if `None`.
    pub(crate) all: Option<Duration>,
    /// The option that sets `all`, for messages.
    pub(crate) option: &'static str,
}

/// Those that are asked.
pub(crate) struct Quits {
    targets: Vec<One>,
    limits: Limits,
    start: Instant,
}

struct One {
    target: Asked,
    machine: Quit,
    ask: Box<dyn Leaf>,
    quit_door: Box<dyn Leaf>,
    ready_door: Option<Box<dyn Leaf>>,
    /// What is under way.
    runs: Option<Subject>,
    verdict: Option<Verdict>,
}

/// What people are told.
#[derive(Debug)]
pub(crate) struct News<'a> {
    /// About whom.
    pub(crate) target: &'a str,
    /// What happened, in a word.
    pub(crate) event: LogEvent,
    /// The same for people.
    pub(crate) text: String,
    /// Is it a failure, and the last about this target?
    pub(crate) is_failure: bool,
}

impl Quits {
    /// Begins to ask at the first [`Quits::proceed`].
    pub(crate) fn new(targets: Vec<Asked>, limits: Limits, trust: Arc<Trust>) -> Self {
        let request = Request::plain("POST", Statuses::Ranges(vec![(200, 299)]));
        let ask = Ask {
            request: Arc::new(request),
            trust,
        };
        let one = |target: Asked| {
            let spec = target.spec(limits.attempt, limits.all);
            let door = |door| {
                let (server, port) = target.door(door);
                probe::accepts(&server, port)
            };
            One {
                machine: Quit::new(spec, Time::at(Duration::ZERO)),
                ask: probe::ask(&target.url, ask.clone()),
                quit_door: door(Door::Quit),
                ready_door: spec.has_ready_port.then(|| door(Door::Ready)),
                target,
                runs: None,
                verdict: None,
            }
        };
        Self {
            targets: targets.into_iter().map(one).collect(),
            limits,
            start: Instant::now(),
        }
    }

    /// Does what is due, without waiting. Tells what has happened.
    pub(crate) fn proceed(&mut self) -> Vec<News<'_>> {
        let (start, limits) = (self.start, self.limits);
        self.targets
            .iter_mut()
            .flat_map(|one| one.proceed(start, limits))
            .collect()
    }

    /// Are all gone, or given up?
    pub(crate) fn is_over(&self) -> bool {
        self.targets.iter().all(|one| one.verdict.is_some())
    }

    /// Are all gone?
    pub(crate) fn are_gone(&self) -> bool {
        self.targets
            .iter()
            .all(|one| matches!(one.verdict, Some(Verdict::Gone | Verdict::Already)))
    }

    /// Registers the descriptors that the attempts under way wait for, all with one token:
    /// [`Quits::proceed`] continues all of them.
    pub(crate) fn interests<'a, T: Copy>(&'a self, poller: &mut Poller<'a, T>, token: T) {
        let attempts = self.targets.iter().filter_map(One::under_way);
        for interest in attempts.filter_map(Leaf::interest) {
            poller.add(interest, token);
        }
    }

    /// When to call [`Quits::proceed`] at the latest; `None` when it is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let due = self.targets.iter().filter_map(|one| one.machine.deadline());
        let due = due.filter_map(|at| self.start.checked_add(at.since_start()));
        let wakes = self
            .targets
            .iter()
            .filter_map(One::under_way)
            .filter_map(Leaf::wake_at);
        due.chain(wakes).min()
    }

    /// Who is still there, and why: for the line about a signal that ends it.
    pub(crate) fn summary(&self) -> String {
        let mut text = format!("after {}", show(self.start.elapsed()));
        for one in self.targets.iter().filter(|one| one.verdict.is_none()) {
            text.push_str(": ");
            text.push_str(&one.told());
        }
        text
    }
}

impl One {
    fn leaf(&mut self, subject: Subject) -> &mut dyn Leaf {
        match (subject, &mut self.ready_door) {
            (Subject::Ask, _) => &mut *self.ask,
            (Subject::Look(Door::Ready), Some(door)) => &mut **door,
            (Subject::Look(Door::Quit | Door::Ready), _) => &mut *self.quit_door,
        }
    }

    fn under_way(&self) -> Option<&dyn Leaf> {
        match (self.runs?, &self.ready_door) {
            (Subject::Ask, _) => Some(&*self.ask),
            (Subject::Look(Door::Ready), Some(door)) => Some(&**door),
            (Subject::Look(Door::Quit | Door::Ready), _) => Some(&*self.quit_door),
        }
    }

    fn proceed(&mut self, start: Instant, limits: Limits) -> Vec<News<'_>> {
        let mut told: Vec<(LogEvent, String)> = Vec::new();
        let mut events = VecDeque::new();
        if let Some(subject) = self.runs {
            let step = self.leaf(subject).proceed();
            self.stepped(step, &mut events);
        }
        events.push_back(Event::Tick);
        while let Some(event) = events.pop_front() {
            let now = Time::at(start.elapsed());
            for action in self.machine.handle(now, event) {
                match action {
                    Action::Attempt { subject, until } => {
                        let until = start.checked_add(until.since_start()).unwrap_or(start);
                        self.runs = Some(subject);
                        let step = self.leaf(subject).start(until);
                        self.stepped(step, &mut events);
                    }
                    Action::Cancel => {
                        if let Some(subject) = self.runs.take() {
                            events.push_back(Event::Cancelled(self.leaf(subject).cancel()));
                        }
                    }
                    Action::Notice(notice) => told.push(match notice {
                        Notice::Acknowledged => (
                            LogEvent::Acknowledged,
                            format!("{}, waiting for its end", self.told()),
                        ),
                        Notice::Waiting => (LogEvent::Waiting, format!("waiting: {}", self.told())),
                        Notice::Heartbeat => {
                            let waited = show(self.machine.waited(now));
                            (
                                LogEvent::Heartbeat,
                                format!("still waiting after {waited}: {}", self.told()),
                            )
                        }
                    }),
                    Action::Finish(verdict) => {
                        self.verdict = Some(verdict);
                        self.ask.rest();
                        self.quit_door.rest();
                        told.push(self.end(verdict, self.machine.waited(now), limits));
                    }
                }
            }
        }
        let is_failure = self.verdict == Some(Verdict::Failed);
        let news = |(event, text)| News {
            target: &self.target.name,
            event,
            text,
            is_failure: is_failure && event == LogEvent::Failed,
        };
        told.into_iter().map(news).collect()
    }

    /// An attempt is under way, or has ended; then what follows may be due at once.
    fn stepped(&mut self, step: Step, events: &mut VecDeque<Event>) {
        if let Step::Done(outcome) = step {
            self.runs = None;
            events.extend([Event::Ended(outcome), Event::Tick]);
        }
    }

    /// What is known of it, with how often it was asked.
    fn told(&self) -> String {
        let asked = self.machine.asked;
        let many = if asked == 1 { "" } else { "s" };
        let url = if self.target.preset.is_some() {
            format!(": POST {}", self.target.url)
        } else {
            String::new()
        };
        format!(
            "{:?} {} (asked {asked} time{many}{url})",
            self.target.name,
            self.machine.why(&self.target)
        )
    }

    fn end(&self, verdict: Verdict, waited: Duration, limits: Limits) -> (LogEvent, String) {
        let name = &self.target.name;
        match verdict {
            Verdict::Already => (
                LogEvent::Gone,
                format!("{name:?} is gone already: it refuses connections"),
            ),
            Verdict::Gone => (
                LogEvent::Gone,
                format!("{name:?} has quit after {}", show(waited)),
            ),
            Verdict::Failed => {
                // What is told of a time limit is the limit, not how soon the machine came to it.
                let waited = show(limits.all.unwrap_or(waited));
                let remedy = self.machine.remedy(&self.target, limits.option);
                (
                    LogEvent::Failed,
                    format!("gave up after {waited}: {}; {remedy}", self.told()),
                )
            }
        }
    }
}
