//! ws-rs peer (the old mio WebSocket crate): /echo and /broadcast.
//! Usage: peer-ws-rs PORT

use ws::{Builder, Handler, Handshake, Message, Result, Sender, Settings};

struct Client {
    out: Sender,
    fan_out: bool,
}

impl Handler for Client {
    fn on_open(&mut self, shake: Handshake) -> Result<()> {
        self.fan_out = shake.request.resource() == "/broadcast";
        Ok(())
    }

    fn on_message(&mut self, msg: Message) -> Result<()> {
        if self.fan_out {
            self.out.broadcast(msg)
        } else {
            self.out.send(msg)
        }
    }
}

fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    let settings = Settings {
        max_connections: 20_000,
        queue_size: 5,
        tcp_nodelay: true,
        ..Settings::default()
    };
    Builder::new()
        .with_settings(settings)
        .build(|out| Client {
            out,
            fan_out: false,
        })
        .unwrap()
        .listen(("127.0.0.1", port))
        .unwrap();
}
