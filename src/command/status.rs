//! `podgate status`: the members of this pod and their states, as a table or as JSON.

use super::call::{Call, wrong};
use crate::cli::StatusArgs;
use crate::config::{self, MembersDir};
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::driver::membership::open_volume;
use crate::driver::status::{DYING, rows};
use crate::message::status::{json, table};
use crate::message::{LogEvent, Message, Severity, volume};
use crate::report::{self, Report};

pub(super) fn perform(args: &StatusArgs, call: &mut Call<'_>) -> Result<Exit, Message> {
    call.open_log(&args.output, None)?;
    let dir = config::status(&args.dir).map_err(wrong)?;
    Ok(run(&dir, args.json.value, &mut call.report))
}

fn run(dir: &MembersDir, is_json: bool, report: &mut Report) -> Exit {
    let opened = match open_volume(dir.path.as_deref(), dir.plain) {
        Ok(opened) => opened,
        Err(error) => {
            report.line(&volume::failed(LogEvent::Volume, &error));
            return Exit::Internal;
        }
    };
    let rows = match rows(&opened, DYING) {
        Ok(rows) => rows,
        Err(error) => {
            report.line(&volume::cannot_list(opened.path(), Errno::of(&error)));
            return Exit::Internal;
        }
    };
    for error in rows.iter().filter_map(|row| row.error.as_ref()) {
        report.line(&volume::unusable(Severity::Error, error.clone()));
    }
    for row in rows.iter().filter(|row| row.has_socket_only) {
        report.line(&volume::contradiction(opened.path(), &row.name));
    }
    let text = if is_json { json(&rows) } else { table(&rows) };
    report::print(&text);
    Exit::Passed
}
