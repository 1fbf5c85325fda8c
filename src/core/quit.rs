//! Asking one sidecar to end, and proving that it did (P7.9, P8.2, P8.3). An answer of 2xx is only
//! a promise; a refused connection is the proof.
//!
//! There is one attempt at a time, at one of three subjects: **ask** (POST to the quit endpoint),
//! **look** at the port that was asked, and look at the readiness port, where a preset has another
//! one. A sidecar that refuses the request may be gone. But where readiness has its own port,
//! the quit endpoint may just not be enabled, so that port must refuse, too.
//!
//! | state | pass (2xx, or accepted) | refused, or no socket | closed, or not HTTP | anything else, or timed out |
//! | --- | --- | --- | --- | --- |
//! | Asking | → Verifying(quit port), at once | Verifying(ready port), at once; **Gone** if there is none | → Verifying(quit port), at once | Asking, after a pause; a longer one after a refusal |
//! | Verifying(quit port) | acknowledged: Verifying(quit port), else Asking; after a pause | Verifying(ready port), at once; **Gone** if there is none | as pass | as pass |
//! | Verifying(ready port) | as above | **Gone** | as above | as above |
//! | Gone, Failed | — | — | — | — |
//!
//! Tick: a due attempt begins; an attempt whose time is over is cancelled; at the end of the time
//! limit everything open is **Failed**. If the process was paused until after that end, there is
//! first one more round: attempts that follow each other at once, up to the next pause.
//!
//! A sidecar that has acknowledged is not asked again. It may be draining, and for some servers a
//! second request is like a second SIGTERM: drop everything now. A server that acknowledges and
//! stays (linkerd2#8033) would hardly end on a second request, either.
//!
//! An answer that will hardly change is a **refusal**: the quit endpoint is not enabled, wants a
//! token, or is another server's. It is asked again after pauses that double, because a server that
//! is starting may not know its paths yet.

use super::attempt::{Attempt, Limits, Step};
use super::check::{self, Kind};
use super::heartbeat::Heartbeat;
use super::http::Header;
use super::member::Name;
use super::outcome::{Outcome, Phase, Reason};
use super::preset::{self, Sidecar};
use super::redact;
use super::schedule::{FAR, Pace, Wake, pause};
use super::time::Time;
use super::url::{Server, Url};
use std::time::Duration;

/// The least pause between two attempts, even on this machine: a draining server may not take
/// connections any more, and each look stays in its backlog.
const FLOOR: Duration = FAR;
/// The pause after the first refusal, and the longest one.
const AFTER_REFUSAL: Duration = Duration::from_millis(250);
const LONGEST_AFTER_REFUSAL: Duration = Duration::from_secs(2);
/// The most changes of the reason that are reported.
const MOST_CHANGES: u32 = 20;

/// A process that is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Http(Asked),
    /// A member of the pod. It is asked by a request on the volume.
    Member(Name),
}

/// A target that is asked over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// As it was typed, with the user info hidden.
    pub name: String,
    /// Where the POST goes.
    pub url: Url,
    /// The preset that it was typed as.
    pub preset: Option<Sidecar>,
    /// The headers of the POST. Targets are read without any.
    pub headers: Vec<Header>,
}

impl Asked {
    /// The readiness port, if it is not the quit port. It must refuse, too.
    pub fn ready_port(&self) -> Option<u16> {
        Some(self.preset?.other_port()?.1)
    }

    /// The server and port to connect to.
    pub fn address(&self, port: Port) -> (Server, u16) {
        match (port, self.preset.and_then(Sidecar::other_port)) {
            (Port::Ready, Some(ready)) => ready,
            (Port::Quit, _) | (Port::Ready, None) => (self.url.server.clone(), self.url.port()),
        }
    }

    pub fn spec(&self, attempt_timeout: Duration, timeout: Option<Duration>) -> Spec {
        Spec {
            attempt_timeout,
            timeout,
            has_ready_port: self.ready_port().is_some(),
        }
    }
}

/// Of a preset that no request ends.
const NO_QUIT: &str = "has no quit endpoint, so it cannot be asked; start it with podgate run \
                       --name proxy --until main -- CMD, and it ends with main";
/// A target that is a member begins with this.
const MEMBER: &str = "member:";

/// A member as a target: `member:main`.
pub fn member_target(name: &Name) -> String {
    format!("{MEMBER}{name}")
}

/// Reads a target.
///
/// # Errors
/// The cause and a right example, without the text itself.
pub fn target(text: &str) -> Result<Target, String> {
    if let Some(name) = text.strip_prefix(MEMBER) {
        return Name::parse(name).map(Target::Member);
    }
    let preset = preset::parse(text).transpose()?;
    let read = match preset.map(Sidecar::quit) {
        Some(Some(url)) => check::parse(&url),
        Some(None) => return Err(NO_QUIT.to_owned()),
        None => check::parse(text),
    };
    match read.map(|check| check.kind) {
        Ok(Kind::Http(url)) => Ok(Target::Http(Asked {
            name: redact::urls(text),
            url,
            preset,
            headers: Vec::new(),
        })),
        Ok(_) => Err(
            "is a check, and cannot be asked to quit; use http://localhost:9901/quitquitquit"
                .to_owned(),
        ),
        Err(cause) if text.contains("://") || preset::nearest(text).is_some() => Err(cause),
        Err(_) => Err(format!(
            "cannot be asked to quit; use http://localhost:9901/quitquitquit, member:NAME, or one \
             of {}",
            preset::Names
        )),
    }
}

/// The time limits of a quit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Of one attempt.
    pub attempt: Duration,
    /// Of the whole quit; no limit if `None`.
    pub all: Option<Duration>,
    /// The option or variable that sets `all`, for messages.
    pub option: String,
}

/// A port of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    Quit,
    /// The readiness port, if it is another one.
    Ready,
}

/// What an attempt is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Ask,
    /// See whether a connection is still accepted.
    Look(Port),
}

/// The settings of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// How long an attempt may take.
    pub attempt_timeout: Duration,
    /// How long it may take in all. `None`: as long as it takes.
    pub timeout: Option<Duration>,
    /// Whether a readiness port must refuse, too.
    pub has_ready_port: bool,
}

/// An input of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passed: [`Quit::deadline`] is reached, or nothing in particular.
    Tick,
    /// The attempt ended by itself.
    Ended(Outcome),
    /// The attempt was cancelled, as requested; what it was doing.
    Cancelled(Phase),
}

/// An output of the machine, to be carried out in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Begin an attempt.
    Attempt {
        subject: Subject,
        /// When its time is over.
        until: Time,
    },
    /// End the attempt, and answer with [`Event::Cancelled`].
    Cancel,
    /// Report this.
    Notice(Notice),
    /// The answer. No event changes it.
    Finish(Verdict),
}

/// What is reported until the answer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The target said that it will end.
    Acknowledged,
    /// It is not known to be gone, for a different reason than before.
    Waiting,
    /// Nothing changed for a while.
    Heartbeat,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was gone before it was asked.
    Already,
    Gone,
    /// It is still there, or may be.
    Failed,
}

/// Why the target is not known to be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The reason of the latest attempt.
    Reason(Reason),
    /// This port accepts connections.
    Accepts(Port),
}

#[derive(Debug, Clone)]
pub struct Quit {
    spec: Spec,
    start: Time,
    attempt: Attempt,
    /// The subject of the attempt.
    subject: Subject,
    /// The pause before the attempt that is due.
    pace: Duration,
    last_round: LastRound,
    verdict: Option<Verdict>,
    is_acknowledged: bool,
    why: Option<Why>,
    /// How often the reason has changed.
    changes: u32,
    /// How many refusals came one after the other.
    refusals: u32,
    heartbeat: Heartbeat,
    /// How often the target was asked.
    pub asked: u32,
}

/// The attempts after the end of the time limit, if the process was paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastRound {
    /// The end is not reached.
    NotYet,
    /// It begins when the attempt before it is cancelled.
    Owed,
    UnderWay,
    /// There was none, or it is over.
    Over,
}

impl Quit {
    /// A machine that begins to ask now.
    pub fn new(spec: Spec, now: Time) -> Self {
        Self {
            spec,
            start: now,
            attempt: Attempt::Due(now),
            subject: Subject::Ask,
            pace: FLOOR,
            last_round: LastRound::NotYet,
            verdict: None,
            is_acknowledged: false,
            why: None,
            changes: 0,
            refusals: 0,
            heartbeat: Heartbeat::new(now),
            asked: 0,
        }
    }

    /// When [`Event::Tick`] is due next; `None` when it is over.
    pub fn deadline(&self) -> Option<Time> {
        if self.verdict.is_some() {
            return None;
        }
        let end = self.limits().end;
        self.attempt
            .deadline()
            .into_iter()
            .chain(end.filter(|_| self.last_round == LastRound::NotYet))
            .chain([self.heartbeat.next()])
            .min()
    }

    /// How long it has taken.
    pub fn waited(&self, now: Time) -> Duration {
        now.since(self.start)
    }

    fn limits(&self) -> Limits {
        Limits {
            attempt: self.spec.attempt_timeout,
            end: self.spec.timeout.map(|timeout| self.start.plus(timeout)),
        }
    }

    /// The limits of the attempt that is due or under way.
    fn limits_of_attempt(&self) -> Limits {
        let limits = self.limits();
        match self.last_round {
            LastRound::NotYet | LastRound::Owed | LastRound::Over => limits,
            LastRound::UnderWay => Limits {
                attempt: limits
                    .attempt
                    .min(self.spec.timeout.unwrap_or(limits.attempt)),
                end: None,
            },
        }
    }

    fn is_closing(&self, now: Time) -> bool {
        self.limits().is_over(now)
    }

    /// Takes an event, and returns what is to be done, in this order.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.verdict.is_some() {
            return actions;
        }
        if self.last_round == LastRound::NotYet && self.is_closing(now) {
            self.last_round = if self.attempt.is_overdue(now, self.pace) {
                LastRound::Owed
            } else {
                LastRound::Over
            };
        }
        match event {
            Event::Tick => self.tick(now, &mut actions),
            Event::Ended(outcome) => self.ended(now, outcome, &mut actions),
            Event::Cancelled(phase) => {
                if let Some(reason) = self.attempt.timed_out(phase, String::new()) {
                    self.ended(now, Outcome::NotYet(reason), &mut actions);
                }
            }
        }
        // Nothing begins after the time limit, except the last round.
        let may_begin = matches!(self.last_round, LastRound::Owed | LastRound::UnderWay);
        if self.attempt.since().is_none() && self.is_closing(now) && !may_begin {
            self.verdict.get_or_insert(Verdict::Failed);
        }
        actions.extend(self.verdict.map(Action::Finish));
        actions
    }

    fn tick(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.last_round == LastRound::Owed && self.attempt.since().is_none() {
            self.last_round = LastRound::UnderWay;
            self.attempt = Attempt::Due(now);
        }
        match self.attempt.tick(now, self.limits_of_attempt()) {
            Some(Step::Begin { until }) => {
                if self.subject == Subject::Ask {
                    self.asked = self.asked.saturating_add(1);
                }
                actions.push(Action::Attempt {
                    subject: self.subject,
                    until,
                });
            }
            Some(Step::Cancel) => actions.push(Action::Cancel),
            None => {}
        }
        if self.heartbeat.beat(now) && !self.is_closing(now) {
            actions.push(Action::Notice(Notice::Heartbeat));
        }
    }

    fn ended(&mut self, now: Time, outcome: Outcome, actions: &mut Vec<Action>) {
        let Some(since) = self.attempt.since() else {
            return;
        };
        let refused = matches!(outcome, Outcome::NotYet(Reason::Refused | Reason::NoFile));
        if refused {
            match self.subject {
                Subject::Ask | Subject::Look(Port::Quit) if self.spec.has_ready_port => {
                    self.next(Subject::Look(Port::Ready), now);
                }
                Subject::Ask | Subject::Look(Port::Quit | Port::Ready) => {
                    let verdict = if self.why.is_none() && !self.is_acknowledged {
                        Verdict::Already
                    } else {
                        Verdict::Gone
                    };
                    self.verdict = Some(verdict);
                }
            }
            return;
        }
        let why = match (self.subject, outcome) {
            (Subject::Ask, Outcome::Pass) => {
                self.is_acknowledged = true;
                // An earlier answer does not count any more.
                self.why = None;
                actions.push(Action::Notice(Notice::Acknowledged));
                return self.next(Subject::Look(Port::Quit), now);
            }
            (Subject::Ask, Outcome::NotYet(reason @ (Reason::Closed | Reason::NotHttp(_)))) => {
                self.note(now, Why::Reason(reason), actions);
                return self.next(Subject::Look(Port::Quit), now);
            }
            // It is alive, and its answer stays the reason.
            (Subject::Look(Port::Quit), Outcome::Pass) if !self.is_acknowledged => None,
            (Subject::Look(port), Outcome::Pass) => Some(Why::Accepts(port)),
            (_, Outcome::NotYet(reason) | Outcome::Never(reason)) => Some(Why::Reason(reason)),
        };
        let is_refusal =
            matches!(&why, Some(Why::Reason(reason)) if !self.is_acknowledged && refuses(reason));
        if let Some(why) = why {
            self.note(now, why, actions);
        }
        let pause = if is_refusal {
            self.refusals = self.refusals.saturating_add(1);
            Some(after_refusals(self.refusals))
        } else {
            self.refusals = 0;
            pause(
                Pace::Proportional,
                Wake::Asked,
                FLOOR,
                self.waited(now),
                now.since(since),
            )
        };
        let subject = if self.is_acknowledged {
            Subject::Look(Port::Quit)
        } else {
            Subject::Ask
        };
        self.pace = pause.unwrap_or(FLOOR);
        let at = match self.last_round {
            LastRound::Owed => now,
            LastRound::NotYet | LastRound::UnderWay | LastRound::Over => now.plus(self.pace),
        };
        if self.last_round == LastRound::UnderWay {
            self.last_round = LastRound::Over;
        }
        self.next(subject, at);
    }

    fn next(&mut self, subject: Subject, at: Time) {
        self.subject = subject;
        self.attempt = Attempt::Due(at);
    }

    fn note(&mut self, now: Time, why: Why, actions: &mut Vec<Action>) {
        // The time limit cancelled the attempt. The reason before it is more useful.
        let is_cancelled =
            self.is_closing(now) && matches!(why, Why::Reason(Reason::TimedOut { .. }));
        if (is_cancelled && self.why.is_some()) || self.why.as_ref() == Some(&why) {
            return;
        }
        self.why = Some(why);
        self.changes = self.changes.saturating_add(1);
        if self.changes <= MOST_CHANGES && !self.is_closing(now) {
            actions.push(Action::Notice(Notice::Waiting));
        }
    }

    /// Why the target is not known to be gone; `None` before its first answer.
    pub const fn why(&self) -> Option<&Why> {
        self.why.as_ref()
    }

    /// Whether the target has answered the quit with a status of 2xx.
    pub const fn is_acknowledged(&self) -> bool {
        self.is_acknowledged
    }
}

/// Whether a target that gives this reason will hardly answer otherwise to the next request.
const fn refuses(reason: &Reason) -> bool {
    // 408 and 425 ask for another request. 429 asks for fewer of them.
    matches!(
        reason,
        Reason::Status(400..=407 | 409..=424 | 426..=499 | 501)
            | Reason::BadRedirect(_)
            | Reason::TooManyRedirects
            | Reason::UnknownIssuer
            | Reason::WrongName(_)
            | Reason::Certificate(_)
            | Reason::HttpsPort(_)
    )
}

/// The pause after this many refusals in a row.
fn after_refusals(count: u32) -> Duration {
    let doubled = 1_u32
        .checked_shl(count.saturating_sub(1))
        .unwrap_or(u32::MAX);
    AFTER_REFUSAL
        .saturating_mul(doubled)
        .min(LONGEST_AFTER_REFUSAL)
}

#[cfg(test)]
mod tests {
    use super::{
        Action, Asked, Event, FLOOR, LONGEST_AFTER_REFUSAL, Notice, Port, Quit, Spec, Subject,
        Target, Verdict, Why, after_refusals, target,
    };
    use crate::core::member::Name;
    use crate::core::outcome::{BadAnswer, Outcome, Phase, Reason};
    use crate::core::time::Time;
    use crate::core::url::{Host, Server};
    use proptest::prelude::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);
    const ASK: Subject = Subject::Ask;
    const QUIT: Subject = Subject::Look(Port::Quit);
    const READY: Subject = Subject::Look(Port::Ready);

    fn at(millis: u64) -> Time {
        Time::at(Duration::from_millis(millis))
    }

    fn spec(has_ready_port: bool) -> Spec {
        Spec {
            attempt_timeout: SECOND,
            timeout: Some(10 * SECOND),
            has_ready_port,
        }
    }

    fn not_yet(reason: Reason) -> Outcome {
        Outcome::NotYet(reason)
    }

    fn asked(text: &str) -> Asked {
        match target(text).unwrap_or_else(|error| panic!("{text}: {error}")) {
            Target::Http(asked) => asked,
            Target::Member(name) => panic!("{name}"),
        }
    }

    /// Plays outcomes one after the other, with ticks between. Returns the subjects of the
    /// attempts, the verdict and the machine.
    fn played(has_ready_port: bool, outcomes: &[Outcome]) -> (Vec<Subject>, Option<Verdict>, Quit) {
        let mut quit = Quit::new(spec(has_ready_port), at(0));
        let (mut subjects, mut verdict, mut now) = (Vec::new(), None, at(0));
        let mut outcomes = outcomes.iter();
        while verdict.is_none() {
            now = quit.deadline().expect("a deadline").max(now);
            let mut actions = quit.handle(now, Event::Tick);
            if let Some(subject) = actions.iter().find_map(|action| match action {
                Action::Attempt { subject, .. } => Some(*subject),
                _ => None,
            }) {
                subjects.push(subject);
                match outcomes.next() {
                    Some(outcome) => actions = quit.handle(now, Event::Ended(outcome.clone())),
                    None => break,
                }
            }
            verdict = actions.iter().find_map(|action| match action {
                Action::Finish(verdict) => Some(*verdict),
                _ => None,
            });
        }
        (subjects, verdict, quit)
    }

    #[test]
    fn each_end_of_an_attempt_leads_to_the_next_attempt_or_a_verdict() {
        use Reason::{Closed, NoFile, Refused, Status};
        let (refused, closed, pass) = (not_yet(Refused), not_yet(Closed), Outcome::Pass);
        let (no_file, busy, bad) = (
            not_yet(NoFile),
            not_yet(Status(503)),
            not_yet(Reason::NotHttp(BadAnswer::BrokenBody)),
        );
        let (already, gone) = (Some(Verdict::Already), Some(Verdict::Gone));
        type Play<'a> = (bool, &'a [&'a Outcome], &'a [Subject], Option<Verdict>);
        let plays: &[Play<'_>] = &[
            // Asking.
            (false, &[&refused], &[ASK], already),
            (false, &[&no_file], &[ASK], already),
            (false, &[&pass], &[ASK, QUIT], None),
            (false, &[&closed], &[ASK, QUIT], None),
            (false, &[&bad], &[ASK, QUIT], None),
            (false, &[&busy], &[ASK, ASK], None),
            (false, &[&busy, &refused], &[ASK, ASK], gone),
            (true, &[&refused], &[ASK, READY], None),
            (true, &[&refused, &refused], &[ASK, READY], already),
            // Verifying, acknowledged.
            (false, &[&pass, &refused], &[ASK, QUIT], gone),
            (false, &[&pass, &no_file], &[ASK, QUIT], gone),
            (
                false,
                &[&pass, &pass, &busy, &refused],
                &[ASK, QUIT, QUIT, QUIT],
                gone,
            ),
            (
                true,
                &[&pass, &refused, &refused],
                &[ASK, QUIT, READY],
                gone,
            ),
            (
                true,
                &[&pass, &refused, &pass, &refused, &refused],
                &[ASK, QUIT, READY, QUIT, READY],
                gone,
            ),
            // Verifying, not acknowledged.
            (false, &[&closed, &refused], &[ASK, QUIT], gone),
            (
                false,
                &[&closed, &pass, &closed],
                &[ASK, QUIT, ASK, QUIT],
                None,
            ),
            (false, &[&closed, &busy], &[ASK, QUIT, ASK], None),
            (true, &[&refused, &pass], &[ASK, READY, ASK], None),
            (
                true,
                &[&refused, &busy, &refused, &refused],
                &[ASK, READY, ASK, READY],
                gone,
            ),
        ];
        for (has_ready_port, outcomes, subjects, verdict) in plays {
            let outcomes: Vec<Outcome> = outcomes.iter().map(|it| (*it).clone()).collect();
            let (found, ended, _) = played(*has_ready_port, &outcomes);
            assert_eq!(
                (found.as_slice(), ended),
                (*subjects, *verdict),
                "{has_ready_port} {outcomes:?}"
            );
        }
    }

    #[test]
    fn an_event_that_does_not_fit_the_state_is_ignored() {
        let mut quit = Quit::new(spec(false), at(0));
        assert_eq!(quit.handle(at(0), Event::Ended(Outcome::Pass)), []);
        assert_eq!(quit.handle(at(0), Event::Cancelled(Phase::Answer)), []);
        assert_eq!(
            quit.handle(at(0), Event::Tick),
            [Action::Attempt {
                subject: ASK,
                until: at(1000)
            }]
        );
        assert_eq!(quit.handle(at(0), Event::Cancelled(Phase::Answer)), []);
        assert_eq!(
            quit.handle(at(1000), Event::Tick),
            [Action::Cancel, Action::Notice(Notice::Heartbeat)]
        );
        assert_eq!(quit.handle(at(1000), Event::Tick), []);
        assert_eq!(
            quit.handle(at(1000), Event::Cancelled(Phase::Answer)),
            [Action::Notice(Notice::Waiting)]
        );
        assert_eq!(quit.deadline(), Some(at(1020)));
        assert_eq!(quit.handle(at(1020), Event::Tick).len(), 1);
        let refused = Event::Ended(not_yet(Reason::Refused));
        assert_eq!(
            quit.handle(at(1020), refused.clone()),
            [Action::Finish(Verdict::Gone)]
        );
        for event in [Event::Tick, refused, Event::Cancelled(Phase::Answer)] {
            assert_eq!(quit.handle(at(1020), event), []);
        }
        assert_eq!(quit.deadline(), None);
    }

    #[test]
    fn the_end_cancels_the_attempt_and_keeps_the_earlier_reason() {
        let mut quit = Quit::new(spec(false), at(0));
        quit.handle(at(0), Event::Tick);
        quit.handle(at(9500), Event::Ended(not_yet(Reason::Status(404))));
        assert_eq!(
            quit.handle(at(9750), Event::Tick)[0],
            Action::Attempt {
                subject: ASK,
                until: at(10_000)
            }
        );
        assert_eq!(quit.handle(at(10_000), Event::Tick), [Action::Cancel]);
        assert_eq!(
            quit.handle(at(10_000), Event::Cancelled(Phase::Answer)),
            [Action::Finish(Verdict::Failed)]
        );
        assert_eq!(quit.why(), Some(&Why::Reason(Reason::Status(404))));
    }

    #[test]
    fn a_refusal_is_asked_again_at_growing_distances() {
        let asked = |status, answers: usize| {
            let outcomes = vec![not_yet(Reason::Status(status)); answers];
            let (_, verdict, quit) = played(false, &outcomes);
            (quit.asked, verdict)
        };
        for status in [400, 401, 403, 404, 405, 410, 429, 501] {
            // After 0, 250, 750 and 1750 ms, and then every 2 s.
            assert_eq!(asked(status, 500), (8, Some(Verdict::Failed)), "{status}");
        }
        for status in [408, 425, 500, 503] {
            let (asks, verdict) = asked(status, 500);
            assert!(
                asks > 100 && verdict == Some(Verdict::Failed),
                "{status}: {asks}"
            );
        }
        // Another answer begins anew.
        let outcomes = [404, 404, 404, 503, 404].map(|it| not_yet(Reason::Status(it)));
        let (_, _, quit) = played(false, &outcomes);
        assert_eq!(quit.refusals, 1);
        assert_eq!(after_refusals(u32::MAX), LONGEST_AFTER_REFUSAL);
    }

    #[test]
    fn the_last_reason_and_the_acknowledgement_are_kept() {
        let (accepts, refused) = (Outcome::Pass, not_yet(Reason::Refused));
        let status = |status| Some(Why::Reason(Reason::Status(status)));
        for (has_ready_port, outcomes, why, is_acknowledged) in [
            (
                false,
                vec![Outcome::Pass, accepts.clone()],
                Some(Why::Accepts(Port::Quit)),
                true,
            ),
            (
                false,
                vec![not_yet(Reason::Status(404))],
                status(404),
                false,
            ),
            (
                false,
                vec![not_yet(Reason::Status(503)), Outcome::Pass],
                None,
                true,
            ),
            (
                false,
                vec![not_yet(Reason::Closed), accepts.clone()],
                Some(Why::Reason(Reason::Closed)),
                false,
            ),
            (
                true,
                vec![refused.clone(), accepts.clone()],
                Some(Why::Accepts(Port::Ready)),
                false,
            ),
            (
                true,
                vec![Outcome::Pass, refused, accepts],
                Some(Why::Accepts(Port::Ready)),
                true,
            ),
        ] {
            let (_, _, quit) = played(has_ready_port, &outcomes);
            assert_eq!(quit.why(), why.as_ref(), "{outcomes:?}");
            assert_eq!(quit.is_acknowledged(), is_acknowledged, "{outcomes:?}");
        }
    }

    #[test]
    fn targets_are_read() {
        assert_eq!(
            target("member:proxy-1"),
            Name::parse("proxy-1").map(Target::Member)
        );
        let istio = asked("istio");
        assert_eq!(istio.url.to_string(), "http://127.0.0.1:15020/quitquitquit");
        let host = |name: &str, port: Option<u16>| Server::Host(Host::Name(name.to_owned()), port);
        assert_eq!(istio.address(Port::Quit), (istio.url.server.clone(), 15020));
        assert_eq!(istio.address(Port::Ready), (host("localhost", None), 15021));
        assert!(istio.spec(SECOND, None).has_ready_port);
        assert!(!asked("envoy:1").spec(SECOND, None).has_ready_port);
        assert_eq!(asked("https://u:p@h/q").name, "https://***@h/q");
        assert_eq!(
            asked("https://h/q").address(Port::Quit),
            (host("h", None), 443)
        );
        assert_eq!(
            asked("http+unix://%2Fs/q").address(Port::Quit).0,
            Server::Socket("/s".to_owned())
        );
        let long = format!("member:{}", "a".repeat(64));
        for (text, part) in [
            ("member:", "not a member's name"),
            ("member:-a", "not a member's name"),
            ("member:A", "not a member's name"),
            ("member:a/b", "not a member's name"),
            (long.as_str(), "not a member's name"),
            ("tcp://h:1", "is a check"),
            ("exec:true", "is a check"),
            ("Istio", "use istio for"),
            ("envoy:0", "use envoy:9901"),
            ("db:5432", "quitquitquit"),
            ("", "member:NAME"),
            ("http://h/a b", "%20"),
            ("kuma", "podgate run --name proxy --until main -- CMD"),
            ("otel-collector:1", "has no quit endpoint"),
            ("tailscale", "has no quit endpoint"),
        ] {
            let error = target(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    /// A quit of 10 s whose latest attempt was answered with 503 at 5000. The next one is due at
    /// 5100.
    fn busy_at_5000(has_ready_port: bool) -> Quit {
        let mut quit = Quit::new(spec(has_ready_port), at(0));
        for now in [0, 5000] {
            quit.handle(at(now), Event::Tick);
            quit.handle(at(now), Event::Ended(not_yet(Reason::Status(503))));
        }
        quit
    }

    #[test]
    fn a_quit_that_was_paused_past_its_end_has_one_last_round() {
        let attempt = |subject, until| Action::Attempt { subject, until };
        let ended = |outcome| Event::Ended(outcome);
        let refused = || ended(not_yet(Reason::Refused));
        let gone = [Action::Finish(Verdict::Gone)];
        let failed = [Action::Finish(Verdict::Failed)];

        let mut quit = busy_at_5000(true);
        let until = at(61_000);
        assert_eq!(quit.handle(at(60_000), Event::Tick), [attempt(ASK, until)]);
        assert_eq!(quit.handle(at(60_000), refused()), []);
        assert_eq!(
            quit.handle(at(60_000), Event::Tick),
            [attempt(READY, until)]
        );
        assert_eq!(quit.handle(at(60_000), refused()), gone);

        let mut quit = busy_at_5000(false);
        quit.handle(at(60_000), Event::Tick);
        assert_eq!(
            quit.handle(at(60_001), ended(not_yet(Reason::Status(503)))),
            failed
        );

        // An attempt that was under way is first cancelled.
        let mut quit = busy_at_5000(false);
        quit.handle(at(5100), Event::Tick);
        assert_eq!(quit.handle(at(60_000), Event::Tick), [Action::Cancel]);
        assert_eq!(quit.handle(at(60_000), Event::Cancelled(Phase::Answer)), []);
        assert_eq!(quit.deadline(), Some(at(60_000)));
        assert_eq!(quit.handle(at(60_000), Event::Tick), [attempt(ASK, until)]);
        assert_eq!(quit.handle(at(60_000), refused()), gone);

        // Without a pause there is none.
        let mut quit = busy_at_5000(false);
        quit.handle(at(9900), Event::Tick);
        quit.handle(at(9900), ended(not_yet(Reason::Status(503))));
        assert_eq!(quit.handle(at(10_000), Event::Tick), failed);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Ends(u64, Outcome),
        Hangs,
        /// The process is paused for so long, and the target answers 503.
        Paused(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let outcome = prop_oneof![
            3 => Just(not_yet(Reason::Refused)),
            4 => Just(Outcome::Pass),
            1 => Just(not_yet(Reason::NoFile)),
            2 => Just(not_yet(Reason::Closed)),
            3 => Just(not_yet(Reason::Status(503))),
            2 => Just(not_yet(Reason::Status(404))),
            1 => Just(Outcome::Never(Reason::TooManyRedirects)),
        ];
        let ends = (0_u64..1500, outcome).prop_map(|(took, outcome)| Step::Ends(took, outcome));
        let paused = (0_u64..30_000).prop_map(Step::Paused);
        prop_oneof![12 => ends, 2 => Just(Step::Hangs), 1 => paused]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_quit_keeps_its_promises(
            has_ready_port in any::<bool>(),
            timeout in proptest::option::of(1_u64..20_000),
            steps in proptest::collection::vec(step(), 1..60),
        ) {
            let spec = Spec {
                timeout: timeout.map(Duration::from_millis),
                ..spec(has_ready_port)
            };
            let end = timeout.map(at);
            let mut quit = Quit::new(spec, at(0));
            let mut steps = steps.into_iter().cycle();
            let mut flying: Option<(Subject, Option<Time>, Outcome)> = None;
            let mut ends: Vec<(Subject, Option<Outcome>)> = Vec::new();
            let mut last_ask: Option<Time> = None;
            let (mut now, mut verdict) = (at(0), None);
            // How long the process does not run now, and the attempts after the end.
            let (mut pause, mut paused, mut last_round) = (Duration::ZERO, false, 0);
            for _ in 0..3000 {
                let deadline = quit
                    .deadline()
                    .expect("until it is over there is a deadline");
                let natural = flying.as_ref().and_then(|(_, end, _)| *end);
                now = natural.map_or(deadline, |end| end.min(deadline)).max(now).plus(pause);
                pause = Duration::ZERO;
                let mut queue = Vec::new();
                if let Some((subject, Some(_), outcome)) =
                    flying.take_if(|(_, end, _)| end.is_some_and(|end| end <= now))
                {
                    ends.push((subject, Some(outcome.clone())));
                    queue.push(Event::Ended(outcome));
                }
                queue.push(Event::Tick);
                while !queue.is_empty() && verdict.is_none() {
                    for action in quit.handle(now, queue.remove(0)) {
                        prop_assert_eq!(verdict, None, "nothing comes after Finish");
                        match action {
                            Action::Attempt { subject, until } => {
                                prop_assert!(flying.is_none(), "one attempt at a time");
                                prop_assert!(until <= now.plus(SECOND));
                                if let Some(end) = end {
                                    let is_last = now >= end;
                                    last_round += u32::from(is_last);
                                    prop_assert!(until <= end || is_last);
                                    prop_assert!(!is_last || paused, "only after a pause");
                                    prop_assert!(last_round <= 3, "one round");
                                }
                                if subject == ASK {
                                    prop_assert!(
                                        !ends.contains(&(ASK, Some(Outcome::Pass))),
                                        "a target that has acknowledged is not asked again"
                                    );
                                    prop_assert!(
                                        last_ask.is_none_or(|last| now.since(last) >= FLOOR),
                                        "no two at once"
                                    );
                                    last_ask = Some(now);
                                }
                                flying = Some(match steps.next().expect("endless") {
                                    Step::Ends(took, outcome) => (
                                        subject,
                                        Some(now.plus(Duration::from_millis(took))),
                                        outcome,
                                    ),
                                    Step::Hangs => (subject, None, Outcome::Pass),
                                    Step::Paused(ms) => {
                                        pause = Duration::from_millis(ms);
                                        paused = true;
                                        (subject, Some(now), not_yet(Reason::Status(503)))
                                    }
                                });
                            }
                            Action::Cancel => {
                                let (subject, _, _) =
                                    flying.take().expect("only what runs is cancelled");
                                ends.push((subject, None));
                                queue.push(Event::Cancelled(Phase::Answer));
                            }
                            Action::Notice(_) => {}
                            Action::Finish(it) => verdict = Some(it),
                        }
                    }
                    if verdict.is_none() && queue.is_empty() && flying.is_none() {
                        prop_assert!(quit.deadline().is_some_and(|next| next >= now));
                    }
                }
                if verdict.is_some() {
                    break;
                }
            }
            let refused = |end: Option<&(Subject, Option<Outcome>)>, subjects: &[Subject]| {
                end.is_some_and(|(subject, outcome)| {
                    subjects.contains(subject)
                        && matches!(
                            outcome,
                            Some(Outcome::NotYet(Reason::Refused | Reason::NoFile))
                        )
                })
            };
            let mut latest = ends.iter().rev();
            match verdict {
                Some(Verdict::Already | Verdict::Gone) => {
                    // The proof: the latest attempt at each of its ports was refused.
                    if has_ready_port {
                        prop_assert!(refused(latest.next(), &[READY]), "{:?}", ends);
                    }
                    prop_assert!(refused(latest.next(), &[ASK, QUIT]), "{:?}", ends);
                    if verdict == Some(Verdict::Already) {
                        prop_assert!(ends.len() == 1 + usize::from(has_ready_port), "{:?}", ends);
                    }
                }
                Some(Verdict::Failed) => {
                    prop_assert!(
                        Some(now) == end || (paused && Some(now) > end),
                        "at its time, not sooner and not later"
                    )
                }
                None => prop_assert!(end.is_none() || paused, "it ends in time"),
            }
        }
    }
}
