//! Field blocks (RFC 7541) as a client needs them: requests as literals, responses by the static table
//! and the codes of printable ASCII. There is no dynamic table, which the server must not use: this
//! client says that it keeps none.

/// Appendix A, from index 1 on.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// Appendix B, as far as printable ASCII goes: which bytes have codes of so many bits. The code is
/// canonical: in this order the codes count up from 0, with zeros behind them when they get longer.
const CODES: [(u32, &str); 11] = [
    (5, "012aceiost"),
    (6, " %-./3456789=A_bdfghlmnpru"),
    (7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, "&*,;XZ"),
    (10, "!\"()?"),
    (11, "'+|"),
    (12, "#>"),
    (13, "\0$@[]~"),
    (14, "^}"),
    (15, "<`{"),
    (19, "\\"),
];

/// A field block of literals that nobody is to index.
pub(crate) fn encode(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        put_string(name, &mut block);
        put_string(value, &mut block);
    }
    block
}

fn put_string(text: &str, block: &mut Vec<u8>) {
    let low_bits = |rest: usize| u8::try_from(rest & 0x7F).expect("seven bits");
    match text.len() {
        len @ ..127 => block.push(low_bits(len)),
        len => {
            block.push(127);
            let mut rest = len - 127;
            while rest > 127 {
                block.push(0x80 | low_bits(rest));
                rest >>= 7;
            }
            block.push(low_bits(rest));
        }
    }
    block.extend(text.bytes());
}

/// The fields of a block; what is wrong with it fails the test.
pub(crate) fn decode(mut block: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    while let Some(&first) = block.first() {
        if first & 0x80 != 0 {
            let (name, value) = STATIC[take_integer(&mut block, 7) - 1];
            fields.push((name.to_owned(), value.to_owned()));
            continue;
        }
        // A size of the dynamic table: of none, it is 0.
        if first & 0xE0 == 0x20 {
            assert!(fields.is_empty(), "a size update behind {fields:?}");
            assert_eq!(take_integer(&mut block, 5), 0);
            continue;
        }
        assert_eq!(first & 0x40, 0, "there is no dynamic table");
        let name = match take_integer(&mut block, 4) {
            0 => take_string(&mut block),
            index => STATIC[index - 1].0.to_owned(),
        };
        fields.push((name, take_string(&mut block)));
    }
    fields
}

fn take_byte(block: &mut &[u8]) -> u8 {
    let (first, rest) = block.split_first().expect("the block goes on");
    *block = rest;
    *first
}

/// Section 5.1.
fn take_integer(block: &mut &[u8], prefix_bits: u32) -> usize {
    let max_prefix = (1 << prefix_bits) - 1;
    let mut integer = usize::from(take_byte(block)) & max_prefix;
    if integer < max_prefix {
        return integer;
    }
    for shift in [0, 7, 14] {
        let byte = take_byte(block);
        integer += usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return integer;
        }
    }
    panic!("an integer of more than three bytes");
}

/// Section 5.2.
fn take_string(block: &mut &[u8]) -> String {
    let is_coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let len = take_integer(block, 7);
    let (bytes, rest) = block.split_at(len);
    *block = rest;
    if is_coded {
        decode_huffman(bytes)
    } else {
        String::from_utf8(bytes.to_vec()).expect("fields of these tests are text")
    }
}

fn decode_huffman(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut code, mut code_bits) = (0_u32, 0);
    for place in 0..bytes.len() * 8 {
        code = code << 1 | u32::from(bytes[place / 8] >> (7 - place % 8) & 1);
        code_bits += 1;
        if let Some(byte) = byte_of(code, code_bits) {
            text.push(byte);
            (code, code_bits) = (0, 0);
        }
    }
    // The padding is the beginning of the longest code, and less than a byte.
    assert!(code_bits < 8, "no code of printable ASCII: {code:b}");
    assert_eq!(code, (1 << code_bits) - 1, "padding");
    text
}

fn byte_of(code: u32, code_bits: u32) -> Option<char> {
    let (mut first, mut before) = (0, 5);
    for (bits, bytes) in CODES {
        first <<= bits - before;
        if bits == code_bits {
            return bytes.chars().nth(code.checked_sub(first)? as usize);
        }
        first += u32::try_from(bytes.chars().count()).expect("a few");
        before = bits;
    }
    None
}

/// RFC 7541 appendix C.4.1, C.6.1.
#[test]
fn strings_of_the_rfc_are_decoded() {
    let vectors: [(&[u8], &str); 3] = [
        (
            b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
            "www.example.com",
        ),
        (
            b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff",
            "Mon, 21 Oct 2013 20:13:21 GMT",
        ),
        (
            b"\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3",
            "https://www.example.com",
        ),
    ];
    for (bytes, text) in vectors {
        assert_eq!(decode_huffman(bytes), text);
    }
}
