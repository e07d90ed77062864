//! Metrics with labels whose number of series is bounded, whatever label values peers send.

mod capacity;
mod hasher;
mod in_flight_gauge;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
};

use metrics::Gauge;

pub(crate) use in_flight_gauge::InFlightGauge;

use self::{capacity::Capacity, hasher::FieldHasher};
use super::{append_map::AppendMap, per_recorder::PerRecorder, recorder::RecorderKind};

/// The key of a series, from which its labels are made.
pub(crate) trait SeriesKey: Copy + Eq + Hash {
    /// Number of keys that [`overflow_key`](Self::overflow_key) can return.
    const OVERFLOW_KEYS: usize;

    /// Returns the key of the overflow series that records this key when the family is full.
    ///
    /// Keys of different kinds have different overflow keys, so that the series can have the labels that its keys share.
    /// An overflow key returns itself.
    fn overflow_key(&self) -> Self;

    /// Returns whether the key may use the reserved series.
    fn has_reserve(&self) -> bool {
        false
    }
}

/// A series with its handles. It is never removed, and does not depend on the recorder.
#[derive(Debug)]
struct Series<K, V> {
    key: K,
    handles: PerRecorder<V>,
}

/// All series of a metric, or of several metrics with the same labels. `V` holds the handles of one series.
///
/// Decides once, for all recorders, which keys get a series of their own. A series that has been used before is found
/// without a lock and without an allocation.
#[derive(Debug)]
pub(crate) struct Family<K, V> {
    series: AppendMap<Series<K, V>>,
    capacity: Capacity,
    reserved: Capacity,
    overflow: Capacity,
}

impl<K: SeriesKey, V> Family<K, V> {
    /// Returns a family of at most `max` series, and one for each overflow key.
    pub(crate) fn new(max: usize) -> Self {
        Family::with_reserve(max, 0)
    }

    /// Returns a family with `reserve` more series for keys that may use the reserve.
    pub(crate) fn with_reserve(max: usize, reserve: usize) -> Self {
        Family {
            series: AppendMap::new(max + reserve + K::OVERFLOW_KEYS),
            capacity: Capacity::new(max),
            reserved: Capacity::new(reserve),
            overflow: Capacity::new(K::OVERFLOW_KEYS),
        }
    }

    /// Runs `f` with the handles of the series of this key, or of its overflow series.
    ///
    /// Handles that do not exist yet are made by `make` from the key of that series. `recorder` is the kind of the current
    /// recorder; without one, nothing runs.
    #[inline]
    pub(crate) fn with_handles(
        &self,
        recorder: RecorderKind,
        key: &K,
        make: impl FnOnce(&K) -> V,
        f: impl FnOnce(&V),
    ) {
        if recorder != RecorderKind::None {
            let series = self.get(key);
            let make = || make(&series.key);
            series.handles.with_recorder(recorder, make, f);
        }
    }

    /// Returns the series of a key, or its overflow series.
    #[inline]
    fn get(&self, key: &K) -> &Series<K, V> {
        match self.find(key) {
            Some(series) => series,
            None => self.add(key),
        }
    }

    #[inline]
    fn find(&self, key: &K) -> Option<&Series<K, V>> {
        self.series.find(hash_key(key), |series| series.key == *key)
    }

    #[cold]
    fn add(&self, key: &K) -> &Series<K, V> {
        let reserve = key.has_reserve().then_some(&self.reserved);
        let free = || {
            let mut capacities = [Some(&self.capacity), reserve].into_iter().flatten();
            capacities.find(|capacity| capacity.has_room())
        };
        // Checked without the lock first: when the family is full, threads must not queue for it.
        let own = free().and_then(|_| self.insert(key, free));
        // Another thread may have added the key in between, and used the last capacity for it.
        own.or_else(|| self.find(key)).unwrap_or_else(|| {
            let overflow = key.overflow_key();
            let series = self.find(&overflow);
            series
                .or_else(|| self.insert(&overflow, || Some(&self.overflow)))
                .expect("there is capacity for every overflow key")
        })
    }

    fn insert<'a>(
        &'a self,
        key: &K,
        free: impl FnOnce() -> Option<&'a Capacity>,
    ) -> Option<&'a Series<K, V>> {
        // Chosen when the series is made, claimed once all threads can see it.
        let capacity = Cell::new(None);
        let make = |_| {
            capacity.set(free());
            capacity.get().map(|_| Series {
                key: *key,
                handles: PerRecorder::new(),
            })
        };
        let claim = || capacity.get().into_iter().for_each(Capacity::claim);
        let matches = |series: &Series<K, V>| series.key == *key;
        self.series
            .find_or_insert(hash_key(key), matches, make, claim)
    }
}

impl<K: SeriesKey> Family<K, Gauge> {
    /// Increments the gauge for a call that starts.
    #[inline]
    pub(crate) fn increment(&self, key: &K, make: impl FnOnce(&K) -> Gauge) -> InFlightGauge {
        let recorder = RecorderKind::current();
        // Stays so if `with_handles` runs nothing: without a recorder, or inside of one that creates handles.
        let mut in_flight = InFlightGauge::NotCounted;
        self.with_handles(recorder, key, make, |gauge| {
            gauge.increment(1.0);
            in_flight = match recorder {
                RecorderKind::None => InFlightGauge::NotCounted,
                RecorderKind::Global => InFlightGauge::Global,
                RecorderKind::Local => InFlightGauge::Local(Box::new(gauge.clone())),
            };
        });
        in_flight
    }

    /// Decrements the gauge that [`increment`](Self::increment) returned for the call.
    #[inline]
    pub(crate) fn decrement(&self, key: &K, in_flight: InFlightGauge) {
        match in_flight {
            InFlightGauge::NotCounted => {}
            InFlightGauge::Global => {
                // A key keeps its series forever, so this is the gauge that was incremented.
                if let Some(gauge) = self.get(key).handles.get_global() {
                    gauge.decrement(1.0);
                }
            }
            InFlightGauge::Local(gauge) => gauge.decrement(1.0),
        }
    }
}

/// Returns the hash of a key.
///
/// It is predictable, but peers cannot use that: the number of keys is bounded, whatever they send.
#[inline]
fn hash_key(key: &impl Hash) -> u64 {
    let mut hasher = FieldHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    /// A number of one of two kinds, of which `true` may use the reserve.
    #[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
    struct Key(bool, Option<u8>);

    impl SeriesKey for Key {
        const OVERFLOW_KEYS: usize = 2;

        fn overflow_key(&self) -> Self {
            Key(self.0, None)
        }

        fn has_reserve(&self) -> bool {
            self.0
        }
    }

    fn used_key(family: &Family<Key, Key>, key: Key) -> Key {
        let mut used = None;
        family.with_handles(
            RecorderKind::Global,
            &key,
            |key| *key,
            |value| used = Some(*value),
        );
        used.expect("every key has a series")
    }

    #[test]
    fn family_has_one_overflow_series_per_kind() {
        let family = Family::new(1);
        let used = [(false, 1), (true, 2), (false, 2), (false, 1)]
            .map(|(kind, n)| used_key(&family, Key(kind, Some(n))));
        let expected = [
            (false, Some(1)),
            (true, None),
            (false, None),
            (false, Some(1)),
        ];
        assert_eq!(used, expected.map(|(kind, n)| Key(kind, n)));
    }

    #[test]
    fn family_caches_series_but_no_handles_of_local_recorders() {
        let family = Family::new(1);
        let mut made = Vec::new();
        for (recorder, n) in [
            (RecorderKind::None, 1),
            (RecorderKind::Local, 2),
            (RecorderKind::Local, 2),
            (RecorderKind::Local, 3),
            (RecorderKind::Global, 2),
            (RecorderKind::Global, 2),
        ] {
            let key = Key(false, Some(n));
            family.with_handles(recorder, &key, |key| made.push((recorder, key.1)), |()| ());
        }
        let expected = [
            (RecorderKind::Local, Some(2)),
            (RecorderKind::Local, Some(2)),
            (RecorderKind::Local, None),
            (RecorderKind::Global, Some(2)),
        ];
        assert_eq!(made, expected);
    }

    proptest! {
        #[test]
        fn family_matches_reference_model(
            max in 0..9_usize, reserve in 0..4_usize,
            keys in prop::collection::vec((any::<bool>(), 0..12_u8), 0..80),
        ) {
            let family = Family::with_reserve(max, reserve);
            let (mut own, mut left) = (HashSet::new(), (max, reserve));
            let mut totals = HashMap::new();
            for (kind, n) in keys {
                let key = Key(kind, Some(n));
                if !own.contains(&key) {
                    let room = if left.0 > 0 { Some(&mut left.0) } else { Some(&mut left.1).filter(|_| kind) };
                    if let Some(room) = room.filter(|room| **room > 0) {
                        *room -= 1;
                        own.insert(key);
                    }
                }
                let expected = if own.contains(&key) { key } else { key.overflow_key() };
                prop_assert_eq!(used_key(&family, key), expected);
                *totals.entry(expected).or_insert(0) += 1;
            }
            prop_assert!(totals.len() <= max + reserve + Key::OVERFLOW_KEYS);
        }
    }
}
