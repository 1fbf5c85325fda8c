//! The `podgate` program: all of it is in the library, which tests and fuzz targets link too.

use std::process::ExitCode;

fn main() -> ExitCode {
    podgate::main()
}
