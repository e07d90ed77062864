use std::{error::Error, fmt, future::Future, hash::Hash, sync::Arc};

use super::{CacheBuilder, CacheRun, CacheSettings, CacheStats, entry::Place, shared::CacheShared};
use crate::{
    breaker::classify_result::{classify_display, classify_std},
    call::{ConfigError, Label},
    registry,
};

/// A cache of results: see the [module](super).
///
/// # Clones
///
/// Clones are the same cache, and so are all layers made from them. Use a cache for each peer: results of one cache that have the same
/// key and type are the same result.
#[derive(Clone)]
pub struct Cache {
    pub(super) shared: Arc<CacheShared>,
}

impl Cache {
    /// Creates a cache with the default settings: 10,000 results for 60 s, in 64 MiB, none of them stale.
    ///
    /// ```
    /// use tower_keep::cache::Cache;
    ///
    /// let quotes = Cache::new("quotes");
    /// assert_eq!(quotes.stats().entries, 0);
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        Cache::from_settings(name.into(), CacheSettings::default())
    }

    /// Returns a builder with the default settings.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::cache::Cache;
    ///
    /// let quotes = Cache::builder("quotes").ttl(Duration::from_secs(5)).build()?;
    /// # let _ = quotes;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> CacheBuilder {
        CacheBuilder::new(name.into())
    }

    pub(super) fn from_settings(name: Label, settings: CacheSettings) -> Self {
        let shared = Arc::new(CacheShared::new(name, settings));
        registry::register(&shared);
        Cache { shared }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name().as_str()
    }

    /// Returns the settings as they are now.
    pub fn settings(&self) -> CacheSettings {
        self.shared.settings()
    }

    /// Applies settings to the live cache, and to all of its clones. Times count for results that are kept already; other bounds remove
    /// all results. A change is logged once, with the fields that have changed.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid. Then all settings are as they were.
    ///
    /// ```
    /// use tower_keep::cache::{Cache, CacheSettings};
    ///
    /// let quotes = Cache::new("quotes");
    /// let mut settings = CacheSettings::default();
    /// settings.max_entries = 0;
    /// let error = quotes.apply(&settings).unwrap_err();
    /// assert_eq!(error.to_string(), r#"cache "quotes": max_entries is 0, must be 1 to 100000000"#);
    /// ```
    pub fn apply(&self, settings: &CacheSettings) -> Result<(), ConfigError> {
        self.shared.apply(settings)
    }

    /// Returns how often there was a result, and how many there are.
    pub fn stats(&self) -> CacheStats {
        self.shared.stats()
    }

    /// Returns a clone of the result that is kept for a key, or runs the future and keeps its result if it is `Ok`.
    ///
    /// If the future fails and [`stale_if_error`](CacheBuilder::stale_if_error) is set, an old result takes the place of its error, unless
    /// that is the caller's fault. Errors are classified by their type, and most are failures. Callers that come at once each run their
    /// future; [`Coalesce::run`](crate::coalesce::Coalesce::run) around it makes them one.
    ///
    /// # Errors
    ///
    /// Returns the error of the future.
    ///
    /// ```
    /// use std::io;
    /// use tower_keep::cache::Cache;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> io::Result<()> {
    /// let quotes = Cache::new("quotes");
    /// let quote = async || quotes.run("ACME", async { Ok::<_, io::Error>(17) }).await;
    /// assert_eq!((quote().await?, quote().await?), (17, 17));
    /// assert_eq!((quotes.stats().misses, quotes.stats().hits), (1, 1));
    /// # Ok(()) }
    /// ```
    pub fn run<K, F, T, E>(&self, key: K, future: F) -> CacheRun<K, F, E>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        F: Future<Output = Result<T, E>>,
        T: Clone + Send + Sync + 'static,
        E: Error + 'static,
    {
        let place = Place::new(self.shared.clone(), key);
        CacheRun::new(place, future, classify_std)
    }

    /// Does the same for errors that do not implement `Error`, such as `anyhow::Error` and `BoxError`.
    pub fn run_display<K, F, T, E>(&self, key: K, future: F) -> CacheRun<K, F, E>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        F: Future<Output = Result<T, E>>,
        T: Clone + Send + Sync + 'static,
        E: fmt::Display + 'static,
    {
        let place = Place::new(self.shared.clone(), key);
        CacheRun::new(place, future, classify_display)
    }

    /// Removes the result of the type `T` that is kept for a key, such as after a change. Returns whether there was one. Calls in flight
    /// that began before keep nothing.
    ///
    /// Not for HTTP: there, requests that may change something remove what is kept for their URI.
    ///
    /// ```
    /// use std::io;
    /// use tower_keep::cache::Cache;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> io::Result<()> {
    /// let quotes = Cache::new("quotes");
    /// quotes.run(7_u32, async { Ok::<_, io::Error>(17_u64) }).await?;
    /// assert!(quotes.remove::<_, u64>(7_u32));
    /// assert!(!quotes.remove::<_, u64>(7_u32));
    /// # Ok(()) }
    /// ```
    pub fn remove<K, T>(&self, key: K) -> bool
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        T: 'static,
    {
        Place::new(self.shared.clone(), key).remove::<T>()
    }

    /// Removes all results.
    pub fn clear(&self) {
        self.shared.clear();
    }

    /// Makes each call until [`reset`](Self::reset): no result is kept or given.
    pub fn disable(&self) {
        self.shared.disable();
    }

    /// Removes all results, and keeps some again after [`disable`](Self::disable).
    pub fn reset(&self) {
        self.shared.reset();
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", self.shared.name())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
