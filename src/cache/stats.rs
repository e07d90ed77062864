/// Numbers that a [`Cache`](super::Cache) gives about itself. Counts are since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// The number of results that are kept.
    pub entries: u64,
    /// The memory that they count for, in bytes. A small one counts for `max_bytes / max_entries`.
    pub bytes: u64,
    /// The number of calls that got a fresh result instead of being made.
    pub hits: u64,
    /// The number of calls that failed, and got a stale result.
    pub stale: u64,
    /// The number of calls that were made, since there was no fresh result.
    pub misses: u64,
    /// The number of results that were kept.
    pub stored: u64,
    /// The number of HTTP calls that the cache had nothing to do with.
    pub bypassed: u64,
}
