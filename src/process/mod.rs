//! Signals, children, and the exec of CMD. Knows nothing of checks, gates and members.
//!
//! | module | job |
//! | --- | --- |
//! | [`arrival`] | takes signals over and reads them |
//! | [`children`] | starts and reaps commands, and is the only module that does |
//! | [`exec`] | becomes CMD, and finds the reason if a command cannot be executed |
//! | [`job`] | the terminal, and stops podgate as Ctrl-Z does |
//! | [`leave`] | becomes a background process, and ends by a signal |
//! | [`notify`] | the socket at which CMD reports that it is ready |
//! | [`pid_1`] | facts about PID 1 of this container |
//! | [`sandbox`] | recognises the sandbox of the pod |
//! | [`watchdog`] | ends podgate from another thread if the main thread hangs |
//! | [`sys`] | every `unsafe` of the crate |

mod arrival;
mod children;
pub(crate) mod exec;
mod job;
mod leave;
mod notify;
mod pid_1;
pub(crate) mod sandbox;
pub(crate) mod sys;
pub(crate) mod watchdog;

pub(crate) use arrival::{Arrived, Signals, Which};
pub(crate) use children::Children;
pub(crate) use exec::become_command;
pub(crate) use job::{stop_by, suspend};
pub(crate) use leave::{daemonize, end_by_signal};
pub(crate) use notify::NotifySocket;
pub(crate) use pid_1::{
    is_only_child_of_init, is_pid_1, may_signal_init, shares_pid_namespace, signal_init,
};
pub(crate) use sys::End;
