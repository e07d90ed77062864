//! Loom tests of every interleaving with up to three preemptions; run by `.ci/models`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use loom::thread;

use super::*;

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Key(Option<u8>);

impl SeriesKey for Key {
    const OVERFLOW_KEYS: usize = 1;

    fn overflow_key(&self) -> Self {
        Key(None)
    }

    fn has_reserve(&self) -> bool {
        self.0 >= Some(8)
    }
}

/// A family whose handles are the key and a count.
type Counts = Family<Key, (Key, AtomicU64)>;

fn count(counts: &Counts, key: u8) -> Key {
    let make = |key: &Key| (*key, AtomicU64::new(0));
    let mut used = None;
    counts.with_handles(
        RecorderKind::Global,
        &Key(Some(key)),
        make,
        |(key, count)| {
            count.fetch_add(1, Relaxed);
            used = Some(*key);
        },
    );
    used.expect("every key has a series")
}

fn check(max: usize, reserve: usize, keys: [[u8; 2]; 2]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(move || {
        let counts = Arc::new(Counts::with_reserve(max, reserve));
        let work = |keys: [u8; 2]| {
            let counts = counts.clone();
            move || keys.map(|key| (key, count(&counts, key)))
        };
        let other = thread::spawn(work(keys[1]));
        let mut used = work(keys[0])().to_vec();
        used.extend(other.join().expect("no panic"));

        let own = |key: &u8| counts.find(&Key(Some(*key))).is_some();
        let mut all: Vec<_> = keys.concat();
        all.sort_unstable();
        all.dedup();
        let owned = all.iter().filter(|key| own(key)).count();
        let reserved = all.iter().filter(|key| **key >= 8).count().min(reserve);
        assert!(owned <= max + reserved && owned >= max.min(all.len()));
        // Each thread used the series that the key has had ever since, and no count is lost.
        for (key, used) in used {
            let expected = if own(&key) { Some(key) } else { None };
            assert_eq!(used, Key(expected), "{key}");
        }
        let total = |key: Key| {
            let series = counts.find(&key)?;
            Some(series.handles.get_global()?.1.load(Relaxed))
        };
        let sum: u64 = all.iter().filter_map(|key| total(Key(Some(*key)))).sum();
        assert_eq!(sum + total(Key(None)).unwrap_or(0), 4);
    });
}

#[test]
fn family_loses_no_count_when_threads_exceed_its_max() {
    check(1, 0, [[1, 2], [2, 1]]);
}

#[test]
fn family_loses_no_count_when_threads_take_the_last_reserved_series() {
    check(1, 1, [[1, 8], [9, 8]]);
}
