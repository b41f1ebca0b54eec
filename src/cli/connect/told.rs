//! What a server has told, and which of our Pings it has not answered.

use super::ConnectArgs;
use super::display::{self, Display};
use crate::cli::client::connection::Event;
use crate::cli::client::opening::Agreed;
use aerys::CloseCode;
use std::collections::VecDeque;
use std::time::Instant;

/// So many Pings may be on their way: of those before, no answer is awaited any more.
const MOST_PINGS: usize = 64;

/// What the server has told by now.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) display: Display,
    pub(super) is_open: bool,
    message_count: u64,
    /// So many are shown, at most.
    most: Option<u64>,
    pub(super) close: Option<(CloseCode, String)>,
    /// Whether those of the server are told, too.
    shows_pings: bool,
    /// Those on their way, by number.
    pings: VecDeque<(u64, Instant)>,
    ping_count: u64,
}

impl Told {
    pub(super) fn new(args: &ConnectArgs) -> Self {
        Self {
            display: Display::new(args.quiet),
            is_open: false,
            message_count: 0,
            most: args.count,
            close: None,
            shows_pings: args.ping.is_some(),
            pings: VecDeque::new(),
            ping_count: 0,
        }
    }

    pub(super) fn take(&mut self, event: Event<'_>, now: Instant) {
        match event {
            Event::Opened(agreed) => {
                self.is_open = true;
                self.display.note(&opened(&agreed));
            }
            // More may come with the last that is wanted.
            Event::Message(_) if self.is_enough() => {}
            Event::Message(message) => {
                self.message_count += 1;
                self.display.message(message);
            }
            Event::Ping(payload) if self.shows_pings => {
                let len = payload.len();
                let note = format!("ping by the server, {len} bytes: answered");
                self.display.note(&note);
            }
            Event::Ping(_) => {}
            Event::Pong(payload) => self.end_ping(payload, now),
            Event::Closed(code, reason) => self.close = Some((code, reason.to_owned())),
        }
    }

    pub(super) fn is_enough(&self) -> bool {
        self.most.is_some_and(|most| self.message_count >= most)
    }

    /// Its payload: its number.
    pub(super) fn begin_ping(&mut self, now: Instant) -> [u8; 8] {
        if self.pings.len() == MOST_PINGS {
            self.pings.pop_front();
        }
        self.ping_count += 1;
        self.pings.push_back((self.ping_count, now));
        self.ping_count.to_be_bytes()
    }

    /// A Pong may answer the last of several Pings alone (RFC 6455 section 5.5.3).
    fn end_ping(&mut self, payload: &[u8], now: Instant) {
        let is_it = |(ping, _): &(u64, Instant)| ping.to_be_bytes() == *payload;
        let Some(index) = self.pings.iter().position(is_it) else {
            return;
        };
        if let Some((ping, sent)) = self.pings.drain(..=index).next_back() {
            let time = display::round_trip(now.saturating_duration_since(sent));
            self.display.note(&format!("ping {ping}: {time}"));
        }
    }
}

fn opened(agreed: &Agreed) -> String {
    let mut text = "connected".to_owned();
    if let Some(subprotocol) = &agreed.subprotocol {
        text = format!("{text}, subprotocol {subprotocol}");
    }
    if agreed.deflate.is_some() {
        text.push_str(", compressed");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn told(shows_pings: bool) -> Told {
        Told {
            display: Display::new(false),
            is_open: true,
            message_count: 0,
            most: None,
            close: None,
            shows_pings,
            pings: VecDeque::new(),
            ping_count: 0,
        }
    }

    #[test]
    fn a_pong_answers_its_ping_and_those_before() {
        let (mut told, begin) = (told(true), Instant::now());
        let payloads =
            [0, 5, 9].map(|millis| told.begin_ping(begin + Duration::from_millis(millis)));
        let now = begin + Duration::from_millis(12);
        // Nobody asked for these.
        told.take(Event::Pong(b"unasked"), now);
        told.take(Event::Pong(&7_u64.to_be_bytes()), now);
        assert_eq!((told.pings.len(), told.display.notes.as_str()), (3, ""));
        told.take(Event::Pong(&payloads[1]), now);
        assert!(
            told.display.notes.contains("* ping 2: 7.000 ms"),
            "{:?}",
            told.display
        );
        told.take(Event::Pong(&payloads[0]), now);
        assert_eq!(
            told.display.notes.lines().count(),
            1,
            "it was answered with the second"
        );
        told.take(Event::Pong(&payloads[2]), now);
        assert!(told.display.notes.contains("* ping 3: 3.000 ms") && told.pings.is_empty());
    }

    #[test]
    fn pings_that_nobody_answers_are_not_gathered() {
        let mut told = told(true);
        for _ in 0..1000 {
            told.begin_ping(Instant::now());
        }
        assert_eq!(told.pings.len(), MOST_PINGS);
        assert_eq!(told.pings.back().map(|(ping, _)| *ping), Some(1000));
    }

    #[test]
    fn pings_of_the_server_are_told_where_pings_are_asked_for() {
        let now = Instant::now();
        let (mut asked, mut other) = (told(true), told(false));
        asked.take(Event::Ping(b"abc"), now);
        other.take(Event::Ping(b"abc"), now);
        assert!(
            asked
                .display
                .notes
                .contains("* ping by the server, 3 bytes: answered")
        );
        assert_eq!(other.display.notes, "");
    }
}
