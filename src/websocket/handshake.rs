//! The opening handshake (RFC 6455 section 4.2, RFC 8441 section 5): a request to an acceptance or
//! a refusal.
//!
//! Sends nothing and asks no application: what a handler says to an acceptable handshake is
//! `app/websocket.rs`.

use crate::config::{Compression, WebSocketConfig};
use crate::http::headers::{is_name, list_has_token};
use crate::http::{Headers, Method, Request, Response, StatusCode};
use crate::websocket::deflate::negotiation::{Agreement, negotiate};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What every accept key is made with (section 1.3).
const GUID: &[u8; 36] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value of `Sec-WebSocket-Accept`.
type AcceptKey = [u8; 28];

/// A handshake that the protocol allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acceptance {
    /// Over HTTP/1.1, where it shows that the server knows what it accepts.
    accept_key: Option<AcceptKey>,
    subprotocol: Option<String>,
    /// What was agreed on permessage-deflate, and the answer that says so.
    deflate: Option<(Agreement, String)>,
}

impl Acceptance {
    /// What was agreed on permessage-deflate.
    pub(crate) fn deflate(&self) -> Option<Agreement> {
        self.deflate.as_ref().map(|(agreement, _)| *agreement)
    }

    /// Sets the fields of the 101 (section 4.2.2) on `response`, but for `Connection`: that is
    /// sent with every `Upgrade`.
    pub(crate) fn complete(self, response: &mut Response) {
        if let Some(accept_key) = &self.accept_key {
            response
                .set_known_header("upgrade", b"websocket")
                .set_known_header("sec-websocket-accept", accept_key);
        }
        match self.subprotocol {
            // A handler that chose one itself knows better.
            Some(chosen) if !response.headers().contains("sec-websocket-protocol") => {
                response.set_header("sec-websocket-protocol", chosen);
            }
            _ => {}
        }
        if let Some((_, answer)) = self.deflate {
            response.set_header("sec-websocket-extensions", answer);
        }
    }
}

/// Why a request does not open a WebSocket connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Section 4.1: the method must be GET.
    Method,
    /// Section 4.1: at least HTTP/1.1.
    Version,
    /// A body, which would stand where the first frames are expected.
    Body,
    /// No `websocket` in `Upgrade`, or no `upgrade` in `Connection`.
    Upgrade,
    /// Over HTTP/2, where nothing is upgraded: no extended CONNECT for `websocket`.
    Connect,
    /// A `Sec-WebSocket-Version` other than 13 (section 4.4).
    WebSocketVersion,
    /// The same over HTTP/2.
    WebSocketVersionHttp2,
    /// A `Sec-WebSocket-Key` that is missing, repeated or not base64 of 16 bytes.
    Key,
    /// An `Origin` that is not on the endpoint's list (section 10.2).
    Origin,
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Body | Self::Key | Self::Connect | Self::WebSocketVersionHttp2 => {
                StatusCode::BAD_REQUEST
            }
            Self::Upgrade | Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Origin => StatusCode::FORBIDDEN,
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Method => "A WebSocket handshake is a GET request.",
            Self::Version => "A WebSocket handshake needs HTTP/1.1.",
            Self::Body => "A WebSocket handshake has no body.",
            Self::Upgrade => {
                "This is a WebSocket endpoint: send \"Connection: Upgrade\" and \"Upgrade: websocket\"."
            }
            Self::Connect => {
                "This is a WebSocket endpoint: over HTTP/2, send an extended CONNECT with \":protocol: websocket\"."
            }
            Self::WebSocketVersion | Self::WebSocketVersionHttp2 => {
                "This endpoint speaks WebSocket version 13."
            }
            Self::Key => "A WebSocket handshake has one Sec-WebSocket-Key, base64 of 16 bytes.",
            Self::Origin => "This origin may not connect here.",
        }
    }

    /// The ordinary answer that says so. The connection stays usable but for [`Refusal::Body`].
    pub(crate) fn answer(self) -> Response {
        let mut response = Response::error(self.status(), self.advice());
        match self {
            Self::Method => {
                response.set_header("allow", "GET");
            }
            // A 426 names what to upgrade to (RFC 9110 section 15.5.22).
            Self::Upgrade => {
                response
                    .set_header("upgrade", "websocket")
                    .set_header("connection", "upgrade");
            }
            Self::WebSocketVersion => {
                response
                    .set_header("upgrade", "websocket")
                    .set_header("connection", "upgrade")
                    .set_header("sec-websocket-version", "13");
            }
            Self::WebSocketVersionHttp2 => {
                response.set_header("sec-websocket-version", "13");
            }
            Self::Body => {
                response.set_header("connection", "close");
            }
            Self::Version | Self::Key | Self::Connect | Self::Origin => {}
        }
        response
    }
}

/// Judges an opening handshake by section 4.2.1 and the endpoint's options, of which `compression`
/// is what holds now.
///
/// # Errors
///
/// The first rule that is broken, in the order of the variants of [`Refusal`].
pub(crate) fn judge(
    request: &Request,
    config: &WebSocketConfig,
    compression: Option<&Compression>,
) -> Result<Acceptance, Refusal> {
    let headers = request.headers();
    if *request.method() != Method::GET {
        return Err(Refusal::Method);
    }
    if request.version() < http::Version::HTTP_11 {
        return Err(Refusal::Version);
    }
    if request.has_body() {
        return Err(Refusal::Body);
    }
    let offer = Offer::of(headers);
    let accept_key = if request.version() == http::Version::HTTP_2 {
        if request.protocol() != Some("websocket") {
            return Err(Refusal::Connect);
        }
        if offer.version != Some(b"13") {
            return Err(Refusal::WebSocketVersionHttp2);
        }
        None
    } else {
        if !offer.upgrades || !offer.connects {
            return Err(Refusal::Upgrade);
        }
        if offer.version != Some(b"13") {
            return Err(Refusal::WebSocketVersion);
        }
        let key = offer.key.and_then(as_nonce).ok_or(Refusal::Key)?;
        Some(accept_key(key))
    };
    if let Some(allowed) = &config.allowed_origins {
        let mut origins = headers.get_all("origin");
        // A second one is nobody's honest request: which of the two would count?
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return Err(Refusal::Origin);
        };
        if !allowed.iter().any(|allowed| allowed.as_bytes() == origin) {
            return Err(Refusal::Origin);
        }
    }
    let deflate = compression.and_then(|compression| {
        let offers = headers.get_all("sec-websocket-extensions");
        negotiate(offers, compression)
    });
    Ok(Acceptance {
        accept_key,
        subprotocol: subprotocol(request, &config.subprotocols),
        deflate,
    })
}

/// What the fields of a handshake say, gathered in one pass.
#[derive(Default)]
struct Offer<'h> {
    /// `websocket` is in `Upgrade`.
    upgrades: bool,
    /// `upgrade` is in `Connection`.
    connects: bool,
    /// The first `Sec-WebSocket-Version`.
    version: Option<&'h [u8]>,
    /// The `Sec-WebSocket-Key`, if there is only one.
    key: Option<&'h [u8]>,
}

impl<'h> Offer<'h> {
    fn of(headers: &'h Headers) -> Self {
        let mut offer = Self::default();
        let mut key_count = 0;
        for (name, value) in headers.raw() {
            match name.len() {
                7 if is_name(name, b"upgrade") => {
                    offer.upgrades |= list_has_token(value, "websocket");
                }
                10 if is_name(name, b"connection") => {
                    offer.connects |= list_has_token(value, "upgrade");
                }
                21 if is_name(name, b"sec-websocket-version") => {
                    offer.version = offer.version.or(Some(value));
                }
                17 if is_name(name, b"sec-websocket-key") => {
                    key_count += 1;
                    offer.key = (key_count == 1).then_some(value);
                }
                _ => {}
            }
        }
        offer
    }
}

/// `key`, if it is the base64 of 16 bytes as RFC 4648 section 3.5 has it: the four bits that the
/// last letter has too many are 0.
fn as_nonce(key: &[u8]) -> Option<&[u8; 24]> {
    // Decoding it into bytes that nobody looks at takes three times as long.
    let key: &[u8; 24] = key.try_into().ok()?;
    let (letters, end) = key.split_at(21);
    let is_nonce = matches!(end, [b'A' | b'Q' | b'g' | b'w', b'=', b'='])
        && letters.iter().all(|byte| is_base64_letter(*byte));
    is_nonce.then_some(key)
}

const fn is_base64_letter(byte: u8) -> bool {
    static IS_LETTER: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 0x80_u8 {
            table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            byte += 1;
        }
        table
    };
    IS_LETTER[byte as usize]
}

/// `Sec-WebSocket-Accept` for a legal key (section 4.2.2, 5.4).
pub(crate) fn accept_key(key: &[u8; 24]) -> AcceptKey {
    // In one piece, which the hash copies once.
    let mut input = [0; 60];
    input[..24].copy_from_slice(key);
    input[24..].copy_from_slice(GUID);
    let mut accept_key = [0; 28];
    STANDARD
        .encode_slice(
            sha1_smol::Sha1::from(input).digest().bytes(),
            &mut accept_key,
        )
        .expect("20 bytes are 28 letters");
    accept_key
}

/// The first subprotocol of the client's list that is spoken here (section 4.2.2, 5.5).
fn subprotocol(request: &Request, spoken: &[String]) -> Option<String> {
    if spoken.is_empty() {
        return None;
    }
    // Names are compared as they are: they are case-sensitive (section 1.9).
    request
        .headers()
        .tokens("sec-websocket-protocol")
        .find_map(|offered| spoken.iter().find(|spoken| *spoken == offered).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &[u8; 28] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    const VALID: [(&str, &str); 5] = [
        ("Host", "server.example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ];

    fn judge_with(
        method: &str,
        change: &[(&str, &str)],
        config: &WebSocketConfig,
    ) -> Result<Acceptance, Refusal> {
        let mut fields: Vec<_> = VALID
            .into_iter()
            .filter(|(name, _)| !change.iter().any(|(changed, _)| changed == name))
            .collect();
        fields.extend(change.iter().filter(|(_, value)| !value.is_empty()));
        judge(&Request::for_test(method, "/", &fields), config, None)
    }

    fn refusal(method: &str, change: &[(&str, &str)]) -> Option<Refusal> {
        judge_with(method, change, &WebSocketConfig::default()).err()
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted_with_its_accept_value() {
        let accepted = judge_with("GET", &[], &WebSocketConfig::default());
        assert_eq!(
            accepted.map(|accepted| accepted.accept_key).as_ref(),
            Ok(&Some(*ACCEPT))
        );
    }

    #[test]
    fn each_rule_has_its_refusal_in_order() {
        use Refusal::{Key, Method, Upgrade, WebSocketVersion};
        let short = STANDARD.encode([7; 15]);
        let long = STANDARD.encode([7; 17]);
        let cases = [
            ("POST", vec![("Upgrade", "")], Method),
            (
                "GET",
                vec![("Upgrade", ""), ("Sec-WebSocket-Version", "12")],
                Upgrade,
            ),
            ("GET", vec![("Connection", "keep-alive")], Upgrade),
            ("GET", vec![("Sec-WebSocket-Version", "")], WebSocketVersion),
            (
                "GET",
                vec![("Sec-WebSocket-Version", "12"), ("Sec-WebSocket-Key", "")],
                WebSocketVersion,
            ),
            ("GET", vec![("Sec-WebSocket-Key", "")], Key),
            (
                "GET",
                vec![("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Key", KEY)],
                Key,
            ),
            ("GET", vec![("Sec-WebSocket-Key", &short)], Key),
            ("GET", vec![("Sec-WebSocket-Key", &long)], Key),
            (
                "GET",
                vec![("Sec-WebSocket-Key", "not base64, though 24 ch")],
                Key,
            ),
        ];
        for (method, change, expected) in cases {
            assert_eq!(
                refusal(method, &change),
                Some(expected),
                "{method} {change:?}"
            );
        }
    }

    #[test]
    fn a_key_is_what_decodes_to_16_bytes() {
        let is_decoded = |key: &[u8]| STANDARD.decode_slice(key, &mut [0; 18]) == Ok(16);
        for index in 0..KEY.len() {
            for byte in 0..=u8::MAX {
                let mut key = KEY.as_bytes().to_vec();
                key[index] = byte;
                assert_eq!(
                    as_nonce(&key).is_some(),
                    is_decoded(&key),
                    "{}",
                    key.escape_ascii()
                );
            }
        }
        for len in 0..=36 {
            let key = STANDARD.encode(vec![0xF7; len]);
            assert_eq!(as_nonce(key.as_bytes()).is_some(), len == 16, "{len} bytes");
            let unpadded = key.trim_end_matches('=').as_bytes();
            assert_eq!(
                as_nonce(unpadded).is_some(),
                is_decoded(unpadded),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn tokens_are_found_in_lists_in_any_case() {
        let change = [
            ("Connection", "keep-alive, UPGRADE"),
            ("Upgrade", "h2c, WebSocket"),
        ];
        assert_eq!(refusal("GET", &change), None);
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let answers = [
            (Refusal::Method, 405, vec![("allow", "GET")]),
            (Refusal::Version, 505, vec![]),
            (Refusal::Body, 400, vec![("connection", "close")]),
            (
                Refusal::Upgrade,
                426,
                vec![("upgrade", "websocket"), ("connection", "upgrade")],
            ),
            (
                Refusal::WebSocketVersion,
                426,
                vec![("upgrade", "websocket"), ("sec-websocket-version", "13")],
            ),
            (Refusal::Key, 400, vec![]),
            (Refusal::Origin, 403, vec![]),
        ];
        for (refusal, status, fields) in answers {
            let answer = refusal.answer();
            assert_eq!(answer.status().as_u16(), status, "{refusal:?}");
            for (name, value) in fields {
                assert_eq!(answer.headers().get_str(name), Some(value), "{refusal:?}");
            }
        }
    }

    #[test]
    fn the_clients_first_subprotocol_that_is_spoken_is_chosen() {
        let config = WebSocketConfig {
            subprotocols: vec!["chat".into(), "superchat".into()],
            ..WebSocketConfig::default()
        };
        let chosen = |offer: &str| {
            let change = [("Sec-WebSocket-Protocol", offer)];
            judge_with("GET", &change, &config)
                .expect("accepted")
                .subprotocol
        };
        assert_eq!(
            chosen("other, superchat, chat").as_deref(),
            Some("superchat")
        );
        assert_eq!(chosen("Chat"), None, "names are case-sensitive");
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn an_origin_is_compared_as_a_whole() {
        let config = WebSocketConfig {
            allowed_origins: Some(vec!["https://good.example".into()]),
            ..WebSocketConfig::default()
        };
        let allowed = |origins: &[(&str, &str)]| judge_with("GET", origins, &config).is_ok();
        assert!(allowed(&[("Origin", "https://good.example")]));
        assert!(!allowed(&[]));
        assert!(!allowed(&[("Origin", "https://good.example.evil.example")]));
        let twice = [
            ("Origin", "https://good.example"),
            ("Origin", "https://evil.example"),
        ];
        assert!(!allowed(&twice));
    }
}
