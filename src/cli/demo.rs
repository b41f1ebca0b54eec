//! What the program serves without a file on disk: the page, and the endpoints behind it.

use aerys::{
    Body, ClientId, CloseCode, Endpoint, Everyone, Message, Request, Response, Router,
    WebSocketConfig, WebSocketHandler, websocket,
};
use std::time::Duration;

/// How long the chat keeps a message before everyone gets it.
const CHAT_DELAY: Duration = Duration::from_secs(5);

/// The routes of the demo, with the page if `with_page`.
pub(crate) fn router(config: &WebSocketConfig, with_page: bool) -> Router {
    let router = Router::new()
        .get("/chat", websocket(|ws| Chat { ws }).config(config.clone()))
        .get("/echo", websocket(|ws| Echo { ws }).config(config.clone()))
        .get(
            "/broadcast",
            websocket(|ws| Broadcast { ws }).config(config.clone()),
        );
    if with_page {
        router.get("/", page)
    } else {
        router
    }
}

fn page(_: &mut Request, response: &mut Response) {
    response
        .set_header("content-type", "text/html; charset=utf-8")
        .end(Body::from_static(include_bytes!("demo.html")));
}

/// Greets, answers, and tells everyone five seconds later.
struct Chat {
    ws: Endpoint,
}

impl WebSocketHandler for Chat {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
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
        self.ws.send_after(CHAT_DELAY, Everyone, text);
    }

    fn on_close(&mut self, client: ClientId, code: CloseCode, _reason: &str) {
        self.ws.broadcast(format!(
            "User with client id {client} closed connection with code {code}"
        ));
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
