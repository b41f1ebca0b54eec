//! A load that is put on for a time: when measuring begins and ends, what went wrong within, and what came
//! of it. What is sent and when it is answered is the load's own.
//!
//! ```text
//!  start ── warm-up ──▶ begin ── measured ──▶ end ── answers are awaited ──▶ outcome
//! ```
//!
//! What was due while it was measured counts, whenever it is answered; what never is, is an error.

use super::crowd::{Crowd, Load, nanos};
use super::flags::PaceArgs;
use super::pace::{Pace, sleep};
use super::process::Watch;
use super::progress::Progress;
use super::recorder::Recorder;
use super::run::{ErrorKind, Memory, Processor};
use super::troubles::Troubles;
use mio::Events;
use std::time::Duration;

/// What every such load keeps.
#[derive(Debug)]
pub(super) struct Measuring {
    pub(super) recorder: Recorder,
    pub(super) troubles: Troubles,
    /// Whether answers are awaited: before, what comes is a greeting.
    pub(super) has_begun: bool,
    begin: u64,
    end: u64,
    last_answer: u64,
}

impl Measuring {
    /// For latencies of these kinds; nothing has begun.
    pub(super) fn new(kinds: &[&str], pace: &PaceArgs) -> Self {
        Self {
            recorder: Recorder::new(kinds, Recorder::interval(pace.duration)),
            troubles: Troubles::default(),
            has_begun: false,
            begin: u64::MAX,
            end: u64::MAX,
            last_answer: 0,
        }
    }

    fn start(&mut self, now: u64, pace: &PaceArgs) {
        self.has_begun = true;
        self.begin = now.saturating_add(nanos(pace.warmup));
        self.end = self.begin.saturating_add(nanos(pace.duration));
    }

    /// Whether what was due then is measured.
    #[inline]
    pub(super) const fn is_measured(&self, due: u64) -> bool {
        due >= self.begin && due < self.end
    }

    /// Whether something new may be sent at `at`.
    #[inline]
    pub(super) const fn goes_on(&self, at: u64) -> bool {
        at < self.end
    }

    /// What was due and is measured was answered at `at`: so many received, in what time by kind.
    #[inline]
    pub(super) fn record(&mut self, at: u64, received: u64, latencies_nanos: &[u64]) {
        self.last_answer = at;
        let since = at.saturating_sub(self.begin);
        self.recorder.record(since, received, latencies_nanos);
    }

    /// At `at` something is wrong with what was due at `due`, or with what nobody asked for. It does not count in
    /// the warm-up.
    pub(super) fn wrong(&mut self, at: u64, due: Option<u64>, kind: ErrorKind, why: &str) {
        if due.map_or(at >= self.begin, |due| self.is_measured(due)) {
            self.troubles.add(why);
            self.lost(at, kind);
        }
    }

    /// A connection is lost, which counts whenever it is: it is missing from then on.
    pub(super) fn lost(&mut self, at: u64, kind: ErrorKind) {
        self.recorder.error(at.saturating_sub(self.begin), kind);
    }
}

/// A load that is put on for a time.
pub(super) trait Timed: Load + Sized {
    fn measuring(&mut self) -> &mut Measuring;

    fn into_measuring(self) -> Measuring;

    /// Has sent what is due by `now` and not sent yet: by `schedule`, or in a closed loop what starts it.
    fn issue_due(&mut self, now: u64, schedule: Option<&mut Pace>, crowd: &mut Crowd<Self::State>);

    /// Why it cannot go on, if it cannot.
    fn problem(&self) -> Option<&'static str>;

    /// Whether answers are awaited.
    fn is_waiting(&self) -> bool;

    /// When each of what is not answered was due, at the end.
    fn unanswered(&mut self, crowd: &Crowd<Self::State>) -> Vec<u64>;
}

/// What came of a load.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) recorder: Recorder,
    pub(super) troubles: Troubles,
    /// Processor time of the generator while the load was put on.
    pub(super) generator: Processor,
    /// How long load was put on, and how long it took with the answers.
    pub(super) load: Duration,
    pub(super) elapsed: Duration,
    /// How late the generator itself took up what was due, at most.
    pub(super) late: Duration,
    /// Of the server, if that was asked for.
    pub(super) memory: Option<Memory>,
    /// Why the run did not come to its end.
    pub(super) problem: Option<String>,
}

/// Puts a load on connections that are open.
pub(super) fn run<L: Timed>(
    mut load: L,
    crowd: &mut Crowd<L::State>,
    pace: &PaceArgs,
    timeout: Duration,
    progress: &mut Progress,
) -> Outcome {
    let mut events = Events::with_capacity(1024);
    let mut watch = Watch::default();
    crowd.settle(&mut load);
    let start = crowd.now();
    load.measuring().start(start, pace);
    let begin = load.measuring().begin;
    let mut schedule = pace.rate.map(|rate| Pace::new(rate, start, begin));
    let mut problem = None;
    loop {
        let now = crowd.now();
        if crowd.interrupts() > 0 {
            problem = Some("interrupted: what was measured until then is told");
        } else {
            problem = problem.or(load.problem());
        }
        let measuring = load.measuring();
        if problem.is_some() {
            measuring.end = measuring.end.min(now);
        }
        if now >= measuring.end {
            break;
        }
        let mut next = measuring.end;
        if now >= begin {
            watch.begin(crowd.received_bytes);
            progress.show(now - begin, &mut measuring.recorder);
        } else {
            next = begin;
            progress.warm_up(now - start, begin - start);
        }
        load.issue_due(now, schedule.as_mut(), crowd);
        if let Some(schedule) = &schedule {
            next = next.min(schedule.next_due());
        }
        crowd.turn(sleep(crowd.now(), next), &mut events, &mut load);
    }
    let (generator, received_bytes) = watch.end(crowd.received_bytes);
    let end = load.measuring().end;
    load.measuring().recorder.counts.received_bytes = received_bytes;
    await_answers(&mut load, crowd, end, schedule.as_mut(), timeout);
    let unanswered = load.unanswered(crowd);
    let measuring = load.measuring();
    let last = end.max(measuring.last_answer);
    for due in unanswered {
        let why = "not answered in time";
        measuring.wrong(last, Some(due), ErrorKind::Timeout, why);
    }
    let since = |time: u64| Duration::from_nanos(time.saturating_sub(begin));
    let measuring = load.into_measuring();
    Outcome {
        recorder: measuring.recorder,
        troubles: measuring.troubles,
        generator,
        load: since(end),
        elapsed: since(last),
        late: Duration::from_nanos(schedule.map_or(0, |schedule| schedule.late_nanos)),
        memory: None,
        problem: problem.map(str::to_owned),
    }
}

/// Waits for what is unanswered at the end, until the time for it is over or somebody interrupts.
fn await_answers<L: Timed>(
    load: &mut L,
    crowd: &mut Crowd<L::State>,
    end: u64,
    mut schedule: Option<&mut Pace>,
    timeout: Duration,
) {
    let mut events = Events::with_capacity(1024);
    let deadline = end.saturating_add(nanos(timeout));
    let interrupts = crowd.interrupts();
    while load.problem().is_none() {
        // At first what was due while the last turn took its time, then what waits for its turn.
        load.issue_due(end.saturating_sub(1), schedule.as_deref_mut(), crowd);
        let now = crowd.now();
        if now >= deadline || crowd.interrupts() > interrupts || !load.is_waiting() {
            return;
        }
        let rest = sleep(now, deadline).max(Duration::from_millis(1));
        crowd.turn(rest, &mut events, load);
    }
}
