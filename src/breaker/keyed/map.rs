//! A bounded map of breakers. Pure, but for asking them how they are.

use std::{borrow::Borrow, collections::HashMap, hash::Hash, sync::Arc};

use tokio::time::Instant;

use super::super::{CircuitBreaker, state::CircuitState};
use crate::util::sync::HashKeys;

#[derive(Debug)]
pub(super) struct BreakerMap<K> {
    entries: HashMap<K, BreakerEntry, HashKeys>,
    capacity: usize,
    /// Counts the uses, so that no two are at the same time.
    use_clock: u64,
}

#[derive(Debug)]
struct BreakerEntry {
    breaker: CircuitBreaker,
    last_used: u64,
}

/// What would be lost with a breaker, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EvictionRank {
    /// Nobody has a call in flight or a handle, and calls would pass: a few counts.
    Idle,
    /// Calls would pass, but somebody uses it.
    InUse,
    /// Callers are kept away from what fails.
    Rejecting,
    /// Somebody has told it what to do.
    Manual,
}

impl BreakerEntry {
    fn eviction_rank(&self, now: Instant) -> EvictionRank {
        let shared = &self.breaker.shared;
        match shared.state() {
            CircuitState::ForcedOpen | CircuitState::Disabled => EvictionRank::Manual,
            CircuitState::Open | CircuitState::HalfOpen
                if shared.lock().machine.rejects(now).is_all() =>
            {
                EvictionRank::Rejecting
            }
            // The shelf's own reference is the only one.
            _ if Arc::strong_count(shared) == 1 => EvictionRank::Idle,
            _ => EvictionRank::InUse,
        }
    }
}

impl<K: Hash + Eq> BreakerMap<K> {
    pub(super) fn new(most: usize) -> Self {
        BreakerMap {
            entries: HashMap::default(),
            capacity: most,
            use_clock: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The breaker of a key; finding it is a use.
    pub(super) fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<CircuitBreaker>
    where
        K: Borrow<Q>,
    {
        let kept = self.entries.get_mut(key)?;
        self.use_clock += 1;
        kept.last_used = self.use_clock;
        Some(kept.breaker.clone())
    }

    /// The breaker of a key, without using it.
    pub(super) fn peek<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<CircuitBreaker>
    where
        K: Borrow<Q>,
    {
        Some(self.entries.get(key)?.breaker.clone())
    }

    /// Puts a new breaker there; what had to make room for it comes back.
    pub(super) fn insert(
        &mut self,
        key: K,
        breaker: CircuitBreaker,
        now: impl FnOnce() -> Instant,
    ) -> Vec<CircuitBreaker> {
        let gone = if self.entries.len() < self.capacity {
            Vec::new()
        } else {
            self.evict(now())
        };
        self.use_clock += 1;
        let used = self.use_clock;
        self.entries.insert(
            key,
            BreakerEntry {
                breaker,
                last_used: used,
            },
        );
        gone
    }

    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<CircuitBreaker>
    where
        K: Borrow<Q>,
    {
        Some(self.entries.remove(key)?.breaker)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &CircuitBreaker)> {
        self.entries.iter().map(|(key, kept)| (key, &kept.breaker))
    }

    /// Takes out the least recently used of those that are not protected: several at once, since a look at all of them
    /// is dear, and a flood of new keys must not make each of them cost one.
    fn evict(&mut self, now: Instant) -> Vec<CircuitBreaker> {
        let mut going = self.evictable(now);
        truncate_to_least(&mut going, (self.capacity / 16).max(1));
        going.sort_unstable();
        let mut gone = Vec::with_capacity(going.len());
        self.entries.retain(|_, kept| {
            let stays = going.binary_search(&kept.last_used).is_err();
            if !stays {
                gone.push(kept.breaker.clone());
            }
            stays
        });
        gone
    }

    /// Returns when those were used that may go: all idle ones, and at least a quarter of all. Without that quarter,
    /// whoever fills the rest with keys that fail or hang would leave no place to those that come and go.
    fn evictable(&self, now: Instant) -> Vec<u64> {
        let kept = self.entries.values();
        let mut ranks: Vec<_> = kept
            .map(|kept| (kept.eviction_rank(now), kept.last_used))
            .collect();
        let idle = ranks
            .iter()
            .filter(|rank| rank.0 == EvictionRank::Idle)
            .count();
        truncate_to_least(&mut ranks, idle.max(self.capacity.div_ceil(4)));
        ranks.into_iter().map(|rank| rank.1).collect()
    }
}

/// Drops all but this many of the least.
fn truncate_to_least<T: Ord>(all: &mut Vec<T>, many: usize) {
    if many < all.len() {
        all.select_nth_unstable(many);
        all.truncate(many);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn breaker() -> CircuitBreaker {
        CircuitBreaker::builder("b").build().expect("sound")
    }

    /// What a breaker is like an hour after it was put there.
    #[derive(Clone, Copy, Debug)]
    enum Kind {
        Closed,
        /// Its open time is over.
        Rested,
        Open,
        Forced,
    }

    impl Kind {
        fn make(self) -> CircuitBreaker {
            let breaker = breaker();
            match self {
                Kind::Closed => {}
                Kind::Rested => breaker.open_for(HOUR / 2),
                Kind::Open => breaker.open_for(HOUR * 2),
                Kind::Forced => breaker.force_open(),
            }
            breaker
        }

        fn loss(self, held: bool) -> EvictionRank {
            match self {
                Kind::Forced => EvictionRank::Manual,
                Kind::Open => EvictionRank::Rejecting,
                Kind::Closed | Kind::Rested if held => EvictionRank::InUse,
                Kind::Closed | Kind::Rested => EvictionRank::Idle,
            }
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Use(u8),
        Put(u8, Kind, bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        let kinds = &[Kind::Closed, Kind::Rested, Kind::Open, Kind::Forced][..];
        prop_oneof![
            (0..12_u8).prop_map(Step::Use),
            (0..12_u8, prop::sample::select(kinds), any::<bool>())
                .prop_map(|(key, kind, held)| Step::Put(key, kind, held)),
        ]
    }

    proptest! {
        /// Against a list in which the protected are marked one by one, and the first that is not marked goes.
        #[test]
        fn shelf_loses_what_a_list_would_lose(
            most in 1..9_usize, steps in prop::collection::vec(step(), 1..60),
        ) {
            let mut shelf = BreakerMap::new(most);
            let mut handles = Vec::new();
            // Oldest use first: the key, and what would be lost with it.
            let mut list: Vec<(u8, EvictionRank)> = Vec::new();
            for step in steps {
                match step {
                    Step::Use(key) => {
                        let at = list.iter().position(|kept| kept.0 == key);
                        prop_assert_eq!(shelf.get(&key).is_some(), at.is_some());
                        if let Some(at) = at {
                            let kept = list.remove(at);
                            list.push(kept);
                        }
                    }
                    Step::Put(key, ..) if list.iter().any(|kept| kept.0 == key) => {}
                    Step::Put(key, kind, held) => {
                        let breaker = kind.make();
                        if held {
                            handles.push(breaker.clone());
                        }
                        if list.len() == most {
                            list.remove(first_unprotected(&list));
                        }
                        list.push((key, kind.loss(held)));
                        shelf.insert(key, breaker, || Instant::now() + HOUR);
                    }
                }
                let mut kept: Vec<u8> = shelf.iter().map(|kept| *kept.0).collect();
                let mut expected: Vec<u8> = list.iter().map(|kept| kept.0).collect();
                kept.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(kept, expected);
            }
        }
    }

    fn first_unprotected(list: &[(u8, EvictionRank)]) -> usize {
        let mut protected = vec![false; list.len()];
        let mut places = list.len() * 3 / 4;
        for loss in [
            EvictionRank::Manual,
            EvictionRank::Rejecting,
            EvictionRank::InUse,
        ] {
            for at in (0..list.len()).rev() {
                if list[at].1 == loss && places > 0 {
                    protected[at] = true;
                    places -= 1;
                }
            }
        }
        let first = protected.iter().position(|protected| !protected);
        first.expect("a quarter is not")
    }

    /// Each new key looked at all of them: 46 ms with 100,000.
    #[test]
    fn shelf_of_open_circuits_looks_for_room_once_for_many_new_keys() {
        for kind in [Kind::Open, Kind::Forced, Kind::Closed, Kind::Rested] {
            const MOST: u32 = 1_600;
            let mut shelf = BreakerMap::new(MOST as usize);
            let mut looks = 0;
            for key in 0..2 * MOST {
                let now = || {
                    looks += 1;
                    Instant::now() + HOUR
                };
                shelf.insert(key, kind.make(), now);
            }
            assert_eq!(looks, 16, "{kind:?}");
        }
    }
}
