//! Every order of a few threads, with up to three preemptions, played by loom: `.ci/models`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use loom::thread;

use super::*;

#[test]
fn each_recorder_has_one_value_whoever_asks_first() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(|| {
        let late = Arc::new(Late::new());
        let made = Arc::new(AtomicUsize::new(0));
        // A value is the recorder, and how many were made before.
        let ask = |recorder: usize| {
            let (late, made) = (late.clone(), made.clone());
            move || {
                let make = || (recorder, made.fetch_add(1, Ordering::Relaxed));
                let value = *late.get_or_make(recorder, make).expect("room");
                assert_eq!(late.made_for(recorder), Some(&value));
                value
            }
        };
        let threads = [1, 2].map(|recorder| thread::spawn(ask(recorder)));
        let mine = ask(1)();
        let [one, two] = threads.map(|thread| thread.join().expect("no panic"));
        assert_eq!((one.0, two.0), (1, 2));
        assert_eq!(one, mine);
        assert_eq!(made.load(Ordering::Relaxed), 2);
        assert_eq!(late.made_for(3), None);
    });
}
