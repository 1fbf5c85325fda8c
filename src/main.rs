//! The `podgate` program. All of it is in the library, which tests and fuzz targets also link.

use std::process::ExitCode;

fn main() -> ExitCode {
    podgate::main()
}
