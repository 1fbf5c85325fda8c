//! `podgate status`: who is in this pod, in what state. A table for people, JSON for programs.

use super::{Failed, open_volume};
use crate::config::Place;
use crate::core::exit::Exit;
use crate::core::member::{Name, Stage};
use crate::core::observation::{End, Observation, Snapshot, observe};
use crate::core::record::Stamp;
use crate::members::Volume;
use crate::message::{LogEvent, Message, Severity};
use crate::report::{Report, quoted};
use std::io::Write;

/// What is known of a member, in the reference's words.
struct Row {
    name: Name,
    state: &'static str,
    incarnation: Option<u64>,
    since: Option<Stamp>,
    exit_code: Option<u8>,
    is_alive: bool,
    /// What is wrong with its record, if anything.
    error: Option<String>,
}

/// Runs the command.
pub(super) fn run(place: &Place, is_json: bool, report: &mut Report) -> Exit {
    let volume = match open_volume(place) {
        Ok(volume) => volume,
        Err(Failed(text)) => {
            report.line(&Message::new(Severity::Error, LogEvent::Volume, text));
            return Exit::Internal;
        }
    };
    let rows = match rows(&volume) {
        Ok(rows) => rows,
        Err(error) => {
            let text = format!(
                "cannot list {:?}: {error}; see that this user may read it",
                volume.path()
            );
            report.line(&Message::new(Severity::Error, LogEvent::Volume, text));
            return Exit::Internal;
        }
    };
    for error in rows.iter().filter_map(|row| row.error.as_ref()) {
        report.line(&Message::new(
            Severity::Error,
            LogEvent::Record,
            error.clone(),
        ));
    }
    let text = if is_json {
        json_of(&rows)
    } else {
        table(&rows)
    };
    // Nobody may read to the end.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Passed
}

/// The same for `GET /status`.
pub(super) fn json(volume: &Volume) -> String {
    json_of(&rows(volume).unwrap_or_default())
}

fn rows(volume: &Volume) -> std::io::Result<Vec<Row>> {
    let row = |name: Name| match volume.look(&name) {
        Some(found) => row(volume, name, &found),
        None => {
            let error = Some(format!(
                "{:?} cannot be looked at just now",
                volume.record_path(&name)
            ));
            let (incarnation, since, exit_code) = (None, None, None);
            Row {
                name,
                state: "unknown",
                incarnation,
                since,
                exit_code,
                is_alive: false,
                error,
            }
        }
    };
    Ok(volume.names()?.into_iter().map(row).collect())
}

fn row(volume: &Volume, name: Name, found: &Snapshot) -> Row {
    let observation = observe(found, volume.host());
    let record = found
        .record
        .as_ref()
        .and_then(|record| record.as_ref().ok());
    let error = match &found.record {
        Some(Err(error)) => Some(format!("{:?} {error}", volume.record_path(&name))),
        Some(Ok(record)) if record.host != volume.host() => Some(format!(
            "{:?} is another pod's: its host is {:?}",
            volume.record_path(&name),
            record.host
        )),
        Some(Ok(_)) | None => None,
    };
    let state = match observation {
        Observation::Absent => "absent",
        Observation::Alive {
            stage: Some(Stage::Waiting),
            ..
        } => "waiting",
        Observation::Alive {
            stage: Some(Stage::Running),
            ..
        } => "running",
        Observation::Alive {
            stage: Some(Stage::Ready),
            ..
        } => "ready",
        Observation::Alive { stage: None, .. } | Observation::Unreadable => "unknown",
        Observation::Ended {
            end: End::Code(_) | End::Unknown,
            ..
        } => "exited",
        Observation::Ended { end: End::Lost, .. } => "lost",
    };
    let record = record.filter(|_| observation != Observation::Absent);
    Row {
        name,
        state,
        incarnation: record.map(|record| record.incarnation),
        since: record.and_then(|record| record.since()),
        exit_code: record.and_then(|record| record.exit),
        is_alive: observation.is_alive(),
        error,
    }
}

fn json_of(rows: &[Row]) -> String {
    let or_null = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
    let mut text = String::from("[");
    for (index, row) in rows.iter().enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.push_str(&format!(
            "{{\"name\":\"{}\",\"state\":\"{}\",\"incarnation\":{},\"since\":{},\"exit_code\":{},\"alive\":{}}}",
            row.name,
            row.state,
            or_null(row.incarnation.map(|it| it.to_string())),
            or_null(row.since.map(|it| quoted(&it.to_string()))),
            or_null(row.exit_code.map(|it| it.to_string())),
            row.is_alive
        ));
    }
    text.push_str("\n]\n");
    text
}

fn table(rows: &[Row]) -> String {
    let widest = rows
        .iter()
        .map(|row| row.name.as_str().len())
        .max()
        .unwrap_or(0)
        .max(4);
    let line = |cells: [&str; 6]| {
        let [name, state, incarnation, since, exit, alive] = cells;
        format!("{name:widest$}  {state:7}  {incarnation:>11}  {since:24}  {exit:>4}  {alive}\n")
    };
    let mut text = line(["NAME", "STATE", "INCARNATION", "SINCE", "EXIT", "ALIVE"]);
    for row in rows {
        text.push_str(&line([
            row.name.as_str(),
            row.state,
            &row.incarnation.map_or("-".to_owned(), |it| it.to_string()),
            &row.since.map_or("-".to_owned(), |it| it.to_string()),
            &row.exit_code.map_or("-".to_owned(), |it| it.to_string()),
            if row.is_alive { "yes" } else { "no" },
        ]));
    }
    text
}
