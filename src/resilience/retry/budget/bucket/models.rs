//! Every order of a few threads that the memory model allows, played by loom: `.ci/models`.

use std::sync::Arc;

use loom::thread;

use super::*;

#[test]
fn tokens_are_neither_lost_nor_made_by_those_who_take_and_bring_at_once() {
    loom::model(|| {
        let bucket = Arc::new(Bucket::new(
            Budget::bucket().capacity(12).cost(4).timeout_cost(8),
        ));
        let take = |after| {
            let bucket = bucket.clone();
            thread::spawn(move || bucket.withdraw(after).unwrap_or(0))
        };
        let (a, b) = (take(Outcome::TimedOut), take(Outcome::TimedOut));
        let mine = bucket.withdraw(Outcome::Failure).unwrap_or(0);
        bucket.give_back(mine);
        let taken = a.join().expect("no panic") + b.join().expect("no panic");
        assert_eq!(taken, 8, "one of the two, whoever it is");
        assert_eq!(bucket.tokens.load(Ordering::Relaxed), 12 - taken);
    });
}
