//! Forms of what hosts of a configuration file have: names, paths, fields. Each is judged, and
//! returned as it is meant.

use crate::cli::address::port;
use crate::cli::build;
use aerys::{HeaderName, HeaderValue, StaticFiles};
use std::net::Ipv6Addr;
use std::path::Path;

/// The name of a host in lower case: `example.com`, `*.example.com`, an address, with a port or
/// without.
pub(crate) fn host_name(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let (name, digits) = match lower.rsplit_once(':') {
        Some((name, digits)) if !digits.ends_with(']') => (name, Some(digits)),
        _ => (&*lower, None),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let in_brackets = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let is_name = if let Some(address) = in_brackets {
        address.parse::<Ipv6Addr>().is_ok()
    } else {
        is_domain(name.strip_prefix("*.").unwrap_or(name))
    };
    match digits.map(port) {
        None if is_name => return Ok(name.to_owned()),
        Some(Some(port)) if is_name => return Ok(format!("{name}:{port}")),
        _ => {}
    }
    let mut problem = format!("'{text}' is no name of a host, as example.com or *.example.com");
    if name == "*" {
        problem.push_str("; for any name, leave 'names' out");
    } else if !text.is_ascii() {
        problem.push_str("; write its form in ASCII, xn--..");
    }
    Err(problem)
}

/// Whether it has the form of a machine's name, as `example.com`.
pub(crate) fn is_domain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A part between two dots (RFC 1123 section 2.1, and the underscore that is met).
fn is_label(label: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=63).contains(&label.len())
        && label.bytes().all(is_legal)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// To where a host sends its requests: a base that path and query are put behind.
pub(crate) fn redirect_base(text: &str) -> Result<String, String> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let authority = rest.and_then(|rest| rest.split('/').next());
    let is_base = authority.is_some_and(|name| host_name(name).is_ok() && !name.starts_with('*'))
        && !text.contains(['?', '#', '\\'])
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_base {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(format!(
            "'{text}' is nowhere to send to: write http:// or https://, a host, and no query"
        ))
    }
}

/// An origin as browsers write it (RFC 6454 section 6.2): in another form it would never be met.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    let is_origin =
        [("http://", ":80"), ("https://", ":443")]
            .iter()
            .any(|(scheme, usual_port)| {
                let host = text.strip_prefix(scheme).unwrap_or_default();
                let is_host = host_name(host).is_ok_and(|name| name == host);
                is_host && !host.starts_with('*') && !host.ends_with(usual_port)
            });
    if is_origin {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "'{text}' is no origin: write http:// or https://, a host in lower case, and its port \
             if that is not the usual one"
        ))
    }
}

/// The name of an index file.
pub(crate) fn file_name(text: &str) -> Result<String, String> {
    if matches!(text, "" | "." | "..") || text.contains(['/', '\0']) {
        return Err(format!("'{text}' is no name of a file"));
    }
    Ok(text.to_owned())
}

/// A page below the root, where it has to be, if the root is known.
pub(crate) fn page_below(root: Option<&Path>, text: &str) -> Result<String, String> {
    let is_servable = |name: &str| {
        !name.is_empty() && !name.starts_with('.') && !name.contains(['\\', '%', '\0'])
    };
    if !text.split('/').all(is_servable) {
        return Err(format!(
            "'{text}' is no path of a file that is served: it is one below 'root', as pages/404.html"
        ));
    }
    match root {
        Some(root) if !build::is_served(root, text) => {
            Err(format!("'{text}' below 'root' is no file that is served"))
        }
        _ => Ok(text.to_owned()),
    }
}

/// A pattern that paths of files are compared with.
pub(crate) fn file_pattern(text: &str) -> Result<String, String> {
    // A field that any file may have, to have the pattern judged.
    match StaticFiles::check_header(text, "Cache-Control", "no-cache") {
        Ok(()) if !text.contains(char::is_control) => Ok(text.to_owned()),
        Ok(()) => Err("a pattern has no control characters".into()),
        Err(error) => Err(format!("'{text}': {error}")),
    }
}

/// The name of a field that files may be given.
pub(crate) fn field_name(text: &str) -> Result<String, String> {
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| format!("'{text}' is no name of a field"))?;
    match StaticFiles::check_header("*", text, "") {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn field_value(text: &str) -> Result<String, String> {
    match HeaderValue::from_str(text) {
        Ok(_) if text.trim_matches([' ', '\t']) == text => Ok(text.to_owned()),
        _ => Err(format!("'{text}' cannot be the value of a field")),
    }
}

/// A media type with its parameters, as `text/plain; charset=utf-8`.
pub(crate) fn media_type(text: &str) -> Result<String, String> {
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_token_byte);
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    match essence.split_once('/') {
        Some((kind, subtype)) if is_token(kind) && is_token(subtype) => field_value(text),
        _ => Err(format!("'{text}' is no media type, as text/plain")),
    }
}

/// A character of a `token` (RFC 9110 section 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_are_compared_in_lower_case() {
        for (text, name) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("*.example.com", "*.example.com"),
            ("*.example.com:080", "*.example.com:80"),
            ("example.com:8080", "example.com:8080"),
            ("[::1]:80", "[::1]:80"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(host_name(text).as_deref(), Ok(name));
        }
        for text in [
            "",
            "*",
            "example.com:",
            "example.com:http",
            "example.com:+80",
            "::1",
            "a.*.com",
            "*a.com",
            "**",
            "a..b",
            ".a",
            "a..",
            "-a.com",
            "a b",
            "a/b",
            "[::1",
            "[a]",
            "bücher.example",
            &"a".repeat(64),
        ] {
            assert!(host_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        for text in [
            "https://example.com",
            "http://example.com:8080",
            "https://example.com:80",
            "http://[::1]:1337",
            "http://127.0.0.1",
        ] {
            assert_eq!(origin(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "null",
            "example.com",
            "https://",
            "https://Example.com",
            "https://example.com/",
            "https://example.com:443",
            "http://example.com:80",
            "http://example.com:080",
            "https://*.example.com",
            "https://example.com.",
            "ftp://example.com",
            "https://a@example.com",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_redirect_goes_to_an_address_without_a_query() {
        for (text, base) in [
            ("https://example.com", "https://example.com"),
            ("https://example.com/", "https://example.com"),
            ("https://[::1]:80", "https://[::1]:80"),
            (
                "http://example.com:8080/a/b/",
                "http://example.com:8080/a/b",
            ),
        ] {
            assert_eq!(redirect_base(text).as_deref(), Ok(base));
        }
        for text in [
            "",
            "example.com",
            "ftp://example.com",
            "https://",
            "https:///a",
            "https://example.com/?a",
            "https://example.com/#a",
            "https://exam ple.com",
            "https://example.com/\r\nSet-Cookie: a=b",
            "https://exämple.com",
            "https://user:x@:99999999",
            "https://user@example.com",
            "https://:80",
            "https://example.com:+80",
            "https://example.com:99999",
            "https://[::1",
            "https://*.example.com",
        ] {
            assert!(redirect_base(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pages_and_index_files_lie_below_the_root() {
        for text in ["404.html", "pages/not found.html", "ä.html"] {
            assert_eq!(page_below(None, text).as_deref(), Ok(text));
        }
        for text in [
            "", "/a", "a/", "../a", "a//b", ".hidden", "a/./b", "a\\b", "%2e",
        ] {
            assert!(page_below(None, text).is_err(), "{text}");
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(page_below(Some(root), "Cargo.toml").is_ok());
        for missing in ["no-such-file", "src"] {
            assert!(page_below(Some(root), missing).is_err(), "{missing}");
        }
        assert!(file_name("index.html").is_ok());
        for text in ["", ".", "..", "a/b"] {
            assert!(file_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fields_are_those_that_may_be_sent_and_are_not_the_servers() {
        assert!(field_name("Cache-Control").is_ok() && field_value("max-age=3600").is_ok());
        for text in ["", "a b", "a:", "Ä", "Content-Length", "transfer-encoding"] {
            assert!(field_name(text).is_err(), "{text}");
        }
        for text in ["a\nb", "a\0", " a", "a\t"] {
            assert!(field_value(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_media_type_has_two_parts_and_may_have_parameters() {
        for text in ["text/foo", "image/svg+xml", "text/plain; charset=utf-8"] {
            assert_eq!(media_type(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "text",
            "text/",
            "/foo",
            "text/a b",
            "a/b/c",
            "text/foo;\n",
        ] {
            assert!(media_type(text).is_err(), "{text}");
        }
    }
}
