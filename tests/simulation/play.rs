//! One seed from its first connection to the last: who does what when, and what must hold meanwhile and
//! at the end.

use crate::application::{Folder, Rooms};
use crate::chance::Chance;
use crate::model::{Model, Shared};
use crate::player::Player;
use crate::scenario::Scenario;
use aerys::internals::{Fault, Simulation};
use std::cell::Cell;
use std::sync::Once;
use std::time::Duration;

thread_local! {
    /// How many turns the seed that is played has had.
    pub(crate) static TURN: Cell<u64> = const { Cell::new(0) };
    /// Something is wrong that a handler found: the server took its panic for the handler's.
    static HAS_PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Turns without time in between in which everything comes to rest, or it goes round for nothing.
const MOST_TURNS: usize = 200_000;

/// The largest message: one is taken whatever waits, if that is within the limit.
const LARGEST_MESSAGE: u64 = 320_000;
/// Rounds in which all clients come to their end.
const MOST_ROUNDS: usize = 2000;

/// What came of a seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// A number of all that happened.
    pub(crate) trace: u64,
    pub(crate) turns: u64,
    pub(crate) clients: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// How often each kind of fault happened.
    pub(crate) faults: Vec<u64>,
}

struct Game<'f> {
    server: Simulation,
    folder: &'f Folder,
    rooms: Rooms,
    scenario: Scenario,
    model: Shared,
    players: Vec<Player>,
    chance: Chance,
    next_key: u32,
    outcome: Outcome,
}

/// From now on panics that are not meant are known of. Those that are call no hook.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            HAS_PANICKED.set(true);
            before(info);
        }));
    });
    HAS_PANICKED.set(false);
}

/// Plays a seed.
pub(crate) fn play(seed: u64, clients: Option<usize>, folder: &Folder) -> Outcome {
    TURN.set(0);
    watch_panics();
    let mut chance = Chance::new(seed);
    let scenario = Scenario::new(seed, clients, &mut chance);
    let model = Shared::default();
    model.with(|model| model.times = scenario.times());
    let rooms = scenario.rooms(&model);
    let mut server = scenario.start(&model, folder, &rooms);
    server.set_faults(seed, &scenario.faults);
    let mut game = Game {
        server,
        folder,
        rooms,
        scenario,
        model,
        players: Vec::new(),
        chance,
        next_key: 1,
        outcome: Outcome::default(),
    };
    for step in 0..game.scenario.steps {
        if game.scenario.stop == Some(step) {
            game.stop();
        }
        game.step();
    }
    game.finish();
    game.end()
}

impl Game<'_> {
    fn key(&mut self) -> u32 {
        self.next_key += 1;
        self.next_key
    }

    fn is_stopping(&self) -> bool {
        self.model.with(|model| model.is_stopping)
    }

    fn step(&mut self) {
        let room = self.scenario.clients - self.players.len().min(self.scenario.clients);
        if room > 0 && !self.is_stopping() {
            for _ in 0..=self.chance.below(room.min(64)) {
                self.connect();
            }
        }
        for _ in 0..self.scenario.acts {
            if self.players.is_empty() {
                break;
            }
            let index = self.chance.below(self.players.len());
            let key = self.key();
            self.players[index].act(
                &mut self.server,
                &self.model,
                key,
                self.scenario.habits,
                &mut self.chance,
            );
        }
        self.resume_body();
        if let Some(one) = self.scenario.reloads
            && self.chance.one_in(one)
        {
            self.reload();
        }
        for _ in 0..self.chance.below(4) {
            self.turn();
        }
        if self.chance.one_in(4) {
            let micros = self.chance.next() % 20_000;
            self.advance(Duration::from_micros(micros));
        }
        if self.chance.one_in(30) {
            self.settle();
        }
        if self.chance.one_in(60) {
            self.wait();
        }
        if self.chance.one_in(200) {
            let days = Duration::from_secs(86_400);
            self.server
                .jump_calendar(days * self.chance.pick(&[0, 1, 400]));
            self.server.exhaust_descriptors(self.chance.below(20));
        }
        self.read();
    }

    /// The server becomes another.
    fn reload(&mut self) {
        self.scenario.change(&mut self.chance);
        let server = self.scenario.server(&self.model, self.folder, &self.rooms);
        // A stop may have been asked for, and not have begun.
        if self.server.reload(server).expect("it may become that") {
            let times = self.scenario.times();
            self.model.with(|model| model.times = times);
        }
    }

    fn connect(&mut self) {
        let key = self.key();
        let habits = self.scenario.habits;
        let player = Player::connect(&mut self.server, key, habits, &mut self.chance);
        if self.scenario.writes_fail() {
            self.model.with(|model| model.writes_fail = true);
        }
        self.players.push(player);
        self.outcome.clients += 1;
    }

    /// A body that was paused goes on.
    fn resume_body(&mut self) {
        let flow = self.model.with(|model| model.flows.pop());
        if let Some(flow) = flow {
            flow.resume();
            self.server.wake();
        }
    }

    fn turn(&mut self) {
        self.server.turn().expect("it lives");
        self.outcome.turns += 1;
        TURN.set(self.outcome.turns);
        assert!(!HAS_PANICKED.get(), "a handler found something");
        if self.outcome.turns.is_multiple_of(self.scenario.check_every) {
            self.server.check();
            let (waits, _) = self.server.held_bytes();
            let most = self.scenario.hard_backlog_bytes() + LARGEST_MESSAGE;
            assert!(waits <= most, "{waits} bytes wait for one client");
        }
        let expired = self.server.expired_until();
        self.model.with(|model| model.note_turn(expired));
    }

    /// Turns until nothing is left to be done.
    fn settle(&mut self) {
        for _ in 0..MOST_TURNS {
            if !self.server.is_busy() {
                return;
            }
            self.turn();
        }
        panic!("it goes round for nothing");
    }

    fn advance(&mut self, duration: Duration) {
        self.server.advance(duration);
        self.model.with(|model| model.advance(duration));
    }

    /// Everybody takes what came.
    fn read(&mut self) {
        for player in &mut self.players {
            player.read(
                &mut self.server,
                &self.model,
                self.scenario.habits,
                &mut self.chance,
            );
        }
        self.model.with(Model::judge);
        self.players.retain(|player| !player.is_over());
    }

    /// Everything that is on its way arrives, and is answered.
    fn come_to_rest(&mut self) {
        self.server.set_faults(self.scenario.seed, &[]);
        for _ in 0..4 {
            self.settle();
            self.read();
        }
    }

    /// A long time passes, in which nobody does anything, the server too: a stall, of which nobody is to
    /// suffer who is not silent. What was sent before lies there.
    fn wait(&mut self) {
        self.come_to_rest();
        for _ in 0..self.chance.below(self.players.len().min(20) + 1) {
            let index = self.chance.below(self.players.len());
            let key = self.key();
            let habits = self.scenario.habits;
            let (server, model) = (&mut self.server, &self.model);
            self.players[index].act(server, model, key, habits, &mut self.chance);
        }
        let millis = self
            .chance
            .pick(&[100, 1000, 2500, 9_999, 10_000, 60_000, 600_000]);
        self.advance(Duration::from_millis(millis));
        self.turn();
        self.come_to_rest();
        let seed = self.chance.next();
        self.server.set_faults(seed, &self.scenario.faults);
    }

    fn stop(&mut self) {
        self.model.with(|model| model.is_stopping = true);
        self.server.stop();
    }

    /// All comes to its end.
    fn finish(&mut self) {
        self.come_to_rest();
        for round in 0..MOST_ROUNDS {
            if self.players.is_empty() {
                break;
            }
            for flow in self.model.with(|model| std::mem::take(&mut model.flows)) {
                flow.resume();
            }
            self.server.wake();
            for player in &mut self.players {
                player.finish(&mut self.server, &self.model, round, &mut self.chance);
            }
            self.advance(Duration::from_millis(100));
            self.come_to_rest();
        }
        // Whoever is slow to leave has a deadline; and so has what was to happen later.
        for _ in 0..40 {
            self.advance(Duration::from_secs(20));
            self.come_to_rest();
        }
    }

    /// What is so at the end.
    fn end(mut self) -> Outcome {
        self.turn();
        self.server.check();
        let left: Vec<String> = self.players.iter().map(Player::state).collect();
        assert!(left.is_empty(), "not over: {left:?}");
        assert_eq!(self.server.client_count(), 0, "clients that nobody is");
        let (waiting, half_read) = self.server.held_bytes();
        assert_eq!((waiting, half_read), (0, 0), "bytes of nobody");
        assert_eq!(self.server.aside_count(), 0, "entries of nobody");
        self.model.with(|model| model.end());
        self.model.with(|model| model.check_told());
        let mut outcome = self.outcome;
        self.model.with(|model| {
            model.note(outcome.turns, &[]);
            (outcome.trace, outcome.messages) = (model.trace, model.messages);
            outcome.bytes = model.bytes;
        });
        let counts = Fault::ALL.iter().map(|kind| self.server.fault_count(*kind));
        outcome.faults = counts.collect();
        outcome
    }
}
