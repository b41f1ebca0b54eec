//! HTTP and WebSocket over TLS.

use aerys::{Config, Endpoint, Request, Response, Server, WebSocketConfig, websocket};

use crate::client::{BINARY, Client, TEXT, frame, handshake, pattern, server_frame};
use crate::support::{Event, Recorder, TestServer, broadcast, echo};
use crate::tls_client::{Authority, End, TlsClient, localhost};

/// Tells what is known of a request.
fn tell(request: &mut Request, response: &mut Response) {
    let scheme = request.scheme();
    response.end(format!("{scheme} {}", request.target()));
}

/// A server of `localhost` that tells of requests.
pub(crate) fn telling(config: Config) -> (TestServer, Authority) {
    let (authority, secure) = localhost();
    let server = TestServer::start(|host, _| {
        Server::new().config(config).host(secure(host).add(tell))
    });
    (server, authority)
}

/// A server of `localhost` with an endpoint on any path.
pub(crate) fn endpoint(
    config: Config,
    options: WebSocketConfig,
    react: impl FnMut(&Endpoint, &Event) + Send + 'static,
) -> (TestServer, Authority) {
    let (authority, secure) = localhost();
    let server = TestServer::start(|host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, react)).config(options);
        let host = host.listen("http://127.0.0.1:0");
        Server::new().config(config).host(secure(host).add(endpoint))
    });
    (server, authority)
}

#[test]
fn requests_are_answered_one_after_the_other_on_one_connection() {
    let (server, authority) = telling(Config::default());
    let mut client = TlsClient::open(server.address, &authority.config()).into_client();
    for target in ["/a", "/b?c=d"] {
        let response = client.get(target);
        assert_eq!(response.status, 200);
        assert_eq!(response.body, format!("https {target}").into_bytes());
    }
    // Pipelined, in one record.
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.send_raw(["/1", "/2", "/3"].map(get).concat());
    for target in ["/1", "/2", "/3"] {
        assert_eq!(client.read_response().body, format!("https {target}").into_bytes());
    }
}

#[test]
fn messages_go_back_over_tls_whatever_their_length() {
    let (server, authority) = endpoint(Config::default(), WebSocketConfig::default(), echo);
    let mut client = TlsClient::open(server.address, &authority.config()).into_client();
    client.upgrade("/");
    client.send_text("Hello");
    assert_eq!(client.read_text(), "Hello");
    for len in [0, 1, 125, 126, 4095, 4096, 16_384, 65_536, 300_000, 1_500_000] {
        let message = pattern(len);
        client.send(true, BINARY, &message);
        assert_eq!(client.read_message(BINARY), message, "{len}");
    }
    client.send_close(1000);
    client.expect_close(1000);
    client.expect_eof();
    let _ = (TEXT, frame(true, TEXT, b""), server_frame(TEXT, b""), handshake(""), End::Orderly);
    let _ = (broadcast, Client::connect);
}
