//! Who is told may send, close and cut, as handlers may.

use super::*;
use crate::ResponseStream;

/// Tells the clients of an endpoint of each exchange, and closes them and cuts the stream when one is not
/// answered.
struct Acts {
    ws: Endpoint,
    stream: Rc<RefCell<Option<ResponseStream>>>,
}

impl AccessLog for Acts {
    fn on_exchange(&mut self, exchange: &FinishedExchange<'_>) {
        if exchange.status.is_some() {
            let target = exchange.request.target().unwrap_or("-");
            return self.ws.broadcast(target);
        }
        if let Some(stream) = self.stream.take() {
            return stream.cut();
        }
        for client in self.ws.clients() {
            let code = CloseCode::from(4000);
            self.ws.close(client, code, "").expect("a code");
        }
    }

    fn on_websocket(&mut self, _: &FinishedWebSocket<'_>) {}
}

#[test]
fn what_it_asks_for_is_done_at_once() {
    let room = websocket(|ws| Echo { ws });
    let stream = Rc::new(RefCell::new(None));
    let acts = Acts {
        ws: room.endpoint(),
        stream: Rc::clone(&stream),
    };
    let begin = move |_: &mut Request, response: &mut Response| {
        *stream.borrow_mut() = Some(response.stream());
    };
    let router = Router::new().get("/room", room).get("/stream", begin);
    let server = Server::new().host(Host::new().add(router)).access_log(acts);
    let mut simulation = Simulation::new(server).expect("it starts");
    let mut send = |bytes: &str| {
        let peer = simulation.connect(true);
        simulation.send(peer, bytes.as_bytes());
        simulation.settle().expect("it goes on");
        simulation.check();
        peer
    };
    let upload = "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
    let (member, streaming) = (send(&handshake("/room")), send(&get("/stream")));
    send(&get("/one"));
    let leaving = [send(upload), send(upload)];
    let output = simulation.take_output(member);
    assert!(output.ends_with(b"\r\n\r\n\x81\x04/one"));
    for (peer, said) in leaving
        .into_iter()
        .zip([&b"\x81\x07/stream"[..], b"\x88\x02\x0f\xa0"])
    {
        simulation.end(peer);
        simulation.settle().expect("it goes on");
        simulation.check();
        assert!(simulation.is_closed(streaming));
        assert_eq!(simulation.take_output(member), said);
    }
}
