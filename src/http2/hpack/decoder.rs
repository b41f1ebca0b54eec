//! Field blocks to names and values (RFC 7541 sections 3, 5 and 6).

use std::ops::Range;

use super::table::{DynamicTable, MAX_SIZE_BYTES, static_entry};
use super::{InvalidBlock, huffman};

/// What is kept for the strings of the next block; what a longer one needed is given back.
const MAX_IDLE_SCRATCH_BYTES: usize = 1024;

/// A peer may change the size of its table twice before a block: down, so that we evict, and to
/// what it wants (section 4.2).
const MAX_SIZE_UPDATES: usize = 2;

const CUT_OFF: InvalidBlock = InvalidBlock("the block ends inside a field");
const NO_ENTRY: InvalidBlock = InvalidBlock("an index that means no entry");

/// Decoder of one connection: its dynamic table, of at most 4,096 bytes, which is the default of
/// `SETTINGS_HEADER_TABLE_SIZE` (RFC 9113 section 6.5.2). We never change it.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: DynamicTable,
    /// Strings of the field that is being decoded which lie nowhere as they are.
    scratch: Vec<u8>,
}

/// A string of the field that is being decoded.
enum Text<'block> {
    /// It lies in the block as it is.
    Plain(&'block [u8]),
    /// It was decoded into the scratch buffer.
    Decoded(Range<usize>),
}

impl<'block> Text<'block> {
    fn bytes<'a>(&self, scratch: &'a [u8]) -> &'a [u8]
    where
        'block: 'a,
    {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Decoded(range) => &scratch[range.clone()],
        }
    }
}

impl Decoder {
    /// Owns no heap memory before the first insertion.
    pub(crate) const fn new() -> Self {
        Self {
            table: DynamicTable::new(),
            scratch: Vec::new(),
        }
    }

    /// Decodes a whole field block. `field` is told each name and value, in order, also if the
    /// caller has no use for them any more: the table must be kept right. They are bytes of any
    /// kind; nothing about HTTP is judged here.
    ///
    /// A block may name much with little, up to 4,064 bytes with one. That costs nothing here; it
    /// is for the caller to stop keeping what it is told.
    ///
    /// # Errors
    ///
    /// [`InvalidBlock`] where the block breaks the RFC. The table is of no use then, nor is the
    /// connection.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), InvalidBlock> {
        let mut rest = block;
        self.decode_size_updates(&mut rest)?;
        while let Some(&first) = rest.first() {
            match first {
                0x80.. => {
                    let index = take_integer(&mut rest, 7)?;
                    let (name, value) = self.table.entry(index).ok_or(NO_ENTRY)?;
                    field(name, value);
                }
                0x40.. => self.decode_literal(&mut rest, 6, true, &mut field)?,
                0x20.. => return Err(InvalidBlock("a table size update that is not in front")),
                // Without indexing or never to be indexed: a matter of those who pass it on.
                _ => self.decode_literal(&mut rest, 4, false, &mut field)?,
            }
        }
        if self.scratch.capacity() > MAX_IDLE_SCRATCH_BYTES {
            self.scratch = Vec::new();
        }
        Ok(())
    }

    /// Memory on the heap.
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.scratch.capacity()
    }

    /// Table size updates at the front of a block (section 6.3).
    fn decode_size_updates(&mut self, rest: &mut &[u8]) -> Result<(), InvalidBlock> {
        for count in 0.. {
            let Some(0x20..0x40) = rest.first() else {
                break;
            };
            if count == MAX_SIZE_UPDATES {
                return Err(InvalidBlock("more than two table size updates"));
            }
            let size_bytes = take_integer(rest, 5)?;
            if size_bytes > MAX_SIZE_BYTES {
                return Err(InvalidBlock("a table size above 4,096 bytes"));
            }
            self.table.set_max_size_bytes(size_bytes);
        }
        Ok(())
    }

    /// A literal field (section 6.2), whose index of a name has `prefix_bits`.
    fn decode_literal(
        &mut self,
        rest: &mut &[u8],
        prefix_bits: u32,
        is_inserted: bool,
        field: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<(), InvalidBlock> {
        self.scratch.clear();
        let index = take_integer(rest, prefix_bits)?;
        // `None`: that of a dynamic entry.
        let name = match index {
            0 => Some(take_string(rest, &mut self.scratch)?),
            _ => static_entry(index).map(|(name, _)| Text::Plain(name)),
        };
        let value = take_string(rest, &mut self.scratch)?;
        if let Some(name) = name {
            let (name, value) = (name.bytes(&self.scratch), value.bytes(&self.scratch));
            field(name, value);
            if is_inserted {
                self.table.insert(name, value);
            }
            return Ok(());
        }
        let (name, _) = self.table.entry(index).ok_or(NO_ENTRY)?;
        field(name, value.bytes(&self.scratch));
        if is_inserted {
            // A copy, since the insertion may evict the entry that has the name (section 4.4).
            let start = self.scratch.len();
            self.scratch.extend_from_slice(name);
            let (name, value) = (&self.scratch[start..], value.bytes(&self.scratch));
            self.table.insert(name, value);
        }
        Ok(())
    }
}

/// Takes an integer from the front of `rest`, of which the first byte has the lowest `prefix_bits`
/// (section 5.1).
#[inline]
fn take_integer(rest: &mut &[u8], prefix_bits: u32) -> Result<usize, InvalidBlock> {
    let first = take_byte(rest)?;
    let max_prefix = u8::MAX >> (8 - prefix_bits);
    let prefix = first & max_prefix;
    if prefix < max_prefix {
        return Ok(usize::from(prefix));
    }
    take_long_integer(rest, prefix)
}

/// The rest of an integer that did not fit its prefix. Nothing that we would take is longer than
/// five bytes, or than 32 bits.
fn take_long_integer(rest: &mut &[u8], prefix: u8) -> Result<usize, InvalidBlock> {
    const TOO_BIG: InvalidBlock = InvalidBlock("an integer above 2^32 - 1");
    let mut integer = u64::from(prefix);
    for shift in [0, 7, 14, 21, 28] {
        let byte = take_byte(rest)?;
        integer += u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            let integer = u32::try_from(integer).map_err(|_| TOO_BIG)?;
            return usize::try_from(integer).map_err(|_| TOO_BIG);
        }
    }
    Err(TOO_BIG)
}

/// Takes a string literal from the front of `rest` (section 5.2).
#[inline]
fn take_string<'block>(
    rest: &mut &'block [u8],
    scratch: &mut Vec<u8>,
) -> Result<Text<'block>, InvalidBlock> {
    let is_huffman = rest.first().is_some_and(|first| first & 0x80 != 0);
    let len = take_integer(rest, 7)?;
    let (bytes, behind) = rest.split_at_checked(len).ok_or(CUT_OFF)?;
    *rest = behind;
    if !is_huffman {
        return Ok(Text::Plain(bytes));
    }
    let start = scratch.len();
    huffman::decode(bytes, scratch)?;
    Ok(Text::Decoded(start..scratch.len()))
}

#[inline]
fn take_byte(rest: &mut &[u8]) -> Result<u8, InvalidBlock> {
    let (&first, behind) = rest.split_first().ok_or(CUT_OFF)?;
    *rest = behind;
    Ok(first)
}

#[cfg(test)]
mod tests;
