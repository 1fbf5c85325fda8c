//! Removes about 0.3 MB of unwind tables and relocations from the release binary, which needs
//! neither.

#![allow(
    clippy::print_stdout,
    reason = "a build script gives cargo its instructions by stdout"
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
    // A release aborts on a panic and never unwinds (`panic = "abort"`), so nothing reads these
    // tables. rustc could omit them from podgate's own crates (-C force-unwind-tables=no), but a
    // profile cannot set that option, and std has tables of its own.
    let script = PathBuf::from(var("OUT_DIR")).join("no-unwind-tables.ld");
    // The C runtime's files refer to their tables by address, so these few bytes stay.
    let text = "SECTIONS { /DISCARD/ : { \
        *(EXCLUDE_FILE(*crtbegin*.o *crtend*.o) .eh_frame) *(.gcc_except_table*) \
        } } INSERT AFTER .text;\n";
    fs::write(&script, text)?;
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
    println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    // A static-pie relocates itself at every start. Packed relocations (RELR, in musl since 1.2.4)
    // take 2 KB instead of 70. For aarch64 rustc makes a binary at fixed addresses instead of a
    // static-pie; it has no relocations.
    if var("CARGO_CFG_TARGET_ARCH") == "x86_64" {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // Without tables nothing can be unwound. Only std's default panic hook refers to the unwinder,
    // and podgate has its own hook. A call would abort, as a panic does. This removes 57,344 bytes
    // of 1,819,352 (x86_64, with TLS). `ci/size` tests that the unwinder is not linked.
    for name in UNWINDER {
        println!("cargo:rustc-link-arg-bins=-Wl,--defsym=_Unwind_{name}=abort");
    }
    Ok(())
}

/// The functions of libunwind that std calls.
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
