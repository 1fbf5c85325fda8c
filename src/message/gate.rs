//! What a gate reports while it waits and when it ends.

use super::{Field, LogEvent, Message, Severity, member, quoted, reason};
use crate::core::check::Check;
use crate::core::duration::show;
use crate::core::gate::{GaveUp, Need, Progress, Spec};
use crate::core::outcome::{MemberState, Reason};
use crate::core::schedule::Pace;
use crate::core::signal;
use crate::core::time::Time;
use std::time::Duration;

/// How many checks a summary names.
const NAMED: usize = 3;

/// A gate at one moment.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub checks: &'a [Check],
    /// Of each check.
    pub progress: &'a [Progress],
    pub need: Need,
    /// How long the gate has waited.
    pub waited: Duration,
}

impl<'a> View<'a> {
    /// The checks that have not passed.
    pub fn open(&self) -> impl Iterator<Item = (&'a Check, &'a Progress)> + use<'a> {
        let checks = self.checks.iter().zip(self.progress);
        checks.filter(|(_, progress)| !progress.has_passed())
    }

    /// The check with this index.
    fn get(&self, index: usize) -> Option<(&'a Check, &'a Progress)> {
        self.checks.get(index).zip(self.progress.get(index))
    }
}

/// The plan of a gate, for `--verbose`.
pub fn plan(checks: &[Check], spec: &Spec) -> Message {
    let need = match spec.need {
        Need::All => "all",
        Need::Any => "any",
    };
    let pace = match spec.pace {
        Pace::Proportional => "pauses of 2% of the wait between attempts".to_owned(),
        Pace::Every(interval) => format!("an attempt every {}", show(interval)),
        Pace::Once => "one attempt".to_owned(),
    };
    let timeout = spec.timeout.map_or("none".to_owned(), show);
    let failures = spec
        .failure_threshold
        .map_or("none".to_owned(), |most| most.to_string());
    let text = format!(
        "waiting for {need} of {}: {pace}, timeout {timeout}, attempt timeout {}, \
         initial delay {}, success threshold {}, failure threshold {failures}",
        quoted(&names(checks)),
        show(spec.attempt_timeout),
        show(spec.initial_delay),
        spec.success_threshold
    );
    Message::new(Severity::Debug, LogEvent::Start, text)
}

/// A wait without checks.
pub fn nothing_to_wait_for() -> Message {
    let text = "nothing to wait for: no CHECK is given and PODGATE_CHECKS is empty";
    Message::new(Severity::Info, LogEvent::Nothing, text)
}

/// A word of an `exec:` check looks like an operator of a shell.
pub fn no_shell(check: &str, word: &str) -> Message {
    let text = format!(
        "{check:?}: podgate runs no shell, so {word:?} is a plain argument; \
         use exec:sh -c '…' to run a shell"
    );
    Message::new(Severity::Warning, LogEvent::NoShell, text)
}

/// The check `index` has passed. `unseen` is the state of a member that was never seen.
pub fn passed(view: &View<'_>, index: usize, unseen: Option<&MemberState>) -> Option<Message> {
    let (check, progress) = view.get(index)?;
    let text = format!(
        "{:?} passed after {} ({}){}",
        check.name,
        show(view.waited),
        attempts(progress),
        unseen_member(unseen)
    );
    let message = Message::new(Severity::Info, LogEvent::Passed, text);
    Some(about(message, check, progress, view.waited))
}

/// The check `index` does not pass, for another reason than before.
pub fn waiting(view: &View<'_>, index: usize) -> Option<Message> {
    let (check, progress) = view.get(index)?;
    let text = format!("waiting for {:?}: {}", check.name, why(check, progress));
    let message = Message::new(Severity::Info, LogEvent::Waiting, text);
    Some(about(message, check, progress, view.waited))
}

/// Nothing has changed for a while.
pub fn still_waiting(view: &View<'_>) -> Message {
    let attempts = view
        .open()
        .map(|(_, progress)| u128::from(progress.attempts));
    let (waited, summary) = (show(view.waited), summary(view));
    let text = format!("still waiting after {waited}: {summary}");
    Message::new(Severity::Info, LogEvent::Heartbeat, text)
        .with("waited_ms", Field::Number(view.waited.as_millis()))
        .with("attempts", Field::Number(attempts.sum()))
}

/// The live line of a terminal.
pub fn live(view: &View<'_>) -> String {
    let all = view.checks.len();
    let passed = all.saturating_sub(view.open().count());
    let of = if all > 1 {
        format!(" [{passed}/{all} passed]")
    } else {
        String::new()
    };
    let seconds = view.waited.as_secs();
    let tenths = view.waited.subsec_millis() / 100;
    let summary = summary(view);
    format!("podgate: {seconds}.{tenths}s{of} waiting for {summary}")
}

/// The gate did not open: what it waited for, how long, why, and what to do. `now` is on the
/// gate's clock, and `limit` is the option that sets its time limit.
pub fn gave_up(view: &View<'_>, reason: GaveUp, now: Time, limit: &str) -> Message {
    let failed = match reason {
        GaveUp::Failed(index) if view.need == Need::All => view.get(index),
        GaveUp::TimedOut | GaveUp::Failed(_) => None,
    };
    let first = failed.or_else(|| view.open().next());
    let (advice, needs) = first.map_or(("check its log", String::new()), |(check, progress)| {
        (advice(check, progress), needs(check, progress))
    });
    let last = |progress: &Progress| {
        let ago = progress
            .last
            .as_ref()
            .map(|(_, at)| format!(", the last {} ago", show(now.since(*at))))
            .unwrap_or_default();
        format!("{}{ago}", attempts(progress))
    };
    let what = match failed {
        Some((check, progress)) if progress.can_never_pass() => {
            format!("{:?} can never pass: {}", check.name, why(check, progress))
        }
        Some((check, progress)) => format!(
            "{:?}: {} ({}; --failure-threshold is reached)",
            check.name,
            why(check, progress),
            last(progress)
        ),
        None => match (view.open().next(), view.open().count()) {
            (Some((check, progress)), 1) => {
                format!(
                    "{:?}: {} ({})",
                    check.name,
                    why(check, progress),
                    last(progress)
                )
            }
            (_, open) if view.need == Need::Any => {
                format!("none of {open} checks passed: {}", summary(view))
            }
            (_, open) => {
                let all = view.checks.len();
                format!("{open} of {all} checks did not pass: {}", summary(view))
            }
        },
    };
    let longer = match reason {
        GaveUp::TimedOut if advice.ends_with('?') => format!(" If it needs longer, raise {limit}"),
        GaveUp::TimedOut => format!(", or raise {limit}"),
        GaveUp::Failed(_) => String::new(),
    };
    let waited = show(view.waited);
    let text = format!("gave up after {waited}: {what}; {advice}{longer}{needs}");
    let message = Message::new(Severity::Error, LogEvent::GaveUp, text)
        .with("waited_ms", Field::Number(view.waited.as_millis()));
    match first {
        Some((check, progress)) => about_check(message, check, progress),
        None => message,
    }
}

/// The same message where `--on-timeout run` continues.
#[must_use]
pub fn continued(mut message: Message) -> Message {
    message.severity = Severity::Warning;
    message
        .text
        .push_str("; continuing because of --on-timeout run");
    message
}

/// A signal ended the wait for `checks`, as [`summary`] names them.
pub fn stopped(number: u8, waited: Duration, checks: &str) -> Message {
    let (name, waited) = (signal::name(number), show(waited));
    let text = format!("stopped by {name} after {waited}: {checks}");
    Message::new(Severity::Warning, LogEvent::Stopped, text)
}

/// The same where a command was to be started after the wait.
pub fn stopped_before_cmd(number: u8, waited: Duration, checks: &str) -> Message {
    let mut message = stopped(number, waited, checks);
    message.text.push_str("; the command was not started");
    message
}

/// A system call on the path of a check does not return. `signal` is the signal that asks podgate
/// to end, or `None` at the end of the time limit.
pub fn hangs(checks: &[String], signal: Option<u8>, waited: Duration) -> Message {
    let what = match signal {
        Some(number) => format!("stopped by {}", signal::name(number)),
        None => "gave up".to_owned(),
    };
    let text = format!(
        "{what} after {}: a system call for one of {} does not return; \
         is the server of its file system gone?",
        show(waited),
        quoted(checks)
    );
    Message::new(Severity::Error, LogEvent::Hangs, text)
}

/// The checks that do not pass, and why: the first few.
pub fn summary(view: &View<'_>) -> String {
    let named: Vec<String> = view
        .open()
        .take(NAMED)
        .map(|(check, progress)| {
            format!(
                "{:?}: {} ({})",
                check.name,
                why(check, progress),
                attempts(progress)
            )
        })
        .collect();
    let more = view.open().skip(NAMED).count();
    let more = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", named.join("; "))
}

pub(super) fn about(
    message: Message,
    check: &Check,
    progress: &Progress,
    waited: Duration,
) -> Message {
    about_check(message, check, progress).with("waited_ms", Field::Number(waited.as_millis()))
}

fn about_check(message: Message, check: &Check, progress: &Progress) -> Message {
    let message = message.with("check", Field::Text(check.name.clone()));
    let message = match &progress.last {
        Some((reason, _)) if !progress.has_passed() => {
            message.with("reason", Field::Text(cause(check, progress, reason)))
        }
        Some(_) | None => message,
    };
    message.with("attempts", Field::Number(u128::from(progress.attempts)))
}

/// Why a check does not pass, as far as is known.
pub(super) fn why(check: &Check, progress: &Progress) -> String {
    match &progress.last {
        _ if progress.passes_in_a_row() > 0 => format!(
            "passed {} in a row, fewer than --success-threshold",
            times(progress.passes_in_a_row())
        ),
        Some((reason, _)) => cause(check, progress, reason),
        None if progress.attempts == 0 => "not tried yet".to_owned(),
        None => "no answer yet".to_owned(),
    }
}

/// The last reason. Most reasons do not prove that the check after `not:` does not hold.
fn cause(check: &Check, progress: &Progress, reason: &Reason) -> String {
    match (check.negated(), reason) {
        (Some(inner), Reason::StillHolds) => format!("{inner} still holds"),
        (Some(_), _) if !progress.can_never_pass() => {
            format!("cannot tell: {}", reason::text(reason))
        }
        (Some(_) | None, _) => reason::text(reason),
    }
}

/// What a person can do about a check that does not pass.
pub(super) fn remedy(check: &Check, progress: &Progress) -> String {
    format!("{}{}", advice(check, progress), needs(check, progress))
}

/// The same without what a preset needs.
fn advice(check: &Check, progress: &Progress) -> &'static str {
    match (check.preset, &progress.last) {
        (_, None) => "check its log",
        (None, Some((Reason::Refused, _))) if check.kind.goes_by_path() => {
            "is it a socket, and does a process listen on it?"
        }
        (None, Some((reason, _))) | (Some(_), Some((reason @ Reason::StillHolds, _))) => {
            reason::remedy(reason)
        }
        (Some(_), Some(_)) => "check its log",
    }
}

/// What the sidecar of a preset needs to be ready.
fn needs(check: &Check, progress: &Progress) -> String {
    match (check.preset, &progress.last) {
        (None, _) | (Some(_), None | Some((Reason::StillHolds, _))) => String::new(),
        (Some(sidecar), Some(_)) => format!("; it needs {}", sidecar.needs()),
    }
}

/// The state of a member whose `gone:` has passed although it was never seen.
pub(super) fn unseen_member(state: Option<&MemberState>) -> String {
    state.map_or_else(String::new, |state| format!(": {}", member::state(state)))
}

fn attempts(progress: &Progress) -> String {
    match progress.attempts {
        1 => "1 attempt".to_owned(),
        count => format!("{count} attempts"),
    }
}

pub(super) fn times(count: u32) -> String {
    if count == 1 {
        "once".to_owned()
    } else {
        format!("{count} times")
    }
}

fn names(checks: &[Check]) -> Vec<String> {
    checks.iter().map(|check| check.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        View, continued, gave_up, hangs, live, no_shell, nothing_to_wait_for, passed, plan,
        still_waiting, stopped_before_cmd, waiting,
    };
    use crate::core::check::{Check, parse};
    use crate::core::gate::{Event, Gate, GaveUp, Need, Spec};
    use crate::core::outcome::{MemberState, Outcome, Reason, Wake};
    use crate::core::schedule::Pace;
    use crate::core::time::Time;
    use crate::message::{Field, LogEvent, Severity};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn spec(count: usize, need: Need) -> Spec {
        Spec {
            floors: vec![Duration::from_millis(1); count],
            need,
            pace: Pace::Proportional,
            success_threshold: 1,
            failure_threshold: None,
            initial_delay: Duration::ZERO,
            attempt_timeout: SECOND,
            timeout: Some(60 * SECOND),
        }
    }

    /// Checks and a gate whose first attempts have ended at 500 ms, the one of the check at each
    /// index with its outcome. `None`: it has not ended.
    fn gate(spec: Spec, checks: &[(&str, Option<Outcome>)]) -> (Vec<Check>, Gate) {
        let mut gate = Gate::new(spec, Time::ZERO);
        gate.handle(Time::ZERO, Event::Tick);
        for (check, (_, outcome)) in checks.iter().enumerate() {
            if let Some(outcome) = outcome.clone() {
                let ended = Event::Ended {
                    check,
                    outcome,
                    wake: Wake::Asked,
                };
                gate.handle(Time::at(SECOND / 2), ended);
            }
        }
        let check = |(text, _): &(&str, Option<Outcome>)| parse(text).expect("a check");
        (checks.iter().map(check).collect(), gate)
    }

    fn view<'a>(checks: &'a [Check], gate: &'a Gate, need: Need) -> View<'a> {
        View {
            checks,
            progress: gate.progress(),
            need,
            waited: 60 * SECOND,
        }
    }

    fn not_yet(reason: Reason) -> Option<Outcome> {
        Some(Outcome::NotYet(reason))
    }

    #[test]
    fn a_gate_that_times_out_names_cause_and_remedy() {
        for (check, outcome, what) in [
            (
                "unix:///a",
                not_yet(Reason::Refused),
                "\"unix:///a\": connection refused (1 attempt, the last 59.5s ago); \
                 is it a socket, and does a process listen on it? \
                 If it needs longer, raise --timeout",
            ),
            (
                "tcp://db:5432",
                not_yet(Reason::Refused),
                "\"tcp://db:5432\": connection refused (1 attempt, the last 59.5s ago); \
                 is it running, and listening on this address and port? \
                 If it needs longer, raise --timeout",
            ),
            (
                "http://db/",
                not_yet(Reason::Status(503)),
                "\"http://db/\": HTTP status 503 (1 attempt, the last 59.5s ago); check the \
                 server's log; --http-status sets which statuses pass, or raise --timeout",
            ),
            (
                "http://db/",
                None,
                "\"http://db/\": no answer yet (1 attempt); check its log, or raise --timeout",
            ),
            (
                "envoy",
                not_yet(Reason::Refused),
                "\"envoy\": connection refused (1 attempt, the last 59.5s ago); \
                 check its log, or raise --timeout; it needs an admin address in its bootstrap",
            ),
        ] {
            let (checks, gate) = gate(spec(1, Need::All), &[(check, outcome)]);
            let view = view(&checks, &gate, Need::All);
            let now = Time::at(60 * SECOND);
            let message = gave_up(&view, GaveUp::TimedOut, now, "--timeout");
            assert_eq!(message.text, format!("gave up after 1m: {what}"));
            assert_eq!(message.severity, Severity::Error);
            assert_eq!(message.event, LogEvent::GaveUp);
            let of_check = Field::Text(check.to_owned());
            assert!(message.fields.contains(&("check", of_check)));
            assert!(
                message
                    .fields
                    .contains(&("waited_ms", Field::Number(60_000)))
            );
        }
    }

    #[test]
    fn the_opposite_of_a_check_still_holds_or_cannot_tell() {
        for (check, outcome, expected) in [
            (
                "not:tcp://db:5432",
                Outcome::NotYet(Reason::StillHolds),
                "\"not:tcp://db:5432\": tcp://db:5432 still holds (1 attempt, the last 59.5s ago); \
                 check that something stops or removes it, or raise --timeout",
            ),
            (
                "not: http://user:secret@db/",
                Outcome::NotYet(Reason::StillHolds),
                "\"not: http://***@db/\": http://***@db/ still holds (1 attempt, the last 59.5s \
                 ago); check that something stops or removes it, or raise --timeout",
            ),
            (
                "not:envoy",
                Outcome::NotYet(Reason::StillHolds),
                "\"not:envoy\": envoy still holds (1 attempt, the last 59.5s ago); \
                 check that something stops or removes it, or raise --timeout",
            ),
            (
                "not:tcp://db:5432",
                Outcome::NotYet(Reason::Closed),
                "\"not:tcp://db:5432\": cannot tell: connection closed before an answer",
            ),
            (
                "not:exec:x",
                Outcome::Never(Reason::NoCommand("x".to_owned())),
                "\"not:exec:x\" can never pass: command \"x\" not found; use a command of this \
                 image, not of the sidecar's",
            ),
        ] {
            let why = if matches!(outcome, Outcome::Never(_)) {
                GaveUp::Failed(0)
            } else {
                GaveUp::TimedOut
            };
            let (checks, gate) = gate(spec(1, Need::All), &[(check, Some(outcome))]);
            let view = view(&checks, &gate, Need::All);
            let message = gave_up(&view, why, Time::at(60 * SECOND), "--timeout");
            let expected = format!("gave up after 1m: {expected}");
            assert!(message.text.starts_with(&expected), "{}", message.text);
        }
        // The negative control: without not: nothing is added.
        let refused = [("tcp://db:1", not_yet(Reason::Refused))];
        let (checks, gate) = gate(spec(1, Need::All), &refused);
        let waiting = waiting(&view(&checks, &gate, Need::All), 0).expect("a message");
        let reason = Field::Text("connection refused".to_owned());
        assert!(waiting.fields.contains(&("reason", reason)));
    }

    #[test]
    fn a_gate_over_many_checks_counts_those_that_did_not_pass() {
        let open = [
            ("tcp://a:1", Some(Outcome::Pass)),
            ("tcp://b:1", not_yet(Reason::Refused)),
            ("tcp://c:1", not_yet(Reason::Closed)),
        ];
        let now = Time::at(60 * SECOND);
        let (checks, some) = gate(spec(3, Need::All), &open);
        let message = gave_up(
            &view(&checks, &some, Need::All),
            GaveUp::TimedOut,
            now,
            "--timeout",
        );
        assert_eq!(
            message.text,
            "gave up after 1m: 2 of 3 checks did not pass: \
             \"tcp://b:1\": connection refused (1 attempt); \
             \"tcp://c:1\": connection closed before an answer (1 attempt); \
             is it running, and listening on this address and port? \
             If it needs longer, raise --timeout"
        );
        let (checks, none) = gate(spec(2, Need::Any), &open[1..]);
        let message = gave_up(
            &view(&checks, &none, Need::Any),
            GaveUp::TimedOut,
            now,
            "--timeout",
        );
        assert!(
            message
                .text
                .starts_with("gave up after 1m: none of 2 checks passed: \"tcp://b:1\""),
            "{}",
            message.text
        );
    }

    #[test]
    fn a_check_that_can_never_pass_and_one_at_its_threshold_have_other_messages() {
        let now = Time::at(SECOND);
        let never = Outcome::Never(Reason::NoCommand("pg".to_owned()));
        let (checks, gate_) = gate(spec(1, Need::All), &[("exec:pg", Some(never))]);
        let mut view_ = view(&checks, &gate_, Need::All);
        view_.waited = SECOND;
        assert_eq!(
            gave_up(&view_, GaveUp::Failed(0), now, "--timeout").text,
            "gave up after 1s: \"exec:pg\" can never pass: command \"pg\" not found; \
             use a command of this image, not of the sidecar's"
        );
        let mut spec = spec(1, Need::All);
        spec.failure_threshold = Some(1);
        let (checks, gate_) = gate(spec, &[("tcp://a:1", not_yet(Reason::Refused))]);
        let mut view_ = view(&checks, &gate_, Need::All);
        view_.waited = SECOND;
        assert_eq!(
            gave_up(&view_, GaveUp::Failed(0), now, "--timeout").text,
            "gave up after 1s: \"tcp://a:1\": connection refused \
             (1 attempt, the last 500ms ago; --failure-threshold is reached); \
             is it running, and listening on this address and port?"
        );
    }

    #[test]
    fn a_wait_is_reported_while_it_goes_on() {
        let names = ["tcp://a:1", "tcp://b:1", "tcp://c:1", "tcp://d:1", "gone:e"];
        let mut open: Vec<_> = names
            .iter()
            .map(|name| (*name, not_yet(Reason::Refused)))
            .collect();
        open[4].1 = Some(Outcome::Pass);
        let (checks, gate) = gate(spec(5, Need::All), &open);
        let view = view(&checks, &gate, Need::All);
        let first = "\"tcp://a:1\": connection refused (1 attempt)";
        let summary = format!(
            "{first}; {}; {}; and 1 more",
            first.replace("a:1", "b:1"),
            first.replace("a:1", "c:1")
        );
        let message = waiting(&view, 0).expect("a message");
        assert_eq!(
            message.text,
            "waiting for \"tcp://a:1\": connection refused"
        );
        let reason = Field::Text("connection refused".to_owned());
        assert!(message.fields.contains(&("reason", reason)));
        assert_eq!(
            still_waiting(&view).text,
            format!("still waiting after 1m: {summary}")
        );
        assert_eq!(
            live(&view),
            format!("podgate: 60.0s [1/5 passed] waiting for {summary}")
        );
        assert_eq!(
            stopped_before_cmd(15, view.waited, &super::summary(&view)).text,
            format!("stopped by SIGTERM after 1m: {summary}; the command was not started")
        );
        let unseen = MemberState::Absent {
            seen: Vec::new(),
            has_more: false,
        };
        let message = passed(&view, 4, Some(&unseen)).expect("a message");
        assert_eq!(
            message.text,
            "\"gone:e\" passed after 1m (1 attempt): absent; no member has come yet"
        );
        assert!(!message.fields.iter().any(|(name, _)| *name == "reason"));
        assert_eq!(waiting(&view, 5), None);
    }

    #[test]
    fn the_plan_names_every_setting() {
        let (checks, _) = gate(spec(1, Need::All), &[("tcp://a:1", None)]);
        assert_eq!(
            plan(&checks, &spec(1, Need::All)).text,
            "waiting for all of \"tcp://a:1\": pauses of 2% of the wait between attempts, \
             timeout 1m, attempt timeout 1s, initial delay 0ms, success threshold 1, \
             failure threshold none"
        );
    }

    #[test]
    fn other_messages_of_a_gate_name_their_cause() {
        let (checks, gate) = gate(spec(1, Need::All), &[("tcp://a:1", None)]);
        let view = view(&checks, &gate, Need::All);
        let failure = gave_up(&view, GaveUp::TimedOut, Time::at(SECOND), "--timeout");
        let text = failure.text.clone();
        let continued = continued(failure);
        assert_eq!(continued.severity, Severity::Warning);
        assert_eq!(
            continued.text,
            format!("{text}; continuing because of --on-timeout run")
        );
        for (message, text) in [
            (
                nothing_to_wait_for(),
                "nothing to wait for: no CHECK is given and PODGATE_CHECKS is empty",
            ),
            (
                no_shell("exec:a && b", "&&"),
                "\"exec:a && b\": podgate runs no shell, so \"&&\" is a plain argument; \
                 use exec:sh -c '…' to run a shell",
            ),
            (
                hangs(&["unix:///a".to_owned()], None, SECOND),
                "gave up after 1s: a system call for one of \"unix:///a\" does not return; \
                 is the server of its file system gone?",
            ),
            (
                hangs(&["unix:///a".to_owned()], Some(2), SECOND),
                "stopped by SIGINT after 1s: a system call for one of \"unix:///a\" \
                 does not return; is the server of its file system gone?",
            ),
        ] {
            assert_eq!(message.text, text);
        }
    }
}
