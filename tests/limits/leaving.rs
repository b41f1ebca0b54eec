//! A client whose backlog passes the hard limit, and who leaves before it is closed for that.

use crate::{CLOSE, World, close_code, frame, greeting};
use aerys::{
    ClientId, CloseCode, Config, Endpoint, Message, Request, Response, WebSocketConfig,
    WebSocketHandler, websocket,
};
use std::cell::RefCell;
use std::rc::Rc;

const BINARY: u8 = 0x2;
const MESSAGE_BYTES: usize = 100;

/// With which codes clients went.
type Closes = Rc<RefCell<Vec<u16>>>;

/// Sends each message to everybody.
struct Broadcast {
    ws: Endpoint,
    closes: Closes,
}

impl WebSocketHandler for Broadcast {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, _: ClientId, message: Message<'_>) {
        self.ws.broadcast(message);
    }

    fn on_close(&mut self, _: ClientId, code: CloseCode, _: &str) {
        self.closes.borrow_mut().push(code.as_u16());
    }
}

/// What a slow client gets after broadcasts for it that came in one turn with its Close, many more than
/// may wait, and `waiting` that waited already.
fn leaves_in_a_turn_that_is_too_much(waiting: usize, messages: &[Vec<u8>]) -> Vec<(u8, Vec<u8>)> {
    let closes = Closes::default();
    let options = WebSocketConfig {
        soft_backlog_bytes: 1000,
        hard_backlog_bytes: 1000,
        ..WebSocketConfig::default()
    };
    let seen = Rc::clone(&closes);
    let endpoint = websocket(move |ws| Broadcast { ws, closes: seen }).config(options);
    let mut world = World::start_with(Config::default(), greeting().get("/ws", endpoint));
    let (sender, slow) = (world.open(), world.open());
    world.server.set_room(slow, 0);

    let (first, rest) = messages.split_at(waiting);
    for message in first {
        world.send(sender, &frame(BINARY, message));
    }
    for message in rest {
        world.server.send(sender, &frame(BINARY, message));
    }
    let close = frame(CLOSE, &1000_u16.to_be_bytes());
    world.server.send(slow, &close);
    world.settle();
    assert_eq!(*closes.borrow(), [1000], "it went by itself");
    assert_eq!(world.frames(sender).len(), messages.len());

    world.server.set_room(slow, u64::MAX);
    world.settle();
    let mut got = world.frames(slow);
    let (opcode, payload) = got.pop().expect("a Close at least");
    assert_eq!((opcode, close_code(&payload).0), (CLOSE, 1000));
    got
}

fn thirty_messages() -> Vec<Vec<u8>> {
    (0..30).map(|number| vec![number; MESSAGE_BYTES]).collect()
}

/// Its socket is known to be full: nothing is taken for it that is too much, nor told of.
#[test]
fn who_waits_and_leaves_when_it_gets_too_much_gets_what_may_wait() {
    let messages = thirty_messages();
    let got = leaves_in_a_turn_that_is_too_much(5, &messages);
    // Judged by what waits before it: 918 bytes before the tenth, 1,020 before the next.
    let expected = messages[..10].iter().cloned();
    assert!(
        got.into_iter()
            .eq(expected.map(|message| (BINARY, message)))
    );
}

/// Its socket was not asked yet: nobody knows that it is full before it leaves, so it gets all of a turn.
#[test]
fn who_leaves_before_its_socket_is_asked_gets_all() {
    let messages = thirty_messages();
    let got = leaves_in_a_turn_that_is_too_much(0, &messages);
    let expected = messages.into_iter();
    assert!(
        got.into_iter()
            .eq(expected.map(|message| (BINARY, message)))
    );
}
