//! One sender and `conns` subscribers: the server sends every message to every
//! connection (the sender's too, unless --no-self). At most `outstanding`
//! messages are under way.

use crate::args::Args;
use crate::hist::Hist;
use crate::report::Report;
use crate::{sys, Run, RECV_BUFFER, SECOND};

pub fn run(args: &Args) -> Result<(), String> {
    let conns: usize = args.get("conns", 1000)?;
    let outstanding: usize = args.get("outstanding", 1)?;
    let phases = crate::phases(args)?;
    let most = phases.most;
    let timeout = crate::wait_ms(args, false)?;
    let mut pool = crate::open(args, conns + 1, outstanding)?;
    // Every receiver gets the sender's payload.
    let sender = conns;
    for c in &mut pool.conns {
        c.variant = 0;
    }
    let receivers = conns as u64 + !args.on("no-self") as u64;
    let mut buf = vec![0u8; RECV_BUFFER];
    let (mut each, mut last) = (Hist::new(), Hist::new());
    let mut measured_from = u64::MAX; // first message of the measured interval
    let (mut sent, mut completed, mut deliveries) = (0u64, 0u64, 0u64);
    // Send time and receivers still without it, for each message under way.
    let mut under_way: Vec<(u64, u64)> = vec![(0, 0); outstanding];
    let mut run = Run::begin(args, &phases)?;
    let mut stop = false;
    let mut progress = run.start;
    loop {
        let now = sys::now_ns();
        let in_time = run.goes_on(now);
        if run.is_measuring() {
            measured_from = measured_from.min(sent);
        }
        if !in_time || sent.saturating_sub(measured_from) >= most {
            stop = true;
        }
        let left = most.saturating_sub(sent.saturating_sub(measured_from));
        let free = (outstanding as u64 - (sent - completed)).min(left) as usize;
        if !stop && free > 0 {
            let now = sys::now_ns();
            for _ in 0..free {
                under_way[sent as usize % outstanding] = (now, receivers);
                sent += 1;
            }
            pool.send(sender, free)?;
        }
        if stop && completed == sent {
            break;
        }
        let n = pool.epoll.wait(timeout).map_err(|e| e.to_string())?;
        if n > 0 {
            progress = now;
        } else if now > progress + 5 * SECOND {
            return Err(format!(
                "no delivery for 5 s; {completed} of {sent} messages complete"
            ));
        }
        pool.receive_ready(n, &mut buf, |c, done| {
            let now = sys::now_ns();
            for id in c.got - done as u64..c.got {
                let slot = &mut under_way[id as usize % outstanding];
                slot.1 -= 1;
                let measured = id >= measured_from;
                if measured {
                    each.record(now - slot.0, 1);
                    deliveries += 1;
                }
                if slot.1 == 0 {
                    completed += 1;
                    if measured {
                        last.record(now - slot.0, 1);
                    }
                }
            }
        })?;
    }
    let mut r = Report::default();
    r.text("mode", "broadcast");
    r.int("conns", conns as u64);
    r.int("size", crate::shape(args)?.size as u64);
    r.int("outstanding", outstanding as u64);
    r.int("messages", sent.saturating_sub(measured_from));
    run.finish(&mut r, deliveries)?;
    r.quantiles("each_", &each);
    r.quantiles("last_", &last);
    r.print();
    Ok(())
}
