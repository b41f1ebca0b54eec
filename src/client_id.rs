//! The name of a client: never given twice in the life of a process.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// Bits of the id that say which slot of the server's table the client lies in.
pub(crate) const SLOT_BITS: u32 = 24;
/// Generations that one slot can have; a slot that spent them is retired.
pub(crate) const MAX_GENERATION: u64 = (1 << (64 - SLOT_BITS)) - 1;

/// Identifies one connected client, for as long as the process lives.
///
/// Ids are not reused: a later client that lies in the same place of the server's table has
/// another id, and what is sent to an id whose client left reaches nobody. It prints as an
/// integer, which parses back:
///
/// ```
/// use aerys::ClientId;
/// let id: ClientId = "42".parse()?;
/// assert_eq!(id.to_string(), "42");
/// # Ok::<(), std::num::ParseIntError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

impl ClientId {
    pub(crate) const fn new(slot: u32, generation: u64) -> Self {
        debug_assert!(slot < 1 << SLOT_BITS && generation <= MAX_GENERATION);
        Self(generation << SLOT_BITS | slot as u64)
    }

    pub(crate) const fn from_u64(value: u64) -> Self {
        Self(value)
    }

    pub(crate) const fn slot(self) -> u32 {
        // The mask leaves 24 bits.
        (self.0 & ((1 << SLOT_BITS) - 1)) as u32
    }

    /// The number that the id prints as.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientId({})", self.0)
    }
}

impl FromStr for ClientId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_slot_through_printing_and_parsing() {
        for (slot, generation) in [
            (0, 0),
            (7, 0),
            ((1 << SLOT_BITS) - 1, MAX_GENERATION),
            (3, 9),
        ] {
            let id = ClientId::new(slot, generation);
            let back: ClientId = id.to_string().parse().expect("prints an integer");
            assert_eq!((back, back.slot()), (id, slot));
        }
    }

    #[test]
    fn two_generations_of_a_slot_differ() {
        assert_ne!(ClientId::new(5, 1), ClientId::new(5, 2));
    }
}
