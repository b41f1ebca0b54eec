//! Flow control (RFC 9113 sections 5.2 and 6.9), both ways.

use super::*;

/// How much may go out of `most`.
fn take(peer: &mut Peer, stream: u32, most: usize) -> usize {
    peer.connection.take_window(Peer::id(stream), most)
}

/// The `WINDOW_UPDATE` frames that were sent since the last look.
fn updates(peer: &mut Peer) -> Vec<(u32, u32)> {
    let sent = peer.sent().into_iter();
    sent.filter(|sent| sent.kind == WINDOW_UPDATE)
        .map(|sent| (sent.stream, number(&sent.payload)))
        .collect()
}

/// Section 6.9.1.
#[test]
fn both_windows_are_used_up_by_what_goes_out() {
    let mut peer = Peer::new();
    peer.send([get(1), get(3)].concat());
    assert_eq!(take(&mut peer, 1, 100_000), 16_384, "one frame");
    assert_eq!(take(&mut peer, 1, 1000), 1000);
    assert_eq!(take(&mut peer, 1, 0), 0);
    let mut taken = 17_384;
    while taken < 65_535 {
        taken += take(&mut peer, 1, 16_384);
    }
    assert_eq!(taken, 65_535);
    // There is nothing left for another stream either.
    assert_eq!((take(&mut peer, 1, 1), take(&mut peer, 3, 1)), (0, 0));
    // Of the stream alone: it would not help.
    assert_eq!(peer.send(window_update(1, 10)), []);
    assert_eq!(take(&mut peer, 1, 100), 0);
    assert_eq!(peer.send(window_update(0, 15)), [Seen::AllUnblocked]);
    assert_eq!(take(&mut peer, 1, 100), 10);
    assert_eq!(take(&mut peer, 3, 100), 5);
    assert_eq!(take(&mut peer, 3, 100), 0);
    // A stream that is gone has none.
    peer.answer(1);
    assert_eq!(take(&mut peer, 1, 1), 0);
}

/// Section 6.9.
#[test]
fn who_waits_for_a_window_is_told_once() {
    let mut peer = Peer::new();
    peer.send(settings(&[(0x4, 5)]));
    peer.send([get(1), get(3)].concat());
    assert_eq!(take(&mut peer, 1, 5), 5);
    assert_eq!(peer.send(window_update(1, 1)), [], "nobody waits");
    assert_eq!(take(&mut peer, 1, 5), 1);
    assert_eq!(take(&mut peer, 1, 4), 0);
    assert_eq!(peer.send(window_update(0, 1)), [], "not for that");
    assert_eq!(
        peer.send([window_update(1, 1), window_update(1, 1)].concat()),
        [Seen::Unblocked(slot(1))]
    );
    // Who was given less than it asked for waits for the rest.
    assert_eq!(take(&mut peer, 1, 4), 2);
    assert_eq!(peer.send(window_update(1, 1)), [Seen::Unblocked(slot(1))]);
}

/// Who waits for anything else may wait for that window then.
#[test]
fn who_asks_for_a_window_of_the_connection_is_told_of_it() {
    let mut peer = Peer::new();
    peer.send(settings(&[(0x4, 0x7FFF_FFFF)]));
    peer.send(get(1));
    let taken = [16_384, 16_384, 16_384, 16_382].map(|most| take(&mut peer, 1, most));
    assert_eq!(taken.iter().sum::<usize>(), 65_535 - 1, "it is not spent");
    assert!(peer.connection.has_window());
    assert_eq!(take(&mut peer, 1, 1), 1);
    assert!(
        !peer.connection.has_window(),
        "it is, and nobody asked for more"
    );
    assert_eq!(peer.send(window_update(0, 9)), [Seen::AllUnblocked]);
    assert!(peer.connection.has_window());
    assert_eq!(peer.send(window_update(0, 9)), []);
}

/// A short rest would be a short frame, and so would be what its acknowledgement lets go.
#[test]
fn no_short_rest_is_left_of_a_window() {
    for (window, frames) in [
        (16_385, [8192, 8193]),
        (17_407, [8192, 9215]),
        (17_408, [16_384, 1024]),
        (16_384, [16_384, 0]),
    ] {
        let mut peer = Peer::new();
        peer.send(settings(&[(0x4, window)]));
        peer.send(get(1));
        assert_eq!(
            [0; 2].map(|_| take(&mut peer, 1, 16_384)),
            frames,
            "{window}"
        );
    }
}

/// Section 6.9.1: a stream with a window of its own has none if the connection has not.
#[test]
fn who_lacks_both_windows_is_told_when_there_are_both() {
    let mut peer = Peer::new();
    peer.send(settings(&[(0x4, 65_535)]));
    peer.send([get(1), get(3)].concat());
    let take_all = |peer: &mut Peer, stream| while take(peer, stream, 16_384) == 16_384 {};
    // The stream waits, while the connection has something left.
    peer.send(window_update(0, 10));
    take_all(&mut peer, 1);
    assert_eq!(take(&mut peer, 1, 1), 0);
    // Now it has nothing, but nobody was told so.
    assert_eq!(take(&mut peer, 3, 10), 10);
    assert_eq!(peer.send(window_update(1, 5)), []);
    assert_eq!(peer.send(window_update(0, 5)), [Seen::AllUnblocked]);
    assert_eq!(take(&mut peer, 1, 5), 5);
    // The other way round: the stream does not lack anything.
    assert_eq!(take(&mut peer, 3, 1), 0);
    assert_eq!(peer.send(window_update(0, 5)), [Seen::AllUnblocked]);
    assert_eq!(peer.send(window_update(3, 5)), []);
}

/// What is left over is not asked for again before.
#[test]
fn who_was_given_a_part_waits_for_the_rest() {
    let mut peer = Peer::new();
    peer.send(settings(&[(0x4, 5)]));
    peer.send(get(1));
    assert_eq!(take(&mut peer, 1, 6), 5);
    assert_eq!(peer.send(window_update(1, 1)), [Seen::Unblocked(slot(1))]);
    peer.send(settings(&[(0x4, 0x7FFF_0000)]));
    let taken: usize = (0..4).map(|_| take(&mut peer, 1, 16_384)).sum();
    assert_eq!(taken, 65_530);
    assert_eq!(peer.send(window_update(0, 1)), [Seen::AllUnblocked]);
}

/// Section 6.9.2.
#[test]
fn the_initial_window_changes_those_of_all_streams() {
    let mut peer = Peer::new();
    peer.send(settings(&[(0x4, 100)]));
    peer.send([get(1), get(3)].concat());
    assert_eq!(take(&mut peer, 1, 90), 90);
    // Ten are left, of which 60 are taken away.
    assert_eq!(peer.send(settings(&[(0x4, 40)])), []);
    assert_eq!((take(&mut peer, 1, 1), take(&mut peer, 3, 100)), (0, 40));
    assert_eq!(peer.send(window_update(1, 50)), [], "it is 0");
    assert_eq!(take(&mut peer, 1, 1), 0);
    assert_eq!(peer.send(settings(&[(0x4, 41)])), [Seen::AllUnblocked]);
    assert_eq!((take(&mut peer, 1, 9), take(&mut peer, 3, 9)), (1, 1));
    // It is not the connection's. Both were given a part only.
    let seen = peer.send(settings(&[(0x4, 0x7FFF_FFFF)]));
    assert_eq!(seen, [Seen::AllUnblocked]);
    let left = 65_535 - 90 - 40 - 2;
    let taken: usize = (0..10).map(|_| take(&mut peer, 1, 16_384)).sum();
    assert_eq!(taken, left);
    // With the window that a stream has beyond the initial one, it would be too large.
    let mut peer = Peer::new();
    peer.send([get(1), window_update(1, 1)].concat());
    assert_eq!(peer.fails_with(settings(&[(0x4, 0x7FFF_FFFF)])), 0x3);
}

/// Sections 6.9 and 6.9.1.
#[test]
fn a_window_is_opened_by_1_to_2_to_the_31_less_1_in_all() {
    let largest = 0x7FFF_FFFF;
    let room = largest - 65_535;
    let mut peer = Peer::new();
    assert_eq!(peer.send(window_update(0, room)), []);
    assert_eq!(peer.fails_with(window_update(0, 1)), 0x3);
    assert_eq!(Peer::new().fails_with(window_update(0, 0)), 0x1);
    assert_eq!(Peer::new().fails_with(window_update(1, 1)), 0x1, "idle");
    assert_eq!(
        Peer::new().fails_with(frame(WINDOW_UPDATE, 0, 0, [1; 3])),
        0x6
    );

    let mut peer = Peer::new();
    peer.send([get(1), get(3)].concat());
    assert_eq!(peer.send(window_update(1, room)), []);
    assert_eq!(peer.send(window_update(1, 1)), [Seen::Reset(slot(1))]);
    assert_eq!(peer.send(window_update(3, 0)), [Seen::Reset(slot(3))]);
    assert_eq!(peer.resets(), [(1, 0x3), (3, 0x1)]);
}

/// Section 6.9.1.
#[test]
fn a_stream_that_exceeds_its_window_is_reset() {
    let mut peer = Peer::new();
    peer.send([post(1), post(3)].concat());
    let piece = frame(DATA, 0, 1, [0; 16_384]);
    assert_eq!(peer.send(piece.repeat(4)).len(), 4);
    assert_eq!(updates(&mut peer), []);
    assert_eq!(peer.send(frame(DATA, 0, 1, "a")), [Seen::Reset(slot(1))]);
    assert_eq!(peer.resets(), [(1, 0x3)]);
    assert_eq!(peer.send(frame(DATA, 0, 3, "a")).len(), 1);
}

/// Section 6.9: half of a window is worth a frame.
#[test]
fn a_stream_gets_back_what_the_application_took() {
    let mut peer = Peer::new();
    peer.send(post(1));
    let consumed = |peer: &mut Peer, len| {
        peer.call(|connection, cx| connection.consumed(Peer::id(1), len, cx));
        updates(peer)
    };
    // What did not come is not given back.
    assert_eq!(consumed(&mut peer, 1_000_000), []);
    peer.send(frame(DATA, 0, 1, [0; 16_384]).repeat(3));
    assert_eq!(consumed(&mut peer, 16_384), []);
    assert_eq!(consumed(&mut peer, 16_383), []);
    assert_eq!(consumed(&mut peer, 1), [(1, 32_768)]);
    assert_eq!(consumed(&mut peer, 16_384), []);
    // 65,536 again, less what is on the way: exactly so much.
    peer.send(frame(DATA, 0, 1, [0; 16_384]).repeat(3));
    assert_eq!(peer.sent(), []);
    assert_eq!(peer.send(frame(DATA, 0, 1, "a")), [Seen::Reset(slot(1))]);

    // Padding is given back though nobody takes it.
    let mut peer = Peer::new();
    peer.send(post(1));
    let padded = [&[255][..], &[0; 255]].concat();
    let padding = frame(DATA, PADDED, 1, padded).repeat(127);
    assert_eq!(peer.send(&padding), []);
    assert_eq!(consumed(&mut peer, 0), []);
    peer.send(&padding[..9 + 256]);
    assert_eq!(consumed(&mut peer, 0), [(1, 32_768)]);

    // Behind its end, nothing can come.
    let mut peer = Peer::new();
    peer.send(post(1));
    peer.send(frame(DATA, END_STREAM, 1, [0; 16_384]));
    assert_eq!(consumed(&mut peer, 16_384), []);
    assert_eq!(consumed(&mut peer, 1_000_000), []);
}

/// Section 6.9: one that stands still starves no other.
#[test]
fn the_connection_gets_back_what_came_whoever_takes_it() {
    let mut peer = Peer::new();
    let mut came = 0;
    let mut given = 0;
    // None of them is taken, and some are reset.
    for stream in 0..100 {
        let number = 2 * stream + 1;
        assert_eq!(peer.send(post(number)), [seen_post(number)]);
        if stream % 3 == 0 {
            peer.reset(number, ErrorCode::CANCEL);
        }
        for _ in 0..3 {
            peer.send(frame(DATA, 0, number, [0; 16_384]));
            came += 16_384;
            for (stream, increment) in updates(&mut peer) {
                assert_eq!(stream, 0);
                given += increment;
            }
            assert!(given <= came && came - given <= 512 * 1024);
        }
    }
    assert!(given > 0);
}
