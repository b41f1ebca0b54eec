//! All routes of a router: what matches a request, and what is answered where nothing does.

use crate::app::handler::{Responder, is_answered};
use crate::http::{Method, Request, Response, StatusCode};

use super::pattern::{Found, Pattern};

/// All routes, without what they lead to.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<(Method, Pattern)>,
}

impl Table {
    /// Asks the routes that match until one starts the response.
    pub(super) fn ask(
        &self,
        responders: &mut [Box<dyn Responder>],
        request: &mut Request,
        response: &mut Response,
    ) {
        let mut next = 0;
        while let Some((index, found)) = self.find(next, request.method(), request.path()) {
            match found {
                Found::Canonical(captures) => {
                    request.set_captures(captures);
                    responders[index].respond(request, response);
                }
                Found::WithSlash => redirect_to_canonical(request, response),
            }
            if is_answered(request, response) {
                return;
            }
            next = index + 1;
        }
        request.set_captures(Vec::new());
        // Routes that matched and kept silent leave the request to the next responder.
        if next == 0 {
            self.answer_unknown_method(request, response);
        }
    }

    /// Whether it is this router's to answer, whatever the method.
    pub(super) fn is_for(&self, request: &Request) -> bool {
        if request.is_for_whole_server() {
            return request.method() == Method::OPTIONS && !self.entries.is_empty();
        }
        let mut patterns = self.entries.iter().map(|(_, pattern)| pattern);
        patterns.any(|pattern| pattern.find(request.path()).is_some())
    }

    /// The answer where the path is known, but not for this method; silence where it is not.
    fn answer_unknown_method(&self, request: &Request, response: &mut Response) {
        let is_options = request.method() == Method::OPTIONS;
        if request.is_for_whole_server() {
            if is_options && !self.entries.is_empty() {
                let allow = self.allow(None);
                response
                    .set_status(StatusCode::OK)
                    .set_header("Allow", allow);
            }
            return;
        }
        let allow = self.allow(Some(request.path()));
        if allow.is_empty() {
            return;
        }
        if is_options {
            response.set_status(StatusCode::NO_CONTENT);
        } else {
            response.end_with_error(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path has no such method",
            );
            if !is_standard(request.method()) {
                // More likely garbage than HTTP: nothing good will follow.
                response.set_header("Connection", "close");
            }
        }
        response.set_header("Allow", allow);
    }

    /// The first route at or behind the index `from` that is for this method and path.
    #[inline]
    pub(super) fn find(&self, from: usize, method: &Method, path: &str) -> Option<(usize, Found)> {
        let entries = self.entries.iter().enumerate().skip(from);
        entries
            .filter(|(_, (own, _))| own == method || (own == Method::GET && method == Method::HEAD))
            .find_map(|(index, (_, pattern))| pattern.find(path).map(|found| (index, found)))
    }

    /// The methods of the routes that have this path (of all routes without one), as `Allow`
    /// lists them; empty if there are none.
    fn allow(&self, path: Option<&str>) -> String {
        let mut methods: Vec<&str> = Vec::new();
        for (method, pattern) in &self.entries {
            if path.is_none_or(|path| pattern.find(path).is_some()) {
                methods.push(method.as_str());
                if method == Method::GET {
                    methods.push("HEAD");
                }
            }
        }
        if methods.is_empty() {
            return String::new();
        }
        // Answered by the router, if by nobody else.
        methods.push("OPTIONS");
        let mut allow = String::new();
        for (index, method) in methods.iter().enumerate() {
            if !methods[..index].contains(method) {
                let separator = if allow.is_empty() { "" } else { ", " };
                allow.push_str(separator);
                allow.push_str(method);
            }
        }
        allow
    }
}

/// Whether RFC 9110 section 9.3 or RFC 5789 defines the method.
fn is_standard(method: &Method) -> bool {
    let standard = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    standard.contains(method)
}

/// To the path without its last slash, with the query.
fn redirect_to_canonical(request: &Request, response: &mut Response) {
    let path = request.path();
    let location = request.with_query(path.strip_suffix('/').unwrap_or(path));
    // That the path does not begin with two slashes is known: no pattern matches an empty first
    // segment.
    response.redirect(StatusCode::PERMANENT_REDIRECT, location);
}
