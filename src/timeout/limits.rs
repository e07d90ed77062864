use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{TimeLimit, TimeLimitsBuilder};

/// Named time limits, with a default for other names and bounds for all.
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
/// limits.get("llm").set(Duration::from_secs(60)); // applies to the layer at once
/// assert_eq!(layer.limit().get(), Duration::from_secs(60));
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
///
/// # Clones
///
/// Clones are the same limits.
#[derive(Clone, Debug)]
pub struct TimeLimits {
    pub(super) table: Arc<LimitTable>,
}

#[derive(Debug)]
pub(super) struct LimitTable {
    pub(super) limits: BTreeMap<String, TimeLimit>,
    pub(super) default_limit: TimeLimit,
    pub(super) min: Duration,
    pub(super) max: Duration,
}

static GLOBAL: OnceLock<TimeLimits> = OnceLock::new();

impl TimeLimits {
    /// Returns a builder with the presets: `cache` 1 s, `db` 5 s, `http` 10 s, `queue` 10 s, `file` 30 s, `llm` 120 s.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::TimeLimits;
    ///
    /// let limits = TimeLimits::builder().set("db", Duration::from_secs(2)).build()?;
    /// # let _ = limits;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder() -> TimeLimitsBuilder {
        TimeLimitsBuilder::new()
    }

    /// Returns the limits of the process: those that were [set](Self::set_global), else the presets.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::TimeLimits;
    ///
    /// assert_eq!(TimeLimits::global().get("cache").get(), Duration::from_secs(1));
    /// ```
    pub fn global() -> &'static TimeLimits {
        GLOBAL.get_or_init(|| TimeLimits::builder().build_unchecked())
    }

    /// Makes these the limits of the process. Works once, before the first call of [`global`](Self::global).
    ///
    /// # Errors
    ///
    /// Returns the limits if the process has some already.
    pub fn set_global(self) -> Result<(), TimeLimits> {
        GLOBAL.set(self)
    }

    /// Returns the limit with this name. All names without a limit of their own share one, called `otherwise`.
    ///
    /// The [registry](crate::registry) lists a preset, or `otherwise`, once it was returned from here or has ended a call;
    /// those that were [set](TimeLimitsBuilder::set) at once.
    pub fn get(&self, name: &str) -> TimeLimit {
        let found = self.table.limits.get(name);
        let limit = found.unwrap_or(&self.table.default_limit);
        limit.list();
        limit.clone()
    }

    /// Returns every limit by name, and the one for other names last.
    pub fn iter(&self) -> impl Iterator<Item = &TimeLimit> {
        let table = &*self.table;
        // The map is sorted by name.
        table.limits.values().chain([&table.default_limit])
    }

    /// Clamps a time to the bounds.
    pub fn clamp(&self, time: Duration) -> Duration {
        time.clamp(self.table.min, self.table.max)
    }
}
