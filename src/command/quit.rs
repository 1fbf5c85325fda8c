//! `podgate quit`: asks sidecars to stop, and sees that they did. Exit 0 when all are gone, 1 when one is not.

use crate::config::{Place, Quitting};
use crate::core::duration::show;
use crate::core::exit::Exit;
use crate::core::member::Name;
use crate::core::observation::{Observation, observe};
use crate::core::signal;
use crate::core::url::Server;
use crate::driver::membership::open_volume;
use crate::driver::quit::{Limits, News, Quits};
use crate::event_loop::{Interest, Poller};
use crate::members::{Request, Volume};
use crate::message::{self, Field, LogEvent, Message, Severity};
use crate::process::watchdog::Watchdog;
use crate::process::{Arrived, Children, Signals, end_by_signal};
use crate::report::Report;
use std::cell::RefCell;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long after its end one that has not ended by itself is taken to hang.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a member that was asked is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Runs the command.
pub(super) fn run(
    settings: Quitting,
    place: &Place,
    report: &mut Report,
    signals: &Signals,
) -> Exit {
    let names = settings.names();
    if settings.is_disabled {
        let text = format!("PODGATE_DISABLE is set: not asking {names:?} to quit");
        report.line(&Message::new(Severity::Info, LogEvent::Disabled, text));
        return Exit::Passed;
    }
    if !settings.skipped.is_empty() {
        let skipped: Vec<String> = settings
            .skipped
            .iter()
            .map(|name| format!("member:{name}"))
            .collect();
        let text = format!("PODGATE_DISABLE is set: not asking {skipped:?} to quit");
        report.line(&Message::new(Severity::Info, LogEvent::Disabled, text));
    }
    let volume = match (!settings.members.is_empty())
        .then(|| open_volume(place.dir.as_deref(), place.plain))
        .transpose()
    {
        Ok(volume) => volume,
        Err(error) => {
            report.failure(&message::volume::failed(LogEvent::Volume, &error));
            return Exit::Internal;
        }
    };
    let children = RefCell::new(Children::new(signals.original()));
    ask(settings, volume.as_ref(), report, signals, &children, None)
}

/// Asks, and sees that they go: 0 when all are gone, 1 when one is not. `kept` is the exit code of a process that hangs, where it is
/// decided already.
pub(super) fn ask(
    settings: Quitting,
    volume: Option<&Rc<Volume>>,
    report: &mut Report,
    signals: &Signals,
    children: &RefCell<Children>,
    kept: Option<Exit>,
) -> Exit {
    let names = settings.names();
    let Quitting {
        targets,
        members,
        limits,
        trust,
        ..
    } = settings;
    report.line(&Message::new(
        Severity::Debug,
        LogEvent::Start,
        format!(
            "asking {names:?} to quit: timeout {}",
            limits.all.map_or("none".into(), show)
        ),
    ));
    let by_path = targets
        .iter()
        .any(|target| matches!(target.url.server, Server::Socket(_)));
    let _watchdog = by_path.then(|| watchdog(&names, limits.all, report, signals, kept));
    let mut quits = Quits::new(targets, limits, trust);
    let mut members: Vec<Member> = volume
        .iter()
        .flat_map(|volume| {
            members
                .iter()
                .map(|name| Member::new(name, volume, limits))
                .collect::<Vec<_>>()
        })
        .collect();
    loop {
        for news in quits.proceed() {
            // After `run`'s CMD it is told, and is no failure of this container: the termination message is CMD's, or the gate's.
            if news.is_failure && kept.is_none() {
                report.failure(&line(&news))
            } else {
                report.line(&line(&news))
            }
        }
        members
            .iter_mut()
            .for_each(|member| member.proceed(report, kept));
        if quits.is_over() && members.iter().all(|member| member.is_gone.is_some()) {
            let all = quits.are_gone() && members.iter().all(|member| member.is_gone == Some(true));
            return if all { Exit::Passed } else { Exit::NotPassed };
        }
        // Everything is looked at after each wait, so one token is enough.
        let mut poller = Poller::new();
        poller.add(Interest::readable(signals.as_fd()), ());
        quits.interests(&mut poller, ());
        let is_looking = members.iter().any(|member| member.is_gone.is_none());
        let look = if is_looking {
            Instant::now().checked_add(LOOK)
        } else {
            None
        };
        if let Err(error) = poller.wait(quits.deadline().into_iter().chain(look).min()) {
            let text = format!("cannot wait for events: {error}; this is not about the sidecars");
            report.failure(&Message::new(Severity::Error, LogEvent::Failed, text));
            return Exit::Internal;
        }
        while let Some(arrived) = signals.next() {
            match arrived {
                Arrived::Ending(number) => {
                    let text = format!("stopped by {} {}", signal::name(number), quits.summary());
                    report.line(&Message::new(Severity::Warning, LogEvent::Stopped, text));
                    return Exit::Signal(number);
                }
                Arrived::Child => children.borrow_mut().reap(),
                Arrived::Other(_) => {}
            }
        }
    }
}

/// A member that is asked by a request on the volume, and seen to be gone by its lock.
struct Member {
    name: Name,
    volume: Rc<Volume>,
    limits: Limits,
    start: Instant,
    /// What was asked, and of which incarnation: taken back in the end.
    request: Option<(u64, Request)>,
    /// Is it? `None`: not known yet.
    is_gone: Option<bool>,
}

impl Member {
    fn new(name: &Name, volume: &Rc<Volume>, limits: Limits) -> Self {
        Self {
            name: name.clone(),
            volume: Rc::clone(volume),
            limits,
            start: Instant::now(),
            request: None,
            is_gone: None,
        }
    }

    fn proceed(&mut self, report: &mut Report, kept: Option<Exit>) {
        if self.is_gone.is_some() {
            return;
        }
        let took = self.start.elapsed();
        let found = self.volume.look(&self.name);
        let observation = found
            .as_ref()
            .map(|found| observe(found, self.volume.host()));
        let is_held = found.as_ref().is_some_and(|found| found.is_held);
        let asked = self.request.as_ref().map(|(id, _)| *id);
        match (observation, asked) {
            // It cannot be looked at just now; or it has told its end, and is not gone yet: the lock is the truth about life.
            (None, _) => {}
            (Some(Observation::Ended { .. }), _) if is_held => {}
            (
                Some(Observation::Absent | Observation::Ended { .. } | Observation::Unreadable),
                None,
            ) => {
                self.end(true, report, kept, "was gone already".to_owned());
            }
            (
                Some(Observation::Absent | Observation::Ended { .. } | Observation::Unreadable),
                Some(_),
            ) => {
                self.end(true, report, kept, format!("is gone, after {}", show(took)));
            }
            (Some(Observation::Alive { id: Some(id), .. }), Some(before)) if id != before => {
                self.end(
                    true,
                    report,
                    kept,
                    format!("is gone, after {}, and was started anew", show(took)),
                );
            }
            (Some(Observation::Alive { id: Some(id), .. }), None) => {
                match self.volume.ask(&self.name, id) {
                    Ok(request) => self.request = Some((id, request)),
                    Err(error) => {
                        let text = format!(
                            "cannot be asked: {error}; see that the volume is mounted without readOnly here, and that there is space"
                        );
                        self.end(false, report, kept, text);
                    }
                }
            }
            (Some(Observation::Alive { .. }), _) => {}
        }
        if self.is_gone.is_none() && self.limits.all.is_some_and(|all| took >= all) {
            let why = found.and_then(|found| found.record).and_then(Result::err);
            let text = match (&self.request, why) {
                (Some(_), _) | (None, None) => format!(
                    "was asked to quit, and is still alive after {}; see its log, or raise {}",
                    show(took),
                    self.limits.option
                ),
                (None, Some(why)) => {
                    format!(
                        "lives, and cannot be asked to quit: {:?} {why}",
                        self.volume.record_path(&self.name)
                    )
                }
            };
            self.end(false, report, kept, text);
        }
    }

    fn end(&mut self, is_gone: bool, report: &mut Report, kept: Option<Exit>, text: String) {
        self.is_gone = Some(is_gone);
        self.request = None;
        let target = format!("member:{}", self.name);
        let severity = if is_gone {
            Severity::Info
        } else {
            Severity::Error
        };
        let event = if is_gone {
            LogEvent::Gone
        } else {
            LogEvent::NotGone
        };
        let line = Message::new(severity, event, format!("{target:?} {text}"))
            .with("target", Field::Text(target));
        if is_gone || kept.is_some() {
            report.line(&line)
        } else {
            report.failure(&line)
        }
    }
}

/// News as a line.
pub(super) fn line(news: &News<'_>) -> Message {
    let severity = if news.is_failure {
        Severity::Error
    } else {
        Severity::Info
    };
    Message::new(severity, news.event, news.text.as_str())
        .with("target", Field::Text(news.target.to_owned()))
}

/// Watches over unix sockets, whose file system may not answer.
fn watchdog(
    names: &[String],
    all: Option<Duration>,
    report: &Report,
    signals: &Signals,
    kept: Option<Exit>,
) -> Watchdog {
    let (mut report, names) = (report.twin(), format!("{names:?}"));
    let end = all.and_then(|all| Instant::now().checked_add(all));
    Watchdog::start(signals, end, PATIENCE, move |signal| {
        let exit = kept.unwrap_or_else(|| signal.map_or(Exit::NotPassed, Exit::Signal));
        let text = format!(
            "gave up: the kernel does not come back from one of {names}; see whether the server of its file system is gone"
        );
        let line = Message::new(Severity::Error, LogEvent::Hangs, text);
        if kept.is_some() {
            report.line(&line)
        } else {
            report.failure(&line)
        }
        if let (None, Exit::Signal(number)) = (kept, exit) {
            end_by_signal(number);
        }
        std::process::exit(exit.code().into());
    })
}
