//! Every order of a few threads, with up to three preemptions, played by loom: `.ci/models`.

use std::sync::Arc;

use loom::thread;

use super::*;

fn model(world: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(world);
}

/// An entry says for which key it is, and which thread has made it.
type Keys = Table<(u64, usize)>;

fn get(table: &Keys, key: u64, who: usize) -> Option<usize> {
    let found = table.find_or_insert(key, |it| it.0 == key, |_| Some((key, who)), || ());
    found.map(|it| it.1)
}

/// Each thread asks for its keys, and says what it got.
fn ask(table: &Arc<Keys>, keys: [[u64; 2]; 2]) -> [[Option<usize>; 2]; 2] {
    let [mine, others] = keys;
    let work = |who: usize, keys: [u64; 2]| {
        let table = table.clone();
        move || keys.map(|key| get(&table, key, who))
    };
    let other = thread::spawn(work(1, others));
    let mine = work(0, mine)();
    [mine, other.join().expect("no panic")]
}

#[test]
fn threads_that_add_the_same_keys_while_it_grows_get_the_same_entries() {
    model(|| {
        let table = Arc::new(Table::new(4));
        let [[a7, a9], [b9, b7]] = ask(&table, [[7, 9], [9, 7]]);
        assert!(a7.is_some() && a9.is_some());
        assert_eq!((a7, a9), (b7, b9));
        assert_eq!(table.newest.load(Ordering::Relaxed), 1, "it has grown");
    });
}

#[test]
fn however_many_add_at_once_it_never_holds_more_than_its_limit_and_gives_up_no_place() {
    model(|| {
        let table = Arc::new(Table::new(2));
        ask(&table, [[1, 2], [3, 2]]);
        let there = [1, 2, 3].map(|key| table.find(key, |it| it.0 == key));
        assert_eq!(there.iter().flatten().count(), 2);
        assert_eq!(table.used.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn threads_that_add_the_same_key_into_the_last_place_both_find_room() {
    model(|| {
        let table = Arc::new(Table::new(1));
        let [[a, again], [b, _]] = ask(&table, [[7, 7], [7, 7]]);
        assert!(a.is_some() && a == again);
        assert_eq!(a, b);
    });
}

#[test]
fn what_is_refused_once_is_refused_for_ever_and_what_is_let_in_stays() {
    model(|| {
        let table = Arc::new(Table::new(1));
        let told = ask(&table, [[1, 2], [2, 1]]);
        let now = [1, 2].map(|key| get(&table, key, 9));
        assert_eq!(told, [now, [now[1], now[0]]]);
        assert_eq!(now.iter().flatten().count(), 1);
    });
}

#[test]
fn threads_that_add_the_same_text_at_once_get_the_same_number() {
    model(|| {
        let interner = Arc::new(Interner::new(1));
        let number = |text: &'static str| {
            let interner = interner.clone();
            move || interner.number(text)
        };
        let threads = [thread::spawn(number("a")), thread::spawn(number("a"))];
        let b = number("b")();
        let [a, again] = threads.map(|thread| thread.join().expect("no panic"));
        assert_eq!(a, again);
        assert!((a == 0) != (b == 0), "one of the two has the place");
        assert_eq!(interner.text(a.max(b)), if a == 0 { "b" } else { "a" });
        assert_eq!(interner.text(0), OVERFLOW);
        assert_eq!(interner.known("a").unwrap_or(0), a);
    });
}
