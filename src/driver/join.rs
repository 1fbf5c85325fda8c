//! Makes a container whose entrypoint is not podgate a member, from its postStart hook.
//!
//! A small background process, the agent, holds the lock. It dies with the container, because the
//! death of PID 1 kills the whole PID namespace (pid_namespaces(7)).

use super::gate::{Driver, Shared, Verbosity};
use super::life::{self, MainProcess, Settings};
use super::membership::{Refused, Stop, open_volume, take_name};
use crate::core::check::{Check, Fact, Kind};
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::core::gate::{Need, Spec, Verdict};
use crate::core::logging::{Format, Level, LogTo};
use crate::core::member::{Name, Stage};
use crate::core::plain_dir::Plain;
use crate::core::record::Record;
use crate::core::schedule::{NEAR, Pace};
use crate::event_loop::is_ready;
use crate::members::{Membership, Statement, Volume, container};
use crate::message::join::{AgentFailure, Refusal};
use crate::message::process::{Wait, cannot_wait};
use crate::message::{self, LogEvent, Message};
use crate::process::sys::{Fork, fork};
use crate::process::{self, Signals, Which};
use crate::report::Report;
use nix::poll::PollFlags;
use nix::unistd::geteuid;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, IntoRawFd};
use std::path::Path;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

/// How long the agent may take to close the descriptors that it inherited from the hook.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the member of a dead container may still hold its lock while a new container already
/// has the same mount namespace number.
const DYING: Duration = Duration::from_millis(500);
/// The pause between two observations of such a member.
const AGAIN: Duration = Duration::from_millis(10);

pub(crate) struct Join<'a> {
    pub(crate) life: &'a Settings<'a>,
    pub(crate) statement: Statement,
    pub(crate) dir: Option<&'a Path>,
    pub(crate) plain: Plain,
    /// The format and level of the agent's lines in the container's log. `None`: the agent writes
    /// where the hook writes.
    pub(crate) agent_log: Option<(Format, Level)>,
}

impl Join<'_> {
    /// Registers this container, and starts the agent that keeps it registered. When this returns,
    /// the member is published, because the hook returns next.
    ///
    /// # Errors
    /// The message about the reason.
    pub(crate) fn register(
        self,
        report: &mut Report,
        signals: &Signals,
    ) -> Result<Rc<Volume>, Refused> {
        let relations = &self.life.spec.relations;
        let has_to_stop = relations.iter().any(|it| it.until || it.needs);
        if has_to_stop && process::shares_pid_namespace() == Some(true) {
            return Err(message::join::refused(Refusal::SharedPidNamespace).into());
        }
        if has_to_stop && !process::may_signal_init() {
            let uid = geteuid().as_raw();
            return Err(message::join::refused(Refusal::OtherUser(uid)).into());
        }
        let failed = |error| message::volume::failed(LogEvent::Join, &error);
        let volume = open_volume(self.dir, self.plain).map_err(failed)?;
        let name = &self.statement.name;
        if is_joined_already(&volume, name) {
            report.line(&message::join::already_joined(name));
            return Ok(volume);
        }
        let stop = Stop {
            signals,
            given: None,
        };
        let statement = self.statement.clone();
        let mut own = take_name(&volume, statement, LogEvent::Join, stop, report)?;
        let stage = if self.life.ready.checks.is_empty() {
            Stage::Ready
        } else {
            Stage::Running
        };
        own.publish(stage).map_err(|error| {
            message::join::refused(Refusal::CannotPublish {
                name,
                record: &own.record_path(),
                errno: Errno::of(&error),
            })
        })?;
        let left = self.start_agent(&volume, own, report, signals)?;
        // The kubelet or the runtime may wait until no process holds a descriptor of the hook.
        let _ = is_ready(left.as_fd(), PollFlags::POLLIN, PATIENCE);
        report.line(&message::join::joined(name));
        Ok(volume)
    }

    /// Starts the agent. Returns a pipe, which closes when the agent has left the hook.
    fn start_agent(
        &self,
        volume: &Rc<Volume>,
        own: Membership,
        report: &mut Report,
        signals: &Signals,
    ) -> Result<PipeReader, Message> {
        let refused =
            |error: io::Error| message::join::refused(Refusal::CannotStartAgent(Errno::of(&error)));
        let (left, leaving) = io::pipe().map_err(refused)?;
        match fork() {
            Ok(Fork::Parent) => Ok(left),
            Ok(Fork::Child) => {
                // `daemonize` closes both with the other inherited descriptors.
                let _ = (left.into_raw_fd(), leaving.into_raw_fd());
                self.be_agent(volume, own, report, signals)
            }
            Err(error) => Err(refused(error.into())),
        }
    }

    /// Runs as the agent, and ends this process.
    fn be_agent(
        &self,
        volume: &Rc<Volume>,
        own: Membership,
        report: &mut Report,
        hook: &Signals,
    ) -> ! {
        // A hook's output is in no log, so the agent writes to the container's.
        if let Some((format, level)) = self.agent_log
            && let Ok(opened) = Report::open(format, level, &LogTo::Container)
        {
            *report = opened;
        }
        // The container does not end with its hook or with the agent.
        report.without_termination_log();
        let kept: Vec<_> = own
            .signs()
            .chain([hook.as_fd()])
            .chain(report.fd())
            .collect();
        process::daemonize(&kept);
        drop(kept);
        let exit = match self.live_as_agent(volume, own, report, hook) {
            Ok(()) => Exit::Passed,
            Err(failure) => {
                report.line(&message::join::agent_failed(failure));
                Exit::Internal
            }
        };
        std::process::exit(exit.code().into())
    }

    fn live_as_agent(
        &self,
        volume: &Rc<Volume>,
        own: Membership,
        report: &mut Report,
        hook: &Signals,
    ) -> Result<(), AgentFailure> {
        // A signal to all processes (`kill -1`) must not end the agent.
        let signals = Signals::take(Which::All)
            .map_err(|error| AgentFailure::BlockSignals(Errno(error as i32)))?;
        let shared = Shared::new(hook, Some(Rc::clone(volume)));
        let process = MainProcess::Init;
        let mut driver =
            life::Driver::new(self.life, process, Some(own), &shared, &signals, report);
        match driver.live() {
            Ok(_) => Ok(()),
            Err(error) => Err(AgentFailure::Wait(Errno(error as i32))),
        }
    }

    /// Waits until the agent has published ready. `option` sets the time limit.
    ///
    /// # Errors
    /// The exit code of the hook if the wait failed. The reason was reported.
    pub(crate) fn wait(
        life: &Settings<'_>,
        name: &Name,
        (timeout, option): (Option<Duration>, &str),
        volume: Rc<Volume>,
        report: &mut Report,
        signals: &Signals,
    ) -> Result<(), Exit> {
        let checks = [Check::of(Kind::Member(Fact::Ready, name.clone()))];
        let shared = Shared::new(signals, Some(volume));
        let (spec, ask) = (until_ready(life, timeout), life.ready.ask);
        let mut driver = Driver::new(&checks, spec, ask, Verbosity::All, &shared, report);
        let answer = driver.run(signals, report);
        match answer.verdict {
            Ok(Verdict::Opened) => Ok(()),
            Ok(Verdict::Stopped(number)) => {
                let (waited, checks) = (answer.waited, driver.waited_for());
                report.line(&message::gate::stopped(number, waited, &checks));
                Err(Exit::Signal(number))
            }
            Ok(Verdict::GaveUp(reason)) => {
                report.failure(&driver.failure(reason, answer.waited, option));
                Err(Exit::TimedOut)
            }
            Err(error) => {
                report.failure(&cannot_wait(Wait::Checks, Errno(error as i32)));
                Err(Exit::Internal)
            }
        }
    }
}

/// The gate of `--wait`.
fn until_ready(life: &Settings<'_>, timeout: Option<Duration>) -> Spec {
    Spec {
        floors: vec![NEAR],
        need: Need::All,
        pace: Pace::Proportional,
        success_threshold: 1,
        failure_threshold: None,
        initial_delay: Duration::ZERO,
        attempt_timeout: life.ready.spec.attempt_timeout,
        timeout,
    }
}

/// Whether the living member of this name is this container.
///
/// The kernel may give the number of a mount namespace to a new one a moment before the last
/// process of the old one has closed its files (`do_exit`). So a new container may take the dying
/// member of an old one for its own. A dying member is soon gone.
fn is_joined_already(volume: &Volume, name: &Name) -> bool {
    let start = Instant::now();
    while is_joined(volume, name) {
        if start.elapsed() >= DYING {
            return true;
        }
        thread::sleep(AGAIN);
    }
    false
}

fn is_joined(volume: &Volume, name: &Name) -> bool {
    let is_own = |record: &Record| {
        record.is_joined
            && record.exit.is_none()
            && record.container != 0
            && record.container == container()
    };
    volume.look(name).is_some_and(|found| {
        found.is_alive() && matches!(&found.record, Some(Ok(record)) if is_own(record))
    })
}
