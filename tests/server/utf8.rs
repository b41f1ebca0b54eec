//! Text is UTF-8, and what is not fails the connection with 1007 at its first wrong byte
//! (RFC 6455 section 8.1).

use crate::client::{BINARY, CONTINUATION, Client, PING, PONG, TEXT, frame};
use crate::support::TestServer;

/// Scenario 12, its first half.
#[test]
fn a_cut_character_at_the_end_of_a_message_is_refused() {
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    client.send_raw([0x81, 0x83, 0xF4, 0x37, 0x7A, 0x9C, 0x42, 0xF4, 0xCC]);
    client.expect_close(1007);
    client.expect_eof();
    assert_eq!(server.close_event().1, 1007);
}

/// Scenario 12, its second half.
#[test]
fn a_character_may_be_cut_by_a_frame_and_a_ping_may_be_in_the_cut() {
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    client.send_raw([0x01, 0x82, 0xF4, 0x37, 0x7A, 0x9C, 0xBC, 0xF4]);
    client.send(true, PING, "between");
    client.send_raw([0x80, 0x81, 0xF4, 0x37, 0x7A, 0x9C, 0x42]);
    assert_eq!(client.read_message(PONG), b"between");
    assert_eq!(client.read_text(), "Hö");
}

#[test]
fn every_kind_of_bad_byte_is_refused_and_binary_may_hold_it() {
    let server = TestServer::echo();
    let cases: [&[u8]; 12] = [
        b"\x80",
        b"\xFF",
        b"ok\xC3",
        b"\xC3(",
        b"\xC0\xAF",
        b"\xE0\x80\xAF",
        b"\xED\xA0\x80",
        b"\xED\xBF\xBF",
        b"\xF0\x80\x80\xAF",
        b"\xF4\x90\x80\x80",
        b"\xF8\x88\x80\x80\x80",
        b"\xF0\x9F\x98",
    ];
    for bad in cases {
        let mut client = Client::open(server.address, "/");
        client.send(true, BINARY, bad);
        assert_eq!(client.read_message(BINARY), bad);
        client.send(true, TEXT, bad);
        client.expect_close(1007);
        client.expect_eof();
    }
}

/// The rest of the frame never comes, nor is it waited for.
#[test]
fn the_first_bad_byte_is_refused_inside_a_frame() {
    let server = TestServer::echo();
    let mut long = b"good text ".repeat(100_000);
    long[250_000] = 0xC0;
    // The bad byte is the last that is sent of the first, and far from the front of the second.
    for (text, sent) in [
        (
            &b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xF4\x90\x80\x80edited"[..],
            13,
        ),
        (&long, 250_001),
    ] {
        let mut client = Client::open(server.address, "/");
        let bytes = frame(true, TEXT, text);
        let header = bytes.len() - text.len();
        client.send_raw(&bytes[..header + sent - 1]);
        client.send_raw(&bytes[header + sent - 1..header + sent]);
        client.expect_close(1007);
        client.expect_eof();
    }
}

#[test]
fn the_first_bad_byte_is_refused_in_a_later_fragment_too() {
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    client.send(false, TEXT, b"\xF4");
    client.send_raw(&frame(false, CONTINUATION, b"\x90\x80\x80")[..7]);
    client.expect_close(1007);
    client.expect_eof();
}
