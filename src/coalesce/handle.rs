use std::{fmt, future::Future, hash::Hash, sync::Arc};

use super::{
    CoalesceBuilder, CoalesceRun, CoalesceSettings, CoalesceStats, shared::CoalesceShared,
};
use crate::{
    call::{BoxError, ConfigError, Label},
    registry,
};

/// A handle under which identical calls in flight are one call: see the [module](super).
///
/// # Clones
///
/// Clones share the calls in flight, and so do all layers made from them. Use a handle for each peer: calls of one handle that have
/// the same key, and services of the same type, are the same call.
#[derive(Clone)]
pub struct Coalesce {
    pub(super) shared: Arc<CoalesceShared>,
}

impl Coalesce {
    /// Creates a handle with the default settings: 10,000 calls in flight, each with 10,000 that wait for it and that have come in its first
    /// 5 s, bodies of up to 1 MiB, and 64 MiB for all bodies together.
    ///
    /// ```
    /// use tower_keep::coalesce::Coalesce;
    ///
    /// let quotes = Coalesce::new("quotes");
    /// assert_eq!(quotes.stats().in_flight, 0);
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        Coalesce::from_settings(name.into(), CoalesceSettings::default())
    }

    /// Returns a builder with the default settings.
    ///
    /// ```
    /// use tower_keep::coalesce::Coalesce;
    ///
    /// let quotes = Coalesce::builder("quotes").max_waiters(500).build()?;
    /// # let _ = quotes;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> CoalesceBuilder {
        CoalesceBuilder::new(name.into())
    }

    pub(super) fn from_settings(name: Label, settings: CoalesceSettings) -> Self {
        let shared = Arc::new(CoalesceShared::new(name, settings));
        registry::register(&shared);
        Coalesce { shared }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name().as_str()
    }

    /// Returns the settings as they are now.
    pub fn settings(&self) -> CoalesceSettings {
        self.shared.settings()
    }

    /// Applies settings to the live handle, and to all of its clones. Calls in flight stay shared. A change is logged once, with the
    /// fields that have changed.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid. Then all settings are as they were.
    ///
    /// ```
    /// use tower_keep::coalesce::{Coalesce, CoalesceSettings};
    ///
    /// let quotes = Coalesce::new("quotes");
    /// let mut settings = CoalesceSettings::default();
    /// settings.max_keys = 0;
    /// let error = quotes.apply(&settings).unwrap_err();
    /// assert_eq!(error.to_string(), r#"coalesce "quotes": max_keys is 0, must be 1 to 1000000"#);
    /// ```
    pub fn apply(&self, settings: &CoalesceSettings) -> Result<(), ConfigError> {
        self.shared.apply(settings)
    }

    /// Returns how many calls were shared.
    pub fn stats(&self) -> CoalesceStats {
        self.shared.stats()
    }

    /// Runs a future, or waits for the one that runs for the same key already. All of them get clones of its result.
    ///
    /// The future is dropped unpolled if one runs already. A future that is shared goes on in another caller if its own is dropped, so it
    /// must be `Send`. Keys are compared with those of futures of the same type only: two places in the code never share a call.
    ///
    /// # Errors
    ///
    /// [`CallError::Failed`](crate::CallError::Failed) with the error, or with the message of a panic, which goes on in one caller;
    /// [`CallError::Rejected`](crate::CallError::Rejected) if too many callers wait, or if the
    /// [deadline](crate::context::deadline) of the caller has passed. A caller whose deadline passes while it waits gets an
    /// [`Elapsed`](crate::call::Elapsed) as the error; the future goes on for the others.
    ///
    /// # Panics
    ///
    /// If a caller with a deadline has to wait outside of a tokio runtime that has a timer.
    ///
    /// ```
    /// use std::io;
    /// use tower_keep::coalesce::Coalesce;
    ///
    /// async fn load(id: u32) -> io::Result<u32> {
    ///     tokio::task::yield_now().await;
    ///     Ok(id * 2)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let quotes = Coalesce::new("quotes");
    /// let (one, other) = tokio::join!(quotes.run(7, load(7)), quotes.run(7, load(7)));
    /// assert_eq!((one?, other?), (14, 14));
    /// assert_eq!((quotes.stats().led, quotes.stats().joined), (1, 1));
    /// # Ok(()) }
    /// ```
    pub fn run<K, F, T, E>(&self, key: K, future: F) -> CoalesceRun<K, F, T>
    where
        K: Hash + Eq + Send + Sync + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Clone + Send + Sync + 'static,
        E: Into<BoxError>,
    {
        CoalesceRun::new(self.shared.clone(), key, future)
    }

    /// Makes each call for itself until [`reset`](Self::reset). Calls in flight stay shared.
    pub fn disable(&self) {
        self.shared.set_disabled(true);
    }

    /// Shares calls again after [`disable`](Self::disable).
    pub fn reset(&self) {
        self.shared.set_disabled(false);
    }
}

impl fmt::Debug for Coalesce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalesce")
            .field("name", self.shared.name())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
