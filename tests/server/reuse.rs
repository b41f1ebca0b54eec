//! Events of one batch that are about clients of which some are gone when their turn comes, and places
//! that somebody else has by then (rows 67, 73, 74 and 77 of docs/security.md). A server that stands
//! still meanwhile finds all of them at once.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use aerys::{ClientId, Endpoint, WebSocketConfig};

use crate::client::{Client, PATIENCE, TEXT, frame, handshake};
use crate::support::{Event, TestServer, echo};

/// Echoes; on `hold` stands still until the test lets go, on `kick` closes that client.
fn holding(released: Receiver<()>) -> impl FnMut(&Endpoint, &Event) + Send + 'static {
    move |ws: &Endpoint, event: &Event| match event {
        Event::Text(_, text) if text == "hold" => {
            released.recv_timeout(PATIENCE).expect("the test lets go");
        }
        Event::Text(_, text) if text.starts_with("kick ") => {
            let other: ClientId = text["kick ".len()..].parse().expect("an id");
            // Its timer is due when its place is somebody else's.
            ws.send_after(Duration::from_millis(2), other, "for who was kicked");
            ws.close(other, 4000, "kicked").expect("a legal code");
        }
        _ => echo(ws, event),
    }
}

/// Rows 67 and 77. One client has another one closed, which sends and resets in the same batch, and
/// newcomers get its place; a thousand times.
#[test]
fn a_newcomer_in_the_place_of_one_that_was_kicked_meets_nothing_of_it() {
    const ROUNDS: usize = 1000;
    let (release, released) = channel();
    let config = WebSocketConfig {
        heartbeat: None,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, holding(released));
    let (mut kicking, kicking_id) = server.open("/");
    let (mut kicked, mut kicked_id) = server.open("/");
    let mut reused = 0;
    for round in 0..ROUNDS {
        kicking.send_text("hold");
        assert_eq!(server.event(), Event::Text(kicking_id, "hold".into()));
        // All of this is there when the loop looks again.
        kicking.send_text(&format!("kick {kicked_id}"));
        kicked.send_text("data of who is kicked");
        kicked.reset();
        let mut newcomer = Client::connect(server.address);
        newcomer.send_raw([handshake("/").as_bytes(), &frame(true, TEXT, b"new")].concat());
        release.send(()).expect("the server waits");

        assert_eq!(newcomer.read_response().status, 101, "round {round}");
        assert_eq!(newcomer.read_text(), "new", "round {round}");
        let (mut id, mut closes, mut texts) = (None, 0, Vec::new());
        while id.is_none() || closes == 0 || !texts.iter().any(|(_, text)| text == "new") {
            match server.event() {
                Event::Open(client, _) => id = Some(client),
                Event::Close(client, code, _) => {
                    assert_eq!(client, kicked_id, "round {round}");
                    assert!(matches!(code, 4000 | 1006), "round {round}: {code}");
                    closes += 1;
                }
                Event::Text(client, text) => texts.push((client, text)),
                Event::Handshake(_) => {}
                other => panic!("round {round}: {other:?}"),
            }
        }
        let id = id.expect("it came in");
        for (client, text) in texts {
            let speaker = match &text[..] {
                "new" => id,
                "data of who is kicked" => kicked_id,
                _ => kicking_id,
            };
            assert_eq!(client, speaker, "round {round}: {text}");
        }
        let slot = |id: ClientId| id.as_u64() & 0x00FF_FFFF;
        reused += usize::from(slot(id) == slot(kicked_id));
        (kicked, kicked_id) = (newcomer, id);
    }
    // The last of them, behind all that was due for others.
    kicked.expect_silence(Duration::from_millis(50));
    kicked.send_text("still here");
    assert_eq!(kicked.read_text(), "still here");
    // Accepted last, a newcomer of the same batch gets another place; over rounds they alternate.
    let places = server.remaining_events();
    assert!(
        places
            .iter()
            .all(|event| !matches!(event, Event::Close(..))),
        "{places:?}, {reused} in the same place"
    );
}

/// Row 74. What came before the reset is handed over or lost with it; the close is told once.
#[test]
fn data_and_a_reset_in_one_batch_are_one_close() {
    const CLIENTS: usize = 200;
    let (release, released) = channel();
    let server = TestServer::websocket(WebSocketConfig::default(), holding(released));
    let (mut holding, _) = server.open("/");
    let clients: Vec<_> = (0..CLIENTS).map(|_| server.open("/")).collect();
    holding.send_text("hold");
    assert!(matches!(server.event(), Event::Text(..)));
    let mut ids: Vec<_> = clients.iter().map(|(_, id)| *id).collect();
    for (mut client, _) in clients {
        client.send_text("data");
        client.reset();
    }
    release.send(()).expect("the server waits");
    let mut closed: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (client, code, _) = server.close_event();
            assert_eq!(code, 1006);
            client
        })
        .collect();
    ids.sort_unstable();
    closed.sort_unstable();
    assert_eq!(closed, ids);
    assert_eq!(server.remaining_events(), []);
    holding.send_text("still here");
    assert_eq!(holding.read_text(), "still here");
}

#[cfg(all(feature = "cli", target_os = "linux"))]
mod of_a_stopped_program {
    use rustix::process::Signal;

    use super::*;
    use crate::client::{BINARY, pattern};
    use crate::program::Program;

    /// Row 67, of the program as it is: who leaves by a reset and who comes, all in one poll.
    #[test]
    fn who_comes_in_the_poll_in_which_others_are_reset_is_served() {
        const ROUNDS: usize = 100;
        const AT_ONCE: usize = 10;
        let program = Program::serve(&["--heartbeat", "off"]);
        let mut witness = Client::open(program.address, "/echo");
        let mut old: Vec<_> = (0..AT_ONCE)
            .map(|_| Client::open(program.address, "/echo"))
            .collect();
        for round in 0..ROUNDS {
            program.signal(Signal::STOP);
            let mut new = Vec::new();
            for (index, mut client) in old.drain(..).enumerate() {
                match index % 3 {
                    0 => client.send_text("old"),
                    1 => client.send_raw([0xFF; 40]),
                    _ => client.send_close(1000),
                }
                client.reset();
                let mut client = Client::connect(program.address);
                let text = format!("{round} {index}");
                client.send_raw(
                    [
                        handshake("/echo").as_bytes(),
                        &frame(true, TEXT, text.as_bytes()),
                    ]
                    .concat(),
                );
                new.push((client, text));
            }
            witness.send_text("witness");
            program.signal(Signal::CONT);
            for (mut client, text) in new {
                assert_eq!(client.read_response().status, 101, "round {round}");
                assert_eq!(client.read_text(), text);
                old.push(client);
            }
            assert_eq!(witness.read_text(), "witness");
        }
        let with_clients = program.descriptor_count();
        drop(old);
        crate::support::wait_until("all are gone", || {
            program.descriptor_count() == with_clients - AT_ONCE
        });
    }

    /// Row 69. A read that fills the loop's buffer to its last byte says nothing of whether more is there,
    /// and no event will.
    #[test]
    fn what_fills_the_read_buffer_exactly_is_read_to_its_end() {
        const BUFFER_BYTES: usize = 256 * 1024;
        let program = Program::serve(&["--heartbeat", "off"]);
        let mut client = Client::open(program.address, "/echo");
        for fills in 1..=3 {
            for beside in [-1, 0, 1] {
                let len = (fills * BUFFER_BYTES).saturating_add_signed(beside);
                // In front of the payload are 14 bytes; the last byte comes in a message of its own.
                let payload = pattern(len - 14 - 7);
                let bytes = [frame(true, BINARY, &payload), frame(true, BINARY, &[1])].concat();
                assert_eq!(bytes.len(), len);
                // It finds all of it at once.
                program.signal(Signal::STOP);
                let mut writer = client.writer();
                let sender = std::thread::spawn(move || {
                    std::io::Write::write_all(&mut writer, &bytes).expect("it reads in the end");
                });
                if fills == 1 {
                    sender.join().expect("the socket takes so much");
                    program.signal(Signal::CONT);
                } else {
                    program.signal(Signal::CONT);
                    sender.join().expect("it reads");
                }
                assert!(client.read_message(BINARY) == payload, "{len} bytes");
                assert_eq!(client.read_message(BINARY), [1], "{len} bytes");
            }
        }
    }
}
