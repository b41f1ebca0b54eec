//! A server that becomes another while something is half done.

use crate::frames::settle;
use aerys::internals::{Peer, Simulation};
use aerys::{
    ClientId, Compression, Config, Endpoint, Host, Message, Request, Response, Router, Server,
    WebSocket, WebSocketConfig, WebSocketHandler, websocket,
};
use std::time::Duration;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Says which it is, and how long the body was.
fn say(number: usize) -> Router {
    let say = move |request: &mut Request, response: &mut Response| {
        response.end(format!("{number}: {}", request.body().len()));
    };
    Router::new().get("/", say).post("/", say)
}

fn server(router: Router, config: Config) -> Server {
    let host = Host::new().listen("127.0.0.1:0").add(router);
    Server::new().config(config).host(host)
}

/// What a client is answered to `bytes`.
fn ask(simulation: &mut Simulation, peer: Peer, bytes: &[u8]) -> String {
    simulation.send(peer, bytes);
    settle(simulation);
    String::from_utf8_lossy(&simulation.take_output(peer)).into_owned()
}

/// Whether it became that.
fn become_server(simulation: &mut Simulation, server: Server) -> bool {
    let became = simulation.reload(server).expect("it may");
    settle(simulation);
    became
}

#[test]
fn a_server_that_drains_becomes_another_and_one_whose_clients_leave_does_not() {
    let config = Config {
        drain_delay: Duration::from_secs(5),
        stop_timeout: Duration::from_secs(5),
        ..Config::default()
    };
    let server = |number| server(say(number), config.clone());
    let mut simulation = Simulation::new(server(0)).expect("it starts");
    let peers = [(); 2].map(|()| simulation.connect(true));
    simulation.stop();
    settle(&mut simulation);
    assert!(become_server(&mut simulation, server(1)));
    assert!(ask(&mut simulation, peers[0], GET).ends_with("1: 0"));
    assert_eq!(ask(&mut simulation, peers[1], &GET[..20]), "");
    simulation.advance(Duration::from_secs(5));
    settle(&mut simulation);
    assert!(!become_server(&mut simulation, server(2)));
    let answer = ask(&mut simulation, peers[1], &GET[20..]);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let late = simulation.connect(true);
    assert_eq!(ask(&mut simulation, late, GET), "", "nobody comes in");
}

/// Counts what it is sent.
struct Count {
    ws: Endpoint,
}

impl WebSocketHandler for Count {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        self.ws.send(client, format!("{}", message.len()));
    }
}

const HANDSHAKE: &[u8] = b"GET /count HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// A server with limits on each thing that can be half there.
fn limited(count: &WebSocket<Count>, number: usize, most: usize) -> Server {
    let options = WebSocketConfig {
        max_message_bytes: most as u64,
        max_frames_per_second: (number > 0).then_some(1),
        compression: Some(Compression::default()),
        ..WebSocketConfig::default()
    };
    let config = Config {
        max_header_section_bytes: 10 * most,
        max_body_bytes: most,
        max_connections_per_address: Some(most / 20),
        max_connections: Some(most / 10),
        ..Config::default()
    };
    let count = count.clone().config(options);
    server(say(number).get("/count", count), config)
}

/// Each has come to more than may be from then on.
#[test]
fn limits_below_what_is_half_there_count_from_then_on() {
    let count = websocket(|ws| Count { ws });
    let mut simulation = Simulation::new(limited(&count, 0, 100)).expect("it starts");
    let [head, body, message, compressed, whole] = [(); 5].map(|()| simulation.connect(true));
    let begun = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", &[b'x'; 300][..]].concat();
    ask(&mut simulation, head, &begun);
    let begun = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n";
    ask(&mut simulation, body, &[begun, &[b'x'; 30][..]].concat());
    for peer in [message, whole] {
        assert!(ask(&mut simulation, peer, HANDSHAKE).starts_with("HTTP/1.1 101 "));
    }
    let fragment = [b"\x01\xa8\0\0\0\0", &[b'x'; 40][..]].concat();
    ask(&mut simulation, message, &fragment);
    let offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let handshake = [&HANDSHAKE[..HANDSHAKE.len() - 2], offer].concat();
    let answer = ask(&mut simulation, compressed, &handshake);
    assert!(answer.contains("permessage-deflate"), "{answer}");
    // A stored block (RFC 1951 section 3.2.4) of 40 bytes.
    let fragment = [b"\x41\xad\0\0\0\0\0\x28\0\xd7\xff", &[b'x'; 40][..]].concat();
    ask(&mut simulation, compressed, &fragment);

    assert!(become_server(&mut simulation, limited(&count, 1, 20)));
    let answer = ask(&mut simulation, head, b"\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    // It was told that this much may come.
    let answer = ask(&mut simulation, body, &[b'x'; 10]);
    assert!(answer.ends_with("0: 40"), "{answer}");
    let last = b"\x80\x87\0\0\0\0\0\x01\0\xfe\xffx\0";
    for (peer, last) in [(message, &b"\x80\x81\0\0\0\0x"[..]), (compressed, last)] {
        let answer = ask(&mut simulation, peer, last);
        assert!(answer.contains("message is too big"), "{answer}");
    }
    let answer = ask(&mut simulation, whole, b"\x81\x82\0\0\0\0hi");
    assert_eq!(answer, "\u{fffd}\u{1}2");

    // Two are there, as many as may be: one that idles makes room.
    let late = simulation.connect(true);
    assert!(ask(&mut simulation, late, GET).ends_with("1: 0"));
    assert!(simulation.is_closed(body) && !simulation.is_closed(whole));
    assert!(become_server(&mut simulation, limited(&count, 2, 100)));
    assert!(ask(&mut simulation, late, GET).ends_with("2: 0"));
}
