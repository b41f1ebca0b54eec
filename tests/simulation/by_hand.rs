//! Streams that get in each other's way, and in that of other connections: HTTP/2 with frames by hand.

use crate::frames::{
    DATA, END_HEADERS, Frame, HEADERS, LARGEST_WINDOW, PING, RST_STREAM, WINDOW_UPDATE, connect,
    exchange, frame, frames, get, message, open_window, request, settle, start_with,
    websocket_request,
};
use aerys::{
    ClientId, Config, Endpoint, Everyone, Message, Request, Response, Router, StaticFiles,
    WebSocketConfig, WebSocketHandler, websocket,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How many bytes of payload came on a stream.
fn payload_len(frames: &[Frame], stream: u32) -> usize {
    let of_stream = |frame: &&Frame| frame.kind == DATA && frame.stream == stream;
    frames
        .iter()
        .filter(of_stream)
        .map(|frame| frame.payload.len())
        .sum()
}

fn bytes_of(len: usize) -> impl Fn(&mut Request, &mut Response) {
    move |_, response| _ = response.end(vec![b'x'; len])
}

/// One stream takes the last byte of the connection's window and has all; the next one in line has
/// had its turn announced already.
#[test]
fn a_stream_that_waits_goes_on_though_another_one_took_all_of_the_window() {
    let router = Router::new()
        .get("/65535", bytes_of(65_535))
        .get("/100", bytes_of(100))
        .get("/200", bytes_of(200));
    let mut server = start_with(router, Config::default());
    let peer = connect(&mut server, LARGEST_WINDOW, 0);
    let answer = exchange(&mut server, peer, &get(1, "/65535"));
    assert_eq!(payload_len(&answer, 1), 65_535);
    let answers = [get(3, "/100"), get(5, "/200")].concat();
    let answers = exchange(&mut server, peer, &answers);
    assert_eq!(payload_len(&answers, 3) + payload_len(&answers, 5), 0);
    let answer = exchange(&mut server, peer, &open_window(0, 100));
    assert_eq!(payload_len(&answer, 3), 100);
    let answer = exchange(&mut server, peer, &open_window(0, 200));
    assert_eq!(payload_len(&answer, 5), 200);
}

/// The clients that streams were count for nobody's connection, also in the turn in which they end.
#[test]
fn requests_of_one_connection_keep_nobody_out() {
    let config = Config {
        max_connections: Some(2),
        ..Config::default()
    };
    let mut server = start_with(Router::new().get("/", bytes_of(1)), config);
    let peer = connect(&mut server, LARGEST_WINDOW, 0);
    let other = server.connect(true);
    server.send(other, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut streams = (1..).step_by(2);
    for _ in 0..3 {
        let requests = streams.by_ref().take(2).map(|id| get(id, "/"));
        server.send(peer, &requests.flatten().collect::<Vec<u8>>());
        server.turn().expect("it lives");
    }
    assert!(server.take_output(other).starts_with(b"HTTP/1.1 200"));
}

/// Keeps how many bytes came, and answers nothing.
struct Count {
    bytes: Rc<RefCell<usize>>,
    closed: Rc<RefCell<Vec<u16>>>,
}

impl WebSocketHandler for Count {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, _: ClientId, message: Message<'_>) {
        *self.bytes.borrow_mut() += message.len();
    }

    fn on_close(&mut self, _: ClientId, code: aerys::CloseCode, _: &str) {
        self.closed.borrow_mut().push(code.into());
    }
}

/// What was taken of it is not kept, though more comes behind before all is.
#[test]
fn input_that_is_held_back_does_not_grow_by_what_was_taken() {
    const WINDOW: usize = 65_535;
    let (bytes, closed) = (Rc::default(), Rc::default());
    let count = Count {
        bytes: Rc::clone(&bytes),
        closed: Rc::clone(&closed),
    };
    let count = RefCell::new(Some(count));
    let endpoint =
        websocket(move |_: Endpoint| count.take().expect("once")).config(WebSocketConfig {
            max_frames_per_second: Some(20),
            heartbeat: None,
            ..WebSocketConfig::default()
        });
    let config = Config {
        http2_stream_window_bytes: WINDOW,
        max_buffered_input_bytes: 4 * WINDOW,
        ..Config::default()
    };
    let mut server = start_with(Router::new().get("/", endpoint), config);
    let peer = connect(&mut server, LARGEST_WINDOW, 0);
    exchange(
        &mut server,
        peer,
        &frame(HEADERS, END_HEADERS, 1, &websocket_request("/")),
    );
    let piece = message(&[b'x'; 1000]);
    let (mut window, mut sent) = (WINDOW, 0);
    for _ in 0..200 {
        while window >= piece.len() {
            server.send(peer, &frame(DATA, 0, 1, &piece));
            window -= piece.len();
            sent += 1000;
        }
        for frame in exchange(&mut server, peer, &[]) {
            assert_eq!(
                (frame.kind, frame.stream == 1),
                (WINDOW_UPDATE, frame.stream != 0)
            );
            if frame.stream == 1 {
                window += u32::from_be_bytes(frame.payload.try_into().expect("4 bytes")) as usize;
            }
        }
        server.advance(Duration::from_millis(250));
    }
    assert!(
        *bytes.borrow() > 10 * WINDOW,
        "{} of {sent}",
        bytes.borrow()
    );
    assert!(closed.borrow().is_empty(), "{closed:?}");
}

/// A HEAD is answered without content also if what is said is that its body was too slow.
#[test]
fn a_refusal_without_content_ends_its_stream_too() {
    let config = Config {
        body_grace: Duration::from_secs(1),
        keep_alive_timeout: Duration::from_secs(1),
        linger_timeout: Duration::from_secs(1),
        ..Config::default()
    };
    let mut server = start_with(Router::new().get("/", bytes_of(1)), config);
    let peer = connect(&mut server, LARGEST_WINDOW, 0);
    exchange(
        &mut server,
        peer,
        &frame(HEADERS, END_HEADERS, 1, &request("HEAD", "/")),
    );
    server.advance(Duration::from_secs(1));
    let answer = exchange(&mut server, peer, &[]);
    assert!(answer.iter().any(Frame::ends_stream), "{answer:?}");
    server.advance(Duration::from_secs(1));
    let reset = exchange(&mut server, peer, &[]);
    assert_eq!(reset[0].kind, RST_STREAM, "{reset:?}");
    assert_eq!(server.client_count(), 1);
    server.advance(Duration::from_secs(1));
    settle(&mut server);
    assert!(server.is_closed(peer));
}

/// As a client of HTTP/1.1 has: others wait for theirs.
#[test]
fn the_streams_of_one_connection_have_a_share_of_each_turn() {
    const LEN: usize = 40 << 20;
    for count in [1, 2, 8] {
        let mut server = start_with(Router::new().get("/", bytes_of(LEN)), Config::default());
        let peer = connect(&mut server, LARGEST_WINDOW, 1 << 30);
        let requests = (0..count).flat_map(|index| get(1 + 2 * index, "/"));
        server.send(peer, &requests.collect::<Vec<u8>>());
        let mut before = server.taken(peer);
        while server.is_busy() {
            server.turn().expect("it lives");
            let taken = server.taken(peer);
            // So much may be written early, and once more at the end.
            let most = 2 * ((1 << 20) + (128 << 10));
            assert!(taken - before < most, "{} bytes in a turn", taken - before);
            before = taken;
        }
        assert!(before > u64::from(count) * LEN as u64);
    }
}

/// Whose turn has not come is not who takes nothing: the network may be slow for that many.
#[test]
fn a_stream_that_waits_for_its_turn_is_not_too_slow() {
    const COUNT: u32 = 50;
    const LEN: usize = 100_000;
    let config = Config {
        write_timeout: Duration::from_secs(5),
        ..Config::default()
    };
    let mut server = start_with(Router::new().get("/", bytes_of(LEN)), config);
    let peer = connect(&mut server, LARGEST_WINDOW, 1 << 30);
    let streams = (0..COUNT).map(|index| 1 + 2 * index);
    let requests = streams.clone().flat_map(|stream| get(stream, "/"));
    server.set_room(peer, 0);
    server.send(peer, &requests.collect::<Vec<u8>>());
    let mut output = Vec::new();
    for _ in 0..2000 {
        settle(&mut server);
        output.extend(server.take_output(peer));
        server.set_room(peer, 5000);
        server.advance(Duration::from_millis(500));
    }
    let frames = frames(&output);
    assert!(frames.iter().all(|frame| frame.kind != RST_STREAM));
    for stream in streams {
        assert_eq!(payload_len(&frames, stream), LEN);
    }
}

/// But who lets nobody go on is, whatever else it sends.
#[test]
fn streams_that_wait_for_the_connections_window_have_the_write_timeout() {
    let config = Config {
        write_timeout: Duration::from_secs(5),
        ..Config::default()
    };
    let mut server = start_with(Router::new().get("/", bytes_of(100_000)), config);
    let peer = connect(&mut server, LARGEST_WINDOW, 0);
    let requests = (0..10).flat_map(|index| get(1 + 2 * index, "/"));
    exchange(&mut server, peer, &requests.collect::<Vec<u8>>());
    assert_eq!(server.client_count(), 11);
    for _ in 0..6 {
        let more = [open_window(0, 100), frame(PING, 0, 0, &[0; 8])].concat();
        exchange(&mut server, peer, &more);
        server.advance(Duration::from_secs(1));
    }
    settle(&mut server);
    assert_eq!(server.client_count(), 1);
}

/// More than one read brings lies before it: what it says is looked at before it is judged.
#[test]
fn a_stream_is_not_judged_while_what_it_sent_waits_in_the_socket() {
    let closed = Rc::default();
    let count = Count {
        bytes: Rc::default(),
        closed: Rc::clone(&closed),
    };
    let count = RefCell::new(Some(count));
    let options = WebSocketConfig {
        heartbeat: Some(Duration::from_secs(1)),
        max_unanswered_pings: 1,
        ..WebSocketConfig::default()
    };
    let endpoint = websocket(move |_: Endpoint| count.take().expect("once")).config(options);
    let len = |request: &mut Request, response: &mut Response| {
        response.end(request.body().len().to_string());
    };
    let router = Router::new().get("/", endpoint).post("/", len);
    let mut server = start_with(router, Config::default());
    let peer = connect(&mut server, LARGEST_WINDOW, 0);
    let open = frame(HEADERS, END_HEADERS, 1, &websocket_request("/"));
    exchange(&mut server, peer, &open);
    server.advance(Duration::from_secs(1));
    let ping = exchange(&mut server, peer, &[]);
    assert_eq!(ping[0].payload, b"\x89\x00");
    let mut input = Vec::new();
    for stream in (3..).step_by(2).take(6) {
        input.extend(frame(HEADERS, END_HEADERS, stream, &request("POST", "/")));
        for _ in 0..5 {
            input.extend(frame(DATA, 0, stream, &[b'x'; 10_000]));
        }
    }
    input.extend(frame(DATA, 0, 1, b"\x8a\x80\0\0\0\0"));
    server.send(peer, &input);
    server.advance(Duration::from_secs(1));
    settle(&mut server);
    assert!(closed.borrow().is_empty(), "{closed:?}");
    assert_eq!(server.client_count(), 8);
}

/// What cannot be whole does not look so.
#[test]
fn a_stream_whose_file_became_shorter_is_reset() {
    let name = format!("aerys-http2-shorter-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("file");
    std::fs::write(&path, vec![b'x'; 600_000]).expect("a file");
    let files = StaticFiles::new(&folder).expect("a folder");
    let mut server = start_with(Router::new().get("/file", files), Config::default());
    let peer = connect(&mut server, 200_000, LARGEST_WINDOW - 65_535);
    let answer = exchange(&mut server, peer, &get(1, "/file"));
    assert_eq!(payload_len(&answer, 1), 200_000);
    std::fs::write(&path, vec![b'x'; 300_000]).expect("a file");
    let rest = exchange(&mut server, peer, &open_window(1, 1_000_000));
    std::fs::remove_dir_all(&folder).expect("a folder");
    let last = rest.last().expect("frames");
    assert_eq!(
        (last.kind, &last.payload[..]),
        (RST_STREAM, &b"\0\0\0\x02"[..])
    );
    assert!(!rest.iter().any(Frame::ends_stream));
    assert_eq!(server.client_count(), 1);
}

/// Also if all that waits is the connection's, and nothing is to be sent any more.
#[test]
fn a_connection_that_takes_nothing_has_the_write_timeout_whoever_wrote_it() {
    let endpoint = websocket(|ws: Endpoint| ToAll { ws }).config(WebSocketConfig {
        heartbeat: None,
        ..WebSocketConfig::default()
    });
    let mut server = start_with(Router::new().get("/", endpoint), Config::default());
    let peers = [(); 2].map(|()| connect(&mut server, LARGEST_WINDOW, 1 << 30));
    for peer in peers {
        let open = frame(HEADERS, END_HEADERS, 1, &websocket_request("/"));
        exchange(&mut server, peer, &open);
    }
    // No timer is left of before.
    server.advance(Duration::from_secs(60));
    settle(&mut server);
    server.set_room(peers[1], 50_000);
    exchange(
        &mut server,
        peers[0],
        &frame(DATA, 0, 1, &message(b"to all")),
    );
    server.advance(Duration::from_secs(31));
    settle(&mut server);
    assert!(!server.is_closed(peers[0]) && server.is_closed(peers[1]));
    assert_eq!(server.client_count(), 2);
}

/// Answers with a long message to everyone.
struct ToAll {
    ws: Endpoint,
}

impl WebSocketHandler for ToAll {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, _: ClientId, _: Message<'_>) {
        self.ws.send(Everyone, vec![b'x'; 100_000]);
    }
}

/// A client cannot open the window for what has not reached it.
#[test]
fn a_stream_whose_last_bytes_are_on_their_way_is_not_too_slow() {
    const LEN: usize = 150_000;
    let config = Config {
        write_timeout: Duration::from_secs(5),
        ..Config::default()
    };
    let mut server = start_with(Router::new().get("/", bytes_of(LEN)), config);
    let peer = connect(&mut server, 50_000, LARGEST_WINDOW - 65_535);
    server.set_room(peer, 0);
    server.send(peer, &get(1, "/"));
    let (mut output, mut opened) = (Vec::new(), 0);
    for _ in 0..400 {
        settle(&mut server);
        output.extend(server.take_output(peer));
        if output.len() >= opened + 50_000 {
            opened += 50_000;
            server.send(peer, &open_window(1, 50_000));
        }
        server.set_room(peer, 1000);
        server.advance(Duration::from_millis(500));
    }
    let frames = frames(&output);
    assert!(frames.iter().all(|frame| frame.kind != RST_STREAM));
    assert_eq!(payload_len(&frames, 1), LEN);
}
