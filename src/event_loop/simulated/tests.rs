use super::*;
use crate::event_loop::system::{Accepted, Listener as _, ReadOutcome, Ready, Socket as _};
use crate::event_loop::system::{System as _, WriteOutcome};

/// A socket that was accepted, registered and watched, and whose first events were told.
fn registered() -> (SimulatedSocket, u32) {
    reset(None);
    let number = connect(true);
    let mut socket = SimulatedSocket(number);
    assert_eq!(Simulated.register(&mut socket, 7).ok(), Some(()));
    assert_eq!(poll(), [], "room is not told of");
    assert_eq!(Simulated.watch_writable(&mut socket, 7).ok(), Some(()));
    assert_eq!(poll(), [(7, false, true, false)]);
    (socket, number)
}

/// The events that are to be told, each as token, readable, writable and read closed.
fn poll() -> Vec<(usize, bool, bool, bool)> {
    let mut events = Vec::new();
    assert!(Simulated.poll(&mut events, None).is_ok());
    let told = |ready: &Ready| {
        let Ready {
            token,
            readable,
            writable,
            read_closed,
            ..
        } = *ready;
        (token, readable, writable, read_closed)
    };
    events.iter().map(told).collect()
}

#[test]
fn input_is_told_once_and_again_when_more_comes_whether_it_was_read_or_not() {
    let (mut socket, number) = registered();
    send(number, b"abc");
    send(number, b"d");
    assert_eq!(poll(), [(7, true, true, false)]);
    assert_eq!(poll(), []);
    send(number, b"e");
    assert_eq!(poll(), [(7, true, true, false)]);
    let mut buffer = [0; 4];
    assert_eq!(socket.read(&mut buffer), ReadOutcome::Bytes(4));
    assert_eq!(poll(), []);
    assert_eq!(socket.read(&mut buffer), ReadOutcome::Bytes(1));
    assert_eq!(socket.read(&mut buffer), ReadOutcome::Drained);
    end(number);
    assert_eq!(poll(), [(7, true, true, true)]);
    assert_eq!(socket.read(&mut buffer), ReadOutcome::End);
}

#[test]
fn room_is_told_only_where_a_write_found_too_little() {
    let (mut socket, number) = registered();
    set_room(number, 3);
    assert_eq!(poll(), [], "it never was full");
    assert_eq!(socket.write(b"abc"), WriteOutcome::Bytes(3));
    set_room(number, 1);
    assert_eq!(poll(), [], "nothing was refused");
    assert_eq!(socket.write(b"de"), WriteOutcome::Bytes(1));
    assert_eq!(socket.write(b"e"), WriteOutcome::Full);
    send(number, b"x");
    assert_eq!(poll(), [(7, true, false, false)], "and no room");
    set_room(number, 0);
    assert_eq!(poll(), []);
    set_room(number, u64::MAX);
    assert_eq!(poll(), [(7, true, true, false)]);
    assert_eq!(take_output(number), b"abcd");
    assert_eq!(taken(number), 4);
}

#[test]
fn what_came_before_the_registration_is_told_at_it_and_nothing_after_the_end() {
    reset(None);
    let number = connect(false);
    send(number, b"abc");
    assert_eq!(poll(), []);
    let mut socket = SimulatedSocket(number);
    assert!(Simulated.register(&mut socket, 9).is_ok());
    assert_eq!(poll(), [(9, true, false, false)]);
    drop(socket);
    send(number, b"d");
    assert!(is_closed(number));
    assert_eq!(poll(), []);
}

#[test]
fn a_reset_loses_what_was_not_read_and_ends_both_directions() {
    let (mut socket, number) = registered();
    send(number, b"abc");
    reset_by_peer(number);
    assert_eq!(poll(), [(7, true, true, true)]);
    assert_eq!(socket.read(&mut [0; 4]), ReadOutcome::Broken);
    assert_eq!(socket.write(b"x"), WriteOutcome::Broken);
}

#[test]
fn what_a_short_read_leaves_is_told_anew_and_no_byte_is_lost_or_moved() {
    let sent: Vec<u8> = (0..=255).collect();
    let mut all_faults = 0;
    for seed in 0..20 {
        let (mut socket, number) = registered();
        let rates = [(Fault::ShortRead, 500), (Fault::EmptyRead, 300)];
        set_faults(seed, &rates);
        send(number, &sent);
        let (mut came, mut buffer, mut polls) = (Vec::new(), [0; 1000], 0);
        while came.len() < sent.len() {
            assert_eq!(poll(), [(7, true, true, false)], "after {}", came.len());
            polls += 1;
            if let ReadOutcome::Bytes(len) = socket.read(&mut buffer) {
                came.extend_from_slice(&buffer[..len]);
            }
        }
        assert_eq!(came, sent);
        assert_eq!(poll(), []);
        let faults = fault_count(Fault::ShortRead) + fault_count(Fault::EmptyRead);
        assert_eq!(faults, polls - 1);
        all_faults += faults;
    }
    assert!(all_faults > 20, "{all_faults}");
}

#[test]
fn what_a_short_write_leaves_is_asked_for_and_no_slice_is_skipped() {
    let (mut socket, number) = registered();
    let rates = [(Fault::ShortWrite, 500), (Fault::FullWrite, 300)];
    set_faults(2, &rates);
    let sent: Vec<u8> = (0..=255).collect();
    let mut written = 0;
    while written < sent.len() {
        let (first, second) = sent[written..].split_at((sent.len() - written) / 2);
        let slices = [std::io::IoSlice::new(first), std::io::IoSlice::new(second)];
        if let WriteOutcome::Bytes(len) = socket.write_vectored(&slices) {
            written += len;
        }
        let is_told = poll() == [(7, false, true, false)];
        assert_eq!(is_told, written < sent.len());
    }
    assert_eq!(take_output(number), sent);
}

#[test]
fn an_event_that_is_late_comes_once() {
    let (_socket, number) = registered();
    set_faults(3, &[(Fault::DelayedEvent, 800)]);
    send(number, b"abc");
    let told = (0..100).map(|_| poll().len()).sum::<usize>();
    assert_eq!(told, 1);
    assert!(fault_count(Fault::DelayedEvent) > 0);
}

#[test]
fn who_cannot_be_accepted_waits_or_is_lost() {
    reset(None);
    let (first, second) = (connect(false), connect(false));
    exhaust(1);
    assert!(matches!(SimulatedListener.accept(), Accepted::Exhausted(_)));
    set_faults(4, &[(Fault::LostAccept, 1000)]);
    assert!(matches!(SimulatedListener.accept(), Accepted::Lost(_)));
    set_faults(4, &[(Fault::ExhaustedAccept, 1000)]);
    assert!(matches!(SimulatedListener.accept(), Accepted::Exhausted(_)));
    set_faults(4, &[]);
    let accepted = SimulatedListener.accept();
    assert!(
        matches!(&accepted, Accepted::Client(socket, _) if socket.0 == second),
        "{accepted:?}"
    );
    assert!(is_closed(first) && is_faulted(first) && !is_closed(second));
    assert!(matches!(SimulatedListener.accept(), Accepted::Nobody));
}

#[test]
fn events_of_those_who_left_have_their_tokens() {
    let (socket, _number) = registered();
    set_faults(5, &[(Fault::StaleEvent, 1000)]);
    assert_eq!(poll(), []);
    drop(socket);
    assert_eq!(poll().len(), 1);
    assert!(poll()[0].0 == 7);
}

#[test]
fn the_same_seed_has_the_same_faults() {
    let play = |seed| {
        let (mut socket, number) = registered();
        set_faults(seed, &[(Fault::ShortRead, 500), (Fault::EmptyRead, 500)]);
        send(number, &[0; 10_000]);
        let mut buffer = [0; 10_000];
        let outcomes: Vec<_> = (0..50).map(|_| socket.read(&mut buffer)).collect();
        outcomes
    };
    assert_eq!(play(1), play(1));
    assert_ne!(play(1), play(2));
}

#[test]
fn a_socket_takes_32_bytes() {
    assert_eq!(SOCKET_BYTES, 32);
}
