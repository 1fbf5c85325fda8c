//! Certificates, private keys and tokens from files. What is read is in the file, it means the same
//! when it is written again, and no encrypted key is read.
//!
//! The first byte of an input selects the reader.

use crate::is_planted;
use podgate::core::pem::{KeyFormat, certificates, private_key};
use podgate::core::token;

pub(crate) fn run(bytes: &[u8]) {
    let [reader, file @ ..] = bytes else { return };
    match reader % 3 {
        0 => listed(file),
        1 => key(file),
        _ => token_of(file),
    }
}

fn listed(file: &[u8]) {
    let Ok(found) = certificates(file) else {
        return;
    };
    assert!(!found.is_empty());
    let written: String = found.iter().map(|der| block("CERTIFICATE", der)).collect();
    assert_eq!(certificates(written.as_bytes()), Ok(found));
}

fn key(file: &[u8]) {
    let Ok((mut format, der)) = private_key(file) else {
        return;
    };
    let text = String::from_utf8_lossy(file);
    if is_planted() && format == KeyFormat::Sec1 && !text.contains("PARAMETERS") {
        format = KeyFormat::Pkcs1;
    }
    let label = match format {
        KeyFormat::Pkcs8 => "PRIVATE KEY",
        KeyFormat::Pkcs1 => "RSA PRIVATE KEY",
        KeyFormat::Sec1 => "EC PRIVATE KEY",
    };
    assert!(text.contains(&format!("-----BEGIN {label}-----")), "{text}");
    // The first key counts, and an encrypted one before it is an error.
    let first = text.find(" PRIVATE KEY-----").unwrap_or_default();
    assert!(!text[..first].ends_with("-----BEGIN ENCRYPTED"), "{text}");
    assert!(der.first() == Some(&0x30), "{der:?}");
    let written = block(label, &der);
    assert_eq!(private_key(written.as_bytes()), Ok((format, der)));
}

fn token_of(file: &[u8]) {
    if let Ok(token) = token::read(file) {
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(file.trim_ascii(), token.as_bytes());
        assert_eq!(token::read(token.as_bytes()), Ok(token));
    }
    if let Ok(text) = std::str::from_utf8(file)
        && let Err(cause) = token::path(text)
    {
        // One sentence for all, so no part of the text is in it.
        assert!(!text.contains('/') && token::path("") == Err(cause));
    }
}

/// A PEM block.
fn block(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in der.chunks(3) {
        let bits = three
            .iter()
            .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at > three.len() { '=' } else { digit.into() });
        }
    }
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}
