//! Responses of HTTP/1.1 as their client sees them (RFC 9112), without a socket: where each one ends, and
//! its status. Their content is passed over.

use crate::cli::client::opening::is_tls;
use std::fmt;

/// Longest head of a response.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Most fields of it.
const MAX_FIELDS: usize = 100;
/// Longest line with the size of a chunk, or of the trailer section.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// A response whose last byte came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// Of its content.
    pub(crate) len: u64,
}

/// What came is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the server does not answer in HTTP/1.1: {}",
            self.0
        )
    }
}

/// How far the response is that is read.
#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    /// So many bytes of content are missing.
    Length(u64),
    /// The size of a chunk is next.
    Size,
    /// So many bytes of a chunk are missing, and the end of its line.
    Chunk(u64),
    Trailers,
    /// The content ends where the stream does.
    UntilEnd,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Responses {
    state: State,
    now: Answered,
    /// Whether the one that is read is the last on its connection.
    is_last: bool,
    /// Whether the last one was read.
    is_over: bool,
    has_answered: bool,
    /// A head or a line of which a part is missing.
    incomplete: Vec<u8>,
}

impl Default for Responses {
    fn default() -> Self {
        Self {
            state: State::Head,
            now: Answered { status: 0, len: 0 },
            is_last: false,
            is_over: false,
            has_answered: false,
            incomplete: Vec::new(),
        }
    }
}

impl Responses {
    /// Takes what came, and tells of each response that ends in it.
    ///
    /// # Errors
    ///
    /// [`Malformed`], for good.
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
        mut on_answered: impl FnMut(Answered),
    ) -> Result<(), Malformed> {
        if self.incomplete.is_empty() {
            let len = self.take(input, &mut on_answered)?;
            self.incomplete.extend_from_slice(&input[len..]);
            return Ok(());
        }
        let mut incomplete = std::mem::take(&mut self.incomplete);
        incomplete.extend_from_slice(input);
        let len = self.take(&incomplete, &mut on_answered)?;
        incomplete.drain(..len);
        self.incomplete = incomplete;
        Ok(())
    }

    /// The stream ended. The response that ends with it, if one does.
    pub(crate) fn end(&mut self) -> Option<Answered> {
        matches!(self.state, State::UntilEnd).then(|| {
            self.state = State::Head;
            (self.has_answered, self.is_over) = (true, true);
            self.now
        })
    }

    /// Whether nothing of a response is there whose end is missing.
    pub(crate) const fn is_between(&self) -> bool {
        matches!(self.state, State::Head) && self.incomplete.is_empty()
    }

    /// Whether a response came to its end.
    pub(crate) const fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Whether the server said that no other response follows (RFC 9112 section 9.3), and that one is read.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes what is whole at the front of `input`. How much that is.
    fn take(
        &mut self,
        input: &[u8],
        on_answered: &mut impl FnMut(Answered),
    ) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < input.len() {
            if self.is_over {
                return Ok(input.len());
            }
            let rest = &input[at..];
            let len = match self.state {
                State::Head => self.take_head(rest)?,
                State::Length(missing) => {
                    let len = shorter(missing, rest);
                    self.state = State::Length(missing - len as u64);
                    len
                }
                State::Chunk(missing) => {
                    let len = shorter(missing, rest);
                    self.state = match missing - len as u64 {
                        0 => State::Size,
                        missing => State::Chunk(missing),
                    };
                    len
                }
                State::UntilEnd => {
                    self.now.len += rest.len() as u64;
                    rest.len()
                }
                State::Size => self.take_size(rest)?,
                State::Trailers => match line(rest)? {
                    Some(line) => {
                        if line.is_empty() {
                            self.state = State::Length(0);
                        }
                        line.len() + 2
                    }
                    None => 0,
                },
            };
            if let State::Length(0) = self.state {
                self.state = State::Head;
                (self.has_answered, self.is_over) = (true, self.is_last);
                on_answered(self.now);
            }
            if len == 0 {
                break;
            }
            at += len;
        }
        Ok(at)
    }

    fn take_head(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(input);
        let parsed = parsed.map_err(|_| {
            Malformed(if is_tls(input) {
                "it speaks TLS: write https://"
            } else {
                "a head is malformed"
            })
        })?;
        let httparse::Status::Complete(len) = parsed else {
            return match input.len() {
                ..MAX_HEAD_BYTES => Ok(0),
                _ => Err(Malformed("a head is too long")),
            };
        };
        let status = response.code.unwrap_or(0);
        self.now = Answered { status, len: 0 };
        let value = |name: &str| {
            let mut fields = response.headers.iter();
            fields
                .find(|field| field.name.eq_ignore_ascii_case(name))
                .map(|field| field.value.trim_ascii())
        };
        let says = |token: &str| {
            let fields = response.headers.iter();
            fields
                .filter(|field| field.name.eq_ignore_ascii_case("connection"))
                .flat_map(|field| field.value.split(|byte| *byte == b','))
                .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        };
        // RFC 9112 section 9.3: HTTP/1.0 has to say that more may follow.
        self.is_last = says("close") || (response.version == Some(0) && !says("keep-alive"));
        // RFC 9112 section 6.3, for what answers a GET.
        self.state = if matches!(status, 204 | 304) {
            State::Length(0)
        } else if matches!(status, 100..=199) {
            // The final one follows.
            State::Head
        } else if let Some(coding) = value("transfer-encoding") {
            if coding.to_ascii_lowercase().ends_with(b"chunked") {
                State::Size
            } else {
                State::UntilEnd
            }
        } else if let Some(length) = value("content-length") {
            let digits = std::str::from_utf8(length).ok();
            let length = digits.and_then(|digits| digits.parse().ok());
            let length = length.ok_or(Malformed("a Content-Length is no number"))?;
            self.now.len = length;
            State::Length(length)
        } else {
            State::UntilEnd
        };
        Ok(len)
    }

    fn take_size(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        let Some(line) = line(input)? else {
            return Ok(0);
        };
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let digits = std::str::from_utf8(digits.trim_ascii()).ok();
        // `from_str_radix` would take a sign.
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let size = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let with_end = size.and_then(|size| size.checked_add(2));
        let (Some(size), Some(with_end)) = (size, with_end) else {
            return Err(Malformed("the size of a chunk is no number"));
        };
        self.now.len += size;
        self.state = match size {
            0 => State::Trailers,
            _ => State::Chunk(with_end),
        };
        Ok(line.len() + 2)
    }
}

/// How much of `missing` bytes is there.
fn shorter(missing: u64, input: &[u8]) -> usize {
    usize::try_from(missing).map_or(input.len(), |missing| missing.min(input.len()))
}

/// The line at the front of `input`, without its end.
fn line(input: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    match input.windows(2).position(|end| end == b"\r\n") {
        Some(len) => Ok(Some(&input[..len])),
        None if input.len() < MAX_LINE_BYTES => Ok(None),
        None => Err(Malformed("a line is too long")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSES: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
        HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n\
        HTTP/1.1 404 Not Found\r\ntransfer-encoding: gzip, Chunked\r\n\r\n\
        5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\
        HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n\
        HTTP/1.0 200 OK\r\n\r\nuntil the end";

    fn received(pieces: &[&[u8]]) -> Result<Vec<(u16, u64)>, Malformed> {
        let (mut responses, mut answered) = (Responses::default(), Vec::new());
        for piece in pieces {
            responses.receive(piece, |one| answered.push((one.status, one.len)))?;
        }
        answered.extend(responses.end().map(|one| (one.status, one.len)));
        Ok(answered)
    }

    #[test]
    fn responses_end_where_they_say_at_any_split() {
        let expected = vec![(200, 5), (404, 21), (204, 0), (200, 0), (304, 0), (200, 13)];
        for split in 0..=RESPONSES.len() {
            let (front, back) = RESPONSES.split_at(split);
            let answered = received(&[front, back]);
            assert_eq!(answered.as_ref(), Ok(&expected), "split {split}");
        }
        let bytes: Vec<_> = RESPONSES.chunks(1).collect();
        assert_eq!(received(&bytes), Ok(expected));
    }

    #[test]
    fn a_response_may_be_the_last_of_its_connection() {
        for (version, connection, is_last) in [
            ("1.1", "X: y", false),
            ("1.1", "Connection: keep-alive", false),
            ("1.1", "Connection: Close", true),
            (
                "1.1",
                "connection: keep-alive\r\nConnection: x, close",
                true,
            ),
            ("1.0", "X: y", true),
            ("1.0", "Connection: Keep-Alive", false),
            ("1.0", "Connection: close", true),
        ] {
            let head =
                format!("HTTP/{version} 200 OK\r\n{connection}\r\nContent-Length: 1\r\n\r\n");
            let mut responses = Responses::default();
            let mut count = 0;
            let both = format!("{head}a{head}b");
            let (front, back) = both.split_at(head.len());
            responses
                .receive(front.as_bytes(), |_| count += 1)
                .expect("a head");
            assert!(!responses.is_between() && !responses.is_over() && !responses.has_answered());
            responses
                .receive(back.as_bytes(), |_| count += 1)
                .expect("content");
            // Behind the last, nothing counts.
            assert_eq!(
                (responses.is_over(), count),
                (is_last, 2 - usize::from(is_last))
            );
            assert!(
                responses.is_between() && responses.has_answered(),
                "{connection}"
            );
        }
    }

    #[test]
    fn a_response_that_is_cut_is_none() {
        for cut in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
            b"HTTP/1.1 200",
            b"",
        ] {
            assert_eq!(received(&[cut]), Ok(vec![]), "{}", cut.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_response_is_told() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for bad in [
            "SSH-2.0-OpenSSH\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n".to_owned(),
            format!("{chunked}x\r\n"),
            format!("{chunked}+5\r\n"),
            format!("{chunked}FFFFFFFFFFFFFFFF\r\n"),
            format!("{chunked}{}", "1".repeat(MAX_LINE_BYTES)),
        ] {
            assert!(received(&[bad.as_bytes()]).is_err(), "{bad}");
        }
    }
}
