//! Streams from idle to closed (RFC 9113 sections 5.1, 6.8 and 8.1).

use super::*;

/// Section 5.1: "half-closed (remote)".
#[test]
fn nothing_but_control_comes_on_a_stream_that_the_client_ended() {
    for bytes in [
        frame(DATA, 0, 1, "a"),
        frame(DATA, END_STREAM, 1, ""),
        frame(HEADERS, WHOLE, 1, block(&[("x", "y")])),
        frame(HEADERS, END_HEADERS, 1, block(&[("x", "y")])),
    ] {
        let mut peer = Peer::new();
        peer.send(get(1));
        assert_eq!(peer.send(bytes), [Seen::Reset(slot(1))]);
        assert_eq!(peer.resets(), [(1, 0x5)]);
        // The connection lives, unless it happens again: the client knows that it ended the stream.
        assert_eq!(peer.send(get(3)), [seen_get(3)]);
        assert_eq!(peer.fails_with(frame(DATA, 0, 1, "a")), 0x5);
    }
    let mut peer = Peer::new();
    peer.send(get(1));
    assert_eq!(peer.send(window_update(1, 1)), []);
    assert_eq!(peer.send(frame(PRIORITY, 0, 1, [0; 5])), []);
    assert_eq!(peer.sent(), []);
}

/// Section 5.1: "closed", by `END_STREAM` of both or by the client's `RST_STREAM`.
#[test]
fn a_closed_stream_is_closed_for_good() {
    let by_end = |peer: &mut Peer| {
        peer.send(get(1));
        peer.answer(1);
    };
    let by_reset = |peer: &mut Peer| {
        peer.send(post(1));
        let bytes = frame(RST_STREAM, 0, 1, [0; 4]);
        assert_eq!(peer.send(bytes), [Seen::Reset(slot(1))]);
    };
    // Ours, of a stream that the client had ended.
    let by_late_reset = |peer: &mut Peer| {
        peer.send(get(1));
        peer.reset(1, ErrorCode::CANCEL);
    };
    for close in [&by_end as &dyn Fn(&mut Peer), &by_reset, &by_late_reset] {
        for bytes in [frame(DATA, 0, 1, "a"), get(1)] {
            let mut peer = Peer::new();
            close(&mut peer);
            assert_eq!(peer.fails_with(bytes), 0x5);
        }
        let mut peer = Peer::new();
        close(&mut peer);
        peer.sent();
        assert_eq!(peer.send(window_update(1, 5)), []);
        assert_eq!(peer.send(frame(RST_STREAM, 0, 1, [0; 4])), []);
        assert_eq!(peer.send(frame(PRIORITY, 0, 1, [0; 5])), []);
        assert_eq!(peer.sent(), []);
    }
}

/// Section 5.1: what was sent before the client heard of our `RST_STREAM`.
#[test]
fn what_comes_on_a_stream_that_we_reset_is_ignored() {
    let mut peer = Peer::new();
    peer.send(post(1));
    peer.reset(1, ErrorCode::CANCEL);
    assert_eq!(peer.resets(), [(1, 0x8)]);
    assert!(peer.connection.is_idle());
    assert_eq!(peer.send(frame(DATA, 0, 1, "late")), []);
    assert_eq!(peer.send(window_update(1, 0)), []);
    // Its field block is decoded all the same: it adds an entry to the table.
    let trailers = [&[0x40, 1][..], b"x\x01y"].concat();
    assert_eq!(peer.send(frame(HEADERS, WHOLE, 1, trailers)), []);
    let request = [&get_block()[..], &[NEWEST_ENTRY]].concat();
    assert_eq!(peer.send(frame(HEADERS, WHOLE, 3, request)), [seen_get(3)]);
    let request = peer.request.take().unwrap().request;
    assert_eq!(request.header("x"), Some("y"));
    // Behind its end, nothing can be on its way any more.
    assert_eq!(peer.fails_with(frame(DATA, 0, 1, "later")), 0x5);
}

#[test]
fn what_is_ignored_ends_with_the_stream() {
    let mut peer = Peer::new();
    peer.send(post(1));
    peer.reset(1, ErrorCode::CANCEL);
    assert_eq!(peer.send(frame(DATA, END_STREAM, 1, "late")), []);
    assert_eq!(peer.fails_with(frame(DATA, 0, 1, "later")), 0x5);
    // Ended as it began, and reset for what it was.
    let mut peer = Peer::new();
    let malformed = frame(HEADERS, WHOLE, 1, block(&[(":method", "GET")]));
    assert_eq!(peer.send(malformed), []);
    assert_eq!(peer.fails_with(frame(DATA, 0, 1, "a")), 0x5);
}

#[test]
fn a_stream_may_be_reset_amid_its_data() {
    let mut peer = Peer::new();
    peer.send(post(1));
    let bytes = frame(DATA, END_STREAM, 1, "abcdef");
    let (first, second) = bytes.split_at(12);
    assert_eq!(
        peer.send(first),
        [Seen::Data(slot(1), b"abc".to_vec(), false)]
    );
    peer.reset(1, ErrorCode::NO_ERROR);
    assert_eq!(peer.send([second, &get(3)].concat()), [seen_get(3)]);
}

/// Section 5.1: "half-closed (local)".
#[test]
fn a_stream_that_we_ended_goes_on_until_the_client_ends_it() {
    let mut peer = Peer::new();
    peer.send(post(1));
    peer.answer(1);
    assert!(!peer.connection.is_idle());
    assert!(
        !peer
            .connection
            .streams
            .get(Peer::id(1))
            .unwrap()
            .has_ended()
    );
    assert_eq!(
        peer.send(frame(DATA, END_STREAM, 1, "a")),
        [Seen::Data(slot(1), b"a".to_vec(), true)]
    );
    assert!(peer.connection.is_idle());
    assert!(peer.connection.streams.get(Peer::id(1)).is_none());
}

/// Section 5.1.1.
#[test]
fn streams_have_odd_numbers_that_grow() {
    assert_eq!(Peer::new().fails_with(get(2)), 0x1);
    assert_eq!(Peer::new().fails_with(get(0)), 0x1);
    let mut peer = Peer::new();
    assert_eq!(peer.send(get(5)), [seen_get(5)]);
    // Passed over, and thereby closed.
    assert_eq!(peer.fails_with(get(3)), 0x1);
    let mut peer = Peer::new();
    assert_eq!(peer.send(get(0x7FFF_FFFF)), [seen_get(0x7FFF_FFFF)]);
}

/// Section 5.1.2.
#[test]
fn more_streams_than_may_be_open_are_refused() {
    let mut peer = Peer::with(Config {
        http2_max_streams: 2,
        ..Config::default()
    });
    // Field blocks of refused streams are decoded, too.
    let adding = [&get_block()[..], &[0x40, 1], b"x\x01y"].concat();
    peer.send([post(1), get(3)].concat());
    assert_eq!(peer.send(frame(HEADERS, END_HEADERS, 5, adding)), []);
    assert_eq!(peer.resets(), [(5, 0x7)]);
    assert_eq!(peer.send(frame(DATA, END_STREAM, 5, "its body")), []);
    // Half-closed counts, closed does not.
    peer.answer(1);
    assert_eq!(peer.send(get(7)), []);
    assert_eq!(peer.resets(), [(7, 0x7)]);
    peer.answer(3);
    let request = [&get_block()[..], &[NEWEST_ENTRY]].concat();
    assert_eq!(peer.send(frame(HEADERS, WHOLE, 9, request)), [seen_get(9)]);
}

/// Section 6.8.
#[test]
fn after_our_goaway_later_streams_are_ignored() {
    let mut peer = Peer::new();
    peer.send(post(1));
    peer.call(|connection, cx| connection.go_away(ErrorCode::NO_ERROR, cx));
    peer.call(|connection, cx| connection.go_away(ErrorCode::NO_ERROR, cx));
    let sent = peer.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (sent[0].kind, &sent[0].payload[..]),
        (GOAWAY, &[0, 0, 0, 1, 0, 0, 0, 0][..])
    );
    // With its table and the window of the connection.
    let adding = [&post_block(&[])[..], &[0x40, 1], b"x\x01y"].concat();
    assert_eq!(peer.send(frame(HEADERS, END_HEADERS, 3, adding)), []);
    assert_eq!(peer.send(frame(DATA, 0, 3, "ignored")), []);
    assert_eq!(peer.send(frame(RST_STREAM, 0, 3, [0; 4])), []);
    assert_eq!(peer.send(frame(DATA, 0, 1, "taken")).len(), 1);
    let trailers = frame(HEADERS, WHOLE, 1, [NEWEST_ENTRY]);
    assert_eq!(peer.send(trailers), [Seen::Data(slot(1), Vec::new(), true)]);
    assert!(!peer.connection.is_over());
    peer.answer(1);
    assert!(peer.connection.is_over());
    assert_eq!(peer.sent(), []);
}

/// Section 8.1.
#[test]
fn a_trailer_section_ends_a_stream() {
    let trailers = |flags, fields: &[(&str, &str)]| frame(HEADERS, flags, 1, block(fields));
    let mut peer = Peer::new();
    peer.send([post(1), frame(DATA, 0, 1, "a")].concat());
    assert_eq!(
        peer.send(trailers(WHOLE, &[("x", "y")])),
        [Seen::Data(slot(1), Vec::new(), true)]
    );
    assert!(
        peer.connection
            .streams
            .get(Peer::id(1))
            .unwrap()
            .has_ended()
    );
    for malformed in [
        trailers(END_HEADERS, &[("x", "y")]),
        trailers(WHOLE, &[(":path", "/")]),
        trailers(WHOLE, &[("x", "y"), (":status", "200")]),
        trailers(WHOLE, &[("X", "y")]),
        trailers(WHOLE, &[("x", "y\n"), ("x", "y")]),
        trailers(WHOLE, &[("connection", "close")]),
    ] {
        let mut peer = Peer::new();
        peer.send(post(1));
        assert_eq!(peer.send(malformed), [Seen::Reset(slot(1))]);
        assert_eq!(peer.resets(), [(1, 0x1)]);
        assert_eq!(peer.send(get(3)), [seen_get(3)]);
    }
}

/// Section 8.1.1.
#[test]
fn a_body_has_the_length_that_it_says() {
    let begin = |length: &str| {
        let mut peer = Peer::new();
        let block = post_block(&[("content-length", length)]);
        peer.send(frame(HEADERS, END_HEADERS, 1, block));
        peer
    };
    let last = |text: &str| frame(DATA, END_STREAM, 1, text);
    let trailers = || frame(HEADERS, WHOLE, 1, block(&[("x", "y")]));
    for (length, bytes) in [
        ("3", vec![last("abc")]),
        ("3", vec![frame(DATA, 0, 1, "a"), last("bc")]),
        ("3", vec![frame(DATA, 0, 1, "abc"), last("")]),
        ("3", vec![frame(DATA, 0, 1, "abc"), trailers()]),
        (
            "3",
            vec![frame(DATA, PADDED | END_STREAM, 1, "\x02abc\0\0")],
        ),
        ("0", vec![last("")]),
        ("0", vec![trailers()]),
    ] {
        let mut peer = begin(length);
        let seen = peer.send(bytes.concat());
        assert!(matches!(seen.last(), Some(Seen::Data(_, _, true))));
        assert_eq!(peer.resets(), []);
    }
    for (length, bytes) in [
        ("3", vec![last("ab")]),
        ("3", vec![frame(DATA, 0, 1, "ab"), trailers()]),
        ("3", vec![frame(DATA, 0, 1, "ab"), last("")]),
        ("3", vec![frame(DATA, 0, 1, "abcd")]),
        ("3", vec![last("abcd")]),
        ("0", vec![frame(DATA, 0, 1, "a")]),
        ("18446744073709551615", vec![last("a")]),
    ] {
        let mut peer = begin(length);
        let seen = peer.send(bytes.concat());
        assert_eq!(seen.last(), Some(&Seen::Reset(slot(1))), "{length}");
        assert_eq!(peer.resets(), [(1, 0x1)]);
    }
}

/// Section 8.1.1: a malformed request is an error of its stream alone, and no request.
#[test]
fn a_malformed_request_is_reset() {
    let mut peer = Peer::new();
    let malformed = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
    assert_eq!(peer.send(frame(HEADERS, END_HEADERS, 1, malformed)), []);
    assert_eq!(peer.resets(), [(1, 0x1)]);
    assert_eq!(peer.send(frame(DATA, END_STREAM, 1, "late")), []);
    assert!(peer.connection.is_idle());
    assert_eq!(peer.send(get(3)), [seen_get(3)]);
}

/// RFC 8441 section 5, RFC 9113 section 8.5.
#[test]
fn a_stream_of_another_protocol_has_data_and_nothing_else() {
    let connect = block(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "a"),
    ]);
    let mut peer = Peer::new();
    let headers = frame(HEADERS, END_HEADERS, 1, &connect);
    let expected = Seen::Request(1, "GET /chat".to_owned(), false);
    assert_eq!(peer.send(headers), [expected]);
    let request = peer.request.take().unwrap().request;
    assert_eq!(request.protocol(), Some("websocket"));
    assert!(!request.has_body());
    assert_eq!(
        peer.send(frame(DATA, 0, 1, "frames")),
        [Seen::Data(slot(1), b"frames".to_vec(), false)]
    );
    let trailers = frame(HEADERS, WHOLE, 1, block(&[("x", "y")]));
    assert_eq!(peer.send(trailers), [Seen::Reset(slot(1))]);
    assert_eq!(peer.resets(), [(1, 0x1)]);
    // One that ends at once is of no use, but legal.
    let expected = Seen::Request(3, "GET /chat".to_owned(), true);
    assert_eq!(peer.send(frame(HEADERS, WHOLE, 3, connect)), [expected]);
}

#[test]
fn after_the_end_of_the_connection_nothing_is_said_of_streams() {
    let mut peer = Peer::new();
    peer.send([post(1), frame(DATA, 0, 1, [0; 16_384]).repeat(3)].concat());
    assert_eq!(peer.fails_with(frame(PING, 0, 0, "")), 0x6);
    peer.call(|connection, cx| connection.consumed(Peer::id(1), 3 * 16_384, cx));
    peer.reset(1, ErrorCode::CANCEL);
    assert_eq!(peer.sent(), []);
    assert!(peer.connection.is_idle());
}
