//! The keys of one shard, under its lock: pure, and given the time.

use super::{capacity::KeyCapacity, key_map::KeyMap};
use crate::rate_limit::quota::{Denial, Grant, Quota};

/// The time between two sweeps for new keys for which there is no room, in ticks: 0.1 s. A sweep looks at all keys of the
/// shard, and a flood of new keys must not make each of them pay for that.
const SWEEP_PAUSE: u64 = 100_000_000 / 16;

/// The state of one key, packed since there may be millions: that of its limit, and in the lowest bit whether the key has come back
/// after its limit was full again, which no key of a flood does.
#[derive(Clone, Copy, Debug)]
struct KeyState(u64);

impl KeyState {
    fn new(limit: u64) -> Self {
        KeyState(limit << 1)
    }

    #[inline]
    fn limit(self) -> u64 {
        self.0 >> 1
    }

    #[inline]
    fn with_limit(self, limit: u64) -> Self {
        KeyState((limit << 1) | (self.0 & 1))
    }

    #[inline]
    fn is_established(self) -> bool {
        self.0 & 1 == 1
    }

    fn established(self) -> Self {
        KeyState(self.0 | 1)
    }
}

/// The result of taking cells for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyDecision {
    Own(Result<Grant, Denial>),
    /// The key is new, and there is no room for it.
    NoRoom,
}

/// The buckets of the keys whose hashes fall to one shard.
///
/// A bucket that is full again says no more than none, so that its key can be evicted and loses nothing. What it loses is its
/// place: with a flood of new keys it would not get one again. So a key that has come back is kept for a while.
#[derive(Debug)]
pub(super) struct Shard {
    keys: KeyMap,
    quota: Quota,
    /// The earliest time at which it makes sense to look for keys that can go.
    next_sweep: u64,
    last_sweep: u64,
    admitted: u64,
    evicted: u64,
}

impl Shard {
    pub(super) fn new(quota: Quota) -> Self {
        Shard {
            keys: KeyMap::default(),
            quota,
            next_sweep: 0,
            last_sweep: 0,
            admitted: 0,
            evicted: 0,
        }
    }

    /// Takes cells of a key that are there now, or within the wait.
    #[inline]
    pub(super) fn take(
        &mut self,
        hash: u64,
        now: u64,
        cells: u32,
        max_wait: u64,
        capacity: &KeyCapacity,
    ) -> KeyDecision {
        match self.take_now(hash, now, cells) {
            Some(state) => KeyDecision::Own(Ok(Grant { state, wait: 0 })),
            None => self.take_or_deny(hash, now, cells, max_wait, capacity),
        }
    }

    /// Takes cells that are there now of a key that stays what it is: most calls, which need nothing of the rest.
    #[inline]
    fn take_now(&mut self, hash: u64, now: u64, cells: u32) -> Option<u64> {
        let bits = self.keys.get_mut(hash)?;
        let state = KeyState(*bits);
        if !state.is_established() && state.limit() <= now {
            return None;
        }
        let limit = self.quota.take_now(state.limit(), now, cells)?;
        *bits = state.with_limit(limit).0;
        self.admitted += 1;
        Some(limit)
    }

    #[inline(never)]
    fn take_or_deny(
        &mut self,
        hash: u64,
        now: u64,
        cells: u32,
        max_wait: u64,
        capacity: &KeyCapacity,
    ) -> KeyDecision {
        if let Some(bits) = self.keys.get_mut(hash) {
            let mut state = KeyState(*bits);
            if !state.is_established()
                && self.quota.full_at(state.limit(), now) <= now
                && capacity.establish()
            {
                state = state.established();
            }
            let decision = self.quota.take(state.limit(), now, cells, max_wait);
            if let Ok(grant) = decision {
                state = state.with_limit(grant.state);
                self.admitted += 1;
            }
            *bits = state.0;
            return KeyDecision::Own(decision);
        }
        match self.quota.take(0, now, cells, max_wait) {
            // A key of which nothing is taken needs no place.
            Err(denial) => KeyDecision::Own(Err(denial)),
            Ok(grant) if cells == 0 => KeyDecision::Own(Ok(grant)),
            Ok(_) if !self.make_room(now, capacity) => KeyDecision::NoRoom,
            Ok(grant) => {
                self.keys.insert(hash, KeyState::new(grant.state).0);
                let full_at = self.quota.full_at(grant.state, now);
                let can_go_at = full_at.max(self.last_sweep + SWEEP_PAUSE);
                self.next_sweep = self.next_sweep.min(can_go_at);
                self.admitted += 1;
                KeyDecision::Own(Ok(grant))
            }
        }
    }

    /// Claims the place of another key, and returns whether there was one.
    fn make_room(&mut self, now: u64, capacity: &KeyCapacity) -> bool {
        if self.keys.is_full() {
            // Before the map grows: most keys of before may have gone.
            self.sweep(now, false, capacity);
        }
        if capacity.claim() {
            return true;
        }
        if now < self.next_sweep {
            return false;
        }
        self.sweep(now, true, capacity);
        capacity.claim()
    }

    /// Removes the keys whose bucket has been full for long; with `is_full`, those that never came back at once.
    fn sweep(&mut self, now: u64, is_full: bool, capacity: &KeyCapacity) {
        let idle_time = capacity.idle_time();
        let quota = self.quota;
        let kept_until = |bits: u64| {
            let state = KeyState(bits);
            let keep_for = match is_full && !state.is_established() {
                true => 0,
                false => idle_time,
            };
            quota.full_at(state.limit(), now) + keep_for
        };
        let (mut gone, mut gone_established, mut next) = (0, 0, u64::MAX);
        for bits in self.keys.values() {
            let until = kept_until(bits);
            if until <= now {
                gone += 1;
                gone_established += usize::from(KeyState(bits).is_established());
            } else {
                next = next.min(until);
            }
        }
        if is_full {
            // Nothing that is there now goes before that: a flood of keys that stay must not cost a sweep each time.
            self.last_sweep = now;
            self.next_sweep = next.max(now + SWEEP_PAUSE);
        }
        if gone > 0 || self.keys.is_full() {
            self.keys.rebuild(|bits| kept_until(bits) > now);
        }
        self.evicted += gone as u64;
        capacity.release(gone, gone_established);
    }

    fn established(&self) -> usize {
        let states = self.keys.values().map(KeyState);
        states.filter(|state| state.is_established()).count()
    }

    /// Puts back what a grant took, if nothing was taken after it.
    pub(super) fn put_back(&mut self, hash: u64, grant: Grant, cells: u32) {
        if let Some(bits) = self.keys.get_mut(hash)
            && KeyState(*bits).limit() == grant.state
        {
            let before = self.quota.put_back(grant.state, cells);
            *bits = KeyState(*bits).with_limit(before).0;
        }
    }

    /// Empties the bucket of a key, if there is one.
    pub(super) fn empty(&mut self, hash: u64, now: u64, pause: u64) {
        if let Some(bits) = self.keys.get_mut(hash) {
            let state = KeyState(*bits);
            let limit = self.quota.empty(state.limit(), now, pause);
            *bits = state.with_limit(limit).0;
        }
    }

    /// Replaces the quota; as many cells are missing for each key as before.
    pub(super) fn set_quota(&mut self, now: u64, quota: Quota) {
        for bits in self.keys.values_mut() {
            let state = KeyState(*bits);
            let limit = self.quota.convert(state.limit(), now, quota);
            *bits = state.with_limit(limit).0;
        }
        self.quota = quota;
        self.next_sweep = 0;
    }

    /// Returns the state of the limit of a key, and the quota.
    pub(super) fn read(&self, hash: u64) -> (Option<u64>, Quota) {
        let state = self.keys.get(hash).map(KeyState);
        (state.map(KeyState::limit), self.quota)
    }

    /// Removes all keys.
    pub(super) fn clear(&mut self, capacity: &KeyCapacity) {
        capacity.release(self.keys.len(), self.established());
        self.keys = KeyMap::default();
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn admitted(&self) -> u64 {
        self.admitted
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(all(test, not(tower_keep_loom)))]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::rate_limit::RateAlgorithm;

    const QUOTA: Quota = Quota::new(RateAlgorithm::Gcra, 10, 2);
    /// Longer than many sweeps.
    const IDLE: u64 = 20 * SWEEP_PAUSE;

    fn shard(max_keys: usize) -> (Shard, KeyCapacity) {
        (Shard::new(QUOTA), KeyCapacity::new(max_keys, IDLE))
    }

    fn is_admitted(decision: KeyDecision) -> bool {
        matches!(decision, KeyDecision::Own(Ok(_)))
    }

    #[test]
    fn key_has_a_bucket_of_its_own() {
        let (mut shard, capacity) = shard(10);
        for key in [1, 2] {
            let mut take = || is_admitted(shard.take(key, 0, 1, 0, &capacity));
            assert_eq!([take(), take(), take()], [true, true, false]);
        }
        let never = KeyDecision::Own(Err(Denial::Never));
        assert_eq!(shard.take(3, 0, 3, 0, &capacity), never);
        assert!(is_admitted(shard.take(3, 0, 0, 0, &capacity)));
        assert_eq!((shard.len(), shard.admitted()), (2, 4));
    }

    #[test]
    fn new_key_takes_the_place_of_one_that_never_came_back() {
        let (mut shard, capacity) = shard(2);
        for key in [1, 2] {
            assert!(is_admitted(shard.take(key, 0, 1, 0, &capacity)));
        }
        assert_eq!(shard.take(3, 0, 1, 0, &capacity), KeyDecision::NoRoom);
        // The next sweep is later: others have just looked.
        assert_eq!(shard.take(3, 50, 1, 0, &capacity), KeyDecision::NoRoom);
        assert!(is_admitted(shard.take(3, SWEEP_PAUSE, 1, 0, &capacity)));
        assert_eq!((shard.len(), shard.evicted()), (1, 2));
    }

    #[test]
    fn key_that_came_back_keeps_its_place_until_it_is_idle_for_long() {
        let (mut shard, capacity) = shard(4);
        assert!(is_admitted(shard.take(1, 0, 1, 0, &capacity)));
        assert!(
            is_admitted(shard.take(1, 10, 1, 0, &capacity)),
            "it is back"
        );
        let mut now = 10;
        let mut flood = |strangers: std::ops::Range<u64>| {
            for stranger in strangers {
                now += SWEEP_PAUSE;
                assert!(is_admitted(shard.take(stranger, now, 1, 0, &capacity)));
            }
            shard.read(1).0.is_some()
        };
        assert!(flood(100..118), "not yet idle for long");
        assert!(!flood(118..130), "idle");
    }

    #[test]
    fn keys_that_came_back_leave_a_quarter_to_new_ones() {
        let (mut shard, capacity) = shard(8);
        for key in 1..9 {
            shard.take(key, 0, 1, 0, &capacity);
            shard.take(key, 10, 1, 0, &capacity);
        }
        assert_eq!(capacity.established(), 6);
        assert!(is_admitted(shard.take(100, SWEEP_PAUSE, 1, 0, &capacity)));
        assert_eq!((shard.len(), shard.evicted()), (7, 2));
        shard.clear(&capacity);
        assert_eq!(
            (shard.len(), capacity.len(), capacity.established()),
            (0, 0, 0)
        );
    }

    #[test]
    fn map_shrinks_when_its_keys_have_gone() {
        let (mut shard, capacity) = shard(100_000);
        // Spread as hashes are.
        let hash = |key: u64| key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for key in 1..50_000 {
            shard.take(hash(key), 0, 1, 0, &capacity);
        }
        let (large, mut now) = (shard.keys.capacity(), 0);
        for key in 50_000..200_000 {
            now += IDLE / 4;
            shard.take(hash(key), now, 1, 0, &capacity);
        }
        let small = shard.keys.capacity();
        assert!(small < large / 100, "{small}");
        assert_eq!(capacity.len(), shard.len());
    }

    proptest! {
        /// Against a map that evicts nothing: with room for all keys, nobody notices evictions.
        #[test]
        fn decisions_are_those_of_a_bucket_for_each_key(
            steps in prop::collection::vec((1..7_u64, 0..40_u64, 0..4_u32), 1..80), idle in 0..50_u64,
        ) {
            let (mut shard, capacity) = (Shard::new(QUOTA), KeyCapacity::new(6, idle));
            let mut model: HashMap<u64, u64> = HashMap::new();
            let mut now = 0;
            for (key, pause, cells) in steps {
                now += pause;
                let arrival = model.entry(key).or_insert(0);
                let expected = QUOTA.take(*arrival, now, cells, 15);
                if let Ok(grant) = expected {
                    *arrival = grant.state;
                }
                let decision = shard.take(key, now, cells, 15, &capacity);
                prop_assert_eq!(decision, KeyDecision::Own(expected));
                prop_assert_eq!(capacity.len(), shard.len());
            }
        }
    }
}
