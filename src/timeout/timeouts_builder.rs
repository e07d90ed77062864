use std::time::Duration;

use super::{TimeoutSettings, Timeouts};
use crate::call::{ConfigError, Label};

/// Builder of [`Timeouts`]; made by [`Timeouts::builder`].
#[derive(Clone, Debug)]
pub struct TimeoutsBuilder {
    name: Label,
    settings: TimeoutSettings,
}

impl TimeoutsBuilder {
    pub(super) fn new(name: Label) -> Self {
        TimeoutsBuilder {
            name,
            settings: TimeoutSettings::default(),
        }
    }

    /// Takes over both limits, the defaults included: setters before this one have no effect, later ones override.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::{TimeoutSettings, Timeouts};
    ///
    /// let mut settings = TimeoutSettings::default(); // or from a file
    /// settings.attempt = Some(Duration::from_secs(2));
    /// let timeouts = Timeouts::builder("payments").settings(&settings).build()?;
    /// assert_eq!(timeouts.attempt().get(), Duration::from_secs(2));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn settings(mut self, settings: &TimeoutSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// Sets the limit of one attempt. Must be above zero and at most the total. Default: 10 s, or the total if that is
    /// shorter, so that three attempts fit into the default total.
    #[must_use]
    pub fn attempt(mut self, time: Duration) -> Self {
        self.settings.attempt = Some(time);
        self
    }

    /// Sets the limit of all attempts together. Must be above zero. Default: 30 s, which people and load balancers wait for.
    #[must_use]
    pub fn total(mut self, time: Duration) -> Self {
        self.settings.total = time;
        self
    }

    /// Builds the limits.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the invalid limit.
    pub fn build(self) -> Result<Timeouts, ConfigError> {
        self.settings.check(self.name.as_str())?;
        Ok(Timeouts::from_settings(self.name, self.settings))
    }
}
