//! Drives one life (P7): makes events for `core::life` of what happens, and carries out its
//! actions. The clock is read here.
//!
//! One turn of the loop observes the members, then takes the signals, and then handles the
//! observations. So a stop that arrived before another member's end is handled before that end.
//! When a pod is deleted, all members get the signal at once, and a quick end of one must not be
//! the cause for the others.

mod cmd;
mod gates;
mod job;
mod own;
mod ready;

pub(crate) use self::cmd::{CmdSettings, MainProcess};
pub(crate) use self::gates::GateSettings;

use self::cmd::{Cmd, Meaning};
use self::gates::{Answer, Gates};
use self::own::OwnMember;
use self::ready::Ready;
use super::gate::Shared;
use super::observer::Observer;
use super::status;
use crate::core::credit::Credit;
use crate::core::endpoint::State;
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::core::gate::Verdict;
use crate::core::life::{Action, Cause, Event, Life, Notice, Spec, State as Phase};
use crate::core::member::{Name, Stage};
use crate::core::signal::Received;
use crate::core::time::Time;
use crate::members::Membership;
use crate::message::process::{Wait, cannot_wait};
use crate::message::{self, Message, Severity};
use crate::process::{Arrived, NotifySocket, Signals, suspend};
use crate::quit_endpoint::Endpoint;
use crate::report::Report;
use std::net::SocketAddr;
use std::time::Instant;

pub(crate) struct Settings<'a> {
    pub(crate) spec: &'a Spec,
    /// The names of the members in `spec.relations`.
    pub(crate) members: &'a [Name],
    pub(crate) cmd: CmdSettings<'a>,
    /// The gate before CMD is started.
    pub(crate) after: GateSettings<'a>,
    /// Whether CMD is started even if that gate does not open.
    pub(crate) continues_on_timeout: bool,
    /// The gate before the member is published as ready.
    pub(crate) ready: GateSettings<'a>,
    /// The address of the quit endpoint.
    pub(crate) listen: Option<SocketAddr>,
}

/// The effect of the signals that have arrived.
#[derive(Default)]
struct Taken {
    child_ended: bool,
    /// Whether a stop began. It came with an observation of all members.
    is_stop: bool,
}

/// One life and its parts.
pub(crate) struct Driver<'a> {
    settings: &'a Settings<'a>,
    life: Life,
    start: Instant,
    /// The exit code, once it is decided.
    end: Option<u8>,
    /// Whether memory is to be given back before the next sleep.
    gives_back: bool,
    cmd: Cmd<'a>,
    own: OwnMember,
    observer: Observer<'a>,
    gates: Gates<'a>,
    endpoint: Option<Endpoint>,
    /// CMD's NOTIFY_SOCKET. It is read as long as CMD runs, because a sender blocks when the socket
    /// is full.
    notify: Option<NotifySocket>,
    /// For the reports of CMD's status.
    credit: Credit,
    shared: &'a Shared,
    signals: &'a Signals,
    report: &'a mut Report,
}

impl<'a> Driver<'a> {
    /// A life that begins now. `own` is its membership, if it has a name.
    pub(crate) fn new(
        settings: &'a Settings<'a>,
        process: MainProcess<'a>,
        own: Option<Membership>,
        shared: &'a Shared,
        signals: &'a Signals,
        report: &'a mut Report,
    ) -> Self {
        let mut spec = settings.spec.clone();
        if let Some(own) = &own {
            spec.acted = own.acted().to_vec();
        }
        Self {
            settings,
            life: Life::new(spec, Time::ZERO),
            start: Instant::now(),
            end: None,
            gives_back: false,
            cmd: Cmd::new(process, settings.cmd, &shared.children),
            observer: Observer::new(shared.volume.as_ref(), settings.members, own.is_some()),
            own: OwnMember(own),
            gates: Gates::default(),
            endpoint: None,
            notify: None,
            credit: Credit::new(Time::ZERO),
            shared,
            signals,
            report,
        }
    }

    /// Runs to the end, which it reports and publishes. Returns the exit code and the membership.
    /// Its lock is the sign of life for other members, so the caller holds it until podgate ends.
    pub(crate) fn run(mut self) -> (u8, Option<Membership>) {
        if let Err(failure) = self.open_sockets() {
            self.report.failure(&failure);
            return self.fail();
        }
        match self.live() {
            Ok(code) => (code, self.own.0),
            Err(error) => {
                self.report
                    .failure(&cannot_wait(Wait::Cmd, Errno(error as i32)));
                self.cmd.kill_and_reap();
                self.fail()
            }
        }
    }

    fn open_sockets(&mut self) -> Result<(), Message> {
        if let Some(address) = self.settings.listen {
            let failure = |error| message::life::cannot_listen(address, Errno::of(&error));
            self.endpoint = Some(Endpoint::bind(address).map_err(failure)?);
        }
        if self.settings.ready.wait_for_cmd() {
            let failure =
                |error: nix::Error| message::life::cannot_be_notified(Errno(error as i32));
            self.notify = Some(NotifySocket::bind().map_err(failure)?);
        }
        Ok(())
    }

    /// Publishes an end that podgate itself caused.
    fn fail(mut self) -> (u8, Option<Membership>) {
        let code = Exit::Internal.code();
        self.own.publish_end(code, self.report);
        (code, self.own.0)
    }

    /// Runs to the end, which it publishes. Returns the exit code.
    ///
    /// # Errors
    /// Those of `Poller::wait`.
    pub(crate) fn live(&mut self) -> Result<u8, nix::Error> {
        self.observe();
        self.take_signals_and_reap();
        if self.end.is_none() {
            self.begin();
        }
        // The request may have been made before the watch began.
        if self.end.is_none() {
            self.take_request();
        }
        loop {
            if let Some(code) = self.end {
                std::mem::take(&mut self.gates).leave(self.report);
                return Ok(code);
            }
            self.turn()?;
        }
    }

    fn now(&self) -> Time {
        Time::at(self.start.elapsed())
    }

    /// Begins the `--after` gate, if there is one.
    fn begin(&mut self) {
        let after = self.settings.after;
        if after.checks.is_empty() {
            self.event(Event::Opened);
            return;
        }
        let verdict = self.gates.begin_after(
            after,
            self.settings.continues_on_timeout,
            (self.shared, self.signals),
            self.report,
        );
        self.close_after_gate(verdict);
    }

    fn close_after_gate(&mut self, verdict: Option<Verdict>) {
        let answer = verdict.and_then(|verdict| self.gates.close_after(verdict, self.report));
        let Some((answer, _gate)) = answer else {
            return;
        };
        match answer {
            Answer::DoNotStart(exit) => self.event(Event::NotOpened(exit.code())),
            Answer::Start => {
                // The gate made its own observations. A member that it saw as ready may still be
                // recorded here as absent, so observe again before deciding that it was lost.
                self.event(Event::Opening);
                self.observe();
                // A signal that arrived while the gate opened still prevents the start.
                self.take_signals_and_reap();
                self.event(Event::Opened);
            }
        }
    }

    /// Sleeps until something happens, and handles it.
    fn turn(&mut self) -> Result<(), nix::Error> {
        let deadline = self.deadline();
        let ready = Ready::wait(
            self.signals,
            &self.observer,
            &self.gates,
            self.endpoint.as_ref(),
            self.notify.as_ref(),
            deadline,
            std::mem::take(&mut self.gives_back),
        )?;
        let own = self.own.name();
        let observed = self.observer.proceed(ready.has_change, own, self.report);
        let taken = if ready.has_signal || observed.seen.is_some() {
            self.take_signals()
        } else {
            Taken::default()
        };
        // A stop came with its own observations, which are newer.
        if let Some(seen) = observed.seen.filter(|_| !taken.is_stop) {
            self.event(Event::Seen(seen));
        }
        if observed.may_be_asked {
            self.take_request();
        }
        if self.cmd.leaves_init(self.report) {
            self.end = Some(Exit::Passed.code());
        }
        if taken.child_ended {
            self.reap();
        }
        if ready.has_notification {
            self.take_notifications();
        }
        if self.end.is_none() {
            self.proceed_gates(&ready, taken.child_ended);
            self.serve();
            self.event(Event::Tick);
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        let life = self.life.deadline();
        let life = life.and_then(|at| self.start.checked_add(at.since_start()));
        let endpoint = self.endpoint.as_ref().and_then(Endpoint::deadline);
        life.into_iter()
            .chain(self.observer.deadline())
            .chain(self.gates.deadline(self.report))
            .chain(self.cmd.deadline())
            .chain(endpoint)
            .min()
    }

    fn proceed_gates(&mut self, ready: &Ready, child_ended: bool) {
        let verdict = self
            .gates
            .proceed_after(&ready.after, child_ended, self.report);
        self.close_after_gate(verdict);
        let is_ready = self
            .gates
            .proceed_ready(&ready.ready, child_ended, self.report);
        if is_ready {
            self.event(Event::Ready);
        }
    }

    /// Takes what CMD has reported by sd_notify(3).
    fn take_notifications(&mut self) {
        let notification = match self.notify.as_ref().map(NotifySocket::receive) {
            None => return,
            Some(Ok(notification)) => notification,
            Some(Err(error)) => {
                // Otherwise the loop would never sleep again.
                self.notify = None;
                let failure = message::life::cannot_be_notified(Errno(error as i32));
                return self.report.line(&failure);
            }
        };
        if let Some(status) = notification.status.filter(|it| !it.is_empty())
            && self.credit.spend(Time::at(self.start.elapsed()))
        {
            self.report.line(&message::life::status_of_cmd(status));
        }
        if notification.is_ready {
            self.gates.notified();
        }
    }

    /// Serves the quit endpoint.
    fn serve(&mut self) {
        let Some(endpoint) = &mut self.endpoint else {
            return;
        };
        let is_ready = self.cmd.is_started() && self.life.is_ready();
        let stage = match (self.cmd.is_started(), is_ready) {
            (false, _) => Stage::Waiting,
            (true, false) => Stage::Running,
            (true, true) => Stage::Ready,
        };
        let volume = self.shared.volume.as_deref();
        let status = || match volume {
            Some(volume) => status::json(volume),
            None => message::status::json_without_members(stage),
        };
        let state = State {
            is_ready,
            status: &status,
        };
        if endpoint.proceed(state) {
            self.event(Event::Quit);
        }
    }

    /// Observes all members.
    fn observe(&mut self) {
        let seen = self.observer.observe_all(self.report);
        self.event(Event::Seen(seen));
    }

    /// Quits if another member has asked for it on the volume.
    fn take_request(&mut self) {
        if self.own.is_asked_to_quit() {
            self.event(Event::Quit);
        }
    }

    fn take_signals_and_reap(&mut self) {
        if self.take_signals().child_ended {
            self.reap();
        }
    }

    /// Takes the signals that have arrived, until one of them ends the life.
    fn take_signals(&mut self) -> Taken {
        let mut taken = Taken::default();
        while self.end.is_none()
            && let Some(arrived) = self.signals.next()
        {
            match arrived {
                Arrived::Child => taken.child_ended = true,
                Arrived::Ending(signal) => taken.is_stop |= self.take_signal(signal, true),
                Arrived::Other(signal) => taken.is_stop |= self.take_signal(signal, false),
            }
        }
        taken
    }

    /// Takes a signal, and returns whether it began a stop. `ends`: it ends a wait.
    fn take_signal(&mut self, signal: Received, ends: bool) -> bool {
        let number = signal.number;
        let has_gate = !self.settings.after.checks.is_empty();
        let is_stopping = matches!(self.life.state(), Phase::Stopping { .. });
        let meaning = self
            .cmd
            .take_signal(signal, ends, has_gate, is_stopping, self.report);
        let event = match meaning {
            Meaning::Nothing => return false,
            Meaning::Suspend => {
                suspend(number);
                return false;
            }
            Meaning::MayBeStop => {
                let view = self.view(&[]);
                if let Some(message) = message::life::unnamed_and_forwarded(&view, number) {
                    self.report.line(&message);
                }
                return false;
            }
            // A stop depends on the members that live now, not at the last change. Before CMD's
            // start it depends on no member.
            Meaning::Stop if self.cmd.is_started() => {
                Event::Stop(self.observer.observe_all(self.report))
            }
            Meaning::UnnamedStop => {
                self.report.line(&message::life::unnamed_stop(number));
                Event::Stop(self.observer.observe_all(self.report))
            }
            Meaning::Stop => Event::Stop(Vec::new()),
            Meaning::EndOfWait => Event::NotOpened(Exit::Signal(number).code()),
        };
        let verdict = self.gates.stop_after(number);
        if verdict.is_none() && !self.cmd.is_started() {
            self.report.line(&message::exec::stopped(number));
        }
        self.event(event);
        self.close_after_gate(verdict);
        matches!(meaning, Meaning::Stop | Meaning::UnnamedStop)
    }

    fn reap(&mut self) {
        if let Some(code) = self.cmd.reap(self.report) {
            self.event(Event::Ended(code));
        }
    }

    /// Gives an event to the machine, and carries out its actions.
    fn event(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for action in self.life.handle(self.now(), event) {
                match action {
                    Action::Start => next = Some(self.start_cmd()),
                    Action::Publish(stage) => self.publish(stage),
                    Action::Remember(ids) => self.own.remember(&ids, self.report),
                    Action::StopCmd => {
                        self.own.stopping();
                        self.cmd.stop(self.report);
                    }
                    Action::Kill => self.cmd.kill(),
                    Action::Notice(notice) => self.notice(&notice),
                    Action::Finish(code) => {
                        if self.life.is_stopped() {
                            self.own.ends_by_signal();
                        }
                        self.own.publish_end(code, self.report);
                        self.end = Some(code);
                    }
                }
            }
        }
    }

    fn start_cmd(&mut self) -> Event {
        let notify = self.notify.as_ref().map(NotifySocket::address);
        if let Err(exit) = self.cmd.start(notify.as_deref(), self.report) {
            return Event::NotStarted(exit.code());
        }
        let ready = self.settings.ready;
        if !ready.checks.is_empty() {
            self.gates.begin_ready(ready, self.shared, self.report);
        }
        Event::Started
    }

    fn publish(&mut self, stage: Stage) {
        self.own.publish(stage, self.report);
        self.gives_back |= stage == Stage::Ready;
    }

    fn view<'b>(&'b self, others: &'b [Name]) -> message::life::View<'b> {
        message::life::View {
            life: &self.life,
            members: self.settings.members,
            stop_signal: self.cmd.stop_signal(),
            is_started: self.cmd.is_started(),
            gate: None,
            others,
        }
    }

    fn notice(&mut self, notice: &Notice) {
        let names_others = matches!(
            notice,
            Notice::Absent | Notice::Stopping(Cause::NeverCame(_))
        );
        let own = self.own.name();
        let others = if names_others {
            self.observer.others(own)
        } else {
            Vec::new()
        };
        let gate = self.gates.after();
        let view = message::life::View {
            gate: gate.as_ref().map(|(waited, checks)| (*waited, &**checks)),
            ..self.view(&others)
        };
        if let Some(message) = message::life::notice(&view, notice) {
            match message.severity {
                Severity::Error => self.report.failure(&message),
                Severity::Debug | Severity::Info | Severity::Warning => self.report.line(&message),
            }
        }
    }
}
