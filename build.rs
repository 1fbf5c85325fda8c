//! Removes about 0.3 MB of unwind tables and relocations from the release binary, which needs
//! neither, and orders its functions so that fewer of them are resident.

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
    let script = PathBuf::from(var("OUT_DIR")).join("podgate.ld");
    // The C runtime's files refer to their tables by address, so these few bytes stay.
    //
    // The kernel maps 64 KiB around each page of code that is used (fault-around). So functions
    // that few calls need are kept together at the end. Small generic functions are kept apart from
    // them, because some of those are shared.
    let text = "SECTIONS { /DISCARD/ : { \
        *(EXCLUDE_FILE(*crtbegin*.o *crtend*.o) .eh_frame) *(.gcc_except_table*) } \
        .text.shared : { \
        *(.text.*_ZN4core* .text.*_RN*4core* .text.*_ZN5alloc* .text.*_RN*5alloc*) } \
        .text.seldom : { *libring-*:*(.text .text.*) SELDOM } \
        } INSERT AFTER .text;\n";
    let seldom: Vec<String> = SELDOM
        .iter()
        .map(|name| format!("*(.text.*{name}*)"))
        .collect();
    fs::write(&script, text.replace("SELDOM", &seldom.join(" ")))?;
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
const UNWINDER: [&str; 14] = [
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
    "SetGR",
    "SetIP",
];

/// Parts of the names of functions that few calls need: names as rustc mangles them, with their
/// lengths. Kept together they are not resident in most calls: the peak of a wait for HTTP is 1416
/// KiB instead of 1896 (VmHWM of proc(5), median of three, x86_64).
#[rustfmt::skip]
const SELDOM: [&str; 35] = [
    // TLS.
    "rustls", "webpki", "untrusted", "4ring", "3tls", "4x509", "3pem", "8identity",
    // Backtraces, which std links and podgate does not print.
    "gimli", "addr2line", "rustc_demangle", "miniz_oxide",
    // Help, and refused calls.
    "clap_builder6output", "clap_builder5error", "10wrong_call", "7salvage",
    // `run` and `join`, and members.
    "6driver4life", "4core4life", "7members", "6driver4join", "8observer", "5round",
    // The other commands.
    "6doctor", "6status", "7install", "5reset", "4quit", "13quit_endpoint", "8endpoint",
    // Some kinds of checks.
    "4grpc", "8postgres", "5mysql", "5redis", "4exec", "std7process",
];
