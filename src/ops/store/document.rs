use std::time::{Duration, SystemTime};

/// A kind of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Collection {
    /// Alerts that are not resolved.
    Alerts,
    /// Alerts that were.
    AlertHistory,
    /// Silences of alerts.
    Silences,
    /// Notifications that are still to be sent.
    Outbox,
    /// The alert groups that channels were told of, and whose end they are still to be told.
    Told,
    /// Notifications that were sent, or given up.
    Deliveries,
    /// Workflows.
    Workflows,
    /// Processes with the times at which they were known to run.
    Processes,
}

impl Collection {
    pub(super) const ALL: [Collection; 8] = [
        Collection::Alerts,
        Collection::AlertHistory,
        Collection::Silences,
        Collection::Outbox,
        Collection::Told,
        Collection::Deliveries,
        Collection::Workflows,
        Collection::Processes,
    ];

    /// Returns the name in the file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Collection::Alerts => "alerts",
            Collection::AlertHistory => "alert_history",
            Collection::Silences => "silences",
            Collection::Outbox => "outbox",
            Collection::Told => "told",
            Collection::Deliveries => "deliveries",
            Collection::Workflows => "workflows",
            Collection::Processes => "processes",
        }
    }

    /// Returns whether its documents are about what is still true, so that a restart without them would go wrong.
    pub(super) const fn is_present(self) -> bool {
        match self {
            Collection::Alerts
            | Collection::Silences
            | Collection::Outbox
            | Collection::Told
            | Collection::Processes => true,
            Collection::AlertHistory | Collection::Deliveries | Collection::Workflows => false,
        }
    }

    /// Returns how many documents are kept, the newest ones, and for how long.
    pub(super) const fn retention(self) -> (usize, Duration) {
        const DAY: u64 = 86_400;
        let (documents, days) = match self {
            // What is still true does not become old; who has a document deletes it.
            Collection::Alerts | Collection::Silences => (10_000, 3_650),
            // Nor does what a channel was told of an alert that fires on: it must hear of the end.
            Collection::Told => (20_000, 3_650),
            // What has not arrived for a week is news to nobody.
            Collection::Outbox => (10_000, 7),
            Collection::AlertHistory => (10_000, 90),
            Collection::Deliveries => (10_000, 30),
            // Twice those that run at once by default.
            Collection::Workflows => (20_000, 30),
            // The one before the present one, and some that ended soon.
            Collection::Processes => (8, 30),
        };
        (documents, Duration::from_secs(days * DAY))
    }
}

/// A document: one of a key replaces the one before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    pub(crate) key: String,
    /// The time by which it becomes old.
    pub(crate) at: SystemTime,
    pub(crate) json: String,
}
