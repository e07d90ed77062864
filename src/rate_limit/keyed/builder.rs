use std::{sync::Arc, time::Duration};

use super::{KeyedRateLimit, shared::KeyedShared};
use crate::{
    call::ConfigError,
    rate_limit::{RateLimitBuilder, settings::component},
    registry,
};

/// Enough for the callers of a busy service; some 3 MB if all are in use.
const DEFAULT_MAX_KEYS: usize = 100_000;
/// Some 300 MB.
const MAX_KEYS: usize = 10_000_000;
/// Long enough for people who read what they have got before they ask again.
const DEFAULT_IDLE_TIME: Duration = Duration::from_secs(300);
const MAX_IDLE_TIME: Duration = Duration::from_secs(86_400);

/// A builder of keyed rate limits; made by [`KeyedRateLimit::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct KeyedRateLimitBuilder {
    template: RateLimitBuilder,
    max_keys: usize,
    idle_time: Duration,
    admits_without_key: bool,
}

impl KeyedRateLimitBuilder {
    pub(super) fn new(template: RateLimitBuilder) -> Self {
        KeyedRateLimitBuilder {
            template,
            max_keys: DEFAULT_MAX_KEYS,
            idle_time: DEFAULT_IDLE_TIME,
            admits_without_key: false,
        }
    }

    /// Sets the maximum number of keys that have a bucket of their own, 1 to 10 million.
    ///
    /// Should be more than there are keys in use within the [idle time](Self::idle_time). Each costs at most 32 bytes, whatever the key.
    /// New keys for which there is [no room](KeyedRateLimit#a-flood-of-keys) share one bucket. Default: 100,000.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// Sets for how long a key that is not used keeps its place, once it has come back after a pause. At most a day.
    ///
    /// Longer keeps occasional callers apart from a flood of new keys; shorter needs less memory. It changes nothing about
    /// what a key may do: only buckets that are full again are removed. Default: 5 minutes.
    pub fn idle_time(mut self, time: Duration) -> Self {
        self.idle_time = time;
        self
    }

    /// Admits calls that have no key, uncounted. Default: they share one bucket, so that nobody is exempt who leaves a header out.
    pub fn admit_without_key(mut self, admits: bool) -> Self {
        self.admits_without_key = admits;
        self
    }

    /// Checks the settings, and creates the limit.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub fn build(self) -> Result<KeyedRateLimit, ConfigError> {
        let name = self.template.name.as_str();
        let quota = self.template.settings.quota(name)?;
        let invalid = |field, value: String, expected: &str| {
            Err(ConfigError::new(component(name), field, value, expected))
        };
        if !(1..=MAX_KEYS).contains(&self.max_keys) {
            return invalid("max_keys", self.max_keys.to_string(), "1 to 10000000");
        }
        if self.idle_time > MAX_IDLE_TIME {
            return invalid(
                "idle_time",
                format!("{:?}", self.idle_time),
                "at most a day",
            );
        }
        let shared = Arc::new(KeyedShared::new(
            self.template,
            quota,
            (self.max_keys, self.idle_time),
            self.admits_without_key,
        ));
        registry::register(&shared);
        Ok(KeyedRateLimit { shared })
    }
}
