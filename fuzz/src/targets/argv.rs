//! The command line and the variables. Every call is either valid or refused with an error on one
//! line that names the wrong option. No error shows the value of a header or the user info of a
//! URL.
//!
//! An input is words, separated by NUL. A word that begins with `$` is a variable: `$TIMEOUT=5s`
//! sets PODGATE_TIMEOUT. A word that begins with `@@` and a letter stands for words with a secret
//! in a place where users put secrets ([`planted`]). Every other word is used as it is.

use super::SECRET;
use crate::input::{set, unset};
use crate::is_planted;
use podgate::cli::{self, Command, Stop, Typed};
use podgate::config;
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
    for (name, value) in &variables {
        set(name, value);
    }
    let read = call(words);
    for (name, _) in &variables {
        unset(name);
    }
    match read {
        Ok(shown) => shown
            .iter()
            .for_each(|text| assert!(!text.contains(SECRET), "{text:?} has the secret")),
        Err(Stop::Read(text) | Stop::Begin(text)) => assert!(!text.contains(SECRET)),
        Err(Stop::Wrong(mut text)) => {
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
        b'v' => variables.push(("PODGATE_HTTP_HEADER".into(), header)),
        // Without quotes.
        b'q' => words.extend(["-H".into(), "X-Token:".into(), SECRET.into()]),
        b'Q' => words.extend([
            "--http-header".into(),
            "Authorization:".into(),
            "Bearer".into(),
            SECRET.into(),
        ]),
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
pub(crate) fn call(words: Vec<OsString>) -> Result<Vec<String>, Stop> {
    if let Some(typed) = cli::gist(words.clone()) {
        let _ = config::life::identity(&typed);
    }
    let typed = cli::parse(words)?;
    let logging = config::logging(&typed)?;
    let mut shown = vec![logging.path()];
    // --tls-ca is not read: this build has no TLS, which would open the file.
    shown.extend(read(&typed)?);
    Ok(shown)
}

fn read(typed: &Typed) -> Result<Vec<String>, Stop> {
    let names = |checks: &[podgate::core::check::Check]| {
        checks.iter().map(|it| it.name.clone()).collect::<Vec<_>>()
    };
    Ok(match typed.command {
        Command::Wait | Command::Check => {
            let read = config::read(typed)?;
            assert_eq!(read.gate.floors.len(), read.checks.len());
            names(&read.checks)
                .into_iter()
                .chain(read.skipped)
                .collect()
        }
        Command::Run | Command::Join => {
            let life = config::life::life(typed)?;
            assert_eq!(life.members.len(), life.spec.relations.len());
            assert!(life.spec.margin < life.spec.grace);
            let quits = life.quits.iter().flat_map(config::Quitting::names);
            names(&life.after)
                .into_iter()
                .chain(names(&life.ready))
                .chain(quits)
                .chain(life.skipped.clone())
                .collect()
        }
        Command::Quit => config::quitting(typed)?.0.names(),
        Command::Status => {
            config::is_on(typed, "json")?;
            config::place(typed)?;
            Vec::new()
        }
        Command::Doctor => {
            config::place(typed)?;
            // A wrong budget is a finding of doctor, which prints it too.
            match config::budget(typed)? {
                Ok(_) => Vec::new(),
                Err(stop) => return Err(stop),
            }
        }
        Command::Install => Vec::new(),
    })
}
