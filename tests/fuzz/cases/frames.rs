//! Frame headers (RFC 6455 section 5.2): what is decoded is what the RFC says, no sooner and no later; what is
//! encoded comes back, in its shortest form; the way of whole messages says nothing else.
//!
//! The first byte of the input chooses whether RSV1 has a meaning; what follows is on the wire.

use aerys::internals::{Opcode, decode_header, decode_whole, encode_header, unmask};

pub(crate) fn run(input: &[u8]) {
    let &[choice, ref wire @ ..] = input else {
        return;
    };
    let allows_rsv1 = choice & 1 != 0;
    let decoded = decode_header(wire, allows_rsv1);
    // A verdict stands from the byte on at which it can be told.
    let mut verdict = Ok(None);
    for len in 0..=wire.len().min(20) {
        let next = decode_header(&wire[..len], allows_rsv1);
        assert!(verdict == Ok(None) || verdict == next, "at {len}");
        verdict = next;
    }
    assert_eq!(verdict, decoded);
    assert_eq!(decoded.is_err(), is_broken(wire, allows_rsv1));
    let whole = decode_whole(wire);
    let Ok(Some((header, len))) = decoded else {
        assert_eq!(whole, None, "what is no frame is no message");
        return;
    };
    let encoded = encode_header(header.fin, header.opcode, header.payload_len);
    let mut again = encoded.to_vec();
    again[0] |= if header.rsv1 { 0x40 } else { 0 };
    again[1] |= 0x80;
    again.extend(header.mask);
    assert_eq!(again, wire[..len], "there is one form");
    let payload = &wire[len..];
    let is_short = usize::try_from(header.payload_len).is_ok_and(|len| len <= payload.len())
        && header.payload_len < 1 << 16;
    let is_message = header.fin && matches!(header.opcode, Opcode::Text | Opcode::Binary);
    match whole {
        Some(whole) => {
            assert!(is_short && is_message && !header.rsv1);
            assert_eq!(whole.is_text, header.opcode == Opcode::Text);
            assert_eq!((whole.mask, whole.header_len), (header.mask, len));
            assert_eq!(whole.payload_len as u64, header.payload_len);
        }
        None => assert!(!is_short || !is_message || header.rsv1),
    }
    let offset = usize::from(choice >> 1);
    let mut plain = payload.to_vec();
    unmask(&mut plain, header.mask, offset);
    for (index, (plain, masked)) in plain.iter().zip(payload).enumerate() {
        assert_eq!(*plain, masked ^ header.mask[(index + offset) % 4]);
    }
}

/// Whether nothing that might follow `wire` would make it the begin of a legal frame (RFC 6455
/// sections 5.1, 5.2 and 5.5).
fn is_broken(wire: &[u8], allows_rsv1: bool) -> bool {
    let Some(first) = wire.first() else {
        return false;
    };
    let (rsv, opcode, fin) = (first >> 4 & 7, first & 15, first & 0x80 != 0);
    let is_control = opcode >= 8;
    let has_meaning = rsv == 0 || rsv == 4 && allows_rsv1 && matches!(opcode, 1 | 2);
    if !has_meaning || !matches!(opcode, 0..=2 | 8..=10) || is_control && !fin {
        return true;
    }
    let Some(second) = wire.get(1) else {
        return false;
    };
    let short_len = second & 0x7F;
    if second & 0x80 == 0 || is_control && short_len > 125 {
        return true;
    }
    let length = &wire[2..];
    match short_len {
        126 => matches!(length, [0, 0..126, ..]),
        127 => length.first().is_some_and(|first| *first >= 0x80) || length.starts_with(&[0; 6]),
        _ => false,
    }
}
