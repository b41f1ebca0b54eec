use super::*;
use crate::output::segments::{Arena, SEGMENT_BYTES};

/// What would be written, up to the first source.
fn text(store: &Store, queue: &Queue) -> (Vec<u8>, usize) {
    let mut slices = [IoSlice::new(&[]); 64];
    let mut gathered = Gathered::default();
    store.gather(queue, &mut slices, &mut gathered);
    let bytes: Vec<u8> = slices[..gathered.slices]
        .iter()
        .flat_map(|slice| slice.iter().copied())
        .collect();
    assert_eq!(bytes.len(), gathered.bytes);
    (bytes, gathered.slices)
}

struct Repeat(u8);

impl Source for Repeat {
    fn pull(&mut self, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        into.resize(into.len() + max, self.0);
        Ok(max)
    }
}

struct Then(Vec<io::Result<&'static [u8]>>);

impl Source for Then {
    fn pull(&mut self, into: &mut Vec<u8>, _: usize) -> io::Result<usize> {
        let bytes = self.0.remove(0)?;
        into.extend_from_slice(bytes);
        Ok(bytes.len())
    }
}

#[test]
fn a_range_costs_16_bytes() {
    assert_eq!(size_of::<Range>(), 16);
}

#[test]
fn neighbours_are_merged_and_strangers_are_not() {
    let mut store = Store::new();
    let mut arena = Arena::new(Kind::Turn);
    let (mut a, mut b) = (Queue::EMPTY, Queue::EMPTY);
    for (queue, bytes) in [(0, b"a1"), (0, b"a2"), (1, b"b1"), (0, b"a3")] {
        let piece = arena.append(&mut store.segments, Bytes::Parts(bytes, b""));
        store.push(if queue == 0 { &mut a } else { &mut b }, piece);
    }
    assert_eq!(text(&store, &a), (b"a1a2a3".to_vec(), 2));
    assert_eq!(text(&store, &b), (b"b1".to_vec(), 1));
}

#[test]
fn consuming_across_ranges_frees_each_that_is_done() {
    let mut store = Store::new();
    let mut queue = Queue::EMPTY;
    for bytes in [&[b'x'; SEGMENT_BYTES], &[b'y'; SEGMENT_BYTES]] {
        store.push_private(&mut queue, Bytes::Parts(bytes, b""));
    }
    assert_eq!(store.consume(&mut queue, SEGMENT_BYTES + 1), 0);
    assert_eq!(
        (queue.bytes(), store.counts().0),
        (SEGMENT_BYTES as u64 - 1, 1)
    );
    assert_eq!(
        store.consume(&mut queue, SEGMENT_BYTES),
        1,
        "one more than there was"
    );
    assert_eq!((queue.is_empty(), store.segments.count()), (true, 0));
}

#[test]
fn private_memory_grows_with_need() {
    let mut store = Store::new();
    let mut queue = Queue::EMPTY;
    for waiting in (100..=SEGMENT_BYTES).step_by(100) {
        store.push_private(&mut queue, Bytes::Parts(&[1; 40], &[2; 60]));
        assert!(store.segments.memory_bytes() <= 2 * waiting);
        assert_eq!(store.counts().0, 1, "one range");
    }
    store.push_private(&mut queue, Bytes::Parts(&[3; 100], b""));
    assert_eq!(
        (store.counts().0, store.segments.count()),
        (2, 2),
        "not beyond an ordinary segment"
    );
}

#[test]
fn leaving_the_turn_joins_what_was_apart_and_keeps_the_order() {
    let mut store = Store::new();
    let (mut turn, mut log) = (Arena::new(Kind::Turn), Arena::new(Kind::Shared));
    let (mut queue, mut other) = (Queue::EMPTY, Queue::EMPTY);
    store.push_private(&mut queue, Bytes::Parts(b"private ", b""));
    for part in [&b"one "[..], b"two "] {
        let piece = turn.append(&mut store.segments, Bytes::Parts(part, b""));
        store.push(&mut queue, piece);
        let piece = turn.append(&mut store.segments, Bytes::Parts(b"not mine", b""));
        store.push(&mut other, piece);
    }
    let piece = log.append(&mut store.segments, Bytes::Parts(b"shared ", b""));
    store.push(&mut queue, piece);
    let piece = turn.append(&mut store.segments, Bytes::Parts(b"three", b""));
    store.push(&mut queue, piece);
    store.leave_turn(&mut queue);
    assert_eq!(
        text(&store, &queue),
        (b"private one two shared three".to_vec(), 3)
    );
    assert_eq!(queue.bytes(), 28);
    store.push_private(&mut queue, Bytes::Parts(b"!", b""));
    assert_eq!(text(&store, &queue).1, 3, "the tail is private and open");
    store.clear(&mut other);
    turn.tidy(&mut store.segments);
    assert_eq!(store.segments.count(), 3, "nothing of the turn is held");
}

#[test]
fn the_rest_of_a_large_message_is_shrunk_when_little_is_left() {
    let mut store = Store::new();
    let mut queue = Queue::EMPTY;
    let body: Vec<u8> = (0..40_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    store.push_private(&mut queue, Bytes::Parts(b"", &body));
    store.consume(&mut queue, 30_000);
    store.shrink_front(&queue);
    assert_eq!(
        store.segments.memory_bytes(),
        40_000,
        "a quarter is left: not yet"
    );
    store.consume(&mut queue, 1);
    store.shrink_front(&queue);
    assert_eq!(store.segments.memory_bytes(), 9_999);
    assert_eq!(text(&store, &queue).0, &body[30_001..]);
}

#[test]
fn small_pieces_of_a_log_are_copied_behind_private_bytes() {
    let mut store = Store::new();
    let (mut queue, mut log) = (Queue::EMPTY, Arena::new(Kind::Shared));
    let mut held = Queue::EMPTY;
    for _ in 0..100 {
        store.push_private(&mut queue, Bytes::Parts(b"mine", b""));
        let piece = log.append(&mut store.segments, Bytes::Parts(b"all", b""));
        store.push(&mut held, piece);
        store.push_shared(&mut queue, piece);
    }
    assert_eq!(text(&store, &queue), (b"mineall".repeat(100), 1));
}

#[test]
fn a_source_is_pulled_in_parts_and_nothing_behind_it_comes_first() {
    let mut store = Store::new();
    let mut queue = Queue::EMPTY;
    store.push_private(&mut queue, Bytes::Parts(b"head", b""));
    store.push_source(&mut queue, PULL_BYTES as u64 + 3, Box::new(Repeat(b's')));
    store.push_private(&mut queue, Bytes::Parts(b"tail", b""));
    store.fill(&mut queue).unwrap();
    assert_eq!(
        text(&store, &queue).0,
        b"head",
        "bytes come first: nothing was pulled"
    );
    store.consume(&mut queue, 4);
    assert_eq!(text(&store, &queue).0, b"");
    store.fill(&mut queue).unwrap();
    assert_eq!(text(&store, &queue).0, vec![b's'; PULL_BYTES]);
    assert!(store.has_source(&queue));
    store.consume(&mut queue, PULL_BYTES);
    store.fill(&mut queue).unwrap();
    assert!(!store.has_source(&queue), "all of it was pulled");
    assert_eq!(text(&store, &queue).0, b"ssstail");
    assert_eq!((store.counts(), queue.bytes()), ((2, 0), 7));
    assert_eq!(store.consume(&mut queue, 7), 0);
    assert!(queue.is_empty());
}

#[test]
fn a_source_that_ends_early_is_an_error_and_one_that_is_longer_is_cut() {
    let mut store = Store::new();
    let mut queue = Queue::EMPTY;
    let parts = vec![
        Ok(&b"abc"[..]),
        Err(io::ErrorKind::PermissionDenied.into()),
        Ok(&b""[..]),
        Ok(&b"defgh"[..]),
    ];
    store.push_source(&mut queue, 5, Box::new(Then(parts)));
    store.fill(&mut queue).unwrap();
    store.consume(&mut queue, 3);
    assert_eq!(
        store.fill(&mut queue).unwrap_err().kind(),
        io::ErrorKind::PermissionDenied
    );
    assert_eq!(
        store.fill(&mut queue).unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
    assert_eq!(
        store.counts(),
        (1, 1),
        "it is left to the caller to close the client"
    );
    store.fill(&mut queue).unwrap();
    assert_eq!(text(&store, &queue).0, b"de");
    store.clear(&mut queue);
    assert_eq!((store.counts(), store.segments.count()), ((0, 0), 0));
}
