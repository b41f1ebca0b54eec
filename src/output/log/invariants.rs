//! That a log keeps what somebody lacks, in order, and nothing else.

use super::Log;
use crate::output::segments::Segments;

impl Log {
    /// Calls `point_at` with each segment that the log points at.
    pub(in crate::output) fn check_invariants(
        &self,
        segments: &Segments,
        mut point_at: impl FnMut(u32),
    ) {
        self.ring.check_invariants();
        for placed in &self.placed {
            point_at(placed.segment.0);
        }
        let starts = self.placed.iter().map(|placed| placed.start);
        assert!(starts.is_sorted(), "segments of a log");
        let positions = self.messages.iter().map(|mark| mark.position);
        assert!(positions.is_sorted(), "messages of a log");
        assert!(self.is_listed || self.messages.is_empty(), "a log rests");
        assert!(self.ring.live_count() > 0 || self.messages.is_empty());
        let end = self.mark(self.end_sequence()).position;
        assert!(self.begin.position <= end);
        let pieces = self.pieces(self.begin.position, end);
        let kept: u64 = pieces.map(|piece| segments.bytes(piece).len() as u64).sum();
        assert_eq!(kept, end - self.begin.position, "bytes of a log");
        assert!(self.wrap_sequence <= self.end_sequence());
    }
}
