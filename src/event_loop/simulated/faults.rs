//! What goes wrong in the simulated world: kinds of faults, how often each happens, by chance that a
//! seed repeats, and how often each did.
//!
//! All of them are what a kernel or a network does. So what is left of a short read is told anew, as if
//! it had come later, and a socket that took less than it could is told to have room later.

use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;

/// Tokens of sockets that are gone, of which events may come still.
const GONE_TOKENS: usize = 256;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// One kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What it is, in a few words.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

faults! {
    /// A read brings less than there is.
    ShortRead "short reads",
    /// A read brings nothing, though there is something.
    EmptyRead "reads that would block",
    /// A read finds the connection broken (`ECONNRESET`, `ETIMEDOUT`).
    BrokenRead "broken at a read",
    /// A write takes less than there is room for.
    ShortWrite "short writes",
    /// A write takes nothing, though there is room.
    FullWrite "writes that would block",
    /// A write finds the connection broken (`EPIPE`).
    BrokenWrite "broken at a write",
    /// A client is lost before it is accepted (`ECONNABORTED`, `EPROTO`).
    LostAccept "lost before the accept",
    /// An accept finds no descriptor or no memory (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`).
    ExhaustedAccept "accepts without a descriptor",
    /// A socket cannot be registered (`ENOMEM`, `ENOSPC`).
    FailedRegister "failed registrations",
    /// That a socket takes output again cannot be watched.
    FailedWatch "failed watches",
    /// A poll brings nothing, though there is something.
    EmptyPoll "empty polls",
    /// A poll brings fewer events than there are.
    ShortPoll "short polls",
    /// An event comes in a later poll.
    DelayedEvent "delayed events",
    /// The events of a poll come in another order.
    Reordered "polls in another order",
    /// An event comes twice in one poll.
    DoubledEvent "doubled events",
    /// A socket is said to be readable or writable though nothing changed.
    SpuriousEvent "spurious events",
    /// An event comes of a socket that is gone.
    StaleEvent "events of those who left",
    /// The listener is said to be readable though nobody waits.
    SpuriousListener "spurious events of the listener",
}

impl Fault {
    const COUNT: usize = Self::ALL.len();
}

/// See the module.
#[derive(Debug)]
pub(super) struct Faults {
    /// Any may happen.
    pub(super) is_on: bool,
    state: u64,
    /// By kind: of 1,000 times that it could happen, how often it does.
    rates: [u16; Fault::COUNT],
    counts: [u64; Fault::COUNT],
    /// Tokens of those who left.
    gone: VecDeque<usize>,
    /// Sockets that took less than they could, and are to be told to have room.
    pub(super) hesitant: Vec<u32>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            is_on: false,
            state: 1,
            rates: [0; Fault::COUNT],
            counts: [0; Fault::COUNT],
            gone: VecDeque::new(),
            hesitant: Vec::new(),
        }
    }
}

impl Faults {
    /// From now on each kind happens as often as `rates` says, of 1,000 times; the others never.
    pub(super) fn set(&mut self, seed: u64, rates: &[(Fault, u16)]) {
        self.rates = [0; Fault::COUNT];
        for (fault, rate) in rates {
            self.rates[*fault as usize] = *rate;
        }
        self.is_on = self.rates.iter().any(|rate| *rate > 0);
        // Neighbouring seeds are to begin far apart, and none at 0, where it would stay.
        self.state = (seed.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    }

    /// How often a kind happened.
    pub(super) const fn count(&self, fault: Fault) -> u64 {
        self.counts[fault as usize]
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state >> 11
    }

    /// A number below `most`, or 0.
    pub(super) fn below(&mut self, most: usize) -> usize {
        let most = u64::try_from(most.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % most).unwrap_or(0)
    }

    /// Whether a fault of this kind happens now.
    pub(super) fn happens(&mut self, fault: Fault) -> bool {
        let rate = self.rates[fault as usize];
        let happens = rate > 0 && self.next() % 1000 < u64::from(rate);
        self.counts[fault as usize] += u64::from(happens);
        happens
    }

    /// One of the errors that a kind comes with.
    pub(super) fn error(&mut self, fault: Fault) -> io::Error {
        let errors: &[Errno] = match fault {
            Fault::LostAccept => &[Errno::CONNABORTED, Errno::PROTO],
            Fault::ExhaustedAccept => &[Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM],
            _ => &[Errno::NOMEM, Errno::NOSPC],
        };
        errors[self.below(errors.len())].into()
    }

    /// A socket with this token is gone.
    pub(super) fn note_gone(&mut self, token: usize) {
        if self.gone.len() == GONE_TOKENS {
            self.gone.pop_front();
        }
        self.gone.push_back(token);
    }

    /// The token of a socket that is gone.
    pub(super) fn gone(&mut self) -> Option<usize> {
        let index = self.below(self.gone.len());
        self.gone.get(index).copied()
    }

    /// Puts things in any order.
    pub(super) fn shuffle<T>(&mut self, things: &mut [T]) {
        for index in (1..things.len()).rev() {
            let other = self.below(index + 1);
            things.swap(index, other);
        }
    }
}
