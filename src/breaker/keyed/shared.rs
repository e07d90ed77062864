use std::{
    fmt,
    hash::Hash,
    sync::{Arc, PoisonError},
};

use tokio::time::Instant;

use super::super::{
    CircuitBreaker, CircuitBreakerBuilder, breaker_metrics::BreakerMetrics, report::Reporter,
    state::CircuitState,
};
use crate::{
    call::Label,
    util::{
        ranked_lru::RankedLru,
        sync::{Mutex, MutexGuard},
        text::display_bounded,
    },
};

/// The maximum length of a key in logs, in bytes.
const MAX_KEY_TEXT: usize = 128;

/// The keyed breaker behind all of its handles.
pub(in crate::breaker) struct KeyedShared<K> {
    pub(in crate::breaker) max_keys: usize,
    map: Mutex<RankedLru<K, CircuitBreaker>>,
    pub(in crate::breaker) metrics: Arc<BreakerMetrics>,
    /// Dropped last: it may hold the last handle of a switch, which then notifies all breakers that are still alive.
    pub(in crate::breaker) config: CircuitBreakerBuilder,
}

/// The reason to keep a breaker, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EvictionRank {
    /// A breaker with a call in flight, or a handle.
    InUse,
    /// A breaker that keeps calls away from a failing peer.
    Rejecting,
    /// A breaker whose state has been overridden.
    Overridden,
}

impl EvictionRank {
    /// Returns the rank of a breaker, or `None` if only its counts would be lost with it.
    fn of(breaker: &CircuitBreaker, now: Instant) -> Option<Self> {
        let shared = &breaker.shared;
        match shared.state() {
            CircuitState::ForcedOpen | CircuitState::Disabled => Some(EvictionRank::Overridden),
            CircuitState::Open | CircuitState::HalfOpen
                if shared.lock().machine.rejects(now).is_all() =>
            {
                Some(EvictionRank::Rejecting)
            }
            // The reference of the map is the only one.
            _ if Arc::strong_count(shared) == 1 => None,
            _ => Some(EvictionRank::InUse),
        }
    }
}

impl<K: Hash + Eq> KeyedShared<K> {
    pub(super) fn new(config: CircuitBreakerBuilder, max_keys: usize) -> Arc<Self> {
        let metrics = BreakerMetrics::new(&config.name);
        metrics.report_state();
        Arc::new(KeyedShared {
            max_keys,
            map: Mutex::new(RankedLru::new(max_keys)),
            metrics,
            config,
        })
    }

    /// Creates the breaker of a new key, and evicts others for it if there are too many.
    #[cold]
    pub(super) fn insert_new(&self, key: K) -> CircuitBreaker
    where
        K: fmt::Display,
    {
        let reporter = Reporter::new_keyed(&self.metrics, key_text(&key));
        let created = CircuitBreaker::new_keyed(self.config.clone(), reporter);
        let evicted = {
            let mut map = self.lock_map();
            // Another thread may have been faster.
            if let Some(breaker) = map.get(&key) {
                return breaker.clone();
            }
            let mut now = None;
            map.insert(key, created.clone(), |breaker| {
                EvictionRank::of(breaker, *now.get_or_insert_with(Instant::now))
            })
        };
        // Without the lock: recorders are user code.
        created.shared.reporter.add(|| created.shared.state());
        if !evicted.is_empty() {
            let counted = evicted
                .iter()
                .map(|breaker| breaker.shared.reporter.counted_state());
            self.metrics.remove_all(counted);
            self.metrics.count_evictions(evicted.len());
        }
        created
    }
}

impl<K> KeyedShared<K> {
    pub(in crate::breaker) fn lock_map(&self) -> MutexGuard<'_, RankedLru<K, CircuitBreaker>> {
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
    let text = display_bounded(key, MAX_KEY_TEXT);
    let clean = |c: char| if c.is_control() { '?' } else { c };
    Label::from(text.chars().map(clean).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn eviction_rank_follows_state_and_use() {
        let breaker = |change: fn(&CircuitBreaker)| {
            let breaker = CircuitBreaker::new("rank");
            change(&breaker);
            breaker
        };
        for (breaker, unused, in_use) in [
            (breaker(|_| ()), None, EvictionRank::InUse),
            (
                breaker(|it| it.open_for(HOUR / 2)),
                None,
                EvictionRank::InUse,
            ),
            (
                breaker(|it| it.open_for(HOUR * 2)),
                Some(EvictionRank::Rejecting),
                EvictionRank::Rejecting,
            ),
            (
                breaker(CircuitBreaker::force_open),
                Some(EvictionRank::Overridden),
                EvictionRank::Overridden,
            ),
            (
                breaker(CircuitBreaker::disable),
                Some(EvictionRank::Overridden),
                EvictionRank::Overridden,
            ),
        ] {
            let now = Instant::now() + HOUR;
            assert_eq!(EvictionRank::of(&breaker, now), unused, "{breaker:?}");
            let _handle = breaker.clone();
            assert_eq!(EvictionRank::of(&breaker, now), Some(in_use), "{breaker:?}");
        }
    }

    #[test]
    fn key_text_is_bounded_and_has_no_control_characters() {
        assert_eq!(key_text(&"a\nb\u{85}c").as_str(), "a?b?c");
        assert!(key_text(&"\u{85}".repeat(999)).as_str().len() <= MAX_KEY_TEXT);
    }
}
