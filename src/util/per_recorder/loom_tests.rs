//! Every order of a few threads, with up to three preemptions, played by loom: `.ci/models`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use loom::thread;

use super::*;

#[test]
fn value_for_the_global_recorder_is_the_same_for_all_whoever_makes_it() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(|| {
        let late = Arc::new(Late::new());
        let made = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let (late, made) = (late.clone(), made.clone());
            move || {
                let mut seen = None;
                let make = || made.fetch_add(1, Ordering::Relaxed);
                late.with_for(Listener::Global, make, |value| seen = Some(*value));
                assert_eq!(late.kept().copied(), seen);
                seen.expect("a value")
            }
        };
        let threads = [(); 2].map(|()| thread::spawn(ask()));
        let mine = ask()();
        let all = threads.map(|thread| thread.join().expect("no panic"));
        assert_eq!(all, [mine; 2]);
        // Handles are for the same series, whoever has asked for them.
        assert!((1..=3).contains(&made.load(Ordering::Relaxed)));
    });
}
