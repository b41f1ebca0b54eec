//! What proxies send: whatever stands before the word of a trusted one, no other client is believed;
//! whatever stands in place of a PROXY header, nothing is answered that is no response.
//!
//! The first bytes of the input choose; what follows is data.

use aerys::internals::Simulation;
use aerys::{Config, ForwardedField, Host, Request, Response, Server, TrustedProxy};

/// Most data that a header section has room for.
const MAX_LEN: usize = 8000;
const CLIENT: &str = "192.0.2.1";

pub(crate) fn run(input: &[u8]) {
    let &[choice, size, ref data @ ..] = input else {
        return;
    };
    let piece_len = usize::from(size) + 1;
    match choice % 3 {
        0 => proxy_header(data, piece_len),
        1 => forwarded(data, ForwardedField::Forwarded, piece_len),
        _ => forwarded(data, ForwardedField::XForwarded, piece_len),
    }
}

/// What a server at `address` answers to `wire`, sent in pieces of that length.
fn answer(address: &str, field: ForwardedField, wire: &[u8], piece_len: usize) -> String {
    // The peers of a simulation are all in this network.
    let network: TrustedProxy = "10.0.0.0/8".parse().expect("a network");
    let config = Config {
        max_connections: Some(4),
        trusted_proxies: vec![network],
        forwarded_field: field,
        ..Config::default()
    };
    let who = |request: &mut Request, response: &mut Response| {
        response.end(format!("{} {}", request.client_address(), request.scheme()));
    };
    let host = Host::new().listen(address).add(who);
    let mut simulation =
        Simulation::new(Server::new().config(config).host(host)).expect("it starts");
    let peer = simulation.connect(true);
    for piece in wire.chunks(piece_len) {
        simulation.send(peer, piece);
        simulation.settle().expect("it goes on");
    }
    String::from_utf8(simulation.take_output(peer)).expect("an answer is text")
}

/// Garbage as the PROXY header.
fn proxy_header(data: &[u8], piece_len: usize) {
    if data.windows(14).any(|window| window == b"PRI * HTTP/2.0") {
        return; // Behind a header that is right, that is answered in frames.
    }
    let wire = [data, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let address = "127.0.0.1:0?proxy-protocol";
    let whole = answer(address, ForwardedField::XForwarded, &wire, wire.len());
    let in_pieces = answer(address, ForwardedField::XForwarded, &wire, piece_len);
    assert_eq!(whole, in_pieces);
    assert!(whole.is_empty() || whole.starts_with("HTTP/1.1 "));
}

/// Garbage in a field, before what the proxy added.
fn forwarded(data: &[u8], field: ForwardedField, piece_len: usize) {
    let is_legal = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    let data = data.iter().copied().filter(is_legal).take(MAX_LEN);
    let (name, prefix) = match field {
        ForwardedField::Forwarded => ("Forwarded", "for="),
        ForwardedField::XForwarded => ("X-Forwarded-For", ""),
    };
    let mut wire = format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: ").into_bytes();
    wire.extend(data);
    wire.extend(format!(", {prefix}{CLIENT}\r\n\r\n").bytes());
    let answer = answer("127.0.0.1:0", field, &wire, piece_len);
    let (_, body) = answer.split_once("\r\n\r\n").expect("a response");
    let is_client = body.starts_with("192.0.2.1:0 ");
    // A line that is malformed is not believed at all: then the peer is all that is known.
    let is_peer = field == ForwardedField::Forwarded && body.starts_with("10.");
    assert!(is_client || is_peer, "{answer}");
}
