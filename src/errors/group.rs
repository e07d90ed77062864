//! A group of errors, as the store keeps it and as everybody else sees it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::fingerprint::Fingerprint;
use super::record::{ErrorRecord, portable};
use super::store::Change;

/// The message of the groups that take what exceeds [`Limits::max_variants`](super::Limits::max_variants).
pub(super) const OTHER: &str = "<other>";

/// What people have said about a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Nobody has said anything, or it came back after it was resolved.
    Open,
    /// Said to be mended. Seen again, it is a regression.
    Resolved,
    /// Counted, but never reported.
    Ignored,
}

impl Status {
    /// `open`, `resolved` or `ignored`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Resolved => "resolved",
            Status::Ignored => "ignored",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One record of a group, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub(super) at: SystemTime,
    pub(super) record: ErrorRecord,
}

impl Sample {
    /// When it was recorded.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        self.at
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
pub struct Group {
    pub(super) fingerprint: Fingerprint,
    pub(super) message: Arc<str>,
    pub(super) cause: Option<Arc<str>>,
    pub(super) status: Status,
    pub(super) count: u64,
    pub(super) regressions: u64,
    pub(super) first: Arc<Sample>,
    pub(super) latest: Arc<Sample>,
}

impl Group {
    pub(super) fn new(
        fingerprint: Fingerprint,
        message: Arc<str>,
        cause: Option<Arc<str>>,
        sample: Arc<Sample>,
    ) -> Self {
        Group {
            fingerprint,
            message,
            cause,
            status: Status::Open,
            count: 1,
            regressions: 0,
            first: Arc::clone(&sample),
            latest: sample,
        }
    }

    /// Takes in a record. It may be older than others that came before: one that was stored, or the clock went back.
    pub(super) fn see(&mut self, sample: &Arc<Sample>) {
        self.count += 1;
        if sample.at < self.first.at {
            self.first = Arc::clone(sample);
        }
        if sample.at >= self.latest.at {
            self.latest = Arc::clone(sample);
        }
    }

    /// Notes that a group is there that was there before. Returns what that changes, of a group that is open `known`.
    pub(super) fn seen_again(&mut self, known: Change) -> Change {
        match self.status {
            Status::Open => known,
            Status::Ignored => Change::Ignored,
            Status::Resolved => {
                self.status = Status::Open;
                self.regressions += 1;
                Change::Regressed
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
    /// common](Why::overflow).
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
    pub fn status(&self) -> Status {
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
        self.first.at
    }

    /// Returns when it was last seen: the latest time of all its records, in whatever order they came.
    #[must_use]
    pub fn last_seen(&self) -> SystemTime {
        self.latest.at
    }

    /// Returns the oldest record by its time, as a rule the one that began the group.
    #[must_use]
    pub fn first(&self) -> &Sample {
        &self.first
    }

    /// Returns the newest record by its time, as a rule the one that came last.
    #[must_use]
    pub fn latest(&self) -> &Sample {
        &self.latest
    }

    fn is_overflow(&self) -> bool {
        &*self.message == OTHER
    }

    fn location(&self) -> Option<&str> {
        let first = self.first.record.location();
        first.filter(|_| !self.is_overflow()).map(portable)
    }

    /// Why its records are one group.
    #[must_use]
    pub fn why(&self) -> Why<'_> {
        Why {
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
pub struct Why<'a> {
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
    /// [as many messages as allowed](super::Limits::max_variants).
    pub overflow: bool,
}

impl fmt::Display for Why<'_> {
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
