use std::time::Duration;

use super::{Balance, BalanceSettings};
use crate::{
    breaker::BreakerSettings,
    call::{ConfigError, Label},
};

/// A builder of balancers' handles; made by [`Balance::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct BalanceBuilder {
    name: Label,
    settings: BalanceSettings,
    seed: Option<u64>,
}

impl BalanceBuilder {
    pub(super) fn new(name: Label) -> Self {
        BalanceBuilder {
            name,
            settings: BalanceSettings::default(),
            seed: None,
        }
    }

    /// Sets all [settings](BalanceSettings) at once. Setters that follow override them.
    ///
    /// ```
    /// use tower_keep::balance::{Balance, BalanceSettings};
    ///
    /// let mut settings = BalanceSettings::default();
    /// settings.max_ejected = 0.5;
    /// let balance = Balance::builder("ledger").settings(&settings).slow_start(None).build()?;
    /// assert_eq!((balance.settings().max_ejected, balance.settings().slow_start), (0.5, None));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn settings(mut self, settings: &BalanceSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// Sets the share of endpoints that may be ejected at once.
    ///
    /// It is rounded down, but one may be ejected if it is above 0, and the last one never is. More protects callers of a service of
    /// which half has failed; less protects a service whose endpoints would be overloaded by the calls of the others. Must be 0 to 1.
    /// Default: 0.1, as in Envoy.
    pub fn max_ejected(mut self, fraction: f64) -> Self {
        self.settings.max_ejected = fraction;
        self
    }

    /// Sets the time after which e⁻¹ of a latency is left in the estimate of an endpoint.
    ///
    /// An endpoint that has not answered for this time counts as not known, and is tried again. Shorter forgets a slow call, and a
    /// failure, sooner. Must be 100 ms to 1 h. Default: 10 s, as in Finagle.
    pub fn decay(mut self, time: Duration) -> Self {
        self.settings.decay = time;
        self
    }

    /// Sets the time by which a failed call counts as longer than it took, 429 and 503 included.
    ///
    /// Without it, an endpoint that fails fast would look like the best one. Must be at most 1 min. Default: 1 s, far above what most calls take.
    pub fn failure_penalty(mut self, time: Duration) -> Self {
        self.settings.failure_penalty = time;
        self
    }

    /// Sets the time for which an endpoint that is new, or returns, gets less than its share: a tenth at first, then in proportion to its
    /// age. Must be 1 ms to 1 h. Default: 10 s.
    pub fn slow_start(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.slow_start = time.into();
        self
    }

    /// Sets the settings of the circuit of each endpoint: what it takes to be ejected, for how long, and what it takes to return. Default:
    /// those of a breaker, and 5 consecutive failures.
    pub fn breaker(mut self, settings: &BreakerSettings) -> Self {
        self.settings.breaker = settings.clone();
        self
    }

    /// Sets the seed of the draws and of the jitter of ejections, so that a test sees the same endpoints picked each time. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks the settings, and creates the handle.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub fn build(self) -> Result<Balance, ConfigError> {
        self.settings.check(self.name.as_str())?;
        Ok(Balance::from_settings(self.name, self.settings, self.seed))
    }
}
