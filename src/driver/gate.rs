//! Drives a gate: makes events for `core::gate` of what happens, and carries out its actions. The
//! clock is read here.

use super::watchdog::watch_over;
use crate::core::check::{Check, Kind};
use crate::core::exit::Exit;
use crate::core::gate::{Action, Event, Gate, GaveUp, Need, Notice, Spec, Verdict};
use crate::core::outcome::MemberState;
use crate::core::schedule::Pace;
use crate::core::time::Time;
use crate::event_loop::{Interest, Poller};
use crate::members::Volume;
use crate::message::gate::View;
use crate::message::{self, Message};
use crate::probe::file::Watcher;
use crate::probe::http::Ask;
use crate::probe::{self, Probe, Resources, Step};
use crate::process::watchdog::Watchdog;
use crate::process::{Arrived, Children, Signals};
use crate::report::Report;
use nix::sys::inotify::Inotify;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long the kernel may count a thread that has ended.
const COUNTED: Duration = Duration::from_millis(50);
/// How often the live line is drawn.
const REDRAW: Duration = Duration::from_millis(200);
/// If a wait has not ended by itself this long after its end, it hangs in the kernel.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for `check`, whose probe has 1 s from the kubelet.
const CHECK_PATIENCE: Duration = Duration::from_millis(100);

/// A gate with its checks. A loop that also waits for other things calls [`Driver::interests`],
/// [`Driver::deadline`] and [`Driver::proceed`]. [`Driver::run`] is a loop for the gate alone.
pub(crate) struct Driver<'a> {
    checks: &'a [Check],
    need: Need,
    gate: Gate,
    /// One for each check. Empty after [`Driver::leave`].
    probes: Vec<CheckProbe>,
    /// The results of [`Probe::member_state`] when the probes were dropped.
    unseen: Vec<Option<MemberState>>,
    children: Rc<RefCell<Children>>,
    watcher: Option<Rc<RefCell<Watcher>>>,
    /// The watcher's inotify instance, for a poller.
    inotify: Option<Arc<Inotify>>,
    start: Instant,
    watchdog: Option<Watchdog>,
    /// A last attempt after the end of the wait is under way, so the watchdog gives it more time.
    is_last_attempt: Arc<AtomicBool>,
    drawn: Option<Instant>,
    /// The time limit from the start, if there is one.
    limit: Option<Duration>,
    attempt_timeout: Duration,
    /// An attempt of an HTTP check reads the file of a token.
    reads_token: bool,
    /// An attempt over TLS may read the files of a client certificate.
    reads_certificate: bool,
    verbosity: Verbosity,
}

/// What a gate reports while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Every change, and heartbeats.
    All,
    /// Every change. The caller has its own heartbeats.
    Changes,
    /// Nothing: `check` prints how each check ended.
    Nothing,
}

/// What a gate shares with its caller.
pub(crate) struct Shared {
    /// The one reaper.
    pub(crate) children: Rc<RefCell<Children>>,
    /// The members' directory, if there is one.
    pub(crate) volume: Option<Rc<Volume>>,
}

impl Shared {
    /// With a new reaper.
    pub(crate) fn new(signals: &Signals, volume: Option<Rc<Volume>>) -> Self {
        Self {
            children: Rc::new(RefCell::new(Children::new(signals.original()))),
            volume,
        }
    }
}

/// The part of the gate whose descriptor is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// The inotify instance of the gate.
    Watcher,
    /// The attempt of the check with this index.
    Probe(usize),
}

struct CheckProbe {
    probe: Box<dyn Probe>,
    /// An attempt is under way.
    is_running: bool,
}

/// The answer of a gate that was run to its end.
pub(crate) struct Answer {
    /// An error if ppoll(2) failed.
    pub(crate) verdict: Result<Verdict, nix::Error>,
    /// How long the gate has waited. After a timeout, the time limit.
    pub(crate) waited: Duration,
}

impl<'a> Driver<'a> {
    /// A gate that begins to wait now.
    pub(crate) fn new(
        checks: &'a [Check],
        spec: Spec,
        ask: &Ask,
        verbosity: Verbosity,
        shared: &Shared,
        report: &mut Report,
    ) -> Self {
        for check in checks {
            if let Some(word) = check.shell_word {
                report.line(&message::gate::no_shell(&check.name, word));
            }
        }
        let watcher = watcher(checks, &spec, shared.volume.as_deref());
        let inotify = watcher.as_ref().map(|watcher| watcher.borrow().inotify());
        let resources = Resources {
            children: Rc::clone(&shared.children),
            watcher: watcher.clone(),
            ask: ask.clone(),
            volume: shared.volume.clone(),
        };
        let check_probe = |(index, check)| CheckProbe {
            probe: probe::of(check, index, &resources),
            is_running: false,
        };
        let probes = checks.iter().enumerate().map(check_probe).collect();
        // `check` makes one attempt of each check.
        let limit = if verbosity == Verbosity::Nothing {
            Some(spec.attempt_timeout)
        } else {
            spec.timeout
        };
        let attempt_timeout = spec.attempt_timeout;
        let (need, gate) = (spec.need, Gate::new(spec, Time::ZERO));
        Self {
            checks,
            need,
            gate,
            probes,
            unseen: Vec::new(),
            children: Rc::clone(&shared.children),
            watcher,
            inotify,
            start: Instant::now(),
            watchdog: None,
            is_last_attempt: Arc::default(),
            drawn: None,
            limit,
            attempt_timeout,
            reads_token: ask.request.bearer.is_some(),
            reads_certificate: ask.trust.reads_files(),
            verbosity,
        }
    }

    /// Waits for the answer, or for a signal that ends podgate. When this returns, no command of a
    /// check is running. The caller then ends, or becomes CMD.
    pub(crate) fn run(&mut self, signals: &Signals, report: &mut Report) -> Answer {
        self.watch(signals, report);
        let verdict = self.wait(signals, report);
        self.leave(report);
        // The inotify instance is closed as late as possible: when podgate ends or becomes CMD.
        if let Some(watcher) = &self.watcher {
            watcher.borrow().settle();
        }
        std::mem::forget(self.inotify.take());
        // After a timeout, messages name the limit and not how soon the machine came to it.
        let limit = self
            .limit
            .filter(|_| verdict == Ok(Verdict::GaveUp(GaveUp::TimedOut)));
        Answer {
            verdict,
            waited: limit.unwrap_or_else(|| self.waited()),
        }
    }

    /// Ends the attempts that are under way.
    pub(crate) fn leave(&mut self, report: &mut Report) {
        if let Some(watcher) = &self.watcher {
            watcher.borrow_mut().clear();
        }
        self.watchdog = None;
        self.unseen
            .extend(self.probes.drain(..).map(|it| it.probe.member_state()));
        self.children.borrow_mut().clear();
        report.clear_live();
    }

    /// How long it has waited.
    pub(crate) fn waited(&self) -> Duration {
        self.gate.waited(self.now())
    }

    /// Starts a watchdog if a check may hang in the kernel. It watches until [`Driver::leave`].
    pub(crate) fn watch(&mut self, signals: &Signals, report: &Report) {
        let reads_file = |it: &&Check| {
            it.kind.goes_by_path()
                || (self.reads_token && it.url().is_some())
                || (self.reads_certificate && it.may_use_tls())
        };
        let hanging = self.checks.iter().filter(reads_file);
        let names: Vec<String> = hanging.map(|check| check.name.clone()).collect();
        if names.is_empty() {
            return;
        }
        let end = self.limit.and_then(|limit| self.start.checked_add(limit));
        // The kubelet gives a probe 1 s for everything.
        let (late, patience) = if self.verbosity == Verbosity::Nothing {
            (Exit::NotPassed, CHECK_PATIENCE)
        } else {
            (Exit::TimedOut, PATIENCE)
        };
        let start = self.start;
        let mut report = report.twin();
        let is_last = Arc::clone(&self.is_last_attempt);
        let attempt = self.attempt_timeout;
        let more = move || {
            if is_last.load(Ordering::SeqCst) {
                attempt
            } else {
                Duration::ZERO
            }
        };
        self.watchdog = Some(watch_over(signals, end, patience, more, move |signal| {
            report.failure(&message::gate::hangs(&names, signal, start.elapsed()));
            signal.map_or(late, Exit::Signal)
        }));
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
                    Arrived::Ending(signal) => return Ok(self.stop(signal.number)),
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

    /// Begins the wait. A gate without checks has its answer at once.
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
                    Action::Attempt { check, until } => {
                        let is_last = self.gate.is_closing();
                        self.is_last_attempt.store(is_last, Ordering::SeqCst);
                        events.extend(self.attempt(check, until));
                    }
                    Action::Cancel { check } => events.extend(self.cancel(check)),
                    Action::Notice(notice) => {
                        self.report_notice(&notice, report);
                        if let Notice::Passed { check } = notice
                            && let Some(passed) = self.probes.get_mut(check)
                        {
                            passed.probe.release();
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
        let it = self.probes.get_mut(check)?;
        it.is_running = true;
        let mut step = it.probe.start(until);
        // Where one more task is allowed, the command of a check needs it more than the watchdog.
        if step.lacks_a_process()
            && let Some(watchdog) = self.watchdog.take_if(|it| it.is_watching())
        {
            watchdog.leave();
            // The kernel counts a thread until a moment after its end.
            let patience = Instant::now();
            while step.lacks_a_process() && patience.elapsed() < COUNTED {
                thread::sleep(Duration::from_millis(1));
                step = it.probe.start(until);
            }
        }
        it.event(check, step)
    }

    fn cancel(&mut self, check: usize) -> Option<Event> {
        let it = self.probes.get_mut(check)?;
        it.is_running = false;
        let phase = it.probe.cancel();
        Some(Event::Cancelled {
            check,
            phase,
            said: it.probe.output(),
        })
    }

    /// Registers the descriptors that the gate waits for. `token` turns the gate's tokens into the
    /// caller's.
    pub(crate) fn interests<'b, T: Copy>(
        &'b self,
        poller: &mut Poller<'b, T>,
        token: impl Fn(Token) -> T,
    ) {
        if let Some(inotify) = &self.inotify {
            poller.add(Interest::readable(inotify.as_fd()), token(Token::Watcher));
        }
        for (index, it) in self.probes.iter().enumerate() {
            if it.is_running
                && let Some(interest) = it.probe.interest()
            {
                poller.add(interest, token(Token::Probe(index)));
            }
        }
    }

    /// When to call [`Driver::proceed`] at the latest.
    pub(crate) fn deadline(&self, report: &Report) -> Option<Instant> {
        let gate = self
            .gate
            .deadline()
            .and_then(|at| self.start.checked_add(at.since_start()));
        let attempts = self.probes.iter().filter(|it| it.is_running);
        let attempts = attempts.filter_map(|it| it.probe.wake_at());
        let redraw = if self.draws(report) {
            Instant::now().checked_add(REDRAW)
        } else {
            None
        };
        gate.into_iter().chain(attempts).chain(redraw).min()
    }

    /// CMD has reported that it is ready. The next [`Driver::proceed`] takes that into account.
    pub(crate) fn notified(&mut self) {
        for (index, (check, it)) in self.checks.iter().zip(&mut self.probes).enumerate() {
            if check.kind == Kind::Notify {
                it.probe.notified();
                let woken = Event::Woken { check: index };
                let _ = self.gate.handle(Time::at(self.start.elapsed()), woken);
            }
        }
    }

    /// Continues with the descriptors that are ready, and with the attempts that are due.
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
        for (index, it) in self.probes.iter_mut().enumerate() {
            let is_due = || {
                ready.contains(&Token::Probe(index))
                    || it.probe.wake_at().is_some_and(|at| at <= now)
                    || (child_ended && it.probe.waits_for_child())
            };
            if it.is_running && is_due() {
                let step = it.probe.proceed();
                events.extend(it.event(index, step));
            }
        }
        self.draw(report);
        events.push(Event::Tick);
        self.handle(events, report)
    }

    fn now(&self) -> Time {
        Time::at(self.start.elapsed())
    }

    /// The checks that have not passed, and why.
    pub(crate) fn waited_for(&self) -> String {
        message::gate::summary(&self.view(self.waited()))
    }

    /// The state of the gate, for messages. `waited` is the time until now, or until the end.
    fn view(&self, waited: Duration) -> View<'_> {
        View {
            checks: self.checks,
            progress: self.gate.progress(),
            need: self.need,
            waited,
        }
    }

    /// The state of the member of a check that has passed although the member was never seen.
    fn unseen(&self, index: usize) -> Option<MemberState> {
        match self.probes.get(index) {
            Some(it) => it.probe.member_state(),
            None => self.unseen.get(index).cloned().flatten(),
        }
    }

    fn report_notice(&mut self, notice: &Notice, report: &mut Report) {
        let is_beat = *notice == Notice::Heartbeat;
        let is_silent = match self.verbosity {
            Verbosity::All => false,
            Verbosity::Changes => is_beat,
            Verbosity::Nothing => true,
        };
        // The live line shows the same, and more often.
        if is_silent || (is_beat && report.is_live()) {
            return;
        }
        let view = self.view(self.waited());
        let message = match *notice {
            Notice::Passed { check } => {
                message::gate::passed(&view, check, self.unseen(check).as_ref())
            }
            Notice::Waiting { check } => message::gate::waiting(&view, check),
            Notice::Heartbeat => Some(message::gate::still_waiting(&view)),
        };
        if let Some(message) = message {
            report.line(&message);
        }
    }

    /// Whether a live line is to be drawn.
    fn draws(&self, report: &Report) -> bool {
        self.verbosity == Verbosity::All && report.is_live()
    }

    fn draw(&mut self, report: &mut Report) {
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW);
        if is_due && self.draws(report) {
            self.drawn = Some(Instant::now());
            report.live(&message::gate::live(&self.view(self.waited())));
        }
    }

    /// Why the gate did not open. `limit` is the option that sets its time limit.
    pub(crate) fn failure(&self, reason: GaveUp, waited: Duration, limit: &str) -> Message {
        message::gate::gave_up(&self.view(waited), reason, self.now(), limit)
    }

    /// How each check ended, for `check`.
    pub(crate) fn ends(&self, waited: Duration) -> Vec<Message> {
        let view = self.view(waited);
        let checks = view.checks.iter().zip(view.progress).enumerate();
        checks
            .map(|(index, (check, progress))| {
                let waited = progress
                    .ended
                    .map_or(waited, |ended| self.gate.waited(ended));
                let unseen = self.unseen(index);
                message::check::ended(&view, check, progress, waited, unseen.as_ref())
            })
            .collect()
    }
}

/// Watches the files and the members of these checks, if inotify is of use for them.
fn watcher(checks: &[Check], spec: &Spec, volume: Option<&Volume>) -> Option<Rc<RefCell<Watcher>>> {
    // With a fixed interval, changes do not matter. Without an instance (EMFILE), files are
    // looked up on the schedule.
    let is_watched =
        spec.pace == Pace::Proportional && checks.iter().any(|check| check.kind.is_watched());
    let watcher = is_watched
        .then(Watcher::new)
        .and_then(Result::ok)
        .map(|watcher| Rc::new(RefCell::new(watcher)));
    if let (Some(watcher), Some(volume)) = (&watcher, volume) {
        let members = checks
            .iter()
            .enumerate()
            .filter_map(|(index, check)| Some((index, check.kind.member()?.1)));
        watcher.borrow_mut().watch_members(volume.path(), members);
    }
    watcher
}

impl CheckProbe {
    fn event(&mut self, check: usize, step: Step) -> Option<Event> {
        match step {
            Step::Wait => None,
            Step::Done(outcome) => {
                self.is_running = false;
                Some(Event::Ended {
                    check,
                    outcome,
                    wake: self.probe.wake(),
                })
            }
        }
    }
}
