//! Loom tests of every interleaving with up to three preemptions; run by `.ci/models`.

use std::sync::Arc;

use loom::thread;

use super::*;

fn check(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(test);
}

/// A key with the thread that has added it.
type KeyMap = AppendMap<(u64, usize)>;

fn add(map: &KeyMap, key: u64, thread: usize) -> Option<usize> {
    let found = map.find_or_insert(key, |it| it.0 == key, |_| Some((key, thread)), || ());
    found.map(|it| it.1)
}

/// Adds the keys of each of two threads; returns which thread had added each key.
fn add_in_two_threads(map: &Arc<KeyMap>, keys: [[u64; 2]; 2]) -> [[Option<usize>; 2]; 2] {
    let [mine, others] = keys;
    let work = |thread: usize, keys: [u64; 2]| {
        let map = map.clone();
        move || keys.map(|key| add(&map, key, thread))
    };
    let other = thread::spawn(work(1, others));
    let mine = work(0, mine)();
    [mine, other.join().expect("no panic")]
}

#[test]
fn append_map_gives_racing_threads_the_same_entries_while_growing() {
    check(|| {
        let map = Arc::new(AppendMap::new(4));
        let [[a7, a9], [b9, b7]] = add_in_two_threads(&map, [[7, 9], [9, 7]]);
        assert!(a7.is_some() && a9.is_some());
        assert_eq!((a7, a9), (b7, b9));
        assert_eq!(map.newest.load(Ordering::Relaxed), 1, "it has grown");
    });
}

#[test]
fn append_map_is_filled_to_its_max_and_not_beyond() {
    check(|| {
        let map = Arc::new(AppendMap::new(2));
        add_in_two_threads(&map, [[1, 2], [3, 2]]);
        let found = [1, 2, 3].map(|key| map.find(key, |it| it.0 == key));
        assert_eq!(found.iter().flatten().count(), 2);
        assert_eq!(map.len.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn append_map_last_slot_serves_all_threads_that_add_the_same_key() {
    check(|| {
        let map = Arc::new(AppendMap::new(1));
        let [[a, again], [b, _]] = add_in_two_threads(&map, [[7, 7], [7, 7]]);
        assert!(a.is_some() && a == again);
        assert_eq!(a, b);
    });
}

#[test]
fn append_map_rejects_and_keeps_the_same_keys_forever() {
    check(|| {
        let map = Arc::new(AppendMap::new(1));
        let first = add_in_two_threads(&map, [[1, 2], [2, 1]]);
        let now = [1, 2].map(|key| add(&map, key, 9));
        assert_eq!(first, [now, [now[1], now[0]]]);
        assert_eq!(now.iter().flatten().count(), 1);
    });
}

#[test]
fn interner_gives_racing_threads_the_same_id() {
    check(|| {
        let interner = Arc::new(Interner::new(1));
        let intern = |text: &'static str| {
            let interner = interner.clone();
            move || interner.intern(text)
        };
        let threads = [thread::spawn(intern("a")), thread::spawn(intern("a"))];
        let b = intern("b")();
        let [a, again] = threads.map(|thread| thread.join().expect("no panic"));
        assert_eq!(a, again);
        assert!((a == 0) != (b == 0), "only one of the two fits");
        assert_eq!(interner.resolve(a.max(b)), if a == 0 { "b" } else { "a" });
        assert_eq!(interner.resolve(0), OVERFLOW_LABEL);
        assert_eq!(interner.lookup("a").unwrap_or(0), a);
    });
}
