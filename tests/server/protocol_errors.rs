//! Frames that break a rule fail the connection with 1002 (RFC 6455 sections 5.1, 5.2, 5.4, 5.5).

use crate::client::{CLOSE, CONTINUATION, Client, MASK, PING, TEXT, frame};
use crate::support::{Event, TestServer};

/// Sends `bytes` on a connection of their own; they must fail it with 1002, and so must they byte
/// by byte and behind a good message.
fn expect_refused(server: &TestServer, what: &str, bytes: &[u8]) {
    for way in ["at once", "byte by byte", "behind a good message"] {
        let (mut client, id) = server.open("/");
        if way == "behind a good message" {
            client.send_text("good");
            assert_eq!(client.read_text(), "good");
            assert_eq!(server.event(), Event::Text(id, "good".into()));
        }
        if way == "byte by byte" {
            // The server may judge, and close, before the last of them.
            bytes.iter().all(|byte| client.try_send_raw([*byte]));
        } else {
            client.send_raw(bytes);
        }
        let reason = client.expect_close(1002);
        assert!(
            !reason.is_empty(),
            "{what}: a reason helps whoever writes the client"
        );
        client.expect_eof();
        let closed = server.close_event();
        assert_eq!((closed.0, closed.1), (id, 1002), "{what}, {way}");
    }
    assert_eq!(server.remaining_events(), [], "{what}");
}

/// The header of a masked frame, and nothing behind it.
fn header(first: u8, second: u8) -> Vec<u8> {
    [&[first, second | 0x80], &MASK[..]].concat()
}

/// Scenario 10.
#[test]
fn a_frame_that_is_wrong_by_itself_is_refused() {
    let server = TestServer::echo();
    let unfinished_ping = frame(false, PING, b"x");
    let long_ping = [&[0x89, 0xFE, 0, 126], &MASK[..]].concat();
    let cases: [(&str, &[u8]); 14] = [
        ("a ping that is not final", &unfinished_ping),
        ("a ping of 126 bytes, on its header", &long_ping),
        ("an unmasked text", b"\x81\x01a"),
        ("an unmasked empty text", b"\x81\x00"),
        ("an unmasked ping", b"\x89\x00"),
        ("an unmasked close", b"\x88\x02\x03\xE8"),
        ("the first reserved bit", &header(0xC1, 0)),
        ("the second reserved bit", &header(0xA1, 0)),
        ("the third reserved bit", &header(0x91, 0)),
        ("a reserved bit on a ping", &header(0xC9, 0)),
        ("the reserved data opcode 3", &header(0x83, 0)),
        ("the reserved data opcode 7", &header(0x87, 0)),
        ("the reserved control opcode 11", &header(0x8B, 0)),
        ("the reserved control opcode 15", &header(0x8F, 0)),
    ];
    for (what, bytes) in cases {
        expect_refused(&server, what, bytes);
    }
}

/// Scenario 11.
#[test]
fn a_frame_that_is_wrong_at_this_place_is_refused() {
    let server = TestServer::echo();
    expect_refused(
        &server,
        "a continuation of nothing",
        &frame(true, CONTINUATION, b"x"),
    );
    expect_refused(
        &server,
        "an unfinished continuation of nothing",
        &frame(false, CONTINUATION, b"x"),
    );
    let interleaved = [frame(false, TEXT, b"one"), frame(true, TEXT, b"two")].concat();
    expect_refused(&server, "a second message inside the first", &interleaved);

    let (mut client, _) = server.open("/");
    client.send_text("finished");
    client.send(true, CONTINUATION, "but not over");
    assert_eq!(client.read_text(), "finished");
    client.expect_close(1002);
    client.expect_eof();
}

/// Scenario 11, its last, and what RFC 6455 section 5.2 says of the shortest form.
#[test]
fn a_length_that_is_no_length_is_refused() {
    let server = TestServer::echo();
    let cases: [(&str, &[u8]); 5] = [
        (
            "the top bit of 64",
            &[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 1],
        ),
        (
            "all bits of 64",
            &[0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        ),
        ("125 in 16 bits", &[0x82, 0xFE, 0, 125]),
        ("0 in 16 bits", &[0x82, 0xFE, 0, 0]),
        (
            "65535 in 64 bits",
            &[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
        ),
    ];
    for (what, bytes) in cases {
        expect_refused(&server, what, &[bytes, &MASK].concat());
    }
}

#[test]
fn after_a_failure_nothing_more_is_taken() {
    let server = TestServer::echo();
    let (mut client, id) = server.open("/");
    let bytes = [
        frame(true, TEXT, b"before"),
        header(0x83, 0),
        frame(true, TEXT, b"after"),
        frame(true, PING, b"after"),
        frame(true, CLOSE, &[0x03, 0xE8]),
    ];
    client.send_raw(bytes.concat());
    assert_eq!(client.read_text(), "before");
    client.expect_close(1002);
    client.expect_eof();
    let events = server.remaining_events();
    assert_eq!(events[0], Event::Text(id, "before".into()));
    assert!(
        matches!(events[1..], [Event::Close(closed, 1002, _)] if closed == id),
        "{events:?}"
    );
}

/// A peer that has much under way when it is refused reads the Close, and is not reset by it.
#[test]
fn the_close_is_readable_though_the_peer_goes_on_sending() {
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    client.send_raw(header(0x83, 0));
    let mut writer = client.writer();
    let sender = std::thread::spawn(move || {
        for _ in 0..256 {
            if std::io::Write::write_all(&mut writer, &[0; 8 * 1024]).is_err() {
                return;
            }
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(200));
    client.expect_close(1002);
    client.expect_eof();
    sender.join().expect("no panic");
}
