//! Prints how many tests this run of cargo has skipped. cargo runs test programs in the order of
//! their names, so this one runs after `blackbox`.

#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program that prints, with a module of the tests"
)]

#[path = "support/skips.rs"]
mod skips;

use std::collections::{BTreeMap, BTreeSet};
use std::{env, fs};

fn main() {
    // This program has no tests to list.
    if env::args().any(|word| word == "--list") {
        return;
    }
    let record = fs::read_to_string(skips::record()).unwrap_or_default();
    // Remove the records of earlier runs, too: not every run reaches this program.
    let _ = fs::remove_dir_all(skips::folder());
    let mut tests = BTreeSet::new();
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (test, need) in record.lines().filter_map(|line| line.split_once('\t')) {
        tests.insert(test);
        needs.entry(need).or_default().insert(test);
    }
    println!("\nskipped: {} tests", tests.len());
    for (need, tests) in needs {
        println!("    {} need {need}", tests.len());
    }
    if !tests.is_empty() {
        println!("`make test`, as root on Debian, installs what they need and skips none.");
    }
}
