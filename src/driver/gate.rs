//! Drives a gate: turns what happens into events for `core::gate`, and does what it says. The clock is read here.

use crate::core::check::Check;
use crate::core::duration::show;
use crate::core::exit::Exit;
use crate::core::gate::{Action, Event, Gate, Need, Notice, Progress, Spec, Verdict};
use crate::core::schedule::Pace;
use crate::core::signal;
use crate::core::time::Time;
use crate::event_loop::{Interest, Poller};
use crate::members::Volume;
use crate::message::{Field, LogEvent, Message, Severity};
use crate::probe::file::Watcher;
use crate::probe::http::Ask;
use crate::probe::{Leaf, Shared, Step, leaf};
use crate::process::watchdog::Watchdog;
use crate::process::{self, Arrived, Children, Signals, Which};
use crate::report::Report;
use nix::sys::inotify::Inotify;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the live line is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);
/// How long after the end a wait, …
const PATIENCE: Duration = Duration::from_secs(2);
/// … or a probe, that has not ended by itself is taken to hang.
const SHORT_PATIENCE: Duration = Duration::from_millis(100);
/// How many checks a heartbeat names.
const NAMED: usize = 3;

/// A gate with its checks. It is driven from outside, by a loop that may have other things to wait for: [`Driver::interests`],
/// [`Driver::deadline`], [`Driver::proceed`]; or by [`Driver::run`].
pub(crate) struct Driver<'a> {
    checks: &'a [Check],
    need: Need,
    gate: Gate,
    leaves: Vec<Entry>,
    /// What they had to say when they were left.
    said: Vec<String>,
    children: Rc<RefCell<Children>>,
    watcher: Option<Rc<RefCell<Watcher>>>,
    /// The watcher's, to be waited for.
    inotify: Option<Arc<Inotify>>,
    start: Instant,
    drawn: Option<Instant>,
    /// When all must be over, after the start.
    end: Option<Duration>,
    tells: Tells,
}

/// What a gate tells while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    /// Every change, and heartbeats.
    All,
    /// Changes: others tell that the program lives.
    Changes,
    /// Nothing: a probe tells its ends at the end.
    Nothing,
}

/// What a gate shares with what goes on around it.
pub(crate) struct Around {
    /// The one reaper.
    pub(crate) children: Rc<RefCell<Children>>,
    /// Where members meet, if there is such a place.
    pub(crate) volume: Option<Rc<Volume>>,
}

/// Whose descriptor is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// The inotify instance of the gate.
    Watcher,
    /// The attempt of the check with this index.
    Probe(usize),
}

struct Entry {
    leaf: Box<dyn Leaf>,
    runs: bool,
}

/// The gate's answer, and all that is needed to tell it.
pub(crate) struct Answer {
    /// The verdict; an error if the kernel would not let us wait.
    pub(crate) verdict: Result<Verdict, nix::Error>,
    /// How long it took.
    pub(crate) waited: Duration,
}

impl<'a> Driver<'a> {
    /// A gate that starts to wait now.
    pub(crate) fn new(
        checks: &'a [Check],
        spec: Spec,
        ask: &Ask,
        tells: Tells,
        shared: &Around,
        report: &mut Report,
    ) -> Self {
        for check in checks {
            if let Some(word) = check.kind.shell_word(&check.name) {
                let text = format!(
                    "{:?}: no shell is run, so {word:?} is an argument like others; say exec:sh -c '…' for a shell",
                    check.name
                );
                report.line(&Message::new(Severity::Warning, LogEvent::NoShell, text));
            }
        }
        let children = Rc::clone(&shared.children);
        // With a fixed interval nobody is to be woken. EMFILE: then files are asked for by the schedule.
        let watches =
            spec.pace == Pace::Proportional && checks.iter().any(|check| check.kind.is_watched());
        let watcher = watches
            .then(Watcher::new)
            .and_then(Result::ok)
            .map(|watcher| Rc::new(RefCell::new(watcher)));
        if let (Some(watcher), Some(volume)) = (&watcher, &shared.volume) {
            let members = checks
                .iter()
                .enumerate()
                .filter_map(|(index, check)| Some((index, check.kind.member()?.1)));
            watcher.borrow_mut().watch_members(volume.path(), members);
        }
        let inotify = watcher.as_ref().map(|watcher| watcher.borrow().inotify());
        let leaf_shared = Shared {
            children: Rc::clone(&children),
            watcher: watcher.clone(),
            ask: ask.clone(),
            volume: shared.volume.clone(),
        };
        let entry = |(index, check)| Entry {
            leaf: leaf(check, index, &leaf_shared),
            runs: false,
        };
        let leaves = checks.iter().enumerate().map(entry).collect();
        // A probe's one attempt is all there is.
        let end = if tells == Tells::Nothing {
            Some(spec.attempt_timeout)
        } else {
            spec.timeout
        };
        let (need, gate) = (spec.need, Gate::new(spec, Time::ZERO));
        Self {
            checks,
            need,
            gate,
            leaves,
            said: Vec::new(),
            children,
            watcher,
            inotify,
            start: Instant::now(),
            drawn: None,
            end,
            tells,
        }
    }

    /// Waits for the answer, or for a signal that ends podgate. Afterwards no command of a check is left.
    pub(crate) fn run(&mut self, signals: &Signals, report: &mut Report) -> Answer {
        let _watchdog = self.watchdog(signals, report);
        let verdict = self.wait(signals, report);
        self.leave(report);
        // What is told of a time limit is the limit, not how soon the machine came to it.
        let waited = self.waited();
        let limit = self.end.filter(|_| verdict == Ok(Verdict::TimedOut));
        Answer {
            verdict,
            waited: limit.unwrap_or(waited),
        }
    }

    /// Ends what is under way.
    pub(crate) fn leave(&mut self, report: &mut Report) {
        self.said
            .extend(self.leaves.drain(..).map(|entry| entry.leaf.said()));
        self.children.borrow_mut().clear();
        report.clear_live();
    }

    /// How long it has waited.
    pub(crate) fn waited(&self) -> Duration {
        self.gate.waited(self.now())
    }

    /// Watches over checks that may hang in the kernel.
    pub(crate) fn watchdog(&self, signals: &Signals, report: &Report) -> Option<Watchdog> {
        let names: Vec<String> = self
            .checks
            .iter()
            .filter(|check| check.kind.goes_by_path())
            .map(|check| check.name.clone())
            .collect();
        if names.is_empty() {
            return None;
        }
        let end = self.end.and_then(|end| self.start.checked_add(end));
        // A probe has a second for all of it.
        let is_probe = self.tells == Tells::Nothing;
        let (late, chance) = if is_probe {
            (Exit::NotPassed, SHORT_PATIENCE)
        } else {
            (Exit::TimedOut, PATIENCE)
        };
        let (mut report, start, which) = (report.twin(), self.start, signals.which());
        Some(Watchdog::start(signals, end, chance, move |signal| {
            let (what, exit) = match signal {
                Some(number) => (
                    format!("stopped by {}", signal::name(number)),
                    Exit::Signal(number),
                ),
                None => ("gave up".to_owned(), late),
            };
            let text = format!(
                "{what} after {}: the kernel does not come back from one of {names:?}; see whether the server of its file system is gone",
                show(start.elapsed())
            );
            report.failure(&Message::new(Severity::Error, LogEvent::Hangs, text));
            // `run` reports 128 + n.
            if let (Exit::Signal(number), Which::Ending) = (exit, which) {
                process::end_by_signal(number);
            }
            std::process::exit(exit.code().into());
        }))
    }

    fn wait(&mut self, signals: &Signals, report: &mut Report) -> Result<Verdict, nix::Error> {
        let mut verdict = self.handle([Event::Tick], report);
        while verdict.is_none() {
            let mut poller = Poller::new();
            // `None` stands for the signals.
            poller.add(Interest::readable(signals.as_fd()), None);
            self.interests(&mut poller, Some);
            let ready = poller.wait(self.deadline(report))?;
            let has_signal = ready.contains(&None);
            let ready: Vec<Token> = ready.into_iter().flatten().collect();
            let mut child_ended = false;
            while let Some(arrived) = has_signal.then(|| signals.next()).flatten() {
                match arrived {
                    Arrived::Ending(number) => return Ok(self.stop(number)),
                    Arrived::Child => child_ended = true,
                    Arrived::Other(_) => {}
                }
            }
            if child_ended {
                self.children.borrow_mut().reap();
            }
            verdict = self.proceed(&ready, child_ended, report);
        }
        verdict.ok_or(nix::Error::EINVAL)
    }

    /// A signal asks podgate to end.
    pub(crate) fn stop(&mut self, number: u8) -> Verdict {
        let _ = self.gate.handle(self.now(), Event::Signal(number));
        Verdict::Stopped(number)
    }

    /// Begins: a gate with nothing to wait for has its answer at once.
    pub(crate) fn begin(&mut self, report: &mut Report) -> Option<Verdict> {
        self.handle([Event::Tick], report)
    }

    fn handle(
        &mut self,
        events: impl IntoIterator<Item = Event>,
        report: &mut Report,
    ) -> Option<Verdict> {
        let mut events: VecDeque<Event> = events.into_iter().collect();
        while let Some(event) = events.pop_front() {
            for action in self.gate.handle(self.now(), event) {
                match action {
                    Action::Attempt { check, until } => events.extend(self.attempt(check, until)),
                    Action::Cancel { check } => events.extend(self.cancel(check)),
                    Action::Notice(notice) => {
                        self.tell(&notice, report);
                        if let Notice::Passed { check } = notice
                            && let Some(entry) = self.leaves.get_mut(check)
                        {
                            entry.leaf.rest();
                        }
                    }
                    Action::Finish(verdict) => return Some(verdict),
                }
            }
        }
        None
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
        Some(Event::Cancelled {
            check,
            phase,
            said: entry.leaf.said(),
        })
    }

    /// Registers the descriptors that the gate waits for. `token` makes the caller's tokens of
    /// the gate's.
    pub(crate) fn interests<'b, T: Copy>(
        &'b self,
        poller: &mut Poller<'b, T>,
        token: impl Fn(Token) -> T,
    ) {
        if let Some(inotify) = &self.inotify {
            poller.add(Interest::readable(inotify.as_fd()), token(Token::Watcher));
        }
        for (index, entry) in self.leaves.iter().enumerate() {
            if entry.runs
                && let Some(interest) = entry.leaf.interest()
            {
                poller.add(interest, token(Token::Probe(index)));
            }
        }
    }

    /// When it wants to go on at the latest.
    pub(crate) fn deadline(&self, report: &Report) -> Option<Instant> {
        let gate = self
            .gate
            .deadline()
            .and_then(|at| self.start.checked_add(at.since_start()));
        let leaves = self
            .leaves
            .iter()
            .filter(|entry| entry.runs)
            .filter_map(|entry| entry.leaf.wake_at());
        let redraw = if self.draws(report) {
            Instant::now().checked_add(REDRAW)
        } else {
            None
        };
        gate.into_iter().chain(leaves).chain(redraw).min()
    }

    /// Continues with what is ready, and with what is due.
    pub(crate) fn proceed(
        &mut self,
        ready: &[Token],
        child_ended: bool,
        report: &mut Report,
    ) -> Option<Verdict> {
        let has_change = ready.contains(&Token::Watcher);
        let mut events = Vec::new();
        if let Some(watcher) = self.watcher.as_ref().filter(|_| has_change) {
            events.extend(
                watcher
                    .borrow_mut()
                    .woken()
                    .into_iter()
                    .map(|check| Event::Woken { check }),
            );
        }
        let now = Instant::now();
        for (index, entry) in self
            .leaves
            .iter_mut()
            .enumerate()
            .filter(|(_, entry)| entry.runs)
        {
            let is_ready = ready.contains(&Token::Probe(index));
            let due = entry.leaf.wake_at().is_some_and(|at| at <= now)
                || (child_ended && entry.leaf.waits_for_child());
            if due || is_ready {
                let step = entry.leaf.proceed();
                events.extend(entry.ended(index, step));
            }
        }
        self.draw(report);
        events.push(Event::Tick);
        self.handle(events, report)
    }

    fn now(&self) -> Time {
        Time::at(self.start.elapsed())
    }

    /// What is known of each check that has not passed.
    fn open(&self) -> impl Iterator<Item = (&'a Check, &Progress)> {
        self.checks
            .iter()
            .zip(self.gate.progress())
            .filter(|(_, progress)| !progress.has_passed())
    }

    /// What is to be told of a member's check that has passed: `gone:` of a name that nobody has seen.
    fn said(&self, index: usize, check: &Check) -> String {
        let said = self
            .leaves
            .get(index)
            .map(|entry| entry.leaf.said())
            .or_else(|| self.said.get(index).cloned());
        let said = said.unwrap_or_default();
        if said.is_empty() || check.kind.member().is_none() {
            String::new()
        } else {
            format!(": {said}")
        }
    }

    fn tell(&mut self, notice: &Notice, report: &mut Report) {
        let is_beat = *notice == Notice::Heartbeat;
        if self.tells == Tells::Nothing || (is_beat && self.tells == Tells::Changes) {
            return;
        }
        let waited = self.gate.waited(self.now());
        let of = |check: &usize| {
            self.checks
                .get(*check)
                .zip(self.gate.progress().get(*check))
        };
        let line = match notice {
            Notice::Passed { check: index } => of(index).map(|(check, progress)| {
                let (tries, said) = (attempts(progress.attempts), self.said(*index, check));
                let text = format!(
                    "{:?} passed after {} ({tries}){said}",
                    check.name,
                    show(waited)
                );
                about(
                    Message::new(Severity::Info, LogEvent::Passed, text),
                    check,
                    progress,
                    waited,
                )
            }),
            Notice::Waiting { check } => of(check).map(|(check, progress)| {
                let text = format!("waiting: {:?} {}", check.name, why(progress));
                about(
                    Message::new(Severity::Info, LogEvent::Waiting, text),
                    check,
                    progress,
                    waited,
                )
            }),
            Notice::Heartbeat => Some(self.heartbeat(waited)),
        };
        // The live line tells the same, more often.
        if let Some(line) = line.filter(|_| !is_beat || !report.is_live()) {
            report.line(&line);
        }
    }

    fn heartbeat(&self, waited: Duration) -> Message {
        let attempts: u128 = self
            .open()
            .map(|(_, progress)| u128::from(progress.attempts))
            .sum();
        let text = format!("still waiting after {}: {}", show(waited), self.summary());
        Message::new(Severity::Info, LogEvent::Heartbeat, text)
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
                text.push_str(&format!(
                    "{comma}{:?} {} ({})",
                    check.name,
                    why(progress),
                    attempts(progress.attempts)
                ));
            }
        }
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        text
    }

    /// Is there a live line to draw?
    fn draws(&self, report: &Report) -> bool {
        self.tells == Tells::All && report.is_live()
    }

    fn draw(&mut self, report: &mut Report) {
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW);
        if is_due && self.draws(report) {
            self.drawn = Some(Instant::now());
            let waited = self.gate.waited(self.now());
            let passed = self
                .gate
                .progress()
                .iter()
                .filter(|progress| progress.has_passed())
                .count();
            let of = if self.checks.len() > 1 {
                format!(" [{passed}/{} passed]", self.checks.len())
            } else {
                String::new()
            };
            let seconds = waited.as_secs();
            let tenths = waited.subsec_millis() / 100;
            report.live(&format!(
                "podgate: {seconds}.{tenths}s{of} waiting: {}",
                self.summary()
            ));
        }
    }

    /// The last line of a wait that did not open the gate: what, how long, why, and what to do.
    pub(crate) fn failure(&self, verdict: Verdict, waited: Duration, limit: &str) -> Message {
        let now = self.now();
        let failed = match verdict {
            Verdict::Failed(index) if self.need == Need::All => {
                self.checks.get(index).zip(self.gate.progress().get(index))
            }
            Verdict::Opened | Verdict::TimedOut | Verdict::Failed(_) | Verdict::Stopped(_) => None,
        };
        let first = failed.or_else(|| self.open().next());
        let remedy = first.map_or("see its log".into(), |(check, progress)| {
            remedy(check, progress)
        });
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
                    (Some((check, progress)), 1) => {
                        format!("{:?} {} ({})", check.name, why(progress), last(progress))
                    }
                    (_, _) if self.need == Need::Any => {
                        format!("none of {open} checks passed: {}", self.summary())
                    }
                    (_, _) => format!(
                        "{open} of {} checks did not pass: {}",
                        self.checks.len(),
                        self.summary()
                    ),
                };
                let longer = if verdict == Verdict::TimedOut {
                    format!("raise {limit}, or ")
                } else {
                    String::new()
                };
                format!("gave up after {}: {what}; {longer}{remedy}", show(waited))
            }
        };
        let line = Message::new(Severity::Error, LogEvent::GaveUp, text)
            .with("waited_ms", Field::Number(waited.as_millis()));
        match first {
            Some((check, progress)) => about_check(line, check, progress),
            None => line,
        }
    }

    /// For a probe: how each check ended.
    pub(crate) fn ends(&self, waited: Duration) -> Vec<Message> {
        let one = |(index, (check, progress)): (usize, (&Check, &Progress))| {
            let waited = progress
                .ended
                .map_or(waited, |ended| self.gate.waited(ended));
            let line = if progress.has_passed() {
                Message::new(
                    Severity::Info,
                    LogEvent::Passed,
                    format!(
                        "{:?} passed in {}{}",
                        check.name,
                        show(waited),
                        self.said(index, check)
                    ),
                )
            } else if self.need == Need::Any
                && self.gate.progress().iter().any(Progress::has_passed)
            {
                Message::new(
                    Severity::Info,
                    LogEvent::NotPassed,
                    format!("{:?} {}", check.name, why(progress)),
                )
            } else {
                let text = format!(
                    "{:?} {}; {}",
                    check.name,
                    why(progress),
                    remedy(check, progress)
                );
                Message::new(Severity::Error, LogEvent::NotPassed, text)
            };
            about(line, check, progress, waited)
        };
        self.checks
            .iter()
            .zip(self.gate.progress())
            .enumerate()
            .map(one)
            .collect()
    }

    /// What was waited for when a signal came.
    pub(crate) fn waited_for(&self) -> String {
        self.summary()
    }
}

impl Entry {
    fn ended(&mut self, check: usize, step: Step) -> Option<Event> {
        match step {
            Step::Wait => None,
            Step::Done(outcome) => {
                self.runs = false;
                Some(Event::Ended {
                    check,
                    outcome,
                    wake: self.leaf.wake(),
                })
            }
        }
    }
}

fn about(line: Message, check: &Check, progress: &Progress, waited: Duration) -> Message {
    about_check(line, check, progress).with("waited_ms", Field::Number(waited.as_millis()))
}

fn about_check(line: Message, check: &Check, progress: &Progress) -> Message {
    let line = line.with("check", Field::Text(check.name.clone()));
    let line = match &progress.last {
        Some((reason, _)) if !progress.has_passed() => {
            line.with("reason", Field::Text(reason.to_string()))
        }
        Some(_) | None => line,
    };
    line.with("attempts", Field::Number(u128::from(progress.attempts)))
}

/// Why a check does not pass, as far as is known.
fn why(progress: &Progress) -> String {
    match &progress.last {
        _ if progress.passes_in_a_row() > 0 => {
            format!(
                "passed {} in a row, not enough yet",
                progress.passes_in_a_row()
            )
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
    if count == 1 {
        "1 attempt".to_owned()
    } else {
        format!("{count} attempts")
    }
}
