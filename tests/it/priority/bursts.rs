//! A few pushbacks beside the many calls that got through before them.

use std::time::Duration;

use tokio::time::advance;
use tower_keep::{
    Outcome,
    priority::{Prioritizer, PriorityClass, PriorityPermit},
};

use super::{SECOND, builder, class, prioritizer};

use PriorityClass::{Bulk, Normal};

fn acquire(prioritizer: &Prioritizer) -> PriorityPermit {
    prioritizer.try_acquire(Normal).expect("admitted")
}

async fn serve(prioritizer: &Prioritizer, calls: u32, every: Duration) {
    for _ in 0..calls {
        acquire(prioritizer).complete(Outcome::Success);
        advance(every).await;
    }
}

/// Pushes calls back that come at the same time.
fn burst(prioritizer: &Prioritizer, calls: usize) {
    let calls: Vec<_> = (0..calls).map(|_| acquire(prioritizer)).collect();
    calls
        .into_iter()
        .for_each(|call| call.complete(Outcome::Overload));
}

fn shed_rate(prioritizer: &Prioritizer) -> f64 {
    prioritizer.stats().shed_rate
}

/// Calls that had got through were counted from the first pushback on only: twenty of ten thousand calls had nearly all others shed for many
/// windows.
#[tokio::test(start_paused = true)]
async fn burst_of_pushbacks_is_compared_with_all_calls_of_the_window() {
    for (calls, every) in [
        (10_000, SECOND / 5_000),
        (1_000, SECOND / 500),
        (300, SECOND / 150),
    ] {
        let prioritizer = prioritizer("burst");
        serve(&prioritizer, calls, every).await;
        burst(&prioritizer, 40);
        assert_eq!(shed_rate(&prioritizer), 0.0, "{calls}");
        serve(&prioritizer, calls, every).await;
        assert_eq!(class(&prioritizer, Normal).1, 0, "none is shed");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_before_the_window_do_not_count() {
    let prioritizer = prioritizer("before");
    serve(&prioritizer, 5_000, SECOND / 1_000).await;
    assert_eq!(shed_rate(&prioritizer), 0.0);
    advance(4 * SECOND).await;
    burst(&prioritizer, 40);
    assert_eq!(shed_rate(&prioritizer), 0.95);
    // Half of what waits to be counted came in the window.
    let prioritizer = builder("half")
        .min_calls(1)
        .build()
        .expect("valid settings");
    serve(&prioritizer, 40, SECOND / 10).await;
    burst(&prioritizer, 40);
    let rate = shed_rate(&prioritizer);
    assert!((0.45..0.55).contains(&rate), "(60 - 1.5 * 20) / 61: {rate}");
}

#[tokio::test(start_paused = true)]
async fn call_that_was_in_flight_counts_once() {
    let prioritizer = prioritizer("flight");
    let in_flight: Vec<_> = (0..100).map(|_| acquire(&prioritizer)).collect();
    burst(&prioritizer, 100);
    assert_eq!(shed_rate(&prioritizer), 0.95, "in flight, they say nothing");
    in_flight
        .into_iter()
        .for_each(|call| call.complete(Outcome::Success));
    assert_eq!(
        shed_rate(&prioritizer),
        50.0 / 201.0,
        "(200 - 1.5 * 100) / 201"
    );
}

#[tokio::test(start_paused = true)]
async fn call_that_was_in_flight_and_is_pushed_back_counts_as_that() {
    let prioritizer = prioritizer("pushed back late");
    let in_flight: Vec<_> = (0..100).map(|_| acquire(&prioritizer)).collect();
    burst(&prioritizer, 100);
    in_flight
        .into_iter()
        .for_each(|call| call.complete(Outcome::Overload));
    assert_eq!(shed_rate(&prioritizer), 0.95);
    assert_eq!(class(&prioritizer, Normal).2, 200);
}

#[tokio::test(start_paused = true)]
async fn calls_count_once_after_a_time_of_pushbacks_as_well() {
    let prioritizer = prioritizer("again");
    for _ in 0..3 {
        serve(&prioritizer, 1_000, SECOND / 500).await;
        burst(&prioritizer, 40);
        serve(&prioritizer, 1_000, SECOND / 250).await;
        assert_eq!(shed_rate(&prioritizer), 0.0);
    }
    // 500 calls in the window, and none of those of before.
    burst(&prioritizer, 750);
    let rate = shed_rate(&prioritizer);
    let expected = (1_250.0 - 1.5 * 500.0) / 1_251.0;
    assert!((rate - expected).abs() < 0.06, "{rate} for {expected}");
}

#[tokio::test(start_paused = true)]
async fn calls_of_before_a_reset_do_not_count() {
    let prioritizer = prioritizer("reset");
    serve(&prioritizer, 1_000, SECOND / 1_000).await;
    prioritizer.reset();
    burst(&prioritizer, 40);
    assert_eq!(shed_rate(&prioritizer), 0.95);
}

#[tokio::test(start_paused = true)]
async fn calls_of_before_another_window_was_set_count() {
    let prioritizer = prioritizer("window");
    serve(&prioritizer, 1_000, SECOND / 1_000).await;
    let mut settings = prioritizer.settings();
    settings.window = 5 * SECOND;
    prioritizer.apply(&settings).expect("valid settings");
    burst(&prioritizer, 40);
    assert_eq!(shed_rate(&prioritizer), 0.0);
}

/// A call that shadow mode admits counted twice, as shed and by its result.
#[tokio::test(start_paused = true)]
async fn shadow_shows_the_rate_at_which_calls_would_be_shed() {
    let prioritizer = builder("shadowed")
        .shadow(true)
        .build()
        .expect("valid settings");
    for call in 0..4_000 {
        let outcome = [Outcome::Overload, Outcome::Success][usize::from(call % 5 == 0)];
        acquire(&prioritizer).complete(outcome);
    }
    let rate = shed_rate(&prioritizer);
    // A fifth gets through, and half as much more would be admitted.
    assert!((rate - 0.7).abs() < 0.01, "{rate}");
    assert!(class(&prioritizer, Normal).1 > 2_000);
}

/// After a reset, calls were compared with those of before until a thousand had come.
#[tokio::test(start_paused = true)]
async fn reset_forgets_the_distribution() {
    let prioritizer = builder("forgets").max_shed_rate(0.5).min_calls(1).build();
    let prioritizer = prioritizer.expect("valid settings");
    let bulk = || {
        prioritizer
            .try_acquire(Bulk)
            .map(|call| call.complete(Outcome::Success))
    };
    (0..4_096).for_each(|_| bulk().expect("admitted"));
    prioritizer.reset();
    burst(&prioritizer, 40);
    assert_eq!(shed_rate(&prioritizer), 0.5);
    // All levels are equally frequent again, so that all of bulk is in the lower half.
    assert!((0..20).all(|_| prioritizer.try_acquire(Bulk).is_err()));
    let normal = (0..40).filter(|_| prioritizer.try_acquire(Normal).is_err());
    assert!((5..35).contains(&normal.count()));
}
