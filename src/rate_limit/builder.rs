use std::time::Duration;

use super::{
    RateAlgorithm, RateLimit, RateLimitSettings,
    fields::{FieldsConfig, RateLimitFields},
};
use crate::call::{ConfigError, Label};

/// A builder of rate limits; made by [`RateLimit::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RateLimitBuilder {
    pub(super) name: Label,
    pub(super) settings: RateLimitSettings,
    pub(super) fields: FieldsConfig,
}

impl RateLimitBuilder {
    pub(super) fn new(name: Label) -> Self {
        RateLimitBuilder {
            name,
            settings: RateLimitSettings::default(),
            fields: FieldsConfig::default(),
        }
    }

    /// Sets all [settings](RateLimitSettings) at once. Setters that follow override them.
    ///
    /// ```
    /// use tower_keep::rate_limit::{RateLimit, RateLimitSettings};
    ///
    /// let mut settings = RateLimitSettings::default();
    /// settings.rate = 20.0;
    /// let limit = RateLimit::builder("search").settings(&settings).burst(5).build()?;
    /// assert_eq!((limit.settings().rate, limit.settings().burst), (20.0, Some(5)));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn settings(mut self, settings: &RateLimitSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// Sets how many calls are admitted in each period, such as 100 per second or 5 per minute.
    ///
    /// Calls are admitted one by one, evenly: at 5 per minute, one every 12 seconds once the [burst](Self::burst) is used
    /// up. At most a million per second, and a period of at most a day. Default: 100 per second.
    pub fn rate(mut self, calls: impl Into<f64>, period: Duration) -> Self {
        self.settings.rate = calls.into();
        self.settings.period = period;
        self
    }

    /// Sets how many calls are admitted at once after a time without calls.
    ///
    /// In any stretch of time, the burst and what the rate allows for the time are admitted, and no more. 1 admits
    /// evenly spaced calls only. Default: the rate, rounded up, so that a period's calls may come together.
    pub fn burst(mut self, calls: u32) -> Self {
        self.settings.burst = Some(calls);
        self
    }

    /// Sets for how long calls wait where they wait instead of being rejected: in a [`RateLimitLayer`](super::RateLimitLayer).
    ///
    /// It bounds the number of those that wait as well: the rate times this. At most a day. Default: 1 s, which evens out a
    /// burst while the caller of a server still waits.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.settings.max_wait = wait;
        self
    }

    /// Sets the longest pause that a peer can ask for when it says that it is called too often: by 429, or by gRPC's
    /// `RESOURCE_EXHAUSTED`. `None` ignores what peers say.
    ///
    /// A client then empties its limit, and admits the next call after the peer's `Retry-After` or the like, at most
    /// after this. Has no effect on a server. At most a day. Default: 30 s, so that a faulty peer cannot stop all calls.
    pub fn max_pause(mut self, pause: impl Into<Option<Duration>>) -> Self {
        self.settings.max_pause = pause.into();
        self
    }

    /// Sets how the limit counts: see [`RateAlgorithm`]. Default: [`Gcra`](RateAlgorithm::Gcra).
    pub fn algorithm(mut self, algorithm: RateAlgorithm) -> Self {
        self.settings.algorithm = algorithm;
        self
    }

    /// Sets shadow mode: the limit counts and reports as ever, but rejects no call, and lets none wait. Default: off.
    pub fn shadow(mut self, on: bool) -> Self {
        self.settings.shadow = on;
        self
    }

    /// Sets which responses of a server have the fields `RateLimit-Policy` and `RateLimit`; see [`RateLimitFields`].
    /// Default: those to rejected calls.
    pub fn fields(mut self, fields: RateLimitFields) -> Self {
        self.fields.when = fields;
        self
    }

    /// Sets the name of the limit that callers see in the [fields](Self::fields). Default: `default`, since callers do not
    /// see the names of guards.
    pub fn policy_name(mut self, name: impl Into<Label>) -> Self {
        self.fields.policy = name.into();
        self
    }

    /// Checks the settings, and creates the limit.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub fn build(self) -> Result<RateLimit, ConfigError> {
        let quota = self.settings.quota(self.name.as_str())?;
        Ok(RateLimit::from_quota(self, quota))
    }
}
