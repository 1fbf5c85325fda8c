//! What `run` and `join` report of a life: of the other members, of CMD, and of the stop.

use super::reason::limit;
use super::volume::volume_error;
use super::{Field, LogEvent, Message, Severity, member};
use crate::core::completion::Completion;
use crate::core::duration::show;
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::core::life::{Awaited, Cause, Life, Notice};
use crate::core::member::{Name, Stage};
use crate::core::observation::{End, Observation};
use crate::core::signal;
use crate::core::volume_error::VolumeError;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many other members a line names.
const NAMED: usize = 8;

/// A life at one moment.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub life: &'a Life,
    /// The names of the members in the life's relations.
    pub members: &'a [Name],
    pub stop_signal: u8,
    /// Whether CMD was started.
    pub is_started: bool,
    /// How long the `--after` gate has waited, and what for. `None`: there is no open gate.
    pub gate: Option<(Duration, &'a str)>,
    /// The other members on the volume.
    pub others: &'a [Name],
}

impl View<'_> {
    fn name(&self, index: usize) -> &str {
        self.members.get(index).map_or("", Name::as_str)
    }

    fn names(&self, members: impl Iterator<Item = usize>) -> String {
        let names: Vec<&str> = members.map(|index| self.name(index)).collect();
        names.join(", ")
    }

    /// The members to outlive, and the verb that fits their number.
    fn names_to_outlive<'a>(&self, one: &'a str, several: &'a str) -> (String, &'a str) {
        let is_one = self.life.to_outlive().count() == 1;
        let verb = if is_one { one } else { several };
        (self.names(self.life.to_outlive()), verb)
    }

    /// What a stop means for CMD.
    fn next(&self) -> String {
        if self.is_started {
            let stop = signal::name(self.stop_signal);
            format!("stopping the command with {stop}")
        } else {
            "the command is not started".to_owned()
        }
    }

    fn others(&self) -> String {
        if self.others.is_empty() {
            return "no other member was seen here".to_owned();
        }
        let names = self.others.iter().take(NAMED).map(Name::as_str);
        format!("seen here: {}", names.collect::<Vec<_>>().join(", "))
    }
}

/// A notice of the life. `None`: it is not reported.
pub fn notice(view: &View<'_>, notice: &Notice) -> Option<Message> {
    match notice {
        Notice::Member {
            member,
            observation,
        } => {
            let awaited = view.life.awaited(*member);
            changed(view.members.get(*member)?, *observation, awaited)
        }
        Notice::Stopping(cause) => stopping(view, cause),
        Notice::Holding => Some(holding(view)),
        Notice::Hurried => Some(hurried(view)),
        Notice::OutOfGrace => Some(out_of_grace(view)),
        Notice::IgnoredStopSignal if view.life.spec().is_joined => Some(pid_1_ignores_stop(view)),
        Notice::IgnoredStopSignal => Some(cmd_ignores_stop(view)),
        Notice::Absent => Some(absent(view)),
    }
}

/// The state of a member has changed. A member that has not published a stage yet is not reported.
fn changed(name: &Name, observation: Observation, awaited: Option<Awaited>) -> Option<Message> {
    let severity = match observation {
        Observation::Absent | Observation::Unreadable | Observation::Alive { stage: None, .. } => {
            return None;
        }
        // Most members are in this stage for a moment only.
        Observation::Alive {
            stage: Some(Stage::Waiting),
            ..
        } => Severity::Debug,
        Observation::Alive { .. } | Observation::Ended { .. } => Severity::Info,
    };
    let mut text = format!("{name} {}", member::phrase(observation));
    match awaited {
        None => {}
        Some(Awaited::Return(time)) => {
            let time = show(time);
            let _ = write!(
                text,
                "; waiting up to {time} for it to come back (--linger)"
            );
        }
        Some(Awaited::NextStart) => text.push_str(
            "; this container has already ended once for that, and waits for its next start",
        ),
        Some(Awaited::Always) => {
            text.push_str("; under --restart-policy always --until does not end this container");
        }
    }
    let message = Message::new(severity, LogEvent::Member, text);
    Some(message.with("member", Field::Text(name.to_string())))
}

fn stopping(view: &View<'_>, cause: &Cause) -> Option<Message> {
    match cause {
        Cause::CmdEnded | Cause::Signal { .. } => None,
        Cause::Done(completion) => Some(done(view, completion)),
        Cause::Quit => Some(asked_to_quit(view)),
        Cause::NeedLost(index) => Some(need_lost(view, *index)),
        Cause::NeverCame(index) => Some(never_came(view, *index)),
    }
}

fn done(view: &View<'_>, completion: &Completion) -> Message {
    let relations = view.life.spec().relations.iter().enumerate();
    let until: Vec<usize> = relations
        .filter(|(_, relation)| relation.until)
        .map(|(index, _)| index)
        .collect();
    let is = if until.len() == 1 { "is" } else { "are" };
    let how = how_done(completion, until.len());
    let (names, next) = (view.names(until.into_iter()), view.next());
    let mut text = format!("{names} {is} done, {how}: {next}");
    // How PID 1 will end is not known.
    if !view.life.spec().is_joined {
        let code = completion.code();
        let _ = write!(text, "; the exit code will be {code}");
    }
    Message::new(Severity::Info, LogEvent::Done, text)
}

/// How the members of `--until` ended, as the part of a sentence after `done`.
fn how_done(completion: &Completion, count: usize) -> String {
    let one = if count == 1 { "" } else { "one of them " };
    match completion.failures.first() {
        Some(failure) if failure.end == End::Stopped => {
            format!("{one}with exit code 0 after a stop signal from outside")
        }
        Some(failure) => format!("{one}with exit code {}", failure.code),
        None if completion.has_unknown => {
            format!("{one}with an exit code that is not known (it joined)")
        }
        None => "with success".to_owned(),
    }
}

fn asked_to_quit(view: &View<'_>) -> Message {
    let next = view.next();
    let text = match view.gate {
        Some((waited, checks)) => {
            let waited = show(waited);
            format!("asked to quit after {waited}, while waiting for {checks}; {next}")
        }
        None => format!("asked to quit: {next}"),
    };
    Message::new(Severity::Info, LogEvent::Quit, text)
}

fn need_lost(view: &View<'_>, index: usize) -> Message {
    let (name, next) = (view.name(index), view.next());
    let code = Exit::NeedLost.code();
    let text =
        format!("{name} has ended, and the command needs it (--needs); {next}: exit code {code}");
    Message::new(Severity::Error, LogEvent::NeedLost, text)
}

fn never_came(view: &View<'_>, index: usize) -> Message {
    let waited = show(view.life.spec().absent_timeout.unwrap_or_default());
    let (name, others) = (view.name(index), view.others());
    let text = format!(
        "gave up after {waited}: {name} never came ({others}); check its --name and its volume, or \
         raise --absent-timeout"
    );
    Message::new(Severity::Error, LogEvent::NeverCame, text)
}

fn holding(view: &View<'_>) -> Message {
    let spec = view.life.spec();
    let hold = show(spec.grace.saturating_sub(spec.margin));
    let stop = signal::name(view.stop_signal);
    let (names, have) = view.names_to_outlive("has", "have");
    let (grace, margin) = (show(spec.grace), show(spec.margin));
    let text = format!(
        "asked to stop: holding {stop} back from the command until {names} {have} ended, for at \
         most {hold} (--grace {grace} less --stop-margin {margin}; a deletion with a shorter grace \
         period kills earlier, and podgate cannot see it)"
    );
    Message::new(Severity::Info, LogEvent::Holding, text)
}

fn hurried(view: &View<'_>) -> Message {
    let names = view.names(view.life.to_outlive());
    let next = view.next();
    let text = format!("asked to stop again: no longer waiting for {names}; {next}");
    Message::new(Severity::Info, LogEvent::Hurried, text)
}

fn out_of_grace(view: &View<'_>) -> Message {
    let grace = show(view.life.spec().grace);
    let (names, are) = view.names_to_outlive("is", "are");
    let text = format!(
        "the grace period is nearly over and {names} {are} still alive: stopping the command \
         anyway; raise the pod's terminationGracePeriodSeconds, and --grace with it (now {grace})"
    );
    Message::new(Severity::Warning, LogEvent::OutOfGrace, text)
}

fn cmd_ignores_stop(view: &View<'_>) -> Message {
    let (stop, grace) = (signal::name(view.stop_signal), show(view.life.spec().grace));
    let text = format!(
        "the command has not ended within the grace period of {grace}: killing it; make it end on \
         {stop}, set --stop-signal, or raise --grace"
    );
    Message::new(Severity::Warning, LogEvent::IgnoredStopSignal, text)
}

fn pid_1_ignores_stop(view: &View<'_>) -> Message {
    let (stop, grace) = (signal::name(view.stop_signal), show(view.life.spec().grace));
    let text = format!(
        "PID 1 has not ended within {grace} of {stop}, and cannot be killed from inside its \
         container: this container and its pod will not end; make PID 1 end on {stop}, set \
         --stop-signal, or wrap it with podgate run"
    );
    Message::new(Severity::Error, LogEvent::IgnoredStopSignal, text)
}

fn absent(view: &View<'_>) -> Message {
    let (names, others) = (view.names(view.life.absent()), view.others());
    let text = format!("still waiting for {names} to come: absent is not done ({others})");
    Message::new(Severity::Info, LogEvent::Heartbeat, text)
}

/// A signal is not forwarded.
pub fn dropped(number: u8) -> Message {
    let name = signal::name(number);
    let text = format!("dropping {name} because of --map-signal");
    Message::new(Severity::Debug, LogEvent::Dropped, text)
}

/// A signal from outside begins a stop, although no option names it.
pub fn unnamed_stop(number: u8) -> Message {
    let (name, option) = (signal::name(number), signal::option_name(number));
    let text = format!(
        "{name} came from outside this container, and is taken for its stop signal; use \
         --stop-signal {option}"
    );
    let message = Message::new(Severity::Info, LogEvent::StopSignal, text);
    message.with("signal", Field::Text(name))
}

/// A signal from outside was forwarded, and is perhaps the stop signal. `None`: there is nothing to
/// hold it back for.
pub fn unnamed_and_forwarded(view: &View<'_>, number: u8) -> Option<Message> {
    view.life.to_outlive().next()?;
    let (name, option) = (signal::name(number), signal::option_name(number));
    let (names, are) = view.names_to_outlive("is", "are");
    let text = format!(
        "{name} came from outside this container, and was forwarded at once although {names} {are} \
         alive; if it is the image's stop signal, use --stop-signal {option}"
    );
    let message = Message::new(Severity::Warning, LogEvent::StopSignal, text);
    Some(message.with("signal", Field::Text(name)))
}

/// CMD was killed by a signal that podgate did not send.
pub fn killed(number: u8) -> Message {
    let name = signal::name(number);
    let hint = if number == signal::KILL {
        "; a likely cause is the OOM killer: check the container's memory limit"
    } else {
        ""
    };
    let text = format!("the command was killed by {name}, which podgate did not send{hint}");
    let message = Message::new(Severity::Warning, LogEvent::Killed, text);
    message.with("signal", Field::Text(name))
}

pub fn cmd_ended(code: u8) -> Message {
    let text = format!("the command ended with exit code {code}");
    Message::new(Severity::Debug, LogEvent::Ended, text)
}

/// CMD has described its state (`STATUS=` of sd_notify(3)). The words are CMD's.
pub fn status_of_cmd(status: String) -> Message {
    let text = format!("status of the command: {status:?}");
    Message::new(Severity::Debug, LogEvent::Status, text).with("status", Field::Text(status))
}

pub fn stopping_cmd(stop_signal: u8) -> Message {
    let text = format!("sending {} to the command", signal::name(stop_signal));
    Message::new(Severity::Debug, LogEvent::Stop, text)
}

pub fn stopping_pid_1(stop_signal: u8) -> Message {
    let text = format!("sending {} to PID 1", signal::name(stop_signal));
    Message::new(Severity::Info, LogEvent::Stop, text)
}

pub fn cannot_stop_pid_1(stop_signal: u8, errno: Errno) -> Message {
    let stop = signal::name(stop_signal);
    let text =
        format!("cannot send {stop} to PID 1: {errno}; run the hook as the same user as PID 1");
    Message::new(Severity::Error, LogEvent::Stop, text)
}

/// PID 1 gets no stop signal, because it is not the command of this container.
pub fn pid_1_is_shared() -> Message {
    let text = "PID 1 is not this container's own (shareProcessNamespace), and gets no signal; \
                wrap the command with podgate run";
    Message::new(Severity::Error, LogEvent::Stop, text)
}

/// The background process of `join` ends, because PID 1 may be waiting for it.
pub fn leaving_pid_1(stop_signal: u8) -> Message {
    let stop = signal::name(stop_signal);
    let text = format!(
        "PID 1 has no process left but this one, which ends so that PID 1 can end; if PID 1 stays, \
         nothing inside its container can end it: make it end on {stop}, or set --stop-signal"
    );
    Message::new(Severity::Info, LogEvent::Leaving, text)
}

/// The `--ready` gate did not open; `failure` is the gate's own message.
#[must_use]
pub fn not_ready(mut failure: Message) -> Message {
    failure.severity = Severity::Warning;
    failure
        .text
        .push_str("; this member will not be published as ready");
    failure
}

/// `record` is the path of the member's record.
pub fn cannot_publish_stage(record: &Path, errno: Errno) -> Message {
    let text = format!("cannot publish the command's state in {record:?}: {errno}; continuing");
    Message::new(Severity::Warning, LogEvent::Volume, text)
}

pub fn cannot_publish_end(code: u8, record: &Path, errno: Errno) -> Message {
    let text = format!(
        "cannot publish the exit code {code} in {record:?}: {errno}; other members will see this \
         one as lost"
    );
    Message::new(Severity::Warning, LogEvent::Volume, text)
}

/// Why the end of a wrong call cannot be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unpublished {
    /// The name is not this container's.
    NameIsTaken,
    Volume(VolumeError),
    /// The record cannot be written.
    Record {
        path: PathBuf,
        errno: Errno,
    },
}

/// A call with wrong options has ended, and the other members cannot see that.
pub fn cannot_publish_wrong_call(cause: &Unpublished) -> Message {
    let cause = match cause {
        Unpublished::NameIsTaken => "another container with this --name is alive".to_owned(),
        Unpublished::Volume(error) => volume_error(error),
        Unpublished::Record { path, errno } => format!("cannot write {path:?}: {errno}"),
    };
    let text = format!(
        "cannot publish the end of this wrong call on the volume: {cause}; members that wait for \
         it continue to wait"
    );
    Message::new(Severity::Warning, LogEvent::Volume, text)
}

/// `memory` is the path of the member's memory of failures.
pub fn cannot_remember(memory: &Path, errno: Errno) -> Message {
    let text = format!(
        "cannot remember in {memory:?} which failures were acted on: {errno}; continuing: after a \
         restart of this container they may count again"
    );
    Message::new(Severity::Warning, LogEvent::Volume, text)
}

pub fn cannot_listen(address: SocketAddr, errno: Errno) -> Message {
    let text = format!(
        "cannot listen on --listen {address}: {errno}; use another port, or find the process that \
         has this one"
    );
    Message::new(Severity::Error, LogEvent::Listen, text)
}

/// The socket at which CMD would report that it is ready cannot be made or read.
pub fn cannot_be_notified(errno: Errno) -> Message {
    let remedy = limit(errno).unwrap_or("use another check than --ready notify");
    let text = format!("cannot use a socket for --ready notify: {errno}; {remedy}");
    Message::new(Severity::Error, LogEvent::Failed, text)
}

#[cfg(test)]
mod tests {
    use super::{
        Unpublished, View, cannot_be_notified, cannot_publish_end, cannot_publish_stage,
        cannot_publish_wrong_call, cannot_remember, killed, notice, status_of_cmd,
        unnamed_and_forwarded, unnamed_stop,
    };
    use crate::core::completion::{Completion, Failure};
    use crate::core::errno::Errno;
    use crate::core::life::{Cause, Event, Life, Notice, Relation, Seen, Spec};
    use crate::core::linger::Linger;
    use crate::core::member::{Name, Policy, Stage};
    use crate::core::observation::{End, Observation};
    use crate::core::time::Time;
    use crate::core::volume_error::VolumeError;
    use crate::message::{Field, LogEvent, Severity};
    use std::path::Path;
    use std::time::Duration;

    const UNTIL: Relation = Relation {
        until: true,
        outlives: true,
        needs: false,
    };

    fn names(all: &[&str]) -> Vec<Name> {
        let name = |text: &&str| Name::parse(text).expect("a name");
        all.iter().map(name).collect()
    }

    fn life(members: usize, is_joined: bool) -> Life {
        let spec = Spec {
            relations: vec![UNTIL; members],
            policy: Policy::Auto,
            linger: Linger::Auto,
            grace: Duration::from_secs(30),
            margin: Duration::from_secs(5),
            absent_timeout: Some(Duration::from_secs(60)),
            has_ready: false,
            serves: true,
            gate_proves_needs: true,
            is_joined,
            acted: Vec::new(),
        };
        Life::new(spec, Time::ZERO)
    }

    fn alive(stage: Option<Stage>) -> Observation {
        Observation::Alive { id: Some(1), stage }
    }

    /// What is reported of the notice, for members of these names.
    fn text(members: &[&str], what: &Notice, change: impl Fn(&mut View<'_>)) -> Option<String> {
        let members = names(members);
        let mut life = life(members.len(), false);
        let seen = (0..members.len()).map(|member| Seen {
            member,
            observation: alive(Some(Stage::Ready)),
        });
        let _ = life.handle(Time::ZERO, Event::Seen(seen.collect()));
        let mut view = View {
            life: &life,
            members: &members,
            stop_signal: 15,
            is_started: true,
            gate: None,
            others: &[],
        };
        change(&mut view);
        notice(&view, what).map(|message| message.text)
    }

    #[test]
    fn a_change_of_a_member_is_one_line() {
        let ended = |end| Observation::Ended {
            id: 1,
            incarnation: Some(1),
            end,
            policy: None,
        };
        for (observation, expected) in [
            (Observation::Absent, None),
            (Observation::Unreadable, None),
            (alive(None), None),
            (
                alive(Some(Stage::Waiting)),
                Some("main is waiting for others"),
            ),
            (alive(Some(Stage::Ready)), Some("main is ready")),
            (ended(End::Code(3)), Some("main ended with exit code 3")),
        ] {
            let what = Notice::Member {
                member: 0,
                observation,
            };
            assert_eq!(text(&["main"], &what, |_| {}).as_deref(), expected);
        }
    }

    #[test]
    fn a_waiting_member_is_shown_with_verbose_only() {
        let (life, members) = (life(1, false), names(&["main"]));
        let view = View {
            life: &life,
            members: &members,
            stop_signal: 15,
            is_started: true,
            gate: None,
            others: &[],
        };
        for (stage, severity) in [
            (Stage::Waiting, Severity::Debug),
            (Stage::Running, Severity::Info),
            (Stage::Ready, Severity::Info),
        ] {
            let what = Notice::Member {
                member: 0,
                observation: alive(Some(stage)),
            };
            let message = notice(&view, &what).expect("a message");
            assert_eq!(
                (message.severity, message.event),
                (severity, LogEvent::Member)
            );
            assert_eq!(message.fields.len(), 1);
        }
    }

    #[test]
    fn the_end_of_a_member_of_until_says_what_is_waited_for() {
        let members = names(&["main"]);
        let minute = "; waiting up to 1m for it to come back (--linger)";
        let once = "; this container has already ended once for that, and waits for its next start";
        let always = "; under --restart-policy always --until does not end this container";
        let text = |policy, end, acted: &[u64], is_until: bool| {
            let mut spec = life(1, false).spec().clone();
            (spec.policy, spec.acted) = (policy, acted.to_vec());
            spec.relations = vec![Relation {
                until: is_until,
                ..UNTIL
            }];
            let mut life = Life::new(spec, Time::ZERO);
            let observation = Observation::Ended {
                id: 7,
                incarnation: Some(1),
                end,
                policy: None,
            };
            let seen = Seen {
                member: 0,
                observation,
            };
            let _ = life.handle(Time::ZERO, Event::Seen(vec![seen]));
            let view = View {
                life: &life,
                members: &members,
                stop_signal: 15,
                is_started: false,
                gate: None,
                others: &[],
            };
            let what = Notice::Member {
                member: 0,
                observation,
            };
            let text = notice(&view, &what).expect("a message").text;
            text.split_once(';')
                .map_or_else(String::new, |(_, rest)| format!(";{rest}"))
        };
        for (policy, end, acted, expected) in [
            (Policy::OnFailure, End::Code(1), &[][..], minute),
            (Policy::OnFailure, End::Lost, &[8], minute),
            (Policy::OnFailure, End::Stopped, &[7], minute),
            (Policy::OnFailure, End::Code(1), &[7], once),
            (Policy::OnFailure, End::Code(0), &[], ""),
            (Policy::Auto, End::Lost, &[7], once),
            (Policy::Auto, End::Lost, &[], ""),
            (Policy::Never, End::Code(1), &[], ""),
            (Policy::Always, End::Code(0), &[], always),
            (Policy::Always, End::Lost, &[7], always),
        ] {
            assert_eq!(
                text(policy, end, acted, true),
                expected,
                "{policy:?} {end:?}"
            );
            assert_eq!(text(policy, end, acted, false), "");
        }
    }

    #[test]
    fn a_completion_names_its_members_and_the_exit_code() {
        let failed = |code, passes_on| Failure {
            id: 1,
            end: End::Code(code),
            code,
            passes_on,
        };
        let stop = "stopping the command with SIGTERM; the exit code will be";
        for (members, failures, expected) in [
            (
                &["main"][..],
                vec![],
                format!("main is done, with success: {stop} 0"),
            ),
            (
                &["main"],
                vec![failed(3, true)],
                format!("main is done, with exit code 3: {stop} 3"),
            ),
            (
                &["a", "b"],
                vec![failed(4, true)],
                format!("a, b are done, one of them with exit code 4: {stop} 4"),
            ),
        ] {
            let what = Notice::Stopping(Cause::Done(Completion {
                failures,
                has_unknown: false,
            }));
            assert_eq!(text(members, &what, |_| {}), Some(expected));
        }
    }

    #[test]
    fn a_quit_names_what_the_gate_waited_for() {
        let what = Notice::Stopping(Cause::Quit);
        assert_eq!(
            text(&["main"], &what, |_| {}).as_deref(),
            Some("asked to quit: stopping the command with SIGTERM")
        );
        let at_the_gate = |view: &mut View<'_>| {
            view.is_started = false;
            view.gate = Some((
                Duration::from_secs(3),
                "\"tcp://db:5432\": connection refused",
            ));
        };
        assert_eq!(
            text(&["main"], &what, at_the_gate).as_deref(),
            Some(
                "asked to quit after 3s, while waiting for \"tcp://db:5432\": connection refused; \
                 the command is not started"
            )
        );
    }

    #[test]
    fn a_failure_has_a_cause_and_a_remedy() {
        let others = names(&["mian"]);
        for (what, expected) in [
            (
                Notice::Stopping(Cause::NeedLost(0)),
                "main has ended, and the command needs it (--needs); stopping the command with \
                 SIGTERM: exit code 69",
            ),
            (
                Notice::Stopping(Cause::NeverCame(0)),
                "gave up after 1m: main never came (seen here: mian); check its --name and its \
                 volume, or raise --absent-timeout",
            ),
        ] {
            let members = names(&["main"]);
            let life = life(1, false);
            let view = View {
                life: &life,
                members: &members,
                stop_signal: 15,
                is_started: true,
                gate: None,
                others: &others,
            };
            let message = notice(&view, &what).expect("a message");
            assert_eq!(message.severity, Severity::Error);
            assert_eq!(message.text, expected);
        }
        for cause in [Cause::CmdEnded, Cause::Signal { was_ready: true }] {
            assert_eq!(text(&["main"], &Notice::Stopping(cause), |_| {}), None);
        }
    }

    #[test]
    fn a_hold_names_the_members_that_are_outlived() {
        for (what, expected) in [
            (
                Notice::Holding,
                "asked to stop: holding SIGTERM back from the command until a, b have ended, for \
                 at most 25s (--grace 30s less --stop-margin 5s; a deletion with a shorter grace \
                 period kills earlier, and podgate cannot see it)",
            ),
            (
                Notice::Hurried,
                "asked to stop again: no longer waiting for a, b; stopping the command with \
                 SIGTERM",
            ),
            (
                Notice::OutOfGrace,
                "the grace period is nearly over and a, b are still alive: stopping the command \
                 anyway; raise the pod's terminationGracePeriodSeconds, and --grace with it (now \
                 30s)",
            ),
        ] {
            assert_eq!(text(&["a", "b"], &what, |_| {}).as_deref(), Some(expected));
        }
    }

    #[test]
    fn an_ignored_stop_signal_has_a_remedy() {
        assert_eq!(
            text(&["main"], &Notice::IgnoredStopSignal, |_| {}).as_deref(),
            Some(
                "the command has not ended within the grace period of 30s: killing it; make it end \
                 on SIGTERM, set --stop-signal, or raise --grace"
            )
        );
        let (life, members) = (life(1, true), names(&["main"]));
        let joined = View {
            life: &life,
            members: &members,
            stop_signal: 15,
            is_started: true,
            gate: None,
            others: &[],
        };
        let text = notice(&joined, &Notice::IgnoredStopSignal).map(|message| message.text);
        assert_eq!(
            text.as_deref(),
            Some(
                "PID 1 has not ended within 30s of SIGTERM, and cannot be killed from inside its \
                 container: this container and its pod will not end; make PID 1 end on SIGTERM, \
                 set --stop-signal, or wrap it with podgate run"
            )
        );
    }

    #[test]
    fn a_signal_from_outside_names_the_option_that_keeps_the_hold() {
        assert_eq!(
            unnamed_stop(37).text,
            "SIGRTMIN+3 came from outside this container, and is taken for its stop signal; use \
             --stop-signal RTMIN+3"
        );
        let (members, mut life) = (names(&["app"]), life(1, false));
        let view = |life: &Life| {
            let view = View {
                life,
                members: &members,
                stop_signal: 15,
                is_started: true,
                gate: None,
                others: &[],
            };
            unnamed_and_forwarded(&view, 1).map(|message| message.text)
        };
        assert_eq!(view(&life), None);
        let seen = Seen {
            member: 0,
            observation: alive(Some(Stage::Ready)),
        };
        let _ = life.handle(Time::ZERO, Event::Seen(vec![seen]));
        assert_eq!(
            view(&life).as_deref(),
            Some(
                "SIGHUP came from outside this container, and was forwarded at once although app \
                 is alive; if it is the image's stop signal, use --stop-signal HUP"
            )
        );
    }

    #[test]
    fn a_death_by_a_foreign_signal_names_it() {
        assert_eq!(
            killed(11).text,
            "the command was killed by SIGSEGV, which podgate did not send"
        );
        assert_eq!(
            killed(9).text,
            "the command was killed by SIGKILL, which podgate did not send; a likely cause is the \
             OOM killer: check the container's memory limit"
        );
    }

    #[test]
    fn a_status_of_the_command_is_shown_with_verbose_and_is_a_field() {
        let message = status_of_cmd("loading \"x\"".to_owned());
        assert_eq!(message.severity, Severity::Debug);
        assert_eq!(message.text, r#"status of the command: "loading \"x\"""#);
        let field = Field::Text("loading \"x\"".to_owned());
        assert_eq!(message.fields, [("status", field)]);
    }

    #[test]
    fn a_socket_that_cannot_be_used_names_the_cause_and_a_remedy() {
        for (errno, remedy) in [
            (Errno::EMFILE, "; raise the limit on open files"),
            (Errno(1), "; use another check than --ready notify"),
        ] {
            let message = cannot_be_notified(errno);
            let start = format!("cannot use a socket for --ready notify: {errno}{remedy}");
            assert!(message.text.starts_with(&start), "{}", message.text);
            assert_eq!(message.severity, Severity::Error);
        }
    }

    #[test]
    fn a_heartbeat_names_the_members_that_are_there() {
        let members = names(&["main"]);
        let others = names(&["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
        let life = life(1, false);
        for (others, expected) in [
            (&others[..0], "no other member was seen here"),
            (&others[..1], "seen here: a"),
            // A line names eight.
            (&others[..], "seen here: a, b, c, d, e, f, g, h"),
        ] {
            let view = View {
                life: &life,
                members: &members,
                stop_signal: 15,
                is_started: true,
                gate: None,
                others,
            };
            let message = notice(&view, &Notice::Absent).expect("a message");
            assert_eq!(
                message.text,
                format!("still waiting for main to come: absent is not done ({expected})")
            );
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_with_the_cause() {
        let record = Path::new("/run/main.record");
        let volume = Unpublished::Volume(VolumeError::KeepsNoLocks {
            path: "/run/main.lock".into(),
        });
        let unwritten = Unpublished::Record {
            path: record.to_owned(),
            errno: Errno::ENOSPC,
        };
        for (message, expected) in [
            (
                cannot_publish_stage(record, Errno::ENOSPC),
                "cannot publish the command's state in \"/run/main.record\": No space left on \
                 device (os error 28); continuing",
            ),
            (
                cannot_publish_end(3, record, Errno::ENOSPC),
                "cannot publish the exit code 3 in \"/run/main.record\": No space left on device \
                 (os error 28); other members will see this one as lost",
            ),
            (
                cannot_remember(Path::new("/run/main.acted"), Errno::EROFS),
                "cannot remember in \"/run/main.acted\" which failures were acted on: Read-only \
                 file system (os error 30); continuing: after a restart of this container they may \
                 count again",
            ),
            (
                cannot_publish_wrong_call(&Unpublished::NameIsTaken),
                "cannot publish the end of this wrong call on the volume: another container with \
                 this --name is alive; members that wait for it continue to wait",
            ),
            (
                cannot_publish_wrong_call(&volume),
                "cannot publish the end of this wrong call on the volume: \"/run/main.lock\" is on \
                 a file system that keeps no locks; use an emptyDir, on disk or with medium: \
                 Memory; members that wait for it continue to wait",
            ),
            (
                cannot_publish_wrong_call(&unwritten),
                "cannot publish the end of this wrong call on the volume: cannot write \
                 \"/run/main.record\": No space left on device (os error 28); members that wait \
                 for it continue to wait",
            ),
        ] {
            assert_eq!(message.text, expected);
            assert_eq!(message.severity, Severity::Warning);
        }
    }
}
