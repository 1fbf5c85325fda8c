//! Observes every member of the pod once, for `podgate status` and `GET /status`.

use crate::core::member::Name;
use crate::core::observation::{Observation, Snapshot, observe};
use crate::members::Volume;
use crate::message::status::Row;
use crate::message::{member, status, volume};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// How long the signs of life of a member may contradict each other because it dies.
pub(crate) const DYING: Duration = Duration::from_secs(1);
/// The pause between two observations of such a member.
const AGAIN: Duration = Duration::from_millis(10);

/// The members that have files on the volume, in the order of their names. A member whose signs of
/// life contradict each other is observed again for this long, all of them together.
///
/// # Errors
/// The volume cannot be read.
pub(crate) fn rows(volume: &Volume, patience: Duration) -> io::Result<Vec<Row>> {
    let start = Instant::now();
    let row = |name: Name| match settled(volume, &name, start, patience) {
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
    status::json(&rows(volume, Duration::ZERO).unwrap_or_default())
}

/// Looks at a member until its signs of life do not contradict each other, or `patience` is over.
pub(crate) fn settled(
    volume: &Volume,
    name: &Name,
    start: Instant,
    patience: Duration,
) -> Option<Snapshot> {
    loop {
        let found = volume.look(name);
        let is_settled = !found.as_ref().is_some_and(Snapshot::contradicts_itself);
        if is_settled || start.elapsed() >= patience {
            return found;
        }
        thread::sleep(AGAIN);
    }
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
        has_socket_only: found.contradicts_itself(),
        error,
    }
}
