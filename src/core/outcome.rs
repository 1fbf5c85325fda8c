//! How an attempt ends. A refused connection is an outcome with a reason, not an error (as in Kubernetes' `pkg/probe`).
//!
//! The difference between *not yet* and *never* matters everywhere: the first is tried again, the second ends the gate.

use super::duration;
use std::fmt;
use std::time::Duration;

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The check holds.
    Pass,
    /// It does not hold; it may later.
    NotYet(Reason),
    /// It does not hold, and trying again cannot help.
    Never(Reason),
}

/// What an attempt was doing when its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Asking the resolver for the host's addresses.
    Resolving,
    /// Waiting for the connection to be accepted.
    Connecting,
    /// In the TLS handshake.
    Handshaking,
    /// Waiting for the status line and headers.
    Answer,
    /// Reading the body.
    Body,
    /// Waiting for a command to end.
    Command,
    /// Looking at a path.
    Path,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolving => "its name was not resolved",
            Self::Connecting => "no connection",
            Self::Handshaking => "the TLS handshake did not end",
            Self::Answer => "no complete answer",
            Self::Body => "the body did not end",
            Self::Command => "the command did not end",
            Self::Path => "its file system did not answer",
        })
    }
}

/// Why an attempt did not pass. Prints as the end of a sentence whose subject is the check: `"tcp://db:5432" refused the connection`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "some are about TLS"))]
pub enum Reason {
    /// Nobody listens there.
    Refused,
    /// The other side closed or reset the connection before it answered.
    Closed,
    /// The resolver knows no such name, or could not be asked.
    Unresolved(String),
    /// The attempt's time was over.
    TimedOut {
        /// What it was doing.
        phase: Phase,
        /// How long it had.
        after: Duration,
        /// What it said last, if it says anything.
        said: String,
    },
    /// An HTTP answer with a status that does not pass.
    Status(u16),
    /// An eleventh redirect.
    TooManyRedirects,
    /// A redirect that cannot be followed; the text says where and why.
    BadRedirect(String),
    /// The status passes, but the body lacks the text of `--http-body-contains`.
    BodyLacks(u16),
    /// What came is no HTTP answer; the text says in what way.
    NotHttp(String),
    /// No trusted CA has signed the server's certificate.
    UnknownIssuer,
    /// The server's certificate is for other names.
    WrongName,
    /// The server's certificate has expired, or is not valid yet.
    WrongTime,
    /// The TLS handshake failed otherwise.
    Tls(String),
    /// No process listens on the port.
    NotListening,
    /// The path does not exist.
    NoFile,
    /// The command ended with this code; the last line that it printed.
    ExitCode(i32, String),
    /// The command was killed by this signal; the last line that it printed.
    Killed(i32, String),
    /// There is no such command.
    NoCommand(String),
    /// The command cannot be executed: name and cause.
    NotExecutable(String, String),
    /// A member of the pod is not as it should be; the text says how it is.
    Member(String),
    /// A system call failed: what it was for, and the error.
    System(&'static str, String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused the connection"),
            Self::Closed => f.write_str("closed the connection before it answered"),
            Self::Unresolved(cause) => write!(f, "cannot be resolved: {cause}"),
            Self::TimedOut { phase, after, said } => {
                write!(
                    f,
                    "did not pass within {}: {phase}{}",
                    duration::show(*after),
                    Said(said)
                )
            }
            Self::Status(status) => write!(f, "answered {status}"),
            Self::TooManyRedirects => f.write_str("redirected more than 10 times"),
            Self::BadRedirect(how) => write!(f, "redirected {how}"),
            Self::BodyLacks(status) => {
                write!(
                    f,
                    "answered {status}, but its body lacks the text of --http-body-contains"
                )
            }
            Self::NotHttp(how) => write!(f, "gave no HTTP answer: {how}"),
            Self::UnknownIssuer => f.write_str("has a certificate that no trusted CA has signed"),
            Self::WrongName => f.write_str("has a certificate for another name"),
            Self::WrongTime => {
                f.write_str("has a certificate that has expired or is not valid yet")
            }
            Self::Tls(cause) => write!(f, "failed the TLS handshake: {cause}"),
            Self::NotListening => f.write_str("has no listener"),
            Self::NoFile => f.write_str("does not exist"),
            Self::ExitCode(code, line) => write!(f, "exited {code}{}", Said(line)),
            Self::Killed(signal, line) => write!(f, "was killed by signal {signal}{}", Said(line)),
            Self::NoCommand(name) => write!(f, "names a command that does not exist: {name:?}"),
            Self::NotExecutable(name, cause) => {
                write!(
                    f,
                    "names a command that cannot be executed: {name:?}: {cause}"
                )
            }
            Self::Member(how) => f.write_str(how),
            Self::System(doing, cause) => write!(f, "cannot be {doing}: {cause}"),
        }
    }
}

impl Reason {
    /// What a person can do about it, besides waiting longer: the end of a failure's last line.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Refused | Self::NotListening => {
                "see whether it is started, and listens on that address and port"
            }
            Self::Closed | Self::NotHttp(_) => {
                "see whether port and scheme are right, and the server's log"
            }
            Self::Unresolved(_) => "see whether the name is right, and the cluster's DNS",
            Self::TimedOut { .. } => "raise --attempt-timeout, or see the server's log",
            Self::Status(_) => "see the server's log; --http-status says what passes",
            Self::BodyLacks(_) => "see what the server answers, and its log",
            Self::TooManyRedirects | Self::BadRedirect(_) => "name the URL that answers by itself",
            Self::UnknownIssuer => {
                "name its CA with --tls-ca FILE, or accept any certificate with --tls-insecure"
            }
            Self::WrongName => "name the host that the certificate is for with --tls-server-name",
            Self::WrongTime => "renew it, or see the clocks",
            Self::Tls(_) => "see whether this is a TLS port, and the server's log",
            Self::NoFile => "see the log of what should make it",
            Self::ExitCode(..) | Self::Killed(..) => "run the command by hand",
            Self::NoCommand(_) => "name a command that is in this image (not in the sidecar's)",
            Self::NotExecutable(..) => "see its mode, its #! line and its architecture",
            Self::Member(_) => "see podgate status, and whether the name is the member's --name",
            Self::System(..) => "see to the cause",
        }
    }
}

/// The last line that a command printed, if it printed any.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.0)
        }
    }
}

/// Makes text from outside safe for one line of a log or a terminal: control characters become spaces, the end is cut.
pub fn one_line(text: &str, longest: usize) -> String {
    let mut line = String::new();
    for letter in text.trim().chars() {
        if line.len() >= longest {
            line.push('…');
            break;
        }
        line.push(if letter.is_control() || is_direction(letter) {
            ' '
        } else {
            letter
        });
    }
    line
}

/// Characters that make a terminal show a line in another order than it is written in.
const fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{Phase, Reason, one_line};
    use std::time::Duration;

    #[test]
    fn reasons_end_a_sentence_about_the_check() {
        let timed_out = Reason::TimedOut {
            phase: Phase::Resolving,
            after: Duration::from_secs(1),
            said: String::new(),
        };
        assert_eq!(
            timed_out.to_string(),
            "did not pass within 1s: its name was not resolved"
        );
        assert_eq!(Reason::ExitCode(2, String::new()).to_string(), "exited 2");
        assert_eq!(
            Reason::ExitCode(2, "no response".to_owned()).to_string(),
            "exited 2: no response"
        );
        assert_eq!(
            Reason::System("opened", "EACCES".to_owned()).to_string(),
            "cannot be opened: EACCES"
        );
    }

    #[test]
    fn text_from_outside_cannot_drive_the_terminal() {
        assert_eq!(one_line("a\u{1b}[31mb\nc\r\n", 100), "a [31mb c");
        assert_eq!(one_line("abcdef", 3), "abc…");
    }
}
