//! Messages that everybody receives: `bench broadcast`.
//!
//! Each message begins with its number, so that a receiver tells one that it missed from one that is late.
//! A message is done when the last receiver has it; the time counts from when it was sent, or at a fixed
//! rate from when it was due.

use super::crowd::{Answer, Crowd, Load, nanos};
use super::exchange::Outcome;
use super::flags::PaceArgs;
use super::pace::{Pace, sleep};
use super::prepared::{content, opcode};
use super::process::Watch;
use super::progress::Progress;
use super::recorder::Recorder;
use super::run::{ErrorKind, Payload};
use crate::cli::client::frames::{Compressor, Masks, encode};
use crate::cli::client::transport::Transport;
use aerys::Message;
use aerys::internals::Agreement;
use mio::Events;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

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
    /// When half of the receivers had it, and when the first did.
    median: u64,
    first: u64,
}

impl OnItsWay {
    const fn is_done(&self) -> bool {
        self.received == self.receivers
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
    is_closed_loop: bool,
    /// Messages that are due, the first of them number `done`; those from `sent` on are not sent.
    on_their_way: VecDeque<OnItsWay>,
    done: u64,
    sent: u64,
    begin: u64,
    end: u64,
    has_begun: bool,
    last_answer: u64,
    output: Vec<u8>,
    recorder: Recorder,
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
        self.recorder.counts.handshakes += 1;
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
        if !self.has_begun || receiver.is_apart {
            return;
        }
        let number = match answer {
            Answer::Message(message) => self.number(&message, receiver.next),
            Answer::Response(_) => None,
        };
        let known = self.done..self.sent;
        let Some(number) = number.filter(|number| known.contains(number)) else {
            self.error(at, ErrorKind::Mismatch);
            return;
        };
        for missed in receiver.next..number {
            self.error(at, ErrorKind::Mismatch);
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
        if !receiver.is_sender || !self.has_begun {
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
            self.sent += 1;
            if at >= self.begin && at < self.end {
                self.recorder.counts.sent += 1;
                self.recorder.counts.sent_bytes += self.output.len() as u64;
            }
            transport.send(&self.output)?;
        }
        Ok(())
    }

    fn lost(&mut self, at: u64, index: usize, kind: ErrorKind, receiver: Receiver) {
        self.error(at, kind);
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
            is_closed_loop: pace.rate.is_none(),
            on_their_way: VecDeque::new(),
            done: 0,
            sent: 0,
            begin: u64::MAX,
            end: u64::MAX,
            has_begun: false,
            last_answer: 0,
            output: Vec::new(),
            recorder: Recorder::new(&kinds, Recorder::interval(pace.duration)),
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
        if message.received == message.receivers.div_ceil(2) {
            message.median = at;
        }
        self.end_those_done(at);
    }

    /// A receiver will never have message `number`.
    fn give_up(&mut self, at: u64, number: u64) {
        if let Some(message) = self.on_their_way.get_mut(place(number, self.done)) {
            message.receivers -= 1;
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
            if message.received > 0 && message.due >= self.begin && message.due < self.end {
                self.last_answer = at;
                let since = |time: u64| time.saturating_sub(message.due);
                // Of many that were given up, half may not have had it.
                let median = message.median.max(message.first);
                self.recorder.record(
                    at.saturating_sub(self.begin),
                    message.received as u64,
                    &[since(message.first), since(median), since(at)],
                );
            }
        }
    }

    fn error(&mut self, at: u64, kind: ErrorKind) {
        self.recorder.error(at.saturating_sub(self.begin), kind);
    }

    fn issue(&mut self, due: u64) {
        self.on_their_way.push_back(OnItsWay {
            due,
            receivers: self.receivers,
            received: 0,
            median: 0,
            first: 0,
        });
    }

    /// Puts the load on connections that are open.
    pub(super) fn run(
        mut self,
        crowd: &mut Crowd<Receiver>,
        pace: &PaceArgs,
        timeout: Duration,
        progress: &mut Progress,
    ) -> Outcome {
        let mut events = Events::with_capacity(1024);
        let start = crowd.now();
        self.begin = start + nanos(pace.warmup);
        self.end = self.begin.saturating_add(nanos(pace.duration));
        self.has_begun = true;
        let mut schedule = pace.rate.map(|rate| Pace::new(rate, start));
        let mut watch = Watch::default();
        while let (Some(sender), 1..) = (self.sender, self.receivers) {
            let now = crowd.now();
            if now >= self.end {
                break;
            }
            if now >= self.begin {
                watch.begin(crowd.received_bytes);
                progress.show(now - self.begin, &mut self.recorder);
            }
            let next = self.issue_due(now, schedule.as_mut());
            crowd.change(sender, &mut self, |_| {});
            crowd.turn(sleep(crowd.now(), next), &mut events, &mut self);
        }
        let (generator, received_bytes) = watch.end(crowd.received_bytes);
        let problem = match (self.sender, self.receivers) {
            (None, _) => Some("the sender was lost".to_owned()),
            (_, 0) => Some("all receivers were lost".to_owned()),
            _ => None,
        };
        self.issue_due(
            self.end - 1,
            schedule.as_mut().filter(|_| problem.is_none()),
        );
        let deadline = self.end.saturating_add(nanos(timeout));
        while let (Some(sender), false) = (self.sender, self.on_their_way.is_empty())
            && problem.is_none()
            && crowd.now() < deadline
        {
            crowd.change(sender, &mut self, |_| {});
            let rest = sleep(crowd.now(), deadline);
            crowd.turn(rest.max(Duration::from_millis(1)), &mut events, &mut self);
        }
        let measured = self.begin..self.end;
        let left = self.on_their_way.iter();
        for _ in 0..left
            .filter(|message| measured.contains(&message.due))
            .count()
        {
            self.error(deadline, ErrorKind::Timeout);
        }
        let measured_to = match problem {
            Some(_) => crowd.now(),
            None => self.end.max(self.last_answer),
        };
        self.recorder.counts.received_bytes = received_bytes;
        Outcome {
            recorder: self.recorder,
            generator,
            elapsed: Duration::from_nanos(measured_to.saturating_sub(self.begin)),
            late: Duration::from_nanos(schedule.map_or(0, |schedule| schedule.late_nanos)),
            memory: None,
            problem,
        }
    }

    /// Has due what is, by `now`. When something is next.
    fn issue_due(&mut self, now: u64, schedule: Option<&mut Pace>) -> u64 {
        let Some(schedule) = schedule else {
            while self.is_closed_loop
                && now < self.end - 1
                && self.on_their_way.len() < self.pipeline
            {
                self.issue(now);
            }
            return self.end;
        };
        while let Some(due) = schedule.take(now) {
            self.issue(due);
        }
        schedule.next_due().min(self.end)
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
