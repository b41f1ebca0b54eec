//! The chat: one room with two doors.
//!
//! `/chat` speaks plain text, word by word what tests and other clients rely on. The page comes in by
//! `/chat/named` with a name, and is told in JSON what happens ([`Says`] has all of it). Each door is an
//! endpoint of its own, so that what goes to everybody is encoded once for either.

mod says;

use crate::cli::demo::name::Name;
use aerys::{
    ClientId, CloseCode, Endpoint, Everyone, Message, Request, Response, TimerId, WebSocket,
    WebSocketHandler, websocket,
};
use says::{Asks, Changes, Left, Person, Renamed, Says};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the chat keeps a message before everyone gets it.
const DELAY: Duration = Duration::from_secs(5);
/// How long comings and goings are gathered. A thousand that come at once are told of in one message,
/// not each to a thousand.
const PRESENCE_PERIOD: Duration = Duration::from_millis(250);
/// What who sends something else is closed with.
const NOT_UNDERSTOOD: &str = r#"Send {"say":".."} or {"name":".."}; plain text goes to /chat"#;
/// Names of those who are here, in one message at most.
const MAX_NAMES: usize = 32;

/// The two doors.
pub(super) fn endpoints() -> (WebSocket<Plain>, WebSocket<Named>) {
    let room = Rc::new(Room::default());
    let plain = websocket(|_| Plain(Rc::clone(&room)));
    let named = websocket(|_| Named(Rc::clone(&room)));
    room.doors
        .get_or_init(|| (plain.endpoint(), named.endpoint()));
    (plain, named)
}

/// Greets, answers, and tells everyone five seconds later.
pub(super) struct Plain(Rc<Room>);

impl WebSocketHandler for Plain {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_open(&mut self, client: ClientId, (): ()) {
        self.0.came(client, None);
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        let (plain, _) = self.0.doors();
        plain.send(
            client,
            "<i>Message received ... Sending in 5 seconds ...</i>",
        );
        self.0.say(client, &message.to_text());
    }

    fn on_close(&mut self, client: ClientId, code: CloseCode, _reason: &str) {
        self.0.left(client, code);
    }
}

/// The same for those who have a name, or may have one.
pub(super) struct Named(Rc<Room>);

impl WebSocketHandler for Named {
    type HandshakeData = Option<Name>;

    fn on_handshake(&mut self, request: &Request, _: &mut Response) -> Option<Option<Name>> {
        let name = request.param("name");
        Some(name.and_then(|name| Name::read(&name)))
    }

    fn on_open(&mut self, client: ClientId, name: Option<Name>) {
        let (_, named) = self.0.doors();
        let who = Person::new(client, name.clone());
        let room = self.0.opened;
        named.send(client, Says::Welcome { who, room }.to_json());
        self.0.came(client, name);
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        let (_, named) = self.0.doors();
        let answer = match serde_json::from_str(&message.to_text()) {
            Ok(Asks::Say(text)) => Says::Accepted {
                number: self.0.say(client, &text),
                delay: DELAY.as_secs() * 1000,
            },
            Ok(Asks::Name(name)) => Says::Called {
                name: self.0.rename(client, Name::read(&name)),
            },
            Err(_) => {
                let _ = named.close(client, CloseCode::UNSUPPORTED_DATA, NOT_UNDERSTOOD);
                return;
            }
        };
        named.send(client, answer.to_json());
    }

    fn on_timer(&mut self, _: TimerId) {
        self.0.tell_presence();
    }

    fn on_close(&mut self, client: ClientId, code: CloseCode, _reason: &str) {
        self.0.left(client, code);
    }
}

/// Who is in the room, and what happens there. Nothing that is sent calls a handler: `people` is never
/// borrowed twice.
struct Room {
    /// The sending sides of [`Plain`] and [`Named`].
    doors: OnceCell<(Endpoint, Endpoint)>,
    /// In milliseconds since 1970: tells the page this room from that of before a restart.
    opened: u64,
    people: RefCell<People>,
}

#[derive(Default)]
struct People {
    /// Of those who have one.
    names: BTreeMap<ClientId, Name>,
    /// How often something was said.
    said: u64,
    /// Since the page was told last; `Some` means that it is going to be.
    changes: Option<Changes>,
}

impl Default for Room {
    fn default() -> Self {
        let opened = SystemTime::now().duration_since(UNIX_EPOCH);
        let opened = opened.unwrap_or_default().as_millis();
        Self {
            doors: OnceCell::new(),
            opened: opened.try_into().unwrap_or_default(),
            people: RefCell::default(),
        }
    }
}

impl Room {
    fn doors(&self) -> &(Endpoint, Endpoint) {
        self.doors.get().expect("both are there before anybody is")
    }

    fn came(&self, client: ClientId, name: Option<Name>) {
        let (plain, _) = self.doors();
        plain.broadcast(format!("Welcome new client {client}!"));
        if let Some(name) = &name {
            let mut people = self.people.borrow_mut();
            people.names.insert(client, name.clone());
        }
        self.change(|changes| changes.came.add(Person::new(client, name)));
    }

    fn left(&self, client: ClientId, code: CloseCode) {
        let (plain, _) = self.doors();
        plain.broadcast(format!(
            "User with client id {client} closed connection with code {code}"
        ));
        let name = self.people.borrow_mut().names.remove(&client);
        let left = Left::new(Person::new(client, name), code);
        self.change(|changes| changes.left.add(left));
    }

    /// Returns the new name.
    fn rename(&self, client: ClientId, name: Option<Name>) -> Option<Name> {
        let mut people = self.people.borrow_mut();
        let was = match &name {
            Some(name) => people.names.insert(client, name.clone()),
            None => people.names.remove(&client),
        };
        drop(people);
        if was != name {
            let who = Person::new(client, name.clone());
            self.change(|changes| changes.renamed.add(Renamed { who, was }));
        }
        name
    }

    /// Tells everyone later. Returns the how many-th it was that somebody said something.
    fn say(&self, client: ClientId, text: &str) -> u64 {
        let (plain, named) = self.doors();
        plain.send_after(DELAY, Everyone, format!("Client {client} said: {text}"));
        let mut people = self.people.borrow_mut();
        people.said += 1;
        // Where nobody is there who could have heard it, there is no second copy of it.
        if named.client_count() > 0 {
            let (number, name) = (people.said, people.names.get(&client).cloned());
            let who = Person::new(client, name);
            named.send_after(DELAY, Everyone, Says::Said { number, who, text }.to_json());
        }
        people.said
    }

    /// Notes that somebody came or left, for the page if it is open anywhere.
    fn change(&self, note: impl FnOnce(&mut Changes)) {
        let (_, named) = self.doors();
        if named.client_count() == 0 {
            return;
        }
        let mut people = self.people.borrow_mut();
        let changes = people.changes.get_or_insert_with(|| {
            // It is the only timer of this endpoint.
            let _ = named.set_timer(PRESENCE_PERIOD);
            Changes::default()
        });
        note(changes);
    }

    fn tell_presence(&self) {
        let (plain, named) = self.doors();
        let mut people = self.people.borrow_mut();
        let says = Says::Presence {
            changes: people.changes.take().unwrap_or_default(),
            count: plain.client_count() + named.client_count(),
            names: people.names.values().take(MAX_NAMES).collect(),
        };
        named.broadcast(says.to_json());
    }
}
