//! The fields of a message, in order (RFC 9110 section 5).
//!
//! Kept as the bytes that go over the wire, so that the header section of a response is one
//! copy and that of a request is copied once. What must not leave the server (a control
//! character, a name that is no token) is refused on the way in. Which fields frame a message
//! is the business of `http1/` and `http2/`.

use std::fmt;

use super::bytes::find_control;
use smallvec::SmallVec;

/// Where one field lies in [`Headers::bytes`].
#[derive(Clone, Copy)]
pub(crate) struct FieldRange {
    pub(crate) name_start: u32,
    pub(crate) name_end: u32,
    pub(crate) value_start: u32,
    pub(crate) value_end: u32,
}

impl FieldRange {
    /// The name of the field in its section.
    pub(crate) fn name(self, section: &[u8]) -> &[u8] {
        &section[self.name_start as usize..self.name_end as usize]
    }

    /// The value of the field in its section.
    pub(crate) fn value(self, section: &[u8]) -> &[u8] {
        &section[self.value_start as usize..self.value_end as usize]
    }
}

/// What the first of the fields that are added makes room for.
const FIRST_BYTES: usize = 128;

/// Fields that a list holds in itself.
const FEW: usize = 6;

/// Where the fields of a section lie, in order. Most sections have few: those need no allocation
/// for the list (160 instructions less for a request and its response).
type FieldList = SmallVec<[FieldRange; FEW]>;

/// An ordered list of header fields. Names are found in any case and kept as they were given.
///
/// ```
/// use aerys::Headers;
/// let mut headers = Headers::new();
/// headers.append("Vary", "Origin")?;
/// headers.append("Vary", "Accept, Cookie")?;
/// assert_eq!(headers.get("vary"), Some(&b"Origin"[..]));
/// assert!(headers.has_token("Vary", "cookie"));
/// assert!(headers.append("X", "a\r\nInjected: b").is_err());
/// # Ok::<(), aerys::InvalidField>(())
/// ```
#[derive(Clone)]
pub struct Headers {
    /// Whole field lines, `name: value` and CR LF, back to back and nothing else: legal on the
    /// wire as it is.
    bytes: Vec<u8>,
    /// In the order of `bytes`. A field's line ends where the next one begins.
    fields: FieldList,
}

impl Headers {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            fields: FieldList::new_const(),
        }
    }

    /// Takes note of the next field of a section, as the parser found it. The section is
    /// [filled in](Self::fill) before or after, and nothing else may be there.
    pub(crate) fn note_field(&mut self, field: FieldRange) {
        debug_assert!(field.name_end <= field.value_start && field.value_start <= field.value_end);
        self.fields.push(field);
    }

    /// Copies the field lines `section` (without the empty line at its end). Where they lie in it
    /// is told with [`note_field`](Self::note_field).
    pub(crate) fn fill(&mut self, section: &[u8]) {
        debug_assert!(self.bytes.is_empty());
        self.bytes.extend_from_slice(section);
    }

    /// Gives back what is not in use of its allocations.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
        self.fields.shrink_to_fit();
    }

    /// Bytes of its allocations.
    pub(crate) fn capacity_bytes(&self) -> usize {
        let fields = if self.fields.spilled() {
            self.fields.capacity()
        } else {
            0
        };
        self.bytes.capacity() + fields * size_of::<FieldRange>()
    }

    /// All field lines as they go over the wire, without the empty line that ends a section.
    pub(crate) fn as_section(&self) -> &[u8] {
        &self.bytes
    }

    /// The value of the first field of that name.
    #[must_use]
    pub fn get(&self, name: impl AsRef<str>) -> Option<&[u8]> {
        let name = name.as_ref().as_bytes();
        self.fields
            .iter()
            .find(|field| self.has_name(**field, name))
            .map(|field| self.value(*field))
    }

    /// The value of the first field of that name, if it is UTF-8.
    #[must_use]
    pub fn get_str(&self, name: impl AsRef<str>) -> Option<&str> {
        self.get(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The values of all fields of that name, in order.
    pub fn get_all<'h>(
        &'h self,
        name: impl AsRef<str> + 'h,
    ) -> impl Iterator<Item = &'h [u8]> + 'h {
        self.fields
            .iter()
            .filter(move |field| self.has_name(**field, name.as_ref().as_bytes()))
            .map(|field| self.value(*field))
    }

    /// Whether there is a field of that name.
    #[must_use]
    pub fn contains(&self, name: impl AsRef<str>) -> bool {
        self.get(name).is_some()
    }

    /// The elements of the comma lists in all fields of that name (RFC 9110 section 5.6.1):
    /// without surrounding whitespace, empty ones left out, as are those that are not UTF-8.
    /// For lists of tokens; it knows no quoted strings.
    pub fn tokens<'h>(&'h self, name: impl AsRef<str> + 'h) -> impl Iterator<Item = &'h str> + 'h {
        self.get_all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .filter_map(|element| std::str::from_utf8(trim_whitespace(element)).ok())
            .filter(|element| !element.is_empty())
    }

    /// Whether one of the comma lists in the fields of that name holds `token`, in any case.
    #[must_use]
    pub fn has_token(&self, name: impl AsRef<str>, token: &str) -> bool {
        let mut values = self.get_all(name.as_ref());
        values.any(|value| list_has_token(value, token))
    }

    /// Adds a field behind all others, also if there is one of that name.
    ///
    /// # Errors
    ///
    /// [`InvalidField`], and nothing is added, if it could not go over the wire as it is.
    pub fn append(
        &mut self,
        name: impl AsRef<str>,
        value: impl AsRef<[u8]>,
    ) -> Result<(), InvalidField> {
        let (name, value) = (name.as_ref(), value.as_ref());
        check_name(name)?;
        check_value(value)?;
        self.append_checked(name, value)
    }

    /// Replaces all fields of that name by one, behind all others.
    ///
    /// # Errors
    ///
    /// [`InvalidField`], and nothing is changed, if it could not go over the wire as it is.
    pub fn set(
        &mut self,
        name: impl AsRef<str>,
        value: impl AsRef<[u8]>,
    ) -> Result<(), InvalidField> {
        let (name, value) = (name.as_ref(), value.as_ref());
        check_name(name)?;
        check_value(value)?;
        self.remove(name);
        self.append_checked(name, value)
    }

    /// As [`set`](Self::set), for a name and a value that need no check.
    pub(crate) fn set_known(
        &mut self,
        name: &'static str,
        value: &[u8],
    ) -> Result<(), InvalidField> {
        debug_assert_eq!((check_name(name), check_value(value)), (Ok(()), Ok(())));
        self.remove(name);
        self.append_checked(name, value)
    }

    /// Sets all fields of `others`, each in place of those of its name here; in one copy where
    /// there are none.
    pub(crate) fn set_all(&mut self, others: &Self) -> Result<(), InvalidField> {
        if !self.is_empty() {
            for (name, _) in others.iter() {
                self.remove(name);
            }
            let mut fields = others.iter();
            return fields.try_for_each(|(name, value)| self.append_checked(name, value));
        }
        self.bytes.extend_from_slice(&others.bytes);
        self.fields.extend_from_slice(&others.fields);
        Ok(())
    }

    /// Removes all fields of that name and says how many there were.
    pub fn remove(&mut self, name: impl AsRef<str>) -> usize {
        let name = name.as_ref().as_bytes();
        let mut removed_count = 0;
        let mut index = 0;
        while let Some(field) = self.fields.get(index).copied() {
            if self.has_name(field, name) {
                self.remove_at(index);
                removed_count += 1;
            } else {
                index += 1;
            }
        }
        removed_count
    }

    /// All fields in order, as name and value.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .map(|field| (self.name(*field), self.value(*field)))
    }

    /// All fields in order, as name and value in bytes.
    pub(crate) fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let fields = self.fields.iter();
        fields.map(|field| (field.name(&self.bytes), field.value(&self.bytes)))
    }

    /// How many fields there are; those of the same name count each.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Removes all fields.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
    }

    /// As [`append`](Self::append), for a name and a value that were checked.
    pub(crate) fn append_checked(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidField> {
        // Room for the longest field is asked for first, so that the offsets fit 32 bits.
        let line_len = name.len().saturating_add(value.len()).saturating_add(4);
        if u32::try_from(self.bytes.len().saturating_add(line_len)).is_err() {
            return Err(InvalidField::TooLong);
        }
        if self.bytes.capacity() == 0 {
            // Room for a few fields at once, and without the detour of growing.
            self.bytes = Vec::with_capacity(line_len.max(FIRST_BYTES));
        } else {
            self.bytes.reserve(line_len);
        }
        let name_start = self.end();
        self.bytes.extend_from_slice(name.as_bytes());
        let name_end = self.end();
        self.bytes.extend_from_slice(b": ");
        let value_start = self.end();
        self.bytes.extend_from_slice(value);
        let value_end = self.end();
        self.bytes.extend_from_slice(b"\r\n");
        self.fields.push(FieldRange {
            name_start,
            name_end,
            value_start,
            value_end,
        });
        Ok(())
    }

    fn remove_at(&mut self, index: usize) {
        let start = self.fields.remove(index).name_start;
        let end = self
            .fields
            .get(index)
            .map_or(self.end(), |next| next.name_start);
        self.bytes.drain(start as usize..end as usize);
        for field in &mut self.fields[index..] {
            field.name_start -= end - start;
            field.name_end -= end - start;
            field.value_start -= end - start;
            field.value_end -= end - start;
        }
    }

    fn end(&self) -> u32 {
        u32::try_from(self.bytes.len())
            .expect("append_checked and the parser's limits keep it below")
    }

    fn has_name(&self, field: FieldRange, name: &[u8]) -> bool {
        // The lengths first: most fields are told apart by them, without a look at the bytes.
        (field.name_end - field.name_start) as usize == name.len()
            && field.name(&self.bytes).eq_ignore_ascii_case(name)
    }

    fn name(&self, field: FieldRange) -> &str {
        std::str::from_utf8(field.name(&self.bytes)).expect("names are tokens, tokens are ASCII")
    }

    fn value(&self, field: FieldRange) -> &[u8] {
        field.value(&self.bytes)
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(name, value)| (name, value.escape_ascii().to_string())),
            )
            .finish()
    }
}

/// Why a header field was refused: on the wire it would mean something else, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidField {
    /// The name is no token (RFC 9110 section 5.6.2): empty, or with a character such as
    /// space, colon or a control character.
    Name,
    /// The value has a control character other than HTAB: with CR or LF it would be more than
    /// one field.
    ControlCharacter,
    /// The value begins or ends with whitespace, which no recipient would see.
    OuterWhitespace,
    /// All fields together would be longer than 4 GiB.
    TooLong,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a header name must be a token: letters, digits and !#$%&'*+-.^_`|~",
            Self::ControlCharacter => {
                "a header value must not have control characters such as CR or LF"
            }
            Self::OuterWhitespace => "a header value must not begin or end with whitespace",
            Self::TooLong => "the header section would be longer than 4 GiB",
        })
    }
}

impl std::error::Error for InvalidField {}

fn check_name(name: &str) -> Result<(), InvalidField> {
    if is_token(name.as_bytes()) {
        Ok(())
    } else {
        Err(InvalidField::Name)
    }
}

/// Whether `value` may be the value of a field.
pub(crate) fn check_value(value: &[u8]) -> Result<(), InvalidField> {
    if find_control(value, 0) < value.len() {
        Err(InvalidField::ControlCharacter)
    } else if matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']) {
        Err(InvalidField::OuterWhitespace)
    } else {
        Ok(())
    }
}

/// Whether a field name, a token, is `lower_case` (letters and hyphens) in any case.
pub(crate) fn is_name<const N: usize>(name: &[u8], lower_case: &[u8; N]) -> bool {
    // Setting one bit makes letters lower case, and no other token a letter or hyphen. Of known
    // length and without an early exit, it is a few instructions on whole words.
    <&[u8; N]>::try_from(name).is_ok_and(|name| {
        let pairs = name.iter().zip(lower_case);
        pairs.fold(0, |differs, (byte, lower)| {
            differs | ((byte | 0x20) ^ lower)
        }) == 0
    })
}

/// Whether the comma list `value` holds `token`, in any case (RFC 9110 section 5.6.1).
pub(crate) fn list_has_token(value: &[u8], token: &str) -> bool {
    let token = token.as_bytes();
    let mut elements = value.split(|byte| *byte == b',').map(trim_whitespace);
    !token.is_empty() && elements.any(|element| element.eq_ignore_ascii_case(token))
}

/// Whether `text` is a token (RFC 9110 section 5.6.2): a method, a field name, a cookie's name.
pub(crate) fn is_token(text: &[u8]) -> bool {
    // Without an early exit, which costs more than it spares: most names are tokens.
    let bytes = text.iter();
    !text.is_empty() && bytes.fold(true, |legal, byte| legal & is_token_byte(*byte))
}

/// Whether `byte` may be part of a token.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    // A table, since each byte of each name is looked up: 4 instructions a byte instead of 13.
    static IS_TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 0x80_u8 {
            table[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
            byte += 1;
        }
        table
    };
    IS_TOKEN[byte as usize]
}

/// `text` without spaces and HTABs at its ends.
pub(crate) fn trim_whitespace(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Headers {
        let mut headers = Headers::new();
        headers.append("Host", "example.com").unwrap();
        headers.append("Accept", "a").unwrap();
        headers.append("X-Empty", "").unwrap();
        headers.append("ACCEPT", "b").unwrap();
        headers
    }

    #[test]
    fn names_are_found_in_any_case_and_values_in_order() {
        let headers = sample();
        assert_eq!(headers.get("hOST"), Some(&b"example.com"[..]));
        assert_eq!(headers.get(::http::header::HOST), Some(&b"example.com"[..]));
        assert_eq!(headers.get_all("accept").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(headers.get("x-empty"), Some(&b""[..]));
        assert_eq!(headers.get("hos"), None);
        assert_eq!(headers.len(), 4);
    }

    #[test]
    fn the_section_is_what_goes_over_the_wire() {
        assert_eq!(
            sample().as_section().escape_ascii().to_string(),
            "Host: example.com\\r\\nAccept: a\\r\\nX-Empty: \\r\\nACCEPT: b\\r\\n"
        );
    }

    #[test]
    fn removing_leaves_the_others_in_place() {
        let mut headers = sample();
        assert_eq!(headers.remove("accept"), 2);
        assert_eq!(headers.as_section(), b"Host: example.com\r\nX-Empty: \r\n");
        assert_eq!(headers.get("X-Empty"), Some(&b""[..]));
        assert_eq!(headers.remove("accept"), 0);
        headers.clear();
        assert!(headers.is_empty() && headers.as_section().is_empty());
    }

    #[test]
    fn setting_replaces_every_field_of_the_name() {
        let mut headers = sample();
        headers.set("accept", "c").unwrap();
        assert_eq!(headers.get_all("Accept").collect::<Vec<_>>(), [b"c"]);
        assert_eq!(headers.iter().last(), Some(("accept", &b"c"[..])));
    }

    #[test]
    fn setting_all_replaces_what_has_one_of_their_names() {
        let mut others = Headers::new();
        others.append("Vary", "a").unwrap();
        others.append("Vary", "b").unwrap();
        others.append("Accept", "c").unwrap();
        let mut empty = Headers::new();
        empty.set_all(&others).unwrap();
        assert_eq!(empty.as_section(), others.as_section());
        assert_eq!(empty.get("accept"), Some(&b"c"[..]));
        let mut headers = sample();
        headers.set_all(&others).unwrap();
        assert_eq!(
            headers.as_section().escape_ascii().to_string(),
            "Host: example.com\\r\\nX-Empty: \\r\\nVary: a\\r\\nVary: b\\r\\nAccept: c\\r\\n"
        );
    }

    #[test]
    fn tokens_come_from_several_lines_and_any_spacing() {
        let mut headers = Headers::new();
        headers
            .append("Connection", "keep-alive,\t Upgrade , ,")
            .unwrap();
        headers.append("connection", "TE").unwrap();
        headers.append("connection", b"\xff, close").unwrap();
        assert_eq!(
            headers.tokens("Connection").collect::<Vec<_>>(),
            ["keep-alive", "Upgrade", "TE", "close"]
        );
        assert!(headers.has_token("CONNECTION", "upgrade"));
        assert!(!headers.has_token("connection", "upgrad"));
        assert!(!headers.has_token("upgrade", "upgrade"));
    }

    #[test]
    fn what_would_split_or_distort_a_field_is_refused_and_changes_nothing() {
        let mut headers = sample();
        let before = headers.as_section().to_vec();
        for name in ["", "a b", "a:", "a\r\n", "a\0", "\u{e4}", "(", "\x7f"] {
            assert_eq!(
                headers.append(name, "x"),
                Err(InvalidField::Name),
                "{name:?}"
            );
            assert_eq!(headers.set(name, "x"), Err(InvalidField::Name), "{name:?}");
        }
        for value in ["a\r\nb: c", "a\rb", "a\nb", "a\0b", "\x1b[0m", "\x7f"] {
            assert_eq!(
                headers.append("accept", value),
                Err(InvalidField::ControlCharacter),
                "{value:?}"
            );
            assert_eq!(
                headers.set("accept", value),
                Err(InvalidField::ControlCharacter),
                "{value:?}"
            );
        }
        for value in [" a", "a ", "\ta", " "] {
            assert_eq!(
                headers.set("accept", value),
                Err(InvalidField::OuterWhitespace),
                "{value:?}"
            );
        }
        assert_eq!(headers.as_section(), before);
        headers.append("ok", b"tab\there \xe4\xff").unwrap();
    }

    #[test]
    fn bytes_beyond_ascii_are_values_but_not_text_unless_utf8() {
        let mut headers = Headers::new();
        headers.append("a", b"\xe4").unwrap();
        headers.append("b", "\u{e4}").unwrap();
        assert_eq!(
            (headers.get("a"), headers.get_str("a")),
            (Some(&b"\xe4"[..]), None)
        );
        assert_eq!(headers.get_str("b"), Some("\u{e4}"));
    }

    #[test]
    fn the_token_characters_are_those_of_the_rfc() {
        let allowed: Vec<u8> = (0..=255).filter(|byte| is_token_byte(*byte)).collect();
        assert_eq!(
            allowed.escape_ascii().to_string(),
            "!#$%&\\'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~"
        );
    }
}
