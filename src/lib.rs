//! podgate starts a container when its sidecars are ready, and ends it with them.
//!
//! `check` tries checks once, and `wait` tries them until they pass. `run` supervises a container's
//! command, CMD, and publishes its state on a volume that the containers of the pod share. So each
//! container can wait for the others and end with them. `join` does the same from a hook, `quit`
//! asks sidecars to end, `status` and `doctor` show what podgate sees.
//!
//! # Three machines decide
//!
//! | machine | what it decides |
//! | --- | --- |
//! | [`core::gate`] | when each check is tried, and whether the gate opens |
//! | [`core::quit`] | when a sidecar is asked to quit, and whether it is gone |
//! | [`core::life`] | when CMD starts and stops, what is published, and the exit code |
//!
//! All have one shape: `handle(now, event)` returns actions, and `deadline()` is the time of the
//! next event. They read no clock, make no system call and print nothing.
//!
//! # From the kernel to a decision to an action
//!
//! 1. [`event_loop`] sleeps until a descriptor is ready (signals, inotify, a socket, the result of
//!    a worker thread) or the deadline has come.
//! 2. The machine's driver in `driver` makes events of that: the outcome of an attempt ([`probe`]),
//!    a change of a member (`members`), a signal or the end of a child (`process`).
//! 3. The machine returns actions, and the driver carries them out: it starts an attempt, signals
//!    CMD, writes a record, prints a message.
//! 4. When the machine has decided, `command` turns that into an exit code.
//!
//! # The module to change
//!
//! | module | job |
//! | --- | --- |
//! | [`cli`] | what was typed: every option with its help, its default and its parser |
//! | [`config`] | what was meant: typed values that fit together, or the reason why they do not |
//! | `command` | one file for each command, from its settings to its exit code |
//! | `driver` | where each machine meets the world |
//! | [`core`] | all decisions; the grammar of checks, presets and records; every exit code (`exit`) |
//! | [`probe`] | one attempt of each kind of check |
//! | `members` | the shared volume: locks, records, requests, changes |
//! | `process` | signals, children, exec, and every `unsafe` |
//! | [`message`] | every sentence that a person reads, and the events of the JSON log |
//! | `report` | the only place that prints |
//! | [`event_loop`] | the only place that blocks, except in worker threads |
//! | [`quit_endpoint`] | the HTTP endpoint of `run --listen` |
//!
//! Dependencies point one way: `main → command → driver → {probe, members, process, event_loop,
//! message, report} → core`, and `command → config → cli → core`. `tests/layers.rs` tests it.
//! ARCHITECTURE.md has the promises, the words of the project and the reasons.

// Tests panic to report a failure, and compute with small numbers.
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::wildcard_enum_match_arm,
        clippy::string_slice
    )
)]

pub mod cli;
mod command;
pub mod config;
pub mod core;
mod driver;
pub mod event_loop;
mod members;
pub mod message;
pub mod probe;
mod process;
pub mod quit_endpoint;
mod report;

pub use command::usage_message;

use crate::cli::Kind;
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::message::Message;
use std::ffi::OsString;
use std::panic;
use std::process::{ExitCode, exit};

/// Runs the program with the arguments and the environment of this process. Returns its exit code.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = cli::without_line_ends(std::env::args_os());
    let kind = Kind::of(&words);
    // Before anything else, because PID 1 has no default signal actions.
    let signals = process::Signals::take(if kind == Some(Kind::Run) {
        process::Which::All
    } else {
        process::Which::Ending
    });
    panic::set_hook(Box::new(move |info| {
        fail(kind, &message::process::bug(&info.to_string()));
        exit(Exit::Internal.code().into());
    }));
    match signals {
        Ok(signals) => {
            let exit = command::run(&words, &signals);
            // A wait ends by the signal that ended it, so that a shell's loop stops. `run` exits
            // with 128 + n, which is `Exit::Main`.
            if let Exit::Signal(number) = exit {
                process::end_by_signal(number);
            }
            exit.into()
        }
        Err(error) => {
            fail(
                kind,
                &message::process::cannot_take_signals(Errno(error as i32)),
            );
            Exit::Internal.into()
        }
    }
}

/// Reports a failure from before the options were read.
fn fail(kind: Option<Kind>, message: &Message) {
    command::early_report(kind).failure(message);
}
