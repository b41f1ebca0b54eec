//! Graceful stops: nobody comes in, everybody who reads gets what was queued and a farewell, and
//! who does not read holds nothing up.

use std::time::{Duration, Instant};

use aerys::{Config, Endpoint, Server, WebSocketConfig, websocket};

use crate::client::{Client, handshake};
use crate::support::{Event, Recorder, TestServer, echo, expect_refused};

/// Scenario 17.
#[test]
fn a_stop_says_bye_closes_with_1001_and_refuses_newcomers() {
    let react = |ws: &Endpoint, event: &Event| match event {
        Event::Stop => {
            ws.broadcast("bye");
            ws.send_after(Duration::ZERO, aerys::Everyone, "timers are dropped");
        }
        Event::Close(..) => {
            ws.broadcast("a farewell that reaches nobody");
            assert_eq!(ws.client_count(), 0, "all ids are dead");
        }
        _ => echo(ws, event),
    };
    let mut server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut first, first_id) = server.open("/");
    let (mut second, second_id) = server.open("/");
    server.stop();
    server.stop();
    for client in [&mut first, &mut second] {
        assert_eq!(client.read_text(), "bye");
        client.expect_close(1001);
    }
    expect_refused(server.address);
    first.send_text("ignored");
    for mut client in [first, second] {
        client.send_close(1001);
        client.expect_eof();
    }
    server.join().expect("a graceful stop");
    let events: Vec<_> = server
        .remaining_events()
        .into_iter()
        .map(|event| match event {
            Event::Close(client, code, _) => Event::Close(client, code, String::new()),
            event => event,
        })
        .collect();
    let closed = |id| Event::Close(id, 1001, String::new());
    assert_eq!(events, [Event::Stop, closed(first_id), closed(second_id)]);
}

#[test]
fn a_server_without_clients_stops_at_once() {
    let mut server = TestServer::echo();
    let begun = Instant::now();
    server.stop();
    server.join().expect("a graceful stop");
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    expect_refused(server.address);
}

#[test]
fn who_neither_reads_nor_answers_is_cut_at_the_stop_timeout() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(client, _) = event {
            ws.send(*client, vec![3; 12 << 20]);
        }
    };
    let mut server = TestServer::start(move |host, events| {
        // A closing handshake may take longer than the whole stop may.
        let options = WebSocketConfig {
            close_timeout: Duration::from_secs(60),
            ..WebSocketConfig::default()
        };
        let endpoint = websocket(|ws| Recorder::new(ws, events, react)).config(options);
        let config = Config {
            stop_timeout: Duration::from_millis(600),
            ..Config::default()
        };
        Server::new().config(config).host(host.add(endpoint))
    });
    let mut stuck = Client::open_narrow(server.address, "/");
    stuck.send_text("go");
    let mut silent = Client::open(server.address, "/");
    let mut half = Client::connect(server.address);
    half.send_raw(&handshake("/")[..20]);
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    server.stop();
    silent.expect_close(1001);
    server.join().expect("a graceful stop");
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(500)..Duration::from_secs(3)).contains(&took),
        "{took:?}"
    );
}

#[test]
fn an_idle_http_connection_is_closed_and_an_answer_under_way_is_finished() {
    let server = TestServer::start(|host, _| {
        let page = |_: &mut aerys::Request, response: &mut aerys::Response| {
            response.end(vec![b'x'; 8 << 20]);
        };
        Server::new().host(host.add(aerys::Router::new().get("/", page)))
    });
    let mut idle = Client::connect(server.address);
    assert_eq!(idle.get("/missing").status, 404);
    let mut reading = Client::connect(server.address);
    reading.send_raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    std::thread::sleep(Duration::from_millis(100));
    server.stop();
    idle.expect_eof();
    assert!(reading.read_response().body == vec![b'x'; 8 << 20]);
    reading.expect_late_eof();
}

/// Who was in the middle of a request when the stop began is told, not cut.
#[test]
fn a_request_that_is_completed_while_the_server_stops_is_answered_503() {
    let server = TestServer::echo();
    let (mut client, _) = server.open("/");
    let mut asking = Client::connect(server.address);
    // Accepted for certain, so that its half is read before what comes behind it.
    assert_eq!(asking.get("/").status, 426);
    asking.send_raw("GET / HTT");
    client.send_text("read");
    assert_eq!(client.read_text(), "read");
    server.stop();
    // As long as it does not answer, the stop goes on.
    client.expect_close(1001);
    asking.send_raw("P/1.1\r\nHost: localhost\r\n\r\n");
    let response = asking.read_response();
    assert_eq!(
        (response.status, response.field("Connection")),
        (503, Some("close"))
    );
    asking.expect_eof();
    client.send_close(1001);
    client.expect_eof();
}

#[test]
fn an_endpoint_that_cannot_start_stops_the_start() {
    struct Broken;
    impl aerys::WebSocketHandler for Broken {
        type HandshakeData = ();
        fn on_start(&mut self) -> Result<(), aerys::StartError> {
            Err("no database".into())
        }
        fn on_handshake(&mut self, _: &aerys::Request, _: &mut aerys::Response) -> Option<()> {
            None
        }
        fn on_data(&mut self, _: aerys::ClientId, _: aerys::Message<'_>) {}
    }
    let channels = [(); 3].map(|()| std::sync::mpsc::channel());
    let [first, second, never] = channels
        .each_ref()
        .map(|(sender, _)| websocket(|ws| Recorder::new(ws, sender.clone(), echo)));
    let host = aerys::Host::new()
        .listen("127.0.0.1:0")
        .add(first)
        .add(second)
        .add(websocket(|_| Broken))
        .add(never);
    let error = Server::new().host(host).run().expect_err("it cannot start");
    assert!(matches!(error, aerys::Error::Start(_)), "{error}");
    assert!(error.to_string().contains("no database"), "{error}");
    let [first, second, never] = channels.map(|(_, events)| events.try_iter().collect::<Vec<_>>());
    assert_eq!(first, [Event::Start, Event::Stop]);
    assert_eq!(second, [Event::Start, Event::Stop]);
    assert_eq!(never, []);
}

#[cfg(feature = "cli")]
mod by_signal {
    use rustix::process::Signal;

    use super::*;
    use crate::client::{BINARY, frame};
    use crate::program::Program;

    const MESSAGES: usize = 6;
    const MESSAGE_BYTES: usize = 64 * 1024;

    /// Sends a broadcast that nobody has read yet when this returns: six messages of 64 KiB.
    fn fill_backlogs(program: &Program) {
        let mut sender = Client::open(program.address, "/broadcast");
        for number in 0..MESSAGES {
            sender.send(
                true,
                BINARY,
                vec![b'0' + u8::try_from(number).expect("a digit"); MESSAGE_BYTES],
            );
        }
        // What the sender has read, the others have queued.
        for _ in 0..MESSAGES {
            sender.read_message(BINARY);
        }
        sender.send_close(1000);
        sender.expect_close(1000);
        sender.expect_eof();
    }

    fn read_backlog_and_farewell(client: &mut Client) {
        for number in 0..MESSAGES {
            let message = client.read_message(BINARY);
            assert!(message == vec![b'0' + u8::try_from(number).expect("a digit"); MESSAGE_BYTES]);
        }
        client.expect_close(1001);
        client.send_close(1001);
        client.expect_eof();
    }

    #[test]
    fn sigterm_with_500_clients_serves_all_that_read_and_ends_with_status_0_in_time() {
        let mut program = Program::serve(&["--heartbeat", "off"]);
        let mut readers: Vec<_> = (0..475)
            .map(|_| Client::open(program.address, "/broadcast"))
            .collect();
        // Their backlogs are in the server for certain.
        readers.extend((0..5).map(|_| Client::open_narrow(program.address, "/broadcast")));
        let stuck: Vec<_> = (0..20)
            .map(|_| Client::open_narrow(program.address, "/broadcast"))
            .collect();
        fill_backlogs(&program);

        let begun = Instant::now();
        program.signal(Signal::TERM);
        expect_refused(program.address);
        std::thread::scope(|scope| {
            for readers in readers.chunks_mut(120) {
                scope.spawn(move || readers.iter_mut().for_each(read_backlog_and_farewell));
            }
        });
        let (status, _) = program.wait();
        let took = begun.elapsed();
        assert_eq!(status.code(), Some(0));
        // The default timeout, and a little for a loaded machine.
        assert!(took < Duration::from_secs(7), "{took:?}");
        drop(stuck);
    }

    /// Row F11 of docs/security.md: beside readers and who never reads, those who are in the middle of
    /// something. None of them makes the stop longer than it may be, and none is lied to.
    #[test]
    fn sigterm_finishes_what_is_under_way_and_tells_the_others() {
        const FILE_BYTES: usize = 8 << 20;
        let folder = std::env::temp_dir().join(format!("aerys-stop-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("large"), vec![b'x'; FILE_BYTES]).expect("a file");
        let root = folder.to_str().expect("a path of text");
        let mut program = Program::serve(&["--heartbeat", "off", "--root", root]);

        let stuck: Vec<_> = (0..5)
            .map(|_| Client::open_narrow(program.address, "/broadcast"))
            .collect();
        let mut readers: Vec<_> = (0..50)
            .map(|_| Client::open(program.address, "/broadcast"))
            .collect();
        fill_backlogs(&program);
        let mut amid_a_message: Vec<_> = (0..50)
            .map(|index| {
                let mut client = Client::open(program.address, "/echo");
                // Within a frame, and between two fragments.
                let message = frame(index % 2 == 0, BINARY, &[1; 100]);
                client.send_raw(&message[..if index % 2 == 0 { 50 } else { 106 }]);
                client
            })
            .collect();
        let mut idle: Vec<_> = (0..20)
            .map(|_| {
                let mut client = Client::connect(program.address);
                assert_eq!(client.request("HEAD", "/large", &[]).status, 200);
                client
            })
            .collect();
        let mut uploading: Vec<_> = (0..5)
            .map(|_| {
                let mut client = Client::connect(program.address);
                assert_eq!(client.request("HEAD", "/large", &[]).status, 200);
                client.send_raw(
                    "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n",
                );
                client.send_raw([b'u'; 500]);
                client
            })
            .collect();
        let mut downloading: Vec<_> = (0..5)
            .map(|_| {
                let mut client = Client::connect(program.address);
                client.send_raw("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
                let head = client.read_response_head();
                assert_eq!(
                    head.field("Content-Length"),
                    Some(&FILE_BYTES.to_string()[..])
                );
                client
            })
            .collect();

        program.signal(Signal::TERM);
        expect_refused(program.address);
        for client in &mut idle {
            client.expect_late_eof();
        }
        for client in &mut downloading {
            assert!(client.read_bytes(FILE_BYTES) == vec![b'x'; FILE_BYTES]);
            client.expect_late_eof();
        }
        for client in &mut uploading {
            client.try_send_raw([b'u'; 500]);
            // Their requests were refused or are answered; a cut would say nothing.
            let status = client.read_response().status;
            assert!(matches!(status, 405 | 503), "{status}");
        }
        for client in &mut amid_a_message {
            client.expect_close(1001);
            client.send_close(1001);
        }
        readers.iter_mut().for_each(read_backlog_and_farewell);
        let (status, took) = program.wait();
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(7), "{took:?}");
        drop(stuck);
        std::fs::remove_dir_all(folder).expect("a folder");
    }

    #[test]
    fn a_second_signal_ends_at_once_with_status_1() {
        for (first, second) in [
            (Signal::TERM, Signal::TERM),
            (Signal::INT, Signal::TERM),
            (Signal::TERM, Signal::INT),
        ] {
            let mut program = Program::serve(&["--stop-timeout", "60s", "--close-timeout", "60s"]);
            let _stuck = Client::open_narrow(program.address, "/broadcast");
            fill_backlogs(&program);
            program.signal(first);
            expect_refused(program.address);
            std::thread::sleep(Duration::from_millis(100));
            program.signal(second);
            let (status, took) = program.wait();
            assert_eq!(status.code(), Some(1), "{first:?}, {second:?}");
            assert!(took < Duration::from_secs(5), "{took:?}");
        }
    }

    #[test]
    fn one_signal_is_enough_without_clients() {
        for signal in [Signal::TERM, Signal::INT] {
            let mut program = Program::serve(&[]);
            program.signal(signal);
            let (status, took) = program.wait();
            assert_eq!(status.code(), Some(0), "{signal:?}");
            assert!(took < Duration::from_secs(3), "{took:?}");
        }
    }
}
