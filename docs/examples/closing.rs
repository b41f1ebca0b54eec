//! A server that closes: `cargo run --example closing`, then open the address that it prints and see
//! what a page is told of each close.

use aerys::{
    ClientId, Endpoint, Host, Message, Request, Response, Router, Server, WebSocketConfig,
    WebSocketHandler, respond, websocket,
};

/// Closes who sends a code and a reason, as `4000 enough of it`.
struct Closing {
    ws: Endpoint,
}

impl WebSocketHandler for Closing {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        let text = message.to_text();
        let (code, reason) = text.split_once(' ').unwrap_or((&text, ""));
        // A panic closes who it was about with 1011, and nobody else.
        let code: u16 = code.parse().expect("a close code");
        if let Err(refused) = self.ws.close(client, code, reason) {
            self.ws.send(client, refused.to_string());
        }
    }
}

const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>Closing</title>
<link rel="icon" href="data:,">
<p><label>Close with <input id="input" value="4000 enough of it"></label> <button id="go">Go</button></p>
<pre id="log"></pre>
<script>
const log = text => document.getElementById("log").append(text + "\n");
document.getElementById("go").onclick = () => {
  const ws = new WebSocket(`ws://${location.host}/ws`);
  ws.onopen = () => ws.send(document.getElementById("input").value);
  ws.onmessage = event => log(event.data);
  ws.onclose = event => log(`closed with ${event.code} ${event.reason}`);
};
</script>
"#;

fn main() -> Result<(), aerys::Error> {
    // What is longer closes with 1009.
    let config = WebSocketConfig {
        max_message_bytes: 1024,
        ..WebSocketConfig::default()
    };
    let page = respond(|_, response| {
        response
            .set_header("content-type", "text/html; charset=utf-8")
            .end(PAGE);
    });
    let router = Router::new()
        .get("/ws", websocket(|ws| Closing { ws }).config(config))
        .get("/", page);
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:1337".into());
    let host = Host::new().listen(address).add(router);
    let server = Server::new().host(host).stop_on_signals(true).bind()?;
    println!("http://{}/", server.addresses()[0]);
    server.run()
}
