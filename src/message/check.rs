//! What `podgate check` prints: one line for each check.

use super::gate::{View, about, remedy, unseen_member, why};
use super::{LogEvent, Message, Severity};
use crate::core::check::Check;
use crate::core::duration::show;
use crate::core::gate::{Need, Progress};
use crate::core::outcome::MemberState;
use crate::core::signal;
use std::time::Duration;

/// How a check ended. `waited` is the time from the start to the end of its attempt, `unseen` the
/// state of a member that was never seen.
pub fn ended(
    view: &View<'_>,
    check: &Check,
    progress: &Progress,
    waited: Duration,
    unseen: Option<&MemberState>,
) -> Message {
    let name = &check.name;
    let another_passed =
        || view.need == Need::Any && view.progress.iter().any(Progress::has_passed);
    let message = if progress.has_passed() {
        let unseen = unseen_member(unseen);
        let text = format!("{name:?} passed in {}{unseen}", show(waited));
        Message::new(Severity::Info, LogEvent::Passed, text)
    } else if another_passed() {
        let text = format!("{name:?}: {}", why(check, progress));
        Message::new(Severity::Info, LogEvent::NotPassed, text)
    } else {
        let text = format!(
            "{name:?}: {}; {}",
            why(check, progress),
            remedy(check, progress)
        );
        Message::new(Severity::Error, LogEvent::NotPassed, text)
    };
    about(message, check, progress, waited)
}

/// A signal ended the check.
pub fn stopped(number: u8, waited: Duration) -> Message {
    let text = format!("stopped by {} after {}", signal::name(number), show(waited));
    Message::new(Severity::Warning, LogEvent::Stopped, text)
}

#[cfg(test)]
mod tests {
    use super::{ended, stopped};
    use crate::core::check::{Check, parse};
    use crate::core::gate::{Event, Gate, Need, Spec};
    use crate::core::outcome::{Outcome, Reason, Wake};
    use crate::core::schedule::Pace;
    use crate::core::time::Time;
    use crate::message::gate::View;
    use crate::message::{LogEvent, Severity};
    use std::time::Duration;

    const TOOK: Duration = Duration::from_millis(3);

    #[test]
    fn each_check_has_a_line() {
        let line = |need| {
            let spec = Spec {
                floors: vec![Duration::from_millis(1); 2],
                need,
                pace: Pace::Once,
                success_threshold: 1,
                failure_threshold: Some(1),
                initial_delay: Duration::ZERO,
                attempt_timeout: Duration::from_secs(1),
                timeout: None,
            };
            let mut gate = Gate::new(spec, Time::ZERO);
            gate.handle(Time::ZERO, Event::Tick);
            let outcomes = [Outcome::NotYet(Reason::NoFile), Outcome::Pass];
            for (check, outcome) in outcomes.into_iter().enumerate() {
                let wake = Wake::Asked;
                let ended = Event::Ended {
                    check,
                    outcome,
                    wake,
                };
                gate.handle(Time::at(TOOK), ended);
            }
            let checks = ["file:///a", "tcp://a:1"];
            let checks: Vec<Check> = checks.map(|it| parse(it).expect("a check")).into();
            let view = View {
                checks: &checks,
                progress: gate.progress(),
                need,
                waited: TOOK,
            };
            let lines = checks.iter().zip(view.progress);
            let lines = lines.map(|(check, progress)| ended(&view, check, progress, TOOK, None));
            lines
                .map(|line| (line.severity, line.event, line.text))
                .collect::<Vec<_>>()
        };
        let passed = (
            Severity::Info,
            LogEvent::Passed,
            "\"tcp://a:1\" passed in 3ms".to_owned(),
        );
        let remedy = "; check the log of the process that creates it";
        let not_passed = |severity, remedy| {
            let text = format!("\"file:///a\": the path does not exist{remedy}");
            (severity, LogEvent::NotPassed, text)
        };
        assert_eq!(
            line(Need::All),
            [not_passed(Severity::Error, remedy), passed.clone()]
        );
        assert_eq!(line(Need::Any), [not_passed(Severity::Info, ""), passed]);
    }

    #[test]
    fn a_signal_is_named() {
        assert_eq!(stopped(15, TOOK).text, "stopped by SIGTERM after 3ms");
    }
}
