//! The command line and the variables. Every call is either valid or refused with an error on one
//! line that names the wrong option. No error shows the value of a header or the user info of a
//! URL.
//!
//! An input is words, separated by NUL. A word that begins with `$` is a variable: `$TIMEOUT=5s`
//! sets PODGATE_TIMEOUT. A word that begins with `@@` and a letter stands for words with a secret
//! in a place where users put secrets ([`planted`]). Every other word is used as it is.

use super::SECRET;
use crate::is_planted;
use podgate::cli::{self, Command, Stop, UsageError, Variables};
use podgate::config::{self, Skipped};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

pub(crate) fn run(bytes: &[u8]) {
    if contains(bytes, SECRET.as_bytes()) {
        return;
    }
    let mut words: Vec<OsString> = vec!["podgate".into()];
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    for word in bytes.split(|byte| *byte == 0).take(60) {
        match word {
            [b'$', rest @ ..] => {
                let at = rest
                    .iter()
                    .position(|byte| *byte == b'=')
                    .unwrap_or(rest.len());
                let (name, value) = (&rest[..at], rest.get(at + 1..).unwrap_or_default());
                variables.push((
                    [b"PODGATE_", name].concat().into_vec_string(),
                    OsStr::from_bytes(value).to_owned(),
                ));
            }
            [b'@', b'@', kind, rest @ ..] => planted(*kind, rest, &mut words, &mut variables),
            word => words.push(OsStr::from_bytes(word).to_owned()),
        }
    }
    let read = call(&words, &|name| {
        let found = variables.iter().find(|(it, _)| it == name)?;
        Some(found.1.clone())
    });
    match read {
        Ok(shown) => shown
            .iter()
            .for_each(|text| assert!(!text.contains(SECRET), "{text:?} has the secret")),
        Err(Stop::Begin) => {}
        Err(Stop::Read(text)) => assert!(!text.contains(SECRET)),
        Err(Stop::Wrong(error)) => {
            let mut text = podgate::usage_message(&error).text;
            if is_planted() && text.contains("--linger") {
                text.push_str(SECRET);
            }
            assert!(!text.contains(SECRET), "{text:?} has the secret");
            assert!(!text.contains(char::is_control), "{text:?}");
            let named = [
                "--",
                "\"-",
                "PODGATE_",
                "CHECK",
                "TARGET",
                "podgate ",
                "the command",
            ];
            assert!(
                text.starts_with('-') || named.iter().any(|it| text.contains(it)),
                "{text:?} does not say what is wrong"
            );
        }
    }
}

trait Owned {
    fn into_vec_string(self) -> OsString;
}

impl Owned for Vec<u8> {
    fn into_vec_string(self) -> OsString {
        OsString::from_vec(self)
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|it| it == part)
}

/// Words and variables with a secret in a place where users put secrets.
fn planted(
    kind: u8,
    rest: &[u8],
    words: &mut Vec<OsString>,
    variables: &mut Vec<(OsString, OsString)>,
) {
    let joined = |parts: &[&[u8]]| OsString::from_vec(parts.concat());
    let secret = SECRET.as_bytes();
    let url = joined(&[b"http://user:", secret, b"@", rest]);
    let header = joined(&[b"X-Token: ", secret, rest]);
    match kind {
        b'H' => words.extend(["-H".into(), header]),
        b'h' => words.push(joined(&[b"--http-header=X-Token: ", secret, rest])),
        // No colon, or a colon that does not follow a header's name.
        b'b' => words.extend(["-H".into(), joined(&[rest, b" ", secret])]),
        b'K' => words.extend(["--quit-header".into(), header]),
        b'Y' => variables.push(("PODGATE_QUIT_HEADER".into(), header)),
        b'J' => words.push(joined(&[b"--http-bearer-token-file=eyJ", secret])),
        b'v' => variables.push(("PODGATE_HTTP_HEADER".into(), header)),
        // Without quotes.
        b'q' => words.extend(["-H".into(), "X-Token:".into(), SECRET.into()]),
        b'Q' => words.extend([
            "--http-header".into(),
            "Authorization:".into(),
            "Bearer".into(),
            SECRET.into(),
        ]),
        b'B' => words.extend(["-H".into(), "Authorization: Bearer".into(), SECRET.into()]),
        b'u' => words.push(url),
        // A password that should have been percent-encoded.
        b's' => words.push(joined(&[b"https://user:/", rest, secret, b"@host/"])),
        // A wrong scheme, or none. The text of an exec: check is shown as it is (see the
        // reference).
        b'n' if !rest.starts_with(b"exec:") => {
            words.push(joined(&[rest, b"user:", secret, b"@host:80"]))
        }
        b'e' => variables.push(("PODGATE_CHECKS".into(), url)),
        b'a' => words.extend(["--after".into(), url]),
        b'r' => variables.push(("PODGATE_READY".into(), url)),
        b't' => words.extend(["--quit".into(), url]),
        b'i' => words.extend(["--sidecar".into(), url]),
        // The option's own value was forgotten.
        b'T' => words.extend(["--timeout".into(), url]),
        b'N' => words.extend(["--until".into(), url]),
        b'd' => words.extend(["--dir".into(), url]),
        _ => words.push(joined(&[&[kind], rest])),
    }
}

/// Reads all of a call, as podgate does before it starts anything. Returns the texts that podgate
/// may print.
pub(crate) fn call(words: &[OsString], variables: Variables<'_>) -> Result<Vec<String>, Stop> {
    // The part of a wrong call that podgate still acts on.
    let mut shown = Vec::new();
    if let Some(end) = cli::salvage_end(words, variables)
        && let Some((quits, _)) = config::wrong_run(&end, variables).quits
    {
        shown.extend(quits.names());
    }
    let command = cli::parse(words, variables)?;
    shown.extend(read(&command, variables).map_err(Stop::Wrong)?);
    Ok(shown)
}

fn read(command: &Command, variables: Variables<'_>) -> Result<Vec<String>, UsageError> {
    Ok(match command {
        Command::Wait(args) => {
            let log = config::logging(&args.output, Some(&args.failure));
            gate(config::wait(args, variables)?, log.path())
        }
        Command::Check(args) => {
            let log = config::logging(&args.output, None);
            gate(config::check(args, variables)?, log.path())
        }
        Command::Run(args) => life(config::run(args, variables)?),
        Command::Join(args) => life(config::join(args, variables)?),
        Command::Quit(args) => config::quit(args, variables)?.0.names(),
        Command::Status(args) => {
            config::status(&args.dir)?;
            Vec::new()
        }
        // A wrong budget is a finding of doctor, which prints it too.
        Command::Doctor(args) => {
            config::budget(&args.budget)?;
            Vec::new()
        }
        Command::Reset(args) => {
            config::reset(args, variables)?;
            Vec::new()
        }
        Command::Install(args) => {
            config::install(args, variables)?;
            Vec::new()
        }
    })
}

fn names(checks: &[podgate::core::check::Check]) -> impl Iterator<Item = String> {
    checks.iter().map(|check| check.name.clone())
}

fn gate(settings: config::Settings, log: String) -> Vec<String> {
    assert_eq!(settings.gate.floors.len(), settings.checks.len());
    let checks = names(&settings.checks).chain(settings.skipped);
    checks.chain([log]).collect()
}

fn life(life: config::Life) -> Vec<String> {
    assert_eq!(life.members.len(), life.spec.relations.len());
    assert!(life.spec.margin < life.spec.grace);
    let quits = life.quits.iter().flat_map(config::Quitting::names);
    let skipped = life.skipped.iter().flat_map(|skipped| match skipped {
        Skipped::Gates(names) | Skipped::Quits(names) => names.clone(),
        Skipped::Members => Vec::new(),
    });
    let checks = names(&life.after).chain(names(&life.ready));
    checks.chain(quits).chain(skipped).collect()
}
