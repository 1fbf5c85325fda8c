//! What podgate reports of sidecars and members that it asks to quit.

use super::gate::times;
use super::volume::{unreadable, volume_error};
use super::{Field, LogEvent, Message, Severity, quoted, reason};
use crate::core::duration::show;
use crate::core::member::Name;
use crate::core::outcome::{MemberState, Reason};
use crate::core::preset::Sidecar;
use crate::core::quit::{Asked, Port, Verdict, Why, member_target};
use crate::core::record::Unreadable;
use crate::core::signal;
use crate::core::volume_error::VolumeError;
use std::path::Path;
use std::time::Duration;

/// What is known of a target that is asked over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub target: &'a Asked,
    /// Why it is not known to be gone; `None` before its first answer.
    pub why: Option<&'a Why>,
    pub is_acknowledged: bool,
    /// How many times it was asked.
    pub asked: u32,
}

/// The plan, for `--verbose`.
pub fn plan(targets: &[String], timeout: Option<Duration>) -> Message {
    let timeout = timeout.map_or("none".to_owned(), show);
    let targets = quoted(targets);
    let text = format!("asking {targets} to quit: timeout {timeout}");
    Message::new(Severity::Debug, LogEvent::Start, text)
}

/// The target answered that it will quit.
pub fn acknowledged(view: &View<'_>) -> Message {
    let text = format!("{}; waiting for it to end", known(view));
    of(view, Severity::Info, LogEvent::Acknowledged, text)
}

/// The target is still there, for another reason than before.
pub fn waiting(view: &View<'_>) -> Message {
    let meaning = refusal(view).map_or_else(String::new, |it| format!("; {it}"));
    let text = format!("waiting for {}{meaning}", known(view));
    of(view, Severity::Info, LogEvent::Waiting, text)
}

/// Nothing has changed for a while.
pub fn still_waiting(view: &View<'_>, waited: Duration) -> Message {
    let text = format!("still waiting after {}: {}", show(waited), known(view));
    of(view, Severity::Info, LogEvent::Heartbeat, text)
}

/// How it ended. `option` sets the time limit.
pub fn ended(view: &View<'_>, verdict: Verdict, waited: Duration, option: &str) -> Message {
    let name = &view.target.name;
    let waited = show(waited);
    let (severity, event, text) = match verdict {
        Verdict::Already => (
            Severity::Info,
            LogEvent::Gone,
            format!(
                "{name:?} is already gone: it accepts no connections{}",
                looks_alike(view)
            ),
        ),
        Verdict::Gone => (
            Severity::Info,
            LogEvent::Gone,
            format!("{name:?} has quit after {waited}"),
        ),
        Verdict::Failed => {
            let (known, remedy) = (known(view), remedy(view, option));
            (
                Severity::Error,
                LogEvent::Failed,
                format!("gave up after {waited}: {known}; {remedy}"),
            )
        }
    };
    of(view, severity, event, text)
}

/// A signal ended the quit while these targets were still there.
pub fn stopped<'a>(
    number: u8,
    waited: Duration,
    targets: impl Iterator<Item = View<'a>>,
) -> Message {
    let mut text = format!("stopped by {} after {}", signal::name(number), show(waited));
    for (index, view) in targets.enumerate() {
        text.push_str(if index == 0 { ": " } else { "; " });
        text.push_str(&known(&view));
    }
    Message::new(Severity::Warning, LogEvent::Stopped, text)
}

/// A system call on the path of a target does not return.
pub fn hangs(targets: &[String]) -> Message {
    let text = format!(
        "gave up: a system call for one of {} does not return; \
         is the server of its file system gone?",
        quoted(targets)
    );
    Message::new(Severity::Error, LogEvent::Hangs, text)
}

/// How it ended for a member that was asked on the volume.
#[derive(Debug, Clone, Copy)]
pub enum MemberEnd<'a> {
    /// It was gone before it was asked. Its state, if it was never seen.
    AlreadyGone(Option<&'a MemberState>),
    Gone,
    /// It is gone, and its container was started again.
    StartedAgain,
    /// The request could not be written.
    CannotAsk(&'a VolumeError),
    /// It did not end in time. The option sets the time limit.
    StillAlive(&'a str),
    /// Its record at this path cannot be used, so it was not asked.
    Unreadable(&'a Path, Unreadable),
}

/// A member that was asked on the volume is gone, or it is not.
pub fn member(name: &Name, end: MemberEnd<'_>, waited: Duration) -> Message {
    let target = member_target(name);
    let waited = show(waited);
    let text = match end {
        MemberEnd::AlreadyGone(state) => {
            let state = state.map(|it| format!(": {}", super::member::state(it)));
            format!("{target:?} is already gone{}", state.unwrap_or_default())
        }
        MemberEnd::Gone => format!("{target:?} has quit after {waited}"),
        MemberEnd::StartedAgain => {
            format!("{target:?} has quit after {waited}, and was started again")
        }
        MemberEnd::CannotAsk(error) => {
            let error = volume_error(error);
            format!("cannot ask {target:?} to quit: {error}")
        }
        MemberEnd::StillAlive(option) => format!(
            "gave up after {waited}: {target:?} was asked to quit and is still alive; \
             check its log, or raise {option}"
        ),
        MemberEnd::Unreadable(path, why) => {
            let why = unreadable(why);
            format!("cannot ask {target:?} to quit: it is alive, but {path:?} {why}")
        }
    };
    let (severity, event) = match end {
        MemberEnd::AlreadyGone(_) | MemberEnd::Gone | MemberEnd::StartedAgain => {
            (Severity::Info, LogEvent::Gone)
        }
        MemberEnd::CannotAsk(_) | MemberEnd::StillAlive(_) | MemberEnd::Unreadable(..) => {
            (Severity::Error, LogEvent::NotGone)
        }
    };
    Message::new(severity, event, text).with("target", Field::Text(target))
}

fn of(view: &View<'_>, severity: Severity, event: LogEvent, text: String) -> Message {
    Message::new(severity, event, text).with("target", Field::Text(view.target.name.clone()))
}

/// What is known of a target, and how many times it was asked.
fn known(view: &View<'_>) -> String {
    let url = if view.target.preset.is_some() {
        format!(": POST {}", view.target.url)
    } else {
        String::new()
    };
    let (name, asked) = (&view.target.name, times(view.asked));
    format!("{name:?}: {} (asked {asked}{url})", why(view))
}

fn why(view: &View<'_>) -> String {
    let ready = view.target.ready_port().unwrap_or_default();
    let quit = view.target.url.port();
    match (view.why, view.is_acknowledged) {
        (None, false) => "no answer yet".to_owned(),
        (None, true) => "acknowledged".to_owned(),
        (Some(Why::Reason(reason)), false) => reason::text(reason),
        (Some(Why::Reason(reason)), true) => format!("acknowledged, then {}", reason::text(reason)),
        (Some(Why::Accepts(Port::Quit)), _) => {
            "acknowledged, but it still accepts connections".to_owned()
        }
        (Some(Why::Accepts(Port::Ready)), false) => format!(
            "connection refused on its quit port {quit}, \
             but its readiness port {ready} still accepts connections"
        ),
        (Some(Why::Accepts(Port::Ready)), true) => {
            format!("acknowledged, but its readiness port {ready} still accepts connections")
        }
    }
}

/// A sidecar that runs and has no quit endpoint refuses connections like one that is gone.
fn looks_alike(view: &View<'_>) -> String {
    let needs = view.target.preset.map(|sidecar| sidecar.needs());
    needs.map_or_else(String::new, |needs| {
        format!(" (if it is running, its quit endpoint is not enabled: it needs {needs})")
    })
}

/// What the status means with which the target refuses to quit.
fn refusal(view: &View<'_>) -> Option<&'static str> {
    let Some(Why::Reason(Reason::Status(status))) = view.why else {
        return None;
    };
    let known = |sidecar: Sidecar| sidecar.refusal(*status);
    let of_any = match status {
        401 => "it wants a token or a password",
        403 => "it does not allow a quit from here",
        404 => "it has no such path, or its quit endpoint is not enabled",
        405 => "it does not accept a POST at this path",
        _ => return None,
    };
    Some(view.target.preset.and_then(known).unwrap_or(of_any)).filter(|_| !view.is_acknowledged)
}

/// What a person can do about it.
fn remedy(view: &View<'_>, option: &str) -> String {
    if view.is_acknowledged {
        return format!("check its log, or raise {option}");
    }
    if let Some(sidecar) = view.target.preset {
        let needs = sidecar.needs();
        return match refusal(view) {
            Some(meaning) => format!("{meaning}; it needs {needs}"),
            None => {
                format!("check its log, and that its quit endpoint is enabled: it needs {needs}")
            }
        };
    }
    match view.why {
        Some(Why::Reason(Reason::Status(401))) => {
            "it wants a token or a password; send it with --quit-header 'NAME: VALUE'".to_owned()
        }
        Some(Why::Reason(Reason::Status(403))) => {
            "check that it allows a quit from here".to_owned()
        }
        Some(Why::Reason(Reason::Status(404))) => {
            "check the path, and that its quit endpoint is enabled".to_owned()
        }
        Some(Why::Reason(Reason::Status(405))) => "check that it accepts a POST".to_owned(),
        Some(Why::Reason(Reason::Status(_)) | Why::Accepts(_)) | None => {
            format!("check its log, or raise {option}")
        }
        Some(Why::Reason(reason)) => reason::remedy(reason).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{MemberEnd, View, acknowledged, ended, member, stopped, waiting};
    use crate::core::errno::Errno;
    use crate::core::member::Name;
    use crate::core::outcome::{MemberState, Reason};
    use crate::core::quit::{Asked, Port, Target, Verdict, Why, target};
    use crate::core::record::Unreadable;
    use crate::core::volume_error::{Operation, VolumeError};
    use crate::message::{Field, LogEvent, Message, Severity};
    use std::path::Path;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn asked(text: &str) -> Asked {
        match target(text) {
            Ok(Target::Http(asked)) => asked,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn view<'a>(target: &'a Asked, why: Option<&'a Why>, is_acknowledged: bool) -> View<'a> {
        View {
            target,
            why,
            is_acknowledged,
            asked: 2,
        }
    }

    #[test]
    fn a_target_that_did_not_quit_is_reported_with_a_cause_and_a_remedy() {
        let status = |status| Why::Reason(Reason::Status(status));
        for (name, why, is_acknowledged, expected) in [
            (
                "http://h/",
                None,
                false,
                "no answer yet (asked 2 times); check its log, or raise --timeout",
            ),
            (
                "http://h/",
                None,
                true,
                "acknowledged (asked 2 times); check its log, or raise --timeout",
            ),
            (
                "http://h/",
                Some(status(404)),
                false,
                "HTTP status 404 (asked 2 times); \
                 check the path, and that its quit endpoint is enabled",
            ),
            (
                "http://h/",
                Some(status(401)),
                false,
                "HTTP status 401 (asked 2 times); it wants a token or a password; send it with \
                 --quit-header 'NAME: VALUE'",
            ),
            (
                "linkerd",
                Some(status(404)),
                false,
                "HTTP status 404 (asked 2 times: POST http://localhost:4191/shutdown); \
                 its shutdown endpoint is not enabled; it needs proxy.enableShutdownEndpoint=true, \
                 or the annotation config.linkerd.io/proxy-admin-shutdown: enabled, to quit",
            ),
            (
                "dapr",
                Some(status(401)),
                false,
                "HTTP status 401 (asked 2 times: POST http://localhost:3500/v1.0/shutdown); \
                 it wants its token: set DAPR_API_TOKEN in this container, too; it needs its HTTP \
                 API, and its DAPR_API_TOKEN, if it has one, to quit",
            ),
            (
                "vault-agent",
                Some(status(405)),
                false,
                "HTTP status 405 (asked 2 times: POST http://localhost:8200/agent/v1/quit); \
                 it does not accept a POST at this path; it needs a tcp listener, with agent_api \
                 { enable_quit = true } to quit (the annotation \
                 vault.hashicorp.com/agent-enable-quit)",
            ),
            (
                "http://h/",
                Some(status(403)),
                false,
                "HTTP status 403 (asked 2 times); check that it allows a quit from here",
            ),
            (
                "http://h/",
                Some(status(405)),
                false,
                "HTTP status 405 (asked 2 times); check that it accepts a POST",
            ),
            (
                "http://h/",
                Some(status(500)),
                false,
                "HTTP status 500 (asked 2 times); check its log, or raise --timeout",
            ),
            (
                "http://h/",
                Some(Why::Reason(Reason::Closed)),
                false,
                "connection closed before an answer (asked 2 times); \
                 check the port and the scheme, and the server's log; a server of TLS (use \
                 https://), Redis, PostgreSQL or another protocol (use tcp://) closes so, too",
            ),
            (
                "envoy",
                Some(Why::Accepts(Port::Quit)),
                true,
                "acknowledged, but it still accepts connections \
                 (asked 2 times: POST http://localhost:9901/quitquitquit); \
                 check its log, or raise --timeout",
            ),
            (
                "cloud-sql-proxy",
                Some(Why::Accepts(Port::Ready)),
                false,
                "connection refused on its quit port 9091, \
                 but its readiness port 9090 still accepts connections \
                 (asked 2 times: POST http://localhost:9091/quitquitquit); \
                 check its log, and that its quit endpoint is enabled: \
                 it needs --health-check to be ready, --quitquitquit to quit",
            ),
            (
                "istio",
                Some(Why::Accepts(Port::Ready)),
                true,
                "acknowledged, but its readiness port 15021 still accepts connections \
                 (asked 2 times: POST http://127.0.0.1:15020/quitquitquit); \
                 check its log, or raise --timeout",
            ),
        ] {
            let target = asked(name);
            let view = view(&target, why.as_ref(), is_acknowledged);
            let message = ended(&view, Verdict::Failed, 10 * SECOND, "--timeout");
            assert_eq!(
                message.text,
                format!("gave up after 10s: {name:?}: {expected}")
            );
            assert_eq!(message.severity, Severity::Error);
            assert_eq!(message.event, LogEvent::Failed);
        }
    }

    #[test]
    fn each_message_names_its_target() {
        let target = asked("http://h/q");
        let accepts = Why::Accepts(Port::Quit);
        let before = View {
            asked: 1,
            ..view(&target, None, true)
        };
        let after = view(&target, Some(&accepts), true);
        for (message, event, text) in [
            (
                acknowledged(&before),
                LogEvent::Acknowledged,
                "\"http://h/q\": acknowledged (asked once); waiting for it to end",
            ),
            (
                waiting(&after),
                LogEvent::Waiting,
                "waiting for \"http://h/q\": acknowledged, but it still accepts connections \
                 (asked 2 times)",
            ),
            (
                ended(&after, Verdict::Gone, SECOND, "--timeout"),
                LogEvent::Gone,
                "\"http://h/q\" has quit after 1s",
            ),
            (
                ended(&after, Verdict::Already, SECOND, "--timeout"),
                LogEvent::Gone,
                "\"http://h/q\" is already gone: it accepts no connections",
            ),
        ] {
            let field = ("target", Field::Text("http://h/q".to_owned()));
            assert_eq!(
                message,
                Message {
                    severity: Severity::Info,
                    event,
                    text: text.to_owned(),
                    fields: vec![field]
                }
            );
        }
    }

    #[test]
    fn a_refusal_is_explained_as_soon_as_it_comes() {
        for (name, status, meaning) in [
            ("linkerd", 404, "; its shutdown endpoint is not enabled"),
            ("linkerd", 401, "; it wants a token or a password"),
            ("istio", 403, "; it accepts a quit only from 127.0.0.1"),
            (
                "dapr",
                401,
                "; it wants its token: set DAPR_API_TOKEN in this container, too",
            ),
            ("http://h/", 405, "; it does not accept a POST at this path"),
            ("http://h/", 503, ""),
        ] {
            let target = asked(name);
            let why = Why::Reason(Reason::Status(status));
            let text = waiting(&view(&target, Some(&why), false)).text;
            assert!(text.ends_with(&format!("){meaning}")), "{text}");
        }
    }

    #[test]
    fn a_preset_that_is_gone_already_may_have_no_quit_endpoint() {
        for name in [
            "istio",
            "envoy",
            "linkerd",
            "cloud-sql-proxy",
            "dapr",
            "vault-agent",
            "consul-dataplane",
            "alloydb-auth-proxy",
        ] {
            let target = asked(name);
            let needs = target.preset.map(|it| it.needs()).unwrap_or_default();
            let message = ended(&view(&target, None, false), Verdict::Already, SECOND, "");
            assert_eq!(
                message.text,
                format!(
                    "{name:?} is already gone: it accepts no connections (if it is running, its \
                     quit endpoint is not enabled: it needs {needs})"
                )
            );
            // After an answer it is known that the endpoint was there.
            let message = ended(&view(&target, None, false), Verdict::Gone, SECOND, "");
            assert!(!message.text.contains("needs"), "{}", message.text);
        }
    }

    #[test]
    fn a_signal_names_the_targets_that_are_left() {
        let (first, second) = (asked("http://a/"), asked("http://b/"));
        let views = [view(&first, None, false), view(&second, None, true)];
        assert_eq!(
            stopped(15, SECOND, views.into_iter()).text,
            "stopped by SIGTERM after 1s: \"http://a/\": no answer yet (asked 2 times); \
             \"http://b/\": acknowledged (asked 2 times)"
        );
        assert_eq!(
            stopped(2, SECOND, [].into_iter()).text,
            "stopped by SIGINT after 1s"
        );
    }

    #[test]
    fn a_member_is_gone_or_the_message_has_the_cause() {
        let read_only = VolumeError::System {
            operation: Operation::Create,
            path: "/run/app.quit.1.2".into(),
            errno: Errno::EROFS,
            uid: 7,
        };
        let name = Name::parse("app").expect("a name");
        let absent = MemberState::Absent {
            seen: vec![Name::parse("ap").expect("a name")],
            has_more: false,
        };
        for (end, event, text) in [
            (
                MemberEnd::AlreadyGone(None),
                LogEvent::Gone,
                "\"member:app\" is already gone",
            ),
            (
                MemberEnd::AlreadyGone(Some(&absent)),
                LogEvent::Gone,
                "\"member:app\" is already gone: absent; seen here: ap",
            ),
            (
                MemberEnd::Gone,
                LogEvent::Gone,
                "\"member:app\" has quit after 1s",
            ),
            (
                MemberEnd::StartedAgain,
                LogEvent::Gone,
                "\"member:app\" has quit after 1s, and was started again",
            ),
            (
                MemberEnd::CannotAsk(&read_only),
                LogEvent::NotGone,
                "cannot ask \"member:app\" to quit: cannot create \"/run/app.quit.1.2\" as uid 7: \
                 Read-only file system (os error 30); mount the volume without readOnly in this \
                 container",
            ),
            (
                MemberEnd::StillAlive("--timeout"),
                LogEvent::NotGone,
                "gave up after 1s: \"member:app\" was asked to quit and is still alive; \
                 check its log, or raise --timeout",
            ),
        ] {
            let message = member(&name, end, SECOND);
            assert_eq!(message.text, text);
            assert_eq!(message.event, event);
        }
        let unreadable = MemberEnd::Unreadable(Path::new("/run/app.record"), Unreadable::Newer(2));
        assert!(
            member(&name, unreadable, SECOND)
                .text
                .starts_with("cannot ask \"member:app\" to quit: it is alive, but")
        );
    }
}
