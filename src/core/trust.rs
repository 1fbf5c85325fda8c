//! The certificates that TLS trusts, as the options name them. `probe::tls` reads the files.

use super::errno::Errno;
use super::pem::{KeyError, PemError};
use std::net::IpAddr;
use std::path::PathBuf;

/// The longest host name (RFC 1035), and the longest of its labels.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Any certificate is accepted: `--tls-insecure`, the kubelet's behaviour.
    Anyone,
    /// Certificates that a CA in this file has signed. The option or variable that named the file.
    File(PathBuf, String),
    /// Certificates that a CA in the system's bundle has signed.
    System,
}

/// The settings of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustSpec {
    pub roots: Roots,
    /// `--tls-server-name`.
    pub server_name: Option<String>,
    /// The certificate that podgate presents.
    pub client: Option<ClientFiles>,
    /// Whether an https URL is asked, so that the roots are read at the start.
    pub is_needed: bool,
}

/// The files of `--tls-cert` and `--tls-key`, each with the option or variable that named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    pub certificate: (PathBuf, String),
    pub key: (PathBuf, String),
}

/// Why no server can be verified, or no client certificate be presented. `message::tls` has the
/// sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustError {
    /// This build has no TLS.
    NoTls,
    /// The image has no CA bundle, and no option names one.
    NoBundle,
    File {
        /// The option or variable that names the file. `None`: it is the system's bundle.
        source: Option<String>,
        path: PathBuf,
        error: CaFileError,
    },
    /// The file of a client certificate or of its key cannot be used.
    Client {
        /// The option or variable that names the file.
        source: String,
        path: PathBuf,
        error: ClientFileError,
    },
    /// The words of the TLS library.
    Other(String),
}

/// Why a file of `--tls-cert` or `--tls-key` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFileError {
    System(Errno),
    /// The path is that of a directory, FIFO or device, or the file is too long.
    NotAFile,
    Certificate(PemError),
    Key(KeyError),
    /// The key is of a kind or size that cannot sign here.
    UnknownKey,
    /// The key is not that of the certificate.
    OtherKey,
}

/// Why a file with CAs cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaFileError {
    System(Errno),
    Pem(PemError),
    /// None of its certificates can be a CA.
    NoCa,
}

/// Reads the value of `--tls-server-name`: an address, or a name that a certificate can be for.
///
/// # Errors
/// It is neither.
pub fn server_name(text: &str) -> Result<String, String> {
    let is_name = || {
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        text.len() <= LONGEST_NAME
            && name.split('.').all(is_label)
            && !name.rsplit('.').next().is_some_and(is_numeric)
    };
    if text.parse::<IpAddr>().is_ok() || is_name() {
        Ok(text.to_owned())
    } else {
        Err("is not a host name; use db.example.com".to_owned())
    }
}

fn is_label(label: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(is_letter)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::server_name;

    #[test]
    fn a_server_name_is_a_name_or_an_address() {
        let long = format!("{}.example", "a".repeat(63));
        for name in [
            "db",
            "db.example.com",
            "db.example.com.",
            "1.2.3.4",
            "::1",
            "_x.y",
            &long,
        ] {
            assert_eq!(server_name(name).as_deref(), Ok(name));
        }
        let label = "a".repeat(64);
        let many = "a.".repeat(127);
        for name in [
            "", ".", "a b", "-a", "a-", "a..b", ".a", "1.2", "12", &label, &many, "ä",
        ] {
            assert!(server_name(name).is_err(), "{name:?}");
        }
    }
}
