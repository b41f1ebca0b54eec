//! For this crate's own program, benches and fuzz targets: promises nothing.
//!
//! Codecs as functions from bytes to plain values, for whoever compares them with others.

pub use crate::moment::Moment;
pub use crate::printable::Printable;
pub use crate::simulation::{Fault, Peer, Simulation};
pub use crate::timer_wheel::{TimerKey, TimerWheel};
pub use crate::websocket::close::{CloseError, decode_payload as decode_close};
pub use crate::websocket::deflate::codec::{BrokenDeflate, Deflater, Inflated, Inflater};
pub use crate::websocket::deflate::negotiation::{Agreement, read_answer};
pub use crate::websocket::frame::{
    EncodedHeader, FrameError, FrameHeader, Opcode, WholeMessage, decode_header,
    decode_server_header, decode_whole, encode_header,
};
pub use crate::websocket::mask::unmask;

use crate::app::router::pattern::{Found, Pattern};
use crate::config::Config;
use crate::http::{ConnectionInfo, Request};
use crate::http1::RefusedRequest;
use crate::http1::message_body::{BodyDecoder, BodyFraming};
use crate::http1::request_head::{HeadScan, Outline, straight};
use crate::websocket::{CloseCode, close, handshake};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;

/// Status and words of what is refused.
pub type Refusal = (u16, &'static str);

/// The head of a request, and what it says beside the request.
#[derive(Debug)]
pub struct Head {
    /// How long the head is.
    pub len: usize,
    /// The request, without its body.
    pub request: Box<Request>,
    /// How long the body is; `None`: it is in chunks.
    pub content_length: Option<u64>,
    /// Whether the client leaves the connection open.
    pub keep_alive: bool,
    /// Whether it waits for a 100.
    pub expects_continue: bool,
}

impl Head {
    fn new(outline: &Outline, len: usize, request: Box<Request>) -> Self {
        Self {
            len,
            request,
            content_length: match outline.framing {
                BodyFraming::Length(len) => Some(len),
                BodyFraming::Chunked => None,
            },
            keep_alive: outline.keep_alive,
            expects_continue: outline.expects_continue,
        }
    }
}

fn request() -> Box<Request> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    Request::boxed(
        None,
        ConnectionInfo {
            remote_address: address.into(),
            local_address: address.into(),
            encrypted: false,
            is_anonymous: false,
        },
    )
}

const fn refusal(refused: RefusedRequest) -> Refusal {
    (refused.status.as_u16(), refused.reason)
}

/// Reads the head at the front of `bytes`, of which so many come at a time. `None`: it is not all
/// there.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_head(bytes: &[u8], piece_len: usize, config: &Config) -> Result<Option<Head>, Refusal> {
    let mut scan = HeadScan::default();
    let mut known = 0;
    while known < bytes.len() {
        known = known.saturating_add(piece_len.max(1)).min(bytes.len());
        if let Some(len) = scan.find_end(&bytes[..known], config).map_err(refusal)? {
            let mut request = request();
            let outline = scan.parse(&bytes[..len], &mut request);
            let outline = outline.map_err(refusal)?;
            return Ok(Some(Head::new(&outline, len, request)));
        }
    }
    Ok(None)
}

/// What the straight path says of the head at the front of `bytes`, which may be nothing.
#[must_use]
pub fn read_head_straight(bytes: &[u8], config: &Config) -> Option<Head> {
    let mut request = request();
    let (outline, len) = straight::parse(bytes, config, &mut request)?;
    Some(Head::new(&outline, len, request))
}

/// Reads a body in chunks, of which so many bytes come at a time. The content, and where in `bytes`
/// the body ends; `None`: it is not all there.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_chunks(
    bytes: &[u8],
    piece_len: usize,
    max_bytes: u64,
    config: &Config,
) -> Result<Option<(Vec<u8>, usize)>, Refusal> {
    let mut body = BodyDecoder::new(BodyFraming::Chunked);
    body.allow(max_bytes).map_err(refusal)?;
    let (mut content, mut end) = (Vec::new(), 0);
    for piece in bytes.chunks(piece_len.max(1)) {
        let decoded = body.decode(piece, &mut content, config);
        let decoded = decoded.map_err(refusal)?;
        end += decoded.consumed;
        if decoded.is_complete {
            return Ok(Some((content, end)));
        }
    }
    Ok(None)
}

/// `Sec-WebSocket-Accept` for a legal key (RFC 6455 section 4.2.2, 5.4).
#[must_use]
pub fn accept_key(key: &[u8; 24]) -> [u8; 28] {
    handshake::accept_key(key)
}

/// The payload of a Close frame: always a legal one.
#[must_use]
pub fn encode_close(code: CloseCode, reason: &str) -> impl Deref<Target = [u8]> {
    close::encode_payload(code, reason)
}

/// Names of captures, and what each captured.
pub type Captures = Vec<(String, String)>;

/// How the pattern of a route matches `path`: with these captures; with none, but for an optional slash
/// at the end; or not.
///
/// # Errors
///
/// Why it is no pattern.
pub fn find_route(pattern: &str, path: &str) -> Result<Option<Option<Captures>>, &'static str> {
    let found = Pattern::parse(pattern)?.find(path);
    Ok(found.map(|found| match found {
        Found::Canonical(captures) => {
            let captures = captures.into_iter();
            Some(
                captures
                    .map(|(name, text)| (name.to_string(), text))
                    .collect(),
            )
        }
        Found::WithSlash => None,
    }))
}

#[cfg(feature = "http2")]
pub use fields::{FieldDecoder, encode_fields};

#[cfg(feature = "http2")]
mod fields {
    use crate::http2::hpack::{Decoder, encode_field};

    /// Names and values.
    type Fields = Vec<(Vec<u8>, Vec<u8>)>;

    /// The field blocks of a connection.
    #[derive(Debug)]
    pub struct FieldDecoder(Decoder);

    impl Default for FieldDecoder {
        fn default() -> Self {
            Self(Decoder::new())
        }
    }

    impl FieldDecoder {
        /// The fields of the next block.
        ///
        /// # Errors
        ///
        /// What is wrong with it. The next one cannot be decoded then.
        pub fn decode(&mut self, block: &[u8]) -> Result<Fields, &'static str> {
            let mut fields = Vec::new();
            self.0
                .decode(block, |name, value| {
                    fields.push((name.to_vec(), value.to_vec()));
                })
                .map_err(|invalid| invalid.0)?;
            Ok(fields)
        }
    }

    /// The block of such fields, whose names are tokens.
    #[must_use]
    pub fn encode_fields(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            encode_field(name, value, &mut block);
        }
        block
    }
}
