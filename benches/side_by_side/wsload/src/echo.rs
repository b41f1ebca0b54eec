//! Closed loop: every connection keeps `pipeline` messages in flight.

use crate::args::Args;
use crate::hist::Hist;
use crate::pool::Pool;
use crate::report::Report;
use crate::{sys, Run, RECV_BUFFER};

pub fn run(args: &Args) -> Result<(), String> {
    let conns: usize = args.get("conns", 1)?;
    let pipeline: usize = args.get("pipeline", 1)?;
    let phases = crate::phases(args)?;
    let most = phases.most;
    let timeout = crate::wait_ms(args, false)?;
    let _others = crate::bystanders(args)?;
    let mut pool = crate::open(args, conns, pipeline)?;
    let mut buf = vec![0u8; RECV_BUFFER];
    let mut hist = Hist::new();
    let (mut count, mut sent) = (0u64, 0u64);
    let mut run = Run::begin(args, &phases)?;
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
        if !run.goes_on(sys::now_ns()) {
            break;
        }
        let measuring = run.is_measuring();
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
    run.finish(&mut r, count)?;
    r.quantiles("", &hist);
    r.print();
    Ok(())
}
