//! What stands around the responders of a host or a router, and the middleware that there is.

use std::sync::mpsc::{Receiver, Sender, channel};

use aerys::middleware::{BasicAuth, Cors, Framing, RequestId, SecurityHeaders, after, before};
use aerys::{
    Config, Host, Middleware, Request, Response, Router, Server, WebSocketConfig, respond,
    websocket,
};

use crate::client::{ACCEPT, Client, HttpResponse, handshake, handshake_with};
use crate::support::{Event, Recorder, TestServer, echo};

/// A server whose one host is listened on already.
fn serve(build: impl FnOnce(Host) -> Host + Send + 'static) -> TestServer {
    TestServer::start(|host, _| Server::new().config(Config::default()).host(build(host)))
}

fn say(text: &'static str) -> impl FnMut(&mut Request, &mut Response) + 'static {
    move |_, response| {
        response.end(text);
    }
}

fn text(response: &HttpResponse) -> &str {
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
fn a_request_has_an_id_that_is_taken_over_from_those_who_are_trusted() {
    let build = |id: fn() -> RequestId| {
        serve(move |host| {
            host.add(Router::new().get(
                "/",
                respond(|request, response| {
                    response.end(RequestId::of(request).unwrap_or("none").to_owned());
                }),
            ))
            .middleware(id())
        })
    };
    let mut made = Vec::new();
    for (server, trusts) in [
        (build(RequestId::new), false),
        (build(|| RequestId::new().trust_peer()), true),
    ] {
        let mut client = Client::connect(server.address);
        let long = "a".repeat(129);
        for (id, is_sane) in [
            ("abc-123", true),
            (&long[..128], true),
            (&*long, false),
            ("a b", false),
            ("a,b", false),
            ("", false),
        ] {
            let response = client.request("GET", "/", &[("X-Request-Id", id)]);
            let own = response.field("X-Request-Id").expect("an id");
            assert_eq!(text(&response), own, "the responder knows it");
            if trusts && is_sane {
                assert_eq!(own, id);
            } else {
                assert_ne!(own, id);
                made.push(own.to_owned());
            }
        }
        // The server's own answer has it too.
        assert!(client.get("/nowhere").field("X-Request-Id").is_some());
    }
    let count = made.len();
    made.sort();
    made.dedup();
    assert_eq!(made.len(), count, "{made:?}");
}

/// The fields of an answer that begin with `prefix`, sorted, as one text.
fn fields_with(response: &HttpResponse, prefix: &str) -> String {
    let fields = response.fields.iter();
    let fields = fields.filter(|(name, _)| name.starts_with(prefix));
    let mut fields: Vec<_> = fields
        .map(|(name, value)| format!("{}: {value}", &name[prefix.len()..]))
        .collect();
    fields.sort();
    fields.join("; ")
}

/// All `Vary` fields of an answer, as one list.
fn vary(response: &HttpResponse) -> String {
    let fields = response.fields.iter();
    let fields = fields.filter(|(name, _)| name == "Vary");
    let values: Vec<_> = fields.map(|(_, value)| value.as_str()).collect();
    values.join(", ")
}

const PREFLIGHT_VARY: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

#[test]
fn origins_that_are_listed_may_read_answers_and_send_what_is_listed() {
    let server = serve(|host| {
        let routes = Router::new()
            .get(
                "/",
                respond(|_, response| {
                    response
                        .set_header("Vary", "Accept")
                        .set_header("Access-Control-Allow-Origin", "*")
                        .end("text");
                }),
            )
            .get("/panic", |_: &mut Request, _: &mut Response| {
                panic!("on purpose")
            });
        host.add(routes).middleware(
            Cors::new()
                .origin("https://a.example")
                .origin("null")
                .methods(&["PUT", "DELETE"])
                .headers(&["X-Token", "Content-Type"])
                .expose(&["X-Total"])
                .credentials()
                .max_age(std::time::Duration::from_secs(600)),
        )
    });
    let mut client = Client::connect(server.address);
    let allowed =
        "Allow-Credentials: true; Allow-Origin: https://a.example; Expose-Headers: X-Total";
    for (target, origin, fields) in [
        ("/", Some("https://a.example"), allowed),
        // Also what went wrong can be read.
        ("/nowhere", Some("https://a.example"), allowed),
        ("/panic", Some("https://a.example"), allowed),
        (
            "/",
            Some("null"),
            "Allow-Credentials: true; Allow-Origin: null; Expose-Headers: X-Total",
        ),
        ("/", Some("https://b.example"), ""),
        ("/", Some("http://a.example"), ""),
        ("/", Some("https://a.example.evil.example"), ""),
        ("/", Some("https://a.example:8443"), ""),
        ("/", Some("HTTPS://A.EXAMPLE"), ""),
        ("/", None, ""),
    ] {
        let origin: Vec<_> = origin
            .map(|origin| ("Origin", origin))
            .into_iter()
            .collect();
        let response = client.request("GET", target, &origin);
        assert_eq!(
            fields_with(&response, "Access-Control-"),
            fields,
            "{target} {origin:?}"
        );
        let expected = if target == "/" {
            "Accept, Origin"
        } else {
            "Origin"
        };
        assert_eq!(vary(&response), expected, "{target} {origin:?}");
    }
    let twice = [
        ("Origin", "https://a.example"),
        ("Origin", "https://b.example"),
    ];
    assert_eq!(
        fields_with(&client.request("GET", "/", &twice), "Access-Control-"),
        ""
    );

    // A preflight needs no route, and says nothing to those who are not let.
    for (origin, fields) in [
        (
            "https://a.example",
            "Allow-Credentials: true; Allow-Headers: X-Token, Content-Type; Allow-Methods: PUT, DELETE; \
             Allow-Origin: https://a.example; Max-Age: 600",
        ),
        ("https://b.example", ""),
    ] {
        let asked = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "x-token"),
        ];
        let response = client.request("OPTIONS", "/nowhere", &asked);
        assert_eq!((response.status, response.body.len()), (204, 0));
        assert_eq!(fields_with(&response, "Access-Control-"), fields);
        assert_eq!(vary(&response), PREFLIGHT_VARY);
    }
    // Without a method that is asked for it is an OPTIONS like any other.
    let response = client.request("OPTIONS", "/", &[("Origin", "https://a.example")]);
    assert_eq!(
        (response.status, response.field("Allow")),
        (204, Some("GET, HEAD, OPTIONS"))
    );
    assert_eq!(fields_with(&response, "Access-Control-"), allowed);
}

#[test]
fn every_origin_may_read_what_is_for_everybody() {
    let server = serve(|host| {
        host.middleware(Cors::new().any_origin().any_header())
            .add(Router::new().get("/", say("text")))
    });
    let mut client = Client::connect(server.address);
    for origin in [
        &[][..],
        &[("Origin", "https://a.example")],
        &[("Origin", "null")],
    ] {
        let response = client.request("GET", "/", origin);
        // The same for all, so that a cache may hand it to anybody.
        assert_eq!(fields_with(&response, "Access-Control-"), "Allow-Origin: *");
        assert_eq!(vary(&response), "");
    }
    let response = client.request(
        "OPTIONS",
        "/",
        &[
            ("Origin", "https://a.example"),
            ("Access-Control-Request-Method", "GET"),
            (
                "Access-Control-Request-Headers",
                "authorization,x-b, \"no token\"",
            ),
        ],
    );
    assert_eq!(response.status, 204);
    assert_eq!(
        fields_with(&response, "Access-Control-"),
        "Allow-Headers: authorization, x-b; Allow-Origin: *"
    );
    assert_eq!(
        vary(&response),
        "Access-Control-Request-Method, Access-Control-Request-Headers"
    );
}

#[test]
fn a_preflight_is_answered_before_a_password_is_asked_for() {
    let server = serve(|host| {
        host.middleware(Cors::new().origin("https://a.example"))
            .middleware(BasicAuth::new("realm").user("ann", "secret"))
            .add(say("text"))
    });
    let mut client = Client::connect(server.address);
    let origin = ("Origin", "https://a.example");
    let asked = [origin, ("Access-Control-Request-Method", "GET")];
    assert_eq!(client.request("OPTIONS", "/", &asked).status, 204);
    let response = client.request("GET", "/", &[origin]);
    assert_eq!(response.status, 401);
    let allowed = response.field("Access-Control-Allow-Origin");
    assert_eq!(
        allowed,
        Some("https://a.example"),
        "the script may see the 401"
    );
}

#[test]
fn every_answer_is_made_strict_and_what_a_responder_set_is_kept() {
    let server = TestServer::start(|host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, echo));
        let routes = Router::new()
            .get("/", say("text"))
            .get(
                "/own",
                respond(|_, response| {
                    response
                        .set_header("X-Frame-Options", "DENY")
                        .set_header("content-security-policy", "default-src 'none'")
                        .set_header("Referrer-Policy", "no-referrer")
                        .end("text");
                }),
            )
            .get("/ws", endpoint);
        let strict = Router::new().get("/strict", say("text")).middleware(
            SecurityHeaders::new()
                .content_security_policy("default-src 'self'")
                .framing(Framing::Nobody)
                .set("Permissions-Policy", "camera=()")
                .set("X-Content-Type-Options", "nosniff")
                .without("cross-origin-resource-policy")
                .https_only(std::time::Duration::from_secs(1000)),
        );
        let host = host.add(routes).add(strict);
        Server::new().host(host.middleware(SecurityHeaders::default()))
    });
    let mut client = Client::connect(server.address);
    let defaults = [
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "strict-origin-when-cross-origin"),
        ("X-Frame-Options", "SAMEORIGIN"),
        ("Content-Security-Policy", "frame-ancestors 'self'"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ];
    for target in ["/", "/nowhere"] {
        let response = client.get(target);
        for (name, value) in defaults {
            assert_eq!(response.field(name), Some(value), "{target}");
        }
        assert_eq!(response.field("Strict-Transport-Security"), None);
        assert_eq!(response.field("Permissions-Policy"), None);
    }
    let response = client.get("/own");
    assert_eq!(response.field("X-Frame-Options"), Some("DENY"));
    assert_eq!(
        response.field("Content-Security-Policy"),
        Some("default-src 'none'")
    );
    assert_eq!(response.field("Referrer-Policy"), Some("no-referrer"));
    assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
    // The router's own come first, so they are what the host's find.
    let response = client.get("/strict");
    assert_eq!(
        response.field("Content-Security-Policy"),
        Some("default-src 'self'; frame-ancestors 'none'")
    );
    assert_eq!(response.field("X-Frame-Options"), Some("DENY"));
    assert_eq!(response.field("Permissions-Policy"), Some("camera=()"));
    assert_eq!(
        response.field("Strict-Transport-Security"),
        None,
        "not encrypted"
    );
    client.send_raw(handshake("/ws"));
    let response = client.read_response_head();
    assert_eq!(
        (response.status, response.field("X-Frame-Options")),
        (101, None)
    );
}

#[test]
fn who_knows_no_password_is_asked_for_one() {
    let greet = || {
        respond(|request, response| {
            let user = BasicAuth::user_of(request).unwrap_or("nobody");
            response.end(user.to_owned());
        })
    };
    let server = TestServer::start(move |host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, echo));
        let listed = Router::new()
            .get("/listed", greet())
            .get("/ws", endpoint)
            .middleware(
                BasicAuth::new("the \"cellar\"")
                    .user("ann", "sesame")
                    .user("bob", "b:c")
                    .user("J\u{fc}rgen", ""),
            );
        let asked = Router::new()
            .get("/asked", greet())
            .middleware(BasicAuth::verify("attic", |user, password| {
                password.strip_prefix("hash of ") == Some(user)
            }));
        let nobody = Router::new()
            .get("/closed", greet())
            .middleware(BasicAuth::new("closed"));
        Server::new().host(host.add(listed).add(asked).add(nobody).add(greet()))
    });
    let mut client = Client::connect(server.address);
    // Encoded with another tool.
    for (target, credentials, user) in [
        ("/listed", "Basic YW5uOnNlc2FtZQ==", "ann"),
        ("/listed", "bAsIc YW5uOnNlc2FtZQ==", "ann"),
        ("/listed", "Basic Ym9iOmI6Yw==", "bob"),
        ("/listed", "Basic SsO8cmdlbjo=", "J\u{fc}rgen"),
        ("/asked", "Basic YW5uOmhhc2ggb2YgYW5u", "ann"),
        ("/open", "Basic YW5uOnNlc2FtZQ==", "nobody"),
    ] {
        let response = client.request("GET", target, &[("Authorization", credentials)]);
        assert_eq!(
            (response.status, text(&response)),
            (200, user),
            "{credentials}"
        );
    }
    for (target, credentials) in [
        ("/listed", "Basic YW5uOlNlc2FtZQ=="), // ann:Sesame
        ("/listed", "Basic YW5uOnNlc2FtZTA="), // ann:sesame0
        ("/listed", "Basic YW5uOg=="),         // ann:
        ("/listed", "Basic Ym9iOnNlc2FtZQ=="), // bob:sesame
        ("/listed", "Basic ZXZlOnNlc2FtZQ=="), // eve:sesame
        ("/listed", "Basic Og=="),             // :
        ("/listed", "Basic YW5u"),             // ann
        ("/listed", "Basic YW5uOnNlc2FtZQ"),   // not padded
        ("/listed", "Basic *"),
        ("/listed", "Basic"),
        ("/listed", "Bearer YW5uOnNlc2FtZQ=="),
        ("/asked", "Basic YW5uOnNlc2FtZQ=="),
        ("/closed", "Basic Og=="),
    ] {
        let response = client.request("GET", target, &[("Authorization", credentials)]);
        assert_eq!(response.status, 401, "{target} {credentials}");
        assert!(!text(&response).contains("ann"), "{credentials}");
    }
    let response = client.get("/listed");
    assert_eq!(response.status, 401);
    assert_eq!(
        response.field("WWW-Authenticate"),
        Some("Basic realm=\"the \\\"cellar\\\"\", charset=\"UTF-8\"")
    );
    // A handshake passes the same door.
    client.send_raw(handshake("/ws"));
    assert_eq!(client.read_response().status, 401);
    client.send_raw(handshake_with(
        "/ws",
        "Authorization: Basic YW5uOnNlc2FtZQ==\r\n",
    ));
    assert_eq!(client.read_response_head().status, 101);
}
