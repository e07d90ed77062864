use std::{fmt, hash::Hash, marker::PhantomData};

use super::{KeyedBreaker, KeyedShared};
use crate::{
    breaker::{CircuitBreakerBuilder, validate::invalid},
    call::ConfigError,
    registry,
};

/// Enough for thousands of hosts or tenants that come and go; each key costs about 1 KiB.
const DEFAULT_MAX_KEYS: usize = 1_000;
/// All keys are ranked when one has to be evicted, which must not take long.
const MAX_KEYS: usize = 100_000;

/// A builder of keyed breakers; made by [`KeyedBreaker::builder`].
#[must_use]
pub struct KeyedBreakerBuilder<K> {
    template: CircuitBreakerBuilder,
    max_keys: usize,
    keys: PhantomData<fn(K)>,
}

impl<K> KeyedBreakerBuilder<K> {
    pub(super) fn new(template: CircuitBreakerBuilder) -> Self {
        KeyedBreakerBuilder {
            template,
            max_keys: DEFAULT_MAX_KEYS,
            keys: PhantomData,
        }
    }

    /// Sets the maximum number of keys, 1 to 100,000.
    ///
    /// Should be more than there are keys in use: a key that returns after its eviction starts again, closed.
    /// Default: 1,000; each costs about 1 KiB.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// Checks the settings, and creates the set of breakers.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub fn build(self) -> Result<KeyedBreaker<K>, ConfigError>
    where
        K: Hash + Eq + fmt::Display + Send + 'static,
    {
        let config = self.template.validated()?;
        if !(1..=MAX_KEYS).contains(&self.max_keys) {
            let name = self.template.name.as_str();
            return Err(invalid(name, "max_keys", self.max_keys, "1 to 100000"));
        }
        let shared = KeyedShared::new(self.template, config, self.max_keys);
        registry::register(&shared);
        Ok(KeyedBreaker { shared })
    }
}

impl<K> fmt::Debug for KeyedBreakerBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBreakerBuilder")
            .field("template", &self.template)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
