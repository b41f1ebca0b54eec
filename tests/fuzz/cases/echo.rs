//! An endpoint of which everybody is sent what they say: for cases that look at bytes alone.

use aerys::{ClientId, Endpoint, Message, Request, Response, WebSocketHandler};

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
