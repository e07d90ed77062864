use std::sync::atomic::{AtomicU64, Ordering};

/// Returns the version of settings that are about to be applied: higher than those before, in the whole process.
///
/// A thread that applies settings to many breakers does so without a lock. Where two do that at once, each breaker keeps
/// the settings of the highest version that it has seen, so that all end with the same.
pub(crate) fn next_settings_version() -> u64 {
    static LATEST: AtomicU64 = AtomicU64::new(0);
    LATEST.fetch_add(1, Ordering::Relaxed) + 1
}
