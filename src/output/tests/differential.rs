//! Output against a model that keeps one naive list of bytes for each client.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;

use super::super::{Bytes, LEND_BYTES, LogId, LogLimits, Output, Sent, Source, Unit};
use crate::config::BacklogPolicy;

const SLOTS: u32 = 9;
const LONGEST: usize = 250_000;
const STAMPS: usize = 1000;
const PULL_BYTES: usize = 64 * 1024;

/// Marsaglia's xorshift: the same steps for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn slot(&mut self) -> u32 {
        u32::try_from(self.below(SLOTS as usize)).unwrap()
    }
}

/// Gives its bytes in parts of `chunk`, and has more of them than it said.
struct Chunks {
    bytes: Vec<u8>,
    at: usize,
    chunk: usize,
}

impl Source for Chunks {
    fn pull(&mut self, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let len = self.chunk.min(max);
        let given = self.bytes.get(self.at..).unwrap_or_default();
        into.extend_from_slice(&given[..len.min(given.len())]);
        into.resize(len, 0xEE);
        self.at += len;
        Ok(len)
    }
}

#[derive(Clone)]
struct Part {
    bytes: Rc<Vec<u8>>,
    at: usize,
    /// What a source gives at once; 0 for bytes that are there.
    chunk: usize,
    /// Queued beyond the limit while the client was not blocked: judged when it is.
    unjudged: Option<Unit>,
}

impl Part {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }
}

/// Whether a broadcast was refused, which goes for all that follow.
#[derive(Clone, Copy, Default, PartialEq)]
enum Overflow {
    #[default]
    No,
    ToBeReported,
    Reported,
}

#[derive(Clone, Default)]
struct Client {
    is_open: bool,
    is_blocked: bool,
    overflow: Overflow,
    log: Option<usize>,
    own: VecDeque<Part>,
    rest: VecDeque<(Rc<Vec<u8>>, Unit)>,
    sent: Sent,
    /// Bytes that were queued before it joined and not written yet: they do not count.
    foreign: usize,
}

impl Client {
    fn own_bytes(&self) -> usize {
        self.own
            .iter()
            .filter(|part| part.chunk == 0)
            .map(|part| part.rest().len())
            .sum()
    }

    fn push(&mut self, bytes: Rc<Vec<u8>>) {
        self.push_unjudged(bytes, None);
    }

    fn push_unjudged(&mut self, bytes: Rc<Vec<u8>>, unjudged: Option<Unit>) {
        if !bytes.is_empty() {
            self.own.push_back(Part {
                bytes,
                at: 0,
                chunk: 0,
                unjudged,
            });
        }
    }

    /// `unit`, if a message queued now would be over the limit should the socket take nothing.
    fn beyond(&self, unit: Unit, limits: Option<LogLimits>) -> Option<Unit> {
        let has_source = self.own.iter().any(|part| part.chunk > 0);
        let over = limits.is_some_and(|limits| self.own_bytes() > limits.hard_backlog_bytes);
        (over && !has_source && !self.is_blocked).then_some(unit)
    }

    fn judge_unjudged(&mut self, limits: LogLimits) {
        let mut before = 0;
        let first = self.own.iter().position(|part| {
            let waits = before;
            before += part.rest().len();
            let is_message = part.unjudged.is_some_and(|unit| unit.messages > 0);
            is_message && part.at == 0 && waits > limits.hard_backlog_bytes
        });
        let Some(first) = first else { return };
        for part in self.own.drain(first..) {
            let unit = part.unjudged.unwrap_or_default();
            self.sent.frames -= u64::from(unit.frames);
            self.sent.messages -= u64::from(unit.messages);
        }
        if limits.policy == BacklogPolicy::Close && self.overflow == Overflow::No {
            self.overflow = Overflow::ToBeReported;
        }
    }

    fn count(&mut self, unit: Unit) {
        self.sent.frames += u64::from(unit.frames);
        self.sent.messages += u64::from(unit.messages);
    }

    /// A blocked client lacks nothing here: it is judged at once.
    fn catch_up(&mut self, limits: Option<LogLimits>) {
        while let Some((bytes, unit)) = self.rest.pop_front() {
            let unjudged = self.beyond(unit, limits);
            self.push_unjudged(bytes, unjudged);
        }
    }

    fn judge(&mut self, bytes: Rc<Vec<u8>>, unit: Unit, limits: LogLimits) {
        if self.overflow != Overflow::No {
            return;
        }
        if self.own_bytes() <= limits.hard_backlog_bytes {
            self.push(bytes);
            self.count(unit);
        } else if limits.policy == BacklogPolicy::Close {
            self.overflow = Overflow::ToBeReported;
        }
    }

    fn receive(&mut self, bytes: Rc<Vec<u8>>, unit: Unit, limits: LogLimits) {
        if self.is_blocked || self.overflow != Overflow::No {
            self.judge(bytes, unit, limits);
        } else {
            self.rest.push_back((bytes, unit));
            self.count(unit);
        }
    }

    fn block(&mut self, limits: Option<LogLimits>) {
        self.is_blocked = true;
        if let Some(limits) = limits {
            self.judge_unjudged(limits);
        }
        self.own.iter_mut().for_each(|part| part.unjudged = None);
        for (bytes, unit) in std::mem::take(&mut self.rest) {
            self.sent.frames -= u64::from(unit.frames);
            self.sent.messages -= u64::from(unit.messages);
            self.judge(bytes, unit, limits.expect("only members lack anything"));
        }
    }

    fn fill(&mut self) {
        let Some(source) = self.own.front_mut().filter(|part| part.chunk > 0) else {
            return;
        };
        let len = source.chunk.min(PULL_BYTES).min(source.rest().len());
        let pulled = source.rest()[..len].to_vec();
        source.at += len;
        if source.rest().is_empty() {
            self.own.pop_front();
        }
        self.own.push_front(Part {
            bytes: Rc::new(pulled),
            at: 0,
            chunk: 0,
            unjudged: None,
        });
    }

    /// What may be written now.
    fn writable(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.own {
            if part.chunk > 0 {
                return bytes;
            }
            bytes.extend_from_slice(part.rest());
        }
        self.rest
            .iter()
            .for_each(|(message, _)| bytes.extend_from_slice(message));
        bytes
    }

    fn advance(&mut self, mut written: usize) {
        let foreign = written.min(self.foreign);
        self.foreign -= foreign;
        self.sent.bytes += (written - foreign) as u64;
        while written > 0 {
            if let Some(part) = self.own.front_mut() {
                let len = written.min(part.rest().len());
                part.at += len;
                written -= len;
                if part.rest().is_empty() {
                    self.own.pop_front();
                }
            } else {
                // A message that has begun is the client's own.
                let (bytes, _) = self.rest.pop_front().expect("not more than was gathered");
                self.push(bytes);
            }
        }
    }
}

struct Pair {
    random: Random,
    output: Output,
    logs: [(LogId, LogLimits, Vec<u32>); 2],
    clients: Vec<Client>,
    /// Each payload is another part of it, so that no two that follow each other are alike.
    pattern: Vec<u8>,
    stamp: usize,
}

impl Pair {
    fn new(seed: u64, pattern: &[u8]) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut output = Output::new();
        let mut log = |policy| {
            let limits = LogLimits {
                soft_backlog_bytes: [0, 100, usize::MAX][random.below(3)],
                hard_backlog_bytes: [0, 60, 300, 20_000][random.below(4)],
                policy,
            };
            (
                output.add_log(limits).expect("few logs"),
                limits,
                Vec::new(),
            )
        };
        let logs = [log(BacklogPolicy::Close), log(BacklogPolicy::DropMessages)];
        Self {
            random,
            output,
            logs,
            clients: vec![Client::default(); SLOTS as usize],
            pattern: pattern.to_vec(),
            stamp: 0,
        }
    }

    fn payload(&mut self) -> Rc<Vec<u8>> {
        let bound = match self.random.below(1000) {
            0 => LONGEST,
            1..20 => 40_000,
            20..80 => 9_000,
            80..400 => 300,
            _ => 40,
        };
        let len = self.random.below(bound);
        self.stamp = (self.stamp + 1) % STAMPS;
        Rc::new(self.pattern[self.stamp..][..len].to_vec())
    }

    fn unit(&mut self) -> Unit {
        [
            Unit {
                frames: 0,
                messages: 0,
            },
            Unit {
                frames: 1,
                messages: 0,
            },
            Unit {
                frames: 3,
                messages: 1,
            },
        ][self.random.below(3)]
    }

    fn step(&mut self) {
        let slot = self.random.slot();
        let index = slot as usize;
        if !self.clients[index].is_open {
            self.output.open(slot);
            self.clients[index] = Client {
                is_open: true,
                ..Client::default()
            };
            if self.random.below(4) > 0 {
                self.join(slot);
            }
            return;
        }
        match self.random.below(100) {
            0..3 => self.join(slot),
            3..6 => self.leave(slot),
            6..9 => self.close(slot),
            9..25 => self.send(slot),
            25..33 => self.send_many(),
            33..38 => self.send_source(slot),
            38..62 => self.broadcast(),
            62..66 => {
                let limits = self.limits(slot);
                self.output.block(slot);
                self.clients[index].block(limits);
            }
            66..72 => {
                self.output.unblock(slot);
                self.clients[index].is_blocked = false;
            }
            72..75 if !self.clients[index].is_blocked => {
                self.write(slot); // at once, not in a flush phase
            }
            75..79 => self.report_overflowed(),
            79..85 => self.serve(slot),
            _ => self.flush(),
        }
        self.check(slot);
    }

    fn limits(&self, slot: u32) -> Option<LogLimits> {
        self.clients[slot as usize].log.map(|log| self.logs[log].1)
    }

    fn leave(&mut self, slot: u32) {
        self.output.leave(slot);
        let limits = self.limits(slot);
        let client = &mut self.clients[slot as usize];
        client.catch_up(limits);
        client.own.iter_mut().for_each(|part| part.unjudged = None);
        if let Some(log) = client.log.take() {
            self.logs[log].2.retain(|&member| member != slot);
        }
    }

    fn join(&mut self, slot: u32) {
        self.leave(slot);
        let log = self.random.below(2);
        self.output.join(slot, self.logs[log].0);
        self.logs[log].2.push(slot);
        let client = &mut self.clients[slot as usize];
        (client.log, client.sent, client.overflow) = (Some(log), Sent::default(), Overflow::No);
        client.foreign = client.own_bytes();
    }

    fn close(&mut self, slot: u32) {
        self.output.close(slot);
        let client = &mut self.clients[slot as usize];
        if let Some(log) = client.log {
            self.logs[log].2.retain(|&member| member != slot);
        }
        *client = Client::default();
    }

    /// Calls `send` with the payload in one of the two forms.
    fn with_bytes(&mut self, payload: &[u8], send: impl FnOnce(&mut Output, Bytes<'_>)) {
        if self.random.one_in(3) {
            send(&mut self.output, Bytes::Shared(&Arc::from(payload)));
        } else {
            let (head, body) = payload.split_at(self.random.below(payload.len().min(9) + 1));
            send(&mut self.output, Bytes::Parts(head, body));
        }
    }

    fn send(&mut self, slot: u32) {
        let (payload, unit) = (self.payload(), self.unit());
        self.with_bytes(&payload, |output, bytes| output.send(slot, unit, bytes));
        self.queue(slot, payload, unit);
    }

    fn queue(&mut self, slot: u32, payload: Rc<Vec<u8>>, unit: Unit) {
        let limits = self.limits(slot);
        let client = &mut self.clients[slot as usize];
        client.catch_up(limits);
        let unjudged = client.beyond(unit, limits);
        client.push_unjudged(payload, unjudged);
        client.count(unit);
    }

    fn send_many(&mut self) {
        let (payload, unit) = (self.payload(), self.unit());
        let mut slots: Vec<u32> = (0..SLOTS)
            .filter(|&slot| self.clients[slot as usize].is_open)
            .collect();
        slots.retain(|_| self.random.one_in(2));
        self.with_bytes(&payload, |output, bytes| {
            output.send_many(&slots, unit, bytes);
        });
        for slot in slots {
            self.queue(slot, Rc::clone(&payload), unit);
        }
    }

    fn send_source(&mut self, slot: u32) {
        let (payload, chunk) = (self.payload(), 1 + self.payload().len());
        let source = Chunks {
            bytes: payload.to_vec(),
            at: 0,
            chunk,
        };
        self.output
            .send_source(slot, payload.len() as u64, Box::new(source));
        if !payload.is_empty() {
            let limits = self.limits(slot);
            let client = &mut self.clients[slot as usize];
            client.catch_up(limits);
            client.own.push_back(Part {
                bytes: payload,
                at: 0,
                chunk,
                unjudged: None,
            });
        }
    }

    fn broadcast(&mut self) {
        let (log, mut payload, unit) = (self.random.below(2), self.payload(), self.unit());
        if payload.is_empty() {
            // When the ring comes to a member that lacks only an empty message is not modelled.
            payload = Rc::new(vec![0]);
        }
        let (id, limits, members) = self.logs[log].clone();
        let except: Vec<u32> = match self.random.below(3) {
            0 => (0..self.random.below(5))
                .map(|_| self.random.slot() * 2)
                .collect(),
            _ => Vec::new(),
        };
        if except.is_empty() {
            self.with_bytes(&payload, |output, bytes| output.broadcast(id, unit, bytes));
        } else {
            self.with_bytes(&payload, |output, bytes| {
                output.broadcast_except(id, unit, bytes, &except);
            });
        }
        for slot in members {
            let client = &mut self.clients[slot as usize];
            if except.contains(&slot) {
                client.catch_up(Some(limits));
            } else {
                client.receive(Rc::clone(&payload), unit, limits);
            }
        }
    }

    /// A client is served: most of what happens meanwhile are answers to it.
    fn serve(&mut self, slot: u32) {
        let Some(log) = self.clients[slot as usize].log else {
            return;
        };
        let (id, owner) = (self.logs[log].0, 1000 + u64::from(slot));
        let most = [0, 200, 50_000][self.random.below(3)];
        let most = most.min(self.logs[log].1.hard_backlog_bytes);
        self.output.cork(slot, owner, most);
        for _ in 0..self.random.below(6) {
            let large = self.random.below(9_000);
            let message = self.pattern[self.stamp..][..LEND_BYTES + large].to_vec();
            let is_large = self.random.one_in(3);
            if is_large && self.output.corked(slot).is_some() {
                self.output.offer(&message);
            }
            // What the application does until it returns.
            for _ in 0..self.random.below(4) {
                match self.random.below(12) {
                    0 => self.broadcast(),
                    1 => self.send_many(),
                    2 => self.send(slot),
                    3 => self.leave(slot),
                    4 => {
                        let other = self.random.slot();
                        if self.clients[other as usize].is_open {
                            self.send(other);
                        }
                    }
                    5 | 6 if is_large => self.answer(slot, owner, id, &message),
                    _ => {
                        let payload = self.payload();
                        self.answer(slot, owner, id, &payload);
                    }
                }
                self.check(slot);
            }
            if is_large {
                self.write_lent(slot, &message);
            }
        }
        self.write_corked(slot);
        self.check(slot);
    }

    /// To a client that left meanwhile an answer is none.
    fn answer(&mut self, slot: u32, owner: u64, log: LogId, body: &[u8]) {
        let unit = Unit {
            frames: 1,
            messages: 1,
        };
        let (head, len) = (*b"abcdefghij", self.random.below(11));
        let whole = Rc::new([&head[..len], body].concat());
        let is_member = self.clients[slot as usize].log.is_some();
        let answered = self.output.answer(owner, log, &head, len, body);
        assert!(is_member || !answered, "{slot} has left");
        if !answered {
            self.output
                .send(slot, unit, Bytes::Parts(&head[..len], body));
        }
        self.queue(slot, whole, unit);
    }

    fn write_lent(&mut self, slot: u32, message: &[u8]) {
        let Some(head) = self.output.lent(message) else {
            return;
        };
        let whole = [head.as_bytes(), message].concat();
        let written = self.take_some(slot, &whole);
        self.output.lent_taken(message, written);
        self.clients[slot as usize].advance(written);
    }

    fn write_corked(&mut self, slot: u32) {
        let Some(bytes) = self.output.corked(slot).map(<[u8]>::to_vec) else {
            return;
        };
        let written = self.take_some(slot, &bytes);
        if written == bytes.len() {
            self.output.cork_taken(slot);
        } else {
            self.output.uncork(slot);
            self.output.advance(slot, written);
        }
        self.clients[slot as usize].advance(written);
    }

    /// How many of `bytes`, which are to be written next to a client, its socket takes.
    fn take_some(&mut self, slot: u32, bytes: &[u8]) -> usize {
        let expected = self.clients[slot as usize].writable();
        assert!(expected.starts_with(bytes), "other bytes for {slot}");
        match self.random.below(4) {
            0 => self.random.below(bytes.len() + 1),
            _ => bytes.len(),
        }
    }

    /// The straight path of the ring, until it has nobody left.
    fn flush_straight(&mut self, visits: &mut usize) {
        loop {
            let (clients, random) = (&mut self.clients, &mut self.random);
            let partial = self.output.flush_straight(visits, |slot, bytes| {
                let client = &mut clients[slot as usize];
                assert!(client.is_open && !client.is_blocked && client.own.is_empty());
                assert_eq!(client.writable(), bytes, "other bytes for {slot}");
                if random.one_in(5) {
                    return random.below(bytes.len());
                }
                client.advance(bytes.len());
                bytes.len()
            });
            let Some((slot, taken)) = partial else { return };
            self.output.advance(slot, taken);
            self.clients[slot as usize].advance(taken);
            self.visit(slot);
            // As the loop does: what is left is written, or the socket is full.
            if self.output.has_output(slot) && !self.clients[slot as usize].is_blocked {
                let limits = self.limits(slot);
                self.output.block(slot);
                self.clients[slot as usize].block(limits);
            }
        }
    }

    /// Compares what would be written, and writes some of it. `false`: not all.
    fn write(&mut self, slot: u32) -> bool {
        self.output.fill(slot).unwrap();
        self.clients[slot as usize].fill();
        let expected = self.clients[slot as usize].writable();
        let mut slices = [IoSlice::new(&[]); 9];
        let free = 1 + self.random.below(9);
        let gathered = self.output.gather(slot, &mut slices[..free]);
        let mut bytes = Vec::with_capacity(gathered.bytes);
        slices[..gathered.slices]
            .iter()
            .for_each(|slice| bytes.extend_from_slice(slice));
        assert_eq!(bytes.len(), gathered.bytes);
        assert!(expected.starts_with(&bytes), "other bytes for {slot}");
        assert!(
            gathered.slices == free || bytes.len() == expected.len(),
            "not all for {slot}"
        );
        let written = match self.random.below(6) {
            0 => 0,
            1 | 2 => self.random.below(bytes.len() + 1),
            _ => bytes.len(),
        };
        self.output.advance(slot, written);
        self.clients[slot as usize].advance(written);
        if written == bytes.len() {
            return true;
        }
        if self.random.below(4) > 0 {
            let limits = self.limits(slot);
            self.output.block(slot);
            self.clients[slot as usize].block(limits);
        }
        false
    }

    /// Writes once or twice to a client that was handed out.
    fn visit(&mut self, slot: u32) {
        let client = &self.clients[slot as usize];
        assert!(
            client.is_open && !client.is_blocked,
            "{slot} cannot be written"
        );
        assert!(self.output.has_output(slot), "{slot} has nothing");
        if self.write(slot) && !self.clients[slot as usize].is_blocked && self.random.one_in(2) {
            self.write(slot);
        }
        let limits = self.limits(slot);
        self.clients[slot as usize].catch_up(limits); // remembered by what comes next
    }

    fn flush(&mut self) {
        let mut some = self.random.below(6);
        while some > 0
            && let Some(slot) = self.output.next_dirty()
        {
            self.visit(slot);
            some -= 1;
        }
        let mut visits = 1 + self.random.below(9);
        if self.random.one_in(2) {
            self.flush_straight(&mut visits);
        }
        while let Some(slot) = self.output.next_in_ring(&mut visits) {
            self.visit(slot);
        }
        self.output.end_turn();
        assert_eq!(self.output.turn_bytes(), 0);
    }

    /// Who is reported is over its limit; when all rings rest, nobody else is.
    fn report_overflowed(&mut self) {
        while let Some(slot) = self.output.next_overflowed() {
            let overflow = &mut self.clients[slot as usize].overflow;
            assert!(*overflow == Overflow::ToBeReported, "{slot}");
            *overflow = Overflow::Reported;
        }
        if !self.output.ring_pending() {
            let is_missing = |client: &Client| client.overflow == Overflow::ToBeReported;
            assert!(!self.clients.iter().any(is_missing));
        }
    }

    fn check(&self, slot: u32) {
        let (client, output) = (&self.clients[slot as usize], &self.output);
        if client.is_open {
            let rest: usize = client.rest.iter().map(|(bytes, _)| bytes.len()).sum();
            assert_eq!(
                output.backlog_bytes(slot),
                (client.own_bytes() + rest) as u64,
                "backlog of {slot}"
            );
            assert_eq!(
                output.has_output(slot),
                !client.own.is_empty() || rest > 0,
                "output of {slot}"
            );
            assert_eq!(output.is_blocked(slot), client.is_blocked);
            assert_eq!(output.sent(slot), client.sent, "counters of {slot}");
            let has_room = self.limits(slot).is_none_or(|limits| {
                client.overflow == Overflow::No
                    && (!client.is_blocked || client.own_bytes() <= limits.hard_backlog_bytes)
            });
            assert_eq!(output.has_room(slot), has_room, "room of {slot}");
        }
        for (id, _, members) in &self.logs {
            assert_eq!(output.member_count(*id), members.len());
            assert!(output.members(*id).eq(members.iter().copied()));
        }
    }

    /// Everybody reads all: then nothing is left, neither bytes nor memory in use.
    fn drain(&mut self) {
        let is_blocked = |client: &Client| client.is_blocked;
        while self.output.dirty_pending()
            || self.output.ring_pending()
            || self.clients.iter().any(is_blocked)
        {
            for slot in (0..SLOTS).filter(|&slot| self.clients[slot as usize].is_blocked) {
                self.output.unblock(slot);
            }
            self.clients
                .iter_mut()
                .for_each(|client| client.is_blocked = false);
            self.flush();
        }
        self.report_overflowed();
        for slot in 0..SLOTS {
            self.check(slot);
            let client = &self.clients[slot as usize];
            assert!(
                client.own.is_empty() && client.rest.is_empty(),
                "{slot} was forgotten"
            );
        }
        assert_eq!(
            (
                self.output.store.counts(),
                self.output.store.segments.count()
            ),
            ((0, 0), 0),
            "held"
        );
        assert!(self.output.unjudged.is_empty());
    }
}

#[test]
fn any_order_of_calls_writes_what_a_naive_queue_for_each_client_writes() {
    let mut random = Random(1);
    let pattern: Vec<u8> = (0..LONGEST + STAMPS)
        .map(|_| random.below(256).to_le_bytes()[0])
        .collect();
    for seed in 1..=500 {
        let mut pair = Pair::new(seed, &pattern);
        let steps = std::panic::AssertUnwindSafe(|| {
            for _ in 0..400 {
                pair.step();
            }
            pair.drain();
        });
        if let Err(panic) = std::panic::catch_unwind(steps) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
