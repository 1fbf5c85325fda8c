//! The style of the sources beyond what rustfmt ensures.

use crate::support::source::files;
use std::fs;
use std::path::Path;

/// The limit for a line, in characters. rustfmt applies it to code, but not to comments and
/// strings.
const WIDTH: usize = 100;

/// The folders of the repository whose Rust files are read, and further files.
const FOLDERS: &[&str] = &["src", "tests", "fuzz/src", "examples"];
const FILES: &[&str] = &["build.rs"];

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
    let mut paths: Vec<String> = FILES.iter().map(|file| (*file).to_owned()).collect();
    for folder in FOLDERS {
        paths.extend(files(folder).iter().map(|file| format!("{folder}/{file}")));
    }
    assert!(paths.len() > 80, "{}", paths.len());
    let mut wrong = String::new();
    for path in &paths {
        for (line, length) in too_long(&fs::read_to_string(root.join(path)).unwrap()) {
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
