//! Connections against bytes and simulated time: no socket, no sleep.

use super::*;
use crate::config::BacklogPolicy;
use crate::output::LogLimits;
use std::io::IoSlice;
use std::time::Duration;

mod compressed;

/// What the application saw, in its own memory.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Closing(u16, String),
}

struct Bench {
    connection: WebSocketConnection,
    config: WebSocketConfig,
    output: Output,
    received: Received,
    inflaters: Inflaters,
    now: Moment,
    seen: Vec<Seen>,
}

impl Bench {
    fn new(config: WebSocketConfig) -> Self {
        Self::with(config, None)
    }

    /// A connection with this agreement on compression.
    fn with(config: WebSocketConfig, deflate: Option<Agreement>) -> Self {
        let mut output = Output::new();
        let limits = LogLimits {
            soft_backlog_bytes: config.soft_backlog_bytes,
            hard_backlog_bytes: config.hard_backlog_bytes,
            policy: BacklogPolicy::Close,
        };
        let log = output.add_log(limits).expect("few logs");
        output.open(0);
        output.join(0, log);
        let now = Moment::START;
        let connection = WebSocketConnection::new(0, deflate, &config, now);
        Self {
            connection,
            config,
            output,
            received: Received::default(),
            inflaters: Inflaters::default(),
            now,
            seen: Vec::new(),
        }
    }

    fn plain() -> Self {
        Self::new(WebSocketConfig::default())
    }

    fn wire(&mut self) -> Wire<'_> {
        Wire {
            output: &mut self.output,
            slot: 0,
            now: self.now,
        }
    }

    /// Feeds one read; how much was not taken.
    fn feed(&mut self, bytes: &[u8]) -> usize {
        let mut bytes = bytes.to_vec();
        self.connection.heard(bytes.len(), self.now);
        self.inflaters.refill();
        let mut input = Input::new(&mut bytes);
        while let Some(event) = self.next_event(&mut input) {
            self.seen.push(match event {
                Event::Text(text) => Seen::Text(text.into_owned()),
                Event::Binary(bytes) => Seen::Binary(bytes.into_owned()),
                Event::Closing { code, reason, .. } => {
                    Seen::Closing(code.as_u16(), reason.into_owned())
                }
            });
        }
        input.len()
    }

    fn next_event<'b>(&mut self, input: &mut Input<'b>) -> Option<Event<'b>> {
        let mut receiving = Receiving {
            config: &self.config,
            wire: Wire {
                output: &mut self.output,
                slot: 0,
                now: self.now,
            },
            received: &mut self.received,
            inflaters: &mut self.inflaters,
        };
        self.connection.next_event(input, &mut receiving)
    }

    /// What would be written, and is now.
    fn sent(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        loop {
            let mut slices = [IoSlice::new(&[]); 8];
            let gathered = self.output.gather(0, &mut slices);
            if gathered.bytes == 0 {
                return sent;
            }
            slices[..gathered.slices]
                .iter()
                .for_each(|slice| sent.extend_from_slice(slice));
            self.output.advance(0, gathered.bytes);
        }
    }

    fn later(&mut self, seconds: u64) -> Expiry {
        self.now += Duration::from_secs(seconds);
        let mut wire = Wire {
            output: &mut self.output,
            slot: 0,
            now: self.now,
        };
        self.connection.on_deadline(&self.config, false, &mut wire)
    }
}

/// A client's frame with a fixed mask.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0xf4, 0x37, 0x7a, 0x9c];
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | u8::try_from(len).expect("short")),
        len @ 126..=0xffff => {
            bytes.push(0xfe);
            bytes.extend_from_slice(&u16::try_from(len).expect("medium").to_be_bytes());
        }
        len => {
            bytes.push(0xff);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

fn text(payload: &str) -> Seen {
    Seen::Text(payload.to_owned())
}

/// Everything that a connection does, in one stream: messages of each length form, fragments with
/// control frames in between, and a Close.
fn conversation() -> (Vec<u8>, Vec<Seen>, Vec<u8>) {
    let medium = vec![0xA5; 300];
    let stream = [
        frame(0x81, "Hällo".as_bytes()),
        frame(0x89, b"ping"),
        frame(0x01, "fr\u{fc}".as_bytes()),
        frame(0x89, b""),
        frame(0x00, b""),
        frame(0x8a, b"unsolicited"),
        frame(0x80, b"h"),
        frame(0x82, &medium),
        frame(0x82, b""),
        frame(0x88, b"\x0f\xa0bye"),
        frame(0x81, b"too late"),
    ]
    .concat();
    let seen = vec![
        text("Hällo"),
        text("früh"),
        Seen::Binary(medium),
        Seen::Binary(Vec::new()),
        Seen::Closing(4000, "bye".into()),
    ];
    (
        stream,
        seen,
        b"\x8a\x04ping\x8a\x00\x88\x02\x0f\xa0".to_vec(),
    )
}

#[test]
fn any_chunking_gives_the_same_events_and_answers() {
    let (stream, seen, answers) = conversation();
    for size in 1..stream.len() {
        let mut bench = Bench::plain();
        for chunk in stream.chunks(size) {
            assert_eq!(bench.feed(chunk), 0);
        }
        assert_eq!(bench.seen, seen, "chunks of {size}");
        assert_eq!(bench.sent(), answers, "chunks of {size}");
        assert!(bench.connection.is_closed());
        assert_eq!(bench.connection.buffered_bytes(), 0, "chunks of {size}");
    }
}

#[test]
fn every_split_in_two_gives_the_same_events() {
    let (stream, seen, answers) = conversation();
    for split in 0..=stream.len() {
        let mut bench = Bench::plain();
        bench.feed(&stream[..split]);
        bench.feed(&stream[split..]);
        assert_eq!(bench.seen, seen, "split {split}");
        assert_eq!(bench.sent(), answers, "split {split}");
        assert_eq!(bench.received.frames, 10, "split {split}");
        assert_eq!(bench.received.messages, 4, "split {split}");
    }
}

#[test]
fn a_garbage_stream_ends_in_events_or_one_failure() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..2000 {
        let mut bench = Bench::plain();
        let mut failures = 0;
        for _ in 0..20 {
            let mut bytes = [0; 24];
            for byte in &mut bytes {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state.to_le_bytes()[0];
            }
            // Half of the streams begin with a frame that is legal so far.
            if state & 1 == 0 {
                bytes[0] &= 0x8F;
                bytes[1] |= 0x80;
            }
            bench.feed(&bytes);
        }
        failures += bench
            .seen
            .iter()
            .filter(|seen| matches!(seen, Seen::Closing(..)))
            .count();
        assert!(failures <= 1);
        assert!(
            matches!(bench.seen.last(), Some(Seen::Closing(..)) | None)
                || bench.connection.is_open()
        );
    }
}

#[test]
fn each_broken_rule_fails_the_connection_with_its_code() {
    let long_text = vec![b'a'; 126];
    let cases: [(&str, Vec<u8>, u16); 14] = [
        ("a reserved bit", frame(0xC1, b"a"), 1002),
        ("a reserved opcode", frame(0x83, b"a"), 1002),
        ("a reserved control opcode", frame(0x8B, b"a"), 1002),
        ("an unmasked frame", b"\x81\x01a".to_vec(), 1002),
        ("an empty unmasked frame", b"\x81\x00".to_vec(), 1002),
        ("a fragmented ping", frame(0x09, b""), 1002),
        ("a long ping", frame(0x89, &long_text), 1002),
        ("a stray continuation", frame(0x80, b"a"), 1002),
        (
            "an interleaved message",
            [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
            1002,
        ),
        (
            "a length with the top bit",
            b"\x82\xff\x80\0\0\0\0\0\0\0".to_vec(),
            1002,
        ),
        (
            "a length not in its minimal form",
            b"\x82\xfe\x00\x05".to_vec(),
            1002,
        ),
        ("text that is not UTF-8", frame(0x81, b"\xff"), 1007),
        ("a close of one byte", frame(0x88, b"\x03"), 1002),
        (
            "a close reason that is not UTF-8",
            frame(0x88, b"\x03\xe8\xff"),
            1007,
        ),
    ];
    for (what, bytes, code) in cases {
        let mut bench = Bench::plain();
        bench.feed(&bytes);
        bench.feed(&frame(0x81, b"later"));
        let [Seen::Closing(seen, reason)] = &bench.seen[..] else {
            panic!("{what}: {:?}", bench.seen);
        };
        assert_eq!(*seen, code, "{what}");
        let mut close = vec![0x88, u8::try_from(reason.len() + 2).expect("short")];
        close.extend_from_slice(&code.to_be_bytes());
        close.extend_from_slice(reason.as_bytes());
        assert_eq!(bench.sent(), close, "{what}");
    }
}

#[test]
fn illegal_close_codes_are_answered_with_1002() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535_u16] {
        let mut bench = Bench::plain();
        bench.feed(&frame(0x88, &code.to_be_bytes()));
        assert!(matches!(bench.seen[..], [Seen::Closing(1002, _)]), "{code}");
    }
}

#[test]
fn an_empty_close_is_answered_with_an_empty_one() {
    let mut bench = Bench::plain();
    bench.feed(&frame(0x88, b""));
    assert_eq!(bench.seen, [Seen::Closing(1005, String::new())]);
    assert_eq!(bench.sent(), b"\x88\x00");
}

#[test]
fn bad_text_fails_before_its_frame_or_message_is_whole() {
    let mut bench = Bench::plain();
    let whole = frame(
        0x81,
        &[b"good \xce\xba\xed\xa0\x80".as_slice(), &[b'x'; 100]].concat(),
    );
    // Header and mask, then the text up to the byte that no character continues with.
    bench.feed(&whole[..6 + 8]);
    assert_eq!(bench.seen, []);
    bench.feed(&whole[6 + 8..6 + 9]);
    assert!(
        matches!(bench.seen[..], [Seen::Closing(1007, _)]),
        "{:?}",
        bench.seen
    );
}

#[test]
fn limits_are_judged_on_the_header() {
    let config = WebSocketConfig {
        max_frame_bytes: 200,
        max_message_bytes: 250,
        ..Default::default()
    };
    let mut bench = Bench::new(config.clone());
    bench.feed(&frame(0x82, &[0; 201])[..4]);
    assert_eq!(bench.seen, [], "the mask is a part of the header");
    bench.feed(&frame(0x82, &[0; 201])[4..8]);
    assert!(matches!(bench.seen[..], [Seen::Closing(1009, _)]));

    let mut bench = Bench::new(config);
    bench.feed(&frame(0x02, &[0; 200]));
    bench.feed(&frame(0x80, &[0; 51])[..6]);
    assert!(matches!(bench.seen[..], [Seen::Closing(1009, _)]));
}

#[test]
fn a_message_of_exactly_the_limit_passes() {
    let config = WebSocketConfig {
        max_frame_bytes: 200,
        max_message_bytes: 250,
        ..Default::default()
    };
    let mut bench = Bench::new(config);
    bench.feed(&[frame(0x02, &[1; 200]), frame(0x80, &[1; 50])].concat());
    bench.feed(&frame(0x82, &[2; 200]));
    assert_eq!(
        bench.seen,
        [Seen::Binary(vec![1; 250]), Seen::Binary(vec![2; 200])]
    );
}

#[test]
fn a_declared_length_reserves_nothing() {
    let config = WebSocketConfig {
        max_frame_bytes: 1 << 40,
        max_message_bytes: 1 << 40,
        ..Default::default()
    };
    let mut bench = Bench::new(config);
    let mut header = vec![0x82, 0xff];
    header.extend_from_slice(&(1_u64 << 39).to_be_bytes());
    header.extend_from_slice(&[0; 4]);
    bench.feed(&header);
    bench.feed(&[0; 1000]);
    assert!(
        bench.connection.buffered_bytes() < 4096,
        "{}",
        bench.connection.buffered_bytes()
    );
}

#[test]
fn binary_is_refused_on_a_text_only_endpoint() {
    let config = WebSocketConfig {
        text_only: true,
        ..Default::default()
    };
    let mut bench = Bench::new(config);
    bench.feed(&frame(0x82, b"a"));
    assert!(matches!(bench.seen[..], [Seen::Closing(1003, _)]));
}

#[test]
fn empty_fragments_are_counted() {
    let config = WebSocketConfig {
        max_empty_fragments: 3,
        ..Default::default()
    };
    let mut bench = Bench::new(config);
    bench.feed(&frame(0x01, b"a"));
    for _ in 0..3 {
        bench.feed(&frame(0x00, b""));
    }
    bench.feed(&frame(0x00, b"b"));
    bench.feed(&frame(0x00, b""));
    assert_eq!(bench.seen, []);
    for _ in 0..3 {
        bench.feed(&frame(0x00, b""));
    }
    assert!(
        matches!(bench.seen[..], [Seen::Closing(1008, _)]),
        "{:?}",
        bench.seen
    );
}

#[test]
fn after_our_close_only_the_peers_close_counts() {
    let mut bench = Bench::plain();
    bench.feed(&frame(0x01, b"begun"));
    let mut wire = Wire {
        output: &mut bench.output,
        slot: 0,
        now: bench.now,
    };
    assert!(bench.connection.close(CloseCode::NORMAL, "", &mut wire));
    assert!(
        !bench.connection.close(CloseCode::GOING_AWAY, "", &mut wire),
        "the first code stands"
    );
    bench.feed(
        &[
            frame(0x80, b"ends"),
            frame(0x81, b"more"),
            frame(0x89, b"ping"),
        ]
        .concat(),
    );
    assert!(!bench.connection.is_closed());
    bench.feed(&frame(0x82, &[0; 4000])[..1000]);
    assert!(
        bench.connection.buffered_bytes() < 1000,
        "what does not count is not kept"
    );
    bench.feed(&frame(0x82, &[0; 4000])[1000..]);
    bench.feed(&frame(0x88, b"\x03\xe8"));
    assert!(bench.connection.is_closed());
    assert_eq!(bench.seen, []);
    assert_eq!(bench.sent(), b"\x88\x02\x03\xe8");
}

#[test]
fn a_peer_that_does_not_answer_our_close_is_dropped_at_the_timeout() {
    let mut bench = Bench::plain();
    let mut wire = Wire {
        output: &mut bench.output,
        slot: 0,
        now: bench.now,
    };
    bench.connection.close(CloseCode::NORMAL, "", &mut wire);
    assert_eq!(
        bench.connection.deadline(&bench.config),
        Some(bench.now + Duration::from_secs(3))
    );
    bench.now += Duration::from_secs(2);
    bench.feed(&frame(0x81, b"still here"));
    assert_eq!(bench.later(0), Expiry::Nothing);
    assert_eq!(bench.later(1), Expiry::Drop);
}

#[test]
fn the_end_of_the_stream_is_1006_unless_a_close_came_first() {
    let mut bench = Bench::plain();
    let mut wire = Wire {
        output: &mut bench.output,
        slot: 0,
        now: bench.now,
    };
    let event = bench.connection.disconnected(&mut wire);
    assert_eq!(
        event,
        Some(Event::Closing {
            code: CloseCode::ABNORMAL,
            reason: "".into(),
            by: ClosedBy::Nobody,
        })
    );
    assert_eq!(bench.sent(), b"");

    let mut bench = Bench::plain();
    bench.feed(&frame(0x88, b"\x03\xe8"));
    let mut wire = Wire {
        output: &mut bench.output,
        slot: 0,
        now: bench.now,
    };
    assert_eq!(bench.connection.disconnected(&mut wire), None);
}

#[test]
fn a_silent_peer_is_pinged_three_times_and_then_failed() {
    let mut bench = Bench::plain();
    for beat in 1..=3 {
        assert_eq!(bench.later(10), Expiry::Nothing);
        assert_eq!(bench.sent(), b"\x89\x00", "beat {beat}");
    }
    assert!(matches!(
        bench.later(10),
        Expiry::Closing {
            code: CloseCode::POLICY_VIOLATION,
            ..
        }
    ));
    assert_eq!(bench.sent()[..4], *b"\x88\x20\x03\xf0");
    assert!(bench.connection.is_closed());
}

#[test]
fn any_byte_postpones_the_heartbeat_and_answers_the_pings() {
    let mut bench = Bench::plain();
    bench.later(10);
    bench.later(10);
    bench.sent();
    bench.feed(b"\x81");
    assert_eq!(bench.later(9), Expiry::Nothing);
    assert_eq!(bench.sent(), b"");
    for _ in 0..3 {
        bench.later(10);
    }
    assert_eq!(bench.sent(), b"\x89\x00\x89\x00\x89\x00");
    assert!(bench.connection.is_open());
}

#[test]
fn while_we_do_not_read_silence_proves_nothing() {
    let mut bench = Bench::plain();
    for _ in 0..10 {
        bench.now += Duration::from_secs(10);
        let mut wire = Wire {
            output: &mut bench.output,
            slot: 0,
            now: bench.now,
        };
        let expiry = bench.connection.on_deadline(&bench.config, true, &mut wire);
        assert_eq!(expiry, Expiry::Nothing);
    }
    assert_eq!(bench.sent(), b"");
}

#[test]
fn without_a_heartbeat_there_is_no_deadline() {
    let mut bench = Bench::new(WebSocketConfig {
        heartbeat: None,
        ..Default::default()
    });
    assert_eq!(bench.connection.deadline(&bench.config), None);
    assert_eq!(bench.later(1_000_000), Expiry::Nothing);
    assert_eq!(bench.sent(), b"");
}

#[test]
fn pings_of_a_peer_that_does_not_read_cost_one_pong() {
    let mut bench = Bench::plain();
    bench.output.block(0);
    for number in 0..50_000_u32 {
        bench.feed(&frame(0x89, &number.to_be_bytes()));
    }
    assert_eq!(bench.output.backlog_bytes(0), 0);
    bench.output.unblock(0);
    let mut wire = Wire {
        output: &mut bench.output,
        slot: 0,
        now: bench.now,
    };
    bench.connection.unblocked(&mut wire);
    let expected = [b"\x8a\x04", &49_999_u32.to_be_bytes()[..]].concat();
    assert_eq!(bench.sent(), expected);
}

#[test]
fn a_client_over_its_rate_is_paused_and_nothing_is_lost() {
    let config = WebSocketConfig {
        max_frames_per_second: Some(10),
        ..Default::default()
    };
    let mut bench = Bench::new(config);
    let stream = frame(0x81, b"x").repeat(25);
    let mut unread = bench.feed(&stream);
    assert_eq!(bench.seen.len(), 10);
    while unread > 0 {
        bench.now = bench
            .connection
            .paused_until()
            .expect("paused while something is unread");
        // As a read that is served again brings no new bytes.
        let rest = stream[stream.len() - unread..].to_vec();
        unread = bench.feed(&rest);
    }
    assert_eq!(bench.seen.len(), 25);
}

#[test]
fn a_pause_that_is_over_leaves_no_deadline_in_the_past() {
    let config = WebSocketConfig {
        max_frames_per_second: Some(10),
        heartbeat: None,
        ..Default::default()
    };
    let mut bench = Bench::new(config);
    bench.feed(&frame(0x81, b"x").repeat(10));
    bench.now = bench.connection.deadline(&bench.config).expect("paused");
    assert_eq!(bench.later(0), Expiry::Nothing);
    assert_eq!(bench.connection.deadline(&bench.config), None);
}

#[test]
fn an_idle_connection_owns_no_heap() {
    let mut bench = Bench::plain();
    bench.feed(&[frame(0x01, b"a"), frame(0x80, b"b"), frame(0x81, b"c")].concat());
    assert_eq!(bench.connection.buffered_bytes(), 0);
    assert!(bench.connection.extras.is_none());
    assert!(
        size_of::<WebSocketConnection>() <= 64,
        "{}",
        size_of::<WebSocketConnection>()
    );
    let _ = bench.wire();
}

/// What a steady connection comes to on its two ways: the straight one, and the one for all.
fn both_ways(
    input: &[u8],
    config: &WebSocketConfig,
) -> (Option<(Seen, usize)>, Option<Seen>, usize) {
    let mut bytes = input.to_vec();
    let straight = match whole_message(&mut bytes, config) {
        None => None,
        Some(Ok((Message::Text(text), len))) => Some((Seen::Text(text.to_owned()), len)),
        Some(Ok((Message::Binary(bytes), len))) => Some((Seen::Binary(bytes.to_vec()), len)),
        Some(Err(Violation { code, reason })) => {
            Some((Seen::Closing(code.as_u16(), reason.to_owned()), 0))
        }
    };
    let mut bench = Bench::new(config.clone());
    let mut bytes = input.to_vec();
    let mut input = Input::new(&mut bytes);
    let event = bench.next_event(&mut input);
    let event = event.map(|event| match event {
        Event::Text(text) => Seen::Text(text.into_owned()),
        Event::Binary(bytes) => Seen::Binary(bytes.into_owned()),
        Event::Closing { code, reason, .. } => Seen::Closing(code.as_u16(), reason.into_owned()),
    });
    (straight, event, input.len())
}

#[test]
fn the_straight_path_comes_to_what_the_other_comes_to() {
    let config = WebSocketConfig {
        max_frame_bytes: 1000,
        max_message_bytes: 900,
        ..WebSocketConfig::default()
    };
    let text_only = WebSocketConfig {
        text_only: true,
        ..config.clone()
    };
    let mut taken = 0;
    for first in 0..=255_u8 {
        for second in [0x00, 0x80, 0x81, 0x85, 0xFD, 0xFE, 0xFF, 0x7E] {
            for length in [0_u16, 5, 125, 126, 400, 900, 901, 1001] {
                for fill in [b'a', 0x37, 0xC3] {
                    let mut frame = vec![first, second];
                    if second & 0x7F == 0x7E {
                        frame.extend(length.to_be_bytes());
                    }
                    frame.extend([0x37, 0xFA, 0x21, 0x3D]);
                    frame.extend(vec![fill; usize::from(length)]);
                    frame.extend(b"\x81\x80abcd");
                    for end in [frame.len(), frame.len() - 7, 7, 5, 2, 1] {
                        let input = &frame[..end.min(frame.len())];
                        for config in [&config, &text_only] {
                            let (straight, other, left) = both_ways(input, config);
                            let Some((seen, len)) = straight else {
                                continue;
                            };
                            taken += 1;
                            assert_eq!(Some(&seen), other.as_ref(), "{}", input.escape_ascii());
                            if !matches!(seen, Seen::Closing(..)) {
                                assert_eq!(input.len() - len, left, "{}", input.escape_ascii());
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(taken > 500, "{taken}");
}

#[test]
fn nearly_all_that_clients_send_takes_the_straight_path() {
    let config = WebSocketConfig::default();
    let mut frame = vec![0x82, 0xFE, 0xFF, 0xFF, 1, 2, 3, 4];
    frame.resize(8 + 65_535, 0);
    for input in [b"\x81\x80abcd".to_vec(), b"\x82\x81abcdX".to_vec(), frame] {
        let (straight, _, _) = both_ways(&input, &config);
        assert!(straight.is_some_and(|(_, len)| len == input.len()));
    }
}
