//! No allocation per message or request in the steady state, counted by an allocator that counts. Somebody is
//! told of what is over, which costs none either.
//!
//! The handler answers `count` with the allocations that its thread, the server's, has made.

use aerys::{
    AccessLog, ClientId, Endpoint, FinishedExchange, FinishedWebSocket, Host, Message, Request,
    Response, Router, Server, WebSocketHandler, websocket,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator as it is; the count lies in a
// thread-local that needs neither initialisation nor a destructor, so it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above, and so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as for `dealloc`; the caller's promise about `new_size` is handed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Echoes, or broadcasts what begins with `b`; `count` and `leak` are for the test.
struct Handler {
    ws: Endpoint,
    kept: Vec<Box<[u8]>>,
}

impl WebSocketHandler for Handler {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        match message.as_bytes() {
            b"count" => {
                let count = ALLOCATIONS.get();
                self.ws.send(client, &count.to_be_bytes());
            }
            b"leak" => {
                self.kept.push(vec![0; 8].into_boxed_slice());
                self.ws.send(client, message);
            }
            [b'b', ..] => self.ws.broadcast(message),
            _ => self.ws.send(client, message),
        }
    }
}

struct Client(TcpStream);

impl Client {
    fn connect(address: std::net::SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("an option");
        stream.set_nodelay(true).expect("an option");
        let request =
            b"GET /ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request).expect("a small write");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        Self(stream)
    }

    /// Sends a masked binary message (with a mask of zeros).
    fn send(&mut self, payload: &[u8]) {
        let mut bytes = vec![0x82];
        if payload.len() <= 125 {
            bytes.push(0x80 | u8::try_from(payload.len()).expect("short"));
        } else {
            bytes.push(0xFE);
            bytes.extend_from_slice(&u16::try_from(payload.len()).expect("medium").to_be_bytes());
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(payload);
        self.0.write_all(&bytes).expect("the server reads");
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut header = [0; 2];
        self.0.read_exact(&mut header).expect("a header");
        let len = if header[1] < 126 {
            usize::from(header[1])
        } else {
            let mut len = [0; 2];
            self.0.read_exact(&mut len).expect("a length");
            usize::from(u16::from_be_bytes(len))
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).expect("a payload");
        payload
    }

    fn ask(&mut self, payload: &[u8]) -> Vec<u8> {
        self.send(payload);
        self.receive()
    }

    fn allocations(&mut self) -> u64 {
        u64::from_be_bytes(self.ask(b"count").try_into().expect("eight bytes"))
    }
}

/// Looks at all that it is told.
struct Told;

impl AccessLog for Told {
    fn on_exchange(&mut self, exchange: &FinishedExchange<'_>) {
        assert!(exchange.is_complete && exchange.request.target() == Some("/five"));
    }

    fn on_websocket(&mut self, _: &FinishedWebSocket<'_>) {}
}

/// Runs `test` with the address of a server.
fn with_server(test: impl FnOnce(std::net::SocketAddr)) {
    let (sender, receiver) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let endpoint = websocket(|ws| Handler {
            ws,
            kept: Vec::new(),
        });
        let five = |_: &mut Request, response: &mut Response| {
            response.end("12345");
        };
        let router = Router::new().get("/ws", endpoint).get("/five", five);
        let host = Host::new().listen("127.0.0.1:0").add(router);
        let server = Server::new().host(host).access_log(Told);
        let bound = server.bind().expect("a free port");
        let address = bound.addresses()[0].socket_addr();
        let address = address.expect("a TCP socket");
        sender
            .send((address, bound.handle()))
            .expect("the test waits");
        bound.run()
    });
    let (address, handle) = receiver.recv().expect("the server starts");
    test(address);
    handle.stop();
    server.join().expect("no panic").expect("a graceful stop");
}

#[test]
fn the_counter_sees_an_allocation_of_the_server() {
    with_server(|address| {
        let mut client = Client::connect(address);
        let before = client.allocations();
        for _ in 0..100 {
            client.ask(b"leak");
        }
        assert!(client.allocations() >= before + 100);
    });
}

#[test]
fn an_echoed_message_allocates_nothing() {
    with_server(|address| {
        let mut client = Client::connect(address);
        for size in [0, 20, 125, 1024, 16 * 1024] {
            let message = vec![b'x'; size];
            for _ in 0..50 {
                assert_eq!(client.ask(&message).len(), size);
            }
            let before = client.allocations();
            for _ in 0..1000 {
                client.ask(&message);
            }
            assert_eq!(client.allocations() - before, 0, "messages of {size} bytes");
        }
    });
}

#[test]
fn messages_in_bursts_allocate_nothing() {
    with_server(|address| {
        let mut client = Client::connect(address);
        let burst = |client: &mut Client| {
            for _ in 0..16 {
                client.send(&[b'x'; 20]);
            }
            for _ in 0..16 {
                client.receive();
            }
        };
        for _ in 0..50 {
            burst(&mut client);
        }
        let before = client.allocations();
        for _ in 0..200 {
            burst(&mut client);
        }
        assert_eq!(client.allocations() - before, 0);
    });
}

#[test]
fn a_request_allocates_nothing_alone_and_in_a_pipeline() {
    with_server(|address| {
        let mut client = Client::connect(address);
        let mut stream = TcpStream::connect(address).expect("the server listens");
        let patience = Duration::from_secs(10);
        stream.set_read_timeout(Some(patience)).expect("an option");
        let mut ask = |count: usize| {
            let request = b"GET /five HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\n\r\n";
            stream.write_all(&request.repeat(count)).expect("room");
            let mut answers = Vec::new();
            while answers
                .windows(9)
                .filter(|at| at == b"\r\n\r\n12345")
                .count()
                < count
            {
                let mut bytes = [0; 4096];
                let len = stream.read(&mut bytes).expect("an answer");
                assert!(len > 0, "the server closes");
                answers.extend_from_slice(&bytes[..len]);
            }
        };
        for pipelined in [1, 16] {
            for _ in 0..50 {
                ask(pipelined);
            }
            let before = client.allocations();
            for _ in 0..200 {
                ask(pipelined);
            }
            assert_eq!(client.allocations() - before, 0, "{pipelined} at a time");
        }
    });
}

#[test]
fn a_broadcast_allocates_nothing() {
    with_server(|address| {
        let mut clients: Vec<Client> = (0..50).map(|_| Client::connect(address)).collect();
        let round = |clients: &mut Vec<Client>, size: usize| {
            let message = vec![b'b'; size];
            clients[0].send(&message);
            for client in clients {
                assert_eq!(client.receive(), message);
            }
        };
        for size in [64, 1024, 16 * 1024] {
            for _ in 0..50 {
                round(&mut clients, size);
            }
            let before = clients[0].allocations();
            for _ in 0..200 {
                round(&mut clients, size);
            }
            assert_eq!(
                clients[0].allocations() - before,
                0,
                "broadcasts of {size} bytes"
            );
        }
    });
}
