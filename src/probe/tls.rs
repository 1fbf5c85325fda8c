//! TLS with rustls and ring. Unlike the kubelet, podgate verifies certificates: against `--tls-ca`,
//! else `SSL_CERT_FILE`, else the system's bundle. No roots are built in, because the roots may
//! expire before the binary is replaced.

use super::stream::Stream;
use crate::core::errno::Errno;
use crate::core::outcome::{BadRedirect, Reason, TlsError, one_line};
use crate::core::trust::{CaFileError, Roots, TrustError, TrustSpec};
use crate::core::url::Host;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The paths of the bundle in distributions (the list of Go's `crypto/x509`).
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// webpki's error for a server whose certificate is a CA's. rustls passes it on as text only.
const OWN_CA: &str = "CaUsedAsEndEntity";

/// How servers are verified.
pub struct Trust {
    roots: Roots,
    /// `--tls-server-name`.
    server_name: Option<String>,
    /// Made for the first https server: it takes time to read a bundle, and most http checks are
    /// never redirected to https.
    config: OnceLock<Result<Arc<ClientConfig>, TrustError>>,
}

impl Trust {
    /// Reads no file yet.
    pub fn new(spec: TrustSpec) -> Self {
        Self {
            roots: spec.roots,
            server_name: spec.server_name,
            config: OnceLock::new(),
        }
    }

    /// Reads the roots, unless they were read already.
    ///
    /// # Errors
    /// The roots cannot be used.
    pub(crate) fn ready(&self) -> Result<(), TrustError> {
        self.config().map(|_| ())
    }

    fn config(&self) -> Result<Arc<ClientConfig>, TrustError> {
        self.config.get_or_init(|| config(&self.roots)).clone()
    }
}

fn config(roots: &Roots) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match roots {
        Roots::Anyone => Arc::new(TrustAnyone(Arc::clone(&provider))),
        Roots::File(path, source) => verify_by(&provider, path, Some(source))?,
        Roots::System => {
            let bundle = BUNDLES
                .iter()
                .map(Path::new)
                .find(|path| path.is_file())
                .ok_or(TrustError::NoBundle)?;
            verify_by(&provider, bundle, None)?
        }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::Other(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Trusts the CAs in the file at `path`, which `source` names.
fn verify_by(
    provider: &Arc<CryptoProvider>,
    path: &Path,
    source: Option<&String>,
) -> Result<Arc<TrustListed>, TrustError> {
    let failed = |error| TrustError::File {
        source: source.cloned(),
        path: path.to_owned(),
        error,
    };
    let mut roots = RootCertStore::empty();
    let mut listed = Vec::new();
    let text =
        std::fs::read(path).map_err(|error| failed(CaFileError::System(Errno::of(&error))))?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|_| failed(CaFileError::NotPem))?;
        // One old certificate must not make a bundle of a hundred useless.
        let _ = roots.add(certificate.clone());
        listed.push(certificate);
    }
    if roots.is_empty() {
        return Err(failed(CaFileError::NoCertificate));
    }
    let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    Ok(Arc::new(TrustListed {
        signed: signed
            .build()
            .map_err(|error| failed(CaFileError::Other(error.to_string())))?,
        listed,
    }))
}

/// Trusts servers whose certificate is signed by a listed CA, and servers whose certificate is
/// itself listed. `openssl req -x509` makes such a certificate: it is its own CA, and servers use
/// it directly. OpenSSL and Go accept it if it is listed as a CA. webpki refuses a CA as a server.
#[derive(Debug)]
struct TrustListed {
    signed: Arc<WebPkiServerVerifier>,
    listed: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for TrustListed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.signed.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match &verified {
            // webpki reports this after it has verified the validity, so only the name is left.
            Err(Error::InvalidCertificate(CertificateError::Other(error)))
                if error.to_string().contains(OWN_CA)
                    && self.listed.iter().any(|it| it == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            Ok(_) | Err(_) => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

pub(super) enum Failure {
    Io(io::Error),
    Reason(Reason),
}

/// A connection with TLS.
pub(super) struct Session(Box<StreamOwned<ClientConnection, Stream>>);

/// Verifies the server as `host`, or as the name of `--tls-server-name`.
pub(super) fn shake_hands(
    mut stream: Stream,
    host: &Host,
    trust: &Trust,
) -> Result<Session, Failure> {
    let failed = |error| Failure::Reason(Reason::Tls(error));
    // An https check has read the roots at the start, so this fails only for an http check that is
    // redirected to https.
    let config = trust
        .config()
        .map_err(|cause| Failure::Reason(Reason::BadRedirect(BadRedirect::NoTrust(cause))))?;
    let name = match (&trust.server_name, host) {
        (Some(name), Host::Name(_) | Host::Address(_)) => {
            ServerName::try_from(name.clone()).map_err(|_| failed(TlsError::NotAName))?
        }
        (None, Host::Name(name)) => ServerName::try_from(name.trim_end_matches('.').to_owned())
            .map_err(|_| failed(TlsError::NotAName))?,
        (None, Host::Address(address)) => ServerName::IpAddress(IpAddr::from(*address)),
    };
    let mut connection = ClientConnection::new(config, name)
        .map_err(|error| failed(TlsError::Other(error.to_string())))?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            return Err(
                match error
                    .get_ref()
                    .and_then(|inner| inner.downcast_ref::<Error>())
                {
                    Some(inner) => Failure::Reason(reason(inner)),
                    None => Failure::Io(error),
                },
            );
        }
    }
    Ok(Session(Box::new(StreamOwned::new(connection, stream))))
}

fn reason(error: &Error) -> Reason {
    if let Error::InvalidCertificate(error) = error {
        if *error == CertificateError::UnknownIssuer {
            return Reason::UnknownIssuer;
        }
        if matches!(
            error,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ) {
            return Reason::WrongName;
        }
        let is_late = matches!(
            error,
            CertificateError::Expired | CertificateError::ExpiredContext { .. }
        );
        if is_late
            || matches!(
                error,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }
            )
        {
            return Reason::WrongTime;
        }
        // The certificate is its own CA and is not listed: see TrustListed.
        if error.to_string().contains(OWN_CA) {
            return Reason::UnknownIssuer;
        }
    }
    if matches!(error, Error::InvalidMessage(_)) {
        return Reason::Tls(TlsError::NotTls);
    }
    Reason::Tls(TlsError::Other(one_line(&error.to_string(), 120)))
}

impl Read for Session {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            // The server closed without close_notify. The length of the body shows whether bytes
            // are missing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            result => result,
        }
    }
}

impl Write for Session {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Verifies nothing. The kubelet accepts even certificates that cannot be parsed (X.509 v1).
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use crate::core::trust::server_name;
    use rustls::pki_types::ServerName;

    #[test]
    fn the_command_line_accepts_the_server_names_that_rustls_accepts() {
        let (long, longer) = ("a".repeat(63), "a".repeat(64));
        let names = [
            "db",
            "db.example.com",
            "a.b.",
            "1.2.3.4",
            "::1",
            "[::1]",
            "_x",
            "a-b",
            "1a",
            "a1",
            "",
            ".",
            "..",
            "a b",
            "-a",
            "a-",
            "a..b",
            ".a",
            "1.2",
            "1.2.",
            "a.1",
            "12",
            "x.-y",
            "*.a",
            "a/b",
            "ä",
            &long,
            &longer,
        ];
        for name in names {
            let taken = ServerName::try_from(name).is_ok();
            assert_eq!(server_name(name).is_ok(), taken, "{name:?}");
        }
    }
}
