//! What the talks with databases share.

use super::answer::beginning;
use super::outcome::{BadAnswer, DatabaseAnswer, Outcome, Reason, one_line};
use super::protocol::{self, Protocol};

/// The most bytes of an answer that are kept. What is behind them is not needed.
pub(super) const MOST: usize = 512;
/// The most bytes that name another protocol. Servers whose answers have no lines send as many, or
/// close the connection.
const ENOUGH: usize = 64;
/// How much of a server's own words is shown, in bytes.
const SHOWN: usize = 114;

/// A server reports in these words that it does not accept the connection.
pub(super) fn refuses(database: Protocol, words: &[u8]) -> Outcome {
    let words = one_line(&String::from_utf8_lossy(words), SHOWN);
    not_yet(database, DatabaseAnswer::Refuses(words))
}

/// What answers, if its first bytes are not from the protocol of `database`. `None` while more
/// bytes may show which one it is.
pub(super) fn stranger(database: Protocol, first: &[u8]) -> Option<Outcome> {
    let is_enough = first.ends_with(b"\n") || first.len() >= ENOUGH;
    match protocol::of(first) {
        // NATS begins as Redis does.
        Some(Protocol::Redis) | None if !is_enough => None,
        Some(found) if found != database => Some(bad(database, BadAnswer::Speaks(found))),
        Some(_) | None if is_enough => Some(bad(database, beginning(first))),
        Some(_) | None => None,
    }
}

/// The connection ended after these bytes, which are not a whole answer.
pub(super) fn ended(database: Protocol, first: &[u8]) -> Outcome {
    match protocol::of(first) {
        _ if first.is_empty() => not_yet(database, DatabaseAnswer::Closed),
        Some(found) if found != database => bad(database, BadAnswer::Speaks(found)),
        Some(_) | None => bad(database, beginning(first)),
    }
}

pub(super) const fn not_yet(database: Protocol, how: DatabaseAnswer) -> Outcome {
    Outcome::NotYet(Reason::Database(database, how))
}

const fn bad(database: Protocol, how: BadAnswer) -> Outcome {
    not_yet(database, DatabaseAnswer::Bad(how))
}

/// What the tests of the talks share.
#[cfg(test)]
pub(super) mod tests {
    use super::super::dialogue::Dialogue;
    use super::super::outcome::{BadAnswer, DatabaseAnswer, Outcome};
    use super::super::protocol::Protocol;
    use super::{MOST, bad, not_yet};

    /// The outcome of these bytes in one piece and byte by byte. Either must leave this farewell.
    #[track_caller]
    pub(in super::super) fn ends_with<D: Dialogue + Default>(
        bytes: &[u8],
        farewell: &[u8],
    ) -> Option<Outcome> {
        let mut out = Vec::new();
        let outcome = D::default().feed(bytes, &mut out);
        assert_eq!(out, farewell);
        let (mut talk, mut out) = (D::default(), Vec::new());
        let piecewise = bytes.iter().find_map(|byte| talk.feed(&[*byte], &mut out));
        assert_eq!((&piecewise, &out[..]), (&outcome, farewell));
        outcome
    }

    /// The outcome if the connection ends after these bytes.
    pub(in super::super) fn silent<D: Dialogue + Default>(bytes: &[u8]) -> Outcome {
        let mut talk = D::default();
        assert_eq!(talk.feed(bytes, &mut Vec::new()), None);
        talk.end()
    }

    /// Neither a panic nor a difference between one piece and many.
    pub(in super::super) fn never_panics<D: Dialogue + Default>(bytes: &[u8]) {
        let (mut whole, mut out) = (D::default(), Vec::new());
        let outcome = whole.feed(bytes, &mut out);
        assert_eq!(ends_with::<D>(bytes, &out), outcome);
        if outcome.is_none() {
            whole.end();
        }
    }

    /// However much comes, `kept` bytes stay bounded.
    pub(in super::super) fn is_bounded<D: Dialogue + Default>(
        bytes: &[u8],
        kept: impl Fn(&D) -> usize,
    ) {
        let mut talk = D::default();
        for _ in 0..8 {
            if talk.feed(bytes, &mut Vec::new()).is_some() {
                break;
            }
        }
        assert!(kept(&talk) <= 2 * MOST, "{}", kept(&talk));
    }

    pub(in super::super) fn says(database: Protocol, words: &str) -> Outcome {
        not_yet(database, DatabaseAnswer::Refuses(words.to_owned()))
    }

    pub(in super::super) fn speaks(database: Protocol, other: Protocol) -> Outcome {
        bad(database, BadAnswer::Speaks(other))
    }

    pub(in super::super) fn closed(database: Protocol) -> Outcome {
        not_yet(database, DatabaseAnswer::Closed)
    }
}
