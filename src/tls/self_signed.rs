//! A certificate that nobody vouches for, made when it is needed.

use super::error::{Problem, TlsError};
use super::identity::Identity;
use super::provider;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::time::{Duration, SystemTime};

/// How long it is valid. Browsers refuse what is for longer than a year or two.
const VALIDITY: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long it has been valid already: a client's clock may be slow.
const BEFORE: Duration = Duration::from_secs(24 * 3600);

/// Makes one for `names`.
///
/// # Errors
///
/// One of them cannot be in a certificate.
pub(super) fn make(names: &[&str]) -> Result<Identity, TlsError> {
    let failed = |error: String| TlsError {
        path: None,
        problem: Problem::NotMade(error),
    };
    let refused = |error: rcgen::Error| failed(error.to_string());
    let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
    let mut params = CertificateParams::new(names).map_err(refused)?;
    let now = SystemTime::now();
    params.not_before = (now - BEFORE).into();
    params.not_after = (now + VALIDITY).into();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "aerys self-signed");
    params.distinguished_name = name;
    let key = KeyPair::generate().map_err(refused)?;
    let certificate = params.self_signed(&key).map_err(refused)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let chain = vec![certificate.der().clone()];
    let certified = CertifiedKey::from_der(chain, key, &provider());
    let certified = certified.map_err(|error| failed(error.to_string()))?;
    Identity::made(certified).map_err(failed)
}
