use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError},
};

use super::{
    CircuitBreaker, CircuitBreakerBuilder,
    config::BreakerConfig,
    registry_builder::BreakerFactory,
    settings_version::{Versioned, next_settings_version},
    validate::{MAX_NAME_LEN, validate},
};
use crate::{
    call::catch_hook,
    util::{
        append_map::OVERFLOW_LABEL,
        sync::{
            Mutex, MutexGuard, OnceLock,
            thread::{self, ThreadId},
        },
    },
};

/// The breakers and settings behind all handles of a registry.
pub(super) struct RegistryShared {
    factory: BreakerFactory,
    pub(super) max_names: usize,
    breakers: Mutex<HashMap<Arc<str>, NamedBreaker>>,
    /// The settings that were applied, by name.
    settings: Mutex<Versioned<BTreeMap<String, BreakerConfig>>>,
    /// The breaker of all names past the limit.
    overflow: OnceLock<NamedBreaker>,
    /// The thread that creates the overflow breaker.
    overflow_maker: Mutex<Option<ThreadId>>,
}

/// A breaker of a registry.
#[derive(Clone)]
pub(super) struct NamedBreaker {
    pub(super) breaker: CircuitBreaker,
    /// The settings that it has while the registry has none for its name: those that it was created or inserted with.
    own: BreakerConfig,
}

impl RegistryShared {
    pub(super) fn new(factory: BreakerFactory, max_names: usize) -> Self {
        RegistryShared {
            factory,
            max_names,
            breakers: Mutex::default(),
            settings: Mutex::default(),
            overflow: OnceLock::new(),
            overflow_maker: Mutex::new(None),
        }
    }

    /// Returns the breaker of that name, created if there is none, or that of all names past the limit.
    pub(super) fn get_or_create(&self, name: &str) -> CircuitBreaker {
        {
            let breakers = self.lock_breakers();
            if let Some(named) = breakers.get(name) {
                return named.breaker.clone();
            }
            let is_full = breakers.len() >= self.max_names;
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
        if breakers.len() >= self.max_names && !breakers.contains_key(name) {
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

    pub(super) fn get(&self, name: &str) -> Option<CircuitBreaker> {
        if let Some(found) = self.lock_breakers().get(name) {
            return Some(found.breaker.clone());
        }
        let overflow = self.overflow.get();
        let overflow = overflow.filter(|_| name == OVERFLOW_LABEL);
        overflow.map(|named| named.breaker.clone())
    }

    /// Inserts a breaker under its own name, with the settings that were applied for that. Returns the one of before.
    pub(super) fn insert(&self, breaker: CircuitBreaker) -> Option<CircuitBreaker> {
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

    /// Applies checked settings to the breakers of their names, and remembers them for later ones.
    pub(super) fn apply(&self, by_name: BTreeMap<String, BreakerConfig>) {
        let (before, version) = self.lock_settings().replace(by_name.clone());
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
    }

    /// Returns all breakers with what they were created with, ordered by name.
    pub(super) fn list_named(&self) -> Vec<NamedBreaker> {
        let mut all: Vec<_> = self.lock_breakers().values().cloned().collect();
        all.extend(self.overflow.get().cloned());
        all.sort_by(|a, b| a.breaker.name().cmp(b.breaker.name()));
        all
    }

    pub(super) fn lock_breakers(&self) -> MutexGuard<'_, HashMap<Arc<str>, NamedBreaker>> {
        let breakers = self.breakers.lock();
        breakers.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_settings(&self) -> MutexGuard<'_, Versioned<BTreeMap<String, BreakerConfig>>> {
        let settings = self.settings.lock();
        settings.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the settings that were applied for a name, if any, and the version of all of them.
    fn settings_of(&self, name: &str) -> (Option<BreakerConfig>, u64) {
        let applied = self.lock_settings();
        (applied.value.get(name).cloned(), applied.version)
    }

    /// Returns the settings that were applied for a name, if any, with a version that is higher than that of a breaker which
    /// is inserted.
    fn settings_to_insert(&self, name: &str) -> (Option<BreakerConfig>, u64) {
        let applied = self.lock_settings();
        // Under the lock, so that settings that are applied later have a higher one.
        let config = applied.value.get(name).cloned();
        (config, next_settings_version())
    }

    /// Applies to a new breaker the settings of its name, if others were applied since it was created with this version.
    fn apply_latest(&self, NamedBreaker { breaker, own }: &NamedBreaker, version: u64) {
        let (config, latest) = self.settings_of(breaker.name());
        if latest != version {
            breaker.apply_config(latest, config.as_ref().unwrap_or(own));
        }
    }

    fn get_or_create_overflow(&self) -> CircuitBreaker {
        if let Some(overflow) = self.overflow.get() {
            return overflow.breaker.clone();
        }
        let maker = || {
            let maker = self.overflow_maker.lock();
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
        let overflow = self.overflow.get_or_init(create).clone();
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
                max_names = self.max_names,
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
        let builder = catch_hook(|| (self.factory)(name));
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
