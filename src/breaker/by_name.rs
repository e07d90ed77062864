use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{self, Arc, PoisonError},
};

use super::{
    BreakerRegistryBuilder, BreakerSettings, CircuitBreaker, CircuitBreakerBuilder,
    config::BreakerConfig,
    named_breaker::NamedBreaker,
    named_settings::{MAX_NAME_LEN, NamedSettings},
    registry_builder::BreakerFactory,
    settings_version::next_settings_version,
    validate::validate,
};
use crate::{
    call::{ConfigError, catch_hook},
    registry::Snapshot,
    util::{
        append_map::OVERFLOW_LABEL,
        sync::{
            Mutex, MutexGuard, OnceLock,
            thread::{self, ThreadId},
        },
    },
};

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
    shared: Arc<RegistryShared>,
}

struct RegistryShared {
    factory: BreakerFactory,
    max_names: usize,
    breakers: Mutex<HashMap<Arc<str>, NamedBreaker>>,
    settings: Mutex<NamedSettings>,
    /// The breaker of all names past the limit.
    overflow: OnceLock<NamedBreaker>,
    /// The thread that creates the overflow breaker.
    overflow_maker: Mutex<Option<ThreadId>>,
}

static GLOBAL: sync::OnceLock<BreakerRegistry> = sync::OnceLock::new();

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
            shared: Arc::new(RegistryShared {
                factory,
                max_names,
                breakers: Mutex::default(),
                settings: Mutex::default(),
                overflow: OnceLock::new(),
                overflow_maker: Mutex::new(None),
            }),
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
        {
            let breakers = self.lock_breakers();
            if let Some(named) = breakers.get(name) {
                return named.breaker.clone();
            }
            let is_full = breakers.len() >= self.shared.max_names;
            // The name of the overflow breaker must not get a second one.
            if is_full || name.len() > MAX_NAME_LEN || name == OVERFLOW_LABEL {
                drop(breakers);
                return self.get_or_create_overflow();
            }
        }
        // Without the lock: the factory may use the registry itself. So another thread may have been faster.
        let (created, version) = self.create(name);
        let mut breakers = self.lock_breakers();
        // Another name may have taken the last room.
        if breakers.len() >= self.shared.max_names && !breakers.contains_key(name) {
            drop(breakers);
            return self.get_or_create_overflow();
        }
        if let Some(named) = breakers.get(name) {
            return named.breaker.clone();
        }
        breakers.insert(name.into(), created.clone());
        drop(breakers);
        self.apply_latest(&created, version);
        created.breaker
    }

    /// Returns the breaker of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<CircuitBreaker> {
        if let Some(found) = self.lock_breakers().get(name) {
            return Some(found.breaker.clone());
        }
        let overflow = self.shared.overflow.get();
        let overflow = overflow.filter(|_| name == OVERFLOW_LABEL);
        overflow.map(|named| named.breaker.clone())
    }

    /// Inserts a breaker that was built elsewhere, under its own name. Returns the one that had the name. Settings that
    /// were [applied](Self::apply) for the name are applied to it.
    pub fn insert(&self, breaker: CircuitBreaker) -> Option<CircuitBreaker> {
        let name = breaker.name();
        let own = validate(name, &breaker.settings()).expect("settings of a breaker are valid");
        let named = NamedBreaker {
            breaker: breaker.clone(),
            own,
        };
        let before = self.lock_breakers().insert(name.into(), named);
        // After it is inserted: settings that are applied from now on find it.
        if let (Some(config), version) = self.settings_to_insert(name) {
            breaker.apply_config(version, &config);
        }
        before.map(|named| named.breaker)
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
        let by_name = NamedSettings::validate(settings, self.shared.max_names)?;
        let (before, version) = {
            let mut settings = self.lock_settings();
            (settings.replace(by_name.clone()), settings.version)
        };
        // After they are remembered: a breaker that is created from now on has them.
        for NamedBreaker { breaker, own } in self.list_named() {
            match by_name.get(breaker.name()) {
                Some(config) => breaker.apply_config(version, config),
                None if before.contains_key(breaker.name()) => {
                    breaker.apply_config(version, &own);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Removes a breaker. Handles of it stay valid; the next use of the name creates a new one.
    pub fn remove(&self, name: &str) -> Option<CircuitBreaker> {
        let removed = self.lock_breakers().remove(name);
        removed.map(|named| named.breaker)
    }

    /// Returns all breakers, ordered by name.
    pub fn list(&self) -> Vec<CircuitBreaker> {
        let all = self.list_named().into_iter();
        all.map(|named| named.breaker).collect()
    }

    fn list_named(&self) -> Vec<NamedBreaker> {
        let mut all: Vec<_> = self.lock_breakers().values().cloned().collect();
        all.extend(self.shared.overflow.get().cloned());
        all.sort_by(|a, b| a.breaker.name().cmp(b.breaker.name()));
        all
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

    pub(super) fn lock_breakers(&self) -> MutexGuard<'_, HashMap<Arc<str>, NamedBreaker>> {
        let breakers = self.shared.breakers.lock();
        breakers.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_settings(&self) -> MutexGuard<'_, NamedSettings> {
        let settings = self.shared.settings.lock();
        settings.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the settings that were applied for a name, if any, and the version of all of them.
    fn settings_of(&self, name: &str) -> (Option<BreakerConfig>, u64) {
        let settings = self.lock_settings();
        (settings.get(name).cloned(), settings.version)
    }

    /// Returns the settings that were applied for a name, if any, with a version that is higher than that of a breaker which
    /// is inserted.
    fn settings_to_insert(&self, name: &str) -> (Option<BreakerConfig>, u64) {
        let settings = self.lock_settings();
        // Under the lock, so that settings that are applied later have a higher one.
        (settings.get(name).cloned(), next_settings_version())
    }

    /// Applies to a new breaker the settings of its name, if others were applied since it was created with this version.
    fn apply_latest(&self, NamedBreaker { breaker, own }: &NamedBreaker, version: u64) {
        let (config, latest) = self.settings_of(breaker.name());
        if latest != version {
            breaker.apply_config(latest, config.as_ref().unwrap_or(own));
        }
    }

    fn get_or_create_overflow(&self) -> CircuitBreaker {
        if let Some(overflow) = self.shared.overflow.get() {
            return overflow.breaker.clone();
        }
        let maker = || {
            let maker = self.shared.overflow_maker.lock();
            maker.unwrap_or_else(PoisonError::into_inner)
        };
        let this_thread = thread::current().id();
        // The factory of the overflow breaker may use a name past the limit itself, and must not wait for its own result.
        if *maker() == Some(this_thread) {
            return CircuitBreaker::new(OVERFLOW_LABEL);
        }
        let mut created_with = None;
        let create = || {
            // `get_or_init` runs one of these at a time, so the maker is this thread until it is done.
            *maker() = Some(this_thread);
            let (created, version) = self.create(OVERFLOW_LABEL);
            created_with = Some(version);
            *maker() = None;
            created
        };
        let overflow = self.shared.overflow.get_or_init(create).clone();
        // Not inside of `get_or_init`: a subscriber may ask for the breaker that is being created.
        if let Some(version) = created_with {
            self.apply_latest(&overflow, version);
            self.log_overflow();
        }
        overflow.breaker
    }

    /// Warns once: from now on, the failures of one of these peers open the circuit of the others.
    fn log_overflow(&self) {
        catch_hook(|| {
            tracing::warn!(
                target: "tower_keep::breaker",
                breaker = OVERFLOW_LABEL,
                max_names = self.shared.max_names,
                "too many circuit breaker names, further names share one breaker"
            );
        });
    }

    /// Creates a breaker with the settings that were applied for its name, or with its own. Returns the version of the former.
    fn create(&self, name: &str) -> (NamedBreaker, u64) {
        let (builder, own) = self.own_settings(name);
        let (config, version) = self.settings_of(name);
        let config = config.unwrap_or_else(|| own.clone());
        let breaker = CircuitBreaker::from_config(builder, config);
        (NamedBreaker { breaker, own }, version)
    }

    /// Returns the builder of a new breaker and its checked settings: those of the factory, or the default ones.
    fn own_settings(&self, name: &str) -> (CircuitBreakerBuilder, BreakerConfig) {
        let builder = catch_hook(|| (self.shared.factory)(name));
        let checked = builder.map(|builder| {
            let builder = builder.name(name.to_owned());
            builder.validated().map(|config| (builder, config))
        });
        match checked {
            Some(Ok(checked)) => return checked,
            Some(Err(error)) => catch_hook(|| {
                tracing::error!(
                    target: "tower_keep::breaker",
                    breaker = name,
                    error = %error,
                    "invalid circuit breaker settings, using defaults"
                );
            }),
            None => None,
        };
        let builder = CircuitBreaker::builder(name.to_owned());
        let config = builder.validated().expect("default settings are valid");
        (builder, config)
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
