//! TLS of a client's side: whom it believes, and one session on a socket.

use crate::cli::client::flags::TlsArgs;
use crate::cli::client::transport::Brought;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, InvalidMessage,
    RootCertStore, SignatureScheme,
};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// Plaintext that is taken while records wait for the socket.
const MAX_WAITING_BYTES: usize = 64 * 1024;

/// What the sessions with one server are made of.
#[derive(Debug)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// For the server that is called `host`.
    ///
    /// # Errors
    ///
    /// A line on what is wrong with the certificates that are to vouch for it.
    pub(super) fn new(host: &str, args: &TlsArgs) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be spoken: {error}"))?;
        let mut config = if args.tls_insecure {
            let anyone = Arc::new(Anyone(provider));
            builder.dangerous().with_custom_certificate_verifier(anyone)
        } else {
            let roots = match &args.tls_ca {
                Some(file) => roots_in(file)?,
                None => system_roots()?,
            };
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.build().map_err(|error| error.to_string())?;
            builder.with_webpki_verifier(verifier)
        }
        .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("'{host}' is no name that a certificate could be for"))?;
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }

    /// A session that has not begun.
    pub(super) fn session(&self) -> io::Result<Session> {
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        Ok(Session {
            connection: connection.map_err(io::Error::other)?,
        })
    }
}

fn roots_in(file: &Path) -> Result<RootCertStore, String> {
    let wrong = |error: &dyn std::fmt::Display| {
        format!("--tls-ca: {} has no certificates: {error}", file.display())
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"there is no PEM block of one"));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old ones that nobody needs may be malformed: that is no reason to believe none.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(
            "this system has no certificates that vouch for servers: give --tls-ca FILE, or \
             --tls-insecure to believe anyone"
                .to_owned(),
        );
    }
    Ok(roots)
}

/// Believes every certificate, and that whoever shows it has its key only where that is shown.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What is wrong, and what helps if something does.
fn explained(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => format!(
            "{error}: give the certificate of who vouches for it with --tls-ca FILE, or believe anyone \
             with --tls-insecure"
        ),
        Error::InvalidCertificate(_) => {
            format!("{error}: --tls-insecure believes any certificate")
        }
        // What is no record of TLS at all.
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => format!("the server does not speak TLS ({error}): write ws:// or http://"),
        _ => format!("TLS: {error}"),
    }
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    connection: ClientConnection,
}

impl Session {
    pub(super) fn is_in_handshake(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Reads plaintext into `buffer`, and answers what is asked within a handshake.
    pub(super) fn read(
        &mut self,
        stream: &mut (impl Read + Write),
        buffer: &mut [u8],
    ) -> io::Result<Brought> {
        loop {
            match self.connection.reader().read(buffer) {
                Ok(0) => return Ok(Brought::End),
                Ok(len) => return Ok(Brought::Some(len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            match self.connection.read_tls(stream) {
                // Without a close_notify it may be cut (RFC 8446 section 6.1); the protocols above know
                // their ends.
                Ok(0) => return Ok(Brought::End),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Brought::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let processed = self.connection.process_new_packets();
            // An alert says to the server what is wrong, too.
            let flushed = self.flush(stream);
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, explained(&error)))?;
            flushed?;
        }
    }

    /// Takes the front of `bytes`: all of it, unless the socket is full.
    pub(super) fn write(&mut self, stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        let mut len = 0;
        while self.flush(stream)? && len < bytes.len() {
            let end = bytes.len().min(len + MAX_WAITING_BYTES);
            let taken = self.connection.writer().write(&bytes[len..end])?;
            if taken == 0 {
                // Before the handshake is done it is kept, up to a limit.
                break;
            }
            len += taken;
        }
        Ok(len)
    }

    /// Writes the records that wait. Whether none do any more.
    pub(super) fn flush(&mut self, stream: &mut impl Write) -> io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(stream) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Says that nothing more is sent.
    pub(super) fn end(&mut self, stream: &mut impl Write) -> io::Result<()> {
        self.connection.send_close_notify();
        self.flush(stream).map(drop)
    }
}
