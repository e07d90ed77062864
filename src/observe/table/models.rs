//! Every order of a few threads, with up to three preemptions, played by loom: `.ci/models`.

use std::sync::Arc;

use loom::thread;

use super::*;

fn model(world: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(world);
}

/// Each thread asks for its keys, and says what it got. A value says which thread has made it.
fn ask(table: &Arc<Table<usize>>, keys: [[u64; 2]; 2]) -> [[Option<usize>; 2]; 2] {
    let [mine, others] = keys;
    let work = |who: usize, keys: [u64; 2]| {
        let table = table.clone();
        move || keys.map(|key| table.get_or_insert(key, || who).copied())
    };
    let other = thread::spawn(work(1, others));
    let mine = work(0, mine)();
    [mine, other.join().expect("no panic")]
}

#[test]
fn threads_that_add_the_same_keys_at_once_get_the_same_entries() {
    model(|| {
        let table = Arc::new(Table::new(4));
        let [[a7, a9], [b9, b7]] = ask(&table, [[7, 9], [9, 7]]);
        assert!(a7.is_some() && a9.is_some());
        assert_eq!((a7, a9), (b7, b9));
        assert_eq!(table.used.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn however_many_add_at_once_it_never_holds_more_than_its_limit_and_gives_up_no_place() {
    model(|| {
        let table = Arc::new(Table::new(2));
        ask(&table, [[1, 2], [3, 2]]);
        let full = |slot: &&Slot<usize>| slot.get().is_some();
        assert!(table.slots.iter().filter(full).count() <= 2);
        // Whoever was refused because two were at it for one place finds what is left.
        for key in 4..6 {
            table.get_or_insert(key, || 0);
        }
        assert_eq!(table.slots.iter().filter(full).count(), 2);
        assert_eq!(table.used.load(Ordering::Relaxed), 2);
    });
}
