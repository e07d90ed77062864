//! Each part by itself, and the settings.

use std::{
    future::{pending, ready},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tower_keep::{
    CircuitBreaker, Context, Pipeline, PipelineError, RejectionKind, Retry, breaker::CircuitState,
    call::TimeoutKind,
};
use tracing::Level;

use super::{DbError, SECOND, WAIT, empty, only_line, whole, with_retry};
use crate::support::{listing::listing, logs::logs, meter::meter};

#[tokio::test]
async fn pipeline_without_parts_runs_work_once() {
    let pipeline = Pipeline::builder("bare").untracked().build().unwrap();
    let logs = logs();
    assert_eq!(
        pipeline.run(|| ready(Ok::<_, DbError>(7))).await.unwrap(),
        7
    );
    let mut runs = 0;
    let failed = pipeline.run_mut(async || {
        runs += 1;
        Err::<(), _>(DbError::Down(1))
    });
    assert_eq!(
        failed.await.unwrap_err().into_inner(),
        Some(DbError::Down(1))
    );
    assert_eq!(runs, 1);
    assert!(logs.events("tower_keep::operation").is_empty());
}

#[tokio::test(start_paused = true)]
async fn pipeline_tracks_a_call_by_its_name() {
    let (logs, meter) = (logs(), meter());
    let (pipeline, errors) = empty("tracked_pipeline");
    let pipeline = pipeline.operation(|work| work.kind("db").slow(SECOND));
    let pipeline = pipeline.build().unwrap();
    let slow = pipeline.run_mut(async || {
        sleep(SECOND).await;
        Ok::<_, DbError>(())
    });
    slow.await.unwrap();
    let line = only_line(&logs);
    assert_eq!((line.get("kind"), line.get("slow")), ("db", "warning"));
    let _ = pipeline
        .run_mut(async || Err::<(), _>(DbError::Down(1)))
        .await;
    let line = only_line(&logs);
    assert_eq!(line.get("operation"), "tracked_pipeline");
    assert_eq!(
        (line.level, line.get("error")),
        (Level::ERROR, "node 1 is down")
    );
    assert_eq!(line.get("error_type"), "Down");
    assert_eq!(errors.total(), 1);
    for outcome in ["success", "failure"] {
        let labels = [("operation", "tracked_pipeline"), ("outcome", outcome)];
        assert_eq!(meter.count("operation_duration_seconds", &labels), 1.0);
    }
}

#[tokio::test(start_paused = true)]
async fn total_limit_ends_the_call() {
    let pipeline = empty("totals").0.total_limit(SECOND).build().unwrap();
    let begun = Instant::now();
    let error = pipeline.run(pending::<Result<(), DbError>>).await;
    let error = error.unwrap_err();
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!(error.elapsed().unwrap().kind(), TimeoutKind::Limit);
    assert_eq!(
        error.to_string(),
        r#"timed out after 1s (time limit "totals.total")"#
    );
    pipeline.total_limit().unwrap().set(2 * SECOND);
    let _ = pipeline.run(pending::<Result<(), DbError>>).await;
    assert_eq!(begun.elapsed(), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn retry_repeats_failures_and_numbers_attempts() {
    let pipeline = with_retry(empty("repeats").0).build().unwrap();
    let (begun, mut numbers) = (Instant::now(), Vec::new());
    let work = async || {
        let number = Context::current().map(|context| context.attempt());
        numbers.push(number.expect("in a context"));
        match numbers.len() {
            3 => Ok(7),
            node => Err(DbError::Down(node as u32)),
        }
    };
    let row = Context::new_root().scope(pipeline.run_mut(work)).await;
    assert_eq!(row.unwrap(), 7);
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(begun.elapsed(), 2 * WAIT);
}

#[tokio::test(start_paused = true)]
async fn breaker_rejects_without_running_work() {
    let pipeline = empty("rejects_work").0;
    let pipeline = pipeline.breaker(|breaker| breaker.consecutive_failures(2));
    let pipeline = pipeline.build().unwrap();
    for _ in 0..2 {
        let failed = pipeline.run(|| ready(Err::<(), _>(DbError::Down(1)))).await;
        assert!(failed.unwrap_err().failed().is_some());
    }
    let breaker = pipeline.breaker().unwrap();
    assert_eq!(breaker.state(), CircuitState::Open);
    let mut runs = 0;
    let error = pipeline.run_mut(async || {
        runs += 1;
        Ok::<_, DbError>(())
    });
    let error = error.await.unwrap_err();
    let rejection = error.rejection().expect("rejected");
    assert_eq!(rejection.kind(), RejectionKind::CircuitOpen);
    assert_eq!(rejection.guard(), "rejects_work");
    assert_eq!(rejection.last_error(), Some("node 1 is down"));
    assert_eq!(runs, 0);
}

#[tokio::test(start_paused = true)]
async fn attempt_limit_ends_an_attempt() {
    let pipeline = with_retry(empty("attempts").0).attempt_limit(SECOND);
    let pipeline = pipeline.build().unwrap();
    let begun = Instant::now();
    let error = pipeline.run(pending::<Result<(), DbError>>).await;
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"timed out after 1s (time limit "attempts.attempt")"#
    );
    assert_eq!(begun.elapsed(), 3 * SECOND + 2 * WAIT);
    assert_eq!(pipeline.attempt_limit().unwrap().timeout_count(), 3);
}

#[tokio::test(start_paused = true)]
async fn attempt_limit_never_exceeds_the_total() {
    let pipeline = whole("capped").0.build().unwrap();
    pipeline.total_limit().unwrap().set(WAIT);
    assert_eq!(pipeline.attempt_limit().unwrap().get(), WAIT);
}

#[test]
fn pipeline_parts_have_its_name_and_are_listed() {
    let pipeline = whole("listed_pipeline").0.build().unwrap();
    assert_eq!(pipeline.name(), "listed_pipeline");
    let listed = listing().snapshots();
    for (kind, name) in [
        ("circuit_breaker", "listed_pipeline"),
        ("retry", "listed_pipeline"),
        ("timeout", "listed_pipeline.total"),
        ("timeout", "listed_pipeline.attempt"),
    ] {
        let found = listed
            .iter()
            .find(|guard| guard.name() == name && guard.kind() == kind);
        assert!(found.is_some(), "{kind} {name}");
    }
    let shown = format!("{pipeline:?}");
    assert!(shown.contains("listed_pipeline.total"), "{shown}");
}

#[test]
fn pipeline_shares_parts_that_it_is_given() {
    let (retry, breaker) = (Retry::new("shared"), CircuitBreaker::new("shared"));
    let build = |name| {
        let builder = Pipeline::builder(name).shared_retry(&retry);
        builder.shared_breaker(&breaker).build().unwrap()
    };
    let (reads, writes) = (build("reads"), build("writes"));
    reads.breaker().unwrap().force_open();
    assert!(writes.breaker().unwrap().is_rejecting());
    assert_eq!(writes.retry().unwrap().name(), "shared");
}

#[test]
fn pipeline_settings_are_checked() {
    let error =
        |builder: tower_keep::pipeline::PipelineBuilder| builder.build().unwrap_err().to_string();
    let new = || Pipeline::builder("checked");
    let zero = Duration::ZERO;
    for (builder, expected) in [
        (
            new().total_limit(zero),
            r#"pipeline "checked": total_limit is 0ns, must be longer than zero"#,
        ),
        (
            new().attempt_limit(zero),
            r#"pipeline "checked": attempt_limit is 0ns, must be longer than zero"#,
        ),
        (
            new().total_limit(SECOND).attempt_limit(2 * SECOND),
            r#"pipeline "checked": attempt_limit is 2s, must be at most total_limit, 1s"#,
        ),
        (
            new().retry(|retry| retry.max_attempts(0)),
            r#"retry "checked": max_attempts is 0, must be 1 to 100"#,
        ),
    ] {
        assert_eq!(error(builder), expected);
    }
    let error = new().breaker(|breaker| breaker.failure_rate(20.0)).build();
    assert_eq!(error.unwrap_err().field(), "failure_rate");
}

#[tokio::test(start_paused = true)]
async fn pipeline_rejects_work_whose_deadline_has_passed() {
    let (pipeline, errors) = whole("late_pipeline");
    let (pipeline, mut runs) = (pipeline.build().unwrap(), 0);
    let late = Context::new_root().with_deadline(Instant::now());
    sleep(SECOND).await;
    let work = pipeline.run_mut(async || {
        runs += 1;
        Ok::<_, DbError>(())
    });
    let error = late.scope(work).await.unwrap_err();
    let PipelineError::Rejected(rejection) = error else {
        panic!("not rejected: {error}")
    };
    assert_eq!(rejection.kind(), RejectionKind::DeadlineExceeded);
    assert_eq!((runs, errors.total()), (0, 0));
}
