//! `/_aerys/` of the program: metrics that are right, health while it drains, and the page.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;

use crate::client::{CLOSE, Client, TEXT, close_payload, frame, handshake, handshake_with};
#[cfg(feature = "http2")]
use crate::http2_client::Http2Client;
use crate::program::{Program, command};
use crate::support::wait_until;

/// A scrape, by name and labels as they stand there. The request and its connection are part of it.
fn scrape(client: &mut Client) -> HashMap<String, f64> {
    let response = client.get("/_aerys/metrics");
    assert_eq!(response.status, 200);
    let kind = response.field("content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = String::from_utf8(response.body).expect("text");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    });
    samples.collect()
}

#[track_caller]
fn expect(samples: &HashMap<String, f64>, expected: &[(&str, usize)]) {
    for (name, value) in expected {
        let found = samples.get(*name).copied();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let value = *value as f64;
        assert_eq!(found, Some(value), "{name}");
    }
}

/// The request of [`Client::get`].
fn request_len(target: &str) -> usize {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").len()
}

#[test]
fn a_scrape_after_known_traffic_has_exactly_the_known_counts() {
    let server = Program::serve(&["--live"]);
    let mut scraper = Client::connect(server.address);
    let before = scrape(&mut scraper);
    expect(
        &before,
        &[
            ("aerys_connections", 1),
            ("aerys_connections_accepted_total", 1),
            ("aerys_http_responses_total{class=\"2xx\"}", 0),
            (
                "aerys_network_received_bytes_total",
                request_len("/_aerys/metrics"),
            ),
        ],
    );
    let mut sent = 2 * request_len("/_aerys/metrics");
    let mut echo = Client::open(server.address, "/echo");
    sent += handshake("/echo").len();
    for _ in 0..3 {
        echo.send_text("hello");
        assert_eq!(echo.read_text(), "hello");
    }
    // In two fragments, with a ping between them.
    for (fin, opcode) in [(false, TEXT), (true, 0x9), (true, 0x0)] {
        echo.send(fin, opcode, "hello");
    }
    assert_eq!(echo.read_message(0xA), b"hello");
    assert_eq!(echo.read_text(), "hellohello");
    sent += 6 * frame(true, TEXT, b"hello").len();
    let mut members = [(), ()].map(|()| Client::open(server.address, "/broadcast"));
    sent += 2 * handshake("/broadcast").len();
    members[0].send_text("to all");
    for member in &mut members {
        assert_eq!(member.read_text(), "to all");
    }
    sent += frame(true, TEXT, b"to all").len();
    let mut other = Client::connect(server.address);
    assert_eq!(other.get("/missing").status, 404);
    sent += request_len("/missing");
    echo.send_close(4321);
    echo.expect_close(4321);
    sent += frame(true, CLOSE, &close_payload(4321, "")).len();
    let [_, leaving] = members;
    leaving.reset();

    let mut samples = HashMap::new();
    wait_until("who left is gone", || {
        sent += samples.len().min(1) * request_len("/_aerys/metrics");
        samples = scrape(&mut scraper);
        samples["aerys_websocket_closed_total{code=\"1006\"}"] > 0.0
            && samples["aerys_connections"] < 4.0
    });
    expect(
        &samples,
        &[
            ("aerys_draining", 0),
            ("aerys_connections", 3),
            ("aerys_connections_accepted_total", 5),
            ("aerys_http_responses_total{class=\"1xx\"}", 3),
            ("aerys_http_responses_total{class=\"4xx\"}", 1),
            ("aerys_http_responses_total{class=\"5xx\"}", 0),
            ("aerys_websocket_opened_total", 3),
            ("aerys_websocket_closed_total{code=\"4000-4999\"}", 1),
            ("aerys_websocket_closed_total{code=\"1006\"}", 1),
            ("aerys_websocket_clients{endpoint=\"/echo\"}", 0),
            ("aerys_websocket_clients{endpoint=\"/broadcast\"}", 1),
            ("aerys_websocket_messages_received_total", 5),
            ("aerys_websocket_frames_received_total", 8),
            ("aerys_websocket_messages_sent_total", 6),
            ("aerys_websocket_frames_sent_total", 8),
            ("aerys_websocket_broadcasts_total", 1),
            ("aerys_network_received_bytes_total", sent),
            ("aerys_backlog_bytes", 0),
            ("aerys_blocked_clients", 0),
            ("aerys_panics_total", 0),
            ("aerys_log_lines_lost_total{log=\"program\"}", 0),
            ("aerys_log_lines_lost_total{log=\"access\"}", 0),
        ],
    );
    let closed = samples
        .iter()
        .filter(|(name, _)| name.starts_with("aerys_websocket_closed_total"));
    let closed: f64 = closed.map(|(_, count)| count).sum();
    assert!((closed - 2.0).abs() < 0.5, "as many as closed: {closed}");
    let turns = samples["aerys_turn_duration_seconds_count"];
    assert!(turns >= 10.0, "{turns} turns");
    assert!(samples["aerys_turn_duration_seconds_sum"] > 0.0);
    assert!(samples["aerys_timers"] >= 1.0 && samples["aerys_network_sent_bytes_total"] > 1000.0);
}

#[cfg(feature = "http2")]
#[test]
fn what_is_answered_on_streams_is_counted_as_on_any_connection() {
    let server = Program::serve(&["--live"]);
    let mut client = Http2Client::connect(server.address);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.request("HEAD", "/", &[]).status, 200);
    assert_eq!(client.get("/missing").status, 404);
    let long = "x".repeat(20 * 1024);
    assert_eq!(client.request("GET", "/", &[("long", &long)]).status, 431);
    client.open_websocket("/echo");
    expect(
        &scrape(&mut Client::connect(server.address)),
        &[
            ("aerys_http2_connections_total", 1),
            ("aerys_http2_streams_opened_total", 5),
            ("aerys_http2_streams", 1),
            ("aerys_http_responses_total{class=\"1xx\"}", 1),
            ("aerys_http_responses_total{class=\"2xx\"}", 2),
            ("aerys_http_responses_total{class=\"3xx\"}", 0),
            ("aerys_http_responses_total{class=\"4xx\"}", 2),
            ("aerys_http_responses_total{class=\"5xx\"}", 0),
            ("aerys_connections", 2),
            ("aerys_websocket_opened_total", 1),
        ],
    );
}

/// The log of one has no room, the other's has, and is told of it once in a second at most.
#[test]
fn lines_that_are_lost_are_counted_by_their_log() {
    let mut serve = command();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--live"]);
    serve.args(["--access-log", "/dev/full"]);
    let server = Program::start(serve);
    let mut scraper = Client::connect(server.address);
    let lost = |log: &str| format!("aerys_log_lines_lost_total{{log=\"{log}\"}}");
    wait_until("a line is lost", || {
        scrape(&mut scraper)[&lost("access")] > 0.0
    });
    assert_eq!(scrape(&mut scraper).get(&lost("program")), Some(&0.0));
    let json = scraper.get("/_aerys/stats.json").body;
    let json = String::from_utf8(json).expect("text");
    let begin = "{\"log_lines_lost_total\":{\"program\":0,\"access\":";
    assert!(
        json.starts_with(begin) && json.contains("},\"uptime_seconds\":"),
        "{json}"
    );
    assert!(!json.starts_with(&format!("{begin}0}}")), "{json}");
}

#[test]
fn health_says_that_it_drains_before_anybody_is_sent_away() {
    let mut server = Program::serve(&["--live", "--drain-delay", "1h"]);
    let mut probe = Client::connect(server.address);
    let health = |probe: &mut Client| {
        let response = probe.get("/_aerys/health");
        (
            response.status,
            String::from_utf8_lossy(&response.body).into_owned(),
        )
    };
    assert_eq!(health(&mut probe), (200, "serving\n".to_owned()));
    let mut echo = Client::open(server.address, "/echo");
    server.signal(Signal::TERM);
    wait_until("it drains", || {
        health(&mut probe) == (503, "draining\n".to_owned())
    });
    // On a connection that comes by now, too, and all others are served as before.
    let mut newcomer = Client::connect(server.address);
    assert_eq!(health(&mut newcomer).0, 503);
    assert_eq!(newcomer.get("/").status, 200);
    echo.send_text("still there");
    assert_eq!(echo.read_text(), "still there");
    expect(&scrape(&mut newcomer), &[("aerys_draining", 1)]);
    server.signal(Signal::TERM);
    assert_eq!(
        server.wait().0.code(),
        Some(1),
        "the second one ends it at once"
    );
}

#[test]
fn a_stop_follows_when_the_drain_delay_is_over() {
    let mut server = Program::serve(&["--live", "--drain-delay", "100ms"]);
    let mut echo = Client::open(server.address, "/echo");
    server.signal(Signal::TERM);
    echo.expect_close(1001);
    echo.send_close(1001);
    echo.expect_eof();
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn the_page_may_load_nothing_from_elsewhere_and_is_fed_over_a_websocket() {
    let server = Program::serve(&["--live"]);
    let mut client = Client::connect(server.address);
    let page = client.get("/_aerys/");
    let policy = page.field("content-security-policy").expect("a policy");
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(directive), "{policy}");
    }
    let page = String::from_utf8(page.body).expect("text");
    for word in ["http:", "https:", "//", " style=", " onclick"] {
        assert!(!page.contains(word), "{word} in the page");
    }
    let origin = format!("Origin: http://localhost:{}\r\n", server.address.port());
    let handshake = handshake_with("/_aerys/live", &origin);
    let host = format!("Host: localhost:{}\r\n", server.address.port());
    client.send_raw(handshake.replace("Host: localhost\r\n", &host));
    assert_eq!(client.read_response_head().status, 101);
    let told = [client.read_text(), client.read_text()];
    for text in &told {
        for key in [
            "{\"version\":\"",
            "\"turns\":{\"count\":",
            "\"stats\":{\"log_lines_lost_total\":{\"program\":0,\"access\":0},\"uptime_seconds\":",
        ] {
            assert!(text.contains(key), "{key} is not in {text}");
        }
        assert!(
            text.contains("\"websocket_clients\":{\"/_aerys/live\":1,"),
            "{text}"
        );
    }
    assert_ne!(told[0], told[1], "what there is by then");
}

#[test]
fn a_signal_has_the_state_logged_and_the_server_goes_on() {
    let mut serve = command();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--live"]);
    serve.stderr(Stdio::piped());
    let server = Program::start(serve);
    let mut echo = Client::open(server.address, "/echo");
    server.signal(Signal::USR1);
    let mut scraper = Client::connect(server.address);
    // The signal is an event of the loop's poll, as what follows is.
    for _ in 0..3 {
        scrape(&mut scraper);
    }
    echo.send_text("still there");
    assert_eq!(echo.read_text(), "still there");
    echo.send_close(1000);
    echo.expect_close(1000);
    let log = String::from_utf8(server.end_with_log()).expect("text");
    for line in [
        "] state: serving for ",
        "] state: 1 WebSocket clients: 0 of /_aerys/live, 0 of /broadcast, 0 of /chat, 0 of /chat/named, 1 of /echo",
        "] state: 0 bytes wait for sockets, 0 clients are blocked; ",
        " turns: half of them within ",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line} in {log}");
    }
}

/// What a metric is called, its kind, and what it counts.
#[test]
fn the_page_on_metrics_has_each_of_them_as_the_program_does() {
    let server = Program::serve(&["--live"]);
    let text = Client::connect(server.address).get("/_aerys/metrics").body;
    let text = String::from_utf8(text).expect("text");
    let of = |begin: &'static str| {
        text.lines()
            .filter_map(move |line| line.strip_prefix(begin)?.split_once(' '))
    };
    let kinds: HashMap<&str, &str> = of("# TYPE ").collect();
    let mut expected: Vec<String> = of("# HELP ")
        .map(|(name, help)| {
            format!(
                "| `{name}` | {} | {} |",
                kinds[name],
                help.trim_end_matches('.')
            )
        })
        .collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = fs::read_to_string(page).expect("a page");
    let mut rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `aerys_"))
        .collect();
    // The third column is the unit, or the label and its values.
    let without_unit = |row: &str| {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells.len(), 4, "{row}");
        [cells[0], cells[1], cells[3]].join(" | ")
    };
    let mut rows: Vec<String> = rows.drain(..).map(without_unit).collect();
    expected.sort();
    rows.sort();
    assert_eq!(rows, expected);
}
