//! A connection of HTTP/2: whatever stands behind the preface, frames are legal that are sent for it,
//! and in any pieces they are the same on each stream; clients end with their connection.
//!
//! The first bytes of the input choose windows, limits and pieces; what follows are frames.

use crate::echo::Echo;
use crate::http2_output::{Http2Output, PREFACE, says_goaway};
use crate::wire::{send, settle};
use aerys::internals::Simulation;
use aerys::{
    BodyHandler, Config, Host, Request, Response, Router, Server, respond, upload, websocket,
};
use std::time::Duration;

/// Longest answer: more than the window of a connection is at first.
const MAX_ANSWER_BYTES: usize = 70_000;

pub(crate) fn run(input: &[u8]) {
    let &[limits, window, piece_len, ref wire @ ..] = input else {
        return;
    };
    let mut config = Config {
        max_connections: Some(4),
        max_body_bytes: 100,
        ..Config::default()
    };
    if limits & 1 != 0 {
        config.http2_max_streams = 2;
    }
    if limits & 2 != 0 {
        config.max_header_section_bytes = 300;
    }
    let window = u32::from(window).pow(2);
    let whole = converse(&config, window, wire, wire.len());
    let pieces = converse(&config, window, wire, usize::from(piece_len) + 1);
    whole.assert_like(&pieces, says_goaway(wire));
    for output in [whole, pieces] {
        assert!(
            output.is_closed || output.goaway.is_none(),
            "it says that it ends, and ends"
        );
    }
}

/// What a client is sent for `wire` behind its preface.
fn converse(config: &Config, window: u32, wire: &[u8], piece_len: usize) -> Http2Output {
    let mut server = start(config.clone());
    let peer = server.connect(true);
    let settings = [&b"\0\0\x06\x04\0\0\0\0\0\0\x04"[..], &window.to_be_bytes()].concat();
    server.send(peer, &[PREFACE, &settings].concat());
    settle(&mut server);
    send(&mut server, peer, wire, piece_len);
    let output = Http2Output::read(&server.take_output(peer), server.is_closed(peer));
    server.end(peer);
    settle(&mut server);
    for _ in 0..4 {
        // The last deadline: of writes that nobody takes.
        server.advance(Duration::from_secs(31));
        settle(&mut server);
    }
    assert_eq!(
        server.client_count(),
        0,
        "streams end with their connection"
    );
    output
}

fn start(config: Config) -> Simulation {
    let begin = |_: &mut Request, _: &mut Response| Some(Counts(0));
    let router = Router::new()
        .get("/ws", websocket(|ws| Echo { ws }))
        .post("/count", upload(begin).max_bytes(200))
        .get(
            "/long/{len:digits}",
            respond(|request, response| {
                let len = request.capture("len").and_then(|len| len.parse().ok());
                response.end("z".repeat(len.unwrap_or(0).min(MAX_ANSWER_BYTES)));
            }),
        )
        .get(
            "/stream",
            respond(|_, response| {
                let stream = response.stream();
                let _ = stream.send("one");
                let _ = stream.send("two");
                stream.end();
            }),
        );
    let other = respond(|request, response| {
        let body = request.body().escape_ascii().to_string();
        response.end(format!("{} {} {body}", request.method(), request.target()));
    });
    let host = Host::new().listen("127.0.0.1:0").add(router).add(other);
    Simulation::new(Server::new().config(config).host(host)).expect("it starts")
}

struct Counts(usize);

impl BodyHandler for Counts {
    fn on_data(&mut self, bytes: &[u8], _: &mut Response) {
        self.0 += bytes.len();
    }

    fn on_end(self: Box<Self>, _: &mut Request, response: &mut Response) {
        response.end(format!("{} bytes", self.0));
    }
}
