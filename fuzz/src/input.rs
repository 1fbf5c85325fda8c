//! Splits inputs, and removes variables.

use std::ffi::OsStr;

/// Values from the front of an input. Zero where the input ends.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(crate) fn number(&mut self) -> u64 {
        (0..8).fold(0, |sum, _| sum << 8 | u64::from(self.byte()))
    }

    pub(crate) fn taken(&mut self, most: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        front
    }
}

/// An input in which one byte stands for many: 1 for 1000 letters, 2 for 50. So small inputs reach
/// limits of several KiB.
pub(crate) fn expanded(bytes: &[u8]) -> Vec<u8> {
    let mut long = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            1 => long.extend_from_slice(&[b'a'; 1000]),
            2 => long.extend_from_slice(&[b'a'; 50]),
            byte => long.push(*byte),
        }
    }
    long
}

/// Cuts a text into pieces. Their sizes follow from its bytes, so the same input always gives the
/// same pieces.
pub(crate) fn pieces(bytes: &[u8], most: usize) -> Vec<&[u8]> {
    let mut seed = bytes.iter().fold(0x9e37_79b9_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
    });
    let (mut rest, mut pieces) = (bytes, Vec::new());
    while !rest.is_empty() {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let size = 1 + usize::try_from(seed >> 33).unwrap() % most.max(1);
        let (piece, after) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// The examples of a message: the texts after its last `use ` or `say `.
pub(crate) fn examples(message: &str) -> Vec<String> {
    let Some((_, said)) = message
        .rsplit_once("; use ")
        .or_else(|| message.rsplit_once("say "))
    else {
        return Vec::new();
    };
    let said = said.split_once(';').map_or(said, |(said, _)| said);
    let one = |text: &str| {
        text.split(" for ")
            .next()
            .unwrap_or(text)
            .trim()
            .trim_start_matches("or ")
            .trim_matches('\'')
            .to_owned()
    };
    said.split(", ")
        .flat_map(|part| part.split(" or "))
        .map(one)
        .filter(|it| !it.is_empty())
        .collect()
}

pub(crate) fn unset(name: &OsStr) {
    // SAFETY: at the start every target has one thread.
    unsafe { std::env::remove_var(name) }
}
