//! What is known of what happens, by those who have it happen: what each client is to be sent, in order,
//! what the server is to be told of each, and why who may be cut off.
//!
//! The handlers write down what they send; the players compare it with what they are given.

use crate::accounts::Told;
use aerys::{BodyFlow, ClientId, ResponseStream, TimerId};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// A message: opcode and payload.
pub(crate) type Sent = (u8, Rc<[u8]>);

/// Why the server may end a WebSocket, one bit each; what is none of it may not happen.
pub(crate) mod reason {
    /// The client left without a word, or a fault broke its connection.
    pub(crate) const LEFT: u32 = 1;
    /// It did not read, or its network took little.
    pub(crate) const SLOW: u32 = 1 << 1;
    /// It did not answer pings, or not in time.
    pub(crate) const SILENT: u32 = 1 << 2;
    /// The server stops.
    pub(crate) const STOP: u32 = 1 << 3;
    /// A handler panicked on its behalf.
    pub(crate) const PANIC: u32 = 1 << 4;
}

/// What is known of one WebSocket.
#[derive(Debug, Default)]
pub(crate) struct Member {
    /// What it sent and the handler has not seen yet.
    pub(crate) sent: VecDeque<Sent>,
    /// What it is to be sent and has not come yet.
    pub(crate) expected: VecDeque<Sent>,
    /// Messages may be dropped in between.
    pub(crate) is_lossy: bool,
    /// See [`reason`].
    pub(crate) reasons: u32,
    /// Codes that it may be closed with.
    pub(crate) codes: BTreeSet<u16>,
    pub(crate) opened: bool,
    pub(crate) endpoint: Option<usize>,
    /// When it was.
    pub(crate) opened_at: u64,
    /// What `on_close` was told.
    pub(crate) closed: Option<u16>,
    /// What was due by then had come the last turn but one before that: what is due waits for a turn
    /// behind a long one, and for others that are due.
    closed_after: u64,
    /// Delayed messages that came.
    pub(crate) delayed: HashSet<u32>,
}

impl Member {
    /// Whether what was sent to all, or to it, at that time had to come.
    fn was_there(&self, time: u64) -> bool {
        let whole = reason::LEFT | reason::SLOW | reason::SILENT | reason::PANIC;
        let ended_well =
            matches!(self.closed, Some(code) if !matches!(code, 1001..=1003 | 1006..=1011));
        ended_well && !self.is_lossy && self.reasons & whole == 0 && self.closed_after > time + 1000
    }
}

/// A message that is to be sent later.
#[derive(Debug)]
pub(crate) struct Delayed {
    pub(crate) due: u64,
    /// Whom it is for, or everybody of an endpoint.
    pub(crate) to: Result<u32, usize>,
    pub(crate) is_cancelled: bool,
    pub(crate) came: usize,
    pub(crate) asked_at: u64,
}

/// A timer of a handler.
#[derive(Debug)]
pub(crate) struct Timer {
    pub(crate) id: TimerId,
    pub(crate) due: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Model {
    /// Milliseconds since the start.
    pub(crate) now: u64,
    pub(crate) members: BTreeMap<u32, Member>,
    /// By endpoint: who is open.
    pub(crate) open: [BTreeMap<ClientId, u32>; 2],
    /// Whom a handler closed, until that is told: with which code.
    pub(crate) dying: HashMap<ClientId, (u32, u16)>,
    /// Ids of those who are gone.
    pub(crate) dead: Vec<ClientId>,
    pub(crate) delayed: BTreeMap<u32, Delayed>,
    pub(crate) delayed_ids: HashMap<TimerId, u32>,
    pub(crate) timers: Vec<Timer>,
    pub(crate) fired: HashSet<TimerId>,
    pub(crate) timers_set: usize,
    pub(crate) timers_cancelled: usize,
    /// The server was asked to stop.
    pub(crate) is_stopping: bool,
    /// It began to.
    pub(crate) has_stopped: bool,
    /// Requests by their keys: what their bodies are to be, as far as that is known.
    pub(crate) bodies: HashMap<u32, Vec<u8>>,
    /// Those whose bodies are complete.
    pub(crate) complete: HashSet<u32>,
    /// Responses in pieces that were begun, and those that were closed.
    pub(crate) streams_begun: Vec<(u32, ResponseStream)>,
    pub(crate) streams_closed: Vec<u32>,
    pub(crate) flows: Vec<BodyFlow>,
    pub(crate) uploads_begun: usize,
    pub(crate) uploads_over: usize,
    /// Who was closed for no reason that is known yet: its client may know one.
    suspects: Vec<(u32, u16, String)>,
    /// What the access log was told.
    pub(crate) told: Told,
    /// A socket may be full though its client reads.
    pub(crate) writes_fail: bool,
    /// By endpoint: how long its clients may be open, in all and without a message.
    pub(crate) times: [[Option<Duration>; 2]; 2],
    /// Up to when all had expired that was due, after the last turn and the one before.
    last_turns: [u64; 2],
    nanos: u64,
    /// A number of everything that happened, in order.
    pub(crate) trace: u64,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
}

/// The same, in the hands of several.
#[derive(Clone, Default)]
pub(crate) struct Shared(Rc<RefCell<Model>>);

impl Shared {
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Model) -> R) -> R {
        act(&mut self.0.borrow_mut())
    }
}

impl Model {
    /// Something happened.
    pub(crate) fn note(&mut self, what: u64, details: &[u8]) {
        // FNV-1a.
        for byte in what.to_be_bytes().iter().chain(details) {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }

    pub(crate) fn member(&mut self, key: u32) -> &mut Member {
        self.members.entry(key).or_default()
    }

    /// The body of a request's answer goes on with these bytes.
    pub(crate) fn expect_body(&mut self, key: u32, bytes: &[u8]) {
        self.bodies.entry(key).or_default().extend_from_slice(bytes);
    }

    /// Clients of an endpoint are to be sent a message, but for some.
    pub(crate) fn expect_all(&mut self, endpoint: usize, message: &Sent, except: &[ClientId]) {
        let open = self.open[endpoint].iter();
        let keys: Vec<u32> = open
            .filter(|(id, _)| !except.contains(id))
            .map(|(_, key)| *key)
            .collect();
        for key in keys {
            self.member(key).expected.push_back(message.clone());
        }
    }

    /// A turn is over.
    pub(crate) fn note_turn(&mut self, expired: Duration) {
        let [last, _] = self.last_turns;
        let expired = u64::try_from(expired.as_millis()).expect("not for ever");
        self.last_turns = [expired, last];
    }

    /// Time passes.
    pub(crate) fn advance(&mut self, duration: Duration) {
        self.nanos += u64::try_from(duration.as_nanos()).expect("not for ever");
        self.now = self.nanos / 1_000_000;
    }

    /// What is so when everybody left.
    pub(crate) fn end(&self) {
        assert!(self.open.iter().all(BTreeMap::is_empty), "who never left");
        assert!(self.dying.is_empty(), "who was never told to have left");
        let mut members = self.members.iter();
        assert!(members.all(|(_, member)| member.opened == member.closed.is_some()));
        assert_eq!(self.uploads_begun, self.uploads_over, "uploads");
        let begun: BTreeSet<u32> = self.streams_begun.iter().map(|(key, _)| *key).collect();
        let closed: BTreeSet<u32> = self.streams_closed.iter().copied().collect();
        assert_eq!(closed.len(), self.streams_closed.len(), "closed twice");
        assert!(closed.is_subset(&begun), "closed, and never begun");
        let mut streams = self.streams_begun.iter();
        assert!(streams.all(|(_, stream)| !stream.is_open()));
        if self.is_stopping {
            return;
        }
        assert!(
            self.timers.is_empty(),
            "{} timers are lost",
            self.timers.len()
        );
        for (number, delayed) in &self.delayed {
            if delayed.is_cancelled {
                continue;
            }
            if let Ok(key) = delayed.to {
                assert!(
                    delayed.came == 1 || !self.members[&key].was_there(delayed.due),
                    "delayed message {number} never came to {key}"
                );
            } else {
                // In one millisecond either may have been first.
                let there = self.members.iter().filter(|(_, member)| {
                    member.endpoint == delayed.to.err()
                        && member.opened_at < delayed.asked_at
                        && member.was_there(delayed.due)
                });
                for (key, member) in there {
                    let came = member.delayed.contains(number);
                    assert!(came, "delayed message {number} never came to {key}");
                }
            }
        }
    }

    /// A WebSocket client was sent a message.
    pub(crate) fn came(&mut self, key: u32, opcode: u8, payload: &[u8]) {
        self.messages += 1;
        self.bytes += payload.len() as u64;
        self.note(u64::from(key) << 8 | u64::from(opcode), payload);
        if payload.first() == Some(&b'D') {
            return self.delayed_came(key, payload);
        }
        let member = self.member(key);
        loop {
            let Some((right, expected)) = member.expected.pop_front() else {
                panic!(
                    "client {key} was sent what nobody sends it: {}",
                    brief(payload)
                );
            };
            if right == opcode && *expected == *payload {
                return;
            }
            let (came, expected) = (brief(payload), brief(&expected));
            assert!(
                member.is_lossy,
                "client {key}: {came} in place of {expected}"
            );
        }
    }

    fn delayed_came(&mut self, key: u32, payload: &[u8]) {
        let number = payload[1..].first_chunk().expect("it has a number");
        let number = u32::from_be_bytes(*number);
        let delayed = self.delayed.get_mut(&number).expect("it was sent");
        assert!(delayed.due <= self.now, "delayed message {number} is early");
        assert!(
            !delayed.is_cancelled,
            "delayed message {number} was cancelled"
        );
        delayed.came += 1;
        assert!(
            delayed.to.is_err() || delayed.to == Ok(key),
            "it is another's"
        );
        let is_first = self.member(key).delayed.insert(number);
        assert!(is_first, "delayed message {number} came twice to {key}");
    }

    /// `on_close` was called.
    pub(crate) fn closed(&mut self, endpoint: usize, client: ClientId, code: u16, why: &str) {
        let dying = self.dying.remove(&client);
        let open = self.open[endpoint].remove(&client);
        assert!(dying.is_some() != open.is_some(), "{client} closes twice");
        self.dead.push(client);
        let key = dying.map_or_else(|| open.expect("one of both"), |(key, _)| key);
        self.note(u64::from(key) << 16 | u64::from(code), b"closed");
        let [_, last_but_one] = self.last_turns;
        let member = self.member(key);
        assert_eq!(member.closed.replace(code), None, "{key} closes twice");
        member.closed_after = last_but_one;
        let asked = dying.is_some_and(|(_, asked)| asked == code);
        if !asked && !self.is_over_time(endpoint, key, code, why) {
            self.suspects.push((key, code, why.to_owned()));
        }
    }

    /// Whether a client is closed for how long it was open, which is never so too early.
    fn is_over_time(&mut self, endpoint: usize, key: u32, code: u16, why: &str) -> bool {
        let [lifetime, idle_time] = self.times[endpoint];
        let time = match (code, why) {
            (1001, "Open for as long as may be") => lifetime,
            (1001, "Idle for too long") => idle_time,
            _ => return false,
        };
        let time = time.expect("a time that its endpoint has").as_millis();
        let since = self.now - self.member(key).opened_at;
        // Both are rounded to milliseconds.
        assert!(
            u128::from(since) + 1 >= time,
            "{key}, after {since} ms: {why}"
        );
        true
    }

    /// Whether there is a reason for each close: when the clients have said what they know.
    pub(crate) fn judge(&mut self) {
        for (key, code, why) in std::mem::take(&mut self.suspects) {
            self.judge_close(key, code, &why);
        }
    }

    fn judge_close(&mut self, key: u32, code: u16, why: &str) {
        let (is_stopping, writes_fail) = (self.is_stopping, self.writes_fail);
        let member = self.member(key);
        let mut reasons = member.reasons;
        if is_stopping {
            reasons |= reason::STOP;
        }
        if writes_fail {
            reasons |= reason::SLOW;
        }
        let for_reason = match code {
            1001 => reason::STOP,
            1006 => reason::LEFT | reason::SLOW,
            1008 => reason::SLOW | reason::SILENT,
            1011 => reason::PANIC,
            _ => 0,
        };
        assert!(
            reasons & for_reason != 0 || member.codes.contains(&code),
            "client {key} was closed with {code} ({why}) for no reason, but {reasons:b}"
        );
    }
}

/// The beginning of a message, to be read.
fn brief(payload: &[u8]) -> String {
    let begin = &payload[..payload.len().min(24)];
    format!("{} bytes \"{}\"", payload.len(), begin.escape_ascii())
}
