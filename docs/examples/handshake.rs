//! A handshake that asks for a password: `cargo run --example handshake`, then open the
//! address it prints, or try `/ws` without the password and get a 403.

use aerys::{
    Address, ClientId, CloseCode, Host, Message, Request, Response, Router, Server,
    WebSocketHandler, respond, websocket,
};
use std::collections::HashMap;

/// Prints what happens to its clients.
#[derive(Default)]
struct Printer {
    addresses: HashMap<ClientId, Address>,
}

impl WebSocketHandler for Printer {
    /// Where the client comes from: there is no id yet that it could be stored under.
    type HandshakeData = Address;

    fn on_handshake(&mut self, request: &Request, response: &mut Response) -> Option<Address> {
        if request.param("password").as_deref() == Some("reallyverysecure") {
            return Some(request.client_address().clone());
        }
        // Any status but 101: an ordinary answer, and no WebSocket connection.
        response
            .set_status(403)
            .end("Nope. Valid password required.");
        None
    }

    fn on_open(&mut self, client: ClientId, address: Address) {
        println!("Successful handshake for user with client id {client} from {address}");
        self.addresses.insert(client, address);
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        // Escaped, as all that comes from outside and goes to a terminal.
        let text = message.to_text();
        println!(
            "User with client id {client} from {} sent: {text:?}",
            self.addresses[&client]
        );
    }

    fn on_close(&mut self, client: ClientId, code: CloseCode, _reason: &str) {
        self.addresses.remove(&client);
        println!("User with client id {client} closed connection with code {code}");
    }
}

const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>Handshake</title>
<pre id="log"></pre>
<script>
const log = text => document.getElementById("log").append(text + "\n");
const ws = new WebSocket(`ws://${location.host}/ws?password=reallyverysecure`);
ws.onopen = () => { log("opened"); ws.send("ping"); };
ws.onmessage = event => log(event.data);
ws.onerror = () => log("error");
ws.onclose = event => log(`closed with ${event.code}`);
</script>
"#;

fn main() -> Result<(), aerys::Error> {
    let router = Router::new()
        .get("/ws", websocket(|_| Printer::default()))
        .get(
            "/",
            respond(|_, response| {
                response
                    .set_header("content-type", "text/html; charset=utf-8")
                    .end(PAGE);
            }),
        );
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:1337".into());
    let host = Host::new().listen(address).add(router);
    let server = Server::new().host(host).stop_on_signals(true).bind()?;
    println!("http://{}/", server.addresses()[0]);
    server.run()
}
