//! What responses and bodies in pieces cost the loop, on simulated sockets: no turn for nothing, and
//! nothing left behind.

use aerys::internals::Simulation;
use aerys::{
    BodyFlow, BodyHandler, Host, Request, Response, ResponseStream, Router, Server, respond, upload,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

type Kept<T> = Rc<RefCell<Option<T>>>;

fn start(router: Router) -> Simulation {
    let host = Host::new().listen("127.0.0.1:0").add(router);
    Simulation::new(Server::new().host(host)).expect("it starts")
}

/// Turns as long as there is something to do; that it ends.
fn settle(server: &mut Simulation) {
    for _ in 0..10 {
        if !server.is_busy() {
            return;
        }
        server.turn().expect("it lives");
    }
    panic!("it goes round for nothing");
}

/// A server that does nothing is asleep: it must not go round for input that has to wait.
#[test]
fn a_request_behind_a_stream_waits_without_a_turn() {
    let kept: Kept<ResponseStream> = Rc::default();
    let keep = Rc::clone(&kept);
    let stream = respond(move |_, response: &mut Response| {
        keep.replace(Some(response.stream()));
    });
    let plain = |_: &mut Request, response: &mut Response| _ = response.end("plain");
    let mut server = start(Router::new().get("/stream", stream).get("/plain", plain));
    let client = server.connect(true);
    let request = |path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    server.send(client, request("/stream").as_bytes());
    settle(&mut server);
    server.send(client, request("/plain").as_bytes());
    settle(&mut server);
    server.advance(Duration::from_secs(3600));
    settle(&mut server);
    let _ = server.take_output(client);
    let stream = kept.take().expect("it began");
    stream.send("x").expect("it is open");
    stream.end();
    // Done from outside of any callback: the next turn carries it out.
    server.advance(Duration::from_secs(1));
    server.turn().expect("it lives");
    server.send(client, b"G");
    settle(&mut server);
    let output = String::from_utf8(server.take_output(client)).expect("text");
    assert!(
        output.starts_with("1\r\nx\r\n0\r\n\r\nHTTP/1.1 200"),
        "{output}"
    );
    assert!(output.ends_with("plain"), "{output}");
}

/// A client that ended its side before its request was read has left, too.
#[test]
fn a_stream_for_a_client_at_its_end_is_closed() {
    let closed = Rc::new(RefCell::new(false));
    let note = Rc::clone(&closed);
    let stream = respond(move |_, response: &mut Response| {
        let note = Rc::clone(&note);
        response.stream().on_close(move || _ = note.replace(true));
    });
    let mut server = start(Router::new().get("/", stream));
    let client = server.connect(true);
    server.send(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.end(client);
    settle(&mut server);
    assert!(*closed.borrow());
    assert_eq!(server.client_count(), 0);
}

struct Discard;

impl BodyHandler for Discard {
    fn on_data(&mut self, _: &[u8], _: &mut Response) {}
    fn on_end(self: Box<Self>, _: &mut Request, _: &mut Response) {}
}

#[test]
fn a_paused_body_waits_without_a_turn_and_is_not_too_slow() {
    let kept: Kept<BodyFlow> = Rc::default();
    let keep = Rc::clone(&kept);
    let take = upload(move |request, _| {
        let flow = request.body_flow().expect("it has a body");
        flow.pause();
        keep.replace(Some(flow));
        Some(Discard)
    });
    let mut server = start(Router::new().post("/take", take));
    let client = server.connect(true);
    server.send(
        client,
        b"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab",
    );
    settle(&mut server);
    server.advance(Duration::from_secs(3600));
    settle(&mut server);
    assert!(kept.take().expect("it began").is_paused());
    assert_eq!(server.client_count(), 1);
}
