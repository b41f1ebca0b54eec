//! The slab of clients. A slot is used again; an id never is.

use crate::client_id::{ClientId, MAX_GENERATION, SLOT_BITS};
use crate::moment::{Moment, Stamp};
use crate::protocol::Protocol;
use crate::timer_wheel::TimerKey;
use slab::Slab;
use std::sync::atomic::{AtomicU64, Ordering};

/// One client: its socket, what it speaks, and what the loop has to remember of it. 48 bytes;
/// what few clients need lies in the loop's [`Asides`](crate::event_loop::Asides).
#[derive(Debug)]
pub(crate) struct Client<S> {
    pub(crate) protocol: Protocol,
    /// The timer of its nearest deadline.
    pub(crate) armed: Option<TimerKey>,
    pub(crate) socket: S,
    /// Counted from the first of this server.
    generation: u32,
    /// When the socket last took bytes; while it takes none, the write timeout runs from here.
    progress: Stamp,
    facts: u16,
}

/// What is true of a client, each one independent fact of its socket.
pub(crate) mod fact {
    /// The socket may have input: an edge came, and no read has found it empty since.
    pub(crate) const READABLE: u16 = 1;
    /// The peer shut down its sending side: a short read does not mean drained.
    pub(crate) const READ_CLOSED: u16 = 1 << 1;
    /// The end of the input was read.
    pub(crate) const AT_END: u16 = 1 << 2;
    /// On the list of those that are to be read.
    pub(crate) const LISTED: u16 = 1 << 3;
    /// The backlog passed the soft limit and is not below it again: reads pause.
    pub(crate) const ABOVE_SOFT: u16 = 1 << 4;
    /// Output was left when it was last written.
    pub(crate) const WAITING: u16 = 1 << 5;
    /// Our sending side is shut down.
    pub(crate) const SHUT_DOWN: u16 = 1 << 6;
    /// To be freed at the end of the turn.
    pub(crate) const DOOMED: u16 = 1 << 7;
    /// Input that was read before its reads paused is held.
    pub(crate) const HELD: u16 = 1 << 8;
    /// It holds some of the server's total for half-read input.
    pub(crate) const BUFFERED: u16 = 1 << 9;
    /// Its socket was full when it was last written.
    pub(crate) const FULL: u16 = 1 << 10;
    /// It is told when the socket takes output again.
    pub(crate) const WATCHED: u16 = 1 << 11;
    /// What its socket carries is TLS: its session lies in the loop's asides.
    pub(crate) const ENCRYPTED: u16 = 1 << 12;
    /// It has no socket: another client carries it.
    pub(crate) const CARRIED: u16 = 1 << 13;
    /// The end of its input came, and was not told yet, since input before it is held.
    pub(crate) const END_UNTOLD: u16 = 1 << 14;
    /// Its TLS handshake is counted as one that goes on.
    pub(crate) const SECURING: u16 = 1 << 15;
    /// Its bytes are not what its socket carries: no straight path is for it.
    pub(crate) const WRAPPED: u16 = ENCRYPTED | CARRIED;
}

impl<S> Client<S> {
    /// A client that was just accepted and has the id that [`Clients::next_id`] gave.
    pub(crate) fn new(socket: S, protocol: Protocol, now: Moment) -> Self {
        Self {
            protocol,
            armed: None,
            socket,
            generation: 0,
            progress: now.into(),
            facts: 0,
        }
    }

    /// Whether any of `facts` holds.
    #[inline]
    pub(crate) const fn is(&self, facts: u16) -> bool {
        self.facts & facts != 0
    }

    /// Whether its input pauses, was held back, ends, or is wrapped in something: not so with nearly
    /// all reads.
    #[inline]
    pub(crate) const fn is_held_up(&self) -> bool {
        self.is(fact::HELD
            | fact::LISTED
            | fact::ABOVE_SOFT
            | fact::READ_CLOSED
            | fact::AT_END
            | fact::BUFFERED
            | fact::WRAPPED)
    }

    /// All that hold.
    pub(crate) const fn facts(&self) -> u16 {
        self.facts
    }

    /// `fact` holds from now on.
    #[inline]
    pub(crate) const fn set(&mut self, fact: u16) {
        self.facts |= fact;
    }

    /// Whether `fact` holds from now on is what `value` says.
    #[inline]
    pub(crate) const fn put(&mut self, fact: u16, value: bool) {
        if value {
            self.facts |= fact;
        } else {
            self.facts &= !fact;
        }
    }

    /// `fact` does not hold any more. Whether it did.
    #[inline]
    pub(crate) const fn take(&mut self, fact: u16) -> bool {
        let held = self.facts & fact != 0;
        self.facts &= !fact;
        held
    }

    /// When the socket last took bytes, or began to be asked to.
    pub(crate) fn progress(&self) -> Moment {
        self.progress.into()
    }

    #[inline]
    pub(crate) fn note_progress(&mut self, now: Moment) {
        self.progress = now.into();
    }
}

/// The clients by slot.
#[derive(Debug)]
pub(crate) struct Clients<S> {
    /// `None`: a slot whose generations are spent.
    slab: Slab<Option<Client<S>>>,
    /// By slot: the generation of its next client, counted from the first of this server.
    generations: Vec<u32>,
    /// The first generation of this server: those of another in the same process are others.
    first_generation: u64,
    spent: usize,
}

/// Servers made in this process so far.
static SERVER_COUNT: AtomicU64 = AtomicU64::new(0);
/// Generations that each slot of one server has: 4,096 servers have ids of their own.
const GENERATIONS: u32 = 1 << 28;

impl<S> Clients<S> {
    /// Reserves the table at once: to grow a large one would stop the world for the copy.
    pub(crate) fn with_capacity(clients: usize) -> Self {
        let most = (MAX_GENERATION + 1) / u64::from(GENERATIONS) - 1;
        let server = SERVER_COUNT.fetch_add(1, Ordering::Relaxed).min(most);
        Self {
            slab: Slab::with_capacity(clients),
            generations: Vec::with_capacity(clients),
            first_generation: server * u64::from(GENERATIONS),
            spent: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len() - self.spent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn id(&self, slot: u32, generation: u32) -> ClientId {
        ClientId::new(slot, self.first_generation + u64::from(generation))
    }

    /// The id that the next client gets; `None` if no slot is left.
    pub(crate) fn next_id(&mut self) -> Option<ClientId> {
        loop {
            let slot = self.slab.vacant_key();
            if slot >= 1 << SLOT_BITS {
                return None;
            }
            if slot == self.generations.len() {
                self.generations.push(0);
            }
            let generation = self.generations[slot];
            if generation < GENERATIONS {
                return Some(self.id(u32::try_from(slot).ok()?, generation));
            }
            // After 2^28 clients in it: the slot is never used again.
            self.slab.insert(None);
            self.spent += 1;
        }
    }

    /// Inserts a client; its id is what [`next_id`](Self::next_id) just gave.
    pub(crate) fn insert(&mut self, client: Client<S>) {
        let slot = self.slab.vacant_key();
        let generation = self.generations[slot];
        self.slab.insert(Some(Client {
            generation,
            ..client
        }));
        self.generations[slot] += 1;
    }

    /// The client in `slot`, unless it is doomed.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Client<S>> {
        self.slab
            .get_mut(slot as usize)?
            .as_mut()
            .filter(|client| !client.is(fact::DOOMED))
    }

    /// The client in `slot`, also if it is doomed.
    #[inline]
    pub(crate) fn get_any_mut(&mut self, slot: u32) -> Option<&mut Client<S>> {
        self.slab.get_mut(slot as usize)?.as_mut()
    }

    /// The client that still has this id, unless it is doomed.
    #[inline]
    pub(crate) fn by_id(&mut self, id: ClientId) -> Option<&mut Client<S>> {
        let (found, client) = self.entry(id.slot())?;
        (found == id).then_some(client)
    }

    /// The client in `slot` and its id, unless it is doomed.
    #[inline]
    pub(crate) fn entry(&mut self, slot: u32) -> Option<(ClientId, &mut Client<S>)> {
        let first = self.first_generation;
        let client = self.get_mut(slot)?;
        let id = ClientId::new(slot, first + u64::from(client.generation));
        Some((id, client))
    }

    /// The id of the client in `slot`, unless it is doomed.
    #[inline]
    pub(crate) fn id_of(&mut self, slot: u32) -> Option<ClientId> {
        self.entry(slot).map(|(id, _)| id)
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Client<S>> {
        let entry = self.slab.get(slot as usize)?;
        if entry.is_none() {
            return None;
        }
        self.slab.remove(slot as usize)
    }

    /// How many slots there are, in use or not: all lie below that.
    pub(crate) fn slot_count(&self) -> u32 {
        u32::try_from(self.generations.len()).unwrap_or(u32::MAX)
    }

    /// The clients by slot, also those that are doomed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Client<S>)> {
        let slots = self.slab.iter();
        slots.filter_map(|(slot, client)| Some((u32::try_from(slot).ok()?, client.as_ref()?)))
    }

    /// The slots in use.
    pub(crate) fn slots(&self) -> Vec<u32> {
        self.slab
            .iter()
            .filter(|(_, client)| client.is_some())
            .filter_map(|(slot, _)| u32::try_from(slot).ok())
            .collect()
    }
}

/// The token of a client's events: its id, so that an event of a client that left is nobody's.
pub(super) fn token_of(client: ClientId) -> usize {
    usize::try_from(client.as_u64()).expect("64-bit tokens: see the assertion")
}

pub(super) fn client_of(token: usize) -> ClientId {
    ClientId::from_u64(token as u64)
}

const _: () = assert!(
    usize::BITS >= 64,
    "ids have 64 bits, and so must the tokens of the poll"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_whose_generations_are_spent_is_never_used_again() {
        let mut clients = Clients::<()>::with_capacity(4);
        let first = clients.next_id().expect("a slot");
        assert_eq!(first.slot(), 0);
        clients.generations[0] = GENERATIONS;
        assert_eq!(clients.next_id().map(ClientId::slot), Some(1));
        assert!(clients.is_empty() && clients.slots().is_empty());
        assert!(clients.get_mut(0).is_none() && clients.remove(0).is_none());
    }

    #[test]
    fn ids_of_two_servers_in_one_process_differ() {
        let ids = [(); 3].map(|()| Clients::<()>::with_capacity(1).next_id().expect("a slot"));
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        assert!(ids.iter().all(|id| id.slot() == 0));
    }

    #[test]
    fn a_client_takes_48_bytes_in_the_table() {
        // What the slab makes of an entry: the next vacant place, or the client.
        enum Entry {
            #[expect(dead_code, reason = "for its size")]
            Vacant(usize),
            #[expect(dead_code, reason = "for its size")]
            Occupied(Option<Client<[u8; 4]>>),
        }
        assert_eq!(size_of::<Entry>(), 48);
    }
}
