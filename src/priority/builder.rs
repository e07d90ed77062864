use std::time::Duration;

use super::{Prioritizer, PrioritizerSettings};
use crate::{
    call::{ConfigError, Label},
    context::PriorityClass,
};

/// A builder of prioritizers; made by [`Prioritizer::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct PrioritizerBuilder {
    name: Label,
    settings: PrioritizerSettings,
    seed: Option<u64>,
}

impl PrioritizerBuilder {
    pub(super) fn new(name: Label) -> Self {
        PrioritizerBuilder {
            name,
            settings: PrioritizerSettings::default(),
            seed: None,
        }
    }

    /// Sets all [settings](PrioritizerSettings) at once. Setters that follow override them.
    pub fn settings(mut self, settings: &PrioritizerSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// Sets the class of calls that have no priority. Default: normal, so that callers who say nothing are shed neither first nor
    /// last.
    pub fn default_class(mut self, class: PriorityClass) -> Self {
        self.settings.default_class = class;
        self
    }

    /// Sets what a class gets in any case: this part of what it would get if no call had a priority.
    ///
    /// A floor of 0.05 serves a sixtieth of the lowest class if a third of all calls can be served. A higher one takes more from the other
    /// classes. 0 sheds a class wholly. Must be 0 to 0.5. Default: 0.05: enough to see that a class is alive.
    pub fn floor(mut self, fraction: f64) -> Self {
        self.settings.floor = fraction;
        self
    }

    /// Sets how many calls are admitted for each one that gets through.
    ///
    /// Lower sheds more exactly what does not get through, and finds out later that there is room again: what is admitted grows by this
    /// factor with each window, so that after 3 times the load it takes `ln 3 / ln factor` windows, 3 at 1.5, 2 at 2, 12 at 1.1. Where what is further in goes by the priority as well, the rest is of the lowest
    /// priority; where it does not (a bulkhead without a queue, a peer), use 1.1. Must be 1 to 100. Default: 1.5.
    pub fn factor(mut self, factor: f64) -> Self {
        self.settings.factor = factor;
        self
    }

    /// Sets for how long calls count. Shorter follows the load sooner. Must be 100 ms to 1 h. Default: 2 s.
    pub fn window(mut self, window: Duration) -> Self {
        self.settings.window = window;
        self
    }

    /// Sets the largest fraction of calls that is shed. The rest finds out that there is room again. Must be 0 to 1. Default: 0.95.
    pub fn max_shed_rate(mut self, fraction: f64) -> Self {
        self.settings.max_shed_rate = fraction;
        self
    }

    /// Sets the number of calls in the window below which none is shed. Must be 1 to 1,000,000. Default: 20, since fewer say little.
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.settings.min_calls = calls;
        self
    }

    /// Sets shadow mode: calls that would be shed are counted, and admitted. Default: off.
    pub fn shadow(mut self, on: bool) -> Self {
        self.settings.shadow = on;
        self
    }

    /// Sets the seed of the draws, so that a test on one thread sees the same calls shed each time. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks the settings, and creates the prioritizer.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    ///
    /// ```
    /// use tower_keep::priority::Prioritizer;
    ///
    /// let error = Prioritizer::builder("orders").floor(5.0).build().unwrap_err();
    /// assert_eq!(error.to_string(), r#"prioritizer "orders": floor is 5, must be 0 to 0.5 (a fraction)"#);
    /// ```
    pub fn build(self) -> Result<Prioritizer, ConfigError> {
        self.settings.check(self.name.as_str())?;
        Ok(Prioritizer::from_settings(
            self.name,
            self.settings,
            self.seed,
        ))
    }
}
