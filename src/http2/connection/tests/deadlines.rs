//! Who is too slow, against simulated time.

use super::*;

impl Peer {
    fn seconds_to_deadline(&self) -> Option<f64> {
        let deadline = self.connection.deadline(&self.config);
        deadline.map(|deadline| deadline.since(self.now).as_secs_f64())
    }

    fn expire(&mut self) -> Expiry {
        self.call(Http2Connection::on_deadline)
    }
}

/// The code of the GOAWAY that was sent.
fn code(peer: &mut Peer) -> u32 {
    let sent = peer.sent();
    assert_eq!((sent.len(), sent[0].kind), (1, GOAWAY));
    assert!(peer.connection.is_over());
    assert_eq!(peer.connection.deadline(&peer.config), None);
    number(&sent[0].payload[4..8])
}

#[test]
fn the_preface_and_the_first_request_have_the_time_of_a_header_section() {
    let mut peer = Peer::silent();
    assert_eq!(peer.seconds_to_deadline(), Some(10.0));
    peer.wait(4.0);
    peer.send(&PREFACE[..10]);
    peer.wait(4.0);
    peer.send([&PREFACE[10..], &settings(&[])].concat());
    peer.sent();
    assert_eq!(peer.seconds_to_deadline(), Some(2.0));
    peer.wait(1.9);
    assert_eq!(peer.expire(), Expiry::Nothing);
    peer.wait(0.1);
    assert_eq!(peer.expire(), Expiry::Close);
    assert_eq!(code(&mut peer), 0x0);
}

#[test]
fn a_connection_without_streams_is_closed_after_a_while() {
    let mut peer = Peer::new();
    peer.send(get(1));
    assert_eq!(peer.seconds_to_deadline(), None);
    peer.wait(100.0);
    // Until it is written, the loop judges by that.
    peer.connection.end_local(Peer::id(1));
    assert_eq!(peer.seconds_to_deadline(), None);
    peer.wait(5.0);
    peer.connection.drained(peer.now);
    assert_eq!(peer.seconds_to_deadline(), Some(15.0));
    // A client that asks whether we are there does not ask for anything.
    peer.wait(10.0);
    peer.send(frame(PING, 0, 0, [0; 8]));
    peer.sent();
    peer.connection.drained(peer.now);
    assert_eq!(peer.seconds_to_deadline(), Some(5.0));
    peer.wait(5.0);
    assert_eq!(peer.expire(), Expiry::Close);
    assert_eq!(code(&mut peer), 0x0);
}

#[test]
fn the_idle_time_runs_from_any_end_of_the_last_stream() {
    let by_peer = |peer: &mut Peer| {
        peer.send(frame(RST_STREAM, 0, 1, [0; 4]));
    };
    let by_us = |peer: &mut Peer| peer.reset(1, ErrorCode::CANCEL);
    let by_fault = |peer: &mut Peer| {
        peer.send(window_update(1, 0));
    };
    let by_end = |peer: &mut Peer| {
        peer.answer(1);
        peer.send(frame(DATA, END_STREAM, 1, ""));
    };
    for end in [&by_peer as &dyn Fn(&mut Peer), &by_us, &by_fault, &by_end] {
        let mut peer = Peer::new();
        peer.send(post(1));
        peer.wait(100.0);
        end(&mut peer);
        assert!(peer.connection.is_idle());
        assert_eq!(peer.seconds_to_deadline(), Some(15.0));
        // A little later, when it is written.
        peer.wait(1.0);
        peer.connection.drained(peer.now);
        assert_eq!(peer.seconds_to_deadline(), Some(15.0));
    }
}

#[test]
fn an_unfinished_block_has_a_total_though_streams_are_open() {
    let block = get_block();
    let whole = [
        frame(HEADERS, END_STREAM, 3, &block[..10]),
        frame(CONTINUATION, 0, 3, &block[10..20]),
        frame(CONTINUATION, END_HEADERS, 3, &block[20..]),
    ]
    .concat();
    // Wherever it stops.
    for len in 1..whole.len() {
        let mut peer = Peer::new();
        peer.send(post(1));
        peer.wait(100.0);
        assert_eq!(peer.send(&whole[..1]), []);
        for position in 1..len {
            peer.wait(0.05);
            assert_eq!(peer.send(&whole[position..=position]), []);
        }
        peer.connection.drained(peer.now);
        let seconds = peer.seconds_to_deadline().expect("it is awaited");
        let waited = 0.05 * (f64::from(u32::try_from(len).unwrap()) - 1.0);
        assert!((seconds - (10.0 - waited)).abs() < 0.001, "{len} {seconds}");
        let mut on_time = peer.send(&whole[len..]);
        assert_eq!(on_time.pop(), Some(seen_get(3)));
        assert_eq!(peer.seconds_to_deadline(), None);
    }
    let mut peer = Peer::new();
    peer.send(post(1));
    peer.send(&whole[..30]);
    peer.wait(10.0);
    assert_eq!(peer.expire(), Expiry::Close);
    assert_eq!(code(&mut peer), 0xB);
    assert_eq!(peer.connection.take_slots(), [slot(1)]);
}

#[test]
fn frames_that_are_cut_by_chance_have_each_a_time_of_their_own() {
    let mut peer = Peer::new();
    peer.send(post(1));
    let ping = frame(PING, 0, 0, [0; 8]);
    // Each read ends inside a frame, but always of another.
    peer.send(&ping[..5]);
    for _ in 0..100 {
        peer.wait(1.0);
        peer.send([&ping[5..], &ping[..5]].concat());
        assert_eq!(peer.seconds_to_deadline(), Some(10.0));
    }
    // Nor is payload that comes slowly unfinished: that is the stream's.
    peer.send([&ping[5..], &frame(DATA, 0, 1, "abc")[..10]].concat());
    assert_eq!(peer.seconds_to_deadline(), None);
}
