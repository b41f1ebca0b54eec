//! Who is open on which endpoint, and what they did so far.
//!
//! Answers at once, inside a callback too; the connections themselves are out of reach there.

mod invariants;

use crate::client_id::{ClientId, SLOT_BITS};
use crate::http::Address;
use crate::moment::{Moment, Stamp};
use crate::websocket::Received;
use slab::Slab;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

/// What is known of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// Where it is, as [`Request::client_address`](crate::Request::client_address) of its opening
    /// handshake said.
    pub remote_address: Address,
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

/// Where a client is, in six bytes. An IPv4 address and its port lie in them; of any other they hold
/// the place in a table beside. A place has less than 25 bits and no port, and no client has an address
/// in 0.0.0.0/8, which tells the two, also where a proxy told of an address without a port.
#[derive(Clone, Copy, Debug)]
struct PackedAddress {
    high: u16,
    low: u16,
    port: u16,
}

impl PackedAddress {
    fn pack(address: &Address, others: &mut Slab<Address>) -> Self {
        let (bits, port) = match address {
            Address::Ip(SocketAddr::V4(v4)) if v4.port() != 0 || v4.ip().octets()[0] != 0 => {
                (v4.ip().to_bits(), v4.port())
            }
            other => {
                let place = others.insert(other.clone());
                (u32::try_from(place).expect("one for each of 2^24 slots"), 0)
            }
        };
        let [a, b, c, d] = bits.to_be_bytes();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        Self { high, low, port }
    }

    fn bits(self) -> u32 {
        u32::from(self.high) << 16 | u32::from(self.low)
    }

    /// The place in the table, if it has one.
    fn place(self) -> Option<usize> {
        (self.port == 0 && self.high < 0x100).then_some(self.bits() as usize)
    }

    fn unpack(self, others: &Slab<Address>) -> Address {
        match self.place() {
            Some(place) => others[place].clone(),
            None => Address::Ip((Ipv4Addr::from_bits(self.bits()), self.port).into()),
        }
    }
}

/// One place in the table of clients: 56 bytes, since an idle client has one too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The client's id, with its endpoint in place of the slot, which is the entry's own; or
    /// [`NOBODY`] there: not (or no longer) an open WebSocket client.
    key: u64,
    pub(crate) received: Received,
    remote_address: PackedAddress,
    opened: Stamp,
    /// When bytes were last read and taken; [`Moment::START`] is never, since no event is before
    /// the first millisecond.
    read: Stamp,
    sent: Stamp,
}

/// What one read of a client brought, until it is counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Uncounted {
    pub(crate) slot: u32,
    /// Above zero, if anything is to be counted.
    pub(crate) bytes: u64,
    /// Messages of one frame each.
    pub(crate) messages: u64,
}

/// In place of an endpoint.
const NOBODY: u64 = (1 << SLOT_BITS) - 1;

impl Entry {
    fn key_of(id: ClientId, endpoint: u16) -> u64 {
        id.as_u64() & !NOBODY | u64::from(endpoint)
    }

    fn endpoint(&self) -> Option<u16> {
        u16::try_from(self.key & NOBODY).ok()
    }

    /// Counts what came, and that the socket took bytes, if it did.
    #[inline]
    pub(crate) fn count(&mut self, came: Uncounted, took: bool, now: Moment) {
        self.received.bytes += came.bytes;
        self.received.frames += came.messages;
        self.received.messages += came.messages;
        if came.bytes > 0 {
            self.read = now.into();
        }
        if took {
            self.sent = now.into();
        }
    }

    const fn id(&self, slot: u32) -> ClientId {
        ClientId::from_u64(self.key & !NOBODY | slot as u64)
    }
}

/// All clients by slot.
#[derive(Debug)]
pub(crate) struct Directory {
    started: Instant,
    entries: Vec<Entry>,
    /// Addresses that do not fit in an entry.
    addresses: Slab<Address>,
}

impl Directory {
    /// Nobody. `started` is what [`Moment`]s count from.
    pub(crate) const fn new(started: Instant) -> Self {
        Self {
            started,
            entries: Vec::new(),
            addresses: Slab::new(),
        }
    }

    /// What moments are counted from.
    pub(crate) const fn started(&self) -> Instant {
        self.started
    }

    /// Makes room for `clients` slots.
    pub(crate) fn reserve(&mut self, clients: usize) {
        self.entries.reserve(clients);
    }

    /// A client became a member of `endpoint`.
    pub(crate) fn open(
        &mut self,
        id: ClientId,
        endpoint: u16,
        remote_address: &Address,
        now: Moment,
    ) {
        let entry = Entry {
            key: Entry::key_of(id, endpoint),
            received: Received::default(),
            remote_address: PackedAddress::pack(remote_address, &mut self.addresses),
            opened: now.into(),
            read: Moment::START.into(),
            sent: Moment::START.into(),
        };
        let slot = id.slot() as usize;
        if slot >= self.entries.len() {
            // Slots below it that never opened a WebSocket hold an entry that is nobody's.
            self.entries.resize(
                slot + 1,
                Entry {
                    key: NOBODY,
                    ..entry
                },
            );
        }
        self.entries[slot] = entry;
    }

    /// The id is dead from now on. Whether it was alive.
    pub(crate) fn retire(&mut self, id: ClientId) -> bool {
        if self.endpoint_of(id).is_none() {
            return false;
        }
        let entry = &mut self.entries[id.slot() as usize];
        entry.key |= NOBODY;
        if let Some(place) = entry.remote_address.place() {
            self.addresses.remove(place);
        }
        true
    }

    /// The slot of `id`, if it is an open client of `endpoint`.
    #[inline]
    pub(crate) fn member(&self, id: ClientId, endpoint: u16) -> Option<u32> {
        let entry = self.entries.get(id.slot() as usize)?;
        (entry.key == Entry::key_of(id, endpoint)).then_some(id.slot())
    }

    /// The endpoint that `id` is an open client of.
    pub(crate) fn endpoint_of(&self, id: ClientId) -> Option<u16> {
        let entry = self.entries.get(id.slot() as usize)?;
        let endpoint = entry.endpoint()?;
        (entry.id(id.slot()) == id).then_some(endpoint)
    }

    /// The id of the open client in `slot`.
    pub(crate) fn id_at(&self, slot: u32) -> Option<ClientId> {
        let entry = self.entries.get(slot as usize)?;
        entry.endpoint().map(|_| entry.id(slot))
    }

    /// When the client in `slot` was opened.
    pub(crate) fn opened(&self, slot: u32) -> Moment {
        let entry = self.entries.get(slot as usize);
        entry.map_or(Moment::START, |entry| entry.opened.into())
    }

    /// The entry of a client that was opened.
    #[inline]
    pub(crate) fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)
    }

    /// The socket of `slot` gave `len` bytes.
    #[inline]
    pub(crate) fn count_read(&mut self, slot: u32, len: usize, now: Moment) {
        if let Some(entry) = self.entry_mut(slot) {
            entry.received.bytes += len as u64;
            entry.read = now.into();
        }
    }

    /// The socket of `slot` took bytes.
    #[inline]
    pub(crate) fn note_sent(&mut self, slot: u32, now: Moment) {
        if let Some(entry) = self.entry_mut(slot) {
            entry.sent = now.into();
        }
    }

    /// The answer to `info`, but for what the output knows.
    pub(crate) fn info(&self, slot: u32) -> Option<ClientInfo> {
        let entry = self.entries.get(slot as usize)?;
        let at = |stamp: Stamp| Moment::from(stamp).instant(self.started);
        let ever = |stamp: Stamp| (Moment::from(stamp) > Moment::START).then(|| at(stamp));
        Some(ClientInfo {
            remote_address: entry.remote_address.unpack(&self.addresses),
            bytes_read: entry.received.bytes,
            frames_read: entry.received.frames,
            messages_read: entry.received.messages,
            opened: at(entry.opened),
            last_read: ever(entry.read),
            last_sent: ever(entry.sent),
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
    use crate::http::UnixAddress;

    fn directory() -> (Directory, Address, Moment) {
        (
            Directory::new(Instant::now()),
            Address::Ip(([127, 0, 0, 1], 80).into()),
            Moment::from_millis(1),
        )
    }

    #[test]
    fn a_client_is_a_member_of_its_endpoint_alone() {
        let (mut directory, address, now) = directory();
        let id = ClientId::new(3, 1);
        directory.open(id, 1, &address, now);
        assert_eq!(directory.member(id, 1), Some(3));
        assert_eq!(directory.member(id, 0), None);
        assert_eq!(directory.id_at(2), None);
    }

    #[test]
    fn a_retired_id_is_dead_and_a_later_client_in_its_slot_is_another() {
        let (mut directory, address, now) = directory();
        let (first, second) = (ClientId::new(0, 1), ClientId::new(0, 2));
        directory.open(first, 0, &address, now);
        assert!(directory.retire(first));
        assert!(!directory.retire(first));
        directory.open(second, 0, &address, now);
        assert_eq!(directory.member(first, 0), None);
        assert!(!directory.retire(first));
        assert_eq!(directory.member(second, 0), Some(0));
    }

    #[test]
    fn never_is_told_from_at_once() {
        let (mut directory, address, now) = directory();
        directory.open(ClientId::new(0, 0), 0, &address, now);
        assert_eq!(directory.info(0).map(|info| info.last_read), Some(None));
        directory.count_read(0, 5, now);
        let info = directory.info(0).expect("open");
        assert!(info.last_read.is_some() && info.last_sent.is_none());
        assert_eq!(info.bytes_read, 5);
    }

    #[test]
    fn addresses_of_all_families_come_back_and_leave_nothing_behind() {
        let (mut directory, _, now) = directory();
        let ips = [
            "1.2.3.4:65535",
            "1.0.0.0:0",
            "255.255.255.255:0",
            "0.1.2.3:1",
            "[2001:db8::1]:443",
            "[fe80::1%7]:9",
            "0.255.255.255:0",
            "[::1]:1",
        ];
        let ips = ips.map(|text| Address::Ip(text.parse().expect("an address")));
        let unix = [UnixAddress::new(b"/a"), UnixAddress::UNNAMED].map(Address::Unix);
        for (generation, address) in ips.into_iter().chain(unix).enumerate() {
            let id = ClientId::new(2, generation as u64);
            directory.open(id, 9, &address, now);
            let info = directory.info(2).expect("open");
            assert_eq!(info.remote_address, address);
            let is_beside = !directory.addresses.is_empty();
            assert_eq!(is_beside, generation > 3, "{address}");
            assert_eq!(directory.endpoint_of(id), Some(9));
            assert!(directory.retire(id));
            assert!(directory.addresses.is_empty(), "{address}");
        }
    }

    #[test]
    fn the_last_place_is_told_from_the_first_address() {
        let packed = |high, low| {
            let address = PackedAddress { high, low, port: 0 };
            address.place()
        };
        assert_eq!(packed(0x00FF, 0xFFFF), Some((1 << SLOT_BITS) - 1));
        assert_eq!(packed(0x0100, 0), None);
    }

    #[test]
    fn an_entry_takes_56_bytes() {
        assert_eq!(size_of::<Entry>(), 56);
    }
}
