//! The certificates of a PEM file (RFC 7468), and its private key. A file of certificates is read
//! whole or refused: a certificate that is skipped in silence would be missed much later, by a
//! server that is not trusted.

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

/// How the DER of a private key is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    /// `PRIVATE KEY` (RFC 5958).
    Pkcs8,
    /// `RSA PRIVATE KEY` (RFC 8017).
    Pkcs1,
    /// `EC PRIVATE KEY` (RFC 5915).
    Sec1,
}

/// Why a file has no private key that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    Empty,
    /// A DER file.
    Der,
    Utf16,
    /// It has no PEM block.
    NotPem,
    /// It has PEM blocks, and none is a private key. The label of the first one.
    NoKey(String),
    /// The key has no END line: the file breaks off.
    NoEnd,
    /// The text of the key is not base64, or not whole.
    Garbled,
    /// A password is needed to read the key.
    Encrypted,
}

/// The first private key in a file, as DER. Other blocks, such as `EC PARAMETERS` or certificates,
/// are ignored.
///
/// # Errors
/// There is none, it is encrypted, or it is not whole.
pub fn private_key(file: &[u8]) -> Result<(KeyFormat, Vec<u8>), KeyError> {
    let mut first_label = None;
    let mut rest = file;
    while let Some((is_begin, label, after)) = next_line(rest) {
        rest = after;
        let format = match label {
            b"PRIVATE KEY" => KeyFormat::Pkcs8,
            b"RSA PRIVATE KEY" => KeyFormat::Pkcs1,
            b"EC PRIVATE KEY" => KeyFormat::Sec1,
            b"ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
            _ => {
                if is_begin {
                    first_label.get_or_insert(label);
                }
                continue;
            }
        };
        if !is_begin {
            return Err(KeyError::Garbled);
        }
        let (text, _) = block(after, label).ok_or(KeyError::NoEnd)?;
        // Only an encrypted block has headers (RFC 1421).
        if text.contains(&b':') {
            return Err(KeyError::Encrypted);
        }
        return Ok((format, decoded(text).ok_or(KeyError::Garbled)?));
    }
    Err(match (first_label, without_block(file)) {
        (Some(label), _) => KeyError::NoKey(String::from_utf8_lossy(label).into_owned()),
        (None, PemError::Empty) => KeyError::Empty,
        (None, PemError::Utf16) => KeyError::Utf16,
        (None, PemError::Der) => KeyError::Der,
        (None, _) => KeyError::NotPem,
    })
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
        let (text, after) = block(rest, label).ok_or(PemError::NoEnd(count))?;
        rest = after;
        found.push(decoded(text).ok_or(PemError::Garbled(count))?);
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match first_label {
        Some(label) => PemError::NoCertificate(String::from_utf8_lossy(label).into_owned()),
        None => without_block(file),
    })
}

/// What a file is that has no PEM block.
fn without_block(file: &[u8]) -> PemError {
    if file.trim_ascii().is_empty() {
        PemError::Empty
    } else if file.starts_with(b"\xff\xfe") || file.starts_with(b"\xfe\xff") {
        PemError::Utf16
    } else if x509::is_whole(file) {
        PemError::Der
    } else {
        PemError::NotPem
    }
}

/// The text of a block after its BEGIN line, and what follows its END line. `None` if it has none.
fn block<'a>(rest: &'a [u8], label: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (text, line) = rest.split_at_checked(position(rest, DASHES)?)?;
    match next_line(line) {
        Some((false, end, after)) if end == label && line.starts_with(END) => Some((text, after)),
        Some(_) | None => None,
    }
}

/// The DER in the text of a block, if it is whole.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let der = STANDARD.decode(text).ok()?;
    x509::is_whole(&der).then_some(der)
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
    use super::{KeyError, KeyFormat, PemError, certificates, private_key};
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

    #[test]
    fn a_private_key_is_read_in_each_of_its_formats() {
        const SEC1: &str = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n\
                            -----END EC PARAMETERS-----\n\
                            -----BEGIN EC PRIVATE KEY-----\nMAMCAQU=\n\
                            -----END EC PRIVATE KEY-----\n";
        let der = vec![0x30, 3, 2, 1, 5];
        let pkcs8 = TWO.replace("CERTIFICATE", "PRIVATE KEY");
        for (text, format) in [
            (pkcs8.clone(), KeyFormat::Pkcs8),
            (pkcs8.replace('\n', "\r\n"), KeyFormat::Pkcs8),
            (format!("{ONE}{pkcs8}"), KeyFormat::Pkcs8),
            (format!("{pkcs8}{ONE}"), KeyFormat::Pkcs8),
            (pkcs8.replace(" PRIV", " RSA PRIV"), KeyFormat::Pkcs1),
            (SEC1.to_owned(), KeyFormat::Sec1),
        ] {
            assert_eq!(
                private_key(text.as_bytes()),
                Ok((format, der.clone())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_file_without_a_usable_private_key_is_refused() {
        let pkcs8 = TWO.replace("CERTIFICATE", "PRIVATE KEY");
        let headers = "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMAM";
        for (text, expected) in [
            (ONE.to_owned(), KeyError::NoKey("CERTIFICATE".to_owned())),
            (
                pkcs8.replace(" PRIV", " ENCRYPTED PRIV"),
                KeyError::Encrypted,
            ),
            (
                pkcs8
                    .replace(" PRIV", " RSA PRIV")
                    .replace("KEY-----\nMAM", headers),
                KeyError::Encrypted,
            ),
            (pkcs8.replace("MAMC", "MA*C"), KeyError::Garbled),
            (
                pkcs8.replace("-----BEGIN PRIVATE KEY-----", ""),
                KeyError::Garbled,
            ),
            (pkcs8[..pkcs8.len() - 8].to_owned(), KeyError::NoEnd),
            (String::new(), KeyError::Empty),
            ("key\n".to_owned(), KeyError::NotPem),
        ] {
            assert_eq!(private_key(text.as_bytes()), Err(expected), "{text}");
        }
        assert_eq!(private_key(&[0x30, 3, 2, 1, 5]), Err(KeyError::Der));
        assert_eq!(private_key(b"\xff\xfe-\0"), Err(KeyError::Utf16));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = certificates(&bytes);
            let _ = private_key(&bytes);
            let _ = private_key(&[b"-----BEGIN PRIVATE KEY-----", &bytes[..]].concat());
            let _ = certificates(&[ONE.as_bytes(), &bytes, TWO.as_bytes()].concat());
        }
    }
}
