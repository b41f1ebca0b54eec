//! Messages that are answered one by one: `bench echo` and `bench http`.
//!
//! ```text
//!  closed loop:  send ──▶ answer ──▶ send ...        a latency counts from the sending
//!  fixed rate:   due ── send ──▶ answer              a latency counts from when it was due
//! ```
//!
//! Answers come in the order of what they answer, on each connection. What was due while measuring counts,
//! whenever it is answered; what never is, is an error.

use super::crowd::{Answer, Crowd, Load, nanos};
use super::flags::PaceArgs;
use super::pace::{Pace, sleep};
use super::prepared::{Prepared, Unsent, to};
use super::process::Watch;
use super::progress::Progress;
use super::recorder::Recorder;
use super::run::{ErrorKind, Memory, Payload, Processor};
use crate::cli::client::frames::Masks;
use crate::cli::client::transport::Transport;
use aerys::Message;
use aerys::internals::Agreement;
use mio::Events;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

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
    /// From when to when is measured.
    begin: u64,
    end: u64,
    /// Whether answers are awaited: before, what comes is a greeting.
    has_begun: bool,
    unanswered: u64,
    last_answer: u64,
    recorder: Recorder,
}

impl Load for Exchange {
    type State = Flow;

    fn opened(&mut self, _: u64, _: u64, index: usize, agreed: Option<Agreement>, flow: &mut Flow) {
        self.open.push(index);
        self.recorder.counts.handshakes += 1;
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
        if !self.has_begun {
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
            // Nobody asked.
            self.error(at, wrong.unwrap_or(ErrorKind::Mismatch));
            return;
        };
        self.unanswered -= 1;
        match wrong {
            Some(kind) => self.error(at, kind),
            None if self.is_measured(due) => {
                self.last_answer = at;
                let since = at.saturating_sub(self.begin);
                self.recorder.record(since, 1, &[at.saturating_sub(due)]);
            }
            None => {}
        }
        if self.is_closed_loop && at < self.end {
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
        if at >= self.begin && at < self.end {
            self.recorder.counts.sent += u64::from(messages);
            self.recorder.counts.sent_bytes += bytes as u64;
        }
        Ok(())
    }

    fn lost(&mut self, at: u64, index: usize, kind: ErrorKind, flow: Flow) {
        self.unanswered -= flow.due.len() as u64;
        if let Some(place) = self.open.iter().position(|open| *open == index) {
            self.open.swap_remove(place);
        }
        self.error(at, kind);
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
            begin: u64::MAX,
            end: u64::MAX,
            has_begun: false,
            unanswered: 0,
            last_answer: 0,
            recorder: Recorder::new(&[kind], Recorder::interval(pace.duration)),
        }
    }

    /// What is wrong with an answer.
    #[inline]
    fn judge(&self, answer: &Answer<'_>) -> Option<ErrorKind> {
        let is_right = match (&self.wanted, answer) {
            (Wanted::Echo { payload, content }, Answer::Message(message)) => match message {
                Message::Text(text) => *payload == Payload::Text && text.as_bytes() == content,
                Message::Binary(bytes) => *payload == Payload::Binary && bytes == content,
            },
            (_, Answer::Response(answered)) if !(200..300).contains(&answered.status) => {
                return Some(ErrorKind::Status);
            }
            (Wanted::Success { .. }, Answer::Response(_)) => true,
            _ => false,
        };
        (!is_right).then_some(ErrorKind::Mismatch)
    }

    /// Whether what was due then is measured.
    const fn is_measured(&self, due: u64) -> bool {
        due >= self.begin && due < self.end
    }

    fn error(&mut self, at: u64, kind: ErrorKind) {
        self.recorder.error(at.saturating_sub(self.begin), kind);
    }

    /// One more is due on a connection.
    #[inline]
    fn issue(&mut self, due: u64, flow: &mut Flow) {
        flow.due.push_back(due);
        flow.unsent.count += 1;
        self.unanswered += 1;
    }

    /// Puts the load on connections that are open. What was measured, in how many nanoseconds, and how late
    /// the generator itself was.
    pub(super) fn run(
        mut self,
        crowd: &mut Crowd<Flow>,
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
        if self.is_closed_loop {
            for index in self.open.clone() {
                let mut first = Flow::default();
                for _ in 0..self.pipeline {
                    self.issue(start, &mut first);
                }
                crowd.change(index, &mut self, |flow| {
                    flow.due = first.due;
                    flow.unsent = first.unsent;
                });
            }
        }
        let mut watch = Watch::default();
        loop {
            let now = crowd.now();
            if now >= self.end || self.open.is_empty() {
                break;
            }
            if now >= self.begin {
                watch.begin(crowd.received_bytes);
                progress.show(now - self.begin, &mut self.recorder);
            }
            let mut next = self.end;
            if let Some(schedule) = &mut schedule {
                self.issue_due(now, schedule, crowd);
                next = schedule.next_due();
            }
            crowd.turn(sleep(crowd.now(), next), &mut events, &mut self);
        }
        let (generator, received_bytes) = watch.end(crowd.received_bytes);
        let was_lost = self.open.is_empty();
        if let Some(schedule) = &mut schedule {
            // What was due while the last turn took its time.
            self.issue_due(self.end - 1, schedule, crowd);
        }
        let deadline = self.end.saturating_add(nanos(timeout));
        while self.unanswered > 0 && !self.open.is_empty() && crowd.now() < deadline {
            let rest = sleep(crowd.now(), deadline);
            crowd.turn(rest.max(Duration::from_millis(1)), &mut events, &mut self);
        }
        let due = crowd.states().flat_map(|flow| &flow.due);
        let unanswered = due.filter(|due| self.is_measured(**due)).count();
        for _ in 0..unanswered {
            self.error(deadline, ErrorKind::Timeout);
        }
        let measured_to = if was_lost {
            crowd.now()
        } else {
            self.end.max(self.last_answer)
        };
        self.recorder.counts.received_bytes = received_bytes;
        Outcome {
            recorder: self.recorder,
            generator,
            elapsed: Duration::from_nanos(measured_to.saturating_sub(self.begin)),
            late: Duration::from_nanos(schedule.map_or(0, |schedule| schedule.late_nanos)),
            memory: None,
            problem: was_lost.then(|| "all connections were lost".to_owned()),
        }
    }

    /// Has what is due by `now` sent, one connection after the other.
    fn issue_due(&mut self, now: u64, schedule: &mut Pace, crowd: &mut Crowd<Flow>) {
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
}

/// What came of a load.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) recorder: Recorder,
    /// Processor time of the generator.
    pub(super) generator: Processor,
    /// How long was measured.
    pub(super) elapsed: Duration,
    /// How late the generator itself took up what was due, at most.
    pub(super) late: Duration,
    /// Of the server, if that was asked for.
    pub(super) memory: Option<Memory>,
    /// Why the run did not come to its end.
    pub(super) problem: Option<String>,
}
