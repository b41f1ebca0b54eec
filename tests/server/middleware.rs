//! What stands around the responders of a host or a router: its order, and what it may do.

use std::sync::mpsc::{Receiver, Sender, channel};

use aerys::middleware::{RequestId, after, before};
use aerys::{
    ClientId, Config, Host, Message, Middleware, Request, Response, Router, Server, StaticFiles,
    WebSocketConfig, WebSocketHandler, respond, websocket,
};

use crate::client::{ACCEPT, Client, HttpResponse, PATIENCE, handshake, handshake_with};
use crate::support::{Event, Recorder, TestServer, echo};

/// A server whose one host is listened on already.
pub(crate) fn serve(build: impl FnOnce(Host) -> Host + Send + 'static) -> TestServer {
    TestServer::start(|host, _| Server::new().config(Config::default()).host(build(host)))
}

pub(crate) fn say(text: &'static str) -> impl FnMut(&mut Request, &mut Response) + 'static {
    move |_, response| {
        response.end(text);
    }
}

pub(crate) fn text(response: &HttpResponse) -> &str {
    std::str::from_utf8(&response.body).expect("text")
}

/// Tells the test what it sees; does what the request's query asks for, if that names it.
struct Layer {
    name: &'static str,
    seen: Sender<String>,
}

impl Layer {
    fn is_asked(&self, request: &Request, what: &str) -> bool {
        request.param(self.name).as_deref() == Some(what)
    }
}

impl Middleware for Layer {
    fn before(&mut self, request: &mut Request, response: &mut Response) {
        let _ = self.seen.send(format!(">{}", self.name));
        assert!(!self.is_asked(request, "panic-before"), "on purpose");
        if self.is_asked(request, "refuse") {
            response.set_status(403).end(self.name);
        }
        request.set(self.name);
    }

    fn after(&mut self, request: &Request, response: &mut Response) {
        let status = response.status().as_u16();
        let _ = self.seen.send(format!("<{}{status}", self.name));
        assert!(!self.is_asked(request, "panic-after"), "on purpose");
        response.add_header("X-Layers", self.name);
        if self.is_asked(request, "change") {
            response.set_status(418).end(self.name);
        }
    }
}

/// Two layers around a host, and two around one of its two routers.
fn layers() -> (TestServer, Receiver<String>) {
    let (seen, saw) = channel();
    let server = serve(move |host| {
        let layer = |name| Layer {
            name,
            seen: seen.clone(),
        };
        let inner = Router::new()
            .get(
                "/in",
                respond(|request, response| {
                    let name = request.get::<&str>().copied();
                    response.end(name.unwrap_or("nobody"));
                }),
            )
            .middleware(layer("c"))
            .get("/panic", |_: &mut Request, _: &mut Response| {
                panic!("on purpose")
            })
            .get("/silent", |_: &mut Request, _: &mut Response| ())
            .post(
                "/splitting",
                respond(|_, response| {
                    response.set_header("X", "a\r\nb").end("never sent");
                }),
            )
            .middleware(layer("d"));
        let outer = Router::new()
            .get("/out", say("out"))
            .get("/silent", say("the next"));
        host.middleware(layer("a"))
            .add(inner)
            .add(outer)
            .middleware(layer("b"))
    });
    (server, saw)
}

#[test]
fn layers_stand_around_each_other_in_the_order_of_adding() {
    let (server, saw) = layers();
    let mut client = Client::connect(server.address);
    for (method, target, status, body, seen) in [
        (
            "GET",
            "/in",
            200,
            "d",
            ">a >b >c >d <d200 <c200 <b200 <a200",
        ),
        // Added behind the first middleware of its router.
        (
            "POST",
            "/splitting",
            500,
            "",
            ">a >b >c >d <d500 <c500 <b500 <a500",
        ),
        (
            "GET",
            "/panic",
            500,
            "",
            ">a >b >c >d <d500 <c500 <b500 <a500",
        ),
        // The path is that router's, the method is not.
        (
            "DELETE",
            "/in",
            405,
            "",
            ">a >b >c >d <d405 <c405 <b405 <a405",
        ),
        (
            "OPTIONS",
            "/in",
            204,
            "",
            ">a >b >c >d <d204 <c204 <b204 <a204",
        ),
        (
            "OPTIONS",
            "*",
            200,
            "",
            ">a >b >c >d <d200 <c200 <b200 <a200",
        ),
        (
            "GET",
            "/silent",
            200,
            "the next",
            ">a >b >c >d <d200 <c200 <b200 <a200",
        ),
        ("GET", "/out", 200, "out", ">a >b <b200 <a200"),
        ("GET", "/nowhere", 404, "", ">a >b <b404 <a404"),
        ("GET", "/in?b=refuse", 403, "b", ">a >b <b403 <a403"),
        (
            "GET",
            "/in?d=refuse",
            403,
            "d",
            ">a >b >c >d <d403 <c403 <b403 <a403",
        ),
        (
            "GET",
            "/in?c=change",
            418,
            "c",
            ">a >b >c >d <d200 <c200 <b418 <a418",
        ),
        ("GET", "/in?b=panic-before", 500, "", ">a >b <a500"),
        ("GET", "/in?c=panic-before", 500, "", ">a >b >c <b500 <a500"),
        (
            "GET",
            "/in?c=panic-after",
            500,
            "",
            ">a >b >c >d <d200 <c200 <b500 <a500",
        ),
        (
            "GET",
            "/in?a=panic-after",
            500,
            "",
            ">a >b >c >d <d200 <c200 <b200 <a200",
        ),
        // And nothing of all that has lasted.
        (
            "GET",
            "/in",
            200,
            "d",
            ">a >b >c >d <d200 <c200 <b200 <a200",
        ),
    ] {
        let response = client.request(method, target, &[]);
        assert_eq!(response.status, status, "{method} {target}: {response:?}");
        assert!(text(&response).starts_with(body), "{method} {target}");
        assert_eq!(response.field("X"), None, "{method} {target}");
        let saw: Vec<_> = saw.try_iter().collect();
        assert_eq!(saw.join(" "), seen, "{method} {target}");
    }
}

#[test]
fn what_a_request_keeps_is_gone_with_it() {
    /// Panics when it is dropped in a request that asks for it.
    #[derive(Clone)]
    struct Fragile(bool);
    impl Drop for Fragile {
        fn drop(&mut self) {
            assert!(!self.0, "in a drop, on purpose");
        }
    }
    let server = serve(|host| {
        host.add(respond(|request, response| {
            let found = request.get::<String>().cloned();
            response.end(found.unwrap_or_else(|| "nothing".to_owned()));
            if request.path() == "/keep" {
                request.set("a secret".to_owned());
            }
            if request.path() == "/fragile" {
                request.set(Fragile(true));
            }
        }))
    });
    let mut client = Client::connect(server.address);
    for path in ["/keep", "/", "/fragile", "/", "/keep", "/"] {
        let response = client.get(path);
        assert_eq!(
            (response.status, text(&response)),
            (200, "nothing"),
            "{path}"
        );
    }
}

/// An echo behind a middleware that answers as the query asks, before or after it.
fn guarded_echo() -> TestServer {
    TestServer::start(|host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, echo));
        let endpoint = endpoint.config(WebSocketConfig::default());
        let host = host
            .middleware(RequestId::new())
            .middleware(before(|request, response| {
                if request.param("token").as_deref() != Some("good") {
                    response.set_status(401).end("no token");
                }
            }))
            .middleware(after(|request, response| {
                match request.param("after").as_deref() {
                    Some("status") => _ = response.set_status(403),
                    Some("body") => _ = response.set_status(101).end("body"),
                    Some("accept") => _ = response.remove_header("Sec-WebSocket-Accept"),
                    Some("protocol") => _ = response.set_header("Sec-WebSocket-Protocol", "x"),
                    Some("field") => _ = response.set_header("X-Bad", "a\r\nb"),
                    Some("close") => _ = response.set_header("Connection", "close"),
                    Some("length") => _ = response.set_header("Content-Length", "5"),
                    Some("panic") => panic!("on purpose"),
                    _ => {}
                }
                response.set_header("X-After", "yes");
            }));
        Server::new().host(host.add(Router::new().get("/", endpoint)))
    })
}

#[test]
fn a_handshake_is_refused_before_or_gets_fields_after() {
    let server = guarded_echo();
    let mut client = Client::connect(server.address);
    client.send_raw(handshake("/"));
    let response = client.read_response();
    assert_eq!((response.status, text(&response)), (401, "no token"));
    assert_eq!(response.field("Sec-WebSocket-Accept"), None);
    // The same connection, still one of HTTP.
    for (query, refused) in [("", 101), ("&after=close", 101), ("&after=length", 101)] {
        client.send_raw(handshake(&format!("/?token=good{query}")));
        let response = client.read_response_head();
        assert_eq!(response.status, refused);
        assert_eq!(response.field("Sec-WebSocket-Accept"), Some(ACCEPT));
        assert_eq!(response.field("Connection"), Some("upgrade"));
        assert_eq!(response.field("Content-Length"), None);
        assert_eq!(response.field("X-After"), Some("yes"));
        assert!(response.field("X-Request-Id").is_some());
        client.send_text("hello");
        assert_eq!(client.read_text(), "hello");
        client = Client::connect(server.address);
    }
}

#[test]
fn what_is_done_to_a_101_cannot_open_or_break_a_connection() {
    let server = guarded_echo();
    for what in ["status", "body", "accept", "protocol", "field", "panic"] {
        let mut client = Client::connect(server.address);
        let target = format!("/?token=good&after={what}");
        client.send_raw(handshake_with(&target, "Sec-WebSocket-Protocol: chat\r\n"));
        let response = client.read_response();
        assert_eq!(response.status, 500, "{what}: {response:?}");
        for field in ["Upgrade", "Sec-WebSocket-Accept", "X-Bad"] {
            assert_eq!(response.field(field), None, "{what}");
        }
        assert!(response.field("X-Request-Id").is_some(), "{what}");
        // Nobody came in, and the connection speaks HTTP on.
        assert_eq!(server.event(), Event::Handshake(target));
        assert_eq!(client.get("/").status, 401, "{what}");
    }
    let (mut client, _) = server.open("/?token=good");
    client.send_text("alive");
    assert_eq!(client.read_text(), "alive");
}

#[test]
fn what_a_handshake_returned_is_dropped_when_middleware_refuses_it_behind_it() {
    /// Tells the test when it is dropped, and panics then.
    struct Guard(Sender<String>);
    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.send("dropped".to_owned());
            panic!("in a drop, on purpose");
        }
    }
    struct Handler(Sender<String>);
    impl WebSocketHandler for Handler {
        type HandshakeData = Guard;
        fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<Guard> {
            Some(Guard(self.0.clone()))
        }
        fn on_data(&mut self, _: ClientId, _: Message<'_>) {}
    }
    let spoil = || after(|_, response| _ = response.set_status(403));
    for is_on_host in [false, true] {
        let (sender, drops) = channel();
        let server = serve(move |host| {
            let router = Router::new().get("/", websocket(|_| Handler(sender)));
            if is_on_host {
                host.middleware(spoil()).add(router)
            } else {
                host.add(router.middleware(spoil()))
            }
        });
        let mut client = Client::connect(server.address);
        client.send_raw(handshake("/"));
        assert_eq!(client.read_response().status, 500);
        assert_eq!(drops.recv_timeout(PATIENCE).as_deref(), Ok("dropped"));
    }
}

#[test]
fn files_have_middleware_of_their_own_behind_a_route() {
    let server = serve(|host| {
        let files = StaticFiles::new(env!("CARGO_MANIFEST_DIR")).expect("a folder");
        let files = Router::new()
            .get("/{*path}", files)
            .middleware(after(|_, response| {
                response.set_header("Cache-Control", "no-cache");
            }));
        host.add(Router::new().get("/page", say("page"))).add(files)
    });
    let mut client = Client::connect(server.address);
    let response = client.get("/docs/middleware.md");
    assert_eq!(
        (response.status, response.field("Cache-Control")),
        (200, Some("no-cache"))
    );
    assert_eq!(client.get("/page").field("Cache-Control"), None);
    assert_eq!(client.get("/missing").status, 404);
    assert_eq!(
        client
            .request("PUT", "/docs/middleware.md", &[("Content-Length", "0")])
            .status,
        405
    );
}
