use std::time::Duration;

/// The numbers of a [`Bulkhead`](super::Bulkhead) at one moment.
///
/// Of calls that were admitted, `done`, `failed`, `inconclusive` and `in_flight` are all that there are. While calls come and
/// go, the numbers may be of slightly different moments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BulkheadStats {
    /// The calls that have a slot now.
    pub in_flight: u32,
    /// The number of calls that may have a slot at once.
    pub limit: u32,
    /// The calls and handles that wait for a slot now.
    pub queued: u32,
    /// The number of calls that may wait.
    pub queue_limit: u32,
    /// The calls that the peer, or the work, did.
    pub done: u64,
    /// The calls that it did not do.
    pub failed: u64,
    /// The calls of which neither is known: they were cancelled, rejected further in, or their caller was at fault. A permit
    /// that is dropped without a result is such a call.
    pub inconclusive: u64,
    /// The calls that were rejected.
    pub rejected: u64,
    /// The mean time for which the calls that are done or have failed had their slot; `None` if there is none.
    pub mean_run: Option<Duration>,
    /// The same of the latest calls: a mean in which the last call counts an eighth, and each before it a little less.
    pub recent_run: Option<Duration>,
    /// The calls that have waited for a slot, whatever became of the wait.
    pub waited: u64,
    /// The mean of their waits; `None` if there is none.
    pub mean_wait: Option<Duration>,
    /// The longest of their waits.
    pub max_wait: Option<Duration>,
}
