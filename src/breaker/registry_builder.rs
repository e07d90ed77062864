use std::{fmt, sync::Arc};

use super::{BreakerRegistry, CircuitBreaker, CircuitBreakerBuilder};
use crate::call::ConfigError;

/// A metrics backend can hold this many series for one metric.
const DEFAULT_MAX_NAMES: usize = 1_000;

pub(super) type BreakerFactory = Arc<dyn Fn(&str) -> CircuitBreakerBuilder + Send + Sync>;

/// A builder of breaker registries; made by [`BreakerRegistry::builder`].
#[must_use]
pub struct BreakerRegistryBuilder {
    factory: BreakerFactory,
    template: Option<CircuitBreakerBuilder>,
    max_names: usize,
}

impl BreakerRegistryBuilder {
    pub(super) fn new() -> Self {
        BreakerRegistryBuilder {
            factory: Arc::new(|_| CircuitBreaker::builder("")),
            template: None,
            max_names: DEFAULT_MAX_NAMES,
        }
    }

    /// Sets the settings of new breakers, which get names of their own. Default: the default settings.
    pub fn template(mut self, template: CircuitBreakerBuilder) -> Self {
        self.template = Some(template);
        self
    }

    /// Sets a closure that returns the settings of a new breaker by its name. The breaker gets that name, not the builder's.
    ///
    /// If the settings are invalid or the closure panics, that is logged, and the breaker gets the default settings.
    /// Default: the default settings.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, breaker::BreakerRegistry};
    ///
    /// let breakers = BreakerRegistry::builder()
    ///     .factory(|name| match name {
    ///         "payments" => CircuitBreaker::builder("").failure_rate(0.2),
    ///         _ => CircuitBreaker::builder(""),
    ///     })
    ///     .build()?;
    /// assert_eq!(breakers.get_or_create("payments").name(), "payments");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn factory(
        mut self,
        factory: impl Fn(&str) -> CircuitBreakerBuilder + Send + Sync + 'static,
    ) -> Self {
        // The later of the two settings holds.
        self.template = None;
        self.factory = Arc::new(factory);
        self
    }

    /// Sets the maximum number of names. Default: 1,000; each is a handful of metric series.
    pub fn max_names(mut self, names: usize) -> Self {
        self.max_names = names;
        self
    }

    /// Checks the template, and creates the registry.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting of the template that is invalid, or `max_names` if that is 0.
    pub fn build(self) -> Result<BreakerRegistry, ConfigError> {
        if self.max_names == 0 {
            let error = ConfigError::new("breaker registry", "max_names", 0, "at least 1");
            return Err(error);
        }
        let factory = match self.template {
            None => self.factory,
            Some(template) => {
                // Checked once, here: a breaker that is created later would fall back to the default settings.
                template.validated()?;
                Arc::new(move |_: &str| template.clone())
            }
        };
        Ok(BreakerRegistry::from_config(factory, self.max_names))
    }
}

impl fmt::Debug for BreakerRegistryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerRegistryBuilder")
            .field("template", &self.template)
            .field("max_names", &self.max_names)
            .finish_non_exhaustive()
    }
}
