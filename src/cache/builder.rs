use std::time::Duration;

use super::{Cache, CacheSettings};
use crate::call::{ConfigError, Label};

/// A builder of caches; made by [`Cache::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct CacheBuilder {
    name: Label,
    settings: CacheSettings,
}

impl CacheBuilder {
    pub(super) fn new(name: Label) -> Self {
        CacheBuilder {
            name,
            settings: CacheSettings::default(),
        }
    }

    /// Sets all [settings](CacheSettings) at once. Setters that follow override them.
    ///
    /// ```
    /// use tower_keep::cache::{Cache, CacheSettings};
    ///
    /// let mut settings = CacheSettings::default();
    /// settings.max_entries = 50;
    /// let cache = Cache::builder("quotes").settings(&settings).max_bytes(1_000_000).max_body_bytes(9).build()?;
    /// assert_eq!((cache.settings().max_entries, cache.settings().max_body_bytes), (50, 9));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn settings(mut self, settings: &CacheSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// Sets for how long a result is served. Over HTTP the response says it, and this counts for nothing.
    ///
    /// Must be 1 ms to 365 days. Default: 60 s.
    pub fn ttl(mut self, time: Duration) -> Self {
        self.settings.ttl = time;
        self
    }

    /// Sets for how long after that a result is served if the call fails or is rejected, such as by an open circuit; `None` for not at
    /// all. Over HTTP, the larger of this and the response's `stale-if-error` counts, unless the response must be revalidated.
    ///
    /// Must be at most 365 days. Default: `None`, since callers may rather want to know.
    pub fn stale_if_error(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.stale_if_error = time.into();
        self
    }

    /// Sets the largest number of results. Must be 1 to 100,000,000. Default: 10,000.
    pub fn max_entries(mut self, entries: u32) -> Self {
        self.settings.max_entries = entries;
        self
    }

    /// Sets the memory of all results, in bytes. Over HTTP those of heads, bodies and keys count; otherwise the size of the type of the
    /// result and of its key, but nothing that they point to. Bodies that are being read may take as much again.
    ///
    /// Must be 1,024 to 4,294,967,295. Default: 64 MiB.
    pub fn max_bytes(mut self, bytes: u32) -> Self {
        self.settings.max_bytes = bytes;
        self
    }

    /// Sets the longest response body that is kept over HTTP, in bytes. A longer one passes through. Must be 1 to `max_bytes`. Default: 1
    /// MiB.
    pub fn max_body_bytes(mut self, bytes: u32) -> Self {
        self.settings.max_body_bytes = bytes;
        self
    }

    /// Checks the settings, and creates the cache.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub fn build(self) -> Result<Cache, ConfigError> {
        self.settings.check(self.name.as_str())?;
        Ok(Cache::from_settings(self.name, self.settings))
    }
}
