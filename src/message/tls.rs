//! Why no server can be verified: the CAs cannot be read, or there is no TLS.

use crate::core::outcome::one_line;
use crate::core::pem::PemError;
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
                "{source} {path:?}: {}; {}, or use --tls-insecure",
                ca_file_error(error),
                ca_file_remedy(error)
            )
        }
        TrustError::Other(words) => words.clone(),
    }
}

fn ca_file_error(error: &CaFileError) -> String {
    match error {
        CaFileError::System(errno) => errno.to_string(),
        CaFileError::NoCa => "no usable certificate".to_owned(),
        CaFileError::Pem(error) => match error {
            PemError::Empty => "the file is empty".to_owned(),
            PemError::Der => "not a PEM file, but a certificate in DER".to_owned(),
            PemError::Utf16 => "not a PEM file, but text in UTF-16".to_owned(),
            PemError::NotPem => "not a PEM file".to_owned(),
            PemError::NoCertificate(label) => {
                let label = one_line(label, 40);
                format!("no certificate in it; its first block is {label:?}")
            }
            PemError::NoEnd(count) => format!("certificate {count} in it has no END line"),
            PemError::NoBegin => "a certificate in it has no BEGIN line".to_owned(),
            PemError::Garbled(count) => {
                format!("certificate {count} in it is damaged, or not base64")
            }
            PemError::Trusted(count) => {
                format!("certificate {count} in it is a TRUSTED CERTIFICATE of OpenSSL")
            }
        },
    }
}

fn ca_file_remedy(error: &CaFileError) -> &'static str {
    match error {
        CaFileError::Pem(PemError::Der) => {
            "convert it with openssl x509 -inform der -in FILE -out FILE.pem"
        }
        CaFileError::Pem(PemError::Utf16) => "save it as UTF-8",
        CaFileError::Pem(PemError::Trusted(_)) => {
            "convert it with openssl x509 -in FILE -out FILE.pem"
        }
        CaFileError::Pem(PemError::NoEnd(_) | PemError::NoBegin | PemError::Garbled(_)) => {
            "copy the file again, whole"
        }
        CaFileError::Pem(PemError::Empty | PemError::NotPem | PemError::NoCertificate(_))
        | CaFileError::System(_)
        | CaFileError::NoCa => {
            "set a PEM file with CA certificates, such as --tls-ca /etc/ca/ca.crt"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::trust_error;
    use crate::core::errno::Errno;
    use crate::core::pem::PemError;
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
                file(Some("SSL_CERT_FILE"), CaFileError::Pem(PemError::NotPem)),
                "SSL_CERT_FILE \"/ca\": not a PEM file",
            ),
            (
                file(Some("--tls-ca"), CaFileError::Pem(PemError::Empty)),
                "--tls-ca \"/ca\": the file is empty",
            ),
            (
                file(
                    Some("--tls-ca"),
                    CaFileError::Pem(PemError::NoCertificate("PRIVATE KEY".to_owned())),
                ),
                "--tls-ca \"/ca\": no certificate in it; its first block is \"PRIVATE KEY\"",
            ),
            (
                file(None, CaFileError::NoCa),
                "the system's CA bundle \"/ca\": no usable certificate",
            ),
        ] {
            assert_eq!(trust_error(&error), format!("{cause}; {remedy}"));
        }
    }

    #[test]
    fn a_file_that_can_be_converted_or_copied_again_gets_that_remedy() {
        for (error, text) in [
            (
                PemError::Der,
                "not a PEM file, but a certificate in DER; convert it with openssl x509 -inform \
                 der -in FILE -out FILE.pem",
            ),
            (
                PemError::Utf16,
                "not a PEM file, but text in UTF-16; save it as UTF-8",
            ),
            (
                PemError::Trusted(1),
                "certificate 1 in it is a TRUSTED CERTIFICATE of OpenSSL; convert it with openssl \
                 x509 -in FILE -out FILE.pem",
            ),
            (
                PemError::NoEnd(2),
                "certificate 2 in it has no END line; copy the file again, whole",
            ),
            (
                PemError::NoBegin,
                "a certificate in it has no BEGIN line; copy the file again, whole",
            ),
            (
                PemError::Garbled(3),
                "certificate 3 in it is damaged, or not base64; copy the file again, whole",
            ),
        ] {
            let error = TrustError::File {
                source: Some("--tls-ca".to_owned()),
                path: "/ca".into(),
                error: CaFileError::Pem(error),
            };
            assert_eq!(
                trust_error(&error),
                format!("--tls-ca \"/ca\": {text}, or use --tls-insecure")
            );
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
