//! Every order of a few threads, with up to three preemptions, played by loom: `.ci/models`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use loom::thread;

use super::*;

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Key(Option<u8>);

impl Labels for Key {
    const OVERFLOWS: usize = 1;

    fn overflow(&self) -> Self {
        Key(None)
    }

    fn has_reserve(&self) -> bool {
        self.0 >= Some(8)
    }
}

/// A series counts what it is told.
type Counts = Family<Key, (Key, AtomicU64)>;

fn count(counts: &Counts, key: u8) -> Key {
    let make = |key: &Key| (*key, AtomicU64::new(0));
    let mut told = None;
    counts.with(Listener::Global, &Key(Some(key)), make, |(key, count)| {
        count.fetch_add(1, Relaxed);
        told = Some(*key);
    });
    told.expect("a series, whatever happens")
}

fn play(limit: usize, reserve: usize, keys: [[u8; 2]; 2]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(move || {
        let counts = Arc::new(Counts::with_reserve(limit, reserve));
        let work = |keys: [u8; 2]| {
            let counts = counts.clone();
            move || keys.map(|key| (key, count(&counts, key)))
        };
        let other = thread::spawn(work(keys[1]));
        let mut told = work(keys[0])().to_vec();
        told.extend(other.join().expect("no panic"));

        let own = |key: &u8| counts.find(&Key(Some(*key))).is_some();
        let mut all: Vec<_> = keys.concat();
        all.sort_unstable();
        all.dedup();
        let owned = all.iter().filter(|key| own(key)).count();
        let reserved = all.iter().filter(|key| **key >= 8).count().min(reserve);
        assert!(owned <= limit + reserved && owned >= limit.min(all.len()));
        // Each is told the same as ever after, and no count is lost.
        for (key, told) in told {
            let expected = if own(&key) { Some(key) } else { None };
            assert_eq!(told, Key(expected), "{key}");
        }
        let of = |key: Key| {
            let series = counts.find(&key)?;
            Some(series.handles.kept()?.1.load(Relaxed))
        };
        let sum: u64 = all.iter().filter_map(|key| of(Key(Some(*key)))).sum();
        assert_eq!(sum + of(Key(None)).unwrap_or(0), 4);
    });
}

#[test]
fn threads_that_fill_it_over_its_limit_lose_no_count() {
    play(1, 0, [[1, 2], [2, 1]]);
}

#[test]
fn threads_that_take_the_last_place_of_the_reserve_lose_no_count() {
    play(1, 1, [[1, 8], [9, 8]]);
}
