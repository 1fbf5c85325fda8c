//! The commands. Each file goes from the settings of one command to its exit code.

mod call;
mod check;
mod doctor;
mod install;
mod join;
mod life;
mod quit;
mod reset;
mod run;
mod status;
mod usage;
mod wait;
mod wrong_call;

pub(crate) use call::early_report;
pub use usage::message as usage_message;

use crate::cli::{self, Command, EndArgs, FailureArgs, Kind, OutputArgs, Stop};
use crate::core::exit::Exit;
use crate::message::Message;
use crate::process::Signals;
use crate::report;
use call::{Call, variable};
use std::ffi::OsString;

/// Runs the command that the words name. The words are those of argv.
pub(crate) fn run(words: &[OsString], signals: &Signals) -> Exit {
    let kind = Kind::of(words);
    let mut call = Call {
        kind,
        report: early_report(kind),
        signals,
    };
    match cli::parse(words, &variable) {
        Ok(command) => match perform(&command, &mut call) {
            Ok(exit) => exit,
            Err(message) => wrong_call::refuse(&mut call, end(command).as_ref(), &message),
        },
        Err(Stop::Read(text)) => {
            report::print(&text);
            Exit::Passed
        }
        Err(Stop::Begin) => {
            report::print_to_stderr(cli::BEGIN);
            Exit::Usage
        }
        Err(Stop::Wrong(error)) => {
            // The log that the call names, if its options for the log are right.
            if let Some(output) = cli::salvage::<OutputArgs>(words, &variable) {
                let failure = cli::salvage::<FailureArgs>(words, &variable);
                let _ = call.open_log(&output, failure.as_ref());
            }
            let end = cli::salvage_end(words, &variable);
            wrong_call::refuse(&mut call, end.as_ref(), &usage::message(&error))
        }
    }
}

/// The options that the end of a wrong call depends on.
fn end(command: Command) -> Option<EndArgs> {
    match command {
        Command::Run(args) => Some((*args).into()),
        Command::Wait(_)
        | Command::Check(_)
        | Command::Join(_)
        | Command::Quit(_)
        | Command::Status(_)
        | Command::Doctor(_)
        | Command::Install(_)
        | Command::Reset(_) => None,
    }
}

/// Performs a command. An error means that the call is wrong.
fn perform(command: &Command, call: &mut Call<'_>) -> Result<Exit, Message> {
    match command {
        Command::Wait(args) => wait::perform(args, call),
        Command::Check(args) => check::perform(args, call),
        Command::Run(args) => run::perform(args, call),
        Command::Join(args) => join::perform(args, call),
        Command::Quit(args) => quit::perform(args, call),
        Command::Status(args) => status::perform(args, call),
        Command::Doctor(args) => doctor::perform(args, call),
        Command::Reset(args) => reset::perform(args, call),
        Command::Install(args) => install::perform(args, call),
    }
}
