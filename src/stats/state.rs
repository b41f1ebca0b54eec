//! A [`Snapshot`] in a few lines for people, as the log has it when `SIGUSR1` asks.

use super::Snapshot;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// A time with as much of it as is of interest.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match self.0.as_nanos() {
            0..1_000_000 => write!(f, "{:.1} µs", 1e6 * seconds),
            1_000_000..1_000_000_000 => write!(f, "{:.1} ms", 1e3 * seconds),
            _ => write!(f, "{seconds:.1} s"),
        }
    }
}

/// The lines.
pub(crate) fn lines(at: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    let state = if at.is_draining {
        "stopping"
    } else {
        "serving"
    };
    lines.push(format!(
        "state: {state} for {}; {} connections, of which {} in TLS handshakes; {} streams of HTTP/2",
        Short(at.uptime),
        at.connections,
        at.tls_handshakes_pending,
        at.http2_streams,
    ));
    let mut clients = format!("state: {} WebSocket clients", at.websockets());
    for (place, endpoint) in at.endpoints.iter().enumerate() {
        let before = if place == 0 { ": " } else { ", " };
        // To write into a `String` does not fail.
        let _ = write!(clients, "{before}{} of {}", endpoint.clients, endpoint.name);
    }
    lines.push(clients);
    lines.push(format!(
        "state: {} bytes wait for sockets, {} clients are blocked; {} timers are pending, {} fell due",
        at.backlog_bytes, at.blocked_clients, at.timers, at.timers_fired
    ));
    lines.extend(at.slowest.iter().map(|client| {
        format!(
            "state: {} bytes wait for client {} of {} at {}",
            client.backlog_bytes, client.id, client.endpoint, client.remote_address
        )
    }));
    let turns = &at.turns;
    lines.push(if turns.count() == 0 {
        "state: how long turns take is not measured".to_owned()
    } else {
        format!(
            "state: {} turns: half of them within {}, 99 % within {}, the longest took {}",
            turns.count(),
            Short(turns.quantile(0.5)),
            Short(turns.quantile(0.99)),
            Short(turns.max())
        )
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{EndpointClients, SlowClient};

    #[test]
    fn a_state_is_told_in_few_lines() {
        let endpoint = |name: &str, clients| EndpointClients {
            name: name.to_owned(),
            clients,
        };
        let mut snapshot = Snapshot {
            uptime: Duration::from_millis(61_500),
            connections: 5,
            tls_handshakes_pending: 1,
            http2_streams: 2,
            endpoints: vec![endpoint("/chat", 3), endpoint("/echo", 0)],
            backlog_bytes: 700,
            blocked_clients: 1,
            timers: 6,
            timers_fired: 9,
            slowest: vec![SlowClient {
                id: crate::ClientId::from_u64(77),
                remote_address: crate::Address::Ip(([127, 0, 0, 1], 9).into()),
                endpoint: "/chat".to_owned(),
                backlog_bytes: 700,
            }],
            ..Snapshot::default()
        };
        let not_measured = "state: how long turns take is not measured";
        assert_eq!(
            lines(&snapshot).last().map(String::as_str),
            Some(not_measured)
        );
        snapshot.turns.note(1_500);
        snapshot.turns.note(2_500_000_000);
        assert_eq!(
            lines(&snapshot),
            [
                "state: serving for 61.5 s; 5 connections, of which 1 in TLS handshakes; 2 streams of HTTP/2",
                "state: 3 WebSocket clients: 3 of /chat, 0 of /echo",
                "state: 700 bytes wait for sockets, 1 clients are blocked; 6 timers are pending, 9 fell due",
                "state: 700 bytes wait for client 77 of /chat at 127.0.0.1:9",
                "state: 2 turns: half of them within 1.5 µs, 99 % within 2.5 s, the longest took 2.5 s",
            ]
        );
    }
}
