//! One client of any kind, with its network: when it sends how much, whether it reads, and how it leaves.

use crate::chance::Chance;
use crate::http1::Http1;
use crate::http2::Http2;
use crate::member::Room;
use crate::model::{Shared, reason};
use aerys::internals::{Peer, Simulation};

/// What may happen to a client, whatever it did right.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact"
)]
pub(crate) struct Fate {
    pub(crate) is_stopping: bool,
    /// Deadlines are short, and time is not fair.
    pub(crate) is_lenient: bool,
    /// It left, or a fault broke its connection.
    pub(crate) is_broken: bool,
    /// It did not always read, or its network took little at a time.
    pub(crate) is_slow: bool,
}

impl Fate {
    /// Its connection may end at any time.
    pub(crate) const fn may_be_cut(self) -> bool {
        self.is_stopping || self.is_lenient || self.is_broken
    }
}

enum Kind {
    Http1(Http1),
    /// It asks to be a member of a room: what came of the answer.
    Upgrading(u32, Vec<u8>),
    Room(Box<Room>),
    Http2(Box<Http2>),
    /// Sends anything.
    Noise,
}

/// See the module.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact"
)]
pub(crate) struct Player {
    peer: Peer,
    kind: Kind,
    /// What is to be sent, whenever it is.
    unsent: Vec<u8>,
    reads: bool,
    has_left: bool,
    is_over: bool,
    is_slow: bool,
    /// What it will do is done: it only reads on.
    finishes: bool,
}

/// What a player may do.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact"
)]
pub(crate) struct Habits {
    pub(crate) is_lenient: bool,
    /// Some do not read for a while, or never.
    pub(crate) may_be_slow: bool,
    pub(crate) may_leave: bool,
    pub(crate) compresses: bool,
    pub(crate) proxied: bool,
    /// Longest message.
    pub(crate) most: usize,
}

const PROXY: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";

impl Player {
    /// One more, of some kind. `key` is its own.
    pub(crate) fn connect(
        server: &mut Simulation,
        key: u32,
        habits: Habits,
        chance: &mut Chance,
    ) -> Self {
        let peer = server.connect(true);
        let mut unsent = if habits.proxied {
            PROXY.to_vec()
        } else {
            Vec::new()
        };
        let kind = match chance.below(12) {
            0..=2 => Kind::Http1(Http1::default()),
            3 if cfg!(feature = "http2") => {
                let mut http2 = Http2::new();
                unsent.append(&mut http2.unsent);
                Kind::Http2(Box::new(http2))
            }
            4 if habits.may_leave && chance.one_in(2) => Kind::Noise,
            _ => {
                unsent.extend(handshake(key, habits, chance));
                Kind::Upgrading(key, Vec::new())
            }
        };
        Self {
            peer,
            kind,
            unsent,
            reads: true,
            has_left: false,
            is_over: false,
            is_slow: false,
            finishes: false,
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    fn fate(&self, server: &Simulation, model: &Shared, habits: Habits) -> Fate {
        Fate {
            is_stopping: model.with(|model| model.is_stopping),
            is_lenient: habits.is_lenient,
            is_broken: self.has_left || server.is_faulted(self.peer),
            is_slow: self.is_slow,
        }
    }

    /// Whatever happens to it from now on may be for this reason.
    fn excuse(&mut self, model: &Shared, reason: u32) {
        match &mut self.kind {
            Kind::Room(room) => room.excuse(model, reason),
            Kind::Upgrading(key, _) => {
                model.with(|model| model.member(*key).reasons |= reason);
            }
            Kind::Http2(http2) => http2.excuse(model, reason),
            Kind::Http1(_) | Kind::Noise => {}
        }
    }

    /// Something of all that a client may do.
    pub(crate) fn act(
        &mut self,
        server: &mut Simulation,
        model: &Shared,
        key: u32,
        habits: Habits,
        chance: &mut Chance,
    ) {
        if self.is_over || self.has_left || self.finishes {
            return;
        }
        match chance.below(100) {
            0 if habits.may_leave && chance.one_in(3) => return self.leave(server, model, chance),
            1..=3 if habits.may_be_slow => self.change_network(server, model, chance),
            _ => {}
        }
        match &mut self.kind {
            Kind::Http1(http1) => {
                if self.unsent.len() < 1_000_000 {
                    self.unsent.extend(http1.ask(model, key, chance));
                }
            }
            Kind::Room(room) => self.unsent.extend(room.act(model, habits.most, chance)),
            Kind::Http2(http2) => {
                http2.act(model, key, chance);
                self.unsent.append(&mut http2.unsent);
                if self.is_slow {
                    http2.excuse(model, reason::SLOW | reason::SILENT);
                }
            }
            Kind::Noise => {
                let seed = u32::try_from(chance.next() & 0xFFFF).expect("16 bits");
                let noise = crate::chance::pattern(seed, chance.len(3000));
                self.unsent.extend(noise);
                self.unsent
                    .extend(chance.pick(&[&b"\r\n\r\n"[..], b"GET /", b"\x81\x85"]));
            }
            Kind::Upgrading(..) => {}
        }
        let len = if chance.one_in(2) {
            self.unsent.len()
        } else {
            chance.below(self.unsent.len() + 1)
        };
        self.send(server, len);
    }

    fn send(&mut self, server: &mut Simulation, len: usize) {
        let bytes: Vec<u8> = self.unsent.drain(..len).collect();
        server.send(self.peer, &bytes);
    }

    fn leave(&mut self, server: &mut Simulation, model: &Shared, chance: &mut Chance) {
        self.excuse(model, reason::LEFT);
        self.has_left = true;
        let len = chance.below(self.unsent.len() + 1);
        self.send(server, len);
        if chance.one_in(2) {
            server.reset(self.peer);
        } else {
            server.end(self.peer);
        }
    }

    fn change_network(&mut self, server: &mut Simulation, model: &Shared, chance: &mut Chance) {
        self.excuse(model, reason::SLOW | reason::SILENT);
        self.is_slow = true;
        match chance.below(4) {
            0 => self.reads = !self.reads,
            1 => server.set_room(self.peer, u64::MAX),
            _ => server.set_room(self.peer, chance.len(50_000) as u64),
        }
    }

    /// Takes what came, if it reads, and answers what is to be answered at once.
    pub(crate) fn read(
        &mut self,
        server: &mut Simulation,
        model: &Shared,
        habits: Habits,
        chance: &mut Chance,
    ) {
        if server.is_faulted(self.peer) {
            // A write that broke amid its pieces looks like one that found too little room.
            self.excuse(model, reason::LEFT | reason::SLOW);
        }
        if self.is_over || !self.reads {
            return;
        }
        let is_closed = server.is_closed(self.peer);
        let fate = self.fate(server, model, habits);
        let bytes = server.take_output(self.peer);
        if !bytes.is_empty() {
            self.take(&bytes, server, model, fate, chance);
        }
        if is_closed {
            self.closed(server, model, fate);
        }
    }

    fn take(
        &mut self,
        bytes: &[u8],
        server: &mut Simulation,
        model: &Shared,
        fate: Fate,
        chance: &mut Chance,
    ) {
        match &mut self.kind {
            Kind::Http1(http1) => http1.receive(bytes, model, fate),
            Kind::Upgrading(key, came) => {
                let key = *key;
                came.extend_from_slice(bytes);
                let Some(at) = came.windows(4).position(|four| four == b"\r\n\r\n") else {
                    return;
                };
                let rest = came.split_off(at + 4);
                let head = String::from_utf8_lossy(came).into_owned();
                if !head.starts_with("HTTP/1.1 101 ") {
                    assert!(fate.may_be_cut(), "{head}");
                    self.kind = Kind::Noise;
                    return;
                }
                let head = head.to_ascii_lowercase();
                let extensions = head
                    .lines()
                    .find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
                self.kind = Kind::Room(Box::new(Room::new(key, extensions)));
                if !rest.is_empty() {
                    self.take(&rest, server, model, fate, chance);
                }
            }
            Kind::Room(room) => {
                let answer = room.receive(bytes, model, chance);
                if !answer.is_empty() {
                    self.unsent.extend(answer);
                    let len = self.unsent.len();
                    self.send(server, len);
                }
            }
            Kind::Http2(http2) if fate.is_lenient && http2.is_refused(bytes) => {
                self.kind = Kind::Noise;
            }
            Kind::Http2(http2) => {
                http2.receive(bytes, model, fate, chance);
                self.unsent.append(&mut http2.unsent);
            }
            Kind::Noise => {}
        }
    }

    /// The server ended its side: whether it may have, and whether all came before.
    fn closed(&mut self, server: &mut Simulation, model: &Shared, fate: Fate) {
        self.is_over = true;
        if !fate.is_broken && !self.has_left {
            server.end(self.peer);
        }
        match &self.kind {
            Kind::Http1(http1) => {
                let is_cut = fate.is_slow && !http1.is_answered();
                if !is_cut {
                    http1.closed(fate);
                }
            }
            Kind::Room(room) => {
                let closed = model.with(|model| model.member(room.key).closed);
                assert!(closed.is_some(), "{} was not told to have left", room.key);
                let is_whole = !matches!(closed, Some(1001 | 1006 | 1008));
                let is_bad = room.is_bad || room.is_mute || fate.may_be_cut();
                let may_lack = is_bad || fate.is_slow || !is_whole;
                assert!(room.was_closed || may_lack, "no Close came");
                room.over(model, is_whole && room.was_closed && !is_bad);
            }
            Kind::Http2(http2) => {
                let is_due = http2.is_leaving && http2.is_answered();
                assert!(
                    is_due || fate.may_be_cut() || fate.is_slow,
                    "closed: {}",
                    http2.state()
                );
            }
            Kind::Upgrading(..) => assert!(fate.may_be_cut() || fate.is_slow, "closed"),
            Kind::Noise => {}
        }
    }

    /// It reads all, sends what it has to send, and leaves when it is answered.
    pub(crate) fn finish(
        &mut self,
        server: &mut Simulation,
        model: &Shared,
        round: usize,
        chance: &mut Chance,
    ) {
        if self.is_over {
            return;
        }
        self.finishes = true;
        self.reads = true;
        server.set_room(self.peer, u64::MAX);
        if self.has_left {
            return;
        }
        let mut may_end = false;
        match &mut self.kind {
            Kind::Http1(http1) => may_end = http1.is_answered(),
            Kind::Room(room) => {
                if round > 2 && self.unsent.is_empty() {
                    // Whoever answers nothing begins to now.
                    room.is_mute = room.is_mute && !room.was_closed;
                    self.unsent.extend(room.close(model, chance));
                }
            }
            Kind::Http2(http2) => {
                http2.finish(model, round == 0, chance);
                self.unsent.append(&mut http2.unsent);
                may_end = http2.is_answered();
            }
            Kind::Upgrading(..) => {}
            Kind::Noise => may_end = true,
        }
        let len = self.unsent.len();
        self.send(server, len);
        if may_end && round > 4 {
            self.has_left = true;
            self.excuse(model, reason::LEFT);
            server.end(self.peer);
        }
    }

    /// How far it came: for who looks for why it did not come to an end.
    pub(crate) fn state(&self) -> String {
        let kind = match &self.kind {
            Kind::Http1(http1) => format!("HTTP/1.1, answered: {}", http1.is_answered()),
            Kind::Upgrading(key, came) => format!("upgrading {key}, {} bytes", came.len()),
            Kind::Room(room) => format!("room {}, closed: {}", room.key, room.was_closed),
            Kind::Http2(http2) => http2.state(),
            Kind::Noise => "noise".to_owned(),
        };
        format!(
            "{kind}, left: {}, {} unsent",
            self.has_left,
            self.unsent.len()
        )
    }
}

fn handshake(key: u32, habits: Habits, chance: &mut Chance) -> Vec<u8> {
    let offer = if habits.compresses && chance.one_in(2) {
        chance.pick(&[
            "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n",
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n",
            "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n",
        ])
    } else {
        ""
    };
    let endpoint = chance.below(2);
    let request = format!(
        "GET /room/{endpoint}?key={key} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n{offer}\r\n"
    );
    request.into_bytes()
}
