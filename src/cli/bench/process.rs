//! Memory of the server's process and processor time of our own, as the system accounts them.

use super::run::Processor;
use std::fs;

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resident {
    pub(super) bytes: u64,
    /// With what it shares divided by those who share it; absent where the system does not tell.
    pub(super) proportional_bytes: Option<u64>,
}

/// The resident memory of process `pid`.
///
/// # Errors
///
/// A line on why it is not known.
pub(super) fn resident(pid: u32) -> Result<Resident, String> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
    // Other users' processes tell less.
    if let Ok(text) = read("smaps_rollup")
        && let Some(bytes) = kibibytes(&text, "Rss:")
    {
        return Ok(Resident {
            bytes,
            proportional_bytes: kibibytes(&text, "Pss:"),
        });
    }
    let text = read("status").map_err(|error| {
        format!("the memory of process {pid} cannot be read: /proc/{pid}: {error}")
    })?;
    let bytes = kibibytes(&text, "VmRSS:");
    Ok(Resident {
        bytes: bytes.ok_or_else(|| format!("process {pid} has no memory of its own"))?,
        proportional_bytes: None,
    })
}

/// The value of the line that begins with `name`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = value.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Processor time that this process has used.
#[cfg(target_os = "linux")]
fn own_time() -> Processor {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::{TimeVal, TimeValLike};
    let seconds = |time: TimeVal| {
        #[expect(clippy::cast_precision_loss, reason = "a time, to be read")]
        let micros = time.num_microseconds() as f64;
        micros / 1e6
    };
    getrusage(UsageWho::RUSAGE_SELF).map_or_else(
        |_| Processor::default(),
        |usage| Processor {
            user_s: seconds(usage.user_time()),
            system_s: seconds(usage.system_time()),
        },
    )
}

/// It is not told apart here.
#[cfg(not(target_os = "linux"))]
fn own_time() -> Processor {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "a time, to be read")]
    let user_s = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    Processor {
        user_s,
        system_s: 0.0,
    }
}

/// What this process uses while it measures.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Processor time and bytes received, when measuring began.
    before: Option<(Processor, u64)>,
}

impl Watch {
    /// Measuring has begun, with so many bytes received by then. Once.
    pub(super) fn begin(&mut self, received_bytes: u64) {
        self.before
            .get_or_insert_with(|| (own_time(), received_bytes));
    }

    /// What was used and received since then, of `received_bytes` in all.
    pub(super) fn end(self, received_bytes: u64) -> (Processor, u64) {
        let Some((before, bytes)) = self.before else {
            return (Processor::default(), 0);
        };
        let now = own_time();
        let used = Processor {
            user_s: now.user_s - before.user_s,
            system_s: now.system_s - before.system_s,
        };
        (used, received_bytes - bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_by_their_name() {
        let text = "00400000-7fff [rollup]\nRss:    1234 kB\nPss:   12 kB\nPss_Anon: 7 kB\n";
        assert_eq!(kibibytes(text, "Rss:"), Some(1234 * 1024));
        assert_eq!(kibibytes(text, "Pss:"), Some(12 * 1024));
        assert_eq!(kibibytes(text, "Swap:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_no_process_has_none() {
        let own = resident(std::process::id()).expect("this process");
        assert!(own.bytes > 100 * 1024, "{own:?}");
        let none = resident(u32::MAX).expect_err("no process");
        assert!(none.contains("4294967295"), "{none}");
    }
}
