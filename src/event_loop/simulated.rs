//! The other side of the seam: sockets in memory, and a clock that stands until it is set on.
//!
//! What a socket is given is counted and, if asked for, kept; what it gives was put there before.
//! Its events are those of epoll, edge-triggered: at registration, for new input, for its end, and,
//! once that is watched, for room where a write found too little; each says all that is so at the time
//! of the poll. One world a thread: a socket is its number in it, as a descriptor is one of the system.
//! What goes wrong in it is in `faults.rs`; as long as nobody asks for it, nothing.

pub(crate) mod faults;
mod poll;
mod socket;

use faults::{Fault, Faults};
use socket::Entry;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

pub(crate) use poll::{Simulated, SimulatedListener};
pub(crate) use socket::SimulatedSocket;

/// Most events that one poll brings: as with the kernel.
const EVENTS_PER_POLL: usize = 1024;

const LISTENING_AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1337);

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new(EVENTS_PER_POLL));
}

/// All sockets of the thread, and its time.
#[derive(Debug)]
struct World {
    sockets: Vec<Entry>,
    /// Sockets that were connected and not yet accepted.
    backlog: VecDeque<u32>,
    listener: Option<usize>,
    /// Sockets about which the poll has something to say, each once.
    changed: VecDeque<u32>,
    backlog_changed: bool,
    /// Another thread woke the loop.
    is_woken: bool,
    /// How many accepts find no descriptor.
    exhausted: usize,
    events_per_poll: usize,
    nanos: u64,
    /// By how much the calendar was set on.
    jumped: Duration,
    /// How long the last poll would have waited at most.
    timeout: Option<Duration>,
    faults: Faults,
    /// There were faults, or connections that broke: before, nothing has to be asked of either, which
    /// would be counted as instructions of the server.
    is_rough: bool,
}

/// The token of a socket that the poll says nothing of. No client's: the loop's waker has it.
const UNREGISTERED: usize = usize::MAX;

/// What one simulated socket takes in memory, apart from what waits in it.
pub(crate) const SOCKET_BYTES: usize = size_of::<Entry>();

impl World {
    /// A world without sockets, in its first moment.
    fn new(events_per_poll: usize) -> Self {
        Self {
            sockets: Vec::new(),
            backlog: VecDeque::new(),
            listener: None,
            changed: VecDeque::new(),
            backlog_changed: false,
            is_woken: false,
            exhausted: 0,
            events_per_poll,
            nanos: 0,
            jumped: Duration::ZERO,
            timeout: None,
            faults: Faults::default(),
            is_rough: false,
        }
    }

    /// Something happened to a socket that epoll would look at: input, its end, or room.
    fn change(&mut self, socket: u32) {
        let entry = &mut self.sockets[socket as usize];
        if !entry.listed && entry.token != UNREGISTERED {
            entry.listed = true;
            self.changed.push_back(socket);
        }
    }
}

/// Runs `act` on a socket of this thread's world.
fn with_socket<R>(socket: u32, act: impl FnOnce(&mut Entry) -> R) -> R {
    WORLD.with_borrow_mut(|world| act(&mut world.sockets[socket as usize]))
}

/// What a write of `bytes` to a socket does here, without a server.
#[inline]
pub(crate) fn write(socket: u32, bytes: &[u8]) {
    use crate::event_loop::system::Socket as _;
    let mut socket = std::mem::ManuallyDrop::new(SimulatedSocket(socket));
    std::hint::black_box(socket.write(bytes));
}

/// Makes room for `count` sockets.
pub(crate) fn reserve(count: usize) {
    WORLD.with_borrow_mut(|world| world.sockets.reserve(count));
}

/// A client connects. The number of its socket.
pub(crate) fn connect(keep_output: bool) -> u32 {
    WORLD.with_borrow_mut(|world| {
        let socket = u32::try_from(world.sockets.len()).expect("fewer than 2^32 sockets");
        world.sockets.push(Entry::new(keep_output));
        world.backlog.push_back(socket);
        world.backlog_changed = true;
        socket
    })
}

/// A client sends.
pub(crate) fn send(socket: u32, bytes: &[u8]) {
    WORLD.with_borrow_mut(|world| {
        let entry = &mut world.sockets[socket as usize];
        if !bytes.is_empty() && !entry.ended {
            entry.aside().input.extend_from_slice(bytes);
            world.change(socket);
        }
    });
}

/// A client sends no more.
pub(crate) fn end(socket: u32) {
    WORLD.with_borrow_mut(|world| {
        world.sockets[socket as usize].ended = true;
        world.change(socket);
    });
}

/// A client resets its connection: what it sent and was not read yet is lost.
pub(crate) fn reset_by_peer(socket: u32) {
    WORLD.with_borrow_mut(|world| {
        world.is_rough = true;
        world.sockets[socket as usize].break_off();
        world.change(socket);
    });
}

/// A client takes `room` bytes from now on, and no more. That there is room is told only if a
/// write found too little before.
pub(crate) fn set_room(socket: u32, room: u64) {
    WORLD.with_borrow_mut(|world| {
        let entry = &mut world.sockets[socket as usize];
        entry.aside().room = room;
        entry.tidy();
        if room > 0 && entry.full {
            world.change(socket);
        }
    });
}

/// The same, and nothing is told, as by a kernel in which too little is free for that.
pub(crate) fn set_untold_room(socket: u32, room: u64) {
    with_socket(socket, |entry| entry.aside().room = room);
}

/// How many bytes a client was given.
pub(crate) fn taken(socket: u32) -> u64 {
    with_socket(socket, |entry| entry.taken)
}

/// Takes what a client was given since the last call, if that is kept.
pub(crate) fn take_output(socket: u32) -> Vec<u8> {
    with_socket(socket, |entry| {
        let output = entry.aside.as_deref_mut()?.output.as_mut()?;
        Some(std::mem::take(output))
    })
    .unwrap_or_default()
}

/// Whether the server is done with a client.
pub(crate) fn is_closed(socket: u32) -> bool {
    with_socket(socket, |entry| entry.closed)
}

/// Whether the server closed, or is going to close, a client's connection by a reset.
pub(crate) fn is_reset(socket: u32) -> bool {
    with_socket(socket, |entry| entry.reset)
}

/// Whether a fault broke a client's connection.
pub(crate) fn is_faulted(socket: u32) -> bool {
    with_socket(socket, |entry| entry.faulted)
}

/// What the server has heard of a socket: whether something is to be read in it, whether an event is on
/// its way, and whether it was full when it was last written to.
pub(crate) fn told(socket: u32) -> (bool, bool, bool) {
    WORLD.with_borrow(|world| {
        let entry = &world.sockets[socket as usize];
        let comes = entry.listed || world.faults.hesitant.contains(&socket);
        (entry.input_len() > 0, comes, entry.full)
    })
}

/// Time passes.
pub(crate) fn advance(duration: Duration) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    WORLD.with_borrow_mut(|world| world.nanos = world.nanos.saturating_add(nanos));
}

/// The calendar says that it is so much later than the clock does.
pub(crate) fn jump_calendar(by: Duration) {
    WORLD.with_borrow_mut(|world| world.jumped = by);
}

/// Whether the next poll brings something.
pub(crate) fn is_changed() -> bool {
    WORLD.with_borrow(|world| {
        world.backlog_changed
            || world.is_woken
            || !world.changed.is_empty()
            || !world.faults.hesitant.is_empty()
    })
}

/// Another thread wakes the loop.
pub(crate) fn wake() {
    WORLD.with_borrow_mut(|world| world.is_woken = true);
}

/// How long the last poll would have waited for an event at most; `None` is for ever.
pub(crate) fn last_timeout() -> Option<Duration> {
    WORLD.with_borrow(|world| world.timeout)
}

/// The next `count` clients are not accepted at first, for want of descriptors.
pub(crate) fn exhaust(count: usize) {
    WORLD.with_borrow_mut(|world| world.exhausted = count);
}

/// From now on faults happen as often as `rates` says, of 1,000 times.
pub(crate) fn set_faults(seed: u64, rates: &[(Fault, u16)]) {
    WORLD.with_borrow_mut(|world| {
        world.faults.set(seed, rates);
        world.is_rough = true;
    });
}

/// How often a kind of fault happened.
pub(crate) fn fault_count(fault: Fault) -> u64 {
    WORLD.with_borrow(|world| world.faults.count(fault))
}

/// A world without sockets, in its first moment, whose polls bring so many events at most, or as many as
/// those of the kernel.
pub(crate) fn reset(events_per_poll: Option<usize>) {
    let events_per_poll = events_per_poll.unwrap_or(EVENTS_PER_POLL).max(1);
    WORLD.with_borrow_mut(|world| *world = World::new(events_per_poll));
}

fn nanos() -> u64 {
    WORLD.with_borrow(|world| world.nanos)
}

#[cfg(test)]
mod tests;
