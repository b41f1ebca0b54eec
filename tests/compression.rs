//! Who is sent what when messages are compressed, on simulated sockets: every client's stream is
//! inflated by a decoder of our own, which watches the window, and compared with what it was to get.

use aerys::internals::{Peer, Simulation};
use aerys::{
    BacklogPolicy, ClientId, Compression, CompressionMode, Endpoint, Everyone, Frame, Host,
    Message, Request, Response, Router, Server, WebSocketConfig, WebSocketHandler, websocket,
};
use miniz_oxide::deflate::compress_to_vec;
use noise::noise;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

#[path = "../src/websocket/deflate/codec/tests/reference.rs"]
mod reference;

#[path = "../src/websocket/deflate/codec/tests/noise.rs"]
mod noise;

/// Notes who opened, and echoes.
struct Handler {
    ws: Endpoint,
    opened: Rc<RefCell<Vec<ClientId>>>,
}

impl WebSocketHandler for Handler {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_open(&mut self, client: ClientId, (): ()) {
        self.opened.borrow_mut().push(client);
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        self.ws.send(client, message);
    }
}

struct Bench {
    simulation: Simulation,
    ws: Endpoint,
    opened: Rc<RefCell<Vec<ClientId>>>,
}

/// One client, and what it knows.
struct Client {
    peer: Peer,
    id: ClientId,
    /// What the server said to its offer.
    answer: Option<String>,
    /// Bytes that are not a whole frame yet.
    unread: Vec<u8>,
    /// What a message may refer to.
    window: Vec<u8>,
    /// The message that is not whole yet: its opcode, whether it is compressed, its payload.
    partial: Option<(u8, bool, Vec<u8>)>,
    compressed_count: usize,
    wire_len: usize,
}

fn bench(compression: Compression) -> Bench {
    bench_with(WebSocketConfig {
        compression: Some(compression),
        heartbeat: None,
        ..WebSocketConfig::default()
    })
}

fn bench_with(config: WebSocketConfig) -> Bench {
    let opened = Rc::default();
    let endpoint = websocket(|ws| Handler {
        ws,
        opened: Rc::clone(&opened),
    });
    let endpoint = endpoint.config(config);
    let ws = endpoint.endpoint();
    let host = Host::new().add(Router::new().get("/", endpoint));
    let simulation = Simulation::new(Server::new().host(host)).expect("starts");
    Bench {
        simulation,
        ws,
        opened,
    }
}

fn dedicated() -> Compression {
    Compression {
        mode: CompressionMode::Dedicated,
        threshold_bytes: 100,
        ..Compression::default()
    }
}

const OFFER: Option<&str> = Some("permessage-deflate; client_max_window_bits");

impl Bench {
    fn connect(&mut self, offer: Option<&str>) -> Client {
        self.connect_to("/", offer)
    }

    fn connect_to(&mut self, path: &str, offer: Option<&str>) -> Client {
        let peer = self.simulation.connect(true);
        let offer = offer.map_or(String::new(), |offer| {
            format!("Sec-WebSocket-Extensions: {offer}\r\n")
        });
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
        );
        self.simulation.send(peer, request.as_bytes());
        self.settle();
        let head = String::from_utf8(self.simulation.take_output(peer)).expect("a response head");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let name = "sec-websocket-extensions: ";
        let answer = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix(name)
                .map(str::to_owned)
        });
        Client {
            peer,
            id: *self.opened.borrow().last().expect("it opened"),
            answer,
            unread: Vec::new(),
            window: Vec::new(),
            partial: None,
            compressed_count: 0,
            wire_len: 0,
        }
    }

    fn settle(&mut self) {
        self.simulation.settle().expect("it goes on");
    }

    /// The messages that came since, with their opcodes.
    fn read(&mut self, client: &mut Client) -> Vec<(u8, Vec<u8>)> {
        self.settle();
        let bytes = self.simulation.take_output(client.peer);
        client.wire_len += bytes.len();
        client.unread.extend_from_slice(&bytes);
        let mut messages = Vec::new();
        while let Some((first, payload)) = take_frame(&mut client.unread) {
            messages.extend(client.take(first, &payload));
        }
        messages
    }

    /// The texts that came since.
    fn texts(&mut self, client: &mut Client) -> Vec<String> {
        let text = |(opcode, payload)| {
            assert_eq!(opcode, 1, "a text");
            String::from_utf8(payload).expect("UTF-8")
        };
        self.read(client).into_iter().map(text).collect()
    }
}

impl Client {
    /// Takes a frame; the message, if it is whole by it.
    fn take(&mut self, first: u8, payload: &[u8]) -> Option<(u8, Vec<u8>)> {
        let (opcode, rsv1) = (first & 0x0F, first & 0x40 != 0);
        assert!(!rsv1 || self.answer.is_some(), "it was not agreed");
        assert_eq!(first & 0x30, 0);
        if opcode == 0 {
            assert!(!rsv1, "RSV1 is for the first frame");
            let partial = self.partial.as_mut().expect("a message was begun");
            partial.2.extend_from_slice(payload);
        } else {
            assert!(self.partial.is_none(), "a message is open");
            self.partial = Some((opcode, rsv1, payload.to_vec()));
        }
        if first & 0x80 == 0 {
            return None;
        }
        let (opcode, compressed, payload) = self.partial.take()?;
        if !compressed {
            return Some((opcode, payload));
        }
        self.compressed_count += 1;
        let answer = self.answer.as_deref()?;
        let window_bits = answer.split_once("server_max_window_bits=");
        let window_bits = window_bits.map_or(15, |(_, bits)| {
            let bits = bits.split(';').next().expect("a number");
            bits.parse().expect("a number")
        });
        let inflated = reference::inflate(&payload, &self.window);
        assert!(
            inflated.greatest_distance <= 1 << window_bits,
            "{} with {answer}",
            inflated.greatest_distance
        );
        let message = inflated.bytes;
        if !answer.contains("server_no_context_takeover") {
            self.window.extend_from_slice(&message);
            let over = self.window.len().saturating_sub(1 << window_bits);
            self.window.drain(..over);
        }
        Some((opcode, message))
    }
}

/// Takes a whole frame off the front: its first byte and its payload.
fn take_frame(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (header_len, len) = match *bytes.as_slice() {
        [_, len @ ..=125, ..] => (2, usize::from(len)),
        [_, 126, a, b, ..] => (4, usize::from(u16::from_be_bytes([a, b]))),
        [_, 127, ref rest @ ..] => {
            let len = u64::from_be_bytes(*rest.first_chunk()?);
            (10, usize::try_from(len).expect("it is in memory"))
        }
        _ => return None,
    };
    let payload = bytes.get(header_len..header_len + len)?.to_vec();
    let first = bytes[0];
    bytes.drain(..header_len + len);
    Some((first, payload))
}

/// A text of `len` bytes that compresses, different for each `seed`.
fn text(seed: u32, len: usize) -> String {
    (0..)
        .map(|n| {
            format!(
                "{{\"id\":{},\"price\":{}}},",
                seed + n,
                (seed + n) * 7919 % 1000
            )
        })
        .take(len / 10 + 1)
        .collect::<String>()[..len]
        .to_owned()
}

#[test]
fn a_broadcast_is_compressed_once_for_each_window_whatever_the_number_of_receivers() {
    let mut bench = bench(Compression::default());
    let offers = [
        None,
        Some("permessage-deflate"),
        Some("permessage-deflate; server_max_window_bits=8"),
        Some("permessage-deflate; server_max_window_bits=9"),
        Some("permessage-deflate; server_max_window_bits=12"),
    ];
    let mut clients: Vec<_> = (0..1000)
        .map(|n| bench.connect(offers[n % offers.len()]))
        .collect();
    assert_eq!(bench.ws.client_count(), 1000);
    let ids: Vec<_> = clients.iter().map(|client| client.id).collect();
    let listed = bench.ws.clients();
    assert_eq!(listed.len(), 1000);
    assert!(ids.iter().all(|id| listed.contains(id)));
    for round in 1..=5 {
        let message = text(round, 1024);
        bench.ws.broadcast(message.as_str());
        for client in &mut clients {
            assert_eq!(bench.texts(client), [message.as_str()]);
        }
        // 8 and 9 are one: see `compressor_bits`.
        assert_eq!(bench.simulation.compressed_count(), 3 * u64::from(round));
    }
    for (n, client) in clients.iter().enumerate() {
        let compressed = if n % offers.len() == 0 { 0 } else { 5 };
        assert_eq!(client.compressed_count, compressed);
        assert!(client.wire_len < 5 * 600 || compressed == 0);
    }
    assert_eq!(bench.simulation.compressor_count(), 0);
}

#[test]
fn what_is_short_or_does_not_become_smaller_goes_out_plain() {
    let mut bench = bench(Compression::default());
    let mut client = bench.connect(OFFER);
    let short = text(1, 1023);
    bench.ws.broadcast(short.as_str());
    bench.ws.send(client.id, short.as_str());
    assert_eq!(bench.texts(&mut client), [&*short, &*short]);
    assert_eq!(bench.simulation.compressed_count(), 0);

    let noise = noise(1, 5000);
    bench.ws.broadcast(&noise);
    bench.ws.send(client.id, &noise);
    bench.ws.send(client.id, Frame::binary(&noise));
    bench.ws.send(&[client.id], &noise);
    let binary = || (2, noise.clone());
    let expected = [binary(), binary(), binary(), binary()];
    assert_eq!(bench.read(&mut client), expected);
    assert_eq!(bench.simulation.compressed_count(), 4, "each was tried");
    assert_eq!(client.compressed_count, 0);
}

#[test]
fn all_ways_to_send_reach_the_right_clients_in_order() {
    let mut bench = bench(Compression {
        threshold_bytes: 1,
        ..dedicated()
    });
    let offers = [
        None,
        OFFER,
        Some("permessage-deflate; server_max_window_bits=9"),
        OFFER,
    ];
    let mut clients: Vec<_> = offers
        .into_iter()
        .map(|offer| bench.connect(offer))
        .collect();
    let ids: Vec<_> = clients.iter().map(|client| client.id).collect();
    let texts: Vec<_> = (0..6).map(|n| text(n * 1000, 300)).collect();
    bench.ws.send(ids[1], texts[0].as_str());
    bench.ws.broadcast(texts[1].as_str());
    bench
        .ws
        .send(&[ids[3], ids[0], ids[1], ids[3]], texts[2].as_str());
    bench
        .ws
        .send(Everyone.except(&[ids[0], ids[3]]), texts[3].as_str());
    bench
        .ws
        .send_after(Duration::ZERO, Everyone, texts[4].as_str());
    bench.settle();
    bench.simulation.advance(Duration::from_millis(2));
    bench.settle();
    for id in &ids {
        bench.ws.send(*id, texts[5].as_str());
    }
    let expected: [&[usize]; 4] = [
        &[1, 2, 4, 5],
        &[0, 1, 2, 3, 4, 5],
        &[1, 3, 4, 5],
        &[1, 2, 4, 5],
    ];
    for (client, expected) in clients.iter_mut().zip(expected) {
        let expected: Vec<_> = expected.iter().map(|n| texts[*n].clone()).collect();
        assert_eq!(bench.texts(client), expected);
    }
    for client in &clients[1..] {
        assert!(client.compressed_count >= 4, "{}", client.compressed_count);
    }
}

#[test]
fn a_window_is_compressed_for_once_whether_or_not_clients_take_over_contexts() {
    let mut bench = bench(dedicated());
    let mut clients = [
        bench.connect(OFFER),
        bench.connect(Some("permessage-deflate; server_max_window_bits=10")),
        bench.connect(Some("permessage-deflate; server_no_context_takeover")),
        bench.connect(Some(
            "permessage-deflate; server_max_window_bits=10; server_no_context_takeover",
        )),
    ];
    let ids: Vec<_> = clients.iter().map(|client| client.id).collect();
    let (message, noise) = (text(1, 500), noise(1, 500));
    bench.ws.broadcast(message.as_str());
    bench.ws.send(&ids, message.as_str());
    bench.settle();
    assert_eq!(bench.simulation.compressed_count(), 4);
    bench.ws.broadcast(&noise);
    for client in &mut clients {
        let text = || (1, message.clone().into_bytes());
        assert_eq!(bench.read(client), [text(), text(), (2, noise.clone())]);
    }
    assert_eq!(bench.simulation.compressed_count(), 6);
}

#[test]
fn what_is_sent_keeps_to_the_window_that_was_asked_for() {
    for (mode, level) in [
        (CompressionMode::Shared, 1),
        (CompressionMode::Dedicated, 1),
        (CompressionMode::Dedicated, 6),
    ] {
        let mut bench = bench(Compression {
            mode,
            level,
            ..Compression::default()
        });
        for bits in [8, 9, 10, 12, 14] {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            let mut client = bench.connect(Some(&offer));
            // It repeats itself, but too far away; it is the zeros that become smaller.
            let far = noise(bits, (1 << bits) + 20);
            let message = [&far[..], &far, &[0; 2000]].concat();
            bench.ws.send(client.id, &message);
            bench.ws.broadcast(&message);
            bench.ws.send(&[client.id], &message);
            bench.ws.send(client.id, Frame::binary(&message));
            let messages = bench.read(&mut client);
            assert!(messages == vec![(2, message); 4], "{bits}");
            assert_eq!(client.compressed_count, 4, "{bits}");
        }
    }
}

#[test]
fn a_frame_is_compressed_once_however_often_it_is_sent() {
    let mut bench = bench(Compression::default());
    let mut clients = [
        bench.connect(OFFER),
        bench.connect(Some("permessage-deflate; server_max_window_bits=10")),
    ];
    let message = text(3, 2000);
    let frame = Frame::text(&message);
    for _ in 0..3 {
        bench.ws.broadcast(&frame);
        bench.ws.send(clients[0].id, frame.clone());
    }
    let expected = [message.as_str(); 6];
    assert_eq!(bench.texts(&mut clients[0]), expected);
    assert_eq!(bench.texts(&mut clients[1]), expected[..3]);
    assert_eq!(bench.simulation.compressed_count(), 2);
    assert_eq!(frame, Frame::text(&message), "it is the same all the while");
}

#[test]
fn with_a_compressor_of_its_own_a_client_is_sent_references() {
    let mut bench = bench(dedicated());
    let mut client = bench.connect(OFFER);
    assert_eq!(client.answer.as_deref(), Some("permessage-deflate"));
    let mut wire_lens = Vec::new();
    for _ in 0..3 {
        bench.ws.send(client.id, text(1, 900));
        assert_eq!(bench.texts(&mut client), [text(1, 900)]);
        wire_lens.push(std::mem::take(&mut client.wire_len));
    }
    assert!(wire_lens[0] > 200, "{wire_lens:?}");
    assert!(wire_lens[1] < 40 && wire_lens[2] < 40, "{wire_lens:?}");
    // What goes to several is for itself, and the next of its own refers to nothing before it.
    bench.ws.broadcast(text(1, 900));
    bench.ws.send(client.id, text(1, 900));
    assert_eq!(bench.texts(&mut client), [text(1, 900), text(1, 900)]);
    assert!(
        client.wire_len > 2 * wire_lens[0] - 40,
        "{}",
        client.wire_len
    );
    bench.ws.send(&[client.id], text(500, 700));
    bench.ws.send(client.id, text(1, 900));
    assert_eq!(bench.texts(&mut client), [text(500, 700), text(1, 900)]);
    // What goes out plain leaves the window as it is.
    bench.ws.broadcast("short");
    client.wire_len = 0;
    bench.ws.send(client.id, text(1, 900));
    assert_eq!(bench.texts(&mut client), ["short", &text(1, 900)]);
    assert!(client.wire_len < 50, "{}", client.wire_len);
    assert_eq!(bench.simulation.compressor_count(), 1);
}

#[test]
fn a_compressor_goes_when_its_client_idles_or_leaves() {
    let mut bench = bench(Compression {
        idle_timeout: Duration::from_secs(10),
        ..dedicated()
    });
    let mut clients = [
        bench.connect(OFFER),
        bench.connect(OFFER),
        bench.connect(OFFER),
    ];
    for client in &mut clients {
        bench.ws.send(client.id, text(1, 900));
        assert_eq!(bench.texts(client).len(), 1);
    }
    assert_eq!(bench.simulation.compressor_count(), 3);
    bench.simulation.end(clients[2].peer);
    bench.settle();
    assert_eq!(bench.simulation.compressor_count(), 2);
    bench.simulation.advance(Duration::from_secs(6));
    bench.simulation.turn().expect("it sees the time");
    bench.ws.send(clients[1].id, text(1, 900));
    bench.settle();
    bench.simulation.advance(Duration::from_millis(3_999));
    bench.settle();
    assert_eq!(bench.simulation.compressor_count(), 2);
    bench.simulation.advance(Duration::from_millis(2));
    bench.settle();
    assert_eq!(bench.simulation.compressor_count(), 1);
    bench.simulation.advance(Duration::from_secs(6));
    bench.settle();
    assert_eq!(bench.simulation.compressor_count(), 0);
    for client in &mut clients[..2] {
        bench.ws.send(client.id, text(1, 900));
        assert_eq!(bench.texts(client).pop(), Some(text(1, 900)));
    }
    assert_eq!(bench.simulation.compressor_count(), 2);
}

#[test]
fn whom_there_is_no_compressor_for_is_sent_messages_that_refer_to_no_other() {
    let mut bench = bench(Compression {
        max_compressors: 1,
        ..dedicated()
    });
    let mut clients = [bench.connect(OFFER), bench.connect(OFFER)];
    for _ in 0..3 {
        for client in &mut clients {
            bench.ws.send(client.id, text(1, 900));
            assert_eq!(bench.texts(client), [text(1, 900)]);
        }
    }
    assert_eq!(bench.simulation.compressor_count(), 1);
    assert!(clients[0].wire_len * 2 < clients[1].wire_len);
    assert_eq!(clients[1].compressed_count, 3);
}

#[test]
fn a_compressed_message_in_several_frames_says_so_in_the_first() {
    for mode in [CompressionMode::Shared, CompressionMode::Dedicated] {
        let mut bench = bench_with(WebSocketConfig {
            compression: Some(Compression {
                mode,
                ..Compression::default()
            }),
            max_outgoing_frame_bytes: Some(100),
            ..WebSocketConfig::default()
        });
        let mut client = bench.connect(OFFER);
        let message = text(9, 5000);
        bench.ws.broadcast(message.as_str());
        bench.ws.send(client.id, message.as_str());
        bench.ws.send(client.id, Frame::text(&message));
        bench
            .ws
            .send_after(Duration::ZERO, client.id, message.as_str());
        bench.settle();
        bench.simulation.advance(Duration::from_millis(2));
        assert_eq!(bench.texts(&mut client), [&*message; 4]);
        assert_eq!(client.compressed_count, 4);
        let info = bench.ws.info(client.id).expect("open");
        assert_eq!(info.messages_sent, 4);
        assert!(info.frames_sent > 20, "{}", info.frames_sent);
    }
}

#[test]
fn messages_that_a_slow_client_misses_are_never_referred_to() {
    let mut bench = bench_with(WebSocketConfig {
        compression: Some(Compression {
            threshold_bytes: 1,
            ..dedicated()
        }),
        backlog_policy: BacklogPolicy::DropMessages,
        soft_backlog_bytes: 100,
        hard_backlog_bytes: 300,
        ..WebSocketConfig::default()
    });
    let mut client = bench.connect(OFFER);
    let mut sent = Vec::new();
    for round in 0..100_u32 {
        bench
            .simulation
            .set_room(client.peer, u64::from(round % 7 * 150));
        bench.settle();
        // Several at once: what is too much is told when the socket takes no more.
        for n in 0..round % 9 {
            let message = text(round * 31 % 17 * 100 + n * 3, 700);
            if round % 4 == 0 && n % 2 == 0 {
                bench.ws.broadcast(message.as_str());
            } else {
                bench.ws.send(client.id, message.as_str());
            }
            sent.push(message);
        }
        bench.settle();
    }
    bench.simulation.set_room(client.peer, u64::MAX / 2);
    bench
        .ws
        .send(client.id, "the last of them all, which finds room again");
    let got = bench.texts(&mut client);
    assert!(
        got.len() > 30 && got.len() < sent.len(),
        "{} of {}",
        got.len(),
        sent.len()
    );
    // In order, with gaps, and nothing that was not sent.
    let mut rest = sent.iter();
    for message in &got[..got.len() - 1] {
        assert!(rest.any(|sent| sent == message));
    }
}

/// Endpoints of one server, whose first client each is sent something in order.
#[test]
fn a_compressor_goes_in_its_own_time_whatever_that_of_others_is() {
    let opened = Rc::default();
    let endpoint = |seconds| {
        let idle_timeout = Duration::from_secs(seconds);
        websocket(|ws| Handler {
            ws,
            opened: Rc::clone(&opened),
        })
        .config(WebSocketConfig {
            compression: Some(Compression {
                idle_timeout,
                ..dedicated()
            }),
            heartbeat: None,
            ..WebSocketConfig::default()
        })
    };
    let (slow, fast) = (endpoint(3600), endpoint(1));
    let endpoints = [slow.endpoint(), fast.endpoint()];
    let router = Router::new().get("/", slow).get("/fast", fast);
    let server = Server::new().host(Host::new().add(router));
    let mut bench = Bench {
        simulation: Simulation::new(server).expect("starts"),
        ws: endpoints[0].clone(),
        opened: Rc::clone(&opened),
    };
    let mut clients = [bench.connect(OFFER), bench.connect_to("/fast", OFFER)];
    for (client, ws) in clients.iter_mut().zip(&endpoints) {
        ws.send(client.id, text(1, 900));
        assert_eq!(bench.texts(client), [text(1, 900)]);
    }
    let mut left_after = |seconds| {
        bench.simulation.advance(Duration::from_secs(seconds));
        bench.settle();
        bench.simulation.compressor_count()
    };
    assert_eq!(left_after(0), 2);
    assert_eq!(left_after(2), 1);
    assert_eq!(left_after(3590), 1);
    assert_eq!(left_after(10), 0);
}

#[test]
fn beyond_the_contexts_that_may_be_kept_clients_are_served_without() {
    let mut bench = bench(Compression {
        max_contexts: 2,
        ..dedicated()
    });
    let first = bench.connect(Some("permessage-deflate; server_no_context_takeover"));
    let second = bench.connect(Some("permessage-deflate; client_no_context_takeover"));
    let neither = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let mut third = bench.connect(OFFER);
    assert_eq!(third.answer.as_deref(), Some(neither));
    bench.ws.send(third.id, text(1, 900));
    assert_eq!(bench.texts(&mut third), [text(1, 900)]);
    assert_eq!(bench.simulation.compressor_count(), 0);
    // One that keeps none does not count.
    bench.simulation.end(third.peer);
    bench.simulation.end(second.peer);
    bench.settle();
    let fourth = bench.connect(OFFER);
    assert_eq!(fourth.answer.as_deref(), Some("permessage-deflate"));
    assert!(first.answer.is_some());
}

#[test]
fn clients_are_listed_in_the_order_in_which_they_came() {
    let mut bench = bench(Compression::default());
    let offers = [
        OFFER,
        None,
        Some("permessage-deflate; server_max_window_bits=9"),
        None,
        OFFER,
    ];
    let ids = offers.map(|offer| {
        bench.simulation.advance(Duration::from_millis(1));
        bench.connect(offer).id
    });
    assert_eq!(bench.ws.clients(), ids);
}

#[test]
fn a_client_in_the_place_of_another_refers_to_nothing_of_it() {
    let mut bench = bench(Compression {
        threshold_bytes: 1,
        ..dedicated()
    });
    // RFC 7692 sections 7.2.3.1 and 7.2.3.2, masked with zeros: "Hello", and a reference to it.
    let hello = b"\xC1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00";
    let again = b"\xC1\x85\0\0\0\0\xf2\x00\x11\x00\x00";
    let mut first = bench.connect(OFFER);
    bench.simulation.send(first.peer, hello);
    bench.simulation.send(first.peer, again);
    bench.ws.send(first.id, text(1, 300));
    assert_eq!(bench.texts(&mut first).len(), 3);
    bench.simulation.end(first.peer);
    bench.settle();
    let mut second = bench.connect(OFFER);
    assert_eq!(
        second.id.as_u64() & 0xFF_FFFF,
        first.id.as_u64() & 0xFF_FFFF
    );
    bench.ws.send(second.id, text(1, 300));
    assert_eq!(bench.texts(&mut second), [text(1, 300)]);
    bench.simulation.send(second.peer, again);
    let close = bench.read(&mut second).pop().expect("a Close frame");
    assert_eq!((close.0, &close.1[..2]), (8, &1007_u16.to_be_bytes()[..]));
}

#[test]
fn whoever_sends_what_inflates_to_much_waits_for_the_others() {
    let mut bench = bench(Compression::default());
    let (mut heavy, mut light) = (bench.connect(OFFER), bench.connect(OFFER));
    // The block says that it is the last, so a byte 0 follows (RFC 7692 section 7.2.3.4).
    let mut payload = compress_to_vec(&vec![b'a'; 1_900_000], 6);
    payload.push(0);
    let len = u16::try_from(payload.len()).expect("a thousandth");
    let frame = [&b"\xC1\xFE"[..], &len.to_be_bytes(), &[0; 4], &payload].concat();
    bench.simulation.send(heavy.peer, &frame.repeat(20));
    bench.simulation.send(light.peer, b"\x81\x82\0\0\0\0hi");
    let (mut turns, mut answered) = (0, None);
    while bench.simulation.is_busy() {
        bench.simulation.turn().expect("it goes on");
        turns += 1;
        let answer = bench.simulation.take_output(light.peer);
        if !answer.is_empty() {
            assert_eq!(answer, b"\x81\x02hi");
            answered = Some(turns);
        }
    }
    assert!(turns >= 20, "{turns} turns");
    assert!(answered.is_some_and(|turn| turn <= 3), "{answered:?}");
    let messages = bench.texts(&mut heavy);
    assert_eq!(messages.len(), 20);
    assert!(messages.iter().all(|message| message.len() == 1_900_000));
    bench.ws.broadcast("on");
    assert_eq!(bench.texts(&mut light), ["on"]);
}

#[test]
fn nothing_is_answered_to_what_was_not_taken() {
    let mut shared = bench(Compression::default());
    for offer in [
        None,
        Some("foo"),
        Some("permessage-deflate; server_max_window_bits=16"),
    ] {
        let mut client = shared.connect(offer);
        assert_eq!(client.answer, None);
        shared.ws.send(client.id, text(1, 2000));
        assert_eq!(shared.texts(&mut client), [text(1, 2000)]);
    }
    let mut off = bench_with(WebSocketConfig::default());
    assert_eq!(off.connect(OFFER).answer, None);
    assert_eq!(shared.simulation.compressed_count(), 0);
}
