//! The layers of `src`: dependencies point one way and have no circle (P10.1). The order is main →
//! command → driver → {probe, members, process, event_loop, message, report} → core, and command →
//! config → cli → core. The test reads the `use` lines and the qualified paths of every file.

use crate::support::source::{Source, sources};
use std::collections::{BTreeMap, BTreeSet};

/// Each layer, and the layers next below it. A layer may use what is below it at any depth.
const LAYERS: &[(&str, &[&str])] = &[
    ("main", &["lib"]),
    ("lib", &["command"]),
    ("command", &["driver", "config"]),
    ("driver", &["probe", "quit_endpoint", "report"]),
    ("probe", &["members", "process"]),
    ("quit_endpoint", &["event_loop"]),
    ("members", &["event_loop"]),
    ("process", &["event_loop"]),
    ("report", &["event_loop", "message"]),
    ("event_loop", &["core"]),
    ("message", &["core"]),
    ("config", &["cli"]),
    ("cli", &["core"]),
    ("core", &[]),
];

/// The layer of a file, from its path below `src`.
fn layer(file: &str) -> &str {
    let first = file.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The layers that a layer may use, itself included.
fn allowed(of: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let mut open = vec![of];
    while let Some(name) = open.pop() {
        let (name, below) = LAYERS
            .iter()
            .find(|(layer, _)| *layer == name)
            .unwrap_or_else(|| panic!("{name} is in no layer"));
        if found.insert(*name) {
            open.extend(*below);
        }
    }
    found
}

/// The file of each module: `core::life` is core/life.rs.
fn modules(sources: &[Source]) -> BTreeMap<Vec<String>, String> {
    sources
        .iter()
        .map(|source| (source.module(), source.file.clone()))
        .collect()
}

/// For each file the other files that it uses.
type Arrows = BTreeMap<String, BTreeSet<String>>;

fn arrows(sources: &[Source]) -> Arrows {
    let modules = modules(sources);
    let mut arrows = BTreeMap::new();
    for source in sources {
        let mut used = BTreeSet::new();
        for path in source.paths(&modules) {
            // The longest prefix of a path that names a module gives the file. The rest is an item
            // in it.
            let file = (0..=path.len())
                .rev()
                .find_map(|count| modules.get(&path[..count]));
            used.extend(file.filter(|file| **file != source.file).cloned());
        }
        arrows.insert(source.file.clone(), used);
    }
    arrows
}

/// Uses of a layer that is not below: the file and the file that it uses.
fn upward(arrows: &Arrows) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for (from, used) in arrows {
        let allowed = allowed(layer(from));
        for to in used.iter().filter(|to| !allowed.contains(layer(to))) {
            wrong.push((from.clone(), to.clone()));
        }
    }
    wrong
}

/// Arrows between files of one layer that are part of a circle.
fn circles(arrows: &Arrows) -> Vec<(String, String)> {
    let is_counted = |from: &str, to: &str| layer(from) == layer(to);
    let reaches = |from: &str, to: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(file) = open.pop() {
            if file == to {
                return true;
            }
            if seen.insert(file.clone()) {
                let next = arrows[&file].iter().filter(|next| is_counted(&file, next));
                open.extend(next.cloned());
            }
        }
        false
    };
    let mut wrong = Vec::new();
    for (from, used) in arrows {
        for to in used.iter().filter(|to| is_counted(from, to)) {
            if reaches(to, from) {
                wrong.push((from.clone(), to.clone()));
            }
        }
    }
    wrong
}

/// One line for each arrow.
fn listed(arrows: &[(String, String)]) -> String {
    arrows
        .iter()
        .map(|(from, to)| format!("    {from} uses {to}\n"))
        .collect()
}

/// Sources that exist only in this test.
fn invented(files: &[(&str, &str)]) -> Vec<Source> {
    files
        .iter()
        .map(|(file, text)| Source::new(file, text))
        .collect()
}

#[test]
fn no_layer_uses_one_above_it() {
    let sources = sources("src");
    assert!(sources.len() > 20, "{}", sources.len());
    let wrong = upward(&arrows(&sources));
    assert!(wrong.is_empty(), "upwards:\n{}", listed(&wrong));
}

#[test]
fn no_layer_has_a_circle_of_files() {
    let wrong = circles(&arrows(&sources("src")));
    assert!(wrong.is_empty(), "in a circle:\n{}", listed(&wrong));
}

#[test]
fn the_layers_themselves_have_no_circle() {
    for (layer, below) in LAYERS {
        for lower in *below {
            assert!(!allowed(lower).contains(layer), "{lower} uses {layer}");
        }
    }
}

/// The negative control: the test sees each way to name a module.
#[test]
fn an_arrow_that_points_upwards_is_seen() {
    for text in [
        "use crate::driver::gate::Driver;",
        "pub(crate) use crate::{core::life, driver};",
        "use crate::{\n    core::{gate::{self, Spec}, life},\n    driver::{gate as g},\n};",
        "fn f() -> crate::driver::gate::Driver { todo!() }",
        "mod tests {\n    use super::super::driver::gate;\n}",
        "use super::driver;",
    ] {
        let files = [
            ("probe.rs", text),
            ("core/gate.rs", ""),
            ("core/life.rs", ""),
            ("core/mod.rs", ""),
            ("driver/gate.rs", ""),
            ("driver/mod.rs", ""),
        ];
        let wrong = upward(&arrows(&invented(&files)));
        assert_eq!(wrong.len(), 1, "{text}: {wrong:?}");
        assert_eq!(wrong[0].0, "probe.rs", "{text}");
    }
    for text in [
        "// use crate::driver;\n/* crate::driver::gate */",
        "/// [`crate::driver`]\nfn f() { print(\"use crate::driver;\", r#\"crate::driver\"#) }",
        "use std::driver; use crate::core::driver; fn f() { let _ = ('\"', other::driver::x); }",
    ] {
        let files = [
            ("probe.rs", text),
            ("core/mod.rs", ""),
            ("driver/mod.rs", ""),
        ];
        let wrong = upward(&arrows(&invented(&files)));
        assert!(wrong.is_empty(), "{text}: {wrong:?}");
    }
}

#[test]
fn a_circle_of_files_is_seen() {
    for text in [
        "use super::record::Record;",
        "use crate::core::{record, time::Time};",
        "use super::{record::{self, Record}};",
        "use super::*;\nfn f() { super::record::decode() }",
        "mod inner {\n    use super::super::record;\n}",
    ] {
        let files = [
            ("core/mod.rs", "mod member; mod record; mod time;"),
            ("core/member.rs", text),
            ("core/record.rs", "use super::name::Name;"),
            ("core/name.rs", "use super::member::Member;"),
            ("core/time.rs", ""),
        ];
        let wrong = circles(&arrows(&invented(&files)));
        assert_eq!(wrong.len(), 3, "{text}: {wrong:?}");
    }
    // `mod.rs` uses a file of its folder, so that file must not use `mod.rs`.
    let files = [
        ("probe/mod.rs", "mod http; fn f() -> http::Http { todo!() }"),
        ("probe/http.rs", "use super::Step;"),
    ];
    assert_eq!(circles(&arrows(&invented(&files))).len(), 2);
    // A test module's `super` is the file itself.
    let files = [
        ("core/mod.rs", "pub mod gate; use gate::Spec;"),
        (
            "core/gate.rs",
            "mod tests {\n    use super::*;\n    use self::deep::x;\n}",
        ),
    ];
    let wrong = circles(&arrows(&invented(&files)));
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn unsafe_code_is_in_one_module() {
    for source in sources("src") {
        let has_unsafe = source.words().any(|word| word == "unsafe");
        assert_eq!(
            has_unsafe,
            source.file == "process/sys.rs",
            "{}",
            source.file
        );
    }
}
