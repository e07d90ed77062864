use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{TimeLimit, TimeLimits, limits::LimitTable};
use crate::call::{ConfigError, Label};

/// Limits for common dependencies. A database that has not responded in 5 s holds up a pool; a language model may take two
/// minutes.
const PRESETS: [(&str, Duration); 6] = [
    ("cache", Duration::from_secs(1)),
    ("db", Duration::from_secs(5)),
    ("file", Duration::from_secs(30)),
    ("http", Duration::from_secs(10)),
    ("llm", Duration::from_secs(120)),
    ("queue", Duration::from_secs(10)),
];
/// The name of the limit for all other names.
const DEFAULT_NAME: &str = "otherwise";
/// The time that people and load balancers wait for.
const DEFAULT_LIMIT: Duration = Duration::from_secs(30);
/// The resolution of timers.
const MIN_LIMIT: Duration = Duration::from_millis(1);
/// Longer than any caller waits.
const MAX_LIMIT: Duration = Duration::from_secs(600);

/// Builder of [`TimeLimits`]; made by [`TimeLimits::builder`].
#[derive(Clone, Debug)]
pub struct TimeLimitsBuilder {
    limits: BTreeMap<String, Duration>,
    /// The names that the application has set.
    configured: BTreeSet<String>,
    default_limit: Duration,
    min: Duration,
    max: Duration,
}

impl TimeLimitsBuilder {
    pub(super) fn new() -> Self {
        let limits = PRESETS.map(|(name, time)| (name.to_owned(), time));
        TimeLimitsBuilder {
            limits: limits.into(),
            configured: BTreeSet::new(),
            default_limit: DEFAULT_LIMIT,
            min: MIN_LIMIT,
            max: MAX_LIMIT,
        }
    }

    /// Adds or changes a limit. That of the name `otherwise` is the [default limit](Self::default_limit).
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, time: Duration) -> Self {
        let name = name.into();
        self.configured.insert(name.clone());
        if name == DEFAULT_NAME {
            return self.default_limit(time);
        }
        self.limits.insert(name, time);
        self
    }

    /// Sets the limit for other names. Default: 30 s, which people and load balancers wait for.
    #[must_use]
    pub fn default_limit(mut self, time: Duration) -> Self {
        self.default_limit = time;
        self
    }

    /// Sets the shortest limit, to which shorter ones are raised. Must be greater than zero. Default: 1 ms, the resolution
    /// of timers.
    #[must_use]
    pub fn min(mut self, time: Duration) -> Self {
        self.min = time;
        self
    }

    /// Sets the longest limit, to which longer ones are lowered. Default: 10 minutes, so that a mistake in a configuration
    /// does not hold calls forever.
    #[must_use]
    pub fn max(mut self, time: Duration) -> Self {
        self.max = time;
        self
    }

    /// Builds the limits. Limits outside of the bounds are clamped.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a bound is invalid.
    pub fn build(self) -> Result<TimeLimits, ConfigError> {
        let error = |field, time, expected| {
            ConfigError::new("time limits", field, format!("{time:?}"), expected)
        };
        if self.min.is_zero() {
            return Err(error("min", self.min, "greater than zero".to_owned()));
        }
        if self.max < self.min {
            let expected = format!("at least min, {:?}", self.min);
            return Err(error("max", self.max, expected));
        }
        Ok(self.build_unchecked())
    }

    pub(super) fn build_unchecked(self) -> TimeLimits {
        let limit = |name: Label, time| TimeLimit::bounded(name, time, self.min, self.max);
        let named = |(name, time): (String, Duration)| (name.clone(), limit(name.into(), time));
        let limits = TimeLimits {
            table: Arc::new(LimitTable {
                default_limit: limit(DEFAULT_NAME.into(), self.default_limit),
                limits: self.limits.into_iter().map(named).collect(),
                min: self.min,
                max: self.max,
                applying: Mutex::new(()),
            }),
        };
        // The others are listed once they are used: most programs need few of the presets.
        for name in &self.configured {
            limits.get(name);
        }
        limits
    }
}
