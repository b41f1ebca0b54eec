//! What the access log is told, compared with what is known: each request that a handler saw and each
//! WebSocket that was opened, once, with what it was sent and how it ended.

use crate::model::{Model, Shared};
use aerys::{AccessLog, FinishedExchange, FinishedWebSocket, RequestSummary, StatusCode};
use std::collections::HashSet;

/// See the module.
pub(crate) struct Accounts(pub(crate) Shared);

/// Whom lines were about, and which of them handlers have seen.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) seen: HashSet<u32>,
    exchanges: HashSet<u32>,
    websockets: HashSet<u32>,
}

fn key(request: &RequestSummary) -> Option<u32> {
    let (_, query) = request.target()?.split_once("?key=")?;
    query.split('&').next()?.parse().ok()
}

impl AccessLog for Accounts {
    fn on_exchange(&mut self, exchange: &FinishedExchange<'_>) {
        let Some(key) = key(exchange.request) else {
            return;
        };
        self.0.with(|model| {
            let details = (exchange.status, exchange.body_bytes, exchange.is_complete);
            model.note(key.into(), format!("{details:?}").as_bytes());
            assert!(
                model.told.exchanges.insert(key),
                "request {key} is told twice"
            );
            let answer = exchange.status.filter(StatusCode::is_success);
            let (Some(_), Some(body)) = (answer, model.bodies.get(&key)) else {
                return;
            };
            let (len, bytes) = (body.len() as u64, exchange.body_bytes);
            assert!(bytes <= len, "{bytes} of {len} bytes were sent to {key}");
            let is_whole = exchange.is_complete && model.complete.contains(&key);
            assert!(!is_whole || bytes == len, "{bytes} of {len} bytes to {key}");
        });
    }

    fn on_websocket(&mut self, websocket: &FinishedWebSocket<'_>) {
        let key = key(websocket.request).expect("each has one");
        self.0.with(|model| {
            let code = u16::from(websocket.code);
            model.note(key.into(), format!("{:?}", websocket.closed_by).as_bytes());
            assert!(model.told.websockets.insert(key), "{key} is told twice");
            assert_eq!(model.member(key).closed, Some(code), "the close of {key}");
        });
    }
}

impl Model {
    /// Everybody left: all of them were told of.
    pub(crate) fn check_told(&self) {
        let untold: Vec<_> = self.told.seen.difference(&self.told.exchanges).collect();
        assert!(untold.is_empty(), "requests {untold:?} are not told of");
        let opened = self.members.iter().filter(|(_, member)| member.opened);
        let opened: HashSet<u32> = opened.map(|(key, _)| *key).collect();
        assert_eq!(self.told.websockets, opened, "WebSockets");
    }
}
