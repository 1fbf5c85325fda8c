//! Fuzz targets for podgate's library: one libFuzzer program with every target. The variable
//! FUZZ_TARGET selects one. README.md describes the targets and how to run them.

#![no_main]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod input;
mod memory;
mod targets;

use std::sync::OnceLock;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 19] = [
    ("argv", targets::argv::run),
    ("check", targets::check::run),
    ("dns", targets::dns::run),
    ("duration", targets::duration::run),
    ("endpoint", targets::endpoint::run),
    ("grpc_frames", targets::grpc_frames::run),
    ("hpack", targets::hpack::run),
    ("http", targets::http::run),
    ("listen", targets::listen::run),
    ("listening", targets::listening::run),
    ("mysql", targets::mysql::run),
    ("notify", targets::notify::run),
    ("option", targets::option::run),
    ("pem", targets::pem::run),
    ("postgres", targets::postgres::run),
    ("record", targets::record::run),
    ("redis", targets::redis::run),
    ("rules", targets::rules::run),
    ("sock_diag", targets::sock_diag::run),
];

fn target() -> Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(it, _)| *it == name);
    // The environment of the caller is not part of an input.
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PODGATE_"))
    {
        input::unset(&name);
    }
    input::unset("SSL_CERT_FILE".as_ref());
    input::unset("DAPR_API_TOKEN".as_ref());
    found
        .unwrap_or_else(|| {
            panic!(
                "FUZZ_TARGET={name:?}: expected one of {:?}",
                TARGETS.map(|(name, _)| name)
            )
        })
        .1
}

/// Is a bug planted (FUZZ_PLANT=1)? Then each target changes one of podgate's results, as a bug
/// would, and its own check has to notice that.
pub(crate) fn is_planted() -> bool {
    static PLANTED: OnceLock<bool> = OnceLock::new();
    *PLANTED.get_or_init(|| std::env::var_os("FUZZ_PLANT").is_some())
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<Target> = OnceLock::new();
    TARGET.get_or_init(target)(bytes);
});
