//! Observes every member of the pod once, for `podgate status` and `GET /status`.

use crate::core::member::Name;
use crate::core::observation::{Observation, Snapshot, observe};
use crate::members::Volume;
use crate::message::status::Row;
use crate::message::{member, status, volume};
use std::io;

/// The members that have files on the volume, in the order of their names.
///
/// # Errors
/// The volume cannot be read.
pub(crate) fn rows(volume: &Volume) -> io::Result<Vec<Row>> {
    let row = |name: Name| match volume.look(&name) {
        Some(found) => row(volume, name, &found),
        None => {
            let error = volume::cannot_observe(&volume.record_path(&name), &name);
            Row::unknown(name, error)
        }
    };
    Ok(volume.names()?.into_iter().map(row).collect())
}

/// The answer to `GET /status`. An empty list if the volume cannot be read.
pub(crate) fn json(volume: &Volume) -> String {
    status::json(&rows(volume).unwrap_or_default())
}

fn row(volume: &Volume, name: Name, found: &Snapshot) -> Row {
    let observation = observe(found, volume.host());
    let error = found.record.as_ref().and_then(|record| {
        volume::unusable_record(&volume.record_path(&name), record, volume.host())
    });
    let record = found
        .record
        .as_ref()
        .and_then(|record| record.as_ref().ok())
        .filter(|_| observation != Observation::Absent);
    Row {
        name,
        state: member::word(observation),
        incarnation: record.map(|record| record.incarnation),
        since: record.and_then(|record| record.since()),
        exit_code: record.and_then(|record| record.exit),
        is_alive: observation.is_alive(),
        error,
    }
}
