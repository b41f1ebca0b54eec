//! Tests of `streams.rs`.

use super::*;

fn id(number: u32) -> StreamId {
    StreamId::new(number)
}

fn open(streams: &mut Streams, number: u32, has_ended: bool) {
    streams.begin(id(number));
    streams.insert(NewStream {
        id: id(number),
        has_ended,
        is_tunnel: false,
        content_length: None,
        send_window: 100,
        receive_window: 100,
    });
    streams.set_slot(id(number), 1000 + number);
}

#[test]
fn an_entry_takes_32_bytes() {
    assert_eq!(size_of::<Stream>(), 32);
}

/// RFC 9113 section 5.1.
#[test]
fn a_stream_is_closed_when_both_have_ended_or_one_reset_it() {
    let mut streams = Streams::new();
    for number in [1, 3, 5, 7] {
        assert_eq!(streams.standing(id(number)), Standing::Idle);
        open(&mut streams, number, number == 3);
        assert_eq!(streams.standing(id(number)), Standing::Open);
    }
    assert_eq!(streams.end(id(1)), Some(1001));
    assert_eq!(streams.standing(id(1)), Standing::Open);
    streams.end_locally(id(1));
    streams.end_locally(id(3));
    assert_eq!(streams.reset_by_peer(id(5)), Some(1005));
    for number in [1, 3, 5] {
        assert_eq!(streams.standing(id(number)), Standing::Closed, "{number}");
    }
    streams.end_locally(id(7));
    assert_eq!(streams.standing(id(7)), Standing::Open);
    assert_eq!(streams.end(id(7)), Some(1007));
    assert_eq!(streams.standing(id(7)), Standing::Closed);
    assert!(streams.is_empty());
    // Those of a server: none is ever opened.
    assert_eq!(streams.standing(id(2)), Standing::Idle);
}

#[test]
fn streams_that_we_reset_are_ignored_until_the_client_ends_them() {
    let mut streams = Streams::new();
    for number in [1, 3, 5] {
        open(&mut streams, number, false);
    }
    assert_eq!(streams.reset(id(1), true), Some(1001));
    assert_eq!(streams.reset(id(3), false), Some(1003));
    assert_eq!(streams.reset(id(5), true), Some(1005));
    assert_eq!(streams.standing(id(1)), Standing::Ignored);
    assert_eq!(streams.standing(id(3)), Standing::Closed);
    streams.end_ignored(id(1));
    streams.reset_by_peer(id(5));
    assert_eq!(streams.standing(id(1)), Standing::Closed);
    assert_eq!(streams.standing(id(5)), Standing::Closed);
}

#[test]
fn none_that_we_reset_is_taken_for_ended_however_many_there_are() {
    let mut streams = Streams::new();
    for index in 0..1000 {
        open(&mut streams, 2 * index + 1, false);
        streams.reset(id(2 * index + 1), true);
    }
    for index in 0..1000 {
        assert_eq!(streams.standing(id(2 * index + 1)), Standing::Ignored);
    }
    assert!(streams.memory_bytes() <= 1024);
    open(&mut streams, 2001, true);
    streams.end_locally(id(2001));
    assert_eq!(streams.standing(id(2001)), Standing::Closed);
}

/// RFC 9113 section 5.1.1.
#[test]
fn numbers_that_were_passed_over_are_told_from_those_that_were_used() {
    let mut streams = Streams::new();
    open(&mut streams, 3, false);
    assert_eq!(streams.standing(id(1)), Standing::Skipped);
    open(&mut streams, 5, false);
    open(&mut streams, 11, false);
    assert_eq!(streams.standing(id(7)), Standing::Skipped);
    assert_eq!(streams.standing(id(9)), Standing::Skipped);
    assert_eq!(streams.standing(id(5)), Standing::Open);
}

#[test]
fn after_a_stop_later_streams_are_ignored() {
    let mut streams = Streams::new();
    open(&mut streams, 1, false);
    streams.stop();
    assert!(streams.is_stopped());
    streams.begin(id(3));
    assert_eq!(streams.standing(id(3)), Standing::Ignored);
    assert_eq!(streams.standing(id(1)), Standing::Open);
    assert_eq!(streams.highest(), id(1));
}

/// RFC 9113 section 6.9.2.
#[test]
fn a_window_may_be_below_zero_and_frees_when_above() {
    let mut streams = Streams::new();
    open(&mut streams, 1, false);
    let stream = streams.get_mut(id(1)).unwrap();
    stream.send(90);
    stream.block();
    assert_eq!(streams.change_windows(-50), Ok(false));
    let stream = streams.get_mut(id(1)).unwrap();
    assert_eq!(stream.send_window(), -40);
    assert_eq!(stream.grow(40), Ok(false));
    assert_eq!(stream.grow(1), Ok(true));
    assert_eq!(stream.grow(1), Ok(false), "told once");
    assert_eq!(stream.grow(MAX_WINDOW_BYTES), Err(WindowOverflow));
    let largest = i64::from(MAX_WINDOW_BYTES);
    assert_eq!(streams.change_windows(largest), Err(WindowOverflow));
}

/// RFC 9113 sections 6.9.1 and 8.1.1.
#[test]
fn data_fits_the_window_and_the_length() {
    let mut streams = Streams::new();
    open(&mut streams, 1, false);
    let stream = streams.get_mut(id(1)).unwrap();
    assert_eq!(stream.receive(100, 90, false), Ok(()));
    assert_eq!(stream.receive(1, 1, false), Err(DataError::BeyondWindow));
    // The padding counts as taken, and half of the window is worth a frame.
    assert_eq!(stream.consume(39, 100), None);
    assert_eq!(stream.consume(1, 100), Some(50));
    (stream.content_left, stream.flags) = (20, stream.flags | HAS_LENGTH);
    assert_eq!(stream.receive(10, 10, true), Err(DataError::NotTheLength));
    assert_eq!(stream.receive(10, 10, true), Ok(()));
    assert_eq!(stream.receive(1, 1, false), Err(DataError::NotTheLength));
    streams.end(id(1));
    let stream = streams.get_mut(id(1)).unwrap();
    assert_eq!(stream.receive(0, 0, true), Err(DataError::HasEnded));
    // Nobody sends any more.
    assert_eq!(stream.consume(90, 100), None);
}
