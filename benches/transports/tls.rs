//! The client's side of TLS.

use crate::anybody::Anybody;
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{SupportedProtocolVersion, version};
use std::sync::Arc;

/// TLS 1.3 without resumption, for what speaks `protocol` (RFC 7301).
pub(crate) fn config(protocol: &str) -> Arc<ClientConfig> {
    config_of(&version::TLS13, protocol, Resumption::disabled())
}

pub(crate) fn config_of(
    version: &'static SupportedProtocolVersion,
    protocol: &str,
    resumption: Resumption,
) -> Arc<ClientConfig> {
    let provider = ring::default_provider();
    let verifier = Arc::new(Anybody(provider.clone()));
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .expect("a version that the provider has")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    config.resumption = resumption;
    Arc::new(config)
}

pub(crate) fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a configuration that is whole")
}
