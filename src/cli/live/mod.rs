//! `/_aerys/`: the live page and what feeds it, metrics, and health. Off unless asked for.
//!
//! Whoever asks is judged by `guard.rs` first, whichever of it is asked for. The page is one document with
//! its style and script beside it, embedded in the program; it gets a message a second over a WebSocket of
//! this server, as long as somebody looks.

mod flags;
mod guard;

pub(crate) use flags::LiveArgs;
use guard::Guard;

use crate::cli::log_output::lost_lines;
use aerys::middleware::before;
use aerys::stats::{Snapshot, TurnTimes};
use aerys::{
    Body, ClientId, Endpoint, Host, Message, Request, Response, Router, Stats, StatusCode, TimerId,
    WebSocket, WebSocketHandler, websocket,
};
use std::rc::Rc;
use std::time::Duration;

/// How often the page is told what there is.
const INTERVAL: Duration = Duration::from_secs(1);

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is served, to be mounted where it is asked for.
#[derive(Clone)]
pub(crate) struct Live {
    stats: Stats,
    /// One for all hosts.
    feed: WebSocket<Feed>,
    /// By which names it may be asked for.
    names: Rc<[String]>,
}

impl Live {
    pub(crate) fn new(stats: Stats, arguments: &LiveArgs) -> Self {
        let known = stats.clone();
        Self {
            stats,
            feed: websocket(|ws| Feed::new(ws, known)),
            names: arguments.live_host.clone().into(),
        }
    }

    /// The routes for a host that others may reach, too: only this machine may ask for them.
    pub(crate) fn for_this_machine(&self) -> Router {
        self.router(Guard::for_this_machine(Rc::clone(&self.names)))
    }

    /// A host that has nothing else, at addresses of its own.
    pub(crate) fn host(&self, arguments: &LiveArgs) -> Host {
        let router = self.router(Guard::for_all(Rc::clone(&self.names)));
        let addresses = arguments.live_listen.iter();
        let router = router.get("/", |_: &mut Request, response: &mut Response| {
            response.redirect(StatusCode::TEMPORARY_REDIRECT, "/_aerys/");
        });
        addresses.fold(Host::new().alone().add(router), |host, address| {
            host.listen(address.clone().plain())
        })
    }

    fn router(&self, guard: Guard) -> Router {
        let refuse = move |request: &mut Request, response: &mut Response| {
            if let Err(reason) = guard.judge(request) {
                answer(response, "text/plain; charset=utf-8")
                    .set_status(StatusCode::FORBIDDEN)
                    .end(format!("{reason}\n"));
            }
        };
        let stats = || self.stats.clone();
        let (metrics, json, health) = (stats(), stats(), stats());
        Router::new()
            .get("/", file("text/html", include_bytes!("page/index.html")))
            .get(
                "/live.css",
                file("text/css", include_bytes!("page/live.css")),
            )
            .get(
                "/live.js",
                file("text/javascript", include_bytes!("page/live.js")),
            )
            .get("/live", self.feed.clone())
            .get(
                "/metrics",
                move |_: &mut Request, response: &mut Response| {
                    let text = metrics.snapshot().to_prometheus() + &lost_lines_metric();
                    answer(response, "text/plain; version=0.0.4; charset=utf-8").end(text);
                },
            )
            .get(
                "/stats.json",
                move |_: &mut Request, response: &mut Response| {
                    answer(response, "application/json").end(to_json(&json.snapshot()));
                },
            )
            .get(
                "/health",
                move |_: &mut Request, response: &mut Response| {
                    let response = answer(response, "text/plain; charset=utf-8");
                    if health.is_draining() {
                        response
                            .set_status(StatusCode::SERVICE_UNAVAILABLE)
                            .end("draining\n");
                    } else {
                        response.end("serving\n");
                    }
                },
            )
            .prefix("/_aerys")
            .middleware(before(refuse))
    }
}

/// An answer that nobody keeps and no other site can take in.
fn answer<'r>(response: &'r mut Response, content_type: &str) -> &'r mut Response {
    response
        .set_header("content-type", content_type)
        .set_header("cache-control", "no-store")
        .set_header("x-content-type-options", "nosniff")
        .set_header("cross-origin-resource-policy", "same-origin")
}

/// A part of the page.
fn file(kind: &'static str, bytes: &'static [u8]) -> impl FnMut(&mut Request, &mut Response) {
    move |_, response| {
        answer(response, &format!("{kind}; charset=utf-8"))
            .set_header("content-security-policy", POLICY)
            .set_header("referrer-policy", "no-referrer")
            .end(Body::from_static(bytes));
    }
}

/// The one metric that the program has and the library has not.
fn lost_lines_metric() -> String {
    let name = "aerys_log_lines_lost_total";
    let [(program, of_program), (access, of_access)] = lost_lines();
    format!(
        "# HELP {name} Lines of logs that were lost, as they are written too slowly or not at all.\n\
         # TYPE {name} counter\n{name}{{log=\"{program}\"}} {of_program}\n{name}{{log=\"{access}\"}} {of_access}\n"
    )
}

/// A snapshot as an object, with that one too.
fn to_json(snapshot: &Snapshot) -> String {
    let [(program, of_program), (access, of_access)] = lost_lines();
    let json = snapshot.to_json();
    let keys = json.strip_prefix('{').unwrap_or_default();
    format!(
        "{{\"log_lines_lost_total\":{{\"{program}\":{of_program},\"{access}\":{of_access}}},{keys}"
    )
}

/// Tells those who look at the page, once in an interval. Without them it does nothing.
struct Feed {
    ws: Endpoint,
    stats: Stats,
    /// What turns took when that was told last.
    told: TurnTimes,
    timer: Option<TimerId>,
}

impl Feed {
    fn new(ws: Endpoint, stats: Stats) -> Self {
        Self {
            ws,
            stats,
            told: TurnTimes::default(),
            timer: None,
        }
    }

    /// What there is now, and what turns took since that was told last.
    fn message(&self, snapshot: &Snapshot) -> String {
        let turns = snapshot.turns.since(&self.told);
        let seconds = |time: Duration| time.as_secs_f64();
        format!(
            "{{\"version\":\"{}\",\"turns\":{{\"count\":{},\"busy\":{},\"p50\":{},\
             \"p99\":{},\"max\":{}}},\"stats\":{}}}",
            env!("CARGO_PKG_VERSION"),
            turns.count(),
            seconds(turns.sum()),
            seconds(turns.quantile(0.5)),
            seconds(turns.quantile(0.99)),
            seconds(turns.max()),
            to_json(snapshot)
        )
    }
}

impl WebSocketHandler for Feed {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(()) // the guard has judged
    }

    fn on_open(&mut self, client: ClientId, (): ()) {
        let snapshot = self.stats.snapshot();
        if self.timer.is_none() {
            self.timer = Some(self.ws.set_timer(INTERVAL));
            self.told.clone_from(&snapshot.turns);
        }
        // Those who look already have their next one when it is due.
        self.ws.send(client, self.message(&snapshot));
    }

    fn on_data(&mut self, _: ClientId, _: Message<'_>) {}

    fn on_timer(&mut self, _: TimerId) {
        self.timer = None;
        if self.ws.client_count() > 0 {
            let snapshot = self.stats.snapshot();
            self.ws.broadcast(self.message(&snapshot));
            self.told = snapshot.turns;
            self.timer = Some(self.ws.set_timer(INTERVAL));
        }
    }
}
