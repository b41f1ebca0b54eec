//! A process or a handler that stands still for longer than its clients' deadlines, and polls that
//! bring as much as they can: who did its part is not closed, and who did not still is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use aerys::{Config, Endpoint, Request, Response, WebSocketConfig};

use crate::client::{Client, PING, PONG, TEXT, frame};
use crate::support::{Event, TestServer, echo};

const DEADLINE: Duration = Duration::from_millis(1300);
const STALL: Duration = Duration::from_millis(1500);

/// On a text that says so, a handler that blocks, which none should; an echo else.
fn stalling(ws: &Endpoint, event: &Event) {
    match event {
        Event::Text(_, text) if text == "stall" => std::thread::sleep(STALL),
        _ => echo(ws, event),
    }
}

/// Makes the server stand still; it does when this returns.
fn stall(server: &TestServer, client: &mut Client) {
    client.send_text("stall");
    while !matches!(server.event(), Event::Text(_, text) if text == "stall") {}
}

/// Its pings must not come all at once after the stall, with no time to answer in between.
#[test]
fn a_stall_closes_no_idle_client_that_answers_its_pings() {
    let config = WebSocketConfig {
        heartbeat: Some(Duration::from_millis(250)),
        max_unanswered_pings: 3,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, stalling);
    let (mut other, _) = server.open("/");
    let (mut idle, id) = server.open("/");
    let mut answer_pings = |count| {
        for _ in 0..count {
            let payload = idle.read_message(PING);
            idle.send(true, PONG, payload);
        }
    };
    answer_pings(1);
    stall(&server, &mut other);
    answer_pings(6);
    let closed = |event: &Event| matches!(event, Event::Close(client, ..) if *client == id);
    assert!(!server.remaining_events().iter().any(closed));
}

/// Without any ping that may go unanswered, a client is closed at the first deadline it misses.
#[test]
fn a_stall_closes_no_client_that_spoke_meanwhile() {
    let config = WebSocketConfig {
        heartbeat: Some(DEADLINE),
        max_unanswered_pings: 0,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, stalling);
    let (mut other, _) = server.open("/");
    let (mut client, _) = server.open("/");
    stall(&server, &mut other);
    client.send_text("unread for a while");
    assert_eq!(client.read_text(), "unread for a while");
}

#[test]
fn a_stall_cuts_no_request_that_was_completed_meanwhile() {
    let (sender, stalls) = channel();
    let config = Config {
        header_timeout: DEADLINE,
        ..Config::default()
    };
    let respond = move |request: &mut Request, response: &mut Response| {
        if request.path() == "/stall" {
            sender.send(()).expect("the test listens");
            std::thread::sleep(STALL);
        }
        response.end("served");
    };
    let server = TestServer::http(config, respond);
    let mut client = Client::connect(server.address);
    client.send_raw("GET / HTT");
    let mut other = Client::connect(server.address);
    other.send_raw("GET /stall HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stalls.recv().expect("a stall");
    client.send_raw("P/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.read_response().body, b"served");
    assert_eq!(other.read_response().body, b"served");
}

/// The timer of the header section expires while its request is being answered.
#[test]
fn an_idle_connection_is_closed_also_if_its_last_deadline_passed_in_a_stall() {
    let config = Config {
        header_timeout: DEADLINE,
        keep_alive_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let respond = |_: &mut Request, response: &mut Response| {
        std::thread::sleep(STALL);
        response.end("late");
    };
    let server = TestServer::http(config, respond);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/").body, b"late");
    client.expect_late_eof();
}

/// As a laptop does that is closed and opened again.
#[cfg(feature = "cli")]
#[test]
fn a_process_that_was_stopped_goes_on_where_it_was() {
    use rustix::process::Signal;

    let program = crate::program::Program::serve(&["--heartbeat", "1s", "--header-timeout", "1s"]);
    let mut idle = Client::open(program.address, "/echo");
    let mut talking = Client::open(program.address, "/echo");
    let mut asking = Client::connect(program.address);
    asking.send_raw("GET / HTT");
    program.signal(Signal::STOP);
    talking.send_text("to nobody yet");
    asking.send_raw("P/1.1\r\nHost: localhost\r\n\r\n");
    // All pings of the default, and the close, would be due.
    std::thread::sleep(Duration::from_millis(4500));
    program.signal(Signal::CONT);
    assert_eq!(asking.read_response().status, 200);
    assert_eq!(talking.read_text(), "to nobody yet");
    for _ in 0..2 {
        let payload = idle.read_message(PING);
        idle.send(true, PONG, payload);
    }
}

/// A poll that is full may have left somebody's input for the next; one after the other must not
/// put off the judgement of who is silent for ever.
#[cfg(target_os = "linux")]
#[test]
fn polls_that_are_always_full_do_not_switch_deadlines_off() {
    a_silent_client_is_judged_beside_busy_ones(Duration::from_micros(5));
}

/// Each turn takes longer than what counts as a stall when it happens once.
#[cfg(target_os = "linux")]
#[test]
fn long_turns_that_follow_each_other_are_load_and_no_stall() {
    a_silent_client_is_judged_beside_busy_ones(Duration::from_micros(150));
}

#[cfg(target_os = "linux")]
fn a_silent_client_is_judged_beside_busy_ones(spin: Duration) {
    const CLIENTS: usize = 3000;
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if descriptors.is_some_and(|count| count < 3 * CLIENTS as u64) {
        eprintln!("not enough descriptors for {CLIENTS} clients and their server");
        return;
    }
    let config = Config {
        header_timeout: Duration::from_secs(2),
        ..Config::default()
    };
    let options = WebSocketConfig {
        heartbeat: None,
        ..WebSocketConfig::default()
    };
    let server = TestServer::limited(config, options, move |ws, event| {
        if let Event::Text(..) = event {
            let begun = Instant::now();
            while begun.elapsed() < spin {}
            echo(ws, event);
        }
    });
    let mut busy: Vec<_> = (0..CLIENTS)
        .map(|_| Client::open(server.address, "/"))
        .collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for busy in busy.chunks_mut(CLIENTS / 2) {
            let over = &over;
            scope.spawn(move || {
                let text = frame(true, TEXT, b"");
                for client in &mut *busy {
                    client.send_raw(&text);
                }
                while !over.load(Ordering::Relaxed) {
                    for client in &mut *busy {
                        client.read_text();
                        client.send_raw(&text);
                    }
                }
            });
        }
        let mut silent = Client::connect(server.address);
        silent.try_send_raw("GET / HT");
        // Caught, so that the threads end whatever the answer is.
        let answer = std::panic::catch_unwind(move || silent.read_response().status);
        over.store(true, Ordering::Relaxed);
        assert_eq!(answer.ok(), Some(408));
    });
}
