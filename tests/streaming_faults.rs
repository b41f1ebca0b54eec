//! Responses and bodies in pieces when the application does what is rare, on simulated sockets.

use aerys::internals::Simulation;
use aerys::middleware::after;
use aerys::{
    BodyHandler, Config, Host, RemoteStream, Request, Responder, Response, ResponseStream, Router,
    Server, StreamError, body_limit, respond, upload,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

type Kept<T> = Rc<RefCell<Option<T>>>;

fn start_with(router: Router, config: Config) -> Simulation {
    let host = Host::new().listen("127.0.0.1:0").add(router);
    Simulation::new(Server::new().config(config).host(host)).expect("it starts")
}
fn start(router: Router) -> Simulation {
    start_with(router, Config::default())
}
fn settle(server: &mut Simulation) {
    for _ in 0..20 {
        if !server.is_busy() {
            return;
        }
        server.turn().expect("it lives");
    }
    panic!("it goes round for nothing");
}
fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A responder that begins a stream, and where it is kept.
fn keeping() -> (Kept<ResponseStream>, impl Responder + 'static) {
    let kept: Kept<ResponseStream> = Rc::default();
    let keep = Rc::clone(&kept);
    let stream = respond(move |_, response: &mut Response| {
        keep.replace(Some(response.stream()));
    });
    (kept, stream)
}

/// Ends the stream when dropped: a usual guard.
struct EndOnDrop(ResponseStream);
impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}
struct PanicOnDrop;
impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "in a drop, on purpose");
    }
}

fn plain(_: &mut Request, response: &mut Response) {
    response.end("plain");
}

fn alive(router: Router, path: &str) {
    let mut server = start(router.get("/plain", plain));
    let client = server.connect(true);
    server.send(client, &get(path));
    settle(&mut server);
    let other = server.connect(true);
    server.send(other, &get("/plain"));
    settle(&mut server);
    assert!(text(&server.take_output(other)).ends_with("plain"));
}

#[test]
fn what_a_delayed_call_captured_may_end_its_stream_when_it_is_dropped() {
    alive(
        Router::new().get(
            "/s",
            respond(|_, response| {
                let stream = response.stream();
                let guard = EndOnDrop(stream.clone());
                stream.after(Duration::from_secs(1), move |_| drop(guard));
                stream.send("x").unwrap();
                stream.end();
            }),
        ),
        "/s",
    );
}

#[test]
fn a_callback_may_be_replaced_whose_capture_calls_the_stream() {
    let panicked = Rc::new(Cell::new(false));
    let note = Rc::clone(&panicked);
    alive(
        Router::new().get(
            "/s",
            respond(move |_, response| {
                let stream = response.stream();
                let other = stream.clone();
                let guard = EndOnDrop(stream.clone());
                stream.on_close(move || drop(guard));
                let s = stream.clone();
                let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                    let g2 = SetOnDrop(other);
                    s.on_close(move || drop(g2));
                    s.on_close(|| {});
                }))
                .is_ok();
                note.set(!ok);
            }),
        ),
        "/s",
    );
    assert!(!panicked.get(), "borrowed twice");
}
struct SetOnDrop(ResponseStream);
impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.on_drain(|_| {});
    }
}

#[test]
fn a_callback_may_be_replaced_whose_capture_ends_the_stream() {
    let (kept, stream) = keeping();
    let mut server = start(Router::new().get("/s", stream));
    let client = server.connect(true);
    server.send(client, &get("/s"));
    settle(&mut server);
    let stream = kept.borrow().clone().unwrap();
    let guard = EndOnDrop(stream.clone());
    stream.on_drain(move |_| {
        let _ = &guard;
    });
    stream.on_drain(|_| {}); // replaces: guard ends the stream
    assert!(!stream.is_open());
}

#[test]
fn a_capture_that_panics_when_its_client_leaves_harms_nobody() {
    let mut server = start(
        Router::new()
            .get(
                "/s",
                respond(move |_, response| {
                    let p = PanicOnDrop;
                    response.stream().on_drain(move |_| {
                        let _ = &p;
                    });
                }),
            )
            .get("/plain", plain),
    );
    let client = server.connect(true);
    server.send(client, &get("/s"));
    settle(&mut server);
    server.end(client);
    settle(&mut server);
}

#[test]
fn a_capture_of_a_delayed_call_that_panics_harms_nobody() {
    let mut server = start(Router::new().get(
        "/s",
        respond(move |_, response| {
            let p = PanicOnDrop;
            response.stream().after(Duration::from_secs(1), move |_| {
                let _ = &p;
            });
        }),
    ));
    let client = server.connect(true);
    server.send(client, &get("/s"));
    settle(&mut server);
    server.end(client);
    settle(&mut server);
    server.advance(Duration::from_secs(2));
    settle(&mut server);
}

#[test]
fn a_responder_and_a_capture_may_panic_at_once() {
    alive(
        Router::new().get(
            "/s",
            respond(move |_, response| {
                let p = PanicOnDrop;
                response.stream().on_close(move || {
                    let _ = &p;
                });
                panic!("responder, on purpose");
            }),
        ),
        "/s",
    );
}

#[test]
fn a_stream_whose_response_became_a_500_is_closed() {
    let kept: Kept<ResponseStream> = Rc::default();
    let remote: Kept<RemoteStream> = Rc::default();
    let closed = Rc::new(Cell::new(false));
    let (keep, far, note) = (Rc::clone(&kept), Rc::clone(&remote), Rc::clone(&closed));
    let mut server = start(Router::new().get(
        "/s",
        respond(move |_, response| {
            let stream = response.stream();
            let note = Rc::clone(&note);
            stream.on_close(move || note.set(true));
            far.replace(Some(stream.remote()));
            keep.replace(Some(stream));
            panic!("on purpose");
        }),
    ));
    let client = server.connect(true);
    server.send(client, &get("/s"));
    settle(&mut server);
    server.end(client);
    settle(&mut server);
    assert_eq!(server.client_count(), 0);
    let (stream, remote) = (kept.take().unwrap(), remote.take().unwrap());
    assert!(!stream.is_open() && !remote.is_open() && closed.get());
}

#[test]
fn a_stream_that_middleware_replaced_is_closed() {
    let (kept, stream) = keeping();
    let router = Router::new()
        .get("/s", stream)
        .middleware(after(|_, response| {
            response.end("instead");
        }));
    let mut server = start(router);
    let client = server.connect(true);
    server.send(client, &get("/s"));
    settle(&mut server);
    assert!(!kept.take().unwrap().is_open());
}

struct Discard;
impl BodyHandler for Discard {
    fn on_data(&mut self, _: &[u8], _: &mut Response) {}
    fn on_end(self: Box<Self>, _: &mut Request, _: &mut Response) {}
}

#[test]
fn the_first_route_of_a_request_says_how_its_body_is_taken() {
    let len = |request: &mut Request, response: &mut Response| {
        response.end(format!("len {}", request.body().len()));
    };
    let mut server = start(
        Router::new()
            .post("/login", len)
            .post("/{*path}", upload(|_, _| Some(Discard))),
    );
    let client = server.connect(true);
    server.send(
        client,
        b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd",
    );
    settle(&mut server);
    let out = text(&server.take_output(client));
    assert!(out.ends_with("len 4"), "{out}");
}

#[test]
fn a_later_route_does_not_raise_the_limit_of_the_first() {
    let len = |request: &mut Request, response: &mut Response| {
        response.end(format!("len {}", request.body().len()));
    };
    let mut server = start(
        Router::new()
            .post("/login", len)
            .post("/{*path}", body_limit(8 << 20, len)),
    );
    let client = server.connect(true);
    server.send(
        client,
        b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
    );
    server.send(client, &vec![b'x'; 1_000_000]);
    settle(&mut server);
    let out = text(&server.take_output(client));
    assert!(
        out.starts_with("HTTP/1.1 413"),
        "{}",
        &out[..out.len().min(300)]
    );
}

#[test]
fn a_stream_that_refuses_an_upload_is_framed_as_its_head_says() {
    let kept: Kept<ResponseStream> = Rc::default();
    let keep = Rc::clone(&kept);
    let mut server = start(Router::new().post(
        "/u",
        upload(move |_, response| -> Option<Discard> {
            let stream = response.stream();
            stream.send("no thanks").unwrap();
            keep.replace(Some(stream));
            None
        }),
    ));
    let client = server.connect(true);
    server.send(client, b"POST /u HTTP/1.0\r\nContent-Length: 4\r\n\r\nab");
    settle(&mut server);
    kept.take().unwrap().end();
    settle(&mut server);
    let out = text(&server.take_output(client));
    assert!(!out.contains("chunked"), "{out}");
}

#[test]
fn what_was_sent_before_the_head_goes_out_whatever_waits() {
    let big = |_: &mut Request, response: &mut Response| {
        response.end(vec![b'b'; 65_400]);
    };
    let kept: Kept<ResponseStream> = Rc::default();
    let keep = Rc::clone(&kept);
    let stream = respond(move |_, response: &mut Response| {
        let stream = response.stream();
        stream.send("hello").expect("ok");
        keep.replace(Some(stream));
    });
    let mut server = start_with(
        Router::new().get("/big", big).get("/s", stream),
        Config {
            max_stream_backlog_bytes: 0,
            ..Config::default()
        },
    );
    let client = server.connect(true);
    server.set_room(client, 0);
    server.send(client, &[get("/big"), get("/s")].concat());
    settle(&mut server);
    server.set_room(client, u64::MAX);
    settle(&mut server);
    let stream = kept.take().expect("it began");
    stream.send("world").unwrap();
    stream.end();
    server.send(client, b"G");
    settle(&mut server);
    let out = text(&server.take_output(client));
    assert!(out.contains("hello"), "{}", &out[out.len() - 300..]);
}

#[test]
fn what_was_sent_before_the_head_goes_out_whatever_the_limit() {
    let kept: Kept<ResponseStream> = Rc::default();
    let keep = Rc::clone(&kept);
    let stream = respond(move |_, response: &mut Response| {
        let stream = response.stream();
        stream.send("hello").expect("ok");
        keep.replace(Some(stream));
    });
    let mut server = start_with(
        Router::new().get("/s", stream),
        Config {
            soft_backlog_bytes: 64,
            max_stream_backlog_bytes: 64,
            ..Config::default()
        },
    );
    let client = server.connect(true);
    server.send(client, &get("/s"));
    settle(&mut server);
    let out = text(&server.take_output(client));
    assert!(out.contains("hello"), "{out}");
}

#[test]
fn answers_in_front_of_a_stream_reach_a_client_at_its_end() {
    let (_kept, stream) = keeping();
    let mut server = start(Router::new().get("/plain", plain).get("/s", stream));
    let client = server.connect(true);
    server.send(client, &[get("/plain"), get("/s")].concat());
    server.end(client);
    settle(&mut server);
    let out = text(&server.take_output(client));
    assert!(out.contains("plain"), "{out:?}");
}

#[test]
fn what_another_thread_sent_goes_out_when_the_stream_is_ended_here() {
    let (kept, stream) = keeping();
    let mut server = start(Router::new().get("/s", stream));
    let client = server.connect(true);
    server.send(client, &get("/s"));
    settle(&mut server);
    let stream = kept.take().unwrap();
    let remote = stream.remote();
    assert_eq!(remote.send("from far"), Ok(()));
    stream.end();
    settle(&mut server);
    let out = text(&server.take_output(client));
    assert!(out.contains("from far"), "{out:?}");
}

#[test]
fn a_stream_that_another_thread_ended_at_once_reaches_a_client_at_its_end() {
    let stream = respond(move |_, response: &mut Response| {
        let remote = response.stream().remote();
        remote.send("whole").unwrap();
        remote.end();
    });
    let mut server = start(Router::new().get("/s", stream));
    let client = server.connect(true);
    server.send(client, &get("/s"));
    server.end(client);
    settle(&mut server);
    let out = text(&server.take_output(client));
    assert!(out.contains("whole"), "{out:?}");
}

#[test]
fn an_upload_that_stands_still_is_given_up_however_fast_it_was() {
    let mut server = start(Router::new().post("/u", upload(|_, _| Some(Discard))));
    let client = server.connect(true);
    server.send(
        client,
        b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n",
    );
    for _ in 0..50 {
        server.send(client, &vec![b'x'; 1_000_000]);
        for _ in 0..8 {
            server.turn().unwrap();
        }
    }
    for _ in 0..24 {
        server.advance(Duration::from_secs(1800));
        for _ in 0..5 {
            server.turn().unwrap();
        }
    }
    assert_eq!(server.client_count(), 0, "12 hours without a byte");
}

#[test]
fn one_stream_takes_no_more_than_its_share_of_a_turn() {
    let fill = |stream: &ResponseStream| {
        while stream.send(vec![b'x'; 65536]) != Err(StreamError::Full) {
            if !stream.is_open() {
                return;
            }
        }
    };
    let stream = respond(move |_, response: &mut Response| {
        let stream = response.stream();
        stream.on_drain(fill);
        fill(&stream);
    });
    let mut server = start(Router::new().get("/s", stream));
    let client = server.connect(false);
    server.send(client, &get("/s"));
    let mut most = 0;
    for _ in 0..5 {
        let before = server.taken(client);
        server.turn().unwrap();
        most = most.max(server.taken(client) - before);
    }
    assert!(most <= 4 << 20, "{} MiB in one turn", most >> 20);
}

#[test]
fn a_handler_is_told_that_its_request_was_answered_already() {
    struct Told(Rc<Cell<u8>>);
    impl BodyHandler for Told {
        fn on_data(&mut self, _: &[u8], _: &mut Response) {}
        fn on_end(self: Box<Self>, _: &mut Request, _: &mut Response) {
            self.0.set(1);
        }
        fn on_abort(self: Box<Self>) {
            self.0.set(2);
        }
    }
    let seen = Rc::new(Cell::new(0));
    let note = Rc::clone(&seen);
    let mut server = start(Router::new().post(
        "/u",
        upload(move |_, response| {
            response.set_status(403);
            Some(Told(Rc::clone(&note)))
        }),
    ));
    let client = server.connect(true);
    server.send(
        client,
        b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd",
    );
    settle(&mut server);
    assert_eq!(seen.replace(0), 2, "with a body");
    let client = server.connect(true);
    server.send(
        client,
        b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    );
    settle(&mut server);
    assert_eq!(seen.get(), 2, "without");
}

#[test]
fn a_callback_set_on_a_stream_that_is_over_is_dropped() {
    let (kept, stream) = keeping();
    let mut server = start(Router::new().get("/s", stream));
    let client = server.connect(true);
    server.send(client, &get("/s"));
    settle(&mut server);
    server.end(client);
    settle(&mut server);
    let stream = kept.take().unwrap();
    let token = Rc::new(());
    let (t, s) = (Rc::clone(&token), stream.clone());
    stream.on_drain(move |_| {
        let _ = (&t, &s);
    });
    drop(stream);
    drop(server);
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn delayed_calls_of_streams_that_are_over_are_dropped() {
    let token = Rc::new(());
    let t = Rc::clone(&token);
    let stream = respond(move |_, response: &mut Response| {
        let t = Rc::clone(&t);
        response
            .stream()
            .after(Duration::from_secs(3600), move |_| {
                let _ = &t;
            });
    });
    let mut server = start(Router::new().get("/s", stream));
    for _ in 0..1000 {
        let client = server.connect(false);
        server.send(client, &get("/s"));
        settle(&mut server);
        server.end(client);
        settle(&mut server);
    }
    assert_eq!(server.client_count(), 0);
    assert!(
        Rc::strong_count(&token) < 10,
        "{} are kept",
        Rc::strong_count(&token)
    );
}

#[test]
fn what_another_thread_sent_is_part_of_a_body_that_is_ended_at_once() {
    let stream = respond(move |_, response: &mut Response| {
        let stream = response.stream();
        assert_eq!(stream.remote().send("far"), Ok(()));
        stream.end();
    });
    let mut server = start(Router::new().get("/s", stream));
    let client = server.connect(true);
    server.send(client, &get("/s"));
    settle(&mut server);
    let out = text(&server.take_output(client));
    assert!(out.contains("far"), "{out:?}");
}

#[test]
fn the_rest_of_a_refused_body_is_no_request() {
    struct Refuse(Kept<ResponseStream>);
    impl BodyHandler for Refuse {
        fn on_data(&mut self, _: &[u8], response: &mut Response) {
            self.0.replace(Some(response.stream()));
        }
        fn on_end(self: Box<Self>, _: &mut Request, _: &mut Response) {
            unreachable!()
        }
    }
    let kept: Kept<ResponseStream> = Rc::default();
    let keep = Rc::clone(&kept);
    let mut server =
        start(Router::new().post("/u", upload(move |_, _| Some(Refuse(Rc::clone(&keep))))));
    let client = server.connect(true);
    server.send(client, b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    settle(&mut server);
    let stream = kept.take().unwrap();
    stream.send("x").unwrap();
    stream.end();
    server.send(client, b"more");
    settle(&mut server);
    server.advance(Duration::from_secs(3));
    settle(&mut server);
    let out = text(&server.take_output(client));
    assert!(
        server.is_closed(client)
            && out.ends_with("0\r\n\r\n")
            && out.matches("HTTP/1.1").count() == 1,
        "{out}"
    );
    assert_eq!(server.client_count(), 0);
}

#[test]
fn an_idle_connection_is_kept_as_long_after_a_stream_as_after_any_response() {
    for version in ["1.0", "1.1"] {
        let (kept, stream) = keeping();
        let mut server = start(Router::new().get("/s", stream));
        let client = server.connect(true);
        server.send(
            client,
            format!("GET /s HTTP/{version}\r\nHost: a\r\n\r\n").as_bytes(),
        );
        settle(&mut server);
        server.advance(Duration::from_secs(100));
        settle(&mut server);
        let stream = kept.take().unwrap();
        stream.after(Duration::from_secs(100), |s| {
            s.send("x").unwrap();
            s.end();
        });
        server.advance(Duration::from_secs(101));
        settle(&mut server);
        if version == "1.1" {
            server.advance(Duration::from_secs(14));
            settle(&mut server);
            assert!(!server.is_closed(client));
        }
        server.advance(Duration::from_secs(3));
        settle(&mut server);
        assert!(server.is_closed(client));
        server.advance(Duration::from_secs(3));
        settle(&mut server);
        assert_eq!(server.client_count(), 0, "{version}");
    }
}

#[test]
fn a_101_has_no_stream() {
    use aerys::{ClientId, Message, WebSocketHandler, websocket};
    struct Odd(Kept<ResponseStream>);
    impl WebSocketHandler for Odd {
        type HandshakeData = ();
        fn on_handshake(&mut self, _: &Request, response: &mut Response) -> Option<()> {
            self.0.replace(Some(response.stream()));
            Some(())
        }
        fn on_data(&mut self, _: ClientId, _: Message<'_>) {}
    }
    let kept: Kept<ResponseStream> = Rc::default();
    let keep = Rc::clone(&kept);
    let mut server = start(Router::new().get("/ws", websocket(|_| Odd(keep))));
    let client = server.connect(true);
    server.send(client, b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    settle(&mut server);
    let out = text(&server.take_output(client));
    assert!(
        out.starts_with("HTTP/1.1 500") && !kept.take().unwrap().is_open(),
        "{out}"
    );
}

#[test]
fn uploads_are_told_of_the_end_of_the_server() {
    struct Told(Rc<Cell<bool>>);
    impl BodyHandler for Told {
        fn on_data(&mut self, _: &[u8], _: &mut Response) {}
        fn on_end(self: Box<Self>, _: &mut Request, _: &mut Response) {}
        fn on_abort(self: Box<Self>) {
            self.0.set(true);
        }
    }
    let seen = Rc::new(Cell::new(false));
    let note = Rc::clone(&seen);
    let mut server =
        start(Router::new().post("/u", upload(move |_, _| Some(Told(Rc::clone(&note))))));
    let client = server.connect(true);
    server.send(
        client,
        b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\na",
    );
    settle(&mut server);
    drop(server);
    assert!(seen.get());
}

#[test]
fn after_is_called_for_an_upload_that_the_server_refuses() {
    struct Count(Rc<Cell<i32>>);
    impl aerys::Middleware for Count {
        fn before(&mut self, _: &mut Request, _: &mut Response) {
            self.0.set(self.0.get() + 1);
        }
        fn after(&mut self, _: &Request, response: &mut Response) {
            self.0.set(self.0.get() - 1);
            response.set_header("X-After", "yes");
        }
    }
    let open = Rc::new(Cell::new(0));
    let router = Router::new()
        .post("/u", upload(|_, _| Some(Discard)).max_bytes(3))
        .middleware(Count(Rc::clone(&open)));
    let mut server = start(router);
    let client = server.connect(true);
    server.send(
        client,
        b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
    );
    settle(&mut server);
    let out = text(&server.take_output(client));
    assert!(
        open.get() == 0 && out.starts_with("HTTP/1.1 413"),
        "{} {out}",
        open.get()
    );
}

#[test]
fn after_is_called_for_an_upload_whose_on_abort_panics() {
    struct Bad;
    impl BodyHandler for Bad {
        fn on_data(&mut self, _: &[u8], _: &mut Response) {}
        fn on_end(self: Box<Self>, _: &mut Request, _: &mut Response) {}
        fn on_abort(self: Box<Self>) {
            panic!("on purpose");
        }
    }
    let seen = Rc::new(Cell::new(0));
    let note = Rc::clone(&seen);
    let router = Router::new()
        .post("/u", upload(|_, _| Some(Bad)))
        .middleware(after(move |_, response| {
            note.set(response.status().as_u16());
        }));
    let mut server = start(router);
    let client = server.connect(true);
    server.send(
        client,
        b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
    );
    settle(&mut server);
    server.end(client);
    settle(&mut server);
    assert_eq!(seen.get(), 400);
}

#[test]
fn on_drain_may_set_its_successor() {
    let kept: Kept<ResponseStream> = Rc::default();
    let keep = Rc::clone(&kept);
    let mut server = start(Router::new().get(
        "/s",
        respond(move |_, response| {
            let stream = response.stream();
            let guard = SetOnDrop(stream.clone());
            stream.on_drain(move |stream| {
                let _ = &guard;
                stream.on_drain(|_| {});
            });
            while stream.send([0; 10000]).is_ok() {}
            keep.replace(Some(stream));
        }),
    ));
    let client = server.connect(true);
    server.send(client, &get("/s"));
    settle(&mut server);
    assert!(kept.take().unwrap().is_open(), "cut by a double borrow");
}

#[test]
fn a_stream_that_a_bad_field_replaced_leaves_nothing() {
    let token = Rc::new(());
    let t = Rc::clone(&token);
    let mut server = start(Router::new().get(
        "/s",
        respond(move |_, response| {
            let stream = response.stream();
            let (t, s) = (Rc::clone(&t), stream.clone());
            stream.on_drain(move |_| {
                let _ = (&t, &s);
            });
            response.set_header("X-Bad", "a\nb");
        }),
    ));
    let client = server.connect(true);
    for _ in 0..100 {
        server.send(client, &get("/s"));
        settle(&mut server);
    }
    assert!(
        Rc::strong_count(&token) < 5,
        "{} leaked",
        Rc::strong_count(&token)
    );
}
