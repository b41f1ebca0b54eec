//! Open loop: messages leave at a fixed rate whether or not replies come, and
//! each latency counts from the time its message was due.

use crate::args::Args;
use crate::hist::Hist;
use crate::report::Report;
use crate::{sys, Run, RECV_BUFFER};

pub fn run(args: &Args) -> Result<(), String> {
    let conns: usize = args.get("conns", 10)?;
    let rate: f64 = args.get("rate", 10_000.0)?;
    let phases = crate::phases(args)?;
    let spin = crate::wait_ms(args, true)? == 0;
    let _others = crate::bystanders(args)?;
    sys::exact_timers();
    let mut pool = crate::open(args, conns, 1)?;
    let mut buf = vec![0u8; RECV_BUFFER];
    let mut hist = Hist::new();
    let (mut count, mut sent, mut answered) = (0u64, 0u64, 0u64);
    let gap = 1e9 / rate;
    let mut run = Run::begin(args, &phases)?;
    let start = run.start;
    loop {
        let now = sys::now_ns();
        if !run.goes_on(now) {
            break;
        }
        for _ in 0..64 {
            let due = start + (sent as f64 * gap) as u64;
            if due > now {
                break;
            }
            let i = sent as usize % conns;
            pool.conns[i].sent_at.push_back(due);
            pool.send(i, 1)?;
            sent += 1;
        }
        let measuring = run.is_measuring();
        // To the nanosecond: a millisecond's rounding would be charged to the server.
        let due = start + (sent as f64 * gap) as u64;
        let pause = if spin {
            0
        } else {
            due.saturating_sub(sys::now_ns())
        };
        let n = pool.epoll.wait_ns(pause).map_err(|e| e.to_string())?;
        pool.receive_ready(n, &mut buf, |c, done| {
            let now = sys::now_ns();
            for _ in 0..done {
                let due = c.sent_at.pop_front().unwrap_or(now);
                if measuring {
                    hist.record(now.saturating_sub(due), 1);
                }
            }
            answered += done as u64;
            if measuring {
                count += done as u64;
            }
        })?;
    }
    // Messages still unanswered count with the age they have reached.
    let now = sys::now_ns();
    for c in &pool.conns {
        for due in &c.sent_at {
            hist.record(now.saturating_sub(*due), 1);
        }
    }
    let mut r = Report::default();
    r.text("mode", "latency");
    r.int("conns", conns as u64);
    r.int("size", crate::shape(args)?.size as u64);
    r.num("rate", rate);
    r.int("unanswered", sent - answered);
    run.finish(&mut r, count)?;
    r.quantiles("", &hist);
    r.print();
    Ok(())
}
