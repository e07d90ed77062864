use std::time::SystemTime;

use super::record::ErrorRecord;

/// A record of a group with the time of the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorSample {
    pub(super) timestamp: SystemTime,
    pub(super) record: ErrorRecord,
}

impl ErrorSample {
    /// Returns the time of the error.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        self.timestamp
    }

    /// Returns the record with its IDs.
    #[must_use]
    pub fn record(&self) -> &ErrorRecord {
        &self.record
    }
}
