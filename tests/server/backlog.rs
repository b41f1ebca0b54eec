//! Clients that read slowly or not at all: soft and hard limit, both policies, `on_drain`.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use aerys::{BacklogPolicy, Config, Endpoint, Everyone, WebSocketConfig};

use crate::client::{BINARY, CLOSE, Client, TEXT, frame, server_frame};
use crate::support::{Event, TestServer, wait_until};

/// Far more than the kernel takes for a peer that does not read (about 4 MiB on Linux).
const CLOG: usize = 12 << 20;

const PIECES: usize = 400;
const PIECE_BYTES: usize = 64 * 1024;

/// On a text: so many pieces to its sender, each with its number in front, a few at a time.
fn flood() -> impl FnMut(&Endpoint, &Event) + Send + 'static {
    let mut next = 0;
    let mut to = None;
    move |ws: &Endpoint, event: &Event| {
        match event {
            Event::Text(client, text) if text == "flood" => (next, to) = (0, Some(*client)),
            Event::Timer(_) => {}
            _ => return,
        }
        for number in next..next + 4 {
            let mut piece = vec![b'.'; PIECE_BYTES];
            piece[..4].copy_from_slice(format!("{number:04}").as_bytes());
            ws.send(to.expect("somebody asked"), piece);
        }
        next += 4;
        if next < PIECES {
            let _ = ws.set_timer(Duration::ZERO);
        }
    }
}

/// On a text: one message that the sender's socket does not take at once.
fn clog(ws: &Endpoint, event: &Event) {
    if let Event::Text(client, text) = event
        && text == "clog"
    {
        ws.send(*client, vec![2; CLOG]);
    }
}

/// On a text: all pieces in one callback, half of them to the sender and half to everyone.
fn burst(ws: &Endpoint, event: &Event) {
    let Event::Text(client, _) = event else {
        return;
    };
    for number in 0..PIECES {
        let mut piece = vec![b'.'; PIECE_BYTES];
        piece[..4].copy_from_slice(format!("{number:04}").as_bytes());
        if number % 2 == 0 {
            ws.send(*client, piece);
        } else {
            ws.broadcast(piece);
        }
    }
}

fn number_of(payload: &[u8]) -> usize {
    assert_eq!(payload.len(), PIECE_BYTES);
    String::from_utf8_lossy(&payload[..4])
        .parse()
        .expect("a number")
}

/// Reads numbered pieces up to the Close; how many they were.
fn read_gapless_until_1008(client: &mut Client) -> usize {
    let mut count = 0;
    loop {
        let frame = client.read_frame();
        if frame.opcode == CLOSE {
            assert_eq!(frame.payload[..2], 1008_u16.to_be_bytes());
            return count;
        }
        assert_eq!(number_of(&frame.payload), count);
        count += 1;
    }
}

#[test]
fn over_the_hard_limit_a_client_is_closed_with_1008_behind_a_gapless_prefix() {
    let config = WebSocketConfig {
        close_timeout: Duration::from_secs(8),
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, flood());
    let mut client = Client::open_narrow(server.address, "/");
    client.send_text("flood");
    assert_eq!(server.close_event().1, 1008);
    let count = read_gapless_until_1008(&mut client);
    assert!(count < PIECES, "all {count} arrived");
    client.send_close(1008);
    client.expect_eof();
}

#[test]
fn what_one_callback_sends_is_judged_when_the_socket_is_full() {
    let config = WebSocketConfig {
        close_timeout: Duration::from_secs(8),
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, burst);
    let mut client = Client::open_narrow(server.address, "/");
    client.send_text("burst");
    assert_eq!(server.close_event().1, 1008);
    let count = read_gapless_until_1008(&mut client);
    // What the kernel took, the limit, and one message.
    assert!(count < PIECES / 2, "all {count} arrived");
}

#[test]
fn what_one_callback_sends_too_much_is_dropped_and_later_messages_arrive() {
    let config = WebSocketConfig {
        backlog_policy: BacklogPolicy::DropMessages,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, burst);
    let mut client = Client::open_narrow(server.address, "/");
    client.send_text("burst");
    let mut numbers = Vec::new();
    loop {
        numbers.push(number_of(&client.read_message(BINARY)));
        if let Some(Event::Drain(_)) = server.remaining_events().last() {
            break;
        }
    }
    while client.has_input() {
        numbers.push(number_of(&client.read_message(BINARY)));
    }
    assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
    assert!(numbers.len() < PIECES / 2, "all {} arrived", numbers.len());
    client.send_text("burst");
    assert_eq!(number_of(&client.read_message(BINARY)), 0);
}

#[test]
fn where_messages_are_dropped_the_connection_lives_on_in_order() {
    let config = WebSocketConfig {
        backlog_policy: BacklogPolicy::DropMessages,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, flood());
    let (_, _) = server.open("/");
    let mut client = Client::open_narrow(server.address, "/");
    client.send_text("flood");
    // Nothing is read before all was sent or dropped.
    let timers = |event: &Event| matches!(event, Event::Timer(_));
    let mut fired = 0;
    while fired < PIECES / 4 - 1 {
        fired += usize::from(timers(&server.event()));
    }
    let mut numbers = Vec::new();
    while client.has_input() {
        numbers.push(number_of(&client.read_message(BINARY)));
    }
    assert!(
        numbers.is_sorted() && numbers.len() < PIECES,
        "{} of {PIECES}",
        numbers.len()
    );
    assert!(
        server
            .remaining_events()
            .iter()
            .any(|event| matches!(event, Event::Drain(_)))
    );
    client.send_text("flood");
    assert_eq!(number_of(&client.read_message(BINARY)), 0);
}

/// One message of any size fits, since the limit is judged before it is queued.
#[test]
fn a_message_larger_than_the_hard_limit_is_delivered() {
    let server = TestServer::websocket(WebSocketConfig::default(), clog);
    let mut client = Client::open_narrow(server.address, "/");
    client.send_text("clog");
    assert!(client.read_message(BINARY) == vec![2; CLOG]);
}

#[test]
fn on_drain_comes_once_when_the_backlog_is_below_the_soft_limit_again() {
    let react = |ws: &Endpoint, event: &Event| match event {
        Event::Drain(client) => ws.send(*client, "drained"),
        _ => clog(ws, event),
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (_, _) = server.open("/");
    let mut client = Client::open_narrow(server.address, "/");
    client.send_text("clog");
    std::thread::sleep(Duration::from_millis(200));
    assert!(
        !server
            .remaining_events()
            .iter()
            .any(|event| matches!(event, Event::Drain(_))),
        "too early"
    );
    assert_eq!(client.read_message(BINARY).len(), CLOG);
    assert_eq!(client.read_text(), "drained");
    client.expect_silence(Duration::from_millis(100));
}

#[test]
fn a_client_above_the_soft_limit_is_not_read_from_until_it_reads() {
    let server = TestServer::websocket(WebSocketConfig::default(), clog);
    let (_, _) = server.open("/");
    let mut client = Client::open_narrow(server.address, "/");
    client.send_text("clog");
    std::thread::sleep(Duration::from_millis(100));
    client.send_text("held back");
    let held = |event: &Event| matches!(event, Event::Text(_, text) if text == "held back");
    assert!(!server.remaining_events().iter().any(held));
    client.read_frame();
    assert!(server.remaining_events().iter().any(held));
}

/// Judged by its progress in writing, not by its pongs, which are not read.
#[test]
fn a_client_that_takes_nothing_is_dropped_at_the_write_timeout() {
    let server = TestServer::limited(
        Config {
            write_timeout: Duration::from_millis(400),
            ..Config::default()
        },
        WebSocketConfig::default(),
        clog,
    );
    let mut client = Client::open_narrow(server.address, "/");
    client.send_text("clog");
    let begun = Instant::now();
    server.close_event();
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(350)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
}

/// Else the kernel would go on for minutes to hold what it was given for a client that is gone.
#[test]
fn who_is_dropped_at_the_write_timeout_is_reset() {
    let config = Config {
        write_timeout: Duration::from_millis(400),
        ..Config::default()
    };
    let server = TestServer::limited(config, WebSocketConfig::default(), clog);
    let mut client = Client::open_narrow(server.address, "/");
    client.send_text("clog");
    server.close_event();
    let mut reader = client.writer();
    let mut piece = [0; 16 * 1024];
    let end = loop {
        match reader.read(&mut piece) {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) => break Some(error.kind()),
        }
    };
    assert_eq!(end, Some(ErrorKind::ConnectionReset));
}

/// What lies in the kernel is beyond all limits of ours, and all sockets of the machine share what there is:
/// a thousand clients that do not read would take it from the others.
#[cfg(target_os = "linux")]
#[test]
fn of_what_nobody_reads_the_kernel_holds_little() {
    let react = |ws: &Endpoint, event: &Event| match event {
        Event::Text(asker, text) if text == "backlog?" => {
            let backlogs = ws
                .clients()
                .into_iter()
                .filter_map(|client| ws.info(client));
            let most = backlogs.map(|info| info.backlog_bytes).max();
            ws.send(*asker, most.unwrap_or(0).to_string());
        }
        _ => clog(ws, event),
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let mut stuck = Client::open_narrow(server.address, "/");
    let mut asking = Client::open(server.address, "/");
    stuck.send_text("clog");
    let mut backlog = || -> usize {
        asking.send_text("backlog?");
        asking.read_text().parse().expect("a number")
    };
    // Its socket took what it takes when nothing changes any more.
    let mut before = 0;
    wait_until("its socket is full", || {
        let now = backlog();
        std::mem::replace(&mut before, now) == now && now > 0
    });
    let taken = CLOG - before;
    assert!(taken <= 3 << 18, "the kernel took {taken} bytes");
    assert!(stuck.read_message(BINARY) == vec![2; CLOG]);
}

/// It takes little at a time, but it takes it, for longer than the timeout.
#[test]
fn a_client_that_reads_slowly_is_not_dropped_at_the_write_timeout() {
    let server = TestServer::limited(
        Config {
            write_timeout: Duration::from_millis(500),
            ..Config::default()
        },
        WebSocketConfig::default(),
        clog,
    );
    let mut client = Client::open_narrow(server.address, "/");
    client.send_text("clog");
    let mut left = 10 + CLOG;
    while left > 0 {
        let piece = left.min(1 << 20);
        client.read_bytes(piece);
        left -= piece;
        std::thread::sleep(Duration::from_millis(100));
    }
    client.send_text("still here");
    assert!(
        !server
            .remaining_events()
            .iter()
            .any(|event| matches!(event, Event::Close(..)))
    );
}

/// A writable edge is late: it waits until a third of the socket's buffer is free.
#[test]
fn a_trickle_that_is_read_is_progress_too() {
    let config = Config {
        write_timeout: Duration::from_secs(1),
        ..Config::default()
    };
    let server = TestServer::limited(config, WebSocketConfig::default(), clog);
    let (mut client, _) = server.open("/");
    client.send_text("clog");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        client.read_bytes(10_000);
        std::thread::sleep(Duration::from_millis(40));
    }
    assert!(
        !server
            .remaining_events()
            .iter()
            .any(|event| matches!(event, Event::Close(..)))
    );
}

/// One read may bring thousands of messages, each with an answer for others: what they queue is
/// written long before the last of them was looked at.
#[test]
fn what_one_read_brings_does_not_queue_without_bound() {
    const MESSAGES: usize = 5000;
    const MESSAGE_BYTES: usize = 16_000;
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(client, _) = event {
            ws.send(Everyone.except(&[*client]), vec![7; MESSAGE_BYTES]);
            // So slow that a reader keeps up, whatever else the machine does.
            std::thread::sleep(Duration::from_micros(400));
        }
    };
    let config = WebSocketConfig {
        hard_backlog_bytes: MESSAGES * MESSAGE_BYTES / 4 * 3,
        heartbeat: None,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, react);
    let mut reader = Client::open(server.address, "/");
    let mut sender = Client::open(server.address, "/");
    sender.send_raw(frame(true, TEXT, b"").repeat(MESSAGES));
    let expected = server_frame(BINARY, &[7; MESSAGE_BYTES]);
    for number in 0..MESSAGES {
        assert!(
            reader.read_bytes(expected.len()) == expected,
            "message {number}"
        );
    }
}

/// A backlog counts from its queueing, also if the socket then takes it at once.
#[test]
fn on_drain_follows_every_backlog_that_was_above_the_soft_limit() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(client, _) = event {
            ws.send(*client, vec![7; 300_000]);
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut client, id) = server.open("/");
    client.send_text("go");
    assert_eq!(client.read_message(BINARY).len(), 300_000);
    assert_eq!(server.event(), Event::Text(id, "go".into()));
    assert_eq!(server.event(), Event::Drain(id));
}
