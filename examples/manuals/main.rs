//! Writes the man pages and the shell completions of podgate into a folder. `ci/release` runs it.
//!
//! ```console
//! $ cargo run --example manuals -- FOLDER
//! ```

mod write;

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or_else(|| io::Error::other("name the folder: manuals FOLDER"))?;
    write::all(Path::new(&folder))
}
