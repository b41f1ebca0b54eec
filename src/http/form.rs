//! Forms in request bodies: urlencoded, and `multipart/form-data` (RFC 7578, RFC 2046 section 5.1).
//!
//! Works on a body that is there as a whole, and lends what needs no decoding.

use std::borrow::Cow;
use std::fmt;

use crate::http::StatusCode;

/// Most fields of a form by default. Each costs more than its bytes.
pub(crate) const MAX_FIELD_COUNT: usize = 1000;

/// Most header fields of one part, and bytes of them together.
const MAX_PART_HEADER_COUNT: usize = 16;
const MAX_PART_HEADER_BYTES: usize = 4096;

/// The fields of a form, in the order in which they were sent; made by
/// [`Request::form`](crate::Request::form).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form<'r> {
    fields: Vec<FormField<'r>>,
}

/// One field of a form: a value, or a file.
#[derive(Clone, PartialEq, Eq)]
pub struct FormField<'r> {
    name: Cow<'r, str>,
    file_name: Option<Cow<'r, str>>,
    content_type: Option<&'r str>,
    value: Cow<'r, [u8]>,
}

/// Why a body is not a form that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormError {
    /// Its `Content-Type` is that of no form: 415.
    NotAForm,
    /// It is not what its `Content-Type` says: 400.
    Malformed,
    /// It has more fields than are taken: 413.
    TooManyFields,
}

impl FormError {
    /// The status to answer with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NotAForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooManyFields => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAForm => "the body is no form",
            Self::Malformed => "the form is malformed",
            Self::TooManyFields => "the form has too many fields",
        })
    }
}

impl std::error::Error for FormError {}

impl<'r> Form<'r> {
    /// Reads the body of a request with this `Content-Type`.
    pub(crate) fn parse(
        content_type: Option<&'r str>,
        body: &'r [u8],
        max_field_count: usize,
    ) -> Result<Self, FormError> {
        let (essence, parameters) = split_parameters(content_type.ok_or(FormError::NotAForm)?);
        let fields = if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            parse_urlencoded(body, max_field_count)?
        } else if essence.eq_ignore_ascii_case("multipart/form-data") {
            let boundary = parameter(parameters, "boundary").ok_or(FormError::Malformed)?;
            parse_multipart(&boundary, body, max_field_count)?
        } else {
            return Err(FormError::NotAForm);
        };
        Ok(Self { fields })
    }

    /// The first field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&FormField<'r>> {
        self.fields_named(name).next()
    }

    /// All fields of that name.
    pub fn fields_named(&self, name: &str) -> impl Iterator<Item = &FormField<'r>> {
        self.fields.iter().filter(move |field| field.name == name)
    }

    /// All fields.
    #[must_use]
    pub fn fields(&self) -> &[FormField<'r>] {
        &self.fields
    }
}

impl FormField<'_> {
    /// Its name. What is not UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name that a file has at the client: never to be used as a path here. `None` for what is
    /// no file.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.file_name.as_deref()
    }

    /// What the client takes its type for.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.value
    }

    /// Its value as text. What is not UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.value)
    }
}

impl fmt::Debug for FormField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are what nobody wants in a log.
        write!(f, "{}: {} bytes", self.name, self.value.len())
    }
}

fn parse_urlencoded(body: &[u8], max: usize) -> Result<Vec<FormField<'_>>, FormError> {
    let mut fields = Vec::new();
    for (name, value) in form_urlencoded::parse(body) {
        if fields.len() == max {
            return Err(FormError::TooManyFields);
        }
        let value = match value {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        fields.push(FormField {
            name,
            file_name: None,
            content_type: None,
            value,
        });
    }
    Ok(fields)
}

fn parse_multipart<'r>(
    boundary: &str,
    body: &'r [u8],
    max: usize,
) -> Result<Vec<FormField<'r>>, FormError> {
    // RFC 2046 section 5.1.1; what lies outside would be no help to anybody.
    if !(1..=70).contains(&boundary.len()) || boundary.ends_with(' ') {
        return Err(FormError::Malformed);
    }
    let delimiter = ["\r\n--", boundary].concat();
    let delimiter = delimiter.as_bytes();
    // The first one needs no line end in front of it, if nothing else is there.
    let mut rest = match body.strip_prefix(&delimiter[2..]) {
        Some(rest) => rest,
        None => split_at(body, delimiter).ok_or(FormError::Malformed)?.1,
    };
    let mut fields = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(fields);
        }
        // Padding, which nobody sends, and the end of the delimiter's line.
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
        let part = &rest[padding.count()..];
        let part = part.strip_prefix(b"\r\n").ok_or(FormError::Malformed)?;
        let (part, behind) = split_at(part, delimiter).ok_or(FormError::Malformed)?;
        if fields.len() == max {
            return Err(FormError::TooManyFields);
        }
        fields.push(parse_part(part)?);
        rest = behind;
    }
}

fn parse_part(part: &[u8]) -> Result<FormField<'_>, FormError> {
    let (mut head, value) = match part.strip_prefix(b"\r\n") {
        Some(value) => (&[][..], value),
        None => split_at(part, b"\r\n\r\n").ok_or(FormError::Malformed)?,
    };
    if head.len() > MAX_PART_HEADER_BYTES {
        return Err(FormError::Malformed);
    }
    let (mut disposition, mut content_type, mut count) = (None, None, 0);
    while !head.is_empty() {
        let (line, behind) = split_at(head, b"\r\n").unwrap_or((head, &[]));
        head = behind;
        count += 1;
        let line = std::str::from_utf8(line).map_err(|_| FormError::Malformed)?;
        let (name, value) = line.split_once(':').ok_or(FormError::Malformed)?;
        if count > MAX_PART_HEADER_COUNT {
            return Err(FormError::Malformed);
        }
        if name.eq_ignore_ascii_case("content-disposition") {
            disposition = Some(value.trim());
        } else if name.eq_ignore_ascii_case("content-type") {
            content_type = Some(value.trim());
        }
    }
    let (kind, parameters) = split_parameters(disposition.ok_or(FormError::Malformed)?);
    if !kind.eq_ignore_ascii_case("form-data") {
        return Err(FormError::Malformed);
    }
    Ok(FormField {
        name: parameter(parameters, "name").ok_or(FormError::Malformed)?,
        file_name: parameter(parameters, "filename"),
        content_type,
        value: Cow::Borrowed(value),
    })
}

/// What lies before and behind the first `mark`.
fn split_at<'b>(bytes: &'b [u8], mark: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let mut from = 0;
    loop {
        // Marks begin with a CR, which is rare.
        let at = from + bytes[from..].iter().position(|byte| *byte == mark[0])?;
        if bytes[at..].starts_with(mark) {
            return Some((&bytes[..at], &bytes[at + mark.len()..]));
        }
        from = at + 1;
    }
}

/// A value and its parameters: what is before the first semicolon, and behind.
fn split_parameters(value: &str) -> (&str, &str) {
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    (essence.trim(), parameters)
}

/// The parameter of that name, quoted or not. In quotes browsers write `%22` for a quote and `%0D%0A`
/// for a line end, other clients a backslash before a quote.
fn parameter<'p>(mut parameters: &'p str, name: &str) -> Option<Cow<'p, str>> {
    loop {
        let (key, behind) = parameters.split_once('=')?;
        let key = key.trim_matches([' ', '\t', ';']);
        let behind = behind.trim_start();
        let (value, rest) = if let Some(quoted) = behind.strip_prefix('"') {
            let mut escaped = false;
            let end = quoted.bytes().position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            })?;
            (unescape(&quoted[..end]), &quoted[end + 1..])
        } else {
            let end = behind.find(';').unwrap_or(behind.len());
            (Cow::Borrowed(behind[..end].trim()), &behind[end..])
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        parameters = rest;
    }
}

/// A quoted value without its escapes. A backslash before anything but a quote or another is what
/// it is: old browsers send whole paths of Windows.
fn unescape(quoted: &str) -> Cow<'_, str> {
    if !quoted.contains(['\\', '%']) {
        return Cow::Borrowed(quoted);
    }
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped = characters.next_if(|next| character == '\\' && matches!(next, '"' | '\\'));
        text.push(escaped.unwrap_or(character));
    }
    let text = text.replace("%22", "\"").replace("%0D", "\r");
    Cow::Owned(text.replace("%0A", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form<'r>(content_type: &'r str, body: &'r [u8]) -> Result<Form<'r>, FormError> {
        Form::parse(Some(content_type), body, 3)
    }

    const MULTIPART: &str = "multipart/form-data; boundary=AaB03x";

    /// Name, file name, type and value of each field.
    fn fields(content_type: &str, body: &str) -> Vec<String> {
        let form = form(content_type, body.as_bytes()).expect("a form");
        let fields = form.fields().iter();
        fields
            .map(|field| {
                format!(
                    "{}|{}|{}|{}",
                    field.name(),
                    field.file_name().unwrap_or("-"),
                    field.content_type().unwrap_or("-"),
                    field.text()
                )
            })
            .collect()
    }

    #[test]
    fn an_urlencoded_form_is_decoded() {
        let body = "name=J%C3%BCrgen+B&empty=&name=two";
        let content_type = "application/x-www-form-urlencoded; charset=UTF-8";
        assert_eq!(
            fields(content_type, body),
            ["name|-|-|J\u{fc}rgen B", "empty|-|-|", "name|-|-|two"]
        );
        let form = form(content_type, body.as_bytes()).expect("a form");
        assert_eq!(
            form.field("name").map(FormField::bytes),
            Some("J\u{fc}rgen B".as_bytes())
        );
        assert_eq!(form.fields_named("name").count(), 2);
        assert_eq!(form.field("nobody"), None);
    }

    #[test]
    fn a_multipart_form_has_values_and_files() {
        let body = "preamble\r\n--AaB03x\r\ncontent-disposition: form-data; name=\"field1\"\r\n\r\n\
            Joe Blow\r\n--AaB03x  \r\nContent-Disposition: form-data; name=pics; \
            filename=\"file1.txt\"\r\nContent-Type: text/plain\r\n\r\n... file\r\n--AaB03 not it\r\n\
            \r\n--AaB03x\r\nContent-Disposition: form-data; filename=\"a;b%22c\\\"d\\e.txt\"; name=\"x\"\
            \r\n\r\n\r\n--AaB03x--\r\nepilogue";
        assert_eq!(
            fields(MULTIPART, body),
            [
                "field1|-|-|Joe Blow",
                "pics|file1.txt|text/plain|... file\r\n--AaB03 not it\r\n",
                "x|a;b\"c\"d\\e.txt|-|",
            ]
        );
        assert_eq!(fields(MULTIPART, "--AaB03x--"), Vec::<String>::new());
        assert_eq!(
            fields("Multipart/Form-Data;boundary=\"AaB03x\"", "--AaB03x--"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_is_no_form_has_its_status() {
        let disposition = "Content-Disposition: form-data; name=\"a\"";
        let malformed = [
            String::new(),
            "--AaB03x".to_owned(),
            "--AaB03x\r\n".to_owned(),
            "--AaB03xx\r\n".to_owned(),
            format!("--AaB03x\r\n{disposition}\r\n\r\nno end"),
            format!("--AaB03x\r\n{disposition}\r\n\r\nv\r\n--AaB03x"),
            "--AaB03x\r\n\r\nno name\r\n--AaB03x--".to_owned(),
            "--AaB03x\r\nContent-Disposition: form-data\r\n\r\nv\r\n--AaB03x--".to_owned(),
            "--AaB03x\r\nContent-Disposition: inline; name=a\r\n\r\nv\r\n--AaB03x--".to_owned(),
            format!("--AaB03x\r\n{disposition}\r\nno colon\r\n\r\nv\r\n--AaB03x--"),
            format!(
                "--AaB03x\r\n{disposition}\r\n{}\r\nv\r\n--AaB03x--",
                "A: b\r\n".repeat(16)
            ),
            format!(
                "--AaB03x\r\n{disposition}\r\nA: {}\r\n\r\nv\r\n--AaB03x--",
                "b".repeat(4096)
            ),
        ];
        for body in &malformed {
            let error = form(MULTIPART, body.as_bytes()).expect_err(body);
            assert_eq!(
                (error, error.status().as_u16()),
                (FormError::Malformed, 400),
                "{body}"
            );
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            &long,
        ] {
            assert_eq!(
                form(content_type, b"----"),
                Err(FormError::Malformed),
                "{content_type}"
            );
        }
        for content_type in ["text/plain", "multipart/mixed; boundary=AaB03x", ""] {
            assert_eq!(
                form(content_type, b""),
                Err(FormError::NotAForm),
                "{content_type}"
            );
        }
        assert_eq!(Form::parse(None, b"a=b", 3), Err(FormError::NotAForm));
        assert_eq!(FormError::NotAForm.status().as_u16(), 415);
    }

    #[test]
    fn more_fields_than_are_taken_are_refused() {
        let part = "--AaB03x\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n";
        for (count, is_taken) in [(3, true), (4, false)] {
            let multipart = part.repeat(count) + "--AaB03x--";
            let urlencoded = "a=v&".repeat(count);
            for (content_type, body) in [
                (MULTIPART, multipart),
                ("application/x-www-form-urlencoded", urlencoded),
            ] {
                let error = form(content_type, body.as_bytes()).err();
                let expected = (!is_taken).then_some(FormError::TooManyFields);
                assert_eq!(error, expected, "{count} {content_type}");
            }
        }
        assert_eq!(FormError::TooManyFields.status().as_u16(), 413);
    }

    #[test]
    fn garbage_ends_in_a_form_or_an_error() {
        let whole = "--AaB03x\r\nContent-Disposition: form-data; name=\"a\\\"b\"; filename=\"c\"\r\n\
            Content-Type: x\r\n\r\nvalue\r\n--AaB03x--";
        for len in 0..whole.len() {
            let is_form = form(MULTIPART, &whole.as_bytes()[..len]).is_ok();
            assert!(!is_form, "{len}");
            for byte in [0, b'"', b'\r', b'-', b'=', 0xFF] {
                let mut changed = whole.as_bytes().to_vec();
                changed[len] = byte;
                let _ = form(MULTIPART, &changed);
            }
        }
    }
}
