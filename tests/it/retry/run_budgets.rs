//! Work that is tried again as far as a budget allows.

use std::io::{Error, ErrorKind};

use tokio::time::{sleep, timeout};
use tower_keep::{
    Outcome,
    call::CallClock,
    retry::{Attempt, Budget, Retry},
};

use super::run::{AttemptCounter, builder, millis};

#[tokio::test(start_paused = true)]
async fn dropped_wait_returns_budget_reservation() {
    let budget = Budget::window().ratio(0.0).per_second(0.1).build().unwrap();
    let available = || budget.available(&CallClock::default()).unwrap();
    let retry = builder(3).budget(budget.clone()).build().unwrap();
    let fails_then_hangs = |attempt: Attempt| async move {
        if attempt.is_retry() {
            std::future::pending::<()>().await;
        }
        Err::<(), _>(Error::other("down"))
    };
    assert_eq!(available(), 1);

    let mut waiting = Box::pin(retry.run(fails_then_hangs));
    assert!(timeout(millis(50), &mut waiting).await.is_err());
    assert_eq!(available(), 0, "reserved before the wait");
    drop(waiting);
    assert_eq!(available(), 1);

    let mut trying = Box::pin(retry.run(fails_then_hangs));
    assert!(timeout(millis(150), &mut trying).await.is_err());
    drop(trying);
    assert_eq!(available(), 0, "spent");
}

#[tokio::test(start_paused = true)]
async fn budget_bounds_load_on_dead_peer() {
    let budget = Budget::window().per_second(0.0).build().unwrap();
    let retry = builder(5).budget(budget).build().unwrap();
    let tries = AttemptCounter::default();
    for _ in 0..1_000 {
        let _ = retry.clone().run(|attempt| tries.fail(attempt, 9)).await;
        // Not so fast that no window could pass.
        sleep(millis(5)).await;
    }
    assert!(tries.count() <= 1_200, "{}", tries.count());
    assert!(tries.count() >= 1_150, "{}", tries.count());
}

#[tokio::test(start_paused = true)]
async fn budget_throttle_and_bucket_see_outcomes() {
    let throttle = Budget::throttle().build().unwrap();
    let retry = builder(9).budget(throttle.clone()).build().unwrap();
    let tries = AttemptCounter::default();
    let _ = retry.run(|attempt| tries.fail(attempt, 99)).await;
    assert_eq!(tries.count(), 5, "five failures take half of ten tokens");
    assert!(
        throttle
            .reserve(Outcome::Failure, &CallClock::default())
            .is_none()
    );
    constant_backoff_with(&throttle)
        .run(|attempt| tries.fail(attempt, 0))
        .await
        .unwrap();
    let allowed = throttle.reserve(Outcome::Failure, &CallClock::default());
    assert!(allowed.is_some(), "four failures of five");
    assert_eq!(throttle.available(&CallClock::default()), None);

    let bucket = Budget::bucket()
        .capacity(20)
        .timeout_cost(20)
        .build()
        .unwrap();
    let slow = |_: Attempt| async { Err::<(), _>(Error::from(ErrorKind::TimedOut)) };
    let _ = constant_backoff_with(&bucket).run(slow).await;
    assert_eq!(
        bucket.available(&CallClock::default()),
        Some(0),
        "a timeout costs more"
    );
}

fn constant_backoff_with(budget: &Budget) -> Retry {
    builder(2).budget(budget.clone()).build().unwrap()
}
