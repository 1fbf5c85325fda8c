//! Many checks, one answer: when each check is tried, when an attempt's time is over, and when the
//! gate opens or is given up.
//!
//! Thresholds count in a row, and a change restarts the count, as in the kubelet's prober. A check
//! that has passed stays passed.
//!
//! One check's states × events (`—`: ignored). The gate finishes (`Finish`) as soon as its answer
//! is known, and ignores every event from then on.
//!
//! | state | Tick | Ended(pass) | Ended(not yet) | Ended(never) | Cancelled | Woken |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | Due(t) | t ≤ now: **Attempt** → Running | — | — | — | — | due now, but not before the floor |
//! | Running | time over: **Cancel** → Cancelling | Passed, or Due below the threshold | Due, or Failed at the threshold | Failed | — | remembered: the next attempt is not left to a report of the kernel |
//! | Cancelling | — | as Running | as Running | Failed | as not yet: timed out | as Running |
//! | Passed, Failed | — | — | — | — | — | — |
//!
//! A signal finishes the gate in every state. So does the end of `--timeout`, once the attempts
//! that it cancels have reported what they were doing. If the process was paused until after that
//! end, each check that has not passed is first tried once more, because the last attempts say
//! nothing about now.

use super::attempt::{Attempt, Limits, Step};
use super::credit::Credit;
use super::heartbeat::Heartbeat;
use super::outcome::{Outcome, Phase, Reason};
use super::schedule::{Pace, Wake, pause};
use super::time::Time;
use std::time::Duration;

/// How many checks must pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    All,
    Any,
}

/// The settings of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// For each check the least pause between two attempts.
    pub floors: Vec<Duration>,
    pub need: Need,
    pub pace: Pace,
    /// How many attempts in a row must pass: at least 1.
    pub success_threshold: u32,
    /// How many attempts in a row may fail before the check is given up. `None`: any number.
    pub failure_threshold: Option<u32>,
    /// How long after the start of the gate the first attempts begin.
    pub initial_delay: Duration,
    /// How long an attempt may take.
    pub attempt_timeout: Duration,
    /// How long the gate may take. `None`: as long as it takes.
    pub timeout: Option<Duration>,
}

/// An input of the machine. Checks are named by their index in [`Spec::floors`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passed: [`Gate::deadline`] is reached, or nothing in particular.
    Tick,
    /// An attempt ended by itself.
    Ended {
        check: usize,
        outcome: Outcome,
        /// Whether a change that may let the check pass is reported by [`Event::Woken`].
        wake: Wake,
    },
    /// An attempt was cancelled, as requested.
    Cancelled {
        check: usize,
        /// What it was doing.
        phase: Phase,
        /// The last line of its output. Empty for a check without output.
        said: String,
    },
    /// The subject of a check has changed: it may pass now.
    Woken { check: usize },
    /// A signal that ends podgate.
    Signal(u8),
}

/// An output of the machine, to be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin an attempt of this check.
    Attempt {
        check: usize,
        /// When its time is over.
        until: Time,
    },
    /// End the attempt of this check, and answer with [`Event::Cancelled`].
    Cancel { check: usize },
    /// Report this.
    Notice(Notice),
    /// The gate has its answer. No event changes it.
    Finish(Verdict),
}

/// What is reported during the wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A check passed for good.
    Passed { check: usize },
    /// A check does not pass, for a different reason than before.
    Waiting { check: usize },
    /// Nothing changed for a while.
    Heartbeat,
}

/// The gate's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The checks that must pass have passed.
    Opened,
    GaveUp(GaveUp),
    /// A signal asked podgate to end.
    Stopped(u8),
}

/// Why the gate does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    /// `--timeout` is over.
    TimedOut,
    /// The gate cannot open any more, because of this check.
    Failed(usize),
}

/// What is known about one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    floor: Duration,
    state: State,
    passes: u32,
    failures: u32,
    /// Whether the subject changed during an attempt. The attempt may have looked before that.
    woken: bool,
    /// The pause before the attempt that is due. Zero if the subject has changed.
    pace: Duration,
    last_attempt: LastAttempt,
    /// Attempts begun.
    pub attempts: u32,
    /// Why the last attempt that failed did not pass, and when that was known.
    pub last: Option<(Reason, Time)>,
    /// When the last attempt ended.
    pub ended: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open(Attempt),
    Passed,
    Failed { never: bool },
}

/// The attempt after the end of `--timeout`, if the process was paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastAttempt {
    /// None, or it has ended.
    No,
    /// It begins when the attempt before it is cancelled.
    Owed,
    UnderWay,
}

impl Progress {
    /// Whether it has passed for good.
    pub fn has_passed(&self) -> bool {
        self.state == State::Passed
    }

    /// How many of the latest attempts in a row have passed.
    pub const fn passes_in_a_row(&self) -> u32 {
        self.passes
    }

    /// Whether it can never pass.
    pub fn can_never_pass(&self) -> bool {
        self.state == State::Failed { never: true }
    }

    fn is_open(&self) -> bool {
        self.attempt().is_some()
    }

    fn is_in_flight(&self) -> bool {
        self.attempt().and_then(Attempt::since).is_some()
    }

    /// Whether it is open, and is to be tried once more after the end of `--timeout`.
    fn is_owed(&self) -> bool {
        self.is_open() && self.last_attempt == LastAttempt::Owed
    }

    const fn attempt(&self) -> Option<Attempt> {
        match self.state {
            State::Open(attempt) => Some(attempt),
            State::Passed | State::Failed { .. } => None,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Gate {
    spec: Spec,
    start: Time,
    checks: Vec<Progress>,
    /// Whether the end of `timeout` was reached.
    closing: bool,
    verdict: Option<Verdict>,
    heartbeat: Heartbeat,
    /// For the reports of changed reasons.
    credit: Credit,
}

impl Gate {
    /// A gate that starts to wait now.
    pub fn new(spec: Spec, now: Time) -> Self {
        let first = now.plus(spec.initial_delay);
        let progress = |floor: &Duration| Progress {
            floor: *floor,
            state: State::Open(Attempt::Due(first)),
            passes: 0,
            failures: 0,
            woken: false,
            pace: *floor,
            last_attempt: LastAttempt::No,
            attempts: 0,
            last: None,
            ended: None,
        };
        let checks = spec.floors.iter().map(progress).collect();
        Self {
            start: now,
            checks,
            closing: false,
            verdict: None,
            heartbeat: Heartbeat::new(first),
            credit: Credit::new(now),
            spec,
        }
    }

    /// What is known of each check, in the order of [`Spec::floors`].
    pub fn progress(&self) -> &[Progress] {
        &self.checks
    }

    /// Whether the end of `timeout` was reached, so that an attempt is a last one.
    pub const fn is_closing(&self) -> bool {
        self.closing
    }

    /// How long the gate has waited.
    pub fn waited(&self, now: Time) -> Duration {
        now.since(self.start)
    }

    /// When [`Event::Tick`] is due next; `None` when the gate has finished.
    pub fn deadline(&self) -> Option<Time> {
        if self.verdict.is_some() {
            return None;
        }
        let of_check = |check: &Progress| match check.attempt()? {
            Attempt::Due(_) if self.closing && !check.is_owed() => None,
            attempt @ (Attempt::Due(_) | Attempt::Running { .. } | Attempt::Cancelling { .. }) => {
                attempt.deadline()
            }
        };
        let end = self.end().filter(|_| !self.closing);
        self.checks
            .iter()
            .filter_map(of_check)
            .chain(end)
            .chain([self.heartbeat.next()])
            .min()
    }

    /// Takes an event, and returns what is to be done, in this order.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.verdict.is_some() {
            return actions;
        }
        // A change that was reported counts before that.
        if !matches!(event, Event::Woken { .. }) && self.end().is_some_and(|end| end <= now) {
            self.close(now);
        }
        match event {
            Event::Tick => self.tick(now, &mut actions),
            Event::Ended {
                check,
                outcome,
                wake,
            } => self.ended(now, check, outcome, wake, &mut actions),
            Event::Cancelled { check, phase, said } => {
                let attempt = self.checks.get(check).and_then(Progress::attempt);
                if let Some(reason) = attempt.and_then(|it| it.timed_out(phase, said)) {
                    let outcome = Outcome::NotYet(reason);
                    self.ended(now, check, outcome, Wake::Asked, &mut actions);
                }
            }
            Event::Woken { check } => self.woken(now, check),
            Event::Signal(number) => self.verdict = Some(Verdict::Stopped(number)),
        }
        let goes_on = |check: &Progress| check.is_in_flight() || check.is_owed();
        if self.closing && self.verdict.is_none() && !self.checks.iter().any(goes_on) {
            self.verdict = Some(Verdict::GaveUp(GaveUp::TimedOut));
        }
        actions.extend(self.verdict.map(Action::Finish));
        actions
    }

    fn end(&self) -> Option<Time> {
        self.spec.timeout.map(|timeout| self.start.plus(timeout))
    }

    fn tick(&mut self, now: Time, actions: &mut Vec<Action>) {
        let limits = Limits {
            attempt: self.spec.attempt_timeout,
            end: self.end(),
        };
        // A last attempt takes no longer than the whole wait might.
        let last = Limits {
            attempt: limits
                .attempt
                .min(self.spec.timeout.unwrap_or(limits.attempt)),
            end: None,
        };
        for (index, check) in self.checks.iter_mut().enumerate() {
            let State::Open(attempt) = &mut check.state else {
                continue;
            };
            let limits = match (check.last_attempt, &attempt) {
                (LastAttempt::No, _) => limits,
                (LastAttempt::Owed, Attempt::Due(_)) => {
                    *attempt = Attempt::Due(now);
                    check.last_attempt = LastAttempt::UnderWay;
                    last
                }
                (LastAttempt::Owed, Attempt::Running { .. } | Attempt::Cancelling { .. }) => limits,
                (LastAttempt::UnderWay, _) => last,
            };
            match attempt.tick(now, limits) {
                Some(Step::Begin { until }) => {
                    check.attempts = check.attempts.saturating_add(1);
                    actions.push(Action::Attempt {
                        check: index,
                        until,
                    });
                }
                Some(Step::Cancel) => actions.push(Action::Cancel { check: index }),
                None => {}
            }
        }
        if self.heartbeat.beat(now) && !self.closing {
            actions.push(Action::Notice(Notice::Heartbeat));
        }
    }

    /// The end of `--timeout` is reached. If the process was paused, every check that has not
    /// passed is tried once more.
    fn close(&mut self, now: Time) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        let is_overdue = |check: &Progress| {
            let attempt = check.attempt();
            attempt.is_some_and(|attempt| attempt.is_overdue(now, check.pace))
        };
        if self.checks.iter().any(is_overdue) {
            for check in self.checks.iter_mut().filter(|check| check.is_open()) {
                check.last_attempt = LastAttempt::Owed;
            }
        }
    }

    fn ended(
        &mut self,
        now: Time,
        index: usize,
        outcome: Outcome,
        wake: Wake,
        actions: &mut Vec<Action>,
    ) {
        let waited = self.waited(now);
        let closing = self.closing;
        let Some(check) = self.checks.get_mut(index) else {
            return;
        };
        let Some(since) = check.attempt().and_then(Attempt::since) else {
            return;
        };
        check.ended = Some(now);
        let wake = if std::mem::take(&mut check.woken) {
            Wake::Asked
        } else {
            wake
        };
        let pause = pause(self.spec.pace, wake, check.floor, waited, now.since(since));
        check.pace = pause.unwrap_or(check.floor);
        let next = pause.map(|pause| match check.last_attempt {
            LastAttempt::Owed => now,
            LastAttempt::No | LastAttempt::UnderWay => now.plus(pause),
        });
        if check.last_attempt == LastAttempt::UnderWay {
            check.last_attempt = LastAttempt::No;
        }
        let changed = match outcome {
            Outcome::Pass => {
                check.failures = 0;
                check.passes = check.passes.saturating_add(1);
                let passed = check.passes >= self.spec.success_threshold;
                check.state = match next {
                    Some(at) if !passed => State::Open(Attempt::Due(at)),
                    Some(_) | None => State::Passed,
                };
                if passed {
                    actions.push(Action::Notice(Notice::Passed { check: index }));
                }
                false
            }
            Outcome::NotYet(reason) => {
                check.passes = 0;
                check.failures = check.failures.saturating_add(1);
                let spent = self
                    .spec
                    .failure_threshold
                    .is_some_and(|most| check.failures >= most);
                check.state = match next {
                    Some(at) if !spent => State::Open(Attempt::Due(at)),
                    Some(_) | None => State::Failed { never: false },
                };
                // The end of the gate cancelled the attempt. The reason before it is more useful.
                let counts =
                    !(closing && check.last.is_some() && matches!(reason, Reason::TimedOut { .. }));
                let changed = counts && check.last.as_ref().is_none_or(|(last, _)| *last != reason);
                if counts {
                    check.last = Some((reason, now));
                }
                changed
            }
            Outcome::Never(reason) => {
                check.state = State::Failed { never: true };
                check.last = Some((reason, now));
                false
            }
        };
        self.verdict = self.answer(index);
        if changed && self.verdict.is_none() && !closing && self.credit.spend(now) {
            actions.push(Action::Notice(Notice::Waiting { check: index }));
        }
    }

    fn woken(&mut self, now: Time, index: usize) {
        let Some(check) = self.checks.get_mut(index) else {
            return;
        };
        // With another pace, changes matter only to a check that is not tried otherwise.
        let is_tried = check.state != State::Open(Attempt::Due(Time::NEVER));
        if self.spec.pace != Pace::Proportional && is_tried {
            return;
        }
        match &mut check.state {
            State::Open(Attempt::Due(at)) => {
                let earliest = check
                    .last
                    .as_ref()
                    .map_or(*at, |(_, ended)| ended.plus(check.floor))
                    .max(now);
                *at = earliest.min(*at);
                check.pace = Duration::ZERO;
            }
            State::Open(Attempt::Running { .. } | Attempt::Cancelling { .. }) => check.woken = true,
            State::Passed | State::Failed { .. } => {}
        }
    }

    /// The answer, if there is one now that the check at `index` has changed.
    fn answer(&self, index: usize) -> Option<Verdict> {
        let any = |test: fn(&Progress) -> bool| self.checks.iter().any(test);
        let all = |test: fn(&Progress) -> bool| self.checks.iter().all(test);
        let has_failed = |check: &Progress| !check.is_open() && !check.has_passed();
        match self.spec.need {
            Need::All if all(Progress::has_passed) => Some(Verdict::Opened),
            // `check` reports every failure, not only the first one.
            Need::All if self.spec.pace == Pace::Once && any(Progress::is_open) => None,
            Need::All if any(has_failed) => {
                let failed = self.checks.iter().position(has_failed);
                Some(Verdict::GaveUp(GaveUp::Failed(failed.unwrap_or(index))))
            }
            Need::Any if any(Progress::has_passed) => Some(Verdict::Opened),
            Need::Any if all(has_failed) => Some(Verdict::GaveUp(GaveUp::Failed(index))),
            Need::All | Need::Any => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Event, Gate, GaveUp, Need, Notice, Spec, Verdict};
    use crate::core::outcome::{Outcome, Phase, Reason};
    use crate::core::schedule::{NEAR, Pace, Wake};
    use crate::core::time::Time;
    use proptest::prelude::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Time {
        Time::at(Duration::from_millis(millis))
    }

    fn spec(checks: usize) -> Spec {
        Spec {
            floors: vec![NEAR; checks],
            need: Need::All,
            pace: Pace::Proportional,
            success_threshold: 1,
            failure_threshold: None,
            initial_delay: Duration::ZERO,
            attempt_timeout: SECOND,
            timeout: Some(60 * SECOND),
        }
    }

    fn ended(check: usize, outcome: Outcome) -> Event {
        Event::Ended {
            check,
            outcome,
            wake: Wake::Asked,
        }
    }

    fn refused(check: usize) -> Event {
        ended(check, Outcome::NotYet(Reason::Refused))
    }

    fn pass(check: usize) -> Event {
        ended(check, Outcome::Pass)
    }

    fn verdict(actions: &[Action]) -> Option<Verdict> {
        actions.iter().find_map(|action| match action {
            Action::Finish(verdict) => Some(*verdict),
            _ => None,
        })
    }

    #[test]
    fn the_gate_opens_when_every_check_has_passed() {
        let mut gate = Gate::new(spec(2), at(0));
        assert_eq!(
            gate.handle(at(0), Event::Tick).len(),
            2,
            "both are tried at once"
        );
        assert_eq!(verdict(&gate.handle(at(1), pass(0))), None);
        assert_eq!(verdict(&gate.handle(at(2), refused(1))), None);
        assert_eq!(
            gate.handle(at(500), Event::Tick),
            [Action::Attempt {
                check: 1,
                until: at(1500)
            }],
            "what passed stays passed"
        );
        assert_eq!(
            verdict(&gate.handle(at(501), pass(1))),
            Some(Verdict::Opened)
        );
        assert_eq!(gate.deadline(), None);
    }

    #[test]
    fn with_any_the_first_pass_opens_the_gate_and_the_last_failure_ends_it() {
        let any = Spec {
            need: Need::Any,
            ..spec(2)
        };
        let mut gate = Gate::new(any.clone(), at(0));
        gate.handle(at(0), Event::Tick);
        assert_eq!(verdict(&gate.handle(at(1), pass(1))), Some(Verdict::Opened));

        let never = || Outcome::Never(Reason::NoCommand("x".to_owned()));
        let mut gate = Gate::new(any, at(0));
        gate.handle(at(0), Event::Tick);
        assert_eq!(verdict(&gate.handle(at(1), ended(0, never()))), None);
        assert_eq!(
            verdict(&gate.handle(at(2), ended(1, never()))),
            Some(Verdict::GaveUp(GaveUp::Failed(1)))
        );
    }

    #[test]
    fn thresholds_count_in_a_row() {
        let every = Pace::Every(Duration::from_millis(100));
        let mut gate = Gate::new(
            Spec {
                pace: every,
                success_threshold: 3,
                failure_threshold: Some(3),
                ..spec(1)
            },
            at(0),
        );
        let mut now = 0;
        let mut step = |event: Event| {
            gate.handle(at(now), Event::Tick);
            now += 100;
            verdict(&gate.handle(at(now), event))
        };
        for event in [
            pass(0),
            pass(0),
            refused(0),
            refused(0),
            pass(0),
            refused(0),
            refused(0),
            pass(0),
            pass(0),
        ] {
            assert_eq!(step(event), None);
        }
        assert_eq!(step(pass(0)), Some(Verdict::Opened));

        let mut gate = Gate::new(
            Spec {
                failure_threshold: Some(1),
                ..spec(1)
            },
            at(0),
        );
        gate.handle(at(0), Event::Tick);
        assert_eq!(
            verdict(&gate.handle(at(1), refused(0))),
            Some(Verdict::GaveUp(GaveUp::Failed(0)))
        );
    }

    #[test]
    fn an_attempt_whose_time_is_over_is_cancelled_and_reports_its_phase() {
        let mut gate = Gate::new(spec(1), at(0));
        gate.handle(at(0), Event::Tick);
        assert_eq!(gate.deadline(), Some(at(1000)));
        let actions = gate.handle(at(1000), Event::Tick);
        assert!(
            actions.contains(&Action::Cancel { check: 0 }),
            "{actions:?}"
        );
        gate.handle(
            at(1001),
            Event::Cancelled {
                check: 0,
                phase: Phase::Answer,
                said: String::new(),
            },
        );
        let (reason, _) = gate.progress()[0].last.clone().expect("a reason");
        assert_eq!(
            reason,
            Reason::TimedOut {
                phase: Phase::Answer,
                after: SECOND,
                said: String::new()
            }
        );
    }

    #[test]
    fn the_end_of_the_gate_cancels_attempts_and_keeps_the_earlier_reason() {
        let mut gate = Gate::new(
            Spec {
                timeout: Some(Duration::from_millis(500)),
                ..spec(1)
            },
            at(0),
        );
        gate.handle(at(0), Event::Tick);
        gate.handle(at(1), refused(0));
        assert_eq!(
            gate.handle(at(400), Event::Tick),
            [Action::Attempt {
                check: 0,
                until: at(500)
            }]
        );
        assert_eq!(
            gate.handle(at(500), Event::Tick),
            [Action::Cancel { check: 0 }]
        );
        let actions = gate.handle(
            at(500),
            Event::Cancelled {
                check: 0,
                phase: Phase::Connecting,
                said: String::new(),
            },
        );
        assert_eq!(actions, [Action::Finish(Verdict::GaveUp(GaveUp::TimedOut))]);
        assert_eq!(
            gate.progress()[0].last.clone().expect("a reason").0,
            Reason::Refused
        );
    }

    /// A gate of 2 s over these checks whose latest attempts were refused at 1000, so that the next
    /// ones are due at 1020.
    fn refused_at_1000(spec: Spec) -> Gate {
        let count = spec.floors.len();
        let timeout = Some(2 * SECOND);
        let mut gate = Gate::new(Spec { timeout, ..spec }, at(0));
        gate.handle(at(0), Event::Tick);
        (0..count).for_each(|check| drop(gate.handle(at(0), refused(check))));
        gate.handle(at(999), Event::Tick);
        (0..count).for_each(|check| drop(gate.handle(at(1000), refused(check))));
        gate.handle(at(1000), Event::Tick);
        assert_eq!(gate.deadline(), Some(at(1020)));
        gate
    }

    fn attempts(actions: &[Action]) -> Vec<(usize, Time)> {
        let attempt = |action: &Action| match action {
            Action::Attempt { check, until } => Some((*check, *until)),
            Action::Cancel { .. } | Action::Notice(_) | Action::Finish(_) => None,
        };
        actions.iter().filter_map(attempt).collect()
    }

    #[test]
    fn a_gate_that_was_paused_past_its_end_makes_one_last_attempt() {
        for (outcome, expected) in [
            (pass(0), Verdict::Opened),
            (refused(0), Verdict::GaveUp(GaveUp::TimedOut)),
        ] {
            let mut gate = refused_at_1000(spec(1));
            let actions = gate.handle(at(9000), Event::Tick);
            assert_eq!(
                actions,
                [Action::Attempt {
                    check: 0,
                    until: at(10_000)
                }]
            );
            assert_eq!(gate.deadline(), Some(at(10_000)));
            assert_eq!(verdict(&gate.handle(at(9001), outcome)), Some(expected));
        }
        // Not if it ran until its end: then the latest attempt is younger than twice its pace.
        let mut gate = refused_at_1000(spec(1));
        gate.handle(at(1981), Event::Tick);
        gate.handle(at(1981), refused(0));
        let actions = gate.handle(at(2000), Event::Tick);
        assert_eq!(actions, [Action::Finish(Verdict::GaveUp(GaveUp::TimedOut))]);
    }

    #[test]
    fn the_last_attempt_has_a_time_limit_too() {
        let mut gate = refused_at_1000(spec(1));
        gate.handle(at(9000), Event::Tick);
        assert_eq!(gate.handle(at(9999), Event::Tick), []);
        let actions = gate.handle(at(10_000), Event::Tick);
        assert_eq!(actions, [Action::Cancel { check: 0 }]);
        let cancelled = Event::Cancelled {
            check: 0,
            phase: Phase::Answer,
            said: String::new(),
        };
        let actions = gate.handle(at(10_000), cancelled);
        assert_eq!(actions, [Action::Finish(Verdict::GaveUp(GaveUp::TimedOut))]);
        // It is not longer than the time limit of the wait.
        let mut gate = refused_at_1000(Spec {
            attempt_timeout: 60 * SECOND,
            ..spec(1)
        });
        let actions = gate.handle(at(9000), Event::Tick);
        assert_eq!(attempts(&actions), [(0, at(11_000))]);
    }

    #[test]
    fn an_answer_from_before_the_pause_is_not_the_last_one() {
        let mut gate = refused_at_1000(spec(1));
        gate.handle(at(1500), Event::Tick);
        assert_eq!(gate.handle(at(9000), refused(0)), []);
        let actions = gate.handle(at(9000), Event::Tick);
        assert_eq!(attempts(&actions), [(0, at(10_000))]);
        // A pass counts.
        let mut gate = refused_at_1000(spec(1));
        gate.handle(at(1500), Event::Tick);
        assert_eq!(
            verdict(&gate.handle(at(9000), pass(0))),
            Some(Verdict::Opened)
        );
    }

    #[test]
    fn every_check_that_has_not_passed_gets_a_last_attempt() {
        let mut gate = refused_at_1000(spec(3));
        gate.handle(at(1500), Event::Tick);
        gate.handle(at(1500), pass(0));
        gate.handle(at(1500), refused(1));
        // Check 2 is still under way, and is cancelled first.
        let actions = gate.handle(at(9000), Event::Tick);
        assert_eq!(attempts(&actions), [(1, at(10_000))]);
        assert!(actions.contains(&Action::Cancel { check: 2 }));
        let cancelled = Event::Cancelled {
            check: 2,
            phase: Phase::Connecting,
            said: String::new(),
        };
        assert_eq!(gate.handle(at(9000), cancelled), []);
        assert_eq!(gate.deadline(), Some(at(9000)));
        let actions = gate.handle(at(9000), Event::Tick);
        assert_eq!(attempts(&actions), [(2, at(10_000))]);
        assert_eq!(verdict(&gate.handle(at(9001), pass(1))), None);
        assert_eq!(
            verdict(&gate.handle(at(9002), pass(2))),
            Some(Verdict::Opened)
        );
    }

    #[test]
    fn a_gate_that_was_paused_before_its_first_attempt_makes_that_attempt() {
        let mut gate = Gate::new(
            Spec {
                initial_delay: SECOND,
                ..spec(1)
            },
            at(0),
        );
        let actions = gate.handle(at(90_000), Event::Tick);
        assert_eq!(attempts(&actions), [(0, at(91_000))]);
        assert_eq!(
            verdict(&gate.handle(at(90_001), pass(0))),
            Some(Verdict::Opened)
        );
    }

    #[test]
    fn a_change_that_was_reported_during_a_pause_is_looked_at() {
        let mut gate = Gate::new(
            Spec {
                timeout: Some(2 * SECOND),
                ..spec(1)
            },
            at(0),
        );
        gate.handle(at(0), Event::Tick);
        let not_there = Event::Ended {
            check: 0,
            outcome: Outcome::NotYet(Reason::NoFile),
            wake: Wake::Watched,
        };
        gate.handle(at(1500), not_there);
        // The next look is due at 2500 only.
        gate.handle(at(2100), Event::Woken { check: 0 });
        let actions = gate.handle(at(2100), Event::Tick);
        assert_eq!(attempts(&actions), [(0, at(3100))]);
    }

    #[test]
    fn with_a_fixed_interval_the_pace_is_the_interval() {
        let every = Spec {
            pace: Pace::Every(SECOND),
            timeout: Some(2500 * SECOND / 1000),
            ..spec(1)
        };
        for (end, expected) in [(2999, 0), (3000, 1)] {
            let mut gate = Gate::new(every.clone(), at(0));
            for now in [0, 1000] {
                gate.handle(at(now), Event::Tick);
                gate.handle(at(now), refused(0));
            }
            let actions = gate.handle(at(end), Event::Tick);
            assert_eq!(attempts(&actions).len(), expected, "{end}");
        }
    }

    #[test]
    fn one_round_waits_for_every_check() {
        let mut gate = Gate::new(
            Spec {
                pace: Pace::Once,
                timeout: None,
                ..spec(2)
            },
            at(0),
        );
        gate.handle(at(0), Event::Tick);
        assert_eq!(verdict(&gate.handle(at(1), refused(0))), None);
        assert_eq!(
            verdict(&gate.handle(at(2), pass(1))),
            Some(Verdict::GaveUp(GaveUp::Failed(0)))
        );
    }

    #[test]
    fn a_signal_ends_the_gate_in_every_state() {
        for before in [vec![], vec![Event::Tick], vec![Event::Tick, refused(0)]] {
            let mut gate = Gate::new(spec(1), at(0));
            before
                .into_iter()
                .for_each(|event| drop(gate.handle(at(0), event)));
            assert_eq!(
                gate.handle(at(1), Event::Signal(15)),
                [Action::Finish(Verdict::Stopped(15))]
            );
            assert_eq!(gate.handle(at(2), pass(0)), []);
        }
    }

    #[test]
    fn a_woken_check_is_tried_at_once_but_not_faster_than_its_floor() {
        let mut gate = Gate::new(spec(1), at(0));
        gate.handle(at(0), Event::Tick);
        gate.handle(
            at(10),
            Event::Ended {
                check: 0,
                outcome: Outcome::NotYet(Reason::NoFile),
                wake: Wake::Watched,
            },
        );
        gate.handle(at(10), Event::Woken { check: 0 });
        assert_eq!(gate.deadline(), Some(at(11)));
        gate.handle(at(11), Event::Tick);
        gate.handle(
            at(11),
            Event::Ended {
                check: 0,
                outcome: Outcome::NotYet(Reason::NoFile),
                wake: Wake::Watched,
            },
        );
        gate.handle(at(500), Event::Woken { check: 0 });
        assert_eq!(gate.deadline(), Some(at(500)));
    }

    #[test]
    fn a_check_whose_changes_are_reported_is_tried_only_after_one_at_any_pace() {
        for pace in [Pace::Proportional, Pace::Every(SECOND)] {
            let endless = Spec {
                pace,
                timeout: None,
                ..spec(1)
            };
            let mut gate = Gate::new(endless, at(0));
            gate.handle(at(0), Event::Tick);
            let not_yet = Event::Ended {
                check: 0,
                outcome: Outcome::NotYet(Reason::NotNotified),
                wake: Wake::Reported,
            };
            gate.handle(at(0), not_yet);
            for now in [1, 1_000, 100_000, 1_000_000_000] {
                assert_eq!(attempts(&gate.handle(at(now), Event::Tick)), [], "{pace:?}");
            }
            let now = at(2_000_000_000);
            gate.handle(now, Event::Woken { check: 0 });
            assert_eq!(
                attempts(&gate.handle(now, Event::Tick)).len(),
                1,
                "{pace:?}"
            );
        }
    }

    #[test]
    fn with_a_fixed_interval_a_change_causes_no_attempt() {
        let every = Spec {
            pace: Pace::Every(SECOND),
            ..spec(1)
        };
        let mut gate = Gate::new(every, at(0));
        gate.handle(at(0), Event::Tick);
        gate.handle(at(0), refused(0));
        gate.handle(at(500), Event::Woken { check: 0 });
        assert_eq!(attempts(&gate.handle(at(500), Event::Tick)), []);
    }

    #[test]
    fn a_change_during_an_attempt_is_not_lost() {
        let mut gate = Gate::new(spec(1), at(0));
        gate.handle(at(0), Event::Tick);
        gate.handle(at(5), Event::Woken { check: 0 });
        let not_there = || Event::Ended {
            check: 0,
            outcome: Outcome::NotYet(Reason::NoFile),
            wake: Wake::Watched,
        };
        gate.handle(at(10), not_there());
        assert_eq!(
            gate.deadline(),
            Some(at(11)),
            "it may have looked before the change"
        );
        gate.handle(at(11), Event::Tick);
        gate.handle(at(12), not_there());
        assert!(
            gate.deadline() > Some(at(900)),
            "from then on the kernel reports changes"
        );
    }

    #[test]
    fn heartbeats_double_their_distance_up_to_a_minute() {
        let mut gate = Gate::new(
            Spec {
                timeout: None,
                pace: Pace::Every(3600 * SECOND),
                ..spec(1)
            },
            at(0),
        );
        let mut beats = Vec::new();
        for millis in (0..300_000).step_by(500) {
            let actions = gate.handle(at(millis), Event::Tick);
            gate.handle(at(millis), refused(0));
            if actions.contains(&Action::Notice(Notice::Heartbeat)) {
                beats.push(millis / 1000);
            }
        }
        assert_eq!(beats, [1, 3, 7, 15, 31, 63, 123, 183, 243]);
    }

    #[test]
    fn a_reason_that_changes_with_every_attempt_does_not_fill_the_log() {
        let mut gate = Gate::new(
            Spec {
                timeout: None,
                ..spec(1)
            },
            at(0),
        );
        let mut reported = 0;
        for attempt in 0..10_000 {
            gate.handle(at(attempt * 10), Event::Tick);
            let reason = Reason::ExitCode(1, format!("attempt {attempt}"));
            let actions = gate.handle(at(attempt * 10), ended(0, Outcome::NotYet(reason)));
            reported +=
                usize::from(actions.contains(&Action::Notice(Notice::Waiting { check: 0 })));
        }
        assert!((20..=31).contains(&reported), "{reported} lines in 100 s");
    }

    /// How the next attempt of a random driver goes.
    #[derive(Debug, Clone)]
    enum Step {
        Pass(u64),
        Refuse(u64),
        Never,
        Hang,
        Wake,
        /// The process is paused for so long, and the attempt is refused.
        Pause(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_u64..1500).prop_map(Step::Pass),
            9 => (0_u64..1500).prop_map(Step::Refuse),
            1 => Just(Step::Never),
            2 => Just(Step::Hang),
            2 => Just(Step::Wake),
            1 => (0_u64..30_000).prop_map(Step::Pause),
        ]
    }

    fn any_spec() -> impl Strategy<Value = Spec> {
        (
            1_usize..5,
            any::<bool>(),
            prop_oneof![
                Just(Pace::Proportional),
                (1_u64..2000).prop_map(|ms| Pace::Every(Duration::from_millis(ms))),
                Just(Pace::Once)
            ],
            1_u32..4,
            proptest::option::of(1_u32..6),
            0_u64..500,
            proptest::option::of(1_u64..20_000),
        )
            .prop_map(
                |(checks, any, pace, success, failure, delay, timeout)| Spec {
                    need: if any { Need::Any } else { Need::All },
                    success_threshold: if matches!(pace, Pace::Every(_)) {
                        success
                    } else {
                        1
                    },
                    failure_threshold: failure,
                    initial_delay: Duration::from_millis(delay),
                    timeout: timeout.map(Duration::from_millis),
                    pace,
                    ..spec(checks)
                },
            )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]

        /// The driver sleeps until the deadline or until an attempt ends, and carries out the
        /// actions. The promises are checked against a model that only counts outcomes in a row.
        #[test]
        fn the_gate_keeps_its_promises(
            spec in any_spec(),
            steps in proptest::collection::vec(step(), 1..120),
        ) {
            let mut steps = steps.into_iter().cycle();
            let mut gate = Gate::new(spec.clone(), at(0));
            let count = spec.floors.len();
            // For each check in flight: when it will end by itself, and how.
            let mut flying: Vec<Option<(Option<Time>, Outcome, Time)>> = vec![None; count];
            let mut in_a_row: Vec<(u32, u32)> = vec![(0, 0); count];
            let mut passed = vec![false; count];
            let mut failed = vec![false; count];
            let mut now = at(0);
            let mut finished = None;
            // How long the process does not run now, and the attempts after the end.
            let (mut pause, mut paused) = (Duration::ZERO, false);
            let mut last_attempts = vec![0; count];
            for _ in 0..4000 {
                let natural = flying.iter().flatten().filter_map(|(end, _, _)| *end).min();
                let deadline = gate
                    .deadline()
                    .expect("a gate that has not finished has a deadline");
                now = deadline.min(natural.unwrap_or(deadline)).max(now).plus(pause);
                pause = Duration::ZERO;
                let mut queue = Vec::new();
                #[expect(
                    clippy::needless_range_loop,
                    reason = "several lists have the index of the check"
                )]
                for check in 0..count {
                    if let Some((Some(end), outcome, _)) = flying[check].clone()
                        && end <= now
                    {
                        flying[check] = None;
                        queue.push(ended(check, outcome));
                    }
                }
                queue.push(Event::Tick);
                while !queue.is_empty() && finished.is_none() {
                    let event = queue.remove(0);
                    if let Event::Ended { check, outcome, .. } = &event {
                        let (passes, failures) = &mut in_a_row[*check];
                        match outcome {
                            Outcome::Pass => (*passes, *failures) = (*passes + 1, 0),
                            Outcome::NotYet(_) => (*passes, *failures) = (0, *failures + 1),
                            Outcome::Never(_) => failed[*check] = true,
                        }
                    }
                    if let Event::Cancelled { check, .. } = &event {
                        in_a_row[*check] = (0, in_a_row[*check].1 + 1);
                    }
                    for check in 0..count {
                        let (passes, failures) = in_a_row[check];
                        let once = spec.pace == Pace::Once;
                        passed[check] = passed[check] || passes >= spec.success_threshold;
                        failed[check] = failed[check]
                            || (failures > 0
                                && (once
                                    || spec
                                        .failure_threshold
                                        .is_some_and(|most| failures >= most)));
                    }
                    let was_tick = event == Event::Tick;
                    for action in gate.handle(now, event) {
                        prop_assert_eq!(finished, None, "nothing comes after Finish");
                        match action {
                            Action::Attempt { check, until } => {
                                prop_assert!(flying[check].is_none(), "one attempt at a time");
                                prop_assert!(
                                    !passed[check] && !failed[check],
                                    "no attempt after its end is known"
                                );
                                prop_assert!(now >= Time::at(spec.initial_delay));
                                prop_assert!(until <= now.plus(spec.attempt_timeout));
                                if let Some(end) = spec.timeout.map(Time::at) {
                                    let is_last = now >= end;
                                    last_attempts[check] += u32::from(is_last);
                                    prop_assert!(until <= end || is_last);
                                    prop_assert!(!is_last || paused, "only after a pause");
                                    prop_assert!(last_attempts[check] <= 1, "one last attempt");
                                }
                                let after = |ms: u64| Some(now.plus(Duration::from_millis(ms)));
                                flying[check] = Some(match steps.next().expect("endless") {
                                    Step::Pass(ms) => (after(ms), Outcome::Pass, until),
                                    Step::Refuse(ms) => {
                                        (after(ms), Outcome::NotYet(Reason::Refused), until)
                                    }
                                    Step::Never => {
                                        (after(0), Outcome::Never(Reason::NoFile), until)
                                    }
                                    Step::Hang => (None, Outcome::Pass, until),
                                    Step::Pause(ms) => {
                                        pause = Duration::from_millis(ms);
                                        paused = true;
                                        (after(1), Outcome::NotYet(Reason::Refused), until)
                                    }
                                    Step::Wake => {
                                        queue.push(Event::Woken {
                                            check: (check + 1) % count,
                                        });
                                        (None, Outcome::Pass, until)
                                    }
                                });
                            }
                            Action::Cancel { check } => {
                                let (_, _, until) =
                                    flying[check].take().expect("only what runs is cancelled");
                                let over =
                                    spec.timeout.is_some_and(|timeout| now >= Time::at(timeout));
                                prop_assert!(now >= until || over, "not before its time");
                                queue.push(Event::Cancelled {
                                    check,
                                    phase: Phase::Answer,
                                    said: String::new(),
                                });
                            }
                            Action::Notice(Notice::Passed { check }) => prop_assert!(passed[check]),
                            Action::Notice(Notice::Waiting { .. } | Notice::Heartbeat) => {}
                            Action::Finish(verdict) => finished = Some(verdict),
                        }
                    }
                    if was_tick && finished.is_none() && queue.is_empty() {
                        prop_assert!(gate.deadline().expect("a deadline") > now, "it never spins");
                    }
                }
                if finished.is_some() {
                    break;
                }
            }
            let all_known = (0..count).all(|check| passed[check] || failed[check]);
            let opens = match spec.need {
                Need::All => passed.iter().all(|it| *it),
                Need::Any => passed.iter().any(|it| *it),
            };
            match finished {
                Some(Verdict::Opened) => prop_assert!(opens),
                Some(Verdict::GaveUp(GaveUp::TimedOut)) => {
                    let timeout = spec.timeout.expect("only where there is one");
                    prop_assert!(!opens && now >= Time::at(timeout));
                    prop_assert!(
                        paused || now <= Time::at(timeout).plus(Duration::from_millis(1)),
                        "at its time, not later"
                    );
                }
                Some(Verdict::GaveUp(GaveUp::Failed(check))) => {
                    prop_assert!(failed[check] && !opens);
                    let known = if spec.need == Need::Any || spec.pace == Pace::Once {
                        all_known
                    } else {
                        true
                    };
                    prop_assert!(known);
                }
                Some(Verdict::Stopped(_)) => prop_assert!(false, "no signal was sent"),
                None => prop_assert!(
                    paused || spec.timeout.is_none_or(|timeout| now < Time::at(timeout)),
                    "it ends in time"
                ),
            }
        }
    }
}
