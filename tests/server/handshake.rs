//! The opening handshake (RFC 6455 section 4.2): who is let in, and what the others are told.

use std::sync::mpsc::channel;

use aerys::{
    ClientId, Endpoint, Message, Request, Response, Server, WebSocketConfig, WebSocketHandler,
    websocket,
};

use crate::client::{ACCEPT, Client, PING, PONG, TEXT, frame, handshake, handshake_with};
use crate::support::{Event, TestServer, echo};

/// Scenario 1.
#[test]
fn a_valid_handshake_opens_and_hands_its_data_to_on_open() {
    let server = TestServer::echo();
    let spellings = [
        ("Upgrade: websocket", "Connection: upgrade"),
        ("Upgrade: websocket", "Connection: keep-alive, Upgrade"),
        ("Upgrade: WebSocket", "Connection: upgrade"),
        (
            "Upgrade: h2c, websocket",
            "Connection: keep-alive\r\nConnection: Upgrade",
        ),
        ("upgrade: h2c\r\nUPGRADE: WEBSOCKET", "CONNECTION: UPGRADE"),
    ];
    for (upgrade, connection) in spellings {
        let request = handshake("/ws?a=b")
            .replace("Upgrade: websocket", upgrade)
            .replace("Connection: upgrade", connection);
        let mut client = Client::connect(server.address);
        client.send_raw(request);
        let response = client.read_response_head();
        assert_eq!(response.status, 101, "{upgrade}, {connection}");
        assert_eq!(response.field("Sec-WebSocket-Accept"), Some(ACCEPT));
        assert!(
            response
                .field("Upgrade")
                .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
        );
        assert!(
            response
                .field("Connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("upgrade"))
        );
        for absent in [
            "Content-Length",
            "Transfer-Encoding",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Extensions",
        ] {
            assert_eq!(response.field(absent), None);
        }
        assert_eq!(server.event(), Event::Handshake("/ws?a=b".into()));
        assert!(matches!(server.event(), Event::Open(_, data) if data == "/ws?a=b"));
        client.send_text("no body came before this");
        assert_eq!(client.read_text(), "no body came before this");
        client.send_close(1000);
        client.expect_close(1000);
        server.close_event();
    }
}

/// RFC 6455 section 1.3: the key and the accept value of the protocol's own example.
#[test]
fn the_example_of_the_rfc_is_accepted_with_its_accept_value() {
    let server = TestServer::echo();
    let mut client = Client::connect(server.address);
    client.send_raw(
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    let response = client.read_response();
    assert_eq!(
        response.field("Sec-WebSocket-Accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
}

/// Scenario 2.
#[test]
fn each_broken_rule_is_answered_with_its_status_and_the_handler_is_not_asked() {
    let server = TestServer::echo();
    let key = "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n";
    let upgrade: &[_] = &[("Upgrade", "websocket"), ("Connection", "upgrade")];
    let version: &[_] = &[
        ("Upgrade", "websocket"),
        ("Connection", "upgrade"),
        ("Sec-WebSocket-Version", "13"),
    ];
    let cases: [(&str, &str, u16, &[_]); 14] = [
        ("GET", "POST", 405, &[("Allow", "GET")]),
        ("Upgrade: websocket", "Upgrade: no websocket!", 426, upgrade),
        ("Upgrade: websocket\r\n", "", 426, upgrade),
        (
            "Connection: upgrade",
            "Connection: no upgrade!",
            426,
            upgrade,
        ),
        ("Connection: upgrade\r\n", "", 426, upgrade),
        ("Version: 13", "Version: 12", 426, version),
        ("Version: 13", "Version: 013", 426, version),
        ("Sec-WebSocket-Version: 13\r\n", "", 426, version),
        (key, "", 400, &[]),
        (key, "Sec-WebSocket-Key: \r\n", 400, &[]),
        (
            key,
            "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw\r\n",
            400,
            &[],
        ),
        (key, "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhX\r\n", 400, &[]),
        (
            key,
            "Sec-WebSocket-Key: not base64, is it??????==\r\n",
            400,
            &[],
        ),
        (key, &key.repeat(2), 400, &[]),
    ];
    for (rule, broken, status, fields) in cases {
        let mut client = Client::connect(server.address);
        let request = handshake("/").replacen(rule, broken, 1);
        assert_ne!(request, handshake("/"), "{rule:?} is not in the request");
        client.send_raw(request);
        let response = client.read_response();
        assert_eq!(response.status, status, "{broken}: {response:?}");
        for (name, value) in fields {
            let found = response.field(name).unwrap_or_default();
            assert!(
                found.eq_ignore_ascii_case(value),
                "{broken}: {name} in {response:?}"
            );
        }
        assert_eq!(response.field("Sec-WebSocket-Accept"), None);
        assert_eq!(
            server.event_within(std::time::Duration::ZERO),
            None,
            "{broken}: the handler was asked"
        );
        // It was an ordinary answer: the connection is still good for the right request.
        client.upgrade("/");
        assert!(matches!(server.event(), Event::Handshake(_)), "{broken}");
        assert!(matches!(server.event(), Event::Open(..)), "{broken}");
        client.reset();
        server.close_event();
    }
}

/// Scenario 2, the two that end the connection.
#[test]
fn an_old_version_and_a_body_are_refused() {
    let server = TestServer::echo();
    let mut client = Client::connect(server.address);
    client.send_raw(handshake("/").replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(client.read_response().status, 505);

    let mut client = Client::connect(server.address);
    client.send_raw(handshake_with("/", "Content-Length: 3\r\n"));
    // A ping: were the body taken for frames, it would be answered.
    client.send_raw(&frame(true, PING, b"")[..3]);
    let response = client.read_response();
    assert_eq!(response.status, 400);
    assert_eq!(response.field("Connection"), Some("close"));
    client.expect_eof();
    assert_eq!(server.remaining_events(), []);
}

#[test]
fn the_checks_are_made_in_the_order_of_the_table() {
    let server = TestServer::echo();
    // Everything is wrong; then the first wrong thing is mended, and so on.
    let mut request = handshake("/")
        .replace("GET", "POST")
        .replace("Upgrade: websocket", "Upgrade: x")
        .replace("Version: 13", "Version: 7")
        .replace("==", "=");
    let mends = [
        (405, "POST", "GET"),
        (426, "Upgrade: x", "Upgrade: websocket"),
        (426, "Version: 7", "Version: 13"),
        (400, "Dw=", "Dw=="),
        (101, "", ""),
    ];
    let mut client = Client::connect(server.address);
    for (status, wrong, right) in mends {
        client.send_raw(&request);
        let response = client.read_response();
        assert_eq!(response.status, status, "{request}");
        assert_eq!(
            response.field("Sec-WebSocket-Version").is_some(),
            wrong == "Version: 7"
        );
        request = request.replace(wrong, right);
    }
}

/// A handler that admits by request target.
struct Doorman;

impl WebSocketHandler for Doorman {
    type HandshakeData = ();

    fn on_handshake(&mut self, request: &Request, response: &mut Response) -> Option<()> {
        match request.path() {
            "/forbidden" => {
                response
                    .set_status(403)
                    .set_header("X-Why", "because")
                    .end("Nope");
                None
            }
            "/teapot" => {
                response.set_status(418);
                // Another status than 101 is a refusal, whatever is returned.
                Some(())
            }
            "/odd" => {
                response.set_status(100);
                Some(())
            }
            "/welcome" => {
                response
                    .set_header("X-Hello", "there")
                    .set_cookie(aerys::Cookie::new("seen", "yes"));
                Some(())
            }
            "/panic" => panic!("in on_handshake, on purpose"),
            _ => None,
        }
    }

    fn on_data(&mut self, _: ClientId, _: Message<'_>) {}
}

/// Scenario 3, and the other answers that a handler can give.
#[test]
fn the_handlers_refusal_is_an_ordinary_answer_on_a_connection_that_lives_on() {
    let server = TestServer::start(|host, _| Server::new().host(host.add(websocket(|_| Doorman))));
    let mut client = Client::connect(server.address);

    client.send_raw(handshake("/forbidden"));
    let response = client.read_response();
    assert_eq!((response.status, &response.body[..]), (403, &b"Nope"[..]));
    assert_eq!(response.field("X-Why"), Some("because"));
    assert_eq!(response.field("Sec-WebSocket-Accept"), None);
    assert_eq!(response.field("Upgrade"), None);

    client.send_raw(handshake("/teapot"));
    assert_eq!(client.read_response().status, 418);
    client.send_raw(handshake("/nobody-expected"));
    assert_eq!(client.read_response().status, 403);
    client.send_raw(handshake("/odd"));
    assert_eq!(client.read_response().status, 500);

    client.send_raw(handshake("/welcome"));
    let response = client.read_response();
    assert_eq!(response.status, 101);
    assert_eq!(response.field("X-Hello"), Some("there"));
    assert_eq!(response.field("Set-Cookie"), Some("seen=yes"));
    assert_eq!(response.field("Sec-WebSocket-Accept"), Some(ACCEPT));

    let mut client = Client::connect(server.address);
    client.send_raw(handshake("/panic"));
    assert_eq!(client.read_response().status, 500);
}

#[test]
fn frames_in_the_segment_of_the_handshake_are_served_behind_the_101() {
    let server = TestServer::echo();
    let mut client = Client::connect(server.address);
    let mut bytes = handshake("/").into_bytes();
    bytes.extend(frame(true, PING, b"early"));
    bytes.extend(frame(true, TEXT, b"bird"));
    bytes.extend(&frame(true, TEXT, b"cut")[..4]);
    client.send_raw(bytes);
    assert_eq!(client.read_response().status, 101);
    assert_eq!(client.read_message(PONG), b"early");
    assert_eq!(client.read_text(), "bird");
    client.send_raw(&frame(true, TEXT, b"cut")[4..]);
    assert_eq!(client.read_text(), "cut");
}

#[test]
fn a_handshake_byte_by_byte_is_a_handshake() {
    let server = TestServer::echo();
    let mut client = Client::connect(server.address);
    client.send_bytewise(handshake("/"));
    client.send_bytewise(frame(true, TEXT, b"slowly"));
    assert_eq!(client.read_response().status, 101);
    assert_eq!(client.read_text(), "slowly");
}

/// What is behind a refused handshake is the next request, and never frames.
#[test]
fn nothing_is_upgraded_before_a_101() {
    let server = TestServer::echo();
    let mut client = Client::connect(server.address);
    let refused = handshake("/one").replace("Version: 13", "Version: 8");
    client.send_raw(format!("{refused}{}", handshake("/two")));
    assert_eq!(client.read_response().status, 426);
    assert_eq!(client.read_response().status, 101);
    assert_eq!(server.event(), Event::Handshake("/two".into()));
}

#[test]
fn origins_are_compared_as_a_whole_and_byte_by_byte() {
    let config = WebSocketConfig {
        allowed_origins: Some(vec![
            "https://good.example".into(),
            "https://other.example:8443".into(),
        ]),
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let status = |fields: &str| {
        let mut client = Client::connect(server.address);
        client.send_raw(handshake_with("/", fields));
        client.read_response().status
    };
    assert_eq!(status("Origin: https://good.example\r\n"), 101);
    assert_eq!(status("Origin: https://other.example:8443\r\n"), 101);
    for refused in [
        "",
        "Origin: \r\n",
        "Origin: null\r\n",
        "Origin: http://good.example\r\n",
        "Origin: https://good.example:8443\r\n",
        "Origin: https://other.example\r\n",
        "Origin: https://good.example.evil.example\r\n",
        "Origin: https://evil.example/https://good.example\r\n",
        "Origin: https://good.example/\r\n",
        "Origin: https://evil.example\r\nOrigin: https://good.example\r\n",
        "Origin: https://good.example\r\nOrigin: https://evil.example\r\n",
    ] {
        assert_eq!(status(refused), 403, "{refused:?}");
    }
}

#[test]
fn the_first_subprotocol_of_the_client_that_is_spoken_here_is_confirmed() {
    let config = WebSocketConfig {
        subprotocols: vec!["chat.v2".into(), "chat.v1".into()],
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let confirmed = |offered: &str| {
        let mut client = Client::connect(server.address);
        client.send_raw(handshake_with("/", offered));
        let response = client.read_response();
        assert_eq!(response.status, 101, "{offered:?}");
        response.field("Sec-WebSocket-Protocol").map(str::to_owned)
    };
    assert_eq!(confirmed(""), None);
    assert_eq!(confirmed("Sec-WebSocket-Protocol: mqtt\r\n"), None);
    assert_eq!(
        confirmed("Sec-WebSocket-Protocol: mqtt, chat.v1, chat.v2\r\n").as_deref(),
        Some("chat.v1")
    );
    let two_lines = "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: chat.v2,chat.v1\r\n";
    assert_eq!(confirmed(two_lines).as_deref(), Some("chat.v2"));
    // Subprotocols are compared with their case.
    assert_eq!(confirmed("Sec-WebSocket-Protocol: CHAT.V1\r\n"), None);
}

/// No byte of an offer is on the wire again that is not one of our own subprotocols.
#[test]
fn what_is_no_token_among_subprotocols_is_never_reflected() {
    let config = WebSocketConfig {
        subprotocols: vec!["chat.v1".into()],
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    for offered in [
        "\"chat.v1\"",
        "chat.v1\t\u{b}x",
        "chat.v1;x=\u{1b}[31m",
        "chat.v1 chat.v1",
        "chat.v1\r\n X-Folded: 1",
        "chat.v1\rX-Injected: 1",
        "chat.v1\nX-Injected: 1",
        "chat.v1\0",
        ", ,chat.v1,",
        "",
    ] {
        let mut client = Client::connect(server.address);
        let field = format!("Sec-WebSocket-Protocol: {offered}\r\n");
        client.send_raw(handshake_with("/", &field));
        let response = client.read_response();
        let confirmed = response.field("Sec-WebSocket-Protocol");
        assert!(matches!(response.status, 101 | 400), "{offered:?}");
        assert!(
            matches!(confirmed, None | Some("chat.v1")),
            "{offered:?}: {confirmed:?}"
        );
        let known = [
            "upgrade",
            "connection",
            "sec-websocket-accept",
            "sec-websocket-protocol",
            "date",
            "content-length",
            "content-type",
            "server",
        ];
        for (name, value) in &response.fields {
            let name = name.to_ascii_lowercase();
            assert!(known.contains(&&name[..]), "{offered:?}: {name}: {value}");
        }
    }
}

#[test]
fn an_extension_that_is_offered_and_not_spoken_is_not_answered() {
    let server = TestServer::echo();
    let mut client = Client::connect(server.address);
    client.send_raw(handshake_with(
        "/",
        "Sec-WebSocket-Extensions: x-unknown; a=1, y-unknown\r\n",
    ));
    let response = client.read_response();
    assert_eq!(
        (response.status, response.field("Sec-WebSocket-Extensions")),
        (101, None)
    );
}

#[test]
fn on_open_may_send_and_what_it_sends_is_behind_the_101_and_its_own_broadcast() {
    let (sender, _keep) = channel();
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Open(client, _) = event {
            ws.send(*client, "first");
            ws.broadcast("all");
            ws.send(*client, "last");
        }
    };
    let server = TestServer::start(move |host, _| {
        let endpoint = websocket(|ws| crate::support::Recorder::new(ws, sender, react));
        Server::new().host(host.add(endpoint))
    });
    for _ in 0..2 {
        let mut client = Client::open(server.address, "/");
        for expected in ["first", "all", "last"] {
            assert_eq!(client.read_text(), expected);
        }
    }
}
