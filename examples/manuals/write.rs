//! Man pages and completions, from the definitions by which podgate reads its command line.

use clap_complete::{Shell, generate_to};
use podgate::cli::{Kind, definition};
use std::fs;
use std::io;
use std::path::Path;

/// Writes `podgate.1`, `podgate-COMMAND.1` for each command, and a file for each shell. The pages
/// have this date, as `2026-01-31`.
///
/// # Errors
/// The folder or a file in it cannot be written.
pub(crate) fn all(folder: &Path, date: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut visible(), "podgate", folder)?;
    }
    let mut root = definition();
    root.build();
    let pages = root.get_subcommands().chain([&root]);
    for command in pages {
        let name = command.get_display_name().unwrap_or("podgate");
        let page = page(name, command.clone(), date)?;
        fs::write(folder.join(format!("{name}.1")), page)?;
    }
    Ok(())
}

/// The definition without hidden options, which clap_complete would offer.
fn visible() -> clap::Command {
    Kind::ALL.into_iter().fold(definition(), |root, kind| {
        root.mut_subcommand(kind.name(), |command| {
            let arguments = command.get_arguments().filter(|it| !it.is_hide_set());
            let visible = clap::Command::new(kind.name()).args(arguments);
            visible.about(command.get_about().cloned().unwrap_or_default())
        })
    })
}

fn page(name: &str, command: clap::Command, date: &str) -> io::Result<String> {
    let after = command.get_after_help().map(ToString::to_string);
    let heading = if command.has_subcommands() {
        "Examples"
    } else {
        "Notes"
    };
    let command = command.after_help(None::<&str>);
    let mut rendered = Vec::new();
    clap_mangen::Man::new(command).render(&mut rendered)?;
    let mut page = String::new();
    for line in String::from_utf8_lossy(&rendered).lines() {
        if line.starts_with(".TH ") {
            let (title, version) = (name.to_uppercase(), env!("CARGO_PKG_VERSION"));
            page += &format!(".TH {title} 1 \"{date}\" \"podgate {version}\" \"podgate\"\n");
        } else if line.starts_with('.') {
            page += &format!("{line}\n");
        } else {
            text(&mut page, line);
        }
    }
    after_help(&mut page, after.as_deref().unwrap_or_default(), heading);
    Ok(ascii(&page))
}

/// Adds a text that troff fills, in lines of at most 78 bytes where its words permit.
fn text(page: &mut String, text: &str) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        // A line that begins with one of these is a request.
        let may_begin = !word.starts_with(['.', '\'']);
        if !line.is_empty() && line.len().saturating_add(word.len()) >= 78 && may_begin {
            *page += &format!("{line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    if !line.is_empty() {
        *page += &format!("{line}\n");
    }
}

/// The text of the help after the options, as sections. clap_mangen would fill its tables and
/// examples into one paragraph.
///
/// A line that begins with `Name:` begins a section, and so does prose after an empty line. The
/// rest of that line and the indented lines below are rows of a table: a term, at least two spaces,
/// what it means. Indented lines that begin with `#` or `podgate` are examples instead.
fn after_help(page: &mut String, after: &str, first: &str) {
    let mut section = "";
    // Where the rows of the section's table begin.
    let mut column = 2;
    let mut lines = after.lines().peekable();
    while let Some(line) = lines.next() {
        let mut own = line.trim_start();
        let is_indented = line.starts_with(' ');
        let head = heading(line);
        if let Some((name, begin)) = head {
            own = begin.trim_start();
            column = line.len().saturating_sub(own.len());
            if own.is_empty() {
                column = 2;
            }
            begin_section(page, &mut section, name);
        } else if line.starts_with("Every option is also a variable") {
            begin_section(page, &mut section, "Environment");
        } else if section.is_empty() {
            begin_section(page, &mut section, first);
        }
        if own.is_empty() {
            if head.is_none() && lines.peek().is_some_and(|line| is_prose(line)) {
                begin_section(page, &mut section, "Notes");
            }
        } else if own.starts_with('#') {
            paragraph(page);
            text(page, &escaped(own.trim_start_matches(['#', ' '])));
            while let Some(more) = lines.next_if(|line| line.trim_start().starts_with('#')) {
                text(page, &escaped(more.trim_start_matches(['#', ' '])));
            }
        } else if is_indented && own.starts_with("podgate ") {
            *page += &format!(".RS 4\n.nf\n{}\n.fi\n.RE\n", escaped(own));
        } else if is_indented || head.is_some() && own.contains("  ") {
            let (term, means) = own.split_once("  ").unwrap_or((own, ""));
            *page += &format!(".TP\n{}\n", escaped(term));
            text(page, &escaped(means));
            let deeper = " ".repeat(column.saturating_add(1));
            while let Some(more) = lines.next_if(|line| line.starts_with(&deeper)) {
                text(page, &escaped(more));
            }
            if lines.peek().is_some_and(|line| is_prose(line)) {
                paragraph(page);
            }
        } else {
            text(page, &escaped(own));
            while let Some(more) = lines.next_if(|line| is_prose(line)) {
                text(page, &escaped(more));
            }
        }
    }
}

/// Begins the section with this name. Where it is the section of the text before, only a paragraph.
fn begin_section<'a>(page: &mut String, section: &mut &'a str, name: &'a str) {
    if *section == name {
        paragraph(page);
    } else {
        *section = name;
        *page += &format!(".SH \"{}\"\n", name.to_uppercase());
    }
}

/// Begins a paragraph. A section begins with one.
fn paragraph(page: &mut String) {
    let last = page.lines().last().unwrap_or_default();
    if !last.starts_with(".SH ") {
        *page += ".PP\n";
    }
}

/// The name of the section that the line begins, and the rest of the line.
fn heading(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once(':')?;
    let is_name = name.starts_with(|it: char| it.is_ascii_uppercase())
        && name.split(' ').count() <= 2
        && (rest.is_empty() || rest.starts_with(' '));
    is_name.then_some((name, rest))
}

/// Is the line part of a paragraph?
fn is_prose(line: &str) -> bool {
    let is_variable = line.starts_with("Every option is also a variable");
    !line.is_empty() && !line.starts_with(' ') && heading(line).is_none() && !is_variable
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let text = text.replace('\'', "\\(aq");
    if text.starts_with('.') {
        return format!("\\&{text}");
    }
    text
}

/// ASCII, and troff's names for other letters: not every reader of man pages expects UTF-8.
fn ascii(text: &str) -> String {
    let text = text.replace('…', "...");
    let one = |letter: char| match u32::from(letter) {
        0..128 => letter.to_string(),
        code => format!("\\[u{code:04X}]"),
    };
    text.chars().map(one).collect()
}
