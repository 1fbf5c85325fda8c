//! The client certificate of `--tls-cert` and `--tls-key`.
//!
//! The files are read at the start. When a server asks for the certificate they are read again if
//! they have changed since: cert-manager and SPIFFE renew certificates while a wait lasts.

use super::token::contents;
use crate::core::errno::Errno;
use crate::core::pem::{self, KeyFormat};
use crate::core::trust::{ClientFileError, ClientFiles, TrustError};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes of a file. A certificate has some 2 KiB, and a chain has a few.
const MOST: usize = 1024 * 1024;

/// The certificate that podgate presents, with its key.
#[derive(Debug)]
pub(super) struct Identity {
    files: ClientFiles,
    /// The certificate and key that were read last, and the state of the files before that.
    read: Mutex<(Arc<CertifiedKey>, [State; 2])>,
}

/// What changes when a file is replaced or written: device, inode, size and time of the change.
type State = Option<(u64, u64, u64, i64, i64)>;

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    /// One cannot be used, or they do not belong together.
    pub(super) fn new(files: ClientFiles) -> Result<Self, TrustError> {
        let states = states(&files);
        let key = read(&files)?;
        let read = Mutex::new((Arc::new(key), states));
        Ok(Self { files, read })
    }

    /// The certificate and key that the files hold now. While they cannot be used, as between two
    /// steps of a renewal, it is the last one.
    fn current(&self) -> Arc<CertifiedKey> {
        let mut last = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let states = states(&self.files);
        if states != last.1
            && let Ok(key) = read(&self.files)
        {
            *last = (Arc::new(key), states);
        }
        Arc::clone(&last.0)
    }
}

fn states(files: &ClientFiles) -> [State; 2] {
    [&files.certificate.0, &files.key.0].map(|path| {
        let it = fs::metadata(path).ok()?;
        Some((it.dev(), it.ino(), it.size(), it.ctime(), it.ctime_nsec()))
    })
}

fn read(files: &ClientFiles) -> Result<CertifiedKey, TrustError> {
    let failed = |(path, source): &(PathBuf, String), error| TrustError::Client {
        source: source.clone(),
        path: path.clone(),
        error,
    };
    let of_certificate = |error| failed(&files.certificate, error);
    let of_key = |error| failed(&files.key, error);
    let chain = bytes(&files.certificate.0).map_err(of_certificate)?;
    let chain = pem::certificates(&chain)
        .map_err(|error| of_certificate(ClientFileError::Certificate(error)))?;
    let key = bytes(&files.key.0).map_err(of_key)?;
    let (format, der) =
        pem::private_key(&key).map_err(|error| of_key(ClientFileError::Key(error)))?;
    let der = match format {
        KeyFormat::Pkcs8 => PrivateKeyDer::Pkcs8(der.into()),
        KeyFormat::Pkcs1 => PrivateKeyDer::Pkcs1(der.into()),
        KeyFormat::Sec1 => PrivateKeyDer::Sec1(der.into()),
    };
    let key = any_supported_type(&der).map_err(|_| of_key(ClientFileError::UnknownKey))?;
    // A certificate of any version has its public key in these bytes.
    if let (Some(public), Some(own)) = (key.public_key(), chain.first())
        && !own.windows(public.len()).any(|part| part == &*public)
    {
        return Err(of_key(ClientFileError::OtherKey));
    }
    let chain = chain.into_iter().map(Into::into).collect();
    Ok(CertifiedKey::new(chain, key))
}

fn bytes(path: &Path) -> Result<Vec<u8>, ClientFileError> {
    let file = contents(path, MOST).map_err(|error| match error {
        Some(error) => ClientFileError::System(Errno::of(&error)),
        None => ClientFileError::NotAFile,
    })?;
    if file.len() > MOST {
        return Err(ClientFileError::NotAFile);
    }
    Ok(file)
}

/// Answers one server that asks for a client certificate, and notes that it did.
#[derive(Debug)]
pub(super) struct Presented {
    identity: Option<Arc<Identity>>,
    is_asked: AtomicBool,
}

impl Presented {
    pub(super) const fn new(identity: Option<Arc<Identity>>) -> Self {
        Self {
            identity,
            is_asked: AtomicBool::new(false),
        }
    }

    /// Whether the server has asked for a certificate.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// Whether the server has asked for a certificate, and there is one.
    pub(super) fn is_sent(&self) -> bool {
        self.is_asked() && self.identity.is_some()
    }
}

impl ResolvesClientCert for Presented {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.is_asked.store(true, Ordering::Relaxed);
        self.identity.as_ref().map(|it| it.current())
    }

    fn has_certs(&self) -> bool {
        self.identity.is_some()
    }
}
