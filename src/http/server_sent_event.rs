//! Events of a `text/event-stream` (HTML Living Standard, section 9.2).

use std::fmt;
use std::time::Duration;

/// One event for browsers' `EventSource`; as text it is what is sent.
///
/// Whatever the data holds, it arrives as it is, but that each kind of line end becomes a line feed.
///
/// ```
/// use aerys::ServerSentEvent;
/// let event = ServerSentEvent::new("two\nlines").name("news").id("17");
/// assert_eq!(event.to_string(), "event: news\nid: 17\ndata: two\ndata: lines\n\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSentEvent {
    data: String,
    name: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
}

impl ServerSentEvent {
    /// What keeps a connection alive through proxies that cut silent ones: a comment, which no
    /// script sees.
    pub const KEEP_ALIVE: &'static str = ":\n\n";

    /// An event with this data; without a name, scripts know it as `message`.
    #[must_use]
    pub fn new(data: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            ..Self::default()
        }
    }

    /// Sets the name that scripts listen for. Line ends in it become blanks.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(one_line(name));
        self
    }

    /// Sets what a client that reconnects sends as `Last-Event-ID`. Line ends in it become blanks.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(one_line(id));
        self
    }

    /// Sets how long clients wait before they reconnect, in whole milliseconds.
    #[must_use]
    pub const fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

impl fmt::Display for ServerSentEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            writeln!(f, "event: {name}")?;
        }
        if let Some(id) = &self.id {
            writeln!(f, "id: {id}")?;
        }
        if let Some(retry) = self.retry {
            writeln!(f, "retry: {}", retry.as_millis())?;
        }
        // A CR alone ends a line, too.
        let data = self.data.replace("\r\n", "\n").replace('\r', "\n");
        for line in data.split('\n') {
            writeln!(f, "data: {line}")?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_stands_on_its_own() {
        let cases = [
            ("", "data: \n\n"),
            ("a", "data: a\n\n"),
            ("a\nb", "data: a\ndata: b\n\n"),
            ("a\r\nb\rc", "data: a\ndata: b\ndata: c\n\n"),
            ("\n", "data: \ndata: \n\n"),
            (" x: y", "data:  x: y\n\n"),
        ];
        for (data, expected) in cases {
            assert_eq!(ServerSentEvent::new(data).to_string(), expected, "{data:?}");
        }
    }

    #[test]
    fn no_field_can_begin_another() {
        let event = ServerSentEvent::new("x")
            .name("a\ndata: forged")
            .id("1\r\n\r\n2")
            .retry(Duration::from_millis(1500));
        assert_eq!(
            event.to_string(),
            "event: a data: forged\nid: 1    2\nretry: 1500\ndata: x\n\n"
        );
    }
}
