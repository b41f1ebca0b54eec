//! That an address beside the table belongs to somebody in it.

use super::Directory;
use crate::client_id::ClientId;

impl Directory {
    /// The open clients by slot, with their endpoints.
    pub(crate) fn check_invariants(&self) -> Vec<(u32, ClientId, u16)> {
        let open: Vec<_> = (0..)
            .zip(&self.entries)
            .filter_map(|(slot, entry)| Some((slot, entry.id(slot), entry.endpoint()?)))
            .collect();
        let places = open.iter().filter_map(|(slot, ..)| {
            let entry = &self.entries[*slot as usize];
            entry.remote_address.place()
        });
        let mut places: Vec<usize> = places.collect();
        assert!(places.iter().all(|place| self.addresses.contains(*place)));
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), self.addresses.len(), "addresses");
        open
    }
}
