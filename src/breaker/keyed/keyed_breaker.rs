use std::{
    borrow::Borrow,
    fmt,
    hash::Hash,
    marker::PhantomData,
    sync::{Arc, PoisonError},
};

use tokio::{sync::broadcast, time::Instant};

use super::{
    super::{
        CircuitBreaker, CircuitBreakerBuilder, Transition, settings::BreakerConfig,
        state::CircuitState,
    },
    key_metrics::{KeyMember, KeyedMetrics},
    map::BreakerMap,
};
use crate::{
    call::{ConfigError, Label},
    registry::{self, Inspect, Stats},
    util::{
        sync::{Mutex, MutexGuard},
        text::display_bounded,
    },
};

/// Thousands of hosts or tenants are no fault of a breaker's; each key costs about 1 KiB.
const DEFAULT_MAX_KEYS: usize = 1_000;
/// A look at all of them, to find one that can go, must stay short.
const MAX_KEYS: usize = 100_000;
/// As much of a key as logs show.
const MAX_KEY_TEXT: usize = 128;

/// A circuit breaker for each key - a host, a tenant, a route -, all with one name and the same settings.
///
/// Use it where what callers send decides whom a call goes to. Keys are [got](Self::get) or made; as a guard, the key
/// comes [from the request](Self::keyed_by). In metrics all keys are one: `tower_keep_breaker_state` is the number of keys
/// in each state, added to that of single breakers and other sets of the name. The log and [subscribers](Self::subscribe) see the key.
///
/// # Eviction
///
/// There are at most [`max_keys`](KeyedBreakerBuilder::max_keys) breakers. A new key takes the place of the least
/// recently used one, with one exception: up to three quarters of the places are protected. Protected are, in this
/// order, circuits that were forced open or disabled, those that refuse calls now, and those that somebody uses (a call
/// in flight, or a handle); of each kind, the most recently used. A circuit whose open time is over and that nobody
/// uses is not protected. So however many keys callers make up and whatever they do with them, a key that is in
/// constant use keeps its breaker.
///
/// Up to a sixteenth of the keys are evicted at once, so that a flood of new keys stays cheap. Calls in flight keep the
/// breaker that let them pass, and end in it. `tower_keep_breaker_evictions_total` counts.
///
/// # Clones
///
/// Clones are the same breakers. When the last clone is dropped, guards included, its keys leave the metrics;
/// breakers of single keys that are still held work on, uncounted.
///
/// ```
/// use tower_keep::{CircuitBreaker, GuardLayer, breaker::KeyedBreaker};
///
/// let template = CircuitBreaker::builder("upstreams").consecutive_failures(5);
/// let upstreams: KeyedBreaker<String> = KeyedBreaker::builder(template).max_keys(500).build()?;
///
/// upstreams.get("a.example").force_open();
/// assert!(upstreams.get("a.example").is_rejecting());
/// assert!(!upstreams.get("b.example").is_rejecting());
///
/// // Each request goes by the breaker of its host.
/// let layer = GuardLayer::client(upstreams.keyed_by_authority());
/// # let _ = layer;
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
pub struct KeyedBreaker<K> {
    shared: Arc<KeyedShared<K>>,
}

struct KeyedShared<K> {
    max_keys: usize,
    map: Mutex<BreakerMap<K>>,
    metrics: Arc<KeyedMetrics>,
    /// Dropped last: it may hold the last handle of a thrown switch, which then tells all that are still alive.
    config: BreakerConfig,
}

/// How the breakers of many keys decide, and how many there are; made by [`KeyedBreaker::builder`].
#[must_use]
pub struct KeyedBreakerBuilder<K> {
    template: CircuitBreakerBuilder,
    max_keys: usize,
    keys: PhantomData<fn(K)>,
}

impl<K> KeyedBreakerBuilder<K> {
    /// How many keys are kept at the most, 1 to 100,000. Default: 1,000.
    ///
    /// More than there are keys in use: one that comes back after its eviction begins anew, closed.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }
}

impl<K: Hash + Eq + fmt::Display + Send + 'static> KeyedBreakerBuilder<K> {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first setting that makes no sense.
    pub fn build(self) -> Result<KeyedBreaker<K>, ConfigError> {
        let plan = self.template.build_config()?;
        if !(1..=MAX_KEYS).contains(&self.max_keys) {
            let owner = format!("breaker {:?}", plan.name);
            let got = self.max_keys;
            return Err(ConfigError::new(owner, "max_keys", got, "1 to 100000"));
        }
        let shared = Arc::new(KeyedShared {
            max_keys: self.max_keys,
            map: Mutex::new(BreakerMap::new(self.max_keys)),
            metrics: KeyedMetrics::new(&plan.name),
            config: plan,
        });
        registry::register(&shared);
        Ok(KeyedBreaker { shared })
    }
}

impl<K> KeyedBreaker<K> {
    /// Breakers to be made from this template, for keys of this type.
    pub fn builder(template: CircuitBreakerBuilder) -> KeyedBreakerBuilder<K> {
        KeyedBreakerBuilder {
            template,
            max_keys: DEFAULT_MAX_KEYS,
            keys: PhantomData,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.shared.metrics.name().as_str()
    }

    /// How many keys are in this state now.
    pub fn keys_in(&self, state: CircuitState) -> u64 {
        self.shared.metrics.state_counts()[state as usize]
    }

    /// Every transition of every key from now on. One who lags behind by more than 64 is told how many are lost.
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.shared.metrics.subscribe()
    }
}

impl<K: Hash + Eq + fmt::Display> KeyedBreaker<K> {
    /// The breaker of a key, made if there is none. Takes no memory where there is one.
    pub fn get<Q>(&self, key: &Q) -> CircuitBreaker
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let found = self.shared.lock_map().get(key);
        found.unwrap_or_else(|| self.shared.insert_new(key.to_owned()))
    }

    /// As [`get`](Self::get), with a key to keep.
    pub fn get_owned(&self, key: K) -> CircuitBreaker {
        let found = self.shared.lock_map().get(&key);
        found.unwrap_or_else(|| self.shared.insert_new(key))
    }

    /// The breaker of a key, if there is one. To look is not to use.
    pub fn peek<Q>(&self, key: &Q) -> Option<CircuitBreaker>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.lock_map().peek(key)
    }

    /// Takes the breaker of a key out, which begins anew if it comes back.
    pub fn remove<Q>(&self, key: &Q) -> Option<CircuitBreaker>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let removed = self.shared.lock_map().remove(key)?;
        self.shared.metrics.remove_all(member(&removed));
        Some(removed)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.shared.lock_map().len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys and their states, in no order.
    pub fn states(&self) -> Vec<(K, CircuitState)>
    where
        K: Clone,
    {
        let shelf = self.shared.lock_map();
        let all = shelf.iter();
        all.map(|(key, breaker)| (key.clone(), breaker.shared.state()))
            .collect()
    }

    /// Closes every circuit and forgets everything that was counted.
    pub fn reset_all(&self) {
        // Not under the lock: a reset is told to subscribers and to the log.
        let all: Vec<_> = self
            .shared
            .lock_map()
            .iter()
            .map(|kept| kept.1.clone())
            .collect();
        all.iter().for_each(CircuitBreaker::reset);
    }
}

impl<K: Hash + Eq + fmt::Display> KeyedShared<K> {
    #[cold]
    fn insert_new(&self, key: K) -> CircuitBreaker {
        let text = Label::from(String::from(display_bounded(Sanitized(&key), MAX_KEY_TEXT)));
        let made =
            CircuitBreaker::new_keyed(self.config.clone(), KeyMember::new(&self.metrics, text));
        let gone = {
            let mut shelf = self.lock_map();
            // Another thread may have been faster.
            if let Some(breaker) = shelf.get(&key) {
                return breaker;
            }
            shelf.insert(key, made.clone(), Instant::now)
        };
        // Not under the lock: recorders are user code.
        member(&made).for_each(|seat| seat.add(|| made.shared.state()));
        if !gone.is_empty() {
            self.metrics.remove_all(gone.iter().flat_map(member));
            self.metrics.record_evictions(gone.len());
        }
        made
    }
}

fn member(breaker: &CircuitBreaker) -> impl Iterator<Item = &KeyMember> {
    breaker.shared.reporter.member().into_iter()
}

impl<K> Drop for KeyedShared<K> {
    fn drop(&mut self) {
        self.metrics.close();
    }
}

impl<K> KeyedShared<K> {
    fn lock_map(&self) -> MutexGuard<'_, BreakerMap<K>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key for the log: it may come from the wire, so that it must not break a line.
struct Sanitized<'a, K>(&'a K);

impl<K: fmt::Display> fmt::Display for Sanitized<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Clean<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl fmt::Write for Clean<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                let clean = |c: char| if c.is_control() { '?' } else { c };
                text.chars().try_for_each(|c| self.0.write_char(clean(c)))
            }
        }
        fmt::Write::write_fmt(&mut Clean(f), format_args!("{}", self.0))
    }
}

impl<K: Hash + Eq + Send> Inspect for KeyedShared<K> {
    fn kind(&self) -> &'static str {
        "keyed_circuit_breaker"
    }

    fn name(&self) -> &str {
        self.metrics.name().as_str()
    }

    /// The worst that any key is in.
    fn state(&self) -> &'static str {
        let census = self.metrics.state_counts();
        let any = |state: CircuitState| census[state as usize] > 0;
        let worst = [
            CircuitState::ForcedOpen,
            CircuitState::Open,
            CircuitState::HalfOpen,
        ];
        let worst = worst.into_iter().find(|state| any(*state));
        worst.unwrap_or(CircuitState::Closed).as_str()
    }

    fn stats(&self, stats: &mut Stats) {
        self.metrics.report_state();
        let census = self.metrics.state_counts();
        stats.count("keys", self.lock_map().len() as u64);
        stats.count("max_keys", self.max_keys as u64);
        for (state, keys) in CircuitState::ALL.into_iter().zip(census) {
            stats.count(state.as_str(), keys);
        }
        stats.count("evicted", self.metrics.evicted());
        let mode = if self.config.shadow { "shadow" } else { "on" };
        stats.text("mode", Some(mode));
    }
}

impl<K> Clone for KeyedBreaker<K> {
    fn clone(&self) -> Self {
        KeyedBreaker {
            shared: self.shared.clone(),
        }
    }
}

impl<K> fmt::Debug for KeyedBreaker<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBreaker")
            .field("name", self.shared.metrics.name())
            .field("max_keys", &self.shared.max_keys)
            .finish_non_exhaustive()
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
