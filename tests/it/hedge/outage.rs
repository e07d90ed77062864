//! No hedge makes an outage worse.

use std::{
    future::{pending, ready},
    io::Error,
    time::Duration,
};

use tokio::time::timeout;
use tower::{Layer, ServiceExt};
use tower_keep::{
    CircuitBreaker, Pipeline,
    hedge::{Hedge, HedgeLayer},
    retry::Budget,
    testing::{Reply, Script},
    timeout::TimeLimit,
};

use super::{DELAY, SECOND, builder, counts, hedge};

/// Fills the budget and the samples by calls that succeed.
async fn succeed(hedge: &Hedge, calls: u32) {
    for _ in 0..calls {
        let call = hedge.run(|_| ready(Ok::<_, Error>(())));
        call.await.expect("an answer");
    }
}

#[tokio::test(start_paused = true)]
async fn peer_that_fails_every_call_soon_gets_no_hedge() {
    let hedge = builder("fails").max_hedges(3).build().expect("valid");
    succeed(&hedge, 1_000).await;
    let fail = || hedge.run(|_| ready(Err::<(), _>(Error::other("down"))));
    for _ in 0..1_000 {
        fail().await.expect_err("down");
    }
    let (sent, won, not_sent) = counts(&hedge);
    assert!(sent <= 5 && won == 0, "{sent}");
    assert_eq!(
        not_sent,
        1_000 - 1,
        "all but the first call were refused one"
    );
    // Hedged again once successes outweigh the failures.
    succeed(&hedge, 70).await;
    fail().await.expect_err("down");
    assert!(counts(&hedge).0 > sent);
}

#[tokio::test(start_paused = true)]
async fn peer_that_answers_nothing_within_the_limit_of_an_attempt_soon_gets_no_hedge() {
    let hedge = hedge("hangs in time");
    let limit = TimeLimit::new("attempt", SECOND);
    for _ in 0..100 {
        let call = hedge.run(|_| async {
            let run = limit.run(pending::<()>()).await;
            run.map_err(Error::other)
        });
        call.await.expect_err("late");
    }
    assert!(counts(&hedge).0 <= 5, "{:?}", hedge.stats());
}

#[tokio::test(start_paused = true)]
async fn peer_that_answers_nothing_within_the_limit_of_the_call_soon_gets_no_hedge() {
    let hedge = hedge("hangs");
    let limit = TimeLimit::new("total", SECOND);
    for _ in 0..100 {
        let call = hedge.run(|_| pending::<Result<(), Error>>());
        limit.run(call).await.expect_err("late");
    }
    assert!(counts(&hedge).0 <= 5, "{:?}", hedge.stats());
}

/// Callers that leave say nothing about the peer: the budget is what limits their hedges.
#[tokio::test(start_paused = true)]
async fn hedges_of_callers_without_patience_are_limited_by_the_budget() {
    let fifth = Budget::window().per_second(0.0).build();
    let hedge = builder("impatient").budget(fifth.expect("valid"));
    let hedge = hedge.build().expect("valid");
    for _ in 0..1_000 {
        let call = hedge.run(|_| pending::<Result<(), Error>>());
        let _ = timeout(DELAY + Duration::from_millis(1), call).await;
    }
    let sent = counts(&hedge).0;
    assert!((150..=200).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn open_circuit_inside_lets_no_hedge_through() {
    let breaker = CircuitBreaker::builder("open").consecutive_failures(3);
    let breaker = breaker.build().expect("valid");
    let script: Script<std::io::Error> = Script::always(|| Reply::error(Error::other("down")));
    let hedge = builder("open").budget(None).build().expect("valid");
    let inner = breaker.layer().any().layer(script.clone());
    let service = HedgeLayer::any(hedge.clone()).layer(inner);
    for _ in 0..100 {
        service.clone().oneshot("ask").await.expect_err("down");
    }
    assert_eq!(script.calls(), 3, "the circuit is open");
    assert!(counts(&hedge).0 <= 3);
}

/// Losers that lasted longer than a slow call are no evidence against the peer.
#[tokio::test(start_paused = true)]
async fn losers_count_against_no_breaker_however_long_they_lasted() {
    let pipeline = Pipeline::builder("losers")
        .hedge(|hedge| hedge.delay(DELAY).budget(None))
        .breaker(|breaker| breaker.slow_call(Duration::from_millis(50)).min_calls(5))
        .build()
        .expect("valid");
    let mut calls = 0;
    for _ in 0..50 {
        let call = pipeline.run(|| {
            calls += 1;
            let is_first = calls % 2 == 1;
            async move {
                if is_first {
                    pending().await
                }
                Ok::<_, Error>(())
            }
        });
        call.await.expect("an answer");
    }
    let counts = pipeline.breaker().expect("a breaker").counts();
    assert_eq!((counts.calls, counts.failures), (50, 0), "{counts:?}");
    assert_eq!(pipeline.hedge().expect("a hedge").stats().won, 50);
}

/// Only the attempt that has panicked counts, and not those that were dropped with it.
#[tokio::test(start_paused = true)]
async fn panic_of_an_attempt_is_evidence_of_one_call() {
    let pipeline = Pipeline::builder("one panic")
        .hedge(|hedge| hedge.delay(DELAY).max_hedges(2))
        .throttle(|throttle| throttle)
        .breaker(|breaker| breaker)
        .build()
        .expect("valid");
    let observed = pipeline.clone();
    let run = tokio::spawn(async move {
        let calls = std::sync::atomic::AtomicU32::new(0);
        let work = || {
            let call = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move {
                if call == 1 {
                    tokio::time::sleep(SECOND).await;
                    panic!("of the work");
                }
                pending::<Result<(), Error>>().await
            }
        };
        pipeline.run(work).await
    });
    assert!(run.await.expect_err("a panic").is_panic());
    let counts = observed.breaker().expect("a breaker").counts();
    assert_eq!((counts.calls, counts.failures), (1, 1));
    let throttle = observed.throttle().expect("a throttle").stats();
    assert_eq!((throttle.accepted, throttle.failed), (0, 1));
}
