//! Drives a machine of `core::quit`: one target that is asked over HTTP.

use crate::core::quit::{Action, Asked, Event, Notice, Port, Quit, Subject, Timeouts, Verdict};
use crate::core::time::Time;
use crate::message::Message;
use crate::message::quit::{self, View};
use crate::probe::http::Ask;
use crate::probe::{self, Probe, Step};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(super) struct Target {
    target: Asked,
    machine: Quit,
    limits: Timeouts,
    start: Instant,
    ask: Box<dyn Probe>,
    quit_look: Box<dyn Probe>,
    ready_look: Option<Box<dyn Probe>>,
    /// The subject of the attempt under way.
    running: Option<Subject>,
    verdict: Option<Verdict>,
}

impl Target {
    pub(super) fn new(target: Asked, ask: Ask, limits: Timeouts, start: Instant) -> Self {
        let spec = target.spec(limits.attempt, limits.all);
        let look = |port| {
            let (server, port) = target.address(port);
            probe::accepts(&server, port)
        };
        Self {
            machine: Quit::new(spec, Time::at(Duration::ZERO)),
            limits,
            start,
            ask: probe::request(&target.url, ask),
            quit_look: look(Port::Quit),
            ready_look: spec.has_ready_port.then(|| look(Port::Ready)),
            target,
            running: None,
            verdict: None,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.verdict.is_some()
    }

    /// `None`: not known yet.
    pub(super) fn is_gone(&self) -> Option<bool> {
        self.verdict.map(|verdict| match verdict {
            Verdict::Already | Verdict::Gone => true,
            Verdict::Failed => false,
        })
    }

    pub(super) fn view(&self) -> View<'_> {
        View {
            target: &self.target,
            why: self.machine.why(),
            is_acknowledged: self.machine.is_acknowledged(),
            asked: self.machine.asked,
        }
    }

    /// When to call [`Target::proceed`] at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let machine = self
            .machine
            .deadline()
            .and_then(|at| self.start.checked_add(at.since_start()));
        let attempt = self.under_way().and_then(Probe::wake_at);
        machine.into_iter().chain(attempt).min()
    }

    fn probe(&mut self, subject: Subject) -> &mut dyn Probe {
        match (subject, &mut self.ready_look) {
            (Subject::Ask, _) => &mut *self.ask,
            (Subject::Look(Port::Ready), Some(look)) => &mut **look,
            (Subject::Look(Port::Quit | Port::Ready), _) => &mut *self.quit_look,
        }
    }

    pub(super) fn under_way(&self) -> Option<&dyn Probe> {
        match (self.running?, &self.ready_look) {
            (Subject::Ask, _) => Some(&*self.ask),
            (Subject::Look(Port::Ready), Some(look)) => Some(&**look),
            (Subject::Look(Port::Quit | Port::Ready), _) => Some(&*self.quit_look),
        }
    }

    /// Does what is due, without waiting. Returns the messages about it.
    pub(super) fn proceed(&mut self) -> Vec<Message> {
        let mut news = Vec::new();
        let mut events = VecDeque::new();
        if let Some(subject) = self.running {
            let step = self.probe(subject).proceed();
            self.stepped(step, &mut events);
        }
        events.push_back(Event::Tick);
        while let Some(event) = events.pop_front() {
            let now = Time::at(self.start.elapsed());
            for action in self.machine.handle(now, event) {
                match action {
                    Action::Attempt { subject, until } => {
                        let until = self.start.checked_add(until.since_start());
                        self.running = Some(subject);
                        let until = until.unwrap_or(self.start);
                        let step = self.probe(subject).start(until);
                        self.stepped(step, &mut events);
                    }
                    Action::Cancel => {
                        if let Some(subject) = self.running.take() {
                            events.push_back(Event::Cancelled(self.probe(subject).cancel()));
                        }
                    }
                    Action::Notice(notice) => news.push(self.notice(notice, now)),
                    Action::Finish(verdict) => news.push(self.finish(verdict, now)),
                }
            }
        }
        news
    }

    /// Handles a step of an attempt. If the attempt has ended, the next one may be due at once.
    fn stepped(&mut self, step: Step, events: &mut VecDeque<Event>) {
        if let Step::Done(outcome) = step {
            self.running = None;
            events.extend([Event::Ended(outcome), Event::Tick]);
        }
    }

    fn notice(&self, notice: Notice, now: Time) -> Message {
        let view = self.view();
        match notice {
            Notice::Acknowledged => quit::acknowledged(&view),
            Notice::Waiting => quit::waiting(&view),
            Notice::Heartbeat => quit::still_waiting(&view, self.machine.waited(now)),
        }
    }

    fn finish(&mut self, verdict: Verdict, now: Time) -> Message {
        self.verdict = Some(verdict);
        self.ask.release();
        self.quit_look.release();
        // After a timeout, messages name the limit and not how soon the machine came to it.
        let limit = self.limits.all.filter(|_| verdict == Verdict::Failed);
        let waited = limit.unwrap_or_else(|| self.machine.waited(now));
        quit::ended(&self.view(), verdict, waited, &self.limits.option)
    }
}
