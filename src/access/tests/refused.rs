//! Connections that are refused as they come.

use super::*;

#[test]
fn each_connection_that_is_one_too_many_is_told_with_its_503() {
    let mut test = Test::with(Config {
        max_connections: Some(1),
        ..Config::default()
    });
    let open = test.send(handshake("/echo"));
    // More than are kept until they have read what they are told.
    let refused: Vec<_> = (0..40).map(|_| test.simulation.connect(true)).collect();
    test.settle();
    for peer in &refused {
        let answer = test.simulation.take_output(*peer);
        assert!(answer.starts_with(b"HTTP/1.1 503 "));
    }
    assert_eq!(test.take(), ["-: 503 0 0 ms"; 40]);
    for peer in refused {
        test.simulation.end(peer);
    }
    test.end(open);
}

#[test]
fn who_is_one_too_many_by_the_word_of_a_proxy_is_told_with_its_address() {
    struct Who(Lines);
    impl AccessLog for Who {
        fn on_exchange(&mut self, exchange: &FinishedExchange<'_>) {
            let address = exchange.request.client_address().to_string();
            self.0.borrow_mut().push(address);
        }

        fn on_websocket(&mut self, _: &FinishedWebSocket<'_>) {}
    }
    let lines = Lines::default();
    let config = Config {
        max_connections_per_address: Some(1),
        ..Config::default()
    };
    let server = Server::new()
        .config(config)
        .host(Host::new().listen("127.0.0.1:0?proxy-protocol"))
        .access_log(Who(Rc::clone(&lines)));
    let mut simulation = Simulation::new(server).expect("it starts");
    for _ in 0..2 {
        let peer = simulation.connect(true);
        simulation.send(peer, b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\n");
        simulation.settle().expect("it goes on");
    }
    assert_eq!(lines.take(), ["192.0.2.7:5000"]);
}
