use std::time::Duration;

use super::{Backoff, Budget, Retry, config::RetryConfig, grpc_codes::GrpcCodes};
use crate::call::{ConfigError, GrpcCode, Label};

const MAX_ATTEMPTS: u32 = 100;
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Settings of a [`Retry`]; made by [`Retry::builder`].
#[derive(Clone, Debug)]
pub struct RetryBuilder {
    name: Label,
    config: RetryConfig,
    /// `None` until it is set: each retry then gets its own default, clones of the builder included.
    budget: Option<Option<Budget>>,
    seed: Option<u64>,
}

impl RetryBuilder {
    pub(super) fn new(name: Label) -> Self {
        RetryBuilder {
            name,
            config: RetryConfig {
                max_attempts: 3,
                backoff: Backoff::default(),
                max_retry_after: Duration::from_secs(30),
                max_elapsed: None,
                retry_rejections: false,
                grpc_codes: GrpcCodes::DEFAULT,
            },
            budget: None,
            seed: None,
        }
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
        self.config.max_attempts = attempts;
        self
    }

    /// Sets the wait before each retry. Default: 50 ms doubled up to 1 s, full jitter.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// Sets the budget that all retries share; `None` for no limit.
    ///
    /// Default: retries for 20 % of the calls of the last 10 s and 10 a second; each retry that is built gets its own,
    /// from a clone of this builder, too.
    #[must_use]
    pub fn budget(mut self, budget: impl Into<Option<Budget>>) -> Self {
        self.budget = Some(budget.into());
        self
    }

    /// Sets the longest retry-after to honor. If the peer asks for more, the call is not retried, since it would come
    /// before the peer wants it.
    ///
    /// Must be at most a day. Default: 30 s.
    #[must_use]
    pub fn max_retry_after(mut self, wait: Duration) -> Self {
        self.config.max_retry_after = wait;
        self
    }

    /// Sets how long after its start a call may begin attempts. Does not end a running attempt; use a timeout for that.
    ///
    /// Must be longer than zero. Default: unlimited, since the number of attempts is.
    #[must_use]
    pub fn max_elapsed(mut self, time: Duration) -> Self {
        self.config.max_elapsed = Some(time);
        self
    }

    /// Sets whether calls that a guard of this process rejected are retried, too. Default: no, since the guard means to
    /// reject them.
    #[must_use]
    pub fn retry_rejections(mut self, retry: bool) -> Self {
        self.config.retry_rejections = retry;
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
        self.config.grpc_codes = GrpcCodes::new(codes);
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
        let component = format!("retry {:?}", self.name);
        let config = &self.config;
        if !(1..=MAX_ATTEMPTS).contains(&config.max_attempts) {
            let value = config.max_attempts;
            let expected = "1 to 100";
            return Err(ConfigError::new(component, "max_attempts", value, expected));
        }
        config.backoff.validate(&component)?;
        if config.grpc_codes.contains(GrpcCode::OK) {
            let expected = "codes of failures";
            return Err(ConfigError::new(component, "grpc_codes", "OK", expected));
        }
        if config.max_retry_after > MAX_RETRY_AFTER {
            let value = format!("{:?}", config.max_retry_after);
            let expected = "at most a day";
            return Err(ConfigError::new(
                component,
                "max_retry_after",
                value,
                expected,
            ));
        }
        if config.max_elapsed.is_some_and(|time| time.is_zero()) {
            let expected = "longer than zero";
            return Err(ConfigError::new(component, "max_elapsed", "0ns", expected));
        }
        Ok(self.build_unchecked())
    }

    pub(super) fn build_unchecked(self) -> Retry {
        // Here, and not in `new`: clones of a builder must not share a budget that nobody chose.
        let budget = self.budget.unwrap_or_else(|| Some(Budget::default()));
        Retry::from_parts(self.name, self.config, budget, self.seed)
    }
}
