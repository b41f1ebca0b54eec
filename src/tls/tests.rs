use super::*;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use std::time::{Duration, SystemTime};

/// What both sides of a session go by.
pub(crate) fn both_sides(
    versions: &[&'static SupportedProtocolVersion],
) -> (Arc<ServerConfig>, ClientConnection) {
    let tls = Tls::self_signed(&["localhost"]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&tls)).expect("a root");
    let client = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)
        .expect("versions that there are")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::new(client), name).expect("a configuration");
    (server_config(vec![tls]).expect("randomness"), client)
}

fn certificate(tls: &Tls) -> CertificateDer<'static> {
    tls.0.identities()[0].certified_key().cert[0].clone()
}

#[test]
fn what_is_made_is_valid_for_90_days_and_for_those_names() {
    use certificate::{Validity, validity};
    let tls = Tls::self_signed(&["localhost", "*.example.test", "127.0.0.1"]).expect("names");
    let made = certificate(&tls);
    let now = SystemTime::now();
    let day = Duration::from_secs(24 * 3600);
    for (time, expected) in [
        (now - 2 * day, Validity::ToCome),
        (now, Validity::Now),
        (now + 89 * day, Validity::Now),
        (now + 91 * day, Validity::Over),
    ] {
        assert_eq!(validity(&made, time), Some(expected));
    }
    let identities = tls.0.identities();
    let identity = &identities[0];
    assert!(identity.has_name("localhost") && !identity.has_name("a.example.test"));
    assert!(identity.has_name_above("a.example.test"));
    assert!(!identity.has_name_above("example.test") && !identity.has_name_above("localhost"));
    assert!(!identity.has_name_above("a.b.example.test"));
    assert!(Tls::self_signed(&["\u{e4}.test"]).is_err());
    // It is in no file, and stays as it is.
    let fingerprint = tls.fingerprint();
    tls.reload().expect("nothing to read");
    assert_eq!(tls.fingerprint(), fingerprint);
    assert_eq!(fingerprint.len(), 32 * 3 - 1);
}

#[test]
fn no_cut_or_changed_certificate_is_read_beyond_its_end() {
    let tls = Tls::self_signed(&["localhost"]).expect("a certificate");
    let made = certificate(&tls);
    let now = SystemTime::now();
    for len in 0..made.len() {
        let _ = certificate::validity(&made[..len], now);
        let mut changed = made.to_vec();
        changed[len] ^= 0xFF;
        let _ = certificate::validity(&changed, now);
    }
}
