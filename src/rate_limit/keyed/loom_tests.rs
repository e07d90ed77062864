//! Plays every order of threads that bring new keys: `.ci/models`.

use loom::thread;
use std::sync::Arc;

use super::table::KeyTable;
use crate::rate_limit::{RateAlgorithm, quota::Quota};

const QUOTA: Quota = Quota::new(RateAlgorithm::Gcra, 10, 1);

/// Two threads with two keys of different shards, and a place for one of them.
#[test]
fn new_keys_never_take_more_places_than_there_are() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(|| {
        let table = Arc::new(KeyTable::new(QUOTA, 1, 0));
        let other = thread::spawn({
            let table = table.clone();
            move || table.take(0, 0, 1, 0)
        });
        let taken = [
            table.take(1 << 32, 0, 1, 0),
            other.join().expect("no panic"),
        ];
        // One has the place, the other the cell that all others share.
        assert!(taken.iter().all(|(result, _)| result.is_ok()));
        let overflowed = taken.iter().filter(|(_, is_overflow)| *is_overflow);
        assert_eq!(overflowed.count(), 1);
        assert_eq!(table.sum(|shard| shard.len() as u64), 1);
    });
}
