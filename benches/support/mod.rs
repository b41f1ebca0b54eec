//! What benches over real sockets share: a server on a thread of its own, and plain clients.

pub(crate) mod frames;

use aerys::{Config, Host, Server, WebSocketConfig, WebSocketHandler, websocket};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A server of one endpoint, stopped on drop.
pub(crate) struct Running {
    address: SocketAddr,
    handle: aerys::Handle,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts it; it sends no pings, since clients of benches count bytes and answer none.
    pub(crate) fn start<H: WebSocketHandler>(
        config: Config,
        handler: impl FnOnce(aerys::Endpoint) -> H + Send + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let endpoint = websocket(handler).config(WebSocketConfig {
                heartbeat: None,
                ..WebSocketConfig::default()
            });
            let host = Host::new().listen("127.0.0.1:0").add(endpoint);
            let server = Server::new().config(config).host(host);
            let bound = server.bind().expect("a free port");
            let address = bound.addresses()[0].socket_addr();
            let address = address.expect("a TCP socket");
            sender
                .send((address, bound.handle()))
                .expect("the bench waits");
            bound.run().expect("a graceful stop");
        });
        let (address, handle) = receiver.recv().expect("the server starts");
        Self {
            address,
            handle,
            thread: Some(thread),
        }
    }

    /// A client past its opening handshake. Its reads block, but not for ever.
    pub(crate) fn connect(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_nodelay(true).expect("an option");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("an option");
        stream
            .write_all(&frames::opening_handshake("/"))
            .expect("a small write");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        assert!(
            answer.starts_with(b"HTTP/1.1 101"),
            "{}",
            answer.escape_ascii()
        );
        stream
    }
}

/// Clients must be dropped before, or it waits for their closing handshakes.
impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server stops");
        }
    }
}
