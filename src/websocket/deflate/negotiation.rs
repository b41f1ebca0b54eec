//! The negotiation of permessage-deflate (RFC 7692 sections 5 and 7.1): the client's offers to what
//! both sides then do.
//!
//! An offer that is not understood as a whole is declined, and the next one is looked at. What was
//! declined is not answered. An answer has the parameters of an offer: that of another server is
//! understood for this crate's own clients.

use super::codec::{MAX_WINDOW_BITS, MIN_WINDOW_BITS};
use crate::config::{Compression, CompressionMode};
use std::borrow::Cow;
use std::fmt::Write;

const NAME: &[u8] = b"permessage-deflate";

/// What both sides do to messages that are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Size of the server's compressor's window, as a power of two.
    pub server_window_bits: u8,
    /// Size of the client's.
    pub client_window_bits: u8,
    /// A message of the server's may refer to those before it.
    pub server_takeover: bool,
    /// A message of the client's may.
    pub client_takeover: bool,
}

/// One offer: what each parameter says, if it is there.
#[derive(Clone, Copy, Debug, Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// Set if the client can be told a size; the greatest if it says none.
    client_max_window_bits: Option<u8>,
}

/// Takes the first offer of permessage-deflate in `fields`, the values of
/// `Sec-WebSocket-Extensions`, that can be taken, and says what to answer. `None`: there is none.
pub(crate) fn negotiate<'h>(
    fields: impl Iterator<Item = &'h [u8]>,
    compression: &Compression,
) -> Option<(Agreement, String)> {
    let offer = fields
        .flat_map(|field| split_unquoted(field, b','))
        .find_map(Offer::parse)?;
    Some(offer.accept(compression))
}

/// What a server's answer to an offer of permessage-deflate that lets it choose everything means, the
/// value of its `Sec-WebSocket-Extensions`. `None`: it is no such answer.
#[must_use]
pub fn read_answer(value: &[u8]) -> Option<Agreement> {
    let answer = Offer::parse(value.trim_ascii())?;
    Some(Agreement {
        server_window_bits: answer.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS),
        client_window_bits: answer.client_max_window_bits.unwrap_or(MAX_WINDOW_BITS),
        server_takeover: !answer.server_no_context_takeover,
        client_takeover: !answer.client_no_context_takeover,
    })
}

impl Offer {
    /// The offer, if it is one of permessage-deflate and legal.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = split_unquoted(text, b';').map(<[u8]>::trim_ascii);
        if parts.next()? != NAME {
            return None;
        }
        let mut offer = Self::default();
        for parameter in parts {
            offer.take(parameter)?;
        }
        Some(offer)
    }

    /// One parameter; `None` if it is unknown, malformed or there already (section 7.1).
    fn take(&mut self, parameter: &[u8]) -> Option<()> {
        let equals = parameter.iter().position(|byte| *byte == b'=');
        let (name, value) = match equals {
            Some(at) => (&parameter[..at], Some(unquoted(&parameter[at + 1..])?)),
            None => (parameter, None),
        };
        match (name.trim_ascii_end(), value) {
            (b"server_no_context_takeover", None) => once(&mut self.server_no_context_takeover),
            (b"client_no_context_takeover", None) => once(&mut self.client_no_context_takeover),
            (b"server_max_window_bits", Some(value)) => {
                let bits = window_bits(&value)?;
                let before = self.server_max_window_bits.replace(bits);
                before.is_none().then_some(())
            }
            (b"client_max_window_bits", value) => {
                let bits = match value {
                    Some(value) => window_bits(&value)?,
                    None => MAX_WINDOW_BITS,
                };
                let before = self.client_max_window_bits.replace(bits);
                before.is_none().then_some(())
            }
            _ => None,
        }
    }

    fn accept(self, compression: &Compression) -> (Agreement, String) {
        let dedicated = compression.mode == CompressionMode::Dedicated;
        let server_window_bits = compression
            .server_window_bits
            .min(self.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS));
        // Only a client that says so can be told the size of its window (section 7.1.2.2).
        let client_window_bits = match self.client_max_window_bits {
            Some(bits) => compression.client_window_bits.min(bits),
            None => MAX_WINDOW_BITS,
        };
        let agreement = Agreement {
            server_window_bits,
            client_window_bits,
            server_takeover: dedicated && !self.server_no_context_takeover,
            // A window that we cannot keep to the size that we have for it is not kept.
            client_takeover: dedicated
                && !self.client_no_context_takeover
                && client_window_bits <= compression.client_window_bits,
        };
        let mut answer = String::from("permessage-deflate");
        if !agreement.server_takeover {
            answer += "; server_no_context_takeover";
        }
        if !agreement.client_takeover {
            answer += "; client_no_context_takeover";
        }
        if self.server_max_window_bits.is_some() || server_window_bits < MAX_WINDOW_BITS {
            let _ = write!(answer, "; server_max_window_bits={server_window_bits}");
        }
        if client_window_bits < MAX_WINDOW_BITS {
            let _ = write!(answer, "; client_max_window_bits={client_window_bits}");
        }
        (agreement, answer)
    }
}

/// Notes a parameter without a value.
fn once(seen: &mut bool) -> Option<()> {
    (!std::mem::replace(seen, true)).then_some(())
}

/// A size of the window: 8 to 15, without leading zeros (sections 7.1.2.1, 7.1.2.2).
fn window_bits(value: &[u8]) -> Option<u8> {
    let bits = match value {
        [digit] => digit.checked_sub(b'0')?,
        [b'1', digit] => digit.checked_sub(b'0')?.checked_add(10)?,
        _ => return None,
    };
    (MIN_WINDOW_BITS..=MAX_WINDOW_BITS)
        .contains(&bits)
        .then_some(bits)
}

/// What a parameter's value says, a token or a quoted string (RFC 6455 section 9.1); `None` if it
/// is neither.
fn unquoted(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let value = value.trim_ascii();
    let Some(quoted) = value.strip_prefix(b"\"") else {
        return (!value.contains(&b'"')).then_some(Cow::Borrowed(value));
    };
    let mut text = Vec::new();
    let mut bytes = quoted.iter();
    loop {
        match bytes.next()? {
            b'"' => break,
            b'\\' => text.push(*bytes.next()?),
            byte => text.push(*byte),
        }
    }
    bytes.next().is_none().then_some(Cow::Owned(text))
}

/// The parts of `text` between separators that stand in no quoted string.
fn split_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |&byte| {
        let is_escaped = std::mem::take(&mut escaped);
        match byte {
            _ if is_escaped => false,
            b'"' => {
                quoted = !quoted;
                false
            }
            b'\\' => {
                escaped = quoted;
                false
            }
            byte => byte == separator && !quoted,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_with(fields: &[&str], compression: &Compression) -> Option<String> {
        let fields = fields.iter().map(|field| field.as_bytes());
        negotiate(fields, compression).map(|(_, answer)| answer)
    }

    fn dedicated() -> Compression {
        Compression {
            mode: CompressionMode::Dedicated,
            ..Compression::default()
        }
    }

    fn answer(field: &str) -> Option<String> {
        answer_with(&[field], &dedicated())
    }

    const NEITHER: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn in_shared_mode_neither_side_keeps_a_context() {
        let shared = Compression::default();
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ] {
            let expected = Some(NEITHER.to_owned());
            assert_eq!(answer_with(&[offer], &shared), expected, "{offer}");
        }
        let field = b"permessage-deflate".as_slice();
        let (agreement, _) = negotiate(std::iter::once(field), &shared).expect("taken");
        assert!(!agreement.server_takeover && !agreement.client_takeover);
    }

    #[test]
    fn each_parameter_is_answered_as_it_was_asked() {
        let cases = [
            ("", ""),
            (
                "; server_no_context_takeover",
                "; server_no_context_takeover",
            ),
            (
                "; client_no_context_takeover",
                "; client_no_context_takeover",
            ),
            ("; server_max_window_bits=8", "; server_max_window_bits=8"),
            ("; server_max_window_bits=9", "; server_max_window_bits=9"),
            ("; server_max_window_bits=15", "; server_max_window_bits=15"),
            ("; client_max_window_bits", ""),
            ("; client_max_window_bits=15", ""),
            ("; client_max_window_bits=8", "; client_max_window_bits=8"),
            (
                "; server_max_window_bits=\"10\"",
                "; server_max_window_bits=10",
            ),
            (
                "; server_max_window_bits=\"1\\0\"",
                "; server_max_window_bits=10",
            ),
            (
                " ;\tclient_max_window_bits = 12 ",
                "; client_max_window_bits=12",
            ),
        ];
        for (parameters, expected) in cases {
            assert_eq!(
                answer(&format!("permessage-deflate{parameters}")),
                Some(format!("permessage-deflate{expected}")),
                "{parameters}"
            );
        }
    }

    #[test]
    fn an_offer_that_is_malformed_is_declined_and_the_next_is_taken() {
        let bad = [
            "; unknown",
            "; server_no_context_takeover=1",
            "; client_no_context_takeover=\"\"",
            "; server_max_window_bits",
            "; server_max_window_bits=",
            "; server_max_window_bits=7",
            "; server_max_window_bits=16",
            "; server_max_window_bits=08",
            "; server_max_window_bits=10x",
            "; server_max_window_bits=+9",
            "; server_max_window_bits=\"9",
            "; server_max_window_bits=9\"",
            "; server_max_window_bits=\"9\"x",
            "; client_max_window_bits=1",
            "; client_max_window_bits=",
            "; client_max_window_bits=\"\"",
            "; client_max_window_bits; client_max_window_bits",
            "; client_max_window_bits=9; client_max_window_bits=9",
            "; server_max_window_bits=9; server_max_window_bits=9",
            "; server_no_context_takeover; server_no_context_takeover",
            "; client_no_context_takeover; client_no_context_takeover",
            "; SERVER_NO_CONTEXT_TAKEOVER",
            ";",
            "; =9",
        ];
        for parameters in bad {
            let offer = format!("permessage-deflate{parameters}");
            assert_eq!(answer(&offer), None, "{offer}");
            // An open quotation takes all that follows along.
            if parameters.matches('"').count() % 2 == 0 {
                let two = format!("{offer}, permessage-deflate; server_max_window_bits=9");
                let expected = "permessage-deflate; server_max_window_bits=9".to_owned();
                assert_eq!(answer(&two), Some(expected), "{two}");
            }
            let lines = [offer.as_str(), "permessage-deflate"];
            let expected = Some("permessage-deflate".to_owned());
            assert_eq!(answer_with(&lines, &dedicated()), expected, "{offer}");
        }
    }

    #[test]
    fn other_extensions_are_passed_over_also_with_separators_in_quotes() {
        let offers = "x-webkit-deflate-frame, foo; bar=\"a, permessage-deflate; b\\\"\", , \
                      permessage-deflate; server_no_context_takeover";
        let expected = Some("permessage-deflate; server_no_context_takeover".to_owned());
        assert_eq!(answer(offers), expected);
        assert_eq!(answer("foo; bar=\"permessage-deflate\""), None);
        assert_eq!(answer("permessage-deflate-2, xpermessage-deflate"), None);
        assert_eq!(answer(""), None);
        assert_eq!(answer_with(&[], &dedicated()), None);
    }

    #[test]
    fn our_own_windows_are_told_where_the_client_can_be_told() {
        let small = Compression {
            server_window_bits: 12,
            client_window_bits: 10,
            ..dedicated()
        };
        let cases = [
            // It cannot be told its window, which is not kept then.
            (
                "permessage-deflate",
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=12",
            ),
            (
                "permessage-deflate; client_max_window_bits",
                "permessage-deflate; server_max_window_bits=12; client_max_window_bits=10",
            ),
            (
                "permessage-deflate; client_max_window_bits=9; server_max_window_bits=14",
                "permessage-deflate; server_max_window_bits=12; client_max_window_bits=9",
            ),
            (
                "permessage-deflate; client_max_window_bits=12; server_max_window_bits=9",
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10",
            ),
        ];
        for (offer, expected) in cases {
            let expected = Some(expected.to_owned());
            assert_eq!(answer_with(&[offer], &small), expected, "{offer}");
        }
    }

    #[test]
    fn an_answer_means_what_was_agreed_when_it_was_written() {
        let offers = [
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits; server_max_window_bits=9",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=8",
        ];
        for compression in [Compression::default(), dedicated()] {
            for offer in offers {
                let agreed = negotiate(std::iter::once(offer.as_bytes()), &compression);
                let (agreement, answer) = agreed.expect(offer);
                assert_eq!(read_answer(answer.as_bytes()), Some(agreement), "{answer}");
            }
        }
        for answer in [
            "",
            "permessage-bzip2",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate, permessage-deflate",
        ] {
            assert_eq!(read_answer(answer.as_bytes()), None, "{answer}");
        }
    }

    #[test]
    fn an_agreement_takes_4_bytes_and_none_is_told_from_it() {
        assert_eq!(size_of::<Option<Agreement>>(), 4);
    }
}
