//! The slab of clients. A slot is used again; an id never is.

use crate::client_id::{ClientId, MAX_GENERATION, SLOT_BITS};
use crate::event_loop::socket::Socket;
use crate::protocol::Protocol;
use crate::timer_wheel::TimerKey;
use slab::Slab;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// One client: its socket, what it speaks, and what the loop has to remember of it.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact of a socket"
)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) socket: Socket,
    /// The host whose listener accepted it.
    pub(crate) host: u16,
    pub(crate) protocol: Protocol,
    /// The timer of its nearest deadline, and what that was when it was set.
    pub(crate) armed: Option<(TimerKey, Instant)>,
    /// When the socket last took bytes; while it takes none, the write timeout runs from here.
    pub(crate) progress: Instant,
    /// Input that was read before its reads paused.
    pub(crate) held: Option<Box<Held>>,
    /// Bytes that it holds of the server's total for half-read input.
    pub(crate) buffered_bytes: usize,
    /// The socket may have input: an edge came, and no read has found it empty since.
    pub(crate) readable: bool,
    /// The peer shut down its sending side: a short read does not mean drained.
    pub(crate) read_closed: bool,
    /// The end of the input was read.
    pub(crate) at_end: bool,
    /// On the list of those that are to be read.
    pub(crate) listed: bool,
    /// The backlog passed the soft limit and is not below it again: reads pause.
    pub(crate) above_soft: bool,
    /// Output was left when it was last written.
    pub(crate) waiting: bool,
    /// Our sending side is shut down.
    pub(crate) shut_down: bool,
    /// To be freed at the end of the turn.
    pub(crate) doomed: bool,
}

/// Input that waits, from an offset.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Vec<u8>,
    pub(crate) from: usize,
}

/// The clients by slot.
#[derive(Debug)]
pub(crate) struct Clients {
    /// `None`: a slot whose generations are spent.
    slab: Slab<Option<Client>>,
    /// By slot: the generation of its next client.
    generations: Vec<u64>,
    /// The generations of this server: those of another in the same process are others.
    first_generation: u64,
    last_generation: u64,
    spent: usize,
}

/// Servers made in this process so far.
static SERVER_COUNT: AtomicU64 = AtomicU64::new(0);
/// Generations that each slot of one server has: 4,096 servers have ids of their own.
const GENERATIONS: u64 = 1 << 28;

impl Clients {
    /// Reserves the table at once: to grow a large one would stop the world for the copy.
    pub(crate) fn with_capacity(clients: usize) -> Self {
        let most = (MAX_GENERATION + 1) / GENERATIONS - 1;
        let server = SERVER_COUNT.fetch_add(1, Ordering::Relaxed).min(most);
        let first_generation = server * GENERATIONS;
        Self {
            slab: Slab::with_capacity(clients),
            generations: Vec::with_capacity(clients),
            first_generation,
            last_generation: first_generation + GENERATIONS - 1,
            spent: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len() - self.spent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id that the next client gets; `None` if no slot is left.
    pub(crate) fn next_id(&mut self) -> Option<ClientId> {
        loop {
            let slot = self.slab.vacant_key();
            if slot >= 1 << SLOT_BITS {
                return None;
            }
            if slot == self.generations.len() {
                self.generations.push(self.first_generation);
            }
            let generation = self.generations[slot];
            if generation <= self.last_generation {
                return Some(ClientId::new(u32::try_from(slot).ok()?, generation));
            }
            // After 2^28 clients in it: the slot is never used again.
            self.slab.insert(None);
            self.spent += 1;
        }
    }

    /// Inserts a client whose id [`next_id`](Self::next_id) just gave.
    pub(crate) fn insert(&mut self, client: Client) {
        let id = client.id;
        let slot = self.slab.insert(Some(client));
        debug_assert_eq!(slot, id.slot() as usize, "the id was of the vacant slot");
        self.generations[slot] += 1;
    }

    /// The client in `slot`, unless it is doomed.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Client> {
        self.slab
            .get_mut(slot as usize)?
            .as_mut()
            .filter(|client| !client.doomed)
    }

    /// The client that still has this id, unless it is doomed.
    pub(crate) fn by_id(&mut self, id: ClientId) -> Option<&mut Client> {
        self.get_mut(id.slot()).filter(|client| client.id == id)
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Client> {
        let entry = self.slab.get(slot as usize)?;
        if entry.is_none() {
            return None;
        }
        self.slab.remove(slot as usize)
    }

    /// The slots in use.
    pub(crate) fn slots(&self) -> Vec<u32> {
        self.slab
            .iter()
            .filter_map(|(_, client)| client.as_ref())
            .map(|client| client.id.slot())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_whose_generations_are_spent_is_never_used_again() {
        let mut clients = Clients::with_capacity(4);
        let first = clients.next_id().expect("a slot");
        assert_eq!(first.slot(), 0);
        clients.generations[0] = clients.last_generation + 1;
        assert_eq!(clients.next_id().map(ClientId::slot), Some(1));
        assert!(clients.is_empty() && clients.slots().is_empty());
        assert!(clients.get_mut(0).is_none() && clients.remove(0).is_none());
    }

    #[test]
    fn ids_of_two_servers_in_one_process_differ() {
        let ids = [(); 3].map(|()| Clients::with_capacity(1).next_id().expect("a slot"));
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        assert!(ids.iter().all(|id| id.slot() == 0));
    }
}
