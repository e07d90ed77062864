//! The rate limit of a pipeline.

use std::time::Duration;

use tokio::time::Instant;
use tower_keep::{
    Outcome, Pipeline, PipelineError, RateLimit, RejectionKind, rate_limit::RateLimitBuilder,
};

use super::{DbError, SECOND, empty, with_retry};

/// One call per second.
fn slow(limit: RateLimitBuilder) -> RateLimitBuilder {
    limit.rate(1, SECOND)
}

#[tokio::test(start_paused = true)]
async fn attempts_take_a_call_each_and_wait_in_order() {
    let (builder, _) = empty("each");
    let pipeline = with_retry(builder)
        .rate_limit(|limit| slow(limit).max_wait(9 * SECOND))
        .build()
        .unwrap();
    let (start, mut at) = (Instant::now(), Vec::new());
    let failed = pipeline.run_mut(async || {
        at.push(start.elapsed());
        Err::<(), _>(DbError::Down(1))
    });
    failed.await.unwrap_err();
    assert_eq!(at, [Duration::ZERO, SECOND, 2 * SECOND]);
    assert_eq!(pipeline.rate_limit().unwrap().available(), 0);
}

#[tokio::test(start_paused = true)]
async fn attempt_without_room_is_rejected_and_not_retried() {
    let quotes = slow(RateLimit::builder("quotes")).max_wait(Duration::ZERO);
    let quotes = quotes.build().unwrap();
    let (builder, _) = empty("rejected");
    let pipeline = with_retry(builder)
        .breaker(|breaker| breaker.consecutive_failures(1))
        .shared_rate_limit(&quotes)
        .build()
        .unwrap();
    quotes.check().unwrap();
    let mut runs = 0;
    let rejected = pipeline.run_mut(async || {
        runs += 1;
        Ok::<_, DbError>(())
    });
    let error = rejected.await.unwrap_err();
    let rejection = error.rejection().unwrap();
    assert_eq!(rejection.kind(), RejectionKind::RateLimited);
    assert_eq!(rejection.retry_after(), Some(SECOND));
    assert_eq!(runs, 0);
    assert!(!pipeline.breaker().unwrap().is_rejecting(), "no evidence");
}

#[tokio::test(start_paused = true)]
async fn attempt_that_an_open_circuit_rejects_takes_nothing() {
    let (builder, _) = empty("open");
    let pipeline = builder
        .breaker(|breaker| breaker)
        .rate_limit(slow)
        .build()
        .unwrap();
    pipeline.breaker().unwrap().force_open();
    let rejected = pipeline.run(|| async { Ok::<_, DbError>(()) });
    assert!(matches!(rejected.await, Err(PipelineError::Rejected(_))));
    assert_eq!(pipeline.rate_limit().unwrap().available(), 1);
}

#[tokio::test(start_paused = true)]
async fn wait_is_within_the_total_limit_and_no_part_of_the_attempt_limit() {
    let limits = |total| {
        let builder = Pipeline::builder("within")
            .total_limit(total)
            .attempt_limit(SECOND / 2)
            .rate_limit(|limit| slow(limit).max_wait(9 * SECOND));
        let pipeline = builder.build().unwrap();
        pipeline.rate_limit().unwrap().check().unwrap();
        pipeline
    };
    let work = || async { Ok::<_, DbError>(()) };
    let start = Instant::now();
    limits(5 * SECOND).run(work).await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
    // Nobody would see the result.
    let error = limits(SECOND / 2).run(work).await.unwrap_err();
    let reason = error.rejection().unwrap().reason();
    assert_eq!(reason, Some("the wait would end after the deadline"));
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn dropped_call_puts_its_place_back() {
    let pipeline = Pipeline::builder("dropped")
        .rate_limit(|limit| slow(limit).max_wait(9 * SECOND))
        .build()
        .unwrap();
    let limit = pipeline.rate_limit().unwrap();
    limit.check().unwrap();
    let waits = pipeline.run(|| async { Ok::<_, DbError>(()) });
    tokio::time::timeout(SECOND / 2, waits).await.unwrap_err();
    assert_eq!(limit.reserve(1, 9 * SECOND).unwrap().wait(), SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn peer_that_is_called_too_often_empties_the_limit() {
    let (builder, _) = empty("emptied");
    let pipeline = builder
        .rate_limit(|limit| limit.rate(10, SECOND).max_wait(Duration::ZERO))
        .classify_error(|error: &DbError| match error {
            DbError::Down(_) => Outcome::Failure,
            DbError::NoRow => Outcome::Overload,
        })
        .build()
        .unwrap();
    let limit = pipeline.rate_limit().unwrap();
    let down = pipeline.run(|| async { Err::<(), _>(DbError::Down(1)) });
    down.await.unwrap_err();
    assert_eq!(limit.available(), 9);
    let exhausted = pipeline.run(|| async { Err::<(), _>(DbError::NoRow) });
    exhausted.await.unwrap_err();
    assert_eq!(limit.available(), 0);
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn status_of_tonic_empties_the_limit_for_as_long_as_the_peer_asks() {
    let pipeline = Pipeline::builder("stock")
        .rate_limit(|limit| limit.max_wait(Duration::ZERO))
        .build()
        .unwrap();
    let exhausted = pipeline.run(|| async {
        let mut status = tonic::Status::resource_exhausted("too many");
        let pushback = "4000".parse().unwrap();
        status
            .metadata_mut()
            .insert("grpc-retry-pushback-ms", pushback);
        Err::<(), _>(status)
    });
    exhausted.await.unwrap_err();
    let rejection = pipeline.rate_limit().unwrap().check().unwrap_err();
    assert_eq!(rejection.retry_after(), Some(4 * SECOND));
}

#[test]
fn rate_limit_setting_that_is_invalid_is_named() {
    let builder = Pipeline::builder("bad").rate_limit(|limit| limit.burst(0));
    let error = builder.build().unwrap_err();
    assert_eq!(error.field(), "burst");
    assert!(error.to_string().starts_with(r#"rate limit "bad": "#));
}
