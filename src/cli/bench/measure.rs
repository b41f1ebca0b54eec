//! A run from its flags to its report.

use super::broadcast::Broadcast;
use super::crowd::{Answer, Crowd, Load};
use super::exchange::{Exchange, Wanted};
use super::flags::{BroadcastArgs, ConnectArgs, EchoArgs, HttpArgs, PaceArgs, TargetArgs};
use super::process::{Watch, resident};
use super::progress::Progress;
use super::recorder::Recorder;
use super::report::Report;
use super::run::{Asked, ErrorKind, Kind, Measured, Memory, Payload, Run};
use super::timed::{self, Outcome, Timed};
use super::troubles::Troubles;
use crate::cli::Failure;
use crate::cli::client::opening::Wishes;
use crate::cli::client::transport::Transport;
use aerys::internals::Agreement;
use mio::Events;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, Instant, SystemTime};

/// Lateness of the generator that is worth a word: of much shorter ones, latencies do not tell either.
const LATE: Duration = Duration::from_millis(1);

/// `aerys bench echo`.
pub(super) fn echo(args: EchoArgs) -> Result<(), Failure> {
    let report = Report::prepare(args.report)?;
    let payload = args.messages.payload();
    let asked = Asked {
        size_bytes: args.messages.size as u64,
        payload: Some(payload),
        compression: args.messages.compression,
        ..asked(Kind::Echo, &args.target, Some(&args.pace))
    };
    let content = super::prepared::content(args.messages.size);
    let load = Exchange::new(Wanted::Echo { payload, content }, &args.pace);
    let wishes = wishes(&args.target, args.messages.compression);
    exchange(report, asked, args.target, &args.pace, Some(wishes), load)
}

/// `aerys bench http`.
pub(super) fn http(args: HttpArgs) -> Result<(), Failure> {
    let report = Report::prepare(args.report)?;
    let asked = asked(Kind::Http, &args.target, Some(&args.pace));
    let request = request(&args.target);
    let load = Exchange::new(Wanted::Success { request }, &args.pace);
    exchange(report, asked, args.target, &args.pace, None, load)
}

fn exchange(
    report: Report,
    asked: Asked,
    target: TargetArgs,
    pace: &PaceArgs,
    wishes: Option<Wishes>,
    load: Exchange,
) -> Result<(), Failure> {
    let count = target.connections;
    timed(report, asked, target, pace, wishes, count, load)
}

/// Puts a load on `count` connections for its time.
fn timed<L: Timed>(
    report: Report,
    asked: Asked,
    target: TargetArgs,
    pace: &PaceArgs,
    wishes: Option<Wishes>,
    count: usize,
    mut load: L,
) -> Result<(), Failure> {
    let (at_once, timeout) = (target.at_once, target.timeout);
    let mut crowd = Crowd::new(target, wishes, count).map_err(Failure::AtRunTime)?;
    let mut progress = Progress::new(Some(pace.duration));
    open(&mut crowd, count, at_once, &mut load, &mut progress)?;
    let started = SystemTime::now() + pace.warmup;
    let outcome = timed::run(load, &mut crowd, pace, timeout, &mut progress);
    finish(report, asked, crowd, outcome, started, &mut progress)
}

/// `aerys bench broadcast`.
pub(super) fn broadcast(args: BroadcastArgs) -> Result<(), Failure> {
    let report = Report::prepare(args.report)?;
    let payload = args.messages.payload();
    let (target, pace) = (args.target, &args.pace);
    let asked = Asked {
        size_bytes: args.messages.size as u64,
        payload: Some(payload),
        compression: args.messages.compression,
        ..asked(Kind::Broadcast, &target, Some(pace))
    };
    let count = target.connections;
    let apart = args.sender_apart.then_some(count);
    let load = Broadcast::new(payload, args.messages.size, apart, pace);
    let all = count + usize::from(args.sender_apart);
    let wishes = wishes(&target, args.messages.compression);
    timed(report, asked, target, pace, Some(wishes), all, load)
}

/// Opens all connections.
fn open<L: Load>(
    crowd: &mut Crowd<L::State>,
    count: usize,
    at_once: usize,
    load: &mut L,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let opened = crowd.open(count, at_once, load, |at, open| {
        progress.connecting(at, open, count);
    });
    progress.clear();
    opened.map_err(Failure::AtRunTime)
}

/// Closes the connections and tells what was measured.
fn finish<S: Default>(
    report: Report,
    asked: Asked,
    crowd: Crowd<S>,
    outcome: Outcome,
    started: SystemTime,
    progress: &mut Progress,
) -> Result<(), Failure> {
    progress.clear();
    crowd.troubles.tell();
    outcome.troubles.tell();
    if outcome.late > LATE {
        let late = outcome.late.as_secs_f64() * 1e3;
        // Nobody may be there to read it.
        let _ = writeln!(
            io::stderr(),
            "aerys: the load generator itself was late by up to {late:.1} ms, which the latencies include"
        );
    }
    crowd.leave();
    let (counts, latencies, intervals) = outcome.recorder.finish();
    let measured = Measured {
        elapsed_s: outcome.elapsed.as_secs_f64(),
        load_s: Some(outcome.load.as_secs_f64()),
        counts,
        latencies,
        intervals,
        memory: outcome.memory,
        generator: outcome.generator,
    };
    let told = report.tell(Run::new(asked, started, measured));
    match (outcome.problem, told) {
        (None, told) => told,
        // What does not hold of half a run is told too, but why there is no more of it counts.
        (Some(problem), Err(Failure::NotHeld(lines))) => {
            for line in lines {
                let _ = writeln!(io::stderr(), "aerys: {line}");
            }
            Err(Failure::AtRunTime(problem))
        }
        (Some(problem), _) => Err(Failure::AtRunTime(problem)),
    }
}

/// `aerys bench connect`.
pub(super) fn connect(args: ConnectArgs) -> Result<(), Failure> {
    let report = Report::prepare(args.report)?;
    let target = args.target;
    let memory = |of| resident(of).map_err(Failure::AtRunTime);
    let asked = Asked {
        compression: args.compression,
        ..asked(Kind::Connect, &target, None)
    };
    let (count, at_once) = (target.connections, target.at_once);
    let wishes = wishes(&target, args.compression);
    let mut crowd = Crowd::new(target, Some(wishes), count).map_err(Failure::AtRunTime)?;
    let before = args.pid.map(memory).transpose()?;
    let mut progress = Progress::new(None);
    let mut load = Handshakes {
        began: crowd.now(),
        last: 0,
        recorder: Recorder::new(&["handshake"], Duration::from_millis(100)),
    };
    let (mut watch, started) = (Watch::default(), SystemTime::now());
    watch.begin(0);
    open(&mut crowd, count, at_once, &mut load, &mut progress)?;
    let elapsed = Duration::from_nanos(load.last.saturating_sub(load.began));
    let (generator, received_bytes) = watch.end(crowd.received_bytes);
    load.recorder.counts.received_bytes = received_bytes;
    load.recorder.counts.sent_bytes = crowd.sent_bytes;

    hold(&mut crowd, args.hold, &mut load);
    let held = crowd.open_count() as u64;
    let mut problem = (crowd.interrupts() > 0).then(|| "interrupted".to_owned());
    // A server that is gone has none, and what was measured is told all the same.
    let after = args.pid.and_then(|of| match resident(of) {
        Ok(after) => Some(after),
        Err(error) => {
            problem.get_or_insert(error);
            None
        }
    });
    let memory = before.zip(after).map(|(before, after)| Memory {
        before_bytes: before.bytes,
        after_bytes: after.bytes,
        connections: held,
    });
    if let (Some(before), Some(after)) = (
        before.and_then(|before| before.proportional_bytes),
        after.and_then(|after| after.proportional_bytes),
    ) {
        let each = after.saturating_sub(before) / held.max(1);
        let _ = writeln!(
            io::stderr(),
            "aerys: proportional memory (Pss) {before} bytes before, {after} with {held} connections: \
             {each} each"
        );
    }
    let outcome = Outcome {
        recorder: load.recorder,
        troubles: Troubles::default(),
        generator,
        load: elapsed,
        elapsed,
        late: Duration::ZERO,
        memory,
        problem,
    };
    finish(report, asked, crowd, outcome, started, &mut progress)
}

/// Serves connections for a while: they answer pings, and some may be lost.
fn hold(crowd: &mut Crowd<()>, time: Duration, load: &mut Handshakes) {
    let mut events = Events::with_capacity(1024);
    let deadline = Instant::now() + time;
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() || crowd.interrupts() > 0 {
            return;
        }
        crowd.turn(rest.max(Duration::from_millis(1)), &mut events, load);
    }
}

/// Handshakes, and nothing more.
struct Handshakes {
    began: u64,
    last: u64,
    recorder: Recorder,
}

impl Load for Handshakes {
    type State = ();

    fn opened(&mut self, at: u64, took: u64, _: usize, _: Option<Agreement>, (): &mut ()) {
        self.last = at;
        self.recorder.counts.handshakes += 1;
        self.recorder
            .record(at.saturating_sub(self.began), 1, &[took]);
    }

    fn answered(&mut self, _: u64, (): &mut (), _: Answer<'_>) {}

    fn ready(&mut self, _: u64, (): &mut (), _: &mut Transport) -> io::Result<()> {
        Ok(())
    }

    fn lost(&mut self, at: u64, _: usize, kind: ErrorKind, (): ()) {
        self.recorder.error(at.saturating_sub(self.began), kind);
    }
}

fn asked(kind: Kind, target: &TargetArgs, pace: Option<&PaceArgs>) -> Asked {
    let rate = pace.and_then(|pace| pace.rate);
    Asked {
        kind,
        url: target.url.to_string(),
        connections: target.connections as u64,
        size_bytes: 0,
        payload: None::<Payload>,
        rate_per_s: rate.map(f64::from),
        pipeline: pace.and_then(|pace| pace.pipeline).unwrap_or(1).into(),
        at_once: Some(target.at_once as u64),
        compression: false,
        warm_up_s: pace.map_or(0.0, |pace| pace.warmup.as_secs_f64()),
        duration_s: pace.map(|pace| pace.duration.as_secs_f64()),
    }
}

fn wishes(target: &TargetArgs, compression: bool) -> Wishes {
    Wishes {
        compression,
        subprotocols: Vec::new(),
        headers: target.header.clone(),
    }
}

/// The GET of `bench http`.
fn request(target: &TargetArgs) -> Vec<u8> {
    let mut request = format!("GET {} HTTP/1.1\r\n", target.url.target());
    let is_host = |(name, _): &(String, String)| name.eq_ignore_ascii_case("host");
    if !target.header.iter().any(is_host) {
        let _ = write!(request, "Host: {}\r\n", target.url.authority());
    }
    for (name, value) in &target.header {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    (request + "\r\n").into_bytes()
}
