//! The table of all metrics: what each is called, what it counts, and where in a [`Snapshot`] that is.
//!
//! Names follow the conventions of Prometheus: a prefix, base units, `_total` for what only grows. The
//! same table makes JSON, and a test holds `docs/metrics.md` to it.

use super::Snapshot;
use super::turn_times::EXPOSED_POWERS;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// One of them.
struct Metric {
    name: &'static str,
    help: &'static str,
    values: Values,
}

/// What is exposed of it.
enum Values {
    /// It only grows.
    Counter(fn(&Snapshot) -> u64),
    /// The same, by the value of a label.
    Counters(
        &'static str,
        for<'s> fn(&'s Snapshot) -> Vec<(&'s str, u64)>,
    ),
    Gauge(fn(&Snapshot) -> u64),
    Gauges(
        &'static str,
        for<'s> fn(&'s Snapshot) -> Vec<(&'s str, u64)>,
    ),
    /// In seconds.
    Time(fn(&Snapshot) -> Duration),
    /// The histogram of turns.
    Turns,
}

use Values::{Counter, Counters, Gauge, Gauges, Time, Turns};

const METRICS: &[Metric] = &[
    Metric {
        name: "aerys_uptime_seconds",
        help: "Time since the server was bound.",
        values: Time(|at| at.uptime),
    },
    Metric {
        name: "aerys_draining",
        help: "1 once a stop was asked for, else 0.",
        values: Gauge(|at| at.is_draining.into()),
    },
    Metric {
        name: "aerys_connections_accepted_total",
        help: "Connections accepted, those that were refused then included.",
        values: Counter(|at| at.connections_accepted),
    },
    Metric {
        name: "aerys_connections",
        help: "Open connections.",
        values: Gauge(|at| at.connections),
    },
    Metric {
        name: "aerys_refused_total",
        help: "What was turned away: connections, handshakes, clients and timers, by the limit that did.",
        values: Counters("limit", |at| at.refused.clone()),
    },
    Metric {
        name: "aerys_http_responses_total",
        help: "Responses of HTTP, by the class of their status.",
        values: Counters("class", |at| {
            let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
            classes.into_iter().zip(at.responses).collect()
        }),
    },
    Metric {
        name: "aerys_websocket_opened_total",
        help: "WebSocket clients that were opened.",
        values: Counter(|at| at.websockets_opened),
    },
    Metric {
        name: "aerys_websocket_closed_total",
        help: "WebSocket clients that closed, by close code.",
        values: Counters("code", |at| at.websockets_closed.clone()),
    },
    Metric {
        name: "aerys_websocket_clients",
        help: "Open WebSocket clients, by endpoint.",
        values: Gauges("endpoint", |at| {
            let endpoints = at.endpoints.iter();
            endpoints.map(|it| (&*it.name, it.clients)).collect()
        }),
    },
    Metric {
        name: "aerys_websocket_frames_received_total",
        help: "WebSocket frames read, control frames included.",
        values: Counter(|at| at.frames_read),
    },
    Metric {
        name: "aerys_websocket_frames_sent_total",
        help: "WebSocket frames sent or queued, control frames included.",
        values: Counter(|at| at.frames_sent),
    },
    Metric {
        name: "aerys_websocket_messages_received_total",
        help: "WebSocket messages read.",
        values: Counter(|at| at.messages_read),
    },
    Metric {
        name: "aerys_websocket_messages_sent_total",
        help: "WebSocket messages sent or queued, a broadcast once for each recipient.",
        values: Counter(|at| at.messages_sent),
    },
    Metric {
        name: "aerys_websocket_messages_dropped_total",
        help: "WebSocket messages that a client was not sent, as its backlog was at its limit.",
        values: Counter(|at| at.messages_dropped),
    },
    Metric {
        name: "aerys_websocket_broadcasts_total",
        help: "Messages that were sent to everyone, or everyone but some.",
        values: Counter(|at| at.broadcasts),
    },
    Metric {
        name: "aerys_network_received_bytes_total",
        help: "Bytes that sockets gave.",
        values: Counter(|at| at.bytes_read),
    },
    Metric {
        name: "aerys_network_sent_bytes_total",
        help: "Bytes that sockets took.",
        values: Counter(|at| at.bytes_written),
    },
    Metric {
        name: "aerys_tls_handshakes_total",
        help: "Handshakes of TLS that are over, by whether they were completed.",
        values: Counters("result", |at| {
            vec![
                ("completed", at.tls_handshakes),
                ("failed", at.tls_handshakes_failed),
            ]
        }),
    },
    Metric {
        name: "aerys_tls_handshakes_pending",
        help: "Handshakes of TLS that go on.",
        values: Gauge(|at| at.tls_handshakes_pending),
    },
    Metric {
        name: "aerys_http2_connections_total",
        help: "Connections that turned out to speak HTTP/2.",
        values: Counter(|at| at.http2_connections),
    },
    Metric {
        name: "aerys_http2_streams_opened_total",
        help: "Streams of HTTP/2 that were opened.",
        values: Counter(|at| at.http2_streams_opened),
    },
    Metric {
        name: "aerys_http2_streams",
        help: "Streams of HTTP/2.",
        values: Gauge(|at| at.http2_streams),
    },
    Metric {
        name: "aerys_backlog_bytes",
        help: "Bytes that wait for sockets.",
        values: Gauge(|at| at.backlog_bytes),
    },
    Metric {
        name: "aerys_blocked_clients",
        help: "Clients that take nothing more at the moment.",
        values: Gauge(|at| at.blocked_clients),
    },
    Metric {
        name: "aerys_timers",
        help: "Pending timers: deadlines of clients, and what handlers asked for.",
        values: Gauge(|at| at.timers),
    },
    Metric {
        name: "aerys_timers_fired_total",
        help: "Timers that fell due.",
        values: Counter(|at| at.timers_fired),
    },
    Metric {
        name: "aerys_turn_duration_seconds",
        help: "Time that a turn of the event loop takes, in which everybody else waits.",
        values: Turns,
    },
    Metric {
        name: "aerys_turn_duration_max_seconds",
        help: "The longest turn of the event loop so far.",
        values: Time(|at| at.turns.max()),
    },
    Metric {
        name: "aerys_panics_total",
        help: "Panics of the application that were caught.",
        values: Counter(|at| at.panics),
    },
];

impl Values {
    /// What Prometheus calls it.
    const fn kind(&self) -> &'static str {
        match self {
            Counter(_) | Counters(..) => "counter",
            Gauge(_) | Gauges(..) | Time(_) => "gauge",
            Turns => "histogram",
        }
    }
}

/// What a name of an endpoint may have that is not itself within quotes.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                '\n' => f.write_str("\\n")?,
                // JSON has no others as they are, Prometheus does not mind.
                control if control < ' ' => f.write_char('?')?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}

/// A time in seconds, exact to the nanosecond.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        if nanos == 0 {
            return write!(f, "{whole}");
        }
        let text = format!("{whole}.{nanos:09}");
        f.write_str(text.trim_end_matches('0'))
    }
}

/// See [`Snapshot::to_prometheus`].
pub(super) fn prometheus(snapshot: &Snapshot) -> String {
    let mut text = String::with_capacity(8 * 1024);
    // To write into a `String` does not fail.
    for metric in METRICS {
        let _ = write_metric(&mut text, metric, snapshot);
    }
    text
}

fn write_metric(text: &mut String, metric: &Metric, snapshot: &Snapshot) -> fmt::Result {
    let Metric { name, help, values } = metric;
    writeln!(text, "# HELP {name} {help}")?;
    writeln!(text, "# TYPE {name} {}", values.kind())?;
    match values {
        Counter(value) | Gauge(value) => writeln!(text, "{name} {}", value(snapshot)),
        Time(value) => writeln!(text, "{name} {}", Seconds(value(snapshot))),
        Counters(label, list) | Gauges(label, list) => {
            for (value, number) in list(snapshot) {
                writeln!(text, "{name}{{{label}={}}} {number}", Quoted(value))?;
            }
            Ok(())
        }
        Turns => {
            let turns = &snapshot.turns;
            for power in EXPOSED_POWERS {
                let bound = Seconds(Duration::from_nanos(1 << power));
                writeln!(
                    text,
                    "{name}_bucket{{le=\"{bound}\"}} {}",
                    turns.below(power)
                )?;
            }
            writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {}", turns.count())?;
            writeln!(text, "{name}_sum {}", Seconds(turns.sum()))?;
            writeln!(text, "{name}_count {}", turns.count())
        }
    }
}

/// See [`Snapshot::to_json`]. Keys are the names of the metrics without their prefix.
pub(super) fn json(snapshot: &Snapshot) -> String {
    let mut text = String::with_capacity(4 * 1024);
    let _ = write_json(&mut text, snapshot);
    text
}

fn write_json(text: &mut String, snapshot: &Snapshot) -> fmt::Result {
    text.push('{');
    for Metric { name, values, .. } in METRICS {
        let name = name.trim_start_matches("aerys_");
        write!(text, "\"{name}\":")?;
        match values {
            Counter(value) | Gauge(value) => write!(text, "{}", value(snapshot))?,
            Time(value) => write!(text, "{}", Seconds(value(snapshot)))?,
            Counters(_, list) | Gauges(_, list) => {
                text.push('{');
                for (value, number) in list(snapshot) {
                    write!(text, "{}:{number},", Quoted(value))?;
                }
                end(text, '}');
            }
            Turns => write_turns(text, &snapshot.turns)?,
        }
        text.push(',');
    }
    text.push_str("\"slowest_clients\":[");
    for client in &snapshot.slowest {
        write!(
            text,
            // An id has more bits than a number of JavaScript.
            "{{\"id\":\"{}\",\"address\":{},\"endpoint\":{},\"backlog_bytes\":{}}},",
            client.id,
            Quoted(&client.remote_address.to_string()),
            Quoted(&client.endpoint),
            client.backlog_bytes
        )?;
    }
    end(text, ']');
    text.push('}');
    Ok(())
}

pub(super) fn write_turns(text: &mut String, turns: &super::TurnTimes) -> fmt::Result {
    write!(
        text,
        "{{\"count\":{},\"sum\":{},\"p50\":{},\"p99\":{},\"max\":{}}}",
        turns.count(),
        Seconds(turns.sum()),
        Seconds(turns.quantile(0.5)),
        Seconds(turns.quantile(0.99)),
        Seconds(turns.max())
    )
}

/// Ends a list, in place of the comma behind its last entry if it has one.
fn end(text: &mut String, bracket: char) {
    if text.ends_with(',') {
        text.pop();
    }
    text.push(bracket);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientId;
    use crate::stats::{EndpointClients, SlowClient};

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot {
            uptime: Duration::from_millis(1500),
            responses: [1, 2, 3, 4, 5],
            endpoints: vec![EndpointClients {
                name: "/a\"b\\c\nd\u{1}".to_owned(),
                clients: 7,
            }],
            slowest: vec![SlowClient {
                id: ClientId::from_u64(u64::MAX >> 1),
                remote_address: crate::Address::Ip(([127, 0, 0, 1], 9).into()),
                endpoint: "/a".to_owned(),
                backlog_bytes: 5,
            }],
            ..Snapshot::default()
        };
        snapshot.turns.note(1_000);
        snapshot.turns.note(3_000_000_000);
        snapshot
    }

    #[test]
    fn the_text_has_what_each_metric_is_and_its_values() {
        let text = snapshot().to_prometheus();
        for expected in [
            "# HELP aerys_uptime_seconds Time since the server was bound.\n# TYPE aerys_uptime_seconds \
             gauge\naerys_uptime_seconds 1.5\n",
            "aerys_http_responses_total{class=\"5xx\"} 5\n",
            "aerys_websocket_clients{endpoint=\"/a\\\"b\\\\c\\nd?\"} 7\n",
            "aerys_turn_duration_seconds_bucket{le=\"0.000001024\"} 1\n",
            "aerys_turn_duration_seconds_bucket{le=\"2.147483648\"} 1\n",
            "aerys_turn_duration_seconds_bucket{le=\"4.294967296\"} 2\n",
            "aerys_turn_duration_seconds_bucket{le=\"+Inf\"} 2\n",
            "aerys_turn_duration_seconds_sum 3.000001\naerys_turn_duration_seconds_count 2\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }

    /// Each name once, and the ending that its kind asks for.
    #[test]
    fn names_follow_the_conventions() {
        let mut names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
        for Metric { name, help, values } in METRICS {
            assert_eq!(
                values.kind() == "counter",
                name.ends_with("_total"),
                "{name}"
            );
            let is_lower = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'2');
            assert!(
                name.starts_with("aerys_") && name.bytes().all(is_lower),
                "{name}"
            );
            assert!(help.ends_with('.'), "{help}");
        }
    }

    #[test]
    fn the_json_has_the_same_values_and_the_slowest_clients() {
        let text = snapshot().to_json();
        assert!(
            text.starts_with("{\"uptime_seconds\":1.5,\"draining\":0,"),
            "{text}"
        );
        for expected in [
            "\"http_responses_total\":{\"1xx\":1,\"2xx\":2,\"3xx\":3,\"4xx\":4,\"5xx\":5},",
            "\"websocket_clients\":{\"/a\\\"b\\\\c\\nd?\":7},",
            "\"turn_duration_seconds\":{\"count\":2,\"sum\":3.000001,\"p50\":0.000001023,\"p99\":3,\"max\":3},",
            "\"slowest_clients\":[{\"id\":\"9223372036854775807\",\"address\":\"127.0.0.1:9\",\
             \"endpoint\":\"/a\",\"backlog_bytes\":5}]}",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
        assert!(
            Snapshot::default()
                .to_json()
                .ends_with("\"slowest_clients\":[]}")
        );
    }
}
