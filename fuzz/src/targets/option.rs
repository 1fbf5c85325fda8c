//! One option at a time, in a call that is valid without it. The option's value is valid, or the
//! error names the option and gives a valid example.
//!
//! An input is a byte for the option, a byte for the way to give it, and its value.

use super::argv::call;
use crate::input::examples;
use crate::is_planted;
use podgate::cli::{self, Stop, UsageError, Variables};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::OnceLock;

/// Valid calls.
const CALLS: [&[&str]; 8] = [
    &["wait", "http://localhost:1/"],
    &["check", "http://user@localhost:1/", "ready:other"],
    &[
        "run",
        "--name",
        "self",
        "--until",
        "other",
        "--restart-policy",
        "never",
        "--quit",
        "http://localhost:1/q",
    ],
    &[
        "join",
        "--name",
        "self",
        "--restart-policy",
        "never",
        "--wait",
    ],
    &["quit", "http://localhost:1/q"],
    &["doctor"],
    &["reset"],
    &["install", "/podgate-bin", "--reset", "/run/podgate"],
];

/// An option of one of the calls.
struct Flag {
    call: usize,
    name: String,
}

/// libFuzzer puts these words into the command lines of the other target.
const DICTIONARY: &str = include_str!("../../dictionaries/argv");

/// Every option of every call, from podgate's help.
fn flags() -> &'static [Flag] {
    static FLAGS: OnceLock<Vec<Flag>> = OnceLock::new();
    FLAGS.get_or_init(|| {
        let mut all = Vec::new();
        for (at, words) in CALLS.iter().enumerate() {
            assert!(said(at, None, &|_| None).is_ok(), "{words:?}");
            let typed = ["podgate", words[0], "--help"].map(OsString::from);
            let Err(Stop::Read(help)) = cli::parse(&typed, &|_| None) else {
                panic!("no help for {words:?}");
            };
            let heads = help
                .lines()
                .filter_map(|line| line.trim_start().strip_prefix('-').map(|_| line));
            for line in heads {
                let Some((_, rest)) = line.split_once("--") else {
                    continue;
                };
                let name: String = rest
                    .chars()
                    .take_while(|it| it.is_ascii_lowercase() || *it == '-')
                    .collect();
                let is_in_dictionary = DICTIONARY.lines().any(|it| it == format!("\"--{name}\""));
                assert!(
                    name == "help" || is_in_dictionary,
                    "dictionaries/argv: --{name}"
                );
                if name != "help" && !words.contains(&format!("--{name}").as_str()) {
                    all.push(Flag { call: at, name });
                }
            }
        }
        assert!(all.len() > 80, "{}", all.len());
        all
    })
}

/// Reads a call, with one more word.
fn said(call_at: usize, word: Option<OsString>, variables: Variables<'_>) -> Result<(), Stop> {
    let (command, rest) = CALLS[call_at].split_first().unwrap();
    let mut words: Vec<OsString> = vec!["podgate".into(), command.into()];
    words.extend(word);
    words.extend(rest.iter().map(OsString::from));
    if ["wait", "run", "join"].contains(command) {
        words.extend(["--".into(), "app".into()]);
    }
    call(&words, variables).map(drop)
}

pub(crate) fn run(bytes: &[u8]) {
    let [at, how, value @ ..] = bytes else { return };
    let flags = flags();
    let flag = &flags[usize::from(*at) % flags.len()];
    let variable = match (CALLS[flag.call][0], flag.name.as_str()) {
        ("quit", "timeout") => "PODGATE_QUIT_TIMEOUT".to_owned(),
        (_, name) => format!("PODGATE_{}", name.to_ascii_uppercase().replace('-', "_")),
    };
    let say = |value: &[u8]| {
        if how & 1 == 0 || value.contains(&0) {
            let word = [b"--", flag.name.as_bytes(), b"=", value].concat();
            return said(flag.call, Some(OsString::from_vec(word)), &|_| None);
        }
        let value = OsStr::from_bytes(value).to_owned();
        said(flag.call, None, &|name| {
            (name == variable).then(|| value.clone())
        })
    };
    let mut read = say(value);
    if is_planted() && flag.name == "linger" && value.contains(&b'd') {
        let cause = "is no good; say 3".to_owned();
        read = Err(Stop::Wrong(UsageError::BadValue {
            source: String::new(),
            value: None,
            cause,
        }));
    }
    let Err(Stop::Wrong(error)) = read else {
        return;
    };
    let text = podgate::usage_message(&error).text;
    // Only in this build, and for any option.
    if text.contains("built without TLS") {
        return;
    }
    let named = format!("--{}", flag.name);
    assert!(
        text.contains(&named) || text.contains(&variable),
        "{text:?} does not name {named}"
    );
    // That example is only for the wrong half of FROM=TO.
    if text.contains("is not a signal") {
        return;
    }
    // Parts of the value could be taken for an example, or for the end of one.
    if value.iter().any(|byte| b" ,;".contains(byte)) {
        return;
    }
    for example in examples(&text) {
        // Another option, or a whole call.
        if example.contains("--")
            || example.contains("podgate ")
            || example.contains(" of ")
            || example.contains('…')
        {
            continue;
        }
        let Some(word) = example
            .split([' ', ')'])
            .next()
            .filter(|_| !example.starts_with('\''))
        else {
            continue;
        };
        let is_prose = !word
            .bytes()
            .any(|it| it.is_ascii_digit() || b":/=".contains(&it))
            || example.contains(" (");
        if is_prose {
            continue;
        }
        // Another option may be missing; that does not matter here.
        if let Err(Stop::Wrong(again)) = say(word.as_bytes()) {
            let again = podgate::usage_message(&again).text;
            let is_about_it = again.contains(&format!("{word:?}"))
                && !again.replacen(&named, "", 1).contains("--");
            assert!(
                !is_about_it,
                "{text:?}: but its example {word:?}: {again:?}"
            );
        }
    }
}
