//! What the page asks for and what it is told, as JSON: one object for each message.

use crate::cli::demo::name::Name;
use aerys::{ClientId, CloseCode};
use serde::{Deserialize, Serialize};

/// What the page sends: `{"say":"Hello"}`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asks {
    /// To tell everybody this.
    Say(String),
    /// To be called otherwise.
    Name(String),
}

/// What the page is told; `type` says which of these it is.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Says<'a> {
    /// To who came: who it is, by the name that was made of what it wanted, and which room this is.
    Welcome {
        #[serde(flatten)]
        who: Person,
        room: u64,
    },
    /// To who asked for a name: that which was made of it.
    Called { name: Option<Name> },
    /// To who said something: that it is here, and in how many milliseconds everybody is told.
    Accepted { number: u64, delay: u64 },
    /// To all: what somebody said, under the number that it was accepted with.
    Said {
        number: u64,
        #[serde(flatten)]
        who: Person,
        text: &'a str,
    },
    /// To all: how many are here, some of their names, and who came or left. However many there are, it
    /// is short.
    Presence {
        count: usize,
        names: Vec<&'a Name>,
        #[serde(flatten)]
        changes: Changes,
    },
}

impl Says<'_> {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("all keys are strings")
    }
}

#[derive(Serialize)]
pub(super) struct Person {
    /// Not a number: those of JavaScript are exact up to 2^53.
    id: String,
    name: Option<Name>,
}

impl Person {
    pub(super) fn new(client: ClientId, name: Option<Name>) -> Self {
        let id = client.to_string();
        Self { id, name }
    }
}

/// What happened since the page was told last.
#[derive(Default, Serialize)]
pub(super) struct Changes {
    pub(super) came: Events<Person>,
    pub(super) renamed: Events<Renamed>,
    pub(super) left: Events<Left>,
}

/// Events of one kind that are told one by one; the others are counted.
const MAX_TOLD: usize = 8;

#[derive(Serialize)]
pub(super) struct Events<T> {
    told: Vec<T>,
    more: usize,
}

impl<T> Default for Events<T> {
    fn default() -> Self {
        let (told, more) = (Vec::new(), 0);
        Self { told, more }
    }
}

impl<T> Events<T> {
    pub(super) fn add(&mut self, event: T) {
        match self.told.len() {
            0..MAX_TOLD => self.told.push(event),
            _ => self.more += 1,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Renamed {
    #[serde(flatten)]
    pub(super) who: Person,
    pub(super) was: Option<Name>,
}

#[derive(Serialize)]
pub(super) struct Left {
    #[serde(flatten)]
    who: Person,
    code: u16,
}

impl Left {
    pub(super) fn new(who: Person, code: CloseCode) -> Self {
        let code = code.as_u16();
        Self { who, code }
    }
}
