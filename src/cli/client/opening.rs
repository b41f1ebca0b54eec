//! The client's side of the opening handshake (RFC 6455 section 4.1): a request, and the judgement of
//! what is answered.

use crate::cli::client::frames::Masks;
use crate::cli::client::url::Url;
use aerys::internals::{Agreement, Printable, accept_key, read_answer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::{self, Write};

/// Longest head of an answer.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Most fields of it.
const MAX_FIELDS: usize = 100;

/// What is offered beside the protocol itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) compression: bool,
    pub(crate) subprotocols: Vec<String>,
    /// Further fields, such as `Origin`.
    pub(crate) headers: Vec<(String, String)>,
}

/// What a server agreed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) subprotocol: Option<String>,
    pub(crate) deflate: Option<Agreement>,
}

/// Why a handshake did not open a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OpeningError {
    /// An answer that is no 101: its status code and reason phrase.
    Status(u16, String),
    /// The same of an answer that says where else it is.
    Moved(u16, String),
    /// What was answered is a record of TLS.
    Tls,
    /// What was answered is not HTTP.
    NotHttp,
    /// The head of the answer does not come to its end.
    TooLong,
    /// A field of the 101 is missing or says something else than was asked for.
    Field(&'static str),
}

impl fmt::Display for OpeningError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status, reason) => {
                write!(formatter, "the server answered {status}")?;
                if !reason.is_empty() {
                    write!(formatter, " {}", Printable(reason))?;
                }
                formatter.write_str(" in place of 101 Switching Protocols")
            }
            Self::Moved(status, location) => write!(
                formatter,
                "the server answered {status} in place of 101 Switching Protocols: it is at {} now",
                Printable(location)
            ),
            Self::Tls => formatter.write_str("the server speaks TLS: write wss://"),
            Self::NotHttp => formatter.write_str("the server does not answer in HTTP/1.1"),
            Self::TooLong => formatter.write_str("the server's answer has too long a head"),
            Self::Field(what) => write!(formatter, "the server's 101 is none: {what}"),
        }
    }
}

/// A handshake that is under way.
#[derive(Debug)]
pub(crate) struct Opening {
    key: [u8; 24],
    offers_deflate: bool,
    subprotocols: Vec<String>,
    /// What came of the answer.
    head: Vec<u8>,
}

impl Opening {
    /// Puts the request for `url` behind `output`.
    pub(crate) fn new(url: &Url, wishes: &Wishes, masks: &mut Masks, output: &mut Vec<u8>) -> Self {
        let mut nonce = [0; 16];
        for part in nonce.as_chunks_mut::<4>().0 {
            *part = masks.next();
        }
        let mut key = [0; 24];
        STANDARD
            .encode_slice(nonce, &mut key)
            .expect("16 bytes are 24 letters");
        output.extend_from_slice(request(url, wishes, &key).as_bytes());
        Self {
            key,
            offers_deflate: wishes.compression,
            subprotocols: wishes.subprotocols.clone(),
            head: Vec::new(),
        }
    }

    /// Takes what came. What was agreed, and what followed the head; `None`: it is not all there.
    ///
    /// # Errors
    ///
    /// [`OpeningError`]: there will be no connection.
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
    ) -> Result<Option<(Agreed, Vec<u8>)>, OpeningError> {
        self.head.extend_from_slice(input);
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut answer = httparse::Response::new(&mut fields);
        let parsed = match answer.parse(&self.head) {
            Ok(parsed) => parsed,
            Err(httparse::Error::TooManyHeaders) => return Err(OpeningError::TooLong),
            Err(_) if is_tls(&self.head) => return Err(OpeningError::Tls),
            Err(_) => return Err(OpeningError::NotHttp),
        };
        let httparse::Status::Complete(len) = parsed else {
            return match self.head.len() {
                ..MAX_HEAD_BYTES => Ok(None),
                _ => Err(OpeningError::TooLong),
            };
        };
        let agreed = self.judge(&answer)?;
        Ok(Some((agreed, self.head.split_off(len))))
    }

    /// Judges the answer by section 4.1, from "If the status code received" on.
    fn judge(&self, answer: &httparse::Response<'_, '_>) -> Result<Agreed, OpeningError> {
        let values = |name: &'static str| {
            answer
                .headers
                .iter()
                .filter(move |field| field.name.eq_ignore_ascii_case(name))
                .map(|field| field.value.trim_ascii())
        };
        let status = answer.code.unwrap_or(0);
        if let (300..400, Some(location)) = (status, values("location").next()) {
            let location = String::from_utf8_lossy(location).into_owned();
            return Err(OpeningError::Moved(status, location));
        }
        if status != 101 {
            let reason = answer.reason.unwrap_or_default().to_owned();
            return Err(OpeningError::Status(status, reason));
        }
        let has_token = |name, token: &str| {
            values(name)
                .flat_map(|value| value.split(|byte| *byte == b','))
                .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        };
        if !has_token("upgrade", "websocket") {
            return Err(OpeningError::Field("no `websocket` in Upgrade"));
        }
        if !has_token("connection", "upgrade") {
            return Err(OpeningError::Field("no `upgrade` in Connection"));
        }
        let mut accepts = values("sec-websocket-accept");
        if (accepts.next(), accepts.next()) != (Some(&accept_key(&self.key)[..]), None) {
            let wrong = "its Sec-WebSocket-Accept is not the answer to our key";
            return Err(OpeningError::Field(wrong));
        }
        Ok(Agreed {
            subprotocol: self.subprotocol(values("sec-websocket-protocol"))?,
            deflate: self.deflate(values("sec-websocket-extensions"))?,
        })
    }

    fn subprotocol<'a>(
        &self,
        mut values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<String>, OpeningError> {
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let mut asked = self.subprotocols.iter();
        match asked.find(|asked| asked.as_bytes() == value) {
            Some(asked) if values.next().is_none() => Ok(Some(asked.clone())),
            _ => Err(OpeningError::Field(
                "it has a subprotocol that was not asked for",
            )),
        }
    }

    fn deflate<'a>(
        &self,
        mut values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<Agreement>, OpeningError> {
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let agreement = read_answer(value).filter(|_| self.offers_deflate);
        match agreement {
            Some(agreement) if values.next().is_none() => Ok(Some(agreement)),
            _ => Err(OpeningError::Field(
                "it has an extension that was not asked for",
            )),
        }
    }
}

/// Whether this is the begin of an alert of TLS, which answers what is none (RFC 8446 section 5.1).
pub(super) fn is_tls(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x15, 0x03])
}

fn request(url: &Url, wishes: &Wishes, key: &[u8; 24]) -> String {
    let key = key.escape_ascii();
    let mut request = format!("GET {} HTTP/1.1\r\n", url.target());
    let names_host = |(name, _): &(String, String)| name.eq_ignore_ascii_case("host");
    if !wishes.headers.iter().any(names_host) {
        let _ = write!(request, "Host: {}\r\n", url.authority());
    }
    let _ = write!(
        request,
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Version: 13\r\n"
    );
    if wishes.compression {
        // Nothing is kept of what we send, and so it need not be.
        request += "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; \
                    client_max_window_bits\r\n";
    }
    if !wishes.subprotocols.is_empty() {
        let names = wishes.subprotocols.join(", ");
        let _ = write!(request, "Sec-WebSocket-Protocol: {names}\r\n");
    }
    for (name, value) in &wishes.headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    request + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 section 1.3.
    const KEY: &[u8; 24] = b"dGhlIHNhbXBsZSBub25jZQ==";
    const FIELDS: [&str; 3] = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ];

    fn opening() -> Opening {
        Opening {
            key: *KEY,
            offers_deflate: true,
            subprotocols: vec!["chat".to_owned(), "superchat".to_owned()],
            head: Vec::new(),
        }
    }

    /// What comes of a 101 with these fields, whole.
    fn judged(fields: &[&str]) -> Result<Agreed, OpeningError> {
        let answer = format!("HTTP/1.1 101 \r\n{}\r\n\r\n", fields.join("\r\n"));
        let received = opening().receive(answer.as_bytes())?;
        Ok(received.expect("it is whole").0)
    }

    #[test]
    fn the_example_of_the_rfc_opens_at_any_split_and_what_follows_is_kept() {
        let answer = format!("HTTP/1.1 101 Switching\r\n{}\r\n\r\n", FIELDS.join("\r\n"));
        let bytes = [answer.as_bytes(), b"\x81\x02hi"].concat();
        for split in 0..bytes.len() {
            let (front, back) = bytes.split_at(split);
            let mut opening = opening();
            let mut received = opening.receive(front).expect("good");
            assert_eq!(received.is_some(), split >= answer.len(), "split {split}");
            let mut followed = back.to_vec();
            if received.is_none() {
                received = opening.receive(back).expect("good");
                followed.clear();
            }
            let (agreed, rest) = received.expect("it is whole");
            assert_eq!(agreed, Agreed::default());
            assert_eq!([rest, followed].concat(), b"\x81\x02hi", "split {split}");
        }
    }

    #[test]
    fn each_missing_or_wrong_field_is_told() {
        for (at, wrong, word) in [
            (0, "Upgrade: h2c", "Upgrade"),
            (0, "X: y", "Upgrade"),
            (1, "Connection: keep-alive", "Connection"),
            (2, "X: y", "Accept"),
            (
                2,
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=",
                "Accept",
            ),
            (
                2,
                "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==",
                "Accept",
            ),
        ] {
            let mut fields = FIELDS;
            fields[at] = wrong;
            let problem = judged(&fields).expect_err(wrong).to_string();
            assert!(problem.contains(word), "{wrong}: {problem}");
        }
        let twice = [&FIELDS[..], &FIELDS[2..]].concat();
        assert!(judged(&twice).is_err());
    }

    #[test]
    fn only_what_was_asked_for_is_agreed_to() {
        let with = |field: &str| judged(&[&FIELDS[..], &[field]].concat());
        let agreed = with("Sec-WebSocket-Protocol: superchat").expect("asked for");
        assert_eq!(agreed.subprotocol.as_deref(), Some("superchat"));
        let deflate = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10";
        let agreed = with(deflate).expect("asked for").deflate.expect("agreed");
        assert_eq!(
            (agreed.client_window_bits, agreed.server_takeover),
            (10, true)
        );
        for field in [
            "Sec-WebSocket-Protocol: other",
            "Sec-WebSocket-Protocol: chat, superchat",
            "Sec-WebSocket-Extensions: permessage-bzip2",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=7",
        ] {
            assert!(with(field).is_err(), "{field}");
        }
    }

    #[test]
    fn any_other_answer_is_told_in_one_line() {
        let told = |answer: &str| {
            let refused = opening().receive(answer.as_bytes());
            refused.expect_err(answer).to_string()
        };
        let not_found = told("HTTP/1.1 404 Not Found\r\n\r\n");
        assert!(not_found.contains("404 Not Found"), "{not_found}");
        assert!(told("HTTP/1.1 500\r\n\r\n").contains("500"));
        let moved = told("HTTP/1.1 308 Permanent Redirect\r\nLocation: wss://a/\u{202e}b\r\n\r\n");
        let to = "308 in place of 101 Switching Protocols: it is at wss://a/\\u{202e}b now";
        assert!(moved.contains(to), "{moved}");
        assert!(told("HTTP/1.1 304 Not Modified\r\n\r\n").contains("304 Not Modified"));
        assert!(told("\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{32}").contains("wss://"));
        assert!(told("SSH-2.0-OpenSSH_9.2\r\n").contains("HTTP/1.1"));
        let long = format!("HTTP/1.1 101 \r\nX: {}", "x".repeat(MAX_HEAD_BYTES));
        assert!(told(&long).contains("too long"));
    }

    #[test]
    fn a_request_asks_for_what_is_wished_with_a_new_key() {
        let url = Url::parse("ws://[::1]:1337/a?b").expect("a URL");
        let wishes = Wishes {
            compression: true,
            subprotocols: vec!["a".to_owned(), "b".to_owned()],
            headers: vec![("Origin".to_owned(), "http://c".to_owned())],
        };
        let mut masks = Masks::default();
        let mut written = || {
            let mut output = Vec::new();
            let opening = Opening::new(&url, &wishes, &mut masks, &mut output);
            (opening.key, String::from_utf8(output).expect("ASCII"))
        };
        let (key, request) = written();
        assert_ne!(key, written().0);
        assert!(request.starts_with("GET /a?b HTTP/1.1\r\nHost: [::1]:1337\r\n"));
        for line in [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            &format!("Sec-WebSocket-Key: {}", key.escape_ascii()),
            "Sec-WebSocket-Protocol: a, b",
            "Origin: http://c",
        ] {
            assert!(request.contains(&format!("\r\n{line}\r\n")), "{line}");
        }
        assert!(request.contains("permessage-deflate; ") && request.ends_with("\r\n\r\n"));
        let plain = super::request(&url, &Wishes::default(), &key);
        assert!(!plain.contains("Extensions") && !plain.contains("Protocol"));
        let other_host = Wishes {
            headers: vec![("host".to_owned(), "d".to_owned())],
            ..Wishes::default()
        };
        let request = super::request(&url, &other_host, &key).to_lowercase();
        assert_eq!(request.matches("host: ").count(), 1, "{request}");
    }
}
