//! The two gates of a life: CMD is started when `--after` opens, and the member is published as
//! ready when `--ready` opens.

use crate::core::check::{Check, Kind};
use crate::core::exit::Exit;
use crate::core::gate::{GaveUp, Spec, Verdict};
use crate::driver::gate::{self, Driver, Shared, Verbosity};
use crate::event_loop::Poller;
use crate::message;
use crate::probe::http::Ask;
use crate::process::Signals;
use crate::report::Report;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub(crate) struct GateSettings<'a> {
    pub(crate) checks: &'a [Check],
    pub(crate) spec: &'a Spec,
    pub(crate) ask: &'a Ask,
}

/// The meaning of the answer of the `--after` gate for CMD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Start,
    DoNotStart(Exit),
}

/// The gates that are waiting now.
#[derive(Default)]
pub(super) struct Gates<'a> {
    after: Option<After<'a>>,
    ready: Option<Ready<'a>>,
}

struct After<'a> {
    driver: Driver<'a>,
    timeout: Option<Duration>,
    continues_on_timeout: bool,
}

struct Ready<'a> {
    driver: Driver<'a>,
    /// An answer that the gate had at once. It is handled in the next turn, when CMD has started.
    verdict: Option<Verdict>,
}

impl<'a> Gates<'a> {
    pub(super) fn begin_after(
        &mut self,
        settings: GateSettings<'a>,
        continues_on_timeout: bool,
        (shared, signals): (&Shared, &Signals),
        report: &mut Report,
    ) -> Option<Verdict> {
        let mut driver = settings.driver(Verbosity::All, shared, report);
        // There is no watchdog after CMD's start, because CMD must not end with a check; then only
        // the kubelet's SIGKILL ends a podgate that hangs.
        driver.watch(signals, report);
        let verdict = driver.begin(report);
        self.after = Some(After {
            driver,
            timeout: settings.spec.timeout,
            continues_on_timeout,
        });
        verdict
    }

    pub(super) fn begin_ready(
        &mut self,
        settings: GateSettings<'a>,
        shared: &Shared,
        report: &mut Report,
    ) {
        let mut driver = settings.driver(Verbosity::Changes, shared, report);
        let verdict = driver.begin(report);
        self.ready = Some(Ready { driver, verdict });
    }

    pub(super) fn interests<'b, T: Copy>(
        &'b self,
        poller: &mut Poller<'b, T>,
        after: impl Fn(gate::Token) -> T,
        ready: impl Fn(gate::Token) -> T,
    ) {
        if let Some(gate) = &self.after {
            gate.driver.interests(poller, after);
        }
        if let Some(gate) = &self.ready {
            gate.driver.interests(poller, ready);
        }
    }

    pub(super) fn deadline(&self, report: &Report) -> Option<Instant> {
        let after = self.after.as_ref().map(|gate| &gate.driver);
        let ready = self.ready.as_ref().map(|gate| &gate.driver);
        let drivers = after.into_iter().chain(ready);
        let verdict = self.ready.as_ref().and_then(|gate| gate.verdict);
        drivers
            .filter_map(|driver| driver.deadline(report))
            .chain(verdict.map(|_| Instant::now()))
            .min()
    }

    /// Continues the `--after` gate. Returns its verdict, if it has one now.
    pub(super) fn proceed_after(
        &mut self,
        ready: &[gate::Token],
        child_ended: bool,
        report: &mut Report,
    ) -> Option<Verdict> {
        let gate = self.after.as_mut()?;
        gate.driver.proceed(ready, child_ended, report)
    }

    /// Ends the wait of the `--after` gate by a signal.
    pub(super) fn stop_after(&mut self, number: u8) -> Option<Verdict> {
        self.after.as_mut().map(|gate| gate.driver.stop(number))
    }

    /// How long the `--after` gate has waited, and its checks that have not passed.
    pub(super) fn after(&self) -> Option<(Duration, String)> {
        let gate = self.after.as_ref()?;
        Some((gate.driver.waited(), gate.driver.waited_for()))
    }

    /// Reports the verdict of the `--after` gate, and ends the gate. Drop what is left of it after
    /// CMD's start: to close an inotify instance may take a while (`Watcher::settle`).
    pub(super) fn close_after(
        &mut self,
        verdict: Verdict,
        report: &mut Report,
    ) -> Option<(Answer, Driver<'a>)> {
        let mut gate = self.after.take()?;
        let driver = &gate.driver;
        let fails = |exit| match gate.continues_on_timeout {
            true => Answer::Start,
            false => Answer::DoNotStart(exit),
        };
        let (answer, failure) = match verdict {
            Verdict::Opened => (Answer::Start, None),
            Verdict::Stopped(number) => {
                let (waited, checks) = (driver.waited(), driver.waited_for());
                report.line(&message::gate::stopped_before_cmd(number, waited, &checks));
                (Answer::DoNotStart(Exit::Signal(number)), None)
            }
            Verdict::GaveUp(reason @ GaveUp::TimedOut) => {
                let waited = gate.timeout.unwrap_or_else(|| driver.waited());
                (fails(Exit::TimedOut), Some((reason, waited)))
            }
            Verdict::GaveUp(reason @ GaveUp::Failed(_)) => {
                (fails(Exit::NotPassed), Some((reason, driver.waited())))
            }
        };
        if let Some((reason, waited)) = failure {
            let failure = driver.failure(reason, waited, "--after-timeout");
            match answer {
                Answer::Start => report.line(&message::gate::continued(failure)),
                Answer::DoNotStart(_) => report.failure(&failure),
            }
        }
        gate.driver.leave(report);
        Some((answer, gate.driver))
    }

    /// Continues the `--ready` gate. Returns whether it opened.
    pub(super) fn proceed_ready(
        &mut self,
        ready: &[gate::Token],
        child_ended: bool,
        report: &mut Report,
    ) -> bool {
        let Some(gate) = &mut self.ready else {
            return false;
        };
        let verdict = match gate.verdict.take() {
            None => gate.driver.proceed(ready, child_ended, report),
            verdict @ Some(_) => verdict,
        };
        let Some(verdict) = verdict else { return false };
        match verdict {
            Verdict::Opened | Verdict::Stopped(_) => {}
            Verdict::GaveUp(reason) => {
                let waited = gate.driver.waited();
                let failure = gate.driver.failure(reason, waited, "--after-timeout");
                report.line(&message::life::not_ready(failure));
            }
        }
        gate.driver.leave(report);
        self.ready = None;
        verdict == Verdict::Opened
    }

    /// CMD has reported that it is ready.
    pub(super) fn notified(&mut self) {
        if let Some(gate) = &mut self.ready {
            gate.driver.notified();
        }
    }

    /// Cancels the attempts that are under way.
    pub(super) fn leave(self, report: &mut Report) {
        let after = self.after.map(|gate| gate.driver);
        let ready = self.ready.map(|gate| gate.driver);
        for mut driver in after.into_iter().chain(ready) {
            driver.leave(report);
        }
    }
}

impl<'a> GateSettings<'a> {
    /// Whether CMD has to report that it is ready.
    pub(super) fn wait_for_cmd(self) -> bool {
        self.checks.iter().any(|check| check.kind == Kind::Notify)
    }

    fn driver(self, verbosity: Verbosity, shared: &Shared, report: &mut Report) -> Driver<'a> {
        Driver::new(
            self.checks,
            self.spec.clone(),
            self.ask,
            verbosity,
            shared,
            report,
        )
    }
}
