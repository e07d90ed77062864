use std::{error::Error, fmt, future::Future, sync::Arc};

use tokio::time::Instant;

use super::{
    Attempt, Budget, RetryBuilder, RetryFuture, RetrySettings, run::RunAttempts,
    settings::DecideOnError, shared::RetryShared,
};
use crate::{
    call::{ConfigError, Label},
    registry,
};

/// A handle with the settings, the budget and the metrics of retries: see the [module](super).
///
/// # Clones
///
/// Clones share the budget, the metrics and the sequence of jitter.
#[derive(Clone)]
pub struct Retry {
    pub(super) shared: Arc<RetryShared>,
}

impl Retry {
    /// Makes a retry with the default settings. The name appears in metrics and logs.
    ///
    /// ```
    /// use tower_keep::retry::Retry;
    ///
    /// assert_eq!(Retry::new("quotes").name(), "quotes");
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        Retry::builder(name).build_unchecked()
    }

    /// Makes a builder, which starts with the default settings. The name appears in metrics and logs.
    ///
    /// ```
    /// use tower_keep::retry::Retry;
    ///
    /// let retry = Retry::builder("quotes").max_attempts(5).build()?;
    /// assert_eq!(retry.name(), "quotes");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> RetryBuilder {
        RetryBuilder::new(name.into())
    }

    pub(super) fn from_parts(
        name: Label,
        settings: RetrySettings,
        budget: Budget,
        seed: Option<u64>,
    ) -> Self {
        let retry = Retry::unregistered(name, settings, budget, seed);
        // Holds a weak reference: the entry goes with the last handle.
        registry::register(&retry.shared);
        retry
    }

    /// Makes a retry that the registry does not list: a part of another handle.
    pub(crate) fn unregistered(
        name: Label,
        settings: RetrySettings,
        budget: Budget,
        seed: Option<u64>,
    ) -> Self {
        let shared = RetryShared::new(name, settings, budget, seed);
        Retry {
            shared: Arc::new(shared),
        }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.metrics.name()
    }

    /// Returns the budget, to share with other callers of the same peer.
    pub fn budget(&self) -> Option<&Budget> {
        self.shared.budget()
    }

    /// Returns the settings of calls that begin now.
    pub fn settings(&self) -> RetrySettings {
        self.shared.latest_settings()
    }

    /// Changes the settings, all of them, while the retry is in use.
    ///
    /// They hold for calls that begin later: a call in progress keeps those with which it began, up to the last seven
    /// changes. The budget keeps what it has counted, and changes for all that share it, whoever they are. If its kind
    /// changes, the new one starts anew; if the length of its window does, retries that are waiting are not refunded when
    /// they are cancelled. Metrics, stats and the sequence of jitter go on.
    ///
    /// One `INFO` event of the target `tower_keep::retry` has what has changed; none if nothing has.
    ///
    /// ```
    /// use tower_keep::retry::{Retry, RetrySettings};
    ///
    /// let retry = Retry::new("quotes");
    /// let mut settings = RetrySettings::default(); // or from a file
    /// settings.max_attempts = 5;
    /// retry.apply(&settings)?;
    /// assert_eq!(retry.settings().max_attempts, 5);
    ///
    /// settings.max_attempts = 0;
    /// let error = retry.apply(&settings).unwrap_err();
    /// assert_eq!(error.to_string(), r#"retry "quotes": max_attempts is 0, must be 1 to 100"#);
    /// assert_eq!(retry.settings().max_attempts, 5);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the first invalid setting; nothing is changed then.
    pub fn apply(&self, settings: &RetrySettings) -> Result<(), ConfigError> {
        self.shared.apply(settings)
    }

    /// Changes the settings, which are valid, for a handle that has this retry as a part and reports the change itself.
    pub(crate) fn apply_unreported(&self, settings: &RetrySettings, now: Instant) {
        self.shared.apply_valid(settings, now);
    }

    /// Runs work until it succeeds or there is no further attempt; returns its last result.
    ///
    /// The work is a closure that makes a future for each [`Attempt`]. The first attempt is made whatever the deadline.
    /// For work that borrows mutable state, use [`run_with`](Self::run_with).
    ///
    /// ```
    /// use tower_keep::retry::Retry;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> std::io::Result<()> {
    /// let retry = Retry::new("quotes");
    /// let quote = retry
    ///     .run(|attempt| async move {
    ///         if attempt.is_retry() { Ok(42) } else { Err(std::io::Error::other("reset")) }
    ///     })
    ///     .await?;
    /// assert_eq!(quote, 42);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime when the first attempt fails: the backoff needs a timer.
    pub fn run<F, Fut, T, E>(&self, work: F) -> RetryFuture<RunAttempts<(), F, DecideOnError<E>>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        // A function pointer, whose type names `E`: from it, `when` knows what its closure takes.
        RetryFuture::new(RunAttempts::new(
            self.clone(),
            (),
            work,
            |settings, error| settings.classify_error(error),
        ))
    }

    /// Runs work whose error does not implement `Error`: a boxed one, anyhow's, a `String`. An error that cannot be
    /// inspected is a failure.
    ///
    /// ```
    /// use tower_keep::retry::Retry;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), String> {
    /// let retry = Retry::new("quotes");
    /// let quote = retry.run_any_error(|_| async { Ok::<_, String>(42) }).await?;
    /// assert_eq!(quote, 42);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics as [`run`](Self::run) does.
    pub fn run_any_error<F, Fut, T, E>(
        &self,
        work: F,
    ) -> RetryFuture<RunAttempts<(), F, DecideOnError<E>>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: 'static,
    {
        RetryFuture::new(RunAttempts::new(
            self.clone(),
            (),
            work,
            |settings, error| settings.classify_any_error(error),
        ))
    }

    /// Runs work that changes some state, such as a connection: each attempt takes the state, and returns it with its
    /// result. [`run`](Self::run) cannot lend it, since its futures outlive the call of the closure.
    ///
    /// In a task that is spawned, pass `&mut` state by value or to a function: the compiler may not see that a closure
    /// which borrows it is `Send`.
    ///
    /// ```
    /// use tower_keep::retry::Retry;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> std::io::Result<()> {
    /// async fn query(connection: &mut Vec<u32>) -> std::io::Result<usize> {
    ///     connection.push(7);
    ///     if connection.len() < 2 { Err(std::io::Error::other("reset")) } else { Ok(connection.len()) }
    /// }
    ///
    /// let (retry, mut connection) = (Retry::new("rows"), Vec::new());
    /// let work = retry.run_with(&mut connection, |connection, _| async move {
    ///     let rows = query(connection).await;
    ///     (connection, rows)
    /// });
    /// let (_, rows) = work.await;
    /// assert_eq!(rows?, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics as [`run`](Self::run) does.
    pub fn run_with<S, F, Fut, T, E>(
        &self,
        state: S,
        work: F,
    ) -> RetryFuture<RunAttempts<Option<S>, F, DecideOnError<E>>>
    where
        F: FnMut(S, Attempt) -> Fut,
        Fut: Future<Output = (S, Result<T, E>)>,
        E: Error + 'static,
    {
        self.run_classified(state, work, |settings, error| {
            settings.classify_error(error)
        })
    }

    /// Runs work as [`run_with`](Self::run_with) does, and classifies its errors by the function.
    pub(crate) fn run_classified<S, F, Fut, T, E>(
        &self,
        state: S,
        work: F,
        classify_error: DecideOnError<E>,
    ) -> RetryFuture<RunAttempts<Option<S>, F, DecideOnError<E>>>
    where
        F: FnMut(S, Attempt) -> Fut,
        Fut: Future<Output = (S, Result<T, E>)>,
    {
        let attempts = RunAttempts::new(self.clone(), Some(state), work, classify_error);
        RetryFuture::new(attempts)
    }
}

/// Has the default settings and the name `retry`. Each default has its own budget; clones share it.
impl Default for Retry {
    fn default() -> Self {
        Retry::new("retry")
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("name", &self.name())
            .field("settings", &self.settings())
            .field("budget", &self.budget())
            .finish_non_exhaustive()
    }
}
