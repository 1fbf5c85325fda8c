//! Signals, children, and the exec of CMD. Knows nothing of checks, gates and members.
//!
//! | module | job |
//! | --- | --- |
//! | [`arrival`] | takes the signals over and reads them |
//! | [`children`] | starts commands, and is the only place that reaps |
//! | [`exec`] | becomes CMD, and classifies why a command cannot be executed |
//! | [`leave`] | becomes a background process, and dies by a signal |
//! | [`pid_1`] | what is known of PID 1 of this container |
//! | [`watchdog`] | ends podgate from another thread where the main thread hangs |
//! | [`sys`] | every `unsafe` of the crate |

mod arrival;
mod children;
pub(crate) mod exec;
mod leave;
mod pid_1;
pub(crate) mod sys;
pub(crate) mod watchdog;

pub(crate) use arrival::{Arrived, Signals, Which};
pub(crate) use children::Children;
pub(crate) use exec::become_command;
pub(crate) use leave::{daemonize, end_by_signal};
pub(crate) use pid_1::{is_only_child_of_init, is_pid_1, shares_pid_namespace, signal_init};
pub(crate) use sys::End;
