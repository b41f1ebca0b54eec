//! What the page is told, as JSON (RFC 8259): one object for each message, with a `type`.
//!
//! Written by hand: five forms of a few fields each need no serializer. Ids are strings, since a
//! number of JavaScript is exact up to 2^53 only.

use super::Changes;
use crate::cli::demo::name::Name;
use aerys::{ClientId, CloseCode};
use std::fmt::Write;
use std::time::Duration;

/// Somebody who came.
pub(super) struct Came {
    pub(super) client: ClientId,
    pub(super) name: Option<Name>,
}

/// Somebody who left, and how.
pub(super) struct Left {
    pub(super) client: ClientId,
    pub(super) name: Option<Name>,
    pub(super) code: CloseCode,
}

/// To who came: who it is, by the name that was made of what it wanted, and which room this is.
pub(super) fn welcome(client: ClientId, name: Option<&Name>, room: u128) -> String {
    let name = name_or_null(name);
    format!(r#"{{"type":"welcome","id":"{client}","name":{name},"room":"{room}"}}"#)
}

/// To who said something: that it is here, and in how many milliseconds everybody is told.
pub(super) fn accepted(number: u64, delay: Duration) -> String {
    let delay = delay.as_millis();
    format!(r#"{{"type":"accepted","number":{number},"delay":{delay}}}"#)
}

/// To all: what somebody said, under the number that it was accepted with.
pub(super) fn said(number: u64, client: ClientId, name: Option<&Name>, text: &str) -> String {
    let (name, text) = (name_or_null(name), string(text));
    format!(
        r#"{{"type":"said","number":{number},"id":"{client}","name":{name},"text":{text}}}"#
    )
}

/// To all: how many are here, some of their names, and who came or left. It is short, however many are.
pub(super) fn presence<'n>(
    count: usize,
    names: impl Iterator<Item = &'n Name>,
    changes: &Changes,
) -> String {
    let names = list(names.map(|name| string(name.as_str())));
    let came = list(changes.came.iter().map(|came| {
        let name = name_or_null(came.name.as_ref());
        format!(r#"{{"id":"{}","name":{name}}}"#, came.client)
    }));
    let left = list(changes.left.iter().map(|left| {
        let (name, code) = (name_or_null(left.name.as_ref()), left.code);
        format!(r#"{{"id":"{}","name":{name},"code":{code}}}"#, left.client)
    }));
    let (more_came, more_left) = (changes.more_came, changes.more_left);
    format!(
        r#"{{"type":"presence","count":{count},"names":{names},"came":{came},"more_came":{more_came},"left":{left},"more_left":{more_left}}}"#
    )
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn name_or_null(name: Option<&Name>) -> String {
    name.map_or_else(|| "null".to_owned(), |name| string(name.as_str()))
}

/// A string as section 7 has it.
fn string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..='\u{1f}' => {
                write!(json, "\\u{:04x}", u32::from(character)).expect("a string takes all");
            }
            _ => json.push(character),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_by_section_7_and_no_more() {
        for (text, json) in [
            ("", r#""""#),
            ("a \"b\" \\ c", r#""a \"b\" \\ c""#),
            ("\0\n\r\t\u{1f} \u{7f}", "\"\\u0000\\u000a\\u000d\\u0009\\u001f \u{7f}\""),
            ("</script>\u{2028}\u{1f389}", "\"</script>\u{2028}\u{1f389}\""),
        ] {
            assert_eq!(string(text), json);
        }
    }
}
