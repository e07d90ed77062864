use std::{collections::BTreeMap, time::SystemTime};

use crate::{
    ops::{journal::Severity, redact::redacted},
    util::text::truncated,
};

/// The longest kind and the longest name of a label, in bytes.
const MAX_NAME: usize = 64;
const MAX_TITLE: usize = 256;
/// The longest text, in bytes.
const MAX_TEXT: usize = 4_096;
const MAX_VALUE: usize = 512;
/// The most labels.
const MAX_LABELS: usize = 32;

/// An event that has no end: a deployment, a change of health, one of the application.
///
/// Texts are shortened, and lose what looks like a credential.
#[derive(Clone, Debug, PartialEq)]
pub struct EventNotice {
    /// The kind, such as `deployment_started`, by which channels filter.
    pub(crate) kind: String,
    pub(crate) severity: Severity,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) at: SystemTime,
    pub(crate) labels: BTreeMap<String, String>,
}

impl EventNotice {
    /// The kind of the beginning of a deployment.
    pub const DEPLOYMENT_STARTED: &'static str = "deployment_started";
    /// The kind of a deployment that succeeded.
    pub const DEPLOYMENT_COMPLETED: &'static str = "deployment_completed";
    /// The kind of a deployment that failed.
    pub const DEPLOYMENT_FAILED: &'static str = "deployment_failed";
    /// The kind of what the test button sends.
    pub const TEST: &'static str = "test";

    /// Creates an event of now. The kind is a word such as `import_finished`, by which channels filter.
    ///
    /// ```
    /// use tower_keep::ops::{journal::Severity, notify::EventNotice};
    ///
    /// let event = EventNotice::new("import_finished", Severity::Info, "4,211 orders imported")
    ///     .with_text("3 were duplicates")
    ///     .with_label("shop", "eu");
    /// assert_eq!((event.kind(), event.title()), ("import_finished", "4,211 orders imported"));
    /// ```
    pub fn new(kind: impl AsRef<str>, severity: Severity, title: impl AsRef<str>) -> Self {
        EventNotice {
            kind: truncated(kind.as_ref(), MAX_NAME).into_owned(),
            severity,
            title: truncated(&redacted(title.as_ref()), MAX_TITLE).into_owned(),
            text: String::new(),
            at: SystemTime::now(),
            labels: BTreeMap::new(),
        }
    }

    /// Creates that of the beginning of a deployment.
    ///
    /// ```
    /// use tower_keep::ops::notify::EventNotice;
    ///
    /// let event = EventNotice::deployment_started("2.14.0");
    /// assert_eq!(event.title(), "deployment of 2.14.0 started");
    /// ```
    pub fn deployment_started(version: &str) -> Self {
        let title = format!("deployment of {version} started");
        let kind = EventNotice::DEPLOYMENT_STARTED;
        EventNotice::new(kind, Severity::Info, title).with_label("version", version)
    }

    /// Creates that of a deployment that succeeded.
    ///
    /// ```
    /// use tower_keep::ops::notify::EventNotice;
    ///
    /// let event = EventNotice::deployment_completed("2.14.0");
    /// assert_eq!(event.kind(), EventNotice::DEPLOYMENT_COMPLETED);
    /// ```
    pub fn deployment_completed(version: &str) -> Self {
        let title = format!("deployment of {version} completed");
        let kind = EventNotice::DEPLOYMENT_COMPLETED;
        EventNotice::new(kind, Severity::Info, title).with_label("version", version)
    }

    /// Creates that of a deployment that failed, with the error.
    ///
    /// ```
    /// use tower_keep::ops::{journal::Severity, notify::EventNotice};
    ///
    /// let event = EventNotice::deployment_failed("2.14.0", "migration 31 has failed");
    /// assert_eq!((event.severity(), event.text()), (Severity::Critical, "migration 31 has failed"));
    /// ```
    pub fn deployment_failed(version: &str, error: impl std::fmt::Display) -> Self {
        let title = format!("deployment of {version} failed");
        let kind = EventNotice::DEPLOYMENT_FAILED;
        EventNotice::new(kind, Severity::Critical, title)
            .with_text(error.to_string())
            .with_label("version", version)
    }

    /// Sets a longer text. Texts longer than 4 KiB are truncated. Default: none.
    #[must_use]
    pub fn with_text(mut self, text: impl AsRef<str>) -> Self {
        let lines = text.as_ref().lines().map(redacted);
        let text = lines.collect::<Vec<_>>().join("\n");
        self.text = truncated(&text, MAX_TEXT).into_owned();
        self
    }

    /// Adds a label, unless there are 32 already.
    #[must_use]
    pub fn with_label(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        if self.labels.len() < MAX_LABELS {
            let name = truncated(name.as_ref(), MAX_NAME).into_owned();
            let value = truncated(&redacted(value.as_ref()), MAX_VALUE).into_owned();
            self.labels.insert(name, value);
        }
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the severity.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Returns one line on what happened.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Returns the longer text, which may be empty.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns when it happened.
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// Returns the labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_notice_is_bounded_and_redacted() {
        let long = "ä".repeat(5_000);
        let mut event = EventNotice::new(&long, Severity::Info, &long).with_text(&long);
        for n in 0..40 {
            event = event.with_label(format!("{n}{long}"), &long);
        }
        assert!(event.kind.len() <= MAX_NAME && event.title.len() <= MAX_TITLE);
        assert!(event.text.len() <= MAX_TEXT && event.text.ends_with('…'));
        assert_eq!(event.labels.len(), MAX_LABELS);
        let event = EventNotice::deployment_failed("2", "psql://u:hunter2@db/x\ntoken=abc");
        assert_eq!(event.text, "psql://REDACTED@db/x\ntoken=REDACTED");
    }
}
