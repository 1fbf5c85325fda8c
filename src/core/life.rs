//! One member's life: when CMD is started, held, stopped and killed, and which exit code podgate
//! ends with (P7).
//!
//! The first cause that begins a stop decides the exit code; later causes do not change it. What
//! only the driver knows arrives as events: the gate's answer, CMD's end, observations of other
//! members.
//!
//! States × events (`—`: nothing is done; observations are remembered in every state but Over, and
//! a change of a member is a **Notice**):
//!
//! | state | Opened | NotOpened(c) | Started | NotStarted(c) | Ready | Ended(c) | Stop | Quit | Seen, Tick |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | Gate: CMD not started | a need lost: **Finish**(69), else **Start** → Starting | **Finish**(c) | — | — | — | — | **Finish**(143) | **Finish**(0 or 143) | all done: **Finish** |
//! | Starting | — | — | Publish → Running | **Finish**(c) | — | — | as in Running, once started | as in Running, once started | — |
//! | Running | — | — | — | — | Publish | **Finish** | a member to outlive: → Holding, else **StopCmd** → Stopping | **StopCmd** → Stopping | all done, a need lost, a member never came: **StopCmd** → Stopping |
//! | Holding | — | — | — | — | Publish | **Finish** | **StopCmd** → Stopping | **StopCmd** → Stopping | no member to outlive, or grace − margin is spent: **StopCmd** → Stopping |
//! | Stopping | — | — | — | — | — | **Finish** | **StopCmd** again; the grace period counts from now at the latest | — | grace is spent (Tick): **Kill**, once |
//! | Over | — | — | — | — | — | — | — | — | — |
//!
//! `Opening` is not in the table. It only notes that what was seen before it is older than what the
//! gate proves.
//!
//! The CMD of a joined member (`join`) is PID 1: Start succeeds at once, Kill is not possible, and
//! podgate dies with the container.

use super::completion::{self, Answer, Completion, Watched};
use super::exit::Exit;
use super::heartbeat::Heartbeat;
use super::linger::Linger;
use super::member::{Policy, Stage};
use super::observation::Observation;
use super::time::Time;
use std::hash::Hash;
use std::time::Duration;

/// How another member is related to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Relation {
    /// `--until`: CMD ends when the member is done. Implies `outlives`.
    pub until: bool,
    /// `--outlive`: CMD is not stopped while the member is alive.
    pub outlives: bool,
    /// `--needs`: CMD is stopped when the member ends.
    pub needs: bool,
}

/// The settings of a life.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The members that this one is related to, in the order in which they were named.
    pub relations: Vec<Relation>,
    /// How to read the end of a member that states no restart policy.
    pub policy: Policy,
    /// How long a member that may be started again is waited for under `on-failure`.
    pub linger: Linger,
    /// The pod's `terminationGracePeriodSeconds`.
    pub grace: Duration,
    /// The part of `grace` that is kept for CMD's own stop. Shorter than `grace`.
    pub margin: Duration,
    /// How long after CMD's start a member of `--until` may take to come.
    pub absent_timeout: Option<Duration>,
    /// Whether there are `--ready` checks.
    pub has_ready: bool,
    /// Whether CMD is a server that others end, so that a quit is a success (`--until`, `--outlive`
    /// or `--listen`).
    pub serves: bool,
    /// Whether the gate opens only after every need was ready.
    pub gate_proves_needs: bool,
    /// Whether this is `join`, whose CMD is PID 1.
    pub is_joined: bool,
    /// The failures that an earlier incarnation has acted on.
    pub acted: Vec<u64>,
}

/// One observation of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The member's index in [`Spec::relations`].
    pub member: usize,
    pub observation: Observation,
}

/// How long a member of `--until` that has ended is still waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// It may be started again within this time.
    Return(Duration),
    /// Until its next start: an earlier incarnation of this member has ended for that failure.
    NextStart,
    /// Without end: it is always started again.
    Always,
}

/// An input of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// Time passed: [`Life::deadline`] is reached, or nothing in particular.
    Tick,
    /// The `--after` gate is about to open. Send what is seen from now on, then [`Event::Opened`].
    Opening,
    /// The `--after` gate opened, or there is none.
    Opened,
    /// CMD is not to be started; the exit code.
    NotOpened(u8),
    /// CMD was started.
    Started,
    /// CMD could not be started; the exit code.
    NotStarted(u8),
    /// The `--ready` gate opened.
    Ready,
    /// CMD ended by itself or by a signal; its exit code, 128+n for signal n.
    Ended(u8),
    /// SIGTERM or the stop signal arrived. The observations were made after it, so they show which
    /// members are alive now: a member that ended at the same time is not outlived any more, and
    /// its end is not the cause.
    Stop(Vec<Seen>),
    /// A member or a request to the quit endpoint asked CMD to end.
    Quit,
    /// Observations, in the order in which they were made. Each is acted on in turn.
    Seen(Vec<Seen>),
}

/// An output of the machine, to be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Start CMD, and answer with [`Event::Started`] or [`Event::NotStarted`].
    Start,
    /// Publish how far CMD is.
    Publish(Stage),
    /// Record on the volume that these failures are acted on. If that fails, go on.
    Remember(Vec<u64>),
    /// Send CMD its stop signal.
    StopCmd,
    Kill,
    /// Report this.
    Notice(Notice),
    /// Publish this exit code and end with it. Nothing comes after it.
    Finish(u8),
}

/// What is reported.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Notice {
    /// A member has changed. The observation is what is known now, with what was known
    /// before taken into account ([`Watched::see`]).
    Member {
        /// Its index in [`Spec::relations`].
        member: usize,
        observation: Observation,
    },
    /// A stop begins, for this cause.
    Stopping(Cause),
    /// The stop is held back until every member that is to be outlived has ended.
    Holding,
    /// The hold ends because of a second stop signal or a quit.
    Hurried,
    /// The hold ends because the grace period does, and a member that is to be outlived is
    /// still alive.
    OutOfGrace,
    /// CMD did not end within the grace period after its stop signal.
    IgnoredStopSignal,
    /// Members of `--until` have not come yet.
    Absent,
}

/// Why a life ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Cause {
    /// CMD ended by itself.
    CmdEnded,
    /// All members of `--until` are done.
    Done(Completion),
    /// A member or a request to the quit endpoint asked CMD to end.
    Quit,
    /// SIGTERM or the stop signal.
    Signal {
        /// Whether CMD was ready by then. True if there are no `--ready` checks.
        was_ready: bool,
    },
    /// The need with this index ended.
    NeedLost(usize),
    /// The member of `--until` with this index never came.
    NeverCame(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The gate is closed, and CMD is not started.
    Gate,
    /// CMD is being started.
    Starting,
    Running,
    /// CMD runs, and its stop is held back until this time at the latest.
    Holding {
        until: Time,
    },
    /// CMD was sent its stop signal.
    Stopping {
        /// When CMD is killed. `None`: it was killed.
        kill: Option<Time>,
    },
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Life {
    spec: Spec,
    members: Vec<Watched>,
    state: State,
    cause: Option<Cause>,
    is_ready: bool,
    /// When CMD was started.
    started: Option<Time>,
    /// When the first stop signal arrived.
    signalled: Option<Time>,
    /// For each need, the incarnation that was seen alive.
    needed: Vec<Option<u64>>,
    /// For each member, whether it was seen since the gate opened. What was seen before is older
    /// than what the gate proves.
    is_news: Vec<bool>,
    heartbeat: Heartbeat,
    /// When the latest event happened.
    now: Time,
}

impl Life {
    /// A life that begins now, with CMD not started.
    pub fn new(spec: Spec, now: Time) -> Self {
        let count = spec.relations.len();
        Self {
            members: vec![Watched::absent(); count],
            needed: vec![None; count],
            is_news: vec![false; count],
            spec,
            state: State::Gate,
            cause: None,
            is_ready: false,
            started: None,
            signalled: None,
            heartbeat: Heartbeat::new(now),
            now,
        }
    }

    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    pub const fn state(&self) -> State {
        self.state
    }

    /// What is known of each member, in the order of [`Spec::relations`].
    pub fn members(&self) -> &[Watched] {
        &self.members
    }

    /// The members of `--until` that have never been seen.
    pub fn absent(&self) -> impl Iterator<Item = usize> {
        self.members_where(|relation, member| relation.until && !member.has_come())
    }

    /// How long this member is still waited for, if it is one of `--until` and has ended.
    pub fn awaited(&self, member: usize) -> Option<Awaited> {
        let (relation, watched) = self
            .spec
            .relations
            .get(member)
            .zip(self.members.get(member))?;
        let has_ended = matches!(watched.observation(), Observation::Ended { .. });
        let is_open = matches!(self.state, State::Gate | State::Running);
        if !(relation.until && has_ended && is_open) {
            return None;
        }
        let answer = |at| watched.answer(at, &self.reader());
        let end = match answer(self.now) {
            Answer::NotDone(None) => return Some(Awaited::Always),
            Answer::NotDone(Some(end)) => end,
            Answer::Succeeded | Answer::Unknown | Answer::Failed(_) => self.now,
        };
        match answer(end) {
            Answer::Failed(failure) if failure.was_acted_on(&self.spec.acted) => {
                Some(Awaited::NextStart)
            }
            Answer::NotDone(_) | Answer::Succeeded | Answer::Unknown | Answer::Failed(_) => {
                Some(Awaited::Return(end.since(self.now))).filter(|_| end > self.now)
            }
        }
    }

    /// The members that keep a stop back.
    pub fn to_outlive(&self) -> impl Iterator<Item = usize> {
        self.members_where(|relation, member| {
            (relation.until || relation.outlives) && member.observation().is_alive()
        })
    }

    fn members_where(&self, test: fn(&Relation, &Watched) -> bool) -> impl Iterator<Item = usize> {
        let each = self.spec.relations.iter().zip(&self.members).enumerate();
        each.filter(move |(_, (relation, member))| test(relation, member))
            .map(|(index, _)| index)
    }

    /// Whether CMD has been ready.
    pub const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether it ends because of a stop signal.
    pub const fn is_stopped(&self) -> bool {
        matches!(self.cause, Some(Cause::Signal { .. }))
    }

    /// Why the life ends, once that is decided.
    pub const fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// The state that events change and decisions depend on, to compare lives of the same settings.
    /// It lacks what only decides when something is reported or looked at again.
    pub fn changing(&self) -> impl Hash + Eq {
        (
            self.state,
            &self.members,
            &self.cause,
            &self.needed,
            &self.is_news,
            self.is_ready,
            (self.started, self.signalled),
        )
    }

    /// When [`Event::Tick`] is due next, if ever. The time of the latest event counts as now.
    pub fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Over | State::Starting => None,
            State::Stopping { kill } => kill,
            State::Holding { until } => Some(until),
            State::Gate | State::Running => {
                let linger = self.answers(self.now).filter_map(|answer| match answer {
                    Answer::NotDone(at) => at,
                    Answer::Succeeded | Answer::Unknown | Answer::Failed(_) => None,
                });
                let is_absent = self.state == State::Running && self.absent().next().is_some();
                let beat = is_absent.then_some(self.heartbeat.next());
                let absent = self.absent_end().filter(|_| is_absent);
                linger.chain(beat).chain(absent).min()
            }
        }
    }

    /// Takes an event, and returns what is to be done, in this order.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.now = now;
        match &event {
            Event::Seen(seen) => {
                for one in seen {
                    self.see(now, *one, &mut actions);
                    self.act(now, &event, &mut actions);
                }
            }
            Event::Stop(seen) => {
                for one in seen {
                    self.see(now, *one, &mut actions);
                }
                self.act(now, &event, &mut actions);
            }
            Event::Opening => self.is_news.fill(false),
            Event::Tick
            | Event::Opened
            | Event::NotOpened(_)
            | Event::Started
            | Event::NotStarted(_)
            | Event::Ready
            | Event::Ended(_)
            | Event::Quit => self.act(now, &event, &mut actions),
        }
        actions
    }

    /// Remembers an observation, and reports it if it is new.
    fn see(&mut self, now: Time, seen: Seen, actions: &mut Vec<Action>) {
        let Seen {
            member,
            observation,
        } = seen;
        if self.state == State::Over {
            return;
        }
        if let (Some(watched), Some(is_news)) =
            (self.members.get_mut(member), self.is_news.get_mut(member))
        {
            let before = watched.observation();
            watched.see(now, observation);
            *is_news = true;
            let observation = watched.observation();
            if observation != before {
                actions.push(Action::Notice(Notice::Member {
                    member,
                    observation,
                }));
            }
        }
    }

    fn act(&mut self, now: Time, event: &Event, actions: &mut Vec<Action>) {
        match self.state {
            State::Gate => self.at_the_gate(now, event, actions),
            State::Starting => self.starting(now, event, actions),
            State::Running => self.running(now, event, actions),
            State::Holding { until } => self.holding(now, event, until, actions),
            State::Stopping { kill } => self.stopping(now, event, kill, actions),
            State::Over => {}
        }
    }

    fn at_the_gate(&mut self, now: Time, event: &Event, actions: &mut Vec<Action>) {
        match event {
            Event::Opened => match self.lost_need() {
                // The need was ready, and ended before the other checks of the gate passed.
                Some(need) => {
                    self.begin(Cause::NeedLost(need), actions);
                    self.finish(Exit::NeedLost.code(), actions);
                }
                None => {
                    self.state = State::Starting;
                    actions.push(Action::Start);
                }
            },
            Event::NotOpened(code) => self.finish(*code, actions),
            Event::Stop(_) => {
                self.cause = Some(Cause::Signal { was_ready: false });
                self.finish(Exit::Terminated.code(), actions);
            }
            Event::Quit => {
                self.begin(Cause::Quit, actions);
                let exit = if self.spec.serves {
                    Exit::Passed
                } else {
                    Exit::Terminated
                };
                self.finish(exit.code(), actions);
            }
            // PID 1 of a joined container started long ago. It is stopped once the gate has opened.
            Event::Seen(_) | Event::Tick if self.spec.is_joined => {}
            Event::Seen(_) | Event::Tick => {
                if let Some(completion) = self.completion(now) {
                    let code = completion.code();
                    self.done(completion, actions);
                    self.finish(code, actions);
                }
            }
            Event::Opening
            | Event::Started
            | Event::NotStarted(_)
            | Event::Ready
            | Event::Ended(_) => {}
        }
    }

    fn starting(&mut self, now: Time, event: &Event, actions: &mut Vec<Action>) {
        match event {
            Event::Started => {
                self.started = Some(now);
                self.heartbeat = Heartbeat::new(now);
                self.state = State::Running;
                self.is_ready = !self.spec.has_ready;
                actions.push(Action::Publish(if self.is_ready {
                    Stage::Ready
                } else {
                    Stage::Running
                }));
                match self.cause {
                    // The signal arrived while CMD was being started. CMD can be stopped now.
                    Some(Cause::Signal { .. }) => self.hold(now, actions),
                    Some(_) => self.stop(now, actions),
                    None => self.look(now, actions),
                }
            }
            Event::NotStarted(code) => self.finish(*code, actions),
            Event::Stop(_) => self.signal(now),
            Event::Quit => self.begin(Cause::Quit, actions),
            Event::Tick
            | Event::Opening
            | Event::Opened
            | Event::NotOpened(_)
            | Event::Ready
            | Event::Ended(_)
            | Event::Seen(_) => {}
        }
    }

    fn running(&mut self, now: Time, event: &Event, actions: &mut Vec<Action>) {
        match event {
            Event::Ready => self.ready(actions),
            Event::Ended(code) => self.ended(*code, actions),
            Event::Stop(_) => {
                self.signal(now);
                self.hold(now, actions);
            }
            Event::Quit => {
                self.begin(Cause::Quit, actions);
                self.stop(now, actions);
            }
            Event::Tick | Event::Seen(_) => self.look(now, actions),
            Event::Opening
            | Event::Opened
            | Event::NotOpened(_)
            | Event::Started
            | Event::NotStarted(_) => {}
        }
    }

    fn holding(&mut self, now: Time, event: &Event, until: Time, actions: &mut Vec<Action>) {
        match event {
            Event::Ready => self.ready(actions),
            Event::Ended(code) => self.ended(*code, actions),
            Event::Stop(_) | Event::Quit => {
                actions.push(Action::Notice(Notice::Hurried));
                self.stop(now, actions);
            }
            Event::Tick | Event::Seen(_) => {
                let is_alone = self.to_outlive().next().is_none();
                if !is_alone && until <= now {
                    actions.push(Action::Notice(Notice::OutOfGrace));
                }
                if is_alone || until <= now {
                    self.stop(now, actions);
                }
            }
            Event::Opening
            | Event::Opened
            | Event::NotOpened(_)
            | Event::Started
            | Event::NotStarted(_) => {}
        }
    }

    fn stopping(
        &mut self,
        now: Time,
        event: &Event,
        kill: Option<Time>,
        actions: &mut Vec<Action>,
    ) {
        match event {
            Event::Ended(code) => self.ended(*code, actions),
            Event::Stop(_) => {
                let at = now.plus(self.spec.grace);
                self.state = State::Stopping {
                    kill: kill.map(|kill| kill.min(at)),
                };
                actions.push(Action::StopCmd);
            }
            Event::Tick if kill.is_some_and(|kill| kill <= now) => {
                self.state = State::Stopping { kill: None };
                actions.push(Action::Notice(Notice::IgnoredStopSignal));
                if !self.spec.is_joined {
                    actions.push(Action::Kill);
                }
            }
            Event::Tick
            | Event::Opening
            | Event::Opened
            | Event::NotOpened(_)
            | Event::Started
            | Event::NotStarted(_)
            | Event::Ready
            | Event::Quit
            | Event::Seen(_) => {}
        }
    }

    fn ready(&mut self, actions: &mut Vec<Action>) {
        if !self.is_ready {
            self.is_ready = true;
            actions.push(Action::Publish(Stage::Ready));
        }
    }

    /// Stops CMD if what is known of the members, or the time, is a cause to stop it.
    fn look(&mut self, now: Time, actions: &mut Vec<Action>) {
        if let Some(need) = self.lost_need() {
            self.begin(Cause::NeedLost(need), actions);
            self.stop(now, actions);
        } else if let Some(completion) = self.completion(now) {
            self.done(completion, actions);
            self.stop(now, actions);
        } else if let Some(member) = self
            .absent_end()
            .filter(|end| *end <= now)
            .and_then(|_| self.absent().next())
        {
            self.begin(Cause::NeverCame(member), actions);
            self.stop(now, actions);
        } else if self.absent().next().is_some() && self.heartbeat.beat(now) {
            actions.push(Action::Notice(Notice::Absent));
        }
    }

    /// The first need that was lost: it has ended, or another incarnation of it is alive. In that
    /// case it restarted between two observations.
    fn lost_need(&mut self) -> Option<usize> {
        let proves = self.spec.gate_proves_needs;
        let watched = self.members.iter().zip(&self.is_news).zip(&mut self.needed);
        let each = self.spec.relations.iter().zip(watched).enumerate();
        for (index, (_, ((member, is_news), needed))) in
            each.filter(|(_, (relation, _))| relation.needs)
        {
            match (member.observation(), *needed) {
                (Observation::Alive { id: None, .. }, _) => {}
                (Observation::Alive { id: Some(id), .. }, None) => *needed = Some(id),
                (Observation::Alive { id: Some(id), .. }, Some(before)) if id == before => {}
                (Observation::Alive { .. }, Some(_)) => return Some(index),
                (
                    Observation::Absent | Observation::Ended { .. } | Observation::Unreadable,
                    before,
                ) if (proves && *is_news) || before.is_some() => {
                    return Some(index);
                }
                (Observation::Absent | Observation::Ended { .. } | Observation::Unreadable, _) => {}
            }
        }
        None
    }

    fn answers(&self, now: Time) -> impl Iterator<Item = Answer> {
        let until = self
            .spec
            .relations
            .iter()
            .zip(&self.members)
            .filter(|(relation, _)| relation.until);
        let reader = self.reader();
        until.map(move |(_, member)| member.answer(now, &reader))
    }

    fn reader(&self) -> completion::Reader<'_> {
        completion::Reader {
            policy: self.spec.policy,
            linger: self.spec.linger,
            acted: &self.spec.acted,
        }
    }

    fn completion(&self, now: Time) -> Option<Completion> {
        completion::completion(self.answers(now), &self.spec.acted)
    }

    fn absent_end(&self) -> Option<Time> {
        self.spec
            .absent_timeout
            .zip(self.started)
            .map(|(timeout, started)| started.plus(timeout))
    }

    fn done(&mut self, completion: Completion, actions: &mut Vec<Action>) {
        let ids = completion.failures.iter().map(|failure| failure.id);
        let ids: Vec<u64> = ids.filter(|id| *id != completion::UNKNOWN_ID).collect();
        if !ids.is_empty() {
            actions.push(Action::Remember(ids));
        }
        self.begin(Cause::Done(completion), actions);
    }

    fn begin(&mut self, cause: Cause, actions: &mut Vec<Action>) {
        if self.cause.is_none() {
            actions.push(Action::Notice(Notice::Stopping(cause.clone())));
            self.cause = Some(cause);
        }
    }

    fn signal(&mut self, now: Time) {
        let was_ready = self.is_ready || !self.spec.has_ready;
        self.cause.get_or_insert(Cause::Signal { was_ready });
        self.signalled.get_or_insert(now);
    }

    /// Holds the stop back while a member that is to be outlived is alive.
    fn hold(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.to_outlive().next().is_none() {
            self.stop(now, actions);
            return;
        }
        let hold = self.spec.grace.saturating_sub(self.spec.margin);
        self.state = State::Holding {
            until: self.signalled.unwrap_or(now).plus(hold),
        };
        actions.push(Action::Notice(Notice::Holding));
    }

    fn stop(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.state = State::Stopping {
            kill: Some(self.signalled.unwrap_or(now).plus(self.spec.grace)),
        };
        actions.push(Action::StopCmd);
    }

    /// CMD has ended: maps the cause to a code (P7.14). `at_the_gate` does so while CMD is not
    /// started.
    fn ended(&mut self, cmd: u8, actions: &mut Vec<Action>) {
        let code = match self.cause.get_or_insert(Cause::CmdEnded) {
            Cause::CmdEnded => cmd,
            Cause::Done(completion) => completion.code(),
            Cause::Quit if self.spec.serves => Exit::Passed.code(),
            Cause::Quit => cmd,
            Cause::Signal { was_ready: false } if cmd == 0 => Exit::Terminated.code(),
            Cause::Signal { .. } => cmd,
            Cause::NeedLost(_) => Exit::NeedLost.code(),
            Cause::NeverCame(_) => Exit::TimedOut.code(),
        };
        self.finish(code, actions);
    }

    fn finish(&mut self, code: u8, actions: &mut Vec<Action>) {
        self.state = State::Over;
        actions.push(Action::Finish(code));
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Cause, Event, Life, Notice, Relation, Seen, Spec};
    use crate::core::linger::Linger;
    use crate::core::member::{Policy, Stage};
    use crate::core::observation::{End, Observation};
    use crate::core::time::Time;
    use proptest::prelude::*;
    use std::time::Duration;

    const UNTIL: Relation = Relation {
        until: true,
        outlives: true,
        needs: false,
    };
    const OUTLIVE: Relation = Relation {
        until: false,
        outlives: true,
        needs: false,
    };
    const NEED: Relation = Relation {
        until: false,
        outlives: false,
        needs: true,
    };

    fn at(secs: u64) -> Time {
        Time::at(Duration::from_secs(secs))
    }

    fn spec(relations: &[Relation]) -> Spec {
        Spec {
            relations: relations.to_vec(),
            policy: Policy::Auto,
            linger: Linger::For(Duration::from_secs(360)),
            grace: Duration::from_secs(30),
            margin: Duration::from_secs(5),
            absent_timeout: None,
            has_ready: false,
            serves: relations.iter().any(|it| it.until || it.outlives),
            gate_proves_needs: true,
            is_joined: false,
            acted: Vec::new(),
        }
    }

    fn seen(observation: Observation) -> Event {
        Event::Seen(vec![Seen {
            member: 0,
            observation,
        }])
    }

    /// The stop signal, without observations.
    fn stop() -> Event {
        Event::Stop(Vec::new())
    }

    fn is_of_member(action: &Action) -> bool {
        matches!(action, Action::Notice(Notice::Member { .. }))
    }

    /// What is done about an event, without the report of the members that it changes.
    fn handle(life: &mut Life, now: Time, event: Event) -> Vec<Action> {
        let mut actions = life.handle(now, event);
        actions.retain(|action| !is_of_member(action));
        actions
    }

    fn alive(id: u64) -> Event {
        seen(Observation::Alive {
            id: Some(id),
            stage: Some(Stage::Ready),
        })
    }

    fn ended(id: u64, end: End) -> Event {
        seen(Observation::Ended {
            id,
            incarnation: Some(1),
            end,
            policy: None,
        })
    }

    /// A life whose CMD runs since second 0.
    fn running(spec: Spec) -> Life {
        let mut life = Life::new(spec, at(0));
        assert_eq!(life.handle(at(0), Event::Opened), [Action::Start]);
        life.handle(at(0), Event::Started);
        life
    }

    /// Sends the events a second apart, and returns the actions without the notices.
    fn play(life: &mut Life, events: &[Event]) -> Vec<Action> {
        let mut done = Vec::new();
        for (second, event) in (1..).zip(events) {
            let actions = life.handle(at(second), event.clone());
            done.extend(
                actions
                    .into_iter()
                    .filter(|action| !matches!(action, Action::Notice(_))),
            );
        }
        done
    }

    #[test]
    fn a_member_that_has_ended_when_the_signal_arrives_is_not_the_cause() {
        let mut life = running(spec(&[UNTIL]));
        life.handle(at(1), alive(1));
        let Event::Seen(seen) = ended(1, End::Code(3)) else {
            unreachable!()
        };
        assert_eq!(
            handle(&mut life, at(2), Event::Stop(seen)),
            [Action::StopCmd]
        );
        assert_eq!(life.handle(at(3), Event::Ended(0)), [Action::Finish(0)]);
    }

    #[test]
    fn a_change_of_a_member_is_reported_once_whichever_event_brings_it() {
        let one = |member, id| Seen {
            member,
            observation: Observation::Alive {
                id: Some(id),
                stage: Some(Stage::Ready),
            },
        };
        let notice = |seen: Seen| {
            Action::Notice(Notice::Member {
                member: seen.member,
                observation: seen.observation,
            })
        };
        let mut life = running(spec(&[OUTLIVE, OUTLIVE]));
        let both = [one(0, 1), one(1, 2)];
        let actions = life.handle(at(1), Event::Seen(both.to_vec()));
        assert_eq!(actions, both.map(notice));
        assert_eq!(life.handle(at(2), Event::Seen(both.to_vec())), []);
        // The lock is still held, and the record is gone: nothing is new.
        let no_record = Observation::Alive {
            id: None,
            stage: None,
        };
        assert_eq!(life.handle(at(3), seen(no_record)), []);
        let again = one(1, 3);
        assert_eq!(
            life.handle(at(4), Event::Stop(vec![one(0, 1), again])),
            [notice(again), Action::Notice(Notice::Holding)]
        );
        let unknown = Seen { member: 2, ..again };
        assert_eq!(life.handle(at(5), Event::Seen(vec![unknown])), []);
    }

    #[test]
    fn observations_are_acted_on_in_their_order() {
        let end = |member, code| Seen {
            member,
            observation: Observation::Ended {
                id: 1,
                incarnation: Some(1),
                end: End::Code(code),
                policy: None,
            },
        };
        for (first, second, code) in [(end(0, 0), end(1, 0), 0), (end(1, 0), end(0, 0), 69)] {
            let mut life = running(spec(&[UNTIL, NEED]));
            let stops = handle(&mut life, at(1), Event::Seen(vec![first, second]));
            assert_eq!(stops.last(), Some(&Action::StopCmd));
            assert_eq!(life.handle(at(2), Event::Ended(0)), [Action::Finish(code)]);
        }
    }

    #[test]
    fn each_cause_gives_its_exit_code() {
        let lost = End::Lost;
        let ready = |mut spec: Spec| {
            spec.has_ready = true;
            spec
        };
        let policy = |mut spec: Spec, policy| {
            spec.policy = policy;
            spec
        };
        for (what, spec, events, code) in [
            ("CMD's own", spec(&[]), vec![Event::Ended(7)], 7),
            (
                "done",
                spec(&[UNTIL]),
                vec![alive(1), ended(1, End::Code(0)), Event::Ended(143)],
                0,
            ),
            (
                "failed, auto",
                spec(&[UNTIL]),
                vec![ended(1, End::Code(3)), Event::Ended(0)],
                3,
            ),
            (
                "lost, auto",
                spec(&[UNTIL]),
                vec![ended(1, lost), Event::Ended(0)],
                137,
            ),
            (
                "failed, never",
                policy(spec(&[UNTIL]), Policy::Never),
                vec![ended(1, lost), Event::Ended(9)],
                0,
            ),
            (
                "quit, serves",
                spec(&[UNTIL]),
                vec![Event::Quit, Event::Ended(143)],
                0,
            ),
            (
                "quit, alone",
                spec(&[]),
                vec![Event::Quit, Event::Ended(143)],
                143,
            ),
            ("SIGTERM", spec(&[]), vec![stop(), Event::Ended(0)], 0),
            (
                "SIGTERM after ready",
                ready(spec(&[])),
                vec![Event::Ready, stop(), Event::Ended(0)],
                0,
            ),
            (
                "SIGTERM before ready",
                ready(spec(&[])),
                vec![stop(), Event::Ended(0)],
                143,
            ),
            (
                "SIGTERM before ready, CMD fails",
                ready(spec(&[])),
                vec![stop(), Event::Ended(5)],
                5,
            ),
            (
                "ready too late",
                ready(spec(&[])),
                vec![stop(), Event::Ready, Event::Ended(0)],
                143,
            ),
            (
                "a need lost",
                spec(&[NEED]),
                vec![alive(1), ended(1, lost), Event::Ended(0)],
                69,
            ),
            (
                "a need restarted",
                spec(&[NEED]),
                vec![alive(1), alive(2), Event::Ended(0)],
                69,
            ),
            (
                "a need lost before it was seen alive",
                spec(&[NEED]),
                vec![ended(1, lost), Event::Ended(0)],
                69,
            ),
        ] {
            let mut life = running(spec);
            let done = play(&mut life, &events);
            assert_eq!(done.last(), Some(&Action::Finish(code)), "{what}: {done:?}");
        }
    }

    #[test]
    fn a_life_that_ends_at_the_gate_never_starts_cmd() {
        for (what, relations, event, code) in [
            ("SIGTERM", &[][..], stop(), 143),
            ("timed out", &[], Event::NotOpened(124), 124),
            ("asked to quit", &[], Event::Quit, 143),
            ("asked to quit, serves", &[UNTIL], Event::Quit, 0),
            ("all done already", &[UNTIL], ended(1, End::Code(0)), 0),
            ("failed already", &[UNTIL], ended(1, End::Code(3)), 3),
            (
                "its need is gone already",
                &[NEED],
                ended(1, End::Code(0)),
                69,
            ),
            (
                "its need was never there",
                &[NEED],
                seen(Observation::Absent),
                69,
            ),
        ] {
            let mut life = Life::new(spec(relations), at(0));
            let done = play(&mut life, &[event, Event::Opened, Event::Started]);
            assert_eq!(done.last(), Some(&Action::Finish(code)), "{what}: {done:?}");
            assert!(!done.contains(&Action::Start), "{what}: {done:?}");
        }
    }

    #[test]
    fn a_need_that_was_not_seen_since_the_gate_opened_is_not_lost() {
        let mut life = Life::new(spec(&[NEED]), at(0));
        life.handle(at(0), seen(Observation::Absent));
        life.handle(at(1), Event::Opening);
        assert_eq!(life.handle(at(1), Event::Opened), [Action::Start]);
        life.handle(at(1), Event::Started);
        assert_eq!(life.handle(at(2), Event::Tick), []);
        assert_eq!(
            play(&mut life, &[alive(1), ended(1, End::Lost)]),
            [Action::StopCmd]
        );
    }

    #[test]
    fn a_failure_is_acted_on_once_and_a_success_again() {
        let mut again = spec(&[UNTIL]);
        again.acted = vec![1];
        let mut life = running(again.clone());
        assert_eq!(
            play(&mut life, &[ended(1, End::Code(3))]),
            [],
            "its restart is waited for"
        );
        let done = play(&mut life, &[alive(2), ended(2, End::Code(3))]);
        assert_eq!(done, [Action::Remember(vec![2]), Action::StopCmd]);
        let mut life = Life::new(again, at(0));
        assert_eq!(
            play(&mut life, &[ended(1, End::Code(0))]),
            [Action::Finish(0)],
            "a success is final"
        );
    }

    #[test]
    fn the_hold_ends_with_the_last_member_the_grace_period_or_a_second_signal() {
        let holding = || {
            let mut life = running(spec(&[OUTLIVE]));
            life.handle(at(1), alive(1));
            assert_eq!(
                life.handle(at(10), stop()),
                [Action::Notice(Notice::Holding)]
            );
            assert_eq!(
                life.deadline(),
                Some(at(35)),
                "grace minus margin after the signal"
            );
            life
        };
        assert_eq!(
            handle(&mut holding(), at(11), ended(1, End::Code(0))),
            [Action::StopCmd]
        );
        let hurried = [Action::Notice(Notice::Hurried), Action::StopCmd];
        assert_eq!(holding().handle(at(11), stop()), hurried);
        assert_eq!(holding().handle(at(11), Event::Quit), hurried);
        let mut life = holding();
        assert_eq!(life.handle(at(34), Event::Tick), []);
        assert_eq!(
            life.handle(at(35), Event::Tick),
            [Action::Notice(Notice::OutOfGrace), Action::StopCmd]
        );
        assert_eq!(
            life.deadline(),
            Some(at(40)),
            "the grace counts from the signal"
        );
        assert_eq!(
            life.handle(at(40), Event::Tick),
            [Action::Notice(Notice::IgnoredStopSignal), Action::Kill]
        );
        assert_eq!(life.deadline(), None);
        assert_eq!(
            life.handle(at(41), Event::Ended(137)),
            [Action::Finish(137)]
        );
    }

    #[test]
    fn a_member_that_never_came_or_has_gone_is_not_outlived() {
        for event in [
            Event::Tick,
            ended(1, End::Lost),
            seen(Observation::Unreadable),
        ] {
            let mut life = running(spec(&[OUTLIVE]));
            life.handle(at(1), event.clone());
            assert_eq!(life.handle(at(2), stop()), [Action::StopCmd], "{event:?}");
        }
    }

    #[test]
    fn a_member_that_never_comes_is_given_up_at_the_time_limit() {
        let mut life = running(Spec {
            absent_timeout: Some(Duration::from_secs(10)),
            ..spec(&[UNTIL, UNTIL])
        });
        life.handle(at(1), alive(1));
        life.handle(at(9), Event::Tick);
        let done = life.handle(at(10), Event::Tick);
        assert_eq!(
            done,
            [
                Action::Notice(super::Notice::Stopping(Cause::NeverCame(1))),
                Action::StopCmd
            ]
        );
        assert_eq!(life.handle(at(11), Event::Ended(0)), [Action::Finish(124)]);
    }

    #[test]
    fn an_absent_member_is_reported_less_and_less_often() {
        let mut life = running(spec(&[UNTIL]));
        let mut beats = Vec::new();
        for second in 0..300 {
            if life
                .handle(at(second), Event::Tick)
                .contains(&Action::Notice(Notice::Absent))
            {
                beats.push(second);
            }
        }
        assert_eq!(beats, [1, 3, 7, 15, 31, 63, 123, 183, 243]);
        life.handle(at(300), alive(1));
        assert_eq!(life.deadline(), None, "no report is due when all have come");
    }

    /// The table of the doc comment, cell by cell: the actions, without the notices.
    #[test]
    fn every_state_handles_every_event() {
        let events = [
            Event::Opened,
            Event::NotOpened(124),
            Event::Started,
            Event::NotStarted(127),
            Event::Ready,
            Event::Ended(7),
            stop(),
            Event::Quit,
            Event::Tick,
            ended(1, End::Code(0)),
        ];
        // A member of --until is alive, CMD is not ready yet, and nothing is due.
        let begin = || {
            let mut life = Life::new(
                Spec {
                    has_ready: true,
                    ..spec(&[UNTIL])
                },
                at(0),
            );
            life.handle(at(0), alive(1));
            life
        };
        let after = |events: &[Event]| {
            let mut life = begin();
            events
                .iter()
                .for_each(|event| drop(life.handle(at(0), event.clone())));
            life
        };
        let (opened, started) = (|| Event::Opened, || Event::Started);
        let table = [
            (
                "Gate",
                after(&[]),
                ["Start", "F124", "", "", "", "", "F143", "F0", "", "F0"],
            ),
            (
                "Starting",
                after(&[opened()]),
                ["", "", "Running", "F127", "", "", "", "", "", ""],
            ),
            (
                "Running",
                after(&[opened(), started()]),
                ["", "", "", "", "Ready", "F7", "", "StopCmd", "", "StopCmd"],
            ),
            (
                "Holding",
                after(&[opened(), started(), stop()]),
                [
                    "", "", "", "", "Ready", "F7", "StopCmd", "StopCmd", "", "StopCmd",
                ],
            ),
            (
                "Stopping",
                after(&[opened(), started(), Event::Quit]),
                ["", "", "", "", "", "F0", "StopCmd", "", "", ""],
            ),
            (
                "Over",
                after(&[opened(), started(), Event::Ended(7)]),
                [""; 10],
            ),
        ];
        for (state, life, answers) in table {
            for (event, expected) in events.iter().zip(answers) {
                let name = |action: &Action| match action {
                    Action::Start => "Start".to_owned(),
                    Action::Publish(stage) => format!("{stage:?}"),
                    Action::Remember(_) => "Remember".to_owned(),
                    Action::StopCmd => "StopCmd".to_owned(),
                    Action::Kill => "Kill".to_owned(),
                    Action::Notice(_) => String::new(),
                    Action::Finish(code) => format!("F{code}"),
                };
                let done: String = life
                    .clone()
                    .handle(at(0), event.clone())
                    .iter()
                    .map(name)
                    .collect();
                assert_eq!(done, expected, "{state} × {event:?}");
            }
        }
    }

    #[test]
    fn a_joined_member_cannot_kill() {
        let joined = || Spec {
            is_joined: true,
            ..spec(&[UNTIL])
        };
        let mut early = Life::new(joined(), at(0));
        assert_eq!(handle(&mut early, at(0), ended(1, End::Code(0))), []);
        early.handle(at(0), Event::Opened);
        assert!(
            early
                .handle(at(0), Event::Started)
                .contains(&Action::StopCmd),
            "PID 1 gets the signal, however early"
        );
        let mut life = running(joined());
        play(&mut life, &[ended(1, End::Code(0))]);
        assert_eq!(
            life.handle(at(31), Event::Tick),
            [Action::Notice(Notice::IgnoredStopSignal)]
        );
        assert_eq!(life.handle(at(99), Event::Tick), []);
    }

    #[test]
    fn signals_between_start_and_started_are_not_lost() {
        for (event, expected) in [(stop(), 143), (Event::Quit, 0)] {
            let mut life = Life::new(spec(&[UNTIL]), at(0));
            life.handle(at(0), Event::Opened);
            life.handle(at(0), event.clone());
            assert!(
                life.handle(at(0), Event::Started)
                    .contains(&Action::StopCmd),
                "{event:?}"
            );
            assert_eq!(
                life.handle(at(1), Event::Ended(143)),
                [Action::Finish(expected)]
            );
        }
    }

    /// A step of the world.
    #[derive(Debug, Clone)]
    enum Step {
        Pass(u64),
        Start(usize),
        End(usize, u8),
        Lose(usize),
        Plant(usize),
        Stop,
        Quit,
        Ready,
        CmdEnds(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (1_u64..12_000).prop_map(Step::Pass),
            1 => (1_u64..500_000).prop_map(Step::Pass),
            6 => (0_usize..3).prop_map(Step::Start),
            4 => (0_usize..3, prop_oneof![Just(0_u8), 1_u8..5])
                .prop_map(|(member, code)| Step::End(member, code)),
            2 => (0_usize..3).prop_map(Step::Lose),
            1 => (0_usize..3).prop_map(Step::Plant),
            1 => Just(Step::Stop),
            1 => Just(Step::Quit),
            1 => Just(Step::Ready),
            1 => prop_oneof![Just(0_u8), Just(143), 1_u8..5].prop_map(Step::CmdEnds),
        ]
    }

    fn any_spec() -> impl Strategy<Value = Spec> {
        let relation = (any::<bool>(), any::<bool>(), proptest::bool::weighted(0.2)).prop_map(
            |(until, outlives, needs)| Relation {
                until,
                outlives: until || outlives,
                needs,
            },
        );
        (
            proptest::collection::vec(relation, 0..4),
            proptest::sample::select(vec![
                Policy::Never,
                Policy::OnFailure,
                Policy::Always,
                Policy::Auto,
            ]),
            (0_u64..20, 1_u64..40, 0_u64..40),
            proptest::option::of(1_u64..60),
            any::<bool>(),
        )
            .prop_map(
                |(relations, policy, (linger, grace, margin), absent, has_ready)| Spec {
                    policy,
                    linger: Linger::For(Duration::from_secs(linger)),
                    grace: Duration::from_secs(grace),
                    margin: Duration::from_secs(margin.min(grace - 1)),
                    absent_timeout: absent.map(Duration::from_secs),
                    has_ready,
                    gate_proves_needs: false,
                    ..spec(&relations)
                },
            )
    }

    /// The state of the world, and what the promises need to know of its past.
    struct Judge {
        members: Vec<Observation>,
        stops: u32,
        first_stop: Option<Time>,
        quit: bool,
        ready: bool,
        cause: Option<Why>,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Why {
        Own,
        Signal { ready: bool },
        Quit,
        Other,
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn the_life_keeps_its_promises(
            spec in any_spec(),
            steps in proptest::collection::vec(step(), 1..80),
        ) {
            let mut life = Life::new(spec.clone(), at(0));
            let mut judge = Judge {
                members: vec![Observation::Absent; spec.relations.len()],
                stops: 0,
                first_stop: None,
                quit: false,
                ready: !spec.has_ready,
                cause: None,
            };
            let (mut now, mut next_id, mut cmd_runs, mut is_over) = (at(0), 100_u64, false, false);
            let mut stopped: Option<Time> = None;
            let mut acted: Vec<u64> = Vec::new();
            let mut queue = vec![Event::Opened];
            let mut steps = steps.into_iter();
            'world: loop {
                for event in std::mem::take(&mut queue) {
                    match &event {
                        Event::Stop(_) => {
                            judge.stops += 1;
                            judge.first_stop.get_or_insert(now);
                            if judge.cause.is_none() {
                                judge.cause = Some(Why::Signal { ready: judge.ready });
                            }
                        }
                        Event::Quit => {
                            judge.quit = true;
                            judge.cause.get_or_insert(Why::Quit);
                        }
                        Event::Ended(_) => {
                            judge.cause.get_or_insert(Why::Own);
                            cmd_runs = false;
                        }
                        Event::Ready => judge.ready = true,
                        Event::Seen(seen) => seen
                            .iter()
                            .for_each(|it| judge.members[it.member] = it.observation),
                        Event::Tick
                        | Event::Opening
                        | Event::Opened
                        | Event::NotOpened(_)
                        | Event::Started
                        | Event::NotStarted(_) => {}
                    }
                    let cmd_code = if let Event::Ended(code) = &event {
                        Some(*code)
                    } else {
                        None
                    };
                    for action in life.handle(now, event) {
                        prop_assert!(!is_over, "nothing comes after Finish");
                        match action {
                            Action::Start => {
                                prop_assert!(
                                    judge.stops == 0 && !judge.quit,
                                    "CMD is not started after a stop or a quit"
                                );
                                cmd_runs = true;
                                for action in life.handle(now, Event::Started) {
                                    if action == Action::StopCmd {
                                        stopped = Some(now);
                                    }
                                }
                            }
                            Action::StopCmd | Action::Kill => {
                                prop_assert!(cmd_runs);
                                let begins = stopped.is_none();
                                stopped.get_or_insert(now);
                                if judge.cause.is_none() {
                                    judge.cause = Some(Why::Other);
                                }
                                let lives =
                                    judge.members.iter().zip(&spec.relations).any(
                                        |(member, relation)| relation.until && member.is_alive(),
                                    );
                                let spent = judge.first_stop.is_some_and(|first| {
                                    now >= first.plus(spec.grace - spec.margin)
                                });
                                let gives_up = matches!(
                                    life.cause(),
                                    Some(Cause::NeedLost(_) | Cause::NeverCame(_))
                                );
                                prop_assert!(
                                    !begins
                                        || !lives
                                        || judge.quit
                                        || judge.stops > 1
                                        || spent
                                        || gives_up,
                                    "CMD is not stopped while a member of --until is alive"
                                );
                            }
                            Action::Remember(ids) => {
                                prop_assert!(
                                    ids.iter().any(|id| !acted.contains(id)),
                                    "a failure is acted on once"
                                );
                                acted.extend(ids);
                            }
                            Action::Publish(_) | Action::Notice(_) => {}
                            Action::Finish(code) => {
                                is_over = true;
                                let expected = match (judge.cause, cmd_code) {
                                    (Some(Why::Own), Some(cmd)) => Some(cmd),
                                    (Some(Why::Quit), Some(cmd)) => {
                                        Some(if spec.serves { 0 } else { cmd })
                                    }
                                    (Some(Why::Signal { ready: false }), Some(0)) => Some(143),
                                    (Some(Why::Signal { .. }), Some(cmd)) => Some(cmd),
                                    (Some(Why::Other), _) => None,
                                    (_, None) | (None, _) => None,
                                };
                                prop_assert!(
                                    expected.is_none_or(|it| it == code),
                                    "the first cause decides the exit code: {:?} {code}",
                                    judge.cause
                                );
                                if judge.cause == Some(Why::Other) {
                                    let fine = match life.cause() {
                                        Some(Cause::NeedLost(_)) => code == 69,
                                        Some(Cause::NeverCame(_)) => code == 124,
                                        Some(Cause::Done(it)) => code == it.code(),
                                        Some(
                                            Cause::CmdEnded | Cause::Quit | Cause::Signal { .. },
                                        )
                                        | None => false,
                                    };
                                    prop_assert!(
                                        fine,
                                        "the cause decides the exit code: {:?} {code}",
                                        life.cause()
                                    );
                                }
                            }
                        }
                    }
                    prop_assert!(is_over || cmd_runs, "the life ends with CMD");
                }
                if is_over {
                    break 'world;
                }
                // No end is missed: as soon as all are done, the stop has begun.
                let all_gone = spec
                    .relations
                    .iter()
                    .zip(&judge.members)
                    .filter(|(it, _)| it.until)
                    .all(|(_, member)| {
                        matches!(
                            member,
                            Observation::Ended {
                                end: End::Code(0),
                                ..
                            }
                        )
                    });
                if all_gone
                    && spec.relations.iter().any(|it| it.until)
                    && spec.policy != Policy::Always
                {
                    prop_assert!(
                        stopped.is_some() || judge.cause.is_some(),
                        "an end was missed"
                    );
                }
                if let Some(stopped) = stopped {
                    prop_assert!(
                        life.deadline()
                            .is_none_or(|at| at <= stopped.plus(spec.grace)),
                        "CMD is killed within the grace period"
                    );
                }
                let Some(step) = steps.next() else {
                    break 'world;
                };
                let count = spec.relations.len();
                let mut see = |member: usize, observation| {
                    if member < count {
                        queue.push(Event::Seen(vec![Seen {
                            member,
                            observation,
                        }]))
                    }
                };
                match step {
                    Step::Pass(millis) => {
                        let then = now.plus(Duration::from_millis(millis));
                        // The driver wakes at every deadline before that.
                        if let Some(deadline) = life.deadline().filter(|deadline| *deadline <= then)
                        {
                            prop_assert!(deadline > now || matches!(life.cause(), None | Some(_)));
                            now = deadline.max(now);
                        } else {
                            now = then;
                        }
                        queue.push(Event::Tick);
                    }
                    Step::Start(member) => {
                        next_id += 1;
                        see(
                            member,
                            Observation::Alive {
                                id: Some(next_id),
                                stage: Some(Stage::Running),
                            },
                        );
                    }
                    Step::End(member, code) => {
                        if let Some(Observation::Alive { id: Some(id), .. }) =
                            judge.members.get(member)
                        {
                            see(
                                member,
                                Observation::Ended {
                                    id: *id,
                                    incarnation: Some(1),
                                    end: End::Code(code),
                                    policy: None,
                                },
                            );
                        }
                    }
                    Step::Lose(member) => {
                        if let Some(Observation::Alive { id: Some(id), .. }) =
                            judge.members.get(member)
                        {
                            see(
                                member,
                                Observation::Ended {
                                    id: *id,
                                    incarnation: Some(1),
                                    end: End::Lost,
                                    policy: None,
                                },
                            );
                        }
                    }
                    Step::Plant(member) => {
                        if judge.members.get(member) == Some(&Observation::Absent) {
                            see(member, Observation::Unreadable);
                        }
                    }
                    Step::Stop => queue.push(stop()),
                    Step::Quit => queue.push(Event::Quit),
                    Step::Ready => queue.push(Event::Ready),
                    Step::CmdEnds(code) => queue.push(Event::Ended(code)),
                }
            }
            // It ends within the grace period after a stop, by itself.
            if !is_over && stopped.is_some() {
                let mut killed = false;
                for _ in 0..3 {
                    now = life.deadline().unwrap_or(now).max(now);
                    killed = killed || life.handle(now, Event::Tick).contains(&Action::Kill);
                }
                let ended = life.handle(now, Event::Ended(137));
                prop_assert!(matches!(ended.as_slice(), [Action::Finish(_)]), "{ended:?}");
            }
        }
    }
}
