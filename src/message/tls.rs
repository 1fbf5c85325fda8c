//! Why no server can be verified, or no client certificate be presented: a file cannot be used, or
//! there is no TLS.

use crate::core::outcome::one_line;
use crate::core::pem::{KeyError, PemError};
use crate::core::redact;
use crate::core::trust::{CaFileError, ClientFileError, TrustError};

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
        TrustError::Client {
            source,
            path,
            error,
        } => {
            let path = redact::value(&path.to_string_lossy());
            format!(
                "{source} {path:?}: {}; {}",
                client_file_error(error),
                client_file_remedy(error)
            )
        }
        TrustError::Other(words) => words.clone(),
    }
}

const EMPTY: &str = "the file is empty";
const UTF16: &str = "not a PEM file, but text in UTF-16";
const NOT_PEM: &str = "not a PEM file";
const COPY_AGAIN: &str = "copy the file again, whole";
const SAVE_AS_UTF8: &str = "save it as UTF-8";

fn ca_file_error(error: &CaFileError) -> String {
    match error {
        CaFileError::System(errno) => errno.to_string(),
        CaFileError::NoCa => "no usable certificate".to_owned(),
        CaFileError::Pem(error) => pem_error(error),
    }
}

fn pem_error(error: &PemError) -> String {
    match error {
        PemError::Empty => EMPTY.to_owned(),
        PemError::Der => "not a PEM file, but a certificate in DER".to_owned(),
        PemError::Utf16 => UTF16.to_owned(),
        PemError::NotPem => NOT_PEM.to_owned(),
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
    }
}

fn client_file_error(error: &ClientFileError) -> String {
    let words = match error {
        ClientFileError::System(errno) => return errno.to_string(),
        ClientFileError::Certificate(error) => return pem_error(error),
        ClientFileError::Key(KeyError::NoKey(label)) => {
            let label = one_line(label, 40);
            return format!("no private key in it; its first block is {label:?}");
        }
        ClientFileError::NotAFile => "not a regular file of at most 1 MiB",
        ClientFileError::Key(KeyError::Empty) => EMPTY,
        ClientFileError::Key(KeyError::Der) => "not a PEM file, but DER",
        ClientFileError::Key(KeyError::Utf16) => UTF16,
        ClientFileError::Key(KeyError::NotPem) => NOT_PEM,
        ClientFileError::Key(KeyError::NoEnd) => "the private key in it has no END line",
        ClientFileError::Key(KeyError::Garbled) => {
            "the private key in it is damaged, or not base64"
        }
        ClientFileError::Key(KeyError::Encrypted) => "the private key is encrypted",
        ClientFileError::UnknownKey => {
            "a private key that cannot be used: RSA of 2048 to 4096 bits, P-256, P-384 and \
             Ed25519 can"
        }
        ClientFileError::OtherKey => "not the key of the certificate in --tls-cert",
    };
    words.to_owned()
}

const fn client_file_remedy(error: &ClientFileError) -> &'static str {
    match error {
        ClientFileError::Key(KeyError::Encrypted) => {
            "there is nobody to ask for its password: decrypt it with openssl pkey -in FILE -out \
             FILE.pem"
        }
        ClientFileError::Key(KeyError::Der) => {
            "convert it with openssl pkey -inform der -in FILE -out FILE.pem"
        }
        ClientFileError::Certificate(error) => match error {
            PemError::Empty | PemError::NotPem | PemError::NoCertificate(_) => CLIENT_FILES,
            PemError::Der
            | PemError::Utf16
            | PemError::NoEnd(_)
            | PemError::NoBegin
            | PemError::Garbled(_)
            | PemError::Trusted(_) => pem_remedy(error),
        },
        ClientFileError::Key(KeyError::Utf16) => SAVE_AS_UTF8,
        ClientFileError::Key(KeyError::NoEnd | KeyError::Garbled) => COPY_AGAIN,
        ClientFileError::OtherKey => {
            "the certificate comes first in its file, before its chain; set the two files of one \
             Secret"
        }
        ClientFileError::UnknownKey
        | ClientFileError::Key(KeyError::Empty | KeyError::NotPem | KeyError::NoKey(_))
        | ClientFileError::System(_)
        | ClientFileError::NotAFile => CLIENT_FILES,
    }
}

const CLIENT_FILES: &str =
    "set PEM files, such as --tls-cert /certs/tls.crt --tls-key /certs/tls.key";

const fn ca_file_remedy(error: &CaFileError) -> &'static str {
    match error {
        CaFileError::Pem(error) => pem_remedy(error),
        CaFileError::System(_) | CaFileError::NoCa => CA_FILE,
    }
}

const CA_FILE: &str = "set a PEM file with CA certificates, such as --tls-ca /etc/ca/ca.crt";

const fn pem_remedy(error: &PemError) -> &'static str {
    match error {
        PemError::Der => "convert it with openssl x509 -inform der -in FILE -out FILE.pem",
        PemError::Utf16 => SAVE_AS_UTF8,
        PemError::Trusted(_) => "convert it with openssl x509 -in FILE -out FILE.pem",
        PemError::NoEnd(_) | PemError::NoBegin | PemError::Garbled(_) => COPY_AGAIN,
        PemError::Empty | PemError::NotPem | PemError::NoCertificate(_) => CA_FILE,
    }
}

#[cfg(test)]
mod tests {
    use super::trust_error;
    use crate::core::errno::Errno;
    use crate::core::pem::{KeyError, PemError};
    use crate::core::trust::{CaFileError, ClientFileError, TrustError};

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
    fn a_client_certificate_that_cannot_be_used_has_a_cause_and_a_remedy() {
        let example = "set PEM files, such as --tls-cert /certs/tls.crt --tls-key /certs/tls.key";
        for (error, expected) in [
            (
                ClientFileError::System(Errno::ENOENT),
                format!("No such file or directory (os error 2); {example}"),
            ),
            (
                ClientFileError::NotAFile,
                format!("not a regular file of at most 1 MiB; {example}"),
            ),
            (
                ClientFileError::Certificate(PemError::NotPem),
                format!("not a PEM file; {example}"),
            ),
            (
                ClientFileError::Certificate(PemError::Garbled(2)),
                "certificate 2 in it is damaged, or not base64; copy the file again, whole"
                    .to_owned(),
            ),
            (
                ClientFileError::Key(KeyError::NoKey("CERTIFICATE".to_owned())),
                format!("no private key in it; its first block is \"CERTIFICATE\"; {example}"),
            ),
            (
                ClientFileError::Key(KeyError::Encrypted),
                "the private key is encrypted; there is nobody to ask for its password: decrypt \
                 it with openssl pkey -in FILE -out FILE.pem"
                    .to_owned(),
            ),
            (
                ClientFileError::Key(KeyError::Der),
                "not a PEM file, but DER; convert it with openssl pkey -inform der -in FILE -out \
                 FILE.pem"
                    .to_owned(),
            ),
            (
                ClientFileError::UnknownKey,
                format!(
                    "a private key that cannot be used: RSA of 2048 to 4096 bits, P-256, P-384 \
                     and Ed25519 can; {example}"
                ),
            ),
            (
                ClientFileError::OtherKey,
                "not the key of the certificate in --tls-cert; the certificate comes first in its \
                 file, before its chain; set the two files of one Secret"
                    .to_owned(),
            ),
        ] {
            let error = TrustError::Client {
                source: "--tls-key".to_owned(),
                path: "/k".into(),
                error,
            };
            assert_eq!(trust_error(&error), format!("--tls-key \"/k\": {expected}"));
        }
    }

    #[test]
    fn without_cas_or_without_tls_the_remedy_is_named() {
        assert!(trust_error(&TrustError::NoBundle).contains("--tls-ca FILE"));
        assert!(trust_error(&TrustError::NoTls).contains("use the full build, or an http URL"));
    }
}
