//! What a listener needs to speak TLS: certificates, their keys, and the rules of the handshake.
//!
//! Files are read here, when they are named and when they are read again, and nowhere else. The
//! sessions that are made of it are the event loop's.

mod certificate;
mod error;
mod identity;
#[cfg(feature = "self-signed")]
mod self_signed;

pub use self::error::TlsError;
use self::identity::Identity;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

/// What is spoken behind a handshake (RFC 7301), most preferred first.
const ALPN: &[&[u8]] = if cfg!(feature = "http2") {
    &[b"h2", b"http/1.1"]
} else {
    &[b"http/1.1"]
};

/// Certificates and their private keys, for the addresses at which a host speaks TLS.
///
/// ```no_run
/// use aerys::{Host, Server, Tls};
/// let tls = Tls::new("example.com.pem", "example.com.key")?.add("example.org.pem", "example.org.key")?;
/// let host = Host::new().listen("0.0.0.0:443").listen("http://0.0.0.0:80").tls(tls);
/// Server::new().host(host).run()?;
/// # Ok::<(), aerys::Error>(())
/// ```
///
/// A client is shown the certificate for the name that it asks for: one that has this name, else one
/// with a `*` in place of its first label, else the first of all. The names are those in the
/// certificates; of several with the same name the first counts whose key the client can judge.
///
/// A clone is the same certificates: to read them again means all clones.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    /// Replaced as a whole when the files are read again.
    identities: RwLock<Arc<[Identity]>>,
}

impl Tls {
    /// The certificate chain in the PEM file `certificate`, its own certificate first, and the
    /// private key in the PEM file `key` (PKCS #8, PKCS #1 or SEC 1). Both may be one file.
    ///
    /// # Errors
    ///
    /// [`TlsError`]: a file cannot be read, there is no certificate or key in it, or the key is not
    /// the certificate's. That a certificate is expired is logged as a warning.
    pub fn new(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        let loaded = Identity::load(certificate.as_ref(), key.as_ref())?;
        Ok(Self::of(vec![loaded]))
    }

    /// Adds another certificate and its key, for the names in it.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn add(
        self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let loaded = Identity::load(certificate.as_ref(), key.as_ref())?;
        let mut identities = self.0.identities().to_vec();
        identities.push(loaded);
        Ok(Self::of(identities))
    }

    /// A certificate that is made now, for `names`: domains or IP addresses. Nobody vouches for it,
    /// so a browser warns and other clients have to be told of its
    /// [fingerprint](Self::fingerprint); for trying things out. It is valid for 90 days, and lives
    /// as long as the value.
    ///
    /// # Errors
    ///
    /// [`TlsError`]: one of the names cannot be in a certificate.
    #[cfg(feature = "self-signed")]
    pub fn self_signed(names: &[&str]) -> Result<Self, TlsError> {
        Ok(Self::of(vec![self_signed::make(names)?]))
    }

    /// The SHA-256 of the first certificate, as `openssl x509 -fingerprint -sha256` writes it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.identities()[0].fingerprint()
    }

    /// Reads all files again. Who connects from now on is shown what is in them now; who is
    /// connected is not disturbed, and sessions of before are resumed.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new): then everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let known = self.0.identities();
        let reload = |identity: &Identity| identity.reload();
        let loaded = known.iter().map(reload).collect::<Result<_, _>>()?;
        let identities = self.0.identities.write();
        *identities.unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// Of at least one.
    fn of(identities: Vec<Identity>) -> Self {
        Self(Arc::new(Shared {
            identities: RwLock::new(identities.into()),
        }))
    }

    /// Whether it is a clone of `other`.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Shared {
    fn identities(&self) -> Arc<[Identity]> {
        // Replaced at once: a panic elsewhere leaves it whole.
        let identities = self.identities.read();
        Arc::clone(&identities.unwrap_or_else(PoisonError::into_inner))
    }
}

/// Names and files, and no key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.identities().iter()).finish()
    }
}

/// What all keys are judged and used by.
fn provider() -> CryptoProvider {
    ring::default_provider()
}

/// What sessions with these certificates go by.
///
/// # Errors
///
/// The system has no randomness for the keys of tickets.
pub(crate) fn server_config(all: Vec<Tls>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Choice(all)));
    config.ignore_client_order = true;
    // Replayed, early data would be a request that somebody else sends once more.
    config.max_early_data_size = 0;
    // All that is needed to resume a session is the client's to keep, so no number of them costs
    // memory here.
    config.ticketer = ring::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 2;
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The certificates of all hosts that share a listener.
#[derive(Debug)]
struct Choice(Vec<Tls>);

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let sets: Vec<_> = self.0.iter().map(|tls| tls.0.identities()).collect();
        let identities = || sets.iter().flat_map(|set| set.iter());
        let fits = |identity: &&Identity| identity.fits(hello.signature_schemes());
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let named = name.as_deref().and_then(|name| {
            let exact = identities().filter(|identity| identity.has_name(name));
            let below = identities().filter(|identity| identity.has_name_above(name));
            exact.chain(below).find(fits)
        });
        // A key that the client cannot judge is refused by the handshake.
        let chosen = named
            .or_else(|| identities().find(fits))
            .or_else(|| identities().next());
        chosen.map(Identity::certified_key)
    }
}

#[cfg(all(test, feature = "self-signed"))]
pub(crate) mod tests;
