//! Opens connections, then reads what they cost the server in memory.

use crate::args::Args;
use crate::report::{Meter, Report};
use crate::sys;

pub fn run(args: &Args) -> Result<(), String> {
    let conns: usize = args.get("conns", 10_000)?;
    let settle: f64 = args.get("settle", 1.0)?;
    let pid = args.pid()?;
    let before = pid.map(sys::memory).unwrap_or_default();
    let meter = Meter::start(pid);
    let pool = crate::open(args, conns, 1)?;
    let mut r = Report::default();
    r.text("mode", "idle");
    r.int("conns", conns as u64);
    meter.finish(&mut r, conns as u64);
    r.num(
        "handshakes_per_sec",
        conns as f64 * 1e9 / pool.setup_ns as f64,
    );
    std::thread::sleep(std::time::Duration::from_secs_f64(settle));
    if let Some(pid) = pid {
        let after = sys::memory(pid);
        let per = |a: u64, b: u64| a.saturating_sub(b) as f64 / conns as f64;
        r.int("rss_before", before.rss);
        r.int("rss_after", after.rss);
        r.num("rss_bytes_per_conn", per(after.rss, before.rss));
        r.num(
            "anon_bytes_per_conn",
            per(after.anonymous, before.anonymous),
        );
    }
    r.print();
    Ok(())
}
