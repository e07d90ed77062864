use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::TimeLimit;
use crate::call::{ConfigError, Label};

/// What most services wait for, and for how long. A database that has not answered in 5 s holds up a pool; a
/// language model may think for two minutes.
const PRESETS: [(&str, Duration); 6] = [
    ("cache", Duration::from_secs(1)),
    ("db", Duration::from_secs(5)),
    ("file", Duration::from_secs(30)),
    ("http", Duration::from_secs(10)),
    ("llm", Duration::from_secs(120)),
    ("queue", Duration::from_secs(10)),
];
const DEFAULT_LIMIT: Duration = Duration::from_secs(30);
const MIN_LIMIT: Duration = Duration::from_millis(1);
const MAX_LIMIT: Duration = Duration::from_secs(600);

/// A table of named time limits, with a default for names that are not in it, and bounds for all.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::timeout::{TimeLimits, TimeoutLayer};
///
/// let limits = TimeLimits::builder()
///     .set("db", Duration::from_secs(2))
///     .set("reports", Duration::from_secs(3_600))
///     .max(Duration::from_secs(300))
///     .build()?;
/// assert_eq!(limits.get("db").get(), Duration::from_secs(2));
/// assert_eq!(limits.get("reports").get(), Duration::from_secs(300)); // clamped
/// assert_eq!(limits.get("unheard of").get(), Duration::from_secs(30));
///
/// let layer = TimeoutLayer::any(limits.get("llm"));
/// limits.get("llm").set(Duration::from_secs(60)); // the layer goes by it at once
/// assert_eq!(layer.limit().get(), Duration::from_secs(60));
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
///
/// # Clones
///
/// Clones are the same table.
#[derive(Clone, Debug)]
pub struct TimeLimits {
    table: Arc<LimitTable>,
}

#[derive(Debug)]
struct LimitTable {
    limits: BTreeMap<String, TimeLimit>,
    default_limit: TimeLimit,
    min: Duration,
    max: Duration,
}

static GLOBAL: OnceLock<TimeLimits> = OnceLock::new();

impl TimeLimits {
    /// Begins with the standard limits: `cache` 1 s, `db` 5 s, `http` 10 s, `queue` 10 s, `file` 30 s, `llm` 120 s.
    pub fn builder() -> TimeLimitsBuilder {
        let limits = PRESETS.map(|(name, time)| (name.to_owned(), time));
        TimeLimitsBuilder {
            limits: limits.into(),
            default_limit: DEFAULT_LIMIT,
            min: MIN_LIMIT,
            max: MAX_LIMIT,
        }
    }

    /// The table of the process: the one that was [installed](Self::set_global), else the standard limits.
    pub fn global() -> &'static TimeLimits {
        GLOBAL.get_or_init(|| TimeLimits::builder().build_unchecked())
    }

    /// Makes this the table of the process, once, before anybody has asked for it.
    ///
    /// # Errors
    ///
    /// Gives the table back if there is one already.
    pub fn set_global(self) -> Result<(), TimeLimits> {
        GLOBAL.set(self)
    }

    /// The limit of that name. All names that are not in the table share one, called `otherwise`.
    pub fn get(&self, name: &str) -> TimeLimit {
        let found = self.table.limits.get(name);
        found.unwrap_or(&self.table.default_limit).clone()
    }

    /// Every limit, by name; the one for other names is the last.
    pub fn iter(&self) -> impl Iterator<Item = &TimeLimit> {
        let table = &*self.table;
        table.limits.values().chain([&table.default_limit])
    }

    /// Brings a time within the bounds of the table.
    pub fn clamp(&self, time: Duration) -> Duration {
        time.clamp(self.table.min, self.table.max)
    }
}

/// Settings of [`TimeLimits`].
#[derive(Clone, Debug)]
pub struct TimeLimitsBuilder {
    limits: BTreeMap<String, Duration>,
    default_limit: Duration,
    min: Duration,
    max: Duration,
}

impl TimeLimitsBuilder {
    /// Adds or changes a limit.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, time: Duration) -> Self {
        self.limits.insert(name.into(), time);
        self
    }

    /// The limit for names that are not in the table. Default: 30 s.
    #[must_use]
    pub fn default_limit(mut self, time: Duration) -> Self {
        self.default_limit = time;
        self
    }

    /// No limit is shorter; one that is set so becomes this. Must not be zero. Default: 1 ms, the resolution of timers.
    #[must_use]
    pub fn min(mut self, time: Duration) -> Self {
        self.min = time;
        self
    }

    /// No limit is longer; one that is set so becomes this. Default: 10 minutes, so that a slip in a configuration
    /// does not hold calls for ever.
    #[must_use]
    pub fn max(mut self, time: Duration) -> Self {
        self.max = time;
        self
    }

    /// Makes the table.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the bounds make no sense. Limits beyond them are clamped, not refused.
    pub fn build(self) -> Result<TimeLimits, ConfigError> {
        if self.min.is_zero() {
            let must = "longer than nothing";
            return Err(ConfigError::new("time limits", "at_least", "0ns", must));
        }
        if self.max < self.min {
            let (got, must) = (
                format!("{:?}", self.max),
                format!("at least {:?}, which is at_least", self.min),
            );
            return Err(ConfigError::new("time limits", "at_most", got, must));
        }
        Ok(self.build_unchecked())
    }

    fn build_unchecked(self) -> TimeLimits {
        let (least, most) = (self.min, self.max);
        let limit = |name: Label, time| TimeLimit::bounded(name, time, least, most);
        let named = |(name, time): (String, Duration)| (name.clone(), limit(name.into(), time));
        TimeLimits {
            table: Arc::new(LimitTable {
                default_limit: limit("otherwise".into(), self.default_limit),
                limits: self.limits.into_iter().map(named).collect(),
                min: least,
                max: most,
            }),
        }
    }
}
