//! Many silent subscribers, one of which sends a message to all of them every
//! second. Prints `ready` on standard error once all are connected, so that a
//! script can measure how the server treats its other clients meanwhile.

use crate::args::Args;
use crate::hist::Hist;
use crate::report::{Meter, Report};
use crate::{sys, Phases, RECV_BUFFER, SECOND};

pub fn run(args: &Args) -> Result<(), String> {
    let conns: usize = args.get("conns", 18_000)?;
    let Phases { secs, .. } = crate::phases(args)?;
    let mut pool = crate::open(args, conns, 1)?;
    // Every receiver gets the sender's payload.
    let sender = 0;
    for c in &mut pool.conns {
        c.variant = 0;
    }
    let mut buf = vec![0u8; RECV_BUFFER];
    let (mut each, mut last) = (Hist::new(), Hist::new());
    // Send time and receivers still without it, for each message.
    let mut messages: Vec<(u64, u64)> = Vec::new();
    let (mut deliveries, mut completed) = (0u64, 0usize);
    eprintln!("ready");
    let meter = Meter::start(args.pid()?);
    let start = sys::now_ns();
    let end = start.saturating_add(secs);
    loop {
        let now = sys::now_ns();
        let due = start + messages.len() as u64 * SECOND;
        if now < end && now >= due {
            messages.push((now, conns as u64));
            pool.send(sender, 1)?;
        }
        // What is under way at the end gets five more seconds.
        if now >= end && (completed == messages.len() || now >= end.saturating_add(5 * SECOND)) {
            break;
        }
        let n = pool.epoll.wait(10).map_err(|e| e.to_string())?;
        pool.receive_ready(n, &mut buf, |c, done| {
            let now = sys::now_ns();
            for id in c.got - done as u64..c.got {
                let (sent, missing) = &mut messages[id as usize];
                *missing -= 1;
                each.record(now - *sent, 1);
                if *missing == 0 {
                    completed += 1;
                    last.record(now - *sent, 1);
                }
            }
            deliveries += done as u64;
        })?;
    }
    let mut r = Report::default();
    r.text("mode", "crowd");
    r.int("conns", conns as u64);
    r.int("size", crate::shape(args)?.size as u64);
    r.int("messages", messages.len() as u64);
    r.int("missing", messages.iter().map(|m| m.1).sum());
    meter.finish(&mut r, deliveries);
    r.quantiles("each_", &each);
    r.quantiles("last_", &last);
    r.print();
    Ok(())
}
