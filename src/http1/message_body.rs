//! The body of a request: by length or in chunks (RFC 9112 sections 6 and 7).
//!
//! Takes bytes in any pieces and appends what is content. The one rule about chunks is that
//! nobody may read them differently: sizes are hex digits, line ends are CR LF, and what is
//! neither content nor needed is bounded.

use crate::config::Config;
use crate::http::StatusCode;
use crate::http::bytes::is_control;
use crate::http::headers::is_token_byte;

use super::{BODY_TOO_LONG, RefusedRequest};

/// Chunk extensions that a body may have, in bytes, beside [one](CONTENT_PER_EXTENSION_BYTE) for so
/// much content: few use them, but for floods.
const MAX_EXTENSION_BYTES: u64 = 16 * 1024;

/// Enough for the signature of each 64 KiB that some object stores want.
const CONTENT_PER_EXTENSION_BYTE: u64 = 256;

/// Digits of a chunk size, leading zeros included: all that 64 bits hold.
const MAX_SIZE_DIGITS: u8 = 16;

const BAD_SIZE: RefusedRequest = RefusedRequest::bad("a chunk size is malformed");
const BAD_EXTENSION: RefusedRequest = RefusedRequest::bad("a chunk extension is malformed");
const BAD_TRAILER: RefusedRequest = RefusedRequest::bad("a trailer field is malformed");
const TRAILERS_TOO_LONG: RefusedRequest = RefusedRequest::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the trailer section is too long",
);

/// How a head says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// After so many bytes; 0 is no body.
    Length(u64),
    /// After the last chunk.
    Chunked,
}

/// Takes one body out of the stream.
#[derive(Debug)]
pub(crate) enum BodyDecoder {
    /// So many bytes are missing.
    Length(u64),
    /// Chunks.
    Chunked(ChunkDecoder),
}

/// What a piece of input brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Bytes of the input that belong to the body.
    pub(crate) consumed: usize,
    /// Whether the body is complete.
    pub(crate) is_complete: bool,
}

/// Content that lies in one piece, and what belongs to the body in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Bytes of the input that frame the content.
    pub(crate) framing_len: usize,
    /// Bytes of content behind them.
    pub(crate) content_len: usize,
    /// Whether the body is complete.
    pub(crate) is_last: bool,
}

impl BodyDecoder {
    /// For a body framed so, of any length.
    pub(crate) fn new(framing: BodyFraming) -> Self {
        match framing {
            BodyFraming::Length(len) => Self::Length(len),
            BodyFraming::Chunked => Self::Chunked(ChunkDecoder::default()),
        }
    }

    /// Allows so much content and no more. Before any of it is decoded.
    ///
    /// # Errors
    ///
    /// If the body says that it is longer.
    pub(crate) fn allow(&mut self, max_bytes: u64) -> Result<(), RefusedRequest> {
        match self {
            Self::Length(len) if *len > max_bytes => Err(BODY_TOO_LONG),
            Self::Length(_) => Ok(()),
            Self::Chunked(chunks) => {
                chunks.allowed = max_bytes;
                Ok(())
            }
        }
    }

    /// Appends the content in `input` to `body`. Never reserves by what the peer declares.
    ///
    /// # Errors
    ///
    /// As [`next_piece`](Self::next_piece).
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        body: &mut Vec<u8>,
        config: &Config,
    ) -> Result<Decoded, RefusedRequest> {
        let mut consumed = 0;
        loop {
            let piece = self.next_piece(&input[consumed..], config)?;
            let content = consumed + piece.framing_len;
            consumed = content + piece.content_len;
            body.extend_from_slice(&input[content..consumed]);
            if piece.is_last || consumed == input.len() {
                return Ok(Decoded {
                    consumed,
                    is_complete: piece.is_last,
                });
            }
        }
    }

    /// The next content in `input`, as much as lies in one piece; without any, all of `input` is
    /// framing, or the body is complete.
    ///
    /// # Errors
    ///
    /// A broken rule of the chunked coding, or a limit that a chunk passes, judged on its size.
    pub(crate) fn next_piece(
        &mut self,
        input: &[u8],
        config: &Config,
    ) -> Result<Piece, RefusedRequest> {
        match self {
            Self::Length(missing) => {
                let content_len = take_content(missing, input);
                Ok(Piece {
                    framing_len: 0,
                    content_len,
                    is_last: *missing == 0,
                })
            }
            Self::Chunked(chunks) => chunks.next_piece(input, config),
        }
    }
}

/// How many of `missing` bytes `input` has, which then are missing no more.
fn take_content(missing: &mut u64, input: &[u8]) -> usize {
    let len = usize::try_from(*missing).map_or(input.len(), |missing| missing.min(input.len()));
    *missing -= len as u64;
    len
}

/// The chunked coding, byte by byte except for the content.
///
/// ```text
///   ┌──▶ Size ─(Extension)─▶ SizeLf ─▶ Data ─▶ DataCr ─▶ DataLf ──┐
///   └────────────────────────│────────────────────────────────────┘
///                            ▼ size 0
///   ┌──────────────▶ TrailerStart ─▶ EndLf ─▶ Complete
///   │                        ▼
///   └─ TrailerLf ◀─ TrailerValue ◀─ TrailerName
/// ```
#[derive(Debug, Default)]
pub(crate) struct ChunkDecoder {
    state: ChunkState,
    /// The chunk size while it is read, then what is missing of the chunk.
    missing: u64,
    /// Content that the chunks to come may have together.
    allowed: u64,
    size_digits: u8,
    extension_bytes: u64,
    /// Content that the chunks until now have together.
    content_bytes: u64,
    trailer_bytes: usize,
    trailer_count: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkState {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Complete,
}

impl ChunkDecoder {
    fn next_piece(&mut self, input: &[u8], config: &Config) -> Result<Piece, RefusedRequest> {
        let mut framing_len = 0;
        while self.state != ChunkState::Complete && framing_len < input.len() {
            if self.state == ChunkState::Data {
                let content_len = take_content(&mut self.missing, &input[framing_len..]);
                if self.missing == 0 {
                    self.state = ChunkState::DataCr;
                }
                return Ok(Piece {
                    framing_len,
                    content_len,
                    is_last: false,
                });
            }
            self.state = self.step(input[framing_len], config)?;
            framing_len += 1;
        }
        Ok(Piece {
            framing_len,
            content_len: 0,
            is_last: self.state == ChunkState::Complete,
        })
    }

    /// One byte of what is not content.
    fn step(&mut self, byte: u8, config: &Config) -> Result<ChunkState, RefusedRequest> {
        use ChunkState as State;
        match (self.state, byte) {
            (State::Size, b';') if self.size_digits > 0 => self.extension(),
            (State::Size, b'\r') if self.size_digits > 0 => self.size_is_known(),
            (State::Size, digit) => self.size_digit(digit),
            (State::Extension, b'\r') => self.size_is_known(),
            (State::Extension, byte) if !is_control(byte) => self.extension(),
            (State::Extension, _) => Err(BAD_EXTENSION),
            (State::SizeLf, b'\n') if self.missing > 0 => Ok(State::Data),
            (State::SizeLf, b'\n') => Ok(State::TrailerStart),
            (State::SizeLf, _) => Err(BAD_SIZE),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.size_digits = 0;
                Ok(State::Size)
            }
            (State::DataCr | State::DataLf, _) => {
                Err(RefusedRequest::bad("a chunk is longer than it says"))
            }
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::EndLf, b'\n') => Ok(State::Complete),
            (_, byte) => self.trailer(byte, config),
        }
    }

    fn size_digit(&mut self, digit: u8) -> Result<ChunkState, RefusedRequest> {
        let value = char::from(digit).to_digit(16).ok_or(BAD_SIZE)?;
        if self.size_digits == 0 {
            self.missing = 0;
        }
        self.size_digits += 1;
        if self.size_digits > MAX_SIZE_DIGITS {
            return Err(BAD_SIZE);
        }
        self.missing = self.missing << 4 | u64::from(value);
        Ok(ChunkState::Size)
    }

    fn size_is_known(&mut self) -> Result<ChunkState, RefusedRequest> {
        self.allowed = self
            .allowed
            .checked_sub(self.missing)
            .ok_or(BODY_TOO_LONG)?;
        self.content_bytes += self.missing; // within what is allowed: it does not overflow
        Ok(ChunkState::SizeLf)
    }

    fn extension(&mut self) -> Result<ChunkState, RefusedRequest> {
        self.extension_bytes += 1;
        let most = MAX_EXTENSION_BYTES + self.content_bytes / CONTENT_PER_EXTENSION_BYTE;
        if self.extension_bytes > most {
            return Err(RefusedRequest::bad("the chunk extensions are too long"));
        }
        Ok(ChunkState::Extension)
    }

    /// Trailer fields are checked like header fields and thrown away.
    fn trailer(&mut self, byte: u8, config: &Config) -> Result<ChunkState, RefusedRequest> {
        use ChunkState as State;
        self.trailer_bytes += 1;
        if self.trailer_bytes > config.max_header_section_bytes {
            return Err(TRAILERS_TOO_LONG);
        }
        match (self.state, byte) {
            (State::TrailerStart, byte) if is_token_byte(byte) => {
                self.trailer_count += 1;
                if self.trailer_count > config.max_header_count {
                    return Err(TRAILERS_TOO_LONG);
                }
                Ok(State::TrailerName)
            }
            (State::TrailerName, byte) if is_token_byte(byte) => Ok(State::TrailerName),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, byte) if !is_control(byte) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            _ => Err(BAD_TRAILER),
        }
    }
}

/// What stands before and behind a chunk of `len` bytes (RFC 9112 section 7.1), which are not none.
pub(crate) fn chunk_frame(len: usize) -> (String, &'static str) {
    (format!("{len:x}\r\n"), "\r\n")
}

/// The last chunk, and no trailer.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// A body and what follows it, or `None` if it is not complete.
    type Outcome = Result<Option<(Vec<u8>, Vec<u8>)>, RefusedRequest>;

    /// Decodes `wire` in pieces of `piece_len` bytes: the body and what is behind it.
    fn decode(framing: BodyFraming, wire: &[u8], piece_len: usize) -> Outcome {
        let (mut decoder, mut body) = (BodyDecoder::new(framing), Vec::new());
        decoder.allow(100)?;
        let config = Config {
            max_header_count: 3,
            ..Config::default()
        };
        let mut position = 0;
        for piece in wire.chunks(piece_len) {
            let Decoded {
                consumed,
                is_complete,
            } = decoder.decode(piece, &mut body, &config)?;
            position += consumed;
            if is_complete {
                return Ok(Some((body, wire[position..].to_vec())));
            }
            assert_eq!(consumed, piece.len(), "an open body takes all there is");
        }
        Ok(None)
    }

    /// The result, which must be the same for pieces of every length.
    fn decode_chunked(wire: &[u8]) -> Outcome {
        let whole = decode(BodyFraming::Chunked, wire, wire.len());
        for piece_len in 1..wire.len().min(40) {
            assert_eq!(
                decode(BodyFraming::Chunked, wire, piece_len),
                whole,
                "pieces of {piece_len}"
            );
        }
        whole
    }

    #[test]
    fn a_length_takes_exactly_so_many_bytes() {
        for piece_len in 1..9 {
            let result = decode(BodyFraming::Length(5), b"helloGET", piece_len).unwrap();
            assert_eq!(result.unwrap().0, b"hello", "pieces of {piece_len}");
        }
        assert_eq!(decode(BodyFraming::Length(5), b"hell", 4), Ok(None));
        assert_eq!(
            decode(BodyFraming::Length(5), b"helloGET", 8),
            Ok(Some((b"hello".to_vec(), b"GET".to_vec())))
        );
    }

    #[test]
    fn chunks_are_joined_and_trailers_dropped() {
        let wire = b"5\r\nwoot!\r\n4;name=\"value\"\r\ntest\r\n0\r\nX-Sum: 1\r\nEmpty:\r\n\r\nGET";
        for piece_len in 1..=wire.len() {
            let (body, _) = decode(BodyFraming::Chunked, wire, piece_len)
                .unwrap()
                .unwrap();
            assert_eq!(body, b"woot!test", "pieces of {piece_len}");
        }
        assert_eq!(
            decode(BodyFraming::Chunked, wire, wire.len()),
            Ok(Some((b"woot!test".to_vec(), b"GET".to_vec())))
        );
        let upper_case = b"0A\r\n0123456789\r\n00\r\n\r\n";
        assert_eq!(
            decode_chunked(upper_case),
            Ok(Some((b"0123456789".to_vec(), Vec::new())))
        );
    }

    #[test]
    fn an_unfinished_body_waits() {
        let wire = b"3\r\nabc\r\n0\r\nA: b\r\n\r\n";
        for len in 1..wire.len() {
            assert_eq!(decode_chunked(&wire[..len]), Ok(None), "{len} bytes");
        }
    }

    #[test]
    fn a_size_is_hex_digits_and_nothing_else() {
        for size in [
            "0x0",
            "+0",
            "-1",
            "0_0",
            "0 0",
            "",
            "g",
            " 0",
            "0 ",
            "0\t",
            "\"0\"",
            ";a",
            "10000000000000000",
            "00000000000000001",
        ] {
            let wire = format!("{size}\r\n\r\nGET / HTTP/1.1\r\n");
            assert_eq!(decode_chunked(wire.as_bytes()), Err(BAD_SIZE), "{size:?}");
        }
    }

    #[test]
    fn line_ends_are_cr_lf() {
        for wire in [
            "0\n\r\n",
            "0\rX\n",
            "0;a\n\r\n",
            "0;a\0\r\n",
            "0\r\n\n",
            "0\r\n\rX",
            "1\r\na\n0\r\n\r\n",
            "1\nX",
        ] {
            assert_eq!(
                decode_chunked(wire.as_bytes()).map_err(|refused| refused.status.as_u16()),
                Err(400),
                "{wire:?}"
            );
        }
    }

    #[test]
    fn a_chunk_longer_than_it_says_is_refused() {
        let wire = b"1\r\nZZ0\r\n\r\nGET / HTTP/1.1\r\n";
        assert_eq!(
            decode_chunked(wire),
            Err(RefusedRequest::bad("a chunk is longer than it says"))
        );
        assert!(decode_chunked(b"1\r\nZ\rZ0\r\n\r\n").is_err());
    }

    #[test]
    fn the_limit_is_judged_on_the_chunk_size() {
        assert_eq!(decode_chunked(b"65\r"), Err(BODY_TOO_LONG));
        assert_eq!(decode_chunked(b"64\r"), Ok(None));
        assert_eq!(decode_chunked(b"ffffffffffffffff\r"), Err(BODY_TOO_LONG));
        assert_eq!(decode_chunked(b"1\r\na\r\n64\r"), Err(BODY_TOO_LONG));
        assert_eq!(
            decode_chunked(b"1\r\na\r\nffffffffffffffff;x\r"),
            Err(BODY_TOO_LONG)
        );
    }

    #[test]
    fn extensions_and_trailers_are_bounded_in_all() {
        let flood = [b"1;".as_slice(), &[b'x'; 16 * 1024]].concat();
        assert!(decode_chunked(&flood).is_err());
        assert_eq!(decode_chunked(&flood[..flood.len() - 1]), Ok(None));
        let many = b"1;xxxxxxxx\r\na\r\n".repeat(30);
        assert_eq!(decode_chunked(&many), Ok(None));
        let trailers = b"0\r\na:\r\nb:\r\nc:\r\n";
        assert_eq!(decode_chunked(trailers), Ok(None));
        assert_eq!(
            decode_chunked(&[trailers.as_slice(), b"d"].concat()),
            Err(TRAILERS_TOO_LONG)
        );
        let long = [
            b"0\r\na:".as_slice(),
            &vec![b'x'; Config::default().max_header_section_bytes],
        ]
        .concat();
        assert_eq!(decode_chunked(&long), Err(TRAILERS_TOO_LONG));
    }

    #[test]
    fn a_malformed_trailer_is_refused() {
        for trailer in [
            " folded: a",
            ": a",
            "a b: c",
            "a",
            "a\r",
            "a: \0",
            "a: b\rc",
            "a: b\nc",
            "a: b\r\n c",
        ] {
            let wire = format!("0\r\n{trailer}\r\n\r\n");
            assert_eq!(
                decode_chunked(wire.as_bytes()),
                Err(BAD_TRAILER),
                "{trailer:?}"
            );
        }
    }
}
