//! The Basic scheme: a user and a password with every request (RFC 7617).

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;
use subtle::{Choice, ConstantTimeEq as _};

use crate::app::middleware::Middleware;
use crate::http::{Request, Response, StatusCode};

/// Lets in who knows a user's password, and answers 401 to everyone else (RFC 7617). The name of the
/// user is there for responders with [`BasicAuth::user_of`].
///
/// The password comes with every request and can be read where the connection is not encrypted.
/// Nothing of it is ever logged. Browsers send no password with the preflight of a request to another
/// origin: add [`Cors`](crate::middleware::Cors) before this. A body that is taken as a whole is read
/// before anybody is asked, up to its limit; one taken [in pieces](crate::upload) is not.
///
/// ```
/// use aerys::{Host, middleware::BasicAuth, respond};
/// let host = Host::new()
///     .middleware(BasicAuth::new("the cellar").user("ann", "correct horse"))
///     .add(respond(|request, response| {
///         let user = BasicAuth::user_of(request).unwrap_or_default();
///         response.end(format!("hello {user}"));
///     }));
/// ```
pub struct BasicAuth {
    /// The value of `WWW-Authenticate`.
    challenge: String,
    check: Check,
}

/// Judges a name and a password.
type Verify = dyn FnMut(&str, &str) -> bool;

enum Check {
    Users(Vec<User>),
    Verify(Box<Verify>),
}

/// Digests, since those are of one length: how long a comparison takes tells nothing of the length
/// of a password. That they are SHA-1's does no harm: to be let in by another text, one would need a
/// second one for a digest that nobody is told.
struct User {
    name: [u8; 20],
    password: [u8; 20],
}

/// Who was let in, as it lies in the request.
#[derive(Clone)]
struct AuthenticatedUser(Arc<str>);

impl BasicAuth {
    /// Lets nobody in yet. Users are shown the realm when they are asked who they are.
    ///
    /// # Panics
    ///
    /// If `realm` has other characters than those of ASCII that are printed.
    #[must_use]
    pub fn new(realm: &str) -> Self {
        Self {
            challenge: challenge(realm),
            check: Check::Users(Vec::new()),
        }
    }

    /// Lets this user in with this password. Who comes with a wrong name is answered in the same time
    /// as who comes with a wrong password; it grows with the number of users.
    ///
    /// # Panics
    ///
    /// If the name has a colon, or one of the two a control character: no client could send it. If
    /// it was made [with a closure](Self::verify).
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        assert!(
            !name.contains(':') && !has_control(name) && !has_control(password),
            "a name with a colon, or a control character in it or its password, cannot be sent"
        );
        let Check::Users(users) = &mut self.check else {
            panic!("it asks a closure who is let in");
        };
        users.push(User {
            name: digest(name),
            password: digest(password),
        });
        self
    }

    /// Lets in whom `verify` lets in, which is called with name and password: for passwords that
    /// are kept as hashes. It runs on the loop's thread: while a slow hash is computed, nobody is
    /// served. That an unknown name takes as long as a known one is up to it.
    ///
    /// # Panics
    ///
    /// If `realm` has other characters than those of ASCII that are printed.
    #[must_use]
    pub fn verify(realm: &str, verify: impl FnMut(&str, &str) -> bool + 'static) -> Self {
        Self {
            challenge: challenge(realm),
            check: Check::Verify(Box::new(verify)),
        }
    }

    /// The name of the user who was let in with `request`; `None` if no `BasicAuth` has seen it.
    #[must_use]
    pub fn user_of(request: &Request) -> Option<&str> {
        request.get::<AuthenticatedUser>().map(|user| &*user.0)
    }
}

impl Middleware for BasicAuth {
    fn before(&mut self, request: &mut Request, response: &mut Response) {
        if let Some((name, password)) = credentials(request)
            && self.check.lets_in(&name, &password)
        {
            request.set(AuthenticatedUser(name.into()));
            return;
        }
        response
            .end_with_error(
                StatusCode::UNAUTHORIZED,
                "a user and a password are needed.",
            )
            .set_header("WWW-Authenticate", &self.challenge);
    }
}

impl Check {
    fn lets_in(&mut self, name: &str, password: &str) -> bool {
        match self {
            Self::Users(users) => {
                let (name, password) = (digest(name), digest(password));
                let mut is_known = Choice::from(0);
                // All of them, also behind the right one.
                for user in users {
                    is_known |= user.name.ct_eq(&name) & user.password.ct_eq(&password);
                }
                is_known.into()
            }
            Self::Verify(verify) => verify(name, password),
        }
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth")
            .field("challenge", &self.challenge)
            .finish_non_exhaustive()
    }
}

/// Name and password of a request that has both (RFC 7617 section 2).
fn credentials(request: &Request) -> Option<(String, String)> {
    let mut fields = request.headers().get_all("Authorization");
    // Of two, another server might read the other one.
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return None;
    };
    let (scheme, encoded) = std::str::from_utf8(field).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let bytes = STANDARD.decode(encoded.trim_start_matches(' ')).ok()?;
    let text = String::from_utf8(bytes)
        .ok()
        .filter(|text| !has_control(text))?;
    // The first colon: a name has none, a password may.
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// The challenge with its realm as a quoted string (RFC 9110 section 5.6.4).
fn challenge(realm: &str) -> String {
    assert!(
        realm.bytes().all(|byte| matches!(byte, b' '..=b'~')),
        "the realm {realm:?} must be ASCII that can be printed"
    );
    let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
    format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")
}

fn digest(text: &str) -> [u8; 20] {
    Sha1::from(text).digest().bytes()
}

fn has_control(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials_in(fields: &[(&str, &str)]) -> Option<(String, String)> {
        credentials(&Request::for_test("GET", "/", fields))
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let both = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        let read = |value| credentials_in(&[("Authorization", value)]);
        // Section 2, and section 2.1 with a pound sign in UTF-8.
        assert_eq!(
            read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            both("Aladdin", "open sesame")
        );
        assert_eq!(read("basic dGVzdDoxMjPCow=="), both("test", "123\u{a3}"));
        // "a:b:c", ":", "a:".
        assert_eq!(read("BASIC   YTpiOmM="), both("a", "b:c"));
        assert_eq!(read("Basic Og=="), both("", ""));
        assert_eq!(read("Basic YTo="), both("a", ""));
    }

    #[test]
    fn what_is_no_name_and_password_is_nobody() {
        for value in [
            "",
            "Basic",
            "Bearer YTpi",
            "Basic !!!!",
            "Basic YTpi YTpi",
            "Basic YTpiOmM",  // its padding is missing
            "Basic YTpiOmN=", // bits that mean nothing are set
            "Basic YWI=",     // "ab", without a colon
            "Basic YTpiAA==", // "a:b" and a NUL
            "Basic YTpiCg==", // "a:b" and a line end
            "Basic YTr/",     // not UTF-8
            "BasicYTpi",
        ] {
            let read = credentials_in(&[("Authorization", value)]);
            assert_eq!(read, None, "{value:?}");
        }
        assert_eq!(credentials_in(&[]), None);
        let twice = ("Authorization", "Basic YTpi");
        assert_eq!(credentials_in(&[twice, twice]), None);
    }

    #[test]
    fn a_realm_is_quoted() {
        assert_eq!(
            challenge(r#"a "b" \c"#),
            r#"Basic realm="a \"b\" \\c", charset="UTF-8""#
        );
    }

    #[test]
    #[should_panic(expected = "must be ASCII")]
    fn a_realm_of_two_lines_is_refused() {
        let _ = BasicAuth::new("a\r\nX: y");
    }

    #[test]
    #[should_panic(expected = "cannot be sent")]
    fn a_name_with_a_colon_is_refused() {
        let _ = BasicAuth::new("a").user("a:b", "c");
    }

    #[test]
    fn nothing_of_a_password_is_shown() {
        let auth = BasicAuth::new("a").user("ann", "sesame");
        let shown = format!("{auth:?}");
        assert!(
            !shown.contains("sesame") && !shown.contains("ann"),
            "{shown}"
        );
    }
}
