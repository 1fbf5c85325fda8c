//! The style of the sources beyond what rustfmt ensures.

use crate::support::source::files;
use std::fs;
use std::path::{Path, PathBuf};

/// The limit for a line, in characters. rustfmt applies it to code, but not to comments and
/// strings.
const WIDTH: usize = 100;

/// The folders of the repository whose Rust files are read, and further files.
const FOLDERS: &[&str] = &["src", "tests", "fuzz/src", "examples"];
const FILES: &[&str] = &["build.rs"];

/// The folders whose Python files are read. A script in one of them may have no file ending.
const PYTHON: &[&str] = &["tests/support", "bench", "ci", "scripts", "docs", "fuzz"];

/// The Python files in the folders of [`PYTHON`]: those that end with `.py` or begin with a
/// `#!` line that names python.
fn python_files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in PYTHON {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            // A folder or a binary file has no text.
            let text = fs::read_to_string(&path).unwrap_or_default();
            let first = text.lines().next().unwrap_or_default();
            let is_script = first.starts_with("#!") && first.contains("python");
            if is_script || path.extension().is_some_and(|it| it == "py") {
                found.push(path);
            }
        }
    }
    found
}

/// The numbers and lengths of the lines that are too long.
///
/// Lines of comments that cannot be wrapped may be longer: rows of tables (`// | a | b |`), lines
/// that end with a URL, and console output, which stands between lines of three backticks.
fn too_long(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut is_output = false;
    for (index, line) in text.lines().enumerate() {
        let comment = line
            .trim_start()
            .strip_prefix("//")
            .map(|rest| rest.trim_start_matches(['/', '!']).trim());
        if comment.is_some_and(|it| it.starts_with("```")) {
            is_output = !is_output;
        }
        is_output &= comment.is_some();
        let is_excepted = comment.is_some_and(|comment| {
            let has_url = comment.split_whitespace().any(|word| {
                let url = word.contains("https://") || word.contains("http://");
                url && comment.ends_with(word)
            });
            is_output || comment.starts_with('|') || has_url
        });
        let length = line.chars().count();
        if length > WIDTH && !is_excepted {
            found.push((index + 1, length));
        }
    }
    found
}

#[test]
fn no_line_is_longer_than_100_columns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = FILES.iter().map(|file| root.join(file)).collect();
    for folder in FOLDERS {
        paths.extend(
            files(folder)
                .iter()
                .map(|file| root.join(folder).join(file)),
        );
    }
    assert!(paths.len() > 80, "{}", paths.len());
    let python = python_files(root);
    assert!(python.len() >= 10, "{python:?}");
    paths.extend(python);
    let mut wrong = String::new();
    for path in &paths {
        for (line, length) in too_long(&fs::read_to_string(path).unwrap()) {
            let path = path.strip_prefix(root).unwrap().display();
            wrong.push_str(&format!("    {path}:{line}: {length} columns\n"));
        }
    }
    assert!(wrong.is_empty(), "longer than {WIDTH} columns:\n{wrong}");
}

/// The negative control.
#[test]
fn a_line_that_is_too_long_is_found() {
    let long = "ä".repeat(WIDTH);
    let url = format!("https://example.com/{long}");
    for text in [
        format!("//! {long}"),
        format!("let text = \"{long}\";"),
        format!("    {url}"),
        format!("/// {url} is the page that explains it"),
        format!("/// ```\n/// ```\n/// {long}"),
        format!("/// ```\nlet text = \"{long}\";"),
        format!("# {long}"),
    ] {
        let line = text.lines().count();
        assert_eq!(
            too_long(&text),
            [(line, text.lines().last().unwrap().chars().count())]
        );
    }
    for text in [
        long.clone(),
        format!("/// | {long} |"),
        format!("    // See {url}"),
        format!("//! ```console\n//! $ {long}\n//! ```"),
    ] {
        assert_eq!(too_long(&text), [], "{text}");
    }
}
