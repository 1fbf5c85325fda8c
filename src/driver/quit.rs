//! Asks sidecars and members to quit, several at the same time, and waits until they are gone. The
//! clock is read here.

mod http;
mod member;

use self::http::Target;
use self::member::Member;
use super::watchdog::watch_over;
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::core::http::{Header, Request, Statuses};
use crate::core::member::Name;
use crate::core::quit::{Asked, Timeouts, member_target};
use crate::core::url::{Scheme, Server};
use crate::event_loop::{Interest, Poller};
use crate::members::Volume;
use crate::message::process::{Wait, cannot_wait};
use crate::message::{self, Message, Severity};
use crate::probe::Probe;
use crate::probe::http::Ask;
use crate::probe::tls::Trust;
use crate::process::watchdog::Watchdog;
use crate::process::{Arrived, Children, Signals, suspend};
use crate::report::Report;
use std::cell::RefCell;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// If a quit has not ended by itself this long after its end, it hangs in the kernel.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a member that was asked is observed.
const POLL: Duration = Duration::from_millis(20);

/// The sidecars and members that are asked.
pub(crate) struct Quits {
    targets: Vec<Target>,
    members: Vec<Member>,
    limits: Timeouts,
    start: Instant,
    /// An attempt may read the files of a client certificate.
    reads_files: bool,
}

impl Quits {
    /// Nothing is asked before [`Quits::run`]. Members are asked only if there is a volume.
    pub(crate) fn new(
        targets: Vec<Asked>,
        members: &[Name],
        volume: Option<&Rc<Volume>>,
        limits: Timeouts,
        trust: Arc<Trust>,
    ) -> Self {
        let ask = |headers: &[Header]| Ask {
            request: Arc::new(Request {
                headers: headers.to_vec(),
                ..Request::plain("POST", Statuses::Ranges(vec![(200, 299)]))
            }),
            trust: Arc::clone(&trust),
        };
        let start = Instant::now();
        let member = |volume: &Rc<Volume>| {
            let of =
                |name: &Name| Member::new(name.clone(), Rc::clone(volume), limits.clone(), start);
            members.iter().map(of).collect()
        };
        Self {
            targets: targets
                .into_iter()
                .map(|target| {
                    let ask = ask(&target.headers);
                    Target::new(target, ask, limits.clone(), start)
                })
                .collect(),
            members: volume.map(member).unwrap_or_default(),
            limits,
            start,
            reads_files: trust.reads_files(),
        }
    }

    /// Asks, and waits until all are gone. The exit code is 0 if they are, and 1 if one is not.
    /// `kept` is the exit code of `run`, whose CMD has ended before. Then a failure here does not
    /// make the container fail, and the termination message stays CMD's.
    pub(crate) fn run(
        mut self,
        report: &mut Report,
        signals: &Signals,
        children: &RefCell<Children>,
        kept: Option<Exit>,
    ) -> Exit {
        report.line(&message::quit::plan(&self.names(), self.limits.all));
        let _watchdog = self.watchdog(signals, report, kept);
        loop {
            for message in self.proceed() {
                print(report, &message, kept);
            }
            if let Some(is_gone) = self.result() {
                return if is_gone {
                    Exit::Passed
                } else {
                    Exit::NotPassed
                };
            }
            // All share one token, because everything is continued after each wait.
            let mut poller = Poller::new();
            poller.add(Interest::readable(signals.as_fd()), ());
            let attempts = self.targets.iter().filter_map(Target::under_way);
            for interest in attempts.filter_map(Probe::interest) {
                poller.add(interest, ());
            }
            if let Err(error) = poller.wait(self.deadline()) {
                report.failure(&cannot_wait(Wait::Sidecars, Errno(error as i32)));
                return Exit::Internal;
            }
            if let Some(number) = take_signals(signals, children) {
                let left = self.targets.iter().filter(|target| !target.is_over());
                let left = left.map(Target::view);
                report.line(&message::quit::stopped(number, self.start.elapsed(), left));
                return Exit::Signal(number);
            }
        }
    }

    /// Does what is due, without waiting. Returns the messages about it.
    fn proceed(&mut self) -> Vec<Message> {
        let targets = self.targets.iter_mut().flat_map(Target::proceed);
        let members = self.members.iter_mut().filter_map(Member::proceed);
        targets.chain(members).collect()
    }

    /// `true`: all are gone. `None`: the answer is not known yet.
    fn result(&self) -> Option<bool> {
        let targets = self.targets.iter().map(Target::is_gone);
        let members = self.members.iter().map(|member| member.is_gone);
        all_gone(targets.chain(members))
    }

    /// When to call [`Quits::proceed`] at the latest.
    fn deadline(&self) -> Option<Instant> {
        let targets = self.targets.iter().filter_map(Target::deadline);
        let has_open_member = self.members.iter().any(|member| member.is_gone.is_none());
        let poll = has_open_member.then(|| Instant::now().checked_add(POLL));
        targets.chain(poll.flatten()).min()
    }

    fn names(&self) -> Vec<String> {
        let targets = self.targets.iter().map(|it| it.view().target.name.clone());
        let members = self.members.iter().map(|it| member_target(&it.name));
        targets.chain(members).collect()
    }

    /// Starts a watchdog if an attempt goes by a path, whose file system may not answer: that of a
    /// unix socket or of a client certificate.
    fn watchdog(&self, signals: &Signals, report: &Report, kept: Option<Exit>) -> Option<Watchdog> {
        let is_path = |it: &Target| {
            let url = &it.view().target.url;
            matches!(url.server, Server::Socket(_))
                || (self.reads_files && url.scheme == Scheme::Tls)
        };
        if !self.targets.iter().any(is_path) {
            return None;
        }
        let end = self.limits.all.and_then(|all| self.start.checked_add(all));
        let (mut report, names) = (report.twin(), self.names());
        let more = || Duration::ZERO;
        Some(watch_over(signals, end, PATIENCE, more, move |signal| {
            print(&mut report, &message::quit::hangs(&names), kept);
            kept.unwrap_or_else(|| signal.map_or(Exit::NotPassed, Exit::Signal))
        }))
    }
}

/// Takes the signals that have arrived. Returns the number of one that ends podgate.
fn take_signals(signals: &Signals, children: &RefCell<Children>) -> Option<u8> {
    while let Some(arrived) = signals.next() {
        match arrived {
            Arrived::Ending(signal) => return Some(signal.number),
            Arrived::Child => children.borrow_mut().reap(),
            Arrived::Other(signal) => suspend(signal.number),
        }
    }
    None
}

/// `None` until every answer is known, even if one target has already failed.
fn all_gone(mut answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    answers.try_fold(true, |all, is_gone| is_gone.map(|is_gone| all && is_gone))
}

/// Prints a message. An error is the failure of podgate, except if an exit code is kept.
fn print(report: &mut Report, message: &Message, kept: Option<Exit>) {
    if message.severity == Severity::Error && kept.is_none() {
        report.failure(message);
    } else {
        report.line(message);
    }
}

#[cfg(test)]
mod tests {
    use super::all_gone;

    #[test]
    fn a_quit_lasts_until_every_answer_is_known() {
        let (gone, left, open) = (Some(true), Some(false), None);
        for (answers, result) in [
            ([gone, gone], Some(true)),
            ([gone, left], Some(false)),
            ([left, gone], Some(false)),
            ([left, open], None),
            ([open, gone], None),
        ] {
            assert_eq!(all_gone(answers.into_iter()), result, "{answers:?}");
        }
    }
}
