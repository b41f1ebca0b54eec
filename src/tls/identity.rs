//! A certificate chain and its private key: where they come from, and whom they are for.

use super::certificate::{self, Validity};
use super::error::{Problem, TlsError};
use super::provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureScheme};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The file of the chain, and the file of the key.
    Files(PathBuf, PathBuf),
    /// It was made when the server started.
    #[cfg(feature = "self-signed")]
    Made,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Identity {
    source: Source,
    /// What a client may ask for, in lower case, perhaps with a `*` as the first label.
    names: Vec<String>,
    key: Arc<CertifiedKey>,
}

/// No key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("source", &self.source)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the chain in the file `certificate` and the key in the file `key`.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub(super) fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = read_chain(certificate)?;
        let read = read_key(key)?;
        let names = certificate::names(&chain[0]).map_err(|error| TlsError {
            path: Some(certificate.into()),
            problem: Problem::BadCertificate(error),
        })?;
        let failed = |problem| TlsError {
            path: Some(key.into()),
            problem,
        };
        let certified = CertifiedKey::from_der(chain, read, &provider());
        let certified = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                failed(Problem::WrongKey(certificate.into()))
            }
            error => failed(Problem::BadKey(error.to_string())),
        })?;
        let loaded = Self {
            names,
            key: Arc::new(certified),
            source: Source::Files(certificate.into(), key.into()),
        };
        loaded.judge_validity(certificate);
        Ok(loaded)
    }

    /// One that was made, with the names in it.
    ///
    /// # Errors
    ///
    /// Its certificate is none.
    #[cfg(feature = "self-signed")]
    pub(super) fn made(key: CertifiedKey) -> Result<Self, String> {
        Ok(Self {
            source: Source::Made,
            names: certificate::names(&key.cert[0])?,
            key: Arc::new(key),
        })
    }

    /// The same, read again, or the same still if it is in no file.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub(super) fn reload(&self) -> Result<Self, TlsError> {
        match &self.source {
            Source::Files(certificate, key) => Self::load(certificate, key),
            #[cfg(feature = "self-signed")]
            Source::Made => Ok(self.clone()),
        }
    }

    /// Says so if the certificate is not valid now. It is used all the same: a client that does not
    /// mind is served.
    fn judge_validity(&self, path: &Path) {
        let path = path.display();
        match certificate::validity(&self.key.cert[0], SystemTime::now()) {
            Some(Validity::Over) => log::warn!("{path}: the certificate in it is expired"),
            Some(Validity::ToCome) => log::warn!("{path}: the certificate in it is not valid yet"),
            Some(Validity::Now) | None => {}
        }
    }

    /// Whether it is for `name`, in lower case.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Whether it is for all names that differ from `name` in their first label alone (RFC 9525
    /// section 6.3).
    pub(super) fn has_name_above(&self, name: &str) -> bool {
        let Some((_, above)) = name.split_once('.') else {
            return false;
        };
        let mut wildcards = self
            .names
            .iter()
            .filter_map(|known| known.strip_prefix("*."));
        wildcards.any(|known| known == above)
    }

    /// Whether a client that judges signatures of `schemes` can judge those of its key.
    pub(super) fn fits(&self, schemes: &[SignatureScheme]) -> bool {
        self.key.key.choose_scheme(schemes).is_some()
    }

    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }

    /// See [`Tls::fingerprint`](super::Tls::fingerprint).
    pub(super) fn fingerprint(&self) -> String {
        certificate::fingerprint(&self.key.cert[0])
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError {
        path: Some(path.into()),
        problem: Problem::Unreadable(error),
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let failed = |problem| TlsError {
        path: Some(path.into()),
        problem,
    };
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| failed(Problem::NoPem(error.to_string())))?;
    if chain.is_empty() {
        return Err(failed(Problem::NoCertificate));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    const ENCRYPTED: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| TlsError {
        path: Some(path.into()),
        problem: match error {
            pem::Error::NoItemsFound => {
                let mut lines = text.split(|byte| *byte == b'\n');
                if lines.any(|line| line.starts_with(ENCRYPTED)) {
                    Problem::EncryptedKey
                } else {
                    Problem::NoKey
                }
            }
            error => Problem::NoPem(error.to_string()),
        },
    })
}
