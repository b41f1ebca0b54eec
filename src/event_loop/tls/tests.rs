use super::session::tests::open_pair;
use super::*;
use crate::config::BacklogPolicy;
use crate::event_loop::system::ReadOutcome;
use crate::http::ConnectionInfo;
use crate::moment::Moment;
use crate::output::{Bytes, LogLimits, Unit};
use proptest::prelude::*;
use std::io;
use std::net::SocketAddr;

/// Takes so many bytes in all.
struct Narrow {
    room: usize,
    taken: Vec<u8>,
    writes: usize,
}

impl Socket for Narrow {
    fn none() -> Self {
        Self {
            room: 0,
            taken: Vec::new(),
            writes: 0,
        }
    }

    fn read(&mut self, _: &mut [u8]) -> ReadOutcome {
        ReadOutcome::Drained
    }

    fn write(&mut self, bytes: &[u8]) -> WriteOutcome {
        self.writes += 1;
        let len = bytes.len().min(self.room);
        self.room -= len;
        self.taken.extend(&bytes[..len]);
        match len {
            0 => WriteOutcome::Full,
            len => WriteOutcome::Bytes(len),
        }
    }

    fn write_vectored(&mut self, _: &[IoSlice<'_>]) -> WriteOutcome {
        WriteOutcome::Broken
    }

    fn shut_down(&mut self) {}

    fn reset_on_close(&mut self) {}

    fn local_address(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn narrow(room: usize) -> (Client<Narrow>, Output) {
    let socket = Narrow {
        room,
        taken: Vec::new(),
        writes: 0,
    };
    let protocol = Protocol::accepted(0, ConnectionInfo::for_test(), Moment::START);
    let mut output = Output::new();
    output.open(0);
    (Client::new(socket, protocol, Moment::START), output)
}

fn send(output: &mut Output, bytes: &[u8]) {
    output.send(0, Unit::default(), Bytes::Parts(bytes, b""));
}

#[test]
fn what_a_full_socket_did_not_take_counts_as_output_until_it_did() {
    let (session, mut peer) = open_pair();
    let mut session = Box::new(session);
    let mut pump = Pump::default();
    let (mut client, mut output) = narrow(10);
    send(&mut output, b"hello");
    let written = write(&mut client, 0, &mut output, &mut session, &mut pump);
    assert_eq!(written, (5, false));
    // All of it is sealed, but not all is out.
    assert_eq!(output.backlog_bytes(0), 0);
    assert!(output.has_output(0) && output.is_blocked(0) && session.has_sealed());

    // Nothing more is sealed meanwhile.
    send(&mut output, b" world");
    let held = session.sealed().len();
    write(&mut client, 0, &mut output, &mut session, &mut pump);
    assert_eq!((client.socket.writes, session.sealed().len()), (1, held));

    // When the socket takes bytes again, it is asked again.
    output.unblock(0);
    assert!(output.is_dirty(0) && output.next_dirty() == Some(0));
    client.socket.room = usize::MAX;
    write(&mut client, 0, &mut output, &mut session, &mut pump);
    assert!(!output.has_output(0) && !output.is_blocked(0) && !session.has_sealed());
    assert_eq!(peer.open(&client.socket.taken), b"hello world");
    output.end_turn();
    assert!(output.is_quiet());
}

/// Else each message for it would put off the end of a peer that takes nothing.
#[test]
fn what_is_only_sealed_is_no_progress() {
    let (session, mut peer) = open_pair();
    let mut session = Box::new(session);
    let mut pump = Pump::default();
    let (mut client, mut output) = narrow(0);
    for _ in 0..3 {
        send(&mut output, b"news");
        let written = write(&mut client, 0, &mut output, &mut session, &mut pump);
        assert_eq!(written, (0, false));
        output.unblock(0);
    }
    assert_eq!((client.socket.writes, output.backlog_bytes(0)), (3, 0));
    client.socket.room = usize::MAX;
    let (written, _) = write(&mut client, 0, &mut output, &mut session, &mut pump);
    assert_eq!(written, client.socket.taken.len());
    assert_eq!(peer.open(&client.socket.taken), b"newsnewsnews");
}

#[test]
fn a_client_without_a_queue_is_asked_again_for_what_waits_alone() {
    let (session, mut peer) = open_pair();
    let mut asides = Asides::default();
    asides.sessions.insert(0, Box::new(session));
    let mut pump = Pump::default();
    let (mut client, mut output) = narrow(0);
    let taken = pump.write_broadcast(&mut client, 0, b"news", &mut asides);
    assert_eq!(taken, 4, "it is sealed, and waits");
    let mut told = Vec::new();
    pump.settle(&asides, &mut output, |slot| told.push(slot));
    assert_eq!((told, output.next_dirty()), (vec![0], Some(0)));
    // The next one goes the way of all.
    let taken = pump.write_broadcast(&mut client, 0, b"more", &mut asides);
    assert_eq!(taken, 0);
    client.socket.room = usize::MAX;
    let session = asides.sessions.get_mut(&0).expect("its session");
    write(&mut client, 0, &mut output, session, &mut pump);
    assert!(!output.has_output(0));
    assert_eq!(peer.open(&client.socket.taken), b"news");
}

#[test]
fn a_session_holds_no_more_than_one_write_made() {
    let (session, _) = open_pair();
    let mut session = Box::new(session);
    let mut pump = Pump::default();
    let (mut client, mut output) = narrow(100);
    send(&mut output, &vec![5; 1 << 20]);
    for _ in 0..100 {
        write(&mut client, 0, &mut output, &mut session, &mut pump);
        assert!(session.sealed().len() <= PLAINTEXT_PER_WRITE + 200);
        output.unblock(0);
        client.socket.room = 3000;
    }
    // One write a turn where the socket is slow, and never more than its share where it is not.
    let (mut client, mut output) = narrow(usize::MAX);
    let (mut session, _) = open_pair();
    send(&mut output, &vec![5; 3 << 20]);
    let (written, _) = write(&mut client, 0, &mut output, &mut session, &mut pump);
    assert!((WRITE_BUDGET_BYTES..WRITE_BUDGET_BYTES + PLAINTEXT_PER_WRITE).contains(&written));
}

#[test]
fn pieces_of_a_queue_are_sealed_together() {
    let slices = [&b"one"[..], b"two", b"three"].map(IoSlice::new);
    let mut room = Vec::new();
    assert_eq!(joined(&slices, 100, &mut room), b"onetwothree");
    assert_eq!(joined(&slices, 7, &mut room), b"onetwot");
    assert_eq!(joined(&slices[..1], 2, &mut room), b"on");
    assert_eq!(joined(&[], 2, &mut room), b"");
}

/// What happens to a client of a log, one after the other.
#[derive(Clone, Debug)]
enum Happening {
    Send(usize),
    Broadcast(usize),
    /// The socket takes so many bytes more, and says so.
    Room(usize),
    /// Room or not: its deadline.
    Unblock,
    Flush,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        prop_oneof![0..200_usize, 0..100_000_usize].prop_map(Happening::Send),
        prop_oneof![1..200_usize, 1..70_000_usize].prop_map(Happening::Broadcast),
        prop_oneof![0..300_usize, 0..150_000_usize].prop_map(Happening::Room),
        Just(Happening::Unblock),
        Just(Happening::Flush),
        Just(Happening::Flush),
    ]
}

/// The flush phase of the loop, for one client.
fn flush(client: &mut Client<Narrow>, output: &mut Output, asides: &mut Asides, pump: &mut Pump) {
    let write_one = |client: &mut _, output: &mut _, asides: &mut Asides, pump: &mut _| {
        let session = asides.sessions.get_mut(&0).expect("its session");
        let (_, is_broken) = write(client, 0, output, session, pump);
        assert!(!is_broken);
        client.put(
            fact::WATCHED,
            client.is(fact::WATCHED) || output.is_blocked(0),
        );
    };
    while output.next_dirty().is_some() {
        write_one(client, output, asides, pump);
    }
    let mut visits = 100;
    loop {
        let visited = output.flush_straight(&mut visits, |slot, bytes| {
            pump.write_broadcast(client, slot, bytes, asides)
        });
        pump.settle(asides, output, |_| {});
        if let Some((slot, taken)) = visited {
            output.advance(slot, taken);
        } else if output.next_in_ring(&mut visits).is_none() {
            break;
        }
        write_one(client, output, asides, pump);
    }
    output.end_turn();
}

proptest! {
    /// Whatever the socket takes, and when.
    #[test]
    fn the_peer_opens_all_that_was_sent_in_its_order(
        happenings in prop::collection::vec(happening(), 1..40),
    ) {
        let (session, mut peer) = open_pair();
        let mut asides = Asides::default();
        asides.sessions.insert(0, Box::new(session));
        let mut pump = Pump::default();
        let (mut client, mut output) = narrow(1000);
        client.set(fact::ENCRYPTED);
        let limits = LogLimits {
            soft_backlog_bytes: 1 << 16,
            hard_backlog_bytes: 1 << 30,
            policy: BacklogPolicy::Close,
        };
        let log = output.add_log(limits).expect("few logs");
        output.join(0, log);
        let mut expected = Vec::new();
        let end = [Happening::Room(1 << 30), Happening::Flush, Happening::Flush];
        for (number, happening) in (0..).zip(happenings.into_iter().chain(end)) {
            let mut message = |len| {
                let message = vec![number; len];
                expected.extend(&message);
                message
            };
            match happening {
                Happening::Send(len) => send(&mut output, &message(len)),
                Happening::Broadcast(len) => {
                    let message = message(len);
                    output.broadcast(log, Unit::default(), Bytes::Parts(&message, b""));
                }
                Happening::Room(room) => {
                    client.socket.room += room;
                    output.unblock(0);
                }
                Happening::Unblock => output.unblock(0),
                Happening::Flush => flush(&mut client, &mut output, &mut asides, &mut pump),
            }
        }
        // A turn writes no more than its share.
        while output.has_output(0) {
            flush(&mut client, &mut output, &mut asides, &mut pump);
        }
        prop_assert!(output.is_quiet());
        prop_assert!(peer.open(&client.socket.taken) == expected);
    }
}
