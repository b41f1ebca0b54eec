//! What waits for sockets: all bytes that were queued and not yet written, for all clients.
//!
//! Knows no socket, no protocol and no clock. A client is a slot, a small dense number.
//!
//! ```text
//!   send ───────▶ the turn's segments ──┐
//!   send_many ──▶ segments of lists ────┼─▶ ranges of the client's own ─┐
//!   send_source ────────────────────────┘         ▲                     ├─▶ gather ─▶ socket
//!                                                 │ catch_up            │   advance ◀─┘
//!   broadcast ──▶ the log's segments ─────────────┴─────────────────────┘
//! ```
//!
//! A broadcast is stored once and costs nothing per client; each member of the log has a
//! cursor into it, and a flush writes the client's own ranges and then all that it lacks of
//! the log. Order is kept by one rule: before anything else happens to a client (a message of its own,
//! an exclusion, leaving, a full socket), `catch_up` makes ranges of what it lacks.
//!
//! A client whose socket is full is *blocked*: nothing of it stays in the turn's segments,
//! which are shared with all others, and each broadcast that it lacks is judged by the hard
//! limit as if at the moment it was queued.
//!
//! A flush phase of the loop: [`next_dirty`](Output::next_dirty) until `None`,
//! [`next_in_ring`](Output::next_in_ring) until its visits are spent, and for each client
//! `fill`, `gather`, write, `advance`, and `block` if the socket took less; then `end_turn`.
//!
//! Two straight paths lead past that, for what nearly always is: [`cork`](Output::cork) gathers what
//! the client that is being served is answered, and [`flush_straight`](Output::flush_straight)
//! writes a broadcast to those who lack nothing else.

mod bytes;
mod cork;
mod flush;
mod invariants;
mod log;
mod queue;
mod ring;
mod segments;
mod slow;
mod unjudged;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use self::cork::Cork;
use self::log::{Log, Mark};
use self::queue::{Queue, Store};
use self::segments::{Arena, Kind, SEGMENT_BYTES};
use self::slow::Slow;
use self::unjudged::Unjudged;
use crate::config::BacklogPolicy;

pub(crate) use self::bytes::Bytes;
pub(crate) use self::cork::LEND_BYTES;

/// A log of broadcasts: one for each endpoint, and one for each group of its clients that are sent
/// other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogId(u16);

impl LogId {
    /// Stands for no log.
    pub(crate) const NONE: Self = Self(u16::MAX);

    /// The log that was added after `index` others.
    pub(crate) const fn from_index(index: u16) -> Self {
        Self(index)
    }
}

/// What some bytes count as: an HTTP response nothing, a Pong one frame, a message its frames
/// and one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// WebSocket frames.
    pub(crate) frames: u32,
    /// WebSocket messages.
    pub(crate) messages: u32,
}

/// What a client was sent since it joined its log: what was queued before does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Bytes that its socket took.
    pub(crate) bytes: u64,
    /// Frames queued for it.
    pub(crate) frames: u64,
    /// Messages queued for it.
    pub(crate) messages: u64,
}

impl Sent {
    fn count(&mut self, unit: Unit) {
        self.frames += u64::from(unit.frames);
        self.messages += u64::from(unit.messages);
    }

    /// Counts a unit for each of so many clients.
    fn count_for(&mut self, clients: u64, unit: Unit) {
        self.frames += clients * u64::from(unit.frames);
        self.messages += clients * u64::from(unit.messages);
    }

    /// A client was not sent what was counted for it.
    fn take_back(&mut self, unit: Unit) {
        self.frames -= u64::from(unit.frames);
        self.messages -= u64::from(unit.messages);
    }
}

/// What a blocked member of a log may have waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogLimits {
    /// Bytes above which a member's backlog is told, and so is its end.
    pub(crate) soft_backlog_bytes: usize,
    /// Bytes above which the next message is not queued.
    pub(crate) hard_backlog_bytes: usize,
    /// What happens then.
    pub(crate) policy: BacklogPolicy,
}

/// A body that is read when the socket has room for it, such as a file.
pub(crate) trait Source {
    /// Appends up to `max` bytes to `into` and returns how many. 0 says that it has ended.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from reading on: the client is to be closed.
    fn pull(&mut self, into: &mut Vec<u8>, max: usize) -> io::Result<usize>;

    /// What comes next, if it is a part of a file as it lies there: then it need not be pulled.
    fn file_part(&self) -> Option<FilePart<'_>> {
        None
    }

    /// Asked before the last of a [part of a file](Self::file_part) is sent from there.
    ///
    /// # Errors
    ///
    /// What was sent of it does not belong together any more: the client is to be closed.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }

    /// The first `len` bytes of the [part of a file](Self::file_part) were sent from there.
    fn skip(&mut self, len: u64) {
        let _ = len;
    }
}

/// A part of a file, which a socket may be given without its being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FilePart<'a> {
    pub(crate) file: BorrowedFd<'a>,
    /// Where it begins in the file, in bytes. The file's own position is not looked at: others send
    /// from the same file.
    pub(crate) offset: u64,
    /// In bytes, at least one.
    pub(crate) len: u64,
}

/// What one call of [`Output::gather`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gathered {
    /// Slices that were set.
    pub(crate) slices: usize,
    /// Their bytes together.
    pub(crate) bytes: usize,
    /// A [part of a file](Output::file_part) comes next.
    pub(crate) before_file: bool,
}

impl Gathered {
    fn add<'a>(&mut self, slices: &mut [IoSlice<'a>], bytes: &'a [u8]) {
        slices[self.slices] = IoSlice::new(bytes);
        self.slices += 1;
        self.bytes += bytes.len();
    }
}

/// The socket is full.
const BLOCKED: u8 = 1;
/// On one of the lists of [`Output::next_dirty`]. Outlives the client: the next one in the
/// slot must not be listed twice.
const DIRTY: u8 = 1 << 1;
/// A broadcast was refused for the client, and so are all that follow: it must not see a gap.
const OVERFLOWED: u8 = 1 << 2;
/// On the list of [`Output::next_overflowed`]. Outlives the client too.
const REPORTED: u8 = 1 << 3;
/// Some of its ranges may lie in segments of the turn.
const IN_TURN: u8 = 1 << 4;

/// Messages that were queued for it were dropped again.
const CUT: u8 = 1 << 5;
/// Some of what was taken from here waits still, encrypted, for the socket.
const UNDELIVERED: u8 = 1 << 6;
/// On the list of those that are or were blocked. Outlives the client too.
const SLOW: u8 = 1 << 7;

/// What is known of one client. 48 bytes, of which an idle one needs no more.
#[derive(Clone, Copy, Debug)]
struct Client {
    queue: Queue,
    sent: Sent,
    /// Where it stands in the ring of its log.
    member: u32,
    log: LogId,
    flags: u8,
}

impl Client {
    const NEW: Self = Self {
        queue: Queue::EMPTY,
        sent: Sent {
            bytes: 0,
            frames: 0,
            messages: 0,
        },
        member: 0,
        log: LogId::NONE,
        flags: 0,
    };

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether its socket is to be given something of its own.
    const fn has_own(&self) -> bool {
        !self.queue.is_empty() || self.has(UNDELIVERED)
    }
}

/// What a client lacks of its log and will be sent.
#[derive(Clone, Copy, Debug)]
struct Rest {
    from: Mark,
    to: Mark,
    /// Whether something behind `to` is refused.
    is_cut: bool,
}

impl Rest {
    const fn bytes(&self) -> u64 {
        self.to.position - self.from.position
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Output {
    store: Store,
    /// Where messages for single clients are written.
    turn: Arena,
    /// Where messages for several clients that are not a log's members are written.
    lists: Arena,
    logs: Vec<Log>,
    /// Logs whose ring turns, in the order in which they have their turns. A log leaves the
    /// list when it is looked at and found to rest.
    turning: VecDeque<LogId>,
    /// By slot.
    clients: Vec<Client>,
    /// Clients with something of their own. Those that are blocked or have been flushed
    /// meanwhile are passed over.
    dirty: VecDeque<u32>,
    /// The same, of those that this turn has visited already.
    dirty_later: Vec<u32>,
    overflowed: Vec<u32>,
    unjudged: Unjudged,
    cork: Cork,
    slow: Slow,
    /// What all clients of logs were sent, bytes excluded.
    total: Sent,
    /// What was among that until it was found to be beyond a limit.
    dropped: Sent,
    /// Who was handed out last. If it is neither blocked nor empty at the next call, it is
    /// entered in `dirty_later`: nobody is forgotten.
    visited: Option<u32>,
    turn_bytes: usize,
    /// A ring may have to close gaps, a log to forget: see [`end_turn`](Self::end_turn).
    is_owing: bool,
}

/// The life of a client.
impl Output {
    /// No client, no log, no memory.
    pub(crate) fn new() -> Self {
        Self {
            store: Store::new(),
            turn: Arena::new(Kind::Turn),
            lists: Arena::new(Kind::Shared),
            logs: Vec::new(),
            turning: VecDeque::new(),
            clients: Vec::new(),
            dirty: VecDeque::new(),
            dirty_later: Vec::new(),
            overflowed: Vec::new(),
            unjudged: Unjudged::default(),
            cork: Cork::new(),
            slow: Slow::default(),
            total: Sent::default(),
            dropped: Sent::default(),
            visited: None,
            turn_bytes: 0,
            is_owing: false,
        }
    }

    /// Makes room for `clients` slots at once, so that growing never copies them.
    pub(crate) fn reserve(&mut self, clients: usize) {
        self.clients
            .reserve(clients.saturating_sub(self.clients.len()));
    }

    /// Adds a log without members; `None` beyond 65,535 of them.
    pub(crate) fn add_log(&mut self, limits: LogLimits) -> Option<LogId> {
        let id = u16::try_from(self.logs.len()).ok().map(LogId)?;
        if id == LogId::NONE {
            return None;
        }
        self.logs.push(Log::new(limits));
        Some(id)
    }

    /// A new client: nothing waits, it is not blocked and a member of no log.
    pub(crate) fn open(&mut self, slot: u32) {
        let index = slot as usize;
        if index >= self.clients.len() {
            self.clients.resize(index + 1, Client::NEW);
        }
        debug_assert!(self.clients[index].queue.is_empty(), "closed before");
        self.reset(slot);
    }

    fn reset(&mut self, slot: u32) {
        let client = &mut self.clients[slot as usize];
        if client.has(BLOCKED) {
            self.slow.note_unblocked();
        }
        *client = Client {
            flags: client.flags & (DIRTY | REPORTED | SLOW),
            ..Client::NEW
        };
    }

    /// From now on the client gets the broadcasts of `log`, and its counters begin at 0.
    pub(crate) fn join(&mut self, slot: u32, log: LogId) {
        self.leave(slot);
        let member = self.logs[usize::from(log.0)].join(slot);
        let client = &mut self.clients[slot as usize];
        // Below zero by what is still to be written of before, so that it does not count.
        let bytes = client.queue.bytes().wrapping_neg();
        (client.log, client.member, client.sent) = (
            log,
            member,
            Sent {
                bytes,
                ..Sent::default()
            },
        );
        client.flags &= !OVERFLOWED;
    }

    /// The client keeps what was broadcast before (judged, if it is blocked) and gets nothing
    /// that is broadcast later. Does nothing if it is no member.
    pub(crate) fn leave(&mut self, slot: u32) {
        self.uncork(slot);
        self.catch_up(slot);
        self.forget_member(slot);
    }

    fn forget_member(&mut self, slot: u32) {
        self.unjudged.forget(slot);
        let client = &mut self.clients[slot as usize];
        if client.log != LogId::NONE {
            self.is_owing = true;
            self.logs[usize::from(client.log.0)].leave(&mut self.store.segments, client.member);
            client.log = LogId::NONE;
        }
    }

    /// Drops all that waits, and the membership. The slot may be opened anew.
    pub(crate) fn close(&mut self, slot: u32) {
        self.uncork(slot);
        self.forget_member(slot);
        self.store.clear(&mut self.clients[slot as usize].queue);
        self.reset(slot);
    }
}

/// Queueing.
impl Output {
    /// Queues `bytes` for one client. Never refused: what a limit means for a message is
    /// asked of [`has_room`](Self::has_room) before.
    #[inline]
    pub(crate) fn send(&mut self, slot: u32, unit: Unit, bytes: Bytes<'_>) {
        self.uncork(slot);
        // Without a log there is nothing to catch up with, and no limit to judge by.
        if self.clients[slot as usize].log != LogId::NONE {
            self.catch_up(slot);
            self.note_unjudged(slot, unit, bytes.len());
        }
        self.clients[slot as usize].sent.count(unit);
        self.total.count(unit);
        self.enqueue(slot, bytes);
    }

    /// Puts `bytes` behind all that waits for a client of its own.
    #[inline]
    fn enqueue(&mut self, slot: u32, bytes: Bytes<'_>) {
        self.turn_bytes += bytes.len();
        let client = &mut self.clients[slot as usize];
        // The usual case, without the loop over pieces.
        if let Bytes::Parts(head, body) = bytes
            && !client.has(BLOCKED)
            && let Some(piece) = self
                .turn
                .append_behind(&mut self.store.segments, head, body)
        {
            self.store.push(&mut client.queue, piece);
            client.flags |= IN_TURN;
        } else {
            self.send_pieces(slot, bytes);
        }
        self.mark_dirty(slot);
    }

    fn send_pieces(&mut self, slot: u32, bytes: Bytes<'_>) {
        let client = &mut self.clients[slot as usize];
        for piece in bytes.pieces() {
            match piece {
                Bytes::Parts(..) if client.has(BLOCKED) || piece.len() > SEGMENT_BYTES => {
                    self.store.push_private(&mut client.queue, piece);
                }
                Bytes::Parts(..) => {
                    let piece = self.turn.append(&mut self.store.segments, piece);
                    self.store.push(&mut client.queue, piece);
                    client.flags |= IN_TURN;
                }
                Bytes::Shared(_) => {
                    let piece = self.store.segments.append(None, piece, Kind::Shared, 0);
                    self.store.push(&mut client.queue, piece);
                    self.store.segments.release(piece.segment); // the range points at it now
                }
            }
        }
    }

    /// Whether a message may be queued: the client is not blocked, or no more than the hard
    /// limit of its log waits for it. Without a log there is no limit. Who is not blocked is
    /// judged when it is: how much of its queue is a backlog, only its socket knows.
    #[inline]
    pub(crate) fn has_room(&self, slot: u32) -> bool {
        let client = &self.clients[slot as usize];
        if client.flags & (BLOCKED | OVERFLOWED) == 0 {
            return true;
        }
        let Some(log) = self.logs.get(usize::from(client.log.0)) else {
            return true;
        };
        // Broadcasts that it lacks are taken as long as this very condition holds, so that the
        // backlog says whether the last of them was the one too many.
        !client.has(OVERFLOWED)
            && (!client.has(BLOCKED)
                || self.backlog_bytes(slot) <= log.limits.hard_backlog_bytes as u64)
    }

    /// Queues `bytes` for each of `slots`, which hold no client twice. Stored once, also for
    /// those that are blocked.
    pub(crate) fn send_many(&mut self, slots: &[u32], unit: Unit, bytes: Bytes<'_>) {
        if let [slot] = slots {
            return self.send(*slot, unit, bytes);
        }
        for &slot in slots {
            self.uncork(slot);
            self.catch_up(slot);
            self.note_unjudged(slot, unit, bytes.len());
            self.clients[slot as usize].sent.count(unit);
            self.total.count(unit);
            self.mark_dirty(slot);
        }
        if slots.is_empty() {
            return;
        }
        self.turn_bytes += bytes.len();
        for piece in bytes.pieces() {
            let piece = self.lists.append(&mut self.store.segments, piece);
            for &slot in slots {
                self.store
                    .push_shared(&mut self.clients[slot as usize].queue, piece);
            }
        }
    }

    /// Queues a body of exactly `len` bytes that is pulled when all before it is written.
    pub(crate) fn send_source(&mut self, slot: u32, len: u64, source: Box<dyn Source>) {
        if len == 0 {
            return;
        }
        self.uncork(slot);
        self.catch_up(slot);
        self.store
            .push_source(&mut self.clients[slot as usize].queue, len, source);
        self.mark_dirty(slot);
    }

    /// Queues `bytes` for all members of `log`, at the price of one.
    pub(crate) fn broadcast(&mut self, log: LogId, unit: Unit, bytes: Bytes<'_>) {
        self.uncork_any(); // what follows to that client goes behind the broadcast
        let entered = &mut self.logs[usize::from(log.0)];
        let members = entered.ring.live_count() as u64;
        if members == 0 {
            return; // nobody would ever make the log forget it
        }
        self.total.count_for(members, unit);
        self.turn_bytes += bytes.len();
        entered.append(&mut self.store.segments, unit, bytes);
        entered.ring.restart();
        if !entered.is_listed {
            entered.is_listed = true;
            self.turning.push_back(log);
        }
    }

    /// The same, except that the members among `except` skip this one.
    pub(crate) fn broadcast_except(
        &mut self,
        log: LogId,
        unit: Unit,
        bytes: Bytes<'_>,
        except: &[u32],
    ) {
        let is_member = |clients: &[Client], slot: u32| {
            clients
                .get(slot as usize)
                .is_some_and(|client| client.log == log)
        };
        for &slot in except {
            if is_member(&self.clients, slot) {
                self.catch_up(slot);
            }
        }
        self.broadcast(log, unit, bytes);
        let entered = &mut self.logs[usize::from(log.0)];
        for &slot in except {
            if is_member(&self.clients, slot) {
                let end = entered.end_sequence();
                entered.set_cursor(self.clients[slot as usize].member, end);
                self.total.take_back(unit);
            }
        }
    }

    /// A client is not sent what was counted for it.
    fn drop_counted(&mut self, unit: Unit) {
        self.total.take_back(unit);
        self.dropped.count(unit);
    }

    /// A message was refused: where the policy is to close, the client is to be reported.
    fn overflow(&mut self, slot: u32) {
        let client = &mut self.clients[slot as usize];
        let policy = self.logs[usize::from(client.log.0)].limits.policy;
        if policy == BacklogPolicy::Close && !client.has(OVERFLOWED) {
            if !client.has(REPORTED) {
                self.overflowed.push(slot);
            }
            client.flags |= OVERFLOWED | REPORTED;
        }
    }

    #[inline]
    fn mark_dirty(&mut self, slot: u32) {
        let client = &mut self.clients[slot as usize];
        if client.flags & (DIRTY | BLOCKED) == 0 {
            client.flags |= DIRTY;
            self.dirty.push_back(slot);
        }
    }

    /// What the client lacks of its log and will be sent; `None` if it lacks nothing.
    #[inline]
    fn rest(&self, slot: u32) -> Option<Rest> {
        // A client without a log, as all of HTTP, is told from the others where it is asked.
        if self.clients[slot as usize].log == LogId::NONE {
            return None;
        }
        self.rest_of_log(slot)
    }

    fn rest_of_log(&self, slot: u32) -> Option<Rest> {
        let client = &self.clients[slot as usize];
        let log = self.logs.get(usize::from(client.log.0))?;
        log.is_lacked(client.member)
            .then(|| Self::rest_of(client, log))
    }

    fn rest_of(client: &Client, log: &Log) -> Rest {
        let (cursor, end) = (log.cursor(client.member), log.end_sequence());
        let accepted = match client.flags & (BLOCKED | OVERFLOWED) {
            0 => end,
            BLOCKED => log.accepted(cursor, client.queue.bytes()),
            _ => cursor,
        };
        Rest {
            from: log.mark(cursor),
            to: log.mark(accepted),
            is_cut: accepted < end,
        }
    }

    /// Leaves the shared path: what the client lacks of its log becomes ranges of its own.
    #[inline]
    fn catch_up(&mut self, slot: u32) {
        if let Some(rest) = self.rest(slot) {
            self.take_over(slot, rest);
        }
    }

    fn take_over(&mut self, slot: u32, rest: Rest) {
        self.note_unjudged_rest(slot, rest);
        let client = &mut self.clients[slot as usize];
        let log = &mut self.logs[usize::from(client.log.0)];
        for piece in log.pieces(rest.from.position, rest.to.position) {
            self.store.push_shared(&mut client.queue, piece);
        }
        client.sent.count(rest.from.units_until(rest.to));
        let end = log.end_sequence();
        log.set_cursor(client.member, end);
        if rest.is_cut {
            let dropped = rest.to.units_until(log.mark(end));
            self.drop_counted(dropped);
            self.overflow(slot);
        }
        self.mark_dirty(slot);
    }
}

/// Answers.
impl Output {
    /// Whether a source is among what waits for the client.
    pub(crate) fn has_source(&self, slot: u32) -> bool {
        self.store.has_source(&self.clients[slot as usize].queue)
    }

    /// Whether it has something of its own that no socket was asked to take yet.
    #[inline]
    pub(crate) fn is_dirty(&self, slot: u32) -> bool {
        let client = &self.clients[slot as usize];
        client.has(DIRTY) && !client.has(BLOCKED) && client.has_own()
    }

    /// How many bytes wait for the client; what sources have not given yet is not among them.
    #[inline]
    pub(crate) fn backlog_bytes(&self, slot: u32) -> u64 {
        self.clients[slot as usize].queue.bytes()
            + self.cork.bytes_for(slot) as u64
            + self.rest(slot).map_or(0, |rest| rest.bytes())
    }

    /// Whether anything at all is still to be written, sources included.
    #[inline]
    pub(crate) fn has_output(&self, slot: u32) -> bool {
        self.clients[slot as usize].has_own()
            || self.cork.bytes_for(slot) > 0
            || self.rest(slot).is_some_and(|rest| rest.bytes() > 0)
    }

    /// Whether the socket was full when last heard of.
    #[inline]
    pub(crate) fn is_blocked(&self, slot: u32) -> bool {
        self.clients[slot as usize].has(BLOCKED)
    }

    /// Whether something that was taken from here waits still, below, for the socket to take it.
    pub(crate) fn put_undelivered(&mut self, slot: u32, waits: bool) {
        let client = &mut self.clients[slot as usize];
        if waits {
            client.flags |= UNDELIVERED;
            self.mark_dirty(slot);
        } else {
            client.flags &= !UNDELIVERED;
        }
    }

    /// The log that the client is a member of.
    #[inline]
    pub(crate) fn log(&self, slot: u32) -> LogId {
        self.clients[slot as usize].log
    }

    /// Whether messages that were queued for it were dropped again since this was asked last.
    pub(crate) fn take_cut(&mut self, slot: u32) -> bool {
        let client = &mut self.clients[slot as usize];
        let was_cut = client.has(CUT);
        client.flags &= !CUT;
        was_cut
    }

    /// What the client was sent since it joined.
    pub(crate) fn sent(&self, slot: u32) -> Sent {
        let mut sent = self.clients[slot as usize].sent;
        sent.count(self.cork.unit_for(slot));
        if let Some(rest) = self.rest(slot) {
            sent.count(rest.from.units_until(rest.to));
        }
        if sent.bytes > i64::MAX as u64 {
            sent.bytes = 0;
        }
        sent
    }

    /// What all clients of logs were sent, each broadcast once for each of its members; bytes are not
    /// counted. It may be less later: see [`dropped`](Self::dropped).
    pub(crate) fn total_sent(&self) -> Sent {
        let mut total = self.total;
        total.count(self.cork.unit());
        total
    }

    /// What was among that, and then was found to be beyond a limit.
    pub(crate) const fn dropped(&self) -> Sent {
        self.dropped
    }

    /// Bytes in the queues of all clients.
    pub(crate) const fn queued_bytes(&self) -> u64 {
        self.store.queued_bytes()
    }

    /// How many bytes the socket of a client that is in no log took so far.
    pub(crate) fn taken(&self, slot: u32) -> u64 {
        self.clients[slot as usize].sent.bytes
    }

    /// The place of the next byte that is queued for it among all of them; what sources have not given
    /// yet is not counted.
    pub(crate) fn position(&self, slot: u32) -> u64 {
        self.taken(slot) + self.backlog_bytes(slot)
    }

    /// Whether a flush has nothing to do: nobody to write to, nothing to tidy.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.turn_bytes == 0
            && !self.is_owing
            && self.visited.is_none()
            && self.dirty.is_empty()
            && self.dirty_later.is_empty()
            && self.turning.is_empty()
            && self.overflowed.is_empty()
    }

    /// Bytes queued since the last [`end_turn`](Self::end_turn), a broadcast counted once.
    pub(crate) const fn turn_bytes(&self) -> usize {
        self.turn_bytes
    }

    /// The members of `log` in order of joining.
    pub(crate) fn members(&self, log: LogId) -> impl Iterator<Item = u32> {
        self.logs[usize::from(log.0)].ring.slots()
    }

    /// How many members `log` has.
    pub(crate) fn member_count(&self, log: LogId) -> usize {
        self.logs[usize::from(log.0)].ring.live_count()
    }

    /// Memory of all segments, buffers kept for reuse included, in bytes.
    #[cfg(test)]
    pub(crate) const fn memory_bytes(&self) -> usize {
        self.store.segments.memory_bytes()
    }
}

#[cfg(test)]
mod tests;
