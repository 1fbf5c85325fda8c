//! Why an attempt did not pass, in words: the part of a message after the check's name and a colon,
//! as in `"tcp://db:5432": connection refused`.

use super::member;
use super::tls::trust_error;
use crate::core::duration::show;
use crate::core::errno::Errno;
use crate::core::exec_error::ExecError;
use crate::core::http::{MOST_HEADERS, MOST_LOCATION};
use crate::core::outcome::{BadAnswer, BadRedirect, NameError, Operation, Phase, Reason, TlsError};

/// Of a connect(2) to a unix socket: its backlog is full (unix(7)).
const EAGAIN: Errno = Errno(11);

pub fn text(reason: &Reason) -> String {
    match reason {
        Reason::Refused => "connection refused".to_owned(),
        Reason::Closed => "connection closed before an answer".to_owned(),
        Reason::Unresolved(error) => format!("the name cannot be resolved: {}", name_error(error)),
        Reason::TimedOut { phase, after, said } => {
            let phase = doing(*phase);
            with_output(&format!("timed out after {} {phase}", show(*after)), said)
        }
        Reason::Status(status) => format!("HTTP status {status}"),
        Reason::TooManyRedirects => "more than 10 redirects".to_owned(),
        Reason::BadRedirect(how) => format!("redirected {}", redirect(how)),
        Reason::BodyLacks(status) => format!(
            "HTTP status {status}, but the body does not contain the text of --http-body-contains"
        ),
        Reason::NotHttp(how) => format!("not an HTTP answer: {}", bad_answer(how)),
        Reason::UnknownIssuer => "the certificate is not signed by a trusted CA".to_owned(),
        Reason::WrongName => "the certificate is for another name".to_owned(),
        Reason::WrongTime => "the certificate has expired or is not valid yet".to_owned(),
        Reason::Tls(error) => format!("TLS handshake failed: {}", tls_error(error)),
        Reason::NotListening => "no process listens on this port".to_owned(),
        Reason::NoFile => "the path does not exist".to_owned(),
        Reason::ExitCode(code, line) => with_output(&format!("exit code {code}"), line),
        Reason::Killed(signal, line) => with_output(&format!("killed by signal {signal}"), line),
        Reason::NoCommand(name) => format!("command {name:?} not found"),
        Reason::NotExecutable(name, ExecError::NoResources(errno)) => {
            format!("cannot start {name:?}: {}", shortage(*errno))
        }
        Reason::NotExecutable(name, error) => format!("cannot execute {name:?}: {}", exec(*error)),
        Reason::Member(state) => member::state(state),
        Reason::System(Operation::Connect, EAGAIN) => {
            "cannot connect: the backlog of the socket is full".to_owned()
        }
        Reason::System(operation, errno) => {
            format!("cannot {}: {}", verb(*operation), errno.words())
        }
    }
}

/// What a person can do, except to wait longer.
pub fn remedy(reason: &Reason) -> &'static str {
    match reason {
        Reason::Refused | Reason::NotListening => {
            "is it running, and listening on this address and port?"
        }
        Reason::Closed | Reason::NotHttp(_) => {
            "check the port and the scheme, and the server's log"
        }
        Reason::Unresolved(NameError::NoName | NameError::NoAddress) => {
            "check the name, and the cluster's DNS"
        }
        Reason::Unresolved(NameError::Answered(..) | NameError::CannotAsk(..)) => {
            "check the cluster's DNS, and the name servers in /etc/resolv.conf"
        }
        Reason::TimedOut {
            phase: Phase::Resolving,
            ..
        } => "check the cluster's DNS: no name server in /etc/resolv.conf answered in time",
        Reason::TimedOut { .. } => "check the server's log, or raise --attempt-timeout",
        Reason::Status(_) => "check the server's log; --http-status sets which statuses pass",
        Reason::BodyLacks(_) => "check the server's answer and its log",
        Reason::TooManyRedirects | Reason::BadRedirect(_) => {
            "use the URL that answers without a redirect"
        }
        Reason::UnknownIssuer => {
            "set its CA with --tls-ca FILE, or accept any certificate with --tls-insecure"
        }
        Reason::WrongName => "set the name in the certificate with --tls-server-name",
        Reason::WrongTime => "renew the certificate, or check the clocks",
        Reason::Tls(_) => "check that this is a TLS port, and the server's log",
        Reason::NoFile => "check the log of the process that creates it",
        Reason::ExitCode(..) | Reason::Killed(..) => "run the command yourself to see the cause",
        Reason::NoCommand(name) => match one_word(name) {
            Some(hint) => hint,
            None => "use a command of this image, not of the sidecar's",
        },
        Reason::NotExecutable(_, ExecError::NoResources(errno)) => match limit(*errno) {
            Some(limit) => limit,
            None => "check the limits of this container",
        },
        Reason::NotExecutable(..) => "check its mode, its #! line and its architecture",
        Reason::Member(_) => "check podgate status, and that the name is the member's --name",
        Reason::System(Operation::Connect, _) => {
            "check the network and the limits of this container"
        }
        Reason::System(operation, errno) => match (limit(*errno), operation) {
            (Some(limit), _) => limit,
            (None, Operation::OpenInput) => {
                "this container needs a /dev/null that its user can read"
            }
            (None, _) => "check the network and the limits of this container",
        },
    }
}

/// The limit behind an error of a system call that makes a process, a thread or a descriptor.
pub const fn limit(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::EAGAIN => Some(
            "raise the limit on processes that is reached: pids.max of this container or its node, \
             or RLIMIT_NPROC of its user",
        ),
        Errno::EMFILE => Some("raise the limit on open files of this container (ulimit -n)"),
        Errno::ENFILE => Some("raise the limit on open files of this node (fs.file-max)"),
        _ => None,
    }
}

/// What the system lacks, in words.
pub fn shortage(errno: Errno) -> String {
    match errno {
        Errno::EAGAIN => "no more processes or threads are allowed (EAGAIN)".to_owned(),
        _ => errno.words(),
    }
}

fn name_error(error: &NameError) -> String {
    match error {
        NameError::NoName => "no such name".to_owned(),
        NameError::NoAddress => "no address".to_owned(),
        NameError::Answered(code, name) => {
            let code = match code {
                0 => "with a referral".to_owned(),
                1 => "FORMERR".to_owned(),
                2 => "SERVFAIL".to_owned(),
                4 => "NOTIMP".to_owned(),
                5 => "REFUSED".to_owned(),
                code => format!("with code {code}"),
            };
            format!("the name server answers {code} for {name:?}")
        }
        NameError::CannotAsk(server, errno) => {
            format!("cannot ask the name server {server}: {}", errno.words())
        }
    }
}

/// The hint about the name of a command that holds white space, or nothing: no shell splits it.
pub fn one_word(name: &str) -> Option<&'static str> {
    let trimmed = name.trim();
    if trimmed.is_empty() {
        Some("its name is empty: a variable may not be set")
    } else if trimmed.contains(char::is_whitespace) {
        Some(
            "the command and its arguments are one word here, and no shell splits it: give each as \
             a word of its own",
        )
    } else if trimmed.len() < name.len() {
        Some("its name begins or ends with white space, such as a line end: remove that")
    } else {
        None
    }
}

/// Where a redirect leads that cannot be followed.
fn redirect(how: &BadRedirect) -> String {
    match how {
        BadRedirect::TooLong(status) => format!(
            "({status}) to a URL of more than {} KiB",
            MOST_LOCATION / 1024
        ),
        BadRedirect::NotAUrl(status) => format!("({status}) to something that is not a URL"),
        BadRedirect::NoTrust(error) => format!("to https: {}", trust_error(error)),
    }
}

fn bad_answer(how: &BadAnswer) -> String {
    match how {
        BadAnswer::BrokenBody => "the body broke off".to_owned(),
        BadAnswer::LongHeaders => format!("headers of more than {} KiB", MOST_HEADERS / 1024),
        BadAnswer::Other(words) => words.clone(),
    }
}

fn tls_error(error: &TlsError) -> &str {
    match error {
        TlsError::NotTls => "the answer is not TLS",
        TlsError::NotAName => "the host is not a DNS name",
        TlsError::Other(words) => words,
    }
}

const fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Resolving => "while resolving the name",
        Phase::Connecting => "while connecting",
        Phase::Handshaking => "in the TLS handshake",
        Phase::Answer => "while waiting for the answer",
        Phase::Body => "while reading the body",
        Phase::Command => "while the command was running",
        Phase::Path => "while looking up the path",
    }
}

const fn verb(operation: Operation) -> &'static str {
    match operation {
        Operation::Resolve => "resolve the name",
        Operation::Connect => "connect",
        Operation::SendRequest => "send the request",
        Operation::LookUpPath => "look up the path",
        Operation::ListSockets => "read /proc/net/tcp",
        Operation::OpenInput => "open /dev/null for the command's input",
        Operation::OpenOutput => "make a pipe for the command's output",
    }
}

/// Why a command cannot be executed.
fn exec(error: ExecError) -> String {
    match error {
        ExecError::NotFound => "it does not exist".to_owned(),
        ExecError::NoInterpreter => {
            "its interpreter or dynamic loader is not in this image".to_owned()
        }
        ExecError::NotPermitted => "permission denied".to_owned(),
        ExecError::WrongFormat => "it is not a program for this machine".to_owned(),
        ExecError::Busy => "another process is writing the file".to_owned(),
        ExecError::NoResources(errno) => shortage(errno),
        ExecError::Other(errno) => errno.words(),
    }
}

/// Appends the last line that a command printed, if there is one.
fn with_output(text: &str, line: &str) -> String {
    if line.is_empty() {
        text.to_owned()
    } else {
        format!("{text}: {line}")
    }
}

#[cfg(test)]
mod tests {
    use super::{remedy, text};
    use crate::core::errno::Errno;
    use crate::core::exec_error::ExecError;
    use crate::core::outcome::{
        BadAnswer, BadRedirect, NameError, Operation, Phase, Reason, TlsError,
    };
    use crate::core::trust::TrustError;
    use nix::libc;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    #[test]
    fn a_reason_is_the_cause_after_the_name_of_a_check() {
        let timed_out = |phase, said: &str| Reason::TimedOut {
            phase,
            after: Duration::from_secs(1),
            said: said.to_owned(),
        };
        for (reason, expected) in [
            (Reason::Refused, "connection refused"),
            (Reason::Closed, "connection closed before an answer"),
            (
                Reason::Unresolved(NameError::NoName),
                "the name cannot be resolved: no such name",
            ),
            (
                Reason::Unresolved(NameError::NoAddress),
                "the name cannot be resolved: no address",
            ),
            (
                Reason::Unresolved(NameError::Answered(2, "db.corp.example".to_owned())),
                "the name cannot be resolved: the name server answers SERVFAIL for \
                 \"db.corp.example\"",
            ),
            (
                Reason::Unresolved(NameError::Answered(0, "db".to_owned())),
                "the name cannot be resolved: the name server answers with a referral for \"db\"",
            ),
            (
                Reason::Unresolved(NameError::Answered(16, "db".to_owned())),
                "the name cannot be resolved: the name server answers with code 16 for \"db\"",
            ),
            (
                Reason::Unresolved(NameError::CannotAsk(
                    Ipv4Addr::LOCALHOST.into(),
                    Errno(libc::ECONNREFUSED),
                )),
                "the name cannot be resolved: cannot ask the name server 127.0.0.1: connection \
                 refused",
            ),
            (
                timed_out(Phase::Resolving, ""),
                "timed out after 1s while resolving the name",
            ),
            (
                timed_out(Phase::Command, "no response"),
                "timed out after 1s while the command was running: no response",
            ),
            (Reason::Status(503), "HTTP status 503"),
            (
                Reason::BadRedirect(BadRedirect::TooLong(302)),
                "redirected (302) to a URL of more than 8 KiB",
            ),
            (
                Reason::BadRedirect(BadRedirect::NotAUrl(302)),
                "redirected (302) to something that is not a URL",
            ),
            (
                Reason::BodyLacks(200),
                "HTTP status 200, but the body does not contain the text of --http-body-contains",
            ),
            (Reason::ExitCode(2, String::new()), "exit code 2"),
            (
                Reason::ExitCode(2, "no response".to_owned()),
                "exit code 2: no response",
            ),
            (Reason::Killed(9, String::new()), "killed by signal 9"),
            (Reason::NoCommand("x".to_owned()), "command \"x\" not found"),
            (
                Reason::NotExecutable("/x".to_owned(), ExecError::NotPermitted),
                "cannot execute \"/x\": permission denied",
            ),
            (
                Reason::NotExecutable("x".to_owned(), ExecError::NoResources(Errno::EAGAIN)),
                "cannot start \"x\": no more processes or threads are allowed (EAGAIN)",
            ),
            (
                Reason::System(Operation::OpenInput, Errno::EACCES),
                "cannot open /dev/null for the command's input: permission denied",
            ),
            (
                Reason::System(Operation::LookUpPath, Errno::EACCES),
                "cannot look up the path: permission denied",
            ),
            (
                Reason::System(Operation::Connect, Errno(libc::EAGAIN)),
                "cannot connect: the backlog of the socket is full",
            ),
        ] {
            assert_eq!(text(&reason), expected);
        }
    }

    #[test]
    fn an_answer_that_is_not_http_or_not_tls_is_described() {
        let other = |words: &str| words.to_owned();
        for (reason, expected) in [
            (
                Reason::NotHttp(BadAnswer::BrokenBody),
                "not an HTTP answer: the body broke off",
            ),
            (
                Reason::NotHttp(BadAnswer::LongHeaders),
                "not an HTTP answer: headers of more than 64 KiB",
            ),
            (
                Reason::NotHttp(BadAnswer::Other(other("no status line"))),
                "not an HTTP answer: no status line",
            ),
            (
                Reason::Tls(TlsError::NotTls),
                "TLS handshake failed: the answer is not TLS",
            ),
            (
                Reason::Tls(TlsError::NotAName),
                "TLS handshake failed: the host is not a DNS name",
            ),
            (
                Reason::Tls(TlsError::Other(other("no shared cipher"))),
                "TLS handshake failed: no shared cipher",
            ),
        ] {
            assert_eq!(text(&reason), expected);
        }
        let redirect = text(&Reason::BadRedirect(BadRedirect::NoTrust(
            TrustError::NoTls,
        )));
        assert!(redirect.starts_with("redirected to https: this build of podgate has no TLS"));
    }

    #[test]
    fn a_remedy_is_about_the_reason() {
        let timed_out = |phase| Reason::TimedOut {
            phase,
            after: Duration::from_secs(1),
            said: String::new(),
        };
        for (reason, part) in [
            (Reason::Refused, "listening on this address and port?"),
            (Reason::NotListening, "listening on this address and port?"),
            (Reason::Status(503), "--http-status"),
            (Reason::UnknownIssuer, "--tls-ca FILE"),
            (Reason::WrongName, "--tls-server-name"),
            (Reason::NoCommand("x".to_owned()), "of this image"),
            (Reason::Unresolved(NameError::NoName), "DNS"),
            (
                Reason::Unresolved(NameError::Answered(2, String::new())),
                "DNS",
            ),
            (timed_out(Phase::Resolving), "DNS"),
            (timed_out(Phase::Connecting), "--attempt-timeout"),
            (Reason::NoCommand("x -v".to_owned()), "a word of its own"),
            (
                Reason::NotExecutable("x".to_owned(), ExecError::NoResources(Errno::EAGAIN)),
                "pids.max",
            ),
            (
                Reason::System(Operation::OpenOutput, Errno::EMFILE),
                "ulimit -n",
            ),
            (
                Reason::System(Operation::OpenInput, Errno::ENOENT),
                "needs a /dev/null",
            ),
            (
                Reason::System(Operation::Connect, Errno(libc::EAGAIN)),
                "check the network",
            ),
        ] {
            assert!(remedy(&reason).contains(part), "{reason:?}");
        }
    }
}
