use std::{fmt, time::Duration};

use super::{Backoff, Budget, GrpcCodes, Retry, RetrySettings};
use crate::call::{ConfigError, GrpcCode, Label};

/// Settings of a [`Retry`]; made by [`Retry::builder`].
#[derive(Clone, Debug)]
pub struct RetryBuilder {
    name: Label,
    settings: RetrySettings,
    /// The budget that others may share. `None` for one that is made of the settings: each retry then gets its own, clones
    /// of the builder included.
    budget: Option<Budget>,
    seed: Option<u64>,
}

impl RetryBuilder {
    pub(super) fn new(name: Label) -> Self {
        RetryBuilder {
            name,
            settings: RetrySettings::default(),
            budget: None,
            seed: None,
        }
    }

    /// Takes over all settings, those with their defaults included: setters before this one have no effect, later ones
    /// override. The budget is a new one.
    ///
    /// ```
    /// use tower_keep::retry::{Retry, RetrySettings};
    ///
    /// let mut settings = RetrySettings::default(); // or from a file
    /// settings.max_attempts = 5;
    /// let retry = Retry::builder("quotes").settings(&settings).build()?;
    /// assert_eq!(retry.settings(), settings);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn settings(mut self, settings: &RetrySettings) -> Self {
        self.settings = settings.clone();
        self.budget = None;
        self
    }

    /// Presets for a peer in the same network: 4 attempts, 25 ms doubled up to 250 ms, full jitter.
    #[must_use]
    pub fn preset_internal(self) -> Self {
        let backoff = Backoff::exponential(Duration::from_millis(25));
        self.max_attempts(4)
            .backoff(backoff.max(Duration::from_millis(250)))
    }

    /// Presets for an external API that no user waits for: 4 attempts, 500 ms doubled up to 20 s, full jitter,
    /// retry-after up to a minute.
    #[must_use]
    pub fn preset_external(self) -> Self {
        let backoff = Backoff::exponential(Duration::from_millis(500));
        self.max_attempts(4)
            .backoff(backoff.max(Duration::from_secs(20)))
            .max_retry_after(Duration::from_secs(60))
    }

    /// Sets the number of attempts, the first included.
    ///
    /// Retries in several layers multiply, so keep it low. Must be 1 to 100. Default: 3.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = attempts;
        self
    }

    /// Sets the wait before each retry. Default: 50 ms doubled up to 1 s, full jitter.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// Sets the budget that all retries share; `None` for no limit.
    ///
    /// Default: retries for 20 % of the calls of the last 10 s and 10 a second; each retry that is built gets its own,
    /// from a clone of this builder, too.
    #[must_use]
    pub fn budget(mut self, budget: impl Into<Option<Budget>>) -> Self {
        self.budget = budget.into();
        self.settings.budget = self.budget.as_ref().map(Budget::settings);
        self
    }

    /// Sets the longest retry-after to honor. If the peer asks for more, the call is not retried, since it would come
    /// before the peer wants it.
    ///
    /// Must be at most a day. Default: 30 s.
    #[must_use]
    pub fn max_retry_after(mut self, wait: Duration) -> Self {
        self.settings.max_retry_after = wait;
        self
    }

    /// Sets how long after its start a call may begin attempts. Does not end a running attempt; use a timeout for that.
    ///
    /// Must be longer than zero. Default: unlimited, since the number of attempts is.
    #[must_use]
    pub fn max_elapsed(mut self, time: Duration) -> Self {
        self.settings.max_elapsed = Some(time);
        self
    }

    /// Sets whether calls that a guard of this process rejected are retried, too. Default: no, since the guard means to
    /// reject them.
    #[must_use]
    pub fn retry_rejections(mut self, retry: bool) -> Self {
        self.settings.retry_rejections = retry;
        self
    }

    /// Sets the gRPC codes that are retried; others are retried only if they are failures and the peer says when. Replaces
    /// the default.
    ///
    /// Must not contain `OK`. Default: `UNAVAILABLE`, as in gRPC's own examples: a call that failed otherwise fails again,
    /// or has been done.
    ///
    /// ```
    /// use tower_keep::{call::GrpcCode, retry::Retry};
    ///
    /// let retry = Retry::builder("orders")
    ///     .grpc_codes([GrpcCode::UNAVAILABLE, GrpcCode::RESOURCE_EXHAUSTED])
    ///     .build()?;
    /// # let _ = retry;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn grpc_codes(mut self, codes: impl IntoIterator<Item = GrpcCode>) -> Self {
        self.settings.grpc_codes = GrpcCodes::new(codes);
        self
    }

    /// Sets the seed of the jitter, to make tests repeatable. Default: random, so that clients do not retry together.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds the retry.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the first invalid setting.
    pub fn build(self) -> Result<Retry, ConfigError> {
        self.settings.validate(&component(&self.name))?;
        Ok(self.build_unchecked())
    }

    pub(super) fn build_unchecked(self) -> Retry {
        // Here, and not in a setter: clones of a builder must not share a budget that nobody chose.
        let new_budget = || Budget::from_settings(self.settings.budget.unwrap_or_default());
        let budget = self.budget.unwrap_or_else(new_budget);
        Retry::from_parts(self.name, self.settings, budget, self.seed)
    }
}

/// Returns how errors call a retry.
pub(super) fn component(name: &impl fmt::Debug) -> String {
    format!("retry {name:?}")
}
