//! What a seed stands for: how the server is set up, what goes wrong how often, who the clients are, and
//! when it stops.

use crate::accounts::Accounts;
use crate::application::{Folder, Rooms, router};
use crate::chance::Chance;
use crate::model::Shared;
use crate::player::Habits;
use aerys::internals::{Fault, Simulation};
use aerys::{BacklogPolicy, Compression, CompressionMode, Config, Host, Server, WebSocketConfig};
use std::time::Duration;

/// No deadline that a seed gets to.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// See the module.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) habits: Habits,
    /// Most clients at a time, and how many come in all at most.
    pub(crate) clients: usize,
    pub(crate) steps: usize,
    /// How many clients do something in a step.
    pub(crate) acts: usize,
    pub(crate) faults: Vec<(Fault, u16)>,
    /// The step at which the server is asked to stop.
    pub(crate) stop: Option<usize>,
    /// In one of so many steps the server becomes another, if it ever does.
    pub(crate) reloads: Option<usize>,
    /// Each so many turns everything is looked through.
    pub(crate) check_every: u64,
    events_per_poll: usize,
    options: [WebSocketConfig; 2],
    config: Config,
    /// The greatest hard limit of any endpoint so far.
    hard_backlog_bytes: u64,
}

impl Scenario {
    /// `clients`: as many as are asked for, in place of some by chance.
    pub(crate) fn new(seed: u64, clients: Option<usize>, chance: &mut Chance) -> Self {
        let is_lenient = chance.one_in(3);
        let by_chance = match chance.below(12) {
            0..=5 => 1 + chance.below(8),
            6..=10 => 10 + chance.below(90),
            _ => 200 + chance.below(1800),
        };
        let clients = clients.unwrap_or(by_chance);
        let steps = (40_000 / clients).clamp(60, 1500);
        let faults = faults(chance);
        let proxied = chance.one_in(8);
        let options = [options(is_lenient, chance), options(is_lenient, chance)];
        let config = config(is_lenient, proxied, clients, chance);
        let habits = Habits {
            is_lenient,
            may_be_slow: chance.one_in(2),
            may_leave: chance.one_in(2),
            compresses: clients < 200,
            proxied,
            most: if clients < 100 { 100_000 } else { 2000 },
        };
        Self {
            seed,
            habits,
            clients,
            steps,
            acts: 1 + clients / 20,
            faults,
            stop: chance.one_in(3).then(|| chance.below(steps)),
            reloads: chance.one_in(2).then(|| chance.pick(&[3, 30, 300])),
            check_every: if clients < 100 { 1 } else { 50 },
            events_per_poll: chance.pick(&[1, 4, 64, 1024]),
            hard_backlog_bytes: greatest_limit(&options),
            options,
            config,
        }
    }

    /// From now on it is another: other limits, above or below what is in use.
    pub(crate) fn change(&mut self, chance: &mut Chance) {
        let Habits {
            is_lenient,
            proxied,
            ..
        } = self.habits;
        self.config = config(is_lenient, proxied, self.clients, chance);
        for known in &mut self.options {
            // Whether messages may be missing is known of each client.
            let backlog_policy = known.backlog_policy;
            *known = WebSocketConfig {
                backlog_policy,
                ..options(is_lenient, chance)
            };
        }
        let greatest = greatest_limit(&self.options);
        self.hard_backlog_bytes = self.hard_backlog_bytes.max(greatest);
    }

    /// Whether a socket may be full though its client reads.
    pub(crate) fn writes_fail(&self) -> bool {
        let kinds = [Fault::ShortWrite, Fault::FullWrite];
        self.faults.iter().any(|(fault, _)| kinds.contains(fault))
    }

    /// More than so much, and one message, never waits for a client.
    pub(crate) const fn hard_backlog_bytes(&self) -> u64 {
        self.hard_backlog_bytes
    }

    pub(crate) fn rooms(&self, model: &Shared) -> Rooms {
        Rooms::new(model, &self.options, self.seed)
    }

    pub(crate) fn start(&self, model: &Shared, folder: &Folder, rooms: &Rooms) -> Simulation {
        let server = self.server(model, folder, rooms);
        Simulation::with_events_per_poll(server, self.events_per_poll).expect("it starts")
    }

    /// The server as it is to be now.
    pub(crate) fn server(&self, model: &Shared, folder: &Folder, rooms: &Rooms) -> Server {
        let router = router(model, folder, rooms, &self.options);
        let address = if self.habits.proxied {
            "127.0.0.1:0?proxy-protocol"
        } else {
            "127.0.0.1:0"
        };
        let host = Host::new().listen(address).add(router);
        Server::new()
            .config(self.config.clone())
            .host(host)
            .access_log(Accounts(model.clone()))
    }

    /// How long clients of both endpoints may be open, in all and without a message.
    pub(crate) fn times(&self) -> [[Option<Duration>; 2]; 2] {
        let times = self.options.each_ref();
        times.map(|options| [options.max_lifetime, options.idle_timeout])
    }
}

fn greatest_limit(options: &[WebSocketConfig; 2]) -> u64 {
    let limits = options.iter().map(|it| it.hard_backlog_bytes as u64);
    limits.max().unwrap_or(0)
}

fn config(is_lenient: bool, proxied: bool, clients: usize, chance: &mut Chance) -> Config {
    let limit = |short: u64| {
        if is_lenient {
            Duration::from_secs(short)
        } else {
            NEVER
        }
    };
    let config = Config {
        header_timeout: limit(10),
        body_grace: limit(10),
        body_stall_timeout: limit(30),
        keep_alive_timeout: limit(15),
        write_timeout: limit(20),
        soft_backlog_bytes: 1 << chance.below(20),
        max_body_bytes: 1 << 20,
        max_connections: Some(if is_lenient {
            clients + 10
        } else {
            4 * clients + 100
        }),
        ..Config::default()
    };
    limited(config, is_lenient, proxied, clients, chance)
}

/// The same with limits on who comes, in some seeds. Nobody notices those of a strict one, where all have
/// addresses of their own, or an address has room for all, and who comes too fast waits.
fn limited(
    config: Config,
    is_lenient: bool,
    proxied: bool,
    clients: usize,
    chance: &mut Chance,
) -> Config {
    let (few, by_address) = match (is_lenient, proxied) {
        (true, _) => (1 + clients / 2, 1 + chance.below(clients)),
        (false, false) => (usize::MAX, 1),
        (false, true) => (usize::MAX, 4 * clients + 100),
    };
    let most = config.max_connections;
    Config {
        max_connections: most.map(|most| {
            if chance.one_in(3) {
                most.min(few)
            } else {
                most
            }
        }),
        max_connections_per_address: chance.one_in(3).then_some(by_address),
        max_connections_per_second: chance.pick(&[None, None, None, Some(100), Some(5000)]),
        ..config
    }
}

fn options(is_lenient: bool, chance: &mut Chance) -> WebSocketConfig {
    let soft = 1 << chance.below(18);
    let mode = chance.pick(&[CompressionMode::Shared, CompressionMode::Dedicated]);
    let compression = Compression {
        mode,
        threshold_bytes: chance.pick(&[0, 100, 1024]),
        idle_timeout: Duration::from_secs(1),
        max_compressors: chance.pick(&[1, 1000]),
        ..Compression::default()
    };
    WebSocketConfig {
        max_outgoing_frame_bytes: chance.pick(&[None, None, Some(100), Some(5000)]),
        soft_backlog_bytes: soft,
        hard_backlog_bytes: soft << chance.below(6),
        backlog_policy: chance.pick(&[BacklogPolicy::Close, BacklogPolicy::DropMessages]),
        max_frames_per_second: chance.pick(&[None, None, Some(1000)]),
        max_bytes_per_second: chance.pick(&[None, None, Some(1 << 20)]),
        compression: chance.one_in(2).then_some(compression),
        heartbeat: Some(Duration::from_secs(if is_lenient { 3 } else { 10 })),
        max_lifetime: chance
            .pick(&[None, None, None, Some(5), Some(60)])
            .map(Duration::from_secs),
        idle_timeout: chance
            .pick(&[None, None, None, Some(2), Some(20)])
            .map(Duration::from_secs),
        max_handshakes_per_second: chance
            .pick(&[None, Some(1), Some(20)])
            .filter(|_| is_lenient),
        ..WebSocketConfig::default()
    }
}

fn faults(chance: &mut Chance) -> Vec<(Fault, u16)> {
    if chance.one_in(5) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for fault in Fault::ALL {
        let rates: &[u16] = match fault {
            Fault::BrokenRead | Fault::BrokenWrite | Fault::FailedWatch => &[1, 5],
            Fault::LostAccept | Fault::FailedRegister => &[5, 50],
            Fault::ExhaustedAccept => &[50, 500],
            Fault::EmptyPoll | Fault::DelayedEvent | Fault::ShortPoll => &[10, 300, 700],
            _ => &[5, 50, 300],
        };
        if chance.one_in(2) {
            faults.push((*fault, chance.pick(rates)));
        }
    }
    faults
}
