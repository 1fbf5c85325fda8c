//! What the targets `postgres`, `mysql` and `redis` share. The input is all that the server sends.

use crate::input::pieces;
use crate::memory;
use podgate::core::dialogue::Dialogue;
use podgate::core::outcome::{DatabaseAnswer, Outcome, Reason, one_line};

/// The most memory of one talk: the bytes that it keeps, while their buffer grows, and the words.
const MOST_MEMORY: usize = 4 * 1024;
/// The bytes of an answer that count.
pub(crate) const MOST: usize = 512;

/// The meaning of the bytes, by a second reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// The server itself gives these words.
    Says(Vec<u8>),
    /// Version 9 of MySQL's protocol.
    Nine,
    /// The answer is not whole.
    Open,
    /// Not the protocol. It may be known already or not.
    Stranger,
}

impl Verdict {
    /// Whether a talk ends so.
    pub(crate) fn is(&self, found: &Option<Outcome>) -> bool {
        let reason = match found {
            None => return matches!(self, Self::Open | Self::Stranger),
            Some(Outcome::Pass) => return *self == Self::Pass,
            Some(Outcome::NotYet(Reason::Database(_, reason))) => reason,
            Some(Outcome::NotYet(_) | Outcome::Never(_)) => return false,
        };
        match (self, reason) {
            (Self::Says(words), DatabaseAnswer::Refuses(said)) => {
                assert!(
                    said.len() <= 120 && !said.contains(char::is_control),
                    "{said:?}"
                );
                *said == one_line(&String::from_utf8_lossy(words), 114)
            }
            (Self::Nine, DatabaseAnswer::Version(9)) => true,
            (Self::Stranger, DatabaseAnswer::Bad(_)) => true,
            _ => false,
        }
    }
}

/// The outcome of these bytes, the farewell, and the outcome if the connection ends then. Pieces
/// make no difference, and the memory is bounded.
pub(crate) fn talk<D: Dialogue + Default>(bytes: &[u8]) -> (Option<Outcome>, Vec<u8>, Outcome) {
    let mark = memory::mark();
    let (mut whole, mut farewell) = (D::default(), Vec::new());
    let found = whole.feed(bytes, &mut farewell);
    let used = memory::most_since(mark);
    assert!(used <= MOST_MEMORY, "{used} bytes of memory");
    let (mut cut, mut other) = (D::default(), Vec::new());
    let piecewise = pieces(bytes, 9)
        .iter()
        .find_map(|piece| cut.feed(piece, &mut other));
    assert_eq!((&piecewise, &other), (&found, &farewell), "in pieces");
    let ended = found.clone().unwrap_or_else(|| whole.end());
    (found, farewell, ended)
}
