//! Reads Rust sources as far as the test of the layers needs it: the paths in a file, outside of
//! comments and strings.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A file below a folder of sources, such as `core/life.rs`.
pub struct Source {
    pub file: String,
    tokens: Vec<String>,
}

/// All Rust files below this folder of the repository, in the order of their names.
pub fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    files(folder)
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(root.join(&path)).unwrap();
            Source::new(&path, &text)
        })
        .collect()
}

/// The paths of all Rust files below this folder of the repository, from there.
pub fn files(folder: &str) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, into);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let relative = path.strip_prefix(root).unwrap();
                into.push(relative.to_str().unwrap().to_owned());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found.sort();
    found
}

impl Source {
    pub fn new(file: &str, text: &str) -> Self {
        Self {
            file: file.to_owned(),
            tokens: tokens(text),
        }
    }

    /// The file's module in the crate: nothing for `lib.rs`, `core`, `life` for `core/life.rs`.
    pub fn module(&self) -> Vec<String> {
        match self.file.trim_end_matches(".rs") {
            "lib" => Vec::new(),
            path => path
                .trim_end_matches("/mod")
                .split('/')
                .map(str::to_owned)
                .collect(),
        }
    }

    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", String::as_str)
    }

    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(String::as_str)
    }

    /// The paths in the file that begin in this crate, from the crate's root: those that begin with
    /// `crate`, `super`, `self`, the crate's own name, or the name of a module below this file.
    pub fn paths(&self, modules: &BTreeMap<Vec<String>, String>) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        // The module of the reader: the file's module, and the inline modules around this position.
        let mut place = self.module();
        let mut braces: Vec<bool> = Vec::new();
        let mut at = 0;
        while let Some(token) = self.tokens.get(at) {
            match token.as_str() {
                "mod" if self.token(at + 2) == "{" => {
                    place.push(self.token(at + 1).to_owned());
                    braces.push(true);
                    at += 3;
                }
                "{" => {
                    braces.push(false);
                    at += 1;
                }
                "}" => {
                    if braces.pop() == Some(true) {
                        place.pop();
                    }
                    at += 1;
                }
                // Not `use<…>`, which is part of a type.
                "use" if self.token(at + 1) != "<" => {
                    let mut all = Vec::new();
                    at = self.tree(at + 1, &[], &mut all);
                    found.extend(all.iter().filter_map(|path| rooted(path, &place, modules)));
                }
                word if is_name(word) => {
                    let mut path = vec![word.to_owned()];
                    while self.token(at + 1) == "::" && is_name(self.token(at + 2)) {
                        path.push(self.token(at + 2).to_owned());
                        at += 2;
                    }
                    // A bare `crate` or `super` is not a path, but part of `pub(crate)`.
                    if path.len() > 1 {
                        found.extend(rooted(&path, &place, modules));
                    }
                    at += 1;
                }
                _ => at += 1,
            }
        }
        found
    }

    /// Reads a tree of `use` from `at`. Returns the position after it.
    fn tree(&self, mut at: usize, before: &[String], into: &mut Vec<Vec<String>>) -> usize {
        let mut path = before.to_vec();
        while let Some(token) = self.tokens.get(at) {
            match token.as_str() {
                "{" => {
                    at += 1;
                    while self.tokens.get(at).is_some_and(|token| token != "}") {
                        at = self.tree(at, &path, into);
                        if self.tokens.get(at).is_some_and(|token| token == ",") {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                // `self` at the end of a path is the module before it.
                "self" if !path.is_empty() => at += 1,
                // The new name is not part of the path.
                "as" => at += 2,
                "," | "}" | ";" => break,
                word => {
                    if is_name(word) {
                        path.push(word.to_owned());
                    }
                    at += 1;
                }
            }
        }
        into.push(path);
        at
    }
}

/// The path from the crate's root, if it begins in this crate.
fn rooted(
    path: &[String],
    place: &[String],
    modules: &BTreeMap<Vec<String>, String>,
) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    let (mut from, mut rest) = match first.as_str() {
        "crate" | "podgate" => (Vec::new(), rest),
        "self" if rest.is_empty() => return None,
        "self" => (place.to_vec(), rest),
        "super" => (place.to_vec(), path),
        name => {
            let child = [place, &[name.to_owned()]].concat();
            // A bare name is a path only if something in it is named.
            if rest.is_empty() || !modules.contains_key(&child) {
                return None;
            }
            (child, rest)
        }
    };
    while let [first, after @ ..] = rest
        && first == "super"
    {
        from.pop();
        rest = after;
    }
    from.extend(rest.iter().cloned());
    Some(from)
}

fn is_name(token: &str) -> bool {
    token
        .chars()
        .next()
        .is_some_and(|first| first.is_alphabetic() || first == '_')
}

/// The words and signs of a source. `::` is one sign. Comments, strings and characters are left
/// out.
fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' {
            // 'a' and '\n' are characters, 'a is a lifetime.
            let mut after = rest.chars().skip(1);
            match (after.next(), after.next()) {
                (Some('\\'), _) | (_, Some('\'')) => quoted(rest, '\''),
                _ => 1,
            }
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|it: char| !it.is_alphanumeric() && it != '_');
            let length = end.unwrap_or(rest.len());
            found.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            found.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                found.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    found
}

/// The length of the block comment at the front. Block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().unwrap().len_utf8();
        }
    }
    text.len()
}

/// The length of the raw string at the front, if there is one: `r"…"`, `r#"…"#`, `br"…"`.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let body = after.trim_start_matches('#');
    let hashes = &after[..after.len() - body.len()];
    let body = body.strip_prefix('"')?;
    let end = format!("\"{hashes}");
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(text.len() - body.len() + length)
}

/// The length of the string or character at the front.
fn quoted(text: &str, mark: char) -> usize {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            letter if letter == mark => return at + letter.len_utf8(),
            _ => {}
        }
    }
    text.len()
}
