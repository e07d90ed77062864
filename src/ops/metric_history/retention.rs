use std::time::Duration;

/// The part of the history that the file keeps.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct MetricRetention {
    /// For how long it keeps points of a minute.
    pub(in crate::ops) minutes: Duration,
    /// For how long it keeps points of an hour.
    pub(in crate::ops) hours: Duration,
    /// The most bytes of both.
    pub(in crate::ops) max_bytes: u64,
}
