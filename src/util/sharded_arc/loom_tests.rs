//! Loom tests of every interleaving with up to three preemptions; run by `.ci/models`.

use std::sync::{
    Arc as StdArc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use loom::thread;

use super::*;

/// Counts how often it is dropped.
struct Counted(StdArc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn sharded_arc_of_racing_threads_drops_its_value_once() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(|| {
        let drops = StdArc::<AtomicUsize>::default();
        let first = StdArc::new(ShardedArc::new(Counted(drops.clone())));
        // The second and the third thread have different slots; one has that of the first.
        let others = [(); 2].map(|()| {
            let first = first.clone();
            thread::spawn(move || {
                let references = [first.reference(), first.reference()];
                drop(first);
                assert_eq!(references[1].0.slot, thread_slot());
                assert_eq!((*references[0]).0.load(Relaxed), 0);
                references
            })
        });
        let mine = ShardedArc::clone(&first);
        drop(first);
        let references = others.map(|other| other.join().expect("no panic"));
        assert!(Arc::ptr_eq(&mine.own.0, &references[1][1].0));
        drop(mine);
        assert_eq!(drops.load(Relaxed), 0);
        drop(references);
        assert_eq!(drops.load(Relaxed), 1);
    });
}
