//! A client of one of the WebSocket endpoints: what it asks for, and whether it gets that.

use crate::application::wish;
use crate::chance::{Chance, text};
use crate::model::{Shared, reason};
use crate::talk::{self, Came, Talk};
use std::collections::VecDeque;

/// See the module.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact"
)]
pub(crate) struct Room {
    pub(crate) key: u32,
    talk: Talk,
    /// Pings that were sent and not answered.
    pings: VecDeque<Vec<u8>>,
    /// A Close was sent, or something that breaks a rule: nothing follows.
    pub(crate) has_closed: bool,
    /// One came.
    pub(crate) was_closed: bool,
    /// Broke a rule.
    pub(crate) is_bad: bool,
    /// Answers neither pings nor a Close.
    pub(crate) is_mute: bool,
}

impl Room {
    /// `extensions`: what the server said to the offer.
    pub(crate) fn new(key: u32, extensions: Option<&str>) -> Self {
        Self {
            key,
            talk: Talk::new(extensions),
            pings: VecDeque::new(),
            has_closed: false,
            was_closed: false,
            is_bad: false,
            is_mute: false,
        }
    }

    /// Something of all that a client may do; its bytes.
    pub(crate) fn act(&mut self, model: &Shared, most: usize, chance: &mut Chance) -> Vec<u8> {
        if self.has_closed {
            return Vec::new();
        }
        match chance.below(40) {
            0 | 1 => {
                let payload = chance.next().to_be_bytes().to_vec();
                let frame = talk::frame(0x89, &payload, chance);
                self.pings.push_back(payload);
                frame
            }
            2 if chance.one_in(4) => self.close(model, chance),
            3 if chance.one_in(8) => {
                let (bytes, code) = talk::violation(chance);
                (self.is_bad, self.has_closed) = (true, true);
                self.expect(model, code);
                // It answers no ping from now on, and the end of these bytes may never be sent.
                self.excuse(model, reason::SILENT);
                bytes
            }
            4 if chance.one_in(10) => {
                self.is_mute = true;
                self.excuse(model, reason::SILENT);
                Vec::new()
            }
            _ => self.say(model, most, chance),
        }
    }

    fn say(&mut self, model: &Shared, most: usize, chance: &mut Chance) -> Vec<u8> {
        let opcode = if chance.one_in(2) { 1 } else { 2 };
        let (seed, len) = (chance.next(), chance.len(most));
        let seed = u32::try_from(seed & 0xFFFF_FFFF).expect("32 bits");
        let mut message = vec![wish(chance)];
        message.extend(text(seed, len).bytes());
        if opcode == 2 && chance.one_in(2) {
            message.extend(crate::chance::pattern(seed, len / 4));
        }
        let sent = message.as_slice().into();
        model.with(|model| model.member(self.key).sent.push_back((opcode, sent)));
        self.talk.message(opcode, &message, chance)
    }

    /// Begins to close, in one of the ways.
    pub(crate) fn close(&mut self, model: &Shared, chance: &mut Chance) -> Vec<u8> {
        if std::mem::replace(&mut self.has_closed, true) {
            return Vec::new();
        }
        let code = chance.pick(&[Some(1000), Some(1001), Some(3999), Some(4000), None]);
        self.expect(model, code.unwrap_or(1005));
        talk::close(code, chance)
    }

    /// The server may close it with that code.
    fn expect(&self, model: &Shared, code: u16) {
        model.with(|model| model.member(self.key).codes.insert(code));
    }

    pub(crate) fn excuse(&self, model: &Shared, reason: u32) {
        model.with(|model| model.member(self.key).reasons |= reason);
    }

    /// What the server sent; what is to be answered at once.
    pub(crate) fn receive(&mut self, bytes: &[u8], model: &Shared, chance: &mut Chance) -> Vec<u8> {
        let mut answer = Vec::new();
        for came in self.talk.receive(bytes) {
            assert!(!self.was_closed, "{came:?} came behind the Close");
            match came {
                Came::Message(opcode, payload) => {
                    model.with(|model| model.came(self.key, opcode, &payload));
                }
                Came::Ping(payload) => {
                    if !self.is_mute && !self.is_bad {
                        answer.extend(talk::frame(0x8A, &payload, chance));
                    }
                }
                Came::Pong(payload) => {
                    // Those before it need no answer (RFC 6455 section 5.5.3).
                    let at = self.pings.iter().position(|ping| *ping == payload);
                    self.pings.drain(..=at.expect("it was asked for"));
                }
                Came::Close(code) => {
                    self.was_closed = true;
                    let told = code.unwrap_or(1005);
                    model.with(|model| {
                        model.note(u64::from(self.key) << 16 | u64::from(told), b"close");
                        let closed = model.member(self.key).closed;
                        assert_eq!(closed, Some(told), "what on_close of {} was told", self.key);
                    });
                    if !self.has_closed && !self.is_mute {
                        answer.extend(talk::close(code, chance));
                        self.has_closed = true;
                    }
                }
            }
        }
        answer
    }

    /// Nothing more will come. `stayed`: it did all right, and nothing went wrong with it.
    pub(crate) fn over(&self, model: &Shared, stayed: bool) {
        model.with(|model| {
            let writes_fail = model.writes_fail;
            let member = model.member(self.key);
            // A message too many for it, and then it or a handler closed it, before it was for that.
            let by_somebody = matches!(member.closed, Some(1000 | 1001 | 1005 | 1011 | 3000..));
            let is_over_limit = by_somebody && (writes_fail || member.reasons & reason::SLOW != 0);
            if !stayed || member.is_lossy || is_over_limit {
                return;
            }
            assert!(self.talk.is_whole(), "half a message to {}", self.key);
            assert!(
                member.expected.is_empty(),
                "client {} lacks {} messages",
                self.key,
                member.expected.len()
            );
        });
    }
}
