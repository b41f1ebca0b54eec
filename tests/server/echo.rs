//! Messages of every length come back as what they were.

use crate::client::{BINARY, Client, TEXT, frame, pattern, server_frame};
use crate::support::TestServer;

/// Lengths at which the form of a frame's length changes, and some large ones.
const LENGTHS: [usize; 10] = [0, 1, 125, 126, 127, 128, 65535, 65536, 200_000, 2 << 20];

/// `len` bytes of text, of which some are multi-byte characters.
fn text(len: usize) -> String {
    let mut text: String = "aé€😀z".chars().cycle().take(len / 3).collect();
    while text.len() > len {
        text.pop();
    }
    text.push_str(&"#".repeat(len - text.len()));
    text
}

/// Scenario 13.
#[test]
fn every_length_comes_back_byte_for_byte_in_its_shortest_form() {
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    for len in LENGTHS {
        let binary = pattern(len);
        client.send(true, BINARY, &binary);
        assert!(
            client.read_bytes(server_frame(BINARY, &binary).len()) == server_frame(BINARY, &binary),
            "{len}"
        );
        let text = text(len);
        client.send_text(&text);
        let expected = server_frame(TEXT, text.as_bytes());
        assert!(client.read_bytes(expected.len()) == expected, "{len}");
    }
}

#[test]
fn any_cut_of_the_stream_gives_the_same_echoes() {
    let server = TestServer::echo();
    let mut sent = Vec::new();
    let mut expected = Vec::new();
    for len in [0, 1, 5, 125, 126, 300] {
        sent.extend(frame(true, BINARY, &pattern(len)));
        expected.extend(server_frame(BINARY, &pattern(len)));
    }
    for size in [1, 2, 3, 7, 64, sent.len()] {
        let mut client = Client::open(server.address, "/");
        for piece in sent.chunks(size) {
            client.send_raw(piece);
        }
        assert_eq!(
            client.read_bytes(expected.len()),
            expected,
            "in pieces of {size}"
        );
    }
}

/// All masks, since unmasking in place works on words and their ends.
#[test]
fn every_alignment_of_the_mask_is_undone() {
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    for len in 0..40 {
        for cut in [0, 1, 2, 3, 5, 8, 13] {
            let bytes = frame(true, BINARY, &pattern(len));
            let cut = bytes.len().min(6 + cut);
            client.send_raw(&bytes[..cut]);
            client.send_raw(&bytes[cut..]);
            assert_eq!(
                client.read_message(BINARY),
                pattern(len),
                "{len} bytes, cut at {cut}"
            );
        }
    }
}

#[test]
fn many_messages_in_flight_come_back_in_order() {
    const COUNT: usize = 20_000;
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    let mut bytes = Vec::new();
    for number in 0..COUNT {
        bytes.extend(frame(true, TEXT, number.to_string().as_bytes()));
    }
    client.send_raw(bytes);
    for number in 0..COUNT {
        assert_eq!(client.read_text(), number.to_string());
    }
}

/// More than any backlog limit: the echo meets TCP's flow control, and nobody is closed.
#[test]
fn a_client_that_sends_much_before_it_reads_gets_all_of_it() {
    const COUNT: usize = 400;
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    let address = client.local_address();
    let message = frame(true, BINARY, &pattern(65536));
    let expected = server_frame(BINARY, &pattern(65536));
    let mut writer = client.writer();
    let sender = std::thread::spawn(move || {
        for _ in 0..COUNT {
            std::io::Write::write_all(&mut writer, &message).expect("the server reads on");
        }
    });
    // Both directions fill up meanwhile.
    std::thread::sleep(std::time::Duration::from_millis(300));
    for number in 0..COUNT {
        assert!(
            client.read_bytes(expected.len()) == expected,
            "{address}, message {number}"
        );
    }
    sender.join().expect("all was sent");
}
