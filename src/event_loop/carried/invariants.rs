//! That streams and their carriers know each other, and who waits has a turn.

use super::Streams;
use crate::event_loop::clients::{Clients, fact};
use crate::protocol::Protocol;
use rustc_hash::FxHashSet;

impl Streams {
    /// See the module.
    pub(in crate::event_loop) fn check_invariants<K>(&self, clients: &Clients<K>) {
        let (mut carried, mut carriers) = (FxHashSet::default(), FxHashSet::default());
        for (slot, client) in clients.iter() {
            if let Protocol::Http2(connection, _) = &client.protocol {
                carriers.insert(slot);
                for stream in connection.slots() {
                    let entry = self.get(stream).expect("a stream that is carried");
                    assert_eq!(entry.carrier, slot, "who carries slot {stream}");
                    assert!(carried.insert(stream), "slot {stream} is carried twice");
                }
            }
        }
        assert_eq!(carried.len(), self.carried.len(), "streams");
        let facts = clients.iter().filter(|(_, it)| it.is(fact::CARRIED));
        let facts: FxHashSet<u32> = facts.map(|(slot, _)| slot).collect();
        assert_eq!(facts, carried, "clients that are carried");
        assert_eq!(self.count, carried.len(), "their count");
        assert!(!self.is_making_room);
        let mut waits = FxHashSet::default();
        for (carrier, waiting) in &self.waiting {
            assert!(carriers.contains(carrier), "who waits for slot {carrier}");
            assert!(!waiting.slots.is_empty());
            for slot in &waiting.slots {
                assert!(waits.insert(*slot), "slot {slot} waits twice");
                let entry = self.get(*slot);
                assert!(entry.is_some_and(|it| it.waits && it.carrier == *carrier));
            }
        }
        let flagged = self.carried.values().filter(|entry| entry.waits);
        assert_eq!(flagged.count(), waits.len(), "who waits");
    }
}
