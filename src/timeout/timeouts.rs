use std::sync::{Arc, Mutex, PoisonError};

use super::{TimeLimit, TimeoutSettings, TimeoutsBuilder};
use crate::{
    call::{ConfigError, Label},
    util::{hook::catch_hook, setting_changes::SettingChanges},
};

/// The two time limits of calls that are retried: for each attempt, and for all attempts together.
///
/// ```
/// use std::time::Duration;
/// use tower::ServiceBuilder;
/// use tower_keep::{retry::{Retry, RetryLayer}, timeout::{TimeoutLayer, Timeouts}};
///
/// let timeouts = Timeouts::builder("payments").attempt(Duration::from_secs(2)).build()?;
/// let layers = ServiceBuilder::new()
///     .layer(TimeoutLayer::client(timeouts.total()))
///     .layer(RetryLayer::client(Retry::new("payments")))
///     .layer(TimeoutLayer::client(timeouts.attempt()));
/// # let _ = layers;
///
/// let error = Timeouts::builder("payments").attempt(Duration::from_secs(60)).build().unwrap_err();
/// assert_eq!(error.to_string(), r#"timeouts "payments": attempt is 60s, must be above 0 and at most total, 30s"#);
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
///
/// # Clones
///
/// Clones are the same limits.
#[derive(Clone, Debug)]
pub struct Timeouts {
    name: Label,
    attempt: TimeLimit,
    total: TimeLimit,
    /// The settings that were applied last. Held while both limits are changed.
    applied: Arc<Mutex<TimeoutSettings>>,
}

impl Timeouts {
    /// Creates limits with the defaults: 10 s for an attempt, 30 s in total.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::Timeouts;
    ///
    /// let timeouts = Timeouts::new("payments");
    /// assert_eq!(timeouts.attempt().get(), Duration::from_secs(10));
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        let defaults = Timeouts::builder(name).build();
        defaults.expect("default timeouts are valid")
    }

    /// Returns a builder with the defaults: 10 s for an attempt, 30 s in total.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::Timeouts;
    ///
    /// let timeouts = Timeouts::builder("payments").total(Duration::from_secs(5)).build()?;
    /// assert_eq!(timeouts.attempt().get(), Duration::from_secs(5));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> TimeoutsBuilder {
        TimeoutsBuilder::new(name.into())
    }

    /// Creates limits from settings that are valid.
    pub(super) fn from_settings(name: Label, settings: TimeoutSettings) -> Self {
        let total = TimeLimit::new(format!("{name}.total"), settings.total);
        let attempt = settings.effective_attempt();
        Timeouts {
            attempt: TimeLimit::capped_by(format!("{name}.attempt"), attempt, &total),
            name,
            total,
            applied: Arc::new(Mutex::new(settings)),
        }
    }

    /// Changes both limits while they are in use, for calls and attempts that begin later.
    ///
    /// No attempt is ever given more than the total of the moment; one inside of a call that has begun with a shorter total
    /// still ends with that. Limits that were [set](TimeLimit::set) by themselves are changed as well. Counts and metrics go
    /// on.
    ///
    /// One `INFO` event of the target `tower_keep::timeout` has what has changed; none if nothing has.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::{TimeoutSettings, Timeouts};
    ///
    /// let timeouts = Timeouts::new("payments");
    /// let mut settings = TimeoutSettings::default(); // or from a file
    /// settings.total = Duration::from_secs(5);
    /// timeouts.apply(&settings)?;
    /// assert_eq!(timeouts.attempt().get(), Duration::from_secs(5));
    ///
    /// settings.attempt = Some(Duration::from_secs(60));
    /// let error = timeouts.apply(&settings).unwrap_err();
    /// assert_eq!(error.to_string(), r#"timeouts "payments": attempt is 60s, must be above 0 and at most total, 5s"#);
    /// assert_eq!(timeouts.attempt().get(), Duration::from_secs(5));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the invalid limit; neither is changed then.
    pub fn apply(&self, settings: &TimeoutSettings) -> Result<(), ConfigError> {
        settings.check(self.name.as_str())?;
        self.report_applied(&self.set_both(settings));
        Ok(())
    }

    /// Returns the settings that were applied last, or built. Does not show limits that were [set](TimeLimit::set) by
    /// themselves.
    pub fn settings(&self) -> TimeoutSettings {
        let applied = self.applied.lock();
        applied.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_both(&self, settings: &TimeoutSettings) -> SettingChanges {
        // Held to the end, so that the limits of two changes do not mix. Nothing panics under it.
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let (attempt, total) = (self.attempt.get(), self.total.get());
        // A longer total first, so that an attempt is not cut short by the former one. In any order the attempt stays
        // within the total, since each reading of it is capped.
        if settings.total > total {
            self.total.store(settings.total);
            self.attempt.store(settings.effective_attempt());
        } else {
            self.attempt.store(settings.effective_attempt());
            self.total.store(settings.total);
        }
        *applied = settings.clone();
        let mut changes = SettingChanges::default();
        // As they are, whatever they were set to in between.
        changes.compare("attempt", &attempt, &self.attempt.get());
        changes.compare("total", &total, &self.total.get());
        changes
    }

    fn report_applied(&self, changes: &SettingChanges) {
        if changes.is_empty() {
            return;
        }
        catch_hook(|| {
            tracing::info!(
                target: "tower_keep::timeout",
                timeouts = self.name.as_str(),
                changes = &*changes.text(),
                "time limit settings applied"
            );
        });
    }

    /// Returns the limit of one attempt, for a layer inside of the retry. Its name is that of the timeouts and `.attempt`.
    ///
    /// Never exceeds the total, even if that is lowered later.
    pub fn attempt(&self) -> TimeLimit {
        self.attempt.clone()
    }

    /// Returns the limit of all attempts and the waits between them, for a layer outside of the retry. Its name is that of
    /// the timeouts and `.total`.
    pub fn total(&self) -> TimeLimit {
        self.total.clone()
    }
}
