//! Bodies in chunks: in any pieces they are the same, and those of a reader that is given the whole.
//!
//! The first bytes of the input choose the limit, the pieces, and how often all but the first line
//! is repeated, since floods are long; what follows is on the wire.

use aerys::Config;
use aerys::internals::read_chunks;

/// Trailer fields that a body may have here.
const MAX_TRAILERS: usize = 3;
/// Bytes that they may have together.
const MAX_TRAILER_BYTES: usize = 100;

pub(crate) fn run(input: &[u8]) {
    let &[max_bytes, piece_len, repeats, ref data @ ..] = input else {
        return;
    };
    let config = Config {
        max_header_count: MAX_TRAILERS,
        max_header_section_bytes: MAX_TRAILER_BYTES,
        ..Config::default()
    };
    let (max_bytes, piece_len) = (u64::from(max_bytes) * 256, usize::from(piece_len) + 1);
    let line = data.iter().position(|byte| *byte == b'\n');
    let (first, rest) = data.split_at(line.map_or(0, |end| end + 1));
    let wire = [first, &rest.repeat(usize::from(repeats) + 1)].concat();
    let whole = read_chunks(&wire, wire.len(), max_bytes, &config);
    for piece_len in [1, piece_len] {
        assert_eq!(read_chunks(&wire, piece_len, max_bytes, &config), whole);
    }
    match (&whole, read_naively(&wire, max_bytes)) {
        (Ok(Some(taken)), Some(naive)) => assert_eq!(*taken, naive),
        (Ok(Some(_)), None) => panic!("nothing is taken that has another reading"),
        (verdict, Some(_)) => panic!("a body that is whole is taken: {verdict:?}"),
        (Ok(None) | Err(_), None) => {}
    }
    if let Ok(Some((content, end))) = whole {
        assert!(content.len() as u64 <= max_bytes && content.len() < end);
    }
}

/// The content of a body that is all there and legal, and where it ends.
fn read_naively(wire: &[u8], max_bytes: u64) -> Option<(Vec<u8>, usize)> {
    let (mut content, mut extensions, mut rest) = (Vec::new(), 0, wire);
    loop {
        let (line, behind) = split_line(rest)?;
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let (size, extension) = line.split_at(digits);
        if !(1..=16).contains(&digits) || !matches!(extension, [] | [b';', ..]) {
            return None;
        }
        extensions += extension.len();
        if extensions > 16 * 1024 + content.len() / 256 {
            return None;
        }
        let size = u64::from_str_radix(&String::from_utf8_lossy(size), 16).ok()?;
        if size == 0 {
            rest = behind;
            break;
        }
        if size > max_bytes - content.len() as u64 {
            return None;
        }
        let (chunk, behind) = behind.split_at_checked(size.try_into().ok()?)?;
        content.extend_from_slice(chunk);
        rest = behind.strip_prefix(b"\r\n")?;
    }
    let begin = rest.len();
    for count in 0.. {
        let (line, behind) = split_line(rest)?;
        rest = behind;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let is_token =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let is_name = colon > 0 && line[..colon].iter().all(is_token);
        if !is_name || count == MAX_TRAILERS || begin - rest.len() > MAX_TRAILER_BYTES {
            return None;
        }
    }
    Some((content, wire.len() - rest.len()))
}

/// A line without control characters, and what is behind its CR LF.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\r')?;
    let is_legal = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    let (line, rest) = text.split_at(end);
    let rest = rest.strip_prefix(b"\r\n")?;
    line.iter().all(is_legal).then_some((line, rest))
}
