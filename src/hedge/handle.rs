use std::{error::Error, fmt, future::Future, sync::Arc};

use super::{HedgeBuilder, HedgeFuture, HedgeSettings, HedgeStats, shared::HedgeShared};
use crate::{
    call::{ConfigError, Label},
    registry,
    retry::{Attempt, Budget, DecideOnError, RunAttempts},
};

/// A handle with the settings, the latencies, the budget and the metrics of hedges: see the [module](super).
///
/// # Clones
///
/// Clones are the same hedge.
#[derive(Clone)]
pub struct Hedge {
    pub(super) shared: Arc<HedgeShared>,
}

impl Hedge {
    /// Creates a hedge with the default settings: one hedge after the 95th percentile. The name appears in metrics and logs.
    ///
    /// ```
    /// use tower_keep::hedge::Hedge;
    ///
    /// let hedge = Hedge::new("quotes");
    /// assert_eq!((hedge.name(), hedge.stats().delay), ("quotes", None));
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        let settings = HedgeSettings::default();
        Hedge::from_parts(name.into(), settings, Budget::default(), true)
    }

    /// Returns a builder with the default settings. The name appears in metrics and logs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::hedge::Hedge;
    ///
    /// let hedge = Hedge::builder("quotes").delay(Duration::from_millis(50)).build()?;
    /// assert_eq!(hedge.stats().delay, Some(Duration::from_millis(50)));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> HedgeBuilder {
        HedgeBuilder::new(name.into())
    }

    pub(super) fn from_parts(
        name: Label,
        settings: HedgeSettings,
        budget: Budget,
        counts_calls: bool,
    ) -> Self {
        let shared = Arc::new(HedgeShared::new(name, settings, budget, counts_calls));
        registry::register(&shared);
        Hedge { shared }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name().as_str()
    }

    /// Returns the budget, to share with other callers of the same peer.
    pub fn budget(&self) -> Option<&Budget> {
        self.shared.retry.budget()
    }

    /// Returns the settings of calls that begin now.
    pub fn settings(&self) -> HedgeSettings {
        self.shared.settings()
    }

    /// Changes the settings, all of them, while the hedge is in use.
    ///
    /// They hold for calls that begin later. Samples and counts stay. The budget keeps what it has counted, and changes for all that
    /// share it. A change is logged once, with the fields that have changed.
    ///
    /// ```
    /// use tower_keep::hedge::{Hedge, HedgeSettings};
    ///
    /// let hedge = Hedge::new("quotes");
    /// let mut settings = HedgeSettings::default(); // or from a file
    /// settings.max_hedges = 0;
    /// hedge.apply(&settings)?;
    ///
    /// settings.max_hedges = 11;
    /// let error = hedge.apply(&settings).unwrap_err();
    /// assert_eq!(error.to_string(), r#"hedge "quotes": max_hedges is 11, must be 0 to 10"#);
    /// assert_eq!(hedge.settings().max_hedges, 0);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that names the first invalid setting; nothing is changed then.
    pub fn apply(&self, settings: &HedgeSettings) -> Result<(), ConfigError> {
        self.shared.apply(settings)
    }

    /// Returns the delay, the samples it comes from, and the hedges so far.
    pub fn stats(&self) -> HedgeStats {
        self.shared.stats()
    }

    /// Forgets the latencies and the failures of the peer: the delay is unknown again, unless it is fixed.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Runs work that may be done twice at the same time, and returns the result of the attempt that succeeds first.
    ///
    /// The work is a closure that makes a future for each [`Attempt`]. Nothing happens before the first poll.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::hedge::Hedge;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let hedge = Hedge::builder("replicas").delay(Duration::from_millis(20)).build()?;
    /// let row = hedge
    ///     .run(|attempt| async move {
    ///         // The first replica hangs.
    ///         if !attempt.is_retry() { std::future::pending().await }
    ///         Ok::<_, std::io::Error>(7)
    ///     })
    ///     .await?;
    /// assert_eq!((row, hedge.stats().won), (7, 1));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error that ends the call: see [what happens](super#what-happens).
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime when an attempt is not ready at once: the delay needs a timer.
    pub fn run<F, Fut, T, E>(&self, work: F) -> HedgeFuture<RunAttempts<(), F, DecideOnError<E>>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        // A function pointer, whose type names `E`: from it, `when` knows what its closure takes.
        self.run_classified(work, |settings, error| settings.classify_error(error))
    }

    /// Runs work whose error does not implement `Error`: a boxed one, anyhow's, a `String`. An error that cannot be inspected is a
    /// failure.
    ///
    /// ```
    /// use tower_keep::hedge::Hedge;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), String> {
    /// let row = Hedge::new("replicas").run_any_error(|_| async { Ok::<_, String>(7) }).await?;
    /// assert_eq!(row, 7);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// Panics as [`run`](Self::run) does.
    pub fn run_any_error<F, Fut, T, E>(
        &self,
        work: F,
    ) -> HedgeFuture<RunAttempts<(), F, DecideOnError<E>>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: 'static,
    {
        self.run_classified(work, |settings, error| settings.classify_any_error(error))
    }

    /// Runs work as [`run`](Self::run) does, and classifies its errors by the function.
    pub(crate) fn run_classified<F, Fut, T, E>(
        &self,
        work: F,
        classify_error: DecideOnError<E>,
    ) -> HedgeFuture<RunAttempts<(), F, DecideOnError<E>>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let retry = self.shared.retry.clone();
        HedgeFuture::new(
            RunAttempts::new(retry, (), work, classify_error),
            self.clone(),
        )
    }
}

impl fmt::Debug for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("name", self.shared.name())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
