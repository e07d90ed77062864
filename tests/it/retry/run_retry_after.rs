//! Work whose errors say when it may be tried again.

use std::{io::Error, time::Duration};

use tokio::time::Instant;
use tower_keep::retry::{Backoff, Jitter, RetryAfter, RetryDecision};

use super::run::{AttemptCounter, builder, constant_backoff, millis};

#[tokio::test(start_paused = true)]
async fn retry_after_resets_the_backoff() {
    let began = Instant::now();
    let doubling = Backoff::exponential(millis(50)).jitter(Jitter::None);
    let retry = builder(5).backoff(doubling).build().unwrap();
    let tries = AttemptCounter::default();
    let answer = retry
        .run(|attempt| tries.fail(attempt, 4))
        .when(|_: &Error| match tries.count() {
            3 => RetryDecision::After(millis(2_000)),
            _ => RetryDecision::Retry,
        })
        .await;
    assert!(answer.is_ok());
    assert_eq!(began.elapsed(), millis(50 + 100 + 2_000 + 50));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_spread_by_jitter() {
    let full = Backoff::exponential(millis(100));
    let retry = builder(2).backoff(full).seed(5).build().unwrap();
    let mut waits = std::collections::HashSet::new();
    for _ in 0..20 {
        let began = Instant::now();
        let tries = AttemptCounter::default();
        let work = retry.run(|attempt| tries.fail(attempt, 1));
        work.when(|_: &Error| RetryAfter::After(millis(500)))
            .await
            .unwrap();
        assert!((millis(500)..=millis(601)).contains(&began.elapsed()));
        waits.insert(began.elapsed());
    }
    assert!(waits.len() > 10, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn retry_after_beyond_max_stops() {
    let (began, tries) = (Instant::now(), AttemptCounter::default());
    let work = constant_backoff(3).run(|attempt| tries.fail(attempt, 9));
    let answer = work
        .when(|_: &Error| RetryAfter::After(millis(30_001)))
        .await;
    assert!(answer.is_err());
    assert_eq!((tries.count(), began.elapsed()), (1, Duration::ZERO));
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn retry_after_from_grpc_pushback() {
    let run = async |pushback: &'static str| {
        let (began, tries) = (Instant::now(), AttemptCounter::default());
        let answer = constant_backoff(2)
            .run(|_| {
                tries.add();
                let mut status = tonic::Status::unavailable("down");
                let value = pushback.parse().unwrap();
                status
                    .metadata_mut()
                    .insert("grpc-retry-pushback-ms", value);
                async { Err::<(), _>(status) }
            })
            .await;
        assert!(answer.is_err());
        (tries.count(), began.elapsed())
    };
    assert_eq!(run("1500").await, (2, millis(1_500)));
    assert_eq!(run("-1").await, (1, millis(0)));
}
