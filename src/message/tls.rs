//! Why no server can be verified: the CAs cannot be read, or there is no TLS.

use crate::core::redact;
use crate::core::trust::{CaFileError, TrustError};

/// The cause and the remedy.
pub fn trust_error(error: &TrustError) -> String {
    match error {
        TrustError::NoTls => "this build of podgate has no TLS and no https checks; use the full \
                              build, or an http URL"
            .to_owned(),
        TrustError::NoBundle => "this image has no CA bundle to verify an https server with; set \
                                 the server's CA with --tls-ca FILE, or accept any certificate, \
                                 as the kubelet does, with --tls-insecure"
            .to_owned(),
        TrustError::File {
            source,
            path,
            error,
        } => {
            let source = source.as_deref().unwrap_or("the system's CA bundle");
            let path = redact::value(&path.to_string_lossy());
            format!(
                "{source} {path:?}: {}; set a PEM file with CA certificates, such as \
                 --tls-ca /etc/ca/ca.crt, or use --tls-insecure",
                ca_file_error(error)
            )
        }
        TrustError::Other(words) => words.clone(),
    }
}

fn ca_file_error(error: &CaFileError) -> String {
    match error {
        CaFileError::System(errno) => errno.to_string(),
        CaFileError::NotPem => "not a PEM file".to_owned(),
        CaFileError::NoCertificate => "no usable certificate".to_owned(),
        CaFileError::Other(words) => words.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::trust_error;
    use crate::core::errno::Errno;
    use crate::core::trust::{CaFileError, TrustError};

    #[test]
    fn a_file_with_cas_that_cannot_be_used_is_named_with_the_cause() {
        let file = |source: Option<&str>, error| TrustError::File {
            source: source.map(str::to_owned),
            path: "/ca".into(),
            error,
        };
        let remedy = "set a PEM file with CA certificates, such as --tls-ca /etc/ca/ca.crt, or use \
                      --tls-insecure";
        for (error, cause) in [
            (
                file(Some("--tls-ca"), CaFileError::System(Errno::ENOENT)),
                "--tls-ca \"/ca\": No such file or directory (os error 2)",
            ),
            (
                file(Some("SSL_CERT_FILE"), CaFileError::NotPem),
                "SSL_CERT_FILE \"/ca\": not a PEM file",
            ),
            (
                file(None, CaFileError::NoCertificate),
                "the system's CA bundle \"/ca\": no usable certificate",
            ),
        ] {
            assert_eq!(trust_error(&error), format!("{cause}; {remedy}"));
        }
    }

    #[test]
    fn a_secret_in_the_place_of_the_path_is_hidden() {
        let error = TrustError::File {
            source: Some("--tls-ca".to_owned()),
            path: "http://u:s3cr3t@h/".into(),
            error: CaFileError::System(Errno::ENOENT),
        };
        assert!(!trust_error(&error).contains("s3cr3t"));
    }

    #[test]
    fn without_cas_or_without_tls_the_remedy_is_named() {
        assert!(trust_error(&TrustError::NoBundle).contains("--tls-ca FILE"));
        assert!(trust_error(&TrustError::NoTls).contains("use the full build, or an http URL"));
    }
}
