mod differential;

use std::sync::Arc;

use super::*;

const MESSAGE: Unit = Unit {
    frames: 1,
    messages: 1,
};
const GENEROUS: LogLimits = LogLimits {
    soft_backlog_bytes: usize::MAX,
    hard_backlog_bytes: 1 << 20,
    policy: BacklogPolicy::Close,
};

/// An output with one log and `count` members in the slots from 0 on.
fn with_members(count: u32, limits: LogLimits) -> (Output, LogId) {
    let mut output = Output::new();
    let log = output.add_log(limits).expect("few logs");
    for slot in 0..count {
        output.open(slot);
        output.join(slot, log);
    }
    (output, log)
}

/// What the client's socket would be given, as far as 64 slices go.
fn waiting(output: &Output, slot: u32) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 64];
    let gathered = output.gather(slot, &mut slices);
    let mut bytes = Vec::with_capacity(gathered.bytes);
    slices[..gathered.slices]
        .iter()
        .for_each(|slice| bytes.extend_from_slice(slice));
    bytes
}

/// A socket that takes up to `room` bytes, and is full after fewer than were there.
fn write(output: &mut Output, slot: u32, room: usize) -> Vec<u8> {
    let mut bytes = waiting(output, slot);
    let is_full = bytes.len() > room;
    bytes.truncate(room);
    output.advance(slot, bytes.len());
    if is_full {
        output.block(slot);
    }
    bytes
}

/// A whole flush phase to sockets that take all; returns who was visited, with what it got.
fn flush(output: &mut Output) -> Vec<(u32, String)> {
    let mut written = Vec::new();
    let mut take = |output: &mut Output, slot| {
        let bytes = write(output, slot, usize::MAX);
        written.push((slot, String::from_utf8(bytes).unwrap()));
    };
    while let Some(slot) = output.next_dirty() {
        take(output, slot);
    }
    let mut visits = usize::MAX;
    while let Some(slot) = output.next_in_ring(&mut visits) {
        take(output, slot);
    }
    output.end_turn();
    written
}

fn parts(text: &str) -> Bytes<'_> {
    Bytes::Parts(text.as_bytes(), b"")
}

fn assert_nothing_is_held(output: &Output) {
    assert_eq!(
        (output.store.counts(), output.store.segments.count()),
        ((0, 0), 0)
    );
}

#[test]
fn a_client_costs_48_bytes() {
    assert!(size_of::<Client>() <= 48, "{}", size_of::<Client>());
}

#[test]
fn messages_of_its_own_and_broadcasts_keep_the_order_of_the_calls() {
    let (mut output, log) = with_members(2, GENEROUS);
    output.send(0, MESSAGE, Bytes::Parts(b"<he", b"ad>"));
    output.broadcast(log, MESSAGE, parts("[1]"));
    output.send(0, MESSAGE, parts("mine"));
    output.broadcast(log, MESSAGE, parts("[2]"));
    output.broadcast_except(log, MESSAGE, parts("[not 0]"), &[0, 0, 77]);
    output.send_many(&[1, 0], MESSAGE, parts("both"));
    assert_eq!(output.turn_bytes(), 27);
    assert_eq!(
        flush(&mut output),
        [
            (0, "<head>[1]mine[2]both".to_owned()),
            (1, "[1][2][not 0]both".to_owned())
        ]
    );
    assert_eq!(
        output.sent(0),
        Sent {
            bytes: 20,
            frames: 5,
            messages: 5
        }
    );
    assert_eq!(output.turn_bytes(), 0);
    assert_nothing_is_held(&output);
}

#[test]
fn the_excluded_skip_exactly_one_broadcast() {
    let (mut output, log) = with_members(3, GENEROUS);
    let frame: Arc<[u8]> = Arc::from(vec![b'x'; 5000]);
    output.broadcast(log, MESSAGE, parts("before "));
    output.broadcast_except(log, MESSAGE, Bytes::Shared(&frame), &[1]);
    output.broadcast(log, MESSAGE, parts(" behind"));
    assert_eq!(waiting(&output, 1), b"before  behind");
    assert_eq!(waiting(&output, 0).len(), 5014);
    assert_eq!((output.sent(0).messages, output.sent(1).messages), (3, 2));
    assert_eq!(flush(&mut output).len(), 3);
    assert_nothing_is_held(&output);
}

#[test]
fn an_exclusion_in_another_log_means_nothing() {
    let (mut output, log) = with_members(1, GENEROUS);
    let other = output.add_log(GENEROUS).expect("few logs");
    output.open(1);
    output.join(1, other);
    output.broadcast(other, MESSAGE, parts("theirs"));
    output.broadcast_except(log, MESSAGE, parts("ours"), &[1]);
    assert_eq!(
        (waiting(&output, 0), waiting(&output, 1)),
        (b"ours".to_vec(), b"theirs".to_vec())
    );
}

#[test]
fn who_joins_gets_only_what_comes_later_and_who_leaves_only_what_came_before() {
    let (mut output, log) = with_members(2, GENEROUS);
    output.broadcast(log, MESSAGE, parts("1"));
    output.open(2);
    output.join(2, log);
    output.leave(0);
    output.leave(0);
    output.broadcast(log, MESSAGE, parts("2"));
    assert_eq!(output.members(log).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(
        flush(&mut output),
        [
            (0, "1".to_owned()),
            (1, "12".to_owned()),
            (2, "2".to_owned())
        ]
    );
}

#[test]
fn joining_during_a_revolution_hides_nobody_who_is_still_to_be_visited() {
    let (mut output, log) = with_members(3, GENEROUS);
    let mut visits = 2;
    output.broadcast(log, MESSAGE, parts("1"));
    while let Some(slot) = output.next_in_ring(&mut visits) {
        write(&mut output, slot, 9);
    }
    output.broadcast(log, MESSAGE, parts("2"));
    output.open(3);
    output.join(3, log);
    let mut got = flush(&mut output);
    got.sort();
    assert_eq!(
        got,
        [
            (0, "2".to_owned()),
            (1, "2".to_owned()),
            (2, "12".to_owned())
        ]
    );
    assert!(!output.ring_pending());
}

#[test]
fn a_reused_slot_sees_nothing_of_who_had_it_before() {
    let (mut output, log) = with_members(2, GENEROUS);
    output.send(0, MESSAGE, parts("old"));
    output.broadcast(log, MESSAGE, parts("old"));
    output.block(0);
    output.close(0);
    output.open(0);
    assert!(!output.has_output(0) && !output.is_blocked(0));
    output.broadcast(log, MESSAGE, parts("not a member"));
    output.join(0, log);
    assert_eq!(output.sent(0), Sent::default());
    output.broadcast(log, MESSAGE, parts("new"));
    output.send(0, MESSAGE, parts("!"));
    let got = flush(&mut output);
    assert_eq!(
        got,
        [(0, "new!".to_owned()), (1, "oldnot a membernew".to_owned())]
    );
    assert_nothing_is_held(&output);
}

#[test]
fn an_endpoint_that_never_broadcasts_does_not_grow_with_those_who_come_and_go() {
    let (mut output, log) = with_members(20, GENEROUS);
    for turn in 0..1000 {
        let slot = turn * 7 % 20;
        output.close(slot);
        output.open(slot);
        output.join(slot, log);
        output.end_turn();
        assert_eq!(output.members(log).last(), Some(slot));
        assert_eq!(output.members(log).count(), 20);
    }
    assert!(output.logs[0].ring.entry_count() < 40);
}

#[test]
fn a_broadcast_to_nobody_keeps_nothing() {
    let (mut output, log) = with_members(1, GENEROUS);
    output.close(0);
    output.broadcast(log, MESSAGE, parts("lost"));
    assert!(!output.ring_pending());
    assert_nothing_is_held(&output);
    output.open(0);
    output.join(0, log);
    assert!(!output.has_output(0));
}

#[test]
fn when_the_last_member_closes_the_log_keeps_nothing() {
    let (mut output, log) = with_members(1, GENEROUS);
    output.broadcast(log, MESSAGE, parts("unread"));
    output.close(0);
    assert!(!output.ring_pending());
    assert_nothing_is_held(&output);
}

#[test]
fn an_empty_broadcast_counts_and_asks_for_no_write() {
    let (mut output, log) = with_members(1, GENEROUS);
    output.broadcast(log, MESSAGE, parts(""));
    assert_eq!(flush(&mut output), []);
    assert_eq!((output.sent(0).messages, output.ring_pending()), (1, false));
}

#[test]
fn who_was_visited_and_not_written_is_not_forgotten() {
    let (mut output, log) = with_members(2, GENEROUS);
    output.broadcast(log, MESSAGE, parts("1"));
    let mut visits = 9;
    assert_eq!(output.next_in_ring(&mut visits), Some(0));
    assert_eq!(output.next_in_ring(&mut visits), Some(1));
    assert_eq!(output.next_in_ring(&mut visits), None, "the ring is done");
    assert!(output.dirty_pending());
    output.end_turn();
    assert_eq!(output.next_dirty(), Some(0));
    assert_eq!(output.next_dirty(), Some(1));
    assert_eq!(output.next_dirty(), None, "each once a turn");
    output.end_turn();
    assert_eq!(
        flush(&mut output),
        [(0, "1".to_owned()), (1, "1".to_owned())]
    );
    assert!(!output.dirty_pending());
    assert_nothing_is_held(&output);
}

#[test]
fn who_was_visited_last_before_the_end_of_the_turn_is_not_forgotten_either() {
    let (mut output, _) = with_members(1, GENEROUS);
    output.send(0, MESSAGE, parts("1"));
    assert_eq!(output.next_dirty(), Some(0));
    output.end_turn();
    assert_eq!(output.next_dirty(), Some(0));
}

#[test]
fn a_dirty_client_is_handed_out_once_and_not_while_blocked() {
    let (mut output, _) = with_members(2, GENEROUS);
    for _ in 0..3 {
        output.send(0, MESSAGE, parts("a"));
        output.send(1, MESSAGE, parts("b"));
    }
    output.block(1);
    assert_eq!(output.next_dirty(), Some(0));
    assert_eq!(output.next_dirty(), None);
    output.unblock(1);
    output.unblock(1);
    assert_eq!(output.next_dirty(), Some(1));
    assert_eq!(output.next_dirty(), None);
}

#[test]
fn what_is_left_of_a_write_outside_of_a_flush_is_flushed_later() {
    let (mut output, log) = with_members(1, GENEROUS);
    output.broadcast(log, MESSAGE, parts("one"));
    output.broadcast(log, MESSAGE, parts("two"));
    output.advance(0, 2);
    assert_eq!(output.next_dirty(), Some(0));
    assert_eq!(waiting(&output, 0), b"etwo");
}

#[test]
fn the_ring_looks_at_no_more_members_than_it_may() {
    let (mut output, log) = with_members(10, GENEROUS);
    output.broadcast(log, MESSAGE, parts("x"));
    let mut met = Vec::new();
    for slice in 1..=5 {
        let mut visits = 2;
        while let Some(slot) = output.next_in_ring(&mut visits) {
            met.push(slot);
            write(&mut output, slot, 9);
        }
        assert_eq!((met.len(), visits), (2 * slice, 0));
        assert_eq!(output.ring_pending(), slice < 5);
        output.end_turn();
    }
    assert_eq!(met, (0..10).collect::<Vec<_>>());
    assert_nothing_is_held(&output);
}

#[test]
fn endless_broadcasts_to_one_log_do_not_starve_another() {
    let (mut output, busy) = with_members(100, GENEROUS);
    let quiet = output.add_log(GENEROUS).expect("few logs");
    output.open(100);
    output.join(100, quiet);
    output.broadcast(busy, MESSAGE, parts("busy"));
    output.broadcast(quiet, MESSAGE, parts("quiet"));
    let mut visits = 2;
    assert_eq!(output.next_in_ring(&mut visits), Some(0));
    assert_eq!(output.next_in_ring(&mut visits), Some(100));
}

#[test]
fn a_blocked_member_gets_messages_up_to_the_one_that_passes_the_limit() {
    for policy in [BacklogPolicy::DropMessages, BacklogPolicy::Close] {
        let (mut output, log) = with_members(
            1,
            LogLimits {
                soft_backlog_bytes: usize::MAX,
                hard_backlog_bytes: 10,
                policy,
            },
        );
        output.block(0);
        // 5, 10 (not above the limit), 15 (above: the next is refused).
        for (text, has_room) in [
            ("11111", true),
            ("22222", true),
            ("33333", false),
            ("44444", false),
        ] {
            output.broadcast(log, MESSAGE, parts(text));
            assert_eq!(output.has_room(0), has_room, "{text}");
        }
        assert_eq!(
            (output.backlog_bytes(0), output.sent(0).messages),
            (15, 3),
            "before it is visited"
        );
        assert_eq!(flush(&mut output), []);
        assert_eq!(
            (output.backlog_bytes(0), output.sent(0).messages),
            (15, 3),
            "and after"
        );
        output.unblock(0);
        assert_eq!(waiting(&output, 0), b"111112222233333");
        flush(&mut output);
        output.broadcast(log, MESSAGE, parts("5"));
        if policy == BacklogPolicy::DropMessages {
            assert_eq!(output.next_overflowed(), None);
            assert_eq!(waiting(&output, 0), b"5", "the connection lives on");
        } else {
            assert_eq!(waiting(&output, 0), b"", "no gap is ever seen");
            assert_eq!(output.next_overflowed(), Some(0));
            output.send(
                0,
                Unit {
                    frames: 1,
                    messages: 0,
                },
                parts("close"),
            );
            assert_eq!(
                (waiting(&output, 0), output.has_room(0)),
                (b"close".to_vec(), false)
            );
            flush(&mut output);
            assert_eq!(output.next_overflowed(), None, "reported once");
        }
    }
}

#[test]
fn at_the_moment_of_blocking_each_message_is_judged_by_what_waits_before_it() {
    let limits = LogLimits {
        soft_backlog_bytes: usize::MAX,
        hard_backlog_bytes: 4,
        policy: BacklogPolicy::DropMessages,
    };
    let (mut output, log) = with_members(1, limits);
    for text in ["aaaa", "bbbb", "cccc", "dddd"] {
        output.broadcast(log, MESSAGE, parts(text));
    }
    assert_eq!(output.sent(0).messages, 4);
    write(&mut output, 0, 6); // "bb" is left: "cccc" makes 6, "dddd" is one too many
    assert_eq!(
        (waiting(&output, 0), output.sent(0).messages),
        (b"bbcccc".to_vec(), 3)
    );
}

#[test]
fn an_overflow_is_not_reported_for_the_next_client_in_the_slot() {
    let limits = LogLimits {
        soft_backlog_bytes: usize::MAX,
        hard_backlog_bytes: 0,
        policy: BacklogPolicy::Close,
    };
    let (mut output, log) = with_members(1, limits);
    let overflow = |output: &mut Output| {
        output.block(0);
        output.broadcast(log, MESSAGE, parts("1"));
        output.broadcast(log, MESSAGE, parts("2"));
        output.leave(0);
    };
    overflow(&mut output);
    output.close(0);
    output.open(0);
    output.join(0, log);
    assert_eq!(output.next_overflowed(), None);
    overflow(&mut output);
    assert_eq!(output.next_overflowed(), Some(0), "leaving judges too");
    assert_eq!(
        (output.next_overflowed(), waiting(&output, 0)),
        (None, b"1".to_vec())
    );
}

#[test]
fn without_a_log_there_is_no_limit() {
    let mut output = Output::new();
    output.open(0);
    output.block(0);
    output.send(0, Unit::default(), Bytes::Parts(&vec![0; 1 << 22], b""));
    assert!(output.has_room(0));
}

#[test]
fn many_small_broadcasts_are_one_slice_beside_the_clients_own() {
    let (mut output, log) = with_members(1, GENEROUS);
    output.send(0, MESSAGE, parts("own"));
    for _ in 0..200 {
        output.broadcast(log, MESSAGE, parts("a small message"));
    }
    let mut slices = [IoSlice::new(&[]); 8];
    assert_eq!(
        output.gather(0, &mut slices),
        Gathered {
            slices: 2,
            bytes: 3 + 200 * 15,
            before_file: false,
        }
    );
    assert_eq!(
        output.gather(0, &mut slices[..1]),
        Gathered {
            slices: 1,
            bytes: 3,
            before_file: false,
        }
    );
    assert_eq!(output.gather(0, &mut []), Gathered::default());
}

struct Zeros;

impl Source for Zeros {
    fn pull(&mut self, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        into.resize(into.len() + max, b'0');
        Ok(max)
    }
}

/// A part of a file that gives zeros.
struct PartOfFile(std::fs::File, u64, u64);

impl Source for PartOfFile {
    fn pull(&mut self, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        self.skip(max as u64);
        Zeros.pull(into, max)
    }

    fn file_part(&self) -> Option<FilePart<'_>> {
        use std::os::fd::AsFd as _;
        let (file, offset, len) = (self.0.as_fd(), self.1, self.2);
        Some(FilePart { file, offset, len })
    }

    fn skip(&mut self, len: u64) {
        self.1 += len;
        self.2 -= len;
    }
}

#[test]
fn a_part_of_a_file_is_sent_from_there_once_all_before_it_is_written() {
    let mut output = Output::new();
    output.open(0);
    output.send(0, Unit::default(), parts("head"));
    let file = std::fs::File::open("/dev/null").unwrap();
    // It has more than was said.
    output.send_source(0, 10, Box::new(PartOfFile(file, 100, 1000)));
    output.send(0, Unit::default(), parts("behind"));
    let part = |output: &Output| output.file_part(0).map(|part| (part.offset, part.len));
    assert_eq!(part(&output), None);
    let mut slices = [IoSlice::new(&[]); 8];
    let gathered = output.gather(0, &mut slices);
    let expected = Gathered {
        slices: 1,
        bytes: 4,
        before_file: true,
    };
    assert_eq!(gathered, expected);
    output.advance(0, 4);
    assert_eq!(part(&output), Some((100, 10)));
    output.advance_in_file(0, 3);
    assert_eq!(part(&output), Some((103, 7)));
    // It may as well be read, in between too.
    output.fill(0).unwrap();
    assert_eq!(part(&output), None);
    let gathered = output.gather(0, &mut [IoSlice::new(&[]); 8]);
    assert_eq!((gathered.bytes, gathered.before_file), (13, false));
    output.advance(0, 13);
    assert!(!output.has_output(0));

    let file = std::fs::File::open("/dev/null").unwrap();
    output.send_source(0, 5, Box::new(PartOfFile(file, 0, 5)));
    output.send(0, Unit::default(), parts("behind"));
    output.advance_in_file(0, 5);
    assert_eq!(part(&output), None);
    let gathered = output.gather(0, &mut [IoSlice::new(&[]); 8]);
    assert_eq!((gathered.bytes, gathered.before_file), (6, false));
    output.advance(0, 6);
    assert!(!output.has_output(0) && output.store.counts() == (0, 0));
}

#[test]
fn a_source_is_output_but_no_backlog_and_holds_back_what_follows() {
    let (mut output, log) = with_members(1, GENEROUS);
    output.send_source(0, 0, Box::new(Zeros));
    assert!(!output.has_output(0), "an empty body is none");
    output.send_source(0, 3, Box::new(Zeros));
    output.broadcast(log, MESSAGE, parts("log"));
    assert_eq!(
        (
            output.has_output(0),
            output.backlog_bytes(0),
            waiting(&output, 0)
        ),
        (true, 3, vec![])
    );
    assert_eq!(output.next_dirty(), Some(0));
    output.fill(0).unwrap();
    assert_eq!(
        (waiting(&output, 0), output.backlog_bytes(0)),
        (b"000log".to_vec(), 6)
    );
    write(&mut output, 0, 99);
    flush(&mut output);
    assert_nothing_is_held(&output);
}

#[test]
fn closing_drops_a_source() {
    let (mut output, _) = with_members(1, GENEROUS);
    output.send_source(0, 1 << 40, Box::new(Zeros));
    output.fill(0).unwrap();
    output.close(0);
    output.end_turn();
    assert_nothing_is_held(&output);
}

// Memory: what is pinned does not show on the wire, so only these tests see it.

#[test]
fn a_thousand_blocked_clients_hold_one_copy_of_ten_thousand_broadcasts() {
    let (mut output, log) = with_members(1000, GENEROUS);
    (0..1000).for_each(|slot| output.block(slot));
    for message in 0..10_000 {
        output.broadcast(log, MESSAGE, Bytes::Parts(b"head", &[b'.'; 62]));
        if message % 100 == 0 {
            flush(&mut output);
        }
    }
    flush(&mut output);
    assert_eq!(output.backlog_bytes(999), 660_000);
    assert!(
        output.memory_bytes() < 680_000,
        "{} bytes",
        output.memory_bytes()
    );
    let (ranges, _) = output.store.counts();
    assert!(
        ranges <= 42 * 1000,
        "{ranges} ranges: one for each segment and client"
    );
    (0..1000).for_each(|slot| output.close(slot));
    output.end_turn();
    assert_nothing_is_held(&output);
}

#[test]
fn lists_and_shared_frames_are_one_copy_too() {
    let (mut output, _) = with_members(1000, GENEROUS);
    let slots: Vec<u32> = (0..1000).collect();
    let frame: Arc<[u8]> = Arc::from(vec![1; 50_000]);
    for &slot in &slots {
        output.block(slot);
    }
    output.send_many(&slots, MESSAGE, Bytes::Parts(b"head", &[2; 100]));
    output.send_many(&slots, MESSAGE, Bytes::Parts(b"head", &vec![2; 50_000]));
    output.send_many(&slots, MESSAGE, Bytes::Shared(&frame));
    assert!(
        output.memory_bytes() < 120_000,
        "{} bytes",
        output.memory_bytes()
    );
    assert_eq!(Arc::strong_count(&frame), 2);
    for &slot in &slots {
        output.close(slot);
    }
    output.end_turn();
    assert_eq!(Arc::strong_count(&frame), 1);
    assert_nothing_is_held(&output);
}

#[test]
fn a_frame_encoded_before_is_copied_when_small_and_shared_when_large() {
    let (mut output, _) = with_members(2, GENEROUS);
    let (small, large): (Arc<[u8]>, Arc<[u8]>) =
        (Arc::from(vec![1; 4095]), Arc::from(vec![2; 4096]));
    for slot in 0..2 {
        output.send(slot, MESSAGE, Bytes::Shared(&small));
        output.send(slot, MESSAGE, Bytes::Shared(&large));
    }
    assert_eq!(
        (Arc::strong_count(&small), Arc::strong_count(&large)),
        (1, 3)
    );
    assert_eq!(waiting(&output, 1), [&small[..], &large].concat());
}

#[test]
fn slow_clients_do_not_pin_the_turn() {
    let (mut output, _) = with_members(400, GENEROUS);
    for turn in 0..400 {
        for slot in 0..400 {
            if !output.is_blocked(slot) && (slot == turn || slot % 10 == 9) {
                output.send(slot, MESSAGE, Bytes::Parts(b"", &[b'x'; 1500]));
            }
        }
        while let Some(slot) = output.next_dirty() {
            write(&mut output, slot, if slot == turn { 1400 } else { 1500 });
        }
        output.end_turn();
    }
    // Each is stuck with 100 bytes, at another time; kept for reuse is a turn of 60 KB.
    let in_use = output.memory_bytes() - 5 * SEGMENT_BYTES;
    assert!(in_use <= 100 * 400, "{in_use} bytes for 40,000 waiting");
}

#[test]
fn a_blocked_client_with_little_waiting_holds_little() {
    let (mut output, _) = with_members(100, GENEROUS);
    for slot in 0..100 {
        output.block(slot);
        if slot % 2 == 0 {
            output.send(slot, MESSAGE, Bytes::Parts(b"hd", &[0; 98]));
        } else {
            output.send_many(&[slot], MESSAGE, Bytes::Parts(b"hd", &[0; 98]));
        }
    }
    assert_eq!(output.memory_bytes(), 100 * 100);
}

#[test]
fn the_end_of_a_large_message_does_not_hold_all_of_it() {
    let (mut output, _) = with_members(1, GENEROUS);
    output.send(0, MESSAGE, Bytes::Parts(b"head", &[7; 16_000]));
    output.send(0, MESSAGE, Bytes::Parts(b"head", &vec![8; 90_000]));
    write(&mut output, 0, 106_000);
    assert_eq!(waiting(&output, 0), [8; 8]);
    output.end_turn();
    assert_eq!(
        output.memory_bytes(),
        SEGMENT_BYTES + 8,
        "the turn's is kept for reuse"
    );
}

#[test]
fn one_stuck_client_does_not_hold_a_segment_for_each_broadcast() {
    let (mut output, log) = with_members(2, GENEROUS);
    output.block(0);
    for _ in 0..1000 {
        output.broadcast(log, MESSAGE, Bytes::Parts(b"", &[0; 22]));
        flush_bytes(&mut output);
    }
    assert_eq!(output.store.counts().0, 2, "22,000 bytes are two ranges");
    assert!(output.memory_bytes() <= 2 * SEGMENT_BYTES);
    output.unblock(0);
    flush_bytes(&mut output);
    assert_nothing_is_held(&output);
}

/// Like [`flush`], for bytes that are no text and long queues.
fn flush_bytes(output: &mut Output) {
    while let Some(slot) = output.next_dirty() {
        while !write(output, slot, usize::MAX).is_empty() {}
    }
    let mut visits = usize::MAX;
    while let Some(slot) = output.next_in_ring(&mut visits) {
        while !write(output, slot, usize::MAX).is_empty() {}
    }
    output.end_turn();
}

#[test]
fn endless_broadcasts_hold_at_most_two_revolutions() {
    let (mut output, log) = with_members(100, GENEROUS);
    let mut most = 0;
    for turn in 0..2000 {
        output.broadcast(log, MESSAGE, Bytes::Parts(b"", &[0; 4096]));
        let mut visits = 10; // a revolution takes ten broadcasts, 40 KiB
        while let Some(slot) = output.next_in_ring(&mut visits) {
            write(&mut output, slot, usize::MAX);
        }
        output.end_turn();
        assert!(output.ring_pending(), "turn {turn}: the ring never rests");
        most = most.max(output.store.segments.count());
    }
    assert!(most <= 2 * 10 / 4 + 2, "{most} segments");
}

#[test]
fn many_broadcasts_at_once_do_not_hold_their_memory_for_ever() {
    let (mut output, log) = with_members(1, GENEROUS);
    for _ in 0..1000 {
        output.broadcast(log, MESSAGE, Bytes::Parts(b"", &[0; 8000]));
    }
    flush_bytes(&mut output);
    assert_nothing_is_held(&output);
    assert_eq!(
        output.memory_bytes(),
        64 * SEGMENT_BYTES,
        "what is kept for reuse"
    );
}

#[test]
fn the_steady_state_takes_no_new_memory() {
    let (mut output, log) = with_members(50, GENEROUS);
    let body = vec![0; 60_000];
    let held = |output: &Output| (output.memory_bytes(), output.store.range_capacity());
    let mut memory = (0, 0);
    for turn in 0..100 {
        for slot in 0..50 {
            output.send(slot, MESSAGE, Bytes::Parts(b"head", &body[..1000]));
        }
        output.send(turn % 50, MESSAGE, Bytes::Parts(b"head", &body));
        output.broadcast(log, MESSAGE, Bytes::Parts(b"head", &body[..100]));
        output.broadcast(log, MESSAGE, Bytes::Parts(b"head", &body[..30_000]));
        output.send_many(&[1, 2, 3], MESSAGE, Bytes::Parts(b"head", &body[..100]));
        flush_bytes(&mut output);
        if turn == 1 {
            memory = held(&output);
        }
        assert!(turn < 2 || held(&output) == memory, "turn {turn}");
    }
}

#[test]
fn an_echo_that_is_flushed_at_once_writes_the_same_bytes_of_memory() {
    let (mut output, _) = with_members(1000, GENEROUS);
    for slot in 0..1000 {
        output.send(slot, MESSAGE, Bytes::Parts(b"head", &[1; 1000]));
        write(&mut output, slot, usize::MAX);
    }
    assert_eq!(output.memory_bytes(), SEGMENT_BYTES);
    assert_eq!(output.next_dirty(), None, "all were flushed already");
}
