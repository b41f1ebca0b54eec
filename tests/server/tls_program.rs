//! TLS of the program: flags, the file, what it prints, and certificates that are read again.

use std::sync::Arc;

use rustix::process::Signal;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::client::{BINARY, Client, pattern};
use crate::configuration::Folder;
use crate::program::{Program, command, run, run_command};
use crate::support::wait_until;
use crate::tls_client::{ALL_VERSIONS, Authority, TlsClient};

/// What a client goes by that knows a certificate by its fingerprint, and nobody who vouches for it.
fn knowing(fingerprint: &str) -> Arc<ClientConfig> {
    let known = Arc::new(Known(fingerprint.to_owned(), ring::default_provider()));
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(ALL_VERSIONS)
        .expect("versions that there are")
        .dangerous()
        .with_custom_certificate_verifier(known)
        .with_no_client_auth();
    Arc::new(config)
}

/// Judges a certificate by its fingerprint.
#[derive(Debug)]
struct Known(String, CryptoProvider);

/// The SHA-256 of `bytes` in hexadecimal pairs.
fn fingerprint(bytes: &[u8]) -> String {
    let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13();
    let hash = suite.expect("of TLS 1.3").common.hash_provider.hash(bytes);
    let pairs: Vec<String> = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    pairs.join(":")
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if fingerprint(certificate) == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("another certificate".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.1.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.1.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}

fn text(path: std::path::PathBuf) -> String {
    path.into_os_string().into_string().expect("UTF-8")
}

/// The flags for a certificate and its key.
fn flags(authority: &Authority, name: &str) -> [String; 4] {
    let file = |extension: &str| text(authority.path(&format!("{name}.{extension}")));
    [
        "--tls-cert".into(),
        file("pem"),
        "--tls-key".into(),
        file("key"),
    ]
}

fn serve(arguments: &[String]) -> Program {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Program::serve(&arguments)
}

#[test]
fn certificates_of_flags_are_shown_and_read_again_on_a_hangup() {
    let authority = Authority::new();
    let first = authority.issue("one", &["localhost"]);
    let other = authority.issue("two", &["two.test"]);
    let program = serve(&[flags(&authority, "one"), flags(&authority, "two")].concat());
    let shown = |name: &str| {
        let mut client = TlsClient::connect(program.address, &authority.config(), name);
        client.handshake().map(|()| client.certificate())
    };
    assert!(shown("localhost").is_ok_and(|shown| shown == first));
    assert!(shown("two.test").is_ok_and(|shown| shown == other));
    let mut connected = TlsClient::open(program.address, &authority.config()).into_client();
    assert_eq!(connected.get("/").status, 200);

    let second = authority.issue("one", &["localhost"]);
    program.signal(Signal::HUP);
    wait_until("the new certificate is shown", || {
        shown("localhost").is_ok_and(|shown| shown == second)
    });
    assert_eq!(connected.get("/").status, 200);
}

#[test]
fn a_self_signed_certificate_is_printed_by_its_fingerprint() {
    let mut program = Program::serve(&["--tls-self-signed", "--listen", "http://127.0.0.1:0"]);
    let plain = program.next_address();
    let line = program.next_line();
    let fingerprint = line
        .trim_end()
        .strip_prefix("sha256 Fingerprint=")
        .expect(&line);
    for name in ["localhost", "127.0.0.1"] {
        let mut client = TlsClient::connect(program.address, &knowing(fingerprint), name);
        client.handshake().expect("it is the one that was printed");
        assert_eq!(client.into_client().get("/").status, 200);
    }
    let other = fingerprint.replace(|digit| digit != ':', "0");
    let mut client = TlsClient::connect(program.address, &knowing(&other), "localhost");
    client.handshake().expect_err("it is another one");
    assert_eq!(Client::connect(plain).get("/").status, 200);
}

/// Without TLS a long one goes back from where it was read, by a write of its own.
#[test]
fn what_goes_back_as_it_came_is_sealed_too() {
    let authority = Authority::new();
    authority.issue("one", &["localhost"]);
    let program = serve(&flags(&authority, "one"));
    let mut client = TlsClient::open(program.address, &authority.config()).into_client();
    client.upgrade("/echo");
    for len in [100, 5000, 50_000, 200_000] {
        let message = pattern(len);
        client.send(true, BINARY, &message);
        assert!(client.read_message(BINARY) == message, "{len}");
    }
}

#[test]
fn what_is_printed_says_how_an_address_is_opened() {
    let mut serve = command();
    serve.args(["serve", "--tls-self-signed"]);
    for address in ["https://127.0.0.1:0", "127.0.0.1:0", "http://127.0.0.1:0"] {
        serve.args(["--listen", address]);
    }
    let mut program = Program::start(serve);
    let (second, third) = (program.next_line(), program.next_line());
    assert!(second.starts_with("https://127.0.0.1:"), "{second}");
    assert!(third.starts_with("http://127.0.0.1:"), "{third}");
}

#[test]
fn plain_requests_are_sent_on_to_https_but_for_those_of_an_authority() {
    let authority = Authority::new();
    authority.issue("one", &["localhost"]);
    let folder = Folder::new();
    folder.write(".well-known/acme-challenge/token", "proof");
    let root = text(folder.path().into());
    let more = ["--root", &root, "--tls-redirect", "127.0.0.1:0"].map(str::to_owned);
    let mut program = serve(&[&flags(&authority, "one")[..], &more].concat());
    let port = program.address.port();
    let mut client = Client::connect(program.next_address());
    for (target, location) in [
        ("/", format!("https://localhost:{port}/")),
        ("/a/b?c=d", format!("https://localhost:{port}/a/b?c=d")),
        ("http://x.test:80/y", format!("https://x.test:{port}/y")),
    ] {
        let answer = client.get(target);
        assert_eq!(answer.status, 308, "{target}");
        assert_eq!(answer.field("Location"), Some(&*location));
    }
    let proof = client.get("/.well-known/acme-challenge/token");
    assert_eq!((proof.status, &*proof.body), (200, &b"proof"[..]));
    assert_eq!(client.get("/.well-known/acme-challenge/none").status, 404);
}

#[test]
fn hosts_of_a_file_have_certificates_of_their_own() {
    let authority = Authority::new();
    let names = ["one.test", "two.test"];
    let shown = names.map(|name| authority.issue(name, &[name]));
    let hosts = names.map(|name| {
        let folder = text(authority.path(""));
        format!(
            "[[host]]\nnames = [\"{name}\"]\nlisten = [\"127.0.0.1:0\"]\nroot = \".\"\n\
             tls-cert = [\"{folder}{name}.pem\"]\ntls-key = [\"{folder}{name}.key\"]\n"
        )
    });
    // The second one listens where the first one does.
    let file = hosts
        .concat()
        .replacen("listen = [\"127.0.0.1:0\"]\n", "listen = []\n", 2);
    let file = file.replacen("listen = []\n", "listen = [\"127.0.0.1:0\"]\n", 1);
    let folder = Folder::with(file);
    assert_eq!(folder.problems(), Vec::<String>::new());
    let program = Program::start(folder.serve());
    for (name, shown) in names.iter().zip(shown) {
        let mut client = TlsClient::connect(program.address, &authority.config(), name);
        client.handshake().expect("a handshake");
        assert!(client.certificate() == shown, "{name}");
    }
}

#[test]
fn what_is_wrong_with_certificates_is_said_before_anything_is_served() {
    let authority = Authority::new();
    authority.issue("one", &["localhost"]);
    authority.issue("two", &["localhost"]);
    let file = |name: &str| text(authority.path(name));
    let (pem, key) = (file("one.pem"), file("two.key"));
    let wrong = format!("{key}: the private key in it is not that of the certificate in {pem}");
    let folder = Folder::with(format!("tls-cert = [\"{pem}\"]\ntls-key = [\"{key}\"]\n"));
    assert_eq!(folder.problems(), [format!("1: 'tls-cert': {wrong}")]);
    let host = "[[host]]\nlisten = [\"127.0.0.1:0\"]\nroot = \".\"\n";
    let folder = Folder::with(format!("{host}tls-cert = [\"none.pem\"]\n"));
    let problems = folder.problems();
    assert!(problems[0].starts_with("4: 'tls-cert': "), "{problems:?}");
    assert!(
        problems[0].contains("none.pem: it cannot be read: "),
        "{problems:?}"
    );
    let folder = Folder::with(format!(
        "{host}tls-cert = [\"{pem}\"]\ntls-self-signed = true\n"
    ));
    let problems = folder.problems();
    assert!(
        problems[0].contains("one is to be made in place of them"),
        "{problems:?}"
    );

    let both = host.replace("127.0.0.1:0", "https://127.0.0.1:1\", \"http://127.0.0.1:1");
    let problems = Folder::with(both).problems();
    assert_eq!(
        problems,
        ["2: 'listen': 127.0.0.1:1 has https:// in line 2"]
    );

    let listen = ["serve", "--listen", "127.0.0.1:0"];
    let (status, _, said) = run(&[&listen[..], &["--tls-cert", &pem, "--tls-key", &key]].concat());
    assert_eq!(
        (status, said),
        (Some(2), format!("aerys: --tls-cert: {wrong}\n"))
    );
    let keys = ["--tls-cert", &pem, "--tls-key", &key, "--tls-key", &key];
    let (status, _, said) = run(&[&listen[..], &keys].concat());
    assert_eq!(status, Some(2));
    assert!(said.contains("1 certificate and 2 keys"), "{said}");
    let (status, _, said) = run(&[&listen[..], &["--tls-key", &key]].concat());
    let no_certificate = "aerys: --tls-key: there is a key and no certificate: name the file of \
                          that by tls-cert\n";
    assert_eq!((status, &*said), (Some(2), no_certificate));
}

/// Wherever the program is started, and though one key may be that of several.
#[test]
fn files_of_certificates_are_named_from_where_the_file_is() {
    let authority = Authority::new();
    authority.issue("one", &["localhost"]);
    let folder = Folder::new();
    for (from, to) in [
        ("one.pem", "a/c.pem"),
        ("one.pem", "a/d.pem"),
        ("one.key", "a/k.pem"),
    ] {
        folder.write(to, std::fs::read(authority.path(from)).expect("a file"));
    }
    let own = "listen = ['127.0.0.1:0']\ntls-cert = ['c.pem', 'd.pem']\n\
               tls-key = ['k.pem', 'k.pem']\n";
    folder.write("a/one.toml", own);
    folder.write("a/host.toml", format!("[[host]]\ndemo = true\n{own}"));
    for file in ["a/one.toml", "a/host.toml"] {
        let mut check = command();
        check.args(["check", file]).current_dir(folder.path());
        let said = format!("{file} is fine: 1 host, 1 address\n");
        assert_eq!(run_command(check), (Some(0), said, String::new()));
    }
}

/// Else who meant to be encrypted would not be, or be sent to where nobody is.
#[test]
fn addresses_have_to_fit_the_certificates() {
    let authority = Authority::new();
    authority.issue("one", &["localhost"]);
    let flags = flags(&authority, "one");
    let (pem, key) = (&flags[1], &flags[3]);
    let how = "name its file by tls-cert, or have one made by tls-self-signed";
    let none = format!("there is no certificate for https://127.0.0.1:9: {how}");
    let unused = "there is a certificate, and TLS is spoken at no address: leave http:// out where \
                  it is to be";
    let nowhere = "tls-redirect: TLS is spoken nowhere to be sent on to";
    let plain = "tls-redirect: https://127.0.0.1:8: it is for plain HTTP, without https://";
    let own = format!("tls-cert = ['{pem}']\ntls-key = ['{key}']\n");
    let listen = |address: &str| format!("listen = ['{address}']\n");
    let (tls, http) = (listen("https://127.0.0.1:9"), listen("http://127.0.0.1:9"));
    let redirect = "tls-redirect = ['127.0.0.1:8']\n";
    for (file, problem) in [
        (tls.clone(), Some(&*none)),
        ([&*http, &own].concat(), Some(unused)),
        (redirect.to_owned(), Some(nowhere)),
        ([&*own, redirect].concat(), None),
        (
            [&*own, "tls-redirect = ['https://127.0.0.1:8']\n"].concat(),
            Some(plain),
        ),
        ([&*tls, &own].concat(), None),
    ] {
        let problem = problem.map(|problem| format!(" {problem}"));
        assert_eq!(
            Folder::with(&file).problems(),
            Vec::from_iter(problem),
            "{file}"
        );
    }
    let host =
        |name: &str, more: &str| format!("[[host]]\nnames = ['{name}']\ndemo = true\n{more}");
    let both = "127.0.0.1:9 is listened on both with TLS and without";
    for (hosts, problem) in [
        (host("a.test", &tls), Some(format!("4: {none}"))),
        // Where it listens, somebody has one; or shows one everywhere.
        (
            [
                host("a.test", &tls),
                host("b.test", &[&*listen("127.0.0.1:9"), &own].concat()),
            ]
            .concat(),
            None,
        ),
        ([host("a.test", &tls), host("b.test", &own)].concat(), None),
        (
            [host("a.test", &http), host("b.test", &own)].concat(),
            Some(format!("5: {unused}")),
        ),
        (
            [
                host("a.test", &http),
                host("b.test", &[&*listen("127.0.0.1:9"), &own].concat()),
            ]
            .concat(),
            Some(format!("8: {both}")),
        ),
        // A name may be that of an address.
        (
            [
                host("a.test", &listen("https://localhost:9")),
                host("b.test", &[&*listen("127.0.0.1:9"), &own].concat()),
            ]
            .concat(),
            None,
        ),
        (
            [redirect, &host("a.test", &http)].concat(),
            Some(format!(" {nowhere}")),
        ),
    ] {
        assert_eq!(
            Folder::with(&hosts).problems(),
            Vec::from_iter(problem),
            "{hosts}"
        );
    }
    let (status, _, said) = run(&["serve", "--listen", "https://127.0.0.1:9"]);
    assert_eq!((status, said), (Some(2), format!("aerys: {none}\n")));
    let (status, _, said) = run(&["serve", "--tls-redirect", "127.0.0.1:0"]);
    assert_eq!((status, said), (Some(2), format!("aerys: {nowhere}\n")));
}
