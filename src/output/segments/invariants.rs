//! That segments are counted by what points at them, and memory by what there is.

use super::{Arena, Kind, SEGMENT_BYTES, SPARE_COUNT, SPARE_LARGE_BYTES, SegmentId, Segments};
use rustc_hash::FxHashMap;

impl Arena {
    /// The segment that it points at.
    pub(in crate::output) const fn current(&self) -> Option<SegmentId> {
        self.current
    }
}

impl Segments {
    /// `pointers`: how many were found to point at each segment.
    pub(in crate::output) fn check_invariants(&self, pointers: &FxHashMap<u32, u32>) {
        let mut held = 0;
        for (id, segment) in &self.entries {
            let found = u32::try_from(id).ok().and_then(|id| pointers.get(&id));
            let found = found.copied().unwrap_or(0);
            assert_eq!(segment.pointers, found, "pointers at segment {id}");
            assert!(
                segment.kind != Kind::Private || found == 1,
                "the private segment {id} has {found} ranges"
            );
            held += segment.storage.capacity();
        }
        assert_eq!(pointers.len(), self.entries.len(), "segments");
        let sum = |buffers: &[Vec<u8>]| buffers.iter().map(Vec::capacity).sum::<usize>();
        let (spare, large) = (sum(&self.spare), sum(&self.spare_large));
        assert!(self.spare.len() <= SPARE_COUNT && spare == self.spare.len() * SEGMENT_BYTES);
        assert!(large == self.spare_large_bytes && large <= SPARE_LARGE_BYTES);
        assert_eq!(self.memory_bytes, held + spare + large, "memory");
    }
}
