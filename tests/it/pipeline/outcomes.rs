//! One classification for all parts.

use std::{future::ready, io};

use tokio::time::Instant;
use tower_keep::{
    BoxError, Outcome, Pipeline, PipelineError, Rejection,
    call::{ClassifyOutput, Elapsed, Evidence, find},
};
use tracing::Level;

use super::{DbError, SECOND, WAIT, empty, only_line, whole, with_retry};
use crate::support::logs::logs;

#[tokio::test(start_paused = true)]
async fn client_error_is_not_retried_nor_counted_nor_an_error() {
    let logs = logs();
    let (pipeline, errors) = whole("no_rows");
    let (pipeline, mut runs) = (pipeline.build().unwrap(), 0);
    let missing = pipeline.run_mut(async || {
        runs += 1;
        Err::<(), _>(DbError::NoRow)
    });
    assert_eq!(
        missing.await.unwrap_err().into_inner(),
        Some(DbError::NoRow)
    );
    let line = only_line(&logs);
    assert_eq!(
        (line.level, line.get("outcome")),
        (Level::DEBUG, "client_error")
    );
    assert_eq!((runs, errors.total()), (1, 0));
    assert_eq!(pipeline.breaker().unwrap().counts().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn failure_is_retried_and_counted_and_an_error_once() {
    let logs = logs();
    let (pipeline, errors) = whole("down");
    let (pipeline, mut runs) = (pipeline.build().unwrap(), 0);
    let failed = pipeline.run_mut(async || {
        runs += 1;
        Err::<(), _>(DbError::Down(runs))
    });
    // That of the last attempt.
    assert_eq!(
        failed.await.unwrap_err().into_inner(),
        Some(DbError::Down(3))
    );
    let line = only_line(&logs);
    assert_eq!(
        (line.level, line.get("error")),
        (Level::ERROR, "node 3 is down")
    );
    assert_eq!((runs, errors.total()), (3, 1));
    assert_eq!(pipeline.breaker().unwrap().counts().failures, 3);
}

#[tokio::test(start_paused = true)]
async fn timed_out_attempt_is_counted_and_retried() {
    let logs = logs();
    let pipeline = whole("hangs_once").0.build().unwrap();
    let (begun, mut runs) = (Instant::now(), 0);
    let row = pipeline.run_mut(async || {
        runs += 1;
        if runs == 1 {
            std::future::pending::<()>().await;
        }
        Ok::<_, DbError>(7)
    });
    assert_eq!(row.await.unwrap(), 7);
    assert_eq!(begun.elapsed(), SECOND + WAIT);
    let counts = pipeline.breaker().unwrap().counts();
    assert_eq!((counts.calls, counts.failures), (2, 1));
    assert_eq!(only_line(&logs).get("outcome"), "success");
}

#[tokio::test(start_paused = true)]
async fn result_that_is_no_error_may_be_a_failure() {
    let (logs, (pipeline, errors)) = (logs(), whole("exit_codes"));
    let (pipeline, mut runs) = (pipeline.build().unwrap(), 0);
    let code = pipeline.run_classified(
        || {
            runs += 1;
            ready(Ok::<_, DbError>(75))
        },
        |result| match result {
            Ok(0) => Outcome::Success,
            _ => Outcome::Failure,
        },
    );
    assert_eq!(code.await.unwrap(), 75);
    let line = only_line(&logs);
    assert_eq!((line.level, line.get("outcome")), (Level::ERROR, "failure"));
    assert_eq!((runs, errors.total()), (3, 1));
    assert_eq!(pipeline.breaker().unwrap().counts().failures, 3);
}

#[tokio::test(start_paused = true)]
async fn classifier_of_the_call_replaces_that_of_the_pipeline() {
    let (logs, pipeline) = (logs(), whole("replaced").0.build().unwrap());
    let missing = pipeline.run_classified(
        || ready(Err::<(), _>(DbError::NoRow)),
        |_| ClassifyOutput::from(Outcome::Success).with_evidence(Evidence::Healthy),
    );
    assert!(missing.await.is_err());
    assert_eq!(only_line(&logs).get("outcome"), "success");
    let counts = pipeline.breaker().unwrap().counts();
    assert_eq!((counts.calls, counts.failures), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn classifier_of_another_error_type_is_not_asked() {
    let pipeline = whole("other_type").0.build().unwrap();
    let mut runs = 0;
    let failed = pipeline.run_mut(async || {
        runs += 1;
        Err::<(), _>(io::Error::other("reset"))
    });
    assert!(failed.await.is_err());
    assert_eq!(runs, 3);
}

#[tokio::test(start_paused = true)]
async fn classifier_that_panics_makes_the_call_a_failure() {
    let pipeline = with_retry(empty("panicking_classifier").0)
        .breaker(|breaker| breaker)
        .classify_error(|_: &DbError| -> Outcome { panic!("of the classifier") })
        .build()
        .unwrap();
    let failed = pipeline.run(|| ready(Err::<(), _>(DbError::NoRow))).await;
    assert_eq!(failed.unwrap_err().into_inner(), Some(DbError::NoRow));
    assert_eq!(pipeline.breaker().unwrap().counts().failures, 3);
}

#[tokio::test(start_paused = true)]
async fn rejection_of_an_inner_guard_stays_one() {
    let pipeline = with_retry(empty("inner_rejection").0)
        .breaker(|breaker| breaker)
        .classify_error(|_: &Rejection| Outcome::Failure)
        .build()
        .unwrap();
    let (logs, mut runs) = (logs(), 0);
    let rejected = pipeline.run_mut(async || {
        runs += 1;
        Err::<(), _>(Rejection::overloaded("pool"))
    });
    assert_eq!(
        rejected.await.unwrap_err().failed().unwrap().guard(),
        "pool"
    );
    assert_eq!((runs, pipeline.breaker().unwrap().counts().calls), (1, 0));
    assert_eq!(only_line(&logs).get("outcome"), "rejected");
}

#[tokio::test(start_paused = true)]
async fn error_without_a_trait_is_kept_and_shown() {
    let (logs, (pipeline, errors)) = (logs(), whole("texts"));
    let pipeline = pipeline.build().unwrap();
    let mut runs = 0;
    let failed = pipeline.run_display(|| {
        runs += 1;
        ready(Err::<(), _>(format!("reset {runs}")))
    });
    assert_eq!(
        failed.await.unwrap_err().into_inner().as_deref(),
        Some("reset 3")
    );
    let line = only_line(&logs);
    assert_eq!(
        (line.get("error"), line.get("error_type")),
        ("reset 3", "String")
    );
    assert_eq!(errors.total(), 1);
    let pipeline = empty("known_types").0.build().unwrap();
    // A well-known type is classified by what it is.
    let boxed = || {
        ready(Err::<(), BoxError>(
            io::Error::from(io::ErrorKind::TimedOut).into(),
        ))
    };
    let error = pipeline.run_display(boxed).await.unwrap_err().into_boxed();
    assert!(find::<io::Error>(&*error).is_some());
    assert_eq!(only_line(&logs).get("outcome"), "timed_out");
}

#[tokio::test(start_paused = true)]
async fn rejection_after_failed_attempts_shows_the_last_error() {
    let (logs, pipeline) = (logs(), whole("opens_between").0);
    let pipeline = pipeline.breaker(|breaker| breaker.consecutive_failures(2));
    let (pipeline, mut runs) = (pipeline.build().unwrap(), 0);
    let error = pipeline.run_mut(async || {
        runs += 1;
        Err::<(), _>(DbError::Down(runs))
    });
    let error = error.await.unwrap_err();
    assert_eq!(runs, 2);
    let rejection = error.rejection().expect("rejected");
    assert_eq!(rejection.last_error(), Some("node 2 is down"));
    assert_eq!(only_line(&logs).get("outcome"), "rejected");
}

#[tokio::test(start_paused = true)]
async fn pipeline_error_reads_like_the_error_inside() {
    let pipeline = whole("read").0.build().unwrap();
    let error = pipeline.run(|| ready(Err::<(), _>(DbError::NoRow))).await;
    let error: BoxError = error.unwrap_err().into();
    assert_eq!(error.to_string(), "no row");
    assert_eq!(find::<DbError>(&*error), Some(&DbError::NoRow));

    let hangs = std::future::pending::<Result<(), DbError>>;
    let error = pipeline.run(hangs).await.unwrap_err();
    let mapped: PipelineError<String> = error.map_failed(|error| error.to_string());
    assert!(mapped.elapsed().is_some());
    let error: BoxError = mapped.into_boxed();
    assert!(find::<Elapsed>(&*error).is_some());

    pipeline.breaker().unwrap().force_open();
    let error = pipeline.run(|| ready(Ok::<_, DbError>(7))).await;
    let error: BoxError = error.unwrap_err().into();
    assert_eq!(Rejection::find(&*error).map(Rejection::guard), Some("read"));
}

#[test]
fn pipeline_can_be_had_before_the_runtime() {
    let pipeline = Pipeline::builder("early").retry(|retry| retry).build();
    let run = pipeline.unwrap().run(|| ready(Ok::<_, DbError>(7)));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    assert_eq!(runtime.unwrap().block_on(run).unwrap(), 7);
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn pipeline_error_converts_into_a_status() {
    use tonic::{Code, Status};

    let pipeline = empty("statuses").0.total_limit(SECOND);
    let pipeline = pipeline.breaker(|breaker| breaker).build().unwrap();
    let status = |error: PipelineError<Status>| Status::from(error);
    let missing = pipeline.run(|| ready(Err::<(), _>(Status::not_found("no row"))));
    assert_eq!(
        missing.await.map_err(status).unwrap_err().code(),
        Code::NotFound
    );
    let late = pipeline
        .run(std::future::pending::<Result<(), Status>>)
        .await;
    let late = late.map_err(status).unwrap_err();
    assert_eq!(
        (late.code(), late.message()),
        (Code::DeadlineExceeded, "timed out")
    );
    assert!(find::<Elapsed>(&late).is_some());
    pipeline.breaker().unwrap().force_open();
    let rejected = pipeline.run(|| ready(Ok::<_, Status>(7))).await;
    assert_eq!(
        rejected.map_err(status).unwrap_err().code(),
        Code::Unavailable
    );
}
