//! Compares README, ARCHITECTURE.md, docs/ and the examples with the program and the tree: options,
//! variables, defaults, exit codes, events, command lines, shown output, messages, links, paths,
//! and the numbers of promises.

use crate::support::cast::{comes, onlooker, podgate_in, run, server};
use crate::support::pod::Pod;
use crate::support::{Folder, PODGATE, needs, output, podgate, program, python3};
use podgate::message::LogEvent;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const COMMANDS: [&str; 9] = [
    "wait", "check", "run", "join", "quit", "status", "doctor", "reset", "install",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// The files below a folder with this ending, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// README.md, ARCHITECTURE.md and all pages in docs/.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("ARCHITECTURE.md")];
    pages.extend(files("docs", ".md"));
    assert!(pages.len() >= 6, "{pages:?}");
    pages
        .into_iter()
        .map(|path| (path.clone(), text(path)))
        .collect()
}

/// The code blocks of a page in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(fence.as_str())
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap().to_owned())
        .collect()
}

/// The long options that a command's help lists, with their dashes.
fn options(command: &str) -> BTreeSet<String> {
    let help = podgate([command, "--help"]).run();
    let mut found = BTreeSet::new();
    for line in help
        .code(0)
        .stdout
        .lines()
        .filter(|line| line.trim_start().starts_with('-'))
    {
        let words = line
            .split([' ', ',', '='])
            .filter(|word| word.starts_with("--") && word.len() > 2);
        found.extend(words.take(1).map(str::to_owned));
    }
    found.remove("--help");
    found
}

fn all_options() -> BTreeSet<String> {
    COMMANDS.into_iter().flat_map(options).collect()
}

#[test]
fn every_option_and_its_variable_are_in_the_reference() {
    let (all, reference) = (all_options(), text("docs/reference.md"));
    assert!(all.len() >= 40, "{all:?}");
    for option in all {
        let variable = format!(
            "PODGATE_{}",
            option
                .trim_start_matches('-')
                .to_uppercase()
                .replace('-', "_")
        );
        let row = reference.lines().find(|line| {
            line.starts_with('|')
                && line.contains(&format!("{option}`"))
                && line.contains(&variable)
        });
        assert!(
            row.is_some(),
            "the reference has no row with {option} and {variable}"
        );
    }
    for variable in ["PODGATE_CHECKS", "PODGATE_DISABLE", "PODGATE_QUIT_TIMEOUT"] {
        assert!(reference.contains(variable));
    }
}

/// The help text of each option of a command, on one line.
fn help_of_options(command: &str) -> Vec<(String, String)> {
    let help = podgate([command, "--help"]).run();
    let mut found: Vec<(String, String)> = Vec::new();
    for line in help.code(0).stdout.lines() {
        match line
            .split([' ', ',', '='])
            .find(|word| word.starts_with("--") && word.len() > 2)
        {
            Some(option) if line.trim_start().starts_with('-') => {
                found.push((option.to_owned(), String::new()))
            }
            Some(_) | None => found.iter_mut().last().into_iter().for_each(|(_, text)| {
                text.push(' ');
                text.push_str(line.trim());
            }),
        }
    }
    found
}

#[test]
fn every_default_of_the_help_is_in_the_reference() {
    let reference = text("docs/reference.md");
    let mut seen = 0;
    for command in COMMANDS {
        for (option, help) in help_of_options(command) {
            let Some((_, default)) = help.split_once("[default: ") else {
                continue;
            };
            let default = default.split(']').next().unwrap();
            let row = reference
                .lines()
                .find(|line| line.starts_with("| `-") && line.contains(&format!("{option}`")))
                .unwrap_or_else(|| panic!("{option}"));
            // A default may be a phrase, such as `the URL's host`. Compare its first significant
            // word.
            let word = default
                .split([' ', ';'])
                .find(|word| !["the", "ready", "is", "$PODGATE_CHECKS,"].contains(word));
            let word = word
                .unwrap()
                .trim_end_matches(['%', ','])
                .trim_start_matches('$');
            let cell = row.split(" | ").nth(2).unwrap();
            assert!(
                cell.contains(word),
                "{command} {option}: the help says {default:?}, the reference {cell:?}"
            );
            seen += 1;
        }
    }
    assert!(seen >= 40, "{seen} defaults");
}

#[test]
fn every_exit_code_of_the_help_is_in_the_reference() {
    let reference = text("docs/reference.md");
    let section = |from: &str, to: &str| {
        let begin = reference.find(from).unwrap_or_else(|| panic!("{from}"));
        let rest = &reference[begin..];
        rest[..rest[1..].find(to).unwrap_or_else(|| panic!("{to}")) + 1].to_owned()
    };
    let all = section("\n## Exit codes", "\n## Options");
    let mut seen = 0;
    for command in COMMANDS {
        let help = podgate([command, "--help"]).run();
        let help = &help.code(0).stdout;
        let Some((_, codes)) = help.split_once("Exit codes: ") else {
            continue;
        };
        let codes = codes
            .split("\n\n")
            .next()
            .unwrap()
            .split("\nE")
            .next()
            .unwrap();
        let there = if command == "run" {
            section("\n| `run` ended because", "\n**The quit")
        } else {
            all.clone()
        };
        let is_code = |word: &&str| {
            word.len() <= 3 && word.bytes().all(|byte| byte.is_ascii_digit()) && !word.is_empty()
        };
        for code in codes
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .filter(is_code)
        {
            let is_there = there
                .split(|letter: char| !letter.is_ascii_alphanumeric())
                .any(|word| word == code);
            assert!(is_there, "{command}: the reference has no exit code {code}");
            seen += 1;
        }
    }
    assert!(seen >= 20, "{seen} codes");
}

#[test]
fn the_reference_has_no_option_that_podgate_does_not_have() {
    let (all, reference) = (all_options(), text("docs/reference.md"));
    let mut seen = BTreeSet::new();
    for row in reference
        .lines()
        .filter(|line| line.starts_with("| `-") && line.contains("`PODGATE_"))
    {
        let option = row
            .split(['`', ' ', ','])
            .find(|word| word.starts_with("--"))
            .expect("an option");
        seen.insert(option.to_owned());
    }
    assert_eq!(seen, all);
}

#[test]
fn every_command_is_in_the_reference_and_in_the_help() {
    let (help, reference) = (podgate(["--help"]).run(), text("docs/reference.md"));
    for command in COMMANDS {
        assert!(
            help.code(0).stdout.contains(&format!("\n  {command} ")),
            "{help}"
        );
        assert!(
            reference.contains(&format!("| `podgate {command}")),
            "{command}"
        );
    }
}

/// The words of a flow sequence of YAML.
fn words(list: &str) -> Vec<String> {
    let list = list.split(" #").next().unwrap().trim();
    let inner = list
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or_else(|| panic!("{list}"));
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in inner.chars() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, ',') => words.push(String::new()),
            (None, ' ') => {}
            (None | Some(_), _) => words.last_mut().unwrap().push(letter),
        }
    }
    words
}

/// Asserts that podgate accepts these arguments. With `PODGATE_DISABLE` it does not wait or send a
/// request.
fn is_accepted(arguments: &[String], place: &str) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let disabled = |what: &str| {
        podgate(arguments.iter().copied())
            .env("PODGATE_DISABLE", what)
            .run()
    };
    match arguments[0] {
        // Options are validated even with gates disabled. 127: the app of the example is not
        // installed.
        "wait" => assert!(
            matches!(disabled("gates").status.code(), Some(0 | 127)),
            "{place}: {arguments:?}"
        ),
        "run" | "join" => {
            let done = disabled("all");
            assert!(
                matches!(done.status.code(), Some(0 | 127)),
                "{place}: {done}"
            );
        }
        "quit" => drop(disabled("quits").code(0)),
        "check" => {
            assert!(
                matches!(
                    podgate(arguments.iter().copied()).run().status.code(),
                    Some(0 | 1 | 125)
                ),
                "{place}: {arguments:?}"
            )
        }
        "status" | "doctor" => drop(podgate(arguments).run()),
        "install" => assert!(
            matches!(arguments[1..], [_] | [_, "--reset", "/run/podgate"]),
            "{place}"
        ),
        other => panic!("{other} in {place}"),
    }
}

#[test]
fn every_podgate_command_in_yaml_is_accepted() {
    let mut sources = pages();
    sources.extend(
        files("examples", ".yaml")
            .into_iter()
            .map(|path| (path.clone(), text(path))),
    );
    let mut seen = 0;
    for (path, page) in &sources {
        let place = path.display().to_string();
        for line in page.lines().map(str::trim) {
            let list = ["command: ", "args: ", "- command: ", "exec: {command: "]
                .iter()
                .find_map(|key| line.strip_prefix(key));
            let Some(list) = list.filter(|list| list.starts_with('[')) else {
                continue;
            };
            let words = words(list.trim_end_matches('}'));
            let is_installer = words.first().is_some_and(|word| word == "install");
            let arguments = match words.split_first() {
                Some((program, rest)) if program.ends_with("/podgate") => rest,
                Some(_) if is_installer => &words[..],
                Some(_) | None => continue,
            };
            seen += 1;
            is_accepted(arguments, &place);
        }
    }
    assert!(seen >= 20, "{seen} command lines");
}

#[test]
fn every_command_line_of_the_comparison_is_accepted() {
    // The right column of "Coming from other tools", where it holds a whole command line.
    let mut seen = 0;
    for cell in text("docs/comparison.md")
        .lines()
        .filter_map(|line| line.rsplit_once("| `podgate ").map(|(_, rest)| rest))
    {
        let line = cell.split('`').next().expect("a command line");
        let words = shell_words::split(line).unwrap();
        // A row of measurements has only the name of a command.
        if words.len() > 1 {
            is_accepted(&words, "docs/comparison.md");
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} command lines");
}

/// `podgate` calls are checked by [`is_accepted`], `make` targets by `make -n`, and shell blocks by
/// `sh -n`.
#[test]
fn every_command_in_a_console_block_is_valid() {
    let mut seen = 0;
    for (path, page) in pages() {
        let place = path.display().to_string();
        for block in blocks(&page, "console") {
            for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
                let command = command.split("  #").next().unwrap();
                let words = shell_words::split(command).unwrap();
                seen += 1;
                match words.first().map(String::as_str) {
                    Some("podgate") => is_accepted(&words[1..], &place),
                    Some("make") => drop(output(
                        Command::new("make")
                            .args(["-n", "-C"])
                            .arg(root())
                            .args(&words[1..]),
                    )),
                    other => panic!("{other:?} in {place}: add a case for this command"),
                }
            }
        }
        for block in blocks(&page, "sh") {
            // These blocks have placeholders, so only check the syntax and that the make targets
            // exist.
            let is_sound = Command::new("sh")
                .args(["-n", "-c", &block])
                .status()
                .unwrap()
                .success();
            assert!(is_sound, "{place}: {block}");
            for target in block.lines().filter_map(|line| line.strip_prefix("make ")) {
                let words = target.split("  ").next().unwrap().split(' ');
                output(
                    Command::new("make")
                        .args(["-n", "-C"])
                        .arg(root())
                        .args(words),
                );
                seen += 1;
            }
        }
    }
    assert!(seen >= 7, "{seen} commands");
}

/// The output that the reference shows below this command.
fn shown(command: &str) -> Vec<String> {
    let block = blocks(&text("docs/reference.md"), "console")
        .into_iter()
        .find(|block| block.starts_with(command));
    let block = block.unwrap_or_else(|| panic!("no block with {command}"));
    block.lines().skip(1).map(str::to_owned).collect()
}

/// Replaces times and collapses spaces, because both differ in every run.
fn timeless(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    let is_time = |word: &str| word.len() == 24 && word.ends_with('Z');
    let words = |line: &str| {
        let mut words: Vec<&str> = line
            .split_whitespace()
            .map(|word| if is_time(word) { "TIME" } else { word })
            .collect();
        if let Some(at) = words.iter().position(|word| *word == "after") {
            words[at + 1] = "TIME";
        }
        words.join(" ")
    };
    lines.into_iter().map(|line| words(line.as_ref())).collect()
}

#[test]
fn the_status_output_in_the_reference_is_what_podgate_prints() {
    let Some(pod) = Pod::new() else { return };
    let _proxy = pod.start(&run("proxy", "", &server(0)));
    comes(&pod, "proxy", "ready");
    for _ in 0..2 {
        pod.start(&run("main", "", "exit 3")).code(3);
    }
    let onlooker = pod.start(&onlooker("onlooker"));
    let done = podgate_in(&onlooker, "status");
    assert_eq!(
        timeless(shown("$ podgate status")),
        timeless(done.code(0).stdout.lines())
    );
}

#[test]
fn the_quit_output_in_the_reference_is_what_podgate_prints() {
    let is_there = program("unshare", &["/usr/bin"]).is_some()
        && program("ip", &["/sbin", "/usr/sbin"]).is_some();
    if !needs(
        "unshare, ip and python3, as root",
        is_there && nix::unistd::geteuid().is_root(),
    ) {
        return;
    }
    let folder = Folder::new();
    // Like Istio's agent, it serves readiness on one port and the quit on another. It ends 0.3 s
    // after the quit.
    let agent = folder.file(
        "agent.py",
        "import http.server, os, threading
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def do_POST(self): self.do_GET(); threading.Timer(0.3, os._exit, [0]).start()
    def log_message(self, *words): pass
ready = http.server.HTTPServer(('127.0.0.1', 15021), H)
threading.Thread(target=ready.serve_forever, daemon=True).start()
http.server.HTTPServer(('127.0.0.1', 15020), H).serve_forever()
",
    );
    let quit = "quit istio http://localhost:8080/quitquitquit";
    let script = format!(
        "PATH=$PATH:/sbin:/usr/sbin ip link set lo up && {{ python3 {agent} & }} && \
         {PODGATE} wait -q istio tcp://127.0.0.1:15020 && exec {PODGATE} {quit}"
    );
    let mut command = Command::new("unshare");
    let done = command
        .args(["--net", "--", "sh", "-c", &script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{printed}");
    let sorted = |lines: Vec<String>| lines.into_iter().collect::<BTreeSet<_>>();
    // Both targets get their requests at the same time, so the order of their lines varies.
    let printed: Vec<&str> = printed
        .lines()
        .filter(|line| !line.contains("still waiting"))
        .collect();
    assert_eq!(
        sorted(timeless(shown(&format!("$ podgate {quit}")))),
        sorted(timeless(printed))
    );
}

#[test]
fn the_record_in_the_reference_has_the_fields_of_a_real_one() {
    let Some(pod) = Pod::new() else { return };
    pod.start(&run("main", "--restart-policy on-failure", "exit 3"))
        .code(3);
    let keys = |record: &str| -> Vec<String> {
        record
            .lines()
            .map(|line| line.split(": ").next().unwrap().to_owned())
            .filter(|key| key != "stopping")
            .collect()
    };
    let written = fs::read_to_string(pod.volume().join("main.record")).unwrap();
    let reference = text("docs/reference.md");
    let shown = blocks(&reference, "text")
        .into_iter()
        .find(|block| block.starts_with("podgate: 1\n"))
        .unwrap();
    assert_eq!(keys(&shown), keys(&written), "{written}");
    for key in keys(&written) {
        assert!(
            reference.contains(&format!("`{key}`")),
            "{key} is not explained"
        );
    }
}

/// The code that has the texts of messages, without comments, tests and the help. A string that
/// continues on the next line is one line here.
fn source_of_messages() -> String {
    let mut source = String::new();
    let is_help = |path: &Path| path.ends_with("cli/texts.rs");
    for path in files("src", ".rs")
        .into_iter()
        .filter(|path| !is_help(path))
    {
        let code = text(path);
        let code = code
            .split("#[cfg(test)]\nmod ")
            .next()
            .unwrap()
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let lines = code
            .map(|line| format!("{line}\n"))
            .collect::<String>()
            .replace("\\\"", "\"");
        source.extend(
            lines
                .split("\\\n")
                .enumerate()
                .map(|(at, part)| if at == 0 { part } else { part.trim_start() }),
        );
    }
    source
}

/// The runs of words in a quoted message that must be in the source as they are: the text between
/// signs, placeholders (`…`, NAME), names of example members and words with digits.
fn fixed_runs(message: &str) -> Vec<String> {
    let pieces = message
        .split(['…', '(', ')', ':', ';', ','])
        .flat_map(|piece| piece.split("NAME"))
        .flat_map(|piece| piece.split("main "))
        .flat_map(|piece| piece.split("app "));
    let has_digit = |word: &str| word.contains(|letter: char| letter.is_ascii_digit());
    pieces
        .flat_map(|piece| {
            let words: Vec<_> = piece.split(' ').filter(|word| !word.is_empty()).collect();
            words
                .split(|word| has_digit(word))
                .map(|run| run.join(" "))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The runs of a quoted message that must be in the source and are not. Every run of two or more
/// words must be there, and so must the longest run, which may be a single word.
fn runs_that_are_missing(message: &str, source: &str) -> Vec<String> {
    let runs = fixed_runs(message);
    let longest = runs.iter().max_by_key(|run| run.len()).unwrap().clone();
    let is_missing = |run: &String| {
        let is_too_short = *run == longest && run.len() < 4;
        let is_checked = *run == longest || run.contains(' ');
        is_too_short || is_checked && !source.contains(run)
    };
    runs.into_iter().filter(is_missing).collect()
}

#[test]
fn every_message_in_troubleshooting_is_in_the_source() {
    let source = source_of_messages();
    let mut seen = 0;
    for row in text("docs/troubleshooting.md")
        .lines()
        .filter(|line| line.starts_with("| `"))
    {
        let message = row.split("| ").nth(1).unwrap();
        for span in message.split('`').skip(1).step_by(2) {
            let missing = runs_that_are_missing(span, &source);
            assert!(
                missing.is_empty(),
                "{span:?} is not a message of podgate: {missing:?}"
            );
            seen += 1;
        }
    }
    assert!(seen >= 20, "{seen} messages");
}

/// The negative control.
#[test]
fn a_message_that_podgate_no_longer_prints_is_found() {
    let source = source_of_messages();
    for (message, missing) in [
        (
            "another container of this pod is NAME and is alive",
            &[][..],
        ),
        // The longest run is still there, and a shorter one is not.
        (
            "another container of this pod is NAME and lives",
            &["and lives"],
        ),
        (
            "was lost: it died without a word (SIGKILL, or out of memory)",
            &["it died without a word"],
        ),
        ("… checksum …", &["checksum"]),
        ("… 503 of 8", &["of"]),
    ] {
        assert_eq!(
            runs_that_are_missing(message, &source),
            missing,
            "{message}"
        );
    }
}

/// The anchor that GitHub derives from a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn every_link_has_a_target() {
    let mut seen = 0;
    for (path, page) in pages() {
        for link in page
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
        {
            if link.starts_with("https://") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            assert!(root().join(&target).exists(), "{}: {link}", path.display());
            if !fragment.is_empty() {
                let headings = text(&target);
                let mut anchors = headings
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(anchor);
                assert!(
                    anchors.any(|it| it == fragment),
                    "{}: {link}",
                    path.display()
                );
            }
            seen += 1;
        }
    }
    assert!(seen >= 30, "{seen} links");
}

/// The numbers of promises that a text names, as `(text before, number, text after)`.
fn promises(text: &str) -> Vec<(&str, String, &str)> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    for (at, _) in text.match_indices('P') {
        let (before, rest) = (&text[..at], &text[at + 1..]);
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let mut length = digits(rest);
        if length == 0 || before.ends_with(is_part) {
            continue;
        }
        if let Some(minor) = rest[length..].strip_prefix('.') {
            let minor = digits(minor);
            length += if minor == 0 { 0 } else { minor + 1 };
        }
        let after = &rest[length..];
        if !after.starts_with(is_part) {
            found.push((before, format!("P{}", &rest[..length]), after));
        }
    }
    found
}

/// How often ARCHITECTURE.md defines each number: a heading defines a group, bold type a promise.
fn definitions(architecture: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for line in architecture.lines() {
        let is_definition = |before: &str| before == "### " || before == "- **" || before == "| **";
        for (before, number, _) in promises(line) {
            if is_definition(before) {
                *found.entry(number).or_default() += 1;
            }
        }
    }
    found
}

/// The texts that may refer to a promise.
fn texts_with_promises() -> Vec<(PathBuf, String)> {
    let mut paths = vec![PathBuf::from("build.rs"), PathBuf::from("Makefile")];
    for folder in [
        "src", "tests", "fuzz/src", "examples", "scripts", "ci", "bench",
    ] {
        if root().join(folder).is_dir() {
            paths.extend(files(folder, ""));
        }
    }
    paths.push(PathBuf::from("fuzz/README.md"));
    let mut texts = pages();
    for path in paths {
        // Skip binary files, such as Python's cache.
        if let Ok(text) = fs::read_to_string(root().join(&path)) {
            texts.push((path, text));
        }
    }
    texts
}

#[test]
fn every_promise_that_is_named_is_defined_once() {
    let defined = definitions(&text("ARCHITECTURE.md"));
    assert!(defined.len() >= 60, "{defined:?}");
    for (number, times) in &defined {
        assert_eq!(*times, 1, "{number} has {times} definitions");
    }
    let texts = texts_with_promises();
    assert!(texts.len() >= 100, "{} texts", texts.len());
    let mut seen = 0;
    for (path, page) in &texts {
        for (before, number, after) in promises(page) {
            assert!(
                defined.contains_key(&number),
                "{}: {number} is not defined in ARCHITECTURE.md",
                path.display()
            );
            let is_page = path.extension().is_some_and(|ending| ending == "md");
            if is_page && !path.ends_with("ARCHITECTURE.md") {
                let group = number.split('.').next().unwrap().to_lowercase();
                let link = format!("ARCHITECTURE.md#{group}-");
                let target = after.strip_prefix("](").unwrap_or_default();
                assert!(
                    before.ends_with('[') && target.split(')').next().unwrap().contains(&link),
                    "{}: {number} is not a link to {link}…",
                    path.display()
                );
            }
            seen += 1;
        }
    }
    assert!(seen >= 100, "{seen} references");
}

#[test]
fn a_promise_that_is_not_defined_is_found() {
    let number = |number: &str| format!("{}{number}", 'P');
    let text = format!(
        "({}) x{} {}b, {}. {}",
        number("6.5"),
        number("1"),
        number("1"),
        number("7"),
        number("99.1")
    );
    let found: Vec<String> = promises(&text).into_iter().map(|(_, it, _)| it).collect();
    assert_eq!(found, [number("6.5"), number("7"), number("99.1")]);
    assert!(!definitions("## P1 x\n- **P2.1** y\n").contains_key(&number("1")));
}

#[test]
fn no_text_refers_to_a_design_that_is_not_here() {
    let word = concat!("DES", "IGN");
    for (path, page) in texts_with_promises() {
        let has_word = page.contains(word);
        assert!(!has_word, "{} refers to {word}", path.display());
    }
}

/// The paths in the code spans of a page: words that begin with a folder of this repository or have
/// one of its file endings.
fn paths(page: &str) -> BTreeSet<String> {
    let is_path = |word: &str| {
        let is_file = [".rs", ".md", ".toml"]
            .iter()
            .any(|ending| word.ends_with(ending) && word.len() > ending.len());
        let is_inside = [
            "src/",
            "tests/",
            "docs/",
            "fuzz/",
            "examples/",
            "scripts/",
            "ci/",
            "bench/",
        ]
        .iter()
        .any(|folder| word.starts_with(folder));
        is_file || is_inside
    };
    page.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| is_path(word) && !word.contains([' ', '*', '<']))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_architecture_is_short() {
    let architecture = text("ARCHITECTURE.md");
    let lines = architecture.lines().count();
    assert!((150..=300).contains(&lines), "{lines} lines");
    for line in architecture.lines() {
        let is_narrow = line.starts_with('|') || line.chars().count() <= 100;
        assert!(is_narrow, "more than 100 columns: {line}");
    }
}

#[test]
fn every_path_that_a_page_names_exists() {
    let mut architecture = 0;
    for (page, text) in pages() {
        let paths = paths(&text);
        for path in &paths {
            // A page may also name a file in its own folder.
            let beside = page.parent().unwrap().join(path);
            let exists = root().join(path).exists() || root().join(beside).exists();
            assert!(exists, "{}: {path} does not exist", page.display());
        }
        if page.ends_with("ARCHITECTURE.md") {
            architecture = paths.len();
        }
    }
    assert!(
        architecture >= 40,
        "{architecture} paths in ARCHITECTURE.md"
    );
}

#[test]
fn the_reference_lists_every_event_of_the_log() {
    let reference = text("docs/reference.md");
    let (_, section) = reference.split_once("\n### Events\n").expect("a section");
    let section = section.split("\n#").next().unwrap();
    let listed: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|rest| rest.split_once("` | ").expect("a sentence"))
        .map(|(name, sentence)| {
            assert!(sentence.ends_with(". |"), "{name}: {sentence}");
            name
        })
        .collect();
    let mut names = LogEvent::ALL.map(LogEvent::name);
    names.sort_unstable();
    assert_eq!(listed, names);
}

#[test]
fn the_readme_is_short() {
    let lines = text("README.md").lines().count();
    assert!((100..=250).contains(&lines), "{lines} lines");
}

#[test]
fn the_picture_is_drawn_from_what_the_demo_prints() {
    if !python3() {
        return;
    }
    let draw = |shown: &str| {
        let mut child = Command::new("python3")
            .arg(root().join("docs/picture"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(shown.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    let done =
        draw("Scene 1: a <job>\n\n$ podgate run\n\n    1 ms  job runs\n\n  job |--..##~~X|\n");
    let picture = String::from_utf8(done.stdout).unwrap();
    assert!(
        done.status.success() && picture.starts_with("<svg ") && picture.contains("a &lt;job&gt;"),
        "{picture}"
    );
    assert_eq!(
        picture.matches("<tspan").count(),
        picture.matches("</tspan>").count()
    );
    assert!(!draw("something else\n").status.success());
    let kept = text("docs/demo.svg");
    for part in [
        "<svg ",
        "</svg>",
        "podgate run --name proxy --until job",
        "job is killed",
        "proxy ends: exit code 137",
    ] {
        assert!(kept.contains(part), "{part}");
    }
}
