//! Numbers that are written with digits only.

use std::str::FromStr;

/// Whether the text is a number without a sign.
pub fn are_all(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Reads a number. `parse` alone would accept a `+`, too.
pub fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok().filter(|_| are_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_number_has_digits_only() {
        assert_eq!(number::<u8>("255"), Some(255));
        assert_eq!(number::<u8>("007"), Some(7));
        for text in ["", "+1", "-1", "1 ", "256", "0x1", "1.0", "\u{661}"] {
            assert_eq!(number::<u8>(text), None, "{text:?}");
        }
    }
}
