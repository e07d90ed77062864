//! The bulkhead of a pipeline.

use std::{future::pending, time::Duration};

use tokio::time::{Instant, sleep};
use tower_keep::{Bulkhead, Outcome, Pipeline, PipelineError, RejectionKind};

use super::{DbError, SECOND, WAIT, empty, with_retry};

#[tokio::test(start_paused = true)]
async fn call_has_one_slot_for_all_its_attempts() {
    let (builder, _) = empty("one_slot");
    let builder = with_retry(builder).bulkhead(|bulkhead| bulkhead.limit(1));
    let pipeline = builder.build().unwrap();
    let bulkhead = pipeline.bulkhead().unwrap().clone();
    let mut seen = Vec::new();
    let start = Instant::now();
    let failed = pipeline.run_mut(async || {
        seen.push((bulkhead.in_flight(), start.elapsed()));
        Err::<(), _>(DbError::Down(1))
    });
    failed.await.unwrap_err();
    assert_eq!(seen, [(1, Duration::ZERO), (1, WAIT), (1, 2 * WAIT)]);
    let stats = bulkhead.stats();
    assert_eq!((stats.failed, stats.in_flight), (1, 0));
    assert_eq!(stats.mean_run, Some(2 * WAIT));
}

#[tokio::test(start_paused = true)]
async fn full_bulkhead_rejects_a_call_that_is_not_retried() {
    let pool = Bulkhead::builder("pool").limit(1).build().unwrap();
    let (builder, _) = empty("full");
    let pipeline = with_retry(builder).shared_bulkhead(&pool).build().unwrap();
    let _permit = pool.try_acquire().unwrap();
    let mut runs = 0;
    let rejected = pipeline.run_mut(async || {
        runs += 1;
        Ok::<_, DbError>(())
    });
    let error = rejected.await.unwrap_err();
    assert_eq!(error.rejection().unwrap().kind(), RejectionKind::Full);
    assert_eq!((runs, pool.stats().rejected), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn call_waits_for_a_slot_within_the_total_limit() {
    let pipeline = Pipeline::builder("waits")
        .total_limit(5 * SECOND)
        .bulkhead(|bulkhead| bulkhead.limit(1).queue_limit(10).wait_limit(None))
        .build()
        .unwrap();
    let start = Instant::now();
    let work = || async {
        sleep(SECOND).await;
        Ok::<_, DbError>(start.elapsed())
    };
    let (first, second) = tokio::join!(pipeline.run(work), pipeline.run(work));
    assert_eq!((first.unwrap(), second.unwrap()), (SECOND, 2 * SECOND));
    let hangs = pipeline.run(pending::<Result<(), DbError>>);
    let (hung, waited) = tokio::join!(hangs, pipeline.run(work));
    assert!(matches!(hung, Err(PipelineError::TimedOut(_))));
    let rejection = waited.unwrap_err();
    assert_eq!(rejection.rejection().unwrap().reason(), Some("deadline"));
    let stats = pipeline.bulkhead().unwrap().stats();
    assert_eq!((stats.done, stats.failed, stats.rejected), (2, 1, 1));
}

#[tokio::test]
async fn caller_fault_is_neither_done_nor_failed() {
    let (builder, _) = empty("caller_fault");
    let pipeline = builder
        .bulkhead(|bulkhead| bulkhead)
        .classify_error(|_: &DbError| Outcome::ClientError)
        .build()
        .unwrap();
    let missing = pipeline.run(|| async { Err::<(), _>(DbError::NoRow) });
    missing.await.unwrap_err();
    assert_eq!(pipeline.bulkhead().unwrap().stats().inconclusive, 1);
}

#[test]
fn bulkhead_setting_that_is_invalid_is_named() {
    let builder = Pipeline::builder("bad").bulkhead(|bulkhead| bulkhead.limit(0));
    let error = builder.build().unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"bulkhead "bad": limit is 0, must be 1 to 1000000"#
    );
}
