//! What stands around responders: `cargo run --example middleware`, then open the address it prints,
//! or try `/private/` with and without the user `ann` and the password `sesame`.

use aerys::middleware::{BasicAuth, Cors, RequestId, SecurityHeaders};
use aerys::{Host, Middleware, Request, Response, Router, Server, respond};
use std::time::Instant;

/// Prints a line for each answer, and says in it how long it took.
#[derive(Default)]
struct Report;

/// When a request came. What a middleware keeps in a request is found by its type.
#[derive(Clone)]
struct Began(Instant);

impl Middleware for Report {
    fn before(&mut self, request: &mut Request, _: &mut Response) {
        request.set(Began(Instant::now()));
    }

    fn after(&mut self, request: &Request, response: &mut Response) {
        let Some(Began(began)) = request.get() else {
            return;
        };
        let millis = began.elapsed().as_secs_f64() * 1000.0;
        response.set_header("Server-Timing", format!("app;dur={millis:.3}"));
        // Escaped, as all that comes from outside and goes to a terminal.
        println!(
            "{} {} {:?} {} {millis:.3} ms",
            RequestId::of(request).unwrap_or("-"),
            request.method(),
            request.target(),
            response.status().as_u16()
        );
    }
}

fn main() -> Result<(), aerys::Error> {
    let public = Router::new()
        .get(
            "/",
            respond(|request, response| {
                let id = RequestId::of(request).unwrap_or("-");
                response.end(format!("You are request {id}.\n"));
            }),
        )
        // Scripts of one other origin may read what this router answers.
        .middleware(Cors::new().origin("http://localhost:3000"));
    let private = Router::new()
        .get(
            "/",
            respond(|request, response| {
                let user = BasicAuth::user_of(request).unwrap_or("nobody");
                response.end(format!("Hello {user}.\n"));
            }),
        )
        .prefix("/private")
        .middleware(BasicAuth::new("private").user("ann", "sesame"));
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:1337".into());
    let host = Host::new()
        .listen(address)
        // In this order before the responders, in the reverse one after them.
        .middleware(RequestId::new())
        .middleware(Report)
        .middleware(SecurityHeaders::new())
        .add(public)
        .add(private);
    let server = Server::new().host(host).stop_on_signals(true).bind()?;
    println!("http://{}/", server.addresses()[0]);
    server.run()
}
