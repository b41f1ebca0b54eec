//! A run: what was asked for and what was measured, as it is written as JSON and read again.
//!
//! Names end in their unit. [`VERSION`] counts up when a name changes its meaning; names may be added.

use super::histogram::Latencies;
use super::numbers;
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// Of the format.
pub(crate) const VERSION: u32 = 1;

/// One run of a load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// [`VERSION`].
    pub(crate) aerys_bench_version: u32,
    /// What it is called where several are compared, if the user said so.
    pub(crate) label: Option<String>,
    /// When measuring began, in seconds since 1970.
    pub(crate) started_unix_s: u64,
    pub(crate) asked: Asked,
    pub(crate) measured: Measured,
}

/// What kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Echo,
    Broadcast,
    Connect,
    Http,
}

/// What messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Payload {
    Text,
    Binary,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) connections: u64,
    /// Of a message. Of a request without a body, 0.
    pub(crate) size_bytes: u64,
    /// Absent where there are no messages.
    pub(crate) payload: Option<Payload>,
    /// Messages a second of all connections together; absent in a closed loop.
    pub(crate) rate_per_s: Option<f64>,
    /// How many a connection has on their way at most.
    pub(crate) pipeline: u64,
    /// How many handshakes are under way at the same time; absent from runs that are older.
    pub(crate) at_once: Option<u64>,
    /// Whether permessage-deflate was offered.
    pub(crate) compression: bool,
    pub(crate) warm_up_s: f64,
    /// Absent if it ended by itself.
    pub(crate) duration_s: Option<f64>,
}

/// What was measured, behind the warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) elapsed_s: f64,
    /// How long load was put on, without the wait for the last answers: bytes and processor time are of
    /// this time. Absent from runs that are older.
    pub(crate) load_s: Option<f64>,
    pub(crate) counts: Counts,
    /// By kind, in the order first, median, last for a broadcast. The last is the one that is meant
    /// where one is spoken of.
    pub(crate) latencies: Vec<Series>,
    pub(crate) intervals: Intervals,
    /// Of the server's process, if one was named.
    pub(crate) memory: Option<Memory>,
    /// Processor time of the load generator itself.
    pub(crate) generator: Processor,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Messages, or requests.
    pub(crate) sent: u64,
    /// Messages, responses, or the handshakes of a run that makes them only.
    pub(crate) received: u64,
    /// On the sockets, or as close to them as is known.
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    /// Opening handshakes that succeeded, those before the warm-up too.
    pub(crate) handshakes: u64,
    pub(crate) errors: Errors,
}

/// Errors by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Errors {
    pub(crate) connect: u64,
    pub(crate) handshake: u64,
    pub(crate) closed: u64,
    pub(crate) protocol: u64,
    pub(crate) mismatch: u64,
    pub(crate) status: u64,
    pub(crate) timeout: u64,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// No connection was to be had: TCP or TLS.
    Connect,
    /// The opening handshake was refused or wrong.
    Handshake,
    /// The server closed, or the connection was lost.
    Closed,
    /// The server broke the protocol.
    Protocol,
    /// What came is not what was to come.
    Mismatch,
    /// A response whose status is none of success.
    Status,
    /// Nothing came for too long.
    Timeout,
}

impl Kind {
    /// What is counted.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Echo | Self::Broadcast => "messages",
            Self::Connect => "handshakes",
            Self::Http => "responses",
        }
    }
}

impl Asked {
    /// In a few words, without the URL.
    pub(crate) fn sentence(&self) -> String {
        let kind = match self.kind {
            Kind::Echo => "echo",
            Kind::Broadcast => "broadcast",
            Kind::Connect => "connect",
            Kind::Http => "http",
        };
        let mut parts = vec![match self.connections {
            1 => format!("{kind}, 1 connection"),
            more => format!("{kind}, {} connections", numbers::count(more)),
        }];
        if let Some(payload) = self.payload {
            let payload = match payload {
                Payload::Text => "text",
                Payload::Binary => "binary",
            };
            parts.push(format!(
                "{} bytes of {payload}",
                numbers::count(self.size_bytes)
            ));
        }
        if self.compression {
            parts.push("compressed".to_owned());
        }
        parts.extend(match (self.rate_per_s, self.kind) {
            (Some(rate), _) => Some(format!("at {}", numbers::rate(rate))),
            (None, Kind::Connect) => {
                let at_once = self.at_once.map(numbers::count);
                at_once.map(|count| format!("{count} at a time"))
            }
            (None, _) if self.pipeline > 1 => Some(format!("{} at a time each", self.pipeline)),
            (None, _) => Some("one at a time each".to_owned()),
        });
        if let Some(duration_s) = self.duration_s {
            parts.push(format!("for {}", numbers::round_time(duration_s * 1e9)));
        }
        if self.warm_up_s > 0.0 {
            parts.push(format!(
                "after {} of warm-up",
                numbers::round_time(self.warm_up_s * 1e9)
            ));
        }
        parts.join(", ")
    }
}

impl Errors {
    pub(crate) const fn add(&mut self, kind: ErrorKind) {
        let count = match kind {
            ErrorKind::Connect => &mut self.connect,
            ErrorKind::Handshake => &mut self.handshake,
            ErrorKind::Closed => &mut self.closed,
            ErrorKind::Protocol => &mut self.protocol,
            ErrorKind::Mismatch => &mut self.mismatch,
            ErrorKind::Status => &mut self.status,
            ErrorKind::Timeout => &mut self.timeout,
        };
        *count += 1;
    }

    /// Each, with what it is called in a report.
    pub(crate) const fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("not connected", self.connect),
            ("handshake refused", self.handshake),
            ("connection lost", self.closed),
            ("protocol broken", self.protocol),
            ("wrong content", self.mismatch),
            ("status", self.status),
            ("timed out", self.timeout),
        ]
    }

    pub(crate) fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }
}

/// Latencies of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    /// `round trip`, `handshake`, `response`; `first receiver`, `median receiver` and `last receiver`
    /// of a broadcast.
    pub(crate) kind: String,
    pub(crate) latencies: Latencies,
}

/// The time line: intervals of one length, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intervals {
    pub(crate) length_s: f64,
    /// The last may be shorter.
    pub(crate) list: Vec<Interval>,
}

/// What happened within one. Latencies are right in two digits, and 0 where nothing was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Interval {
    pub(crate) messages: u64,
    pub(crate) errors: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) max_ns: u64,
}

/// Resident memory of the server's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) before_bytes: u64,
    pub(crate) after_bytes: u64,
    /// Open when `after_bytes` was read, and not when `before_bytes` was.
    pub(crate) connections: u64,
}

impl Memory {
    /// How much each connection made it grow by; 0 if it did not.
    pub(crate) const fn per_connection_bytes(&self) -> u64 {
        let grown = self.after_bytes.saturating_sub(self.before_bytes);
        match grown.checked_div(self.connections) {
            Some(each) => each,
            None => 0,
        }
    }
}

/// Processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Processor {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
}

impl Run {
    /// Of what was measured from `started` on.
    pub(crate) fn new(asked: Asked, started: SystemTime, measured: Measured) -> Self {
        let since_1970 = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            aerys_bench_version: VERSION,
            label: None,
            started_unix_s: since_1970.as_secs(),
            asked,
            measured,
        }
    }

    /// The latency that is meant where one is spoken of: of the last receiver, for a broadcast.
    pub(crate) fn latencies(&self) -> Option<&Latencies> {
        self.measured
            .latencies
            .last()
            .map(|series| &series.latencies)
    }

    /// Messages, responses or handshakes a second.
    pub(crate) fn throughput_per_s(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate, to be read")]
        let received = self.measured.counts.received as f64;
        if self.measured.elapsed_s > 0.0 {
            received / self.measured.elapsed_s
        } else {
            0.0
        }
    }

    /// How long load was put on, in seconds.
    pub(crate) fn load_s(&self) -> f64 {
        self.measured.load_s.unwrap_or(self.measured.elapsed_s)
    }

    /// What share of one processor the load generator used.
    pub(crate) fn generator_share(&self) -> f64 {
        let Processor { user_s, system_s } = self.measured.generator;
        if self.load_s() > 0.0 {
            (user_s + system_s) / self.load_s()
        } else {
            0.0
        }
    }

    /// Whether the load generator may be what was measured: in a closed loop, it has no time left. At a
    /// fixed rate it watches the clock with all that it has, and says how late it was.
    pub(crate) fn is_generator_busy(&self) -> bool {
        const BUSY: f64 = 0.9;
        self.asked.rate_per_s.is_none() && self.generator_share() > BUSY
    }

    /// As JSON, on one line, with a newline.
    pub(crate) fn to_json(&self) -> String {
        let mut text = serde_json::to_string(self).expect("keys are strings, and nothing fails");
        text.push('\n');
        text
    }

    /// # Errors
    ///
    /// What is wrong with it, as one line.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        /// Read first: of another version, nothing else may be where it was.
        #[derive(Deserialize)]
        struct Version {
            aerys_bench_version: u32,
        }
        match serde_json::from_str(text) {
            Ok(Version {
                aerys_bench_version: VERSION,
            }) => serde_json::from_str(text).map_err(|error| error.to_string()),
            Ok(Version {
                aerys_bench_version,
            }) => Err(format!(
                "it is of version {aerys_bench_version}, and this program reads version {VERSION}"
            )),
            Err(error) => Err(format!("it is no run of a bench: {error}")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cli::bench::recorder::Recorder;
    use std::time::Duration;

    /// A run of two seconds with 2000 echoes: 100 us at first, 1 ms for the slowest hundredth.
    pub(crate) fn echo() -> Run {
        let mut recorder = Recorder::new(&["round trip"], Duration::from_millis(100));
        for number in 0..2000_u64 {
            let latency = if number % 100 == 99 {
                1_000_000
            } else {
                100_000 + number
            };
            recorder.counts.sent += 1;
            recorder.counts.sent_bytes += 72;
            recorder.counts.received_bytes += 68;
            recorder.record(number * 1_000_000, 1, &[latency]);
        }
        recorder.counts.handshakes = 10;
        let (counts, latencies, intervals) = recorder.finish();
        let asked = Asked {
            kind: Kind::Echo,
            url: "ws://127.0.0.1:1337/echo".to_owned(),
            connections: 10,
            size_bytes: 64,
            payload: Some(Payload::Binary),
            rate_per_s: Some(1000.0),
            pipeline: 1,
            at_once: Some(64),
            compression: false,
            warm_up_s: 0.5,
            duration_s: Some(2.0),
        };
        let measured = Measured {
            elapsed_s: 2.0,
            load_s: Some(2.0),
            counts,
            latencies,
            intervals,
            memory: None,
            generator: Processor {
                user_s: 0.25,
                system_s: 0.5,
            },
        };
        Run::new(
            asked,
            UNIX_EPOCH + Duration::from_secs(1_790_000_000),
            measured,
        )
    }

    #[test]
    fn a_run_is_read_as_it_was_written() {
        let mut run = echo();
        run.label = Some("a \"quoted\" </script> \u{1f389}\n".to_owned());
        run.measured.counts.errors.add(ErrorKind::Timeout);
        run.measured.memory = Some(Memory {
            before_bytes: 1000,
            after_bytes: 3000,
            connections: 10,
        });
        let text = run.to_json();
        assert_eq!(text.matches('\n').count(), 1, "one line");
        assert_eq!(Run::from_json(&text), Ok(run.clone()));
        run.asked.rate_per_s = None;
        run.asked.duration_s = None;
        assert_eq!(Run::from_json(&run.to_json()), Ok(run.clone()));
        // Keys that older runs do not have.
        let text = run.to_json();
        let older = text.replace("\"at_once\":64,", "");
        let older = older.replace("\"load_s\":2.0,", "");
        assert_eq!(text.len() - older.len(), 13 + 13, "{older}");
        (run.asked.at_once, run.measured.load_s) = (None, None);
        assert_eq!(Run::from_json(&older), Ok(run));
    }

    #[test]
    fn another_version_and_other_files_are_refused_in_one_line() {
        let newer = echo()
            .to_json()
            .replace("\"aerys_bench_version\":1", "\"aerys_bench_version\":2");
        let refused = |text: &str| Run::from_json(text).expect_err(text);
        assert!(refused(&newer).contains("version 2"));
        for text in ["", "{}", "[]", "{\"aerys_bench_version\":1}"] {
            assert_eq!(refused(text).lines().count(), 1, "{text}");
        }
    }

    #[test]
    fn figures_are_made_of_what_was_measured() {
        let mut run = echo();
        assert!((run.throughput_per_s() - 1000.0).abs() < 1e-9);
        assert!((run.generator_share() - 0.375).abs() < 1e-9);
        // Waiting for the last answers is work of nobody.
        run.measured.elapsed_s = 4.0;
        assert!((run.throughput_per_s() - 500.0).abs() < 1e-9);
        assert!((run.generator_share() - 0.375).abs() < 1e-9);
        // Older runs do not say how long load was put on.
        run.measured.load_s = None;
        assert!((run.generator_share() - 0.1875).abs() < 1e-9);
        run.measured.elapsed_s = 0.0;
        assert_eq!((run.throughput_per_s(), run.generator_share()), (0.0, 0.0));
        let memory = |before_bytes, after_bytes, connections| Memory {
            before_bytes,
            after_bytes,
            connections,
        };
        let each = [(1000, 3000, 10), (3000, 1000, 10), (1000, 3000, 0)]
            .map(|(before, after, count)| memory(before, after, count).per_connection_bytes());
        assert_eq!(each, [200, 0, 0]);
    }

    #[test]
    fn errors_are_counted_by_kind() {
        use ErrorKind::{Closed, Connect, Handshake, Mismatch, Protocol, Status, Timeout};
        let mut errors = Errors::default();
        for (index, kind) in [
            Connect, Handshake, Closed, Protocol, Mismatch, Status, Timeout,
        ]
        .into_iter()
        .enumerate()
        {
            for _ in 0..=index {
                errors.add(kind);
            }
        }
        assert_eq!(
            errors.named().map(|(_, count)| count),
            [1, 2, 3, 4, 5, 6, 7]
        );
        assert_eq!(errors.total(), 28);
    }
}
