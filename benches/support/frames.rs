//! What clients send, as bytes: nothing of `src/` made them.

/// An opening handshake for `path` (RFC 6455 section 1.3).
pub(crate) fn opening_handshake(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// One masked frame (RFC 6455 section 5.2) of at most 65,535 bytes, with `first` as its first
/// byte: FIN and opcode.
pub(crate) fn masked_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let mut bytes = vec![first];
    if let Ok(len @ ..=125) = u8::try_from(payload.len()) {
        bytes.push(0x80 | len);
    } else {
        let len = u16::try_from(payload.len()).expect("a payload of medium length");
        bytes.push(0xFE); // masked, and 126: two bytes of length follow
        bytes.extend_from_slice(&len.to_be_bytes());
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

/// Length of the unmasked frame that brings `payload_len` bytes, as servers send it.
pub(crate) const fn answer_bytes(payload_len: usize) -> usize {
    payload_len + if payload_len <= 125 { 2 } else { 4 }
}
