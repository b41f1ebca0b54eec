//! Names and values to field blocks (RFC 7541 sections 5 and 6).
//!
//! Nothing is remembered: a name has the index of a static entry or is written out, a value is
//! written out, and no entry is inserted into the peer's table. That costs a few bytes of each
//! response; in return a connection keeps no table for it, and what the peer allows its table to be
//! is of no concern.

use super::huffman;
use super::table::STATIC;

/// Pattern of a literal field without indexing (section 6.2.2).
const WITHOUT_INDEXING: u8 = 0x00;
/// Pattern of a literal field that nobody may index who passes it on (section 6.2.3).
const NEVER_INDEXED: u8 = 0x10;
/// Bits that an index has in the first byte of either.
const NAME_PREFIX_BITS: u32 = 4;
/// Pattern of an indexed field (section 6.1).
const INDEXED: u8 = 0x80;
/// Set where a string is Huffman-coded (section 5.2).
const HUFFMAN: u8 = 0x80;

/// Longest string whose length is in the first byte.
const MAX_SHORT_LEN: usize = 126;

/// `authorization`, `proxy-authorization` and `set-cookie`: secrets, which are not to be guessed by
/// what they are compressed to (section 7.1.3).
const SECRET_INDICES: [u8; 3] = [23, 49, 55];

/// Index of `:status` in the static table.
const STATUS_INDEX: u8 = 8;

/// Appends a field to a block. The name is a token (RFC 9110 section 5.6.2) or a pseudo-header
/// field's, and is written in lower case (RFC 9113 section 8.2).
pub(crate) fn encode_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    // An index and two lengths: four bytes, or a few more if the strings are long.
    out.reserve(name.len() + value.len() + 8);
    if let Some(index) = static_index(name) {
        let pattern = if SECRET_INDICES.contains(&index) {
            NEVER_INDEXED
        } else {
            WITHOUT_INDEXING
        };
        put_integer(usize::from(index), pattern, NAME_PREFIX_BITS, out);
    } else {
        out.push(WITHOUT_INDEXING);
        put_string(name.iter().map(u8::to_ascii_lowercase), out);
    }
    put_string(value.iter().copied(), out);
}

/// Appends `:status`, indexed where the static table has it.
pub(crate) fn encode_status(status: u16, out: &mut Vec<u8>) {
    debug_assert!((100..1000).contains(&status));
    let index = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            let digit = |place: u16| b'0' + (status / place % 10).to_le_bytes()[0];
            out.push(WITHOUT_INDEXING | STATUS_INDEX);
            put_string([digit(100), digit(10), digit(1)].into_iter(), out);
            return;
        }
    };
    out.push(INDEXED | index);
}

/// Appends a string, Huffman-coded if that is shorter.
#[inline]
fn put_string(bytes: impl ExactSizeIterator<Item = u8> + Clone, out: &mut Vec<u8>) {
    if bytes.len() <= MAX_SHORT_LEN {
        // Whichever it will be has its length in one byte. So it is tried, which takes fewer
        // instructions than to count the bits first: most strings are shorter for it.
        let start = out.len();
        out.push(0);
        huffman::encode(bytes.clone(), out);
        let encoded_len = out.len() - start - 1;
        if encoded_len < bytes.len() {
            out[start] = HUFFMAN | low_byte(encoded_len);
            return;
        }
        out.truncate(start);
    } else {
        let encoded_len = huffman::encoded_bits(bytes.clone()).div_ceil(8);
        if encoded_len < bytes.len() {
            put_integer(encoded_len, HUFFMAN, 7, out);
            huffman::encode(bytes, out);
            return;
        }
    }
    put_integer(bytes.len(), 0, 7, out);
    out.extend(bytes);
}

/// Appends an integer whose lowest `prefix_bits` share a byte with `pattern` (section 5.1).
#[inline]
fn put_integer(integer: usize, pattern: u8, prefix_bits: u32, out: &mut Vec<u8>) {
    let max_prefix = (1 << prefix_bits) - 1;
    if integer < max_prefix {
        out.push(pattern | low_byte(integer));
        return;
    }
    out.push(pattern | low_byte(max_prefix));
    let mut rest = integer - max_prefix;
    while rest >= 0x80 {
        out.push(low_byte(rest) | 0x80);
        rest >>= 7;
    }
    out.push(low_byte(rest));
}

#[inline]
const fn low_byte(integer: usize) -> u8 {
    integer.to_le_bytes()[0]
}

/// The first index in the static table of `name`, in any case.
#[inline]
fn static_index(name: &[u8]) -> Option<u8> {
    let (&first, &last) = (name.first()?, name.last()?);
    let index = NAMES[place(name.len(), first, last)];
    let (known, _) = STATIC.get(usize::from(index).checked_sub(1)?)?;
    is_known(name, known).then_some(index)
}

/// Whether `name`, a token in any case, is `known`, which is one in lower case.
///
/// By eight bytes at a time: one by one they took more instructions than all else of a field. Bit
/// 0x20 makes letters lower case, and `-`, `:` have it; what else it would change is in no token.
#[inline]
fn is_known(name: &[u8], known: &[u8]) -> bool {
    const BIT: u8 = 0x20;
    let is_same = |(name, known): (&[u8; 8], &[u8; 8])| {
        u64::from_ne_bytes(*name) | u64::from_ne_bytes([BIT; 8]) == u64::from_ne_bytes(*known)
    };
    if name.len() != known.len() {
        return false;
    }
    // The last eight may have been looked at in part.
    if let Some(last) = name.last_chunk().zip(known.last_chunk()) {
        let mut words = name.as_chunks().0.iter().zip(known.as_chunks().0);
        return is_same(last) && words.all(is_same);
    }
    let mut bytes = name.iter().zip(known);
    bytes.all(|(name, known)| name | BIT == *known)
}

/// Indices of the names in the static table, each at a [`place`] of its own. 0: none.
static NAMES: [u8; 256] = names();

/// A place in [`NAMES`], which no two names of the static table share: the factors were found by
/// trying.
#[inline]
const fn place(len: usize, first: u8, last: u8) -> usize {
    // Letters in lower case; what else begins or ends a name of the table has that bit already.
    let (first, last) = ((first | 0x20) as usize, (last | 0x20) as usize);
    (len + first * 10 + last * 4) % 256
}

const fn names() -> [u8; 256] {
    let mut names = [0; 256];
    let mut index: u8 = 1;
    while (index as usize) <= STATIC.len() {
        let name = STATIC[index as usize - 1].0;
        let place = &mut names[place(name.len(), name[0], name[name.len() - 1])];
        if *place == 0 {
            *place = index;
        } else {
            // Entries of one name stand side by side: that of the first is there.
            assert!(is_same(name, STATIC[*place as usize - 1].0));
        }
        index += 1;
    }
    names
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() {
        if one.len() != other.len() || one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

#[cfg(test)]
mod tests;
