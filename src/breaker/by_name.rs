use std::{
    collections::HashMap,
    fmt,
    sync::{self, Arc, PoisonError},
};

use super::{BreakerRegistryBuilder, CircuitBreaker, registry_builder::BreakerFactory};
use crate::{
    call::catch_hook,
    registry::Snapshot,
    util::{
        append_map::OVERFLOW_LABEL,
        sync::{
            Mutex, MutexGuard, OnceLock,
            thread::{self, ThreadId},
        },
    },
};

/// A longer name is no name that a program gives, and would be a costly label.
const MAX_NAME_LEN: usize = 256;

/// Returns the circuit breaker of that name in this process, created with the default settings if there is none.
///
/// The same as [`BreakerRegistry::global`]`().get_or_create(name)`. To configure those breakers, use
/// [`BreakerRegistry::set_global`].
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
    breakers: Mutex<HashMap<Arc<str>, CircuitBreaker>>,
    /// The breaker of all names past the limit.
    overflow: OnceLock<CircuitBreaker>,
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
            if let Some(breaker) = breakers.get(name) {
                return breaker.clone();
            }
            let is_full = breakers.len() >= self.shared.max_names;
            // The name of the overflow breaker must not get a second one.
            if is_full || name.len() > MAX_NAME_LEN || name == OVERFLOW_LABEL {
                drop(breakers);
                return self.get_or_create_overflow();
            }
        }
        // Without the lock: the factory may use the registry itself. So another thread may have been faster.
        let created = self.create(name);
        let mut breakers = self.lock_breakers();
        // Another name may have taken the last room.
        if breakers.len() >= self.shared.max_names && !breakers.contains_key(name) {
            drop(breakers);
            return self.get_or_create_overflow();
        }
        breakers.entry(name.into()).or_insert(created).clone()
    }

    /// Returns the breaker of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<CircuitBreaker> {
        if let Some(found) = self.lock_breakers().get(name) {
            return Some(found.clone());
        }
        let overflow = self.shared.overflow.get();
        overflow.filter(|_| name == OVERFLOW_LABEL).cloned()
    }

    /// Inserts a breaker that was built elsewhere, under its own name. Returns the one that had the name.
    pub fn insert(&self, breaker: CircuitBreaker) -> Option<CircuitBreaker> {
        let name = breaker.name().into();
        self.lock_breakers().insert(name, breaker)
    }

    /// Removes a breaker. Handles of it stay valid; the next use of the name creates a new one.
    pub fn remove(&self, name: &str) -> Option<CircuitBreaker> {
        self.lock_breakers().remove(name)
    }

    /// Returns all breakers, ordered by name.
    pub fn list(&self) -> Vec<CircuitBreaker> {
        let mut all: Vec<_> = self.lock_breakers().values().cloned().collect();
        all.extend(self.shared.overflow.get().cloned());
        all.sort_by(|a, b| a.name().cmp(b.name()));
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

    pub(super) fn lock_breakers(&self) -> MutexGuard<'_, HashMap<Arc<str>, CircuitBreaker>> {
        let breakers = self.shared.breakers.lock();
        breakers.unwrap_or_else(PoisonError::into_inner)
    }

    fn get_or_create_overflow(&self) -> CircuitBreaker {
        if let Some(overflow) = self.shared.overflow.get() {
            return overflow.clone();
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
        let mut is_first = false;
        let create = || {
            // `get_or_init` runs one of these at a time, so the maker is this thread until it is done.
            is_first = true;
            *maker() = Some(this_thread);
            let created = self.create(OVERFLOW_LABEL);
            *maker() = None;
            created
        };
        let overflow = self.shared.overflow.get_or_init(create).clone();
        // Not inside of `get_or_init`: a subscriber may ask for the breaker that is being created.
        if is_first {
            self.log_overflow();
        }
        overflow
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

    fn create(&self, name: &str) -> CircuitBreaker {
        let owned = || name.to_owned();
        let builder = catch_hook(|| (self.shared.factory)(name));
        let built = builder.map(|builder| builder.name(owned()).build());
        match built {
            Some(Ok(breaker)) => return breaker,
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
        CircuitBreaker::new(owned())
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
