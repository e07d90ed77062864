use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use super::{
    BreakerRegistryBuilder, BreakerSettings, CircuitBreaker, registry_builder::BreakerFactory,
    registry_shared::RegistryShared, validate::validate_named,
};
use crate::{call::ConfigError, registry::Snapshot};

/// Returns the circuit breaker of that name in this process, created with the default settings if there is none.
///
/// The same as [`BreakerRegistry::global`]`().get_or_create(name)`. To configure those breakers, use
/// [`BreakerRegistry::set_global`], or [`BreakerRegistry::apply`] on the global one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
/// # async fn fetch_quote(id: u32) -> Result<u32, std::io::Error> { Ok(id) }
/// let quote = tower_keep::breaker("quotes").call(fetch_quote(7)).await?;
/// assert_eq!(quote, 7);
/// assert_eq!(tower_keep::breaker("quotes").counts().calls, 1);
/// # Ok(()) }
/// ```
pub fn breaker(name: &str) -> CircuitBreaker {
    BreakerRegistry::global().get_or_create(name)
}

/// Circuit breakers by name, each created when it is first needed. For names that the program knows; for what callers send
/// - hosts, tenants - there is [`KeyedBreaker`](super::KeyedBreaker).
///
/// A name is a label of metrics, so the number of names is limited, and no name is evicted. Past the limit, and for names of
/// more than 256 bytes, [`get_or_create`](Self::get_or_create) returns one breaker for all, of the name `_OTHER`:
/// the calls to all these peers then fail together. The first time is logged as a warning; the breaker is in the registry and
/// in metrics like any other. A breaker that is [inserted](Self::insert) is always taken.
///
/// # Clones
///
/// Clones are the same breakers.
///
/// ```
/// use tower_keep::{CircuitBreaker, breaker::BreakerRegistry};
///
/// let breakers = BreakerRegistry::builder()
///     .template(CircuitBreaker::builder("").consecutive_failures(5))
///     .build()?;
/// let payments = CircuitBreaker::builder("payments").failure_rate(0.2).build()?;
/// breakers.insert(payments);
///
/// let quotes = breakers.get_or_create("quotes");
/// quotes.force_open();
/// assert!(breakers.get("quotes").expect("created above").is_rejecting());
/// assert_eq!(breakers.names(), ["payments", "quotes"]);
/// breakers.reset_all();
/// assert!(!quotes.is_rejecting());
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct BreakerRegistry {
    pub(super) shared: Arc<RegistryShared>,
}

static GLOBAL: OnceLock<BreakerRegistry> = OnceLock::new();

impl BreakerRegistry {
    /// Creates a registry whose breakers have the default settings.
    ///
    /// ```
    /// use tower_keep::breaker::BreakerRegistry;
    ///
    /// let breakers = BreakerRegistry::new();
    /// assert_eq!(breakers.get_or_create("quotes").name(), "quotes");
    /// ```
    pub fn new() -> Self {
        let built = BreakerRegistry::builder().build();
        built.expect("default settings are valid")
    }

    /// Returns a builder with the default settings.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, breaker::BreakerRegistry};
    ///
    /// let breakers = BreakerRegistry::builder()
    ///     .template(CircuitBreaker::builder("").consecutive_failures(5))
    ///     .build()?;
    /// # let _ = breakers;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder() -> BreakerRegistryBuilder {
        BreakerRegistryBuilder::new()
    }

    pub(super) fn from_config(factory: BreakerFactory, max_names: usize) -> Self {
        BreakerRegistry {
            shared: Arc::new(RegistryShared::new(factory, max_names)),
        }
    }

    /// Returns the registry of this process, which [`breaker`] uses.
    ///
    /// ```
    /// use tower_keep::breaker::BreakerRegistry;
    ///
    /// tower_keep::breaker("stock").force_open();
    /// assert!(BreakerRegistry::global().reset("stock"));
    /// ```
    pub fn global() -> &'static BreakerRegistry {
        GLOBAL.get_or_init(BreakerRegistry::new)
    }

    /// Makes this the registry of the process. Must be called before [`global`](Self::global) is first used.
    ///
    /// # Errors
    ///
    /// Returns the registry itself if the process has one already.
    pub fn set_global(self) -> Result<(), Self> {
        GLOBAL.set(self)
    }

    /// Returns the breaker of that name, created if there is none. Past the limit, returns that of all other names.
    pub fn get_or_create(&self, name: &str) -> CircuitBreaker {
        self.shared.get_or_create(name)
    }

    /// Returns the breaker of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<CircuitBreaker> {
        self.shared.get(name)
    }

    /// Inserts a breaker that was built elsewhere, under its own name. Returns the one that had the name. Settings that
    /// were [applied](Self::apply) for the name are applied to it.
    pub fn insert(&self, breaker: CircuitBreaker) -> Option<CircuitBreaker> {
        self.shared.insert(breaker)
    }

    /// Applies these settings to the breakers of these names, as [`CircuitBreaker::apply`] does to one, and remembers them for
    /// breakers that are created or inserted later: for these names, they replace those of the template or the factory.
    ///
    /// The map replaces that of before: a breaker whose name was in that one and is not in this one gets the settings back
    /// that it was created or inserted with. Breakers whose names are in neither stay as they are. A name is no promise of a
    /// breaker: past the limit, it shares that of the name `_OTHER`, whose settings may be in the map too.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first breaker and its setting that is invalid, or that says that there are more names
    /// than the registry may hold, or one that is too long. Then nothing has changed.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use tower_keep::breaker::{BreakerRegistry, BreakerSettings};
    ///
    /// let breakers = BreakerRegistry::new();
    /// let quotes = breakers.get_or_create("quotes");
    /// let mut strict = BreakerSettings::default();
    /// strict.failure_rate = Some(0.1);
    ///
    /// breakers.apply(&BTreeMap::from([("quotes".into(), strict.clone())]))?;
    /// assert_eq!(quotes.settings(), strict);
    /// breakers.apply(&BTreeMap::new())?;
    /// assert_eq!(quotes.settings(), BreakerSettings::default());
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn apply(&self, settings: &BTreeMap<String, BreakerSettings>) -> Result<(), ConfigError> {
        let by_name = validate_named(settings, self.shared.max_names)?;
        self.shared.apply(by_name);
        Ok(())
    }

    /// Removes a breaker. Handles of it stay valid; the next use of the name creates a new one.
    pub fn remove(&self, name: &str) -> Option<CircuitBreaker> {
        let removed = self.shared.lock_breakers().remove(name);
        removed.map(|named| named.breaker)
    }

    /// Returns all breakers, ordered by name.
    pub fn list(&self) -> Vec<CircuitBreaker> {
        let all = self.shared.list_named().into_iter();
        all.map(|named| named.breaker).collect()
    }

    /// Returns the names in order.
    pub fn names(&self) -> Vec<String> {
        let all = self.list();
        all.iter()
            .map(|breaker| breaker.name().to_owned())
            .collect()
    }

    /// Returns a snapshot of each breaker, ordered by name.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let all = self.list();
        all.iter()
            .map(|breaker| Snapshot::new(&*breaker.shared))
            .collect()
    }

    /// Resets the breaker of that name. Returns `false` if there is none.
    pub fn reset(&self, name: &str) -> bool {
        let found = self.get(name);
        found.inspect(CircuitBreaker::reset).is_some()
    }

    /// Resets all breakers.
    pub fn reset_all(&self) {
        self.list().iter().for_each(CircuitBreaker::reset);
    }
}

impl Default for BreakerRegistry {
    fn default() -> Self {
        BreakerRegistry::new()
    }
}

impl fmt::Debug for BreakerRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}
