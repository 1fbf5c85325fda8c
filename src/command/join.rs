//! `podgate join`: a member in a container whose entrypoint is not ours, from its postStart hook. It leaves a small process behind that
//! holds the lock, and that dies with the container, because PID 1's death kills the whole PID namespace (pid_namespaces(7)).

use crate::config::Logging;
use crate::config::life::Life as Settings;
use crate::core::check::{Check, Fact, Kind};
use crate::core::exit::Exit;
use crate::core::gate::{Need, Spec, Verdict};
use crate::core::member::{Name, Stage};
use crate::core::schedule::{NEAR, Pace};
use crate::core::signal;
use crate::driver::exec::exec_or_exit;
use crate::driver::gate::{Around, Driver, Tells};
use crate::driver::life::{Body, Runner};
use crate::driver::membership::{open_volume, take_name};
use crate::event_loop::is_ready;
use crate::members::{Membership, Statement, Volume, container};
use crate::message::volume::membership_error;
use crate::message::{LogEvent, Message, Severity};
use crate::process::sys::{Fork, fork};
use crate::process::{self, Children, Signals, Which};
use crate::report::{LogTo, Report};
use nix::poll::PollFlags;
use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, IntoRawFd};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

/// How long the process that stays may take to let go of what was the hook's.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long who dies may hold its lock when its container's number is another's.
const DYING: Duration = Duration::from_millis(500);
/// How often that is looked at.
const AGAIN: Duration = Duration::from_millis(10);

/// Why this container cannot join.
struct Failed(String);

/// Runs the command.
pub(super) fn run(
    settings: &Settings,
    logging: &Logging,
    hook: &[OsString],
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    for skipped in &settings.skipped {
        report.line(&Message::new(
            Severity::Info,
            LogEvent::Disabled,
            format!("PODGATE_DISABLE is set: {skipped}"),
        ));
    }
    let Some(name) = &settings.name else {
        return exec_or_exit(hook, report, signals);
    };
    let joined = join(settings, logging, name, report, signals);
    let volume = match joined {
        Ok(volume) => volume,
        Err(Failed(text)) => {
            report.failure(&Message::new(Severity::Error, LogEvent::Join, text));
            return Exit::Internal;
        }
    };
    match settings.wait {
        Some(limit) => match wait(settings, name, limit.duration(), volume, report, signals) {
            Ok(()) => exec_or_exit(hook, report, signals),
            Err(exit) => exit,
        },
        None => exec_or_exit(hook, report, signals),
    }
}

/// Registers, and leaves the process behind that stays so.
fn join(
    settings: &Settings,
    logging: &Logging,
    name: &Name,
    report: &mut Report,
    signals: &Signals,
) -> Result<Rc<Volume>, Failed> {
    let has_to_stop = settings
        .spec
        .relations
        .iter()
        .any(|it| it.until || it.needs);
    if has_to_stop && process::shares_pid_namespace() == Some(true) {
        return Err(Failed(
            "cannot join with --until: PID 1 is not this container's own (shareProcessNamespace), and its stop signal would end another \
             one; give the pod no shared PID namespace, or wrap the command with podgate run"
                .to_owned(),
        ));
    }
    let place = &settings.place;
    let volume = open_volume(place.dir.as_deref(), place.plain)
        .map_err(|error| Failed(membership_error(&error)))?;
    if is_joined_already(&volume, name) {
        let text = format!("{name} has joined already, in an earlier run of this hook");
        report.line(&Message::new(Severity::Info, LogEvent::Joined, text));
        return Ok(volume);
    }
    let statement = Statement {
        name: name.clone(),
        policy: settings.stated,
        is_joined: settings.spec.is_joined,
    };
    let mut own =
        take_name(&volume, statement, report).map_err(|error| Failed(membership_error(&error)))?;
    // Registered before the hook returns: its container runs, and others may see it.
    let stage = if settings.ready.is_empty() {
        Stage::Ready
    } else {
        Stage::Running
    };
    own.publish(stage)
        .map_err(|error| Failed(format!("cannot publish {name} on the volume: {error}")))?;
    // Whoever started the hook may wait until nobody holds what it gave to the hook: it returns when that is so.
    let (left, leaving) =
        io::pipe().map_err(|error| Failed(format!("cannot leave a process behind: {error}")))?;
    match fork() {
        Ok(Fork::Parent) => {
            drop(leaving);
            let _ = is_ready(left.as_fd(), PollFlags::POLLIN, PATIENCE);
            report.line(&Message::new(
                Severity::Info,
                LogEvent::Joined,
                format!("{name} has joined"),
            ));
            Ok(volume)
        }
        Ok(Fork::Child) => {
            // Both are closed with all that was inherited.
            let _ = (left.into_raw_fd(), leaving.into_raw_fd());
            stay(settings, logging, &volume, own, report, signals)
        }
        Err(error) => Err(Failed(format!(
            "cannot leave a process behind: {error}; see the limits on processes"
        ))),
    }
}

/// Is the living member of that name this container's own? The kernel gives the number of a mount namespace to another one a moment before
/// its last process has let go of its files (`do_exit`): what a new container sees may be the dying one of the container before. Who is
/// dying is soon gone.
fn is_joined_already(volume: &Volume, name: &Name) -> bool {
    let patience = Instant::now();
    while is_joined(volume, name) {
        if patience.elapsed() >= DYING {
            return true;
        }
        thread::sleep(AGAIN);
    }
    false
}

fn is_joined(volume: &Volume, name: &Name) -> bool {
    let Some(found) = volume.look(name) else {
        return false;
    };
    let is_ours = |record: &crate::core::record::Record| {
        record.is_joined
            && record.exit.is_none()
            && record.container != 0
            && record.container == container()
    };
    found.is_held && matches!(&found.record, Some(Ok(record)) if is_ours(record))
}

/// The process that is left behind. It never returns to what the hook was doing.
fn stay(
    settings: &Settings,
    logging: &Logging,
    volume: &Rc<Volume>,
    own: Membership,
    report: &mut Report,
    hooks: &Signals,
) -> ! {
    // Nobody reads what a hook prints; what its background process has to say belongs into the container's log.
    if logging.to == LogTo::Stderr
        && let Ok(opened) = Report::open(logging.format, logging.level, &LogTo::Container)
    {
        *report = opened;
    }
    // A container does not end with its hook, nor with this.
    report.without_termination_log();
    let kept: Vec<_> = [own.lock().as_fd(), hooks.as_fd()]
        .into_iter()
        .chain(report.fd())
        .collect();
    process::daemonize(&kept);
    drop(kept);
    // Nothing that is sent to all (kill -1) may end the sign of life.
    let failed = |report: &mut Report, what: &str, error: nix::Error| {
        let text = format!(
            "cannot {what}: {error}; this container is no member any more, and nobody ends it"
        );
        report.line(&Message::new(Severity::Error, LogEvent::Failed, text));
        Exit::Internal
    };
    let exit = match Signals::take(Which::All) {
        Ok(signals) => {
            let around = Around {
                children: Rc::new(RefCell::new(Children::new(hooks.original()))),
                volume: Some(Rc::clone(volume)),
            };
            let settings = super::life::settings(settings);
            let mut runner =
                Runner::new(&settings, &around, Some(own), Body::Init, report, &signals);
            match runner.live() {
                Ok(_) => Exit::Passed,
                Err(error) => failed(report, "wait for events", error),
            }
        }
        Err(error) => failed(report, "take over the signals", error),
    };
    std::process::exit(exit.code().into())
}

/// `--wait`: until the process that was left behind has published ready.
fn wait(
    settings: &Settings,
    name: &Name,
    timeout: Option<Duration>,
    volume: Rc<Volume>,
    report: &mut Report,
    signals: &Signals,
) -> Result<(), Exit> {
    let checks = [Check::of(Kind::Member(Fact::Ready, name.clone()))];
    let spec = Spec {
        floors: vec![NEAR],
        need: Need::All,
        pace: Pace::Proportional,
        success_threshold: 1,
        failure_threshold: None,
        initial_delay: Duration::ZERO,
        attempt_timeout: Duration::from_secs(1),
        timeout,
    };
    let around = Around {
        children: Rc::new(RefCell::new(Children::new(signals.original()))),
        volume: Some(volume),
    };
    let mut driver = Driver::new(&checks, spec, &settings.ask, Tells::All, &around, report);
    let answer = driver.run(signals, report);
    match answer.verdict {
        Ok(Verdict::Opened) => Ok(()),
        Ok(Verdict::Stopped(number)) => {
            let text = format!(
                "stopped by {}: {}",
                signal::name(number),
                driver.waited_for()
            );
            report.line(&Message::new(Severity::Warning, LogEvent::Stopped, text));
            Err(Exit::Signal(number))
        }
        Ok(verdict @ (Verdict::TimedOut | Verdict::Failed(_))) => {
            report.failure(&driver.failure(verdict, answer.waited, "--timeout"));
            Err(Exit::TimedOut)
        }
        Err(error) => {
            report.failure(&Message::new(
                Severity::Error,
                LogEvent::Failed,
                format!("cannot wait for events: {error}"),
            ));
            Err(Exit::Internal)
        }
    }
}
