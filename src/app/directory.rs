//! Who is open on which endpoint, and what they did so far.
//!
//! Answers at once, inside a callback too; the connections themselves are out of reach there.

use crate::client_id::ClientId;
use crate::websocket::Received;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What is known of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// Where it connected from.
    pub remote_address: SocketAddr,
    /// Bytes read, frame headers included, the opening handshake excluded.
    pub bytes_read: u64,
    /// Bytes that the socket took, counted alike.
    pub bytes_sent: u64,
    /// Frames read, control frames included.
    pub frames_read: u64,
    /// Frames sent or queued, control frames included.
    pub frames_sent: u64,
    /// Whole messages read.
    pub messages_read: u64,
    /// Messages sent or queued.
    pub messages_sent: u64,
    /// When the opening handshake was accepted.
    pub opened: Instant,
    /// When bytes were last read.
    pub last_read: Option<Instant>,
    /// When the socket last took bytes.
    pub last_sent: Option<Instant>,
    /// Bytes that wait for the socket.
    pub backlog_bytes: u64,
}

/// One place in the table of clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    id: ClientId,
    /// `None`: not (or no longer) an open WebSocket client.
    endpoint: Option<u16>,
    pub(crate) remote_address: SocketAddr,
    pub(crate) received: Received,
    /// Milliseconds since the server was bound; 0 is never.
    opened_ms: u64,
    read_ms: u64,
    sent_ms: u64,
}

/// All clients by slot.
#[derive(Debug)]
pub(crate) struct Directory {
    started: Instant,
    entries: Vec<Entry>,
}

impl Directory {
    pub(crate) const fn new(started: Instant) -> Self {
        Self {
            started,
            entries: Vec::new(),
        }
    }

    /// Makes room for `clients` slots.
    pub(crate) fn reserve(&mut self, clients: usize) {
        self.entries.reserve(clients);
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started).as_millis();
        // The first millisecond counts as the second: 0 means never.
        u64::try_from(since).unwrap_or(u64::MAX).max(1)
    }

    /// A client became a member of `endpoint`.
    pub(crate) fn open(
        &mut self,
        id: ClientId,
        endpoint: u16,
        remote_address: SocketAddr,
        now: Instant,
    ) {
        let opened_ms = self.millis(now);
        let entry = Entry {
            id,
            endpoint: Some(endpoint),
            remote_address,
            received: Received::default(),
            opened_ms,
            read_ms: 0,
            sent_ms: 0,
        };
        let slot = id.slot() as usize;
        if slot >= self.entries.len() {
            // Slots below it that never opened a WebSocket hold an entry that is nobody's.
            self.entries.resize(
                slot + 1,
                Entry {
                    endpoint: None,
                    ..entry
                },
            );
        }
        self.entries[slot] = entry;
    }

    /// The id is dead from now on. Whether it was alive.
    pub(crate) fn retire(&mut self, id: ClientId) -> bool {
        match self.entries.get_mut(id.slot() as usize) {
            Some(entry) if entry.id == id => entry.endpoint.take().is_some(),
            _ => false,
        }
    }

    /// The slot of `id`, if it is an open client of `endpoint`.
    pub(crate) fn member(&self, id: ClientId, endpoint: u16) -> Option<u32> {
        let entry = self.entries.get(id.slot() as usize)?;
        (entry.id == id && entry.endpoint == Some(endpoint)).then_some(id.slot())
    }

    /// The endpoint that `id` is an open client of.
    pub(crate) fn endpoint_of(&self, id: ClientId) -> Option<u16> {
        let entry = self.entries.get(id.slot() as usize)?;
        if entry.id == id { entry.endpoint } else { None }
    }

    /// The id of the open client in `slot`.
    pub(crate) fn id_at(&self, slot: u32) -> Option<ClientId> {
        let entry = self.entries.get(slot as usize)?;
        entry.endpoint.map(|_| entry.id)
    }

    /// The entry of a client that was opened.
    pub(crate) fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)
    }

    /// The socket of `slot` gave `len` bytes.
    pub(crate) fn count_read(&mut self, slot: u32, len: usize, now: Instant) {
        let now = self.millis(now);
        if let Some(entry) = self.entry_mut(slot) {
            entry.received.bytes += len as u64;
            entry.read_ms = now;
        }
    }

    /// The socket of `slot` took bytes.
    pub(crate) fn note_sent(&mut self, slot: u32, now: Instant) {
        let now = self.millis(now);
        if let Some(entry) = self.entry_mut(slot) {
            entry.sent_ms = now;
        }
    }

    /// The answer to `info`, but for what the output knows.
    pub(crate) fn info(&self, slot: u32) -> Option<ClientInfo> {
        let entry = self.entries.get(slot as usize)?;
        let at = |ms: u64| self.started + Duration::from_millis(ms);
        let ever = |ms: u64| (ms > 0).then(|| at(ms));
        Some(ClientInfo {
            remote_address: entry.remote_address,
            bytes_read: entry.received.bytes,
            frames_read: entry.received.frames,
            messages_read: entry.received.messages,
            opened: at(entry.opened_ms),
            last_read: ever(entry.read_ms),
            last_sent: ever(entry.sent_ms),
            bytes_sent: 0,
            frames_sent: 0,
            messages_sent: 0,
            backlog_bytes: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (Directory, SocketAddr, Instant) {
        let now = Instant::now();
        (
            Directory::new(now),
            SocketAddr::from(([127, 0, 0, 1], 80)),
            now,
        )
    }

    #[test]
    fn a_client_is_a_member_of_its_endpoint_alone() {
        let (mut directory, address, now) = directory();
        let id = ClientId::new(3, 1);
        directory.open(id, 1, address, now);
        assert_eq!(directory.member(id, 1), Some(3));
        assert_eq!(directory.member(id, 0), None);
        assert_eq!(directory.id_at(2), None);
    }

    #[test]
    fn a_retired_id_is_dead_and_a_later_client_in_its_slot_is_another() {
        let (mut directory, address, now) = directory();
        let (first, second) = (ClientId::new(0, 1), ClientId::new(0, 2));
        directory.open(first, 0, address, now);
        assert!(directory.retire(first));
        assert!(!directory.retire(first));
        directory.open(second, 0, address, now);
        assert_eq!(directory.member(first, 0), None);
        assert!(!directory.retire(first));
        assert_eq!(directory.member(second, 0), Some(0));
    }

    #[test]
    fn never_is_told_from_at_once() {
        let (mut directory, address, now) = directory();
        directory.open(ClientId::new(0, 0), 0, address, now);
        assert_eq!(directory.info(0).map(|info| info.last_read), Some(None));
        directory.count_read(0, 5, now);
        let info = directory.info(0).expect("open");
        assert!(info.last_read.is_some() && info.last_sent.is_none());
        assert_eq!(info.bytes_read, 5);
    }
}
