//! That each range is in one queue, and each source and segment known to those that are in queues.

use super::{NIL, Queue, Store};
use crate::output::segments::Kind;
use rustc_hash::{FxHashMap, FxHashSet};

/// What all queues and logs together are found to hold.
#[derive(Debug, Default)]
pub(in crate::output) struct Found {
    /// By segment: how many point at it.
    pub(in crate::output) pointers: FxHashMap<u32, u32>,
    ranges: FxHashSet<u32>,
    sources: FxHashSet<u32>,
}

impl Found {
    /// One more points at the segment.
    pub(in crate::output) fn point_at(&mut self, segment: u32) {
        *self.pointers.entry(segment).or_default() += 1;
    }
}

impl Store {
    /// Looks through one queue. Whether anything of it lies in a segment of the turn.
    pub(in crate::output) fn check_queue(&self, queue: &Queue, found: &mut Found) -> bool {
        let (mut index, mut last, mut bytes, mut in_turn) = (queue.head, NIL, 0, false);
        while index != NIL {
            let range = &self.ranges[index];
            assert!(found.ranges.insert(index), "range {index} is queued twice");
            if range.is_source() {
                let key = range.segment.0;
                assert!(found.sources.insert(key), "source {key} is queued twice");
                let pulled = self.sources.get(key as usize);
                assert!(pulled.is_some_and(|pulled| pulled.left > 0), "no source");
            } else {
                found.point_at(range.segment.0);
                bytes += self.segments.bytes(range.piece()).len() as u64;
                in_turn |= self.segments.kind(range.segment) == Kind::Turn;
            }
            (last, index) = (index, range.next);
        }
        assert_eq!(queue.tail, last, "the end of a queue");
        assert_eq!(queue.bytes, bytes, "bytes of a queue");
        in_turn
    }

    /// When all queues were looked through, and all else that points at segments.
    pub(in crate::output) fn check_invariants(&self, mut found: Found) {
        assert_eq!(self.ranges.count, found.ranges.len(), "ranges in queues");
        assert_eq!(self.sources.len(), found.sources.len(), "sources in queues");
        let mut free = self.ranges.free;
        while free != NIL {
            assert!(found.ranges.insert(free), "range {free} is free and queued");
            free = self.ranges[free].next;
        }
        assert_eq!(self.ranges.entries.len(), found.ranges.len(), "ranges");
        self.segments.check_invariants(&found.pointers);
    }
}
