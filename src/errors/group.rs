//! A group of errors, as the store keeps it and as everybody else sees it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::fingerprint::Fingerprint;
use super::record::{ErrorRecord, portable_location};
use super::store::GroupChange;

/// The message of the groups that take what exceeds [`StoreLimits::max_variants`](super::StoreLimits::max_variants).
pub(super) const OVERFLOW_MESSAGE: &str = "<other>";

/// What people have said about a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupStatus {
    /// Nobody has said anything, or it came back after it was resolved.
    Open,
    /// Said to be mended. Seen again, it is a regression.
    Resolved,
    /// Counted, but never reported.
    Ignored,
}

impl GroupStatus {
    /// `open`, `resolved` or `ignored`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GroupStatus::Open => "open",
            GroupStatus::Resolved => "resolved",
            GroupStatus::Ignored => "ignored",
        }
    }
}

impl fmt::Display for GroupStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One record of a group, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorSample {
    pub(super) timestamp: SystemTime,
    pub(super) record: ErrorRecord,
}

impl ErrorSample {
    /// When it was recorded.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        self.timestamp
    }

    /// The record with its IDs.
    #[must_use]
    pub fn record(&self) -> &ErrorRecord {
        &self.record
    }
}

/// Errors that are taken for one fault.
///
/// A clone is a snapshot: some counters and a few reference counts.
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

    /// Takes in a record. It may be older than others that came before: one that was stored, or the clock went back.
    pub(super) fn add_sample(&mut self, sample: &Arc<ErrorSample>) {
        self.count += 1;
        if sample.timestamp < self.first.timestamp {
            self.first = Arc::clone(sample);
        }
        if sample.timestamp >= self.latest.timestamp {
            self.latest = Arc::clone(sample);
        }
    }

    /// Notes that a group is there that was there before. Returns what that changes, of a group that is open `known`.
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

    /// The name of the group.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The kind that all its records have.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.first.record.kind()
    }

    /// The route that all its records have.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.first.record.route()
    }

    /// The parameterised message that all its records have, or `<other>` if [they have none in
    /// common](GroupingKey::overflow).
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the parameterised text of the last cause that all its records have, if they have causes.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// What people have said about it.
    #[must_use]
    pub fn status(&self) -> GroupStatus {
        self.status
    }

    /// Returns the number of records since the group last had to go for want of room.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many times it came back after it was resolved.
    #[must_use]
    pub fn regressions(&self) -> u64 {
        self.regressions
    }

    /// Returns when it was first seen: the earliest time of all its records.
    #[must_use]
    pub fn first_seen(&self) -> SystemTime {
        self.first.timestamp
    }

    /// Returns when it was last seen: the latest time of all its records, in whatever order they came.
    #[must_use]
    pub fn last_seen(&self) -> SystemTime {
        self.latest.timestamp
    }

    /// Returns the oldest record by its time, as a rule the one that began the group.
    #[must_use]
    pub fn first(&self) -> &ErrorSample {
        &self.first
    }

    /// Returns the newest record by its time, as a rule the one that came last.
    #[must_use]
    pub fn latest(&self) -> &ErrorSample {
        &self.latest
    }

    fn is_overflow(&self) -> bool {
        &*self.message == OVERFLOW_MESSAGE
    }

    fn location(&self) -> Option<&str> {
        let first = self.first.record.location();
        first.filter(|_| !self.is_overflow()).map(portable_location)
    }

    /// Why its records are one group.
    #[must_use]
    pub fn grouping_key(&self) -> GroupingKey<'_> {
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

/// Why records are one group. `Display` says it in a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupingKey<'a> {
    /// They have this kind,
    pub kind: &'a str,
    /// this route, if any,
    pub route: Option<&'a str>,
    /// this message, once the variable parts are taken out,
    pub message: &'a str,
    /// this last cause, if any, likewise,
    pub cause: Option<&'a str>,
    /// and this location, if any, without the directories of one machine,
    pub location: Option<&'a str>,
    /// in the way of this version.
    pub version: u8,
    /// Only kind and route were compared, since these already had
    /// [as many messages as allowed](super::StoreLimits::max_variants).
    pub overflow: bool,
}

impl fmt::Display for GroupingKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "same kind {:?}", self.kind)?;
        match self.route {
            Some(route) => write!(f, ", route {route:?}")?,
            None => f.write_str(", no route")?,
        }
        if self.overflow {
            f.write_str(" and one message too many to be a group of its own")?;
        } else {
            write!(f, " and message {:?}", self.message)?;
            if let Some(cause) = self.cause {
                write!(f, ", caused by {cause:?}")?;
            }
            if let Some(location) = self.location {
                write!(f, ", at {location}")?;
            }
        }
        write!(f, " (fingerprint version {})", self.version)
    }
}
