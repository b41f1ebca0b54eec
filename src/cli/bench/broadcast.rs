//! Messages that everybody receives: `bench broadcast`.
//!
//! Each message begins with its number, so that a receiver tells one that it missed from one that is late.
//! A message is done when the last receiver has it; the time counts from when it was sent, or at a fixed
//! rate from when it was due.

use super::crowd::{Answer, Crowd, Load};
use super::flags::PaceArgs;
use super::pace::Pace;
use super::prepared::{content, opcode};
use super::run::{ErrorKind, Payload};
use super::timed::{Measuring, Timed};
use crate::cli::client::frames::{Compressor, Masks, encode};
use crate::cli::client::transport::Transport;
use aerys::Message;
use aerys::internals::Agreement;
use std::collections::VecDeque;
use std::io;

/// Digits of a message's number; shorter messages have the last of them.
const MAX_DIGITS: usize = 16;

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// The number of the message that is to come next.
    next: u64,
    is_sender: bool,
    /// What comes does not count.
    is_apart: bool,
    is_open: bool,
}

/// A message that somebody lacks.
#[derive(Debug)]
struct OnItsWay {
    due: u64,
    receivers: usize,
    received: usize,
    /// When the first had it, and when half of the receivers did.
    first: u64,
    median: Option<u64>,
}

impl OnItsWay {
    const fn is_done(&self) -> bool {
        self.received == self.receivers
    }

    /// Something changed at `at`: half of the receivers may have it now, of whom there are fewer if some
    /// will never have it.
    const fn settle(&mut self, at: u64) {
        if self.median.is_none() && self.received > 0 && self.received * 2 >= self.receivers {
            self.median = Some(at);
        }
    }
}

/// The load.
#[derive(Debug)]
pub(super) struct Broadcast {
    payload: Payload,
    /// The message that is next, but for its number.
    content: Vec<u8>,
    digits: usize,
    masks: Masks,
    compressor: Option<Compressor>,
    sender: Option<usize>,
    /// Whether the sender is a connection of its own, which is opened last.
    sender_apart: bool,
    receivers: usize,
    /// Most messages that somebody lacks.
    pipeline: usize,
    /// Messages that are due, the first of them number `done`; those from `sent` on are not sent.
    on_their_way: VecDeque<OnItsWay>,
    done: u64,
    sent: u64,
    output: Vec<u8>,
    measuring: Measuring,
}

impl Load for Broadcast {
    type State = Receiver;

    fn opened(
        &mut self,
        _: u64,
        _: u64,
        index: usize,
        agreed: Option<Agreement>,
        receiver: &mut Receiver,
    ) {
        self.measuring.recorder.counts.handshakes += 1;
        receiver.is_open = true;
        self.receivers += 1;
        // Any will do, but for one apart, which comes when the others are there.
        if self.sender.is_none() && !self.sender_apart {
            receiver.is_sender = true;
            self.sender = Some(index);
            self.compressor = agreed.map(|agreed| Compressor::new(agreed.client_window_bits));
        }
        if self.sender_apart && self.sender == Some(index) {
            receiver.is_sender = true;
            receiver.is_apart = true;
            self.receivers -= 1;
            self.compressor = agreed.map(|agreed| Compressor::new(agreed.client_window_bits));
        }
    }

    fn answered(&mut self, at: u64, receiver: &mut Receiver, answer: Answer<'_>) {
        if !self.measuring.has_begun || receiver.is_apart {
            return;
        }
        let number = match answer {
            Answer::Message(message) => self.number(&message, receiver.next),
            Answer::Response(_) => None,
        };
        let known = self.done..self.sent;
        let Some(number) = number.filter(|number| known.contains(number)) else {
            let why = "a message came that was not sent";
            self.measuring.wrong(at, None, ErrorKind::Mismatch, why);
            return;
        };
        for missed in receiver.next..number {
            let due = self.on_their_way.get(place(missed, self.done));
            let due = due.map(|message| message.due);
            let why = "a receiver missed a message";
            self.measuring.wrong(at, due, ErrorKind::Mismatch, why);
            self.give_up(at, missed);
        }
        receiver.next = number + 1;
        self.deliver(at, number);
    }

    fn ready(
        &mut self,
        at: u64,
        receiver: &mut Receiver,
        transport: &mut Transport,
    ) -> io::Result<()> {
        if !receiver.is_sender || !self.measuring.has_begun {
            return Ok(());
        }
        while self.sent < self.done + self.on_their_way.len() as u64
            && self.sent - self.done < self.pipeline as u64
            && transport.flush()?
        {
            self.output.clear();
            write_number(self.sent, &mut self.content[..self.digits]);
            let (opcode, mask) = (opcode(self.payload), self.masks.next());
            match &mut self.compressor {
                Some(compressor) => {
                    compressor.encode(opcode, &self.content, mask, &mut self.output);
                }
                None => encode(opcode, &self.content, mask, &mut self.output),
            }
            let message = self.on_their_way.get(place(self.sent, self.done));
            let is_measured =
                message.is_some_and(|message| self.measuring.is_measured(message.due));
            self.sent += 1;
            let counts = &mut self.measuring.recorder.counts;
            counts.sent += u64::from(is_measured);
            if self.measuring.is_measured(at) {
                self.measuring.recorder.counts.sent_bytes += self.output.len() as u64;
            }
            transport.send(&self.output)?;
        }
        Ok(())
    }

    fn lost(&mut self, at: u64, index: usize, kind: ErrorKind, receiver: Receiver) {
        self.measuring.lost(at, kind);
        if receiver.is_open && !receiver.is_apart {
            self.receivers -= 1;
            for number in receiver.next.max(self.done)..self.done + self.on_their_way.len() as u64 {
                self.give_up(at, number);
            }
        }
        if self.sender == Some(index) {
            self.sender = None;
        }
    }
}

impl Broadcast {
    /// With a sender that is number `apart` of the connections and no receiver, or else the first one.
    pub(super) fn new(
        payload: Payload,
        size: usize,
        apart: Option<usize>,
        pace: &PaceArgs,
    ) -> Self {
        let unlimited = if pace.rate.is_some() { u32::MAX } else { 1 };
        let kinds = ["first receiver", "median receiver", "last receiver"];
        Self {
            payload,
            content: content(size),
            digits: size.min(MAX_DIGITS),
            masks: Masks::default(),
            compressor: None,
            sender: apart,
            sender_apart: apart.is_some(),
            receivers: 0,
            pipeline: pace.pipeline.unwrap_or(unlimited) as usize,
            on_their_way: VecDeque::new(),
            done: 0,
            sent: 0,
            output: Vec::new(),
            measuring: Measuring::new(&kinds, pace),
        }
    }

    /// The number of a message, of which `next` is the likely one; `None`: it is none of ours.
    fn number(&self, message: &Message<'_>, next: u64) -> Option<u64> {
        let bytes = match (message, self.payload) {
            (Message::Text(text), Payload::Text) => text.as_bytes(),
            (Message::Binary(bytes), Payload::Binary) => bytes,
            _ => return None,
        };
        let (digits, rest) = bytes.split_at_checked(self.digits)?;
        if rest != &self.content[self.digits..] {
            return None;
        }
        let mut expected = [0; MAX_DIGITS];
        let expected = &mut expected[..self.digits];
        // Without all digits, one of the next that look like it.
        (next..self.sent.max(next + 1)).find(|number| {
            write_number(*number, expected);
            digits == expected
        })
    }

    /// A receiver has message `number`.
    fn deliver(&mut self, at: u64, number: u64) {
        let Some(message) = self.on_their_way.get_mut(place(number, self.done)) else {
            return;
        };
        message.received += 1;
        if message.received == 1 {
            message.first = at;
        }
        message.settle(at);
        self.end_those_done(at);
    }

    /// A receiver will never have message `number`.
    fn give_up(&mut self, at: u64, number: u64) {
        if let Some(message) = self.on_their_way.get_mut(place(number, self.done)) {
            message.receivers -= 1;
            message.settle(at);
        }
        self.end_those_done(at);
    }

    /// Takes out what all have.
    fn end_those_done(&mut self, at: u64) {
        while self.sent > self.done && self.on_their_way.front().is_some_and(OnItsWay::is_done) {
            let Some(message) = self.on_their_way.pop_front() else {
                return;
            };
            self.done += 1;
            if let Some(median) = message.median
                && self.measuring.is_measured(message.due)
            {
                let times = [message.first, median, at];
                let latencies = times.map(|time| time.saturating_sub(message.due));
                self.measuring
                    .record(at, message.received as u64, &latencies);
            }
        }
    }

    fn issue(&mut self, due: u64) {
        self.on_their_way.push_back(OnItsWay {
            due,
            receivers: self.receivers,
            received: 0,
            first: 0,
            median: None,
        });
    }
}

impl Timed for Broadcast {
    fn measuring(&mut self) -> &mut Measuring {
        &mut self.measuring
    }

    fn into_measuring(self) -> Measuring {
        self.measuring
    }

    fn issue_due(&mut self, now: u64, schedule: Option<&mut Pace>, crowd: &mut Crowd<Receiver>) {
        match schedule {
            Some(schedule) => {
                while let Some(due) = schedule.take(now) {
                    self.issue(due);
                }
            }
            // In the last nanosecond there is nothing new, only what waits for its turn.
            None => {
                while self.measuring.goes_on(now + 1) && self.on_their_way.len() < self.pipeline {
                    self.issue(now);
                }
            }
        }
        if let Some(sender) = self.sender {
            crowd.change(sender, self, |_| {});
        }
    }

    fn problem(&self) -> Option<&'static str> {
        match (self.sender, self.receivers) {
            (None, _) => Some("the sender was lost"),
            (_, 0) => Some("all receivers were lost"),
            _ => None,
        }
    }

    fn is_waiting(&self) -> bool {
        !self.on_their_way.is_empty()
    }

    fn unanswered(&mut self, _: &Crowd<Receiver>) -> Vec<u64> {
        let mut all = self.on_their_way.iter().take(place(self.sent, self.done));
        let lacks_sender = |message: &OnItsWay| message.received + 1 == message.receivers;
        if self.done == 0 && self.sent > 0 && !self.sender_apart && all.all(lacks_sender) {
            self.measuring.troubles.add(
                "all but the sender got what was sent: measure such a server with --sender-apart",
            );
        }
        self.on_their_way
            .iter()
            .map(|message| message.due)
            .collect()
    }
}

/// Where message `number` is among those of which the first is `done`.
fn place(number: u64, done: u64) -> usize {
    number
        .checked_sub(done)
        .and_then(|place| usize::try_from(place).ok())
        .unwrap_or(usize::MAX)
}

/// Writes the last hexadecimal digits of `number` that there is room for.
fn write_number(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xF) as usize];
        number >>= 4;
    }
}
