//! What a responder can say with fields: cookies and redirects.

use std::time::Duration;

use aerys::{Config, Cookie, Request, Response, SameSite};

use crate::client::{Client, HttpResponse};
use crate::support::TestServer;

/// All values of a field, in order.
fn values<'r>(response: &'r HttpResponse, name: &str) -> Vec<&'r str> {
    let fields = response.fields.iter();
    let fields = fields.filter(|(other, _)| other.eq_ignore_ascii_case(name));
    fields.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn cookies_are_set_read_and_removed_and_bad_ones_are_a_500() {
    let server = TestServer::http(
        Config::default(),
        |request: &mut Request, response: &mut Response| {
            match request.path() {
                "/set" => {
                    let session = Cookie::new("__Host-session", "31d4d96e")
                        .path("/")
                        .secure()
                        .http_only()
                        .same_site(SameSite::Strict)
                        .partitioned();
                    let theme = Cookie::new("theme", "\"dark\"")
                        .domain("example.com")
                        .max_age(Duration::from_secs(3600));
                    response.set_cookie(session).set_cookie(theme);
                }
                "/remove" => {
                    let gone = Cookie::removal("__Host-session").path("/").secure();
                    response.set_cookie(gone);
                }
                "/splitting" => {
                    response.set_cookie(Cookie::new("a", "b\r\nX-Injected: yes"));
                }
                "/prefix" => {
                    response.set_cookie(Cookie::new("__Host-a", "b").secure());
                }
                _ => {}
            }
            let session = request.cookie("__Host-session").unwrap_or("none");
            response.end(session.to_owned());
        },
    );
    let mut client = Client::connect(server.address);
    let response = client.get("/set");
    assert_eq!(
        values(&response, "Set-Cookie"),
        [
            "__Host-session=31d4d96e; Path=/; Secure; HttpOnly; Partitioned; SameSite=Strict",
            "theme=\"dark\"; Max-Age=3600; Domain=example.com",
        ]
    );
    let cookies = [("Cookie", "theme=\"dark\"; __Host-session=31d4d96e")];
    assert_eq!(client.request("GET", "/", &cookies).body, b"31d4d96e");
    assert_eq!(
        values(&client.get("/remove"), "Set-Cookie"),
        ["__Host-session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; Secure"]
    );
    for path in ["/splitting", "/prefix"] {
        let response = client.get(path);
        assert_eq!(response.status, 500, "{path}");
        for field in ["Set-Cookie", "X-Injected"] {
            assert_eq!(response.field(field), None, "{path}");
        }
    }
}

#[test]
fn redirects_of_all_statuses_have_one_safe_location() {
    let server = TestServer::http(
        Config::default(),
        |request: &mut Request, response: &mut Response| {
            let status: u16 = request
                .param("status")
                .and_then(|status| status.parse().ok())
                .unwrap_or(302);
            response.redirect(status, request.param("to").unwrap_or_default());
        },
    );
    let mut client = Client::connect(server.address);
    for status in [301, 302, 303, 307, 308] {
        let response = client.get(&format!("/?status={status}&to=/a%3Fb%3Dc"));
        assert_eq!(
            (response.status, response.field("Location")),
            (status, Some("/a?b=c"))
        );
        assert!(response.body.is_empty());
    }
    for (to, location) in [
        ("%2F%5Cevil.example", "/%5Cevil.example"),
        ("/a+b%22%C3%A4", "/a%20b%22%C3%A4"),
        ("/%09/evil.example", "/%09/evil.example"),
        ("https://a.example/%2525", "https://a.example/%25"),
    ] {
        assert_eq!(
            client.get(&format!("/?to={to}")).field("Location"),
            Some(location)
        );
    }
    for query in [
        "to=/%0D%0AX-Injected:1",
        "to=/%0AX-Injected:1",
        "to=/%00",
        "status=200&to=/",
        "status=304&to=/",
        "status=300&to=/",
        "status=99&to=/",
    ] {
        let response = client.get(&format!("/?{query}"));
        assert_eq!(response.status, 500, "{query}");
        for field in ["Location", "X-Injected"] {
            assert_eq!(response.field(field), None, "{query}");
        }
    }
}
