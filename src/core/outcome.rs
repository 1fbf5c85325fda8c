//! How an attempt of a check ends. A refused connection is an outcome with a reason and not an
//! error, as in Kubernetes' `pkg/probe`.
//!
//! After *not yet* the check is tried again; *never* ends the gate. `message::reason` puts reasons
//! into words.

use super::errno::Errno;
use super::exec_error::ExecError;
use super::member::Name;
use super::observation::End;
use super::protocol::Protocol;
use super::record::Unreadable;
use super::token::TokenError;
use super::trust::TrustError;
use super::x509::UnknownKey;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    /// The check does not pass now. It may pass later.
    NotYet(Reason),
    /// The check does not pass, and another attempt cannot help.
    Never(Reason),
}

/// What an attempt was doing when its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Asking the name servers for the host's addresses.
    Resolving,
    /// Waiting for the connection to be accepted.
    Connecting,
    /// In the TLS handshake.
    Handshaking,
    /// Waiting for the status line and the headers.
    Answer,
    /// Reading the body.
    Body,
    /// Waiting for a command to end.
    Command,
    /// Looking up a path.
    Path,
}

/// Why an attempt did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// No process listens there.
    Refused,
    /// The other side closed or reset the connection before it answered.
    Closed,
    /// The server closed the connection after the TLS handshake and before an answer.
    ClosedAfterHandshake,
    /// The host has no address.
    Unresolved(NameError),
    /// The attempt's time was over.
    TimedOut {
        phase: Phase,
        /// How long the attempt had.
        after: Duration,
        /// The last line that a command printed. Empty if there was none.
        said: String,
    },
    /// An HTTP answer with a status that does not pass.
    Status(u16),
    /// An HTTP answer with a status that does not pass, by which an https port refuses http.
    HttpsPort(u16),
    /// An eleventh redirect.
    TooManyRedirects,
    /// A redirect that cannot be followed.
    BadRedirect(BadRedirect),
    /// The status passes, but the body lacks the text of `--http-body-contains`.
    BodyLacks(u16),
    NotHttp(BadAnswer),
    /// A check of this database protocol does not pass.
    Database(Protocol, DatabaseAnswer),
    /// A gRPC health check was not answered by SERVING.
    Grpc(GrpcAnswer),
    /// No trusted CA has signed the server's certificate.
    UnknownIssuer,
    /// The server's certificate is for other names: these. It may have none.
    WrongName(Vec<String>),
    /// The server's certificate has expired, or is not valid yet.
    WrongTime,
    /// The server's certificate cannot be verified otherwise.
    Certificate(BadCertificate),
    /// The TLS handshake failed otherwise.
    Tls(TlsError),
    /// No process listens on the port.
    NotListening,
    /// The path does not exist.
    NoFile,
    /// The file is empty.
    NoContent,
    /// The path is not a file, and the check asks for one with content.
    NotAFile,
    /// CMD has not sent `READY=1`.
    NotNotified,
    /// The command ended with this code, and the last line that it printed.
    ExitCode(i32, String),
    /// The command was killed by this signal, and the last line that it printed.
    Killed(i32, String),
    /// There is no such command.
    NoCommand(String),
    /// The command with this name cannot be executed.
    NotExecutable(String, ExecError),
    /// A member of the pod is not as the check asks.
    Member(MemberState),
    /// The file at this path, which `--http-bearer-token-file` names, holds no token.
    Token(PathBuf, TokenError),
    /// A system call failed.
    System(Operation, Errno),
    /// The check after `not:` passes.
    StillHolds,
}

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameError {
    /// The name does not exist, with any domain of the search list.
    NoName,
    /// The name exists, and has no address.
    NoAddress,
    /// The name servers answered with this code (RFC 1035, 4.1.1) when they were asked for this
    /// name. 0: a server knows nothing of the name and asks no other server about it.
    Answered(u8, String),
    /// This name server cannot be asked.
    CannotAsk(IpAddr, Errno),
}

/// Why a redirect cannot be followed. The number is the status of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadRedirect {
    /// The URL is longer than [`super::http::MOST_LOCATION`].
    TooLong(u16),
    /// It does not lead to a URL that podgate can use.
    NotAUrl(u16),
    /// It leads to https, where no server can be verified.
    NoTrust(TrustError),
}

/// In what way an answer is not HTTP, as Go's net/http reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadAnswer {
    /// The server speaks another protocol.
    Speaks(Protocol),
    /// The beginning of a first line that is not a status line.
    Text(String),
    /// The first bytes, in hexadecimal digits, of an answer that is not text.
    Bytes(String),
    /// A header line without a colon, with a forbidden character, or folded where none can be.
    HeaderLine,
    /// More than one Transfer-Encoding, or another one than `chunked`.
    TransferEncoding,
    /// A Content-Length that is not one number.
    ContentLength,
    /// Malformed chunks of the body, or a malformed trailer.
    Chunks,
    /// The connection ended in the middle of the headers.
    BrokenHead,
    /// The connection ended before the body was complete.
    BrokenBody,
    /// The headers are longer than `http::MOST_HEADERS`.
    LongHeaders,
    /// The words of the HTTP library.
    Other(String),
}

/// Why a check of a database does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseAnswer {
    /// The server answers in these words that it does not accept the connection. Only this shows
    /// that the check does not hold; the others cannot tell.
    Refuses(String),
    /// The server speaks this version of the protocol, which is not known here.
    Version(u8),
    /// The answer is of another protocol, or malformed.
    Bad(BadAnswer),
    /// The server, or a proxy before it, closed the connection and gave no reason.
    Closed,
}

/// What a gRPC health check got instead of SERVING.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrpcAnswer {
    /// The health service answered, and the status is not SERVING.
    NotServing(ServingStatus),
    /// A grpc-status other than 0 (OK), and its message.
    Status(u32, String),
    /// An HTTP/2 answer with a status other than 200, and without a grpc-status.
    HttpStatus(u16),
    /// The server speaks HTTP/1.1, and answers with this status.
    Http1(u16),
    /// The answer is not HTTP/2.
    NotHttp2(BadAnswer),
    /// An HTTP answer with this content-type. Empty if it has none.
    ContentType(String),
    /// The answer ended without a grpc-status.
    NoStatus,
    /// The grpc-status is 0 (OK), and the message cannot be read.
    Message(BadMessage),
    /// The server reset the stream with this error code (RFC 9113, 7).
    Reset(u32),
    /// The server closed the connection with this error code, and its own words.
    GoAway(u32, String),
    /// The server breaks a rule of HTTP/2: the error code for that, and the kind of the frame.
    Broken { code: u32, frame: u8 },
    /// The answer is longer than [`super::grpc::MOST_BYTES`].
    TooLong,
    /// The server closed the connection before the answer was complete.
    Closed,
}

impl GrpcAnswer {
    /// Whether the health check definitely does not hold: the server, or the proxy before it, says
    /// that it does not serve. Otherwise nobody can tell. 1 CANCELLED, 4 DEADLINE_EXCEEDED, 7
    /// PERMISSION_DENIED and 16 UNAUTHENTICATED, and 401, 403 and 407, are not about the service.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::NotServing(_) => true,
            Self::Status(status, _) => !matches!(*status, 1 | 4 | 7 | 16),
            Self::HttpStatus(status) => !matches!(*status, 401 | 403 | 407),
            Self::Http1(_)
            | Self::NotHttp2(_)
            | Self::ContentType(_)
            | Self::NoStatus
            | Self::Message(_)
            | Self::Reset(_)
            | Self::GoAway(..)
            | Self::Broken { .. }
            | Self::TooLong
            | Self::Closed => false,
        }
    }
}

/// A status of health.proto other than SERVING.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServingStatus {
    Unknown,
    NotServing,
    ServiceUnknown,
    /// A number that health.proto does not have.
    Other(i32),
}

/// Why the message of an answer cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadMessage {
    /// There is none.
    Missing,
    /// It is compressed, although podgate accepts no compression.
    Compressed,
    /// It is not exactly one HealthCheckResponse.
    Malformed,
}

/// Why a server's certificate cannot be verified, although a trusted CA may have signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadCertificate {
    /// It is X.509 version 1 or 2.
    Version(u8),
    /// Its DER is malformed.
    Malformed,
    /// It has a critical extension that is not known here.
    CriticalExtension,
    /// Its extended key usage is not that of a server.
    Purpose,
    /// A CA is not allowed to sign for its names.
    NameConstraint,
    /// A CA in the chain is not allowed so many CAs below it.
    PathLength,
    /// An issuer in the chain is not a CA.
    IssuerNotCa,
    /// The CA that is trusted has the name of its issuer, and another key.
    Signature,
    /// It, or an issuer, is signed by this algorithm, which is not verified here.
    Algorithm(&'static str),
    /// It, or an issuer, has a key whose signatures cannot be verified here.
    Key(UnknownKey),
    /// The words of the TLS library.
    Other(String),
}

/// Why a TLS handshake failed, other than by the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsError {
    /// The server does not answer with TLS. The protocol, if it is known.
    NotTls(Option<Protocol>),
    /// The host of the URL, or `--tls-server-name`, cannot be in a certificate.
    NotAName,
    /// The server closed the connection.
    Closed,
    /// The server has nothing in common with what podgate speaks.
    Refused,
    /// The server speaks only TLS 1.1 or an older version.
    OldVersion,
    /// The server does not speak HTTP/1.1.
    NotHttp1,
    /// The server does not speak HTTP/2, as gRPC needs it.
    NotHttp2,
    /// The server wants a certificate of its client.
    WantsCertificate,
    /// The server ended the handshake with this alert after it got the certificate of `--tls-cert`.
    CertificateRefused(String),
    /// The server has no certificate for the name that it was asked for.
    UnknownName,
    /// The server ended the handshake with this alert.
    Alert(String),
    /// The words of the TLS library.
    Other(String),
}

/// What a system call of an attempt was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Resolve,
    Connect,
    LookUpPath,
    /// Read `/proc/net/tcp` and `tcp6`.
    ListSockets,
    /// Open `/dev/null`, the input of a command.
    OpenInput,
    /// Make the pipe for the output of a command.
    OpenOutput,
}

/// The state of a member that is not as a check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberState {
    /// There is no shared volume on which to see members.
    NoVolume,
    /// The volume cannot be read at the moment.
    Unknown,
    /// No member of this name was seen. The name may be wrong, so others are listed.
    Absent {
        seen: Vec<Name>,
        /// There are more names than those in `seen`.
        has_more: bool,
    },
    /// The record at this path is from another host, so another pod wrote it.
    OtherHost(PathBuf, String),
    /// The record at this path cannot be used.
    Unreadable(PathBuf, Unreadable),
    /// It is alive, and has not published how far it is.
    Starting,
    /// It is alive, and its own gate has not opened yet.
    Waiting,
    /// It is alive, and is not ready.
    Running,
    /// It is alive and ready, and the check asks for its success.
    Ready,
    /// It is alive, and the check asks for its end.
    Alive,
    /// The same, and only its socket shows that: its lock is free.
    AliveWithoutLock,
    Ended(End),
}

/// Whether a change that may let a check pass is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Never: an attempt is the only way to know.
    Asked,
    /// The kernel reports it. Attempts are a safety net.
    Watched,
    /// Every change is reported, so no attempt is made without one.
    Reported,
    /// The kernel should report it and cannot: an attempt at least every 100 ms (P6.5).
    Unwatched,
}

/// Makes text from outside safe for one line of a log or a terminal: control characters become
/// spaces, and the end is cut off after about `longest` bytes.
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
    matches!(
        letter,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}'
            | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::{GrpcAnswer, ServingStatus, one_line};

    #[test]
    fn only_an_answer_about_the_service_is_a_refusal() {
        for (answer, expected) in [
            (GrpcAnswer::NotServing(ServingStatus::NotServing), true),
            (GrpcAnswer::Status(5, String::new()), true),
            (GrpcAnswer::Status(14, String::new()), true),
            (GrpcAnswer::Status(16, String::new()), false),
            (GrpcAnswer::HttpStatus(503), true),
            (GrpcAnswer::HttpStatus(403), false),
            (GrpcAnswer::Http1(404), false),
            (GrpcAnswer::Closed, false),
        ] {
            assert_eq!(answer.is_refusal(), expected, "{answer:?}");
        }
    }

    #[test]
    fn text_from_outside_cannot_control_the_terminal() {
        assert_eq!(one_line("a\u{1b}[31mb\nc\r\n", 100), "a [31mb c");
        assert_eq!(one_line("abcdef", 3), "abc…");
    }
}
