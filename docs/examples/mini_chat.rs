//! A chat in one handler: `cargo run --example mini_chat`, then open the address it prints in
//! two tabs. What is typed is acknowledged at once and reaches everyone five seconds later.

use aerys::{
    ClientId, CloseCode, Endpoint, Everyone, Host, Message, Request, Response, Router, Server,
    StaticFiles, WebSocketHandler, websocket,
};
use std::time::Duration;

/// A chat: greets, answers, and tells everyone five seconds later.
struct MiniChat {
    ws: Endpoint,
}

impl WebSocketHandler for MiniChat {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(()) // anyone may come in; the place to look at the Origin, for example
    }

    fn on_open(&mut self, client: ClientId, (): ()) {
        self.ws.broadcast(format!("Welcome new client {client}!"));
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        self.ws.send(
            client,
            "<i>Message received ... Sending in 5 seconds ...</i>",
        );
        let text = format!("Client {client} said: {}", message.to_text());
        self.ws.send_after(Duration::from_secs(5), Everyone, text);
    }

    fn on_close(&mut self, client: ClientId, code: CloseCode, _reason: &str) {
        self.ws.broadcast(format!(
            "User with client id {client} closed connection with code {code}"
        ));
    }
}

fn main() -> Result<(), aerys::Error> {
    let router = Router::new().get("/ws", websocket(|ws| MiniChat { ws }));
    let files = StaticFiles::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/public"))?;
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:1337".into());
    let host = Host::new().listen(address).add(router).add(files);
    let server = Server::new().host(host).stop_on_signals(true).bind()?;
    println!("http://{}/", server.addresses()[0]);
    server.run()
}
