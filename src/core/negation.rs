//! `not:CHECK` (P3.11): it passes when CHECK *definitely* does not hold.
//!
//! An attempt that cannot tell is not enough: a name that cannot be resolved, a timeout, a missing
//! permission or a failed TLS handshake may all hide a server that is well. So every
//! [`Reason`] is either a proof that the check does not hold, or is not.

use super::check::Kind;
use super::outcome::{DatabaseAnswer, NameError, Outcome, Reason};

/// The outcome of `not:` from the outcome of `check`, which is the check after it.
pub fn negate(check: &Kind, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Pass => Outcome::NotYet(Reason::StillHolds),
        Outcome::NotYet(reason) if refutes(check, &reason) => Outcome::Pass,
        Outcome::NotYet(reason) => Outcome::NotYet(reason),
        Outcome::Never(reason) => Outcome::Never(reason),
    }
}

/// Whether this reason proves that `check` does not hold. `false`: it cannot tell.
fn refutes(check: &Kind, reason: &Reason) -> bool {
    match reason {
        // Nobody is there. An answer, by the protocol of the check, that does not pass.
        Reason::Refused
        | Reason::NotListening
        | Reason::NoFile
        | Reason::NoContent
        | Reason::NotAFile
        | Reason::Status(_)
        | Reason::BodyLacks(_)
        | Reason::ExitCode(..)
        | Reason::Database(_, DatabaseAnswer::Refuses(_)) => true,
        // `dns://` asks for nothing else. Elsewhere the server may be well under another name.
        Reason::Unresolved(NameError::NoName | NameError::NoAddress) => {
            matches!(check, Kind::Dns(_))
        }
        Reason::Unresolved(NameError::Answered(..) | NameError::CannotAsk(..)) => false,
        // A connection was accepted, and no answer of the protocol came.
        Reason::Closed
        | Reason::ClosedAfterHandshake
        | Reason::TimedOut { .. }
        | Reason::HttpsPort(_)
        | Reason::TooManyRedirects
        | Reason::BadRedirect(_)
        | Reason::NotHttp(_)
        | Reason::Database(
            _,
            DatabaseAnswer::Version(_) | DatabaseAnswer::Closed | DatabaseAnswer::Bad(_),
        ) => false,
        Reason::UnknownIssuer
        | Reason::WrongName(_)
        | Reason::WrongTime
        | Reason::Certificate(_)
        | Reason::Tls(_)
        | Reason::Token(..) => false,
        Reason::Grpc(answer) => answer.is_refusal(),
        // The command gave no exit code, or was not started.
        Reason::Killed(..) | Reason::NoCommand(_) | Reason::NotExecutable(..) => false,
        Reason::System(..) => false,
        // `not:` is not for members, and not for itself.
        Reason::Member(_) | Reason::StillHolds | Reason::NotNotified => false,
    }
}

#[cfg(test)]
mod tests {
    use super::negate;
    use crate::core::check::{Kind, parse};
    use crate::core::errno::Errno;
    use crate::core::exec_error::ExecError;
    use crate::core::outcome::{
        BadAnswer, BadCertificate, BadRedirect, DatabaseAnswer, GrpcAnswer, MemberState, NameError,
        Operation, Outcome, Phase, Reason, ServingStatus, TlsError,
    };
    use crate::core::protocol::Protocol;
    use crate::core::token::TokenError;
    use std::time::Duration;

    /// A check of each kind.
    fn checks() -> impl Iterator<Item = Kind> {
        [
            "http://db/",
            "https://db/",
            "tcp://db:1",
            "unix:///run/app.sock",
            "listen://:80",
            "file:///run/x",
            "nonempty:///run/x",
            "dns://db",
            "grpc://db:1",
            "postgres://db:1",
            "mysql://db:1",
            "redis://db:1",
            "exec:true",
        ]
        .into_iter()
        .map(|text| parse(text).expect(text).kind)
    }

    fn database(answer: DatabaseAnswer) -> Reason {
        Reason::Database(Protocol::Postgres, answer)
    }

    fn proofs() -> Vec<Reason> {
        vec![
            Reason::Refused,
            Reason::NotListening,
            Reason::NoFile,
            Reason::NoContent,
            Reason::NotAFile,
            Reason::Status(503),
            Reason::BodyLacks(200),
            Reason::ExitCode(1, String::new()),
            database(DatabaseAnswer::Refuses("starting up".to_owned())),
            Reason::Grpc(GrpcAnswer::NotServing(ServingStatus::NotServing)),
            Reason::Grpc(GrpcAnswer::Status(5, String::new())),
        ]
    }

    fn no_proofs() -> Vec<Reason> {
        vec![
            Reason::Unresolved(NameError::Answered(2, "db".to_owned())),
            Reason::Unresolved(NameError::CannotAsk(
                std::net::Ipv4Addr::LOCALHOST.into(),
                Errno::EACCES,
            )),
            Reason::Closed,
            Reason::ClosedAfterHandshake,
            Reason::TimedOut {
                phase: Phase::Connecting,
                after: Duration::from_secs(1),
                said: String::new(),
            },
            Reason::HttpsPort(400),
            Reason::TooManyRedirects,
            Reason::BadRedirect(BadRedirect::NotAUrl(302)),
            Reason::NotHttp(BadAnswer::BrokenHead),
            Reason::UnknownIssuer,
            Reason::WrongName(Vec::new()),
            Reason::WrongTime,
            Reason::Certificate(BadCertificate::Malformed),
            Reason::Tls(TlsError::Closed),
            Reason::Killed(9, String::new()),
            Reason::NoCommand("x".to_owned()),
            Reason::NotExecutable("x".to_owned(), ExecError::NotPermitted),
            Reason::System(Operation::Connect, Errno::EACCES),
            Reason::System(Operation::LookUpPath, Errno::EACCES),
            Reason::Token("/token".into(), TokenError::Empty),
            Reason::Grpc(GrpcAnswer::Status(16, String::new())),
            Reason::Grpc(GrpcAnswer::Closed),
            database(DatabaseAnswer::Version(9)),
            database(DatabaseAnswer::Closed),
            database(DatabaseAnswer::Bad(BadAnswer::BrokenHead)),
            Reason::System(Operation::ListSockets, Errno::EACCES),
            Reason::Member(MemberState::NoVolume),
            Reason::StillHolds,
        ]
    }

    #[test]
    fn the_opposite_of_a_pass_is_not_yet() {
        for check in checks() {
            let still = Outcome::NotYet(Reason::StillHolds);
            assert_eq!(negate(&check, Outcome::Pass), still, "{check}");
        }
    }

    #[test]
    fn a_proof_that_the_check_does_not_hold_passes() {
        for check in checks() {
            for reason in proofs() {
                let outcome = negate(&check, Outcome::NotYet(reason.clone()));
                assert_eq!(outcome, Outcome::Pass, "{check}: {reason:?}");
            }
        }
    }

    #[test]
    fn what_cannot_tell_stays_not_yet_with_its_reason() {
        for check in checks() {
            for reason in no_proofs() {
                let outcome = Outcome::NotYet(reason);
                assert_eq!(negate(&check, outcome.clone()), outcome, "{check}");
            }
        }
    }

    #[test]
    fn never_stays_never() {
        for check in checks() {
            for reason in proofs().into_iter().chain(no_proofs()) {
                let outcome = Outcome::Never(reason);
                assert_eq!(negate(&check, outcome.clone()), outcome, "{check}");
            }
        }
    }

    /// A server that has no name here may still run.
    #[test]
    fn a_name_without_an_address_is_a_proof_for_dns_only() {
        for check in checks() {
            for error in [NameError::NoName, NameError::NoAddress] {
                let outcome = Outcome::NotYet(Reason::Unresolved(error));
                let expected = if matches!(check, Kind::Dns(_)) {
                    Outcome::Pass
                } else {
                    outcome.clone()
                };
                assert_eq!(negate(&check, outcome), expected, "{check}");
            }
        }
    }
}
