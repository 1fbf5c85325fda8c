//! Why an attempt did not pass, in words: the part of a message after the check's name and a colon,
//! as in `"tcp://db:5432": connection refused`.

use super::member;
use super::tls::trust_error;
use super::volume::SHARE_LOCKS;
use crate::core::duration::show;
use crate::core::errno::Errno;
use crate::core::exec_error::ExecError;
use crate::core::http::{MOST_HEADERS, MOST_LOCATION};
use crate::core::outcome::{
    BadAnswer, BadCertificate, BadMessage, BadRedirect, DatabaseAnswer, GrpcAnswer, MemberState,
    NameError, Operation, Phase, Reason, ServingStatus, TlsError,
};
use crate::core::protocol::Protocol;
use crate::core::record::Unreadable;
use crate::core::redact;
use crate::core::token::{MOST_TOKEN, TokenError};
use crate::core::x509::UnknownKey;

/// Of a connect(2) to a unix socket: its backlog is full (unix(7)).
const EAGAIN: Errno = Errno(11);

pub fn text(reason: &Reason) -> String {
    match reason {
        Reason::Refused => "connection refused".to_owned(),
        Reason::Closed => "connection closed before an answer".to_owned(),
        Reason::ClosedAfterHandshake => {
            "connection closed after the TLS handshake, before an answer".to_owned()
        }
        Reason::Unresolved(error) => format!("the name cannot be resolved: {}", name_error(error)),
        Reason::TimedOut { phase, after, said } => {
            let phase = doing(*phase);
            with_output(&format!("timed out after {} {phase}", show(*after)), said)
        }
        Reason::Status(status) => format!("HTTP status {status}"),
        Reason::HttpsPort(status) => format!("HTTP status {status}: this port is for https"),
        Reason::TooManyRedirects => "more than 10 redirects".to_owned(),
        Reason::BadRedirect(how) => format!("redirected {}", redirect(how)),
        Reason::BodyLacks(status) => format!(
            "HTTP status {status}, but the body does not contain the text of --http-body-contains"
        ),
        Reason::NotHttp(how @ (BadAnswer::BrokenHead | BadAnswer::BrokenBody)) => {
            format!("the answer is not complete: {}", bad_answer(how))
        }
        Reason::NotHttp(how) => format!("not an HTTP answer: {}", bad_answer(how)),
        Reason::Database(protocol, how) => database(*protocol, how),
        Reason::Grpc(answer) => grpc_answer(answer),
        Reason::UnknownIssuer => "the certificate is not signed by a trusted CA".to_owned(),
        Reason::WrongName(names) if names.is_empty() => {
            "the certificate is for no name: it has no subjectAltName".to_owned()
        }
        Reason::WrongName(names) => {
            format!("the certificate is for another name: {}", names.join(", "))
        }
        Reason::WrongTime => "the certificate has expired or is not valid yet".to_owned(),
        Reason::Certificate(how) => bad_certificate(how),
        Reason::Tls(error) => format!("TLS handshake failed: {}", tls_error(error)),
        Reason::NotListening => "no process listens on this port".to_owned(),
        Reason::NoFile => "the path does not exist".to_owned(),
        Reason::NoContent => "the file is empty".to_owned(),
        Reason::NotAFile => "the path is not a file".to_owned(),
        Reason::NotNotified => "the command has not sent READY=1".to_owned(),
        Reason::ExitCode(code, line) => with_output(&format!("exit code {code}"), line),
        Reason::Killed(signal, line) => with_output(&format!("killed by signal {signal}"), line),
        Reason::NoCommand(name) => format!("command {name:?} not found"),
        Reason::NotExecutable(name, ExecError::NoResources(errno)) => {
            format!("cannot start {name:?}: {}", shortage(*errno))
        }
        Reason::NotExecutable(name, error) => format!("cannot execute {name:?}: {}", exec(*error)),
        Reason::Member(state) => member::state(state),
        Reason::Token(path, error) => {
            let path = redact::value(&path.to_string_lossy());
            format!("no bearer token in {path:?}: {}", token_error(*error))
        }
        Reason::System(Operation::Connect, EAGAIN) => {
            "cannot connect: the backlog of the socket is full".to_owned()
        }
        Reason::System(operation, errno) => {
            format!("cannot {}: {}", verb(*operation), errno.words())
        }
        Reason::StillHolds => "it still holds".to_owned(),
    }
}

/// What a person can do, except to wait longer.
pub fn remedy(reason: &Reason) -> &'static str {
    match reason {
        Reason::Refused | Reason::NotListening => {
            "is it running, and listening on this address and port?"
        }
        Reason::Closed => {
            "check the port and the scheme, and the server's log; a server of TLS (use https://), \
             Redis, PostgreSQL or another protocol (use tcp://) closes so, too"
        }
        Reason::NotHttp(how) => not_http(how),
        Reason::Database(_, how) => database_remedy(how),
        Reason::Grpc(answer) => grpc_remedy(answer),
        Reason::HttpsPort(_) => "use https://",
        Reason::ClosedAfterHandshake => {
            "a server that speaks only HTTP/2, or wants a client certificate (--tls-cert), does \
             this; check its log, or use tcp://"
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
        Reason::TimedOut {
            phase: Phase::Command,
            ..
        } => "see why the command takes longer, or raise --attempt-timeout",
        Reason::TimedOut { .. } => "check the server's log, or raise --attempt-timeout",
        Reason::Status(_) => "check the server's log; --http-status sets which statuses pass",
        Reason::BodyLacks(_) => "check the server's answer and its log",
        Reason::TooManyRedirects | Reason::BadRedirect(_) => {
            "use the URL that answers without a redirect"
        }
        Reason::UnknownIssuer => {
            "set its CA with --tls-ca FILE, or accept any certificate with --tls-insecure"
        }
        Reason::WrongName(names) if names.is_empty() => {
            "issue it with the server's name as a subjectAltName, or accept any certificate with \
             --tls-insecure"
        }
        Reason::WrongName(_) => "set the name in the certificate with --tls-server-name",
        Reason::WrongTime => "renew the certificate, or check the clocks",
        Reason::Certificate(how) => certificate_remedy(how),
        Reason::Tls(error) => tls_remedy(error),
        Reason::NoFile | Reason::NoContent => "check the log of the process that creates it",
        Reason::NotAFile => "use file:// for a path of any kind",
        Reason::NotNotified => "does it support sd_notify, as for systemd's Type=notify?",
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
        Reason::Member(state) => member_remedy(state),
        Reason::Token(_, error) => token_remedy(*error),
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
        Reason::StillHolds => "check that something stops or removes it",
    }
}

const fn member_remedy(state: &MemberState) -> &'static str {
    match state {
        MemberState::NoVolume => "set --dir to the volume of the members",
        MemberState::Unknown => "check the volume with podgate doctor",
        MemberState::Absent { .. } => {
            "check podgate status, and that the name is the member's --name"
        }
        MemberState::OtherHost(..) => "give every pod its own volume",
        MemberState::Unreadable(_, Unreadable::System(_)) => "check that this user may read it",
        MemberState::Unreadable(..) => "see which container writes there",
        MemberState::Starting | MemberState::Waiting => "see in its log what it waits for",
        MemberState::Running => "see in its log why it is not ready",
        MemberState::Ready | MemberState::Alive => "see in its log why it has not ended",
        MemberState::AliveWithoutLock => SHARE_LOCKS,
        MemberState::Ended(_) => "see in its log why it ended",
    }
}

fn token_error(error: TokenError) -> String {
    match error {
        TokenError::System(errno) => errno.words(),
        TokenError::NotAFile => "not a regular file".to_owned(),
        TokenError::Empty => "the file is empty".to_owned(),
        TokenError::TooLong => format!("the file is longer than {} KiB", MOST_TOKEN / 1024),
        TokenError::BadCharacter => {
            "it holds white space, a control character, or one that is not ASCII".to_owned()
        }
    }
}

const fn token_remedy(error: TokenError) -> &'static str {
    match error {
        TokenError::System(_) | TokenError::NotAFile | TokenError::Empty => {
            "mount the token into this container, readable for its user, and set its path with \
             --http-bearer-token-file"
        }
        TokenError::TooLong | TokenError::BadCharacter => {
            "the file must hold only the token, without Bearer before it"
        }
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
        BadAnswer::Speaks(protocol) => format!("the server speaks {}", speaks(*protocol)),
        BadAnswer::Text(text) => format!("it begins with {text:?}"),
        BadAnswer::Bytes(bytes) => format!("it begins with the bytes {bytes}"),
        BadAnswer::HeaderLine => "a malformed header line".to_owned(),
        BadAnswer::TransferEncoding => "a Transfer-Encoding that is not just chunked".to_owned(),
        BadAnswer::ContentLength => "a Content-Length that is not one number".to_owned(),
        BadAnswer::Chunks => "malformed chunks".to_owned(),
        BadAnswer::BrokenHead => "the headers broke off".to_owned(),
        BadAnswer::BrokenBody => "the body broke off".to_owned(),
        BadAnswer::LongHeaders => format!("headers of more than {} KiB", MOST_HEADERS / 1024),
        BadAnswer::Other(words) => words.clone(),
    }
}

const fn not_http(how: &BadAnswer) -> &'static str {
    match how {
        BadAnswer::Speaks(Protocol::Tls) => "use https://",
        BadAnswer::Speaks(Protocol::Http2) => {
            "podgate speaks HTTP/1.1; use a port that does, or a tcp:// or exec: check"
        }
        BadAnswer::Speaks(_) => "use a tcp:// check, or an exec: check with its own client",
        BadAnswer::HeaderLine
        | BadAnswer::TransferEncoding
        | BadAnswer::ContentLength
        | BadAnswer::Chunks => "mend the server: the kubelet refuses such an answer, too",
        BadAnswer::BrokenHead | BadAnswer::BrokenBody => {
            "check the server's log: it closed the connection too early"
        }
        BadAnswer::Text(_) | BadAnswer::Bytes(_) | BadAnswer::LongHeaders | BadAnswer::Other(_) => {
            "check the port and the scheme, and the server's log"
        }
    }
}

fn database(protocol: Protocol, how: &DatabaseAnswer) -> String {
    match how {
        DatabaseAnswer::Refuses(words) => format!("the server answers: {words}"),
        DatabaseAnswer::Version(version) => {
            format!(
                "the server speaks {} in version {version}",
                speaks(protocol)
            )
        }
        DatabaseAnswer::Bad(how) => {
            format!("not an answer in {}: {}", speaks(protocol), bad_answer(how))
        }
        DatabaseAnswer::Closed => text(&Reason::Closed),
    }
}

fn database_remedy(how: &DatabaseAnswer) -> &'static str {
    match how {
        DatabaseAnswer::Refuses(words) if words.starts_with("DENIED") => {
            "set a password in the server's configuration, or protected-mode no"
        }
        DatabaseAnswer::Refuses(_) => "check the server's log",
        DatabaseAnswer::Version(_) | DatabaseAnswer::Bad(BadAnswer::Speaks(Protocol::Tls)) => {
            not_http(&BadAnswer::Speaks(Protocol::Redis))
        }
        DatabaseAnswer::Bad(_) => "check the port and the scheme, and the server's log",
        DatabaseAnswer::Closed => {
            "check the server's log; a proxy or a mesh closes so while the server behind it is down"
        }
    }
}

const fn speaks(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tls => "TLS",
        Protocol::Http => "HTTP",
        Protocol::Http2 => "HTTP/2 only",
        Protocol::Redis => "the Redis protocol",
        Protocol::Ssh => "SSH",
        Protocol::Smtp => "SMTP",
        Protocol::Ftp => "FTP",
        Protocol::SmtpOrFtp => "SMTP or FTP",
        Protocol::Pop3 => "POP3",
        Protocol::Imap => "IMAP",
        Protocol::Mysql => "the MySQL protocol",
        Protocol::MysqlX => "MySQL's X protocol",
        Protocol::Postgres => "the PostgreSQL protocol",
        Protocol::Memcached => "the memcached protocol",
        Protocol::Amqp => "AMQP",
        Protocol::Nats => "the NATS protocol",
    }
}

/// The names of gRPC's statuses (doc/statuscodes.md of github.com/grpc/grpc), by their numbers.
const STATUSES: &str = "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND \
    ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE \
    UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED";

/// The names of HTTP/2's errors (RFC 9113, 7), by their numbers.
const ERRORS: &str = "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT \
    STREAM_CLOSED FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR \
    ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED";

/// The names of HTTP/2's frames (RFC 9113, 6), by their numbers.
const FRAMES: &str = "DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY \
    WINDOW_UPDATE CONTINUATION";

/// The name of a number, or a general name for numbers without one.
fn named(names: &'static str, number: u32, other: &'static str) -> &'static str {
    names.split(' ').nth(number as usize).unwrap_or(other)
}

fn grpc_answer(answer: &GrpcAnswer) -> String {
    match answer {
        GrpcAnswer::NotServing(status) => match status {
            ServingStatus::Unknown => "the health status is UNKNOWN".to_owned(),
            ServingStatus::NotServing => "the health status is NOT_SERVING".to_owned(),
            ServingStatus::ServiceUnknown => "the health status is SERVICE_UNKNOWN".to_owned(),
            ServingStatus::Other(number) => format!("the health status is {number}"),
        },
        GrpcAnswer::Status(status, words) => {
            let name = named(STATUSES, *status, "unknown");
            with_output(&format!("gRPC status {status} ({name})"), words)
        }
        GrpcAnswer::HttpStatus(status) => {
            format!("HTTP status {status} without a gRPC status")
        }
        GrpcAnswer::Http1(status) => {
            format!("not HTTP/2: the server speaks HTTP/1.1, and answers with status {status}")
        }
        GrpcAnswer::NotHttp2(how) => format!("not HTTP/2: {}", bad_answer(how)),
        GrpcAnswer::ContentType(kind) if kind.is_empty() => {
            "not an answer of gRPC: it has no content-type".to_owned()
        }
        GrpcAnswer::ContentType(kind) => {
            format!("not an answer of gRPC: its content-type is {kind:?}")
        }
        GrpcAnswer::NoStatus => "the answer has no grpc-status".to_owned(),
        GrpcAnswer::Message(how) => match how {
            BadMessage::Missing => "gRPC status 0 (OK), but no health status",
            BadMessage::Compressed => {
                "the health status is compressed, although podgate accepts no compression"
            }
            BadMessage::Malformed => "the message is not one HealthCheckResponse",
        }
        .to_owned(),
        GrpcAnswer::Reset(code) => {
            let name = named(ERRORS, *code, "an unknown error");
            format!("the server reset the HTTP/2 stream with {name}")
        }
        GrpcAnswer::GoAway(code, words) => {
            let name = named(ERRORS, *code, "an unknown error");
            with_output(
                &format!("the server closed the HTTP/2 connection with {name}"),
                words,
            )
        }
        GrpcAnswer::Broken { code, frame } => {
            let frame = named(FRAMES, u32::from(*frame), "unknown");
            let code = named(ERRORS, *code, "an unknown error");
            format!("not valid HTTP/2: {code} in a frame of kind {frame}")
        }
        GrpcAnswer::TooLong => {
            format!(
                "an answer of more than {} bytes",
                crate::core::grpc::MOST_BYTES
            )
        }
        GrpcAnswer::Closed => "connection closed before the answer was complete".to_owned(),
    }
}

const fn grpc_remedy(answer: &GrpcAnswer) -> &'static str {
    match answer {
        GrpcAnswer::NotServing(_) => "check the server's log",
        GrpcAnswer::Status(5, _) => {
            "check the name of the service: this server has no health status for it"
        }
        GrpcAnswer::Status(7 | 16, _) => {
            "podgate sends no credentials; let the server answer health checks without them"
        }
        GrpcAnswer::Status(12, _) => {
            "register grpc.health.v1.Health in the server, check the routes of a proxy before it, \
             or use a tcp:// check"
        }
        GrpcAnswer::HttpStatus(_) => {
            "a proxy answers instead of the gRPC server: check its routes and its log"
        }
        GrpcAnswer::Http1(_) => "use the server's port for gRPC, or http://",
        GrpcAnswer::NotHttp2(BadAnswer::Speaks(Protocol::Tls)) => "use grpcs://",
        GrpcAnswer::NotHttp2(BadAnswer::Speaks(_)) => {
            "use a tcp:// check, or an exec: check with its own client"
        }
        GrpcAnswer::NotHttp2(_) | GrpcAnswer::ContentType(_) => {
            "check the port and the scheme, and the server's log"
        }
        GrpcAnswer::Message(BadMessage::Compressed) => {
            "let the server compress only what a client accepts"
        }
        GrpcAnswer::Closed => {
            "check the port and the server's log; the server may speak TLS (use grpcs://) or want \
             a client certificate (--tls-cert)"
        }
        GrpcAnswer::Status(..)
        | GrpcAnswer::NoStatus
        | GrpcAnswer::Message(_)
        | GrpcAnswer::Reset(_)
        | GrpcAnswer::GoAway(..)
        | GrpcAnswer::Broken { .. }
        | GrpcAnswer::TooLong => "check the log of the server, and of a proxy before it",
    }
}

/// Why a certificate cannot be verified.
fn bad_certificate(how: &BadCertificate) -> String {
    match how {
        BadCertificate::Version(version) => {
            format!("the certificate is X.509 version {version}, and only version 3 is verified")
        }
        BadCertificate::Malformed => "the certificate is malformed".to_owned(),
        BadCertificate::CriticalExtension => {
            "the certificate has a critical extension that podgate does not know".to_owned()
        }
        BadCertificate::Purpose => {
            "the certificate is not for a server: its extended key usage lacks serverAuth"
                .to_owned()
        }
        BadCertificate::NameConstraint => {
            "the name constraints of a CA forbid a name in the certificate".to_owned()
        }
        BadCertificate::PathLength => {
            "a CA has signed below more CAs than its path length allows".to_owned()
        }
        BadCertificate::IssuerNotCa => {
            "the certificate is signed by a certificate that is not a CA's".to_owned()
        }
        BadCertificate::Signature => {
            "the certificate is signed by another key than the trusted CA of that name has"
                .to_owned()
        }
        BadCertificate::Algorithm(name) => {
            format!("the certificate or its CA's is signed with {name}, which is not verified")
        }
        BadCertificate::Key(key) => {
            let key = match key {
                UnknownKey::Rsa(bits) => {
                    format!("an RSA key of {bits} bits, and only 2048 to 8192 are")
                }
                UnknownKey::Nist521 => "a P-521 key, and only P-256 and P-384 are".to_owned(),
                UnknownKey::Curve => {
                    "a key on another curve than P-256 and P-384, which is not".to_owned()
                }
                UnknownKey::Other => {
                    "another key than RSA, ECDSA or Ed25519, which is not".to_owned()
                }
            };
            format!("the certificate or its CA's has {key} verified")
        }
        BadCertificate::Other(words) => format!("the certificate cannot be verified: {words}"),
    }
}

const fn certificate_remedy(how: &BadCertificate) -> &'static str {
    match how {
        BadCertificate::Version(_) => {
            "issue it with a subjectAltName, which makes it version 3, or accept any certificate \
             with --tls-insecure"
        }
        BadCertificate::Malformed | BadCertificate::Other(_) => {
            "issue it anew, or accept any certificate with --tls-insecure"
        }
        BadCertificate::CriticalExtension => {
            "issue it without that extension, or accept any certificate with --tls-insecure"
        }
        BadCertificate::Purpose => {
            "issue it with serverAuth, or accept any certificate with --tls-insecure"
        }
        BadCertificate::NameConstraint
        | BadCertificate::PathLength
        | BadCertificate::IssuerNotCa => {
            "let a CA sign it that is allowed to, or accept any certificate with --tls-insecure"
        }
        BadCertificate::Signature => {
            "set its present CA with --tls-ca FILE: the CA may have been made anew"
        }
        BadCertificate::Algorithm(_) | BadCertificate::Key(_) => {
            "issue it with RSA of 2048 bits, ECDSA on P-256 or Ed25519 and SHA-256, or accept any \
             certificate with --tls-insecure"
        }
    }
}

fn tls_error(error: &TlsError) -> String {
    match error {
        TlsError::NotTls(None) => "the answer is not TLS".to_owned(),
        TlsError::NotTls(Some(found)) => {
            format!(
                "the answer is not TLS: the server speaks {}",
                speaks(*found)
            )
        }
        TlsError::NotAName => "the host is not a DNS name".to_owned(),
        TlsError::Closed => "the server closed the connection".to_owned(),
        TlsError::Refused => {
            "the server has no version, cipher, group or kind of key in common with podgate"
                .to_owned()
        }
        TlsError::OldVersion => "the server speaks only TLS 1.1 or older".to_owned(),
        TlsError::NotHttp1 => "the server does not speak HTTP/1.1, perhaps only HTTP/2".to_owned(),
        TlsError::NotHttp2 => "the server does not speak HTTP/2, perhaps only HTTP/1.1".to_owned(),
        TlsError::WantsCertificate => "the server wants a client certificate".to_owned(),
        TlsError::CertificateRefused(alert) => {
            format!("the server refuses the client certificate with the alert {alert:?}")
        }
        TlsError::UnknownName => "the server has no certificate for this name".to_owned(),
        TlsError::Alert(name) => format!("the server ended it with the alert {name:?}"),
        TlsError::Other(words) => words.clone(),
    }
}

const fn tls_remedy(error: &TlsError) -> &'static str {
    match error {
        TlsError::NotTls(Some(Protocol::Http)) => "use http://",
        TlsError::NotTls(Some(_)) => "use a tcp:// check, or an exec: check with its own client",
        TlsError::NotTls(None) | TlsError::Closed => {
            "check that this is a TLS port, and the server's log"
        }
        TlsError::NotAName => "set the name in the certificate with --tls-server-name",
        TlsError::Refused => {
            "podgate speaks TLS 1.2 and 1.3 with ECDHE (X25519, P-256, P-384), AES-GCM or \
             ChaCha20, and keys of RSA, P-256, P-384 or Ed25519; let the server offer that, or \
             use tcp://"
        }
        TlsError::OldVersion => "let the server offer TLS 1.2 or 1.3, or use tcp://",
        TlsError::NotHttp1 => "let the server offer HTTP/1.1, or use a tcp:// or exec: check",
        TlsError::NotHttp2 => "let the server offer HTTP/2 (h2), or use the port of its gRPC",
        TlsError::WantsCertificate => {
            "set one with --tls-cert FILE and --tls-key FILE, or use a port without it"
        }
        TlsError::CertificateRefused(_) => {
            "set one with --tls-cert FILE that has not expired, is for a client, and is signed by \
             a CA that the server trusts"
        }
        TlsError::UnknownName => "set a name that the server knows with --tls-server-name",
        TlsError::Alert(_) | TlsError::Other(_) => "check the server's log",
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
    use crate::core::member::Name;
    use crate::core::observation::End;
    use crate::core::outcome::{
        BadAnswer, BadCertificate, BadMessage, BadRedirect, DatabaseAnswer, GrpcAnswer,
        MemberState, NameError, Operation, Phase, Reason, ServingStatus, TlsError,
    };
    use crate::core::protocol::Protocol;
    use crate::core::record::Unreadable;
    use crate::core::token::TokenError;
    use crate::core::trust::TrustError;
    use crate::core::x509::UnknownKey;
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
    fn a_token_that_cannot_be_sent_has_its_path_a_cause_and_a_remedy() {
        let only = "the file must hold only the token, without Bearer before it";
        let mount = "mount the token into this container, readable for its user, and set its path \
                     with --http-bearer-token-file";
        for (error, cause, help) in [
            (
                TokenError::System(Errno::EACCES),
                "permission denied",
                mount,
            ),
            (TokenError::NotAFile, "not a regular file", mount),
            (TokenError::Empty, "the file is empty", mount),
            (TokenError::TooLong, "the file is longer than 64 KiB", only),
            (
                TokenError::BadCharacter,
                "it holds white space, a control character, or one that is not ASCII",
                only,
            ),
        ] {
            let reason = Reason::Token("/run/t".into(), error);
            assert_eq!(
                text(&reason),
                format!("no bearer token in \"/run/t\": {cause}")
            );
            assert_eq!(remedy(&reason), help);
        }
        let typed = Reason::Token("http://u:s3cr3t@h/".into(), TokenError::Empty);
        assert!(!text(&typed).contains("s3cr3t"));
    }

    #[test]
    fn a_server_that_wants_or_refuses_a_client_certificate_has_a_remedy() {
        let wants = Reason::Tls(TlsError::WantsCertificate);
        assert!(remedy(&wants).contains("--tls-cert FILE and --tls-key FILE"));
        let refused = Reason::Tls(TlsError::CertificateRefused("UnknownCA".to_owned()));
        assert_eq!(
            text(&refused),
            "TLS handshake failed: the server refuses the client certificate with the alert \
             \"UnknownCA\""
        );
        assert!(remedy(&refused).contains("a CA that the server trusts"));
    }

    #[test]
    fn an_answer_that_is_not_http_or_not_tls_is_described() {
        let other = |words: &str| words.to_owned();
        for (reason, expected) in [
            (
                Reason::NotHttp(BadAnswer::BrokenBody),
                "the answer is not complete: the body broke off",
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
                Reason::NotHttp(BadAnswer::Text("220 ready".to_owned())),
                "not an HTTP answer: it begins with \"220 ready\"",
            ),
            (
                Reason::NotHttp(BadAnswer::Bytes("00 9f".to_owned())),
                "not an HTTP answer: it begins with the bytes 00 9f",
            ),
            (
                Reason::NotHttp(BadAnswer::Speaks(Protocol::Redis)),
                "not an HTTP answer: the server speaks the Redis protocol",
            ),
            (
                Reason::HttpsPort(400),
                "HTTP status 400: this port is for https",
            ),
            (
                Reason::Tls(TlsError::NotTls(None)),
                "TLS handshake failed: the answer is not TLS",
            ),
            (
                Reason::Tls(TlsError::NotTls(Some(Protocol::Http))),
                "TLS handshake failed: the answer is not TLS: the server speaks HTTP",
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
    fn a_database_that_does_not_accept_connections_is_described() {
        let reason = |how| Reason::Database(Protocol::Postgres, how);
        let speaks = |other| reason(DatabaseAnswer::Bad(BadAnswer::Speaks(other)));
        let refuses = |words: &str| reason(DatabaseAnswer::Refuses(words.to_owned()));
        for (reason, expected, part) in [
            (
                refuses("the database system is starting up"),
                "the server answers: the database system is starting up",
                "the server's log",
            ),
            (
                refuses("DENIED Redis is running in protected mode"),
                "the server answers: DENIED Redis is running in protected mode",
                "protected-mode no",
            ),
            (
                Reason::Database(Protocol::Mysql, DatabaseAnswer::Version(9)),
                "the server speaks the MySQL protocol in version 9",
                "exec:",
            ),
            (
                speaks(Protocol::MysqlX),
                "not an answer in the PostgreSQL protocol: the server speaks MySQL's X protocol",
                "the port and the scheme",
            ),
            (
                speaks(Protocol::Tls),
                "not an answer in the PostgreSQL protocol: the server speaks TLS",
                "tcp://",
            ),
            (
                reason(DatabaseAnswer::Closed),
                "connection closed before an answer",
                "a proxy or a mesh",
            ),
        ] {
            assert_eq!(text(&reason), expected);
            assert!(remedy(&reason).contains(part), "{reason:?}");
        }
    }

    #[test]
    fn an_answer_to_a_health_check_is_described() {
        use GrpcAnswer as G;
        let words = |words: &str| words.to_owned();
        for (answer, expected, advice) in [
            (
                G::NotServing(ServingStatus::NotServing),
                "the health status is NOT_SERVING",
                "the server's log",
            ),
            (
                G::NotServing(ServingStatus::Other(9)),
                "the health status is 9",
                "the server's log",
            ),
            (
                G::Status(5, words("unknown service")),
                "gRPC status 5 (NOT_FOUND): unknown service",
                "check the name of the service",
            ),
            (
                G::Status(12, words("")),
                "gRPC status 12 (UNIMPLEMENTED)",
                "register grpc.health.v1.Health",
            ),
            (
                G::Status(16, words("")),
                "gRPC status 16 (UNAUTHENTICATED)",
                "sends no credentials",
            ),
            (
                G::Status(17, words("")),
                "gRPC status 17 (unknown)",
                "and of a proxy",
            ),
            (
                G::HttpStatus(503),
                "HTTP status 503 without a gRPC status",
                "a proxy answers instead",
            ),
            (
                G::Http1(404),
                "not HTTP/2: the server speaks HTTP/1.1, and answers with status 404",
                "port for gRPC, or http://",
            ),
            (
                G::NotHttp2(BadAnswer::Speaks(Protocol::Tls)),
                "not HTTP/2: the server speaks TLS",
                "use grpcs://",
            ),
            (
                G::NotHttp2(BadAnswer::Speaks(Protocol::Redis)),
                "not HTTP/2: the server speaks the Redis protocol",
                "use a tcp:// check",
            ),
            (
                G::NotHttp2(BadAnswer::Text(words("hi"))),
                "not HTTP/2: it begins with \"hi\"",
                "check the port",
            ),
            (
                G::ContentType(words("text/html")),
                "not an answer of gRPC: its content-type is \"text/html\"",
                "check the port",
            ),
            (
                G::ContentType(words("")),
                "not an answer of gRPC: it has no content-type",
                "check the port",
            ),
            (
                G::Message(BadMessage::Missing),
                "gRPC status 0 (OK), but no health status",
                "check the log",
            ),
            (
                G::Message(BadMessage::Compressed),
                "the health status is compressed, although podgate accepts no compression",
                "what a client accepts",
            ),
            (
                G::Reset(7),
                "the server reset the HTTP/2 stream with REFUSED_STREAM",
                "check the log",
            ),
            (
                G::GoAway(11, words("too_many_pings")),
                "the server closed the HTTP/2 connection with ENHANCE_YOUR_CALM: too_many_pings",
                "check the log",
            ),
            (
                G::GoAway(99, words("")),
                "the server closed the HTTP/2 connection with an unknown error",
                "check the log",
            ),
            (
                G::Broken { code: 6, frame: 6 },
                "not valid HTTP/2: FRAME_SIZE_ERROR in a frame of kind PING",
                "check the log",
            ),
            (
                G::TooLong,
                "an answer of more than 65535 bytes",
                "check the log",
            ),
            (
                G::Closed,
                "connection closed before the answer was complete",
                "use grpcs://",
            ),
        ] {
            let reason = Reason::Grpc(answer);
            assert_eq!(text(&reason), expected);
            assert!(remedy(&reason).contains(advice), "{reason:?}");
        }
    }

    #[test]
    fn a_certificate_that_cannot_be_verified_is_described() {
        for (how, expected) in [
            (
                BadCertificate::Version(1),
                "the certificate is X.509 version 1, and only version 3 is verified",
            ),
            (
                BadCertificate::Key(UnknownKey::Rsa(1024)),
                "the certificate or its CA's has an RSA key of 1024 bits, and only 2048 to 8192 \
                 are verified",
            ),
            (
                BadCertificate::Key(UnknownKey::Nist521),
                "the certificate or its CA's has a P-521 key, and only P-256 and P-384 are \
                 verified",
            ),
            (
                BadCertificate::Key(UnknownKey::Other),
                "the certificate or its CA's has another key than RSA, ECDSA or Ed25519, which is \
                 not verified",
            ),
            (
                BadCertificate::Algorithm("SHA-1"),
                "the certificate or its CA's is signed with SHA-1, which is not verified",
            ),
        ] {
            assert_eq!(text(&Reason::Certificate(how)), expected);
        }
        assert_eq!(
            text(&Reason::WrongName(vec!["a".to_owned(), "b".to_owned()])),
            "the certificate is for another name: a, b"
        );
    }

    #[test]
    fn a_remedy_is_about_the_state_of_the_member() {
        use MemberState as S;
        let name = Name::parse("a").expect("a name");
        let absent = S::Absent {
            seen: vec![name],
            has_more: false,
        };
        let record = |why| S::Unreadable("/run/a.record".into(), why);
        for (state, part) in [
            (S::NoVolume, "--dir"),
            (S::Unknown, "podgate doctor"),
            (absent, "the member's --name"),
            (
                S::OtherHost("/run/a.record".into(), "b".to_owned()),
                "its own volume",
            ),
            (record(Unreadable::Newer(2)), "which container"),
            (record(Unreadable::System(Errno::EACCES)), "may read it"),
            (S::Starting, "what it waits for"),
            (S::Waiting, "what it waits for"),
            (S::Running, "why it is not ready"),
            (S::Ready, "why it has not ended"),
            (S::Alive, "why it has not ended"),
            (S::AliveWithoutLock, "medium: Memory"),
            (S::Ended(End::Code(3)), "why it ended"),
        ] {
            let reason = Reason::Member(state);
            assert!(remedy(&reason).contains(part), "{reason:?}");
        }
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
            (
                Reason::WrongName(vec!["db".to_owned()]),
                "--tls-server-name",
            ),
            (Reason::WrongName(Vec::new()), "subjectAltName"),
            (
                Reason::NotHttp(BadAnswer::Speaks(Protocol::Tls)),
                "use https://",
            ),
            (Reason::HttpsPort(400), "use https://"),
            (Reason::NotHttp(BadAnswer::Speaks(Protocol::Ssh)), "tcp://"),
            (
                Reason::Tls(TlsError::NotTls(Some(Protocol::Http))),
                "use http://",
            ),
            (Reason::Tls(TlsError::NotTls(None)), "TLS port"),
            (Reason::Certificate(BadCertificate::Purpose), "serverAuth"),
            (Reason::NoCommand("x".to_owned()), "of this image"),
            (Reason::Unresolved(NameError::NoName), "DNS"),
            (
                Reason::Unresolved(NameError::Answered(2, String::new())),
                "DNS",
            ),
            (timed_out(Phase::Resolving), "DNS"),
            (timed_out(Phase::Connecting), "--attempt-timeout"),
            (timed_out(Phase::Command), "why the command takes longer"),
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
