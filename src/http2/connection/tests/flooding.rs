//! Legal frames that are too many (RFC 9113 section 10.5).

use super::*;

const CALM: Seen = Seen::Over(ErrorCode::ENHANCE_YOUR_CALM);

/// How many of `next` come before the connection ends; at most 20,000.
fn passing(peer: &mut Peer, mut next: impl FnMut(&mut Peer, u32) -> Vec<u8>) -> u32 {
    for index in 0..20_000 {
        let bytes = next(peer, index);
        let seen = peer.send(bytes);
        peer.sent();
        if seen.contains(&CALM) {
            return index;
        }
        assert!(!matches!(seen.last(), Some(Seen::Over(_))), "{seen:?}");
    }
    20_000
}

/// CVE-2023-44487.
#[test]
fn streams_that_the_client_resets_are_counted() {
    let mut peer = Peer::new();
    let pair = |index: u32| {
        let stream = 2 * index + 1;
        [get(stream), frame(RST_STREAM, 0, stream, [0; 4])].concat()
    };
    assert_eq!(passing(&mut peer, |_, index| pair(index)), 1000);
    // The stream whose reset was one too many is still there to be taken.
    assert_eq!(peer.connection.take_slots(), [slot(2001)]);
    // Slowly, it is nobody's business.
    let mut peer = Peer::new();
    let passed = passing(&mut peer, |peer, index| {
        peer.wait(0.031);
        pair(index)
    });
    assert_eq!(passed, 20_000);
}

/// CVE-2025-8671.
#[test]
fn streams_that_the_client_has_us_reset_are_counted() {
    let by_window = |index: u32| {
        let stream = 2 * index + 1;
        [get(stream), window_update(stream, 0)].concat()
    };
    let by_state = |index: u32| {
        let stream = 2 * index + 1;
        [get(stream), frame(DATA, 0, stream, "a")].concat()
    };
    let malformed = |index: u32| frame(HEADERS, WHOLE, 2 * index + 1, block(&[("x", "y")]));
    for provoke in [&by_window as &dyn Fn(u32) -> Vec<u8>, &by_state, &malformed] {
        let mut peer = Peer::new();
        assert_eq!(passing(&mut peer, |_, index| provoke(index)), 1000);
    }
    let mut peer = Peer::with(Config {
        http2_max_streams: 1,
        ..Config::default()
    });
    peer.send(get(1));
    assert_eq!(passing(&mut peer, |_, index| get(2 * index + 3)), 1000);
}

#[test]
fn streams_that_we_reset_are_not_counted() {
    let mut peer = Peer::new();
    let passed = passing(&mut peer, |peer, index| {
        peer.reset((2 * index).saturating_sub(1), ErrorCode::CANCEL);
        post(2 * index + 1)
    });
    assert_eq!(passed, 20_000);
}

/// CVE-2019-9512 to -9518.
#[test]
fn frames_that_carry_nothing_are_counted() {
    for bytes in [
        frame(PING, 0, 0, [0; 8]),
        frame(PING, 1, 0, [0; 8]),
        settings(&[]),
        frame(SETTINGS, 1, 0, []),
        frame(PRIORITY, 0, 1, [0; 5]),
        frame(GOAWAY, 0, 0, [0; 8]),
        frame(0xFA, 0, 0, [0; 8]),
        window_update(0, 1),
        window_update(1, 1),
        frame(DATA, 0, 1, ""),
        frame(DATA, PADDED, 1, [0]),
        frame(RST_STREAM, 0, 3, [0; 4]),
    ] {
        let mut peer = Peer::new();
        peer.send([post(1), get(3)].concat());
        peer.answer(3);
        // The preface took one, and what the requests gave back had no room or little.
        let passed = passing(&mut peer, |_, _| bytes.clone());
        assert!((9999..=10_000).contains(&passed), "{passed} {bytes:?}");
    }
    // Field blocks of streams that are gone, in any number of frames.
    let mut peer = Peer::new();
    peer.send(post(1));
    peer.reset(1, ErrorCode::CANCEL);
    let trailers = frame(HEADERS, END_HEADERS, 1, block(&[("x", "y")]));
    assert_eq!(passing(&mut peer, |_, _| trailers.clone()), 10_000);
    let mut peer = Peer::new();
    let fragments = |index: u32| {
        let stream = 2 * index + 1;
        let mut bytes = frame(HEADERS, END_STREAM, stream, get_block());
        bytes.extend(frame(CONTINUATION, 0, stream, "").repeat(60));
        bytes.extend(frame(CONTINUATION, END_HEADERS, stream, ""));
        bytes
    };
    let passed = passing(&mut peer, |peer, index| {
        peer.connection.take_slots();
        fragments(index)
    });
    // Each gives back 8 of its 61.
    assert_eq!(passed, 10_000 / (61 - 8));
}

#[test]
fn who_is_sent_much_may_answer_much() {
    // Two frames to each of ours, at any rate: nobody is told off for doing what it should.
    let mut peer = Peer::new();
    peer.send(get(1));
    let mut sent_bytes = 0;
    let passed = passing(&mut peer, |peer, _| {
        let taken = peer.connection.take_window(Peer::id(1), 20);
        assert_eq!(taken, 20);
        sent_bytes += taken;
        [window_update(0, 20), window_update(1, 20)].concat()
    });
    assert_eq!((passed, sent_bytes), (20_000, 400_000));
}

#[test]
fn data_is_not_counted_however_small() {
    let mut peer = Peer::new();
    peer.send(post(1));
    let passed = passing(&mut peer, |peer, _| {
        peer.call(|connection, cx| connection.consumed(Peer::id(1), 1, cx));
        frame(DATA, 0, 1, "a")
    });
    assert_eq!(passed, 20_000);
}
