use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{EventKind, Severity};
use crate::{ops::time::unix, util::text::truncate};

/// The longest subject and name of an operator, in bytes.
const MAX_NAME: usize = 256;
/// The longest text, in bytes.
const MAX_TEXT: usize = 1_024;
/// The most members of the data.
const MAX_DATA: usize = 16;

/// An event, as it is in a [`Journal`](super::Journal).
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub(super) seq: u64,
    pub(super) at: SystemTime,
    kind: EventKind,
    severity: Severity,
    subject: Box<str>,
    text: Box<str>,
    who: Option<Box<str>>,
    data: Map<String, Value>,
}

impl Event {
    /// Creates an event about a subject: the name of a guard, of a component, of the service. Subjects longer than 256 bytes
    /// and texts longer than 1 KiB are truncated.
    ///
    /// ```
    /// use tower_keep::ops::journal::{Event, EventKind, Severity};
    ///
    /// let event = Event::new(EventKind::Custom, Severity::Info, "orders", "deployed 2.14.0");
    /// assert_eq!(event.subject(), "orders");
    /// ```
    pub fn new(
        kind: EventKind,
        severity: Severity,
        subject: impl AsRef<str>,
        text: impl AsRef<str>,
    ) -> Self {
        Event {
            seq: 0,
            at: SystemTime::UNIX_EPOCH,
            kind,
            severity,
            subject: truncate(subject.as_ref(), MAX_NAME).into(),
            text: truncate(text.as_ref(), MAX_TEXT).into(),
            who: None,
            data: Map::new(),
        }
    }

    /// Adds who did it.
    #[must_use]
    pub fn with_who(mut self, who: Option<impl AsRef<str>>) -> Self {
        self.who = who.map(|who| truncate(who.as_ref(), MAX_NAME).into());
        self
    }

    /// Adds a figure or a text to the data, unless it has 16 already. Texts longer than 1 KiB are truncated.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        if self.data.len() < MAX_DATA {
            let value = match value.into() {
                Value::String(text) => truncate(&text, MAX_TEXT).into(),
                value => value,
            };
            self.data.insert(name.to_owned(), value);
        }
        self
    }

    /// Adds all data, that of an earlier process.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn with_data(self, data: Map<String, Value>) -> Self {
        Event { data, ..self }
    }

    /// Returns the number in the journal, from 1; 0 before it is recorded.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the time of the record.
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// Returns what it is about.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// Returns how much it matters.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Returns the name of what it is about.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns what happened, for people.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns who did it, if a person did.
    pub fn who(&self) -> Option<&str> {
        self.who.as_deref()
    }

    /// Returns the event as the API has it.
    pub fn to_json(&self) -> Value {
        json!({
            "seq": self.seq, "at": unix(self.at), "kind": self.kind.as_str(), "severity": self.severity.as_str(),
            "subject": &*self.subject, "text": &*self.text, "who": self.who(), "data": self.data,
        })
    }

    /// Returns the figures and texts that belong to it.
    pub fn data(&self) -> &Map<String, Value> {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_is_bounded_whatever_it_is_made_of() {
        let long = "ä".repeat(2_000);
        let mut event = Event::new(EventKind::Custom, Severity::Info, &long, &long)
            .with_who(Some(&long))
            .with("text", long.clone());
        for name in [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
        ] {
            event = event.with(name, 1);
        }
        assert_eq!(event.subject().len(), MAX_NAME);
        assert_eq!(event.text().len(), MAX_TEXT);
        assert_eq!(event.who().map(str::len), Some(MAX_NAME));
        assert_eq!(event.data().len(), MAX_DATA);
        let text = event.data()["text"].as_str().map(str::len);
        assert_eq!(text, Some(MAX_TEXT));
    }

    #[test]
    fn event_serializes_time_as_unix_seconds() {
        let event = Event::new(EventKind::Health, Severity::Warning, "db", "slow").with("n", 3);
        let expected = json!({
            "seq": 0, "at": 0.0, "kind": "health", "severity": "warning", "subject": "db", "text": "slow",
            "who": null, "data": {"n": 3}
        });
        assert_eq!(event.to_json(), expected);
    }
}
