//! Delayed sends and timers, which hold nobody up.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use aerys::{Endpoint, Everyone, WebSocketConfig};

use crate::client::PATIENCE;
use crate::support::{Event, TestServer, echo};

const DELAY: Duration = Duration::from_millis(300);

#[test]
fn a_delayed_send_comes_in_time_and_others_are_served_meanwhile() {
    const DELAY: Duration = Duration::from_millis(1500);
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(client, text) = event {
            if text == "later" {
                ws.send_after(DELAY, Everyone, "now");
            } else {
                ws.send(*client, text);
            }
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut client, _) = server.open("/");
    let (mut other, _) = server.open("/");
    let begun = Instant::now();
    client.send_text("later");
    client.send_text("at once");
    assert_eq!(client.read_text(), "at once");
    other.send_text("me too");
    assert_eq!(other.read_text(), "me too");
    assert!(begun.elapsed() < DELAY);
    // Everyone are those who are there then.
    let (mut late, _) = server.open("/");
    for client in [&mut client, &mut other, &mut late] {
        assert_eq!(client.read_text(), "now");
    }
    let took = begun.elapsed();
    assert!((DELAY..DELAY * 3).contains(&took), "{took:?}");
}

#[test]
fn delayed_sends_leave_in_the_order_of_their_times_and_then_of_their_calls() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(client, _) = event {
            for (delay, text) in [
                (90, "4"),
                (30, "2"),
                (0, "1"),
                (30, "3"),
                (90, "5"),
                (400, "6"),
            ] {
                ws.send_after(Duration::from_millis(delay), *client, text);
            }
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut client, _) = server.open("/");
    client.send_text("go");
    for expected in 1..=6 {
        assert_eq!(client.read_text(), expected.to_string());
    }
}

#[test]
fn a_delayed_send_to_who_left_meanwhile_is_nothing() {
    let react = |ws: &Endpoint, event: &Event| match event {
        Event::Text(client, text) if text == "later" => {
            ws.send_after(DELAY, *client, "for one");
        }
        _ => echo(ws, event),
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut gone, _) = server.open("/");
    gone.send_text("later");
    server.event();
    gone.reset();
    server.close_event();
    // It gets the place of the one that left, and none of its messages.
    let (mut client, _) = server.open("/");
    client.expect_silence(DELAY + Duration::from_millis(100));
    client.send_text("ok");
    assert_eq!(client.read_text(), "ok");
}

#[test]
fn cancel_tells_whether_it_was_in_time() {
    let (sender, answers) = channel();
    let mut fired = None;
    let react = move |ws: &Endpoint, event: &Event| match event {
        Event::Text(client, text) if text == "go" => {
            let send = ws.send_after(DELAY, *client, "cancelled");
            let timer = ws.set_timer(DELAY);
            fired = Some(ws.set_timer(Duration::from_millis(20)));
            let answer = [
                ws.cancel(send),
                ws.cancel(send),
                ws.cancel(timer),
                ws.cancel(timer),
            ];
            sender.send(answer).expect("the test listens");
        }
        Event::Timer(timer) => {
            assert_eq!(fired, Some(*timer));
            sender
                .send([ws.cancel(*timer); 4])
                .expect("the test listens");
        }
        _ => {}
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut client, id) = server.open("/");
    client.send_text("go");
    assert_eq!(
        answers.recv().expect("an answer"),
        [true, false, true, false]
    );
    assert_eq!(answers.recv().expect("an answer"), [false; 4]);
    client.expect_silence(DELAY + Duration::from_millis(100));
    assert_eq!(server.event(), Event::Text(id, "go".into()));
    assert!(matches!(server.remaining_events()[..], [Event::Timer(_)]));
}

#[test]
fn many_timers_fire_once_each_and_never_early() {
    const COUNT: u64 = 20_000;
    let (sender, answers) = channel();
    let mut due = std::collections::HashMap::new();
    let react = move |ws: &Endpoint, event: &Event| match event {
        Event::Text(..) => {
            for number in 0..COUNT {
                let delay = Duration::from_millis(number * 7919 % 400);
                let due_at = Instant::now() + delay;
                due.insert(ws.set_timer(delay), due_at);
            }
        }
        Event::Timer(timer) => {
            let due_at = due.remove(timer).expect("each fires once");
            assert!(Instant::now() >= due_at, "early");
            if due.is_empty() {
                sender.send(()).expect("the test listens");
            }
        }
        _ => {}
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut client, _) = server.open("/");
    client.send_text("go");
    answers
        .recv_timeout(Duration::from_secs(10))
        .expect("all fire");
    assert_eq!(server.remaining_events().len() as u64, COUNT + 1);
}

/// From the call on, not from when the loop last looked at the clock.
#[test]
fn a_timer_that_is_set_at_the_end_of_a_long_callback_is_not_early() {
    let (sender, answers) = channel();
    let mut set = Instant::now();
    let react = move |ws: &Endpoint, event: &Event| match event {
        Event::Start | Event::Text(..) => {
            std::thread::sleep(DELAY * 2);
            set = Instant::now();
            let _ = ws.set_timer(DELAY);
        }
        Event::Timer(_) => sender.send(set.elapsed()).expect("the test listens"),
        _ => {}
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let expect_timer = || {
        let took = answers.recv_timeout(PATIENCE).expect("it fires");
        assert!(took >= DELAY, "{took:?}");
    };
    expect_timer();
    let (mut client, _) = server.open("/");
    client.send_text("go");
    expect_timer();
}
