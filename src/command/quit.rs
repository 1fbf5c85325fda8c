//! `podgate quit`: asks sidecars to stop, and sees that they did. Exit 0 when all are gone, 1 when one is not.

use crate::core::check::Server;
use crate::core::duration::show;
use crate::core::exit::Exit;
use crate::event_loop::{self, Interest};
use crate::process::watchdog::Watchdog;
use crate::process::{Arrived, Signals};
use crate::quit::{News, Quits};
use crate::report::{Field, Line, Report, Severity};
use crate::settings::Quitting;
use nix::poll::PollFlags;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long after its end one that has not ended by itself is taken to hang.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the command.
pub(super) fn run(settings: Quitting, report: &mut Report, signals: &Signals) -> Exit {
    let Quitting { targets, limits, trust, is_disabled } = settings;
    let names: Vec<String> = targets.iter().map(|target| target.name.clone()).collect();
    if is_disabled {
        let text = format!("PODGATE_DISABLE is set: not asking {names:?} to quit");
        report.line(&Line::new(Severity::Info, "disabled", text));
        return Exit::Passed;
    }
    report.line(&Line::new(
        Severity::Debug,
        "start",
        format!("asking {names:?} to quit: timeout {}", limits.all.map_or("none".into(), show)),
    ));
    let by_path = targets.iter().any(|target| matches!(target.url.server, Server::Socket(_)));
    let _watchdog = by_path.then(|| watchdog(&names, limits.all, report, signals));
    let mut quits = Quits::new(targets, limits, trust);
    loop {
        for news in quits.proceed() {
            if news.is_failure { report.failure(&line(&news)) } else { report.line(&line(&news)) }
        }
        if quits.is_over() {
            return if quits.are_gone() { Exit::Passed } else { Exit::NotPassed };
        }
        let mut interests: Vec<Interest<'_>> = vec![(signals.as_fd(), PollFlags::POLLIN)];
        quits.interests(&mut interests);
        if let Err(error) = event_loop::wait(&interests, quits.deadline()) {
            let text = format!("cannot wait for events: {error}; this is not about the sidecars");
            report.failure(&Line::new(Severity::Error, "failed", text));
            return Exit::Own;
        }
        while let Some(arrived) = signals.next() {
            match arrived {
                Arrived::Ending(number) => {
                    let text = format!("stopped by signal {number} {}", quits.summary());
                    report.line(&Line::new(Severity::Warning, "stopped", text));
                    return Exit::Signal(number);
                }
                Arrived::Child => {}
            }
        }
    }
}

/// News as a line.
pub(super) fn line(news: &News<'_>) -> Line {
    let severity = if news.is_failure { Severity::Error } else { Severity::Info };
    Line::new(severity, news.event, news.text.as_str()).with("target", Field::Text(news.target.to_owned()))
}

/// Watches over unix sockets, whose file system may not answer.
fn watchdog(names: &[String], all: Option<Duration>, report: &Report, signals: &Signals) -> Watchdog {
    let (mut report, names) = (report.twin(), format!("{names:?}"));
    let end = all.and_then(|all| Instant::now().checked_add(all));
    Watchdog::start(signals, end, PATIENCE, move |signal| {
        let exit = signal.map_or(Exit::NotPassed, Exit::Signal);
        let text = format!(
            "gave up: the kernel does not come back from one of {names}; see whether the server of its file system is gone"
        );
        report.failure(&Line::new(Severity::Error, "hangs", text));
        std::process::exit(exit.code().into());
    })
}
