//! Dependencies point one way (P10.1): the `use` lines of `src` against the table.

use std::fs;
use std::path::{Path, PathBuf};

/// Which modules of the crate each module may use.
const TABLE: &[(&str, &[&str])] = &[
    ("main", &[]),
    (
        "lib",
        &["cli", "command", "core", "message", "process", "report"],
    ),
    (
        "command",
        &[
            "core",
            "probe",
            "cli",
            "event_loop",
            "quit_endpoint",
            "process",
            "driver",
            "report",
            "config",
            "members",
            "message",
        ],
    ),
    (
        "config",
        &[
            "core", "probe", "cli", "process", "driver", "report", "members",
        ],
    ),
    ("cli", &["core"]),
    (
        "driver",
        &[
            "core",
            "probe",
            "event_loop",
            "quit_endpoint",
            "process",
            "report",
            "members",
            "message",
        ],
    ),
    ("quit_endpoint", &["core", "event_loop"]),
    ("probe", &["core", "event_loop", "process", "members"]),
    ("members", &["core"]),
    ("message", &["core"]),
    ("report", &["event_loop", "message"]),
    ("process", &["core", "event_loop"]),
    ("event_loop", &[]),
    ("core", &[]),
];

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

/// The crate's modules that a source names, in code (not in comments).
fn used(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    let names = code.split("crate::").skip(1);
    names
        .map(|rest| {
            rest.chars()
                .take_while(|letter| letter.is_ascii_lowercase() || *letter == '_')
                .collect()
        })
        .collect()
}

#[test]
fn no_module_uses_one_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for path in found {
        let relative = path.strip_prefix(&source).unwrap();
        let module = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        let (_, may_use) = TABLE
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{module} is not in the table"));
        for name in used(&fs::read_to_string(&path).unwrap()) {
            assert!(
                name == module || may_use.contains(&name.as_str()),
                "{} uses {name}",
                relative.display()
            );
        }
    }
}

#[test]
fn a_use_that_points_upwards_would_be_seen() {
    assert_eq!(
        used("use crate::core::gate;\n// crate::report\nlet x = crate::process::sys::f();"),
        ["core", "process"]
    );
}

#[test]
fn unsafe_code_is_in_one_module() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        let has = text.lines().any(|line| {
            !line.trim_start().starts_with("//")
                && (line.contains("unsafe {") || line.contains("unsafe fn"))
        });
        assert_eq!(has, path.ends_with("process/sys.rs"), "{}", path.display());
    }
}
