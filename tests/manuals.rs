//! Every option of every command is in the man pages and in the completions.

#[path = "../examples/manuals/write.rs"]
mod write;

use crate::support::Folder;
use std::fs;

/// Each command with the long names of its options.
fn options() -> Vec<(String, Vec<String>)> {
    let mut command = podgate::cli::definition();
    command.build();
    let names = |command: &clap::Command| {
        let arguments = command.get_arguments().filter(|it| !it.is_hide_set());
        let names = arguments.filter_map(|it| it.get_long().map(str::to_owned));
        (command.get_name().to_owned(), names.collect())
    };
    command.get_subcommands().map(names).collect()
}

/// The part of a script between two texts.
fn part<'a>(script: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = script
        .split_once(from)
        .unwrap_or_else(|| panic!("no {from:?}"));
    rest.split(to).next().unwrap()
}

#[test]
fn they_name_every_option_of_every_command() {
    let folder = Folder::new();
    write::all(folder.path()).unwrap();
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let (bash, zsh, fish) = (read("podgate.bash"), read("_podgate"), read("podgate.fish"));
    let mut count = 0;
    for (command, names) in options() {
        let page = read(&format!("podgate-{command}.1"));
        assert!(read("podgate.1").contains(&command), "podgate.1: {command}");
        let from = format!("\n        podgate__subcmd__{command})\n");
        let bash: Vec<&str> = part(part(&bash, &from, "return 0"), "opts=\"", "\"")
            .split(' ')
            .collect();
        let zsh = part(&zsh, &format!("({command})\n"), "\n;;");
        let start = format!("\"__fish_podgate_using_subcommand {command}\"");
        for name in names {
            let option = format!("--{name}");
            let escaped = option.replace('-', "\\-");
            assert!(page.contains(&escaped), "podgate-{command}.1: {option}");
            assert!(bash.contains(&option.as_str()), "bash: {command} {option}");
            // A line is `'--name=[about]:value:_default'`, with signs before and after the name.
            let in_zsh = zsh.match_indices(&option).any(|(at, _)| {
                let after = zsh[at + option.len()..].chars().next();
                after.is_some_and(|it| it != '-' && !it.is_ascii_alphanumeric())
            });
            assert!(in_zsh, "zsh: {command} {option}");
            let is_named = |line: &str| {
                line.contains(&start) && format!("{line} ").contains(&format!(" -l {name} "))
            };
            assert!(fish.lines().any(is_named), "fish: {command} {option}");
            count += 1;
        }
    }
    assert!(count > 80, "{count}");
}
