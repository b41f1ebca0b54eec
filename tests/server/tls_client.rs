//! Clients of TLS, by rustls on real sockets, and certificates for the servers that they speak to.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use aerys::{Host, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};

use crate::client::{Client, PATIENCE};

pub(crate) const ALL_VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
pub(crate) const TLS_1_2: &[&SupportedProtocolVersion] = &[&version::TLS12];
pub(crate) const TLS_1_3: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// Vouches for certificates, which lie in a folder that is removed with it.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("aerys-tls-test-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("randomness");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        Self { issuer, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// Writes `NAME.pem` and `NAME.key`, a certificate for those names, and returns the DER of it.
    pub(crate) fn issue(&self, name: &str, names: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("randomness");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        self.write(&format!("{name}.pem"), certificate.pem());
        self.write(&format!("{name}.key"), key.serialize_pem());
        certificate.der().to_vec()
    }

    /// What [`issue`](Self::issue) wrote.
    pub(crate) fn tls(&self, name: &str) -> Tls {
        let file = |extension| self.path(&format!("{name}.{extension}"));
        Tls::new(file("pem"), file("key")).expect("a certificate and its key")
    }

    /// What a client goes by that trusts this authority.
    pub(crate) fn client_config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions that there are")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::new(self.client_config(ALL_VERSIONS))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A certificate for `localhost`, a host that shows it, and what its clients go by.
pub(crate) fn localhost() -> (Authority, impl FnOnce(Host) -> Host + Send + 'static) {
    let authority = Authority::new();
    authority.issue("localhost", &["localhost"]);
    let tls = authority.tls("localhost");
    (authority, move |host: Host| host.tls(tls))
}

/// How a server's side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With `close_notify` and a FIN.
    Orderly,
    /// With a FIN alone.
    Truncated,
    /// With a reset.
    Reset,
}

/// One connection, whose every step is the test's.
pub(crate) struct TlsClient {
    pub(crate) stream: TcpStream,
    pub(crate) tls: ClientConnection,
    /// What was read and not asked for yet.
    unread: Vec<u8>,
}

impl TlsClient {
    /// Connects, and sends nothing yet.
    pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the server accepts");
        Self::over(stream, config, name)
    }

    pub(crate) fn over(stream: TcpStream, config: &Arc<ClientConfig>, name: &str) -> Self {
        stream.set_nodelay(true).expect("a TCP socket");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a TCP socket");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a TCP socket");
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let tls = ClientConnection::new(Arc::clone(config), name).expect("a configuration");
        Self {
            stream,
            tls,
            unread: Vec::new(),
        }
    }

    /// Connects and shakes hands.
    pub(crate) fn open(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let mut client = Self::connect(address, config, "localhost");
        client.handshake().expect("a handshake");
        client
    }

    /// The records that are to be sent.
    pub(crate) fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).expect("memory");
        }
        records
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    pub(crate) fn flush(&mut self) {
        let records = self.records();
        self.send_raw(&records);
    }

    pub(crate) fn handshake(&mut self) -> Result<(), rustls::Error> {
        self.flush();
        while self.tls.is_handshaking() {
            self.pull()?;
            self.flush();
        }
        Ok(())
    }

    /// Reads once, and opens what came; `None` at the end of the stream.
    pub(crate) fn pull(&mut self) -> Result<Option<usize>, rustls::Error> {
        match self.tls.read_tls(&mut self.stream) {
            Ok(0) => Ok(None),
            Ok(len) => {
                let state = self.tls.process_new_packets()?;
                let mut plain = vec![0; state.plaintext_bytes_to_read()];
                self.tls
                    .reader()
                    .read_exact(&mut plain)
                    .expect("it is there");
                self.unread.extend(plain);
                Ok(Some(len))
            }
            Err(error) => panic!("{error}, with {:?} read", self.unread),
        }
    }

    /// The records of `plain`.
    pub(crate) fn seal(&mut self, plain: impl AsRef<[u8]>) -> Vec<u8> {
        self.tls.writer().write_all(plain.as_ref()).expect("memory");
        self.records()
    }

    pub(crate) fn send(&mut self, plain: impl AsRef<[u8]>) {
        let records = self.seal(plain);
        self.send_raw(&records);
    }

    /// Says that nothing follows, and leaves the stream as it is.
    pub(crate) fn send_close_notify(&mut self) {
        self.tls.send_close_notify();
        self.flush();
    }

    pub(crate) fn read(&mut self, len: usize) -> Vec<u8> {
        while self.unread.len() < len {
            let pulled = self.pull().expect("records");
            assert!(pulled.is_some(), "the end behind {:?}", self.unread);
        }
        let rest = self.unread.split_off(len);
        std::mem::replace(&mut self.unread, rest)
    }

    /// Everything up to the end, and how it ended.
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let end = loop {
            match self.tls.read_tls(&mut self.stream) {
                Ok(0) => break End::Truncated,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
                Err(error) => panic!("{error}"),
            }
            let state = self.tls.process_new_packets().expect("records");
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            self.tls
                .reader()
                .read_exact(&mut plain)
                .expect("it is there");
            self.unread.extend(plain);
            if state.peer_has_closed() {
                // It reads nothing more then, so the stream is asked.
                match self.stream.read(&mut [0]) {
                    Ok(0) => break End::Orderly,
                    Ok(_) => panic!("something follows close_notify"),
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        (std::mem::take(&mut self.unread), end)
    }

    /// The certificate that the server showed.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.tls.peer_certificates().expect("a handshake")[0].to_vec()
    }

    /// A client of plaintext whose every byte goes through this one.
    pub(crate) fn into_client(mut self) -> Client {
        let (ours, theirs) = UnixStream::pair().expect("descriptors");
        (&ours).write_all(&self.unread).expect("a few bytes");
        self.stream.set_read_timeout(None).expect("a TCP socket");
        let tls = Arc::new(Mutex::new(self.tls));
        let (from, to) = (ours.try_clone().expect("a descriptor"), ours);
        let sending = self.stream.try_clone().expect("a descriptor");
        let sealing = Arc::clone(&tls);
        thread::spawn(move || seal_all(&from, &sealing, &sending));
        thread::spawn(move || open_all(&mut self.stream, &tls, &to));
        Client::from_unix(theirs)
    }
}

fn seal_all(mut from: &UnixStream, tls: &Mutex<ClientConnection>, mut to: &TcpStream) {
    let mut plain = vec![0; 16 * 1024];
    loop {
        let len = from.read(&mut plain).unwrap_or(0);
        let mut records = Vec::new();
        let mut tls = tls.lock().expect("no panic");
        if len == 0 {
            tls.send_close_notify();
        }
        tls.writer().write_all(&plain[..len]).expect("memory");
        while tls.wants_write() {
            tls.write_tls(&mut records).expect("memory");
        }
        drop(tls);
        if to.write_all(&records).is_err() || len == 0 {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
    }
}

/// A FIN that no `close_notify` came before is a reset to who reads the plaintext: it blocks.
fn open_all(from: &mut TcpStream, tls: &Mutex<ClientConnection>, mut to: &UnixStream) {
    let mut records = vec![0; 16 * 1024];
    loop {
        let len = from.read(&mut records).unwrap_or(0);
        let mut unread = &records[..len];
        let mut plain = Vec::new();
        let mut tls = tls.lock().expect("no panic");
        let mut has_ended = false;
        while !unread.is_empty() && !has_ended {
            tls.read_tls(&mut unread).expect("memory");
            let Ok(state) = tls.process_new_packets() else {
                return;
            };
            let mut more = vec![0; state.plaintext_bytes_to_read()];
            tls.reader().read_exact(&mut more).expect("it is there");
            plain.extend(more);
            has_ended = state.peer_has_closed();
        }
        drop(tls);
        if to.write_all(&plain).is_err() {
            return;
        }
        if has_ended {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        if len == 0 {
            return;
        }
    }
}
