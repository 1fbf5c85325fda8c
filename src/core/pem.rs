//! The certificates of a PEM file (RFC 7468). A file is read whole or refused: a certificate that
//! is skipped in silence would be missed much later, by a server that is not trusted.

use super::x509;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const DASHES: &[u8] = b"-----";
const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";

/// Why a file is not a list of certificates. Blocks are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PemError {
    Empty,
    /// One certificate in its binary form.
    Der,
    /// Text as Windows writes it, with two bytes a character.
    Utf16,
    /// It has no PEM block.
    NotPem,
    /// It has PEM blocks, and none is a certificate. The label of the first one.
    NoCertificate(String),
    /// This certificate has no END line: the file breaks off, or lines are missing.
    NoEnd(usize),
    /// An END line without a BEGIN line before it.
    NoBegin,
    /// The text of this certificate is not base64, or not a whole certificate.
    Garbled(usize),
    /// OpenSSL's own format, which may distrust the certificate that it has.
    Trusted(usize),
}

/// The certificates in a file, as DER. Other blocks and text between the blocks are ignored.
///
/// # Errors
/// There is none, or one is not whole.
pub fn certificates(file: &[u8]) -> Result<Vec<Vec<u8>>, PemError> {
    let mut found = Vec::new();
    let mut first_label = None;
    let mut rest = file;
    while let Some((is_begin, label, after)) = next_line(rest) {
        rest = after;
        let is_certificate = matches!(label, b"CERTIFICATE" | b"X509 CERTIFICATE");
        let count = found.len().saturating_add(1);
        if !is_begin {
            if is_certificate {
                return Err(PemError::NoBegin);
            }
            continue;
        }
        if label == b"TRUSTED CERTIFICATE" {
            return Err(PemError::Trusted(count));
        }
        if !is_certificate {
            first_label.get_or_insert(label);
            // Its END line is of no interest.
            continue;
        }
        let end = position(rest, DASHES).ok_or(PemError::NoEnd(count))?;
        let (text, line) = rest.split_at_checked(end).unwrap_or_default();
        match next_line(line) {
            Some((false, end, after)) if end == label && line.starts_with(END) => rest = after,
            Some(_) | None => return Err(PemError::NoEnd(count)),
        }
        let text: Vec<u8> = text
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let der = STANDARD.decode(text).ok();
        found.push(
            der.filter(|der| x509::is_whole(der))
                .ok_or(PemError::Garbled(count))?,
        );
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match first_label {
        Some(label) => PemError::NoCertificate(String::from_utf8_lossy(label).into_owned()),
        None if file.trim_ascii().is_empty() => PemError::Empty,
        None if file.starts_with(b"\xff\xfe") || file.starts_with(b"\xfe\xff") => PemError::Utf16,
        None if x509::is_whole(file) => PemError::Der,
        None => PemError::NotPem,
    })
}

/// The next BEGIN or END line: whether it is a BEGIN line, its label, and what follows it.
fn next_line(text: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let begin = position(text, BEGIN);
    let end = position(text, END);
    let (is_begin, at, marker) = match (begin, end) {
        (Some(begin), Some(end)) if end < begin => (false, end, END),
        (Some(begin), _) => (true, begin, BEGIN),
        (None, Some(end)) => (false, end, END),
        (None, None) => return None,
    };
    let after = text.get(at.saturating_add(marker.len())..)?;
    let length = position(after, DASHES).unwrap_or(after.len());
    let (label, after) = after.split_at_checked(length)?;
    let after = after.strip_prefix(DASHES).unwrap_or(after);
    Some((is_begin, label, after))
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::{PemError, certificates};
    use proptest::prelude::*;

    /// The shortest text that counts as a certificate: an empty sequence.
    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    /// Another one, which holds an integer.
    const TWO: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQU=\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

    #[test]
    fn every_certificate_of_a_file_is_read() {
        let both = Ok(vec![vec![0x30, 0], vec![0x30, 3, 2, 1, 5]]);
        for (name, text) in [
            ("plain", format!("{ONE}{TWO}")),
            ("glued", format!("{}{TWO}", ONE.trim_end())),
            ("a BOM first", format!("\u{feff}{ONE}{TWO}")),
            ("a BOM between", format!("{ONE}\u{feff}{TWO}")),
            ("CRLF", format!("{ONE}{TWO}").replace('\n', "\r\n")),
            ("CR", format!("{ONE}{TWO}").replace('\n', "\r")),
            ("no last newline", format!("{ONE}{}", TWO.trim_end())),
            ("text between", format!("Issuer: x\n{ONE}# two\n\n{TWO}end")),
            ("a private key first", format!("{KEY}{ONE}{TWO}")),
            ("a private key between", format!("{ONE}{KEY}{TWO}")),
            (
                "a private key glued",
                format!("{}{ONE}{TWO}", KEY.trim_end()),
            ),
            (
                "indented",
                format!("  {}", format!("{ONE}{TWO}").replace('\n', "\n  ")),
            ),
            (
                "spaces for newlines",
                format!("{ONE}{TWO}").replace('\n', " "),
            ),
            (
                "the old label",
                format!("{ONE}{TWO}").replace(" CERT", " X509 CERT"),
            ),
            (
                "a list of revoked ones",
                format!("{}{ONE}{TWO}", KEY.replace("PRIVATE KEY", "X509 CRL")),
            ),
        ] {
            assert_eq!(certificates(text.as_bytes()), both, "{name}");
        }
    }

    #[test]
    fn a_file_that_is_not_whole_is_refused() {
        let cut = |text: &str, bytes: usize| text[..text.len() - bytes].to_owned();
        for (text, expected) in [
            (format!("{ONE}{}", cut(TWO, 5)), PemError::NoEnd(2)),
            (format!("{ONE}{}", cut(TWO, 26)), PemError::NoEnd(2)),
            (format!("{ONE}{}", cut(TWO, 32)), PemError::NoEnd(2)),
            (cut(ONE, 20) + TWO, PemError::NoEnd(1)),
            (
                ONE.replace("-----END CERTIFICATE-----\n", "") + TWO,
                PemError::NoEnd(1),
            ),
            (
                format!("{ONE}{}", TWO.replace("-----BEGIN CERTIFICATE-----", "")),
                PemError::NoBegin,
            ),
            (
                format!("{ONE}{}", TWO.replace("MAMC", "MA*C")),
                PemError::Garbled(2),
            ),
            (
                format!("{ONE}{}", TWO.replace("MAMCAQU=", "MAMCAQ==")),
                PemError::Garbled(2),
            ),
            (
                format!("{ONE}{}", TWO.replace("MAMCAQU=", "")),
                PemError::Garbled(2),
            ),
            (ONE.replace('\n', "\\n"), PemError::Garbled(1)),
            (
                format!("{ONE}{}", TWO.replace(" CERT", " TRUSTED CERT")),
                PemError::Trusted(2),
            ),
            (
                KEY.to_owned(),
                PemError::NoCertificate("PRIVATE KEY".to_owned()),
            ),
            (String::new(), PemError::Empty),
            (" \n".to_owned(), PemError::Empty),
            ("MAA=\n".to_owned(), PemError::NotPem),
        ] {
            assert_eq!(certificates(text.as_bytes()), Err(expected), "{text}");
        }
        assert_eq!(certificates(&[0x30, 3, 2, 1, 5]), Err(PemError::Der));
        let utf16: Vec<u8> = ONE.bytes().flat_map(|byte| [byte, 0]).collect();
        let utf16 = [&[0xff, 0xfe], utf16.as_slice()].concat();
        assert_eq!(certificates(&utf16), Err(PemError::Utf16));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = certificates(&bytes);
            let _ = certificates(&[ONE.as_bytes(), &bytes, TWO.as_bytes()].concat());
        }
    }
}
