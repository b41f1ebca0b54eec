//! Messages that are answered one by one: `bench echo` and `bench http`.
//!
//! ```text
//!  closed loop:  send ──▶ answer ──▶ send ...        a latency counts from the sending
//!  fixed rate:   due ── send ──▶ answer              a latency counts from when it was due
//! ```
//!
//! Answers come in the order of what they answer, on each connection.

use super::crowd::{Answer, Crowd, Load};
use super::flags::PaceArgs;
use super::pace::Pace;
use super::prepared::{Prepared, Unsent, to};
use super::run::{ErrorKind, Payload};
use super::timed::{Measuring, Timed};
use crate::cli::client::frames::Masks;
use crate::cli::client::transport::Transport;
use aerys::Message;
use aerys::internals::Agreement;
use std::collections::VecDeque;
use std::io;

/// What is sent and what is to be answered.
#[derive(Debug)]
pub(super) enum Wanted {
    /// The same message.
    Echo { payload: Payload, content: Vec<u8> },
    /// Any response of success to this request.
    Success { request: Vec<u8> },
}

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// When what is not answered was due, the oldest first. The last of them are unsent.
    due: VecDeque<u64>,
    unsent: Unsent,
    /// Which of the prepared messages it is sent.
    prepared: usize,
}

/// The load.
#[derive(Debug)]
pub(super) struct Exchange {
    wanted: Wanted,
    /// By what was agreed on compression, which is the same for all connections, mostly.
    prepared: Vec<(Option<Agreement>, Prepared)>,
    masks: Masks,
    /// Most that a connection has sent and not been answered.
    pipeline: u32,
    is_closed_loop: bool,
    /// Connections that are open, in no order that matters.
    open: Vec<usize>,
    turn: usize,
    /// Whether a closed loop has its first messages.
    has_first: bool,
    unanswered: u64,
    measuring: Measuring,
}

impl Load for Exchange {
    type State = Flow;

    fn opened(&mut self, _: u64, _: u64, index: usize, agreed: Option<Agreement>, flow: &mut Flow) {
        self.open.push(index);
        self.measuring.recorder.counts.handshakes += 1;
        let known = self.prepared.iter().position(|(with, _)| *with == agreed);
        flow.prepared = known.unwrap_or_else(|| {
            let prepared = match &self.wanted {
                Wanted::Echo { payload, content } => {
                    Prepared::message(*payload, content, agreed, &mut self.masks)
                }
                Wanted::Success { request } => Prepared::new(request),
            };
            self.prepared.push((agreed, prepared));
            self.prepared.len() - 1
        });
    }

    #[inline]
    fn answered(&mut self, at: u64, flow: &mut Flow, answer: Answer<'_>) {
        if !self.measuring.has_begun {
            return;
        }
        let wrong = self.judge(&answer);
        let is_awaited = flow.due.len() > flow.unsent.count as usize;
        let due = if is_awaited {
            flow.due.pop_front()
        } else {
            None
        };
        let Some(due) = due else {
            let (kind, why) = wrong.unwrap_or_else(|| {
                let why = "something came that nobody had asked for";
                (ErrorKind::Mismatch, why.to_owned())
            });
            self.measuring.wrong(at, None, kind, &why);
            return;
        };
        self.unanswered -= 1;
        match wrong {
            Some((kind, why)) => self.measuring.wrong(at, Some(due), kind, &why),
            None if self.measuring.is_measured(due) => {
                self.measuring.record(at, 1, &[at.saturating_sub(due)]);
            }
            None => {}
        }
        if self.is_closed_loop && self.measuring.goes_on(at) {
            self.issue(at, flow);
        }
    }

    #[inline]
    fn ready(&mut self, at: u64, flow: &mut Flow, transport: &mut Transport) -> io::Result<()> {
        let awaited = flow.due.len() - flow.unsent.count as usize;
        let room = self
            .pipeline
            .saturating_sub(u32::try_from(awaited).unwrap_or(u32::MAX));
        if room == 0 || flow.unsent.count == 0 {
            return Ok(());
        }
        let (_, prepared) = &self.prepared[flow.prepared];
        let (bytes, messages) = prepared.write(&mut flow.unsent, room, to(transport))?;
        let sent = flow.due.range(awaited..awaited + messages as usize);
        let sent = sent.filter(|due| self.measuring.is_measured(**due)).count();
        let counts = &mut self.measuring.recorder.counts;
        counts.sent += sent as u64;
        if self.measuring.is_measured(at) {
            self.measuring.recorder.counts.sent_bytes += bytes as u64;
        }
        Ok(())
    }

    fn ended(&mut self, flow: &mut Flow) -> bool {
        flow.unsent = Unsent::all(u32::try_from(flow.due.len()).unwrap_or(u32::MAX));
        !flow.due.is_empty()
    }

    fn lost(&mut self, at: u64, index: usize, kind: ErrorKind, flow: Flow) {
        self.unanswered -= flow.due.len() as u64;
        if let Some(place) = self.open.iter().position(|open| *open == index) {
            self.open.swap_remove(place);
        }
        self.measuring.lost(at, kind);
    }
}

impl Exchange {
    pub(super) fn new(wanted: Wanted, pace: &PaceArgs) -> Self {
        let unlimited = if pace.rate.is_some() { u32::MAX } else { 1 };
        let kind = match wanted {
            Wanted::Echo { .. } => "round trip",
            Wanted::Success { .. } => "response",
        };
        Self {
            wanted,
            prepared: Vec::new(),
            masks: Masks::default(),
            pipeline: pace.pipeline.unwrap_or(unlimited),
            is_closed_loop: pace.rate.is_none(),
            open: Vec::new(),
            turn: 0,
            has_first: false,
            unanswered: 0,
            measuring: Measuring::new(&[kind], pace),
        }
    }

    /// What is wrong with an answer, and in words.
    #[inline]
    fn judge(&self, answer: &Answer<'_>) -> Option<(ErrorKind, String)> {
        let (payload, content) = match (&self.wanted, answer) {
            (_, Answer::Response(answered)) if !(200..300).contains(&answered.status) => {
                let why = format!("the server answered {}", answered.status);
                return Some((ErrorKind::Status, why));
            }
            (Wanted::Echo { payload, content }, Answer::Message(_)) => (*payload, content),
            _ => return None,
        };
        let (came, bytes) = match answer {
            Answer::Message(Message::Text(text)) => (Payload::Text, text.as_bytes()),
            Answer::Message(Message::Binary(bytes)) => (Payload::Binary, *bytes),
            Answer::Response(_) => return None,
        };
        if came == payload && bytes == content {
            return None;
        }
        let why = match (payload, came) {
            (Payload::Text, Payload::Binary) => {
                "text came back as a binary message: measure such a server with --binary".to_owned()
            }
            (Payload::Binary, Payload::Text) => "a binary message came back as text".to_owned(),
            _ if bytes.len() != content.len() => format!(
                "a message of {} bytes came back with {}",
                content.len(),
                bytes.len()
            ),
            _ => "a message came back with other content".to_owned(),
        };
        Some((ErrorKind::Mismatch, why))
    }

    /// One more is due on a connection.
    #[inline]
    fn issue(&mut self, due: u64, flow: &mut Flow) {
        flow.due.push_back(due);
        flow.unsent.count += 1;
        self.unanswered += 1;
    }

    /// Has as many sent on each connection as may be on their way: each answer has the next one sent.
    fn issue_first(&mut self, now: u64, crowd: &mut Crowd<Flow>) {
        self.has_first = true;
        for index in self.open.clone() {
            let mut first = Flow::default();
            for _ in 0..self.pipeline {
                self.issue(now, &mut first);
            }
            crowd.change(index, self, |flow| {
                flow.due = first.due;
                flow.unsent = first.unsent;
            });
        }
    }
}

impl Timed for Exchange {
    fn measuring(&mut self) -> &mut Measuring {
        &mut self.measuring
    }

    fn into_measuring(self) -> Measuring {
        self.measuring
    }

    /// One connection after the other.
    fn issue_due(&mut self, now: u64, schedule: Option<&mut Pace>, crowd: &mut Crowd<Flow>) {
        let Some(schedule) = schedule else {
            // Not at the end, if it comes at once.
            if !self.has_first && self.measuring.goes_on(now + 1) {
                self.issue_first(now, crowd);
            }
            return;
        };
        while !self.open.is_empty()
            && let Some(due) = schedule.take(now)
        {
            self.turn = (self.turn + 1) % self.open.len();
            self.unanswered += 1;
            crowd.change(self.open[self.turn], self, |flow| {
                flow.due.push_back(due);
                flow.unsent.count += 1;
            });
        }
    }

    fn problem(&self) -> Option<&'static str> {
        self.open.is_empty().then_some("all connections were lost")
    }

    fn is_waiting(&self) -> bool {
        self.unanswered > 0
    }

    fn unanswered(&mut self, crowd: &Crowd<Flow>) -> Vec<u64> {
        let due = crowd.states().flat_map(|flow| &flow.due);
        due.copied().collect()
    }
}
