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
        Reason::Member(_) | Reason::StillHolds => false,
    }
}
