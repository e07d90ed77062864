use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use super::{TimeLimit, TimeLimitsBuilder, TimeLimitsSettings};
use crate::{
    call::ConfigError,
    util::{hook::catch_hook, setting_changes::SettingChanges, text::display_bounded},
};

const COMPONENT: &str = "time limits";
/// Longest name of a limit that an error shows, in bytes.
const MAX_SHOWN_NAME: usize = 128;
/// Longest list of names that an error shows, in bytes.
const MAX_SHOWN_NAMES: usize = 1_024;

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
    /// Held while several limits are changed.
    pub(super) applying: Mutex<()>,
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

    /// Changes all limits while they are in use, for calls that begin later: those that the settings do not name become what
    /// they were built with, also if they were [set](TimeLimit::set) meanwhile.
    ///
    /// One `INFO` event of the target `tower_keep::timeout` has what has changed; none if nothing has.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::{TimeLimits, TimeLimitsSettings};
    ///
    /// let limits = TimeLimits::builder().build()?;
    /// let mut settings = TimeLimitsSettings::default(); // or from a file
    /// settings.limits.insert("db".to_owned(), Duration::from_secs(2));
    /// limits.apply(&settings)?;
    /// assert_eq!(limits.get("db").get(), Duration::from_secs(2));
    ///
    /// limits.apply(&TimeLimitsSettings::default())?;
    /// assert_eq!(limits.get("db").get(), Duration::from_secs(5));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a name has no limit of its own here, or a time is out of the bounds; nothing is changed then. Its
    /// [field](ConfigError::field) is `limits`, and its text has the name.
    pub fn apply(&self, settings: &TimeLimitsSettings) -> Result<(), ConfigError> {
        self.validate(settings)?;
        self.report_applied(&self.set_all(settings));
        Ok(())
    }

    fn validate(&self, settings: &TimeLimitsSettings) -> Result<(), ConfigError> {
        let (min, max) = (self.table.min, self.table.max);
        for (name, time) in &settings.limits {
            let shown = display_bounded(format_args!("{name:?}"), MAX_SHOWN_NAME);
            if !self.iter().any(|limit| limit.name() == name) {
                let names: Vec<_> = self.iter().map(TimeLimit::name).collect();
                let expected = format!("limits of {}", names.join(", "));
                let expected = display_bounded(expected, MAX_SHOWN_NAMES);
                return Err(ConfigError::new(COMPONENT, "limits", shown, expected));
            }
            if !(min..=max).contains(time) {
                let value = format!("{time:?} for {shown}");
                let expected = format!("{min:?} to {max:?}");
                return Err(ConfigError::new(COMPONENT, "limits", value, expected));
            }
        }
        Ok(())
    }

    fn set_all(&self, settings: &TimeLimitsSettings) -> SettingChanges {
        // Held to the end, so that the limits of two changes do not mix. Nothing panics under it.
        let applying = self.table.applying.lock();
        let _applying = applying.unwrap_or_else(PoisonError::into_inner);
        let mut changes = SettingChanges::default();
        for limit in self.iter() {
            let before = limit.get();
            let time = settings.limits.get(limit.name()).copied();
            limit.store(time.unwrap_or(limit.initial()));
            changes.compare(limit.name(), &before, &limit.get());
            if time.is_some() {
                // As one that was set in the builder.
                limit.list();
            }
        }
        changes
    }

    fn report_applied(&self, changes: &SettingChanges) {
        if changes.is_empty() {
            return;
        }
        catch_hook(|| {
            tracing::info!(
                target: "tower_keep::timeout",
                changes = &*changes.text(),
                "time limit settings applied"
            );
        });
    }

    /// Clamps a time to the bounds.
    pub fn clamp(&self, time: Duration) -> Duration {
        time.clamp(self.table.min, self.table.max)
    }
}
