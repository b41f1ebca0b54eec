//! The other side of the seam: sockets in memory, and a clock that stands until it is set on.
//!
//! What a socket is given is counted and, if asked for, kept; what it gives was put there before.
//! Its events are those of epoll, edge-triggered: at registration, for new input, for its end, and
//! for room where a write found too little; each says all that is so at the time of the poll.
//! One world a thread: a socket is its number in it, as a descriptor is one of the system.

use crate::event_loop::WAKER;
use crate::event_loop::system::{
    Accepted, Listener, ReadOutcome, Ready, Socket, System, WriteOutcome,
};
use crate::http::Address;
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
    /// Another thread woke the loop.
    is_woken: bool,
    /// How many accepts find no descriptor.
    exhausted: usize,
    nanos: u64,
    /// How long the last poll would have waited at most.
    timeout: Option<Duration>,
}

/// One socket, as the outside sees it: 32 bytes, since a million of them are not to hide what
/// a million clients take.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact of a socket"
)]
struct Entry {
    /// What it was registered with, or [`UNREGISTERED`].
    token: usize,
    /// How many bytes it was given.
    taken: u64,
    /// Made when it is needed first, dropped when nothing is in it.
    aside: Option<Box<Aside>>,
    /// On the list of those that changed.
    listed: bool,
    /// It took less than it was offered: that there is room again is to be told.
    full: bool,
    /// The peer will send no more.
    ended: bool,
    /// Our side was shut down, or dropped.
    closed: bool,
}

/// What few sockets have at a time.
#[derive(Debug)]
struct Aside {
    /// What it will give.
    input: Vec<u8>,
    /// What it was given, where that is kept.
    output: Option<Vec<u8>>,
    /// How many bytes it still takes.
    room: u64,
}

impl Aside {
    const EMPTY: Self = Self {
        input: Vec::new(),
        output: None,
        room: u64::MAX,
    };
}

/// The token of a socket that the poll says nothing of. No client's: the loop's waker has it.
const UNREGISTERED: usize = usize::MAX;

/// What one simulated socket takes in memory, apart from what waits in it.
pub(crate) const SOCKET_BYTES: usize = size_of::<Entry>();

impl Entry {
    fn aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_with(|| Box::new(Aside::EMPTY))
    }

    fn tidy(&mut self) {
        self.aside.take_if(|aside| {
            aside.input.is_empty() && aside.output.is_none() && aside.room == u64::MAX
        });
    }

    /// What the poll finds of it, as epoll does: all that is so now, whatever it was that
    /// changed; nothing, if nothing is.
    fn ready(&self) -> Option<Ready> {
        let aside = self.aside.as_deref();
        let readable = aside.is_some_and(|aside| !aside.input.is_empty()) || self.ended;
        let writable = aside.is_none_or(|aside| aside.room > 0) && !self.full;
        (self.token != UNREGISTERED && (readable || writable)).then_some(Ready {
            token: self.token,
            readable,
            writable,
            read_closed: self.ended,
            broken: false,
        })
    }
}

impl World {
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
        let aside = keep_output.then(|| {
            Box::new(Aside {
                output: Some(Vec::new()),
                ..Aside::EMPTY
            })
        });
        world.sockets.push(Entry {
            token: UNREGISTERED,
            taken: 0,
            aside,
            listed: false,
            full: false,
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

/// A client takes `room` bytes from now on, and no more. That there is room is told only if a
/// write found too little before.
pub(crate) fn set_room(socket: u32, room: u64) {
    WORLD.with_borrow_mut(|world| {
        let entry = &mut world.sockets[socket as usize];
        entry.aside().room = room;
        entry.tidy();
        if room > 0 && std::mem::take(&mut entry.full) {
            world.change(socket);
        }
    });
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

/// Time passes.
pub(crate) fn advance(duration: Duration) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    WORLD.with_borrow_mut(|world| world.nanos = world.nanos.saturating_add(nanos));
}

/// Whether the next poll brings something.
pub(crate) fn is_changed() -> bool {
    WORLD.with_borrow(|world| world.backlog_changed || world.is_woken || !world.changed.is_empty())
}

/// Another thread wakes the loop.
pub(crate) fn wake() {
    WORLD.with_borrow_mut(|world| world.is_woken = true);
}

/// How long the last poll would have waited for an event at most; `None` is for ever.
pub(crate) fn last_timeout() -> Option<Duration> {
    WORLD.with_borrow(|world| world.timeout)
}

/// A world without sockets, in its first moment.
pub(crate) fn reset() {
    WORLD.with_borrow_mut(|world| *world = World::default());
}

fn nanos() -> u64 {
    WORLD.with_borrow(|world| world.nanos)
}

/// No socket's number.
const NONE: u32 = u32::MAX;

/// A number in the world.
#[derive(Debug)]
pub(crate) struct SimulatedSocket(u32);

impl Socket for SimulatedSocket {
    fn none() -> Self {
        Self(NONE)
    }

    fn read(&mut self, buffer: &mut [u8]) -> ReadOutcome {
        with_socket(self.0, |entry| {
            let input = entry.aside.as_deref_mut().map(|aside| &mut aside.input);
            let Some(input) = input.filter(|input| !input.is_empty()) else {
                return if entry.ended {
                    ReadOutcome::End
                } else {
                    ReadOutcome::Drained
                };
            };
            let len = input.len().min(buffer.len());
            buffer[..len].copy_from_slice(&input[..len]);
            if len == input.len() {
                // As long as nothing waits in it, it costs nothing.
                *input = Vec::new();
                entry.tidy();
            } else {
                input.drain(..len);
            }
            ReadOutcome::Bytes(len)
        })
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> WriteOutcome {
        with_socket(self.0, |entry| {
            let mut len = bytes.len();
            if let Some(aside) = entry.aside.as_deref_mut() {
                len = len.min(usize::try_from(aside.room).unwrap_or(usize::MAX));
                entry.full = len < bytes.len();
                if aside.room < u64::MAX {
                    aside.room -= len as u64;
                }
                if let Some(output) = &mut aside.output {
                    output.extend_from_slice(&bytes[..len]);
                }
            }
            entry.taken += len as u64;
            if len == 0 {
                WriteOutcome::Full
            } else {
                WriteOutcome::Bytes(len)
            }
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

    fn reset_on_close(&mut self) {}

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
                entry.token = UNREGISTERED;
                if let Some(aside) = &mut entry.aside {
                    aside.input = Vec::new();
                }
                entry.tidy();
            }
        });
    }
}

const LISTENING_AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1337);

/// The next `count` clients are not accepted at first, for want of descriptors.
pub(crate) fn exhaust(count: usize) {
    WORLD.with_borrow_mut(|world| world.exhausted = count);
}

/// Where all connect.
#[derive(Debug)]
pub(crate) struct SimulatedListener;

impl Listener for SimulatedListener {
    type Socket = SimulatedSocket;

    fn address(&self) -> &Address {
        const { &Address::Ip(LISTENING_AT) }
    }

    fn accept(&mut self) -> Accepted<SimulatedSocket> {
        let is_exhausted = WORLD.with_borrow_mut(|world| {
            let is_exhausted = world.exhausted > 0 && !world.backlog.is_empty();
            world.exhausted -= usize::from(is_exhausted);
            is_exhausted
        });
        if is_exhausted {
            return Accepted::Exhausted(rustix::io::Errno::MFILE.into());
        }
        let next = WORLD.with_borrow_mut(|world| world.backlog.pop_front());
        next.map_or(Accepted::Nobody, |socket| {
            let [a, b, c, d] = socket.to_be_bytes();
            // An address of its own for each, as far as they go.
            let address = SocketAddr::from(([10, b, c, d], 1024 + u16::from(a)));
            Accepted::Client(SimulatedSocket(socket), address.into())
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
    fn poll(&mut self, events: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        WORLD.with_borrow_mut(|world| {
            world.timeout = timeout;
            let readable = |token| Ready {
                token,
                readable: true,
                writable: false,
                read_closed: false,
                broken: false,
            };
            if std::mem::take(&mut world.backlog_changed) {
                events.extend(world.listener.map(readable));
            }
            if std::mem::take(&mut world.is_woken) {
                events.push(readable(WAKER));
            }
            while events.len() < EVENTS_PER_POLL
                && let Some(socket) = world.changed.pop_front()
            {
                let entry = &mut world.sockets[socket as usize];
                entry.listed = false;
                events.extend(entry.ready());
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
            world.sockets[socket.0 as usize].token = token;
            world.change(socket.0);
        });
        Ok(())
    }

    /// It is told in any case.
    fn watch_writable(&mut self, socket: &mut SimulatedSocket, token: usize) -> io::Result<()> {
        debug_assert_eq!(with_socket(socket.0, |entry| entry.token), token);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that was accepted and registered, and whose first event was told.
    fn registered() -> (SimulatedSocket, u32) {
        reset();
        let number = connect(true);
        let mut socket = SimulatedSocket(number);
        assert_eq!(Simulated.register(&mut socket, 7).ok(), Some(()));
        assert_eq!(poll(), [(7, false, true, false)]);
        (socket, number)
    }

    /// The events that are to be told, each as token, readable, writable and read closed.
    fn poll() -> Vec<(usize, bool, bool, bool)> {
        let mut events = Vec::new();
        assert!(Simulated.poll(&mut events, None).is_ok());
        let told = |ready: &Ready| {
            let Ready {
                token,
                readable,
                writable,
                read_closed,
                ..
            } = *ready;
            (token, readable, writable, read_closed)
        };
        events.iter().map(told).collect()
    }

    #[test]
    fn input_is_told_once_and_again_when_more_comes_whether_it_was_read_or_not() {
        let (mut socket, number) = registered();
        send(number, b"abc");
        send(number, b"d");
        assert_eq!(poll(), [(7, true, true, false)]);
        assert_eq!(poll(), []);
        send(number, b"e");
        assert_eq!(poll(), [(7, true, true, false)]);
        let mut buffer = [0; 4];
        assert_eq!(socket.read(&mut buffer), ReadOutcome::Bytes(4));
        assert_eq!(poll(), []);
        assert_eq!(socket.read(&mut buffer), ReadOutcome::Bytes(1));
        assert_eq!(socket.read(&mut buffer), ReadOutcome::Drained);
        end(number);
        assert_eq!(poll(), [(7, true, true, true)]);
        assert_eq!(socket.read(&mut buffer), ReadOutcome::End);
    }

    #[test]
    fn room_is_told_only_where_a_write_found_too_little() {
        let (mut socket, number) = registered();
        set_room(number, 3);
        assert_eq!(poll(), [], "it never was full");
        assert_eq!(socket.write(b"abc"), WriteOutcome::Bytes(3));
        set_room(number, 1);
        assert_eq!(poll(), [], "nothing was refused");
        assert_eq!(socket.write(b"de"), WriteOutcome::Bytes(1));
        assert_eq!(socket.write(b"e"), WriteOutcome::Full);
        send(number, b"x");
        assert_eq!(poll(), [(7, true, false, false)], "and no room");
        set_room(number, 0);
        assert_eq!(poll(), []);
        set_room(number, u64::MAX);
        assert_eq!(poll(), [(7, true, true, false)]);
        assert_eq!(take_output(number), b"abcd");
        assert_eq!(taken(number), 4);
    }

    #[test]
    fn what_came_before_the_registration_is_told_at_it_and_nothing_after_the_end() {
        reset();
        let number = connect(false);
        send(number, b"abc");
        assert_eq!(poll(), []);
        let mut socket = SimulatedSocket(number);
        assert!(Simulated.register(&mut socket, 9).is_ok());
        assert_eq!(poll(), [(9, true, true, false)]);
        drop(socket);
        send(number, b"d");
        assert!(is_closed(number));
        assert_eq!(poll(), []);
    }

    #[test]
    fn a_socket_takes_32_bytes() {
        assert_eq!(SOCKET_BYTES, 32);
    }
}
