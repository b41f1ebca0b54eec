//! What a seed stands for: how the server is set up, what goes wrong how often, who the clients are, and
//! when it stops.

use crate::application::{Folder, router};
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
    /// Each so many turns everything is looked through.
    pub(crate) check_every: u64,
    events_per_poll: usize,
    options: [WebSocketConfig; 2],
    config: Config,
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
        let options = [options(is_lenient, chance), options(is_lenient, chance)];
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
        let habits = Habits {
            is_lenient,
            may_be_slow: chance.one_in(2),
            may_leave: chance.one_in(2),
            compresses: clients < 200,
            proxied: chance.one_in(8),
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
            check_every: if clients < 100 { 1 } else { 50 },
            events_per_poll: chance.pick(&[1, 4, 64, 1024]),
            options,
            config,
        }
    }

    /// Whether a socket may be full though its client reads.
    pub(crate) fn writes_fail(&self) -> bool {
        let kinds = [Fault::ShortWrite, Fault::FullWrite];
        self.faults.iter().any(|(fault, _)| kinds.contains(fault))
    }

    /// The greater hard limit of both endpoints.
    pub(crate) fn hard_backlog_bytes(&self) -> u64 {
        let limits = self.options.iter().map(|it| it.hard_backlog_bytes as u64);
        limits.max().unwrap_or(0)
    }

    pub(crate) fn start(&self, model: &Shared, folder: &Folder) -> Simulation {
        let router = router(model, folder, self.options.clone(), self.seed);
        let address = if self.habits.proxied {
            "127.0.0.1:0?proxy-protocol"
        } else {
            "127.0.0.1:0"
        };
        let host = Host::new().listen(address).add(router);
        let server = Server::new().config(self.config.clone()).host(host);
        Simulation::with_events_per_poll(server, self.events_per_poll).expect("it starts")
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
