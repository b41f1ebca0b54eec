//! The other side of the seam: sockets in memory, and a clock that stands until it is set on.
//!
//! What a socket is given is counted and, if asked for, kept; what it gives was put there before.
//! One world a thread: a socket is its number in it, as a descriptor is one of the system.

use crate::event_loop::system::{
    Accepted, Listener, ReadOutcome, Ready, Socket, System, WriteOutcome,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Most events that one poll brings: as with the kernel.
const EVENTS_PER_POLL: usize = 1024;

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

/// All sockets of the thread, and its time.
#[derive(Debug, Default)]
struct World {
    sockets: Vec<Entry>,
    /// Sockets that were connected and not yet accepted.
    backlog: VecDeque<u32>,
    listener: Option<usize>,
    /// Sockets about which the poll has something to say, each once.
    changed: VecDeque<u32>,
    backlog_changed: bool,
    nanos: u64,
}

/// One socket, as the outside sees it.
#[derive(Debug)]
struct Entry {
    /// What it was registered with; `None` before.
    token: Option<usize>,
    /// What it will give.
    input: Vec<u8>,
    /// What it was given, where that is kept.
    output: Option<Box<Vec<u8>>>,
    /// How many bytes it was given.
    taken: u64,
    /// How many it still takes.
    room: u64,
    /// On the list of those that changed.
    listed: bool,
    /// It takes bytes again, and that is to be told.
    writable: bool,
    /// The peer will send no more.
    ended: bool,
    /// Our side was shut down, or dropped.
    closed: bool,
}

/// What one simulated socket takes in memory, apart from what waits in it.
pub(crate) const SOCKET_BYTES: usize = size_of::<Entry>();

impl World {
    fn change(&mut self, socket: u32) {
        let entry = &mut self.sockets[socket as usize];
        if !entry.listed {
            entry.listed = true;
            self.changed.push_back(socket);
        }
    }
}

/// Runs `act` on a socket of this thread's world, then tells the poll of it if it says so.
fn with_socket<R>(socket: u32, act: impl FnOnce(&mut Entry) -> R) -> R {
    WORLD.with_borrow_mut(|world| act(&mut world.sockets[socket as usize]))
}

/// Makes room for `count` sockets.
pub(crate) fn reserve(count: usize) {
    WORLD.with_borrow_mut(|world| world.sockets.reserve(count));
}

/// A client connects. The number of its socket.
pub(crate) fn connect(keep_output: bool) -> u32 {
    WORLD.with_borrow_mut(|world| {
        let socket = u32::try_from(world.sockets.len()).expect("fewer than 2^32 sockets");
        world.sockets.push(Entry {
            token: None,
            input: Vec::new(),
            output: keep_output.then(Box::default),
            taken: 0,
            room: u64::MAX,
            listed: false,
            writable: true,
            ended: false,
            closed: false,
        });
        world.backlog.push_back(socket);
        world.backlog_changed = true;
        socket
    })
}

/// A client sends.
pub(crate) fn send(socket: u32, bytes: &[u8]) {
    WORLD.with_borrow_mut(|world| {
        world.sockets[socket as usize]
            .input
            .extend_from_slice(bytes);
        world.change(socket);
    });
}

/// A client sends no more.
pub(crate) fn end(socket: u32) {
    WORLD.with_borrow_mut(|world| {
        world.sockets[socket as usize].ended = true;
        world.change(socket);
    });
}

/// A client takes `room` bytes from now on, and no more.
pub(crate) fn set_room(socket: u32, room: u64) {
    WORLD.with_borrow_mut(|world| {
        let entry = &mut world.sockets[socket as usize];
        entry.room = room;
        entry.writable = room > 0;
        world.change(socket);
    });
}

/// How many bytes a client was given.
pub(crate) fn taken(socket: u32) -> u64 {
    with_socket(socket, |entry| entry.taken)
}

/// Takes what a client was given since the last call, if that is kept.
pub(crate) fn take_output(socket: u32) -> Vec<u8> {
    with_socket(socket, |entry| {
        entry.output.as_deref_mut().map(std::mem::take)
    })
    .unwrap_or_default()
}

/// Whether the server is done with a client.
pub(crate) fn is_closed(socket: u32) -> bool {
    with_socket(socket, |entry| entry.closed)
}

/// Time passes.
pub(crate) fn advance(duration: Duration) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    WORLD.with_borrow_mut(|world| world.nanos = world.nanos.saturating_add(nanos));
}

/// Whether the next poll brings something.
pub(crate) fn is_changed() -> bool {
    WORLD.with_borrow(|world| world.backlog_changed || !world.changed.is_empty())
}

/// A world without sockets, in its first moment.
pub(crate) fn reset() {
    WORLD.with_borrow_mut(|world| *world = World::default());
}

fn nanos() -> u64 {
    WORLD.with_borrow(|world| world.nanos)
}

/// A number in the world.
#[derive(Debug)]
pub(crate) struct SimulatedSocket(u32);

impl Socket for SimulatedSocket {
    fn read(&mut self, buffer: &mut [u8]) -> ReadOutcome {
        with_socket(self.0, |entry| {
            let len = entry.input.len().min(buffer.len());
            if len == 0 {
                return if entry.ended {
                    ReadOutcome::End
                } else {
                    ReadOutcome::Drained
                };
            }
            buffer[..len].copy_from_slice(&entry.input[..len]);
            if len == entry.input.len() {
                // As long as it waits nowhere it costs nothing.
                entry.input = Vec::new();
            } else {
                entry.input.drain(..len);
            }
            ReadOutcome::Bytes(len)
        })
    }

    fn write(&mut self, bytes: &[u8]) -> WriteOutcome {
        with_socket(self.0, |entry| {
            let len = bytes
                .len()
                .min(usize::try_from(entry.room).unwrap_or(usize::MAX));
            if len == 0 {
                return WriteOutcome::Full;
            }
            entry.taken += len as u64;
            entry.room -= len as u64;
            if let Some(output) = &mut entry.output {
                output.extend_from_slice(&bytes[..len]);
            }
            WriteOutcome::Bytes(len)
        })
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> WriteOutcome {
        let mut written = 0;
        for slice in slices {
            match self.write(slice) {
                WriteOutcome::Bytes(len) => written += len,
                outcome if written == 0 => return outcome,
                _ => break,
            }
        }
        WriteOutcome::Bytes(written)
    }

    fn shut_down(&mut self) {
        with_socket(self.0, |entry| entry.closed = true);
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(LISTENING_AT)
    }
}

impl Drop for SimulatedSocket {
    fn drop(&mut self) {
        // The world may be gone before, with its thread, or be another one.
        let _ = WORLD.try_with(|world| {
            if let Ok(mut world) = world.try_borrow_mut()
                && let Some(entry) = world.sockets.get_mut(self.0 as usize)
            {
                entry.closed = true;
                entry.token = None;
            }
        });
    }
}

const LISTENING_AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1337);

/// Where all connect.
#[derive(Debug)]
pub(crate) struct SimulatedListener;

impl Listener for SimulatedListener {
    type Socket = SimulatedSocket;

    fn address(&self) -> SocketAddr {
        LISTENING_AT
    }

    fn accept(&mut self) -> Accepted<SimulatedSocket> {
        let next = WORLD.with_borrow_mut(|world| world.backlog.pop_front());
        next.map_or(Accepted::Nobody, |socket| {
            let [a, b, c, d] = socket.to_be_bytes();
            // An address of its own for each, as far as they go.
            let address = SocketAddr::from(([10, b, c, d], 1024 + u16::from(a)));
            Accepted::Client(SimulatedSocket(socket), address)
        })
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Simulated;

impl System for Simulated {
    type Socket = SimulatedSocket;
    type Listener = SimulatedListener;
    type Events = Vec<Ready>;

    fn events(&self) -> (Vec<Ready>, usize) {
        (Vec::with_capacity(EVENTS_PER_POLL), EVENTS_PER_POLL)
    }

    /// Never waits: time does not pass by itself.
    fn poll(&mut self, events: &mut Vec<Ready>, _: Option<Duration>) -> io::Result<()> {
        events.clear();
        WORLD.with_borrow_mut(|world| {
            if std::mem::take(&mut world.backlog_changed)
                && let Some(token) = world.listener
            {
                events.push(Ready {
                    token,
                    readable: true,
                    writable: false,
                    read_closed: false,
                });
            }
            while events.len() < EVENTS_PER_POLL
                && let Some(socket) = world.changed.pop_front()
            {
                let entry = &mut world.sockets[socket as usize];
                entry.listed = false;
                let Some(token) = entry.token else { continue };
                events.push(Ready {
                    token,
                    readable: !entry.input.is_empty() || entry.ended,
                    writable: std::mem::take(&mut entry.writable),
                    read_closed: entry.ended,
                });
            }
        });
        Ok(())
    }

    #[inline]
    fn iter(events: &Vec<Ready>) -> impl Iterator<Item = Ready> {
        events.iter().copied()
    }

    fn register(&mut self, socket: &mut SimulatedSocket, token: usize) -> io::Result<()> {
        WORLD.with_borrow_mut(|world| {
            world.sockets[socket.0 as usize].token = Some(token);
            world.change(socket.0);
        });
        Ok(())
    }

    fn listen(&mut self, _: &mut SimulatedListener, token: usize) -> io::Result<()> {
        WORLD.with_borrow_mut(|world| world.listener = Some(token));
        Ok(())
    }

    fn clock(&self) -> fn() -> u64 {
        nanos
    }

    fn calendar(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(nanos())
    }

    fn signals(&mut self) -> usize {
        0
    }
}
