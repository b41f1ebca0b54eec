//! One simulated socket, from both of its sides.

use super::faults::Fault;
use super::{LISTENING_AT, UNREGISTERED, WORLD, World};
use crate::event_loop::system::{ReadOutcome, Ready, Socket, WriteOutcome};
use std::io::{self, IoSlice};
use std::net::SocketAddr;

/// One socket, as the outside sees it: 32 bytes, since a million of them are not to hide what
/// a million clients take.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact of a socket"
)]
pub(super) struct Entry {
    /// What it was registered with, or [`UNREGISTERED`].
    pub(super) token: usize,
    /// How many bytes it was given.
    pub(super) taken: u64,
    /// Made when it is needed first, dropped when nothing is in it.
    pub(super) aside: Option<Box<Aside>>,
    /// On the list of those that changed.
    pub(super) listed: bool,
    /// It took less than it was offered: that there is room again is to be told.
    pub(super) full: bool,
    /// Room is told of.
    pub(super) watched: bool,
    /// The peer will send no more.
    pub(super) ended: bool,
    /// The connection is broken: nothing goes either way.
    pub(super) broken: bool,
    /// A fault, not the peer, did that, or lost it in another way.
    pub(super) faulted: bool,
    /// Our side was shut down, or dropped.
    pub(super) closed: bool,
    /// It is, or would be, closed by a reset.
    pub(super) reset: bool,
}

/// What few sockets have at a time.
#[derive(Debug)]
pub(super) struct Aside {
    /// What it will give.
    pub(super) input: Vec<u8>,
    /// What it was given, where that is kept.
    pub(super) output: Option<Vec<u8>>,
    /// How many bytes it still takes.
    pub(super) room: u64,
}

impl Aside {
    pub(super) const EMPTY: Self = Self {
        input: Vec::new(),
        output: None,
        room: u64::MAX,
    };
}

impl Entry {
    /// One that was connected; what it is given is kept or only counted.
    pub(super) fn new(keep_output: bool) -> Self {
        let aside = keep_output.then(|| {
            Box::new(Aside {
                output: Some(Vec::new()),
                ..Aside::EMPTY
            })
        });
        Self {
            token: UNREGISTERED,
            taken: 0,
            aside,
            listed: false,
            full: false,
            watched: false,
            ended: false,
            broken: false,
            faulted: false,
            closed: false,
            reset: false,
        }
    }

    pub(super) fn aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_with(|| Box::new(Aside::EMPTY))
    }

    pub(super) fn tidy(&mut self) {
        self.aside.take_if(|aside| {
            aside.input.is_empty() && aside.output.is_none() && aside.room == u64::MAX
        });
    }

    /// How many bytes wait to be read.
    pub(super) fn input_len(&self) -> usize {
        self.aside.as_deref().map_or(0, |aside| aside.input.len())
    }

    pub(super) fn has_room(&self) -> bool {
        self.aside.as_deref().is_none_or(|aside| aside.room > 0)
    }

    /// What the poll finds of it, as epoll does: all that is so now, whatever it was that
    /// changed; nothing, if nothing is.
    pub(super) fn ready(&mut self) -> Option<Ready> {
        let readable = self.input_len() > 0 || self.ended || self.broken;
        let writable = self.watched && (self.broken || self.has_room());
        self.full &= !writable;
        (self.token != UNREGISTERED && (readable || writable)).then_some(Ready {
            token: self.token,
            readable,
            writable,
            read_closed: self.ended || self.broken,
            broken: self.broken,
        })
    }

    /// The connection breaks: what was on its way is lost.
    pub(super) fn break_off(&mut self) {
        (self.broken, self.ended) = (true, true);
        if let Some(aside) = &mut self.aside {
            aside.input = Vec::new();
        }
    }
}

/// A number in the world.
#[derive(Debug)]
pub(crate) struct SimulatedSocket(pub(super) u32);

/// No socket's number.
const NONE: u32 = u32::MAX;

impl SimulatedSocket {
    /// Its number in the world.
    pub(crate) const fn number(&self) -> u32 {
        self.0
    }
}

impl World {
    fn read(&mut self, socket: u32, buffer: &mut [u8]) -> ReadOutcome {
        let mut most = buffer.len();
        if self.is_rough {
            match self.hinder_read(socket, most) {
                Ok(hindered) => most = hindered,
                Err(outcome) => return outcome,
            }
        }
        let entry = &mut self.sockets[socket as usize];
        let input = entry.aside.as_deref_mut().map(|aside| &mut aside.input);
        let Some(input) = input.filter(|input| !input.is_empty()) else {
            return if entry.ended {
                ReadOutcome::End
            } else {
                ReadOutcome::Drained
            };
        };
        let len = input.len().min(most);
        buffer[..len].copy_from_slice(&input[..len]);
        if len == input.len() {
            // As long as nothing waits in it, it costs nothing.
            *input = Vec::new();
            entry.tidy();
        } else {
            input.drain(..len);
        }
        ReadOutcome::Bytes(len)
    }

    /// How much of `most` bytes may be read, or why nothing.
    #[cold]
    fn hinder_read(&mut self, socket: u32, most: usize) -> Result<usize, ReadOutcome> {
        let entry = &mut self.sockets[socket as usize];
        if entry.broken {
            return Err(ReadOutcome::Broken);
        }
        let waits = entry.input_len();
        if waits == 0 || !self.faults.is_on {
            return Ok(most);
        }
        if self.faults.happens(Fault::BrokenRead) {
            entry.break_off();
            entry.faulted = true;
            return Err(ReadOutcome::Broken);
        }
        if self.faults.happens(Fault::EmptyRead) {
            self.change(socket);
            return Err(ReadOutcome::Drained);
        }
        if waits > 1 && self.faults.happens(Fault::ShortRead) {
            self.change(socket);
            return Ok(most.min(1 + self.faults.below(waits - 1)));
        }
        Ok(most)
    }

    #[inline]
    fn write(&mut self, socket: u32, bytes: &[u8]) -> WriteOutcome {
        let mut most = bytes.len();
        if self.is_rough {
            match self.hinder_write(socket, most) {
                Some(hindered) => most = hindered,
                None => return WriteOutcome::Broken,
            }
        }
        let entry = &mut self.sockets[socket as usize];
        debug_assert!(!entry.closed, "nothing is written after the end");
        let mut len = most;
        if let Some(aside) = entry.aside.as_deref_mut() {
            len = len.min(usize::try_from(aside.room).unwrap_or(usize::MAX));
            if aside.room < u64::MAX {
                aside.room -= len as u64;
            }
            if let Some(output) = &mut aside.output {
                output.extend_from_slice(&bytes[..len]);
            }
        }
        entry.full = len < bytes.len();
        entry.taken += len as u64;
        if len == 0 {
            WriteOutcome::Full
        } else {
            WriteOutcome::Bytes(len)
        }
    }

    /// How much of `most` bytes may be written; `None`: the connection is broken.
    #[cold]
    fn hinder_write(&mut self, socket: u32, most: usize) -> Option<usize> {
        let entry = &mut self.sockets[socket as usize];
        let mut hindered = most;
        if self.faults.is_on {
            if !entry.broken && self.faults.happens(Fault::BrokenWrite) {
                entry.break_off();
                entry.faulted = true;
                self.change(socket);
            } else if self.faults.happens(Fault::FullWrite) {
                hindered = 0;
            } else if most > 1 && self.faults.happens(Fault::ShortWrite) {
                hindered = 1 + self.faults.below(most - 1);
            }
            if hindered < most && !self.faults.hesitant.contains(&socket) {
                self.faults.hesitant.push(socket);
            }
        }
        (!self.sockets[socket as usize].broken).then_some(hindered)
    }
}

impl Socket for SimulatedSocket {
    fn none() -> Self {
        Self(NONE)
    }

    fn read(&mut self, buffer: &mut [u8]) -> ReadOutcome {
        WORLD.with_borrow_mut(|world| world.read(self.0, buffer))
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> WriteOutcome {
        WORLD.with_borrow_mut(|world| world.write(self.0, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> WriteOutcome {
        let mut written = 0;
        for slice in slices {
            match self.write(slice) {
                WriteOutcome::Bytes(len) if len == slice.len() => written += len,
                WriteOutcome::Bytes(len) => return WriteOutcome::Bytes(written + len),
                outcome if written == 0 => return outcome,
                _ => break,
            }
        }
        WriteOutcome::Bytes(written)
    }

    fn reset_on_close(&mut self) {
        WORLD.with_borrow_mut(|world| {
            if let Some(entry) = world.sockets.get_mut(self.0 as usize) {
                entry.reset = true;
            }
        });
    }

    fn shut_down(&mut self) {
        WORLD.with_borrow_mut(|world| world.sockets[self.0 as usize].closed = true);
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
                && let World {
                    sockets, faults, ..
                } = &mut *world
                && let Some(entry) = sockets.get_mut(self.0 as usize)
            {
                entry.closed = true;
                if entry.token != UNREGISTERED && faults.is_on {
                    faults.note_gone(entry.token);
                }
                entry.token = UNREGISTERED;
                if let Some(aside) = &mut entry.aside {
                    aside.input = Vec::new();
                }
                entry.tidy();
            }
        });
    }
}
