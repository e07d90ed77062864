//! Plays every order of a few threads that take cells, and of one that changes the quota: `.ci/models`.

use loom::thread;
use std::sync::Arc;

use super::{RateAlgorithm, bucket::Bucket, quota::Quota};

const INTERVAL: u64 = 10;

fn quota(interval: u64, burst: u32) -> Quota {
    Quota::new(RateAlgorithm::Gcra, interval, burst)
}

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(test);
}

/// Takes cells one by one, and returns how many there were.
fn take(bucket: &Bucket, times: usize) -> u64 {
    (0..times).filter(|_| bucket.take(0, 1, 0).is_ok()).count() as u64
}

#[test]
fn two_threads_admit_the_burst_and_no_more() {
    model(|| {
        let bucket = Arc::new(Bucket::new(quota(INTERVAL, 2)));
        let other = thread::spawn({
            let bucket = bucket.clone();
            move || take(&bucket, 2)
        });
        let admitted = take(&bucket, 2) + other.join().expect("no panic");
        assert_eq!(admitted, 2);
        assert_eq!(bucket.admitted(), 2);
    });
}

/// The quota goes from one in 10 to one in 1,000 and back: a thread that mixed both would admit some, or wait for ages.
#[test]
fn threads_admit_by_one_quota_or_the_other_while_it_changes() {
    model(|| {
        let (slow, fast) = (quota(100 * INTERVAL, 2), quota(INTERVAL, 2));
        let bucket = Arc::new(Bucket::new(fast));
        let other = thread::spawn({
            let bucket = bucket.clone();
            move || take(&bucket, 2)
        });
        bucket.set_quota(0, slow);
        bucket.set_quota(0, fast);
        let admitted = take(&bucket, 1) + other.join().expect("no panic");
        assert_eq!(admitted, 2);
        let (state, read) = bucket.read();
        assert_eq!((state, read), (2 * INTERVAL, fast));
    });
}

#[test]
fn reservation_that_is_put_back_is_no_cell_for_two() {
    model(|| {
        let bucket = Arc::new(Bucket::new(quota(INTERVAL, 1)));
        let other = thread::spawn({
            let bucket = bucket.clone();
            move || bucket.take(0, 1, 100).expect("in time").wait
        });
        let grant = bucket.take(0, 1, 100).expect("in time");
        let is_back = bucket.put_back(grant, 1);
        let others = other.join().expect("no panic");
        // What was put back may be taken again, but no time is given to two of those that keep it.
        let third = bucket.take(0, 1, 100).expect("in time").wait;
        assert_ne!(others, third);
        if !is_back {
            assert_ne!(grant.wait, third);
        }
    });
}
