//! What holds of all output between two turns. Only tests ask: see `docs/simulation.md`.

use super::queue::Found;
use super::{BLOCKED, CUT, DIRTY, IN_TURN, LogId, OVERFLOWED, Output, REPORTED, SLOW, UNDELIVERED};
use rustc_hash::FxHashMap;

impl Output {
    /// `is_live` says whose slots are in use.
    pub(crate) fn check_invariants(&self, is_live: impl Fn(u32) -> bool) {
        let mut found = Found::default();
        self.check_lists();
        for (slot, client) in (0..).zip(&self.clients) {
            let in_turn = self.store.check_queue(&client.queue, &mut found);
            let is_blocked = client.has(BLOCKED);
            if !is_live(slot) {
                let left = client.flags & !(DIRTY | REPORTED | SLOW);
                let is_empty = client.queue.is_empty() && left == 0 && client.log == LogId::NONE;
                assert!(is_empty, "slot {slot} is free: {client:?}");
                continue;
            }
            assert!(
                !in_turn || client.has(IN_TURN) && !is_blocked,
                "slot {slot} pins a segment of the turn: {client:?}"
            );
            let is_known = is_blocked || client.has(DIRTY) || self.visited == Some(slot);
            assert!(
                is_known || !client.has_own(),
                "nobody will write what waits for slot {slot}: {client:?}"
            );
            self.check_member(slot);
        }
        for log in &self.logs {
            log.check_invariants(&self.store.segments, |segment| found.point_at(segment));
        }
        let members: usize = self.logs.iter().map(|log| log.ring.live_count()).sum();
        let in_logs = self.clients.iter().filter(|it| it.log != LogId::NONE);
        assert_eq!(members, in_logs.count(), "members of logs");
        for arena in [&self.turn, &self.lists] {
            if let Some(segment) = arena.current() {
                found.point_at(segment.0);
            }
        }
        self.store.check_invariants(found);
        assert!(self.cork.is_idle(), "somebody is corked between turns");
    }

    /// Who is on which list, each once.
    fn check_lists(&self) {
        let mut dirty = FxHashMap::default();
        for slot in self.dirty.iter().chain(&self.dirty_later) {
            *dirty.entry(*slot).or_insert(0) += 1;
        }
        let mut overflowed = FxHashMap::default();
        for slot in &self.overflowed {
            *overflowed.entry(*slot).or_insert(0) += 1;
        }
        for (slot, client) in (0_u32..).zip(&self.clients) {
            let count = |list: &FxHashMap<u32, i32>| list.get(&slot).copied().unwrap_or(0);
            assert_eq!(count(&dirty), i32::from(client.has(DIRTY)), "slot {slot}");
            assert_eq!(
                count(&overflowed),
                i32::from(client.has(REPORTED)),
                "slot {slot}"
            );
            let flags = [
                BLOCKED,
                DIRTY,
                OVERFLOWED,
                REPORTED,
                IN_TURN,
                CUT,
                UNDELIVERED,
                SLOW,
            ];
            let known = flags.iter().fold(0, |all, flag| all | flag);
            assert_eq!(client.flags & !known, 0);
        }
        let mut slow = FxHashMap::default();
        for slot in self.slow.listed() {
            *slow.entry(slot).or_insert(0) += 1;
        }
        for (slot, client) in (0_u32..).zip(&self.clients) {
            let count = slow.get(&slot).copied().unwrap_or(0);
            assert_eq!(count, i32::from(client.has(SLOW)), "slot {slot}");
            assert!(client.has(SLOW) || !client.has(BLOCKED), "slot {slot}");
        }
        let blocked = self.clients.iter().filter(|client| client.has(BLOCKED));
        assert_eq!(self.blocked_count(), blocked.count() as u64);
        let queued: u64 = self.clients.iter().map(|client| client.queue.bytes()).sum();
        assert_eq!(self.queued_bytes(), queued, "bytes of all queues");
        let mut turning = FxHashMap::default();
        for id in &self.turning {
            *turning.entry(id.0).or_insert(0) += 1;
        }
        for (id, log) in (0..).zip(&self.logs) {
            let count = turning.get(&id).copied().unwrap_or(0);
            assert_eq!(count, i32::from(log.is_listed), "log {id}");
        }
    }

    /// A member stands in the ring where it thinks, which leads past it if it lacks something.
    fn check_member(&self, slot: u32) {
        let client = &self.clients[slot as usize];
        let is_judged = self.unjudged.is_noted(slot);
        if client.log == LogId::NONE {
            assert!(!is_judged, "slot {slot} has no limit");
            return;
        }
        assert!(!is_judged || !client.has(BLOCKED), "slot {slot} was judged");
        let log = &self.logs[usize::from(client.log.0)];
        assert_eq!(log.ring.slot_at(client.member), Some(slot), "in the ring");
        if log.is_lacked(client.member) {
            let cursor = log.cursor(client.member);
            assert!(cursor <= log.end_sequence(), "slot {slot}");
            assert!(
                log.is_listed && log.ring.is_to_visit(client.member),
                "a broadcast never gets to slot {slot}: {client:?}"
            );
        }
    }
}
