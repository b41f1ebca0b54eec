//! Clients behind proxies: who is believed, and what.

use std::sync::mpsc::channel;

use aerys::{Config, ForwardedField, Host, Request, Response, Server, TrustedProxy};

use crate::client::{Client, handshake_with};
use crate::support::{Event, Recorder, TestServer};

/// Tells what is known of the client of a request.
fn who(request: &mut Request, response: &mut Response) {
    response.end(format!(
        "{} {}://{}",
        request.client_address(),
        request.scheme(),
        request.host().unwrap_or_default()
    ));
}

/// A configuration that trusts those.
fn trusting(proxies: &[&str]) -> Config {
    let proxies = proxies.iter().map(|proxy| proxy.parse().expect("one"));
    Config {
        trusted_proxies: proxies.collect(),
        ..Config::default()
    }
}

fn ask(client: &mut Client, fields: &[(&str, &str)]) -> String {
    let response = client.request("GET", "/", fields);
    assert_eq!(response.status, 200, "{response:?}");
    String::from_utf8(response.body).expect("text")
}

/// What a client behind a proxy, and one that claims to be, are sent through with.
const FORWARDED: &[(&str, &str)] = &[
    ("X-Forwarded-For", "198.51.100.9, 192.0.2.1, 127.0.0.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "example.com"),
    ("Forwarded", "for=192.0.2.2;host=other.example;proto=https"),
];

#[test]
fn a_trusted_proxy_is_believed_and_its_client_is_the_client() {
    let server = TestServer::http(trusting(&["10.0.0.0/8", "127.0.0.0/8"]), who);
    let mut client = Client::connect(server.address);
    assert_eq!(
        ask(&mut client, FORWARDED),
        "192.0.2.1:0 https://example.com"
    );
    // The next request of the proxy is another client's.
    let peer = client.local_address();
    assert_eq!(ask(&mut client, &[]), format!("{peer} http://localhost"));
}

#[test]
fn whoever_is_not_trusted_is_the_client_itself() {
    for proxies in [&[][..], &["10.0.0.0/8", "unix"]] {
        let server = TestServer::http(trusting(proxies), who);
        let mut client = Client::connect(server.address);
        let peer = client.local_address();
        let expected = format!("{peer} http://localhost");
        assert_eq!(ask(&mut client, FORWARDED), expected, "{proxies:?}");
    }
}

/// What is kept of a request for the next one, for its allocations, is nobody's address.
#[cfg(target_os = "linux")]
#[test]
fn who_is_not_trusted_comes_after_who_is() {
    let server = TestServer::http(trusting(&["127.0.0.1"]), who);
    let mut proxy = Client::connect(server.address);
    let from = ([127, 0, 0, 2], 0).into();
    let mut other = Client::connect_from(from, server.address);
    for _ in 0..2 {
        assert_eq!(
            ask(&mut proxy, FORWARDED),
            "127.0.0.9:0 https://example.com"
        );
        let expected = format!("{} http://localhost", other.local_address());
        assert_eq!(ask(&mut other, FORWARDED), expected);
    }
}

#[test]
fn the_field_of_the_rfc_counts_if_it_is_chosen_and_the_other_does_not_then() {
    let config = Config {
        forwarded_field: ForwardedField::Forwarded,
        ..trusting(&["127.0.0.1"])
    };
    let server = TestServer::http(config, who);
    let mut client = Client::connect(server.address);
    let expected = "192.0.2.2:0 https://other.example";
    assert_eq!(ask(&mut client, FORWARDED), expected);
}

#[test]
fn a_proxy_on_a_unix_socket_is_trusted_if_those_are() {
    let path = std::env::temp_dir().join(format!("aerys-proxy-test-{}", std::process::id()));
    let address = format!("unix:{}", path.display());
    let _server = TestServer::start_at(&address, |host, _| {
        let config = Config {
            trusted_proxies: vec![
                TrustedProxy::Unix,
                "127.0.0.0/8".parse().expect("a network"),
            ],
            ..Config::default()
        };
        Server::new().config(config).host(host.add(who))
    });
    let mut client = Client::connect_unix(&path);
    assert_eq!(
        ask(&mut client, FORWARDED),
        "192.0.2.1:0 https://example.com"
    );
}

#[test]
fn the_address_of_a_websocket_client_behind_a_proxy_is_its_own() {
    let (sender, infos) = channel();
    let server = TestServer::start(|host, events| {
        let endpoint = aerys::websocket(|ws| {
            Recorder::new(ws, events, move |ws, event| {
                if let Event::Open(client, _) = event {
                    let _ = sender.send(ws.info(*client).expect("it is open").remote_address);
                }
            })
        });
        let config = trusting(&["127.0.0.1"]);
        Server::new().config(config).host(host.add(endpoint))
    });
    let mut addresses = Vec::new();
    for fields in [
        "X-Forwarded-For: 192.0.2.1\r\n",
        "X-Forwarded-For: 2001:db8::1\r\n",
        "",
    ] {
        let mut client = Client::connect(server.address);
        client.send_raw(handshake_with("/", fields));
        assert_eq!(client.read_response().status, 101);
        addresses.push((infos.recv().expect("a client"), client.local_address()));
    }
    assert_eq!(addresses[0].0.to_string(), "192.0.2.1:0");
    assert_eq!(addresses[1].0.to_string(), "[2001:db8::1]:0");
    assert_eq!(addresses[2].0, addresses[2].1);
}

#[test]
fn the_host_that_the_client_asked_the_proxy_for_answers() {
    let server = TestServer::start(|host, _| {
        let named = |name: &'static str| {
            move |_: &mut Request, response: &mut Response| {
                response.end(name);
            }
        };
        Server::new()
            .config(trusting(&["127.0.0.1"]))
            .host(host.add(named("any")))
            .host(Host::new().name("example.com").add(named("named")))
            .host(Host::new().name("tls.example:443").add(named("encrypted")))
    });
    let mut client = Client::connect(server.address);
    let mut host = |fields: &[(&str, &str)]| ask(&mut client, fields);
    assert_eq!(host(&[]), "any");
    assert_eq!(host(&[("X-Forwarded-Host", "example.com")]), "named");
    let tls = ("X-Forwarded-Host", "tls.example");
    assert_eq!(host(&[tls]), "any");
    assert_eq!(host(&[tls, ("X-Forwarded-Proto", "https")]), "encrypted");
}
