//! A client of TLS whose bytes are changed on their way, or that speaks none: nothing panics or goes
//! round for nothing, and who is cut off is gone in time; who is not meddled with is sent over TLS
//! what it would be sent without.
//!
//! The first bytes of the input choose the version and pieces; what follows is what happens.

use crate::anybody::Anybody;
use crate::echo::Echo;
use crate::wire::{Choices, converse, send, settle};
use aerys::internals::{Peer, Simulation};
use aerys::{Config, Host, Router, Server, Tls, respond, websocket};
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::version;
use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const MAX_STEPS: usize = 40;

pub(crate) fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let (choice, piece_len) = (choices.byte(), usize::from(choices.byte()) + 1);
    let mut server = start(true);
    let mut client = Client {
        peer: server.connect(true),
        connection: connection(choice & 1 != 0),
        piece_len,
        change: None,
        received: Vec::new(),
        is_meddled_with: false,
    };
    settle(&mut server);
    let mut sent = Vec::new();
    for _ in 0..MAX_STEPS {
        if choices.is_empty() {
            break;
        }
        let (step, argument) = (choices.byte(), choices.byte());
        match step % 8 {
            0..3 => {
                let plain = choices.bytes(argument.into());
                sent.extend_from_slice(plain);
                let written = client.connection.writer().write_all(plain);
                assert!(written.is_ok() || client.is_meddled_with);
            }
            3 => {
                let bytes = choices.bytes(argument.into());
                client.is_meddled_with |= !bytes.is_empty();
                send(&mut server, client.peer, bytes, piece_len);
            }
            4 => client.change = Some((argument, choices.byte())),
            5 => {
                client.is_meddled_with = true;
                client.connection.send_close_notify();
            }
            6 => {
                client.is_meddled_with = true;
                if argument == 0 {
                    server.end(client.peer);
                } else {
                    server.set_room(client.peer, u64::from(argument) * 16);
                }
            }
            _ => {
                client.is_meddled_with = true;
                server.advance(Duration::from_millis(100) * argument.into());
            }
        }
        client.exchange(&mut server);
    }
    client.exchange(&mut server);
    server.stop();
    settle(&mut server);
    server.advance(Duration::from_secs(100));
    settle(&mut server);
    assert_eq!(server.client_count(), 0);
    drop(server);
    if !client.is_meddled_with {
        assert!(!client.connection.is_handshaking());
        let (plain, _) = converse(&mut start(false), &sent, sent.len());
        let [received, plain] =
            [client.received, plain].map(|text| text.escape_ascii().to_string());
        assert_eq!(received, plain);
    }
}

struct Client {
    peer: Peer,
    connection: ClientConnection,
    piece_len: usize,
    /// A byte of the next records that is to be changed, and by which bits.
    change: Option<(u8, u8)>,
    received: Vec<u8>,
    /// Something happened that does not without TLS.
    is_meddled_with: bool,
}

impl Client {
    /// Sends what is to be sent and takes what comes, until there is nothing of either.
    fn exchange(&mut self, server: &mut Simulation) {
        loop {
            settle(server);
            let output = server.take_output(self.peer);
            let mut rest = &output[..];
            while !rest.is_empty() {
                let is_read = self.connection.read_tls(&mut rest).is_ok_and(|len| len > 0);
                let state = self.connection.process_new_packets();
                let Some(state) = state.ok().filter(|_| is_read) else {
                    assert!(self.is_meddled_with, "an honest client understands all");
                    break;
                };
                let mut plain = vec![0; state.plaintext_bytes_to_read()];
                let read = self.connection.reader().read_exact(&mut plain);
                read.expect("it is there");
                self.received.extend(plain);
            }
            let mut records = Vec::new();
            while self.connection.wants_write() {
                self.connection.write_tls(&mut records).expect("memory");
            }
            if records.is_empty() && output.is_empty() {
                return;
            }
            if let Some((place, bits)) = self.change.take_if(|_| !records.is_empty()) {
                let place = usize::from(place) % records.len();
                records[place] ^= bits;
                self.is_meddled_with |= bits != 0;
            }
            send(server, self.peer, &records, self.piece_len);
        }
    }
}

fn start(has_tls: bool) -> Simulation {
    static TLS: OnceLock<Tls> = OnceLock::new();
    let tls = TLS.get_or_init(|| Tls::self_signed(&["a"]).expect("a name"));
    let router = Router::new().get("/ws", websocket(|ws| Echo { ws })).get(
        "/long",
        respond(|_, response| {
            response.end("z".repeat(40_000));
        }),
    );
    let other = respond(|request, response| {
        let body = request.body().escape_ascii().to_string();
        response.end(format!("{} {} {body}", request.method(), request.target()));
    });
    let host = Host::new().listen("127.0.0.1:0").add(router).add(other);
    let host = if has_tls { host.tls(tls.clone()) } else { host };
    let config = Config {
        max_connections: Some(4),
        ..Config::default()
    };
    Simulation::new(Server::new().config(config).host(host)).expect("it starts")
}

/// A connection of a client that takes every certificate.
fn connection(is_old: bool) -> ClientConnection {
    static CONFIGS: OnceLock<[Arc<ClientConfig>; 2]> = OnceLock::new();
    let configs = CONFIGS.get_or_init(|| {
        [&version::TLS13, &version::TLS12].map(|version| {
            let provider = ring::default_provider();
            let verifier = Arc::new(Anybody(provider.clone()));
            let builder = ClientConfig::builder_with_provider(Arc::new(provider));
            let builder = builder
                .with_protocol_versions(&[version])
                .expect("it is known");
            let builder = builder
                .dangerous()
                .with_custom_certificate_verifier(verifier);
            let mut config = builder.with_no_client_auth();
            config.resumption = Resumption::disabled();
            Arc::new(config)
        })
    });
    let name = ServerName::try_from("a").expect("a name");
    let connection = ClientConnection::new(Arc::clone(&configs[usize::from(is_old)]), name);
    connection.expect("a connection")
}
