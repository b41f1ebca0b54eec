//! The least server: `cargo run --example hello`, then open the address it prints.

use aerys::{Host, Router, Server, respond};

fn main() -> Result<(), aerys::Error> {
    let router = Router::new().get(
        "/",
        respond(|_, response| {
            // Text says what it is: text/plain; charset=utf-8.
            response.end("Hello, World!");
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
