//! Drives one life: turns what happens into events for `core::life`, and does what it says. The
//! clock is read here.
//!
//! The life meets signals and children, the volume, the two gates and the quit endpoint.

use crate::core::check::Check;
use crate::core::duration::show;
use crate::core::endpoint::State;
use crate::core::exit::Exit;
use crate::core::gate::{Spec as GateSpec, Verdict};
use crate::core::life::{Action, Cause, Event, Life, Notice, Seen, Spec};
use crate::core::member::{Name, Stage};
use crate::core::observation::{End, Observation, Snapshot, observe};
use crate::core::signal::{self, Mapping};
use crate::core::time::Time;
use crate::driver::gate::{self, Around, Driver, Tells};
use crate::driver::status;
use crate::event_loop::{Interest, Poller};
use crate::members::watch::{CLOSING, Change, FAST, SLOW, Watch};
use crate::members::{Membership, Volume};
use crate::message::{self, Field, LogEvent, Message, Severity};
use crate::probe::http::Ask;
use crate::process::exec::exec_error;
use crate::process::watchdog::Watchdog;
use crate::process::{self, Arrived, Reach, Signals};
use crate::quit_endpoint::Endpoint;
use crate::report::Report;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How soon a lock that was just closed is looked at again; doubled each time.
const AGAIN: Duration = Duration::from_millis(1);
/// How long PID 1, told to stop, may have no child but a joined process before that leaves it.
const LONELY: Duration = Duration::from_secs(1);
/// How many names a line lists.
const NAMED: usize = 8;

/// What CMD is.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    /// A child.
    Child(&'a [OsString]),
    /// PID 1 of this container, which podgate joined.
    Init,
}

/// The settings of a life that only its driver needs, and the machine's.
pub(crate) struct Settings<'a> {
    pub(crate) spec: &'a Spec,
    /// The names of the members in `spec.relations`.
    pub(crate) members: &'a [Name],
    /// The gate before CMD is started.
    pub(crate) after: Gate<'a>,
    /// Whether CMD is started although the gate did not open.
    pub(crate) continues_on_timeout: bool,
    /// The gate before `ready` is published.
    pub(crate) ready: Gate<'a>,
    pub(crate) ask: &'a Ask,
    pub(crate) stop_signal: u8,
    pub(crate) mappings: &'a [Mapping],
    /// Which processes get a forwarded signal.
    pub(crate) reach: Reach,
    /// The exit codes of CMD that count as 0.
    pub(crate) ok_exits: &'a [u8],
}

/// The settings of one gate of a life.
#[derive(Clone, Copy)]
pub(crate) struct Gate<'a> {
    pub(crate) checks: &'a [Check],
    pub(crate) spec: &'a GateSpec,
}

/// Lives as the parent of `cmd`: its exit code, and the membership, whose lock is to be kept to the last.
pub(crate) fn live(
    settings: &Settings<'_>,
    listen: Option<SocketAddr>,
    cmd: &[OsString],
    around: &Around,
    own: Option<Membership>,
    report: &mut Report,
    signals: &Signals,
) -> (u8, Option<Membership>) {
    let endpoint = listen.map(|address| (address, Endpoint::bind(address)));
    let mut runner = Runner::new(settings, around, own, Body::Child(cmd), report, signals);
    match endpoint {
        None => {}
        Some((_, Ok(endpoint))) => runner.endpoint = Some(endpoint),
        Some((address, Err(error))) => {
            let text = format!(
                "cannot listen on --listen {address}: {error}; name another port, or see who has it"
            );
            runner
                .report
                .failure(&Message::new(Severity::Error, LogEvent::Listen, text));
            return (runner.publish_end(Exit::Internal.code()), runner.own);
        }
    }
    let code = runner.live().unwrap_or_else(|error| {
        let text = format!("cannot wait for events: {error}; the command is killed");
        runner
            .report
            .failure(&Message::new(Severity::Error, LogEvent::Failed, text));
        around.children.borrow_mut().kill_main(settings.reach);
        runner.publish_end(Exit::Internal.code())
    });
    (code, runner.own)
}

/// Whose descriptor is ready.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Signals,
    /// The watch on the volume.
    Volume,
    AfterGate(gate::Token),
    ReadyGate(gate::Token),
    /// The quit endpoint or one of its connections.
    Endpoint,
}

/// One life, and what it holds.
pub(crate) struct Runner<'a> {
    settings: &'a Settings<'a>,
    life: Life,
    body: Body<'a>,
    around: &'a Around,
    own: Option<Membership>,
    watch: Option<Watch>,
    after: Option<Driver<'a>>,
    watchdog: Option<Watchdog>,
    ready: Option<Driver<'a>>,
    ready_verdict: Option<Verdict>,
    endpoint: Option<Endpoint>,
    report: &'a mut Report,
    signals: &'a Signals,
    start: Instant,
    poll: Option<Instant>,
    /// When to look again at a lock that was just closed, and how long after that.
    again: Option<(Instant, Duration)>,
    /// What was complained of: a record that cannot be used is told once.
    complaints: Vec<String>,
    is_started: bool,
    /// When to look whether PID 1, which was told to stop, waits for nobody but us, and since when it seems so.
    lonely: Option<(Instant, Option<Instant>)>,
    /// Has a child ended, and nobody has reaped it yet?
    child_ended: bool,
    /// How often it was told to stop since CMD was started.
    stops: usize,
    /// What came before CMD, and is for it.
    early: Vec<u8>,
    end: Option<u8>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(
        settings: &'a Settings<'a>,
        around: &'a Around,
        own: Option<Membership>,
        body: Body<'a>,
        report: &'a mut Report,
        signals: &'a Signals,
    ) -> Self {
        let mut spec = settings.spec.clone();
        if let Some(own) = &own {
            spec.acted = own.acted().to_vec();
        }
        // First watch, then look, then wait.
        let watches = own.is_some() || !settings.members.is_empty();
        let watch = around
            .volume
            .as_ref()
            .filter(|_| watches)
            .and_then(|volume| Watch::new(volume.path()).ok());
        Self {
            settings,
            life: Life::new(spec, Time::ZERO),
            body,
            around,
            own,
            watch,
            after: None,
            watchdog: None,
            ready: None,
            ready_verdict: None,
            endpoint: None,
            report,
            signals,
            start: Instant::now(),
            poll: None,
            again: None,
            complaints: Vec::new(),
            is_started: false,
            lonely: None,
            child_ended: false,
            stops: 0,
            early: Vec::new(),
            end: None,
        }
    }

    /// Lives to the end: the exit code.
    ///
    /// # Errors
    /// The kernel would not let us wait: ENOMEM.
    pub(crate) fn live(&mut self) -> Result<u8, nix::Error> {
        self.look(|_| true);
        self.plan_poll();
        // One that ends, and came before CMD was started, is for nobody else.
        if self.end.is_none() {
            self.drain_signals();
        }
        if self.end.is_none() {
            self.begin();
        }
        // Who saw the record before this one watched has told nobody.
        if self.end.is_none() && self.own.as_ref().is_some_and(Membership::is_asked_to_quit) {
            self.event(Event::Quit);
        }
        loop {
            if let Some(code) = self.end {
                let drivers = [self.after.take(), self.ready.take()];
                drivers
                    .into_iter()
                    .flatten()
                    .for_each(|mut driver| driver.leave(self.report));
                return Ok(code);
            }
            self.turn()?;
        }
    }

    fn now(&self) -> Time {
        Time::at(self.start.elapsed())
    }

    /// The gate before CMD.
    fn begin(&mut self) {
        if self.settings.after.checks.is_empty() {
            self.event(Event::Opened);
            return;
        }
        let spec = self.settings.after.spec.clone();
        let mut driver = Driver::new(
            self.settings.after.checks,
            spec,
            self.settings.ask,
            Tells::All,
            self.around,
            self.report,
        );
        // Once CMD runs, nobody ends it for the sake of a check that hangs: then the kubelet's grace period is left.
        let watchdog = driver.watchdog(self.signals, self.report);
        let verdict = driver.begin(self.report);
        self.after = Some(driver);
        self.watchdog = watchdog;
        self.gate_answered(verdict);
    }

    fn gate_answered(&mut self, verdict: Option<Verdict>) {
        let Some(verdict) = verdict else { return };
        let Some(mut driver) = self.after.take() else {
            return;
        };
        self.watchdog = None;
        let exit = match verdict {
            Verdict::Opened => Exit::Passed,
            Verdict::TimedOut => Exit::TimedOut,
            Verdict::Failed(_) => Exit::NotPassed,
            Verdict::Stopped(number) => Exit::Signal(number),
        };
        if let Verdict::Stopped(number) = verdict {
            let text = format!(
                "stopped by {} after {}: {}; the command was not started",
                signal::name(number),
                show(driver.waited()),
                driver.waited_for()
            );
            self.report
                .line(&Message::new(Severity::Warning, LogEvent::Stopped, text));
        }
        let opens = match verdict {
            Verdict::Opened => true,
            Verdict::Stopped(_) => false,
            Verdict::TimedOut | Verdict::Failed(_) => {
                let limit = self
                    .settings
                    .after
                    .spec
                    .timeout
                    .filter(|_| verdict == Verdict::TimedOut);
                let mut line = driver.failure(
                    verdict,
                    limit.unwrap_or_else(|| driver.waited()),
                    "--after-timeout",
                );
                if self.settings.continues_on_timeout {
                    line.severity = Severity::Warning;
                    line.text
                        .push_str("; going on all the same, as --on-timeout run says");
                    self.report.line(&line);
                } else {
                    self.report.failure(&line);
                }
                self.settings.continues_on_timeout
            }
        };
        driver.leave(self.report);
        if opens {
            // The gate has looked for itself: what it saw ready may have been absent when this one looked last, and is not lost.
            self.event(Event::Opening);
            self.look(|_| true);
            // One that came while the gate opened: CMD is not started after a signal to end.
            self.drain_signals();
        }
        self.event(if opens {
            Event::Opened
        } else {
            Event::NotOpened(exit.code())
        });
    }

    /// Sleeps until something happens, and takes it in.
    fn turn(&mut self) -> Result<(), nix::Error> {
        let mut poller = Poller::new();
        poller.add(Interest::readable(self.signals.as_fd()), Token::Signals);
        if let Some(watch) = &self.watch {
            poller.add(Interest::readable(watch.as_fd()), Token::Volume);
        }
        if let Some(driver) = &self.after {
            driver.interests(&mut poller, Token::AfterGate);
        }
        if let Some(driver) = &self.ready {
            driver.interests(&mut poller, Token::ReadyGate);
        }
        if let Some(endpoint) = &self.endpoint {
            endpoint.interests(&mut poller, Token::Endpoint);
        }
        let ready = poller.wait(self.wake_at())?;
        let (mut of_after, mut of_ready) = (Vec::new(), Vec::new());
        for token in &ready {
            match token {
                Token::AfterGate(token) => of_after.push(*token),
                Token::ReadyGate(token) => of_ready.push(*token),
                // In the order below, whatever the order of arrival.
                Token::Signals | Token::Volume | Token::Endpoint => {}
            }
        }
        let has_signal = ready.contains(&Token::Signals);
        let has_change = ready.contains(&Token::Volume);

        let mut child_ended = has_signal && self.take_signals();
        if has_change {
            self.changed();
        }
        self.poll();
        child_ended |= std::mem::take(&mut self.child_ended);
        if child_ended {
            self.reap();
        }
        if self.end.is_some() {
            return Ok(());
        }
        if let Some(driver) = &mut self.after {
            let verdict = driver.proceed(&of_after, child_ended, self.report);
            self.gate_answered(verdict);
        }
        if let Some(driver) = &mut self.ready {
            let verdict = self
                .ready_verdict
                .take()
                .or_else(|| driver.proceed(&of_ready, child_ended, self.report));
            self.ready_answered(verdict);
        }
        self.serve();
        self.event(Event::Tick);
        Ok(())
    }

    /// The quit endpoint.
    fn serve(&mut self) {
        let Some(endpoint) = &mut self.endpoint else {
            return;
        };
        let volume = self.around.volume.as_deref();
        let is_ready = self.is_started && self.life.is_ready();
        let status = || match volume {
            Some(volume) => status::json(volume),
            None => {
                let state = match (self.is_started, is_ready) {
                    (false, _) => "waiting",
                    (true, false) => "running",
                    (true, true) => "ready",
                };
                format!("[\n{{\"name\":null,\"state\":\"{state}\",\"alive\":true}}\n]\n")
            }
        };
        if endpoint.proceed(State {
            is_ready,
            status: &status,
        }) {
            self.event(Event::Quit);
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        let life = self
            .life
            .deadline()
            .and_then(|at| self.start.checked_add(at.since_start()));
        let drivers = [&self.after, &self.ready]
            .into_iter()
            .flatten()
            .filter_map(|driver| driver.deadline(self.report));
        let again = self
            .again
            .map(|(at, _)| at)
            .into_iter()
            .chain(self.lonely.map(|(at, _)| at))
            .min();
        let verdict = self.ready_verdict.map(|_| Instant::now());
        let endpoint = self.endpoint.as_ref().and_then(Endpoint::deadline);
        life.into_iter()
            .chain(drivers)
            .chain(endpoint)
            .chain(self.poll)
            .chain(again)
            .chain(verdict)
            .min()
    }

    /// Takes in what has arrived, and whose end that tells.
    fn drain_signals(&mut self) {
        if self.take_signals() {
            self.reap();
        }
    }

    /// Takes in what has arrived; did a child end?
    fn take_signals(&mut self) -> bool {
        let mut child_ended = false;
        while self.end.is_none()
            && let Some(arrived) = self.signals.next()
        {
            match arrived {
                Arrived::Child => child_ended = true,
                Arrived::Ending(number) => self.signalled(number, true),
                Arrived::Other(number) => self.signalled(number, false),
            }
        }
        child_ended
    }

    /// Reaps who has ended: CMD, perhaps.
    fn reap(&mut self) {
        let end = {
            let mut children = self.around.children.borrow_mut();
            children.reap();
            children.take_main_end()
        };
        let Some(end) = end else { return };
        let code = match end {
            process::End::Exited(code) => u8::try_from(code).unwrap_or(u8::MAX),
            process::End::Killed(number) => {
                Exit::Signal(u8::try_from(number).unwrap_or(u8::MAX)).code()
            }
        };
        self.report.line(&Message::new(
            Severity::Debug,
            LogEvent::Ended,
            format!("the command ended with exit code {code}"),
        ));
        let code = if self.settings.ok_exits.contains(&code) {
            0
        } else {
            code
        };
        self.event(Event::Ended(code));
    }

    fn signalled(&mut self, number: u8, ends: bool) {
        let is_stop = number == signal::TERM || number == self.settings.stop_signal;
        if matches!(self.body, Body::Init) {
            // Whatever a broadcast sends (kill -1): who is asked to stop is PID 1.
            return;
        }
        if !self.is_started {
            if is_stop || ends {
                // What nobody is there for ends the wait, as it ends `wait`.
                let verdict = self.after.as_mut().map(|driver| driver.stop(number));
                if is_stop {
                    self.event(Event::Stop(Vec::new()));
                } else {
                    self.event(Event::NotOpened(Exit::Signal(number).code()));
                }
                self.gate_answered(verdict);
            } else if self.settings.after.checks.is_empty() {
                // CMD is about to be started. While a gate waits there is nobody to tell, and what came then is stale when it opens: who
                // presses Ctrl-Z does not want a CMD that is stopped when it starts.
                self.early.push(number);
            }
            return;
        }
        let Some(to) = signal::mapped(self.settings.mappings, number) else {
            let text = format!("{} is dropped, as --map-signal says", signal::name(number));
            self.report
                .line(&Message::new(Severity::Debug, LogEvent::Dropped, text));
            return;
        };
        if is_stop {
            self.stops = self.stops.saturating_add(1);
            // A stop depends on who lives now, not at the last change.
            let seen = self.observe(|_| true);
            self.event(Event::Stop(seen));
        } else {
            self.around
                .children
                .borrow()
                .signal_main(to, self.settings.reach);
        }
    }

    /// The volume has changed: looks at the members whose files did.
    fn changed(&mut self) {
        let changes = self.watch.as_ref().map(Watch::changes).unwrap_or_default();
        let anything = changes.contains(&Change::Anything);
        let has_changed = |name: &Name| {
            let is_its = |change: &Change| match change {
                Change::File(file) => file
                    .split_once('.')
                    .is_some_and(|(owner, _)| owner == name.as_str()),
                Change::Anything => true,
            };
            changes.iter().any(is_its)
        };
        let is_lock =
            |change: &Change| matches!(change, Change::File(file) if file.ends_with(".lock"));
        if changes.iter().any(is_lock) && self.settings.members.iter().any(has_changed) {
            self.again = Instant::now().checked_add(AGAIN).map(|at| (at, AGAIN));
        }
        self.look(has_changed);
        let is_asked_to_quit = |own: &Membership| {
            (anything || has_changed(&own.record().name)) && own.is_asked_to_quit()
        };
        if self.own.as_ref().is_some_and(is_asked_to_quit) {
            self.event(Event::Quit);
        }
    }

    /// The slow poll, and the second look at locks.
    fn poll(&mut self) {
        let now = Instant::now();
        if let Some((_, after)) = self.again.filter(|(at, _)| *at <= now) {
            self.look(|_| true);
            let after = after.saturating_mul(2);
            self.again = if after > CLOSING {
                None
            } else {
                now.checked_add(after).map(|at| (at, after))
            };
        }
        if self.poll.is_some_and(|at| at <= now) {
            self.look(|_| true);
            if self.own.as_ref().is_some_and(Membership::is_asked_to_quit) {
                self.event(Event::Quit);
            }
            self.plan_poll();
        }
        if let Some((_, since)) = self.lonely.filter(|(at, _)| *at <= now) {
            let since = if process::is_only_child_of_init() {
                since.or(Some(now))
            } else {
                None
            };
            if since.is_some_and(|since| now.duration_since(since) >= LONELY) {
                let stop = signal::name(self.settings.stop_signal);
                let text = format!(
                    "PID 1 has no process left but this one, which goes, so that it can end; if it stays, nobody can end it from inside \
                     its container: see that it heeds {stop} (--stop-signal)"
                );
                self.report
                    .line(&Message::new(Severity::Info, LogEvent::Leaving, text));
                self.end = Some(Exit::Passed.code());
            }
            self.lonely = now.checked_add(FAST).map(|at| (at, since));
        }
    }

    fn plan_poll(&mut self) {
        let watches = !self.settings.members.is_empty();
        let pause = match (&self.watch, watches, &self.own) {
            (Some(_), true, _) => Some(SLOW),
            (None, true, _) => Some(FAST),
            // Only a request may come, and nobody would tell.
            (None, false, Some(_)) => Some(FAST),
            (Some(_) | None, false, _) => None,
        };
        self.poll = pause.and_then(|pause| Instant::now().checked_add(pause));
    }

    /// Looks at some of the members, and acts on what is seen. Signals that arrived meanwhile are taken
    /// first: when a pod is deleted, all members get the signal at once, and the end of a quick one is
    /// not a cause for the others.
    fn look(&mut self, which: impl Fn(&Name) -> bool) {
        let seen = self.observe(which);
        if self.is_started {
            let before = self.stops;
            self.child_ended |= self.take_signals();
            // A stop comes with a look of its own, at all of them.
            if self.stops != before {
                return;
            }
        }
        self.event(Event::Seen(seen));
    }

    /// Looks at some of the members.
    fn observe(&mut self, which: impl Fn(&Name) -> bool) -> Vec<Seen> {
        let Some(volume) = self.around.volume.clone() else {
            return Vec::new();
        };
        let mut seen = Vec::new();
        for (member, name) in self
            .settings
            .members
            .iter()
            .enumerate()
            .filter(|(_, name)| which(name))
        {
            // A member that cannot be looked at now stays as it was, and is looked at again soon.
            let Some(snapshot) = volume.look(name) else {
                self.again = self
                    .again
                    .or_else(|| Instant::now().checked_add(FAST).map(|at| (at, FAST)));
                continue;
            };
            self.complain(&volume, name, &snapshot);
            let observation = observe(&snapshot, volume.host());
            seen.push(Seen {
                member,
                observation,
            });
        }
        seen
    }

    /// Reports that a member is not what it was.
    fn tell_of(&mut self, member: usize, observation: Observation) {
        let Some(name) = self.settings.members.get(member) else {
            return;
        };
        let what = match observation {
            Observation::Absent
            | Observation::Unreadable
            | Observation::Alive { stage: None, .. } => return,
            // Mostly for the moment between its lock and its command.
            Observation::Alive {
                stage: Some(Stage::Waiting),
                ..
            } => "waits".to_owned(),
            Observation::Alive {
                stage: Some(Stage::Running),
                ..
            } => "runs".to_owned(),
            Observation::Alive {
                stage: Some(Stage::Ready),
                ..
            } => "is ready".to_owned(),
            Observation::Ended {
                end: End::Code(code),
                ..
            } => format!("ended with exit code {code}"),
            Observation::Ended { end: End::Lost, .. } => {
                "was lost: it died without a word (SIGKILL, or out of memory)".to_owned()
            }
            Observation::Ended {
                end: End::Unknown, ..
            } => "ended, and cannot tell its exit code (it joined)".to_owned(),
        };
        let severity = match observation {
            Observation::Alive {
                stage: Some(Stage::Waiting),
                ..
            } => Severity::Debug,
            Observation::Alive { .. }
            | Observation::Ended { .. }
            | Observation::Absent
            | Observation::Unreadable => Severity::Info,
        };
        let line = Message::new(severity, LogEvent::Member, format!("{name} {what}"));
        self.report
            .line(&line.with("member", Field::Text(name.to_string())));
    }

    /// A record that cannot be used is told of, once.
    fn complain(&mut self, volume: &Volume, name: &Name, found: &Snapshot) {
        let text = match &found.record {
            Some(Err(error)) => format!("{:?} {error}", volume.record_path(name)),
            Some(Ok(record)) if record.host != volume.host() => format!(
                "{:?} is another pod's (host {:?}, and this is {:?}), and does not count; give every pod a volume of its own",
                volume.record_path(name),
                record.host,
                volume.host()
            ),
            Some(Ok(_)) | None => return,
        };
        if !self.complaints.contains(&text)
            && self.complaints.len() < self.settings.members.len().saturating_mul(4)
        {
            self.report.line(&Message::new(
                Severity::Warning,
                LogEvent::Record,
                text.clone(),
            ));
            self.complaints.push(text);
        }
    }

    fn ready_answered(&mut self, verdict: Option<Verdict>) {
        let Some(verdict) = verdict else { return };
        let Some(mut driver) = self.ready.take() else {
            return;
        };
        match verdict {
            Verdict::Opened => self.event(Event::Ready),
            Verdict::TimedOut | Verdict::Failed(_) | Verdict::Stopped(_) => {
                let mut line = driver.failure(verdict, driver.waited(), "--after-timeout");
                line.severity = Severity::Warning;
                line.text.push_str("; it will not be published as ready");
                self.report.line(&line);
            }
        }
        driver.leave(self.report);
    }

    /// Takes an event to the life, and does what it says.
    fn event(&mut self, event: Event) {
        let mut queue = vec![event];
        while let Some(event) = queue.pop() {
            for action in self.life.handle(self.now(), event) {
                match action {
                    Action::Start => queue.push(self.start_cmd()),
                    Action::Publish(stage) => self.publish(stage),
                    Action::Remember(ids) => {
                        let written = self.own.as_mut().map(|own| own.remember(&ids));
                        if let Some(Err(error)) = written {
                            let text = format!(
                                "cannot remember on the volume which failures were acted on: {error}; going on: after a restart of \
                                 this container they may count again"
                            );
                            self.report.line(&Message::new(
                                Severity::Warning,
                                LogEvent::Volume,
                                text,
                            ));
                        }
                    }
                    Action::StopCmd => self.stop_cmd(),
                    Action::Kill => self
                        .around
                        .children
                        .borrow()
                        .signal_main(signal::KILL, self.settings.reach),
                    Action::Notice(notice) => self.tell(&notice),
                    Action::Finish(code) => {
                        let code = self.publish_end(code);
                        self.end = Some(code);
                    }
                }
            }
        }
    }

    fn start_cmd(&mut self) -> Event {
        if let Body::Child(cmd) = self.body {
            let Some((name, arguments)) = cmd.split_first() else {
                return Event::NotStarted(Exit::Usage.code());
            };
            let spawned = self
                .around
                .children
                .borrow_mut()
                .spawn_main(name, arguments);
            if let Err(error) = spawned {
                let error = exec_error(name, &error);
                self.report.failure(&message::exec::cannot_run(name, error));
                return Event::NotStarted(error.exit().code());
            }
        }
        self.is_started = true;
        std::mem::take(&mut self.early)
            .into_iter()
            .for_each(|number| self.signalled(number, false));
        if !self.settings.ready.checks.is_empty() {
            let spec = self.settings.ready.spec.clone();
            let checks: &'a [Check] = self.settings.ready.checks;
            let mut driver = Driver::new(
                checks,
                spec,
                self.settings.ask,
                Tells::Changes,
                self.around,
                self.report,
            );
            // What is answered at once is told in the next turn, when CMD is known to have started.
            self.ready_verdict = driver.begin(self.report);
            self.ready = Some(driver);
        }
        Event::Started
    }

    fn publish(&mut self, stage: Stage) {
        if let Some(Err(error)) = self.own.as_mut().map(|own| own.publish(stage)) {
            let text =
                format!("cannot publish on the volume how far the command is: {error}; going on");
            self.report
                .line(&Message::new(Severity::Warning, LogEvent::Volume, text));
        }
        if stage == Stage::Ready {
            // From here on it mostly sleeps.
            process::sys::give_back_code();
        }
    }

    /// Publishes the end. What cannot be published is told by the lock; it never changes the exit code.
    pub(crate) fn publish_end(&mut self, code: u8) -> u8 {
        if let Some(Err(error)) = self.own.as_mut().map(|own| own.exit(code)) {
            let text = format!(
                "cannot publish the exit code {code} on the volume: {error}; others will take this one for lost"
            );
            self.report
                .line(&Message::new(Severity::Warning, LogEvent::Volume, text));
        }
        code
    }

    fn stop_cmd(&mut self) {
        if let Some(own) = &mut self.own {
            own.stopping();
        }
        let name = signal::name(self.settings.stop_signal);
        match self.body {
            Body::Child(_) => {
                let text = format!("sending the command {name}");
                self.report
                    .line(&Message::new(Severity::Debug, LogEvent::Stop, text));
                self.around
                    .children
                    .borrow()
                    .signal_main(self.settings.stop_signal, self.settings.reach);
            }
            Body::Init if process::shares_pid_namespace() == Some(true) => {
                let text = "PID 1 is not this container's own (shareProcessNamespace), and is not signalled; wrap the command with podgate run";
                self.report
                    .line(&Message::new(Severity::Error, LogEvent::Stop, text));
            }
            Body::Init => {
                let text = format!("sending {name} to PID 1");
                self.report
                    .line(&Message::new(Severity::Info, LogEvent::Stop, text));
                match process::signal_init(self.settings.stop_signal) {
                    Ok(()) => self.lonely = Instant::now().checked_add(FAST).map(|at| (at, None)),
                    Err(error) => {
                        let text = format!(
                            "cannot send {name} to PID 1: {error}; run the hook as the same user as PID 1"
                        );
                        self.report
                            .line(&Message::new(Severity::Error, LogEvent::Stop, text));
                    }
                }
            }
        }
    }

    fn names(&self, members: impl Iterator<Item = usize>) -> String {
        let names: Vec<&str> = members
            .filter_map(|member| self.settings.members.get(member))
            .map(Name::as_str)
            .collect();
        names.join(", ")
    }

    fn tell(&mut self, notice: &Notice) {
        let name = |index: &usize| self.settings.members.get(*index).map_or("", Name::as_str);
        let stop = signal::name(self.settings.stop_signal);
        let next = if self.is_started {
            format!("stopping the command with {stop}")
        } else {
            "the command is not started".to_owned()
        };
        let line = match notice {
            Notice::Member {
                member,
                observation,
            } => return self.tell_of(*member, *observation),
            Notice::Stopping(Cause::Done(completion)) => {
                let (what, code) = match completion.failures.first() {
                    None => ("with success".to_owned(), 0),
                    Some(failure) => (
                        format!("one of them with exit code {}", failure.code),
                        completion.code(),
                    ),
                };
                let all = self.names(
                    self.settings
                        .spec
                        .relations
                        .iter()
                        .enumerate()
                        .filter(|(_, it)| it.until)
                        .map(|(at, _)| at),
                );
                let text = format!("{all} done, {what}: {next}; the exit code will be {code}");
                Message::new(Severity::Info, LogEvent::Done, text)
            }
            Notice::Stopping(Cause::Quit) => {
                let waited = self.after.as_ref().map(|gate| {
                    format!(
                        " after {}, while it waited: {}; ",
                        show(gate.waited()),
                        gate.waited_for()
                    )
                });
                let text = format!(
                    "asked to quit{}{next}",
                    waited.unwrap_or_else(|| ": ".to_owned())
                );
                Message::new(Severity::Info, LogEvent::Quit, text)
            }
            Notice::Hurried => {
                let text = format!(
                    "told again: {} is not waited for any more; {next}",
                    self.names(self.life.to_outlive())
                );
                Message::new(Severity::Info, LogEvent::Hurried, text)
            }
            Notice::Stopping(Cause::NeedLost(index)) => {
                let text = format!(
                    "{} has ended, and --needs says that the command cannot do without it; {next}: exit code 69",
                    name(index)
                );
                self.report
                    .failure(&Message::new(Severity::Error, LogEvent::NeedLost, text));
                return;
            }
            Notice::Stopping(Cause::NeverCame(index)) => {
                let text = format!(
                    "gave up after {}: {} never came ({}); see that its --name and its volume are right, or raise --absent-timeout",
                    show(self.settings.spec.absent_timeout.unwrap_or_default()),
                    name(index),
                    self.seen()
                );
                self.report
                    .failure(&Message::new(Severity::Error, LogEvent::NeverCame, text));
                return;
            }
            Notice::Stopping(Cause::CmdEnded | Cause::Signal { .. }) => return,
            Notice::Holding => {
                let hold = self
                    .settings
                    .spec
                    .grace
                    .saturating_sub(self.settings.spec.margin);
                let text = format!(
                    "told to stop: holding {stop} back from the command until {} has ended, {} at most",
                    self.names(self.life.to_outlive()),
                    show(hold)
                );
                Message::new(Severity::Info, LogEvent::Holding, text)
            }
            Notice::OutOfGrace => {
                let text = format!(
                    "the grace period is nearly over and {} still lives: stopping the command all the same; raise the pod's \
                     terminationGracePeriodSeconds, and --grace with it (now {})",
                    self.names(self.life.to_outlive()),
                    show(self.settings.spec.grace)
                );
                Message::new(Severity::Warning, LogEvent::OutOfGrace, text)
            }
            Notice::IgnoredStopSignal => match self.body {
                Body::Child(_) => {
                    let text = format!(
                        "the command has not ended within the grace period of {}: killing it; see that it heeds {stop} (--stop-signal), \
                         or raise --grace",
                        show(self.settings.spec.grace)
                    );
                    Message::new(Severity::Warning, LogEvent::IgnoredStopSignal, text)
                }
                Body::Init => {
                    let text = format!(
                        "PID 1 has not ended within {} of {stop}, and cannot be killed from inside its container: this container, and \
                         with it the pod, will not end; see that PID 1 heeds {stop}, or say --stop-signal, or wrap it with podgate run",
                        show(self.settings.spec.grace)
                    );
                    Message::new(Severity::Error, LogEvent::IgnoredStopSignal, text)
                }
            },
            Notice::Absent => {
                let text = format!(
                    "still waiting for {} to come: absent is not done ({})",
                    self.names(self.life.absent()),
                    self.seen()
                );
                Message::new(Severity::Info, LogEvent::Heartbeat, text)
            }
        };
        self.report.line(&line);
    }

    /// Who is on the volume.
    fn seen(&self) -> String {
        let own = self.own.as_ref().map(|own| &own.record().name);
        let names = self
            .around
            .volume
            .as_ref()
            .map(|volume| volume.names().unwrap_or_default())
            .unwrap_or_default();
        let others: Vec<&str> = names
            .iter()
            .filter(|name| Some(*name) != own)
            .take(NAMED)
            .map(Name::as_str)
            .collect();
        if others.is_empty() {
            "nobody else was seen here".to_owned()
        } else {
            format!("seen here: {}", others.join(", "))
        }
    }
}
