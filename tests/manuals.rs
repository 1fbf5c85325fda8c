//! The man pages and the completions name every option of every command, and nothing else.

#[path = "../examples/manuals/write.rs"]
mod write;

use crate::support::{Folder, needs, output, program};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// Options as they are typed: `--timeout`, `-t`.
type Options = BTreeSet<String>;

struct Manuals {
    folder: Folder,
    bash: String,
    zsh: String,
    fish: String,
}

impl Manuals {
    fn new() -> Self {
        let folder = Folder::new();
        write::all(folder.path(), "2026-01-31").unwrap();
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        Self {
            bash: read("podgate.bash"),
            zsh: read("_podgate"),
            fish: read("podgate.fish"),
            folder,
        }
    }

    fn page(&self, command: &str) -> String {
        fs::read_to_string(self.folder.join(&format!("podgate-{command}.1"))).unwrap()
    }

    /// Every place that names the options of this command: the place's name and its text.
    fn places(&self, command: &str) -> [(Place, String); 4] {
        [
            (Place::Page, self.page(command)),
            (Place::Bash, self.bash.clone()),
            (Place::Zsh, self.zsh.clone()),
            (Place::Fish, self.fish.clone()),
        ]
    }
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Page,
    Bash,
    Zsh,
    Fish,
}

impl Place {
    /// The options of the command that this text names.
    fn named(self, text: &str, command: &str) -> Options {
        match self {
            Self::Page => in_page(text),
            Self::Bash => in_bash(text, command),
            Self::Zsh => in_zsh(text, command),
            Self::Fish => in_fish(text, command),
        }
    }

    /// The text without one option of the command.
    fn without(self, text: &str, command: &str, option: &str) -> String {
        let part = match self {
            Self::Page => text,
            Self::Bash => bash_words(text, command),
            Self::Zsh => zsh_part(text, command),
            Self::Fish => text,
        };
        let (old, new) = match self {
            Self::Page => (format!("\\fB{}\\fR", option.replace('-', "\\-")), ""),
            Self::Bash => (format!(" {option} "), " "),
            Self::Zsh => (format!("{option}="), "'"),
            Self::Fish => (format!(" -l {} ", option.trim_start_matches('-')), " "),
        };
        let changed: Vec<String> = part
            .split_inclusive('\n')
            .map(|line| {
                let is_of_it = match self {
                    Self::Page => line.starts_with("\\fB"),
                    Self::Bash => true,
                    Self::Zsh => line.starts_with(&format!("'{old}")),
                    Self::Fish => line.contains(&format!("using_subcommand {command}\"")),
                };
                if is_of_it {
                    line.replace(&old, new)
                } else {
                    line.to_owned()
                }
            })
            .collect();
        let changed = changed.concat();
        assert_ne!(part, changed, "{self:?} of {command}");
        text.replace(part, &changed)
    }
}

/// A page has `\fB\-t\fR, \fB\-\-timeout\fR \fI<TIME>\fR` after `.TP`.
fn in_page(page: &str) -> Options {
    let lines: Vec<&str> = page.lines().collect();
    let heads = lines
        .windows(2)
        .filter(|pair| pair[0] == ".TP")
        .map(|pair| pair[1]);
    let bold = heads.flat_map(|head| head.split("\\fB").skip(1));
    bold.map(|part| part.split("\\fR").next().unwrap().replace('\\', ""))
        .filter(|name| name.starts_with('-'))
        .collect()
}

/// A script has `opts="-t --timeout"` for each command.
fn bash_words<'a>(script: &'a str, command: &str) -> &'a str {
    let arm = between(
        script,
        &format!("\n        podgate__subcmd__{command})\n"),
        ";;",
    );
    between(arm, "opts=\"", "\"")
}

fn in_bash(script: &str, command: &str) -> Options {
    let words = bash_words(script, command).split(' ');
    let options = words.filter(|word| word.starts_with('-'));
    options.map(str::to_owned).collect()
}

fn zsh_part<'a>(script: &'a str, command: &str) -> &'a str {
    between(script, &format!("({command})\n_arguments "), "\n;;")
}

/// A line is `'(-q)*--name=[about]:value:_default'`: options that exclude it, `*` for a list, and
/// `+` or `=` before the text if it takes a value.
fn in_zsh(script: &str, command: &str) -> Options {
    let lines = zsh_part(script, command).lines();
    let specs = lines.filter_map(|line| line.strip_prefix('\''));
    let specs = specs.map(|spec| {
        spec.strip_prefix('(')
            .map_or(spec, |it| it.split_once(')').unwrap().1)
    });
    let options = specs.map(|spec| spec.trim_start_matches('*'));
    let options = options.filter(|spec| spec.starts_with('-'));
    options
        .map(|spec| spec.split(['=', '+', '[']).next().unwrap().to_owned())
        .collect()
}

/// After the name of the command a line has `-s t -l timeout -d '…' -r`.
fn in_fish(script: &str, command: &str) -> Options {
    let start = format!("complete -c podgate -n \"__fish_podgate_using_subcommand {command}\" ");
    let lines = script.lines().filter_map(|line| line.strip_prefix(&start));
    let mut options = Options::new();
    for line in lines {
        let flags: Vec<&str> = line.split(" -d '").next().unwrap().split(' ').collect();
        for pair in flags.chunks(2) {
            match pair {
                ["-s", short] => options.insert(format!("-{short}")),
                ["-l", long] => options.insert(format!("--{long}")),
                _ => false,
            };
        }
    }
    options
}

/// The part of a text between two others.
#[track_caller]
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text
        .split_once(from)
        .unwrap_or_else(|| panic!("no {from:?}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to:?}")).0
}

/// Each command with its options, as podgate reads them.
fn commands() -> Vec<(String, Options)> {
    let mut root = podgate::cli::definition();
    root.build();
    let options = |command: &clap::Command| {
        let all = command.get_arguments().filter(|it| !it.is_hide_set());
        let names = all.flat_map(|it| {
            let short = it.get_short().map(|it| format!("-{it}"));
            let long = it.get_long().map(|it| format!("--{it}"));
            [short, long].into_iter().flatten()
        });
        (command.get_name().to_owned(), names.collect())
    };
    root.get_subcommands().map(options).collect()
}

#[test]
fn they_name_every_option_of_every_command() {
    let manuals = Manuals::new();
    let mut count = 0;
    for (command, options) in commands() {
        for (place, text) in manuals.places(&command) {
            assert_eq!(
                place.named(&text, &command),
                options,
                "{place:?} of {command}"
            );
        }
        count += options.len();
    }
    assert!(count > 100, "{count}");
}

/// `--timeout` is also the end of other options' names, and an option of another command.
#[test]
fn an_option_that_is_removed_is_found_to_be_missing() {
    let manuals = Manuals::new();
    for (command, mut options) in commands() {
        if !options.remove("--timeout") {
            continue;
        }
        for (place, text) in manuals.places(&command) {
            let text = place.without(&text, &command, "--timeout");
            assert_eq!(
                place.named(&text, &command),
                options,
                "{place:?} of {command}"
            );
        }
    }
}

#[test]
fn podgates_own_page_names_every_command() {
    let page = fs::read_to_string(Manuals::new().folder.join("podgate.1")).unwrap();
    let lines: Vec<&str> = page.lines().collect();
    let named = lines
        .windows(2)
        .filter(|pair| pair[0] == ".TP")
        .map(|pair| pair[1]);
    let named: BTreeSet<String> = named
        .filter_map(|name| name.strip_prefix("podgate\\-")?.strip_suffix("(1)"))
        .map(str::to_owned)
        .collect();
    let commands: BTreeSet<String> = commands().into_iter().map(|(name, _)| name).collect();
    assert_eq!(named, commands);
}

/// The words of a page, or of a part of it, as a reader sees them.
fn words(page: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in page.lines() {
        let line = match line.strip_prefix(".SH ") {
            Some("\"NOTES\"" | "\"ENVIRONMENT\"") => continue,
            Some(heading) => heading.trim_matches('"').to_lowercase(),
            None if line.starts_with('.') => continue,
            None => line.to_owned(),
        };
        let line = line
            .replace("\\(aq", "'")
            .replace("\\-", "-")
            .replace("\\&", "");
        words.extend(line.split_whitespace().map(str::to_owned));
    }
    words
}

/// The words of the help's end in the form in which a page has them.
fn words_of_help(help: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in help.lines() {
        let mut line = line.replace('…', "...");
        for heading in [
            "Checks",
            "Targets",
            "Exit codes",
            "States",
            "Examples",
            "More",
        ] {
            if let Some(rest) = line.strip_prefix(&format!("{heading}:")) {
                line = format!("{} {rest}", heading.to_lowercase());
            }
        }
        words.extend(line.split_whitespace().map(str::to_owned));
    }
    words.retain(|word| word != "#");
    words
}

#[test]
fn a_page_has_every_word_of_the_help() {
    let manuals = Manuals::new();
    let mut root = podgate::cli::definition();
    root.build();
    for command in root.get_subcommands() {
        let name = command.get_name();
        let help = words_of_help(&command.get_after_help().unwrap().to_string());
        let page = words(&manuals.page(name));
        assert!(help.len() > 5, "{name}");
        assert!(page.ends_with(&help), "{name}:\n{help:?}\n{page:?}");
    }
}

/// The first words of each row of a table: a term, at least two spaces, what it means.
fn rows(help: &str) -> Vec<(String, String)> {
    let rows = help.lines().filter_map(|line| {
        let indented = line.trim_start();
        let row = match line.split_once(": ") {
            Some((_, row)) if indented == line => row,
            _ if indented == line || indented.starts_with(['#', ' ']) => return None,
            _ => indented,
        };
        let (term, means) = row.split_once("  ")?;
        let first = means.split_whitespace().next()?;
        Some((term.replace('…', "..."), first.to_owned()))
    });
    rows.collect()
}

#[test]
fn a_row_of_a_table_is_an_item_of_a_list() {
    let manuals = Manuals::new();
    let mut root = podgate::cli::definition();
    root.build();
    let mut count = 0;
    for command in root.get_subcommands() {
        let page = manuals.page(command.get_name());
        let lines: Vec<String> = page.lines().map(|line| words(line).join(" ")).collect();
        let raw: Vec<&str> = page.lines().collect();
        for (term, first) in rows(&command.get_after_help().unwrap().to_string()) {
            let is_item = raw.iter().enumerate().any(|(at, line)| {
                *line == ".TP" && lines[at + 1] == term && lines[at + 2].starts_with(&first)
            });
            assert!(is_item, "{term:?} of {}:\n{page}", command.get_name());
            count += 1;
        }
    }
    assert!(count > 70, "{count}");
}

/// What mandoc has to say about a page, from warnings on.
fn lint(page: &str) -> String {
    let folder = Folder::new();
    let file = folder.file("page.1", page);
    let output = Command::new("mandoc")
        .args(["-T", "lint", "-W", "warning", &file])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn mandoc_has_no_warning_about_a_page() {
    if !needs("mandoc", program("mandoc", &[]).is_some()) {
        return;
    }
    let manuals = Manuals::new();
    for (command, _) in commands() {
        let page = manuals.page(&command);
        assert_eq!(lint(&page), "", "{command}");
        let wrong = page.replace("\n.TH ", "\n.NOT_A_MACRO\n.TH ");
        assert_ne!(lint(&wrong), "", "{command}");
    }
    let page = fs::read_to_string(manuals.folder.join("podgate.1")).unwrap();
    assert_eq!(lint(&page), "");
}

/// The words that bash offers after these.
fn offered(script: &str, typed: &[&str]) -> Vec<String> {
    let folder = Folder::new();
    let file = folder.file("podgate.bash", script);
    let (last, before) = (typed.len() - 1, typed[typed.len() - 2]);
    let call = format!(
        "source {file}; COMP_WORDS=({}); COMP_CWORD={last}; _podgate podgate '{}' '{before}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        typed.join(" "),
        typed[last],
    );
    let text = output(Command::new("bash").args(["--norc", "-c", &call]));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    if !needs("bash", program("bash", &[]).is_some()) {
        return;
    }
    let script = Manuals::new().bash;
    assert_eq!(offered(&script, &["podgate", "inst"]), ["install"]);
    let typed = ["podgate", "wait", "--att"];
    assert_eq!(offered(&script, &typed), ["--attempt-timeout"]);
    let typed = ["podgate", "install", "--att"];
    assert_eq!(offered(&script, &typed), [""]);
}
