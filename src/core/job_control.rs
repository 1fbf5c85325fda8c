//! Job control of `run` where it is not PID 1 (P2.6): who has the terminal, and when podgate stops.
//!
//! CMD is in its own process group, so Ctrl-Z stops CMD and not podgate. The shell knows only
//! podgate's group. It takes the terminal back when that group stops, and continues it later.

use super::signal::{STOP, TSTP, TTIN, TTOU};

/// Which process group has the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreground {
    /// podgate's own group.
    Own,
    /// CMD's group.
    Cmd,
    /// Another one, such as the shell's.
    Other,
    /// There is no terminal.
    Missing,
}

/// Where a stop signal came from that podgate has forwarded to CMD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A process sent it to podgate.
    Process,
    /// The terminal sent it to podgate's whole group, whose other members have stopped by now.
    Terminal,
}

/// What podgate does when CMD has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing. Another process has stopped CMD, and that process will continue it.
    Nothing,
    /// Give CMD the terminal, and continue it.
    GiveTerminal,
    /// Stop by this signal.
    Stop {
        signal: u8,
        /// The other processes of podgate's group stop, too: a script that called podgate, or the
        /// other commands of a pipeline.
        whole_group: bool,
    },
}

/// Whether the default action of this signal stops a process.
pub const fn stops(number: u8) -> bool {
    matches!(number, STOP | TSTP | TTIN | TTOU)
}

/// Whether this signal comes from the wish to use a terminal that another group has.
pub const fn wants_terminal(number: u8) -> bool {
    matches!(number, TTIN | TTOU)
}

/// CMD was stopped by `signal`. `forwarded`: podgate has forwarded a stop signal before.
pub const fn cmd_stopped(
    signal: u8,
    foreground: Foreground,
    forwarded: Option<Origin>,
) -> Reaction {
    match (forwarded, foreground) {
        // The process that has stopped podgate continues it, even if there is no shell.
        (Some(Origin::Process), _) => Reaction::Stop {
            signal: STOP,
            whole_group: false,
        },
        (Some(Origin::Terminal), _) => Reaction::Stop {
            signal,
            whole_group: false,
        },
        (None, Foreground::Own) if wants_terminal(signal) => Reaction::GiveTerminal,
        // Some programs stop themselves by SIGSTOP at Ctrl-Z. The kernel ignores SIGTSTP, and not
        // SIGSTOP, where there is no shell that could continue podgate.
        (None, Foreground::Cmd) if signal == STOP => Reaction::Stop {
            signal: TSTP,
            whole_group: true,
        },
        (None, Foreground::Own | Foreground::Cmd | Foreground::Other) if signal != STOP => {
            Reaction::Stop {
                signal,
                whole_group: true,
            }
        }
        (None, Foreground::Own | Foreground::Cmd | Foreground::Other | Foreground::Missing) => {
            Reaction::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Foreground, Origin, Reaction, STOP, TSTP, TTIN, TTOU, cmd_stopped};

    const ALL: [Foreground; 4] = [
        Foreground::Own,
        Foreground::Cmd,
        Foreground::Other,
        Foreground::Missing,
    ];

    const fn stop(signal: u8, whole_group: bool) -> Reaction {
        Reaction::Stop {
            signal,
            whole_group,
        }
    }

    #[test]
    fn a_cmd_that_wants_the_terminal_gets_it_from_podgate_or_stops_the_whole_job() {
        for signal in [TTIN, TTOU] {
            let reactions = ALL.map(|foreground| cmd_stopped(signal, foreground, None));
            let job = stop(signal, true);
            let expected = [Reaction::GiveTerminal, job, job, Reaction::Nothing];
            assert_eq!(reactions, expected);
        }
    }

    #[test]
    fn a_cmd_that_the_terminal_has_stopped_stops_the_whole_job() {
        let reactions = ALL.map(|foreground| cmd_stopped(TSTP, foreground, None));
        let job = stop(TSTP, true);
        assert_eq!(reactions, [job, job, job, Reaction::Nothing]);
    }

    #[test]
    fn a_cmd_that_another_process_has_stopped_does_not_stop_podgate() {
        let reactions = ALL.map(|foreground| cmd_stopped(STOP, foreground, None));
        let nothing = Reaction::Nothing;
        assert_eq!(reactions, [nothing, stop(TSTP, true), nothing, nothing]);
    }

    #[test]
    fn a_stop_signal_that_was_forwarded_stops_podgate_alone() {
        for foreground in ALL {
            for signal in [STOP, TSTP, TTIN, TTOU] {
                let asked = cmd_stopped(signal, foreground, Some(Origin::Process));
                assert_eq!(asked, stop(STOP, false));
                let typed = cmd_stopped(signal, foreground, Some(Origin::Terminal));
                assert_eq!(typed, stop(signal, false));
            }
        }
    }
}
