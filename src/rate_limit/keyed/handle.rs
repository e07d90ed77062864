use std::{
    fmt::{self, Display},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use http::HeaderName;
use tokio::time::Instant;

use super::{
    KeyedRateLimitBuilder, KeyedRateLimitGuard,
    limit_key::{ClientAddressKey, ClosureKey, HeaderKey, RefKey},
    shared::KeyedShared,
};
use crate::{
    call::{ConfigError, Label, Rejection},
    context::TrustedProxies,
    rate_limit::{
        RateLimit, RateLimitBuilder, RateLimitSettings, RateLimitWait, Reservation,
        target::LimitTarget,
    },
};

/// A rate limit for each key: a tenant, a client address, a token, a route. All have one name and the same settings.
///
/// A key may be anything that can be hashed. As a guard, the key comes from the request: from a
/// [header](Self::keyed_by_header), the [address of the client](Self::keyed_by_client_address), the
#[cfg_attr(
    feature = "axum",
    doc = "[route](Self::keyed_by_route) or a [closure](Self::keyed_by)."
)]
#[cfg_attr(not(feature = "axum"), doc = "route or a [closure](Self::keyed_by).")]
/// In metrics all keys are one.
///
/// # A flood of keys
///
/// Callers may be able to make up keys. There are at most [`max_keys`](KeyedRateLimitBuilder::max_keys), each of 32 bytes at most:
/// a key is kept as a hash with a secret, and its bucket is one number. What happens when they are all in use:
///
/// | key | is treated |
/// |---|---|
/// | has used its bucket, which is not full again | as ever: it keeps its place, and is neither evicted nor exempt |
/// | has come back after its bucket was full again, and is not [idle](KeyedRateLimitBuilder::idle_time) for long | likewise, for up to three quarters of the places |
/// | has been used once, and its bucket is full again | it may lose its place, and loses nothing with it: as a new key, its bucket would be full as well |
/// | new, and there is a place of such a key, or of one that was idle for long | it gets that |
/// | new, and there is none | it shares one bucket with all others of this kind, by the same settings |
///
/// So a flood of new keys is admitted as often as there are places, and then like a single key. Who was there before does not
/// notice it; new callers who are honest have to share that bucket with it until it ends. `tower_keep_rate_limit_overflows_total`
/// counts the calls that do.
///
/// # Clones
///
/// Clones are the same limit.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::{RateLimit, rate_limit::KeyedRateLimit};
///
/// let template = RateLimit::builder("tenants").rate(10, Duration::from_secs(1)).burst(2);
/// let tenants = KeyedRateLimit::builder(template).max_keys(50_000).build()?;
///
/// tenants.check("a")?;
/// tenants.check("a")?;
/// assert!(tenants.check("a").is_err());
/// tenants.check("b")?;
/// # Ok::<_, tower_keep::BoxError>(())
/// ```
#[derive(Clone)]
pub struct KeyedRateLimit {
    pub(super) shared: Arc<KeyedShared>,
}

impl KeyedRateLimit {
    /// Creates a limit with the default settings: 100 calls per second for each key.
    ///
    /// ```
    /// use tower_keep::rate_limit::KeyedRateLimit;
    ///
    /// let tenants = KeyedRateLimit::new("tenants");
    /// assert_eq!(tenants.available(&7), 100);
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        let built = KeyedRateLimit::builder(RateLimit::builder(name)).build();
        built.expect("default settings are valid")
    }

    /// Returns a builder of limits that all have the name and the settings of this template.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::{RateLimit, rate_limit::KeyedRateLimit};
    ///
    /// let template = RateLimit::builder("logins").rate(5, Duration::from_secs(60));
    /// let logins = KeyedRateLimit::builder(template).build()?;
    /// assert_eq!(logins.name(), "logins");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(template: RateLimitBuilder) -> KeyedRateLimitBuilder {
        KeyedRateLimitBuilder::new(template)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name().as_str()
    }

    /// Returns the settings of each key as they are now.
    pub fn settings(&self) -> RateLimitSettings {
        self.shared.control.settings()
    }

    /// Applies settings to all keys, and to those to come, as [`RateLimit::apply`] does to one. Looks at every key once.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid. Then all settings are as they were.
    pub fn apply(&self, settings: &RateLimitSettings) -> Result<(), ConfigError> {
        self.shared.apply(settings)
    }

    /// Admits one call of a key now, or rejects it. Does not allocate for a key that is there.
    ///
    /// # Errors
    ///
    /// Returns the rejection, with the time after which there is room for a call.
    #[inline]
    pub fn check<Q: Hash + ?Sized>(&self, key: &Q) -> Result<(), Rejection> {
        self.check_at(key, 1, Instant::now())
    }

    /// Admits so many calls of a key together now, or rejects them.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check). More calls than the burst are never admitted, and rejected without a retry-after.
    #[inline]
    pub fn check_n<Q: Hash + ?Sized>(&self, key: &Q, calls: u32) -> Result<(), Rejection> {
        self.check_at(key, calls, Instant::now())
    }

    /// Admits so many calls of a key at a moment that the caller has read from the clock already.
    ///
    /// # Errors
    ///
    /// As [`check_n`](Self::check_n).
    #[inline]
    pub fn check_at<Q: Hash + ?Sized>(
        &self,
        key: &Q,
        calls: u32,
        now: Instant,
    ) -> Result<(), Rejection> {
        self.shared.admit(self.shared.hash(key), now, calls)
    }

    /// Reserves so many calls of a key; see [`RateLimit::reserve`].
    ///
    /// # Errors
    ///
    /// Returns the rejection if the calls cannot be made within the time; nothing is taken then.
    pub fn reserve<Q: Hash + ?Sized>(
        &self,
        key: &Q,
        calls: u32,
        max_wait: Duration,
    ) -> Result<Reservation, Rejection> {
        Reservation::make(self.target(key), calls, max_wait)
    }

    /// Waits until one call of a key may be made; see [`RateLimit::wait`].
    ///
    /// # Panics
    ///
    /// As [`RateLimit::wait`].
    pub fn wait<Q: Hash + ?Sized>(&self, key: &Q, max_wait: Duration) -> RateLimitWait {
        self.wait_n(key, 1, max_wait)
    }

    /// Waits until so many calls of a key may be made together; see [`RateLimit::wait`].
    ///
    /// # Panics
    ///
    /// As [`RateLimit::wait`].
    pub fn wait_n<Q: Hash + ?Sized>(
        &self,
        key: &Q,
        calls: u32,
        max_wait: Duration,
    ) -> RateLimitWait {
        RateLimitWait::new(self.target(key), calls, max_wait)
    }

    fn target<Q: Hash + ?Sized>(&self, key: &Q) -> LimitTarget {
        LimitTarget::key(&self.shared, self.shared.hash(key))
    }

    /// Returns how many calls of a key would be admitted now. Where there is no place for another key, it is what new ones share.
    pub fn available<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        let hash = self.shared.hash(key);
        let (state, quota, now) = self.shared.read(hash, Instant::now());
        quota.available(state, now)
    }

    /// Returns the number of keys that have a place.
    pub fn len(&self) -> usize {
        self.shared.table.sum(|shard| shard.len() as u64) as usize
    }

    /// Returns whether no key has a place.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all keys, as if none had been used for long, and takes [`disable`](Self::disable) back.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Admits every call, and counts no rejection, until [`reset`](Self::reset).
    pub fn disable(&self) {
        self.shared.control.disable();
    }

    /// Sets shadow mode: the limit counts and reports as ever, but rejects no call, and lets none wait.
    pub fn set_shadow(&self, on: bool) {
        self.shared.control.set_shadow(on);
    }

    /// Returns whether shadow mode is on.
    pub fn is_shadow(&self) -> bool {
        self.shared.control.is_shadow()
    }

    /// Returns a guard with the value of this header as the key. Rejections do not show it, since it may be a credential.
    ///
    /// A caller may send any value: use a header that is checked further out, or one of a gateway. Calls without the header
    /// [share a bucket](KeyedRateLimitBuilder::admit_without_key).
    ///
    /// ```
    /// use tower_keep::rate_limit::KeyedRateLimit;
    ///
    /// let header = http::HeaderName::from_static("x-api-key");
    /// let layer = KeyedRateLimit::new("keys").keyed_by_header(header).layer().server();
    /// # let _ = layer;
    /// ```
    pub fn keyed_by_header(&self, header: HeaderName) -> KeyedRateLimitGuard<HeaderKey> {
        KeyedRateLimitGuard::new(self, HeaderKey(header))
    }

    /// Returns a guard with the address of the client as the key: that of the peer, or what these proxies say.
    ///
    /// An IPv6 address counts by its first 64 bits, since a caller has that many addresses. Calls without a known address
    /// [share a bucket](KeyedRateLimitBuilder::admit_without_key): [`TrustedProxies`] says where the address is found, which on
    /// axum is `into_make_service_with_connect_info`.
    ///
    /// ```
    /// use tower_keep::{context::TrustedProxies, rate_limit::KeyedRateLimit};
    ///
    /// let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/8"])?;
    /// let layer = KeyedRateLimit::new("clients").keyed_by_client_address(proxies).layer().server();
    /// # let _ = layer;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn keyed_by_client_address(
        &self,
        proxies: TrustedProxies,
    ) -> KeyedRateLimitGuard<ClientAddressKey> {
        KeyedRateLimitGuard::new(self, ClientAddressKey(proxies))
    }

    /// Returns a guard with axum's route as the key, such as `/orders/{id}`. All calls of a route share its limit.
    ///
    /// The route is known inside of `Router::route_layer`. Calls without a route [share a
    /// bucket](KeyedRateLimitBuilder::admit_without_key).
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use tower_keep::rate_limit::KeyedRateLimit;
    ///
    /// let limits = KeyedRateLimit::new("routes");
    /// let app: Router = Router::new()
    ///     .route("/orders/{id}", get(async || "an order"))
    ///     .route_layer(limits.keyed_by_route().layer().server());
    /// # let _ = app;
    /// ```
    #[cfg(feature = "axum")]
    pub fn keyed_by_route(&self) -> KeyedRateLimitGuard<super::RouteKey> {
        KeyedRateLimitGuard::new(self, super::RouteKey(()))
    }

    /// Returns a guard with the key that the closure makes from a request: the tenant of an authenticated call, two headers
    /// together. Rejections show the key to the log; do not make one of a secret.
    ///
    /// ```
    /// use tower_keep::rate_limit::KeyedRateLimit;
    ///
    /// #[derive(Clone)]
    /// struct Tenant(u32);
    ///
    /// let tenants = KeyedRateLimit::new("tenants");
    /// let guard = tenants.keyed_by(|request: &http::Request<String>| {
    ///     request.extensions().get::<Tenant>().map(|tenant| tenant.0)
    /// });
    /// let layer = guard.layer().server();
    /// # let _ = layer;
    /// ```
    pub fn keyed_by<Req, K, F>(&self, key: F) -> KeyedRateLimitGuard<ClosureKey<F>>
    where
        K: Hash + Display,
        F: Fn(&Req) -> Option<K>,
    {
        KeyedRateLimitGuard::new(self, ClosureKey(key))
    }

    /// Returns a guard with the key that the closure finds in a request, without a copy.
    ///
    /// ```
    /// use tower_keep::rate_limit::KeyedRateLimit;
    ///
    /// let hosts = KeyedRateLimit::new("hosts");
    /// let guard = hosts.keyed_by_ref(|request: &http::Request<String>| request.uri().host());
    /// let layer = guard.layer().client();
    /// # let _ = layer;
    /// ```
    pub fn keyed_by_ref<Req, Q, F>(&self, key: F) -> KeyedRateLimitGuard<RefKey<F>>
    where
        Q: Hash + Display + ?Sized,
        F: for<'a> Fn(&'a Req) -> Option<&'a Q>,
    {
        KeyedRateLimitGuard::new(self, RefKey(key))
    }
}

impl fmt::Debug for KeyedRateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimit")
            .field("name", self.shared.name())
            .field("max_keys", &self.shared.table.max_keys())
            .field("settings", &self.settings())
            .finish_non_exhaustive()
    }
}
