//! Field blocks over several frames (RFC 9113 sections 4.3, 6.2 and 6.10), and what is too much.

use super::*;

/// HEADERS and CONTINUATION frames of one block, cut every `len` bytes.
fn frames(stream: u32, flags: u8, block: &[u8], len: usize) -> Vec<u8> {
    let mut pieces = block.chunks(len).peekable();
    let mut bytes = Vec::new();
    let mut kind = HEADERS;
    let mut first_flags = flags & !END_HEADERS;
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() {
            END_HEADERS
        } else {
            0
        };
        bytes.extend(frame(kind, first_flags | last, stream, piece));
        (kind, first_flags) = (CONTINUATION, 0);
    }
    bytes
}

/// Section 6.10.
#[test]
fn a_block_goes_on_in_continuation_frames() {
    let block = get_block();
    for len in 1..=block.len() {
        let mut peer = Peer::new();
        assert_eq!(peer.send(frames(1, WHOLE, &block, len)), [seen_get(1)]);
        assert_eq!(peer.sent(), []);
    }
    // The first fragment may be empty, and so may the last.
    let mut peer = Peer::new();
    let bytes = [
        frame(HEADERS, END_STREAM, 1, ""),
        frame(CONTINUATION, 0, 1, &block),
        frame(CONTINUATION, END_HEADERS, 1, ""),
    ];
    assert_eq!(peer.send(bytes.concat()), [seen_get(1)]);
    // Trailers, too.
    let mut peer = Peer::new();
    peer.send(post(1));
    let trailers = frames(1, WHOLE, &super::block(&[("x", "y")]), 2);
    assert_eq!(peer.send(trailers), [Seen::Data(slot(1), vec![], true)]);
}

/// Sections 4.3 and 6.10.
#[test]
fn nothing_comes_amid_a_block() {
    for between in [
        frame(DATA, 0, 1, "a"),
        get(3),
        frame(PRIORITY, 0, 1, [0; 5]),
        frame(RST_STREAM, 0, 1, [0; 4]),
        settings(&[]),
        frame(PING, 0, 0, [0; 8]),
        frame(GOAWAY, 0, 0, [0; 8]),
        window_update(0, 1),
        frame(CONTINUATION, END_HEADERS, 3, ""),
        frame(0xFA, 0, 1, ""),
    ] {
        let mut peer = Peer::new();
        peer.send(post(1));
        assert_eq!(peer.send(frame(HEADERS, END_STREAM, 5, [0; 100])), []);
        assert!(peer.connection.memory_bytes() > 200);
        assert_eq!(peer.fails_with(between), 0x1);
        assert!(peer.connection.memory_bytes() < 200, "it is let go");
    }
    // Nor does it go on before it began, or behind its end.
    let alone = frame(CONTINUATION, END_HEADERS, 1, "");
    assert_eq!(Peer::new().fails_with(&alone), 0x1);
    assert_eq!(Peer::new().fails_with([get(1), alone].concat()), 0x1);
}

/// Section 6.2.
#[test]
fn a_block_lies_between_priority_and_padding() {
    let mut peer = Peer::new();
    let block = get_block();
    let padded = [&[3][..], &block, &[0; 3]].concat();
    let headers = frame(HEADERS, WHOLE | PADDED, 1, padded);
    assert_eq!(peer.send(headers), [seen_get(1)]);
    let both = [&[2][..], &[0x80, 0, 0, 1, 16], &block, &[0; 2]].concat();
    let headers = frame(HEADERS, WHOLE | PADDED | 0x20, 3, both);
    assert_eq!(peer.send(headers), [seen_get(3)]);
    for (flags, payload, code) in [
        (PADDED, &b"\x01"[..], 0x1),
        (PADDED | 0x20, b"\x01\0\0\0\0\0", 0x1),
        (PADDED, b"", 0x6),
        (0x20, b"\0\0\0\0", 0x6),
    ] {
        let bytes = frame(HEADERS, WHOLE | flags, 1, payload);
        assert_eq!(Peer::new().fails_with(bytes), code);
    }
}

/// Section 4.3.
#[test]
fn a_block_that_cannot_be_decoded_ends_the_connection() {
    // An index that nothing has.
    let bytes = frame(HEADERS, WHOLE, 1, [0xE4]);
    assert_eq!(Peer::new().fails_with(bytes), 0x9);
    let mut peer = Peer::new();
    peer.send(post(1));
    assert_eq!(peer.fails_with(frame(HEADERS, WHOLE, 1, [0x80])), 0x9);
}

/// A list is refused with a status, and what it adds to the table counts.
#[test]
fn a_list_that_is_too_long_is_refused_and_decoded_to_its_end() {
    let mut peer = Peer::with(Config {
        max_header_section_bytes: 400,
        ..Config::default()
    });
    let large = ["a"; 100].concat();
    let fields = [("x", large.as_str()), ("y", &large), ("z", &large)];
    let too_long = [&post_block(&fields)[..], &[0x40, 1], b"x\x01y"].concat();
    let headers = frame(HEADERS, END_HEADERS, 1, too_long);
    assert_eq!(peer.send(headers), [seen_post(1)]);
    let refused = peer.request.take().unwrap().refused.unwrap();
    assert_eq!(refused.status.as_u16(), 431);
    // It is a stream like any other.
    assert_eq!(peer.send(frame(DATA, 0, 1, "a")).len(), 1);
    let request = [&get_block()[..], &[NEWEST_ENTRY]].concat();
    assert_eq!(peer.send(frame(HEADERS, WHOLE, 3, request)), [seen_get(3)]);
    let new = peer.request.take().unwrap();
    assert_eq!(new.request.header("x"), Some("y"));
    assert_eq!(new.refused, None);
}

/// CVE-2024-27316.
#[test]
fn a_block_of_many_frames_or_bytes_ends_the_connection() {
    // 64 of them are legal, however empty.
    let block = get_block();
    let mut peer = Peer::new();
    peer.send(frame(HEADERS, END_STREAM, 1, &block));
    assert_eq!(peer.send(frame(CONTINUATION, 0, 1, "").repeat(63)), []);
    let last = frame(CONTINUATION, END_HEADERS, 1, "");
    assert_eq!(peer.send(last), [seen_get(1)]);
    let mut peer = Peer::new();
    peer.send(frame(HEADERS, END_STREAM, 1, &block));
    let bytes = frame(CONTINUATION, 0, 1, "").repeat(65);
    assert_eq!(peer.fails_with(bytes), 0xB);

    let config = Config {
        max_header_section_bytes: 1000,
        ..Config::default()
    };
    let mut peer = Peer::with(config.clone());
    peer.send(frame(HEADERS, END_STREAM, 1, [0; 1000]));
    assert_eq!(peer.send(frame(CONTINUATION, 0, 1, [0; 1000])), []);
    assert!(peer.connection.buffered_bytes() >= 2000);
    assert_eq!(peer.fails_with(frame(CONTINUATION, 0, 1, [0])), 0xB);
    assert_eq!(peer.connection.buffered_bytes(), 0);
    // In one frame, too.
    for flags in [WHOLE, END_STREAM] {
        let mut peer = Peer::with(config.clone());
        assert_eq!(peer.fails_with(frame(HEADERS, flags, 1, [0; 2001])), 0xB);
    }
}
