//! Metrics with labels: a bounded number of series, whoever chooses the labels.

mod hasher;
mod in_flight_gauge;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
};

pub(crate) use in_flight_gauge::InFlightGauge;

use self::hasher::FieldHasher;
use super::{append_map::AppendMap, per_recorder::PerRecorder, recorder::RecorderKind};
use crate::util::sync::atomic::{AtomicUsize, Ordering};

/// The key of a series: what its labels are made from.
pub(crate) trait SeriesKey: Copy + Eq + Hash {
    /// Number of keys that [`overflow_key`](Self::overflow_key) can return.
    const OVERFLOW_KEYS: usize;

    /// Returns the key of the series that takes what found no room: of those of its kind alone, so that it can be named
    /// after what it holds. That key gives itself.
    fn overflow_key(&self) -> Self;

    /// Returns whether room is kept for it that others do not get.
    fn has_reserve(&self) -> bool {
        false
    }
}

/// Counts the keys that have a series of their own, up to a limit.
#[derive(Debug)]
struct Capacity {
    max: usize,
    used: AtomicUsize,
}

impl Capacity {
    fn new(limit: usize) -> Self {
        let used = AtomicUsize::new(0);
        Capacity { max: limit, used }
    }

    /// Whoever sees that none is left sees all series that have taken it.
    fn has_room(&self) -> bool {
        self.used.load(Ordering::Acquire) < self.max
    }

    /// Takes a place for a series that all can see. The caller has its turn in the table.
    fn claim(&self) {
        let used = self.used.load(Ordering::Relaxed);
        self.used.store(used + 1, Ordering::Release);
    }
}

/// A series that there is for ever, whichever recorder has it.
#[derive(Debug)]
struct Series<K, V> {
    key: K,
    handles: PerRecorder<V>,
}

/// All series of a metric, or of some that have their labels in common.
///
/// Decides once, for all recorders, which labels get a series of their own; `V` holds its handles. Finds a series that was
/// used before without a lock and without an allocation.
#[derive(Debug)]
pub(crate) struct Family<K, V> {
    series: AppendMap<Series<K, V>>,
    capacity: Capacity,
    reserved: Capacity,
    overflow: Capacity,
}

impl<K: SeriesKey, V> Family<K, V> {
    /// At most `limit` series, and one for each overflow.
    pub(crate) fn new(limit: usize) -> Self {
        Family::with_reserve(limit, 0)
    }

    /// As many series besides for keys that have a reserve.
    pub(crate) fn with_reserve(limit: usize, reserve: usize) -> Self {
        Family {
            series: AppendMap::new(limit + reserve + K::OVERFLOW_KEYS),
            capacity: Capacity::new(limit),
            reserved: Capacity::new(reserve),
            overflow: Capacity::new(K::OVERFLOW_KEYS),
        }
    }

    /// Uses the handles of the series that these labels belong to, and of its own key makes them where they are not
    /// there yet. `listener` is the recorder of this moment; nothing is used where there is none.
    #[inline]
    pub(crate) fn with_handles(
        &self,
        listener: RecorderKind,
        key: &K,
        make: impl FnOnce(&K) -> V,
        then: impl FnOnce(&V),
    ) {
        if listener != RecorderKind::None {
            let series = self.get(key);
            let make = || make(&series.key);
            series.handles.with_recorder(listener, make, then);
        }
    }

    /// Returns the series of a key, or the one that takes what finds no room.
    #[inline]
    fn get(&self, key: &K) -> &Series<K, V> {
        match self.find(key) {
            Some(series) => series,
            None => self.admit(key),
        }
    }

    #[inline]
    fn find(&self, key: &K) -> Option<&Series<K, V>> {
        self.series.find(hash_key(key), |series| series.key == *key)
    }

    #[cold]
    fn admit(&self, key: &K) -> &Series<K, V> {
        let reserve = key.has_reserve().then_some(&self.reserved);
        let room = || {
            let mut rooms = [Some(&self.capacity), reserve].into_iter().flatten();
            rooms.find(|room| room.has_room())
        };
        // Without the lock, which those who find no room need not take one after another.
        let own = room().and_then(|_| self.insert(key, room));
        // Another thread may have put it in, and taken the last place with it.
        own.or_else(|| self.find(key)).unwrap_or_else(|| {
            let overflow = key.overflow_key();
            let series = self.find(&overflow);
            series
                .or_else(|| self.insert(&overflow, || Some(&self.overflow)))
                .expect("room for every overflow")
        })
    }

    fn insert<'a>(
        &'a self,
        key: &K,
        room: impl FnOnce() -> Option<&'a Capacity>,
    ) -> Option<&'a Series<K, V>> {
        let found = Cell::new(None);
        let make = |_| {
            found.set(room());
            found.get().map(|_| Series {
                key: *key,
                handles: PerRecorder::new(),
            })
        };
        let take = || found.get().into_iter().for_each(Capacity::claim);
        let is = |series: &Series<K, V>| series.key == *key;
        self.series.find_or_insert(hash_key(key), is, make, take)
    }
}

/// Those who choose labels cannot make more of them than fit in: there is no need for a hash that nobody can foresee.
#[inline]
fn hash_key(key: &impl Hash) -> u64 {
    let mut mix = FieldHasher::default();
    key.hash(&mut mix);
    mix.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    /// A number, of one of two kinds; kind `true` has a reserve.
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
        let mut told = None;
        family.with_handles(
            RecorderKind::Global,
            &key,
            |key| *key,
            |value| told = Some(*value),
        );
        told.expect("a series, whatever happens")
    }

    #[test]
    fn full_family_has_a_series_for_each_kind_of_overflow() {
        let family = Family::new(1);
        let told = [(false, 1), (true, 2), (false, 2), (false, 1)]
            .map(|(kind, n)| used_key(&family, Key(kind, Some(n))));
        let expected = [
            (false, Some(1)),
            (true, None),
            (false, None),
            (false, Some(1)),
        ];
        assert_eq!(told, expected.map(|(kind, n)| Key(kind, n)));
    }

    #[test]
    fn handles_of_a_local_recorder_are_not_kept_but_its_series_is() {
        let family = Family::new(1);
        let mut made = Vec::new();
        for (listener, n) in [
            (RecorderKind::None, 1),
            (RecorderKind::Local, 2),
            (RecorderKind::Local, 2),
            (RecorderKind::Local, 3),
            (RecorderKind::Global, 2),
            (RecorderKind::Global, 2),
        ] {
            let key = Key(false, Some(n));
            family.with_handles(listener, &key, |key| made.push((listener, key.1)), |()| ());
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
        fn family_is_a_map_with_a_limit_a_reserve_and_an_overflow_of_each_kind(
            limit in 0..9_usize, reserve in 0..4_usize,
            keys in prop::collection::vec((any::<bool>(), 0..12_u8), 0..80),
        ) {
            let family = Family::with_reserve(limit, reserve);
            let (mut own, mut left) = (HashSet::new(), (limit, reserve));
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
            prop_assert!(totals.len() <= limit + reserve + Key::OVERFLOW_KEYS);
        }
    }
}
