//! README against the program: every option and variable is in it, every command line in its YAML is accepted, every code is listed.

use crate::support::podgate;
use std::collections::BTreeSet;

const README: &str = include_str!("../README.md");

/// The options that a command's help lists, with their dashes.
fn options(command: &str) -> BTreeSet<String> {
    let help = podgate([command, "--help"]).run();
    let mut found = BTreeSet::new();
    for line in help.code(0).stdout.lines().filter(|line| line.trim_start().starts_with('-')) {
        let words = line.split([' ', ',', '=']).filter(|word| word.starts_with("--") && word.len() > 2);
        found.extend(words.take(1).map(str::to_owned));
    }
    found.remove("--help");
    found
}

#[test]
fn every_option_and_its_variable_are_in_the_table() {
    let all: BTreeSet<String> =
        ["wait", "check", "run", "join", "quit", "status", "doctor", "install"].into_iter().flat_map(options).collect();
    assert!(all.len() >= 20, "{all:?}");
    for option in all {
        let variable = format!("PODGATE_{}", option.trim_start_matches('-').to_uppercase().replace('-', "_"));
        let row = README
            .lines()
            .find(|line| line.starts_with('|') && line.contains(&format!("{option}`")) && line.contains(&variable));
        assert!(row.is_some(), "README has no row with {option} and {variable}");
    }
    for variable in ["PODGATE_CHECKS", "PODGATE_DISABLE", "PODGATE_QUIT_TIMEOUT"] {
        assert!(README.contains(variable));
    }
}

#[test]
fn no_option_is_in_the_table_that_is_not_there() {
    let all: BTreeSet<String> =
        ["wait", "check", "run", "join", "quit", "status", "doctor", "install"].into_iter().flat_map(options).collect();
    let rows = README.lines().filter(|line| line.starts_with("| `-") && line.contains("`PODGATE_"));
    let mut seen = 0;
    for row in rows {
        let option = row.split(['`', ' ', ',']).find(|word| word.starts_with("--")).expect("an option");
        assert!(all.contains(option), "{option} of README is no option");
        seen += 1;
    }
    assert_eq!(seen, all.len());
}

/// The words of a flow sequence of YAML whose items are all in double quotes.
fn words(list: &str) -> Vec<String> {
    list.trim()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .split("\", \"")
        .map(|word| word.trim_matches('"').to_owned())
        .collect()
}

#[test]
fn every_command_in_the_yaml_is_accepted() {
    let mut seen = 0;
    for line in README.lines().map(str::trim) {
        let Some(list) = line.strip_prefix("command: ").or_else(|| line.strip_prefix("args: ")) else { continue };
        let words = words(list);
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        let arguments = arguments.strip_prefix(&["/podgate-bin/podgate"][..]).unwrap_or(&arguments);
        seen += 1;
        match arguments[0] {
            // Not waited for, but validated all the same; the app of the example is not here.
            "wait" => {
                let done = podgate(arguments).env("PODGATE_DISABLE", "gates").run();
                assert!(matches!(done.status.code(), Some(0 | 127)), "{done}");
            }
            "check" => assert!(matches!(podgate(arguments).run().status.code(), Some(0 | 1)), "{line}"),
            "quit" => drop(podgate(arguments).env("PODGATE_DISABLE", "quits").run().code(0)),
            // Validated as ever; the app of the example is not here.
            "run" | "join" => {
                let done = podgate(arguments).env("PODGATE_DISABLE", "all").run();
                assert!(matches!(done.status.code(), Some(0 | 127)), "{done}");
            }
            "install" => assert_eq!(arguments.len(), 2),
            other => panic!("{other} in {line}"),
        }
    }
    assert!(seen >= 5, "{seen} command lines");
}

#[test]
fn every_command_line_of_the_comparison_is_accepted() {
    // The right-hand side of "From other tools": whole command lines only.
    let lines = README.lines().filter_map(|line| line.rsplit_once("| `podgate wait ").map(|(_, rest)| rest));
    let mut seen = 0;
    for rest in lines {
        let line = rest.split('`').next().expect("a command line");
        let command = format!("{} wait {line}", crate::support::PODGATE);
        let done =
            std::process::Command::new("sh").args(["-c", &command]).env("PODGATE_DISABLE", "gates").output().unwrap();
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(matches!(done.status.code(), Some(0 | 127)), "{command}: {text}");
        seen += 1;
    }
    assert!(seen >= 4, "{seen} command lines");
}
