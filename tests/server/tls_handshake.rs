//! TLS handshakes: who is shown which certificate, what is agreed on, and who gets no further.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aerys::{Config, Host, Request, Response, Server, Tls};
use rustls::client::Resumption;
use rustls::{AlertDescription, Error, HandshakeKind, ProtocolVersion};

use crate::client::{Client, PATIENCE};
use crate::support::TestServer;
use crate::tls::telling;
use crate::tls_client::{ALL_VERSIONS, Authority, TLS_1_2, TLS_1_3, TlsClient, localhost};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Asks for `/` and reads the answer, tickets on the way.
fn ask(client: &mut TlsClient) {
    client.send(GET);
    let head = client.read(15);
    assert_eq!(head, b"HTTP/1.1 200 OK");
}

/// A server with certificates for those names, each in a file of its own, the first one first.
fn naming(names: &'static [&'static [&'static str]]) -> (TestServer, Authority, Vec<Vec<u8>>) {
    let authority = Authority::new();
    let issue = |(index, names): (usize, &&[&str])| authority.issue(&index.to_string(), names);
    let shown: Vec<Vec<u8>> = names.iter().enumerate().map(issue).collect();
    let mut tls = authority.tls("0");
    for index in 1..names.len() {
        let file = |extension| authority.path(&format!("{index}.{extension}"));
        tls = tls.add(file("pem"), file("key")).expect("a certificate");
    }
    let server = TestServer::start(|host, _| Server::new().host(host.tls(tls)));
    (server, authority, shown)
}

#[test]
fn the_certificate_for_the_name_is_shown_an_exact_one_first() {
    let (server, authority, shown) = naming(&[
        &["default.test", "127.0.0.1"],
        &["*.example.test"],
        &["a.example.test", "other.test"],
    ]);
    for (name, expected) in [
        ("default.test", 0),
        ("a.example.test", 2),
        ("A.Example.TEST", 2),
        ("b.example.test", 1),
        ("other.test", 2),
        // No name is sent of an address.
        ("127.0.0.1", 0),
    ] {
        let mut client = TlsClient::connect(server.address, &authority.config(), name);
        client.handshake().expect(name);
        assert!(client.certificate() == shown[expected], "{name}");
    }
    // It is for one label, and none is for who is in no certificate.
    for name in ["a.b.example.test", "example.test", "unknown.test"] {
        let mut client = TlsClient::connect(server.address, &authority.config(), name);
        let refused = client.handshake().expect_err(name);
        assert!(
            matches!(refused, Error::InvalidCertificate(_)),
            "{name}: {refused}"
        );
    }
}

#[test]
fn hosts_that_share_an_address_show_their_certificates_there() {
    let authority = Authority::new();
    let names = ["one.test", "two.test"];
    let shown = names.map(|name| authority.issue(name, &[name]));
    let tls = names.map(|name| authority.tls(name));
    let server = TestServer::start(move |host, _| {
        let [one, two] = tls;
        let answer = |text: &'static str| {
            move |_: &mut Request, response: &mut Response| {
                response.end(text);
            }
        };
        // It has no address of its own.
        let other = Host::new().name("two.test").tls(two).add(answer("two"));
        Server::new()
            .host(host.name("one.test").tls(one).add(answer("one")))
            .host(other)
    });
    for (index, name) in names.iter().enumerate() {
        let mut client = TlsClient::connect(server.address, &authority.config(), name);
        client.handshake().expect("a handshake");
        assert!(client.certificate() == shown[index], "{name}");
        let mut client = client.into_client();
        client.send_raw(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        assert_eq!(client.read_response().body, &name.as_bytes()[..3]);
    }
}

#[test]
fn a_protocol_is_agreed_on_that_both_speak() {
    let (server, authority) = telling(Config::default());
    for versions in [TLS_1_2, TLS_1_3] {
        for (offered, agreed) in [
            (&[][..], None),
            (&["http/1.1"][..], Some(&b"http/1.1"[..])),
            (&["spdy/3", "http/1.1"][..], Some(&b"http/1.1"[..])),
            // Ours comes first, whatever the client would rather have.
            #[cfg(feature = "http2")]
            (&["http/1.1", "h2"][..], Some(&b"h2"[..])),
        ] {
            let mut config = authority.client_config(versions);
            config.alpn_protocols = offered
                .iter()
                .map(|name| name.as_bytes().to_vec())
                .collect();
            let mut client = TlsClient::open(server.address, &Arc::new(config));
            assert_eq!(client.tls.alpn_protocol(), agreed);
            if agreed != Some(b"h2") {
                ask(&mut client);
            }
        }
        let mut config = authority.client_config(versions);
        config.alpn_protocols = vec![b"spdy/3".to_vec()];
        let mut client = TlsClient::connect(server.address, &Arc::new(config), "localhost");
        let alert = client
            .handshake()
            .expect_err("there is nothing to agree on");
        assert_eq!(
            alert,
            Error::AlertReceived(AlertDescription::NoApplicationProtocol)
        );
        // In an orderly way: the alert was read, and then the end.
        assert_eq!(client.stream.read(&mut [0]).expect("no reset"), 0);
    }
}

#[test]
fn sessions_are_resumed_in_both_versions_and_there_is_no_early_data() {
    let (server, authority) = telling(Config::default());
    for (versions, version) in [
        (TLS_1_2, ProtocolVersion::TLSv1_2),
        (TLS_1_3, ProtocolVersion::TLSv1_3),
    ] {
        let mut config = authority.client_config(versions);
        config.resumption = Resumption::in_memory_sessions(8);
        config.enable_early_data = true;
        let config = Arc::new(config);
        let mut first = TlsClient::open(server.address, &config);
        ask(&mut first);
        assert_eq!(first.tls.handshake_kind(), Some(HandshakeKind::Full));
        for _ in 0..2 {
            let mut next = TlsClient::connect(server.address, &config, "localhost");
            assert!(next.tls.early_data().is_none(), "it is not offered");
            next.handshake().expect("a handshake");
            ask(&mut next);
            assert_eq!(next.tls.protocol_version(), Some(version));
            assert_eq!(
                next.tls.handshake_kind(),
                Some(HandshakeKind::Resumed),
                "{version:?}"
            );
        }
    }
}

#[test]
fn certificates_are_read_again_and_nobody_is_disturbed() {
    let (server, authority) = telling(Config::default());
    let mut config = authority.client_config(ALL_VERSIONS);
    config.resumption = Resumption::in_memory_sessions(8);
    let resuming = Arc::new(config);
    let mut old = TlsClient::open(server.address, &resuming);
    ask(&mut old);
    let before = old.certificate();

    let after = authority.issue("localhost", &["localhost"]);
    let shown = || TlsClient::open(server.address, &authority.config()).certificate();
    assert!(shown() == before, "it is read when that is asked for");
    server.handle.reload_certificates().expect("they are right");
    assert!(shown() == after && after != before);
    let mut resumed = TlsClient::open(server.address, &resuming);
    assert_eq!(resumed.tls.handshake_kind(), Some(HandshakeKind::Resumed));
    ask(&mut resumed);
    old.send(GET);

    // What cannot be used changes nothing.
    let key = authority.write("localhost.key", "none");
    let error = server
        .handle
        .reload_certificates()
        .expect_err("there is no key");
    let error = error.to_string();
    assert!(error.starts_with(&key.display().to_string()), "{error}");
    assert!(error.ends_with("there is no private key in it"), "{error}");
    assert!(shown() == after);
}

#[test]
fn a_handshake_that_takes_too_long_is_cut() {
    let config = Config {
        tls_handshake_timeout: Duration::from_millis(400),
        ..Config::default()
    };
    let (server, authority) = telling(config);
    let begun = Instant::now();
    let mut silent = TlsClient::connect(server.address, &authority.config(), "localhost");
    let mut slow = TlsClient::connect(server.address, &authority.config(), "localhost");
    let hello = slow.records();
    // Progress buys no time.
    for byte in &hello[..20] {
        slow.send_raw(&[*byte]);
    }
    // Nor does what is not the client's last word: it never says Finished.
    let mut halfway = TlsClient::connect(server.address, &authority.config(), "localhost");
    halfway.flush();
    halfway.pull().expect("records");
    for (name, client) in [
        ("silent", &mut silent),
        ("slow", &mut slow),
        ("halfway", &mut halfway),
    ] {
        let mut rest = Vec::new();
        client
            .stream
            .read_to_end(&mut rest)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(350), "{name}: after {took:?}");
        assert!(took < Duration::from_secs(3), "{name}: after {took:?}");
    }
}

/// Whole flights in small pieces, one after the other, for most of the time that there is.
#[test]
fn handshakes_that_take_most_of_their_time_are_completed() {
    let (server, authority) = telling(Config {
        tls_handshake_timeout: Duration::from_secs(5),
        ..Config::default()
    });
    let config = authority.config();
    let mut clients: Vec<_> = (0..10)
        .map(|_| TlsClient::connect(server.address, &config, "localhost"))
        .collect();
    let drip = |clients: &mut [TlsClient]| {
        let flights: Vec<_> = clients.iter_mut().map(TlsClient::records).collect();
        for part in 0..10 {
            for (client, flight) in clients.iter_mut().zip(&flights) {
                let len = flight.len();
                client.send_raw(&flight[len * part / 10..len * (part + 1) / 10]);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    drip(&mut clients);
    for client in &mut clients {
        while !client.tls.wants_write() {
            client.pull().expect("records");
        }
    }
    drip(&mut clients);
    for client in &mut clients {
        ask(client);
    }
}

#[test]
fn plain_http_where_tls_is_spoken_is_told_so() {
    let (server, _) = telling(Config::default());
    for request in [
        GET,
        "POST /x HTTP/1.0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "G",
    ] {
        let mut client = Client::connect(server.address);
        client.send_raw(request);
        let response = client.read_response();
        assert_eq!(response.status, 400, "{request}");
        assert_eq!(response.field("Connection"), Some("close"));
        let body = String::from_utf8(response.body).expect("text");
        assert!(body.contains("https://"), "{body}");
        client.expect_eof();
    }
}

#[test]
fn garbage_is_answered_by_an_alert_and_the_end() {
    let config = Config {
        tls_handshake_timeout: Duration::from_millis(500),
        ..Config::default()
    };
    let (server, authority) = telling(config);
    for garbage in [
        &[0; 100][..],
        &[0xFF; 3000],
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xFF\xFF",
        b"\x80\x2E\x01\x03\x01",
        b"\x17\x03\x03\x00\x05hello",
        b"\x15\x03\x01\x00\x02\x02\x28",
    ] {
        let mut stream = TcpStream::connect(server.address).expect("the server accepts");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a TCP socket");
        stream.write_all(garbage).expect("the server reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("no reset");
        // An alert (21) of two bytes, or nothing where more might have made sense of it.
        let is_alert = matches!(answer[..], [21, 3, _, 0, 2, 2, _]);
        assert!(
            is_alert || answer.is_empty(),
            "{garbage:02x?}: {answer:02x?}"
        );
    }
    // Nobody else has noticed.
    ask(&mut TlsClient::open(server.address, &authority.config()));
}

#[test]
fn a_client_without_a_common_version_is_sent_an_alert() {
    let (server, authority) = telling(Config::default());
    let mut client = TlsClient::connect(server.address, &authority.config(), "localhost");
    let mut hello = client.records();
    // TLS 1.1, and no extension that says otherwise: the one for versions becomes an unknown one.
    hello[9..11].copy_from_slice(&[3, 2]);
    let versions = [0, 43, 0, 5, 4, 3, 4, 3, 3];
    let at = hello
        .windows(9)
        .position(|bytes| bytes == versions)
        .expect("supported_versions");
    hello[at..at + 2].copy_from_slice(&[0xFA, 0xFA]);
    client.send_raw(&hello);
    let alert = client.handshake().expect_err("TLS 1.1 is not spoken");
    assert_eq!(
        alert,
        Error::AlertReceived(AlertDescription::ProtocolVersion)
    );
}

#[test]
fn a_proxy_says_first_and_in_plain_who_its_client_is() {
    let (authority, secure) = localhost();
    let server = TestServer::start_at("127.0.0.1:0?proxy-protocol", |host, _| {
        let who = |request: &mut Request, response: &mut Response| {
            response.end(format!("{} {}", request.scheme(), request.client_address()));
        };
        Server::new().host(secure(host).add(who))
    });
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n";
    for in_one in [true, false] {
        let mut client = TlsClient::connect(server.address, &authority.config(), "localhost");
        let hello = client.records();
        if in_one {
            client.send_raw(&[&header[..], &hello].concat());
        } else {
            client.send_raw(header);
            client.send_raw(&hello);
        }
        client.handshake().expect("a handshake");
        let mut client = client.into_client();
        assert_eq!(client.get("/").body, b"https 192.0.2.1:1234");
    }
    // Who does not speak of anybody is closed, and who speaks in records too.
    let mut client = TlsClient::connect(server.address, &authority.config(), "localhost");
    client.flush();
    assert_eq!(client.stream.read(&mut [0]).expect("no reset"), 0);
}

#[test]
fn what_is_wrong_with_files_is_said_of_which() {
    let authority = Authority::new();
    authority.issue("one", &["one.test"]);
    authority.issue("two", &["two.test"]);
    let path = |name: &str| authority.path(name);
    let none = path("none.pem");
    let text = authority.write("text.pem", "no PEM at all\n");
    let cut = authority.write("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let bad = authority.write(
        "bad.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let locked = authority.write(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let (pem, key) = (path("one.pem"), path("one.key"));
    let wrong = format!(
        "{}: the private key in it is not that of the certificate in {}",
        path("two.key").display(),
        pem.display()
    );
    for (certificate, key, problem) in [
        (
            &none,
            &key,
            format!("{}: it cannot be read: ", none.display()),
        ),
        (
            &text,
            &key,
            format!("{}: there is no certificate in it", text.display()),
        ),
        (&cut, &key, format!("{}: it is not PEM: ", cut.display())),
        (
            &bad,
            &key,
            format!("{}: the certificate in it is none: ", bad.display()),
        ),
        (
            &pem,
            &text,
            format!("{}: there is no private key in it", text.display()),
        ),
        (
            &pem,
            &locked,
            format!("{}: the private key in it is protected", locked.display()),
        ),
        (&pem, &path("two.key"), wrong),
    ] {
        let error = Tls::new(certificate, key)
            .expect_err("it is wrong")
            .to_string();
        assert!(error.starts_with(&problem), "{error}");
    }
    // Both in one file, whatever comes first.
    let both = [std::fs::read(&key), std::fs::read(&pem)].map(|file| file.expect("a file"));
    let both = authority.write("both.pem", both.concat());
    let tls = Tls::new(&both, &both).expect("a certificate and its key");
    let shown = format!("{tls:?}");
    assert!(
        shown.contains("one.test") && !shown.to_lowercase().contains("private"),
        "{shown}"
    );
}

#[test]
fn an_address_with_tls_needs_a_certificate_and_is_not_without_it_too() {
    let (authority, secure) = localhost();
    let error = |server: Server| server.bind().expect_err("it cannot be").to_string();
    let none = error(Server::new().host(Host::new().listen("https://127.0.0.1:0")));
    assert!(none.contains("no host there has a certificate"), "{none}");
    let one = secure(Host::new().listen("127.0.0.1:54321").name("a.test"));
    let two = Host::new().listen("http://127.0.0.1:54321").name("b.test");
    let both = error(Server::new().host(one).host(two));
    assert!(both.contains("both with TLS and without"), "{both}");
    drop(authority);
}
