use std::{
    mem,
    sync::atomic::{AtomicU64, Ordering},
};

/// Returns the version of settings that are about to be applied: higher than those before, in the whole process.
///
/// A thread that applies settings to many breakers does so without a lock. Where two do that at once, each breaker keeps
/// the settings of the highest version that it has seen, so that all end with the same.
pub(crate) fn next_settings_version() -> u64 {
    static LATEST: AtomicU64 = AtomicU64::new(0);
    LATEST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The settings of many breakers, present and to come, that were applied last.
#[derive(Default)]
pub(super) struct Versioned<T> {
    pub(super) value: T,
    /// 0 before any were applied.
    pub(super) version: u64,
}

impl<T> Versioned<T> {
    /// Returns the settings that breakers are created with, before any are applied.
    pub(super) fn initial(value: T) -> Self {
        Versioned { value, version: 0 }
    }

    /// Replaces the settings by others, which get a new version. Returns those of before, and that version.
    pub(super) fn replace(&mut self, value: T) -> (T, u64) {
        // Under the lock of whoever holds these: of two threads, the later one has the higher version.
        self.version = next_settings_version();
        let before = mem::replace(&mut self.value, value);
        (before, self.version)
    }
}
