//! What the program serves without a file on disk: the page, and the endpoints behind it.

mod chat;
mod name;
mod page;

use aerys::{
    ClientId, Endpoint, Message, Request, Response, Router, WebSocket, WebSocketConfig,
    WebSocketHandler, websocket,
};

pub(crate) use page::page;

/// The endpoints of the demo. A clone has the same.
#[derive(Clone)]
pub(crate) struct Demo {
    plain: WebSocket<chat::Plain>,
    named: WebSocket<chat::Named>,
    echo: WebSocket<Echo>,
    broadcast: WebSocket<Broadcast>,
}

impl Demo {
    pub(crate) fn new() -> Self {
        let (plain, named) = chat::endpoints();
        Self {
            plain,
            named,
            echo: websocket(|ws| Echo { ws }),
            broadcast: websocket(|ws| Broadcast { ws }),
        }
    }

    /// Their routes.
    pub(crate) fn router(&self, config: &WebSocketConfig) -> Router {
        Router::new()
            .get("/chat", self.plain.clone().config(config.clone()))
            .get("/chat/named", self.named.clone().config(config.clone()))
            .get("/echo", self.echo.clone().config(config.clone()))
            .get("/broadcast", self.broadcast.clone().config(config.clone()))
    }
}

/// Sends every message back to its sender.
struct Echo {
    ws: Endpoint,
}

impl WebSocketHandler for Echo {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        self.ws.send(client, message);
    }
}

/// Sends every message to every client, its sender included.
struct Broadcast {
    ws: Endpoint,
}

impl WebSocketHandler for Broadcast {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, _: ClientId, message: Message<'_>) {
        self.ws.broadcast(message);
    }
}
