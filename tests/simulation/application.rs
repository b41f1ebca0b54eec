//! What is served: two WebSocket endpoints that do what their clients ask for, and HTTP of all kinds.
//! Everything that is sent is written down first.

use crate::chance::{Chance, pattern};
use crate::model::{Delayed, Member, Sent, Shared, Timer, reason};
use aerys::{
    BodyFlow, BodyHandler, ClientId, CloseCode, Endpoint, Everyone, Message, Request, Response,
    ResponseStream, Router, StaticFiles, TimerId, WebSocket, WebSocketConfig, WebSocketHandler,
    respond, upload, websocket,
};
use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// What is served at `/file`, longer than what is kept in memory, and at `/short`.
pub(crate) const FILE_LEN: usize = 300_000;
pub(crate) const SHORT_FILE_LEN: usize = 1000;

/// A folder with the files; gone with this.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("aerys-simulation-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        fs::write(path.join("file"), pattern(0, FILE_LEN)).expect("a file");
        fs::write(path.join("short"), pattern(0, SHORT_FILE_LEN)).expect("a file");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn number(request: &Request, name: &str) -> u32 {
    let value = request.param(name).expect("it is in the query");
    value.parse().expect("a number")
}

/// What a body is answered: how long it was, and whether it was right.
pub(crate) fn verdict(key: u32, body: &[u8]) -> String {
    let is_right = body == pattern(key, body.len());
    format!("{} bytes, right: {is_right}", body.len())
}

/// Does what its clients ask for by the first byte of a message; the rest is for them.
pub(crate) struct Room {
    ws: Endpoint,
    endpoint: usize,
    model: Shared,
    chance: Chance,
    is_lossy: bool,
}

/// A panic that is meant: nobody has to be told.
pub(crate) const MEANT: &str = "a panic that is meant";

fn to_send(message: &Sent) -> Message<'_> {
    if message.0 == 1 {
        Message::Text(std::str::from_utf8(&message.1).expect("it was a text"))
    } else {
        Message::Binary(&message.1)
    }
}

impl Room {
    /// Answers the sender alone.
    fn answer(&self, client: ClientId, message: &Sent) {
        self.model.with(|model| {
            if let Some(key) = model.open[self.endpoint].get(&client).copied() {
                model.member(key).expected.push_back(message.clone());
            }
        });
        self.ws.send(client, to_send(message));
    }

    fn broadcast(&self, message: &Sent) {
        self.model
            .with(|model| model.expect_all(self.endpoint, message, &[]));
        self.ws.broadcast(to_send(message));
    }

    fn anybody(&mut self) -> Option<ClientId> {
        let chance = &mut self.chance;
        self.model.with(|model| {
            let open = &model.open[self.endpoint];
            open.keys().nth(chance.below(open.len())).copied()
        })
    }

    fn dead(&mut self) -> Option<ClientId> {
        let chance = &mut self.chance;
        self.model
            .with(|model| model.dead.get(chance.below(model.dead.len())).copied())
    }

    fn close(&self, client: ClientId, code: u16) {
        self.model.with(|model| {
            if let Some(key) = model.open[self.endpoint].remove(&client) {
                model.dying.insert(client, (key, code));
            }
        });
        self.ws.close(client, code, "asked for").expect("a code");
    }

    fn send_to_some(&mut self, client: ClientId, message: &Sent) {
        let mut to = vec![client, client];
        to.extend((0..self.chance.below(5)).filter_map(|_| self.anybody()));
        to.extend(self.dead());
        let mut once = to.clone();
        once.sort_unstable_by_key(|id| id.as_u64());
        once.dedup();
        self.model.with(|model| {
            for id in &once {
                if let Some(key) = model.open[self.endpoint].get(id).copied() {
                    model.member(key).expected.push_back(message.clone());
                }
            }
        });
        self.ws.send(&to[..], to_send(message));
    }

    fn send_to_others(&mut self, client: ClientId, message: &Sent) {
        let mut except = vec![client];
        except.extend(self.anybody());
        except.extend(self.dead());
        self.model
            .with(|model| model.expect_all(self.endpoint, message, &except));
        self.ws.send(Everyone.except(&except), to_send(message));
    }

    fn send_later(&mut self, client: ClientId) {
        let delay = self
            .chance
            .pick(&[0, 1, 10, 63, 64, 65, 1000, 4096, 20_000]);
        let to_all = self.chance.one_in(4);
        let key = self
            .model
            .with(|model| model.open[self.endpoint].get(&client).copied());
        let Some(key) = key else { return };
        let number = self.model.with(|model| {
            let number = u32::try_from(model.delayed.len()).expect("few");
            let delayed = Delayed {
                due: model.now + delay,
                to: if to_all { Err(self.endpoint) } else { Ok(key) },
                is_cancelled: false,
                came: 0,
                asked_at: model.now,
            };
            model.delayed.insert(number, delayed);
            number
        });
        let mut message = b"D".to_vec();
        message.extend(number.to_be_bytes());
        message.resize(5 + self.chance.below(200), b'.');
        let delay = Duration::from_millis(delay);
        let id = if to_all {
            self.ws.send_after(delay, Everyone, message)
        } else {
            self.ws.send_after(delay, client, message)
        };
        self.model
            .with(|model| model.delayed_ids.insert(id, number));
    }

    fn set_timer(&mut self) {
        let delay = self.chance.pick(&[0, 1, 63, 64, 100, 4095, 4096, 10_000]);
        let id = self.ws.set_timer(Duration::from_millis(delay));
        self.model.with(|model| {
            let due = model.now + delay;
            model.timers.push(Timer { id, due });
            model.timers_set += 1;
        });
    }

    fn cancel(&mut self) {
        let chance = &mut self.chance;
        let (timer, number) = self.model.with(|model| {
            let timer = model.timers.get(chance.below(model.timers.len()));
            let delayed = chance.below(model.delayed_ids.len());
            let delayed = u32::try_from(delayed).expect("few");
            let mut ids = model.delayed_ids.iter();
            let id = ids.find(|(_, number)| **number == delayed);
            (
                timer.map(|timer| timer.id),
                id.map(|(id, number)| (*id, *number)),
            )
        });
        if let Some(id) = timer
            && self.ws.cancel(id)
        {
            self.model.with(|model| {
                model.timers.retain(|timer| timer.id != id);
                model.timers_cancelled += 1;
            });
        }
        if let Some((id, number)) = number
            && self.ws.cancel(id)
        {
            self.model.with(|model| {
                let delayed = model.delayed.get_mut(&number).expect("it was sent");
                assert_eq!(delayed.came, 0, "it was sent already");
                delayed.is_cancelled = true;
            });
        }
    }

    /// What the endpoint says of its clients is what is known of them.
    fn compare(&self) {
        let mut known = self.ws.clients();
        assert_eq!(known.len(), self.ws.client_count());
        known.sort_unstable_by_key(|id| id.as_u64());
        self.model.with(|model| {
            let mut open: Vec<ClientId> = model.open[self.endpoint].keys().copied().collect();
            open.sort_unstable_by_key(|id| id.as_u64());
            assert!(model.is_stopping || known == open, "who is open");
        });
        for id in known {
            assert!(self.ws.info(id).is_some());
        }
    }

    fn obey(&mut self, client: ClientId, message: &Sent) {
        match message.1.first() {
            Some(b'a') => self.broadcast(message),
            Some(b'x') => self.send_to_others(client, message),
            Some(b's') => self.send_to_some(client, message),
            Some(b'd') => self.send_later(client),
            Some(b't') => self.set_timer(),
            Some(b'c') => self.cancel(),
            Some(b'k') => self.close(client, 3000),
            Some(b'o') => {
                if let Some(other) = self.anybody() {
                    self.close(other, 3001);
                }
            }
            Some(b'b') => {
                for len in 0..50 {
                    let part = &message.1[..message.1.len().min(len * 30)];
                    self.answer(client, &(2, part.into()));
                }
            }
            Some(b'l') => self.answer(client, &(2, vec![b'l'; 300_000].into())),
            Some(b'r') => {
                self.broadcast(message);
                self.close(client, 3002);
                if let Some(other) = self.anybody() {
                    self.close(other, 3003);
                }
                self.broadcast(message);
                self.answer(client, message);
            }
            Some(b'z') => {
                if let Some(dead) = self.dead() {
                    self.ws.send(dead, "to nobody");
                    self.ws.close(dead, 3004, "").expect("a code");
                    assert!(self.ws.info(dead).is_none());
                }
                self.compare();
            }
            Some(b'p') => {
                self.model.with(|model| {
                    if let Some(key) = model.open[self.endpoint].get(&client).copied() {
                        model.member(key).reasons |= reason::PANIC;
                    }
                });
                std::panic::resume_unwind(Box::new(MEANT));
            }
            _ => self.answer(client, message),
        }
    }
}

impl WebSocketHandler for Room {
    type HandshakeData = u32;

    fn on_handshake(&mut self, request: &Request, _: &mut Response) -> Option<u32> {
        Some(number(request, "key"))
    }

    fn on_open(&mut self, client: ClientId, key: u32) {
        self.model.with(|model| {
            assert!(!model.has_stopped, "nobody comes in");
            model.note(key.into(), b"open");
            assert_eq!(model.open[self.endpoint].insert(client, key), None);
            let now = model.now;
            let member: &mut Member = model.member(key);
            assert!(!member.opened, "{key} opens twice");
            (member.opened, member.opened_at) = (true, now);
            member.endpoint = Some(self.endpoint);
            member.is_lossy = self.is_lossy;
        });
        if self.chance.one_in(8) {
            self.broadcast(&(1, (*b"hello, somebody came").into()));
        }
        if self.chance.one_in(100) {
            self.model
                .with(|model| model.member(key).reasons |= reason::PANIC);
            std::panic::resume_unwind(Box::new(MEANT));
        }
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        let opcode = if matches!(message, Message::Text(_)) {
            1
        } else {
            2
        };
        let message: Sent = (opcode, message.as_bytes().into());
        self.model.with(|model| {
            let key = model.open[self.endpoint].get(&client).copied();
            let key = key.expect("who is open");
            model.note(key.into(), &message.1);
            let sent = model.member(key).sent.pop_front();
            assert!(sent.as_ref() == Some(&message), "{key} sent something else");
        });
        self.obey(client, &message);
    }

    fn on_timer(&mut self, id: TimerId) {
        self.model.with(|model| {
            let at = model.timers.iter().position(|timer| timer.id == id);
            let timer = model.timers.remove(at.expect("a pending timer"));
            assert!(timer.due <= model.now, "a timer is early");
            assert!(model.fired.insert(id), "a timer expires twice");
        });
        if self.chance.one_in(4) {
            self.set_timer();
        }
        if self.chance.one_in(50) {
            std::panic::resume_unwind(Box::new(MEANT));
        }
    }

    fn on_close(&mut self, client: ClientId, code: CloseCode, why: &str) {
        self.model
            .with(|model| model.closed(self.endpoint, client, code.into(), why));
        assert!(self.ws.info(client).is_none(), "the id is dead");
        if self.chance.one_in(8) {
            self.broadcast(&(2, (*b"somebody left").into()));
        }
        if self.chance.one_in(40)
            && let Some(other) = self.anybody()
        {
            self.close(other, 3005);
        }
        if self.chance.one_in(50) {
            std::panic::resume_unwind(Box::new(MEANT));
        }
    }

    fn on_stop(&mut self) {
        self.model.with(|model| model.has_stopped = true);
        self.broadcast(&(1, (*b"the server stops").into()));
    }
}

struct Pieces {
    key: u32,
    model: Shared,
    body: Vec<u8>,
    chance: Chance,
    flow: Option<BodyFlow>,
}

impl BodyHandler for Pieces {
    fn on_data(&mut self, bytes: &[u8], _: &mut Response) {
        self.body.extend_from_slice(bytes);
        if self.chance.one_in(4)
            && let Some(flow) = self.flow.clone()
        {
            flow.pause();
            self.model.with(|model| model.flows.push(flow));
        }
    }

    fn on_end(self: Box<Self>, _: &mut Request, response: &mut Response) {
        self.model.with(|model| model.uploads_over += 1);
        response.end(verdict(self.key, &self.body));
    }

    fn on_abort(self: Box<Self>) {
        self.model.with(|model| model.uploads_over += 1);
    }
}

/// Sends a piece of a response, and `left` more later; then it ends.
fn send_piece(stream: &ResponseStream, model: Shared, key: u32, left: usize, mut chance: Chance) {
    let piece = pattern(key, chance.len(30_000));
    if stream.send(&piece).is_ok() {
        model.with(|model| model.expect_body(key, &piece));
    }
    if left == 0 {
        model.with(|model| model.complete.insert(key));
        stream.end();
        return;
    }
    let delay = Duration::from_millis(chance.pick(&[0, 1, 10, 100]));
    stream.after(delay, move |stream| {
        send_piece(stream, model, key, left - 1, chance);
    });
}

/// The two endpoints, which stay when the server becomes another.
pub(crate) struct Rooms([WebSocket<Room>; 2]);

impl Rooms {
    /// Those of a server that begins with these options.
    pub(crate) fn new(model: &Shared, options: &[WebSocketConfig; 2], seed: u64) -> Self {
        let room = |endpoint: usize| {
            let policy = options[endpoint].backlog_policy;
            let model = RefCell::new(Some(model.clone()));
            websocket(move |ws| Room {
                ws,
                endpoint,
                model: model.take().expect("once"),
                chance: Chance::new(seed + endpoint as u64),
                is_lossy: policy == aerys::BacklogPolicy::DropMessages,
            })
        };
        Self([room(0), room(1)])
    }
}

/// The routes. `options`: of the two endpoints.
pub(crate) fn router(
    model: &Shared,
    folder: &Folder,
    rooms: &Rooms,
    options: &[WebSocketConfig; 2],
) -> Router {
    let whole = {
        let model = model.clone();
        move |request: &mut Request, response: &mut Response| {
            let (key, len) = (number(request, "key"), number(request, "len"));
            let body = pattern(key, len as usize);
            model.with(|model| {
                model.told.seen.insert(key);
                model.expect_body(key, &body);
                model.complete.insert(key);
            });
            response.end(body);
        }
    };
    let pieces = {
        let model = model.clone();
        respond(move |request: &mut Request, response: &mut Response| {
            let key = number(request, "key");
            let stream = response.stream();
            let closed = model.clone();
            stream.on_close(move || closed.with(|model| model.streams_closed.push(key)));
            model.with(|model| {
                model.told.seen.insert(key);
                model.expect_body(key, b"");
                model.streams_begun.push((key, stream.clone()));
            });
            let mut chance = Chance::new(u64::from(key) + 7);
            let count = chance.len(30);
            send_piece(&stream, model.clone(), key, count, chance);
        })
    };
    let posted = model.clone();
    let post = move |request: &mut Request, response: &mut Response| {
        let key = number(request, "key");
        posted.with(|model| model.told.seen.insert(key));
        let verdict = verdict(key, request.body());
        response.end(verdict);
    };
    let take = {
        let model = model.clone();
        upload(move |request, _| {
            let key = number(request, "key");
            model.with(|model| {
                model.told.seen.insert(key);
                model.uploads_begun += 1;
            });
            Some(Pieces {
                key,
                model: model.clone(),
                body: Vec::new(),
                chance: Chance::new(u64::from(key) + 99),
                flow: request.body_flow(),
            })
        })
    };
    let panics = |_: &mut Request, _: &mut Response| std::panic::resume_unwind(Box::new(MEANT));
    let room = |number: usize| rooms.0[number].clone().config(options[number].clone());
    Router::new()
        .get("/whole", whole)
        .get("/pieces", pieces)
        .get("/file", StaticFiles::new(&folder.0).expect("a folder"))
        .get("/short", StaticFiles::new(&folder.0).expect("a folder"))
        .get("/panic", panics)
        .post("/whole", post)
        .post("/pieces", take)
        .get("/room/0", room(0))
        .get("/room/1", room(1))
}

/// What is asked for by a message of a client: the first byte, by chance.
pub(crate) fn wish(chance: &mut Chance) -> u8 {
    chance.pick(b"eeeeeeeeeeaaaxxssdddttcbblzkorp")
}
