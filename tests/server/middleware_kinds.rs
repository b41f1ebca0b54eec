//! The middleware that there is: ids of requests, CORS, strict browsers, passwords.

use aerys::middleware::{BasicAuth, Cors, Framing, RequestId, SecurityHeaders};
use aerys::{
    Request, Response, ResponseCompression, ResponseStream, Router, Server, respond, websocket,
};
use std::time::Duration;

use crate::client::{Client, HttpResponse, handshake, handshake_with};
use crate::middleware::{say, serve, text};
use crate::support::{Recorder, TestServer, echo};

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

#[test]
fn answers_are_compressed_for_who_takes_gzip_and_pieces_are_left_alone() {
    let long = "what can be said twice ".repeat(200);
    let answer = long.clone();
    let server = serve(move |host| {
        let router = Router::new()
            .get(
                "/long",
                respond(move |_, response| _ = response.end(&*answer)),
            )
            .get("/short", say("short"))
            .get(
                "/pieces",
                respond(|_, response| {
                    let stream = response.stream();
                    stream.send("x".repeat(10_000)).expect("it is open");
                    stream.after(Duration::from_millis(1), ResponseStream::end);
                }),
            );
        host.add(router).middleware(ResponseCompression::default())
    });
    let mut client = Client::connect(server.address);
    let takes = &[("Accept-Encoding", "br, gzip;q=0.5")][..];
    let response = client.request("GET", "/long", takes);
    assert_eq!(response.field("content-encoding"), Some("gzip"));
    assert_eq!(response.field("vary"), Some("Accept-Encoding"));
    assert!(response.body.starts_with(&[0x1f, 0x8b, 8]) && response.body.len() < 200);
    // Behind a head of ten bytes, and in front of a checksum and the length (RFC 1952).
    let deflated = &response.body[10..response.body.len() - 8];
    let inflated = miniz_oxide::inflate::decompress_to_vec(deflated).expect("deflated");
    assert!(inflated == long.as_bytes());
    let head = client.request("HEAD", "/long", takes);
    assert_eq!(
        head.field("content-length"),
        response.field("content-length")
    );
    for fields in [&[][..], &[("Accept-Encoding", "gzip;q=0, *;q=0")]] {
        let response = client.request("GET", "/long", fields);
        assert_eq!(response.field("content-encoding"), None);
        assert_eq!(response.field("vary"), Some("Accept-Encoding"));
        assert!(response.body == long.as_bytes());
    }
    let response = client.request("GET", "/short", takes);
    assert_eq!(
        (response.field("content-encoding"), response.field("vary")),
        (None, None)
    );
    client.send_raw("GET /pieces HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(client.read_response_head().field("content-encoding"), None);
    assert_eq!(client.read_chunk().len(), 10_000);
}
