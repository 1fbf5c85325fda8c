//! CMD of a life: starts it, sends it signals and reaps it.

use super::job::Job;
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::core::job_control;
use crate::core::signal::{self, Mapping, Reach, Received, Sender};
use crate::members::watch::FAST;
use crate::message;
use crate::process::exec::exec_error;
use crate::process::{self, Children, End};
use crate::report::Report;
use std::cell::RefCell;
use std::ffi::OsString;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long PID 1 may have no other child than the background process of `join` before that process
/// ends.
const LONELY: Duration = Duration::from_secs(1);

/// Which process CMD is.
#[derive(Clone, Copy)]
pub(crate) enum MainProcess<'a> {
    /// A child of podgate, with this command line.
    Child(&'a [OsString]),
    /// PID 1 of this container, which `join` did not start.
    Init,
}

/// The settings for the signals of CMD and for its end.
#[derive(Clone, Copy)]
pub(crate) struct CmdSettings<'a> {
    /// The signal that stops CMD.
    pub(crate) stop_signal: u8,
    /// `--stop-signal`, if it was given. It begins a stop when it arrives, as TERM does.
    pub(crate) given_stop: Option<u8>,
    /// Whether a stop may be held back, because a member is to be outlived.
    pub(crate) holds: bool,
    pub(crate) mappings: &'a [Mapping],
    /// Which processes get a forwarded signal.
    pub(crate) reach: Reach,
    /// The exit codes of CMD that count as 0.
    pub(crate) ok_exits: &'a [u8],
}

/// The meaning of a signal that is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Nothing,
    /// It stops CMD.
    Stop,
    /// It stops CMD, too: it is taken for the image's STOPSIGNAL, which no option names.
    UnnamedStop,
    /// CMD is not to be started.
    EndOfWait,
    /// It stops podgate, which waits for a gate: Ctrl-Z.
    Suspend,
    /// It was forwarded, and may be the image's STOPSIGNAL.
    MayBeStop,
}

pub(super) struct Cmd<'a> {
    process: MainProcess<'a>,
    settings: CmdSettings<'a>,
    children: Rc<RefCell<Children>>,
    is_started: bool,
    /// The signal that stops CMD.
    stop_signal: u8,
    /// Whether a signal has begun a stop. Later ones do not change the stop signal.
    is_stop_decided: bool,
    /// Signals for CMD that arrived before it was started.
    early: Vec<Received>,
    job: Job,
    lonely: Option<Lonely>,
}

/// PID 1 was asked to stop, and may be waiting for its last child, the background process.
struct Lonely {
    /// When to look next.
    at: Instant,
    since: Option<Instant>,
}

impl<'a> Cmd<'a> {
    pub(super) fn new(
        process: MainProcess<'a>,
        settings: CmdSettings<'a>,
        children: &Rc<RefCell<Children>>,
    ) -> Self {
        Self {
            process,
            settings,
            children: Rc::clone(children),
            is_started: false,
            stop_signal: settings.stop_signal,
            is_stop_decided: false,
            early: Vec::new(),
            job: Job::default(),
            lonely: None,
        }
    }

    pub(super) const fn is_started(&self) -> bool {
        self.is_started
    }

    pub(super) const fn stop_signal(&self) -> u8 {
        self.stop_signal
    }

    /// Forwards a signal to CMD, or returns its meaning. `ends`: it ends a wait. `has_gate`: CMD is
    /// not started before a gate has opened. `is_stopping`: CMD was sent its stop signal.
    pub(super) fn take_signal(
        &mut self,
        signal: Received,
        ends: bool,
        has_gate: bool,
        is_stopping: bool,
        report: &mut Report,
    ) -> Meaning {
        let number = signal.number;
        // The stop signal of this container goes to PID 1. The background process of `join` gets
        // signals only from broadcasts (`kill -1`).
        if matches!(self.process, MainProcess::Init) {
            return Meaning::Nothing;
        }
        let is_stop = number == signal::TERM || Some(number) == self.settings.given_stop;
        if self.is_started {
            return self.take_signal_for_cmd(signal, is_stop, is_stopping, report);
        }
        if is_stop {
            return Meaning::Stop;
        }
        if ends {
            return Meaning::EndOfWait;
        }
        // Without a gate CMD starts soon, and gets the signal then. A signal that arrives while a
        // gate waits is out of date when the gate opens: Ctrl-Z stops the wait, not a later CMD.
        if !has_gate {
            self.early.push(signal);
        } else if job_control::stops(number) && self.mapped(number, report) == Some(number) {
            return Meaning::Suspend;
        }
        Meaning::Nothing
    }

    fn take_signal_for_cmd(
        &mut self,
        signal: Received,
        is_stop: bool,
        is_stopping: bool,
        report: &mut Report,
    ) -> Meaning {
        let number = signal.number;
        if !process::is_pid_1() && self.job.take_own(signal, &self.children) {
            return Meaning::Nothing;
        }
        let was_stopped = number == signal::CONT && self.job.continued(&self.children);
        let Some(to) = self.mapped(number, report) else {
            return Meaning::Nothing;
        };
        if is_stop {
            self.is_stop_decided = true;
            return Meaning::Stop;
        }
        // Only a hold can be lost, and it is over when CMD was sent its stop signal.
        let may_be_stop = self.settings.holds
            && self.settings.given_stop.is_none()
            && signal.sender == Sender::Outside
            && !is_stopping;
        let is_mapped = self.settings.mappings.iter().any(|it| it.from == number);
        if may_be_stop && signal::may_stop_a_container(number) && !is_mapped {
            if !std::mem::replace(&mut self.is_stop_decided, true) {
                self.stop_signal = number;
            }
            return Meaning::UnnamedStop;
        }
        // The whole process group was continued above.
        if !(was_stopped && to == signal::CONT) {
            self.forward(signal, to);
        }
        let is_candidate = number == signal::HUP || signal::may_stop_a_container(number);
        if may_be_stop && is_candidate {
            Meaning::MayBeStop
        } else {
            Meaning::Nothing
        }
    }

    /// Sends CMD the signal `to` for one that has arrived.
    fn forward(&mut self, signal: Received, to: u8) {
        let mut reach = self.settings.reach;
        if !process::is_pid_1() {
            self.job.forwards(signal, to);
            // CMD would have got it with its whole group, if its group had the terminal.
            if signal.sender == Sender::Kernel && signal::is_typed(signal.number) {
                reach = Reach::Group;
            }
        }
        self.children.borrow_mut().signal_main(to, reach);
    }

    /// Starts CMD, with this NOTIFY_SOCKET if there is one. Does nothing for PID 1, which runs
    /// already.
    ///
    /// # Errors
    /// The exit code if CMD cannot be started. The reason was reported.
    pub(super) fn start(&mut self, notify: Option<&str>, report: &mut Report) -> Result<(), Exit> {
        if let MainProcess::Child(cmd) = self.process {
            let (name, arguments) = cmd.split_first().ok_or(Exit::Usage)?;
            let mut children = self.children.borrow_mut();
            let spawned = children.spawn_main(name, arguments, self.settings.reach, notify);
            if let Err(error) = spawned {
                let error = exec_error(name, &error);
                report.failure(&message::exec::cannot_run(name, error));
                return Err(error.exit());
            }
        }
        self.is_started = true;
        for signal in std::mem::take(&mut self.early) {
            if let Some(to) = self.mapped(signal.number, report) {
                self.forward(signal, to);
            }
        }
        Ok(())
    }

    /// The signal that CMD gets for a signal that arrived. `None`: `--map-signal` drops it.
    fn mapped(&self, number: u8, report: &mut Report) -> Option<u8> {
        let to = signal::mapped(self.settings.mappings, number);
        if to.is_none() {
            report.line(&message::life::dropped(number));
        }
        to
    }

    fn send(&self, number: u8) {
        let mut children = self.children.borrow_mut();
        children.signal_main(number, self.settings.reach);
    }

    /// Sends CMD its stop signal.
    pub(super) fn stop(&mut self, report: &mut Report) {
        let stop_signal = self.stop_signal;
        match self.process {
            MainProcess::Child(_) => {
                report.line(&message::life::stopping_cmd(stop_signal));
                self.send(stop_signal);
                // A process that is stopped handles no signal.
                self.children.borrow_mut().continue_main();
            }
            MainProcess::Init if process::shares_pid_namespace() == Some(true) => {
                report.line(&message::life::pid_1_is_shared());
            }
            MainProcess::Init => {
                report.line(&message::life::stopping_pid_1(stop_signal));
                match process::signal_init(stop_signal) {
                    Ok(()) => self.lonely = Lonely::look(None),
                    Err(error) => {
                        report.line(&message::life::cannot_stop_pid_1(
                            stop_signal,
                            Errno(error as i32),
                        ));
                    }
                }
            }
        }
    }

    pub(super) fn kill(&self) {
        self.send(signal::KILL);
    }

    /// Kills CMD, and waits until it is dead.
    pub(super) fn kill_and_reap(&self) {
        self.children.borrow_mut().kill_main();
    }

    /// Reaps every child that has ended. If CMD is among them, returns its exit code after
    /// `--ok-exit`. If CMD has stopped, podgate may stop, too.
    pub(super) fn reap(&mut self, report: &mut Report) -> Option<u8> {
        let end = {
            let mut children = self.children.borrow_mut();
            children.reap();
            children.take_main_end()
        };
        let Some(end) = end else {
            self.job.look(&self.children);
            return None;
        };
        let code = match end.how {
            End::Exited(code) => u8::try_from(code).unwrap_or(u8::MAX),
            End::Killed(number) => {
                let number = u8::try_from(number).unwrap_or(u8::MAX);
                if end.is_unexpected {
                    report.line(&message::life::killed(number));
                }
                Exit::Signal(number).code()
            }
        };
        report.line(&message::life::cmd_ended(code));
        let is_ok = self.settings.ok_exits.contains(&code);
        Some(if is_ok { 0 } else { code })
    }

    /// The time of the next call of [`Cmd::leaves_init`] at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lonely.as_ref().map(|lonely| lonely.at)
    }

    /// Whether the background process of `join` has to end, because PID 1 was asked to stop and has
    /// had no other child for a while. Some servers (HAProxy's master) end only when all their
    /// children have ended.
    pub(super) fn leaves_init(&mut self, report: &mut Report) -> bool {
        let now = Instant::now();
        let Some(lonely) = self.lonely.take_if(|lonely| lonely.at <= now) else {
            return false;
        };
        let is_lonely = process::is_only_child_of_init();
        let since = is_lonely.then(|| lonely.since.unwrap_or(now));
        if since.is_some_and(|since| now.duration_since(since) >= LONELY) {
            report.line(&message::life::leaving_pid_1(self.stop_signal));
            return true;
        }
        self.lonely = Lonely::look(since);
        false
    }
}

impl Lonely {
    fn look(since: Option<Instant>) -> Option<Self> {
        let at = Instant::now().checked_add(FAST)?;
        Some(Self { at, since })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cmd, CmdSettings, MainProcess, Meaning};
    use crate::core::logging::Format;
    use crate::core::signal::{self, HUP, INT, Mapping, QUIT, Reach, Received, Sender, TERM, TSTP};
    use crate::process::{Children, Signals, Which};
    use crate::report::Report;
    use std::cell::RefCell;
    use std::rc::Rc;

    const SETTINGS: CmdSettings<'static> = CmdSettings {
        stop_signal: TERM,
        given_stop: None,
        holds: true,
        mappings: &[],
        reach: Reach::Child,
        ok_exits: &[],
    };

    fn cmd<'a>(process: MainProcess<'a>, settings: CmdSettings<'a>, is_started: bool) -> Cmd<'a> {
        let signals = Signals::take(Which::Ending).expect("signals");
        let children = Rc::new(RefCell::new(Children::new(signals.original())));
        let mut cmd = Cmd::new(process, settings, &children);
        cmd.is_started = is_started;
        cmd
    }

    const fn from(sender: Sender, number: u8) -> Received {
        Received { number, sender }
    }

    /// What each signal means, with the stop signal QUIT.
    fn meanings(process: MainProcess<'_>, is_started: bool, has_gate: bool) -> [Meaning; 4] {
        let settings = CmdSettings {
            stop_signal: QUIT,
            given_stop: Some(QUIT),
            ..SETTINGS
        };
        let mut cmd = cmd(process, settings, is_started);
        let mut report = Report::plain(Format::Text);
        let all = [(TERM, true), (QUIT, true), (INT, true), (TSTP, false)];
        let meanings = all.map(|(it, ends)| {
            let signal = from(Sender::Outside, it);
            cmd.take_signal(signal, ends, has_gate, false, &mut report)
        });
        let keeps = !is_started && !has_gate && matches!(process, MainProcess::Child(_));
        assert_eq!(cmd.early == [from(Sender::Outside, TSTP)], keeps);
        meanings
    }

    #[test]
    fn what_a_signal_means_depends_on_whether_cmd_is_started() {
        use Meaning::{EndOfWait, Nothing, Stop, Suspend};
        for (has_gate, stops) in [(true, Suspend), (false, Nothing)] {
            assert_eq!(
                meanings(MainProcess::Child(&[]), false, has_gate),
                [Stop, Stop, EndOfWait, stops]
            );
            assert_eq!(
                meanings(MainProcess::Child(&[]), true, has_gate),
                [Stop, Stop, Nothing, Nothing]
            );
            for is_started in [true, false] {
                assert_eq!(
                    meanings(MainProcess::Init, is_started, has_gate),
                    [Nothing; 4]
                );
            }
        }
    }

    /// The meaning of a signal for a CMD that runs, and the stop signal afterwards.
    fn meaning(settings: CmdSettings<'_>, signal: Received, is_stopping: bool) -> (Meaning, u8) {
        let mut cmd = cmd(MainProcess::Child(&[]), settings, true);
        let mut report = Report::plain(Format::Text);
        let meaning = cmd.take_signal(signal, true, false, is_stopping, &mut report);
        (meaning, cmd.stop_signal())
    }

    #[test]
    fn a_signal_from_outside_is_a_stop_that_no_option_names() {
        use Meaning::{MayBeStop, Nothing, UnnamedStop};
        let outside = |number| from(Sender::Outside, number);
        for number in [INT, QUIT, 10, 12, 14, 28, 30, 37, 64] {
            let first = meaning(SETTINGS, outside(number), false);
            assert_eq!(first, (UnnamedStop, number));
            // The negative controls.
            for sender in [Sender::Neighbour, Sender::Kernel] {
                let other = meaning(SETTINGS, from(sender, number), false);
                assert_eq!(other, (Nothing, TERM));
            }
            assert_eq!(meaning(SETTINGS, outside(number), true), (Nothing, TERM));
            let no_hold = CmdSettings {
                holds: false,
                ..SETTINGS
            };
            assert_eq!(meaning(no_hold, outside(number), false), (Nothing, TERM));
            let given = CmdSettings {
                given_stop: Some(TERM),
                ..SETTINGS
            };
            assert_eq!(meaning(given, outside(number), false), (Nothing, TERM));
        }
        assert_eq!(meaning(SETTINGS, outside(HUP), false), (MayBeStop, TERM));
        for number in [18, 20, 21, 22, 23] {
            assert_eq!(meaning(SETTINGS, outside(number), false), (Nothing, TERM));
        }
    }

    #[test]
    fn the_first_stop_decides_the_signal_that_stops_cmd() {
        let mut cmd = cmd(MainProcess::Child(&[]), SETTINGS, true);
        let mut report = Report::plain(Format::Text);
        use Meaning::{Stop, UnnamedStop};
        for (number, expected) in [(QUIT, UnnamedStop), (TERM, Stop), (INT, UnnamedStop)] {
            let signal = from(Sender::Outside, number);
            let meaning = cmd.take_signal(signal, true, false, false, &mut report);
            assert_eq!((meaning, cmd.stop_signal()), (expected, QUIT));
        }
    }

    #[test]
    fn a_stop_is_what_arrives_and_not_what_cmd_gets() {
        use Meaning::{MayBeStop, Nothing, Stop, UnnamedStop};
        let maps = |all: &[&str]| -> Vec<Mapping> {
            let one = |text: &&str| signal::mapping(text).expect("a mapping");
            all.iter().map(one).collect()
        };
        for (given, number, sender, expected) in [
            (&["TERM=INT", "INT=TERM"][..], TERM, Sender::Outside, Stop),
            (&["TERM=INT", "INT=TERM"], INT, Sender::Neighbour, Nothing),
            (&["TERM=INT", "INT=TERM"], INT, Sender::Outside, MayBeStop),
            (&["TERM=HUP"], HUP, Sender::Neighbour, Nothing),
            (&["TERM=QUIT"], QUIT, Sender::Neighbour, Nothing),
            (&["TERM=QUIT"], QUIT, Sender::Outside, UnnamedStop),
            (&["QUIT=none"], QUIT, Sender::Outside, Nothing),
            (&["TERM=none"], TERM, Sender::Outside, Nothing),
        ] {
            let mappings = maps(given);
            let stop_signal = signal::mapped(&mappings, TERM).unwrap_or(TERM);
            let settings = CmdSettings {
                stop_signal,
                mappings: &mappings,
                ..SETTINGS
            };
            let (meaning, _) = meaning(settings, from(sender, number), false);
            assert_eq!(meaning, expected, "{given:?} {number} {sender:?}");
        }
    }
}
