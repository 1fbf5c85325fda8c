//! Drives a gate: turns what happens into events for `core::gate`, and does what it says. The clock is read here.

use crate::check::file::Watcher;
use crate::check::http::Ask;
use crate::check::{Leaf, Shared, Step, leaf};
use crate::core::check::Check;
use crate::core::duration::show;
use crate::core::exit::Exit;
use crate::core::gate::{Action, Event, Gate, Need, Notice, Progress, Spec, Verdict};
use crate::core::schedule::Pace;
use crate::core::time::Time;
use crate::event_loop::{self, Interest};
use crate::process::watchdog::Watchdog;
use crate::process::{Arrived, Children, Signals};
use crate::report::{Field, Line, Report, Severity};
use nix::poll::PollFlags;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How often the live line is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);
/// How long after the end a wait, …
const PATIENCE: Duration = Duration::from_secs(2);
/// … or a probe, that has not ended by itself is taken to hang.
const SHORT_PATIENCE: Duration = Duration::from_millis(100);
/// How many checks a heartbeat names.
const NAMED: usize = 3;

/// A gate with its checks.
pub(super) struct Driver<'a> {
    checks: &'a [Check],
    need: Need,
    gate: Gate,
    leaves: Vec<Entry>,
    children: Rc<RefCell<Children>>,
    watcher: Option<Rc<RefCell<Watcher>>>,
    start: Instant,
    signals: &'a Signals,
    report: &'a mut Report,
    drawn: Option<Instant>,
    /// When all must be over, after the start.
    end: Option<Duration>,
    /// Is each end of a check told? Probes tell theirs at the end.
    tells: bool,
}

struct Entry {
    leaf: Box<dyn Leaf>,
    runs: bool,
}

/// The gate's answer, and all that is needed to tell it.
pub(super) struct Answer {
    /// The verdict; an error if the kernel would not let us wait.
    pub(super) verdict: Result<Verdict, nix::Error>,
    /// How long it took.
    pub(super) waited: Duration,
}

impl<'a> Driver<'a> {
    /// A gate that starts to wait now.
    pub(super) fn new(checks: &'a [Check], spec: Spec, ask: Ask, signals: &'a Signals, report: &'a mut Report) -> Self {
        for check in checks {
            if let Some(word) = check.kind.shell_word(&check.name) {
                let text = format!(
                    "{:?}: no shell is run, so {word:?} is an argument like others; say exec:sh -c '…' for a shell",
                    check.name
                );
                report.line(&Line::new(Severity::Warning, "no_shell", text));
            }
        }
        let children = Rc::new(RefCell::new(Children::new(signals.original())));
        // With a fixed interval nobody is to be woken. EMFILE: then files are asked for by the schedule.
        let watches = spec.pace == Pace::Proportional && checks.iter().any(|check| check.kind.is_file());
        let watcher = watches.then(Watcher::new).and_then(Result::ok).map(|watcher| Rc::new(RefCell::new(watcher)));
        let shared = Shared { children: Rc::clone(&children), watcher: watcher.clone(), ask };
        let entry = |(index, check)| Entry { leaf: leaf(check, index, &shared), runs: false };
        let leaves = checks.iter().enumerate().map(entry).collect();
        let tells = spec.pace != Pace::Once;
        // A probe's one attempt is all there is.
        let end = if tells { spec.timeout } else { Some(spec.attempt_timeout) };
        let (need, gate) = (spec.need, Gate::new(spec, Time::at(Duration::ZERO)));
        Self {
            checks,
            need,
            gate,
            leaves,
            children,
            watcher,
            start: Instant::now(),
            signals,
            report,
            drawn: None,
            end,
            tells,
        }
    }

    /// Waits for the answer. Afterwards no command of a check is left.
    pub(super) fn run(&mut self) -> Answer {
        let _watchdog = self.watchdog();
        let verdict = self.wait();
        self.leaves.clear();
        self.children.borrow_mut().clear();
        self.report.clear_live();
        // What is told of a time limit is the limit, not how soon the machine came to it.
        let waited = self.gate.waited(self.now());
        let limit = self.end.filter(|_| verdict == Ok(Verdict::TimedOut));
        Answer { verdict, waited: limit.unwrap_or(waited) }
    }

    /// Watches over checks that may hang in the kernel.
    fn watchdog(&self) -> Option<Watchdog> {
        let names: Vec<String> =
            self.checks.iter().filter(|check| check.kind.goes_by_path()).map(|check| check.name.clone()).collect();
        if names.is_empty() {
            return None;
        }
        let end = self.end.and_then(|end| self.start.checked_add(end));
        // A probe has a second for all of it.
        let (late, chance) = if self.tells { (Exit::TimedOut, PATIENCE) } else { (Exit::NotPassed, SHORT_PATIENCE) };
        let (mut report, start) = (self.report.twin(), self.start);
        Some(Watchdog::start(self.signals, end, chance, move |signal| {
            let (what, exit) = match signal {
                Some(number) => (format!("stopped by signal {number}"), Exit::Signal(number)),
                None => ("gave up".to_owned(), late),
            };
            let text = format!(
                "{what} after {}: the kernel does not come back from one of {names:?}; see whether the server of its file system is gone",
                show(start.elapsed())
            );
            report.failure(&Line::new(Severity::Error, "hangs", text));
            std::process::exit(exit.code().into());
        }))
    }

    fn wait(&mut self) -> Result<Verdict, nix::Error> {
        let mut events = VecDeque::from([Event::Tick]);
        loop {
            while let Some(event) = events.pop_front() {
                for action in self.gate.handle(self.now(), event) {
                    match action {
                        Action::Attempt { check, until } => events.extend(self.attempt(check, until)),
                        Action::Cancel { check } => events.extend(self.cancel(check)),
                        Action::Notice(notice) => {
                            if let Notice::Passed { check } = notice
                                && let Some(entry) = self.leaves.get_mut(check)
                            {
                                entry.leaf.rest();
                            }
                            self.tell(&notice);
                        }
                        Action::Finish(verdict) => return Ok(verdict),
                    }
                }
            }
            self.sleep(&mut events)?;
            events.push_back(Event::Tick);
        }
    }

    fn attempt(&mut self, check: usize, until: Time) -> Option<Event> {
        let until = self.start.checked_add(until.since_start())?;
        let entry = self.leaves.get_mut(check)?;
        entry.runs = true;
        let step = entry.leaf.start(until);
        entry.ended(check, step)
    }

    fn cancel(&mut self, check: usize) -> Option<Event> {
        let entry = self.leaves.get_mut(check)?;
        entry.runs = false;
        let phase = entry.leaf.cancel();
        Some(Event::Cut { check, phase, said: entry.leaf.said() })
    }

    /// Sleeps until something happens.
    fn sleep(&mut self, events: &mut VecDeque<Event>) -> Result<(), nix::Error> {
        let watcher = self.watcher.as_ref().map(|watcher| watcher.borrow());
        let mut interests: Vec<Interest<'_>> = vec![(self.signals.as_fd(), PollFlags::POLLIN)];
        interests.extend(watcher.as_ref().map(|watcher| (watcher.as_fd(), PollFlags::POLLIN)));
        let first = interests.len();
        let mut owners = Vec::new();
        let mut until = self.gate.deadline().and_then(|at| self.start.checked_add(at.since_start()));
        for (index, entry) in self.leaves.iter().enumerate().filter(|(_, entry)| entry.runs) {
            entry.leaf.interests(&mut interests);
            owners.resize(interests.len().saturating_sub(first), index);
            until = until.into_iter().chain(entry.leaf.wake_at()).min();
        }
        if self.report.is_live() {
            until = until.into_iter().chain(Instant::now().checked_add(REDRAW)).min();
        }
        let ready = event_loop::wait(&interests, until)?;
        drop(interests);
        drop(watcher);

        let mut ready = ready.into_iter();
        let has_signal = ready.next() == Some(true);
        let has_change = self.watcher.is_some() && ready.next() == Some(true);
        let mut child_ended = false;
        while let Some(arrived) = has_signal.then(|| self.signals.next()).flatten() {
            match arrived {
                Arrived::Ending(number) => events.push_back(Event::Signal(number)),
                Arrived::Child => child_ended = true,
            }
        }
        if child_ended {
            self.children.borrow_mut().reap();
        }
        if let Some(watcher) = self.watcher.as_ref().filter(|_| has_change) {
            events.extend(watcher.borrow_mut().woken().into_iter().map(|check| Event::Woken { check }));
        }
        let ready: Vec<usize> =
            owners.into_iter().zip(ready).filter(|(_, ready)| *ready).map(|(owner, _)| owner).collect();
        let now = Instant::now();
        for (index, entry) in self.leaves.iter_mut().enumerate().filter(|(_, entry)| entry.runs) {
            let due = entry.leaf.wake_at().is_some_and(|at| at <= now) || (child_ended && entry.leaf.waits_for_child());
            if due || ready.contains(&index) {
                let step = entry.leaf.proceed();
                events.extend(entry.ended(index, step));
            }
        }
        self.draw();
        Ok(())
    }

    fn now(&self) -> Time {
        Time::at(self.start.elapsed())
    }

    /// What is known of each check that has not passed.
    fn open(&self) -> impl Iterator<Item = (&'a Check, &Progress)> {
        self.checks.iter().zip(self.gate.progress()).filter(|(_, progress)| !progress.has_passed())
    }

    fn tell(&mut self, notice: &Notice) {
        if !self.tells {
            return;
        }
        let waited = self.gate.waited(self.now());
        let of = |check: &usize| self.checks.get(*check).zip(self.gate.progress().get(*check));
        let line = match notice {
            Notice::Passed { check } => of(check).map(|(check, progress)| {
                let text = format!("{:?} passed after {} ({})", check.name, show(waited), attempts(progress.attempts));
                about(Line::new(Severity::Info, "passed", text), check, progress, waited)
            }),
            Notice::Waiting { check } => of(check).map(|(check, progress)| {
                let text = format!("waiting: {:?} {}", check.name, why(progress));
                about(Line::new(Severity::Info, "waiting", text), check, progress, waited)
            }),
            Notice::Heartbeat => Some(self.heartbeat(waited)),
        };
        // The live line tells the same, more often.
        if let Some(line) = line.filter(|_| *notice != Notice::Heartbeat || !self.report.is_live()) {
            self.report.line(&line);
        }
    }

    fn heartbeat(&self, waited: Duration) -> Line {
        let attempts: u128 = self.open().map(|(_, progress)| u128::from(progress.attempts)).sum();
        let text = format!("still waiting after {}: {}", show(waited), self.summary());
        Line::new(Severity::Info, "heartbeat", text)
            .with("waited_ms", Field::Number(waited.as_millis()))
            .with("attempts", Field::Number(attempts))
    }

    /// What does not pass, and why: the first few.
    fn summary(&self) -> String {
        let mut text = String::new();
        let mut more = 0_usize;
        for (index, (check, progress)) in self.open().enumerate() {
            if index >= NAMED {
                more = more.saturating_add(1);
            } else {
                let comma = if index == 0 { "" } else { "; " };
                text.push_str(&format!("{comma}{:?} {} ({})", check.name, why(progress), attempts(progress.attempts)));
            }
        }
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        text
    }

    fn draw(&mut self) {
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW);
        if self.tells && is_due && self.report.is_live() {
            self.drawn = Some(Instant::now());
            let waited = self.gate.waited(self.now());
            let passed = self.gate.progress().iter().filter(|progress| progress.has_passed()).count();
            let of =
                if self.checks.len() > 1 { format!(" [{passed}/{} passed]", self.checks.len()) } else { String::new() };
            let seconds = waited.as_secs();
            let tenths = waited.subsec_millis() / 100;
            self.report.live(&format!("podgate: {seconds}.{tenths}s{of} waiting: {}", self.summary()));
        }
    }

    /// The last line of a wait that did not open the gate: what, how long, why, and what to do.
    pub(super) fn failure(&self, verdict: Verdict, waited: Duration) -> Line {
        let now = self.now();
        let failed = match verdict {
            Verdict::Failed(index) if self.need == Need::All => {
                self.checks.get(index).zip(self.gate.progress().get(index))
            }
            Verdict::Opened | Verdict::TimedOut | Verdict::Failed(_) | Verdict::Stopped(_) => None,
        };
        let first = failed.or_else(|| self.open().next());
        let remedy = first.map_or("see its log".into(), |(check, progress)| remedy(check, progress));
        let last = |progress: &Progress| {
            let ago = progress
                .last
                .as_ref()
                .map(|(_, at)| format!(", the last {} ago", show(now.since(*at))))
                .unwrap_or_default();
            format!("{}{ago}", attempts(progress.attempts))
        };
        let text = match failed {
            Some((check, progress)) if progress.can_never_pass() => {
                format!(
                    "gave up after {}: {:?} can never pass: it {}; {remedy}",
                    show(waited),
                    check.name,
                    why(progress)
                )
            }
            Some((check, progress)) => {
                format!(
                    "gave up after {}: {:?} {} ({}, as many as --failure-threshold allows); {remedy}",
                    show(waited),
                    check.name,
                    why(progress),
                    last(progress)
                )
            }
            None => {
                let open = self.open().count();
                let what = match (self.open().next(), open) {
                    (Some((check, progress)), 1) => format!("{:?} {} ({})", check.name, why(progress), last(progress)),
                    (_, _) if self.need == Need::Any => format!("none of {open} checks passed: {}", self.summary()),
                    (_, _) => format!("{open} of {} checks did not pass: {}", self.checks.len(), self.summary()),
                };
                let longer = if verdict == Verdict::TimedOut { "raise --timeout, or " } else { "" };
                format!("gave up after {}: {what}; {longer}{remedy}", show(waited))
            }
        };
        let line = Line::new(Severity::Error, "gave_up", text).with("waited_ms", Field::Number(waited.as_millis()));
        match first {
            Some((check, progress)) => about_check(line, check, progress),
            None => line,
        }
    }

    /// For a probe: how each check ended.
    pub(super) fn ends(&self, waited: Duration) -> Vec<Line> {
        let one = |(check, progress): (&Check, &Progress)| {
            let waited = progress.ended.map_or(waited, |ended| self.gate.waited(ended));
            let line = if progress.has_passed() {
                Line::new(Severity::Info, "passed", format!("{:?} passed in {}", check.name, show(waited)))
            } else if self.need == Need::Any && self.gate.progress().iter().any(Progress::has_passed) {
                Line::new(Severity::Info, "not_passed", format!("{:?} {}", check.name, why(progress)))
            } else {
                let text = format!("{:?} {}; {}", check.name, why(progress), remedy(check, progress));
                Line::new(Severity::Error, "not_passed", text)
            };
            about(line, check, progress, waited)
        };
        self.checks.iter().zip(self.gate.progress()).map(one).collect()
    }

    /// What was waited for when a signal came.
    pub(super) fn waited_for(&self) -> String {
        self.summary()
    }

    /// Gives the report back.
    pub(super) fn report(&mut self) -> &mut Report {
        self.report
    }
}

impl Entry {
    fn ended(&mut self, check: usize, step: Step) -> Option<Event> {
        match step {
            Step::Wait => None,
            Step::Done(outcome) => {
                self.runs = false;
                Some(Event::Ended { check, outcome, wake: self.leaf.wake() })
            }
        }
    }
}

fn about(line: Line, check: &Check, progress: &Progress, waited: Duration) -> Line {
    about_check(line, check, progress).with("waited_ms", Field::Number(waited.as_millis()))
}

fn about_check(line: Line, check: &Check, progress: &Progress) -> Line {
    let line = line.with("check", Field::Text(check.name.clone()));
    let line = match &progress.last {
        Some((reason, _)) if !progress.has_passed() => line.with("reason", Field::Text(reason.to_string())),
        Some(_) | None => line,
    };
    line.with("attempts", Field::Number(u128::from(progress.attempts)))
}

/// Why a check does not pass, as far as is known.
fn why(progress: &Progress) -> String {
    match &progress.last {
        _ if progress.passes_in_a_row() > 0 => {
            format!("passed {} in a row, not enough yet", progress.passes_in_a_row())
        }
        Some((reason, _)) => reason.to_string(),
        None if progress.attempts == 0 => "was not tried yet".to_owned(),
        None => "has not answered yet".to_owned(),
    }
}

/// What a person can do about a check that does not pass.
fn remedy(check: &Check, progress: &Progress) -> Cow<'static, str> {
    match (check.preset, &progress.last) {
        (_, None) => "see its log".into(),
        (None, Some((reason, _))) => reason.remedy().into(),
        (Some(sidecar), Some(_)) => format!("see its log; it needs {}", sidecar.needs()).into(),
    }
}

fn attempts(count: u32) -> String {
    if count == 1 { "1 attempt".to_owned() } else { format!("{count} attempts") }
}
