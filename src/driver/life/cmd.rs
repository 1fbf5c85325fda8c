//! CMD of a life: starts it, sends it signals and reaps it.

use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::core::signal::{self, Mapping, Reach};
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
    pub(crate) stop_signal: u8,
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
    /// CMD is not to be started.
    EndOfWait,
}

pub(super) struct Cmd<'a> {
    process: MainProcess<'a>,
    settings: CmdSettings<'a>,
    children: Rc<RefCell<Children>>,
    is_started: bool,
    /// Signals for CMD that arrived before it was started.
    early: Vec<u8>,
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
            early: Vec::new(),
            lonely: None,
        }
    }

    pub(super) const fn is_started(&self) -> bool {
        self.is_started
    }

    pub(super) const fn stop_signal(&self) -> u8 {
        self.settings.stop_signal
    }

    /// Forwards a signal to CMD, or returns its meaning. `ends`: it ends a wait. `has_gate`: CMD is
    /// not started before a gate has opened.
    pub(super) fn take_signal(
        &mut self,
        number: u8,
        ends: bool,
        has_gate: bool,
        report: &mut Report,
    ) -> Meaning {
        // The stop signal of this container goes to PID 1. The background process of `join` gets
        // signals only from broadcasts (`kill -1`).
        if matches!(self.process, MainProcess::Init) {
            return Meaning::Nothing;
        }
        let is_stop = number == signal::TERM || number == self.settings.stop_signal;
        if self.is_started {
            return match self.mapped(number, report) {
                Some(_) if is_stop => Meaning::Stop,
                Some(to) => {
                    self.send(to);
                    Meaning::Nothing
                }
                None => Meaning::Nothing,
            };
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
            self.early.push(number);
        }
        Meaning::Nothing
    }

    /// Starts CMD. Does nothing for PID 1, which runs already.
    ///
    /// # Errors
    /// The exit code if CMD cannot be started. The reason was reported.
    pub(super) fn start(&mut self, report: &mut Report) -> Result<(), Exit> {
        if let MainProcess::Child(cmd) = self.process {
            let (name, arguments) = cmd.split_first().ok_or(Exit::Usage)?;
            let spawned = self.children.borrow_mut().spawn_main(name, arguments);
            if let Err(error) = spawned {
                let error = exec_error(name, &error);
                report.failure(&message::exec::cannot_run(name, error));
                return Err(error.exit());
            }
        }
        self.is_started = true;
        for number in std::mem::take(&mut self.early) {
            if let Some(to) = self.mapped(number, report) {
                self.send(to);
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
        let children = self.children.borrow();
        children.signal_main(number, self.settings.reach);
    }

    /// Sends CMD its stop signal.
    pub(super) fn stop(&mut self, report: &mut Report) {
        let stop_signal = self.settings.stop_signal;
        match self.process {
            MainProcess::Child(_) => {
                report.line(&message::life::stopping_cmd(stop_signal));
                self.send(stop_signal);
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
        self.children.borrow_mut().kill_main(self.settings.reach);
    }

    /// Reaps every child that has ended. If CMD is among them, returns its exit code after
    /// `--ok-exit`.
    pub(super) fn reap(&self, report: &mut Report) -> Option<u8> {
        let end = {
            let mut children = self.children.borrow_mut();
            children.reap();
            children.take_main_end()
        };
        let code = match end? {
            End::Exited(code) => u8::try_from(code).unwrap_or(u8::MAX),
            End::Killed(number) => Exit::Signal(u8::try_from(number).unwrap_or(u8::MAX)).code(),
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
            report.line(&message::life::leaving_pid_1(self.settings.stop_signal));
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
    use crate::core::signal::Reach;
    use crate::core::signal::TERM;
    use crate::process::{Children, Signals, Which};
    use crate::report::Report;
    use std::cell::RefCell;
    use std::rc::Rc;

    const INT: u8 = 2;
    const QUIT: u8 = 3;
    const TSTP: u8 = 20;

    /// What each signal means, with the stop signal QUIT.
    fn meanings(process: MainProcess<'_>, is_started: bool, has_gate: bool) -> [Meaning; 4] {
        let signals = Signals::take(Which::Ending).expect("signals");
        let children = Rc::new(RefCell::new(Children::new(signals.original())));
        let settings = CmdSettings {
            stop_signal: QUIT,
            mappings: &[],
            reach: Reach::Child,
            ok_exits: &[],
        };
        let mut cmd = Cmd::new(process, settings, &children);
        cmd.is_started = is_started;
        let mut report = Report::plain(Format::Text);
        let all = [(TERM, true), (QUIT, true), (INT, true), (TSTP, false)];
        let meanings = all.map(|(it, ends)| cmd.take_signal(it, ends, has_gate, &mut report));
        let keeps = !is_started && !has_gate && matches!(process, MainProcess::Child(_));
        assert_eq!(cmd.early == [TSTP], keeps);
        meanings
    }

    #[test]
    fn what_a_signal_means_depends_on_whether_cmd_is_started() {
        use Meaning::{EndOfWait, Nothing, Stop};
        for has_gate in [true, false] {
            assert_eq!(
                meanings(MainProcess::Child(&[]), false, has_gate),
                [Stop, Stop, EndOfWait, Nothing]
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
}
