//! Plays every order of a few threads that the memory model allows, with up to three preemptions: `.ci/models`.

use std::sync::Arc;

use loom::thread;
use tokio::time::Instant;

use super::{ThrottleSettings, shared::ThrottleShared, throttled_call::ThrottledCall};
use crate::call::Evidence::{self, Healthy, Unhealthy};

/// The first draw of this seed rejects a call of which two of two have failed, the second one admits it.
const SEED: u64 = 23;

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(test);
}

/// Rejects as soon as a call has failed, and all but one call in a thousand.
fn throttle() -> Arc<ThrottleShared> {
    let settings = ThrottleSettings {
        min_calls: 1,
        max_rejection_rate: 0.999,
        ..ThrottleSettings::default()
    };
    Arc::new(ThrottleShared::new("model".into(), settings, SEED))
}

fn record(throttle: &ThrottleShared, evidence: Evidence) {
    throttle.record(&mut ThrottledCall::default(), evidence, Instant::now);
}

/// Returns whether a call that comes now has to draw, for which it reads the clock.
fn may_reject(throttle: &ThrottleShared) -> bool {
    let mut is_clock_read = false;
    let admitted = throttle.admit(|| {
        is_clock_read = true;
        Instant::now()
    });
    assert!(admitted.is_ok() || is_clock_read);
    is_clock_read
}

/// Checks that the flag is that of the counts, whoever was slower to leave the lock.
fn assert_flag_agrees(throttle: &ThrottleShared) {
    let may_reject = may_reject(throttle);
    let (counts, probability) = throttle.counts(Instant::now());
    assert_eq!(may_reject, probability > 0.0, "{counts:?}");
}

#[test]
fn flag_agrees_with_the_counts_of_calls_that_end_at_once() {
    model(|| {
        let throttle = throttle();
        let other = thread::spawn({
            let throttle = throttle.clone();
            move || record(&throttle, Healthy)
        });
        record(&throttle, Unhealthy);
        record(&throttle, Unhealthy);
        other.join().expect("no panic");
        // Three calls, of which one was accepted: 3 - 2 * 1 are in excess.
        assert!(may_reject(&throttle));
        assert_flag_agrees(&throttle);
    });
}

#[test]
fn flag_agrees_with_the_counts_after_a_reset_at_the_same_time() {
    model(|| {
        let throttle = throttle();
        record(&throttle, Unhealthy);
        let other = thread::spawn({
            let throttle = throttle.clone();
            move || throttle.reset()
        });
        record(&throttle, Unhealthy);
        other.join().expect("no panic");
        assert_flag_agrees(&throttle);
    });
}

#[test]
fn draws_of_two_threads_differ_and_their_rejections_are_counted() {
    model(|| {
        let throttle = throttle();
        record(&throttle, Unhealthy);
        record(&throttle, Unhealthy);
        let admits = |throttle: &ThrottleShared| throttle.admit(Instant::now).is_ok();
        let other = thread::spawn({
            let throttle = throttle.clone();
            move || admits(&throttle)
        });
        let admitted = [admits(&throttle), other.join().expect("no panic")];
        let rejected = admitted.iter().filter(|is_admitted| !**is_admitted).count();
        assert_eq!(rejected, 1, "both had the same draw");
        let (counts, _) = throttle.counts(Instant::now());
        assert_eq!((counts.rejected, throttle.rejected()), (1, 1));
        assert_flag_agrees(&throttle);
    });
}
