//! Opening handshakes: a 101 is said to those alone that a plain reader of RFC 6455 section 4.2.1
//! finds right, with the key of section 1.3 and nothing that was not offered; in any pieces alike.
//!
//! The first bytes of the input choose options and pieces; what follows is the request.

use crate::echo::Echo;
use crate::request_head::{NaiveHead, read_naively, values};
use crate::wire::{Answer, converse};
use aerys::internals::Simulation;
use aerys::{Compression, CompressionMode, Config, Host, Server, WebSocketConfig, websocket};

const ORIGIN: &str = "https://good.example";
const SUBPROTOCOLS: [&str; 2] = ["chat", "superchat"];

pub(crate) fn run(input: &[u8]) {
    let &[options, piece_len, ref wire @ ..] = input else {
        return;
    };
    // What follows a head is another matter.
    let end = wire.windows(4).position(|window| window == b"\r\n\r\n");
    let wire = &wire[..end.map_or(wire.len(), |end| end + 4)];
    let (has_origin, is_dedicated) = (options & 1 != 0, options & 2 != 0);
    let (whole, is_closed) = converse(&mut start(has_origin, is_dedicated), wire, wire.len());
    for piece_len in [1, usize::from(piece_len) + 2] {
        let pieces = converse(&mut start(has_origin, is_dedicated), wire, piece_len);
        assert_eq!(pieces, (whole.clone(), is_closed));
    }
    let head = read_naively(wire, &Config::default());
    let key = head
        .as_ref()
        .and_then(|head| key_of_handshake(head, has_origin));
    if !whole.starts_with(b"HTTP/1.1 101 ") {
        assert!(key.is_none(), "{} is a handshake", wire.escape_ascii());
        return;
    }
    let (head, key) = head.zip(key).expect("no other is accepted");
    let (answer, rest) = Answer::read(&whole, true);
    assert!(rest.is_empty() && !is_closed);
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    assert_eq!(answer.field("connection"), Some("upgrade"));
    assert_eq!(
        answer.field("sec-websocket-accept"),
        Some(&*accept_key(key))
    );
    let offered = tokens(&head, "sec-websocket-protocol");
    let mut offered = offered.iter();
    let spoken = offered.find(|name| SUBPROTOCOLS.contains(&name.as_str()));
    assert_eq!(
        answer.field("sec-websocket-protocol"),
        spoken.map(String::as_str)
    );
    if let Some(extension) = answer.field("sec-websocket-extensions") {
        let offers = values(&head.fields, "sec-websocket-extensions").concat();
        let offers = String::from_utf8_lossy(&offers).into_owned();
        for parameter in extension.split("; ") {
            // What we promise of ourselves, and ask of the client without its asking.
            let is_ours = parameter.ends_with("_no_context_takeover")
                || parameter == "server_max_window_bits=12";
            let name = parameter.split('=').next().unwrap_or_default();
            assert!(is_ours || offers.contains(name), "{parameter}");
        }
    }
}

fn start(has_origin: bool, is_dedicated: bool) -> Simulation {
    let mode = if is_dedicated {
        CompressionMode::Dedicated
    } else {
        CompressionMode::Shared
    };
    let config = WebSocketConfig {
        allowed_origins: has_origin.then(|| vec![ORIGIN.to_owned()]),
        subprotocols: SUBPROTOCOLS.map(str::to_owned).to_vec(),
        compression: Some(Compression {
            mode,
            server_window_bits: 12,
            client_window_bits: 13,
            ..Compression::default()
        }),
        ..WebSocketConfig::default()
    };
    let host = Host::new().listen("127.0.0.1:0");
    let host = host.add(websocket(|ws| Echo { ws }).config(config));
    let config = Config {
        max_connections: Some(4),
        ..Config::default()
    };
    Simulation::new(Server::new().config(config).host(host)).expect("it starts")
}

/// The elements of all fields of that name, as far as they are text.
fn tokens(head: &NaiveHead<'_>, name: &str) -> Vec<String> {
    let values = values(&head.fields, name).into_iter();
    let elements = values.flat_map(|value| value.split(|byte| *byte == b','));
    let texts = elements.filter_map(|element| String::from_utf8(element.to_vec()).ok());
    let trimmed = texts.map(|text| text.trim_matches([' ', '\t']).to_owned());
    trimmed.collect()
}

/// The key of a handshake that is right.
fn key_of_handshake<'a>(head: &NaiveHead<'a>, has_origin: bool) -> Option<&'a [u8]> {
    let has = |name: &str, token: &str| {
        // In bytes: what stands beside it need not be text.
        let mut lists = values(&head.fields, name).into_iter();
        lists.any(|list| {
            let mut elements = list.split(|byte| *byte == b',');
            elements.any(|element| element.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    };
    let all = |name: &str| values(&head.fields, name);
    let &[key] = &all("sec-websocket-key")[..] else {
        return None;
    };
    let is_right = head.method == b"GET"
        && head.minor_version == 1
        && head.content_length == Some(0)
        && has("upgrade", "websocket")
        && has("connection", "upgrade")
        && all("sec-websocket-version").first() == Some(&&b"13"[..])
        && decode_base64(key).is_some_and(|bytes| bytes.len() == 16)
        && (!has_origin || all("origin") == [ORIGIN.as_bytes()]);
    is_right.then_some(key)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648 section 4, where each sequence of bytes has one form.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let letters = text
        .strip_suffix(b"==")
        .or(text.strip_suffix(b"="))
        .unwrap_or(text);
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in letters {
        let value = ALPHABET.iter().position(|other| other == letter)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
            bits &= (1 << count) - 1;
        }
    }
    (encode_base64(&bytes).as_bytes() == text).then_some(bytes)
}

fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let value = bits >> (18 - 6 * place) & 63;
            text.push(if place > three.len() {
                '='
            } else {
                char::from(ALPHABET[value as usize])
            });
        }
    }
    text
}

fn accept_key(key: &[u8]) -> String {
    encode_base64(&sha1(
        &[key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat(),
    ))
}

/// RFC 3174.
fn sha1(message: &[u8]) -> Vec<u8> {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - message.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let place = padded.len() - 8;
    padded[place..].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    let mut hash = [
        0x6745_2301_u32,
        0xEFCD_AB89,
        0x98BA_DCFE,
        0x1032_5476,
        0xC3D2_E1F0,
    ];
    for block in padded.as_chunks::<64>().0 {
        let mut words: Vec<u32> = block
            .as_chunks()
            .0
            .iter()
            .map(|w| u32::from_be_bytes(*w))
            .collect();
        for t in 16..80 {
            words
                .push((words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16]).rotate_left(1));
        }
        let mut state = hash;
        for (t, word) in words.into_iter().enumerate() {
            let [first, b, c, d, last] = state;
            let (mixed, constant) = match t / 20 {
                0 => (b & c | !b & d, 0x5A82_7999),
                1 => (b ^ c ^ d, 0x6ED9_EBA1),
                2 => (b & c | b & d | c & d, 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
            };
            let sum = first.rotate_left(5).wrapping_add(mixed).wrapping_add(last);
            let sum = sum.wrapping_add(word).wrapping_add(constant);
            state = [sum, first, b.rotate_left(30), c, d];
        }
        for (part, new) in hash.iter_mut().zip(state) {
            *part = part.wrapping_add(new);
        }
    }
    hash.iter().flat_map(|part| part.to_be_bytes()).collect()
}
