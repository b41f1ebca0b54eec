use super::*;
use crate::http2::hpack::table::static_entry;

fn field(name: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode_field(name.as_bytes(), value.as_bytes(), &mut out);
    out
}

fn status(status: u16) -> Vec<u8> {
    let mut out = Vec::new();
    encode_status(status, &mut out);
    out
}

#[test]
fn every_name_of_the_static_table_is_found_in_any_case_and_no_other() {
    for index in 1..=61_u8 {
        let (name, _) = static_entry(index.into()).unwrap();
        let found = static_index(name).unwrap();
        // The first of those of that name.
        assert_eq!(static_entry(found.into()).unwrap().0, name);
        assert!(found == 1 || static_entry(usize::from(found) - 1).unwrap().0 != name);
        assert_eq!(static_index(&name.to_ascii_uppercase()), Some(found));
        for at in 0..name.len() {
            let mut other = name.to_vec();
            other[at] ^= 1;
            assert_eq!(static_index(&other), None, "{other:?}");
        }
    }
    assert_eq!(static_index(b""), None);
    assert_eq!(static_index(b"x-request-id"), None);
}

#[test]
fn a_field_is_a_literal_with_an_index_or_a_name_of_its_own() {
    // Appendix C.2.2, with the value of fewer bits when Huffman-coded: /sample/path.
    assert_eq!(
        field(":path", "/sample/path"),
        b"\x04\x89\x61\x03\xA6\xBA\x0A\xC5\x63\x4C\xFF"
    );
    // Index 31 does not fit four bits.
    assert_eq!(field("Content-Type", "!"), b"\x0F\x10\x01!");
    // Appendix C.4.3.
    assert_eq!(
        field("Custom-Key", "custom-value"),
        b"\x00\x88\x25\xA8\x49\xE9\x5B\xA9\x7D\x7F\x89\x25\xA8\x49\xE9\x5B\xB8\xE8\xB4\xBF"
    );
    assert_eq!(field("X\\", ""), b"\x00\x02x\\\x00");
}

#[test]
fn secrets_are_never_indexed() {
    assert_eq!(field("Set-Cookie", "!"), b"\x1F\x28\x01!");
    assert_eq!(field("authorization", "!"), b"\x1F\x08\x01!");
    assert_eq!(field("proxy-authorization", "!"), b"\x1F\x22\x01!");
}

#[test]
fn strings_are_huffman_coded_where_that_is_shorter() {
    // Appendix C.6.1, the date.
    let date = "Mon, 21 Oct 2013 20:13:21 GMT";
    assert_eq!(
        field("date", date),
        b"\x0F\x12\x96\xD0\x7A\xBE\x94\x10\x54\xD4\x44\xA8\x20\x05\x95\x04\x0B\x81\x66\xE0\x82\xA6\x2D\x1B\xFF"
    );
    // Eight bits each: as long as they are.
    assert_eq!(field("etag", "XXXX"), b"\x0F\x13\x04XXXX");
    // 15 bits.
    assert_eq!(field("etag", "0a1"), b"\x0F\x13\x82\x00\xC3");
}

#[test]
fn lengths_of_more_than_126_have_more_bytes() {
    for (len, expected) in [
        (126, &b"\x7E"[..]),
        (127, b"\x7F\x00"),
        (254, b"\x7F\x7F"),
        (255, b"\x7F\x80\x01"),
        (20_000, b"\x7F\xA1\x9B\x01"),
    ] {
        let out = field("etag", &"X".repeat(len));
        assert_eq!(
            out[2..].strip_suffix("X".repeat(len).as_bytes()),
            Some(expected)
        );
    }
}

#[test]
fn a_status_is_indexed_where_the_static_table_has_it() {
    for (code, indexed) in [
        (200, 0x88),
        (204, 0x89),
        (206, 0x8A),
        (304, 0x8B),
        (400, 0x8C),
        (404, 0x8D),
        (500, 0x8E),
    ] {
        assert_eq!(status(code), [indexed]);
        let (name, value) = static_entry((indexed & 0x7F).into()).unwrap();
        assert_eq!(
            (name, value),
            (&b":status"[..], code.to_string().as_bytes())
        );
    }
    // Appendix C.6: 302 and 307, the latter no shorter in Huffman code than with a byte for each.
    assert_eq!(status(302), b"\x08\x82\x64\x02");
    assert_eq!(status(307), b"\x08\x03307");
    assert_eq!(status(101), b"\x08\x82\x08\x03");
    assert_eq!(status(999), b"\x08\x03999");
}
