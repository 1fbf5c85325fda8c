//! TLS with rustls and ring. Unlike the kubelet, podgate verifies certificates: against `--tls-ca`,
//! else `SSL_CERT_FILE`, else the system's bundle. No roots are built in, because the roots may
//! expire before the binary is replaced.

use super::identity::{Identity, Presented};
use super::stream::Stream;
use crate::core::errno::Errno;
use crate::core::outcome::{BadCertificate, BadRedirect, Reason, TlsError, one_line};
use crate::core::pem;
use crate::core::protocol;
use crate::core::trust::{CaFileError, ClientFiles, Roots, TrustError, TrustSpec};
use crate::core::url::Host;
use crate::core::x509;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, IpAddr, ServerName,
    SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct,
    Error, OtherError, PeerIncompatible, SignatureScheme,
};
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// The paths of the bundle in distributions (the list of Go's `crypto/x509`).
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The protocol that is spoken over TLS. A server that speaks only another one refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpn {
    Http1,
    Http2,
}

impl Alpn {
    const fn id(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }

    /// The server does not speak it.
    const fn is_missing(self) -> TlsError {
        match self {
            Self::Http1 => TlsError::NotHttp1,
            Self::Http2 => TlsError::NotHttp2,
        }
    }
}

/// How many names of a certificate are shown, and how long one may be, in bytes.
const SHOWN_NAMES: usize = 4;
const SHOWN_NAME: usize = 60;

/// How servers are verified, and the certificate that podgate presents to them.
pub struct Trust {
    roots: Roots,
    client: Option<ClientFiles>,
    /// `--tls-server-name`.
    server_name: Option<String>,
    /// Made for the first https server: it takes time to read a bundle, and most http checks are
    /// never redirected to https.
    config: OnceLock<Result<Config, TrustError>>,
}

/// What the files hold that the options name.
#[derive(Clone)]
struct Config {
    client: Arc<ClientConfig>,
    identity: Option<Arc<Identity>>,
}

impl Trust {
    /// Reads no file yet.
    pub fn new(spec: TrustSpec) -> Self {
        Self {
            roots: spec.roots,
            client: spec.client,
            server_name: spec.server_name,
            config: OnceLock::new(),
        }
    }

    /// Whether an attempt may read the files of a client certificate.
    pub(crate) const fn reads_files(&self) -> bool {
        self.client.is_some()
    }

    /// Reads the roots and the client certificate, unless they were read already.
    ///
    /// # Errors
    /// They cannot be used.
    pub(crate) fn ready(&self) -> Result<(), TrustError> {
        self.config().map(|_| ())
    }

    fn config(&self) -> Result<Config, TrustError> {
        let read = || {
            let identity = self.client.clone().map(Identity::new).transpose()?;
            Ok(Config {
                client: config(&self.roots)?,
                identity: identity.map(Arc::new),
            })
        };
        self.config.get_or_init(read).clone()
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
    provider: &CryptoProvider,
    path: &Path,
    source: Option<&String>,
) -> Result<Arc<TrustListed>, TrustError> {
    let failed = |error| TrustError::File {
        source: source.cloned(),
        path: path.to_owned(),
        error,
    };
    let text =
        std::fs::read(path).map_err(|error| failed(CaFileError::System(Errno::of(&error))))?;
    let listed = pem::certificates(&text).map_err(|error| failed(CaFileError::Pem(error)))?;
    let listed: Vec<_> = listed.into_iter().map(CertificateDer::from).collect();
    // One old certificate must not make a bundle of a hundred useless.
    let anchors: Vec<_> = listed
        .iter()
        .filter_map(|it| Some(anchor_from_trusted_cert(it).ok()?.to_owned()))
        .collect();
    if anchors.is_empty() {
        return Err(failed(CaFileError::NoCa));
    }
    Ok(Arc::new(TrustListed {
        algorithms: provider.signature_verification_algorithms,
        anchors,
        listed,
    }))
}

/// Trusts servers whose certificate is signed by a listed CA, and servers whose certificate is
/// itself listed, as OpenSSL, curl and Go do. webpki alone refuses a server whose certificate is a
/// CA's, as `openssl req -x509` makes it.
#[derive(Debug)]
struct TrustListed {
    algorithms: WebPkiSupportedAlgorithms,
    anchors: Vec<TrustAnchor<'static>>,
    listed: Vec<CertificateDer<'static>>,
}

impl TrustListed {
    /// Whether a listed CA has signed this certificate, by way of the intermediate ones.
    fn is_signed(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        EndEntityCert::try_from(der)?
            .verify_for_usage(
                algorithms,
                &self.anchors,
                intermediates,
                now,
                KeyUsage::server_auth(),
                None,
                None,
            )
            .map(|_| ())
    }

    /// The same for a certificate that is a CA's. webpki sees it with CA:FALSE. Its signature is
    /// verified over the bytes that the server sent.
    fn is_signed_as_ca(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let error = webpki::Error::CaUsedAsEndEntity;
        let changed = x509::without_ca(der).ok_or(error.clone())?;
        let part = x509::certificate(der).ok_or(error.clone())?.signed;
        let (Some(sent), Some(seen)) = (der.get(part.clone()), changed.get(part)) else {
            return Err(error);
        };
        let own: Vec<_> = self
            .algorithms
            .all
            .iter()
            .map(|algorithm| OverSent {
                algorithm: *algorithm,
                sent: sent.to_vec(),
                seen: seen.to_vec(),
            })
            .collect();
        let algorithms: Vec<&dyn SignatureVerificationAlgorithm> =
            own.iter().map(|it| it as _).collect();
        let changed = CertificateDer::from(changed.as_slice());
        self.is_signed(&changed, intermediates, &algorithms, now)
    }

    /// Why a chain is refused.
    fn reason(&self, error: &webpki::Error, chain: &[&[u8]]) -> Reason {
        use webpki::Error as E;
        if *error == E::UnknownIssuer {
            return Reason::UnknownIssuer;
        }
        if matches!(
            error,
            E::CertExpired { .. } | E::CertNotValidYet { .. } | E::InvalidCertValidity
        ) {
            return Reason::WrongTime;
        }
        if let E::CertNotValidForName(names) = error {
            return Reason::WrongName(names_of(&names.presented));
        }
        Reason::Certificate(self.bad_certificate(error, chain))
    }

    fn bad_certificate(&self, error: &webpki::Error, chain: &[&[u8]]) -> BadCertificate {
        use webpki::Error as E;
        let weak_key = || {
            let listed = self.listed.iter().map(|it| it.as_ref());
            weak_key(chain, listed).map(BadCertificate::Key)
        };
        if let E::UnsupportedSignatureAlgorithmContext(context) = error {
            return BadCertificate::Algorithm(x509::signature_name(
                &context.signature_algorithm_id,
            ));
        }
        if let E::UnsupportedSignatureAlgorithmForPublicKeyContext(context) = error {
            let name = x509::signature_name(&context.signature_algorithm_id);
            return weak_key().unwrap_or(BadCertificate::Algorithm(name));
        }
        if *error == E::InvalidSignatureForPublicKey {
            return weak_key().unwrap_or(BadCertificate::Signature);
        }
        if *error == E::UnsupportedCertVersion {
            let versions = chain.iter().filter_map(|der| x509::certificate(der));
            let version = versions.map(|it| it.version).find(|version| *version != 3);
            return version.map_or(BadCertificate::Malformed, BadCertificate::Version);
        }
        if matches!(
            error,
            E::BadDer | E::BadDerTime | E::TrailingData(_) | E::ExtensionValueInvalid
        ) {
            return BadCertificate::Malformed;
        }
        if let E::RequiredEkuNotFoundContext(_) = error {
            return BadCertificate::Purpose;
        }
        let simple = [
            (E::EmptyEkuExtension, BadCertificate::Purpose),
            (
                E::UnsupportedCriticalExtension,
                BadCertificate::CriticalExtension,
            ),
            (E::NameConstraintViolation, BadCertificate::NameConstraint),
            (E::PathLenConstraintViolated, BadCertificate::PathLength),
            (E::EndEntityUsedAsCa, BadCertificate::IssuerNotCa),
        ];
        let found = simple.into_iter().find(|(it, _)| it == error);
        found.map_or_else(
            || BadCertificate::Other(one_line(&error.to_string(), 80)),
            |(_, how)| how,
        )
    }
}

impl ServerCertVerifier for TrustListed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut signed = self.is_signed(end_entity, intermediates, self.algorithms.all, now);
        if signed == Err(webpki::Error::CaUsedAsEndEntity) {
            signed = self.is_signed_as_ca(end_entity, intermediates, now);
        }
        // webpki reports this after it has verified the validity and the purpose.
        if signed == Err(webpki::Error::UnknownIssuer) && self.listed.contains(end_entity) {
            signed = Ok(());
        }
        let verified = signed.and_then(|()| {
            EndEntityCert::try_from(end_entity)?.verify_is_valid_for_subject_name(server_name)
        });
        verified.map_err(|error| {
            let chain: Vec<&[u8]> = std::iter::once(end_entity)
                .chain(intermediates)
                .map(|it| it.as_ref())
                .collect();
            carried(self.reason(&error, &chain))
        })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
            .map_err(|error| by_key(error, certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
            .map_err(|error| by_key(error, certificate))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies a signature over what the server sent where webpki saw a changed certificate.
#[derive(Debug)]
struct OverSent {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    sent: Vec<u8>,
    seen: Vec<u8>,
}

impl SignatureVerificationAlgorithm for OverSent {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let message = if message == self.seen {
            &self.sent
        } else {
            message
        };
        self.algorithm
            .verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

/// A key in a chain that cannot be used, or in the listed certificate that has signed it.
fn weak_key<'a>(
    chain: &[&'a [u8]],
    listed: impl Iterator<Item = &'a [u8]>,
) -> Option<x509::UnknownKey> {
    let chain: Vec<_> = chain
        .iter()
        .filter_map(|der| x509::certificate(der))
        .collect();
    // The first one's own key signs no certificate.
    let mut keys = chain.iter().skip(1).map(|it| it.key);
    keys.find_map(|key| key).or_else(|| {
        let is_issuer =
            |it: &x509::Certificate<'_>| chain.iter().any(|below| below.issuer == it.subject);
        listed
            .filter_map(x509::certificate)
            .filter(is_issuer)
            .find_map(|it| it.key)
    })
}

/// The names in a certificate, from webpki's form `DnsName("localhost")`.
fn names_of(presented: &[String]) -> Vec<String> {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest);
        one_line(inner.trim_end_matches(')').trim_matches('"'), SHOWN_NAME)
    };
    let mut names: Vec<_> = presented.iter().take(SHOWN_NAMES).map(bare).collect();
    if presented.len() > SHOWN_NAMES {
        names.push("…".to_owned());
    }
    names
}

/// A reason that passes through the TLS library as an error.
#[derive(Debug)]
struct Fault(Reason);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is refused")
    }
}

impl std::error::Error for Fault {}

/// Passes a reason through rustls.
fn carried(reason: Reason) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Fault(reason)))))
}

/// The error of a signature in the handshake: the key may be the cause.
fn by_key(error: Error, certificate: &CertificateDer<'_>) -> Error {
    match x509::certificate(certificate).and_then(|it| it.key) {
        Some(key) => carried(Reason::Certificate(BadCertificate::Key(key))),
        None => error,
    }
}

/// A connection with TLS. Nothing here blocks.
pub(super) struct Session {
    connection: ClientConnection,
    stream: Stream,
    presented: Arc<Presented>,
    alpn: Alpn,
}

impl Session {
    /// Verifies the server as `host`, or as the name of `--tls-server-name`.
    ///
    /// # Errors
    /// The name cannot be in a certificate, or no server can be verified.
    pub(super) fn new(
        mut stream: Stream,
        host: &Host,
        trust: &Trust,
        alpn: Alpn,
    ) -> Result<Self, Reason> {
        // An https check has read the roots at the start, so this fails only for an http check that
        // is redirected to https.
        let Config {
            client: mut config,
            identity,
        } = trust
            .config()
            .map_err(|cause| Reason::BadRedirect(BadRedirect::NoTrust(cause)))?;
        let presented = Arc::new(Presented::new(identity));
        let own = Arc::make_mut(&mut config);
        own.client_auth_cert_resolver = Arc::<Presented>::clone(&presented);
        own.alpn_protocols = vec![alpn.id().to_vec()];
        let name = match (&trust.server_name, host) {
            (Some(name), Host::Name(_) | Host::Address(_)) => ServerName::try_from(name.clone()),
            (None, Host::Name(name)) => ServerName::try_from(name.trim_end_matches('.').to_owned()),
            (None, Host::Address(address)) => Ok(ServerName::IpAddress(IpAddr::from(*address))),
        };
        let name = name.map_err(|_| Reason::Tls(TlsError::NotAName))?;
        let connection = ClientConnection::new(config, name)
            .map_err(|error| Reason::Tls(TlsError::Other(error.to_string())))?;
        // The records of a handshake are sent one by one. Without this the request would wait for
        // the acknowledgement of the last one, which the server delays by 40 ms.
        stream.send_at_once();
        stream.keep_first_bytes();
        Ok(Self {
            connection,
            stream,
            presented,
            alpn,
        })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub(super) const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Whether it has bytes that the socket did not take yet.
    pub(super) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Continues the handshake. Returns whether it is complete.
    ///
    /// # Errors
    /// The handshake failed.
    pub(super) fn shake_hands(&mut self) -> Result<bool, Reason> {
        while self.connection.is_handshaking() {
            let Err(error) = self.connection.complete_io(&mut self.stream) else {
                continue;
            };
            let failed = |error| Err(Reason::Tls(error));
            return match rustls_error(&error) {
                Some(Error::InvalidMessage(_)) => {
                    failed(TlsError::NotTls(protocol::of(self.stream.first_bytes())))
                }
                Some(inner) => Err(self.reason(inner)),
                None if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                None => failed(TlsError::Closed),
            };
        }
        Ok(true)
    }

    fn reason(&self, error: &Error) -> Reason {
        reason(error, &self.presented, self.alpn)
    }

    /// Reads what has arrived, from the socket at most once. The inner error is that of the
    /// connection, as for a socket. `Interrupted`: what was read is not for the caller, such as a
    /// ticket of a session.
    ///
    /// # Errors
    /// A server of TLS 1.3 refuses its client after the handshake.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<io::Result<usize>, Reason> {
        if let Some(result) = self.received(buffer) {
            return Ok(result);
        }
        if let Err(error) = self.connection.complete_io(&mut self.stream) {
            return match rustls_error(&error) {
                Some(inner) => Err(self.reason(inner)),
                None => Ok(Err(error)),
            };
        }
        let result = self.received(buffer);
        Ok(result.unwrap_or_else(|| Err(io::ErrorKind::Interrupted.into())))
    }

    /// What was received and not read yet. `None`: nothing.
    fn received(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        match self.connection.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // The server closed without close_notify. The length of the body shows whether bytes
            // are missing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some(Ok(0)),
            result => Some(result),
        }
    }

    /// Takes bytes that are sent as soon as possible.
    ///
    /// # Errors
    /// None that matters: a read reports that the connection is broken.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.connection.writer().write(bytes)?;
        if !self.connection.is_handshaking() {
            // What the socket does not take is sent with the next step.
            let _ = self.connection.complete_io(&mut self.stream);
        }
        Ok(taken)
    }
}

fn rustls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

fn reason(error: &Error, presented: &Presented, alpn: Alpn) -> Reason {
    if let Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error
        && let Some(Fault(reason)) = inner.downcast_ref::<Fault>()
    {
        return reason.clone();
    }
    if let Error::AlertReceived(alert) = error {
        return Reason::Tls(alert_error(*alert, presented, alpn));
    }
    if matches!(
        error,
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        )
    ) {
        return Reason::Tls(TlsError::OldVersion);
    }
    if matches!(error, Error::PeerIncompatible(_)) {
        return Reason::Tls(TlsError::Refused);
    }
    Reason::Tls(TlsError::Other(one_line(&error.to_string(), 120)))
}

/// What an alert of the server means.
fn alert_error(alert: AlertDescription, presented: &Presented, alpn: Alpn) -> TlsError {
    use AlertDescription as Alert;
    let about_certificate = [
        Alert::HandshakeFailure,
        Alert::BadCertificate,
        Alert::UnsupportedCertificate,
        Alert::CertificateRevoked,
        Alert::CertificateExpired,
        Alert::CertificateUnknown,
        Alert::UnknownCA,
        Alert::AccessDenied,
        Alert::DecryptError,
        Alert::CertificateRequired,
    ];
    if presented.is_sent() && about_certificate.contains(&alert) {
        return TlsError::CertificateRefused(format!("{alert:?}"));
    }
    // Without a certificate a server of TLS 1.2 ends the handshake by one of the first two.
    if presented.is_asked() && about_certificate.iter().take(2).any(|it| *it == alert) {
        return TlsError::WantsCertificate;
    }
    let known = [
        (Alert::CertificateRequired, TlsError::WantsCertificate),
        (Alert::HandshakeFailure, TlsError::Refused),
        (Alert::InsufficientSecurity, TlsError::Refused),
        (Alert::ProtocolVersion, TlsError::OldVersion),
        (Alert::NoApplicationProtocol, alpn.is_missing()),
        (Alert::UnrecognisedName, TlsError::UnknownName),
    ];
    let found = known.into_iter().find(|(it, _)| *it == alert);
    found.map_or_else(|| TlsError::Alert(format!("{alert:?}")), |(_, error)| error)
}

/// Verifies nothing. The kubelet accepts even certificates that cannot be parsed (X.509 v1).
/// Signatures are not verified, so that the kinds are offered, too, that Go can verify and ring
/// cannot.
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
        let mut schemes = self.0.signature_verification_algorithms.supported_schemes();
        schemes.extend([
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
        ]);
        schemes
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
