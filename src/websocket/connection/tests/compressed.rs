//! Compressed messages of clients (RFC 7692), over all splits.

use super::*;
use crate::websocket::deflate::codec::{Deflater, TAIL};

/// RFC 7692 section 7.2.3.1: "Hello".
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
/// Section 7.2.3.2: "Hello" by reference to the one before.
const HELLO_AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";
/// Section 7.2.3.3: "Hello" in a stored block.
const STORED: &[u8] = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
/// Section 7.2.3.4: "Hello" in a block that says it is the last.
const FINAL: &[u8] = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
/// Section 7.2.3.5: "Hello" in two blocks.
const TWO_BLOCKS: &[u8] = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";

const fn agreement(client_takeover: bool, client_window_bits: u8) -> Agreement {
    Agreement {
        server_window_bits: 15,
        client_window_bits,
        server_takeover: client_takeover,
        client_takeover,
    }
}

fn with(client_takeover: bool) -> Bench {
    Bench::with(
        WebSocketConfig::default(),
        Some(agreement(client_takeover, 15)),
    )
}

fn limited(max_message_bytes: u64) -> Bench {
    let config = WebSocketConfig {
        max_message_bytes,
        ..WebSocketConfig::default()
    };
    Bench::with(config, Some(agreement(false, 15)))
}

/// `message` as a client would compress it that knows nothing of earlier ones.
fn deflated(message: &[u8]) -> Vec<u8> {
    let mut output = vec![0; message.len() + TAIL.len() + 1000];
    let len = Deflater::new(15, 6)
        .compress(std::iter::once(message), &mut output, message.len() + 900)
        .expect("room");
    output.truncate(len);
    output
}

fn closes(bench: &mut Bench, stream: &[u8]) -> Option<u16> {
    bench.feed(stream);
    match bench.seen.last() {
        Some(Seen::Closing(code, _)) => Some(*code),
        _ => None,
    }
}

/// All that a client may do, with control frames in between.
fn conversation() -> (Vec<u8>, Vec<Seen>) {
    let long = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ".repeat(40);
    let compressed = deflated(long.as_bytes());
    let (first, second) = compressed.split_at(compressed.len() / 3);
    let stream = [
        frame(0xC1, HELLO),
        frame(0x89, b"ping"),
        frame(0x41, &HELLO[..3]),
        frame(0x89, b""),
        frame(0x00, b""),
        frame(0x80, &HELLO[3..]),
        frame(0xC2, STORED),
        frame(0x81, b"plain"),
        frame(0xC1, FINAL),
        frame(0x41, &FINAL[..7]),
        frame(0x80, &FINAL[7..]),
        frame(0xC1, &FINAL[..7]),
        frame(0xC1, TWO_BLOCKS),
        frame(0xC1, b"\x00"),
        frame(0xC2, b""),
        frame(0x41, b""),
        frame(0x00, first),
        frame(0x80, second),
        frame(0x01, b"pl"),
        frame(0x80, b"ain"),
        // After a last block the next one begins at a byte (section 7.2.3.4).
        frame(0xC1, &[&FINAL[..7], &FINAL[..7], HELLO].concat()),
    ];
    let hello = || text("Hello");
    let seen = vec![
        hello(),
        hello(),
        Seen::Binary(b"Hello".to_vec()),
        text("plain"),
        hello(),
        hello(),
        hello(),
        hello(),
        text(""),
        Seen::Binary(Vec::new()),
        Seen::Text(long),
        text("plain"),
        text("HelloHelloHello"),
    ];
    (stream.concat(), seen)
}

#[test]
fn any_chunking_gives_the_same_messages() {
    let (stream, seen) = conversation();
    for takeover in [false, true] {
        for size in 1..stream.len() {
            let mut bench = with(takeover);
            for chunk in stream.chunks(size) {
                assert_eq!(bench.feed(chunk), 0);
            }
            assert_eq!(bench.seen, seen, "chunks of {size}");
            assert_eq!(bench.sent(), b"\x8a\x04ping\x8a\x00", "chunks of {size}");
            assert!(bench.connection.is_steady());
        }
    }
}

/// A message that is wrong in two ways: the first of them counts, however little came with it.
#[test]
fn what_comes_out_before_the_message_breaks_is_judged_in_any_chunking() {
    let long_and_no_text = [&b"ab\xff"[..], &[7; 200]].concat();
    let cases: [(&[u8], u16, &str); 3] = [
        (&[7; 200], 1009, "message is too big"),
        (b"ab\xff", 1007, "text is not UTF-8"),
        (&long_and_no_text, 1007, "text is not UTF-8"),
    ];
    for (message, code, reason) in cases {
        // Behind it a block of a kind that there is not.
        let payload = [&deflated(message)[..], &TAIL, b"\xff"].concat();
        let stream = frame(0xC1, &payload);
        for size in 1..=stream.len() {
            let mut bench = limited(100);
            for chunk in stream.chunks(size) {
                bench.feed(chunk);
            }
            let closing = Seen::Closing(code, reason.to_owned());
            assert_eq!(bench.seen, [closing], "chunks of {size}");
        }
    }
}

#[test]
fn a_message_may_refer_to_those_before_it_if_that_was_agreed() {
    let stream = [
        frame(0xC1, HELLO),
        frame(0x81, b"not part of the window"),
        frame(0xC1, HELLO_AGAIN),
        frame(0xC2, HELLO_AGAIN),
    ]
    .concat();
    let mut bench = with(true);
    bench.feed(&stream);
    let hello = Seen::Binary(b"Hello".to_vec());
    assert_eq!(bench.seen[2..], [text("Hello"), hello]);

    let mut bench = with(false);
    assert_eq!(closes(&mut bench, &stream), Some(1007));
    assert_eq!(bench.seen[0], text("Hello"));
}

#[test]
fn a_message_may_refer_across_a_last_block_to_an_earlier_message() {
    let mut bench = with(true);
    // An empty last block, and then what refers to the message before.
    let payload = [b"\x03\x00", HELLO_AGAIN].concat();
    bench.feed(&[frame(0xC1, HELLO), frame(0xC1, &payload)].concat());
    assert_eq!(bench.seen, [text("Hello"), text("Hello")]);
}

#[test]
fn a_message_may_refer_across_a_last_block_to_a_character_that_it_cuts() {
    // A stored block that is the last ends after the first byte of an e with acute; the next has
    // the second byte, and four bytes that repeat both.
    let payload = b"\x01\x01\x00\xfe\xff\xc3\x5a\x09\x82\x00\x00";
    for chunk in 1..20 {
        let mut bench = with(false);
        for chunk in frame(0xC1, payload).chunks(chunk) {
            bench.feed(chunk);
        }
        assert_eq!(bench.seen, [text("ééé")]);
    }
}

#[test]
fn fragments_that_are_not_compressed_are_no_part_of_the_window() {
    let mut bench = with(true);
    let stream = [
        frame(0xC1, HELLO),
        frame(0x01, b"not part "),
        frame(0x80, b"of it"),
        frame(0xC1, HELLO_AGAIN),
    ];
    bench.feed(&stream.concat());
    assert_eq!(bench.seen[2], text("Hello"));
}

/// What a message ends in may be a few bits of a byte that was taken already, while the room is full
/// and a repetition not all written.
#[test]
fn messages_that_end_just_behind_the_room_for_them_come_out_whole() {
    for len in (1..=3).flat_map(|rooms| rooms * 16 * 1024 - 1..rooms * 16 * 1024 + 260) {
        let message = vec![7; len];
        let mut bench = with(false);
        bench.feed(&frame(0xC2, &deflated(&message)));
        assert!(bench.seen == [Seen::Binary(message)], "{len}");
    }
}

#[test]
fn no_more_than_a_share_is_inflated_before_others_have_their_turn() {
    let bomb = deflated(&vec![0; 1_900_000]);
    // Last blocks, empty ones, behind as much as a window holds.
    let ends = b"\x03\x00".repeat(100_000);
    let ends = [&deflated(&vec![0; 40_000])[..], &TAIL, &ends].concat();
    let small = frame(0xC2, HELLO).repeat(20_000);
    for (stream, least_turns) in [
        (frame(0xC2, &bomb).repeat(10), 10),
        (frame(0x42, &ends), 100),
        (small, 20),
    ] {
        let mut bench = with(true);
        bench.feed(&frame(0xC2, &deflated(&vec![1; 40_000])));
        let (mut rest, mut turns) = (stream.len(), 0);
        while rest > 0 {
            let left = bench.feed(&stream[stream.len() - rest..]);
            assert!(left < rest, "it goes on");
            (rest, turns) = (left, turns + 1);
        }
        assert!(turns >= least_turns, "{turns} turns");
        let fails = |seen: &Seen| matches!(seen, Seen::Closing(..));
        assert!(!bench.seen.iter().any(fails), "{:?}", bench.seen.last());
    }
}

#[test]
fn a_message_may_refer_across_a_last_block() {
    for chunk in 1..20 {
        let mut bench = with(true);
        let mut first = FINAL[..7].to_vec();
        first.extend_from_slice(HELLO_AGAIN);
        let stream = [frame(0xC1, &first), frame(0xC1, HELLO_AGAIN)].concat();
        for chunk in stream.chunks(chunk) {
            bench.feed(chunk);
        }
        assert_eq!(bench.seen, [text("HelloHello"), text("Hello")]);
    }
}

#[test]
fn a_window_is_no_longer_than_was_agreed() {
    for bits in [8, 9, 15] {
        let config = WebSocketConfig::default();
        let mut bench = Bench::with(config, Some(agreement(true, bits)));
        for len in [1, 200, 256, 257, 5000, 40_000, 3] {
            bench.feed(&frame(0xC2, &deflated(&vec![b'a'; len])));
        }
        assert_eq!(bench.inflaters.kept_bytes(0), 1 << bits);
        assert_eq!(bench.connection.buffered_bytes(), 0, "nothing is half-read");
        assert!(bench.connection.is_steady());
    }
}

#[test]
fn an_idle_connection_owns_no_heap_and_without_takeover_nothing_is_kept_of_it() {
    for takeover in [false, true] {
        let mut bench = with(takeover);
        bench.feed(&conversation().0);
        assert!(bench.connection.extras.is_none());
        assert_eq!(bench.inflaters.kept_bytes(0) > 0, takeover);
        bench.inflaters.forget(0);
        assert_eq!(bench.inflaters.kept_bytes(0), 0);
    }
}

#[test]
fn what_a_message_inflates_to_is_judged_as_it_comes() {
    let zeros = deflated(&vec![0; 100_000]);
    let mut bench = limited(100_000);
    assert_eq!(closes(&mut bench, &frame(0xC2, &zeros)), None);
    assert_eq!(bench.seen, [Seen::Binary(vec![0; 100_000])]);

    for size in [1, 7, usize::MAX] {
        let mut bench = limited(99_999);
        let stream = frame(0xC2, &zeros);
        let end = stream
            .chunks(size.min(stream.len()))
            .position(|chunk| closes(&mut bench, chunk).is_some());
        assert!(end.is_some(), "chunks of {size}");
        assert!(matches!(bench.seen[..], [Seen::Closing(1009, _)]));
    }
}

#[test]
fn a_bomb_costs_no_more_than_the_limit() {
    let bomb = deflated(&vec![0; 50_000_000]);
    let mut bench = limited(1_000_000);
    let mut most = 0;
    for chunk in frame(0x42, &bomb[..bomb.len() - 1]).chunks(100) {
        if closes(&mut bench, chunk).is_some() {
            break;
        }
        most = most.max(bench.connection.buffered_bytes());
    }
    assert!(matches!(bench.seen[..], [Seen::Closing(1009, _)]));
    let own = size_of::<Extras>() + Inflation::BYTES;
    assert!(most > 999_000 + own && most <= 1_000_000 + own, "{most}");
    assert_eq!(bench.connection.buffered_bytes(), 0);
}

#[test]
fn a_message_of_the_limit_may_take_more_when_it_is_compressed() {
    let noise: Vec<u8> = (0..20_000_u32)
        .flat_map(|n| {
            n.wrapping_mul(0x9E37_79B9)
                .rotate_left(n % 29)
                .to_le_bytes()
        })
        .collect();
    // Stored blocks, of which each has a header.
    let stored = noise.chunks(100).fold(Vec::new(), |mut blocks, piece| {
        let len = u16::try_from(piece.len()).expect("short");
        blocks.push(0);
        blocks.extend_from_slice(&len.to_le_bytes());
        blocks.extend_from_slice(&(!len).to_le_bytes());
        blocks.extend_from_slice(piece);
        blocks
    });
    let payload = [&stored[..], b"\x00"].concat();
    let mut bench = limited(80_000);
    assert_eq!(closes(&mut bench, &frame(0xC2, &payload)), None);
    assert_eq!(bench.seen, [Seen::Binary(noise)]);
    let config = WebSocketConfig {
        max_frame_bytes: payload.len() as u64 - 1,
        ..WebSocketConfig::default()
    };
    let mut bench = Bench::with(config, Some(agreement(false, 15)));
    let header = &frame(0xC2, &payload)[..14];
    assert_eq!(closes(&mut bench, header), Some(1009), "on its header");
}

#[test]
fn broken_data_fails_with_1007_where_it_is_broken() {
    let long = deflated(&(0..2000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    let broken: [&[u8]; 7] = [
        b"\x06",                             // a reserved block type
        b"\xf2\x48\xcd\xc9\xc9\x07",         // the last byte is missing
        b"\xf2\x48\xcd\xc9",                 // so is the end of the block
        b"\x00\x05\x00\xfa\xfe\x48",         // a stored length and not its complement
        b"\x00\x05\x00\xfa\xff\x48\x65",     // a stored block that is cut
        b"\xf2\x48\xcd\xc9\xc9\x07\x00\x06", // a reserved type behind a whole message
        &long[..long.len() - 1],
    ];
    for payload in broken {
        for takeover in [false, true] {
            let mut bench = with(takeover);
            let code = closes(&mut bench, &frame(0xC2, payload));
            assert_eq!(code, Some(1007), "{payload:02x?}");
            assert_eq!(bench.seen.len(), 1);
        }
    }
    // Before the frame, let alone the message, is whole.
    let mut bench = with(false);
    let stream = frame(0x42, &[b"\x06", &[0; 50][..]].concat());
    assert_eq!(closes(&mut bench, &stream[..10]), Some(1007));
}

#[test]
fn a_text_is_judged_by_what_it_inflates_to_at_its_first_bad_byte() {
    let bad = [&b"fine"[..], b"\xF0\x9F\x92", b"\xC3", &[b'x'; 1000]].concat();
    let whole = frame(0xC1, &deflated(&bad));
    let mut bench = with(false);
    let judged = whole
        .iter()
        .position(|byte| closes(&mut bench, &[*byte]).is_some());
    assert!(matches!(&bench.seen[..], [Seen::Closing(1007, _)]));
    // Stored bytes come out as they come in.
    let stored = b"\x00\x05\x00\xfa\xffab\xFFde\x00";
    let mut bench = with(false);
    let stream = frame(0x41, stored);
    assert_eq!(closes(&mut bench, &stream[..6 + 7]), None);
    assert_eq!(closes(&mut bench, &stream[6 + 7..6 + 8]), Some(1007));
    assert!(judged.is_some());
    // Bytes of a character may come from several blocks, but must all come.
    let mut bench = with(false);
    let cut = frame(0xC1, &deflated(b"caf\xC3"));
    assert_eq!(closes(&mut bench, &cut), Some(1007));
    // A binary message may be anything.
    let mut bench = with(false);
    assert_eq!(closes(&mut bench, &frame(0xC2, &deflated(&bad))), None);
}

#[test]
fn rsv1_is_for_the_first_frame_of_a_message_where_it_was_agreed() {
    let wrong: [(&[u8], &str); 7] = [
        (&frame(0xC9, b""), "a ping"),
        (&frame(0xCA, b""), "a pong"),
        (&frame(0xC8, b""), "a close"),
        (
            &[frame(0x41, &HELLO[..3]), frame(0xC0, &HELLO[3..])].concat(),
            "a continuation",
        ),
        (
            &[frame(0x01, b"a"), frame(0x40, b"b")].concat(),
            "of a plain message",
        ),
        (&frame(0xA1, b"a"), "RSV2"),
        (&frame(0xD1, b"a"), "RSV3 beside it"),
    ];
    for (stream, what) in wrong {
        assert_eq!(closes(&mut with(true), stream), Some(1002), "{what}");
    }
    let mut plain = Bench::plain();
    assert_eq!(closes(&mut plain, &frame(0xC1, HELLO)), Some(1002));
}

#[test]
fn after_our_close_nothing_is_inflated() {
    let mut bench = with(true);
    bench.feed(&frame(0xC1, HELLO));
    let half_read = frame(0x41, &HELLO[..4]);
    bench.feed(&half_read[..8]);
    let (code, seen) = (CloseCode::NORMAL, bench.seen.clone());
    bench.connection.close(
        code,
        "",
        &mut Wire {
            output: &mut bench.output,
            slot: 0,
            now: bench.now,
        },
    );
    let extras = bench.connection.extras.as_ref().expect("the frame goes on");
    assert!(extras.inflation.is_none());
    let stream = [
        half_read[8..].to_vec(),
        frame(0x80, b"\x06 broken"),
        frame(0xC1, b"\x06 broken"),
        frame(0x88, b"\x03\xe8"),
    ]
    .concat();
    bench.feed(&stream);
    assert_eq!(bench.seen, seen);
    assert!(bench.connection.is_closed());
}
