//! Server-sent events: every browser that has the page open is told what is posted, and the time.
//!
//! ```sh
//! cargo run --example events
//! curl -N http://127.0.0.1:1337/events &
//! curl -d 'hello to all' http://127.0.0.1:1337/say
//! ```

use aerys::{
    Host, Response, ResponseStream, Router, Server, ServerSentEvent, StreamError, respond,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const PAGE: &str = "<!DOCTYPE html><meta charset=utf-8><title>Events</title><ul id=list></ul><script>
const show = event => list.append(Object.assign(document.createElement('li'), { textContent: event.data }));
new EventSource('/events').addEventListener('said', show);
</script>";

/// Who listens.
#[derive(Clone, Default)]
struct Listeners(Rc<RefCell<Vec<ResponseStream>>>);

impl Listeners {
    fn add(&self, response: &mut Response) {
        response
            .set_header("Content-Type", "text/event-stream")
            .set_header("Cache-Control", "no-store");
        let stream = response.stream();
        keep_alive(&stream);
        self.0.borrow_mut().push(stream);
    }

    fn tell(&self, event: &ServerSentEvent) {
        let text = event.to_string();
        // Who left is forgotten; who is too slow misses this one.
        self.0
            .borrow_mut()
            .retain(|stream| stream.send(&text) != Err(StreamError::Closed));
    }
}

/// Says something now and then: a proxy on the way may cut who is silent.
fn keep_alive(stream: &ResponseStream) {
    let _ = stream.send(ServerSentEvent::KEEP_ALIVE);
    stream.after(Duration::from_secs(15), keep_alive);
}

fn main() -> Result<(), aerys::Error> {
    let listeners = Listeners::default();
    let tellers = listeners.clone();
    let router = Router::new()
        .get(
            "/",
            respond(|_, response| {
                response.set_header("Content-Type", "text/html").end(PAGE);
            }),
        )
        .get(
            "/events",
            respond(move |_, response| listeners.add(response)),
        )
        .post(
            "/say",
            respond(move |request, response| {
                let text = String::from_utf8_lossy(request.body()).into_owned();
                tellers.tell(&ServerSentEvent::new(text).name("said"));
                response.set_status(204);
            }),
        );
    let host = Host::new().listen("127.0.0.1:1337").add(router);
    Server::new().host(host).stop_on_signals(true).run()
}
