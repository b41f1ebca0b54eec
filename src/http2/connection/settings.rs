//! Settings (RFC 9113 section 6.5.2): ours as they are announced, the client's as they are judged.

use crate::config::Config;
use crate::http2::frame::{
    ConnectionError, DEFAULT_WINDOW_BYTES, ErrorCode, MAX_PAYLOAD_BYTES, MAX_WINDOW_BYTES,
};

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
/// RFC 8441 section 3.
const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
/// RFC 9218 section 2.1.
const NO_RFC7540_PRIORITIES: u16 = 0x9;

/// The table of a field block's decoder at first (RFC 9113 section 6.5.2).
const DEFAULT_TABLE_BYTES: u32 = 4096;

/// What the client may send on a stream before the application took any of it.
pub(super) fn stream_window_bytes(config: &Config) -> u32 {
    let bytes = u32::try_from(config.http2_stream_window_bytes).unwrap_or(u32::MAX);
    bytes.clamp(DEFAULT_WINDOW_BYTES, MAX_WINDOW_BYTES)
}

/// What the client is told, once: nothing of it changes later.
pub(super) fn ours(config: &Config) -> [(u16, u32); 4] {
    let max_list_bytes = u32::try_from(config.max_header_section_bytes).unwrap_or(u32::MAX);
    [
        (MAX_CONCURRENT_STREAMS, config.http2_max_streams),
        (INITIAL_WINDOW_SIZE, stream_window_bytes(config)),
        (MAX_HEADER_LIST_SIZE, max_list_bytes),
        (ENABLE_CONNECT_PROTOCOL, 1),
    ]
}

/// What the client said that matters to us.
///
/// Its other settings bind us to nothing: we never push, never send a frame longer than the least
/// that it may ask for, and what its header list may hold is its own word against ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerSettings {
    /// Bytes that may be sent on a new stream.
    pub(super) initial_window_bytes: u32,
    table_bytes: u32,
    /// The table of the client's decoder became smaller, and it waits to be told that ours did.
    pub(super) owes_table_size: bool,
}

impl PeerSettings {
    /// What holds before the client said anything.
    pub(super) const DEFAULT: Self = Self {
        initial_window_bytes: DEFAULT_WINDOW_BYTES,
        table_bytes: DEFAULT_TABLE_BYTES,
        owes_table_size: false,
    };

    /// Takes the payload of a SETTINGS frame, whose length was judged.
    ///
    /// # Errors
    ///
    /// A value that is not allowed (section 6.5.2).
    pub(super) fn apply(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        let (settings, _) = payload.as_chunks();
        for &[a, b, c, d, e, f] in settings {
            let identifier = u16::from_be_bytes([a, b]);
            self.set(identifier, u32::from_be_bytes([c, d, e, f]))?;
        }
        Ok(())
    }

    fn set(&mut self, identifier: u16, value: u32) -> Result<(), ConnectionError> {
        match identifier {
            HEADER_TABLE_SIZE => {
                // RFC 7541 section 4.2; also if it grows again before the next block.
                self.owes_table_size |= value < self.table_bytes;
                self.table_bytes = value;
            }
            ENABLE_PUSH if value > 1 => {
                let reason = "SETTINGS_ENABLE_PUSH is neither 0 nor 1";
                return Err(ConnectionError::protocol(reason));
            }
            INITIAL_WINDOW_SIZE if value > MAX_WINDOW_BYTES => {
                let reason = "SETTINGS_INITIAL_WINDOW_SIZE is above 2^31-1";
                let code = ErrorCode::FLOW_CONTROL_ERROR;
                return Err(ConnectionError::new(code, reason));
            }
            INITIAL_WINDOW_SIZE => self.initial_window_bytes = value,
            MAX_FRAME_SIZE if !(MAX_PAYLOAD_BYTES..1 << 24).contains(&(value as usize)) => {
                let reason = "SETTINGS_MAX_FRAME_SIZE is below 2^14 or above 2^24-1";
                return Err(ConnectionError::protocol(reason));
            }
            NO_RFC7540_PRIORITIES if value > 1 => {
                let reason = "SETTINGS_NO_RFC7540_PRIORITIES is neither 0 nor 1";
                return Err(ConnectionError::protocol(reason));
            }
            // ENABLE_CONNECT_PROTOCOL means nothing to a server, and unknown ones are ignored.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(settings: &[(u16, u32)]) -> Result<PeerSettings, ErrorCode> {
        let mut payload = Vec::new();
        for (identifier, value) in settings {
            payload.extend_from_slice(&identifier.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        let mut peer = PeerSettings::DEFAULT;
        let applied = peer.apply(&payload);
        applied.map(|()| peer).map_err(|error| error.code)
    }

    /// RFC 9113 section 6.5.2, RFC 9218 section 2.1.
    #[test]
    fn values_are_judged_by_their_bounds() {
        for (identifier, legal, illegal, code) in [
            (ENABLE_PUSH, &[0, 1][..], &[2, u32::MAX][..], 0x1),
            (INITIAL_WINDOW_SIZE, &[0, 0x7FFF_FFFF], &[0x8000_0000], 0x3),
            (
                MAX_FRAME_SIZE,
                &[16_384, 16_777_215],
                &[0, 16_383, 16_777_216],
                0x1,
            ),
            (NO_RFC7540_PRIORITIES, &[0, 1], &[2], 0x1),
            (HEADER_TABLE_SIZE, &[0, u32::MAX], &[], 0),
            (MAX_CONCURRENT_STREAMS, &[0, u32::MAX], &[], 0),
            (MAX_HEADER_LIST_SIZE, &[0, u32::MAX], &[], 0),
            (ENABLE_CONNECT_PROTOCOL, &[0, 1, 2], &[], 0),
            (0xABCD, &[0, u32::MAX], &[], 0),
        ] {
            for value in legal {
                assert!(applied(&[(identifier, *value)]).is_ok(), "{identifier}");
            }
            for value in illegal {
                let verdict = applied(&[(identifier, *value)]);
                assert_eq!(verdict, Err(ErrorCode::from(code)), "{identifier} {value}");
            }
        }
    }

    /// RFC 9113 section 6.5.3: in the order in which they stand.
    #[test]
    fn the_last_of_several_values_stands() {
        let peer = applied(&[(INITIAL_WINDOW_SIZE, 1), (INITIAL_WINDOW_SIZE, 2)]).unwrap();
        assert_eq!(peer.initial_window_bytes, 2);
    }

    /// RFC 7541 section 4.2.
    #[test]
    fn a_table_that_became_smaller_is_remembered_though_it_grew_again() {
        let owes = |settings: &[u32]| {
            let settings: Vec<_> = settings.iter().map(|v| (HEADER_TABLE_SIZE, *v)).collect();
            applied(&settings).unwrap().owes_table_size
        };
        assert!(!owes(&[4096]));
        assert!(!owes(&[65_536]));
        assert!(owes(&[4095]));
        assert!(owes(&[0, 4096]));
        assert!(owes(&[65_536, 4096]));
    }
}
