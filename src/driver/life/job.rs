//! Job control (P2.6): podgate stops and continues with CMD, and both share the terminal.
//! `core::job_control` decides.

use crate::core::job_control::{self, Foreground, Origin, Reaction, cmd_stopped, wants_terminal};
use crate::core::signal::{CONT, HUP, Reach, Received, Sender, TSTP};
use crate::process::{Children, stop_by};
use std::cell::RefCell;

#[derive(Debug, Default)]
pub(super) struct Job {
    /// The last stop signal that was forwarded to CMD, which may be handling it.
    forwarded: Option<Origin>,
    /// podgate has continued its own process group, and gets that SIGCONT, too.
    continues_own_group: bool,
    /// CMD was told that nobody can give it the terminal.
    has_hung_up: bool,
}

impl Job {
    /// Takes a signal that is not for CMD. `true`: it was one.
    pub(super) fn take_own(&mut self, signal: Received, children: &RefCell<Children>) -> bool {
        if signal.number == CONT && std::mem::take(&mut self.continues_own_group) {
            return true;
        }
        // Another process of podgate's group, such as a pager behind it in a pipeline, wants the
        // terminal that CMD has.
        let is_neighbours = wants_terminal(signal.number)
            && signal.sender == Sender::Kernel
            && children.borrow().foreground() == Foreground::Cmd;
        if is_neighbours {
            self.continues_own_group = true;
            children.borrow_mut().share_terminal();
        }
        is_neighbours
    }

    /// A signal is about to be forwarded to CMD as `to`.
    pub(super) fn forwards(&mut self, signal: Received, to: u8) {
        if job_control::stops(to) {
            self.forwarded = Some(match signal.sender {
                Sender::Kernel => Origin::Terminal,
                Sender::Outside | Sender::Neighbour => Origin::Process,
            });
        }
    }

    /// podgate was continued. Returns whether CMD was stopped, and is continued with it.
    pub(super) fn continued(&mut self, children: &RefCell<Children>) -> bool {
        self.forwarded = None;
        let mut children = children.borrow_mut();
        children.resume_terminal();
        // It may have stopped just now.
        let _ = children.take_main_stop();
        children.continue_main()
    }

    /// Looks whether CMD was stopped, and does what a shell expects of it.
    pub(super) fn look(&mut self, children: &RefCell<Children>) {
        let Some(signal) = children.borrow_mut().take_main_stop() else {
            return;
        };
        let foreground = children.borrow().foreground();
        match cmd_stopped(signal, foreground, self.forwarded.take()) {
            Reaction::Nothing => {}
            Reaction::GiveTerminal => {
                let mut children = children.borrow_mut();
                children.give_terminal();
                children.continue_main();
            }
            Reaction::Stop {
                signal,
                whole_group,
            } => {
                if !stop_by(signal, whole_group) {
                    self.cannot_stop(signal, &mut children.borrow_mut());
                }
            }
        }
    }

    /// The kernel has not stopped podgate, because no shell could continue it. It would not have
    /// stopped CMD either, if CMD were in podgate's place.
    fn cannot_stop(&mut self, signal: u8, children: &mut Children) {
        if signal == TSTP {
            children.continue_main();
        } else if !std::mem::replace(&mut self.has_hung_up, true) {
            // The kernel does the same to stopped processes that nobody can continue.
            children.signal_main(HUP, Reach::Group);
            children.continue_main();
        }
    }
}
