//! What holds for single fields and their lengths (RFC 9113 sections 6.5.2, 8.2 and 8.3.1).

use crate::config::Config;
use crate::http::Method;
use crate::http::headers::{check_value, is_token_byte};
use crate::http::target::{TargetForm, TargetParts};

use super::Malformed;

/// What each field counts beside its name and value (section 6.5.2).
const FIELD_OVERHEAD_BYTES: usize = 32;

/// How long a list may still become (section 6.5.2).
///
/// A block names a field of 4,000 bytes with one (RFC 7541 section 6.1): of a list that is too long
/// nothing more is looked at, or 32 KiB on the wire would have 128 MiB judged.
#[derive(Debug)]
pub(super) struct ListSize {
    /// Names, values and what each counts beside them.
    bytes: usize,
    max_bytes: usize,
}

impl ListSize {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            bytes: 0,
            max_bytes: config.max_header_section_bytes,
        }
    }

    /// Takes note of a field. Whether there is room for it.
    pub(super) fn count(&mut self, name: &[u8], value: &[u8]) -> bool {
        let len = name.len() + value.len() + FIELD_OVERHEAD_BYTES;
        self.bytes = self.bytes.saturating_add(len);
        self.bytes <= self.max_bytes
    }

    /// Whether there was room for all.
    pub(super) const fn is_kept(&self) -> bool {
        self.bytes <= self.max_bytes
    }
}

/// Section 8.3.1: a path that begins with a slash, or `*` for OPTIONS.
pub(super) fn parse_path(path: &[u8], method: &Method) -> Result<TargetParts, Malformed> {
    let parts = TargetParts::parse(path).map_err(|_| Malformed(":path is malformed"))?;
    match parts.form() {
        TargetForm::Origin => Ok(parts),
        TargetForm::Asterisk if *method == Method::OPTIONS => Ok(parts),
        TargetForm::Asterisk => Err(Malformed("the path * is for OPTIONS only")),
        TargetForm::Absolute => Err(Malformed(":path is no path")),
    }
}

/// Judges what holds for every field but pseudo-fields (sections 8.2.1 and 8.2.2). Its name, which
/// is a token in lower case.
pub(super) fn check_field<'n>(name: &'n [u8], value: &[u8]) -> Result<&'n str, Malformed> {
    // Without an early exit, as in `is_token`.
    let is_legal = name.iter().fold(!name.is_empty(), |legal, byte| {
        legal & is_token_byte(*byte) & !byte.is_ascii_uppercase()
    });
    if !is_legal {
        return Err(Malformed("a field name is no token in lower case"));
    }
    check_value(value).map_err(|_| {
        Malformed("a field value has a control character, or whitespace at its ends")
    })?;
    let name = std::str::from_utf8(name).expect("tokens are ASCII");
    let is_of_connection = match name {
        "connection" | "proxy-connection" | "keep-alive" | "transfer-encoding" | "upgrade" => true,
        "te" => !value.eq_ignore_ascii_case(b"trailers"),
        _ => false,
    };
    if is_of_connection {
        return Err(Malformed("there is a field of an HTTP/1 connection"));
    }
    Ok(name)
}

/// Digits and nothing else, below 2^64.
pub(super) fn parse_content_length(value: &[u8]) -> Result<u64, Malformed> {
    let number = value.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    });
    number
        .filter(|_| !value.is_empty())
        .ok_or(Malformed("the Content-Length is no number"))
}
