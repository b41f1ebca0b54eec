//! WebSocket on streams of HTTP/2 (RFC 8441): to a handler it is what it is over HTTP/1.

use std::sync::mpsc::channel;
use std::time::Duration;

use aerys::{
    ClientId, Compression, CompressionMode, Config, Endpoint, Method, Request, Response, Router,
    Server, Version, WebSocketConfig, WebSocketHandler, websocket,
};

use crate::client::{BINARY, CONTINUATION, PING, PONG, TEXT, frame, pattern};
use crate::http2_client::{CANCEL, Http2Client, NO_ERROR};
use crate::support::{Event, TestServer, broadcast, echo};

/// Opens a WebSocket, and returns it with its id.
pub(crate) fn open(server: &TestServer, client: &mut Http2Client, path: &str) -> (u32, ClientId) {
    let stream = client.open_websocket(path);
    loop {
        if let Event::Open(id, target) = server.event() {
            assert_eq!(target, path);
            return (stream, id);
        }
    }
}

/// A handler that judges by the path.
struct Doorman;

impl WebSocketHandler for Doorman {
    type HandshakeData = ();

    fn on_handshake(&mut self, request: &Request, response: &mut Response) -> Option<()> {
        assert_eq!(*request.method(), Method::GET);
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.protocol(), Some("websocket"));
        assert_eq!(request.host(), Some("localhost"));
        assert_eq!(request.cookie("session"), Some("17"));
        match request.path() {
            "/none" => return None,
            "/unknown" => _ = response.set_status(401).end("who are you?"),
            "/full" => _ = response.set_status(503),
            "/elsewhere" => _ = response.redirect(307, "/ws"),
            "/panic" => panic!("in on_handshake, on purpose"),
            _ => _ = response.set_header("X-Welcome", request.param("name").unwrap_or_default()),
        }
        Some(())
    }

    fn on_data(&mut self, _: ClientId, _: aerys::Message<'_>) {}
}

fn doorman() -> TestServer {
    TestServer::start(|host, _| {
        let endpoint = websocket(|_| Doorman).config(WebSocketConfig {
            allowed_origins: Some(vec!["http://a".into()]),
            subprotocols: vec!["chat.2".into(), "chat.1".into()],
            ..WebSocketConfig::default()
        });
        let mut router = Router::new();
        for path in ["/ws", "/none", "/unknown", "/full", "/elsewhere", "/panic"] {
            router = router.get(path, endpoint.clone());
        }
        let plain = |_: &mut Request, response: &mut Response| _ = response.end("plain");
        let config = Config {
            linger_timeout: Duration::from_millis(50),
            ..Config::default()
        };
        let router = router.get("/plain", plain);
        Server::new().config(config).host(host.add(router))
    })
}

const COOKIE: (&str, &str) = ("cookie", "session=17");
const ORIGIN: (&str, &str) = ("origin", "http://a");

#[test]
fn an_extended_connect_is_an_opening_handshake() {
    let server = doorman();
    let mut client = Http2Client::connect(server.address);
    let protocols = ("sec-websocket-protocol", "chat.0, chat.1, chat.2");
    let fields = [COOKIE, ORIGIN, protocols];
    let stream = client.ask_websocket("/ws?name=you", &fields);
    let (response, is_last) = client.read_head(stream);
    assert_eq!((response.status, is_last), (200, false));
    assert_eq!(response.field("x-welcome"), Some("you"));
    assert_eq!(response.field("sec-websocket-protocol"), Some("chat.1"));
    // There is no key, and no length of what follows.
    for name in [
        "sec-websocket-accept",
        "content-length",
        "sec-websocket-extensions",
    ] {
        assert_eq!(response.field(name), None, "{name}");
    }
    client.send_message(stream, PING, "there?");
    assert_eq!(client.read_message(stream, PONG), b"there?");
}

#[test]
fn a_refusal_is_an_ordinary_answer() {
    let server = doorman();
    let mut client = Http2Client::connect(server.address);
    let open = client.ask_websocket("/ws", &[COOKIE, ORIGIN]);
    assert_eq!(client.read_head(open).0.status, 200);
    for (path, status, body) in [
        (
            "/none",
            403,
            Some("403 Forbidden: You may not connect here."),
        ),
        ("/unknown", 401, Some("who are you?")),
        ("/full", 503, Some("")),
        ("/elsewhere", 307, Some("")),
        ("/panic", 500, None),
        ("/missing", 404, None),
        // A 200 would open something.
        ("/plain", 400, None),
    ] {
        let stream = client.ask_websocket(path, &[COOKIE, ORIGIN]);
        let response = client.read_response(stream);
        assert_eq!(response.status, status, "{path}");
        let text = String::from_utf8(response.body).expect("text");
        assert!(
            body.is_none_or(|body| body.trim() == text.trim()),
            "{path}: {text}"
        );
        client.expect_reset(stream, NO_ERROR);
    }
    let stream = client.ask_websocket("/ws", &[COOKIE, ("origin", "http://b")]);
    assert_eq!(client.read_response(stream).status, 403);
    let old = [(":protocol", "websocket"), ("sec-websocket-version", "8")];
    let stream = client.send_request("CONNECT", "/ws", &old, false);
    let response = client.read_response(stream);
    // 426 would name what to upgrade to, and nothing is upgraded here.
    assert_eq!(response.status, 400);
    assert_eq!(response.field("sec-websocket-version"), Some("13"));
    assert_eq!(client.request("GET", "/ws", &[COOKIE]).status, 400);
    client.send_message(open, PING, "there?");
    assert_eq!(client.read_message(open, PONG), b"there?");
}

#[test]
fn messages_go_both_ways_however_they_are_cut() {
    let server = TestServer::echo();
    let mut client = Http2Client::connect(server.address);
    let (stream, id) = open(&server, &mut client, "/");
    client.send_text(stream, "Grüße");
    assert_eq!(client.read_text(stream), "Grüße");
    client.send_message(stream, BINARY, "");
    assert_eq!(client.read_message(stream, BINARY), b"");
    let fragments = [
        frame(false, TEXT, b"one "),
        frame(true, PING, b"amid"),
        frame(false, CONTINUATION, b"two "),
        frame(true, CONTINUATION, b"three"),
    ];
    for byte in fragments.concat() {
        client.send_piece(stream, &[byte], false);
    }
    assert_eq!(client.read_message(stream, PONG), b"amid");
    assert_eq!(client.read_text(stream), "one two three");
    // Several in one frame, and padding around what is no more than that.
    let two = [frame(true, TEXT, b"a"), frame(true, TEXT, b"b")].concat();
    client.send_padded(stream, &two, 200);
    assert_eq!(client.read_text(stream), "a");
    assert_eq!(client.read_text(stream), "b");
    let texts = ["Grüße", "one two three", "a", "b"].map(|text| Event::Text(id, text.into()));
    let mut events = server.remaining_events();
    events.retain(|event| !matches!(event, Event::Binary(..)));
    assert_eq!(events, texts);
}

#[test]
fn a_message_of_a_mebibyte_goes_both_ways() {
    let server = TestServer::echo();
    let mut client = Http2Client::connect(server.address);
    let (stream, _) = open(&server, &mut client, "/");
    let (other, _) = open(&server, &mut client, "/");
    let large = pattern(1 << 20);
    for _ in 0..3 {
        client.send_message(stream, BINARY, &large);
        client.send_text(other, "meanwhile");
        assert!(client.read_message(stream, BINARY) == large);
        assert_eq!(client.read_text(other), "meanwhile");
    }
}

#[test]
fn each_stream_is_a_client_of_its_own() {
    const CLIENTS: usize = 60;
    let server = TestServer::websocket(WebSocketConfig::default(), |ws, event| {
        if let Event::Text(client, text) = event
            && text == "who"
        {
            let ids = ws.clients();
            assert_eq!(ids.len(), ws.client_count());
            ws.send(*client, format!("{client} of {}", ids.len()));
        } else {
            echo(ws, event);
        }
    });
    let mut client = Http2Client::connect(server.address);
    let opened: Vec<_> = (0..CLIENTS)
        .map(|_| open(&server, &mut client, "/"))
        .collect();
    let mut ids: Vec<_> = opened.iter().map(|(_, id)| id.to_string()).collect();
    for (stream, id) in opened.iter().rev() {
        client.send_text(*stream, "who");
        let expected = format!("{id} of {CLIENTS}");
        assert_eq!(client.read_text(*stream), expected);
    }
    // The slot of one that left is another's; its id is nobody's.
    let (stream, id) = opened[7];
    client.reset_stream(stream, CANCEL);
    assert_eq!(server.close_event().0, id);
    let (stream, id) = open(&server, &mut client, "/");
    client.send_text(stream, "who");
    assert_eq!(client.read_text(stream), format!("{id} of {CLIENTS}"));
    ids.push(id.to_string());
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), CLIENTS + 1);
}

/// RFC 8441 knows no masks of its own: a client masks as ever (section 5), and is counted as ever.
#[test]
fn what_an_endpoint_knows_of_a_client_is_that_of_its_stream() {
    let (sender, infos) = channel();
    let server = TestServer::websocket(WebSocketConfig::default(), move |ws, event| {
        if let Event::Text(client, text) = event
            && text == "info"
        {
            let _ = sender.send(ws.info(*client).expect("it is open"));
        } else {
            echo(ws, event);
        }
    });
    let mut client = Http2Client::connect(server.address);
    let (stream, _) = open(&server, &mut client, "/");
    let (other, _) = open(&server, &mut client, "/");
    client.send_text(other, "not counted here");
    client.read_text(other);
    client.send_message(stream, PING, "p");
    client.read_message(stream, PONG);
    client.send_text(stream, "hello");
    client.read_text(stream);
    client.send_text(stream, "info");
    let info = infos.recv().expect("it was asked for");
    assert_eq!(info.remote_address, client.local_address());
    // Masked: 7 + 11 + 10 bytes; not masked: 3 + 7.
    assert_eq!((info.bytes_read, info.bytes_sent), (28, 10));
    assert_eq!((info.frames_read, info.frames_sent), (3, 2));
    assert_eq!((info.messages_read, info.messages_sent), (2, 1));
    assert_eq!(info.backlog_bytes, 0);
    assert!(info.last_read.is_some() && info.last_sent.is_some());
}

#[test]
fn messages_are_compressed_as_agreed() {
    for mode in [CompressionMode::Shared, CompressionMode::Dedicated] {
        let config = WebSocketConfig {
            compression: Some(Compression {
                mode,
                threshold_bytes: 100,
                ..Compression::default()
            }),
            ..WebSocketConfig::default()
        };
        let server = TestServer::websocket(config, broadcast);
        let mut client = Http2Client::connect(server.address);
        let extension = ("sec-websocket-extensions", "permessage-deflate");
        let stream = client.ask_websocket("/", &[extension]);
        let (response, _) = client.read_head(stream);
        let agreed = response
            .field("sec-websocket-extensions")
            .expect("it is agreed");
        assert!(agreed.starts_with("permessage-deflate"), "{agreed}");
        let plain = client.open_websocket("/");
        let text = "again and ".repeat(1000);
        client.send_text(plain, &text);
        assert!(client.read_text(plain) == text);
        let head = client.read_bytes(stream, 2);
        assert_eq!(head[0], 0xC1, "compressed, and one frame");
        assert!(head[1] < 126, "{} bytes", head[1]);
        let mut deflated = client.read_bytes(stream, head[1].into());
        deflated.extend(b"\x00\x00\xFF\xFF");
        let inflated = inflate(&deflated);
        assert!(inflated == text.as_bytes());
    }
}

fn inflate(deflated: &[u8]) -> Vec<u8> {
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
    let mut inflated = vec![0; 64 * 1024];
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
        | inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
    let mut state = Box::<DecompressorOxide>::default();
    let (_, _, len) = decompress(&mut state, deflated, &mut inflated, 0, flags);
    inflated.truncate(len);
    inflated
}

/// Neither waits for the other.
#[test]
fn requests_are_answered_beside_websockets() {
    let server = TestServer::start(|host, events| {
        let react = |ws: &Endpoint, event: &Event| echo(ws, event);
        let endpoint = websocket(|ws| crate::support::Recorder::new(ws, events, react));
        let plain = |request: &mut Request, response: &mut Response| {
            response.end(request.take_body());
        };
        let router = Router::new().get("/ws", endpoint).post("/plain", plain);
        Server::new()
            .config(Config::default())
            .host(host.add(router))
    });
    let mut client = Http2Client::connect(server.address);
    let streams: Vec<_> = (0..10).map(|_| client.open_websocket("/ws")).collect();
    for number in 0..50_usize {
        let text = number.to_string();
        for stream in &streams {
            client.send_text(*stream, &text);
        }
        assert_eq!(client.post("/plain", &text).body, text.as_bytes());
        for stream in &streams {
            assert_eq!(client.read_text(*stream), text);
        }
    }
}
