use std::{
    borrow::Borrow,
    fmt,
    hash::Hash,
    marker::PhantomData,
    sync::{Arc, PoisonError},
};

use tokio::{sync::broadcast, time::Instant};

use super::{
    super::{CircuitBreaker, CircuitBreakerBuilder, Transition, settings::Plan, state::State},
    seat::{Board, Seat},
    shelf::Shelf,
};
use crate::{
    call::{InvalidSetting, Name},
    registry::{self, Inspect, Stats},
    util::{
        sync::{Mutex, MutexGuard},
        text::written,
    },
};

/// Thousands of hosts or tenants are no fault of a breaker's; each key costs about 1 KiB.
const MAX_KEYS: usize = 1_000;
/// A look at all of them, to find one that can go, must stay short.
const MOST_KEYS: usize = 100_000;
/// As much of a key as logs show.
const KEY_TEXT: usize = 128;

/// A circuit breaker for each key - a host, a tenant, a route -, all with one name and the same settings.
///
/// Use it where what callers send decides whom a call goes to. Keys are [got](Self::get) or made; as a guard, the key
/// comes [from the request](Self::by). In metrics all keys are one: `tower_keep_breaker_state` is the number of keys
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
/// assert!(upstreams.get("a.example").would_refuse());
/// assert!(!upstreams.get("b.example").would_refuse());
///
/// // Each request goes by the breaker of its host.
/// let layer = GuardLayer::client(upstreams.by_authority());
/// # let _ = layer;
/// # Ok::<_, tower_keep::InvalidSetting>(())
/// ```
pub struct KeyedBreaker<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    max_keys: usize,
    shelf: Mutex<Shelf<K>>,
    board: Arc<Board>,
    /// Dropped last: it may hold the last handle of a thrown switch, which then tells all that are still alive.
    plan: Plan,
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
    pub fn build(self) -> Result<KeyedBreaker<K>, InvalidSetting> {
        let plan = self.template.plan()?;
        if !(1..=MOST_KEYS).contains(&self.max_keys) {
            let owner = format!("breaker {:?}", plan.name);
            let got = self.max_keys;
            return Err(InvalidSetting::new(owner, "max_keys", got, "1 to 100000"));
        }
        let shared = Arc::new(Shared {
            max_keys: self.max_keys,
            shelf: Mutex::new(Shelf::new(self.max_keys)),
            board: Board::new(&plan.name),
            plan,
        });
        registry::enter(&shared);
        Ok(KeyedBreaker { shared })
    }
}

impl<K> KeyedBreaker<K> {
    /// Breakers to be made from this template, for keys of this type.
    pub fn builder(template: CircuitBreakerBuilder) -> KeyedBreakerBuilder<K> {
        KeyedBreakerBuilder {
            template,
            max_keys: MAX_KEYS,
            keys: PhantomData,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.shared.board.name().as_str()
    }

    /// How many keys are in this state now.
    pub fn keys_in(&self, state: State) -> u64 {
        self.shared.board.census()[state as usize]
    }

    /// Every transition of every key from now on. One who lags behind by more than 64 is told how many are lost.
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.shared.board.subscribe()
    }
}

impl<K: Hash + Eq + fmt::Display> KeyedBreaker<K> {
    /// The breaker of a key, made if there is none. Takes no memory where there is one.
    pub fn get<Q>(&self, key: &Q) -> CircuitBreaker
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let found = self.shared.shelf().find(key);
        found.unwrap_or_else(|| self.shared.make(key.to_owned()))
    }

    /// As [`get`](Self::get), with a key to keep.
    pub fn get_owned(&self, key: K) -> CircuitBreaker {
        let found = self.shared.shelf().find(&key);
        found.unwrap_or_else(|| self.shared.make(key))
    }

    /// The breaker of a key, if there is one. To look is not to use.
    pub fn peek<Q>(&self, key: &Q) -> Option<CircuitBreaker>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shared.shelf().peek(key)
    }

    /// Takes the breaker of a key out, which begins anew if it comes back.
    pub fn remove<Q>(&self, key: &Q) -> Option<CircuitBreaker>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let removed = self.shared.shelf().remove(key)?;
        self.shared.board.count_out(seat(&removed));
        Some(removed)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.shared.shelf().len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys and their states, in no order.
    pub fn states(&self) -> Vec<(K, State)>
    where
        K: Clone,
    {
        let shelf = self.shared.shelf();
        let all = shelf.iter();
        all.map(|(key, breaker)| (key.clone(), breaker.shared.state()))
            .collect()
    }

    /// Closes every circuit and forgets everything that was counted.
    pub fn reset_all(&self) {
        // Not under the lock: a reset is told to subscribers and to the log.
        let all: Vec<_> = self
            .shared
            .shelf()
            .iter()
            .map(|kept| kept.1.clone())
            .collect();
        all.iter().for_each(CircuitBreaker::reset);
    }
}

impl<K: Hash + Eq + fmt::Display> Shared<K> {
    #[cold]
    fn make(&self, key: K) -> CircuitBreaker {
        let text = Name::from(String::from(written(Printable(&key), KEY_TEXT)));
        let made = CircuitBreaker::seated(self.plan.clone(), Seat::new(&self.board, text));
        let gone = {
            let mut shelf = self.shelf();
            // Another thread may have been faster.
            if let Some(breaker) = shelf.find(&key) {
                return breaker;
            }
            shelf.put(key, made.clone(), Instant::now)
        };
        // Not under the lock: recorders are user code.
        seat(&made).for_each(|seat| seat.join(|| made.shared.state()));
        if !gone.is_empty() {
            self.board.count_out(gone.iter().flat_map(seat));
            self.board.count_evicted(gone.len());
        }
        made
    }
}

fn seat(breaker: &CircuitBreaker) -> impl Iterator<Item = &Seat> {
    breaker.shared.teller.seat().into_iter()
}

impl<K> Drop for Shared<K> {
    fn drop(&mut self) {
        self.board.close();
    }
}

impl<K> Shared<K> {
    fn shelf(&self) -> MutexGuard<'_, Shelf<K>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key for the log: it may come from the wire, so that it must not break a line.
struct Printable<'a, K>(&'a K);

impl<K: fmt::Display> fmt::Display for Printable<'_, K> {
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

impl<K: Hash + Eq + Send> Inspect for Shared<K> {
    fn kind(&self) -> &'static str {
        "keyed_circuit_breaker"
    }

    fn name(&self) -> &str {
        self.board.name().as_str()
    }

    /// The worst that any key is in.
    fn state(&self) -> &'static str {
        let census = self.board.census();
        let any = |state: State| census[state as usize] > 0;
        let worst = [State::ForcedOpen, State::Open, State::HalfOpen];
        let worst = worst.into_iter().find(|state| any(*state));
        worst.unwrap_or(State::Closed).as_str()
    }

    fn stats(&self, stats: &mut Stats) {
        self.board.show();
        let census = self.board.census();
        stats.count("keys", self.shelf().len() as u64);
        stats.count("max_keys", self.max_keys as u64);
        for (state, keys) in State::ALL.into_iter().zip(census) {
            stats.count(state.as_str(), keys);
        }
        stats.count("evicted", self.board.evicted());
        let mode = if self.plan.shadow { "shadow" } else { "on" };
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
            .field("name", self.shared.board.name())
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
