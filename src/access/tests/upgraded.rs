//! What is on its way when a WebSocket is opened behind it.

use super::*;

/// Asks for `/long`, of which the socket takes all but little, and opens a WebSocket behind it.
fn ask_and_open() -> (Test, crate::simulation::Peer) {
    let mut test = Test::new();
    let peer = test.simulation.connect(true);
    test.simulation.set_room(peer, 970_000);
    test.send_to(peer, get("/long") + &handshake("/echo"));
    assert_eq!(test.take(), Vec::<String>::new());
    test.simulation.advance(Duration::from_millis(20));
    (test, peer)
}

#[test]
fn an_answer_before_a_websocket_is_told_when_the_socket_took_its_end() {
    let (mut test, peer) = ask_and_open();
    test.simulation.set_room(peer, u64::MAX);
    test.settle();
    assert_eq!(test.take(), ["GET /long HTTP/1.1: 200 1000000 20 ms"]);
    test.send_to(peer, frame(0x81, b"hello"));
    test.send_to(peer, frame(0x88, b""));
    let told = "/echo: 1005 Client \"\" (17, 2, 1) (9, 2, 1) 20 ms";
    assert_eq!(test.end(peer), [told]);
}

#[test]
fn who_leaves_amid_an_answer_before_a_websocket_had_what_its_socket_took() {
    let (mut test, peer) = ask_and_open();
    let taken = test.simulation.take_output(peer);
    let head = taken.windows(4).position(|at| at == b"\r\n\r\n");
    let body = taken.len() - head.expect("a head") - 4;
    test.simulation.reset(peer);
    test.settle();
    let long = format!("GET /long HTTP/1.1: 200 {body} cut 20 ms");
    let echo = "/echo: 1006 Nobody \"\" (0, 0, 0) (0, 0, 0) 20 ms";
    assert_eq!(test.take(), [&long, echo]);
}
