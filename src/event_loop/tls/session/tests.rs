use super::*;
use crate::tls::tests::both_sides;
use proptest::prelude::*;
use rustls::{ClientConnection, SupportedProtocolVersion, version};
use std::io::{Read, Write};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// The client's side.
pub(in crate::event_loop::tls) struct Peer(ClientConnection);

impl Peer {
    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut records).expect("memory");
        }
        records
    }

    fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        self.0.writer().write_all(plain).expect("memory");
        self.records()
    }

    pub(in crate::event_loop::tls) fn open(&mut self, mut records: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while !records.is_empty() {
            self.0.read_tls(&mut records).expect("memory");
            let state = self.0.process_new_packets().expect("records");
            let mut more = vec![0; state.plaintext_bytes_to_read()];
            self.0.reader().read_exact(&mut more).expect("it is there");
            plain.extend(more);
        }
        plain
    }
}

fn pair(version: &'static SupportedProtocolVersion) -> (Session, Peer) {
    let (config, client) = both_sides(&[version]);
    let session = Session::new(&Acceptor::new(config)).expect("a session");
    (session, Peer(client))
}

/// Hands `records` over in pieces, and returns what was in them.
fn receive<'b>(session: &mut Session, pieces: impl Iterator<Item = &'b [u8]>) -> Vec<u8> {
    let mut plain = Vec::new();
    for piece in pieces {
        assert_eq!(
            session.receive(&mut piece.to_vec(), &mut plain),
            Progress::Open
        );
    }
    plain
}

fn answer(session: &mut Session, peer: &mut Peer) {
    let mut records = Vec::new();
    session.take_sealed(&mut records);
    assert!(peer.open(&records).is_empty());
}

fn shake_hands(session: &mut Session, peer: &mut Peer) {
    while !session.is_secured() || peer.0.is_handshaking() {
        let records = peer.records();
        receive(session, [&*records].into_iter());
        answer(session, peer);
    }
}

pub(in crate::event_loop::tls) fn open_pair() -> (Session, Peer) {
    let (mut session, mut peer) = pair(&version::TLS13);
    shake_hands(&mut session, &mut peer);
    (session, peer)
}

#[test]
fn the_first_records_may_be_split_anywhere() {
    for version in VERSIONS {
        let len = pair(version).1.records().len();
        for split in 1..len {
            let (mut session, mut peer) = pair(version);
            let hello = peer.records();
            let (first, second) = hello.split_at(split.min(hello.len() - 1));
            receive(&mut session, [first, second].into_iter());
            assert_eq!(session.incomplete_bytes(), 0, "split {split}");
            answer(&mut session, &mut peer);
            shake_hands(&mut session, &mut peer);
        }
    }
}

#[test]
fn every_byte_may_come_alone() {
    for version in VERSIONS {
        let (mut session, mut peer) = pair(version);
        while !session.is_secured() || peer.0.is_handshaking() {
            let records = peer.records();
            receive(&mut session, records.chunks(1));
            answer(&mut session, &mut peer);
        }
        let plain = vec![7; 40_000];
        let records = peer.seal(&plain);
        assert_eq!(receive(&mut session, records.chunks(1)), plain);
    }
}

#[test]
fn a_handshake_message_may_come_in_many_records() {
    for version in VERSIONS {
        for fragment in [1, 50, 100] {
            let (mut session, mut peer) = pair(version);
            let hello = peer.records();
            let (header, message) = hello.split_at(HEADER_BYTES);
            for fragment in message.chunks(fragment) {
                let len = u16::try_from(fragment.len())
                    .expect("a short one")
                    .to_be_bytes();
                let record = [&header[..3], &len, fragment].concat();
                // In two pieces each, the second of which ends it.
                let (first, second) = record.split_at(4);
                receive(&mut session, [first, second].into_iter());
            }
            answer(&mut session, &mut peer);
            shake_hands(&mut session, &mut peer);
        }
    }
}

#[test]
fn a_message_in_too_many_records_is_not_held() {
    let new = || pair(&version::TLS13).0;
    let mut session = new();
    // A ClientHello of 64,000 bytes, one in each record.
    let header: Vec<u8> = [1, 0, 250, 0]
        .into_iter()
        .flat_map(|byte| [22, 3, 1, 0, 1, byte])
        .collect();
    let records = [header, [22, 3, 1, 0, 1, 0].repeat(64_000)].concat();
    let mut plain = Vec::new();
    let mut most = 0;
    let mut pieces = records.chunks(1000);
    let end = pieces.find_map(|piece| {
        let progress = session.receive(&mut piece.to_vec(), &mut plain);
        most = most.max(session.incomplete.len());
        (progress != Progress::Open).then_some(progress)
    });
    assert_eq!(end, Some(Progress::Failed));
    assert!(most <= MAX_INCOMPLETE_BYTES && pieces.len() > 300, "{most}");
    assert_eq!(session.incomplete_bytes(), 0);
    // All at once it is no other.
    let mut session = new();
    let end = session.receive(&mut records.clone(), &mut plain);
    assert_eq!((end, session.incomplete_bytes()), (Progress::Failed, 0));
}

#[test]
fn records_may_be_split_anywhere_and_leave_nothing_behind() {
    for version in VERSIONS {
        let (mut session, mut peer) = pair(version);
        shake_hands(&mut session, &mut peer);
        let len = peer.seal(b"hello").len();
        let (mut session, mut peer) = pair(version);
        shake_hands(&mut session, &mut peer);
        for split in 0..3 * len {
            let records = [peer.seal(b"hello"), peer.seal(b"my"), peer.seal(b"world")].concat();
            let (first, second) = records.split_at(split.min(records.len()));
            let plain = receive(&mut session, [first, second].into_iter());
            assert_eq!(plain, b"hellomyworld", "split {split}");
            let held = (session.incomplete.capacity(), session.sealed.capacity());
            assert_eq!(held, (0, 0), "split {split}");
        }
    }
}

#[test]
fn what_is_sealed_is_opened_whatever_its_length() {
    for version in VERSIONS {
        let (mut session, mut peer) = pair(version);
        shake_hands(&mut session, &mut peer);
        for len in [0, 1, 16_384, 16_385, 65_536, 65_537] {
            let plain = vec![3; len];
            let mut sealed = b"before".to_vec();
            assert!(session.seal(&plain, &mut sealed));
            assert_eq!(&sealed[..6], b"before");
            assert_eq!(peer.open(&sealed[6..]), plain);
            let records = len.div_ceil(MAX_FRAGMENT_BYTES);
            assert!(sealed.len() <= 6 + len + records * MAX_OVERHEAD_BYTES);
        }
    }
}

/// A new key of the peer's is answered by one of ours, in front of what is sealed next.
#[test]
fn keys_may_change_with_a_record_that_is_not_complete() {
    let (mut session, mut peer) = open_pair();
    peer.0.refresh_traffic_keys().expect("TLS 1.3");
    let update = peer.records();
    let record = peer.seal(b"hello");
    let (first, second) = record.split_at(10);
    assert_eq!(receive(&mut session, [&*update, first].into_iter()), b"");
    assert!(session.incomplete_bytes() > 0);
    let mut sealed = Vec::new();
    session.take_sealed(&mut sealed);
    assert!(session.seal(b"answer", &mut sealed));
    assert_eq!(peer.open(&sealed), b"answer");
    assert_eq!(receive(&mut session, [second].into_iter()), b"hello");
}

#[test]
fn the_end_is_said_once_and_nothing_is_opened_or_sealed_behind_it() {
    for version in VERSIONS {
        let (mut session, mut peer) = pair(version);
        assert!(!session.close(), "there is no key yet");
        shake_hands(&mut session, &mut peer);
        assert!(session.close());
        assert!(!session.close() && !session.can_seal());
        let mut sealed = Vec::new();
        session.take_sealed(&mut sealed);
        peer.0.read_tls(&mut &*sealed).expect("memory");
        let state = peer.0.process_new_packets().expect("records");
        assert!(state.peer_has_closed());
        // Whatever it is, and garbage too.
        let mut plain = Vec::new();
        let mut records = peer.seal(b"hello");
        records.extend([0; 100]);
        assert_eq!(session.receive(&mut records, &mut plain), Progress::Open);
        assert!(plain.is_empty() && session.incomplete_bytes() == 0 && !session.has_sealed());
    }
}

#[test]
fn the_peers_end_is_told_once_behind_what_it_sent() {
    for version in VERSIONS {
        let (mut session, mut peer) = pair(version);
        shake_hands(&mut session, &mut peer);
        let mut records = peer.seal(b"last");
        peer.0.send_close_notify();
        records.extend(peer.records());
        records.extend(b"anything");
        let mut plain = Vec::new();
        assert_eq!(session.receive(&mut records, &mut plain), Progress::Ended);
        assert_eq!((&*plain, session.has_ended()), (&b"last"[..], true));
        assert_eq!(session.receive(&mut [0; 9], &mut plain), Progress::Open);
        assert_eq!((plain.len(), session.incomplete_bytes()), (4, 0));
        // Our side is open still.
        let mut sealed = Vec::new();
        assert!(session.can_seal() && session.seal(b"answer", &mut sealed));
        assert_eq!(peer.open(&sealed), b"answer");
    }
}

#[test]
fn letters_are_no_record_and_records_no_letters() {
    let (mut session, mut peer) = pair(&version::TLS13);
    let hello = peer.records();
    assert!(session.is_plain(b"GET / HTTP/1.1"));
    assert!(!session.is_plain(&hello) && !session.is_plain(b"") && !session.is_plain(&[0x80]));
    receive(&mut session, [&hello[..1]].into_iter());
    assert!(!session.is_plain(b"G"), "in the midst of a record");
    receive(&mut session, [&hello[1..]].into_iter());
    assert!(!session.is_plain(b"G"), "behind a record");
}

/// Hands `records` over with some of their bytes changed, in pieces of those lengths.
fn receive_changed(
    session: &mut Session,
    mut records: Vec<u8>,
    changes: &[(prop::sample::Index, u8)],
    lens: &[usize],
) {
    for (index, byte) in changes {
        let index = index.index(records.len());
        records[index] = *byte;
    }
    let (mut rest, mut plain, mut has_failed) = (&mut *records, Vec::new(), false);
    for len in lens.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, more) = rest.split_at_mut((*len).min(rest.len()));
        rest = more;
        let progress = session.receive(piece, &mut plain);
        assert!(!has_failed || progress == Progress::Open);
        has_failed |= progress == Progress::Failed;
        assert!(!has_failed || !session.can_seal());
    }
}

proptest! {
    /// A panic would be that of the whole loop.
    #[test]
    fn no_bytes_of_a_peer_are_a_panic(
        is_open in any::<bool>(),
        fragment in 1..400_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        lens in prop::collection::vec(1..600_usize, 1..6),
    ) {
        let (mut session, mut peer) = if is_open { open_pair() } else { pair(&version::TLS13) };
        let records = if is_open {
            [peer.seal(&[7; 300]), peer.seal(b"hello")].concat()
        } else {
            // Its handshake message in records of that length.
            let hello = peer.records();
            let (header, message) = hello.split_at(HEADER_BYTES);
            let records = message.chunks(fragment).flat_map(|fragment| {
                let len = u16::try_from(fragment.len()).expect("a short one").to_be_bytes();
                [&header[..3], &len, fragment].concat()
            });
            records.collect()
        };
        receive_changed(&mut session, records, &changes, &lens);
    }
}

/// What an idle client holds beside what rustls keeps on the heap.
#[test]
fn a_session_is_no_larger_than_that() {
    assert!(size_of::<Session>() <= 1152, "{}", size_of::<Session>());
}
