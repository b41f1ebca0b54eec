//! How many files the caches of a process may keep open, so that clients have descriptors too.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

/// The caches that keep files open.
#[derive(Debug)]
pub(super) struct Holders {
    count: AtomicUsize,
    /// Files that they would keep open if all of them might.
    wanted: AtomicUsize,
}

static OF_PROCESS: Holders = Holders::new();

impl Holders {
    pub(super) const fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
        }
    }
}

/// The part of one cache: of what all together may keep open, the same for each. By the number of
/// caches and not by what they keep, so that the one that is asked first cannot take it all.
#[derive(Debug)]
pub(super) struct Share {
    holders: &'static Holders,
    wanted: usize,
    all: usize,
}

impl Share {
    /// That of one more cache of this process, until it is dropped. It is never more than `wanted`.
    pub(super) fn of_process(wanted: usize) -> Self {
        Self::new(&OF_PROCESS, wanted, for_all_caches())
    }

    pub(super) fn new(holders: &'static Holders, wanted: usize, all: usize) -> Self {
        holders
            .count
            .fetch_add(usize::from(wanted > 0), Ordering::Relaxed);
        holders.wanted.fetch_add(wanted, Ordering::Relaxed);
        Self {
            holders,
            wanted,
            all,
        }
    }

    /// In files. It becomes less when another cache is made.
    pub(super) fn files(&self) -> usize {
        let count = self.holders.count.load(Ordering::Relaxed).max(1);
        self.wanted.min(self.all / count)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let counts = usize::from(self.wanted > 0);
        self.holders.count.fetch_sub(counts, Ordering::Relaxed);
        self.holders
            .wanted
            .fetch_sub(self.wanted, Ordering::Relaxed);
    }
}

/// Of all files that the process may open, an eighth.
fn for_all_caches() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit / 8).unwrap_or(usize::MAX)
    })
}

/// Most files that all caches of the process together keep open, as they are now.
pub(crate) fn kept_open_at_most() -> usize {
    for_all_caches().min(OF_PROCESS.wanted.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_caches_together_stay_within_what_one_alone_might() {
        let holders: &'static Holders = Box::leak(Box::new(Holders::new()));
        let first = Share::new(holders, 1024, 32);
        assert_eq!(first.files(), 32);
        let others: Vec<Share> = (0..7).map(|_| Share::new(holders, 1024, 32)).collect();
        let _off = Share::new(holders, 0, 32);
        let all = || others.iter().chain([&first]).map(Share::files);
        assert_eq!(all().sum::<usize>(), 32);
        assert_eq!(holders.wanted.load(Ordering::Relaxed), 8 * 1024);
        drop(others);
        assert_eq!(first.files(), 32);
        assert_eq!(Share::new(holders, 3, 32).files(), 3);
    }
}
