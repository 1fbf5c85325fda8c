//! Writes the man pages and the shell completions of podgate into a folder. `ci/release` runs it.
//!
//! ```console
//! $ cargo run --example manuals -- FOLDER
//! ```

mod write;

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() -> io::Result<()> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or_else(|| io::Error::other("a folder is missing: manuals FOLDER"))?;
    write::all(Path::new(&folder), &date()?)
}

/// The day of `SOURCE_DATE_EPOCH`, so that a release has the same bytes whenever it is made.
/// Otherwise today.
fn date() -> io::Result<String> {
    let time = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => {
            let seconds = Duration::from_secs(seconds.parse().map_err(io::Error::other)?);
            UNIX_EPOCH.checked_add(seconds).unwrap_or(UNIX_EPOCH)
        }
        Err(_) => SystemTime::now(),
    };
    let text = humantime::format_rfc3339_seconds(time).to_string();
    Ok(text.split('T').next().unwrap_or_default().to_owned())
}
