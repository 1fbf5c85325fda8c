//! podgate's readers under libFuzzer: one program, and `FUZZ_TARGET` says which reader. `make fuzz` runs all of them for a while.
//!
//! Beyond "no panic, no overflow": what is read again is the same, no half request quits, no secret is in an error, and so on; each
//! target says what it checks.

#![no_main]
#![allow(dead_code, unused_imports, reason = "podgate's modules are whole, and only their readers are called")]

mod check;
mod cli;
mod core;
mod event_loop;
mod process;
mod quit;
mod report;
mod settings;
mod volume;

mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<targets::Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let known = targets::ALL.iter().find(|(its, _)| *its == name);
        known.unwrap_or_else(|| panic!("FUZZ_TARGET is none of them: {:?}", targets::ALL.map(|(name, _)| name))).1
    })(bytes);
});
