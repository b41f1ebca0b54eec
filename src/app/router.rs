//! Method and path to a responder, with what the path captured; 405, OPTIONS and the redirect
//! of an optional slash.
//!
//! Deciding is separate: [`Table`] finds what matches and asks it. How paths are compared is
//! `pattern.rs`.

use std::any::Any;
use std::fmt;
use std::rc::Rc;

use crate::app::handler::Responder;
use crate::app::middleware::{Layers, Middleware, ask_within};
use crate::app::websocket::AnyApplication;
use crate::http::{BodyPlan, Method, Request, Response};
use crate::panics::bury;

pub(crate) mod pattern;
mod table;

use pattern::Pattern;
use table::Table;

/// Sends requests to responders by method and path.
///
/// Routes are tried in the order they were added, and those that match are asked until one
/// starts the response. HEAD is answered by a GET route. If the path has routes, but none for
/// the method, the answer is 405 with `Allow`, or to OPTIONS 204. Without any match the router
/// stays silent and the host asks its next responder.
///
/// A pattern begins with a slash. Its segments are compared with those of the path after
/// percent-decoding, each on its own: an encoded slash is part of a segment.
///
/// | in a pattern | matches |
/// |---|---|
/// | `name` | itself |
/// | `{name}` | one segment that is not empty; read it with [`Request::capture`] |
/// | `{name:digits}` | one of ASCII digits; `hex`: of hexadecimal ones; `slug`: of ASCII letters, digits, `-` and `_`; `any` is as without |
/// | `[/name/{name}]` at the end | that, or nothing; it may have an optional end of its own |
/// | `{*name}` at the end | the rest of the path, slashes included; it may be empty |
/// | `/?` at the end | the path without the slash; with it the answer is a 308 to that |
///
/// ```
/// use aerys::{Request, Response, Router};
/// let router = Router::new()
///     .get("/users/{id}/?", |request: &mut Request, response: &mut Response| {
///         response.end(format!("user {}", request.capture("id").unwrap_or_default()));
///     })
///     .route("PUT", "/files/{*path}", |_: &mut Request, response: &mut Response| {
///         response.set_status(204);
///     })
///     .prefix("/api");
/// ```
#[derive(Default)]
pub struct Router {
    table: Table,
    /// One for each entry of `table`.
    responders: Vec<Box<dyn Responder>>,
    middleware: Layers,
}

impl Router {
    /// No routes: silent to every request.
    #[must_use]
    pub fn new() -> Self {
        Self {
            table: Table {
                entries: Vec::new(),
            },
            responders: Vec::new(),
            middleware: Layers::default(),
        }
    }

    /// Adds a route for GET, which answers HEAD too.
    ///
    /// # Panics
    ///
    /// If `path` is no pattern: see [`Router`].
    #[must_use]
    pub fn get(self, path: &str, responder: impl Responder + 'static) -> Self {
        self.route(Method::GET, path, responder)
    }

    /// Adds a route for POST.
    ///
    /// # Panics
    ///
    /// If `path` is no pattern: see [`Router`].
    #[must_use]
    pub fn post(self, path: &str, responder: impl Responder + 'static) -> Self {
        self.route(Method::POST, path, responder)
    }

    /// Adds a route for any method: `"PUT"` or `Method::PUT`.
    ///
    /// # Panics
    ///
    /// If `path` is no pattern, see [`Router`], or `method` is no token.
    #[must_use]
    pub fn route(
        mut self,
        method: impl AsRef<str>,
        path: &str,
        responder: impl Responder + 'static,
    ) -> Self {
        let method = method.as_ref();
        let Ok(method) = Method::from_bytes(method.as_bytes()) else {
            panic!("the method {method:?} is no token");
        };
        let pattern = match Pattern::parse(path) {
            Ok(pattern) => pattern,
            Err(reason) => panic!("the path {path:?} is no pattern: {reason}"),
        };
        self.table.entries.push((method, pattern));
        self.responders.push(Box::new(responder));
        self
    }

    /// Puts `prefix` in front of all routes that were added so far: `/api`, also with
    /// `{name}` in it. Of the route `/` it makes `/api/`, of `/?` it makes `/api/?`.
    ///
    /// # Panics
    ///
    /// If `prefix` does not begin with a slash, ends with one, or has a `{*name}` or `[tail]`; if a route
    /// captures a name that the prefix captures too.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        let before = match Pattern::parse(prefix) {
            Ok(pattern) if pattern.is_prefix() => pattern,
            Ok(_) => {
                panic!("the prefix {prefix:?} must not end with a slash, {{*name}} or [tail]")
            }
            Err(reason) => panic!("the prefix {prefix:?} is no pattern: {reason}"),
        };
        for (_, pattern) in &mut self.table.entries {
            pattern.prepend(&before);
            if let Err(reason) = pattern.check_names() {
                panic!("the prefix {prefix:?} does not go with the route {pattern}: {reason}");
            }
        }
        self
    }

    /// Adds a middleware for all routes of this router, whenever they are added: it sees each request
    /// whose path one of them has, with any method, so what is answered 405 too. Where all of them
    /// keep silent it sees a response that nobody started yet. See [`Middleware`] for the order.
    ///
    /// It does not know what the path captures before a route is asked.
    #[must_use]
    pub fn middleware(self, middleware: impl Middleware) -> Self {
        self.middleware.push(middleware);
        self
    }
}

impl Responder for Router {
    fn respond(&mut self, request: &mut Request, response: &mut Response) {
        let Self {
            table,
            responders,
            middleware,
        } = self;
        if middleware.is_empty() {
            table.ask(responders, request, response);
        } else if table.is_for(request) {
            ask_within(
                middleware,
                responders,
                request,
                response,
                |responders, request, response| {
                    table.ask(responders, request, response);
                },
            );
        }
    }

    fn visit_endpoints(&self, visit: &mut dyn FnMut(&dyn Any)) {
        let entries = self.table.entries.iter();
        for ((_, pattern), responder) in entries.zip(&self.responders) {
            responder.visit_endpoints(&mut |inside| {
                if let Some(endpoint) = inside.downcast_ref::<Rc<dyn AnyApplication>>() {
                    endpoint.state().mount(pattern);
                }
                visit(inside);
            });
        }
    }

    /// That of the first route for the request: it is the one that answers, unless it keeps silent.
    fn body_plan(&self, request: &Request) -> Option<BodyPlan> {
        let (index, _) = self.table.find(0, request.method(), request.path())?;
        let plan = self.responders[index].body_plan(request);
        Some(plan.unwrap_or_default())
    }
}

/// A responder may panic when it is dropped, and two that do at once would end the process.
impl Drop for Router {
    fn drop(&mut self) {
        self.responders.drain(..).for_each(bury);
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self
            .table
            .entries
            .iter()
            .map(|(method, pattern)| format!("{method} {pattern}"));
        f.debug_list().entries(routes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A responder that answers with `text` and what was captured as `name`.
    fn say(text: &'static str) -> impl Responder {
        move |request: &mut Request, response: &mut Response| {
            response.end(format!(
                "{text}{}",
                request.capture("name").unwrap_or_default()
            ));
        }
    }

    /// A responder that leaves the request to the next.
    fn keep_silent(_: &mut Request, _: &mut Response) {}

    /// Status, body, `Allow` and `Location` of the answer, or silence.
    fn ask(router: &mut Router, method: &str, target: &str) -> String {
        let (mut request, mut response) = (Request::for_test(method, target, &[]), Response::new());
        router.respond(&mut request, &mut response);
        if !response.is_started() {
            assert!(response.headers().is_empty() && request.capture("name").is_none());
            return "silence".to_owned();
        }
        let body = response.content().as_bytes().unwrap().escape_ascii();
        let field = |name: &str| {
            response
                .headers()
                .get_str(name)
                .map(|value| format!(" {value}"))
                .unwrap_or_default()
        };
        format!(
            "{}{}{} {body}",
            response.status().as_u16(),
            field("allow"),
            field("location")
        )
        .trim()
        .to_owned()
    }

    #[test]
    #[should_panic(expected = "the path \"users\" is no pattern: it must begin with a slash")]
    fn a_bad_path_panics_with_a_reason() {
        let _ = Router::new().get("users", say("x"));
    }

    #[test]
    #[should_panic(expected = "must not end with a slash")]
    fn a_bad_prefix_panics_with_a_reason() {
        let _ = Router::new().prefix("/api/");
    }

    #[test]
    fn kinds_and_optional_tails_choose_between_routes_also_below_a_prefix() {
        let mut router = Router::new()
            .get("/users[/{name:digits}]", say("by number "))
            .get("/users/{name:slug}[/{*more}]", say("by name "))
            .post("/users", say("new"))
            .prefix("/api/{version:digits}");
        for (target, expected) in [
            ("/api/1/users", "200 by number"),
            ("/api/1/users/7", "200 by number 7"),
            ("/api/1/users/ann", "200 by name ann"),
            ("/api/1/users/ann/a/b", "200 by name ann"),
            ("/api/1/users/a.b", "silence"),
            ("/api/x/users", "silence"),
            ("/api/1", "silence"),
        ] {
            assert_eq!(ask(&mut router, "GET", target), expected, "{target}");
        }
        let refused = ask(&mut router, "PUT", "/api/1/users");
        assert!(
            refused.starts_with("405 GET, HEAD, POST, OPTIONS"),
            "{refused}"
        );
        assert_eq!(
            format!("{router:?}"),
            "[\"GET /api/{version:digits}/users[/{name:digits}]\", \
             \"GET /api/{version:digits}/users/{name:slug}[/{*more}]\", \
             \"POST /api/{version:digits}/users\"]"
        );
    }

    #[test]
    fn routes_below_a_prefix_capture_and_redirect() {
        let mut router = Router::new()
            .get("/{name}/{age}/?", say(""))
            .prefix("/dev")
            .get("/later", say("l"));
        assert_eq!(
            ask(&mut router, "GET", "/dev/bob/19/?x=1"),
            "308 /dev/bob/19?x=1"
        );
        assert_eq!(ask(&mut router, "GET", "/dev/bob/19?x=1"), "200 bob");
        assert!(
            ask(&mut router, "POST", "/dev/bob/19")
                .starts_with("405 GET, HEAD, OPTIONS 405 Method Not Allowed")
        );
        assert_eq!(ask(&mut router, "GET", "/bob/19"), "silence");
        assert_eq!(ask(&mut router, "GET", "/later"), "200 l");
        assert_eq!(ask(&mut router, "GET", "/nope"), "silence");
        let mut router = Router::new()
            .get("/?", say("r"))
            .get("/", say("s"))
            .prefix("/{name}");
        assert_eq!(ask(&mut router, "GET", "/a"), "200 ra");
        assert_eq!(ask(&mut router, "GET", "/a/"), "308 /a");
    }

    #[test]
    fn the_routes_of_a_path_are_asked_until_one_starts() {
        let mut router = Router::new()
            .get("/{name}", keep_silent)
            .get("/a", say("first"))
            .get("/a", say("second"))
            .get("/{name}", say("other "));
        assert_eq!(ask(&mut router, "GET", "/a"), "200 first");
        assert_eq!(ask(&mut router, "GET", "/b"), "200 other b");
        let mut router = Router::new().get("/{name}", keep_silent);
        assert_eq!(ask(&mut router, "GET", "/a"), "silence");
    }

    #[test]
    fn head_is_answered_by_get_and_only_by_get() {
        let mut router = Router::new()
            .post("/p", say("post"))
            .get("/g", say("get"))
            .route("HEAD", "/h", say("head"));
        assert_eq!(ask(&mut router, "HEAD", "/g"), "200 get");
        assert_eq!(ask(&mut router, "HEAD", "/h"), "200 head");
        assert!(ask(&mut router, "HEAD", "/p").starts_with("405 POST, OPTIONS"));
        assert!(ask(&mut router, "GET", "/h").starts_with("405 HEAD, OPTIONS"));
        assert!(ask(&mut router, "ZZZ", "/g").starts_with("405 GET, HEAD, OPTIONS"));
        assert!(
            ask(&mut router, "get", "/g").starts_with("405"),
            "methods are case-sensitive"
        );
    }

    #[test]
    fn options_tells_what_is_allowed() {
        let mut router = Router::new()
            .get("/a", say(""))
            .post("/a", say(""))
            .post("/b", say(""))
            .route("OPTIONS", "/c", say("own"));
        assert_eq!(
            ask(&mut router, "OPTIONS", "/a"),
            "204 GET, HEAD, POST, OPTIONS"
        );
        assert_eq!(ask(&mut router, "OPTIONS", "/c"), "200 own");
        assert_eq!(
            ask(&mut router, "OPTIONS", "*"),
            "200 GET, HEAD, POST, OPTIONS"
        );
        assert_eq!(ask(&mut router, "OPTIONS", "/d"), "silence");
        assert_eq!(ask(&mut Router::new(), "OPTIONS", "*"), "silence");
    }

    #[test]
    fn a_redirect_never_leaves_the_server() {
        let mut router = Router::new()
            .get("/{a}/?", say(""))
            .get("/{a}/{b}/?", say(""));
        assert_eq!(ask(&mut router, "GET", "//evil.example/"), "silence");
        assert_eq!(
            ask(&mut router, "GET", "/\\evil.example/"),
            "308 /%5Cevil.example"
        );
        assert_eq!(
            ask(&mut router, "GET", "/%0d%0aX-Injected:1/"),
            "308 /%0d%0aX-Injected:1"
        );
        assert_eq!(
            ask(&mut router, "GET", "http://other.example/a/?q"),
            "308 /a?q"
        );
    }

    #[test]
    fn endpoints_behind_routes_are_found() {
        struct Marker(u8);
        impl Responder for Marker {
            fn respond(&mut self, _: &mut Request, _: &mut Response) {}
            fn visit_endpoints(&self, visit: &mut dyn FnMut(&dyn Any)) {
                visit(&self.0);
            }
        }
        let router = Router::new()
            .get("/a", Marker(1))
            .get("/b", say(""))
            .post("/c", Marker(2));
        let mut seen: Vec<u8> = Vec::new();
        router.visit_endpoints(&mut |endpoint| seen.extend(endpoint.downcast_ref::<u8>()));
        assert_eq!(seen, [1, 2]);
    }

    #[test]
    fn the_routes_can_be_printed() {
        let router = Router::new()
            .get("/a/{b}/?", say(""))
            .route(Method::PUT, "/{*c}", say(""))
            .prefix("/p");
        assert_eq!(
            format!("{router:?}"),
            r#"["GET /p/a/{b}/?", "PUT /p/{*c}"]"#
        );
    }
}
