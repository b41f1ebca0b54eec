//! The poll of the simulated world, its listener and its clock.

use super::faults::Fault;
use super::socket::SimulatedSocket;
use super::{LISTENING_AT, WORLD, World, nanos};
use crate::event_loop::WAKER;
use crate::event_loop::signals::Came;
use crate::event_loop::system::{Accepted, Listener, Ready, System};
use crate::http::Address;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where all connect.
#[derive(Debug)]
pub(crate) struct SimulatedListener;

impl World {
    fn accept(&mut self) -> Accepted<SimulatedSocket> {
        let is_exhausted = self.exhausted > 0 && !self.backlog.is_empty();
        self.exhausted -= usize::from(is_exhausted);
        if is_exhausted {
            return Accepted::Exhausted(rustix::io::Errno::MFILE.into());
        }
        if self.faults.is_on && !self.backlog.is_empty() {
            if self.faults.happens(Fault::ExhaustedAccept) {
                return Accepted::Exhausted(self.faults.error(Fault::ExhaustedAccept));
            }
            if self.faults.happens(Fault::LostAccept) {
                self.lose_first();
                return Accepted::Lost(self.faults.error(Fault::LostAccept));
            }
        }
        let next = self.backlog.pop_front();
        next.map_or(Accepted::Nobody, |socket| {
            let [a, b, c, d] = socket.to_be_bytes();
            // An address of its own for each, as far as they go.
            let address = SocketAddr::from(([10, b, c, d], 1024 + u16::from(a)));
            Accepted::Client(SimulatedSocket(socket), address.into())
        })
    }

    /// Who is first in the queue of those who wait leaves it.
    fn lose_first(&mut self) {
        if let Some(socket) = self.backlog.pop_front() {
            self.is_rough = true;
            let entry = &mut self.sockets[socket as usize];
            entry.break_off();
            (entry.closed, entry.faulted) = (true, true);
        }
    }

    fn poll(&mut self, events: &mut Vec<Ready>) {
        if self.is_rough && self.faults.happens(Fault::EmptyPoll) {
            return;
        }
        if std::mem::take(&mut self.backlog_changed) {
            events.extend(self.listener.map(readable));
        }
        if std::mem::take(&mut self.is_woken) {
            events.push(readable(WAKER));
        }
        if self.is_rough && (self.faults.is_on || !self.faults.hesitant.is_empty()) {
            return self.poll_badly(events);
        }
        while events.len() < self.events_per_poll
            && let Some(socket) = self.changed.pop_front()
        {
            let entry = &mut self.sockets[socket as usize];
            entry.listed = false;
            events.extend(entry.ready());
        }
    }

    /// The same with faults.
    fn poll_badly(&mut self, events: &mut Vec<Ready>) {
        for socket in std::mem::take(&mut self.faults.hesitant) {
            if self.sockets[socket as usize].full {
                self.change(socket);
            }
        }
        let mut most = self.events_per_poll;
        if self.faults.happens(Fault::ShortPoll) {
            most = most.min(self.faults.below(self.changed.len() + 1));
        }
        if self.faults.happens(Fault::Reordered) {
            self.faults.shuffle(self.changed.make_contiguous());
        }
        for _ in 0..self.changed.len() {
            let Some(socket) = self.changed.pop_front() else {
                break;
            };
            if events.len() >= most || self.faults.happens(Fault::DelayedEvent) {
                self.changed.push_back(socket);
                continue;
            }
            let entry = &mut self.sockets[socket as usize];
            entry.listed = false;
            let ready = entry.ready();
            events.extend(ready);
            if events.len() < most && self.faults.happens(Fault::DoubledEvent) {
                events.extend(ready);
            }
        }
        self.add_needless(events);
    }

    /// Events that say nothing, or nothing to anybody.
    fn add_needless(&mut self, events: &mut Vec<Ready>) {
        let most = self.events_per_poll;
        if events.len() < most && self.faults.happens(Fault::SpuriousEvent) {
            let index = self.faults.below(self.sockets.len());
            let entry = self.sockets.get_mut(index);
            if let Some(entry) = entry.filter(|entry| entry.token != super::UNREGISTERED) {
                let ready = entry.ready().unwrap_or_else(|| readable(entry.token));
                events.push(Ready {
                    readable: true,
                    ..ready
                });
            }
        }
        if events.len() < most
            && self.faults.happens(Fault::StaleEvent)
            && let Some(token) = self.faults.gone()
        {
            let kind = self.faults.below(16);
            events.push(Ready {
                token,
                readable: kind & 1 != 0,
                writable: kind & 2 != 0,
                read_closed: kind & 4 != 0,
                broken: kind & 8 != 0,
            });
        }
        if events.len() < most && self.faults.happens(Fault::SpuriousListener) {
            events.extend(self.listener.map(readable));
        }
        if self.faults.happens(Fault::Reordered) {
            self.faults.shuffle(events);
        }
    }
}

const fn readable(token: usize) -> Ready {
    Ready {
        token,
        readable: true,
        writable: false,
        read_closed: false,
        broken: false,
    }
}

impl Listener for SimulatedListener {
    type Socket = SimulatedSocket;

    fn address(&self) -> &Address {
        const { &Address::Ip(LISTENING_AT) }
    }

    fn accept(&mut self) -> Accepted<SimulatedSocket> {
        WORLD.with_borrow_mut(World::accept)
    }
}

/// Who waits when the listener closes is reset, as the system does it.
impl Drop for SimulatedListener {
    fn drop(&mut self) {
        let _ = WORLD.try_with(|world| {
            if let Ok(mut world) = world.try_borrow_mut()
                && world.listener.take().is_some()
            {
                while !world.backlog.is_empty() {
                    world.lose_first();
                }
            }
        });
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
        let most = WORLD.with_borrow(|world| world.events_per_poll);
        (Vec::with_capacity(most), most)
    }

    /// Never waits: time does not pass by itself.
    fn poll(&mut self, events: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        WORLD.with_borrow_mut(|world| {
            world.timeout = timeout;
            world.poll(events);
        });
        Ok(())
    }

    #[inline]
    fn iter(events: &Vec<Ready>) -> impl Iterator<Item = Ready> {
        events.iter().copied()
    }

    fn register(&mut self, socket: &mut SimulatedSocket, token: usize) -> io::Result<()> {
        WORLD.with_borrow_mut(|world| {
            if world.faults.is_on && world.faults.happens(Fault::FailedRegister) {
                world.sockets[socket.0 as usize].faulted = true;
                return Err(world.faults.error(Fault::FailedRegister));
            }
            world.sockets[socket.0 as usize].token = token;
            world.change(socket.0);
            Ok(())
        })
    }

    fn watch_writable(&mut self, socket: &mut SimulatedSocket, token: usize) -> io::Result<()> {
        WORLD.with_borrow_mut(|world| {
            let entry = &mut world.sockets[socket.0 as usize];
            debug_assert_eq!(entry.token, token);
            if world.faults.is_on && world.faults.happens(Fault::FailedWatch) {
                entry.faulted = true;
                return Err(world.faults.error(Fault::FailedWatch));
            }
            entry.watched = true;
            world.change(socket.0);
            Ok(())
        })
    }

    fn listen(&mut self, _: &mut SimulatedListener, token: usize) -> io::Result<()> {
        WORLD.with_borrow_mut(|world| world.listener = Some(token));
        Ok(())
    }

    fn relisten(&mut self, listener: &mut SimulatedListener, token: usize) -> io::Result<()> {
        self.listen(listener, token)
    }

    fn unlisten(&mut self, _: &mut SimulatedListener) {
        WORLD.with_borrow_mut(|world| world.listener = None);
    }

    fn clock(&self) -> fn() -> u64 {
        nanos
    }

    fn calendar(&self) -> SystemTime {
        let jumped = WORLD.with_borrow(|world| world.jumped);
        UNIX_EPOCH + Duration::from_nanos(nanos()) + jumped
    }

    fn signals(&mut self) -> Came {
        Came::default()
    }
}
