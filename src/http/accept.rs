//! What a client takes, and how much it likes it: `Accept-Encoding` and `Accept` (RFC 9110 section
//! 12.5). In linear time, and no more than a sane number of elements.

use super::Headers;
use super::headers::trim_whitespace;

/// Elements of a field that are looked at. No client sends more than a dozen.
const MAX_ELEMENTS: usize = 64;

/// A content coding (section 8.4.1). In the order of our preference, where the client has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    /// The most preferred one first.
    pub(crate) const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// As fields name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

/// How much something is liked, in thousandths. With 0 it is not to be sent.
type Weight = u16;

/// What `Accept-Encoding` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AcceptedCodings {
    /// By [`Coding`]; `None` if it is not named.
    weights: [Option<Weight>; 3],
    identity: Option<Weight>,
    /// Of what is not named: `*`.
    others: Option<Weight>,
}

impl AcceptedCodings {
    /// Of a request. Without the field any coding may be sent, by the letter; who does not name one
    /// nearly always cannot decode it, so it is none.
    pub(crate) fn of(headers: &Headers) -> Self {
        let mut accepted = Self::default();
        for (name, weight) in elements(headers, "accept-encoding") {
            let place = match name.to_ascii_lowercase().as_slice() {
                b"br" => &mut accepted.weights[Coding::Brotli as usize],
                b"zstd" => &mut accepted.weights[Coding::Zstd as usize],
                // Section 8.4.1.3.
                b"gzip" | b"x-gzip" => &mut accepted.weights[Coding::Gzip as usize],
                b"identity" => &mut accepted.identity,
                b"*" => &mut accepted.others,
                _ => continue,
            };
            // Named twice, the first counts.
            place.get_or_insert(weight);
        }
        accepted
    }

    /// The best of those that are there; `None` is no coding at all. That is also the answer to who
    /// takes nothing that there is: section 12.5.3 allows it, and it is more use than a 406.
    pub(crate) fn choose(&self, is_there: impl Fn(Coding) -> bool) -> Option<Coding> {
        // Without a word on it, no coding is what is left when no other will do.
        let least = self.identity.unwrap_or(0).max(1);
        let mut best: Option<(Coding, Weight)> = None;
        for coding in Coding::ALL {
            let weight = self.weights[coding as usize].or(self.others).unwrap_or(0);
            let is_better = weight >= least && best.is_none_or(|(_, best)| weight > best);
            if is_better && is_there(coding) {
                best = Some((coding, weight));
            }
        }
        best.map(|(coding, _)| coding)
    }
}

/// Whether `Accept` says that the first of two media types is liked better than the second. Both in
/// lower case.
pub(crate) fn prefers(headers: &Headers, first: &str, second: &str) -> bool {
    media_weight(headers, first) > media_weight(headers, second)
}

/// Whether `Accept` names a media type, in lower case, and not only a range that holds it.
pub(crate) fn names_media_type(headers: &Headers, media_type: &str) -> bool {
    elements(headers, "accept")
        .any(|(range, weight)| weight > 0 && range.eq_ignore_ascii_case(media_type.as_bytes()))
}

/// The weight of the most specific range that holds `media_type`; any, if there is no field.
fn media_weight(headers: &Headers, media_type: &str) -> Weight {
    let kind = media_type.split('/').next().unwrap_or_default();
    let (mut best_rank, mut best) = (0, 0);
    let mut is_there = false;
    for (range, weight) in elements(headers, "accept") {
        is_there = true;
        let range = range.to_ascii_lowercase();
        let rank = if range == media_type.as_bytes() {
            3
        } else if range.strip_suffix(b"/*") == Some(kind.as_bytes()) {
            2
        } else {
            u8::from(range == b"*/*")
        };
        if rank > best_rank {
            (best_rank, best) = (rank, weight);
        }
    }
    if is_there { best } else { 1000 }
}

/// The elements of a list with weights: what is named, and how much it is liked. What is malformed
/// is left out.
fn elements<'h>(
    headers: &'h Headers,
    field: &'static str,
) -> impl Iterator<Item = (&'h [u8], Weight)> {
    let elements = headers
        .get_all(field)
        .flat_map(|value| value.split(|byte| *byte == b','));
    elements.take(MAX_ELEMENTS).filter_map(|element| {
        let mut parts = element.split(|byte| *byte == b';').map(trim_whitespace);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let mut weight = 1000;
        for parameter in parts {
            if let [b'q' | b'Q', b'=', text @ ..] = parameter {
                weight = parse_weight(text)?;
            }
        }
        Some((name, weight))
    })
}

/// A weight as section 12.4.2 writes it: 0 to 1, with up to three digits behind the point.
fn parse_weight(text: &[u8]) -> Option<Weight> {
    let (whole, digits) = match text {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    let mut weight = Weight::from(whole - b'0');
    for place in 0..3 {
        let digit = digits.get(place).unwrap_or(&b'0');
        weight = weight * 10 + Weight::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str, values: &[&str]) -> Headers {
        let mut headers = Headers::new();
        for value in values {
            headers.append(name, value).unwrap();
        }
        headers
    }

    fn chosen(values: &[&str], there: &[Coding]) -> Option<Coding> {
        AcceptedCodings::of(&fields("Accept-Encoding", values))
            .choose(|coding| there.contains(&coding))
    }

    #[test]
    fn what_is_liked_less_than_another_is_not_asked_for() {
        for accepted in ["identity, gzip;q=0.5", "gzip;q=0.5, br", "gzip;q=0, *"] {
            let accepted = AcceptedCodings::of(&fields("Accept-Encoding", &[accepted]));
            accepted.choose(|coding| {
                assert_ne!(coding, Coding::Gzip, "{accepted:?}");
                true
            });
        }
    }

    #[test]
    fn the_best_coding_is_chosen_and_ties_are_ours_to_decide() {
        use Coding::{Brotli, Gzip, Zstd};
        let cases = [
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip, deflate, zstd", Some(Zstd)),
            ("GZIP", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("deflate", None),
            ("", None),
            ("br;q=0.5, gzip;q=0.8", Some(Gzip)),
            ("br ; q=0.5 ,\tgzip;Q=0.5", Some(Brotli)),
            ("br;q=0, gzip", Some(Gzip)),
            ("br;q=0.000, gzip;q=0.001", Some(Gzip)),
            ("br;q=0", None),
            ("*", Some(Brotli)),
            ("*;q=0.3, br;q=0, gzip;q=0.2", Some(Zstd)),
            ("br, *;q=0", Some(Brotli)),
            ("*;q=0", None),
            ("identity", None),
            ("identity, br;q=0.9", None),
            ("identity, br", Some(Brotli)),
            ("identity;q=0.5, br;q=0.9", Some(Brotli)),
            ("identity;q=0, gzip;q=0.1", Some(Gzip)),
            ("identity;q=0", None),
            ("identity;q=0, *", Some(Brotli)),
            ("br;q=0, br", None),
            // Malformed: as if they were not there.
            ("br;q=2, gzip;q=0.1", Some(Gzip)),
            ("br;q=0.1234, gzip;q=0.1", Some(Gzip)),
            ("br;q=-1, zstd;q=, gzip", Some(Gzip)),
            ("br;q=1.001", None),
            ("br;q=0.x", None),
            (";q=1,,gzip", Some(Gzip)),
        ];
        for (value, expected) in cases {
            assert_eq!(chosen(&[value], &Coding::ALL), expected, "{value}");
        }
        assert_eq!(chosen(&[], &Coding::ALL), None, "no field");
        assert_eq!(chosen(&["gzip;q=0.1", "br"], &Coding::ALL), Some(Brotli));
        assert_eq!(chosen(&["br, gzip;q=0.5"], &[Gzip]), Some(Gzip));
        assert_eq!(chosen(&["br, identity;q=0.7, gzip;q=0.5"], &[Gzip]), None);
    }

    #[test]
    fn a_list_without_end_is_looked_at_so_far() {
        let many = format!("{}gzip", "x,".repeat(MAX_ELEMENTS));
        assert_eq!(chosen(&[&many], &Coding::ALL), None);
        let fewer = format!("{}gzip", "x,".repeat(MAX_ELEMENTS - 1));
        assert_eq!(chosen(&[&fewer], &Coding::ALL), Some(Coding::Gzip));
    }

    #[test]
    fn weights_are_those_of_the_grammar() {
        for (text, weight) in [
            ("0", 0),
            ("1", 1000),
            ("0.", 0),
            ("0.5", 500),
            ("0.25", 250),
            ("0.001", 1),
            ("1.000", 1000),
        ] {
            assert_eq!(parse_weight(text.as_bytes()), Some(weight), "{text}");
        }
        for text in ["", "2", "1.1", ".5", "0.0000", "00", "0,5", "0.+1", " 1"] {
            assert_eq!(parse_weight(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_most_specific_media_range_counts() {
        let prefers_json = |value: &str| {
            let headers = fields("Accept", &[value]);
            prefers(&headers, "application/json", "text/html")
        };
        for value in [
            "application/json",
            "Application/JSON;charset=utf-8",
            "application/*",
            "text/html;q=0.8, application/json",
            "*/*;q=0.1, application/json;q=0.2",
            "*/*, text/html;q=0.9",
        ] {
            assert!(prefers_json(value), "{value}");
        }
        for value in [
            "*/*",
            "text/html",
            "text/html, application/json",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json;q=0, */*",
            "text/*, application/json;q=0.5",
            "",
        ] {
            assert!(!prefers_json(value), "{value}");
        }
        assert!(!prefers(&Headers::new(), "application/json", "text/html"));
    }
}
