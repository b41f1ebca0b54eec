//! WebSocket on a stream (RFC 8441): frames as payload of DATA.

use super::{ENABLE_CONNECT_PROTOCOL, Http2Client};
use crate::client::{self, CLOSE, TEXT, close_payload, frame};

/// What a WebSocket's stream carries.
impl Http2Client {
    /// Asks for a WebSocket (RFC 8441 section 4).
    pub(crate) fn ask_websocket(&mut self, path: &str, fields: &[(&str, &str)]) -> u32 {
        assert_eq!(self.server_settings.get(&ENABLE_CONNECT_PROTOCOL), Some(&1));
        let mut all = vec![(":protocol", "websocket"), ("sec-websocket-version", "13")];
        all.extend(fields);
        self.send_request("CONNECT", path, &all, false)
    }

    pub(crate) fn open_websocket(&mut self, path: &str) -> u32 {
        let stream = self.ask_websocket(path, &[]);
        let (response, is_last) = self.read_head(stream);
        assert_eq!((response.status, is_last), (200, false), "{response:?}");
        stream
    }

    /// Sends a whole message.
    pub(crate) fn send_message(&mut self, stream: u32, opcode: u8, payload: impl AsRef<[u8]>) {
        self.send_data(stream, &frame(true, opcode, payload.as_ref()), false);
    }

    pub(crate) fn send_text(&mut self, stream: u32, text: &str) {
        self.send_message(stream, TEXT, text);
    }

    pub(crate) fn send_close(&mut self, stream: u32, code: u16) {
        self.send_message(stream, CLOSE, close_payload(code, ""));
    }

    /// So many bytes of a stream's payload.
    pub(crate) fn read_bytes(&mut self, stream: u32, len: usize) -> Vec<u8> {
        let mut bytes = self.unread.remove(&stream).unwrap_or_default();
        while bytes.len() < len {
            let (more, is_last) = self.read_data(stream);
            bytes.extend(more);
            assert!(
                !is_last || bytes.len() >= len,
                "the end behind {bytes:02x?}"
            );
        }
        let rest = bytes.split_off(len);
        self.unread.insert(stream, rest);
        bytes
    }

    pub(crate) fn read_frame(&mut self, stream: u32) -> client::Frame {
        client::read_frame(|len| self.read_bytes(stream, len))
    }

    /// Reads a message of one frame.
    pub(crate) fn read_message(&mut self, stream: u32, opcode: u8) -> Vec<u8> {
        let frame = self.read_frame(stream);
        assert_eq!((frame.fin, frame.opcode), (true, opcode), "{frame:02x?}");
        frame.payload
    }

    pub(crate) fn read_text(&mut self, stream: u32) -> String {
        String::from_utf8(self.read_message(stream, TEXT)).expect("text is UTF-8")
    }

    /// Reads a Close frame with `code`, and returns its reason.
    pub(crate) fn expect_close(&mut self, stream: u32, code: u16) -> String {
        let payload = self.read_message(stream, CLOSE);
        assert_eq!(payload.get(..2), Some(&code.to_be_bytes()[..]), "{code}");
        String::from_utf8(payload[2..].to_vec()).expect("a reason is UTF-8")
    }

    /// The server ended its side of the stream, and said nothing before that.
    pub(crate) fn expect_end(&mut self, stream: u32) {
        let unread = self.unread.remove(&stream).unwrap_or_default();
        assert!(unread.is_empty(), "unread: {unread:02x?}");
        // The end may have come with what was read last.
        if !self.ended.contains(&stream) || self.waiting.iter().any(|(of, _)| *of == stream) {
            assert_eq!(self.read_data(stream), (Vec::new(), true));
        }
    }
}
