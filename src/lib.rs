//! podgate: starts a container when its sidecars are ready, and ends it with them.
//!
//! Dependencies point one way: `main → command → {core} and {settings, cli, check, quit, process, event_loop, report} → process::sys`.
//! `core` decides and knows no effect; `command` is where decisions meet effects.

// Tests say what is wrong by panicking, and count on small numbers.
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

/// Runs the program: the arguments and the environment of this process, to its exit code.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let kind = Kind::of(&words);
    // First of all: PID 1 has no default signal actions.
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
            // A wait ends by the signal that ended it, so that a shell's loop stops. `run` reports
            // 128 + n by another variant.
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

/// Reports a failure that the options for reports do not apply to.
fn fail(kind: Option<Kind>, message: &Message) {
    command::early_report(kind).failure(message);
}
