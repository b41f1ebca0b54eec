//! wsload: a single-threaded epoll load generator for WebSocket and HTTP
//! servers on loopback. See README.md for its modes and options.

mod args;
mod broadcast;
mod crowd;
mod echo;
mod hist;
mod http;
mod idle;
mod latency;
mod pool;
mod report;
mod sys;
mod ws;

use args::Args;
use pool::{Pool, Target};
use report::{Meter, Report};
use ws::Shape;

const USAGE: &str =
    "usage: wsload echo|latency|broadcast|crowd|idle|http --url URL [options]; see README.md";
const RECV_BUFFER: usize = 256 * 1024;
const SECOND: u64 = 1_000_000_000;

fn main() {
    sys::raise_descriptor_limit();
    let result = Args::parse().and_then(|args| match args.mode.as_str() {
        "echo" => echo::run(&args),
        "latency" => latency::run(&args),
        "broadcast" => broadcast::run(&args),
        "crowd" => crowd::run(&args),
        "idle" => idle::run(&args),
        "http" => http::run(&args),
        other => Err(format!("no mode {other}; {USAGE}")),
    });
    if let Err(e) = result {
        eprintln!("wsload: {e}");
        std::process::exit(1);
    }
}

fn shape(args: &Args) -> Result<Shape, String> {
    Ok(Shape {
        size: args.get("size", 20)?,
        text: args.on("text"),
        unmasked: args.on("unmasked"),
    })
}

fn open(args: &Args, count: usize, repeat: usize) -> Result<Pool, String> {
    let (addr, path) = args.url()?;
    let target = Target {
        addr,
        path,
        upgrade: true,
    };
    Pool::open(
        &target,
        count,
        args.get("window", 64)?,
        &shape(args)?,
        repeat,
        args.on("full-check"),
    )
}

/// How long a run is: in nanoseconds, and in messages that are sent.
struct Phases {
    warmup: u64,
    secs: u64,
    most: u64,
}

/// With --count the number of messages alone ends the run, and all are measured.
fn phases(args: &Args) -> Result<Phases, String> {
    let most = args.get("count", u64::MAX)?;
    if most != u64::MAX {
        if !matches!(args.mode.as_str(), "echo" | "broadcast" | "http") {
            return Err("--count is for echo, broadcast and http".into());
        }
        return Ok(Phases {
            warmup: 0,
            secs: u64::MAX,
            most,
        });
    }
    let warmup: f64 = args.get("warmup", 0.5)?;
    let secs: f64 = args.get("secs", 3.0)?;
    Ok(Phases {
        warmup: (warmup * 1e9) as u64,
        secs: (secs * 1e9) as u64,
        most,
    })
}

/// A run under way: its warm-up, then the interval that is measured.
struct Run {
    start: u64,
    measured_at: u64,
    end: u64,
    pid: Option<u32>,
    meter: Option<Meter>,
}

impl Run {
    /// Begins now.
    fn begin(args: &Args, phases: &Phases) -> Result<Run, String> {
        let start = sys::now_ns();
        Ok(Run {
            start,
            measured_at: start + phases.warmup,
            end: start.saturating_add(phases.warmup + phases.secs),
            pid: args.pid()?,
            meter: None,
        })
    }

    /// It is `now`: measures from the end of the warm-up on. Whether time is left.
    fn goes_on(&mut self, now: u64) -> bool {
        if self.meter.is_none() && now >= self.measured_at {
            self.meter = Some(Meter::start(self.pid));
        }
        now < self.end
    }

    fn is_measuring(&self) -> bool {
        self.meter.is_some()
    }

    /// Adds the rate and CPU figures of what was measured, `count` messages.
    fn finish(&self, report: &mut Report, count: u64) -> Result<(), String> {
        let meter = self.meter.as_ref().ok_or("the run ended in its warm-up")?;
        meter.finish(report, count);
        Ok(())
    }
}

fn wait_ms(args: &Args, default_spin: bool) -> Result<i32, String> {
    Ok(if args.get("spin", default_spin as u8)? != 0 {
        0
    } else {
        100
    })
}

/// Opens further connections that stay silent, to be kept for the whole run.
fn bystanders(args: &Args) -> Result<Option<Pool>, String> {
    match args.get("bystanders", 0)? {
        0 => Ok(None),
        n => open(args, n, 1).map(Some),
    }
}
