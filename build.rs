//! Takes from the release binary what it does not need: about 0.3 MB of unwind tables and relocations.

#![allow(
    clippy::print_stdout,
    reason = "a build script talks to cargo by stdout"
)]

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let var = |name| env::var(name).unwrap_or_default();
    if var("CARGO_CFG_TARGET_ENV") != "musl" || var("PROFILE") != "release" {
        return Ok(());
    }
    // A release aborts on panic and never unwinds (`panic = "abort"`), so nothing reads these tables. rustc could leave them out of our
    // own crates (-C force-unwind-tables=no), but not by profile, and not out of std.
    let script = PathBuf::from(var("OUT_DIR")).join("no-unwind-tables.ld");
    // The C runtime's own files name theirs by address, so theirs stay: a few bytes.
    let text = "SECTIONS { /DISCARD/ : { *(EXCLUDE_FILE(*crtbegin*.o *crtend*.o) .eh_frame) *(.gcc_except_table*) } } INSERT AFTER .text;\n";
    fs::write(&script, text)?;
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
    println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    // A static-pie relocates itself at every start. Packed (RELR, in musl since 1.2.4), its relocations are 2 KB instead of 70. For
    // aarch64, rustc makes no static-pie but a binary at fixed addresses, which has none.
    if var("CARGO_CFG_TARGET_ARCH") == "x86_64" {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // Without tables there is nothing to unwind, but std's default panic hook, which is never ours, still names the unwinder: 60 KB that
    // nothing can call. Who called it all the same would abort, as a panic does here.
    for name in UNWINDER {
        println!("cargo:rustc-link-arg-bins=-Wl,--defsym=_Unwind_{name}=abort");
    }
    Ok(())
}

/// What std calls of libunwind.
const UNWINDER: [&str; 12] = [
    "Backtrace",
    "DeleteException",
    "FindEnclosingFunction",
    "GetCFA",
    "GetDataRelBase",
    "GetIP",
    "GetIPInfo",
    "GetLanguageSpecificData",
    "GetRegionStart",
    "GetTextRelBase",
    "RaiseException",
    "Resume",
];
