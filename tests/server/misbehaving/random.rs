//! A handler that does whatever it may in whatever callback, at random, and what that should come to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aerys::{ClientId, Endpoint, Everyone, TimerId, WebSocketConfig};

use super::read_all;
use crate::client::{TEXT, frame};
use crate::support::{Event, TestServer};

/// What a handler that acts at random should come to.
#[derive(Debug, Default)]
struct Model {
    random: u64,
    /// By client, in order: what it is to read.
    expected: HashMap<ClientId, Vec<String>>,
    /// By client, how it was closed.
    closed: HashMap<ClientId, u16>,
    alive: HashSet<ClientId>,
    /// Ids of clients that left, and of others that never were.
    dead: Vec<ClientId>,
    timers: HashSet<TimerId>,
    timers_set: usize,
    number: usize,
}

impl Model {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % end as u64).expect("a small number")
    }

    fn any_of(&mut self, clients: &[ClientId]) -> Option<ClientId> {
        (!clients.is_empty()).then(|| clients[self.below(clients.len())])
    }

    /// A message that is like no other.
    fn text(&mut self, what: &str) -> String {
        self.number += 1;
        format!("{} {what}", self.number)
    }

    fn expect(&mut self, client: ClientId, text: &str) {
        if self.alive.contains(&client) {
            let expected = self.expected.get_mut(&client).expect("it was opened");
            expected.push(text.to_owned());
        }
    }

    /// What the server says of who is there is what was told.
    fn check(&self, ws: &Endpoint) {
        let clients = ws.clients();
        let known: HashSet<_> = clients.iter().copied().collect();
        assert_eq!(known, self.alive);
        assert_eq!(clients.len(), known.len(), "nobody is listed twice");
        assert_eq!(ws.client_count(), known.len());
    }

    fn act(&mut self, ws: &Endpoint) {
        let clients = ws.clients();
        match self.below(12) {
            0..=2 => {
                let text = self.text("to all");
                ws.broadcast(&text);
                for client in &clients {
                    self.expect(*client, &text);
                }
            }
            3 | 4 => {
                let text = self.text("to others");
                let mut except: Vec<_> = self.any_of(&clients).into_iter().collect();
                except.extend(self.dead.last());
                except.extend(self.any_of(&clients));
                ws.send(Everyone.except(&except), &text);
                for client in clients.iter().filter(|client| !except.contains(client)) {
                    self.expect(*client, &text);
                }
            }
            5 | 6 => {
                let text = self.text("to some");
                let mut listed: Vec<_> = clients.iter().copied().step_by(2).collect();
                listed.extend(self.dead.last());
                listed.extend(clients.first());
                ws.send(&listed, &text);
                let listed: HashSet<_> = listed.into_iter().collect();
                for client in listed {
                    self.expect(client, &text);
                }
            }
            7 => {
                // Perhaps nobody's, perhaps its own.
                let dead = self.dead.clone();
                let to = [self.any_of(&clients), self.any_of(&dead)];
                for client in to.into_iter().flatten() {
                    let text = self.text("to one");
                    ws.send(client, &text);
                    self.expect(client, &text);
                }
            }
            // Once the server stops, there is nobody and no timer.
            _ if clients.is_empty() => {}
            8 if self.timers_set < 200 => {
                self.timers_set += 1;
                let millis = self.below(3) as u64;
                let timer = ws.set_timer(Duration::from_millis(millis));
                assert!(self.timers.insert(timer), "no id twice");
            }
            9 => {
                if let Some(timer) = self.timers.iter().next().copied() {
                    assert!(ws.cancel(timer), "it was pending");
                    assert!(!ws.cancel(timer), "it was");
                    self.timers.remove(&timer);
                }
            }
            // Seldom, or nobody would be left.
            10 if self.below(4) == 0 => {
                if let Some(client) = self.any_of(&clients) {
                    let code = 4000 + u16::try_from(self.below(100)).expect("a code");
                    ws.close(client, code, "misbehaving").expect("a good code");
                    // The first code stands.
                    ws.close(client, 4999, "").expect("a good code");
                    ws.send(client, "to a client that is closed");
                    self.alive.remove(&client);
                    self.closed.insert(client, code);
                }
            }
            _ => {}
        }
        self.check(ws);
    }

    fn happened(&mut self, ws: &Endpoint, event: &Event) {
        match event {
            Event::Open(client, _) => {
                assert!(self.alive.insert(*client));
                assert!(self.expected.insert(*client, Vec::new()).is_none());
            }
            Event::Timer(timer) => {
                assert!(self.timers.remove(timer), "pending, and not cancelled");
                assert!(!ws.cancel(*timer), "it runs");
            }
            Event::Close(client, code, _) => {
                self.alive.remove(client);
                assert_eq!(self.closed.entry(*client).or_insert(*code), code);
                assert!(!self.dead.contains(client), "it is told once");
                self.dead.push(*client);
                ws.send(*client, "to itself, too late");
                assert!(ws.info(*client).is_none());
            }
            Event::Text(client, _) => assert!(self.alive.contains(client)),
            // All ids die before the first on_close.
            Event::Stop => return self.alive.clear(),
            Event::Start | Event::Handshake(_) | Event::Binary(..) => return,
            Event::Drain(_) => {}
        }
        for _ in 0..self.below(4) {
            self.act(ws);
        }
    }
}

/// Rows 65 and 23.
#[test]
fn whatever_handlers_do_in_whatever_callback_everybody_gets_all_that_is_theirs_in_order() {
    for seed in 1..=12 {
        let model = Arc::new(Mutex::new(Model {
            random: seed,
            ..Model::default()
        }));
        let shared = Arc::clone(&model);
        let react = move |ws: &Endpoint, event: &Event| {
            shared.lock().expect("no panic before").happened(ws, event);
        };
        let mut server = TestServer::websocket(WebSocketConfig::default(), react);
        let mut clients: Vec<_> = (0..10).map(|_| server.open("/")).collect();
        for round in 0..40 {
            let index = (round * 7 + usize::try_from(seed).expect("small")) % clients.len();
            let (client, _) = &mut clients[index];
            client.try_send_raw(frame(true, TEXT, b"act"));
            if round % 10 == 9 {
                clients.push(server.open("/"));
            }
        }
        // What was sent is served before the stop, whoever is closed already.
        for (client, id) in &mut clients {
            if model.lock().expect("no panic").alive.contains(id) {
                client.try_send_raw(frame(true, TEXT, b"last"));
            }
        }
        server.stop();
        let read: Vec<_> = clients
            .into_iter()
            .map(|(client, id)| (id, read_all(client)))
            .collect();
        assert_eq!(server.join(), Ok(()));
        let model = model.lock().expect("no callback panicked");
        assert!(model.number > 50, "seed {seed}: it does little");
        assert_eq!(
            model.dead.len(),
            read.len(),
            "seed {seed}: each has its on_close"
        );
        assert!(model.alive.is_empty());
        for (id, (texts, code)) in read {
            assert_eq!(texts, model.expected[&id], "seed {seed}: {id}");
            assert_eq!(code, model.closed[&id], "seed {seed}: {id}");
        }
    }
}
