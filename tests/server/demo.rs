//! The demo of the program: its page, and the chat with those who have names and those who speak plain
//! text in one room.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, HttpResponse, handshake};
use crate::program::Program;

/// How long comings and goings are gathered.
const PRESENCE_PERIOD: Duration = Duration::from_millis(250);

/// Somebody of the page.
struct Named {
    client: Client,
    id: String,
    room: u64,
    /// As it was welcomed.
    name: Value,
}

impl Named {
    /// Comes in; `name` is as the page sends it.
    fn open(program: &Program, name: &str) -> Self {
        let mut client = Client::connect(program.address);
        client.upgrade(&named_path(name));
        Self::welcomed(client)
    }

    fn welcomed(mut client: Client) -> Self {
        let welcome = json(&client.read_text());
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        Self {
            client,
            id: welcome["id"].as_str().expect("a string").to_owned(),
            room: welcome["room"].as_u64().expect("a number"),
            name: welcome["name"].clone(),
        }
    }

    fn ask(&mut self, request: &Value) {
        self.client.send_text(&request.to_string());
    }

    /// The next message of that type: others are passed over.
    fn read(&mut self, kind: &str) -> Value {
        loop {
            let message = json(&self.client.read_text());
            if message["type"] == kind {
                return message;
            }
        }
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn named_path(name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/chat/named?name={name}")
}

/// The id in a welcome of the plain chat.
fn plain_id(welcome: &str) -> String {
    let id = welcome
        .strip_prefix("Welcome new client ")
        .and_then(|rest| rest.strip_suffix('!'));
    id.expect("a welcome").to_owned()
}

#[test]
fn the_chat_acknowledges_at_once_and_tells_everyone_five_seconds_later() {
    let program = Program::serve(&[]);
    let mut first = Client::open(program.address, "/chat");
    let welcome = first.read_text();
    let id = welcome
        .strip_prefix("Welcome new client ")
        .and_then(|rest| rest.strip_suffix('!'));
    let id = id.expect("a welcome").to_owned();
    let mut second = Client::open(program.address, "/chat");
    assert!(second.read_text().starts_with("Welcome new client "));
    assert!(first.read_text().starts_with("Welcome new client "));

    let begun = Instant::now();
    first.send_text("hello <b>all</b>");
    assert_eq!(
        first.read_text(),
        "<i>Message received ... Sending in 5 seconds ...</i>"
    );
    assert!(begun.elapsed() < Duration::from_secs(1));
    for client in [&mut first, &mut second] {
        assert_eq!(
            client.read_text(),
            format!("Client {id} said: hello <b>all</b>")
        );
        let took = begun.elapsed();
        assert!(
            (Duration::from_secs(5)..Duration::from_secs(7)).contains(&took),
            "{took:?}"
        );
    }
    first.send_close(1000);
    assert_eq!(
        second.read_text(),
        format!("User with client id {id} closed connection with code 1000")
    );
}

#[test]
fn those_with_names_and_those_without_are_in_one_room() {
    let program = Program::serve(&[]);
    let mut plain = Client::open(program.address, "/chat");
    let plain_id = plain_id(&plain.read_text());
    let mut anna = Named::open(&program, "Anna");
    assert_eq!(anna.name, "Anna");
    // To who speaks plain text it is one more client.
    let welcome = format!("Welcome new client {}!", anna.id);
    assert_eq!(plain.read_text(), welcome);
    let presence = anna.read("presence");
    assert_eq!(presence["count"], 2);
    assert_eq!(presence["names"], json!(["Anna"]));

    anna.ask(&json!({"say": "Hello \"all\"\n<b>"}));
    let accepted = anna.read("accepted");
    assert_eq!(accepted["delay"], 5000);
    plain.send_text("plain \u{1f389}");
    assert_eq!(
        plain.read_text(),
        "<i>Message received ... Sending in 5 seconds ...</i>"
    );
    let said = anna.read("said");
    assert_eq!(
        said,
        json!({"type": "said", "number": accepted["number"], "id": anna.id, "name": "Anna",
               "text": "Hello \"all\"\n<b>"})
    );
    assert_eq!(
        plain.read_text(),
        format!("Client {} said: Hello \"all\"\n<b>", anna.id)
    );
    let said = anna.read("said");
    assert_eq!(
        (&said["id"], &said["name"]),
        (&json!(plain_id), &Value::Null)
    );
    assert_eq!(said["text"], "plain \u{1f389}");
    let came = format!("Client {plain_id} said: plain \u{1f389}");
    assert_eq!(plain.read_text(), came);

    plain.send_close(1001);
    let left = &anna.read("presence")["left"]["told"][0];
    assert_eq!(left, &json!({"id": plain_id, "name": null, "code": 1001}));
    let mut other = Client::open(program.address, "/chat");
    other.read_text();
    anna.client.send_close(4321);
    assert_eq!(
        other.read_text(),
        format!(
            "User with client id {} closed connection with code 4321",
            anna.id
        )
    );
}

#[test]
fn names_are_made_short_and_printable_whatever_is_sent() {
    let program = Program::serve(&[]);
    for (sent, name) in [
        ("Anna", json!("Anna")),
        ("\"},{\"type\":\"said", json!("\"},{\"type\":\"said")),
        (
            "<script>alert(1)</script>",
            json!("<script>alert(1)</script"),
        ),
        (" \u{202e}a\u{1b}[31m\r\n b ", json!("a[31m b")),
        (&"\u{1f389}".repeat(100), json!("\u{1f389}".repeat(24))),
        ("", Value::Null),
        ("\u{200b}\u{3164}\0", Value::Null),
    ] {
        let mut named = Named::open(&program, sent);
        assert_eq!(named.name, name, "{sent:?}");
        named.ask(&json!({"name": "Bob"}));
        assert_eq!(named.read("called")["name"], "Bob");
        named.ask(&json!({"name": sent}));
        assert_eq!(named.read("called")["name"], name, "{sent:?}");
    }
    // Bytes that are no UTF-8 are shown as such.
    let mut client = Client::connect(program.address);
    client.upgrade("/chat/named?name=a%FF%00b");
    assert_eq!(Named::welcomed(client).name, "a\u{fffd}b");
    // No name at all is none.
    let mut client = Client::connect(program.address);
    client.upgrade("/chat/named");
    assert_eq!(Named::welcomed(client).name, Value::Null);
}

#[test]
fn another_name_is_told_to_all_with_the_one_before() {
    let program = Program::serve(&[]);
    let mut first = Named::open(&program, "");
    let mut second = Named::open(&program, "Bob");
    first.ask(&json!({"name": " Anna "}));
    assert_eq!(first.read("called")["name"], "Anna");
    for named in [&mut first, &mut second] {
        let presence = loop {
            let presence = named.read("presence");
            if presence["renamed"]["told"] != json!([]) {
                break presence;
            }
        };
        let names: HashSet<_> = presence["names"]
            .as_array()
            .expect("a list")
            .iter()
            .collect();
        assert_eq!(names, HashSet::from([&json!("Anna"), &json!("Bob")]));
        let renamed = &presence["renamed"]["told"][0];
        assert_eq!(
            (&renamed["name"], &renamed["was"]),
            (&json!("Anna"), &Value::Null)
        );
    }
    first.ask(&json!({"say": "it is me"}));
    assert_eq!(second.read("said")["name"], "Anna");
}

/// Line by line, but for the number of the room, which is that of this start.
#[test]
fn the_json_is_what_its_page_says() {
    let page = include_str!("../../docs/demo.md");
    let blocks = page.split("```json\n").skip(1);
    let blocks: Vec<Vec<&str>> = blocks
        .map(|rest| rest.split("```").next().expect("a block").lines().collect())
        .collect();
    let [asks, says] = &*blocks else {
        panic!("{} blocks", blocks.len());
    };
    let room = |text: &str| json(text)["room"].as_u64();
    let documented_room = says.iter().find_map(|line| room(line)).expect("a room");
    let program = Program::serve(&[]);
    let mut client = Client::connect(program.address);
    client.upgrade(&named_path("Anna"));
    for ask in asks {
        client.send_text(ask);
    }
    let mut told = HashSet::new();
    while told.len() < says.len() {
        let text = client.read_text();
        told.insert(match room(&text) {
            Some(room) => text.replace(&room.to_string(), &documented_room.to_string()),
            None => text,
        });
    }
    let documented: HashSet<_> = says.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(told, documented);
}

/// Told one by one to each, the comings of 300 would be 45,000 messages.
#[test]
fn those_who_come_and_leave_at_once_are_told_of_together() {
    const COUNT: usize = 300;
    let program = Program::serve(&[]);
    let mut watcher = Named::open(&program, "Watcher");
    let begun = Instant::now();
    let mut crowd: Vec<Client> = (0..COUNT)
        .map(|number| {
            let mut client = Client::connect(program.address);
            client.send_raw(handshake(&named_path(&format!("somebody {number}"))));
            client
        })
        .collect();
    for client in &mut crowd {
        assert_eq!(client.read_response().status, 101);
    }
    let (mut message_count, mut most_names) = (0, 0);
    // Until the watcher is told of so many, its own coming among them.
    let mut expect = |kind: &str, mut wanted: usize| {
        while wanted > 0 {
            let text = watcher.client.read_text();
            message_count += 1;
            assert!(text.len() < 4096, "{} bytes: {text}", text.len());
            let presence = json(&text);
            let events = &presence[kind];
            let told = events["told"].as_array().expect("a list").len();
            assert!(told <= 8, "{text}");
            most_names = most_names.max(presence["names"].as_array().expect("a list").len());
            wanted -=
                told + usize::try_from(events["more"].as_u64().expect("a number")).expect("few");
        }
    };
    expect("came", 1 + COUNT);
    drop(crowd);
    expect("left", COUNT);
    assert_eq!(most_names, 32);
    let most = begun.elapsed().as_millis() / PRESENCE_PERIOD.as_millis() + 2;
    assert!(
        message_count <= most,
        "{message_count} messages, {most} periods"
    );
}

#[test]
fn who_sends_something_else_than_the_page_is_told_what_to_send() {
    let program = Program::serve(&[]);
    for nonsense in [
        "Hello",
        "",
        "{}",
        "{\"say\":1}",
        "{\"say\":\"a\",\"name\":\"b\"}",
        "[]",
    ] {
        let mut named = Named::open(&program, "");
        named.client.send_text(nonsense);
        let reason = loop {
            let frame = named.client.read_frame();
            if frame.opcode == crate::client::CLOSE {
                break frame.payload;
            }
        };
        assert_eq!(reason[..2], 1003_u16.to_be_bytes(), "{nonsense}");
        assert!(reason.windows(5).any(|five| five == b"/chat"), "{nonsense}");
    }
}

/// By that the page knows that what was on its way will not come.
#[test]
fn a_room_is_told_from_that_of_another_start() {
    let program = Program::serve(&[]);
    let rooms = [0, 1].map(|_| Named::open(&program, "").room);
    assert_eq!(rooms[0], rooms[1]);
    let other = Program::serve(&[]);
    assert_ne!(Named::open(&other, "").room, rooms[0]);
}

fn get(program: &Program, path: &str, fields: &[(&str, &str)]) -> HttpResponse {
    Client::connect(program.address).request("GET", path, fields)
}

#[test]
fn the_page_is_served_without_a_file_on_disk() {
    let program = Program::serve(&[]);
    for (path, kind) in [
        ("/", "html"),
        ("/chat.css", "css"),
        ("/chat.js", "javascript"),
    ] {
        let response = get(&program, path, &[]);
        assert_eq!(response.status, 200, "{path}");
        let content_type = response.field("Content-Type");
        let wanted = format!("text/{kind}; charset=utf-8");
        assert_eq!(content_type, Some(wanted.as_str()));
        // Kept, and asked for each time: another version of the program has other files.
        assert_eq!(response.field("Cache-Control"), Some("no-cache"), "{path}");
        let tag = response.field("ETag").expect("a tag");
        for (known, status) in [
            (tag.to_owned(), 304),
            (format!("\"other\" , W/{tag}"), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
            (tag.replace('"', ""), 200),
        ] {
            let response = get(&program, path, &[("If-None-Match", &known)]);
            assert_eq!(response.status, status, "{path}: {known}");
            assert_eq!(response.body.is_empty(), status == 304);
            assert_eq!(response.field("ETag"), Some(tag));
        }
    }
}

/// Whatever somebody writes in the chat, no browser runs it.
#[test]
fn the_page_may_run_its_own_script_alone() {
    let program = Program::serve(&[]);
    let page = get(&program, "/", &[]);
    let policy = page.field("Content-Security-Policy").expect("a policy");
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ] {
        assert!(
            policy.split(';').any(|given| given.trim() == directive),
            "{policy}"
        );
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.field("X-Content-Type-Options"), Some("nosniff"));
    let text = |path| String::from_utf8(get(&program, path, &[]).body).expect("UTF-8");
    let (page, script) = (text("/"), text("/chat.js"));
    // One script and one style sheet, both its own; no handler and no style in an attribute.
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("<script src=\"chat.js\" defer></script>"));
    for inline in ["<style", " style=", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
    let is_handler = |rest: &str| {
        rest.trim_start_matches(char::is_alphabetic)
            .starts_with('=')
    };
    assert!(!page.split(" on").skip(1).any(is_handler));
    for markup in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
    ] {
        assert!(!script.contains(markup), "{markup}");
    }
    for foreign in ["http://", "https://"] {
        let own = text("/chat.css") + &script + &page.replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains(foreign), "{foreign}");
    }
}
