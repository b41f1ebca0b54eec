//! What single frames do (RFC 9113 sections 4 to 6).

use super::*;

/// Section 5.5 and 4.1: unknown types and unknown flags are ignored.
#[test]
fn what_is_unknown_is_ignored() {
    let mut peer = Peer::new();
    // RFC 9218 section 7.1 among them.
    for kind in [0x0A, 0x0B, 0x0C, 0x10, 0xEE, 0xFF] {
        assert_eq!(peer.send(frame(kind, 0xFF, 0, "12345678")), []);
        assert_eq!(peer.send(frame(kind, 0xFF, 7, "12345678")), []);
    }
    assert_eq!(peer.send(frame(PING, 0xFE, 0, "12345678")), []);
    assert_eq!(peer.sent()[0].payload, b"12345678");
    assert_eq!(
        peer.send(frame(HEADERS, 0xD5, 1, get_block())),
        [seen_get(1)]
    );
}

/// Section 4.1: the bit before the number of the stream is ignored.
#[test]
fn the_reserved_bit_is_ignored() {
    let mut peer = Peer::new();
    let bytes = frame(HEADERS, WHOLE, 0x8000_0001, get_block());
    assert_eq!(peer.send(bytes), [seen_get(1)]);
    let bytes = frame(WINDOW_UPDATE, 0, 0, 0x8000_0001_u32.to_be_bytes());
    assert_eq!(peer.send(bytes), []);
}

/// Section 4.2: judged before the payload comes.
#[test]
fn a_frame_that_is_too_long_is_told_by_its_header() {
    for (kind, stream) in [(DATA, 1), (HEADERS, 3), (SETTINGS, 0), (0xFF, 0)] {
        let mut peer = Peer::new();
        peer.send(post(1));
        let bytes = frame(kind, 0, stream, vec![0; 16_385]);
        assert_eq!(peer.fails_with(&bytes[..9]), 0x6, "type {kind}");
    }
}

/// Section 6.7.
#[test]
fn a_ping_is_answered_with_its_bytes_and_an_answer_is_not() {
    let mut peer = Peer::new();
    assert_eq!(peer.send(frame(PING, 0x1, 0, "answered")), []);
    assert_eq!(peer.send(frame(PING, 0, 0, "bytes...")), []);
    let expected = Sent {
        kind: PING,
        flags: 0x1,
        stream: 0,
        payload: b"bytes...".to_vec(),
    };
    assert_eq!(peer.sent(), [expected]);
    assert_eq!(Peer::new().fails_with(frame(PING, 0, 0, "7 bytes")), 0x6);
    assert_eq!(Peer::new().fails_with(frame(PING, 0, 1, "12345678")), 0x1);
}

/// Section 6.5.
#[test]
fn settings_are_answered_once_they_hold() {
    let mut peer = Peer::new();
    assert_eq!(peer.send(settings(&[(0x1, 0), (0xFFFF, 7)])), []);
    let expected = Sent {
        kind: SETTINGS,
        flags: 0x1,
        stream: 0,
        payload: Vec::new(),
    };
    assert_eq!(peer.sent(), [expected]);
    // Their answer to ours.
    assert_eq!(peer.send(frame(SETTINGS, 0x1, 0, [])), []);
    assert_eq!(peer.sent(), []);
    for (bytes, code) in [
        (frame(SETTINGS, 0x1, 0, [0; 6]), 0x6),
        (frame(SETTINGS, 0, 0, [0; 5]), 0x6),
        (frame(SETTINGS, 0, 1, []), 0x1),
        (settings(&[(0x2, 2)]), 0x1),
        (settings(&[(0x4, 0x8000_0000)]), 0x3),
        (settings(&[(0x5, 16_383)]), 0x1),
    ] {
        assert_eq!(Peer::new().fails_with(bytes), code);
    }
}

/// RFC 7541 section 4.2.
#[test]
fn a_smaller_table_is_answered_in_front_of_the_next_block() {
    let mut peer = Peer::new();
    let mut streams = (1..).step_by(2);
    let mut answer = |peer: &mut Peer| {
        let stream = streams.next().unwrap();
        peer.send(get(stream));
        peer.sent();
        peer.call(|connection, cx| connection.send_block(Peer::id(stream), b"\x88", true, cx));
        let frames = peer.sent();
        assert_eq!(
            (frames.len(), frames[0].kind, frames[0].flags),
            (1, HEADERS, WHOLE)
        );
        assert!(peer.connection.is_idle(), "it ended the stream");
        frames[0].payload.clone()
    };
    assert_eq!(answer(&mut peer), b"\x88");
    peer.send(settings(&[(0x1, 65_536)]));
    assert_eq!(answer(&mut peer), b"\x88");
    peer.send(settings(&[(0x1, 0)]));
    assert_eq!(answer(&mut peer), b"\x20\x88");
    assert_eq!(answer(&mut peer), b"\x88");
}

/// Sections 6.2 and 6.10.
#[test]
fn a_long_block_is_sent_in_several_frames() {
    let mut peer = Peer::new();
    peer.send(get(1));
    peer.sent();
    let block = vec![7; 2 * MAX_PAYLOAD_BYTES + 1];
    peer.call(|connection, cx| connection.send_block(Peer::id(1), &block, false, cx));
    let frames = peer.sent();
    let kinds: Vec<_> = frames
        .iter()
        .map(|frame| (frame.kind, frame.flags))
        .collect();
    assert_eq!(
        kinds,
        [(HEADERS, 0), (CONTINUATION, 0), (CONTINUATION, END_HEADERS)]
    );
    let sent: Vec<u8> = frames.into_iter().flat_map(|frame| frame.payload).collect();
    assert!(sent == block, "all of it, in order");
    // A stream that is gone has no head any more.
    peer.reset(1, ErrorCode::CANCEL);
    peer.sent();
    peer.call(|connection, cx| connection.send_block(Peer::id(1), &block, true, cx));
    assert_eq!(peer.sent(), []);
}

/// Section 6.3.
#[test]
fn priorities_are_judged_by_size_and_stream_and_else_ignored() {
    let mut peer = Peer::new();
    // Of a stream that is idle, and on itself.
    assert_eq!(peer.send(frame(PRIORITY, 0, 7, [0, 0, 0, 7, 1])), []);
    // The stream is still idle, and so are those below.
    let depends_on_itself = [&[0, 0, 0, 1, 255][..], &get_block()].concat();
    let headers = frame(HEADERS, WHOLE | 0x20, 1, depends_on_itself);
    assert_eq!(peer.send(headers), [seen_get(1)]);
    peer.answer(1);
    assert_eq!(peer.send(frame(PRIORITY, 0, 1, [0; 5])), [], "closed");
    assert_eq!(peer.sent(), []);
    assert_eq!(Peer::new().fails_with(frame(PRIORITY, 0, 0, [0; 5])), 0x1);
    assert_eq!(Peer::new().fails_with(frame(PRIORITY, 0, 1, [0; 4])), 0x6);
}

/// Sections 6.6 and 8.4.
#[test]
fn a_client_does_not_push() {
    let mut peer = Peer::new();
    peer.send(post(1));
    let promise = frame(PUSH_PROMISE, END_HEADERS, 1, [0, 0, 0, 2]);
    assert_eq!(peer.fails_with(promise), 0x1);
}

/// Section 6.4.
#[test]
fn a_stream_that_the_client_resets_is_gone() {
    let mut peer = Peer::new();
    peer.send([get(1), post(3)].concat());
    let reset = |stream| frame(RST_STREAM, 0, stream, 8_u32.to_be_bytes());
    assert_eq!(peer.send(reset(3)), [Seen::Reset(slot(3))]);
    assert_eq!(peer.send(reset(1)), [Seen::Reset(slot(1))]);
    assert!(peer.connection.is_idle());
    assert_eq!(peer.sent(), [], "it is not answered");
    // Twice is once too often, but it may have crossed something.
    assert_eq!(peer.send(reset(1)), []);
    for (bytes, code) in [
        (reset(0), 0x1),
        (reset(5), 0x1),
        (reset(2), 0x1),
        (frame(RST_STREAM, 0, 3, [0; 3]), 0x6),
    ] {
        let mut peer = Peer::new();
        peer.send([get(1), post(3)].concat());
        assert_eq!(peer.fails_with(bytes), code);
    }
}

/// Section 6.1.
#[test]
fn data_comes_without_its_padding() {
    let mut peer = Peer::new();
    peer.send([post(1), post(3), post(5)].concat());
    let padded = |flags, stream, payload: &[u8]| frame(DATA, flags | PADDED, stream, payload);
    assert_eq!(
        peer.send(padded(0, 1, b"\x03abc\0\0\0")),
        [Seen::Data(slot(1), b"abc".to_vec(), false)]
    );
    assert_eq!(
        peer.send(padded(END_STREAM, 1, b"\x00abc")),
        [Seen::Data(slot(1), b"abc".to_vec(), true)]
    );
    // Nothing but padding.
    assert_eq!(peer.send(padded(0, 3, b"\x02\0\0")), []);
    assert_eq!(
        peer.send(padded(END_STREAM, 3, b"\x02\0\0")),
        [Seen::Data(slot(3), Vec::new(), true)]
    );
    assert_eq!(peer.send(frame(DATA, 0, 5, "")), []);
    assert_eq!(
        peer.send(frame(DATA, END_STREAM, 5, "")),
        [Seen::Data(slot(5), Vec::new(), true)]
    );
    // As long as the payload, or longer.
    for payload in [&b"\x01"[..], b"\x03\0\0", b"\xFFabc"] {
        let mut peer = Peer::new();
        peer.send(post(1));
        assert_eq!(peer.fails_with(padded(0, 1, payload)), 0x1);
    }
    let mut peer = Peer::new();
    peer.send(post(1));
    assert_eq!(peer.fails_with(frame(DATA, PADDED, 1, "")), 0x6);
}

/// Section 6.1.
#[test]
fn data_is_of_a_stream_that_was_opened() {
    assert_eq!(Peer::new().fails_with(frame(DATA, 0, 0, "a")), 0x1);
    assert_eq!(Peer::new().fails_with(frame(DATA, 0, 1, "a")), 0x1);
    assert_eq!(Peer::new().fails_with(frame(DATA, 0, 2, "a")), 0x1);
}

/// Section 6.8.
#[test]
fn a_client_that_leaves_is_served_to_the_end() {
    let mut peer = Peer::new();
    peer.send([post(1), get(3)].concat());
    assert_eq!(peer.send(frame(GOAWAY, 0, 0, [0; 12])), []);
    assert!(!peer.connection.is_over());
    assert_eq!(
        peer.send(frame(DATA, END_STREAM, 1, "a")),
        [Seen::Data(slot(1), b"a".to_vec(), true)]
    );
    peer.answer(1);
    peer.answer(3);
    assert!(peer.connection.is_over());
    assert_eq!(Peer::new().fails_with(frame(GOAWAY, 0, 0, [0; 7])), 0x6);
    assert_eq!(Peer::new().fails_with(frame(GOAWAY, 0, 1, [0; 8])), 0x1);
}

/// Section 5.4.1: what the last frame of a connection says.
#[test]
fn goaway_tells_the_last_stream_and_the_reason() {
    let mut peer = Peer::new();
    peer.send([get(1), get(7)].concat());
    assert_eq!(
        peer.send(frame(PING, 0, 0, "")),
        [Seen::Over(ErrorCode::FRAME_SIZE_ERROR)]
    );
    let sent = peer.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].payload[..8], [0, 0, 0, 7, 0, 0, 0, 6]);
    assert!(sent[0].payload[8..].starts_with(b"a frame "));
    // It is the last frame, whatever the application still does.
    peer.call(|connection, cx| connection.go_away(ErrorCode::NO_ERROR, cx));
    assert_eq!(peer.sent(), []);
    // Whose requests are lost can still be asked.
    assert_eq!(peer.connection.slots().count(), 2);
    assert_eq!(peer.connection.take_slots(), [slot(1), slot(7)]);
    assert_eq!(peer.connection.slots().count(), 0);
}
