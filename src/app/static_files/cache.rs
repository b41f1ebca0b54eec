//! What is kept of the files that were asked for last, for how long, and how much of it.
//!
//! Knows no file: an entry is what [`Kept`] says of it. Whether one is still right, only the file
//! system knows; here it is said when that is to be asked again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use slab::Slab;

use super::share::Share;

/// What [`StaticFiles`](crate::StaticFiles) keeps of files that were asked for.
///
/// ```no_run
/// use aerys::{FileCache, StaticFiles};
/// let cache = FileCache { max_bytes: 256 * 1024 * 1024, ..FileCache::default() };
/// let files = StaticFiles::new("public")?.cache(cache);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileCache {
    /// Paths that something is kept for. Default 1,024. With 0 nothing is kept: each request opens
    /// its file.
    pub max_entries: usize,
    /// Bytes of all that is kept in memory. Default 32 MiB. One list of a directory that is longer is
    /// kept beside it for a second: to make it takes too long to do so for each request.
    pub max_bytes: usize,
    /// Longest file that is kept in memory, in bytes. Default 64 KiB. On Linux, what is longer than
    /// 2 KiB is kept open instead as long as [`max_open_files`](Self::max_open_files) allows: to
    /// send from there costs less than to copy.
    pub max_file_bytes: usize,
    /// Files that are kept open. Default 1,024. All caches of the process together keep an eighth of the
    /// files that it may open at most, each the same part of that: those of clients are not to run out,
    /// and [`max_connections`](crate::Config::max_connections) leaves them as much room where it is not
    /// set.
    pub max_open_files: usize,
}

impl Default for FileCache {
    fn default() -> Self {
        Self {
            max_entries: 1024,
            max_bytes: 32 * 1024 * 1024,
            max_file_bytes: 64 * 1024,
            max_open_files: 1024,
        }
    }
}

/// How long an entry is right without asking the file system.
pub(super) const TRUSTED: Duration = Duration::from_secs(1);

/// How long a file is kept open that nobody asks for: one that was deleted takes room until then.
/// They are looked for with each request, and by a timer of the server.
const IDLE: Duration = Duration::from_secs(20);

/// How often files are to be looked for that nobody asks for.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Longest file that is better in memory than open, in bytes. Measured over loopback: one of 1 KiB
/// takes 7.4 µs from memory and 9.2 from the file, one of 16 KiB 15.7 and 10.6.
const SHORT_BYTES: usize = if cfg!(target_os = "linux") {
    2 * 1024
} else {
    usize::MAX // there, a file that is open is read each time
};

/// What an entry costs beyond what it says.
const ENTRY_BYTES: usize = 512;

/// What can be kept.
pub(super) trait Kept {
    /// Its bytes in memory.
    fn bytes(&self) -> usize;
    /// Files that it keeps open.
    fn open_files(&self) -> usize;
    /// Whether it takes so long to make that it is kept for its second however large it is.
    fn takes_long(&self) -> bool {
        false
    }
}

struct Entry<T> {
    key: Box<[u8]>,
    value: T,
    /// When the file system was asked last.
    checked: Instant,
    /// Counts the uses of all: the lowest is the one longest ago.
    used: u64,
    bytes: usize,
    open_files: usize,
}

/// See the module.
pub(super) struct Cache<T> {
    limits: FileCache,
    share: Share,
    places: HashMap<Box<[u8]>, usize>,
    entries: Slab<Entry<T>>,
    bytes: usize,
    open_files: usize,
    uses: u64,
    swept: Option<Instant>,
    /// The last that [takes long](Kept::takes_long) and is more than may be kept; its bytes count
    /// nowhere.
    large: Option<(Box<[u8]>, T, Instant)>,
}

/// What is known of a key.
pub(super) enum Known<T> {
    /// It may be used.
    Fresh(T),
    /// It may be used if the file system says so: then it is to be [renewed](Cache::renew).
    Stale(T),
    Nothing,
}

impl<T: Kept + Clone> Cache<T> {
    /// Keeps nothing yet.
    pub(super) fn new(limits: FileCache) -> Self {
        let is_off = limits.max_entries == 0;
        let wanted = if is_off { 0 } else { limits.max_open_files };
        Self::with_share(limits, Share::of_process(wanted))
    }

    fn with_share(limits: FileCache, share: Share) -> Self {
        Self {
            limits,
            share,
            places: HashMap::new(),
            entries: Slab::new(),
            bytes: 0,
            open_files: 0,
            uses: 0,
            swept: None,
            large: None,
        }
    }

    /// What is kept for `key`.
    pub(super) fn find(&mut self, key: &[u8], now: Instant) -> Known<T> {
        let Some(&place) = self.places.get(key) else {
            self.sweep(now);
            return match &self.large {
                Some((large, value, checked)) if **large == *key && is_fresh(*checked, now) => {
                    Known::Fresh(value.clone())
                }
                Some(_) | None => Known::Nothing,
            };
        };
        self.uses += 1;
        let entry = &mut self.entries[place];
        entry.used = self.uses;
        let value = entry.value.clone();
        if is_fresh(entry.checked, now) {
            // If it is not, it is to be renewed first: a sweep might take it.
            self.sweep(now);
            Known::Fresh(value)
        } else {
            Known::Stale(value)
        }
    }

    /// What is kept for `key` is right still.
    pub(super) fn renew(&mut self, key: &[u8], now: Instant) {
        if let Some(&place) = self.places.get(key) {
            self.entries[place].checked = now;
        }
        self.sweep(now);
    }

    /// Keeps `value`, as the file system was at `now`, in place of what was kept for `key`; not if
    /// it alone is more than may be kept.
    pub(super) fn keep(&mut self, key: &[u8], value: T, now: Instant) {
        self.forget(key);
        self.sweep(now);
        let bytes = value.bytes() + 2 * key.len() + ENTRY_BYTES;
        let open_files = value.open_files();
        if !self.make_room(1, bytes, open_files) {
            self.keep_large(key, value, now);
            return;
        }
        self.uses += 1;
        let entry = Entry {
            key: key.into(),
            value,
            checked: now,
            used: self.uses,
            bytes,
            open_files,
        };
        self.bytes += bytes;
        self.open_files += open_files;
        let place = self.entries.insert(entry);
        self.places.insert(key.into(), place);
    }

    /// What is kept for `key` became larger, or smaller.
    pub(super) fn recount(&mut self, key: &[u8]) {
        let Some(&place) = self.places.get(key) else {
            return;
        };
        let entry = &mut self.entries[place];
        let before = entry.bytes;
        entry.bytes = entry.value.bytes() + 2 * key.len() + ENTRY_BYTES;
        self.bytes = self.bytes - before + entry.bytes;
        if entry.bytes > self.limits.max_bytes {
            // Before it drives all others out.
            let (value, checked) = (entry.value.clone(), entry.checked);
            self.remove(place);
            self.keep_large(key, value, checked);
        }
        self.make_room(0, 0, 0);
    }

    /// Keeps for its second what is more than may be kept, if there is a reason to.
    fn keep_large(&mut self, key: &[u8], value: T, checked: Instant) {
        if value.takes_long() && self.limits.max_entries > 0 {
            self.large = Some((key.into(), value, checked));
        }
    }

    /// Longest file to be read into memory, in bytes: a longer one is to be kept open.
    pub(super) fn max_memory_bytes(&self) -> usize {
        let FileCache {
            max_bytes,
            max_file_bytes,
            ..
        } = self.limits;
        let most = if self.open_files < self.share.files() {
            SHORT_BYTES
        } else {
            usize::MAX
        };
        max_file_bytes.min(max_bytes).min(most)
    }

    /// Keeps nothing for `key`.
    pub(super) fn forget(&mut self, key: &[u8]) {
        if let Some(&place) = self.places.get(key) {
            self.remove(place);
        }
        self.large.take_if(|(large, _, _)| **large == *key);
    }

    /// Closes all files that are kept open, and says how many that were.
    pub(super) fn close_files(&mut self) -> usize {
        let count = self.open_files;
        self.remove_if(|entry| entry.open_files > 0);
        count
    }

    fn remove(&mut self, place: usize) {
        let entry = self.entries.remove(place);
        self.places.remove(&entry.key);
        self.bytes -= entry.bytes;
        self.open_files -= entry.open_files;
    }

    fn remove_if(&mut self, mut is_out: impl FnMut(&Entry<T>) -> bool) {
        let out = self.entries.iter().filter(|(_, entry)| is_out(entry));
        let out: Vec<usize> = out.map(|(place, _)| place).collect();
        for place in out {
            self.remove(place);
        }
    }

    /// Closes idle files, if they were not looked for just now.
    fn sweep(&mut self, now: Instant) {
        let is_due = |swept| now.saturating_duration_since(swept) >= SWEEP_INTERVAL;
        if self.swept.is_none_or(is_due) {
            self.close_idle(now);
        }
    }

    /// Closes files that nobody asked for lately.
    pub(super) fn close_idle(&mut self, now: Instant) {
        self.swept = Some(now);
        self.remove_if(|entry| {
            entry.open_files > 0 && now.saturating_duration_since(entry.checked) >= IDLE
        });
        self.large
            .take_if(|(_, _, checked)| !is_fresh(*checked, now));
    }

    /// Forgets what was used longest ago, until so much more may be kept; `false` if it never may.
    fn make_room(&mut self, entries: usize, bytes: usize, open_files: usize) -> bool {
        let (limits, max_open_files) = (self.limits, self.share.files());
        if entries > limits.max_entries || bytes > limits.max_bytes || open_files > max_open_files {
            return false;
        }
        loop {
            let lacks_files = self.open_files + open_files > max_open_files;
            let is_enough = self.entries.len() + entries <= limits.max_entries
                && self.bytes + bytes <= limits.max_bytes;
            if is_enough && !lacks_files {
                return true;
            }
            // An eighth at once, so that looking at all of them is spread over many requests.
            let is_candidate = |entry: &Entry<T>| !lacks_files || entry.open_files > 0;
            let all = self.entries.iter().map(|(_, entry)| entry);
            let mut uses: Vec<u64> = all
                .filter(|entry| is_candidate(entry))
                .map(|entry| entry.used)
                .collect();
            if uses.is_empty() {
                return false;
            }
            let eighth = uses.len() / 8;
            let (_, &mut last, _) = uses.select_nth_unstable(eighth);
            self.remove_if(|entry| is_candidate(entry) && entry.used <= last);
        }
    }
}

fn is_fresh(checked: Instant, now: Instant) -> bool {
    now.saturating_duration_since(checked) < TRUSTED
}

#[cfg(test)]
mod tests {
    use super::super::share::Holders;
    use super::*;
    use std::rc::Rc;

    /// So many bytes and so many open files.
    type Thing = Rc<(usize, usize)>;

    impl Kept for Thing {
        fn bytes(&self) -> usize {
            self.0
        }

        fn open_files(&self) -> usize {
            self.1
        }
    }

    fn cache(max_entries: usize, max_bytes: usize, max_open_files: usize) -> Cache<Thing> {
        let limits = FileCache {
            max_entries,
            max_bytes,
            max_open_files,
            ..FileCache::default()
        };
        // Alone, whatever other tests make.
        let holders: &'static Holders = Box::leak(Box::new(Holders::new()));
        Cache::with_share(limits, Share::new(holders, max_open_files, usize::MAX))
    }

    fn has(cache: &mut Cache<Thing>, key: &[u8]) -> bool {
        // Without counting as a use.
        cache.places.contains_key(key)
    }

    fn check(cache: &Cache<Thing>) {
        let entries = || cache.entries.iter().map(|(_, entry)| entry);
        assert_eq!(cache.bytes, entries().map(|entry| entry.bytes).sum());
        assert_eq!(
            cache.open_files,
            entries().map(|entry| entry.open_files).sum()
        );
        assert_eq!(cache.places.len(), cache.entries.len());
        assert!(cache.bytes <= cache.limits.max_bytes);
        assert!(cache.open_files <= cache.limits.max_open_files);
        assert!(cache.entries.len() <= cache.limits.max_entries);
    }

    #[test]
    fn an_entry_is_trusted_for_a_second_and_then_to_be_renewed() {
        let (mut cache, start) = (cache(10, 100_000, 10), Instant::now());
        assert!(matches!(cache.find(b"a", start), Known::Nothing));
        cache.keep(b"a", Rc::new((1, 0)), start);
        let just_before = start + TRUSTED.checked_sub(Duration::from_nanos(1)).unwrap();
        assert!(matches!(cache.find(b"a", just_before), Known::Fresh(_)));
        assert!(matches!(cache.find(b"a", start + TRUSTED), Known::Stale(_)));
        cache.renew(b"a", start + TRUSTED);
        assert!(matches!(cache.find(b"a", start + TRUSTED), Known::Fresh(_)));
        // Only asking renews it, and no use does.
        assert!(matches!(
            cache.find(b"a", start + 2 * TRUSTED),
            Known::Stale(_)
        ));
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let (mut cache, now) = (cache(16, 1 << 20, 10), Instant::now());
        for key in 0..16_u8 {
            cache.keep(&[key], Rc::new((1, 0)), now);
        }
        cache.find(&[0], now);
        cache.keep(b"new", Rc::new((1, 0)), now);
        check(&cache);
        let left: Vec<u8> = (0..16).filter(|key| has(&mut cache, &[*key])).collect();
        assert_eq!(left, [0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    }

    #[test]
    fn no_limit_is_ever_passed() {
        let (mut cache, now) = (cache(50, 40_000, 7), Instant::now());
        for number in 0..1000_usize {
            let thing = (number * 7919 % 9000, usize::from(number % 3 == 0));
            cache.keep(&number.to_le_bytes(), Rc::new(thing), now);
            check(&cache);
        }
        assert!(cache.entries.len() > 4);
        cache.close_files();
        check(&cache);
        assert_eq!(cache.open_files, 0);
    }

    #[test]
    fn what_is_more_than_all_may_be_is_not_kept_and_drives_nobody_out() {
        let (mut cache, now) = (cache(10, 10_000, 1), Instant::now());
        cache.keep(b"a", Rc::new((1, 1)), now);
        cache.keep(b"huge", Rc::new((10_000, 0)), now);
        cache.keep(b"many", Rc::new((1, 2)), now);
        assert!(has(&mut cache, b"a") && !has(&mut cache, b"huge") && !has(&mut cache, b"many"));
        let mut off = self::cache(0, 10_000, 1);
        off.keep(b"a", Rc::new((1, 0)), now);
        assert!(!has(&mut off, b"a"));
        check(&off);
    }

    #[test]
    fn files_that_nobody_asks_for_are_closed() {
        let (mut cache, start) = (cache(10, 100_000, 10), Instant::now());
        cache.keep(b"open", Rc::new((1, 1)), start);
        cache.keep(b"memory", Rc::new((1, 0)), start);
        cache.keep(b"busy", Rc::new((1, 1)), start);
        for second in 1..=21 {
            cache.renew(b"busy", start + Duration::from_secs(second));
        }
        assert!(!has(&mut cache, b"open") && has(&mut cache, b"memory"));
        assert!(has(&mut cache, b"busy"));
        check(&cache);
    }

    #[test]
    fn what_grew_is_counted_anew() {
        use std::cell::Cell;
        #[derive(Clone)]
        struct Growing(Rc<Cell<usize>>);
        impl Kept for Growing {
            fn bytes(&self) -> usize {
                self.0.get()
            }
            fn open_files(&self) -> usize {
                0
            }
        }
        let (size, now) = (Rc::new(Cell::new(10)), Instant::now());
        let mut cache = Cache::new(FileCache {
            max_bytes: 10_000,
            ..FileCache::default()
        });
        cache.keep(b"a", Growing(Rc::clone(&size)), now);
        let before = cache.bytes;
        size.set(500);
        cache.recount(b"a");
        assert_eq!(cache.bytes, before + 490);
        // What alone is more than all may be drives nobody out.
        let other = Growing(Rc::new(Cell::new(10)));
        cache.keep(b"other", other, now);
        size.set(20_000);
        cache.recount(b"a");
        assert!(matches!(cache.find(b"a", now), Known::Nothing));
        assert!(matches!(cache.find(b"other", now), Known::Fresh(_)));
        assert_eq!(cache.entries.len(), 1);
    }
}
