//! Hedges in a pipeline.

use std::{
    cell::Cell,
    future::pending,
    io::{Error, ErrorKind},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tower_keep::{Context, Outcome, Pipeline, PipelineError, retry::Budget};

use super::{DELAY, InFlight, SECOND, counts};

#[tokio::test(start_paused = true)]
async fn pipeline_runs_a_second_attempt_beside_a_slow_one() {
    let pipeline = Pipeline::builder("pipeline hedge")
        .hedge(|hedge| hedge.delay(DELAY))
        .build()
        .expect("valid settings");
    let (in_flight, start, mut calls) = (InFlight::default(), Instant::now(), 0);
    let row = pipeline
        .run(|| {
            calls += 1;
            let (call, token) = (calls, in_flight.enter());
            async move {
                let _token = token;
                if call == 1 {
                    pending().await
                }
                let context = Context::current().map_or(1, |context| context.attempt());
                Ok::<_, Error>((call, context))
            }
        })
        .await;
    assert_eq!(row.expect("a row").0, 2);
    assert_eq!((start.elapsed(), in_flight.count()), (DELAY, 0));
    assert_eq!(counts(pipeline.hedge().expect("a hedge")), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn pipeline_passes_each_attempt_through_the_parts_inside() {
    let pipeline = Pipeline::builder("parts inside")
        .hedge(|hedge| hedge.delay(DELAY))
        .throttle(|throttle| throttle)
        .breaker(|breaker| breaker)
        .attempt_limit(SECOND)
        .build()
        .expect("valid settings");
    let calls = Cell::new(0);
    let row = pipeline
        .run(|| {
            calls.set(calls.get() + 1);
            let call = calls.get();
            async move {
                sleep(Duration::from_millis(150)).await;
                match call {
                    1 => Err(Error::other("reset")),
                    _ => Ok(call),
                }
            }
        })
        .await;
    assert_eq!(row.expect("a row"), 2);
    let breaker = pipeline.breaker().expect("a breaker").counts();
    assert_eq!((breaker.calls, breaker.failures), (2, 1));
    let throttle = pipeline.throttle().expect("a throttle").stats();
    assert_eq!((throttle.accepted, throttle.failed), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn pipeline_hedge_pays_from_the_budget_of_its_retry() {
    let budget = Budget::window().ratio(1.0).per_second(0.0).build();
    let budget = budget.expect("valid settings");
    let pipeline = Pipeline::builder("one budget")
        .hedge(|hedge| hedge.delay(DELAY))
        .retry(|retry| retry.budget(budget.clone()))
        .build()
        .expect("valid settings");
    let calls = Cell::new(0);
    let fails = || {
        calls.set(calls.get() + 1);
        async { Err::<(), _>(Error::other("reset")) }
    };
    let error = pipeline.run(fails).await.expect_err("fails");
    assert_eq!(error.to_string(), "reset");
    // One call has paid for one more attempt, be it a hedge or a retry.
    assert_eq!(calls.get(), 2);
    let own = Pipeline::builder("own budget")
        .retry(|retry| retry.budget(budget.clone()))
        .hedge(|hedge| hedge.delay(DELAY).budget(None))
        .build()
        .expect("valid settings");
    assert!(own.hedge().expect("a hedge").budget().is_none());
}

#[tokio::test(start_paused = true)]
async fn pipeline_error_that_is_the_callers_fault_ends_the_call() {
    let pipeline = Pipeline::builder("fatal")
        .hedge(|hedge| hedge.delay(DELAY))
        .classify_error(|error: &Error| match error.kind() {
            ErrorKind::NotFound => Outcome::ClientError,
            _ => Outcome::Failure,
        })
        .build()
        .expect("valid settings");
    let calls = Cell::new(0);
    let missing = || {
        calls.set(calls.get() + 1);
        async { Err::<(), _>(Error::from(ErrorKind::NotFound)) }
    };
    let error = pipeline.run(missing).await.expect_err("not found");
    assert!(matches!(error, PipelineError::Failed(_)));
    assert_eq!(calls.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn pipeline_classifier_that_panics_leaves_the_work_usable() {
    let pipeline = Pipeline::builder("panicking classifier")
        .hedge(|hedge| hedge.delay(DELAY))
        .build()
        .expect("valid settings");
    let calls = Cell::new(0);
    let work = || {
        calls.set(calls.get() + 1);
        let call = calls.get();
        async move { Ok::<_, Error>(call) }
    };
    let run = pipeline.run_classified(work, |result| match result {
        Ok(1) => panic!("of the classifier"),
        _ => Outcome::Success,
    });
    assert_eq!(run.await.expect("a row"), 2);
}

#[tokio::test(start_paused = true)]
async fn pipeline_work_that_borrows_is_not_hedged() {
    let pipeline = Pipeline::builder("borrows")
        .hedge(|hedge| hedge.delay(DELAY))
        .build()
        .expect("valid settings");
    let mut rows = Vec::new();
    let run = pipeline.run_mut(async || {
        rows.push(7);
        sleep(SECOND).await;
        Ok::<_, Error>(rows.len())
    });
    assert_eq!(run.await.expect("a row"), 1);
    assert_eq!(counts(pipeline.hedge().expect("a hedge")), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn pipeline_that_is_dropped_leaves_no_attempt() {
    let pipeline = Pipeline::builder("dropped hedges")
        .total_limit(SECOND)
        .hedge(|hedge| hedge.delay(DELAY).max_hedges(3))
        .breaker(|breaker| breaker)
        .build()
        .expect("valid settings");
    let in_flight = InFlight::default();
    let run = pipeline.run(|| {
        let token = in_flight.enter();
        async move {
            let _token = token;
            pending::<Result<(), Error>>().await
        }
    });
    let error = run.await.expect_err("late");
    assert!(matches!(error, PipelineError::TimedOut(_)));
    assert_eq!(in_flight.count(), 0);
    // Those that had half of the limit count against the peer.
    let breaker = pipeline.breaker().expect("a breaker").counts();
    assert_eq!((breaker.calls, breaker.failures), (4, 4));
}

/// Compiles: the future of a hedged call is `Send` if the work is, whatever the work shares.
#[tokio::test(start_paused = true)]
async fn pipeline_future_with_a_hedge_is_send() {
    let pipeline = Pipeline::builder("sent")
        .hedge(|hedge| hedge.delay(DELAY))
        .build()
        .expect("valid settings");
    // `Send`, and not `Sync`.
    let calls = Cell::new(0);
    let work = move || {
        calls.set(calls.get() + 1);
        let call = calls.get();
        async move { Ok::<_, Error>(call) }
    };
    let seen = Cell::new(0);
    let classify = move |_: &Result<u32, Error>| {
        seen.set(seen.get() + 1);
        Outcome::Success
    };
    let run = tokio::spawn(async move { pipeline.run_classified(work, classify).await });
    assert_eq!(run.await.expect("no panic").expect("a row"), 1);
}
