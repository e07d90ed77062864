use std::time::Duration;

/// The bounds of the records in the file. What is beyond one of them is deleted, the oldest first.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::logs) struct FileLimits {
    pub(in crate::ops::logs) keep_for: Duration,
    pub(in crate::ops::logs) max_records: u64,
    pub(in crate::ops::logs) max_bytes: u64,
}
