//! Loom tests of every interleaving with up to three preemptions; run by `.ci/models`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use loom::thread;

use super::*;

#[test]
fn per_recorder_value_is_the_same_for_racing_threads() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(|| {
        let values = Arc::new(PerRecorder::new());
        let made = Arc::new(AtomicUsize::new(0));
        let get = || {
            let (values, made) = (values.clone(), made.clone());
            move || {
                let mut seen = None;
                let make = || made.fetch_add(1, Ordering::Relaxed);
                values.with_recorder(RecorderKind::Global, make, |value| seen = Some(*value));
                assert_eq!(values.get_global().copied(), seen);
                seen.expect("a value")
            }
        };
        let threads = [(); 2].map(|()| thread::spawn(get()));
        let mine = get()();
        let all = threads.map(|thread| thread.join().expect("no panic"));
        assert_eq!(all, [mine; 2]);
        // Racing threads may each create one; only one of them is used.
        assert!((1..=3).contains(&made.load(Ordering::Relaxed)));
    });
}
