use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::fingerprint::Fingerprint;
use super::group_status::GroupStatus;
use super::grouping_key::GroupingKey;
use super::record::portable_location;
use super::sample::ErrorSample;
use super::store::GroupChange;

/// The message of the overflow groups, which take messages beyond `StoreLimits::max_variants`.
pub(super) const OVERFLOW_MESSAGE: &str = "<other>";

/// A group of errors that are treated as the same fault.
///
/// It is a snapshot. A clone copies some counters and a few reference counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorGroup {
    pub(super) fingerprint: Fingerprint,
    pub(super) message: Arc<str>,
    pub(super) cause: Option<Arc<str>>,
    pub(super) status: GroupStatus,
    pub(super) count: u64,
    pub(super) regressions: u64,
    pub(super) first: Arc<ErrorSample>,
    pub(super) latest: Arc<ErrorSample>,
}

impl ErrorGroup {
    pub(super) fn new(
        fingerprint: Fingerprint,
        message: Arc<str>,
        cause: Option<Arc<str>>,
        sample: Arc<ErrorSample>,
    ) -> Self {
        ErrorGroup {
            fingerprint,
            message,
            cause,
            status: GroupStatus::Open,
            count: 1,
            regressions: 0,
            first: Arc::clone(&sample),
            latest: sample,
        }
    }

    /// Counts a record. It may be older than earlier ones: it was stored, or the clock went back.
    pub(super) fn add_sample(&mut self, sample: &Arc<ErrorSample>) {
        self.count += 1;
        if sample.timestamp < self.first.timestamp {
            self.first = Arc::clone(sample);
        }
        // Of two records with the same time, the one recorded later is the latest.
        if sample.timestamp >= self.latest.timestamp {
            self.latest = Arc::clone(sample);
        }
    }

    /// Updates the status when the group occurs again, and returns the change: `if_open` for an open group.
    pub(super) fn on_recurrence(&mut self, if_open: GroupChange) -> GroupChange {
        match self.status {
            GroupStatus::Open => if_open,
            GroupStatus::Ignored => GroupChange::Ignored,
            GroupStatus::Resolved => {
                self.status = GroupStatus::Open;
                self.regressions += 1;
                GroupChange::Regressed
            }
        }
    }

    /// Returns the fingerprint, which identifies the group.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns the kind of all its records.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.first.record.kind()
    }

    /// Returns the route of all its records.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.first.record.route()
    }

    /// Returns the normalized message of all its records, or `<other>` for an
    /// [overflow group](Self::is_overflow).
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the normalized last cause of all its records, if they have causes.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> GroupStatus {
        self.status
    }

    /// Returns the number of records since the group was created or last evicted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns how often the group occurred again after it was resolved.
    #[must_use]
    pub fn regressions(&self) -> u64 {
        self.regressions
    }

    /// Returns the earliest time of all its records.
    #[must_use]
    pub fn first_seen(&self) -> SystemTime {
        self.first.timestamp
    }

    /// Returns the latest time of all its records, in whatever order they were recorded.
    #[must_use]
    pub fn last_seen(&self) -> SystemTime {
        self.latest.timestamp
    }

    /// Returns the oldest record by its time, which is usually the one that created the group.
    #[must_use]
    pub fn first(&self) -> &ErrorSample {
        &self.first
    }

    /// Returns the newest record by its time, which is usually the last one recorded.
    #[must_use]
    pub fn latest(&self) -> &ErrorSample {
        &self.latest
    }

    /// Returns the location of all its records, without the directories of one machine.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        // The records of an overflow group have no location in common.
        let first = self.first.record.location();
        first.filter(|_| !self.is_overflow()).map(portable_location)
    }

    /// Returns whether it is the overflow group of its kind and route, which takes all messages beyond
    /// [`max_variants`](super::ErrorTrackerBuilder::max_variants).
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        &*self.message == OVERFLOW_MESSAGE
    }

    /// Returns a sentence that says what its records have in common.
    ///
    /// A sentence for a console:
    ///
    /// ```
    /// use tower_keep::errors::{ErrorRecord, ErrorTracker};
    ///
    /// let errors = ErrorTracker::new();
    /// let fingerprint = errors.record(ErrorRecord::new("Timeout", "no answer after 30ms"));
    /// let group = errors.group(fingerprint).expect("recorded above");
    /// assert_eq!(
    ///     group.grouping_key().to_string(),
    ///     r#"same kind "Timeout", no route and message "no answer after <duration>" (fingerprint version 2)"#
    /// );
    /// ```
    #[must_use]
    pub fn grouping_key(&self) -> impl fmt::Display + '_ {
        GroupingKey {
            kind: self.kind(),
            route: self.route(),
            message: self.message(),
            cause: self.cause(),
            location: self.location(),
            version: self.fingerprint.version(),
            overflow: self.is_overflow(),
        }
    }
}
