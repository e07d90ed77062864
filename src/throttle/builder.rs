use std::time::Duration;

use super::{Throttle, ThrottleAccounting, ThrottleSettings};
use crate::call::{ConfigError, Label};

/// A builder of throttles; made by [`Throttle::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ThrottleBuilder {
    name: Label,
    settings: ThrottleSettings,
    seed: Option<u64>,
}

impl ThrottleBuilder {
    pub(super) fn new(name: Label) -> Self {
        ThrottleBuilder {
            name,
            settings: ThrottleSettings::default(),
            seed: None,
        }
    }

    /// Sets all [settings](ThrottleSettings) at once. Setters that follow override them.
    ///
    /// ```
    /// use tower_keep::throttle::{Throttle, ThrottleSettings};
    ///
    /// let mut settings = ThrottleSettings::default();
    /// settings.factor = 1.5;
    /// let throttle = Throttle::builder("ledger").settings(&settings).min_calls(50).build()?;
    /// assert_eq!((throttle.settings().factor, throttle.settings().min_calls), (1.5, 50));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn settings(mut self, settings: &ThrottleSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// Sets how many calls are sent for each one that the peer serves.
    ///
    /// Lower rejects sooner and finds out later that the peer can do more: at 1.1, a peer gets a tenth more than it can do. Must be 1
    /// to 100. Default: 2, as in the SRE book.
    pub fn factor(mut self, factor: f64) -> Self {
        self.settings.factor = factor;
        self
    }

    /// Sets for how long calls count.
    ///
    /// Shorter recovers sooner; it must be longer than calls last. Must be 100 ms to 1 h. Default: 30 s, with which an outage of
    /// minutes is forgotten within a minute; the SRE book has 2 minutes.
    pub fn window(mut self, window: Duration) -> Self {
        self.settings.window = window;
        self
    }

    /// Sets the largest fraction of calls that is rejected.
    ///
    /// The rest finds out that the peer is back: with 1, an outage of which no success is remembered would never end. Must be 0 to 1.
    /// Default: 0.9.
    pub fn max_rejection_rate(mut self, fraction: f64) -> Self {
        self.settings.max_rejection_rate = fraction;
        self
    }

    /// Sets the number of calls in the window below which none is rejected. Must be 1 to 1,000,000. Default: 10, since fewer say
    /// little.
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.settings.min_calls = calls;
        self
    }

    /// Sets which calls count; see [`ThrottleAccounting`]. With those that were admitted only, a factor of 1.1 is usual. Default: all.
    pub fn accounting(mut self, accounting: ThrottleAccounting) -> Self {
        self.settings.accounting = accounting;
        self
    }

    /// Sets shadow mode: calls that would be rejected are counted, and admitted. Default: off.
    pub fn shadow(mut self, on: bool) -> Self {
        self.settings.shadow = on;
        self
    }

    /// Sets the seed of the draws, so that a test sees the same calls rejected each time. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks the settings, and creates the throttle.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub fn build(self) -> Result<Throttle, ConfigError> {
        self.settings.check(self.name.as_str())?;
        Ok(Throttle::from_settings(self.name, self.settings, self.seed))
    }
}
