use std::{
    fmt,
    hash::Hash,
    sync::{Arc, PoisonError},
};

use tokio::time::Instant;

use super::eviction_rank::EvictionRank;
use crate::{
    breaker::{
        CircuitBreaker, CircuitBreakerBuilder, breaker_metrics::BreakerMetrics,
        config::BreakerConfig, report::Reporter, settings_log::log_applied,
        settings_version::Versioned,
    },
    call::Label,
    util::{
        ranked_lru::RankedLru,
        sync::{Mutex, MutexGuard},
        text::clean_text,
    },
};

/// The maximum length of a key in logs, in bytes.
const MAX_KEY_TEXT: usize = 128;

/// The keyed breaker behind all of its handles.
pub(super) struct KeyedShared<K> {
    pub(super) max_keys: usize,
    map: Mutex<RankedLru<K, CircuitBreaker>>,
    pub(super) metrics: Arc<BreakerMetrics>,
    /// The settings of the breakers of all keys.
    template: Mutex<Versioned<BreakerConfig>>,
    /// Hooks, switch and seed, which are no settings. Dropped last: it may hold the last handle of a switch, which then notifies all breakers that are
    /// still alive.
    builder: CircuitBreakerBuilder,
}

impl<K: Hash + Eq> KeyedShared<K> {
    pub(super) fn new(
        builder: CircuitBreakerBuilder,
        config: BreakerConfig,
        max_keys: usize,
    ) -> Arc<Self> {
        let metrics = BreakerMetrics::new_keyed(&builder.name);
        // Shows the gauges, at zero, before there is any key.
        metrics.report_state();
        Arc::new(KeyedShared {
            max_keys,
            map: Mutex::new(RankedLru::new(max_keys)),
            metrics,
            template: Mutex::new(Versioned::initial(config)),
            builder,
        })
    }

    /// Applies settings to all keys, and to those to come. Logs once what they have changed.
    pub(super) fn apply(&self, config: BreakerConfig) {
        let (before, version) = self.lock_template().replace(config.clone());
        let before = before.settings;
        // After the template: a key that is inserted from now on looks at its version.
        let breakers = self.breakers();
        let changed = breakers
            .iter()
            .filter(|breaker| breaker.shared.apply(version, &config).is_some());
        let keys = changed.count();
        if keys > 0 || before != config.settings {
            let changes = before.changes(&config.settings);
            log_applied(self.metrics.name(), None, Some(keys), &changes);
        }
    }

    /// Resets the breakers of all keys.
    pub(super) fn reset_all(&self) {
        // Without the lock: a reset is reported to subscribers and to the log.
        self.breakers().iter().for_each(CircuitBreaker::reset);
    }

    fn breakers(&self) -> Vec<CircuitBreaker> {
        let map = self.lock_map();
        map.iter().map(|entry| entry.1.clone()).collect()
    }

    /// Creates the breaker of a new key, and evicts others for it if there are too many.
    #[cold]
    pub(super) fn insert_new(&self, key: K) -> CircuitBreaker
    where
        K: fmt::Display,
    {
        // Before the lock: a new breaker registers with its switch, which may have a transition reported.
        let reporter = Reporter::new_keyed(&self.metrics, key_text(&key));
        let (config, version) = self.config();
        let created = CircuitBreaker::new_keyed(self.builder.clone(), config, reporter);
        let evicted = {
            let mut map = self.lock_map();
            // Another thread may have been faster.
            if let Some(breaker) = map.get(&key) {
                return breaker.clone();
            }
            // Read once at most, and only if a key has to go.
            let mut now = None;
            map.insert(key, created.clone(), |breaker| {
                EvictionRank::of(breaker, *now.get_or_insert_with(Instant::now))
            })
        };
        // Settings that were applied since to the keys of then have missed this one.
        let (config, latest) = self.config();
        if latest != version {
            created.shared.apply(latest, &config);
        }
        self.count(&created, &evicted);
        created
    }
}

impl<K> KeyedShared<K> {
    /// Returns the settings of new keys, and their version.
    fn config(&self) -> (BreakerConfig, u64) {
        let template = self.lock_template();
        (template.value.clone(), template.version)
    }

    /// Counts the breaker of a new key in, and those of evicted keys out. Must not be called under the lock: recorders are
    /// user code.
    fn count(&self, created: &CircuitBreaker, evicted: &[CircuitBreaker]) {
        // In the state of now: changes before this are not in the counts.
        let core = &created.shared.core;
        core.reporter.add(|| core.state());
        if !evicted.is_empty() {
            let reporters = evicted.iter().map(|breaker| &breaker.shared.core.reporter);
            self.metrics
                .remove_all(reporters.map(Reporter::counted_state));
            self.metrics.count_evictions(evicted.len());
        }
    }

    pub(super) fn lock_template(&self) -> MutexGuard<'_, Versioned<BreakerConfig>> {
        self.template.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_map(&self) -> MutexGuard<'_, RankedLru<K, CircuitBreaker>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Drop for KeyedShared<K> {
    fn drop(&mut self) {
        self.metrics.close();
    }
}

/// Returns the text of a key for the log. A key may come from a peer, and must not break a line.
fn key_text(key: &impl fmt::Display) -> Label {
    Label::from(clean_text(key, MAX_KEY_TEXT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_text_is_bounded_and_has_no_control_characters() {
        assert_eq!(key_text(&"a\nb\u{85}c").as_str(), "a?b?c");
        assert!(key_text(&"\u{85}".repeat(999)).as_str().len() <= MAX_KEY_TEXT);
    }
}
