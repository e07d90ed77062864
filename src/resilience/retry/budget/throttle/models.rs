//! Every order of a few threads that the memory model allows, played by loom: `.ci/models`.

use std::sync::Arc;

use loom::thread;

use super::*;

#[test]
fn each_end_moves_the_tokens_once() {
    loom::model(|| {
        let settings = Budget::throttle().max_tokens(2.0).token_ratio(0.5);
        let throttle = Arc::new(Throttle::new(settings));
        let ends = |outcomes: [Outcome; 2]| {
            let throttle = throttle.clone();
            thread::spawn(move || outcomes.map(|outcome| throttle.settle(outcome)))
        };
        let threads = [
            ends([Outcome::Failure, Outcome::Success]),
            ends([Outcome::Ignored, Outcome::Failure]),
        ];
        for thread in threads {
            thread.join().expect("no panic");
        }
        // The success comes after a failure, and so never to what is full.
        assert_eq!(throttle.tokens.load(Ordering::Relaxed), TOKEN / 2);
    });
}
