//! How much is compressed at once: while it is done, nobody else is served.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Bytes of files that are compressed in each [`INTERVAL`], by all [`StaticFiles`] of a thread: the
/// longest that is compressed at all, which takes about a fifth of that time.
///
/// [`StaticFiles`]: crate::StaticFiles
pub(super) const MAX_BYTES: u64 = 1024 * 1024;

pub(super) const INTERVAL: Duration = Duration::from_millis(100);

thread_local! {
    /// When the interval began, and what was taken in it. Of a thread, since one loop is what waits.
    static TAKEN: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
}

/// Whether `len` bytes may be compressed now: then they count.
pub(super) fn take(len: u64, now: Instant) -> bool {
    let current = TAKEN.get();
    let current = current.filter(|(since, _)| now.saturating_duration_since(*since) < INTERVAL);
    let (since, taken) = current.unwrap_or((now, 0));
    let is_free = taken + len <= MAX_BYTES;
    if is_free {
        TAKEN.set(Some((since, taken + len)));
    }
    is_free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_is_given_in_each_interval_and_no_more() {
        let start = Instant::now() + Duration::from_secs(3600);
        assert!(take(MAX_BYTES - 1, start));
        assert!(!take(2, start) && take(1, start) && !take(1, start));
        let just_before = start + INTERVAL.checked_sub(Duration::from_nanos(1)).unwrap();
        assert!(!take(1, just_before));
        assert!(take(MAX_BYTES, start + INTERVAL));
        assert!(!take(1, start + INTERVAL));
        TAKEN.set(None);
        assert!(!take(MAX_BYTES + 1, start));
    }
}
