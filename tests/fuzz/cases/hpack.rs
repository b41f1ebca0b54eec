//! Field compression of HTTP/2: blocks are decoded as by a decoder that is made of RFC 7541 and
//! nothing else; what is encoded comes back.
//!
//! The input is blocks, each behind a byte that says how long it is.

use aerys::internals::{FieldDecoder, encode_fields};

/// Names and values.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What the dynamic table may have (RFC 9113 section 6.5.2).
const MAX_TABLE_BYTES: usize = 4096;

pub(crate) fn run(input: &[u8]) {
    let (mut decoder, mut naive) = (FieldDecoder::default(), NaiveDecoder::new());
    let mut rest = input;
    while let Some((&len, behind)) = rest.split_first() {
        let (block, behind) = behind.split_at(behind.len().min(len.into()));
        rest = behind;
        match (decoder.decode(block), naive.decode(block)) {
            (Ok(fields), Some(expected)) => {
                assert_eq!(fields, expected);
                round_trip(&fields);
            }
            (Err(_), None) => return,
            (fields, expected) => panic!("{fields:?} is to be {expected:?}"),
        }
    }
}

/// Encodes those whose names are tokens in lower case, and decodes them again.
fn round_trip(fields: &[(Vec<u8>, Vec<u8>)]) {
    let is_one = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let is_token = |name: &[u8]| !name.is_empty() && name.iter().all(is_one);
    let fields = fields.iter().filter(|(name, _)| is_token(name));
    let fields: Fields = fields.cloned().collect();
    let block = encode_fields(&fields);
    assert_eq!(NaiveDecoder::new().decode(&block), Some(fields));
}

/// A decoder as the RFC describes it.
pub(crate) struct NaiveDecoder {
    /// The newest first.
    table: Fields,
    max_bytes: usize,
}

impl NaiveDecoder {
    pub(crate) const fn new() -> Self {
        Self {
            table: Vec::new(),
            max_bytes: MAX_TABLE_BYTES,
        }
    }

    /// `None`: the block is broken.
    pub(crate) fn decode(&mut self, block: &[u8]) -> Option<Fields> {
        let (mut bits, mut fields, mut size_updates) = (block, Vec::new(), 0);
        while let Some(&first) = bits.first() {
            if first & 0x80 != 0 {
                let index = take_integer(&mut bits, 7)?;
                fields.push(self.entry(index)?);
                continue;
            }
            if first & 0xE0 == 0x20 {
                size_updates += 1;
                let bytes = take_integer(&mut bits, 5)?;
                if bytes > MAX_TABLE_BYTES || size_updates > 2 || !fields.is_empty() {
                    return None;
                }
                self.max_bytes = bytes;
                self.evict();
                continue;
            }
            let is_inserted = first & 0x40 != 0;
            let name = match take_integer(&mut bits, if is_inserted { 6 } else { 4 })? {
                0 => take_string(&mut bits)?,
                index => self.entry(index)?.0,
            };
            let field = (name, take_string(&mut bits)?);
            if is_inserted {
                self.table.insert(0, field.clone());
                self.evict();
            }
            fields.push(field);
        }
        Some(fields)
    }

    fn entry(&self, index: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let index = index.checked_sub(1)?;
        match STATIC.lines().nth(index) {
            Some(line) => {
                let (name, value) = line.split_once(' ').unwrap_or((line, ""));
                Some((name.into(), value.into()))
            }
            None => self.table.get(index - STATIC.lines().count()).cloned(),
        }
    }

    fn evict(&mut self) {
        let size = |table: &Fields| -> usize {
            let sizes = table
                .iter()
                .map(|(name, value)| name.len() + value.len() + 32);
            sizes.sum()
        };
        while size(&self.table) > self.max_bytes {
            self.table.pop();
        }
    }
}

/// Section 5.1. What is above 32 bits is taken for broken, in any of its forms.
fn take_integer(bytes: &mut &[u8], prefix_bits: u32) -> Option<usize> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    let most = (1_u64 << prefix_bits) - 1;
    let mut integer = u64::from(first) & most;
    if integer == most {
        for shift in 0.. {
            let (&byte, rest) = bytes.split_first()?;
            *bytes = rest;
            integer += u64::from(byte & 0x7F).checked_shl(shift * 7)?;
            if byte & 0x80 == 0 {
                break;
            }
            if shift == 4 {
                return None;
            }
        }
    }
    usize::try_from(u32::try_from(integer).ok()?).ok()
}

/// Section 5.2.
fn take_string(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let is_huffman = bytes.first()? & 0x80 != 0;
    let len = take_integer(bytes, 7)?;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    if !is_huffman {
        return Some(text.to_vec());
    }
    let mut out = Vec::new();
    let (mut code, mut len) = (0_u32, 0);
    for byte in text {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            len += 1;
            if let Some(symbol) = symbol(code, len) {
                out.push(symbol);
                (code, len) = (0, 0);
            } else if len == 30 {
                return None; // that is the end-of-string symbol
            }
        }
    }
    // Padding is the begin of the end-of-string symbol, which is ones, and less than a byte.
    (len < 8 && code == (1 << len) - 1).then_some(out)
}

/// The byte with that code of so many bits (Appendix B): codes of one length follow each other, and
/// the first of a length is the one behind the last of the length before it.
fn symbol(code: u32, len: u32) -> Option<u8> {
    let (mut first, mut before) = (0, 0);
    for (other, symbols) in CODES {
        first <<= other - before;
        before = *other;
        if *other == len {
            let place = usize::try_from(code.checked_sub(first)?).ok()?;
            return symbols.get(place).copied();
        }
        first += u32::try_from(symbols.len()).ok()?;
    }
    None
}

/// The bytes whose codes have so many bits, in the order of their codes (Appendix B).
const CODES: &[(u32, &[u8])] = &[
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\x00$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, b"\\\xc3\xd0"),
    (20, b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2"),
    (21, b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6"),
    (22, b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9"),
    (23, b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef"),
    (24, b"\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"),
    (25, b"\xc7\xcf\xea\xeb"),
    (26, b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff"),
    (27, b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe"),
    (28, b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9"),
    (30, b"\x0a\x0d\x16"),
];

/// The static table (Appendix A): names, and values behind a blank.
const STATIC: &str = "\
    :authority\n\
    :method GET\n\
    :method POST\n\
    :path /\n\
    :path /index.html\n\
    :scheme http\n\
    :scheme https\n\
    :status 200\n\
    :status 204\n\
    :status 206\n\
    :status 304\n\
    :status 400\n\
    :status 404\n\
    :status 500\n\
    accept-charset\n\
    accept-encoding gzip, deflate\n\
    accept-language\n\
    accept-ranges\n\
    accept\n\
    access-control-allow-origin\n\
    age\n\
    allow\n\
    authorization\n\
    cache-control\n\
    content-disposition\n\
    content-encoding\n\
    content-language\n\
    content-length\n\
    content-location\n\
    content-range\n\
    content-type\n\
    cookie\n\
    date\n\
    etag\n\
    expect\n\
    expires\n\
    from\n\
    host\n\
    if-match\n\
    if-modified-since\n\
    if-none-match\n\
    if-range\n\
    if-unmodified-since\n\
    last-modified\n\
    link\n\
    location\n\
    max-forwards\n\
    proxy-authenticate\n\
    proxy-authorization\n\
    range\n\
    referer\n\
    refresh\n\
    retry-after\n\
    server\n\
    set-cookie\n\
    strict-transport-security\n\
    transfer-encoding\n\
    user-agent\n\
    vary\n\
    via\n\
    www-authenticate";
