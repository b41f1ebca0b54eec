//! The end of TLS connections: `close_notify` both ways, at each stage, and what a cut one means.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use aerys::{BodyHandler, Config, Request, Response, Server, WebSocketConfig, upload};

use crate::client::{CLOSE, PATIENCE, TEXT, close_payload, frame, handshake, server_frame};
use crate::support::{Event, TestServer, echo};
use crate::tls::{endpoint, telling};
use crate::tls_client::{End, TlsClient, localhost};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LAST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[test]
fn the_server_says_close_notify_behind_its_last_answer() {
    let (server, authority) = telling(Config::default());
    let mut client = TlsClient::open(server.address, &authority.config());
    client.send(LAST);
    let (answer, end) = client.read_to_end();
    assert!(answer.ends_with(b"\r\n\r\nhttps /"), "{answer:?}");
    assert_eq!(end, End::Orderly);
}

#[test]
fn an_idle_connection_ends_with_close_notify() {
    let config = Config {
        keep_alive_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let (server, authority) = telling(config);
    let mut client = TlsClient::open(server.address, &authority.config());
    client.send(GET);
    let (answer, end) = client.read_to_end();
    assert!(answer.ends_with(b"\r\n\r\nhttps /"), "{answer:?}");
    assert_eq!(end, End::Orderly);
}

#[test]
fn a_peer_that_says_close_notify_is_answered_first_and_then_in_kind() {
    let (server, authority) = telling(Config::default());
    for requests in [0, 1, 3] {
        let mut client = TlsClient::open(server.address, &authority.config());
        // The requests and the alert in one write, and the stream stays open.
        let mut records = client.seal(GET.repeat(requests));
        client.tls.send_close_notify();
        records.extend(client.records());
        client.send_raw(&records);
        let (answer, end) = client.read_to_end();
        let answers = answer
            .windows(8)
            .filter(|bytes| *bytes == b"HTTP/1.1")
            .count();
        assert_eq!((answers, end), (requests, End::Orderly));
    }
}

/// Its requests wait for the answers to those before them, and its end for all of them.
#[test]
fn a_peers_end_waits_behind_requests_that_are_held_back() {
    let (authority, secure) = localhost();
    let server = TestServer::start(|host, _| {
        let long = |_: &mut Request, response: &mut Response| {
            response.end(vec![b'x'; 300_000]);
        };
        Server::new().host(secure(host).add(long))
    });
    let mut client = TlsClient::open(server.address, &authority.config());
    let mut records = client.seal(GET.repeat(60));
    client.tls.send_close_notify();
    records.extend(client.records());
    client.send_raw(&records);
    let (answers, end) = client.read_to_end();
    let count = answers
        .windows(8)
        .filter(|bytes| *bytes == b"HTTP/1.1")
        .count();
    assert_eq!((count, end), (60, End::Orderly));
    assert!(answers.len() > 60 * 300_000);
}

/// No read of the socket would tell of it later.
#[test]
fn a_peers_end_is_told_when_the_last_of_what_was_held_back_pauses_its_reads() {
    let options = WebSocketConfig {
        heartbeat: None,
        max_frames_per_second: Some(2),
        ..WebSocketConfig::default()
    };
    let (server, authority) = endpoint(Config::default(), options, echo);
    let mut client = TlsClient::open(server.address, &authority.config());
    client.send(handshake("/"));
    client.read(12);
    // Behind the first two, each is followed by a pause.
    let mut records = client.seal(frame(true, TEXT, b"on").repeat(4));
    client.tls.send_close_notify();
    records.extend(client.records());
    client.send_raw(&records);
    assert_eq!(server.close_event().1, 1006);
}

#[test]
fn close_notify_amid_a_request_ends_it_unanswered() {
    let (server, authority) = telling(Config::default());
    let mut client = TlsClient::open(server.address, &authority.config());
    client.send("GET / HTTP/1.1\r\nHost: loc");
    client.send_close_notify();
    assert_eq!(client.read_to_end(), (Vec::new(), End::Orderly));
}

#[test]
fn a_websocket_that_ends_with_close_notify_alone_was_not_closed() {
    for is_said in [true, false] {
        let (server, authority) = endpoint(Config::default(), WebSocketConfig::default(), echo);
        let mut client = TlsClient::open(server.address, &authority.config());
        client.send(handshake("/"));
        client.read(12);
        if is_said {
            client.send_close_notify();
        } else {
            client
                .stream
                .shutdown(std::net::Shutdown::Write)
                .expect("a TCP socket");
        }
        assert_eq!(server.close_event().1, 1006);
        assert_eq!(client.read_to_end().1, End::Orderly);
    }
}

#[test]
fn the_closing_handshake_is_followed_by_close_notify() {
    let (server, authority) = endpoint(Config::default(), WebSocketConfig::default(), echo);
    let mut client = TlsClient::open(server.address, &authority.config());
    client.send(handshake("/"));
    client.send(frame(true, CLOSE, &close_payload(1000, "")));
    let (read, end) = client.read_to_end();
    let close = server_frame(CLOSE, &close_payload(1000, ""));
    assert!(read.ends_with(&close), "{read:?}");
    assert_eq!(end, End::Orderly);
    assert_eq!(server.close_event().1, 1000);
}

struct Watch(Sender<&'static str>);

impl BodyHandler for Watch {
    fn on_data(&mut self, _: &[u8], _: &mut Response) {
        let _ = self.0.send("data");
    }

    fn on_end(self: Box<Self>, _: &mut Request, response: &mut Response) {
        let _ = self.0.send("end");
        response.end("whole");
    }

    fn on_abort(self: Box<Self>) {
        let _ = self.0.send("abort");
    }
}

/// Whatever ends it, and whether or not the end is said.
#[test]
fn an_upload_that_is_cut_off_is_aborted() {
    let (authority, secure) = localhost();
    let (sender, heard) = channel();
    let server = TestServer::start(|host, _| {
        let take = upload(move |_: &mut Request, _: &mut Response| Some(Watch(sender.clone())));
        Server::new().host(secure(host).add(take))
    });
    let begin =
        "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for how in ["close_notify", "FIN", "a bad record"] {
        let mut client = TlsClient::open(server.address, &authority.config());
        client.send(begin);
        assert_eq!(heard.recv_timeout(PATIENCE), Ok("data"), "{how}");
        match how {
            "close_notify" => client.send_close_notify(),
            "FIN" => client
                .stream
                .shutdown(std::net::Shutdown::Write)
                .expect("a TCP socket"),
            // The last chunk, and a bit of it turned around.
            _ => {
                let mut record = client.seal("0\r\n\r\n");
                *record.last_mut().expect("a record") ^= 1;
                client.send_raw(&record);
            }
        }
        assert_eq!(heard.recv_timeout(PATIENCE), Ok("abort"), "{how}");
    }
    let mut client = TlsClient::open(server.address, &authority.config());
    client.send([begin, "0\r\n\r\n"].concat());
    assert_eq!(heard.recv_timeout(PATIENCE), Ok("data"));
    assert_eq!(heard.recv_timeout(PATIENCE), Ok("end"));
}

/// The rest of the body and the end behind it are there already, and no read would tell of them.
#[test]
fn a_body_that_waits_is_whole_though_its_peers_end_waits_behind_it() {
    let (authority, secure) = localhost();
    let (sender, heard) = channel();
    let (flows, begun) = channel();
    let server = TestServer::start(|host, _| {
        let take = upload(move |request: &mut Request, _: &mut Response| {
            let flow = request.body_flow().expect("a body");
            flow.pause();
            flows.send(flow).expect("the test waits");
            Some(Watch(sender.clone()))
        });
        Server::new().host(secure(host).add(take))
    });
    for len in [5, 50_000] {
        let fields = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n");
        let body = "x".repeat(len);
        for (whole, last) in [(true, "end"), (false, "abort")] {
            let mut client = TlsClient::open(server.address, &authority.config());
            let body = &body[usize::from(!whole)..];
            let mut records = client.seal([&*fields, body].concat());
            client.tls.send_close_notify();
            records.extend(client.records());
            client.send_raw(&records);
            let flow = begun.recv_timeout(PATIENCE).expect("a request");
            flow.resume();
            let mut heard = heard.iter().skip_while(|heard| *heard == "data");
            assert_eq!(heard.next(), Some(last), "{len}");
            let (answer, end) = client.read_to_end();
            assert_eq!((answer.ends_with(b"whole"), end), (whole, End::Orderly));
        }
    }
}

#[test]
fn a_record_that_was_changed_ends_the_connection_with_an_alert() {
    let (server, authority) = endpoint(Config::default(), WebSocketConfig::default(), echo);
    let mut client = TlsClient::open(server.address, &authority.config());
    client.send(handshake("/"));
    client.read(12);
    let mut record = client.seal("x");
    record[7] ^= 1;
    client.send_raw(&record);
    assert_eq!(server.close_event().1, 1006);
    let alert = loop {
        match client.pull() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("there is no alert"),
            Err(error) => break error,
        }
    };
    let expected = rustls::AlertDescription::BadRecordMac;
    assert_eq!(alert, rustls::Error::AlertReceived(expected));
}

#[test]
fn a_stop_says_1001_and_close_notify() {
    let (mut server, authority) = endpoint(Config::default(), WebSocketConfig::default(), echo);
    let open = || TlsClient::open(server.address, &authority.config());
    let mut client = open();
    client.send(handshake("/"));
    while !matches!(server.event(), Event::Open(..)) {}
    // One between two requests, and one that has not shaken hands.
    let mut idle = open();
    idle.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    idle.read(12);
    let mut new = TlsClient::connect(server.address, &authority.config(), "localhost");
    // Accepted one after the other, so that was seen when this one is.
    drop(open());
    server.stop();
    let reason = close_payload(1001, "The server stops");
    let close = server_frame(CLOSE, &reason);
    let mut read = Vec::new();
    while !read.ends_with(&close) {
        read.extend(client.read(1));
    }
    client.send(frame(true, CLOSE, &reason));
    assert_eq!(client.read_to_end(), (Vec::new(), End::Orderly));
    assert_eq!(idle.read_to_end().1, End::Orderly);
    assert_eq!(new.read_to_end().1, End::Truncated);
    server.join().expect("a graceful stop");
}
