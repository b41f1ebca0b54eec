//! Any split of the input is read as the whole would be.

use super::*;
use proptest::prelude::*;

/// A conversation with something of everything, which ends as `last` says.
fn conversation(last: &[u8]) -> Vec<u8> {
    let long = block(&[("x", &"y".repeat(100))]).repeat(20);
    let block = [&get_block()[..], &long].concat();
    [
        &PREFACE[..],
        &settings(&[(0x4, 10), (0x1, 0)]),
        &get(1),
        &frame(HEADERS, END_HEADERS | PADDED, 3, {
            [&[4][..], &post_block(&[("content-length", "300")]), &[0; 4]].concat()
        }),
        &frame(DATA, 0, 3, [b'a'; 200]),
        &frame(PING, 0, 0, "12345678"),
        &frame(HEADERS, END_STREAM, 5, &block[..500]),
        &frame(CONTINUATION, 0, 5, &block[500..900]),
        &frame(CONTINUATION, END_HEADERS, 5, &block[900..]),
        &window_update(0, 1000),
        &window_update(1, 7),
        &frame(DATA, PADDED | END_STREAM, 3, {
            [&[200][..], &[b'b'; 100], &[0; 200]].concat()
        }),
        &frame(0xFA, 0, 9, [0; 300]),
        &post(7),
        &frame(RST_STREAM, 0, 7, 8_u32.to_be_bytes()),
        &post(9),
        &frame(DATA, 0, 9, ""),
        &frame(HEADERS, WHOLE, 9, [0x40, 1, b'x', 1, b'y']),
        // One that is malformed, and goes on.
        &frame(HEADERS, END_HEADERS, 11, [NEWEST_ENTRY]),
        &frame(DATA, END_STREAM, 11, [b'c'; 50]),
        &window_update(9, 0),
        &frame(GOAWAY, 0, 0, [0; 20]),
        last,
    ]
    .concat()
}

/// What is seen, pieces of payload joined, and what is sent, when `wire` comes in pieces of these
/// lengths.
fn transcript(wire: &[u8], lens: &[usize]) -> (Vec<Seen>, Vec<Sent>) {
    let mut peer = Peer::silent();
    let mut seen = Vec::new();
    let (mut rest, mut lens) = (wire, lens.iter().cycle());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(*lens.next().unwrap()));
        rest = behind;
        for step in peer.send(piece) {
            match (seen.last_mut(), step) {
                (Some(Seen::Data(before, bytes, ends)), Seen::Data(slot, more, is_last))
                    if *before == slot && !*ends =>
                {
                    bytes.extend(more);
                    *ends = is_last;
                }
                (_, step) => seen.push(step),
            }
        }
        assert!(peer.connection.partial.len() <= 9 + MAX_PAYLOAD_BYTES);
    }
    (seen, peer.sent())
}

const ENDS: [&[u8]; 5] = [
    b"",
    // A frame that is too long, one of the wrong length, a block that cannot be decoded, and payload
    // behind the end of its stream.
    b"\0\x40\x01\0\0\0\0\0\x0d",
    b"\0\0\x07\x06\0\0\0\0\0",
    b"\0\0\x01\x01\x05\0\0\0\x0d\x80",
    b"\0\0\x02\0\x08\0\0\0\x03\x01a",
];

#[test]
fn a_conversation_is_what_it_was_thought_to_be() {
    let (seen, sent) = transcript(&conversation(ENDS[0]), &[usize::MAX]);
    let body = [&[b'a'; 200][..], &[b'b'; 100]].concat();
    let expected = [
        seen_get(1),
        seen_post(3),
        Seen::Data(slot(3), body[..200].to_vec(), false),
        seen_get(5),
        Seen::Data(slot(3), body[200..].to_vec(), true),
        seen_post(7),
        Seen::Reset(slot(7)),
        seen_post(9),
        Seen::Data(slot(9), Vec::new(), true),
        Seen::Reset(slot(9)),
    ];
    assert_eq!(seen, expected);
    let kinds: Vec<(u8, u32)> = sent.iter().map(|sent| (sent.kind, sent.stream)).collect();
    let expected = [(SETTINGS, 0), (PING, 0), (RST_STREAM, 11), (RST_STREAM, 9)];
    assert_eq!(kinds, expected);
    let lasts = [
        Seen::Reset(slot(9)),
        Seen::Over(ErrorCode::FRAME_SIZE_ERROR),
        Seen::Over(ErrorCode::FRAME_SIZE_ERROR),
        Seen::Over(ErrorCode::COMPRESSION_ERROR),
        Seen::Reset(slot(3)),
    ];
    for (end, last) in ENDS.iter().zip(lasts) {
        let (seen, _) = transcript(&conversation(end), &[usize::MAX]);
        assert_eq!(seen.last(), Some(&last));
    }
}

#[test]
fn byte_by_byte_is_as_at_once() {
    for end in ENDS {
        let wire = conversation(end);
        assert_eq!(transcript(&wire, &[1]), transcript(&wire, &[usize::MAX]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_is_as_at_once(
        lens in prop::collection::vec(1_usize..400, 1..20),
        end in prop::sample::select(&ENDS[..]),
    ) {
        let wire = conversation(end);
        prop_assert_eq!(transcript(&wire, &lens), transcript(&wire, &[usize::MAX]));
    }

    /// Frames of any type, flags and stream: they end in steps or in one error.
    #[test]
    fn garbage_is_judged_alike_in_any_split(
        frames in prop::collection::vec(
            (0_u8..12, any::<u8>(), 0_u32..10, prop::collection::vec(any::<u8>(), 0..20)),
            0..20,
        ),
        lens in prop::collection::vec(1_usize..30, 1..20),
    ) {
        let mut wire = [&PREFACE[..], &settings(&[]), &post(1), &get(3)].concat();
        for (kind, flags, stream, payload) in frames {
            wire.extend(frame(kind, flags, stream, payload));
        }
        prop_assert_eq!(transcript(&wire, &lens), transcript(&wire, &[usize::MAX]));
    }
}
