//! The replacements of failed calls, and how they are seen.

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
};

use tokio::time::{Instant, sleep, timeout};
use tower_keep::{
    Context, Outcome, Pipeline, PipelineError, call::TimeoutKind, fallback::Fallback,
};

use super::{DbError, SECOND, WAIT, empty, only_line, whole};
use crate::support::{listing::listing, logs::logs, meter::meter};

const SERVED: &str = "tower_keep_fallbacks_total";
const FAILED: &str = "tower_keep_fallbacks_failed_total";

async fn fails() -> Result<u32, DbError> {
    Err(DbError::Down(1))
}

#[tokio::test(start_paused = true)]
async fn fallback_value_replaces_a_failure_and_is_reported() {
    let (logs, meter) = (logs(), meter());
    let (pipeline, errors) = whole("serves_value");
    let pipeline = pipeline.build().unwrap();
    assert_eq!(pipeline.run(fails).fallback_value(7).await.unwrap(), 7);
    // The error is not lost, though the call succeeds in the end.
    let events = logs.events("tower_keep::fallback");
    let [event] = &events[..] else {
        panic!("one event expected: {events:#?}")
    };
    assert_eq!(event.get("fallback"), "serves_value");
    assert_eq!(event.get("outcome"), "failure");
    assert_eq!(event.get("error"), "node 1 is down");
    assert_eq!(only_line(&logs).get("outcome"), "success");
    assert_eq!(errors.total(), 0);
    let labels = [("fallback", "serves_value"), ("outcome", "failure")];
    assert_eq!(meter.sum(SERVED, &labels), Some(1.0));
    // After all attempts, which the breaker has counted.
    assert_eq!(pipeline.breaker().unwrap().counts().failures, 3);
}

#[tokio::test(start_paused = true)]
async fn fallback_is_not_used_by_calls_that_need_none() {
    let pipeline = whole("needs_none").0.build().unwrap();
    let run = pipeline.run(|| ready(Ok::<_, DbError>(7)));
    let row = run.fallback_with(|_| async { unreachable!("succeeded") });
    assert_eq!(row.await.unwrap(), 7);
    // The caller's error is an answer.
    let run = pipeline.run(|| ready(Err(DbError::NoRow)));
    let missing = run.fallback_value(7).await.unwrap_err();
    assert_eq!(missing.into_inner(), Some(DbError::NoRow));
    let entry = listing()
        .snapshots()
        .into_iter()
        .find(|entry| entry.kind() == "fallback" && entry.name() == "needs_none");
    entry.expect("listed, since a call has asked for it");
}

#[tokio::test(start_paused = true)]
async fn fallback_is_outside_of_limits_and_gets_the_error() {
    let pipeline = empty("outside").0.total_limit(WAIT).build().unwrap();
    let begun = Instant::now();
    let row = pipeline
        .run(pending::<Result<u32, DbError>>)
        .fallback_with(async |error| {
            assert_eq!(error.elapsed().unwrap().name(), "outside.total");
            sleep(5 * SECOND).await;
            Ok(7)
        });
    assert_eq!(row.await.unwrap(), 7);
    assert_eq!(begun.elapsed(), WAIT + 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn fallback_that_fails_ends_the_call_with_its_error() {
    let (logs, meter) = (logs(), meter());
    let (pipeline, errors) = empty("fails_too");
    let pipeline = pipeline.build().unwrap();
    let run = pipeline.run(fails);
    let error = run.fallback_with(async |_| Err(PipelineError::Failed(DbError::Down(2))));
    let error = error.await.unwrap_err();
    assert_eq!(error.into_inner(), Some(DbError::Down(2)));
    let line = only_line(&logs);
    assert_eq!(
        (line.get("outcome"), line.get("error")),
        ("failure", "node 2 is down")
    );
    assert_eq!(errors.total(), 1);
    let labels = [("fallback", "fails_too"), ("reason", "failed")];
    assert_eq!(meter.sum(FAILED, &labels), Some(1.0));
    assert_eq!(meter.sum(SERVED, &[("fallback", "fails_too")]), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn fallback_error_is_classified_by_the_pipeline() {
    let (logs, meter) = (logs(), meter());
    let pipeline = whole("same_rules").0.build().unwrap();
    let run = pipeline.run(fails);
    let error = run.fallback_with(async |_| Err(PipelineError::Failed(DbError::NoRow)));
    assert!(error.await.is_err());
    assert_eq!(only_line(&logs).get("outcome"), "client_error");
    let labels = [("fallback", "same_rules"), ("outcome", "failure")];
    assert_eq!(meter.sum(SERVED, &labels), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn fallback_that_panics_is_counted_and_resumed() {
    let (logs, meter) = (logs(), meter());
    let pipeline = empty("panicking_fallback").0.build().unwrap();
    let run = pipeline.run(fails);
    let mut run = Box::pin(run.fallback_with(async |_| panic!("of the fallback")));
    let panicked = poll_fn(|cx| {
        let poll = AssertUnwindSafe(|| run.as_mut().poll(cx));
        Poll::Ready(catch_unwind(poll))
    });
    let payload = panicked.await.expect_err("panics");
    assert_eq!(payload.downcast_ref(), Some(&"of the fallback"));
    drop(run);
    let line = only_line(&logs);
    assert_eq!(
        (line.get("outcome"), line.get("error")),
        ("panicked", "of the fallback")
    );
    let labels = [("fallback", "panicking_fallback"), ("reason", "panicked")];
    assert_eq!(meter.sum(FAILED, &labels), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn fallback_if_chooses_errors() {
    let pipeline = whole("chooses").0.build().unwrap();
    let is_rejected = |error: &PipelineError<DbError>| error.rejection().is_some();
    let run = || {
        pipeline
            .run(fails)
            .fallback_if(is_rejected, async |_| Ok(7))
    };
    assert!(run().await.is_err());
    pipeline.breaker().unwrap().force_open();
    assert_eq!(run().await.unwrap(), 7);
    // A client error, too, which the default leaves alone.
    pipeline.breaker().unwrap().reset();
    let missing = pipeline.run(|| ready(Err(DbError::NoRow)));
    let row = missing.fallback_if(|error| error.failed().is_some(), async |_| Ok(7));
    assert_eq!(row.await.unwrap(), 7);
    let panics = |_: &PipelineError<DbError>| -> bool { panic!("of the predicate") };
    let row = pipeline.run(fails).fallback_if(panics, async |_| Ok(7));
    assert!(row.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn fallback_when_is_configured_in_the_pipeline() {
    let when = |fallback: tower_keep::fallback::FallbackBuilder| {
        fallback.when(|failed| {
            let down = failed.error().and_then(|error| error.downcast_ref());
            failed.outcome() == Outcome::Failure && matches!(down, Some(DbError::Down(1)))
        })
    };
    let pipeline = empty("configured_fallback").0.fallback(when).build();
    let pipeline = pipeline.unwrap();
    assert_eq!(pipeline.run(fails).fallback_value(7).await.unwrap(), 7);
    let second = pipeline.run(|| ready(Err(DbError::Down(2))));
    assert!(second.fallback_value(7).await.is_err());
    assert_eq!(pipeline.fallback().unwrap().name(), "configured_fallback");
    let shown = format!("{pipeline:?}");
    assert!(shown.contains("fallback: Some(Fallback"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn fallback_of_a_pipeline_may_be_shared() {
    let meter = meter();
    let cache = Fallback::new("shared_cache");
    let reads = Pipeline::builder("reads").shared_fallback(&cache);
    let reads = reads.build().unwrap();
    assert_eq!(reads.run(fails).fallback_value(7).await.unwrap(), 7);
    let labels = [("fallback", "shared_cache"), ("outcome", "failure")];
    assert_eq!(meter.sum(SERVED, &labels), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn fallback_is_not_called_after_the_callers_deadline() {
    let meter = meter();
    let pipeline = empty("too_late").0.build().unwrap();
    let caller = Context::new_root().with_deadline(Instant::now() + SECOND);
    let work = || async {
        sleep(2 * SECOND).await;
        fails().await
    };
    let run = pipeline.run(work);
    let late = run.fallback_with(|_| async { unreachable!("nobody waits") });
    let error = caller.scope(late).await.unwrap_err();
    assert_eq!(error.into_inner(), Some(DbError::Down(1)));
    let labels = [("fallback", "too_late"), ("reason", "deadline")];
    assert_eq!(meter.sum(FAILED, &labels), Some(1.0));
    // A value takes no time.
    let value = pipeline.run(work).fallback_value(7);
    assert_eq!(caller.scope(value).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn fallback_ends_at_the_callers_deadline() {
    let (logs, meter) = (logs(), meter());
    let pipeline = empty("cut_short").0.build().unwrap();
    let begun = Instant::now();
    let caller = Context::new_root().with_deadline(begun + SECOND);
    let run = pipeline.run(fails);
    let hangs = run.fallback_with(|_| pending());
    let error = caller.scope(hangs).await.unwrap_err();
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!(error.elapsed().unwrap().kind(), TimeoutKind::Deadline);
    assert_eq!(only_line(&logs).get("outcome"), "timed_out");
    let labels = [("fallback", "cut_short")];
    assert_eq!(meter.sum(FAILED, &labels), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn call_that_is_dropped_in_its_fallback_is_cancelled() {
    let (logs, meter) = (logs(), meter());
    let pipeline = empty("dropped_fallback").0.build().unwrap();
    let hangs = pipeline.run(fails).fallback_with(|_| pending());
    timeout(SECOND, hangs).await.expect_err("hangs");
    assert_eq!(only_line(&logs).get("outcome"), "cancelled");
    let labels = [("fallback", "dropped_fallback")];
    for metric in [SERVED, FAILED] {
        assert_eq!(meter.sum(metric, &labels).unwrap_or_default(), 0.0);
    }
}

#[tokio::test(start_paused = true)]
async fn fallbacks_follow_one_another() {
    let pipeline = Pipeline::builder("in_turn").untracked().build().unwrap();
    let replica = Pipeline::builder("replica").build().unwrap();
    let run = pipeline.run(fails);
    let row = run
        .fallback_with(async |_| replica.run(fails).await)
        .fallback_value(7);
    assert_eq!(row.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn fallback_leaves_an_ok_that_is_a_failure() {
    let pipeline = empty("stays_ok").0.build().unwrap();
    let classify = |_: &Result<u32, DbError>| Outcome::Failure;
    let run = || pipeline.run_classified(|| ready(Ok(75)), classify);
    assert_eq!(run().fallback_value(7).await.unwrap(), 75);
    let row = run().fallback_if(|_| true, |_| async { unreachable!("no error") });
    assert_eq!(row.await.unwrap(), 75);
    assert!(pipeline.fallback().is_none());
}

#[tokio::test(start_paused = true)]
async fn fallback_of_errors_that_only_have_a_text() {
    let logs = logs();
    let pipeline = empty("texts").0.build().unwrap();
    let run = pipeline.run_display(|| ready(Err::<u32, _>("no row")));
    assert_eq!(run.fallback_value(7).await.unwrap(), 7);
    let events = logs.events("tower_keep::fallback");
    assert_eq!(events[0].get("error"), "no row");
}

#[tokio::test(start_paused = true)]
async fn call_with_a_fallback_can_be_spawned() {
    let pipeline = whole("spawned_fallback").0.build().unwrap();
    let task = tokio::spawn(async move {
        let load = async |id: u32| Err::<u32, _>(DbError::Down(id));
        let run = pipeline.run(move || load(7));
        let cached = String::from("7");
        run.fallback_with(|error| async move {
            tokio::task::yield_now().await;
            cached.parse().map_err(|_| error)
        })
        .await
    });
    assert_eq!(task.await.unwrap().unwrap(), 7);
}

#[test]
fn call_with_a_fallback_that_is_never_polled_does_nothing() {
    let pipeline = whole("unpolled_fallback").0.build().unwrap();
    let run = pipeline
        .run(|| -> std::future::Ready<Result<u32, Infallible>> { unreachable!("never polled") });
    let run = run.fallback_value(7);
    assert_eq!(format!("{run:?}"), "PipelineFuture { .. }");
    drop(run);
    assert!(pipeline.fallback().is_none());
}
