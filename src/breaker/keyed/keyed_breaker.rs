use std::{borrow::Borrow, fmt, hash::Hash, sync::Arc};

use tokio::sync::broadcast;

use super::{KeyedBreakerBuilder, KeyedGuard, KeyedShared};
use crate::{
    breaker::{
        BreakerSettings, CircuitBreaker, CircuitBreakerBuilder, CircuitState, Transition,
        validate::validate,
    },
    call::{ConfigError, Label},
    guard::GuardLayerBuilder,
};

/// A circuit breaker for each key - a host, a tenant, a route -, all with one name and the same settings.
///
/// Use it where callers decide, by what they send, which peer a call goes to. Breakers are created when their key is first
/// [used](Self::get); as a guard, the key comes [from the request](Self::keyed_by). In metrics all keys are one:
/// `tower_keep_breaker_state` is the number of keys in each state, added to that of single breakers and other sets of
/// the name. The log and [subscribers](Self::subscribe) see the key.
///
/// # Eviction
///
/// There are at most [`max_keys`](KeyedBreakerBuilder::max_keys) breakers. A new key evicts the least recently used one,
/// with one exception: up to three quarters of the breakers are protected. Protected are, in this order, circuits that
/// were forced open or disabled, those that reject calls now, and those in use (a call in flight, or a handle); of each
/// kind, the most recently used. A circuit whose open time has elapsed and that is not in use is not protected. So however
/// many keys callers make up and whatever they do with them, a key in constant use keeps its breaker.
///
/// Up to a sixteenth of the keys are evicted at once, so that a flood of new keys stays cheap. Calls in flight keep the
/// breaker that admitted them, and complete in it. `tower_keep_breaker_evictions_total` counts evictions.
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
    pub(super) shared: Arc<KeyedShared<K>>,
}

impl<K> KeyedBreaker<K> {
    /// Creates a set of breakers with the default settings.
    ///
    /// ```
    /// use tower_keep::breaker::KeyedBreaker;
    ///
    /// let tenants: KeyedBreaker<u32> = KeyedBreaker::new("tenants");
    /// assert!(!tenants.get_owned(7).is_rejecting());
    /// ```
    pub fn new(name: impl Into<Label>) -> Self
    where
        K: Hash + Eq + fmt::Display + Send + 'static,
    {
        let built = KeyedBreaker::builder(CircuitBreaker::builder(name)).build();
        built.expect("default settings are valid")
    }

    /// Returns a builder of breakers that all have the name and the settings of this template.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, breaker::KeyedBreaker};
    ///
    /// let template = CircuitBreaker::builder("tenants").consecutive_failures(5);
    /// let tenants: KeyedBreaker<u32> = KeyedBreaker::builder(template).build()?;
    /// assert_eq!(tenants.name(), "tenants");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(template: CircuitBreakerBuilder) -> KeyedBreakerBuilder<K> {
        KeyedBreakerBuilder::new(template)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.metrics.name().as_str()
    }

    /// Returns the settings of new keys.
    pub fn settings(&self) -> BreakerSettings {
        self.shared.lock_template().value.settings.clone()
    }

    /// Returns how many keys are in this state now.
    pub fn keys_in(&self, state: CircuitState) -> u64 {
        self.shared.metrics.counts()[state as usize]
    }

    /// Subscribes to all later transitions of every key. A receiver that lags by more than 64 gets `Lagged`.
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.shared.metrics.subscribe()
    }

    /// Returns a guard with the key that the closure makes from a request. A request without a key is admitted and does not
    /// count.
    ///
    /// For keys that cost nothing to make: numbers, `http::uri::Authority`, `Arc<str>`; else see
    /// [`keyed_by_ref`](Self::keyed_by_ref).
    ///
    /// ```
    /// use tower_keep::{GuardLayer, breaker::KeyedBreaker};
    ///
    /// #[derive(Clone)]
    /// struct Tenant(u32);
    ///
    /// let tenants: KeyedBreaker<u32> = KeyedBreaker::new("tenants");
    /// let layer = GuardLayer::client(tenants.keyed_by(|request: &http::Request<String>| {
    ///     request.extensions().get::<Tenant>().map(|tenant| tenant.0)
    /// }));
    /// # let _ = layer;
    /// ```
    pub fn keyed_by<Req, F: Fn(&Req) -> Option<K>>(
        &self,
        key: F,
    ) -> KeyedGuard<K, impl Fn(&KeyedBreaker<K>, &Req) -> Option<CircuitBreaker> + use<K, Req, F>>
    where
        K: Hash + Eq + fmt::Display,
    {
        KeyedGuard::new(self, move |breakers: &KeyedBreaker<K>, request: &Req| {
            Some(breakers.get_owned(key(request)?))
        })
    }

    /// Returns a guard with the key that the closure finds in a request. The key is copied only when it is new.
    ///
    /// ```
    /// use tower_keep::{GuardLayer, breaker::KeyedBreaker};
    ///
    /// let hosts: KeyedBreaker<String> = KeyedBreaker::new("hosts");
    /// let guard = hosts.keyed_by_ref(|request: &http::Request<String>| request.uri().host());
    /// let layer = GuardLayer::client(guard);
    /// # let _ = layer;
    /// ```
    pub fn keyed_by_ref<Req, Q, F>(
        &self,
        key: F,
    ) -> KeyedGuard<K, impl Fn(&KeyedBreaker<K>, &Req) -> Option<CircuitBreaker> + use<K, Req, Q, F>>
    where
        K: Hash + Eq + fmt::Display + Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: for<'a> Fn(&'a Req) -> Option<&'a Q>,
    {
        KeyedGuard::new(self, move |breakers: &KeyedBreaker<K>, request: &Req| {
            Some(breakers.get(key(request)?))
        })
    }
}

impl KeyedBreaker<String> {
    /// Returns a guard that uses the authority of a request as its key: `host:port` in its URI, else in its `Host`
    /// header.
    ///
    /// The host is in lower case, and the port left out if it is the default of the URI's scheme: 80 for `http`, 443
    /// for `https`. User info (`user:password@`) is never part of a key. Looking up an authority that is spelled like
    /// this does not allocate.
    ///
    /// A request without an authority is admitted and does not count. All authorities that are invalid - a host of more
    /// than 255 bytes, or with characters that no host has - share the key `_OTHER`, so that such requests take one slot in
    /// all.
    ///
    /// ```
    /// use tower_keep::{GuardLayer, breaker::KeyedBreaker};
    ///
    /// let upstreams: KeyedBreaker<String> = KeyedBreaker::new("upstreams");
    /// let layer = GuardLayer::client(upstreams.keyed_by_authority());
    /// # let _ = layer;
    /// ```
    pub fn keyed_by_authority(&self) -> KeyedGuard<String> {
        KeyedGuard::new(self, ())
    }

    /// Returns the breakers as a layer for HTTP, with the [authority](Self::keyed_by_authority) of a request as its key;
    /// which protocol is named next. For other keys see [`KeyedGuard::layer`].
    ///
    /// An open circuit rejects at once, whether the wrapped service is ready or not; for that, the service must be `Clone`,
    /// and [waits](KeyedGuard) inside of the futures of other keys meanwhile.
    ///
    /// ```
    /// use tower_keep::breaker::KeyedBreaker;
    ///
    /// let upstreams: KeyedBreaker<String> = KeyedBreaker::new("upstreams");
    /// let layer = upstreams.layer().client();
    /// # let _ = layer;
    /// ```
    pub fn layer(&self) -> GuardLayerBuilder<KeyedGuard<String>> {
        self.keyed_by_authority().layer()
    }
}

impl<K: Hash + Eq + fmt::Display> KeyedBreaker<K> {
    /// Returns the breaker of a key, created if there is none. Does not allocate if there is one.
    pub fn get<Q>(&self, key: &Q) -> CircuitBreaker
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        // A statement of its own, which unlocks the map: a new breaker is created without the lock.
        let found = self.shared.lock_map().get(key).cloned();
        found.unwrap_or_else(|| self.shared.insert_new(key.to_owned()))
    }

    /// Returns the breaker of an owned key; see [`get`](Self::get).
    pub fn get_owned(&self, key: K) -> CircuitBreaker {
        let found = self.shared.lock_map().get(&key).cloned();
        found.unwrap_or_else(|| self.shared.insert_new(key))
    }

    /// Returns the breaker of a key, if there is one. Does not count as a use for eviction.
    pub fn peek<Q>(&self, key: &Q) -> Option<CircuitBreaker>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.lock_map().peek(key).cloned()
    }

    /// Removes the breaker of a key. If the key returns, it starts again.
    pub fn remove<Q>(&self, key: &Q) -> Option<CircuitBreaker>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let removed = self.shared.lock_map().remove(key)?;
        // Its calls in flight complete in it, but it counts no more.
        let counted = removed.shared.core.reporter.counted_state();
        self.shared.metrics.remove_all([counted].into_iter());
        Some(removed)
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.shared.lock_map().len()
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the keys and their states, in unspecified order.
    pub fn states(&self) -> Vec<(K, CircuitState)>
    where
        K: Clone,
    {
        // Reads the packed words only: no breaker is locked inside of the map.
        let map = self.shared.lock_map();
        map.iter()
            .map(|(key, breaker)| (key.clone(), breaker.shared.core.state()))
            .collect()
    }

    /// Applies settings to the breakers of all keys, and to those of keys to come, as [`CircuitBreaker::apply`] does to one.
    /// A change is logged once, whatever the number of keys.
    ///
    /// Settings that were applied to the breaker of a single key are replaced.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid. Then all settings are as they were.
    ///
    /// ```
    /// use tower_keep::breaker::{BreakerSettings, KeyedBreaker};
    ///
    /// let tenants: KeyedBreaker<u32> = KeyedBreaker::new("tenants");
    /// let tenant = tenants.get_owned(7);
    /// let mut settings = BreakerSettings::default();
    /// settings.consecutive_failures = Some(5);
    /// tenants.apply(&settings)?;
    /// assert_eq!(tenant.settings(), settings);
    /// assert_eq!(tenants.get_owned(8).settings(), settings);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn apply(&self, settings: &BreakerSettings) -> Result<(), ConfigError> {
        let config = validate(self.name(), settings)?;
        self.shared.apply(config);
        Ok(())
    }

    /// Resets every breaker: closes its circuit, and forgets all that it has counted.
    pub fn reset_all(&self) {
        self.shared.reset_all();
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
