//! The endpoint that several benches measure, and that fuzz cases talk to which look at bytes alone.

use aerys::{ClientId, Endpoint, Message, Request, Response, WebSocketHandler};

/// Sends every message back to its sender.
pub(crate) struct Echo {
    pub(crate) ws: Endpoint,
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
