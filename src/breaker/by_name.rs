use std::{
    collections::HashMap,
    fmt,
    sync::{self, Arc, PoisonError},
};

use super::{CircuitBreaker, CircuitBreakerBuilder};
use crate::{
    call::{ConfigError, Label, catch_hook},
    registry::Snapshot,
    util::{
        append_map::OVERFLOW_LABEL,
        sync::{
            Mutex, MutexGuard, OnceLock,
            thread::{self, ThreadId},
        },
    },
};

/// As many series as a metrics backend bears for one metric.
const DEFAULT_MAX_NAMES: usize = 1_000;
/// Longer is no name that anybody has given.
const MAX_NAME_LEN: usize = 256;

/// The circuit breaker of that name in this process, made with the default settings if there is none.
///
/// The same as [`BreakerRegistry::global`]`().get_or_create(name)`; set those up with [`BreakerRegistry::set_global`].
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

/// Circuit breakers by name, each made when it is first asked for. For names that the program knows; for what
/// callers send - hosts, tenants - there is [`KeyedBreaker`](super::KeyedBreaker).
///
/// A name is a label of metrics, so their number has a limit, and none makes room for another. Past the limit, and
/// for names of more than 256 bytes, [`get_or_create`](Self::get_or_create) gives one breaker for all, of the name
/// `_OTHER`: what they call fails together. The first time is logged as a warning; the breaker is in the registry and
/// in metrics like any other. What is [inserted](Self::insert) is always taken.
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
/// assert!(breakers.get("quotes").expect("made above").is_rejecting());
/// assert_eq!(breakers.names(), ["payments", "quotes"]);
/// breakers.reset_all();
/// assert!(!quotes.is_rejecting());
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct BreakerRegistry {
    shared: Arc<RegistryShared>,
}

type BreakerFactory = Arc<dyn Fn(&str) -> CircuitBreakerBuilder + Send + Sync>;

struct RegistryShared {
    factory: BreakerFactory,
    max_names: usize,
    breakers: Mutex<HashMap<Arc<str>, CircuitBreaker>>,
    overflow: OnceLock<CircuitBreaker>,
    /// Who is making the one for all others.
    overflow_maker: Mutex<Option<ThreadId>>,
}

/// How new breakers are made, and how many; made by [`BreakerRegistry::builder`].
#[must_use]
pub struct BreakerRegistryBuilder {
    factory: BreakerFactory,
    template: Option<CircuitBreakerBuilder>,
    max_names: usize,
}

impl BreakerRegistryBuilder {
    /// New breakers are made from this, under names of their own. Default: the defaults.
    pub fn template(mut self, template: CircuitBreakerBuilder) -> Self {
        self.template = Some(template);
        self
    }

    /// New breakers are made by this closure, which is told the name. Settings that make no sense, and a panic, are
    /// logged, and that breaker has the defaults.
    pub fn factory(
        mut self,
        factory: impl Fn(&str) -> CircuitBreakerBuilder + Send + Sync + 'static,
    ) -> Self {
        self.template = None;
        self.factory = Arc::new(factory);
        self
    }

    /// How many are made at the most. Default: 1,000; each is a handful of metric series.
    pub fn max_names(mut self, names: usize) -> Self {
        self.max_names = names;
        self
    }

    /// Checks the template.
    ///
    /// # Errors
    ///
    /// Its first setting that makes no sense, or a limit of 0.
    pub fn build(self) -> Result<BreakerRegistry, ConfigError> {
        if self.max_names == 0 {
            return Err(ConfigError::new("breakers", "max_names", 0, "at least 1"));
        }
        let factory = match self.template {
            None => self.factory,
            Some(template) => {
                template.clone().build_config()?;
                Arc::new(move |_: &str| template.clone())
            }
        };
        Ok(BreakerRegistry {
            shared: Arc::new(RegistryShared {
                factory,
                max_names: self.max_names,
                breakers: Mutex::default(),
                overflow: OnceLock::new(),
                overflow_maker: Mutex::new(None),
            }),
        })
    }
}

static GLOBAL: sync::OnceLock<BreakerRegistry> = sync::OnceLock::new();

impl BreakerRegistry {
    /// A set to be set up.
    pub fn builder() -> BreakerRegistryBuilder {
        BreakerRegistryBuilder {
            factory: Arc::new(|_| CircuitBreaker::builder("")),
            template: None,
            max_names: DEFAULT_MAX_NAMES,
        }
    }

    /// A set whose breakers have the default settings.
    pub fn new() -> Self {
        BreakerRegistry::builder()
            .build()
            .expect("the defaults are sound")
    }

    /// The set of this process, which [`breaker`] asks.
    pub fn global() -> &'static BreakerRegistry {
        GLOBAL.get_or_init(BreakerRegistry::new)
    }

    /// Makes this the set of the process.
    ///
    /// # Errors
    ///
    /// The set itself, if there is one already: call it before anybody asks.
    pub fn set_global(self) -> Result<(), Self> {
        GLOBAL.set(self)
    }

    /// The breaker of that name, made if there is none; past the limit, the one for all others.
    pub fn get_or_create(&self, name: &str) -> CircuitBreaker {
        {
            let named = self.lock_breakers();
            if let Some(breaker) = named.get(name) {
                return breaker.clone();
            }
            let full = named.len() >= self.shared.max_names;
            if full || name.len() > MAX_NAME_LEN || name == OVERFLOW_LABEL {
                drop(named);
                return self.get_or_create_overflow();
            }
        }
        // Made without the lock: the factory may ask for breakers itself.
        let made = self.create(name);
        let mut named = self.lock_breakers();
        if named.len() >= self.shared.max_names && !named.contains_key(name) {
            drop(named);
            return self.get_or_create_overflow();
        }
        named.entry(name.into()).or_insert(made).clone()
    }

    /// The breaker of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<CircuitBreaker> {
        let found = self.lock_breakers().get(name).cloned();
        let overflow = || {
            self.shared
                .overflow
                .get()
                .filter(|_| name == OVERFLOW_LABEL)
        };
        found.or_else(|| overflow().cloned())
    }

    /// Adds a breaker that was built elsewhere, under its own name; gives back the one that had it.
    pub fn insert(&self, breaker: CircuitBreaker) -> Option<CircuitBreaker> {
        let name = breaker.name().into();
        self.lock_breakers().insert(name, breaker)
    }

    /// Takes a breaker out. Whoever has a handle keeps it; who asks again gets a new one.
    pub fn remove(&self, name: &str) -> Option<CircuitBreaker> {
        self.lock_breakers().remove(name)
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<CircuitBreaker> {
        let mut all: Vec<_> = self.lock_breakers().values().cloned().collect();
        all.extend(self.shared.overflow.get().cloned());
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<String> {
        let all = self.list();
        all.iter()
            .map(|breaker| breaker.name().to_owned())
            .collect()
    }

    /// What each shows of itself, by name.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let all = self.list();
        all.iter()
            .map(|breaker| Snapshot::new(&*breaker.shared))
            .collect()
    }

    /// Resets the breaker of that name; whether there is one.
    pub fn reset(&self, name: &str) -> bool {
        let found = self.get(name);
        found.inspect(CircuitBreaker::reset).is_some()
    }

    /// Resets all of them.
    pub fn reset_all(&self) {
        self.list().iter().for_each(CircuitBreaker::reset);
    }

    fn lock_breakers(&self) -> MutexGuard<'_, HashMap<Arc<str>, CircuitBreaker>> {
        let named = self.shared.breakers.lock();
        named.unwrap_or_else(PoisonError::into_inner)
    }

    fn get_or_create_overflow(&self) -> CircuitBreaker {
        if let Some(overflow) = self.shared.overflow.get() {
            return overflow.clone();
        }
        let making = || {
            let making = self.shared.overflow_maker.lock();
            making.unwrap_or_else(PoisonError::into_inner)
        };
        let me = thread::current().id();
        // The factory may ask for a name that finds no room, and so for the very one that it is making.
        if *making() == Some(me) {
            return default_breaker(Label::from(OVERFLOW_LABEL));
        }
        let mut is_first = false;
        let make = || {
            is_first = true;
            *making() = Some(me);
            let made = self.create(OVERFLOW_LABEL);
            *making() = None;
            made
        };
        let overflow = self.shared.overflow.get_or_init(make).clone();
        if is_first {
            self.log_overflow();
        }
        overflow
    }

    /// Once for each set: from now on, what fails under one of the names takes the others with it.
    fn log_overflow(&self) {
        catch_hook(|| {
            tracing::warn!(
                target: "tower_keep::breaker",
                breaker = OVERFLOW_LABEL,
                max_names = self.shared.max_names,
                "no room for another circuit breaker name, further names share one breaker"
            );
        });
    }

    fn create(&self, name: &str) -> CircuitBreaker {
        let name_of = || Label::from(name.to_owned());
        let builder = catch_hook(|| (self.shared.factory)(name));
        let built = builder.map(|builder| builder.name(name_of()).build());
        match built {
            Some(Ok(breaker)) => breaker,
            Some(Err(error)) => {
                catch_hook(|| {
                    tracing::error!(
                        target: "tower_keep::breaker",
                        breaker = name,
                        error = %error,
                        "circuit breaker has settings that make no sense, and gets the defaults"
                    );
                });
                default_breaker(name_of())
            }
            None => default_breaker(name_of()),
        }
    }
}

fn default_breaker(name: Label) -> CircuitBreaker {
    let built = CircuitBreaker::builder(name).build();
    built.expect("the defaults are sound")
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

impl fmt::Debug for BreakerRegistryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakersBuilder")
            .field("template", &self.template)
            .field("max_names", &self.max_names)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, tower_keep_loom))]
mod models {
    //! Every order of a few threads, with up to three preemptions, played by loom: `.ci/models`.

    use loom::thread::JoinHandle;

    use super::*;

    fn model(world: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound.get_or_insert(3);
        builder.check(world);
    }

    fn asks(breakers: &BreakerRegistry, name: &'static str) -> JoinHandle<CircuitBreaker> {
        let breakers = breakers.clone();
        thread::spawn(move || breakers.get_or_create(name))
    }

    fn is_same(a: &CircuitBreaker, b: &CircuitBreaker) -> bool {
        Arc::ptr_eq(&a.shared, &b.shared)
    }

    #[test]
    fn threads_that_ask_for_one_name_at_once_get_one_breaker() {
        model(|| {
            let breakers = BreakerRegistry::builder()
                .max_names(1)
                .build()
                .expect("sound");
            let other = asks(&breakers, "a");
            let mine = breakers.get_or_create("a");
            let other = other.join().expect("no panic");
            assert!(is_same(&mine, &other));
            assert_eq!(breakers.names(), ["a"]);
        });
    }

    #[test]
    fn names_that_find_no_room_at_once_share_one_breaker() {
        model(|| {
            let breakers = BreakerRegistry::builder()
                .max_names(1)
                .build()
                .expect("sound");
            breakers.get_or_create("full");
            let other = asks(&breakers, "a");
            let mine = breakers.get_or_create("b");
            let other = other.join().expect("no panic");
            assert!(is_same(&mine, &other));
            assert_eq!(breakers.names(), [OVERFLOW, "full"]);
        });
    }

    #[test]
    fn threads_that_ask_for_the_last_place_fill_it_once() {
        model(|| {
            let breakers = BreakerRegistry::builder()
                .max_names(1)
                .build()
                .expect("sound");
            let other = asks(&breakers, "a");
            let mine = breakers.get_or_create("b");
            let other = other.join().expect("no panic");
            assert!((mine.name() == "b") != (other.name() == "a"));
            assert_eq!(breakers.named().len(), 1);
        });
    }
}
