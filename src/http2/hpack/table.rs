//! The entries that an index may mean (RFC 7541 section 2.3): the static ones, which all
//! connections share, and behind them the dynamic ones, which the peer of one connection put there.

use std::collections::VecDeque;

/// Largest size of a dynamic table, and its size at first: what `SETTINGS_HEADER_TABLE_SIZE` is
/// where nobody changes it, and we do not.
pub(super) const MAX_SIZE_BYTES: usize = 4096;

/// What an entry counts for beside its name and value (section 4.1).
const ENTRY_OVERHEAD_BYTES: usize = 32;

/// Smallest allocation for the names and values of a dynamic table.
const MIN_CAPACITY_BYTES: usize = 256;

const STATIC_COUNT: usize = 61;

/// Appendix A. Index 1 is the first.
pub(super) static STATIC: [(&[u8], &[u8]); STATIC_COUNT] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// The entry of the static table with that index.
#[inline]
pub(super) fn static_entry(index: usize) -> Option<(&'static [u8], &'static [u8])> {
    STATIC.get(index.checked_sub(1)?).copied()
}

/// The dynamic table of one connection.
///
/// Names and values lie one behind the other in one buffer, the newest last, and are lent from
/// there. What evicted entries leave at its front goes when the space is needed: the newest entries
/// may then be moved, never more than 4,096 bytes.
#[derive(Debug)]
pub(super) struct DynamicTable {
    bytes: Vec<u8>,
    /// The newest first, as they are counted.
    entries: VecDeque<Entry>,
    size_bytes: usize,
    max_size_bytes: usize,
}

/// Where the name of an entry begins; its value follows it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u16,
    name_len: u16,
    value_len: u16,
}

impl Entry {
    fn size_bytes(self) -> usize {
        usize::from(self.name_len) + usize::from(self.value_len) + ENTRY_OVERHEAD_BYTES
    }
}

impl DynamicTable {
    pub(super) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            entries: VecDeque::new(),
            size_bytes: 0,
            max_size_bytes: MAX_SIZE_BYTES,
        }
    }

    /// The entry with that index, static or dynamic (section 2.3.3).
    #[inline]
    pub(super) fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        if let Some(entry) = static_entry(index) {
            return Some(entry);
        }
        let entry = self.entries.get(index.checked_sub(STATIC_COUNT + 1)?)?;
        let (name, rest) = self
            .bytes
            .get(usize::from(entry.start)..)?
            .split_at_checked(usize::from(entry.name_len))?;
        Some((name, rest.get(..usize::from(entry.value_len))?))
    }

    /// Inserts an entry, after the oldest made room for it (section 4.4). One that is larger than
    /// the table only empties it.
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let len = name.len() + value.len();
        let size_bytes = len + ENTRY_OVERHEAD_BYTES;
        self.evict_to(self.max_size_bytes.saturating_sub(size_bytes));
        if size_bytes > self.max_size_bytes {
            return;
        }
        if self.bytes.len() + len > self.bytes.capacity() {
            self.make_room(len);
        }
        self.entries.push_front(Entry {
            start: narrow(self.bytes.len()),
            name_len: narrow(name.len()),
            value_len: narrow(value.len()),
        });
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.size_bytes += size_bytes;
    }

    /// Changes how large the table may be (section 4.3), which is at most [`MAX_SIZE_BYTES`]. A
    /// table that is empty then owns nothing any more.
    pub(super) fn set_max_size_bytes(&mut self, max_size_bytes: usize) {
        debug_assert!(max_size_bytes <= MAX_SIZE_BYTES);
        self.max_size_bytes = max_size_bytes;
        self.evict_to(max_size_bytes);
        if self.entries.is_empty() {
            self.bytes = Vec::new();
            self.entries = VecDeque::new();
        }
    }

    /// Evicts the oldest entries until no more than `size_bytes` are left.
    fn evict_to(&mut self, size_bytes: usize) {
        while self.size_bytes > size_bytes
            && let Some(entry) = self.entries.pop_back()
        {
            self.size_bytes -= entry.size_bytes();
        }
    }

    /// Gives up what evicted entries left, and then allocates if `len` bytes more still do not fit.
    #[cold]
    fn make_room(&mut self, len: usize) {
        let oldest = self.entries.back();
        let unused = oldest.map_or(self.bytes.len(), |entry| usize::from(entry.start));
        self.bytes.drain(..unused);
        for entry in &mut self.entries {
            entry.start -= narrow(unused);
        }
        let needed = self.bytes.len() + len;
        if needed > self.bytes.capacity() {
            let capacity = needed.next_power_of_two().max(MIN_CAPACITY_BYTES);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
    }

    /// Memory on the heap.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// The size as section 4.1 counts it.
    #[cfg(test)]
    pub(super) const fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

/// A length or a place in the buffer.
fn narrow(len: usize) -> u16 {
    u16::try_from(len).expect("a table has at most 4,096 bytes")
}

#[cfg(test)]
mod tests;
