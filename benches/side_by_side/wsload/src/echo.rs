//! Closed loop: every connection keeps `pipeline` messages in flight.

use crate::args::Args;
use crate::hist::Hist;
use crate::pool::Pool;
use crate::report::{Meter, Report};
use crate::{sys, Phases, RECV_BUFFER};

pub fn run(args: &Args) -> Result<(), String> {
    let conns: usize = args.get("conns", 1)?;
    let pipeline: usize = args.get("pipeline", 1)?;
    let Phases { warmup, secs, most } = crate::phases(args)?;
    let timeout = crate::wait_ms(args, false)?;
    let _others = crate::bystanders(args)?;
    let mut pool = crate::open(args, conns, pipeline)?;
    let mut buf = vec![0u8; RECV_BUFFER];
    let mut hist = Hist::new();
    let mut meter: Option<Meter> = None;
    let (mut count, mut sent) = (0u64, 0u64);
    let start = sys::now_ns();
    let ask = |pool: &mut Pool, i: usize, n: usize, sent: &mut u64| {
        let n = most.saturating_sub(*sent).min(n as u64);
        *sent += n;
        let times = std::iter::repeat_n(sys::now_ns(), n as usize);
        pool.conns[i].sent_at.extend(times);
        pool.send(i, n as usize)
    };
    for i in 0..conns {
        ask(&mut pool, i, pipeline, &mut sent)?;
    }
    while count < most {
        let n = pool.epoll.wait(timeout).map_err(|e| e.to_string())?;
        let now = sys::now_ns();
        if meter.is_none() && now >= start + warmup {
            meter = Some(Meter::start(args.pid()?));
        }
        if now >= start.saturating_add(warmup + secs) {
            break;
        }
        let measuring = meter.is_some();
        for e in 0..n {
            let i = pool.epoll.token(e);
            if pool.epoll.writable(e) {
                pool.flush(i)?;
            }
            let mut ended = 0;
            pool.receive(i, &mut buf, |c, done| {
                let now = sys::now_ns();
                for _ in 0..done {
                    let sent = c.sent_at.pop_front().unwrap_or(now);
                    if measuring {
                        hist.record(now - sent, 1);
                    }
                }
                ended += done as usize;
            })?;
            if ended > 0 {
                ask(&mut pool, i, ended, &mut sent)?;
                if measuring {
                    count += ended as u64;
                }
            }
        }
    }
    let mut r = Report::default();
    r.text("mode", "echo");
    r.int("conns", conns as u64);
    r.int("size", crate::shape(args)?.size as u64);
    r.int("pipeline", pipeline as u64);
    meter
        .ok_or("the run ended in its warm-up")?
        .finish(&mut r, count);
    r.quantiles("", &hist);
    r.print();
    Ok(())
}
