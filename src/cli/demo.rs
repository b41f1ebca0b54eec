//! What the program serves without a file on disk: the page, and the endpoints behind it.

mod chat;
mod name;
mod page;

use aerys::{
    ClientId, Endpoint, Message, Request, Response, Router, WebSocketConfig, WebSocketHandler,
    websocket,
};

pub(crate) use page::page;

/// The endpoints of the demo.
pub(crate) fn router(config: &WebSocketConfig) -> Router {
    let (plain, named) = chat::endpoints();
    Router::new()
        .get("/chat", plain.config(config.clone()))
        .get("/chat/named", named.config(config.clone()))
        .get("/echo", websocket(|ws| Echo { ws }).config(config.clone()))
        .get(
            "/broadcast",
            websocket(|ws| Broadcast { ws }).config(config.clone()),
        )
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
